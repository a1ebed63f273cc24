"""Payments that tell the journal each step they take: one line per change of a state, no more.

It stands between the services and the store, so no service can forget a line, or say it twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from chalicelib.domain.account import Account
from chalicelib.domain.payment import Payment, Refund, Status, Vend
from chalicelib.domain.plan import Plan
from chalicelib.services.ports import (
    Journal,
    OutcomeUnknown,
    Page,
    Payments,
    SettlementView,
)


def tell_steps(journal: Journal, payment: Payment) -> None:
    """Write a line for every state that this write has changed: of the payment, its vends, its
    refunds. ``payment`` is as it was written; ``stored`` in it, as it was before."""
    for what, fields in _steps(payment.stored, payment):
        journal.event(what, payment_id=payment.payment_id, **fields)
    if payment.status is Status.HELD and _standing(payment.stored) != _standing(payment):
        journal.count("Held", reason=payment.reason or "")


def say_unknown(journal: Journal, payment: Payment) -> None:
    """Nobody knows whether this was written: the lines of its steps will not come if it was."""
    journal.event(
        "payment_write_unknown", payment_id=payment.payment_id, to_status=payment.status.value
    )


def _steps(before: Payment | None, after: Payment) -> Iterator[tuple[str, dict[str, Any]]]:
    if _standing(before) != _standing(after):
        yield (
            f"payment_{after.status.value}",
            {
                "from_status": before.status.value if before else None,
                "to_status": after.status.value,
                "reason": after.reason,
                "channel": after.channel,
                "customer_id": after.customer_id,
                "account_version": after.account_versions[-1] if after.account_versions else None,
            },
        )
    vends_before = {vend.number: vend for vend in before.vends} if before else {}
    for vend in after.vends:
        known = vends_before.get(vend.number)
        if known is None or _turn(known) != _turn(vend):
            yield (
                f"vend_{vend.state.value}",
                {
                    "vend": vend.number,
                    "manufacturer": vend.manufacturer,
                    **_from_to(known, vend),
                    "status": after.status.value,
                },
            )
    refunds_before = {refund.number: refund for refund in before.refunds} if before else {}
    for refund in after.refunds:
        asked = refunds_before.get(refund.number)
        if asked is None or _turn(asked) != _turn(refund):
            yield (
                f"refund_{refund.state.value}",
                {
                    "refund": refund.number,
                    **_from_to(asked, refund),
                    "status": after.status.value,
                },
            )


def _standing(payment: Payment | None) -> tuple[Status, str | None] | None:
    """What one line is written about: a payment held for another reason has changed too."""
    if payment is None:
        return None
    return payment.status, payment.reason if payment.status is Status.HELD else None


def _turn(part: Vend | Refund) -> tuple[str, int, int]:
    """A vend or a refund that is called or looked up again has taken a step in the same state."""
    return part.state.value, part.attempts, part.looks


def _from_to(before: Vend | Refund | None, after: Vend | Refund) -> dict[str, Any]:
    return {
        "from_state": before.state.value if before else None,
        "to_state": after.state.value,
        "attempt": after.attempts,
        "looks": after.looks,
    }


class ToldPayments:
    """The port ``Payments``, over another one that stores them."""

    def __init__(self, payments: Payments, journal: Journal) -> None:
        self._payments = payments
        self._journal = journal

    def create(self, payment: Payment) -> None:
        """See ``Payments.create``."""
        try:
            self._payments.create(payment)
        except OutcomeUnknown:
            say_unknown(self._journal, payment)
            raise
        tell_steps(self._journal, payment)

    def save(self, payment: Payment) -> Payment:
        """See ``Payments.save``."""
        try:
            written = self._payments.save(payment)
        except OutcomeUnknown:
            say_unknown(self._journal, payment)
            raise
        return self._told(written)

    def settle(self, payment: Payment, account: Account, ended_plans: Sequence[Plan]) -> Payment:
        """See ``Payments.settle``."""
        try:
            written = self._payments.settle(payment, account, ended_plans)
        except OutcomeUnknown:
            say_unknown(self._journal, payment)
            raise
        return self._told(written)

    def receive(
        self, payment: Payment, guard: tuple[str, str], twin: Payment | None = None
    ) -> Payment:
        """See ``Payments.receive``."""
        try:
            written = self._payments.receive(payment, guard, twin)
        except OutcomeUnknown:
            say_unknown(self._journal, payment)
            raise
        if twin is not None:
            tell_steps(self._journal, twin)
        return self._told(written)

    def lease(
        self,
        payment_id: str,
        number: int,
        attempt: int,
        *,
        called_at: datetime,
        lease_until: datetime,
        again: bool = False,
    ) -> Payment | None:
        """See ``Payments.lease``. What the vend was before is not read, so it is not told."""
        leased = self._payments.lease(
            payment_id,
            number,
            attempt,
            called_at=called_at,
            lease_until=lease_until,
            again=again,
        )
        if leased is not None:
            vend = leased.vend(number)
            self._journal.event(
                "vend_calling",
                payment_id=payment_id,
                vend=number,
                manufacturer=vend.manufacturer,
                to_state=vend.state.value,
                attempt=attempt,
                status=leased.status.value,
            )
        return leased

    def _told(self, written: Payment) -> Payment:
        """Tell what was written. Whoever goes on with it goes on from there."""
        tell_steps(self._journal, written)
        return replace(written, stored=replace(written, stored=None))

    # --- what is only read --------------------------------------------------------------------

    def get(self, payment_id: str) -> Payment | None:
        """See ``Payments.get``."""
        return self._payments.get(payment_id)

    def view_for_settlement(
        self, payment_id: str, customer_id: str | None, serial_number: str
    ) -> SettlementView:
        """See ``Payments.view_for_settlement``."""
        return self._payments.view_for_settlement(payment_id, customer_id, serial_number)

    def known_under(self, payment_id: str) -> Payment | None:
        """See ``Payments.known_under``."""
        return self._payments.known_under(payment_id)

    def known_under_any(self, payment_ids: Sequence[str]) -> Sequence[Payment]:
        """See ``Payments.known_under_any``."""
        return self._payments.known_under_any(payment_ids)

    def of_channel(self, channel: str, since: datetime, until: datetime) -> Iterable[Payment]:
        """See ``Payments.of_channel``."""
        return self._payments.of_channel(channel, since, until)

    def due(self, shard: int, until: datetime, limit: int) -> Sequence[str]:
        """See ``Payments.due``."""
        return self._payments.due(shard, until, limit)

    def all_open(self, limit: int) -> Sequence[Payment]:
        """See ``Payments.all_open``."""
        return self._payments.all_open(limit)

    def by_owner(self, owner: str, limit: int, cursor: str | None) -> Page[Payment]:
        """See ``Payments.by_owner``."""
        return self._payments.by_owner(owner, limit, cursor)

    def open(self, status: str, limit: int, cursor: str | None) -> Page[Payment]:
        """See ``Payments.open``."""
        return self._payments.open(status, limit, cursor)
