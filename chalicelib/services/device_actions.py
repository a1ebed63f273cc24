"""What operators do about a device besides its payments: give energy or time, unlock it, lock it,
set it anew, send its last token once more. Each is written down with who did it and why."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction

from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.allocation import VendIntent, VendKind
from chalicelib.domain.errors import (
    DeviceHasOpenPlan,
    FieldError,
    InvariantBroken,
    MwangaError,
    Refusal,
    Refused,
)
from chalicelib.domain.payment import UNTOLD, Payment
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.devices import DeviceNotFound
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.ports import (
    Accounts,
    Clock,
    ConditionFailed,
    Device,
    Devices,
    DeviceState,
    Issuer,
    Journal,
    Manufacturers,
    Messages,
    MessageState,
    Payments,
    Queues,
    Registry,
    Vendor,
    VersionConflict,
)
from chalicelib.services.unlock import Unlock, Unlocked

ACTIONS = (
    VendKind.LOCK,
    VendKind.RESET,
    VendKind.CLEAR_CREDIT,
    VendKind.CLEAR_TAMPER,
    VendKind.SYNC,
)
"""What can be done to a device where its manufacturer has it."""

DAY_MICROSECONDS = timedelta(days=1) // timedelta(microseconds=1)
WRITES_MAX = 6
PAYMENTS_SEARCHED_MAX = 100
"""A device whose last token lies further back has had no token for a long time."""


class NoTokenYet(MwangaError):
    """The device has had no token that could be sent again."""

    code = "not_found"


@dataclass(frozen=True, slots=True)
class Given:
    """The payment of nothing that carries what was given; ``repeated`` if that very request was
    carried out before."""

    payment: Payment
    repeated: bool = False


class ActOnDevices:
    """The operators' actions."""

    def __init__(
        self,
        *,
        devices: Devices,
        accounts: Accounts,
        payments: Payments,
        messages: Messages,
        registry: Registry,
        manufacturers: Manufacturers,
        unlock: Unlock,
        queues: Queues,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._devices = devices
        self._accounts = accounts
        self._payments = payments
        self._messages = messages
        self._registry = registry
        self._manufacturers = manufacturers
        self._unlock = unlock
        self._queues = queues
        self._clock = clock
        self._journal = journal
        self._pause = pause

    # --- energy and time for nothing ----------------------------------------------------------

    def give(
        self, serial_number: str, units: Fraction, *, reason: str, key: str, actor: str
    ) -> Given:
        """Give a meter kWh, or an SHS or e-bike days, once per idempotency key.

        Raises:
            DeviceNotFound: see there.
            Refused: nobody owns it (``device_unassigned``).
            FieldError: on ``units``: the manufacturer has no such amount, or takes money alone; or
                the device runs for good.
            ReferenceConflict: the key was used to give something else.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable, SecretMissing: not given,
                or not known to be: the same request may be sent again.
        """
        guard_id = f"given#{serial_number}#{key}"
        for round_number in range(WRITES_MAX):
            held = self._registry.guard(guard_id)
            if held is not None:
                return self._given_before(held, units)
            device, account, record = self._owned(serial_number)
            intent = self._intent(device, record, units)
            account = account.next_version()
            if intent.paid_until is not None:
                account = account.with_device(replace(record, paid_until=intent.paid_until))
            carried = self._unlock.carried(account, device, intent, "units")
            act = Act(actor, self._clock.now(), reason)
            try:
                guard = (guard_id, f"{carried.payment.payment_id} {units}")
                self._write(carried, act, "given", device, guard=guard, units=str(units))
            except (VersionConflict, ConditionFailed):
                self._pause(jitter_seconds(round_number))
                continue
            return Given(carried.payment)
        raise VersionConflict(serial_number)

    def _given_before(self, held: str, units: Fraction) -> Given:
        payment_id, _, given = held.partition(" ")
        if given != str(units):
            raise ReferenceConflict("this Idempotency-Key was used to give something else")
        payment = self._payments.get(payment_id)
        if payment is None:
            raise InvariantBroken(f"{payment_id} is not there although its guard is")
        return Given(payment, repeated=True)

    def _intent(self, device: Device, record: DeviceAccount, units: Fraction) -> VendIntent:
        """What is to be vended: so many units in one token, or in none."""
        module = self._manufacturers.get(device.manufacturer)
        kind = VendKind.ENERGY if device.kind is Kind.METER else VendKind.TIME
        if record.unlocked:
            raise FieldError("units", "the device runs for good")
        require_units(module, device, kind, units)
        paid_until = self._paid_until(record, units) if kind is VendKind.TIME else None
        return VendIntent(device.serial_number, kind, units, paid_until=paid_until)

    def _paid_until(self, record: DeviceAccount, days: Fraction) -> datetime:
        now = self._clock.now()
        return max(now, record.paid_until or now) + timedelta(days=int(days))

    # --- unlock -------------------------------------------------------------------------------

    def unlock(self, serial_number: str, *, reason: str, actor: str) -> Payment:
        """Unlock an SHS or e-bike for good, as if it were paid off.

        Raises:
            DeviceNotFound: see there.
            Refused: nobody owns it (``device_unassigned``).
            DeviceHasOpenPlan: its plan must end first: paid, cancelled or written off.
            FieldError: on ``serial_number``: it is a meter, or there can be no token.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable, SecretMissing: not done,
                or not known to be: look at the device before asking again.
        """
        for round_number in range(WRITES_MAX):
            device, account, _ = self._owned(serial_number)
            if device.kind is Kind.METER:
                raise FieldError("serial_number", "a meter cannot be unlocked")
            if account.plan_of(serial_number) is not None:
                raise DeviceHasOpenPlan("its plan must end before it is unlocked by hand")
            unlocked = self._unlock.unlocked(account.next_version(), device, "serial_number")
            act = Act(actor, self._clock.now(), reason)
            try:
                self._write(unlocked, act, "unlocked", device)
            except VersionConflict:
                self._pause(jitter_seconds(round_number))
                continue
            return unlocked.payment
        raise VersionConflict(serial_number)

    # --- what the manufacturer can have done to it --------------------------------------------

    def act(self, serial_number: str, action: VendKind, *, reason: str, actor: str) -> Payment:
        """Have one of ``ACTIONS`` done to the device; its account says the same as before.

        A device that was locked has lost its time; ``reset`` gives back what the account says.

        Raises:
            DeviceNotFound: see there.
            Refused: nobody owns it (``device_unassigned``).
            FieldError: on ``action``: its manufacturer has none such, or it cannot be done now.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable, SecretMissing: not done,
                or not known to be: look at the device before asking again.
        """
        for round_number in range(WRITES_MAX):
            device, account, record = self._owned(serial_number)
            intent = self._action(device, record, action)
            carried = self._unlock.carried(account.next_version(), device, intent, "action")
            act = Act(actor, self._clock.now(), reason)
            try:
                self._write(carried, act, action.value, device)
            except VersionConflict:
                self._pause(jitter_seconds(round_number))
                continue
            return carried.payment
        raise VersionConflict(serial_number)

    def _action(self, device: Device, record: DeviceAccount, action: VendKind) -> VendIntent:
        """What is to be vended: for a reset of a device that sells time, what is left of it."""
        module = self._manufacturers.get(device.manufacturer)
        if action not in ACTIONS or action not in module.manufacturer.rules:
            raise FieldError("action", "its manufacturer has none such")
        if record.unlocked and action is VendKind.LOCK:
            raise FieldError("action", "the device runs for good")
        if action is not VendKind.RESET or device.kind is Kind.METER:
            return VendIntent(device.serial_number, action)
        if record.unlocked:
            return VendIntent(device.serial_number, VendKind.UNLOCK)
        rules = module.rules(device, action)
        units = days_left(record, self._clock.now(), rules.step)
        if rules.units_max is not None and units > rules.units_max:
            raise FieldError("action", f"more than {rules.units_max} days are left")
        return VendIntent(device.serial_number, action, units, paid_until=record.paid_until)

    # --- what all share -----------------------------------------------------------------------

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

    def _write(
        self,
        carried: Unlocked,
        act: Act,
        what: str,
        device: Device,
        *,
        guard: tuple[str, str] | None = None,
        units: str | None = None,
    ) -> None:
        """The entry, the account, the vend and the device (it may be changing hands) at once."""
        entry = entry_of(
            act,
            carried.account,
            what,
            serial_number=device.serial_number,
            vend=carried.payment.payment_id,
            units=units,
        )
        after = device
        if device.state is DeviceState.NEEDS_REVIEW and what == "unlocked":
            after = replace(device, state=DeviceState.ACTIVE)  # its plan was all that it lacked
        with self._unlock.following(carried.payment):
            self._accounts.change(
                carried.account,
                entry,
                device=after,
                new_payment=carried.payment,
                guard=guard,
            )
        self._journal.event(
            f"device_{what}",
            serial_number=device.serial_number,
            customer_id=carried.account.customer_id,
            payment_id=carried.payment.payment_id,
            actor=act.actor,
        )

    # --- the last token once more -------------------------------------------------------------

    def send_again(self, serial_number: str, *, reason: str, actor: str) -> Payment:
        """Send the SMS of the last token of that device once more, to whoever owns it now.

        Raises:
            DeviceNotFound, NoTokenYet: see there.
            Refused: nobody owns it (``device_unassigned``).
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable: it may not be sent: ask
                again.
        """
        device, account, _ = self._owned(serial_number)
        payment = self._last_with_token(device.serial_number, account.customer_id)
        now = self._clock.now()
        written = self._payments.save(payment.with_event(now, "sent_again", actor, reason))
        stored = {m.number: m for m in self._messages.of_payment(payment.payment_id)}
        for number in self._numbers(payment, serial_number):
            if number in stored:  # else none was sent, or tried, so far
                fresh = replace(stored[number], state=MessageState.QUEUED, attempts=0, sent_at=None)
                self._messages.put(fresh)
            self._queues.message(payment.payment_id, number, payment.customer_id)
        self._journal.event("sent_again", payment_id=payment.payment_id, actor=actor)
        return written

    def _last_with_token(self, serial_number: str, customer_id: str) -> Payment:
        page = self._payments.by_owner(customer_id, PAYMENTS_SEARCHED_MAX, None)
        for payment in page.items:
            if self._numbers(payment, serial_number):
                return payment
        raise NoTokenYet(f"{serial_number} has had no token from its owner's last payments")

    def _numbers(self, payment: Payment, serial_number: str) -> list[int]:
        """The SMS of that payment that bring tokens for that device."""
        return [
            token.vend
            for token in payment.tokens
            if token.serial_number == serial_number
            and token.value is not None
            and token.kind not in UNTOLD
        ]


# --- what can be said in units ----------------------------------------------------------------


def require_units(module: Issuer | Vendor, device: Device, kind: VendKind, units: Fraction) -> None:
    """That one token of that device can bring so many units.

    Raises:
        FieldError: on ``units``: it cannot.
    """
    rules = module.rules(device, kind)
    if rules.money_step_minor is not None:
        raise FieldError("units", "the manufacturer takes money alone")
    if (units / rules.step).denominator != 1:
        raise FieldError("units", f"must be a multiple of {rules.step}")
    if rules.units_max is not None and units > rules.units_max:
        raise FieldError("units", f"must be at most {rules.units_max}")


def days_left(record: DeviceAccount, now: datetime, step: Fraction) -> Fraction:
    """The paid time that is left, in days, rounded up to what a token can say."""
    left = max(timedelta(0), (record.paid_until or now) - now)
    steps = Fraction(left // timedelta(microseconds=1), DAY_MICROSECONDS) / step
    return -(-steps.numerator // steps.denominator) * step
