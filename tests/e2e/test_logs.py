"""The logs: one payment of each kind is followed through all functions, by its id alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from infra.local.client import Cloud, wait_for
from tests.alarm_evaluator import samples_in
from tests.e2e.company import Company, serial, unique
from tests.e2e.lambdas import invoke

Line = dict[str, Any]


def messages_of(cloud: Cloud, function: str) -> list[str]:
    """All that the function has written."""
    logs, name = cloud.aws("logs"), cloud.stack["functions"][function]
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
    return [event["message"].strip() for page in pages for event in page["events"]]


def lines_about(cloud: Cloud, payment_id: str) -> list[Line]:
    """The lines about a payment, of all functions, in the order in which they were written."""
    found = [
        json.loads(message)
        for function in ("api", "settle", "vend", "call_provider", "send_messages", "sweep")
        for message in messages_of(cloud, function)
        if message.startswith("{")
    ]
    about = [line for line in found if line.get("payment_id") == payment_id and "event" in line]
    return sorted(about, key=lambda line: str(line["at"]))


def steps(lines: list[Line]) -> list[tuple[str | None, str]]:
    """From which status to which, one for each line that says so."""
    return [(line["from_status"], line["to_status"]) for line in lines if "to_status" in line]


def by_meter(company: Company) -> str:
    return str(company.pay_for("100", company.meter())["payment_id"])


def by_shs(company: Company) -> str:
    return str(company.pay_for("700", company.shs())["payment_id"])


@pytest.mark.parametrize(
    ("pay", "expected", "functions"),
    [
        (by_meter, [(None, "received"), ("received", "vending"), ("vending", "completed")],
         {"api", "settle", "vend", "send_messages"}),
        (by_shs, [(None, "received"), ("received", "completed")],
         {"api", "settle", "send_messages"}),
    ],
    ids=["a remote token", "a token computed here"],
)  # fmt: skip
def test_a_payment_is_followed_from_the_report_to_the_sms(
    cloud: Cloud,
    company: Company,
    pay: Callable[[Company], str],
    expected: list[tuple[str | None, str]],
    functions: set[str],
) -> None:
    payment_id = pay(company)
    cloud.wait_for_message(payment_id, 1)

    lines = wait_for(
        lambda: lines_about(cloud, payment_id),
        lambda found: any(line["event"] == "message_sent" for line in found),
        "the line about the SMS",
    )
    assert steps(lines) == expected
    names = {cloud.stack["functions"][function] for function in functions}
    assert {line["function"] for line in lines} == names
    assert all(line["request_id"] and line["invocation_id"] for line in lines)
    (request,) = (line for line in lines if line.get("method") == "POST")
    accepted = next(line for line in lines if line["event"] == "payment_received")
    assert accepted["request_id"] == request["request_id"]


def test_a_refused_payment_has_one_line_with_its_reason(cloud: Cloud) -> None:
    reference = unique("ref-")
    answer = cloud.partner.pay(serial(), "100.00", reference)
    lines = lines_about(cloud, cloud.partner.payment_id(reference))
    refused = [line for line in lines if line["event"] == "payment_refused"]
    assert [line["reason"] for line in refused] == ["unknown_device"]
    assert refused[0]["request_id"] == answer.headers["X-Request-Id"]
    assert steps(lines) == [(None, "refused")]


def test_the_sweeper_tells_how_payments_stand_and_when_it_ran(cloud: Cloud) -> None:
    invoke(cloud, "sweep")
    told = {sample.metric for sample in samples_in(messages_of(cloud, "sweep"))}
    assert {"Swept", "OpenPayments", "OldestOpenSeconds", "HeldPayments"} <= told
