"""What AWS asks, from ``prices.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("prices.yaml")


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices in dollars per piece, and what is assumed where nothing can be counted."""

    as_of: str
    region: str
    each: dict[str, Decimal]
    unchecked: frozenset[str]
    assumed: dict[str, Any]

    def of(self, what: str, pieces: Decimal | int) -> Decimal:
        """What so many pieces cost, in dollars."""
        return self.each[what] * pieces

    def milliseconds(self, of: str) -> Decimal:
        """How long a thing is assumed to take."""
        return Decimal(self.assumed["milliseconds"][of])

    def assume(self, what: str) -> Decimal:
        """An assumed number."""
        return Decimal(self.assumed[what])


def load() -> Prices:
    """The prices as the file has them."""
    found = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    prices = found["prices"]
    return Prices(
        as_of=str(found["as_of"]),
        region=found["region"],
        each={name: Decimal(p["dollars"]) / p["per"] for name, p in prices.items()},
        unchecked=frozenset(name for name, p in prices.items() if not p["checked"]),
        assumed=found["assumptions"],
    )
