"""Find missing: ask providers for their own lists, and bring in what nobody told us of.

How far each list was read is remembered. It is read again a little, because a payment may be
listed later than it was made.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.services.ports import (
    Clock,
    Journal,
    Marks,
    ProviderRefused,
    Providers,
    ProviderUncertain,
    ProviderUnreachable,
    Queues,
    SecretMissing,
    lists_payments,
)
from chalicelib.services.take_listed import Found, TakeListed
from chalicelib.services.vend import OutOfTime

EVERY = timedelta(minutes=15)
AGAIN = timedelta(hours=1)
"""So much of a list is read again: payments may be listed late."""

LISTED_FOR = timedelta(hours=47)
"""No list goes further back: Safaricom's ends after 48 hours, and ours need no more."""

PART = timedelta(hours=1)
"""So much is read at once: after an outage the rest follows in messages of its own."""

SPARE = timedelta(seconds=35)
"""What must be left for the next page of a list, and to note what is in it."""


class FindMissing:
    """Reads providers' lists of all that was paid to us."""

    def __init__(
        self,
        *,
        providers: Providers,
        marks: Marks,
        take_listed: TakeListed,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._providers = providers
        self._marks = marks
        self._take_listed = take_listed
        self._queues = queues
        self._clock = clock
        self._journal = journal

    def queue_due(self) -> None:
        """Queue every list that was not read for a while."""
        for channel in self._providers.listing():
            read_until = self._marks.get(_mark(channel))
            if read_until is None or self._clock.now() - read_until >= EVERY:
                self._queues.listing(channel)

    def read(self, channel: str, deadline: datetime) -> int:
        """Read a provider's list from where it was left; answer how many payments were new.

        An answer that tells nothing leaves it as it is: it is read the next time.

        Raises:
            OutOfTime: too little time was left; it is read again from the same place.
            TryAgain, OutcomeUnknown, VersionConflict, QueueUnavailable: the message must come
                back.
        """
        provider = self._providers.get(channel)
        if not lists_payments(provider):
            return 0
        now = self._clock.now()
        read_until = self._marks.get(_mark(channel)) or now - LISTED_FOR
        since = max(read_until - AGAIN, now - LISTED_FOR)
        until = min(now, max(read_until, since) + PART)
        taken = 0
        try:
            for listed in provider.payments_between(since, until):
                if self._clock.now() + SPARE > deadline:
                    raise OutOfTime(channel)
                taken += self._take_listed.take(listed) is Found.TAKEN
        except (ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing) as failed:
            self._journal.event("list_not_read", channel=channel, reason=failed.detail)
            self._journal.count("ListsNotRead", channel=channel)
            return taken
        self._marks.set(_mark(channel), until)
        if until < now:
            self._queues.listing(channel)
        return taken


def _mark(channel: str) -> str:
    return f"listed#{channel}"
