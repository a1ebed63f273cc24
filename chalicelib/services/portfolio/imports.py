"""Move in: a file is kept, checked as a whole, and, once a person says so, written in parts."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.moment import local_day
from chalicelib.services.accept import rules_of
from chalicelib.services.portfolio.check import CheckPortfolio
from chalicelib.services.portfolio.rows import (
    Portfolio,
    Row,
    UnreadableFile,
    read_portfolio,
    text_of,
    write_portfolio,
)
from chalicelib.services.portfolio.write import WritePortfolio
from chalicelib.services.ports import (
    Catalogue,
    Clock,
    ConditionFailed,
    FileFormat,
    Files,
    Import,
    Imports,
    ImportState,
    Journal,
    Page,
    Queues,
    RowError,
    VersionConflict,
)

ROWS_PER_PART = 100
"""A part is closed with so many rows: it is written in one run of the worker, which takes some
0.1 seconds a row. The rows of one customer (151 at most) are never parted."""

ERRORS_KEPT_MAX = 1000

_CONVERTED = "portfolio.csv"

CHECK, WRITE = "check", "write"
"""The steps of an import, as the queue names them."""


class ImportNotFound(MwangaError):
    """There is no such import."""

    code = "not_found"


class ImportNotChecked(MwangaError):
    """Only what was checked, and found to be in order, can be written."""

    code = "not_checked"


class MoveIn:
    """Takes portfolios in."""

    def __init__(
        self,
        *,
        imports: Imports,
        files: Files,
        check_portfolio: CheckPortfolio,
        write_portfolio: WritePortfolio,
        readers: Mapping[FileFormat, Callable[[bytes, str], Portfolio]],
        catalogue: Catalogue,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._imports = imports
        self._files = files
        self._check_portfolio = check_portfolio
        self._write_portfolio = write_portfolio
        self._readers = readers
        self._catalogue = catalogue
        self._queues = queues
        self._clock = clock
        self._journal = journal

    # --- what people ask for ------------------------------------------------------------------

    def start(
        self, content: bytes, content_type: str, file_format: FileFormat, *, actor: str
    ) -> Import:
        """Keep a file, and have it checked.

        Raises:
            FieldError: on ``file``: it is empty, or not the text that it should be.
            OutcomeUnknown, TryAgain, QueueUnavailable: it is not known to be kept: send it again.
        """
        if not content.strip():
            raise FieldError("file", "is empty")
        if file_format is FileFormat.PORTFOLIO:
            try:
                text_of(content)
            except UnreadableFile as error:
                raise FieldError("file", error.detail) from error
        moving = Import(
            import_id=new_move_id("imp"),
            format=file_format,
            content_type=content_type,
            content_hash=hashlib.sha256(content).hexdigest()[:20],
            state=ImportState.CHECKING,
            made_at=self._clock.now(),
            made_by=actor,
        )
        self._files.put(_key(moving.import_id, "file"), content)
        self._imports.create(moving)
        self._queues.move(CHECK, moving.import_id)
        self._note(moving, "import_started", actor=actor)
        return moving

    def get(self, import_id: str) -> Import:
        """The import of that id.

        Raises:
            ImportNotFound: see there.
        """
        moving = self._imports.get(import_id)
        if moving is None:
            raise ImportNotFound(f"there is no import {import_id}")
        return moving

    def list(self, limit: int, cursor: str | None) -> Page[Import]:
        """All imports, the newest first.

        Raises:
            InvalidCursor: see there.
        """
        return self._imports.list(limit, cursor)

    def errors(self, import_id: str, limit: int, cursor: str | None) -> Page[RowError]:
        """What is wrong in it, by row.

        Raises:
            ImportNotFound, InvalidCursor: see there.
        """
        self.get(import_id)
        return self._imports.errors(import_id, limit, cursor)

    def converted(self, import_id: str, *, actor: str) -> bytes:
        """Another system's export as the portfolio file that was made of it.

        Its rows are those that errors name. It can be corrected by hand and sent as a portfolio.

        Raises:
            ImportNotFound: there is no such import, or nothing was (or is yet) converted.
            TryAgain: the file cannot be had now.
        """
        moving = self.get(import_id)
        content = None
        if moving.format is not FileFormat.PORTFOLIO:
            content = self._files.get(_key(import_id, _CONVERTED))
        if content is None:
            raise ImportNotFound(f"nothing was converted for {import_id}")
        self._note(moving, "import_taken", actor=actor)
        return content

    def begin_to_write(self, import_id: str, *, actor: str) -> Import:
        """Have what was checked written. Said again, it goes on where it may have stopped.

        Raises:
            ImportNotFound, ImportNotChecked: see there.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable: say it again.
        """
        moving = self.get(import_id)
        if moving.state is ImportState.CHECKED:
            moving = self._imports.save(
                replace(moving, state=ImportState.WRITING, written_by=actor)
            )
            self._note(moving, "import_accepted", actor=actor)
        elif moving.state not in (ImportState.WRITING, ImportState.DONE):
            raise ImportNotChecked(f"it is {moving.state.value}")
        if moving.state is ImportState.WRITING:
            self._queues.move(WRITE, import_id)
        return moving

    # --- what the worker does -----------------------------------------------------------------

    def check(self, import_id: str) -> None:
        """Check the file of an import. Done again, it changes nothing.

        Raises:
            TryAgain, OutcomeUnknown, SecretMissing: nothing is decided yet: check it again.
        """
        moving = self._imports.get(import_id)
        if moving is None or moving.state is not ImportState.CHECKING:
            return
        portfolio = self._read(moving)
        as_of = local_day(moving.made_at, rules_of(self._catalogue.settings()).time_zone)
        checked = self._check_portfolio.check(portfolio.rows, as_of)
        errors = [*portfolio.errors, *checked.errors]
        after = replace(moving, rows=len(portfolio.rows), error_count=len(errors))
        if errors:
            self._imports.add_errors(import_id, errors[:ERRORS_KEPT_MAX])
            after = replace(after, state=ImportState.REFUSED)
        else:
            parts = parts_of(portfolio.rows)
            for number, part in enumerate(parts):
                self._files.put(_part_key(import_id, number), _written(part))
            after = replace(
                after,
                state=ImportState.CHECKED,
                parts=len(parts),
                to_complete=checked.to_complete,
            )
        try:
            self._imports.save(after)
        except VersionConflict:  # another worker has checked it
            return
        self._note(after, "import_checked", rows=after.rows, errors=after.error_count)

    def write(self, import_id: str, part: int) -> None:
        """Write a part of an import, and after the first one queue the others.

        The first part has the places, tariffs and appliances that the others need.

        Raises:
            TryAgain, OutcomeUnknown, SecretMissing, QueueUnavailable: write it again.
        """
        moving = self._imports.get(import_id)
        if moving is None or moving.state is not ImportState.WRITING:
            return
        content = self._files.get(_part_key(import_id, part))
        if content is None:
            self._note(moving, "import_part_missing", part=part)
            return
        written = self._write_portfolio.write(_read_part(content), moving)
        self._imports.add_errors(import_id, written.errors)
        failed = len({error.line for error in written.errors})
        try:
            self._imports.finish_part(import_id, part, written.rows, failed)
        except ConditionFailed:  # it was done before
            self._note(moving, "import_part_again", part=part)
        else:
            self._note(moving, "import_part_written", part=part, rows=written.rows, failed=failed)
        if part == 0:
            for number in range(1, moving.parts):
                self._queues.move(WRITE, import_id, number)

    def _read(self, moving: Import) -> Portfolio:
        content = self._files.get(_key(moving.import_id, "file"))
        if content is None:
            return _unreadable("is not kept any more: send it again")
        try:
            portfolio = self._readers[moving.format](content, moving.content_type)
        except UnreadableFile as error:
            return _unreadable(error.detail)
        if not portfolio.rows and not portfolio.errors:
            return _unreadable("has no rows")
        if moving.format is not FileFormat.PORTFOLIO:
            converted = write_portfolio(row.cells for row in portfolio.rows)
            self._files.put(_key(moving.import_id, _CONVERTED), converted)
        return portfolio

    def _note(self, moving: Import, event: str, **told: object) -> None:
        self._journal.event(event, import_id=moving.import_id, **told)


def portfolio_reader(content: bytes, content_type: str) -> Portfolio:
    """Reads our own format, whatever it is called in transit.

    Raises:
        UnreadableFile: see there.
    """
    return read_portfolio(content)


def new_move_id(prefix: str) -> str:
    """An id that no import or export has."""
    return f"{prefix}-{secrets.token_hex(8)}"


def parts_of(rows: Sequence[Row]) -> Sequence[Sequence[Row]]:
    """The rows in the parts in which they are written.

    The first has places, tariffs and appliances. Each customer's rows stand together; devices
    that nobody owns come last.
    """
    shared = [row for row in rows if row.cell("record").lower() in _SHARED]
    theirs: dict[str, list[Row]] = {}
    stock: list[Row] = []
    for row in rows:
        if row.cell("record").lower() in _SHARED:
            continue
        if row.cell("customer"):
            theirs.setdefault(row.cell("customer"), []).append(row)
        else:
            stock.append(row)
    parts: list[list[Row]] = []
    for group in [*theirs.values(), *([row] for row in stock)]:
        if not parts or len(parts[-1]) >= ROWS_PER_PART:
            parts.append([])
        parts[-1] += group
    return [shared, *parts]


_SHARED = frozenset({"cluster", "mini_grid", "village", "tariff", "appliance"})


def _unreadable(what: str) -> Portfolio:
    return Portfolio(errors=[RowError(1, "file", what)])


def _key(import_id: str, name: str) -> str:
    return f"imports/{import_id}/{name}"


def _part_key(import_id: str, part: int) -> str:
    return _key(import_id, f"part-{part:05}")


def _written(part: Sequence[Row]) -> bytes:
    return json.dumps(
        [[row.line, {name: cell for name, cell in row.cells.items() if cell}] for row in part]
    ).encode()


def _read_part(content: bytes) -> Sequence[Row]:
    return [Row(line, cells) for line, cells in json.loads(content)]
