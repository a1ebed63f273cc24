"""The desk: all that a payment channel sees of the system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from chalicelib.domain.errors import Refusal
from chalicelib.domain.payment import Claim, Payment
from chalicelib.services.accept import Accept, Accepted, Quote
from chalicelib.services.collect import Collect
from chalicelib.services.ports import (
    Catalogue,
    Clock,
    Journal,
    Paid,
    Payments,
    RefundTaken,
    Settings,
)
from chalicelib.services.refund import GiveBack

Secrets = Callable[[str], Mapping[str, Any]]
"""Reads a secret by its plain name; raises ``SecretMissing``."""


class Desk:
    """Takes claims, answers questions, and lends channels what they need to check a caller."""

    def __init__(
        self,
        *,
        accept: Accept,
        collect: Collect,
        give_back: GiveBack,
        payments: Payments,
        catalogue: Catalogue,
        secrets: Secrets,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._accept = accept
        self._collect = collect
        self._give_back = give_back
        self._payments = payments
        self._catalogue = catalogue
        self._secrets = secrets
        self._clock = clock
        self._journal = journal

    @property
    def journal(self) -> Journal:
        """Where the channel notes what operations must know."""
        return self._journal

    def question(self, claim: Claim) -> Refusal | None:
        """See ``Accept.question``."""
        return self._accept.question(claim)

    def accept(self, claim: Claim, *, money_moved: bool) -> Accepted:
        """See ``Accept.accept``."""
        return self._accept.accept(claim, money_moved=money_moved)

    def quote(self, claim: Claim) -> Quote | Refusal:
        """See ``Accept.quote``."""
        return self._accept.quote(claim)

    def start(self, claim: Claim) -> Payment | Refusal:
        """See ``Accept.start``."""
        return self._accept.start(claim)

    def reserve(self, claim: Claim) -> Accepted:
        """See ``Accept.reserve``."""
        return self._accept.reserve(claim)

    def begun(self, payment: Payment, known_as: Mapping[str, str]) -> None:
        """See ``Collect.begun``."""
        self._collect.begun(payment, known_as)

    def hinted(self, payment_id: str) -> None:
        """See ``Collect.hinted``."""
        self._collect.hinted(payment_id)

    def reversed(self, payment_id: str, reference: str) -> None:
        """See ``Collect.reversed``."""
        self._collect.reversed(payment_id, reference)

    def not_started(self, payment: Payment, reason: str) -> None:
        """See ``Collect.not_started``."""
        self._collect.not_started(payment, reason)

    def paid(self, payment_id: str, paid: Paid) -> Payment:
        """See ``Collect.paid``."""
        return self._collect.paid(payment_id, paid)

    def refund_told(self, payment_id: str, amount_minor: int, told: RefundTaken | str) -> None:
        """See ``GiveBack.told``."""
        self._give_back.told(payment_id, amount_minor, told)

    def payment(self, payment_id: str) -> Payment | None:
        """The payment as it stands."""
        return self._payments.get(payment_id)

    def secret(self, name: str) -> Mapping[str, Any]:
        """A secret of this deployment, such as ``channels/direct``.

        Raises:
            SecretMissing: it is not there, or cannot be read.
        """
        return self._secrets(name)

    def settings(self) -> Settings:
        """The company's settings."""
        return self._catalogue.settings()

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return self._clock.now()
