"""The evaluator of alarms does what the CloudWatch user guide says of each case."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.alarm_evaluator import (
    ALARM,
    INSUFFICIENT_DATA,
    OK,
    Sample,
    evaluate,
    samples_in,
    state_of,
)

RETAIN = "as it was"
POINT = {"0": False, "X": True, "-": None}
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")

# The two tables of "How alarm state is evaluated when data is missing": points, and the state for
# each treatment of what is missing. 0 is within the threshold, X beyond it, - is missing.
THREE_OF_THREE = {
    "0-X-X": (OK, OK, OK, OK),
    "----0": (OK, OK, OK, OK),
    "-----": (INSUFFICIENT_DATA, RETAIN, ALARM, OK),
    "0XX-X": (ALARM, ALARM, ALARM, ALARM),
    "--X--": (ALARM, RETAIN, ALARM, OK),
}
TWO_OF_THREE = {
    "0-X-X": (ALARM, ALARM, ALARM, ALARM),
    "00X0X": (ALARM, ALARM, ALARM, ALARM),
    "0-X--": (OK, OK, ALARM, OK),
    "----0": (OK, OK, ALARM, OK),
    "----X": (ALARM, RETAIN, ALARM, OK),
}


@pytest.mark.parametrize(
    ("points", "to_alarm", "treatment", "state"),
    [
        (points, to_alarm, treatment, state)
        for to_alarm, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE))
        for points, states in table.items()
        for treatment, state in zip(TREATMENTS, states, strict=True)
    ],
)
def test_missing_points_count_as_the_guide_says(
    points: str, to_alarm: int, treatment: str, state: str
) -> None:
    breaching = [POINT[point] for point in points]
    found = state_of(breaching, 3, to_alarm, treatment, RETAIN)
    assert found == state


def sample(value: float, at: float = 990, metric: str = "M", **dimensions: str) -> Sample:
    return Sample("N", metric, value, at, frozenset(dimensions.items()))


def alarm(**changes: Any) -> dict[str, Any]:
    return {
        "Namespace": "N",
        "MetricName": "M",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": 5,
        "TreatMissingData": "notBreaching",
        **changes,
    }


@pytest.mark.parametrize(
    ("statistic", "value"),
    [("Sum", 16), ("Maximum", 9), ("Minimum", 1), ("Average", 4), ("SampleCount", 4), ("p50", 3),
     ("p100", 9), ("p75", 4.5)],
)  # fmt: skip
def test_each_statistic_is_its_own(statistic: str, value: float) -> None:
    samples = [sample(v) for v in (3, 1, 9, 3)]
    exactly = alarm(Statistic=statistic, Threshold=value)
    assert evaluate(exactly, samples, now=1000) == ALARM
    assert evaluate({**exactly, "Threshold": value + 0.01}, samples, now=1000) == OK


@pytest.mark.parametrize(
    ("comparison", "rings_at"),
    [
        ("GreaterThanOrEqualToThreshold", {5, 6}),
        ("GreaterThanThreshold", {6}),
        ("LessThanThreshold", {4}),
        ("LessThanOrEqualToThreshold", {4, 5}),
    ],
)
def test_each_comparison_is_its_own(comparison: str, rings_at: set[int]) -> None:
    compared = alarm(ComparisonOperator=comparison)
    rings = {v for v in (4, 5, 6) if evaluate(compared, [sample(v)], now=1000) == ALARM}
    assert rings == rings_at


def test_a_series_has_exactly_its_dimensions() -> None:
    of_one = [sample(9, manufacturer="calin")]
    assert evaluate(alarm(), of_one, now=1000) == OK
    by = alarm(Dimensions=[{"Name": "manufacturer", "Value": "calin"}])
    assert evaluate(by, of_one, now=1000) == ALARM
    assert evaluate(by, [sample(9)], now=1000) == OK
    assert evaluate(by, [sample(9, manufacturer="calin", outcome="done")], now=1000) == OK


def test_what_was_in_another_period_is_not_added() -> None:
    samples = [sample(3, at=990), sample(3, at=930)]
    assert evaluate(alarm(), samples, now=1000) == OK
    assert evaluate(alarm(Period=120), samples, now=1000) == ALARM


def test_so_many_points_of_so_many_must_breach() -> None:
    samples = [sample(9, at=990), sample(1, at=930), sample(9, at=870)]
    assert evaluate(alarm(EvaluationPeriods=3), samples, now=1000) == OK
    assert evaluate(alarm(EvaluationPeriods=3, DatapointsToAlarm=2), samples, now=1000) == ALARM


def math(expression: str) -> dict[str, Any]:
    def part(name: str, metric: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": "N", "MetricName": metric}, "Period": 60, "Stat": "Sum"}
        return {"Id": name, "MetricStat": stat, "ReturnData": False}

    result = {"Id": "r", "Expression": expression, "ReturnData": True}
    plain = alarm(Metrics=[result, part("a", "A"), part("b", "B")])
    return {k: v for k, v in plain.items() if k not in ("Namespace", "MetricName", "Statistic")}


@pytest.mark.parametrize(
    ("expression", "a", "b", "state"),
    [
        ("a + b", 2, 3, ALARM),
        ("a + b", 9, None, INSUFFICIENT_DATA),
        ("SUM([a, b])", 9, None, ALARM),
        ("SUM([a, b])", None, None, INSUFFICIENT_DATA),
        ("SUM([a, b * 0])", None, 9, OK),
        ("a - b", 9, 4, ALARM),
        ("a * 2 / b", 10, 4, ALARM),
        ("IF(a >= 5, b, 0)", 5, 9, ALARM),
        ("IF(a >= 5, b, 0)", 4, 9, OK),
        ("IF(a >= 5, b, 0)", None, 9, INSUFFICIENT_DATA),
        ("IF(a < 5, 9, 0)", 4, None, ALARM),
    ],
)
def test_metric_math_needs_all_its_parts_but_sums_those_that_are_there(
    expression: str, a: float | None, b: float | None, state: str
) -> None:
    given = {"A": a, "B": b}
    samples = [sample(v, metric=name) for name, v in given.items() if v is not None]
    calculated = {**math(expression), "TreatMissingData": "missing"}
    assert evaluate(calculated, samples, now=1000) == state


def test_an_expression_that_is_not_known_here_is_not_guessed() -> None:
    with pytest.raises(NotImplementedError):
        evaluate(math("RATE(a)"), [], now=1000)
    with pytest.raises(NotImplementedError):
        evaluate(math("-a"), [], now=1000)


def test_a_metric_alone_can_be_what_is_returned() -> None:
    parts = math("a + b")
    returned = [{**part, "ReturnData": part["Id"] == "a"} for part in parts["Metrics"]]
    assert evaluate({**parts, "Metrics": returned}, [sample(9, metric="A")], now=1000) == ALARM


def test_a_line_in_the_embedded_metric_format_is_a_sample_of_each_of_its_series() -> None:
    declared = {
        "Namespace": "N",
        "Dimensions": [["manufacturer"], []],
        "Metrics": [{"Name": "M", "Unit": "Count"}],
    }
    told = {"Timestamp": 990_000, "CloudWatchMetrics": [declared]}
    line = json.dumps({"_aws": told, "manufacturer": "calin", "payment_id": "p", "M": 2})
    found = list(samples_in([line, "no JSON", '{"event": "x"}', "[1]"]))
    assert found == [sample(2, manufacturer="calin"), sample(2)]
