"""Paystack: checkouts that we open, signed notices, and payments of which nobody told us."""

from __future__ import annotations

import hashlib
import hmac
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import requests

from infra.local.client import Answer, Cloud, now
from tests.e2e.company import Company, Household, lines_of, serial, tokens_of
from tests.e2e.lambdas import sweep_now
from tests.e2e.tables import rewrite_moment

HUNDREDTHS = 50000
"""What the checkouts are for: 500 shillings."""


@dataclass(frozen=True)
class Checkout:
    """A checkout that was opened, and not paid yet."""

    household: Household
    payment_id: str
    reference: str
    page: str


def opened(cloud: Cloud, household: Household) -> Checkout:
    answer = cloud.paystack.checkout(household.serial_number, "500.00")
    assert answer.status == 201, answer
    body = answer.body
    return Checkout(household, body["payment_id"], body["reference"], body["authorization_url"])


@pytest.fixture
def checkout(cloud: Cloud, company: Company) -> Checkout:
    """A checkout of 500 for a meter."""
    return opened(cloud, company.meter())


def notify(cloud: Cloud, checkout: Checkout, **changes: Any) -> Answer:
    """Tell that it was paid; ``changes`` replace what is said of it."""
    data = cloud.paystack.notice(checkout.reference, HUNDREDTHS, **changes)
    return cloud.paystack.webhook("charge.success", data)


def issued(cloud: Cloud, checkout: Checkout) -> list[str]:
    return cloud.fakes.issued("calin", checkout.household.serial_number)


def conflicts(payment: dict[str, Any]) -> list[str]:
    return [e["reason"] for e in payment["events"] if e["what"] == "reference_conflict"]


def latest(cloud: Cloud, household: Household) -> dict[str, Any]:
    """The latest payment for the household's device."""
    found = cloud.staff("office").get("/payments", serial_number=household.serial_number)
    payment: dict[str, Any] = found.body["items"][0]
    return payment


# --- opening a checkout ---------------------------------------------------------------------


def test_a_checkout_is_stored_as_pending_and_known_to_paystack_in_hundredths(
    cloud: Cloud, checkout: Checkout
) -> None:
    payment = cloud.payment(checkout.payment_id)
    assert (payment["status"], payment["amount"]) == ("pending", "500.00")
    assert checkout.payment_id == cloud.paystack.payment_id(checkout.reference)
    assert (payment["lines"], payment["vends"]) == ([], [])

    verified = requests.get(
        f"{cloud.stack['fakes']['paystack']}/transaction/verify/{checkout.reference}",
        headers={"Authorization": f"Bearer {cloud.paystack.secret_key}"},
        timeout=10,
    ).json()["data"]
    assert (verified["amount"], verified["currency"]) == (HUNDREDTHS, "KES")
    assert verified["metadata"] == {"serial_number": checkout.household.serial_number}
    assert "KES 500.00" in requests.get(checkout.page, timeout=10).text


def test_a_second_checkout_is_another_payment(cloud: Cloud, checkout: Checkout) -> None:
    second = opened(cloud, checkout.household)
    assert second.reference != checkout.reference
    assert cloud.payment(checkout.payment_id)["status"] == "pending"


def test_what_would_be_refused_is_not_opened(cloud: Cloud, company: Company) -> None:
    meter, nobodys = company.meter(), company.meter()
    paid_off = company.shs(total="700.00", instalments=1)
    company.pay_for("700", paid_off)
    unassigned = {"customer_id": None, "reason": "moved away"}
    cloud.staff("office").put(f"/devices/{nobodys.serial_number}/owner", unassigned)
    for serial_number, amount, code in (
        (serial(), "500.00", "unknown_device"),
        ("no serial number!", "500.00", "unknown_device"),
        (nobodys.serial_number, "500.00", "device_unassigned"),
        (paid_off.serial_number, "500.00", "nothing_to_pay"),
        (meter.serial_number, "9.99", "too_small"),  # 0.1 kWh costs 10
        (meter.serial_number, "0", "invalid_amount"),
        (meter.serial_number, "-500.00", "invalid_amount"),
        (meter.serial_number, "500.001", "invalid_amount"),
        (meter.serial_number, "9" * 30, "invalid_amount"),
        (meter.serial_number, "five hundred", "invalid_amount"),
        (serial(), "0", "invalid_amount"),  # the first code that applies
    ):
        answer = cloud.paystack.checkout(serial_number, amount)
        assert (answer.status, answer.code) == (422, code), (serial_number, amount)


def test_a_device_without_any_plan_is_refused(cloud: Cloud, company: Company) -> None:
    household, other = company.shs(), company.meter()
    office = cloud.staff("office")
    office.post(
        f"/customers/{household.customer_id}/plans/{household.plan_id}/cancel", {"reason": "back"}
    )
    office.put(
        f"/devices/{household.serial_number}/owner",
        {"customer_id": other.customer_id, "reason": "second hand"},
    )
    answer = cloud.paystack.checkout(household.serial_number, "500.00")
    assert (answer.status, answer.code) == (422, "no_plan")


def test_a_checkout_in_another_form_is_not_taken(cloud: Cloud, company: Company) -> None:
    meter = company.meter().serial_number
    for more, fields in (
        ({"email": "nobody"}, {"email"}),
        ({"email": 5}, {"email"}),
        ({"reference": "mine"}, {"reference"}),
        ({"serial_number": 5}, {"serial_number"}),
        ({"serial_number": " "}, {"serial_number"}),
    ):
        answer = cloud.paystack.checkout(**{"serial_number": meter, "amount": "500.00", **more})
        assert (answer.status, answer.fields) == (422, fields), more
    missing = cloud.api.call("POST", cloud.paystack.checkout_path, {"serial_number": meter})
    assert (missing.status, missing.fields) == (422, {"amount"})
    no_json = cloud.api.call("POST", cloud.paystack.checkout_path, b"{")
    assert (no_json.status, no_json.code) == (400, "malformed")
    assert cloud.staff("office").get("/payments", serial_number=meter).body["items"] == []


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("refuse_connection", "expired", "provider_unreachable"),
        ("refuse", "expired", "refused_by_provider"),
        ("error_500", "pending", None),
        ("garbage", "pending", None),
    ],
)
def test_a_page_that_was_not_opened_is_asked_for_again(
    cloud: Cloud, company: Company, fault: str, status: str, reason: str | None
) -> None:
    """Only a payment that Paystack surely knows nothing of has expired at once."""
    meter = company.meter()
    cloud.fakes.order("paystack", fault)
    answer = cloud.paystack.checkout(meter.serial_number, "500.00")
    assert (answer.status, answer.code) == (503, "try_again")
    payment = latest(cloud, meter)
    assert (payment["status"], payment["reason"]) == (status, reason)

    cloud.fakes.clear()
    again = opened(cloud, meter)
    assert again.payment_id != payment["payment_id"]


# --- the notice -----------------------------------------------------------------------------


def test_a_signed_notice_brings_the_token_and_the_sms(cloud: Cloud, checkout: Checkout) -> None:
    assert cloud.fakes.pay(checkout.reference) == 200
    payment = cloud.wait_for_payment(checkout.payment_id, {"completed"})
    assert (lines_of(payment), tokens_of(payment)) == ("energy 500.00", "energy 5 kWh")
    assert issued(cloud, checkout) == [payment["tokens"][0]["value"]]
    message = cloud.wait_for_message(checkout.payment_id, 1)
    assert message["to"] == checkout.household.phone
    assert payment["tokens"][0]["value"] in message["body"].replace(" ", "")


def test_a_notice_that_is_not_signed_by_paystack_changes_nothing(
    cloud: Cloud, checkout: Checkout
) -> None:
    before = cloud.payment(checkout.payment_id)
    data = cloud.paystack.notice(checkout.reference, HUNDREDTHS)
    body = json.dumps({"event": "charge.success", "data": data}).encode()
    of_body = hmac.new(cloud.paystack.secret_key.encode(), body, hashlib.sha512).hexdigest()
    for sent, signature in (
        (body, None),
        (body, ""),
        (body, "0" * 128),
        (body, of_body[:-1]),
        (body.replace(b"50000", b"50001"), of_body),  # tampered with
        (body + b" ", of_body),
    ):
        headers = {} if signature is None else {"x-paystack-signature": signature}
        answer = cloud.api.call("POST", cloud.paystack.webhook_path, sent, headers=headers)
        assert answer.status == 401, (sent, signature)
    other_key = cloud.paystack.post(body, key="sk_test_" + "0" * 40)
    assert other_key.status == 401
    assert cloud.payment(checkout.payment_id) == before

    assert cloud.paystack.post(body).status == 200  # the very same bytes, truly signed
    cloud.wait_for_payment(checkout.payment_id, {"completed"})


def test_one_notice_twenty_times_at_once_is_one_payment_and_one_token(
    cloud: Cloud, checkout: Checkout
) -> None:
    data = cloud.paystack.notice(checkout.reference, HUNDREDTHS)
    with ThreadPoolExecutor(20) as pool:
        told = pool.map(lambda _: cloud.paystack.webhook("charge.success", data), range(20))
        assert {answer.status for answer in told} <= {200, 503}
    assert cloud.paystack.webhook("charge.success", data).status == 200
    payment = cloud.wait_for_payment(checkout.payment_id, {"completed"})
    assert issued(cloud, checkout) == [payment["tokens"][0]["value"]]
    assert cloud.account(checkout.household.customer_id)["version"] == 2
    assert conflicts(payment) == []
    cloud.wait_for_message(checkout.payment_id, 1)
    assert len(cloud.sms(checkout.payment_id)) == 1


def test_money_that_was_not_agreed_is_not_credited(cloud: Cloud, checkout: Checkout) -> None:
    changes: tuple[dict[str, Any], ...] = ({"amount": 50001}, {"amount": 1}, {"currency": "NGN"})
    for change in changes:
        for _ in range(2):
            answer = notify(cloud, checkout, id=4711, **change)
            assert (answer.status, answer.body) == (200, {"status": "conflict"})
    payment = cloud.payment(checkout.payment_id)
    assert (payment["status"], payment["lines"]) == ("pending", [])
    assert conflicts(payment) == ["4711 50001 KES", "4711 1 KES", "4711 50000 NGN"]

    assert notify(cloud, checkout).body == {"status": "ok"}
    payment = cloud.wait_for_payment(checkout.payment_id, {"completed"})
    assert lines_of(payment) == "energy 500.00"


def test_a_second_receipt_for_one_checkout_is_a_conflict(cloud: Cloud, checkout: Checkout) -> None:
    notify(cloud, checkout, id=815001)
    cloud.wait_for_payment(checkout.payment_id, {"completed"})
    assert notify(cloud, checkout, id=815001).body == {"status": "ok"}
    second = notify(cloud, checkout, id=815002)
    assert (second.status, second.body) == (200, {"status": "conflict"})
    payment = cloud.payment(checkout.payment_id)
    assert (payment["status"], conflicts(payment)) == ("completed", ["815002 50000 KES"])
    assert len(issued(cloud, checkout)) == 1


def test_one_receipt_pays_one_checkout(cloud: Cloud, company: Company) -> None:
    first, second = (opened(cloud, company.meter()) for _ in range(2))
    notify(cloud, first, id=816001)
    assert notify(cloud, second, id=816001).body == {"status": "conflict"}
    cloud.wait_for_payment(first.payment_id, {"completed"})
    assert cloud.payment(second.payment_id)["status"] == "pending"


def test_a_late_failure_changes_nothing(cloud: Cloud, checkout: Checkout) -> None:
    """A payer may try twice; news of the try that failed can come last."""
    cloud.fakes.pay(checkout.reference)
    before = cloud.wait_for_payment(checkout.payment_id, {"completed"})
    assert cloud.fakes.pay(checkout.reference, event="charge.failed") == 200
    assert cloud.payment(checkout.payment_id) == before


def test_a_notice_of_nothing_that_was_started_here_is_taken_and_forgotten(cloud: Cloud) -> None:
    for reference in ("T685312322670591", "0" * 32):
        data = cloud.paystack.notice(reference, HUNDREDTHS)
        answer = cloud.paystack.webhook("charge.success", data)
        assert (answer.status, answer.body) == (200, {"status": "unknown_reference"})
    assert cloud.paystack.webhook("transfer.success", {}).body == {"status": "ignored"}


def test_a_signed_notice_that_cannot_be_read_is_to_be_sent_again(cloud: Cloud) -> None:
    for body in (b"{", b"[]", b'{"event": "charge.success"}', b'{"event": 7, "data": {}}'):
        answer = cloud.paystack.post(body)
        assert (answer.status, answer.body) == (400, {"status": "malformed"}), body


# --- nobody told us -------------------------------------------------------------------------


def test_a_payment_of_which_nobody_told_us_is_found_by_asking(
    cloud: Cloud, checkout: Checkout
) -> None:
    assert cloud.fakes.pay(checkout.reference, webhook=False) is None
    assert cloud.payment(checkout.payment_id)["status"] == "pending"
    sweep_now(cloud, checkout.payment_id)
    payment = cloud.wait_for_payment(checkout.payment_id, {"completed"})
    assert issued(cloud, checkout) == [payment["tokens"][0]["value"]]


def test_a_checkout_that_nobody_pays_expires_after_a_day(cloud: Cloud, company: Company) -> None:
    young, old = (opened(cloud, company.meter()) for _ in range(2))
    rewrite_moment(cloud, old.payment_id, "received_at", now() - timedelta(hours=25))
    sweep_now(cloud, young.payment_id, old.payment_id)
    payment = cloud.wait_for_payment(old.payment_id, {"expired"})
    assert payment["reason"] == "not_paid"
    assert cloud.payment(young.payment_id)["status"] == "pending"

    assert cloud.fakes.pay(old.reference) == 200  # the payer takes a day to think it over
    payment = cloud.wait_for_payment(old.payment_id, {"completed"})
    assert (lines_of(payment), payment["reason"]) == ("energy 500.00", None)
    assert cloud.wait_for_message(old.payment_id, 1)
