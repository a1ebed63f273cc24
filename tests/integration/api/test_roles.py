"""Who may call what. The table is written down apart from the routes themselves."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from chalice.app import Chalice

from chalicelib.api.application import all_routes, create_app
from chalicelib.api.routes import Route
from chalicelib.services.ports import Session
from chalicelib.services.staff import Role
from chalicelib.wiring import Wiring
from tests.integration.api.conftest import Standing

PUBLIC = {
    ("POST", "/auth/login"),
    ("POST", "/auth/password"),
    ("GET", "/health"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/office"),
    ("GET", "/pay"),
    ("POST", "/pay"),
    ("GET", "/pay/{payment_id}"),
    ("GET", "/office/{file}"),
}
ROUTES = all_routes(Wiring().channels)
EVERYBODY = {role.value for role in Role}

ALLOWED = {
    ("POST", "/auth/logout"): EVERYBODY,
    ("GET", "/clusters"): EVERYBODY,
    ("POST", "/clusters"): {"admin"},
    ("PUT", "/clusters/{site_id}"): {"admin"},
    ("DELETE", "/clusters/{site_id}"): {"admin"},
    ("GET", "/mini-grids"): EVERYBODY,
    ("POST", "/mini-grids"): {"admin"},
    ("PUT", "/mini-grids/{site_id}"): {"admin"},
    ("DELETE", "/mini-grids/{site_id}"): {"admin"},
    ("GET", "/villages"): EVERYBODY,
    ("POST", "/villages"): {"admin"},
    ("PUT", "/villages/{site_id}"): {"admin"},
    ("DELETE", "/villages/{site_id}"): {"admin"},
    ("GET", "/manufacturers"): EVERYBODY,
    ("GET", "/tariffs"): EVERYBODY,
    ("POST", "/tariffs"): {"admin"},
    ("GET", "/tariffs/{tariff_id}"): EVERYBODY,
    ("PUT", "/tariffs/{tariff_id}"): {"admin"},
    ("GET", "/appliances"): EVERYBODY,
    ("POST", "/appliances"): {"admin"},
    ("POST", "/registrations"): {"admin", "field", "office"},
    ("GET", "/registrations"): EVERYBODY,
    ("POST", "/registrations/{registration_id}/resolve"): {"admin", "office"},
    ("POST", "/devices/{serial_number}/free-credit"): {"admin", "operations"},
    ("POST", "/devices/{serial_number}/unlock"): {"admin", "operations"},
    ("POST", "/devices/{serial_number}/send-again"): {"admin", "operations", "office"},
    ("POST", "/devices/{serial_number}/actions"): {"admin", "operations"},
    ("POST", "/devices/{serial_number}/replacement"): {"admin", "operations", "office"},
    ("POST", "/imports"): {"admin"},
    ("GET", "/imports"): {"admin"},
    ("GET", "/imports/{import_id}"): {"admin"},
    ("GET", "/imports/{import_id}/errors"): {"admin"},
    ("GET", "/imports/{import_id}/portfolio"): {"admin"},
    ("POST", "/imports/{import_id}/write"): {"admin"},
    ("POST", "/reports"): {"admin", "finance", "operations"},
    ("GET", "/reports"): {"admin", "finance", "operations"},
    ("GET", "/reports/{report_id}"): {"admin", "finance", "operations"},
    ("GET", "/reports/{report_id}/files/{number}"): {"admin", "finance", "operations"},
    ("GET", "/reports/{report_id}/text"): {"admin", "finance", "operations"},
    ("GET", "/customers/{customer_id}/statement"): EVERYBODY,
    ("GET", "/customers/{customer_id}/statement/csv"): EVERYBODY,
    ("GET", "/customers/{customer_id}/statement/text"): EVERYBODY,
    ("POST", "/exports"): {"admin", "finance"},
    ("GET", "/exports"): {"admin", "finance"},
    ("GET", "/exports/{export_id}"): {"admin", "finance"},
    ("GET", "/exports/{export_id}/files/{number}"): {"admin", "finance"},
    ("POST", "/customer-registration-app"): {"admin", "field"},
    ("GET", "/customer-registration-app/manufacturers"): {"admin", "field"},
    ("GET", "/customer-registration-app/meter-types"): {"admin", "field"},
    ("GET", "/customer-registration-app/tariffs"): {"admin", "field"},
    ("GET", "/customer-registration-app/cities"): {"admin", "field"},
    ("GET", "/customer-registration-app/connection-groups"): {"admin", "field"},
    ("GET", "/customer-registration-app/connection-types"): {"admin", "field"},
    ("GET", "/customer-registration-app/sub-connection-types"): {"admin", "field"},
    ("GET", "/customer-registration-app/people"): {"admin", "field"},
    ("POST", "/customers"): {"admin", "office"},
    ("GET", "/customers"): EVERYBODY,
    ("GET", "/customers/{customer_id}"): EVERYBODY,
    ("PUT", "/customers/{customer_id}"): {"admin", "office"},
    ("GET", "/customers/{customer_id}/account"): EVERYBODY,
    ("GET", "/customers/{customer_id}/personal-data"): {"admin"},
    ("POST", "/customers/{customer_id}/erasure"): {"admin"},
    ("GET", "/changes"): {"admin", "operations", "finance"},
    ("POST", "/customers/{customer_id}/plans"): {"admin", "office"},
    ("PUT", "/customers/{customer_id}/plans/{plan_id}"): {"admin", "office"},
    ("POST", "/customers/{customer_id}/plans/{plan_id}/cancel"): {"admin", "office"},
    ("POST", "/customers/{customer_id}/plans/{plan_id}/write-off"): {"admin", "office"},
    ("POST", "/customers/{customer_id}/credit/refunds"): {"admin", "operations"},
    ("GET", "/devices/{serial_number}"): EVERYBODY,
    ("POST", "/devices/{serial_number}/plan"): {"admin", "office"},
    ("PUT", "/devices/{serial_number}/technical"): {"admin", "office"},
    ("PUT", "/devices/{serial_number}/owner"): {"admin", "office"},
    ("PUT", "/devices/{serial_number}/tariff"): {"admin", "office"},
    ("GET", "/payments"): EVERYBODY,
    ("GET", "/payments/{payment_id}"): EVERYBODY,
    ("POST", "/payments/cash"): {"admin", "office"},
    ("POST", "/payments/agent"): {"admin", "agent"},
    ("GET", "/agents"): {"admin", "office", "operations", "finance"},
    ("GET", "/agents/{agent_id}"): {"admin", "office", "operations", "finance"},
    ("PUT", "/agents/{agent_id}"): {"admin"},
    ("POST", "/agents/{agent_id}/receipts"): {"admin", "office", "operations"},
    ("GET", "/agents/{agent_id}/entries"): {"admin", "office", "operations", "finance"},
    ("POST", "/statements/{channel}"): {"admin", "operations"},
    ("GET", "/statements/{channel}/{statement_id}"): {"admin", "operations", "finance"},
    ("POST", "/payments/{payment_id}/retry"): {"admin", "operations"},
    ("POST", "/payments/{payment_id}/resolve"): {"admin", "operations"},
    ("POST", "/payments/{payment_id}/refund"): {"admin", "operations"},
    ("GET", "/messages"): EVERYBODY,
    ("GET", "/reconciliations"): {"admin", "operations", "finance"},
    ("GET", "/pauses"): EVERYBODY,
    ("PUT", "/pauses/channels/{key}"): {"admin", "operations"},
    ("PUT", "/pauses/manufacturers/{key}"): {"admin", "operations"},
    ("DELETE", "/pauses/channels/{key}"): {"admin", "operations"},
    ("DELETE", "/pauses/manufacturers/{key}"): {"admin", "operations"},
    ("GET", "/settings"): {"admin"},
    ("PUT", "/settings"): {"admin"},
    ("GET", "/settings/changes"): {"admin"},
}
"""Who may call what, as it was agreed; written down apart from the routes themselves."""


EXPIRED, LOGGED_OUT = "expired", "logged out"
"""Tokens of sessions that were an admin's."""


@pytest.fixture(scope="module", autouse=True)
def sessions_that_have_ended(standing: Standing) -> None:
    """One whose time has passed and one that was ended."""
    api = standing.api
    now = api.clock.now()
    for token, expires_at in ((EXPIRED, now), (LOGGED_OUT, now + timedelta(days=1))):
        digest = hashlib.sha256(token.encode()).hexdigest()
        session = Session(digest, "u", "a@example.com", ("admin",), expires_at, checked_at=now)
        api.wiring.sessions.put(session)
    api.wiring.log_in.log_out(LOGGED_OUT)


def test_the_public_routes_are_exactly_these() -> None:
    assert {(route.method, route.path) for route in ROUTES if route.public} == PUBLIC


def test_every_route_of_the_app_says_who_may_call_it() -> None:
    app: Chalice = create_app(Wiring())
    mounted = {(method, path) for path, methods in app.routes.items() for method in methods}
    assert mounted == {(route.method, route.path) for route in ROUTES}
    staffs = {(route.method, route.path) for route in ROUTES if route.roles}
    assert staffs == set(ALLOWED)


def test_signed_routes_are_the_channels_alone() -> None:
    signed = [route.path for route in ROUTES if route.signed]
    assert signed and all(path.startswith("/payments/") for path in signed)


def test_a_route_that_does_not_say_who_may_call_it_cannot_be_declared() -> None:
    def handler(call: Any) -> Any:
        return call

    with pytest.raises(ValueError, match="must say who may call it"):
        Route("GET", "/secret", handler)
    with pytest.raises(ValueError, match="must say who may call it"):
        Route("GET", "/secret", handler, roles=(Role.ADMIN,), public=True)


def test_one_path_level_has_one_variable_name() -> None:
    names: dict[tuple[str, ...], set[str]] = {}
    for route in ROUTES:
        parts = route.path.split("/")
        for level, part in enumerate(parts):
            if part.startswith("{"):
                names.setdefault(tuple(parts[:level]), set()).add(part)
    assert all(len(variables) == 1 for variables in names.values()), names


@pytest.mark.parametrize("word", ["exec", "exe", "cmd", "sql", "query", "mpesa", "safaricom"])
def test_no_path_has_a_word_that_a_provider_forbids(word: str) -> None:
    assert not [route.path for route in ROUTES if word in route.path.lower()]


@pytest.mark.parametrize(("method", "path"), sorted(ALLOWED))
def test_a_route_opens_to_its_roles_and_to_nobody_else(
    standing: Standing, method: str, path: str
) -> None:
    api = standing.api
    address = path.replace("{", "").replace("}", "")
    for token in (None, "guessed", EXPIRED, LOGGED_OUT):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        nobody = api.send(method, address, role=None, headers=headers)
        assert (nobody.status, nobody.code) == (401, "unauthorized"), token
    for role in EVERYBODY:
        status = api.send(method, address, {}, role=role).status
        if role in ALLOWED[method, path]:
            assert status not in (401, 403, 500), role
        else:
            assert status == 403, role
    api.forget_tokens()  # some have just logged out
