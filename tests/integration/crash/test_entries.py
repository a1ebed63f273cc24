"""A function dies around the write of an entry that unlocks a device: nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from moto.sqs.models import sqs_backends

from chalicelib.domain.payment import Status
from chalicelib.domain.plan import PlanState
from chalicelib.wiring import Wiring
from tests.integration.company import SHS, Company, FixedClock, plan
from tests.integration.conftest import Cloud
from tests.integration.crash.deaths import KILLED, Death, run
from tests.integration.crash.test_crashes import Line

SAID: dict[str, Any] = {"actor": "office@example.org", "reason": "moved away"}
UNLOCK = "entry-C1.2"


@pytest.fixture
def line(cloud: Cloud, clock: FixedClock, company: Company) -> Line:
    """C1, at version 1, with an SHS on a plan."""
    shs = plan("p-shs", 7000, serial_number=SHS)
    company.customer(company.shs(plan_id="p-shs"), plans=(shs,))
    return Line(cloud, clock)


def write_off(clock: FixedClock, death: Death | None = None) -> int:
    """A clerk writes the plan off, and unlocks the device."""
    return run(
        lambda: Wiring(clock).change_plans.write_off("C1", "p-shs", unlock=True, **SAID), death
    )


def let_delays_pass() -> None:
    for regions in sqs_backends.values():
        for backend in regions.values():
            for queue in backend.queues.values():
                for message in queue._messages:
                    message.delayed_until = 0


def written_off_once(wiring: Wiring) -> None:
    account = wiring.accounts.get("C1")
    assert account is not None
    assert (account.version, account.plans) == (2, ())
    ended = wiring.accounts.ended_plan("p-shs")
    assert ended is not None and ended.state is PlanState.WRITTEN_OFF


@pytest.mark.parametrize(
    "death",
    [
        Death("after", "SendMessage"),
        Death("before", "TransactWriteItems"),
        Death("after", "TransactWriteItems"),
        Death("before", "SendMessage", nth=2),
        Death("after", "SendMessage", nth=2),
    ],
    ids=lambda death: f"{death.when} {death.operation} {death.nth}",
)
def test_wherever_it_dies_the_same_request_completes_it_and_one_sms_brings_the_token(
    line: Line, company: Company, clock: FixedClock, death: Death
) -> None:
    assert write_off(clock, death) == KILLED
    account = company.wiring.accounts.get("C1")
    assert account is not None
    written = company.wiring.payments.get(UNLOCK) is not None
    assert account.version == (2 if written else 1), "all of it, or nothing"
    assert write_off(clock) == 0
    written_off_once(company.wiring)
    let_delays_pass()
    line.run_dry()
    payment = company.wiring.payments.get(UNLOCK)
    assert payment is not None and payment.status is Status.COMPLETED
    [message] = company.wiring.messages.of_payment(UNLOCK)
    assert payment.tokens[0].value in message.body.replace(" ", "")


def test_dead_behind_the_write_the_sms_comes_without_anybody_asking_again(
    line: Line, company: Company, clock: FixedClock
) -> None:
    assert write_off(clock, Death("after", "TransactWriteItems")) == KILLED
    let_delays_pass()
    line.run_dry()
    assert [m.number for m in company.wiring.messages.of_payment(UNLOCK)] == [1]


def test_dead_behind_the_write_the_sweeper_brings_the_vend_of_a_manufacturer_that_is_called(
    line: Line, company: Company, clock: FixedClock
) -> None:
    device = company.wiring.devices.get(SHS)
    assert device is not None
    remote = replace(device, manufacturer="angaza", technical={})
    company.wiring.registry.update_device(remote)
    assert write_off(clock, Death("after", "TransactWriteItems")) == KILLED
    assert line.cloud.take("vends") == []
    line.sweep(timedelta(minutes=2))
    assert line.only("vends")["payment_id"] == UNLOCK
