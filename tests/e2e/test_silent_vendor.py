"""A vendor that falls silent, or is not there, and a worker that dies in the middle of its call.

All of it takes real time-outs, so it is set going together and looked at afterwards.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from infra.local.client import Cloud, now, wait_for
from tests.e2e.company import Company, Household
from tests.e2e.lambdas import kill_caller_of, sweep_now
from tests.e2e.tables import lease_until

CALIN = "calin"
PATIENCE = 75


@dataclass
class Trouble:
    """A household and its payment of 100."""

    household: Household
    payment_id: str


@dataclass
class Troubles:
    """What was set going."""

    unreachable: Trouble
    silent: Trouble
    slow: Trouble
    killed: Trouble


@pytest.fixture(scope="module")
def troubles(cloud: Cloud, company: Company) -> Troubles:
    """One payment whose vendor was not to be reached, one whose vendor says nothing, one whose
    vendor takes its time, and one whose worker was killed after the vendor had issued."""
    households = [company.meter() for _ in range(4)]
    unreachable = pay_while_unreachable(cloud, households[0])
    killed = pay_and_kill(cloud, households[1])
    cloud.fakes.order(CALIN, "vend_then_timeout", serial_number=households[2].serial_number)
    silent = start_payment(cloud, households[2])
    cloud.fakes.order(CALIN, "slow", serial_number=households[3].serial_number)
    slow = start_payment(cloud, households[3])
    return Troubles(unreachable, silent, slow, killed)


@pytest.fixture(autouse=True)
def working_vendors() -> None:
    """Here the faults last from one test to the next; each is counted and ends by itself."""


def start_payment(cloud: Cloud, household: Household) -> Trouble:
    receipt = cloud.daraja.receipt()
    cloud.daraja.confirm(receipt, household.serial_number, "100.00")
    return Trouble(household, cloud.daraja.payment_id(receipt))


def pay_while_unreachable(cloud: Cloud, household: Household) -> Trouble:
    """The connection is refused once; then the vendor is back."""
    cloud.fakes.order(CALIN, "refuse_connection", times=6)
    trouble = start_payment(cloud, household)
    wait_for(
        lambda: vend_of(cloud, trouble)["state"],
        lambda state: state == "refused",
        "the call was refused",
    )
    cloud.fakes.clear()
    return trouble


def pay_and_kill(cloud: Cloud, household: Household) -> Trouble:
    """The vendor has issued, and the worker dies before it hears of it."""
    cloud.fakes.order(CALIN, "vend_then_timeout", serial_number=household.serial_number)
    trouble = start_payment(cloud, household)
    wait_for(lambda: issued(cloud, trouble), bool, "the vendor has issued")
    kill_caller_of(cloud.stack["fakes"][CALIN])
    return trouble


def vend_of(cloud: Cloud, trouble: Trouble) -> dict[str, Any]:
    vends: list[dict[str, Any]] = cloud.payment(trouble.payment_id)["vends"]
    return vends[0] if vends else {"state": "none"}


def issued(cloud: Cloud, trouble: Trouble) -> list[str]:
    return cloud.fakes.issued(CALIN, trouble.household.serial_number)


def test_a_vendor_that_takes_its_time_is_waited_for(cloud: Cloud, troubles: Troubles) -> None:
    payment = cloud.wait_for_payment(troubles.slow.payment_id, {"completed"})
    assert payment["tokens"][0]["value"] == issued(cloud, troubles.slow)[0]


def test_others_do_not_wait_for_a_silent_vendor(
    cloud: Cloud, company: Company, troubles: Troubles
) -> None:
    payment = company.pay_for("700", company.shs())
    assert payment["status"] == "completed"
    assert cloud.payment(troubles.silent.payment_id)["status"] == "vending"


def test_a_next_payment_of_the_same_customer_does_not_wait(
    cloud: Cloud, company: Company, troubles: Troubles
) -> None:
    payment = company.pay_for("200", troubles.silent.household)
    assert payment["status"] == "completed"
    assert cloud.payment(troubles.silent.payment_id)["status"] in ("vending", "held")


def test_a_silent_vendor_is_asked_once_and_the_payment_is_held(
    cloud: Cloud, troubles: Troubles
) -> None:
    payment = cloud.wait_for_payment(troubles.silent.payment_id, {"held"}, PATIENCE)
    assert (payment["reason"], payment["vends"][0]["state"]) == ("vend_uncertain", "uncertain")
    asked = cloud.fakes.vends(CALIN, troubles.silent.household.serial_number)
    assert [vend["request"]["amount"] for vend in asked].count("1") == 1, asked
    assert cloud.wait_for_message(payment["payment_id"], 90)


def test_a_killed_worker_causes_no_second_vend(cloud: Cloud, troubles: Troubles) -> None:
    """Whoever takes the work up finds a lease that has run out: nobody knows what happened."""
    trouble = troubles.killed
    calling = vend_of(cloud, trouble)
    assert (calling["state"], calling["attempts"]) == ("calling", 1)
    left = lease_until(cloud, trouble.payment_id) - now()
    time.sleep(max(0.0, left.total_seconds()) + 0.5)
    sweep_now(cloud, trouble.payment_id)
    payment = cloud.wait_for_payment(trouble.payment_id, {"held"})
    assert (payment["reason"], payment["vends"][0]["state"]) == ("vend_uncertain", "uncertain")
    assert len(issued(cloud, trouble)) == 1
    assert cloud.account(trouble.household.customer_id)["version"] == 2


def test_the_token_of_a_killed_call_is_entered_by_a_person(
    cloud: Cloud, troubles: Troubles
) -> None:
    trouble = troubles.killed
    [token] = issued(cloud, trouble)
    answer = cloud.staff("operations").post(
        f"/payments/{trouble.payment_id}/resolve",
        {"reason": "in the vendor's list", "outcome": "token", "token": token},
    )
    assert answer.status == 202
    payment = cloud.wait_for_payment(trouble.payment_id, {"completed"})
    assert payment["tokens"][0]["value"] == token
    message = cloud.wait_for_message(trouble.payment_id, 1)
    assert token in message["body"].replace(" ", "")
    assert issued(cloud, trouble) == [token]


def test_a_vendor_that_was_not_reached_is_called_again_without_a_person(
    cloud: Cloud, troubles: Troubles
) -> None:
    trouble = troubles.unreachable
    payment = cloud.wait_for_payment(trouble.payment_id, {"completed"}, PATIENCE)
    [vend] = payment["vends"]
    assert (vend["state"], vend["attempts"]) == ("done", 2)
    assert issued(cloud, trouble) == [payment["tokens"][0]["value"]]
    assert "vend_refused" in {event["what"] for event in payment["events"]}
