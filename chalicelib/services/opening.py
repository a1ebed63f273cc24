"""Opening balances: what a device brings with it from before this system knew it.

They are part of the registration, of its very write: so they count exactly once, and the entry
of the registration posts them in the words of the books.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from chalicelib.domain.access_rate import fees
from chalicelib.domain.account import DeviceAccount, Kind
from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.books import CarryChange
from chalicelib.domain.errors import FieldError
from chalicelib.domain.tariff import Tariff


@dataclass(frozen=True, slots=True)
class Opening:
    """The balances of one device on the day ``as_of``, as the company had them.

    Of a meter: ``access_rate_since`` is the day from which its access rate counts (the day of its
    registration where it is ``None``), ``access_rate_owed_minor`` what is owed of it, and
    ``carry_minor`` money that was paid and not yet turned into energy. Of an SHS or e-bike:
    ``carry_days`` is the part of a day that was paid and not yet issued, ``paid_until`` the end of
    its paid time, ``unlocked`` says that it is paid off and runs for good, and ``sold_on`` is the
    day on which its plan was sold (the day of its registration where it is ``None``).
    """

    as_of: date
    access_rate_since: date | None = None
    access_rate_owed_minor: int = 0
    carry_minor: Fraction = Fraction(0)
    carry_days: Fraction = Fraction(0)
    paid_until: datetime | None = None
    unlocked: bool = False
    sold_on: date | None = None


@dataclass(frozen=True, slots=True)
class OpenedMeter:
    """A meter's record with its opening balances in it, and what the books post of them."""

    record: DeviceAccount
    lines: tuple[Line, ...] = ()
    carries: tuple[CarryChange, ...] = ()


def check_kind(opening: Opening, kind: Kind) -> None:
    """Meters have balances in money, the others in time.

    Raises:
        FieldError: on the balance that a device of that kind cannot have.
    """
    if kind is Kind.METER:
        given = {
            "carry_days": opening.carry_days != 0,
            "paid_until": opening.paid_until is not None,
            "unlocked": opening.unlocked,
        }
        message = "must be empty: the device is a meter"
    else:
        given = {
            "access_rate_since": opening.access_rate_since is not None,
            "access_rate_owed": opening.access_rate_owed_minor != 0,
            "carry": opening.carry_minor != 0,
        }
        message = "must be empty: only meters have it"
    for field, is_given in given.items():
        if is_given:
            raise FieldError(field, message)
    if opening.carry_days >= 1:
        raise FieldError("carry_days", "must be below one day: whole days are in paid_until")


def opened_meter(
    record: DeviceAccount, opening: Opening, tariff: Tariff, time_zone: ZoneInfo
) -> OpenedMeter:
    """The meter with its balances. What was paid of its fees is what fell due less what is owed.

    Raises:
        FieldError: on ``access_rate_owed``: so much cannot have fallen due.
    """
    due = fees(record, {tariff.tariff_id: tariff}, opening.as_of, time_zone)
    fell_due_minor = sum(amount_minor for _, amount_minor in due)
    paid_minor = fell_due_minor - opening.access_rate_owed_minor
    if paid_minor < 0:
        raise FieldError(
            "access_rate_owed",
            f"is more than has fallen due ({len(due)} fees) since access_rate_since",
        )
    serial_number = record.serial_number
    lines = (Line(LineKind.ACCESS_RATE, serial_number, paid_minor),) if paid_minor else ()
    carries = (CarryChange(serial_number, opening.carry_minor),) if opening.carry_minor else ()
    opened = replace(record, fees_paid_minor=paid_minor, carry_minor=opening.carry_minor)
    return OpenedMeter(opened, lines, carries)


def opened_time(record: DeviceAccount, opening: Opening) -> DeviceAccount:
    """An SHS or e-bike with its time as it was before."""
    return replace(
        record,
        carry_days=opening.carry_days,
        paid_until=opening.paid_until,
        unlocked=opening.unlocked,
    )
