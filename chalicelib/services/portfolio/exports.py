"""Move out: everything that a company has, as files that can be imported.

A worker goes through the customers by number, then through the devices that nobody owns. After
each file it saves how far it is, so a run that is cut short is gone on with, and a file that is
written again is the same file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from chalicelib.domain.account import Account
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.money import Currency
from chalicelib.services.accept import rules_of
from chalicelib.services.lists import all_of
from chalicelib.services.portfolio.contents import (
    Cells,
    Reference,
    Technical,
    customer_rows,
    shared_rows,
    stock_rows,
)
from chalicelib.services.portfolio.imports import new_move_id
from chalicelib.services.portfolio.rows import write_portfolio
from chalicelib.services.ports import (
    Appliances,
    Catalogue,
    Clock,
    Customer,
    Device,
    Export,
    ExportFile,
    Exports,
    ExportState,
    Files,
    Holdings,
    Journal,
    Manufacturers,
    Page,
    Queues,
    Registry,
    SealBroken,
    Site,
    SiteKind,
    Sites,
    Tariffs,
    VersionConflict,
)

EXPORT = "export"
"""The step of an export, as the queue names it."""

CUSTOMERS_PER_FILE = 500
"""A file of so many customers, each with a few devices and plans, is far below what an import
takes; one with more than ``ROWS_PER_FILE_MAX`` rows is cut earlier."""

ROWS_PER_FILE_MAX = 5000
STOCK_PER_FILE = 1000
AT_ONCE = 100


class ExportNotFound(MwangaError):
    """There is no such export, or no such file of it (any more)."""

    code = "not_found"


class MoveOut:
    """Takes everything out."""

    def __init__(
        self,
        *,
        exports: Exports,
        files: Files,
        holdings: Holdings,
        registry: Registry,
        sites: Sites,
        tariffs: Tariffs,
        appliances: Appliances,
        catalogue: Catalogue,
        manufacturers: Manufacturers,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._exports = exports
        self._files = files
        self._holdings = holdings
        self._registry = registry
        self._sites = sites
        self._tariffs = tariffs
        self._appliances = appliances
        self._catalogue = catalogue
        self._manufacturers = manufacturers
        self._queues = queues
        self._clock = clock
        self._journal = journal

    # --- what people ask for ------------------------------------------------------------------

    def start(self, *, with_keys: bool, actor: str) -> Export:
        """Have everything written to files; ``with_keys`` with the secret keys of devices.

        Raises:
            TryAgain, OutcomeUnknown, QueueUnavailable: ask again.
        """
        moving = Export(
            export_id=new_move_id("exp"),
            state=ExportState.RUNNING,
            made_at=self._clock.now(),
            made_by=actor,
            with_keys=with_keys,
            last_number=self._registry.last_number("customer"),
        )
        self._exports.create(moving)
        self._queues.move(EXPORT, moving.export_id)
        self._journal.event(
            "export_started", export_id=moving.export_id, with_keys=with_keys, actor=actor
        )
        return moving

    def get(self, export_id: str) -> Export:
        """The export of that id.

        Raises:
            ExportNotFound: see there.
        """
        moving = self._exports.get(export_id)
        if moving is None:
            raise ExportNotFound(f"there is no export {export_id}")
        return moving

    def list(self, limit: int, cursor: str | None) -> Page[Export]:
        """All exports, the newest first.

        Raises:
            InvalidCursor: see there.
        """
        return self._exports.list(limit, cursor)

    def file(self, export_id: str, number: int, *, actor: str) -> bytes:
        """A file of an export, by its number from 1.

        Raises:
            ExportNotFound: see there.
            TryAgain: the file cannot be had now.
        """
        moving = self.get(export_id)
        content = None
        if 1 <= number <= len(moving.files):
            content = self._files.get(moving.files[number - 1].key)
        if content is None:
            raise ExportNotFound(f"export {export_id} has no file {number} (any more)")
        self._journal.event("export_taken", export_id=export_id, file=number, actor=actor)
        return content

    # --- what the worker does -----------------------------------------------------------------

    def work(self, export_id: str, until: datetime) -> None:
        """Write the next files, until the time is up; then have the rest done by another run.

        Raises:
            TryAgain, OutcomeUnknown, SecretMissing, QueueUnavailable: go on with it again.
        """
        moving = self._exports.get(export_id)
        if moving is None or moving.state is not ExportState.RUNNING:
            return
        reference = self._reference()
        try:
            while moving.state is ExportState.RUNNING and self._clock.now() < until:
                moving = self._exports.save(self._next_file(moving, reference))
        except VersionConflict:  # another worker is at it
            return
        if moving.state is ExportState.RUNNING:
            self._queues.move(EXPORT, export_id)
            return
        self._journal.event(
            "export_done",
            export_id=export_id,
            files=len(moving.files),
            customers=moving.customers,
            devices=moving.devices,
        )

    def _next_file(self, moving: Export, reference: Reference) -> Export:
        """The export with one more file: shared things first, then customers, then stock."""
        if not moving.files:
            return self._with_file(moving, list(shared_rows(reference)))
        if moving.next_number <= moving.last_number:
            return self._customers_file(moving, reference)
        return self._stock_file(moving, reference)

    def _with_file(self, moving: Export, rows: Sequence[Cells]) -> Export:
        if not rows and moving.files:
            return moving
        key = f"exports/{moving.export_id}/{len(moving.files) + 1:04}.csv"
        self._files.put(key, write_portfolio(rows))
        return replace(moving, files=(*moving.files, ExportFile(key, len(rows))))

    def _customers_file(self, moving: Export, reference: Reference) -> Export:
        rows: list[Cells] = []
        number, customers, devices = moving.next_number, 0, 0
        end = min(moving.last_number, number + CUSTOMERS_PER_FILE - 1)
        while number <= end and len(rows) < ROWS_PER_FILE_MAX:
            last = min(end, number + AT_ONCE - 1)
            for customer, account, theirs in self._customers(number, last):
                technical = [(d, self._technical(d, account, moving)) for d in theirs]
                rows += customer_rows(customer, account, technical, reference)
                customers, devices = customers + 1, devices + len(theirs)
            number = last + 1
        return replace(
            self._with_file(moving, rows),
            next_number=number,
            customers=moving.customers + customers,
            devices=moving.devices + devices,
        )

    def _customers(
        self, first: int, last: int
    ) -> Iterator[tuple[Customer, Account, Sequence[Device]]]:
        """The customers of these numbers, with their accounts and their devices."""
        numbered = self._registry.customers_numbered(first, last)
        customers = [customer for customer in reversed(numbered) if not customer.erased]
        accounts = self._holdings.accounts_of(c.customer_id for c in customers)
        devices = self._holdings.devices_of(
            record.serial_number
            for account in accounts.values()
            for record in account.devices
            if record.owned
        )
        for customer in customers:
            account = accounts.get(customer.customer_id) or Account(customer.customer_id)
            theirs = [
                devices[record.serial_number]
                for record in account.devices
                if record.owned and record.serial_number in devices
            ]
            yield customer, account, theirs

    def _stock_file(self, moving: Export, reference: Reference) -> Export:
        page = self._holdings.unowned_devices(STOCK_PER_FILE, moving.cursor)
        rows = [
            cells
            for device in page.items
            for cells in stock_rows(device, self._technical(device, None, moving), reference)
        ]
        return replace(
            self._with_file(moving, rows),
            cursor=page.next,
            state=ExportState.RUNNING if page.next else ExportState.DONE,
            devices=moving.devices + len(page.items),
        )

    def _technical(self, device: Device, account: Account | None, moving: Export) -> Technical:
        """What may be told of a device: with the keys all of it, else what has no key in it."""
        module = self._manufacturers.get(device.manufacturer)
        if module.manufacturer.local and not moving.with_keys:
            return Technical({})  # its tokens are computed from a key
        record = account.device(device.serial_number) if account else None
        try:
            return Technical(module.reveal(device), record.counter if record else None)
        except SealBroken:
            self._journal.event("key_unreadable", serial_number=device.serial_number)
            return Technical({})

    def _reference(self) -> Reference:
        settings = self._catalogue.settings()
        return Reference(
            sites={
                (kind, site.site_id): site for kind in SiteKind for site in self._sites_of(kind)
            },
            tariffs={t.tariff_id: t for t in all_of(self._tariffs.list, AT_ONCE)},
            appliances={a.appliance_id: a for a in all_of(self._appliances.list, AT_ONCE)},
            currency=Currency(settings.currency, settings.currency_decimals),
            time_zone=rules_of(settings).time_zone,
            now=self._clock.now(),
        )

    def _sites_of(self, kind: SiteKind) -> Iterator[Site]:
        return all_of(lambda limit, cursor: self._sites.list(kind, limit, cursor), AT_ONCE)
