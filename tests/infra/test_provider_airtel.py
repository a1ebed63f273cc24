"""The fake of Airtel's Open API, asked over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3

from infra.local.providers import airtel, secret
from tests.infra.listening import Company, listening
from tests.infra.running_fakes import Running, call, running

KEY = "airtel"
GIVEN = airtel.made_up()
REFERENCE = "0f1e2d3c0000400080000000000000a1"
SUCCESS = {
    "code": "200",
    "message": "SUCCESS",
    "result_code": "ESB000010",
    "response_code": "DP00800001006",
    "success": True,
}

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def company() -> Iterator[Company]:
    """A company that takes callbacks."""
    with listening() as company:
        yield company


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """A freshly started Airtel that tells the company."""
    with running(tmp_path, company.url, (), [KEY], {KEY: GIVEN}) as started:
        yield started


def log_in(fakes: Running, **changes: str) -> Reply:
    fields = {
        "client_id": GIVEN["client_id"],
        "client_secret": GIVEN["client_secret"],
        "grant_type": "client_credentials",
        **changes,
    }
    return call("POST", f"{fakes.urls[KEY]}/auth/oauth2/token", fields)


@pytest.fixture
def token(fakes: Running) -> str:
    """A token that is good."""
    token: str = log_in(fakes).json()["access_token"]
    return token


def ask(
    fakes: Running, token: str, method: str, path: str, body: Any = None, **headers: str
) -> Reply:
    sent = {"X_Country": "KE", "X_Currency": "KES", "Authorization": f"Bearer {token}", **headers}
    return call(method, f"{fakes.urls[KEY]}{path}", body, **sent)


def push(fakes: Running, token: str, **changes: Any) -> Reply:
    """A payer is asked for 2500; changes replace fields wherever they are."""
    fields: dict[str, Any] = {
        "reference": "47000123456",
        "subscriber": {"country": "KE", "currency": "KES", "msisdn": "733000001"},
        "transaction": {"amount": 2500, "country": "KE", "currency": "KES", "id": REFERENCE},
    }
    for name, value in changes.items():
        for part in (fields, fields["subscriber"], fields["transaction"]):
            if name in part:
                part[name] = value
    return ask(fakes, token, "POST", "/merchant/v1/payments/", fields)


@pytest.fixture
def pushed(fakes: Running, token: str) -> None:
    """A payer was asked."""
    assert push(fakes, token).json()["status"] == SUCCESS


def look(fakes: Running, token: str, reference: str = REFERENCE) -> dict[str, Any]:
    """What became of a payment."""
    answer = ask(fakes, token, "GET", f"/standard/v1/payments/{reference}").json()
    assert answer["status"] == SUCCESS
    transaction: dict[str, Any] = answer["data"]["transaction"]
    return transaction


def refund(fakes: Running, token: str, airtel_money_id: str) -> Reply:
    fields = {"transaction": {"airtel_money_id": airtel_money_id}}
    return ask(fakes, token, "POST", "/standard/v1/payments/refund", fields)


def control(fakes: Running, name: str, **fields: Any) -> Reply:
    return call("POST", f"{fakes.control}/{KEY}/{name}", fields)


def pay(fakes: Running, **more: Any) -> Reply:
    return control(fakes, "pay", reference=REFERENCE, **more)


def refused(answer: Reply) -> str:
    """The code of a refusal."""
    body = answer.json()
    assert (answer.status, set(body), body["status"]["success"]) == (200, {"status"}, False)
    code: str = body["status"]["result_code"]
    return code


def digest(payload: Any, key: str = GIVEN["private_key"]) -> str:
    text = json.dumps(payload, separators=(",", ":"))
    signed = hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(signed).decode()


def test_a_hash_is_that_of_the_rule_in_both_forms() -> None:
    transaction = {
        "id": "demo-1",
        "message": "Paid TZS 5000",
        "status_code": "TS",
        "airtel_money_id": "MP210603.1234.L06941",
    }
    wrapped = "z+dDNUroJvsNy3ZKd1sys90t9S8LdODPCkClBFJ/CPU="
    inner = "zqSKXzMU8PbYtSZslb+yLpgeKzgeOLGLRuio54v/PTw="
    assert airtel.sign(transaction, "airtel_demo_key") == wrapped
    assert airtel.sign(transaction, "airtel_demo_key", "inner") == inner
    assert digest({"transaction": transaction}, "airtel_demo_key") == wrapped
    assert digest(transaction, "airtel_demo_key") == inner


def test_the_secret_holds_what_the_company_was_given() -> None:
    assert secret(KEY, GIVEN, "http://airtel.example") == {
        "base_url": "http://airtel.example",
        "client_id": GIVEN["client_id"],
        "client_secret": GIVEN["client_secret"],
        "private_keys": [GIVEN["private_key"]],
        "country": "KE",
        "currency": "KES",
        "path_secrets": [GIVEN["path_secret"]],
    }


def test_the_way_through(fakes: Running, token: str, company: Company) -> None:
    transaction = push(fakes, token).json()["data"]["transaction"]
    assert transaction == {"id": REFERENCE, "status": "SUCCESS"}
    before = look(fakes, token)
    assert (before["status"], before["airtel_money_id"]) == ("TIP", "")
    assert pay(fakes).json()["webhook_status"] == 200
    told = company.only()
    assert told.path == f"/payments/airtel/{GIVEN['path_secret']}/callback"
    callback = told.json()
    after = look(fakes, token)
    assert callback["hash"] == digest({"transaction": callback["transaction"]})
    assert callback["transaction"] == {
        "id": REFERENCE,
        "message": "Paid KES 2500",
        "status_code": "TS",
        "airtel_money_id": after["airtel_money_id"],
    }
    assert (after["id"], after["status"], after["message"]) == (REFERENCE, "TS", "success")
    assert "amount" not in after


def test_only_the_company_is_answered(fakes: Running, token: str) -> None:
    granted = log_in(fakes).json()
    assert (granted["token_type"], granted["expires_in"]) == ("bearer", "180")
    assert log_in(fakes, client_secret="guess").status == 401
    assert log_in(fakes, grant_type="password").status == 400
    assert push(fakes, "guess").status == 401
    path = "/standard/v1/payments/a"
    assert refused(ask(fakes, token, "GET", path, X_Country="UG")) == "ESB000034"
    assert refused(ask(fakes, token, "GET", path, X_Currency="UGX")) == "ESB000035"
    assert refused(ask(fakes, token, "GET", path)) == "ESB000045"
    assert ask(fakes, token, "GET", "/merchant/v1/payments/").status == 404
    control(fakes, "expire-tokens")
    assert push(fakes, token).status == 401
    assert push(fakes, log_in(fakes).json()["access_token"]).status == 200


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("ESB000008", [{"amount": amount} for amount in (0, -1, 1.005, "2500", True, None)]),
        ("ESB000008", [{"id": "a b"}, {"id": ""}, {"reference": None}, {"subscriber": {}}]),
        ("ESB000033", [{"msisdn": text} for text in ("254733000001", "0733000001", "٧٣٣٠٠٠٠٠١")]),
        ("ESB000034", [{"country": "UG"}]),
        ("ESB000035", [{"currency": "UGX"}]),
    ],
)
def test_anything_undocumented_is_refused(
    fakes: Running, token: str, code: str, changes: list[dict[str, Any]]
) -> None:
    for change in changes:
        assert refused(push(fakes, token, **change)) == code, change
    assert pay(fakes).status == 404


def test_an_id_is_good_for_one_payment(fakes: Running, token: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: push(fakes, token, msisdn=733000001), range(4)))
    codes = sorted(answer.json()["status"]["result_code"] for answer in answers)
    assert codes == ["ESB000010", *3 * ["ESB000041"]]


@pytest.mark.usefixtures("pushed")
def test_of_other_outcomes_only_a_failure_is_told_and_undoes_no_success(
    fakes: Running, token: str, company: Company
) -> None:
    for outcome in ("TA", "TE", "TIP"):
        assert pay(fakes, outcome=outcome).json() == {"webhook_status": None}
        assert look(fakes, token)["status"] == outcome
    pay(fakes, outcome="TF")
    assert company.only().json()["transaction"]["status_code"] == "TF"
    assert look(fakes, token)["status"] == "TF"
    pay(fakes, amount="1000.5", notify=False)
    pay(fakes, outcome="TF", times=2)
    assert len(company.told) == 3
    assert look(fakes, token)["status"] == "TS"


@pytest.mark.usefixtures("pushed")
def test_callbacks_can_be_sent_again_and_otherwise(fakes: Running, company: Company) -> None:
    pay(fakes, amount=1000, form="inner")
    control(fakes, "notify", reference=REFERENCE)
    control(fakes, "notify", reference=REFERENCE, status_code="TF", hash="guess")
    control(fakes, "notify", reference=REFERENCE, hash=None)
    first, again, other, unsigned = (told.json() for told in company.told)
    assert first["hash"] == digest(first["transaction"])
    assert first["transaction"]["message"] == "Paid KES 1000"
    assert again["transaction"] == first["transaction"]
    assert again["hash"] == digest({"transaction": again["transaction"]})
    assert (other["transaction"]["status_code"], other["hash"]) == ("TF", "guess")
    assert set(unsigned) == {"transaction"}
    assert control(fakes, "notify", reference="other").status == 404
    assert control(fakes, "notify", reference=REFERENCE, form="none").status == 422


@pytest.mark.usefixtures("pushed")
def test_a_payment_is_refunded_once(fakes: Running, token: str) -> None:
    assert refused(refund(fakes, token, "other")) == "ESB000045"
    pay(fakes, notify=False, amount=1000)
    money_id = look(fakes, token)["airtel_money_id"]
    fakes.order(KEY, "refund_fails", serial_number=REFERENCE, times=1)
    statuses = [
        refund(fakes, token, money_id).json()["data"]["transaction"]["status"] for _ in range(2)
    ]
    assert statuses == ["FAILED", "SUCCESS"]
    assert refused(refund(fakes, token, money_id)) == "ESB000011"
    assert look(fakes, token)["status"] == "TR"
    failed, done = fakes.refunds(KEY)
    assert (failed["status"], done["status"]) == ("FAILED", "SUCCESS")
    assert (done["reference"], done["amount"]) == (REFERENCE, 1000)
    assert done["request"] == {"transaction": {"airtel_money_id": money_id}}


@pytest.mark.usefixtures("pushed")
def test_a_refund_is_always_of_all(fakes: Running, token: str) -> None:
    pay(fakes, notify=False)
    money_id = look(fakes, token)["airtel_money_id"]
    fields = {"transaction": {"airtel_money_id": money_id, "amount": 1000}}
    answer = ask(fakes, token, "POST", "/standard/v1/payments/refund", fields)
    assert refused(answer) == "ESB000008"
    assert fakes.refunds(KEY) == []


def test_faults(fakes: Running, token: str) -> None:
    fakes.order(KEY, "error_500", times=1)
    assert push(fakes, token).status == 500
    fakes.order(KEY, "refuse", times=1)
    assert refused(push(fakes, token)) == "ESB000011"
    fakes.order(KEY, "garbage", serial_number=REFERENCE, times=1)
    assert push(fakes, token).data.startswith(b"<html>")
    pay(fakes, notify=False)
    fakes.order(KEY, "pending", times=1)
    assert [look(fakes, token)["status"] for _ in range(2)] == ["TIP", "TS"]
