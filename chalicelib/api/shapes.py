"""The shapes of what we answer, and how they are made of what the services answer.

Amounts are decimal strings in major units, times ISO 8601 in UTC, days ``YYYY-MM-DD``. The
``TypedDict`` classes are the contract; the description of the API is generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Generic, Literal, NotRequired, TypeVar

from typing_extensions import TypedDict  # pydantic cannot describe the other one before 3.12

from chalicelib.domain.account import DeviceAccount, Kind
from chalicelib.domain.allocation import Debt, Line, VendIntent, VendKind
from chalicelib.domain.money import (
    Currency,
    format_exact,
    format_minor,
    format_price,
    format_units,
    fraction_text,
)
from chalicelib.domain.payment import Event, Payment, Token, Vend
from chalicelib.domain.plan import Instalment, Plan, PlanState
from chalicelib.domain.schedule import overdue_instalments, schedule
from chalicelib.domain.tariff import Tariff
from chalicelib.services.accept import Quote, rules_of
from chalicelib.services.account_view import AccountView
from chalicelib.services.credit import CreditRefund
from chalicelib.services.currencies import currency_of
from chalicelib.services.devices import DeviceView
from chalicelib.services.personal_data import PaidAndTold, PersonalData
from chalicelib.services.ports import (
    Agent,
    AgentEntry,
    Appliance,
    Change,
    Customer,
    DefaultPlan,
    Entry,
    Export,
    FieldRegistration,
    Import,
    Manufacturer,
    Message,
    Pause,
    RowError,
    Settings,
    SettingsChange,
    Site,
)
from chalicelib.services.sites import PARENT_FIELD
from chalicelib.services.staff import LoggedIn
from chalicelib.services.statements import Report

T = TypeVar("T")
Unit = Literal["kWh", "days"]

_UNITS: dict[VendKind, Unit] = {
    VendKind.ENERGY: "kWh",
    VendKind.TIME: "days",
    VendKind.RESET: "days",
}


class Listed(TypedDict, Generic[T]):
    """A part of a list; ``next`` is the cursor of the next part."""

    items: Sequence[T]
    next: str | None


class SessionShape(TypedDict):
    """A new session. ``expires_in`` counts seconds."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    roles: Sequence[str]


class SiteShape(TypedDict):
    """A cluster, mini-grid or village, with the id of what it belongs to."""

    id: int
    name: str
    cluster_id: NotRequired[int | None]
    mini_grid_id: NotRequired[int | None]


class ManufacturerShape(TypedDict):
    """A manufacturer. ``kind`` is the kind of its devices."""

    id: int
    key: str
    name: str
    kind: str


class AccessRateShape(TypedDict):
    """A subscription fee every ``period_days`` days."""

    amount: str
    period_days: int


class TariffShape(TypedDict):
    """A tariff, as it was last changed: from ``effective_from`` on, which may be to come."""

    id: int
    name: str
    price_per_kwh: str
    currency: str
    access_rate: AccessRateShape | None
    minimum_purchase: str | None
    effective_from: str


class DefaultPlanShape(TypedDict):
    """How an appliance is usually paid off."""

    down_payment: str
    instalments: int | None
    instalment_amount: str | None
    every: str
    first_due_after_days: int


class ApplianceShape(TypedDict):
    """Something that is sold on plans."""

    id: int
    name: str
    kind: str
    price: str
    default_plan: DefaultPlanShape | None
    manufacturer: NotRequired[str]


class CustomerShape(TypedDict):
    """A customer. ``needs_review`` says why a person should look; ``erased_at`` is there for one of
    whom is kept no more who it was."""

    id: str
    number: int
    name: str
    surname: str
    phone: str
    village_id: int
    needs_review: Sequence[str]
    erased_at: NotRequired[str]
    erasure: NotRequired[Literal["under_way", "finished"]]


class InstalmentShape(TypedDict):
    """One instalment; number 0 is the down payment."""

    number: int
    due_on: str
    amount: str
    paid: str


class PlanShape(TypedDict):
    """A plan. ``paid`` includes ``already_paid``; ``open`` is what the total leaves."""

    plan_id: str
    kind: str
    name: str
    serial_number: str | None
    total: str
    down_payment: str
    already_paid: str
    instalments: int
    every: str
    first_due: str
    paid: str
    open: str
    overdue: str
    state: Literal["open", "paid", "cancelled", "written_off"]
    schedule: Sequence[InstalmentShape]


class DeviceShape(TypedDict):
    """A device. ``plan`` is the last one, also when it is paid."""

    serial_number: str
    kind: str
    manufacturer: str
    village_id: int
    customer_id: str | None
    tariff_id: int | None
    plan: PlanShape | None
    registered_on: str
    paid_until: str | None
    state: Literal["active", "unassigned", "unlocked", "needs_review"]


class RegistrationShape(TypedDict):
    """A customer and a device that were registered together."""

    customer: CustomerShape
    device: DeviceShape


class FieldFormShape(TypedDict):
    """What the registration app's form said; ids are as they were posted."""

    name: str
    surname: str
    phone: str
    village_id: int
    serial_number: str
    manufacturer_id: int
    tariff_id: int
    meter_type_id: int | None
    connection_group_id: int | None
    connection_type_id: int | None
    sub_connection_type_id: int | None
    geo_points: str | None


class FieldRegistrationShape(TypedDict):
    """A registration from the field. ``reasons`` say why a person must look."""

    registration_id: str
    status: Literal["needs_review", "registered", "resolved", "dismissed"]
    reasons: Sequence[str]
    form: FieldFormShape
    customer_id: str | None
    serial_number: str | None
    posted_at: str
    posted_by: str
    resolved_at: str | None
    resolved_by: str | None
    resolution: str | None


class ImportShape(TypedDict):
    """A portfolio that a company moves in with.

    Of a file with errors nothing is written. ``to_complete`` devices can be taken in and then
    lack their plan or key. ``percent`` is how much of it is written or could not be.
    """

    import_id: str
    format: Literal["portfolio", "mpm"]
    state: Literal["checking", "refused", "checked", "writing", "done"]
    rows: int
    error_count: int
    to_complete: int
    written_rows: int
    failed_rows: int
    percent: int
    made_at: str
    made_by: str
    written_by: str | None


class ImportErrorShape(TypedDict):
    """One thing that is wrong in a file. ``row`` is as a spreadsheet counts: the header is 1."""

    row: int
    column: str
    message: str


class ExportFileShape(TypedDict):
    """One file of an export. ``path`` is where it is, behind the base URL of the API."""

    number: int
    path: str
    rows: int


class ExportShape(TypedDict):
    """Everything that a company has, as files, each of which can be imported."""

    export_id: str
    state: Literal["running", "done"]
    with_keys: bool
    customers: int
    devices: int
    files: Sequence[ExportFileShape]
    made_at: str
    made_by: str


class DebtShape(TypedDict):
    """One overdue instalment, or one fee that is owed."""

    kind: str
    ref: str
    name: str
    serial_number: str | None
    due_on: str
    amount: str


class CarryShape(TypedDict):
    """What a device has that is not yet energy (``amount``) or not yet a day (``days``)."""

    amount: NotRequired[str]
    days: NotRequired[str]


class NextFeeShape(TypedDict):
    """The next fee of a meter to fall due."""

    next_due_on: str
    amount: str


class AccountDeviceShape(TypedDict):
    """A device within an account."""

    serial_number: str
    kind: str
    tariff_id: NotRequired[int]
    plan_id: NotRequired[str]
    carry: CarryShape
    access_rate: NotRequired[NextFeeShape]
    paid_until: NotRequired[str]


class AccountShape(TypedDict):
    """What a customer owes and has, as of a day; debts in the order of clearing."""

    customer_id: str
    at: str
    currency: str
    version: int
    owed: str
    credit: str
    debts: Sequence[DebtShape]
    plans: Sequence[PlanShape]
    devices: Sequence[AccountDeviceShape]


class CreditRefundShape(TypedDict):
    """Credit that was given back by hand; ``credit`` is what was left then."""

    customer_id: str
    account_version: int
    what: str
    at: str
    actor: str
    reason: str
    amount: str
    credit: str


class LineShape(TypedDict):
    """Where a part of a payment went."""

    kind: str
    ref: str
    amount: str


class VendShape(TypedDict):
    """One request to one manufacturer."""

    number: int
    serial_number: str
    manufacturer: str
    kind: str
    units: str | None
    unit: Unit | None
    state: str
    attempts: int


class QuotedTokenShape(TypedDict):
    """A token that a payment would bring."""

    serial_number: str
    kind: str
    units: str | None
    unit: Unit | None


class TokenShape(QuotedTokenShape):
    """What the customer types in; ``value`` is null for a remote top-up.

    ``before``, where it is there, are tokens to be typed in first, in that order.
    """

    value: str | None
    before: NotRequired[Sequence[str]]


class RefundShape(TypedDict):
    """Money that goes, or went, back to the payer."""

    number: int
    amount: str
    state: str
    attempts: int


class EventShape(TypedDict):
    """Something that went otherwise than usual, or that a person did."""

    at: str
    what: str
    actor: NotRequired[str]
    reason: NotRequired[str]


class PaymentShape(TypedDict):
    """A payment as it stands. ``refunds`` is there where any of it was to be given back,
    ``plan_id`` where it was paid for an appliance, ``receipt`` where its provider named one."""

    payment_id: str
    channel: str
    reference: str
    serial_number: str
    customer_id: str | None
    amount: str
    currency: str
    moment: str
    status: str
    reason: str | None
    lines: Sequence[LineShape]
    vends: Sequence[VendShape]
    tokens: Sequence[TokenShape]
    received_at: str
    settled_at: str | None
    completed_at: str | None
    events: Sequence[EventShape]
    plan_id: NotRequired[str]
    receipt: NotRequired[str]
    refunds: NotRequired[Sequence[RefundShape]]


class ReplacementShape(TypedDict):
    """The device that took the place, and what carries that which was left in the old one."""

    device: DeviceShape
    payment: PaymentShape | None


class CheckoutShape(TypedDict):
    """A payment that was started. Where the payer does not get a question on the phone, they pay
    at ``authorization_url``."""

    payment_id: str
    reference: str
    authorization_url: NotRequired[str]


class AgentShape(TypedDict):
    """An agent. ``held`` is the company's cash in their hands."""

    agent_id: str
    email: str
    float_limit: str | None
    commission_percent: str
    held: str
    commission: str


class AgentEntryShape(TypedDict):
    """What was done about an agent."""

    number: int
    what: str
    at: str
    actor: str
    reason: str
    cash: str
    commission: str


class StatementShape(TypedDict):
    """A statement, and what comparing it found. ``counts`` counts rows by what they are to us, and
    ``not_there``: payments of ours that it does not name. Of each kind the first are listed."""

    statement_id: str
    channel: str
    source: str
    state: str
    take: bool
    made_at: str
    made_by: str
    rows: int
    counts: Mapping[str, int]
    not_here: Sequence[Mapping[str, str]]
    different: Sequence[Mapping[str, str]]
    unusable: Sequence[Mapping[str, str]]
    not_there: Sequence[str]


class AcceptedShape(TypedDict):
    """A payment that was taken, and how it stands."""

    payment_id: str
    status: str


class QuoteShape(TypedDict):
    """What a payment would bring."""

    serial_number: str
    amount: str
    currency: str
    customer_name: str
    lines: Sequence[LineShape]
    tokens: Sequence[QuotedTokenShape]


class MessageShape(TypedDict):
    """One SMS."""

    number: int
    payment_id: str
    to: str
    language: str
    body: str
    state: str
    sent_at: str | None


class SettingsShape(TypedDict):
    """The company's settings."""

    company: str
    country: str
    currency: str
    time_zone: str
    languages: Sequence[str]
    own_arrears: str
    grace_days: int
    late_payment_hours: int
    refund_after_minutes: int
    maximum_amount: str
    confirm_above: str | None


class ChangeShape(TypedDict):
    """What a setting was and what it became, as it is stored (amounts in minor units)."""

    before: Any
    after: Any


class PauseShape(TypedDict):
    """A ``channel`` or ``manufacturer`` that somebody has paused, and why."""

    kind: str
    key: str
    reason: str
    actor: str
    since: str


class SettingsChangeShape(TypedDict):
    """Who changed the settings, when, and what."""

    revision: int
    at: str
    actor: str
    changes: Mapping[str, ChangeShape]


class ChangedShape(TypedDict):
    """Who changed a thing, when, why and what: an account's entry says only what it became."""

    subject: str
    at: str
    actor: str
    what: str
    reason: str | None
    fields: Mapping[str, ChangeShape]


class ErasureShape(TypedDict):
    """How far the erasure of a customer is."""

    customer_id: str
    state: Literal["under_way", "finished"]
    erased_at: str | None
    finished_at: str | None


class DoneShape(TypedDict):
    """Something that was done about a customer or an account, without who of the staff did it."""

    at: str
    what: str
    reason: str | None
    fields: Mapping[str, ChangeShape]


class FormShape(TypedDict):
    """What field staff wrote down of a customer."""

    registration_id: str
    posted_at: str
    status: str
    name: str
    surname: str
    phone: str
    village_id: int
    serial_number: str
    geo_points: str | None


class ToldShape(TypedDict):
    """An SMS about a payment."""

    number: int
    to: str
    language: str
    body: str
    state: str
    sent_at: str | None


class PaidShape(TypedDict):
    """A payment of the customer; ``payer_phone`` only where it is their own."""

    payment_id: str
    channel: str
    reference: str
    serial_number: str
    amount: str
    currency: str
    moment: str
    status: str
    payer_phone: str | None
    lines: Sequence[LineShape]
    tokens: Sequence[TokenShape]
    messages: Sequence[ToldShape]


class PersonalDataShape(TypedDict):
    """Everything that is kept about a customer. ``payments`` come in parts; behind the first part
    the other lists are empty."""

    customer: CustomerShape
    account: AccountShape
    devices: Sequence[DeviceShape]
    registrations: Sequence[FormShape]
    done: Sequence[DoneShape]
    payments: Listed[PaidShape]


class HealthShape(TypedDict):
    """That the API is there, and which release it is."""

    status: Literal["ok"]
    release: str


# --- what needs neither currency nor calendar -------------------------------------------------


def time_text(moment: datetime) -> str:
    """A time in ISO 8601, UTC: ``2026-01-08T09:30:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_text(day: date) -> str:
    """A day: ``2026-01-08``."""
    return day.isoformat()


def session(logged_in: LoggedIn) -> SessionShape:
    """A new session."""
    return SessionShape(
        access_token=logged_in.token,
        token_type="Bearer",  # noqa: S106 - the kind of token
        expires_in=logged_in.expires_in_seconds,
        roles=list(logged_in.session.roles),
    )


def site(place: Site) -> SiteShape:
    """A cluster, mini-grid or village."""
    shape = SiteShape(id=place.site_id, name=place.name)
    match PARENT_FIELD.get(place.kind):
        case "cluster_id":
            shape["cluster_id"] = place.parent_id
        case "mini_grid_id":
            shape["mini_grid_id"] = place.parent_id
    return shape


def manufacturer(stated: Manufacturer) -> ManufacturerShape:
    """A manufacturer."""
    return ManufacturerShape(
        id=stated.manufacturer_id, key=stated.key, name=stated.name, kind=stated.kind.value
    )


def customer(person: Customer) -> CustomerShape:
    """A customer."""
    shape = CustomerShape(
        id=person.customer_id,
        number=person.number,
        name=person.name,
        surname=person.surname,
        phone=person.phone,
        village_id=person.village_id,
        needs_review=list(person.needs_review),
    )
    if person.erased_at is not None:
        shape["erased_at"] = time_text(person.erased_at)
        shape["erasure"] = _erasure_state(person)
    return shape


def erasure(person: Customer) -> ErasureShape:
    """How far an erasure is."""
    finished = person.erasure_finished_at
    return ErasureShape(
        customer_id=person.customer_id,
        state=_erasure_state(person),
        erased_at=_time_or_none(person.erased_at),
        finished_at=_time_or_none(finished),
    )


def _erasure_state(person: Customer) -> Literal["under_way", "finished"]:
    return "under_way" if person.erasure_finished_at is None else "finished"


def change(made: Change) -> ChangedShape:
    """One change of a thing."""
    return ChangedShape(
        subject=made.subject,
        at=time_text(made.at),
        actor=made.actor,
        what=made.what,
        reason=made.reason or None,
        fields={
            name: ChangeShape(before=each["before"], after=each["after"])
            for name, each in made.fields.items()
        },
    )


def change_by_entry(entry: Entry) -> ChangedShape:
    """One change of an account, in the same words."""
    return ChangedShape(
        subject=f"account#{entry.customer_id}",
        at=time_text(entry.at),
        actor=entry.actor,
        what=entry.what,
        reason=entry.reason or None,
        fields={
            name: ChangeShape(before=None, after=value) for name, value in entry.changes.items()
        },
    )


def _time_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else time_text(moment)


def import_shape(moving: Import) -> ImportShape:
    """An import."""
    dealt_with = moving.written_rows + moving.failed_rows
    return ImportShape(
        import_id=moving.import_id,
        format=moving.format.value,
        state=moving.state.value,
        rows=moving.rows,
        error_count=moving.error_count,
        to_complete=moving.to_complete,
        written_rows=moving.written_rows,
        failed_rows=moving.failed_rows,
        percent=100 * dealt_with // moving.rows if moving.rows else 0,
        made_at=time_text(moving.made_at),
        made_by=moving.made_by,
        written_by=moving.written_by,
    )


def import_error(error: RowError) -> ImportErrorShape:
    """One thing that is wrong in a file."""
    return ImportErrorShape(row=error.line, column=error.column, message=error.message)


def export_shape(moving: Export) -> ExportShape:
    """An export."""
    return ExportShape(
        export_id=moving.export_id,
        state=moving.state.value,
        with_keys=moving.with_keys,
        customers=moving.customers,
        devices=moving.devices,
        files=[
            ExportFileShape(
                number=number,
                path=f"/exports/{moving.export_id}/files/{number}",
                rows=file.rows,
            )
            for number, file in enumerate(moving.files, 1)
        ],
        made_at=time_text(moving.made_at),
        made_by=moving.made_by,
    )


def field_registration(registration: FieldRegistration) -> FieldRegistrationShape:
    """A registration from the field."""
    form, resolved_at = registration.form, registration.resolved_at
    return FieldRegistrationShape(
        registration_id=registration.registration_id,
        status=registration.status.value,
        reasons=list(registration.reasons),
        form=FieldFormShape(
            name=form.name,
            surname=form.surname,
            phone=form.phone,
            village_id=form.village_id,
            serial_number=form.serial_number,
            manufacturer_id=form.manufacturer_id,
            tariff_id=form.tariff_id,
            meter_type_id=form.meter_type_id,
            connection_group_id=form.connection_group_id,
            connection_type_id=form.connection_type_id,
            sub_connection_type_id=form.sub_connection_type_id,
            geo_points=form.geo_points,
        ),
        customer_id=registration.customer_id,
        serial_number=registration.serial_number,
        posted_at=time_text(registration.posted_at),
        posted_by=registration.posted_by,
        resolved_at=time_text(resolved_at) if resolved_at else None,
        resolved_by=registration.resolved_by,
        resolution=registration.resolution,
    )


def message(sms: Message) -> MessageShape:
    """One SMS."""
    return MessageShape(
        number=sms.number,
        payment_id=sms.payment_id,
        to=sms.to,
        language=sms.language,
        body=sms.body,
        state=sms.state.value,
        sent_at=time_text(sms.sent_at) if sms.sent_at else None,
    )


def statement(report: Report) -> StatementShape:
    """A statement, and what comparing it found."""
    return StatementShape(
        statement_id=report.statement_id,
        channel=report.channel,
        source=report.source,
        state=report.state,
        take=report.take,
        made_at=report.made_at,
        made_by=report.made_by,
        rows=report.rows,
        counts=report.counts,
        not_here=report.not_here,
        different=report.different,
        unusable=report.unusable,
        not_there=report.not_there,
    )


def settings(company: Settings) -> SettingsShape:
    """The company's settings."""
    currency = Currency(company.currency, company.currency_decimals)
    return SettingsShape(
        company=company.company,
        country=company.country,
        currency=company.currency,
        time_zone=company.time_zone,
        languages=list(company.languages),
        own_arrears=company.own_arrears.value,
        grace_days=company.grace_days,
        late_payment_hours=company.late_payment_hours,
        refund_after_minutes=company.refund_after_minutes,
        maximum_amount=format_minor(company.maximum_amount_minor, currency),
        confirm_above=(
            None
            if company.confirm_above_minor is None
            else format_minor(company.confirm_above_minor, currency)
        ),
    )


def pause(made: Pause) -> PauseShape:
    """One pause."""
    return PauseShape(
        kind=made.kind.value,
        key=made.key,
        reason=made.reason,
        actor=made.actor,
        since=time_text(made.since),
    )


def settings_change(change: SettingsChange) -> SettingsChangeShape:
    """One change of the settings."""
    return SettingsChangeShape(
        revision=change.revision,
        at=time_text(change.at),
        actor=change.actor,
        changes={
            name: ChangeShape(before=each["before"], after=each["after"])
            for name, each in change.changes.items()
        },
    )


# --- what is presented in the company's currency and calendar ---------------------------------


class Shapes:
    """Presents what has money or days in it, as of ``moment``."""

    def __init__(self, company: Settings, moment: datetime) -> None:
        self._currency = Currency(company.currency, company.currency_decimals)
        self._rules = rules_of(company)
        self._moment = moment

    def tariff(self, tariff: Tariff) -> TariffShape:
        """A tariff, as it was last changed."""
        rate = tariff.rates[-1]
        fee = rate.access_rate
        return TariffShape(
            id=tariff.tariff_id,
            name=tariff.name,
            price_per_kwh=format_price(rate.price_minor, self._currency),
            currency=self._currency.code,
            access_rate=AccessRateShape(
                amount=self._amount(fee.amount_minor), period_days=fee.period_days
            )
            if fee
            else None,
            minimum_purchase=self._amount(rate.minimum_purchase_minor)
            if rate.minimum_purchase_minor
            else None,
            effective_from=time_text(rate.effective_from),
        )

    def appliance(self, appliance: Appliance) -> ApplianceShape:
        """An appliance."""
        plan = appliance.default_plan
        shape = ApplianceShape(
            id=appliance.appliance_id,
            name=appliance.name,
            kind=appliance.kind.value,
            price=self._amount(appliance.price_minor),
            default_plan=self._default_plan(plan) if plan else None,
        )
        if appliance.manufacturer is not None:
            shape["manufacturer"] = appliance.manufacturer
        return shape

    def _default_plan(self, plan: DefaultPlan) -> DefaultPlanShape:
        each = plan.instalment_minor
        return DefaultPlanShape(
            down_payment=self._amount(plan.down_payment_minor),
            instalments=plan.instalments,
            instalment_amount=None if each is None else self._amount(each),
            every=plan.every.value,
            first_due_after_days=plan.first_due_after_days,
        )

    def plan(self, plan: Plan) -> PlanShape:
        """A plan, with its schedule. Of one that has ended nothing is overdue."""
        late: Sequence[Instalment] = ()
        if plan.state is PlanState.OPEN:
            late = overdue_instalments(
                plan, self._moment, self._rules.grace_days, self._rules.time_zone
            )
        return PlanShape(
            plan_id=plan.plan_id,
            kind=plan.kind.value,
            name=plan.name,
            serial_number=plan.serial_number,
            total=self._amount(plan.total_minor),
            down_payment=self._amount(plan.down_payment_minor),
            already_paid=self._amount(plan.already_paid_minor),
            instalments=plan.instalments,
            every=plan.every.value,
            first_due=day_text(plan.first_due),
            paid=self._amount(plan.paid_minor),
            open=self._amount(plan.open_minor),
            overdue=self._amount(sum(row.open_minor for row in late)),
            state=plan.state.value,
            schedule=[self._instalment(row) for row in schedule(plan, self._rules.time_zone)],
        )

    def _instalment(self, row: Instalment) -> InstalmentShape:
        return InstalmentShape(
            number=row.number,
            due_on=day_text(row.due_on),
            amount=self._amount(row.amount_minor),
            paid=self._amount(row.paid_minor),
        )

    def device(self, view: DeviceView) -> DeviceShape:
        """A device, with its last plan."""
        device = view.device
        return DeviceShape(
            serial_number=device.serial_number,
            kind=device.kind.value,
            manufacturer=device.manufacturer,
            village_id=device.village_id,
            customer_id=device.customer_id,
            tariff_id=device.tariff_id,
            plan=self.plan(view.plan) if view.plan else None,
            registered_on=day_text(device.registered_on),
            paid_until=time_text(view.paid_until) if view.paid_until else None,
            state=view.state.value,
        )

    # --- accounts -----------------------------------------------------------------------------

    def account(self, view: AccountView) -> AccountShape:
        """An account, as of the day of the view. Its plans should be presented as of it too."""
        return AccountShape(
            customer_id=view.account.customer_id,
            at=day_text(view.at),
            currency=self._currency.code,
            version=view.account.version,
            owed=self._amount(view.owed_minor),
            credit=self._amount(view.account.credit_minor),
            debts=[self._debt(debt) for debt in view.debts],
            plans=[self.plan(plan) for plan in view.account.plans],
            devices=[self._account_device(record, view) for record in view.devices],
        )

    def credit_refund(self, refund: CreditRefund) -> CreditRefundShape:
        """Credit that was given back."""
        entry = refund.entry
        return CreditRefundShape(
            customer_id=entry.customer_id,
            account_version=entry.account_version,
            what=entry.what,
            at=time_text(entry.at),
            actor=entry.actor,
            reason=entry.reason,
            amount=self._amount(refund.amount_minor),
            credit=self._amount(refund.credit_minor),
        )

    def _debt(self, debt: Debt) -> DebtShape:
        return DebtShape(
            kind=debt.kind.value,
            ref=debt.ref,
            name=debt.name,
            serial_number=debt.serial_number,
            due_on=day_text(debt.due_on),
            amount=self._amount(debt.amount_minor),
        )

    def _account_device(self, record: DeviceAccount, view: AccountView) -> AccountDeviceShape:
        shape = AccountDeviceShape(
            serial_number=record.serial_number, kind=record.kind.value, carry=self._carry(record)
        )
        if record.has_tariff:
            shape["tariff_id"] = record.tenures[-1].tariff_id
        if record.plan_id is not None:
            shape["plan_id"] = record.plan_id
        fee = view.next_fees.get(record.serial_number)
        if fee is not None:
            shape["access_rate"] = NextFeeShape(
                next_due_on=day_text(fee.due_on), amount=self._amount(fee.amount_minor)
            )
        if record.paid_until is not None:
            shape["paid_until"] = time_text(record.paid_until)
        return shape

    def _carry(self, record: DeviceAccount) -> CarryShape:
        if record.kind is Kind.METER:
            return CarryShape(amount=format_exact(record.carry_minor, self._currency))
        return CarryShape(days=fraction_text(record.carry_days))

    # --- payments -----------------------------------------------------------------------------

    def replacement(self, view: DeviceView, payment: Payment | None) -> ReplacementShape:
        """A device that took another one's place."""
        return ReplacementShape(
            device=self.device(view), payment=self.payment(payment) if payment else None
        )

    def payment(self, payment: Payment) -> PaymentShape:
        """A payment as it stands."""
        currency = self._currency
        if payment.currency != currency.code:  # refused, or held, for that very reason
            currency = currency_of(payment.currency) or currency
        shape = PaymentShape(
            payment_id=payment.payment_id,
            channel=payment.channel,
            reference=payment.reference,
            serial_number=payment.serial_number,
            customer_id=payment.customer_id,
            amount=format_minor(payment.amount_minor, currency),
            currency=payment.currency,
            moment=time_text(payment.moment),
            status=payment.status.value,
            reason=payment.reason,
            lines=[self._line(line) for line in payment.lines],
            vends=[_vend(vend) for vend in payment.vends],
            tokens=[_token(token) for token in payment.tokens],
            received_at=time_text(payment.received_at),
            settled_at=time_text(payment.settled_at) if payment.settled_at else None,
            completed_at=time_text(payment.completed_at) if payment.completed_at else None,
            events=[_event(event) for event in payment.events],
        )
        if payment.plan_id is not None:
            shape["plan_id"] = payment.plan_id
        if payment.receipt is not None:
            shape["receipt"] = payment.receipt
        if payment.refunds:
            shape["refunds"] = [
                RefundShape(
                    number=refund.number,
                    amount=format_minor(refund.amount_minor, currency),
                    state=refund.state.value,
                    attempts=refund.attempts,
                )
                for refund in payment.refunds
            ]
        return shape

    def personal_data(self, told: PersonalData) -> PersonalDataShape:
        """Everything that is kept about a customer."""
        done = [*map(change_by_entry, told.entries), *map(change, told.changes)]
        return PersonalDataShape(
            customer=customer(told.customer),
            account=self.account(told.account),
            devices=[self.device(view) for view in told.devices],
            registrations=[_form(registration) for registration in told.registrations],
            done=[
                DoneShape(at=d["at"], what=d["what"], reason=d["reason"], fields=d["fields"])
                for d in sorted(done, key=lambda d: d["at"])
            ],
            payments=Listed(
                items=[self._paid(paid) for paid in told.payments.items], next=told.payments.next
            ),
        )

    def _paid(self, paid: PaidAndTold) -> PaidShape:
        shown = self.payment(paid.payment)
        return PaidShape(
            payment_id=shown["payment_id"],
            channel=shown["channel"],
            reference=shown["reference"],
            serial_number=shown["serial_number"],
            amount=shown["amount"],
            currency=shown["currency"],
            moment=shown["moment"],
            status=shown["status"],
            payer_phone=paid.phone,
            lines=shown["lines"],
            tokens=shown["tokens"],
            messages=[_told(sms) for sms in paid.messages],
        )

    def agent(self, agent: Agent) -> AgentShape:
        """An agent, and how they stand."""
        limit_minor = agent.float_limit_minor
        return AgentShape(
            agent_id=agent.agent_id,
            email=agent.email,
            float_limit=None if limit_minor is None else self._amount(limit_minor),
            commission_percent=format_units(agent.commission_share * 100),
            held=self._amount(agent.held_minor),
            commission=format_exact(agent.commission_minor, self._currency),
        )

    def agent_entry(self, entry: AgentEntry) -> AgentEntryShape:
        """What was done about an agent."""
        return AgentEntryShape(
            number=entry.number,
            what=entry.what,
            at=time_text(entry.at),
            actor=entry.actor,
            reason=entry.reason,
            cash=self._amount(entry.cash_minor),
            commission=self._amount(entry.commission_paid_minor),
        )

    def quote(self, quote: Quote) -> QuoteShape:
        """What a payment would bring."""
        return QuoteShape(
            serial_number=quote.serial_number,
            amount=self._amount(quote.amount_minor),
            currency=quote.currency,
            customer_name=quote.customer_name,
            lines=[self._line(line) for line in quote.allocation.lines],
            tokens=[_quoted(intent) for intent in quote.allocation.intents],
        )

    def _line(self, line: Line) -> LineShape:
        return LineShape(kind=line.kind.value, ref=line.ref, amount=self._amount(line.amount_minor))

    def _amount(self, amount_minor: int) -> str:
        return format_minor(amount_minor, self._currency)


def _form(registration: FieldRegistration) -> FormShape:
    form = registration.form
    return FormShape(
        registration_id=registration.registration_id,
        posted_at=time_text(registration.posted_at),
        status=registration.status.value,
        name=form.name,
        surname=form.surname,
        phone=form.phone,
        village_id=form.village_id,
        serial_number=form.serial_number,
        geo_points=form.geo_points,
    )


def _told(sms: Message) -> ToldShape:
    return ToldShape(
        number=sms.number,
        to=sms.to,
        language=sms.language,
        body=sms.body,
        state=sms.state.value,
        sent_at=_time_or_none(sms.sent_at),
    )


def _units(units: Fraction | None) -> str | None:
    return None if units is None else format_units(units)


def _unit(kind: VendKind, units: Fraction | None) -> Unit | None:
    return None if units is None else _UNITS[kind]


def _vend(vend: Vend) -> VendShape:
    return VendShape(
        number=vend.number,
        serial_number=vend.serial_number,
        manufacturer=vend.manufacturer,
        kind=vend.kind.value,
        units=_units(vend.units),
        unit=_unit(vend.kind, vend.units),
        state=vend.state.value,
        attempts=vend.attempts,
    )


def _token(token: Token) -> TokenShape:
    shape = TokenShape(
        serial_number=token.serial_number,
        kind=token.kind.value,
        units=_units(token.units),
        unit=_unit(token.kind, token.units),
        value=token.value,
    )
    if token.before:
        shape["before"] = list(token.before)
    return shape


def _quoted(intent: VendIntent) -> QuotedTokenShape:
    return QuotedTokenShape(
        serial_number=intent.serial_number,
        kind=intent.kind.value,
        units=_units(intent.units),
        unit=_unit(intent.kind, intent.units),
    )


def _event(event: Event) -> EventShape:
    shape = EventShape(at=time_text(event.at), what=event.what)
    if event.actor is not None:
        shape["actor"] = event.actor
    if event.reason is not None:
        shape["reason"] = event.reason
    return shape
