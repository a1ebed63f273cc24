"""A closing: all figures until a moment, and what was found not to be in order."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import Any

from chalicelib.domain.ledger import (
    NOTHING,
    Fault,
    Figures,
    Key,
    Of,
    Sum,
    Unaccounted,
    faults_of,
    figures_of,
    figures_of_entry,
    waiting_mark,
)
from chalicelib.domain.payment import Payment
from chalicelib.services.entries import posting_of
from chalicelib.services.ports import Entry, Reconciliation, ReportedDifference

FAULTS_KEPT_MAX = 100
"""So many things are named; all are counted, with the money that they are about."""


WAITING_MAX = 2000
"""So many payments that wait outside all accounts are told apart: far more than ever should."""


@dataclass(frozen=True, slots=True)
class ProofOfAccounts:
    """What the last finished proof of all customers' accounts had found."""

    finished_at: datetime
    customers: int
    busy: int
    differences_count: int
    differences: tuple[ReportedDifference, ...]


@dataclass(slots=True)
class Closing:
    """The figures of all payments that came in before ``cut``, and of all entries before it.

    ``seen_until`` is the cut of the closing before it, and ``waiting`` are the marks of payments
    that wait outside all accounts, while it is being made.
    """

    cut: datetime
    seen_until: datetime | None = None
    payments: int = 0
    entries: int = 0
    figures: dict[Key, Sum] = field(default_factory=dict)
    faults_count: int = 0
    faults_minor: int = 0
    faults: list[Unaccounted] = field(default_factory=list)
    accounts: ProofOfAccounts | None = None
    waiting: set[str] = field(default_factory=set)

    def take_payment(self, payment: Payment) -> None:
        """Add a payment, unless it came in later."""
        if payment.received_at >= self.cut:
            return
        self.payments += 1
        for key, figure in figures_of(payment, self.seen_until):
            self._add(key, figure)
        for fault in faults_of(payment):
            self.blame(fault)
        mark = waiting_mark(payment)
        if mark in self.waiting:
            self.blame(Unaccounted(Fault.DOUBLED, payment.payment_id, 0, payment.kept_minor))
        elif mark is not None and len(self.waiting) < WAITING_MAX:
            self.waiting.add(mark)

    def take_entry(self, entry: Entry) -> None:
        """Add a change of an account, unless it was made later."""
        if entry.at >= self.cut:
            return
        self.entries += 1
        for key, figure in figures_of_entry(entry.what, posting_of(entry)):
            self._add(key, figure)

    def blame(self, fault: Unaccounted) -> None:
        """Note what is not in order."""
        self.faults_count += 1
        self.faults_minor += fault.amount_minor
        if len(self.faults) < FAULTS_KEPT_MAX:
            self.faults.append(fault)

    def take_proof(self, latest: Reconciliation | None) -> None:
        """Note what the proof of the customers' accounts found."""
        if latest is not None and latest.finished_at is not None:
            self.accounts = ProofOfAccounts(
                finished_at=latest.finished_at,
                customers=latest.customers,
                busy=latest.busy,
                differences_count=latest.differences_count,
                differences=latest.differences,
            )

    def _add(self, key: Key, figure: Sum) -> None:
        self.figures[key] = self.figures.get(key, NOTHING) + figure

    def text(self) -> str:
        """All of it as text: the same closing is always the same text."""
        return json.dumps(
            {
                "cut": self.cut.isoformat(),
                "seen_until": self.seen_until.isoformat() if self.seen_until else None,
                "payments": self.payments,
                "entries": self.entries,
                "figures": [_figure(key, self.figures[key]) for key in sorted(self.figures)],
                "faults_count": self.faults_count,
                "faults_minor": self.faults_minor,
                "faults": [
                    [fault.fault.value, fault.ref, fault.expected, fault.found]
                    for fault in self.faults
                ],
                "accounts": _proof(self.accounts) if self.accounts else None,
                "waiting": sorted(self.waiting),
            },
            separators=(",", ":"),
            ensure_ascii=False,
        )

    @classmethod
    def of_text(cls, text: str) -> Closing:
        """The closing that ``text`` made this of."""
        told = json.loads(text)
        return cls(
            cut=datetime.fromisoformat(told["cut"]),
            seen_until=_moment(told["seen_until"]),
            payments=told["payments"],
            entries=told["entries"],
            figures={
                tuple(key): Sum(count, Fraction(amount), Fraction(units))
                for key, count, amount, units in told["figures"]
            },
            faults_count=told["faults_count"],
            faults_minor=told["faults_minor"],
            faults=[Unaccounted(Fault(fault), *rest) for fault, *rest in told["faults"]],
            accounts=_proof_of(told["accounts"]) if told["accounts"] else None,
            waiting=set(told["waiting"]),
        )


def completed(closing: Closing) -> Closing:
    """The closing without what only its making needs, and with its faults by name: in which order
    it was read says nothing."""
    figures = {key: figure for key, figure in closing.figures.items() if key[0] != Of.IN_BEFORE}
    faults = sorted(closing.faults, key=lambda fault: (fault.fault, fault.ref))
    return replace(closing, figures=figures, faults=faults, waiting=set())


def opening_figures(opening: Closing | None) -> Figures:
    """The figures to begin with; none where there is nothing before."""
    return opening.figures if opening else {}


def _figure(key: Key, figure: Sum) -> list[Any]:
    return [list(key), figure.count, str(figure.amount_minor), str(figure.units)]


def _proof(proof: ProofOfAccounts) -> dict[str, Any]:
    return {
        "finished_at": proof.finished_at.isoformat(),
        "customers": proof.customers,
        "busy": proof.busy,
        "differences_count": proof.differences_count,
        "differences": [
            [each.customer_id, each.wrong, each.ref, each.expected, each.found]
            for each in proof.differences
        ],
    }


def _proof_of(told: dict[str, Any]) -> ProofOfAccounts:
    return ProofOfAccounts(
        finished_at=datetime.fromisoformat(told["finished_at"]),
        customers=told["customers"],
        busy=told["busy"],
        differences_count=told["differences_count"],
        differences=tuple(ReportedDifference(*each) for each in told["differences"]),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
