"""Vend: one call to one manufacturer, under a lease, and what its answer means.

Nobody may cause a second token: a vend is taken up by one conditional write per attempt, only
that attempt may write its answer, and whoever finds a lease that has run out knows that the
outcome is unknown and lets the manufacturer's recovery class decide.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import (
    Payment,
    Status,
    Vend,
    VendState,
    messages_due,
    vend_done,
    vend_refused,
    vend_uncertain,
)
from chalicelib.services.follow_up import queue_vend
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.ports import (
    Clock,
    Journal,
    Manufacturers,
    OutcomeUnknown,
    Payments,
    Queues,
    SecretMissing,
    TryAgain,
    Vendor,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
    VersionConflict,
    issues_tokens,
)

WRITES_MAX = 8
UNREACHABLE_MAX = 6
RETRY_SECONDS_MAX = 900
LEASE_MARGIN = timedelta(seconds=10)


class OutOfTime(MwangaError):
    """The function would end before the manufacturer's time-out: the message must come back."""

    code = "out_of_time"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of one attempt: the state it puts the vend into, and why."""

    state: VendState
    value: str | None = None
    reason: str = ""
    retry_at: datetime | None = None

    def applied_to(self, payment: Payment, number: int, now: datetime) -> Payment:
        """The payment after this answer."""
        if self.state is VendState.DONE:
            return vend_done(payment, number, self.value, now)
        if self.state is VendState.REFUSED:
            return vend_refused(payment, number, self.reason, now, self.retry_at)
        return vend_uncertain(payment, number, self.reason, now)

    def is_in(self, payment: Payment, number: int) -> bool:
        """Whether the payment shows this very answer: a write whose confirmation was lost."""
        if payment.vend(number).state is not self.state:
            return False
        if self.state is not VendState.DONE:
            return True
        return any(t.vend == number and t.value == self.value for t in payment.tokens)


class VendTokens:
    """Takes up vends and writes their answers."""

    def __init__(
        self,
        *,
        payments: Payments,
        manufacturers: Manufacturers,
        queues: Queues,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._payments = payments
        self._manufacturers = manufacturers
        self._queues = queues
        self._clock = clock
        self._journal = journal
        self._pause = pause

    def vend(
        self, payment_id: str, number: int, attempt: int, manufacturer: str, deadline: datetime
    ) -> None:
        """Take up that attempt of that vend, if it is still to be made.

        Raises:
            OutOfTime: ``deadline`` is nearer than the manufacturer's time-out; nothing was done.
            TryAgain, OutcomeUnknown, QueueUnavailable: the message must come back.
        """
        vendor = self._vendor(manufacturer)
        now = self._clock.now()
        lease_until = now + timedelta(seconds=vendor.manufacturer.timeout_seconds) + LEASE_MARGIN
        if lease_until > deadline:
            raise OutOfTime(payment_id)
        payment = self._payments.lease(payment_id, number, attempt, lease_until)
        if payment is None:
            self._found_otherwise(payment_id, number)
            return
        self._call(vendor, payment, number, attempt)

    def _vendor(self, key: str) -> Vendor:
        module = self._manufacturers.get(key)
        assert not issues_tokens(module), key  # noqa: S101 - those vend at settlement
        return module

    # --- the call and its answer ------------------------------------------------------------

    def _call(self, vendor: Vendor, payment: Payment, number: int, attempt: int) -> None:
        started = self._clock.now()
        answer = self._ask(vendor, payment, payment.vend(number))
        took = self._clock.now() - started
        self._journal.count(
            "VendMilliseconds",
            took // timedelta(milliseconds=1),
            manufacturer=vendor.manufacturer.key,
        )
        self._write_answer(payment, number, attempt, answer)

    def _ask(self, vendor: Vendor, payment: Payment, vend: Vend) -> _Answer:
        """Make the one call."""
        try:
            value = vendor.vend(payment.payment_id, vend)
        except VendRefused as refused:
            return _Answer(VendState.REFUSED, reason=refused.code)
        except VendorUnreachable as unsent:
            return self._unsent(vend, unsent.code)
        except SecretMissing:
            return self._unsent(vend, "credentials_missing")
        except VendUncertain as uncertain:
            return _Answer(VendState.UNCERTAIN, reason=uncertain.detail)
        return _Answer(VendState.DONE, value=value)

    def _unsent(self, vend: Vend, reason: str) -> _Answer:
        retry_at = self._retry_at(vend.attempts)
        return _Answer(VendState.REFUSED, reason=reason, retry_at=retry_at)

    def _retry_at(self, attempts: int) -> datetime | None:
        """When a vend that was certainly not sent is tried again; ``None`` after the last try."""
        if attempts >= UNREACHABLE_MAX:
            return None
        seconds = min(30 * 2 ** (attempts - 1), RETRY_SECONDS_MAX)
        return self._clock.now() + timedelta(seconds=seconds)

    def _write_answer(self, payment: Payment, number: int, attempt: int, answer: _Answer) -> None:
        """Write the answer of attempt n, unless the vend has been resolved otherwise meanwhile.

        It may be a token that only this process has, so a store that is busy, or does not say
        whether it wrote, is asked again before the token is given up for a person to find.
        """
        for round_number in range(WRITES_MAX):
            try:
                if round_number:
                    payment = self._payments.get(payment.payment_id) or payment
                stored = self._with_answer(payment, number, attempt, answer)
            except (VersionConflict, TryAgain, OutcomeUnknown):
                self._pause(jitter_seconds(round_number))
                continue
            if stored is not None:
                self._after(stored, number)
            return
        raise TryAgain(payment.payment_id)

    def _with_answer(
        self, payment: Payment, number: int, attempt: int, answer: _Answer
    ) -> Payment | None:
        """The payment with that answer, written now or before; ``None``: it came too late."""
        if answer.is_in(payment, number):
            return payment
        if _still_awaits(payment.vend(number), attempt):
            return self._payments.save(answer.applied_to(payment, number, self._clock.now()))
        if answer.state is not VendState.UNCERTAIN:  # else it says nothing
            self._note_late(payment, number)
        return None

    def _note_late(self, payment: Payment, number: int) -> None:
        """An answer to a vend that a person has resolved: an event and an alarm, no SMS."""
        self._journal.event("late_answer", payment_id=payment.payment_id, vend=number)
        self._journal.count("LateAnswers", manufacturer=payment.vend(number).manufacturer)
        self._payments.save(
            payment.with_event(self._clock.now(), "late_answer", reason=f"vend {number}")
        )

    def _after(self, payment: Payment, number: int) -> None:
        """Queue what the answer calls for."""
        vend = payment.vend(number)
        self._journal.event(
            f"vend_{vend.state.value}",
            payment_id=payment.payment_id,
            vend=number,
            attempt=vend.attempts,
            status=payment.status.value,
        )
        self._journal.count("Vends", manufacturer=vend.manufacturer, outcome=vend.state.value)
        if payment.status is Status.HELD:
            self._journal.count("Held", reason=payment.reason or "")
        self._queue_what_follows(payment, vend)

    def _queue_what_follows(self, payment: Payment, vend: Vend) -> None:
        """Of this vend only: the others have messages of their own."""
        if vend.retry_at is not None:
            queue_vend(self._queues, payment.payment_id, vend, self._clock.now())
        self._queue_message(payment, vend)

    def _queue_message(self, payment: Payment, vend: Vend) -> None:
        """The SMS of a finished vend; of an unfinished one that a person must see, the word."""
        due = messages_due(payment)
        if vend.state is VendState.DONE:
            due = tuple(n for n in due if n == vend.number)
        else:
            due = tuple(n for n in due if n > len(payment.vends))
        for number in due:
            self._queues.message(payment.payment_id, number, payment.customer_id)

    # --- a message that comes to a vend that is not there to be taken up ------------------------

    def _found_otherwise(self, payment_id: str, number: int) -> None:
        payment = self._payments.get(payment_id)
        if payment is None or number > len(payment.vends):
            self._journal.event("vend_missing", payment_id=payment_id, vend=number)
            return
        vend = payment.vend(number)
        if vend.state is VendState.CALLING:
            self._found_calling(payment, vend)
        else:
            self._queue_what_follows(payment, vend)

    def _found_calling(self, payment: Payment, vend: Vend) -> None:
        """Another worker has it: while its lease runs, come back later; after it, nobody knows."""
        now = self._clock.now()
        if vend.lease_until is not None and now <= vend.lease_until:
            queue_vend(self._queues, payment.payment_id, vend, now)
            return
        unknown = _Answer(VendState.UNCERTAIN, reason="no answer was recorded")
        self._write_answer(payment, vend.number, vend.attempts, unknown)


def _still_awaits(vend: Vend, attempt: int) -> bool:
    """Attempt n may write while nobody has resolved the vend, also after it became uncertain."""
    return vend.attempts == attempt and vend.state in (VendState.CALLING, VendState.UNCERTAIN)
