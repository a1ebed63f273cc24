"""Operators do something about a device, and the token reaches its owner."""

from __future__ import annotations

from infra.local.client import Cloud, wait_for
from tests.e2e.company import Company, unique

WHY = {"reason": "the line was down"}


def test_energy_that_is_given_comes_by_sms_and_can_be_sent_again(
    cloud: Cloud, company: Company
) -> None:
    household, operations = company.meter(), cloud.staff("operations")
    path = f"/devices/{household.serial_number}"
    body = {"units": "5.5", **WHY}
    given = operations.post(f"{path}/free-credit", body, key=unique("k"))
    assert given.status == 202, given
    payment = cloud.wait_for_payment(given.body["payment_id"])
    assert payment["status"] == "completed"
    [token] = payment["tokens"]
    assert cloud.fakes.issued("calin", household.serial_number) == [token["value"]]
    first = cloud.wait_for_message(payment["payment_id"], 1)

    again = operations.post(f"{path}/send-again", WHY)
    assert again.status == 202, again
    sent = wait_for(
        lambda: cloud.sms(payment["payment_id"]), lambda sms: len(sms) == 2, "the second SMS"
    )
    assert {sms["body"] for sms in sent} == {first["body"]}
    assert cloud.account(household.customer_id)["owed"] == "0.00"


def test_days_that_are_given_are_taken_by_the_device(cloud: Cloud, company: Company) -> None:
    household = company.shs()
    path = f"/devices/{household.serial_number}/free-credit"
    given = cloud.staff("operations").post(path, {"units": "3", **WHY}, key=unique("k"))
    [token] = given.body["tokens"]
    household.device.type_in(token["value"])
    assert household.device.days == 3
