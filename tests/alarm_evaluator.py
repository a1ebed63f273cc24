"""Evaluates alarms as CloudWatch documents it, over metrics that functions really printed.

The emulator reads no metrics out of logs, and looks at no dimensions in alarms. So this takes an
alarm as the template has it, and samples: those in lines in the embedded metric format, or ones
made by hand for the metrics that AWS keeps.

What it knows of CloudWatch (user guide: "Alarm evaluation", "Configuring how CloudWatch alarms
treat missing data", "Using metric math"): a series is a name with exactly one set of dimensions;
an alarm looks back a little further than its evaluation periods, and takes the latest points that
are there; what is missing then is filled in as ``TreatMissingData`` says.
"""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Alarm = Mapping[str, Any]
Points = list[float | None]
"""A value for each period, the oldest first; ``None`` where there is none."""

NAMESPACE = "${AWS::StackName}"
"""That of our own metrics, as the template writes it: what is tested has no stack."""

MORE_PERIODS = 2
"""How much further than its evaluation periods an alarm looks back, in the guide's examples."""

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"


@dataclass(frozen=True)
class Sample:
    """One value of one series, at a time in seconds."""

    namespace: str
    metric: str
    value: float
    at: float
    dimensions: frozenset[tuple[str, str]] = frozenset()


def samples_in(lines: Iterable[str]) -> Iterator[Sample]:
    """The samples in lines of a log. A line that is not in the embedded metric format has none."""
    for line in lines:
        try:
            content = json.loads(line)
        except ValueError:
            continue
        told = content.get("_aws") if isinstance(content, dict) else None
        for declared in told["CloudWatchMetrics"] if told else ():
            for names in declared["Dimensions"]:
                dimensions = frozenset((name, content[name]) for name in names)
                for metric in declared["Metrics"]:
                    yield Sample(
                        declared["Namespace"],
                        metric["Name"],
                        content[metric["Name"]],
                        told["Timestamp"] / 1000,
                        dimensions,
                    )


def series_of(alarm: Alarm) -> list[tuple[str, str, frozenset[tuple[str, str]]]]:
    """The series that an alarm looks at: namespace, metric, dimensions."""
    if "Metrics" not in alarm:
        return [_series(alarm)]
    stats = (part["MetricStat"]["Metric"] for part in alarm["Metrics"] if "MetricStat" in part)
    return [_series(metric) for metric in stats]


def _series(metric: Mapping[str, Any]) -> tuple[str, str, frozenset[tuple[str, str]]]:
    namespace = metric["Namespace"]
    if namespace == {"Ref": "AWS::StackName"}:
        namespace = NAMESPACE
    return namespace, metric["MetricName"], _dimensions(metric)


def evaluate(alarm: Alarm, samples: Iterable[Sample], now: float, before: str = OK) -> str:
    """The state of the alarm at ``now``, which was ``before`` until then."""
    at_hand = list(samples)
    periods = int(alarm["EvaluationPeriods"])
    points = _points(alarm, at_hand, now, periods + MORE_PERIODS)
    compare = _COMPARISONS[alarm["ComparisonOperator"]]
    breaching = [
        None if point is None else compare(point, float(alarm["Threshold"])) for point in points
    ]
    return state_of(
        breaching,
        periods,
        int(alarm.get("DatapointsToAlarm", periods)),
        alarm.get("TreatMissingData", "missing"),
        before,
    )


def state_of(
    breaching: Sequence[bool | None], periods: int, to_alarm: int, missing: str, before: str
) -> str:
    """The state that these points give, the latest last; ``None`` is a missing one."""
    there = [point for point in breaching if point is not None][-periods:]
    lacking = periods - len(there)
    if missing == "breaching":
        return ALARM if sum(there) + lacking >= to_alarm else OK
    if missing == "notBreaching" or lacking == 0:
        return ALARM if sum(there) >= to_alarm else OK
    if not there:
        return before if missing == "ignore" else INSUFFICIENT_DATA
    if all(there):  # nothing contradicts it, though there is too little to be sure
        return before if missing == "ignore" else ALARM
    return ALARM if sum(there) >= to_alarm else OK


# --- points ---------------------------------------------------------------------------------------


def _points(alarm: Alarm, samples: list[Sample], now: float, count: int) -> Points:
    if "Metrics" not in alarm:
        statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        return _aggregated(alarm, alarm["Period"], statistic, samples, now, count)
    known: dict[str, Points] = {}
    expressions: dict[str, str] = {}
    for part in alarm["Metrics"]:
        if "MetricStat" in part:
            stat = part["MetricStat"]
            known[part["Id"]] = _aggregated(
                stat["Metric"], stat["Period"], stat["Stat"], samples, now, count
            )
        else:
            expressions[part["Id"]] = part["Expression"]
    (returned,) = (part["Id"] for part in alarm["Metrics"] if part.get("ReturnData", True))
    while returned not in known:  # an expression may name others
        name = next(
            name
            for name, text in expressions.items()
            if name not in known and not _names_in(text) & {*expressions} - {*known}
        )
        known[name] = _Math(known, count).of(expressions[name])
    return known[returned]


def _names_in(expression: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(expression)) if isinstance(node, ast.Name)}


def _aggregated(
    metric: Mapping[str, Any],
    period: int,
    statistic: str,
    samples: list[Sample],
    now: float,
    count: int,
) -> Points:
    wanted = _series(metric)
    values: list[list[float]] = [[] for _ in range(count)]
    for sample in samples:
        ago = int((now - sample.at) // period)
        if (sample.namespace, sample.metric, sample.dimensions) == wanted and 0 <= ago < count:
            values[count - 1 - ago].append(sample.value)
    return [_statistic(statistic, found) if found else None for found in values]


def _statistic(name: str, values: list[float]) -> float:
    if name.startswith("p"):
        return _percentile(float(name[1:]), sorted(values))
    return _STATISTICS[name](values)


def _percentile(percent: float, values: list[float]) -> float:
    place = percent / 100 * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def _dimensions(metric: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset(
        (dimension["Name"], json.dumps(value) if isinstance(value, dict) else value)
        for dimension in metric.get("Dimensions", ())
        for value in [dimension["Value"]]
    )


_STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Sum": sum,
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: sum(values) / len(values),
    "SampleCount": len,
}

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


# --- metric math ----------------------------------------------------------------------------------


class _Math:
    """As much of metric math as alarms here use. Its expressions happen to be Python's too.

    An operation has a result only in the periods in which all that it needs is there; SUM adds up
    what is there.
    """

    def __init__(self, known: Mapping[str, Points], count: int) -> None:
        self._known = known
        self._count = count

    def of(self, expression: str) -> Points:
        """The value of an expression in each period."""
        tree = ast.parse(expression, mode="eval").body
        return [self._value(tree, period) for period in range(self._count)]

    def _value(self, node: ast.expr, period: int) -> float | None:
        if isinstance(node, ast.Constant):
            return float(str(node.value))
        if isinstance(node, ast.Name):
            return self._known[node.id][period]
        if isinstance(node, ast.BinOp):
            return self._operation(_OPERATORS[type(node.op)], node.left, node.right, period)
        if isinstance(node, ast.Compare):
            ((compare,), (right,)) = (node.ops, node.comparators)
            return self._operation(_OPERATORS[type(compare)], node.left, right, period)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._call(node.func.id, node.args, period)
        raise NotImplementedError(ast.dump(node))

    def _operation(
        self,
        operation: Callable[[float, float], float],
        left: ast.expr,
        right: ast.expr,
        period: int,
    ) -> float | None:
        one, other = self._value(left, period), self._value(right, period)
        return None if one is None or other is None else float(operation(one, other))

    def _call(self, name: str, arguments: list[ast.expr], period: int) -> float | None:
        if name == "IF":
            condition, then, otherwise = arguments
            holds = self._value(condition, period)
            return None if holds is None else self._value(then if holds else otherwise, period)
        if name == "SUM" and isinstance(arguments[0], ast.List):
            values = [self._value(item, period) for item in arguments[0].elts]
            there = [value for value in values if value is not None]
            return sum(there) if there else None
        raise NotImplementedError(name)


_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}
