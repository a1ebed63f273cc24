"""The fake of Pesapal's API 3.0, asked over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import urllib3

from infra.local.providers import secret
from tests.infra.running_fakes import Running, call, running, without_none
from tests.infra.webhooks import Company
from tests.infra.webhooks import company as listening

KEY = "pesapal"
REFERENCE = "0f1e2d3c0000400080000000000000a1"
JSON = "application/json"
REJECTED = {"status": "500", "message": "Refund rejected"}

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def company() -> Iterator[Company]:
    """Who takes the notices."""
    with listening() as started:
        yield started


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """The fake, whose notices go to the company."""
    with running(tmp_path, company.url, only=(), providers_only=(KEY,)) as started:
        yield started


def log_in(fakes: Running, **changes: str) -> Reply:
    given = fakes.given[KEY]
    credentials = {name: given[name] for name in ("consumer_key", "consumer_secret")}
    url = f"{fakes.urls[KEY]}/api/Auth/RequestToken"
    return call("POST", url, {**credentials, **changes}, Accept=JSON)


@pytest.fixture
def token(fakes: Running) -> str:
    """A token that is good."""
    token: str = log_in(fakes).json()["token"]
    return token


def ask(fakes: Running, token: str, method: str, path: str, body: Any = None) -> Reply:
    url = f"{fakes.urls[KEY]}/api/Transactions/{path}"
    return call(method, url, body, Authorization=f"Bearer {token}", Accept=JSON)


def submit(fakes: Running, token: str, **changes: Any) -> Reply:
    """An order of 2500.50; changes replace fields, ``None`` leaves one out."""
    fields = {
        "id": REFERENCE,
        "currency": "KES",
        "amount": 2500.5,
        "description": "47000123456",
        "callback_url": "https://mwanga.example/thanks",
        "notification_id": fakes.given[KEY]["notification_id"],
        "billing_address": {"email_address": "asha@mwanga.example"},
        **changes,
    }
    return ask(fakes, token, "POST", "SubmitOrderRequest", without_none(fields))


@pytest.fixture
def tracking_id(fakes: Running, token: str) -> str:
    """An order."""
    tracking_id: str = submit(fakes, token).json()["order_tracking_id"]
    return tracking_id


def status(fakes: Running, token: str, tracking_id: str) -> dict[str, Any]:
    answer = ask(fakes, token, "GET", f"GetTransactionStatus?orderTrackingId={tracking_id}")
    body: dict[str, Any] = answer.json()
    return body


def refund(fakes: Running, token: str, confirmation_code: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "confirmation_code": confirmation_code,
        "amount": "2500.50",
        "username": fakes.given[KEY]["username"],
        "remarks": "unknown device",
        **changes,
    }
    answer: dict[str, Any] = ask(fakes, token, "POST", "RefundRequest", without_none(fields)).json()
    return answer


def control(fakes: Running, name: str, **fields: Any) -> Reply:
    return call("POST", f"{fakes.control}/{KEY}/{name}", fields)


def pay(fakes: Running, **more: Any) -> Reply:
    return control(fakes, "pay", reference=REFERENCE, **more)


def code_of(answer: Reply) -> str:
    """The code of a refusal, which is told in an answer with HTTP 200."""
    assert (answer.status, answer.json()["status"]) == (200, "500")
    code: str = answer.json()["error"]["code"]
    return code


def test_the_secret_holds_what_the_company_was_given(fakes: Running) -> None:
    given = fakes.given[KEY]
    names = ("consumer_key", "consumer_secret", "notification_id", "username")
    assert secret(KEY, given, "http://pesapal.example") == {
        "base_url": "http://pesapal.example",
        "callback_url": "https://mwanga.example/thanks",
        "email": "payments@mwanga.example",
        **{name: given[name] for name in names},
    }


def test_the_way_through(fakes: Running, token: str, company: Company) -> None:
    answer = submit(fakes, token).json()
    tracking_id = answer.pop("order_tracking_id")
    page = answer.pop("redirect_url")
    assert answer == {"merchant_reference": REFERENCE, "error": None, "status": "200"}
    assert b"KES 2500.50, not paid." in call("GET", page).data
    before = status(fakes, token, tracking_id)
    assert (before["status_code"], before["confirmation_code"], before["status"]) == (0, "", "500")
    assert before["error"]["code"] == "payment_details_not_found"
    assert pay(fakes).json()["webhook_status"] == 200
    notice = company.only()
    assert (notice.method, notice.body) == ("GET", b"")
    target = urlsplit(notice.target)
    assert target.path == "/payments/pesapal/ipn"
    assert dict(parse_qsl(target.query)) == {
        "OrderTrackingId": tracking_id,
        "OrderMerchantReference": REFERENCE,
        "OrderNotificationType": "IPNCHANGE",
    }
    after = status(fakes, token, tracking_id)
    assert (after["status_code"], after["payment_status_description"]) == (1, "Completed")
    assert (after["amount"], after["currency"]) == (2500.5, "KES")
    assert after["merchant_reference"] == REFERENCE
    assert (set(after["error"].values()), after["status"]) == ({None}, "200")
    assert len(after["confirmation_code"]) == 10


def test_only_the_company_gets_a_token(fakes: Running, token: str) -> None:
    wrong = log_in(fakes, consumer_secret="guess")
    assert code_of(wrong) == "invalid_consumer_key_or_secret_provided"
    assert "token" not in wrong.json()
    assert submit(fakes, "guess").status == 401
    assert submit(fakes, token).json()["status"] == "200"
    control(fakes, "expire-tokens")
    assert submit(fakes, token, id="other").status == 401
    assert submit(fakes, log_in(fakes).json()["token"], id="other").json()["status"] == "200"


UNDOCUMENTED: tuple[dict[str, Any], ...] = (
    *({"amount": amount} for amount in (0, -1, 1.005, "2500.50", True, None)),
    {"id": "a" * 51},
    {"id": None},
    {"currency": "TZS"},
    {"currency": "kes"},
    {"description": "a" * 101},
    {"callback_url": None},
    {"notification_id": "fe078e53-78da-4a83-aa89-e7ded5c456e6"},
    {"billing_address": {}},
    {"billing_address": {"email": "asha@mwanga.example"}},
    {"serial_number": "47000123456"},
)


def test_anything_undocumented_is_refused(fakes: Running, token: str) -> None:
    for change in UNDOCUMENTED:
        code_of(submit(fakes, token, **change))
    assert pay(fakes).status == 404


def test_an_order_is_submitted_once(fakes: Running, token: str, tracking_id: str) -> None:
    assert code_of(submit(fakes, token)) == "duplicate_order_id"
    assert "error" in status(fakes, token, "0f1e2d3c-0000-4000-8000-0000000000a1")
    url = f"{fakes.urls[KEY]}/api/Transactions/SubmitOrderRequest"
    without_accept = call("POST", url, {}, Authorization=f"Bearer {token}")
    assert code_of(without_accept) == "invalid_accept_header"
    assert ask(fakes, token, "GET", "SubmitOrderRequest").status == 404


def test_who_failed_may_try_again_and_a_success_stays(
    fakes: Running, token: str, tracking_id: str, company: Company
) -> None:
    pay(fakes, status="FAILED")
    assert status(fakes, token, tracking_id)["status_code"] == 2
    pay(fakes, status="INVALID")
    invalid = status(fakes, token, tracking_id)
    assert (invalid["status_code"], invalid["error"]["code"]) == (0, None)
    pay(fakes, amount=1000, currency="USD", notify=False)
    pay(fakes, status="FAILED", times=2)
    done = status(fakes, token, tracking_id)
    assert (done["status_code"], done["amount"], done["currency"]) == (1, 1000, "USD")
    assert len(company.received) == 4


def test_a_notice_can_be_posted_and_sent_again(
    fakes: Running, tracking_id: str, company: Company
) -> None:
    company.status = 500
    answer = control(fakes, "notify", reference=REFERENCE, method="POST")
    assert answer.json()["webhook_status"] == 500
    notice = company.only()
    assert notice.headers["content-type"] == JSON
    assert json.loads(notice.body)["OrderTrackingId"] == tracking_id
    assert control(fakes, "notify", reference="other").status == 404
    assert control(fakes, "notify", reference=REFERENCE, method="PUT").status == 422


def test_a_refund_is_asked_for_once_and_in_full(
    fakes: Running, token: str, tracking_id: str
) -> None:
    pay(fakes, notify=False)
    code = status(fakes, token, tracking_id)["confirmation_code"]
    assert refund(fakes, token, code, amount="1000.00") == REJECTED
    assert refund(fakes, token, code, username="guess") == REJECTED
    assert refund(fakes, token, "other") == REJECTED
    assert refund(fakes, token, code, remarks=None)["status"] == "500"
    assert fakes.refunds(KEY) == []
    taken = {"status": "200", "message": "Refund request successfully"}
    assert refund(fakes, token, code) == taken
    assert refund(fakes, token, code) == REJECTED
    (item,) = fakes.refunds(KEY)
    assert (item["reference"], item["amount"], item["status"]) == (REFERENCE, 2500.5, "pending")
    fakes.order(KEY, "pending", times=1)
    looks = [status(fakes, token, tracking_id)["status_code"] for _ in range(2)]
    assert looks == [1, 3]
    assert fakes.refunds(KEY)[0]["status"] == "done"


def test_a_refund_to_a_card_may_be_of_a_part_and_can_be_rejected_later(
    fakes: Running, token: str, tracking_id: str
) -> None:
    pay(fakes, payment_method="Visa", notify=False)
    code = status(fakes, token, tracking_id)["confirmation_code"]
    assert refund(fakes, token, code, amount=2500.51) == REJECTED
    fakes.order(KEY, "refund_fails", serial_number=REFERENCE, times=1)
    assert refund(fakes, token, code, amount=1000)["status"] == "200"
    assert status(fakes, token, tracking_id)["status_code"] == 1
    assert fakes.refunds(KEY)[0]["status"] == "rejected"


def test_a_completed_payment_can_be_reversed(
    fakes: Running, token: str, tracking_id: str, company: Company
) -> None:
    assert control(fakes, "reverse", reference=REFERENCE).status == 409
    pay(fakes, notify=False)
    assert control(fakes, "reverse", reference=REFERENCE).json()["webhook_status"] == 200
    company.only()
    reversed_ = status(fakes, token, tracking_id)
    assert (reversed_["status_code"], reversed_["payment_status_description"]) == (3, "Reversed")
    assert refund(fakes, token, reversed_["confirmation_code"]) == REJECTED


def test_common_faults_meet_what_changes_something(fakes: Running, token: str) -> None:
    fakes.order(KEY, "error_500", times=1)
    assert submit(fakes, token).status == 500
    fakes.order(KEY, "refuse", times=1)
    assert code_of(submit(fakes, token)) == "amount_exceeds_default_limit"
    fakes.order(KEY, "garbage", times=1)
    assert submit(fakes, token).data.startswith(b"<html>")
    assert code_of(submit(fakes, token)) == "duplicate_order_id"
