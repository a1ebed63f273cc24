"""What the SMS say: one for every finished vend, and one for every other outcome.

An SMS must be read on a small screen and typed from it: the split of the money in a few words,
then the token in groups of digits. The usual one fits into two segments.
"""

from __future__ import annotations

from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.errors import Refusal
from chalicelib.domain.money import Currency, format_minor, format_units
from chalicelib.domain.payment import (
    ENTRY_CHANNEL,
    HELD_MESSAGE,
    RECEIPT,
    REFUND_MESSAGES,
    REFUSED_MESSAGE,
    UNUSABLE_MESSAGE,
    Payment,
    Token,
    Vend,
    VendState,
)
from chalicelib.services.ports import Customer, Settings
from chalicelib.sms.language import Language
from chalicelib.sms.languages import language_of

NAME_LENGTH_MAX = 20
STS_DIGITS = 20


def compose(
    payment: Payment,
    number: int,
    customer: Customer | None,
    settings: Settings,
    language: str,
) -> str:
    """The text of SMS ``number`` of a payment, in that language (English where unknown).

    Raises:
        KeyError: ``number`` is a vend that the payment does not have, or that has no token yet.
    """
    words = language_of(language)
    currency = Currency(settings.currency, settings.currency_decimals)
    if number > REFUND_MESSAGES:
        return _refunded(payment, number - REFUND_MESSAGES, words, currency)
    if number == RECEIPT:
        return _receipt(payment, customer, words, currency)
    if number <= len(payment.vends):
        return _vended(payment, number, customer, words, currency)
    if number == HELD_MESSAGE and payment.channel == ENTRY_CHANNEL:
        return words.unlock_held.format(serial_number=payment.serial_number)
    return _other_outcome(payment, number, words, currency)


# --- money that was used ------------------------------------------------------------------------


def _receipt(
    payment: Payment,
    customer: Customer | None,
    words: Language,
    currency: Currency,
) -> str:
    """The receipt of a payment that brought no token."""
    buys = any(line.kind in (LineKind.ENERGY, LineKind.TIME) for line in payment.lines)
    why = words.kept if buys else words.debts_only
    return " ".join((_thanks(customer, words), _split(payment, words, currency), why))


def _vended(
    payment: Payment,
    number: int,
    customer: Customer | None,
    words: Language,
    currency: Currency,
) -> str:
    """The SMS of one vend. The first of several also tells how the money was used.

    What carries the vend of an entry is no payment, and tells of no money.
    """
    counted = [vend for vend in payment.vends if not _is_replaced(vend)]
    vend = payment.vend(number)
    parts = [_token_text(vend, _token(payment, number), words)]
    if vend == counted[0] and payment.amount_minor > 0:
        parts = [_thanks(customer, words), _split(payment, words, currency), *parts]
    if len(counted) > 1:
        parts = [f"{counted.index(vend) + 1}/{len(counted)}", *parts]
    return " ".join(parts)


def _is_replaced(vend: Vend) -> bool:
    """Whether another vend stands in its place: it is not counted among the tokens."""
    return vend.state is VendState.VOID and vend.closed


def _token(payment: Payment, number: int) -> Token:
    for token in payment.tokens:
        if token.vend == number:
            return token
    raise KeyError(number)


def _token_text(vend: Vend, token: Token, words: Language) -> str:
    templates = {
        VendKind.ENERGY: (words.energy_typed, words.energy_sent),
        VendKind.TIME: (words.time_typed, words.time_sent),
        VendKind.UNLOCK: (words.unlock_typed, words.unlock_sent),
    }
    typed, sent = templates.get(token.kind, (words.set_typed, words.set_sent))
    units = format_units(token.units) if token.units is not None else ""
    text = (sent if token.value is None else typed).format(
        serial_number=vend.serial_number,
        units=units,
        days=(words.day if units == "1" else words.days).format(number=units),
        token=grouped(token.value or ""),
    )
    if not token.before:
        return text
    before = ", ".join(grouped(value) for value in token.before)
    return words.typed_before.format(before=before, text=text)


def grouped(token: str) -> str:
    """The token in groups: the 20 digits of an STS token by four, others by three.

    A token that is not made of digits alone stays as it is.
    """
    if not (token.isascii() and token.isdigit()):
        return token
    size = 4 if len(token) == STS_DIGITS else 3
    return " ".join(token[i : i + size] for i in range(0, len(token), size))


def _thanks(customer: Customer | None, words: Language) -> str:
    first_name = customer.name.split()[0][:NAME_LENGTH_MAX] if customer else ""
    return words.thanks.format(name=first_name) if first_name else words.thanks_to_nobody


def _split(payment: Payment, words: Language, currency: Currency) -> str:
    """How the money was used: ``KES 1000.00: TV 300.00, access 150.00, energy 550.00.``.

    What was taken back again, because no token was issued for it, is left out.
    """
    sums: dict[str, int] = {}
    for line in payment.lines:
        word = _word(line, words)
        amount_minor = abs(line.amount_minor) if word == words.credit_used else line.amount_minor
        sums[word] = sums.get(word, 0) + amount_minor
    parts = ", ".join(f"{word} {format_minor(s, currency)}" for word, s in sums.items() if s)
    return f"{_money(payment, currency)}: {parts}."


def _word(line: Line, words: Language) -> str:
    if line.kind is LineKind.APPLIANCE:
        return (line.name or words.appliance)[:NAME_LENGTH_MAX]
    if line.kind is LineKind.CREDIT and line.amount_minor < 0:
        return words.credit_used
    return {
        LineKind.DEVICE: words.arrears,
        LineKind.ACCESS_RATE: words.access_rate,
        LineKind.ENERGY: words.energy,
        LineKind.TIME: words.time,
        LineKind.CREDIT: words.credit,
    }[line.kind]


def _money(payment: Payment, currency: Currency, amount_minor: int | None = None) -> str:
    """The payment's money, or that part of it."""
    whole = payment.amount_minor if amount_minor is None else amount_minor
    return f"{currency.code} {format_minor(whole, currency)}"


# --- money that was not used --------------------------------------------------------------------


def _other_outcome(payment: Payment, number: int, words: Language, currency: Currency) -> str:
    template = {
        HELD_MESSAGE: words.held,
        UNUSABLE_MESSAGE: words.unusable,
        REFUSED_MESSAGE: words.refused,
    }[number]
    reason = payment.reason if number == REFUSED_MESSAGE else None
    return template.format(
        money=_money(payment, currency),
        serial_number=payment.serial_number,
        reference=payment.reference,
        reason=words.reasons[Refusal(reason)] if reason else "",
    )


def _refunded(payment: Payment, refund: int, words: Language, currency: Currency) -> str:
    """What has gone back to the payer with that refund."""
    return words.refunded.format(
        money=_money(payment, currency, payment.refund(refund).amount_minor),
        serial_number=payment.serial_number,
        reference=payment.reference,
    )
