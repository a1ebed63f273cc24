"""Daly: the log-in, the switch, the state that is read back, and what each answer means."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Vend, VendState
from chalicelib.manufacturers import daly_bms
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
    is_switched,
)
from tests.unit.manufacturers.any_json import JSON
from tests.unit.scripted_server import Behaviour, Server, answering, sending, serving

BIKE, BEARER = "BIKE-0123456", "eyJhbGciOi.a_b-c~d+/=="
USER, PASSWORD = "acme 01", "a p&ss=wörd+"
NOW = datetime(2026, 9, 20, 10, 0, tzinfo=UTC)
UNAUTHORISED = answering(b"", status="401 Unauthorized")


def succeeded(response: object, **more: object) -> bytes:
    fields = {"status": 200, "success": True, "msg": "", "response": response, **more}
    return json.dumps(fields).encode()


def failed(msg: str = "no such device") -> bytes:
    return json.dumps({"status": 500, "msg": msg, "response": False}).encode()


def logged_in(bearer: object = BEARER, expires_in: object = 300) -> Behaviour:
    return answering(succeeded({"token": bearer, "expires_in": expires_in}))


SWITCHED = answering(succeeded({"Data": []}))


def in_state(status: object, code: str = BIKE) -> Behaviour:
    return answering(succeeded({"Data": [{"Code": code, "Status": status}]}))


IS_ON, IS_OFF = in_state("Moving,ACCON,GPS"), in_state("Parked,ACCOFF")

VEND = Vend(
    number=1,
    serial_number=BIKE,
    manufacturer="daly_bms",
    kind=VendKind.TIME,
    state=VendState.CALLING,
    units=Fraction(7),
    paid_until=NOW + timedelta(days=7),
)


def order(vend: Vend = VEND) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2))


def vendor(url: object, **changes: object) -> daly_bms.DalyBms:
    secret = {"base_url": url, "username": USER, "password": PASSWORD, **changes}
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/daly_bms": secret}
    made = daly_bms.make("daly_bms", secrets.__getitem__)
    made._now = lambda: NOW
    return made


@dataclass
class InTurn:
    """Each connection is treated as the next behaviour says; there may be no more than these."""

    behaviours: list[Behaviour]
    used: int = field(default=0)

    def __call__(self, connection: socket.socket) -> None:
        self.used += 1
        self.behaviours[self.used - 1](connection)


def sent(server: Server) -> list[tuple[str, Any]]:
    """The path and the body of each request."""
    found = []
    for request in server.requests:
        head, _, body = request.partition(b"\r\n\r\n")
        found.append((head.split(b" ")[1].decode(), json.loads(body or b"null")))
    return found


def vended(*behaviours: Behaviour, vend: Vend = VEND) -> Sold:
    """What is sold where the vendor behaves like that from the log-in on."""
    script = InTurn(list(behaviours))
    with serving(script) as server:
        try:
            return vendor(server.url).vend(order(vend))
        finally:
            assert server.connections == len(behaviours)


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = daly_bms.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("daly_bms", 30)
    assert manufacturer.kind is Kind.E_BIKE
    assert manufacturer.recovery is RecoveryClass.REPEATABLE
    assert manufacturer.absolute and manufacturer.switched and manufacturer.remote
    assert not manufacturer.local and not manufacturer.technical_required
    assert is_switched(vendor("http://a.example"))


def test_the_time_out_covers_a_refused_session_a_log_in_the_switch_and_the_look():
    (manufacturer,) = daly_bms.MANUFACTURERS
    assert manufacturer.timeout_seconds == 10 + 8 + 10 + 10


def test_time_is_sold_in_whole_days():
    device = Device(BIKE, Kind.E_BIKE, "daly_bms", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.TIME)
    assert (rules.step, rules.units_max) == (Fraction(1), None)


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(InTurn([logged_in(), SWITCHED, IS_ON])) as server:
        assert vendor(f"{server.url}/").vend(order()) == Sold()
        (log_in, none), switch, look = sent(server)
        heads = [request.partition(b"\r\n\r\n")[0] for request in server.requests]
    assert urlsplit(log_in).path == "/api/Login/Authenticate"
    assert parse_qs(urlsplit(log_in).query) == {"Username": [USER], "Password": [PASSWORD]}
    assert none is None
    data = {"CmdKey": "8500_004", "Code": BIKE, "ACC": 1}
    assert switch == ("/Monitor/Send", {"cmdKey": "8500_004", "data": data})
    assert look == ("/Monitor/Refresh", {"codes": [BIKE]})
    assert all(head.startswith(b"POST ") for head in heads)
    assert all(f"Authorization: Bearer {BEARER}".encode() in head for head in heads[1:])
    assert b"Authorization" not in heads[0]


PAST = replace(VEND, paid_until=NOW)
UNLOCK = replace(VEND, kind=VendKind.UNLOCK, units=None, paid_until=None)
LOCK = replace(UNLOCK, kind=VendKind.LOCK)


@pytest.mark.parametrize(("vend", "on"), [(VEND, 1), (PAST, 0), (UNLOCK, 1), (LOCK, 0)])
def test_the_relay_is_on_for_good_or_while_the_paid_time_lasts(vend: Vend, on: int):
    with serving(InTurn([logged_in(), SWITCHED, IS_ON if on else IS_OFF])) as server:
        assert vendor(server.url).vend(order(vend)) == Sold()
        assert sent(server)[1][1]["data"]["ACC"] == on


@pytest.mark.parametrize(
    "vend",
    [
        replace(VEND, kind=VendKind.ENERGY),
        replace(VEND, kind=VendKind.SYNC),
        replace(VEND, paid_until=None),
    ],
)
def test_what_is_not_sold_is_refused_before_anything_is_asked(vend: Vend):
    with pytest.raises(VendRefused) as refused:
        vended(vend=vend)
    assert refused.value.code == "not_offered"


@pytest.mark.parametrize(
    "changes",
    [{"base_url": ""}, {"base_url": 7}, {"username": ""}, {"password": None}],
)
def test_without_whole_credentials_nothing_is_asked(changes: dict[str, object]):
    with serving(InTurn([])) as server:
        with pytest.raises(SecretMissing):
            vendor(server.url, **changes).vend(order())
        assert server.connections == 0


# --- the state that is read back --------------------------------------------------------------


@pytest.mark.parametrize(
    "look",
    [
        IS_OFF,
        in_state(""),
        in_state("ACCON,ACCOFF"),
        in_state(None),
        in_state(1),
        in_state("ACCON", code="ANOTHER"),
        answering(succeeded({"Data": []})),
        answering(succeeded({"Data": ["ACCON", None]})),
        answering(succeeded({"Data": {"Code": BIKE, "Status": "ACCON"}})),
        answering(succeeded([])),
        answering(succeeded(True)),
    ],
)
def test_a_switch_that_does_not_show_is_not_delivered(look: Behaviour):
    assert vended(logged_in(), SWITCHED, look) == Sold(delivered=False)


def test_of_several_bikes_that_are_told_ours_counts():
    rows = [{"Code": "ANOTHER", "Status": "ACCOFF"}, {"Code": BIKE, "Status": "ACCON"}]
    assert vended(logged_in(), SWITCHED, answering(succeeded({"Data": rows}))) == Sold()


@pytest.mark.parametrize(
    "look",
    [answering(failed()), answering(b""), answering(b"", status="500 Oops"), UNAUTHORISED],
)
def test_a_state_that_cannot_be_read_leaves_the_switch_in_doubt(look: Behaviour):
    with pytest.raises(VendUncertain):
        vended(logged_in(), SWITCHED, look)


def test_a_bare_true_is_a_switch_that_was_made():
    assert vended(logged_in(), answering(succeeded(True)), IS_ON) == Sold()


# --- the log-in -------------------------------------------------------------------------------


def test_a_session_is_kept_and_one_that_is_refused_is_renewed_once():
    script = [logged_in(), SWITCHED, IS_ON, UNAUTHORISED, logged_in("second"), SWITCHED, IS_ON]
    with serving(InTurn(script)) as server:
        made = vendor(server.url)
        assert made.vend(order()) == made.vend(order()) == Sold()
        paths = [urlsplit(path).path for path, _ in sent(server)]
    switch = ["/Monitor/Send", "/Monitor/Refresh"]
    log_in = ["/api/Login/Authenticate"]
    assert paths == [*log_in, *switch, "/Monitor/Send", *log_in, *switch]


def test_a_refusal_of_the_session_in_the_body_counts_too():
    refused = answering(json.dumps({"status": 401, "msg": "expired", "response": False}).encode())
    with pytest.raises(VendRefused) as error:
        vended(logged_in(), refused)
    assert error.value.code == "authentication_failed"


def test_a_check_logs_in_anew_and_switches_nothing():
    with serving(InTurn([logged_in(), logged_in()])) as server:
        made = vendor(server.url)
        made.check("")
        made.check("")
        assert len(server.requests) == 2
    expired = json.dumps({"status": 401, "msg": "no", "response": False}).encode()
    with serving(answering(expired)) as server, pytest.raises(VendRefused):
        vendor(server.url).check("")


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 No"])
def test_a_log_in_that_is_refused_is_a_clear_no(status: str):
    with pytest.raises(VendRefused) as refused:
        vended(answering(b"", status=status))
    assert refused.value.code == "authentication_failed"


@pytest.mark.parametrize(
    "log_in",
    [
        answering(failed()),
        answering(b"", status="500 Oops"),
        answering(b"<html>"),
        answering(succeeded(True)),
        logged_in(bearer=None),
        logged_in(bearer=""),
        logged_in(bearer="two words"),
        logged_in(expires_in=0),
        logged_in(expires_in="300"),
        logged_in(expires_in=True),
        sending(b""),
    ],
)
def test_a_log_in_that_fails_has_switched_nothing(log_in: Behaviour):
    with pytest.raises(VendorUnreachable):
        vended(log_in)


def test_nobody_at_the_other_end_is_told_as_such():
    with pytest.raises(VendorUnreachable):
        vendor("http://127.0.0.1:9").vend(order())


# --- what is no clear yes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>OK</html>",
        b"null",
        b"[]",
        b"{}",
        failed(),
        succeeded(None),
        succeeded(False),
        succeeded({}, success=False),
        succeeded({}, status=500),
        succeeded({}, status="200"),
        succeeded({}) + b"}",
        b"[" * 50_000,
        succeeded({}).ljust(70_000),
    ],
)
def test_a_switch_that_is_not_clearly_made_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(logged_in(), answering(body))


@pytest.mark.parametrize("status", ["400 Bad", "404 No", "429 Slow", "500 Oops", "503 -"])
def test_an_error_status_is_uncertain_whatever_it_says(status: str):
    with pytest.raises(VendUncertain):
        vended(logged_in(), answering(succeeded({}), status=status))


def test_a_redirect_is_not_followed_and_uncertain():
    with serving(SWITCHED) as elsewhere:
        moved = answering(b"", status="307 -", headers=f"Location: {elsewhere.url}/\r\n")
        with pytest.raises(VendUncertain):
            vended(logged_in(), moved)
        assert elsewhere.connections == 0


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(daly_bms, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        vended(logged_in(), lambda connection: connection.recv(1))


def test_a_switch_is_made_again_and_never_looked_up():
    with pytest.raises(VendUncertain):
        vendor("http://a.example").look_up(order())


@given(
    st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 429, 500]),
    st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_answer_is_a_success_a_refused_session_or_uncertain(status: int, body: bytes):
    try:
        response = daly_bms._response(Answer(status, body))
    except (SessionRefused, VendUncertain):
        return
    assert status in (200, 201, 204)
    assert response is not None and response is not False


@pytest.mark.parametrize(
    "behaviours",
    [
        (answering(f"{USER} {PASSWORD}".encode(), status="401 No"),),
        (answering(f"{USER} {PASSWORD} {BEARER}".encode()),),
        (sending(b""),),
        (logged_in(), answering(failed(f"{PASSWORD} {BEARER}"))),
        (logged_in(), SWITCHED, answering(failed(f"{PASSWORD} {BEARER}"))),
    ],
)
def test_no_error_repeats_the_credentials(behaviours: tuple[Behaviour, ...]):
    with pytest.raises(MwangaError) as error:
        vended(*behaviours)
    shown: BaseException | None = error.value
    while shown is not None:
        for hidden in (BEARER, PASSWORD, USER, "Password"):
            assert hidden not in f"{shown!r} {shown}"
        shown = shown.__cause__


# --- what people enter ------------------------------------------------------------------------


def test_a_switch_has_no_token():
    assert vendor("http://a.example").token(None) is None
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").token("123456789")
    assert error.value.field == "token"


def test_a_bike_has_no_technical_fields():
    assert vendor("http://a.example").seal(BIKE, {}) == ({}, 0)
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal(BIKE, {"imei": "x"})
    assert error.value.field == "technical.imei"


def test_what_was_entered_for_a_bike_is_told_as_it_is():
    device = Device(BIKE, Kind.E_BIKE, "daly_bms", 1, date(2026, 1, 1))
    assert vendor("http://a.example").reveal(device) == {}
