"""Due dates, what is paid of which instalment, what is overdue, and how many days are bought."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from time import perf_counter

import pytest

from chalicelib.domain.plan import Every, Plan
from chalicelib.domain.schedule import (
    days_bought,
    due_on,
    gap_days,
    overdue_instalments,
    schedule,
)
from tests.unit.domain.examples import NAIROBI, days, kes, local, weekly

JAN_31 = date(2025, 1, 31)


def monthly(first_due: date, instalments: int = 12) -> Plan:
    """A plan with monthly instalments of 700."""
    return weekly(first_due, total=700 * instalments, instalments=instalments, every=Every.MONTH)


@pytest.mark.parametrize(
    ("first_due", "due_dates"),
    [
        (JAN_31, "01-31 02-28 03-31 04-30 05-31 06-30 07-31 08-31 09-30 10-31 11-30 12-31"),
        (date(2024, 1, 30), "01-30 02-29 03-30 04-30 05-30 06-30 07-30 08-30 09-30 10-30"),
        (date(2025, 1, 15), "01-15 02-15 03-15 04-15"),
        (date(2025, 11, 30), "11-30 12-30 01-30 02-28 03-30"),
    ],
)
def test_months_are_anchored_on_the_first_due_day(first_due: date, due_dates: str) -> None:
    plan = monthly(first_due)
    expected = due_dates.split()
    found = [due_on(plan, number).strftime("%m-%d") for number in range(1, len(expected) + 1)]
    assert found == expected


def test_months_run_on_over_the_years() -> None:
    assert due_on(monthly(JAN_31, 600), 600) == date(2074, 12, 31)
    assert due_on(monthly(date(2024, 2, 29), 600), 13) == date(2025, 2, 28)
    assert due_on(monthly(date(2024, 2, 29), 600), 49) == date(2028, 2, 29)


def test_weeks_step_by_seven_days() -> None:
    plan = weekly(date(2025, 2, 24))
    assert [due_on(plan, number) for number in (1, 2, 10)] == [
        date(2025, 2, 24),
        date(2025, 3, 3),
        date(2025, 4, 28),
    ]


def test_an_instalment_lasts_until_the_next_one_also_the_last() -> None:
    assert [gap_days(monthly(JAN_31), number) for number in (1, 2, 3, 12)] == [28, 31, 30, 31]
    assert gap_days(weekly(JAN_31), 10) == 7


def test_the_last_instalment_takes_the_rest() -> None:
    plan = weekly(JAN_31, total=10, instalments=3)
    assert [row.amount_minor for row in schedule(plan, NAIROBI)] == [333, 333, 334]


def test_the_down_payment_is_instalment_0_due_on_the_day_of_the_sale() -> None:
    sold_at = datetime(2025, 1, 9, 21, 30, tzinfo=UTC)  # 00:30 on the 10th in Nairobi
    rows = schedule(weekly(JAN_31, down=1000, sold_at=sold_at), NAIROBI)
    assert (rows[0].number, rows[0].due_on, rows[0].amount_minor) == (
        0,
        date(2025, 1, 10),
        kes(1000),
    )
    assert (rows[1].number, rows[1].due_on, rows[1].amount_minor) == (1, JAN_31, kes(600))
    assert sum(row.amount_minor for row in rows) == kes(7000)


def test_the_down_payment_is_due_on_the_first_due_date_if_that_is_earlier() -> None:
    plan = weekly(JAN_31, down=1000, sold_at=local(JAN_31 + days(90)))
    assert schedule(plan, NAIROBI)[0].due_on == JAN_31


def test_a_plan_without_a_down_payment_begins_with_instalment_1() -> None:
    assert schedule(weekly(JAN_31), NAIROBI)[0].number == 1


def test_instalments_fill_in_order() -> None:
    rows = schedule(weekly(JAN_31, down=1000, paid=1700), NAIROBI)
    assert [row.paid_minor for row in rows[:4]] == [kes(1000), kes(600), kes(100), 0]
    assert [row.open_minor for row in rows[:4]] == [0, 0, kes(500), kes(600)]


def test_due_today_is_not_overdue_and_yesterday_is() -> None:
    plan = weekly(JAN_31)
    last_second = local(JAN_31 + days(1), 0) - timedelta(seconds=1)
    assert overdue_instalments(plan, last_second, 0, NAIROBI) == ()
    first_second = local(JAN_31 + days(1), 0)
    assert [row.number for row in overdue_instalments(plan, first_second, 0, NAIROBI)] == [1]


def test_grace_days_put_off_what_is_overdue() -> None:
    plan = weekly(JAN_31)
    assert overdue_instalments(plan, local(JAN_31 + days(3)), 3, NAIROBI) == ()
    assert len(overdue_instalments(plan, local(JAN_31 + days(4)), 3, NAIROBI)) == 1


def test_what_is_paid_is_not_overdue() -> None:
    plan = weekly(JAN_31, paid=900)
    overdue = overdue_instalments(plan, local(JAN_31 + days(15)), 0, NAIROBI)
    assert [(row.number, row.open_minor) for row in overdue] == [(2, kes(500)), (3, kes(700))]


def test_the_down_payment_is_overdue_from_the_moment_of_the_sale_whatever_the_grace() -> None:
    sold_at = local(JAN_31 - days(20), 10)
    plan = weekly(JAN_31, down=1000, sold_at=sold_at)
    assert [row.number for row in overdue_instalments(plan, sold_at, 30, NAIROBI)] == [0]
    just_before = sold_at - timedelta(seconds=1)
    assert overdue_instalments(plan, just_before, 30, NAIROBI) == ()


def test_no_instalment_is_ever_overdue_before_the_down_payment() -> None:
    """A plan that moved in with past dates, judged at a moment before it was entered."""
    plan = weekly(JAN_31, down=1000, sold_at=local(JAN_31 + days(60)))
    overdue = overdue_instalments(plan, local(JAN_31 + days(1)), 0, NAIROBI)
    assert [row.number for row in overdue] == [0, 1]


@pytest.mark.parametrize(
    ("before", "after", "bought"),
    [
        (0, 700, Fraction(7)),
        (0, 800, Fraction(8)),
        (0, 350, Fraction(7, 2)),
        (665, 700, Fraction(7, 20)),
        (665, 1465, Fraction(8)),
        (0, 7000, Fraction(70)),
        (700, 700, Fraction(0)),
        (6990, 7000, Fraction(1, 10)),
    ],
)
def test_a_part_of_an_instalment_buys_that_part_of_its_days(
    before: int, after: int, bought: Fraction
) -> None:
    assert days_bought(weekly(JAN_31), kes(before), kes(after)) == bought


def test_days_of_months_differ_in_length() -> None:
    assert days_bought(monthly(JAN_31), 0, kes(700)) == 28
    assert days_bought(monthly(JAN_31), 0, kes(1050)) == 28 + Fraction(31, 2)


def test_the_down_payment_buys_no_days() -> None:
    plan = weekly(JAN_31, down=1000)
    assert days_bought(plan, 0, kes(1000)) == 0
    assert days_bought(plan, 0, kes(1300)) == Fraction(7, 2)


def test_buying_in_two_parts_is_buying_at_once() -> None:
    plan = weekly(JAN_31, total=1000, instalments=7, down=31)
    total = days_bought(plan, 0, kes(1000))
    for part in range(0, kes(1000), 977):
        parts = days_bought(plan, 0, part) + days_bought(plan, part, kes(1000))
        assert parts == total == 49


def test_the_longest_plan_is_laid_out_at_once() -> None:
    plan = replace(monthly(JAN_31, 600), paid_minor=kes(300_000))
    started = perf_counter()
    rows = schedule(plan, NAIROBI)
    days_bought(plan, 0, plan.total_minor)
    assert perf_counter() - started < 0.5
    assert len(rows) == 600
    assert sum(row.paid_minor for row in rows) == kes(300_000)
