"""What bounds how many payments a second an installation takes, the narrowest first.

Each limit is worked out from the template's own settings, from what was counted, or from AWS's
limits in ``limits.yaml``, with the times that ``prices.yaml`` assumes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from chalicelib.services.reconcile import PASS_EVERY
from chalicelib.services.sweep import OPEN_SHARDS, PAYMENTS_PER_SHARD_MAX
from infra.cost.bill import Bill
from infra.cost.prices import Prices
from infra.cost.template import Built

FILE = Path(__file__).with_name("limits.yaml")
RATES = (1, 10, 100, 1000)
"""Payments a second for which the table says what holds and what does not."""

OPEN_UNITS = 2
"""A payment comes into the index of open payments once and leaves it once."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that takes at most so many payments a second, and what to change then."""

    what: str
    per_second: Decimal
    follows_from: str
    change: str

    def holds_at(self, rate: int) -> bool:
        """Whether so many payments a second are within it."""
        return rate <= self.per_second


def limits(case: str, counted: Mapping[str, Any], built: Built, prices: Prices) -> list[Limit]:
    """All limits for payments that all come in one way, the narrowest first."""
    aws = {name: limit["value"] for name, limit in _aws().items()}
    bill = Bill(case, counted, built, prices)
    functions: Mapping[str, Mapping[str, int]] = counted["payments"][case]["functions"]
    found = [
        *_ours(bill, counted, functions, built, prices),
        *_of_aws(bill, functions, built, aws),
    ]
    return sorted(found, key=lambda limit: limit.per_second)


def _ours(
    bill: Bill,
    counted: Mapping[str, Any],
    functions: Mapping[str, Mapping[str, int]],
    built: Built,
    prices: Prices,
) -> Iterator[Limit]:
    requests = functions["api_handler"]["invocations"]
    yield Limit(
        "API throttle",
        Decimal(built.requests_a_second_max) / requests,
        f"{built.requests_a_second_max} requests a second, {requests} per payment",
        "`ThrottlingRateLimit` in infra/resources.yaml",
    )
    at_once = built.concurrency_max("vend")
    if "vend" in functions and at_once is not None:
        yield Limit(
            "vends at once",
            at_once / bill.seconds("vend"),
            f"{at_once} at once, {bill.seconds('vend'):.1f} seconds each",
            "`maximum_concurrency` of `vend` in app.py, if the manufacturers can take more",
        )
    taken = counted["schedules"]["proof_of_three_payments"]["dynamodb_requests"]
    each = taken * prices.milliseconds("dynamodb_request") / 1000
    customers = Decimal(int(PASS_EVERY.total_seconds())) / each
    a_month = prices.assume("payments_per_customer_a_month")
    seconds = prices.assume("hours_a_month") * 3600
    yield Limit(
        "proof of the books",
        customers * a_month / seconds,
        f"one worker, {taken} requests for each customer, all of them in"
        f" {PASS_EVERY.total_seconds() / 3600:.0f} hours: {customers:,.0f} customers",
        "`PASS_EVERY` in services/reconcile.py; then parts of the list side by side (code)",
    )
    (sweep,) = [s.every_minutes for s in built.schedules if s.function == "sweep"]
    yield Limit(
        "sweeper, after an outage",
        Decimal(OPEN_SHARDS * PAYMENTS_PER_SHARD_MAX) / (sweep * 60),
        f"{OPEN_SHARDS} shards, {PAYMENTS_PER_SHARD_MAX} payments of each every {sweep} min",
        "`PAYMENTS_PER_SHARD_MAX` in services/sweep.py. Bounds only how fast lost messages are"
        " made up for",
    )


def _of_aws(
    bill: Bill,
    functions: Mapping[str, Mapping[str, int]],
    built: Built,
    aws: Mapping[str, int],
) -> Iterator[Limit]:
    busy = sum((bill.seconds(name) for name in functions), Decimal(0))
    yield Limit(
        "Lambda, all functions at once",
        aws["lambda_concurrency"] / busy,
        f"{aws['lambda_concurrency']:,} at once, {busy:.1f} seconds per payment",
        "ask AWS for more concurrent executions",
    )
    units = sum(taken["write_units"] for taken in functions.values())
    for which, name, change in (
        ("a new table", "dynamodb_table_start_units", "`WarmThroughput` of the payments table"),
        ("a table", "dynamodb_table_units", "ask AWS for more write units per table"),
    ):
        yield Limit(
            f"DynamoDB, {which}",
            Decimal(aws[name]) / units,
            f"{aws[name]:,} write units a second, {units} per payment, as if all in one table",
            change,
        )
    partition = aws["dynamodb_partition_units"]
    yield Limit(
        "index of open payments",
        Decimal(OPEN_SHARDS * partition) / OPEN_UNITS,
        f"{OPEN_SHARDS} shards of {partition:,} write units a second, {OPEN_UNITS} per payment",
        "`OPEN_SHARDS` in services/sweep.py: more only, never fewer",
    )
    high = built.fifo_has_high_throughput
    calls = aws["fifo_calls_high_throughput" if high else "fifo_calls"]
    yield Limit(
        "queue of payments",
        Decimal(calls),
        f"{calls:,} calls a second of each kind, {'with' if high else 'without'} high throughput",
        "ask AWS for more, or another Region",
    )


def _aws() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["limits"]
    return found
