"""Calin: what is sent, and what each answer means for the customer's money."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Vend, VendState
from chalicelib.manufacturers import calin
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
from tests.unit.scripted_server import Behaviour, answering, sending, serving

TOKEN = "01234567890123456789"
USER, PASSWORD = "ACME01", "a vendor's pass word"


def sold(token: object = TOKEN, code: object = 0) -> bytes:
    return json.dumps({"result_code": code, "reason": "OK", "result": token}).encode()


def vend_of(units: Fraction | None, kind: VendKind = VendKind.ENERGY) -> Vend:
    return Vend(1, "47000123456", "calin", kind, VendState.CALLING, units)


VEND = vend_of(Fraction(123, 10))


def order(vend: Vend) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2))


def vendor(base_url: object, **changes: object) -> calin.Calin:
    secret = {"base_url": base_url, "user_id": USER, "password": PASSWORD, **changes}
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/calin": secret}
    return calin.make("calin", secrets.__getitem__)


def vended(behaviour: Behaviour, vend: Vend = VEND) -> str | None:
    with serving(behaviour) as server:
        try:
            return vendor(f"{server.url}/api").vend(order(vend)).value
        finally:
            assert server.connections == 1, "a vend is asked for once, whatever comes of it"


def token_of(body: bytes, status: int = 200) -> str:
    return calin._token_of(Answer(status, body))


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = calin.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("calin", 10)
    assert manufacturer.kind is Kind.METER
    assert manufacturer.recovery is RecoveryClass.OPAQUE
    assert not manufacturer.local
    assert not manufacturer.technical_required
    assert manufacturer.timeout_seconds == 20
    assert set(manufacturer.rules) == {VendKind.ENERGY}


def test_energy_is_sold_in_tenths_of_a_kwh():
    device = Device("47000123456", Kind.METER, "calin", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.ENERGY)
    assert (rules.step, rules.units_max) == (Fraction(1, 10), None)


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(answering(sold())) as server:
        assert vendor(f"{server.url}/api/").vend(order(VEND)) == Sold(TOKEN)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/tokennew HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/json;charset=utf-8\r\n" in head + b"\r\n"
    assert json.loads(body) == {
        "user_id": USER,
        "password": PASSWORD,
        "meter_id": "47000123456",
        "token_type": "CreditToken",
        "amount": 12.3,
    }


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
    assert server.requests[0].endswith(b', "amount": ' + written + b"}")


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (vend_of(Fraction(1, 100)), "units_out_of_range"),
        (vend_of(Fraction(1, 3)), "units_out_of_range"),
        (vend_of(Fraction(0)), "not_offered"),
        (vend_of(Fraction(-1)), "not_offered"),
        (vend_of(None), "not_offered"),
        (vend_of(Fraction(1), VendKind.TIME), "not_offered"),
        (vend_of(None, VendKind.UNLOCK), "not_offered"),
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
        {"base_url": "calin"},
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
@pytest.mark.parametrize("code", [0, "0", "00"])
def test_twenty_digits_with_code_0_are_the_token(token: str, code: object):
    assert vended(answering(sold(token, code))) == TOKEN


def test_whatever_else_the_answer_holds_is_ignored():
    body = b'{"result_code":0,"result":"%s","price":12.5,"more":[{}]}' % TOKEN.encode()
    assert vended(answering(body, headers="Content-Type: text/html\r\n")) == TOKEN


# --- a definite no ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (2, "authentication_failed"),
        ("02", "authentication_failed"),
        (3, "meter_not_found"),
        ("3", "meter_not_found"),
    ],
)
def test_a_listed_code_is_a_definite_no(code: object, reason: str):
    with pytest.raises(VendRefused) as refused:
        vended(answering(json.dumps({"result_code": code, "reason": "no"}).encode()))
    assert refused.value.code == reason


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
        sold(code=0.0),
        sold(code=-0.0),
        sold(code=-1),
        sold(code=1),
        sold(code=4),
        sold(code="OK"),
        sold(code=""),
        sold(code=" 0"),
        sold(code="0x0"),
        sold(code="٠"),
        sold(code=[]),
        sold(code={"0": 0}),
        sold(code=10**30),
        sold(token=None),
        sold(token=""),
        sold(token=12345678901234567890),
        sold(token=TOKEN[:-1]),
        sold(token=TOKEN + "0"),
        sold(token="0" * 19 + "x"),
        sold(token="٠" * 20),
        sold(token=[TOKEN]),
        sold() + b"}",
        sold().replace(b"OK", b"\xff"),
        b'{"result_code": NaN}',
        b'{"result_code": 0, "result": ' + b"9" * 5000 + b"}",
        b"[" * 50_000,
        sold().ljust(70_000),
    ],
)
def test_a_success_that_is_not_clear_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(answering(body))


@pytest.mark.parametrize("body", [b"{}", sold(code=1), sold(code=None), sold(token=None)])
def test_an_answer_that_can_be_read_is_no_silence_however_odd(body: bytes):
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
        headers = f"Location: {elsewhere.url}/tokennew\r\n"
        with pytest.raises(VendUncertain):
            vended(answering(b"", status=status, headers=headers))
        assert elsewhere.connections == 0


SILENT = ["429 Slow", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", *SILENT])
@pytest.mark.parametrize("body", [b"", sold(), b'{"result_code": 3}'])
def test_an_error_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body, status=status))
    assert uncertain.value.detail == f"HTTP status {status[:3]}"
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + sold(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        vended(sending(data))


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calin, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        vended(lambda connection: connection.recv(1))


def test_an_uncertain_vend_cannot_be_looked_up():
    with pytest.raises(VendUncertain):
        vendor("http://a.example").look_up(order(VEND))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
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
            "result_code": st.integers() | st.text(max_size=4) | st.floats() | st.none(),
            "result": st.text(alphabet="0123456789 -x", max_size=26) | st.integers(),
        },
    )
)
def test_only_code_0_with_twenty_digits_is_a_token(fields: dict[str, Any]):
    code, result = fields.get("result_code"), fields.get("result")
    digits = result.replace(" ", "").replace("-", "") if isinstance(result, str) else ""
    is_sold = isinstance(code, int) and code == 0
    is_sold = is_sold or (isinstance(code, str) and code.isascii() and set(code) == {"0"})
    if is_sold and len(digits) == 20 and "x" not in digits:
        assert token_of(json.dumps(fields).encode()) == digits
    else:
        with pytest.raises((VendRefused, VendUncertain)):
            token_of(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "body",
    [
        sold(token=TOKEN + "99"),
        sold(code=TOKEN),
        sold(code=int("9" + TOKEN)),
        json.dumps({"result_code": 3, "reason": f"{TOKEN} {PASSWORD}"}).encode(),
        f"{TOKEN} {PASSWORD}".encode(),
    ],
)
def test_no_error_repeats_a_token_or_the_password(body: bytes):
    with pytest.raises(MwangaError) as error:
        vended(answering(body))
    shown: BaseException | None = error.value
    while shown is not None:
        assert TOKEN not in f"{shown!r} {shown}"
        assert PASSWORD not in f"{shown!r} {shown}"
        shown = shown.__cause__


# --- what people enter ------------------------------------------------------------------------


@pytest.mark.parametrize("text", [TOKEN, "0123 4567 8901 2345 6789", "0123-45678901-2345 6789 "])
def test_a_token_may_be_typed_in_groups(text: str):
    assert vendor("http://a.example").token(text) == TOKEN


@pytest.mark.parametrize("text", ["", TOKEN[:-1], TOKEN + "0", "x" * 20, "٠" * 20])
def test_a_text_that_is_no_token_is_refused(text: str):
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").token(text)
    assert error.value.field == "token"


def test_a_meter_has_no_technical_fields():
    assert vendor("http://a.example").seal("47000123456", {}) == ({}, 0)
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal("47000123456", {"secret_key": "x"})
    assert error.value.field == "technical.secret_key"
