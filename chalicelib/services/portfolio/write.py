"""Write: take in a part of a portfolio that was checked, row by row.

Every row is written by the service that its thing has anyway, and exactly once, however often its
part is run: by names, by serial numbers, by who people are, and for the rest by guards that name
the file's content and the row. What cannot be written any more (somebody has registered that
device meanwhile) is told, and the other rows go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeVar

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.errors import AccountFull, FieldError, MwangaError
from chalicelib.domain.moment import local_day
from chalicelib.services.accept import rules_of
from chalicelib.services.appliances import KeepAppliances
from chalicelib.services.customers import KeepCustomers, Person
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.plans import SellPlans
from chalicelib.services.portfolio.check import is_that_tariff, opening_of
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
    by_customer,
    things_of,
)
from chalicelib.services.ports import (
    Accounts,
    Catalogue,
    Clock,
    ConditionFailed,
    Entries,
    Import,
    NameTaken,
    OutcomeUnknown,
    Registry,
    RowError,
    SiteKind,
    TryAgain,
    VersionConflict,
)
from chalicelib.services.register import NewDevice, Register
from chalicelib.services.sites import KeepSites
from chalicelib.services.tariffs import KeepTariffs, TariffTerms

WRITES_MAX = 6

T = TypeVar("T")


class NotWritten(MwangaError):
    """A row cannot be written (any more); ``column`` is where it shows."""

    code = "not_written"

    def __init__(self, column: str, detail: str) -> None:
        super().__init__(detail)
        self.column = column


@dataclass(frozen=True, slots=True)
class Written:
    """How a part went: how many rows are in, and which are not."""

    rows: int
    errors: Sequence[RowError]


class WritePortfolio:
    """Writes parts of portfolios."""

    def __init__(
        self,
        *,
        look_up: LookUp,
        keep_sites: KeepSites,
        keep_tariffs: KeepTariffs,
        keep_appliances: KeepAppliances,
        keep_customers: KeepCustomers,
        register: Register,
        sell_plans: SellPlans,
        accounts: Accounts,
        entries: Entries,
        registry: Registry,
        catalogue: Catalogue,
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._look_up = look_up
        self._keep_sites = keep_sites
        self._keep_tariffs = keep_tariffs
        self._keep_appliances = keep_appliances
        self._keep_customers = keep_customers
        self._register = register
        self._sell_plans = sell_plans
        self._accounts = accounts
        self._entries = entries
        self._registry = registry
        self._catalogue = catalogue
        self._clock = clock
        self._pause = pause

    def write(self, rows: Sequence[Row], moving: Import) -> Written:
        """Write these rows. A customer's devices and plans stand in the same part.

        Raises:
            TryAgain, OutcomeUnknown, SecretMissing, QueueUnavailable: some rows may be written:
                the same part may be written again.
        """
        things, errors = things_of(rows, self._catalogue.settings())
        part = _Part(things, moving, errors)
        self._write_places(part)
        part.known = self._look_up.known(things)
        self._write_customers(part)
        self._write_stock(part)
        return Written(part.written, part.errors)

    def _do(
        self, part: _Part, lines: Sequence[int], write: Callable[..., T], *what: Any
    ) -> T | None:
        """Write what stands in these rows and count them, or note what stands against it."""
        try:
            written = self._patiently(lambda: write(*what))
        except NotWritten as error:
            part.not_written(lines, error.column, error.detail)
        except FieldError as error:
            part.not_written(lines, error.field.rpartition(".")[2], error.detail)
        except AccountFull as error:
            part.not_written(lines, "customer", error.detail)
        else:
            part.written += len(lines)
            return written
        return None

    def _patiently(self, write: Callable[[], T]) -> T:
        """Ask a store that is busy again a few times, for other parts write to the same villages
        at the same time. Everything here may be written again.

        Raises:
            TryAgain, OutcomeUnknown: it was so to the last; whatever else ``write`` raises.
        """
        for round_number in range(WRITES_MAX - 1):
            try:
                return write()
            except (TryAgain, OutcomeUnknown):
                self._pause(jitter_seconds(round_number))
        return write()

    # --- sites, tariffs, appliances -----------------------------------------------------------

    def _write_places(self, part: _Part) -> None:
        for kind in (SiteKind.CLUSTER, SiteKind.MINI_GRID, SiteKind.VILLAGE):
            part.known = self._look_up.known(part.things)  # with the parents just made
            for site in part.things.sites:
                if site.kind is kind:
                    self._do(part, [site.line], self._write_site, part, site)
        for tariff in part.things.tariffs:
            self._do(part, [tariff.line], self._write_tariff, part, tariff)
        for appliance in part.things.appliances:
            self._do(part, [appliance.line], self._write_appliance, part, appliance)

    def _write_site(self, part: _Part, site: SiteThing) -> None:
        """Make it; one that is there stays as it is: the check has looked at it."""
        known = part.known
        if known.site(site.kind, site.name) is not None:
            return
        parent_id = None
        if site.parent is not None:
            parent = known.site(PARENT_KIND[site.kind], site.parent)
            if parent is None:
                raise NotWritten("parent", "there is none of that name (any more)")
            parent_id = parent.site_id
        with suppress(NameTaken):  # somebody has made it meanwhile
            self._keep_sites.create(site.kind, site.name, parent_id, actor=part.actor)

    def _write_tariff(self, part: _Part, tariff: TariffThing) -> None:
        there = part.known.tariff(tariff.name)
        if there is None:
            terms = TariffTerms(
                tariff.name,
                tariff.price_minor,
                tariff.access_rate,
                tariff.minimum_purchase_minor,
            )
            with suppress(NameTaken):  # somebody has made it meanwhile
                self._keep_tariffs.create(terms, actor=part.actor)
        elif not is_that_tariff(there, tariff, self._clock.now()):
            raise NotWritten("name", "the one that is registered has other prices")

    def _write_appliance(self, part: _Part, appliance: ApplianceThing) -> None:
        if part.known.appliance(appliance.name) is None:
            with suppress(NameTaken):  # somebody has made it meanwhile
                self._keep_appliances.create(
                    appliance.name,
                    appliance.kind,
                    appliance.price_minor,
                    appliance.default_plan,
                    appliance.manufacturer,
                    actor=part.actor,
                )

    # --- customers ----------------------------------------------------------------------------

    def _write_customers(self, part: _Part) -> None:
        devices = by_customer(part.things.devices, lambda device: device.customer)
        plans = by_customer(part.things.plans, lambda plan: plan.customer)
        for customer in part.things.customers:
            customer_id = self._do(part, [customer.line], self._write_customer, customer, part)
            self._write_what_is_theirs(
                customer_id,
                devices.get(customer.reference, []),
                plans.get(customer.reference, []),
                part,
            )

    def _write_what_is_theirs(
        self,
        customer_id: str | None,
        devices: Sequence[DeviceThing],
        plans: Sequence[PlanThing],
        part: _Part,
    ) -> None:
        of_device = {plan.serial_number: plan for plan in plans if plan.serial_number}
        for device in devices:
            plan = of_device.get(device.serial_number)
            lines = [device.line, *([plan.line] if plan else [])]
            self._do(part, lines, self._write_device, customer_id, device, plan, part)
        for plan in plans:
            if plan.serial_number is None:
                self._do(part, [plan.line], self._write_plan, customer_id, plan, part)

    def _write_customer(self, thing: CustomerThing, part: _Part) -> str:
        """The customer's id, once customer and credit are in."""
        village_id = part.village_id(thing.village)
        person = Person(thing.name, thing.surname, thing.phone, village_id)
        customer, _ = self._keep_customers.create(person, actor=part.actor)
        if thing.credit_minor:
            self._give_credit(customer.customer_id, thing, part)
        return customer.customer_id

    def _give_credit(self, customer_id: str, thing: CustomerThing, part: _Part) -> None:
        """The credit that somebody moves in with, once in a customer's life."""
        guard = (f"moved_in#{customer_id}", part.name_of(thing.line))
        for round_number in range(WRITES_MAX):
            held = self._registry.guard(guard[0])
            if held == guard[1]:
                return
            if held is not None:
                raise NotWritten("credit", "the customer has moved in with credit before")
            account = (self._accounts.get(customer_id) or Account(customer_id)).next_version()
            account = replace(account, credit_minor=account.credit_minor + thing.credit_minor)
            act = Act(part.actor, self._clock.now(), part.why(thing.line))
            line = Line(LineKind.CREDIT, customer_id, thing.credit_minor)
            try:
                entry = entry_of(act, account, "moved_in", lines=(line,))
                self._accounts.change(account, entry, guard=guard)
            except (VersionConflict, ConditionFailed):
                self._pause(jitter_seconds(round_number))
                continue
            return
        raise TryAgain("the account is being changed by other requests")

    def _write_device(
        self, customer_id: str | None, thing: DeviceThing, plan: PlanThing | None, part: _Part
    ) -> None:
        owner_id = part.owner(customer_id)
        registered = self._register.register(
            owner_id,
            self._new_device(thing, plan, part),
            thing.registered_on,
            actor=part.actor,
            meters_too=True,
            why=part.why(thing.line),
        )
        if registered.repeated and not self._is_ours(owner_id, thing, part):
            raise NotWritten("serial_number", "was registered by somebody else meanwhile")

    def _new_device(self, thing: DeviceThing, plan: PlanThing | None, part: _Part) -> NewDevice:
        tariff = part.known.tariff(thing.tariff) if thing.tariff else None
        appliance = part.known.appliance(thing.appliance) if thing.appliance else None
        return NewDevice(
            serial_number=thing.serial_number,
            manufacturer=thing.manufacturer,
            village_id=part.village_id(thing.village) if thing.village else None,
            tariff_id=tariff.tariff_id if tariff else None,
            appliance_id=appliance.appliance_id if appliance else None,
            terms=plan.terms if plan else None,
            technical=thing.technical,
            to_complete=True,
            opening=opening_of(thing, plan, self._as_of(part)),
        )

    def _is_ours(self, customer_id: str, thing: DeviceThing, part: _Part) -> bool:
        """Whether a device that is registered is so because of this very row."""
        return any(
            entry.reason == part.why(thing.line)
            and entry.changes.get("serial_number") == thing.serial_number
            for entry in self._entries.of_customer(customer_id)
        )

    def _write_plan(self, customer_id: str | None, plan: PlanThing, part: _Part) -> None:
        appliance = part.known.appliance(plan.appliance) if plan.appliance else None
        self._sell_plans.sell_appliance(
            part.owner(customer_id),
            plan.terms,
            appliance_id=appliance.appliance_id if appliance else None,
            name=plan.name,
            key=part.name_of(plan.line),
            actor=part.actor,
            sold_on=plan.sold_on,
            why=part.why(plan.line),
        )

    # --- stock --------------------------------------------------------------------------------

    def _write_stock(self, part: _Part) -> None:
        for device in part.things.devices:
            if not device.customer:
                self._do(part, [device.line], self._write_one_of_stock, device, part)

    def _write_one_of_stock(self, device: DeviceThing, part: _Part) -> None:
        self._register.stock(
            self._new_device(device, None, part),
            opening_of(device, None, self._as_of(part)),
            device.registered_on,
            actor=part.actor,
        )

    def _as_of(self, part: _Part) -> date:
        """The day of whose balances the file speaks: that on which it was sent."""
        return local_day(part.moving.made_at, rules_of(self._catalogue.settings()).time_zone)


class _Part:
    """A part that is being written: what it says, what is known, and how it goes so far."""

    def __init__(self, things: Things, moving: Import, errors: Sequence[RowError]) -> None:
        self.things = things
        self.moving = moving
        self.known = Known()
        self.errors = list(errors)
        self.written = 0

    @property
    def actor(self) -> str:
        """Who takes the portfolio in."""
        return self.moving.written_by or self.moving.made_by

    def name_of(self, line: int) -> str:
        """What tells a row from all others: the content of its file, and its number there."""
        return f"{self.moving.content_hash}.{line}"

    def why(self, line: int) -> str:
        """The reason that entries of a row give. Meters may come in this way."""
        return f"move-in, file {self.moving.content_hash}, row {line}"

    def owner(self, customer_id: str | None) -> str:
        """The owner of a row's thing.

        Raises:
            NotWritten: the owner's own row could not be written.
        """
        if customer_id is None:
            raise NotWritten("customer", "the row of the customer could not be written")
        return customer_id

    def village_id(self, name: str) -> int:
        """The id of the village of that name.

        Raises:
            NotWritten: there is none (any more).
        """
        village = self.known.site(SiteKind.VILLAGE, name)
        if village is None:
            raise NotWritten("village", "there is none of that name (any more)")
        return village.site_id

    def not_written(self, lines: Sequence[int], column: str, message: str) -> None:
        """Note what stands against these rows."""
        self.errors += [RowError(line, column, message) for line in lines]
