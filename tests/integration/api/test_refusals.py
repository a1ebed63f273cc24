"""What cannot be is refused, says why, and leaves nothing behind.

All tests here share one installation; at the end it must be as it was at the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.api.conftest import (
    PLAN,
    TECHNICAL,
    Api,
    Place,
    Standing,
    meter,
    person,
    registration,
    shs,
)
from tests.integration.api.test_plans import TV, sell, sell_device
from tests.integration.api.test_reference_data import FULL, SETTINGS
from tests.integration.api.test_registrations import register

PERSON = person(Place(1, 1, 1, 2))


@pytest.fixture(scope="module")
def api(standing: Standing) -> Api:
    """The API in front of the shared installation."""
    return standing.api


@pytest.fixture(scope="module")
def place(standing: Standing) -> Place:
    """The shared place."""
    return standing.place


@pytest.fixture(scope="module", autouse=True)
def unchanged(standing: Standing) -> Iterator[None]:
    """Nothing that is refused leaves anything behind."""
    before = standing.everything()
    yield
    assert standing.everything() == before


# --- reference data ---


def test_a_site_below_one_that_is_not_there_is_refused(api: Api) -> None:
    grid = api.post("/mini-grids", {"name": "Pond", "cluster_id": 7})
    assert (grid.status, grid.fields) == (422, ["cluster_id"])
    village = api.post("/villages", {"name": "Homa", "mini_grid_id": 7})
    assert (village.status, village.fields) == (422, ["mini_grid_id"])


@pytest.mark.parametrize("site_id", ["7", "x", "1.5", "-1", "9" * 30, "%20"])
def test_a_site_that_is_not_there_is_not_found(api: Api, site_id: str) -> None:
    assert api.put(f"/clusters/{site_id}", {"name": "West"}).status == 404


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\u0000b", "a\u202eb", 7, None])
def test_a_name_that_nobody_could_read_is_refused(api: Api, name: object) -> None:
    answer = api.post("/clusters", {"name": name})
    assert (answer.status, answer.code, answer.fields) == (422, "invalid", ["name"])


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=", "limit=1&limit=2"])
def test_a_limit_that_is_none_is_refused(api: Api, query: str) -> None:
    answer = api.get(f"/clusters?{query}")
    assert (answer.status, answer.code, answer.fields) == (422, "invalid", ["limit"])


@pytest.mark.parametrize("path", ["/clusters", "/tariffs", "/appliances", "/manufacturers"])
@pytest.mark.parametrize("cursor", ["x", "%F0", "bm9uc2Vuc2U=", "LTE=", "MTIzNDU2Nzg5MDEyMzQ1Njc4"])
def test_a_cursor_of_ones_own_making_is_refused(api: Api, path: str, cursor: str) -> None:
    answer = api.get(f"{path}?cursor={cursor}")
    assert (answer.status, answer.code) == (422, "invalid_cursor")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"price_per_kwh": "0"}, "invalid_amount", "price_per_kwh"),
        ({"price_per_kwh": "-1"}, "invalid_amount", "price_per_kwh"),
        ({"price_per_kwh": "1e3"}, "invalid_amount", "price_per_kwh"),
        ({"price_per_kwh": 25}, "invalid_amount", "price_per_kwh"),
        ({"price_per_kwh": "1.0000001"}, "invalid_amount", "price_per_kwh"),
        (
            {"access_rate": {"amount": "0", "period_days": 7}},
            "invalid_amount",
            "access_rate.amount",
        ),
        ({"access_rate": {"amount": "1", "period_days": 0}}, "invalid", "access_rate.period_days"),
        ({"access_rate": {"amount": "1"}}, "invalid", "access_rate.period_days"),
        ({"minimum_purchase": "0.001"}, "invalid_amount", "minimum_purchase"),
        ({"effective_from": "2026-05-01"}, "invalid", "effective_from"),
        ({"effective_from": "2026-13-01T00:00:00Z"}, "invalid", "effective_from"),
        ({"effective_from": "2026-05-01T00:00:00"}, "invalid", "effective_from"),
        ({"surprise": 1}, "invalid", "surprise"),
        ({"name": ""}, "invalid", "name"),
    ],
)
def test_a_tariff_that_means_nothing_is_refused(
    api: Api, change: dict[str, object], code: str, field: str
) -> None:
    answer = api.post("/tariffs", {**FULL, **change})
    assert (answer.status, answer.code, answer.fields) == (422, code, [field])


def test_a_tariff_that_is_not_there_is_not_found(api: Api) -> None:
    assert api.get("/tariffs/7").status == 404
    assert api.put("/tariffs/7", FULL).status == 404


def test_a_new_tariff_cannot_begin_in_the_past(api: Api) -> None:
    answer = api.post("/tariffs", {**FULL, "effective_from": "2026-03-10T08:59:59Z"})
    assert (answer.status, answer.fields) == (422, ["effective_from"])


@pytest.mark.parametrize(
    ("plan", "code", "field"),
    [
        ({"down_payment": "1000"}, "invalid", "default_plan.down_payment"),
        ({"instalment_amount": "1001"}, "invalid", "default_plan.instalments"),
        (
            {"instalments": None, "instalment_amount": "1001"},
            "invalid",
            "default_plan.instalment_amount",
        ),
        ({"instalments": None}, "invalid", "default_plan.instalments"),
        ({"instalments": 0}, "invalid", "default_plan.instalments"),
        ({"instalments": 601}, "invalid", "default_plan.instalments"),
        ({"every": "day"}, "invalid", "default_plan.every"),
        ({"down_payment": "x"}, "invalid_amount", "default_plan.down_payment"),
        ({"first_due_after_days": -1}, "invalid", "default_plan.first_due_after_days"),
    ],
)
def test_a_default_plan_that_could_not_be_sold_is_refused(
    api: Api, plan: dict[str, object], code: str, field: str
) -> None:
    default_plan = {"instalments": 10, "every": "week", "first_due_after_days": 7, **plan}
    body = {"name": "TV", "kind": "appliance", "price": "1000", "default_plan": default_plan}
    answer = api.post("/appliances", body)
    assert (answer.status, answer.code, answer.fields) == (422, code, [field])


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"company": " "}, "invalid", "company"),
        ({"country": "XX"}, "invalid", "country"),
        ({"currency": "ABC"}, "invalid", "currency"),
        ({"currency": "kes"}, "invalid", "currency"),
        ({"time_zone": "Africa/Atlantis"}, "invalid", "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "invalid", "time_zone"),
        ({"time_zone": "Africa"}, "invalid", "time_zone"),
        ({"languages": []}, "invalid", "languages"),
        ({"languages": ["en", "en"]}, "invalid", "languages"),
        ({"languages": ["tlh"]}, "invalid", "languages"),
        ({"own_arrears": "gift"}, "invalid", "own_arrears"),
        ({"grace_days": -1}, "invalid", "grace_days"),
        ({"grace_days": True}, "invalid", "grace_days"),
        ({"maximum_amount": "0"}, "invalid_amount", "maximum_amount"),
        ({"maximum_amount": "1.5"}, "invalid_amount", "maximum_amount"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    api: Api, change: dict[str, object], code: str, field: str
) -> None:
    answer = api.put("/settings", {**SETTINGS, **change})
    assert (answer.status, answer.code, answer.fields) == (422, code, [field])


# --- registrations ---


@pytest.mark.parametrize(
    ("customer", "fields"),
    [
        ({"customer_id": "C9"}, ["customer.customer_id"]),
        ({"customer_id": "C1", "name": "Asha"}, ["customer.name"]),
        ({}, ["customer.name", "customer.surname", "customer.phone", "customer.village_id"]),
        ({"name": "A", "surname": "B", "phone": "+254712345678"}, ["customer.village_id"]),
    ],
)
def test_a_customer_is_a_whole_person_or_an_id(
    api: Api, place: Place, customer: object, fields: list[str]
) -> None:
    answer = register(api, registration(customer, meter(place)))
    assert (answer.status, answer.code, answer.fields) == (422, "invalid", fields)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"serial_number": "§"}, "invalid", "device.serial_number"),
        ({"serial_number": "x" * 41}, "invalid", "device.serial_number"),
        ({"serial_number": 47001}, "invalid", "device.serial_number"),
        ({"manufacturer": "acme"}, "invalid", "device.manufacturer"),
        ({"tariff_id": None}, "invalid", "device.tariff_id"),
        ({"tariff_id": 9}, "invalid", "device.tariff_id"),
        ({"tariff_id": "1"}, "invalid", "device.tariff_id"),
        ({"tariff_id": True}, "invalid", "device.tariff_id"),
        ({"village_id": 9}, "invalid", "device.village_id"),
        ({"plan": PLAN}, "invalid", "device.plan"),
        ({"appliance_id": 1}, "invalid", "device.appliance_id"),
        ({"technical": {"secret_key": "x"}}, "invalid", "device.technical.secret_key"),
        ({"surprise": 1}, "invalid", "device.surprise"),
    ],
)
def test_a_meter_that_cannot_be_is_refused(
    api: Api, place: Place, change: dict[str, Any], code: str, field: str
) -> None:
    answer = register(api, registration(person(place), meter(place, **change)))
    assert (answer.status, answer.code, answer.fields) == (422, code, [field])


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"plan": None}, "invalid", "device.plan"),
        ({"plan": None, "appliance_id": 1}, "invalid", "device.appliance_id"),
        ({"plan": None, "appliance_id": 9}, "invalid", "device.appliance_id"),
        ({"tariff_id": 1}, "invalid", "device.tariff_id"),
        ({"technical": None}, "invalid", "device.technical.secret_key"),
        ({"technical": {}}, "invalid", "device.technical.secret_key"),
        ({"technical": {**TECHNICAL, "count": 1.5}}, "invalid", "device.technical.count"),
        ({"plan": {**PLAN, "total": "0"}}, "invalid_amount", "device.plan.total"),
        ({"plan": {**PLAN, "total": 7000}}, "invalid_amount", "device.plan.total"),
        ({"plan": {**PLAN, "total": "1,000"}}, "invalid_amount", "device.plan.total"),
        ({"plan": {**PLAN, "total": "1000000.01"}}, "invalid_amount", "device.plan.total"),
        ({"plan": {**PLAN, "down_payment": "7000"}}, "invalid", "device.plan.down_payment"),
        ({"plan": {**PLAN, "down_payment": "-1"}}, "invalid_amount", "device.plan.down_payment"),
        ({"plan": {**PLAN, "already_paid": "7000.01"}}, "invalid", "device.plan.already_paid"),
        ({"plan": {**PLAN, "instalments": 601}}, "invalid", "device.plan.instalments"),
        ({"plan": {**PLAN, "instalments": 0}}, "invalid", "device.plan.instalments"),
        ({"plan": {**PLAN, "instalments": None}}, "invalid", "device.plan.instalments"),
        (
            {"plan": {**PLAN, "instalment_amount": "700"}},
            "invalid",
            "device.plan.instalments",
        ),
        (
            {"plan": {**PLAN, "instalments": None, "instalment_amount": "7001"}},
            "invalid",
            "device.plan.instalment_amount",
        ),
        ({"plan": {**PLAN, "every": "day"}}, "invalid", "device.plan.every"),
        ({"plan": {**PLAN, "first_due": "10/03/2026"}}, "invalid", "device.plan.first_due"),
        ({"plan": {**PLAN, "first_due": "2026-02-30"}}, "invalid", "device.plan.first_due"),
        ({"plan": {**PLAN, "first_due": "9999-12-31"}}, "invalid", "device.plan.first_due"),
    ],
)
def test_an_shs_that_cannot_be_is_refused(
    api: Api, place: Place, change: dict[str, Any], code: str, field: str
) -> None:
    answer = register(api, registration(person(place), shs(**change)), "office")
    assert (answer.status, answer.code, answer.fields) == (422, code, [field])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": " "}, "customer.name"),
        ({"surname": "x" * 61}, "customer.surname"),
        ({"name": "a\nb\u0007"}, "customer.name"),
        ({"phone": "12"}, "customer.phone"),
        ({"phone": "0712 345 67"}, "customer.phone"),
        ({"phone": "call me"}, "customer.phone"),
        ({"phone": 254712345678}, "customer.phone"),
        ({"village_id": 9}, "customer.village_id"),
    ],
)
def test_a_person_that_cannot_be_is_refused(
    api: Api, place: Place, change: dict[str, Any], field: str
) -> None:
    answer = register(api, registration(person(place, **change), meter(place)))
    assert (answer.status, answer.code, answer.fields) == (422, "invalid", [field])


@pytest.mark.parametrize("day", ["2026-03-11", "1999-12-31", "yesterday", "2026-3-1", 20260310])
def test_a_day_of_registration_is_today_or_past(api: Api, place: Place, day: object) -> None:
    answer = register(api, registration(person(place), meter(place), registered_on=day))
    assert (answer.status, answer.fields) == (422, ["registered_on"])


@pytest.mark.parametrize("role", ["office", "admin", ("admin", "office")])
def test_a_meter_is_registered_in_the_field_only(
    api: Api, place: Place, role: str | tuple[str, ...]
) -> None:
    answer = register(api, registration(person(place), meter(place)), role)
    assert (answer.status, answer.code) == (403, "meter_registration_requires_app")


# --- customers ---


@pytest.mark.parametrize("query", ["phone=nonsense", "phone=", "name=zz", "number=9"])
def test_what_fits_nobody_finds_nobody(api: Api, place: Place, query: str) -> None:
    assert api.get(f"/customers?{query}").json == {"items": [], "next": None}


@pytest.mark.parametrize("path", ["C9", "x" * 3000, "%00", "C1%2F..", "%E0%A4"])
def test_a_customer_who_is_not_there_is_not_found(api: Api, place: Place, path: str) -> None:
    for answer in (
        api.get(f"/customers/{path}"),
        api.get(f"/customers/{path}/account"),
        api.put(f"/customers/{path}", person(place), "office"),
    ):
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("at", ["2026-03-09", "2036-03-18", "x", "", "2026-3-11", "2026-02-30"])
def test_an_account_is_shown_as_of_a_day_from_today_on(api: Api, place: Place, at: str) -> None:
    answer = api.get(f"/customers/C1/account?at={at}")
    assert (answer.status, answer.fields) == (422, ["at"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"surname": None}, "surname"),
        ({"phone": "x"}, "phone"),
        ({"village_id": 9}, "village_id"),
        ({"email": "a@b"}, "email"),
    ],
)
def test_a_customer_that_cannot_be_is_refused(
    api: Api, place: Place, change: dict[str, object], field: str
) -> None:
    for answer in (
        api.post("/customers", person(place, **change), "office"),
        api.put("/customers/C1", person(place, **change), "office"),
    ):
        assert (answer.status, answer.code, answer.fields) == (422, "invalid", [field])


# --- plans ---


@pytest.mark.parametrize("key", ["", "x" * 65, "a b", "ä", "a/b"])
def test_a_sale_needs_a_key_of_its_own(api: Api, key: str) -> None:
    answer = sell(api, {**TV, "name": "TV"}, key)
    assert (answer.status, answer.fields) == (422, ["Idempotency-Key"])


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({}, "invalid", "appliance_id"),
        ({"appliance_id": 1, "name": "TV"}, "invalid", "appliance_id"),
        ({"appliance_id": 9}, "invalid", "appliance_id"),
        ({"appliance_id": 2}, "invalid", "appliance_id"),
        ({"name": "x" * 61}, "invalid", "name"),
        ({"name": "TV", "total": "1e3"}, "invalid_amount", "total"),
        ({"name": "TV", "instalments": 0}, "invalid", "instalments"),
        ({"name": "TV", "serial_number": "1"}, "invalid", "serial_number"),
    ],
)
def test_a_sale_that_means_nothing_is_refused(
    api: Api, place: Place, change: dict[str, Any], code: str, field: str
) -> None:
    answer = sell(api, {**TV, **change})
    assert (answer.status, answer.code, answer.fields) == (422, code, [field])


def test_nothing_is_sold_to_nobody(api: Api) -> None:
    assert sell(api, {**TV, "name": "TV"}, customer_id="C9").status == 404


@pytest.mark.parametrize("serial_number", ["SHS9", "%C2%A7"])
def test_a_device_that_is_not_there_is_not_sold(api: Api, serial_number: str) -> None:
    assert sell_device(api, PLAN, serial_number).status == 404


# --- devices ---


@pytest.mark.parametrize("path", ["SHS9", "%C2%A7", "x" * 300, "%20"])
def test_a_device_that_is_not_there_is_not_found(api: Api, path: str) -> None:
    assert api.get(f"/devices/{path}").status == 404
    for part, body in (
        ("technical", TECHNICAL),
        ("tariff", {"tariff_id": 1}),
        ("owner", {"customer_id": None, "reason": "x"}),
    ):
        assert api.put(f"/devices/{path}/{part}", body, "office").status == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"secret_key": "xyz"}, "secret_key"),
        ({"secret_key": None}, "secret_key"),
        ({"starting_code": 0}, "starting_code"),
        ({"value_divider": 0}, "value_divider"),
        ({"value_divider": 1.0}, "value_divider"),
        ({"restricted_digits": "yes"}, "restricted_digits"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_the_manufacturer_cannot_use_is_refused(
    api: Api, change: dict[str, Any], field: str
) -> None:
    answer = api.put("/devices/SOLD/technical", {**TECHNICAL, **change}, "office")
    assert (answer.status, answer.code, answer.fields) == (422, "invalid", [field])


# --- payments ---


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "unknown_partner"),
        ({"Mwanga-Partner": "demo"}, "invalid_signature"),
        ({"Mwanga-Partner": "demo", "Mwanga-Signature": "t=1,v1=" + "0" * 64}, "invalid_signature"),
    ],
)
def test_whoever_does_not_sign_is_turned_away(api: Api, headers: dict[str, str], code: str) -> None:
    answer = api.send("POST", "/payments/direct", {}, role=None, headers=headers)
    assert (answer.status, answer.code) == (401, code)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "serial_number"),
        ("serial_number=1&status=held", "serial_number"),
        ("status=completed", "status"),
        ("customer_id=", "customer_id"),
        ("serial_number=", "serial_number"),
        ("status=nonsense", "status"),
        ("serial_number=%C2%A7", "serial_number"),
        ("customer_id=" + "x" * 1001, "customer_id"),
    ],
)
def test_a_list_of_payments_says_whose(api: Api, query: str, field: str) -> None:
    answer = api.get(f"/payments?{query}")
    assert (answer.status, answer.fields) == (422, [field])


@pytest.mark.parametrize("cursor", ["", "x", "o.", "o.x", "s.x", "q.x"])
@pytest.mark.parametrize("whose", ["serial_number=SHS1", "customer_id=C1", "status=held"])
def test_a_made_up_cursor_is_refused(api: Api, whose: str, cursor: str) -> None:
    answer = api.get(f"/payments?{whose}&cursor={cursor}")
    assert (answer.status, answer.code) == (422, "invalid_cursor")


@pytest.mark.parametrize("payment_id", ["none", "x" * 3000, "%00"])
def test_a_payment_that_is_not_there_is_not_found(api: Api, payment_id: str) -> None:
    assert api.get(f"/payments/{payment_id}").status == 404
    retry = api.post(f"/payments/{payment_id}/retry", {"reason": "x"}, "operations")
    assert retry.status == 404


@pytest.mark.parametrize(
    ("query", "status"), [("", 422), ("?payment_id=", 422), ("?payment_id=x", 404)]
)
def test_messages_are_those_of_a_payment(api: Api, query: str, status: int) -> None:
    assert api.get(f"/messages{query}").status == status


# --- auth ---


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer nonsense", "Basic YTpi", "ä"])
def test_whoever_shows_no_token_is_asked_to_log_in(api: Api, header: str) -> None:
    answer = api.send("GET", "/villages", role=None, headers={"Authorization": header})
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


# --- edge ---


def test_who_calls_is_checked_before_what_they_send(api: Api) -> None:
    answer = api.send("POST", "/tariffs", role=None, raw=b"{" * 100_000)
    assert answer.status == 401


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"name": "A", "name": "B"}',
        b'{"name": {"a": 1, "a": 2}}',
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'\xef\xbb\xbf{"name": "A"}',
        b"[" * 60_000,
        b'{"name":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"name": ' + b"1" * 5_000 + b"}",
        b'{"name": "A"} trailing',
    ],
)
def test_what_is_not_one_clear_json_object_is_malformed(api: Api, raw: bytes) -> None:
    answer = api.send("POST", "/clusters", raw=raw)
    assert (answer.status, answer.code) == (400, "malformed")


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml"]
)
def test_a_body_of_another_kind_is_not_read(api: Api, content_type: str) -> None:
    answer = api.send("POST", "/clusters", {"name": "West"}, headers={"Content-Type": content_type})
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


def test_a_body_larger_than_any_honest_one_is_refused(api: Api) -> None:
    answer = api.send("POST", "/clusters", raw=b'{"name": "' + b"x" * 65_536 + b'"}')
    assert (answer.status, answer.code) == (413, "too_large")


def test_all_that_is_wrong_with_a_body_is_told_at_once(api: Api) -> None:
    answer = api.post("/villages", {"surprise": 1, "mini_grid_id": "1"})
    assert sorted(answer.fields) == ["mini_grid_id", "name", "surprise"]


def test_no_more_is_told_than_anybody_reads(api: Api) -> None:
    answer = api.post("/clusters", {"x" * 300 + str(n): n for n in range(100)})
    assert len(answer.json["errors"]) == 20
    assert max(len(field) for field in answer.fields) == 100


def test_path_values_are_decoded_once(api: Api) -> None:
    assert api.get("/payments/a%2Fb").status == 404
    assert "a%2Fb" in api.get("/payments/a%252Fb").json["detail"]


def test_a_problem_has_the_agreed_shape(api: Api) -> None:
    answer = api.post("/clusters", {})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json == {
        "type": "about:blank",
        "title": "Invalid",
        "status": 422,
        "code": "invalid",
        "detail": "name: Field required",
        "errors": [{"field": "name", "message": "Field required"}],
        "request_id": answer.headers["x-request-id"],
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/health", 200), ("GET", "/clusters", 401), ("POST", "/auth/login", 400)],
)
def test_every_answer_has_a_request_id_of_its_own(
    api: Api, method: str, path: str, status: int
) -> None:
    first, second = (api.send(method, path, role=None) for _ in range(2))
    assert first.status == second.status == status
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_no_answer_is_kept_by_a_cache_on_the_way(api: Api) -> None:
    assert api.get("/clusters").headers["cache-control"] == "no-store"


def test_the_docs_load_nothing_and_run_nothing(api: Api) -> None:
    page = api.get("/docs", None)
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src")
    assert 'href="openapi.json"' in page.text
    assert "src=" not in page.text and "<script" not in page.text
