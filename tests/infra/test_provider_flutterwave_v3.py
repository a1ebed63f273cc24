"""The fake of Flutterwave's API v3, asked over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from infra.local.providers import secret
from tests.infra.running_fakes import Running, call, running, without_none
from tests.infra.webhooks import Company
from tests.infra.webhooks import company as listening

KEY = "flutterwave_v3"
REFERENCE = "0f1e2d3c0000400080000000000000a1"
NOT_FOUND = "No transaction was found for this id"

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def company() -> Iterator[Company]:
    """Who takes the webhooks."""
    with listening() as started:
        yield started


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """The fake, whose webhooks go to the company."""
    with running(tmp_path, company.url, only=(), providers_only=(KEY,)) as started:
        yield started


def ask(fakes: Running, method: str, path: str, body: Any = None, key: str | None = None) -> Reply:
    authorization = f"Bearer {key or fakes.given[KEY]['secret_key']}"
    return call(method, f"{fakes.urls[KEY]}/v3{path}", body, Authorization=authorization)


def checkout(fakes: Running, **changes: Any) -> Reply:
    """A checkout of 2500.50; changes replace fields, ``None`` leaves one out."""
    fields = {
        "tx_ref": REFERENCE,
        "amount": "2500.50",
        "currency": "KES",
        "redirect_url": "https://mwanga.example/thanks",
        "customer": {"email": "asha@mwanga.example"},
        "meta": {"serial_number": "47000123456"},
        **changes,
    }
    return ask(fakes, "POST", "/payments", without_none(fields))


def verify(fakes: Running) -> Reply:
    return ask(fakes, "GET", f"/transactions/verify_by_reference?tx_ref={REFERENCE}")


def control(fakes: Running, name: str, **fields: Any) -> Reply:
    return call("POST", f"{fakes.control}/{KEY}/{name}", fields)


def pay(fakes: Running, **more: Any) -> Reply:
    return control(fakes, "pay", reference=REFERENCE, **more)


def paid(fakes: Running) -> int:
    """The id of a transaction that was paid."""
    checkout(fakes)
    pay(fakes, notify=False)
    number: int = verify(fakes).json()["data"]["id"]
    return number


def refused(answer: Reply) -> tuple[int, str]:
    """The status and the text of an error in the provider's own shape."""
    body = answer.json()
    assert (set(body), body["status"], body["data"]) == (
        {"status", "message", "data"},
        "error",
        None,
    )
    return answer.status, body["message"]


def told(fakes: Running, company: Company) -> dict[str, Any]:
    """The only webhook that came; its hash is checked."""
    webhook = company.only()
    assert webhook.headers["verif-hash"] == fakes.given[KEY]["hash"]
    assert webhook.headers["content-type"] == "application/json"
    assert webhook.target == "/payments/flutterwave_v3/webhook"
    body: dict[str, Any] = json.loads(webhook.body)
    return body


def test_the_secret_holds_what_the_company_was_given(fakes: Running) -> None:
    assert secret(KEY, fakes.given[KEY], "http://flutterwave.example") == {
        "base_url": "http://flutterwave.example",
        "secret_key": fakes.given[KEY]["secret_key"],
        "hashes": [fakes.given[KEY]["hash"]],
        "email": "payments@mwanga.example",
    }


def test_the_way_through(fakes: Running, company: Company) -> None:
    answer = checkout(fakes).json()
    link = answer["data"].pop("link")
    assert answer == {"status": "success", "message": "Hosted Link", "data": {}}
    assert b"KES 2500.50, not paid." in call("GET", link).data
    assert refused(verify(fakes)) == (400, NOT_FOUND)
    assert pay(fakes).json()["webhook_status"] == 200
    data = verify(fakes).json()["data"]
    assert (data["tx_ref"], data["status"]) == (REFERENCE, "successful")
    assert (data["amount"], data["currency"]) == (2500.5, "KES")
    assert data["meta"] == {"serial_number": "47000123456"}
    assert ask(fakes, "GET", f"/transactions/{data['id']}/verify").json()["data"] == data
    event = told(fakes, company)
    assert event["event"] == "charge.completed"
    assert event["data"].items() <= data.items()


UNDOCUMENTED: tuple[dict[str, Any], ...] = (
    *({"amount": amount} for amount in (0, -1, "1.005", "٣", True, None)),
    {"tx_ref": None},
    {"tx_ref": "a b"},
    {"currency": "kes"},
    {"currency": "XXX"},
    {"customer": {"name": "Asha"}},
    {"customer": {"email": "asha@mwanga.example", "id": 1}},
    {"customizations": {"colour": "green"}},
    {"redirect_url": "mwanga"},
    {"serial_number": "47000123456"},
)


def test_anything_undocumented_is_refused(fakes: Running) -> None:
    for change in UNDOCUMENTED:
        assert refused(checkout(fakes, **change))[0] == 400, change
    assert pay(fakes).status == 404


def test_others_are_not_served(fakes: Running) -> None:
    assert refused(ask(fakes, "POST", "/payments", {}, "FLWSECK_TEST-guess")) == (
        401,
        "Invalid authorization key",
    )
    assert refused(call("GET", f"{fakes.urls[KEY]}/v3/refunds/1"))[0] == 401
    assert refused(ask(fakes, "GET", "/payments"))[0] == 404
    assert refused(ask(fakes, "GET", "/transactions/1/verify")) == (400, NOT_FOUND)
    assert refused(ask(fakes, "GET", "/transactions/verify_by_reference"))[0] == 400


def test_a_reference_is_good_for_one_checkout(fakes: Running) -> None:
    checkout(fakes)
    assert refused(checkout(fakes)) == (400, "Duplicate transaction reference")


def test_who_failed_may_try_again_and_a_success_stays(fakes: Running, company: Company) -> None:
    checkout(fakes)
    pay(fakes, status="failed")
    failed = told(fakes, company)["data"]
    assert (failed["status"], verify(fakes).json()["data"]["status"]) == ("failed", "failed")
    pay(fakes, amount=1000, currency="USD")
    data = verify(fakes).json()["data"]
    assert (data["amount"], data["currency"], data["status"]) == (1000, "USD", "successful")
    assert data["id"] != failed["id"]
    company.received.clear()
    pay(fakes, status="failed")
    assert told(fakes, company)["data"]["status"] == "failed"
    assert verify(fakes).json()["data"] == data


def test_webhooks_are_repeated_flat_untrue_or_not_sent(fakes: Running, company: Company) -> None:
    checkout(fakes)
    assert control(fakes, "notify", reference=REFERENCE).status == 404
    assert pay(fakes, notify=False).json() == {"webhook_status": None}
    company.status = 503
    assert pay(fakes, times=3).json()["webhook_status"] == 503
    assert len({webhook.body for webhook in company.received}) == 1
    assert len(company.received) == 3
    company.received.clear()
    control(fakes, "notify", reference=REFERENCE, shape="flat", amount=7.25)
    flat = told(fakes, company)
    data = verify(fakes).json()["data"]
    assert (flat["id"], flat["flwRef"], flat["txRef"]) == (data["id"], data["flw_ref"], REFERENCE)
    assert (flat["status"], flat["amount"], flat["currency"]) == ("successful", 7.25, "KES")
    assert data["amount"] == 2500.5
    for wrong in ({"times": 0}, {"amount": 0}, {"status": "reversed"}, {"extra": 1}):
        assert pay(fakes, **wrong).status == 422


def test_a_refund_is_begun_and_the_money_goes_later(fakes: Running) -> None:
    number = paid(fakes)
    asked = {"amount": 1000, "comments": "0f1e.1"}
    answer = ask(fakes, "POST", f"/transactions/{number}/refund", asked).json()
    data = answer.pop("data")
    assert answer == {"status": "success", "message": "Transaction refund initiated"}
    assert (data["tx_id"], data["amount_refunded"]) == (number, 1000)
    assert data["status"] == "completed"
    (item,) = fakes.refunds(KEY)
    assert item.pop("at").endswith("Z")
    assert item == {
        "provider": KEY,
        "refund_id": data["id"],
        "reference": REFERENCE,
        "amount": 1000,
        "status": "completed",
        "request": asked,
    }
    fakes.order(KEY, "pending", times=1)
    looks = [ask(fakes, "GET", f"/refunds/{data['id']}").json()["data"] for _ in range(2)]
    assert [look["status"] for look in looks] == ["pending-momo", "completed-momo"]
    assert refused(ask(fakes, "GET", "/refunds/1"))[0] == 404


def test_no_more_is_given_back_than_was_paid(fakes: Running) -> None:
    number = paid(fakes)
    path = f"/transactions/{number}/refund"
    assert ask(fakes, "POST", path, {"amount": "2000"}).status == 200
    assert refused(ask(fakes, "POST", path, {"amount": 500.51}))[0] == 400
    assert refused(ask(fakes, "POST", path, {}))[0] == 400
    assert refused(ask(fakes, "POST", path, {"amount": 1, "reason": "x"}))[0] == 400
    assert refused(ask(fakes, "POST", "/transactions/1/refund", {})) == (400, NOT_FOUND)
    assert ask(fakes, "POST", path, {"amount": 500.5}).status == 200


def test_a_refund_that_fails_can_be_asked_for_again(fakes: Running, company: Company) -> None:
    number = paid(fakes)
    fakes.order(KEY, "refund_fails", serial_number=REFERENCE, times=1)
    refund = ask(fakes, "POST", f"/transactions/{number}/refund", {}).json()["data"]
    assert refund["status"] == "completed"
    look = ask(fakes, "GET", f"/refunds/{refund['id']}").json()["data"]
    assert look["status"] == "failed"
    again = ask(fakes, "POST", f"/transactions/{number}/refund", {}).json()["data"]
    control(fakes, "refund-webhook", refund_id=again["id"], status="completed-momo")
    event = told(fakes, company)
    assert event["event"] == "refund.completed"
    assert (event["data"]["TransactionId"], event["data"]["AmountRefunded"]) == (number, 2500.5)
    assert [item["status"] for item in fakes.refunds(KEY)] == ["failed", "completed-momo"]


def test_common_faults_meet_what_changes_something(fakes: Running) -> None:
    fakes.order(KEY, "error_500", times=1)
    assert checkout(fakes).status == 500
    fakes.order(KEY, "refuse", times=1)
    assert refused(checkout(fakes))[0] == 400
    fakes.order(KEY, "garbage", times=1)
    assert checkout(fakes).data.startswith(b"<html>")
    pay(fakes, notify=False)
    number = verify(fakes).json()["data"]["id"]
    fakes.order(KEY, "refuse", serial_number=REFERENCE, times=1)
    assert refused(ask(fakes, "POST", f"/transactions/{number}/refund", {}))[0] == 400
    assert fakes.refunds(KEY) == []
