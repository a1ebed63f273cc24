"""What the payment page says, in the languages of the SMS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PayWords:
    """The texts of one language. Those with braces are templates of ``str.format``."""

    title: str
    serial_number: str
    amount: str
    how: str
    phone: str
    go_on: str
    check: str
    owner: str
    debts: str
    brings: str
    kept: str
    pay: str
    back: str
    asked: str
    to_page: str
    waiting: str
    paid: str
    looking: str
    not_paid: str
    again: str
    later: str
    nobody: str
    phone_needed: str
    days: str


WORDS: Mapping[str, PayWords] = {
    "en": PayWords(
        title="Pay for energy",
        serial_number="Serial number of the device",
        amount="Amount ({currency})",
        how="How do you pay?",
        phone="Phone that pays",
        go_on="Go on",
        check="Is this right?",
        owner="For {name}, device {serial_number}",
        debts="Pays what is owed: {money}",
        brings="Brings: {units}",
        kept="The rest is kept for the next payment.",
        pay="Pay {money}",
        back="Change",
        asked="Look at the phone {phone} and confirm there.",
        to_page="Go to the payment page",
        waiting="We are waiting for your payment.",
        paid="Paid. The token comes by SMS to the owner.",
        looking="We have your payment and are looking into it. Do not pay again.",
        not_paid="Nothing was paid.",
        again="Look again",
        later="It does not work now. Nothing was taken. Please try again later.",
        nobody="Paying here is not possible at the moment.",
        phone_needed="give the phone that pays",
        days="{number} days",
    ),
    "sw": PayWords(
        title="Lipia nishati",
        serial_number="Namba ya kifaa",
        amount="Kiasi ({currency})",
        how="Unalipaje?",
        phone="Simu inayolipa",
        go_on="Endelea",
        check="Je, ni sahihi?",
        owner="Kwa {name}, kifaa {serial_number}",
        debts="Inalipa deni: {money}",
        brings="Inaleta: {units}",
        kept="Salio linabaki kwa malipo yajayo.",
        pay="Lipa {money}",
        back="Badilisha",
        asked="Angalia simu {phone} na uthibitishe hapo.",
        to_page="Nenda kwenye ukurasa wa malipo",
        waiting="Tunasubiri malipo yako.",
        paid="Umelipa. Tokeni inakuja kwa SMS kwa mwenye kifaa.",
        looking="Tumepata malipo yako na tunayashughulikia. Usilipe tena.",
        not_paid="Hakuna kilicholipwa.",
        again="Angalia tena",
        later="Haiwezekani sasa. Hakuna pesa iliyochukuliwa. Jaribu tena baadaye.",
        nobody="Huwezi kulipa hapa kwa sasa.",
        phone_needed="andika simu inayolipa",
        days="siku {number}",
    ),
    "fr": PayWords(
        title="Payer l'énergie",
        serial_number="Numéro de série de l'appareil",
        amount="Montant ({currency})",
        how="Comment payez-vous ?",
        phone="Téléphone qui paie",
        go_on="Continuer",
        check="Est-ce juste ?",
        owner="Pour {name}, appareil {serial_number}",
        debts="Paie ce qui est dû : {money}",
        brings="Apporte : {units}",
        kept="Le reste est gardé pour le prochain paiement.",
        pay="Payer {money}",
        back="Changer",
        asked="Regardez le téléphone {phone} et confirmez.",
        to_page="Aller à la page de paiement",
        waiting="Nous attendons votre paiement.",
        paid="Payé. Le code arrive par SMS chez le propriétaire.",
        looking="Nous avons votre paiement et nous l'examinons. Ne payez pas encore une fois.",
        not_paid="Rien n'a été payé.",
        again="Regarder encore",
        later="Cela ne marche pas maintenant. Rien n'a été pris. Réessayez plus tard.",
        nobody="Payer ici n'est pas possible en ce moment.",
        phone_needed="donnez le téléphone qui paie",
        days="{number} jours",
    ),
    "pt": PayWords(
        title="Pagar energia",
        serial_number="Número de série do aparelho",
        amount="Valor ({currency})",
        how="Como paga?",
        phone="Telefone que paga",
        go_on="Continuar",
        check="Está certo?",
        owner="Para {name}, aparelho {serial_number}",
        debts="Paga o que está em dívida: {money}",
        brings="Traz: {units}",
        kept="O resto fica para o próximo pagamento.",
        pay="Pagar {money}",
        back="Mudar",
        asked="Veja o telefone {phone} e confirme.",
        to_page="Ir para a página de pagamento",
        waiting="Estamos à espera do seu pagamento.",
        paid="Pago. O código chega por SMS ao dono.",
        looking="Temos o seu pagamento e estamos a verificá-lo. Não pague outra vez.",
        not_paid="Nada foi pago.",
        again="Ver outra vez",
        later="Agora não funciona. Nada foi cobrado. Tente mais tarde.",
        nobody="De momento não é possível pagar aqui.",
        phone_needed="dê o telefone que paga",
        days="{number} dias",
    ),
}


def best_language(accepted: str, offered: tuple[str, ...]) -> str:
    """The language of a page: the first that the browser accepts and the company offers, else the
    company's first (RFC 9110, section 12.5.4; the weights are in order in every browser)."""
    for wish in accepted.split(","):
        code = wish.partition(";")[0].strip().lower().partition("-")[0]
        if code in offered and code in WORDS:
            return code
    return offered[0] if offered and offered[0] in WORDS else "en"
