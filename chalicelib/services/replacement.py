"""Replacement: a device that broke gives its place to another one, and what is left goes along.

In the account the record changes its serial number and nothing else: plan, tariff, carry, fees and
paid time stay where they are. What the old device still had in it is vended to the new one: the
rest of its paid time, the unlock, or the kWh that somebody read off its display.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.allocation import VendIntent, VendKind
from chalicelib.domain.errors import FieldError, InvalidSerial, MwangaError, Refusal, Refused
from chalicelib.domain.moment import local_day
from chalicelib.domain.payment import FINAL, Payment
from chalicelib.domain.serial import normalise_serial
from chalicelib.services.accept import rules_of
from chalicelib.services.changes import change_of, of_device, technical_differences
from chalicelib.services.device_actions import days_left, require_units
from chalicelib.services.devices import (
    Belongings,
    DeviceNotFound,
    belongings_by_itself,
    with_belongings,
    without_belongings,
)
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.ports import (
    Accounts,
    Catalogue,
    Clock,
    ConditionFailed,
    Device,
    Devices,
    DeviceState,
    Issuer,
    Journal,
    Manufacturers,
    Payments,
    Registry,
    Vendor,
    VersionConflict,
    issues_tokens,
)
from chalicelib.services.unlock import Unlock

WRITES_MAX = 6
PAYMENTS_SEARCHED_MAX = 100


class DevicePaymentsOpen(MwangaError):
    """A payment for the device is not finished: what is left in it cannot be told yet."""

    code = "device_payments_open"


@dataclass(frozen=True, slots=True)
class Substitute:
    """The device that takes the place.

    It is in stock, or becomes known now: made by ``manufacturer`` (that of the old one where none
    is named), with what that needs in ``technical``. ``units`` are kWh that were left in a meter.
    """

    serial_number: str
    manufacturer: str | None = None
    technical: Mapping[str, Any] | None = None
    units: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """The new device, and the payment of nothing that carries what was left, if anything was."""

    device: Device
    payment: Payment | None = None


class ReplaceDevices:
    """Puts one device in the place of another."""

    def __init__(
        self,
        *,
        devices: Devices,
        accounts: Accounts,
        payments: Payments,
        registry: Registry,
        catalogue: Catalogue,
        manufacturers: Manufacturers,
        unlock: Unlock,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._devices = devices
        self._accounts = accounts
        self._payments = payments
        self._registry = registry
        self._catalogue = catalogue
        self._manufacturers = manufacturers
        self._unlock = unlock
        self._clock = clock
        self._journal = journal
        self._pause = pause

    def replace(self, serial_number: str, by: Substitute, *, reason: str, actor: str) -> Replaced:
        """Put ``by`` in the place of the device; the old one goes into stock.

        Raises:
            DeviceNotFound, DevicePaymentsOpen: see there.
            Refused: nobody owns the old one (``device_unassigned``).
            FieldError: on a field of ``by``.
            SecretMissing: there is no key to seal with.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable: not replaced, or not known
                to be: look at the new device before asking again.
        """
        act = Act(actor, self._clock.now(), reason)
        for round_number in range(WRITES_MAX):
            try:
                return self._replaced(serial_number, by, act)
            except (VersionConflict, ConditionFailed):
                self._pause(jitter_seconds(round_number))
        raise VersionConflict(serial_number)

    def _replaced(self, serial_number: str, by: Substitute, act: Act) -> Replaced:
        old, account, record = self._owned(serial_number)
        self._check_nothing_open(account.customer_id, serial_number)
        new = self._stocked(old, by, act)
        own = belongings_by_itself(new)
        account = _with_substitute(account, record, new.serial_number, own.counter)
        intent = self._left(record, new, by.units)
        payment = None
        if intent is not None:
            carried = self._unlock.carried(account, new, intent, "serial_number")
            account, payment = carried.account, carried.payment
        entry = entry_of(
            act,
            account,
            "device_replaced",
            moved=(serial_number, new.serial_number),
            vend=payment.payment_id if payment else None,
        )
        new = without_belongings(
            replace(new, customer_id=account.customer_id, tariff_id=old.tariff_id)
        )
        with self._unlock.following(payment):
            self._accounts.change(
                account,
                entry,
                device=new,
                other_device=self._taken_out(old, record),
                new_payment=payment,
            )
        self._journal.event(
            "device_replaced",
            serial_number=serial_number,
            by=new.serial_number,
            customer_id=account.customer_id,
            actor=act.actor,
        )
        return Replaced(new, payment)

    # --- the old one --------------------------------------------------------------------------

    def _owned(self, serial_number: str) -> tuple[Device, Account, DeviceAccount]:
        """The device, its owner's account, and its record there."""
        device = self._devices.get(serial_number)
        if device is None:
            raise DeviceNotFound(f"there is no device {serial_number}")
        if device.customer_id is None:
            raise Refused(Refusal.DEVICE_UNASSIGNED, "nobody owns the device")
        account = self._accounts.get(device.customer_id)
        record = account.device(serial_number) if account else None
        if account is None or record is None:
            raise VersionConflict(serial_number)  # it is changing hands this very moment
        return device, account, record

    def _check_nothing_open(self, customer_id: str, serial_number: str) -> None:
        """That the old device's payments are done: what they bring must not miss the new one."""
        page = self._payments.by_owner(customer_id, PAYMENTS_SEARCHED_MAX, None)
        for payment in page.items:
            serials = {payment.serial_number, *(vend.serial_number for vend in payment.vends)}
            if payment.status not in FINAL and serial_number in serials:
                raise DevicePaymentsOpen(f"payment {payment.payment_id} is to be finished first")

    def _taken_out(self, old: Device, record: DeviceAccount) -> Device:
        """The old device in stock, with its counter; it owes nobody any time."""
        taken = replace(old, customer_id=None, state=DeviceState.ACTIVE)
        if self._manufacturers.get(old.manufacturer).manufacturer.switched:
            taken = replace(taken, switch_off_at=self._clock.now())
        return with_belongings(taken, Belongings(counter=record.counter))

    # --- the new one --------------------------------------------------------------------------

    def _stocked(self, old: Device, by: Substitute, act: Act) -> Device:
        """The new device, as it is in stock; it is put there first where it is not known yet."""
        serial_number = _serial_number(by.serial_number)
        known = self._devices.get(serial_number)
        if known is None:
            return self._made(old, by, serial_number, act)
        if known.customer_id is not None or known.kind is not old.kind:
            raise FieldError("serial_number", f"is no {old.kind.value} in stock")
        if by.manufacturer not in (None, known.manufacturer):
            raise FieldError("manufacturer", "is another one's")
        if by.technical is None:
            return known
        module = self._manufacturers.get(known.manufacturer)
        sealed = _sealed(known, module, by.technical)
        told = technical_differences(known, sealed)
        change = change_of(act, of_device(serial_number), "technical_entered", told)
        return self._registry.update_device(sealed, change)

    def _made(self, old: Device, by: Substitute, serial_number: str, act: Act) -> Device:
        key = by.manufacturer or old.manufacturer
        try:
            module = self._manufacturers.get(key)
        except KeyError:
            raise FieldError("manufacturer", "is not known") from None
        if module.manufacturer.kind is not old.kind:
            raise FieldError("manufacturer", f"makes no {old.kind.value}")
        time_zone = rules_of(self._catalogue.settings()).time_zone
        fresh = Device(
            serial_number=serial_number,
            kind=old.kind,
            manufacturer=key,
            village_id=old.village_id,
            registered_on=local_day(act.at, time_zone),
            tariff_id=old.tariff_id,
            appliance_id=old.appliance_id,
            switch_off_at=act.at if module.manufacturer.switched else None,
        )
        fresh = _sealed(fresh, module, by.technical or {})
        told = technical_differences(None, fresh)
        change = change_of(act, of_device(serial_number), "device_stocked", told)
        self._registry.create_device(fresh, change)
        return fresh

    # --- what is left -------------------------------------------------------------------------

    def _left(
        self, record: DeviceAccount, new: Device, units: Fraction | None
    ) -> VendIntent | None:
        """What is to be vended to the new device; nothing where nothing is left."""
        module = self._manufacturers.get(new.manufacturer)
        if record.kind is Kind.METER:
            if units is None:
                return None
            require_units(module, new, VendKind.ENERGY, units)
            return VendIntent(new.serial_number, VendKind.ENERGY, units)
        if units is not None:
            raise FieldError("units", "are known: the paid time that is left")
        if record.unlocked:
            return VendIntent(new.serial_number, VendKind.UNLOCK)
        days = days_left(record, self._clock.now(), module.rules(new, VendKind.TIME).step)
        if days == 0:
            return None
        return VendIntent(new.serial_number, VendKind.TIME, days, paid_until=record.paid_until)


def _serial_number(text: str) -> str:
    try:
        return normalise_serial(text)
    except InvalidSerial as wrong:
        raise FieldError("serial_number", wrong.detail) from None


def _sealed(device: Device, module: Issuer | Vendor, technical: Mapping[str, Any]) -> Device:
    """The device in stock with what its manufacturer needs, and its counter beside it."""
    sealed, count = module.seal(device.serial_number, technical)
    counter = count if issues_tokens(module) else None
    return with_belongings(replace(device, technical=sealed), Belongings(counter=counter))


def _with_substitute(
    account: Account, record: DeviceAccount, serial_number: str, counter: int | None
) -> Account:
    """The account one version on, in which the record and its open plan have the new number."""
    if account.device(serial_number) is not None:
        raise FieldError("serial_number", "has left fees behind in this very account")
    moved = replace(record, serial_number=serial_number, counter=counter)
    devices = tuple(
        moved if d.serial_number == record.serial_number else d for d in account.devices
    )
    plans = tuple(
        replace(p, serial_number=serial_number) if p.serial_number == record.serial_number else p
        for p in account.plans
    )
    return replace(account, devices=devices, plans=plans).next_version()
