"""Registrations from the field."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.services.ports import (
    ConditionFailed,
    FieldRegistration,
    Page,
    RegistrationStatus,
)
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import ConditionUnmet, find, put, put_next_revision, reading
from chalicelib.store.models import FieldRegistrationRow

_BY_STATUS = Listing(
    "registrations",
    FieldRegistrationRow.by_status.query,
    FieldRegistrationRow.status,
    (FieldRegistrationRow.posted_at, FieldRegistrationRow.registration_id),
)


class DynamoFieldRegistrations:
    """The port ``FieldRegistrations`` on DynamoDB."""

    def create(self, registration: FieldRegistration) -> None:
        """Store a new one.

        Raises:
            ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        new = FieldRegistrationRow.registration_id.does_not_exist()
        try:
            put(FieldRegistrationRow.of(registration), new)
        except ConditionUnmet as unmet:
            raise ConditionFailed("registration") from unmet

    def get(self, registration_id: str) -> FieldRegistration | None:
        """The registration, read consistently.

        Raises:
            TryAgain: see there.
        """
        row = find(FieldRegistrationRow, registration_id)
        return row.value() if row else None

    def save(self, registration: FieldRegistration) -> FieldRegistration:
        """Write it if its stored revision is still ``registration.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        return put_next_revision(FieldRegistrationRow, registration, registration.registration_id)

    def list(
        self, status: RegistrationStatus, limit: int, cursor: str | None
    ) -> Page[FieldRegistration]:
        """Those in that status, the oldest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _BY_STATUS.part(status, limit, cursor)
        return Page([row.value() for row in rows], after)

    def of_customer(self, customer_id: str) -> Sequence[FieldRegistration]:
        """Those that became this customer. From an index: a moment behind at most.

        Raises:
            TryAgain: see there.
        """
        rows = reading(lambda: tuple(FieldRegistrationRow.by_customer.query(customer_id)))
        return [row.value() for row in rows]
