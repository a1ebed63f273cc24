"""Customers, their registrations, their accounts, and what becomes of their plans and credit."""

from __future__ import annotations

from chalicelib.api.models import (
    CreditRefundBody,
    CustomerBody,
    CustomerPlanBody,
    NewDeviceBody,
    OwnerBody,
    PlanCancelBody,
    PlanChangeBody,
    PlanWriteOffBody,
    RegistrationBody,
    read_day,
)
from chalicelib.api.routes import LIST, STAFF, Answer, Call, Routes, created, listed, ok, repeated
from chalicelib.api.shapes import (
    AccountShape,
    CreditRefundShape,
    CustomerShape,
    Listed,
    PlanShape,
    RegistrationShape,
    Shapes,
    customer,
)
from chalicelib.api.terms import rhythm_of, terms_of
from chalicelib.channels.interface import FieldErrors
from chalicelib.domain.errors import FieldError
from chalicelib.services.customers import Person
from chalicelib.services.register import NewDevice
from chalicelib.services.staff import Role

routes = Routes()

OFFICE = (Role.OFFICE,)

_PERSON_FIELDS = ("name", "surname", "phone", "village_id")


# --- registrations ----------------------------------------------------------------------------


@routes.route(
    "POST",
    "/registrations",
    roles=(Role.FIELD, Role.OFFICE),
    body=RegistrationBody,
    answers={201: RegistrationShape, 200: RegistrationShape},
    problems=("account_full", "invalid_amount", "meter_registration_requires_app"),
)
def register(call: Call[RegistrationBody]) -> Answer:
    """Register a customer and a device, together or not at all; again: what is stored."""
    body = call.body
    registered = call.wiring.register.register(
        _owner(body.customer),
        _new_device(body.device, call),
        body.registered_on,
        actor=call.actor,
        meters_too=call.in_the_field,
    )
    shape = RegistrationShape(
        customer=customer(registered.customer), device=call.shapes.device(registered.device)
    )
    return ok(shape) if registered.repeated else created(shape)


def _owner(body: OwnerBody) -> Person | str:
    """A person, or the id of a customer: one of the two, and whole."""
    given = [name for name in _PERSON_FIELDS if getattr(body, name) is not None]
    if body.customer_id is not None:
        wrong, message = given, "not together with customer_id"
    else:
        wrong, message = [n for n in _PERSON_FIELDS if n not in given], "is required"
    if wrong:
        raise FieldErrors(tuple(FieldError(f"customer.{name}", message) for name in wrong))
    if body.customer_id is not None:
        return body.customer_id
    return Person(
        name=body.name or "",
        surname=body.surname or "",
        phone=body.phone or "",
        village_id=body.village_id or 0,
    )


def _new_device(body: NewDeviceBody, call: Call[RegistrationBody]) -> NewDevice:
    return NewDevice(
        serial_number=body.serial_number,
        manufacturer=body.manufacturer,
        village_id=body.village_id,
        tariff_id=body.tariff_id,
        appliance_id=body.appliance_id,
        terms=terms_of(body.plan, call.amounts, "device.plan.") if body.plan else None,
        technical=body.technical,
    )


# --- customers --------------------------------------------------------------------------------


@routes.route(
    "POST",
    "/customers",
    roles=OFFICE,
    body=CustomerBody,
    answers={201: CustomerShape, 200: CustomerShape},
)
def create_customer(call: Call[CustomerBody]) -> Answer:
    """Make a customer without a device; the one of that phone and name, where there is one."""
    person, is_new = call.wiring.keep_customers.create(_person(call.body), actor=call.actor)
    return created(customer(person)) if is_new else ok(customer(person))


@routes.route(
    "GET",
    "/customers",
    roles=STAFF,
    query=("phone", "name", "number", *LIST),
    answers={200: Listed[CustomerShape]},
)
def list_customers(call: Call[None]) -> Answer:
    """List customers: all, or those of a phone, of a name's beginning, or of a number."""
    page = call.wiring.keep_customers.find(
        limit=call.limit,
        cursor=call.cursor,
        phone=call.query.get("phone"),
        name=call.query.get("name"),
        number=call.queried_number("number"),
    )
    return listed(page, customer)


@routes.route("GET", "/customers/{customer_id}", roles=STAFF, answers={200: CustomerShape})
def show_customer(call: Call[None]) -> Answer:
    """Show a customer."""
    return ok(customer(call.wiring.keep_customers.get(call.path["customer_id"])))


@routes.route(
    "PUT",
    "/customers/{customer_id}",
    roles=OFFICE,
    body=CustomerBody,
    answers={200: CustomerShape},
    problems=("customer_erased", "name_taken", "version_conflict"),
)
def replace_customer(call: Call[CustomerBody]) -> Answer:
    """Change who a customer is."""
    changed = call.wiring.keep_customers.replace(
        call.path["customer_id"], _person(call.body), actor=call.actor
    )
    return ok(customer(changed))


def _person(body: CustomerBody) -> Person:
    return Person(body.name, body.surname, body.phone, body.village_id)


# --- accounts and plans -----------------------------------------------------------------------


@routes.route(
    "GET",
    "/customers/{customer_id}/account",
    roles=STAFF,
    query=("at",),
    answers={200: AccountShape},
)
def show_account(call: Call[None]) -> Answer:
    """Show what a customer owes and has, today or as of a later day."""
    try:
        at = read_day(call.query["at"]) if "at" in call.query else None
    except ValueError:
        raise FieldError("at", "must be a day such as 2026-01-08") from None
    view = call.wiring.view_accounts.view(call.path["customer_id"], at)
    return ok(Shapes(call.wiring.catalogue.settings(), view.moment).account(view))


@routes.route(
    "POST",
    "/customers/{customer_id}/plans",
    roles=OFFICE,
    body=CustomerPlanBody,
    idempotent=True,
    answers={201: PlanShape, 200: PlanShape},
    problems=("account_full", "invalid_amount", "reference_conflict", "version_conflict"),
)
def sell_appliance(call: Call[CustomerPlanBody]) -> Answer:
    """Sell an appliance on a plan, once per Idempotency-Key."""
    body = call.body
    sale = call.wiring.sell_plans.sell_appliance(
        call.path["customer_id"],
        terms_of(body, call.amounts),
        appliance_id=body.appliance_id,
        name=body.name,
        key=call.idempotency_key,
        actor=call.actor,
    )
    shape = call.shapes.plan(sale.plan)
    if sale.repeated:
        return repeated(shape)
    return created(shape)


@routes.route(
    "PUT",
    "/customers/{customer_id}/plans/{plan_id}",
    roles=OFFICE,
    body=PlanChangeBody,
    answers={200: PlanShape},
    problems=("invalid_amount", "version_conflict"),
)
def change_plan(call: Call[PlanChangeBody]) -> Answer:
    """Give an open plan a new total, or a new rhythm for what is open, or both."""
    body = call.body
    plan = call.wiring.change_plans.change(
        call.path["customer_id"],
        call.path["plan_id"],
        total_minor=call.amounts.read_if_given(body.total, "total"),
        rhythm=rhythm_of(body, call.amounts),
        reason=body.reason,
        actor=call.actor,
    )
    return ok(call.shapes.plan(plan))


@routes.route(
    "POST",
    "/customers/{customer_id}/plans/{plan_id}/cancel",
    roles=OFFICE,
    body=PlanCancelBody,
    answers={200: PlanShape},
    problems=("invalid_amount", "version_conflict"),
)
def cancel_plan(call: Call[PlanCancelBody]) -> Answer:
    """End an open plan: what is open is no longer owed, what was paid may become credit."""
    plan = call.wiring.change_plans.cancel(
        call.path["customer_id"],
        call.path["plan_id"],
        credit_minor=call.amounts.read_or_zero(call.body.credit, "credit"),
        reason=call.body.reason,
        actor=call.actor,
    )
    return ok(call.shapes.plan(plan))


@routes.route(
    "POST",
    "/customers/{customer_id}/plans/{plan_id}/write-off",
    roles=OFFICE,
    body=PlanWriteOffBody,
    answers={200: PlanShape},
    problems=("version_conflict",),
)
def write_off_plan(call: Call[PlanWriteOffBody]) -> Answer:
    """End an open plan that will never be paid; its device may be unlocked all the same."""
    plan = call.wiring.change_plans.write_off(
        call.path["customer_id"],
        call.path["plan_id"],
        unlock=call.body.unlock,
        reason=call.body.reason,
        actor=call.actor,
    )
    return ok(call.shapes.plan(plan))


# --- credit -----------------------------------------------------------------------------------


@routes.route(
    "POST",
    "/customers/{customer_id}/credit/refunds",
    roles=(Role.OPERATIONS,),
    body=CreditRefundBody,
    idempotent=True,
    key_optional=True,
    answers={201: CreditRefundShape, 200: CreditRefundShape},
    problems=("invalid_amount", "not_refundable", "reference_conflict", "version_conflict"),
)
def refund_credit(call: Call[CreditRefundBody]) -> Answer:
    """Give credit back by hand; with an Idempotency-Key it is done once."""
    refund = call.wiring.refund_credit.refund(
        call.path["customer_id"],
        call.amounts.read(call.body.amount, "amount"),
        reason=call.body.reason,
        key=call.idempotency_key_if_given,
        actor=call.actor,
    )
    shape = call.shapes.credit_refund(refund)
    if refund.repeated:
        return repeated(shape)
    return created(shape)
