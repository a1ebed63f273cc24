"""Times, sizes and concurrency hold what infra/limits.py derives."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.services.find_missing import SPARE
from infra import limits
from infra.package import ROOT

Template = dict[str, Any]

CONFIG = json.loads((ROOT / ".chalice/config.json").read_text())["lambda_functions"]
LOGICAL_IDS = {
    "api_handler": "APIHandler",
    "settle": "Settle",
    "vend": "Vend",
    "send_messages": "SendMessages",
    "call_provider": "CallProvider",
    "move": "Move",
    "sweep": "Sweep",
    "reconcile": "Reconcile",
    "check_manufacturer": "CheckManufacturer",
    "sync_tariffs": "SyncTariffs",
}
QUEUES = {
    "settle": "PaymentsQueue",
    "vend": "VendsQueue",
    "send_messages": "MessagesQueue",
    "call_provider": "ProviderCallsQueue",
    "move": "MovesQueue",
}


def properties(template: Template, function: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][LOGICAL_IDS[function]]["Properties"]
    return found


def event_source(template: Template, worker: str) -> dict[str, Any]:
    (source,) = properties(template, worker)["Events"].values()
    found: dict[str, Any] = source["Properties"]
    return found


def test_every_function_has_its_limits() -> None:
    assert set(limits.timeout_seconds_min()) == set(CONFIG) == set(LOGICAL_IDS)
    assert set(limits.BATCHES) == set(QUEUES)


@pytest.mark.parametrize("function", CONFIG)
def test_each_has_the_time_that_its_calls_may_take(template: Template, function: str) -> None:
    timeout = properties(template, function)["Timeout"]
    assert timeout == CONFIG[function]["lambda_timeout"]
    assert timeout >= limits.timeout_seconds_min()[function]


@pytest.mark.parametrize("function", CONFIG)
def test_each_has_the_memory_to_import_its_code(template: Template, function: str) -> None:
    assert properties(template, function)["MemorySize"] >= limits.MEMORY_MB_MIN


def test_the_api_ends_before_the_gateway_gives_up(template: Template) -> None:
    assert properties(template, "api_handler")["Timeout"] <= limits.GATEWAY_SECONDS


@pytest.mark.parametrize("worker", limits.taken_up_seconds())
def test_a_worker_that_has_just_started_takes_up_any_call(worker: str) -> None:
    assert CONFIG[worker]["lambda_timeout"] > limits.taken_up_seconds()[worker]


def test_a_page_of_a_list_is_asked_for_only_if_there_is_time_for_it() -> None:
    assert SPARE.total_seconds() >= limits.longest_page_seconds() + limits.DYNAMODB_SECONDS


@pytest.mark.parametrize("worker", QUEUES)
def test_a_message_stays_hidden_as_long_as_its_worker_may_need(
    template: Template, worker: str
) -> None:
    hidden = template["Resources"][QUEUES[worker]]["Properties"]["VisibilityTimeout"]
    assert hidden >= limits.visibility_seconds_min(CONFIG[worker]["lambda_timeout"])
    assert hidden <= 12 * 60 * 60  # what SQS allows


@pytest.mark.parametrize("worker", QUEUES)
def test_batches_and_concurrency_are_the_designed_ones(template: Template, worker: str) -> None:
    source = event_source(template, worker)
    assert source["BatchSize"] == limits.BATCHES[worker]
    bound = source.get("ScalingConfig", {}).get("MaximumConcurrency")
    assert bound == limits.MAXIMUM_CONCURRENCY.get(worker)
    assert bound is None or 2 <= bound <= 1000  # what SQS mappings allow


def test_vendors_never_take_the_concurrency_that_payments_need() -> None:
    assert limits.concurrency_left() >= limits.ACCOUNT_CONCURRENCY / 2


@pytest.mark.parametrize("function", CONFIG)
def test_nothing_is_reserved(template: Template, function: str) -> None:
    """A mapping that may run more than its function has reserved is throttled, and throttled
    messages end as dead letters. The mapping's own bound does it without."""
    assert "ReservedConcurrentExecutions" not in properties(template, function)
