"""M-Pesa Kenya, pushed: we ask the payer's phone, and they type their PIN.

The account of a push is our reference, so whatever Safaricom tells of it (its callback, a C2B
confirmation, the list of all payments) is about one payment. The callback is not signed: what
proves it is a secret part of the path, our reference beside it, and the address it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import UnusableAmount, amount_minor, whole_major
from chalicelib.channels.asking import text_of
from chalicelib.channels.callers import (
    Intruder,
    check_address,
    check_path,
    note_failure,
    note_intruder,
)
from chalicelib.channels.checkouts import Begun, Payer, Terms
from chalicelib.channels.configuration import Configuration
from chalicelib.channels.daraja_api import (
    PUSH_REFERENCE,
    RECEIPT,
    SECRET,
    SHILLING,
    SHORT_CODE,
    STK,
    Daraja,
    kenyan_time,
    source_of,
)
from chalicelib.channels.interface import BODY_BYTES_MAX, Channel, Described, Desk, Endpoint, Stated
from chalicelib.channels.reports import Unreadable
from chalicelib.channels.strict_json import Malformed, read_object
from chalicelib.domain.errors import InvalidAmount, MwangaError
from chalicelib.domain.payment import Payment, payment_id_of
from chalicelib.runtime.sessions import Sessions
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.collect import NoSuchPayment
from chalicelib.services.ports import (
    Paid,
    ProviderAnswer,
    ProviderRequest,
    RefusalClass,
)

KEY = STK

AT_CHECKOUTS = Sessions()
"""The session outlives one checkout, so that most payers wait for one call, not for two."""


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Ask the payer's phone for one payment: 201. See ``checkouts.checkout`` for what it raises."""
    short_code = _short_code(desk.secret(SECRET))
    daraja = Daraja(desk.secret, AT_CHECKOUTS)

    def begin(payment: Payment, payer: Payer) -> Begun:
        phone = (payer.phone or "").removeprefix("+")
        return Begun(known_as=daraja.push(payment, phone, desk.now()))

    terms = Terms(source_of(short_code), SHILLING, _reference, _check_whole)
    return checkouts.checkout(KEY, request, desk, terms, begin, needs=checkouts.PHONE)


def result(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Safaricom's word on a push: the money has moved, or it will not.

    A no is no more than a hint: it may come before a yes, so Safaricom is asked.
    """
    try:
        payment_id = _admitted(request, desk)
        _check_is_ours(payment_id, request.body, desk)
        paid = _paid(request.body)
        if paid is None:
            desk.hinted(payment_id)
        else:
            desk.paid(payment_id, paid)
    except Intruder as intruder:
        note_intruder(intruder, KEY, desk)
        return _told(intruder.status, "Rejected")
    except (ReferenceConflict, NoSuchPayment) as conflict:
        note_failure(conflict, KEY, desk)
    except (Unreadable, Malformed) as wrong:
        note_failure(wrong, KEY, desk)
        return _told(400, "Rejected")
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _told(503, "Rejected")
    return _told(200, "Accepted")


def make(secrets: Callable[[str], Mapping[str, Any]]) -> Daraja:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return Daraja(secrets)


_ANSWER = {"type": "object", "required": ["ResultCode", "ResultDesc"]}

CHANNEL = Channel(
    key=KEY,
    name="M-Pesa Kenya (Daraja STK push)",
    refusal_class=RefusalClass.WE_START,
    pots=lambda content: (source_of(_short_code(content)),),
    endpoints=(
        checkouts.endpoint(KEY, checkout, needs=checkouts.PHONE),
        Endpoint(
            "daraja_stk_result",
            "POST",
            "/payments/daraja_stk/{path_secret}/{reference}/result",
            result,
            Described(
                proof="An unguessable part of the path, and an address of the provider's.",
                body={"type": "object", "required": ["Body"]},
                answers=dict.fromkeys((200, 400, 403, 404, 503), _ANSWER),
            ),
        ),
    ),
    stated=Stated(
        countries="Kenya",
        direction="we push, it tells us",
        caller="secret path with our reference, list of addresses",
        repeated="our reference, the receipt",
        serial="our record; the account is our reference",
        amounts="whole shillings",
        retries="repetitions of a result are not documented; we ask after 2, 8, 32 … minutes",
        reversal="Reversal, whole; its result comes later",
        confirmed="STK query, Pull Transactions, statements",
        unverified=(
            "whether a C2B confirmation comes for a push too (both ways work)",
            "the code of a query while the payer has not decided, beside 500.001.1001 and 4999",
        ),
    ),
    can_refund=True,
    payer_needs=checkouts.PHONE,
    shares="daraja",
    needs_part="api",
)


def _short_code(content: Mapping[str, Any]) -> str:
    """Our paybill.

    Raises:
        SecretMissing: the secret does not say.
    """
    return Configuration(SECRET, content).text("short_code", SHORT_CODE)


def _reference() -> str:
    return f"MW{uuid4().hex[:10].upper()}"


def _check_whole(amount: int) -> None:
    if whole_major(amount, SHILLING) is None:
        raise InvalidAmount("amount", "must be whole shillings")


def _told(status: int, words: str) -> ProviderAnswer:
    return ProviderAnswer(status, {"ResultCode": 0 if status == 200 else 1, "ResultDesc": words})


def _admitted(request: ProviderRequest, desk: Desk) -> str:
    """The id of the payment that the path names, once the caller has shown who it is."""
    secret = Configuration(SECRET, desk.secret(SECRET))
    check_path(request, secret.texts("path_secrets"))
    check_address(request, secret.networks())
    reference = request.path_parameters.get("reference", "")
    if PUSH_REFERENCE.fullmatch(reference) is None:
        raise Unreadable("reference")
    return payment_id_of(source_of(secret.text("short_code", SHORT_CODE)), reference)


def _callback(body: bytes) -> Mapping[str, Any]:
    if len(body) > BODY_BYTES_MAX:
        raise Unreadable("too large")
    inner = read_object(body).get("Body")
    callback = inner.get("stkCallback") if isinstance(inner, dict) else None
    if not isinstance(callback, dict):
        raise Unreadable("stkCallback")
    return callback


def _check_is_ours(payment_id: str, body: bytes, desk: Desk) -> None:
    """That the result is of the push that we know, where Safaricom's name for it is known."""
    payment = desk.payment(payment_id)
    known = payment.known_as.get("checkout_request_id") if payment else None
    if known is not None and text_of(_callback(body).get("CheckoutRequestID")) != known:
        raise Unreadable("CheckoutRequestID")


def _paid(body: bytes) -> Paid | None:
    """What was paid; ``None``: nothing, it says.

    Raises:
        Malformed, Unreadable: it is no result, or a yes that does not say what was paid.
    """
    callback = _callback(body)
    code = text_of(callback.get("ResultCode"))
    if not code:
        raise Unreadable("ResultCode")
    if code != "0":
        return None
    items = _items(callback)
    receipt = text_of(items.get("MpesaReceiptNumber"))
    if RECEIPT.fullmatch(receipt) is None:
        raise Unreadable("MpesaReceiptNumber")
    try:
        amount = amount_minor(items.get("Amount"), SHILLING)
    except UnusableAmount:
        raise Unreadable("Amount") from None
    paid_at = kenyan_time(text_of(items.get("TransactionDate")))
    return Paid(receipt, amount, SHILLING.code, paid_at=paid_at, proven=False, shared_pot=True)


def _items(callback: Mapping[str, Any]) -> Mapping[str, object]:
    metadata = callback.get("CallbackMetadata")
    items = metadata.get("Item") if isinstance(metadata, dict) else None
    if not isinstance(items, list):
        raise Unreadable("CallbackMetadata")
    named = [(item.get("Name"), item.get("Value")) for item in items if isinstance(item, dict)]
    found = {name: value for name, value in named if isinstance(name, str)}
    if len(found) != len(named):
        raise Unreadable("a name is given twice")
    return found
