"""A vendor that does not answer as it should, and the ways out of a held payment."""

from __future__ import annotations

from typing import Any

import pytest

from infra.local.client import Answer, Cloud
from tests.e2e.company import Company, Household, created, lines_of, serial, tokens_of

OPAQUE = ("calin", "gomelong", "gomelong_v1", "stron_v3", "microstar")
"""Vendors that cannot be asked what became of a request. Their ways out are the same."""

every_opaque_vendor = pytest.mark.parametrize("vendor", OPAQUE)


def held(
    company: Company, fault: str, household: Household | None = None, vendor: str = "calin"
) -> dict[str, Any]:
    """A payment of 550 for a meter whose vendor failed in that way."""
    household = household or company.meter(manufacturer=vendor)
    company.cloud.fakes.order(vendor, fault, serial_number=household.serial_number)
    payment = company.pay_for("550", household)
    assert payment["status"] == "held", payment
    return payment


def act(cloud: Cloud, payment: dict[str, Any], what: str, **body: Any) -> Answer:
    return cloud.staff("operations").post(
        f"/payments/{payment['payment_id']}/{what}", {"reason": "looked into it", **body}
    )


def issued(cloud: Cloud, payment: dict[str, Any]) -> list[str]:
    return cloud.fakes.issued(vendor_of(payment), payment["serial_number"])


def vendor_of(payment: dict[str, Any]) -> str:
    vendor: str = payment["vends"][0]["manufacturer"]
    return vendor


def whats(payment: dict[str, Any]) -> list[str]:
    return [event["what"] for event in payment["events"]]


# --- how a payment comes to be held ---------------------------------------------------------


@every_opaque_vendor
@pytest.mark.parametrize(
    ("fault", "reason", "vend_state", "tokens_issued"),
    [
        ("refuse", "vend_refused", "refused", 0),
        ("error_500", "vend_uncertain", "uncertain", 0),
        ("garbage", "vend_uncertain", "uncertain", 1),
    ],
)
def test_a_vendor_that_does_not_say_yes_holds_the_payment_after_one_call(
    cloud: Cloud,
    company: Company,
    fault: str,
    reason: str,
    vend_state: str,
    tokens_issued: int,
    vendor: str,
) -> None:
    payment = held(company, fault, vendor=vendor)
    assert payment["reason"] == reason
    [vend] = payment["vends"]
    assert (vend["state"], vend["attempts"]) == (vend_state, 1)
    assert lines_of(payment) == "energy 550.00"
    assert payment["tokens"] == []
    assert len(cloud.fakes.vends(vendor, payment["serial_number"])) == 1
    assert len(issued(cloud, payment)) == tokens_issued
    assert cloud.wait_for_message(payment["payment_id"], 90)


def test_a_held_payment_holds_up_nothing_else(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    payment = held(company, "error_500", household)
    following = company.pay_for("100", household)
    assert (following["status"], tokens_of(following)) == ("completed", "energy 1 kWh")
    assert cloud.payment(payment["payment_id"])["status"] == "held"


@every_opaque_vendor
def test_a_meter_that_the_vendor_does_not_know_is_a_definite_no(
    company: Company, vendor: str
) -> None:
    """Meters whose serial begins with 00000 are not registered with the faked vendor."""
    household = company.meter(serial_number=serial("00000"), manufacturer=vendor)
    payment = company.pay_for("550", household)
    assert (payment["status"], payment["reason"]) == ("held", "vend_refused")
    assert "vend_refused" in whats(payment)


# --- retry ----------------------------------------------------------------------------------


@every_opaque_vendor
def test_a_refused_vend_is_called_again(cloud: Cloud, company: Company, vendor: str) -> None:
    payment = held(company, "refuse", vendor=vendor)
    assert act(cloud, payment, "retry").status == 202
    done = cloud.wait_for_payment(payment["payment_id"], {"completed"})
    [vend] = done["vends"]
    assert (vend["state"], vend["attempts"]) == ("done", 2)
    assert issued(cloud, payment) == [done["tokens"][0]["value"]]
    assert cloud.wait_for_message(payment["payment_id"], 1)


@every_opaque_vendor
def test_an_opaque_uncertain_vend_is_not_retried_before_a_person_says_not_issued(
    cloud: Cloud, company: Company, vendor: str
) -> None:
    payment = held(company, "error_500", vendor=vendor)
    answer = act(cloud, payment, "retry")
    assert (answer.status, answer.fields) == (422, {"not_issued"})
    assert cloud.payment(payment["payment_id"]) == payment

    assert act(cloud, payment, "retry", not_issued=True).status == 202
    done = cloud.wait_for_payment(payment["payment_id"], {"completed"})
    assert [(vend["number"], vend["state"]) for vend in done["vends"]] == [
        (1, "void"),
        (2, "done"),
    ]
    assert issued(cloud, payment) == [done["tokens"][0]["value"]]
    assert cloud.wait_for_message(payment["payment_id"], 2)
    assert cloud.account(payment["customer_id"])["version"] == 2


def test_a_retry_that_fails_again_is_held_again(cloud: Cloud, company: Company) -> None:
    payment = held(company, "refuse")
    cloud.fakes.order("calin", "error_500", serial_number=payment["serial_number"])
    assert act(cloud, payment, "retry").status == 202
    again = cloud.wait_for_payment(payment["payment_id"], {"held"})
    [vend] = again["vends"]
    assert (vend["state"], vend["attempts"]) == ("uncertain", 2)


# --- resolve --------------------------------------------------------------------------------


@every_opaque_vendor
def test_a_person_enters_the_token_that_the_vendor_did_issue(
    cloud: Cloud, company: Company, vendor: str
) -> None:
    payment = held(company, "garbage", vendor=vendor)
    [token] = issued(cloud, payment)
    spaced = " ".join(token[i : i + 4] for i in range(0, 20, 4))
    answer = act(cloud, payment, "resolve", outcome="token", token=spaced, units="5.5")
    assert answer.status == 202
    assert (answer.body["status"], answer.body["tokens"][0]["value"]) == ("completed", token)
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert token in message["body"].replace(" ", "")
    assert issued(cloud, payment) == [token]
    resolved = answer.body["events"][-1]
    assert (resolved["actor"], resolved["reason"]) == (
        cloud.staff("operations").email,
        "looked into it",
    )


def test_what_cannot_be_the_token_is_not_taken(cloud: Cloud, company: Company) -> None:
    payment = held(company, "garbage")
    for body, field in (
        ({"token": "12345"}, "token"),
        ({"token": "x" * 20}, "token"),
        ({"token": "1" * 20, "units": "9.9"}, "units"),
        ({"token": "1" * 20, "vend": 7}, "vend"),
        ({}, "token"),
    ):
        answer = act(cloud, payment, "resolve", outcome="token", **body)
        assert (answer.status, answer.fields) == (422, {field}), body
    assert cloud.payment(payment["payment_id"]) == payment


def test_not_issued_voids_the_vend_and_the_payment_stays_held_until_it_is_retried(
    cloud: Cloud, company: Company
) -> None:
    payment = held(company, "error_500")
    voided = act(cloud, payment, "resolve", outcome="not_issued")
    assert voided.status == 202
    assert (voided.body["status"], voided.body["reason"]) == ("held", "not_issued")
    assert voided.body["vends"][0]["state"] == "void"

    assert act(cloud, payment, "retry").status == 202
    done = cloud.wait_for_payment(payment["payment_id"], {"completed"})
    assert [vend["state"] for vend in done["vends"]] == ["void", "done"]


def test_the_money_becomes_credit_and_buys_at_the_next_payment(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    payment = held(company, "error_500", household)
    answer = act(cloud, payment, "resolve", outcome="credit")
    assert answer.status == 202
    assert answer.body["status"] == "completed"
    assert lines_of(answer.body) == "energy 550.00, energy -550.00, credit 550.00"
    account = cloud.account(household.customer_id)
    assert (account["credit"], account["version"]) == ("550.00", 3)

    following = company.pay_for("100", household)
    assert lines_of(following) == "energy 650.00, credit -550.00"
    assert tokens_of(following) == "energy 6.5 kWh"
    assert cloud.account(household.customer_id)["credit"] == "0.00"


def test_the_carry_that_a_vend_had_used_returns_with_the_credit(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter(tariff_id=company.tariff("300"))
    company.pay_for("1000", household)  # carry 10
    cloud.fakes.order("calin", "error_500", serial_number=household.serial_number)
    payment = company.pay_for("20", household)  # 0.1 kWh costs 30: 20 paid, 10 carried
    assert payment["status"] == "held"
    assert act(cloud, payment, "resolve", outcome="credit").status == 202
    account = cloud.account(household.customer_id)
    assert account["credit"] == "20.00"
    assert account["devices"][0]["carry"] == {"amount": "10.00"}


def test_what_is_not_held_is_neither_retried_nor_resolved(cloud: Cloud, company: Company) -> None:
    payment = company.pay_for("100", company.meter())
    assert payment["status"] == "completed"
    for what, body in (
        ("retry", {}),
        ("resolve", {"outcome": "credit"}),
        ("resolve", {"outcome": "not_issued"}),
        ("resolve", {"outcome": "token", "token": "1" * 20}),
        ("resolve", {"outcome": "assign", "serial_number": payment["serial_number"]}),
    ):
        answer = act(cloud, payment, what, **body)
        assert (answer.status, answer.code) == (409, "not_held"), body
    missing = cloud.staff("operations").post("/payments/direct.demo-none/retry", {"reason": "x"})
    assert (missing.status, missing.code) == (404, "not_found")


def test_a_reason_must_be_given(cloud: Cloud, company: Company) -> None:
    payment = held(company, "refuse")
    answer = cloud.staff("operations").post(f"/payments/{payment['payment_id']}/retry", {})
    assert (answer.status, answer.fields) == (422, {"reason"})


def test_a_settled_payment_cannot_be_assigned_to_another_device(
    cloud: Cloud, company: Company
) -> None:
    payment = held(company, "refuse")
    other = company.meter()
    answer = act(cloud, payment, "resolve", outcome="assign", serial_number=other.serial_number)
    assert (answer.status, answer.fields) == (422, {"outcome"})


def test_money_is_assigned_only_to_a_device_of_a_customer(cloud: Cloud) -> None:
    receipt = cloud.daraja.receipt()
    cloud.daraja.confirm(receipt, serial(), "100.00")
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt), {"refund_due"})
    answer = act(cloud, payment, "resolve", outcome="assign", serial_number=serial())
    assert (answer.status, answer.code) == (422, "unknown_device")


def test_a_sale_of_a_device_is_not_touched_by_a_held_payment(
    cloud: Cloud, company: Company
) -> None:
    """The office goes on selling while operations look into a payment."""
    household = company.meter()
    payment = held(company, "error_500", household)
    plan = created(
        cloud.staff("office").post(
            f"/customers/{household.customer_id}/plans",
            company.terms(total="100.00", instalments=1) | {"name": "Lamp"},
            key=f"sale-{payment['payment_id'][-20:]}",
        )
    )
    assert act(cloud, payment, "retry", not_issued=True).status == 202
    cloud.wait_for_payment(payment["payment_id"], {"completed"})
    account = cloud.account(household.customer_id)
    assert [open_plan["plan_id"] for open_plan in account["plans"]] == [plan["plan_id"]]
    assert account["version"] == 3
