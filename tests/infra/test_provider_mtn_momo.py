"""The fake of MTN MoMo, asked over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3

from infra.local.providers import mtn_momo, secret
from tests.infra.running_fakes import Running, basic, call, running, without_none
from tests.infra.webhooks import Company
from tests.infra.webhooks import company as listening

KEY = "mtn_momo"
GIVEN = mtn_momo.made_up()
REFERENCE = "0f1e2d3c-0000-4000-8000-0000000000a1"
REFUND = "0f1e2d3c-0000-4000-8000-0000000000b1"
REQUEST = {
    "amount": "2500",
    "currency": "KES",
    "externalId": "47000123456",
    "payer": {"partyIdType": "MSISDN", "partyId": "254712000001"},
    "payerMessage": "Energy",
    "payeeNote": "",
}
COLLECTION = {name: GIVEN[name] for name in ("user", "api_key", "subscription_key")}
DISBURSEMENT = {name: GIVEN[f"disbursement_{name}"] for name in COLLECTION}

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def company() -> Iterator[Company]:
    """Who takes the callbacks."""
    with listening() as started:
        yield started


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """A freshly started MTN MoMo that knows the company's address."""
    with running(tmp_path, company.url, (), [KEY], {KEY: GIVEN}) as started:
        yield started


def log_in(fakes: Running, product: str, credentials: dict[str, str], **changes: str) -> Reply:
    known = {**credentials, **changes}
    return call(
        "POST",
        f"{fakes.urls[KEY]}/{product}/token/",
        Authorization=basic(known["user"], known["api_key"]),
        Ocp_Apim_Subscription_Key=known["subscription_key"],
    )


@pytest.fixture
def tokens(fakes: Running) -> dict[str, str]:
    """A token for each product."""
    return {
        "collection": log_in(fakes, "collection", COLLECTION).json()["access_token"],
        "disbursement": log_in(fakes, "disbursement", DISBURSEMENT).json()["access_token"],
    }


def ask(
    fakes: Running,
    tokens: dict[str, str],
    method: str,
    path: str,
    body: Any = None,
    **headers: str | None,
) -> Reply:
    product = path.partition("/")[0]
    known = COLLECTION if product == "collection" else DISBURSEMENT
    sent = {
        "Authorization": f"Bearer {tokens[product]}",
        "Ocp_Apim_Subscription_Key": known["subscription_key"],
        "X_Target_Environment": "mtnuganda",
        **headers,
    }
    return call(method, f"{fakes.urls[KEY]}/{path}", body, **without_none(sent))


def request(
    fakes: Running, tokens: dict[str, str], headers: dict[str, str] | None = None, **changes: Any
) -> Reply:
    """A payer is asked for 2500; changes replace fields, ``None`` leaves one out."""
    fields = without_none({**REQUEST, **changes})
    sent = {"X_Reference_Id": REFERENCE, **(headers or {})}
    return ask(fakes, tokens, "POST", "collection/v1_0/requesttopay", fields, **sent)


def callback_to(company: Company) -> dict[str, str]:
    return {"X_Callback_Url": f"{company.url}/payments/mtn_momo/{GIVEN['path_secret']}"}


def look(fakes: Running, tokens: dict[str, str], reference: str = REFERENCE) -> dict[str, Any]:
    """What became of a payment."""
    answer = ask(fakes, tokens, "GET", f"collection/v1_0/requesttopay/{reference}")
    body: dict[str, Any] = answer.json()
    return body


def refund(
    fakes: Running, tokens: dict[str, str], refund_id: str = REFUND, **changes: Any
) -> Reply:
    """A refund of 1000."""
    fields = {
        "amount": "1000",
        "currency": "KES",
        "externalId": "47000123456",
        "payerMessage": "unknown device",
        "payeeNote": "unknown device",
        "referenceIdToRefund": REFERENCE,
        **changes,
    }
    path = "disbursement/v1_0/refund"
    return ask(fakes, tokens, "POST", path, without_none(fields), X_Reference_Id=refund_id)


def look_at_refund(fakes: Running, tokens: dict[str, str], refund_id: str = REFUND) -> Any:
    return ask(fakes, tokens, "GET", f"disbursement/v1_0/refund/{refund_id}").json()


def control(fakes: Running, name: str, **fields: Any) -> Reply:
    return call("POST", f"{fakes.control}/{KEY}/{name}", fields)


def pay(fakes: Running, **more: Any) -> Reply:
    return control(fakes, "pay", reference=REFERENCE, **more)


def refused(answer: Reply) -> tuple[int, str]:
    """The status and the code of a refusal."""
    body = answer.json()
    assert set(body) == {"code", "message"}
    return answer.status, body["code"]


def test_the_secret_holds_what_the_company_was_given() -> None:
    known = {
        "base_url": "http://mtn.example",
        **COLLECTION,
        "environment": "mtnuganda",
        "currency": "KES",
        "public_url": "",
        "path_secrets": [GIVEN["path_secret"]],
        "disbursement": DISBURSEMENT,
    }
    assert secret(KEY, GIVEN, "http://mtn.example") == known
    given = {**GIVEN, "public_url": "http://api.example"}
    assert secret(KEY, given, "http://mtn.example")["public_url"] == "http://api.example"


def test_the_way_through(fakes: Running, tokens: dict[str, str], company: Company) -> None:
    answer = request(fakes, tokens, callback_to(company))
    assert (answer.status, answer.data) == (202, b"")
    assert look(fakes, tokens) == {**REQUEST, "status": "PENDING"}
    assert pay(fakes).json()["webhook_status"] == 200
    told = company.only()
    assert (told.method, told.headers["content-type"]) == ("PUT", "application/json")
    assert told.target == f"/payments/mtn_momo/{GIVEN['path_secret']}"
    after = look(fakes, tokens)
    assert json.loads(told.body) == after
    assert after.pop("financialTransactionId").isdecimal()
    assert after == {**REQUEST, "status": "SUCCESSFUL"}


def test_only_the_company_is_answered(fakes: Running, tokens: dict[str, str]) -> None:
    granted = log_in(fakes, "collection", COLLECTION).json()
    assert (granted["token_type"], granted["expires_in"]) == ("access_token", 3600)
    for changes in ({"user": "guess"}, {"api_key": "guess"}, {"subscription_key": "guess"}):
        assert log_in(fakes, "collection", COLLECTION, **changes).status == 401
    assert log_in(fakes, "disbursement", COLLECTION).status == 401
    swapped = {"collection": tokens["disbursement"], "disbursement": tokens["collection"]}
    assert request(fakes, swapped).status == 401
    assert request(fakes, tokens, {"Ocp_Apim_Subscription_Key": "guess"}).status == 401
    environment = request(fakes, tokens, {"X_Target_Environment": "sandbox"})
    assert refused(environment) == (500, "NOT_ALLOWED_TARGET_ENVIRONMENT")
    control(fakes, "expire-tokens")
    assert request(fakes, tokens).status == 401
    tokens["collection"] = log_in(fakes, "collection", COLLECTION).json()["access_token"]
    assert request(fakes, tokens).status == 202


def test_anything_undocumented_is_refused(
    fakes: Running, tokens: dict[str, str], company: Company
) -> None:
    changes: list[dict[str, Any]] = [
        *({"amount": amount} for amount in (2500, "0", "-1", "1.005", "1e3", None)),
        {"externalId": None},
        {"payer": {"partyIdType": "EMAIL", "partyId": "asha@mwanga.example"}},
        {"payer": {"partyIdType": "MSISDN", "partyId": "+254712000001"}},
        {"payerMessage": "a" * 161},
        {"serial_number": "47000123456"},
    ]
    for change in changes:
        assert refused(request(fakes, tokens, **change)) == (400, "BAD_REQUEST"), change
    for reference in ("", "0f1e2d3c0000400080000000000000a1"):
        assert request(fakes, tokens, {"X_Reference_Id": reference}).status == 400
    assert refused(request(fakes, tokens, currency="UGX")) == (500, "INVALID_CURRENCY")
    for url in ("https://elsewhere.example/api/a", f"{company.url}.elsewhere.example/a"):
        answer = request(fakes, tokens, {"X_Callback_Url": url})
        assert refused(answer) == (500, "INVALID_CALLBACK_URL_HOST")
    unknown = ask(fakes, tokens, "GET", f"collection/v1_0/requesttopay/{REFERENCE}")
    assert refused(unknown) == (404, "RESOURCE_NOT_FOUND")
    assert pay(fakes).status == 404


def test_an_id_is_good_for_one_request(fakes: Running, tokens: dict[str, str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: request(fakes, tokens), range(4)))
    assert sorted(answer.status for answer in answers) == [202, *3 * [409]]
    again = request(fakes, tokens, {"X_Reference_Id": REFERENCE.upper()})
    assert refused(again) == (409, "RESOURCE_ALREADY_EXIST")


def test_who_refused_may_still_pay_and_a_success_stays(
    fakes: Running, tokens: dict[str, str], company: Company
) -> None:
    request(fakes, tokens, callback_to(company))
    pay(fakes, status="FAILED")
    assert json.loads(company.only().body)["reason"]["code"] == "APPROVAL_REJECTED"
    pay(fakes, status="FAILED", reason="EXPIRED", notify=False)
    assert (look(fakes, tokens)["status"], look(fakes, tokens)["reason"]) == ("FAILED", "EXPIRED")
    pay(fakes, amount="1000.50", method="POST")
    assert company.only().method == "POST"
    pay(fakes, status="FAILED", times=2)
    assert [json.loads(told.body)["status"] for told in company.received] == 2 * ["FAILED"]
    after = look(fakes, tokens)
    assert (after["status"], after["amount"]) == ("SUCCESSFUL", "1000.5")


def test_callbacks_can_be_sent_again_and_otherwise(
    fakes: Running, tokens: dict[str, str], company: Company
) -> None:
    request(fakes, tokens, callback_to(company))
    pay(fakes, notify=False)
    assert company.received == []
    company.status = 500
    again = control(fakes, "notify", reference=REFERENCE, times=2).json()
    assert (again["webhook_status"], len(company.received)) == (500, 2)
    control(fakes, "notify", reference=REFERENCE, status="PENDING", amount=1)
    other = json.loads(company.received[-1].body)
    assert (other["status"], other["amount"]) == ("PENDING", "1")
    assert look(fakes, tokens) == json.loads(company.received[0].body)
    assert control(fakes, "notify", reference="other").status == 404
    assert control(fakes, "notify", reference=REFERENCE, status="DONE").status == 422


def test_without_an_address_nobody_is_told(fakes: Running, tokens: dict[str, str]) -> None:
    request(fakes, tokens)
    assert pay(fakes).json() == {"webhook_status": None}


def test_no_more_than_what_is_left_is_refunded(fakes: Running, tokens: dict[str, str]) -> None:
    request(fakes, tokens)
    assert refused(refund(fakes, tokens)) == (400, "NOT_ALLOWED")
    pay(fakes)
    assert refused(refund(fakes, tokens, amount="2500.01")) == (400, "NOT_ALLOWED")
    assert refused(refund(fakes, tokens, amount=1000)) == (400, "BAD_REQUEST")
    assert refused(refund(fakes, tokens, referenceIdToRefund=REFUND))[0] == 404
    assert fakes.refunds(KEY) == []
    answer = refund(fakes, tokens)
    assert (answer.status, answer.data) == (202, b"")
    assert refused(refund(fakes, tokens)) == (409, "RESOURCE_ALREADY_EXIST")
    other = REFUND.replace("b1", "b2")
    assert refund(fakes, tokens, other, amount="1501").status == 400
    assert refund(fakes, tokens, other, amount="1500").status == 202
    shown = look_at_refund(fakes, tokens)
    assert (shown["status"], shown["amount"]) == ("SUCCESSFUL", "1000")
    assert shown["payee"] == REQUEST["payer"]
    first, second = fakes.refunds(KEY)
    assert (first["refund_id"], first["reference"]) == (REFUND, REFERENCE)
    assert (first["status"], second["status"]) == ("SUCCESSFUL", "PENDING")


def test_a_refund_may_take_its_time_and_fail(fakes: Running, tokens: dict[str, str]) -> None:
    request(fakes, tokens)
    pay(fakes)
    fakes.order(KEY, "refund_fails", serial_number=REFERENCE, times=1)
    fakes.order(KEY, "pending", times=1)
    refund(fakes, tokens, amount="2500")
    looks = [look_at_refund(fakes, tokens) for _ in range(2)]
    assert [shown["status"] for shown in looks] == ["PENDING", "FAILED"]
    assert looks[1]["reason"]["code"] == "INTERNAL_PROCESSING_ERROR"
    assert refund(fakes, tokens, REFUND.replace("b1", "b2"), amount="2500").status == 202


def test_faults(fakes: Running, tokens: dict[str, str]) -> None:
    fakes.order(KEY, "error_500", times=1)
    assert request(fakes, tokens).status == 500
    fakes.order(KEY, "refuse", times=1)
    assert refused(request(fakes, tokens)) == (400, "PAYER_NOT_FOUND")
    fakes.order(KEY, "garbage", serial_number=REFERENCE, times=1)
    assert request(fakes, tokens).data.startswith(b"<html>")
    pay(fakes)
    fakes.order(KEY, "pending", times=1)
    assert [look(fakes, tokens)["status"] for _ in range(2)] == ["PENDING", "SUCCESSFUL"]
    fakes.order(KEY, "refuse", serial_number=REFERENCE, times=1)
    assert refused(refund(fakes, tokens)) == (400, "NOT_ENOUGH_FUNDS")
    assert fakes.refunds(KEY) == []
