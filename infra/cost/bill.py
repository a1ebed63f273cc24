"""What an installation costs: what was counted, at list prices.

A line has a part that is due every month, whatever is paid, and a part per payment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from infra.cost.prices import Prices
from infra.cost.template import Built, metrics_counted

GB = Decimal(2**30)
SCANNED_BYTES_A_UNIT = 2 * 4096
MONTHS_A_YEAR = 12
DAYS_A_MONTH = Decimal(365) / 12
FLOORS = {"local": (4, 1), "debt": (4, 1)}
FLOOR_REMOTE = (5, 1)
"""Write and read units below which no payment can be kept: two items that change together, and,
where a manufacturer makes the token, a third write when it is known."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the bill, in dollars."""

    what: str
    a_month: Decimal = Decimal(0)
    a_payment: Decimal = Decimal(0)

    def at(self, payments: int) -> Decimal:
        """What it comes to in a month with so many payments."""
        return self.a_month + self.a_payment * payments


class Bill:
    """The bill of an installation whose payments all come in one way."""

    def __init__(self, case: str, counted: Mapping[str, Any], built: Built, prices: Prices) -> None:
        self._case = case
        self._counted = counted
        self._payment = counted["payments"][case]
        self._functions: Mapping[str, Mapping[str, int]] = self._payment["functions"]
        self._built = built
        self._prices = prices

    @cached_property
    def lines(self) -> list[Line]:
        """All lines, those of payments first, the dearest on top."""
        lines = [*self._of_payments(), *self._of_months()]
        return sorted(lines, key=lambda line: (-line.a_payment, -line.a_month))

    def at(self, payments: int) -> Decimal:
        """The sum in a month with so many payments."""
        return sum((line.at(payments) for line in self.lines), Decimal(0))

    @property
    def floor(self) -> Decimal:
        """What DynamoDB would ask for a payment if nothing but the money had to be kept."""
        writes, reads = FLOORS.get(self._case, FLOOR_REMOTE)
        of = self._prices.of
        return of("dynamodb_write_unit", writes) + of("dynamodb_read_unit", reads)

    def seconds(self, function: str) -> Decimal:
        """About how long a function works for a payment: counted round trips, at assumed times."""
        return self._milliseconds(function, self._functions[function]) / 1000

    # --- what a payment costs -----------------------------------------------------------------

    def _of_payments(self) -> Iterator[Line]:
        of, total = self._prices.of, self._total
        invocations = total("invocations")
        yield Line("DynamoDB writes", a_payment=of("dynamodb_write_unit", total("write_units")))
        yield Line(
            "DynamoDB reads",
            a_payment=of("dynamodb_read_unit", Decimal(total("read_half_units")) / 2),
        )
        yield Line("storage and its backup, after a year", a_payment=self._stored())
        yield Line(
            "API Gateway",
            a_payment=of("api_request", self._functions["api_handler"]["invocations"]),
        )
        yield Line("Lambda requests", a_payment=of("lambda_request", invocations))
        yield Line("Lambda time", a_payment=self._time(self._functions))
        settled = self._functions["settle"]["invocations"]
        yield Line("SQS, FIFO", a_payment=of("sqs_fifo_request", self._calls(settled)))
        others = invocations - settled - self._functions["api_handler"]["invocations"]
        yield Line("SQS, standard", a_payment=of("sqs_standard_request", self._calls(others)))
        yield Line("logs", a_payment=self._logged())
        if self._built.is_traced:
            yield Line("X-Ray", a_payment=of("trace", self._prices.assume("traces_sampled")))
        sent = self._prices.assume("internet_bytes_per_payment") / GB
        yield Line("data to the internet", a_payment=of("internet_gb_out", sent))
        yield Line("proof of the books, after a year", a_payment=self._proved())
        yield Line("closing of each day, after a year", a_payment=self._closed())

    def _total(self, what: str) -> int:
        return sum(function[what] for function in self._functions.values())

    def _stored(self) -> Decimal:
        """A month of all that a year has left behind, per payment of a month."""
        stored = Decimal(self._payment["stored_bytes"]) * MONTHS_A_YEAR / GB
        of = self._prices.of
        return of("dynamodb_gb_month", stored) + of("dynamodb_backup_gb_month", stored)

    def _calls(self, messages: int) -> Decimal:
        """Each message is sent, and received and deleted with its batch."""
        return messages * (1 + 2 / self._prices.assume("messages_per_batch"))

    def _logged(self) -> Decimal:
        own = self._total("log_bytes") + self._total("invocations") * self._prices.assume(
            "lambda_log_bytes_per_invocation"
        )
        requests = self._functions["api_handler"]["invocations"]
        gb = (own + requests * self._built.access_log_bytes) / GB
        kept = gb * self._built.log_days / DAYS_A_MONTH
        return self._prices.of("log_gb", gb) + self._prices.of("log_gb_month", kept)

    def _time(self, functions: Mapping[str, Mapping[str, int]]) -> Decimal:
        gb_seconds = (
            self._built.memory_gb(name) * self._milliseconds(name, taken) / 1000
            for name, taken in functions.items()
        )
        return self._prices.of("lambda_gb_second", sum(gb_seconds, Decimal(0)))

    def _milliseconds(self, name: str, taken: Mapping[str, int]) -> Decimal:
        of = self._prices.milliseconds
        gateway_calls = taken["invocations"] if name == "send_messages" else 0
        return (
            taken["invocations"] * of("processor_per_invocation")
            + taken["dynamodb_requests"] * of("dynamodb_request")
            + taken["sqs_messages"] * of("sqs_request")
            + taken["manufacturer_calls"] * of("manufacturer_call")
            + gateway_calls * of("sms_gateway_call")
        )

    def _proved(self) -> Decimal:
        """Every day all payments of every customer are read. Per payment of a month."""
        schedules, half = self._counted["schedules"], Decimal("0.5")
        of_three = schedules["proof_of_three_payments"]["read_half_units"] * half
        of_eight = schedules["proof_of_eight_payments"]["read_half_units"] * half
        each = (of_eight - of_three) / 5
        own = of_three - 3 * each
        a_month = self._prices.assume("payments_per_customer_a_month")
        reads = own / a_month + each * MONTHS_A_YEAR
        return self._prices.of("dynamodb_read_unit", reads * DAYS_A_MONTH)

    def _closed(self) -> Decimal:
        """Every night all payments are scanned, at half price: at most all that is stored."""
        each = Decimal(self._payment["stored_bytes"]) / SCANNED_BYTES_A_UNIT
        return self._prices.of("dynamodb_read_unit", each * MONTHS_A_YEAR * DAYS_A_MONTH)

    # --- what a month costs -------------------------------------------------------------------

    def _of_months(self) -> Iterator[Line]:
        of, count = self._prices.of, self._built.count
        secrets, tables = count("AWS::SecretsManager::Secret"), self._built.tables_with_keys
        composite = count("AWS::CloudWatch::CompositeAlarm")
        yield Line(f"secrets ({secrets})", of("secret_month", secrets))
        yield Line("secrets, read", of("secret_request", self._reads_of("secrets_per_environment")))
        yield Line(
            f"alarms ({count('AWS::CloudWatch::Alarm') + composite})",
            of("alarm_month", self._built.metrics_watched) + of("composite_alarm_month", composite),
        )
        dashboards = count("AWS::CloudWatch::Dashboard")
        yield Line(f"dashboards ({dashboards})", of("dashboard_month", dashboards))
        series = self._series()
        yield Line(f"metrics of our own ({series})", of("metric_month", series))
        keys = count("AWS::KMS::Key")
        yield Line(f"keys ({keys})", of("key_month", keys))
        yield Line(f"keys of tables ({tables}), asked", of("key_request", self._reads(tables)))
        yield Line("queues, asked while empty", self._polls())
        for schedule in self._built.schedules:
            yield Line(f"{schedule.function}, with nothing to do", self._idle(schedule.function))
        yield Line("staff", of("staff_month", self._prices.assume("staff")))

    def _series(self) -> int:
        split = int(self._prices.assume("series_per_metric"))
        return sum(1 + (split if is_split else 0) for is_split in metrics_counted().values())

    @property
    def _hours(self) -> Decimal:
        return self._prices.assume("hours_a_month")

    def _reads_of(self, what: str) -> Decimal:
        return self._reads(self._prices.assume(what))

    def _reads(self, things: Decimal | int) -> Decimal:
        """How often all warm processes together read so many things that they keep for a while."""
        times = self._hours * 3600 / self._prices.assume("kept_seconds")
        return things * self._prices.assume("warm_environments") * times

    def _polls(self) -> Decimal:
        each = self._prices.assume("pollers_per_queue") * self._hours * 3600
        each /= self._prices.assume("poll_seconds")
        fifo = self._built.polled_queues(fifo=True)
        standard = self._built.polled_queues(fifo=False)
        of = self._prices.of
        return of("sqs_fifo_request", fifo * each) + of("sqs_standard_request", standard * each)

    def _idle(self, function: str) -> Decimal:
        """What a function costs a month that runs by the clock, with nothing to do."""
        (every,) = [s.every_minutes for s in self._built.schedules if s.function == function]
        taken, of = self._counted["schedules"][function], self._prices.of
        log_bytes = taken["log_bytes"] + self._prices.assume("lambda_log_bytes_per_invocation")
        once = (
            of("lambda_request", 1)
            + self._time({function: taken})
            + of("dynamodb_write_unit", taken["write_units"])
            + of("dynamodb_read_unit", Decimal(taken["read_half_units"]) / 2)
            + of("log_gb", log_bytes / GB)
        )
        return once * self._hours * 60 / every
