"""What passes between a payment provider and its channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeGuard

from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import Claim, Payment, Refund
from chalicelib.services.ports.manufacturers import RecoveryClass


class RefusalClass(StrEnum):
    """What refusing means on a channel."""

    ASKS_FIRST = "asks_first"
    TWO_PHASE = "two_phase"
    WE_START = "we_start"
    TOLD_AFTER = "told_after"


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """An inbound provider call, before anything of it is trusted."""

    method: str
    path_parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    source_address: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What goes back to the provider, in its own words.

    ``body`` is JSON-able, or a text of that ``content_type``.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/plain; charset=utf-8"


# --- what we ask of a provider --------------------------------------------------------------------


NOT_KNOWN_THERE = "authentication_failed"
"""The code of a refusal that says nothing of what was asked: our credentials are not taken."""


class ProviderRefused(MwangaError):
    """The provider definitely did not do it, and said why. ``code`` is its own."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class ProviderUnreachable(MwangaError):
    """The provider was certainly not reached, so it may be asked again."""

    code = "provider_unreachable"


class ProviderUncertain(MwangaError):
    """Nobody knows what the provider did. Never a blind second refund."""

    code = "provider_uncertain"


class NotAtProvider(MwangaError):
    """The provider was asked, and knows of no such thing (yet)."""

    code = "not_at_provider"


@dataclass(frozen=True, slots=True)
class Paid:
    """A provider's word that money has moved for a payment that we started.

    ``receipt`` is the provider's own name for it. Amount and currency are what was really paid.
    A word that is not ``proven`` comes from a caller who signs nothing. In a ``shared_pot``, a
    customer may pay without us too, and such a payment has its receipt for an id. ``known_as`` is
    what else the provider must be told to know the payment again.
    """

    receipt: str
    amount_minor: int
    currency: str
    paid_at: datetime | None = None
    proven: bool = True
    shared_pot: bool = False
    known_as: Mapping[str, str] = field(default_factory=dict)


class TakenBack(MwangaError):
    """The provider has given the payer the money of a payment back, and not because we asked.

    ``reference`` is the provider's own name for that.
    """

    code = "reversed_by_provider"

    def __init__(self, reference: str) -> None:
        super().__init__(reference)
        self.reference = reference


@dataclass(frozen=True, slots=True)
class RefundTaken:
    """A provider's word on a refund: it was taken, and, if ``done``, the money has gone back."""

    reference: str | None = None
    done: bool = False


class Provider(Protocol):
    """What our workers may ask of a payment provider. Each is one network call, no retry inside."""

    timeout_seconds: int
    refund_recovery: RecoveryClass
    """What may be done after an uncertain answer to a refund call."""
    refund_absent_after_seconds: int
    """So long after a call, a refund that a search does not find was surely not taken."""
    full_refunds_only: bool

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a payment that we started; ``None``: nothing was paid (yet).

        Raises:
            TakenBack: it was paid, and the payer has the money back.
            ProviderRefused: nobody can pay it any more: it failed for good.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for one refund.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain: see there.
            SecretMissing: the credentials are not configured; nothing was sent.
        """

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Find out what became of a refund that was asked for.

        Raises:
            NotAtProvider: the provider knows of no such refund (yet).
            ProviderRefused: it failed for good: the money has not gone back.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """


class Charger(Provider, Protocol):
    """A provider that is asked by a worker to charge the payer: its answer takes too long for
    whoever waits at the edge."""

    def charge(self, payment: Payment) -> Paid | None:
        """Ask the payer for the money; ``None``: it is under way.

        Raises:
            ProviderRefused: nothing was paid, and nobody can pay it any more.
            ProviderUnreachable: nothing was asked.
            ProviderUncertain: nobody knows: it is verified later, and never charged again.
            SecretMissing: the credentials are not configured; nothing was sent.
        """


class Reserver(Provider, Protocol):
    """A provider that reserves a payer's money and then waits for our result."""

    def tell_result(self, payment: Payment) -> None:
        """Tell it our result: yes, or, where the payment has a ``reason``, no.

        To tell it again changes nothing there.

        Raises:
            ProviderRefused: it takes no (such) result any more.
            ProviderUnreachable, ProviderUncertain, SecretMissing: tell it again.
        """


@dataclass(frozen=True, slots=True)
class Listed:
    """One payment in a provider's own list: a claim, or what was paid for one that we started."""

    claim: Claim | None = None
    payment_id: str | None = None
    paid: Paid | None = None


class Lister(Provider, Protocol):
    """A provider that can be asked for all that was paid to us."""

    def payments_between(self, since: datetime, until: datetime) -> Iterable[Listed]:
        """All that was paid to us from ``since`` on and before ``until``.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be
                told now.
        """


def charges(provider: Provider | None) -> TypeGuard[Charger]:
    """Whether a worker asks that provider to charge the payer."""
    return hasattr(provider, "charge")


def reserves(provider: Provider | None) -> TypeGuard[Reserver]:
    """Whether that provider reserves money until it has our result."""
    return hasattr(provider, "tell_result")


def lists_payments(provider: Provider | None) -> TypeGuard[Lister]:
    """Whether that provider can be asked for all that was paid to us."""
    return hasattr(provider, "payments_between")


class Providers(Protocol):
    """The providers that can be asked something, by the key of their channel."""

    def get(self, channel: str) -> Provider | None:
        """The provider of that channel; ``None`` where it offers no calls."""

    def can_refund(self, channel: str) -> bool:
        """Whether money of that channel can go back through its provider."""
