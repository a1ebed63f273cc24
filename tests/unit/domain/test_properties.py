"""The rules hold for any customer, any history and any payments: against a naive simulation."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import islice
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.access_rate import fees, next_fee, owed_fees
from chalicelib.domain.account import Account, DeviceAccount, Kind, Tenure
from chalicelib.domain.allocation import (
    Allocation,
    Line,
    LineKind,
    OwnArrears,
    Rules,
    VendKind,
    VendRules,
    allocate,
    debts,
)
from chalicelib.domain.books import CarryChange, OpenedPlan, Posting, check_books
from chalicelib.domain.plan import Every, Plan, Terms, make_plan
from chalicelib.domain.schedule import due_on, gap_days
from chalicelib.domain.tariff import AccessRate, Rate, Tariff
from tests.unit.domain.examples import NAIROBI, account, days, local, meter, shs
from tests.unit.domain.naive import (
    Customer,
    beginning_of,
    day_of,
    days_between,
    due_dates,
    fees_day_by_day,
)

THOROUGH = settings(max_examples=250)
"""Deterministic, as the profile in ``tests/conftest.py`` has it: the same run every time."""

START = date(2025, 1, 28)
BEIRUT = ZoneInfo("Asia/Beirut")
HAVANA = ZoneInfo("America/Havana")
"""Beirut skipped the midnight of 30 March 2025, Havana that of 9 March."""

ZONES = st.sampled_from([NAIROBI, BEIRUT, HAVANA])


# --- what can be ---------------------------------------------------------------------------------


@st.composite
def moments(draw: st.DrawFn) -> datetime:
    """A moment near the start; often exactly a midnight, which is where days are lost."""
    day = START + days(draw(st.integers(-10, 65)))
    if draw(st.booleans()):
        return beginning_of(day, draw(ZONES))
    return local(day, draw(st.integers(0, 23)), draw(st.integers(0, 59)))


@st.composite
def plans(draw: st.DrawFn, plan_id: str, serial_number: str | None) -> Plan:
    """A plan of a few small coins, open, somewhere in its life."""
    total = draw(st.integers(3, 300))
    down = draw(st.sampled_from([0, 0, 1, total // 2]))
    instalments = draw(st.integers(1, min(7, total - down)))
    terms = Terms(
        total_minor=total,
        every=draw(st.sampled_from(list(Every))),
        first_due=START + days(draw(st.integers(-60, 40))),
        instalments=instalments,
        down_payment_minor=down,
        already_paid_minor=draw(st.integers(0, total - 1)),
    )
    sold_at = draw(moments())
    return make_plan(
        terms, plan_id=plan_id, name=plan_id, sold_at=sold_at, serial_number=serial_number
    )


@st.composite
def tariff_histories(draw: st.DrawFn, tariff_id: int, price: Fraction | None = None) -> Tariff:
    """A tariff whose price and access rate change, come and go."""
    changes = sorted(draw(st.lists(moments(), max_size=3)))
    rates = []
    for effective_from in (local(START, 8), *changes):
        fee = st.builds(AccessRate, st.integers(1, 20), st.sampled_from([1, 5, 7, 30]))
        prices = st.sampled_from([Fraction(10), Fraction(7, 3), Fraction(33, 4)])
        rates.append(
            Rate(
                effective_from,
                price or draw(prices),
                draw(st.none() | fee),
                draw(st.sampled_from([0, 0, 40])) if price is None else 0,
            )
        )
    first = rates[0].effective_from
    return Tariff(tariff_id, f"t{tariff_id}", tuple(r for r in rates if r.effective_from >= first))


@st.composite
def tenure_histories(draw: st.DrawFn, *, ended: bool | None = None) -> tuple[Tenure, ...]:
    """Tenures one after the other, some with a gap between them."""
    bounds = sorted(draw(st.lists(moments(), min_size=1, max_size=4)))
    tenures = []
    for index, since in enumerate(bounds):
        until = bounds[index + 1] if index + 1 < len(bounds) else None
        if until is not None and draw(st.booleans()):
            until = max(since, until - timedelta(hours=draw(st.sampled_from([1, 30]))))
        tenures.append(Tenure(draw(st.sampled_from([1, 2])), since, until))
    if draw(st.booleans()) if ended is None else ended:
        last = tenures[-1]
        tenures[-1] = replace(last, until=last.since + days(draw(st.integers(0, 20))))
    return tuple(tenures)


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """A customer with TVs, SHS and meters, some of which went to somebody else."""
    appliances = draw(st.sampled_from([(), ("p-tv",), ("p-tv", "p-mill")]))
    parts: list[Plan | DeviceAccount] = [draw(plans(plan_id, None)) for plan_id in appliances]
    for serial, plan_id in (("S1", "p-s1"), ("S2", "p-s2")):
        carry_days = Fraction(draw(st.integers(0, 20)), 7)
        paid_until = draw(st.none() | moments())
        parts.append(shs(serial, plan_id, carry_days=carry_days, paid_until=paid_until))
        if draw(st.integers(0, 3)):
            parts.append(draw(plans(plan_id, serial)))
    carry_minor = Fraction(draw(st.integers(0, 90)), 3)
    parts.append(meter("M1", tenures=draw(tenure_histories(ended=False)), carry_minor=carry_minor))
    if draw(st.booleans()):
        parts.append(meter("M2", owned=False, tenures=draw(tenure_histories(ended=True))))
    made = account(*parts, version=draw(st.integers(1, 9)))
    return replace(made, credit_minor=draw(st.sampled_from([0, 0, 30])))


PAYMENTS = st.tuples(st.sampled_from(["M1", "S1", "S2"]), st.integers(1, 400), moments())

RULES = st.builds(
    Rules,
    time_zone=st.just(NAIROBI),
    grace_days=st.sampled_from([0, 0, 3]),
    own_arrears=st.sampled_from(OwnArrears),
)

LIMITS = st.sampled_from([None, None, 2, 30])


def vend_rules_of(serial: str, units_max: int | None) -> VendRules:
    """Tenths of a kWh for meters, days for the rest."""
    step = Fraction(1, 10) if serial.startswith("M") else Fraction(1)
    return VendRules(step, None if units_max is None else Fraction(units_max))


def units_of(allocation: Allocation) -> Fraction:
    """All units that the payment bought."""
    return sum((intent.units or Fraction(0) for intent in allocation.intents), Fraction(0))


# --- against the simulation ----------------------------------------------------------------------


@THOROUGH
@given(
    accounts(),
    st.tuples(tariff_histories(1), tariff_histories(2)),
    RULES,
    st.lists(PAYMENTS, min_size=1, max_size=4),
    LIMITS,
)
def test_payments_are_split_as_if_they_were_spent_coin_by_coin(
    before: Account,
    both: tuple[Tariff, Tariff],
    rules: Rules,
    payments: list[tuple[str, int, datetime]],
    units_max: int | None,
) -> None:
    tariffs = {tariff.tariff_id: tariff for tariff in both}
    naive = Customer(before, tariffs, rules)
    real = before
    postings = opening(before)
    for serial, amount, moment in payments:
        limits = vend_rules_of(serial, units_max)
        same_debts(real, naive, moment, tariffs, rules)
        outcome = naive.pay(serial, amount, moment, limits)
        allocation = allocate(real, serial, amount, moment, tariffs, rules, limits)
        real = allocation.account
        found = {(str(line.kind), line.ref): line.amount_minor for line in allocation.lines}
        assert list(found.items()) == list(outcome.lines.items())
        assert len(found) == len(allocation.lines)
        assert units_of(allocation) == outcome.units
        unlocks = [x.serial_number for x in allocation.intents if x.kind is VendKind.UNLOCK]
        assert sorted(unlocks) == sorted(outcome.unlocked)
        assert {plan.plan_id for plan in allocation.ended_plans} == outcome.ended
        same_account(real, naive)
        well_split(allocation, limits)
        postings.append(posting(real.version, allocation, amount))
    assert check_books(real, postings) == []


def opening(before: Account) -> list[Posting]:
    """Postings that explain the account as it was drawn."""
    carries = tuple(CarryChange(d.serial_number, d.carry_minor) for d in before.devices)
    opened = tuple(
        OpenedPlan(p.plan_id, p.serial_number, p.total_minor, p.already_paid_minor)
        for p in before.plans
    )
    credit = (Line(LineKind.CREDIT, before.customer_id, before.credit_minor),)
    first = Posting("opening", 1, opened=opened, lines=credit, carries=carries)
    return [first, *(Posting("note", version) for version in range(2, before.version + 1))]


def posting(version: int, allocation: Allocation, amount: int) -> Posting:
    """What a payment posts."""
    costs = tuple(CarryChange(x.serial_number, -x.cost_minor) for x in allocation.intents)
    return Posting(f"p{version}", version, allocation.lines, amount, costs)


def same_debts(
    real: Account, naive: Customer, moment: datetime, tariffs: dict[int, Tariff], rules: Rules
) -> None:
    """Both owe the same rows in the same order; nothing owed is zero or less."""
    rows = debts(real, moment, tariffs, rules)
    expected = [
        (*bill.line, bill.number, bill.due, bill.amount - bill.paid) for bill in naive.owed(moment)
    ]
    found = [(str(r.kind), r.ref, r.number, r.due_on, r.amount_minor) for r in rows]
    assert found == expected
    assert all(row.amount_minor > 0 for row in rows)


def same_account(real: Account, naive: Customer) -> None:
    """Both have the same credit, plans, carries and paid time."""
    assert real.credit_minor == naive.credit
    assert {p.plan_id: p.paid_minor for p in real.plans} == {
        plan_id: sum(bill.paid for bill in sale.bills) for plan_id, sale in naive.sales.items()
    }
    for device in real.devices:
        box = naive.boxes[device.serial_number]
        assert device.carry_minor == box.carry_money
        assert device.carry_days == box.carry_days
        assert device.paid_until == box.paid_until
        assert device.fees_paid_minor == sum(bill.paid for bill in box.fees.values())


def well_split(allocation: Allocation, limits: VendRules) -> None:
    """At most five tokens, largest first, in whole steps; their money is that of their line."""
    vends = [intent for intent in allocation.intents if intent.units is not None]
    units = [intent.units or Fraction(0) for intent in vends]
    assert len(units) <= 5
    assert units == sorted(units, reverse=True)
    assert all(part > 0 and (part / limits.step).denominator == 1 for part in units)
    if limits.units_max is not None:
        assert all(part <= limits.units_max for part in units)
    assert all(intent.money_minor >= 0 for intent in allocation.intents)
    for kind in ("energy", "time"):
        on_lines = sum(x.amount_minor for x in allocation.lines if str(x.kind) == kind)
        on_vends = sum(x.money_minor for x in vends if str(x.kind) == kind)
        assert on_vends == (on_lines if any(str(x.kind) == kind for x in vends) else 0)
    ends = [intent.paid_until for intent in vends if intent.paid_until is not None]
    assert ends == sorted(ends)


# --- manufacturers that take money ---------------------------------------------------------------


@THOROUGH
@given(
    accounts(),
    st.tuples(tariff_histories(1), tariff_histories(2)),
    RULES,
    st.lists(st.tuples(st.integers(1, 400), moments()), min_size=1, max_size=4),
    st.sampled_from([1, 5, 100]),
)
def test_of_money_that_is_sent_as_money_nothing_is_lost_and_none_is_held_back_without_need(
    before: Account,
    both: tuple[Tariff, Tariff],
    rules: Rules,
    payments: list[tuple[int, datetime]],
    money_step: int,
) -> None:
    """By counting coins: what came for energy is what was sent and what is carried."""
    tariffs = {tariff.tariff_id: tariff for tariff in both}
    step = Fraction(1, 1000)
    limits = VendRules(step, money_step_minor=money_step)
    real, postings = before, opening(before)
    for amount, moment in payments:
        had = carry_of(real)
        allocation = allocate(real, "M1", amount, moment, tariffs, rules, limits)
        came = sum(x.amount_minor for x in allocation.lines if x.kind is LineKind.ENERGY)
        sent = [x for x in allocation.intents if x.kind is VendKind.ENERGY]
        real = allocation.account
        assert had + came == carry_of(real) + sum(x.cost_minor for x in sent)
        assert len(sent) <= 1
        for intent in sent:
            assert intent.cost_minor.denominator == 1 and intent.cost_minor % money_step == 0
            assert intent.units is not None and intent.units >= step
            assert intent.money_minor == came
            assert 0 <= carry_of(real) < money_step
        postings.append(posting(real.version, allocation, amount))
    assert check_books(real, postings) == []


def carry_of(real: Account) -> Fraction:
    return next(d.carry_minor for d in real.devices if d.serial_number == "M1")


# --- two payments or one -------------------------------------------------------------------------


@THOROUGH
@given(
    accounts(),
    st.tuples(tariff_histories(1, Fraction(10)), tariff_histories(2, Fraction(10))),
    RULES,
    st.sampled_from(["M1", "S1"]),
    st.integers(1, 400),
    st.integers(1, 400),
    moments(),
)
def test_two_payments_give_what_one_payment_of_their_sum_gives(
    before: Account,
    both: tuple[Tariff, Tariff],
    rules: Rules,
    serial: str,
    first: int,
    second: int,
    moment: datetime,
) -> None:
    tariffs = {tariff.tariff_id: tariff for tariff in both}
    limits = vend_rules_of(serial, None)
    one = allocate(before, serial, first + second, moment, tariffs, rules, limits)
    half = allocate(before, serial, first, moment, tariffs, rules, limits)
    two = allocate(half.account, serial, second, moment, tariffs, rules, limits)

    assert lines_together(half, two) == lines_together(one)
    assert {p.plan_id for p in one.ended_plans} == {
        p.plan_id for p in (*half.ended_plans, *two.ended_plans)
    }
    unlocked = any(plan.serial_number == serial for plan in one.ended_plans)
    if unlocked:  # the days of the first payment no longer matter: the device is open for ever
        assert units_of(one) == 0
    else:
        assert units_of(half) + units_of(two) == units_of(one)
    assert comparable(two.account, unlocked) == comparable(one.account, unlocked)


def lines_together(*allocations: Allocation) -> dict[tuple[str, str], int]:
    """The lines of all of them in one."""
    sums: dict[tuple[str, str], int] = {}
    for allocation in allocations:
        for line in allocation.lines:
            key = (str(line.kind), line.ref)
            sums[key] = sums.get(key, 0) + line.amount_minor
    return {key: amount for key, amount in sums.items() if amount}


def comparable(real: Account, unlocked: bool) -> Account:
    """The account without its version, and without the paid time of a device that is unlocked."""
    kept = [replace(d, paid_until=None) if unlocked else d for d in real.devices]
    return replace(real, version=0, devices=tuple(kept))


# --- the calendar --------------------------------------------------------------------------------


@THOROUGH
@given(
    st.dates(date(2024, 1, 1), date(2027, 12, 31)),
    st.sampled_from(list(Every)),
    st.integers(1, 40),
)
def test_due_dates_are_those_that_a_calendar_shows(
    first_due: date, every: Every, instalments: int
) -> None:
    terms = Terms(1000, every, first_due, instalments=instalments)
    plan = make_plan(terms, plan_id="p", name="p", sold_at=local(START))
    expected = list(islice(due_dates(plan), instalments + 1))
    assert [due_on(plan, number + 1) for number in range(instalments + 1)] == expected
    assert gap_days(plan, instalments) == days_between(expected[-2], expected[-1])


@THOROUGH
@given(
    ZONES,
    tenure_histories(),
    st.tuples(tariff_histories(1), tariff_histories(2)),
    st.integers(0, 120),
    st.integers(0, 200),
)
def test_fees_are_those_that_one_sees_falling_due_day_by_day(
    zone: ZoneInfo,
    tenures: tuple[Tenure, ...],
    both: tuple[Tariff, Tariff],
    days_on: int,
    paid: int,
) -> None:
    tariffs = {tariff.tariff_id: tariff for tariff in both}
    device = DeviceAccount("M1", Kind.METER, tenures=tenures, fees_paid_minor=paid)
    until = START + days(days_on)
    seen = fees_day_by_day(device, tariffs, until, zone)
    assert fees(device, tariffs, until, zone) == seen
    total = sum(amount for _, amount in seen)
    owed = owed_fees(device, tariffs, until, zone)
    assert sum(fee.open_minor for fee in owed) == max(0, total - paid)
    assert [(fee.number, fee.due_on) for fee in owed] == [
        (number, day)
        for number, (day, _) in enumerate(seen, start=1)
        if sum(amount for _, amount in seen[:number]) > paid
    ]


@THOROUGH
@given(
    ZONES,
    tenure_histories(),
    st.tuples(tariff_histories(1), tariff_histories(2)),
    moments(),
)
def test_the_next_fee_is_the_one_that_then_falls_due(
    zone: ZoneInfo, tenures: tuple[Tenure, ...], both: tuple[Tariff, Tariff], moment: datetime
) -> None:
    tariffs = {tariff.tariff_id: tariff for tariff in both}
    device = DeviceAccount("M1", Kind.METER, tenures=tenures)
    today = day_of(moment, zone)
    coming = fees_day_by_day(device, tariffs, START + days(180), zone)
    to_come = [fee for fee in coming if fee[0] > today]
    assert next_fee(device, tariffs, moment, zone) == (to_come[0] if to_come else None)
