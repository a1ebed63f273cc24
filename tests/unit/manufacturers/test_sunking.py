"""Sun King: the log-in, what is sent, and what each answer means for the customer's money."""

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
from chalicelib.manufacturers import sessions, sunking
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

TOKEN, BEARER = "012345678901", "eyJhbGciOi.a_b-c~d+/=="
CLIENT, SECRET = "acme 01", "a client's secret&more=+é"
UNIT = "SK12345678"
UNAUTHORISED = answering(b'{"message": "Unauthorized"}', status="401 Unauthorized")


def logged_in(bearer: object = BEARER, expires_in: object = 300) -> Behaviour:
    fields = {"access_token": bearer, "expires_in": expires_in, "token_type": "Bearer"}
    return answering(json.dumps(fields).encode())


def sold(token: object = TOKEN, **more: object) -> bytes:
    return json.dumps({"token": token, **more}).encode()


def not_found(message: object = "Device not found") -> bytes:
    return json.dumps({"message": message, "details": "…"}).encode()


def vend_of(units: Fraction | None, kind: VendKind = VendKind.TIME) -> Vend:
    return Vend(1, UNIT, "sunking", kind, VendState.CALLING, units)


VEND = vend_of(Fraction(30))
UNLOCK = vend_of(None, VendKind.UNLOCK)


def order(vend: Vend = VEND) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2))


def vendor(url: object, **changes: object) -> sunking.SunKing:
    secret = {
        "base_url": f"{url}/v2",
        "auth_url": f"{url}/auth/token",
        "client_id": CLIENT,
        "client_secret": SECRET,
        **changes,
    }
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/sunking": secret}
    return sunking.make("sunking", secrets.__getitem__)


@dataclass
class InTurn:
    """Each connection is treated as the next behaviour says; there may be no more than these."""

    behaviours: list[Behaviour]
    used: int = field(default=0)

    def __call__(self, connection: socket.socket) -> None:
        self.used += 1
        self.behaviours[self.used - 1](connection)


def paths(server: Server) -> list[str]:
    return [request.split(b" ")[1].decode() for request in server.requests]


def vended(*behaviours: Behaviour, vend: Vend = VEND) -> str | None:
    """The token, where the vendor behaves like that from the log-in on."""
    script = InTurn(list(behaviours))
    with serving(script) as server:
        try:
            return vendor(server.url).vend(order(vend)).value
        finally:
            assert server.connections == len(behaviours)


def token_of(body: bytes, status: int = 200) -> str:
    return sunking._token_of(Answer(status, body))


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = sunking.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("sunking", 21)
    assert manufacturer.kind is Kind.SHS
    assert manufacturer.recovery is RecoveryClass.OPAQUE
    assert not manufacturer.local
    assert not manufacturer.absolute
    assert not manufacturer.technical_required
    assert set(manufacturer.rules) == {VendKind.TIME, VendKind.UNLOCK}


def test_the_time_out_covers_a_refused_session_a_log_in_and_the_call():
    (manufacturer,) = sunking.MANUFACTURERS
    assert manufacturer.timeout_seconds == 15 + 8 + 15


def test_time_is_sold_in_whole_days():
    device = Device(UNIT, Kind.SHS, "sunking", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.TIME)
    assert (rules.step, rules.units_max) == (Fraction(1), None)


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(InTurn([logged_in(), answering(sold())])) as server:
        assert vendor(server.url).vend(order()) == Sold(TOKEN)
    log_in, ask = server.requests
    head, _, body = log_in.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /auth/token HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\n" in head + b"\r\n"
    assert parse_qsl(body.decode("ascii"), strict_parsing=True) == [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("scope", "roles"),
    ]
    head, _, body = ask.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/token HTTP/1.1\r\n")
    assert f"\r\nAuthorization: Bearer {BEARER}\r\n".encode() in head + b"\r\n"
    assert b"\r\nContent-Type: application/json\r\n" in head + b"\r\n"
    assert json.loads(body) == {
        "device": UNIT,
        "command": "add_credit",
        "payload": 30,
        "time_unit": "day",
    }


def test_a_unit_that_is_paid_off_is_unlocked():
    with serving(InTurn([logged_in(), answering(sold())])) as server:
        assert vendor(server.url).vend(order(UNLOCK)) == Sold(TOKEN)
    body = server.requests[1].partition(b"\r\n\r\n")[2]
    assert json.loads(body) == {"device": UNIT, "command": "unlock"}


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (vend_of(Fraction(1, 2)), "units_out_of_range"),
        (vend_of(Fraction(0)), "not_offered"),
        (vend_of(Fraction(-1)), "not_offered"),
        (vend_of(None), "not_offered"),
        (vend_of(Fraction(1), VendKind.ENERGY), "not_offered"),
    ],
)
def test_what_the_vendor_does_not_sell_is_not_asked_for(vend: Vend, code: str):
    with pytest.raises(VendRefused) as refused:
        vended(vend=vend)
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["base_url", "auth_url", "client_id", "client_secret"])
@pytest.mark.parametrize("value", [None, "", 1])
def test_without_proper_credentials_nothing_is_asked(name: str, value: object):
    with serving(InTurn([])) as server:
        with pytest.raises(SecretMissing):
            vendor(server.url, **{name: value}).vend(order())
        assert server.connections == 0


# --- the session ------------------------------------------------------------------------------


def test_a_session_is_kept_for_the_next_vends():
    script = InTurn([logged_in(), answering(sold()), answering(sold("9" * 12))])
    with serving(script) as server:
        sun = vendor(server.url)
        assert [sun.vend(order()).value, sun.vend(order()).value] == [TOKEN, "9" * 12]
    assert paths(server) == ["/auth/token", "/v2/token", "/v2/token"]


def test_a_session_that_the_vendor_has_forgotten_is_renewed_once():
    script = InTurn(
        [logged_in("b1"), answering(sold()), UNAUTHORISED, logged_in("b2"), answering(sold())]
    )
    with serving(script) as server:
        sun = vendor(server.url)
        assert [sun.vend(order()).value, sun.vend(order()).value] == [TOKEN, TOKEN]
    bearers = [r.partition(b"Bearer ")[2][:2] for r in server.requests if b"Bearer " in r]
    assert bearers == [b"b1", b"b1", b"b2"]


def test_a_session_that_was_just_given_and_is_refused_is_a_definite_no():
    with pytest.raises(VendRefused) as refused:
        vended(logged_in(), UNAUTHORISED)
    assert refused.value.code == "authentication_failed"


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 No"])
def test_a_log_in_that_is_refused_is_a_definite_no(status: str):
    with pytest.raises(VendRefused) as refused:
        vended(answering(b'{"error": "unauthorized_client"}', status=status))
    assert refused.value.code == "authentication_failed"


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(b""),
        answering(b"<html>OK</html>"),
        answering(b"{}"),
        answering(b"[]"),
        answering(b"", status="302 Found", headers="Location: http://a.example/\r\n"),
        answering(b"", status="404 Not Found"),
        answering(b"", status="429 Slow"),
        answering(b"", status="500 Oops"),
        sending(b""),
        sending(b"garbage"),
        logged_in(bearer=None),
        logged_in(bearer=""),
        logged_in(bearer="a b"),
        logged_in(bearer="a\r\nX-Evil: 1"),
        logged_in(bearer="é"),
        logged_in(bearer=7),
        logged_in(bearer="a" * 9000),
        logged_in(expires_in=None),
        logged_in(expires_in=0),
        logged_in(expires_in=-1),
        logged_in(expires_in="300"),
        logged_in(expires_in=True),
        logged_in(expires_in=300.5),
    ],
)
def test_a_log_in_that_is_not_clear_asked_for_no_token_and_may_be_made_again(behaviour: Behaviour):
    with pytest.raises(VendorUnreachable):
        vended(behaviour)


def test_a_session_of_any_length_can_be_kept():
    assert vended(logged_in(expires_in=10**40), answering(sold())) == TOKEN


def test_a_slow_log_in_asked_for_no_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sessions, "LOG_IN_SECONDS_MAX", 0.2)
    with pytest.raises(VendorUnreachable):
        vended(lambda connection: connection.recv(1))


# --- a clear yes, a definite no ---------------------------------------------------------------


@pytest.mark.parametrize("token", [TOKEN, "0123 4567 8901", "012-345-678-901", f" {TOKEN}\n"])
def test_digits_are_the_token(token: str):
    assert vended(logged_in(), answering(sold(token))) == TOKEN


def test_a_unit_that_the_vendor_does_not_know_is_a_definite_no():
    with pytest.raises(VendRefused) as refused:
        vended(logged_in(), answering(not_found(), status="404 Not Found"))
    assert (refused.value.code, str(refused.value)) == ("device_not_found", "Device not found")


def test_a_vendor_that_cannot_be_reached_was_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(VendorUnreachable):
        vendor(f"http://127.0.0.1:{port}").vend(order())
    with serving(logged_in()) as server, pytest.raises(VendorUnreachable):
        vendor(server.url, base_url=f"http://127.0.0.1:{port}").vend(order())


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
        not_found(),
        sold(message="Device not found"),
        sold(None),
        sold(""),
        sold(123456789012),
        sold("12345"),
        sold("1" * 31),
        sold("0" * 11 + "x"),
        sold("٠" * 12),
        sold([TOKEN]),
        sold({"token": TOKEN}),
        sold() + b"}",
        sold() + b"\xff",
        b'{"token": NaN}',
        b"[" * 50_000,
        sold().ljust(70_000),
    ],
)
def test_a_success_that_is_not_clear_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(logged_in(), answering(body))


@pytest.mark.parametrize("body", [b"", b"not found", b"{}", not_found(None), not_found([]), sold()])
def test_a_404_that_does_not_come_from_the_vendors_program_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(logged_in(), answering(body, status="404 Not Found"))


SILENT = ["408 -", "429 Slow", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["400 Bad", "403 No", "409 No", "422 No", *SILENT])
@pytest.mark.parametrize("body", [b"", sold(), not_found()])
def test_any_other_error_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(logged_in(), answering(body, status=status))
    assert uncertain.value.detail == f"HTTP status {status[:3]}"
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_is_not_followed_and_uncertain(status: str):
    with serving(answering(sold())) as elsewhere:
        moved = answering(b"", status=status, headers=f"Location: {elsewhere.url}/v2/token\r\n")
        with pytest.raises(VendUncertain):
            vended(logged_in(), moved)
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + sold(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        vended(logged_in(), sending(data))


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sunking, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        vended(logged_in(), lambda connection: connection.recv(1))


def test_an_uncertain_vend_cannot_be_looked_up():
    with pytest.raises(VendUncertain):
        vendor("http://a.example").look_up(order())


@given(
    st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 429, 500]),
    st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_answer_is_a_token_a_no_or_uncertain(status: int, body: bytes):
    try:
        token = token_of(body, status)
    except (VendRefused, VendUncertain, SessionRefused):
        return
    assert token.isdigit()


@given(
    st.sampled_from([200, 201, 400, 404, 500]),
    st.fixed_dictionaries(
        {},
        optional={
            "token": st.text(alphabet="0123456789 -x", max_size=34) | st.just(TOKEN) | JSON,
            "message": JSON,
        },
    ),
)
def test_only_digits_alone_under_a_success_are_a_token(status: int, fields: dict[str, Any]):
    given_token = fields.get("token")
    text = given_token if isinstance(given_token, str) and given_token.isascii() else ""
    digits = "".join(text.replace("-", "").split())
    is_clear = digits.isdigit() and 6 <= len(digits) <= 30 and fields.get("message") is None
    if status in (200, 201) and is_clear:
        assert token_of(json.dumps(fields).encode(), status) == digits
    else:
        with pytest.raises((VendRefused, VendUncertain)):
            token_of(json.dumps(fields).encode(), status)


@pytest.mark.parametrize(
    "behaviours",
    [
        (logged_in(), answering(sold(TOKEN, message=f"{SECRET} {BEARER}"))),
        (logged_in(), answering(not_found(f"{TOKEN} {BEARER}"), status="404 Not Found")),
        (logged_in(), answering(f"{TOKEN} {BEARER}".encode())),
        (answering(f"{SECRET} {CLIENT}".encode(), status="401 No"),),
        (answering(f"{SECRET} {CLIENT} {BEARER}".encode()),),
    ],
)
def test_no_error_repeats_a_token_or_the_credentials(behaviours: tuple[Behaviour, ...]):
    with pytest.raises(MwangaError) as error:
        vended(*behaviours)
    shown: BaseException | None = error.value
    while shown is not None:
        for hidden in (TOKEN, BEARER, SECRET, CLIENT):
            assert hidden not in f"{shown!r} {shown}"
        shown = shown.__cause__


# --- whether a unit is known ------------------------------------------------------------------


def known(*behaviours: Behaviour) -> bool:
    """Whether the unit is known, where the vendor behaves like that from the log-in on."""
    script = InTurn(list(behaviours))
    with serving(script) as server:
        try:
            return vendor(server.url).knows(UNIT)
        finally:
            assert server.connections == len(behaviours)


UNIT_DETAILS = answering(json.dumps({"device": {"code": "312", "is_paygo": True}}).encode())


def test_a_unit_that_the_vendor_describes_is_known_and_one_that_it_denies_is_not():
    assert known(logged_in(), UNIT_DETAILS)
    assert not known(logged_in(), answering(not_found(), status="404 Not Found"))


def test_a_unit_is_asked_for_by_its_serial_number_alone():
    with serving(InTurn([logged_in(), UNIT_DETAILS])) as server:
        vendor(server.url).knows("A/B ?#")
        request = server.requests[1]
    assert request.startswith(b"GET /v2/device_details/A%2FB%20%3F%23 HTTP/1.1\r\n")
    assert f"Authorization: Bearer {BEARER}".encode() in request


@pytest.mark.parametrize(
    "answer",
    [
        answering(b"{}"),
        answering(b"[]"),
        answering(b'{"device": null}'),
        answering(b"", status="404 Not Found"),
        answering(b"{}", status="404 Not Found"),
        answering(not_found(), status="400 Bad"),
        answering(b"", status="500 Oops"),
        answering(b"", status="302 Found"),
    ],
)
def test_any_other_answer_does_not_tell(answer: Behaviour):
    with pytest.raises(VendUncertain):
        known(logged_in(), answer)


def test_a_session_that_is_refused_does_not_tell_either():
    with pytest.raises(VendRefused):
        known(logged_in(), UNAUTHORISED)


# --- what people enter ------------------------------------------------------------------------


@pytest.mark.parametrize("text", [TOKEN, "0123 4567 8901", "012-345-678-901 "])
def test_a_token_may_be_typed_in_groups(text: str):
    assert vendor("http://a.example").token(text) == TOKEN


@pytest.mark.parametrize("text", [None, "", "12345", "1" * 31, "x" * 12, "*12345678#", "٠" * 12])
def test_a_text_that_is_no_token_is_refused(text: str | None):
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").token(text)
    assert error.value.field == "token"


def test_a_unit_has_no_technical_fields():
    assert vendor("http://a.example").seal(UNIT, {}) == ({}, 0)
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal(UNIT, {"secret_key": "x"})
    assert error.value.field == "technical.secret_key"


def test_what_was_entered_for_a_unit_is_told_as_it_is():
    device = Device(UNIT, Kind.SHS, "sunking", 1, date(2026, 1, 1))
    assert vendor("http://a.example").reveal(device) == {}
