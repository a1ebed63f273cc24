"""Amounts with their currency, and times, as providers write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chalicelib.channels.amounts import UnusableAmount, check_hundredths, money
from chalicelib.channels.strict_json import Number
from chalicelib.channels.times import utc_time
from chalicelib.domain.errors import InvalidAmount
from chalicelib.domain.money import Currency


@pytest.mark.parametrize(
    ("written", "code", "amount_minor"),
    [
        (Number("2500"), "KES", 2_500_00),
        (Number("2500.5"), "KES", 2_500_50),
        ("2500.50", "KES", 2_500_50),
        (Number("2500.00"), "UGX", 2_500),
        (Number("12.345"), "TND", 12_345),
    ],
)
def test_money_is_read_in_the_minor_unit_of_its_own_currency(
    written: object, code: str, amount_minor: int
):
    assert money(written, code) == (amount_minor, code)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (Number("2500.001"), "KES"),
        (Number("2500.5"), "UGX"),
        (Number("-1"), "KES"),
        (Number("0"), "KES"),
        (Number("2.5e3"), "KES"),
        (True, "KES"),
        (None, "KES"),
        (Number("1"), "kes"),
        (Number("1"), "ZZZ"),
        (Number("1"), "XAU"),
        (Number("1"), ""),
        (Number("1"), None),
    ],
)
def test_money_that_cannot_be_is_not_read(written: object, code: object):
    with pytest.raises(UnusableAmount):
        money(written, code)


def test_an_amount_with_more_than_two_decimals_can_be_turned_away():
    check_hundredths(12_340, Currency("TND", 3))
    check_hundredths(1, Currency("UGX", 0))
    with pytest.raises(InvalidAmount):
        check_hundredths(12_345, Currency("TND", 3))


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-08T08:30:00Z",
        "2026-01-08T11:30:00.0+03:00",
        "2026-01-08T08:30:00.000000000Z",
    ],
)
def test_a_time_with_its_zone_is_read(text: str):
    assert utc_time(text) == datetime(2026, 1, 8, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        *("2026-01-08T08:30:00", "yesterday", "2026-02-30T08:30:00Z", "0001-01-01T00:00:00+03:00"),
        *("2026-01-08T08:30:00+99:00", "", None, 1_767_862_800, ["2026-01-08T08:30:00Z"]),
    ],
)
def test_what_is_no_time_is_none(value: object):
    assert utc_time(value) is None
