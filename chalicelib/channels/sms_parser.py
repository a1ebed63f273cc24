"""SMS parser: an operator's payment SMS, which arrives at the company's phone and is passed on.

Off unless the secret switches it on. The gateway (TextBee) signs what it passes on; but the name
of an SMS's sender can be forged by anybody, so nothing that is read here is proven: a large sum
waits for a statement (``confirm_above``).

A rule says from whom an SMS must come and how it looks: its text, with ``[transaction_ref]``,
``[amount]``, ``[device_serial]``, ``[sender_phone]`` in the places of what is read, and ``[*]`` for
anything.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chalicelib.channels.amounts import UnusableAmount, amount_minor
from chalicelib.channels.asking import text_of
from chalicelib.channels.callers import Intruder, InvalidSignature
from chalicelib.channels.configuration import Configuration
from chalicelib.channels.interface import (
    BODY_BYTES_MAX,
    JSON,
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    header,
    texts,
)
from chalicelib.channels.reports import Unreadable, answered
from chalicelib.channels.strict_json import read_object
from chalicelib.domain.errors import FieldError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Claim
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.phones import normalise_phone
from chalicelib.services.ports import (
    ProviderAnswer,
    ProviderRequest,
    RefusalClass,
    SecretMissing,
)

KEY = "sms_parser"
SECRET = "channels/sms_parser"  # noqa: S105 - the name of a secret, not a secret
SMS_LENGTH_MAX = 1000
RULES_MAX = 50

_SOURCE = re.compile(r"[A-Za-z0-9_.]{1,40}")
_PLACE = re.compile(r"\[(transaction_ref|amount|device_serial|sender_phone|\*)\]")
_FORMS: Mapping[str, str] = {
    "transaction_ref": r"(?P<transaction_ref>[A-Za-z0-9.]{4,40})",
    "amount": r"(?P<amount>[0-9][0-9.,]{0,20})",
    "device_serial": r"(?P<device_serial>[A-Za-z0-9._/-]{1,40})",
    "sender_phone": r"(?P<sender_phone>\+?[0-9]{6,15})",
    "*": r".{0,200}?",
}
_NEEDED = frozenset({"transaction_ref", "amount", "device_serial"})
_AMOUNT = re.compile(r"([0-9]{1,3}(?:[.,][0-9]{3})*|[0-9]+)(?:[.,]([0-9]{1,2}))?[.,]?")


class SwitchedOff(Intruder):
    """Nobody has switched the parser on."""

    code = "switched_off"
    status = 404


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of SMS: from whom it comes, and what is read where."""

    senders: frozenset[str]
    pattern: re.Pattern[str]


def incoming(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """An SMS that the gateway passes on. What fits no rule is none of ours, and says nothing."""

    def take_up() -> str:
        secret = _configuration(desk)
        _check_signature(request, secret.texts("gateway_secrets"))
        claim = _claim(request.body, secret, desk)
        if claim is None:
            desk.journal.count("SmsIgnored", channel=KEY)
            return "ignored"
        desk.accept(claim, money_moved=True)
        return "ok"

    return answered(KEY, desk, take_up)


CHANNEL = Channel(
    key=KEY,
    name="Payment SMS",
    refusal_class=RefusalClass.TOLD_AFTER,
    pots=lambda content: (Configuration(SECRET, content).text("source", _SOURCE),),
    endpoints=(
        Endpoint(
            "sms_parser_incoming",
            "POST",
            "/payments/sms_parser",
            incoming,
            Described(
                proof="The gateway's signature.",
                proof_headers={"x-signature": "Hex HMAC-SHA256 of the raw body."},
                body=texts("sender", "message"),
                answers=dict.fromkeys((200, 400, 401, 404, 503), texts("status")),
            ),
            (JSON,),
        ),
    ),
    stated=Stated(
        countries="Mozambique (M-Pesa, e-Mola); any by rules",
        direction="a gateway passes SMS on",
        caller="HMAC-SHA256 of the raw body by the gateway; the SMS itself proves nothing",
        repeated="the reference in the text",
        serial="the text, by a rule",
        amounts="major units, in the form of the text",
        retries="the gateway's own",
        reversal="none: held for a person",
        confirmed="statements; large sums wait for one",
        unverified=("the operators' texts: rules must be tried with real SMS",),
    ),
)


def _configuration(desk: Desk) -> Configuration:
    """The secret.

    Raises:
        SwitchedOff: it does not switch the parser on.
    """
    secret = Configuration(SECRET, desk.secret(SECRET))
    if not secret.flag("enabled"):
        raise SwitchedOff
    return secret


def _check_signature(request: ProviderRequest, secrets: Sequence[str]) -> None:
    if len(request.body) > BODY_BYTES_MAX:
        raise InvalidSignature("too large")
    given = header(request, "x-signature").lower().encode("utf-8", "replace")
    fits = [hmac.compare_digest(_hmac(secret, request.body), given) for secret in secrets]
    if not any(fits):
        raise InvalidSignature


def _hmac(secret: str, body: bytes) -> bytes:
    return hmac.new(secret.encode(), body, "sha256").hexdigest().encode()


def _claim(body: bytes, secret: Configuration, desk: Desk) -> Claim | None:
    """What an SMS says; ``None`` where it fits no rule.

    Raises:
        Malformed, Unreadable: it is not one, or its amount cannot be read.
        SecretMissing: the rules cannot be used.
    """
    fields = read_object(body)
    sender, message = text_of(fields.get("sender")), text_of(fields.get("message"))
    if not sender or not message or len(message) > SMS_LENGTH_MAX:
        raise Unreadable("sender and message")
    read = _read(rules(secret), sender, message)
    if read is None:
        return None
    currency = secret.currency()
    return Claim(
        channel=KEY,
        source=secret.text("source", _SOURCE),
        transaction=read["transaction_ref"].rstrip("."),
        reference=read["transaction_ref"].rstrip("."),
        serial_number=claimed_serial(read["device_serial"].rstrip(".")),
        amount_minor=_amount(read["amount"], currency),
        currency=currency.code,
        payer_phone=_phone(read.get("sender_phone"), desk),
        proven=False,
    )


def _read(known: Sequence[Rule], sender: str, message: str) -> Mapping[str, str] | None:
    words = " ".join(message.split())
    for rule in known:
        if sender.casefold() in rule.senders and (found := rule.pattern.search(words)):
            return {name: text for name, text in found.groupdict().items() if text}
    return None


def rules(secret: Configuration) -> list[Rule]:
    """The rules of a secret.

    Raises:
        SecretMissing: one of them cannot be used.
    """
    return [_rule(given) for given in secret.parts("rules", RULES_MAX)]


def _rule(given: Configuration) -> Rule:
    template = " ".join(given.text("template").split())
    places = _PLACE.findall(template)
    named = [place for place in places if place != "*"]
    if not set(named) >= _NEEDED or len(set(named)) != len(named):
        raise SecretMissing(f"{SECRET}: template")
    parts = _PLACE.split(template)
    pattern = "".join(
        _FORMS[part] if place else re.escape(part) for place, part in _alternating(parts)
    )
    senders = frozenset(sender.casefold() for sender in given.texts("senders"))
    return Rule(senders, re.compile(pattern, re.IGNORECASE))


def _alternating(parts: Sequence[str]) -> list[tuple[bool, str]]:
    """Texts and places take turns, beginning with a text."""
    return [(place % 2 == 1, part) for place, part in enumerate(parts)]


def _amount(text: str, currency: Currency) -> int:
    """An amount as people write it: ``1.250,50``, ``1,250.50``, ``250``. Three digits behind the
    last sign are thousands: no currency of these SMS has three decimals.

    Raises:
        Unreadable: it is none.
    """
    written = _AMOUNT.fullmatch(text)
    if written is None:
        raise Unreadable("amount")
    whole = re.sub("[.,]", "", written[1])
    try:
        return amount_minor(f"{whole}.{written[2]}" if written[2] else whole, currency)
    except UnusableAmount:
        raise Unreadable("amount") from None


def _phone(text: str | None, desk: Desk) -> str | None:
    """The payer's number in E.164; ``None`` where it is none."""
    if text is None:
        return None
    try:
        return normalise_phone(text, desk.settings().country)
    except FieldError:
        return None
