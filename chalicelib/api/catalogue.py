"""Manufacturers, tariffs and appliances: what devices are, and what things cost."""

from __future__ import annotations

from chalicelib.api.amounts import Amounts
from chalicelib.api.models import ApplianceBody, DefaultPlanBody, TariffBody
from chalicelib.api.parts import part_of
from chalicelib.api.routes import LIST, STAFF, Answer, Call, Routes, created, listed, ok
from chalicelib.api.shapes import (
    ApplianceShape,
    Listed,
    ManufacturerShape,
    TariffShape,
    manufacturer,
)
from chalicelib.domain.plan import Every
from chalicelib.domain.tariff import AccessRate
from chalicelib.services.ports import ApplianceKind, DefaultPlan
from chalicelib.services.staff import Role
from chalicelib.services.tariffs import TariffTerms

routes = Routes()

ADMIN = (Role.ADMIN,)


@routes.route(
    "GET", "/manufacturers", roles=STAFF, query=LIST, answers={200: Listed[ManufacturerShape]}
)
def list_manufacturers(call: Call[None]) -> Answer:
    """List the manufacturers whose devices can be registered."""
    known = call.wiring.manufacturers.all()
    page = part_of(known, call.limit, call.cursor, lambda each: each.manufacturer_id)
    return listed(page, manufacturer)


# --- tariffs ----------------------------------------------------------------------------------


@routes.route(
    "POST",
    "/tariffs",
    roles=ADMIN,
    body=TariffBody,
    answers={201: TariffShape},
    problems=("invalid_amount", "name_taken"),
)
def create_tariff(call: Call[TariffBody]) -> Answer:
    """Make a tariff. It is in force at once."""
    tariff = call.wiring.keep_tariffs.create(_tariff_terms(call), actor=call.actor)
    return created(call.shapes.tariff(tariff))


@routes.route("GET", "/tariffs", roles=STAFF, query=LIST, answers={200: Listed[TariffShape]})
def list_tariffs(call: Call[None]) -> Answer:
    """List the tariffs."""
    return listed(call.wiring.keep_tariffs.list(call.limit, call.cursor), call.shapes.tariff)


@routes.route("GET", "/tariffs/{tariff_id}", roles=STAFF, answers={200: TariffShape})
def show_tariff(call: Call[None]) -> Answer:
    """Show a tariff, as it was last changed."""
    return ok(call.shapes.tariff(call.wiring.keep_tariffs.get(call.number("tariff_id"))))


@routes.route(
    "PUT",
    "/tariffs/{tariff_id}",
    roles=ADMIN,
    body=TariffBody,
    answers={200: TariffShape},
    problems=("invalid_amount", "name_taken", "version_conflict"),
)
def replace_tariff(call: Call[TariffBody]) -> Answer:
    """Change a tariff, from 60 seconds from now on or later."""
    tariff_id, terms = call.number("tariff_id"), _tariff_terms(call)
    tariff = call.wiring.keep_tariffs.replace(tariff_id, terms, actor=call.actor)
    return ok(call.shapes.tariff(tariff))


def _tariff_terms(call: Call[TariffBody]) -> TariffTerms:
    body, amounts = call.body, call.amounts
    fee = body.access_rate
    return TariffTerms(
        name=body.name,
        price_minor=amounts.read_price(body.price_per_kwh, "price_per_kwh"),
        access_rate=AccessRate(amounts.read(fee.amount, "access_rate.amount"), fee.period_days)
        if fee
        else None,
        minimum_purchase_minor=amounts.read_or_zero(body.minimum_purchase, "minimum_purchase"),
        effective_from=body.effective_from,
    )


# --- appliances -------------------------------------------------------------------------------


@routes.route(
    "POST",
    "/appliances",
    roles=ADMIN,
    body=ApplianceBody,
    answers={201: ApplianceShape},
    problems=("invalid_amount", "name_taken"),
)
def create_appliance(call: Call[ApplianceBody]) -> Answer:
    """Make an appliance."""
    body, amounts = call.body, call.amounts
    appliance = call.wiring.keep_appliances.create(
        body.name,
        ApplianceKind(body.kind),
        amounts.read(body.price, "price"),
        _default_plan(body.default_plan, amounts) if body.default_plan else None,
        body.manufacturer,
        actor=call.actor,
    )
    return created(call.shapes.appliance(appliance))


@routes.route("GET", "/appliances", roles=STAFF, query=LIST, answers={200: Listed[ApplianceShape]})
def list_appliances(call: Call[None]) -> Answer:
    """List the appliances."""
    return listed(call.wiring.keep_appliances.list(call.limit, call.cursor), call.shapes.appliance)


def _default_plan(plan: DefaultPlanBody, amounts: Amounts) -> DefaultPlan:
    return DefaultPlan(
        every=Every(plan.every),
        first_due_after_days=plan.first_due_after_days,
        down_payment_minor=amounts.read_or_zero(plan.down_payment, "default_plan.down_payment"),
        instalments=plan.instalments,
        instalment_minor=amounts.read_if_given(
            plan.instalment_amount, "default_plan.instalment_amount"
        ),
    )
