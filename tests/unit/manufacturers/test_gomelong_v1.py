"""GomeLong, its newer API: what is sent, and what each answer means for the customer's money."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Vend, VendState
from chalicelib.manufacturers import gomelong_v1
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import (
    Device,
    RecoveryClass,
    SecretMissing,
    Sold,
    VendOrder,
    VendorSilent,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
)
from tests.unit.manufacturers.any_json import JSON
from tests.unit.scripted_server import Behaviour, answering, sending, serving

TOKEN = "01234567890123456789"
USER, PASSWORD = "acme 01", "a vendor's pass&word=+é"


def sold(token: object = TOKEN, code: object = 200) -> bytes:
    return json.dumps({"Code": code, "Message": "", "Data": {"Token": token}}).encode()


def failed(message: object = "meter not found", code: object = 500, data: object = None) -> bytes:
    return json.dumps({"Code": code, "Message": message, "Data": data}).encode()


def vend_of(units: Fraction | None, kind: VendKind = VendKind.ENERGY) -> Vend:
    return Vend(1, "47000123456", "gomelong_v1", kind, VendState.CALLING, units)


VEND = vend_of(Fraction(123, 10))


def order(vend: Vend) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2))


def vendor(base_url: object, **changes: object) -> gomelong_v1.GomeLongV1:
    secret = {"base_url": base_url, "user_id": USER, "password": PASSWORD, **changes}
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/gomelong_v1": secret}
    return gomelong_v1.make("gomelong_v1", secrets.__getitem__)


def vended(behaviour: Behaviour, vend: Vend = VEND) -> str | None:
    with serving(behaviour) as server:
        try:
            return vendor(f"{server.url}/api").vend(order(vend)).value
        finally:
            assert server.connections == 1, "a vend is asked for once, whatever comes of it"


def token_of(body: bytes) -> str:
    return gomelong_v1._token_of(Answer(200, body))


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = gomelong_v1.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("gomelong_v1", 19)
    assert manufacturer.kind is Kind.METER
    assert manufacturer.recovery is RecoveryClass.OPAQUE
    assert not manufacturer.local
    assert not manufacturer.technical_required
    assert manufacturer.timeout_seconds == 20
    assert set(manufacturer.rules) == {
        VendKind.ENERGY,
        VendKind.CLEAR_CREDIT,
        VendKind.CLEAR_TAMPER,
    }


def test_energy_is_sold_in_tenths_of_a_kwh():
    device = Device("47000123456", Kind.METER, "gomelong_v1", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.ENERGY)
    assert (rules.step, rules.units_max) == (Fraction(1, 10), None)


# --- what is sent -----------------------------------------------------------------------------


def asked(vend: Vend) -> tuple[str, dict[str, str]]:
    """The path and the query of the request."""
    with serving(answering(sold())) as server:
        assert vendor(f"{server.url}/").vend(order(vend)) == Sold(TOKEN)
    method, target, _ = server.requests[0].partition(b"\r\n")[0].decode("ascii").split(" ")
    assert method == "GET"
    assert b"\r\nAccept: application/json\r\n" in server.requests[0]
    path, _, query = target.partition("?")
    return path, dict(parse_qsl(query, strict_parsing=True))


WHO = {"UserId": USER, "Password": PASSWORD, "MeterType": "1", "MeterCode": "47000123456"}


def test_the_vendor_is_asked_exactly_as_it_expects():
    energy = {"AmountOrQuantity": "12.3", "VendingType": "1"}
    assert asked(VEND) == ("/api/Power/GetVendingToken", {**WHO, **energy})


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (VendKind.CLEAR_CREDIT, "GetClearCreditToken"),
        (VendKind.CLEAR_TAMPER, "GetClearTamperSignToken"),
    ],
)
def test_maintenance_tokens_are_asked_for_the_meter_alone(kind: VendKind, call: str):
    assert asked(vend_of(None, kind)) == (f"/api/Power/{call}", WHO)


@pytest.mark.parametrize(
    ("units", "written"),
    [
        (Fraction(1, 10), b"0.1"),
        (Fraction(3, 10), b"0.3"),
        (Fraction(7), b"7"),
        (Fraction(11, 2), b"5.5"),
        (Fraction(90071992547409931, 10), b"9007199254740993.1"),
    ],
)
def test_kwh_are_written_without_losing_a_digit(units: Fraction, written: bytes):
    with serving(answering(sold())) as server:
        vendor(server.url).vend(order(vend_of(units)))
    assert b"&AmountOrQuantity=" + written + b"&" in server.requests[0]


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (vend_of(Fraction(1, 100)), "units_out_of_range"),
        (vend_of(Fraction(0)), "not_offered"),
        (vend_of(None), "not_offered"),
        (vend_of(Fraction(1), VendKind.TIME), "not_offered"),
        (vend_of(None, VendKind.UNLOCK), "not_offered"),
        (vend_of(None, VendKind.LOCK), "not_offered"),
        (replace(VEND, serial_number="1" * 14), "serial_too_long"),
    ],
)
def test_what_the_vendor_does_not_sell_is_not_asked_for(vend: Vend, code: str):
    with serving(answering(sold())) as server:
        with pytest.raises(VendRefused) as refused:
            vendor(server.url).vend(order(vend))
        assert refused.value.code == code
        assert server.connections == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": None},
        {"base_url": "gomelong_v1"},
        {"user_id": ""},
        {"user_id": None},
        {"password": ""},
        {"password": 1},
    ],
)
def test_without_proper_credentials_nothing_is_asked(changes: dict[str, object]):
    with serving(answering(sold())) as server:
        with pytest.raises(SecretMissing):
            vendor(**{"base_url": server.url, **changes}).vend(order(VEND))
        assert server.connections == 0


# --- a clear yes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", [TOKEN, "0123 4567 8901 2345 6789", "0123-4567-8901-2345-6789", f" {TOKEN}\n"]
)
@pytest.mark.parametrize("code", [200, 0])
def test_twenty_digits_with_a_code_of_success_are_the_token(token: str, code: object):
    assert vended(answering(sold(token, code))) == TOKEN


def test_whatever_else_the_answer_holds_is_ignored():
    body = b'{"Code":200,"Data":{"Token":"%s","Price":12.5},"more":[{}]}' % TOKEN.encode()
    assert vended(answering(body, headers="Content-Type: text/html\r\n")) == TOKEN


# --- a definite no ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [500, 1, -1, 400])
@pytest.mark.parametrize("data", [None, {}, "", []])
def test_another_code_with_its_reason_is_a_definite_no(code: object, data: object):
    with pytest.raises(VendRefused) as refused:
        vended(answering(failed(code=code, data=data)))
    assert refused.value.code == "refused_by_vendor"
    assert str(refused.value) == "meter not found"


def test_a_vendor_that_cannot_be_reached_was_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(VendorUnreachable):
        vendor(f"http://127.0.0.1:{port}").vend(order(VEND))
    with pytest.raises(VendorUnreachable):
        vendor("http://no-such-host.invalid").vend(order(VEND))
    with serving(sending(b"no TLS here"), reads=False) as server, pytest.raises(VendorUnreachable):
        vendor(f"https://127.0.0.1:{server.port}").vend(order(VEND))


# --- anything else is uncertain ---------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>OK</html>",
        b"null",
        b"[]",
        f'"{TOKEN}"'.encode(),
        b"{}",
        sold(code=None),
        sold(code=True),
        sold(code=False),
        sold(code=200.0),
        sold(code="200"),
        sold(code="OK"),
        sold(code=[]),
        sold(code=10**30),
        sold(code=500),
        sold(token=None),
        sold(token=""),
        sold(token=12345678901234567890),
        sold(token=TOKEN[:-1]),
        sold(token=TOKEN + "0"),
        sold(token="0" * 19 + "x"),
        sold(token="٠" * 20),
        sold(token=[TOKEN]),
        failed(code=200),
        failed(code=200, data=TOKEN),
        failed(code=200, data=[{"Token": TOKEN}]),
        sold() + b"}",
        sold().replace(b'""', b'"\xff"'),
        b'{"Code": NaN}',
        b"[" * 50_000,
        sold().ljust(70_000),
    ],
)
def test_a_success_that_is_not_clear_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(answering(body))


@pytest.mark.parametrize(
    "body",
    [
        failed(data={"Token": TOKEN}),
        failed(data=TOKEN),
        failed(message=""),
        failed(message=" "),
        failed(message=None),
        failed(message=["meter not found"]),
        b'{"Code": 500}',
    ],
)
def test_a_failure_that_contradicts_itself_or_gives_no_reason_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body))
    assert not isinstance(uncertain.value, VendorSilent)


@pytest.mark.parametrize("body", [b"", b"<html>OK</html>", b"[]"])
def test_an_answer_that_cannot_be_read_is_a_broken_servers(body: bytes):
    with pytest.raises(VendorSilent):
        vended(answering(body))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_is_not_followed_and_uncertain(status: str):
    with serving(answering(sold())) as elsewhere:
        headers = f"Location: {elsewhere.url}/api/Power/GetVendingToken\r\n"
        with pytest.raises(VendUncertain):
            vended(answering(b"", status=status, headers=headers))
        assert elsewhere.connections == 0


SILENT = ["429 Slow", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", *SILENT])
@pytest.mark.parametrize("body", [b"", sold(), failed()])
def test_an_error_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body, status=status))
    assert uncertain.value.detail == f"HTTP status {status[:3]}"
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + sold(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        vended(sending(data))


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gomelong_v1, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        vended(lambda connection: connection.recv(1))


def test_an_uncertain_vend_cannot_be_looked_up():
    with pytest.raises(VendUncertain):
        vendor("http://a.example").look_up(order(VEND))


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_a_token_a_no_or_uncertain(body: bytes):
    try:
        token = token_of(body)
    except (VendRefused, VendUncertain):
        return
    assert len(token) == 20


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "Code": st.sampled_from([0, 1, 200, 500]) | JSON,
            "Message": JSON,
            "Data": JSON
            | st.fixed_dictionaries(
                {"Token": st.text(alphabet="0123456789 -x", max_size=26) | st.just(TOKEN)}
            ),
        },
    )
)
def test_only_a_code_of_success_with_twenty_digits_is_a_token(fields: dict[str, Any]):
    code, data = fields.get("Code"), fields.get("Data")
    result = data.get("Token") if isinstance(data, dict) else None
    digits = result.replace(" ", "").replace("-", "") if isinstance(result, str) else ""
    if type(code) is int and code in (0, 200) and len(digits) == 20 and digits.isdigit():
        assert token_of(json.dumps(fields).encode()) == digits
    else:
        with pytest.raises((VendRefused, VendUncertain)):
            token_of(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "body",
    [
        sold(token=TOKEN + "99"),
        sold(code=TOKEN),
        failed(f"{TOKEN} of {USER} with {PASSWORD}"),
        failed("0123 4567 8901 2345 6789"),
        f"{TOKEN} {PASSWORD}".encode(),
    ],
)
def test_no_error_repeats_a_token_or_the_credentials(body: bytes):
    with pytest.raises(MwangaError) as error:
        vended(answering(body))
    shown: BaseException | None = error.value
    while shown is not None:
        for hidden in (TOKEN, "0123 4567", USER, PASSWORD):
            assert hidden not in f"{shown!r} {shown}"
        shown = shown.__cause__


# --- what people enter ------------------------------------------------------------------------


@pytest.mark.parametrize("text", [TOKEN, "0123 4567 8901 2345 6789", "0123-45678901-2345 6789 "])
def test_a_token_may_be_typed_in_groups(text: str):
    assert vendor("http://a.example").token(text) == TOKEN


@pytest.mark.parametrize("text", ["", TOKEN[:-1], TOKEN + "0", "x" * 20])
def test_a_text_that_is_no_token_is_refused(text: str):
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").token(text)
    assert error.value.field == "token"


def test_a_meter_has_no_technical_fields():
    assert vendor("http://a.example").seal("47000123456", {}) == ({}, 0)
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal("47000123456", {"secret_key": "x"})
    assert error.value.field == "technical.secret_key"


def test_what_was_entered_for_a_meter_is_told_as_it_is():
    device = Device("47000123456", Kind.METER, "gomelong_v1", 1, date(2026, 1, 1))
    assert vendor("http://a.example").reveal(device) == {}


# --- a question that sells nothing ------------------------------------------------------------


def test_a_check_asks_for_the_contract_of_a_meter():
    with serving(answering(sold(token=None))) as server:
        vendor(server.url).check("47000123456")
        target = server.requests[0].split(b" ")[1].decode("ascii")
    path, _, query = target.partition("?")
    assert path == "/api/Power/GetContractInfo"
    assert dict(parse_qsl(query, strict_parsing=True)) == WHO


def test_a_check_tells_a_no_from_an_answer_that_is_none():
    with serving(answering(failed("wrong password"))) as server:
        with pytest.raises(VendRefused) as refused:
            vendor(server.url).check("47000123456")
        assert str(refused.value) == "wrong password"
    with serving(answering(b"<html>")) as server, pytest.raises(VendUncertain):
        vendor(server.url).check("47000123456")
