"""New terms for a plan that is open: another total, another rhythm, or both.

Nothing is stored per instalment, so what must not be touched any more stands ahead of the new
instalments, as the down payment of the new terms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from chalicelib.domain.errors import InvalidPlan
from chalicelib.domain.plan import Plan, Terms, make_plan
from chalicelib.domain.schedule import due_on


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How what is still to be paid is spread from now on. The fields are as in ``Terms``."""

    every: str
    first_due: date
    instalments: int | None = None
    instalment_minor: int | None = None


def changed(plan: Plan, *, total_minor: int | None = None, rhythm: Rhythm | None = None) -> Plan:
    """The open plan with that total (else its own) and that rhythm (else its own).

    With a rhythm, all that is paid stands ahead and all that is open is spread anew. Without one,
    the down payment and the instalments that are paid in full stand ahead, and those that are
    left keep their number (as far as there is money to share out) and their due dates: what is
    paid of the first of them stays paid of it, so a lower total never makes more fall due.
    A total equal to what is paid makes the plan paid off (``is_paid``): the caller ends it.

    Raises:
        InvalidPlan: the terms contradict each other or what is paid; ``field`` is the request's
            word for it.
    """
    total_minor = plan.total_minor if total_minor is None else total_minor
    if rhythm is None and total_minor == plan.total_minor:
        return plan
    if total_minor <= 0:
        raise InvalidPlan("total", "must be above zero")
    if total_minor < plan.paid_minor:
        raise InvalidPlan("total", "is less than what is paid")
    if total_minor == plan.paid_minor:
        return _made(plan, _all_at_once(plan, total_minor))
    if rhythm is None:
        return _made(plan, _as_before(plan, total_minor))
    terms = Terms(
        total_minor=total_minor,
        every=rhythm.every,
        first_due=rhythm.first_due,
        instalments=rhythm.instalments,
        instalment_minor=rhythm.instalment_minor,
        down_payment_minor=plan.paid_minor,
    )
    return _made(plan, terms)


def _as_before(plan: Plan, total_minor: int) -> Terms:
    """The instalments that are not paid in full go on, each with its share of the new total."""
    on_instalments_minor = max(0, plan.paid_minor - plan.down_payment_minor)
    # The last one takes the rest, and is not paid while the plan is open.
    paid_in_full = min(on_instalments_minor // plan.instalment_minor, plan.instalments - 1)
    ahead_minor = plan.down_payment_minor + paid_in_full * plan.instalment_minor
    if total_minor <= ahead_minor:
        raise InvalidPlan("total", "does not reach beyond the down payment: give a new rhythm too")
    return Terms(
        total_minor=total_minor,
        every=plan.every,
        first_due=due_on(plan, paid_in_full + 1),
        instalments=min(plan.instalments - paid_in_full, total_minor - ahead_minor),
        down_payment_minor=ahead_minor,
    )


def _all_at_once(plan: Plan, total_minor: int) -> Terms:
    """One instalment, which is paid."""
    return Terms(total_minor=total_minor, every=plan.every, first_due=plan.first_due, instalments=1)


def _made(plan: Plan, terms: Terms) -> Plan:
    """The plan on those terms: the same plan, with the same money on it."""
    made = make_plan(
        replace(terms, already_paid_minor=plan.already_paid_minor),
        plan_id=plan.plan_id,
        name=plan.name,
        sold_at=plan.sold_at,
        serial_number=plan.serial_number,
    )
    return replace(made, paid_minor=plan.paid_minor)
