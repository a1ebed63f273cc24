"""Spark Energy: the log-in, the count before, what is sent, and what each answer means."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
from chalicelib.manufacturers import answers, spark_shs
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.sessions import SessionRefused
from chalicelib.services.ports import (
    Device,
    RecoveryClass,
    SecretMissing,
    Sold,
    VendAbsent,
    VendOrder,
    VendorSilent,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
)
from tests.unit.manufacturers.any_json import JSON
from tests.unit.scripted_server import Behaviour, Server, answering, sending, serving

TOKEN, OTHER_TOKEN, BEARER = "012345678901234", "999999999999999", "eyJhbGciOi.a_b-c~d+/=="
CLIENT, SECRET, AUDIENCE = "acme 01", "a client's secret&more=+é", "https://p.example/api"
KIT = "SN 1/2"
UNAUTHORISED = answering(b'{"message": "Unauthorized"}', status="401 Unauthorized")
FORBIDDEN = answering(b'{"message": "Forbidden"}', status="403 Forbidden")


def logged_in(bearer: object = BEARER, expires_in: object = 300) -> Behaviour:
    return answering(json.dumps({"access_token": bearer, "expires_in": expires_in}).encode())


def kit(n: object = 7, token: object = OTHER_TOKEN, serial: object = KIT) -> Behaviour:
    told = {"serial": serial, "type": "home", "n": n, "token": token, "devices": []}
    return answering(json.dumps(told).encode())


def sold(token: object = TOKEN) -> Behaviour:
    return answering(json.dumps({"token": token}).encode(), status="201 Created")


VEND = Vend(1, KIT, "spark_shs", VendKind.TIME, VendState.CALLING, Fraction(30))
UNLOCK = replace(VEND, kind=VendKind.UNLOCK, units=None)


def order(vend: Vend = VEND, *known: str) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2), known_tokens=frozenset(known))


def vendor(url: object, **changes: object) -> spark_shs.SparkShs:
    secret = {
        "base_url": f"{url}/api/v1",
        "auth_url": f"{url}/oauth/token",
        "audience": AUDIENCE,
        "client_id": CLIENT,
        "client_secret": SECRET,
        **changes,
    }
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/spark_shs": secret}
    return spark_shs.make("spark_shs", secrets.__getitem__)


@dataclass
class InTurn:
    """Each connection is treated as the next behaviour says; there may be no more than these."""

    behaviours: list[Behaviour]
    used: int = field(default=0)

    def __call__(self, connection: socket.socket) -> None:
        self.used += 1
        self.behaviours[self.used - 1](connection)


def targets(server: Server) -> list[str]:
    return [request.partition(b" HTTP")[0].decode() for request in server.requests]


def vended(*behaviours: Behaviour, vend: Vend = VEND) -> str | None:
    """The token, where the vendor behaves like that from the log-in on."""
    script = InTurn(list(behaviours))
    with serving(script) as server:
        try:
            return vendor(server.url).vend(order(vend)).value
        finally:
            assert server.connections == len(behaviours)


def found(told: Behaviour, seen: str | None = "n=7", *known: str) -> str | None:
    """What a search finds, where the kit is told like that."""
    vend = replace(VEND, state=VendState.UNCERTAIN, reference=seen)
    with serving(InTurn([logged_in(), told])) as server:
        return vendor(server.url).look_up(order(vend, *known)).value


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = spark_shs.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("spark_shs", 22)
    assert manufacturer.kind is Kind.SHS
    assert manufacturer.recovery is RecoveryClass.SEARCHABLE
    assert manufacturer.one_at_a_time, "or two vends would be told by one count"
    assert not manufacturer.local and not manufacturer.absolute
    assert manufacturer.timeout_seconds == 5 + 10 + 8 + 5 + 10
    assert set(manufacturer.rules) == {VendKind.TIME, VendKind.UNLOCK}


def test_time_is_sold_in_whole_days():
    device = Device(KIT, Kind.SHS, "spark_shs", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.TIME)
    assert (rules.step, rules.units_max) == (Fraction(1), None)


# --- what is sent -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vend", "command"), [(VEND, {"type": "days", "days": 30}), (UNLOCK, {"type": "unlock"})]
)
def test_the_vendor_is_asked_exactly_as_it_expects(vend: Vend, command: dict[str, object]):
    with serving(InTurn([logged_in(), kit(), sold()])) as server:
        assert vendor(server.url).vend(order(vend)) == Sold(TOKEN)
        assert targets(server) == [
            "POST /oauth/token",
            "GET /api/v1/products/kits/SN%201%2F2",
            "POST /api/v1/products/kits/SN%201%2F2/tokens",
        ]
        log_in, _, ask = (json.loads(r.partition(b"\r\n\r\n")[2] or b"0") for r in server.requests)
        assert all(f"Bearer {BEARER}".encode() in request for request in server.requests[1:])
    assert log_in == {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "audience": AUDIENCE,
        "grant_type": "client_credentials",
    }
    assert ask == command


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (replace(VEND, units=Fraction(1, 2)), "units_out_of_range"),
        (replace(VEND, units=Fraction(0)), "not_offered"),
        (replace(VEND, units=None), "not_offered"),
        (replace(VEND, kind=VendKind.ENERGY), "not_offered"),
        (replace(UNLOCK, kind=VendKind.LOCK), "not_offered"),
    ],
)
def test_what_the_vendor_does_not_sell_is_not_asked_for(vend: Vend, code: str):
    with pytest.raises(VendRefused) as refused:
        vended(vend=vend)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": ""},
        {"auth_url": None},
        {"audience": 1},
        {"client_id": ""},
        {"client_secret": None},
    ],
)
def test_without_whole_credentials_nothing_is_asked(changes: dict[str, object]):
    with serving(InTurn([])) as server:
        with pytest.raises(SecretMissing):
            vendor(server.url, **changes).vend(order())
        assert server.connections == 0


# --- before the token is asked for ------------------------------------------------------------


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 No"])
def test_a_log_in_that_is_refused_is_a_clear_no(status: str):
    with pytest.raises(VendRefused) as refused:
        vended(answering(b"", status=status))
    assert refused.value.code == "authentication_failed"


@pytest.mark.parametrize(
    "log_in",
    [
        answering(b""),
        answering(b"{}"),
        answering(b"", status="500 Oops"),
        answering(b"", status="302 -"),
        logged_in(bearer=""),
        logged_in(expires_in=0),
        sending(b""),
    ],
)
def test_a_log_in_that_fails_has_asked_for_no_token(log_in: Behaviour):
    with pytest.raises(VendorUnreachable):
        vended(log_in)


def test_a_kit_that_is_not_ours_is_a_clear_no():
    with pytest.raises(VendRefused) as refused:
        vended(logged_in(), FORBIDDEN)
    assert refused.value.code == "device_not_found"


UNREADABLE = [
    answering(b""),
    answering(b"[]"),
    answering(b"", status="404 No"),
    answering(b"", status="500 Oops"),
    sending(b""),
    kit(n=None),
    kit(n="7"),
    kit(n=True),
    kit(n=-1),
    kit(n=10**16),
    kit(serial="ANOTHER"),
    kit(serial=None),
]


@pytest.mark.parametrize("told", UNREADABLE)
def test_a_kit_that_cannot_be_read_has_been_asked_for_no_token(told: Behaviour):
    with pytest.raises(VendorUnreachable):
        vended(logged_in(), told)


def test_a_session_is_kept_and_one_that_is_refused_is_renewed_once():
    script = [logged_in(), kit(), sold(), UNAUTHORISED, logged_in("second"), kit(), sold()]
    with serving(InTurn(script)) as server:
        made = vendor(server.url)
        assert made.vend(order()) == made.vend(order()) == Sold(TOKEN)
    with pytest.raises(VendRefused) as refused:
        vended(logged_in(), UNAUTHORISED)
    assert refused.value.code == "authentication_failed"


def test_a_session_that_ends_between_the_two_questions_is_renewed_too():
    assert vended(logged_in(), kit(), sold()) == TOKEN
    with serving(
        InTurn([logged_in(), kit(), sold(), kit(), UNAUTHORISED, logged_in("2"), kit(), sold()])
    ) as server:
        made = vendor(server.url)
        assert made.vend(order()) == made.vend(order()) == Sold(TOKEN)


def test_the_longest_way_to_a_token_fits_into_the_time_that_is_stated(
    monkeypatch: pytest.MonkeyPatch,
):
    granted: list[float] = []

    def counted(method: str, url: str, headers: Any, seconds: float, *rest: Any) -> Answer:
        granted.append(seconds)
        return call(method, url, headers, seconds, *rest)

    call = answers.call
    script = [logged_in(), kit(), sold(), kit(), UNAUTHORISED, logged_in("2"), kit(), sold()]
    with serving(InTurn(script)) as server:
        made = vendor(server.url)
        made.vend(order())
        monkeypatch.setattr(answers, "call", counted)
        made.vend(order())
    assert len(granted) == 5
    assert sum(granted) <= made.manufacturer.timeout_seconds


# --- what an answer means ---------------------------------------------------------------------


@pytest.mark.parametrize("token", [TOKEN, "012 345 678 901 234", "012-345-678-901-234"])
def test_digits_under_a_success_are_the_token(token: str):
    wanted = token.replace(" ", "").replace("-", "")
    assert vended(logged_in(), kit(), sold(token)) == wanted


DOUBTFUL = [
    answering(b""),
    answering(b"<html>"),
    answering(b"[]"),
    answering(b"{}"),
    sold(None),
    sold(""),
    sold(12345678),
    sold("12345"),
    sold("1" * 31),
    sold("٠" * 12),
    sold([TOKEN]),
    answering(b'{"token": NaN}'),
    answering(b"[" * 50_000),
    answering(b'{"token": "012345678"}'.ljust(70_000)),
    answering(b"", status="302 Found"),
    *(
        answering(b'{"token": "012345678"}', status=status)
        for status in ("400 Bad", "403 No", "404 No", "409 No", "429 Slow", "500 Oops")
    ),
    sending(b""),
    sending(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"),
]


@pytest.mark.parametrize("answer", DOUBTFUL)
def test_any_other_answer_is_uncertain_and_remembers_the_count_before(answer: Behaviour):
    with pytest.raises(VendUncertain) as uncertain:
        vended(logged_in(), kit(n=41), answer)
    assert uncertain.value.seen == "n=41"


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spark_shs, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent) as silent:
        vended(logged_in(), kit(), lambda connection: connection.recv(1))
    assert silent.value.seen == "n=7"


@given(
    st.sampled_from([200, 201, 301, 400, 401, 403, 404, 429, 500]),
    st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_answer_is_a_token_a_refused_session_or_uncertain(status: int, body: bytes):
    try:
        token = spark_shs._token_of(Answer(status, body))
    except (SessionRefused, VendUncertain):
        return
    assert status in (200, 201) and 6 <= len(token) <= 30


# --- what became of it ------------------------------------------------------------------------


def test_one_token_more_than_before_is_ours():
    assert found(kit(n=8, token=TOKEN)) == TOKEN


def test_no_token_more_than_before_is_a_sure_absence():
    with pytest.raises(VendAbsent):
        found(kit(n=7))


@pytest.mark.parametrize(
    "told",
    [
        kit(n=9, token=TOKEN),
        kit(n=6, token=TOKEN),
        kit(n=8, token=None),
        kit(n=8, token="x"),
        kit(n=8, token=OTHER_TOKEN),
        FORBIDDEN,
        *(told for told in UNREADABLE),
    ],
)
def test_anything_else_does_not_tell(told: Behaviour):
    with pytest.raises(VendUncertain):
        found(told, "n=7", OTHER_TOKEN)


def test_without_the_count_before_a_last_token_that_is_known_is_a_sure_absence():
    with pytest.raises(VendAbsent):
        found(kit(n=8, token=OTHER_TOKEN), None, OTHER_TOKEN)
    with pytest.raises(VendAbsent):
        found(kit(n=0, token=""), None)


@pytest.mark.parametrize("seen", [None, "", "n=", "n=x", "tr-1"])
def test_without_the_count_before_a_token_that_is_not_known_is_for_a_person(seen: str | None):
    with pytest.raises(VendUncertain):
        found(kit(n=8, token=TOKEN), seen, OTHER_TOKEN)


def test_who_is_not_let_in_to_look_learns_nothing_about_the_vend():
    vend = replace(VEND, reference="n=7")
    with serving(answering(b"", status="401 No")) as server, pytest.raises(VendUncertain):
        vendor(server.url).look_up(order(vend))


@given(
    st.integers(0, 50),
    st.lists(st.booleans(), max_size=4),
)
def test_the_count_tells_a_vend_that_was_made_from_one_that_was_not(before: int, made: list[bool]):
    """Whatever became of earlier vends, this one's token is found exactly where it was made."""
    count = before
    for is_made in made:
        vend = replace(VEND, reference=f"n={count}")
        count += is_made
        told = spark_shs._Kit(count, TOKEN if is_made else OTHER_TOKEN)
        if is_made:
            assert spark_shs._token_made(order(vend), told) == TOKEN
        else:
            with pytest.raises(VendAbsent):
                spark_shs._token_made(order(vend), told)


# --- whether a kit is known -------------------------------------------------------------------


def test_a_kit_that_is_told_is_known_and_one_that_is_somebody_elses_is_not():
    for told, is_known in ((kit(), True), (FORBIDDEN, False)):
        with serving(InTurn([logged_in(), told])) as server:
            assert vendor(server.url).knows(KIT) is is_known
    with serving(InTurn([logged_in(), kit(n=None)])) as server, pytest.raises(VendUncertain):
        vendor(server.url).knows(KIT)


# --- nothing leaks, and what people enter -----------------------------------------------------


@pytest.mark.parametrize(
    "behaviours",
    [
        (answering(f"{SECRET} {CLIENT}".encode(), status="401 No"),),
        (answering(f"{SECRET} {BEARER}".encode()),),
        (logged_in(), answering(f"{BEARER} {TOKEN}".encode())),
        (logged_in(), kit(), sold(f"{TOKEN}{TOKEN}{TOKEN}")),
        (logged_in(), kit(), answering(f"{BEARER} {TOKEN}".encode())),
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


def test_a_token_may_be_typed_in_groups_and_nothing_else_is_one():
    assert vendor("http://a.example").token("012-345 678901234") == TOKEN
    for text in (None, "", "12345", "1" * 31, "x" * 12):
        with pytest.raises(FieldError):
            vendor("http://a.example").token(text)


def test_a_kit_has_no_technical_fields():
    assert vendor("http://a.example").seal(KIT, {}) == ({}, 0)
    with pytest.raises(FieldError):
        vendor("http://a.example").seal(KIT, {"secret_key": "x"})
    device = Device(KIT, Kind.SHS, "spark_shs", 1, date(2026, 1, 1))
    assert vendor("http://a.example").reveal(device) == {}
