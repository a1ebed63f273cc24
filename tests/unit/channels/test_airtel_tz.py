"""Airtel Money Tanzania: the word that money has moved, and the command that gives it back."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from xml.etree.ElementTree import fromstring
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import airtel_tz
from chalicelib.channels.airtel_tz import CHANNEL, AirtelProvider
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.payment import Claim, Payment, Refund, Status, accepted
from chalicelib.runtime.one_call import Answer, call
from chalicelib.services.ports import (
    OutcomeUnknown,
    Provider,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    ProviderUnreachable,
    RecoveryClass,
    RefundTaken,
    RefusalClass,
    SecretMissing,
    TryAgain,
    VersionConflict,
)
from tests.unit.channels.front_desk import NOW, FrontDesk
from tests.unit.scripted_server import Behaviour, answering, sending, serving

ADDRESS, PATH_SECRET = "41.223.4.10", "new-path-secret"
PAYMENT_ID = "airtel_tz.555-MP260108.1200.A1"
SECRET: dict[str, Any] = {
    "users": {"mwanga": ["new-password", "old-password"], "second": ["another-password"]},
    "business_number": "555",
    "path_secrets": [PATH_SECRET, "old-path-secret"],
    "addresses": [ADDRESS, "41.223.5.0/24"],
    "currency": "TZS",
    "rollback_url": "https://airtel.example/rollback",
}
REPORT = {
    "APIUser": "mwanga",
    "APIPassword": "new-password",
    "INTERFACEID": "I1",
    "BusinessNumber": "555",
    "TransID": "MP260108.1200.A1",
    "Amount": "5000",
    "ReferenceField": "sm5r 00123",
    "Msisdn": "784000001",
    "TRID": "991",
}


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({"channels/airtel_tz": SECRET})


def body(fields: Mapping[str, str | None], root: str = "COMMAND") -> bytes:
    given = {name: text for name, text in fields.items() if text is not None}
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in given.items())
    return f"<{root}>{inner}</{root}>".encode()


def post(
    desk: FrontDesk,
    raw: bytes | None = None,
    *,
    path_secret: str = PATH_SECRET,
    address: str = ADDRESS,
    **changes: str | None,
) -> ProviderAnswer:
    raw = body({**REPORT, **changes}) if raw is None else raw
    parameters = {"path_secret": path_secret}
    return airtel_tz.payment(ProviderRequest("POST", parameters, {}, raw, address), desk)


def read(answer: ProviderAnswer) -> dict[str, str]:
    """The fields of an answer, which must have Airtel's form."""
    assert answer.content_type == "text/xml; charset=utf-8"
    root = fromstring(answer.body)
    fields = {child.tag: child.text or "" for child in root}
    assert root.tag == "Response"
    assert list(fields) == [
        *("TYPE", "TXNID", "TXNSTATUS", "ReferenceField", "MESSAGE", "TransID", "Msisdn")
    ]
    assert fields["TYPE"] == "CMPRRES"
    assert fields["TXNSTATUS"] == str(answer.status)
    return fields


# --- as data --------------------------------------------------------------------------------


def test_the_channel_states_its_route_as_data():
    assert CHANNEL.key == "airtel_tz"
    assert CHANNEL.refusal_class is RefusalClass.TOLD_AFTER
    assert CHANNEL.can_refund
    assert [(e.method, e.path, e.content_types) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/airtel_tz/{path_secret}", ())
    ]


def test_the_provider_states_how_it_may_be_asked():
    asked: Provider = airtel_tz.make({"channels/airtel_tz": SECRET}.__getitem__)
    assert asked.timeout_seconds == 20
    assert asked.refund_recovery is RecoveryClass.OPAQUE
    assert asked.full_refunds_only


# --- money has moved --------------------------------------------------------------------------


def test_a_report_is_stored_and_answered_with_airtel_s_own_names(desk: FrontDesk):
    answer = post(desk)
    assert answer.status == 200
    assert read(answer) == {
        "TYPE": "CMPRRES",
        "TXNID": "MP260108.1200.A1",
        "TXNSTATUS": "200",
        "ReferenceField": "sm5r 00123",
        "MESSAGE": "Received",
        "TransID": "MP260108.1200.A1",
        "Msisdn": "784000001",
    }
    assert desk.stored[PAYMENT_ID].status is Status.RECEIVED


def test_the_claim_holds_what_was_said(desk: FrontDesk):
    post(desk)
    (claim,) = desk.claims
    assert (claim.channel, claim.source) == ("airtel_tz", "airtel_tz.555")
    assert (claim.transaction, claim.reference) == ("MP260108.1200.A1", "MP260108.1200.A1")
    assert (claim.serial_number, claim.amount_minor, claim.currency) == (
        "SM5R00123",
        5_000_00,
        "TZS",
    )
    assert claim.payer_phone == "+255784000001"
    assert claim.known_as == {"trid": "991"}
    assert claim.paid_at is None
    assert not claim.proven


@pytest.mark.parametrize("root", ["COMMAND", "Request", "anything"])
def test_the_root_may_have_any_name(desk: FrontDesk, root: str):
    assert post(desk, body(REPORT, root)).status == 200


@pytest.mark.parametrize("refusal", list(Refusal))
def test_money_that_has_moved_is_stored_whatever_we_think_of_it(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    assert post(desk).status == 200
    assert desk.stored[PAYMENT_ID].status is Status.RECEIVED


@pytest.mark.parametrize(
    ("typed", "kept"), [("", "?"), (None, "?"), ("pay asha!", "pay asha!"), ("#é", "#é")]
)
def test_money_for_a_serial_that_is_none_is_stored_for_a_person_to_read(
    desk: FrontDesk, typed: str | None, kept: str
):
    assert post(desk, ReferenceField=typed).status == 200
    assert desk.claims[0].serial_number == kept


@pytest.mark.parametrize("missing", ["INTERFACEID", "Msisdn", "TRID", "ReferenceField"])
def test_money_is_not_lost_for_a_field_that_can_be_done_without(desk: FrontDesk, missing: str):
    assert post(desk, **{missing: None}).status == 200
    assert len(desk.stored) == 1


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("784000001", "+255784000001"),
        ("0784000001", "+255784000001"),
        ("255784000001", "+255784000001"),
        ("asha", None),
        ("", None),
        ("9" * 50, None),
    ],
)
def test_the_payer_s_number_is_kept_where_it_is_one(
    desk: FrontDesk, written: str, kept: str | None
):
    post(desk, Msisdn=written)
    assert desk.claims[0].payer_phone == kept


@pytest.mark.parametrize(
    ("amount", "amount_minor"), [("5000", 5_000_00), ("5000.00", 5_000_00), ("0.5", 50)]
)
def test_amounts_lose_no_digit(desk: FrontDesk, amount: str, amount_minor: int):
    post(desk, Amount=amount)
    assert desk.claims[0].amount_minor == amount_minor


def test_a_repeat_is_answered_alike_and_credited_once(desk: FrontDesk):
    assert post(desk) == post(desk)
    assert len(desk.stored) == 1


def test_another_claim_under_one_transaction_is_answered_with_success_and_noted(desk: FrontDesk):
    post(desk)
    assert post(desk, Amount="9999").status == 200
    assert desk.stored[PAYMENT_ID].amount_minor == 5_000_00
    assert desk.journal.reasons == ["reference_conflict"]


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown(), VersionConflict()])
def test_an_error_is_answered_when_the_payment_was_not_stored(
    desk: FrontDesk, failure: MwangaError
):
    desk.failure = failure
    assert read(post(desk))["TXNSTATUS"] == "503"
    assert desk.journal.reasons == [failure.code]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *[
            ({"Amount": text}, "unusable_amount")
            for text in (None, "", "0", "-5", "1e3", "5,000", "0.001", "٥٠", "9" * 30)
        ],
        *[({"TransID": text}, "unreadable") for text in (None, "", "A/B", "A B", "Ä1", "A" * 41)],
        ({"BusinessNumber": "556"}, "wrong_business_number"),
        ({"BusinessNumber": None}, "wrong_business_number"),
    ],
)
def test_a_report_that_cannot_be_stored_is_an_error_and_an_alarm(
    desk: FrontDesk, changes: dict[str, str | None], code: str
):
    answer = post(desk, **changes)
    assert read(answer)["TXNSTATUS"] == "400"
    assert not desk.stored
    assert desk.journal.reasons == [code]
    assert [metric for metric, _ in desk.journal.counts] == ["ReportsFailed"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"<COMMAND>",
        b"\xff\xfe",
        b"<a>" * 99 + b"</a>" * 99,
        body(REPORT).replace(b"<Amount>", b"<Amount>1</Amount><Amount>"),
        body(REPORT).replace(b"5000", b"<b>5000</b>"),
        b"<!DOCTYPE a>" + body(REPORT),
        body(REPORT) + b" " * 70_000,
    ],
)
def test_a_body_that_cannot_be_read_is_an_error(desk: FrontDesk, raw: bytes):
    assert read(post(desk, raw))["TXNSTATUS"] == "400"
    assert not desk.stored
    assert desk.journal.reasons == ["malformed"]


def test_what_is_noted_names_no_person_and_no_secret(desk: FrontDesk):
    post(desk, Amount="x")
    post(desk, APIPassword="guessed-password")
    post(desk, path_secret="wrong-secret")
    for word in ("784000001", "new-password", "guessed-password", "wrong-secret"):
        assert word not in str(desk.journal.events)


# --- who is calling -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "password"),
    [("mwanga", "new-password"), ("mwanga", "old-password"), ("second", "another-password")],
)
def test_every_live_password_of_every_user_opens(desk: FrontDesk, user: str, password: str):
    assert post(desk, APIUser=user, APIPassword=password).status == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"APIUser": None},
        {"APIUser": ""},
        {"APIUser": "Mwanga"},
        {"APIUser": "second"},
        {"APIUser": "é"},
        {"APIPassword": None},
        {"APIPassword": ""},
        {"APIPassword": "another-password"},
        {"APIPassword": "new-passwor"},
        {"APIPassword": "é"},
    ],
)
def test_a_wrong_user_or_password_is_believed_nothing(
    desk: FrontDesk, changes: dict[str, str | None]
):
    fields = read(post(desk, **changes))
    assert (fields["TXNSTATUS"], fields["TransID"]) == ("401", "")
    assert not desk.claims
    assert desk.journal.reasons == ["wrong_password"]


def test_the_password_is_checked_before_anything_else_is_looked_at(desk: FrontDesk):
    answer = post(desk, APIPassword="x", BusinessNumber="556", Amount="x", TransID="")
    assert answer.status == 401


def test_every_live_path_secret_and_listed_address_opens(desk: FrontDesk):
    assert post(desk, path_secret="old-path-secret").status == 200
    assert post(desk, address="41.223.5.77").status == 200


@pytest.mark.parametrize("path_secret", ["", "new-path-secre", "NEW-PATH-SECRET", "é", "\ud800"])
def test_a_wrong_path_secret_finds_nothing(desk: FrontDesk, path_secret: str):
    assert read(post(desk, path_secret=path_secret, address="203.0.113.9"))["TXNSTATUS"] == "404"
    assert desk.journal.reasons == ["wrong_path_secret"]


@pytest.mark.parametrize("address", ["41.223.4.11", "::1", "", "localhost"])
def test_a_wrong_address_is_forbidden(desk: FrontDesk, address: str):
    assert read(post(desk, address=address))["TXNSTATUS"] == "403"
    assert not desk.claims


@pytest.mark.parametrize(
    "changes",
    [
        {"users": None},
        {"users": ["mwanga"]},
        {"users": {"mwanga": "new-password"}},
        {"users": {"mwanga": [1]}},
        {"business_number": None},
        {"business_number": 555},
        {"business_number": "5-5"},
        {"path_secrets": None},
        {"addresses": ["anywhere"]},
        {"currency": "XYZ"},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_accepted(changes: dict[str, Any]):
    desk = FrontDesk({"channels/airtel_tz": {**SECRET, **changes}})
    assert read(post(desk))["TXNSTATUS"] == "503"
    assert not desk.stored
    assert desk.journal.reasons == [SecretMissing.code]


def test_without_the_secret_nothing_is_accepted():
    assert post(FrontDesk({})).status == 503


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"path_secrets": []}, 404),
        ({"addresses": []}, 403),
        ({"users": {}}, 401),
        ({"users": {"mwanga": []}}, 401),
    ],
)
def test_an_empty_list_admits_nobody(changes: dict[str, Any], status: int):
    assert post(FrontDesk({"channels/airtel_tz": {**SECRET, **changes}})).status == status


xml_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=30)


@given(st.dictionaries(st.sampled_from(sorted(REPORT)), st.none() | xml_texts))
def test_any_report_gets_an_answer_in_airtel_s_words(changes: dict[str, str | None]):
    answer = post(FrontDesk({"channels/airtel_tz": SECRET}), **changes)
    assert answer.status in (200, 400, 401)
    read(answer)


@given(st.binary(max_size=300), st.text(max_size=40))
def test_no_stranger_gets_further_than_the_door(raw: bytes, word: str):
    desk = FrontDesk({"channels/airtel_tz": SECRET})
    assert post(desk, raw, path_secret=word).status == 404
    assert post(desk, raw, address=word).status == 403
    assert post(desk, raw).status in (400, 401)
    assert not desk.claims


# === giving back ==================================================================================


def payment_of(**changes: Any) -> Payment:
    claim = Claim(
        channel="airtel_tz",
        source="airtel_tz.555",
        transaction="MP260108.1200.A1",
        reference="MP260108.1200.A1",
        serial_number="SM5R00123",
        amount_minor=5_000_00,
        currency="TZS",
        known_as={"trid": "991"},
    )
    moved = accepted(claim, moment=NOW, received_at=NOW, customer_id=None)
    return replace(moved, **changes)


REFUND = Refund(1, 5_000_00)


def provider(url: object) -> AirtelProvider:
    return airtel_tz.make({"channels/airtel_tz": {**SECRET, "rollback_url": url}}.__getitem__)


def refunded(behaviour: Behaviour) -> tuple[RefundTaken, bytes]:
    with serving(behaviour) as server:
        try:
            taken = provider(f"{server.url}/gateway").refund(payment_of(), REFUND)
        finally:
            assert server.connections == 1, "it is asked for once, whatever comes of it"
        return taken, server.requests[0]


def answered(status: str, root: str = "Response") -> bytes:
    return f"<{root}><TXNID>77</TXNID><TXNSTATUS>{status}</TXNSTATUS><a><b/></a></{root}>".encode()


def test_a_rollback_on_the_wire():
    _, request = refunded(answering(answered("200")))
    head, _, sent = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /gateway HTTP/1.1\r\n")
    assert b"Content-Type: text/xml; charset=utf-8\r\n" in head
    root = fromstring(sent)
    assert root.tag == "COMMAND"
    assert [(child.tag, child.text) for child in root] == [
        ("TYPE", "ROLLBACK"),
        ("TXNID", "MP260108.1200.A1"),
        ("TRID", f"{PAYMENT_ID}.1"),
        ("MESSAGE", "No such device"),
    ]


@pytest.mark.parametrize(
    ("status", "http"),
    [("200", "200 OK"), (" 200 ", "202 Accepted"), ("409", "200 OK"), ("409", "409 Conflict")],
)
@pytest.mark.parametrize("root", ["Response", "COMMAND"])
def test_a_rollback_that_is_done_or_was_done_before_has_given_the_money_back(
    status: str, http: str, root: str
):
    taken, _ = refunded(answering(answered(status, root), status=http))
    assert taken == RefundTaken(done=True)


@pytest.mark.parametrize("status", ["400", "401", "404", "499"])
@pytest.mark.parametrize("http", ["200 OK", "400 Bad Request", "404 Not Found"])
def test_a_clear_no_is_a_no(status: str, http: str):
    with pytest.raises(ProviderRefused) as refused:
        refunded(answering(answered(status), status=http))
    assert refused.value.code == f"rollback_{status}"


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(answered("200"), status="500 Error"),
        answering(answered("409"), status="500 Error"),
        answering(answered("400"), status="503 Busy"),
        answering(answered("200"), status="400 Bad Request"),
        answering(answered("200"), status="302 Found", headers="Location: /x\r\n"),
        answering(answered("400"), status="302 Found", headers="Location: /x\r\n"),
        *[answering(answered(s)) for s in ("", "0", "201", "500", "4000", "40", "٤٠٠", "TS")],
        answering(b""),
        answering(b"{}"),
        answering(b"<Response/>"),
        answering(b"", status="404 Not Found"),
        answering(b"<a><TXNSTATUS>200</TXNSTATUS><TXNSTATUS>200</TXNSTATUS></a>"),
        answering(b"<!DOCTYPE a>" + answered("200")),
        answering(b"x" * 70_000),
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + answered("200")),
        sending(b""),
    ],
)
def test_whatever_else_is_answered_nobody_knows_what_was_done(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        refunded(behaviour)


def test_without_an_answer_in_time_nobody_knows_what_was_done():
    def silent(connection: socket.socket) -> None:
        connection.recv(1)

    def short(method: str, url: str, headers: Any, seconds: float, *rest: Any) -> Answer:
        return call(method, url, headers, 0.2, *rest)

    with patch("chalicelib.channels.asking.call", short), pytest.raises(ProviderUncertain):
        refunded(silent)


def test_a_gateway_that_is_not_there_was_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ProviderUnreachable):
        provider(f"http://127.0.0.1:{port}").refund(payment_of(), REFUND)


def test_a_part_of_a_payment_is_never_asked_back():
    with serving(answering(answered("200"))) as server:
        with pytest.raises(ProviderRefused):
            provider(server.url).refund(payment_of(), Refund(1, 4_999_99))
        assert server.connections == 0


@pytest.mark.parametrize("url", [None, "", "ftp://x", 5])
def test_without_the_gateway_s_address_nothing_is_asked(url: object):
    with pytest.raises(SecretMissing):
        provider(url).refund(payment_of(), REFUND)


def test_nothing_can_be_looked_up():
    asked = provider("http://127.0.0.1:9")
    with pytest.raises(ProviderUncertain):
        asked.look_up_refund(payment_of(), REFUND)
    with pytest.raises(ProviderUncertain):
        asked.verify(payment_of())


@given(st.binary(max_size=200), st.integers(100, 599))
def test_whatever_is_answered_its_meaning_is_known(raw: bytes, status: int):
    with pytest.raises((ProviderRefused, ProviderUncertain)):
        airtel_tz._taken(Answer(status, raw))
