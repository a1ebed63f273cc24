"""What many controls of providers take."""

from __future__ import annotations

from infra.local.fakes.reading import Field, just, numeral, optional

_NUMERAL = numeral(2)

AMOUNT = Field(
    f"{_NUMERAL.must_be}, or the same as a text",
    lambda value: type(value) in (int, float, str) and _NUMERAL.accepts(str(value)),
)
"""An amount that is really paid, in whole units of the currency."""

NOTIFY = optional(just(True, False))
"""Whether the company is told: it is, where nothing is said."""

TIMES = optional(Field("a whole number from 1", lambda value: type(value) is int and value >= 1))
"""How often the company is told the same: once, where nothing is said."""
