"""The faked payment providers, asked over real HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import urllib3

from infra.local.client import Api, Fakes, Paystack
from infra.local.fakes.faults import Faults
from infra.local.fakes.server import Address
from infra.local.processes import HOST, free_port
from infra.local.providers import PROVIDERS, made_up, make, paths, secret
from infra.local.providers.paystack import sign
from tests.infra.running_fakes import (
    SECRET_KEY,
    Running,
    call,
    running,
    without_none,
)

REFERENCE = "0f1e2d3c0000400080000000000000a1"
AUTHORIZATION = f"Bearer {SECRET_KEY}"

Reply = urllib3.BaseHTTPResponse


@dataclass
class Company:
    """Where webhooks arrive: what came, and what it is answered."""

    url: str
    status: int = 200
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """The only webhook that came; its signature is checked."""
        ((headers, body),) = self.received
        digest = hmac.new(SECRET_KEY.encode(), body, hashlib.sha512).hexdigest()
        assert headers["x-paystack-signature"] == digest
        assert headers["content-type"] == "application/json"
        told: dict[str, Any] = json.loads(body)
        return told


@pytest.fixture
def company() -> Iterator[Company]:
    """A server that takes webhooks."""
    port = free_port(0)
    company = Company(f"http://{HOST}:{port}/api/webhook")

    class Webhooks(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            company.received.append((headers, body))
            self.send_response(company.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    address = Address(port, Webhooks)
    address.open()
    yield company
    address.close()


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """Freshly started fakes, whose webhooks go to the company."""
    with running(tmp_path, company.url) as started:
        yield started


# --- what is asked, as documented; changes replace fields, None leaves one out -----------------


def ask(
    fakes: Running, method: str, path: str, body: Any = None, authorization: str = AUTHORIZATION
) -> Reply:
    """One call, with the secret key unless told otherwise."""
    url = f"{fakes.urls['paystack']}{path}"
    return call(method, url, body, Authorization=authorization)


def initialize(fakes: Running, **changes: Any) -> Reply:
    """A checkout of 2500."""
    fields = {
        "email": "asha@mwanga.example",
        "amount": 250000,
        "reference": REFERENCE,
        "currency": "KES",
        "callback_url": "https://mwanga.example/thanks",
        "metadata": {"serial_number": "47000123456"},
        **changes,
    }
    return ask(fakes, "POST", "/transaction/initialize", without_none(fields))


def verify(fakes: Running, reference: str = REFERENCE) -> Reply:
    """What became of a checkout."""
    return ask(fakes, "GET", f"/transaction/verify/{reference}")


def refund(fakes: Running, **changes: Any) -> Reply:
    """A refund of 1000."""
    fields = {
        "transaction": REFERENCE,
        "amount": 100000,
        "currency": "KES",
        "merchant_note": f"paystack-{REFERENCE}.1",
        **changes,
    }
    return ask(fakes, "POST", "/refund", without_none(fields))


def control(fakes: Running, name: str, body: Any) -> Reply:
    """Something that is had done at Paystack's side."""
    return call("POST", f"{fakes.control}/paystack/{name}", body)


def pay(fakes: Running, **more: Any) -> Reply:
    """Somebody pays the checkout."""
    return control(fakes, "pay", {"reference": REFERENCE, **more})


def refused(answer: Reply) -> tuple[int, str]:
    """The status and the text of an error in Paystack's own words."""
    body = answer.json()
    assert set(body) == {"status", "message"}
    assert body["status"] is False
    return answer.status, body["message"]


def listed(fakes: Running, query: str = f"?transaction={REFERENCE}") -> list[dict[str, Any]]:
    """The refunds as Paystack lists them."""
    answer = ask(fakes, "GET", f"/refund{query}").json()
    assert answer["status"] is True
    data: list[dict[str, Any]] = answer["data"]
    return data


def test_every_registered_provider_can_be_made() -> None:
    assert set(made_up()) == set(PROVIDERS)
    for key, given in made_up().items():
        urls = dict.fromkeys(("public_url", *paths(key, given)), "http://127.0.0.1:9/")
        assert make(key, {**given, **urls}, Faults()).key == key
        assert secret(key, given, "http://127.0.0.1:9/")


def test_a_signature_is_that_of_the_published_rule() -> None:
    body = (
        b'{"event":"charge.success","data":{"id":302961,"reference":'
        b'"0f1e2d3c-0000-4000-8000-000000000001","amount":250000,"currency":"NGN",'
        b'"status":"success"}}'
    )
    assert sign(body, SECRET_KEY) == (
        "c82c1684ac551329250e5e20a75f9881b74aeaa3ea18ff0bc8f5fda40036e65e"
        "a97f33c587cca631121df8a7c4d48848592571e8b854c0da03f1ba054b05e359"
    )


class TestCheckout:
    def test_it_is_answered_with_the_address_of_a_page(self, fakes: Running) -> None:
        answer = initialize(fakes).json()
        data = answer.pop("data")
        assert answer == {"status": True, "message": "Authorization URL created"}
        assert data["reference"] == REFERENCE
        page = f"{fakes.urls['paystack']}/pay/{data['access_code']}"
        assert data["authorization_url"] == page
        shown = call("GET", page)
        assert shown.status == 200
        assert b"KES 2500.00, abandoned." in shown.data

    def test_what_may_be_left_out_may_be_left_out(self, fakes: Running) -> None:
        assert initialize(fakes, callback_url=None, metadata=None).status == 200

    def test_an_amount_may_be_a_text(self, fakes: Running) -> None:
        initialize(fakes, amount="250000")
        assert verify(fakes).json()["data"]["amount"] == 250000

    def test_a_reference_is_good_for_one_checkout(self, fakes: Running) -> None:
        initialize(fakes)
        assert refused(initialize(fakes)) == (400, "Duplicate Transaction Reference")

    def test_also_when_two_ask_at_once(self, fakes: Running) -> None:
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: initialize(fakes).status, range(8)))
        assert sorted(statuses) == [200] + 7 * [400]

    @pytest.mark.parametrize(
        "change",
        [
            *({"amount": amount} for amount in (0, -1, 2500.5, "25.00", "٣", True, None, 10**15)),
            {"email": "asha"},
            {"email": None},
            {"reference": "a b"},
            {"reference": None},
            {"currency": "kes"},
            {"currency": None},
            {"callback_url": "mwanga"},
            {"metadata": "none"},
            {"serial_number": "47000123456"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        assert refused(initialize(fakes, **change))[0] == 400
        assert verify(fakes).status == 400

    def test_a_currency_that_is_not_offered_is_refused(self, fakes: Running) -> None:
        answer = initialize(fakes, currency="TZS")
        assert refused(answer) == (400, "Currency not supported by merchant")

    @pytest.mark.parametrize("path", ["/transaction/initialize", "/refund"])
    @pytest.mark.parametrize("key", ["Bearer sk_test_guess", SECRET_KEY, ""])
    def test_a_wrong_key_is_told(self, fakes: Running, path: str, key: str) -> None:
        assert refused(ask(fakes, "POST", path, {}, key)) == (401, "Invalid key")

    @pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
    def test_what_is_not_a_json_object_is_refused(self, fakes: Running, body: bytes) -> None:
        assert refused(ask(fakes, "POST", "/transaction/initialize", body))[0] == 400

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        for method, path in (
            ("GET", "/transaction/initialize"),
            ("GET", "/transaction/verify/"),
            ("DELETE", "/refund"),
            ("GET", "/refund/"),
            ("POST", "/charge"),
        ):
            assert refused(ask(fakes, method, path)) == (404, "Route not found")
        assert call("GET", f"{fakes.urls['paystack']}/pay/nothing").status == 404


class TestVerify:
    def test_a_checkout_that_nobody_paid_is_abandoned(self, fakes: Running) -> None:
        initialize(fakes)
        data = verify(fakes).json()["data"]
        assert type(data["id"]) is int
        assert (data["status"], data["paid_at"]) == ("abandoned", None)
        assert (data["reference"], data["amount"], data["currency"]) == (REFERENCE, 250000, "KES")
        assert data["metadata"] == {"serial_number": "47000123456"}

    def test_one_that_was_paid_is_a_success(self, fakes: Running) -> None:
        initialize(fakes)
        pay(fakes)
        data = verify(fakes).json()["data"]
        assert data["status"] == "success"
        assert data["paid_at"].endswith("Z")

    def test_one_that_failed_says_so(self, fakes: Running) -> None:
        initialize(fakes)
        pay(fakes, event="charge.failed")
        assert verify(fakes).json()["data"]["status"] == "failed"

    def test_it_tells_what_was_really_paid(self, fakes: Running) -> None:
        initialize(fakes)
        pay(fakes, amount=100000, currency="USD")
        data = verify(fakes).json()["data"]
        assert (data["amount"], data["currency"]) == (100000, "USD")

    def test_an_unknown_reference_is_told(self, fakes: Running) -> None:
        assert refused(verify(fakes)) == (400, "Transaction reference not found")


class TestPaying:
    def test_the_company_is_told_with_a_signed_webhook(
        self, fakes: Running, company: Company
    ) -> None:
        initialize(fakes)
        answer = pay(fakes)
        assert (answer.status, answer.json()["webhook_status"]) == (200, 200)
        told = company.told()
        assert told == {"event": "charge.success", "data": verify(fakes).json()["data"]}

    def test_the_answer_to_the_webhook_is_told(self, fakes: Running, company: Company) -> None:
        company.status = 503
        initialize(fakes)
        assert pay(fakes).json()["webhook_status"] == 503

    def test_nobody_is_told_where_that_is_wished(self, fakes: Running, company: Company) -> None:
        initialize(fakes)
        assert pay(fakes, webhook=False).json() == {"webhook_status": None}
        assert company.received == []
        assert verify(fakes).json()["data"]["status"] == "success"

    def test_a_failure_is_told_and_undoes_no_success(
        self, fakes: Running, company: Company
    ) -> None:
        initialize(fakes)
        pay(fakes, webhook=False)
        pay(fakes, event="charge.failed")
        told = company.told()
        assert (told["event"], told["data"]["status"]) == ("charge.failed", "failed")
        assert verify(fakes).json()["data"]["status"] == "success"

    def test_a_webhook_that_cannot_be_delivered_is_told(self, tmp_path: Path) -> None:
        with running(tmp_path, f"http://{HOST}:{free_port(0)}/") as fakes:
            initialize(fakes)
            answer = pay(fakes)
        assert answer.status == 502
        assert answer.json()["webhook_status"] is None

    def test_only_a_checkout_can_be_paid(self, fakes: Running) -> None:
        assert pay(fakes).status == 404

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"reference": REFERENCE, "amount": 0},
            {"reference": REFERENCE, "event": "transfer.success"},
            {"reference": REFERENCE, "webhook": "no"},
            {"reference": REFERENCE, "status": "success"},
            [],
        ],
        ids=str,
    )
    def test_an_order_that_makes_no_sense_is_refused(self, fakes: Running, body: Any) -> None:
        initialize(fakes)
        assert control(fakes, "pay", body).status == 422


class TestRefund:
    @pytest.fixture(autouse=True)
    def checkout(self, fakes: Running) -> None:
        """A checkout of which this fake has not seen that it was paid."""
        initialize(fakes)

    def test_it_is_queued(self, fakes: Running) -> None:
        answer = refund(fakes).json()
        data = answer.pop("data")
        assert answer == {"status": True, "message": "Refund has been queued for processing"}
        assert type(data["id"]) is int
        assert (data["status"], data["amount"], data["currency"]) == ("pending", 100000, "KES")
        assert data["merchant_note"] == f"paystack-{REFERENCE}.1"
        number = verify(fakes).json()["data"]["id"]
        assert data["transaction"] == {
            "id": number,
            "reference": REFERENCE,
            "amount": 250000,
            "currency": "KES",
        }

    def test_the_control_address_tells_of_it(self, fakes: Running) -> None:
        number = refund(fakes).json()["data"]["id"]
        (item,) = fakes.refunds()
        assert item.pop("at").endswith("Z")
        assert item.pop("request")["merchant_note"] == f"paystack-{REFERENCE}.1"
        assert item == {
            "provider": "paystack",
            "refund_id": number,
            "reference": REFERENCE,
            "amount": 100000,
            "status": "pending",
        }
        assert fakes.vends() == []

    def test_without_an_amount_it_is_for_all_of_it(self, fakes: Running) -> None:
        assert refund(fakes, amount=None).json()["data"]["amount"] == 250000

    def test_the_transaction_can_be_named_by_its_id(self, fakes: Running) -> None:
        number = verify(fakes).json()["data"]["id"]
        for name in (number, str(number)):
            data = refund(fakes, transaction=name).json()["data"]
            assert data["transaction"]["reference"] == REFERENCE

    def test_no_more_than_what_is_left_is_given_back(self, fakes: Running) -> None:
        too_much = (400, "Refund amount cannot be more than transaction amount")
        assert refused(refund(fakes, amount=250001)) == too_much
        assert refund(fakes, amount=200000).status == 200
        assert refused(refund(fakes, amount=50001)) == too_much
        assert refused(refund(fakes, amount=None)) == too_much
        assert refund(fakes, amount=50000).status == 200

    def test_also_when_two_ask_at_once(self, fakes: Running) -> None:
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: refund(fakes).status, range(8)))
        assert sorted(statuses) == 2 * [200] + 6 * [400]
        assert len(fakes.refunds()) == 2

    def test_what_failed_can_be_refunded_again(self, fakes: Running) -> None:
        fakes.order("paystack", "refund_fails", times=1)
        refund(fakes, amount=250000)
        assert listed(fakes)[0]["status"] == "failed"
        assert refund(fakes, amount=250000).status == 200

    def test_what_was_really_paid_is_the_most_that_is_given_back(self, fakes: Running) -> None:
        pay(fakes, amount=60000)
        assert refund(fakes, amount=60001).status == 400
        assert refund(fakes, amount=60000).status == 200

    def test_what_was_not_paid_is_not_given_back(self, fakes: Running) -> None:
        pay(fakes, event="charge.failed")
        assert refused(refund(fakes)) == (400, "Transaction was not successful")
        assert refused(refund(fakes, transaction="other")) == (400, "Transaction not found")

    @pytest.mark.parametrize(
        "change",
        [
            *({"amount": amount} for amount in (0, -1, 0.5, "1.00", True)),
            {"transaction": None},
            {"transaction": ""},
            {"transaction": True},
            {"currency": "NGN"},
            {"merchant_note": 1},
            {"reason": "unknown device"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        assert refused(refund(fakes, **change))[0] == 400
        assert fakes.refunds() == []

    def test_it_is_processed_when_it_is_looked_at(self, fakes: Running) -> None:
        number = refund(fakes).json()["data"]["id"]
        answer = ask(fakes, "GET", f"/refund/{number}").json()
        assert answer["data"]["id"] == number
        assert answer["data"]["status"] == "processed"
        assert fakes.refunds()[0]["status"] == "processed"

    def test_the_refunds_of_a_transaction_are_listed_newest_first(self, fakes: Running) -> None:
        numbers = [refund(fakes, amount=amount).json()["data"]["id"] for amount in (1, 2, 3)]
        initialize(fakes, reference="other")
        refund(fakes, transaction="other")
        data = listed(fakes)
        assert [item["id"] for item in data] == numbers[::-1]
        assert {item["transaction"] for item in data} == {verify(fakes).json()["data"]["id"]}
        assert {item["status"] for item in data} == {"processed"}
        transaction = data[0]["transaction"]
        assert len(listed(fakes, f"?transaction={transaction}")) == 3
        assert len(listed(fakes, "")) == 4
        assert listed(fakes, "?transaction=nothing") == []

    def test_a_list_has_pages(self, fakes: Running) -> None:
        for amount in (1, 2, 3):
            refund(fakes, amount=amount)
        assert [item["amount"] for item in listed(fakes, "?perPage=2")] == [3, 2]
        assert [item["amount"] for item in listed(fakes, "?perPage=2&page=2")] == [1]

    @pytest.mark.parametrize("query", ["?perPage=none", "?page=0", "?merchant_note=x"])
    def test_a_list_must_be_asked_for_as_documented(self, fakes: Running, query: str) -> None:
        assert refused(ask(fakes, "GET", f"/refund{query}"))[0] == 400

    def test_an_unknown_refund_is_told(self, fakes: Running) -> None:
        assert refused(ask(fakes, "GET", "/refund/1")) == (404, "Refund not found")

    @pytest.mark.parametrize(
        ("event", "status", "reference"),
        [("refund.processed", "processed", "RF"), ("refund.failed", "failed", "None")],
    )
    def test_how_it_ended_is_told_with_a_signed_webhook(
        self, fakes: Running, company: Company, event: str, status: str, reference: str
    ) -> None:
        number = refund(fakes).json()["data"]["id"]
        answer = control(fakes, "refund-webhook", {"refund_id": number, "event": event})
        assert answer.json()["webhook_status"] == 200
        told = company.told()
        data = told["data"]
        assert (told["event"], data["status"]) == (event, status)
        assert (data["transaction_reference"], data["amount"]) == (REFERENCE, "100000")
        assert str(data["refund_reference"]).startswith(reference)
        assert listed(fakes)[0]["status"] == status

    def test_only_a_refund_can_end(self, fakes: Running) -> None:
        body = {"refund_id": 1, "event": "refund.processed"}
        assert control(fakes, "refund-webhook", body).status == 404
        number = refund(fakes).json()["data"]["id"]
        for wrong in (
            {"refund_id": number, "event": "refund.pending"},
            {"refund_id": str(number), "event": "refund.failed"},
            {"refund_id": number},
        ):
            assert control(fakes, "refund-webhook", wrong).status == 422


class TestFaults:
    @pytest.fixture(autouse=True)
    def checkout(self, fakes: Running) -> None:
        """A checkout."""
        initialize(fakes)

    def test_pending_lasts_as_many_looks_as_were_ordered(self, fakes: Running) -> None:
        fakes.order("paystack", "pending", times=2)
        refund(fakes)
        looks = [listed(fakes)[0]["status"] for _ in range(3)]
        assert looks == ["pending", "pending", "processed"]

    def test_a_refund_that_fails_is_taken_first(self, fakes: Running) -> None:
        fakes.order("paystack", "refund_fails", times=1)
        fakes.order("paystack", "pending", times=1)
        assert refund(fakes).json()["data"]["status"] == "pending"
        assert [listed(fakes)[0]["status"] for _ in range(2)] == ["pending", "failed"]
        refund(fakes)
        assert [item["status"] for item in listed(fakes)] == ["processed", "failed"]

    def test_a_checkout_lets_no_refund_fail(self, fakes: Running) -> None:
        fakes.order("paystack", "refund_fails", times=1)
        initialize(fakes, reference="other")
        refund(fakes)
        assert listed(fakes)[0]["status"] == "failed"

    def test_a_refund_whose_answer_is_lost_was_taken(self, fakes: Running) -> None:
        fakes.order("paystack", "vend_then_timeout", times=1)
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            refund(fakes)
        fakes.order("paystack", "garbage", times=1)
        assert refund(fakes).data.startswith(b"<html>")
        assert len(fakes.refunds()) == 2
        assert [item["status"] for item in listed(fakes)] == ["processed", "processed"]

    def test_a_checkout_whose_answer_is_lost_was_made(self, fakes: Running) -> None:
        fakes.order("paystack", "garbage", times=1)
        initialize(fakes, reference="other")
        assert verify(fakes, "other").status == 200

    def test_an_error_500_and_a_refusal_do_nothing(self, fakes: Running) -> None:
        fakes.order("paystack", "error_500", times=2)
        assert [refund(fakes).status, initialize(fakes, reference="other").status] == [500, 500]
        fakes.order("paystack", "refuse", times=2)
        assert refused(refund(fakes)) == (400, "Transaction cannot be refunded")
        assert refused(initialize(fakes, reference="other"))[0] == 400
        assert fakes.refunds() == []
        assert verify(fakes, "other").status == 400

    def test_a_fault_can_be_for_one_transaction(self, fakes: Running) -> None:
        fakes.order("paystack", "error_500", serial_number="other", times=1)
        initialize(fakes, reference="another")
        assert refund(fakes).status == 200
        assert initialize(fakes, reference="other").status == 500

    def test_questions_use_up_no_fault_of_a_call(self, fakes: Running) -> None:
        fakes.order("paystack", "error_500", times=1)
        assert verify(fakes).status == 200
        assert listed(fakes) == []
        assert refund(fakes).status == 500

    def test_refused_connections_are_really_refused(self, fakes: Running) -> None:
        fakes.order("paystack", "refuse_connection")
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            verify(fakes)
        fakes.clear()
        assert verify(fakes).status == 200


class TestTheClient:
    """What end-to-end tests and the demo use."""

    @pytest.fixture
    def client(self, fakes: Running) -> Iterator[Fakes]:
        """A client of the fakes' control address."""
        client = Fakes(fakes.control)
        yield client
        client.close()

    def test_it_pays_and_tells_how_the_webhook_was_answered(
        self, fakes: Running, client: Fakes, company: Company
    ) -> None:
        initialize(fakes)
        assert client.pay(REFERENCE, webhook=False) is None
        company.status = 202
        assert client.pay(REFERENCE, amount=100000) == 202
        assert company.told()["data"]["amount"] == 100000
        with pytest.raises(RuntimeError, match="no transaction"):
            client.pay("other")

    def test_it_sees_refunds_and_ends_them(
        self, fakes: Running, client: Fakes, company: Company
    ) -> None:
        initialize(fakes)
        refund(fakes)
        (item,) = client.refunds("paystack")
        assert client.end_refund(item["refund_id"], "refund.failed") == 200
        assert company.told()["event"] == "refund.failed"
        assert client.refunds("paystack")[0]["status"] == "failed"

    def test_it_signs_webhooks_of_its_own(self, company: Company) -> None:
        base, _, path = company.url.partition("/api")
        channel = {"webhook_path": path, "checkout_path": "/checkouts", "secret_key": SECRET_KEY}
        api = Api(f"{base}/api")
        paystack = Paystack(api, channel)
        notice = paystack.notice(REFERENCE, 250000, status="failed")
        assert paystack.webhook("charge.success", notice).status == 200
        assert company.told() == {"event": "charge.success", "data": notice}
        assert (notice["amount"], notice["currency"], notice["status"]) == (250000, "KES", "failed")
        company.received.clear()
        paystack.webhook("charge.success", notice, key="sk_test_guess")
        with pytest.raises(AssertionError):
            company.told()
        api.close()
