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
from chalicelib.wiring import Wiring
from tests.integration.api.conftest import PATH_SECRET, PLAN, TECHNICAL, Api, Place

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


PROVIDERS_OWN = ("/payments/daraja/", "/payments/paystack/webhook")
"""Routes that answer in their provider's own words."""


@pytest.fixture
def staffed(api: Api, place: Place) -> Iterator[Api]:
    """An installation with something in it, and somebody who may do everything."""
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
    names = {"{customer_id}": "C1", "{serial_number}": "S1", "{plan_id}": "p-1"}
    address = "/".join(names.get(part, part) for part in path.split("/"))
    method = "PUT" if address.endswith(("technical", "owner", "settings", "p-1")) else "POST"
    answer = staffed.send(method, address, raw=raw, headers={"Idempotency-Key": "k"})
    assert answer.status in (400, 401, 422), (raw, answer.text)
