"""Angaza: until when a unit runs, the keycode that says so to it, and what each answer means."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
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
from chalicelib.manufacturers import angaza
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
from tests.unit.manufacturers.any_json import JSON, TEXTS
from tests.unit.scripted_server import Behaviour, answering, sending, serving

KEYCODE = "123456789012"
CLIENT_ID, CLIENT_SECRET = "client 7", "se:cret-7"
BASIC = b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
VEND = Vend(
    number=1,
    serial_number="123456789",
    manufacturer="angaza",
    kind=VendKind.TIME,
    state=VendState.CALLING,
    units=Fraction(7),
    paid_until=datetime(2026, 9, 20, 10, 0, tzinfo=UTC),
)
UNLOCK = replace(VEND, kind=VendKind.UNLOCK, units=None, paid_until=None)


def credited(keycode: object = "1234-5678-9012", **more: object) -> bytes:
    return json.dumps({"_embedded": {"latest_keycode": {"keycode": keycode}}, **more}).encode()


def refusal(reason: object = "unit is not billable", **more: object) -> bytes:
    return json.dumps({"context": {"reason": reason}, **more}).encode()


def order(vend: Vend = VEND) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2))


def vendor(base_url: object, **changes: object) -> angaza.Angaza:
    secret = {
        "base_url": base_url,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        **changes,
    }
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/angaza": secret}
    return angaza.make("angaza", secrets.__getitem__)


CONFIGURATION = vendor("http://a.example")._configuration()


def vended(behaviour: Behaviour) -> str | None:
    with serving(behaviour) as server:
        try:
            return vendor(f"{server.url}/nexus/v1").vend(order()).value
        finally:
            assert server.connections == 1, "a vend is asked for once, whatever comes of it"


def asked_for(vend: Vend) -> Any:
    with serving(answering(credited())) as server:
        vendor(server.url).vend(order(vend))
    return json.loads(server.requests[0].partition(b"\r\n\r\n")[2])


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = angaza.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("angaza", 20)
    assert manufacturer.kind is Kind.SHS
    assert manufacturer.recovery is RecoveryClass.REPEATABLE
    assert manufacturer.absolute, "it is told until when, so the last word must be the latest"
    assert not manufacturer.local
    assert not manufacturer.technical_required
    assert manufacturer.timeout_seconds == 20
    assert set(manufacturer.rules) == {VendKind.TIME, VendKind.UNLOCK, VendKind.RESET}


def test_time_is_sold_by_the_whole_day():
    device = Device("1", Kind.SHS, "angaza", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.TIME)
    assert (rules.step, rules.units_max) == (Fraction(1), None)


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(answering(credited())) as server:
        assert vendor(f"{server.url}/nexus/v1/").vend(order()) == Sold(KEYCODE)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /nexus/v1/unit_credit HTTP/1.1\r\n")
    assert f"\r\nAuthorization: Basic {BASIC}\r\n".encode() in head + b"\r\n"
    assert b"\r\nContent-Type: application/json\r\n" in head + b"\r\n"
    assert json.loads(body) == {
        "unit_number": "123456789",
        "state": {"desired": {"credit_until_dt": "2026-09-20T10:00:00+00:00"}},
    }


def test_a_unit_that_is_paid_off_is_unlocked():
    assert asked_for(UNLOCK)["state"] == {"desired": {"credit_until_dt": "UNLOCKED"}}


@pytest.mark.parametrize(
    ("paid_until", "written"),
    [
        (datetime(2026, 9, 20, 10, 0, 0, 1, tzinfo=UTC), "2026-09-20T10:00:01+00:00"),
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "2027-01-01T00:00:00+00:00"),
        (
            datetime(2026, 9, 20, 1, 0, tzinfo=timezone(timedelta(hours=3))),
            "2026-09-19T22:00:00+00:00",
        ),
    ],
)
def test_the_end_is_a_whole_second_that_takes_nothing_away(paid_until: datetime, written: str):
    state = asked_for(replace(VEND, paid_until=paid_until))["state"]
    assert state["desired"]["credit_until_dt"] == written


@given(st.timedeltas(timedelta(0), timedelta(days=50_000)))
def test_rounding_gives_less_than_a_second(later: timedelta):
    paid_until = datetime(2026, 1, 1, tzinfo=UTC) + later
    written = angaza._credit_until(replace(VEND, paid_until=paid_until))
    end = datetime.fromisoformat(written)
    assert len(written) == len("2026-09-20T10:00:00+00:00")
    assert timedelta(0) <= end - paid_until < timedelta(seconds=1)


def test_the_same_vend_is_asked_for_in_the_same_words():
    with serving(answering(credited())) as server:
        for _ in range(2):
            vendor(server.url).vend(order())
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (replace(VEND, paid_until=None), "no_end_date"),
        (replace(VEND, kind=VendKind.ENERGY), "not_offered"),
    ],
)
def test_what_the_vendor_does_not_sell_is_not_asked_for(vend: Vend, code: str):
    with serving(answering(credited())) as server:
        with pytest.raises(VendRefused) as refused:
            vendor(server.url).vend(order(vend))
        assert refused.value.code == code
        assert server.connections == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": None},
        {"base_url": "angaza"},
        {"client_id": ""},
        {"client_id": None},
        {"client_id": "a:b"},
        {"client_secret": ""},
        {"client_secret": 1},
        {"client_secret": "a\r\nb"},
        {"client_secret": "\ud800"},
    ],
)
def test_without_proper_credentials_nothing_is_asked(changes: dict[str, object]):
    with serving(answering(credited())) as server:
        with pytest.raises(SecretMissing):
            vendor(**{"base_url": server.url, **changes}).vend(order())
        assert server.connections == 0


# --- what the answer means --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "keycode"),
    [
        ("1234-5678-9012", KEYCODE),
        ("123 456 789 012", KEYCODE),
        (KEYCODE, KEYCODE),
        ("012-345", "012345"),
        ("*125 251 332 590 14#", "*12525133259014#"),
        ("9" * 30, "9" * 30),
    ],
)
def test_a_keycode_is_kept_without_what_groups_it(written: str, keycode: str):
    assert vended(answering(credited(written))) == keycode
    assert vendor("http://a.example").token(written) == keycode


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("400 Bad", "refused_by_vendor"),
        ("401 No", "authentication_failed"),
        ("403 No", "authentication_failed"),
        ("404 No", "refused_by_vendor"),
        ("422 No", "refused_by_vendor"),
    ],
)
def test_a_reason_without_a_keycode_is_a_definite_no(status: str, code: str):
    with pytest.raises(VendRefused) as refused:
        vended(answering(refusal(), status=status))
    assert (refused.value.code, refused.value.detail) == (code, "unit is not billable")


def test_a_vendor_that_cannot_be_reached_was_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(VendorUnreachable):
        vendor(f"http://127.0.0.1:{port}").vend(order())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>OK</html>",
        b"null",
        b"[]",
        b"{}",
        f'"{KEYCODE}"'.encode(),
        b'{"_embedded": null}',
        b'{"_embedded": []}',
        b'{"_embedded": {"latest_keycode": "1234-5678-9012"}}',
        b'{"latest_keycode": {"keycode": "1234-5678-9012"}}',
        b'{"a": NaN}',
        refusal(),
        credited(context={"reason": "something"}),
        credited(None),
        credited(""),
        credited(int(KEYCODE)),
        credited([KEYCODE]),
        credited("12345"),
        credited("9" * 31),
        credited("1234-5678-901x"),
        credited("1234.5678.9012"),
        credited("٠" * 12),
        credited().replace(b"1234-", b"\xff"),
        credited()[:-1] + b', "_embedded": {}}',
        credited().decode().encode("utf-16"),
        b"[" * 50_000,
        credited().ljust(70_000),
    ],
)
def test_a_success_that_is_not_clear_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(answering(body))


@pytest.mark.parametrize("body", [b"{}", refusal(), credited(None), credited("12345")])
def test_an_answer_that_can_be_read_is_no_silence_however_odd(body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body))
    assert not isinstance(uncertain.value, VendorSilent)


@pytest.mark.parametrize("body", [b"", b"<html>OK</html>", b"[]"])
def test_an_answer_that_cannot_be_read_is_a_broken_servers(body: bytes):
    with pytest.raises(VendorSilent):
        vended(answering(body))


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", "409 Twice"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"{}",
        credited(),
        refusal(None),
        refusal(7),
        refusal(_embedded={"latest_keycode": {"keycode": "1234-5678-9012"}}),
        b'{"context": "no"}',
        b'{"reason": "no"}',
    ],
)
def test_an_error_status_without_a_reason_is_uncertain(status: str, body: bytes):
    with pytest.raises(VendUncertain):
        vended(answering(body, status=status))


SILENT = ["408 Slow", "425 Early", "429 Many", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["302 Found", *SILENT])
@pytest.mark.parametrize("body", [b"", credited(), refusal()])
def test_any_other_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body, status=status))
    assert uncertain.value.detail == f"HTTP status {status[:3]}"
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


def test_a_redirect_is_not_followed():
    with serving(answering(credited())) as elsewhere:
        headers = f"Location: {elsewhere.url}/unit_credit\r\n"
        with pytest.raises(VendUncertain):
            vended(answering(b"", status="308 Permanent Redirect", headers=headers))
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + credited(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        vended(sending(data))


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(angaza, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        vended(lambda connection: connection.recv(1))


def test_a_vend_is_repeated_and_not_searched():
    with serving(answering(credited())) as server:
        with pytest.raises(VendUncertain):
            vendor(server.url).look_up(order())
        assert server.connections == 0


# --- answers of any shape ---------------------------------------------------------------------

KEYCODES = st.text(alphabet="0123456789*#- x", max_size=34) | JSON
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "_embedded": st.fixed_dictionaries(
            {"latest_keycode": st.fixed_dictionaries({"keycode": KEYCODES}) | JSON}
        )
        | JSON,
        "context": st.fixed_dictionaries({"reason": TEXTS | JSON}) | JSON,
    },
)


@given(
    st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 409, 500]),
    st.binary(max_size=100) | (ANSWERS | JSON).map(lambda fields: json.dumps(fields).encode()),
)
def test_no_answer_of_any_shape_makes_anything_but_a_keycode_or_one_of_our_errors(
    status: int, body: bytes
):
    try:
        keycode = angaza._keycode_of(Answer(status, body), CONFIGURATION)
    except VendRefused:
        assert 400 <= status < 500 and status not in (408, 425, 429)
    except VendUncertain:
        pass
    else:
        assert 200 <= status < 300
        assert 6 <= len(keycode) <= 30
        assert set(keycode) <= set("0123456789*#")


@pytest.mark.parametrize("said", [CLIENT_SECRET, BASIC, "1234-5678-9012", KEYCODE, "*599 791 493#"])
def test_no_error_repeats_a_keycode_or_a_secret(said: str):
    for behaviour in (
        answering(refusal(f"no: {said} is wrong"), status="400 Bad"),
        answering(refusal(said), status="401 No"),
        answering(refusal(said)),
        answering(said.encode()),
        answering(credited(f"{said}x")),
    ):
        with pytest.raises(MwangaError) as error:
            vended(behaviour)
        shown: BaseException | None = error.value
        while shown is not None:
            assert said not in f"{shown!r} {shown}"
            shown = shown.__cause__


# --- what people enter ------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "12345", "9" * 31, "1234x5678", "٠" * 12, "1234.5678"])
def test_a_text_that_is_no_keycode_is_refused(text: str):
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").token(text)
    assert error.value.field == "token"


def test_a_unit_has_no_technical_fields():
    assert vendor("http://a.example").seal("1", {}) == ({}, 0)
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal("1", {"secret_key": "x"})
    assert error.value.field == "technical.secret_key"


# --- a question that sells nothing ------------------------------------------------------------


def test_a_check_asks_how_a_unit_stands():
    with serving(answering(b"{}")) as server:
        vendor(f"{server.url}/nexus/v1").check("A 1&2")
        request = server.requests[0]
    assert request.startswith(b"GET /nexus/v1/unit_credit?unit_number=A+1%262 HTTP/1.1\r\n")
    assert f"Authorization: Basic {BASIC}".encode() in request


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (answering(b"", status="401 No"), VendRefused),
        (answering(b"", status="403 No"), VendRefused),
        (answering(b"<html>"), VendUncertain),
        (answering(b"{}", status="404 No"), VendUncertain),
        (answering(b"", status="500 Oops"), VendorSilent),
    ],
)
def test_a_check_that_is_not_answered_well_says_so(answer: Behaviour, error: type[MwangaError]):
    with serving(answer) as server, pytest.raises(error):
        vendor(server.url).check("1")
