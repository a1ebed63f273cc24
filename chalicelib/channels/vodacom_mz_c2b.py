"""M-Pesa Mozambique, from the phone's menu: Vodacom asks us first, then tells that money moved.

Vodacom agrees this interface with each company, and publishes no field names. Those here are ours:
whoever connects the two speaks them. A bearer token of ours is the whole proof of a caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.channels.amounts import UnusableAmount, amount_minor
from chalicelib.channels.asking import text_of
from chalicelib.channels.callers import Intruder, check_bearer, note_failure, note_intruder
from chalicelib.channels.configuration import Configuration
from chalicelib.channels.interface import (
    Channel,
    Described,
    Desk,
    Endpoint,
    Schema,
    Stated,
    TooLarge,
    check_size,
    texts,
)
from chalicelib.channels.reports import Unreadable
from chalicelib.channels.strict_json import Malformed, read_object
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Claim, Status, payment_id_of
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.phones import searched_phone
from chalicelib.services.ports import ProviderAnswer, ProviderRequest, RefusalClass

KEY = "vodacom_mz_c2b"
SECRET = "channels/vodacom_mz_c2b"  # noqa: S105 - the name of a secret, not a secret
SOURCE = "mpesa_mz_c2b"

YES, UNKNOWN = "0", "1"

WORDS: Mapping[Refusal, str] = {
    Refusal.PAUSED: "Not now, please try later",
    Refusal.INVALID_AMOUNT: "The amount cannot be accepted",
    Refusal.WRONG_CURRENCY: "The currency cannot be accepted",
    Refusal.UNKNOWN_DEVICE: "There is no such device",
    Refusal.DEVICE_UNASSIGNED: "The device belongs to nobody",
    Refusal.NO_TARIFF: "The device has no tariff",
    Refusal.NO_PLAN: "The device has no plan",
    Refusal.NOTHING_TO_PAY: "There is nothing left to pay",
    Refusal.TOO_SMALL: "The amount is too small",
}
"""What is said beside the code of each refusal."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_TRANSACTION = re.compile(r"[A-Za-z0-9._-]{1,60}")


# --- the endpoints --------------------------------------------------------------------------------


def validate(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """The question before money moves: may this be paid? What cannot be told now is not a yes."""
    return _answered(_validated, request, desk)


def process(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Money has moved: it is stored whatever its serial. An error means that it was not."""
    return _answered(_processed, request, desk)


def status(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Whether we know of a transaction, and where its payment stands."""
    return _answered(_status, request, desk)


_REFUSAL: Schema = {
    "type": "object",
    "required": ["response_code", "response_desc", "data"],
    "properties": {
        "response_code": {"type": "string"},
        "response_desc": {"type": "string"},
        "data": {
            "type": "object",
            "required": ["message", "success"],
            "properties": {"message": {"type": "string"}, "success": {"const": False}},
        },
    },
}


def _endpoint(
    name: str,
    function: Callable[[ProviderRequest, Desk], ProviderAnswer],
    body: Schema,
    answer: Schema,
    *errors: int,
) -> Endpoint:
    return Endpoint(
        f"{KEY}_{name}",
        "POST",
        f"/payments/{KEY}/{name}",
        function,
        Described(
            proof="A bearer token of ours. Nothing is signed.",
            proof_headers={"Authorization": "Bearer, and a token that we have given out."},
            body=body,
            answers={200: answer, **dict.fromkeys((400, 401, *errors, 413, 503), _REFUSAL)},
        ),
    )


_SAID = texts("response_code", "response_desc")

CHANNEL = Channel(
    key=KEY,
    name="M-Pesa Mozambique (customer pays from the menu)",
    refusal_class=RefusalClass.ASKS_FIRST,
    pots=lambda content: (SOURCE,),
    endpoints=(
        _endpoint("validate", validate, texts("request_id", "reference", "amount"), _SAID),
        _endpoint(
            "process",
            process,
            texts("transaction_id", "reference", "amount", optional=("request_id", "msisdn")),
            texts("response_code", "response_desc", "transaction_id"),
        ),
        _endpoint(
            "status",
            status,
            texts("transaction_id"),
            texts("response_code", "response_desc", "transaction_id", "status"),
            404,
        ),
    ),
    stated=Stated(
        countries="Mozambique",
        direction="asks us, then tells us",
        caller="bearer token, nothing signed",
        repeated="`request_id` of a question, `transaction_id` of a payment",
        serial="`reference`",
        amounts="meticais, as a text",
        retries="not public; a payment answered with an error must be sent again",
        reversal="by a person, in Vodacom's portal",
        confirmed="statements",
        unverified=(
            "all names of fields: they are ours, as Vodacom publishes none",
            "the limits and repetitions of the agreed contract",
        ),
    ),
)


def _answered(
    work: Callable[[ProviderRequest, Desk, Currency], ProviderAnswer],
    request: ProviderRequest,
    desk: Desk,
) -> ProviderAnswer:
    """What ``work`` answers a caller who shows a token; in the same shape what went wrong."""
    try:
        secret = Configuration(SECRET, desk.secret(SECRET))
        tokens, currency = secret.texts("tokens"), secret.currency()
        check_bearer(request, tokens)
        check_size(request.body)
        return work(request, desk, currency)
    except Intruder as intruder:
        note_intruder(intruder, KEY, desk)
        return _no(intruder.status, intruder.code, "Not authorised")
    except (TooLarge, Malformed, Unreadable) as wrong:
        note_failure(wrong, KEY, desk)
        return _no(413 if isinstance(wrong, TooLarge) else 400, wrong.code, str(wrong))
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _no(503, "try_again", "Try again later")


def _yes(**more: str) -> ProviderAnswer:
    return ProviderAnswer(200, {"response_code": YES, "response_desc": "Accepted", **more})


def _no(status_code: int, code: str, words: str) -> ProviderAnswer:
    data = {"message": words, "success": False}
    return ProviderAnswer(
        status_code, {"response_code": code, "response_desc": words, "data": data}
    )


# --- what is said ---------------------------------------------------------------------------------


def _validated(request: ProviderRequest, desk: Desk, currency: Currency) -> ProviderAnswer:
    body = read_object(request.body)
    request_id = text_of(body.get("request_id")).lower()
    if _UUID.fullmatch(request_id) is None:
        raise Unreadable("request_id")
    try:
        refusal = desk.question(_claim(body, request_id, currency, desk))
    except UnusableAmount:
        refusal = Refusal.INVALID_AMOUNT
    return _yes() if refusal is None else _no(400, refusal.value, WORDS[refusal])


def _processed(request: ProviderRequest, desk: Desk, currency: Currency) -> ProviderAnswer:
    """Store a payment. The same transaction with another amount or serial is noted on it: sending
    that once more would change nothing, a person must look."""
    body = read_object(request.body)
    transaction = _transaction(body)
    try:
        claim = _claim(body, transaction, currency, desk)
    except UnusableAmount:
        raise Unreadable("amount") from None
    try:
        desk.accept(claim, money_moved=True)
    except ReferenceConflict as conflict:
        note_failure(conflict, KEY, desk)
    return _yes(transaction_id=transaction)


def _status(request: ProviderRequest, desk: Desk, _: Currency) -> ProviderAnswer:
    transaction = _transaction(read_object(request.body))
    payment = desk.payment(payment_id_of(SOURCE, transaction))
    if payment is None or payment.status is Status.REFUSED:  # of that no money has moved
        return _no(404, UNKNOWN, "There is no such transaction")
    return _yes(transaction_id=transaction, status=payment.status.value)


def _transaction(body: Mapping[str, Any]) -> str:
    transaction = text_of(body.get("transaction_id"))
    if _TRANSACTION.fullmatch(transaction) is None:
        raise Unreadable("transaction_id")
    return transaction


def _claim(body: Mapping[str, Any], transaction: str, currency: Currency, desk: Desk) -> Claim:
    """What is said of the money. A payer's number that is none is left out.

    Raises:
        UnusableAmount: the amount cannot be read, or is not above zero.
    """
    return Claim(
        channel=KEY,
        source=SOURCE,
        transaction=transaction,
        reference=transaction,
        serial_number=claimed_serial(text_of(body.get("reference"))),
        amount_minor=amount_minor(body.get("amount"), currency),
        currency=currency.code,
        payer_phone=searched_phone(text_of(body.get("msisdn")), desk.settings().country),
        proven=False,
    )
