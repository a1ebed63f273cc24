"""Vodacom Mozambique's faked OpenAPI, asked over real HTTP."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from infra.local.providers import secret, vodacom_mz
from tests.infra.running_fakes import Running, call, running, without_none

KEY = "vodacom_mz"
GIVEN = vodacom_mz.made_up()
REFERENCE = "0f1e2d3c4b5a69788796"
PAYER = "258841234567"

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[Running]:
    """A freshly started provider."""
    with running(tmp_path, only=(), providers_only=[KEY], given={KEY: GIVEN}) as started:
        yield started


def bearer(api_key: str = GIVEN["api_key"]) -> str:
    """The API key, encrypted for the provider."""
    key: Any = load_pem_public_key(GIVEN["public_key"].encode())
    return "Bearer " + base64.b64encode(key.encrypt(api_key.encode(), padding.PKCS1v15())).decode()


def ask(fakes: Running, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    url = f"{fakes.urls[KEY]}/ipg/v1x/{path}"
    sent = {"Authorization": bearer(), "Origin": GIVEN["origin"], **headers}
    return call(method, url, body, **sent)


def collect(fakes: Running, reference: str = REFERENCE, **changes: Any) -> Reply:
    """A payer is asked for 250."""
    fields = {
        "input_TransactionReference": "SM5R00123",
        "input_CustomerMSISDN": PAYER,
        "input_Amount": "250",
        "input_ThirdPartyReference": reference,
        "input_ServiceProviderCode": "171717",
        **changes,
    }
    return ask(fakes, "POST", "c2bPayment/singleStage/", without_none(fields))


def query(fakes: Running, name: str = REFERENCE, **changes: Any) -> Reply:
    fields = {
        "input_QueryReference": name,
        "input_ThirdPartyReference": "q1",
        "input_ServiceProviderCode": "171717",
        **changes,
    }
    return ask(fakes, "GET", f"queryTransactionStatus/?{urlencode(without_none(fields))}")


def status(fakes: Running, name: str = REFERENCE) -> str:
    answer = query(fakes, name)
    assert (answer.status, answer.json()["output_ResponseCode"]) == (200, "INS-0")
    told: str = answer.json()["output_ResponseTransactionStatus"]
    return told


def reverse(fakes: Running, transaction_id: str, reference: str, **changes: Any) -> Reply:
    fields = {
        "input_TransactionID": transaction_id,
        "input_SecurityCredential": GIVEN["security_credential"],
        "input_InitiatorIdentifier": GIVEN["initiator_identifier"],
        "input_ThirdPartyReference": reference,
        "input_ServiceProviderCode": "171717",
        **changes,
    }
    return ask(fakes, "PUT", "reversal/", without_none(fields))


def control(fakes: Running, name: str, **body: Any) -> Reply:
    return call("POST", f"{fakes.control}/{KEY}/{name}", body)


def transactions(fakes: Running) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = control(fakes, "transactions").json()["items"]
    return items


def said(answer: Reply) -> tuple[int, str]:
    """What is answered: the HTTP status and the code."""
    return answer.status, answer.json()["output_ResponseCode"]


def test_the_secret_is_what_the_channel_reads() -> None:
    url = "http://127.0.0.1:9/vodacom_mz"
    content = secret(KEY, GIVEN, url)
    assert {name: content.pop(name) for name in list(content) if name.endswith("_url")} == {
        "collect_url": url,
        "query_url": url,
        "reversal_url": url,
    }
    assert content == {name: text for name, text in GIVEN.items() if name != "private_key"}


class TestCollecting:
    def test_the_payer_pays_while_the_line_is_held(self, fakes: Running) -> None:
        answer = collect(fakes)
        body = answer.json()
        assert answer.status == 201
        assert body == {
            "output_ConversationID": body["output_ConversationID"],
            "output_ResponseCode": "INS-0",
            "output_ResponseDesc": "Request processed successfully",
            "output_ThirdPartyReference": REFERENCE,
            "output_TransactionID": body["output_TransactionID"],
        }
        names = (body["output_ConversationID"], body["output_TransactionID"], REFERENCE)
        assert {status(fakes, name) for name in names} == {"Completed"}
        (item,) = transactions(fakes)
        assert (item["state"], item["amount"], item["msisdn"]) == ("paid", 250, PAYER)
        assert collect(fakes, "r2", input_CustomerMSISDN="254712000001").status == 201

    @pytest.mark.parametrize(
        ("outcome", "code", "later", "state"),
        [
            ("paid", (201, "INS-0"), "Completed", "paid"),
            ("cancelled", (401, "INS-5"), "Cancelled", "cancelled"),
            ("no_funds", (422, "INS-2006"), "Cancelled", "no_funds"),
            ("timeout_but_paid", (408, "INS-9"), "Completed", "paid"),
            ("timeout_unpaid", (408, "INS-9"), "Expired", "expired"),
        ],
    )
    def test_the_payer_does_what_was_ordered(
        self, fakes: Running, outcome: str, code: tuple[int, str], later: str, state: str
    ) -> None:
        control(fakes, "next", outcome=outcome)
        answer = collect(fakes)
        assert said(answer) == code
        assert (answer.json()["output_TransactionID"] == "N/A") == (code[1] != "INS-0")
        assert (status(fakes), transactions(fakes)[0]["state"]) == (later, state)

    def test_an_order_is_for_whom_it_names_and_for_once(self, fakes: Running) -> None:
        control(fakes, "next", outcome="cancelled", msisdn="258850000001")
        control(fakes, "next", outcome="no_funds", third_party_reference="r2")
        codes = [
            said(collect(fakes, "r1"))[1],
            said(collect(fakes, "r2"))[1],
            said(collect(fakes, "r3", input_CustomerMSISDN="258850000001"))[1],
            said(collect(fakes, "r4", input_CustomerMSISDN="258850000001"))[1],
        ]
        assert codes == ["INS-0", "INS-2006", "INS-5", "INS-0"]
        assert control(fakes, "next", outcome="rich").status == 422

    def test_a_reference_is_used_once(self, fakes: Running) -> None:
        paid = collect(fakes)
        assert said(collect(fakes)) == (409, "INS-10")
        transaction_id = paid.json()["output_TransactionID"]
        assert said(reverse(fakes, transaction_id, REFERENCE)) == (409, "INS-10")
        assert len(transactions(fakes)) == 1

    def test_anything_undocumented_is_refused(self, fakes: Running) -> None:
        for name, value, code in (
            ("TransactionReference", "SM5R-00123", "INS-17"),
            ("TransactionReference", "A" * 21, "INS-17"),
            ("TransactionReference", "", "INS-17"),
            ("CustomerMSISDN", "258861234567", "INS-2051"),
            ("CustomerMSISDN", "841234567", "INS-2051"),
            ("CustomerMSISDN", "+258841234567", "INS-2051"),
            ("Amount", 250, "INS-15"),
            ("Amount", "0", "INS-15"),
            ("Amount", "1.005", "INS-15"),
            ("ThirdPartyReference", "A" * 21, "INS-19"),
            ("ServiceProviderCode", "171718", "INS-13"),
            ("Amount", None, "INS-20"),
            ("Currency", "KES", "INS-21"),
        ):
            assert said(collect(fakes, **{f"input_{name}": value})) == (400, code), (name, value)
        assert transactions(fakes) == []

    def test_strangers_are_refused(self, fakes: Running) -> None:
        path = "c2bPayment/singleStage/"
        for authorization in (bearer("guess"), f"Bearer {GIVEN['api_key']}", bearer()[7:], ""):
            answer = ask(fakes, "POST", path, {}, Authorization=authorization)
            assert said(answer) == (401, "INS-2")
        assert said(ask(fakes, "POST", path, {}, Origin="*")) == (400, "INS-26")
        for body in (b"", b"[]", b'{"a": 1, "a": 1}'):
            assert said(ask(fakes, "POST", path, body)) == (400, "INS-21")
        assert ask(fakes, "POST", "b2cPayment/", {}).status == 404
        assert ask(fakes, "GET", path).status == 404


class TestQuerying:
    def test_nothing_is_known_of_what_was_never_asked_for(self, fakes: Running) -> None:
        assert status(fakes) == "N/A"

    def test_it_may_be_under_way_still(self, fakes: Running) -> None:
        collect(fakes)
        fakes.order(KEY, "pending", times=1, serial_number=REFERENCE)
        assert [status(fakes), status(fakes)] == ["N/A", "Completed"]

    def test_anything_undocumented_is_refused(self, fakes: Running) -> None:
        assert said(query(fakes, "")) == (400, "INS-14")
        assert said(query(fakes, input_ServiceProviderCode="1")) == (400, "INS-13")
        assert said(query(fakes, input_ThirdPartyReference=None)) == (400, "INS-20")
        assert said(query(fakes, input_Country="MOZ")) == (400, "INS-21")


class TestReversing:
    def test_all_of_it_goes_back(self, fakes: Running) -> None:
        receipt = collect(fakes).json()["output_TransactionID"]
        answer = reverse(fakes, receipt, "back1")
        assert said(answer) == (201, "INS-0")
        assert answer.json()["output_ThirdPartyReference"] == "back1"
        assert status(fakes, "back1") == status(fakes) == "Completed"
        (refund,) = fakes.refunds(KEY)
        assert refund["refund_id"] == answer.json()["output_TransactionID"]
        assert (refund["reference"], refund["receipt"]) == (REFERENCE, receipt)
        assert (refund["amount"], refund["status"]) == (250, "processed")
        assert refund["request"]["input_SecurityCredential"] == "…"
        assert said(reverse(fakes, receipt, "back2")) == (401, "INS-6")
        assert len(fakes.refunds(KEY)) == 1

    def test_never_more_than_was_paid(self, fakes: Running) -> None:
        receipt = collect(fakes).json()["output_TransactionID"]
        assert reverse(fakes, receipt, "b1", input_ReversalAmount="100.50").status == 201
        assert said(reverse(fakes, receipt, "b2", input_ReversalAmount="150")) == (400, "INS-15")
        assert reverse(fakes, receipt, "b3").status == 201
        assert [refund["amount"] for refund in fakes.refunds(KEY)] == [100.5, 149.5]
        assert transactions(fakes)[0]["reversed"] == 250

    def test_only_what_was_paid(self, fakes: Running) -> None:
        control(fakes, "next", outcome="timeout_unpaid")
        collect(fakes)
        receipt = transactions(fakes)[0]["transaction_id"]
        assert said(reverse(fakes, receipt, "b1")) == (401, "INS-6")
        assert said(reverse(fakes, "unknown", "b1")) == (400, "INS-18")
        for name, code in (
            ("SecurityCredential", "INS-25"),
            ("InitiatorIdentifier", "INS-24"),
            ("ServiceProviderCode", "INS-13"),
        ):
            assert said(reverse(fakes, receipt, "b1", **{f"input_{name}": "x"})) == (400, code)
        assert fakes.refunds(KEY) == []


def test_calls_fail_as_ordered(fakes: Running) -> None:
    fakes.order(KEY, "refuse", times=1, serial_number=REFERENCE)
    assert said(collect(fakes)) == (401, "INS-6")
    fakes.order(KEY, "error_500", times=1)
    assert collect(fakes).status == 500
    assert transactions(fakes) == []
    fakes.order(KEY, "garbage", times=1)
    assert collect(fakes).data.startswith(b"<html>")
    receipt = transactions(fakes)[0]["transaction_id"]
    fakes.order(KEY, "refuse", times=1, serial_number=REFERENCE)
    assert said(reverse(fakes, receipt, "back1")) == (401, "INS-6")
    assert fakes.refunds(KEY) == []
