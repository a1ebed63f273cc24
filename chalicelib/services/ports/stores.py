"""What the services ask of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from chalicelib.domain.account import Account
from chalicelib.domain.payment import Payment
from chalicelib.domain.plan import Plan
from chalicelib.domain.tariff import Rate, Tariff
from chalicelib.services.ports.records import (
    AccountChange,
    Agent,
    AgentEntry,
    Appliance,
    ApplianceKind,
    Change,
    Customer,
    DefaultPlan,
    Device,
    Entry,
    Erasure,
    FieldRegistration,
    Message,
    Page,
    Pauses,
    Registration,
    RegistrationStatus,
    Session,
    Settings,
    SettingsChange,
    SettlementView,
    Site,
    SiteKind,
    WrongTries,
)


class Payments(Protocol):
    """Payments and the settlement transaction. Every write is conditional on the revision."""

    def create(self, payment: Payment) -> None:
        """Store a new payment. One request.

        Raises:
            AlreadyThere: the id is taken (also by a refused one); nothing was written.
            TryAgain, OutcomeUnknown: see there.
        """

    def get(self, payment_id: str) -> Payment | None:
        """The payment as it stands, read consistently."""

    def save(self, payment: Payment) -> Payment:
        """Write the payment if its stored revision is still ``payment.revision``.

        Answers the payment with the revision that was written (one higher).

        Raises:
            VersionConflict: somebody else changed it first.
        """

    def view_for_settlement(
        self, payment_id: str, customer_id: str | None, serial_number: str
    ) -> SettlementView:
        """Payment, account and device, read consistently in one request."""

    def settle(self, payment: Payment, account: Account, ended_plans: Sequence[Plan]) -> Payment:
        """Write payment and account together, in one transaction.

        Conditional on the payment's stored revision being ``payment.revision`` and the account's
        stored version being ``account.version - 1``. Answers the payment as written.

        Raises:
            VersionConflict: one of the two was changed first; nothing was written.
            TryAgain, OutcomeUnknown: see there.
        """

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
        """Take up a vend: attempt n-1 -> n, state -> calling, in one conditional request.

        Only from ``intended`` or ``refused``, or, with ``again``, from ``uncertain``, and with
        ``attempts == attempt - 1``, while the payment is ``vending``, or ``held`` or ``refunding``
        (for another vend's sake). Vend n stands at index n - 1. Answers the payment as written,
        ``None`` when the condition did not hold.
        """

    def receive(
        self, payment: Payment, guard: tuple[str, str], twin: Payment | None = None
    ) -> Payment:
        """Write a payment that we started and that was paid, with a guard on its receipt.

        In one transaction, if the payment's stored revision is still ``payment.revision``. A
        ``twin`` takes the id that the receipt would give a payment in the same pot; nothing may
        be there but a refusal.

        Raises:
            ConditionFailed: ``what`` is ``guard`` or ``twin``: the receipt is known already.
            VersionConflict: somebody else changed the payment first.
            TryAgain, OutcomeUnknown: see there.
        """

    def known_under(self, payment_id: str) -> Payment | None:
        """The payment of that id, or the one whose receipt would make that id."""

    def known_under_any(self, payment_ids: Sequence[str]) -> Sequence[Payment]:
        """The payments that have one of those ids, or a receipt that would make one.

        At most 50 ids; one request, and another where a receipt was found.
        """

    def of_channel(self, channel: str, since: datetime, until: datetime) -> Iterable[Payment]:
        """All payments of a channel that we were told of from ``since`` on and before ``until``.

        Looks through everything there is: never on the path of a request.

        Raises:
            TryAgain: see there.
        """

    def due(self, shard: int, until: datetime, limit: int) -> Sequence[str]:
        """Ids of open payments of that shard to look at by ``until``, the longest due first."""

    def all_open(self, limit: int) -> Sequence[Payment]:
        """All payments without a final status, in no order; ``limit`` of them where there are
        more.

        Raises:
            TryAgain: see there.
        """

    def by_owner(self, owner: str, limit: int, cursor: str | None) -> Page[Payment]:
        """Payments of a customer id, or of ``serial#<serial>`` without one, newest first."""

    def open(self, status: str, limit: int, cursor: str | None) -> Page[Payment]:
        """Open payments in that status."""


class Agents(Protocol):
    """Agents: how each stands, and what was done about them."""

    def get(self, agent_id: str) -> Agent | None:
        """How the agent stands, read consistently; ``None``: nothing is known yet."""

    def all(self, limit: int, cursor: str | None) -> Page[Agent]:
        """All agents."""

    def sell(self, agent: Agent, payment: Payment, refused: Payment | None) -> None:
        """Write a new payment and the agent after it, in one transaction.

        ``refused`` is what stands under the payment's id, where anything does.

        Raises:
            VersionConflict: one of them was changed first; nothing was written.
            TryAgain, OutcomeUnknown: see there.
        """

    def write(self, agent: Agent, entry: AgentEntry) -> None:
        """Write the agent and the next entry, in one transaction.

        Raises:
            VersionConflict: the agent was changed first; nothing was written.
            TryAgain, OutcomeUnknown: see there.
        """

    def entries(self, agent_id: str, limit: int, cursor: str | None) -> Page[AgentEntry]:
        """What was done about the agent, newest first."""


class Accounts(Protocol):
    """Accounts and all writes that change one together with other items."""

    def get(self, customer_id: str) -> Account | None:
        """The account, read consistently."""

    def change(
        self,
        account: Account,
        entry: Entry,
        *,
        device: Device | None = None,
        other_device: Device | None = None,
        ended_plans: Sequence[Plan] = (),
        payment: Payment | None = None,
        new_payment: Payment | None = None,
        guard: tuple[str, str] | None = None,
    ) -> None:
        """Write account and entry (and devices, payment, idempotency guard) in one transaction.

        Conditional on the stored version being ``account.version - 1``. ``new_payment`` must not
        exist yet: the payment of nothing that carries the vend of the entry. ``guard`` is
        (guard id, value) and must not exist yet.

        Raises:
            VersionConflict: the account (or device, payment) was changed first.
            ConditionFailed: ``what`` is ``"guard"``.
        """

    def change_both(self, first: AccountChange, second: AccountChange, device: Device) -> None:
        """Write two accounts with their entries, and the device that changes hands, in one
        transaction, on the same conditions.

        Raises:
            VersionConflict: one of them was changed first; nothing was written.
        """

    def entry(self, customer_id: str, account_version: int) -> Entry | None:
        """The entry that made that version of the account, read consistently."""

    def ended_plan(self, plan_id: str) -> Plan | None:
        """A plan that has ended (paid, cancelled, written off)."""


class Devices(Protocol):
    """Devices by serial number."""

    def get(self, serial_number: str) -> Device | None:
        """The device, read consistently. One request."""

    def of_customer(self, customer_id: str) -> Sequence[Device]:
        """All devices of a customer."""

    def to_switch(self, until: datetime, limit: int) -> Sequence[tuple[str, datetime]]:
        """Serial numbers to look at by ``until``, each with its time; the longest due first."""

    def look_by(self, serial_number: str, at: datetime) -> None:
        """Have the device looked at no later than that. One request."""

    def look_again(self, serial_number: str, seen: datetime, at: datetime | None) -> Device | None:
        """Put off a look that was due (``None``: no look is due any more). One request.

        ``None`` when the device is not to be looked at at ``seen`` any more.
        """


class Customers(Protocol):
    """Registered persons by id."""

    def get(self, customer_id: str) -> Customer | None:
        """The customer, read consistently. One request."""


class Messages(Protocol):
    """The SMS that were sent or are to be sent."""

    def view_for_sending(
        self, payment_id: str, number: int, customer_id: str | None
    ) -> tuple[Payment | None, Message | None, Customer | None]:
        """Payment, the message so far, and the customer, consistently in one request."""

    def put(self, message: Message) -> None:
        """Store the message as it stands now (last writer wins: sending twice is harmless)."""

    def of_payment(self, payment_id: str) -> Sequence[Message]:
        """All messages of a payment, by number."""


class Catalogue(Protocol):
    """Reference data, cached up to 30 seconds."""

    def settings(self) -> Settings:
        """The company's settings (defaults where none are stored)."""

    def tariffs(self, tariff_ids: Iterable[int]) -> Mapping[int, Tariff]:
        """Those tariffs with their histories; unknown ids are left out."""

    def pauses(self) -> Pauses:
        """What is paused."""


class Registry(Protocol):
    """Customers, devices and numbers: what the registration writes.

    Every method may raise ``TryAgain`` or ``OutcomeUnknown``.
    """

    def next_number(self, counter: str) -> int:
        """The next integer of that counter (``customer``, ``cluster``, ``tariff`` …), from 1.

        A number that is not used leaves a gap; none is ever given twice.
        """

    def customer_of(self, phone: str, name: str, surname: str) -> Customer | None:
        """The customer with that E.164 phone and that name, read consistently."""

    def customers(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        phone: str | None = None,
        name: str | None = None,
        number: int | None = None,
    ) -> Page[Customer]:
        """Customers: all by number, or those of a phone, a name prefix or a number.

        Raises:
            InvalidCursor: the cursor is of another list, or of none.
        """

    def last_number(self, counter: str) -> int:
        """The number that was given last; 0 where none was."""

    def customers_numbered(self, first: int, last: int) -> Sequence[Customer]:
        """The customers with these numbers, both included, the highest first."""

    def create_customer(self, customer: Customer, change: Change | None = None) -> None:
        """Store a new customer without a device, and who made it, in one transaction.

        Raises:
            ConditionFailed: ``what`` is ``customer`` (the id is taken), ``guard`` (a customer of
                that phone and name exists) or ``village`` (there is none of that id).
        """

    def update_customer(
        self, before: Customer, after: Customer, change: Change | None = None
    ) -> Customer:
        """Replace a customer, and say who did; answers it as written.

        Raises:
            VersionConflict: somebody else changed it first.
            ConditionFailed: ``what`` is ``guard`` or ``village``, as in ``create_customer``.
        """

    def erase_customer(self, erasure: Erasure) -> None:
        """Write what is left of a customer and its account, and free its phone and name, in one
        transaction.

        Raises:
            VersionConflict: somebody else changed the customer or the account first.
        """

    def register(self, registration: Registration) -> None:
        """Store customer, device, account and entry together, in one transaction.

        Raises:
            ConditionFailed: ``what``, the first that applies: ``device`` (the serial is taken),
                ``guard`` (the given guard, or a customer of that phone and name, exists),
                ``customer`` (a new one's id is taken), ``village`` (there is none of that id),
                ``account`` (its version moved on).
        """

    def create_device(self, device: Device, change: Change | None = None) -> None:
        """Store a new device that nobody owns, and who brought it, in one transaction.

        Raises:
            ConditionFailed: ``what`` is ``device`` (the serial is taken) or ``village`` (there is
                none of that id).
        """

    def update_device(self, device: Device, change: Change | None = None) -> Device:
        """Write the device, and who did, if its stored revision is still ``device.revision``.

        Raises:
            VersionConflict: somebody else changed it first.
        """

    def guard(self, guard_id: str) -> str | None:
        """The value under that guard (an ``Idempotency-Key``, say), read consistently."""

    def put_guard(self, guard_id: str, value: str) -> None:
        """Store a guard.

        Raises:
            ConditionFailed: ``what`` is ``guard``: it exists.
        """


class FieldRegistrations(Protocol):
    """Registrations from the field, by id.

    Every method may raise ``TryAgain``, those that write ``OutcomeUnknown``.
    """

    def create(self, registration: FieldRegistration) -> None:
        """Store a new one.

        Raises:
            ConditionFailed: ``what`` is ``registration``: the id is taken.
        """

    def get(self, registration_id: str) -> FieldRegistration | None:
        """The registration, read consistently."""

    def save(self, registration: FieldRegistration) -> FieldRegistration:
        """Write it if its stored revision is still ``registration.revision``; answers it as
        written.

        Raises:
            VersionConflict: somebody else changed it first.
        """

    def list(
        self, status: RegistrationStatus, limit: int, cursor: str | None
    ) -> Page[FieldRegistration]:
        """Those in that status, the oldest first.

        Raises:
            InvalidCursor: see there.
        """

    def of_customer(self, customer_id: str) -> Sequence[FieldRegistration]:
        """Those that became this customer. A moment behind at most."""


Note = Callable[[int], Change]
"""Who made something, once its number is known."""


class Sites(Protocol):
    """Clusters, mini-grids and villages. Names are unique per kind.

    A ``change`` that is given is written in the same transaction; so everywhere below.
    """

    def create(
        self, kind: SiteKind, name: str, parent_id: int | None = None, note: Note | None = None
    ) -> Site:
        """Store a new site under the next number of its kind.

        Raises:
            NameTaken: see there.
            ConditionFailed: ``what`` is ``parent``: there is none of that id.
        """

    def get(self, kind: SiteKind, site_id: int) -> Site | None:
        """The site, read consistently."""

    def list(self, kind: SiteKind, limit: int, cursor: str | None) -> Page[Site]:
        """Sites of that kind.

        Raises:
            InvalidCursor: see there.
        """

    def update(self, before: Site, after: Site, change: Change | None = None) -> None:
        """Give a site another name or parent.

        Raises:
            NameTaken, VersionConflict: see there.
            ConditionFailed: ``what`` is ``parent``: there is none of that id.
        """

    def delete(self, site: Site, change: Change | None = None) -> None:
        """Delete a site that nothing belongs to.

        Raises:
            InUse, VersionConflict: see there.
        """


class Tariffs(Protocol):
    """Tariffs with their histories. Names are unique. None is ever deleted."""

    def create(self, name: str, rate: Rate, note: Note | None = None) -> Tariff:
        """Store a new tariff under the next number.

        Raises:
            NameTaken: see there.
        """

    def get(self, tariff_id: int) -> Tariff | None:
        """The tariff, read consistently."""

    def list(self, limit: int, cursor: str | None) -> Page[Tariff]:
        """Tariffs by id.

        Raises:
            InvalidCursor: see there.
        """

    def update(self, before: Tariff, after: Tariff, change: Change | None = None) -> None:
        """Write ``after`` if ``before`` is still what is stored.

        Raises:
            NameTaken, VersionConflict: see there.
        """


class Appliances(Protocol):
    """What is sold on plans. Names are unique."""

    def create(
        self,
        name: str,
        kind: ApplianceKind,
        price_minor: int,
        default_plan: DefaultPlan | None,
        manufacturer: str | None = None,
        note: Note | None = None,
    ) -> Appliance:
        """Store a new appliance under the next number.

        Raises:
            NameTaken: see there.
        """

    def get(self, appliance_id: int) -> Appliance | None:
        """The appliance, read consistently."""

    def list(self, limit: int, cursor: str | None) -> Page[Appliance]:
        """Appliances by id.

        Raises:
            InvalidCursor: see there.
        """


class Changes(Protocol):
    """Who changed what, of all that is no account."""

    def put(self, change: Change) -> None:
        """Store one that goes with no other write.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """

    def of(self, subject: str, limit: int, cursor: str | None) -> Page[Change]:
        """The changes of a thing, the newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """

    def of_account(self, customer_id: str, limit: int, cursor: str | None) -> Page[Entry]:
        """The entries of an account, the newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """


class SettingsStore(Protocol):
    """The company's settings, not cached."""

    def get(self) -> Settings:
        """The settings as stored (defaults, revision 0, where none are), read consistently."""

    def save(self, settings: Settings, change: SettingsChange) -> Settings:
        """Write them, and who changed what, in one transaction.

        If their stored revision is still ``settings.revision``; ``change`` is of the next one.

        Raises:
            VersionConflict: somebody else changed them first.
        """

    def changes(self, limit: int, cursor: str | None) -> Page[SettingsChange]:
        """What was changed, the newest first.

        Raises:
            InvalidCursor: see there.
        """

    def money_is_fixed(self) -> bool:
        """Whether a payment exists, so that currency and time zone may not change any more."""

    def fix_money(self) -> None:
        """Note, for good, that a payment exists. Cheap to repeat: once per process it writes."""


class PausesStore(Protocol):
    """What is paused, not cached."""

    def get(self) -> Pauses:
        """What is paused, read consistently; nothing (revision 0) where nothing ever was."""

    def save(self, pauses: Pauses, change: SettingsChange) -> Pauses:
        """Write it, and who changed what, in one transaction.

        If the stored revision is still ``pauses.revision``; ``change`` is of the next one.

        Raises:
            VersionConflict: somebody else changed it first.
        """


class Marks(Protocol):
    """How far something was read."""

    def get(self, name: str) -> datetime | None:
        """The moment of that mark; ``None``: it was never set."""

    def set(self, name: str, at: datetime) -> None:
        """Set the mark.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """


class WrongTriesStore(Protocol):
    """Wrong passwords, by whose or from where they were."""

    def of(self, whose: Sequence[str]) -> Sequence[WrongTries]:
        """Those that are known, read consistently in one request."""

    def save(self, tries: WrongTries) -> None:
        """Write them if their stored revision is still ``tries.revision``, or 0 and none are.

        Raises:
            VersionConflict: somebody else counted at the same time.
        """

    def forget(self, whose: str) -> None:
        """Forget them; no error where there are none."""


class Sessions(Protocol):
    """Log-ins by the hash of their token."""

    def get(self, token_hash: str) -> Session | None:
        """The session, read consistently; it may have expired."""

    def put(self, session: Session) -> None:
        """Store a new session."""

    def renew(self, session: Session) -> bool:
        """Write what was checked of a session; false where it is not there any more."""

    def delete(self, token_hash: str) -> None:
        """Forget a session; no error where there is none."""
