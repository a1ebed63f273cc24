"""Swahili."""

from chalicelib.domain.errors import Refusal
from chalicelib.sms.language import Language

SWAHILI = Language(
    code="sw",
    appliance="kifaa",
    arrears="deni",
    access_rate="ada",
    energy="umeme",
    time="muda",
    credit="salio",
    credit_used="salio lililotumika",
    thanks="Asante {name}.",
    thanks_to_nobody="Asante.",
    day="siku {number}",
    days="siku {number}",
    energy_typed="{units} kWh kwa mita {serial_number}. Tokeni: {token}",
    time_typed="{days} kwa {serial_number}. Tokeni: {token}",
    unlock_typed="{serial_number} imelipwa yote. Tokeni ya kufungua: {token}",
    set_typed="Tafadhali ingiza kwenye {serial_number}: {token}",
    typed_before="Kwanza ingiza: {before}. Kisha: {text}",
    energy_sent="{units} kWh zimetumwa kwa mita {serial_number}.",
    time_sent="{days} zimetumwa kwa {serial_number}.",
    unlock_sent="{serial_number} imelipwa yote na imefunguliwa.",
    set_sent="{serial_number} imewekwa sawa na kilicholipwa.",
    debts_only="Hakuna tokeni: pesa zote zimelipa deni.",
    kept="Hakuna tokeni bado: kilichobaki kimewekwa kwa malipo yajayo.",
    unlock_held="Tunafuatilia kufunguliwa kwa {serial_number}. Tutakuandikia.",
    held="Tunafuatilia malipo yako ya {money} kwa {serial_number}. "
    "Tafadhali usilipe tena, tutakuandikia. Kumb {reference}",
    unusable="Hatuwezi kutumia {money} kwa {serial_number}: tafadhali hakiki namba. "
    "Pesa zako ziko salama na zitarudishwa. Kumb {reference}",
    refunded="Tumerudisha {money} zilizolipwa kwa {serial_number}. Kumb {reference}",
    refused="Malipo yako ya {money} kwa {serial_number} yamekataliwa: {reason}. "
    "Hakuna pesa iliyochukuliwa. Kumb {reference}",
    reasons={
        Refusal.PAUSED: "malipo kwa njia hii yamesimama kwa muda, jaribu baadaye",
        Refusal.INVALID_AMOUNT: "kiasi hiki hakiwezekani",
        Refusal.WRONG_CURRENCY: "sarafu hii haikubaliki",
        Refusal.UNKNOWN_DEVICE: "namba haijulikani",
        Refusal.DEVICE_UNASSIGNED: "kifaa hakina mmiliki",
        Refusal.NO_TARIFF: "mita haina bei",
        Refusal.NO_PLAN: "kifaa hakina mpango wa malipo",
        Refusal.NOTHING_TO_PAY: "hakuna kilichobaki kulipwa",
        Refusal.TOO_SMALL: "kiasi ni kidogo mno",
    },
)
