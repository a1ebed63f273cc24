"""Change a plan that is open: give it new terms, cancel it, or write it off."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.errors import FieldError, InvariantBroken, MwangaError
from chalicelib.domain.new_terms import Rhythm, changed
from chalicelib.domain.plan import Plan, PlanState
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.ports import (
    Accounts,
    Clock,
    ConditionFailed,
    Device,
    Devices,
    Journal,
    Registry,
    VersionConflict,
)
from chalicelib.services.unlock import Unlock

WRITES_MAX = 6


class PlanNotFound(MwangaError):
    """The customer has no open plan of that id."""

    code = "not_found"


class ChangePlans:
    """Changes and ends open plans. Each change is an entry of the customer's account."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        devices: Devices,
        registry: Registry,
        unlock: Unlock,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._accounts = accounts
        self._devices = devices
        self._registry = registry
        self._unlock = unlock
        self._clock = clock
        self._journal = journal
        self._pause = pause

    # --- the three changes --------------------------------------------------------------------

    def change(
        self,
        customer_id: str,
        plan_id: str,
        *,
        total_minor: int | None = None,
        rhythm: Rhythm | None = None,
        reason: str,
        actor: str,
    ) -> Plan:
        """Give the plan a new total, a new rhythm for what is open, or both.

        A total equal to what is paid ends the plan as paid off, with the unlock of its device.
        Terms that the plan has already are no change.

        Raises:
            PlanNotFound: see there.
            FieldError: on ``total``: neither is given; or the device is paid off and there can
                be no unlock token.
            InvalidPlan: the terms contradict each other, or what is paid.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable, SecretMissing: not
                changed, or not known to be: the same request may be sent again.
        """
        if total_minor is None and rhythm is None:
            raise FieldError("total", "give a new total, or how what is open is to be paid")

        def write() -> Plan:
            account, plan = self._open(customer_id, plan_id)
            after = changed(plan, total_minor=total_minor, rhythm=rhythm)
            act = Act(actor, self._clock.now(), reason)
            if after == plan:
                return plan
            if after.is_paid:
                self._end(account, after, act, "plan_changed", changed=after, unlock="total")
                return after
            account = account.next_version().with_plan(after)
            self._accounts.change(account, entry_of(act, account, "plan_changed", changed=after))
            self._note("plan_changed", after, account, actor)
            return after

        return self._insist(plan_id, write)

    def cancel(
        self, customer_id: str, plan_id: str, *, credit_minor: int, reason: str, actor: str
    ) -> Plan:
        """End the plan: what is open of it is no longer owed.

        ``credit_minor`` of what was paid on it here becomes the customer's credit; the rest stays
        with the company. Nothing is unlocked. A plan that was cancelled before stays as it is.

        Raises:
            PlanNotFound: see there.
            FieldError: on ``credit``: it is more than was paid here.
            VersionConflict, TryAgain, OutcomeUnknown: as for ``change``.
        """

        def write() -> Plan:
            account = self._accounts.get(customer_id) or Account(customer_id)
            plan = account.plan(plan_id)
            if plan is None:
                return self._ended_before(customer_id, plan_id, PlanState.CANCELLED)
            if credit_minor > plan.paid_minor - plan.already_paid_minor:
                raise FieldError("credit", "is more than was paid on the plan here")
            cancelled = replace(
                plan, paid_minor=plan.paid_minor - credit_minor, ended_as=PlanState.CANCELLED
            )
            credited = replace(account, credit_minor=account.credit_minor + credit_minor)
            act = Act(actor, self._clock.now(), reason)
            lines = _credited(plan, customer_id, credit_minor)
            self._end(credited, cancelled, act, "plan_cancelled", lines=lines)
            return cancelled

        return self._insist(plan_id, write)

    def write_off(
        self, customer_id: str, plan_id: str, *, unlock: bool, reason: str, actor: str
    ) -> Plan:
        """End the plan: what is open of it will never be paid.

        With ``unlock`` its device is unlocked for good all the same. A plan that was written off
        before stays as it is.

        Raises:
            PlanNotFound: see there.
            FieldError: on ``unlock``: it is the plan of an appliance, or there can be no token.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable, SecretMissing: as for
                ``change``.
        """

        def write() -> Plan:
            account = self._accounts.get(customer_id) or Account(customer_id)
            plan = account.plan(plan_id)
            if plan is None:
                return self._ended_before(customer_id, plan_id, PlanState.WRITTEN_OFF)
            if unlock and plan.serial_number is None:
                raise FieldError("unlock", "an appliance cannot be unlocked")
            written_off = replace(plan, ended_as=PlanState.WRITTEN_OFF)
            act = Act(actor, self._clock.now(), reason)
            field = "unlock" if unlock else None
            self._end(account, written_off, act, "plan_written_off", unlock=field)
            return written_off

        return self._insist(plan_id, write)

    # --- what they share ----------------------------------------------------------------------

    def _open(self, customer_id: str, plan_id: str) -> tuple[Account, Plan]:
        account = self._accounts.get(customer_id) or Account(customer_id)
        plan = account.plan(plan_id)
        if plan is None:
            raise PlanNotFound(f"{customer_id} has no open plan {plan_id}")
        return account, plan

    def _ended_before(self, customer_id: str, plan_id: str, ended_as: PlanState) -> Plan:
        """The customer's plan that ended that way before: the same request has come again.

        The guard says whose plan it was, which the plan itself does not.
        """
        held = self._registry.guard(_guard_id(customer_id, plan_id))
        plan = self._accounts.ended_plan(plan_id) if held == ended_as.value else None
        if plan is None:
            raise PlanNotFound(f"{customer_id} has no open plan {plan_id}")
        return plan

    def _end(
        self,
        account: Account,
        ended: Plan,
        act: Act,
        what: str,
        *,
        changed: Plan | None = None,
        lines: Sequence[Line] = (),
        unlock: str | None = None,
    ) -> None:
        """Let the plan leave the account; with ``unlock`` (the field that asks for it) its device,
        if it has one, is unlocked."""
        account = account.next_version().without_plan(ended.plan_id)
        payment = None
        if unlock is not None and ended.serial_number is not None:
            unlocked = self._unlock.unlocked(account, self._device(ended.serial_number), unlock)
            account, payment = unlocked.account, unlocked.payment
        entry = entry_of(
            act,
            account,
            what,
            changed=changed,
            closed=(ended.plan_id,) if ended.ended_as else (),
            lines=lines,
            plan_id=ended.plan_id,
            vend=payment.payment_id if payment else None,
        )
        guard_id = _guard_id(account.customer_id, ended.plan_id)
        with self._unlock.following(payment):
            self._accounts.change(
                account,
                entry,
                ended_plans=(ended,),
                new_payment=payment,
                guard=(guard_id, ended.ended_as.value) if ended.ended_as else None,
            )
        self._note(what, ended, account, act.actor)

    def _device(self, serial_number: str) -> Device:
        device = self._devices.get(serial_number)
        if device is None:
            raise InvariantBroken(f"no device {serial_number} although its plan was open")
        return device

    def _insist(self, plan_id: str, write: Callable[[], Plan]) -> Plan:
        """Make the change; anew, from what is stored then, where somebody else was faster."""
        for round_number in range(WRITES_MAX):
            try:
                return write()
            except (VersionConflict, ConditionFailed):
                self._pause(jitter_seconds(round_number))
        raise VersionConflict(plan_id)

    def _note(self, what: str, plan: Plan, account: Account, actor: str) -> None:
        self._journal.event(
            what,
            plan_id=plan.plan_id,
            customer_id=account.customer_id,
            account_version=account.version,
            actor=actor,
        )


def _guard_id(customer_id: str, plan_id: str) -> str:
    return f"plan-ended#{customer_id}#{plan_id}"


def _credited(plan: Plan, customer_id: str, credit_minor: int) -> tuple[Line, ...]:
    """The lines that take that much off the plan and make it credit."""
    if credit_minor == 0:
        return ()
    if plan.serial_number is None:
        taken = Line(LineKind.APPLIANCE, plan.plan_id, -credit_minor)
    else:
        taken = Line(LineKind.DEVICE, plan.serial_number, -credit_minor)
    return taken, Line(LineKind.CREDIT, customer_id, credit_minor)
