"""Lost messages, dead letters and missing secrets: what breaks behind the counter heals."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.client import Cloud, wait_for
from tests.e2e.company import Company, Household, lines_of, serial, unique
from tests.e2e.lambdas import start_fresh, sweep_now, trigger_stopped
from tests.e2e.tables import depth, send

# --- lost messages --------------------------------------------------------------------------


def test_the_sweeper_finds_a_payment_whose_message_was_lost(cloud: Cloud, company: Company) -> None:
    household, reference = company.meter(), unique("ref-")
    payment_id = cloud.partner.payment_id(reference)
    with trigger_stopped(cloud, "settle"):
        assert cloud.partner.pay(household.serial_number, "100.00", reference).status == 202
        cloud.aws("sqs").purge_queue(QueueUrl=cloud.stack["queues"]["payments"])
    assert cloud.payment(payment_id)["status"] == "received"

    sweep_now(cloud, payment_id)

    payment = cloud.wait_for_payment(payment_id, {"completed"})
    assert lines_of(payment) == "energy 100.00"
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


def test_a_repeated_report_queues_a_payment_whose_message_was_lost(
    cloud: Cloud, company: Company
) -> None:
    household, receipt = company.meter(), cloud.daraja.receipt()
    with trigger_stopped(cloud, "settle"):
        cloud.daraja.confirm(receipt, household.serial_number, "100.00")
        cloud.aws("sqs").purge_queue(QueueUrl=cloud.stack["queues"]["payments"])
    payment_id = cloud.daraja.payment_id(receipt)
    assert cloud.payment(payment_id)["status"] == "received"
    # SQS drops a second message of the same payment for five minutes; the sweeper does not wait.
    cloud.daraja.confirm(receipt, household.serial_number, "100.00")
    sweep_now(cloud, payment_id)
    assert cloud.wait_for_payment(payment_id, {"completed"})["tokens"]
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


def test_the_sweeper_finds_a_vend_whose_message_was_lost(cloud: Cloud, company: Company) -> None:
    household, receipt = company.meter(), cloud.daraja.receipt()
    payment_id = cloud.daraja.payment_id(receipt)
    with trigger_stopped(cloud, "vend"):
        cloud.daraja.confirm(receipt, household.serial_number, "100.00")
        cloud.wait_for_payment(payment_id, {"vending"})
        wait_for(lambda: depth(cloud, "vends"), bool, "the vend is queued")
        cloud.aws("sqs").purge_queue(QueueUrl=cloud.stack["queues"]["vends"])
    assert cloud.fakes.vends("calin", household.serial_number) == []

    sweep_now(cloud, payment_id)

    cloud.wait_for_payment(payment_id, {"completed"})
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


def test_sweeping_a_payment_that_is_under_way_makes_nothing_twice(
    cloud: Cloud, company: Company
) -> None:
    household, receipt = company.meter(), cloud.daraja.receipt()
    payment_id = cloud.daraja.payment_id(receipt)
    with trigger_stopped(cloud, "vend"):
        cloud.daraja.confirm(receipt, household.serial_number, "100.00")
        cloud.wait_for_payment(payment_id, {"vending"})
        for _ in range(3):
            sweep_now(cloud, payment_id)
    cloud.wait_for_payment(payment_id, {"completed"})
    wait_until_empty(cloud, "vends")
    assert len(cloud.fakes.vends("calin", household.serial_number)) == 1
    assert cloud.account(household.customer_id)["version"] == 2


# --- dead letters ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(cloud: Cloud, company: Company) -> tuple[Household, dict[str, Any]]:
    household, receipt = company.meter(), cloud.daraja.receipt()
    cloud.daraja.confirm(receipt, household.serial_number, "100.00")
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt), {"completed"})
    cloud.wait_for_message(payment["payment_id"], 1)
    return household, payment


def test_redriving_dead_letters_has_no_effect(
    cloud: Cloud, finished: tuple[Household, dict[str, Any]]
) -> None:
    household, payment = finished
    before = cloud.payment(payment["payment_id"])
    payment_id, customer_id = payment["payment_id"], household.customer_id
    send(
        cloud,
        "payments-dead",
        {
            "payment_id": payment_id,
            "customer_id": customer_id,
            "serial_number": household.serial_number,
        },
        MessageGroupId=customer_id,
        MessageDeduplicationId=unique("again-"),
    )
    vend = {"payment_id": payment_id, "number": 1, "attempt": 1, "manufacturer": "calin"}
    for attempt in (1, 2):
        send(cloud, "vends-dead", {**vend, "attempt": attempt})
    send(
        cloud, "messages-dead", {"payment_id": payment_id, "number": 1, "customer_id": customer_id}
    )
    for queue in ("payments", "vends", "messages"):
        redrive(cloud, queue, DestinationArn=arn_of(cloud, queue))  # they died in no queue
    for queue in ("payments", "vends", "messages"):
        for name in (queue, f"{queue}-dead"):
            wait_until_empty(cloud, name)

    assert cloud.payment(payment_id) == before
    assert len(cloud.fakes.vends("calin", household.serial_number)) == 1
    assert len(cloud.sms(payment_id)) == 1
    assert cloud.account(customer_id)["version"] == 2


def wait_until_empty(cloud: Cloud, queue: str) -> None:
    wait_for(lambda: depth(cloud, queue), lambda left: left == 0, f"{queue} is empty")


def redrive(cloud: Cloud, queue: str, **more: str) -> None:
    """What the button in the console does, and the command in the runbook."""
    dead = arn_of(cloud, f"{queue}-dead")
    assert cloud.aws("sqs").start_message_move_task(SourceArn=dead, **more)["TaskHandle"]


def arn_of(cloud: Cloud, queue: str) -> str:
    url = cloud.stack["queues"][queue]
    asked = cloud.aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn: str = asked["Attributes"]["QueueArn"]
    return arn


def test_a_message_of_a_payment_that_is_not_there_does_no_harm(cloud: Cloud) -> None:
    gone = f"direct.demo-{unique('gone-')}"
    send(
        cloud,
        "payments",
        {"payment_id": gone, "customer_id": "C0", "serial_number": serial()},
        MessageGroupId=gone,
        MessageDeduplicationId=gone,
    )
    send(
        cloud,
        "vends",
        {"payment_id": gone, "number": 1, "attempt": 1, "manufacturer": "calin"},
    )
    send(cloud, "messages", {"payment_id": gone, "number": 1, "customer_id": None})
    for queue in ("payments", "vends", "messages"):
        wait_until_empty(cloud, queue)
        assert depth(cloud, f"{queue}-dead") == 0


# --- missing secrets ------------------------------------------------------------------------


def test_without_its_secret_a_channel_stores_nothing_and_asks_for_another_try(
    cloud: Cloud, company: Company
) -> None:
    household, reference = company.shs(), unique("ref-")
    manager = cloud.aws("secretsmanager")
    name = secret_name(cloud, "channels/direct")
    manager.delete_secret(SecretId=name)
    start_fresh(cloud, "api")
    try:
        answer = cloud.partner.pay(household.serial_number, "100.00", reference)
        assert (answer.status, answer.code) == (503, "try_again")
    finally:
        manager.restore_secret(SecretId=name)
        start_fresh(cloud, "api")
    assert cloud.partner.get(reference).status == 404
    assert cloud.partner.pay(household.serial_number, "100.00", reference).status == 202
    cloud.wait_for_payment(cloud.partner.payment_id(reference), {"completed"})


def secret_name(cloud: Cloud, ending: str) -> str:
    """The full name of a secret."""
    listed = cloud.aws("secretsmanager").list_secrets(MaxResults=100)["SecretList"]
    [name] = [secret["Name"] for secret in listed if secret["Name"].endswith(ending)]
    return str(name)
