"""SteamaCo: the log-in, what is sent, the search, and what each answer means."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
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
from chalicelib.manufacturers import steama
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

SESSION, USER, PASSWORD = "5e551072a1b2c3d4", "acme 01", "a p&ss=wörd+"
METER, CUSTOMER = "SM5R-01", "777"
CALLED_AT = datetime(2026, 9, 20, 10, 0, tzinfo=UTC)
UNAUTHORISED = answering(b'{"detail": "Invalid token."}', status="401 Unauthorized")

VEND = Vend(
    number=1,
    serial_number=METER,
    manufacturer="steama",
    kind=VendKind.ENERGY,
    state=VendState.CALLING,
    units=Fraction(10),
    cost_minor=Fraction(1000_50),
    called_at=CALLED_AT,
)


def logged_in(token: object = SESSION) -> Behaviour:
    return answering(json.dumps({"token": token}).encode())


def row(number: object = 9001, **changes: object) -> dict[str, object]:
    made = {
        "id": number,
        "site_id": 12,
        "customer_id": 777,
        "amount": "1000.50",
        "category": "PAY",
        "provider": "AP",
        "timestamp": "2026-09-20T10:00:01Z",
        "synchronization_status": "…",
        "reversed_by_id": None,
    }
    return {**made, **changes}


def sold(**changes: object) -> Behaviour:
    return answering(json.dumps(row(**changes)).encode(), status="201 Created")


def listed(*rows: object, following: object = None) -> Behaviour:
    page = {"count": len(rows), "next": following, "previous": None, "results": list(rows)}
    return answering(json.dumps(page).encode())


def order(vend: Vend = VEND, *known: str, **technical: object) -> VendOrder:
    return VendOrder(
        "p-1",
        vend,
        Currency("KES", 2),
        technical=technical or {"customer_id": CUSTOMER},
        known_references=frozenset(known),
    )


def vendor(url: object, **changes: object) -> steama.Steama:
    secret = {"base_url": url, "username": USER, "password": PASSWORD, **changes}
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/steama": secret}
    return steama.make("steama", secrets.__getitem__)


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


def vended(*behaviours: Behaviour, wanted: VendOrder | None = None) -> Sold:
    """What is sold where the vendor behaves like that from the log-in on."""
    script = InTurn(list(behaviours))
    with serving(script) as server:
        try:
            return vendor(server.url).vend(wanted or order())
        finally:
            assert server.connections == len(behaviours)


def found(*pages: Behaviour, known: tuple[str, ...] = ()) -> str | None:
    """The number of the transaction that a search finds in those pages."""
    script = InTurn([logged_in(), *pages])
    with serving(script) as server:
        try:
            return vendor(server.url).look_up(order(VEND, *known)).reference
        finally:
            assert server.connections == len(pages) + 1


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = steama.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("steama", 17)
    assert manufacturer.kind is Kind.METER
    assert manufacturer.recovery is RecoveryClass.SEARCHABLE
    assert manufacturer.one_at_a_time, "its top-ups are told apart by customer, amount and time"
    assert manufacturer.technical_required and manufacturer.remote and not manufacturer.local
    assert manufacturer.timeout_seconds == 15 + 8 + 15


def test_money_is_sent_to_the_minor_unit():
    device = Device(METER, Kind.METER, "steama", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.ENERGY)
    assert (rules.step, rules.money_step_minor) == (Fraction(1, 1000), 1)


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(InTurn([logged_in(), sold()])) as server:
        assert vendor(f"{server.url}/").vend(order()) == Sold(reference="9001")
        assert targets(server) == ["POST /get-token/", "POST /customers/777/transactions/"]
        log_in, top_up = (
            json.loads(request.partition(b"\r\n\r\n")[2], parse_float=Decimal)
            for request in server.requests
        )
        assert f"\r\nAuthorization: Token {SESSION}\r\n".encode() in server.requests[1]
    assert log_in == {"username": USER, "password": PASSWORD}
    assert top_up == {"category": "PAY", "amount": Decimal("1000.50")}


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (order(replace(VEND, kind=VendKind.TIME)), "not_offered"),
        (order(replace(VEND, cost_minor=Fraction(0))), "amount_out_of_range"),
        (order(replace(VEND, cost_minor=Fraction(1, 2))), "amount_out_of_range"),
        (order(VEND, customer_id=None), "no_customer_id"),
        (order(VEND, other="x"), "no_customer_id"),
    ],
)
def test_what_cannot_be_sold_is_not_asked_for(wanted: VendOrder, code: str):
    with pytest.raises(VendRefused) as refused:
        vended(wanted=wanted)
    assert refused.value.code == code


@pytest.mark.parametrize("changes", [{"base_url": ""}, {"username": None}, {"password": ""}])
def test_without_whole_credentials_nothing_is_asked(changes: dict[str, object]):
    with serving(InTurn([])) as server:
        secret = {"base_url": server.url, "username": USER, "password": PASSWORD, **changes}
        made = steama.make("steama", {"manufacturers/steama": secret}.__getitem__)
        with pytest.raises(SecretMissing):
            made.vend(order())
        assert server.connections == 0


# --- the log-in -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 No"])
def test_a_log_in_that_is_refused_is_a_clear_no(status: str):
    with pytest.raises(VendRefused) as refused:
        vended(answering(b"", status=status))
    assert refused.value.code == "authentication_failed"


@pytest.mark.parametrize(
    "log_in",
    [
        answering(b""),
        answering(b"[]"),
        answering(b"", status="500 Oops"),
        answering(b"", status="302 -"),
        logged_in(None),
        logged_in(""),
        logged_in("two words here"),
        sending(b""),
    ],
)
def test_a_log_in_that_fails_has_asked_for_nothing_else(log_in: Behaviour):
    with pytest.raises(VendorUnreachable):
        vended(log_in)


def test_a_session_is_kept_and_one_that_is_refused_is_renewed_once():
    script = [logged_in(), sold(), UNAUTHORISED, logged_in("another-session"), sold()]
    with serving(InTurn(script)) as server:
        made = vendor(server.url)
        assert made.vend(order()) == made.vend(order()) == Sold(reference="9001")
    with pytest.raises(VendRefused) as refused:
        vended(logged_in(), UNAUTHORISED)
    assert refused.value.code == "authentication_failed"


# --- what the answer to a top-up means --------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"amount": 1000.5}, {"amount": "1000.500"}, {"customer_id": "777"}, {"provider": None}],
)
def test_the_same_customer_and_amount_however_written_are_a_top_up(changes: dict[str, object]):
    assert vended(logged_in(), sold(**changes)) == Sold(reference="9001")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        ("400 Bad", {"detail": "Customer is archived."}, "Customer is archived."),
        ("400 Bad", {"non_field_errors": ["Too small.", "Really."]}, "Too small. Really."),
        ("403 No", {"detail": "Not allowed."}, "Not allowed."),
        ("404 No", {"detail": "Not found."}, "Not found."),
    ],
)
def test_a_refusal_with_its_reason_is_a_clear_no(status: str, body: object, said: str):
    with pytest.raises(VendRefused) as refused:
        vended(logged_in(), answering(json.dumps(body).encode(), status=status))
    assert (refused.value.code, str(refused.value)) == ("refused_by_vendor", said)


DOUBTFUL = [
    answering(b""),
    answering(b"<html>"),
    answering(b"[]"),
    answering(b"{}"),
    sold(number=None),
    sold(number="9001"),
    sold(number=True),
    sold(number=0),
    sold(number=10**16),
    sold(customer_id=778),
    sold(customer_id=None),
    sold(amount="1000.49"),
    sold(amount=None),
    sold(amount="NaN"),
    sold(amount="1e3"),
    sold(amount=True),
    answering(json.dumps(row()).encode() + b"}"),
    answering(json.dumps(row()).encode().ljust(70_000)),
    answering(b"[" * 50_000),
    answering(b"", status="302 Found"),
    *(answering(b"", status=s) for s in ("400 -", "404 -", "409 -", "429 -", "500 -")),
    answering(b"{}", status="400 Bad"),
    answering(b'{"detail": " "}', status="400 Bad"),
    answering(b'{"detail": {"x": 1}}', status="400 Bad"),
    answering(b'{"non_field_errors": [1, null]}', status="400 Bad"),
    sending(b""),
    sending(b"HTTP/1.1 201 OK\r\nContent-Length: 999\r\n\r\n{"),
]


@pytest.mark.parametrize("answer", DOUBTFUL)
def test_any_other_answer_is_uncertain(answer: Behaviour):
    with pytest.raises(VendUncertain):
        vended(logged_in(), answer)


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(steama, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        vended(logged_in(), lambda connection: connection.recv(1))


@given(
    st.sampled_from([200, 201, 301, 400, 401, 403, 404, 429, 500]),
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(dict.fromkeys(("id", "amount", "customer_id"), JSON)).map(
        lambda value: json.dumps(value).encode()
    ),
)
def test_any_answer_is_a_top_up_a_no_a_refused_session_or_uncertain(status: int, body: bytes):
    try:
        made = steama._sold(Answer(status, body), CUSTOMER, "1000.50", SESSION)
    except (SessionRefused, VendRefused, VendUncertain):
        return
    assert status in (200, 201) and made.reference is not None and made.value is None


# --- the search -------------------------------------------------------------------------------


def test_the_transactions_since_the_call_are_asked_for():
    with serving(InTurn([logged_in(), listed(row())])) as server:
        assert vendor(server.url).look_up(order()) == Sold(reference="9001")
        target = urlsplit(targets(server)[1].removeprefix("GET "))
    assert target.path == "/transactions/"
    assert parse_qs(target.query) == {
        "ordering": ["timestamp"],
        "created_after": ["2026-09-20T09:55:00+00:00"],
    }


@pytest.mark.parametrize(
    "other",
    [
        row(2, customer_id=778),
        row(2, customer_id=778, amount="garbage"),
        row(2, amount="1000.51"),
        row(2, category="FEE"),
        row(2, reversed_by_id=5),
        row(2, timestamp="2026-09-20T09:54:59Z"),
        row(2, timestamp="2026-09-20T12:54:59+03:00"),
    ],
)
def test_a_transaction_that_does_not_fit_is_not_ours(other: object):
    assert found(listed(row(), other)) == "9001"
    with pytest.raises(VendAbsent):
        found(listed(other))


def test_a_transaction_that_another_vend_accounts_for_is_not_ours():
    assert found(listed(row(1), row(2)), known=("1",)) == "2"
    with pytest.raises(VendAbsent):
        found(listed(row(1)), known=("1",))


def test_several_transactions_that_fit_are_for_a_person():
    with pytest.raises(VendUncertain):
        found(listed(row(1), row(2)))


def test_the_search_goes_on_to_the_last_page_and_to_no_other_server():
    elsewhere = "https://elsewhere.example/transactions/?page=2&ordering=x"
    script = [logged_in(), listed(row(1, amount="5.00"), following=elsewhere), listed(row(2))]
    with serving(InTurn(script)) as server:
        assert vendor(server.url).look_up(order()).reference == "2"
        query = parse_qs(urlsplit(targets(server)[2]).query)
    assert query["page"] == ["2"] and query["ordering"] == ["timestamp"]


def test_one_transaction_on_two_pages_is_one():
    assert found(listed(row(), following="/?page=2"), listed(row())) == "9001"


def test_a_list_that_is_too_long_is_not_taken_for_its_end():
    pages = [listed(following=f"/?page={number}") for number in range(2, 7)]
    with pytest.raises(VendUncertain):
        found(*pages)


UNREADABLE = [
    answering(b""),
    answering(b"[]"),
    answering(b"{}"),
    answering(b'{"results": null, "next": null}'),
    answering(b'{"results": [1], "next": null}'),
    answering(b'{"results": []}'),
    listed(following=""),
    listed(following="/?page="),
    listed(following="/?page=x"),
    listed(following="/?page=2&page=3"),
    listed(following=7),
    listed(following="http://[bad"),
    listed(row(amount=None)),
    listed(row(timestamp=None)),
    listed(row(timestamp="yesterday")),
    listed(row(timestamp="2026-09-20T10:00:01")),
    listed(row(number=None)),
    answering(b"", status="302 Found"),
    answering(b"", status="403 No"),
    answering(b"", status="500 Oops"),
    sending(b""),
]


@pytest.mark.parametrize("page", UNREADABLE)
def test_a_list_that_is_not_understood_does_not_tell(page: Behaviour):
    with pytest.raises(VendUncertain):
        found(page)


def test_a_search_that_takes_too_long_does_not_tell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(steama, "SECONDS_MAX", 0)
    with serving(InTurn([logged_in()])) as server, pytest.raises(VendorSilent):
        vendor(server.url).look_up(order())


def test_who_is_not_let_in_to_search_learns_nothing_about_the_vend():
    with serving(answering(b"", status="401 No")) as server, pytest.raises(VendUncertain):
        vendor(server.url).look_up(order())
    with pytest.raises(VendUncertain):
        vendor("http://127.0.0.1:9").look_up(order(replace(VEND, called_at=None)))
    with pytest.raises(VendorUnreachable):
        vendor("http://127.0.0.1:9").look_up(order())


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.booleans()), max_size=6))
def test_a_search_finds_exactly_what_fits_and_is_not_accounted_for(
    rows: list[tuple[int, bool, bool]],
):
    """Each row has a number, whether it is of our amount, and whether another vend has it."""
    wanted = steama._Wanted(CUSTOMER, "1000.50", CALLED_AT)
    known = frozenset(str(number) for number, _, is_known in rows if is_known)
    made = [row(number, amount="1000.50" if fits else "7") for number, fits, _ in rows]
    ours = {str(number) for number, fits, _ in rows if fits} - known
    assert {str(one["id"]) for one in made if steama._is_other_than(known, one, wanted)} == ours


# --- nothing leaks, and what people enter -----------------------------------------------------


@pytest.mark.parametrize(
    "behaviours",
    [
        (answering(f"{USER} {PASSWORD}".encode(), status="401 No"),),
        (answering(f"{USER} {PASSWORD} {SESSION}".encode()),),
        (logged_in(), answering(f'{{"detail": "not {SESSION}"}}'.encode(), status="400 Bad")),
        (logged_in(), answering(f"{SESSION}".encode())),
    ],
)
def test_no_error_repeats_the_credentials(behaviours: tuple[Behaviour, ...]):
    with pytest.raises(MwangaError) as error:
        vended(*behaviours)
    shown: BaseException | None = error.value
    while shown is not None:
        for hidden in (SESSION, PASSWORD, USER):
            assert hidden not in f"{shown!r} {shown}"
        shown = shown.__cause__


def test_a_top_up_has_no_token():
    assert vendor("http://a.example").token(None) is None
    with pytest.raises(FieldError):
        vendor("http://a.example").token("123456789")


@pytest.mark.parametrize("given_id", [777, "777", " 777 "])
def test_a_meter_has_the_number_of_its_customer(given_id: object):
    stored, counter = vendor("http://a.example").seal(METER, {"customer_id": given_id})
    assert (stored, counter) == ({"customer_id": "777"}, 0)
    device = Device(METER, Kind.METER, "steama", 1, date(2026, 1, 1), technical=stored)
    assert vendor("http://a.example").reveal(device) == {"customer_id": "777"}


@pytest.mark.parametrize("given_id", [None, "", 0, -1, True, 1.5, "x", "0777", "٧", "1/2", [777]])
def test_what_is_no_number_of_a_customer_is_refused(given_id: object):
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal(METER, {"customer_id": given_id})
    assert error.value.field == "technical.customer_id"
    with pytest.raises(FieldError):
        vendor("http://a.example").seal(METER, {"customer_id": 1, "site": "x"})


def test_clocks_that_differ_a_little_do_not_hide_a_transaction():
    early = (CALLED_AT - timedelta(minutes=5)).isoformat()
    assert found(listed(row(timestamp=early))) == "9001"
