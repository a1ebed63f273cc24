"""Rounding down to steps, splitting over tokens, sharing money."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.units import share_by_cost, share_in_proportion, split_units, whole_steps

TENTH = Fraction(1, 10)


def test_units_are_rounded_down_to_the_step() -> None:
    assert whole_steps(Fraction(1259, 1000), TENTH) == Fraction(12, 10)
    assert whole_steps(Fraction(5), Fraction(5)) == 5
    assert whole_steps(Fraction(499, 100), Fraction(5)) == 0


@pytest.mark.parametrize(
    ("units", "units_max", "tokens"),
    [
        ("5.55", None, ["5.5"]),
        ("0.09", None, []),
        ("5", "5", ["5"]),
        ("5.1", "5", ["5", "0.1"]),
        ("12", "5", ["5", "5", "2"]),
        ("25", "5", ["5"] * 5),
        ("99", "5", ["5"] * 5),
        ("3", "1.25", ["1.2", "1.2", "0.6"]),
        ("3", "0.05", []),
    ],
)
def test_units_are_split_over_at_most_five_tokens_largest_first(
    units: str, units_max: str | None, tokens: list[str]
) -> None:
    largest = None if units_max is None else Fraction(units_max)
    assert split_units(Fraction(units), TENTH, largest, 5) == tuple(map(Fraction, tokens))


@pytest.mark.parametrize(
    ("amount", "costs", "shares"),
    [
        (100, ["100"], (100,)),
        (1000, ["400.5", "400.5", "99"], (400, 400, 200)),
        (150, ["100", "100"], (100, 50)),
        (10, ["100", "100"], (10, 0)),
        (7, [], (7,)),
    ],
)
def test_money_is_shared_by_cost_and_the_last_takes_the_rest(
    amount: int, costs: list[str], shares: tuple[int, ...]
) -> None:
    assert share_by_cost(amount, [Fraction(cost) for cost in costs]) == shares


def test_money_is_shared_in_proportion_to_the_units() -> None:
    assert share_in_proportion(100, [Fraction(3), Fraction(3), Fraction(1)]) == (42, 42, 16)


@given(
    st.integers(min_value=0, max_value=10**9),
    st.lists(st.fractions(min_value=0, max_value=10**9), max_size=5),
)
def test_shares_add_up_and_none_is_negative(amount: int, costs: list[Fraction]) -> None:
    shares = share_by_cost(amount, costs)
    assert sum(shares) == amount
    assert min(shares) >= 0
