"""Vend: one call to one manufacturer, under a lease, and what its answer means.

Nobody may cause a second token: a vend is taken up by one conditional write per attempt, only
that attempt may write its answer, and whoever finds a lease that has run out knows that the
outcome is unknown. Then the manufacturer's recovery class decides: the very same call is made
again (``repeatable``), the vend is looked up (``searchable``), or a person must tell (``opaque``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction

from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import InvariantBroken, MwangaError
from chalicelib.domain.payment import (
    Payment,
    Vend,
    VendState,
    messages_due,
    vend_again,
    vend_done,
    vend_refused,
    vend_uncertain,
)
from chalicelib.services.breaker import Breaker
from chalicelib.services.currencies import currency_of
from chalicelib.services.follow_up import queue_vend
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.ports import (
    Accounts,
    BusyDevices,
    Clock,
    Devices,
    Journal,
    Manufacturer,
    Manufacturers,
    OutcomeUnknown,
    Payments,
    Queues,
    RecoveryClass,
    SecretMissing,
    Sold,
    TryAgain,
    VendAbsent,
    Vendor,
    VendOrder,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
    VersionConflict,
    issues_tokens,
)

WRITES_MAX = 8
UNREACHABLE_MAX = 6
"""So often a manufacturer that is not reached is called for one vend before a person must look."""
REPEATS_MAX = 8
"""So often the same call is made before a person must look (repeatable manufacturers)."""
LOOKS_MAX = 12
"""So often a vend is looked up, over about an hour, before a person must look."""
REPLACEMENTS_MAX = 3
"""So often a vend that a search proves absent is replaced by a new one."""
RETRY_SECONDS_MAX = 900
LEASE_MARGIN = timedelta(seconds=10)
BUSY_FOR = timedelta(hours=1)
"""A device that nobody gives free, because its worker died, is free again after this."""
POSTPONED_SECONDS_MIN = 2
POSTPONED_SECONDS_MAX = 300
OWED_READINGS_MAX = 3


class OutOfTime(MwangaError):
    """The function would end before the manufacturer's time-out: the message must come back."""

    code = "out_of_time"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of one attempt: the state it puts the vend into, and why.

    ``void`` is what a search says that proves the vend absent: a new one takes its place.
    ``is_sale``: ``reference`` names a sale, and is not merely what was seen before the call.
    """

    state: VendState
    value: str | None = None
    reason: str = ""
    retry_at: datetime | None = None
    units: Fraction | None = None
    reference: str | None = None
    told_until: datetime | None = None
    is_sale: bool = True
    before: tuple[str, ...] = ()

    def applied_to(self, payment: Payment, number: int, now: datetime) -> Payment:
        """The payment after this answer."""
        match self.state:
            case VendState.DONE:
                return vend_done(
                    payment,
                    number,
                    self.value,
                    now,
                    before=self.before,
                    units=self.units,
                    reference=self.reference,
                    told_until=self.told_until,
                )
            case VendState.REFUSED:
                return vend_refused(payment, number, self.reason, now, self.retry_at)
            case VendState.VOID:
                absent = payment.with_event(now, "vend_absent", reason=self.reason)
                return vend_again(absent, number, now)
            case _:
                return vend_uncertain(
                    payment,
                    number,
                    self.reason,
                    now,
                    retry_at=self.retry_at,
                    reference=self.reference,
                )

    def is_news(self, vend: Vend) -> bool:
        """Whether it tells more of the vend than is known, be it only that there was a sale."""
        if self.state is VendState.UNCERTAIN:
            return self.is_sale and self.reference not in (None, vend.reference)
        return self.state in (VendState.DONE, VendState.REFUSED)

    def is_in(self, payment: Payment, number: int) -> bool:
        """Whether the payment shows this very answer: a write whose confirmation was lost."""
        vend = payment.vend(number)
        if (vend.state, vend.retry_at) != (self.state, self.retry_at):
            return False
        if self.reference not in (None, vend.reference):
            return False
        if self.state is VendState.DONE:
            return any(t.vend == number and t.value == self.value for t in payment.tokens)
        return True


class VendTokens:
    """Takes up vends and writes their answers."""

    def __init__(
        self,
        *,
        payments: Payments,
        accounts: Accounts,
        devices: Devices,
        busy_devices: BusyDevices,
        manufacturers: Manufacturers,
        breaker: Breaker,
        queues: Queues,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._payments = payments
        self._accounts = accounts
        self._devices = devices
        self._busy_devices = busy_devices
        self._manufacturers = manufacturers
        self._breaker = breaker
        self._queues = queues
        self._clock = clock
        self._journal = journal
        self._pause = pause

    def vend(
        self, payment_id: str, number: int, attempt: int, manufacturer: str, deadline: datetime
    ) -> None:
        """Take up that attempt of that vend, if it is still to be made; look up an uncertain one.

        Raises:
            OutOfTime: ``deadline`` is nearer than the manufacturer's time-out; nothing was done.
            TryAgain, OutcomeUnknown, QueueUnavailable: the message must come back.
        """
        vendor = self._vendor(manufacturer)
        stated = vendor.manufacturer
        call_takes = timedelta(seconds=stated.timeout_seconds) + LEASE_MARGIN
        if self._clock.now() + call_takes > deadline:
            raise OutOfTime(payment_id)
        wait = self._breaker.wait(manufacturer, int(call_takes.total_seconds()))
        if wait is not None:
            self._postpone(payment_id, number, wait)
            return
        if stated.one_at_a_time and not self._took_device(payment_id, number):
            return
        now = self._clock.now()
        payment = self._payments.lease(
            payment_id,
            number,
            attempt,
            called_at=now,
            lease_until=now + call_takes,
            again=stated.recovery is RecoveryClass.REPEATABLE,
        )
        if payment is None:
            self._found_otherwise(vendor, payment_id, number)
            return
        answer = self._ask(vendor, payment, payment.vend(number))
        self._write_answer(payment, number, attempt, answer)

    def _vendor(self, key: str) -> Vendor:
        module = self._manufacturers.get(key)
        assert not issues_tokens(module), key  # noqa: S101 - those vend at settlement
        return module

    # --- what has to wait ---------------------------------------------------------------------

    def _postpone(self, payment_id: str, number: int, wait: timedelta) -> None:
        """The manufacturer is left alone for now: an open vend waits with it.

        The wait is that of the stored circuit, a little longer for each so that they do not all
        come back in the same second.
        """
        payment = self._found(payment_id, number)
        if payment is None:
            return
        vend = payment.vend(number)
        if not _is_open(vend):
            self._finish(payment, vend)
            return
        spread = timedelta(seconds=jitter_seconds(POSTPONED_SPREAD))
        self._queue_later(payment, vend, wait + spread)

    def _took_device(self, payment_id: str, number: int) -> bool:
        """Whether the vend's device is free for it; else it comes back later.

        The longer a vend has waited, the longer it waits again: what it is told by is stored, so
        nothing that restarts begins anew.
        """
        payment = self._found(payment_id, number)
        if payment is None:
            return False
        vend = payment.vend(number)
        if not _is_open(vend):
            self._finish(payment, vend)
            return False
        now = self._clock.now()
        holder = _holder(payment, vend)
        if self._busy_devices.take(vend.serial_number, holder, now, now + BUSY_FOR):
            return True
        waited = now - (payment.settled_at or now)
        seconds = waited.total_seconds() / 2
        seconds = max(POSTPONED_SECONDS_MIN, min(seconds, POSTPONED_SECONDS_MAX))
        self._queue_later(payment, vend, timedelta(seconds=seconds))
        return False

    def _queue_later(self, payment: Payment, vend: Vend, wait: timedelta) -> None:
        self._journal.event(
            "vend_postponed",
            payment_id=payment.payment_id,
            vend=vend.number,
            seconds=int(wait.total_seconds()),
        )
        now = self._clock.now()
        at = max(now + wait, vend.retry_at or now)
        queue_vend(self._queues, payment.payment_id, vend, now, not_before=at)

    def _finish(self, payment: Payment, vend: Vend) -> None:
        """Let others have the device once nothing of it is in flight, and queue what follows."""
        stated = self._manufacturers.get(vend.manufacturer).manufacturer
        if stated.one_at_a_time and not _is_in_flight(vend):
            self._busy_devices.release(vend.serial_number, _holder(payment, vend))
        self._queue_what_follows(payment, vend)

    # --- the call -----------------------------------------------------------------------------

    def _ask(self, vendor: Vendor, payment: Payment, vend: Vend) -> _Answer:
        """Make the one call."""
        stated = vendor.manufacturer
        try:
            order = self._order(stated, payment, vend)
            if stated.switched:
                self._plan_look(order.vend)
            sold, told_until = self._sold(vendor, payment, order)
        except VendRefused as refused:
            return self._refused(vend, refused.code)
        except SecretMissing:
            return self._unsent(stated, vend, "credentials_missing")
        except (TryAgain, OutcomeUnknown, VendorUnreachable) as unsent:
            return self._unsent(stated, vend, unsent.code)
        except VendUncertain as uncertain:
            answer = self._uncertain(stated, vend, uncertain.detail)
            return replace(answer, reference=uncertain.seen, is_sale=False)
        return replace(self._answer_of(stated, vend, sold), told_until=told_until)

    def _plan_look(self, vend: Vend) -> None:
        """When a device that must be switched off is looked at: when its paid time ends.

        One that an operator locks is looked at no more: a look would switch it on again.
        """
        if vend.paid_until is not None:
            self._devices.look_by(vend.serial_number, vend.paid_until)
        elif vend.kind is VendKind.LOCK:
            device = self._devices.get(vend.serial_number)
            if device is not None and device.switch_off_at is not None:
                self._devices.look_again(vend.serial_number, device.switch_off_at, None)

    def _order(self, stated: Manufacturer, payment: Payment, vend: Vend) -> VendOrder:
        """What to ask for: for an absolute manufacturer, until when the device is owed its time."""
        currency = currency_of(payment.currency)
        if currency is None:
            raise InvariantBroken(f"{payment.payment_id} is in no currency")
        if stated.absolute:
            vend = self._as_owed(payment, vend)
        order = VendOrder(payment.payment_id, vend, currency)
        if stated.technical_required:
            device = self._devices.get(vend.serial_number)
            order = replace(order, technical=device.technical if device else {})
        return order

    def _sold(
        self, vendor: Vendor, payment: Payment, order: VendOrder
    ) -> tuple[Sold, datetime | None]:
        """Ask; an absolute manufacturer until it was told what the account says *after* the call.

        Answers what was sold, and until when the device was told to run.

        Two vends of one device may be called in any order. Each sets what the account says, so
        whoever comes last sets the latest date; and whoever finds that the account has moved on
        during the call sets it once more.
        """
        sold = self._called(vendor, order)
        if not vendor.manufacturer.absolute:
            return sold, None
        for _ in range(OWED_READINGS_MAX):
            try:
                owed = self._as_owed(payment, order.vend)
                if owed == order.vend:
                    return sold, owed.paid_until
                self._check_time(vendor.manufacturer, order.vend)
                order = replace(order, vend=owed)
                sold = self._called(vendor, order)
            except _NOT_SET_AGAIN as failed:  # it has been set once, so none of it is a clear no
                raise VendUncertain(f"set, but not as owed now: {failed.code}") from failed
        raise VendUncertain("the account did not stand still")

    def _check_time(self, stated: Manufacturer, vend: Vend) -> None:
        """That one more call fits into the lease."""
        ends_at = self._clock.now() + timedelta(seconds=stated.timeout_seconds)
        if vend.lease_until is None or ends_at > vend.lease_until:
            raise OutOfTime

    def _called(self, vendor: Vendor, order: VendOrder) -> Sold:
        stated = vendor.manufacturer
        with self._timed(stated), self._breaker.call(stated.key):
            return vendor.vend(order)

    def _as_owed(self, payment: Payment, vend: Vend) -> Vend:
        """The vend with what its device is owed now: the latest end of its paid time, or for good.

        Never less than what the vend itself was paid for: later payments only add to it.

        Raises:
            VendRefused: the device is not this customer's any more.
            TryAgain: the account cannot be read now.
        """
        account = self._accounts.get(payment.customer_id) if payment.customer_id else None
        record = account.device(vend.serial_number) if account else None
        if vend.kind is VendKind.LOCK:
            return vend
        if vend.kind is VendKind.UNLOCK and (record is None or not record.owned):
            return vend  # it is unlocked for good, whoever owns it now
        if record is None or not record.owned:
            raise VendRefused("device_moved", "the device has another owner now")
        if record.unlocked:
            return replace(vend, kind=VendKind.UNLOCK, paid_until=None)
        return replace(vend, kind=VendKind.TIME, paid_until=record.paid_until)

    @contextmanager
    def _timed(self, stated: Manufacturer) -> Iterator[None]:
        started = self._clock.now()
        try:
            yield
        finally:
            took = self._clock.now() - started
            milliseconds = took // timedelta(milliseconds=1)
            self._journal.count("VendMilliseconds", milliseconds, manufacturer=stated.key)

    # --- a vend that nobody knows about -------------------------------------------------------

    def _look_up(self, vendor: Vendor, payment: Payment, vend: Vend) -> _Answer:
        """Ask a searchable manufacturer what became of it. Asking has no effect."""
        stated = vendor.manufacturer
        try:
            order = self._order(stated, payment, vend)
            if stated.one_at_a_time:
                order = self._with_known_sales(order, payment.owner)
            with self._breaker.call(stated.key):
                sold = vendor.look_up(order)
        except VendAbsent:
            return self._absent(stated, payment, vend)
        except VendRefused as refused:
            return _Answer(VendState.REFUSED, reason=refused.code)
        except (VendorUnreachable, VendUncertain) as unknown:
            return self._uncertain(stated, vend, unknown.detail)
        except SecretMissing:
            return self._uncertain(stated, vend, "credentials_missing")
        return self._answer_of(stated, vend, sold)

    def _with_known_sales(self, order: VendOrder, owner: str) -> VendOrder:
        """The order with what the device was given by its owner's latest payments."""
        payments = self._payments.by_owner(owner, KNOWN_PAYMENTS, None).items
        serial_number = order.vend.serial_number
        tokens = (token for payment in payments for token in payment.tokens)
        vends = (vend for payment in payments for vend in payment.vends)
        return replace(
            order,
            known_tokens=frozenset(
                token.value
                for token in tokens
                if token.serial_number == serial_number and token.value is not None
            ),
            known_references=frozenset(
                vend.reference
                for vend in vends
                if vend.manufacturer == order.vend.manufacturer
                and vend.state is VendState.DONE
                and vend.reference is not None
            ),
        )

    def _absent(self, stated: Manufacturer, payment: Payment, vend: Vend) -> _Answer:
        """Not found. Once a call would surely show, that proves that nothing was vended."""
        called_at = vend.called_at or payment.received_at
        believed_at = called_at + timedelta(seconds=stated.absent_after_seconds)
        if self._clock.now() < believed_at:
            return self._uncertain(stated, vend, "not found yet", not_before=believed_at)
        if sum(_is_replaced(other, vend) for other in payment.vends) >= REPLACEMENTS_MAX:
            return _Answer(VendState.UNCERTAIN, reason="absent again and again")
        return _Answer(VendState.VOID, reason=f"vend {vend.number}")

    # --- what an answer means -----------------------------------------------------------------

    def _answer_of(self, stated: Manufacturer, vend: Vend, sold: Sold) -> _Answer:
        if not sold.delivered:
            answer = self._uncertain(stated, vend, "sold, not yet delivered")
            told = "" if answer.retry_at is not None else answer.reason
            return replace(answer, reference=sold.reference, reason=told)
        return _Answer(
            VendState.DONE,
            value=sold.value,
            before=sold.before,
            units=sold.units,
            reference=sold.reference,
        )

    def _refused(self, vend: Vend, reason: str) -> _Answer:
        """A clear no to this call, which says nothing about an earlier one that is in doubt."""
        state = VendState.UNCERTAIN if vend.in_doubt else VendState.REFUSED
        return _Answer(state, reason=reason)

    def _unsent(self, stated: Manufacturer, vend: Vend, reason: str) -> _Answer:
        """It was certainly not sent: it is tried again after 30 seconds, one, two … minutes.

        Where an earlier call is in doubt, it stays so.
        """
        if vend.in_doubt:
            return self._uncertain(stated, vend, reason)
        if vend.attempts >= UNREACHABLE_MAX:
            return _Answer(VendState.REFUSED, reason=reason)
        retry_at = self._later(30 * 2 ** (vend.attempts - 1))
        return _Answer(VendState.REFUSED, reason=reason, retry_at=retry_at)

    def _uncertain(
        self,
        stated: Manufacturer,
        vend: Vend,
        reason: str,
        not_before: datetime | None = None,
    ) -> _Answer:
        """Nobody knows, and the manufacturer's class says what comes next, if not a person."""
        retry_at: datetime | None = None
        if stated.recovery is RecoveryClass.REPEATABLE and vend.attempts < REPEATS_MAX:
            retry_at = self._later(5 * 2**vend.attempts)
        elif stated.recovery is RecoveryClass.SEARCHABLE:
            looks = vend.looks + 1 if vend.state is VendState.UNCERTAIN else 0
            if looks < LOOKS_MAX:
                retry_at = self._later(2 ** (looks + 1))
        if retry_at is not None and not_before is not None:
            # The last look before absence is believed should not miss that moment by far.
            retry_at = min(retry_at, max(not_before, self._later(2)))
        return _Answer(VendState.UNCERTAIN, reason=reason, retry_at=retry_at)

    def _later(self, seconds: int) -> datetime:
        return self._clock.now() + timedelta(seconds=min(seconds, RETRY_SECONDS_MAX))

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
        if answer.is_news(payment.vend(number)):
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
        self._journal.count("Vends", manufacturer=vend.manufacturer, outcome=vend.state.value)
        failed = vend.state in (VendState.REFUSED, VendState.UNCERTAIN)
        self._journal.count("VendFailures", int(failed), manufacturer=vend.manufacturer)
        self._finish(payment, vend)

    def _queue_what_follows(self, payment: Payment, vend: Vend) -> None:
        """Of this vend, and of the one in its place: the others have messages of their own."""
        now = self._clock.now()
        if vend.retry_at is not None:
            soon = now + timedelta(seconds=POSTPONED_SECONDS_MIN)
            queue_vend(self._queues, payment.payment_id, vend, now, not_before=soon)
        if vend.state is VendState.VOID and vend.closed:
            for other in payment.vends:
                if other.state is VendState.INTENDED:
                    queue_vend(self._queues, payment.payment_id, other, now)
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

    def _found(self, payment_id: str, number: int) -> Payment | None:
        """The payment as it stands, if it has such a vend."""
        payment = self._payments.get(payment_id)
        if payment is None or number > len(payment.vends):
            self._journal.event("vend_missing", payment_id=payment_id, vend=number)
            return None
        return payment

    def _found_otherwise(self, vendor: Vendor, payment_id: str, number: int) -> None:
        payment = self._found(payment_id, number)
        if payment is None:
            return
        vend = payment.vend(number)
        if vend.state is VendState.CALLING:
            self._found_calling(vendor, payment, vend)
        elif _is_to_be_looked_up(vendor.manufacturer, vend, self._clock.now()):
            answer = self._look_up(vendor, payment, vend)
            self._write_answer(payment, number, vend.attempts, answer)
        else:
            self._finish(payment, vend)

    def _found_calling(self, vendor: Vendor, payment: Payment, vend: Vend) -> None:
        """Another worker has it: while its lease runs, come back later; after it, nobody knows."""
        now = self._clock.now()
        if vend.lease_until is not None and now <= vend.lease_until:
            queue_vend(self._queues, payment.payment_id, vend, now)
            return
        unknown = self._uncertain(vendor.manufacturer, vend, "no answer was recorded")
        self._write_answer(payment, vend.number, vend.attempts, unknown)


_NOT_SET_AGAIN = (
    OutcomeUnknown,
    OutOfTime,
    SecretMissing,
    TryAgain,
    VendorUnreachable,
    VendRefused,
)

KNOWN_PAYMENTS = 100
"""The tokens of so many of the owner's latest payments are known to a search."""

POSTPONED_SPREAD = 6
"""How far postponed vends are spread: over about three seconds."""


def _holder(payment: Payment, vend: Vend) -> str:
    """Who holds a busy device: this vend of this payment."""
    return f"{payment.payment_id}.{vend.number}"


def _still_awaits(vend: Vend, attempt: int) -> bool:
    """Attempt n may write while nobody has resolved the vend, also after it became uncertain."""
    return vend.attempts == attempt and vend.state in (VendState.CALLING, VendState.UNCERTAIN)


def _is_open(vend: Vend) -> bool:
    """Whether a worker has still something to do about it."""
    return vend.retry_at is not None or vend.state in (VendState.INTENDED, VendState.CALLING)


def _is_in_flight(vend: Vend) -> bool:
    """Whether the manufacturer may still be selling it, or be asked about it."""
    if vend.state is VendState.UNCERTAIN:
        return vend.retry_at is not None
    return vend.state is VendState.CALLING


def _is_to_be_looked_up(stated: Manufacturer, vend: Vend, now: datetime) -> bool:
    return (
        stated.recovery is RecoveryClass.SEARCHABLE
        and vend.state is VendState.UNCERTAIN
        and vend.retry_at is not None
        and vend.retry_at <= now
    )


def _is_replaced(other: Vend, vend: Vend) -> bool:
    """Whether the other is of the same intent, and was replaced because it was absent."""
    return (
        other.state is VendState.VOID
        and other.closed
        and (other.serial_number, other.kind, other.units, other.cost_minor)
        == (vend.serial_number, vend.kind, vend.units, vend.cost_minor)
    )
