"""What follows from a payment as it stands: its open vends, and the SMS that are due.

Whoever has changed a payment queues this after the write, and so does whoever finds that the
write was made before: a message that comes twice finds its work done and ends without effect.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chalicelib.domain.payment import Payment, Vend, VendState, messages_due, unfinished
from chalicelib.services.ports import Queues

DELAY_SECONDS_MAX = 900
AFTER_LEASE = timedelta(seconds=1)


def queue_what_follows(queues: Queues, payment: Payment, now: datetime) -> None:
    """Queue every open vend and every SMS that is due. Repeating it has no further effect.

    Raises:
        QueueUnavailable: a part of it may be queued; all of it is to be queued again.
    """
    for vend in unfinished(payment.vends):
        queue_vend(queues, payment.payment_id, vend, now)
    for number in messages_due(payment):
        queues.message(payment.payment_id, number, payment.customer_id)


def queue_vend(queues: Queues, payment_id: str, vend: Vend, now: datetime) -> None:
    """Queue an open vend for when there is something to do about it.

    One that was refused for the time being waits for its next try, so that an outage is not met
    with all tries at once. One whose call is running is looked at when its lease is over; that
    message names the running attempt, so that it can never start another.

    Raises:
        QueueUnavailable: see there.
    """
    attempt, at = vend.attempts + 1, vend.retry_at
    if vend.state is VendState.CALLING:
        attempt, at = vend.attempts, vend.lease_until and vend.lease_until + AFTER_LEASE
    wait = (at or now) - now
    seconds = max(0, min(-(-wait // timedelta(seconds=1)), DELAY_SECONDS_MAX))
    queues.vend(payment_id, vend.number, attempt, vend.manufacturer, seconds)
