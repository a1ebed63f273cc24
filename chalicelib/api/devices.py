"""Devices: show them, sell them, and change what they are."""

from __future__ import annotations

from typing import Any

from chalicelib.api.amounts import read_units
from chalicelib.api.models import (
    ActionBody,
    DeviceActionBody,
    DeviceOwnerBody,
    DeviceTariffBody,
    FreeCreditBody,
    PlanTermsBody,
    ReplacementBody,
    TechnicalBody,
)
from chalicelib.api.routes import STAFF, Answer, Call, Routes, accepted, created, ok, repeated
from chalicelib.api.shapes import DeviceShape, PaymentShape, PlanShape, ReplacementShape
from chalicelib.api.terms import terms_of
from chalicelib.channels.interface import NotFound
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError, InvalidSerial
from chalicelib.domain.serial import normalise_serial
from chalicelib.services.replacement import Substitute
from chalicelib.services.staff import Role

routes = Routes()

OFFICE = (Role.OFFICE,)
OPERATIONS = (Role.OPERATIONS,)


@routes.route("GET", "/devices/{serial_number}", roles=STAFF, answers={200: DeviceShape})
def show_device(call: Call[None]) -> Answer:
    """Show a device, with its last plan."""
    return ok(call.shapes.device(call.wiring.keep_devices.view(_serial_number(call))))


@routes.route(
    "POST",
    "/devices/{serial_number}/plan",
    roles=OFFICE,
    body=PlanTermsBody,
    answers={201: PlanShape},
    problems=(
        "account_full",
        "device_has_open_plan",
        "device_unassigned",
        "invalid_amount",
        "version_conflict",
    ),
)
def sell_device(call: Call[PlanTermsBody]) -> Answer:
    """Sell an SHS or e-bike that has no open plan to its owner, for the first time or again."""
    terms = terms_of(call.body, call.amounts)
    plan = call.wiring.sell_plans.sell_device(_serial_number(call), terms, actor=call.actor)
    return created(call.shapes.plan(plan))


@routes.route(
    "PUT",
    "/devices/{serial_number}/technical",
    roles=OFFICE,
    body=TechnicalBody,
    answers={200: DeviceShape},
    problems=("version_conflict",),
)
def enter_technical(call: Call[TechnicalBody]) -> Answer:
    """Enter what the manufacturer needs of a device. It is never shown again."""
    technical = call.body.model_extra or {}
    try:
        view = call.wiring.keep_devices.enter_technical(
            _serial_number(call), technical, actor=call.actor
        )
    except FieldError as wrong:  # here the body itself is what is below ``technical`` elsewhere
        field = wrong.field.removeprefix("technical.")
        raise FieldError(field, wrong.detail, wrong.code) from wrong
    return ok(call.shapes.device(view))


@routes.route(
    "PUT",
    "/devices/{serial_number}/owner",
    roles=OFFICE,
    body=DeviceOwnerBody,
    answers={200: DeviceShape},
    problems=("account_full", "device_has_open_plan", "version_conflict"),
)
def change_owner(call: Call[DeviceOwnerBody]) -> Answer:
    """Give a device without an open plan to another customer, or to nobody."""
    view = call.wiring.keep_devices.change_owner(
        _serial_number(call), call.body.customer_id, reason=call.body.reason, actor=call.actor
    )
    return ok(call.shapes.device(view))


@routes.route(
    "PUT",
    "/devices/{serial_number}/tariff",
    roles=OFFICE,
    body=DeviceTariffBody,
    answers={200: DeviceShape},
    problems=("version_conflict",),
)
def change_device_tariff(call: Call[DeviceTariffBody]) -> Answer:
    """Put a meter under another tariff."""
    view = call.wiring.keep_devices.change_tariff(
        _serial_number(call), call.body.tariff_id, reason=call.body.reason, actor=call.actor
    )
    return ok(call.shapes.device(view))


# --- what operators do about a device ---------------------------------------------------------


@routes.route(
    "POST",
    "/devices/{serial_number}/free-credit",
    roles=OPERATIONS,
    body=FreeCreditBody,
    answers={202: PaymentShape, 200: PaymentShape},
    idempotent=True,
    problems=("device_unassigned", "reference_conflict", "version_conflict"),
)
def give_free_credit(call: Call[FreeCreditBody]) -> Answer:
    """Give a meter kWh, or an SHS or e-bike days, for nothing, once per Idempotency-Key.

    What is answered carries the token: a payment of nothing.
    """
    given = call.wiring.act_on_devices.give(
        _serial_number(call),
        read_units(call.body.units, "units"),
        reason=call.body.reason,
        key=call.idempotency_key,
        actor=call.actor,
    )
    shape = call.shapes.payment(given.payment)
    if given.repeated:
        return repeated(shape)
    return accepted(shape)


@routes.route(
    "POST",
    "/devices/{serial_number}/unlock",
    roles=OPERATIONS,
    body=DeviceActionBody,
    answers={202: PaymentShape},
    problems=("device_has_open_plan", "device_unassigned", "version_conflict"),
)
def unlock_device(call: Call[DeviceActionBody]) -> Answer:
    """Unlock an SHS or e-bike without an open plan for good."""
    payment = call.wiring.act_on_devices.unlock(
        _serial_number(call), reason=call.body.reason, actor=call.actor
    )
    return accepted(call.shapes.payment(payment))


@routes.route(
    "POST",
    "/devices/{serial_number}/actions",
    roles=OPERATIONS,
    body=ActionBody,
    answers={202: PaymentShape},
    problems=("device_unassigned", "version_conflict"),
)
def act_on_device(call: Call[ActionBody]) -> Answer:
    """Have the manufacturer lock, reset or clear a device, or bring its token counter to ours.

    What is answered carries the token, where there is one to type in: a payment of nothing.
    """
    payment = call.wiring.act_on_devices.act(
        _serial_number(call),
        VendKind(call.body.action),
        reason=call.body.reason,
        actor=call.actor,
    )
    return accepted(call.shapes.payment(payment))


@routes.route(
    "POST",
    "/devices/{serial_number}/replacement",
    roles=(Role.OPERATIONS, Role.OFFICE),
    body=ReplacementBody,
    answers={201: ReplacementShape},
    problems=("device_payments_open", "device_unassigned", "version_conflict"),
)
def replace_device(call: Call[ReplacementBody]) -> Answer:
    """Put another device in the place of one that broke; what is left in it goes along.

    The old one goes into stock. ``payment`` carries the token of what was left, if anything was.
    """
    body = call.body
    by = Substitute(
        body.serial_number,
        manufacturer=body.manufacturer,
        technical=body.technical,
        units=None if body.units is None else read_units(body.units, "units"),
    )
    replaced = call.wiring.replace_devices.replace(
        _serial_number(call), by, reason=body.reason, actor=call.actor
    )
    view = call.wiring.keep_devices.view_of(replaced.device)
    return created(call.shapes.replacement(view, replaced.payment))


@routes.route(
    "POST",
    "/devices/{serial_number}/send-again",
    roles=(Role.OPERATIONS, Role.OFFICE),
    body=DeviceActionBody,
    answers={202: PaymentShape},
    problems=("device_unassigned", "version_conflict"),
)
def send_last_token_again(call: Call[DeviceActionBody]) -> Answer:
    """Send the SMS of the device's last token once more."""
    payment = call.wiring.act_on_devices.send_again(
        _serial_number(call), reason=call.body.reason, actor=call.actor
    )
    return accepted(call.shapes.payment(payment))


def _serial_number(call: Call[Any]) -> str:
    """The serial number in the path; what can be none is nobody's."""
    try:
        return normalise_serial(call.path["serial_number"])
    except InvalidSerial:
        raise NotFound("there is no such device") from None
