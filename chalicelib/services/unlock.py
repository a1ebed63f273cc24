"""Unlock: a device that an entry pays off, or lets go, is unlocked for good.

An entry has no payment, so what carries its vend is a payment of nothing, which the entry's own
transaction writes: it has the lease, the sweeper, the ways out for a person, and the SMS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import VendIntent, VendKind
from chalicelib.domain.errors import FieldError, InvariantBroken
from chalicelib.domain.payment import Payment, messages_due, vending_for_entry
from chalicelib.services.follow_up import queue_messages_ahead, queue_what_follows
from chalicelib.services.ports import (
    Catalogue,
    Clock,
    Device,
    Journal,
    Manufacturers,
    OutcomeUnknown,
    Queues,
    QueueUnavailable,
    VendRefused,
    issues_tokens,
)
from chalicelib.services.settle import intended, issue_token
from chalicelib.services.told_payments import say_unknown, tell_steps


@dataclass(frozen=True, slots=True)
class Unlocked:
    """The account with the device unlocked, and the payment of nothing that carries its vend."""

    account: Account
    payment: Payment


class Unlock:
    """Unlocks devices by entries."""

    def __init__(
        self,
        *,
        manufacturers: Manufacturers,
        catalogue: Catalogue,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._manufacturers = manufacturers
        self._catalogue = catalogue
        self._queues = queues
        self._clock = clock
        self._journal = journal

    def unlocked(self, account: Account, device: Device, field: str) -> Unlocked:
        """What the entry that makes this version of the account is to write.

        A token that is computed here is in the payment, and the counter has moved on with it; a
        manufacturer that is called has its vend before it.

        Raises:
            FieldError: on ``field``, which asked for the unlock: there can be no token.
            SecretMissing: the device's key cannot be opened now.
        """
        record = account.device(device.serial_number)
        if record is None:
            raise InvariantBroken(f"{device.serial_number} is not in {account.customer_id}")
        account = account.with_device(replace(record, carry_days=Fraction(0), unlocked=True))
        return self.carried(
            account, device, VendIntent(device.serial_number, VendKind.UNLOCK), field
        )

    def carried(self, account: Account, device: Device, intent: VendIntent, field: str) -> Unlocked:
        """What the entry that makes this version of the account is to write, to vend that.

        Raises:
            FieldError: on ``field``, which asked for the vend: there can be no token.
            SecretMissing: the device's key cannot be opened now.
        """
        vend = intended(1, intent, device)
        token = None
        module = self._manufacturers.get(device.manufacturer)
        if issues_tokens(module):
            try:
                vend, token, account = issue_token(module, device, vend, account)
            except VendRefused as refused:
                wrong = f"there can be no token: {refused.code}"
                raise FieldError(field, wrong) from None
        payment = vending_for_entry(
            account.customer_id,
            account.version,
            vend,
            token,
            self._catalogue.settings().currency,
            self._clock.now(),
        )
        return Unlocked(account, payment)

    @contextmanager
    def following(self, payment: Payment | None) -> Iterator[None]:
        """Queue what follows from the payment (if there is one) that is written within it.

        Its SMS is queued *before* the write, to arrive after it: a crash in between would leave
        a completed payment, which no sweep looks at, without its SMS. A message to a write that
        failed finds nothing and ends. All is queued once more, for now, when it is written; a
        vend that is not queued then is found by the sweeper.

        Raises:
            QueueUnavailable: nothing was written.
        """
        if payment is None:
            yield
            return
        queue_messages_ahead(self._queues, payment, messages_due(payment))
        try:
            yield
        except OutcomeUnknown:
            say_unknown(self._journal, payment)
            raise
        tell_steps(self._journal, payment)
        try:
            queue_what_follows(self._queues, payment, self._clock.now())
        except QueueUnavailable:
            self._journal.event("queueing_failed", payment_id=payment.payment_id)
