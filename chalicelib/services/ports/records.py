"""What is stored, as plain values: what the store reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any, Generic, TypeVar

from chalicelib.domain.account import Account, Kind
from chalicelib.domain.allocation import OwnArrears
from chalicelib.domain.payment import Payment
from chalicelib.domain.plan import Every, Plan


class DeviceState(StrEnum):
    """How a device stands, for people."""

    ACTIVE = "active"
    UNASSIGNED = "unassigned"
    UNLOCKED = "unlocked"
    NEEDS_REVIEW = "needs_review"


@dataclass(frozen=True, slots=True)
class Device:
    """One registered device. ``technical`` is what its manufacturer needs, secrets sealed.

    ``switch_off_at`` is when it is to be looked at whether it must be switched off; ``None`` where
    nothing is due.
    """

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
    switch_off_at: datetime | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Customer:
    """One registered person. ``phone`` is E.164.

    From ``erased_at`` on, name and phone are a fixed marker, and nothing may become theirs any
    more. ``erasure_finished_at``: nothing else that is stored tells who it was, either.
    """

    customer_id: str
    number: int
    name: str
    surname: str
    phone: str
    village_id: int
    needs_review: tuple[str, ...] = ()
    erased_at: datetime | None = None
    erasure_finished_at: datetime | None = None
    revision: int = 1

    @property
    def erased(self) -> bool:
        """Whether who this was is not kept any more."""
        return self.erased_at is not None


@dataclass(frozen=True, slots=True)
class Change:
    """Who changed something that is no account, when, and what: a person, a device, a price.

    ``subject`` is kind and id of the thing (``customer#C17``), and ``change_id`` tells its changes
    apart, in the order of their times. ``fields`` maps each field that changed to what it was and
    what it became; of personal data and of keys, only that it changed.
    """

    subject: str
    change_id: str
    at: datetime
    actor: str
    what: str
    reason: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Erasure:
    """A customer of whom is kept no more who it was, and the account one version on.

    ``before`` is the customer as read.
    """

    before: Customer
    after: Customer
    account: Account
    entry: Entry
    change: Change


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
    """The company's settings. ``currency_decimals`` follows from ISO 4217.

    Larger payments than ``confirm_above_minor`` wait for a confirmation, where their provider
    signs nothing; ``None``: none of them does.
    """

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
    confirm_above_minor: int | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """Who changed the settings, when, and what: they are ``revision`` since.

    ``changes`` maps each field that changed to what it was and what it became.
    """

    revision: int
    at: datetime
    actor: str
    changes: Mapping[str, Any]


class PauseKind(StrEnum):
    """What can be paused."""

    CHANNEL = "channel"
    MANUFACTURER = "manufacturer"


@dataclass(frozen=True, slots=True)
class Pause:
    """A channel that takes no payments for now, or a manufacturer that is not called for now.

    ``actor`` has said so, ``since`` then, and why.
    """

    kind: PauseKind
    key: str
    reason: str
    actor: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Pauses:
    """All that is paused now."""

    pauses: tuple[Pause, ...] = ()
    revision: int = 0

    def of(self, kind: PauseKind, key: str) -> Pause | None:
        """The pause of that channel or manufacturer; ``None``: it is not paused."""
        return next((p for p in self.pauses if (p.kind, p.key) == (kind, key)), None)


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who takes customers' money for the company, and how they stand with it.

    ``held_minor`` is the company's cash in their hands; with it a sale may not rise above
    ``float_limit_minor`` (``None``: no limit). ``commission_share`` of each payment is theirs, and
    ``commission_minor`` is what they have earned and not been paid yet, exactly. ``entries`` counts
    what was written down of them.
    """

    agent_id: str
    email: str
    float_limit_minor: int | None = None
    commission_share: Fraction = Fraction(0)
    held_minor: int = 0
    commission_minor: Fraction = Fraction(0)
    entries: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """What was done about an agent: other ``terms``, or a ``receipt`` of cash that was handed in.

    ``cash_minor`` was handed in, ``commission_paid_minor`` was kept by the agent or paid out.
    """

    agent_id: str
    number: int
    what: str
    at: datetime
    actor: str
    reason: str
    key: str = ""
    cash_minor: int = 0
    commission_paid_minor: int = 0


class MessageState(StrEnum):
    """Where one SMS is."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Message:
    """One SMS. Its identity is (payment, number). The store deletes it after ``forget_at``."""

    payment_id: str
    number: int
    to: str
    language: str
    body: str
    state: MessageState
    attempts: int = 0
    sent_at: datetime | None = None
    forget_at: datetime | None = None


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
    """Something that is sold on a plan. ``manufacturer`` is the key of who makes it, if known."""

    appliance_id: int
    name: str
    kind: ApplianceKind
    price_minor: int
    default_plan: DefaultPlan | None = None
    manufacturer: str | None = None


@dataclass(frozen=True, slots=True)
class WrongTries:
    """How many wrong passwords came lately for somebody, or from somewhere.

    ``whose`` is a hash: nobody finds e-mails or addresses here. The store deletes it some time
    after ``forget_at``.
    """

    whose: str
    tries: int
    blocked_until: datetime
    forget_at: datetime
    revision: int = 1


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in. Whoever reads it checks ``expires_at``: the store deletes days late.

    ``roles`` are those that ``username`` had at ``checked_at``.
    """

    token_hash: str
    username: str
    email: str
    roles: tuple[str, ...]
    expires_at: datetime
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class Registration:
    """A customer and a device that become known together or not at all.

    ``account`` is one version further than it is stored, ``entry`` made that version.
    ``payment`` is new: the payment of nothing that carries the vend of the entry.
    """

    customer: Customer
    new_customer: bool
    device: Device
    account: Account
    entry: Entry
    ended_plans: tuple[Plan, ...] = ()
    guard: tuple[str, str] | None = None
    payment: Payment | None = None


class RegistrationStatus(StrEnum):
    """How far a registration from the field is. The last three are final."""

    NEEDS_REVIEW = "needs_review"
    REGISTERED = "registered"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class FieldForm:
    """What the registration app's form says, in normal form.

    Ids are as they were posted: the app picks them from lists that may be days old.
    """

    name: str
    surname: str
    phone: str
    village_id: int
    serial_number: str
    manufacturer_id: int
    tariff_id: int
    meter_type_id: int | None = None
    connection_group_id: int | None = None
    connection_type_id: int | None = None
    sub_connection_type_id: int | None = None
    geo_points: str | None = None


@dataclass(frozen=True, slots=True)
class FieldRegistration:
    """A registration that field staff posted, and what became of it.

    ``reasons`` say why a person must look, while that is so. ``customer_id`` and
    ``serial_number`` are there once customer and device are; the form's own serial number stays
    what was posted.
    """

    registration_id: str
    form: FieldForm
    status: RegistrationStatus
    posted_at: datetime
    posted_by: str
    reasons: tuple[str, ...] = ()
    customer_id: str | None = None
    serial_number: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    resolution: str | None = None
    revision: int = 1


@dataclass(frozen=True, slots=True)
class AccountChange:
    """An account one version further than it is stored, and the entry that made that version."""

    account: Account
    entry: Entry


T = TypeVar("T")


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
