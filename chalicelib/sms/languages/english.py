"""English."""

from chalicelib.domain.errors import Refusal
from chalicelib.sms.language import Language

ENGLISH = Language(
    code="en",
    appliance="appliance",
    arrears="arrears",
    access_rate="access",
    energy="energy",
    time="time",
    credit="credit",
    credit_used="credit used",
    thanks="Thank you {name}.",
    thanks_to_nobody="Thank you.",
    day="{number} day",
    days="{number} days",
    energy_typed="{units} kWh for meter {serial_number}. Token: {token}",
    time_typed="{days} for {serial_number}. Token: {token}",
    unlock_typed="{serial_number} is fully paid. Unlock token: {token}",
    set_typed="Please type into {serial_number}: {token}",
    typed_before="First type in: {before}. Then: {text}",
    energy_sent="{units} kWh were sent to meter {serial_number}.",
    time_sent="{days} were sent to {serial_number}.",
    unlock_sent="{serial_number} is fully paid and unlocked.",
    set_sent="{serial_number} has been set to what is paid.",
    debts_only="No token: all of it paid what was owed.",
    kept="No token yet: the rest is kept for your next payment.",
    unlock_held="We are looking into the unlocking of {serial_number}. We will write to you.",
    held="We are looking into your payment of {money} for {serial_number}. "
    "Please do not pay again, we will write to you. Ref {reference}",
    unusable="We cannot use {money} for {serial_number}: please check the number. "
    "The money is safe and will be returned. Ref {reference}",
    refunded="We have returned {money}, paid for {serial_number}. Ref {reference}",
    refused="Your payment of {money} for {serial_number} was refused: {reason}. "
    "No money was taken. Ref {reference}",
    reasons={
        Refusal.PAUSED: "payments this way are paused, please try later",
        Refusal.INVALID_AMOUNT: "this amount is not possible",
        Refusal.WRONG_CURRENCY: "this currency is not accepted",
        Refusal.UNKNOWN_DEVICE: "the number is not known",
        Refusal.DEVICE_UNASSIGNED: "the device belongs to nobody",
        Refusal.NO_TARIFF: "the meter has no tariff",
        Refusal.NO_PLAN: "the device has no payment plan",
        Refusal.NOTHING_TO_PAY: "there is nothing left to pay",
        Refusal.TOO_SMALL: "the amount is too small",
    },
)
