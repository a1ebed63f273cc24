"""The faked broker of Vodacom Tanzania, asked over real HTTP and TLS."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from defusedxml.ElementTree import fromstring

from infra.local.fakes.certificates import make_certificates
from infra.local.fakes.server import Address
from infra.local.processes import HOST, free_port
from infra.local.providers import scheme, secret, vodacom_tz
from tests.infra.running_fakes import Running, call, client_tls, running, without_none

GIVEN = vodacom_tz.made_up()
TLS = client_tls(GIVEN)
ACCOUNT = "SM5R00123"
RECEIPT = "AB12CD34EF"
STAMP = "20260108120000"
RECEIVED = b"<mpesaBroker><response><responseCode>0</responseCode></response></mpesaBroker>"

Reply = urllib3.BaseHTTPResponse


@dataclass
class Company:
    """Where the broker calls: what came, and what it is answered."""

    url: str
    status: int = 200
    received: list[tuple[str, str, bytes]] = field(default_factory=list)


@pytest.fixture
def company() -> Iterator[Company]:
    """A server that is told of payments."""
    port = free_port(0)
    company = Company(f"http://{HOST}:{port}/api")

    class Payments(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            company.received.append((self.path, self.headers["Content-Type"], body))
            self.send_response(company.status)
            self.send_header("Content-Length", str(len(RECEIVED)))
            self.end_headers()
            self.wfile.write(RECEIVED)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    address = Address(port, Payments)
    address.open()
    yield company
    address.close()


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """A freshly started broker that tells the company."""
    with running(tmp_path, company.url, (), ["vodacom_tz"], {"vodacom_tz": GIVEN}) as started:
        yield started


def flat(body: bytes, kind: str) -> dict[str, str]:
    """All texts of a message, by the names of their elements."""
    root = fromstring(body)
    assert root.tag == "{http://inforwise.co.tz/broker/}mpesaBroker"
    (part,) = root
    assert part.tag.rpartition("}")[2] == kind
    return {leaf.tag.rpartition("}")[2]: leaf.text or "" for leaf in part.iter() if not len(leaf)}


def password(stamp: str, word: str = GIVEN["sp_password"]) -> str:
    """By the broker's rule."""
    digest = hashlib.sha256(f"888000{word}{stamp}".encode()).digest()
    return base64.b64encode(digest).decode()


def initiator_password(number: str = GIVEN["initiator"]) -> str:
    """The initiator's number, encrypted for the broker."""
    certificate = x509.load_pem_x509_certificate(GIVEN["initiator_certificate"].encode())
    key: Any = certificate.public_key()
    return base64.b64encode(key.encrypt(number.encode(), padding.PKCS1v15())).decode()


def control(fakes: Running, name: str, body: Any = None) -> Reply:
    """Something that is had done at the broker's side."""
    return call("POST", f"{fakes.control}/vodacom_tz/{name}", body)


def pay(fakes: Running, **more: Any) -> Any:
    """A customer pays 5000."""
    body = {"account": ACCOUNT, "amount": "5000.0", "receipt": RECEIPT, **more}
    return control(fakes, "pay", body).json()


def state(fakes: Running, receipt: str = RECEIPT) -> Any:
    """Where the money is."""
    return control(fakes, "state", {"receipt": receipt}).json()["state"]


def xml(kind: str, **parts: dict[str, Any]) -> bytes:
    """A message to the broker."""
    body = "".join(
        f"<{part}>{''.join(f'<{n}>{escape(v)}</{n}>' for n, v in fields.items())}</{part}>"
        for part, fields in parts.items()
    )
    head = '<mpesaBroker xmlns="http://infowise.co.tz/broker/" version="2.0">'
    return f"{head}<{kind}>{body}</{kind}></mpesaBroker>".encode()


def post(fakes: Running, body: bytes, content_type: str = "application/xml") -> Reply:
    """One call to the broker."""
    url = f"{fakes.urls['vodacom_tz']}/result"
    return call("POST", url, body, TLS, Content_Type=content_type)


def end(fakes: Running, paid: Any, code: str = "0", **changes: Any) -> dict[str, str]:
    """The company's result for a payment: what the broker answers."""
    provider = {
        "spId": GIVEN["sp_id"],
        "spPassword": password(STAMP),
        "timestamp": STAMP,
    }
    transaction = {
        "resultType": "Completed",
        "resultCode": code,
        "resultDesc": "Success" if code == "0" else "Failure",
        "serviceReceipt": "p-1",
        "serviceDate": "2026-01-08 12:00:00",
        "serviceID": GIVEN["service_id"],
        "originatorConversationID": paid["originator_conversation_id"],
        "conversationID": paid["conversation_id"],
        "transactionID": paid["transaction_id"],
        "initiator": GIVEN["initiator"],
        "initiatorPassword": initiator_password(),
    }
    for name, value in changes.items():
        (provider if name in provider else transaction)[name] = value
    body = xml(
        "result",
        serviceProvider=without_none(provider),
        transaction=without_none(transaction),
    )
    answer = post(fakes, body)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    return flat(answer.data, "response")


def test_a_password_is_that_of_the_published_rule() -> None:
    expected = "Zt48QUJ1noCfaWeVPD8VxctlbG8QiSJDSx36wzjWtww="
    assert password(STAMP, "test_password") == expected
    assert vodacom_tz.sign("888000", "test_password", STAMP) == expected


class TestPaying:
    def test_the_company_is_told_and_its_answer_is_shown(
        self, fakes: Running, company: Company
    ) -> None:
        paid = pay(fakes)
        assert (paid["webhook_status"], paid["webhook_answer"]) == (200, RECEIVED.decode())
        ((path, content_type, body),) = company.received
        assert path == f"/api/payments/vodacom_tz/{GIVEN['path_secret']}"
        assert content_type == "text/xml; charset=utf-8"
        told = flat(body, "request")
        stamp, date = told.pop("timestamp"), told.pop("transactionDate")
        assert told.pop("spPassword") == password(stamp)
        assert (len(stamp), len(date)) == (14, 19)
        assert told == {
            "spId": "888000",
            "amount": "5000.0",
            "commandID": "Pay Bill",
            "initiator": "255744000001",
            "conversationID": paid["conversation_id"],
            "originatorConversationID": paid["originator_conversation_id"],
            "recipient": "888000",
            "mpesaReceipt": RECEIPT,
            "accountReference": ACCOUNT,
            "transactionID": paid["transaction_id"],
        }
        assert paid["receipt"] == RECEIPT
        assert state(fakes) == "reserved"

    def test_it_is_told_again_otherwise_or_not(self, fakes: Running, company: Company) -> None:
        assert pay(fakes, notify=False)["webhook_status"] is None
        assert company.received == []
        control(fakes, "notify", {"receipt": RECEIPT, "times": 2})
        changes = {"receipt": RECEIPT, "account": "<other>", "amount": 12.5}
        assert control(fakes, "notify", changes).status == 422
        control(fakes, "notify", {**changes, "amount": "12.50"})
        first, second, third = (flat(body, "request") for _, _, body in company.received)
        assert first == second
        assert (third["amount"], third["accountReference"]) == ("12.5", "<other>")
        assert third["transactionID"] == first["transactionID"]
        body = {"account": ACCOUNT, "amount": 1}
        assert control(fakes, "pay", {**body, "receipt": RECEIPT}).status == 422
        assert len(control(fakes, "pay", body).json()["receipt"]) == 10
        assert control(fakes, "notify", {"receipt": "AB12CD34EG"}).status == 404
        assert control(fakes, "state", {"receipt": "AB12CD34EG"}).status == 404

    def test_the_broker_shows_that_it_is_there(self, fakes: Running, company: Company) -> None:
        company.status = 204
        assert control(fakes, "heartbeat").json()["webhook_status"] == 204
        ((_, _, body),) = company.received
        root = fromstring(body)
        assert (root.tag, root.text, len(root)) == ("FailSafe", "Mwanga", 0)


class TestResult:
    def test_it_decides_where_the_money_goes(self, fakes: Running) -> None:
        paid = pay(fakes)
        answer = end(fakes, paid)
        assert answer == {
            "conversationID": paid["conversation_id"],
            "originatorConversationID": paid["originator_conversation_id"],
            "transactionID": paid["transaction_id"],
            "responseCode": "0",
            "responseDesc": "Completed",
            "serviceStatus": "Success",
        }
        assert state(fakes) == "completed"
        assert fakes.refunds("vodacom_tz") == []
        other = pay(fakes, receipt="AB12CD34EG")
        assert end(fakes, other, "999")["responseCode"] == "999"
        assert state(fakes, "AB12CD34EG") == "cancelled"
        (item,) = fakes.refunds("vodacom_tz")
        assert (item["reference"], item["amount"]) == ("AB12CD34EG", "5000.0")
        assert item["request"]["initiatorPassword"] == "…"

    def test_it_is_final(self, fakes: Running) -> None:
        paid = pay(fakes)
        codes = [end(fakes, paid, code)["responseCode"] for code in ("999", "999", "0")]
        assert codes == ["999", "999", "1"]
        assert state(fakes) == "cancelled"
        assert len(fakes.refunds("vodacom_tz")) == 1

    def test_an_unknown_conversation_is_refused(self, fakes: Running) -> None:
        paid = pay(fakes)
        for name in ("conversationID", "originatorConversationID", "transactionID"):
            assert end(fakes, paid, **{name: "other"})["responseCode"] == "2"
        assert state(fakes) == "reserved"

    def test_strangers_are_refused(self, fakes: Running) -> None:
        paid = pay(fakes)
        for changes in (
            {"spId": "888001"},
            {"spPassword": password(STAMP, "guess")},
            {"timestamp": "20260108120001"},
            {"serviceID": "1"},
            {"initiator": "255744000009"},
            {"initiatorPassword": initiator_password("255744000009")},
            {"initiatorPassword": "guess"},
        ):
            assert end(fakes, paid, **changes)["responseCode"] == "4", changes
        assert state(fakes) == "reserved"

    def test_anything_undocumented_is_refused(self, fakes: Running) -> None:
        paid = pay(fakes)
        for changes in (
            {"resultCode": "1"},
            {"resultType": "Done"},
            {"resultDesc": None},
            {"serviceReceipt": ""},
            {"serviceDate": "20260108120000"},
            {"timestamp": "2026-01-08 12:00:00"},
            {"mpesaReceipt": RECEIPT},
        ):
            assert end(fakes, paid, **changes)["responseCode"] == "3", changes
        entity = b'<!DOCTYPE a [<!ENTITY b "c">]><mpesaBroker>&b;</mpesaBroker>'
        for body in (b"", b"{}", b"<a/>", b"<mpesaBroker/>", entity, xml("request")):
            assert flat(post(fakes, body).data, "response")["responseCode"] == "3"
        sent_as_json = post(fakes, xml("result"), "application/json")
        assert flat(sent_as_json.data, "response")["responseCode"] == "3"
        assert state(fakes) == "reserved"

    def test_only_who_has_the_certificate_is_heard(self, fakes: Running) -> None:
        url = fakes.urls["vodacom_tz"]
        assert url.startswith("https://")
        assert call("GET", f"{url}/result", tls=TLS).status == 405
        assert call("GET", f"{url}/other", tls=TLS).status == 404
        stranger = client_tls(make_certificates(), GIVEN["ca_certificate"])
        with pytest.raises(urllib3.exceptions.HTTPError):
            call("GET", f"{url}/result", tls=stranger)


class TestFaults:
    def test_calls_fail_as_ordered(self, fakes: Running) -> None:
        paid = pay(fakes)
        fakes.order("vodacom_tz", "refuse", times=1, serial_number=RECEIPT)
        assert end(fakes, paid)["responseCode"] == "1"
        assert state(fakes) == "reserved"
        fakes.order("vodacom_tz", "garbage", times=1)
        with pytest.raises(AssertionError):
            end(fakes, paid)
        assert state(fakes) == "completed"
        fakes.order("vodacom_tz", "error_500")
        assert end(fakes, paid)["responseCode"] == "0"  # nothing is changed by a repetition
        with pytest.raises(AssertionError):
            end(fakes, pay(fakes, receipt="AB12CD34EG"))
        assert state(fakes, "AB12CD34EG") == "reserved"


def test_the_secret_is_what_the_channel_reads() -> None:
    assert scheme("vodacom_tz") == "https"
    known = secret("vodacom_tz", GIVEN, "https://x/vodacom_tz")
    broker = known.pop("broker")
    assert known == {
        "sp_id": "888000",
        "sp_passwords": [GIVEN["sp_password"]],
        "path_secrets": [GIVEN["path_secret"]],
        "addresses": ["127.0.0.1"],
        "currency": "KES",
    }
    assert broker["url"] == "https://x/vodacom_tz/result"
    assert set(broker) == {
        *("url", "sp_password", "service_id", "initiator", "initiator_certificate"),
        *("pkcs12", "pkcs12_password", "ca_certificate"),
    }
