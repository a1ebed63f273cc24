"""Erasure: who a customer was is not kept any more; payments and books stay as they are.

What stands in the way is said first: a device, an open plan, money owed or in hand, a payment that
is not finished. Then one transaction takes name and phone off the customer, frees them for somebody
new, and takes the account one version on with an entry that says who did it and why. The rest,
which may be thousands of payments and SMS, is a worker's: it looks at every payment of the
customer and takes out what tells who it was. Doing that twice changes nothing more, so whoever
dies in the middle is simply followed by the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from chalicelib.domain.account import Account
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import FINAL, Payment
from chalicelib.services.account_view import ViewAccounts
from chalicelib.services.changes import HIDDEN, change_of, of_customer
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.lists import all_of
from chalicelib.services.plans import CustomerNotFound
from chalicelib.services.ports import (
    Accounts,
    Clock,
    Customer,
    Customers,
    Erasure,
    FieldForm,
    FieldRegistration,
    FieldRegistrations,
    Journal,
    Message,
    Messages,
    Payments,
    Queues,
    QueueUnavailable,
    Registry,
    VersionConflict,
)

ERASED = "erased"
"""In the place of names, phones and texts. DynamoDB has no empty keys."""

AT_ONCE = 50
AHEAD_SECONDS = 120
"""So long before it is taken up a message waits that is queued ahead of the write: longer than any
function that may still be writing what it read of the customer before."""

LATER_SECONDS = 900
TOLD_MAX = 5
"""So many of the things that stand in the way are named; the rest are counted."""


class NotErasable(MwangaError):
    """Something is still open between the customer and the company."""

    code = "not_erasable"


class EraseCustomers:
    """Takes out of everything that is stored who a customer was."""

    def __init__(
        self,
        *,
        customers: Customers,
        accounts: Accounts,
        view_accounts: ViewAccounts,
        payments: Payments,
        messages: Messages,
        field_registrations: FieldRegistrations,
        registry: Registry,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._customers = customers
        self._accounts = accounts
        self._view_accounts = view_accounts
        self._payments = payments
        self._messages = messages
        self._field_registrations = field_registrations
        self._registry = registry
        self._queues = queues
        self._clock = clock
        self._journal = journal

    # --- what an admin asks for ---------------------------------------------------------------

    def erase(self, customer_id: str, *, reason: str, actor: str) -> Customer:
        """Begin to erase the customer; said again, go on where it may have stopped.

        The worker's message is queued before the write, to arrive after it: a crash in between
        leaves a message that finds nothing to do, and none leaves a write without its message.

        Raises:
            CustomerNotFound: see there.
            NotErasable: it says what stands in the way.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable: not erased, or not known
                to be: ask again.
        """
        customer = self._get(customer_id)
        if customer.erased:
            if customer.erasure_finished_at is None:
                self._queues.erase(customer_id)
            return customer
        account = self._accounts.get(customer_id) or Account(customer_id)
        self._require_nothing_open(account)
        act = Act(actor, self._clock.now(), reason)
        self._queues.erase(customer_id, delay_seconds=AHEAD_SECONDS)
        self._registry.erase_customer(_erasure(customer, account, act))
        self._journal.event("customer_erased", customer_id=customer_id, actor=actor)
        try:
            self._queues.erase(customer_id)
        except QueueUnavailable:
            self._journal.event("queueing_failed", customer_id=customer_id)
        return self._get(customer_id)

    def _get(self, customer_id: str) -> Customer:
        customer = self._customers.get(customer_id)
        if customer is None:
            raise CustomerNotFound(f"there is no customer {customer_id}")
        return customer

    def _require_nothing_open(self, account: Account) -> None:
        """That customer and company are quits."""
        owned = [device.serial_number for device in account.devices if device.owned]
        plans = [plan.plan_id for plan in account.plans]
        view = self._view_accounts.view(account.customer_id, None)
        fees = [] if plans else [f"{debt.kind.value} {debt.ref}" for debt in view.debts]
        credit = ["credit in hand"] if account.credit_minor else []
        open_payments = [
            payment.payment_id
            for payment in self._payments_of(account.customer_id)
            if payment.status not in FINAL
        ]
        found = {
            "devices": owned,
            "open plans": plans,
            "debts": fees,
            "credit": credit,
            "payments that are not finished": open_payments,
        }
        told = [f"{what}: {_named(names)}" for what, names in found.items() if names]
        if told:
            raise NotErasable(f"The customer still has {'; '.join(told)}.")

    def _payments_of(self, customer_id: str) -> Iterator[Payment]:
        return all_of(
            lambda limit, cursor: self._payments.by_owner(customer_id, limit, cursor), AT_ONCE
        )

    # --- what the worker does -----------------------------------------------------------------

    def go_on(self, customer_id: str, cursor: str | None, until: datetime) -> None:
        """Take out of the customer's payments, SMS and registrations who it was, until the time is
        up; then have the rest done by another run.

        A payment that is not finished (one that came when it was paid too late) is left for later.

        Raises:
            TryAgain, OutcomeUnknown, QueueUnavailable: go on with it again.
        """
        customer = self._customers.get(customer_id)
        if customer is None or not customer.erased:
            return
        left = self._clean_registrations(customer_id)
        while True:
            page = self._payments.by_owner(customer_id, AT_ONCE, cursor)
            left += sum(not self._clean_payment(payment) for payment in page.items)
            cursor = page.next
            if cursor is None:
                break
            if self._clock.now() >= until:
                # What was left behind is seen by the run that begins anew.
                self._queues.erase(customer_id, cursor)
                if left:
                    self._queues.erase(customer_id, delay_seconds=LATER_SECONDS)
                return
        if left:
            self._queues.erase(customer_id, delay_seconds=LATER_SECONDS)
            return
        self._finish(customer)

    def _clean_payment(self, payment: Payment) -> bool:
        """Take the phone out of a payment and of its SMS; false where it must wait."""
        if payment.status not in FINAL:
            return False
        if payment.payer_phone is not None:
            try:
                self._payments.save(replace(payment, payer_phone=None))
            except VersionConflict:
                return False
        for message in self._messages.of_payment(payment.payment_id):
            if message.to != ERASED:
                self._messages.put(_without_person(message))
        return True

    def _clean_registrations(self, customer_id: str) -> int:
        """Take the person out of the forms from the field; how many must wait."""
        left = 0
        for registration in self._field_registrations.of_customer(customer_id):
            if registration.form.phone == ERASED:
                continue
            try:
                self._field_registrations.save(_nobodys(registration))
            except VersionConflict:
                left += 1
        return left

    def _finish(self, customer: Customer) -> None:
        if customer.erasure_finished_at is not None:
            return
        done = replace(customer, erasure_finished_at=self._clock.now())
        try:
            self._registry.update_customer(customer, done)
        except VersionConflict:  # another run has finished it
            return
        self._journal.event("erasure_finished", customer_id=customer.customer_id)


def _erasure(customer: Customer, account: Account, act: Act) -> Erasure:
    after = replace(
        customer, name=ERASED, surname=ERASED, phone=ERASED, needs_review=(), erased_at=act.at
    )
    account = account.next_version()
    told = {name: {"before": HIDDEN, "after": ERASED} for name in ("name", "surname", "phone")}
    return Erasure(
        before=customer,
        after=after,
        account=account,
        entry=entry_of(act, account, "customer_erased"),
        change=change_of(act, of_customer(customer.customer_id), "customer_erased", told),
    )


def _without_person(message: Message) -> Message:
    """The SMS without its receiver and its text, which greets by name and brings a token."""
    return replace(message, to=ERASED, body=ERASED)


def _nobodys(registration: FieldRegistration) -> FieldRegistration:
    """The form without the person. The place where the device stands is where somebody lived."""
    form: FieldForm = replace(
        registration.form, name=ERASED, surname=ERASED, phone=ERASED, geo_points=None
    )
    return replace(registration, form=form)


def _named(names: list[str]) -> str:
    more = len(names) - TOLD_MAX
    return ", ".join(names[:TOLD_MAX]) + (f" and {more} more" if more > 0 else "")
