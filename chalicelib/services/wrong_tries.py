"""Wrong passwords are slowed down: for an e-mail, whether or not anybody has it, and by address.

After five wrong tries each further one makes everybody wait for that e-mail, 1, 2, 4 … 60
seconds: it stops guessing, and whoever guesses cannot lock the owner out for long. An address gets
fifty: an office behind one address mistypes more often than a person, and one that tries a few
passwords on many e-mails gets no further than one that tries many on one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from chalicelib.services.ports import (
    Clock,
    Journal,
    OutcomeUnknown,
    TryAgain,
    VersionConflict,
    WrongTries,
    WrongTriesStore,
)

FREE_TRIES = 5
FREE_TRIES_OF_AN_ADDRESS = 50
BLOCK_SECONDS_MAX = 60
FORGOTTEN_AFTER = timedelta(days=1)

_EMAIL, _ADDRESS = "email", "address"
_FREE = {_EMAIL: FREE_TRIES, _ADDRESS: FREE_TRIES_OF_AN_ADDRESS}


class SlowDown:
    """Counts wrong tries, and says who has to wait."""

    def __init__(self, *, wrong_tries: WrongTriesStore, clock: Clock, journal: Journal) -> None:
        self._wrong_tries = wrong_tries
        self._clock = clock
        self._journal = journal

    def known(self, email: str, address: str) -> Sequence[WrongTries]:
        """The wrong tries of late for that e-mail, and from that address."""
        now = self._clock.now()
        found = self._wrong_tries.of([_key(_EMAIL, email), _key(_ADDRESS, address)])
        return [tries for tries in found if tries.forget_at > now]

    def must_wait(self, known: Sequence[WrongTries]) -> bool:
        """Whether nobody may try just now, the right password included."""
        now = self._clock.now()
        return any(now < tries.blocked_until for tries in known)

    def count(self, email: str, address: str, known: Sequence[WrongTries]) -> None:
        """Count one more wrong try. Tries at the same time count once: they were as slow."""
        by_key = {tries.whose: tries for tries in known}
        for kind, value in ((_EMAIL, email), (_ADDRESS, address)):
            key = _key(kind, value)
            try:
                self._wrong_tries.save(self._one_more(key, kind, by_key.get(key)))
            except (VersionConflict, TryAgain, OutcomeUnknown):
                continue
        self._journal.count("FailedLogIns")

    def forgive(self, email: str, known: Sequence[WrongTries]) -> None:
        """Forget the wrong tries of whoever has just proved who they are."""
        key = _key(_EMAIL, email)
        if any(tries.whose == key for tries in known):
            self._wrong_tries.forget(key)

    def _one_more(self, key: str, kind: str, before: WrongTries | None) -> WrongTries:
        now = self._clock.now()
        tries = (before.tries if before else 0) + 1
        seconds = 0
        if tries >= _FREE[kind]:
            seconds = min(2 ** min(tries - _FREE[kind], 10), BLOCK_SECONDS_MAX)
        return WrongTries(
            whose=key,
            tries=tries,
            blocked_until=now + timedelta(seconds=seconds),
            forget_at=now + FORGOTTEN_AFTER,
            revision=before.revision if before else 0,
        )


def _key(kind: str, value: str) -> str:
    return f"{kind}#{hashlib.sha256(value.encode()).hexdigest()}"
