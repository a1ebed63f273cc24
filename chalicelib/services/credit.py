"""Give credit back: staff hand a customer money that stands in the account."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.plans import CustomerNotFound
from chalicelib.services.ports import (
    Accounts,
    Clock,
    ConditionFailed,
    Customers,
    Entry,
    Journal,
    OutcomeUnknown,
    Registry,
    VersionConflict,
)
from chalicelib.services.refund import NotRefundable

WRITES_MAX = 6


@dataclass(frozen=True, slots=True)
class CreditRefund:
    """Credit that was given back; ``repeated`` if that very request was carried out before."""

    entry: Entry
    repeated: bool = False

    @property
    def amount_minor(self) -> int:
        """What was given back."""
        amount_minor: int = self.entry.changes["amount_minor"]
        return amount_minor

    @property
    def credit_minor(self) -> int:
        """What credit was left then."""
        credit_minor: int = self.entry.changes["credit_minor"]
        return credit_minor


class RefundCredit:
    """Gives credit back. Each time is an entry of the customer's account."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        customers: Customers,
        registry: Registry,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._accounts = accounts
        self._customers = customers
        self._registry = registry
        self._clock = clock
        self._journal = journal
        self._pause = pause

    def refund(
        self, customer_id: str, amount_minor: int, *, reason: str, key: str | None, actor: str
    ) -> CreditRefund:
        """Take that much off the credit: somebody hands it to the customer.

        With an idempotency key it is done once, however often it is asked for.

        Raises:
            CustomerNotFound, NotRefundable: see there.
            ReferenceConflict: the key was used for another refund to this customer.
            VersionConflict, TryAgain, OutcomeUnknown: not done, or not known to be. With a key
                the same request may be sent again.
        """
        if self._customers.get(customer_id) is None:
            raise CustomerNotFound(f"there is no customer {customer_id}")
        guard_id = None if key is None else f"credit#{customer_id}#{key}"
        asked = hashlib.sha256(repr((amount_minor, reason)).encode()).hexdigest()[:32]
        for round_number in range(WRITES_MAX):
            held = self._registry.guard(guard_id) if guard_id else None
            if held is not None:
                return self._done_before(customer_id, held, asked)
            act = Act(actor, self._clock.now(), reason)
            try:
                return self._write(customer_id, amount_minor, act, guard_id, asked)
            except (VersionConflict, ConditionFailed):
                self._pause(jitter_seconds(round_number))
        raise VersionConflict(customer_id)

    def _write(
        self, customer_id: str, amount_minor: int, act: Act, guard_id: str | None, asked: str
    ) -> CreditRefund:
        account = self._accounts.get(customer_id) or Account(customer_id)
        credit_minor = account.credit_minor - amount_minor
        if credit_minor < 0:
            raise NotRefundable("is more than the customer's credit")
        account = replace(account, credit_minor=credit_minor).next_version()
        entry = entry_of(
            act,
            account,
            "credit_refunded",
            lines=(Line(LineKind.CREDIT, customer_id, -amount_minor),),
            amount_minor=amount_minor,
            credit_minor=credit_minor,
        )
        guard = (guard_id, f"{account.version} {asked}") if guard_id else None
        try:
            self._accounts.change(account, entry, guard=guard)
        except OutcomeUnknown:
            # Whoever is told to ask again, without a key, would be given it twice.
            written = self._accounts.entry(customer_id, account.version)
            if written is None or (written.what, written.at) != (entry.what, entry.at):
                raise
        self._journal.event(
            "credit_refunded",
            customer_id=customer_id,
            account_version=account.version,
            actor=act.actor,
        )
        return CreditRefund(entry)

    def _done_before(self, customer_id: str, held: str, asked: str) -> CreditRefund:
        """What that key stands for."""
        version, _, asked_before = held.partition(" ")
        if asked_before != asked:
            raise ReferenceConflict("this Idempotency-Key was used for another refund")
        entry = self._accounts.entry(customer_id, int(version))
        assert entry is not None  # noqa: S101 - written together with the guard
        return CreditRefund(entry, repeated=True)
