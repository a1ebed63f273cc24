"""Read the exports of MicroPowerManager (MPM) as a portfolio.

MPM's web interface exports customers, devices, appliances, sold appliances ("appliance people"),
clusters and outstanding debts, each as JSON, some as CSV too (``app/Services/ExportServices`` in
its repository, as of 2026). They come here one by one or together in a ZIP, and are told apart by
what is in them. What MPM does not export (tariffs, keys of devices) comes in a portfolio file
beside them, whose cells go before theirs.

Nothing is decided here: what cannot be a cell of a portfolio is passed on as it is, and the check
says so.
"""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from chalicelib.domain.plan import INSTALMENTS_MAX, Every
from chalicelib.services.names import folded
from chalicelib.services.portfolio.rows import (
    Portfolio,
    Row,
    UnreadableFile,
    read_portfolio,
    text_of,
)
from chalicelib.services.ports import ApplianceKind, RowError

FILES_MAX = 20
UNPACKED_BYTES_MAX = 40 * 1024 * 1024
"""A ZIP that is larger inside is no export of a company of this size."""

YEARS = range(2000, 2101)
"""Other years are slips of the pen."""

ZIP_BEGINS = b"PK\x03\x04"

_MANUFACTURERS = (
    ("calinsmart", "calin_smart"),
    ("calin", "calin"),
    ("sparkmeter", "sparkmeter"),
    ("angaza", "angaza"),
    ("gomelong", "gomelong"),
    ("stron", "stron"),
    ("microstar", "microstar"),
    ("steama", "steama"),
    ("sparkshs", "spark_shs"),
    ("sunking", "sunking"),
    ("chint", "chint"),
    ("openpaygo", "openpaygo"),
    ("dalybms", "daly_bms"),
)
"""How MPM's names of manufacturers begin (letters and digits alone), and our keys for them."""

_KINDS = {
    "solarhomesystem": ApplianceKind.SHS,
    "shs": ApplianceKind.SHS,
    "electricbike": ApplianceKind.E_BIKE,
    "ebike": ApplianceKind.E_BIKE,
}
"""MPM's types of appliances that are devices here."""

_OF_CSV: Mapping[str, Mapping[str, str]] = {
    "Device Serial,Device Type": {
        "Device Serial": "device_serial",
        "Device Type": "device_type",
        "Customer": "customer",
        "Address": "city",
        "Manufacturer": "manufacturer",
        "Created At": "created_at",
    },
    "Customer Name,Customer Surname": {
        "Customer Name": "customer_name",
        "Customer Surname": "customer_surname",
        "Appliance": "appliance_name",
        "Appliance Type": "appliance_type",
        "Device Serial": "device_serial",
        "Payment Type": "payment_type",
        "Total Cost": "total_cost",
        "Rate Count": "rate_count",
        "Down Payment": "down_payment",
        "First Payment Date": "first_payment_date",
        "Registered Date": "registered_date",
    },
    "Title,Name,Surname": {
        "Name": "name",
        "Surname": "surname",
        "Phone": "phone",
        "City": "city",
        "Device Serial": "devices",
        "Cluster Name": "cluster_name",
        "Site Name (MiniGrid Name)": "site_name",
    },
}
"""The CSV exports by how their headers begin: what JSON calls each of their columns."""

_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_LETTERS = re.compile(r"[^a-z0-9]")

_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What Python's ``zipfile`` raises over a ZIP that is broken, encrypted, or packed otherwise."""

Item = Mapping[str, Any]


def read_mpm(content: bytes, content_type: str) -> Portfolio:
    """The portfolio in these exports: a ZIP of them, or one alone.

    Rows are numbered as in the portfolio file that the same portfolio makes.

    Raises:
        UnreadableFile: something in it is no export that is known here, or too large.
    """
    exports = _Exports()
    for name, file in _files(content):
        exports.take(name, file)
    return exports.portfolio()


# --- files ----------------------------------------------------------------------------------------


def _files(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The files in a ZIP, or the one file that it is, by name."""
    if not content.startswith(ZIP_BEGINS):
        yield "the file", content
        return
    left = UNPACKED_BYTES_MAX
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > FILES_MAX:
                raise UnreadableFile(f"has more than {FILES_MAX} files in it")
            for entry in sorted(entries, key=lambda entry: entry.filename):
                with archive.open(entry) as packed:
                    file = packed.read(left + 1)
                left -= len(file)
                if left < 0:
                    raise UnreadableFile(f"has more than {UNPACKED_BYTES_MAX} bytes in it")
                yield entry.filename[:100], file
    except _BROKEN as error:
        raise UnreadableFile(f"is a ZIP file that does not open: {error}") from error


def _items(name: str, file: bytes) -> list[Item]:
    """The items of an export: of JSON, or of CSV with its columns named as in JSON."""
    if file.startswith(ZIP_BEGINS):
        raise UnreadableFile(f"{name} is a workbook or a ZIP file: export as JSON")
    text = text_of(file).strip()
    if not text:
        return []
    if text[0] in "[{":
        return _json_items(name, text)
    return _csv_items(name, text)


def _json_items(name: str, text: str) -> list[Item]:
    try:
        document = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{name} is not JSON") from error
    items = document.get("data") if isinstance(document, dict) else document
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise UnreadableFile(f"{name} is no list of things under data")
    return items


def _csv_items(name: str, text: str) -> list[Item]:
    try:
        header, *records = csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        raise UnreadableFile(f"{name} is not CSV: {error}") from error
    begins = ",".join(header)
    for beginning, names in _OF_CSV.items():
        if begins.startswith(beginning):
            named = [names.get(column, column) for column in header]
            return [dict(zip(named, record, strict=False)) for record in records if record]
    raise UnreadableFile(f"{name} is no export that is known here: {begins[:80]}")


def _exported_on(file: bytes) -> date | None:
    """The day of an export, which JSON says in its ``meta``."""
    try:
        meta = json.loads(file)["meta"]
        return _day(meta["exported_at"])
    except (ValueError, RecursionError, KeyError, TypeError):
        return None


# --- what is taken together -----------------------------------------------------------------------


@dataclass(slots=True)
class _Exports:
    """All exports of a company, and the portfolio file that goes before them."""

    people: list[Item] = field(default_factory=list)
    devices: list[Item] = field(default_factory=list)
    appliances: list[Item] = field(default_factory=list)
    sold: list[Item] = field(default_factory=list)
    clusters: list[Item] = field(default_factory=list)
    debts: list[Item] = field(default_factory=list)
    debts_of: date | None = None
    added: list[Row] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)

    def take(self, name: str, file: bytes) -> None:
        """Take in a file, whatever it is."""
        if _is_portfolio(file):
            portfolio = read_portfolio(file)
            self.added += portfolio.rows
            self.errors += portfolio.errors
            return
        items = _items(name, file)
        if not items:
            return
        known: tuple[tuple[str, list[Item] | None], ...] = (
            ("device_info", self.devices),
            ("device_type", self.devices),
            ("rate_count", self.sold),
            ("mini_grids", self.clusters),
            ("remaining", self.debts),
            ("payment_plans", self.appliances),
            ("surname", self.people),
            ("site_title", None),  # settings
            ("permissions", None),  # users
            ("roles", None),
            ("sender", None),  # transactions
            ("transaction_id", None),
        )
        for key, place in known:
            if key in items[0]:
                if place is not None:
                    place += items
                if place is self.debts:
                    self.debts_of = _exported_on(file)
                return
        raise UnreadableFile(f"{name} is no export that is known here")

    def portfolio(self) -> Portfolio:
        """Everything as rows."""
        made = _Rows(self)
        made.places()
        made.appliances()
        made.people()
        made.devices()
        made.plans()
        made.added()
        rows = [Row(line, cells) for line, cells in enumerate(made.cells, 2)]
        return Portfolio(rows, [*self.errors, *made.errors])


def _is_portfolio(file: bytes) -> bool:
    first = file[:2000].removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].lower()
    return b"record" in re.split(rb"[,;]", first.strip().replace(b'"', b""))


class _Rows:
    """Makes the rows of a portfolio out of the exports."""

    def __init__(self, exports: _Exports) -> None:
        self.cells: list[dict[str, str]] = []
        self.errors: list[RowError] = []
        self._exports = exports
        self._reference_of_serial: dict[str, str] = {}
        self._references_of_name: dict[str, set[str]] = {}
        self._device_rows: dict[str, dict[str, str]] = {}
        self._plan_rows: dict[str, dict[str, str]] = {}

    def _add(self, **cells: str) -> dict[str, str]:
        row = {column: cell for column, cell in cells.items() if cell}
        self.cells.append(row)
        return row

    def _wrong(self, column: str, message: str) -> None:
        """What is wrong with the row that was added last."""
        self.errors.append(RowError(len(self.cells) + 1, column, message))

    # --- places and appliances ----------------------------------------------------------------

    def places(self) -> None:
        """Customers are said to live in a village, of a mini-grid, of a cluster."""
        clusters: dict[str, str] = {}
        mini_grids: dict[str, tuple[str, str]] = {}
        villages: dict[str, tuple[str, str]] = {}
        for cluster in self._exports.clusters:
            name = _text(cluster, "cluster_name")
            clusters[folded(name)] = name
            for mini_grid in _list(cluster, "mini_grids"):
                mini_grids[folded(mini_grid)] = (mini_grid, name)
        for person in self._exports.people:
            cluster_name, site = _text(person, "cluster_name"), _text(person, "site_name")
            if cluster_name:
                clusters[folded(cluster_name)] = cluster_name
            if site:
                mini_grids.setdefault(folded(site), (site, cluster_name))
            if city := _text(person, "city"):
                villages.setdefault(folded(city), (city, site))
        for name in clusters.values():
            self._add(record="cluster", name=name)
        for name, parent in mini_grids.values():
            self._add(record="mini_grid", name=name, parent=parent)
        for name, parent in villages.values():
            self._add(record="village", name=name, parent=parent)

    def appliances(self) -> None:
        """Of several of one name the first counts; names are unique here."""
        seen = set()
        for appliance in self._exports.appliances:
            name = _text(appliance, "appliance_name")
            if folded(name) in seen:
                continue
            seen.add(folded(name))
            kind = _KINDS.get(_letters(_text(appliance, "appliance_type")))
            self._add(
                record="appliance",
                name=name,
                kind=(kind or ApplianceKind.APPLIANCE).value,
                price=_amount(appliance.get("price")),
            )

    # --- customers and devices ----------------------------------------------------------------

    def people(self) -> None:
        """A person who is there twice, with one phone and name, is one."""
        known: dict[tuple[str, str, str], str] = {}
        for person in self._exports.people:
            name, surname, phone = (_text(person, key) for key in ("name", "surname", "phone"))
            identity = (folded(name), folded(surname), phone)
            if identity not in known:
                known[identity] = str(len(known) + 1)
                self._add(
                    record="customer",
                    customer=known[identity],
                    name=name,
                    surname=surname,
                    phone=phone if not phone or phone.startswith(("+", "0")) else f"+{phone}",
                    village=_text(person, "city"),
                )
            reference = known[identity]
            full_name = folded(f"{name} {surname}")
            self._references_of_name.setdefault(full_name, set()).add(reference)
            for serial_number in _list(person, "devices"):
                self._reference_of_serial[_letters(serial_number)] = reference

    def devices(self) -> None:
        """Whose they are, customers say; where two have one name, that alone tells."""
        for device in self._exports.devices:
            info = device.get("device_info")
            told: Item = info if isinstance(info, dict) else device
            serial_number = _text(told, "serial_number") or _text(told, "device_serial")
            address = device.get("address")
            place: Item = address if isinstance(address, dict) else device
            owner = self._reference_of_serial.get(_letters(serial_number))
            self._device_rows[_letters(serial_number)] = self._add(
                record="device",
                customer=owner or self._of_name(_text(device, "customer")),
                serial_number=serial_number,
                manufacturer=_manufacturer(_text(told, "manufacturer")),
                village=_text(place, "city"),
                registered_on=_day_text(device.get("created_at")),
            )

    def _of_name(self, full_name: str) -> str:
        references = self._references_of_name.get(folded(full_name), set())
        return next(iter(references)) if len(references) == 1 else ""

    # --- plans --------------------------------------------------------------------------------

    def plans(self) -> None:
        """What was sold and is not paid off. A device that is, runs for good."""
        for sold in self._exports.sold:
            self._plan(sold)

    def _plan(self, sold: Item) -> None:
        serial_number = _text(sold, "device_serial")
        device = self._device_rows.get(_letters(serial_number)) if serial_number else None
        is_device = _letters(_text(sold, "appliance_type")) in _KINDS
        full_name = f"{_text(sold, 'customer_name')} {_text(sold, 'customer_surname')}"
        customer = self._reference_of_serial.get(_letters(serial_number)) if serial_number else None
        customer = customer or self._of_name(full_name)
        terms = _Terms.of(sold, self._debts(sold, full_name), self._exports.debts_of)
        if terms is not None and terms.is_paid:
            if is_device and device is not None:
                device["unlocked"] = "yes"
            return
        row = self._add(
            record="plan",
            customer=customer,
            serial_number=serial_number if is_device else "",
            name="" if is_device else _text(sold, "appliance_name"),
            total=_amount(sold.get("total_cost")),
            down_payment=_amount(sold.get("down_payment")),
            instalments=_text(sold, "rate_count"),
            every=(terms.every if terms else Every.MONTH).value,
            first_due=terms.due_on(1).isoformat() if terms else "",
            already_paid=_decimal_text(terms.paid) if terms else "",
            sold_on=_day_text(sold.get("registered_date")),
        )
        if is_device:
            self._plan_rows[_letters(serial_number)] = row
        if not customer:
            self._wrong(
                "customer", f"there is no one customer of the name {full_name.strip()[:80]}"
            )
        if _text(sold, "payment_type") == "energy_service":
            self._wrong("total", "is energy as a service, which is no plan: take the row out")
        elif terms is not None and not terms.fits:
            self._wrong(
                "already_paid", "the outstanding rates do not fit the terms: say it yourself"
            )
        elif self._exports.debts_of is None:
            self._wrong("already_paid", "needs the export of outstanding debts, as JSON")

    def _debts(self, sold: Item, full_name: str) -> list[Item]:
        """The rates of that sale that are due and not paid."""
        serial_number, appliance = _text(sold, "device_serial"), _text(sold, "appliance_name")
        return [
            debt
            for debt in self._exports.debts
            if _text(debt, "device_serial") == serial_number
            and folded(_text(debt, "appliance")) == folded(appliance)
            and folded(_text(debt, "customer")) == folded(full_name)
        ]

    # --- what MPM does not say ----------------------------------------------------------------

    def added(self) -> None:
        """The rows of a portfolio file: they complete and correct, or come on top."""
        of_record = {"device": self._device_rows, "plan": self._plan_rows}
        tariffs = []
        for row in self._exports.added:
            cells = {name: cell for name, cell in row.cells.items() if cell}
            if row.cell("record") == "tariff":
                tariffs.append(row.cell("name"))
            there = of_record.get(row.cell("record"), {}).get(_letters(row.cell("serial_number")))
            if there is None:
                self.cells.append(cells)
            else:
                there.update(cells)
                self._corrected(there, cells)
        if len(tariffs) == 1:  # then it is everybody's
            for device in self._device_rows.values():
                if device.get("manufacturer") in ("calin", "calin_smart", "sparkmeter"):
                    device.setdefault("tariff", tariffs[0])

    def _corrected(self, row: Mapping[str, str], cells: Mapping[str, str]) -> None:
        """What was wrong with these cells of the row is not any more."""
        line = next(n for n, added in enumerate(self.cells, 2) if added is row)
        self.errors = [e for e in self.errors if e.line != line or e.column not in cells]


@dataclass(frozen=True, slots=True)
class _Terms:
    """A sale as MPM has it: equal rates, the last of which takes the rest.

    ``fits``: the outstanding rates are rates of it. ``paid`` is what was paid at the least.
    """

    every: Every
    base: date
    total: Decimal
    paid: Decimal
    fits: bool

    @property
    def is_paid(self) -> bool:
        """Whether it is paid off."""
        return self.fits and self.paid >= self.total

    def due_on(self, number: int) -> date:
        """The due date of a rate, from 1."""
        return _due_on(self.base, self.every, number)

    @classmethod
    def of(cls, sold: Item, debts: Sequence[Item], debts_of: date | None) -> _Terms | None:
        """What is known of a sale, and of its rates; ``None`` where it has none that make sense.

        MPM does not export the rhythm: it is that into which all outstanding rates fit. Rates that
        are paid ahead are not exported either.
        """
        total, down = _number(sold.get("total_cost")), _number(sold.get("down_payment"))
        count = _number(sold.get("rate_count"))
        base = _day(sold.get("first_payment_date")) or _day(sold.get("registered_date"))
        if total is None or count is None or not 1 <= count <= INSTALMENTS_MAX:
            return None
        if base is None or base.year not in YEARS:
            return None
        down = down or Decimal(0)
        remaining = {_day(debt.get("due_date")): _number(debt.get("remaining")) for debt in debts}
        amounts = _rates(total - down, int(count))
        dates: dict[Every, list[date]] = {
            every: [_due_on(base, every, n + 1) for n in range(len(amounts))]
            for every in (Every.MONTH, Every.WEEK)
        }
        every = next((e for e in dates if remaining.keys() <= set(dates[e])), Every.MONTH)
        paid, fits = down, remaining.keys() <= set(dates[every])
        for due, amount in zip(dates[every], amounts, strict=True):
            if due in remaining:
                left = remaining[due]
                fits = fits and left is not None and left <= amount
                paid += amount - (left or Decimal(0))
            elif debts_of is not None and due < debts_of:
                paid += amount
        return cls(every, base, total, max(paid, Decimal(0)), fits)


def _rates(financed: Decimal, count: int) -> list[Decimal]:
    """Whole amounts, and the rest last (``ApplianceRateService::create``)."""
    each = Decimal(int(financed / count)) if financed > 0 else Decimal(0)
    return [each] * (count - 1) + [financed - each * (count - 1)]


def _due_on(base: date, every: Every, number: int) -> date:
    """So many weeks or months later; the 31st of a shorter month is a day of the next one, as in
    PHP's ``strtotime``."""
    if every is Every.WEEK:
        return base + timedelta(weeks=number)
    months = base.year * 12 + base.month - 1 + number
    return date(months // 12, months % 12 + 1, 1) + timedelta(days=base.day - 1)


# --- cells ----------------------------------------------------------------------------------------


def _text(item: Item, key: str) -> str:
    """A value as text; what is no text or number is none."""
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return ""
    return " ".join(str(value).split())


def _list(item: Item, key: str) -> list[str]:
    """The parts of a list that MPM writes as one text."""
    return [part.strip() for part in _text(item, key).split(",") if part.strip()]


def _letters(text: str) -> str:
    return _LETTERS.sub("", text.lower())


def _manufacturer(name: str) -> str:
    """Our key; the name itself where we have none, for the check to tell."""
    letters = _letters(name)
    return next((key for begins, key in _MANUFACTURERS if letters.startswith(begins)), name)


def _number(value: object) -> Decimal | None:
    """A number that MPM writes as such, or as a text with separators of thousands."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    try:
        number = Decimal(str(value).replace(",", "").strip())
        # MPM computes in floating point: 1499.9999999 is 1500.
        return number.quantize(Decimal("0.0001")) if number.is_finite() else None
    except InvalidOperation:
        return None


def _amount(value: object) -> str:
    number = _number(value)
    if number is None:
        return "" if value is None else str(value)[:40]
    return _decimal_text(number) if number else ""


def _decimal_text(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _day(value: object) -> date | None:
    """The day in a date or moment; MPM's moments are UTC."""
    match = _DAY.match(value) if isinstance(value, str) else None
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def _day_text(value: object) -> str:
    day = _day(value)
    return day.isoformat() if day else str(value or "")[:40]
