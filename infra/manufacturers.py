"""Writes the table of all manufacturers, from what their modules state about themselves.

``python -m infra.manufacturers`` writes ``docs/manufacturers/README.md``; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module

from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.money import format_units
from chalicelib.services.ports import Manufacturer
from chalicelib.wiring import MANUFACTURERS
from infra.package import ROOT

PAGE = ROOT / "docs/manufacturers/README.md"

_BEGINNING = """\
# Manufacturers

Written from the modules by `make manufacturers`: change them, not this page. What each recovery
class means is in [the architecture](../architecture.md).

"""
_END = """
There is no module for [Kelin](kelin.md), whose interface is discontinued.
"""
_COLUMNS = ("key", "kind", "authentication", "brings", "sells", "actions", "class", "unverified")
_UNITS = {VendKind.ENERGY: "kWh", VendKind.TIME: "days"}


def table() -> str:
    """The whole page."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_cells, _manufacturers())]
    return _BEGINNING + "".join(f"| {' | '.join(row)} |\n" for row in rows) + _END


def _manufacturers() -> Iterator[tuple[str, Manufacturer]]:
    """Each manufacturer, with the name of its module."""
    for path in MANUFACTURERS:
        for stated in import_module(path).MANUFACTURERS:
            yield path.rpartition(".")[2], stated


def _cells(named: tuple[str, Manufacturer]) -> tuple[str, ...]:
    module, stated = named
    sold = (_sold(kind, stated.rules[kind]) for kind in _UNITS if kind in stated.rules)
    return (
        f"[{stated.key}]({module}.md)",
        stated.kind.value,
        stated.authentication,
        "nothing to type" if stated.remote else "a token",
        "; ".join(sold),
        ", ".join(kind.replace("_", " ") for kind in stated.rules if kind not in _UNITS) or "–",
        "demo" if stated.demo else stated.recovery.value,
        "; ".join(stated.unverified) or "–",
    )


def _sold(kind: VendKind, rules: VendRules) -> str:
    """What it sells of a kind: unit, step, limit."""
    unit = _UNITS[kind]
    if rules.money_step_minor is not None:
        return f"money, read as {unit}"
    step = f"in steps of {format_units(rules.step)}" if rules.step != Fraction(1) else "whole"
    limit = "" if rules.units_max is None else f", {format_units(rules.units_max)} at most"
    return f"{unit}, {step}{limit}"


if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")
