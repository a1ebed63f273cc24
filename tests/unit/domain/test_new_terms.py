"""New terms for an open plan: what is paid stays paid, and only what is open is spread anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.domain.errors import InvalidPlan
from chalicelib.domain.new_terms import Rhythm, changed
from chalicelib.domain.plan import Every, Instalment, Plan, PlanState
from chalicelib.domain.schedule import days_bought, overdue_instalments, schedule
from tests.unit.domain.examples import LONG_AGO, NAIROBI, days, kes, local, tv, weekly
from tests.unit.domain.test_properties import THOROUGH, plans

MONDAY = date(2025, 3, 10)
IN_MAY = Rhythm("month", date(2025, 5, 31), instalments=4)


def open_rows(plan: Plan) -> list[tuple[date, int, int]]:
    """What is not paid in full: due date, amount and what is paid of it."""
    rows = schedule(plan, NAIROBI)
    return [(row.due_on, row.amount_minor, row.paid_minor) for row in rows if row.open_minor]


def overdue(plan: Plan, day: date) -> tuple[Instalment, ...]:
    return overdue_instalments(plan, local(day), 0, NAIROBI)


# --- a new total ------------------------------------------------------------------------------


def test_a_lower_total_is_shared_by_the_instalments_that_are_left() -> None:
    plan = replace(weekly(MONDAY), paid_minor=kes(1400))
    after = changed(plan, total_minor=kes(5400))
    assert (after.total_minor, after.paid_minor, after.open_minor) == (
        kes(5400),
        kes(1400),
        kes(4000),
    )
    assert (after.instalments, after.instalment_minor) == (8, kes(500))
    assert after.first_due == MONDAY + days(14)
    assert after.down_payment_minor == kes(1400)
    assert days_bought(after, kes(1400), kes(5400)) == 56


def test_a_higher_total_is_shared_by_them_too() -> None:
    after = changed(replace(weekly(MONDAY), paid_minor=kes(1400)), total_minor=kes(9400))
    assert (after.instalments, after.instalment_minor) == (8, kes(1000))


def test_what_is_paid_of_the_next_instalment_stays_paid_of_it() -> None:
    """1000 paid of ten times 700: the second instalment has 300, and buys the rest of its week."""
    plan = replace(weekly(MONDAY), paid_minor=kes(1000))
    after = changed(plan, total_minor=kes(6100))
    assert open_rows(after)[0] == (MONDAY + days(7), kes(600), kes(300))
    assert len(open_rows(after)) == 9
    assert days_bought(after, kes(1000), kes(1300)) == days(7).days / 2


def test_a_plan_that_nothing_was_paid_on_keeps_its_dates() -> None:
    after = changed(weekly(MONDAY), total_minor=kes(3500))
    assert (after.down_payment_minor, after.first_due) == (0, MONDAY)
    assert (after.instalments, after.instalment_minor) == (10, kes(350))


def test_a_down_payment_that_is_still_owed_stays_as_it_is() -> None:
    plan = replace(weekly(MONDAY, down=1000), paid_minor=kes(400))
    after = changed(plan, total_minor=kes(4000))
    assert after.down_payment_minor == kes(1000)
    assert (after.instalments, after.instalment_minor) == (10, kes(300))
    assert [row.open_minor for row in overdue(after, MONDAY - days(30))] == [kes(600)]


def test_a_down_payment_that_is_paid_stands_ahead_with_the_instalments_that_are() -> None:
    plan = replace(weekly(MONDAY, down=1000), paid_minor=kes(1700))
    after = changed(plan, total_minor=kes(6100))
    assert (after.down_payment_minor, after.first_due) == (kes(1600), MONDAY + days(7))
    assert open_rows(after)[0] == (MONDAY + days(7), kes(500), kes(100))


def test_the_last_instalment_is_left_however_much_of_it_is_paid() -> None:
    """10 in three: 3, 3 and 4; with 9 paid the last one is open."""
    plan = replace(tv(MONDAY, total="0.10", instalments=3), paid_minor=9)
    after = changed(plan, total_minor=11)
    assert open_rows(after) == [(MONDAY + days(14), 5, 3)]


def test_there_are_no_more_instalments_than_there_is_money_to_share_out() -> None:
    after = changed(replace(weekly(MONDAY), paid_minor=kes(700)), total_minor=kes(700) + 2)
    assert [amount for _, amount, _ in open_rows(after)] == [1, 1]


def test_months_go_on_from_the_next_due_date() -> None:
    """The anchor of a month's end goes with the instalments that are paid."""
    plan = replace(weekly(date(2025, 1, 31), every=Every.MONTH), paid_minor=kes(700))
    after = changed(plan, total_minor=kes(6100))
    assert [due.isoformat() for due, _, _ in open_rows(after)[:2]] == ["2025-02-28", "2025-03-28"]


# --- paid off ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rhythm", [None, IN_MAY])
def test_a_total_of_what_is_paid_pays_the_plan_off(rhythm: Rhythm | None) -> None:
    plan = replace(weekly(MONDAY, down=1000), paid_minor=kes(1300))
    after = changed(plan, total_minor=kes(1300), rhythm=rhythm)
    assert (after.is_paid, after.state, after.open_minor) == (True, PlanState.PAID, 0)
    assert [(row.amount_minor, row.paid_minor) for row in schedule(after, NAIROBI)] == [
        (kes(1300), kes(1300))
    ]


# --- a new rhythm -----------------------------------------------------------------------------


def test_a_new_rhythm_spreads_what_is_open_and_lets_what_is_paid_stand_ahead() -> None:
    plan = replace(weekly(MONDAY), paid_minor=kes(1000))
    after = changed(plan, rhythm=IN_MAY)
    assert (after.total_minor, after.paid_minor) == (kes(7000), kes(1000))
    assert after.down_payment_minor == kes(1000)
    assert [(due.isoformat(), amount) for due, amount, _ in open_rows(after)] == [
        ("2025-05-31", kes(1500)),
        ("2025-06-30", kes(1500)),
        ("2025-07-31", kes(1500)),
        ("2025-08-31", kes(1500)),
    ]
    assert overdue(plan, MONDAY + days(60)) != ()
    assert overdue(after, MONDAY + days(60)) == ()


def test_total_and_rhythm_may_change_together() -> None:
    plan = replace(weekly(MONDAY), paid_minor=kes(1000))
    by_amount = Rhythm("week", MONDAY, instalment_minor=kes(300))
    after = changed(plan, total_minor=kes(2000), rhythm=by_amount)
    assert [amount for _, amount, _ in open_rows(after)] == [kes(300), kes(300), kes(400)]


# --- what stays, and what is refused ----------------------------------------------------------


@pytest.mark.parametrize(("total_minor", "rhythm"), [(kes(5000), None), (None, IN_MAY)])
def test_the_plan_stays_the_same_plan(total_minor: int | None, rhythm: Rhythm | None) -> None:
    plan = replace(weekly(MONDAY, paid=300), paid_minor=kes(1000))
    after = changed(plan, total_minor=total_minor, rhythm=rhythm)
    assert after.already_paid_minor == kes(300)
    assert (after.plan_id, after.name, after.kind) == (plan.plan_id, plan.name, plan.kind)
    assert (after.serial_number, after.sold_at) == (plan.serial_number, LONG_AGO)


@pytest.mark.parametrize(
    ("total", "rhythm", "field"),
    [
        ("0", None, "total"),
        ("999.99", None, "total"),
        ("999.99", IN_MAY, "total"),
        (None, replace(IN_MAY, every="day"), "every"),
        (None, replace(IN_MAY, instalments=0), "instalments"),
        (None, replace(IN_MAY, instalments=None), "instalments"),
        (None, replace(IN_MAY, instalment_minor=1), "instalments"),
        (None, replace(IN_MAY, instalments=None, instalment_minor=kes(6001)), "instalment_amount"),
        (None, replace(IN_MAY, first_due=date(2300, 1, 1)), "first_due"),
        ("1000.01", IN_MAY, "instalments"),
    ],
)
def test_terms_that_contradict_each_other_are_refused_on_their_field(
    total: str | None, rhythm: Rhythm | None, field: str
) -> None:
    plan = replace(weekly(MONDAY), paid_minor=kes(1000))
    with pytest.raises(InvalidPlan) as refused:
        changed(plan, total_minor=kes(total) if total else None, rhythm=rhythm)
    assert refused.value.field == field


@pytest.mark.parametrize("total", [999, 1000])
def test_a_total_within_a_down_payment_that_is_owed_needs_a_rhythm(total: int) -> None:
    plan = replace(weekly(MONDAY, down=1000), paid_minor=kes(400))
    with pytest.raises(InvalidPlan) as refused:
        changed(plan, total_minor=kes(total))
    assert refused.value.field == "total"
    assert changed(plan, total_minor=kes(total), rhythm=IN_MAY).open_minor == kes(total - 400)


def test_nothing_less_than_something_can_be_owed() -> None:
    with pytest.raises(InvalidPlan) as refused:
        changed(weekly(MONDAY), total_minor=0)
    assert refused.value.field == "total"


# --- any plan ---------------------------------------------------------------------------------

EITHER_KIND = st.sampled_from(["S1", None]).flatmap(lambda serial: plans("p-1", serial))
CLEAR_OF_MONTH_ENDS = EITHER_KIND.filter(lambda p: p.every is Every.WEEK or p.first_due.day < 29)


def reaching_beyond(plan: Plan, total_minor: int) -> int:
    """A total above what is paid and above a down payment that is owed."""
    return max(plan.paid_minor, plan.down_payment_minor) + total_minor


@THOROUGH
@given(plan=EITHER_KIND, more=st.integers(1, 400), rhythm=st.none() | st.just(IN_MAY))
def test_the_schedule_adds_up_to_the_new_total_and_all_that_was_paid_is_on_it(
    plan: Plan, more: int, rhythm: Rhythm | None
) -> None:
    total_minor = reaching_beyond(plan, more)
    assume(rhythm is None or total_minor - plan.paid_minor >= 4)
    rows = schedule(changed(plan, total_minor=total_minor, rhythm=rhythm), NAIROBI)
    assert sum(row.amount_minor for row in rows) == total_minor
    assert sum(row.paid_minor for row in rows) == plan.paid_minor
    assert all(row.amount_minor > 0 for row in rows)


@THOROUGH
@given(plan=EITHER_KIND)
def test_the_total_that_a_plan_has_is_no_change(plan: Plan) -> None:
    assert changed(plan, total_minor=plan.total_minor) == plan
    assert changed(plan) == plan


@THOROUGH
@given(plan=CLEAR_OF_MONTH_ENDS, more=st.integers(1, 400))
def test_a_higher_total_keeps_every_due_date_that_is_open(plan: Plan, more: int) -> None:
    after = changed(plan, total_minor=plan.total_minor + more)
    assert [row[0] for row in open_rows(after)] == [row[0] for row in open_rows(plan)]


@THOROUGH
@given(plan=CLEAR_OF_MONTH_ENDS, more=st.integers(1, 400), later=st.integers(-80, 120))
def test_nothing_becomes_overdue_that_was_paid(plan: Plan, more: int, later: int) -> None:
    after = changed(plan, total_minor=reaching_beyond(plan, more))
    day = plan.first_due + days(later)
    due_before = {row.due_on for row in overdue(plan, day)}
    assert {row.due_on for row in overdue(after, day)} <= due_before


@THOROUGH
@given(plan=CLEAR_OF_MONTH_ENDS, less=st.integers(1, 300), later=st.integers(-80, 120))
def test_a_lower_total_never_makes_more_overdue(plan: Plan, less: int, later: int) -> None:
    total_minor = plan.total_minor - less
    assume(total_minor >= reaching_beyond(plan, 1))
    after = changed(plan, total_minor=total_minor)
    day = plan.first_due + days(later)
    was = sum(row.open_minor for row in overdue(plan, day))
    assert sum(row.open_minor for row in overdue(after, day)) <= was


@THOROUGH
@given(plan=EITHER_KIND, later=st.integers(0, 200))
def test_a_new_rhythm_makes_nothing_overdue_before_its_first_due_date(
    plan: Plan, later: int
) -> None:
    assume(plan.open_minor >= 4)
    first_due = date(2025, 5, 31)
    assert overdue(changed(plan, rhythm=IN_MAY), first_due - days(later)) == ()
