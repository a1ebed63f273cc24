"""The tables of cost and capacity, as a page of ``docs`` and as text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from infra.cost import capacity, counted, prices
from infra.cost.bill import Bill
from infra.cost.capacity import RATES
from infra.cost.template import Built
from infra.package import ROOT

PAGE = ROOT / "docs" / "cost.md"
MONTHS = (10_000, 100_000, 1_000_000, 20_000_000)
MILLION = 1_000_000
CASE = "remote"
"""The way that a payment comes in the tables that show one only: the dearest of the ordinary."""

Table = tuple[str, list[Sequence[str]]]


def tables(built: Built) -> Iterator[Table]:
    """Each table with its name, the first row its head."""
    taken, asked = counted.load(), prices.load()
    bills = {case: Bill(case, taken, built, asked) for case in taken["payments"]}
    yield "a-million", list(_per_million(bills, taken))
    yield "lines", list(_lines(bills[CASE]))
    yield "months", list(_months(bills))
    yield "capacity", list(_capacity(built))


def _per_million(bills: dict[str, Bill], taken: dict[str, Any]) -> Iterator[Sequence[str]]:
    yield (
        "a payment by the",
        "write units",
        "read units",
        "requests",
        "$ per million",
        "of it DynamoDB",
        "floor",
    )
    for case, bill in bills.items():
        about = taken["payments"][case]
        functions = about["functions"].values()
        sums = {
            what: sum(each[what] for each in functions)
            for what in ("write_units", "read_half_units", "dynamodb_requests")
        }
        units = [line for line in bill.lines if line.what in ("DynamoDB writes", "DynamoDB reads")]
        yield (
            about["about"],
            str(sums["write_units"]),
            f"{Decimal(sums['read_half_units']) / 2:g}",
            str(sums["dynamodb_requests"]),
            _dollars(sum((line.a_payment for line in bill.lines), Decimal(0)) * MILLION),
            _dollars(sum((line.a_payment for line in units), Decimal(0)) * MILLION),
            _dollars(bill.floor * MILLION),
        )


def _lines(bill: Bill) -> Iterator[Sequence[str]]:
    yield ("line", "$ a month", "$ per million", *(f"at {n:,}" for n in MONTHS))
    for line in bill.lines:
        if line.a_month or line.a_payment:
            yield (
                line.what,
                _dollars(line.a_month) if line.a_month else "",
                _dollars(line.a_payment * MILLION) if line.a_payment else "",
                *(_dollars(line.at(n)) for n in MONTHS),
            )


def _months(bills: dict[str, Bill]) -> Iterator[Sequence[str]]:
    yield ("payments a month", *bills)
    for payments in (0, *MONTHS):
        yield (f"{payments:,}", *(_dollars(bill.at(payments)) for bill in bills.values()))
    shares = (bill.at(MILLION) / MILLION * 100 for bill in bills.values())
    yield ("cents per payment, at a million", *(f"{share:.3f}" for share in shares))


def _capacity(built: Built) -> Iterator[Sequence[str]]:
    yield ("limit", "payments a second", "follows from", *(f"{r:,}/s" for r in RATES), "change")
    for limit in capacity.limits(CASE, counted.load(), built, prices.load()):
        yield (
            limit.what,
            f"{limit.per_second:,.0f}",
            limit.follows_from,
            *("yes" if limit.holds_at(rate) else "**no**" for rate in RATES),
            limit.change,
        )


def _dollars(amount: Decimal) -> str:
    return f"{amount:,.2f}"


# --- as a page, and as text --------------------------------------------------------------------


def page(built: Built) -> str:
    """The page with its tables made anew, whatever stood in them."""
    text = PAGE.read_text(encoding="utf-8")
    for name, rows in tables(built):
        head, *body = rows
        lines = [head, ("---",) * len(head), *body]
        table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
        between = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, found = re.subn(between, lambda m: m[1] + table + m[2], text, flags=re.DOTALL)  # noqa: B023
        if found != 1:
            raise ValueError(f"{PAGE.name} has no place for the table {name}")
    return text


def write(built: Built) -> None:
    """Write the tables of the page anew."""
    PAGE.write_text(page(built), encoding="utf-8")


def text(built: Built) -> str:
    """All tables for a terminal."""
    asked = prices.load()
    parts = [f"List prices of {asked.as_of}, {asked.region}, in US dollars, without free tiers."]
    parts += [f"{name.replace('-', ' ')}\n{_aligned(rows)}" for name, rows in tables(built)]
    unchecked = ", ".join(sorted(asked.unchecked))
    return "\n\n".join([*parts, f"Not compared with AWS's pages: {unchecked}."])


def _aligned(rows: list[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 or not cell[:1].isdigit() else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
