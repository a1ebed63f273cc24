"""Sweep: look at every open payment that has waited long enough, and queue it again.

Lost messages, crashed functions and emptied dead-letter queues are all healed here.
"""

from __future__ import annotations

from chalicelib.domain.payment import Payment, Status, put_off, swept, unfinished
from chalicelib.services.follow_up import queue_what_follows
from chalicelib.services.ports import (
    Catalogue,
    Clock,
    Journal,
    PauseKind,
    Payments,
    Queues,
    VersionConflict,
)

OPEN_SHARDS = 16
PAYMENTS_PER_SHARD_MAX = 25


class Sweep:
    """One bounded run over the index of open payments."""

    def __init__(
        self,
        *,
        payments: Payments,
        catalogue: Catalogue,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._payments = payments
        self._catalogue = catalogue
        self._queues = queues
        self._clock = clock
        self._journal = journal

    def sweep(self) -> int:
        """Look at what is due, oldest first in each shard; answer how many were looked at."""
        until = self._clock.now()
        looked_at = 0
        for shard in range(OPEN_SHARDS):
            for payment_id in self._payments.due(shard, until, PAYMENTS_PER_SHARD_MAX):
                looked_at += self._sweep_apart(payment_id)
        self._journal.count("Swept", looked_at)
        return looked_at

    def _sweep_apart(self, payment_id: str) -> int:
        """Look at one payment; whatever goes wrong, those behind it are not to wait for ever."""
        with self._journal.about(payment_id=payment_id):
            try:
                return self._sweep_one(payment_id)
            except Exception as error:
                self._journal.event(
                    "sweep_failed", payment_id=payment_id, error=type(error).__name__
                )
                self._journal.count("SweepFailures")
                return 0

    def _sweep_one(self, payment_id: str) -> int:
        payment = self._payments.get(payment_id)
        now = self._clock.now()
        if payment is None or payment.check_at is None or payment.check_at > now:
            return 0
        waits = self._waits_for_a_pause(payment)
        try:
            payment = self._payments.save(put_off(payment, now) if waits else swept(payment, now))
        except VersionConflict:
            return 0  # somebody is at work on it: that is progress
        if not waits:
            self._queue_again(payment)
        return 1

    def _waits_for_a_pause(self, payment: Payment) -> bool:
        """Whether all that is left to do is to call manufacturers that somebody has paused.

        Its messages come back by themselves every minute, so there is no need of more of them; and
        waiting for a person's word is not being stuck.
        """
        left = unfinished(payment.vends)
        if payment.status is not Status.VENDING or not left:
            return False
        pauses = self._catalogue.pauses()
        return all(pauses.of(PauseKind.MANUFACTURER, vend.manufacturer) for vend in left)

    def _queue_again(self, payment: Payment) -> None:
        """To the queue of its state; the number of the look makes the message a new one."""
        age = self._clock.now() - payment.received_at
        self._journal.event(
            "payment_swept",
            payment_id=payment.payment_id,
            status=payment.status.value,
            age_seconds=int(age.total_seconds()),
        )
        if payment.status is Status.RECEIVED:
            self._queues.settle(payment, deduplication=f"{payment.payment_id}.{payment.sweeps}")
        queue_what_follows(self._queues, payment, self._clock.now())
