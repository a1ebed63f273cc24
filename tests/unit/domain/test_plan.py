"""Making a plan from its terms, and refusing terms that contradict each other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from chalicelib.domain.errors import InvalidPlan
from chalicelib.domain.plan import Every, Plan, PlanKind, Terms, make_plan
from tests.unit.domain.examples import LONG_AGO

TERMS = Terms(total_minor=1000, every="week", first_due=date(2025, 1, 31), instalments=3)


def made(**changed: Any) -> Plan:
    """A plan of an appliance, on those terms."""
    terms = replace(TERMS, **changed)
    return make_plan(terms, plan_id="p-1", name="TV", sold_at=LONG_AGO)


@pytest.mark.parametrize(
    ("changed", "instalments", "instalment_minor"),
    [
        ({}, 3, 333),
        ({"down_payment_minor": 200, "instalments": 5}, 5, 160),
        ({"instalments": 1}, 1, 1000),
        ({"instalments": 600, "total_minor": 600}, 600, 1),
        ({"instalments": None, "instalment_minor": 300}, 3, 300),
        ({"instalments": None, "instalment_minor": 1000}, 1, 1000),
        ({"instalments": None, "instalment_minor": 501}, 1, 501),
        ({"instalments": None, "instalment_minor": 100, "down_payment_minor": 150}, 8, 100),
    ],
)
def test_either_form_says_how_many_instalments_there_are_and_how_much_each_is(
    changed: dict[str, Any], instalments: int, instalment_minor: int
) -> None:
    plan = made(**changed)
    assert (plan.instalments, plan.instalment_minor) == (instalments, instalment_minor)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"total_minor": 0}, "total"),
        ({"total_minor": -1}, "total"),
        ({"down_payment_minor": 1000}, "down_payment"),
        ({"down_payment_minor": 1001}, "down_payment"),
        ({"down_payment_minor": -1}, "down_payment"),
        ({"already_paid_minor": 1001}, "already_paid"),
        ({"already_paid_minor": -1}, "already_paid"),
        ({"instalments": None}, "instalments"),
        ({"instalment_minor": 100}, "instalments"),
        ({"instalments": 0}, "instalments"),
        ({"instalments": -3}, "instalments"),
        ({"instalments": 601, "total_minor": 10_000}, "instalments"),
        ({"instalments": 11, "down_payment_minor": 990}, "instalments"),
        ({"instalments": None, "instalment_minor": 0}, "instalment_amount"),
        ({"instalments": None, "instalment_minor": 1001}, "instalment_amount"),
        (
            {"instalments": None, "instalment_minor": 901, "down_payment_minor": 100},
            "instalment_amount",
        ),
        ({"instalments": None, "instalment_minor": 1, "total_minor": 601}, "instalment_amount"),
        ({"every": "day"}, "every"),
        ({"first_due": date(2200, 1, 1)}, "first_due"),
    ],
)
def test_terms_that_contradict_each_other_are_refused_on_their_field(
    changed: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidPlan) as refused:
        made(**changed)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "changed",
    [
        {"down_payment_minor": 999, "instalments": 1},
        {"already_paid_minor": 1000},
        {"instalments": None, "instalment_minor": 1, "total_minor": 600},
        {"first_due": date(2199, 12, 31), "every": "month", "instalments": 600},
    ],
)
def test_terms_just_within_the_rules_are_taken(changed: dict[str, Any]) -> None:
    assert made(**changed).open_minor >= 0


def test_a_plan_without_a_serial_number_is_of_an_appliance_with_one_of_a_device() -> None:
    assert made().kind is PlanKind.APPLIANCE
    device_plan = make_plan(TERMS, plan_id="p-2", name="SHS", sold_at=LONG_AGO, serial_number="S1")
    assert (device_plan.kind, device_plan.serial_number) == (PlanKind.DEVICE, "S1")
    assert device_plan.every is Every.WEEK


def test_what_was_paid_before_counts_as_paid() -> None:
    plan = made(already_paid_minor=400)
    assert (plan.paid_minor, plan.open_minor, plan.is_paid) == (400, 600, False)


def test_a_plan_that_was_already_paid_in_full_is_paid_off_at_once() -> None:
    plan = made(already_paid_minor=1000)
    assert plan.is_paid
    assert plan.open_minor == 0
