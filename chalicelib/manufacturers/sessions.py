"""Sessions with vendors that want a log-in: kept while they are good, renewed once when refused.

A session is kept in the process, so that most vends need one call. It is dropped a little before
it ends, when the vendor refuses it, and when the credentials change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from chalicelib.manufacturers.answers import ask, fields_of, require_success
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import VendorUnreachable, VendRefused, VendUncertain

SPARE = timedelta(seconds=60)
"""So long before its end a session is renewed: it is not to end during a call."""

LOG_IN_SECONDS_MAX = 8
LOG_IN_REFUSED = (400, 401, 403)
"""The statuses by which a vendor says that it does not know us."""

LIFETIME_MAX = timedelta(hours=12)
"""A session whose end the vendor does not tell, or tells far away, is renewed after this."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """What a log-in gave: the token, and for how long it is good, where the vendor says so."""

    token: str
    lifetime: timedelta | None = None


_BEARER = re.compile(r"[A-Za-z0-9._~+/-]{1,8192}=*")
_SECONDS_MAX = 10**9


def bearer(token: object, expires_in: object) -> Session:
    """The session that a log-in's answer names: a bearer (RFC 6750), and its seconds to live.

    Raises:
        VendUncertain: it cannot be used.
    """
    if not isinstance(token, str) or _BEARER.fullmatch(token) is None:
        raise VendUncertain("the log-in brought no bearer")
    if type(expires_in) is not int or expires_in <= 0:
        raise VendUncertain("the log-in brought no time of expiry")
    return Session(token, timedelta(seconds=min(expires_in, _SECONDS_MAX)))


def access_token(answer: Answer) -> Session:
    """The session in the answer of an OAuth 2.0 log-in (RFC 6749 section 5.1).

    Raises:
        VendUncertain: there is none that can be used.
    """
    given = fields_of(answer)
    return bearer(given.get("access_token"), given.get("expires_in"))


class SessionRefused(Exception):
    """The vendor does not take the session (any more): nothing was done with it."""


def log_in(
    url: str, headers: Mapping[str, str], body: bytes, read: Callable[[Answer], Session]
) -> Session:
    """Ask for a session, which ``read`` finds in the answer. Nothing else is asked for here.

    Raises:
        VendRefused: the vendor does not know us (``authentication_failed``).
        VendorUnreachable: it gave no clear answer.
    """
    try:
        answer = ask("POST", url, headers, LOG_IN_SECONDS_MAX, body)
        if answer.status in LOG_IN_REFUSED:
            raise VendRefused("authentication_failed")
        require_success(answer)
        return read(answer)
    except SessionRefused:
        raise VendRefused("authentication_failed") from None
    except VendUncertain as unclear:
        raise VendorUnreachable(f"the log-in failed: {unclear}") from unclear


class Sessions:
    """Keeps the session with one vendor."""

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
            VendRefused: a session that was given a moment ago is refused
                (``authentication_failed``); whatever ``log_in`` and ``work`` raise.
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
            raise VendRefused("authentication_failed", "a new session is refused") from None

    def _kept(self, credentials: str) -> Session | None:
        good = self._credentials == credentials and self._now() < self._ends
        return self._session if good else None

    def _new(self, credentials: str, log_in: Callable[[], Session]) -> Session:
        session = log_in()
        lifetime = min(session.lifetime or LIFETIME_MAX, LIFETIME_MAX)
        self._session, self._credentials = session, credentials
        self._ends = self._now() + lifetime - SPARE
        return session
