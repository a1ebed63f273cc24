"""Log-ins, and wrong tries at logging in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chalicelib.services.ports import Session, VersionConflict, WrongTries
from chalicelib.store.dynamodb import ConditionUnmet, delete, find, find_all, put
from chalicelib.store.models import SessionRow, WrongTriesRow


class DynamoWrongTries:
    """The port ``WrongTriesStore`` on DynamoDB."""

    def of(self, whose: Sequence[str]) -> Sequence[WrongTries]:
        """Those that are known, read consistently in one request.

        Raises:
            TryAgain: see there.
        """
        found = find_all(*((WrongTriesRow, each) for each in whose))
        return [row.value() for row in found.values()]

    def save(self, tries: WrongTries) -> None:
        """Write them if their stored revision is still ``tries.revision``, or 0 and none are.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = replace(tries, revision=tries.revision + 1)
        condition = (
            WrongTriesRow.revision == tries.revision
            if tries.revision
            else WrongTriesRow.whose.does_not_exist()
        )
        try:
            put(WrongTriesRow.of(written), condition)
        except ConditionUnmet as unmet:
            raise VersionConflict from unmet

    def forget(self, whose: str) -> None:
        """Forget them; no error where there are none.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        delete(WrongTriesRow(whose=whose))


class DynamoSessions:
    """The port ``Sessions`` on DynamoDB."""

    def get(self, token_hash: str) -> Session | None:
        """The session, read consistently; it may have expired.

        Raises:
            TryAgain: see there.
        """
        row = find(SessionRow, token_hash)
        return row.value() if row else None

    def put(self, session: Session) -> None:
        """Store a new session.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        put(SessionRow.of(session))

    def renew(self, session: Session) -> bool:
        """Write what was checked of a session; false where it is not there any more.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        try:
            put(SessionRow.of(session), SessionRow.token_hash.exists())
        except ConditionUnmet:
            return False
        return True

    def delete(self, token_hash: str) -> None:
        """Forget a session; no error where there is none.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        delete(SessionRow(token_hash=token_hash))
