"""The rules of money once more, as slowly and simply as possible: the yardstick of the tests.

It lives through time day by day and spends a payment minor unit by minor unit, each time asking
again where that one unit goes. It keeps its own books (what is paid of each single instalment
and fee) instead of one sum, it uses none of the code under test, and it restates none of its
arithmetic: nothing is divided where it can be counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from zoneinfo import ZoneInfo

from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.allocation import OwnArrears, Rules, VendRules
from chalicelib.domain.plan import Every, Plan, PlanKind
from chalicelib.domain.tariff import AccessRate, Rate, Tariff

ONE_DAY = timedelta(days=1)
TOKENS = 5


# --- the calendar --------------------------------------------------------------------------------


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """What the calendar on the wall shows."""
    return moment.astimezone(zone).date()


@cache
def beginning_of(day: date, zone: ZoneInfo) -> datetime:
    """The first minute at which the calendar shows that day, found by waiting for it."""
    minute = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    while day_of(minute + timedelta(hours=1), zone) < day:
        minute += timedelta(hours=1)
    while day_of(minute, zone) < day:
        minute += timedelta(minutes=1)
    return minute


def days_between(first: date, last: date) -> int:
    """How often one has to sleep from the first day to the last."""
    count = 0
    while first < last:
        first += ONE_DAY
        count += 1
    return count


def due_dates(plan: Plan) -> Iterator[date]:
    """The due dates without end: every seventh day, or that day of every month if it has it."""
    day = plan.first_due
    while plan.every is Every.WEEK:
        yield day
        for _ in range(7):
            day += ONE_DAY
    year, month = day.year, day.month
    while True:
        wanted = plan.first_due.day
        while not _exists(year, month, wanted):
            wanted -= 1
        yield date(year, month, wanted)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def _exists(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


# --- fees, day by day ----------------------------------------------------------------------------


def fees_day_by_day(
    device: DeviceAccount, tariffs: dict[int, Tariff], until: date, zone: ZoneInfo
) -> list[tuple[date, int]]:
    """Live through every change and every midnight in order, and count the days of the stretch."""
    if not device.tenures:
        return []
    changes = {t.since for t in device.tenures} | {t.until for t in device.tenures if t.until}
    changes |= {rate.effective_from for tariff in tariffs.values() for rate in tariff.rates}
    day = day_of(min(changes), zone)
    midnights = {}
    while day <= until:
        midnights[beginning_of(day, zone)] = day
        day += ONE_DAY
    charged: list[tuple[date, int]] = []
    running: AccessRate | None = None
    nights = 0
    for instant in sorted({*changes, *midnights}):
        before, running = running, _access_rate_at(device, tariffs, instant)
        begins = running and (before is None or before.period_days != running.period_days)
        if begins:
            nights = 0
        elif running and instant in midnights:
            nights += 1
            if nights == running.period_days:
                charged.append((midnights[instant], running.amount_minor))
                nights = 0
    return [(day, amount) for day, amount in charged if day <= until]


def _access_rate_at(
    device: DeviceAccount, tariffs: dict[int, Tariff], instant: datetime
) -> AccessRate | None:
    for tenure in device.tenures:
        if tenure.since <= instant and (tenure.until is None or instant < tenure.until):
            return _rate_at(tariffs[tenure.tariff_id], instant).access_rate
    return None


def _rate_at(tariff: Tariff, instant: datetime) -> Rate:
    in_force = [rate for rate in tariff.rates if rate.effective_from <= instant]
    return in_force[-1] if in_force else tariff.rates[0]


# --- one customer, minor unit by minor unit ------------------------------------------------------


@dataclass
class Bill:
    """One instalment or one fee, with what is paid of it."""

    line: tuple[str, str]
    tie: str
    number: int
    due: date
    amount: int
    buys_days: int = 0
    always_since: datetime | None = None
    paid: int = 0

    def is_open(self) -> bool:
        """Whether a coin can still be put on it."""
        return self.paid < self.amount

    def is_owed(self, moment: datetime, rules: Rules, is_fee: bool) -> bool:
        """Whether it must be paid before anything can be bought."""
        today = day_of(moment, rules.time_zone)
        if is_fee:
            return self.due <= today
        if self.always_since is not None and moment >= self.always_since:
            return True
        return days_between(self.due, today) > rules.grace_days


@dataclass
class Sale:
    """A plan with its bills in order."""

    plan: Plan
    bills: list[Bill]

    def next_open(self) -> Bill | None:
        """The first instalment that is not fully paid."""
        return next((bill for bill in self.bills if bill.is_open()), None)


@dataclass
class Box:
    """What one device has: energy money or days not yet issued, and the end of its paid time."""

    kind: Kind
    carry_money: Fraction
    carry_days: Fraction
    paid_until: datetime | None
    fees: dict[tuple[date, int], Bill] = field(default_factory=dict)
    fees_prepaid: int = 0


@dataclass
class Outcome:
    """What one payment led to."""

    lines: dict[tuple[str, str], int] = field(default_factory=dict)
    units: Fraction = Fraction(0)
    unlocked: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)


class Customer:
    """A customer who pays coin by coin. Begins as the account says, then keeps its own books."""

    def __init__(self, account: Account, tariffs: dict[int, Tariff], rules: Rules) -> None:
        self.account = account
        self.tariffs = tariffs
        self.rules = rules
        self.credit = account.credit_minor
        self.sales = {plan.plan_id: Sale(plan, list(self._bills(plan))) for plan in account.plans}
        self.boxes = {
            d.serial_number: Box(
                d.kind,
                d.carry_minor,
                d.carry_days,
                d.paid_until,
                fees_prepaid=d.fees_paid_minor,
            )
            for d in account.devices
        }

    def owed(self, moment: datetime) -> list[Bill]:
        """The open bills that come before everything else, in their order."""
        appliances: list[Bill] = []
        others: list[Bill] = []
        for sale in self.sales.values():
            is_appliance = sale.plan.kind is PlanKind.APPLIANCE
            for bill in sale.bills:
                if bill.is_open() and bill.is_owed(moment, self.rules, is_fee=False):
                    (appliances if is_appliance else others).append(bill)
        fees = [bill for bill in self._fee_bills(moment) if bill.is_open()]
        others += [fee for fee in fees if fee.is_owed(moment, self.rules, is_fee=True)]
        in_order = [sorted(bills, key=_oldest_first) for bills in (appliances, others)]
        return [*in_order[0], *in_order[1]]

    def pay(self, serial: str, amount: int, moment: datetime, vend_rules: VendRules) -> Outcome:
        """Spend a payment, with the credit in hand, one coin after the other."""
        outcome = Outcome()
        credit_before, self.credit = self.credit, 0
        owed = self.owed(moment)
        bought_days = Fraction(0)
        bought_energy = 0
        own = next((s for s in self.sales.values() if s.plan.serial_number == serial), None)
        own_bills = {id(bill) for bill in own.bills} if own else set()
        activation = self.rules.own_arrears is OwnArrears.ACTIVATION
        for _ in range(amount + credit_before):
            while owed and not owed[0].is_open():
                owed.pop(0)
            if owed:
                bill: Bill | None = owed[0]
                line, counts = owed[0].line, activation and id(owed[0]) in own_bills
            elif own and (bill := own.next_open()):
                line, counts = ("time", serial), True
            elif self.boxes[serial].kind is Kind.METER:
                bill, line, counts = None, ("energy", serial), False
                bought_energy += 1
            else:
                self.credit += 1
                continue
            if bill:
                bill.paid += 1
                if counts:
                    bought_days += Fraction(bill.buys_days, bill.amount)
            outcome.lines[line] = outcome.lines.get(line, 0) + 1
        if self.credit != credit_before:
            outcome.lines["credit", self.account.customer_id] = self.credit - credit_before
        self._end_plans(outcome)
        if bought_energy:
            self._energy(serial, bought_energy, moment, vend_rules, outcome)
        elif bought_days and serial not in outcome.unlocked:
            self._days(serial, bought_days, moment, vend_rules, outcome)
        return outcome

    def _bills(self, plan: Plan) -> Iterator[Bill]:
        """The plan's instalments; what the account says is paid is put on them in order."""
        appliance = plan.kind is PlanKind.APPLIANCE
        ref = plan.plan_id if appliance else str(plan.serial_number)
        line = ("appliance" if appliance else "device", ref)
        amounts = [plan.instalment_minor] * plan.instalments
        while sum(amounts) + plan.down_payment_minor < plan.total_minor:
            amounts[-1] += 1
        dates = due_dates(plan)
        due = next(dates)
        bills = []
        if plan.down_payment_minor:
            sold_on = day_of(plan.sold_at, self.rules.time_zone)
            first = sold_on if sold_on < due else due
            bills.append(
                Bill(line, ref, 0, first, plan.down_payment_minor, always_since=plan.sold_at)
            )
        for number, amount in enumerate(amounts, start=1):
            following = next(dates)
            bills.append(Bill(line, ref, number, due, amount, days_between(due, following)))
            due = following
        coins = plan.paid_minor
        for bill in bills:
            while coins and bill.is_open():
                bill.paid += 1
                coins -= 1
        yield from bills

    def _fee_bills(self, moment: datetime) -> Iterator[Bill]:
        """The fees of all meters up to the day of ``moment``; a fee stays the same bill."""
        zone = self.rules.time_zone
        today = day_of(moment, zone)
        for device in self.account.devices:
            serial, box = device.serial_number, self.boxes[device.serial_number]
            for number, (day, amount) in enumerate(
                fees_day_by_day(device, self.tariffs, today, zone), start=1
            ):
                if (day, number) not in box.fees:
                    bill = Bill(("access_rate", serial), serial, number, day, amount)
                    while box.fees_prepaid and bill.is_open():
                        bill.paid += 1
                        box.fees_prepaid -= 1
                    box.fees[day, number] = bill
                yield box.fees[day, number]

    def _end_plans(self, outcome: Outcome) -> None:
        for plan_id, sale in list(self.sales.items()):
            if sale.next_open() is None:
                del self.sales[plan_id]
                outcome.ended.add(plan_id)
                if sale.plan.serial_number:
                    outcome.unlocked.add(sale.plan.serial_number)
                    self.boxes[sale.plan.serial_number].carry_days = Fraction(0)

    def _energy(
        self, serial: str, money: int, moment: datetime, vend_rules: VendRules, outcome: Outcome
    ) -> None:
        """Buy one step after the other while there is money for it and room on the tokens."""
        box = self.boxes[serial]
        box.carry_money += money
        tenures = next(d for d in self.account.devices if d.serial_number == serial).tenures
        begun = [tenure for tenure in tenures if tenure.since <= moment]
        tenure = begun[-1] if begun else tenures[0]
        rate = _rate_at(self.tariffs[tenure.tariff_id], moment)
        if box.carry_money < rate.minimum_purchase_minor:
            return
        room = _room(vend_rules)
        while box.carry_money >= rate.price_minor * vend_rules.step and room != 0:
            box.carry_money -= rate.price_minor * vend_rules.step
            outcome.units += vend_rules.step
            room -= 1

    def _days(
        self,
        serial: str,
        bought: Fraction,
        moment: datetime,
        vend_rules: VendRules,
        outcome: Outcome,
    ) -> None:
        """Issue one day after the other while there is a whole one and room on the tokens."""
        box = self.boxes[serial]
        box.carry_days += bought
        room = _room(vend_rules)
        while box.carry_days >= 1 and room != 0:
            box.carry_days -= 1
            if box.paid_until is None or box.paid_until < moment:
                box.paid_until = moment
            box.paid_until += ONE_DAY
            outcome.units += 1
            room -= 1


def _room(vend_rules: VendRules) -> int:
    """How many steps fit on five tokens; below zero where there is no limit."""
    if vend_rules.units_max is None:
        return -1
    steps = 0
    while (steps + 1) * vend_rules.step <= vend_rules.units_max:
        steps += 1
    return steps * TOKENS


def _oldest_first(bill: Bill) -> tuple[date, str, int]:
    return bill.due, bill.tie, bill.number
