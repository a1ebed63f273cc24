"""The moment of a payment, and the days of the company's calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from chalicelib.domain.moment import first_day_from, local_day, moment_of, start_of_day
from tests.unit.domain.examples import NAIROBI

RECEIVED = datetime(2025, 3, 10, 9, 0, tzinfo=UTC)
CAIRO = ZoneInfo("Africa/Cairo")
AZORES = ZoneInfo("Atlantic/Azores")


@pytest.mark.parametrize(
    ("hours_before", "credible"),
    [(0, True), (1, True), (72, True), (72.001, False), (-0.001, False), (1000, False)],
)
def test_the_providers_time_counts_while_it_is_credible(
    hours_before: float, credible: bool
) -> None:
    paid_at = RECEIVED - timedelta(hours=hours_before)
    assert moment_of(paid_at, RECEIVED, 72) == (paid_at if credible else RECEIVED)


def test_without_a_time_of_payment_the_time_of_receipt_counts() -> None:
    assert moment_of(None, RECEIVED, 72) == RECEIVED


def test_the_day_is_the_companys_not_that_of_utc() -> None:
    late_evening = datetime(2025, 3, 10, 21, 0, tzinfo=UTC)
    assert local_day(late_evening, NAIROBI) == date(2025, 3, 11)
    assert local_day(late_evening - timedelta(seconds=1), NAIROBI) == date(2025, 3, 10)


def test_a_moment_without_a_time_zone_has_no_day() -> None:
    with pytest.raises(ValueError, match="time zone"):
        local_day(RECEIVED.replace(tzinfo=None), NAIROBI)


@pytest.mark.parametrize(
    ("day", "zone", "begins"),
    [
        (date(2025, 3, 10), NAIROBI, datetime(2025, 3, 9, 21, 0, tzinfo=UTC)),
        # Egypt's clocks went from 24 April 24:00 to 25 April 01:00: midnight was skipped.
        (date(2025, 4, 25), CAIRO, datetime(2025, 4, 24, 22, 0, tzinfo=UTC)),
        # The Azores went from 26 October 01:00 back to 00:00: midnight came twice.
        (date(2025, 10, 26), AZORES, datetime(2025, 10, 26, 0, 0, tzinfo=UTC)),
    ],
)
def test_a_day_begins_at_local_midnight(day: date, zone: ZoneInfo, begins: datetime) -> None:
    assert start_of_day(day, zone) == begins
    assert local_day(begins, zone) == day
    assert local_day(begins - timedelta(seconds=1), zone) == day - timedelta(days=1)


def test_the_first_day_from_a_moment_is_that_day_only_if_it_is_its_beginning() -> None:
    midnight = start_of_day(date(2025, 3, 10), NAIROBI)
    assert first_day_from(midnight, NAIROBI) == date(2025, 3, 10)
    assert first_day_from(midnight + timedelta(microseconds=1), NAIROBI) == date(2025, 3, 11)
    assert first_day_from(midnight - timedelta(microseconds=1), NAIROBI) == date(2025, 3, 10)
