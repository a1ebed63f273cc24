"""The company's settings."""

from __future__ import annotations

from chalicelib.api.models import SettingsBody
from chalicelib.api.routes import LIST, Answer, Call, Routes, listed, ok
from chalicelib.api.shapes import (
    Listed,
    SettingsChangeShape,
    SettingsShape,
    settings,
    settings_change,
)
from chalicelib.domain.allocation import OwnArrears
from chalicelib.services.company import Choices
from chalicelib.services.staff import Role

routes = Routes()

ADMIN = (Role.ADMIN,)


@routes.route("GET", "/settings", roles=ADMIN, answers={200: SettingsShape})
def show_settings(call: Call[None]) -> Answer:
    """Show the settings."""
    return ok(settings(call.wiring.keep_company.settings()))


@routes.route(
    "PUT",
    "/settings",
    roles=ADMIN,
    body=SettingsBody,
    answers={200: SettingsShape},
    problems=("invalid_amount", "version_conflict"),
)
def replace_settings(call: Call[SettingsBody]) -> Answer:
    """Replace the settings; they are in force everywhere within 30 seconds."""
    body = call.body
    choices = Choices(
        company=body.company,
        country=body.country,
        currency=body.currency,
        time_zone=body.time_zone,
        languages=tuple(body.languages),
        own_arrears=OwnArrears(body.own_arrears),
        grace_days=body.grace_days,
        late_payment_hours=body.late_payment_hours,
        refund_after_minutes=body.refund_after_minutes,
        maximum_amount=body.maximum_amount,
        confirm_above=body.confirm_above,
    )
    return ok(settings(call.wiring.keep_company.replace(choices, call.actor)))


@routes.route(
    "GET",
    "/settings/changes",
    roles=ADMIN,
    query=LIST,
    answers={200: Listed[SettingsChangeShape]},
)
def list_settings_changes(call: Call[None]) -> Answer:
    """List who changed the settings, when, and what: the newest first."""
    return listed(call.wiring.keep_company.changes(call.limit, call.cursor), settings_change)
