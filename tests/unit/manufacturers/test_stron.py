"""Stron, its older API: the log-in, what is sent, and what each answer means."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
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
from chalicelib.manufacturers import stron
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.sessions import SessionRefused
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
from tests.unit.scripted_server import Behaviour, Server, answering, sending, serving

TOKEN, METER, SESSION = "01234567890123456789", "58000123456", "5e551072-a1b2"
COMPANY, USER, PASSWORD = "ACME & Sons", "acme 01", "a vendor's pass&word=+é"
EXPIRED = answering(b"")


def logged_in(session: object = SESSION) -> Behaviour:
    return answering(json.dumps(session).encode())


def sold(text: str = f"{TOKEN},12.3,{METER}") -> Behaviour:
    return answering(json.dumps(text).encode())


def vend_of(units: Fraction | None, price: int = 120, kind: VendKind = VendKind.ENERGY) -> Vend:
    cost_minor = (units or 0) * price * 100
    return Vend(1, METER, "stron", kind, VendState.CALLING, units, cost_minor=Fraction(cost_minor))


VEND = vend_of(Fraction(123, 10))


def order(vend: Vend = VEND, decimals: int = 2) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", decimals))


def vendor(url: object, **changes: object) -> stron.Stron:
    secret = {
        "base_url": url,
        "company_name": COMPANY,
        "user_name": USER,
        "password": PASSWORD,
        **changes,
    }
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/stron": secret}
    return stron.make("stron", secrets.__getitem__)


@dataclass
class InTurn:
    """Each connection is treated as the next behaviour says; there may be no more than these."""

    behaviours: list[Behaviour]
    used: int = field(default=0)

    def __call__(self, connection: socket.socket) -> None:
        self.used += 1
        self.behaviours[self.used - 1](connection)


def bodies(server: Server) -> list[Any]:
    """What was sent, each amount exactly as written."""
    return [
        json.loads(request.partition(b"\r\n\r\n")[2], parse_float=Decimal)
        for request in server.requests
    ]


def vended(*behaviours: Behaviour, vend: Vend = VEND) -> str | None:
    """The token, where the vendor behaves like that from the log-in on."""
    script = InTurn(list(behaviours))
    with serving(script) as server:
        try:
            return vendor(server.url).vend(order(vend)).value
        finally:
            assert server.connections == len(behaviours)


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = stron.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("stron", 18)
    assert manufacturer.kind is Kind.METER
    assert manufacturer.recovery is RecoveryClass.OPAQUE
    assert not manufacturer.local and not manufacturer.technical_required
    assert manufacturer.timeout_seconds == 15 + 8 + 15
    assert set(manufacturer.rules) == {VendKind.ENERGY}


def test_energy_is_sold_in_tenths_of_a_kwh():
    device = Device(METER, Kind.METER, "stron", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.ENERGY)
    assert (rules.step, rules.units_max, rules.money_step_minor) == (Fraction(1, 10), None, None)


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(InTurn([logged_in(), sold()])) as server:
        assert vendor(f"{server.url}/api/").vend(order()) == Sold(TOKEN)
        log_in, vend = bodies(server)
        heads = [request.partition(b" HTTP")[0] for request in server.requests]
    assert heads == [b"POST /api/login/", b"POST /api/vending/"]
    assert log_in == {"Username": USER, "Password": PASSWORD, "Companyname": COMPANY}
    assert vend == {
        "CustomerId": "p-1",
        "MeterId": METER,
        "Price": "120",
        "Rate": "1",
        "AmountTmp": "KES",
        "Company": COMPANY,
        "Employee": USER,
        "ApiToken": SESSION,
        "Amount": 1476,
    }


@given(
    st.integers(1, 10**6).map(lambda tenths: Fraction(tenths, 10)),
    st.integers(1, 10**6).map(lambda hundredths: Fraction(hundredths, 100)),
    st.sampled_from([0, 2]),
)
def test_the_money_by_the_price_is_exactly_the_energy(
    units: Fraction, price_minor: Fraction, decimals: int
):
    vend = replace(VEND, units=units, cost_minor=units * price_minor)
    price, amount = stron._money(order(vend, decimals))
    assert Fraction(amount) / Fraction(price) == units
    assert Fraction(price) == price_minor / 10**decimals


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (vend_of(Fraction(1, 100)), "units_out_of_range"),
        (vend_of(Fraction(0)), "not_offered"),
        (vend_of(None), "not_offered"),
        (vend_of(Fraction(1), kind=VendKind.TIME), "not_offered"),
        (vend_of(None, kind=VendKind.CLEAR_CREDIT), "not_offered"),
        (vend_of(Fraction(5), price=0), "no_price"),
        (replace(VEND, units=Fraction(3), cost_minor=Fraction(1000)), "price_out_of_range"),
    ],
)
def test_what_the_vendor_does_not_sell_is_not_asked_for(vend: Vend, code: str):
    with pytest.raises(VendRefused) as refused:
        vended(vend=vend)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "changes", [{"base_url": 7}, {"company_name": ""}, {"user_name": None}, {"password": ""}]
)
def test_without_whole_credentials_nothing_is_asked(changes: dict[str, object]):
    with serving(InTurn([])) as server:
        with pytest.raises(SecretMissing):
            vendor(
                changes.get("base_url", server.url),
                **{name: value for name, value in changes.items() if name != "base_url"},
            ).vend(order())
        assert server.connections == 0


# --- the session ------------------------------------------------------------------------------


def test_a_session_is_kept_and_an_empty_answer_renews_it_once():
    script = [logged_in(), sold(), EXPIRED, logged_in("another-session"), sold()]
    with serving(InTurn(script)) as server:
        made = vendor(server.url)
        assert made.vend(order()) == made.vend(order()) == Sold(TOKEN)
        sessions = [body.get("ApiToken") for body in bodies(server)]
    assert sessions == [None, SESSION, SESSION, None, "another-session"]


def test_a_new_session_that_is_refused_too_is_a_clear_no():
    with pytest.raises(VendRefused) as refused:
        vended(logged_in(), EXPIRED)
    assert refused.value.code == "authentication_failed"


@pytest.mark.parametrize(
    "log_in",
    [
        answering(b'{"Message": "wrong password"}'),
        logged_in("false"),
        logged_in(False),
        logged_in(""),
        logged_in("two words here"),
        logged_in("x" * 5000),
        logged_in(None),
        answering(b""),
        answering(b"<html>"),
        answering(b"", status="500 Oops"),
        sending(b""),
    ],
)
def test_a_log_in_that_fails_has_asked_for_no_token(log_in: Behaviour):
    with pytest.raises(VendorUnreachable):
        vended(log_in)


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 No"])
def test_a_log_in_that_is_refused_is_a_clear_no(status: str):
    with pytest.raises(VendRefused) as refused:
        vended(answering(b"", status=status))
    assert refused.value.code == "authentication_failed"


def test_nobody_at_the_other_end_is_told_as_such():
    with pytest.raises(VendorUnreachable):
        vendor("http://127.0.0.1:9").vend(order())


# --- what an answer means ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        f'"{TOKEN},12.3,x"',
        f'"{TOKEN}"',
        TOKEN,
        f"{TOKEN},12.3\r\n",
        '"0123 4567 8901 2345 6789,8.33"',
    ],
)
def test_twenty_digits_before_the_first_comma_are_the_token(body: str):
    assert vended(logged_in(), answering(body.encode())) == TOKEN


@pytest.mark.parametrize(
    "body",
    [
        b'""',
        b'"false"',
        b"false",
        b"null",
        b'{"Message": "meter not found"}',
        b"<html>OK</html>",
        b"[]",
        f'["{TOKEN}"]'.encode(),
        f'"{TOKEN}0"'.encode(),
        f'"{TOKEN[1:]},1"'.encode(),
        f'",{TOKEN}"'.encode(),
        f'"{TOKEN}'.encode(),
        f'x"{TOKEN}"'.encode(),
        ("٠" * 20).encode(),
        f'"{TOKEN},'.encode() + b'\xff"',
        b" ",
        f'"{TOKEN}"'.encode().ljust(70_000),
    ],
)
def test_what_is_no_clear_token_is_uncertain_and_never_a_token(body: bytes):
    with pytest.raises(VendUncertain):
        vended(logged_in(), answering(body))


SILENT = ["408 -", "429 Slow", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", *SILENT])
@pytest.mark.parametrize("body", [b"", TOKEN.encode()])
def test_an_error_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(logged_in(), answering(body, status=status))
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


def test_a_redirect_is_not_followed_and_uncertain():
    with serving(sold()) as elsewhere:
        moved = answering(b"", status="307 -", headers=f"Location: {elsewhere.url}/\r\n")
        with pytest.raises(VendUncertain):
            vended(logged_in(), moved)
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + TOKEN.encode(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        vended(logged_in(), sending(data))


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stron, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        vended(logged_in(), lambda connection: connection.recv(1))


def test_an_uncertain_vend_cannot_be_looked_up():
    with pytest.raises(VendUncertain):
        vendor("http://a.example").look_up(order())


@given(
    st.sampled_from([200, 201, 301, 400, 401, 404, 429, 500]),
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.text(alphabet='0123456789 -,"x', max_size=30).map(str.encode),
)
def test_any_answer_is_a_token_an_expired_session_or_uncertain(status: int, body: bytes):
    try:
        token = stron._token_of(Answer(status, body))
    except (SessionRefused, VendUncertain):
        return
    assert token.isdigit() and len(token) == 20 and status in (200, 201)


@pytest.mark.parametrize(
    "behaviours",
    [
        (logged_in(), answering(f'"{TOKEN}0"'.encode())),
        (logged_in(), answering(f'{{"Message": "{TOKEN} {SESSION}"}}'.encode())),
        (answering(f'{{"Message": "{PASSWORD}"}}'.encode()),),
        (answering(f"{USER} {PASSWORD}".encode(), status="401 No"),),
    ],
)
def test_no_error_repeats_a_token_or_the_credentials(behaviours: tuple[Behaviour, ...]):
    with pytest.raises(MwangaError) as error:
        vended(*behaviours)
    shown: BaseException | None = error.value
    while shown is not None:
        for hidden in (TOKEN, SESSION, PASSWORD, USER):
            assert hidden not in f"{shown!r} {shown}"
        shown = shown.__cause__


# --- what people enter ------------------------------------------------------------------------


def test_a_token_may_be_typed_in_groups_and_nothing_else_is_one():
    assert vendor("http://a.example").token("0123 4567 8901 2345 6789") == TOKEN
    with pytest.raises(FieldError):
        vendor("http://a.example").token("1234")


def test_a_meter_has_no_technical_fields():
    assert vendor("http://a.example").seal(METER, {}) == ({}, 0)
    with pytest.raises(FieldError):
        vendor("http://a.example").seal(METER, {"price": "120"})
