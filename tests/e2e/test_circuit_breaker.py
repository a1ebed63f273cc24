"""One vendor is dead: the customers of another do not wait for it, and its own lose nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import pytest

from infra.local.client import Cloud, now, wait_for
from tests.e2e.company import Company, Household, unique
from tests.e2e.lambdas import invoke
from tests.e2e.tables import (
    NothingThere,
    circuit_of,
    rewrite_moment,
    rewrite_open_until,
    vends_of,
)

DEAD, HEALTHY = "calin", "calin_smart"
CUSTOMERS = 15
"""So many of each vendor pay, in turns."""
AT_ONCE = 5
TIMES_BEFORE = 2
ISSUED_BEFORE = TIMES_BEFORE + 1
"""Tokens of each customer of the dead one: the silent one issues too, and does not say so."""
SECONDS_OF_SILENCE = 20
"""So long a worker waits for an answer."""
SECONDS_KEPT = 5
"""So long a worker may believe what it has last read of a circuit."""


@dataclass(frozen=True)
class Load:
    """Payments of the customers of both vendors that were made at the same time."""

    dead: list[str]
    healthy: list[str]


@dataclass(frozen=True)
class Outage:
    """What was seen before and while one of the vendors was dead.

    ``payments`` are those of its customers, who paid ``TIMES_BEFORE`` before.
    """

    customers: list[Household]
    payments: list[str]
    seconds_before: list[float]
    seconds_beside_a_silent_one: list[float]
    seconds_during: list[float]
    called_in_vain: int


@pytest.fixture(autouse=True)
def working_vendors() -> None:
    """Here the outage lasts from one test to the next; the last one ends it."""


@pytest.fixture(scope="module")
def outage(cloud: Cloud, company: Company) -> Outage:
    """The same load again and again: at first both vendors work, then one of them is not there.

    The very first load is not measured: its customers wait until enough workers have started.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        dead = list(pool.map(lambda _: company.meter(), range(CUSTOMERS)))
        healthy = list(pool.map(lambda _: company.meter(manufacturer=HEALTHY), range(CUSTOMERS)))
    for _ in range(TIMES_BEFORE):
        before = pay(cloud, dead, healthy)
        seconds_before = seconds_waited(cloud, before.healthy)
        seconds_waited(cloud, before.dead)

    cloud.fakes.order(DEAD, "vend_then_timeout", times=CUSTOMERS)
    beside = pay(cloud, dead, healthy)
    seconds_beside = seconds_waited(cloud, beside.healthy)
    cloud.fakes.clear()  # its calls end at once, unanswered
    for payment_id in beside.dead:
        cloud.wait_for_payment(payment_id, {"held"}, 90)
    found_well(cloud)

    cloud.fakes.order(DEAD, "refuse_connection", times=60)
    during = pay(cloud, dead, healthy)
    seconds_during = seconds_waited(cloud, during.healthy)
    wait_for(lambda: circuit_of(cloud, DEAD), is_open, f"the circuit of {DEAD} is open", 60)
    called = attempts(cloud, during.dead)
    return Outage(dead, during.dead, seconds_before, seconds_beside, seconds_during, called)


def found_well(cloud: Cloud) -> None:
    """Somebody in operations deletes the circuit's item; the workers forget what they knew."""
    cloud.aws("dynamodb").delete_item(
        TableName=cloud.stack["tables"]["circuits"], Key={"manufacturer": {"S": DEAD}}
    )
    time.sleep(SECONDS_KEPT)


def pay(cloud: Cloud, dead: list[Household], healthy: list[Household]) -> Load:
    """Everybody pays 100, a customer of the one vendor and one of the other in turns."""
    turns = [household for pair in zip(dead, healthy, strict=True) for household in pair]

    def start(household: Household) -> str:
        reference = unique("ref-")
        answer = cloud.partner.pay(household.serial_number, "100.00", reference)
        assert answer.status == 202, answer
        return cloud.partner.payment_id(reference)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        payment_ids = list(pool.map(start, turns))
    return Load(payment_ids[0::2], payment_ids[1::2])


def seconds_waited(cloud: Cloud, payment_ids: list[str]) -> list[float]:
    """How long each customer waited for the token. All of them must get one."""
    waited = []
    for payment_id in payment_ids:
        payment = cloud.wait_for_payment(payment_id, {"completed"}, 90)
        received, completed = (
            datetime.fromisoformat(payment[name]) for name in ("received_at", "completed_at")
        )
        waited.append((completed - received).total_seconds())
    return waited


def attempts(cloud: Cloud, payment_ids: list[str]) -> int:
    """How often the vendor was called for all of them."""
    return sum(
        int(vend.get("attempts", 0))
        for payment_id in payment_ids
        for vend in vends_of(cloud, payment_id)
    )


def is_open(circuit: dict[str, Any]) -> bool:
    until = circuit.get("open_until")
    return until is not None and datetime.fromisoformat(until) > now()


def is_sound(circuit: dict[str, Any]) -> bool:
    return circuit.get("open_until") is None and not circuit.get("failures")


def test_customers_of_a_healthy_vendor_do_not_wait_for_a_dead_one(outage: Outage) -> None:
    with_it, without_it = median(outage.seconds_during), median(outage.seconds_before)
    assert with_it <= 1.5 * without_it + 1, (with_it, without_it)
    assert len(outage.seconds_during) == CUSTOMERS


def test_customers_of_a_healthy_vendor_do_not_wait_for_a_silent_one(outage: Outage) -> None:
    """Its calls hang for as long as they may; all of them were made at the same time."""
    with_it, without_it = outage.seconds_beside_a_silent_one, outage.seconds_before
    assert median(with_it) <= 1.5 * median(without_it) + 1, (with_it, without_it)
    assert max(with_it) < SECONDS_OF_SILENCE


def test_a_dead_vendor_is_called_a_few_times_and_then_left_alone(
    cloud: Cloud, outage: Outage
) -> None:
    circuit = circuit_of(cloud, DEAD)
    assert circuit["failures"] >= 5
    assert 5 <= outage.called_in_vain <= CUSTOMERS, "somebody called it twice"
    for payment_id in outage.payments:
        payment = cloud.payment(payment_id)
        assert (payment["status"], payment["tokens"]) == ("vending", [])


def test_while_its_circuit_is_open_a_vendor_is_not_called_though_it_is_back(
    cloud: Cloud, outage: Outage
) -> None:
    rewrite_open_until(cloud, DEAD, now() + timedelta(minutes=5))
    time.sleep(SECONDS_KEPT)
    called = attempts(cloud, outage.payments)
    cloud.fakes.clear()  # from now on a call would be seen
    due_now(cloud, outage.payments)
    time.sleep(2)  # what must not happen needs a moment in which it could
    assert attempts(cloud, outage.payments) == called
    for household in outage.customers:
        assert len(cloud.fakes.issued(DEAD, household.serial_number)) == ISSUED_BEFORE


def due_now(cloud: Cloud, payment_ids: list[str]) -> None:
    """Time passes: whatever waits for its next try is due."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda payment_id: bring_forward(cloud, payment_id), payment_ids):
            pass
    invoke(cloud, "sweep")


def bring_forward(cloud: Cloud, payment_id: str) -> None:
    """Let the payment's next try be due, and the sweeper's next look at it, if any are left."""
    moment = now() - timedelta(seconds=1)
    for place in ("vends[0].retry_at", "check_at"):
        with suppress(NothingThere):
            rewrite_moment(cloud, payment_id, place, moment)


def test_when_the_vendor_is_back_everybody_gets_one_token(cloud: Cloud, outage: Outage) -> None:
    rewrite_open_until(cloud, DEAD, now() - timedelta(seconds=1))
    time.sleep(SECONDS_KEPT)
    due_now(cloud, outage.payments)
    wait_for(lambda: circuit_of(cloud, DEAD), is_sound, f"one call has found {DEAD} back")
    time.sleep(SECONDS_KEPT)
    due_now(cloud, outage.payments)
    for payment_id in outage.payments:
        payment = cloud.wait_for_payment(payment_id, {"completed"}, 90)
        assert len(payment["tokens"]) == 1
    for household in outage.customers:
        assert len(cloud.fakes.issued(DEAD, household.serial_number)) == ISSUED_BEFORE + 1
    assert is_sound(circuit_of(cloud, DEAD))
