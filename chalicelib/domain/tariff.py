"""Tariffs: a price per kWh and, optionally, an access rate, with their history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class AccessRate:
    """A subscription fee of ``amount_minor`` every ``period_days`` days. Both are above zero."""

    amount_minor: int
    period_days: int


@dataclass(frozen=True, slots=True)
class Rate:
    """What a tariff says from ``effective_from`` (UTC) until its next rate.

    ``price_minor`` is the price of one kWh in minor units; it may be a fraction of one.
    """

    effective_from: datetime
    price_minor: Fraction
    access_rate: AccessRate | None = None
    minimum_purchase_minor: int = 0


@dataclass(frozen=True, slots=True)
class Tariff:
    """A named history of rates, oldest first and never empty."""

    tariff_id: int
    name: str
    rates: tuple[Rate, ...]

    def rate_at(self, moment: datetime) -> Rate:
        """The rate in force at ``moment``. The first one also covers the time before it."""
        in_force = self.rates[0]
        for rate in self.rates[1:]:
            if rate.effective_from > moment:
                break
            in_force = rate
        return in_force
