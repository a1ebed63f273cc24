"""The bill follows from what is counted and from the template, and the docs say the same."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from infra.cost import capacity, counted, pages, prices
from infra.cost.bill import Bill
from infra.cost.template import FREE, PRICED, Built, metrics_counted
from tests.integration import counting

Template = dict[str, Any]


@pytest.fixture
def asked() -> prices.Prices:
    """The prices."""
    return prices.load()


def line(bill: Bill, what: str) -> Any:
    """The one line whose name starts so."""
    (found,) = [each for each in bill.lines if each.what.startswith(what)]
    return found


def test_what_payments_take_is_what_was_counted_last() -> None:
    """If this fails, what a payment takes has changed: see whether that was meant, `make cost`."""
    now, then = counting.count(), counted.load()
    assert _log_bytes(now) == pytest.approx(_log_bytes(then), rel=0.25)
    assert now == then


def _log_bytes(counts: dict[str, Any]) -> dict[str, int]:
    """The bytes of the log by case and function, taken out: words in the log may change."""
    cases = {name: case["functions"] for name, case in counts["payments"].items()}
    places = {"schedules": counts["schedules"], **cases}
    for taken in (taken for functions in places.values() for taken in functions.values()):
        del taken["log_lines"]
    return {
        f"{place} {function}": taken.pop("log_bytes")
        for place, functions in places.items()
        for function, taken in functions.items()
    }


def test_counts_agree_with_the_budget() -> None:
    for case, without_sms in {"local": 8, "debt": 8, "remote": 10, "told_after": 10}.items():
        functions = counted.load()["payments"][case]["functions"]
        sms = functions["send_messages"]["write_units"]
        assert sum(each["write_units"] for each in functions.values()) == without_sms + sms
        assert "vend" in functions or case in ("local", "debt")


def test_every_type_of_resource_is_in_the_bill_or_known_to_cost_nothing(template: Template) -> None:
    assert Built(template).types - PRICED - FREE == set()
    assert not PRICED & FREE


@pytest.mark.parametrize(
    ("like", "line_of", "each"),
    [
        ("AWS::SecretsManager::Secret", "secrets (", "0.40"),
        ("AWS::CloudWatch::Alarm", "alarms (", "0.10"),
        ("AWS::CloudWatch::Dashboard", "dashboards (", "3.00"),
        ("AWS::KMS::Key", "keys (", "1.00"),
        ("AWS::CloudWatch::CompositeAlarm", "alarms (", "0.50"),
    ],
)
def test_one_more_of_what_is_paid_by_the_month_is_on_the_bill(
    template: Template, asked: prices.Prices, like: str, line_of: str, each: str
) -> None:
    more = copy.deepcopy(template)
    more["Resources"]["OneMore"] = {"Type": like, "Properties": {}}
    before, after = (
        line(Bill("local", counted.load(), Built(which), asked), line_of).a_month
        for which in (template, more)
    )
    assert after - before == Decimal(each)


def test_an_alarm_on_two_metrics_is_paid_twice(template: Template) -> None:
    more = copy.deepcopy(template)
    metrics = [{"Id": "a", "MetricStat": {}}, {"Id": "b", "MetricStat": {}}, {"Id": "c"}]
    more["Resources"]["Both"] = {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {"Metrics": metrics},
    }
    assert Built(more).metrics_watched == Built(template).metrics_watched + 2


def test_tracing_and_access_logs_are_paid_where_they_are_on(
    template: Template, asked: prices.Prices
) -> None:
    def sums(traced: bool, access_log: bool) -> Decimal:
        made = copy.deepcopy(template)
        api = made["Resources"]["RestAPI"]["Properties"]
        api["TracingEnabled"] = traced
        api.pop("AccessLogSetting", None)
        if access_log:
            api["AccessLogSetting"] = {"Format": "x" * 100}
        return Bill("local", counted.load(), Built(made), asked).at(10**6)

    assert sums(True, False) - sums(False, False) == Decimal("0.25")
    assert sums(False, True) > sums(False, False)


def test_a_bill_of_made_up_counts_can_be_worked_out_by_hand(
    template: Template, asked: prices.Prices
) -> None:
    nothing = {
        "invocations": 1,
        "dynamodb_requests": 0,
        "write_units": 0,
        "read_half_units": 0,
        "sqs_messages": 0,
        "manufacturer_calls": 0,
        "log_bytes": 0,
    }
    functions = {
        "api_handler": {**nothing, "write_units": 3, "read_half_units": 4, "dynamodb_requests": 5},
        "settle": {**nothing, "write_units": 5, "sqs_messages": 1},
    }
    made_up = {
        "payments": {"local": {"stored_bytes": 2**30, "functions": functions}},
        "schedules": counted.load()["schedules"],
    }
    bill = Bill("local", made_up, Built(template), asked)
    assert line(bill, "DynamoDB writes").at(10**6) == 5  # 8 units at 0.625
    assert line(bill, "DynamoDB reads").at(10**6) == Decimal("0.25")  # 2 units at 0.125
    assert line(bill, "API Gateway").at(10**6) == Decimal("3.50")
    assert line(bill, "Lambda requests").at(10**6) == Decimal("0.40")
    assert line(bill, "SQS, FIFO").at(10**6) == Decimal("1.50")  # sent, received, deleted
    assert line(bill, "SQS, standard").at(10**6) == 0
    assert line(bill, "storage").a_payment == 12 * Decimal("0.45")  # a GB a month, for a year
    scanned = 365 * asked.of("dynamodb_read_unit", Decimal(2**30) / 8192)
    assert line(bill, "closing").a_payment == pytest.approx(scanned)
    assert bill.seconds("api_handler") == Decimal("0.040")  # 5 requests of 6 ms, and 10 ms
    assert bill.seconds("settle") == Decimal("0.020")
    gb_seconds = Decimal("0.060") * 1  # both have 1,024 MB
    assert line(bill, "Lambda time").a_payment == asked.of("lambda_gb_second", gb_seconds)
    assert bill.floor * 10**6 == Decimal("2.625")


def test_every_bill_is_the_sum_of_its_lines_and_grows_with_payments(
    template: Template, asked: prices.Prices
) -> None:
    for case in counted.load()["payments"]:
        bill = Bill(case, counted.load(), Built(template), asked)
        assert bill.at(10) == sum(each.a_month + 10 * each.a_payment for each in bill.lines)
        assert bill.at(0) < bill.at(1)
        assert all(each.a_month >= 0 and each.a_payment >= 0 for each in bill.lines)


def test_metrics_are_found_in_the_code_with_whether_they_are_split() -> None:
    found = metrics_counted()
    assert found["VendMilliseconds"] is True
    assert found["SweepFailures"] is False


def test_limits_follow_the_template(template: Template, asked: prices.Prices) -> None:
    def per_second(which: Template) -> dict[str, Decimal]:
        found = capacity.limits("remote", counted.load(), Built(which), asked)
        assert found == sorted(found, key=lambda limit: limit.per_second)
        return {limit.what: limit.per_second for limit in found}

    wider = copy.deepcopy(template)
    (settings,) = wider["Resources"]["RestAPI"]["Properties"]["MethodSettings"]
    settings["ThrottlingRateLimit"] *= 3
    source = wider["Resources"]["Vend"]["Properties"]["Events"]["VendSqsEventSource"]
    source["Properties"]["ScalingConfig"]["MaximumConcurrency"] *= 2
    del wider["Resources"]["PaymentsQueue"]["Properties"]["FifoThroughputLimit"]
    before, after = per_second(template), per_second(wider)
    assert after["API throttle"] == 3 * before["API throttle"]
    assert after["vends at once"] == 2 * before["vends at once"]
    assert after["queue of payments"] == 300 < before["queue of payments"]


def test_the_page_is_what_the_template_and_the_counts_say(template: Template) -> None:
    """If this fails: `make cost`, and read whether the words around the tables are still true."""
    assert pages.PAGE.read_text(encoding="utf-8") == pages.page(Built(template))
