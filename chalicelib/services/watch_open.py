"""Watch open payments: how many there are, how long the oldest waits, what is held and why.

The numbers are of this moment, told also when they are nought, so that silence means that nobody
has looked. Each look reads all open payments, so there are few looks and each is bounded.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from chalicelib.domain.payment import Payment, RefundState, Status
from chalicelib.services.ports import Clock, Journal, Payments

EVERY = timedelta(minutes=5)
PAYMENTS_MAX = 2000
"""So many are read at most, in one look. Where there are more, the numbers are too low."""

_SPARE = timedelta(seconds=10)
"""A schedule is not exact to the second; a look must not wait for the run after the next."""


class WatchOpen:
    """Tells how open payments stand, every five minutes."""

    def __init__(self, *, payments: Payments, clock: Clock, journal: Journal) -> None:
        self._payments = payments
        self._clock = clock
        self._journal = journal
        self._looked_at: datetime | None = None

    def look(self) -> None:
        """Look at all open payments and tell of them, if this process has not done so just now.

        Raises:
            TryAgain: the store cannot tell now; nothing was told.
        """
        now = self._clock.now()
        if self._looked_at is not None and now - self._looked_at < EVERY - _SPARE:
            return
        payments = self._payments.all_open(PAYMENTS_MAX)
        self._looked_at = now
        if len(payments) >= PAYMENTS_MAX:
            self._journal.event("open_payments_not_all_read", read=len(payments))
        self._tell_waiting([at for p in payments if (at := waits_for_us_since(p)) is not None], now)
        self._tell_held([p for p in payments if p.status is Status.HELD], now)

    def _tell_waiting(self, since: list[datetime], now: datetime) -> None:
        self._journal.gauge("OpenPayments", len(since))
        self._journal.gauge("OldestOpenSeconds", _seconds(min(since, default=now), now))

    def _tell_held(self, held: list[Payment], now: datetime) -> None:
        since = min(map(held_since, held), default=now)
        self._journal.gauge("HeldPayments", len(held))
        self._journal.gauge("OldestHeldSeconds", _seconds(since, now))
        for reason, count in Counter(payment.reason or "" for payment in held).items():
            self._journal.gauge("HeldPayments", count, reason=reason)


def waits_for_us_since(payment: Payment) -> datetime | None:
    """Since when a payment waits for this system; ``None``: for its payer, its provider or a
    person.

    What a person decided about it, or what else happened to it, begins its time anew.
    """
    if payment.status in (Status.PENDING, Status.HELD):
        return None
    if any(refund.state is RefundState.ACCEPTED for refund in payment.refunds):
        return None
    times = [payment.received_at, *(event.at for event in payment.events)]
    if payment.status is Status.REFUND_DUE and payment.refund_at is not None:
        times.append(payment.refund_at)  # until then a person may assign it
    return max(times)


def held_since(payment: Payment) -> datetime:
    """Since when a held payment waits for a person."""
    times = [event.at for event in payment.events if event.what == "held"]
    return max(times, default=payment.received_at)


def _seconds(since: datetime, now: datetime) -> int:
    return max(0, int((now - since).total_seconds()))
