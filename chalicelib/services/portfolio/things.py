"""What the rows of a portfolio say: each row as one thing, or what is wrong with it.

Here a row is looked at by itself. Whether the things fit each other, and what there is already,
is the business of ``check``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any, TypeVar

from chalicelib.domain.errors import FieldError
from chalicelib.domain.money import Currency, parse_amount, parse_fraction, parse_price
from chalicelib.domain.plan import Every, Terms
from chalicelib.domain.serial import normalise_serial
from chalicelib.domain.tariff import AccessRate
from chalicelib.services.names import clean_name
from chalicelib.services.phones import normalise_phone
from chalicelib.services.portfolio.rows import RECORDS, Row
from chalicelib.services.ports import ApplianceKind, DefaultPlan, RowError, Settings, SiteKind

REFERENCE_LENGTH_MAX = 64
PERIOD_DAYS_MAX = 3660
DAYS_AHEAD_MAX = 3660

_PLAN = ("down_payment", "instalments", "instalment_amount", "every")
_COLUMNS_OF: Mapping[str, frozenset[str]] = {
    "cluster": frozenset({"name"}),
    "mini_grid": frozenset({"name", "parent"}),
    "village": frozenset({"name", "parent"}),
    "tariff": frozenset(
        {"name", "price_per_kwh", "access_rate_amount", "access_rate_period_days"}
        | {"minimum_purchase"}
    ),
    "appliance": frozenset(
        {"name", "kind", "price", "manufacturer", "first_due_after_days", *_PLAN}
    ),
    "customer": frozenset({"customer", "name", "surname", "phone", "village", "credit"}),
    "device": frozenset(
        {"customer", "serial_number", "manufacturer", "village", "tariff", "appliance"}
        | {"registered_on", "access_rate_since", "access_rate_owed", "carry", "carry_days"}
        | {"paid_until", "unlocked", "technical"}
    ),
    "plan": frozenset(
        {"customer", "serial_number", "name", "appliance", "total", "already_paid"}
        | {"first_due", "sold_on", *_PLAN}
    ),
}
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_ZERO = re.compile(r"0{1,20}(\.0{1,20})?", re.ASCII)
_AS_SHOWN_BY_A_SPREADSHEET = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+", re.ASCII)
_CARRY_LENGTH_MAX = 80

T = TypeVar("T")
C = TypeVar("C", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class SiteThing:
    """A cluster, mini-grid or village. ``parent`` is the name of the site one level up."""

    line: int
    kind: SiteKind
    name: str
    parent: str | None


@dataclass(frozen=True, slots=True)
class TariffThing:
    """A tariff as it is now."""

    line: int
    name: str
    price_minor: Fraction
    access_rate: AccessRate | None
    minimum_purchase_minor: int


@dataclass(frozen=True, slots=True)
class ApplianceThing:
    """Something that is sold on plans."""

    line: int
    name: str
    kind: ApplianceKind
    price_minor: int
    default_plan: DefaultPlan | None
    manufacturer: str | None


@dataclass(frozen=True, slots=True)
class CustomerThing:
    """A person. ``reference`` is the file's own name for them."""

    line: int
    reference: str
    name: str
    surname: str
    phone: str
    village: str
    credit_minor: int


@dataclass(frozen=True, slots=True)
class DeviceThing:
    """A device of a customer, or (``customer`` empty) one in stock.

    ``village`` is the customer's where it is ``None``. What is left empty of the rest is none.
    """

    line: int
    customer: str
    serial_number: str
    manufacturer: str
    village: str | None
    tariff: str | None
    appliance: str | None
    registered_on: date | None
    access_rate_since: date | None
    access_rate_owed_minor: int | None
    carry_minor: Fraction
    carry_days: Fraction
    paid_until: datetime | None
    unlocked: bool
    technical: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanThing:
    """An open plan: of a device (``serial_number``), or of an appliance or something named."""

    line: int
    customer: str
    serial_number: str | None
    name: str | None
    appliance: str | None
    terms: Terms
    sold_on: date | None


@dataclass(slots=True)
class Things:
    """Everything in a portfolio, in the order of its rows."""

    sites: list[SiteThing] = field(default_factory=list)
    tariffs: list[TariffThing] = field(default_factory=list)
    appliances: list[ApplianceThing] = field(default_factory=list)
    customers: list[CustomerThing] = field(default_factory=list)
    devices: list[DeviceThing] = field(default_factory=list)
    plans: list[PlanThing] = field(default_factory=list)


def things_of(rows: Iterable[Row], settings: Settings) -> tuple[Things, list[RowError]]:
    """What the rows say, and what is wrong with them: one error a row and column.

    A row with an error is no thing.
    """
    things = Things()
    errors: list[RowError] = []
    for row in rows:
        cells = _Cells(row, settings)
        _read_row(cells, things)
        errors += cells.errors
    return things, errors


def _read_row(cells: _Cells, things: Things) -> None:
    record = cells.row.cell("record").lower()
    if record not in _COLUMNS_OF:
        cells.wrong("record", f"must be one of {', '.join(RECORDS)}")
        return
    for column, cell in cells.row.cells.items():
        if cell and column not in _COLUMNS_OF[record] | {"record"}:
            cells.wrong(column, f"must be empty in a row of a {record.replace('_', '-')}")
    match record:
        case "cluster" | "mini_grid" | "village":
            cells.keep(things.sites, _site(cells, SiteKind(record)))
        case "tariff":
            cells.keep(things.tariffs, _tariff(cells))
        case "appliance":
            cells.keep(things.appliances, _appliance(cells))
        case "customer":
            cells.keep(things.customers, _customer(cells))
        case "device":
            cells.keep(things.devices, _device(cells))
        case _:
            cells.keep(things.plans, _plan(cells))


def _site(cells: _Cells, kind: SiteKind) -> SiteThing:
    parent = None if kind is SiteKind.CLUSTER else cells.name("parent")
    return SiteThing(cells.line, kind, cells.name("name"), parent)


def _tariff(cells: _Cells) -> TariffThing:
    amount_minor = cells.amount_if_given("access_rate_amount")
    period_days = cells.whole_if_given("access_rate_period_days", 1, PERIOD_DAYS_MAX)
    access_rate = None
    if amount_minor is not None and period_days is not None:
        access_rate = AccessRate(amount_minor, period_days)
    elif cells.row.cell("access_rate_amount"):
        cells.required("access_rate_period_days")
    elif cells.row.cell("access_rate_period_days"):
        cells.required("access_rate_amount")
    return TariffThing(
        cells.line,
        cells.name("name"),
        cells.price("price_per_kwh"),
        access_rate,
        cells.amount_or_zero("minimum_purchase"),
    )


def _appliance(cells: _Cells) -> ApplianceThing:
    kind = cells.choice("kind", ApplianceKind, ApplianceKind.APPLIANCE)
    default_plan = None
    if any(cells.row.cell(column) for column in (*_PLAN, "first_due_after_days")):
        default_plan = DefaultPlan(
            every=cells.choice("every", Every, Every.MONTH),
            first_due_after_days=cells.whole("first_due_after_days", 0, DAYS_AHEAD_MAX),
            down_payment_minor=cells.amount_or_zero("down_payment"),
            instalments=cells.whole_if_given("instalments", 1, 600),
            instalment_minor=cells.amount_if_given("instalment_amount"),
        )
    return ApplianceThing(
        cells.line,
        cells.name("name"),
        kind,
        cells.amount("price"),
        default_plan,
        cells.row.cell("manufacturer") or None,
    )


def _customer(cells: _Cells) -> CustomerThing:
    return CustomerThing(
        cells.line,
        cells.reference(),
        cells.name("name"),
        cells.name("surname"),
        cells.phone(),
        cells.name("village"),
        cells.amount_or_zero("credit"),
    )


def _device(cells: _Cells) -> DeviceThing:
    return DeviceThing(
        cells.line,
        cells.reference_if_given(),
        cells.serial_number(),
        cells.text("manufacturer"),
        cells.name_if_given("village"),
        cells.name_if_given("tariff"),
        cells.name_if_given("appliance"),
        cells.day_if_given("registered_on"),
        cells.day_if_given("access_rate_since"),
        cells.amount_or_zero("access_rate_owed") if cells.row.cell("access_rate_owed") else None,
        cells.exact("carry", "an exact amount such as 12.50 or 25/3") * cells.minor_per_major,
        cells.exact("carry_days", "a part of a day such as 0.5 or 1/3"),
        cells.moment_if_given("paid_until"),
        cells.yes("unlocked"),
        cells.document("technical"),
    )


def _plan(cells: _Cells) -> PlanThing:
    serial_number = cells.serial_number() if cells.row.cell("serial_number") else None
    given = [c for c in ("serial_number", "appliance", "name") if cells.row.cell(c)]
    if len(given) != 1:
        cells.wrong(
            "serial_number", "give one of serial_number (of its device), appliance and name"
        )
    return PlanThing(
        cells.line,
        cells.reference(),
        serial_number,
        cells.name_if_given("name"),
        cells.name_if_given("appliance"),
        Terms(
            total_minor=cells.amount("total"),
            every=cells.text("every"),
            first_due=cells.day("first_due"),
            instalments=cells.whole_if_given("instalments", 1, 600),
            instalment_minor=cells.amount_if_given("instalment_amount"),
            down_payment_minor=cells.amount_or_zero("down_payment"),
            already_paid_minor=cells.amount_or_zero("already_paid"),
        ),
        cells.day_if_given("sold_on"),
    )


class _Cells:
    """Reads the cells of one row, and collects what is wrong with them.

    A cell that is wrong reads as something harmless: a row with an error is not kept.
    """

    def __init__(self, row: Row, settings: Settings) -> None:
        self.row = row
        self.line = row.line
        self.errors: list[RowError] = []
        self._settings = settings
        self._currency = Currency(settings.currency, settings.currency_decimals)

    @property
    def minor_per_major(self) -> int:
        """How many minor units of the company's currency make a major one."""
        return self._currency.minor_per_major

    def keep(self, things: list[T], thing: T) -> None:
        """Keep the thing that the row is, unless something is wrong with it."""
        if not self.errors:
            things.append(thing)

    def wrong(self, column: str, message: str) -> None:
        """Note an error; of each column the first is told."""
        if column not in {error.column for error in self.errors}:
            self.errors.append(RowError(self.line, column, message))

    def required(self, column: str) -> bool:
        """Whether there is something in the cell; it is wrong if not."""
        if not self.row.cell(column):
            self.wrong(column, "is required")
        return bool(self.row.cell(column))

    def _read(self, column: str, read: Callable[[str], T], instead: T) -> T:
        if not self.required(column):
            return instead
        cell = self.row.cell(column)
        try:
            return read(cell)
        except FieldError as error:
            shown = _AS_SHOWN_BY_A_SPREADSHEET.fullmatch(cell)
            hint = " (a spreadsheet has shortened it: format the column as text)" if shown else ""
            self.wrong(column, error.detail + hint)
            return instead

    # --- texts --------------------------------------------------------------------------------

    def text(self, column: str) -> str:
        return self._read(column, lambda cell: cell, "")

    def name(self, column: str) -> str:
        return self._read(column, lambda cell: clean_name(cell, column), "")

    def name_if_given(self, column: str) -> str | None:
        return self.name(column) if self.row.cell(column) else None

    def reference(self) -> str:
        return self._read("customer", _reference, "")

    def reference_if_given(self) -> str:
        return self.reference() if self.row.cell("customer") else ""

    def phone(self) -> str:
        country = self._settings.country
        return self._read("phone", lambda cell: normalise_phone(cell, country), "")

    def serial_number(self) -> str:
        return self._read("serial_number", _serial_number, "")

    def choice(self, column: str, choices: type[C], instead: C) -> C:
        def read(cell: str) -> C:
            try:
                return choices(cell.lower())
            except ValueError:
                raise FieldError(column, f"must be one of {', '.join(choices)}") from None

        return self._read(column, read, instead)

    def yes(self, column: str) -> bool:
        if not self.row.cell(column):
            return False
        return self._read(column, lambda cell: _yes(column, cell), instead=False)

    def document(self, column: str) -> Mapping[str, Any]:
        if not self.row.cell(column):
            return {}
        return self._read(column, lambda cell: _document(column, cell), {})

    # --- numbers ------------------------------------------------------------------------------

    def whole(self, column: str, least: int, most: int) -> int:
        def read(cell: str) -> int:
            if _WHOLE.fullmatch(cell) is None or not least <= int(cell) <= most:
                raise FieldError(column, f"must be a whole number from {least} to {most}")
            return int(cell)

        return self._read(column, read, least)

    def whole_if_given(self, column: str, least: int, most: int) -> int | None:
        return self.whole(column, least, most) if self.row.cell(column) else None

    def amount(self, column: str) -> int:
        most_minor = self._settings.maximum_amount_minor
        return self._read(
            column, lambda cell: parse_amount(cell, self._currency, most_minor, column), 1
        )

    def amount_or_zero(self, column: str) -> int:
        cell = self.row.cell(column)
        return self.amount(column) if cell and not _ZERO.fullmatch(cell) else 0

    def amount_if_given(self, column: str) -> int | None:
        return self.amount(column) if self.row.cell(column) else None

    def price(self, column: str) -> Fraction:
        return self._read(
            column, lambda cell: parse_price(cell, self._currency, column), Fraction(1)
        )

    def exact(self, column: str, what: str) -> Fraction:
        """An exact number, as a decimal or as a fraction; zero where none is given."""
        if not self.row.cell(column):
            return Fraction(0)
        return self._read(column, lambda cell: _exact(column, cell, what), Fraction(0))

    # --- times --------------------------------------------------------------------------------

    def day(self, column: str) -> date:
        return self._read(column, lambda cell: _day(column, cell), date.min)

    def day_if_given(self, column: str) -> date | None:
        return self.day(column) if self.row.cell(column) else None

    def moment_if_given(self, column: str) -> datetime | None:
        if not self.row.cell(column):
            return None
        return self._read(column, lambda cell: _moment(column, cell), None)


def _reference(cell: str) -> str:
    if len(cell) > REFERENCE_LENGTH_MAX:
        raise FieldError("customer", f"must have at most {REFERENCE_LENGTH_MAX} characters")
    return cell


def _serial_number(cell: str) -> str:
    if _AS_SHOWN_BY_A_SPREADSHEET.fullmatch(cell) and ("," in cell or "+" in cell):
        raise FieldError("serial_number", "must be a serial number")
    return normalise_serial(cell)


def _yes(column: str, cell: str) -> bool:
    if cell.lower() not in ("yes", "no", "true", "false"):
        raise FieldError(column, "must be yes or no")
    return cell.lower() in ("yes", "true")


def _document(column: str, cell: str) -> Mapping[str, Any]:
    try:
        document = json.loads(cell)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise FieldError(column, 'must be a JSON object such as {"starting_code": 123456789}')
    return document


def _exact(column: str, cell: str, what: str) -> Fraction:
    number: Fraction | None = None
    if len(cell) <= _CARRY_LENGTH_MAX:
        if _DECIMAL.fullmatch(cell):
            number = Fraction(cell)
        else:
            try:
                number = parse_fraction(cell)
            except ValueError:
                number = None
    if number is None or number < 0:
        raise FieldError(column, f"must be {what}")
    return number


def _day(column: str, cell: str) -> date:
    try:
        if len(cell) != len("2026-01-31"):  # other forms of ISO 8601 are for machines
            raise ValueError
        return date.fromisoformat(cell)
    except ValueError:
        raise FieldError(column, "must be a day such as 2026-01-31") from None


def _moment(column: str, cell: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(cell)
        if moment.tzinfo is None or not 2000 <= moment.year < 2200:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise FieldError(column, "must be a moment such as 2026-01-31T18:30:00Z") from None


def by_customer(things: Sequence[T], reference: Callable[[T], str]) -> Mapping[str, list[T]]:
    """The things of each customer, by the file's reference."""
    found: dict[str, list[T]] = {}
    for thing in things:
        found.setdefault(reference(thing), []).append(thing)
    return found
