"""Show a customer's statement: what they had, what happened, and what they have."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line
from chalicelib.domain.books import postings_of
from chalicelib.domain.errors import FieldError
from chalicelib.domain.ledger import has_moved
from chalicelib.domain.moment import local_day, start_of_day
from chalicelib.domain.payment import Payment
from chalicelib.domain.statement import Balance, Dated, Movement, statement_of
from chalicelib.services.entries import posting_of
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.plans import CustomerNotFound
from chalicelib.services.ports import (
    Accounts,
    Clock,
    Customer,
    Customers,
    Entries,
    Entry,
    Payments,
    SettingsStore,
    TryAgain,
)

READINGS_MAX = 4
PAYMENTS_PER_PAGE = 100
DAYS_MAX = 366
"""Longer periods are several statements: an answer of the API has an end."""


@dataclass(frozen=True, slots=True)
class StatementRow:
    """One thing that happened: a payment, or a change of the account.

    A payment that is in no account (yet) changes nothing; it is told all the same.
    """

    at: datetime
    change: Balance
    payment: Payment | None = None
    entry: Entry | None = None

    @property
    def what(self) -> str:
        """What happened: the name of the change, or the channel of the payment."""
        if self.entry is not None:
            return self.entry.what
        return self.payment.channel if self.payment else ""

    @property
    def lines(self) -> tuple[Line, ...]:
        """Where the money went."""
        if self.entry is not None:
            return posting_of(self.entry).lines
        return self.payment.lines if self.payment else ()


@dataclass(frozen=True, slots=True)
class CustomerStatement:
    """A customer's statement of a period of days."""

    customer: Customer
    first_day: date
    last_day: date
    opening: Balance
    rows: tuple[StatementRow, ...]
    closing: Balance


class ShowStatements:
    """Shows statements of customers."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        customers: Customers,
        entries: Entries,
        payments: Payments,
        settings_store: SettingsStore,
        clock: Clock,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._accounts = accounts
        self._customers = customers
        self._entries = entries
        self._payments = payments
        self._settings_store = settings_store
        self._clock = clock
        self._pause = pause

    def show(self, customer_id: str, first_day: date, last_day: date) -> CustomerStatement:
        """The statement of those days, both included.

        Raises:
            CustomerNotFound: see there.
            FieldError: on ``to``: before ``from``, after today, or more than a year from it.
            TryAgain: the account changes all the time, or the store cannot tell now.
        """
        zone = ZoneInfo(self._settings_store.get().time_zone)
        if not first_day <= last_day < first_day + timedelta(days=DAYS_MAX):
            raise FieldError("to", f"must be from, or one of the {DAYS_MAX - 1} days after it")
        if last_day > local_day(self._clock.now(), zone):
            raise FieldError("to", "must not be in the future")
        customer = self._customers.get(customer_id)
        if customer is None:
            raise CustomerNotFound(f"there is no customer {customer_id}")
        since, until = start_of_day(first_day, zone), start_of_day(last_day + _DAY, zone)
        entries, payments = self._unchanged(customer_id)
        by_version = {entry.account_version: entry for entry in entries}
        settled = {p.account_versions[0]: p for p in payments if p.account_versions}
        dated = [Dated(entry.at, posting_of(entry)) for entry in entries]
        dated += [
            Dated(payment.settled_at or payment.received_at, postings_of(payment)[0])
            for payment in settled.values()
        ]
        told = statement_of(customer_id, dated, since, until)

        def row(movement: Movement) -> StatementRow:
            version = movement.posting.version
            payment, entry = settled.get(version), by_version.get(version)
            return StatementRow(movement.at, movement.change, payment, entry)

        rows = [row(movement) for movement in told.movements]
        rows += [
            StatementRow(payment.received_at, Balance(), payment)
            for payment in payments
            if not payment.account_versions
            and payment.amount_minor
            and has_moved(payment)
            and since <= payment.received_at < until
        ]
        rows.sort(key=lambda each: each.at)
        return CustomerStatement(
            customer, first_day, last_day, told.opening, tuple(rows), told.closing
        )

    def _unchanged(self, customer_id: str) -> tuple[Sequence[Entry], Sequence[Payment]]:
        """All entries and payments, read while the account did not change."""
        for round_number in range(READINGS_MAX):
            version = self._version(customer_id)
            entries = self._entries.of_customer(customer_id)
            payments = self._payments_of(customer_id)
            if self._version(customer_id) == version and _is_complete(version, entries, payments):
                return entries, payments
            self._pause(jitter_seconds(round_number))
        raise TryAgain("the account changes while it is read")

    def _version(self, customer_id: str) -> int:
        return (self._accounts.get(customer_id) or Account(customer_id)).version

    def _payments_of(self, customer_id: str) -> list[Payment]:
        found: dict[str, Payment] = {}
        cursor: str | None = None
        while True:
            page = self._payments.by_owner(customer_id, PAYMENTS_PER_PAGE, cursor)
            found.update((p.payment_id, p) for p in page.items if p.customer_id == customer_id)
            if page.next is None:
                return list(found.values())
            cursor = page.next


def _is_complete(version: int, entries: Sequence[Entry], payments: Sequence[Payment]) -> bool:
    """Whether each version is there: the list of payments follows them a little later."""
    made = {entry.account_version for entry in entries}
    made.update(number for payment in payments for number in payment.account_versions)
    return len(made) >= version


_DAY = timedelta(days=1)
