"""What follows from a payment as it stands: open vends, calls to its provider, SMS that are due.

Whoever has changed a payment queues this after the write, and so does whoever finds that the
write was made before: a message that comes twice finds its work done and ends without effect.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from chalicelib.domain.payment import (
    Payment,
    RefundState,
    Status,
    Vend,
    VendState,
    messages_due,
    open_refund,
    unfinished,
)
from chalicelib.services.ports import Queues

DELAY_SECONDS_MAX = 900
AHEAD_SECONDS = 30
AFTER_LEASE = timedelta(seconds=1)


def queue_what_follows(queues: Queues, payment: Payment, now: datetime) -> None:
    """Queue every open vend, every call to the provider and every SMS that is due.

    Repeating it has no further effect.

    Raises:
        QueueUnavailable: a part of it may be queued; all of it is to be queued again.
    """
    for vend in unfinished(payment.vends):
        queue_vend(queues, payment.payment_id, vend, now)
    queue_refund(queues, payment, now)


def queue_vend(
    queues: Queues,
    payment_id: str,
    vend: Vend,
    now: datetime,
    not_before: datetime | None = None,
) -> None:
    """Queue an open vend for when there is something to do about it.

    One in trouble waits for its next try or look, so that an outage is not met with all tries at
    once. One whose call is running is looked at when its lease is over; that message names the
    running attempt, so that it can never start another.

    Raises:
        QueueUnavailable: see there.
    """
    attempt, at = vend.attempts + 1, vend.retry_at
    if vend.state is VendState.CALLING:
        attempt, at = vend.attempts, vend.lease_until and vend.lease_until + AFTER_LEASE
    seconds = _seconds_until(max(at or now, not_before or now), now)
    queues.vend(payment_id, vend.number, attempt, vend.manufacturer, seconds)


def queue_provider_call(queues: Queues, payment: Payment, now: datetime) -> None:
    """Queue a payment about which its provider must be asked, for when it is time to.

    A checkout that nobody has paid yet is verified; a refund that is due, or under way, is asked
    for or looked up.

    Raises:
        QueueUnavailable: see there.
    """
    refund = open_refund(payment)
    if payment.status is Status.PENDING:
        at = now
    elif payment.status is Status.REFUND_DUE:
        at = payment.refund_at or now
    elif refund is not None and (
        payment.status is Status.REFUNDING or refund.state is RefundState.ACCEPTED
    ):
        at = refund.retry_at or now
        if refund.state is RefundState.CALLING and refund.lease_until is not None:
            at = refund.lease_until + AFTER_LEASE
    else:
        return
    if at - now <= timedelta(seconds=DELAY_SECONDS_MAX):  # else the sweeper comes back to it
        queues.provider_call(payment.payment_id, _seconds_until(at, now))


def queue_refund(queues: Queues, payment: Payment, now: datetime) -> None:
    """Queue what follows from a refund: the next call to its provider, and every SMS that is due.

    The payment's vends have messages of their own.

    Raises:
        QueueUnavailable: a part of it may be queued; all of it is to be queued again.
    """
    queue_provider_call(queues, payment, now)
    for number in messages_due(payment):
        queues.message(payment.payment_id, number, payment.customer_id)


def queue_messages_ahead(queues: Queues, payment: Payment, numbers: Iterable[int]) -> None:
    """Queue SMS *before* the write that makes them due, to arrive after it.

    A crash between write and queueing would leave a completed payment, which no sweep looks at,
    without its SMS. A message that comes too early, or to a write that failed, finds that its SMS
    is not due and ends without effect.

    Raises:
        QueueUnavailable: nothing is to be written yet.
    """
    for number in numbers:
        queues.message(payment.payment_id, number, payment.customer_id, delay_seconds=AHEAD_SECONDS)


def _seconds_until(at: datetime, now: datetime) -> int:
    """Whole seconds from now on, as many as a queue can wait at most."""
    return max(0, min(-(-(at - now) // timedelta(seconds=1)), DELAY_SECONDS_MAX))
