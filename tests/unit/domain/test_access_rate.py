"""Which fees a meter owes: stretches, changes of rate and tariff, owners, days of the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest

from chalicelib.domain.access_rate import fees, next_fee, owed_fees
from chalicelib.domain.account import DeviceAccount, Tenure
from chalicelib.domain.moment import start_of_day
from chalicelib.domain.tariff import AccessRate, Rate, Tariff
from tests.unit.domain.examples import LONG_AGO, NAIROBI, days, kes, local, meter, tariff

JAN = date(2025, 1, 1)
WEEKLY = AccessRate(kes(100), 7)


def jan(day: int, hour: int = 9, minute: int = 0) -> datetime:
    """A moment in January 2025, by the clock in Nairobi; days beyond 31 run on."""
    return local(JAN + days(day - 1), hour, minute)


def history(*rates: tuple[datetime, AccessRate | None], tariff_id: int = 1) -> dict[int, Tariff]:
    """One tariff whose access rate changed at those moments."""
    return {
        tariff_id: Tariff(
            tariff_id,
            f"tariff {tariff_id}",
            tuple(Rate(moment, Fraction(10_000), access_rate) for moment, access_rate in rates),
        )
    }


def charged(
    device: DeviceAccount,
    tariffs: dict[int, Tariff],
    until: date,
    zone: ZoneInfo = NAIROBI,
) -> str:
    """The fees due by then in short: ``"01-08:100 01-15:100"``."""
    rows = fees(device, tariffs, until, zone)
    return " ".join(f"{day:%m-%d}:{amount // 100}" for day, amount in rows)


REGISTERED = meter(since=jan(1))
STEADY = {1: tariff(fee=100)}


def test_the_first_fee_falls_due_one_period_after_registration_that_day_included() -> None:
    assert charged(REGISTERED, STEADY, date(2025, 1, 7)) == ""
    assert charged(REGISTERED, STEADY, date(2025, 1, 8)) == "01-08:100"
    assert charged(REGISTERED, STEADY, date(2025, 1, 29)) == (
        "01-08:100 01-15:100 01-22:100 01-29:100"
    )


@pytest.mark.parametrize(("hour", "minute"), [(0, 0), (0, 1), (23, 59)])
def test_the_hour_of_registration_does_not_matter(hour: int, minute: int) -> None:
    device = meter(since=jan(1, hour, minute))
    assert charged(device, STEADY, date(2025, 1, 8)) == "01-08:100"


def test_a_fee_every_day_begins_the_day_after() -> None:
    daily = {1: tariff(fee=5, period_days=1)}
    assert charged(REGISTERED, daily, date(2025, 1, 3)) == "01-02:5 01-03:5"


def test_a_tariff_without_access_rate_and_a_meter_without_tariff_owe_nothing() -> None:
    assert charged(REGISTERED, {1: tariff()}, date(2030, 1, 1)) == ""
    assert charged(meter(tenures=()), {}, date(2030, 1, 1)) == ""


def test_a_tariffs_first_rate_also_covers_the_days_before_it() -> None:
    made_later = history((jan(20), WEEKLY))
    assert charged(REGISTERED, made_later, date(2025, 1, 15)) == "01-08:100 01-15:100"


def test_a_new_fee_continues_the_stretch_at_the_amount_in_force_when_the_day_begins() -> None:
    dearer = history((LONG_AGO, WEEKLY), (jan(15, 10), AccessRate(kes(120), 7)))
    assert charged(REGISTERED, dearer, date(2025, 1, 22)) == "01-08:100 01-15:100 01-22:120"


def test_a_new_fee_at_exactly_midnight_is_in_force_that_day() -> None:
    dearer = history((LONG_AGO, WEEKLY), (jan(15, 0), AccessRate(kes(120), 7)))
    assert charged(REGISTERED, dearer, date(2025, 1, 15)) == "01-08:100 01-15:120"


def test_a_new_price_changes_no_fee() -> None:
    repriced = history((LONG_AGO, WEEKLY), (jan(10), WEEKLY), (jan(12), WEEKLY))
    assert charged(REGISTERED, repriced, date(2025, 1, 22)) == charged(
        REGISTERED, STEADY, date(2025, 1, 22)
    )


def test_another_period_begins_a_new_stretch_and_the_period_cut_short_is_not_charged() -> None:
    shorter = history((LONG_AGO, WEEKLY), (jan(12, 10), AccessRate(kes(50), 3)))
    assert charged(REGISTERED, shorter, date(2025, 1, 18)) == "01-08:100 01-15:50 01-18:50"


@pytest.mark.parametrize(("hour", "still_charged"), [(0, ""), (10, " 01-15:100")])
def test_a_change_during_a_day_leaves_that_days_fee_and_one_at_midnight_does_not(
    hour: int, still_charged: str
) -> None:
    changed = history((LONG_AGO, WEEKLY), (jan(15, hour), AccessRate(kes(50), 3)))
    assert charged(REGISTERED, changed, date(2025, 1, 18)) == f"01-08:100{still_charged} 01-18:50"


def test_removing_the_access_rate_ends_the_stretch_and_bringing_it_back_starts_another() -> None:
    removed = history((LONG_AGO, WEEKLY), (jan(10), None), (jan(20), WEEKLY))
    assert charged(REGISTERED, removed, date(2025, 2, 4)) == "01-08:100 01-27:100 02-03:100"


def test_another_tariff_with_the_same_period_continues_the_stretch() -> None:
    device = meter(tenures=(Tenure(1, jan(1), jan(10)), Tenure(2, jan(10))))
    tariffs = {1: tariff(fee=100), 2: tariff(fee=30, tariff_id=2)}
    assert charged(device, tariffs, date(2025, 1, 22)) == "01-08:100 01-15:30 01-22:30"


def test_another_tariff_with_another_period_starts_a_stretch() -> None:
    device = meter(tenures=(Tenure(1, jan(1), jan(10)), Tenure(2, jan(10))))
    tariffs = {1: tariff(fee=100), 2: tariff(fee=30, period_days=10, tariff_id=2)}
    assert charged(device, tariffs, date(2025, 1, 30)) == "01-08:100 01-20:30 01-30:30"


def test_a_time_with_another_owner_ends_the_stretch() -> None:
    device = meter(tenures=(Tenure(1, jan(1), jan(10)), Tenure(1, jan(12))))
    assert charged(device, STEADY, date(2025, 1, 26)) == "01-08:100 01-19:100 01-26:100"


def test_a_tenure_that_lasted_no_time_changes_nothing() -> None:
    device = meter(
        tenures=(Tenure(1, jan(1), jan(9)), Tenure(2, jan(9), jan(9)), Tenure(1, jan(9)))
    )
    tariffs = {1: tariff(fee=100), 2: tariff(fee=30, period_days=3, tariff_id=2)}
    assert charged(device, tariffs, date(2025, 1, 15)) == "01-08:100 01-15:100"


def test_a_former_owner_keeps_the_fees_that_had_fallen_due() -> None:
    device = meter(owned=False, tenures=(Tenure(1, jan(1), jan(16)),))
    assert charged(device, STEADY, date(2030, 1, 1)) == "01-08:100 01-15:100"
    assert next_fee(device, STEADY, jan(10), NAIROBI) == (date(2025, 1, 15), kes(100))
    assert next_fee(device, STEADY, jan(15), NAIROBI) is None


def test_rates_outside_the_tenure_are_not_this_meters() -> None:
    early_and_late = history(
        (LONG_AGO, AccessRate(kes(1), 1)), (jan(1), WEEKLY), (jan(20), AccessRate(kes(9), 1))
    )
    device = meter(tenures=(Tenure(1, jan(2), jan(18)),))
    assert charged(device, early_and_late, date(2025, 2, 1)) == "01-09:100 01-16:100"


def test_what_is_owed_is_what_fell_due_less_what_was_paid_oldest_first() -> None:
    device = meter(since=jan(1), fees_paid_minor=kes(150))
    rows = owed_fees(device, STEADY, date(2025, 1, 22), NAIROBI)
    assert [(row.number, row.due_on, row.open_minor) for row in rows] == [
        (2, date(2025, 1, 15), kes(50)),
        (3, date(2025, 1, 22), kes(100)),
    ]


def test_paid_fees_are_skipped_over_stretches_of_different_amounts() -> None:
    dearer = history((LONG_AGO, WEEKLY), (jan(10), AccessRate(kes(120), 7)))
    device = meter(since=jan(1), fees_paid_minor=kes(230))
    rows = owed_fees(device, dearer, date(2025, 1, 22), NAIROBI)
    assert [(row.number, row.open_minor) for row in rows] == [(3, kes(110))]


def test_fees_paid_by_a_later_payment_are_not_owed_at_an_earlier_moment() -> None:
    device = meter(since=jan(1), fees_paid_minor=kes(300))
    assert owed_fees(device, STEADY, date(2025, 1, 15), NAIROBI) == []


def test_looking_twice_or_late_gives_the_same_fees() -> None:
    """Nothing has to run on the days between: four periods later four fees are owed."""
    rows = owed_fees(REGISTERED, STEADY, date(2025, 1, 29), NAIROBI)
    assert sum(row.open_minor for row in rows) == kes(400)


@pytest.mark.parametrize(
    ("moment", "due"), [(jan(1), 8), (jan(7, 23, 59), 8), (jan(8, 0), 15), (jan(30), 36)]
)
def test_the_next_fee_is_the_first_after_today(moment: datetime, due: int) -> None:
    expected = (JAN + days(due - 1), kes(100))
    assert next_fee(REGISTERED, STEADY, moment, NAIROBI) == expected


def test_the_next_fee_knows_of_announced_changes() -> None:
    announced = history((LONG_AGO, WEEKLY), (jan(12), AccessRate(kes(50), 10)))
    assert next_fee(REGISTERED, announced, jan(9), NAIROBI) == (date(2025, 1, 22), kes(50))


def test_no_fee_is_to_come_without_an_access_rate() -> None:
    assert next_fee(REGISTERED, {1: tariff()}, jan(9), NAIROBI) is None
    removed = history((LONG_AGO, WEEKLY), (jan(12), None))
    assert next_fee(REGISTERED, removed, jan(9), NAIROBI) is None


def test_days_are_local_also_where_the_clocks_skip_midnight() -> None:
    """Cairo, 25 April 2025: the day begins at 01:00 by the clock, which is 22:00 UTC."""
    cairo = ZoneInfo("Africa/Cairo")
    begins = datetime(2025, 4, 24, 22, 0, tzinfo=UTC)
    assert start_of_day(date(2025, 4, 25), cairo) == begins
    device = meter(since=local(date(2025, 4, 18), zone=cairo))
    for change, amount in ((begins, 120), (begins + timedelta(seconds=1), 100)):
        changed = history((LONG_AGO, WEEKLY), (change, AccessRate(kes(120), 7)))
        assert charged(device, changed, date(2025, 4, 25), cairo) == f"04-25:{amount}"


def test_twenty_years_of_daily_fees_are_counted_at_once() -> None:
    daily = {1: tariff(fee=5, period_days=1)}
    last_day = JAN + days(20 * 365)
    all_fees = fees(REGISTERED, daily, last_day, NAIROBI)
    assert len(all_fees) == 20 * 365
    device = meter(since=jan(1), fees_paid_minor=kes(5) * (20 * 365 - 3))
    started = perf_counter()
    for _ in range(100):
        assert len(owed_fees(device, daily, last_day, NAIROBI)) == 3
    assert perf_counter() - started < 0.5


def test_an_unknown_tariff_is_an_error_and_not_a_debt_forgotten() -> None:
    with pytest.raises(KeyError):
        fees(REGISTERED, {}, date(2025, 1, 8), NAIROBI)
