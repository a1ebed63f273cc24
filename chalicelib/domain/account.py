"""The account: everything that one customer owes and has. One value, with a version."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from chalicelib.domain.errors import AccountFull
from chalicelib.domain.plan import Plan

DEVICES_MAX = 100
OPEN_PLANS_MAX = 50


class Kind(StrEnum):
    """The kinds of device. There are no others."""

    METER = "meter"
    SHS = "shs"
    E_BIKE = "e_bike"


@dataclass(frozen=True, slots=True)
class Tenure:
    """A time in which a meter belonged to this account under one tariff.

    ``since`` and ``until`` are moments (UTC); ``until`` is ``None`` while it lasts. The access
    rate's stretches are derived from tenures and the tariffs' histories, and never stored.
    """

    tariff_id: int
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeviceAccount:
    """What one device has and owes in the account of its owner.

    Meters use ``tenures``, ``fees_paid_minor`` and ``carry_minor`` (money not yet turned into
    energy, exact, in minor units). SHS and e-bikes use ``plan_id`` (their last plan, open or
    ended), ``carry_days`` (the part of a day not yet issued, exact), ``counter`` (the last token
    count issued, where tokens are computed here), ``paid_until`` and ``unlocked`` (its last plan
    is paid off, so it runs for good). ``owned`` is false for a meter that went to another owner
    and left unpaid fees behind.
    """

    serial_number: str
    kind: Kind
    owned: bool = True
    tenures: tuple[Tenure, ...] = ()
    fees_paid_minor: int = 0
    carry_minor: Fraction = Fraction(0)
    plan_id: str | None = None
    carry_days: Fraction = Fraction(0)
    counter: int | None = None
    paid_until: datetime | None = None
    unlocked: bool = False

    @property
    def has_tariff(self) -> bool:
        """Whether a tenure lasts: a meter without one cannot be sold energy."""
        return any(tenure.until is None for tenure in self.tenures)

    def tenure_at(self, moment: datetime) -> Tenure | None:
        """The tenure in force at ``moment``; the first one also covers the time before it."""
        begun = [tenure for tenure in self.tenures if tenure.since <= moment]
        return begun[-1] if begun else next(iter(self.tenures), None)


@dataclass(frozen=True, slots=True)
class Account:
    """What one customer owes and has, as of ``version``.

    Only open plans are in ``plans``: a plan that ends leaves the account. Every change raises
    ``version`` by exactly one.
    """

    customer_id: str
    version: int = 0
    credit_minor: int = 0
    plans: tuple[Plan, ...] = ()
    devices: tuple[DeviceAccount, ...] = field(default=())

    def device(self, serial_number: str) -> DeviceAccount | None:
        """The record of that device, if it is (or was, with fees left) in this account."""
        return next((d for d in self.devices if d.serial_number == serial_number), None)

    def plan(self, plan_id: str) -> Plan | None:
        """The open plan of that id."""
        return next((p for p in self.plans if p.plan_id == plan_id), None)

    def plan_of(self, serial_number: str) -> Plan | None:
        """The open plan of that device."""
        return next((p for p in self.plans if p.serial_number == serial_number), None)

    def with_device(self, device: DeviceAccount) -> Account:
        """This account with that device's record put in, or replaced.

        Raises:
            AccountFull: a new record would be one too many.
        """
        kept = tuple(device if d.serial_number == device.serial_number else d for d in self.devices)
        if self.device(device.serial_number) is None:
            if len(self.devices) >= DEVICES_MAX:
                raise AccountFull(f"an account holds at most {DEVICES_MAX} devices")
            kept = (*kept, device)
        return replace(self, devices=kept)

    def with_plan(self, plan: Plan) -> Account:
        """This account with that open plan put in, or replaced.

        Raises:
            AccountFull: a new plan would be one too many.
        """
        kept = tuple(plan if p.plan_id == plan.plan_id else p for p in self.plans)
        if self.plan(plan.plan_id) is None:
            if len(self.plans) >= OPEN_PLANS_MAX:
                raise AccountFull(f"an account holds at most {OPEN_PLANS_MAX} open plans")
            kept = (*kept, plan)
        return replace(self, plans=kept)

    def without_plan(self, plan_id: str) -> Account:
        """This account without that plan."""
        return replace(self, plans=tuple(p for p in self.plans if p.plan_id != plan_id))

    def next_version(self) -> Account:
        """This account, changed once more."""
        return replace(self, version=self.version + 1)
