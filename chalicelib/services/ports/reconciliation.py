"""The proof of the books as it is kept: the report of one pass over all customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from chalicelib.services.ports.records import Entry, Page


class PassState(StrEnum):
    """Where a pass is."""

    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class ReportedDifference:
    """One thing that is wrong with a customer's books, as the report has it.

    ``wrong`` and ``ref`` are as in ``domain.books.Difference``; so are ``expected`` and ``found``,
    as text: minor units (exact, also a fraction), or a count for ``version``.
    """

    customer_id: str
    wrong: str
    ref: str
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One pass over all customers, and how far it is.

    ``run_id`` is when it started, as text: ids sort as the passes do. ``cursor`` is where in the
    list of customers it goes on. It has looked at so many ``customers``, whose ``versions`` and
    ``payments`` it counted; ``busy`` are those among them that changed all the time and so were
    left for the next pass. ``differences`` are the first of ``differences_count``.
    """

    run_id: str
    state: PassState
    started_at: datetime
    finished_at: datetime | None = None
    cursor: str | None = None
    customers: int = 0
    versions: int = 0
    payments: int = 0
    busy: int = 0
    differences_count: int = 0
    differences: tuple[ReportedDifference, ...] = ()
    revision: int = 1


class Reconciliations(Protocol):
    """The reports of all passes. Every write is conditional, so that no two workers both count."""

    def latest(self) -> Reconciliation | None:
        """The pass that was begun last, read consistently."""

    def begin(self, fresh: Reconciliation, after: Reconciliation | None) -> None:
        """Store a new pass, if ``after`` (``None``: none) is still the latest one.

        Raises:
            VersionConflict: somebody else has begun one.
            TryAgain, OutcomeUnknown: see there.
        """

    def save(self, reconciliation: Reconciliation) -> Reconciliation:
        """Write the pass if its stored revision is still ``reconciliation.revision``.

        Answers it with the revision that was written (one higher).

        Raises:
            VersionConflict: somebody else has gone on with it.
            TryAgain, OutcomeUnknown: see there.
        """

    def list(self, limit: int, cursor: str | None) -> Page[Reconciliation]:
        """Passes, newest first.

        Raises:
            InvalidCursor: see there.
        """


class Entries(Protocol):
    """Every change of an account that is not a payment."""

    def of_customer(self, customer_id: str) -> Sequence[Entry]:
        """All entries of that account by version, read consistently."""
