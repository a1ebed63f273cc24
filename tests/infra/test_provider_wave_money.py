"""The faked Wave Money, asked over real HTTP."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from infra.local.providers import secret, wave_money
from tests.infra.listening import Company, listening
from tests.infra.running_fakes import Running, call, running, without_none

GIVEN = wave_money.made_up()
ORDER = "0f1e2d3c-0000-4000-8000-0000000000a1"
CALLBACK = "/payments/wave_money/callback"

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def company() -> Iterator[Company]:
    """A company that takes callbacks."""
    with listening() as company:
        yield company


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """A freshly started Wave Money."""
    with running(tmp_path, company.url, (), ["wave_money"], {"wave_money": GIVEN}) as started:
        yield started


def digest(*values: str) -> str:
    """By the vendor's rule."""
    key = GIVEN["secret_key"].encode()
    return hmac.new(key, "".join(values).encode(), hashlib.sha256).hexdigest()


def order(fakes: Running, company: Company, **changes: str | None) -> Reply:
    """A payment of 1500; changes replace fields, None leaves one out."""
    fields: dict[str, Any] = {
        "time_to_live_in_seconds": "120",
        "merchant_id": GIVEN["merchant_id"],
        "order_id": ORDER,
        "merchant_reference_id": f"{changes.get('order_id', ORDER)}.1",
        "frontend_result_url": "https://mwanga.example/thanks",
        "backend_result_url": f"{company.url}{CALLBACK}",
        "amount": "1500",
        "payment_description": "Energy for 47000123456",
        "currency": "KES",
        "merchant_name": "Mwanga",
        "items": '[{"name": "Energy", "amount": 1500}]',
        **changes,
    }
    hashed = (
        "time_to_live_in_seconds",
        "merchant_id",
        "order_id",
        "amount",
        "backend_result_url",
        "merchant_reference_id",
    )
    fields = {"hash": digest(*(fields[name] or "" for name in hashed)), **fields}
    body = urlencode(without_none(fields)).encode()
    url = f"{fakes.urls['wave_money']}/payment"
    return call("POST", url, body, Content_Type="application/x-www-form-urlencoded")


def control(fakes: Running, name: str, **body: Any) -> Reply:
    """Something that is had done at Wave Money's side."""
    return call("POST", f"{fakes.control}/wave_money/{name}", body)


def pay(fakes: Running, **more: Any) -> Reply:
    """The payer pays the order."""
    return control(fakes, "pay", reference=ORDER, **more)


def is_genuine(told: dict[str, Any]) -> bool:
    """Whether the hash of a callback is right, by the vendor's rule."""
    names = (
        *("status", "timeToLiveSeconds", "merchantId", "orderId", "amount", "backendResultUrl"),
        *("merchantReferenceId", "initiatorMsisdn", "transactionId", "paymentRequestId"),
        "requestTime",
    )
    values = ("null" if told[name] is None else str(told[name]) for name in names)
    return bool(told["hashValue"] == digest(*values))


def test_the_hashes_are_those_of_the_published_rules() -> None:
    key = "wave_demo_secret"
    request = {
        "time_to_live_in_seconds": "120",
        "merchant_id": "demo_merchant",
        "order_id": "ord-1",
        "amount": "1500",
        "backend_result_url": "https://x.example/cb",
        "merchant_reference_id": "ref-1",
    }
    assert wave_money.hash_of_request(request, key) == (
        "2c17d51f2b130828ff3833cf91ee8cb87a8bba4120b5b1ab5bb59e3008ede640"
    )
    callback = {
        "status": "PAYMENT_CONFIRMED",
        "timeToLiveSeconds": 120,
        "merchantId": "demo_merchant",
        "orderId": "ord-1",
        "amount": 1500,
        "backendResultUrl": "https://x.example/cb",
        "merchantReferenceId": "ref-1",
        "initiatorMsisdn": "9791234567",
        "transactionId": "tx-9",
        "paymentRequestId": "pr-7",
        "requestTime": "2022-03-21T14:31:16",
    }
    assert wave_money.hash_of_callback(callback, key) == (
        "dbc73b580576cf2e40b2287c87a1b1734a7bfaadbed5734a02a15833f4fdf79d"
    )


def test_the_secret_has_what_the_channel_needs() -> None:
    assert secret("wave_money", GIVEN, "http://127.0.0.1:9/wave_money") == {
        "base_url": "http://127.0.0.1:9/wave_money",
        "merchant_id": GIVEN["merchant_id"],
        "merchant_name": "Mwanga",
        "secret_keys": [GIVEN["secret_key"]],
        "public_url": "",
        "result_url": "https://mwanga.example/thanks",
        "currency": "KES",
    }


class TestOrder:
    def test_it_has_a_page(self, fakes: Running, company: Company) -> None:
        answer = order(fakes, company).json()
        number = answer.pop("transaction_id")
        assert answer == {"message": "success"}
        page = f"{fakes.urls['wave_money']}/authenticate?transaction_id="
        shown = call("GET", f"{page}{number}")
        assert (shown.status, b"KES 1500, open" in shown.data) == (200, True)
        assert call("GET", f"{page}other").status == 404

    def test_one_order_is_paid_once(self, fakes: Running, company: Company) -> None:
        order(fakes, company)
        for change in ({}, {"order_id": "other", "merchant_reference_id": f"{ORDER}.1"}):
            answer = order(fakes, company, **change)
            assert (answer.status, answer.json()) == (409, {"message": "Record already exists"})

    def test_anything_undocumented_is_refused(self, fakes: Running, company: Company) -> None:
        changes: list[dict[str, str | None]] = [
            *({"amount": amount} for amount in ("0", "-1", "15.00", "1,500", "", None)),
            *({"time_to_live_in_seconds": text} for text in ("0", "601", "soon")),
            {"merchant_reference_id": None},
            {"backend_result_url": "http://127.0.0.1:9/other"},
            {"items": "Energy"},
            {"items": "[]"},
            {"currency": "MMK"},
            {"hash": ""},
            {"serial_number": "47000123456"},
        ]
        for change in changes:
            answer = order(fakes, company, **change)
            assert (answer.status, list(answer.json()["errors"])) == (422, list(change)), change
        url = f"{fakes.urls['wave_money']}/payment"
        assert call("POST", url, {"order_id": ORDER}).status == 422
        assert order(fakes, company, currency=None).status == 200

    def test_only_the_company_is_answered(self, fakes: Running, company: Company) -> None:
        answer = order(fakes, company, hash="0" * 64)
        assert (answer.status, answer.json()) == (400, {"message": "INVALID_HASH"})
        answer = order(fakes, company, merchant_id="other")
        assert (answer.status, answer.json()) == (404, {"message": "No record found"})
        assert pay(fakes).status == 404

    def test_faults_of_calls(self, fakes: Running, company: Company) -> None:
        fakes.order("wave_money", "error_500", serial_number=ORDER, times=1)
        assert order(fakes, company).status == 500
        fakes.order("wave_money", "refuse", times=1)
        assert order(fakes, company).status == 404
        fakes.order("wave_money", "garbage", times=1)
        assert order(fakes, company).data.startswith(b"<html>")
        assert order(fakes, company).status == 409
        assert fakes.refunds("wave_money") == []


class TestPaying:
    @pytest.fixture(autouse=True)
    def ordered(self, fakes: Running, company: Company) -> None:
        """An order."""
        order(fakes, company)

    def test_the_company_is_told(self, fakes: Running, company: Company) -> None:
        assert pay(fakes, msisdn="9790000002").json()["webhook_status"] == 200
        assert company.only().path == CALLBACK
        told = company.only().json()
        assert is_genuine(told)
        assert (told["status"], told["orderId"]) == ("PAYMENT_CONFIRMED", ORDER)
        assert (told["amount"], told["currency"], told["timeToLiveSeconds"]) == ("1500", "KES", 120)
        assert told["initiatorMsisdn"] == "9790000002"
        assert told["transactionId"] is not None

    def test_what_comes_again_is_the_same(self, fakes: Running, company: Company) -> None:
        assert control(fakes, "notify", reference=ORDER).status == 422
        pay(fakes, notify=False)
        assert company.told == []
        control(fakes, "notify", reference=ORDER, times=2)
        assert company.told[0].body == company.told[1].body

    def test_it_may_fail_and_still_succeed_and_be_told_late(
        self, fakes: Running, company: Company
    ) -> None:
        pay(fakes, status="INSUFFICIENT_BALANCE")
        pay(fakes)
        pay(fakes, status="SCHEDULER_TRANSACTION_TIMED_OUT")
        told = [each.json() for each in company.told]
        assert all(is_genuine(each) for each in told)
        assert [each["transactionId"] is None for each in told] == [True, False, True]
        assert told[2]["initiatorMsisdn"] is None

    def test_another_amount_and_a_wrong_hash(self, fakes: Running, company: Company) -> None:
        pay(fakes, amount=1000, currency="USD")
        pay(fakes, hash="0" * 64)
        told = [each.json() for each in company.told]
        assert (told[0]["amount"], told[0]["currency"]) == ("1000", "USD")
        assert [is_genuine(each) for each in told] == [True, False]

    def test_an_order_that_makes_no_sense_is_refused(self, fakes: Running) -> None:
        assert control(fakes, "pay", reference="other").status == 404
        assert pay(fakes, status="PAID").status == 422
        assert control(fakes, "pay").status == 422
