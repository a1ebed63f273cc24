"""Plans: how a sum is paid off over time. A plan is its terms and one number, ``paid_minor``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from chalicelib.domain.errors import InvalidPlan

INSTALMENTS_MAX = 600

FIRST_DUE_MAX = date(2199, 12, 31)
"""Beyond it a date is a slip of the pen, and the last due dates would leave the calendar."""


class Every(StrEnum):
    """The rhythm of the instalments."""

    WEEK = "week"
    MONTH = "month"


class PlanKind(StrEnum):
    """What is paid off: goods without a token, or a device that gets time for each instalment."""

    APPLIANCE = "appliance"
    DEVICE = "device"


class PlanState(StrEnum):
    """How a plan stands: open, or how it ended."""

    OPEN = "open"
    PAID = "paid"
    CANCELLED = "cancelled"
    WRITTEN_OFF = "written_off"


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan. ``paid_minor`` includes ``already_paid_minor``.

    ``ended_as`` is set where it ended without being paid off.

    ``instalments`` counts the regular ones; each is ``instalment_minor``, except the last, which
    takes the rest. The down payment, where there is one, is instalment 0 and is due at
    ``sold_at``'s day or on ``first_due``, whichever is earlier.
    """

    plan_id: str
    kind: PlanKind
    name: str
    total_minor: int
    instalments: int
    instalment_minor: int
    every: Every
    first_due: date
    sold_at: datetime
    serial_number: str | None = None
    down_payment_minor: int = 0
    already_paid_minor: int = 0
    paid_minor: int = 0
    ended_as: PlanState | None = None

    @property
    def state(self) -> PlanState:
        """How it stands."""
        if self.ended_as is not None:
            return self.ended_as
        return PlanState.PAID if self.is_paid else PlanState.OPEN

    @property
    def financed_minor(self) -> int:
        """What the regular instalments add up to."""
        return self.total_minor - self.down_payment_minor

    @property
    def open_minor(self) -> int:
        """What is still to be paid, due or not."""
        return self.total_minor - self.paid_minor

    @property
    def is_paid(self) -> bool:
        """Whether it is paid off. A device whose plan is paid off gets its unlock."""
        return self.paid_minor >= self.total_minor


@dataclass(frozen=True, slots=True)
class Instalment:
    """One instalment as the schedule has it: ``number`` 0 is the down payment."""

    number: int
    due_on: date
    amount_minor: int
    paid_minor: int

    @property
    def open_minor(self) -> int:
        """What is still to be paid on it."""
        return self.amount_minor - self.paid_minor


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan is agreed on, before it is checked. Sums are in minor units.

    Exactly one of ``instalments`` (how many) and ``instalment_minor`` (how much each) is given.
    ``every`` is ``"week"`` or ``"month"``. ``already_paid_minor`` was paid before this system
    knew of the plan.
    """

    total_minor: int
    every: str
    first_due: date
    instalments: int | None = None
    instalment_minor: int | None = None
    down_payment_minor: int = 0
    already_paid_minor: int = 0


def make_plan(
    terms: Terms,
    *,
    plan_id: str,
    name: str,
    sold_at: datetime,
    serial_number: str | None = None,
) -> Plan:
    """Check the terms and make the plan: of that device, or of an appliance without a serial.

    A number of instalments n makes each floor(financed / n); an instalment amount a makes
    floor(financed / a) of them; either way the last one takes the rest. A plan that was already
    paid in full is paid off at once (``is_paid``): the caller ends it, with the unlock.

    Raises:
        InvalidPlan: the terms contradict each other; ``field`` is the request's word for it.
    """
    every = _checked_rhythm(terms)
    _check_sums(terms)
    instalments, instalment_minor = _instalments(terms)
    return Plan(
        plan_id=plan_id,
        kind=PlanKind.APPLIANCE if serial_number is None else PlanKind.DEVICE,
        name=name,
        total_minor=terms.total_minor,
        instalments=instalments,
        instalment_minor=instalment_minor,
        every=every,
        first_due=terms.first_due,
        sold_at=sold_at,
        serial_number=serial_number,
        down_payment_minor=terms.down_payment_minor,
        already_paid_minor=terms.already_paid_minor,
        paid_minor=terms.already_paid_minor,
    )


def _checked_rhythm(terms: Terms) -> Every:
    if terms.every not in tuple(Every):
        raise InvalidPlan("every", "must be week or month")
    if terms.first_due > FIRST_DUE_MAX:
        raise InvalidPlan("first_due", f"must not be after {FIRST_DUE_MAX.isoformat()}")
    return Every(terms.every)


def _check_sums(terms: Terms) -> None:
    if terms.total_minor <= 0:
        raise InvalidPlan("total", "must be above zero")
    if not 0 <= terms.down_payment_minor < terms.total_minor:
        raise InvalidPlan("down_payment", "must be below the total and not negative")
    if not 0 <= terms.already_paid_minor <= terms.total_minor:
        raise InvalidPlan("already_paid", "must be at most the total and not negative")


def _instalments(terms: Terms) -> tuple[int, int]:
    """How many regular instalments there are, and how much each is (before the last)."""
    financed_minor = terms.total_minor - terms.down_payment_minor
    if terms.instalments is not None and terms.instalment_minor is None:
        return _by_number(financed_minor, terms.instalments)
    if terms.instalment_minor is not None and terms.instalments is None:
        return _by_amount(financed_minor, terms.instalment_minor)
    raise InvalidPlan("instalments", "give either instalments or instalment_amount")


def _by_number(financed_minor: int, instalments: int) -> tuple[int, int]:
    if not 1 <= instalments <= INSTALMENTS_MAX:
        raise InvalidPlan("instalments", f"must be 1 to {INSTALMENTS_MAX}")
    if financed_minor < instalments:
        raise InvalidPlan("instalments", "more instalments than there is money to share out")
    return instalments, financed_minor // instalments


def _by_amount(financed_minor: int, instalment_minor: int) -> tuple[int, int]:
    if not 1 <= instalment_minor <= financed_minor:
        raise InvalidPlan("instalment_amount", "must be above zero and at most what is financed")
    instalments = financed_minor // instalment_minor
    if instalments > INSTALMENTS_MAX:
        raise InvalidPlan("instalment_amount", f"makes more than {INSTALMENTS_MAX} instalments")
    return instalments, instalment_minor
