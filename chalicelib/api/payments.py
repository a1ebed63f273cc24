"""Payments as staff see them: find them, and bring held ones further."""

from __future__ import annotations

from chalicelib.api.amounts import read_units
from chalicelib.api.models import RefundBody, ResolveBody, RetryBody
from chalicelib.api.parts import part_of
from chalicelib.api.routes import LIST, STAFF, Answer, Call, Routes, accepted, listed, ok
from chalicelib.api.shapes import Listed, MessageShape, PaymentShape, message
from chalicelib.domain.errors import FieldError, InvalidSerial
from chalicelib.domain.payment import Payment
from chalicelib.domain.serial import normalise_serial
from chalicelib.services.ports import Page
from chalicelib.services.staff import Role

routes = Routes()

OPERATIONS = (Role.OPERATIONS,)

_WANTED_BY = ("serial_number", "customer_id", "status", "phone", "receipt", "text")
_USED_BY_OUTCOME = {
    "token": {"token", "units", "vend"},
    "not_issued": {"vend"},
    "credit": set[str](),
    "assign": {"serial_number"},
    "refunded": set[str](),
    "not_paid": set[str](),
}
_NEEDED_BY_OUTCOME = {"assign": "serial_number"}


@routes.route("GET", "/payments/{payment_id}", roles=STAFF, answers={200: PaymentShape})
def show_payment(call: Call[None]) -> Answer:
    """Show a payment as it stands, also a refused one."""
    return ok(call.shapes.payment(call.wiring.find_payments.get(call.path["payment_id"])))


@routes.route(
    "GET",
    "/payments",
    roles=STAFF,
    query=(*_WANTED_BY, *LIST),
    answers={200: Listed[PaymentShape]},
)
def list_payments(call: Call[None]) -> Answer:
    """List a device's or a customer's payments, or open ones by status; newest first.

    By ``phone``, ``receipt`` or ``text`` it is a search: the newest, without a next part.
    """
    return listed(_found(call), call.shapes.payment)


def _found(call: Call[None]) -> Page[Payment]:
    given = [name for name in _WANTED_BY if name in call.query]
    if len(given) != 1:
        raise FieldError("serial_number", f"give one of {', '.join(_WANTED_BY)}")
    [name] = given
    find, wanted = call.wiring.find_payments, call.query[name]
    if not wanted:
        raise FieldError(name, "must not be empty")
    if name == "status":
        return find.open(wanted, call.limit, call.cursor)
    if name == "phone":
        return find.of_phone(wanted, call.limit)
    if name == "receipt":
        return find.of_receipt(wanted)
    if name == "text":
        return find.search(wanted, call.limit)
    if name == "customer_id":
        return find.of_customer(wanted, call.limit, call.cursor)
    return find.of_device(normalise_serial(wanted), call.limit, call.cursor)


@routes.route(
    "POST",
    "/payments/{payment_id}/retry",
    roles=OPERATIONS,
    body=RetryBody,
    answers={202: PaymentShape},
    problems=("not_held", "version_conflict"),
)
def retry(call: Call[RetryBody]) -> Answer:
    """Let a held payment go on."""
    body = call.body
    payment = call.wiring.resolve.retry(
        call.path["payment_id"],
        actor=call.actor,
        reason=body.reason,
        vend=body.vend,
        not_issued=body.not_issued,
    )
    return accepted(call.shapes.payment(payment))


@routes.route(
    "POST",
    "/payments/{payment_id}/resolve",
    roles=OPERATIONS,
    body=ResolveBody,
    answers={202: PaymentShape},
    problems=(
        "account_full",
        "device_unassigned",
        "invalid_amount",
        "no_plan",
        "no_tariff",
        "not_held",
        "nothing_to_pay",
        "too_small",
        "unknown_device",
        "version_conflict",
        "wrong_currency",
    ),
)
def resolve(call: Call[ResolveBody]) -> Answer:
    """Say what became of a held payment."""
    _check_outcome(call.body)
    return accepted(call.shapes.payment(_resolved(call)))


def _resolved(call: Call[ResolveBody]) -> Payment:
    ways, payment_id, body = call.wiring.resolve, call.path["payment_id"], call.body
    actor, reason = call.actor, body.reason
    match body.outcome:
        case "token":
            units = None if body.units is None else read_units(body.units, "units")
            return ways.resolve_token(
                payment_id,
                actor=actor,
                reason=reason,
                token=body.token,
                units=units,
                vend=body.vend,
            )
        case "not_issued":
            return ways.resolve_not_issued(payment_id, actor=actor, reason=reason, vend=body.vend)
        case "credit":
            return ways.resolve_credit(payment_id, actor=actor, reason=reason)
        case "not_paid":
            return ways.resolve_not_paid(payment_id, actor=actor, reason=reason)
        case "refunded":
            return ways.resolve_refunded(payment_id, actor=actor, reason=reason)
        case "assign":
            try:
                serial_number = normalise_serial(body.serial_number)
            except InvalidSerial as wrong:
                raise FieldError(wrong.field, wrong.detail, "unknown_device") from wrong
            return ways.resolve_assign(
                payment_id, actor=actor, reason=reason, serial_number=serial_number
            )


@routes.route(
    "POST",
    "/payments/{payment_id}/refund",
    roles=OPERATIONS,
    body=RefundBody,
    answers={202: PaymentShape},
    problems=(
        "full_refund_only",
        "invalid_amount",
        "not_held",
        "not_refundable",
        "reference_conflict",
        "version_conflict",
    ),
)
def refund(call: Call[RefundBody]) -> Answer:
    """Give back what a held payment has bought nothing for."""
    payment = call.wiring.give_back.refund(
        call.path["payment_id"],
        actor=call.actor,
        reason=call.body.reason,
        amount_minor=call.amounts.read_if_given(call.body.amount, "amount"),
    )
    return accepted(call.shapes.payment(payment))


def _check_outcome(body: ResolveBody) -> None:
    """Each outcome has its own fields; a wrong one would be a misunderstanding about money."""
    given = {n for n in ("token", "units", "vend", "serial_number") if getattr(body, n) is not None}
    for name in sorted(given - _USED_BY_OUTCOME[body.outcome]):
        raise FieldError(name, f"is not used with outcome {body.outcome}")
    needed = _NEEDED_BY_OUTCOME.get(body.outcome)
    if needed is not None and needed not in given:
        raise FieldError(needed, f"is required with outcome {body.outcome}")


@routes.route(
    "GET",
    "/messages",
    roles=STAFF,
    query=("payment_id", *LIST),
    answers={200: Listed[MessageShape]},
    problems=("not_found",),
)
def list_messages(call: Call[None]) -> Answer:
    """List the SMS of a payment."""
    payment_id = call.query.get("payment_id", "")
    if not payment_id:
        raise FieldError("payment_id", "is required")
    sent = call.wiring.find_payments.messages(payment_id)
    return listed(part_of(sent, call.limit, call.cursor, lambda sms: sms.number), message)
