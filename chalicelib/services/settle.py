"""Settle a payment: clear debts, turn the rest into energy or time, write it all at once.

Talks to the store and the queues only. Tokens that are computed locally are made here, before
the one transaction that makes payment, debts, counter and token true together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Allocation, VendIntent, allocate
from chalicelib.domain.errors import InvariantBroken, Refusal
from chalicelib.domain.judge import device_refusal
from chalicelib.domain.payment import (
    Payment,
    Status,
    Token,
    Vend,
    VendState,
    held,
    refund_due,
    settled,
)
from chalicelib.services.accept import NOTHING_VENDED, rules_of, tariff_ids_of, vend_rules_of
from chalicelib.services.follow_up import queue_what_follows
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.ports import (
    Catalogue,
    Clock,
    Device,
    Devices,
    Issuer,
    Journal,
    Manufacturers,
    Payments,
    Providers,
    Queues,
    VendRefused,
    VersionConflict,
    issues_tokens,
)

ROUNDS_MAX = 6
"""How often a settlement that lost a race is computed anew before its message comes back."""


@dataclass(frozen=True, slots=True)
class _Made:
    """The vends of a split, the tokens made at once, and the account with its counters."""

    vends: tuple[Vend, ...]
    tokens: tuple[Token, ...]
    account: Account


class Settle:
    """Settles payments, any number of times with the effect of once."""

    def __init__(
        self,
        *,
        payments: Payments,
        devices: Devices,
        catalogue: Catalogue,
        manufacturers: Manufacturers,
        providers: Providers,
        queues: Queues,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._payments = payments
        self._devices = devices
        self._catalogue = catalogue
        self._manufacturers = manufacturers
        self._providers = providers
        self._queues = queues
        self._clock = clock
        self._journal = journal
        self._pause = pause

    def settle(
        self, payment_id: str, customer_id: str | None, serial_number: str
    ) -> Payment | None:
        """Settle one payment and queue what follows; one that is settled is only queued again.

        Raises:
            VersionConflict: it lost every race; nothing was written.
            TryAgain, OutcomeUnknown, SecretMissing, QueueUnavailable: the message must come back.
        """
        for round_number in range(ROUNDS_MAX):
            view = self._payments.view_for_settlement(payment_id, customer_id, serial_number)
            payment = view.payment
            if payment is None:
                self._journal.event("payment_missing", payment_id=payment_id)
                return None
            if payment.status is Status.RECEIVED:
                if (payment.customer_id, payment.serial_number) != (customer_id, serial_number):
                    # The message is older than what a person has decided since.
                    customer_id, serial_number = payment.customer_id, payment.serial_number
                    continue
                try:
                    payment = self._write(payment, view.account, view.device)
                except VersionConflict:
                    self._pause(jitter_seconds(round_number))
                    continue
            queue_what_follows(self._queues, payment, self._clock.now())
            return payment
        raise VersionConflict(payment_id)

    def _write(self, payment: Payment, account: Account | None, device: Device | None) -> Payment:
        reason = self._why_not(payment, account, device)
        if reason is not None:
            return self._unusable(payment, reason)
        assert account  # noqa: S101 - or there would be a reason
        allocation = self._allocate(payment, account, device)
        try:
            made = self._make(allocation, device)
        except VendRefused as refused:
            return self._hold(payment, refused.code)
        after = settled(
            payment,
            lines=allocation.lines,
            vends=made.vends,
            tokens=made.tokens,
            account_version=made.account.version,
            now=self._clock.now(),
        )
        stored = self._payments.settle(after, made.account, allocation.ended_plans)
        self._journal.count("Settled", channel=payment.channel)
        return stored

    def _why_not(
        self, payment: Payment, account: Account | None, device: Device | None
    ) -> str | None:
        """Why money that has moved cannot be settled: it is not ours to count, or its serial is
        not (or no longer) valid."""
        if payment.currency != self._catalogue.settings().currency:
            return Refusal.WRONG_CURRENCY.value
        if payment.plan_id is not None:
            return None if account else Refusal.NOTHING_TO_PAY.value
        if device is None:
            return Refusal.UNKNOWN_DEVICE.value
        if device.customer_id is None:
            return Refusal.DEVICE_UNASSIGNED.value
        if device.customer_id != payment.customer_id or account is None:
            return "device_moved"
        refusal = device_refusal(account, device.serial_number)
        return refusal.value if refusal else None

    def _allocate(self, payment: Payment, account: Account, device: Device | None) -> Allocation:
        return allocate(
            account,
            payment.serial_number,
            payment.kept_minor,
            payment.moment,
            self._catalogue.tariffs(tariff_ids_of(account)),
            rules_of(self._catalogue.settings()),
            vend_rules_of(self._manufacturers, device) if device else NOTHING_VENDED,
            payment.plan_id,
        )

    def _make(self, allocation: Allocation, paid_device: Device | None) -> _Made:
        made = _Made((), (), allocation.account)
        for number, intent in enumerate(allocation.intents, start=1):
            device = paid_device
            if device is None or intent.serial_number != device.serial_number:
                device = self._device(intent.serial_number)
            made = self._make_one(made, number, intent, device)
        return made

    def _make_one(self, made: _Made, number: int, intent: VendIntent, device: Device) -> _Made:
        module = self._manufacturers.get(device.manufacturer)
        vend = intended(number, intent, device)
        if not issues_tokens(module):
            return replace(made, vends=(*made.vends, vend))
        vend, token, account = issue_token(module, device, vend, made.account)
        return _Made((*made.vends, vend), (*made.tokens, token), account)

    def _device(self, serial_number: str) -> Device:
        device = self._devices.get(serial_number)
        if device is None:
            raise InvariantBroken(f"no device {serial_number} although its plan was open")
        return device

    def _unusable(self, payment: Payment, reason: str) -> Payment:
        """Money without a valid device goes back by itself after a while, or waits for a person.

        A person can assign it to the right device before; where its channel has no way back,
        that is the only way.
        """
        if not self._providers.can_refund(payment.channel):
            return self._hold(payment, reason)
        now = self._clock.now()
        minutes = self._catalogue.settings().refund_after_minutes
        due = refund_due(payment, reason, now + timedelta(minutes=minutes), now)
        stored = self._payments.save(due)
        self._journal.count("RefundsDue", channel=payment.channel, reason=reason)
        return stored

    def _hold(self, payment: Payment, reason: str) -> Payment:
        return self._payments.save(held(payment, reason, self._clock.now()))


def intended(number: int, intent: VendIntent, device: Device) -> Vend:
    """The vend of that intent, before anything is done about it."""
    return Vend(
        number=number,
        serial_number=intent.serial_number,
        manufacturer=device.manufacturer,
        kind=intent.kind,
        state=VendState.INTENDED,
        units=intent.units,
        money_minor=intent.money_minor,
        cost_minor=intent.cost_minor,
        paid_until=intent.paid_until,
        days_bought=intent.days_bought,
    )


def issue_token(
    issuer: Issuer, device: Device, vend: Vend, account: Account
) -> tuple[Vend, Token, Account]:
    """Compute one token; the account's counter for that device moves on with it.

    The count before the token is kept in the vend: with it the same token can be made again.

    Raises:
        VendRefused: the manufacturer's limits do not allow that token.
        SecretMissing: the device's key cannot be opened now.
    """
    record = account.device(vend.serial_number)
    if record is None or record.counter is None:
        raise VendRefused("no_counter", f"no token counter for {vend.serial_number}")
    issued = issuer.issue(device, vend.kind, vend.units, record.counter)
    done = replace(vend, state=VendState.DONE, attempts=1, count=record.counter)
    token = Token(vend.number, vend.serial_number, vend.kind, vend.units, issued.value)
    return done, token, account.with_device(replace(record, counter=issued.count))
