"""Metrics in CloudWatch's embedded metric format."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from chalicelib.runtime.metrics import Metrics, unit_of


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    [line] = capsys.readouterr().out.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_a_count_is_one_series_by_its_dimensions_and_one_over_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Metrics("test").count("Vended", 3, manufacturer="calin", kind="energy")
    line = printed(capsys)
    stamp = line.pop("_aws")
    assert line == {"manufacturer": "calin", "kind": "energy", "Vended": 3}
    assert abs(stamp["Timestamp"] / 1000 - time.time()) < 60
    assert stamp["CloudWatchMetrics"] == [
        {
            "Namespace": "test",
            "Dimensions": [["kind", "manufacturer"], []],
            "Metrics": [{"Name": "Vended", "Unit": "Count"}],
        }
    ]


def test_a_metric_without_dimensions_is_one_series(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics("test").count("Accepted")
    line = printed(capsys)
    assert line["Accepted"] == 1
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]


def test_a_duration_says_its_unit(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics("test").count("VendMilliseconds", 250, manufacturer="calin")
    [declared] = printed(capsys)["_aws"]["CloudWatchMetrics"]
    assert declared["Metrics"] == [{"Name": "VendMilliseconds", "Unit": "Milliseconds"}]


def test_a_gauge_is_one_series_and_is_told_when_it_is_nought(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Metrics("test").gauge("HeldPayments", 0)
    line = printed(capsys)
    assert line["HeldPayments"] == 0
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]
    Metrics("test").gauge("HeldPayments", 2, reason="stuck")
    [declared] = printed(capsys)["_aws"]["CloudWatchMetrics"]
    assert declared["Dimensions"] == [["reason"]], "not over all: its parts are no sum"


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("OldestOpenSeconds", "Seconds"),
        ("VendMilliseconds", "Milliseconds"),
        ("AcceptedAmount", "None"),
        ("Accepted", "Count"),
    ],
)
def test_the_end_of_a_name_says_the_unit(metric: str, unit: str) -> None:
    assert unit_of(metric) == unit
