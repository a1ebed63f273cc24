"""Money that goes back: by itself, where its device is nobody's, or by hand, where it bought
nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from infra.local.client import Answer, Cloud, now, wait_for
from tests.e2e.company import Company, Household, lines_of
from tests.e2e.lambdas import sweep_now
from tests.e2e.tables import rewrite_moment


def paid_by_checkout(cloud: Cloud, household: Household, *, removed: bool = False) -> str:
    """The id of a payment of 500 by Paystack; the device may be removed before it is paid."""
    answer = cloud.paystack.checkout(household.serial_number, "500.00")
    assert answer.status == 201, answer
    if removed:
        given_up = {"customer_id": None, "reason": "it was stolen"}
        path = f"/devices/{household.serial_number}/owner"
        assert cloud.staff("office").put(path, given_up).status == 200
    assert cloud.fakes.pay(answer.body["reference"]) == 200
    return str(answer.body["payment_id"])


@pytest.fixture
def due(cloud: Cloud, company: Company) -> dict[str, Any]:
    """A payment of 500 whose meter was taken from its owner before the money came."""
    payment_id = paid_by_checkout(cloud, company.meter(), removed=True)
    return cloud.wait_for_payment(payment_id, {"refund_due"})


def when_it_is_time(cloud: Cloud, payment: dict[str, Any]) -> None:
    """The minutes in which a person can assign the money have passed."""
    rewrite_moment(cloud, payment["payment_id"], "refund_at", now() - timedelta(seconds=1))
    sweep_now(cloud, payment["payment_id"])


def at_provider(cloud: Cloud, payment: dict[str, Any]) -> list[tuple[int, str]]:
    """The refunds that Paystack has taken of that payment: hundredths, and what became of each."""
    return [
        (refund["amount"], refund["status"])
        for refund in cloud.fakes.refunds("paystack")
        if refund["reference"] == payment["reference"]
    ]


def act(cloud: Cloud, payment: dict[str, Any], what: str, **body: Any) -> Answer:
    return cloud.staff("operations").post(
        f"/payments/{payment['payment_id']}/{what}", {"reason": "looked into it", **body}
    )


def whats(payment: dict[str, Any]) -> list[str]:
    return [event["what"] for event in payment["events"]]


# --- by itself ------------------------------------------------------------------------------


def test_money_for_a_device_of_nobody_waits_a_while_and_then_goes_back(
    cloud: Cloud, due: dict[str, Any]
) -> None:
    assert (due["reason"], due["lines"]) == ("device_unassigned", [])
    cloud.wait_for_message(due["payment_id"], 91)
    sweep_now(cloud, due["payment_id"])  # too early: a person may still assign it
    version = cloud.account(due["customer_id"])["version"]
    assert cloud.payment(due["payment_id"])["status"] == "refund_due"
    assert at_provider(cloud, due) == []

    when_it_is_time(cloud, due)

    payment = cloud.wait_for_payment(due["payment_id"], {"refunded"})
    assert at_provider(cloud, due) == [(50000, "processed")]
    assert (payment["lines"], payment["tokens"], payment["reason"]) == ([], [], None)
    message = cloud.wait_for_message(due["payment_id"], 101)
    assert "KES 500.00" in message["body"]
    assert cloud.account(due["customer_id"])["version"] == version


def test_money_that_a_person_assigns_in_time_is_never_given_back(
    cloud: Cloud, company: Company, due: dict[str, Any]
) -> None:
    right = company.meter()
    answer = act(cloud, due, "resolve", outcome="assign", serial_number=right.serial_number)
    assert answer.status == 202
    payment = cloud.wait_for_payment(due["payment_id"], {"completed"})
    assert (payment["customer_id"], lines_of(payment)) == (right.customer_id, "energy 500.00")
    assert cloud.wait_for_message(due["payment_id"], 1)["to"] == right.phone
    late = act(cloud, due, "refund")
    assert (late.status, late.code) == (409, "not_held")
    assert at_provider(cloud, due) == []


def test_a_refund_whose_answer_was_lost_is_found_and_not_asked_for_twice(
    cloud: Cloud, due: dict[str, Any]
) -> None:
    cloud.fakes.order("paystack", "garbage", serial_number=due["reference"])
    when_it_is_time(cloud, due)
    payment = cloud.wait_for_payment(due["payment_id"], {"refunded"})
    assert "refund_uncertain" in whats(payment)
    assert at_provider(cloud, due) == [(50000, "processed")]


def test_a_refund_that_a_search_proves_absent_is_asked_for_again(
    cloud: Cloud, due: dict[str, Any]
) -> None:
    cloud.fakes.order("paystack", "error_500", serial_number=due["reference"])
    when_it_is_time(cloud, due)
    payment_id = due["payment_id"]
    wait_for(
        lambda: whats(cloud.payment(payment_id)),
        lambda events: "refund_uncertain" in events,
        "nobody knows what became of the refund",
    )
    assert at_provider(cloud, due) == []
    rewrite_moment(cloud, payment_id, "refunds[0].called_at", now() - timedelta(minutes=2))
    cloud.wait_for_payment(payment_id, {"refunded"})
    assert at_provider(cloud, due) == [(50000, "processed")]


def test_a_refund_that_fails_is_held_and_can_be_asked_for_again(
    cloud: Cloud, due: dict[str, Any]
) -> None:
    cloud.fakes.order("paystack", "refund_fails", serial_number=due["reference"])
    when_it_is_time(cloud, due)
    payment = cloud.wait_for_payment(due["payment_id"], {"held"})
    assert payment["reason"] == "refund_refused"
    assert at_provider(cloud, due) == [(50000, "failed")]

    assert act(cloud, due, "retry").status == 202
    cloud.wait_for_payment(due["payment_id"], {"refunded"})
    assert at_provider(cloud, due) == [(50000, "failed"), (50000, "processed")]


def test_a_refund_that_paystack_turns_down_is_held_and_the_money_can_be_assigned(
    cloud: Cloud, company: Company, due: dict[str, Any]
) -> None:
    cloud.fakes.order("paystack", "refuse", serial_number=due["reference"])
    when_it_is_time(cloud, due)
    payment = cloud.wait_for_payment(due["payment_id"], {"held"})
    assert payment["reason"] == "refund_refused"
    right = company.meter()
    answer = act(cloud, due, "resolve", outcome="assign", serial_number=right.serial_number)
    assert answer.status == 202
    payment = cloud.wait_for_payment(due["payment_id"], {"completed"})
    assert lines_of(payment) == "energy 500.00"
    assert at_provider(cloud, due) == []


# --- by hand --------------------------------------------------------------------------------


def test_a_part_is_given_back_by_hand_and_the_rest_waits_for_a_person(
    cloud: Cloud, due: dict[str, Any]
) -> None:
    assert act(cloud, due, "refund", amount="200.00").status == 202
    payment = cloud.wait_for_payment(due["payment_id"], {"held"})
    assert payment["reason"] == "partly_refunded"
    assert at_provider(cloud, due) == [(20000, "processed")]
    too_much = act(cloud, due, "refund", amount="300.01")
    assert (too_much.status, too_much.code) == (409, "not_refundable")

    assert act(cloud, due, "refund").status == 202
    cloud.wait_for_payment(due["payment_id"], {"refunded"})
    assert at_provider(cloud, due) == [(20000, "processed"), (30000, "processed")]


@pytest.fixture
def uncertain(cloud: Cloud, company: Company) -> dict[str, Any]:
    """A payment of 500 that was settled, and held: nobody knows whether Calin has issued."""
    household = company.meter()
    cloud.fakes.order("calin", "garbage", serial_number=household.serial_number)
    return cloud.wait_for_payment(paid_by_checkout(cloud, household), {"held"})


def test_a_settled_payment_that_bought_nothing_is_given_back_whole(
    cloud: Cloud, uncertain: dict[str, Any]
) -> None:
    assert act(cloud, uncertain, "refund").status == 202
    payment = cloud.wait_for_payment(uncertain["payment_id"], {"refunded"})
    assert lines_of(payment) == "energy 500.00, energy -500.00"
    assert payment["vends"][0]["state"] == "void"
    assert at_provider(cloud, uncertain) == [(50000, "processed")]
    account = cloud.account(uncertain["customer_id"])
    assert (account["credit"], account["version"]) == ("0.00", 3)
    assert cloud.wait_for_message(uncertain["payment_id"], 101)


def test_what_is_not_given_back_of_a_settled_payment_is_credit(
    cloud: Cloud, company: Company, uncertain: dict[str, Any]
) -> None:
    assert act(cloud, uncertain, "refund", amount="200.00").status == 202
    payment = cloud.wait_for_payment(uncertain["payment_id"], {"refunded"})
    assert lines_of(payment) == "energy 500.00, energy -500.00, credit 300.00"
    assert at_provider(cloud, uncertain) == [(20000, "processed")]
    assert cloud.account(uncertain["customer_id"])["credit"] == "300.00"

    following = company.pay(uncertain["serial_number"], "100.00")
    assert lines_of(following) == "energy 400.00, credit -300.00"


def test_the_money_of_a_refund_that_fails_can_become_credit(
    cloud: Cloud, uncertain: dict[str, Any]
) -> None:
    cloud.fakes.order("paystack", "refund_fails", serial_number=uncertain["reference"])
    assert act(cloud, uncertain, "refund").status == 202
    payment = cloud.wait_for_payment(uncertain["payment_id"], {"held"})
    assert payment["reason"] == "refund_refused"
    assert act(cloud, uncertain, "resolve", outcome="credit").status == 202
    payment = cloud.wait_for_payment(uncertain["payment_id"], {"completed"})
    assert lines_of(payment) == "energy 500.00, energy -500.00, credit 500.00"
    assert cloud.account(uncertain["customer_id"])["credit"] == "500.00"


def test_what_has_bought_something_is_not_given_back(cloud: Cloud, company: Company) -> None:
    payment_id = paid_by_checkout(cloud, company.meter())
    payment = cloud.wait_for_payment(payment_id, {"completed"})
    answer = act(cloud, payment, "refund")
    assert (answer.status, answer.code) == (409, "not_held")
    assert cloud.payment(payment_id) == payment
    assert at_provider(cloud, payment) == []


def test_a_channel_without_a_way_back_gives_nothing_back(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    cloud.fakes.order("calin", "refuse", serial_number=household.serial_number)
    payment = company.pay_for("500", household)
    assert payment["status"] == "held"
    answer = act(cloud, payment, "refund")
    assert (answer.status, answer.code) == (409, "not_refundable")
    assert cloud.payment(payment["payment_id"]) == payment


def test_a_refund_is_asked_for_in_its_form_by_operations_only(
    cloud: Cloud, due: dict[str, Any]
) -> None:
    path = f"/payments/{due['payment_id']}/refund"
    for role in ("office", "field", "agent", "finance"):
        assert cloud.staff(role).post(path, {"reason": "mine"}).status == 403, role
    operations = cloud.staff("operations")
    for body, code, fields in (
        ({}, "invalid", {"reason"}),
        ({"reason": "x", "amount": "0"}, "invalid_amount", {"amount"}),
        ({"reason": "x", "amount": "1.001"}, "invalid_amount", {"amount"}),
        ({"reason": "x", "amount": "much"}, "invalid_amount", {"amount"}),
        ({"reason": "x", "currency": "KES"}, "invalid", {"currency"}),
    ):
        answer = operations.post(path, body)
        assert (answer.status, answer.code, answer.fields) == (422, code, fields), body
    more = operations.post(path, {"reason": "x", "amount": "500.01"})
    assert (more.status, more.code) == (409, "not_refundable")
    nothing = operations.post(f"/payments/paystack-{'0' * 32}/refund", {"reason": "x"})
    assert (nothing.status, nothing.code) == (404, "not_found")
    assert cloud.payment(due["payment_id"]) == due
    assert at_provider(cloud, due) == []
