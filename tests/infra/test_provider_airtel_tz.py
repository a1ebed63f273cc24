"""The fake of Airtel Tanzania's first gateway, asked over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import urllib3
from defusedxml.ElementTree import fromstring

from infra.local.providers import airtel_tz, secret
from tests.infra.listening import Company, listening
from tests.infra.running_fakes import Running, call, running, without_none

KEY = "airtel_tz"
GIVEN = airtel_tz.made_up()
PATH = f"/payments/airtel_tz/{GIVEN['path_secret']}"
SERIAL = "SM5R00123"
TRANS_ID = "MP260108.1200.A1"
RECEIVED = b"<Response><TYPE>CMPRRES</TYPE><TXNSTATUS>200</TXNSTATUS></Response>"

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def company() -> Iterator[Company]:
    """A company that is told of payments."""
    with listening() as company:
        company.will_answer(PATH, RECEIVED)
        yield company


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """A freshly started gateway that tells the company."""
    with running(tmp_path, company.url, (), [KEY], {KEY: GIVEN}) as started:
        yield started


def flat(body: bytes) -> dict[str, str]:
    """The elements of a message."""
    root = fromstring(body)
    assert root.tag == "COMMAND"
    return {element.tag: element.text or "" for element in root}


def control(fakes: Running, **fields: Any) -> Reply:
    return call("POST", f"{fakes.control}/{KEY}/pay", fields)


def pay(fakes: Running, **more: Any) -> Any:
    """A customer pays 5000."""
    fields = {"serial_number": SERIAL, "amount": 5000, "trans_id": TRANS_ID, **more}
    return control(fakes, **without_none(fields)).json()


def post(fakes: Running, body: bytes, content_type: str = "text/xml") -> dict[str, str]:
    """One call to the gateway: what it answers."""
    answer = call("POST", f"{fakes.urls[KEY]}/", body, Content_Type=content_type)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    return flat(answer.data)


def xml(**fields: Any) -> bytes:
    elements = (f"<{name}>{escape(text)}</{name}>" for name, text in without_none(fields).items())
    return f"<COMMAND>{''.join(elements)}</COMMAND>".encode()


def roll_back(fakes: Running, **changes: Any) -> dict[str, str]:
    """The payment is given back; changes replace fields, ``None`` leaves one out."""
    fields = {"TYPE": "ROLLBACK", "TXNID": TRANS_ID, "TRID": "p-1", "MESSAGE": "Unknown <device>"}
    return post(fakes, xml(**{**fields, **changes}))


def test_the_secret_holds_what_the_company_was_given() -> None:
    assert secret(KEY, GIVEN, "http://airtel.example/airtel_tz") == {
        "users": {GIVEN["user"]: [GIVEN["password"]]},
        "business_number": "555",
        "path_secrets": [GIVEN["path_secret"]],
        "addresses": ["127.0.0.1"],
        "currency": "KES",
        "rollback_url": "http://airtel.example/airtel_tz/",
    }


def test_the_company_is_told_and_its_answer_is_shown(fakes: Running, company: Company) -> None:
    answer = pay(fakes)
    assert (answer["webhook_status"], answer["webhook_answer"]) == (200, RECEIVED.decode())
    assert answer["said"] == {"TYPE": "CMPRRES", "TXNSTATUS": "200"}
    told = company.only()
    assert (told.path, told.headers["content-type"]) == (PATH, "text/xml; charset=utf-8")
    message = flat(told.body)
    assert message.pop("TRID").isdecimal()
    assert message == {
        "APIUser": GIVEN["user"],
        "APIPassword": GIVEN["password"],
        "INTERFACEID": GIVEN["interface_id"],
        "BusinessNumber": "555",
        "TransID": TRANS_ID,
        "Amount": "5000",
        "ReferenceField": SERIAL,
        "Msisdn": "784000001",
    }


def test_it_is_told_again_and_otherwise(fakes: Running, company: Company) -> None:
    pay(fakes, times=2)
    pay(fakes, amount="7000", serial_number="<other>", msisdn="784000002")
    first, again, other = (flat(told.body) for told in company.told)
    assert first == again
    assert (other["TransID"], other["TRID"]) == (first["TransID"], first["TRID"])
    assert (other["Amount"], other["ReferenceField"]) == ("7000", "<other>")
    assert pay(fakes, trans_id=None)["trans_id"] != TRANS_ID


def test_an_answer_that_is_no_xml_says_nothing(fakes: Running, company: Company) -> None:
    for body in (b"", b"{}", b"<a>b</a>", b"<a/>"):
        company.will_answer(PATH, body, 500)
        answer = pay(fakes)
        assert (answer["webhook_status"], answer["said"]) == (500, {})


def test_a_wish_that_makes_no_sense_is_refused(fakes: Running, company: Company) -> None:
    for change in ({"amount": 0}, {"amount": 1.5}, {"amount": True}, {"msisdn": "255784000001"}):
        fields = {"serial_number": SERIAL, "amount": 5000, **change}
        assert control(fakes, **fields).status == 422, change
    assert company.told == []


def test_a_payment_is_rolled_back_once(fakes: Running) -> None:
    pay(fakes)
    assert roll_back(fakes) == {
        "TYPE": "ROLLBACK",
        "TXNSTATUS": "200",
        "TXNID": TRANS_ID,
        "TRID": "p-1",
        "MESSAGE": "Rolled back",
    }
    assert roll_back(fakes, TRID="p-2")["TXNSTATUS"] == "409"
    assert roll_back(fakes, TXNID="other")["TXNSTATUS"] == "404"
    (item,) = fakes.refunds(KEY)
    assert (item["reference"], item["refund_id"], item["amount"]) == (TRANS_ID, "p-1", "5000")
    assert item["request"]["MESSAGE"] == "Unknown <device>"


def test_anything_undocumented_is_refused(fakes: Running) -> None:
    pay(fakes)
    for change in ({"TYPE": "REFUND"}, {"TRID": None}, {"TXNID": ""}, {"AMOUNT": "5000"}):
        assert roll_back(fakes, **change)["TXNSTATUS"] == "400", change
    entity = b'<!DOCTYPE a [<!ENTITY b "c">]><COMMAND>&b;</COMMAND>'
    for body in (b"", b"{}", b"<COMMAND/>", b"<Response/>", entity):
        assert post(fakes, body)["TXNSTATUS"] == "400", body
    assert post(fakes, xml(TYPE="ROLLBACK"), "application/json")["TXNSTATUS"] == "400"
    url = fakes.urls[KEY]
    assert (call("GET", f"{url}/").status, call("POST", f"{url}/other").status) == (405, 404)
    assert fakes.refunds(KEY) == []


def test_faults(fakes: Running) -> None:
    pay(fakes)
    fakes.order(KEY, "refuse", serial_number=TRANS_ID, times=1)
    assert roll_back(fakes)["TXNSTATUS"] == "403"
    fakes.order(KEY, "error_500", times=1)
    with pytest.raises(AssertionError):
        roll_back(fakes)
    assert fakes.refunds(KEY) == []
    fakes.order(KEY, "garbage", times=1)
    with pytest.raises(AssertionError):
        roll_back(fakes)
    assert len(fakes.refunds(KEY)) == 1
