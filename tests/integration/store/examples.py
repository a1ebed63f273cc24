"""The reference customer (one meter, one SHS, one TV) and what the tests build from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from chalicelib.domain.account import Account, DeviceAccount, Kind, Tenure
from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.payment import Claim, Payment, Status, Token, Vend, VendState, accepted
from chalicelib.domain.plan import Every, Plan, PlanKind
from chalicelib.services.ports import Customer, Device, Entry, Registration

NOW = datetime(2026, 3, 1, 7, 30, 15, 123456, tzinfo=UTC)
LONG_AGO = datetime(2025, 6, 2, 8, 12, 44, 987654, tzinfo=UTC)

CUSTOMER_ID = "C104233"
METER = "47001234567"
SHS = "SHS20481632"
PHONE = "+254712345678"

TV_PLAN = Plan(
    plan_id="p-7KQ2MZ4TWX",
    kind=PlanKind.APPLIANCE,
    name="Television 24 inch",
    total_minor=2_450_000,
    instalments=12,
    instalment_minor=187_500,
    every=Every.MONTH,
    first_due=date(2025, 7, 1),
    sold_at=LONG_AGO,
    down_payment_minor=200_000,
    paid_minor=1_512_500,
)
SHS_PLAN = Plan(
    plan_id="p-3HV9RB8NCD",
    kind=PlanKind.DEVICE,
    name="Solar home system 50",
    total_minor=7_000_000,
    instalments=100,
    instalment_minor=70_000,
    every=Every.WEEK,
    first_due=date(2025, 6, 9),
    sold_at=LONG_AGO,
    serial_number=SHS,
    already_paid_minor=350_000,
    paid_minor=2_730_000,
)
METER_ACCOUNT = DeviceAccount(
    serial_number=METER,
    kind=Kind.METER,
    tenures=(Tenure(tariff_id=12, since=LONG_AGO),),
    fees_paid_minor=135_000,
    carry_minor=Fraction(1_735, 2),
)
SHS_ACCOUNT = DeviceAccount(
    serial_number=SHS,
    kind=Kind.SHS,
    plan_id=SHS_PLAN.plan_id,
    carry_days=Fraction(3, 7),
    counter=148,
    paid_until=NOW + timedelta(days=7),
)


def account(version: int = 38, **changed: Any) -> Account:
    """The account of the reference customer."""
    reference = Account(
        customer_id=CUSTOMER_ID,
        version=version,
        credit_minor=11_500,
        plans=(TV_PLAN, SHS_PLAN),
        devices=(METER_ACCOUNT, SHS_ACCOUNT),
    )
    return replace(reference, **changed)


def payment(transaction: str = "SLC7QWE2RT", **changed: Any) -> Payment:
    """A payment as it is when it has been accepted."""
    claim = Claim(
        channel="daraja",
        source="mpesa_ke.600966",
        transaction=transaction,
        reference=transaction,
        serial_number=SHS,
        amount_minor=150_000,
        currency="KES",
    )
    new = accepted(claim, moment=NOW, received_at=NOW, customer_id=CUSTOMER_ID)
    return replace(new, **changed)


LINES = (
    Line(LineKind.APPLIANCE, TV_PLAN.plan_id, 30_000),
    Line(LineKind.ACCESS_RATE, METER, 15_000),
    Line(LineKind.TIME, SHS, 105_000),
)
TIME_VEND = Vend(
    number=1,
    serial_number=SHS,
    manufacturer="openpaygo",
    kind=VendKind.TIME,
    state=VendState.DONE,
    units=Fraction(10),
    money_minor=105_000,
    attempts=1,
    count=146,
    paid_until=NOW + timedelta(days=17),
)
ENERGY_VEND = Vend(
    number=1,
    serial_number=METER,
    manufacturer="calin",
    kind=VendKind.ENERGY,
    state=VendState.INTENDED,
    units=Fraction(105, 10),
    money_minor=105_000,
    cost_minor=Fraction(209_475, 2),
)


def completed(transaction: str = "SLC7QWE2RT") -> Payment:
    """A payment with three lines whose token was computed at the settlement."""
    return payment(
        transaction,
        status=Status.COMPLETED,
        lines=LINES,
        vends=(TIME_VEND,),
        tokens=(Token(1, SHS, VendKind.TIME, Fraction(10), "482 716 053"),),
        account_versions=(38,),
        settled_at=NOW + timedelta(seconds=1),
        completed_at=NOW + timedelta(seconds=1),
        check_at=None,
    )


def vending(transaction: str = "SLC7QWE2RT", **changed: Any) -> Payment:
    """A payment that waits for the token of a remote manufacturer."""
    vend = replace(ENERGY_VEND, **changed)
    return payment(
        transaction,
        status=Status.VENDING,
        lines=LINES,
        vends=(vend,),
        account_versions=(38,),
        settled_at=NOW + timedelta(seconds=1),
    )


def entry(version: int = 38, **changed: Any) -> Entry:
    """A change of the reference customer's account."""
    made = Entry(
        customer_id=CUSTOMER_ID,
        account_version=version,
        what="sale",
        at=NOW,
        actor="office@example.org",
        reason="sold at the shop",
        changes={"plan": {"plan_id": TV_PLAN.plan_id, "total_minor": 2_450_000}, "tags": ["a"]},
    )
    return replace(made, **changed)


def device(serial_number: str = SHS, **changed: Any) -> Device:
    """A registered SHS."""
    registered = Device(
        serial_number=serial_number,
        kind=Kind.SHS,
        manufacturer="openpaygo",
        village_id=1,
        registered_on=date(2025, 6, 2),
        customer_id=CUSTOMER_ID,
        technical={"key": "k1:c2VhbGVk", "starting_code": 123_456_789, "restricted": False},
    )
    return replace(registered, **changed)


def customer(**changed: Any) -> Customer:
    """The reference customer."""
    registered = Customer(
        customer_id=CUSTOMER_ID,
        number=104_233,
        name="Asha",
        surname="Mwangi",
        phone=PHONE,
        village_id=1,
    )
    return replace(registered, **changed)


def registration(**changed: Any) -> Registration:
    """The reference customer with a first device."""
    made = Registration(
        customer=customer(),
        new_customer=True,
        device=device(),
        account=account(version=1),
        entry=entry(version=1),
    )
    return replace(made, **changed)
