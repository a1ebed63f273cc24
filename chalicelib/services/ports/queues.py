"""What the services ask of the queues."""

from __future__ import annotations

from typing import Protocol

from chalicelib.domain.payment import Payment


class Queues(Protocol):
    """The five queues. Every method may raise ``QueueUnavailable``."""

    def settle(self, payment: Payment, deduplication: str) -> None:
        """Queue a payment for settlement: group = its customer, or its id where there is none."""

    def vend(
        self,
        payment_id: str,
        number: int,
        attempt: int,
        manufacturer: str,
        delay_seconds: int = 0,
    ) -> None:
        """Queue one vend; ``attempt`` is the one to take up. At most 900 seconds of delay."""

    def switch(self, serial_number: str, manufacturer: str) -> None:
        """Queue a device that may have to be switched off, among the vends."""

    def message(
        self, payment_id: str, number: int, customer_id: str | None, delay_seconds: int = 0
    ) -> None:
        """Queue one SMS."""

    def provider_call(self, payment_id: str, delay_seconds: int = 0) -> None:
        """Queue a payment that a provider must be asked about: verified, or refunded."""

    def listing(self, channel: str) -> None:
        """Queue a provider that must be asked for all that was paid to us."""

    def move(self, what: str, move_id: str, part: int = 0) -> None:
        """Queue a step of a move: to ``check``, to ``write`` (that part) or to ``export``; or the
        comparison of a ``statement``."""

    def erase(self, customer_id: str, cursor: str | None = None, delay_seconds: int = 0) -> None:
        """Queue the rest of an erasure, among the moves: from that part of the payments on."""
