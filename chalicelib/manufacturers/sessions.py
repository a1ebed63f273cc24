"""Sessions with vendors that want a log-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

from chalicelib.manufacturers.answers import ask, fields_of, require_success
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.sessions import Session, SessionRefused
from chalicelib.runtime.sessions import Sessions as KeptSessions
from chalicelib.services.ports import VendorUnreachable, VendRefused, VendUncertain

LOG_IN_SECONDS_MAX = 8
LOG_IN_REFUSED = (400, 401, 403)
"""The statuses by which a vendor says that it does not know us."""

T = TypeVar("T")


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


class Sessions(KeptSessions):
    """Keeps the session with one vendor."""

    def call(self, credentials: str, log_in: Callable[[], Session], work: Callable[[str], T]) -> T:
        """See there.

        Raises:
            VendRefused: a session that was given a moment ago is refused
                (``authentication_failed``); whatever ``log_in`` and ``work`` raise.
        """
        try:
            return super().call(credentials, log_in, work)
        except SessionRefused:
            raise VendRefused("authentication_failed", "a new session is refused") from None
