"""The moment at which a payment is judged, and the days of the company's calendar.

Moments are timezone-aware datetimes in UTC. A day is a day in the company's time zone: it begins
at local midnight, also where the clocks change.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def moment_of(paid_at: datetime | None, received_at: datetime, late_payment_hours: int) -> datetime:
    """The moment at which a payment is judged.

    The provider's own time of payment where it names a credible one: not after ``received_at``
    and not more than ``late_payment_hours`` before it. Otherwise ``received_at``.
    """
    if paid_at is None:
        return received_at
    earliest = received_at - timedelta(hours=late_payment_hours)
    return paid_at if earliest <= paid_at <= received_at else received_at


def local_day(moment: datetime, time_zone: ZoneInfo) -> date:
    """The day that the company's calendar shows at ``moment``.

    Raises:
        ValueError: ``moment`` has no time zone, so nobody can tell.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(time_zone).date()


def start_of_day(day: date, time_zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which ``day`` begins in the company's calendar.

    Where the clocks skip midnight, that is the moment at which they do.
    """
    return datetime.combine(day, time.min, tzinfo=time_zone).astimezone(UTC)


def first_day_from(moment: datetime, time_zone: ZoneInfo) -> date:
    """The first day that begins at or after ``moment``."""
    day = local_day(moment, time_zone)
    return day if start_of_day(day, time_zone) == moment else day + timedelta(days=1)
