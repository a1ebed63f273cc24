"""GomeLong: what is sent, and what each answer means for the customer's money."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
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
from chalicelib.manufacturers import gomelong
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


def sold(token: object = TOKEN, code: object = 1) -> bytes:
    answer = {"ReturnCode": code, "ReturnMessage": "", "Data": {"Token": token}}
    return json.dumps(answer).encode()


def failed(message: object = "meter not found", code: object = 0, data: object = None) -> bytes:
    return json.dumps({"ReturnCode": code, "ReturnMessage": message, "Data": data}).encode()


def vend_of(units: Fraction | None, kind: VendKind = VendKind.ENERGY) -> Vend:
    return Vend(1, "47000123456", "gomelong", kind, VendState.CALLING, units)


VEND = vend_of(Fraction(123, 10))


def order(vend: Vend) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2))


def vendor(base_url: object, **changes: object) -> gomelong.GomeLong:
    secret = {"base_url": base_url, "user_id": USER, "password": PASSWORD, **changes}
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/gomelong": secret}
    return gomelong.make("gomelong", secrets.__getitem__)


def vended(behaviour: Behaviour, vend: Vend = VEND) -> str | None:
    with serving(behaviour) as server:
        try:
            return vendor(f"{server.url}/api").vend(order(vend)).value
        finally:
            assert server.connections == 1, "a vend is asked for once, whatever comes of it"


def token_of(body: bytes) -> str:
    return gomelong._token_of(Answer(200, body))


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = gomelong.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("gomelong", 13)
    assert manufacturer.kind is Kind.METER
    assert manufacturer.recovery is RecoveryClass.OPAQUE
    assert not manufacturer.local
    assert not manufacturer.technical_required
    assert manufacturer.timeout_seconds == 20
    assert set(manufacturer.rules) == {VendKind.ENERGY}


def test_energy_is_sold_in_tenths_of_a_kwh():
    device = Device("47000123456", Kind.METER, "gomelong", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.ENERGY)
    assert (rules.step, rules.units_max) == (Fraction(1, 10), None)


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(answering(sold())) as server:
        assert vendor(f"{server.url}/api/").vend(order(VEND)) == Sold(TOKEN)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/EKPower HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\n" in head + b"\r\n"
    assert b"\r\nAccept: application/json\r\n" in head + b"\r\n"
    assert parse_qsl(body.decode("ascii"), strict_parsing=True) == [
        ("U", USER),
        ("K", PASSWORD),
        ("meter", "47000123456"),
        ("amt", "12.3"),
    ]


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
    assert server.requests[0].endswith(b"&amt=" + written)


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
        {"base_url": "gomelong"},
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
@pytest.mark.parametrize("code", [1, "1", 200, -1])
def test_twenty_digits_with_any_code_but_0_are_the_token(token: str, code: object):
    assert vended(answering(sold(token, code))) == TOKEN


def test_whatever_else_the_answer_holds_is_ignored():
    body = b'{"ReturnCode":1,"Data":{"Token":"%s","Price":12.5},"more":[{}]}' % TOKEN.encode()
    assert vended(answering(body, headers="Content-Type: text/html\r\n")) == TOKEN


# --- a definite no ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, "0", "00", "-0"])
@pytest.mark.parametrize("data", [None, {}, "", []])
def test_the_code_of_failure_with_its_reason_is_a_definite_no(code: object, data: object):
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
        sold(code=1.0),
        sold(code="OK"),
        sold(code=""),
        sold(code=" 1"),
        sold(code="0x1"),
        sold(code="١"),
        sold(code=[]),
        sold(code=10**30),
        sold(token=None),
        sold(token=""),
        sold(token=12345678901234567890),
        sold(token=TOKEN[:-1]),
        sold(token=TOKEN + "0"),
        sold(token="0" * 19 + "x"),
        sold(token="٠" * 20),
        sold(token=[TOKEN]),
        failed(code=1),
        failed(code=1, data=TOKEN),
        failed(code=1, data=[{"Token": TOKEN}]),
        sold() + b"}",
        sold().replace(b'""', b'"\xff"'),
        b'{"ReturnCode": NaN}',
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
        sold(code=0),
        failed(data={"Token": TOKEN}),
        failed(data=TOKEN),
        failed(message=""),
        failed(message=" "),
        failed(message=None),
        failed(message=["meter not found"]),
        b'{"ReturnCode": 0}',
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
        headers = f"Location: {elsewhere.url}/EKPower\r\n"
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
    monkeypatch.setattr(gomelong, "SECONDS_MAX", 0.2)
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
            "ReturnCode": st.integers(-2, 2) | st.text(max_size=4) | st.floats() | st.none(),
            "ReturnMessage": JSON,
            "Data": JSON
            | st.fixed_dictionaries(
                {"Token": st.text(alphabet="0123456789 -x", max_size=26) | st.just(TOKEN)}
            ),
        },
    )
)
def test_only_a_code_that_is_not_0_with_twenty_digits_is_a_token(fields: dict[str, Any]):
    code, data = fields.get("ReturnCode"), fields.get("Data")
    result = data.get("Token") if isinstance(data, dict) else None
    digits = result.replace(" ", "").replace("-", "") if isinstance(result, str) else ""
    said = isinstance(code, int) or (
        isinstance(code, str) and code.isascii() and code.removeprefix("-").isdigit()
    )
    if said and int(code or 0) != 0 and len(digits) == 20 and digits.isdigit():
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
    device = Device("47000123456", Kind.METER, "gomelong", 1, date(2026, 1, 1))
    assert vendor("http://a.example").reveal(device) == {}


# --- tariffs ----------------------------------------------------------------------------------


def tariffs(*rows: object) -> Behaviour:
    answer = {"ReturnCode": 1, "ReturnMessage": "", "Data": list(rows)}
    return answering(json.dumps(answer).encode())


def tariff(number: object = 7, name: object = "Home", price: object = 120) -> dict[str, object]:
    return {"FID": number, "Name": name, "Price": price, "VAT": 0}


KEPT = answering(b'{"ReturnCode": 1, "ReturnMessage": "", "Data": {"FID": 8}}')


@dataclass
class InTurn:
    """Each connection is treated as the next behaviour says; there may be no more than these."""

    behaviours: list[Behaviour]
    used: int = field(default=0)

    def __call__(self, connection: socket.socket) -> None:
        self.used += 1
        self.behaviours[self.used - 1](connection)


def kept(
    prices: dict[str, str], *behaviours: Behaviour
) -> tuple[dict[str, str], list[tuple[str, dict[str, str]]]]:
    """What became of each tariff, and what was asked."""
    with serving(InTurn(list(behaviours))) as server:
        outcomes = dict(vendor(server.url).keep_tariffs(prices))
    asked = []
    for request in server.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        form = dict(parse_qsl(body.decode("ascii"), strict_parsing=True))
        assert (form.pop("U"), form.pop("K")) == (USER, PASSWORD)
        asked.append((head.split(b" ")[1].decode(), form))
    return outcomes, asked


def test_a_tariff_that_is_not_there_is_added_and_one_with_another_price_is_set():
    prices = {"Home": "130", "Mill": "99.5", "Shop": "80"}
    there = tariffs(tariff(), tariff(9, "Shop", "80.00"), tariff(10, "Other", 1))
    outcomes, asked = kept(prices, there, KEPT, KEPT)
    assert outcomes == {"Home": "changed", "Mill": "added", "Shop": "same"}
    electricity = {"type": "e", "VAT": "0"}
    assert asked == [
        ("/UTSearch", {}),
        ("/UTUpdate", {"FID": "7", **electricity, "Name": "Home", "Price": "130"}),
        ("/UTAdd", {**electricity, "Name": "Mill", "Price": "99.5"}),
    ]


def test_to_tell_the_same_again_changes_nothing():
    assert kept({"Home": "120"}, tariffs(tariff(price="120.000")))[0] == {"Home": "same"}


@pytest.mark.parametrize(
    "there",
    [
        tariffs(tariff(), tariff(8)),
        tariffs(tariff(name=None)),
        tariffs(tariff(number=None)),
        tariffs(tariff(price="much")),
        tariffs(tariff(price=None)),
        tariffs("Home"),
        answering(b'{"ReturnCode": 1, "Data": {}}'),
        answering(b"<html>"),
        answering(b"", status="500 Oops"),
    ],
)
def test_a_list_that_is_not_understood_is_not_added_to(there: Behaviour):
    with pytest.raises(VendUncertain):
        kept({"Home": "130"}, there)


def test_a_tariff_that_is_refused_is_told_as_such():
    with pytest.raises(VendRefused):
        kept({"Home": "130"}, tariffs(), answering(failed("price too high")))


def test_a_check_asks_for_the_tariffs():
    with serving(tariffs(tariff())) as server:
        vendor(server.url).check("")
        assert server.requests[0].startswith(b"POST /UTSearch HTTP/1.1\r\n")
    with serving(answering(failed("wrong key"))) as server, pytest.raises(VendRefused):
        vendor(server.url).check("")
