"""A simulated OpenPAYGO device: what a customer types a token into.

It knows its key and what was typed in so far, and nothing of the server: its counter moves only
with the tokens that it accepts. So it tells what a real device would make of a token.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from openpaygo import TokenType, decode_token

FACTORY_COUNT = 1


class Outcome(StrEnum):
    """What the device shows after a token."""

    DAYS_ADDED = "days added"
    DAYS_SET = "days set"
    COUNT_SET = "count set"
    UNLOCKED = "unlocked for good"
    USED_BEFORE = "refused, it was used before"
    WRONG = "wrong token"


@dataclass
class SimulatedDevice:
    """One device, fresh from the factory.

    ``days`` is the time it was given altogether: since it was last set, where it was.
    """

    serial_number: str
    secret_key: str = field(default_factory=lambda: secrets.token_hex(16))
    starting_code: int = field(default_factory=lambda: 1 + secrets.randbelow(999_999_999))
    value_divider: int = 1
    restricted_digits: bool = False
    extended_tokens: bool = False
    days: int = 0
    unlocked: bool = False
    _count: int = FACTORY_COUNT
    _used_counts: list[int] = field(default_factory=lambda: [FACTORY_COUNT])

    @property
    def technical(self) -> dict[str, Any]:
        """What its maker tells the company that sells it."""
        return {
            "secret_key": self.secret_key,
            "starting_code": self.starting_code,
            "value_divider": self.value_divider,
            "restricted_digits": self.restricted_digits,
            "extended_tokens": self.extended_tokens,
            "count": FACTORY_COUNT,
        }

    def type_in(self, token: str) -> Outcome:
        """Type a token in; spaces do not matter."""
        try:
            value, kind, count, used_counts = decode_token(
                token=token.replace(" ", ""),
                secret_key=self.secret_key,
                count=self._count,
                used_counts=self._used_counts,
                starting_code=self.starting_code,
                value_divider=self.value_divider,
                restricted_digit_set=self.restricted_digits,
            )
        except UnboundLocalError:  # how the library tells an extended token that is wrong
            return Outcome.WRONG
        if kind == TokenType.ALREADY_USED:
            return Outcome.USED_BEFORE
        if kind == TokenType.INVALID:
            return Outcome.WRONG
        self._count = max(self._count, count)
        self._used_counts = used_counts or [self._count]
        if kind == TokenType.DISABLE_PAYG:
            self.unlocked = True
            return Outcome.UNLOCKED
        if kind == TokenType.COUNTER_SYNC:
            return Outcome.COUNT_SET
        if kind == TokenType.SET_TIME:
            self.days, self.unlocked = int(value), False
            return Outcome.DAYS_SET
        self.days += int(value)
        return Outcome.DAYS_ADDED
