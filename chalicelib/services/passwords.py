"""Passwords: kept as slow, salted hashes; wrong tries are slowed down.

The one part of logging in that another identity provider would replace: it implements
``Identities``, and nothing else knows how a password is checked.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from chalicelib.domain.errors import FieldError
from chalicelib.services.ports import Clock, Journal, Staff, StaffMember, VersionConflict
from chalicelib.services.staff import EMAIL_LENGTH_MAX, InvalidCredentials

PASSWORD_LENGTH_MIN = 12
PASSWORD_LENGTH_MAX = 200

FREE_TRIES = 5
BLOCK_MAX = timedelta(seconds=60)
"""After five wrong tries each further one makes everybody wait twice as long, up to a minute: it
stops guessing, and whoever guesses cannot lock the owner out for long."""

_COST, _BLOCK_SIZE, _PARALLEL, _KEY_BYTES, _SALT_BYTES = 2**14, 8, 1, 32, 16


class StoredPasswords:
    """Checks passwords against the table of staff."""

    def __init__(self, *, staff: Staff, clock: Clock, journal: Journal) -> None:
        self._staff = staff
        self._clock = clock
        self._journal = journal

    def create(
        self, email: str, password: str, roles: Sequence[str], *, must_change: bool = False
    ) -> StaffMember:
        """A new member of staff.

        Raises:
            FieldError: on ``email`` or ``password``.
            NameTaken: the e-mail is taken.
        """
        email = email.strip().casefold()
        if "@" not in email or len(email) > EMAIL_LENGTH_MAX or not email.isprintable():
            raise FieldError("email", "must be an e-mail address")
        _check_new(password, "password")
        member = StaffMember(
            email, hashed(password), tuple(roles), must_change_password=must_change
        )
        self._staff.create(member)
        return member

    def check(self, email: str, password: str) -> StaffMember:
        """The member with that e-mail and that password.

        Whatever is wrong, the work, the time and the answer are the same.

        Raises:
            InvalidCredentials: no such member, another password, a member who has left, or too
                many wrong tries just before.
        """
        email = email.strip()
        member = self._staff.get(email) if email else None
        fits = matches(password, member.password_hash if member else _NOBODYS_HASH)
        if member is None or not member.active or self._is_blocked(member):
            self._journal.count("FailedLogIns")
            raise InvalidCredentials
        if not fits:
            self._count_failure(member)
            raise InvalidCredentials
        return self._forgiven(member)

    def change(self, member: StaffMember, new_password: str) -> StaffMember:
        """Give a member, who has just proved the old one, another password.

        Raises:
            FieldError: on ``new_password``.
            VersionConflict: somebody else changed the member first.
        """
        _check_new(new_password, "new_password")
        if matches(new_password, member.password_hash):
            raise FieldError("new_password", "must not be the old one")
        changed = replace(member, password_hash=hashed(new_password), must_change_password=False)
        return self._staff.save(changed)

    def _is_blocked(self, member: StaffMember) -> bool:
        return member.blocked_until is not None and self._clock.now() < member.blocked_until

    def _count_failure(self, member: StaffMember) -> None:
        """Count one more wrong try. Tries at the same time count once: they were as slow."""
        failures = member.failed_logins + 1
        blocked_until = None
        if failures >= FREE_TRIES:
            seconds = min(2 ** min(failures - FREE_TRIES, 10), BLOCK_MAX.total_seconds())
            blocked_until = self._clock.now() + timedelta(seconds=seconds)
        self._journal.event("log_in_failed", failures=failures)
        self._journal.count("FailedLogIns")
        try:
            self._staff.save(replace(member, failed_logins=failures, blocked_until=blocked_until))
        except VersionConflict:
            return

    def _forgiven(self, member: StaffMember) -> StaffMember:
        """The member, without the wrong tries before."""
        if not member.failed_logins:
            return member
        try:
            return self._staff.save(replace(member, failed_logins=0, blocked_until=None))
        except VersionConflict:  # they are forgiven at the next log-in
            return member


def hashed(password: str) -> str:
    """A salted hash of the password, as it is stored."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt${b64encode(salt).decode()}${b64encode(_scrypt(password, salt)).decode()}"


def matches(password: str, password_hash: str) -> bool:
    """Whether it is the password of that hash; the time it takes does not tell."""
    _, salt, key = password_hash.split("$")
    return hmac.compare_digest(_scrypt(password, b64decode(salt)), b64decode(key))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=_COST, r=_BLOCK_SIZE, p=_PARALLEL, dklen=_KEY_BYTES
    )


_NOBODYS_HASH = f"scrypt${'A' * 24}${b64encode(bytes(_KEY_BYTES)).decode()}"
"""What an unknown e-mail's password is compared with: no password has this hash."""


def _check_new(password: str, field: str) -> None:
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise FieldError(
            field, f"must have {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
        )
