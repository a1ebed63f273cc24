"""What can go wrong at the store and the queues: one type per thing.

"Condition failed", "outcome unknown" and "refused" are never the same exception."""

from __future__ import annotations

from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import Payment


class AlreadyThere(MwangaError):
    """A payment of that id is stored already; ``existing`` is how it stands."""

    code = "already_there"

    def __init__(self, existing: Payment) -> None:
        super().__init__(existing.payment_id)
        self.existing = existing


class VersionConflict(MwangaError):
    """Somebody else changed the item first: reload, recompute, try again."""

    code = "version_conflict"


class ConditionFailed(MwangaError):
    """A condition on another item of the write did not hold. ``what`` names that item."""

    code = "condition_failed"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class TryAgain(MwangaError):
    """Nothing was written because the store is busy (throttled, conflict): try again later."""

    code = "try_again"


class OutcomeUnknown(MwangaError):
    """The store did not say whether the write happened: read before anything else."""

    code = "outcome_unknown"


class QueueUnavailable(MwangaError):
    """The queue did not take the message, or did not say so: whoever sends must send again."""

    code = "try_again"


class SecretMissing(MwangaError):
    """A secret that this work needs is not in the secret store, or is not in its agreed form."""

    code = "try_again"


class NameTaken(MwangaError):
    """Another thing in the same list has that name (case and spacing aside)."""

    code = "name_taken"


class InUse(MwangaError):
    """Something still belongs to it, so it cannot be deleted."""

    code = "in_use"


class InvalidCursor(MwangaError):
    """The cursor of a list was not made by that list."""

    code = "invalid_cursor"
