"""Sell: an appliance, or an SHS or e-bike that is registered, on a plan."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.errors import DeviceHasOpenPlan, FieldError, MwangaError, Refusal, Refused
from chalicelib.domain.moment import start_of_day
from chalicelib.domain.payment import Payment
from chalicelib.domain.plan import Plan, Terms, make_plan
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.devices import DeviceNotFound
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.names import clean_name
from chalicelib.services.plan_ids import new_plan_id
from chalicelib.services.ports import (
    Accounts,
    ApplianceKind,
    Appliances,
    Catalogue,
    Clock,
    ConditionFailed,
    Customers,
    Device,
    Devices,
    DeviceState,
    Journal,
    Manufacturers,
    Registry,
    VersionConflict,
)
from chalicelib.services.unlock import Unlock

WRITES_MAX = 6
"""How often a sale that lost a race is made anew before the caller is told to come back."""


class CustomerNotFound(MwangaError):
    """There is no such customer."""

    code = "not_found"


@dataclass(frozen=True, slots=True)
class Sale:
    """A plan that was sold; ``repeated`` if that very sale was made before."""

    plan: Plan
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class DeviceSale:
    """The account with a device's new plan in it.

    A plan that was paid in full before ends at once: it is in ``ended_plans``, and ``payment``
    is the payment of nothing that carries the unlock of the device.
    """

    account: Account
    ended_plans: tuple[Plan, ...] = ()
    payment: Payment | None = None

    @property
    def vend(self) -> str | None:
        """What the entry calls the unlock: the id of the payment that carries it."""
        return self.payment.payment_id if self.payment else None


class SellPlans:
    """Sells on plans. Each sale is an entry of the customer's account."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        devices: Devices,
        customers: Customers,
        appliances: Appliances,
        registry: Registry,
        catalogue: Catalogue,
        manufacturers: Manufacturers,
        unlock: Unlock,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._accounts = accounts
        self._devices = devices
        self._customers = customers
        self._appliances = appliances
        self._registry = registry
        self._catalogue = catalogue
        self._manufacturers = manufacturers
        self._unlock = unlock
        self._clock = clock
        self._journal = journal
        self._pause = pause

    # --- appliances ---------------------------------------------------------------------------

    def sell_appliance(
        self,
        customer_id: str,
        terms: Terms,
        *,
        appliance_id: int | None,
        name: str | None,
        key: str,
        actor: str,
        sold_on: date | None = None,
        why: str = "sale of an appliance",
    ) -> Sale:
        """Sell an appliance, or something of that name, once per idempotency key.

        ``sold_on`` is a day in the past where it was sold before this system knew of it; ``why``
        is the reason that the account's entry gives.

        Raises:
            CustomerNotFound: see there.
            FieldError: on ``appliance_id`` or ``name``: exactly one of them names what is sold.
            InvalidPlan: the terms contradict each other.
            AccountFull: the customer has too many open plans.
            ReferenceConflict: the key was used for another sale to this customer.
            VersionConflict, TryAgain, OutcomeUnknown: not sold, or not known to be: the same
                request may be sent again.
        """
        self._check(customer_id)
        guard_id = f"plan#{customer_id}#{key}"
        asked = _hash(terms, appliance_id, name)
        for round_number in range(WRITES_MAX):
            held = self._registry.guard(guard_id)
            if held is not None:
                return self._sold_before(customer_id, held, asked)
            plan = make_plan(
                terms,
                plan_id=new_plan_id(customer_id),
                name=self._name_of(appliance_id, name),
                sold_at=self._moment_of(sold_on),
            )
            act = Act(actor, self._clock.now(), why)
            try:
                self._write_appliance(customer_id, plan, (guard_id, f"{plan.plan_id} {asked}"), act)
            except (VersionConflict, ConditionFailed):
                self._wait(round_number)
                continue
            return Sale(plan)
        raise VersionConflict(customer_id)

    def _write_appliance(
        self, customer_id: str, plan: Plan, guard: tuple[str, str], act: Act
    ) -> None:
        account = (self._accounts.get(customer_id) or Account(customer_id)).next_version()
        self._check(customer_id)  # as of that account or later
        if not plan.is_paid:
            account = account.with_plan(plan)
        self._accounts.change(
            account,
            entry_of(act, account, "plan_sold", opened=plan),
            ended_plans=(plan,) if plan.is_paid else (),
            guard=guard,
        )
        self._note(plan, account, act.actor)

    def _check(self, customer_id: str) -> None:
        customer = self._customers.get(customer_id)
        if customer is None or customer.erased:
            raise CustomerNotFound(f"there is no customer {customer_id}")

    def _moment_of(self, sold_on: date | None) -> datetime:
        if sold_on is None:
            return self._clock.now()
        return start_of_day(sold_on, ZoneInfo(self._catalogue.settings().time_zone))

    def _name_of(self, appliance_id: int | None, name: str | None) -> str:
        if (appliance_id is None) == (name is None):
            raise FieldError("appliance_id", "give either appliance_id or name")
        if name is not None:
            return clean_name(name)
        appliance = self._appliances.get(appliance_id or 0)
        if appliance is None:
            raise FieldError("appliance_id", "there is none of that id")
        if appliance.kind is not ApplianceKind.APPLIANCE:
            raise FieldError("appliance_id", "is a device: it is sold with its serial number")
        return appliance.name

    def _sold_before(self, customer_id: str, held: str, asked: str) -> Sale:
        """What that key stands for. The plan may have ended since."""
        plan_id, _, asked_before = held.partition(" ")
        if asked_before != asked:
            raise ReferenceConflict("this Idempotency-Key was used for another sale")
        account = self._accounts.get(customer_id)
        plan = account.plan(plan_id) if account else None
        plan = plan or self._accounts.ended_plan(plan_id)
        if plan is None:  # it ended between the two reads
            raise VersionConflict(plan_id)
        return Sale(plan, repeated=True)

    # --- devices ------------------------------------------------------------------------------

    def sell_device(self, serial_number: str, terms: Terms, *, actor: str) -> Plan:
        """Sell an SHS or e-bike to its owner, or sell it again once its plan has ended.

        Raises:
            DeviceNotFound, DeviceHasOpenPlan: see there.
            Refused: nobody owns it (``device_unassigned``).
            FieldError: it is a meter; or it was paid already and there can be no unlock token.
            InvalidPlan, AccountFull: as for an appliance.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable, SecretMissing: not sold,
                or not known to be: look at the device before selling it again.
        """
        for round_number in range(WRITES_MAX):
            device = self._devices.get(serial_number)
            if device is None:
                raise DeviceNotFound(f"there is no device {serial_number}")
            if device.kind is Kind.METER:
                raise FieldError("serial_number", "a meter is not sold on a plan")
            if device.customer_id is None:
                raise Refused(Refusal.DEVICE_UNASSIGNED, "nobody owns the device")
            try:
                return self._write_device(device, device.customer_id, terms, actor)
            except VersionConflict:
                self._wait(round_number)
        raise VersionConflict(serial_number)

    def _write_device(self, device: Device, customer_id: str, terms: Terms, actor: str) -> Plan:
        account = self._accounts.get(customer_id)
        record = account.device(device.serial_number) if account else None
        if account is None or record is None:
            raise VersionConflict(device.serial_number)  # it is changing hands this very moment
        if account.plan_of(device.serial_number) is not None:
            raise DeviceHasOpenPlan("its plan must end before it is sold again")
        plan = device_plan(terms, device, self._name_of_device(device), self._clock.now())
        sale = with_device_plan(account.next_version(), record, device, plan, self._unlock)
        act = Act(actor, plan.sold_at, "sale of a device")
        entry = entry_of(act, sale.account, "plan_sold", opened=plan, vend=sale.vend)
        with self._unlock.following(sale.payment):
            # The device is always written too: were it changing hands, one of them would fail.
            self._accounts.change(
                sale.account,
                entry,
                device=self._completed(device),
                ended_plans=sale.ended_plans,
                new_payment=sale.payment,
            )
        self._note(plan, sale.account, actor)
        return plan

    def _completed(self, device: Device) -> Device:
        """The device, no longer to be reviewed if nothing but its plan was missing."""
        maker = self._manufacturers.get(device.manufacturer).manufacturer
        if device.state is not DeviceState.NEEDS_REVIEW or maker.lacks(device.technical):
            return device
        return replace(device, state=DeviceState.ACTIVE)

    def _name_of_device(self, device: Device) -> str:
        appliance = (
            None if device.appliance_id is None else self._appliances.get(device.appliance_id)
        )
        if appliance is not None:
            return appliance.name
        return self._manufacturers.get(device.manufacturer).manufacturer.name

    # --- what both share ----------------------------------------------------------------------

    def _note(self, plan: Plan, account: Account, actor: str) -> None:
        self._journal.event(
            "plan_sold",
            plan_id=plan.plan_id,
            customer_id=account.customer_id,
            account_version=account.version,
            actor=actor,
        )

    def _wait(self, round_number: int) -> None:
        self._pause(jitter_seconds(round_number))


def device_plan(terms: Terms, device: Device, name: str, sold_at: datetime) -> Plan:
    """A plan on those terms for that device.

    Raises:
        InvalidPlan: the terms contradict each other.
    """
    return make_plan(
        terms,
        plan_id=new_plan_id(device.customer_id or ""),
        name=name,
        sold_at=sold_at,
        serial_number=device.serial_number,
    )


def with_device_plan(
    account: Account,
    record: DeviceAccount,
    device: Device,
    plan: Plan,
    unlock: Unlock,
    carry_days: Fraction = Fraction(0),
) -> DeviceSale:
    """Put a device's plan into its owner's account, and into the device's record there.

    A plan that was already paid in full unlocks the device at once; any other locks it again,
    until it is paid off. ``carry_days`` is the part of a day that was bought on that plan before.

    Raises:
        AccountFull: one open plan too many.
        FieldError: on ``already_paid``: the device is paid off, and there can be no unlock token.
        SecretMissing: the device's key cannot be opened now.
    """
    sold = replace(record, plan_id=plan.plan_id, carry_days=carry_days, unlocked=False)
    account = account.with_device(sold)
    if not plan.is_paid:
        return DeviceSale(account.with_plan(plan))
    unlocked = unlock.unlocked(account, device, "already_paid")
    return DeviceSale(unlocked.account, (plan,), unlocked.payment)


def _hash(terms: Terms, appliance_id: int | None, name: str | None) -> str:
    """What tells a repeated request from a different one under the same key."""
    return hashlib.sha256(repr((terms, appliance_id, name)).encode()).hexdigest()[:32]
