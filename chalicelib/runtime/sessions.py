"""Sessions with those who want a log-in: kept while they are good, renewed once when refused.

A session is kept in the process, so that most calls need no log-in. It is dropped a little before
it ends, when it is refused, and when the credentials change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

SPARE = timedelta(seconds=60)
"""So long before its end a session is renewed, at most: it is not to end during a call."""

LIFETIME_MAX = timedelta(hours=12)
"""A session whose end is not told, or lies far away, is renewed after this."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """What a log-in gave: the token, and for how long it is good, where that was said."""

    token: str
    lifetime: timedelta | None = None


class SessionRefused(Exception):
    """The session is not taken (any more): nothing was done with it."""


class Sessions:
    """Keeps the session with one other side."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._session: Session | None = None
        self._ends = datetime.min.replace(tzinfo=UTC)
        self._credentials = ""

    def call(self, credentials: str, log_in: Callable[[], Session], work: Callable[[str], T]) -> T:
        """What ``work`` answers, called with the session's token; once more with a new session
        where it raises ``SessionRefused``: then nothing was done.

        ``credentials`` tell whether they are those of the session that is kept.

        Raises:
            SessionRefused: one that was given a moment ago; whatever ``log_in`` and ``work`` raise.
        """
        kept = self._kept(credentials)
        if kept is not None:
            try:
                return work(kept.token)
            except SessionRefused:
                self._session = None
        try:
            return work(self._new(credentials, log_in).token)
        except SessionRefused:
            self._session = None
            raise

    def _kept(self, credentials: str) -> Session | None:
        good = self._credentials == credentials and self._now() < self._ends
        return self._session if good else None

    def _new(self, credentials: str, log_in: Callable[[], Session]) -> Session:
        session = log_in()
        lifetime = min(session.lifetime or LIFETIME_MAX, LIFETIME_MAX)
        self._session, self._credentials = session, credentials
        self._ends = self._now() + lifetime - min(SPARE, lifetime / 4)
        return session
