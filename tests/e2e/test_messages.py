"""One SMS for every outcome, to the customer's own phone, in words that help."""

from __future__ import annotations

from infra.local.client import Cloud
from tests.e2e.company import Company, day, phone, serial, unique


def test_a_meter_s_token_comes_in_groups_of_four(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    payment = company.pay_for("550", household)
    message = cloud.wait_for_message(payment["payment_id"], 1)
    token = payment["tokens"][0]["value"]
    assert " ".join(token[i : i + 4] for i in range(0, 20, 4)) in message["body"]
    assert (message["to"], message["language"]) == (household.phone, "en")
    assert message["state"] == "sent"
    assert "5.5" in message["body"]
    assert "550.00" in message["body"]


def test_a_device_s_token_comes_in_groups_of_three(cloud: Cloud, company: Company) -> None:
    payment = company.pay_for("700", company.shs())
    body = cloud.wait_for_message(payment["payment_id"], 1)["body"]
    token = payment["tokens"][0]["value"]
    assert " ".join(token[i : i + 3] for i in range(0, 9, 3)) in body
    assert "7" in body


def test_a_payment_of_debt_only_is_receipted(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    company.tv(household.customer_id)
    payment = company.pay_for("300", household)
    message = cloud.wait_for_message(payment["payment_id"], 0)
    assert "300.00" in message["body"]


def test_a_payment_with_two_vends_brings_two_sms(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    company.shs(customer_id=household.customer_id, total="700.00", instalments=1, first_due=day(-3))
    payment = company.pay_for("1000", household)
    bodies = ""
    for number in (1, 2):
        message = cloud.wait_for_message(payment["payment_id"], number)
        assert message["to"] == household.phone
        bodies += message["body"].replace(" ", "")
    assert all(token["value"] in bodies for token in payment["tokens"])
    assert len(cloud.messages(payment["payment_id"])) == 2


def test_a_direct_payer_without_a_customer_is_told_of_the_refusal(cloud: Cloud) -> None:
    reference, payer = unique("ref-"), phone()
    cloud.partner.pay(serial(), "100.00", reference, payer_phone=payer)
    message = cloud.wait_for_message(cloud.partner.payment_id(reference), 93)
    assert message["to"] == payer


def test_the_customer_is_told_not_the_payer(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    payment = company.pay(household.serial_number, "100.00", payer_phone=phone())
    assert cloud.wait_for_message(payment["payment_id"], 1)["to"] == household.phone


def test_no_token_and_no_phone_number_is_in_the_logs(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    payment = company.pay_for("100", household)
    cloud.wait_for_message(payment["payment_id"], 1)
    logs = cloud.aws("logs")
    text = []
    for group in logs.describe_log_groups()["logGroups"]:
        events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        text += [event["message"] for event in events]
    assert any(payment["payment_id"] in line for line in text)
    for secret in (payment["tokens"][0]["value"], household.phone):
        assert not any(secret in line for line in text)
