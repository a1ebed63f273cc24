"""Whatever is sent, the answer is a problem of the caller's, never a failure of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.api.application import all_routes
from chalicelib.api.problems import STATUS_BY_CODE
from chalicelib.api.routes import Route
from chalicelib.services.staff import Identity, InvalidCredentials
from chalicelib.wiring import Wiring
from tests.integration.api.conftest import PATH_SECRET, PLAN, TECHNICAL, Api, Place, Standing

ROUTES = [route for route in all_routes(Wiring().channels) if route.path != "/auth/logout"]
BODIES: dict[str, dict[str, Any]] = {
    "/registrations": {
        "customer": {"name": "A", "surname": "B", "phone": "+254712345678", "village_id": 1},
        "device": {
            "serial_number": "S1",
            "manufacturer": "openpaygo",
            "plan": PLAN,
            "technical": TECHNICAL,
        },
        "registered_on": "2026-03-01",
    },
    "/customer-registration-app": {
        "id": 1,
        "name": "A",
        "surname": "B",
        "phone": "+254712345678",
        "serial_number": "S9",
        "tariff_id": 1,
        "city_id": 1,
        "manufacturer": 1,
        "meter_type": 1,
        "geo_points": "0,0",
        "local": True,
    },
    "/registrations/{registration_id}/resolve": {
        "reason": "x",
        "outcome": "register",
        "corrections": {"phone": "+254712345678", "plan": PLAN, "technical": TECHNICAL},
    },
    "/auth/login": {"email": "amina@example.com", "password": "x"},
    "/auth/password": {"email": "amina@example.com", "password": "x", "new_password": "y" * 12},
    "/customers/{customer_id}/plans": {"name": "TV", **PLAN},
    "/customers/{customer_id}/plans/{plan_id}": {"reason": "x", **PLAN},
    "/customers/{customer_id}/plans/{plan_id}/cancel": {"reason": "x", "credit": "1"},
    "/customers/{customer_id}/plans/{plan_id}/write-off": {"reason": "x", "unlock": True},
    "/customers/{customer_id}/credit/refunds": {"reason": "x", "amount": "1"},
    "/devices/{serial_number}/plan": PLAN,
    "/devices/{serial_number}/technical": TECHNICAL,
    "/devices/{serial_number}/owner": {"customer_id": "C1", "reason": "x"},
    "/tariffs": {
        "name": "T",
        "price_per_kwh": "1",
        "access_rate": {"amount": "1", "period_days": 7},
        "effective_from": "2026-06-01T00:00:00Z",
    },
    "/appliances": {
        "name": "A",
        "kind": "shs",
        "price": "1",
        "default_plan": {"instalments": 1, "every": "week", "first_due_after_days": 1},
    },
    "/settings": {
        "company": "A",
        "country": "KE",
        "currency": "KES",
        "time_zone": "Africa/Nairobi",
        "languages": ["en"],
        "maximum_amount": "1000000",
    },
    "/payments/daraja/{path_secret}/confirmation": {
        "TransID": "RKTQDM7W6S",
        "TransTime": "20260310120000",
        "TransAmount": "500",
        "BusinessShortCode": "600966",
        "BillRefNumber": "S1",
    },
    "/payments/direct": {
        "reference": "R1",
        "serial_number": "S1",
        "amount": "1",
        "currency": "KES",
    },
}

OURS = [path for path in BODIES if "daraja" not in path]

TEXTS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "",
            " ",
            "0",
            "-1",
            "1e400",
            "\x00",
            "../..",
            "p-" + "x" * 300,
            "٣",
            "NaN",
            "2026-02-30",
            PATH_SECRET,
        ]
    ),
)
LEAVES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(10**40), max_value=10**40),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def bodies(draw: st.DrawFn, path: str) -> Any:
    """A body that is right but for one value somewhere, or anything at all."""
    body = BODIES.get(path)
    if body is None or draw(st.integers(0, 4)) == 0:
        return draw(VALUES)
    if "device" in body:
        unknown = f"S{draw(st.integers(2, 10**9))}"
        body = {**body, "device": {**body["device"], "serial_number": unknown}}
    return _spoilt(draw, body)


def _spoilt(draw: st.DrawFn, body: dict[str, Any]) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(body)))
    value = body[name]
    if isinstance(value, dict) and draw(st.booleans()):
        return {**body, name: _spoilt(draw, value)}
    if draw(st.integers(0, 5)) == 0:
        return {key: other for key, other in body.items() if key != name}
    return {**body, name: draw(VALUES)}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A method, an address and a body."""
    route = draw(st.sampled_from(ROUTES))
    parts = [
        quote(draw(TEXTS), safe="") or "%20" if part.startswith("{") else part
        for part in route.path.split("/")
    ]
    query = draw(st.dictionaries(st.sampled_from([*route.query, "other"]), TEXTS, max_size=3))
    address = "/".join(parts)
    if query:
        address += "?" + "&".join(f"{name}={quote(text, safe='')}" for name, text in query.items())
    return route.method, address, draw(bodies(route.path))


PROVIDERS_OWN = tuple(
    route.path.partition("{")[0]
    for route in ROUTES
    if route.signed and not route.path.startswith("/payments/direct")
    if not route.path.endswith("/checkouts")
)
"""Routes that answer in their provider's own words."""


class Nobody:
    """A pool of staff with nobody in it."""

    def check(self, email: str, password: str) -> Identity:
        raise InvalidCredentials

    def change(self, email: str, password: str, new_password: str) -> Identity:
        raise InvalidCredentials

    def roles_now(self, username: str) -> tuple[str, ...] | None:
        return None


@pytest.fixture
def staffed(api: Api, place: Place) -> Iterator[Api]:
    """An installation with something in it, and somebody who may do everything."""
    api.wiring.identities = Nobody()
    api.post("/registrations", BODIES["/registrations"], "office")
    yield api


@settings(max_examples=300)
@given(request=requests(), key=st.sampled_from(["k1", "k2", "k3"]))
def test_no_request_breaks_the_api(staffed: Api, request: tuple[str, str, Any], key: str) -> None:
    method, address, body = request
    headers = {"Idempotency-Key": key, **staffed.signed(body)}
    answer = staffed.send(method, address, body, role=("admin", "field"), headers=headers)
    assert answer.status < 500, (request, answer.text)
    if answer.status >= 400 and not address.startswith(PROVIDERS_OWN):
        assert STATUS_BY_CODE[answer.code] == answer.status


@settings(max_examples=100)
@given(raw=st.binary(max_size=200), path=st.sampled_from(sorted(OURS)))
def test_no_bytes_break_the_api(staffed: Api, raw: bytes, path: str) -> None:
    names = {
        "{customer_id}": "C1",
        "{serial_number}": "S1",
        "{plan_id}": "p-1",
        "{registration_id}": "r-1",
    }
    address = "/".join(names.get(part, part) for part in path.split("/"))
    method = "PUT" if address.endswith(("technical", "owner", "settings", "p-1")) else "POST"
    answer = staffed.send(method, address, raw=raw, headers={"Idempotency-Key": "k"})
    assert answer.status in (400, 401, 422), (raw, answer.text)


ODD_PATHS = (
    "%2F",
    "..%2F..%2Fetc",
    "%2e%2e",
    "%00",
    "%25",
    "%C3%28",
    "%E1%88%80",
    "%ED%A0%80",
    "a%0d%0aSet-Cookie:x",
    "x" * 10_000,
)
"""Encoded slashes and dots, bytes that are no UTF-8, a surrogate, line ends, ten kilobytes."""


@pytest.mark.parametrize("route", [r for r in ROUTES if "{" in r.path], ids=lambda r: r.name)
def test_odd_variables_in_a_path_are_nobody_s(standing: Standing, route: Route) -> None:
    for odd in ODD_PATHS:
        address = "/".join(odd if part.startswith("{") else part for part in route.path.split("/"))
        answer = standing.api.send(
            route.method, address, {}, headers={"Idempotency-Key": "k"}, role="admin"
        )
        assert 400 <= answer.status < 500 or route.signed, (address[:80], answer.text)
        assert answer.status < 500
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_another_site_can_neither_act_nor_read(standing: Standing, route: Route) -> None:
    """A browser sends no token of ours by itself, and is allowed to show nothing to other sites."""
    address = route.path.replace("{", "").replace("}", "")
    headers = {
        "Origin": "https://evil.example",
        "Cookie": "session=admin@example.com; token=admin@example.com",
        "Content-Type": "text/plain",
        "X-HTTP-Method-Override": "DELETE",
    }
    answer = standing.api.send(route.method, address, role=None, headers=headers, raw=b"{}")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "set-cookie" not in answer.headers
    if not (route.public or route.signed):
        assert answer.code == "unauthorized"


@pytest.mark.parametrize(
    "raw",
    [
        '{"name": "A"}'.encode("utf-16"),
        '{"name": "Ä"}'.encode("latin-1"),
        b'{"name": "\xc0\xaf"}',
        b'{"name": "\\ud800"}',
        b'\xef\xbb\xbf{"name": "A", "name": "B"}',
        b'{"name": ' + b"[" * 30_000,
        b'{"name": 1e999999999}',
        b"{" + b'"a":{' * 5_000,
    ],
)
def test_a_body_in_another_encoding_or_of_any_depth_is_refused(
    standing: Standing, raw: bytes
) -> None:
    answer = standing.api.send("POST", "/clusters", raw=raw)
    assert answer.status in (400, 422), answer.text
