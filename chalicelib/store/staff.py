"""Staff and their log-ins."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.services.ports import NameTaken, Session, StaffMember, VersionConflict
from chalicelib.store.dynamodb import ConditionUnmet, delete, find, put
from chalicelib.store.models import SessionRow, StaffRow


class DynamoStaff:
    """The port ``Staff`` on DynamoDB."""

    def get(self, email: str) -> StaffMember | None:
        """The member, read consistently."""
        row = find(StaffRow, email.casefold())
        return row.value() if row else None

    def create(self, member: StaffMember) -> None:
        """Store a new member.

        Raises:
            NameTaken, TryAgain, OutcomeUnknown: see there.
        """
        try:
            put(_row(member), StaffRow.email.does_not_exist())
        except ConditionUnmet as unmet:
            raise NameTaken from unmet

    def save(self, member: StaffMember) -> StaffMember:
        """Write the member if the stored revision is still ``member.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = replace(member, revision=member.revision + 1)
        try:
            put(_row(written), StaffRow.revision == member.revision)
        except ConditionUnmet as unmet:
            raise VersionConflict from unmet
        return written


def _row(member: StaffMember) -> StaffRow:
    return StaffRow.of(replace(member, email=member.email.casefold()))


class DynamoSessions:
    """The port ``Sessions`` on DynamoDB."""

    def get(self, token_hash: str) -> Session | None:
        """The session, read consistently; it may have expired."""
        row = find(SessionRow, token_hash)
        return row.value() if row else None

    def put(self, session: Session) -> None:
        """Store a session.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        put(SessionRow.of(session))

    def delete(self, token_hash: str) -> None:
        """Forget a session; no error where there is none.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        delete(SessionRow(token_hash=token_hash))
