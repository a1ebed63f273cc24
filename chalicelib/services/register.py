"""Register: a customer and a device become known together, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.domain.account import Account, DeviceAccount, Kind, Tenure
from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.moment import local_day, start_of_day
from chalicelib.domain.plan import Plan, Terms
from chalicelib.domain.serial import normalise_serial
from chalicelib.domain.tariff import Tariff
from chalicelib.services.accept import rules_of
from chalicelib.services.appliances import default_terms
from chalicelib.services.changes import change_of, of_device, technical_differences
from chalicelib.services.customers import KeepCustomers, Person
from chalicelib.services.devices import (
    Belongings,
    DeviceView,
    require_customer,
    with_belongings,
)
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.fields import below
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.opening import (
    OpenedMeter,
    Opening,
    check_kind,
    opened_meter,
    opened_time,
)
from chalicelib.services.plans import device_plan, with_device_plan
from chalicelib.services.ports import (
    Accounts,
    Appliance,
    Appliances,
    Catalogue,
    Clock,
    ConditionFailed,
    Customer,
    Customers,
    Device,
    Devices,
    DeviceState,
    Issuer,
    Journal,
    Manufacturers,
    Registration,
    Registry,
    SecretMissing,
    SiteKind,
    Sites,
    Tariffs,
    TryAgain,
    Vendor,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
    tells_serials,
)
from chalicelib.services.unlock import Unlock

WRITES_MAX = 6
REGISTERED_ON_MIN = date(2000, 1, 1)
"""Earlier dates are slips of the pen, and would make decades of fees."""


class MeterRegistrationRequiresApp(MwangaError):
    """Only field staff register meters, whatever else somebody may do."""

    code = "meter_registration_requires_app"


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What is said of the device. ``manufacturer`` is its key, and decides the device's kind.

    A meter needs ``tariff_id``; an SHS or e-bike needs ``terms``, or an appliance with a default
    plan. ``village_id`` is the customer's where it is ``None``. One that is ``to_complete`` may
    lack its plan and what its manufacturer needs: it is registered all the same, for a person to
    complete. One that had an owner before this system knew it brings its ``opening`` balances; it
    has the plan that ``terms`` say, or none.
    """

    serial_number: str
    manufacturer: str
    village_id: int | None = None
    tariff_id: int | None = None
    appliance_id: int | None = None
    terms: Terms | None = None
    technical: Mapping[str, Any] | None = None
    to_complete: bool = False
    opening: Opening | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """Customer and device as they are stored; ``repeated`` if they were registered before."""

    customer: Customer
    device: DeviceView
    repeated: bool = False


class Register:
    """Registers devices with their owners. The same registration twice gives one."""

    def __init__(
        self,
        *,
        keep_customers: KeepCustomers,
        show_device: Callable[[Device], DeviceView],
        customers: Customers,
        devices: Devices,
        accounts: Accounts,
        sites: Sites,
        tariffs: Tariffs,
        appliances: Appliances,
        registry: Registry,
        catalogue: Catalogue,
        manufacturers: Manufacturers,
        unlock: Unlock,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._keep_customers = keep_customers
        self._show_device = show_device
        self._customers = customers
        self._devices = devices
        self._accounts = accounts
        self._sites = sites
        self._tariffs = tariffs
        self._appliances = appliances
        self._registry = registry
        self._catalogue = catalogue
        self._manufacturers = manufacturers
        self._unlock = unlock
        self._clock = clock
        self._journal = journal
        self._pause = pause

    def register(
        self,
        owner: Person | str,
        new: NewDevice,
        registered_on: date | None,
        *,
        actor: str,
        meters_too: bool,
        why: str = "registration",
    ) -> Registered:
        """Register the device with its owner: a person, or the id of a customer.

        ``meters_too``: field staff say so, who alone may register meters, or a company moves in
        with those that it has. ``why`` is the reason that the account's entry gives.

        Raises:
            MeterRegistrationRequiresApp: see there.
            FieldError: on the field that cannot be accepted; on ``device.serial_number`` where
                the device belongs to somebody else.
            AccountFull: the customer has too many devices or open plans.
            SecretMissing: the device's key cannot be sealed now.
            TryAgain, OutcomeUnknown, QueueUnavailable: not registered, or not known to be: the
                same request may be sent again.
        """
        with below("device"):
            serial_number = normalise_serial(new.serial_number)
            module = self._module(new.manufacturer)
        if module.manufacturer.kind is Kind.METER and not meters_too:
            raise MeterRegistrationRequiresApp("meters are registered by field staff, in the app")
        day, moment = self._day_and_moment(registered_on)
        checked = owner if isinstance(owner, str) else self._checked(owner)
        fresh: Customer | None = None
        for round_number in range(WRITES_MAX):
            stored = self._devices.get(serial_number)
            if stored is not None:
                return self._again(stored, self._known(checked))
            if round_number == 0 and not new.to_complete and new.opening is None:
                self._check_at_manufacturer(module, serial_number)
            customer, is_new = self._owner(checked, fresh)
            fresh = customer if is_new else None
            with below("device"):
                device, counter = self._device(serial_number, new, module, customer, day)
                act = Act(actor, self._clock.now(), why)
                made = self._made(customer, is_new, device, counter, new, moment, act)
            try:
                with self._unlock.following(made.payment):
                    self._registry.register(made)
            except ConditionFailed:  # somebody was faster: look again at what there is
                self._pause(jitter_seconds(round_number))
                continue
            self._note(made, actor)
            return Registered(customer, self._show_device(made.device))
        raise TryAgain("the same things are being registered by another request")

    def stock(
        self, new: NewDevice, opening: Opening, registered_on: date | None, *, actor: str
    ) -> DeviceView:
        """Register a device that nobody owns (yet), with what belongs to it.

        Raises:
            FieldError: on the field that cannot be accepted; on ``serial_number`` where the
                device is registered with other things.
            SecretMissing, TryAgain, OutcomeUnknown: not registered, or not known to be: the same
                request may be sent again.
        """
        serial_number = normalise_serial(new.serial_number)
        module = self._module(new.manufacturer)
        day, _ = self._day_and_moment(registered_on)
        device, counter = self._device(serial_number, new, module, None, day)
        self._check_goods(device, new)
        check_kind(opening, device.kind)
        own = Belongings(counter, opening.paid_until, opening.unlocked)
        device = with_belongings(device, own)
        try:
            act = Act(actor, self._clock.now(), "")
            told = technical_differences(None, device)
            change = change_of(act, of_device(serial_number), "device_stocked", told)
            self._registry.create_device(device, change)
        except ConditionFailed as failed:
            stored = self._devices.get(serial_number)
            if failed.what != "device" or stored is None:
                raise TryAgain("the village is being changed by another request") from failed
            if _in_stock(stored) != _in_stock(device):
                raise FieldError("serial_number", "is registered already") from failed
            return self._show_device(stored)
        self._journal.event("device_stocked", serial_number=serial_number, actor=actor)
        return self._show_device(device)

    # --- what there is ------------------------------------------------------------------------

    def _check_goods(self, device: Device, new: NewDevice) -> None:
        """The tariff or appliance of a device in stock exists and is one for its kind."""
        if device.kind is not Kind.METER:
            if new.tariff_id is not None:
                raise FieldError("tariff_id", "only meters have a tariff")
            self._appliance(device.kind, new.appliance_id)
        elif new.tariff_id is not None or new.appliance_id is not None:
            self._tariff(new)  # it refuses an appliance

    def _module(self, key: str) -> Issuer | Vendor:
        try:
            return self._manufacturers.get(key)
        except KeyError:
            raise FieldError("manufacturer", "there is none of that key") from None

    def _check_at_manufacturer(self, module: Issuer | Vendor, serial_number: str) -> None:
        """That the manufacturer does not deny the serial number: a slip is found before money is.

        One that does not answer now stops nobody from registering.
        """
        if not tells_serials(module):
            return
        try:
            known = module.knows(serial_number)
        except (SecretMissing, VendorUnreachable, VendRefused, VendUncertain) as unknown:
            self._journal.event(
                "serial_not_checked", serial_number=serial_number, error=unknown.code
            )
            return
        if not known:
            raise FieldError("device.serial_number", "its manufacturer does not know it")

    def _checked(self, person: Person) -> Person:
        with below("customer"):
            return self._keep_customers.checked(person)

    def _known(self, owner: Person | str) -> Customer | None:
        if isinstance(owner, Person):
            return self._keep_customers.known(owner)
        return self._of_id(owner)

    def _of_id(self, customer_id: str) -> Customer:
        customer = self._customers.get(customer_id)
        if customer is None:
            raise FieldError("customer.customer_id", "there is none of that id")
        if customer.erased:
            raise FieldError("customer.customer_id", "is erased")
        return customer

    def _owner(self, owner: Person | str, fresh: Customer | None) -> tuple[Customer, bool]:
        """The customer who is to own the device, and whether it is a new one.

        ``fresh`` is the new one of an earlier round, so that no number is used in vain.
        """
        if isinstance(owner, str):
            return self._of_id(owner), False
        known = self._keep_customers.known(owner)
        if known is not None:
            return known, False
        return fresh or self._keep_customers.new(owner), True

    def _again(self, stored: Device, customer: Customer | None) -> Registered:
        """The device is known: the same registration again, or somebody else's device."""
        if customer is None or stored.customer_id != customer.customer_id:
            raise FieldError("device.serial_number", "is registered already, and not with them")
        return Registered(customer, self._show_device(stored), repeated=True)

    # --- what is new --------------------------------------------------------------------------

    def _device(
        self,
        serial_number: str,
        new: NewDevice,
        module: Issuer | Vendor,
        customer: Customer | None,
        day: date,
    ) -> tuple[Device, int | None]:
        """The device, its secrets sealed, and its counter where tokens are computed here."""
        technical = new.technical or {}
        sealed: Mapping[str, Any] = {}
        counter: int | None = None
        state = DeviceState.ACTIVE
        if new.to_complete and module.manufacturer.lacks(technical):
            state = DeviceState.NEEDS_REVIEW
        else:
            sealed, counter = module.seal(serial_number, technical)
        device = Device(
            serial_number=serial_number,
            kind=module.manufacturer.kind,
            manufacturer=new.manufacturer,
            village_id=self._village(new, customer),
            registered_on=day,
            state=state,
            customer_id=customer.customer_id if customer else None,
            tariff_id=new.tariff_id,
            appliance_id=new.appliance_id,
            technical=sealed,
            # It may be running now, whatever it is owed: its first look sets it right.
            switch_off_at=self._clock.now() if module.manufacturer.switched else None,
        )
        return device, counter if module.manufacturer.local else None

    def _made(
        self,
        customer: Customer,
        new_customer: bool,
        device: Device,
        counter: int | None,
        new: NewDevice,
        moment: datetime,
        act: Act,
    ) -> Registration:
        """Everything that is to be stored: the account one version on, and the entry of it."""
        account = self._accounts.get(customer.customer_id) or Account(customer.customer_id)
        if not new_customer:
            require_customer(self._customers, customer.customer_id)  # as of that account or later
        account = account.next_version()
        serial_number = device.serial_number
        if new.opening is not None:
            check_kind(new.opening, device.kind)
        if device.kind is Kind.METER:
            meter = self._meter(device, counter, new, moment)
            account = account.with_device(meter.record)
            entry = entry_of(
                act,
                account,
                "registered",
                lines=meter.lines,
                carries=meter.carries,
                serial_number=serial_number,
            )
            return Registration(customer, new_customer, device, account, entry)
        plan = self._plan(device, new, moment)
        record = DeviceAccount(serial_number, device.kind, counter=counter)
        if new.opening is not None:
            record = opened_time(record, new.opening)
        if plan is None:
            if not record.unlocked:
                device = replace(device, state=DeviceState.NEEDS_REVIEW)
            account = account.with_device(record)
            entry = entry_of(act, account, "registered", serial_number=serial_number)
            return Registration(customer, new_customer, device, account, entry)
        if record.unlocked:
            raise FieldError("unlocked", "must be empty: the device has a plan to pay off")
        with below("plan"):
            sale = with_device_plan(account, record, device, plan, self._unlock, record.carry_days)
        entry = entry_of(
            act,
            sale.account,
            "registered",
            opened=plan,
            serial_number=serial_number,
            vend=sale.vend,
        )
        return Registration(
            customer,
            new_customer,
            device,
            sale.account,
            entry,
            sale.ended_plans,
            payment=sale.payment,
        )

    def _day_and_moment(self, registered_on: date | None) -> tuple[date, datetime]:
        """The day of the registration, and the moment at which fees and plan begin."""
        now, time_zone = self._clock.now(), self._time_zone()
        today = local_day(now, time_zone)
        if registered_on is None or registered_on == today:
            return today, now
        if not REGISTERED_ON_MIN <= registered_on < today:
            raise FieldError("registered_on", "must be a day from 2000-01-01 to today")
        return registered_on, start_of_day(registered_on, time_zone)

    def _time_zone(self) -> ZoneInfo:
        return rules_of(self._catalogue.settings()).time_zone

    def _village(self, new: NewDevice, customer: Customer | None) -> int:
        if new.village_id is None:
            if customer is None:
                raise FieldError("village_id", "is required: nobody owns the device")
            return customer.village_id
        if self._sites.get(SiteKind.VILLAGE, new.village_id) is None:
            raise FieldError("village_id", "there is none of that id")
        return new.village_id

    def _meter(
        self, device: Device, counter: int | None, new: NewDevice, moment: datetime
    ) -> OpenedMeter:
        """The record of a meter, under its tariff from its registration on."""
        opening, time_zone = new.opening, self._time_zone()
        if opening is not None and opening.access_rate_since is not None:
            moment = start_of_day(opening.access_rate_since, time_zone)
        tariff = self._tariff(new)
        tenure = Tenure(tariff.tariff_id, moment)
        record = DeviceAccount(
            device.serial_number, device.kind, tenures=(tenure,), counter=counter
        )
        if opening is None:
            return OpenedMeter(record)
        return opened_meter(record, opening, tariff, time_zone)

    def _tariff(self, new: NewDevice) -> Tariff:
        for name, given in (("plan", new.terms), ("appliance_id", new.appliance_id)):
            if given is not None:
                raise FieldError(name, "a meter has a tariff instead")
        if new.tariff_id is None:
            raise FieldError("tariff_id", "is required for a meter")
        tariff = self._tariffs.get(new.tariff_id)
        if tariff is None:
            raise FieldError("tariff_id", "there is none of that id")
        return tariff

    def _plan(self, device: Device, new: NewDevice, sold_at: datetime) -> Plan | None:
        """The plan on which an SHS or e-bike is sold with its registration.

        ``None`` where it has none, and the device is one to complete.
        """
        if new.tariff_id is not None:
            raise FieldError("tariff_id", "only meters have a tariff")
        if new.to_complete and new.terms is None and new.appliance_id is None:
            return None
        if new.opening is not None and new.terms is None:  # it has no plan (any more)
            self._appliance(device.kind, new.appliance_id)
            return None
        if new.opening is not None and new.opening.sold_on is not None:
            sold_at = start_of_day(new.opening.sold_on, self._time_zone())
        terms, name = self._terms_and_name(device, new)
        with below("plan"):
            return device_plan(terms, device, name, sold_at)

    def _terms_and_name(self, device: Device, new: NewDevice) -> tuple[Terms, str]:
        """On which terms the device is sold, and what the plan is called."""
        appliance = self._appliance(device.kind, new.appliance_id)
        if new.terms is not None:
            maker = self._manufacturers.get(device.manufacturer).manufacturer
            return new.terms, appliance.name if appliance else maker.name
        if appliance is None:
            raise FieldError("plan", "is required, or an appliance_id with a default plan")
        if appliance.default_plan is None:
            raise FieldError("plan", "is required: the appliance has no default plan")
        sold_on = device.registered_on
        terms = default_terms(appliance.price_minor, appliance.default_plan, sold_on)
        return terms, appliance.name

    def _appliance(self, kind: Kind, appliance_id: int | None) -> Appliance | None:
        if appliance_id is None:
            return None
        appliance = self._appliances.get(appliance_id)
        if appliance is None or appliance.kind.value != kind.value:
            raise FieldError("appliance_id", f"there is no {kind.value} of that id")
        return appliance

    def _note(self, registration: Registration, actor: str) -> None:
        device = registration.device
        self._journal.event(
            "device_registered",
            serial_number=device.serial_number,
            customer_id=registration.customer.customer_id,
            new_customer=registration.new_customer,
            actor=actor,
        )
        self._journal.count("Registrations", kind=device.kind.value)


def _in_stock(device: Device) -> Device:
    """What a device in stock is, without what happens to it there."""
    return replace(device, technical={}, switch_off_at=None, revision=1)
