"""How one payment is split: debts first, then energy or time, the rest is credit.

The order, for every kind of device, with credit in hand joining the payment first:

1. overdue instalments of the customer's appliance plans, oldest due first;
2. overdue instalments of the customer's SHS and e-bike plans and the fees of all the customer's
   meters, oldest due first;
3. what is left buys energy or time for the device that was paid;
4. what even that cannot use is credit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from math import ceil
from zoneinfo import ZoneInfo

from chalicelib.domain.access_rate import owed_fees
from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.errors import InvariantBroken
from chalicelib.domain.moment import local_day
from chalicelib.domain.plan import Plan, PlanKind
from chalicelib.domain.schedule import days_bought, overdue_instalments
from chalicelib.domain.tariff import Rate, Tariff
from chalicelib.domain.units import share_by_cost, share_in_proportion, split_units, whole_steps


class LineKind(StrEnum):
    """Where a part of a payment went."""

    APPLIANCE = "appliance"
    DEVICE = "device"
    ACCESS_RATE = "access_rate"
    ENERGY = "energy"
    TIME = "time"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class Line:
    """A part of a payment: ``ref`` is a plan id (appliance), a serial, or the customer (credit).

    ``name`` is what people call an appliance, for the SMS; it says nothing about money.
    """

    kind: LineKind
    ref: str
    amount_minor: int
    name: str | None = field(default=None, compare=False)


class VendKind(StrEnum):
    """What a token does when it is typed into the device.

    The first three are paid for. The others are what operators have done to a device: ``lock``
    stops it now, ``reset`` sets it to what its owner is owed, ``clear_credit`` and
    ``clear_tamper`` empty a meter and end its alarm, ``sync`` brings a device's token counter to
    ours.
    """

    ENERGY = "energy"
    TIME = "time"
    UNLOCK = "unlock"
    LOCK = "lock"
    RESET = "reset"
    CLEAR_CREDIT = "clear_credit"
    CLEAR_TAMPER = "clear_tamper"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class VendRules:
    """What the paid device's manufacturer can vend at once.

    ``step`` is the smallest amount of units (kWh, or days), ``units_max`` the largest for one
    token, ``None`` where there is no limit. A manufacturer that takes money instead of units
    takes multiples of ``money_step_minor``; the units are then what that money is worth, rounded
    down to the step, for people to read.
    """

    step: Fraction
    units_max: Fraction | None = None
    money_step_minor: int | None = None


TOKENS_MAX = 5
"""A payment is split into at most this many tokens; what does not fit is carried."""


@dataclass(frozen=True, slots=True)
class VendIntent:
    """One token (or top-up) to ask for. ``money_minor`` is this vend's share of its line.

    ``units`` are kWh or days, exact multiples of the step; ``None`` for an unlock.
    ``cost_minor`` is what the units cost exactly (energy only), so that undoing the vend can
    give the carry back; where the manufacturer takes money it is the money to send.
    ``paid_until`` is the end of the paid time after this vend (time only). ``days_bought`` is what
    the line's money bought exactly, for all vends of the line (time only, on the first of them):
    with it undoing them can give the carried part of a day back.
    """

    serial_number: str
    kind: VendKind
    units: Fraction | None = None
    money_minor: int = 0
    cost_minor: Fraction = Fraction(0)
    paid_until: datetime | None = None
    days_bought: Fraction = Fraction(0)


class OwnArrears(StrEnum):
    """What clearing overdue instalments of the paid device buys: nothing, or their days."""

    DEBT = "debt"
    ACTIVATION = "activation"


@dataclass(frozen=True, slots=True)
class Rules:
    """The company's choices that the split depends on."""

    time_zone: ZoneInfo
    grace_days: int = 0
    own_arrears: OwnArrears = OwnArrears.DEBT


@dataclass(frozen=True, slots=True)
class Debt:
    """One overdue instalment or owed fee. ``ref`` as in a line, ``number`` counts within it."""

    kind: LineKind
    ref: str
    name: str
    serial_number: str | None
    number: int
    due_on: date
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """The split of one payment and the account after it, one version further."""

    account: Account
    lines: tuple[Line, ...]
    intents: tuple[VendIntent, ...]
    ended_plans: tuple[Plan, ...]


def debts(
    account: Account, moment: datetime, tariffs: Mapping[int, Tariff], rules: Rules
) -> tuple[Debt, ...]:
    """What the customer owes at ``moment``, in the order in which a payment clears it.

    One row per overdue instalment or owed fee, with what is open of it. Appliance plans come
    first, oldest due first (ties: plan id); then SHS and e-bike plans and the fees of all
    meters, those that went to another owner included, oldest due first (ties: serial).

    Raises:
        KeyError: a tariff of one of the meters is not in ``tariffs``.
    """
    rows = [*_overdue(account, moment, rules), *_fees(account, moment, tariffs, rules)]
    return tuple(sorted(rows, key=_clearing_order))


def allocate(
    account: Account,
    serial_number: str,
    amount_minor: int,
    moment: datetime,
    tariffs: Mapping[int, Tariff],
    rules: Rules,
    vend_rules: VendRules,
    target_plan_id: str | None = None,
) -> Allocation:
    """Split a payment for that device. Pure: the same input always gives the same split.

    ``vend_rules`` are of the paid device's ordinary vend (energy or time). With
    ``target_plan_id``, an appliance's plan, what is left after the debts pays that plan's next
    instalments instead, and neither the device nor its rules are looked at; a target that is the
    paid device's own plan is as paying the device.

    This splits whatever it is given; whether the payment is to be refused is asked in ``judge``.

    Raises:
        InvariantBroken: the device is not this customer's, or a bug; nothing may be written.
        KeyError: a tariff of one of the meters is not in ``tariffs``.
    """
    split = _Split(account, amount_minor)
    split.clear(debts(account, moment, tariffs, rules))
    own_plan = account.plan_of(serial_number)
    if target_plan_id is not None and (own_plan is None or own_plan.plan_id != target_plan_id):
        split.pay_next_instalments(LineKind.APPLIANCE, target_plan_id, target_plan_id)
    elif _owned_device(account, serial_number).kind is Kind.METER:
        _buy_energy(split, serial_number, moment, tariffs, vend_rules)
    else:
        _buy_time(split, serial_number, moment, rules, vend_rules)
    allocation = split.allocation(paid_serial_number=serial_number)
    prove(account, amount_minor, allocation)
    return allocation


def prove(before: Account, amount_minor: int, allocation: Allocation) -> None:
    """The invariant: no money is lost, doubled or invented between ``before`` and the allocation.

    The lines add up to the amount, each says exactly what changed in the account, and nothing
    is negative that must not be.

    Raises:
        InvariantBroken: it does not hold.
    """
    after, lines = allocation.account, allocation.lines
    if amount_minor <= 0 or sum(line.amount_minor for line in lines) != amount_minor:
        raise InvariantBroken("the lines do not add up to the amount")
    if any(line.amount_minor <= 0 for line in lines if line.kind is not LineKind.CREDIT):
        raise InvariantBroken("a line is not above zero")
    if after.version != before.version + 1:
        raise InvariantBroken("the account is not exactly one version further")
    if _raised(_credit(before), _credit(after)) != _by_ref(lines, LineKind.CREDIT):
        raise InvariantBroken("the credit line is not the change of the credit")
    plans_after = (*after.plans, *allocation.ended_plans)
    if _raised(_paid_on_plans(before.plans), _paid_on_plans(plans_after)) != (
        _by_ref(lines, LineKind.APPLIANCE, LineKind.DEVICE, LineKind.TIME)
    ):
        raise InvariantBroken("the plans did not take what the lines say")
    if _raised(_fees_paid(before), _fees_paid(after)) != _by_ref(lines, LineKind.ACCESS_RATE):
        raise InvariantBroken("the fees did not take what the lines say")
    if _raised(_energy(before, ()), _energy(after, allocation.intents)) != (
        _by_ref(lines, LineKind.ENERGY)
    ):
        raise InvariantBroken("energy and carry are not worth what the lines say")
    if any(plan.open_minor != 0 for plan in allocation.ended_plans):
        raise InvariantBroken("a plan ended that is not paid exactly")
    if any(plan.open_minor <= 0 for plan in after.plans) or _has_negative(after):
        raise InvariantBroken("an open plan is paid, or something is negative")


# --- debts -----------------------------------------------------------------------------------


def _overdue(account: Account, moment: datetime, rules: Rules) -> Iterator[Debt]:
    for plan in account.plans:
        appliance = plan.kind is PlanKind.APPLIANCE
        for row in overdue_instalments(plan, moment, rules.grace_days, rules.time_zone):
            yield Debt(
                kind=LineKind.APPLIANCE if appliance else LineKind.DEVICE,
                ref=_ref(plan),
                name=plan.name,
                serial_number=plan.serial_number,
                number=row.number,
                due_on=row.due_on,
                amount_minor=row.open_minor,
            )


def _fees(
    account: Account, moment: datetime, tariffs: Mapping[int, Tariff], rules: Rules
) -> Iterator[Debt]:
    today = local_day(moment, rules.time_zone)
    for device in account.devices:
        for fee in owed_fees(device, tariffs, today, rules.time_zone):
            yield Debt(
                kind=LineKind.ACCESS_RATE,
                ref=device.serial_number,
                name=tariffs[fee.tariff_id].name,
                serial_number=device.serial_number,
                number=fee.number,
                due_on=fee.due_on,
                amount_minor=fee.open_minor,
            )


def _clearing_order(debt: Debt) -> tuple[bool, date, str, int]:
    return debt.kind is not LineKind.APPLIANCE, debt.due_on, debt.ref, debt.number


def _ref(plan: Plan) -> str:
    """What a debt line of that plan refers to: its device, or the plan itself."""
    return plan.serial_number or plan.plan_id


# --- the split in the making -----------------------------------------------------------------


class _Split:
    """The money that is left, the lines so far, and the account as it changes with them."""

    def __init__(self, account: Account, amount_minor: int) -> None:
        self.left_minor = amount_minor + account.credit_minor
        self.intents: list[VendIntent] = []
        self.before = account
        self._lines: dict[tuple[LineKind, str], int] = {}
        self._plans = {plan.plan_id: plan for plan in account.plans}
        self._devices = {device.serial_number: device for device in account.devices}

    def line_minor(self, kind: LineKind, ref: str) -> int:
        """What the line of that kind and ref has so far."""
        return self._lines.get((kind, ref), 0)

    def device(self, serial_number: str) -> DeviceAccount:
        """The record of that device as it stands now."""
        return self._devices[serial_number]

    def paid_minor(self, plan_id: str) -> int:
        """What is paid of that plan as it stands now."""
        return self._plans[plan_id].paid_minor

    def take(self, kind: LineKind, ref: str, wanted_minor: int) -> int:
        """Put what is wanted, or what is left of the money, on a line; answer how much it is."""
        part_minor = min(wanted_minor, self.left_minor)
        if part_minor > 0:
            self.left_minor -= part_minor
            self._lines[kind, ref] = self.line_minor(kind, ref) + part_minor
        return part_minor

    def clear(self, owed: Iterable[Debt]) -> None:
        """Steps 1 and 2: pay the debts in their order, as far as the money goes."""
        plan_ids = {_ref(plan): plan.plan_id for plan in self.before.plans}
        for debt in owed:
            part_minor = self.take(debt.kind, debt.ref, debt.amount_minor)
            if debt.kind is LineKind.ACCESS_RATE:
                device = self.device(debt.ref)
                paid_minor = device.fees_paid_minor + part_minor
                self.keep(replace(device, fees_paid_minor=paid_minor))
            else:
                self._pay_plan(plan_ids[debt.ref], part_minor)

    def pay_next_instalments(self, kind: LineKind, ref: str, plan_id: str) -> None:
        """Pay an open plan with what is left, due or not. A plan that has ended takes nothing."""
        if plan_id in self._plans:
            self._pay_plan(plan_id, self.take(kind, ref, self._plans[plan_id].open_minor))

    def keep(self, device: DeviceAccount) -> None:
        """Put that device's changed record into the account."""
        self._devices[device.serial_number] = device

    def allocation(self, paid_serial_number: str) -> Allocation:
        """The finished split: what is left is credit; each paid-off device gets its unlock."""
        ended = tuple(plan for plan in self._plans.values() if plan.is_paid)
        self._unlock(ended, paid_serial_number)
        account = replace(
            self.before.next_version(),
            credit_minor=self.left_minor,
            plans=tuple(plan for plan in self._plans.values() if not plan.is_paid),
            devices=tuple(self._devices.values()),
        )
        names = {plan.plan_id: plan.name for plan in self.before.plans}
        lines = [
            Line(kind, ref, amount_minor, names.get(ref))
            for (kind, ref), amount_minor in self._lines.items()
        ]
        credit_minor = account.credit_minor - self.before.credit_minor
        if credit_minor != 0:
            lines.append(Line(LineKind.CREDIT, account.customer_id, credit_minor))
        return Allocation(account, tuple(lines), tuple(self.intents), ended)

    def _pay_plan(self, plan_id: str, part_minor: int) -> None:
        plan = self._plans[plan_id]
        self._plans[plan_id] = replace(plan, paid_minor=plan.paid_minor + part_minor)

    def _unlock(self, ended: Iterable[Plan], paid_serial_number: str) -> None:
        """Unlock the devices of those plans, the paid one first. Carried days end with a plan."""
        serials = [plan.serial_number for plan in ended if plan.serial_number is not None]
        for serial in sorted(serials, key=lambda serial: serial != paid_serial_number):
            money_minor = self.line_minor(LineKind.TIME, serial)
            self.intents.append(VendIntent(serial, VendKind.UNLOCK, money_minor=money_minor))
            self.keep(replace(self.device(serial), carry_days=Fraction(0), unlocked=True))


# --- energy and time -------------------------------------------------------------------------


def _owned_device(account: Account, serial_number: str) -> DeviceAccount:
    device = account.device(serial_number)
    if device is None or not device.owned:
        raise InvariantBroken(f"{serial_number} is not a device of {account.customer_id}")
    return device


def _buy_energy(
    split: _Split,
    serial_number: str,
    moment: datetime,
    tariffs: Mapping[int, Tariff],
    vend_rules: VendRules,
) -> None:
    """Turn what is left, with the meter's carry, into kWh; what they do not cost is carried.

    A meter that never had a tariff has no price: its money stays what is left.
    """
    device = split.device(serial_number)
    tenure = device.tenure_at(moment)
    if tenure is None or split.left_minor == 0:
        return
    rate = tariffs[tenure.tariff_id].rate_at(moment)
    money_minor = split.take(LineKind.ENERGY, serial_number, split.left_minor)
    spendable_minor = money_minor + device.carry_minor
    bought = _energy_bought(spendable_minor, rate, vend_rules)
    costs = [cost for _, cost in bought]
    split.keep(replace(device, carry_minor=spendable_minor - sum(costs, Fraction(0))))
    shares = share_by_cost(money_minor, costs)
    for (units, cost), share in zip(bought, shares, strict=False):
        split.intents.append(VendIntent(serial_number, VendKind.ENERGY, units, share, cost))


def _energy_bought(
    spendable_minor: Fraction, rate: Rate, vend_rules: VendRules
) -> list[tuple[Fraction, Fraction]]:
    """The kWh of each token and what they cost; none below the tariff's minimum purchase.

    A manufacturer that takes money gets all of it at once, rounded down to what it accepts.
    """
    if spendable_minor < rate.minimum_purchase_minor:
        return []
    if vend_rules.money_step_minor is not None:
        sent_minor = whole_steps(spendable_minor, Fraction(vend_rules.money_step_minor))
        units = whole_steps(sent_minor / rate.price_minor, vend_rules.step)
        return [(units, sent_minor)] if units > 0 else []
    units = spendable_minor / rate.price_minor
    tokens = split_units(units, vend_rules.step, vend_rules.units_max, TOKENS_MAX)
    return [(units, units * rate.price_minor) for units in tokens]


def _buy_time(
    split: _Split, serial_number: str, moment: datetime, rules: Rules, vend_rules: VendRules
) -> None:
    """Pay the device's next instalments and issue the days they buy; a paid-off plan needs none.

    Clearing its overdue instalments was debt and bought nothing, unless the company chose
    ``activation``.
    """
    plan = split.before.plan_of(serial_number)
    if plan is None:
        return
    cleared_minor = split.paid_minor(plan.plan_id)
    split.pay_next_instalments(LineKind.TIME, serial_number, plan.plan_id)
    paid_minor = split.paid_minor(plan.plan_id)
    if paid_minor >= plan.total_minor:
        return
    activation = rules.own_arrears is OwnArrears.ACTIVATION
    line_days = days_bought(plan, cleared_minor, paid_minor)
    arrears_days = days_bought(plan, plan.paid_minor, cleared_minor) if activation else Fraction(0)
    if line_days + arrears_days > 0:
        _issue_days(split, serial_number, line_days, arrears_days, moment, vend_rules)


def _issue_days(
    split: _Split,
    serial_number: str,
    line_days: Fraction,
    arrears_days: Fraction,
    moment: datetime,
    vend_rules: VendRules,
) -> None:
    """Issue the whole days, with those carried so far; the exact rest is carried."""
    device = split.device(serial_number)
    spendable_days = device.carry_days + line_days + arrears_days
    step_days = Fraction(ceil(vend_rules.step))
    tokens = split_units(spendable_days, step_days, vend_rules.units_max, TOKENS_MAX)
    money_minor = split.line_minor(LineKind.TIME, serial_number)
    paid_until, bought = device.paid_until, line_days
    for units, share in zip(tokens, share_in_proportion(money_minor, tokens), strict=False):
        paid_until = max(moment, paid_until or moment) + timedelta(days=int(units))
        intent = VendIntent(
            serial_number,
            VendKind.TIME,
            units,
            money_minor=share,
            paid_until=paid_until,
            days_bought=bought,
        )
        split.intents.append(intent)
        bought = Fraction(0)
    carry_days = spendable_days - sum(tokens, Fraction(0))
    split.keep(replace(device, carry_days=carry_days, paid_until=paid_until))


# --- sums for the proof ----------------------------------------------------------------------


def _raised(
    before: Mapping[str, int | Fraction], after: Mapping[str, int | Fraction]
) -> dict[str, int | Fraction]:
    """By how much each sum has changed, those that did not left out."""
    changes = {ref: after.get(ref, 0) - before.get(ref, 0) for ref in {*before, *after}}
    return {ref: change for ref, change in changes.items() if change != 0}


def _by_ref(lines: Iterable[Line], *kinds: LineKind) -> dict[str, int | Fraction]:
    sums: dict[str, int | Fraction] = {}
    for line in lines:
        if line.kind in kinds:
            sums[line.ref] = sums.get(line.ref, 0) + line.amount_minor
    return sums


def _credit(account: Account) -> dict[str, int | Fraction]:
    return {account.customer_id: account.credit_minor}


def _paid_on_plans(plans: Iterable[Plan]) -> dict[str, int | Fraction]:
    return {_ref(plan): plan.paid_minor for plan in plans}


def _fees_paid(account: Account) -> dict[str, int | Fraction]:
    return {device.serial_number: device.fees_paid_minor for device in account.devices}


def _energy(account: Account, intents: Iterable[VendIntent]) -> dict[str, int | Fraction]:
    """What each meter has in money: its carry, and what its energy costs."""
    sums: dict[str, int | Fraction] = {d.serial_number: d.carry_minor for d in account.devices}
    for intent in intents:
        sums[intent.serial_number] += intent.cost_minor
    return sums


def _has_negative(account: Account) -> bool:
    return account.credit_minor < 0 or any(
        device.carry_minor < 0 or device.carry_days < 0 for device in account.devices
    )
