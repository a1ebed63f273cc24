"""The faked Swifta, which calls a company over real HTTP."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from infra.local.providers import secret, swifta
from tests.infra.listening import Company, Told, listening
from tests.infra.running_fakes import Running, call, running

GIVEN = swifta.made_up()
METER = "47000123456"
VALIDATION = "/payments/swifta/validation"
TRANSACTION = "/payments/swifta/transaction"
VALID = {
    "success": 1,
    "amount": 500,
    "cipher": "x",
    "timestamp": 1,
    "transaction_id": "t-1",
    "customer": "Asha Mwangi",
}

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def company() -> Iterator[Company]:
    """A company that takes every payment."""
    with listening() as company:
        company.will_answer(VALIDATION, VALID)
        company.will_answer(TRANSACTION, {"success": 1}, 201)
        yield company


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """A freshly started Swifta that calls the company."""
    with running(tmp_path, company.url, (), ["swifta"], {"swifta": GIVEN}) as started:
        yield started


def control(fakes: Running, name: str, **body: Any) -> Reply:
    """Something that is had done at Swifta's side."""
    return call("POST", f"{fakes.control}/swifta/{name}", body)


def checked(told: Told) -> dict[str, Any]:
    """The message of a call, without what says that it is genuine."""
    assert told.headers["authorization"] == f"Bearer {GIVEN['token']}"
    message: dict[str, Any] = told.json()
    moment = message.pop("timestamp")
    assert abs(time.time() - moment) < 10
    text = f"Inensus{moment}{json.dumps(message['amount'])}Swifta"
    assert message.pop("cipher") == hashlib.md5(text.encode()).hexdigest()
    return message


def test_the_cipher_is_that_of_the_known_rule() -> None:
    cipher = "8ce10af5a71b0243041bf8d30fbbc653"
    assert swifta.cipher_of(111111111, 500, ("Inensus", "Swifta")) == cipher


def test_the_secret_has_what_the_channel_needs() -> None:
    assert secret("swifta", GIVEN, "http://127.0.0.1:9/swifta") == {
        "tokens": [GIVEN["token"]],
        "words": ["Inensus", "Swifta"],
        "addresses": ["127.0.0.1"],
        "currency": "KES",
    }


def test_there_is_nothing_to_call(fakes: Running) -> None:
    for method in ("GET", "POST"):
        assert call(method, f"{fakes.urls['swifta']}/validation").status == 404
    assert fakes.refunds("swifta") == []


class TestPaying:
    def test_the_company_is_asked_first_and_then_told(
        self, fakes: Running, company: Company
    ) -> None:
        answer = control(fakes, "pay", meter_number=METER, amount=500, reference="SW1").json()
        asked, told = company.told
        assert (asked.path, told.path) == (VALIDATION, TRANSACTION)
        assert checked(asked) == {"meter_number": METER, "amount": 500}
        assert checked(told) == {
            "transaction_id": "t-1",
            "transaction_reference": "SW1",
            "amount": 500,
        }
        assert (answer["webhook_status"], answer["paid"]) == (201, True)
        assert (answer["transaction_id"], answer["transaction_reference"]) == ("t-1", "SW1")
        assert [each["name"] for each in answer["calls"]] == ["validation", "transaction"]

    def test_decimals_are_in_the_cipher_as_in_the_message(
        self, fakes: Running, company: Company
    ) -> None:
        control(fakes, "pay", meter_number=METER, amount=500.5)
        assert [checked(told)["amount"] for told in company.told] == [500.5, 500.5]

    def test_it_may_be_told_again_or_never(self, fakes: Running, company: Company) -> None:
        control(fakes, "pay", meter_number=METER, amount=500, times=2)
        assert company.told[1].body == company.told[2].body
        company.told.clear()
        answer = control(fakes, "pay", meter_number=METER, amount=500, confirm=False).json()
        assert company.only().path == VALIDATION
        assert (answer["paid"], answer["webhook_status"]) == (True, 200)

    def test_nobody_pays_what_the_company_does_not_want(
        self, fakes: Running, company: Company
    ) -> None:
        refusals: list[tuple[Any, int]] = [
            ({"success": 0, "message": "unknown meter"}, 400),
            (VALID, 400),
            ({**VALID, "success": 0}, 200),
            ({"success": 1}, 200),
            (b"<html>", 200),
        ]
        for body, status in refusals:
            company.will_answer(VALIDATION, body, status)
            answer = control(fakes, "pay", meter_number=METER, amount=500).json()
            assert (answer["paid"], answer["webhook_status"]) == (False, status)
        assert {told.path for told in company.told} == {VALIDATION}

    def test_an_order_that_makes_no_sense_is_refused(self, fakes: Running) -> None:
        for body in ({}, {"meter_number": METER}, {"meter_number": METER, "amount": 0}):
            assert control(fakes, "pay", **body).status == 422


class TestOneCall:
    def test_the_company_is_only_asked(self, fakes: Running, company: Company) -> None:
        answer = control(fakes, "validate", meter_number=METER, amount=500).json()
        assert checked(company.only()) == {"meter_number": METER, "amount": 500}
        assert answer["transaction_id"] == "t-1"

    def test_the_company_is_only_told(self, fakes: Running, company: Company) -> None:
        body = {"transaction_id": "t-2", "amount": "500.00", "reference": "SW2", "times": 2}
        control(fakes, "transact", **body)
        assert company.told[0].body == company.told[1].body
        message = company.told[0].json()
        assert (message["transaction_reference"], message["amount"]) == ("SW2", "500.00")

    def test_each_field_can_be_another(self, fakes: Running, company: Company) -> None:
        fields: dict[str, Any] = {"timestamp": 111111111, "meter_number": None}
        control(fakes, "validate", meter_number=METER, amount=500, fields=fields)
        right = {
            "amount": 500,
            "timestamp": 111111111,
            "cipher": "8ce10af5a71b0243041bf8d30fbbc653",
        }
        assert company.told[0].json() == right
        fields = {"cipher": "guess", "colour": "red"}
        control(fakes, "transact", transaction_id="t", amount=1, fields=fields, token="other")
        message = company.told[1].json()
        assert (message["cipher"], message["colour"]) == ("guess", "red")
        assert company.told[1].headers["authorization"] == "Bearer other"
