"""Units (kWh or days) and shares of money: rounding down, and splitting without loss."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def whole_steps(units: Fraction, step: Fraction) -> Fraction:
    """``units`` rounded down to a multiple of ``step``."""
    return units // step * step


def split_units(
    units: Fraction, step: Fraction, units_max: Fraction | None, tokens_max: int
) -> tuple[Fraction, ...]:
    """How ``units`` are shared out over tokens, largest first: multiples of ``step``.

    Each token has at most ``units_max`` and there are at most ``tokens_max``, so the tokens may
    add up to less than ``units``; what they leave is for the caller to carry. No token is empty.
    """
    units = whole_steps(units, step)
    largest = units if units_max is None else whole_steps(units_max, step)
    tokens: list[Fraction] = []
    while units > 0 and largest > 0 and len(tokens) < tokens_max:
        tokens.append(min(units, largest))
        units -= tokens[-1]
    return tuple(tokens)


def share_by_cost(amount_minor: int, costs: Sequence[Fraction]) -> tuple[int, ...]:
    """Share whole minor units over what they bought: each its cost rounded down, the last the rest.

    No share is negative and together they are ``amount_minor``, also where a carry paid for a
    part of the costs.
    """
    shares: list[int] = []
    left = amount_minor
    for cost in costs[:-1]:
        shares.append(min(int(cost), left))
        left -= shares[-1]
    return (*shares, left)


def share_in_proportion(amount_minor: int, units: Sequence[Fraction]) -> tuple[int, ...]:
    """Share whole minor units in proportion to ``units``, rounded down, the last takes the rest."""
    total = sum(units, Fraction(0))
    return share_by_cost(amount_minor, [amount_minor * part / total for part in units])
