"""Swifta (Nigeria): it asks us about a payment, and then tells us that the money has moved.

Its second message names no device: what was asked about is remembered as a ``pending`` payment,
under an id of ours that it must bring back. Who brings back no such id, or another amount, is told
no.

Its ``cipher`` is weak: an MD5 over two words, a time and the amount. It covers neither the serial
nor any id, and it can be sent again. So more is asked of a caller: a bearer token that we gave out
and can take back, an address on a list, and, where the company says so, a time that is now. A
report is never taken for proven.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from chalicelib.channels.amounts import UnusableAmount, amount_minor
from chalicelib.channels.asking import text_of
from chalicelib.channels.callers import (
    Intruder,
    Networks,
    check_address,
    check_bearer,
    is_one_of,
    note_failure,
    note_intruder,
)
from chalicelib.channels.checkouts import REFERENCE
from chalicelib.channels.configuration import Configuration
from chalicelib.channels.interface import (
    JSON,
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    TooLarge,
    check_size,
)
from chalicelib.channels.reports import Unreadable
from chalicelib.channels.strict_json import Malformed, read_object, written
from chalicelib.domain.errors import FieldError, MwangaError, Refusal, Refused
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Claim, payment_id_of
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.collect import NoSuchPayment
from chalicelib.services.ports import (
    Paid,
    ProviderAnswer,
    ProviderRequest,
    RefusalClass,
    SecretMissing,
)

KEY = "swifta"
SECRET = "channels/swifta"  # noqa: S105 - the name of a secret, not a secret

SECONDS_PER_DAY = 24 * 60 * 60

_TIMESTAMP = re.compile(r"[0-9]{1,20}")
_RECEIPT = re.compile(r"[!-~]{1,80}")


class WrongCipher(Intruder):
    """The cipher is missing, or not made with our words."""

    code = "wrong_cipher"


class StaleTimestamp(Intruder):
    """The time of the message is not now."""

    code = "stale_timestamp"


@dataclass(frozen=True, slots=True)
class Configured:
    """What the secret says: who may call, and what the money is.

    ``words`` are the first and the last of the cipher. ``tolerance_seconds`` is how far the time of
    a message may be from now; ``None``: as far as it likes.
    """

    tokens: tuple[str, ...]
    words: tuple[str, str]
    networks: Networks
    currency: Currency
    tolerance_seconds: int | None


def configured(content: Mapping[str, Any]) -> Configured:
    """Read the secret. Empty lists of tokens or addresses admit nobody.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    words = secret.texts("words")
    tolerance = content.get("timestamp_tolerance_seconds")
    if len(words) != 2:
        raise SecretMissing(f"{SECRET}: words")
    if tolerance is not None and (type(tolerance) is not int or tolerance <= 0):
        raise SecretMissing(f"{SECRET}: timestamp_tolerance_seconds")
    return Configured(
        tokens=secret.texts("tokens"),
        words=(words[0], words[1]),
        networks=secret.networks(),
        currency=secret.currency(),
        tolerance_seconds=tolerance,
    )


@dataclass(frozen=True, slots=True)
class Message:
    """What both messages have, once their cipher was right, and all that they say."""

    amount_minor: int
    currency: Currency
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field as text; empty where there is none."""
        return text_of(self.fields.get(name))


Work = Callable[[Message, Desk], ProviderAnswer]


# --- the endpoints --------------------------------------------------------------------------------


def validation(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Swifta's question before money moves: yes, with our id and the customer's name; or no.

    Where we cannot tell, the answer is no: a yes would take money that nobody could give back.
    """
    return _answered(request, desk, _agreed)


def transaction(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Swifta's word that the money has moved for a payment to which we said yes."""
    return _answered(request, desk, _paid)


def _answered(request: ProviderRequest, desk: Desk, work: Work) -> ProviderAnswer:
    """The answer to either message. 500 says: send it again."""
    try:
        return work(_admitted(request, desk), desk)
    except Intruder as intruder:
        note_intruder(intruder, KEY, desk)
        return _no(intruder.status, intruder.code)
    except Refused as refused:
        return _no(400, refused.code)
    except NoSuchPayment as unknown:
        note_failure(unknown, KEY, desk)
        return _no(400, "unknown_transaction")
    except (ReferenceConflict, Unreadable, UnusableAmount, Malformed, TooLarge) as wrong:
        note_failure(wrong, KEY, desk)
        return _no(400, wrong.code)
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _no(500, "try_again")


def _answer(status: int, fields: Mapping[str, object]) -> ProviderAnswer:
    """The fields as JSON, in which numbers stand as they came."""
    return ProviderAnswer(status, written(fields), content_type=JSON)


def _no(status: int, message: str) -> ProviderAnswer:
    return _answer(status, {"success": 0, "message": message})


def _described(*fields: str, done: int) -> Described:
    """Both messages are proved, and refused, alike."""
    answer = {"type": "object", "required": ["success"]}
    return Described(
        proof="A bearer token of ours, an address of the provider's, and the field `cipher`.",
        proof_headers={"Authorization": "`Bearer` and the token."},
        body={"type": "object", "required": [*fields, "amount", "timestamp", "cipher"]},
        answers=dict.fromkeys((done, 400, 401, 403, 500), answer),
    )


CHANNEL = Channel(
    key=KEY,
    name="Swifta",
    refusal_class=RefusalClass.ASKS_FIRST,
    endpoints=(
        Endpoint(
            "swifta_validation",
            "POST",
            "/payments/swifta/validation",
            validation,
            _described("meter_number", done=200),
        ),
        Endpoint(
            "swifta_transaction",
            "POST",
            "/payments/swifta/transaction",
            transaction,
            _described("transaction_id", "transaction_reference", done=201),
        ),
    ),
    stated=Stated(
        countries="Nigeria",
        direction="asks us, then tells us",
        caller="a bearer token of ours, list of addresses, a weak MD5 over amount and time",
        repeated="our id; its `transaction_reference` names the money",
        serial="`meter_number` of the question",
        amounts="naira",
        retries="expected after 500, not documented",
        reversal="none: what cannot be used is held for a person",
        confirmed="statements only",
        unverified=(
            "the form of every message: no public document describes it",
            "how often a message is repeated, and how long Swifta waits for an answer",
            "what `timestamp` counts",
        ),
    ),
)


# --- who is calling -------------------------------------------------------------------------------


def _admitted(request: ProviderRequest, desk: Desk) -> Message:
    """A message from somebody who has shown all that Swifta can show.

    Raises:
        WrongToken, WrongAddress, WrongCipher, StaleTimestamp: they have not.
        TooLarge, Malformed, Unreadable, UnusableAmount: see there.
    """
    known = configured(desk.secret(SECRET))
    check_bearer(request, known.tokens)
    check_address(request, known.networks)
    check_size(request.body)
    fields = read_object(request.body)
    timestamp, amount = text_of(fields.get("timestamp")), text_of(fields.get("amount"))
    _check_cipher(text_of(fields.get("cipher")), timestamp, amount, known.words)
    _check_timestamp(timestamp, known.tolerance_seconds, desk)
    return Message(amount_minor(amount, known.currency), known.currency, fields)


def _check_cipher(cipher: str, timestamp: str, amount: str, words: tuple[str, str]) -> None:
    """That the cipher was made with our words, over time and amount as they are written."""
    first, last = words
    text = f"{first}{timestamp}{amount}{last}"
    right = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    if not is_one_of(cipher.lower(), (right,)):
        raise WrongCipher


def _check_timestamp(timestamp: str, tolerance_seconds: int | None, desk: Desk) -> None:
    """That the time is now, where the company wants that: not every integration sends the time.

    Raises:
        StaleTimestamp, Unreadable: see there.
    """
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise Unreadable("timestamp")
    off_seconds = _seconds_between(int(timestamp), desk.now())
    if tolerance_seconds is not None and off_seconds > tolerance_seconds:
        raise StaleTimestamp
    if off_seconds > SECONDS_PER_DAY:
        desk.journal.event("timestamp_is_no_time", channel=KEY)


def _seconds_between(number: int, now: datetime) -> int:
    """How far from now a number is that counts seconds, or milliseconds, since 1970."""
    this_second = int(now.timestamp())
    return min(abs(number - this_second), abs(number // 1000 - this_second))


# --- the question ---------------------------------------------------------------------------------


def _agreed(message: Message, desk: Desk) -> ProviderAnswer:
    """Say yes, and remember to what, under an id that nobody can guess.

    Raises:
        Refused, TryAgain, OutcomeUnknown: see there.
    """
    reference = uuid4().hex
    claim = Claim(
        channel=KEY,
        source=KEY,
        transaction=reference,
        reference=reference,
        serial_number=claimed_serial(message.text("meter_number")),
        amount_minor=message.amount_minor,
        currency=message.currency.code,
        proven=False,
    )
    quote = desk.quote(claim)
    if isinstance(quote, Refusal):
        desk.question(claim)  # a no is recorded, so that support finds it
        raise Refused(quote)
    started = desk.start(claim)
    if isinstance(started, Refusal):
        raise Refused(started)
    return _answer(
        200,
        {
            "success": 1,
            "amount": message.fields["amount"],
            "cipher": message.text("cipher"),
            "timestamp": message.fields["timestamp"],
            "transaction_id": reference,
            "customer": quote.customer_name,
        },
    )


# --- the money ------------------------------------------------------------------------------------


def _paid(message: Message, desk: Desk) -> ProviderAnswer:
    """The money has moved for the payment that our id names.

    Raises:
        NoSuchPayment: we have not said yes to it.
        ReferenceConflict: not for that amount; or it was paid under another reference.
        Unreadable, TryAgain, OutcomeUnknown: see there.
    """
    reference = message.text("transaction_id")
    if REFERENCE.fullmatch(reference) is None:
        raise NoSuchPayment("transaction_id")
    receipt = _receipt(message.text("transaction_reference"))
    paid = Paid(receipt, message.amount_minor, message.currency.code, proven=False)
    desk.paid(payment_id_of(KEY, reference), paid)
    return _answer(
        201,
        {
            "success": 1,
            "transaction_id": reference,
            "transaction_reference": receipt,
            "amount": message.fields["amount"],
        },
    )


def _receipt(text: str) -> str:
    """Swifta's own name for the money.

    Raises:
        Unreadable: it is none, or too long to be kept.
    """
    try:
        if _RECEIPT.fullmatch(text) is None:
            raise Unreadable("transaction_reference")
        payment_id_of(KEY, text)
    except FieldError:
        raise Unreadable("transaction_reference") from None
    return text
