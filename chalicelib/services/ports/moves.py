"""What moving in and out asks of the store: many things at once, files, imports and exports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from chalicelib.domain.account import Account
from chalicelib.services.ports.records import Device, Page


class FileFormat(StrEnum):
    """What a file that a company moves in with is like: ours, or another system's export."""

    PORTFOLIO = "portfolio"
    MPM = "mpm"


class ImportState(StrEnum):
    """How far an import is. It waits for a person at ``checked``; ``refused`` is final."""

    CHECKING = "checking"
    REFUSED = "refused"
    CHECKED = "checked"
    WRITING = "writing"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class RowError:
    """One thing that is wrong in a file, for people: in which row and column, and what.

    ``line`` is the number of the row as a spreadsheet shows it: the header is 1.
    """

    line: int
    column: str
    message: str


@dataclass(frozen=True, slots=True)
class Import:
    """A portfolio that a company moves in with.

    ``content_hash`` names what the file says, whoever sends it and however often. ``error_count``
    counts all errors of the check, also those that are not kept. ``to_complete`` counts devices
    that lack their plan or key, and wait for a person once they are in. ``parts`` is into how many
    parts the file was cut for writing.
    """

    import_id: str
    format: FileFormat
    content_type: str
    content_hash: str
    state: ImportState
    made_at: datetime
    made_by: str
    rows: int = 0
    error_count: int = 0
    to_complete: int = 0
    parts: int = 0
    parts_done: int = 0
    written_rows: int = 0
    failed_rows: int = 0
    written_by: str | None = None
    revision: int = 1


class ExportState(StrEnum):
    """How far an export is."""

    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of an export: where it is kept, and how many rows it has."""

    key: str
    rows: int


@dataclass(frozen=True, slots=True)
class Export:
    """Everything that a company has, as files, each of which can be imported.

    ``next_number`` is the number of the customer to go on with, ``last_number`` the highest there
    was when it began; ``cursor`` is how far the devices that nobody owns are, once the customers
    are done. ``with_keys``: with the secret keys of the devices.
    """

    export_id: str
    state: ExportState
    made_at: datetime
    made_by: str
    with_keys: bool = False
    next_number: int = 1
    last_number: int = 0
    cursor: str | None = None
    customers: int = 0
    devices: int = 0
    files: tuple[ExportFile, ...] = ()
    revision: int = 1


class Holdings(Protocol):
    """What the company has, many things at once: for workers that move all of it in or out.

    Every method may raise ``TryAgain``.
    """

    def known(self, persons: Iterable[tuple[str, str, str]]) -> Mapping[tuple[str, str, str], str]:
        """The customer ids of those of these (E.164 phone, name, surname) who are customers.

        Read consistently, a hundred at a time.
        """

    def named(self, in_list: str, names: Iterable[str]) -> Mapping[str, int]:
        """The ids of what has these names in a list, by folded name, read consistently.

        ``in_list`` is a kind of site, ``tariff`` or ``appliance``.
        """

    def devices_of(self, serial_numbers: Iterable[str]) -> Mapping[str, Device]:
        """Those of these devices that exist, read consistently, a hundred at a time."""

    def accounts_of(self, customer_ids: Iterable[str]) -> Mapping[str, Account]:
        """Those of these accounts that exist, read consistently, a hundred at a time."""

    def unowned_devices(self, limit: int, cursor: str | None) -> Page[Device]:
        """Devices that nobody owns, by serial number.

        Raises:
            InvalidCursor: see there.
        """


class Files(Protocol):
    """Files, by key."""

    def put(self, key: str, content: bytes) -> None:
        """Keep a file, in the place of one of that key.

        Raises:
            OutcomeUnknown: it is not known to be kept.
        """

    def get(self, key: str) -> bytes | None:
        """The file; ``None`` where there is none (any more).

        Raises:
            TryAgain: see there.
        """


class Imports(Protocol):
    """Imports, by id.

    Every method may raise ``TryAgain``, those that write ``OutcomeUnknown``.
    """

    def create(self, moving: Import) -> None:
        """Store a new one. Its id was never used before."""

    def get(self, import_id: str) -> Import | None:
        """The import, read consistently."""

    def save(self, moving: Import) -> Import:
        """Write it if its stored revision is still ``moving.revision``; answers it as written.

        Raises:
            VersionConflict: somebody else changed it first.
        """

    def finish_part(self, import_id: str, part: int, written: int, failed: int) -> None:
        """Count a part as done, once, in one transaction; with the last one the import is.

        Raises:
            ConditionFailed: ``what`` is ``part``: it is done already.
        """

    def add_errors(self, import_id: str, errors: Iterable[RowError]) -> None:
        """Keep what is wrong; what is wrong in one row and column is kept once."""

    def errors(self, import_id: str, limit: int, cursor: str | None) -> Page[RowError]:
        """What is wrong, by row.

        Raises:
            InvalidCursor: see there.
        """

    def list(self, limit: int, cursor: str | None) -> Page[Import]:
        """All imports, the newest first.

        Raises:
            InvalidCursor: see there.
        """


class Exports(Protocol):
    """Exports, by id.

    Every method may raise ``TryAgain``, those that write ``OutcomeUnknown``.
    """

    def create(self, moving: Export) -> None:
        """Store a new one. Its id was never used before."""

    def get(self, export_id: str) -> Export | None:
        """The export, read consistently."""

    def save(self, moving: Export) -> Export:
        """Write it if its stored revision is still ``moving.revision``; answers it as written.

        Raises:
            VersionConflict: somebody else changed it first.
        """

    def list(self, limit: int, cursor: str | None) -> Page[Export]:
        """All exports, the newest first.

        Raises:
            InvalidCursor: see there.
        """
