"""The tables, as PynamoDB models: one attribute per field of the value that a row stores.

Every attribute has its field's own name. ``null=True`` marks what may be absent, because the
value is empty; see ``attributes`` for the rule. What else a row has (index keys) is said here.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from pynamodb.attributes import UnicodeAttribute
from pynamodb.indexes import AllProjection, KeysOnlyProjection

from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.allocation import Line, OwnArrears
from chalicelib.domain.payment import Event, Payment, Refund, Status, Token, Vend
from chalicelib.domain.plan import Every, Plan, PlanKind, PlanState
from chalicelib.domain.tariff import Rate, Tariff
from chalicelib.services.names import folded
from chalicelib.services.ports import (
    Agent,
    AgentEntry,
    Appliance,
    ApplianceKind,
    Change,
    Customer,
    DefaultPlan,
    Device,
    DeviceState,
    Entry,
    FieldForm,
    FieldRegistration,
    Message,
    MessageState,
    RegistrationStatus,
    Session,
    Settings,
    SettingsChange,
    Site,
    SiteKind,
    WrongTries,
)
from chalicelib.store.attributes import (
    ChoiceAttribute,
    DayAttribute,
    DocumentAttribute,
    EpochAttribute,
    FractionAttribute,
    MinorUnitsAttribute,
    MomentAttribute,
    RecordAttribute,
    TupleAttribute,
    WholeNumberAttribute,
    records,
)
from chalicelib.store.connection import Index, Table

IN_STOCK = "stock"
"""The one partition of the devices that nobody owns."""

SWITCHING = "switching"
"""The one partition of the devices that are to be looked at whether they must be switched off."""

OPEN_SHARDS = 16
"""Open payments are spread over this many index partitions."""


def _texts() -> TupleAttribute[str]:
    return TupleAttribute(UnicodeAttribute(), null=True)


# --- payments ---------------------------------------------------------------------------------


class ByOwner(Index):
    """Payments of a customer, or of a serial number without one, by time."""

    class Meta:
        """Keys only: every byte in an index is written again with each change."""

        index_name = "by_owner"
        projection = KeysOnlyProjection()

    owner = UnicodeAttribute(hash_key=True)
    received_at = MomentAttribute(range_key=True)


class OpenPayments(Index):
    """Payments without a final status, by the time to look at them again."""

    class Meta:
        """Keys only, and sparse: a payment in a final status is not in it."""

        index_name = "open"
        projection = KeysOnlyProjection()

    open_shard = UnicodeAttribute(hash_key=True)
    check_at = MomentAttribute(range_key=True)


class PaymentRow(Table):
    """A payment. ``open_shard`` is there exactly as long as ``check_at`` is."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "payments"

    record: ClassVar[type[Any]] = Payment

    payment_id = UnicodeAttribute(hash_key=True)
    channel = UnicodeAttribute()
    reference = UnicodeAttribute()
    serial_number = UnicodeAttribute()
    amount_minor = MinorUnitsAttribute()
    currency = UnicodeAttribute()
    claim_hash = UnicodeAttribute()
    moment = MomentAttribute()
    received_at = MomentAttribute()
    status = ChoiceAttribute(Status)
    customer_id = UnicodeAttribute(null=True)
    plan_id = UnicodeAttribute(null=True)
    payer_phone = UnicodeAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    lines = records(Line)
    vends = records(Vend)
    tokens = records(Token)
    refunds = records(Refund)
    events = records(Event)
    account_versions = TupleAttribute[int](WholeNumberAttribute(), null=True)
    receipt = UnicodeAttribute(null=True)
    known_as = DocumentAttribute(null=True)
    asked_at = MomentAttribute(null=True)
    refund_at = MomentAttribute(null=True)
    settled_at = MomentAttribute(null=True)
    completed_at = MomentAttribute(null=True)
    check_at = MomentAttribute(null=True)
    sweeps = WholeNumberAttribute(null=True)
    revision = WholeNumberAttribute()

    owner = UnicodeAttribute()
    open_shard = UnicodeAttribute(null=True)

    by_owner = ByOwner()
    open = OpenPayments()

    @classmethod
    def of(cls, value: Payment, **more: Any) -> PaymentRow:
        """The row for a payment, with its places in the two indexes."""
        if value.check_at is not None:
            more["open_shard"] = open_shard(shard_of(value.payment_id))
        return super().of(replace(value, stored=None), owner=value.owner, **more)

    def value(self) -> Payment:
        """The payment, which remembers how it was read."""
        payment: Payment = super().value()
        return replace(payment, stored=payment)


def shard_of(payment_id: str) -> int:
    """The partition of ``open`` that a payment stands in; the same for ever."""
    return hashlib.sha256(payment_id.encode()).digest()[0] % OPEN_SHARDS


def open_shard(shard: int) -> str:
    """The key of that partition."""
    return f"open#{shard}"


class MessageRow(Table):
    """An SMS. DynamoDB deletes it some time after ``forget_at``."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "messages"

    record: ClassVar[type[Any]] = Message

    payment_id = UnicodeAttribute(hash_key=True)
    number = WholeNumberAttribute(range_key=True)
    to = UnicodeAttribute()
    language = UnicodeAttribute()
    body = UnicodeAttribute()
    state = ChoiceAttribute(MessageState)
    attempts = WholeNumberAttribute(null=True)
    sent_at = MomentAttribute(null=True)
    forget_at = EpochAttribute(null=True)


# --- accounts ------------------------------------------------------------------------------------


class AccountRow(Table):
    """An account: everything that one customer owes and has."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "accounts"

    record: ClassVar[type[Any]] = Account

    customer_id = UnicodeAttribute(hash_key=True)
    version = WholeNumberAttribute()
    credit_minor = MinorUnitsAttribute(null=True)
    plans = records(Plan)
    devices = records(DeviceAccount)


class EntryRow(Table):
    """A change of an account that is not a payment."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "entries"

    record: ClassVar[type[Any]] = Entry

    customer_id = UnicodeAttribute(hash_key=True)
    account_version = WholeNumberAttribute(range_key=True)
    what = UnicodeAttribute()
    at = MomentAttribute()
    actor = UnicodeAttribute()
    reason = UnicodeAttribute()
    changes = DocumentAttribute(null=True)


class EndedPlanRow(Table):
    """A plan that has left its account."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "ended_plans"

    record: ClassVar[type[Any]] = Plan

    plan_id = UnicodeAttribute(hash_key=True)
    kind = ChoiceAttribute(PlanKind)
    name = UnicodeAttribute()
    total_minor = MinorUnitsAttribute()
    instalments = WholeNumberAttribute()
    instalment_minor = MinorUnitsAttribute()
    every = ChoiceAttribute(Every)
    first_due = DayAttribute()
    sold_at = MomentAttribute()
    serial_number = UnicodeAttribute(null=True)
    down_payment_minor = MinorUnitsAttribute(null=True)
    already_paid_minor = MinorUnitsAttribute(null=True)
    paid_minor = MinorUnitsAttribute(null=True)
    ended_as = ChoiceAttribute(PlanState, null=True)


# --- customers and devices ---------------------------------------------------------------------


class ByPhone(Index):
    """Customers of a phone number."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_phone"
        projection = AllProjection()

    phone = UnicodeAttribute(hash_key=True)


class ByName(Index):
    """Customers by name, for a search by its beginning. Spread over the first letters."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_name"
        projection = AllProjection()

    name_initial = UnicodeAttribute(hash_key=True)
    name_folded = UnicodeAttribute(range_key=True)


class CustomersByNumber(Index):
    """All customers by number."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_list"
        projection = AllProjection()

    list = UnicodeAttribute(hash_key=True)
    number = WholeNumberAttribute(range_key=True)


class CustomerRow(Table):
    """A customer."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "customers"

    record: ClassVar[type[Any]] = Customer

    customer_id = UnicodeAttribute(hash_key=True)
    number = WholeNumberAttribute()
    name = UnicodeAttribute()
    surname = UnicodeAttribute()
    phone = UnicodeAttribute()
    village_id = WholeNumberAttribute()
    needs_review = _texts()
    erased_at = MomentAttribute(null=True)
    erasure_finished_at = MomentAttribute(null=True)
    revision = WholeNumberAttribute()

    name_initial = UnicodeAttribute()
    name_folded = UnicodeAttribute()
    list = UnicodeAttribute(default="customer")

    by_phone = ByPhone()
    by_name = ByName()
    by_list = CustomersByNumber()

    @classmethod
    def of(cls, value: Customer, **more: Any) -> CustomerRow:
        """The row for a customer, with what it is found by."""
        name_folded = folded(f"{value.name} {value.surname}")
        return super().of(value, name_folded=name_folded, name_initial=name_folded[:1], **more)


class ByCustomer(Index):
    """Devices of a customer."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_customer"
        projection = AllProjection()

    customer_id = UnicodeAttribute(hash_key=True)
    serial_number = UnicodeAttribute(range_key=True)


class ByStock(Index):
    """Devices that nobody owns."""

    class Meta:
        """Whole rows, and sparse: a device with an owner is not in it."""

        index_name = "by_stock"
        projection = AllProjection()

    stock = UnicodeAttribute(hash_key=True)
    serial_number = UnicodeAttribute(range_key=True)


class BySwitchOffAt(Index):
    """Devices to be looked at whether they must be switched off, the longest due first."""

    class Meta:
        """Keys only, and sparse: a device about which nothing is due is not in it."""

        index_name = "by_switch_off_at"
        projection = KeysOnlyProjection()

    switching = UnicodeAttribute(hash_key=True)
    switch_off_at = MomentAttribute(range_key=True)


class DeviceRow(Table):
    """A device. ``stock`` is there exactly as long as nobody owns it.

    ``switching`` is there exactly as long as ``switch_off_at`` is.
    """

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "devices"

    record: ClassVar[type[Any]] = Device

    serial_number = UnicodeAttribute(hash_key=True)
    kind = ChoiceAttribute(Kind)
    manufacturer = UnicodeAttribute()
    village_id = WholeNumberAttribute()
    registered_on = DayAttribute()
    state = ChoiceAttribute(DeviceState)
    customer_id = UnicodeAttribute(null=True)
    tariff_id = WholeNumberAttribute(null=True)
    appliance_id = WholeNumberAttribute(null=True)
    technical = DocumentAttribute(null=True)
    revision = WholeNumberAttribute()
    switch_off_at = MomentAttribute(null=True)
    stock = UnicodeAttribute(null=True)
    switching = UnicodeAttribute(null=True)

    by_customer = ByCustomer()
    by_stock = ByStock()
    by_switch_off_at = BySwitchOffAt()

    @classmethod
    def of(cls, value: Device, **more: Any) -> DeviceRow:
        """The row for a device, with its place among those that nobody owns."""
        if value.customer_id is None:
            more["stock"] = IN_STOCK
        if value.switch_off_at is not None:
            more["switching"] = SWITCHING
        return super().of(value, **more)


class RegistrationsByStatus(Index):
    """Registrations from the field by how far they are, the oldest first."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_status"
        projection = AllProjection()

    status = UnicodeAttribute(hash_key=True)
    posted_at = MomentAttribute(range_key=True)


class RegistrationsByCustomer(Index):
    """Registrations that became a customer."""

    class Meta:
        """Whole rows, and sparse: those of which nobody has become a customer are not in it."""

        index_name = "by_customer"
        projection = AllProjection()

    customer_id = UnicodeAttribute(hash_key=True)
    registration_id = UnicodeAttribute(range_key=True)


FORM_KEPT = timedelta(days=400)
"""For so long a form of which something final became is kept: over a year of questions."""


class FieldRegistrationRow(Table):
    """A registration that field staff posted. DynamoDB deletes it some time after ``forget_at``.

    One that a person must still look at has none.
    """

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "registrations"

    record: ClassVar[type[Any]] = FieldRegistration

    registration_id = UnicodeAttribute(hash_key=True)
    form = RecordAttribute(FieldForm)
    status = ChoiceAttribute(RegistrationStatus)
    posted_at = MomentAttribute()
    posted_by = UnicodeAttribute()
    reasons = _texts()
    customer_id = UnicodeAttribute(null=True)
    serial_number = UnicodeAttribute(null=True)
    resolved_at = MomentAttribute(null=True)
    resolved_by = UnicodeAttribute(null=True)
    resolution = UnicodeAttribute(null=True)
    revision = WholeNumberAttribute()
    forget_at = EpochAttribute(null=True)

    by_status = RegistrationsByStatus()
    by_customer = RegistrationsByCustomer()

    @classmethod
    def of(cls, value: FieldRegistration, **more: Any) -> FieldRegistrationRow:
        """The row for a registration, with when it is forgotten."""
        if value.status is not RegistrationStatus.NEEDS_REVIEW:
            more["forget_at"] = (value.resolved_at or value.posted_at) + FORM_KEPT
        return super().of(value, **more)


# --- reference data ----------------------------------------------------------------------------


class SitesByKind(Index):
    """Clusters, or mini-grids, or villages."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_list"
        projection = AllProjection()

    list = UnicodeAttribute(hash_key=True)
    site_id = UnicodeAttribute(range_key=True)


class SiteRow(Table):
    """A cluster, mini-grid or village.

    The key is kind and number together. ``children`` counts what belongs to it: sites one level
    down, customers, devices.
    """

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "sites"

    record: ClassVar[type[Any]] = Site

    site_id = UnicodeAttribute(hash_key=True)
    kind = ChoiceAttribute(SiteKind)
    number = WholeNumberAttribute()
    name = UnicodeAttribute()
    parent_id = WholeNumberAttribute(null=True)
    children = WholeNumberAttribute(null=True)
    list = UnicodeAttribute()

    by_list = SitesByKind()

    @classmethod
    def of(cls, value: Site, **more: Any) -> SiteRow:
        """The row for a site."""
        return cls(
            site_id=site_key(value.kind, value.site_id),
            kind=value.kind,
            number=value.site_id,
            name=value.name,
            parent_id=value.parent_id,
            list=value.kind.value,
            **more,
        )

    def value(self) -> Site:
        """The site."""
        return Site(self.kind, self.number, self.name, self.parent_id)


def site_key(kind: SiteKind, number: int) -> str:
    """The key of a site: ``village#0000007``, so that keys sort as their numbers do."""
    return f"{kind.value}#{number:07}"


class TariffsById(Index):
    """All tariffs."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_list"
        projection = AllProjection()

    list = UnicodeAttribute(hash_key=True)
    tariff_id = WholeNumberAttribute(range_key=True)


class TariffRow(Table):
    """A tariff with the history of its rates."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "tariffs"

    record: ClassVar[type[Any]] = Tariff

    tariff_id = WholeNumberAttribute(hash_key=True)
    name = UnicodeAttribute()
    rates = TupleAttribute[Rate](RecordAttribute(Rate))
    list = UnicodeAttribute(default="tariff")

    by_list = TariffsById()


class AppliancesById(Index):
    """All appliances."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_list"
        projection = AllProjection()

    list = UnicodeAttribute(hash_key=True)
    appliance_id = WholeNumberAttribute(range_key=True)


class ApplianceRow(Table):
    """Something that is sold on plans."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "appliances"

    record: ClassVar[type[Any]] = Appliance

    appliance_id = WholeNumberAttribute(hash_key=True)
    name = UnicodeAttribute()
    kind = ChoiceAttribute(ApplianceKind)
    price_minor = MinorUnitsAttribute()
    default_plan = RecordAttribute(DefaultPlan, null=True)
    manufacturer = UnicodeAttribute(null=True)
    list = UnicodeAttribute(default="appliance")

    by_list = AppliancesById()


# --- settings, counters, guards ----------------------------------------------------------------


class SettingsRow(Table):
    """The company's settings, under the name ``company``.

    ``money_fixed`` is set, for good, with the first payment.
    """

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "settings"

    record: ClassVar[type[Any]] = Settings

    name = UnicodeAttribute(hash_key=True)
    company = UnicodeAttribute(null=True)
    country = UnicodeAttribute(null=True)
    currency = UnicodeAttribute(null=True)
    currency_decimals = WholeNumberAttribute(null=True)
    time_zone = UnicodeAttribute(null=True)
    languages = _texts()
    own_arrears = ChoiceAttribute(OwnArrears, null=True)
    grace_days = WholeNumberAttribute(null=True)
    late_payment_hours = WholeNumberAttribute(null=True)
    refund_after_minutes = WholeNumberAttribute(null=True)
    maximum_amount_minor = MinorUnitsAttribute(null=True)
    confirm_above_minor = MinorUnitsAttribute(null=True)
    revision = WholeNumberAttribute(null=True)


class SettingsChangeRow(Table):
    """Who changed the settings, when, and what."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "settings_changes"

    record: ClassVar[type[Any]] = SettingsChange

    name = UnicodeAttribute(hash_key=True, default="company")
    revision = WholeNumberAttribute(range_key=True)
    at = MomentAttribute()
    actor = UnicodeAttribute()
    changes = DocumentAttribute()


class ChangeRow(Table):
    """Who changed a thing that is no account."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "changes"

    record: ClassVar[type[Any]] = Change

    subject = UnicodeAttribute(hash_key=True)
    change_id = UnicodeAttribute(range_key=True)
    at = MomentAttribute()
    actor = UnicodeAttribute()
    what = UnicodeAttribute()
    reason = UnicodeAttribute(null=True)
    fields = DocumentAttribute(null=True)


class CounterRow(Table):
    """A counter, in the table of settings, under ``counter#<what it numbers>``."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "settings"

    name = UnicodeAttribute(hash_key=True)
    last = WholeNumberAttribute()


class GuardRow(Table):
    """Something that may exist once only, and what stands behind it."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "guards"

    guard_id = UnicodeAttribute(hash_key=True)
    held_by = UnicodeAttribute()


# --- agents -------------------------------------------------------------------------------------


class AgentsById(Index):
    """All agents; sparse: what was done about them is not in it."""

    class Meta:
        """Whole rows: the list shows them."""

        index_name = "by_list"
        projection = AllProjection()

    list = UnicodeAttribute(hash_key=True)
    agent_id = UnicodeAttribute(range_key=True)


class AgentRow(Table):
    """How an agent stands: number 0 among what is kept of them."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "agents"

    record: ClassVar[type[Any]] = Agent

    agent_id = UnicodeAttribute(hash_key=True)
    number = WholeNumberAttribute(range_key=True, default=0)
    email = UnicodeAttribute()
    float_limit_minor = MinorUnitsAttribute(null=True)
    commission_share = FractionAttribute(null=True)
    held_minor = MinorUnitsAttribute(null=True)
    commission_minor = FractionAttribute(null=True)
    entries = WholeNumberAttribute(null=True)
    revision = WholeNumberAttribute(null=True)
    list = UnicodeAttribute(default="agent")

    by_list = AgentsById()


class AgentEntryRow(Table):
    """What was done about an agent: number 1 and up."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "agents"

    record: ClassVar[type[Any]] = AgentEntry

    agent_id = UnicodeAttribute(hash_key=True)
    number = WholeNumberAttribute(range_key=True)
    what = UnicodeAttribute()
    at = MomentAttribute()
    actor = UnicodeAttribute()
    reason = UnicodeAttribute()
    key = UnicodeAttribute(null=True)
    cash_minor = MinorUnitsAttribute(null=True)
    commission_paid_minor = MinorUnitsAttribute(null=True)


# --- staff --------------------------------------------------------------------------------------


class WrongTriesRow(Table):
    """Wrong passwords. DynamoDB deletes them some time after ``forget_at``."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "wrong_tries"

    record: ClassVar[type[Any]] = WrongTries

    whose = UnicodeAttribute(hash_key=True)
    tries = WholeNumberAttribute()
    blocked_until = MomentAttribute()
    forget_at = EpochAttribute()
    revision = WholeNumberAttribute()


class SessionRow(Table):
    """A log-in. DynamoDB deletes it some time after ``expires_at``."""

    class Meta:
        """See ``Table``."""

        table_name = ""
        plain_name = "sessions"

    record: ClassVar[type[Any]] = Session

    token_hash = UnicodeAttribute(hash_key=True)
    username = UnicodeAttribute()
    email = UnicodeAttribute()
    roles = _texts()
    expires_at = EpochAttribute()
    checked_at = MomentAttribute()
