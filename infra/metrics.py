"""What the functions count: the one list of all metrics of ours, for docs, dashboards and alarms.

``python -m infra.metrics`` writes the table of ``docs/metrics-and-logs.md``; tests compare the
list with the code, and with what the functions print.
"""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.runtime.metrics import unit_of
from infra.package import ROOT

PAGE = ROOT / "docs/metrics-and-logs.md"
BEGIN, END = "<!-- metrics: written by `make metrics` -->\n", "<!-- end of metrics -->\n"
DOLLARS_PER_SERIES = 0.30
"""A month, for the first 10,000 (CloudWatch price list, eu-west-1); by the hour in which it is
written to."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    ``dimensions`` are those by which it is split, beside the series over all. A ``gauge`` says how
    much there is now, and is told when there is nothing too. ``by`` are the functions that print
    it, ``series`` how many of it a company has that uses three channels and two manufacturers.
    """

    name: str
    meaning: str
    by: tuple[str, ...]
    dimensions: tuple[str, ...] = ()
    gauge: bool = False
    series: int = 1

    @property
    def unit(self) -> str:
        """CloudWatch's unit."""
        return unit_of(self.name)


_IN = ("api", "call-provider", "move")
_ANY = ("api", "settle", "vend", "call-provider", "move", "sweep")

METRICS = (
    # --- money in
    Metric("Accepted", "payments whose money has moved", _IN, ("channel",), series=4),
    Metric("AcceptedAmount", "their money, in major units", _IN, ("channel",), series=4),
    Metric(
        "Refused",
        "payments that were refused before money moved",
        _IN,
        ("channel", "reason"),
        series=9,
    ),
    Metric(
        "AcceptedAfterRefusal",
        "money that moved although we had said no",
        _IN,
        ("channel",),
        series=2,
    ),
    Metric("Started", "checkouts and pushes that were begun", ("api",), ("channel",), series=3),
    Metric(
        "CheckoutsFailed",
        "checkouts that the provider did not start",
        ("api",),
        ("channel", "reason"),
        series=3,
    ),
    Metric(
        "Expired", "checkouts that nobody paid", ("api", "call-provider"), ("channel",), series=3
    ),
    Metric(
        "Reserved", "sums that a provider holds until our result", ("api",), ("channel",), series=2
    ),
    Metric(
        "ResultsLate",
        "results not taken for ten minutes",
        ("call-provider",),
        ("channel",),
        series=2,
    ),
    Metric("Duplicates", "reports of a payment that is known", _IN, ("channel",), series=4),
    Metric("ReferenceConflicts", "references used for two payments", _IN, ("channel",), series=2),
    Metric(
        "ReversedByProvider",
        "payments that a provider gave back by itself",
        ("api", "call-provider"),
        ("channel",),
        series=2,
    ),
    Metric(
        "FoundByList",
        "payments that only a list or statement told of",
        ("call-provider", "move"),
        ("channel",),
        series=2,
    ),
    Metric(
        "ListsNotRead",
        "lists that a provider did not give",
        ("call-provider",),
        ("channel",),
        series=2,
    ),
    Metric(
        "StatementDifferences",
        "rows of a statement that differ from ours",
        ("move",),
        ("channel",),
        series=2,
    ),
    Metric(
        "ReportsFailed",
        "reports that could not be taken as they are",
        ("api",),
        ("channel", "reason"),
        series=3,
    ),
    Metric(
        "CallersRefused",
        "callers turned away at a channel",
        ("api",),
        ("channel", "reason"),
        series=4,
    ),
    Metric("SmsIgnored", "forwarded SMS that tell of no payment", ("api",), ("channel",), series=2),
    # --- what becomes of it
    Metric("Settled", "payments that were split and booked", ("settle",), ("channel",), series=4),
    Metric("Vends", "answers about vends", ("vend",), ("manufacturer", "outcome"), series=7),
    Metric(
        "VendFailures",
        "of each answer 1 where it is a refusal or leaves it uncertain, else 0",
        ("vend",),
        ("manufacturer",),
        series=3,
    ),
    Metric(
        "VendMilliseconds",
        "how long a call to a manufacturer took",
        ("vend",),
        ("manufacturer",),
        series=3,
    ),
    Metric(
        "LateAnswers",
        "answers to vends that a person had resolved",
        ("vend",),
        ("manufacturer",),
        series=2,
    ),
    Metric(
        "CircuitsOpened",
        "times that a manufacturer was left alone",
        ("vend",),
        ("manufacturer",),
        series=2,
    ),
    Metric(
        "SwitchesOverdue",
        "looks at devices that run past their time",
        ("vend",),
        ("manufacturer",),
        series=2,
    ),
    Metric("Held", "payments that begin to wait for a person", _ANY, ("reason",), series=6),
    Metric(
        "RefundsDue",
        "payments that will go back by themselves",
        ("settle",),
        ("channel", "reason"),
        series=4,
    ),
    Metric(
        "Refunds",
        "answers about refunds",
        ("api", "call-provider"),
        ("channel", "outcome"),
        series=4,
    ),
    Metric(
        "LateRefundAnswers",
        "refunds that went through after they were given up",
        ("call-provider",),
        ("channel",),
        series=2,
    ),
    Metric("RefundNewsUnplaced", "news of refunds that we do not know", ("api",)),
    Metric("MessagesSent", "SMS that the gateway took", ("send-messages",)),
    Metric("MessagesFailed", "tries to send an SMS that failed", ("send-messages",)),
    # --- how things stand
    Metric("OpenPayments", "payments that wait for this system now", ("sweep",), gauge=True),
    Metric("OldestOpenSeconds", "for how long the oldest of them waits", ("sweep",), gauge=True),
    Metric(
        "HeldPayments",
        "payments that wait for a person now",
        ("sweep",),
        ("reason",),
        gauge=True,
        series=5,
    ),
    Metric("OldestHeldSeconds", "for how long the oldest of them waits", ("sweep",), gauge=True),
    Metric("Swept", "open payments that one run of the sweeper looked at", ("sweep",), gauge=True),
    Metric("Paused", "channels and manufacturers that are paused now", ("sweep",), gauge=True),
    Metric("SweepFailures", "open payments that could not be looked at", ("sweep",)),
    Metric("BooksChecked", "customers whose books one pass has proved", ("reconcile",), gauge=True),
    Metric("BooksDifferences", "what is wrong with them", ("reconcile", "move"), gauge=True),
    Metric("BooksClosed", "days whose report for finance was made", ("move",)),
    # --- the rest
    Metric("Registrations", "devices registered", ("api", "move"), ("kind",), series=4),
    Metric(
        "FieldRegistrations", "registrations from the field app", ("api",), ("status",), series=4
    ),
    Metric("FailedLogIns", "wrong passwords", ("api",)),
    Metric(
        "MessagesCrashed",
        "messages in which a worker met a bug",
        ("settle", "vend", "send-messages", "call-provider", "move"),
        ("function", "version"),
        series=2,
    ),
    Metric("RequestsFailed", "requests answered with 500 or 503", ("api",), ("code",), series=3),
)


def dollars_per_month(metrics: tuple[Metric, ...] = METRICS) -> float:
    """What the series of a company cost if each is written to in every hour of a month."""
    return sum(metric.series for metric in metrics) * DOLLARS_PER_SERIES


def table() -> str:
    """The table of the page."""
    rows = [
        "| metric | unit | split by | meaning | printed by | series |",
        "|---|---|---|---|---|---|",
        *map(_row, METRICS),
    ]
    return "".join(f"{row}\n" for row in rows)


def _row(metric: Metric) -> str:
    gauge = " (a gauge)" if metric.gauge else ""
    cells = (
        f"`{metric.name}`",
        metric.unit,
        ", ".join(metric.dimensions) or "–",
        metric.meaning + gauge,
        ", ".join(metric.by),
        str(metric.series),
    )
    return f"| {' | '.join(cells)} |"


def with_table(page: str) -> str:
    """The page with the table as it is now."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
