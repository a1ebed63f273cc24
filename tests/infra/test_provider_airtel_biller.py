"""Airtel's faked biller API, which calls a company over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
import xmltodict

from infra.local.providers import airtel_biller, secret
from tests.infra.listening import Company, Told, listening
from tests.infra.running_fakes import Running, call, running

GIVEN = airtel_biller.made_up()
SERIAL = "SM5R00123"
VALIDATION = "/payments/airtel_biller/validation"
PROCESS = "/payments/airtel_biller/process"
ENQUIRY = "/payments/airtel_biller/enquiry"

Reply = urllib3.BaseHTTPResponse


def xml(**elements: str) -> bytes:
    """An answer of the company."""
    return xmltodict.unparse({"COMMAND": elements}).encode()


@pytest.fixture
def company() -> Iterator[Company]:
    """A company that takes every payment."""
    with listening() as company:
        company.will_answer(VALIDATION, xml(STATUS="200", MESSAGE="Success"))
        company.will_answer(PROCESS, xml(STATUS="200", MESSAGE="Success", TXNID="t-1"))
        company.will_answer(ENQUIRY, xml(STATUS="200", MESSAGE="Pending", REF="t-1"))
        yield company


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """A freshly started Airtel that calls the company."""
    given = {"airtel_biller": GIVEN}
    with running(tmp_path, company.url, (), ["airtel_biller"], given) as started:
        yield started


def control(fakes: Running, name: str, **body: Any) -> Reply:
    """Something that is had done at Airtel's side."""
    return call("POST", f"{fakes.control}/airtel_biller/{name}", body)


def message(told: Told) -> dict[str, Any]:
    """What is in a call."""
    assert told.headers["content-type"] == "application/xml"
    assert told.headers["authorization"] == f"Bearer {GIVEN['token']}"
    content: dict[str, Any] = xmltodict.parse(told.body)["COMMAND"]
    return content


def test_the_secret_has_what_the_channel_needs() -> None:
    content = secret("airtel_biller", GIVEN, "http://127.0.0.1:9/airtel_biller")
    assert content == {"tokens": [GIVEN["token"]], "currency": "KES"}


def test_there_is_nothing_to_call(fakes: Running) -> None:
    assert call("POST", f"{fakes.urls['airtel_biller']}/validation", b"").status == 404
    assert fakes.refunds("airtel_biller") == []


class TestPaying:
    def test_the_company_is_asked_first_and_then_told(
        self, fakes: Running, company: Company
    ) -> None:
        body = {"reference": SERIAL, "amount": 2500, "msisdn": "733000002"}
        answer = control(fakes, "pay", **body).json()
        asked, told = company.told
        assert (asked.path, told.path) == (VALIDATION, PROCESS)
        assert message(asked) == {
            "TYPE": "VALIDATE",
            "CUSTOMERMSISDN": "733000002",
            "MERCHANTMSISDN": "733999999",
            "AMOUNT": "2500",
            "REFERENCE": SERIAL,
            "REFERENCE1": answer["reference1"],
        }
        assert message(told) == {
            "REFERENCE1": answer["reference1"],
            "REFERENCE2": answer["reference2"],
        }
        assert (answer["webhook_status"], answer["paid"]) == (200, True)
        assert answer["said"] == {"STATUS": "200", "MESSAGE": "Success", "TXNID": "t-1"}
        assert [each["name"] for each in answer["calls"]] == ["validation", "process"]

    def test_it_may_be_told_again_or_never(self, fakes: Running, company: Company) -> None:
        control(fakes, "pay", reference=SERIAL, amount=2500, times=2)
        assert company.told[1].body == company.told[2].body
        company.told.clear()
        answer = control(fakes, "pay", reference=SERIAL, amount=2500, process=False).json()
        assert (company.only().path, answer["paid"]) == (VALIDATION, True)

    def test_nobody_pays_what_the_company_does_not_want(
        self, fakes: Running, company: Company
    ) -> None:
        yes = xml(STATUS="200", MESSAGE="Success")
        refusals = [
            (xml(STATUS="400", MESSAGE="unknown serial number"), 200),
            (xml(STATUS="401", MESSAGE="who are you"), 200),
            (yes, 500),
            (b'<!DOCTYPE a [<!ENTITY b "200">]><COMMAND><STATUS>&b;</STATUS></COMMAND>', 200),
            (b"Success", 200),
        ]
        for body, status in refusals:
            company.will_answer(VALIDATION, body, status)
            answer = control(fakes, "pay", reference=SERIAL, amount=2500).json()
            assert (answer["paid"], answer["webhook_status"]) == (False, status)
        assert {told.path for told in company.told} == {VALIDATION}

    def test_an_order_that_makes_no_sense_is_refused(self, fakes: Running) -> None:
        for body in ({}, {"reference": SERIAL}, {"reference": SERIAL, "amount": "much"}):
            assert control(fakes, "pay", **body).status == 422


class TestOneCall:
    def test_the_company_is_only_asked(self, fakes: Running, company: Company) -> None:
        body = {"reference": "<&>", "amount": "900.50", "reference1": "MP1"}
        answer = control(fakes, "validate", **body).json()
        content = message(company.only())
        assert content == answer["sent"]
        assert (content["REFERENCE"], content["AMOUNT"]) == ("<&>", "900.50")
        assert content["REFERENCE1"] == "MP1"

    def test_the_company_is_only_told(self, fakes: Running, company: Company) -> None:
        control(fakes, "process", reference1="MP1", reference2="MP2", times=2)
        assert [message(told) for told in company.told] == 2 * [
            {"REFERENCE1": "MP1", "REFERENCE2": "MP2"}
        ]

    def test_the_company_is_asked_what_became_of_it(self, fakes: Running, company: Company) -> None:
        answer = control(fakes, "enquire", txnid="t-1").json()
        assert (company.only().path, message(company.only())) == (ENQUIRY, {"TXNID": "t-1"})
        assert answer["said"] == {"STATUS": "200", "MESSAGE": "Pending", "REF": "t-1"}

    def test_each_field_can_be_another(self, fakes: Running, company: Company) -> None:
        fields = {"AMOUNT": None, "TYPE": "OTHER"}
        control(fakes, "validate", reference=SERIAL, amount=1, fields=fields, token="other")
        told = company.only()
        content = xmltodict.parse(told.body)["COMMAND"]
        assert (content["TYPE"], "AMOUNT" in content) == ("OTHER", False)
        assert told.headers["authorization"] == "Bearer other"
