"""What our own routes take: unknown fields are refused, and nothing is converted on the way.

Amounts are typed as "anything": whatever is not an amount's text is told as ``invalid_amount`` by
whoever reads it. Models are built when they are first used, so that a cold start pays for one.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def read_day(value: object) -> date:
    """A day as it is written: ``2026-01-08``.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) or _DAY.fullmatch(value) is None:
        raise ValueError("must be a day such as 2026-01-08")
    return date.fromisoformat(value)


def _read_time(value: object) -> datetime:
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        raise ValueError("must be a time with its zone, such as 2026-01-08T12:00:00Z")
    return datetime.fromisoformat(value)


_AMOUNT: dict[str, Any] = {"pattern": r"^[0-9]+(\.[0-9]+)?$", "examples": ["1500.00"]}
AmountText = Annotated[Any, WithJsonSchema({"type": "string", **_AMOUNT})]
AmountTextIfGiven = Annotated[Any, WithJsonSchema({"type": ["string", "null"], **_AMOUNT})]
Day = Annotated[
    date, BeforeValidator(read_day), WithJsonSchema({"type": "string", "format": "date"})
]
Time = Annotated[
    datetime,
    BeforeValidator(_read_time),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[int, Field(ge=1, le=10**12)]
WholeNumber = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
Every = Literal["week", "month"]


class Model(BaseModel):
    """The base of all: strict, closed, and built late."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, defer_build=True, hide_input_in_errors=True
    )


# --- staff ------------------------------------------------------------------------------------


class LogInBody(Model):
    """An e-mail and its password."""

    email: Annotated[str, Field(max_length=254)]
    password: Annotated[str, Field(max_length=200)]


class PasswordBody(LogInBody):
    """The answer to the first log-in's challenge: a password of one's own."""

    new_password: Annotated[str, Field(max_length=200)]


# --- reference data ---------------------------------------------------------------------------


class ClusterBody(Model):
    """A cluster."""

    name: Text


class MiniGridBody(Model):
    """A mini-grid of a cluster."""

    name: Text
    cluster_id: Id


class VillageBody(Model):
    """A village of a mini-grid."""

    name: Text
    mini_grid_id: Id


class AccessRateBody(Model):
    """A subscription fee every ``period_days`` days."""

    amount: AmountText
    period_days: Annotated[int, Field(ge=1, le=3660)]


class TariffBody(Model):
    """A tariff. A change takes effect at ``effective_from``, by default 60 seconds from now."""

    name: Text
    price_per_kwh: AmountText
    access_rate: AccessRateBody | None = None
    minimum_purchase: AmountTextIfGiven = None
    effective_from: Time | None = None


class DefaultPlanBody(Model):
    """How an appliance is usually paid off: a number of instalments, or an amount for each."""

    down_payment: AmountTextIfGiven = None
    instalments: Annotated[int, Field(ge=1, le=600)] | None = None
    instalment_amount: AmountTextIfGiven = None
    every: Every
    first_due_after_days: Annotated[int, Field(ge=0, le=3660)]


class ApplianceBody(Model):
    """Something that is sold on plans; what devices of a manufacturer are, where one is named."""

    name: Text
    kind: Literal["appliance", "shs", "e_bike"]
    price: AmountText
    default_plan: DefaultPlanBody | None = None
    manufacturer: Text | None = None


# --- customers, devices, plans ----------------------------------------------------------------


class PlanTermsBody(Model):
    """The terms of a plan: a number of instalments, or an amount for each."""

    total: AmountText
    down_payment: AmountTextIfGiven = None
    already_paid: AmountTextIfGiven = None
    instalments: Annotated[int, Field(le=10**9)] | None = None
    instalment_amount: AmountTextIfGiven = None
    every: Every
    first_due: Day


class CustomerPlanBody(PlanTermsBody):
    """The sale of an appliance, or of something of that name."""

    appliance_id: Id | None = None
    name: Text | None = None


class PlanChangeBody(Model):
    """New terms of an open plan: a total, or how what is open is to be paid, or both."""

    reason: Reason
    total: AmountTextIfGiven = None
    instalments: Annotated[int, Field(le=10**9)] | None = None
    instalment_amount: AmountTextIfGiven = None
    every: Every | None = None
    first_due: Day | None = None


class PlanCancelBody(Model):
    """Why a plan is cancelled, and how much of what was paid on it becomes credit."""

    reason: Reason
    credit: AmountTextIfGiven = None


class PlanWriteOffBody(Model):
    """Why a plan is written off, and whether its device is unlocked all the same."""

    reason: Reason
    unlock: bool = False


class CreditRefundBody(Model):
    """Credit that is given back by hand."""

    amount: AmountText
    reason: Reason


class CustomerBody(Model):
    """A customer."""

    name: Text
    surname: Text
    phone: Text
    village_id: Id


class OwnerBody(Model):
    """The owner of a new device: a person, or the id of a customer."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["customer_id"]},
                {"required": ["name", "surname", "phone", "village_id"]},
            ]
        }
    )

    customer_id: Text | None = None
    name: Text | None = None
    surname: Text | None = None
    phone: Text | None = None
    village_id: Id | None = None


class NewDeviceBody(Model):
    """A new device. ``technical`` is what its manufacturer needs."""

    serial_number: Text
    manufacturer: Text
    village_id: Id | None = None
    tariff_id: Id | None = None
    appliance_id: Id | None = None
    plan: PlanTermsBody | None = None
    technical: dict[str, Any] | None = None


class RegistrationBody(Model):
    """A customer and a device, registered together."""

    customer: OwnerBody
    device: NewDeviceBody
    registered_on: Day | None = None


class AppFormBody(Model):
    """What the Customer Registration App posts. It is not our own: what is unknown is ignored.

    ``id`` is the row on the phone, and comes back in the answer.
    """

    model_config = ConfigDict(extra="ignore")

    name: Text
    surname: Text
    phone: Text
    serial_number: Text
    tariff_id: WholeNumber
    city_id: WholeNumber
    manufacturer: WholeNumber
    meter_type: WholeNumber | None = None
    connection_group_id: WholeNumber | None = None
    connection_type_id: WholeNumber | None = None
    sub_connection_type_id: WholeNumber | None = None
    geo_points: Annotated[str, Field(max_length=200)] | None = None
    id: Any = None
    local: Any = None


class CorrectionsBody(Model):
    """What is otherwise than the app's form says."""

    customer_id: Text | None = None
    name: Text | None = None
    surname: Text | None = None
    phone: Text | None = None
    serial_number: Text | None = None
    manufacturer: Text | None = None
    village_id: Id | None = None
    tariff_id: Id | None = None
    appliance_id: Id | None = None
    plan: PlanTermsBody | None = None
    technical: dict[str, Any] | None = None


class ExportBody(Model):
    """What is to be taken out: ``with_keys`` says whether the keys of devices go with it."""

    with_keys: bool = False


class ReportBody(Model):
    """What a report is to be of: a period of days, both included, its money or all its rows."""

    first_day: Annotated[Day, Field(alias="from")]
    last_day: Annotated[Day, Field(alias="to")]
    contents: Literal["money", "rows"] = "money"


class ReviewBody(Model):
    """What the office decides about a registration from the field."""

    reason: Reason
    outcome: Literal["register", "done", "dismiss"]
    corrections: CorrectionsBody = CorrectionsBody()


class DeviceOwnerBody(Model):
    """The new owner of a device; null for nobody."""

    customer_id: Text | None
    reason: Reason


class DeviceTariffBody(Model):
    """The new tariff of a meter, and why."""

    tariff_id: Id
    reason: Reason | None = None


class DeviceActionBody(Model):
    """Why something is done about a device."""

    reason: Reason


class ActionBody(Model):
    """What is to be done to a device, and why."""

    action: Literal["lock", "reset", "clear_credit", "clear_tamper", "sync"]
    reason: Reason


class FreeCreditBody(Model):
    """How many kWh or days are given, and why."""

    units: Text
    reason: Reason


class ReplacementBody(Model):
    """The device that takes another one's place: in stock, or to become known now.

    ``units`` are the kWh that were left in a meter.
    """

    serial_number: Text
    manufacturer: Text | None = None
    technical: dict[str, Any] | None = None
    units: Text | None = None
    reason: Reason


class ErasureBody(Model):
    """Why who a customer was is not kept any more: it is kept itself, so it names nobody."""

    reason: Reason


class TechnicalBody(Model):
    """What the manufacturer needs of a device; the manufacturer says which fields."""

    model_config = ConfigDict(extra="allow")


# --- payments ---------------------------------------------------------------------------------


class RetryBody(Model):
    """Why a held payment is tried again.

    An uncertain vend or refund that can be neither repeated nor looked up needs ``not_issued``.
    """

    reason: Reason
    vend: Id | None = None
    not_issued: bool = False


class RefundBody(Model):
    """Why money of a held payment is given back; all that bought nothing, or that amount."""

    reason: Reason
    amount: AmountTextIfGiven = None


class CashBody(Model):
    """Money that was taken over the counter, for a device or for an appliance's plan."""

    serial_number: Text | None = None
    plan_id: Text | None = None
    amount: AmountText


class AgentSaleBody(Model):
    """Money that an agent has been handed."""

    serial_number: Text
    amount: AmountText


class AgentTermsBody(Model):
    """What an agent may hold and earns: no ``float_limit``, no limit."""

    email: Annotated[str, Field(min_length=1, max_length=254)]
    float_limit: AmountTextIfGiven = None
    commission_percent: Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?$")] = "0"
    reason: Reason


class ReceiptBody(Model):
    """Cash that an agent has handed in, and what they kept of what they had earned."""

    cash: AmountTextIfGiven = None
    commission: AmountTextIfGiven = None
    reason: Reason


class ResolveBody(Model):
    """What became of a held payment."""

    reason: Reason
    outcome: Literal["token", "not_issued", "credit", "assign", "refunded", "not_paid"]
    vend: Id | None = None
    token: Text | None = None
    units: Text | None = None
    serial_number: Text | None = None


# --- pauses -------------------------------------------------------------------------------------


class PauseBody(Model):
    """Why something is paused."""

    reason: Reason


# --- settings ---------------------------------------------------------------------------------


class SettingsBody(Model):
    """The company's settings; what is left out gets its default."""

    company: Text
    country: Text
    currency: Text
    time_zone: Text
    languages: Annotated[list[Text], Field(max_length=10)] = ["en"]
    own_arrears: Literal["debt", "activation"] = "debt"
    grace_days: Annotated[int, Field(ge=0, le=366)] = 0
    late_payment_hours: Annotated[int, Field(ge=0, le=8784)] = 72
    refund_after_minutes: Annotated[int, Field(ge=0, le=44640)] = 15
    maximum_amount: AmountTextIfGiven = None
    confirm_above: AmountTextIfGiven = None
