"""Staff: who may log in, and who somebody is that shows a session's token."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.services.ports import Clock, Journal, Session, Sessions, Staff, StaffMember

SESSION_OFFICE = timedelta(hours=12)
SESSION_FIELD = timedelta(days=60)
"""The app loses what it has not sent yet when its token expires, so field staff get a long one."""

TOKEN_BYTES = 32
EMAIL_LENGTH_MAX = 254


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


class Unauthorized(MwangaError):
    """There is no session of that token (any more)."""

    code = "unauthorized"

    def __init__(self) -> None:
        super().__init__("Log in: the token is missing, unknown or has expired.")


class Identities(Protocol):
    """Who somebody is. The table of staff today; an identity provider may take its place."""

    def create(
        self, email: str, password: str, roles: Sequence[str], *, must_change: bool = False
    ) -> StaffMember:
        """A new member of staff.

        Raises:
            FieldError: on ``email`` or ``password``.
            NameTaken: the e-mail is taken.
        """

    def check(self, email: str, password: str) -> StaffMember:
        """The member with that e-mail and that password.

        Raises:
            InvalidCredentials: see there.
        """

    def change(self, member: StaffMember, new_password: str) -> StaffMember:
        """Give a member, who has just proved the old one, another password.

        Raises:
            FieldError: on ``new_password``.
            VersionConflict: somebody else changed the member first.
        """


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A new session. ``token`` is shown this once; only its hash is stored."""

    token: str
    session: Session
    expires_in_seconds: int


class LogIn:
    """Lets staff in, and knows them again."""

    def __init__(
        self,
        *,
        identities: Identities,
        staff: Staff,
        sessions: Sessions,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._identities = identities
        self._staff = staff
        self._sessions = sessions
        self._clock = clock
        self._journal = journal

    def create_staff(
        self, email: str, password: str, roles: Sequence[str], must_change: bool = False
    ) -> StaffMember:
        """A new member of staff with these roles.

        Raises:
            FieldError: on ``email``, ``password`` or ``roles``.
            NameTaken: the e-mail is taken.
        """
        if not roles or set(roles) - set(Role):
            raise FieldError("roles", f"must be one or more of {', '.join(Role)}")
        member = self._identities.create(email, password, roles, must_change=must_change)
        self._journal.event("staff_created", email=member.email, roles=member.roles)
        return member

    def log_in(self, email: str, password: str) -> LoggedIn:
        """A new session for whoever has that e-mail and that password.

        Raises:
            InvalidCredentials, PasswordChangeRequired: see there.
        """
        member = self._identities.check(email, password)
        if member.must_change_password:
            raise PasswordChangeRequired
        return self._begin(member)

    def change_password(self, email: str, password: str, new_password: str) -> LoggedIn:
        """Change the password, and begin a session with the new one.

        Raises:
            InvalidCredentials, VersionConflict: see there.
            FieldError: on ``new_password``.
        """
        member = self._identities.check(email, password)
        changed = self._identities.change(member, new_password)
        self._journal.event("password_changed", email=member.email)
        return self._begin(changed)

    def log_out(self, token: str) -> None:
        """End the session of that token."""
        self._sessions.delete(_hash(token))

    def who(self, token: str) -> Session:
        """The session of that token, with the roles that its member has now.

        Raises:
            Unauthorized: there is none, it has expired, or its member has left.
        """
        session = self._sessions.get(_hash(token))
        if session is None or session.expires_at <= self._clock.now():
            raise Unauthorized
        member = self._staff.get(session.email)
        if member is None or not member.active:
            raise Unauthorized
        return Session(session.token_hash, session.email, member.roles, session.expires_at)

    def _begin(self, member: StaffMember) -> LoggedIn:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        # Only the app, and only field staff use it, needs a session that lasts for weeks.
        only_field = set(member.roles) == {Role.FIELD}
        lasts = SESSION_FIELD if only_field else SESSION_OFFICE
        session = Session(_hash(token), member.email, member.roles, self._end(lasts))
        self._sessions.put(session)
        self._journal.event("logged_in", email=member.email)
        return LoggedIn(token, session, int(lasts.total_seconds()))

    def _end(self, lasts: timedelta) -> datetime:
        return self._clock.now() + lasts


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
