"""A portfolio is checked as a whole before anything of it is taken in: each error has its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest
from moto import mock_aws

from chalicelib.services.portfolio.rows import Row
from chalicelib.services.portfolio.things import things_of
from chalicelib.services.ports import Settings
from chalicelib.wiring import Wiring
from tests.integration.api.conftest import (
    Api,
    Place,
    made_place,
    person,
    put_secrets,
    registration,
    shs,
)
from tests.integration.api.moving import checked, errors, file_of
from tests.integration.company import FixedClock
from tests.integration.conftest import Cloud, forget_clients, installed

Cells = dict[str, str]

CUSTOMER = {
    "record": "customer",
    "customer": "1",
    "name": "Baraka",
    "surname": "Otieno",
    "phone": "0722 000 111",
    "village": "Kisumu",
}
METER = {
    "record": "device",
    "customer": "1",
    "serial_number": "47002",
    "manufacturer": "calin",
    "tariff": "Home",
    "registered_on": "2026-01-05",
}
TECHNICAL = json.dumps(
    {"secret_key": "bc41ec9530f6dac86b1a29ab82edc5fb", "starting_code": 516959010, "count": 1}
)
SHS = {
    "record": "device",
    "customer": "1",
    "serial_number": "SHS9",
    "manufacturer": "openpaygo",
    "appliance": "Home 60",
    "technical": TECHNICAL,
}
PLAN = {
    "record": "plan",
    "customer": "1",
    "serial_number": "SHS9",
    "total": "7000",
    "already_paid": "700",
    "instalments": "10",
    "every": "week",
    "first_due": "2026-01-12",
}
TV = {**PLAN, "serial_number": "", "appliance": "TV", "total": "3000"}
VILLAGE = {"record": "village", "name": "Homa Bay", "parent": "Lake"}
TARIFF = {"record": "tariff", "name": "Shop", "price_per_kwh": "80"}
FEE = {**TARIFF, "access_rate_amount": "50", "access_rate_period_days": "7"}
LAMP = {"record": "appliance", "name": "Lamp", "kind": "appliance", "price": "500"}
KNOWN = {**CUSTOMER, "name": "Asha", "surname": "Mushi", "phone": "0712 345 678"}


class Checker:
    """Checks files against one company that nothing is ever written to."""

    def __init__(self, api: Api, cloud: Cloud, place: Place) -> None:
        self.api, self.cloud, self.place = api, cloud, place

    def errors(self, *rows: Mapping[str, str]) -> list[tuple[int, str, str]]:
        """What is wrong with a file of these rows."""
        moving = checked(self.api, self.cloud, file_of(*rows))
        found = errors(self.api, moving)
        assert moving["error_count"] == len(found)
        assert moving["state"] == ("refused" if found else "checked")
        return found


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    """A company with a place, and a customer Asha with an SHS called SOLD on a plan."""
    with mock_aws():
        forget_clients()
        cloud = installed()
        put_secrets(cloud)
        clock = FixedClock()
        api = Api(Wiring(clock), clock)
        place = made_place(api)
        api.post("/registrations", registration(person(place), shs(serial_number="SOLD")), "office")
        api.send(
            "POST",
            "/customers/C1/plans",
            {
                "name": "Radio",
                "total": "900",
                "instalments": 9,
                "every": "week",
                "first_due": "2026-04-01",
            },
            role="office",
            headers={"Idempotency-Key": "radio"},
        )
        yield Checker(api, cloud, place)
    forget_clients()


@pytest.mark.parametrize(
    "rows",
    [
        [CUSTOMER],
        [CUSTOMER, METER],
        [CUSTOMER, {**METER, "tariff": "Shop"}, TARIFF],
        [CUSTOMER, SHS, PLAN],
        [CUSTOMER, SHS],
        [CUSTOMER, {**SHS, "unlocked": "yes"}],
        [CUSTOMER, {**SHS, "technical": ""}, PLAN],
        [CUSTOMER, {**SHS, "customer": "", "village": "Kisumu"}],
        [CUSTOMER, {**METER, "customer": "", "village": "Homa Bay", "tariff": ""}, VILLAGE],
        [CUSTOMER, TV],
        [CUSTOMER, {**TV, "appliance": "Lamp", "total": "800"}, LAMP],
        [CUSTOMER, {**TV, "appliance": "", "name": "Bicycle"}],
        [KNOWN, METER],
        [VILLAGE, {"record": "cluster", "name": "West"}],
        [{"record": "mini_grid", "name": "Lake", "parent": "West"}],
        [{"record": "village", "name": "kisumu", "parent": "Lake"}],
        [{**TARIFF, "name": "Home", "price_per_kwh": "100.00"}],
        [{**LAMP, "name": "tv", "price": "3000.00"}],
        [{**LAMP, "kind": "shs", "manufacturer": "openpaygo"}],
        [{**LAMP, "every": "week", "first_due_after_days": "7", "instalments": "5"}],
        [FEE],
    ],
)
def test_what_can_be_taken_in_has_no_errors(checker: Checker, rows: list[Cells]) -> None:
    assert checker.errors(*rows) == []


@pytest.mark.parametrize(
    ("rows", "line", "column", "message"),
    [
        # one row by itself
        ([{"record": "house"}], 2, "record", "must be one of cluster"),
        ([{**CUSTOMER, "total": "5"}], 2, "total", "must be empty in a row of a customer"),
        ([{**CUSTOMER, "phone": ""}], 2, "phone", "is required"),
        ([{**CUSTOMER, "phone": "2.54712E+11"}], 2, "phone", "a spreadsheet has shortened it"),
        ([{**CUSTOMER, "customer": "x" * 65}], 2, "customer", "at most 64"),
        ([{**CUSTOMER, "credit": "-5"}], 2, "credit", "decimal string"),
        ([{**CUSTOMER, "credit": "1,500.00"}], 2, "credit", "decimal string"),
        ([CUSTOMER, {**METER, "serial_number": "1,23E+10"}], 3, "serial_number", "shortened"),
        ([CUSTOMER, {**METER, "serial_number": "!"}], 3, "serial_number", "A-Z"),
        ([CUSTOMER, {**METER, "registered_on": "31/12/2025"}], 3, "registered_on", "2026-01-31"),
        ([CUSTOMER, {**METER, "registered_on": "20260105"}], 3, "registered_on", "2026-01-31"),
        ([CUSTOMER, {**METER, "carry": "1/0"}], 3, "carry", "exact amount"),
        ([CUSTOMER, {**METER, "carry": "-1/3"}], 3, "carry", "exact amount"),
        ([CUSTOMER, {**METER, "carry": "9" * 81}], 3, "carry", "exact amount"),
        ([CUSTOMER, {**SHS, "paid_until": "2026-01-31"}], 3, "paid_until", "18:30:00Z"),
        ([CUSTOMER, {**SHS, "paid_until": "soon"}], 3, "paid_until", "18:30:00Z"),
        ([CUSTOMER, {**SHS, "unlocked": "maybe"}], 3, "unlocked", "yes or no"),
        ([CUSTOMER, {**SHS, "technical": "[1]"}], 3, "technical", "JSON object"),
        ([CUSTOMER, {**SHS, "technical": "{"}], 3, "technical", "JSON object"),
        ([CUSTOMER, SHS, {**PLAN, "instalments": "1.5"}], 4, "instalments", "whole number"),
        ([CUSTOMER, SHS, {**PLAN, "instalments": "601"}], 4, "instalments", "whole number"),
        ([{**FEE, "access_rate_amount": ""}], 2, "access_rate_amount", "required"),
        ([{**FEE, "access_rate_period_days": ""}], 2, "access_rate_period_days", "required"),
        ([{**TARIFF, "price_per_kwh": "free"}], 2, "price_per_kwh", "decimal string"),
        ([{**LAMP, "kind": "fridge"}], 2, "kind", "must be one of appliance"),
        ([CUSTOMER, {**TV, "name": "TV"}], 3, "serial_number", "give one of"),
        ([CUSTOMER, SHS, {**PLAN, "serial_number": "!", "name": "TV"}], 4, "serial_number", "A-Z"),
        # sites, tariffs, appliances
        ([VILLAGE, VILLAGE], 3, "name", "is in row 2 already"),
        ([{**VILLAGE, "parent": "Nowhere"}], 2, "parent", "no mini-grid of that name"),
        ([{"record": "village", "name": "Kisumu", "parent": "Hill"}], 2, "parent", "no mini-grid"),
        (
            [
                {"record": "village", "name": "Kisumu", "parent": "Hill"},
                {"record": "mini_grid", "name": "Hill", "parent": "West"},
            ],
            2,
            "parent",
            "somewhere else",
        ),
        ([{**TARIFF, "name": "Home"}], 2, "name", "other prices"),
        ([{**LAMP, "name": "TV"}], 2, "name", "another price"),
        ([{**LAMP, "manufacturer": "openpaygo"}], 2, "manufacturer", "none of that key"),
        ([{**LAMP, "manufacturer": "acme"}], 2, "manufacturer", "none of that key"),
        (
            [{**LAMP, "every": "week", "first_due_after_days": "7", "down_payment": "500"}],
            2,
            "down_payment",
            "below the total",
        ),
        # customers
        ([CUSTOMER, {**CUSTOMER, "phone": "0733 000 111"}], 3, "customer", "is in row 2 already"),
        ([CUSTOMER, {**CUSTOMER, "customer": "2"}], 3, "phone", "is in row 2 already"),
        ([{**CUSTOMER, "village": "Nowhere"}], 2, "village", "no village of that name"),
        ([{**KNOWN, "credit": "5"}], 2, "credit", "the customer is registered"),
        (
            [
                KNOWN,
                {**TV, "appliance": "", "name": "radio", "total": "900"}
                | {"first_due": "2026-04-01"},
            ],
            3,
            "total",
            "has such a plan already",
        ),
        # devices
        ([CUSTOMER, METER, {**METER, "tariff": "home"}], 4, "serial_number", "in row 3 already"),
        ([METER], 2, "customer", "no customer of that reference"),
        ([{**METER, "customer": ""}], 2, "village", "nobody owns"),
        ([CUSTOMER, {**METER, "village": "Nowhere"}], 3, "village", "no village"),
        ([CUSTOMER, {**METER, "manufacturer": "acme"}], 3, "manufacturer", "must be one of"),
        ([CUSTOMER, {**METER, "tariff": ""}], 3, "tariff", "required for a meter"),
        ([CUSTOMER, {**METER, "tariff": "Nowhere"}], 3, "tariff", "no tariff of that name"),
        ([CUSTOMER, {**METER, "appliance": "TV"}], 3, "appliance", "a tariff instead"),
        ([CUSTOMER, {**METER, "technical": TECHNICAL}], 3, "technical", "is not known"),
        ([CUSTOMER, {**METER, "registered_on": "1999-12-31"}], 3, "registered_on", "to today"),
        ([CUSTOMER, {**METER, "registered_on": "2026-03-11"}], 3, "registered_on", "to today"),
        ([CUSTOMER, {**METER, "unlocked": "yes"}], 3, "unlocked", "is a meter"),
        ([CUSTOMER, {**METER, "carry_days": "0.5"}], 3, "carry_days", "is a meter"),
        ([CUSTOMER, {**METER, "access_rate_owed": "1"}], 3, "access_rate_owed", "more than"),
        (
            [FEE, CUSTOMER, {**METER, "tariff": "Shop", "access_rate_owed": "450.01"}],
            4,
            "access_rate_owed",
            "(9 fees)",
        ),
        ([CUSTOMER, {**SHS, "tariff": "Home"}, PLAN], 3, "tariff", "only meters"),
        ([CUSTOMER, {**SHS, "appliance": "TV"}, PLAN], 3, "appliance", "not of the kind shs"),
        ([CUSTOMER, {**SHS, "appliance": "Car"}, PLAN], 3, "appliance", "no appliance"),
        ([CUSTOMER, {**SHS, "unlocked": "yes"}, PLAN], 3, "unlocked", "has a plan"),
        ([CUSTOMER, {**SHS, "carry_days": "1"}, PLAN], 3, "carry_days", "below one day"),
        ([CUSTOMER, {**SHS, "carry": "1"}, PLAN], 3, "carry", "only meters"),
        ([CUSTOMER, {**SHS, "access_rate_since": "2026-01-05"}], 3, "access_rate_since", "only"),
        (
            [CUSTOMER, {**SHS, "technical": '{"secret_key": "x", "count": 1}'}],
            3,
            "technical",
            "secret_key: ",
        ),
        (
            [CUSTOMER, {**SHS, "technical": TECHNICAL.replace("count", "value_divider")}],
            3,
            "technical",
            "count: is required",
        ),
        ([CUSTOMER, {**SHS, "serial_number": "sold"}], 3, "serial_number", "is registered"),
        # plans
        ([CUSTOMER, SHS, PLAN, PLAN], 5, "serial_number", "is in row 4 already"),
        ([CUSTOMER, PLAN], 3, "serial_number", "no such device in the file"),
        ([CUSTOMER, SHS, {**PLAN, "instalments": ""}], 4, "instalments", "give either"),
        ([CUSTOMER, SHS, {**PLAN, "every": "day"}], 4, "every", "week or month"),
        ([CUSTOMER, SHS, {**PLAN, "already_paid": "7000"}], 4, "already_paid", "unlocked"),
        ([CUSTOMER, {**TV, "already_paid": "3000"}], 3, "already_paid", "leave the plan out"),
        ([CUSTOMER, SHS, {**PLAN, "sold_on": "2027-01-01"}], 4, "sold_on", "to today"),
        ([CUSTOMER, {**TV, "appliance": "Home 60"}], 3, "appliance", "not of the kind appliance"),
        (
            [CUSTOMER, METER, {**PLAN, "serial_number": "47002"}],
            4,
            "serial_number",
            "not sold on a plan",
        ),
        (
            [
                CUSTOMER,
                {**CUSTOMER, "customer": "2", "phone": "0733 000 111"},
                SHS,
                {**PLAN, "customer": "2"},
            ],
            5,
            "customer",
            "the device in row 4 is not theirs",
        ),
        (
            [CUSTOMER, {**SHS, "manufacturer": "acme"}, PLAN],
            3,
            "manufacturer",
            "must be one of",
        ),
    ],
)
def test_each_error_is_told_with_its_row_and_column(
    checker: Checker, rows: list[Cells], line: int, column: str, message: str
) -> None:
    [(found_line, found_column, found_message)] = checker.errors(*rows)
    assert (found_line, found_column) == (line, column)
    assert message in found_message


@pytest.mark.parametrize(
    ("rows", "places"),
    [
        ([{**CUSTOMER, "phone": "x"}, METER, TV], [(2, "phone")]),
        ([{**VILLAGE, "credit": "1"}, {**CUSTOMER, "village": "Homa Bay"}], [(2, "credit")]),
        ([CUSTOMER, {**SHS, "unlocked": "x"}, PLAN], [(3, "unlocked")]),
        (
            [{**TARIFF, "price_per_kwh": "x"}, CUSTOMER, {**METER, "tariff": "shop"}],
            [(2, "price_per_kwh")],
        ),
        (
            [{**CUSTOMER, "phone": "x", "village": ""}, {**METER, "carry": "x"}],
            [(2, "phone"), (2, "village"), (3, "carry")],
        ),
    ],
)
def test_what_follows_from_a_row_that_cannot_be_read_is_not_told_as_well(
    checker: Checker, rows: list[Cells], places: list[tuple[int, str]]
) -> None:
    assert [(line, column) for line, column, _ in checker.errors(*rows)] == places


def test_an_account_holds_no_more_than_its_limits(checker: Checker) -> None:
    meters = [{**METER, "serial_number": f"M{number}"} for number in range(101)]
    plans = [{**TV, "sold_on": "2026-01-05"} for _ in range(51)]
    assert [error[:2] for error in checker.errors(CUSTOMER, *meters)] == [(2, "customer")]
    assert [error[:2] for error in checker.errors(CUSTOMER, *plans)] == [(2, "customer")]
    found = checker.errors(KNOWN, *meters[:100])
    assert found == [(2, "customer", "would have more than 100 devices")]
    found = checker.errors(KNOWN, *plans[:49])
    assert found == [(2, "customer", "would have more than 50 plans")]


def test_devices_that_lack_their_plan_or_key_are_counted(checker: Checker) -> None:
    rows = [
        CUSTOMER,
        {**SHS, "serial_number": "A"},
        {**SHS, "serial_number": "B", "technical": ""},
        {**SHS, "serial_number": "C", "technical": "", "unlocked": "yes"},
        {**SHS, "serial_number": "D", "technical": "", "customer": "", "village": "Kisumu"},
        SHS,
        PLAN,
        METER,
    ]
    assert checked(checker.api, checker.cloud, file_of(*rows))["to_complete"] == 2


def test_no_more_than_so_many_errors_are_kept_and_all_are_counted(
    checker: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.services.portfolio.imports.ERRORS_KEPT_MAX", 40)
    rows = [{"record": "village", "name": f"V{number}"} for number in range(41)]
    moving = checked(checker.api, checker.cloud, file_of(*rows))
    assert (moving["error_count"], moving["state"]) == (41, "refused")
    path = f"/imports/{moving['import_id']}/errors?limit=10"
    page, kept = checker.api.get(path, "admin").json, 0
    while True:
        kept += len(page["items"])
        if page["next"] is None:
            break
        page = checker.api.get(f"{path}&cursor={page['next']}", "admin").json
    assert kept == 40


def test_a_default_plan_without_a_rhythm_is_not_taken() -> None:
    row = {**LAMP, "instalments": "3", "first_due_after_days": "7"}
    things, found = things_of([Row(2, row)], Settings())
    assert [(error.column, error.message) for error in found] == [("every", "is required")]
    assert things.appliances == []
