"""What the reports for finance ask of the store: whole tables in portions, and what was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from chalicelib.domain.payment import Payment
from chalicelib.services.ports.records import Entry, Page

T = TypeVar("T")


class ReportKind(StrEnum):
    """What a report is of: a day or a month that ended, both made by themselves; a period that
    somebody asked for; or the payments and entries of a period, row by row."""

    DAY = "day"
    MONTH = "month"
    PERIOD = "period"
    ROWS = "rows"


class ReportState(StrEnum):
    """How far a report is."""

    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ReportFile:
    """One file of a report: where it is kept, and how many rows it has."""

    key: str
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """A report, and how far it is.

    ``first_day`` and ``last_day`` are days of the company's calendar; without a first one it goes
    back to the first payment. Money that came in before ``cut`` is counted: the end of the last
    day, or, where that day is not over (``interim``), when the report was asked for.

    While it reads, ``phase`` is what it is reading and ``cursor`` how far that is. ``work`` is what
    was added up so far. ``sentence`` is what the report says at the top.
    """

    report_id: str
    kind: ReportKind
    state: ReportState
    first_day: date | None
    last_day: date
    cut: datetime
    made_at: datetime
    made_by: str
    interim: bool = False
    phase: str = ""
    cursor: str | None = None
    work: str = ""
    saved_at: datetime | None = None
    sentence: str = ""
    differences: int = 0
    files: tuple[ReportFile, ...] = ()
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Closings:
    """Which days the books were closed for: ``first_day`` with all that was before it, and every
    day from it to ``last_day``, which may be under way."""

    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class Portion(Generic[T]):
    """Some items of a table, the keys of those that cannot be read, and where to go on."""

    items: Sequence[T]
    unreadable: Sequence[str] = ()
    next: str | None = None


class WholeTables(Protocol):
    """All that is in a table, portion by portion, for workers. Each item is read once and whole;
    what was written less than a second ago may be missing.

    Every method may raise ``TryAgain``, and ``InvalidCursor`` for a cursor of something else.
    """

    def payments(self, cursor: str | None) -> Portion[Payment]:
        """Payments, without what is known of their payers."""

    def entries(self, cursor: str | None) -> Portion[Entry]:
        """Entries of all accounts."""


class Reports(Protocol):
    """Reports, by id.

    Every method may raise ``TryAgain``, those that write ``OutcomeUnknown``.
    """

    def create(self, report: Report) -> bool:
        """Store a new one; false where there is one of its id."""

    def close(self, report: Report, before: Closings | None) -> None:
        """Store the report that closes a day, and note that day, in one transaction.

        Raises:
            VersionConflict: another day was closed since ``before`` was read.
        """

    def closings(self) -> Closings | None:
        """Which days were closed, read consistently; ``None`` where none was."""

    def get(self, report_id: str) -> Report | None:
        """The report, read consistently."""

    def save(self, report: Report) -> Report:
        """Write it if its stored revision is still ``report.revision``; answers it as written.

        Raises:
            VersionConflict: somebody else changed it first.
        """

    def list(self, limit: int, cursor: str | None) -> Page[Report]:
        """All reports, the newest first.

        Raises:
            InvalidCursor: see there.
        """
