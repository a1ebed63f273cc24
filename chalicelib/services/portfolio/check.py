"""Check: whether everything in a portfolio can be taken in, before any of it is.

A row is looked at by itself first (``things``); here the things must fit each other, the rules,
and what the company has already. Nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar

from chalicelib.domain.account import (
    DEVICES_MAX,
    OPEN_PLANS_MAX,
    Account,
    DeviceAccount,
    Kind,
    Tenure,
)
from chalicelib.domain.errors import FieldError
from chalicelib.domain.moment import local_day, start_of_day
from chalicelib.domain.plan import Terms, make_plan
from chalicelib.domain.tariff import Rate, Tariff
from chalicelib.services.accept import rules_of
from chalicelib.services.appliances import default_terms
from chalicelib.services.names import folded
from chalicelib.services.opening import Opening, check_kind, opened_meter
from chalicelib.services.portfolio.known import PARENT_KIND, Known, LookUp
from chalicelib.services.portfolio.rows import Row
from chalicelib.services.portfolio.things import (
    ApplianceThing,
    CustomerThing,
    DeviceThing,
    PlanThing,
    SiteThing,
    TariffThing,
    Things,
    things_of,
)
from chalicelib.services.ports import (
    ApplianceKind,
    Catalogue,
    Clock,
    Holdings,
    Manufacturer,
    Manufacturers,
    RowError,
    Settings,
    SiteKind,
)
from chalicelib.services.register import REGISTERED_ON_MIN

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a portfolio says, and what is wrong with it. ``to_complete`` counts devices that can
    be taken in, and then wait for a person: their plan or key is missing."""

    things: Things
    errors: Sequence[RowError]
    to_complete: int = 0


class CheckPortfolio:
    """Checks portfolios."""

    def __init__(
        self,
        *,
        look_up: LookUp,
        holdings: Holdings,
        catalogue: Catalogue,
        manufacturers: Manufacturers,
        clock: Clock,
    ) -> None:
        self._look_up = look_up
        self._holdings = holdings
        self._catalogue = catalogue
        self._manufacturers = manufacturers
        self._clock = clock

    def check(self, rows: Sequence[Row], as_of: date) -> Checked:
        """Check these rows; their balances are those of the day ``as_of``.

        Raises:
            SecretMissing: keys of devices cannot be sealed now.
            TryAgain: the store cannot tell now.
        """
        settings = self._catalogue.settings()
        things, errors = things_of(rows, settings)
        wrong_lines = {error.line for error in errors}
        check = _Check(
            things,
            {_name_of(row) for row in rows if row.line in wrong_lines},
            errors,
            self._look_up.known(things),
            settings,
            self._manufacturers,
            as_of,
            self._clock.now(),
        )
        check.sites()
        check.tariffs()
        check.appliances()
        check.customers()
        check.devices()
        check.plans()
        self._against_what_is_there(check)
        return Checked(things, sorted(errors, key=lambda e: (e.line, e.column)), check.to_complete)

    def _against_what_is_there(self, check: _Check) -> None:
        """Devices must be new. A customer may be known: then the file says only what is new."""
        things = check.things
        for serial_number in self._holdings.devices_of(d.serial_number for d in things.devices):
            check.wrong(check.device_of[serial_number].line, "serial_number", "is registered")
        ids = self._holdings.known((c.phone, c.name, c.surname) for c in things.customers)
        accounts = self._holdings.accounts_of(ids.values())
        for customer in things.customers:
            customer_id = ids.get((customer.phone, customer.name, customer.surname))
            if customer_id is not None:
                check.known_customer(customer, accounts.get(customer_id) or Account(customer_id))


class _Check:
    """One check: what the file says, and the errors found so far."""

    def __init__(
        self,
        things: Things,
        unread: Set[tuple[str, str]],
        errors: list[RowError],
        known: Known,
        settings: Settings,
        manufacturers: Manufacturers,
        as_of: date,
        now: datetime,
    ) -> None:
        self.things = things
        self.to_complete = 0
        self._errors = errors
        self._told = {(error.line, error.column) for error in errors}
        self._known = known
        self._manufacturers = manufacturers
        self._makers = {m.key: m for m in manufacturers.all()}
        self._time_zone = rules_of(settings).time_zone
        self._as_of = as_of
        self._now = now
        self._unread = unread
        self._brought = {
            *((site.kind.value, folded(site.name)) for site in things.sites),
            *(("tariff", folded(tariff.name)) for tariff in things.tariffs),
            *(("appliance", folded(appliance.name)) for appliance in things.appliances),
        }
        self._tariff_of = {folded(t.name): t for t in things.tariffs}
        self._appliance_of = {folded(a.name): a for a in things.appliances}
        self._customer_of = {c.reference: c for c in things.customers}
        self.device_of = {d.serial_number: d for d in things.devices}
        self._plan_of_device = {p.serial_number: p for p in things.plans if p.serial_number}

    def wrong(self, line: int, column: str, message: str) -> None:
        """Note an error; of each row and column the first is told."""
        if (line, column) not in self._told:
            self._told.add((line, column))
            self._errors.append(RowError(line, column, message))

    @contextmanager
    def _row(self, line: int) -> Iterator[None]:
        """A rule that refuses a field within it is an error of the row, in that column."""
        try:
            yield
        except FieldError as error:
            column, _, within = error.field.partition(".")
            self.wrong(line, column, f"{within}: {error.detail}" if within else error.detail)

    def _doubled(self, things: Sequence[T], key: Callable[[T], object], column: str) -> None:
        """Of things that are there more than once, all but the first are wrong."""
        first: dict[object, int] = {}
        for thing in things:
            line: int = thing.line  # type: ignore[attr-defined]  # all things have one
            if key(thing) in first:
                self.wrong(line, column, f"is in row {first[key(thing)]} already")
            else:
                first[key(thing)] = line

    def _needs(self, line: int, column: str, record: str, name: str) -> None:
        """The file must bring what is not registered. A row that could not be read counts: that
        it cannot is told already."""
        if not {(record, folded(name))} & (self._brought | self._unread):
            what = record.replace("_", "-")
            self.wrong(line, column, f"there is no {what} of that name, in the file or registered")

    # --- sites, tariffs, appliances -----------------------------------------------------------

    def sites(self) -> None:
        self._doubled(self.things.sites, lambda site: (site.kind, folded(site.name)), "name")
        for site in self.things.sites:
            if site.parent is not None:
                self._site(site, site.parent)

    def _site(self, site: SiteThing, parent_name: str) -> None:
        kind = PARENT_KIND[site.kind]
        parent = self._known.site(kind, parent_name)
        known = self._known.site(site.kind, site.name)
        if parent is None:
            self._needs(site.line, "parent", kind.value, parent_name)
        if known is not None and (parent is None or parent.site_id != known.parent_id):
            self.wrong(site.line, "parent", "the one that is registered is somewhere else")

    def tariffs(self) -> None:
        self._doubled(self.things.tariffs, lambda tariff: folded(tariff.name), "name")
        for tariff in self.things.tariffs:
            known = self._known.tariff(tariff.name)
            if known is not None and not is_that_tariff(known, tariff, self._now):
                self.wrong(tariff.line, "name", "the one that is registered has other prices")

    def appliances(self) -> None:
        self._doubled(self.things.appliances, lambda appliance: folded(appliance.name), "name")
        for appliance in self.things.appliances:
            self._appliance(appliance)

    def _appliance(self, appliance: ApplianceThing) -> None:
        known = self._known.appliance(appliance.name)
        if known is not None and (known.kind, known.price_minor) != (
            appliance.kind,
            appliance.price_minor,
        ):
            self.wrong(appliance.line, "name", "the one that is registered has another price")
        if appliance.manufacturer is not None:
            maker = self._makers.get(appliance.manufacturer)
            if maker is None or maker.kind.value != appliance.kind.value:
                what = f"none of that key makes {appliance.kind.value} devices"
                self.wrong(appliance.line, "manufacturer", what)
        if appliance.default_plan is not None:
            terms = default_terms(
                appliance.price_minor, appliance.default_plan, local_day(self._now, self._time_zone)
            )
            self._terms(appliance.line, terms)

    def _terms(self, line: int, terms: Terms) -> None:
        with self._row(line):
            make_plan(terms, plan_id="", name="", sold_at=self._now)

    # --- customers ----------------------------------------------------------------------------

    def customers(self) -> None:
        self._doubled(self.things.customers, lambda customer: customer.reference, "customer")
        self._doubled(self.things.customers, _identity, "phone")
        devices = Counter(device.customer for device in self.things.devices)
        plans = Counter(plan.customer for plan in self.things.plans)
        for customer in self.things.customers:
            self._village(customer.line, customer.village)
            if devices[customer.reference] > DEVICES_MAX:
                self.wrong(customer.line, "customer", f"has more than {DEVICES_MAX} devices")
            if plans[customer.reference] > OPEN_PLANS_MAX:
                self.wrong(customer.line, "customer", f"has more than {OPEN_PLANS_MAX} plans")

    def known_customer(self, customer: CustomerThing, account: Account) -> None:
        """One who is registered: what the file adds must be new, and must fit in the account."""
        if customer.credit_minor:
            self.wrong(customer.line, "credit", "must be empty: the customer is registered")
        devices = [d for d in self.things.devices if d.customer == customer.reference]
        plans = [p for p in self.things.plans if p.customer == customer.reference]
        if len(account.devices) + len(devices) > DEVICES_MAX:
            self.wrong(customer.line, "customer", f"would have more than {DEVICES_MAX} devices")
        if len(account.plans) + len(plans) > OPEN_PLANS_MAX:
            self.wrong(customer.line, "customer", f"would have more than {OPEN_PLANS_MAX} plans")
        open_plans = {(folded(p.name), p.total_minor, p.first_due) for p in account.plans}
        for plan in plans:
            name = folded(plan.name or plan.appliance or "")
            if (name, plan.terms.total_minor, plan.terms.first_due) in open_plans:
                self.wrong(plan.line, "total", "the customer has such a plan already")

    def _village(self, line: int, name: str) -> None:
        if self._known.site(SiteKind.VILLAGE, name) is None:
            self._needs(line, "village", SiteKind.VILLAGE.value, name)

    def _owner(self, line: int, reference: str) -> None:
        if reference not in self._customer_of and ("customer", reference) not in self._unread:
            self.wrong(line, "customer", "there is no customer of that reference in the file")

    # --- devices ------------------------------------------------------------------------------

    def devices(self) -> None:
        self._doubled(self.things.devices, lambda device: device.serial_number, "serial_number")
        for device in self.things.devices:
            self._device(device)

    def _device(self, device: DeviceThing) -> None:
        if device.customer:
            self._owner(device.line, device.customer)
        elif device.village is None:
            self.wrong(device.line, "village", "is required: nobody owns the device")
        if device.village is not None:
            self._village(device.line, device.village)
        self._days(device)
        maker = self._makers.get(device.manufacturer)
        if maker is None:
            self.wrong(device.line, "manufacturer", f"must be one of {', '.join(self._makers)}")
            return
        with self._row(device.line):
            check_kind(opening_of(device, None, self._as_of), maker.kind)
        if maker.kind is Kind.METER:
            self._meter(device)
        else:
            self._time_device(device, maker)
        lacks_key = maker.lacks(device.technical)
        if maker.local and device.technical and "count" not in device.technical:
            what = "count: is required: the last one that was issued, or 1 where none was"
            self.wrong(device.line, "technical", what)
        elif not lacks_key:
            with self._row(device.line):
                self._manufacturers.get(maker.key).seal(device.serial_number, device.technical)
        if device.customer and not device.unlocked:
            has_plan = device.serial_number in self._plan_of_device
            self.to_complete += lacks_key or (maker.kind is not Kind.METER and not has_plan)

    def _days(self, device: DeviceThing) -> None:
        days = {
            "registered_on": device.registered_on,
            "access_rate_since": device.access_rate_since,
        }
        for column, day in days.items():
            if day is not None and not REGISTERED_ON_MIN <= day <= self._as_of:
                self.wrong(device.line, column, "must be a day from 2000-01-01 to today")

    def _meter(self, device: DeviceThing) -> None:
        if device.appliance is not None:
            self.wrong(device.line, "appliance", "must be empty: a meter has a tariff instead")
        tariff = self._tariff(device)
        if tariff is None:
            if device.tariff is not None:
                self._needs(device.line, "tariff", "tariff", device.tariff)
            elif device.customer:
                self.wrong(device.line, "tariff", "is required for a meter")
            return
        since = device.access_rate_since or device.registered_on or self._as_of
        tenure = Tenure(tariff.tariff_id, start_of_day(since, self._time_zone))
        record = DeviceAccount(device.serial_number, Kind.METER, tenures=(tenure,))
        with self._row(device.line):
            opening = opening_of(device, None, self._as_of)
            opened_meter(record, opening, tariff, self._time_zone)

    def _tariff(self, device: DeviceThing) -> Tariff | None:
        """The tariff of a meter: one that is registered, or one that the file brings."""
        if device.tariff is None:
            return None
        known = self._known.tariff(device.tariff)
        thing = self._tariff_of.get(folded(device.tariff))
        if known is not None or thing is None:
            return known
        return Tariff(0, thing.name, (rate_of(thing, self._now),))

    def _time_device(self, device: DeviceThing, maker: Manufacturer) -> None:
        if device.tariff is not None:
            self.wrong(device.line, "tariff", "must be empty: only meters have a tariff")
        if device.appliance is not None:
            self._of_kind(device.line, device.appliance, {maker.kind.value})
        if device.unlocked and device.serial_number in self._plan_of_device:
            self.wrong(device.line, "unlocked", "must be empty: the device has a plan to pay off")

    def _of_kind(self, line: int, name: str, kinds: Collection[str]) -> None:
        appliance = self._known.appliance(name) or self._appliance_of.get(folded(name))
        if appliance is None:
            self._needs(line, "appliance", "appliance", name)
        elif appliance.kind.value not in kinds:
            self.wrong(line, "appliance", f"is not of the kind {' or '.join(sorted(kinds))}")

    # --- plans --------------------------------------------------------------------------------

    def plans(self) -> None:
        of_devices = [plan for plan in self.things.plans if plan.serial_number]
        self._doubled(of_devices, lambda plan: plan.serial_number, "serial_number")
        for plan in self.things.plans:
            self._plan(plan)

    def _plan(self, plan: PlanThing) -> None:
        self._owner(plan.line, plan.customer)
        self._terms(plan.line, plan.terms)
        if plan.terms.already_paid_minor >= plan.terms.total_minor:
            self.wrong(plan.line, "already_paid", _PAID_OFF[plan.serial_number is not None])
        if plan.sold_on is not None and not REGISTERED_ON_MIN <= plan.sold_on <= self._as_of:
            self.wrong(plan.line, "sold_on", "must be a day from 2000-01-01 to today")
        if plan.appliance is not None:
            self._of_kind(plan.line, plan.appliance, {ApplianceKind.APPLIANCE.value})
        if plan.serial_number is not None:
            self._plan_of_its_device(plan, plan.serial_number)

    def _plan_of_its_device(self, plan: PlanThing, serial_number: str) -> None:
        device = self.device_of.get(serial_number)
        if device is None:
            if ("device", "") not in self._unread:  # its row may be that one
                self.wrong(plan.line, "serial_number", "there is no such device in the file")
            return
        maker = self._makers.get(device.manufacturer)
        if device.customer != plan.customer:
            self.wrong(plan.line, "customer", f"the device in row {device.line} is not theirs")
        elif maker is not None and maker.kind is Kind.METER:
            self.wrong(plan.line, "serial_number", "a meter is not sold on a plan")


_PAID_OFF = {
    True: "is paid off: leave the plan out, and write yes in the column unlocked of its device",
    False: "is paid off: leave the plan out",
}


def opening_of(device: DeviceThing, plan: PlanThing | None, as_of: date) -> Opening:
    """The balances that a device brings with it, and the day on which its plan was sold."""
    return Opening(
        as_of=as_of,
        access_rate_since=device.access_rate_since,
        access_rate_owed_minor=device.access_rate_owed_minor or 0,
        carry_minor=device.carry_minor,
        carry_days=device.carry_days,
        paid_until=device.paid_until,
        unlocked=device.unlocked,
        sold_on=plan.sold_on if plan else None,
    )


def rate_of(tariff: TariffThing, now: datetime) -> Rate:
    """The rate of a tariff that a file brings. The first rate covers the time before it too."""
    return Rate(now, tariff.price_minor, tariff.access_rate, tariff.minimum_purchase_minor)


def is_that_tariff(known: Tariff, tariff: TariffThing, now: datetime) -> bool:
    """Whether a tariff that is registered says now what the file says."""
    rate = known.rate_at(now)
    return rate_of(tariff, rate.effective_from) == rate


def _name_of(row: Row) -> tuple[str, str]:
    """By what other rows name the thing in a row that could not be read; of devices nobody knows,
    for serial numbers have many forms."""
    record = row.cell("record").lower()
    if record == "customer":
        return record, row.cell("customer")
    return record, "" if record == "device" else folded(row.cell("name"))


def _identity(customer: CustomerThing) -> tuple[str, str, str]:
    return customer.phone, folded(customer.name), folded(customer.surname)
