"""Reading amounts, units, numbers and parts of short lists."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.api.amounts import Amounts, read_units
from chalicelib.api.parts import part_of
from chalicelib.api.reading import read_query, whole_number
from chalicelib.channels.interface import FieldErrors
from chalicelib.domain.errors import FieldError, InvalidAmount
from chalicelib.services.ports import Settings

AMOUNTS = Amounts(Settings())


def test_an_amount_is_read_into_minor_units() -> None:
    assert AMOUNTS.read("1500.50", "total") == 150_050


@pytest.mark.parametrize("text", ["0", "0.00", "000", None])
def test_what_may_be_left_out_may_be_zero(text: str | None) -> None:
    assert AMOUNTS.read_or_zero(text, "down_payment") == 0


@pytest.mark.parametrize("text", ["-0", "0.0.0", "", " ", "0e5", 0, False])
def test_what_only_looks_like_zero_is_no_amount(text: object) -> None:
    with pytest.raises(InvalidAmount) as wrong:
        AMOUNTS.read_or_zero(text, "down_payment")
    assert (wrong.value.field, wrong.value.code) == ("down_payment", "invalid_amount")


@pytest.mark.parametrize("text", ["0", "0.00"])
def test_an_amount_that_says_how_much_each_is_above_zero_or_not_there(text: str) -> None:
    assert AMOUNTS.read_if_given(None, "instalment_amount") is None
    with pytest.raises(InvalidAmount):
        AMOUNTS.read_if_given(text, "instalment_amount")


def test_a_price_may_be_finer_than_the_currency() -> None:
    assert AMOUNTS.read_price("25.125", "price_per_kwh") == Fraction(5025, 2)


@pytest.mark.parametrize(("text", "units"), [("5.5", Fraction(11, 2)), ("7", Fraction(7))])
def test_units_are_read_exactly(text: str, units: Fraction) -> None:
    assert read_units(text, "units") == units


@pytest.mark.parametrize("text", ["", "0", "0.0", "-1", "1e3", "1,5", "٣", "1/2", "1" * 10])
def test_what_are_no_units_is_refused(text: str) -> None:
    with pytest.raises(FieldError):
        read_units(text, "units")


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("7", 7), ("007", 7), ("9" * 15, 10**15 - 1)]
)
def test_whole_numbers_are_read(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "x", "٣", "1 ", "9" * 16])
def test_what_is_no_whole_number_is_none(text: str) -> None:
    assert whole_number(text) is None


def test_a_query_gives_each_value_once_and_short() -> None:
    assert read_query(None) == {}
    assert read_query({"a": ["1"], "cursor": ["x" * 1000]}) == {"a": "1", "cursor": "x" * 1000}
    for wrong in ({"a": ["1", "2"]}, {"a": ["x" * 151]}, {"cursor": ["x" * 1001]}):
        with pytest.raises(FieldErrors):
            read_query(wrong)


@given(st.sets(st.integers(0, 10**6)), st.integers(1, 7))
def test_the_parts_of_a_list_make_the_whole_list(numbers: set[int], limit: int) -> None:
    found, cursor = [], None
    while True:
        page = part_of(tuple(numbers), limit, cursor, lambda number: number)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next
        if cursor is None:
            break
    assert found == sorted(numbers)
