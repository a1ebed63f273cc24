"""A desk for tests: it keeps payments in a dictionary and says what it was told to say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Allocation
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.payment import (
    Claim,
    Payment,
    Status,
    accepted,
    claim_hash,
    expired,
    payment_id_of,
    reserved,
    started,
)
from chalicelib.domain.payment import paid as now_paid
from chalicelib.services.accept import Accepted, Quote, ReferenceConflict
from chalicelib.services.collect import NoSuchPayment
from chalicelib.services.ports import Paid, ProviderRequest, RefundTaken, SecretMissing, Settings

NOW = datetime(2026, 1, 8, 9, 0, tzinfo=UTC)


@dataclass
class RecordingJournal:
    """Keeps what was noted."""

    events: list[dict[str, Any]] = field(default_factory=list)
    counts: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def event(self, what: str, **fields: Any) -> None:
        self.events.append({"what": what, **fields})

    @contextmanager
    def about(self, **fields: Any) -> Iterator[None]:
        yield

    def bind(self, **fields: Any) -> None:
        """Nothing of it matters here."""

    def gauge(self, metric: str, value: float, **dimensions: str) -> None:
        """No channel knows how much of anything there is."""

    def count(self, metric: str, value: float = 1, **dimensions: str) -> None:
        self.counts.append((metric, dimensions))

    @property
    def reasons(self) -> list[object]:
        return [event.get("reason") for event in self.events]


@dataclass
class FrontDesk:
    """Refuses with ``refusal`` where money has not moved; fails with ``failure`` if there is one.

    An amount that is not above zero is refused whatever ``refusal`` says, as the real one does.
    """

    secrets: dict[str, Mapping[str, Any]]
    refusal: Refusal | None = None
    failure: MwangaError | None = None
    clock: datetime = NOW
    company: Settings = field(default_factory=Settings)
    stored: dict[str, Payment] = field(default_factory=dict)
    questions: list[Claim] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    quotes: list[Claim] = field(default_factory=list)
    starts: list[Claim] = field(default_factory=list)
    reservations: list[Claim] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    reversals: list[tuple[str, str]] = field(default_factory=list)
    told: list[tuple[str, int, RefundTaken | str]] = field(default_factory=list)
    journal: RecordingJournal = field(default_factory=RecordingJournal)

    def question(self, claim: Claim) -> Refusal | None:
        self._fail()
        self.questions.append(claim)
        return self._judge(claim)

    def accept(self, claim: Claim, *, money_moved: bool) -> Accepted:
        self._fail()
        self.claims.append(claim)
        payment_id = payment_id_of(claim.source, claim.transaction)
        known = self.stored.get(payment_id)
        if known is not None and known.status is not Status.REFUSED:
            if known.claim_hash != claim_hash(claim):
                raise ReferenceConflict(payment_id)
            return Accepted(known, repeated=True)
        refusal = None if money_moved else self._judge(claim)
        payment = accepted(
            claim,
            moment=self.clock,
            received_at=self.clock,
            customer_id="C1",
            refusal=refusal.value if refusal else None,
        )
        self.stored[payment_id] = payment
        return Accepted(payment)

    def quote(self, claim: Claim) -> Quote | Refusal:
        self._fail()
        self.quotes.append(claim)
        nothing = Allocation(Account("C1"), (), (), ())
        return self._judge(claim) or Quote(
            claim.serial_number, claim.amount_minor, claim.currency, "ASHA M.", nothing
        )

    def start(self, claim: Claim) -> Payment | Refusal:
        self._fail()
        self.starts.append(claim)
        refusal = self._judge(claim)
        if refusal is not None:
            return refusal
        payment_id = payment_id_of(claim.source, claim.transaction)
        if payment_id in self.stored:
            raise ReferenceConflict(payment_id)
        self.stored[payment_id] = started(
            claim, moment=self.clock, received_at=self.clock, customer_id="C1"
        )
        return self.stored[payment_id]

    def reserve(self, claim: Claim) -> Accepted:
        self._fail()
        self.reservations.append(claim)
        payment_id = payment_id_of(claim.source, claim.transaction)
        known = self.stored.get(payment_id)
        if known is not None:
            if known.claim_hash != claim_hash(claim):
                raise ReferenceConflict(payment_id)
            return Accepted(known, repeated=True)
        refusal = self._judge(claim)
        self.stored[payment_id] = reserved(
            claim,
            moment=self.clock,
            received_at=self.clock,
            customer_id="C1",
            refusal=refusal.value if refusal else None,
        )
        return Accepted(self.stored[payment_id])

    def begun(self, payment: Payment, known_as: Mapping[str, str]) -> None:
        known = {**payment.known_as, **known_as}
        self.stored[payment.payment_id] = replace(payment, known_as=known)

    def hinted(self, payment_id: str) -> None:
        self._fail()
        if payment_id not in self.stored:
            raise NoSuchPayment(payment_id)
        self.hints.append(payment_id)

    def reversed(self, payment_id: str, reference: str) -> None:
        self._fail()
        if payment_id not in self.stored:
            raise NoSuchPayment(payment_id)
        self.reversals.append((payment_id, reference))

    def not_started(self, payment: Payment, reason: str) -> None:
        self.stored[payment.payment_id] = expired(payment, reason, self.clock)

    def paid(self, payment_id: str, paid: Paid) -> Payment:
        self._fail()
        known = self.stored.get(payment_id)
        if known is None:
            raise NoSuchPayment(payment_id)
        agreed = (known.amount_minor, known.currency) == (paid.amount_minor, paid.currency)
        owner = next((p for p in self.stored.values() if p.receipt == paid.receipt), known)
        if not agreed or owner is not known or known.receipt not in (None, paid.receipt):
            raise ReferenceConflict(payment_id)
        if known.receipt is None:
            moment = paid.paid_at or self.clock
            self.stored[payment_id] = now_paid(
                known, receipt=paid.receipt, moment=moment, now=self.clock
            )
        return self.stored[payment_id]

    def refund_told(self, payment_id: str, amount_minor: int, told: RefundTaken | str) -> None:
        self._fail()
        self.told.append((payment_id, amount_minor, told))

    def payment(self, payment_id: str) -> Payment | None:
        return self.stored.get(payment_id)

    def secret(self, name: str) -> Mapping[str, Any]:
        if name not in self.secrets:
            raise SecretMissing(name)
        return self.secrets[name]

    def settings(self) -> Settings:
        return self.company

    def now(self) -> datetime:
        return self.clock

    def settle(self, payment_id: str) -> None:
        """The payment moves on, as if a worker had settled it."""
        self.stored[payment_id] = replace(self.stored[payment_id], status=Status.COMPLETED)

    def _judge(self, claim: Claim) -> Refusal | None:
        return self.refusal if claim.amount_minor > 0 else Refusal.INVALID_AMOUNT

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


def post(
    body: bytes | Mapping[str, Any], content_type: str = "application/json"
) -> ProviderRequest:
    """A request as the open web sends it, in JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ProviderRequest("POST", {}, {"content-type": content_type}, raw, "203.0.113.9")


def only(desk: FrontDesk) -> Payment:
    """The one payment that the desk has."""
    (payment,) = desk.stored.values()
    return payment
