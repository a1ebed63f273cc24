"""Stron, its newer API: what is sent, and what each answer means for the customer's money."""

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
from chalicelib.manufacturers import stron_v3
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
COMPANY, USER, PASSWORD = "Acme Ltd", "acme 01", "a vendor's pass\"word é"
METER = "47000123456"


def sale(token: object = TOKEN, **changes: object) -> dict[str, object]:
    return {
        "Token": token,
        "Total_unit": "12.3",
        "Unit": "kWh",
        "Total_paid": "1476",
        "Price": "120",
        "Meter_id": METER,
        "Gen_time": "2026-03-10 09:00:00",
        **changes,
    }


def sold(token: object = TOKEN, **changes: object) -> bytes:
    return json.dumps([sale(token, **changes)]).encode()


def vend_of(units: Fraction | None, kind: VendKind = VendKind.ENERGY) -> Vend:
    return Vend(1, METER, "stron_v3", kind, VendState.CALLING, units)


VEND = vend_of(Fraction(123, 10))


def order(vend: Vend) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2))


def vendor(base_url: object, **changes: object) -> stron_v3.StronV3:
    secret = {
        "base_url": base_url,
        "company_name": COMPANY,
        "user_name": USER,
        "password": PASSWORD,
        **changes,
    }
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/stron_v3": secret}
    return stron_v3.make("stron_v3", secrets.__getitem__)


def vended(behaviour: Behaviour, vend: Vend = VEND) -> str | None:
    with serving(behaviour) as server:
        try:
            return vendor(f"{server.url}/api").vend(order(vend)).value
        finally:
            assert server.connections == 1, "a vend is asked for once, whatever comes of it"


def token_of(body: bytes) -> str:
    return stron_v3._token_of(Answer(200, body), METER, Fraction(123, 10))


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = stron_v3.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("stron_v3", 14)
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
    device = Device(METER, Kind.METER, "stron_v3", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.ENERGY)
    assert (rules.step, rules.units_max) == (Fraction(1, 10), None)


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(answering(sold())) as server:
        assert vendor(f"{server.url}/api/").vend(order(VEND)) == Sold(TOKEN)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/VendingMeter HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in head + b"\r\n"
    assert json.loads(body) == {
        "CompanyName": COMPANY,
        "UserName": USER,
        "PassWord": PASSWORD,
        "MeterID": METER,
        "is_vend_by_unit": True,
        "Amount": 12.3,
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
    with serving(answering(sold(Total_unit=written.decode()))) as server:
        vendor(server.url).vend(order(vend_of(units)))
    assert server.requests[0].endswith(b', "Amount": ' + written + b"}")


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (vend_of(Fraction(1, 100)), "units_out_of_range"),
        (vend_of(Fraction(0)), "not_offered"),
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
        {"base_url": "stron"},
        {"company_name": None},
        {"user_name": ""},
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
def test_the_twenty_digits_of_the_one_sale_are_the_token(token: str):
    assert vended(answering(sold(token))) == TOKEN


@pytest.mark.parametrize(
    "changes", [{"Total_unit": 12.3}, {"Total_unit": "12.300"}, {"Total_units": "12.3"}]
)
def test_the_energy_of_the_sale_may_be_written_in_several_ways(changes: dict[str, object]):
    assert vended(answering(sold(**changes))) == TOKEN


def test_whatever_else_the_answer_holds_is_ignored():
    body = b'[{"Token":"%s","VAT":0.5,"more":[{}]}]' % TOKEN.encode()
    assert vended(answering(body, headers="Content-Type: text/html\r\n")) == TOKEN


# --- a definite no ----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"[]", b" [ ]\n"])
def test_a_list_without_a_sale_is_a_definite_no(body: bytes):
    with pytest.raises(VendRefused) as refused:
        vended(answering(body))
    assert refused.value.code == "refused_by_vendor"


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
        b"{}",
        f'"{TOKEN}"'.encode(),
        f'["{TOKEN}"]'.encode(),
        b"[null]",
        b"[[]]",
        b"[{}]",
        json.dumps(sale()).encode(),
        json.dumps([sale(), sale("9" * 20)]).encode(),
        json.dumps([sale(), sale()]).encode(),
        json.dumps({"ResultCode": 0, "Result": [sale()], "Reason": "OK"}).encode(),
        sold(Meter_id="47000123457"),
        sold(Meter_id=""),
        sold(Meter_id=None),
        sold(Meter_id=[METER]),
        sold(Total_unit="12.4"),
        sold(Total_unit="0.0"),
        sold(Total_unit=""),
        sold(Total_unit=None),
        sold(Total_unit=True),
        sold(Total_unit="1e1"),
        sold(Total_unit=["12.3"]),
        sold(Total_units="12.4"),
        sold(token=None),
        sold(token=""),
        sold(token=12345678901234567890),
        sold(token=TOKEN[:-1]),
        sold(token=TOKEN + "0"),
        sold(token="0" * 19 + "x"),
        sold(token="٠" * 20),
        sold(token=[TOKEN]),
        sold() + b"]",
        sold().replace(b"kWh", b"\xff"),
        b"[NaN]",
        b"[" * 50_000,
        sold().ljust(70_000),
    ],
)
def test_a_success_that_is_not_clear_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(answering(body))


@pytest.mark.parametrize("body", [b"[{}]", b"[null]", sold(Meter_id="1"), sold(token=None)])
def test_an_answer_that_can_be_read_is_no_silence_however_odd(body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body))
    assert not isinstance(uncertain.value, VendorSilent)


@pytest.mark.parametrize("body", [b"", b"<html>OK</html>", b"{}"])
def test_an_answer_that_cannot_be_read_is_a_broken_servers(body: bytes):
    with pytest.raises(VendorSilent):
        vended(answering(body))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_is_not_followed_and_uncertain(status: str):
    with serving(answering(sold())) as elsewhere:
        headers = f"Location: {elsewhere.url}/VendingMeter\r\n"
        with pytest.raises(VendUncertain):
            vended(answering(b"", status=status, headers=headers))
        assert elsewhere.connections == 0


SILENT = ["429 Slow", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", *SILENT])
@pytest.mark.parametrize("body", [b"", b"[]", sold()])
def test_an_error_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body, status=status))
    assert uncertain.value.detail == f"HTTP status {status[:3]}"
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + sold(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        vended(sending(data))


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stron_v3, "SECONDS_MAX", 0.2)
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
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "Token": st.text(alphabet="0123456789 -x", max_size=26) | st.just(TOKEN) | JSON,
                "Meter_id": st.sampled_from([METER, "1"]),
                "Total_unit": st.sampled_from(["12.3", "12.30", "1.23"]),
            },
        ),
        max_size=2,
    )
)
def test_only_one_sale_for_this_meter_and_energy_is_a_token(sales: list[dict[str, Any]]):
    fields = sales[0] if len(sales) == 1 else {}
    text = fields.get("Token")
    digits = "".join(text.replace("-", "").split()) if isinstance(text, str) else ""
    fits = fields.get("Meter_id", METER) == METER and fields.get("Total_unit") != "1.23"
    if fits and len(digits) == 20 and digits.isdigit() and digits.isascii():
        assert token_of(json.dumps(sales).encode()) == digits
    else:
        with pytest.raises((VendRefused, VendUncertain)):
            token_of(json.dumps(sales).encode())


@pytest.mark.parametrize(
    "body",
    [
        sold(token=TOKEN + "99"),
        sold(Meter_id=TOKEN),
        sold(Total_unit=TOKEN),
        json.dumps({"Message": f"{TOKEN} of {USER} with {PASSWORD}"}).encode(),
        f"{TOKEN} {PASSWORD}".encode(),
    ],
)
def test_no_error_repeats_a_token_or_the_credentials(body: bytes):
    with pytest.raises(MwangaError) as error:
        vended(answering(body))
    shown: BaseException | None = error.value
    while shown is not None:
        for hidden in (TOKEN, USER, PASSWORD):
            assert hidden not in f"{shown!r} {shown}"
        shown = shown.__cause__


# --- maintenance tokens -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "path"),
    [(VendKind.CLEAR_CREDIT, "/ClearCredit"), (VendKind.CLEAR_TAMPER, "/ClearTamper")],
)
def test_a_maintenance_token_is_asked_for_the_meter_alone(kind: VendKind, path: str):
    with serving(answering(json.dumps(TOKEN).encode())) as server:
        assert vendor(server.url).vend(order(vend_of(None, kind))) == Sold(TOKEN)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(f"POST {path} HTTP/1.1\r\n".encode())
    sent = json.loads(body)
    assert (sent.pop("METER_ID"), sent.pop("CustomerId")) == (METER, "")
    assert set(sent) == {"CompanyName", "UserName", "PassWord"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"false", b'"false"', TOKEN.encode(), b'"1234"', b'["' + b'"]']
)
def test_a_maintenance_answer_that_is_not_clear_is_uncertain(body: bytes):
    with serving(answering(body)) as server, pytest.raises(VendUncertain):
        vendor(server.url).vend(order(vend_of(None, VendKind.CLEAR_CREDIT)))


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
    assert vendor("http://a.example").seal(METER, {}) == ({}, 0)
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal(METER, {"secret_key": "x"})
    assert error.value.field == "technical.secret_key"


def test_what_was_entered_for_a_meter_is_told_as_it_is():
    device = Device(METER, Kind.METER, "stron_v3", 1, date(2026, 1, 1))
    assert vendor("http://a.example").reveal(device) == {}
