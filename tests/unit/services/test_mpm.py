"""The exports of MicroPowerManager become a portfolio."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.services.portfolio import mpm
from chalicelib.services.portfolio.mpm import read_mpm
from chalicelib.services.portfolio.rows import Portfolio, UnreadableFile
from tests.unit.services.mpm_exports import (
    APPLIANCES,
    CLUSTERS,
    DEBT,
    DEVICES,
    PEOPLE,
    SHS,
    TV,
    archive,
    export,
)


def everything(**changed: bytes) -> Portfolio:
    """All exports of a small company, some of them changed."""
    files = {
        "people.json": export(PEOPLE),
        "devices.json": export(DEVICES),
        "appliances.json": export(APPLIANCES),
        "sold.json": export([TV, SHS]),
        "clusters.json": export(CLUSTERS),
        "debts.json": export([DEBT]),
        "settings.json": export([{"site_title": "MPM", "currency": "KES"}]),
        "transactions.json": export([]),
    }
    return read_mpm(archive(**{**files, **changed}), "application/zip")


def of(portfolio: Portfolio, record: str) -> list[Mapping[str, str]]:
    """The rows of a kind."""
    return [row.cells for row in portfolio.rows if row.cell("record") == record]


def test_places_come_from_clusters_and_from_where_people_live() -> None:
    portfolio = everything()
    assert [row["name"] for row in of(portfolio, "cluster")] == ["West"]
    grids = {row["name"]: row["parent"] for row in of(portfolio, "mini_grid")}
    assert grids == {"Lake": "West", "Hill": "West", "Far": "West"}
    villages = {row["name"]: row["parent"] for row in of(portfolio, "village")}
    assert villages == {"Kisumu": "Lake", "Homa Bay": "Hill"}


def test_a_person_exported_twice_is_one_customer_with_all_their_devices() -> None:
    portfolio = everything()
    assert of(portfolio, "customer") == [
        {
            "record": "customer",
            "customer": "1",
            "name": "Asha",
            "surname": "Mushi",
            "phone": "+254712345678",
            "village": "Kisumu",
        },
        {
            "record": "customer",
            "customer": "2",
            "name": "Baraka",
            "surname": "Otieno",
            "phone": "+254722000111",
            "village": "Homa Bay",
        },
    ]


def test_devices_have_our_keys_for_their_manufacturers_and_their_owners() -> None:
    meter, shs, unknown = of(everything(), "device")
    assert meter == {
        "record": "device",
        "customer": "1",
        "serial_number": "47001",
        "manufacturer": "calin",
        "village": "Kisumu",
        "registered_on": "2025-11-03",
    }
    assert (shs["manufacturer"], shs["customer"], shs.get("village")) == ("angaza", "1", None)
    assert unknown["manufacturer"] == "Kelin", "the check tells that it is none of ours"
    assert unknown["customer"] == "2", "by the name, which only one customer has"


@pytest.mark.parametrize("name", ["Chint", "ChintMeter", "CHINT meters"])
def test_a_meter_of_chint_is_known_by_how_its_name_begins(name: str) -> None:
    meter = {
        **DEVICES[0],
        "device_info": {"serial_number": "47006", "type": "meter", "manufacturer": name},
    }
    assert of(everything(**{"devices.json": export([meter])}), "device")[0]["manufacturer"] == (
        "chint"
    )


def test_where_two_customers_have_one_name_it_does_not_say_whose_a_device_is() -> None:
    namesake = {**PEOPLE[1], "phone": "+254733000333"}
    portfolio = everything(**{"people.json": export([*PEOPLE, namesake])})
    assert "customer" not in of(portfolio, "device")[2]


def test_appliances_are_of_our_kinds_and_of_one_name_once() -> None:
    television, home = of(everything(), "appliance")
    assert television == {
        "record": "appliance",
        "name": "TV",
        "kind": "appliance",
        "price": "3000",
    }
    assert (home["kind"], home["price"]) == ("shs", "7000.5")


def test_what_is_paid_is_what_fell_due_less_what_is_outstanding() -> None:
    television, home = of(everything(), "plan")
    # 2700 in nine rates of 300: due on 1 December, 31 December, 31 January and 3 March (of 10
    # March); the last has 100.50 to pay.
    assert television == {
        "record": "plan",
        "customer": "1",
        "name": "TV",
        "total": "3000",
        "down_payment": "300",
        "already_paid": "1399.5",
        "instalments": "9",
        "every": "month",
        "first_due": "2025-12-01",
        "sold_on": "2025-10-15",
    }
    # No rate is outstanding, so the one of 1 March is paid; artefacts of floating point are not.
    assert (home["serial_number"], home["total"], home["already_paid"]) == ("SHS-1", "7000", "700")
    assert everything().errors == []


def test_the_rhythm_is_that_into_which_the_outstanding_rates_fit() -> None:
    debts = [{**DEBT, "due_date": day, "remaining": 300} for day in ("2025-11-14", "2025-11-21")]
    [television, _] = of(everything(**{"debts.json": export(debts)}), "plan")
    assert (television["every"], television["first_due"]) == ("week", "2025-11-07")
    assert television["already_paid"] == "2400"


def test_a_sale_that_is_paid_off_is_no_plan_and_its_device_runs_for_good() -> None:
    long_ago = {"first_payment_date": "2024-01-01", "registered_date": "2024-01-01"}
    sold = export([{**TV, **long_ago}, {**SHS, **long_ago}])
    portfolio = everything(**{"sold.json": sold, "debts.json": export([])})
    assert len(of(portfolio, "plan")) == 2, "without debts nobody knows"
    other = {**DEBT, "appliance": "Fan"}
    portfolio = everything(**{"sold.json": sold, "debts.json": export([other])})
    assert of(portfolio, "plan") == []
    assert of(portfolio, "device")[1]["unlocked"] == "yes"


@pytest.mark.parametrize("debts", [b"", json.dumps([DEBT]).encode()])
def test_without_the_dated_export_of_debts_plans_say_what_they_need(debts: bytes) -> None:
    portfolio = everything(**{"debts.json": debts})
    lines = {error.line for error in portfolio.errors}
    assert {row.cell("record") for row in portfolio.rows if row.line in lines} == {"plan"}
    assert {error.column for error in portfolio.errors} == {"already_paid"}


@pytest.mark.parametrize(
    ("sale", "debts", "column"),
    [
        ({"customer_name": "Nobody"}, [], "customer"),
        ({"payment_type": "energy_service", "total_cost": 0, "rate_count": 0}, [], "total"),
        ({}, [{**DEBT, "due_date": "2026-03-04"}], "already_paid"),
        ({}, [{**DEBT, "remaining": "301"}], "already_paid"),
        ({}, [{**DEBT, "remaining": "much"}], "already_paid"),
    ],
)
def test_what_does_not_fit_is_told_at_the_plan(
    sale: dict[str, Any], debts: list[dict[str, Any]], column: str
) -> None:
    files = {"sold.json": export([{**TV, **sale}]), "debts.json": export(debts or [DEBT])}
    portfolio = everything(**files)
    [error] = portfolio.errors
    [row] = [row for row in portfolio.rows if row.line == error.line]
    assert (row.cell("record"), error.column) == ("plan", column)


@pytest.mark.parametrize(
    "sale",
    [
        {"total_cost": None},
        {"rate_count": "many"},
        {"rate_count": 601},
        {"first_payment_date": "9999-12-31"},
        {"first_payment_date": "2026-13-45", "registered_date": None},
    ],
)
def test_a_sale_without_sense_is_passed_on_for_the_check_to_tell(sale: dict[str, Any]) -> None:
    portfolio = everything(**{"sold.json": export([{**TV, **sale}])})
    [row] = of(portfolio, "plan")
    assert "first_due" not in row and "already_paid" not in row


def test_a_portfolio_file_beside_them_completes_and_corrects() -> None:
    added = (
        "record,serial_number,tariff,technical,already_paid,name,price_per_kwh,phone\n"
        'device,47001,,"{}",,,,\n'
        "plan,SHS-1,,,350,,,\n"
        "tariff,,,,,Home,100,\n"
        "cluster,,,,,East,,\n"
    )
    sold = export([{**SHS, "registered_date": "2026-02-01"}])
    debts = export([{**DEBT, "appliance": "Home 60", "device_serial": "SHS-1"}])
    portfolio = everything(**{"extra.csv": added.encode(), "sold.json": sold, "debts.json": debts})
    assert portfolio.errors == [], "what did not fit was said by hand"
    assert of(portfolio, "plan")[0]["already_paid"] == "350"
    meter, *others = of(portfolio, "device")
    assert (meter["technical"], meter["tariff"]) == ("{}", "Home")
    assert all("tariff" not in other for other in others)
    assert [row["name"] for row in of(portfolio, "cluster")] == ["West", "East"]


def test_of_several_tariffs_none_is_guessed() -> None:
    added = b"record,name,price_per_kwh\ntariff,Home,100\ntariff,Shop,80\n"
    portfolio = everything(**{"extra.csv": added})
    assert all("tariff" not in row for row in of(portfolio, "device"))
    wrong = everything(**{"extra.csv": b"record,colour\ntariff,red\n"})
    assert [error.column for error in wrong.errors] == ["colour"]


def csv_of(headers: str, *rows: list[str]) -> bytes:
    """A CSV export."""
    out = io.StringIO()
    csv.writer(out).writerows([headers.split(","), *rows])
    return out.getvalue().encode()


def test_csv_exports_are_read_too() -> None:
    people = csv_of(
        "Title,Name,Surname,Registered Date,Phone,City,Device Serial,Cluster Name,"
        "Site Name (MiniGrid Name)",
        ["", "Asha", "Mushi", "03/11/2025", "0712 345 678", "Kisumu", "47001", "West", "Lake"],
        [],
    )
    devices = csv_of(
        "Device Serial,Device Type,Customer,Address,Manufacturer,Created At",
        ["47001", "meter", "Asha Mushi", "Kisumu", "CalinSmart Meters", "2025-11-03 10:00:00"],
    )
    sold = csv_of(
        "Customer Name,Customer Surname,Appliance,Appliance Type,Device Serial,Payment Type,"
        "Total Cost,Rate Count,Down Payment,First Payment Date,Minimum Payable Amount,"
        "Price Per Day,Registered Date",
        [
            "Asha",
            "Mushi",
            "TV",
            "",
            "",
            "installment",
            "3000",
            "9",
            "300",
            "2025-10-31",
            "",
            "",
            "2025-10-15",
        ],
    )
    files = {"a.csv": people, "b.csv": devices, "c.csv": sold, "d.json": export([DEBT])}
    portfolio = read_mpm(archive(**files), "application/zip")
    assert portfolio.errors == []
    [customer], [device], [plan] = (of(portfolio, kind) for kind in ("customer", "device", "plan"))
    assert customer["phone"] == "0712 345 678"
    assert (device["manufacturer"], device["customer"]) == ("calin_smart", customer["customer"])
    assert (plan["customer"], plan["already_paid"]) == (customer["customer"], "1399.5")


def test_one_export_alone_will_do() -> None:
    portfolio = read_mpm(export(CLUSTERS), "application/json")
    assert [row.line for row in portfolio.rows] == [2, 3, 4, 5]
    assert read_mpm(export([]), "application/json").rows == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"data": 5}', "no list of things"),
        (b"[5]", "no list of things"),
        (b'[{"colour": "red"}]', "no export that is known"),
        (b"Colour,Size\nred,5\n", "no export that is known"),
        (b'Title,Name,Surname\n"a"b\n', "is not CSV"),
        (archive(**{"a.xlsx": archive(b=b"x")}), "export as JSON"),
        (archive(**{f"{n}": b"" for n in range(21)}), "more than 20 files"),
        (b"PK\x03\x04 and nothing", "does not open"),
        ("[]".encode("utf-16"), "UTF-16"),
    ],
)
def test_what_is_no_export_is_told(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        read_mpm(content, "application/octet-stream")
    assert message in refused.value.detail


def test_a_zip_that_is_far_larger_inside_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpm, "UNPACKED_BYTES_MAX", 1000)
    with pytest.raises(UnreadableFile, match="more than 1000 bytes"):
        read_mpm(archive(a=b"[]", b=b" " * 10_000_000), "application/zip")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as folder:
        folder.writestr("folder/", b"")
    assert read_mpm(packed.getvalue(), "application/zip").rows == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = sorted({key for item in (*PEOPLE, *DEVICES, TV, DEBT, *APPLIANCES) for key in item})


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), json_values), max_size=4))
def test_no_values_whatever_break_it(items: list[dict[str, Any]]) -> None:
    try:
        portfolio = everything(**{"a.json": export(items), "b.json": export([TV, *items])})
    except UnreadableFile as error:
        assert error.detail
        return
    lines = [row.line for row in portfolio.rows]
    assert lines == list(range(2, len(lines) + 2))
    assert all(isinstance(cell, str) for row in portfolio.rows for cell in row.cells.values())


@given(st.binary(max_size=200))
def test_no_zip_whatever_breaks_it(noise: bytes) -> None:
    whole = bytearray(archive(a=export(CLUSTERS)))
    for place, byte in enumerate(noise):
        whole[(place * 37 + byte) % len(whole)] ^= byte
    try:
        read_mpm(bytes(whole), "application/zip")
    except UnreadableFile as error:
        assert error.detail
