"""A payment provider as the tests of the services need it: it counts what it really gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from chalicelib.domain.payment import Payment, Refund
from chalicelib.services.ports import (
    NotAtProvider,
    Paid,
    Provider,
    ProviderRefused,
    ProviderUncertain,
    ProviderUnreachable,
    RecoveryClass,
    RefundTaken,
)
from chalicelib.wiring import Wiring
from tests.integration.services.conftest import Counter

CHANNEL = "paystack"
ON_CHANNEL = {"channel": CHANNEL, "source": CHANNEL}
"""What a claim says that comes in through the fake provider."""

Behaviour = Callable[[Payment, Refund], RefundTaken]


@dataclass
class FakeProvider:
    """Takes every refund, or does as it is told.

    ``behaviours`` and ``lookups`` are used up first, one a call. ``calls`` lists the refunds that
    were asked for, ``looks`` counts the look-ups, ``given_minor`` lists what really went back.
    ``arrived`` says whether a look-up finds that the money has gone; ``paid`` is what ``verify``
    answers, or raises.
    """

    refund_recovery: RecoveryClass = RecoveryClass.SEARCHABLE
    full_refunds_only: bool = False
    refund_absent_after_seconds: int = 60
    timeout_seconds: int = 20
    arrived: bool = False
    paid: Paid | Exception | None = None
    behaviours: list[Behaviour] = field(default_factory=list)
    lookups: list[Behaviour] = field(default_factory=list)
    calls: list[Refund] = field(default_factory=list)
    looks: int = 0
    taken: dict[str, RefundTaken] = field(default_factory=dict)
    given_minor: list[int] = field(default_factory=list)

    def take(self, payment: Payment, refund: Refund) -> RefundTaken:
        """The ordinary behaviour. Only one that is repeatable knows a call that comes again."""
        name = f"{payment.payment_id}.{refund.number}"
        known = self.taken.get(name)
        if known is not None and self.refund_recovery is RecoveryClass.REPEATABLE:
            return known
        self.given_minor.append(refund.amount_minor)
        self.taken[name] = RefundTaken(f"R{len(self.given_minor)}")
        return self.taken[name]

    def take_at_once(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Take it, and say that the money has gone back."""
        return RefundTaken(self.take(payment, refund).reference, done=True)

    def take_unseen(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Take it; the answer is lost."""
        self.take(payment, refund)
        raise ProviderUncertain("the answer was lost")

    def take_and_die(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Take it; the worker that asked dies."""
        self.take(payment, refund)
        raise Died

    def verify(self, payment: Payment) -> Paid | None:
        """See ``paid``."""
        if isinstance(self.paid, Exception):
            raise self.paid
        return self.paid

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Give back, or do as told."""
        self.calls.append(refund)
        behave = self.behaviours.pop(0) if self.behaviours else self.take
        return behave(payment, refund)

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Tell what became of it, or do as told."""
        self.looks += 1
        behave = self.lookups.pop(0) if self.lookups else self.find
        return behave(payment, refund)

    def find(self, payment: Payment, refund: Refund) -> RefundTaken:
        """The ordinary answer to a look-up."""
        found = self.taken.get(f"{payment.payment_id}.{refund.number}")
        if found is None:
            raise NotAtProvider
        return RefundTaken(found.reference, done=self.arrived)


class Died(Exception):
    """The process has ended in the middle."""


def answering(answer: RefundTaken) -> Behaviour:
    """A provider that says that, whatever it did."""
    return lambda payment, refund: answer


def failing(error: Exception) -> Behaviour:
    """A provider that did nothing and lets one know by ``error``, or does not."""

    def fail(payment: Payment, refund: Refund) -> RefundTaken:
        raise error

    return fail


refusing = failing(ProviderRefused("already_reversed"))
unreachable = failing(ProviderUnreachable("connection refused"))
unclear = failing(ProviderUncertain("HTTP status 500"))


class FakeProviders:
    """Lends the fake to its channel; the other channels' providers cannot be asked."""

    def __init__(self, provider: FakeProvider) -> None:
        self.provider = provider

    def get(self, channel: str) -> Provider | None:
        """The fake, on its channel."""
        return self.provider if channel == CHANNEL else None

    def can_refund(self, channel: str) -> bool:
        """Whether it is the fake's channel."""
        return channel == CHANNEL


def ask_all(counter: Counter, by: Wiring | None = None) -> int:
    """Ask the provider about what is queued; answer how many messages there were."""
    worker = by or counter.wiring
    messages = counter.cloud.take("provider-calls")
    for message in messages:
        deadline = worker.clock.now() + timedelta(minutes=1)
        worker.ask_provider.work(message["body"]["payment_id"], deadline)
    return len(messages)
