"""What passes between a payment provider and its channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import Payment, Refund
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
    """What goes back to the provider, in its own words. ``body`` is JSON-able or text."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


# --- what we ask of a provider --------------------------------------------------------------------


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
    """

    receipt: str
    amount_minor: int
    currency: str
    paid_at: datetime | None = None


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


class Providers(Protocol):
    """The providers that can be asked something, by the key of their channel."""

    def get(self, channel: str) -> Provider | None:
        """The provider of that channel; ``None`` where it offers no calls."""

    def can_refund(self, channel: str) -> bool:
        """Whether money of that channel can go back through its provider."""
