"""Staff: who may log in, and who somebody is that shows a session's token."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.services.ports import Clock, Journal, Session, Sessions, TryAgain
from chalicelib.services.wrong_tries import SlowDown

SESSION_OFFICE = timedelta(hours=12)
SESSION_FIELD = timedelta(days=60)
"""The app loses what it has not sent yet when its token expires, so field staff get a long one."""

TRUSTED_FOR = timedelta(seconds=60)
"""For so long after they were looked up, a session's roles count while they cannot be."""

TOKEN_BYTES = 32
PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 200


class Role(StrEnum):
    """What somebody may do. An admin may do everything, except register meters."""

    ADMIN = "admin"
    OFFICE = "office"
    FIELD = "field"
    AGENT = "agent"
    OPERATIONS = "operations"
    FINANCE = "finance"


class InvalidCredentials(MwangaError):
    """The e-mail or the password is wrong. Which of them, nobody is told."""

    code = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("The e-mail or the password is wrong. After several tries, wait a minute.")


class PasswordChangeRequired(MwangaError):
    """The password is right, but it was given by somebody else: it must be changed first."""

    code = "password_change_required"

    def __init__(self) -> None:
        super().__init__("Choose a password of your own: POST /auth/password.")


class NoRoles(MwangaError):
    """Somebody is who they say, and is in none of the groups that are roles."""

    code = "forbidden"

    def __init__(self) -> None:
        super().__init__("You have no role yet. Ask whoever manages the staff for one.")


class Unauthorized(MwangaError):
    """There is no session of that token (any more)."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("Log in: the token is missing, unknown or has expired.")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is. ``username`` stays the same when the e-mail changes."""

    username: str
    email: str
    roles: tuple[str, ...]


class Identities(Protocol):
    """Who the staff are, and as what they may act: kept outside, from a console.

    Every method may raise ``TryAgain``: it cannot be asked now.
    """

    def check(self, email: str, password: str) -> Identity:
        """Who has that e-mail and that password.

        Raises:
            InvalidCredentials: nobody, or somebody who may not log in (any more).
            PasswordChangeRequired: see there.
        """

    def change(self, email: str, password: str, new_password: str) -> Identity:
        """Give whoever has that e-mail and that password another password.

        Raises:
            InvalidCredentials: as in ``check``.
            FieldError: on ``new_password``: it is not taken.
        """

    def roles_now(self, username: str) -> tuple[str, ...] | None:
        """The roles that somebody has now; ``None`` for one who may not log in any more."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A new session. ``token`` is shown this once; only its hash is stored."""

    token: str
    session: Session
    expires_in_seconds: int


class LogIn:
    """Lets staff in, and knows them again.

    ``check_every`` says after how long a session's roles are looked up anew.
    """

    def __init__(
        self,
        *,
        identities: Identities,
        slow_down: SlowDown,
        sessions: Sessions,
        check_every: timedelta,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._identities = identities
        self._slow_down = slow_down
        self._sessions = sessions
        self._check_every = check_every
        self._clock = clock
        self._journal = journal

    # --- in and out ---------------------------------------------------------------------------

    def log_in(self, email: str, password: str, *, address: str) -> LoggedIn:
        """A new session for whoever has that e-mail and that password.

        Raises:
            InvalidCredentials, PasswordChangeRequired, NoRoles: see there.
            TryAgain: who they are cannot be asked now.
        """
        return self._begin(self._proved(self._identities.check, email, password, address))

    def change_password(
        self, email: str, password: str, new_password: str, *, address: str
    ) -> LoggedIn:
        """Change the password, and begin a session with the new one.

        Raises:
            InvalidCredentials, NoRoles: see there.
            FieldError: on ``new_password``.
            TryAgain: who they are cannot be asked now.
        """
        _check_new(password, new_password)

        def change(email: str, password: str) -> Identity:
            return self._identities.change(email, password, new_password)

        identity = self._proved(change, email, password, address)
        self._journal.event("password_changed", email=identity.email)
        return self._begin(identity)

    def log_out(self, token: str) -> None:
        """End the session of that token."""
        self._sessions.delete(_hash(token))

    def _proved(
        self, ask: Callable[[str, str], Identity], email: str, password: str, address: str
    ) -> Identity:
        """Who has that e-mail and that password, by ``ask``; wrong tries are slowed down."""
        email = email.strip().casefold()
        known = self._slow_down.known(email, address)
        if self._slow_down.must_wait(known) or not email or not password:
            raise InvalidCredentials
        try:
            identity = ask(email, password)
        except InvalidCredentials:
            self._slow_down.count(email, address, known)
            raise
        self._slow_down.forgive(email, known)
        return identity

    def _begin(self, identity: Identity) -> LoggedIn:
        if not identity.roles:
            raise NoRoles
        token = secrets.token_urlsafe(TOKEN_BYTES)
        # Only the app, and only field staff use it, needs a session that lasts for weeks.
        only_field = set(identity.roles) == {Role.FIELD}
        lasts = SESSION_FIELD if only_field else SESSION_OFFICE
        now = self._clock.now()
        session = Session(
            token_hash=_hash(token),
            username=identity.username,
            email=identity.email,
            roles=identity.roles,
            expires_at=now + lasts,
            checked_at=now,
        )
        self._sessions.put(session)
        self._journal.event("logged_in", email=identity.email)
        return LoggedIn(token, session, int(lasts.total_seconds()))

    # --- known again --------------------------------------------------------------------------

    def who(self, token: str) -> Session:
        """The session of that token, with the roles that its owner has, or had a moment ago.

        Raises:
            Unauthorized: there is none, it has expired, or its owner may not log in any more.
            TryAgain: for over a minute nobody could be asked which roles its owner has.
        """
        session = self._sessions.get(_hash(token))
        now = self._clock.now()
        if session is None or session.expires_at <= now:
            raise Unauthorized
        if now - session.checked_at < self._check_every:
            return session
        return self._checked(session)

    def _checked(self, session: Session) -> Session:
        """The session with its owner's present roles.

        One failed look-up must not turn field staff away, for their app forgets what it is
        refused; but whoever was shut out is so within a minute.
        """
        now = self._clock.now()
        try:
            roles = self._identities.roles_now(session.username)
        except TryAgain:
            if now - session.checked_at < TRUSTED_FOR:
                return session
            raise
        if roles is None:
            self._sessions.delete(session.token_hash)
            self._journal.event("session_ended", email=session.email)
            raise Unauthorized
        checked = replace(session, roles=roles, checked_at=now)
        if not self._sessions.renew(checked):  # logged out at this very moment
            raise Unauthorized
        return checked


def _check_new(password: str, new_password: str) -> None:
    if not PASSWORD_LENGTH_MIN <= len(new_password) <= PASSWORD_LENGTH_MAX:
        raise FieldError(
            "new_password",
            f"must have {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters",
        )
    if new_password == password:
        raise FieldError("new_password", "must not be the old one")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
