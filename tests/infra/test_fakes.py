"""The faked vendors, asked over real HTTP."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

import pytest
import urllib3
from defusedxml.ElementTree import fromstring

from infra.local import processes, up
from infra.local.fakes import faults, server
from infra.local.fakes.certificates import make_certificates
from infra.local.fakes.fake import Order, Request
from infra.local.fakes.faults import Faults
from infra.local.load import Generated, secret_contents
from infra.local.providers import PROVIDERS
from infra.local.vendors import (
    VENDORS,
    daly_bms,
    make,
    spark_shs,
    sparkmeter,
    steama,
    stron,
    sunking,
)
from infra.local.vendors.chint import Chint
from infra.package import ROOT
from tests.infra import running_fakes
from tests.infra.running_fakes import (
    VENDOR_SETTINGS,
    Running,
    basic,
    call,
    client_tls,
    running,
    without_none,
)

METER = "47000123456"
CUSTOMER = "4f6f5f2a-6c1a-4a53-9d26-0a9f3a3f8c11"
OTHER_CUSTOMER = "9c1f0d0e-0000-4000-8000-000000000001"
UNIT = "123456789"
KIT = "SN 1/7"
STEAMA_CUSTOMER = "777"
BATTERY = "BT1"
TUESDAY = "2026-09-22T10:00:00+00:00"

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def fakes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """Freshly started fakes: those that the test's class names as ``FAKES``, else all."""
    with running(tmp_path, only=getattr(request.cls, "FAKES", tuple(VENDORS))) as started:
        yield started


# --- what each vendor is asked, as documented; changes replace fields, None leaves one out -----


def buy(fakes: Running, content_type: str = "application/json", **changes: Any) -> Reply:
    """12.3 kWh from Calin."""
    fields = {
        "user_id": "U1",
        "password": "secret",
        "meter_id": METER,
        "token_type": "CreditToken",
        "amount": 12.3,
        **changes,
    }
    url = f"{fakes.urls['calin']}/tokennew"
    return call("POST", url, without_none(fields), Content_Type=content_type)


SMART_LOGIN = {"company_name": "Mwanga", "user_name": "U1", "password": "secret"}


def buy_smart(fakes: Running, **changes: Any) -> Reply:
    """12.3 kWh from Calin's head-end."""
    fields = {
        **SMART_LOGIN,
        "password_vend": "second secret",
        "meter_number": METER,
        "is_vend_by_unit": True,
        "amount": 12.3,
        **changes,
    }
    return call("POST", f"{fakes.urls['calin_smart']}/POS_Purchase/", without_none(fields))


def history(fakes: Running, **changes: Any) -> Reply:
    """A meter's purchases, from Calin's head-end."""
    fields = {
        **SMART_LOGIN,
        "customer_number": "",
        "customer_name": "",
        "meter_number": METER,
        **changes,
    }
    return call("POST", f"{fakes.urls['calin_smart']}/POS_PurchaseHistory", without_none(fields))


def top_up(fakes: Running, token: str = "site token", **changes: Any) -> Reply:
    """1000 for a customer of SparkMeter's."""
    fields = {
        "customer_id": CUSTOMER,
        "amount": "1000.00",
        "source": "cash",
        "external_id": "direct.demo-1.1",
        **changes,
    }
    url = f"{fakes.urls['sparkmeter']}/site/api/v0/transaction/"
    return call("POST", url, without_none(fields), Authentication_Token=token)


def transaction(fakes: Running, transaction_id: str, token: str = "site token") -> Reply:
    """One transaction, from the site."""
    url = f"{fakes.urls['sparkmeter']}/site/api/v0/transaction/{transaction_id}"
    return call("GET", url, Authentication_Token=token)


def search(
    fakes: Running,
    since: str = "2020-01-01T00:00:00Z",
    cursor: Any = None,
    *,
    organization: str = "org-1",
    secret: str = "secret",
    **changes: Any,
) -> Reply:
    """The transactions of all sites, from Koios."""
    filters = {"entity_types": ["transactions"], "date_range": {"from": since}, **changes}
    body = {"filters": without_none(filters), "cursor": cursor}
    url = f"{fakes.urls['sparkmeter']}/koios/organizations/{organization}/data/historical"
    return call("POST", url, body, X_API_KEY="key", X_API_SECRET=secret)


def set_credit(
    fakes: Running, until: Any = TUESDAY, unit_number: Any = UNIT, password: str = "secret"
) -> Reply:
    """A wished state of a unit of Angaza's."""
    body = {"unit_number": unit_number, "state": {"desired": {"credit_until_dt": until}}}
    url = f"{fakes.urls['angaza']}/unit_credit"
    return call("PUT", url, body, Authorization=basic("client", password))


def credit(fakes: Running, query: str = f"?unit_number={UNIT}") -> Reply:
    """The present state of a unit of Angaza's."""
    url = f"{fakes.urls['angaza']}/unit_credit{query}"
    return call("GET", url, Authorization=basic("client", "secret"))


def keycode(reply: Reply) -> str:
    """The keycode in an answer of Angaza's."""
    found: str = reply.json()["_embedded"]["latest_keycode"]["keycode"]
    return found


def buy_from_gomelong(
    fakes: Running, content_type: str = "application/x-www-form-urlencoded", **changes: Any
) -> Reply:
    """12.3 kWh from GomeLong."""
    form = {"U": "U1", "K": "a secret & more", "meter": METER, "amt": "12.3", **changes}
    body = urlencode(without_none(form)).encode()
    return call("POST", f"{fakes.urls['gomelong']}/EKPower", body, Content_Type=content_type)


def buy_from_stron_v3(fakes: Running, **changes: Any) -> Reply:
    """12.3 kWh from Stron."""
    fields = {
        "CompanyName": "Mwanga",
        "UserName": "U1",
        "PassWord": "secret",
        "MeterID": METER,
        "is_vend_by_unit": True,
        "Amount": 12.3,
        **changes,
    }
    return call("POST", f"{fakes.urls['stron_v3']}/VendingMeter", without_none(fields))


def log_in(fakes: Running, secret: str = "a secret & more", **changes: Any) -> Reply:
    """A log-in at Sun King."""
    form = {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": secret,
        "scope": "roles",
        **changes,
    }
    return call(
        "POST",
        f"{fakes.urls['sunking']}{sunking.LOG_IN_PATH}",
        urlencode(without_none(form)).encode(),
        Content_Type="application/x-www-form-urlencoded",
    )


ADD_DAYS = {"device": UNIT, "command": "add_credit", "payload": 30, "time_unit": "day"}


def add_days(fakes: Running, bearer: str | None = None, **changes: Any) -> Reply:
    """30 days from Sun King, after a log-in."""
    bearer = bearer or log_in(fakes).json()["access_token"]
    body = without_none({**ADD_DAYS, **changes})
    return call("POST", f"{fakes.urls['sunking']}/v2/token", body, Authorization=f"Bearer {bearer}")


def ask_gomelong_v1(fakes: Running, name: str = "GetVendingToken", **changes: Any) -> Reply:
    """12.3 kWh from GomeLong's newer API, or another call about the same meter."""
    query = {
        "UserId": "U1",
        "Password": "a secret & more",
        "MeterType": "1",
        "MeterCode": METER,
        **({"AmountOrQuantity": "12.3", "VendingType": "1"} if name == "GetVendingToken" else {}),
        **changes,
    }
    query = urlencode(without_none(query))
    return call("GET", f"{fakes.urls['gomelong_v1']}/api/Power/{name}?{query}")


MICROSTAR = VENDOR_SETTINGS["microstar"]


def ask_microstar(
    fakes: Running, path: str = "getStsVendingToken", method: str = "GET", **changes: Any
) -> Reply:
    """12.3 kWh from MicroStar."""
    query = urlencode(without_none({"deviceNo": METER, "rechargeAmount": "12.3", **changes}))
    url = f"{fakes.urls['microstar']}/{path}?{query}"
    return call(method, url, tls=client_tls(MICROSTAR))


CHINT = "http://jianpanbiaoEnglish/PrepaidWebService"
CHINT_PATH = "/jianpanbiaoEnglish/PrepaidWebService.asmx"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
TEXT_XML = "text/xml; charset=utf-8"
SOLD = {"TID": "direct.demo-1.1", "CustomerID": METER, "Amount": "1000.0000"}


def upper_md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest().upper()


def chint_body(
    operation: str,
    signed: dict[str, str],
    *,
    user: str = "U1",
    password: str = "secret",
    at: datetime | None = None,
    **changes: Any,
) -> bytes:
    """A call to Chint, signed at a moment: now, where none is given."""
    at = at or datetime.now(UTC)
    window = (at.hour * 3600 + at.minute * 60 + at.second) // 40 * 40
    signature = upper_md5(";".join(["Chint", *signed.values(), str(window), ""]))
    fields = without_none({**signed, "ParaSignature": signature, **changes})
    content = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    log_in = upper_md5(at.strftime("%Y%m%d") + "Chint" + password)
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns="{CHINT}"><s:Header><PrepaidSoapHeader>'
        f"<UserName>{user}</UserName><PassWord>{log_in}</PassWord></PrepaidSoapHeader></s:Header>"
        f"<s:Body><{operation}>{content}</{operation}></s:Body></s:Envelope>"
    ).encode()


def post_to_chint(fakes: Running, body: bytes, content_type: str = TEXT_XML) -> Reply:
    """Anything to Chint's address."""
    return call("POST", f"{fakes.urls['chint']}{CHINT_PATH}", body, Content_Type=content_type)


def buy_from_chint(fakes: Running, sold: dict[str, str] = SOLD, **how: Any) -> Reply:
    """A sale of Chint's: 1000, where nothing else is told."""
    return post_to_chint(fakes, chint_body("Transaction", sold, **how))


def told_by_chint(reply: Reply, operation: str = "Transaction") -> dict[str, str]:
    """What is in a result of Chint's."""
    path = "/".join(
        [
            f"{{{SOAP}}}Body",
            f"{{{CHINT}}}{operation}Response",
            f"{{{CHINT}}}{operation}Result",
        ]
    )
    result = fromstring(reply.data).find(path)
    return {child.tag.removeprefix(f"{{{CHINT}}}"): child.text or "" for child in result}


def log_in_at_spark(fakes: Running, **changes: Any) -> Reply:
    """A log-in at Spark Energy."""
    body = {
        "client_id": "client",
        "client_secret": "secret",
        "audience": "https://spark.example/api",
        "grant_type": "client_credentials",
        **changes,
    }
    url = f"{fakes.urls['spark_shs']}{spark_shs.LOG_IN_PATH}"
    return call("POST", url, without_none(body))


def kits(fakes: Running, path: str = "", bearer: str | None = None) -> Reply:
    """What Spark Energy tells of kits, after a log-in."""
    bearer = bearer or log_in_at_spark(fakes).json()["access_token"]
    url = f"{fakes.urls['spark_shs']}/api/v1/products/kits{path}"
    return call("GET", url, Authorization=f"Bearer {bearer}")


def add_days_at_spark(
    fakes: Running, bearer: str | None = None, kit: str = KIT, **changes: Any
) -> Reply:
    """30 days from Spark Energy, after a log-in."""
    bearer = bearer or log_in_at_spark(fakes).json()["access_token"]
    url = f"{fakes.urls['spark_shs']}/api/v1/products/kits/{quote(kit, safe='')}/tokens"
    body = without_none({"type": "days", "days": 30, **changes})
    return call("POST", url, body, Authorization=f"Bearer {bearer}")


def log_in_at_steama(fakes: Running, **changes: Any) -> Reply:
    """A log-in at SteamaCo."""
    body = without_none({"username": "U1", "password": "secret", **changes})
    return call("POST", f"{fakes.urls['steama']}/get-token/", body)


def look_at_steama(fakes: Running, path: str) -> Reply:
    """What SteamaCo tells at an address, after a log-in."""
    token = log_in_at_steama(fakes).json()["token"]
    return call("GET", f"{fakes.urls['steama']}{path}", Authorization=f"Token {token}")


def list_at_steama(fakes: Running, since: Any = TUESDAY, **changes: Any) -> Reply:
    """The transactions that SteamaCo lists."""
    query = without_none({"ordering": "timestamp", "created_after": since, **changes})
    return look_at_steama(fakes, f"/transactions/?{urlencode(query)}")


def top_up_at_steama(
    fakes: Running,
    authorization: str | None = None,
    customer: str = STEAMA_CUSTOMER,
    **changes: Any,
) -> Reply:
    """1000 for a customer of SteamaCo's, after a log-in."""
    authorization = authorization or f"Token {log_in_at_steama(fakes).json()['token']}"
    url = f"{fakes.urls['steama']}/customers/{customer}/transactions/"
    body = without_none({"amount": 1000, "category": "PAY", **changes})
    return call("POST", url, body, Authorization=authorization)


def log_in_at_daly(fakes: Running, body: bytes | None = None, **changes: Any) -> Reply:
    """A log-in at Daly."""
    query = urlencode(without_none({"Username": "U1", "Password": "a secret & more", **changes}))
    return call("POST", f"{fakes.urls['daly_bms']}{daly_bms.LOG_IN_PATH}?{query}", body)


def ask_daly(fakes: Running, path: str, body: Any, bearer: str | None = None) -> Reply:
    """Something of Daly, after a log-in."""
    bearer = bearer or log_in_at_daly(fakes).json()["response"]["token"]
    url = f"{fakes.urls['daly_bms']}{path}"
    return call("POST", url, body, Authorization=f"Bearer {bearer}")


def switch(fakes: Running, bearer: str | None = None, **changes: Any) -> Reply:
    """A battery of Daly's is switched on."""
    data = {"CmdKey": "8500_004", "Code": BATTERY, "ACC": 1, **changes}
    body = {"cmdKey": "8500_004", "data": without_none(data)}
    return ask_daly(fakes, daly_bms.SWITCH_PATH, body, bearer)


def states(fakes: Running, *codes: str) -> list[dict[str, Any]]:
    """What Daly tells of batteries."""
    answer = ask_daly(fakes, daly_bms.STATE_PATH, {"codes": codes}).json()
    told: list[dict[str, Any]] = answer["response"]["Data"]
    return told


def is_on(fakes: Running, code: str = BATTERY) -> bool:
    """Whether Daly tells that a battery is on."""
    (state,) = states(fakes, code)
    assert ("ACCON" in state["Status"]) != ("ACCOFF" in state["Status"])
    return "ACCON" in state["Status"]


def log_in_at_stron(fakes: Running, **changes: Any) -> Reply:
    """A log-in at Stron."""
    body = {"Username": "U1", "Password": "secret", "Companyname": "Mwanga", **changes}
    return call("POST", f"{fakes.urls['stron']}{stron.LOG_IN_PATH}", without_none(body))


def buy_from_stron(fakes: Running, **changes: Any) -> Reply:
    """Energy for 1000 from Stron, after a log-in."""
    fields = {
        "CustomerId": "42",
        "MeterId": METER,
        "Price": "120",
        "Rate": "1",
        "Amount": 1000,
        "AmountTmp": "KES",
        "Company": "Mwanga",
        "Employee": "U1",
        "ApiToken": log_in_at_stron(fakes).json(),
        **changes,
    }
    return call("POST", f"{fakes.urls['stron']}{stron.VEND_PATH}", without_none(fields))


ASK: dict[str, Callable[[Running], Reply]] = {
    "calin": buy,
    "calin_smart": buy_smart,
    "sparkmeter": top_up,
    "angaza": set_credit,
    "gomelong": buy_from_gomelong,
    "gomelong_v1": ask_gomelong_v1,
    "chint": buy_from_chint,
    "microstar": ask_microstar,
    "stron_v3": buy_from_stron_v3,
    "sunking": add_days,
    "spark_shs": add_days_at_spark,
    "steama": top_up_at_steama,
    "daly_bms": switch,
    "stron": buy_from_stron,
}
SUBJECTS = {
    "calin": METER,
    "calin_smart": METER,
    "sparkmeter": CUSTOMER,
    "angaza": UNIT,
    "gomelong": METER,
    "gomelong_v1": METER,
    "chint": METER,
    "microstar": METER,
    "stron_v3": METER,
    "sunking": UNIT,
    "spark_shs": KIT,
    "steama": STEAMA_CUSTOMER,
    "daly_bms": BATTERY,
    "stron": METER,
}
TAKEN = dict.fromkeys(ASK, 200) | {"steama": 201}
"""The status that says that a vendor did what it was asked."""

every_vendor = pytest.mark.parametrize("vendor", list(VENDORS))


def test_every_registered_vendor_can_be_made_and_is_tested_here() -> None:
    assert set(VENDORS) == set(ASK) == set(SUBJECTS)
    for key in VENDORS:
        assert make(key, VENDOR_SETTINGS[key], Faults()).key == key


class TestCalin:
    FAKES = ("calin",)

    def test_a_purchase_is_answered_with_twenty_digits(self, fakes: Running) -> None:
        answer = buy(fakes).json()
        assert answer.pop("result").isdigit()
        assert answer == {"result_code": 0, "reason": "OK"}
        (vend,) = fakes.vends()
        assert len(vend["token"]) == 20

    def test_the_same_request_twice_is_two_tokens(self, fakes: Running) -> None:
        assert buy(fakes).json()["result"] != buy(fakes).json()["result"]

    def test_whole_kilowatt_hours_are_taken(self, fakes: Running) -> None:
        assert buy(fakes, amount=12).json()["result_code"] == 0

    @pytest.mark.parametrize("amount", [12.34, 0, -1, "12.3", True, None, 0.05, 1e400, 10**12])
    def test_other_amounts_are_not(self, fakes: Running, amount: Any) -> None:
        answer = buy(fakes, amount=amount)
        assert (answer.status, answer.json()["result_code"]) == (400, 1)
        assert fakes.vends() == []

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
        self, fakes: Running, change: dict[str, Any]
    ) -> None:
        assert buy(fakes, **change).status == 400

    @pytest.mark.parametrize("change", [{"user_id": "U2"}, {"password": "guess"}])
    def test_wrong_credentials_are_told(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = buy(fakes, **change)
        assert (answer.status, answer.json()["result_code"]) == (200, "02")

    def test_its_credentials_can_be_changed_and_the_old_ones_are_then_wrong(
        self, fakes: Running
    ) -> None:
        url = f"{fakes.control}/credentials"
        new = {"user_id": "U1", "password": "another"}
        assert call("POST", url, {"vendor": "calin", "user_id": "U1"}).status == 422
        assert call("POST", url, {"vendor": "nobody", **new}).status == 422
        assert buy(fakes).json()["result_code"] == 0
        assert call("POST", url, {"vendor": "calin", **new}).status == 204
        assert buy(fakes).json()["result_code"] == "02"
        assert buy(fakes, password="another").json()["result_code"] == 0

    def test_an_unknown_meter_is_told(self, fakes: Running) -> None:
        answer = buy(fakes, meter_id="00000123456")
        assert (answer.status, answer.json()["result_code"]) == (200, 3)

    @pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain"])
    def test_only_json_is_read(self, fakes: Running, content_type: str) -> None:
        assert buy(fakes, content_type).status == 415

    @pytest.mark.parametrize(
        "body",
        [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"amount": NaN}', b'{"amount": 1, "amount": 2}'],
        ids=["cut off", "no object", "no UTF-8", "too deep", "no number", "a name twice"],
    )
    def test_what_is_not_a_json_object_is_refused(self, fakes: Running, body: bytes) -> None:
        assert call("POST", f"{fakes.urls['calin']}/tokennew", body).status == 400

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["calin"]
        assert call("GET", f"{url}/tokennew").status == 405
        assert call("POST", f"{url}/token/", {}).status == 404
        assert call("POST", f"{url}/tokennew?again=1", {}).status == 404
        assert call("POST", f"{url.removesuffix('/calin')}/tokennew", {}).status == 404


class TestGomeLong:
    FAKES = ("gomelong",)

    def test_a_purchase_is_answered_with_twenty_digits_in_groups(self, fakes: Running) -> None:
        answer = buy_from_gomelong(fakes).json()
        (vend,) = fakes.vends()
        groups = answer["Data"]["Token"].split(" ")
        assert "".join(groups) == vend["token"]
        assert [len(group) for group in groups] == [4] * 5
        assert (answer["ReturnCode"], answer["ReturnMessage"]) == (1, "")

    def test_the_same_request_twice_is_two_tokens(self, fakes: Running) -> None:
        first, second = (buy_from_gomelong(fakes).json()["Data"]["Token"] for _ in range(2))
        assert first != second

    @pytest.mark.parametrize("amount", ["12", "12.3", "12.345"])
    def test_up_to_three_decimals_are_taken(self, fakes: Running, amount: str) -> None:
        assert buy_from_gomelong(fakes, amt=amount).json()["ReturnCode"] == 1

    @pytest.mark.parametrize(
        "change",
        [
            *({"amt": amount} for amount in ("12.3456", "0", "-1", "", "NaN", "Infinity", "x")),
            {"meter": None},
            {"meter": ""},
            {"OP": "vend"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = buy_from_gomelong(fakes, **change)
        assert (answer.status, answer.json()["ReturnCode"]) == (400, 0)
        assert fakes.vends() == []

    @pytest.mark.parametrize("change", [{"U": "U2"}, {"K": "guess"}])
    def test_wrong_credentials_are_told(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = buy_from_gomelong(fakes, **change)
        assert (answer.status, answer.json()["ReturnCode"]) == (200, 0)
        assert fakes.vends() == []

    def test_an_unknown_meter_is_told(self, fakes: Running) -> None:
        answer = buy_from_gomelong(fakes, meter="00000123456").json()
        assert (answer["ReturnCode"], answer["ReturnMessage"]) == (0, "meter not found")

    @pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
    def test_only_a_form_is_read(self, fakes: Running, content_type: str) -> None:
        assert buy_from_gomelong(fakes, content_type).status == 415

    @pytest.mark.parametrize("body", [b"", b"U", b"U=\xff", b"U=%ff&K=1", b"U=1&U=2"])
    def test_what_is_not_a_form_is_refused(self, fakes: Running, body: bytes) -> None:
        url = f"{fakes.urls['gomelong']}/EKPower"
        answer = call("POST", url, body, Content_Type="application/x-www-form-urlencoded")
        assert answer.status == 400

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["gomelong"]
        assert call("GET", f"{url}/EKPower").status == 405
        assert call("POST", f"{url}/EKPower/EKPower", b"").status == 404
        assert call("POST", f"{url}/EKPower?amt=1", b"").status == 404


class TestGomeLongV1:
    FAKES = ("gomelong_v1",)

    @pytest.mark.parametrize(
        "name", ["GetVendingToken", "GetClearCreditToken", "GetClearTamperSignToken"]
    )
    def test_a_token_is_twenty_digits_in_groups(self, fakes: Running, name: str) -> None:
        answer = ask_gomelong_v1(fakes, name).json()
        (vend,) = fakes.vends()
        groups = answer["Data"]["Token"].split(" ")
        assert "".join(groups) == vend["token"]
        assert [len(group) for group in groups] == [4] * 5
        assert (answer["Code"], answer["Message"]) == (200, "")
        assert (vend["serial_number"], vend["request"]["call"]) == (METER, name)

    def test_the_same_request_twice_is_two_tokens(self, fakes: Running) -> None:
        first, second = (ask_gomelong_v1(fakes).json()["Data"]["Token"] for _ in range(2))
        assert first != second

    def test_a_question_about_a_contract_sells_nothing(self, fakes: Running) -> None:
        answer = ask_gomelong_v1(fakes, "GetContractInfo").json()
        assert (answer["Code"], answer["Data"]) == (200, {"MeterCode": METER})
        assert fakes.vends() == []

    def test_vends_tell_no_credentials(self, fakes: Running) -> None:
        ask_gomelong_v1(fakes)
        (vend,) = fakes.vends()
        assert {"U1", "a secret & more"}.isdisjoint(vend["request"].values())

    @pytest.mark.parametrize("amount", ["12", "12.3", "12.345"])
    def test_up_to_three_decimals_are_taken(self, fakes: Running, amount: str) -> None:
        assert ask_gomelong_v1(fakes, AmountOrQuantity=amount).json()["Code"] == 200

    @pytest.mark.parametrize(
        "change",
        [
            *(
                {"AmountOrQuantity": amount}
                for amount in ("12.3456", "0", "-1", "", "NaN", "1_0", "1e1", " 1", "+1", "x")
            ),
            {"MeterCode": None},
            {"MeterCode": ""},
            {"MeterCode": "4" * 14},
            {"MeterType": "2"},
            {"VendingType": "0"},
            {"VendingType": None},
            {"reference": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = ask_gomelong_v1(fakes, **change)
        assert (answer.status, answer.json()["Code"]) == (400, 500)
        assert fakes.vends() == []

    def test_only_a_vend_has_an_amount(self, fakes: Running) -> None:
        answer = ask_gomelong_v1(fakes, "GetClearCreditToken", AmountOrQuantity="1")
        assert answer.status == 400

    @pytest.mark.parametrize(
        "change",
        [{"UserId": "U2"}, {"Password": "guess"}, {"MeterCode": "0000012345678"}],
        ids=str,
    )
    @pytest.mark.parametrize(
        "name",
        ["GetVendingToken", "GetClearCreditToken", "GetClearTamperSignToken", "GetContractInfo"],
    )
    def test_wrong_credentials_and_unknown_meters_are_told(
        self, fakes: Running, name: str, change: dict[str, Any]
    ) -> None:
        answer = ask_gomelong_v1(fakes, name, **change)
        told = answer.json()
        assert (answer.status, told["Code"], told["Data"]) == (200, 500, None)
        assert told["Message"]
        assert fakes.vends() == []

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["gomelong_v1"]
        assert call("POST", f"{url}/api/Power/GetVendingToken", {}).status == 405
        assert call("GET", f"{url}/api/Power/GetMaxPowerToken").status == 404
        assert call("GET", f"{url}/GetVendingToken").status == 404


class TestMicroStar:
    FAKES = ("microstar",)

    def test_a_purchase_is_answered_with_twenty_digits(self, fakes: Running) -> None:
        answer = ask_microstar(fakes).json()
        (vend,) = fakes.vends()
        assert answer == {"errorCode": 1000, "token": vend["token"]}
        assert (len(vend["token"]), vend["token"].isdigit()) == (20, True)
        assert vend["request"] == {"deviceNo": METER, "rechargeAmount": "12.3"}

    def test_the_same_request_twice_is_two_tokens(self, fakes: Running) -> None:
        assert ask_microstar(fakes).json()["token"] != ask_microstar(fakes).json()["token"]

    @pytest.mark.parametrize(
        "change",
        [
            *({"rechargeAmount": amount} for amount in ("12.3456", "0", "-1", "", "NaN", "1e1")),
            {"rechargeAmount": None},
            {"deviceNo": None},
            {"deviceNo": ""},
            {"reference": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = ask_microstar(fakes, **change)
        assert (answer.status, answer.json()) == (200, {"errorCode": 1001})
        assert fakes.vends() == []

    def test_an_unknown_meter_is_told(self, fakes: Running) -> None:
        unknown = {"deviceNo": "00000123456"}
        assert ask_microstar(fakes, **unknown).json() == {"errorCode": 1003}
        answer = ask_microstar(fakes, "deviceInfo", rechargeAmount=None, **unknown)
        assert answer.json() == {"errorCode": 1003}
        assert fakes.vends() == []

    def test_a_question_about_a_meter_sells_nothing(self, fakes: Running) -> None:
        answer = ask_microstar(fakes, "deviceInfo", rechargeAmount=None)
        assert answer.json() == {"errorCode": 1000, "deviceNo": METER}
        assert fakes.vends() == []

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        assert ask_microstar(fakes, method="POST").status == 405
        assert ask_microstar(fakes, "billingData").status == 404

    def test_a_client_with_the_vendors_certificate_gets_a_connection(self, fakes: Running) -> None:
        assert handshake(fakes, client_tls(MICROSTAR)) == "TLSv1.2"

    def test_a_client_may_use_the_name_of_this_machine(self, fakes: Running) -> None:
        assert handshake(fakes, client_tls(MICROSTAR), "localhost") == "TLSv1.2"

    def test_a_client_without_a_certificate_fails_in_the_handshake(self, fakes: Running) -> None:
        without = ssl.create_default_context(cadata=MICROSTAR["ca_certificate"])
        with pytest.raises(OSError, match=REFUSED_IN_THE_HANDSHAKE):
            handshake(fakes, without)

    def test_a_client_of_another_authority_fails_in_the_handshake(self, fakes: Running) -> None:
        stranger = client_tls(make_certificates(), MICROSTAR["ca_certificate"])
        with pytest.raises(OSError, match=REFUSED_IN_THE_HANDSHAKE):
            handshake(fakes, stranger)

    def test_a_client_that_only_trusts_others_does_not_take_the_server(
        self, fakes: Running
    ) -> None:
        distrusting = client_tls(MICROSTAR, make_certificates()["ca_certificate"])
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(fakes, distrusting)

    def test_without_tls_nothing_is_answered(self, fakes: Running) -> None:
        url = fakes.urls["microstar"].replace("https", "http")
        with pytest.raises(urllib3.exceptions.ProtocolError):
            call("GET", f"{url}/deviceInfo?deviceNo={METER}")

    def test_a_client_that_says_nothing_keeps_nobody_waiting(self, fakes: Running) -> None:
        with socket.create_connection(address_of(fakes, "microstar"), timeout=2):
            assert ask_microstar(fakes).status == 200


REFUSED_IN_THE_HANDSHAKE = "alert|reset by peer|Broken pipe"


def address_of(fakes: Running, vendor: str) -> tuple[str, int]:
    """Host and port of a fake."""
    parts = urlsplit(fakes.urls[vendor])
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def handshake(fakes: Running, tls: ssl.SSLContext, name: str = "127.0.0.1") -> str | None:
    """A handshake with MicroStar and nothing more: the version of TLS that was agreed on."""
    with (
        socket.create_connection(address_of(fakes, "microstar"), timeout=2) as plain,
        tls.wrap_socket(plain, server_hostname=name) as secured,
    ):
        return secured.version()


class TestChint:
    FAKES = ("chint",)

    def test_a_sale_is_answered_with_twenty_digits_and_kilowatt_hours(self, fakes: Running) -> None:
        reply = buy_from_chint(fakes)
        told = told_by_chint(reply)
        (vend,) = fakes.vends()
        assert (reply.status, reply.headers["Content-Type"]) == (200, TEXT_XML)
        assert (told.pop("RechargeToken"), told.pop("Signature")) == (vend["token"], "made up")
        assert told == {
            "Result": "0",
            "Reason": "",
            "Key1Token": "",
            "Key2Token": "",
            "Energy": "8.33",
            "FeeAmount": "0",
            "ChangeAmount": "0",
        }
        assert (len(vend["token"]), vend["token"].isdigit()) == (20, True)
        assert (vend["serial_number"], vend["request"]) == (METER, SOLD)

    def test_a_meter_that_needs_new_keys_gets_three_tokens(self, fakes: Running) -> None:
        told = told_by_chint(buy_from_chint(fakes, {**SOLD, "CustomerID": "9001"}))
        tokens = {told[name] for name in ("Key1Token", "Key2Token", "RechargeToken")}
        assert len(tokens) == 3
        assert all(len(token) == 20 and token.isdigit() for token in tokens)

    def test_a_tid_that_was_used_before_answers_the_same_sale(self, fakes: Running) -> None:
        first, again = (told_by_chint(buy_from_chint(fakes)) for _ in range(2))
        assert first == again
        other = told_by_chint(buy_from_chint(fakes, {**SOLD, "TID": "direct.demo-1.2"}))
        assert other["RechargeToken"] != first["RechargeToken"]
        assert len(fakes.vends()) == 2

    @pytest.mark.parametrize("change", [{"Amount": "999.0000"}, {"CustomerID": "47000999999"}])
    def test_a_tid_that_was_used_for_another_sale_is_refused(
        self, fakes: Running, change: dict[str, str]
    ) -> None:
        buy_from_chint(fakes)
        told = told_by_chint(buy_from_chint(fakes, {**SOLD, **change}))
        assert (told["Result"], told["RechargeToken"]) == ("5", "")
        assert len(fakes.vends()) == 1

    def test_a_sale_whose_answer_was_lost_is_answered_when_it_is_repeated(
        self, fakes: Running
    ) -> None:
        fakes.order("chint", "garbage", times=1)
        assert buy_from_chint(fakes).headers["Content-Type"] == "text/html"
        (vend,) = fakes.vends()
        assert told_by_chint(buy_from_chint(fakes))["RechargeToken"] == vend["token"]

    def test_a_validation_tells_of_a_meter_and_sells_nothing(self, fakes: Running) -> None:
        reply = post_to_chint(fakes, chint_body("Validation", {"CustomerID": METER}))
        told = told_by_chint(reply, "Validation")
        assert (told["Result"], told["MeterNo"]) == ("0", METER)
        assert set(told) == {
            *("Signature", "Result", "Reason", "CustomerName", "MeterNo", "LeftPayTimes"),
            *("ChangeAmount", "MinPaymentAmount", "MaxPaymentAmount", "TariffPrice"),
        }
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        ("how", "result"),
        [
            ({"user": "U2"}, "1"),
            ({"password": "guess"}, "1"),
            ({"ParaSignature": "0" * 32}, "2"),
            ({"sold": {**SOLD, "CustomerID": "00000123456"}}, "3"),
            ({"sold": {**SOLD, "Amount": "0.9900"}}, "4"),
            ({"sold": {**SOLD, "Amount": "1000000.0100"}}, "4"),
            ({"Amount": "2000.0000"}, "2"),
        ],
        ids=str,
    )
    def test_a_failure_has_a_result_of_its_own_and_a_reason(
        self, fakes: Running, how: dict[str, Any], result: str
    ) -> None:
        reply = buy_from_chint(fakes, **how)
        told = told_by_chint(reply)
        assert (reply.status, told["Result"], told["RechargeToken"]) == (200, result, "")
        assert told["Reason"]
        assert fakes.vends() == []

    def test_a_refusal_is_definite_and_in_the_vendors_own_words(self, fakes: Running) -> None:
        fakes.order("chint", "refuse", times=1)
        told = told_by_chint(buy_from_chint(fakes))
        assert (told["Result"], told["Reason"]) == ("3", "customer not found")
        assert fakes.vends()[0]["issued"] is False
        assert told_by_chint(buy_from_chint(fakes))["Result"] == "0"

    @pytest.mark.parametrize(
        "change",
        [
            *({"Amount": amount} for amount in ("1000", "1000.00", "1,000.0000", "-1.0000", "")),
            {"TID": None},
            {"TID": ""},
            {"TID": "<b>1</b>"},
            {"CustomerID": ""},
            {"ParaSignature": None},
            {"reference": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_a_fault(self, fakes: Running, change: dict[str, Any]) -> None:
        assert_fault(buy_from_chint(fakes, **change))
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        ("there", "instead"),
        [
            (f' xmlns="{CHINT}"', ""),
            (f' xmlns="{CHINT}"', ' xmlns="http://other"'),
            (SOAP, "http://www.w3.org/2003/05/soap-envelope"),
            ("Transaction>", "Refund>"),
            ("PrepaidSoapHeader>", "Header>"),
            ("<UserName>U1</UserName>", ""),
            ("<UserName>U1</UserName>", "<UserName>U1</UserName><UserName>U1</UserName>"),
            ("<TID>", '<TID id="1">'),
            ("</Transaction>", "</Transaction><Transaction/>"),
            ("</s:Envelope>", ""),
            ("<s:Envelope", "<!DOCTYPE x><s:Envelope"),
            ("<s:Envelope", '<?xml version="1.0" encoding="nonsense"?><s:Envelope'),
        ],
    )
    def test_an_envelope_of_another_form_is_a_fault(
        self, fakes: Running, there: str, instead: str
    ) -> None:
        body = chint_body("Transaction", SOLD).decode()
        assert there in body
        assert_fault(post_to_chint(fakes, body.replace(there, instead).encode()))
        assert fakes.vends() == []

    @pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"<a>" * 10_000])
    def test_what_is_not_xml_is_a_fault(self, fakes: Running, body: bytes) -> None:
        assert_fault(post_to_chint(fakes, body))

    @pytest.mark.parametrize(
        "content_type", ["application/soap+xml", "application/json", "text/xml; charset=utf-16"]
    )
    def test_only_text_xml_is_read(self, fakes: Running, content_type: str) -> None:
        body = chint_body("Transaction", SOLD)
        assert post_to_chint(fakes, body, content_type).status == 415

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["chint"]
        assert call("GET", f"{url}{CHINT_PATH}").status == 405
        assert call("POST", url + "/PrepaidWebService.asmx", b"").status == 404
        assert call("POST", f"{url}{CHINT_PATH}?op=Transaction", b"").status == 404


def assert_fault(reply: Reply) -> None:
    assert reply.status == 500
    found = fromstring(reply.data).find(f"{{{SOAP}}}Body/{{{SOAP}}}Fault/faultstring")
    assert found is not None
    assert found.text


class TestTheClockOfChint:
    """What was signed is taken until the end of the next window, also across midnight."""

    @staticmethod
    def taken(signed_at: str, read_at: str) -> bool:
        """Whether a call that was signed at one moment is taken at another."""
        body = chint_body("Transaction", SOLD, at=datetime.fromisoformat(signed_at))
        return read_by_chint(body, read_at)

    @pytest.mark.parametrize(
        ("signed_at", "read_at", "taken"),
        [
            ("2026-09-22T10:00:00Z", "2026-09-22T10:00:00Z", True),
            ("2026-09-22T10:00:00Z", "2026-09-22T10:00:39Z", True),
            ("2026-09-22T10:00:39Z", "2026-09-22T10:00:40Z", True),
            ("2026-09-22T10:00:00Z", "2026-09-22T10:01:19Z", True),
            ("2026-09-22T10:00:39Z", "2026-09-22T10:01:20Z", False),
            ("2026-09-22T10:00:40Z", "2026-09-22T10:00:39Z", False),
            ("2026-09-21T23:59:59Z", "2026-09-22T00:00:00Z", True),
            ("2026-09-21T23:59:59Z", "2026-09-22T00:00:39Z", True),
            ("2026-09-21T23:59:59Z", "2026-09-22T00:00:40Z", False),
            ("2026-09-21T10:00:00Z", "2026-09-22T10:00:00Z", False),
        ],
    )
    def test_the_present_window_and_the_one_before_are_taken(
        self, signed_at: str, read_at: str, taken: bool
    ) -> None:
        assert self.taken(signed_at, read_at) is taken

    def test_a_call_is_signed_as_documented(self) -> None:
        """By digests that were made with another program.

        They are of ``20260922Chintsecret`` and of
        ``Chint;direct.demo-1.1;47000123456;1000.0000;36000;``.
        """
        body = (
            f'<s:Envelope xmlns:s="{SOAP}" xmlns="{CHINT}"><s:Header><PrepaidSoapHeader>'
            "<UserName>U1</UserName><PassWord>5BEA8050A30A46C9BCEC18E287581B27</PassWord>"
            "</PrepaidSoapHeader></s:Header><s:Body><Transaction><TID>direct.demo-1.1</TID>"
            "<CustomerID>47000123456</CustomerID><Amount>1000.0000</Amount>"
            "<ParaSignature>428861C5734B70E04FD37D34002286DA</ParaSignature></Transaction></s:Body>"
            "</s:Envelope>"
        )
        assert read_by_chint(body.encode(), "2026-09-22T10:00:17Z")
        assert not read_by_chint(
            body.replace(
                "428861C5734B70E04FD37D34002286DA", "428861c5734b70e04fd37d34002286da"
            ).encode(),
            "2026-09-22T10:00:17Z",
        )


def read_by_chint(body: bytes, at: str) -> bool:
    """Whether Chint takes a sale at a moment."""
    vendor = Chint(VENDOR_SETTINGS["chint"], Faults(), lambda: datetime.fromisoformat(at))
    request = Request("POST", CHINT_PATH, {"content-type": TEXT_XML}, body, {})
    return isinstance(vendor.read(request), Order)


GOMELONG = {"U": "U1", "K": "a secret & more"}
HOME = {"type": "e", "VAT": "0", "Name": "Home", "Price": "120.5"}


class TestGomeLongsTariffs:
    FAKES = ("gomelong",)

    def ask(self, fakes: Running, path: str, **fields: str) -> Any:
        """What is answered to a form."""
        url = f"{fakes.urls['gomelong']}/{path}"
        form = urlencode({**GOMELONG, **fields}).encode()
        kind = "application/x-www-form-urlencoded"
        return call("POST", url, form, Content_Type=kind).json()

    def test_they_are_kept(self, fakes: Running) -> None:
        assert self.ask(fakes, "UTSearch")["Data"] == []
        added = self.ask(fakes, "UTAdd", **HOME)
        assert (added["ReturnCode"], added["Data"]) == (1, {"FID": 1})
        self.ask(fakes, "UTUpdate", FID="1", **{**HOME, "Price": "99"})
        [tariff] = self.ask(fakes, "UTSearch")["Data"]
        assert (tariff["FID"], tariff["Name"], tariff["Price"]) == (1, "Home", 99)
        assert fakes.vends() == []

    def test_what_is_wrong_is_told(self, fakes: Running) -> None:
        assert self.ask(fakes, "UTUpdate", FID="7", **HOME)["ReturnCode"] == 0
        assert self.ask(fakes, "UTAdd", **{**HOME, "Price": "much"})["ReturnCode"] == 0
        assert self.ask(fakes, "UTAdd", Name="Home")["ReturnCode"] == 0
        assert self.ask(fakes, "UTSearch", K="guess")["ReturnCode"] == 0
        assert self.ask(fakes, "UTSearch")["Data"] == []


class TestStronV3:
    FAKES = ("stron_v3",)

    def test_a_purchase_is_answered_with_a_list_that_has_the_sale(self, fakes: Running) -> None:
        (sale,) = buy_from_stron_v3(fakes).json()
        (vend,) = fakes.vends()
        assert (sale["Token"], sale["Meter_id"]) == (vend["token"], METER)
        assert (sale["Total_unit"], sale["Unit"]) == ("12.3", "kWh")
        assert (len(vend["token"]), vend["token"].isdigit()) == (20, True)

    def test_the_same_request_twice_is_two_tokens(self, fakes: Running) -> None:
        first, second = (buy_from_stron_v3(fakes).json()[0]["Token"] for _ in range(2))
        assert first != second

    @pytest.mark.parametrize(
        "change",
        [
            *({"Amount": amount} for amount in (12.3456, 0, -1, "12.3", True)),
            {"is_vend_by_unit": False},
            {"MeterID": None},
            {"MeterID": 47000123456},
            {"PassWord": None},
            {"reference": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        assert buy_from_stron_v3(fakes, **change).status == 400
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        "change",
        [
            {"CompanyName": "guess"},
            {"UserName": "guess"},
            {"PassWord": "guess"},
            {"MeterID": "00000123456"},
        ],
        ids=str,
    )
    def test_any_no_is_an_empty_list(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = buy_from_stron_v3(fakes, **change)
        assert (answer.status, answer.json()) == (200, [])
        assert fakes.vends() == []

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["stron_v3"]
        assert call("GET", f"{url}/VendingMeter").status == 405
        assert call("POST", f"{url}/VendingMeterDirectly", {}).status == 404
        assert call("POST", f"{url}/VendingMeter?again=1", {}).status == 404


class TestMaintenance:
    """The tokens that clear a meter, beside those that it is sold."""

    FAKES = ("calin_smart", "stron_v3")

    @pytest.mark.parametrize("what", ["ClearCredit", "ClearTamper"])
    def test_calins_head_end_answers_a_token_by_itself(self, fakes: Running, what: str) -> None:
        url = f"{fakes.urls['calin_smart']}/Maintenance_{what}/"
        answer = call("POST", url, {**SMART_LOGIN, "meter_number": METER}).json()
        (vend,) = fakes.vends()
        assert answer == {"result_code": 0, "reason": "", "result": vend["token"]}
        assert history(fakes).json()["result"] == [], "it is no purchase"

    @pytest.mark.parametrize("what", ["ClearCredit", "ClearTamper"])
    def test_strons_newer_server_answers_a_token_and_nothing_else(
        self, fakes: Running, what: str
    ) -> None:
        login = {"CompanyName": "Mwanga", "UserName": "U1", "PassWord": "secret"}
        url = f"{fakes.urls['stron_v3']}/{what}"
        answer = call("POST", url, {**login, "METER_ID": METER, "CustomerId": ""}).json()
        assert answer == fakes.vends()[0]["token"]
        assert call("POST", url, {**login, "METER_ID": METER}).status == 400


class TestSunKing:
    FAKES = ("sunking",)

    def test_days_are_answered_with_digits(self, fakes: Running) -> None:
        answer = add_days(fakes).json()
        (vend,) = fakes.vends()
        assert answer == {"token": vend["token"]}
        assert (len(vend["token"]), vend["token"].isdigit()) == (12, True)

    def test_the_same_request_twice_is_two_tokens(self, fakes: Running) -> None:
        bearer = log_in(fakes).json()["access_token"]
        first, second = (add_days(fakes, bearer).json()["token"] for _ in range(2))
        assert first != second

    def test_a_unit_can_be_unlocked(self, fakes: Running) -> None:
        answer = add_days(fakes, command="unlock", payload=None, time_unit=None)
        assert answer.json()["token"].isdigit()

    @pytest.mark.parametrize(
        "change",
        [
            *({"payload": days} for days in (0, -1, 1.5, "30", True)),
            {"device": None},
            {"device": ""},
            {"command": "reset"},
            {"command": "unlock"},
            {"time_unit": "hour"},
            {"reference": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        assert add_days(fakes, **change).status == 400
        assert fakes.vends() == []

    def test_nothing_is_told_to_who_is_not_logged_in(
        self, fakes: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert add_days(fakes, "guess").status == 401
        monkeypatch.setattr(sunking, "SESSION_SECONDS", 0)
        assert add_days(fakes, log_in(fakes).json()["access_token"]).status == 401
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"client_id": "other"}, 401),
            ({"client_secret": "guess"}, 401),
            ({"scope": None}, 400),
            ({"grant_type": "password"}, 400),
        ],
    )
    def test_a_log_in_must_be_right(
        self, fakes: Running, change: dict[str, Any], status: int
    ) -> None:
        assert log_in(fakes, **change).status == status

    def test_a_log_in_is_a_form(self, fakes: Running) -> None:
        url = f"{fakes.urls['sunking']}{sunking.LOG_IN_PATH}"
        assert call("POST", url, {"client_id": "client"}).status == 415
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        assert call("POST", url, b"\xff", **form).status == 400
        assert call("GET", url).status == 405

    def test_a_unit_is_described_to_whom_it_is_assigned(self, fakes: Running) -> None:
        bearer = log_in(fakes).json()["access_token"]

        def ask(serial_number: str, bearer: str = bearer) -> Reply:
            url = f"{fakes.urls['sunking']}/v2/device_details/{serial_number}"
            return call("GET", url, Authorization=f"Bearer {bearer}")

        assert ask(UNIT).json()["device"]["is_paygo"] is True
        assert (ask("0000012345").status, ask("").status) == (404, 404)
        assert ask(UNIT, "another").status == 401

    def test_an_unknown_unit_is_told(self, fakes: Running) -> None:
        answer = add_days(fakes, device="0000012345")
        assert (answer.status, answer.json()["message"]) == (404, "Device not found")

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["sunking"]
        assert call("GET", f"{url}/v2/token").status == 405
        assert call("POST", f"{url}/token", ADD_DAYS).status == 404
        assert call("POST", f"{url}/v2/token?again=1", ADD_DAYS).status == 404


class TestSparkShs:
    FAKES = ("spark_shs",)

    def test_days_are_answered_with_a_token(self, fakes: Running) -> None:
        answer = add_days_at_spark(fakes).json()
        (vend,) = fakes.vends(f"?serial_number={quote(KIT)}")
        assert answer == {"token": vend["token"]}
        assert (len(vend["token"]), vend["token"].isdigit()) == (12, True)
        assert vend["request"] == {"type": "days", "days": 30}

    def test_a_kit_can_be_unlocked(self, fakes: Running) -> None:
        assert add_days_at_spark(fakes, type="unlock", days=None).json()["token"].isdigit()

    def test_a_kit_counts_its_tokens_and_tells_the_last(self, fakes: Running) -> None:
        path = f"/{quote(KIT, safe='')}"
        kit = {"serial": KIT, "type": "kit", "n": 0, "token": None, "devices": []}
        assert kits(fakes, path).json() == kit
        tokens = [add_days_at_spark(fakes).json()["token"] for _ in range(2)]
        add_days_at_spark(fakes, kit="SN2")
        assert len(set(tokens)) == 2
        assert kits(fakes, path).json() == {**kit, "n": 2, "token": tokens[-1]}

    def test_all_kits_that_were_given_tokens_are_told(self, fakes: Running) -> None:
        assert kits(fakes).json() == []
        token = add_days_at_spark(fakes).json()["token"]
        (kit,) = kits(fakes).json()
        assert (kit["serial"], kit["n"], kit["token"]) == (KIT, 1, token)

    @pytest.mark.parametrize(
        ("fault", "counted"), [("garbage", 1), ("error_500", 0), ("refuse", 0)]
    )
    def test_only_a_token_that_was_made_is_counted(
        self, fakes: Running, fault: str, counted: int
    ) -> None:
        fakes.order("spark_shs", fault, times=1)
        add_days_at_spark(fakes)
        kit = kits(fakes, f"/{quote(KIT, safe='')}").json()
        assert (kit["n"], kit["token"]) == (counted, fakes.vends()[0]["token"])

    def test_looking_at_kits_uses_up_no_fault(self, fakes: Running) -> None:
        fakes.order("spark_shs", "error_500", times=1)
        assert kits(fakes, "/SN1").status == kits(fakes).status == 200
        assert add_days_at_spark(fakes).status == 500

    @pytest.mark.parametrize(
        "change",
        [
            *({"days": days} for days in (0, -1, 1.5, "30", True, None)),
            {"type": "unlock"},
            {"type": "reset"},
            {"type": None},
            {"reference": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        assert add_days_at_spark(fakes, **change).status == 400
        assert fakes.vends() == []

    def test_nothing_is_told_to_who_is_not_logged_in(
        self, fakes: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert add_days_at_spark(fakes, "guess").status == 401
        assert kits(fakes, "", "guess").status == kits(fakes, "/SN1", "guess").status == 401
        monkeypatch.setattr(spark_shs, "SESSION_SECONDS", 0)
        assert add_days_at_spark(fakes).status == 401
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"client_id": "other"}, 401),
            ({"client_secret": "guess"}, 401),
            ({"audience": "https://spark.example/api/v1"}, 401),
            ({"audience": None}, 400),
            ({"grant_type": "password"}, 400),
            ({"scope": "roles"}, 400),
        ],
    )
    def test_a_log_in_must_be_right(
        self, fakes: Running, change: dict[str, Any], status: int
    ) -> None:
        assert log_in_at_spark(fakes, **change).status == status

    def test_a_log_in_is_json(self, fakes: Running) -> None:
        url = f"{fakes.urls['spark_shs']}{spark_shs.LOG_IN_PATH}"
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        assert call("POST", url, b"client_id=client", **form).status == 415
        assert call("GET", url).status == 405

    def test_a_kit_of_somebody_else_is_forbidden(self, fakes: Running) -> None:
        assert add_days_at_spark(fakes, kit="0000012345").status == 403
        assert kits(fakes, "/0000012345").status == 403
        assert fakes.vends() == []

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["spark_shs"]
        kit = f"{url}/api/v1/products/kits/SN1"
        assert call("GET", f"{kit}/tokens").status == 405
        assert call("POST", kit, {}).status == 405
        assert call("POST", f"{url}/api/v1/products/kits", {}).status == 405
        assert call("POST", f"{kit}/tokens/", {}).status == 404
        assert call("POST", f"{kit}/tokens?again=1", {}).status == 404
        assert call("POST", f"{url}/products/kits/SN1/tokens", {}).status == 404


class TestSteama:
    FAKES = ("steama",)

    def test_a_top_up_is_answered_with_a_transaction_and_no_token(self, fakes: Running) -> None:
        answer = top_up_at_steama(fakes)
        told = answer.json()
        made = datetime.fromisoformat(told.pop("timestamp"))
        assert abs(datetime.now(UTC) - made) < timedelta(seconds=30)
        assert (answer.status, told) == (
            201,
            {
                "id": 1,
                "site_id": 12,
                "customer_id": 777,
                "amount": "1000.00",
                "category": "PAY",
                "provider": "AP",
                "synchronization_status": "synchronized",
                "reversed_by_id": None,
                "agent_id": None,
            },
        )
        (vend,) = fakes.vends(f"?vendor=steama&serial_number={STEAMA_CUSTOMER}")
        assert (vend["issued"], vend["token"]) == (True, None)
        assert vend["request"] == {"amount": "1000", "category": "PAY"}

    def test_the_same_request_twice_is_two_transactions(self, fakes: Running) -> None:
        first, second = (top_up_at_steama(fakes).json()["id"] for _ in range(2))
        assert first != second

    @pytest.mark.parametrize("amount", [1000, 0.5, 0.01])
    def test_amounts_are_numbers_with_two_decimals_at_most(
        self, fakes: Running, amount: Any
    ) -> None:
        assert top_up_at_steama(fakes, amount=amount).status == 201

    @pytest.mark.parametrize(
        "change",
        [
            *({"amount": amount} for amount in ("1000", 0, -1, 1.234, True, None)),
            {"category": "REV"},
            {"category": None},
            {"reference": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = top_up_at_steama(fakes, **change)
        assert answer.status == 400
        assert answer.json()["detail"]
        assert fakes.vends() == []

    @pytest.mark.parametrize("customer", ["99999", "999991", "007", "0", "SN1"])
    def test_an_unknown_customer_is_told(self, fakes: Running, customer: str) -> None:
        for answer in (
            top_up_at_steama(fakes, customer=customer),
            look_at_steama(fakes, f"/customers/{customer}/"),
        ):
            assert (answer.status, answer.json()) == (404, {"detail": "Not found."})
        assert fakes.vends() == []

    def test_a_customer_can_be_looked_at(self, fakes: Running) -> None:
        assert look_at_steama(fakes, "/customers/777/").json() == {"id": 777, "site_id": 12}

    @pytest.mark.parametrize("change", [{"username": "U2"}, {"password": "guess"}])
    def test_wrong_credentials_are_told(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = log_in_at_steama(fakes, **change)
        assert answer.status == 400
        assert answer.json()["non_field_errors"]

    @pytest.mark.parametrize("change", [{"password": None}, {"password": ""}, {"company": "C"}])
    def test_a_log_in_must_be_as_documented(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = log_in_at_steama(fakes, **change)
        assert (answer.status, "detail" in answer.json()) == (400, True)

    def test_nothing_is_told_to_who_is_not_logged_in(self, fakes: Running) -> None:
        token = log_in_at_steama(fakes).json()["token"]
        for authorization in ("Token guess", f"Bearer {token}", token):
            answer = top_up_at_steama(fakes, authorization)
            assert (answer.status, answer.json()) == (401, {"detail": "Invalid token."})
        for path in ("/transactions/", "/transactions/1/", "/customers/777/"):
            assert call("GET", f"{fakes.urls['steama']}{path}").status == 401
        assert fakes.vends() == []

    def test_a_transaction_can_be_looked_at(self, fakes: Running) -> None:
        made = top_up_at_steama(fakes).json()
        assert look_at_steama(fakes, f"/transactions/{made['id']}/").json() == made
        assert look_at_steama(fakes, "/transactions/2/").status == 404

    @pytest.mark.parametrize("fault", ["garbage", "vend_then_timeout"])
    def test_the_list_tells_what_was_never_answered(self, fakes: Running, fault: str) -> None:
        fakes.order("steama", fault, times=1)
        try:
            assert top_up_at_steama(fakes).data.startswith(b"<html>")
        except urllib3.exceptions.ReadTimeoutError:
            assert fault == "vend_then_timeout"
        answer = list_at_steama(fakes, "2020-01-01T00:00:00Z").json()
        (made,) = answer.pop("results")
        assert (made["customer_id"], made["amount"]) == (777, "1000.00")
        assert answer == {"count": 1, "next": None, "previous": None}

    @pytest.mark.parametrize("fault", ["error_500", "refuse"])
    def test_the_list_does_not_tell_what_failed(self, fakes: Running, fault: str) -> None:
        fakes.order("steama", fault, times=1)
        top_up_at_steama(fakes)
        assert list_at_steama(fakes, "2020-01-01T00:00:00Z").json()["results"] == []

    def test_the_list_leaves_out_what_is_older(self, fakes: Running) -> None:
        top_up_at_steama(fakes)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert list_at_steama(fakes, tomorrow.isoformat()).json()["count"] == 0

    def test_next_leads_through_all_pages_and_previous_back(
        self, fakes: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(steama, "TRANSACTIONS_PER_PAGE", 2)
        for amount in range(1, 6):
            top_up_at_steama(fakes, amount=amount)
        answer = list_at_steama(fakes, "2020-01-01T00:00:00+00:00").json()
        pages = [answer]
        while answer["next"]:
            assert answer["next"].startswith(fakes.urls["steama"])
            answer = look_at_steama(fakes, answer["next"].removeprefix(fakes.urls["steama"])).json()
            pages.append(answer)
        assert [[made["id"] for made in page["results"]] for page in pages] == [[1, 2], [3, 4], [5]]
        assert {page["count"] for page in pages} == {5}
        back = pages[1]["previous"].removeprefix(fakes.urls["steama"])
        assert look_at_steama(fakes, back).json() == pages[0]

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"since": None}, 400),
            ({"since": "yesterday"}, 400),
            ({"since": "2026-01-01T00:00:00"}, 400),
            ({"ordering": "amount"}, 400),
            ({"ordering": None}, 400),
            ({"page": "0"}, 400),
            ({"page": "last"}, 400),
            ({"customer": "777"}, 400),
            ({"page": "2"}, 404),
        ],
        ids=str,
    )
    def test_a_question_for_the_list_must_be_as_documented(
        self, fakes: Running, change: dict[str, Any], status: int
    ) -> None:
        answer = list_at_steama(fakes, **change)
        assert (answer.status, "detail" in answer.json()) == (status, True)

    def test_pending_lasts_as_often_as_was_ordered(self, fakes: Running) -> None:
        fakes.order("steama", "pending", times=3)
        told = [
            top_up_at_steama(fakes).json(),
            look_at_steama(fakes, "/transactions/1/").json(),
            list_at_steama(fakes, "2020-01-01T00:00:00Z").json()["results"][0],
            look_at_steama(fakes, "/transactions/1/").json(),
        ]
        states = [transaction["synchronization_status"] for transaction in told]
        assert states == ["pending", "pending", "pending", "synchronized"]

    def test_what_was_synchronized_stays_so(self, fakes: Running) -> None:
        top_up_at_steama(fakes)
        fakes.order("steama", "pending")
        told = look_at_steama(fakes, "/transactions/1/").json()
        assert told["synchronization_status"] == "synchronized"

    def test_pending_can_be_for_one_customer(self, fakes: Running) -> None:
        fakes.order("steama", "pending", serial_number="778")
        told = [top_up_at_steama(fakes, customer=customer).json() for customer in ("777", "778")]
        states = [transaction["synchronization_status"] for transaction in told]
        assert states == ["synchronized", "pending"]

    def test_questions_use_up_no_fault_of_a_call(self, fakes: Running) -> None:
        fakes.order("steama", "error_500", times=1)
        assert list_at_steama(fakes).status == 200
        assert look_at_steama(fakes, "/customers/777/").status == 200
        assert top_up_at_steama(fakes).status == 500

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["steama"]
        assert call("GET", f"{url}/get-token/").status == 405
        assert call("GET", f"{url}/customers/777/transactions/").status == 405
        assert call("POST", f"{url}/customers/777/", {}).status == 405
        assert call("POST", f"{url}/transactions/", {}).status == 405
        assert call("POST", f"{url}/transactions/1/", {}).status == 405
        assert call("POST", f"{url}/customers/777/transactions", {}).status == 404
        assert call("POST", f"{url}/customers/777/transactions/?again=1", {}).status == 404


class TestDalyBms:
    FAKES = ("daly_bms",)

    def test_a_switch_is_accepted_and_shows_in_the_state(self, fakes: Running) -> None:
        assert not is_on(fakes)
        answer = switch(fakes)
        assert (answer.status, answer.json()) == (
            200,
            {"status": 200, "success": True, "msg": "", "response": {"Data": []}},
        )
        assert is_on(fakes)
        switch(fakes, ACC=0)
        assert not is_on(fakes)

    def test_each_switch_is_listed_with_the_way_it_went(self, fakes: Running) -> None:
        for value in (1, 1, 0):
            switch(fakes, ACC=value)
        vends = fakes.vends(f"?vendor=daly_bms&serial_number={BATTERY}")
        assert [vend["request"]["ACC"] for vend in vends] == [1, 1, 0]
        assert {(vend["issued"], vend["token"]) for vend in vends} == {(True, None)}

    def test_each_battery_has_its_own_relay(self, fakes: Running) -> None:
        switch(fakes, Code="BT2")
        first, second = states(fakes, BATTERY, "BT2")
        assert (first["Code"], second["Code"]) == (BATTERY, "BT2")
        assert "ACCOFF" in first["Status"]
        assert "ACCON" in second["Status"]

    def test_the_state_is_as_documented(self, fakes: Running) -> None:
        (state,) = states(fakes, BATTERY)
        assert set(state) == {
            *("Code", "ReceiveTime", "Lat", "Lng", "Speed", "Mileage", "Status"),
            *("SOH", "BatteryLevel", "BatteryVoltage"),
        }
        heard = datetime.strptime(state["ReceiveTime"], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
        assert abs(datetime.now(UTC).replace(tzinfo=None) - heard) < timedelta(seconds=30)

    def test_a_battery_that_is_offline_keeps_its_state_until_it_is_back(
        self, fakes: Running
    ) -> None:
        assert not is_on(fakes)
        fakes.order("daly_bms", "offline", serial_number=BATTERY)
        assert switch(fakes).json()["success"] is True
        assert [is_on(fakes) for _ in range(2)] == [False, False]
        fakes.clear()
        assert is_on(fakes)

    def test_a_battery_that_is_offline_was_last_heard_before(
        self, fakes: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (before,) = states(fakes, BATTERY)
        later = SimpleNamespace(now=lambda zone: datetime.now(zone) + timedelta(hours=1))
        monkeypatch.setattr(daly_bms, "datetime", later)
        fakes.order("daly_bms", "offline", times=1)
        (offline,) = states(fakes, BATTERY)
        (after,) = states(fakes, BATTERY)
        assert before["ReceiveTime"] == offline["ReceiveTime"] < after["ReceiveTime"]

    def test_being_offline_lasts_as_many_looks_as_were_ordered(self, fakes: Running) -> None:
        fakes.order("daly_bms", "offline", times=2)
        switch(fakes)
        assert [is_on(fakes) for _ in range(3)] == [False, False, True]

    @pytest.mark.parametrize(("fault", "on"), [("garbage", True), ("error_500", False)])
    def test_the_state_tells_what_became_of_a_switch_without_an_answer(
        self, fakes: Running, fault: str, on: bool
    ) -> None:
        fakes.order("daly_bms", fault, times=1)
        switch(fakes)
        assert is_on(fakes) is on

    def test_looking_at_the_state_uses_up_no_fault_of_a_call(self, fakes: Running) -> None:
        fakes.order("daly_bms", "error_500", times=1)
        assert not is_on(fakes)
        assert switch(fakes).status == 500

    @pytest.mark.parametrize(
        "change",
        [
            *({"ACC": value} for value in (2, -1, True, "1", None)),
            {"Code": ""},
            {"Code": 7},
            {"Code": None},
            {"CmdKey": "8500_005"},
            {"Days": 7},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = switch(fakes, **change)
        assert (answer.status, answer.json()["response"]) == (400, False)
        assert answer.json()["msg"]
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            (daly_bms.SWITCH_PATH, {"cmdKey": "8500_004"}),
            (daly_bms.SWITCH_PATH, {"cmdKey": "8500_004", "data": []}),
            (
                daly_bms.SWITCH_PATH,
                {"cmdKey": "1", "data": {"CmdKey": "8500_004", "Code": BATTERY, "ACC": 1}},
            ),
            (daly_bms.STATE_PATH, {"codes": []}),
            (daly_bms.STATE_PATH, {"codes": BATTERY}),
            (daly_bms.STATE_PATH, {"codes": [7]}),
            (daly_bms.STATE_PATH, [BATTERY]),
        ],
        ids=str,
    )
    def test_a_body_must_be_as_documented(self, fakes: Running, path: str, body: Any) -> None:
        assert ask_daly(fakes, path, body).status == 400

    def test_an_unknown_battery_is_told(self, fakes: Running) -> None:
        unknown = {"status": 500, "msg": "device not found", "response": False}
        assert switch(fakes, Code="00000123").json() == unknown
        codes = {"codes": [BATTERY, "00000123"]}
        assert ask_daly(fakes, daly_bms.STATE_PATH, codes).json() == unknown
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        "change",
        [{"Username": "U2"}, {"Password": "guess"}, {"Password": None}, {"Company": "C"}],
        ids=str,
    )
    def test_a_log_in_must_be_right(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = log_in_at_daly(fakes, **change).json()
        assert (answer["status"], answer["response"]) == (500, False)
        assert answer["message"]

    def test_the_password_in_the_address_is_not_logged(
        self, fakes: Running, capsys: pytest.CaptureFixture[str]
    ) -> None:
        log_in_at_daly(fakes)
        logged = capsys.readouterr().out
        assert daly_bms.LOG_IN_PATH in logged
        assert "secret" not in logged

    def test_a_log_in_has_no_body(self, fakes: Running) -> None:
        assert log_in_at_daly(fakes, b"{}").json()["status"] == 500

    def test_nothing_is_told_to_who_is_not_logged_in(
        self, fakes: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        codes = {"codes": [BATTERY]}
        assert switch(fakes, "guess").status == 401
        assert ask_daly(fakes, daly_bms.STATE_PATH, codes, "guess").status == 401
        monkeypatch.setattr(daly_bms, "SESSION_SECONDS", 0)
        assert switch(fakes).status == 401
        assert fakes.vends() == []

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["daly_bms"]
        assert call("GET", f"{url}{daly_bms.LOG_IN_PATH}").status == 405
        assert call("GET", f"{url}{daly_bms.STATE_PATH}").status == 405
        assert call("POST", f"{url}{daly_bms.SWITCH_PATH}?again=1", {}).status == 404
        assert call("POST", f"{url}/api/Monitor/Send", {}).status == 404


class TestStron:
    FAKES = ("stron",)

    def test_a_purchase_is_answered_with_a_text_that_begins_with_twenty_digits(
        self, fakes: Running
    ) -> None:
        token, energy, *_ = buy_from_stron(fakes).json().split(",")
        (vend,) = fakes.vends()
        assert (token, energy) == (vend["token"], "8.33")
        assert (len(token), token.isdigit()) == (20, True)

    @pytest.mark.parametrize(
        ("amount", "price", "energy"),
        [(1000, "100", "10.00"), (50.5, "20.2", "2.50"), (1, "3.00", "0.33")],
    )
    def test_the_energy_is_the_money_by_the_price(
        self, fakes: Running, amount: Any, price: str, energy: str
    ) -> None:
        answer = buy_from_stron(fakes, Amount=amount, Price=price).json()
        assert answer.split(",")[1] == energy

    def test_the_same_request_twice_is_two_tokens(self, fakes: Running) -> None:
        first, second = (buy_from_stron(fakes).json()[:20] for _ in range(2))
        assert first != second

    @pytest.mark.parametrize(
        "change",
        [
            *({"Amount": amount} for amount in ("1000", 0, -1, 1.234, True)),
            *({"Price": price} for price in (120, "0", "0.00", "", "-1", "1e3", "KES 120")),
            *({name: None} for name in ("CustomerId", "MeterId", "Rate", "ApiToken")),
            {"CustomerId": 42},
            {"Rate": 1},
            {"AmountTmp": "Shilling"},
            {"Reference": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = buy_from_stron(fakes, **change)
        assert (answer.status, "Message" in answer.json()) == (400, True)
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        "change",
        [{"MeterId": "00000123456"}, {"Company": "Other"}, {"Employee": "U2"}],
        ids=str,
    )
    def test_a_no_is_a_message(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = buy_from_stron(fakes, **change)
        assert (answer.status, list(answer.json())) == (200, ["Message"])
        assert fakes.vends() == []

    def test_a_log_in_that_is_not_good_is_answered_with_nothing(
        self, fakes: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer = buy_from_stron(fakes, ApiToken="guess")
        assert (answer.status, answer.data) == (200, b"")
        monkeypatch.setattr(stron, "SESSION_SECONDS", 0)
        answer = buy_from_stron(fakes)
        assert (answer.status, answer.data) == (200, b"")
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"Username": "U2"}, 200),
            ({"Password": "guess"}, 200),
            ({"Companyname": "Other"}, 200),
            ({"Password": None}, 400),
            ({"Language": "en"}, 400),
        ],
        ids=str,
    )
    def test_a_log_in_must_be_right(
        self, fakes: Running, change: dict[str, Any], status: int
    ) -> None:
        answer = log_in_at_stron(fakes, **change)
        assert (answer.status, list(answer.json())) == (status, ["Message"])

    def test_what_is_told_of_a_vend_has_no_secret(self, fakes: Running) -> None:
        buy_from_stron(fakes)
        (vend,) = fakes.vends()
        assert vend["request"] == {
            "CustomerId": "42",
            "MeterId": METER,
            "Price": "120",
            "Rate": "1",
            "Amount": "1000",
            "AmountTmp": "KES",
            "Company": "Mwanga",
            "Employee": "U1",
        }

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["stron"]
        assert call("GET", f"{url}{stron.LOG_IN_PATH}").status == 405
        assert call("GET", f"{url}{stron.VEND_PATH}").status == 405
        assert call("POST", f"{url}/vending", {}).status == 404
        assert call("POST", f"{url}{stron.VEND_PATH}?again=1", {}).status == 404


class TestCalinSmart:
    FAKES = ("calin_smart",)

    def test_a_purchase_is_answered_with_an_object_that_has_twenty_digits(
        self, fakes: Running
    ) -> None:
        answer = buy_smart(fakes).json()
        assert (answer["result_code"], answer["reason"]) == (0, "")
        assert answer["result"]["meter_number"] == METER
        assert answer["result"]["customer_name"]
        (vend,) = fakes.vends()
        assert answer["result"]["token"] == vend["token"]
        assert vend["token"].isdigit()
        assert len(vend["token"]) == 20

    def test_the_same_request_twice_is_two_tokens(self, fakes: Running) -> None:
        first, second = (buy_smart(fakes).json()["result"]["token"] for _ in range(2))
        assert first != second

    @pytest.mark.parametrize("amount", [12, 12.3, 12.345, 0.001])
    def test_up_to_three_decimals_are_taken(self, fakes: Running, amount: Any) -> None:
        assert buy_smart(fakes, amount=amount).json()["result_code"] == 0

    @pytest.mark.parametrize(
        "change",
        [
            *({"amount": amount} for amount in (12.3456, 0, -1, "12.3", True)),
            {"is_vend_by_unit": False},
            {"is_vend_by_unit": 1},
            {"is_vend_by_unit": None},
            {"meter_number": ""},
            {"meter_number": 47000123456},
            {"password_vend": None},
            {"reference": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = buy_smart(fakes, **change)
        assert (answer.status, answer.json()["result_code"]) == (400, 1)
        assert fakes.vends() == []

    @pytest.mark.parametrize("name", ["company_name", "user_name", "password", "password_vend"])
    def test_wrong_credentials_are_told(self, fakes: Running, name: str) -> None:
        answer = buy_smart(fakes, **{name: "guess"})
        assert (answer.status, answer.json()["result_code"]) == (200, "02")
        assert fakes.vends() == []

    def test_an_unknown_meter_is_told(self, fakes: Running) -> None:
        for answer in (
            buy_smart(fakes, meter_number="00000123456"),
            history(fakes, meter_number="00000123456"),
        ):
            assert (answer.status, answer.json()["result_code"]) == (200, 3)

    def test_the_history_tells_the_purchases_of_a_meter_newest_first(self, fakes: Running) -> None:
        assert history(fakes).json() == {"result_code": 0, "reason": "", "result": []}
        begun = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
        tokens = [buy_smart(fakes, amount=n).json()["result"]["token"] for n in (12.3, 5.0)]
        buy_smart(fakes, meter_number="47000999999")
        items = history(fakes).json()["result"]
        assert [item["token"] for item in items] == tokens[::-1]
        assert [item["total_unit"] for item in items] == ["5", "12.3"]
        assert {item["meter_number"] for item in items} == {METER}
        for item in items:
            made = datetime.strptime(item["create_date"], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
            assert begun <= made <= begun + timedelta(seconds=30)

    def test_the_history_of_another_customer_is_empty(self, fakes: Running) -> None:
        buy_smart(fakes)
        assert history(fakes, customer_name="Somebody").json()["result"] == []
        assert history(fakes, customer_number="7").json()["result"] == []

    @pytest.mark.parametrize(
        "change",
        [{"customer_name": None}, {"meter_number": ""}, {"password_vend": "second secret"}],
        ids=str,
    )
    def test_a_question_for_the_history_must_be_as_documented(
        self, fakes: Running, change: dict[str, Any]
    ) -> None:
        assert history(fakes, **change).status == 400

    def test_the_history_is_for_those_who_know_the_password(self, fakes: Running) -> None:
        assert history(fakes, password="guess").json()["result_code"] == "02"

    @pytest.mark.parametrize("fault", ["garbage", "vend_then_timeout"])
    def test_a_token_that_was_never_told_is_in_the_history(
        self, fakes: Running, fault: str
    ) -> None:
        fakes.order("calin_smart", fault, times=1)
        try:
            assert buy_smart(fakes).data.startswith(b"<html>")
        except urllib3.exceptions.ReadTimeoutError:
            assert fault == "vend_then_timeout"
        (item,) = history(fakes).json()["result"]
        assert item["token"] == fakes.vends()[0]["token"]

    @pytest.mark.parametrize("fault", ["error_500", "refuse"])
    def test_what_failed_is_not_in_the_history(self, fakes: Running, fault: str) -> None:
        fakes.order("calin_smart", fault, times=1)
        buy_smart(fakes)
        assert history(fakes).json()["result"] == []

    def test_asking_for_the_history_uses_up_no_fault(self, fakes: Running) -> None:
        fakes.order("calin_smart", "error_500", times=1)
        assert history(fakes).status == 200
        assert buy_smart(fakes).status == 500

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["calin_smart"]
        assert call("GET", f"{url}/POS_Purchase/").status == 405
        assert call("POST", f"{url}/POS_Purchase", {}).status == 404
        assert call("POST", f"{url}/tokennew", {}).status == 404


class TestSparkMeter:
    FAKES = ("sparkmeter",)

    def test_a_top_up_is_answered_with_a_transaction_and_no_token(self, fakes: Running) -> None:
        answer = top_up(fakes).json()
        assert UUID(answer.pop("transaction_id"))
        assert answer == {"error": False, "status": "success"}
        (vend,) = fakes.vends(f"?vendor=sparkmeter&serial_number={CUSTOMER}")
        assert (vend["issued"], vend["token"]) == (True, None)
        assert vend["request"]["amount"] == "1000.00"

    def test_the_same_external_id_twice_is_two_transactions(self, fakes: Running) -> None:
        first, second = (top_up(fakes).json()["transaction_id"] for _ in range(2))
        assert first != second

    @pytest.mark.parametrize("amount", ["1000", "0.5", "0.01"])
    def test_amounts_are_texts_with_two_decimals_at_most(self, fakes: Running, amount: str) -> None:
        assert top_up(fakes, amount=amount).json()["error"] is False

    @pytest.mark.parametrize(
        "change",
        [
            *({"amount": amount} for amount in (1000, "0.00", "-1", "1.234", "1e3", "٣", "", "1.")),
            {"customer_id": "42"},
            {"customer_id": CUSTOMER.upper()},
            {"source": "card"},
            {"external_id": 7},
            {"external_id": None},
            {"memo": "p1"},
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = top_up(fakes, **change)
        assert (answer.status, answer.json()["status"]) == (400, "failure")
        assert answer.json()["error"]
        assert fakes.vends() == []

    def test_an_unknown_customer_is_told(self, fakes: Running) -> None:
        answer = top_up(fakes, customer_id="00000000-0000-4000-8000-000000000001")
        assert answer.status == 200
        assert answer.json() == {"error": "customer not found", "status": "failure"}

    def test_a_site_knows_its_token(self, fakes: Running) -> None:
        for answer in (top_up(fakes, token="guess"), transaction(fakes, "1", token="guess")):
            assert answer.status == 401
            assert answer.json() == {"error": "unauthorized", "status": "failure"}

    def test_a_transaction_is_processed_when_it_is_looked_at(self, fakes: Running) -> None:
        found = transaction(fakes, top_up(fakes).json()["transaction_id"]).json()["transaction"]
        created = datetime.fromisoformat(found.pop("created"))
        assert abs(datetime.now(UTC) - created) < timedelta(seconds=30)
        assert found == {
            "status": "processed",
            "external_id": "direct.demo-1.1",
            "source": "cash",
            "amount": "1000.00",
        }

    def test_an_unknown_transaction_is_told(self, fakes: Running) -> None:
        assert transaction(fakes, CUSTOMER).status == 404

    def test_pending_lasts_as_many_looks_as_were_ordered(self, fakes: Running) -> None:
        fakes.order("sparkmeter", "pending", times=2)
        transaction_id = top_up(fakes).json()["transaction_id"]
        looks = [
            transaction(fakes, transaction_id).json()["transaction"]["status"],
            search(fakes).json()["results"][0]["state"],
            transaction(fakes, transaction_id).json()["transaction"]["status"],
        ]
        assert looks == ["pending", "pending", "processed"]

    def test_what_was_processed_stays_so(self, fakes: Running) -> None:
        transaction_id = top_up(fakes).json()["transaction_id"]
        transaction(fakes, transaction_id)
        fakes.order("sparkmeter", "pending", times=1)
        found = transaction(fakes, transaction_id).json()["transaction"]
        assert found["status"] == "processed"

    def test_pending_can_be_for_one_customer(self, fakes: Running) -> None:
        fakes.order("sparkmeter", "pending", serial_number=OTHER_CUSTOMER, times=1)
        top_up(fakes)
        top_up(fakes, customer_id=OTHER_CUSTOMER)
        states = [result["state"] for result in search(fakes).json()["results"]]
        assert states == ["processed", "pending"]

    def test_a_search_finds_what_was_never_told(self, fakes: Running) -> None:
        fakes.order("sparkmeter", "garbage", times=1)
        top_up(fakes)
        answer = search(fakes).json()
        (result,) = answer["results"]
        assert UUID(result.pop("transaction_id"))
        assert datetime.fromisoformat(result.pop("created"))
        assert result == {
            "type": "transaction",
            "site": "site",
            "to": {"customer": {"id": CUSTOMER}},
            "state": "processed",
            "external_id": "direct.demo-1.1",
            "reference_id": None,
            "amount": "1000.00",
        }
        assert (answer["cursor"], answer["count"]) == (None, 1)

    def test_a_search_leaves_out_what_is_older(self, fakes: Running) -> None:
        top_up(fakes)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        answer = search(fakes, tomorrow.isoformat()).json()
        assert answer == {"results": [], "cursor": None, "count": 0}

    def test_a_cursor_leads_through_all_pages(
        self, fakes: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sparkmeter, "TRANSACTIONS_PER_PAGE", 2)
        for number in range(5):
            top_up(fakes, external_id=f"p-{number}")
        found, cursor = [], None
        for pages in (2, 2, 1):
            answer = search(fakes, cursor=cursor).json()
            assert answer["count"] == len(answer["results"]) == pages
            found += [result["external_id"] for result in answer["results"]]
            cursor = answer["cursor"]
        assert cursor is None
        assert found == [f"p-{number}" for number in range(5)]

    @pytest.mark.parametrize(
        "change",
        [
            {"since": "yesterday"},
            {"since": "2026-01-01T00:00:00"},
            {"since": 1767225600},
            {"cursor": "somewhere"},
            {"cursor": 2},
            {"entity_types": ["readings"]},
            {"entity_types": None},
            {"site": "site"},
            {"date_range": {}},
        ],
        ids=str,
    )
    def test_a_search_must_be_as_documented(self, fakes: Running, change: dict[str, Any]) -> None:
        answer = search(fakes, **change)
        assert answer.status == 400
        assert answer.json()["errors"][0]["details"]

    def test_a_search_is_for_those_who_have_the_keys(self, fakes: Running) -> None:
        assert search(fakes, secret="guess").status == 401
        assert search(fakes, organization="org-2").status == 404

    def test_questions_use_up_no_fault_of_a_call(self, fakes: Running) -> None:
        transaction_id = top_up(fakes).json()["transaction_id"]
        fakes.order("sparkmeter", "error_500", times=1)
        assert transaction(fakes, transaction_id).status == 200
        assert search(fakes).status == 200
        assert top_up(fakes).status == 500

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["sparkmeter"]
        token = {"Authentication_Token": "site token"}
        assert call("PUT", f"{url}/site/api/v0/transaction/", {}, **token).status == 405
        assert call("POST", f"{url}/site/api/v0/transaction/1", {}, **token).status == 405
        assert call("GET", f"{url}/site/api/v0/customers/", **token).status == 404


class TestAngaza:
    FAKES = ("angaza",)

    def test_a_wished_state_is_answered_with_a_keycode(self, fakes: Running) -> None:
        code = keycode(set_credit(fakes))
        assert [len(group) for group in code.split("-")] == [4, 4, 4]
        assert code.replace("-", "").isdigit()
        (vend,) = fakes.vends(f"?vendor=angaza&serial_number={UNIT}")
        assert (vend["issued"], vend["token"]) == (True, code.replace("-", ""))

    def test_the_same_state_once_more_is_the_same_keycode(self, fakes: Running) -> None:
        first = keycode(set_credit(fakes))
        assert keycode(set_credit(fakes)) == first
        assert keycode(set_credit(fakes, "2026-09-22T13:00:00+03:00")) == first

    def test_another_state_or_unit_is_another_keycode(self, fakes: Running) -> None:
        codes = [
            keycode(set_credit(fakes)),
            keycode(set_credit(fakes, "2026-09-29T10:00:00+00:00")),
            keycode(set_credit(fakes, "UNLOCKED")),
            keycode(set_credit(fakes, unit_number="987654321")),
        ]
        assert len(set(codes)) == 4

    def test_an_earlier_and_a_past_date_are_taken(self, fakes: Running) -> None:
        set_credit(fakes)
        assert set_credit(fakes, "2020-01-01T00:00:00Z").status == 200
        assert credit(fakes).json()["state"]["current"]["credit_until_dt"] == "2020-01-01T00:00:00Z"

    def test_the_present_state_can_be_looked_at(self, fakes: Running) -> None:
        nothing = credit(fakes).json()
        assert nothing["state"]["current"]["credit_until_dt"] is None
        code = keycode(set_credit(fakes, "UNLOCKED"))
        assert credit(fakes).json() == {
            "unit_number": UNIT,
            "state": {"current": {"credit_until_dt": "UNLOCKED"}},
            "_embedded": {"latest_keycode": {"keycode": code}},
        }

    @pytest.mark.parametrize(
        "until", ["2026-09-22T10:00:00", "tomorrow", "unlocked", "", None, 1790071200, ["UNLOCKED"]]
    )
    def test_only_a_moment_or_unlocked_is_a_state(self, fakes: Running, until: Any) -> None:
        answer = set_credit(fakes, until)
        assert answer.status == 400
        assert answer.json()["context"]["reason"]
        assert fakes.vends() == []

    @pytest.mark.parametrize(
        "body",
        [
            {"unit_number": UNIT},
            {"unit_number": UNIT, "state": {"credit_until_dt": TUESDAY}},
            {"unit_number": UNIT, "state": {"desired": {"credit_until_dt": TUESDAY, "days": 7}}},
            {"unit_number": 7, "state": {"desired": {"credit_until_dt": TUESDAY}}},
            {"unit_number": UNIT, "state": [], "days": 7},
            [],
        ],
        ids=str,
    )
    def test_anything_undocumented_is_refused(self, fakes: Running, body: Any) -> None:
        url = f"{fakes.urls['angaza']}/unit_credit"
        answer = call("PUT", url, body, Authorization=basic("client", "secret"))
        assert answer.status == 400
        assert answer.json()["context"]["reason"]

    def test_an_unknown_unit_is_told(self, fakes: Running) -> None:
        for answer in (
            set_credit(fakes, unit_number="000001234"),
            credit(fakes, "?unit_number=000001234"),
        ):
            assert answer.status == 404
            assert answer.json() == {"context": {"reason": "unit not found"}}

    def test_wrong_credentials_are_told(self, fakes: Running) -> None:
        answer = set_credit(fakes, password="guess")
        assert answer.status == 401
        assert answer.json()["context"]["reason"]

    def test_a_question_names_one_unit(self, fakes: Running) -> None:
        assert credit(fakes, "").status == 400
        assert credit(fakes, f"?unit_number={UNIT}&all=1").status == 400

    def test_there_is_nothing_else(self, fakes: Running) -> None:
        url = fakes.urls["angaza"]
        login = {"Authorization": basic("client", "secret")}
        assert call("POST", f"{url}/unit_credit", {}, **login).status == 405
        assert call("PUT", f"{url}/units", {}, **login).status == 404


class TestFaultsOfEveryVendor:
    @every_vendor
    def test_an_error_500_does_nothing(self, fakes: Running, vendor: str) -> None:
        fakes.order(vendor, "error_500", times=1)
        assert ASK[vendor](fakes).status == 500
        (vend,) = fakes.vends()
        assert (vend["issued"], vend["token"]) == (False, None)

    @every_vendor
    def test_garbage_hides_what_was_done(self, fakes: Running, vendor: str) -> None:
        fakes.order(vendor, "garbage", times=1)
        answer = ASK[vendor](fakes)
        assert answer.status == 200
        with pytest.raises(ValueError, match="Expecting value"):
            answer.json()
        assert fakes.vends()[0]["issued"] is True

    @pytest.mark.parametrize(
        ("vendor", "status", "words"),
        [
            ("calin", 200, {"result_code": 3, "reason": f"meter {METER} not found"}),
            ("calin_smart", 200, {"result_code": 3, "reason": f"meter {METER} not found"}),
            ("sparkmeter", 200, {"error": "customer not found", "status": "failure"}),
            ("angaza", 404, {"context": {"reason": "unit not found"}}),
            (
                "gomelong",
                200,
                {"ReturnCode": 0, "ReturnMessage": "meter not found", "Data": None},
            ),
            ("gomelong_v1", 200, {"Code": 500, "Message": "meter not found", "Data": None}),
            ("microstar", 200, {"errorCode": 1003}),
            ("stron_v3", 200, []),
            ("sunking", 404, {"message": "Device not found", "details": ""}),
            ("spark_shs", 403, {"message": "Forbidden"}),
            ("steama", 404, {"detail": "Not found."}),
            ("daly_bms", 200, {"status": 500, "msg": "device not found", "response": False}),
            ("stron", 200, {"Message": "meter not found"}),
        ],
    )
    def test_a_refusal_is_definite_and_in_the_vendors_own_words(
        self, fakes: Running, vendor: str, status: int, words: Any
    ) -> None:
        fakes.order(vendor, "refuse", times=1)
        answer = ASK[vendor](fakes)
        assert (answer.status, answer.json()) == (status, words)
        assert fakes.vends()[0]["issued"] is False

    @every_vendor
    def test_a_vend_then_timeout_does_it_and_never_says_so(
        self, fakes: Running, vendor: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fakes.order(vendor, "vend_then_timeout", times=1)
        monkeypatch.setattr(running_fakes, "PATIENCE_SECONDS", 0.5)
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            ASK[vendor](fakes)
        assert fakes.vends()[0]["issued"] is True

    @every_vendor
    def test_slow_answers_come_in_the_end(
        self, fakes: Running, vendor: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "SLOW_SECONDS", 0.3)
        fakes.order(vendor, "slow", times=1)
        begun = time.monotonic()
        assert ASK[vendor](fakes).status == TAKEN[vendor]
        assert time.monotonic() - begun >= 0.3
        assert fakes.vends()[0]["issued"] is True

    @every_vendor
    def test_refused_connections_are_really_refused(self, fakes: Running, vendor: str) -> None:
        fakes.order(vendor, "refuse_connection")
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            ASK[vendor](fakes)
        assert fakes.vends() == []
        fakes.clear()
        assert ASK[vendor](fakes).status == TAKEN[vendor]

    @every_vendor
    def test_a_fault_of_one_subject_leaves_the_others_alone(
        self, fakes: Running, vendor: str
    ) -> None:
        fakes.order(vendor, "error_500", serial_number="somebody else", times=1)
        assert ASK[vendor](fakes).status == TAKEN[vendor]
        fakes.order(vendor, "error_500", serial_number=SUBJECTS[vendor], times=1)
        assert ASK[vendor](fakes).status == 500

    @every_vendor
    def test_a_fault_of_one_vendor_leaves_the_others_alone(
        self, fakes: Running, vendor: str
    ) -> None:
        fakes.order(vendor, "error_500")
        statuses = {key: ask(fakes).status for key, ask in ASK.items()}
        assert statuses == {**TAKEN, vendor: 500}


class TestFaults:
    def test_a_fault_ends_after_its_times(self, fakes: Running) -> None:
        fakes.order("calin", "error_500", times=2)
        assert [buy(fakes).status for _ in range(3)] == [500, 500, 200]

    def test_a_fault_without_times_lasts_until_it_is_cleared(self, fakes: Running) -> None:
        fakes.order("calin", "error_500")
        assert [buy(fakes).status for _ in range(3)] == [500, 500, 500]
        fakes.clear()
        assert buy(fakes).status == 200

    def test_a_request_that_the_vendor_would_refuse_uses_up_no_fault(self, fakes: Running) -> None:
        fakes.order("calin", "error_500", times=1)
        assert buy(fakes, amount=0).status == 400
        assert buy(fakes).status == 500

    def test_refused_connections_end_by_themselves(
        self, fakes: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "CLOSED_SECONDS_EACH", 0.2)
        fakes.order("calin", "refuse_connection", times=2)
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            buy(fakes)
        time.sleep(0.7)
        assert buy(fakes).status == 200

    def test_clearing_releases_calls_that_are_kept_waiting(self, fakes: Running) -> None:
        fakes.order("calin", "slow", times=1)
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
            {"vendor": "calin", "fault": "pending"},
            {"vendor": "steama", "fault": "offline"},
            {"vendor": "sparkmeter", "fault": "refund_fails"},
            ["calin"],
        ],
    )
    def test_an_order_that_makes_no_sense_is_refused(self, fakes: Running, fields: Any) -> None:
        assert call("POST", f"{fakes.control}/faults", fields).status == 422


class TestControl:
    def test_vends_tell_what_was_asked_but_no_password(self, fakes: Running) -> None:
        token = buy(fakes).json()["result"]
        (vend,) = fakes.vends()
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

    def test_no_password_is_told(self, fakes: Running) -> None:
        buy_smart(fakes)
        (vend,) = fakes.vends()
        assert {"secret", "second secret"}.isdisjoint(vend["request"].values())

    def test_vends_can_be_narrowed_to_a_vendor_and_a_device(self, fakes: Running) -> None:
        buy(fakes)
        buy(fakes, meter_id="47000999999")
        assert len(fakes.vends("?vendor=calin")) == 2
        assert len(fakes.vends("?vendor=calin&serial_number=47000999999")) == 1
        assert fakes.vends("?vendor=other") == []

    def test_there_are_no_refunds_without_a_provider_that_refunds(self, fakes: Running) -> None:
        assert call("GET", f"{fakes.control}/refunds?provider=x").json() == {"items": []}

    def test_unknown_addresses_are_not_found(self, fakes: Running) -> None:
        assert call("GET", f"{fakes.control}/nothing").status == 404


class TestSms:
    SMS = ("to", "body", "payment_id", "number")

    def test_an_sms_can_be_read_by_tools_and_by_people(self, fakes: Running) -> None:
        values = ("+254700000001", "Token 1234 5678", "direct.demo-1", 1)
        sms = dict(zip(self.SMS, values, strict=True))
        assert call("POST", fakes.sms, sms).status == 201
        (item,) = call("GET", fakes.sms).json()["items"]
        assert {name: item[name] for name in self.SMS} == sms
        text = fakes.sms_log.read_text()
        assert "Token 1234 5678" in text
        assert "+254700000001" in text

    def test_anything_else_is_refused(self, fakes: Running) -> None:
        assert call("POST", fakes.sms, {"to": "+254700000001"}).status == 422
        assert call("POST", fakes.sms, b"nonsense").status == 422


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the local cloud puts into the secrets, while its fakes run."""
    state = tmp_path_factory.mktemp("state")
    ports: dict[str, int] = {}
    for name in ("control", "proxy", *VENDORS, *PROVIDERS):
        ports[name] = processes.free_port(0, taken=list(ports.values()))
    generated = Generated()
    settings = state / "fakes.json"
    settings.write_text(json.dumps(up.fakes_settings(state, ports, generated)))
    command = [sys.executable, "-m", "infra.local.fakes", str(settings)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            processes.wait_until(
                lambda: processes.is_listening(ports["control"]), "the fakes", state, 30
            )
            yield secret_contents(generated, up.fake_urls(ports), "http://127.0.0.1/api")
        finally:
            process.terminate()


class TestTheLocalCloudsFakes:
    """Started as the local cloud starts them."""

    def test_calin_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = dict(secrets["manufacturers/calin"])
        url = secret.pop("base_url")
        body = {**secret, "meter_id": METER, "token_type": "CreditToken", "amount": 1}
        assert call("POST", f"{url}/tokennew", body).json()["result_code"] == 0

    def test_calin_smart_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = dict(secrets["manufacturers/calin_smart"])
        url = secret.pop("base_url")
        assert secret.pop("time_zone") == "UTC"
        body = {**secret, "meter_number": METER, "is_vend_by_unit": True, "amount": 1}
        assert call("POST", f"{url}/POS_Purchase/", body).json()["result_code"] == 0

    def test_sparkmeter_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/sparkmeter"]
        site, koios = secret["sites"]["site"], secret["koios"]
        url = f"{site['base_url']}/api/v0/transaction/1"
        assert call("GET", url, Authentication_Token=site["token"]).status == 404
        filters = {"entity_types": ["transactions"], "date_range": {"from": TUESDAY}}
        answer = call(
            "POST",
            f"{koios['base_url']}/organizations/{koios['organization_id']}/data/historical",
            {"filters": filters, "cursor": None},
            X_API_KEY=koios["api_key"],
            X_API_SECRET=koios["api_secret"],
        )
        assert answer.status == 200

    def test_angaza_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/angaza"]
        login = basic(secret["client_id"], secret["client_secret"])
        url = f"{secret['base_url']}/unit_credit?unit_number={UNIT}"
        assert call("GET", url, Authorization=login).status == 200

    def test_gomelong_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/gomelong"]
        form = {"U": secret["user_id"], "K": secret["password"], "meter": METER, "amt": "1"}
        answer = call(
            "POST",
            f"{secret['base_url']}/EKPower",
            urlencode(form).encode(),
            Content_Type="application/x-www-form-urlencoded",
        )
        assert answer.json()["ReturnCode"] == 1

    def test_gomelong_v1_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/gomelong_v1"]
        query = {
            "UserId": secret["user_id"],
            "Password": secret["password"],
            "MeterType": "1",
            "MeterCode": METER,
        }
        url = f"{secret['base_url']}/api/Power/GetContractInfo?{urlencode(query)}"
        assert call("GET", url).json()["Code"] == 200

    def test_chint_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/chint"]
        assert set(secret) == {"base_url", "user_name", "password"}
        body = chint_body(
            "Validation",
            {"CustomerID": METER},
            user=secret["user_name"],
            password=secret["password"],
        )
        reply = call("POST", secret["base_url"], body, Content_Type=TEXT_XML)
        assert told_by_chint(reply, "Validation")["Result"] == "0"

    def test_microstar_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/microstar"]
        assert set(secret) == {"base_url", "pkcs12", "pkcs12_password", "ca_certificate"}
        assert secret["base_url"].startswith("https://127.0.0.1:")
        url = f"{secret['base_url']}/deviceInfo?deviceNo={METER}"
        assert call("GET", url, tls=client_tls(secret)).json()["errorCode"] == 1000

    def test_stron_v3_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/stron_v3"]
        body = {
            "CompanyName": secret["company_name"],
            "UserName": secret["user_name"],
            "PassWord": secret["password"],
            "MeterID": METER,
            "is_vend_by_unit": True,
            "Amount": 1,
        }
        (sale,) = call("POST", f"{secret['base_url']}/VendingMeter", body).json()
        assert sale["Total_unit"] == "1"

    def test_sunking_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/sunking"]
        form = {
            "grant_type": "client_credentials",
            "client_id": secret["client_id"],
            "client_secret": secret["client_secret"],
            "scope": "roles",
        }
        answer = call(
            "POST",
            secret["auth_url"],
            urlencode(form).encode(),
            Content_Type="application/x-www-form-urlencoded",
        )
        bearer = answer.json()["access_token"]
        url = f"{secret['base_url']}/token"
        answer = call("POST", url, ADD_DAYS, Authorization=f"Bearer {bearer}")
        assert answer.status == 200

    def test_spark_shs_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = dict(secrets["manufacturers/spark_shs"])
        base_url, auth_url = secret.pop("base_url"), secret.pop("auth_url")
        answer = call("POST", auth_url, {**secret, "grant_type": "client_credentials"})
        bearer = f"Bearer {answer.json()['access_token']}"
        assert base_url.endswith("/v1")
        assert call("GET", f"{base_url}/products/kits", Authorization=bearer).status == 200

    def test_steama_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = dict(secrets["manufacturers/steama"])
        url = secret.pop("base_url")
        token = call("POST", f"{url}/get-token/", secret).json()["token"]
        answer = call("GET", f"{url}/customers/777/", Authorization=f"Token {token}")
        assert answer.status == 200

    def test_daly_bms_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/daly_bms"]
        login = urlencode({"Username": secret["username"], "Password": secret["password"]})
        answer = call("POST", f"{secret['base_url']}{daly_bms.LOG_IN_PATH}?{login}")
        bearer = f"Bearer {answer.json()['response']['token']}"
        url = f"{secret['base_url']}{daly_bms.STATE_PATH}"
        assert call("POST", url, {"codes": [BATTERY]}, Authorization=bearer).status == 200

    def test_stron_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["manufacturers/stron"]
        login = {
            "Username": secret["user_name"],
            "Password": secret["password"],
            "Companyname": secret["company_name"],
        }
        assert call("POST", f"{secret['base_url']}{stron.LOG_IN_PATH}", login).json().isprintable()

    def test_paystack_accepts_what_is_in_the_secret(self, secrets: dict[str, Any]) -> None:
        secret = secrets["channels/paystack"]
        (key,) = secret["secret_keys"]
        assert "@" in secret["email"]
        answer = call("GET", f"{secret['base_url']}/refund", Authorization=f"Bearer {key}")
        assert answer.json()["data"] == []
