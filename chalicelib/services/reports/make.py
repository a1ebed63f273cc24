"""Make reports: close every day's books, and write what finance reads.

A closing reads the whole table of payments, and that of entries, portion by portion, and adds
up where all money is. What happened in a period is the difference of two closings, so a report
that was made once never changes, and whatever changes later is in a later one. How far a report
is, and what was added up so far, is saved together after each part: a run that is cut short is
gone on with, and nothing is counted twice.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.ledger import Fault, Unaccounted, missing
from chalicelib.domain.moment import local_day, start_of_day
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment
from chalicelib.services.portfolio.imports import new_move_id
from chalicelib.services.ports import (
    Clock,
    Closings,
    Entry,
    Files,
    Journal,
    Page,
    PassState,
    Queues,
    Reconciliation,
    Reconciliations,
    Report,
    ReportFile,
    ReportKind,
    Reports,
    ReportState,
    Settings,
    SettingsStore,
    VersionConflict,
    WholeTables,
)
from chalicelib.services.reports.closing import Closing, completed
from chalicelib.services.reports.rows import ENTRIES, LINES, PAYMENTS, RowWriter, is_money
from chalicelib.services.reports.sheet import Period, as_csv, as_text, differences_of, sheet_of

REPORT = "report"
"""The step of a report, as the queue names it."""

CLOSE_AFTER = timedelta(minutes=15)
"""So long after its end a day is closed: what came in at its last moment is stored by then."""

LOST_AFTER = timedelta(minutes=30)
"""A closing that has not moved for so long is queued again."""

PORTIONS_PER_PART = 20
"""So many portions are read before what was added up is saved (each is up to 1,000 items)."""

ROWS_PER_FILE = 5000
"""A file of so many payments is far below what an answer of the API may be."""

PASSES_LOOKED_AT = 5
SCHEDULE = "schedule"
_PAYMENTS, _ENTRIES, _WRITE = "payments", "entries", "write"
_DAY = timedelta(days=1)


class ReportNotFound(MwangaError):
    """There is no such report, or no such file of it (any more)."""

    code = "not_found"


class ClosingLost(MwangaError):
    """The closing of a day is not where it was put: somebody has deleted it."""

    code = "closing_lost"


class MakeReports:
    """Makes reports, and keeps them.

    ``files`` is the archive of reports; ``row_files`` are kept for a month only, for they say who
    paid what.
    """

    def __init__(
        self,
        *,
        reports: Reports,
        whole_tables: WholeTables,
        reconciliations: Reconciliations,
        files: Files,
        row_files: Files,
        settings_store: SettingsStore,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._reports = reports
        self._whole_tables = whole_tables
        self._reconciliations = reconciliations
        self._files = files
        self._row_files = row_files
        self._settings_store = settings_store
        self._queues = queues
        self._clock = clock
        self._journal = journal

    # --- what people ask for ------------------------------------------------------------------

    def start(self, first_day: date, last_day: date, *, rows: bool, actor: str) -> Report:
        """Have a report of a period made; with ``rows`` its payments and entries, row by row.

        A period may end today: its report is of what there is now.

        Raises:
            FieldError: on ``from`` or ``to``: no such period can be reported on (yet).
            TryAgain, OutcomeUnknown, QueueUnavailable: ask again.
        """
        zone, now = self._zone(), self._clock.now()
        today = local_day(now, zone)
        if first_day > last_day:
            raise FieldError("to", "must not be before from")
        if last_day > today:
            raise FieldError("to", "must not be in the future")
        interim = last_day == today
        report = Report(
            report_id=new_move_id("rows" if rows else "period"),
            kind=ReportKind.ROWS if rows else ReportKind.PERIOD,
            state=ReportState.RUNNING,
            first_day=first_day if rows else self._first_day(first_day, last_day, interim),
            last_day=last_day,
            cut=now if interim else start_of_day(last_day + _DAY, zone),
            made_at=now,
            made_by=actor,
            interim=interim,
            phase=_PAYMENTS if rows or interim else _WRITE,
        )
        self._reports.create(report)
        self._queues.move(REPORT, report.report_id)
        self._journal.event("report_started", report_id=report.report_id, actor=actor)
        return report

    def _first_day(self, first_day: date, last_day: date, interim: bool) -> date | None:
        """The first day as the closings have it; none where it all begins with the first payment.

        Raises:
            FieldError: a day that must be closed is not.
        """
        closings = self._reports.closings()
        closed = self._closed_until(closings)
        if closings is None or closed is None:
            if not interim:
                raise FieldError("to", "no day was closed yet")
            return None
        if not interim and last_day > closed:
            raise FieldError("to", f"days are closed until {closed} yet")
        if not interim and last_day < closings.first_day:
            raise FieldError("to", f"the first day that was closed is {closings.first_day}")
        if first_day > closed + _DAY:
            raise FieldError("from", f"days are closed until {closed} yet")
        return first_day if first_day > closings.first_day else None

    def _closed_until(self, closings: Closings | None) -> date | None:
        """The last day whose closing is there."""
        if closings is None:
            return None
        last = self._reports.get(_day_id(closings.last_day))
        if last is not None and last.state is ReportState.DONE:
            return closings.last_day
        return closings.last_day - _DAY if closings.last_day > closings.first_day else None

    def get(self, report_id: str) -> Report:
        """The report of that id.

        Raises:
            ReportNotFound: see there.
        """
        report = self._reports.get(report_id)
        if report is None:
            raise ReportNotFound(f"there is no report {report_id}")
        return report

    def list(self, limit: int, cursor: str | None) -> Page[Report]:
        """All reports, the newest first.

        Raises:
            InvalidCursor: see there.
        """
        return self._reports.list(limit, cursor)

    def file(self, report_id: str, number: int, *, actor: str) -> tuple[str, bytes]:
        """A file of a report, by its number from 1: its name and what is in it.

        Raises:
            ReportNotFound: see there.
            TryAgain: the file cannot be had now.
        """
        report = self.get(report_id)
        content = None
        if 1 <= number <= len(report.files):
            key = report.files[number - 1].key
            content = self._files_of(report).get(key)
        if content is None:
            raise ReportNotFound(f"report {report_id} has no file {number} (any more)")
        self._journal.event("report_taken", report_id=report_id, file=number, actor=actor)
        return key.rpartition("/")[2], content

    def _files_of(self, report: Report) -> Files:
        return self._row_files if report.kind is ReportKind.ROWS else self._files

    # --- by itself ----------------------------------------------------------------------------

    def close_what_ended(self) -> None:
        """Have the books of a day that has ended closed, one day after the other.

        Raises:
            TryAgain, OutcomeUnknown, QueueUnavailable: the next run does it.
        """
        zone, now = self._zone(), self._clock.now()
        ended = local_day(now - CLOSE_AFTER, zone) - _DAY
        closings = self._reports.closings()
        day = closings.last_day + _DAY if closings else ended
        if closings is not None:
            last = self._reports.get(_day_id(closings.last_day))
            if last is not None and last.state is ReportState.RUNNING:
                if now - (last.saved_at or last.made_at) >= LOST_AFTER:
                    self._queues.move(REPORT, last.report_id)
                return
        if day > ended:
            return
        report = Report(
            report_id=_day_id(day),
            kind=ReportKind.DAY,
            state=ReportState.RUNNING,
            first_day=day if closings else None,
            last_day=day,
            cut=start_of_day(day + _DAY, zone),
            made_at=now,
            made_by=SCHEDULE,
            phase=_PAYMENTS,
        )
        try:
            self._reports.close(report, closings)
        except VersionConflict:  # another worker has begun it
            return
        self._queues.move(REPORT, report.report_id)

    # --- what the worker does -----------------------------------------------------------------

    def work(self, report_id: str, until: datetime) -> None:
        """Go on with a report, until the time is up; then have the rest done by another run.

        Raises:
            TryAgain, OutcomeUnknown, QueueUnavailable: go on with it again.
            ClosingLost: see there.
        """
        report = self._reports.get(report_id)
        if report is None or report.state is ReportState.DONE:
            return
        settings = self._settings_store.get()
        before = report
        try:
            while report.state is ReportState.RUNNING and self._clock.now() < until:
                before = report
                after = self._next(report, settings, until)
                report = self._reports.save(replace(after, saved_at=self._clock.now()))
        except VersionConflict:  # another worker is at it
            return
        if report.state is ReportState.RUNNING:
            self._queues.move(REPORT, report_id)
            return
        self._tell(report)
        if before.kind is not ReportKind.ROWS and before.work:
            self._tell_faults(Closing.of_text(before.work))

    def _tell(self, report: Report) -> None:
        self._journal.event(
            "report_done",
            report_id=report.report_id,
            kind=report.kind.value,
            files=len(report.files),
            differences=report.differences,
        )
        if report.kind is ReportKind.DAY:
            self._journal.count("BooksClosed")

    def _tell_faults(self, closing: Closing) -> None:
        """Count them, zero included; those of customers' accounts were counted when found."""
        self._journal.count("BooksDifferences", closing.faults_count)
        for fault in closing.faults:
            self._journal.event(
                "payment_unaccounted",
                fault=fault.fault.value,
                ref=fault.ref,
                expected=fault.expected,
                found=fault.found,
            )

    def _next(self, report: Report, settings: Settings, until: datetime) -> Report:
        if report.kind is ReportKind.ROWS:
            return self._next_rows(report, settings, until)
        if report.phase == _PAYMENTS:
            return self._add_payments(report, until)
        if report.phase == _ENTRIES:
            return self._add_entries(report, until)
        return self._write(report, settings)

    # --- figures ------------------------------------------------------------------------------

    def _add_payments(self, report: Report, until: datetime) -> Report:
        before = self._closing_before(report)
        closing = self._so_far(report, before)
        cursor = report.cursor
        for _ in range(PORTIONS_PER_PART):
            portion = self._whole_tables.payments(cursor)
            for payment in portion.items:
                closing.take_payment(payment)
            for ref in portion.unreadable:
                closing.blame(Unaccounted(Fault.UNREADABLE, ref))
            cursor = portion.next
            if cursor is None or self._clock.now() >= until:
                break
        if cursor is not None:
            return replace(report, cursor=cursor, work=closing.text())
        if before is not None:
            for fault in missing(before.figures, closing.figures):
                closing.blame(fault)
        return replace(report, phase=_ENTRIES, cursor=None, work=closing.text())

    def _so_far(self, report: Report, before: Closing | None) -> Closing:
        if report.work:
            return Closing.of_text(report.work)
        return Closing(report.cut, seen_until=before.cut if before else None)

    def _add_entries(self, report: Report, until: datetime) -> Report:
        closing, cursor = Closing.of_text(report.work), report.cursor
        for _ in range(PORTIONS_PER_PART):
            portion = self._whole_tables.entries(cursor)
            for entry in portion.items:
                closing.take_entry(entry)
            for ref in portion.unreadable:
                closing.blame(Unaccounted(Fault.UNREADABLE, ref))
            cursor = portion.next
            if cursor is None or self._clock.now() >= until:
                break
        if cursor is not None:
            return replace(report, cursor=cursor, work=closing.text())
        closing.take_proof(self._last_proof())
        return replace(report, phase=_WRITE, cursor=None, work=completed(closing).text())

    def _last_proof(self) -> Reconciliation | None:
        passes = self._reconciliations.list(PASSES_LOOKED_AT, None).items
        return next((each for each in passes if each.state is PassState.FINISHED), None)

    def _closing_before(self, report: Report) -> Closing | None:
        """The closing that this one goes on from; none where there is none before, or where no
        day is closed."""
        if report.kind is ReportKind.DAY and report.first_day:
            return self._closing(report.last_day - _DAY)
        return None

    def _closing(self, day: date) -> Closing:
        content = self._files.get(_closing_key(day))
        if content is None:
            raise ClosingLost(day.isoformat())
        return Closing.of_text(content.decode())

    def _write(self, report: Report, settings: Settings) -> Report:
        """Write the files. To do it again writes the same bytes."""
        closing = Closing.of_text(report.work) if report.work else self._closing(report.last_day)
        if report.kind is ReportKind.DAY:
            self._files.put(_closing_key(report.last_day), report.work.encode())
            if (report.last_day + _DAY).day == 1:
                self._write_month(report, closing, settings)
        return self._written(report, closing, settings)

    def _write_month(self, day: Report, closing: Closing, settings: Settings) -> None:
        first_day = day.last_day.replace(day=1)
        closings = self._reports.closings()
        whole = closings is not None and first_day > closings.first_day
        month = replace(
            day,
            report_id=f"{ReportKind.MONTH.value}-{day.last_day:%Y-%m}",
            kind=ReportKind.MONTH,
            first_day=first_day if whole else None,
            revision=1,
        )
        self._reports.create(self._written(month, closing, settings))

    def _written(self, report: Report, closing: Closing, settings: Settings) -> Report:
        opening = self._closing(report.first_day - _DAY) if report.first_day else None
        period = Period(report.first_day, report.last_day, report.interim)
        sheet = sheet_of(opening, closing, period, settings)
        files = []
        for content, ending in ((as_text(sheet), "txt"), (as_csv(sheet), "csv")):
            key = f"{_folder(report)}/{_file_name(report)}.{ending}"
            self._files.put(key, content)
            files.append(ReportFile(key))
        return replace(
            report,
            state=ReportState.DONE,
            phase="",
            work="",
            sentence=sheet.sentence,
            differences=differences_of(closing),
            files=tuple(files),
        )

    # --- row by row ---------------------------------------------------------------------------

    def _next_rows(self, report: Report, settings: Settings, until: datetime) -> Report:
        zone = ZoneInfo(settings.time_zone)
        writer = RowWriter(Currency(settings.currency, settings.currency_decimals), zone)
        assert report.first_day is not None  # noqa: S101 - rows are of a period that was named
        since = start_of_day(report.first_day, zone)
        if report.phase == _PAYMENTS:
            return self._payment_rows(report, since, writer, until)
        return self._entry_rows(report, since, writer, until)

    def _payment_rows(
        self, report: Report, since: datetime, writer: RowWriter, until: datetime
    ) -> Report:
        found: list[Payment] = []
        cursor = report.cursor
        while True:
            portion = self._whole_tables.payments(cursor)
            found += (
                p for p in portion.items if is_money(p) and since <= p.received_at < report.cut
            )
            cursor = portion.next
            if cursor is None or len(found) >= ROWS_PER_FILE or self._clock.now() >= until:
                break
        if found or (cursor is None and not report.files):
            report = self._with_file(report, PAYMENTS, writer.payments(found), len(found))
            count = sum(len(payment.lines) for payment in found)
            report = self._with_file(report, LINES, writer.lines(found), count)
        return replace(report, cursor=cursor, phase=_PAYMENTS if cursor else _ENTRIES)

    def _entry_rows(
        self, report: Report, since: datetime, writer: RowWriter, until: datetime
    ) -> Report:
        found: list[Entry] = []
        cursor = report.cursor
        while True:
            portion = self._whole_tables.entries(cursor)
            found += (entry for entry in portion.items if since <= entry.at < report.cut)
            cursor = portion.next
            if cursor is None or len(found) >= ROWS_PER_FILE or self._clock.now() >= until:
                break
        report = self._with_file(report, ENTRIES, writer.entries(found), len(found))
        return replace(
            report,
            cursor=cursor,
            phase=_ENTRIES if cursor else "",
            state=ReportState.RUNNING if cursor else ReportState.DONE,
        )

    def _with_file(self, report: Report, sort: str, content: bytes, rows: int) -> Report:
        number = 1 + sum(f"/{sort}-" in file.key for file in report.files)
        key = f"exports/{report.report_id}/{sort}-{number:04}.csv"
        self._row_files.put(key, content)
        return replace(report, files=(*report.files, ReportFile(key, rows)))

    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self._settings_store.get().time_zone)


def _day_id(day: date) -> str:
    return f"{ReportKind.DAY.value}-{day.isoformat()}"


def _closing_key(day: date) -> str:
    return f"closings/{day.isoformat()}.json"


def _folder(report: Report) -> str:
    """Where people look for it: days by year, months, and what was asked for."""
    if report.kind is ReportKind.DAY:
        return f"days/{report.last_day:%Y}"
    return "months" if report.kind is ReportKind.MONTH else "periods"


def _file_name(report: Report) -> str:
    if report.kind is ReportKind.DAY:
        return report.last_day.isoformat()
    if report.kind is ReportKind.MONTH:
        return f"{report.last_day:%Y-%m}"
    return report.report_id
