"""The faked Daraja, asked over real HTTP."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from infra.local.fakes.server import Address
from infra.local.processes import HOST, free_port
from infra.local.providers import daraja, secret
from tests.infra.running_fakes import Running, basic, call, running, without_none

GIVEN = daraja.made_up()
SHORT_CODE = GIVEN["short_code"]
ACCOUNT = "SM5R00123"
RECEIPT = "SKC82PACB8"
NOW = datetime(2026, 1, 8, 12, tzinfo=ZoneInfo("Africa/Nairobi"))
YES = {"ResultCode": "0", "ResultDesc": "Accepted"}
NO = {"ResultCode": "C2B00012", "ResultDesc": "Rejected"}

Reply = urllib3.BaseHTTPResponse


@dataclass
class Company:
    """Where Daraja calls: what came, by the last part of the path, and what it is answered."""

    url: str
    answer: Any = field(default_factory=lambda: YES)
    status: int = 200
    received: list[tuple[str, Any]] = field(default_factory=list)

    def told(self, name: str) -> list[Any]:
        """What came there."""
        return [body for at, body in self.received if at == name]


@pytest.fixture
def company() -> Iterator[Company]:
    """A server that is told of payments."""
    port = free_port(0)
    company = Company(f"http://{HOST}:{port}/api")

    class Callbacks(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/json"
            company.received.append((self.path.rpartition("/")[2], json.loads(body)))
            content = json.dumps(company.answer).encode()
            self.send_response(company.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    address = Address(port, Callbacks)
    address.open()
    yield company
    address.close()


@pytest.fixture
def fakes(tmp_path: Path, company: Company, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A freshly started Daraja that tells the company."""
    monkeypatch.setattr(daraja, "RESULT_AFTER_SECONDS", 0.01)
    with running(tmp_path, company.url, (), ["daraja"], {"daraja": GIVEN}) as started:
        yield started


# --- what is asked, as documented; changes replace fields, None leaves one out -----------------


def log_in(fakes: Running, authorization: str | None = None, query: str | None = None) -> Reply:
    """A token is asked for."""
    known = basic(GIVEN["consumer_key"], GIVEN["consumer_secret"])
    query = "grant_type=client_credentials" if query is None else query
    url = f"{fakes.urls['daraja']}/oauth/v1/generate?{query}"
    return call("GET", url, Authorization=known if authorization is None else authorization)


def ask(fakes: Running, path: str, body: Any, token: str | None = None) -> Reply:
    """One call, with a token of its own unless told otherwise."""
    token = token or log_in(fakes).json()["access_token"]
    return call("POST", f"{fakes.urls['daraja']}{path}", body, Authorization=f"Bearer {token}")


def password(stamp: str) -> str:
    """By Safaricom's rule."""
    return base64.b64encode(f"{SHORT_CODE}{GIVEN['passkey']}{stamp}".encode()).decode()


def push(fakes: Running, company: Company, token: str | None = None, **changes: Any) -> Reply:
    """A payer is asked for 250 on the phone."""
    fields = {
        "BusinessShortCode": SHORT_CODE,
        "Password": password("20260108120000"),
        "Timestamp": "20260108120000",
        "TransactionType": "CustomerPayBillOnline",
        "Amount": 250,
        "PartyA": 254712000001,
        "PartyB": SHORT_CODE,
        "PhoneNumber": "254712000001",
        "CallBackURL": f"{company.url}/payments/daraja/x/pushed",
        "AccountReference": ACCOUNT,
        "TransactionDesc": "Energy",
        **changes,
    }
    return ask(fakes, "/mpesa/stkpush/v1/processrequest", without_none(fields), token)


def look(fakes: Running, checkout_request_id: str, **changes: Any) -> Reply:
    """What became of a push."""
    fields = {
        "BusinessShortCode": SHORT_CODE,
        "Password": password("20260108120000"),
        "Timestamp": "20260108120000",
        "CheckoutRequestID": checkout_request_id,
        **changes,
    }
    return ask(fakes, "/mpesa/stkpushquery/v1/query", fields)


def pull(fakes: Running, **changes: Any) -> Reply:
    """The payments of the last hour."""
    now = datetime.now(NOW.tzinfo)
    fields = {
        "ShortCode": SHORT_CODE,
        "StartDate": (now - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S"),
        "EndDate": now.strftime("%Y-%m-%d %H:%M:%S"),
        "OffSetValue": "0",
        **changes,
    }
    return ask(fakes, "/pulltransactions/v1/query", fields)


def credential(word: str = GIVEN["initiator_password"]) -> str:
    """The initiator's password, encrypted for Safaricom."""
    key: Any = load_pem_public_key(GIVEN["public_key"].encode())
    return base64.b64encode(key.encrypt(word.encode(), padding.PKCS1v15())).decode()


def reverse(fakes: Running, company: Company, **changes: Any) -> Reply:
    """A payment of 250 is to go back."""
    fields = {
        "Initiator": GIVEN["initiator"],
        "SecurityCredential": credential(),
        "CommandID": "TransactionReversal",
        "TransactionID": RECEIPT,
        "Amount": "250",
        "ReceiverParty": SHORT_CODE,
        "RecieverIdentifierType": "11",
        "ResultURL": f"{company.url}/payments/daraja/x/reversed",
        "QueueTimeOutURL": f"{company.url}/payments/daraja/x/late",
        "Remarks": "unknown device",
        **changes,
    }
    return ask(fakes, "/mpesa/reversal/v1/request", without_none(fields))


def control(fakes: Running, name: str, **body: Any) -> Reply:
    """Something that is had done at Daraja's side."""
    return call("POST", f"{fakes.control}/daraja/{name}", body)


def c2b(fakes: Running, **more: Any) -> Any:
    """A customer pays the paybill."""
    body = {"account": ACCOUNT, "amount": 250, "receipt": RECEIPT, **more}
    return control(fakes, "c2b", **body).json()


def failed(answer: Reply) -> tuple[int, str, str]:
    """The status, the code and the text of an error in Daraja's own shape."""
    body = answer.json()
    assert set(body) == {"requestId", "errorCode", "errorMessage"}
    return answer.status, body["errorCode"], body["errorMessage"]


def results(company: Company, count: int = 1) -> list[Any]:
    """The results of reversals, once so many are there."""
    deadline = time.monotonic() + 2
    while len(company.told("reversed")) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    return [told["Result"] for told in company.told("reversed")]


# --- the tests ----------------------------------------------------------------------------------


class TestTokens:
    def test_a_token_lasts_an_hour_or_until_it_expires(
        self, fakes: Running, company: Company
    ) -> None:
        answer = log_in(fakes).json()
        assert answer["expires_in"] == "3599"
        token = answer["access_token"]
        assert push(fakes, company, token).status == 200
        assert control(fakes, "expire-tokens").status == 204
        expired = (404, "404.001.03", "Invalid Access Token")
        assert failed(push(fakes, company, token)) == expired
        assert push(fakes, company).status == 200

    def test_strangers_get_none(self, fakes: Running) -> None:
        assert failed(log_in(fakes, basic("a", "b")))[1] == "400.008.01"
        assert failed(log_in(fakes, query=""))[1] == "400.008.02"

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        assert failed(ask(fakes, "/mpesa/b2c/v1/paymentrequest", {}))[0] == 404
        url = f"{fakes.urls['daraja']}/mpesa/stkpush/v1/processrequest"
        assert failed(call("GET", url))[:2] == (405, "405.001")


class TestPaybill:
    def test_the_company_is_asked_and_then_told(self, fakes: Running, company: Company) -> None:
        company.answer = {**YES, "ThirdPartyTransID": "ours"}
        told = c2b(fakes)
        assert told.pop("validation_answer") == told.pop("webhook_answer")
        assert told == {
            "receipt": RECEIPT,
            "paid": True,
            "validation_status": 200,
            "webhook_status": 200,
        }
        ((first, question), (second, report)) = company.received
        assert (first, second) == ("validation", "confirmation")
        assert question["OrgAccountBalance"] == question["ThirdPartyTransID"] == ""
        assert report == {**question, "OrgAccountBalance": "250.00", "ThirdPartyTransID": "ours"}
        assert set(report) == {
            *("TransactionType", "TransID", "TransTime", "TransAmount", "BusinessShortCode"),
            *("BillRefNumber", "InvoiceNumber", "OrgAccountBalance", "ThirdPartyTransID"),
            *("MSISDN", "FirstName", "MiddleName", "LastName"),
        }
        assert (report["TransID"], report["TransAmount"]) == (RECEIPT, "250.00")
        assert (report["BillRefNumber"], report["MSISDN"]) == (ACCOUNT, "2547 ***** 126")

    def test_nobody_pays_where_the_company_does_not_say_yes(
        self, fakes: Running, company: Company
    ) -> None:
        for answer, status in ((NO, 200), (YES, 503), ("yes", 200)):
            company.answer, company.status = answer, status
            told = c2b(fakes)
            assert (told["paid"], told["webhook_status"]) == (False, None)
        assert company.told("confirmation") == []
        assert pull(fakes).json()["ResponseCode"] == "1001"

    def test_it_is_told_again_and_otherwise(self, fakes: Running, company: Company) -> None:
        c2b(fakes, ask=False, times=2)
        assert company.told("validation") == []
        first, second = company.told("confirmation")
        assert first == second
        assert control(fakes, "notify", receipt=RECEIPT, amount=300).status == 200
        third = company.told("confirmation")[2]
        assert third == {**first, "TransAmount": "300.00"}
        assert control(fakes, "notify", receipt="SKC82PACB9").status == 404
        assert control(fakes, "c2b", account=ACCOUNT, amount=250, receipt=RECEIPT).status == 422
        assert control(fakes, "c2b", account=ACCOUNT, amount=2.5).status == 422


class TestPush:
    def test_a_payer_is_asked_and_pays(self, fakes: Running, company: Company) -> None:
        answer = push(fakes, company).json()
        ids = {name: answer[name] for name in ("MerchantRequestID", "CheckoutRequestID")}
        assert answer["ResponseCode"] == "0"
        running_still = failed(look(fakes, answer["CheckoutRequestID"]))
        assert running_still == (500, "500.001.1001", "The transaction is being processed")
        paid = control(fakes, "stk", account_reference=ACCOUNT, receipt=RECEIPT, c2b=True).json()
        assert (paid["webhook_status"], paid["confirmation_status"]) == (200, 200)
        (told,) = company.told("pushed")
        callback = told["Body"]["stkCallback"]
        items = {
            item["Name"]: item.get("Value") for item in callback.pop("CallbackMetadata")["Item"]
        }
        assert callback == {**ids, "ResultCode": 0, "ResultDesc": callback["ResultDesc"]}
        assert (items["Amount"], items["MpesaReceiptNumber"]) == (250, RECEIPT)
        assert items["PhoneNumber"] == 254712000001
        assert len(str(items["TransactionDate"])) == 14
        (report,) = company.told("confirmation")
        assert (report["TransID"], report["BillRefNumber"]) == (RECEIPT, ACCOUNT)
        looked = look(fakes, answer["CheckoutRequestID"]).json()
        assert (looked["ResponseCode"], looked["ResultCode"]) == ("0", "0")
        assert pull(fakes).json()["Response"][0][0]["transactionId"] == RECEIPT

    def test_a_payer_may_not_pay_or_pay_unheard(self, fakes: Running, company: Company) -> None:
        asked = push(fakes, company).json()["CheckoutRequestID"]
        control(fakes, "stk", checkout_request_id=asked, result_code=1032)
        (told,) = company.told("pushed")
        assert told["Body"]["stkCallback"]["ResultCode"] == 1032
        assert "CallbackMetadata" not in told["Body"]["stkCallback"]
        assert look(fakes, asked).json()["ResultCode"] == "1032"
        control(fakes, "stk", checkout_request_id=asked, callback=False)
        assert len(company.told("pushed")) == 1
        assert look(fakes, asked).json()["ResultCode"] == "0"
        control(fakes, "stk", checkout_request_id=asked, result_code=1037, times=2)
        assert len(company.told("pushed")) == 3
        assert look(fakes, asked).json()["ResultCode"] == "0"
        assert control(fakes, "stk", checkout_request_id="other").status == 404

    def test_anything_undocumented_is_refused(self, fakes: Running, company: Company) -> None:
        token = log_in(fakes).json()["access_token"]
        for change in (
            *({"Amount": amount} for amount in (0, "2.50", 2.5, True, 250_001, None)),
            {"AccountReference": "SM5R-00123"},
            {"AccountReference": "SM5R000000123"},
            {"TransactionDesc": "fourteen signs"},
            {"BusinessShortCode": "174379"},
            {"PhoneNumber": "0712000001"},
            {"Timestamp": "20261308120000"},
            {"CallBackURL": "https://elsewhere.example/x"},
            {"CallBackURL": f"{company.url}/payments/query"},
            {"TransactionType": "CustomerBuyGoodsOnline"},
            {"Remarks": "more"},
        ):
            answer = push(fakes, company, token, **change)
            assert failed(answer)[:2] == (400, "400.002.02"), change

    def test_the_password_is_that_of_the_timestamp(self, fakes: Running, company: Company) -> None:
        wrong = (500, "500.001.1001", "Wrong credentials")
        assert failed(push(fakes, company, Timestamp="20260108120001")) == wrong
        assert failed(look(fakes, "x", Password="guess")) == wrong
        assert failed(look(fakes, "x"))[1] == "400.002.02"


class TestPull:
    def test_it_tells_what_nobody_told(self, fakes: Running, company: Company) -> None:
        at = (datetime.now(NOW.tzinfo) - timedelta(minutes=9)).replace(microsecond=0)
        wish = {"account": ACCOUNT, "amount": "250", "receipt": RECEIPT, "at": at.isoformat()}
        assert control(fakes, "pull-only", **wish).json()["webhook_status"] is None
        assert company.told("confirmation") == []
        answer = pull(fakes).json()
        assert (answer["ResponseCode"], answer["ResponseMessage"]) == ("1000", "Success")
        (row,) = answer["Response"][0]
        assert row == {
            "transactionId": RECEIPT,
            "trxDate": at.isoformat(),
            "msisdn": 254712000126,
            "sender": "",
            "transactiontype": "c2b-pay-bill-debit",
            "billreference": ACCOUNT,
            "amount": "250",
            "organizationname": "Mwanga",
        }

    def test_it_has_pages_and_reaches_back_two_days(
        self, fakes: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(daraja, "ROWS_PER_ANSWER", 2)
        now = datetime.now(NOW.tzinfo)
        for hours in (49, 47, 3, 2):
            at = (now - timedelta(hours=hours)).isoformat()
            c2b(fakes, receipt=f"SKC82PAC{hours:02}", at=at, ask=False, confirm=False)
        start = (now - timedelta(hours=72)).strftime("%Y-%m-%d %H:%M:%S")

        def receipts(offset: int) -> list[str]:
            listed = pull(fakes, StartDate=start, OffSetValue=offset).json()["Response"]
            return [row["transactionId"][-2:] for rows in listed for row in rows]

        assert [receipts(offset) for offset in (0, 2, 4)] == [["47", "03"], ["02"], []]
        assert failed(pull(fakes, StartDate="2026-01-08T12:00:00"))[1] == "400.002.02"

    def test_it_is_registered_for_once(self, fakes: Running, company: Company) -> None:
        fields = {
            "ShortCode": SHORT_CODE,
            "RequestType": "Pull",
            "NominatedNumber": "0712000001",
            "CallBackURL": f"{company.url}/pulled",
        }
        path = "/pulltransactions/v1/register"
        answers = [ask(fakes, path, fields).json()["ResponseStatus"] for _ in range(2)]
        assert answers == ["1000", "1001"]


class TestReversal:
    def test_it_is_accepted_and_its_result_is_posted(
        self, fakes: Running, company: Company
    ) -> None:
        c2b(fakes)
        answer = reverse(fakes, company).json()
        assert answer["ResponseCode"] == "0"
        (result,) = results(company)
        assert (result["ResultType"], result["ResultCode"]) == (0, 0)
        for name in ("ConversationID", "OriginatorConversationID"):
            assert result[name] == answer[name]
        listed = result["ResultParameters"]["ResultParameter"]
        parameters = {item["Key"]: item["Value"] for item in listed}
        assert parameters["OriginalTransactionID"] == RECEIPT
        assert parameters["Amount"] == 250
        (item,) = fakes.refunds("daraja")
        assert (item["reference"], item["amount"], item["status"]) == (RECEIPT, 250, "processed")
        assert item["refund_id"] == answer["ConversationID"]
        assert item["request"]["SecurityCredential"] == "…"

    def test_what_cannot_be_reversed_is_told_later(self, fakes: Running, company: Company) -> None:
        c2b(fakes)
        reverse(fakes, company, SecurityCredential=credential("guess"))
        assert results(company, 1)[-1]["ResultCode"] == 2001
        reverse(fakes, company, TransactionID="SKC82PACB9")
        assert results(company, 2)[-1]["ResultCode"] == "R000002"
        reverse(fakes, company)
        assert results(company, 3)[-1]["ResultCode"] == 0
        reverse(fakes, company)
        again = results(company, 4)[-1]
        assert again["ResultCode"] == "R000001"
        assert "ResultParameters" not in again
        statuses = [item["status"] for item in fakes.refunds("daraja")]
        assert statuses == ["failed", "failed", "processed", "failed"]

    def test_anything_undocumented_is_refused(self, fakes: Running, company: Company) -> None:
        c2b(fakes)
        for change in (
            {"Amount": 249},
            {"ReceiverParty": "174379"},
            {"RecieverIdentifierType": "4"},
            {"ResultURL": "https://elsewhere.example/x"},
            {"QueueTimeOutURL": None},
            {"CommandID": "Reversal"},
        ):
            assert failed(reverse(fakes, company, **change))[:2] == (400, "400.002.02")
        assert fakes.refunds("daraja") == []


class TestFaults:
    def test_a_result_that_is_pending_is_posted_when_that_is_wished(
        self, fakes: Running, company: Company
    ) -> None:
        c2b(fakes)
        fakes.order("daraja", "pending", times=1, serial_number=RECEIPT)
        reverse(fakes, company)
        assert control(fakes, "reversal-result", receipt=RECEIPT, times=2).status == 200
        assert [result["ResultCode"] for result in results(company, 2)] == [0, 0]
        control(fakes, "reversal-result", receipt=RECEIPT, result_code=1)
        assert fakes.refunds("daraja")[0]["status"] == "failed"
        reverse(fakes, company)
        assert results(company, 4)[-1]["ResultCode"] == 0
        assert control(fakes, "reversal-result", receipt="SKC82PACB9").status == 404

    def test_a_reversal_that_fails_can_be_asked_for_again(
        self, fakes: Running, company: Company
    ) -> None:
        c2b(fakes)
        fakes.order("daraja", "refund_fails", times=1)
        reverse(fakes, company)
        assert results(company, 1)[-1]["ResultCode"] == 1
        reverse(fakes, company)
        assert results(company, 2)[-1]["ResultCode"] == 0

    def test_a_push_may_be_said_to_run_still(self, fakes: Running, company: Company) -> None:
        asked = push(fakes, company).json()["CheckoutRequestID"]
        control(fakes, "stk", checkout_request_id=asked)
        fakes.order("daraja", "pending", times=1)
        assert [look(fakes, asked).json()["ResultCode"] for _ in range(2)] == ["4999", "0"]

    def test_calls_fail_as_ordered(self, fakes: Running, company: Company) -> None:
        c2b(fakes)
        fakes.order("daraja", "error_500", times=1, serial_number=ACCOUNT)
        assert push(fakes, company).data == b"Internal Server Error"
        fakes.order("daraja", "refuse", times=2)
        assert failed(push(fakes, company))[0] == failed(reverse(fakes, company))[0] == 400
        fakes.order("daraja", "garbage", times=1)
        assert reverse(fakes, company).data.startswith(b"<html>")
        assert results(company)[0]["ResultCode"] == 0
        assert control(fakes, "stk", account_reference=ACCOUNT).status == 404


def test_the_secret_is_what_the_channel_reads() -> None:
    known = secret(
        "daraja", {**GIVEN, "public_url": "http://127.0.0.1:8080/api"}, "http://x/daraja"
    )
    api = known.pop("api")
    assert known == {
        "short_code": "600966",
        "path_secrets": [GIVEN["path_secret"]],
        "addresses": ["127.0.0.1"],
    }
    assert set(api) == {
        *("base_url", "consumer_key", "consumer_secret", "passkey", "initiator"),
        *("initiator_password", "public_key", "public_url"),
    }
    assert api["public_url"] == "http://127.0.0.1:8080/api"
    assert secret("daraja", GIVEN, "http://x/daraja")["api"]["public_url"] == ""
