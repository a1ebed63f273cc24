"""SparkMeter: top-ups by money, what each answer means, and how a lost one is found again."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Vend, VendState
from chalicelib.manufacturers import sparkmeter
from chalicelib.runtime.one_call import Answer
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
from tests.unit.scripted_server import Behaviour, answering, sending, serving

CUSTOMER = "6f1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
REFERENCE = "0a1b2c3d-0000-4000-8000-00000000000a"
EXTERNAL_ID = "direct.acme-1.1"
SITE_TOKEN, API_KEY, API_SECRET = "site-token-7", "api-key-7", "api-secret-7"
VEND = Vend(
    number=1,
    serial_number="SM5R-01-0001",
    manufacturer="sparkmeter",
    kind=VendKind.ENERGY,
    state=VendState.CALLING,
    units=Fraction(10),
    cost_minor=Fraction(100_000),
    called_at=datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC),
)
NAMED = replace(VEND, reference=REFERENCE)


def taken(**changes: object) -> bytes:
    answer = {"error": False, "transaction_id": REFERENCE, "status": "success"}
    return json.dumps({**answer, **changes}).encode()


def transaction(**changes: object) -> bytes:
    inner = {"status": "processed", "external_id": EXTERNAL_ID, "source": "cash"}
    return json.dumps({"transaction": {**inner, **changes}}).encode()


def row(**changes: object) -> dict[str, object]:
    ours = {
        "type": "transaction",
        "transaction_id": REFERENCE,
        "state": "processed",
        "external_id": EXTERNAL_ID,
    }
    return {**ours, **changes}


def page(*rows: object, cursor: object = None) -> bytes:
    return json.dumps({"results": list(rows), "cursor": cursor, "count": len(rows)}).encode()


def order(
    vend: Vend = VEND,
    technical: Mapping[str, Any] | None = None,
    currency: Currency | None = None,
) -> VendOrder:
    return VendOrder(
        "direct.acme-1",
        vend,
        currency or Currency("KES", 2),
        technical={"customer_id": CUSTOMER} if technical is None else technical,
    )


def vendor(base_url: object, **changes: object) -> sparkmeter.SparkMeter:
    secret: dict[str, object] = {
        "koios": {
            "base_url": f"{base_url}/koios",
            "api_key": API_KEY,
            "api_secret": API_SECRET,
            "organization_id": "our org/1",
        },
        "sites": {"north": {"base_url": f"{base_url}/north", "token": SITE_TOKEN}},
        **changes,
    }
    return sparkmeter.make("sparkmeter", {"manufacturers/sparkmeter": secret}.__getitem__)


def vended(behaviour: Behaviour) -> Sold:
    with serving(behaviour) as server:
        try:
            return vendor(server.url).vend(order())
        finally:
            assert server.connections == 1, "a vend is asked for once, whatever comes of it"


def looked_up(body: bytes, vend: Vend = NAMED, status: str = "200 OK") -> Sold:
    with serving(answering(body, status=status)) as server:
        return vendor(server.url).look_up(order(vend))


def paging(*bodies: bytes) -> Behaviour:
    """Answer one after the other."""
    left: Iterator[bytes] = iter(bodies)
    return lambda connection: answering(next(left))(connection)


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = sparkmeter.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("sparkmeter", 12)
    assert manufacturer.kind is Kind.METER
    assert manufacturer.recovery is RecoveryClass.SEARCHABLE
    assert manufacturer.technical_required
    assert not manufacturer.one_at_a_time, "a top-up is found by our own name for it"
    assert manufacturer.absent_after_seconds == 60
    assert not manufacturer.local
    assert manufacturer.timeout_seconds == 20
    assert set(manufacturer.rules) == {VendKind.ENERGY, VendKind.RESET}


def test_it_takes_money_to_the_minor_unit():
    device = Device("SM1", Kind.METER, "sparkmeter", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.ENERGY)
    assert (rules.step, rules.money_step_minor) == (Fraction(1, 1000), 1)


# --- what is sent -----------------------------------------------------------------------------


def test_the_site_is_asked_exactly_as_it_expects():
    with serving(answering(taken())) as server:
        sold = vendor(server.url).vend(order())
    assert sold == Sold(reference=REFERENCE, delivered=False)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /north/api/v0/transaction/ HTTP/1.1\r\n")
    assert f"\r\nAuthentication-Token: {SITE_TOKEN}\r\n".encode() in head + b"\r\n"
    assert API_SECRET.encode() not in head
    assert json.loads(body) == {
        "customer_id": CUSTOMER,
        "amount": "1000.00",
        "source": "cash",
        "external_id": EXTERNAL_ID,
    }


@pytest.mark.parametrize(
    ("cost_minor", "currency", "written"),
    [
        (1, Currency("KES", 2), "0.01"),
        (1234, Currency("UGX", 0), "1234"),
        (1234, Currency("TND", 3), "1.234"),
        (9007199254740993, Currency("KES", 2), "90071992547409.93"),
    ],
)
def test_money_is_written_without_losing_a_digit(cost_minor: int, currency: Currency, written: str):
    with serving(answering(taken())) as server:
        vend = replace(VEND, cost_minor=Fraction(cost_minor))
        vendor(server.url).vend(order(vend, currency=currency))
    assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2])["amount"] == written


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (replace(VEND, cost_minor=Fraction(1, 2)), "amount_out_of_range"),
        (replace(VEND, cost_minor=Fraction(0)), "amount_out_of_range"),
        (replace(VEND, cost_minor=Fraction(-1)), "amount_out_of_range"),
        (replace(VEND, kind=VendKind.TIME), "not_offered"),
        (replace(VEND, kind=VendKind.UNLOCK), "not_offered"),
    ],
)
def test_what_the_vendor_does_not_sell_is_not_asked_for(vend: Vend, code: str):
    with serving(answering(taken())) as server:
        with pytest.raises(VendRefused) as refused:
            vendor(server.url).vend(order(vend))
        assert refused.value.code == code
        assert server.connections == 0


# --- which site, and with what ----------------------------------------------------------------


def sites(url: str, *names: str) -> dict[str, object]:
    return {name: {"base_url": f"{url}/{name}/", "token": SITE_TOKEN} for name in names}


def test_a_device_is_topped_up_at_its_own_site():
    with serving(answering(taken())) as server:
        several = vendor(server.url, sites=sites(server.url, "north", "south"))
        several.vend(order(technical={"customer_id": CUSTOMER, "site": "south"}))
    assert server.requests[0].startswith(b"POST /south/api/v0/transaction/ HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("technical", "code"),
    [
        ({}, "no_customer_id"),
        ({"site": "north"}, "no_customer_id"),
        ({"customer_id": CUSTOMER}, "unknown_site"),
        ({"customer_id": CUSTOMER, "site": "east"}, "unknown_site"),
    ],
)
def test_a_device_that_is_not_set_up_is_refused(technical: dict[str, Any], code: str):
    with serving(answering(taken())) as server:
        several = vendor(server.url, sites=sites(server.url, "north", "south"))
        with pytest.raises(VendRefused) as refused:
            several.vend(order(technical=technical))
        assert refused.value.code == code
        assert server.connections == 0


@pytest.mark.parametrize("technical", [{"customer_id": CUSTOMER, "site": "gone"}, {}])
def test_a_top_up_that_was_sent_is_never_refused_for_a_device_that_was_changed(
    technical: dict[str, Any],
):
    with serving(answering(transaction())) as server:
        several = vendor(server.url, sites=sites(server.url, "north", "south"))
        with pytest.raises(VendUncertain):
            several.look_up(order(NAMED, technical))
        assert server.connections == 0
    with serving(answering(page(row()))) as server:
        several = vendor(server.url, sites=sites(server.url, "north", "south"))
        assert several.look_up(order(VEND, technical)) == Sold(reference=REFERENCE)


URL = "https://a.example"
KOIOS = {"base_url": URL, "api_key": "k", "api_secret": "s", "organization_id": "o"}


@pytest.mark.parametrize(
    "changes",
    [
        {"sites": None},
        {"sites": []},
        {"sites": {}},
        {"sites": {"north": None}},
        {"sites": {"north": {"base_url": "north", "token": "t"}}},
        {"sites": {"north": {"base_url": URL, "token": ""}}},
        {"sites": {"north": {"base_url": URL, "token": "a\r\nb"}}},
        {"koios": None},
        {"koios": {}},
        {"koios": {**KOIOS, "base_url": ""}},
        {"koios": {**KOIOS, "api_key": None}},
        {"koios": {**KOIOS, "api_secret": "é"}},
        {"koios": {**KOIOS, "organization_id": ""}},
    ],
)
def test_nothing_is_sent_that_could_not_be_found_again(changes: dict[str, object]):
    with serving(answering(taken())) as server:
        broken = vendor(server.url, **changes)
        with pytest.raises(SecretMissing):
            broken.vend(order())
        with pytest.raises(SecretMissing):
            broken.look_up(order(VEND if "koios" in changes else NAMED))
        assert server.connections == 0


# --- the answer to a top-up -------------------------------------------------------------------


@pytest.mark.parametrize("error", [False, None])
@pytest.mark.parametrize("status", ["success", "pending", "error", "", None, 1, []])
def test_a_top_up_that_is_taken_is_not_delivered_yet(error: object, status: object):
    sold = vended(answering(taken(error=error, status=status)))
    assert sold == Sold(reference=REFERENCE, delivered=False)


def test_a_top_up_that_is_processed_at_once_is_delivered():
    body = taken(status="processed")
    assert vended(answering(body, status="201 Created")) == Sold(reference=REFERENCE)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("200 OK", "refused_by_vendor"),
        ("400 Bad", "refused_by_vendor"),
        ("401 No", "authentication_failed"),
        ("403 No", "refused_by_vendor"),
        ("404 No", "refused_by_vendor"),
    ],
)
def test_an_error_in_words_is_a_definite_no(status: str, code: str):
    body = json.dumps({"error": f"customer\nnot found {SITE_TOKEN}", "status": "failure"}).encode()
    with pytest.raises(VendRefused) as refused:
        vended(answering(body, status=status))
    assert (refused.value.code, refused.value.detail) == (code, "customer not found …")


def test_a_vendor_that_cannot_be_reached_was_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    unreachable = vendor(f"http://127.0.0.1:{port}")
    for vend in (VEND, NAMED):
        with pytest.raises(VendorUnreachable):
            unreachable.look_up(order(vend))
    with pytest.raises(VendorUnreachable):
        unreachable.vend(order())


UNCLEAR = [
    b"",
    b"<html>OK</html>",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"error": NaN}',
    b"[" * 50_000,
]


@pytest.mark.parametrize(
    "body",
    [
        *UNCLEAR,
        taken(error=True),
        taken(error=""),
        taken(error=0),
        taken(error={"message": "no"}),
        taken(error="no", transaction_id=REFERENCE),
        taken(transaction_id=None),
        taken(transaction_id=""),
        taken(transaction_id=7),
        taken(transaction_id="a/../b"),
        taken(transaction_id="a b"),
        taken(transaction_id="٠٠٠"),
        taken(transaction_id="\ud800"),
        taken(transaction_id="x" * 65),
        taken(transaction_id=[REFERENCE]),
        taken().replace(b"success", b"\xff"),
        taken()[:-1] + b', "error": "no"}',
        taken().decode().encode("utf-16"),
        taken().ljust(70_000),
    ],
)
def test_an_answer_that_is_not_clear_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(answering(body))


@pytest.mark.parametrize("body", [b"{}", taken(error=True), taken(transaction_id=None)])
def test_an_answer_that_can_be_read_is_no_silence_however_odd(body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body))
    assert not isinstance(uncertain.value, VendorSilent)


@pytest.mark.parametrize("body", [b"", b"<html>OK</html>", b"[]"])
def test_an_answer_that_cannot_be_read_is_a_broken_servers(body: bytes):
    with pytest.raises(VendorSilent):
        vended(answering(body))


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "403 No", "404 No"])
@pytest.mark.parametrize(
    "body", [b"", b"<html>", taken(), taken(error="no"), b'{"error": true}', b'{"error": ""}']
)
def test_an_error_status_without_a_word_why_is_uncertain(status: str, body: bytes):
    with pytest.raises(VendUncertain):
        vended(answering(body, status=status))


SILENT = ["429 Slow", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["302 Found", "409 Twice", *SILENT])
@pytest.mark.parametrize("body", [b"", taken(), b'{"error": "no"}'])
def test_any_other_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body, status=status))
    assert uncertain.value.detail == f"HTTP status {status[:3]}"
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


def test_a_redirect_is_not_followed():
    with serving(answering(taken())) as elsewhere:
        headers = f"Location: {elsewhere.url}/\r\n"
        with pytest.raises(VendUncertain):
            vended(answering(b"", status="307 Temporary Redirect", headers=headers))
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + taken(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        vended(sending(data))


# --- a top-up that the vendor has named -------------------------------------------------------


def test_the_site_is_asked_for_the_transaction_by_its_name():
    with serving(answering(transaction())) as server:
        assert vendor(server.url).look_up(order(NAMED)) == Sold(reference=REFERENCE)
    head = server.requests[0]
    assert head.startswith(f"GET /north/api/v0/transaction/{REFERENCE} HTTP/1.1\r\n".encode())
    assert f"\r\nAuthentication-Token: {SITE_TOKEN}\r\n".encode() in head


@pytest.mark.parametrize("status", ["pending", "not-processed"])
def test_what_its_meter_has_not_heard_of_is_not_delivered(status: str):
    undelivered = Sold(reference=REFERENCE, delivered=False)
    assert looked_up(transaction(status=status)) == undelivered
    assert looked_up(page(row(state=status)), VEND) == undelivered


@pytest.mark.parametrize(
    ("status", "code"), [("error", "transaction_error"), ("reversed", "transaction_reversed")]
)
def test_what_gave_nothing_for_good_is_refused(status: str, code: str):
    for body, vend in ((transaction(status=status), NAMED), (page(row(state=status)), VEND)):
        with pytest.raises(VendRefused) as refused:
            looked_up(body, vend)
        assert refused.value.code == code


@pytest.mark.parametrize(
    "state", ["success", "Processed", "processed ", "failed", "", None, True, 1, [], {}]
)
def test_an_unknown_state_is_never_a_success(state: object):
    for body, vend in ((transaction(status=state), NAMED), (page(row(state=state)), VEND)):
        with pytest.raises(VendUncertain):
            looked_up(body, vend)


@pytest.mark.parametrize(
    "body",
    [
        *UNCLEAR,
        b'{"transaction": null}',
        b'{"transaction": []}',
        b'{"status": "processed"}',
        transaction(external_id="direct.acme-1.2"),
        transaction(external_id=None),
        transaction(external_id=[EXTERNAL_ID]),
    ],
)
def test_a_transaction_that_is_not_clearly_ours_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        looked_up(body)


@pytest.mark.parametrize("status", ["302 Found", "400 Bad", "401 No", "404 No", "500 Oops"])
def test_a_look_up_with_an_error_status_is_uncertain(status: str):
    for body, vend in ((b'{"error": "no"}', NAMED), (transaction(), NAMED), (page(), VEND)):
        with pytest.raises(VendUncertain) as uncertain:
            looked_up(body, vend, status)
        assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


# --- a top-up whose answer was lost -----------------------------------------------------------


def test_koios_is_searched_since_shortly_before_the_call():
    with serving(answering(page(row(external_id=None), row()))) as server:
        assert vendor(server.url).look_up(order()) == Sold(reference=REFERENCE)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    path = b"/koios/organizations/our%20org%2F1/data/historical"
    assert head.startswith(b"POST " + path + b" HTTP/1.1\r\n")
    assert f"\r\nX-API-KEY: {API_KEY}\r\n".encode() in head + b"\r\n"
    assert f"\r\nX-API-SECRET: {API_SECRET}\r\n".encode() in head + b"\r\n"
    assert SITE_TOKEN.encode() not in head
    assert json.loads(body) == {
        "filters": {
            "entity_types": ["transactions"],
            "date_range": {"from": "2026-03-01T11:55:00.250000+00:00"},
        },
        "cursor": None,
    }


def test_a_search_follows_the_pages_until_it_finds_it():
    others = row(external_id="direct.acme-1.10", transaction_id="x")
    pages = paging(page(others, cursor="p2"), page(cursor="p3"), page(row(), cursor="p4"))
    with serving(pages) as server:
        assert vendor(server.url).look_up(order()) == Sold(reference=REFERENCE)
    asked = [json.loads(request.partition(b"\r\n\r\n")[2])["cursor"] for request in server.requests]
    assert asked == [None, "p2", "p3"]


def test_it_is_absent_only_after_the_last_page():
    with serving(paging(page(row(external_id="other"), cursor="p2"), page())) as server:
        with pytest.raises(VendAbsent):
            vendor(server.url).look_up(order())
        assert server.connections == 2


def test_a_history_of_too_many_pages_is_uncertain():
    with serving(answering(page(cursor="more"))) as server:
        with pytest.raises(VendUncertain, match="too long"):
            vendor(server.url).look_up(order())
        assert server.connections == 5


def test_the_pages_together_keep_to_the_time_of_one_call(monkeypatch: pytest.MonkeyPatch):
    seconds_given = []

    def ask(*asked: Any) -> Answer:
        seconds_given.append(asked[3])
        return Answer(200, page(cursor="more"))

    clock = SimpleNamespace(monotonic=iter([100, 100, 108, 119, 120]).__next__)
    monkeypatch.setattr(sparkmeter, "time", clock)
    monkeypatch.setattr(sparkmeter, "ask", ask)
    with pytest.raises(VendorSilent, match="takes too long"):
        vendor("http://a.example").look_up(order())
    assert seconds_given == [20, 12, 1]


def test_a_search_that_is_not_answered_met_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sparkmeter, "SECONDS_MAX", 0.2)
    with serving(lambda connection: connection.recv(1)) as server, pytest.raises(VendorSilent):
        vendor(server.url).look_up(order())


def test_two_transactions_of_one_name_are_for_a_person():
    with pytest.raises(VendUncertain, match="several"):
        looked_up(page(row(), row(transaction_id="another")), VEND)


ANOTHER = row(external_id="direct.acme-1.2", transaction_id="another")


@pytest.mark.parametrize("state", ["processed", "pending", "not-processed", "unheard of", None, []])
def test_another_vend_of_the_payment_that_was_sold_after_all_is_for_a_person(state: object):
    sold_after_all = {**ANOTHER, "state": state}
    for pages in ([page(sold_after_all)], [page(sold_after_all, cursor="p2"), page()]):
        with serving(paging(*pages)) as server:
            with pytest.raises(
                VendUncertain, match="another vend of this payment was sold"
            ) as told:
                vendor(server.url).look_up(order())
            assert not isinstance(told.value, VendorSilent)


@pytest.mark.parametrize(
    "pages",
    [[page(ANOTHER, row())], [page(row(), ANOTHER)], [page(ANOTHER, cursor="2"), page(row())]],
)
def test_a_top_up_is_found_also_beside_another_vend_of_its_payment(pages: list[bytes]):
    with serving(paging(*pages)) as server:
        assert vendor(server.url).look_up(order()) == Sold(reference=REFERENCE)


@pytest.mark.parametrize(
    "other",
    [
        row(external_id="direct.acme-11.1"),
        row(external_id="direct.acme-1.1.1"),
        row(external_id="direct.acme-1"),
        row(external_id="direct.acme"),
        row(external_id=None),
        row(external_id=["direct.acme-1.2"]),
        {**ANOTHER, "state": "error"},
        {**ANOTHER, "state": "reversed"},
    ],
)
def test_another_payment_or_one_that_gave_nothing_is_no_other_sale(other: dict[str, object]):
    with pytest.raises(VendAbsent):
        looked_up(page(other), VEND)


def test_a_vend_without_a_time_cannot_be_searched():
    with serving(answering(page())) as server:
        with pytest.raises(VendUncertain):
            vendor(server.url).look_up(order(replace(VEND, called_at=None)))
        assert server.connections == 0


@pytest.mark.parametrize(
    "body",
    [
        *UNCLEAR,
        b'{"results": []}',
        b'{"cursor": null}',
        b'{"results": null, "cursor": null}',
        b'{"results": {}, "cursor": null}',
        page(cursor=""),
        page(cursor=0),
        page(cursor=False),
        page(cursor="x" * 2001),
        page(None),
        page([]),
        page("text", row()),
        page(row(transaction_id=None)),
        page(row(transaction_id="a b")),
        page().ljust(70_000),
    ],
)
def test_a_page_that_is_not_understood_never_means_absent(body: bytes):
    with pytest.raises(VendUncertain):
        looked_up(body, VEND)


# --- answers of any shape ---------------------------------------------------------------------

STATES = st.sampled_from(["processed", "pending", "not-processed", "error", "reversed"]) | JSON
TRANSACTIONS = st.fixed_dictionaries(
    {},
    optional={
        "external_id": st.just(EXTERNAL_ID) | JSON,
        "transaction_id": st.just(REFERENCE) | JSON,
        "status": STATES,
        "state": STATES,
        "error": st.sampled_from([False, None, "no"]) | JSON,
    },
)


@given(
    st.sampled_from([200, 201, 302, 400, 401, 403, 404, 409, 500]),
    st.binary(max_size=100)
    | (TRANSACTIONS | st.fixed_dictionaries({"transaction": TRANSACTIONS | JSON}) | JSON).map(
        lambda fields: json.dumps(fields).encode()
    ),
)
def test_no_answer_of_any_shape_makes_anything_but_a_top_up_or_one_of_our_errors(
    status: int, body: bytes
):
    for read in (
        lambda: sparkmeter._sold(Answer(status, body), SITE_TOKEN),
        lambda: sparkmeter._named(Answer(status, body), EXTERNAL_ID, REFERENCE),
    ):
        try:
            sold = read()
        except (VendRefused, VendUncertain):
            continue
        assert status in (200, 201)
        assert sold.value is None
        assert sold.reference is not None
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", sold.reference)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "results": st.lists(TRANSACTIONS | JSON, max_size=3) | JSON,
            "cursor": st.none() | JSON,
        },
    )
)
def test_no_page_of_any_shape_hides_a_transaction(fields: dict[str, Any]):
    rows = fields.get("results")
    ours = isinstance(rows, list) and any(
        isinstance(r, dict) and r.get("external_id") == EXTERNAL_ID for r in rows
    )
    with pytest.MonkeyPatch.context() as patch:
        answer = Answer(200, json.dumps(fields).encode())
        patch.setattr(sparkmeter, "ask", lambda *_: answer)
        try:
            vendor("http://a.example").look_up(order())
        except VendAbsent:
            assert not ours
            assert "cursor" in fields and fields["cursor"] is None
        except (VendRefused, VendUncertain):
            pass
        else:
            assert ours


@pytest.mark.parametrize(
    "said", [f"{SITE_TOKEN} is wrong", "token 01234567890123456789", f"x{SITE_TOKEN}\x00"]
)
def test_no_error_repeats_a_secret(said: str):
    for behaviour in (
        answering(json.dumps({"error": said}).encode()),
        answering(json.dumps({"error": said}).encode(), status="401 No"),
        answering(said.encode()),
    ):
        with pytest.raises(MwangaError) as error:
            vended(behaviour)
        shown: BaseException | None = error.value
        while shown is not None:
            assert SITE_TOKEN not in f"{shown!r} {shown}"
            assert "01234567890123456789" not in f"{shown!r} {shown}"
            shown = shown.__cause__


# --- what people enter ------------------------------------------------------------------------


def test_there_is_no_token_to_type_in():
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").token("01234567890123456789")
    assert vendor("http://a.example").token(None) is None
    assert error.value.field == "token"


@pytest.mark.parametrize(
    ("technical", "stored"),
    [
        ({"customer_id": CUSTOMER}, {"customer_id": CUSTOMER}),
        ({"customer_id": f" {CUSTOMER.upper()}\n", "site": None}, {"customer_id": CUSTOMER}),
        ({"customer_id": CUSTOMER.replace("-", "")}, {"customer_id": CUSTOMER}),
        (
            {"customer_id": CUSTOMER, "site": " Kijiji cha Juu "},
            {"customer_id": CUSTOMER, "site": "Kijiji cha Juu"},
        ),
    ],
)
def test_a_device_is_known_by_its_customer_and_site(
    technical: dict[str, Any], stored: dict[str, str]
):
    assert vendor("http://a.example").seal("SM1", technical) == (stored, 0)


@pytest.mark.parametrize(
    ("technical", "field"),
    [
        ({}, "customer_id"),
        ({"customer_id": None}, "customer_id"),
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": 1}, "customer_id"),
        ({"customer_id": [CUSTOMER]}, "customer_id"),
        ({"customer_id": CUSTOMER[:-1]}, "customer_id"),
        ({"customer_id": "x" * 32}, "customer_id"),
        ({"customer_id": "1_" * 16}, "customer_id"),
        ({"customer_id": "٠" * 32}, "customer_id"),
        ({"customer_id": CUSTOMER * 1000}, "customer_id"),
        ({"customer_id": CUSTOMER, "site": ""}, "site"),
        ({"customer_id": CUSTOMER, "site": " "}, "site"),
        ({"customer_id": CUSTOMER, "site": "x" * 61}, "site"),
        ({"customer_id": CUSTOMER, "site": "a\nb"}, "site"),
        ({"customer_id": CUSTOMER, "site": 7}, "site"),
        ({"customer_id": CUSTOMER, "secret_key": "x"}, "secret_key"),
        ({"customer_id": CUSTOMER, "x" * 100: "x"}, "x" * 60),
    ],
)
def test_a_field_that_is_not_right_is_named(technical: dict[str, Any], field: str):
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal("SM1", technical)
    assert error.value.field == f"technical.{field}"


# --- a reset, and a question that sells nothing -----------------------------------------------

RESET = replace(VEND, kind=VendKind.RESET, units=None, cost_minor=Fraction(0))


def test_a_meter_is_reset_at_its_site():
    with serving(answering(b'{"error": false, "status": "success"}')) as server:
        assert vendor(server.url).vend(order(RESET)) == Sold()
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    path = f"/north/api/v0/customers/{CUSTOMER}/reset-meter"
    assert head.startswith(f"POST {path} HTTP/1.1\r\n".encode())
    assert f"Authentication-Token: {SITE_TOKEN}".encode() in head
    assert json.loads(body) == {}


def test_a_reset_that_is_refused_or_not_clear_is_told_as_such():
    refusal = answering(taken(error="no such customer", transaction_id=None))
    with serving(refusal) as server, pytest.raises(VendRefused):
        vendor(server.url).vend(order(RESET))
    for body in (b"", taken(error=1), b"[]"):
        with serving(answering(body)) as server, pytest.raises(VendUncertain):
            vendor(server.url).vend(order(RESET))


def test_a_reset_is_in_no_history():
    with pytest.raises(VendUncertain):
        vendor("http://a.example").look_up(order(RESET))


def test_a_check_asks_koios_for_the_last_minutes():
    with serving(answering(page())) as server:
        vendor(server.url).check("")
        head = server.requests[0]
    assert head.startswith(b"POST /koios/organizations/our%20org%2F1/data/historical HTTP/1.1")
    with serving(answering(b"", status="401 No")) as server, pytest.raises(VendUncertain):
        vendor(server.url).check("")
