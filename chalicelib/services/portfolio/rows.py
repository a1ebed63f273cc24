"""The portfolio file: CSV, one row per thing, and what the file itself must be like.

Whatever the rows say is looked at elsewhere. Here a file becomes rows, and rows become a file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from chalicelib.domain.errors import MwangaError
from chalicelib.services.ports import RowError

COLUMNS = (
    "record",
    # sites, tariffs, appliances
    "name",
    "parent",
    "price_per_kwh",
    "access_rate_amount",
    "access_rate_period_days",
    "minimum_purchase",
    "kind",
    "price",
    "first_due_after_days",
    # customers
    "customer",
    "surname",
    "phone",
    "village",
    "credit",
    # devices
    "serial_number",
    "manufacturer",
    "tariff",
    "appliance",
    "registered_on",
    "access_rate_since",
    "access_rate_owed",
    "carry",
    "carry_days",
    "paid_until",
    "unlocked",
    "technical",
    # plans
    "total",
    "down_payment",
    "already_paid",
    "instalments",
    "instalment_amount",
    "every",
    "first_due",
    "sold_on",
)
"""The columns of a portfolio file, in the order in which they are written. A file that is read
may have them in any order, and lack those that it does not need."""

RECORDS = (
    "cluster",
    "mini_grid",
    "village",
    "tariff",
    "appliance",
    "customer",
    "device",
    "plan",
)
"""What a row may be of: its cell in the column ``record``."""

CELL_LENGTH_MAX = 2000

_DELIMITERS = ",;"
_BEGINS_A_FORMULA = "=+\\-@\t\r\uff1d\uff0b\uff0d\uff20"
_TO_BE_GUARDED = re.compile(f"'*[{_BEGINS_A_FORMULA}]")
_GUARDED = re.compile(f"'+[{_BEGINS_A_FORMULA}]")


class UnreadableFile(MwangaError):
    """The file is not what it is said to be, as a whole: no row of it can be read."""

    code = "unreadable_file"


@dataclass(frozen=True, slots=True)
class Row:
    """One row. ``line`` is its number as a spreadsheet shows it: the header is 1."""

    line: int
    cells: Mapping[str, str]

    def cell(self, column: str) -> str:
        """What stands in that column; empty where the file has no such column."""
        return self.cells.get(column, "")


@dataclass(frozen=True, slots=True)
class Portfolio:
    """The rows of a file, and what is wrong with it so far."""

    rows: Sequence[Row] = ()
    errors: Sequence[RowError] = ()


def read_portfolio(content: bytes) -> Portfolio:
    """The rows of a portfolio file.

    UTF-8, with or without a byte order mark; comma or semicolon, whichever the header has. Cells
    are trimmed, and the apostrophe that guards against formulas is taken off again. Rows without
    any content are left out, and counted all the same.

    Raises:
        UnreadableFile: it is not UTF-8 text, or not CSV, or has no header.
    """
    text = text_of(content)
    records = _records(text)
    try:
        header = [name.strip().lower() for name in next(records, [])]
        rows = [Row(line, _cells(header, record)) for line, record in enumerate(records, 2)]
    except csv.Error as error:
        raise UnreadableFile(f"is not CSV: {error}") from error
    if "record" not in header:
        raise UnreadableFile("its first row must name the columns, the column record among them")
    errors = [*_header_errors(header), *_too_long(rows)]
    return Portfolio([row for row in rows if any(row.cells.values())], errors)


def write_portfolio(rows: Iterable[Mapping[str, str]]) -> bytes:
    """A portfolio file of these rows, as spreadsheets like it: UTF-8 with a byte order mark.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it. A character
    that was lost before it came to us is a question mark.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([guarded(row.get(column, "")) for column in COLUMNS])
    return out.getvalue().replace("\ufffd", "?").encode("utf-8-sig")


def guarded(cell: str) -> str:
    """The cell, harmless in a spreadsheet."""
    return f"'{cell}" if _TO_BE_GUARDED.match(cell) else cell


def unguarded(cell: str) -> str:
    """The cell that ``guarded`` made harmless."""
    return cell[1:] if _GUARDED.match(cell) else cell


def text_of(content: bytes) -> str:
    """The text of a file.

    Raises:
        UnreadableFile: it is not UTF-8, or no text at all. What it seems to be is said.
    """
    if content.startswith(b"PK\x03\x04"):
        raise UnreadableFile("is a workbook or a ZIP file: save the sheet as CSV (UTF-8)")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableFile("is UTF-16: save it as CSV (UTF-8)")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = content.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(f"is not UTF-8 (see line {where}): save it as CSV (UTF-8)") from None
    if "\x00" in text:
        raise UnreadableFile("is not a text file")
    if "\ufffd" in text:  # what another program wrote where it could not read
        where = text.count("\n", 0, text.index("\ufffd")) + 1
        raise UnreadableFile(f"is not UTF-8 (see line {where}): save it as CSV (UTF-8)")
    return text


def _records(text: str) -> Iterator[list[str]]:
    first_line = text.lstrip().partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first_line.count)
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _cells(header: Sequence[str], record: Sequence[str]) -> Mapping[str, str]:
    """The cells by column; what stands below no heading is under the name of no column."""
    cells: dict[str, str] = {}
    for name, cell in zip_longest(header, record[: len(header)], fillvalue=""):
        if name or cell.strip():
            cells[name] = unguarded(cell.strip())
    beyond = "".join(record[len(header) :]).strip()
    return {**cells, "": beyond} if beyond else cells


def _header_errors(header: Sequence[str]) -> Iterator[RowError]:
    for name in sorted({*header} - {""}):
        if header.count(name) > 1:
            yield RowError(1, name[:60], "is there more than once")
        elif name not in COLUMNS:
            yield RowError(1, name[:60], "is not a column of a portfolio file")


def _too_long(rows: Iterable[Row]) -> Iterator[RowError]:
    for row in rows:
        for name, cell in row.cells.items():
            if name == "":
                yield RowError(row.line, "", "has a cell below no heading")
            elif len(cell) > CELL_LENGTH_MAX:
                yield RowError(row.line, name[:60], f"has more than {CELL_LENGTH_MAX} characters")
