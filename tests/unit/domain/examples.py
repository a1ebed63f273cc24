"""Accounts, plans and tariffs for the tests of the rules. Everything happens in Nairobi, in KES.

The reference day is Monday 10 March 2025. Sums are written in major units and turned into minor
ones by ``kes``, so that the tests read like the rules.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from chalicelib.domain.account import Account, DeviceAccount, Kind, Tenure
from chalicelib.domain.allocation import Allocation, OwnArrears, Rules, VendRules, allocate
from chalicelib.domain.money import Currency
from chalicelib.domain.plan import Every, Plan, Terms, make_plan
from chalicelib.domain.tariff import AccessRate, Rate, Tariff

KES = Currency("KES", 2)
NAIROBI = ZoneInfo("Africa/Nairobi")
RULES = Rules(NAIROBI)
ACTIVATION = Rules(NAIROBI, own_arrears=OwnArrears.ACTIVATION)

TODAY = date(2025, 3, 10)
LONG_AGO = datetime(2024, 1, 1, 9, 0, tzinfo=UTC)

METER, SHS, TV = "M1", "S1", "p-tv"
TENTH_KWH = VendRules(step=Fraction(1, 10))
DAY = VendRules(step=Fraction(1))


def kes(major: int | str) -> int:
    """An amount in minor units."""
    return int(Fraction(major) * 100)


def local(day: date, hour: int = 12, minute: int = 0, zone: ZoneInfo = NAIROBI) -> datetime:
    """A moment (UTC) by the clock on the wall."""
    wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    return wall.astimezone(UTC)


def days(count: int) -> timedelta:
    """A number of days."""
    return timedelta(days=count)


NOW = local(TODAY)


def tariff(
    price: int | str = 100,
    fee: int | None = None,
    period_days: int = 7,
    minimum: int = 0,
    tariff_id: int = 1,
) -> Tariff:
    """A tariff that never changed."""
    access_rate = AccessRate(kes(fee), period_days) if fee is not None else None
    rate = Rate(LONG_AGO, Fraction(price) * 100, access_rate, kes(minimum))
    return Tariff(tariff_id, f"tariff {tariff_id}", (rate,))


def meter(serial_number: str = METER, since: datetime = NOW, **changed: object) -> DeviceAccount:
    """A meter under tariff 1."""
    device = DeviceAccount(serial_number, Kind.METER, tenures=(Tenure(1, since),))
    return _changed(device, changed)


def shs(
    serial_number: str = SHS, plan_id: str | None = "p-shs", **changed: object
) -> DeviceAccount:
    """An SHS that was sold on a plan."""
    return _changed(DeviceAccount(serial_number, Kind.SHS, plan_id=plan_id), changed)


def weekly(
    first_due: date,
    *,
    total: int | str = 7000,
    instalments: int = 10,
    paid: int | str = 0,
    down: int = 0,
    plan_id: str = "p-shs",
    serial_number: str | None = SHS,
    sold_at: datetime = LONG_AGO,
    every: Every = Every.WEEK,
) -> Plan:
    """A plan; 700 a week ten times unless said otherwise. ``paid`` counts as paid before."""
    terms = Terms(
        total_minor=kes(total),
        every=every,
        first_due=first_due,
        instalments=instalments,
        down_payment_minor=kes(down),
        already_paid_minor=kes(paid),
    )
    return make_plan(
        terms, plan_id=plan_id, name=plan_id, sold_at=sold_at, serial_number=serial_number
    )


def tv(first_due: date, *, total: int | str = 300, instalments: int = 1, **more: object) -> Plan:
    """A TV that is paid off; one instalment of 300 unless said otherwise."""
    return weekly(
        first_due,
        total=total,
        instalments=instalments,
        plan_id=str(more.pop("plan_id", TV)),
        serial_number=None,
        **more,  # type: ignore[arg-type]
    )


def account(*parts: Plan | DeviceAccount, credit: int = 0, version: int = 4) -> Account:
    """An account with those plans and devices."""
    return Account(
        customer_id="C1",
        version=version,
        credit_minor=kes(credit),
        plans=tuple(part for part in parts if isinstance(part, Plan)),
        devices=tuple(part for part in parts if isinstance(part, DeviceAccount)),
    )


def pay(
    payer: Account,
    serial_number: str,
    amount: int | str,
    *,
    moment: datetime = NOW,
    tariffs: Tariff | dict[int, Tariff] | None = None,
    rules: Rules = RULES,
    vend_rules: VendRules | None = None,
    target_plan_id: str | None = None,
) -> Allocation:
    """Split a payment, with the step of a tenth of a kWh or of a day."""
    if not isinstance(tariffs, dict):
        tariffs = {1: tariffs or tariff()}
    step = TENTH_KWH if serial_number.startswith("M") else DAY
    return allocate(
        payer,
        serial_number,
        kes(amount),
        moment,
        tariffs,
        rules,
        vend_rules or step,
        target_plan_id,
    )


def lines_of(allocation: Allocation) -> str:
    """The lines in short, in major units: ``"appliance 300, energy 550"``."""
    return ", ".join(f"{x.kind} {_major(x.amount_minor)}" for x in allocation.lines)


def vends_of(allocation: Allocation) -> str:
    """The vends in short: ``"energy 11/2"``, ``"time 7"``, ``"unlock"``."""
    return ", ".join(f"{x.kind} {x.units}" if x.units else x.kind for x in allocation.intents)


def _major(amount_minor: int) -> str:
    return str(Fraction(amount_minor, 100))


def _changed(device: DeviceAccount, changed: dict[str, object]) -> DeviceAccount:
    return replace(device, **changed)  # type: ignore[arg-type]
