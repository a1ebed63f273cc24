"""The faked vendors, asked over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from infra.local.processes import HOST, free_port
from infra.local.vendors import VENDORS, faults, make, server
from infra.local.vendors.server import Fakes

METER = "47000123456"
JSON = "application/json;charset=utf-8"


@dataclass(frozen=True)
class Addresses:
    """Where the fakes listen."""

    control: str
    calin: str
    sms: str
    sms_log: Path


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[Addresses]:
    """Freshly started fakes."""
    port = free_port(0)
    control_port = free_port(0, taken=[port])
    calin = make("calin", {"user_id": "U1", "password": "secret"})
    started = Fakes({calin: port}, tmp_path / "messages.log")
    control = started.open(control_port)
    base = f"http://{HOST}:{control_port}"
    log = tmp_path / "messages.log"
    yield Addresses(f"{base}/_control", f"http://{HOST}:{port}/calin", f"{base}/sms", log)
    started.clear_faults()
    control.close()
    started.addresses["calin"].close()


def call(method: str, url: str, body: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
    """One HTTP call without retries, on a connection of its own."""
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    with urllib3.PoolManager(retries=False, timeout=2) as pool:
        return pool.request(method, url, body=content, headers=headers)


def buy(fakes: Addresses, content_type: str = JSON, **changes: Any) -> urllib3.BaseHTTPResponse:
    """A purchase of 12.3 kWh, changed as told; ``None`` leaves a field out."""
    fields = {
        "user_id": "U1",
        "password": "secret",
        "meter_id": METER,
        "token_type": "CreditToken",
        "amount": 12.3,
        **changes,
    }
    body = {name: value for name, value in fields.items() if value is not None}
    return call("POST", f"{fakes.calin}/tokennew", body, **{"Content-Type": content_type})


def order(fakes: Addresses, **fields: Any) -> None:
    """Orders a fault of Calin's."""
    answer = call("POST", f"{fakes.control}/faults", {"vendor": "calin", **fields})
    assert answer.status == 204, answer.data


def vends(fakes: Addresses, query: str = "") -> list[dict[str, Any]]:
    """What the control address tells of vends."""
    items: list[dict[str, Any]] = call("GET", f"{fakes.control}/vends{query}").json()["items"]
    return items


def test_every_registered_vendor_can_be_made() -> None:
    for key in VENDORS:
        assert make(key, {"user_id": "U1", "password": "secret"}).key == key


class TestCalin:
    def test_a_purchase_is_answered_with_twenty_digits(self, fakes: Addresses) -> None:
        answer = buy(fakes).json()
        assert answer.pop("result").isdigit()
        assert answer == {"result_code": 0, "reason": "OK"}
        (vend,) = vends(fakes)
        assert len(vend["token"]) == 20

    def test_the_same_request_twice_is_two_tokens(self, fakes: Addresses) -> None:
        assert buy(fakes).json()["result"] != buy(fakes).json()["result"]

    def test_whole_kilowatt_hours_are_taken(self, fakes: Addresses) -> None:
        assert buy(fakes, amount=12).json()["result_code"] == 0

    @pytest.mark.parametrize("amount", [12.34, 0, -1, "12.3", True, None, 0.05])
    def test_other_amounts_are_not(self, fakes: Addresses, amount: Any) -> None:
        answer = buy(fakes, amount=amount)
        assert (answer.status, answer.json()["result_code"]) == (400, 1)
        assert vends(fakes) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"meter_id": None},
            {"meter_id": 47000123456},
            {"token_type": "ClearToken"},
            {"reference": "p1"},
        ],
        ids=["missing", "wrong type", "wrong kind of token", "unknown field"],
    )
    def test_the_fields_must_be_exactly_the_documented_ones(
        self, fakes: Addresses, change: dict[str, Any]
    ) -> None:
        assert buy(fakes, **change).status == 400

    @pytest.mark.parametrize("change", [{"user_id": "U2"}, {"password": "guess"}])
    def test_wrong_credentials_are_told(self, fakes: Addresses, change: dict[str, Any]) -> None:
        answer = buy(fakes, **change)
        assert (answer.status, answer.json()["result_code"]) == (200, "02")

    def test_an_unknown_meter_is_told(self, fakes: Addresses) -> None:
        answer = buy(fakes, meter_id="00000123456")
        assert (answer.status, answer.json()["result_code"]) == (200, 3)

    @pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain"])
    def test_only_json_is_read(self, fakes: Addresses, content_type: str) -> None:
        assert buy(fakes, content_type).status == 415

    def test_what_is_not_json_is_refused(self, fakes: Addresses) -> None:
        url = f"{fakes.calin}/tokennew"
        assert call("POST", url, b"{", **{"Content-Type": JSON}).status == 400

    def test_there_is_nothing_else(self, fakes: Addresses) -> None:
        assert call("GET", f"{fakes.calin}/tokennew").status == 405
        assert call("POST", f"{fakes.calin}/token/", {}, **{"Content-Type": JSON}).status == 404


class TestFaults:
    def test_an_error_500_issues_nothing(self, fakes: Addresses) -> None:
        order(fakes, fault="error_500", times=1)
        assert buy(fakes).status == 500
        (vend,) = vends(fakes)
        assert (vend["issued"], vend["token"]) == (False, None)

    def test_garbage_hides_a_token_that_was_issued(self, fakes: Addresses) -> None:
        order(fakes, fault="garbage", times=1)
        answer = buy(fakes)
        assert answer.status == 200
        with pytest.raises(ValueError, match="Expecting value"):
            answer.json()
        assert vends(fakes)[0]["issued"] is True

    def test_a_refusal_is_definite(self, fakes: Addresses) -> None:
        order(fakes, fault="refuse", times=1)
        assert buy(fakes).json()["result_code"] == 3
        assert vends(fakes)[0]["issued"] is False

    def test_a_vend_then_timeout_issues_and_never_says_so(self, fakes: Addresses) -> None:
        order(fakes, fault="vend_then_timeout", times=1)
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            buy(fakes)
        assert vends(fakes)[0]["issued"] is True

    def test_slow_answers_come_in_the_end(
        self, fakes: Addresses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "SLOW_SECONDS", 0.3)
        order(fakes, fault="slow", times=1)
        begun = time.monotonic()
        assert buy(fakes).json()["result_code"] == 0
        assert time.monotonic() - begun >= 0.3

    def test_a_fault_ends_after_its_times(self, fakes: Addresses) -> None:
        order(fakes, fault="error_500", times=2)
        assert [buy(fakes).status for _ in range(3)] == [500, 500, 200]

    def test_a_fault_without_times_lasts_until_it_is_cleared(self, fakes: Addresses) -> None:
        order(fakes, fault="error_500")
        assert [buy(fakes).status for _ in range(3)] == [500, 500, 500]
        assert call("DELETE", f"{fakes.control}/faults").status == 204
        assert buy(fakes).status == 200

    def test_a_fault_of_one_device_leaves_the_others_alone(self, fakes: Addresses) -> None:
        order(fakes, fault="error_500", serial_number="47000999999", times=1)
        assert buy(fakes).status == 200
        assert buy(fakes, meter_id="47000999999").status == 500

    def test_a_request_that_the_vendor_would_refuse_uses_up_no_fault(
        self, fakes: Addresses
    ) -> None:
        order(fakes, fault="error_500", times=1)
        assert buy(fakes, amount=0).status == 400
        assert buy(fakes).status == 500

    def test_refused_connections_are_really_refused(self, fakes: Addresses) -> None:
        order(fakes, fault="refuse_connection")
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            buy(fakes)
        assert vends(fakes) == []
        call("DELETE", f"{fakes.control}/faults")
        assert buy(fakes).status == 200

    def test_refused_connections_end_by_themselves(
        self, fakes: Addresses, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "CLOSED_SECONDS_EACH", 0.2)
        order(fakes, fault="refuse_connection", times=2)
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            buy(fakes)
        time.sleep(0.7)
        assert buy(fakes).status == 200

    def test_clearing_releases_calls_that_are_kept_waiting(self, fakes: Addresses) -> None:
        order(fakes, fault="slow", times=1)
        begun = time.monotonic()
        clearing = threading.Timer(0.2, call, ["DELETE", f"{fakes.control}/faults"])
        clearing.start()
        assert buy(fakes).status == 200
        assert time.monotonic() - begun < faults.SLOW_SECONDS
        clearing.join()

    @pytest.mark.parametrize(
        "fields",
        [
            {"vendor": "nobody", "fault": "slow"},
            {"vendor": "calin", "fault": "sulk"},
            {"vendor": "calin", "fault": "slow", "times": 0},
            {"vendor": "calin", "fault": "slow", "serial_number": 7},
            {"vendor": "calin", "fault": "refuse_connection", "serial_number": METER},
            {"vendor": "calin", "fault": "slow", "when": "now"},
            ["calin"],
        ],
    )
    def test_an_order_that_makes_no_sense_is_refused(self, fakes: Addresses, fields: Any) -> None:
        assert call("POST", f"{fakes.control}/faults", fields).status == 422


class TestControl:
    def test_vends_tell_what_was_asked_but_no_password(self, fakes: Addresses) -> None:
        token = buy(fakes).json()["result"]
        (vend,) = vends(fakes)
        assert vend.pop("at").endswith("Z")
        request = vend.pop("request")
        assert (request["meter_id"], request["amount"]) == (METER, "12.3")
        assert "secret" not in request.values()
        assert vend == {
            "vendor": "calin",
            "serial_number": METER,
            "issued": True,
            "token": token,
        }

    def test_vends_can_be_narrowed_to_a_vendor_and_a_device(self, fakes: Addresses) -> None:
        buy(fakes)
        buy(fakes, meter_id="47000999999")
        assert len(vends(fakes, "?vendor=calin")) == 2
        assert len(vends(fakes, "?vendor=calin&serial_number=47000999999")) == 1
        assert vends(fakes, "?vendor=other") == []

    def test_there_are_no_refunds_without_a_provider_that_refunds(self, fakes: Addresses) -> None:
        assert call("GET", f"{fakes.control}/refunds?provider=x").json() == {"items": []}

    def test_unknown_addresses_are_not_found(self, fakes: Addresses) -> None:
        assert call("GET", f"{fakes.control}/nothing").status == 404


class TestSms:
    SMS = ("to", "body", "payment_id", "number")

    def test_an_sms_can_be_read_by_tools_and_by_people(self, fakes: Addresses) -> None:
        values = ("+254700000001", "Token 1234 5678", "direct.demo-1", 1)
        sms = dict(zip(self.SMS, values, strict=True))
        assert call("POST", fakes.sms, sms).status == 201
        (item,) = call("GET", fakes.sms).json()["items"]
        assert {name: item[name] for name in self.SMS} == sms
        text = fakes.sms_log.read_text()
        assert "Token 1234 5678" in text
        assert "+254700000001" in text

    def test_anything_else_is_refused(self, fakes: Addresses) -> None:
        assert call("POST", fakes.sms, {"to": "+254700000001"}).status == 422
        assert call("POST", fakes.sms, b"nonsense").status == 422
