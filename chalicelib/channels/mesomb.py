"""MeSomb (Cameroon and others): we ask the payer's phone, and they confirm with their PIN.

What became of it is told by a signed webhook, or found out by asking. Whoever pays our application
without us is told there too, with no serial number: that money goes back, unless its reference or
message names a device.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import UnusableAmount, money, whole_major
from chalicelib.channels.asking import text_of
from chalicelib.channels.callers import (
    InvalidSignature,
    is_one_of,
    note_failure,
)
from chalicelib.channels.checkouts import Begun, Payer, Terms
from chalicelib.channels.interface import (
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    check_size,
    header,
    texts,
)
from chalicelib.channels.mesomb_api import (
    PAYMENT_TYPES,
    PK,
    SECRET,
    SUCCESS,
    Collected,
    MeSombProvider,
    keys_of,
    paid_of,
    reference_of,
)
from chalicelib.channels.reports import Unreadable, answered
from chalicelib.channels.strict_json import read_object
from chalicelib.domain.errors import InvalidAmount, MwangaError
from chalicelib.domain.payment import Claim, Payment, payment_id_of
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.collect import NoSuchPayment
from chalicelib.services.phones import searched_phone
from chalicelib.services.ports import (
    Paid,
    ProviderAnswer,
    ProviderRequest,
    ProviderUncertain,
    RefundTaken,
    RefusalClass,
)

KEY = "mesomb"

SIGNATURE_HEADERS = ("X-MeSomb-Webhook-Signature", "MeSomb-Signature")
"""The vendor's pages use either name for it."""

TOLERANCE_SECONDS = 300
SIGNATURES_MAX = 4

PAID, NOT_PAID, REFUND = (
    *("payment.transaction.success", "payment.transaction.failed"),
    "payment.refund.",
)
REFUND_DONE = frozenset({"success", "succeeded", "completed", "processed"})
REFUND_UNDER_WAY = frozenset({"created", "pending", "processing"})

_SIGNED_AT = re.compile(r"[0-9]{1,12}")


Event = Mapping[str, Any]
"""The object that an event is about, as it was when the event was made."""


# --- the endpoints --------------------------------------------------------------------------------


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Ask the payer's phone for one payment: 201. See ``checkouts.checkout`` for what it raises.

    An answer that says that the money is there already is no more than a hint.
    """
    keys = keys_of(desk.secret(SECRET))
    collected: list[Collected] = []

    def begin(payment: Payment, payer: Payer) -> Begun:
        collected.append(MeSombProvider(desk.secret).collect(payment, payer.phone or ""))
        return Begun(known_as={"pk": collected[0].pk})

    def check_whole(amount: int) -> None:
        if whole_major(amount, keys.currency) is None:
            raise InvalidAmount("amount", f"must be whole {keys.currency.code}")

    terms = Terms(KEY, keys.currency, check=check_whole)
    answer = checkouts.checkout(KEY, request, desk, terms, begin, needs=checkouts.PHONE)
    if any(done.is_paid for done in collected):
        _hint(answer.body["payment_id"], desk)
    return answer


def _hint(payment_id: str, desk: Desk) -> None:
    """Have the payment looked at. Where that fails, the sweeper looks at it a little later."""
    try:
        desk.hinted(payment_id)
    except MwangaError as failed:
        note_failure(failed, KEY, desk)


def webhook(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """MeSomb's word on a transaction or a refund."""

    def take_up() -> str:
        check_size(request.body)
        _check_signature(request, keys_of(desk.secret(SECRET)).webhook_secrets, desk.now())
        return _take_up(read_object(request.body), desk)

    return answered(KEY, desk, take_up)


def make(secrets: Callable[[str], Mapping[str, Any]]) -> MeSombProvider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return MeSombProvider(secrets)


CHANNEL = Channel(
    key=KEY,
    name="MeSomb",
    refusal_class=RefusalClass.WE_START,
    endpoints=(
        checkouts.endpoint(KEY, checkout, needs=checkouts.PHONE),
        Endpoint(
            "mesomb_webhook",
            "POST",
            "/payments/mesomb/webhook",
            webhook,
            Described(
                proof="The provider's signature.",
                proof_headers={
                    SIGNATURE_HEADERS[0]: "`t=<Unix seconds>,v1=<hex>`: the HMAC-SHA256 of time, "
                    "full stop and raw body, with the webhook's secret; no older than 5 minutes."
                },
                body={"type": "object", "required": ["data"]},
                answers=dict.fromkeys((200, 400, 401, 413, 503), texts("status")),
            ),
        ),
    ),
    stated=Stated(
        countries="Cameroon, Niger",
        direction="we push, it tells us",
        caller="HMAC-SHA256 of time and raw body",
        repeated="our reference, its `pk`",
        serial="our record; of a payment without us, its reference or message",
        amounts="whole major units, JSON number",
        retries="for some days; a webhook that fails may be switched off",
        reversal="refund, whole or in part",
        confirmed="status of each pending payment",
        unverified=(
            "which of `amount`, `fees` and `trxamount` is what the payer gave",
            "the names and fields of events about refunds",
            "whether a refund has an id of its own",
        ),
    ),
    can_refund=True,
    payer_needs=checkouts.PHONE,
)


# --- who is calling -------------------------------------------------------------------------------


def _check_signature(
    request: ProviderRequest, webhook_secrets: tuple[str, ...], now: datetime
) -> None:
    """That time and raw body were signed, just now, with one of our secrets. All are tried.

    There may be more than one signature: MeSomb signs with both while a secret is rotated.

    Raises:
        InvalidSignature: they were not.
    """
    shown = next((text for name in SIGNATURE_HEADERS if (text := header(request, name))), "")
    pairs = [part.strip().partition("=") for part in shown.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or _SIGNED_AT.fullmatch(times[0]) is None:
        raise InvalidSignature
    if abs(int(times[0]) - int(now.timestamp())) > TOLERANCE_SECONDS:
        raise InvalidSignature
    signed = times[0].encode() + b"." + request.body
    live = [hmac.new(text.encode(), signed, "sha256").hexdigest() for text in webhook_secrets]
    fits = [is_one_of(given.lower(), live) for given in signatures[:SIGNATURES_MAX]]
    if not any(fits):
        raise InvalidSignature


# --- what is told ---------------------------------------------------------------------------------


def _take_up(report: Mapping[str, Any], desk: Desk) -> str:
    """Do what an event calls for, and say what that was.

    Raises:
        Unreadable: see there.
        NoSuchPayment, ReferenceConflict, TryAgain, OutcomeUnknown, QueueUnavailable: see the desk.
    """
    names = [text_of(report.get(name)) for name in ("event_type", "type", "event")]
    kind = next((name for name in names if name.startswith("payment.")), "")
    if kind not in (PAID, NOT_PAID) and not kind.startswith(REFUND):
        return "ignored"
    data = report.get("data")
    event = data.get("object") if isinstance(data, dict) else None
    if not isinstance(event, dict):
        raise Unreadable("data.object")
    if kind.startswith(REFUND):
        return _refunded(kind.removeprefix(REFUND), event, desk)
    if text_of(event.get("type")).upper() not in PAYMENT_TYPES:
        return "ignored"
    return _paid(event, desk) if kind == PAID else _failed(event, desk)


def _paid(event: Event, desk: Desk) -> str:
    """The money has moved: for a payment that we started, or without us."""
    if text_of(event.get("status")) not in (SUCCESS, ""):
        raise Unreadable("status")
    payment = _known(event, desk)
    try:
        paid = paid_of(event, payment)
    except ProviderUncertain as unreadable:
        raise Unreadable(unreadable.detail) from unreadable
    if payment is not None and payment.reference != paid.receipt:
        desk.paid(payment.payment_id, paid)
    elif checkouts.REFERENCE.fullmatch(reference_of(event)):
        # It is named as we name ours: another system of the company's, perhaps. Not ours to return.
        raise NoSuchPayment("no payment of that reference was started here")
    else:
        desk.accept(_uninvited(event, paid, desk), money_moved=True)
    return "ok"


def _uninvited(event: Event, paid: Paid, desk: Desk) -> Claim:
    """The claim of somebody who has paid without us."""
    country = keys_of(desk.secret(SECRET)).country
    return Claim(
        channel=KEY,
        source=KEY,
        transaction=paid.receipt,
        reference=paid.receipt,
        serial_number=claimed_serial(reference_of(event) or text_of(event.get("message"))),
        amount_minor=paid.amount_minor,
        currency=paid.currency,
        payer_phone=searched_phone(text_of(event.get("b_party")), country),
        paid_at=paid.paid_at,
        known_as=paid.known_as,
    )


def _failed(event: Event, desk: Desk) -> str:
    """An attempt has failed, it says: MeSomb is asked. Who pays without us may fail in peace."""
    payment = _known(event, desk)
    if payment is None:
        return "ignored"
    desk.hinted(payment.payment_id)
    return "ok"


def _refunded(outcome: str, event: Event, desk: Desk) -> str:
    """News of a refund: of one that we asked for, or that somebody made by hand."""
    if outcome not in (*REFUND_DONE, *REFUND_UNDER_WAY, "failed"):
        return "ignored"
    payment = _known(event, desk)
    if payment is None:
        raise NoSuchPayment("no payment that this refund could be of")
    if outcome in REFUND_DONE and not payment.refunds:
        desk.reversed(payment.payment_id, text_of(event.get("pk")) or "refund")
        return "ok"
    try:
        amount_minor, _ = money(event.get("amount"), event.get("currency") or payment.currency)
    except UnusableAmount:
        raise Unreadable("amount") from None
    told = "failed" if outcome == "failed" else RefundTaken(done=outcome in REFUND_DONE)
    desk.refund_told(payment.payment_id, amount_minor, told)
    return "ok"


def _known(event: Event, desk: Desk) -> Payment | None:
    """The payment that an event is about: by our reference, or by MeSomb's id."""
    reference = reference_of(event)
    if checkouts.REFERENCE.fullmatch(reference):
        return desk.payment(payment_id_of(KEY, reference))
    inner = event.get("transaction")
    inner_pk = inner.get("pk") if isinstance(inner, dict) else inner
    for pk in (text_of(inner_pk), text_of(event.get("pk"))):
        payment = desk.payment(payment_id_of(KEY, pk)) if PK.fullmatch(pk) else None
        if payment is not None:
            # Under the receipt of a payment that we started, a copy of it may stand.
            return desk.payment(payment_id_of(KEY, payment.reference)) or payment
    return None
