"""Reconcile: prove the books of all customers, one part of the list after the other.

What is proved, and how, is in ``domain.books``: it adds up what payments and entries say they
did, and never splits a payment itself. Here it is read, without a quiet time: an account whose
version is the same before and after its payments and entries were read has not changed in
between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction

from chalicelib.domain.account import Account
from chalicelib.domain.books import (
    Difference,
    Posting,
    Wrong,
    check_books,
    check_unposted,
    plans_that_ended,
    postings_of,
)
from chalicelib.domain.payment import Payment
from chalicelib.services.entries import posting_of
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.ports import (
    Accounts,
    Clock,
    Customer,
    Entries,
    InvalidCursor,
    Journal,
    Page,
    PassState,
    Payments,
    Reconciliation,
    Reconciliations,
    Registry,
    ReportedDifference,
    TryAgain,
    VersionConflict,
)

PASS_EVERY = timedelta(hours=24)
"""So long after a pass was started the next one starts."""

CUSTOMERS_PER_PART = 25
PAYMENTS_PER_PAGE = 100

READINGS_MAX = 4
"""How often an account that changes while it is read is read anew in one pass."""

SECOND_READING_SECONDS = 2
"""The list of a customer's payments may lag behind by moments; it has caught up by then."""

DIFFERENCES_KEPT_MAX = 100
"""So many differences stand in the report; all are counted, and all are in the log."""


@dataclass(frozen=True, slots=True)
class CustomerBooks:
    """What was found about one customer: nothing, where ``differences`` is empty.

    ``versions`` and ``payments`` are how many were compared. A ``busy`` customer's account
    changed at every reading, so nothing was.
    """

    customer_id: str
    versions: int = 0
    payments: int = 0
    differences: tuple[Difference, ...] = ()
    busy: bool = False


class Reconcile:
    """Proves the books, and keeps the report of each pass over all customers."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        entries: Entries,
        payments: Payments,
        registry: Registry,
        reconciliations: Reconciliations,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._accounts = accounts
        self._entries = entries
        self._payments = payments
        self._registry = registry
        self._reconciliations = reconciliations
        self._clock = clock
        self._journal = journal
        self._pause = pause

    # --- a pass over all customers ------------------------------------------------------------

    def run(self, until: datetime, *, start_now: bool = False) -> Reconciliation | None:
        """Go on with the pass that is under way, or start one that is due; stop at ``until``.

        With ``start_now`` one is due at once; one that is under way goes on all the same. Each
        part of the list is saved before the next is begun, and a part that is begun is finished.
        Customers who are registered meanwhile come last in the list: this pass or the next one
        looks at them, and either is right.

        Answers the pass as it stands; ``None`` where nothing is due, or where another worker is
        at the same pass: the one that saved a part later leaves it to the other.

        Raises:
            TryAgain, OutcomeUnknown: the next run goes on where the last part was saved.
        """
        try:
            at_work = self._under_way(start_now)
            while at_work and at_work.state is PassState.RUNNING and self._clock.now() < until:
                at_work = self._next_part(at_work)
        except VersionConflict:
            self._journal.event("books_left_to_another")
            return None
        return at_work

    def _under_way(self, start_now: bool) -> Reconciliation | None:
        latest, now = self._reconciliations.latest(), self._clock.now()
        if latest is not None and latest.state is PassState.RUNNING:
            return latest
        if latest is not None and not start_now and now < latest.started_at + PASS_EVERY:
            return None
        fresh = _fresh(now)
        self._reconciliations.begin(fresh, latest)
        return fresh

    def _next_part(self, before: Reconciliation) -> Reconciliation:
        """Check the next customers of the list. Nothing is told before it is saved."""
        try:
            customers = self._customers(before.cursor)
        except InvalidCursor:  # of the list as another release had it: count from the beginning
            before = replace(_fresh(before.started_at), revision=before.revision)
            customers = self._customers(None)
        checked = self._check([customer.customer_id for customer in customers.items])
        after = self._reconciliations.save(self._added(before, checked, customers.next))
        for books in checked:
            self._tell_differences(books)
        if after.state is PassState.FINISHED:
            self._tell(after)
        return after

    def _customers(self, cursor: str | None) -> Page[Customer]:
        return self._registry.customers(limit=CUSTOMERS_PER_PART, cursor=cursor)

    def _added(
        self, before: Reconciliation, checked: Sequence[CustomerBooks], cursor: str | None
    ) -> Reconciliation:
        found = [reported for books in checked for reported in _reported(books)]
        kept = (*before.differences, *found)[:DIFFERENCES_KEPT_MAX]
        return replace(
            before,
            state=PassState.RUNNING if cursor else PassState.FINISHED,
            finished_at=None if cursor else self._clock.now(),
            cursor=cursor,
            customers=before.customers + len(checked),
            versions=before.versions + sum(books.versions for books in checked),
            payments=before.payments + sum(books.payments for books in checked),
            busy=before.busy + sum(books.busy for books in checked),
            differences_count=before.differences_count + len(found),
            differences=kept,
        )

    def _tell_differences(self, books: CustomerBooks) -> None:
        for reported in _reported(books):
            self._journal.event(
                "books_difference",
                customer_id=reported.customer_id,
                wrong=reported.wrong,
                ref=reported.ref,
                expected=reported.expected,
                found=reported.found,
            )

    def _tell(self, finished: Reconciliation) -> None:
        """Count at the end of a pass, zero included: silence would not tell right from not run."""
        self._journal.event(
            "books_checked",
            run_id=finished.run_id,
            customers=finished.customers,
            versions=finished.versions,
            payments=finished.payments,
            busy=finished.busy,
            differences=finished.differences_count,
        )
        self._journal.count("BooksDifferences", finished.differences_count)
        # Of passes alone: that none ends is an alarm, and a look at one customer must not hush it.
        self._journal.count("BooksChecked", finished.customers - finished.busy)

    # --- one customer -------------------------------------------------------------------------

    def check_customer(self, customer_id: str) -> CustomerBooks:
        """Prove the books of one customer, at once and apart from any pass and its report.

        What is wrong is told and counted as in a pass. A customer without an account is right if
        nothing was posted.

        Raises:
            TryAgain: the store cannot tell now.
        """
        [books] = self._check([customer_id])
        self._tell_differences(books)
        self._journal.event(
            "customer_books_checked",
            customer_id=customer_id,
            versions=books.versions,
            payments=books.payments,
            busy=books.busy,
            differences=len(books.differences),
        )
        self._journal.count("BooksDifferences", len(books.differences))
        return books

    def _check(self, customer_ids: Iterable[str]) -> list[CustomerBooks]:
        """Believe only in differences that a second reading finds again, after one pause for all:
        the list of payments follows the payments themselves a little later."""
        first = [self._read(customer_id) for customer_id in customer_ids]
        if any(books.differences for books in first):
            self._pause(SECOND_READING_SECONDS)
        return [self._read_again(books) if books.differences else books for books in first]

    def _read_again(self, first: CustomerBooks) -> CustomerBooks:
        second = self._read(first.customer_id)
        seen = {(difference.wrong, difference.ref) for difference in first.differences}
        found_again = tuple(d for d in second.differences if (d.wrong, d.ref) in seen)
        return replace(second, differences=found_again)

    def _read(self, customer_id: str) -> CustomerBooks:
        """Compare what is stored now; one customer's unreadable item is not to stop the pass."""
        try:
            return self._compared(customer_id)
        except TryAgain:
            raise
        except Exception as error:
            self._journal.event(
                "books_unreadable", customer_id=customer_id, error=type(error).__name__
            )
            unreadable = Difference(Wrong.UNREADABLE, customer_id, None, None)
            return CustomerBooks(customer_id, differences=(unreadable,))

    def _compared(self, customer_id: str) -> CustomerBooks:
        for round_number in range(READINGS_MAX):
            account = self._account(customer_id)
            entries = self._entries.of_customer(customer_id)
            payments = self._payments_of(customer_id)
            if self._account(customer_id).version == account.version:
                postings = [posting_of(entry) for entry in entries]
                return self._books(account, postings, payments)
            self._pause(jitter_seconds(round_number))
        return CustomerBooks(customer_id, busy=True)

    def _account(self, customer_id: str) -> Account:
        """The account; version 0 where none is stored."""
        return self._accounts.get(customer_id) or Account(customer_id)

    def _payments_of(self, customer_id: str) -> list[Payment]:
        """All payments of the customer; one that was given to another's device is not any more."""
        found: dict[str, Payment] = {}
        cursor: str | None = None
        while True:
            page = self._payments.by_owner(customer_id, PAYMENTS_PER_PAGE, cursor)
            found.update((p.payment_id, p) for p in page.items if p.customer_id == customer_id)
            if page.next is None:
                return list(found.values())
            cursor = page.next

    def _books(
        self, account: Account, entries: Sequence[Posting], payments: Sequence[Payment]
    ) -> CustomerBooks:
        postings = [*entries, *(posting for p in payments for posting in postings_of(p))]
        ended = {plan_id: self._paid_on(plan_id) for plan_id in plans_that_ended(account, postings)}
        differences = [
            *check_books(account, postings, ended),
            *(difference for payment in payments for difference in check_unposted(payment)),
        ]
        return CustomerBooks(
            account.customer_id,
            versions=account.version,
            payments=len(payments),
            differences=tuple(differences),
        )

    def _paid_on(self, plan_id: str) -> int | None:
        """What is stored as paid of a plan that has ended; ``None`` where it is not stored."""
        plan = self._accounts.ended_plan(plan_id)
        return None if plan is None else plan.paid_minor


def _fresh(now: datetime) -> Reconciliation:
    """A pass that starts now. Its id is that moment, so ids sort as the passes do."""
    run_id = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return Reconciliation(run_id, PassState.RUNNING, started_at=now)


def _reported(books: CustomerBooks) -> list[ReportedDifference]:
    return [
        ReportedDifference(
            customer_id=books.customer_id,
            wrong=difference.wrong.value,
            ref=difference.ref,
            expected=_text(difference.expected),
            found=_text(difference.found),
        )
        for difference in books.differences
    ]


def _text(number: int | Fraction | None) -> str | None:
    return None if number is None else str(number)
