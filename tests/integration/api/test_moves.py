"""Moving in and out: a whole portfolio by file, and everything out again as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import AccountFull
from chalicelib.services.portfolio.contents import Technical, customer_rows
from chalicelib.services.portfolio.imports import parts_of
from chalicelib.services.portfolio.rows import Row
from chalicelib.services.ports import ConditionFailed, OutcomeUnknown, TryAgain, VersionConflict
from chalicelib.wiring import Wiring
from tests.integration.api.conftest import (
    TECHNICAL,
    Api,
    Place,
    books_differ,
    entries,
    meter,
    person,
    put_secrets,
    registration,
)
from tests.integration.api.moving import (
    EXAMPLE,
    checked,
    errors,
    file_of,
    moved_in,
    moved_out,
    send_file,
    step,
    together,
    work,
)
from tests.integration.company import FixedClock
from tests.integration.conftest import Cloud, installed
from tests.unit.services import mpm_exports as mpm

Cells = dict[str, str]

CUSTOMER = {
    "record": "customer",
    "customer": "1",
    "name": "Baraka",
    "surname": "Otieno",
    "phone": "+254722000111",
    "village": "Kisumu",
}
METER = {
    "record": "device",
    "customer": "1",
    "serial_number": "47002",
    "manufacturer": "calin",
    "tariff": "Home",
}
SHS = {
    "record": "device",
    "customer": "1",
    "serial_number": "SHS9",
    "manufacturer": "openpaygo",
    "registered_on": "2025-06-01",
    "technical": json.dumps({**TECHNICAL, "count": 7}),
}
TV = {
    "record": "plan",
    "customer": "1",
    "appliance": "TV",
    "total": "3000.00",
    "instalments": "10",
    "every": "month",
    "first_due": "2026-04-01",
}


# --- in -------------------------------------------------------------------------------------------


def test_the_example_of_the_documentation_moves_in(api: Api, cloud: Cloud) -> None:
    moving = moved_in(api, cloud, EXAMPLE.read_bytes())
    counts = {name: moving[name] for name in ("rows", "written_rows", "failed_rows", "percent")}
    assert counts == {"rows": 15, "written_rows": 15, "failed_rows": 0, "percent": 100}
    assert (moving["state"], moving["written_by"]) == ("done", "admin@example.com")

    asha = api.get("/customers/C1/account").json
    [of_meter] = asha["devices"]
    assert asha["credit"] == "20.00"
    assert (of_meter["serial_number"], of_meter["carry"]) == ("47001", {"amount": "12.50"})
    fees = [debt for debt in asha["debts"] if debt["kind"] == "access_rate"]
    assert [fee["amount"] for fee in fees] == ["25.00", "50.00", "50.00"]
    [television] = asha["plans"]
    assert (television["paid"], television["total"]) == ("1200.00", "3000.00")

    baraka = api.get("/customers/C2/account").json
    assert baraka["plans"][0]["paid"] == "2800.00"
    assert baraka["devices"][0]["paid_until"] == "2026-03-12T18:00:00.000Z"
    assert api.get("/devices/SHS2").json["state"] == "unlocked"
    assert api.get("/devices/SHS3").json["state"] == "unassigned"
    for customer_id in ("C1", "C2", "C3"):
        assert books_differ(api, customer_id) == []


def test_nothing_is_taken_in_before_somebody_says_so(api: Api, cloud: Cloud) -> None:
    moving = checked(api, cloud, EXAMPLE.read_bytes())
    assert moving["state"] == "checked"
    assert api.get("/customers").json["items"] == []
    assert api.get("/villages").json["items"] == []


def test_of_a_file_with_an_error_nothing_can_be_taken_in(
    api: Api, cloud: Cloud, place: Place
) -> None:
    moving = checked(api, cloud, file_of(CUSTOMER, {**METER, "carry": "x"}))
    assert (moving["state"], moving["error_count"]) == ("refused", 1)
    reply = api.post(f"/imports/{moving['import_id']}/write", None)
    assert (reply.status, reply.code) == (409, "not_checked")
    assert api.get("/customers").json["items"] == []


def test_a_meter_that_moves_in_says_so_in_its_entry(api: Api, cloud: Cloud, place: Place) -> None:
    moved_in(api, cloud, file_of(CUSTOMER, METER))
    [entry] = entries(api, "C1")
    assert entry.reason.startswith("move-in, file ")
    assert entry.reason.endswith(", row 3")
    assert entry.actor == "admin@example.com"


def test_every_step_may_come_twice(api: Api, cloud: Cloud) -> None:
    moving = checked(api, cloud, EXAMPLE.read_bytes())
    import_id = moving["import_id"]
    api.post(f"/imports/{import_id}/write", None)
    api.post(f"/imports/{import_id}/write", None)
    messages = cloud.take("moves")
    assert len(messages) == 2
    for message in [*messages, *messages]:
        step(api, message["body"])
    for message in cloud.take("moves"):
        step(api, message["body"])
        step(api, message["body"])
    step(api, {"what": "check", "move_id": import_id, "part": 0})
    after = api.get(f"/imports/{import_id}", "admin").json
    assert (after["state"], after["written_rows"], after["failed_rows"]) == ("done", 15, 0)
    assert len(api.get("/customers").json["items"]) == 3
    assert api.post(f"/imports/{import_id}/write", None).json["state"] == "done"
    assert cloud.take("moves") == []
    assert books_differ(api, "C1") == []


def test_the_same_file_sent_twice_is_taken_in_once(api: Api, cloud: Cloud) -> None:
    first = checked(api, cloud, EXAMPLE.read_bytes())
    second = checked(api, cloud, EXAMPLE.read_bytes())
    for moving in (first, second):
        api.post(f"/imports/{moving['import_id']}/write", None)
    work(api, cloud)
    listed = api.get("/imports", "admin").json["items"]
    assert [(m["state"], m["failed_rows"]) for m in listed] == [("done", 0), ("done", 0)]
    account = api.get("/customers/C1/account").json
    assert (account["credit"], len(account["plans"])) == ("20.00", 1)
    assert books_differ(api, "C1") == []

    third = checked(api, cloud, EXAMPLE.read_bytes())
    assert third["state"] == "refused"
    assert (9, "serial_number", "is registered") in errors(api, third)


def test_what_others_did_meanwhile_is_told_row_by_row_and_the_rest_goes_on(
    api: Api, cloud: Cloud, place: Place
) -> None:
    rows = [
        {**CUSTOMER, "credit": "5"},
        METER,
        {**METER, "serial_number": "47003"},
        {**METER, "serial_number": "47004", "tariff": "Farm"},
        {**METER, "serial_number": "47005"},
        TV,
        {**CUSTOMER, "customer": "2", "name": "Zawadi", "village": "Homa Bay"},
        {**METER, "customer": "2", "serial_number": "47006"},
        {**TV, "customer": "2"},
        {**METER, "customer": "", "serial_number": "47007", "village": "Kisumu"},
        {"record": "village", "name": "Homa Bay", "parent": "Lake"},
        {"record": "village", "name": "Mbita", "parent": "Hill"},
        {"record": "mini_grid", "name": "Hill", "parent": "East"},
        {"record": "cluster", "name": "East"},
        {"record": "tariff", "name": "Farm", "price_per_kwh": "70"},
        {"record": "tariff", "name": "Shop", "price_per_kwh": "80"},
    ]
    moving = checked(api, cloud, file_of(*rows))
    assert moving["state"] == "checked", errors(api, moving)
    # Meanwhile somebody registers the customer, two of the devices, and a tariff of that name …
    known = person(place, name="Baraka", surname="Otieno", phone="+254722000111")
    api.post("/registrations", registration(known, meter(place, serial_number="47002")), "field")
    other = person(place)
    for serial_number in ("47003", "47007"):
        api.post(
            "/registrations",
            registration(other, meter(place, serial_number=serial_number)),
            "field",
        )
    api.post("/tariffs", {"name": "Shop", "price_per_kwh": "81"})
    api.post(f"/imports/{moving['import_id']}/write", None)
    # … and once the places are written, deletes one of them.
    [first] = cloud.take("moves")
    step(api, first["body"])
    homa_bay = next(v for v in api.get("/villages").json["items"] if v["name"] == "Homa Bay")
    assert api.send("DELETE", f"/villages/{homa_bay['id']}").status == 204
    work(api, cloud)

    after = api.get(f"/imports/{moving['import_id']}", "admin").json
    assert (after["state"], after["written_rows"], after["failed_rows"]) == ("done", 9, 7)
    found = {(row, column): message for row, column, message in errors(api, after)}
    assert found == {
        (3, "serial_number"): "was registered by somebody else meanwhile",
        (4, "serial_number"): "is registered already, and not with them",
        (8, "village"): "there is none of that name (any more)",
        (9, "customer"): "the row of the customer could not be written",
        (10, "customer"): "the row of the customer could not be written",
        (11, "serial_number"): "is registered already",
        (17, "name"): "the one that is registered has other prices",
    }
    baraka = next(c for c in api.get("/customers").json["items"] if c["name"] == "Baraka")
    account = api.get(f"/customers/{baraka['id']}/account").json
    serials = [device["serial_number"] for device in account["devices"]]
    assert (serials, account["credit"]) == (["47002", "47004", "47005"], "5.00")
    assert books_differ(api, baraka["id"]) == []


def test_places_that_vanish_meanwhile_are_told(api: Api, cloud: Cloud, place: Place) -> None:
    api.post("/clusters", {"name": "East"})
    rows = [
        {"record": "mini_grid", "name": "Hill", "parent": "East"},
        CUSTOMER,
        {**TV, "appliance": "Fan"},
        {"record": "appliance", "name": "Fan", "kind": "appliance", "price": "500"},
    ]
    moving = checked(api, cloud, file_of(*rows))
    east = next(c for c in api.get("/clusters").json["items"] if c["name"] == "East")
    assert api.send("DELETE", f"/clusters/{east['id']}").status == 204
    api.post(f"/imports/{moving['import_id']}/write", None)
    work(api, cloud)
    found = errors(api, moving)
    assert found == [(2, "parent", "there is none of that name (any more)")]


def test_credit_is_brought_once_in_a_life(api: Api, cloud: Cloud, place: Place) -> None:
    one = checked(api, cloud, file_of({**CUSTOMER, "credit": "5"}))
    other = checked(api, cloud, file_of({**CUSTOMER, "credit": "6"}))
    for moving in (one, other):
        api.post(f"/imports/{moving['import_id']}/write", None)
        work(api, cloud)
    assert errors(api, one) == []
    assert errors(api, other) == [(2, "credit", "the customer has moved in with credit before")]
    assert api.get("/customers/C1/account").json["credit"] == "5.00"


def test_credit_waits_for_others_at_the_account(
    api: Api, cloud: Cloud, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = checked(api, cloud, file_of({**CUSTOMER, "credit": "5"}))
    api.post(f"/imports/{moving['import_id']}/write", None)
    [first] = cloud.take("moves")
    step(api, first["body"])
    [second] = cloud.take("moves")
    accounts = api.wiring.accounts
    change, failures = accounts.change, [VersionConflict("C1"), ConditionFailed("guard")]

    def busy(*given: Any, **more: Any) -> None:
        if failures:
            raise failures.pop()
        change(*given, **more)

    monkeypatch.setattr(accounts, "change", busy)
    step(api, second["body"])
    assert api.get("/customers/C1/account").json["credit"] == "5.00"


def test_credit_at_an_account_that_is_never_free_is_tried_again_later(
    api: Api, cloud: Cloud, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = checked(api, cloud, file_of({**CUSTOMER, "credit": "5"}))
    api.post(f"/imports/{moving['import_id']}/write", None)
    [first] = cloud.take("moves")
    step(api, first["body"])
    [second] = cloud.take("moves")

    def busy(*_: Any, **__: Any) -> None:
        raise VersionConflict("C1")

    monkeypatch.setattr("time.sleep", lambda _: None)
    with monkeypatch.context() as patched:
        patched.setattr(api.wiring.accounts, "change", busy)
        with pytest.raises(TryAgain):
            step(api, second["body"])
    assert api.get(f"/imports/{moving['import_id']}", "admin").json["state"] == "writing"
    step(api, second["body"])
    assert api.get(f"/imports/{moving['import_id']}", "admin").json["state"] == "done"


@pytest.mark.parametrize("busy", [TryAgain, OutcomeUnknown])
def test_a_row_waits_for_a_store_that_is_busy(
    api: Api,
    cloud: Cloud,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    busy: type[Exception],
) -> None:
    moving = checked(api, cloud, file_of(CUSTOMER, METER, TV))
    api.post(f"/imports/{moving['import_id']}/write", None)
    [first] = cloud.take("moves")
    step(api, first["body"])
    [second] = cloud.take("moves")
    register, failures = api.wiring.registry.register, [busy() for _ in range(4)]

    def conflicts(*given: Any) -> None:
        if failures:
            raise failures.pop()
        register(*given)

    monkeypatch.setattr(api.wiring.registry, "register", conflicts)
    step(api, second["body"])
    after = api.get(f"/imports/{moving['import_id']}", "admin").json
    assert (after["state"], after["written_rows"], after["failed_rows"]) == ("done", 3, 0)


def test_a_file_that_another_worker_has_checked_stays_as_it_was_decided(
    api: Api, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_id = send_file(api, EXAMPLE.read_bytes()).json["import_id"]
    [message] = cloud.take("moves")
    get = api.wiring.imports.get
    stale = get(import_id)
    step(api, message["body"])
    with monkeypatch.context() as patched:
        patched.setattr(api.wiring.imports, "get", lambda _: stale)
        step(api, message["body"])
    assert api.get(f"/imports/{import_id}", "admin").json["state"] == "checked"


def test_a_file_that_is_not_kept_any_more_is_told(api: Api, cloud: Cloud, place: Place) -> None:
    import_id = send_file(api, file_of(CUSTOMER)).json["import_id"]
    delete_files(cloud, f"imports/{import_id}")
    work(api, cloud)
    assert errors(api, {"import_id": import_id}) == [
        (1, "file", "is not kept any more: send it again")
    ]
    moving = checked(api, cloud, file_of(CUSTOMER))
    api.post(f"/imports/{moving['import_id']}/write", None)
    delete_files(cloud, f"imports/{moving['import_id']}")
    work(api, cloud)
    assert api.get(f"/imports/{moving['import_id']}", "admin").json["written_rows"] == 0


def delete_files(cloud: Cloud, prefix: str) -> None:
    """As the bucket does after a month."""
    bucket = "test-files-123456789012"
    for found in cloud.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
        cloud.s3.delete_object(Bucket=bucket, Key=found["Key"])


def test_steps_of_what_is_not_there_do_nothing(api: Api, cloud: Cloud) -> None:
    for what in ("check", "write", "export"):
        step(api, {"what": what, "move_id": "nothing", "part": 0})
    moving = checked(api, cloud, b"record,name\ncluster,West\n")
    step(api, {"what": "write", "move_id": moving["import_id"], "part": 0})
    assert api.get("/clusters").json["items"] == []


def test_parts_keep_what_is_one_customers_together() -> None:
    rows = [
        *(Row(n, {"record": "device", "customer": str(n % 60)}) for n in range(120)),
        *(Row(200 + n, {"record": "customer", "customer": str(n)}) for n in range(60)),
        Row(300, {"record": "device"}),
        Row(301, {"record": "Village"}),
    ]
    shared, *parts = parts_of(rows)
    assert [row.line for row in shared] == [301]
    assert [len(part) for part in parts] == [102, 79]
    for part in parts:
        customers = {row.cell("customer") for row in part}
        assert len([row for row in part if row.cell("record") == "customer"]) == len(
            customers - {""}
        )


def test_an_account_that_has_filled_up_meanwhile_takes_no_more(
    api: Api, cloud: Cloud, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = checked(api, cloud, file_of(CUSTOMER, METER, TV))

    def full(*_: Any, **__: Any) -> None:
        raise AccountFull("an account holds at most 100 devices")

    monkeypatch.setattr(api.wiring.register, "register", full)
    api.post(f"/imports/{moving['import_id']}/write", None)
    work(api, cloud)
    assert errors(api, moving) == [(3, "customer", "an account holds at most 100 devices")]
    assert api.get(f"/imports/{moving['import_id']}", "admin").json["written_rows"] == 2


# --- what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        ("record\n".encode("utf-16"), "UTF-16"),
        ("record,name\nvillage,Ñ\n".encode("latin-1"), "not UTF-8"),
        (b"PK\x03\x04", "workbook"),
        (b"record\x00", "not a text file"),
    ],
)
def test_a_file_that_is_no_csv_is_refused_and_not_kept(
    api: Api, cloud: Cloud, content: bytes, message: str
) -> None:
    reply = send_file(api, content)
    assert (reply.status, reply.code, reply.fields) == (422, "invalid", ["file"])
    assert message in reply.text
    assert api.get("/imports", "admin").json["items"] == []


@pytest.mark.parametrize("content", [b"record,name\n", b"name\nA\n", b'record\n"a"b\n'])
def test_a_file_without_rows_is_refused_by_the_check(
    api: Api, cloud: Cloud, content: bytes
) -> None:
    moving = checked(api, cloud, content)
    [(row, column, message)] = errors(api, moving)
    assert (moving["state"], row, column) == ("refused", 1, "file")
    assert message


def test_a_file_of_another_kind_or_size_is_refused(api: Api) -> None:
    reply = send_file(api, b"x", **{"Content-Type": "image/png"})
    assert (reply.status, reply.code) == (415, "unsupported_media_type")
    reply = send_file(api, b"x" * (4 * 1024 * 1024 + 1))
    assert (reply.status, reply.code) == (413, "too_large")
    reply = api.send("POST", "/imports?format=xls", raw=b"x", headers={"Content-Type": "text/csv"})
    assert (reply.status, reply.fields) == (422, ["format"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/imports/none"),
        ("GET", "/imports/none/errors"),
        ("POST", "/imports/none/write"),
        ("GET", "/exports/none"),
        ("GET", "/exports/none/files/1"),
    ],
)
def test_what_is_not_there_is_not_found(api: Api, method: str, path: str) -> None:
    reply = api.send(method, path)
    assert (reply.status, reply.code) == (404, "not_found")


# --- from another system -------------------------------------------------------------------------


def test_exports_of_another_system_move_in_and_can_be_taken_as_a_portfolio(
    api: Api, cloud: Cloud
) -> None:
    extra = b"record,name,price_per_kwh\ntariff,Home,100\n"
    devices = [device for device in mpm.DEVICES if device["device_info"]["manufacturer"] != "Kelin"]
    sold = mpm.export([mpm.TV, mpm.SHS])
    files = {
        "people.json": mpm.export(mpm.PEOPLE),
        "devices.json": mpm.export(devices),
        "appliances.json": mpm.export(mpm.APPLIANCES),
        "sold.json": sold,
        "debts.json": mpm.export([mpm.DEBT]),
        "extra.csv": extra,
    }
    sent = api.send(
        "POST",
        "/imports?format=mpm",
        raw=mpm.archive(**files),
        headers={"Content-Type": "application/zip"},
    )
    path = f"/imports/{sent.json['import_id']}"
    assert api.get(f"{path}/portfolio", "admin").status == 404
    work(api, cloud)
    moving = api.get(path, "admin").json
    assert moving["state"] == "checked", errors(api, moving)
    converted = api.get(f"{path}/portfolio", "admin").text
    assert len(rows_in([converted])) == moving["rows"]
    api.post(f"{path}/write", None)
    work(api, cloud)
    assert api.get(path, "admin").json["failed_rows"] == 0
    account = api.get("/customers/C1/account").json
    assert sorted(plan["paid"] for plan in account["plans"]) == ["1399.50", "700.00"]
    assert books_differ(api, "C1") == []


def test_of_our_own_format_nothing_is_converted(api: Api, cloud: Cloud) -> None:
    moving = checked(api, cloud, EXAMPLE.read_bytes())
    assert api.get(f"/imports/{moving['import_id']}/portfolio", "admin").status == 404


# --- out ------------------------------------------------------------------------------------------


amounts = st.integers(0, 40_000).map(lambda minor: f"{minor // 100}.{minor % 100:02}")
days = st.dates(min_value=date(2025, 6, 1), max_value=date(2026, 3, 10)).map(date.isoformat)


@st.composite
def portfolios(draw: st.DrawFn) -> list[Cells]:
    """A small company: customers with meters, SHS and appliances, and something in stock."""
    rows: list[Cells] = [
        {"record": "cluster", "name": "West"},
        {"record": "mini_grid", "name": "Lake", "parent": "West"},
        {"record": "village", "name": "Kisumu", "parent": "Lake"},
        {"record": "tariff", "name": "Home", "price_per_kwh": "100", "minimum_purchase": "5"},
        {
            "record": "tariff",
            "name": "Shop",
            "price_per_kwh": "33.3333",
            "access_rate_amount": "50",
            "access_rate_period_days": str(draw(st.integers(1, 40))),
        },
    ]
    for number in range(draw(st.integers(0, 3))):
        reference, name = str(number), draw(st.sampled_from(["Asha", "=Baraka", "Ngũgĩ", "-"]))
        phone = f"+25471234567{number}"
        rows.append({**CUSTOMER, "customer": reference, "name": name, "phone": phone})
        rows[-1]["credit"] = draw(amounts)
        if draw(st.booleans()):
            rows.append({**METER, "customer": reference, "serial_number": f"M{number}"})
            rows[-1] |= {
                "tariff": draw(st.sampled_from(["Home", "Shop"])),
                "registered_on": "2025-06-01",
            }
            rows[-1]["carry"] = draw(st.sampled_from(["", "1/3", "12.345", "0.01"]))
            if rows[-1]["tariff"] == "Shop":
                rows[-1]["access_rate_owed"] = draw(amounts)
                rows[-1]["access_rate_since"] = "2025-01-01"
        if draw(st.booleans()):
            rows.append({**SHS, "customer": reference, "serial_number": f"S{number}"})
            rows[-1]["carry_days"] = draw(st.sampled_from(["", "1/7", "0.5"]))
            kind = draw(st.sampled_from(["plan", "unlocked", "neither"]))
            if kind == "unlocked":
                rows[-1]["unlocked"] = "yes"
            elif kind == "plan":
                rows.append(draw(plans(reference)) | {"serial_number": f"S{number}"})
        if draw(st.booleans()):
            rows.append(draw(plans(reference)) | {"name": "Radio"})
    if draw(st.booleans()):
        rows.append({**SHS, "customer": "", "village": "Kisumu", "serial_number": "STOCK"})
        rows[-1]["paid_until"] = "2026-04-01T12:00:00Z"
    return rows


@st.composite
def plans(draw: st.DrawFn, customer: str) -> Cells:
    """An open plan of that customer, by a number of instalments or by an amount."""
    total, paid = draw(st.integers(2000, 900_000)), draw(st.integers(0, 1999))
    down = draw(st.sampled_from([0, 0, 500]))
    by_number = {"instalments": str(draw(st.integers(1, 60)))}
    by_amount = {"instalment_amount": f"{draw(st.integers(15, 1500))}.00"}
    spread = by_number if total < 200_000 or draw(st.booleans()) else by_amount
    return {
        "record": "plan",
        "customer": customer,
        "total": f"{total // 100}.{total % 100:02}",
        "down_payment": f"{down // 100}.00",
        "already_paid": f"{paid // 100}.{paid % 100:02}",
        "every": draw(st.sampled_from(["week", "month"])),
        "first_due": draw(days),
        "sold_on": draw(days),
        **spread,
    }


@settings(max_examples=6, phases=[Phase.explicit, Phase.generate])
@given(portfolios())
def test_whatever_moves_in_moves_out_and_in_again_the_same(cloud: Cloud, rows: list[Cells]) -> None:
    api, first = another_company()
    moving = moved_in(api, first, file_of(*rows))
    assert (moving["state"], moving["failed_rows"]) == ("done", 0), errors(api, moving)
    for customer in api.get("/customers").json["items"]:
        assert api.wiring.reconcile.check_customer(customer["id"]).differences == ()
    out = moved_out(api, first)
    accounts = shown_accounts(api)

    again, second = another_company()
    assert moved_in(again, second, together(out))["failed_rows"] == 0
    assert moved_out(again, second) == out
    assert shown_accounts(again) == accounts


def shown_accounts(api: Api) -> list[Any]:
    """What every customer owes and has, today and in four months; ids of plans aside."""
    shown = []
    for customer in api.get("/customers").json["items"]:
        for at in ("", "?at=2026-07-10"):
            account = api.get(f"/customers/{customer['id']}/account{at}").json
            shown.append(without_ids(account))
    return shown


def without_ids(shape: Any) -> Any:
    """The shape without what names a plan, an account's version, or the number of a past fee."""
    if isinstance(shape, dict):
        left_out = ("plan_id", "ref", "version", "sold_at", "name")
        return {name: without_ids(v) for name, v in shape.items() if name not in left_out}
    return [without_ids(item) for item in shape] if isinstance(shape, list) else shape


def rows_in(files: Sequence[str]) -> list[Mapping[str, str]]:
    """The rows of an export, without empty cells."""
    return [
        {name: cell for name, cell in row.items() if cell}
        for file in files
        for row in csv.DictReader(io.StringIO(file.removeprefix("\ufeff")))
    ]


def test_without_keys_nothing_that_a_token_is_computed_from_goes_out(
    api: Api, cloud: Cloud
) -> None:
    moved_in(api, cloud, EXAMPLE.read_bytes())
    files = moved_out(api, cloud, with_keys=False)
    assert str(TECHNICAL["secret_key"]) not in "".join(files)
    assert str(TECHNICAL["secret_key"]) in "".join(moved_out(api, cloud))
    moving = checked(*another_company(), together(files))
    assert (moving["state"], moving["to_complete"]) == ("checked", 1)


def test_only_an_admin_takes_keys_out(api: Api, cloud: Cloud) -> None:
    reply = api.post("/exports", {"with_keys": True}, "finance")
    assert (reply.status, reply.fields) == (422, ["with_keys"])
    with_keys = api.post("/exports", {"with_keys": True}).json
    plain = api.post("/exports", {}, "finance").json
    work(api, cloud)
    assert api.get(f"/exports/{with_keys['export_id']}/files/1", "finance").status == 404
    assert api.get(f"/exports/{plain['export_id']}/files/1", "finance").status == 200
    for number in ("0", "2", "x"):
        assert api.get(f"/exports/{plain['export_id']}/files/{number}", "finance").status == 404
    listed = api.get("/exports", "finance").json["items"]
    assert sorted(moving["with_keys"] for moving in listed) == [False, True]


def test_a_file_comes_as_csv_with_a_name(api: Api, cloud: Cloud) -> None:
    export_id = api.post("/exports", {}).json["export_id"]
    work(api, cloud)
    reply = api.get(f"/exports/{export_id}/files/1", "admin")
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["content-disposition"].endswith(f'filename="{export_id}-0001.csv"')
    delete_files(cloud, f"exports/{export_id}")
    assert api.get(f"/exports/{export_id}/files/1", "admin").status == 404


def test_a_key_that_does_not_open_stops_nothing(api: Api, cloud: Cloud) -> None:
    moved_in(api, cloud, EXAMPLE.read_bytes())
    device = api.wiring.devices.get("SHS1")
    assert device is not None
    broken = {**device.technical, "sealed_key": "k1.AAAA"}
    api.wiring.registry.update_device(replace(device, technical=broken))
    rows = rows_in(moved_out(api, cloud))
    [shs1] = [row for row in rows if row.get("manufacturer") and row["serial_number"] == "SHS1"]
    assert "technical" not in shs1


def test_many_customers_make_several_files_and_several_runs(
    api: Api, cloud: Cloud, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.services.portfolio.exports.CUSTOMERS_PER_FILE", 4)
    monkeypatch.setattr("chalicelib.services.portfolio.exports.AT_ONCE", 3)
    monkeypatch.setattr("chalicelib.services.portfolio.exports.STOCK_PER_FILE", 2)
    for number in range(9):
        api.post("/customers", person(place, name=f"N{number}"), "office")
    stock = [
        {**METER, "customer": "", "village": "Kisumu", "serial_number": f"S{n}"} for n in range(3)
    ]
    moved_in(api, cloud, file_of(*stock))
    export_id = api.post("/exports", {}).json["export_id"]
    work(api, cloud)
    moving = api.get(f"/exports/{export_id}", "admin").json
    assert (moving["state"], moving["customers"], moving["devices"]) == ("done", 9, 3)
    files = [api.get(file["path"], "admin").text for file in moving["files"]]
    rows = rows_in(files)
    assert sorted(row["name"] for row in rows if row["record"] == "customer") == [
        f"N{number}" for number in range(9)
    ]
    assert sorted(row["serial_number"] for row in rows if row["record"] == "device") == [
        "S0",
        "S1",
        "S2",
    ]
    assert [file["rows"] for file in moving["files"]] == [len(rows_in([file])) for file in files]


def test_a_run_without_time_leaves_the_rest_to_the_next(api: Api, cloud: Cloud) -> None:
    export_id = api.post("/exports", {}).json["export_id"]
    cloud.take("moves")
    api.wiring.move_out.work(export_id, api.clock.now())
    [again] = cloud.take("moves")
    assert again["body"]["move_id"] == export_id
    step(api, again["body"])
    assert api.get(f"/exports/{export_id}", "admin").json["state"] == "done"


def test_two_workers_at_one_export_do_not_mix(
    api: Api, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_id = api.post("/exports", {}).json["export_id"]
    stale = api.wiring.exports.get(export_id)
    work(api, cloud)
    with monkeypatch.context() as patched:
        patched.setattr(api.wiring.exports, "get", lambda _: stale)
        step(api, {"what": "export", "move_id": export_id, "part": 0})
    assert len(api.get(f"/exports/{export_id}", "admin").json["files"]) == 1


def test_a_device_that_is_changing_hands_is_left_to_the_next_export(
    api: Api, cloud: Cloud, place: Place
) -> None:
    moved_in(api, cloud, file_of(CUSTOMER, METER))
    account = api.wiring.accounts.get("C1")
    device = api.wiring.devices.get("47002")
    assert account is not None and device is not None
    customer = api.wiring.customers.get("C1")
    assert customer is not None
    reference = api.wiring.move_out._reference()
    without = replace(account, devices=())
    rows = list(customer_rows(customer, without, [(device, Technical({}))], reference))
    assert [row["record"] for row in rows] == ["customer"]


def test_fees_left_behind_go_out_as_a_plan_that_is_due(api: Api, cloud: Cloud) -> None:
    moved_in(api, cloud, EXAMPLE.read_bytes())
    reply = api.put("/devices/47001/owner", {"customer_id": "C2", "reason": "sold"}, "office")
    assert reply.status == 200
    rows = rows_in(moved_out(api, cloud))
    [left] = [row for row in rows if row.get("name") == "Access rate of 47001"]
    assert (left["customer"], left["total"], left["first_due"]) == ("C1", "125.00", "2026-03-10")
    [its_meter] = [r for r in rows if r["record"] == "device" and r["serial_number"] == "47001"]
    assert (its_meter["customer"], its_meter.get("access_rate_owed")) == ("C2", None)
    assert its_meter["access_rate_since"] == "2026-03-10"


def test_what_is_owed_under_a_rate_that_is_no_more_goes_out_as_a_plan(
    api: Api, cloud: Cloud
) -> None:
    moved_in(api, cloud, EXAMPLE.read_bytes())
    free = api.post("/tariffs", {"name": "Free", "price_per_kwh": "90"}).json["id"]
    api.put("/devices/47001/tariff", {"tariff_id": free, "reason": "no fee"}, "office")
    rows = rows_in(moved_out(api, cloud))
    [left] = [row for row in rows if row.get("name") == "Access rate of 47001"]
    assert left["total"] == "125.00"
    [its_meter] = [r for r in rows if r["record"] == "device" and r["serial_number"] == "47001"]
    assert "access_rate_since" not in its_meter


def test_fees_of_more_than_a_life_are_said_as_far_as_days_reach(api: Api, cloud: Cloud) -> None:
    yearly = {
        "record": "tariff",
        "name": "Old",
        "price_per_kwh": "90",
        "access_rate_amount": "1.00",
        "access_rate_period_days": "3650",
    }
    weekly = {**yearly, "name": "Week", "access_rate_period_days": "7"}
    rows = [
        {"record": "cluster", "name": "West"},
        {"record": "mini_grid", "name": "Lake", "parent": "West"},
        {"record": "village", "name": "Kisumu", "parent": "Lake"},
        weekly,
        yearly,
        CUSTOMER,
        {**METER, "tariff": "Week", "registered_on": "2020-01-01", "access_rate_owed": "300.00"},
    ]
    moved_in(api, cloud, file_of(*rows))
    old = next(t for t in api.get("/tariffs").json["items"] if t["name"] == "Old")
    api.put("/devices/47002/tariff", {"tariff_id": old["id"], "reason": "yearly"}, "office")
    out = rows_in(moved_out(api, cloud))
    [its_meter] = [row for row in out if row["record"] == "device"]
    [left] = [row for row in out if row["record"] == "plan"]
    assert its_meter["access_rate_since"] == "2006-03-15"
    assert (its_meter["access_rate_owed"], left["total"]) == ("2.00", "298.00")


def another_company() -> tuple[Api, Cloud]:
    """A company that has nothing yet, in the place of the one that was there."""
    cloud = installed()
    put_secrets(cloud)
    clock = FixedClock()
    return Api(Wiring(clock), clock), cloud
