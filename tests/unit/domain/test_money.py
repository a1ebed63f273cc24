"""Amounts, prices and units as texts."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import InvalidAmount
from chalicelib.domain.money import (
    Currency,
    format_exact,
    format_minor,
    format_price,
    format_units,
    fraction_text,
    parse_amount,
    parse_fraction,
    parse_price,
)
from tests.unit.domain.examples import KES

UGX = Currency("UGX", 0)
TND = Currency("TND", 3)
MAXIMUM = 100_000_000


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1500.00", KES, 150_000),
        ("1500", KES, 150_000),
        ("1500.5", KES, 150_050),
        ("0.01", KES, 1),
        ("1500.00000", KES, 150_000),
        ("0007", KES, 700),
        ("1000000.00", KES, MAXIMUM),
        ("1500", UGX, 1500),
        ("1500.000", UGX, 1500),
        ("1.234", TND, 1234),
    ],
)
def test_an_amount_is_read_into_minor_units(text: str, currency: Currency, minor: int) -> None:
    assert parse_amount(text, currency, MAXIMUM) == minor


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "abc", ".5", "5.", "1.2.3", "-1", "+1", "1e3", "0x10", "NaN", "Infinity"),
        *("1_000", "1,000", " 5", "5 ", "5\n", "\u0661", "\uff15", "\u00bd"),
        *("1" * 41, "9" * 5000),
    ],
)
def test_a_text_that_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        parse_amount(text, KES, MAXIMUM)
    assert refused.value.field == "amount"
    assert refused.value.code == "invalid_amount"


@pytest.mark.parametrize("value", [5, 5.0, None, True, b"5", ["5"], Fraction(5)])
def test_what_is_not_a_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidAmount):
        parse_amount(value, KES, MAXIMUM)


@pytest.mark.parametrize(
    ("text", "currency", "message"),
    [
        ("1.001", KES, "KES has 2 decimals"),
        ("1.5", UGX, "UGX has 0 decimals"),
        ("0", KES, "must be above zero"),
        ("0.00", KES, "must be above zero"),
        ("1000000.01", KES, "must be at most 1000000.00"),
    ],
)
def test_an_amount_outside_the_rules_is_refused_and_says_why(
    text: str, currency: Currency, message: str
) -> None:
    with pytest.raises(InvalidAmount, match=message) as refused:
        parse_amount(text, currency, MAXIMUM, field="plan.total")
    assert refused.value.field == "plan.total"


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (150_000, KES, "1500.00"),
        (5, KES, "0.05"),
        (0, KES, "0.00"),
        (-11_500, KES, "-115.00"),
        (-5, KES, "-0.05"),
        (1500, UGX, "1500"),
        (1, TND, "0.001"),
    ],
)
def test_an_amount_is_written_with_its_currencys_decimals(
    minor: int, currency: Currency, text: str
) -> None:
    assert format_minor(minor, currency) == text


@given(st.integers(min_value=1, max_value=MAXIMUM), st.sampled_from([KES, UGX, TND]))
def test_what_is_written_is_read_back_unchanged(minor: int, currency: Currency) -> None:
    assert parse_amount(format_minor(minor, currency), currency, MAXIMUM) == minor


@given(st.text(max_size=60))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    with suppress(InvalidAmount):
        assert 0 < parse_amount(text, KES, MAXIMUM) <= MAXIMUM


@pytest.mark.parametrize(
    ("minor", "text"),
    [
        (Fraction(500), "5.00"),
        (Fraction(1, 2), "0.005"),
        (Fraction(-1, 8), "-0.00125"),
        (Fraction(1, 3), "1/300"),
        (Fraction(0), "0.00"),
    ],
)
def test_a_carry_is_written_exactly_and_never_rounded(minor: Fraction, text: str) -> None:
    assert format_exact(minor, KES) == text


@pytest.mark.parametrize(
    ("text", "minor", "written"),
    [
        ("25", Fraction(2500), "25.00"),
        ("25.125", Fraction(5025, 2), "25.125"),
        ("0.000001", Fraction(1, 10_000), "0.000001"),
        ("25.12500000", Fraction(5025, 2), "25.125"),
    ],
)
def test_a_price_may_have_more_decimals_than_the_currency(
    text: str, minor: Fraction, written: str
) -> None:
    assert parse_price(text, KES) == minor
    assert format_price(minor, KES) == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.0000001", "at most 6 decimals"),
        ("0", "above zero"),
        ("-1", "decimal string"),
        (25, "decimal string"),
    ],
)
def test_a_price_outside_the_rules_is_refused(text: object, message: str) -> None:
    with pytest.raises(InvalidAmount, match=message) as refused:
        parse_price(text, KES)
    assert refused.value.field == "price_per_kwh"


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (Fraction(11, 2), "5.5"),
        (Fraction(7), "7"),
        (Fraction(70), "70"),
        (Fraction(0), "0"),
        (Fraction(1, 1000), "0.001"),
        (Fraction(1, 3), "1/3"),
    ],
)
def test_units_are_written_without_needless_zeros(units: Fraction, text: str) -> None:
    assert format_units(units) == text


@given(st.fractions())
def test_a_fraction_is_read_back_as_it_was_written(number: Fraction) -> None:
    assert parse_fraction(fraction_text(number)) == number


def test_fractions_are_written_in_the_shortest_way() -> None:
    assert fraction_text(Fraction(2, 4)) == "1/2"
    assert fraction_text(Fraction(0)) == "0"


@pytest.mark.parametrize("text", ["", "1/0", "1/-2", "0.5", "1e3", " 1", "1/2/3", "\u00bd", "1\n"])
def test_a_text_that_is_no_fraction_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a fraction"):
        parse_fraction(text)
