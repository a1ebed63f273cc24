"""What a company has, as rows of a portfolio: what ``things`` reads, written.

Money is written exactly. What a portfolio has no words for is written as something that is owed
all the same: fees of a meter that went to another owner, say, become a plan that is due at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from chalicelib.domain.access_rate import next_fee, owed_fees
from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.moment import local_day
from chalicelib.domain.money import Currency, format_exact, format_minor, format_price, format_units
from chalicelib.domain.plan import Every, Plan
from chalicelib.domain.tariff import Tariff
from chalicelib.services.devices import belongings_by_itself
from chalicelib.services.portfolio.known import PARENT_KIND
from chalicelib.services.ports import Appliance, Customer, Device, Site, SiteKind
from chalicelib.services.register import REGISTERED_ON_MIN

Cells = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reference:
    """What rows refer to by name, and how amounts and days are written."""

    sites: Mapping[tuple[SiteKind, int], Site]
    tariffs: Mapping[int, Tariff]
    appliances: Mapping[int, Appliance]
    currency: Currency
    time_zone: ZoneInfo
    now: datetime

    @property
    def today(self) -> date:
        """The day of the export."""
        return local_day(self.now, self.time_zone)

    def village(self, village_id: int) -> str:
        """The name of that village."""
        return self.sites[SiteKind.VILLAGE, village_id].name


@dataclass(frozen=True, slots=True)
class Technical:
    """What a device's manufacturer needs of it, as it was entered, and its token counter."""

    entered: Mapping[str, object]
    counter: int | None = None


def shared_rows(reference: Reference) -> Iterator[Cells]:
    """Places, tariffs and appliances."""
    for kind in (SiteKind.CLUSTER, SiteKind.MINI_GRID, SiteKind.VILLAGE):
        for site in reference.sites.values():
            if site.kind is kind:
                yield _site(site, reference)
    for tariff in reference.tariffs.values():
        yield _tariff(tariff, reference)
    for appliance in reference.appliances.values():
        yield _appliance(appliance, reference)


def customer_rows(
    customer: Customer,
    account: Account,
    devices: Sequence[tuple[Device, Technical]],
    reference: Reference,
) -> Iterator[Cells]:
    """A customer, their devices, and what they have still to pay."""
    currency = reference.currency
    yield _given(
        record="customer",
        customer=customer.customer_id,
        name=customer.name,
        surname=customer.surname,
        phone=customer.phone,
        village=reference.village(customer.village_id),
        credit=format_minor(account.credit_minor, currency) if account.credit_minor else "",
    )
    left_minor: list[tuple[str, int]] = []
    for device, technical in devices:
        record = account.device(device.serial_number)
        if record is None:  # it is changing hands this very moment
            continue
        cells = {**_device(device, technical, reference), "customer": customer.customer_id}
        if device.kind is Kind.METER:
            rate, rest_minor = _access_rate(record, reference)
            cells |= rate
            left_minor.append((device.serial_number, rest_minor))
            cells["carry"] = (
                format_exact(record.carry_minor, currency) if record.carry_minor else ""
            )
        else:
            cells |= _time(record.paid_until, unlocked=record.unlocked)
            cells["carry_days"] = format_units(record.carry_days) if record.carry_days else ""
        yield cells
    left_minor += [
        (r.serial_number, _owed_minor(r, reference)) for r in account.devices if not r.owned
    ]
    for plan in account.plans:
        yield _plan(plan, customer.customer_id, reference)
    for serial_number, owed_minor in left_minor:
        if owed_minor:
            yield _left_behind(serial_number, owed_minor, customer.customer_id, reference)


def stock_rows(device: Device, technical: Technical, reference: Reference) -> Iterator[Cells]:
    """A device that nobody owns, with what belongs to it."""
    own = belongings_by_itself(device)
    yield {
        **_device(device, Technical(technical.entered, own.counter), reference),
        **_time(own.paid_until, unlocked=own.unlocked),
    }


# --- places, tariffs, appliances ------------------------------------------------------------------


def _site(site: Site, reference: Reference) -> Cells:
    parent = ""
    if site.parent_id is not None:
        parent = reference.sites[PARENT_KIND[site.kind], site.parent_id].name
    return _given(record=site.kind.value, name=site.name, parent=parent)


def _tariff(tariff: Tariff, reference: Reference) -> Cells:
    """As it is now: its history, and changes to come, are not moved."""
    rate, currency = tariff.rate_at(reference.now), reference.currency
    cells = _given(
        record="tariff",
        name=tariff.name,
        price_per_kwh=format_price(rate.price_minor, currency),
        minimum_purchase=_amount_or_empty(rate.minimum_purchase_minor, currency),
    )
    if rate.access_rate is None:
        return cells
    return {
        **cells,
        "access_rate_amount": format_minor(rate.access_rate.amount_minor, currency),
        "access_rate_period_days": str(rate.access_rate.period_days),
    }


def _appliance(appliance: Appliance, reference: Reference) -> Cells:
    currency, plan = reference.currency, appliance.default_plan
    cells = _given(
        record="appliance",
        name=appliance.name,
        kind=appliance.kind.value,
        price=format_minor(appliance.price_minor, currency),
        manufacturer=appliance.manufacturer or "",
    )
    if plan is None:
        return cells
    return cells | _given(
        every=plan.every.value,
        first_due_after_days=str(plan.first_due_after_days),
        down_payment=_amount_or_empty(plan.down_payment_minor, currency),
        instalments=str(plan.instalments or ""),
        instalment_amount=_amount_or_empty(plan.instalment_minor or 0, currency),
    )


# --- devices --------------------------------------------------------------------------------------


def _device(device: Device, technical: Technical, reference: Reference) -> dict[str, str]:
    entered = dict(technical.entered)
    if entered and technical.counter is not None:
        entered["count"] = technical.counter
    tariff = reference.tariffs.get(device.tariff_id or 0)
    appliance = reference.appliances.get(device.appliance_id or 0)
    return _given(
        record="device",
        serial_number=device.serial_number,
        manufacturer=device.manufacturer,
        village=reference.village(device.village_id),
        tariff=tariff.name if tariff else "",
        appliance=appliance.name if appliance else "",
        registered_on=device.registered_on.isoformat(),
        technical=json.dumps(entered, sort_keys=True, ensure_ascii=False) if entered else "",
    )


def _time(paid_until: datetime | None, *, unlocked: bool) -> Cells:
    return _given(
        paid_until=paid_until.isoformat().replace("+00:00", "Z") if paid_until else "",
        unlocked="yes" if unlocked else "",
    )


def _access_rate(record: DeviceAccount, reference: Reference) -> tuple[Cells, int]:
    """From which day the access rate counts, and what is owed; and what these cannot say of it.

    The next fee falls due on the same day if the rate counts from any day that lies whole periods
    before it: so many that all that is owed can have fallen due since.
    """
    owed_minor = _owed_minor(record, reference)
    tenure = record.tenure_at(reference.now)
    fee = next_fee(record, reference.tariffs, reference.now, reference.time_zone)
    rate = reference.tariffs[tenure.tariff_id].rate_at(reference.now) if tenure else None
    if fee is None or rate is None or rate.access_rate is None:
        return {}, owed_minor
    due_on, _ = fee
    amount_minor, period = rate.access_rate.amount_minor, rate.access_rate.period_days
    periods = 1 + -(-owed_minor // amount_minor)
    periods = min(periods, (due_on - REGISTERED_ON_MIN).days // period)
    said_minor = min(owed_minor, max(0, periods - 1) * amount_minor)
    since = due_on - timedelta(days=periods * period)
    return (
        _given(
            access_rate_since=since.isoformat(),
            access_rate_owed=_amount_or_empty(said_minor, reference.currency),
        ),
        owed_minor - said_minor,
    )


def _owed_minor(record: DeviceAccount, reference: Reference) -> int:
    owed = owed_fees(record, reference.tariffs, reference.today, reference.time_zone)
    return sum(fee.open_minor for fee in owed)


# --- plans ----------------------------------------------------------------------------------------


def _plan(plan: Plan, customer: str, reference: Reference) -> Cells:
    """An open plan. It was made of a number of instalments, or of an amount for each."""
    currency = reference.currency
    by_amount = plan.financed_minor // plan.instalment_minor == plan.instalments
    return _given(
        record="plan",
        customer=customer,
        serial_number=plan.serial_number or "",
        name="" if plan.serial_number else plan.name,
        total=format_minor(plan.total_minor, currency),
        down_payment=_amount_or_empty(plan.down_payment_minor, currency),
        already_paid=_amount_or_empty(plan.paid_minor, currency),
        instalments="" if by_amount else str(plan.instalments),
        instalment_amount=format_minor(plan.instalment_minor, currency) if by_amount else "",
        every=plan.every.value,
        first_due=plan.first_due.isoformat(),
        sold_on=local_day(plan.sold_at, reference.time_zone).isoformat(),
    )


def _left_behind(serial_number: str, owed_minor: int, customer: str, reference: Reference) -> Cells:
    """Fees that are owed and that no device row can say: due at once, as a plan."""
    today = reference.today.isoformat()
    return _given(
        record="plan",
        customer=customer,
        name=f"Access rate of {serial_number}"[:60],
        total=format_minor(owed_minor, reference.currency),
        instalments="1",
        every=Every.MONTH.value,
        first_due=today,
        sold_on=today,
    )


def _amount_or_empty(amount_minor: int, currency: Currency) -> str:
    return format_minor(amount_minor, currency) if amount_minor else ""


def _given(**cells: str) -> dict[str, str]:
    return {column: cell for column, cell in cells.items() if cell}
