"""The fake of Flutterwave's API v4, asked over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
import urllib3

from infra.local.providers import secret
from infra.local.providers.flutterwave_v4 import sign
from tests.infra.running_fakes import Running, call, running, without_none
from tests.infra.webhooks import Company
from tests.infra.webhooks import company as listening

KEY = "flutterwave_v4"
REFERENCE = "0f1e2d3c0000400080000000000000a1"

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


def log_in(fakes: Running, **changes: str) -> Reply:
    given = fakes.given[KEY]
    form = {
        "client_id": given["client_id"],
        "client_secret": given["client_secret"],
        "grant_type": "client_credentials",
        **changes,
    }
    kind = "application/x-www-form-urlencoded"
    return call("POST", f"{fakes.urls[KEY]}/token", urlencode(form).encode(), Content_Type=kind)


@pytest.fixture
def token(fakes: Running) -> str:
    """A token that is good."""
    token: str = log_in(fakes).json()["access_token"]
    return token


def ask(
    fakes: Running, token: str, method: str, path: str, body: Any = None, **headers: str
) -> Reply:
    """One call; what changes something has an idempotency key of its own."""
    sent = {"Authorization": f"Bearer {token}", "X_Trace_Id": str(uuid4())}
    if method == "POST":
        sent["X_Idempotency_Key"] = str(uuid4())
    return call(method, f"{fakes.urls[KEY]}{path}", body, **{**sent, **headers})


def charge(
    fakes: Running, token: str, headers: dict[str, str] | None = None, **changes: Any
) -> Reply:
    """A charge of 2500.50; changes replace fields, ``None`` leaves one out."""
    fields = {
        "amount": 2500.5,
        "currency": "KES",
        "reference": REFERENCE,
        "customer": {
            "email": "asha@mwanga.example",
            "phone": {"country_code": "254", "number": "712345678"},
        },
        "payment_method": method(),
        **changes,
    }
    path = "/orchestration/direct-charges"
    return ask(fakes, token, "POST", path, without_none(fields), **(headers or {}))


def method(**changes: Any) -> dict[str, Any]:
    money = {"country_code": "254", "network": "MPESA", "phone_number": "712345678", **changes}
    return {"type": "mobile_money", "mobile_money": without_none(money)}


def refund(
    fakes: Running, token: str, charge_id: str, amount: Any, reason: str = "duplicate"
) -> Reply:
    fields = {"amount": amount, "charge_id": charge_id, "reason": reason}
    return ask(fakes, token, "POST", "/refunds", fields)


def control(fakes: Running, name: str, **fields: Any) -> Reply:
    return call("POST", f"{fakes.control}/{KEY}/{name}", fields)


def pay(fakes: Running, **more: Any) -> Reply:
    return control(fakes, "pay", reference=REFERENCE, **more)


@pytest.fixture
def paid(fakes: Running, token: str) -> str:
    """The id of a charge that was paid."""
    charge_id: str = charge(fakes, token).json()["data"]["id"]
    pay(fakes, notify=False)
    return charge_id


def refused(answer: Reply) -> tuple[int, str]:
    """The status and the type of an error in the provider's own shape."""
    body = answer.json()
    assert (set(body), body["status"]) == ({"status", "error"}, "failed")
    assert set(body["error"]) == {"type", "code", "message", "validation_errors"}
    return answer.status, body["error"]["type"]


def told(fakes: Running, company: Company) -> dict[str, Any]:
    """The only webhook that came; its signature is checked."""
    webhook = company.only()
    secret_hash = fakes.given[KEY]["hash"].encode()
    digest = hmac.new(secret_hash, webhook.body, hashlib.sha256).digest()
    assert webhook.headers["flutterwave-signature"] == base64.b64encode(digest).decode()
    assert webhook.target == "/payments/flutterwave_v4/webhook"
    body: dict[str, Any] = json.loads(webhook.body)
    return body


def test_a_signature_is_that_of_the_published_rule() -> None:
    body = (
        b'{"id":"wbk_1","type":"charge.completed","data":{"id":"chg_1","reference":"r-1",'
        b'"amount":2500,"currency":"NGN","status":"succeeded"}}'
    )
    assert sign(body, "demo-secret-hash") == "vpPGwhCr7aI9o1HGuX4Q1W2FZsQ0fkvpp8P1gEt0o44="


def test_the_secret_holds_what_the_company_was_given(fakes: Running) -> None:
    given = fakes.given[KEY]
    assert secret(KEY, given, "http://flutterwave.example") == {
        "base_url": "http://flutterwave.example",
        "token_url": "http://flutterwave.example/token",
        "client_id": given["client_id"],
        "client_secret": given["client_secret"],
        "hashes": [given["hash"]],
        "email": "payments@mwanga.example",
        "country_code": "254",
        "networks": ["MPESA", "AIRTEL"],
    }


def test_the_way_through(fakes: Running, token: str, company: Company) -> None:
    answer = charge(fakes, token)
    assert (answer.status, answer.json()["status"]) == (201, "success")
    started = answer.json()["data"]
    assert started["id"].startswith("chg_")
    assert (started["status"], started["reference"]) == ("pending", REFERENCE)
    assert started["next_action"]["type"] == "payment_instruction"
    assert pay(fakes).json()["webhook_status"] == 200
    done = ask(fakes, token, "GET", f"/charges/{started['id']}").json()["data"]
    assert (done["status"], done["amount"], done["currency"]) == ("succeeded", 2500.5, "KES")
    assert "next_action" not in done
    webhook = told(fakes, company)
    assert (webhook["type"], webhook["id"][:4]) == ("charge.completed", "wbk_")
    for name in ("id", "reference", "amount", "currency", "status"):
        assert webhook["data"][name] == done[name]


def test_only_the_company_gets_a_token(fakes: Running, token: str) -> None:
    granted = log_in(fakes).json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 600)
    assert log_in(fakes, client_secret="guess").status == 401
    assert log_in(fakes, grant_type="password").status == 400
    assert refused(charge(fakes, "guess")) == (401, "UNAUTHORIZED")
    control(fakes, "expire-tokens")
    assert refused(charge(fakes, token)) == (401, "UNAUTHORIZED")
    assert charge(fakes, log_in(fakes).json()["access_token"]).status == 201


UNDOCUMENTED: tuple[dict[str, Any], ...] = (
    *({"amount": amount} for amount in (0, -1, 1.005, "2500.50", True, None)),
    {"reference": "short"},
    {"reference": "a" * 43},
    {"currency": "kes"},
    {"currency": "TZS"},
    {"customer": {"phone": {"country_code": "254", "number": "712345678"}}},
    {"customer": {"email": "a@b.example", "phone": {"number": "712345678"}}},
    {"payment_method": {"type": "card"}},
    {"payment_method": method(network="MTN")},
    {"payment_method": method(phone_number="254712345678")},
    {"payment_method": method(network=None)},
    {"serial_number": "47000123456"},
    {"headers": {"X_Idempotency_Key": "short"}},
    {"headers": {"X_Trace_Id": "short"}},
)


def test_anything_undocumented_is_refused(fakes: Running, token: str) -> None:
    for change in UNDOCUMENTED:
        assert refused(charge(fakes, token, **change))[0] == 400, change
    assert pay(fakes).status == 404


def test_a_key_is_answered_as_it_was_and_a_reference_is_used_once(
    fakes: Running, token: str
) -> None:
    key = {"X_Idempotency_Key": str(uuid4())}
    first = charge(fakes, token, key).json()
    pay(fakes, notify=False)
    assert charge(fakes, token, key).json() == first
    assert refused(charge(fakes, token)) == (409, "CHARGE_ALREADY_EXISTS")
    with ThreadPoolExecutor(4) as pool:
        key = {"X_Idempotency_Key": str(uuid4())}
        answers = pool.map(lambda _: charge(fakes, token, key, reference="another").data, range(4))
        assert len(set(answers)) == 1


def test_a_charge_is_found_by_its_reference(fakes: Running, token: str, paid: str) -> None:
    charge(fakes, token, reference="another")
    found = ask(fakes, token, "GET", f"/charges?reference={REFERENCE}").json()
    assert [item["id"] for item in found["data"]] == [paid]
    assert found["meta"]["page_info"] == {"total": 1, "current_page": 1, "total_pages": 1}
    assert ask(fakes, token, "GET", "/charges?reference=nothing").json()["data"] == []
    assert len(ask(fakes, token, "GET", "/charges").json()["data"]) == 2
    assert refused(ask(fakes, token, "GET", "/charges?size=9"))[0] == 400
    assert refused(ask(fakes, token, "GET", "/charges/chg_x")) == (404, "RESOURCE_NOT_FOUND")
    assert refused(ask(fakes, token, "GET", "/customers")) == (404, "RESOURCE_NOT_FOUND")


def test_failures_repeats_and_untruths_are_told(
    fakes: Running, token: str, company: Company
) -> None:
    charge_id = charge(fakes, token).json()["data"]["id"]
    pay(fakes, status="failed")
    webhook = told(fakes, company)
    assert (webhook["type"], webhook["data"]["status"]) == ("charge.completed", "failed")
    company.status = 503
    assert pay(fakes, amount=1000, currency="UGX", times=2).json()["webhook_status"] == 503
    assert len({webhook.body for webhook in company.received}) == 1
    company.received.clear()
    control(fakes, "notify", reference=REFERENCE, status="failed", amount="7.25")
    data = told(fakes, company)["data"]
    assert (data["status"], data["amount"], data["currency"]) == ("failed", 7.25, "UGX")
    done = ask(fakes, token, "GET", f"/charges/{charge_id}").json()["data"]
    assert (done["status"], done["amount"], done["currency"]) == ("succeeded", 1000, "UGX")
    assert control(fakes, "notify", reference="another").status == 404
    assert pay(fakes, status="successful").status == 422


def test_a_refund_is_taken_and_completed_when_it_is_looked_at(
    fakes: Running, token: str, paid: str
) -> None:
    answer = refund(fakes, token, paid, 1000, "requested_by_customer")
    data = answer.json()["data"]
    assert (answer.status, data["status"], data["amount_refunded"]) == (201, "new", 1000)
    (item,) = fakes.refunds(KEY)
    assert (item["refund_id"], item["reference"]) == (data["id"], REFERENCE)
    assert (item["amount"], item["status"]) == (1000, "new")
    fakes.order(KEY, "pending", times=1)
    looks = [ask(fakes, token, "GET", f"/refunds/{data['id']}").json() for _ in range(2)]
    assert [look["data"]["status"] for look in looks] == ["pending", "completed"]
    assert refused(ask(fakes, token, "GET", "/refunds/rfd_x"))[0] == 404


def test_no_more_is_given_back_than_was_paid(fakes: Running, token: str, paid: str) -> None:
    assert refund(fakes, token, paid, 2000).status == 201
    assert refused(refund(fakes, token, paid, 500.51))[0] == 400
    assert refused(refund(fakes, token, paid, 500, "unknown device"))[0] == 400
    assert refused(refund(fakes, token, "chg_x", 500))[0] == 404
    unpaid = charge(fakes, token, reference="another").json()["data"]["id"]
    assert refused(refund(fakes, token, unpaid, 1)) == (400, "CHARGE_NOT_SUCCESSFUL")
    assert refund(fakes, token, paid, 500.5).status == 201


def test_a_refund_can_fail_and_its_end_can_be_told(
    fakes: Running, token: str, paid: str, company: Company
) -> None:
    fakes.order(KEY, "refund_fails", serial_number=REFERENCE, times=1)
    first = refund(fakes, token, paid, 2500.5).json()["data"]["id"]
    assert ask(fakes, token, "GET", f"/refunds/{first}").json()["data"]["status"] == "failed"
    second = refund(fakes, token, paid, 2500.5).json()["data"]["id"]
    control(fakes, "refund-webhook", refund_id=second, status="completed")
    webhook = told(fakes, company)
    assert (webhook["type"], webhook["data"]["id"]) == ("refund.completed", second)
    assert (webhook["data"]["status"], webhook["data"]["charge_id"]) == ("completed", paid)
    assert control(fakes, "refund-webhook", refund_id="x", status="failed").status == 404


def test_common_faults_meet_what_changes_something(fakes: Running, token: str) -> None:
    key = {"X_Idempotency_Key": str(uuid4())}
    fakes.order(KEY, "error_500", times=1)
    assert charge(fakes, token, key).status == 500
    fakes.order(KEY, "refuse", times=1)
    assert refused(charge(fakes, token, key)) == (400, "CHARGE_FAILED")
    fakes.order(KEY, "garbage", times=1)
    assert charge(fakes, token, key).data.startswith(b"<html>")
    assert charge(fakes, token, key).json()["data"]["status"] == "pending"
