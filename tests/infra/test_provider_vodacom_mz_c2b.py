"""Vodacom Mozambique's faked C2B, which calls a company over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import urllib3

from infra.local.providers import secret, vodacom_mz_c2b
from tests.infra.listening import Company, listening
from tests.infra.running_fakes import Running, call, running

GIVEN = vodacom_mz_c2b.made_up()
SERIAL = "SM5R00123"
VALIDATE = "/payments/vodacom_mz_c2b/validate"
PROCESS = "/payments/vodacom_mz_c2b/process"
STATUS = "/payments/vodacom_mz_c2b/status"
YES = {"response_code": "0", "response_desc": "Success"}
NO = {
    "response_code": "3",
    "response_desc": "Refused",
    "data": {"message": "unknown serial number", "success": False},
}

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def company() -> Iterator[Company]:
    """A company that takes every payment."""
    with listening() as company:
        for path in (VALIDATE, PROCESS, STATUS):
            company.will_answer(path, YES)
        yield company


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """A freshly started M-Pesa that calls the company."""
    given = {"vodacom_mz_c2b": GIVEN}
    with running(tmp_path, company.url, (), ["vodacom_mz_c2b"], given) as started:
        yield started


def control(fakes: Running, name: str, **body: Any) -> Reply:
    """Something that is had done at M-Pesa's side."""
    return call("POST", f"{fakes.control}/vodacom_mz_c2b/{name}", body)


def test_the_secret_has_what_the_channel_needs() -> None:
    content = secret("vodacom_mz_c2b", GIVEN, "http://127.0.0.1:9/vodacom_mz_c2b")
    assert content == {"tokens": [GIVEN["token"]], "currency": "KES"}


def test_there_is_nothing_to_call(fakes: Running) -> None:
    assert call("POST", f"{fakes.urls['vodacom_mz_c2b']}/validate", {}).status == 404
    assert fakes.refunds("vodacom_mz_c2b") == []


class TestPaying:
    def test_the_company_is_asked_first_and_then_told(
        self, fakes: Running, company: Company
    ) -> None:
        body = {"reference": SERIAL, "amount": 250, "msisdn": "258840000001"}
        answer = control(fakes, "pay", **body).json()
        asked, told = company.told
        assert (asked.path, told.path) == (VALIDATE, PROCESS)
        for each in company.told:
            assert each.headers["authorization"] == f"Bearer {GIVEN['token']}"
        question = {
            "request_id": answer["request_id"],
            "reference": SERIAL,
            "amount": "250.00",
        }
        assert UUID(answer["request_id"]).version == 4
        assert asked.json() == question
        assert told.json() == {
            **question,
            "transaction_id": answer["transaction_id"],
            "msisdn": "258840000001",
        }
        assert (answer["webhook_status"], answer["paid"]) == (200, True)
        assert answer["response_code"] == "0"
        assert [each["name"] for each in answer["calls"]] == ["validate", "process"]

    def test_it_may_be_told_again_or_never(self, fakes: Running, company: Company) -> None:
        control(fakes, "pay", reference=SERIAL, amount="99.5", times=2)
        assert company.told[1].body == company.told[2].body
        assert "msisdn" not in company.told[1].json()
        company.told.clear()
        answer = control(fakes, "pay", reference=SERIAL, amount=250, process=False).json()
        assert (company.only().path, answer["paid"]) == (VALIDATE, True)

    def test_nobody_pays_what_the_company_does_not_want(
        self, fakes: Running, company: Company
    ) -> None:
        refusals: list[tuple[Any, int, str | None]] = [
            (NO, 400, "3"),
            (NO, 200, "3"),
            (YES, 400, None),
            (YES, 500, None),
            ({"response_code": "3", "response_desc": "Refused"}, 400, None),
            ({"response_code": 0, "response_desc": "Success"}, 200, None),
            ({"response_code": "0"}, 200, None),
            (b"0", 200, None),
            (b"", 200, None),
        ]
        for body, status, code in refusals:
            company.will_answer(VALIDATE, body, status)
            answer = control(fakes, "pay", reference=SERIAL, amount=250).json()
            assert (answer["paid"], answer["webhook_status"]) == (False, status)
            assert answer["response_code"] == code
        assert {told.path for told in company.told} == {VALIDATE}

    def test_an_order_that_makes_no_sense_is_refused(self, fakes: Running) -> None:
        for body in ({}, {"reference": SERIAL}, {"reference": SERIAL, "amount": -1}):
            assert control(fakes, "pay", **body).status == 422
        assert control(fakes, "query").status == 422


class TestOneCall:
    def test_the_company_is_only_asked(self, fakes: Running, company: Company) -> None:
        control(fakes, "validate", reference=SERIAL, amount=250, request_id="r-1")
        assert company.only().json() == {
            "request_id": "r-1",
            "reference": SERIAL,
            "amount": "250.00",
        }

    def test_the_company_is_only_told(self, fakes: Running, company: Company) -> None:
        names = {"request_id": "r-1", "transaction_id": "T1"}
        answer = control(fakes, "process", reference=SERIAL, amount=250, times=2, **names).json()
        assert company.told[0].body == company.told[1].body
        assert company.told[0].json() == {**names, "reference": SERIAL, "amount": "250.00"}
        assert {name: answer[name] for name in names} == names

    def test_the_company_is_asked_what_became_of_it(self, fakes: Running, company: Company) -> None:
        for names in ({"transaction_id": "T1"}, {"request_id": "r-1"}):
            assert control(fakes, "query", **names).json()["response_code"] == "0"
            assert (company.told[-1].path, company.told[-1].json()) == (STATUS, names)

    def test_each_field_can_be_another(self, fakes: Running, company: Company) -> None:
        fields = {"amount": 250, "request_id": None}
        control(fakes, "process", reference=SERIAL, amount=1, fields=fields, token="other")
        told = company.only()
        assert (told.json()["amount"], "request_id" in told.json()) == (250, False)
        assert told.headers["authorization"] == "Bearer other"
