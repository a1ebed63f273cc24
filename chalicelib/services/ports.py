"""The protocols between the services and the outside world, and what can go wrong there.

The services own these; ``store``, ``channels``, ``manufacturers`` and ``sms`` implement them.
"Condition failed", "outcome unknown" and "refused" are never the same exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any, Generic, Protocol, TypeVar

from chalicelib.domain.account import Account, Kind
from chalicelib.domain.allocation import OwnArrears, VendKind, VendRules
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import Payment, Vend
from chalicelib.domain.plan import Every, Plan
from chalicelib.domain.tariff import Rate, Tariff

T = TypeVar("T")

# --- what can go wrong at the store ---------------------------------------------------------


class AlreadyThere(MwangaError):
    """A payment of that id is stored already; ``existing`` is how it stands."""

    code = "already_there"

    def __init__(self, existing: Payment) -> None:
        super().__init__(existing.payment_id)
        self.existing = existing


class VersionConflict(MwangaError):
    """Somebody else changed the item first: reload, recompute, try again."""

    code = "version_conflict"


class ConditionFailed(MwangaError):
    """A condition on another item of the write did not hold. ``what`` names that item."""

    code = "condition_failed"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class TryAgain(MwangaError):
    """Nothing was written because the store is busy (throttled, conflict): try again later."""

    code = "try_again"


class OutcomeUnknown(MwangaError):
    """The store did not say whether the write happened: read before anything else."""

    code = "outcome_unknown"


class QueueUnavailable(MwangaError):
    """The queue did not take the message, or did not say so: whoever sends must send again."""

    code = "try_again"


class SecretMissing(MwangaError):
    """A secret that this work needs is not in the secret store, or is not in its agreed form."""

    code = "try_again"


class NameTaken(MwangaError):
    """Another thing in the same list has that name (case and spacing aside)."""

    code = "name_taken"


class InUse(MwangaError):
    """Something still belongs to it, so it cannot be deleted."""

    code = "in_use"


class InvalidCursor(MwangaError):
    """The cursor of a list was not made by that list."""

    code = "invalid_cursor"


# --- what is stored --------------------------------------------------------------------------


class DeviceState(StrEnum):
    """How a device stands, for people."""

    ACTIVE = "active"
    UNASSIGNED = "unassigned"
    UNLOCKED = "unlocked"
    NEEDS_REVIEW = "needs_review"


@dataclass(frozen=True, slots=True)
class Device:
    """One registered device. ``technical`` is what its manufacturer needs, secrets sealed."""

    serial_number: str
    kind: Kind
    manufacturer: str
    village_id: int
    registered_on: date
    state: DeviceState = DeviceState.ACTIVE
    customer_id: str | None = None
    tariff_id: int | None = None
    appliance_id: int | None = None
    technical: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Customer:
    """One registered person. ``phone`` is E.164."""

    customer_id: str
    number: int
    name: str
    surname: str
    phone: str
    village_id: int
    needs_review: tuple[str, ...] = ()
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of an account that is not a payment; it made ``account_version``.

    ``changes`` says what changed, in the words of the account (plan terms, sums in minor units).
    """

    customer_id: str
    account_version: int
    what: str
    at: datetime
    actor: str
    reason: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """The company's settings. ``currency_decimals`` follows from ISO 4217."""

    company: str = "Mwanga"
    country: str = "KE"
    currency: str = "KES"
    currency_decimals: int = 2
    time_zone: str = "Africa/Nairobi"
    languages: tuple[str, ...] = ("en",)
    own_arrears: OwnArrears = OwnArrears.DEBT
    grace_days: int = 0
    late_payment_hours: int = 72
    refund_after_minutes: int = 15
    maximum_amount_minor: int = 100_000_000
    revision: int = 0


class MessageState(StrEnum):
    """Where one SMS is."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Message:
    """One SMS. Its identity is (payment, number)."""

    payment_id: str
    number: int
    to: str
    language: str
    body: str
    state: MessageState
    attempts: int = 0
    sent_at: datetime | None = None


class SiteKind(StrEnum):
    """The three levels of place."""

    CLUSTER = "cluster"
    MINI_GRID = "mini_grid"
    VILLAGE = "village"


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster, mini-grid or village. ``parent_id`` is the id one level up, if there is one."""

    kind: SiteKind
    site_id: int
    name: str
    parent_id: int | None = None


class ApplianceKind(StrEnum):
    """What is sold: goods without a token, or a device that gets time."""

    APPLIANCE = "appliance"
    SHS = "shs"
    E_BIKE = "e_bike"


@dataclass(frozen=True, slots=True)
class DefaultPlan:
    """How an appliance is usually paid off. One of ``instalments`` and ``instalment_minor``."""

    every: Every
    first_due_after_days: int
    down_payment_minor: int = 0
    instalments: int | None = None
    instalment_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Appliance:
    """Something that is sold on a plan."""

    appliance_id: int
    name: str
    kind: ApplianceKind
    price_minor: int
    default_plan: DefaultPlan | None = None


@dataclass(frozen=True, slots=True)
class StaffMember:
    """One person who may log in. ``failed_logins`` counts since the last success."""

    email: str
    password_hash: str
    roles: tuple[str, ...]
    active: bool = True
    must_change_password: bool = False
    failed_logins: int = 0
    blocked_until: datetime | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in. Whoever reads it checks ``expires_at``: the store deletes days late."""

    token_hash: str
    email: str
    roles: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Registration:
    """A customer and a device that become known together or not at all.

    ``account`` is one version further than it is stored, ``entry`` made that version.
    """

    customer: Customer
    new_customer: bool
    device: Device
    account: Account
    entry: Entry
    ended_plans: tuple[Plan, ...] = ()
    guard: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list and the opaque cursor of the next part."""

    items: Sequence[T]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class SettlementView:
    """What the settlement of one payment needs, read consistently in one request."""

    payment: Payment | None
    account: Account | None
    device: Device | None


# --- the store ---------------------------------------------------------------------------------


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
        self, payment_id: str, number: int, attempt: int, lease_until: datetime
    ) -> Payment | None:
        """Take up a vend: attempt n-1 -> n, state -> calling, in one conditional request.

        Only from ``intended`` or ``refused`` with ``attempts == attempt - 1``, while the payment
        is ``vending`` or ``held`` (another vend of it may be held). Vend n stands at index n - 1.
        Answers the payment as written, ``None`` when the condition did not hold.
        """

    def due(self, shard: int, until: datetime, limit: int) -> Sequence[str]:
        """Ids of open payments of that shard to look at by ``until``, the longest due first."""

    def by_owner(self, owner: str, limit: int, cursor: str | None) -> Page[Payment]:
        """Payments of a customer id, or of ``serial#<serial>`` without one, newest first."""

    def open(self, status: str, limit: int, cursor: str | None) -> Page[Payment]:
        """Open payments in that status."""


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
        ended_plans: Sequence[Plan] = (),
        payment: Payment | None = None,
        guard: tuple[str, str] | None = None,
    ) -> None:
        """Write account and entry (and device, payment, idempotency guard) in one transaction.

        Conditional on the stored version being ``account.version - 1``. ``guard`` is
        (guard id, value) and must not exist yet.

        Raises:
            VersionConflict: the account (or device, payment) was changed first.
            ConditionFailed: ``what`` is ``"guard"``.
        """

    def ended_plan(self, plan_id: str) -> Plan | None:
        """A plan that has ended (paid, cancelled, written off)."""


class Devices(Protocol):
    """Devices by serial number."""

    def get(self, serial_number: str) -> Device | None:
        """The device, read consistently. One request."""

    def of_customer(self, customer_id: str) -> Sequence[Device]:
        """All devices of a customer."""


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

    def create_customer(self, customer: Customer) -> None:
        """Store a new customer without a device, in one transaction.

        Raises:
            ConditionFailed: ``what`` is ``customer`` (the id is taken), ``guard`` (a customer of
                that phone and name exists) or ``village`` (there is none of that id).
        """

    def update_customer(self, before: Customer, after: Customer) -> Customer:
        """Replace a customer; answers it as written.

        Raises:
            VersionConflict: somebody else changed it first.
            ConditionFailed: ``what`` is ``guard`` or ``village``, as in ``create_customer``.
        """

    def register(self, registration: Registration) -> None:
        """Store customer, device, account and entry together, in one transaction.

        Raises:
            ConditionFailed: ``what``, the first that applies: ``device`` (the serial is taken),
                ``guard`` (the given guard, or a customer of that phone and name, exists),
                ``customer`` (a new one's id is taken), ``village`` (there is none of that id),
                ``account`` (its version moved on).
        """

    def update_device(self, device: Device) -> Device:
        """Write the device if its stored revision is still ``device.revision``.

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


class Sites(Protocol):
    """Clusters, mini-grids and villages. Names are unique per kind."""

    def create(self, kind: SiteKind, name: str, parent_id: int | None = None) -> Site:
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

    def update(self, before: Site, after: Site) -> None:
        """Give a site another name or parent.

        Raises:
            NameTaken, VersionConflict: see there.
            ConditionFailed: ``what`` is ``parent``: there is none of that id.
        """

    def delete(self, site: Site) -> None:
        """Delete a site that nothing belongs to.

        Raises:
            InUse, VersionConflict: see there.
        """


class Tariffs(Protocol):
    """Tariffs with their histories. Names are unique. None is ever deleted."""

    def create(self, name: str, rate: Rate) -> Tariff:
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

    def update(self, before: Tariff, after: Tariff) -> None:
        """Write ``after`` if ``before`` is still what is stored.

        Raises:
            NameTaken, VersionConflict: see there.
        """


class Appliances(Protocol):
    """What is sold on plans. Names are unique."""

    def create(
        self, name: str, kind: ApplianceKind, price_minor: int, default_plan: DefaultPlan | None
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


class SettingsStore(Protocol):
    """The company's settings, not cached."""

    def get(self) -> Settings:
        """The settings as stored (defaults, revision 0, where none are), read consistently."""

    def save(self, settings: Settings) -> Settings:
        """Write them if their stored revision is still ``settings.revision``.

        Raises:
            VersionConflict: somebody else changed them first.
        """

    def money_is_fixed(self) -> bool:
        """Whether a payment exists, so that currency and time zone may not change any more."""

    def fix_money(self) -> None:
        """Note, for good, that a payment exists. Cheap to repeat: once per process it writes."""


class Staff(Protocol):
    """Who may log in. E-mail addresses are compared without case."""

    def get(self, email: str) -> StaffMember | None:
        """The member, read consistently."""

    def create(self, member: StaffMember) -> None:
        """Store a new member.

        Raises:
            NameTaken: the e-mail is taken.
        """

    def save(self, member: StaffMember) -> StaffMember:
        """Write the member if the stored revision is still ``member.revision``.

        Raises:
            VersionConflict: somebody else changed it first.
        """


class Sessions(Protocol):
    """Log-ins by the hash of their token."""

    def get(self, token_hash: str) -> Session | None:
        """The session, read consistently; it may have expired."""

    def put(self, session: Session) -> None:
        """Store a session."""

    def delete(self, token_hash: str) -> None:
        """Forget a session; no error where there is none."""


# --- queues --------------------------------------------------------------------------------------


class Queues(Protocol):
    """The three queues. Every method may raise ``QueueUnavailable``."""

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

    def message(
        self, payment_id: str, number: int, customer_id: str | None, delay_seconds: int = 0
    ) -> None:
        """Queue one SMS."""


# --- manufacturers -------------------------------------------------------------------------------


class RecoveryClass(StrEnum):
    """What may be done after an uncertain answer of a manufacturer."""

    REPEATABLE = "repeatable"
    SEARCHABLE = "searchable"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class Manufacturer:
    """What one manufacturer module states about itself, as data.

    ``rules`` maps what it vends to its step and limit; ``local`` manufacturers compute tokens
    (``Issuer``), the others are called (``Vendor``). ``timeout_seconds`` bounds one call.
    """

    key: str
    manufacturer_id: int
    name: str
    kind: Kind
    recovery: RecoveryClass
    rules: Mapping[VendKind, VendRules]
    local: bool
    timeout_seconds: int = 0
    technical_required: bool = False


class VendRefused(MwangaError):
    """The manufacturer definitely vended nothing, and said why. ``code`` is its own."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class VendorUnreachable(MwangaError):
    """The manufacturer was certainly not reached, so it may be asked again."""

    code = "vendor_unreachable"


class VendUncertain(MwangaError):
    """Nobody knows whether the manufacturer vended. Never a blind second vend."""

    code = "vend_uncertain"


@dataclass(frozen=True, slots=True)
class Issued:
    """A token computed locally: ``count`` is the counter after it."""

    value: str
    count: int


class Issuer(Protocol):
    """A manufacturer whose tokens are computed here, inside the settlement. Pure."""

    manufacturer: Manufacturer

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Step and limit for that very device (its value divider counts)."""

    def issue(self, device: Device, kind: VendKind, units: Fraction | None, count: int) -> Issued:
        """The token that follows ``count``. The same input always gives the same token."""

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """Check what an operator entered and seal its secrets: what to store, and the counter.

        Raises:
            FieldError: with a path below ``technical``.
        """


class Vendor(Protocol):
    """A manufacturer that is called over the network."""

    manufacturer: Manufacturer

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Step and limit for that device."""

    def vend(self, payment_id: str, vend: Vend) -> str | None:
        """Ask for one token; one network call, no retry inside. ``None`` for a remote top-up.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain: see there.
            SecretMissing: the credentials are not configured; nothing was sent.
        """

    def look_up(self, payment_id: str, vend: Vend) -> str | None:
        """Find out what became of an uncertain vend (searchable manufacturers only).

        Raises:
            VendRefused: it is surely absent. VendUncertain: it cannot be told.
        """

    def token(self, text: str) -> str:
        """The token that a person typed in, in the form this manufacturer issues.

        Raises:
            FieldError: it cannot be a token of this manufacturer.
        """

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """As ``Issuer.seal``; the counter is 0 where there is none."""


class Manufacturers(Protocol):
    """The registry."""

    def all(self) -> Sequence[Manufacturer]:
        """What every known manufacturer states, by id."""

    def get(self, key: str) -> Issuer | Vendor:
        """The module of that key.

        Raises:
            KeyError: unknown.
        """


# --- channels ------------------------------------------------------------------------------------


class RefusalClass(StrEnum):
    """What refusing means on a channel."""

    ASKS_FIRST = "asks_first"
    TWO_PHASE = "two_phase"
    WE_START = "we_start"
    TOLD_AFTER = "told_after"


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """An inbound provider call, before anything of it is trusted."""

    method: str
    path_parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    source_address: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What goes back to the provider, in its own words. ``body`` is JSON-able or text."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


# --- SMS -----------------------------------------------------------------------------------------


class SmsFailed(MwangaError):
    """The gateway did not take the SMS, or did not say so: it is sent again."""

    code = "sms_failed"


class SmsGateway(Protocol):
    """Sends one SMS."""

    def send(self, message: Message) -> None:
        """Hand the SMS to the gateway.

        Raises:
            SmsFailed: refused or unknown; it will be sent again.
        """


# --- runtime -------------------------------------------------------------------------------------


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present moment, in UTC."""


class Journal(Protocol):
    """One line per state change, and one metric. Never a token, never a secret, phones masked."""

    def event(self, what: str, **fields: Any) -> None:
        """Write one line."""

    def count(self, metric: str, value: int = 1, **dimensions: str) -> None:
        """Count something."""
