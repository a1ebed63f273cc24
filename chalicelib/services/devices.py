"""Keep the devices: show them, enter their keys, give them another owner or tariff."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Any

from chalicelib.domain.access_rate import owed_fees
from chalicelib.domain.account import Account, DeviceAccount, Kind, Tenure
from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.books import CarryChange
from chalicelib.domain.errors import DeviceHasOpenPlan, FieldError, MwangaError
from chalicelib.domain.moment import local_day
from chalicelib.domain.plan import Plan
from chalicelib.services.accept import rules_of, tariff_ids_of
from chalicelib.services.changes import change_of, of_device, technical_differences
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.ports import (
    AccountChange,
    Accounts,
    Catalogue,
    Clock,
    Customers,
    Device,
    Devices,
    DeviceState,
    Journal,
    Manufacturers,
    Registry,
    Tariffs,
    VersionConflict,
)

WRITES_MAX = 6
COUNT, PAID_UNTIL, UNLOCKED = "count", "paid_until", "unlocked"
"""Under these names stands, in the ``technical`` of a device that nobody owns, what goes with it
into the account of its next owner."""


class DeviceNotFound(MwangaError):
    """There is no such device."""

    code = "not_found"


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A device as people see it: with its last plan, and until when its time is paid.

    ``unlocked``: it runs for good, whether or not its present owner had a plan for it.
    """

    device: Device
    plan: Plan | None = None
    paid_until: datetime | None = None
    unlocked: bool = False

    @property
    def state(self) -> DeviceState:
        """How it stands."""
        if self.device.customer_id is None:
            return DeviceState.UNASSIGNED
        if self.unlocked:
            return DeviceState.UNLOCKED
        return self.device.state


@dataclass(frozen=True, slots=True)
class Belongings:
    """What belongs to a device, whoever owns it: its token counter, and until when it runs."""

    counter: int | None = None
    paid_until: datetime | None = None
    unlocked: bool = False


@dataclass(frozen=True, slots=True)
class _Release:
    """An account that a device has left, and what the books must know of it."""

    account: Account
    lines: tuple[Line, ...] = ()
    carries: tuple[CarryChange, ...] = ()
    dropped: tuple[str, ...] = ()


class KeepDevices:
    """Shows devices and changes what they are; their money stays with their owners' accounts."""

    def __init__(
        self,
        *,
        devices: Devices,
        accounts: Accounts,
        customers: Customers,
        tariffs: Tariffs,
        registry: Registry,
        catalogue: Catalogue,
        manufacturers: Manufacturers,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._devices = devices
        self._accounts = accounts
        self._customers = customers
        self._tariffs = tariffs
        self._registry = registry
        self._catalogue = catalogue
        self._manufacturers = manufacturers
        self._clock = clock
        self._journal = journal
        self._pause = pause

    def get(self, serial_number: str) -> Device:
        """The device of that serial number.

        Raises:
            DeviceNotFound: see there.
        """
        device = self._devices.get(serial_number)
        if device is None:
            raise DeviceNotFound(f"there is no device {serial_number}")
        return device

    def view(self, serial_number: str) -> DeviceView:
        """The device as people see it.

        Raises:
            DeviceNotFound: see there.
        """
        return self.view_of(self.get(serial_number))

    def view_of(self, device: Device) -> DeviceView:
        """That device, with what its owner's account says of it."""
        account = self._accounts.get(device.customer_id) if device.customer_id else None
        record = account.device(device.serial_number) if account else None
        if account is None or record is None:
            return DeviceView(device, paid_until=belongings_by_itself(device).paid_until)
        plan = self._last_plan(account, record)
        return DeviceView(device, plan, record.paid_until, record.unlocked)

    def _last_plan(self, account: Account, record: DeviceAccount) -> Plan | None:
        if record.plan_id is None:
            return None
        return account.plan(record.plan_id) or self._accounts.ended_plan(record.plan_id)

    # --- technical ----------------------------------------------------------------------------

    def enter_technical(
        self, serial_number: str, technical: Mapping[str, Any], *, actor: str
    ) -> DeviceView:
        """Enter what the manufacturer needs for that device, in the place of what was there.

        A token counter that is not named goes on where it was: a count that was issued once
        must never be issued again.

        Raises:
            DeviceNotFound: see there.
            FieldError: on a field of it.
            SecretMissing: there is no key to seal with.
            VersionConflict, TryAgain, OutcomeUnknown: not entered, or not known to be.
        """

        def change() -> Device:
            device = self.get(serial_number)
            module = self._manufacturers.get(device.manufacturer)
            sealed, count = module.seal(device.serial_number, technical)
            after = replace(device, technical=sealed, state=self._completed_state(device))
            entered = count if module.manufacturer.local else None
            keep = COUNT not in technical
            if device.customer_id is None:
                own = belongings_by_itself(device)
                counter = own.counter if keep and own.counter is not None else entered
                after = with_belongings(after, replace(own, counter=counter))
                act = Act(actor, self._clock.now(), "")
                return self._update(device, after, "technical_entered", act)
            self._write_counter(after, device.customer_id, entered, actor, keep=keep)
            return after

        device = self._insist(serial_number, change)
        self._note("technical_entered", device, actor)
        return self.view_of(device)

    def _completed_state(self, device: Device) -> DeviceState:
        """How the device stands once its key is there: it may still be without a plan."""
        if device.state is not DeviceState.NEEDS_REVIEW or device.kind is Kind.METER:
            return DeviceState.ACTIVE
        view = self.view_of(device)
        sold = view.plan is not None or view.unlocked or device.customer_id is None
        return DeviceState.ACTIVE if sold else DeviceState.NEEDS_REVIEW

    def _write_counter(
        self,
        device: Device,
        customer_id: str,
        entered: int | None,
        actor: str,
        *,
        keep: bool,
    ) -> None:
        account, record = self._record(device, customer_id)
        counter = record.counter if keep and record.counter is not None else entered
        account = account.with_device(replace(record, counter=counter)).next_version()
        act = Act(actor, self._clock.now(), "what the manufacturer needs was entered")
        entry = entry_of(
            act, account, "technical_entered", serial_number=device.serial_number, counter=counter
        )
        self._accounts.change(account, entry, device=device)

    # --- tariff -------------------------------------------------------------------------------

    def change_tariff(
        self, serial_number: str, tariff_id: int, *, reason: str | None = None, actor: str
    ) -> DeviceView:
        """Put a meter under another tariff, from now on. Without a ``reason`` that is the reason.

        Raises:
            DeviceNotFound: see there.
            FieldError: on ``tariff_id``: there is none of that id, or the device is not a meter.
            VersionConflict, TryAgain, OutcomeUnknown: not changed, or not known to be.
        """

        why = reason or "another tariff"

        def change() -> Device:
            device = self.get(serial_number)
            if device.kind is not Kind.METER:
                raise FieldError("tariff_id", "only meters have a tariff")
            if self._tariffs.get(tariff_id) is None:
                raise FieldError("tariff_id", "there is none of that id")
            if device.tariff_id == tariff_id:
                return device
            after = replace(device, tariff_id=tariff_id)
            act = Act(actor, self._clock.now(), why)
            if device.customer_id is None:
                return self._update(device, after, "tariff_changed", act)
            self._write_tenure(after, device.customer_id, tariff_id, act)
            return after

        device = self._insist(serial_number, change)
        self._note("tariff_changed", device, actor)
        return self.view_of(device)

    def _write_tenure(self, device: Device, customer_id: str, tariff_id: int, act: Act) -> None:
        account, record = self._record(device, customer_id)
        tenures = (*_ended(record.tenures, act.at), Tenure(tariff_id, act.at))
        account = account.with_device(replace(record, tenures=tenures)).next_version()
        entry = entry_of(
            act,
            account,
            "tariff_changed",
            serial_number=device.serial_number,
            tariff_id=tariff_id,
        )
        self._accounts.change(account, entry, device=device)

    # --- owner --------------------------------------------------------------------------------

    def change_owner(
        self, serial_number: str, customer_id: str | None, *, reason: str, actor: str
    ) -> DeviceView:
        """Give the device to another customer, or to nobody.

        Unpaid fees stay with the old owner, and a meter's carry becomes the old owner's credit
        (what is less than a minor unit stays with them, uncredited). The token counter goes with
        the device, and so does the time that it still runs. It leaves one account and enters the
        other in one step.

        Raises:
            DeviceNotFound, DeviceHasOpenPlan: see there.
            FieldError: on ``customer_id``: there is no such customer.
            AccountFull: the new owner has too many devices.
            VersionConflict, TryAgain, OutcomeUnknown: not changed, or not known to be.
        """
        if customer_id is not None:
            require_customer(self._customers, customer_id)
        act = Act(actor, self._clock.now(), reason)

        def change() -> Device:
            device = self.get(serial_number)
            owner_id = device.customer_id
            if customer_id is None:
                return device if owner_id is None else self._give_up(device, owner_id, act)
            if owner_id is None:
                return self._take_up(device, customer_id, act)
            if owner_id == customer_id:
                return device
            return self._hand_over(device, owner_id, customer_id, act)

        device = self._insist(serial_number, change)
        self._note("owner_changed", device, actor)
        return self.view_of(device)

    def _give_up(self, device: Device, owner_id: str, act: Act) -> Device:
        """From its owner to nobody: what belongs to it stands with itself."""
        release, belongings = self._release(device, owner_id, act)
        after = with_belongings(replace(device, customer_id=None), belongings)
        self._accounts.change(release.account, release.entry, device=after)
        return replace(after, revision=after.revision + 1)

    def _take_up(self, device: Device, customer_id: str, act: Act) -> Device:
        """From nobody to an owner."""
        taking = self._taking(device, customer_id, belongings_by_itself(device), act)
        after = without_belongings(replace(device, customer_id=customer_id))
        self._accounts.change(taking.account, taking.entry, device=after)
        return after

    def _hand_over(self, device: Device, owner_id: str, customer_id: str, act: Act) -> Device:
        """From one owner to another, both accounts at once."""
        release, belongings = self._release(device, owner_id, act)
        taking = self._taking(device, customer_id, belongings, act)
        after = replace(device, customer_id=customer_id)
        self._accounts.change_both(release, taking, after)
        return after

    def _release(self, device: Device, owner_id: str, act: Act) -> tuple[AccountChange, Belongings]:
        """The owner's account without the device, and what belongs to the device."""
        account, record = self._record(device, owner_id)
        if account.plan_of(device.serial_number) is not None:
            raise DeviceHasOpenPlan("its plan must end before it changes hands")
        release = self._released(account, record, act.at)
        entry = entry_of(
            act,
            release.account,
            "device_released",
            lines=release.lines,
            carries=release.carries,
            dropped=release.dropped,
            serial_number=device.serial_number,
        )
        belongings = Belongings(record.counter, record.paid_until, record.unlocked)
        return AccountChange(release.account, entry), belongings

    def _released(self, account: Account, record: DeviceAccount, at: datetime) -> _Release:
        """The account without the device; its record stays behind for what is not settled on it:
        unpaid fees, or the part of a minor unit that cannot be credited."""
        account = account.next_version()
        left = replace(record, owned=False, tenures=_ended(record.tenures, at))
        carry_minor = record.carry_minor.numerator // record.carry_minor.denominator
        lines: tuple[Line, ...] = ()
        carries: tuple[CarryChange, ...] = ()
        if carry_minor > 0:
            left = replace(left, carry_minor=record.carry_minor - carry_minor)
            account = replace(account, credit_minor=account.credit_minor + carry_minor)
            lines = (Line(LineKind.CREDIT, account.customer_id, carry_minor),)
            carries = (CarryChange(record.serial_number, Fraction(-carry_minor)),)
        if left.carry_minor or self._owes_fees(left, account, at):
            return _Release(account.with_device(left), lines, carries)
        kept = tuple(d for d in account.devices if d.serial_number != record.serial_number)
        return _Release(replace(account, devices=kept), lines, carries, (record.serial_number,))

    def _owes_fees(self, record: DeviceAccount, account: Account, at: datetime) -> bool:
        time_zone = rules_of(self._catalogue.settings()).time_zone
        tariffs = self._catalogue.tariffs(tariff_ids_of(account))
        return bool(owed_fees(record, tariffs, local_day(at, time_zone), time_zone))

    def _taking(
        self, device: Device, customer_id: str, belongings: Belongings, act: Act
    ) -> AccountChange:
        """The new owner's account with the device in it; one that is full cannot take it."""
        account = self._accounts.get(customer_id) or Account(customer_id)
        require_customer(self._customers, customer_id)  # as of that account or later
        record = _taken(device, account, belongings, act.at)
        account = account.with_device(record).next_version()
        entry = entry_of(act, account, "device_taken", serial_number=device.serial_number)
        return AccountChange(account, entry)

    # --- what all changes share ---------------------------------------------------------------

    def _record(self, device: Device, customer_id: str) -> tuple[Account, DeviceAccount]:
        """The owner's account and the device's record in it."""
        account = self._accounts.get(customer_id)
        record = account.device(device.serial_number) if account else None
        if account is None or record is None:  # it has just changed hands
            raise VersionConflict(device.serial_number)
        return account, record

    def _insist(self, serial_number: str, change: Callable[[], Device]) -> Device:
        """Make the change; anew, from what is stored then, where somebody else was faster."""
        for round_number in range(WRITES_MAX):
            try:
                return change()
            except VersionConflict:
                self._pause(jitter_seconds(round_number))
        raise VersionConflict(serial_number)

    def _update(self, before: Device, after: Device, what: str, act: Act) -> Device:
        """Write a device that nobody owns, and who changed it."""
        told = technical_differences(before, after)
        change = change_of(act, of_device(after.serial_number), what, told)
        return self._registry.update_device(after, change)

    def _note(self, what: str, device: Device, actor: str) -> None:
        self._journal.event(what, serial_number=device.serial_number, actor=actor)


def require_customer(customers: Customers, customer_id: str, field: str = "customer_id") -> None:
    """That somebody of that id may own something.

    An erasure takes the customer's account one version on. So whoever asks this *after* reading
    the account, and writes the next version, cannot give anything to one that is erased meanwhile.

    Raises:
        FieldError: on ``field``: there is none, or who it was is not kept any more.
    """
    customer = customers.get(customer_id)
    if customer is None:
        raise FieldError(field, "there is none of that id")
    if customer.erased:
        raise FieldError(field, "is erased")


def belongings_by_itself(device: Device) -> Belongings:
    """What belongs to a device that nobody owns, as it stands with itself."""
    paid_until = device.technical.get(PAID_UNTIL)
    return Belongings(
        counter=device.technical.get(COUNT),
        paid_until=datetime.fromisoformat(paid_until) if paid_until else None,
        unlocked=device.technical.get(UNLOCKED, False),
    )


def with_belongings(device: Device, own: Belongings) -> Device:
    """The device with what belongs to it in its own item, as far as there is any."""
    technical = dict(device.technical)
    if own.counter is not None:
        technical[COUNT] = own.counter
    if own.paid_until is not None:
        technical[PAID_UNTIL] = own.paid_until.isoformat()
    if own.unlocked:
        technical[UNLOCKED] = True
    return replace(device, technical=technical)


def without_belongings(device: Device) -> Device:
    """The device without what its owner's account says of it from now on."""
    own = (COUNT, PAID_UNTIL, UNLOCKED)
    kept = {name: value for name, value in device.technical.items() if name not in own}
    return replace(device, technical=kept)


def _ended(tenures: tuple[Tenure, ...], at: datetime) -> tuple[Tenure, ...]:
    """The tenures, the last of which ends at that moment."""
    return tuple(t if t.until is not None else replace(t, until=at) for t in tenures)


def _taken(device: Device, account: Account, belongings: Belongings, at: datetime) -> DeviceAccount:
    """The device's record with its new owner; one whose fees were left behind is taken up."""
    before = account.device(device.serial_number)
    record = before or DeviceAccount(device.serial_number, device.kind)
    tenures = record.tenures
    if device.tariff_id is not None:
        tenures = (*tenures, Tenure(device.tariff_id, at))
    return replace(
        record,
        owned=True,
        tenures=tenures,
        counter=belongings.counter,
        paid_until=belongings.paid_until,
        unlocked=belongings.unlocked,
    )
