"""Vends that come back by themselves: their messages wait, and time passes."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.company import FixedClock
from tests.integration.services.conftest import Counter

COMES_BACK_MAX = 60


def come_back(counter: Counter, clock: FixedClock) -> int:
    """Let the one vend that is queued wait as long as it must, and take it up; the seconds."""
    (seconds,) = counter.delays("vends")
    clock.move(timedelta(seconds=seconds))
    counter.vend(counter.only("vends"))
    return seconds


def come_back_to_the_end(counter: Counter, clock: FixedClock) -> list[int]:
    """Go on with the one vend that is queued until none is; the seconds it waited each time."""
    waits: list[int] = []
    while _is_queued(counter):
        assert len(waits) < COMES_BACK_MAX, "it comes back for ever"
        waits.append(come_back(counter, clock))
    return waits


def _is_queued(counter: Counter) -> bool:
    """Whether anything is in the queue. Delays are left as they are."""
    url = counter.cloud.sqs.get_queue_url(QueueName="test-vends")["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
    told = counter.cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return any(int(told["Attributes"][name]) for name in names)
