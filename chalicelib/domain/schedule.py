"""The schedule of a plan: what is due when, what is paid of it, and how many days it buys.

Nothing of this is stored. Instalments fill in order, so the plan's terms and the one number
``paid_minor`` say it all.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from chalicelib.domain.moment import local_day
from chalicelib.domain.plan import Every, Instalment, Plan


def due_on(plan: Plan, number: int) -> date:
    """The due date of regular instalment ``number`` (from 1); also of the one after the last.

    Due dates step by 7 days, or by calendar months anchored on the first due day: 31 January is
    followed by 28 February and 31 March.
    """
    if plan.every is Every.WEEK:
        return plan.first_due + timedelta(weeks=number - 1)
    return _add_months(plan.first_due, number - 1)


def down_payment_due_on(plan: Plan, time_zone: ZoneInfo) -> date:
    """The due date of the down payment: the day of the sale, or the first due date if earlier."""
    return min(local_day(plan.sold_at, time_zone), plan.first_due)


def gap_days(plan: Plan, number: int) -> int:
    """The days that regular instalment ``number`` buys: from its due date to the next one.

    The last instalment's next due date is the one that the schedule would have had.
    """
    return (due_on(plan, number + 1) - due_on(plan, number)).days


def schedule(plan: Plan, time_zone: ZoneInfo) -> tuple[Instalment, ...]:
    """All instalments in order, the down payment (number 0) first where there is one."""
    rows: list[Instalment] = []
    paid_left_minor = plan.paid_minor
    for number, amount_minor in _amounts(plan):
        due = due_on(plan, number) if number else down_payment_due_on(plan, time_zone)
        paid_minor = min(paid_left_minor, amount_minor)
        rows.append(Instalment(number, due, amount_minor, paid_minor))
        paid_left_minor -= paid_minor
    return tuple(rows)


def overdue_instalments(
    plan: Plan, moment: datetime, grace_days: int, time_zone: ZoneInfo
) -> tuple[Instalment, ...]:
    """The instalments that are overdue at ``moment`` and not fully paid, in order.

    An instalment is overdue when its due date plus ``grace_days`` lies strictly before the local
    day of ``moment``. The down payment is overdue from the sale's moment on, whatever the grace.
    So what is overdue is always the front of the schedule, as is what is paid.
    """
    last_day = local_day(moment, time_zone) - timedelta(days=grace_days)
    sold = moment >= plan.sold_at
    return tuple(
        row
        for row in schedule(plan, time_zone)
        if row.open_minor > 0 and (row.due_on < last_day or (row.number == 0 and sold))
    )


def days_bought(plan: Plan, paid_before_minor: int, paid_after_minor: int) -> Fraction:
    """The days that raising the plan's paid sum from one value to the other buys, exactly.

    Each part of an instalment buys that part of the days to the next due date. The down payment
    buys none.
    """
    days = Fraction(0)
    starts_at_minor = 0
    for number, amount_minor in _amounts(plan):
        ends_at_minor = starts_at_minor + amount_minor
        part_minor = min(paid_after_minor, ends_at_minor) - max(paid_before_minor, starts_at_minor)
        if number > 0 and part_minor > 0:
            days += Fraction(part_minor * gap_days(plan, number), amount_minor)
        starts_at_minor = ends_at_minor
    return days


def _amounts(plan: Plan) -> Iterator[tuple[int, int]]:
    """Number and amount of every instalment in order. The last one takes the rest."""
    if plan.down_payment_minor > 0:
        yield 0, plan.down_payment_minor
    for number in range(1, plan.instalments):
        yield number, plan.instalment_minor
    yield plan.instalments, plan.financed_minor - plan.instalment_minor * (plan.instalments - 1)


def _add_months(day: date, months: int) -> date:
    """The same day of the month that many months later, or that month's last day if shorter."""
    years, month_index = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month_index + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))
