"""Take listed: payments that stand in somebody's list, brought in through the same door as all.

A provider's own list, or a statement, is the best proof there is: what waited for one goes on.
"""

from __future__ import annotations

from enum import StrEnum

from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import (
    Claim,
    Payment,
    Status,
    claim_hash,
    is_unconfirmed,
    payment_id_of,
)
from chalicelib.services.accept import Accept, ReferenceConflict
from chalicelib.services.collect import Collect, NoSuchPayment
from chalicelib.services.ports import Journal, Listed, Payments


class Found(StrEnum):
    """What one row of a list is to us."""

    KNOWN = "known"
    CONFIRMED = "confirmed"
    TAKEN = "taken"
    MISSING = "missing"
    DIFFERENT = "different"
    UNUSABLE = "unusable"


class TakeListed:
    """Compares a row with what is stored, and brings in what is missing."""

    def __init__(
        self, *, accept: Accept, collect: Collect, payments: Payments, journal: Journal
    ) -> None:
        self._accept = accept
        self._collect = collect
        self._payments = payments
        self._journal = journal

    def take(self, listed: Listed, *, only_compare: bool = False) -> Found:
        """Bring a row in, unless it is known; with ``only_compare`` nothing new is taken, but what
        waited for a proof has it now.

        Raises:
            TryAgain, OutcomeUnknown, VersionConflict: not taken, or not known to be: again.
        """
        try:
            payment_id = id_of(listed)
        except FieldError:
            return Found.UNUSABLE
        with self._journal.about(payment_id=payment_id):
            return self._taken(payment_id, listed, only_compare)

    def _taken(self, payment_id: str, listed: Listed, only_compare: bool) -> Found:
        existing = self._payments.known_under(payment_id)
        found = _compared(listed, existing)
        if found is Found.MISSING and only_compare:
            return found
        if found in (Found.KNOWN, Found.DIFFERENT):
            return found
        try:
            self._bring_in(listed)
        except (ReferenceConflict, NoSuchPayment):
            return Found.DIFFERENT
        if found is Found.MISSING:
            self._note(payment_id, listed)
            return Found.TAKEN
        return found

    def _bring_in(self, listed: Listed) -> None:
        if listed.claim is not None:
            self._accept.accept(listed.claim, money_moved=True)
        if listed.payment_id is not None and listed.paid is not None:
            self._collect.paid(listed.payment_id, listed.paid)

    def _note(self, payment_id: str, listed: Listed) -> None:
        channel = listed.claim.channel if listed.claim else payment_id.partition(".")[0]
        self._journal.event("payment_found", payment_id=payment_id, channel=channel)
        self._journal.count("FoundByList", channel=channel)


def id_of(listed: Listed) -> str:
    """The id of the payment in a row.

    Raises:
        FieldError: what it calls the payment cannot be a part of an id.
    """
    if listed.claim is not None:
        return payment_id_of(listed.claim.source, listed.claim.transaction)
    assert listed.payment_id is not None  # noqa: S101 - a row is one or the other
    return listed.payment_id


def _compared(listed: Listed, existing: Payment | None) -> Found:
    if listed.claim is not None:
        if existing is None or existing.status is Status.REFUSED:
            return Found.MISSING
        if not _agrees(listed.claim, existing):
            return Found.DIFFERENT
        return Found.CONFIRMED if is_unconfirmed(existing) else Found.KNOWN
    if existing is None:
        return Found.DIFFERENT
    assert listed.paid is not None  # noqa: S101 - a row is one or the other
    if existing.receipt is None:
        return Found.MISSING
    if (existing.receipt, existing.amount_minor) != (listed.paid.receipt, listed.paid.amount_minor):
        return Found.DIFFERENT
    return Found.CONFIRMED if is_unconfirmed(existing) else Found.KNOWN


def _agrees(claim: Claim, existing: Payment) -> bool:
    """Whether a row is the payment that we know. Many lists name no serial number, and what was
    assigned to another device since is still the same money."""
    same_money = (claim.amount_minor, claim.currency) == (existing.amount_minor, existing.currency)
    return same_money and (
        claim_hash(claim) == existing.claim_hash or not claim.serial_number.strip("?")
    )
