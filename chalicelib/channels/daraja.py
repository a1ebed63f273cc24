"""Daraja C2B: M-Pesa Kenya, where a customer pays our paybill and types the serial as account.

Safaricom asks first (validation), then tells that money has moved (confirmation). It signs
nothing: what proves a caller is a secret part of the path, which only Safaricom was told, and
the address it comes from. Both are configured, and several secrets live while one is rotated.

A validation is always answered with HTTP 200, and never with yes unless we mean it. A
confirmation is answered with an error only where it was not stored. Payments that we have pushed
(``daraja_stk``) fall into the same pot and are told here too: their account is our reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.channels.amounts import UnusableAmount, amount_minor
from chalicelib.channels.asking import text_of
from chalicelib.channels.callers import (
    Intruder,
    Networks,
    check_address,
    check_path,
    note_failure,
    note_intruder,
)
from chalicelib.channels.configuration import Configuration
from chalicelib.channels.daraja_api import (
    ALREADY_REVERSED,
    C2B,
    RECEIPT,
    SECRET,
    SHILLING,
    SHORT_CODE,
    Daraja,
    kenyan_time,
    listed,
    source_of,
)
from chalicelib.channels.interface import (
    BODY_BYTES_MAX,
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    texts,
)
from chalicelib.channels.strict_json import Malformed, read_object
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.payment import Status, payment_id_of
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.collect import NoSuchPayment
from chalicelib.services.ports import (
    Listed,
    ProviderAnswer,
    ProviderRequest,
    RefundTaken,
    RefusalClass,
    StatementForm,
)

KEY = C2B

BAD_ACCOUNT = "C2B00012"
BAD_AMOUNT = "C2B00013"
BAD_SHORT_CODE = "C2B00015"
OTHER = "C2B00016"

CODES: Mapping[Refusal, str] = {
    Refusal.PAUSED: OTHER,
    Refusal.INVALID_AMOUNT: BAD_AMOUNT,
    Refusal.WRONG_CURRENCY: OTHER,
    Refusal.UNKNOWN_DEVICE: BAD_ACCOUNT,
    Refusal.DEVICE_UNASSIGNED: BAD_ACCOUNT,
    Refusal.NO_TARIFF: BAD_ACCOUNT,
    Refusal.NO_PLAN: BAD_ACCOUNT,
    Refusal.NOTHING_TO_PAY: OTHER,
    Refusal.TOO_SMALL: BAD_AMOUNT,
}
"""What Safaricom is told for each refusal; the customer's SMS says no more than "rejected"."""

_PAYMENT_REFERENCE = re.compile(r"[A-Za-z0-9]{1,40}")

_ANSWER = {
    "type": "object",
    "required": ["ResultCode", "ResultDesc"],
    "properties": {
        "ResultCode": {"type": ["string", "integer"]},
        "ResultDesc": {"type": "string"},
    },
}
"""Everything has one answer: code and words."""


class ReportRejected(MwangaError):
    """Nothing can be done with a report as it is. ``provider_code`` says so to Safaricom."""

    provider_code = OTHER


class Unreadable(ReportRejected):
    """No claim can be made of the body."""

    code = "unreadable"


class UnreadableAmount(Unreadable):
    """What was paid cannot be read, or is not above zero."""

    provider_code = BAD_AMOUNT


class WrongShortCode(ReportRejected):
    """The money is said to have fallen into a pot that is not ours."""

    code = "wrong_short_code"
    provider_code = BAD_SHORT_CODE


@dataclass(frozen=True, slots=True)
class Configured:
    """What the secret says: our paybill, the live path secrets, and who may call."""

    short_code: str
    path_secrets: tuple[str, ...]
    networks: Networks


# --- the endpoints --------------------------------------------------------------------------


def validation(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Safaricom's question before money moves: yes, or one of its codes for no.

    Where we cannot tell, the answer is no: a yes would take money that we might have to give back.
    """
    try:
        configuration = _admitted(request, desk)
        listed = _told(request, configuration)
        if listed.payment_id is not None:
            return _about_a_push(listed, desk)
        assert listed.claim is not None  # noqa: S101 - it is one or the other
        refusal = desk.question(listed.claim)
    except Intruder as intruder:
        return _turned_away(intruder, desk)
    except ReportRejected as wrong:
        note_failure(wrong, KEY, desk)
        return _rejected(wrong.provider_code)
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _rejected(OTHER)
    if refusal is not None:
        return _rejected(CODES[refusal])
    return ProviderAnswer(200, {"ResultCode": "0", "ResultDesc": "Accepted"})


def confirmation(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Safaricom's word that money has moved. It is stored whatever its serial.

    A receipt that comes again with another amount or serial is recorded and answered with
    success: sending it once more would change nothing, a person must look.
    """
    try:
        configuration = _admitted(request, desk)
        take_up(_told(request, configuration), desk)
    except Intruder as intruder:
        return _turned_away(intruder, desk)
    except ReportRejected as wrong:
        note_failure(wrong, KEY, desk)
        return _rejected(wrong.provider_code, status=400)
    except (ReferenceConflict, NoSuchPayment) as conflict:
        note_failure(conflict, KEY, desk)
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _rejected(OTHER, status=503)
    return ProviderAnswer(200, {"ResultCode": 0, "ResultDesc": "Accepted"})


def reversal_result(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """What became of a reversal that we asked for, or that it was not dealt with in time.

    Only a clear yes ends the refund, and only a clear no fails it; the rest a person looks up.
    """
    try:
        configured = _admitted(request, desk)
        reference = request.path_parameters.get("reference", "")
        told = _result(request.body)
        if _PAYMENT_REFERENCE.fullmatch(reference) is None:
            raise Unreadable("reference")
        payment_id = payment_id_of(source_of(configured.short_code), reference)
        payment = desk.payment(payment_id)
        if payment is not None and told is not None:
            desk.refund_told(payment_id, payment.refunded_minor, told)
    except Intruder as intruder:
        return _turned_away(intruder, desk)
    except ReportRejected as wrong:
        note_failure(wrong, KEY, desk)
        return _rejected(wrong.provider_code, status=400)
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _rejected(OTHER, status=503)
    return ProviderAnswer(200, {"ResultCode": 0, "ResultDesc": "Accepted"})


def make(secrets: Callable[[str], Mapping[str, Any]]) -> Daraja:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return Daraja(secrets)


def _described(*statuses: int) -> Described:
    """Question and confirmation have one form."""
    return Described(
        proof="An unguessable part of the path, and an address of the provider's.",
        body=texts("TransID", "TransAmount", "BillRefNumber", "BusinessShortCode", "TransTime"),
        answers=dict.fromkeys(statuses, _ANSWER),
    )


CHANNEL = Channel(
    key=KEY,
    name="M-Pesa Kenya (Daraja C2B)",
    refusal_class=RefusalClass.ASKS_FIRST,
    pots=lambda content: (source_of(_configuration(content).short_code),),
    endpoints=(
        Endpoint(
            "daraja_validation",
            "POST",
            "/payments/daraja/{path_secret}/validation",
            validation,
            _described(200, 403, 404),
        ),
        Endpoint(
            "daraja_confirmation",
            "POST",
            "/payments/daraja/{path_secret}/confirmation",
            confirmation,
            _described(200, 400, 403, 404, 503),
        ),
        Endpoint(
            "daraja_reversal_result",
            "POST",
            "/payments/daraja/{path_secret}/reversals/{reference}",
            reversal_result,
            Described(
                proof="An unguessable part of the path, and an address of the provider's.",
                body={"type": "object", "required": ["Result"]},
                answers=dict.fromkeys((200, 400, 403, 404, 503), _ANSWER),
            ),
        ),
    ),
    stated=Stated(
        countries="Kenya",
        direction="asks us, then tells us",
        caller="secret path, list of addresses",
        repeated="`TransID`, the receipt",
        serial="`BillRefNumber`, at most 20",
        amounts="shillings, as a text",
        retries="about 8 seconds for a question; repetitions of a confirmation are not documented",
        reversal="Reversal, whole; its result comes later",
        confirmed="Pull Transactions, the last 48 hours; statements",
        unverified=(
            "whether a confirmation that we answer with an error is repeated",
            "whether `Pull Transactions` lists pushed payments with their account",
            "the text of `trxDate` (read as Kenya's time where it names no zone)",
        ),
    ),
    can_refund=True,
    lists_payments=True,
    statement=StatementForm(
        transaction="receipt no.",
        amount="paid in",
        serial_number="a/c no.",
        paid_at="completion time",
    ),
)


def _rejected(code: str, status: int = 200) -> ProviderAnswer:
    return ProviderAnswer(status, {"ResultCode": code, "ResultDesc": "Rejected"})


def _turned_away(intruder: Intruder, desk: Desk) -> ProviderAnswer:
    note_intruder(intruder, KEY, desk)
    return _rejected(OTHER, status=intruder.status)


# --- who is calling -------------------------------------------------------------------------


def _admitted(request: ProviderRequest, desk: Desk) -> Configured:
    """The configuration, once the caller has shown the path's secret from an address we know."""
    configuration = _configuration(desk.secret(SECRET))
    check_path(request, configuration.path_secrets)
    check_address(request, configuration.networks)
    return configuration


def _configuration(content: Mapping[str, Any]) -> Configured:
    """Read the secret. Nothing in it is optional: an empty list of addresses admits nobody.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    return Configured(
        secret.text("short_code", SHORT_CODE), secret.texts("path_secrets"), secret.networks()
    )


# --- what is said -----------------------------------------------------------------------------


def _told(request: ProviderRequest, configuration: Configured) -> Listed:
    """What a report is about. Validation and confirmation have the same form.

    The payer's number is masked or hashed by Safaricom, so it is not kept.

    Raises:
        WrongShortCode, Unreadable: see there.
    """
    body = _object(request.body)
    if text_of(body.get("BusinessShortCode")) != configuration.short_code:
        raise WrongShortCode
    transaction = text_of(body.get("TransID"))
    if RECEIPT.fullmatch(transaction) is None:
        raise Unreadable("TransID")
    try:
        amount = amount_minor(text_of(body.get("TransAmount")), SHILLING)
    except UnusableAmount:
        raise UnreadableAmount("TransAmount") from None
    return listed(
        configuration.short_code,
        transaction,
        text_of(body.get("BillRefNumber")),
        amount,
        kenyan_time(text_of(body.get("TransTime"))),
        proven=False,
    )


def _object(body: bytes) -> Mapping[str, Any]:
    if len(body) > BODY_BYTES_MAX:
        raise Unreadable("too large")
    try:
        return read_object(body)
    except Malformed as malformed:
        raise Unreadable(malformed.detail) from None


def _about_a_push(told: Listed, desk: Desk) -> ProviderAnswer:
    """The question about a payment that we pushed ourselves: yes, if it is the one."""
    assert told.payment_id is not None and told.paid is not None  # noqa: S101 - see ``listed``
    payment = desk.payment(told.payment_id)
    if payment is None or payment.status is not Status.PENDING:
        return _rejected(BAD_ACCOUNT)
    if payment.amount_minor != told.paid.amount_minor:
        return _rejected(BAD_AMOUNT)
    return ProviderAnswer(200, {"ResultCode": "0", "ResultDesc": "Accepted"})


def take_up(told: Listed, desk: Desk) -> None:
    """Store that money has moved, for a payment that we pushed or for one by hand.

    Raises:
        ReferenceConflict, NoSuchPayment, TryAgain, OutcomeUnknown: see the desk.
    """
    if told.claim is not None:
        desk.accept(told.claim, money_moved=True)
    if told.payment_id is not None and told.paid is not None:
        desk.paid(told.payment_id, told.paid)


def _result(body: bytes) -> RefundTaken | str | None:
    """What a result says of a reversal; ``None``: nothing is certain (it timed out, say)."""
    result = _object(body).get("Result")
    if not isinstance(result, dict):
        raise Unreadable("Result")
    code = text_of(result.get("ResultCode"))
    if code in ("0", ALREADY_REVERSED):
        return RefundTaken(done=True)
    return f"failed_{code}" if re.fullmatch("[A-Za-z0-9.]{1,20}", code) else None
