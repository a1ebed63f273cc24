"""MicroStar: what is sent and to whom, and what each answer means for the customer's money."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
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
from chalicelib.manufacturers import microstar
from chalicelib.runtime import tls
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
from tests.unit.tls_server import certificates, over_tls

TOKEN, METER = "01234567890123456789", "010123456789"


def sold(token: object = TOKEN, code: object = 1000) -> bytes:
    return json.dumps({"errorCode": code, "token": token}).encode()


def vend_of(units: Fraction | None, kind: VendKind = VendKind.ENERGY) -> Vend:
    return Vend(1, METER, "microstar", kind, VendState.CALLING, units)


VEND = vend_of(Fraction(123, 10))


def order(vend: Vend = VEND) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2))


def secret(url: object, name: str = "ours") -> dict[str, Any]:
    given = certificates(name)
    wanted = ("pkcs12", "pkcs12_password", "ca_certificate")
    return {"base_url": url, **{part: given[part] for part in wanted}}


def vendor(content: Mapping[str, Any]) -> microstar.MicroStar:
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/microstar": content}
    return microstar.make("microstar", secrets.__getitem__)


def vended(behaviour: Behaviour, vend: Vend = VEND) -> str | None:
    """The token, over plain HTTP: what an answer means does not depend on TLS."""
    with serving(behaviour) as server:
        try:
            return vendor(secret(f"{server.url}/TMR")).vend(order(vend)).value
        finally:
            assert server.connections == 1, "a vend is asked for once, whatever comes of it"


def token_of(body: bytes, status: int = 200) -> str:
    return microstar._token_of(Answer(status, body))


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = microstar.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("microstar", 15)
    assert manufacturer.kind is Kind.METER
    assert manufacturer.recovery is RecoveryClass.OPAQUE
    assert not manufacturer.local and not manufacturer.technical_required
    assert set(manufacturer.rules) == {VendKind.ENERGY}


def test_energy_is_sold_in_tenths_of_a_kwh():
    device = Device(METER, Kind.METER, "microstar", 1, date(2026, 1, 1))
    rules = vendor(secret("http://a.example")).rules(device, VendKind.ENERGY)
    assert (rules.step, rules.units_max) == (Fraction(1, 10), None)


# --- who asks, and what -----------------------------------------------------------------------


def test_the_vendor_is_asked_with_our_certificate():
    with serving(over_tls(answering(sold())), reads=False) as server:
        url = f"https://127.0.0.1:{server.port}/TMRDataService"
        assert vendor(secret(url)).vend(order()) == Sold(TOKEN)


def test_with_the_certificate_of_somebody_else_nothing_is_asked():
    with serving(over_tls(answering(sold())), reads=False) as server:
        content = secret(f"https://127.0.0.1:{server.port}", "other")
        content["ca_certificate"] = certificates()["ca_certificate"]
        with pytest.raises(VendorUnreachable):
            vendor(content).vend(order())


def test_a_server_that_nobody_vouches_for_is_not_asked():
    with serving(over_tls(answering(sold())), reads=False) as server:
        content = secret(f"https://127.0.0.1:{server.port}")
        for other in (None, certificates("other")["ca_certificate"]):
            with pytest.raises(VendorUnreachable):
                vendor({**content, "ca_certificate": other}).vend(order())


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(answering(sold())) as server:
        vendor(secret(f"{server.url}/TMR/")).vend(order(vend_of(Fraction(5))))
    head = server.requests[0].partition(b"\r\n")[0].decode()
    method, target, _ = head.split(" ")
    path, _, query = target.partition("?")
    assert (method, path) == ("GET", "/TMR/getStsVendingToken")
    assert parse_qsl(query) == [("deviceNo", METER), ("rechargeAmount", "5")]
    assert b"\r\nAccept: application/json\r\n" in server.requests[0]


def test_the_certificate_is_made_ready_once_for_a_secret(monkeypatch: pytest.MonkeyPatch):
    made = 0
    context = tls.context

    def counted(*given: Any) -> Any:
        nonlocal made
        made += 1
        return context(*given)

    monkeypatch.setattr(tls, "context", counted)
    with serving(answering(sold())) as server:
        contents = {"manufacturers/microstar": secret(server.url)}
        one = microstar.make("microstar", contents.__getitem__)
        one.vend(order())
        one.vend(order())
        assert made == 1
        contents["manufacturers/microstar"] = secret(server.url, "other")
        one.vend(order())
        assert made == 2, "a secret that was changed counts at once"


@pytest.mark.parametrize("units", [None, Fraction(0), Fraction(-1), Fraction(1, 20)])
def test_what_is_no_energy_is_refused_before_anything_is_asked(units: Fraction | None):
    with pytest.raises(VendRefused):
        vendor({}).vend(order(vend_of(units)))


def test_another_kind_is_refused_before_anything_is_asked():
    with pytest.raises(VendRefused):
        vendor({}).vend(order(vend_of(Fraction(7), VendKind.TIME)))


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": ""},
        {"pkcs12": None},
        {"pkcs12": "not base64!"},
        {"pkcs12": base64.b64encode(b"no pkcs12").decode()},
        {"pkcs12_password": ""},
        {"pkcs12_password": "another"},
        {"ca_certificate": "no certificate"},
        {"ca_certificate": 7},
    ],
)
def test_without_whole_credentials_nothing_is_asked(changes: dict[str, object]):
    with serving(answering(sold())) as server:
        with pytest.raises(SecretMissing) as missing:
            vendor({**secret(server.url), **changes}).vend(order())
        assert server.connections == 0
    assert certificates()["pkcs12_password"] not in repr(missing.value)


def test_nobody_at_the_other_end_is_told_as_such():
    with pytest.raises(VendorUnreachable):
        vendor(secret("http://127.0.0.1:9")).vend(order())


# --- what an answer means ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        sold(),
        sold(code="1000"),
        sold("0123 4567 8901 2345 6789"),
        json.dumps({"token": TOKEN}).encode(),
        json.dumps({"token": TOKEN, "errorCode": 1000, "more": [1]}).encode(),
    ],
)
def test_twenty_digits_under_a_success_are_the_token(body: bytes):
    assert vended(answering(body)) == TOKEN


@pytest.mark.parametrize(
    ("code", "told"), [(1001, "parameter"), (1003, "no_result"), ("1003", "no_result")]
)
def test_a_listed_code_is_a_clear_no(code: object, told: str):
    with pytest.raises(VendRefused) as refused:
        vended(answering(json.dumps({"errorCode": code}).encode()))
    assert refused.value.code == told


@pytest.mark.parametrize("code", [0, 999, 1002, 1004, 1005, *range(2001, 2016), -1000])
def test_any_other_code_is_uncertain_whatever_it_says(code: int):
    for token in (None, TOKEN):
        with pytest.raises(VendUncertain):
            vended(answering(sold(token, code)))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>OK</html>",
        b"null",
        b"[]",
        f'"{TOKEN}"'.encode(),
        b"{}",
        sold(None),
        sold(TOKEN[1:]),
        sold(f"{TOKEN}0"),
        sold(12345678901234567890),
        sold("٠" * 20),
        sold([TOKEN]),
        sold(code=None),
        sold(code=True),
        sold(code="1000.0"),
        sold(code="١٠٠٠"),
        sold(code=1000.0),
        sold(code=1003),
        sold() + b"}",
        sold() + b"\xff",
        b"[" * 50_000,
        sold().ljust(70_000),
    ],
)
def test_a_success_that_is_not_clear_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(answering(body))


SILENT = ["408 -", "429 Slow", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 No", "404 No", *SILENT])
@pytest.mark.parametrize("body", [b"", sold(), b'{"errorCode": 1003}'])
def test_an_error_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body, status=status))
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


def test_a_redirect_is_not_followed_and_uncertain():
    with serving(answering(sold())) as elsewhere:
        moved = answering(b"", status="302 Found", headers=f"Location: {elsewhere.url}/\r\n")
        with pytest.raises(VendUncertain):
            vended(moved)
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + sold(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        vended(sending(data))


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(microstar, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        vended(lambda connection: connection.recv(1))


def test_an_uncertain_vend_cannot_be_looked_up():
    with pytest.raises(VendUncertain):
        vendor({}).look_up(order())


@given(
    st.sampled_from([200, 201, 204, 301, 400, 404, 429, 500]),
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {}, optional={"errorCode": st.sampled_from([1000, 1001, 1005]) | JSON, "token": JSON}
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_answer_is_a_token_a_no_or_uncertain(status: int, body: bytes):
    try:
        token = token_of(body, status)
    except (VendRefused, VendUncertain):
        return
    assert token.isdigit() and len(token) == 20 and 200 <= status < 300


@pytest.mark.parametrize(
    "body", [sold(TOKEN, 1005), sold(TOKEN + "0"), f"x {TOKEN}".encode(), sold(TOKEN, 1001)]
)
def test_no_error_repeats_a_token(body: bytes):
    with pytest.raises(MwangaError) as error:
        vended(answering(body))
    assert TOKEN not in f"{error.value!r} {error.value}"


# --- what people enter ------------------------------------------------------------------------


def test_a_token_may_be_typed_in_groups_and_nothing_else_is_one():
    assert vendor({}).token("0123 4567 8901 2345 6789") == TOKEN
    with pytest.raises(FieldError):
        vendor({}).token("1234")


def test_a_meter_has_no_technical_fields():
    assert vendor({}).seal(METER, {}) == ({}, 0)
    with pytest.raises(FieldError):
        vendor({}).seal(METER, {"sgc": "123456"})


# --- a question that sells nothing ------------------------------------------------------------


def test_a_check_asks_what_is_known_of_a_meter():
    with serving(answering(b'{"errorCode": 1000}')) as server:
        vendor(secret(f"{server.url}/TMR")).check(METER)
        target = server.requests[0].partition(b" HTTP")[0].decode()
    assert target == f"GET /TMR/deviceInfo?deviceNo={METER}"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"errorCode": 1003}', VendRefused),
        (b'{"errorCode": 1005}', VendUncertain),
        (b'{"errorCode": "x"}', VendUncertain),
        (b"<html>", VendUncertain),
    ],
)
def test_a_check_that_is_not_answered_well_says_so(body: bytes, error: type[MwangaError]):
    with serving(answering(body)) as server, pytest.raises(error):
        vendor(secret(server.url)).check(METER)
