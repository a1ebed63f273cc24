"""Pesapal: its page, its hints, and what each of its answers means for money."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import asking, pesapal
from chalicelib.channels.checkouts import ProviderUnavailable
from chalicelib.channels.interface import FieldErrors, TooLarge
from chalicelib.channels.pesapal import CHANNEL, PesapalProvider
from chalicelib.channels.strict_json import Malformed
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Claim, Payment, Refund, Status, started
from chalicelib.runtime.one_call import Answer, call
from chalicelib.runtime.sessions import Sessions
from chalicelib.services.ports import (
    OutcomeUnknown,
    Paid,
    Provider,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    ProviderUnreachable,
    QueueUnavailable,
    RecoveryClass,
    RefundTaken,
    RefusalClass,
    SecretMissing,
    Settings,
    TakenBack,
    TryAgain,
)
from tests.unit.channels.front_desk import NOW, FrontDesk, only, post
from tests.unit.scripted_server import (
    Behaviour,
    Server,
    answering,
    head_of,
    in_turn,
    nobody,
    saying,
    sending,
    serving,
)

NAME = "channels/pesapal"
SECRET: dict[str, Any] = {
    "base_url": "https://pay.pesapal.example/v3",
    "consumer_key": "demo-key",
    "consumer_secret": "demo/secret=",
    "notification_id": "fe078e53-78da-4a83-aa89-e7ded5c456e6",
    "username": "Mwanga",
    "callback_url": "https://company.example/thanks",
    "email": "payments@company.example",
}
REFERENCE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PAYMENT_ID = f"pesapal-{REFERENCE}"
TRACKING_ID = "b945e4af-80a5-4ec1-8706-e03f8332fb04"
PAGE = f"https://pay.pesapal.example/iframe/PesapalIframe3/Index?OrderTrackingId={TRACKING_ID}"
TOKEN = "eyJ.demo.token"


@pytest.fixture(autouse=True)
def no_session_yet():
    """Each test begins without a session, as a new process does."""
    with patch.object(pesapal, "AT_CHECKOUTS", Sessions()):
        yield


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({NAME: SECRET})


@pytest.fixture
def pending(desk: FrontDesk) -> FrontDesk:
    """A desk at which one payment waits for its payer."""
    desk.stored[PAYMENT_ID] = payment_of()
    return desk


def payment_of(amount_minor: int = 2_500_00, currency: str = "KES", **changes: Any) -> Payment:
    claim = Claim(
        channel="pesapal",
        source="pesapal",
        transaction=REFERENCE,
        reference=REFERENCE,
        serial_number="SM5R00123",
        amount_minor=amount_minor,
        currency=currency,
    )
    pending = started(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(pending, **{"known_as": {"order_tracking_id": TRACKING_ID}, **changes})


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "pesapal"
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert CHANNEL.can_refund
    assert CHANNEL.payer_needs is None
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/pesapal/checkouts"),
        ("GET", "/payments/pesapal/ipn"),
        ("POST", "/payments/pesapal/ipn"),
    ]


def test_the_provider_states_how_it_may_be_asked():
    asked: Provider = pesapal.make({NAME: SECRET}.__getitem__)
    assert asked.timeout_seconds == 24
    assert asked.refund_recovery is RecoveryClass.SEARCHABLE
    assert asked.full_refunds_only


# === a provider that wants a log-in ===============================================================


def failing(code: str, status: str = "200 OK", **more: Any) -> Behaviour:
    error = {"error_type": "api_error", "code": code, "message": "in words"}
    return saying({"error": error, "status": "500", **more}, status)


def logged_in(token: object = TOKEN, **changes: Any) -> Behaviour:
    ends = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.1234567Z")
    body = {"token": token, "expiryDate": ends, "error": None, "status": "200", "message": "ok"}
    return saying({**body, **changes})


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


UNREADABLE = [
    answering(b"<html>oops</html>", status="502 Bad Gateway"),
    answering(b"<html>forbidden</html>", status="403 Forbidden"),
    failing("oops", "500 Internal Server Error"),
    answering(b"", status="302 Found", headers="Location: https://elsewhere.example\r\n"),
    answering(b'{"status": "200", "status": "200"}'),
    answering(b"[]"),
    saying({}),
    sending(b""),
    sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"),
]
"""Answers from which nothing follows, whatever was asked for."""

NO_LOG_IN = [
    *UNREADABLE,
    logged_in(token=None),
    logged_in(token="two words"),
    logged_in(token={"a": 1}),
    failing("something_else", "200 OK"),
]


# === checkouts ====================================================================================

CHECKOUT = {"serial_number": "sm5r-00123", "amount": "2500.50"}


def opened(**changes: Any) -> Behaviour:
    body = {"order_tracking_id": TRACKING_ID, "redirect_url": PAGE, "error": None, "status": "200"}
    return saying({**body, **changes})


def check_out(
    desk: FrontDesk, behaviour: Behaviour, *, log_in: Behaviour | None = None, **changes: Any
) -> tuple[ProviderAnswer, list[bytes]]:
    with serving(in_turn(log_in or logged_in(), behaviour)) as server:
        desk.secrets[NAME] = {**SECRET, "base_url": server.url}
        answer = pesapal.checkout(post({**CHECKOUT, **changes}), desk)
    return answer, server.requests


def test_a_checkout_is_answered_with_the_page_to_pay_on(desk: FrontDesk):
    answer, _ = check_out(desk, opened())
    payment = only(desk)
    assert (answer.status, answer.body) == (
        201,
        {
            "payment_id": payment.payment_id,
            "reference": payment.reference,
            "authorization_url": PAGE,
        },
    )
    assert payment.status is Status.PENDING
    assert payment.payment_id == f"pesapal-{payment.reference}"
    assert payment.known_as == {"order_tracking_id": TRACKING_ID}


def test_the_provider_is_asked_exactly_as_it_expects(desk: FrontDesk):
    _, (log_in, order) = check_out(desk, opened(), email="asha@example.org", phone="0712 345 678")
    assert log_in.startswith(b"POST /api/Auth/RequestToken HTTP/1.1\r\n")
    assert json.loads(body_of(log_in)) == {
        "consumer_key": "demo-key",
        "consumer_secret": "demo/secret=",
    }
    assert order.startswith(b"POST /api/Transactions/SubmitOrderRequest HTTP/1.1\r\n")
    assert f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode() in head_of(order)
    assert b"\r\nAccept: application/json\r\n" in head_of(order)
    assert json.loads(body_of(order)) == {
        "id": only(desk).reference,
        "currency": "KES",
        "amount": 2500.5,
        "description": "SM5R00123",
        "callback_url": "https://company.example/thanks",
        "notification_id": "fe078e53-78da-4a83-aa89-e7ded5c456e6",
        "billing_address": {"email_address": "asha@example.org", "phone_number": "254712345678"},
    }


@pytest.mark.parametrize(
    ("changes", "billing"),
    [
        ({}, {"email_address": "payments@company.example"}),
        ({"email": "asha@example.org"}, {"email_address": "asha@example.org"}),
        ({"phone": "0712345678"}, {"phone_number": "254712345678"}),
    ],
)
def test_the_payer_is_named_as_far_as_they_are_known(
    desk: FrontDesk, changes: dict[str, str], billing: dict[str, str]
):
    _, (_, order) = check_out(desk, opened(), **changes)
    assert json.loads(body_of(order))["billing_address"] == billing


@pytest.mark.parametrize(
    ("code", "decimals", "amount", "written"),
    [
        ("KES", 2, "2500.5", b'"amount": 2500.50,'),
        ("KES", 2, "2500", b'"amount": 2500.00,'),
        ("UGX", 0, "2500", b'"amount": 2500,'),
    ],
)
def test_amounts_are_written_in_major_units_to_the_last_digit(
    desk: FrontDesk, code: str, decimals: int, amount: str, written: bytes
):
    desk.company = Settings(currency=code, currency_decimals=decimals)
    _, (_, order) = check_out(desk, opened(), amount=amount)
    assert written in body_of(order)


def test_most_checkouts_need_no_log_in(desk: FrontDesk):
    with serving(in_turn(logged_in(), opened(), opened())) as server:
        desk.secrets[NAME] = {**SECRET, "base_url": server.url}
        for _ in range(2):
            assert pesapal.checkout(post(CHECKOUT), desk).status == 201
    assert len(server.requests) == 3


def test_an_amount_with_more_than_two_decimals_is_refused(desk: FrontDesk):
    desk.company = Settings(currency="TND", currency_decimals=3)
    with pytest.raises(InvalidAmount):
        pesapal.checkout(post({**CHECKOUT, "amount": "12.345"}), desk)
    assert not desk.starts


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "", "1.001", "2000000", 500, True, []])
def test_a_wrong_amount_is_refused_before_anybody_is_asked(desk: FrontDesk, amount: object):
    with pytest.raises(InvalidAmount):
        pesapal.checkout(post({**CHECKOUT, "amount": amount}), desk)
    assert not desk.starts


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_is_never_started(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with pytest.raises(Refused):
        pesapal.checkout(post(CHECKOUT), desk)
    assert not desk.stored


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown()])
def test_a_payment_that_is_not_surely_stored_is_never_started(
    desk: FrontDesk, failure: MwangaError
):
    desk.failure = failure
    with pytest.raises(type(failure)):
        pesapal.checkout(post(CHECKOUT), desk)


@pytest.mark.parametrize(
    ("log_in", "order", "reason"),
    [
        (None, failing("amount_exceeds_default_limit"), "refused_by_provider"),
        (None, failing("invalid_ipn", "400 Bad Request"), "refused_by_provider"),
        (failing("invalid_consumer_key_or_secret_provided"), None, "authentication_failed"),
        (saying({}, "401 Unauthorized"), None, "authentication_failed"),
        *((log_in, None, "provider_unreachable") for log_in in NO_LOG_IN),
    ],
)
def test_a_payment_that_was_surely_not_started_has_expired(
    desk: FrontDesk, log_in: Behaviour | None, order: Behaviour | None, reason: str
):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, order or opened(), log_in=log_in)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, reason)
    assert desk.journal.reasons == [reason]


def test_a_payment_has_expired_where_the_provider_was_not_reached(desk: FrontDesk):
    desk.secrets[NAME] = {**SECRET, "base_url": nobody()}
    with pytest.raises(ProviderUnavailable):
        pesapal.checkout(post(CHECKOUT), desk)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, "provider_unreachable")


@pytest.mark.parametrize(
    "behaviour",
    [
        *UNREADABLE,
        opened(status="500"),
        opened(order_tracking_id=None),
        opened(order_tracking_id="a b"),
        opened(order_tracking_id={"a": 1}),
        opened(merchant_reference="f" * 32),
        opened(redirect_url=None),
        opened(redirect_url="javascript:alert(1)"),
        opened(error={"code": "half_done"}, status="500"),
    ],
)
def test_a_payment_of_which_it_is_not_known_whether_it_was_started_stays_pending(
    desk: FrontDesk, behaviour: Behaviour
):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, behaviour)
    assert only(desk).status is Status.PENDING
    assert desk.journal.reasons == ["provider_uncertain"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"serial_number": None}, "serial_number"),
        ({"amount": None}, "amount"),
        ({"email": "asha"}, "email"),
        ({"phone": 712345678}, "phone"),
        ({"currency": "KES"}, "currency"),
    ],
)
def test_a_field_that_is_wrong_missing_or_unknown_is_named(
    desk: FrontDesk, changes: dict[str, Any], field: str
):
    with pytest.raises(FieldErrors) as errors:
        pesapal.checkout(post({**CHECKOUT, **changes}), desk)
    assert [e.field for e in errors.value.errors] == [field]


def test_a_checkout_that_is_none_is_turned_away(desk: FrontDesk):
    with pytest.raises(TooLarge):
        pesapal.checkout(post(b" " * 70_000), desk)
    for body in (b"", b"[]", b'{"amount":"1","amount":"2"}', b"\xff"):
        with pytest.raises(Malformed):
            pesapal.checkout(post(body), desk)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "pay.pesapal.com"},
        {"consumer_key": None},
        {"consumer_key": ""},
        {"consumer_secret": "a b"},
        {"notification_id": None},
        {"username": None},
        {"username": 5},
        {"callback_url": None},
        {"callback_url": "company.example"},
        {"email": "company"},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_started_or_asked(changes: dict[str, Any]):
    secret = {**SECRET, **changes}
    desk = FrontDesk({NAME: secret})
    with pytest.raises(SecretMissing):
        pesapal.checkout(post(CHECKOUT), desk)
    asked = pesapal.make({NAME: secret}.__getitem__)
    for question in (
        lambda: asked.verify(payment_of()),
        lambda: asked.refund(PAID, REFUND),
        lambda: asked.look_up_refund(PAID, REFUND),
    ):
        with pytest.raises(SecretMissing):
            question()
    assert not desk.starts


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from([*CHECKOUT, "email", "phone"]) | st.text(max_size=5), json_values
    )
)
def test_no_checkout_brings_an_error_that_we_did_not_mean(changes: dict[str, Any]):
    desk = FrontDesk({NAME: SECRET})
    said = {"token": TOKEN, "order_tracking_id": TRACKING_ID, "redirect_url": PAGE}
    with patch.object(asking, "call", lambda *_: Answer(200, json.dumps(said).encode())):
        for body in (changes, {**CHECKOUT, **changes}):
            with suppress(MwangaError):
                assert pesapal.checkout(post(body), desk).status == 201


# === notifications ================================================================================

NEWS = {
    "OrderTrackingId": TRACKING_ID,
    "OrderMerchantReference": REFERENCE,
    "OrderNotificationType": "IPNCHANGE",
}
EMPTY_NEWS = dict.fromkeys(NEWS, "")


def answered(status: int, news: Mapping[str, str] = NEWS) -> tuple[int, Any]:
    return (
        200,
        {
            "orderNotificationType": news["OrderNotificationType"],
            "orderTrackingId": news["OrderTrackingId"],
            "orderMerchantReference": news["OrderMerchantReference"],
            "status": status,
        },
    )


def queried(desk: FrontDesk, method: str = "GET", **changes: str) -> tuple[int, Any]:
    request = ProviderRequest(method, {}, {}, b"", "203.0.113.9", {**NEWS, **changes})
    answer = pesapal.ipn(request, desk)
    return answer.status, answer.body


def posted(desk: FrontDesk, body: bytes) -> tuple[int, Any]:
    answer = pesapal.ipn(ProviderRequest("POST", {}, {}, body, "203.0.113.9"), desk)
    return answer.status, answer.body


def test_a_notification_in_any_form_has_the_payment_looked_at_and_no_more(pending: FrontDesk):
    before = only(pending)
    assert queried(pending) == answered(200)
    assert queried(pending, "POST") == answered(200)
    assert posted(pending, json.dumps(NEWS).encode()) == answered(200)
    assert posted(pending, urlencode(NEWS).encode()) == answered(200)
    assert pending.hints == [PAYMENT_ID] * 4
    assert only(pending) is before


def test_an_answer_in_the_body_of_a_question_is_not_read(pending: FrontDesk):
    request = ProviderRequest("GET", {}, {}, b"\xff", "203.0.113.9", NEWS)
    assert pesapal.ipn(request, pending).body["status"] == 200


@pytest.mark.parametrize("reference", ["", "order-17", REFERENCE.upper(), REFERENCE + "0"])
def test_what_names_no_payment_of_ours_changes_nothing(pending: FrontDesk, reference: str):
    news = {**NEWS, "OrderMerchantReference": reference}
    assert queried(pending, **news) == answered(200, news)
    assert not pending.hints
    assert not pending.journal.events


def test_a_reference_of_ours_without_a_payment_is_answered_and_noted(desk: FrontDesk):
    assert queried(desk) == answered(200)
    assert desk.journal.reasons == ["not_found"]


@pytest.mark.parametrize("failure", [QueueUnavailable(), TryAgain(), OutcomeUnknown()])
def test_a_hint_that_was_not_taken_is_to_be_sent_again(pending: FrontDesk, failure: MwangaError):
    pending.failure = failure
    assert queried(pending) == answered(500)
    assert pending.journal.reasons == [failure.code]


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"{",
        b'{"OrderTrackingId":"a","OrderTrackingId":"b"}',
        b"OrderTrackingId=a&OrderTrackingId=b",
        b"OrderTrackingId",
        b"<xml/>",
        b"\xff=1",
        b"{" * 9_999,
        b"a" * 70_000,
    ],
)
def test_a_body_that_cannot_be_read_is_answered_so_and_noted(pending: FrontDesk, body: bytes):
    assert posted(pending, body) == answered(500, EMPTY_NEWS)
    assert not pending.hints
    assert [metric for metric, _ in pending.journal.counts] == ["ReportsFailed"]


def test_what_is_answered_of_a_strangers_words_is_short_and_printable(desk: FrontDesk):
    _, body = queried(desk, OrderTrackingId="é\n" * 200, OrderMerchantReference="\u202e")
    assert body["orderTrackingId"] == ("\\xe9?" * 50)[:100]
    assert body["orderMerchantReference"] == "\\u202e"


# --- a tracking id that was lost ------------------------------------------------------------------


@pytest.fixture
def lost(desk: FrontDesk) -> FrontDesk:
    """A desk at which a payment waits whose order was never answered, or not written down."""
    desk.stored[PAYMENT_ID] = payment_of(known_as={})
    return desk


def test_a_tracking_id_that_was_lost_is_taken_from_the_notification(lost: FrontDesk):
    assert queried(lost) == answered(200)
    assert only(lost).known_as == {"order_tracking_id": TRACKING_ID}
    assert lost.hints == [PAYMENT_ID]


def test_a_tracking_id_that_is_known_is_not_replaced(pending: FrontDesk):
    queried(pending, OrderTrackingId="00000000-0000-4000-8000-000000000000")
    assert only(pending).known_as == {"order_tracking_id": TRACKING_ID}


@pytest.mark.parametrize("tracking_id", ["", "short", "a b c d e f g", "é" * 20, "a" * 65])
def test_what_is_no_tracking_id_is_not_taken(lost: FrontDesk, tracking_id: str):
    queried(lost, OrderTrackingId=tracking_id)
    assert not only(lost).known_as
    assert lost.hints == [PAYMENT_ID]


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.PENDING])
def test_only_a_pending_payment_takes_a_tracking_id(lost: FrontDesk, status: Status):
    lost.stored[PAYMENT_ID] = payment_of(known_as={}, status=status)
    queried(lost)
    assert not only(lost).known_as


def test_a_tracking_id_that_could_not_be_kept_is_to_be_sent_again(lost: FrontDesk):
    with patch.object(lost, "begun"):
        assert queried(lost) == answered(500)
    assert not lost.hints


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_gets_an_answer(body: bytes):
    desk = FrontDesk({NAME: SECRET})
    status, answer = posted(desk, body)
    assert (status, answer["status"]) in [(200, 200), (200, 500)]


@given(
    st.dictionaries(st.sampled_from(list(NEWS)), json_values),
    st.dictionaries(st.sampled_from(list(NEWS)), st.text(max_size=90)),
)
def test_any_notification_gets_an_answer(in_json: dict[str, Any], in_query: dict[str, str]):
    desk = FrontDesk({NAME: SECRET})
    desk.stored[PAYMENT_ID] = payment_of(known_as={})
    assert posted(desk, json.dumps({**NEWS, **in_json}).encode())[1]["status"] in (200, 500)
    assert queried(desk, **in_query)[1]["status"] == 200


# === what we ask ==================================================================================

Answered = TypeVar("Answered")
PAID = payment_of(receipt="AA11BB22", status=Status.RECEIVED)
REFUND = Refund(1, 2_500_00)
TAKEN = Refund(1, 2_500_00, reference="AA11BB22")
ORDER = {
    "payment_method": "MpesaKE",
    "amount": 2500.00,
    "created_date": "2026-01-08T11:30:00.763",
    "confirmation_code": "AA11BB22",
    "payment_status_description": "Completed",
    "status_code": 1,
    "merchant_reference": REFERENCE,
    "currency": "KES",
    "error": {"error_type": None, "code": None, "message": None},
    "status": "200",
}


def provider(base_url: str) -> PesapalProvider:
    return pesapal.make({NAME: {**SECRET, "base_url": base_url}}.__getitem__)


def asked(
    question: Callable[[PesapalProvider], Answered], behaviour: Behaviour
) -> tuple[Answered, bytes]:
    """The answer to a question, and the one request that was made for it after the log-in."""
    with serving(in_turn(logged_in(), behaviour)) as server:
        try:
            answer = question(provider(server.url))
        finally:
            assert server.connections == 2, "nothing is asked twice, whatever comes of it"
    return answer, server.requests[1]


def verified(behaviour: Behaviour) -> Paid | None:
    return asked(lambda p: p.verify(payment_of()), behaviour)[0]


def refunded(behaviour: Behaviour) -> RefundTaken:
    return asked(lambda p: p.refund(PAID, REFUND), behaviour)[0]


def looked_up(behaviour: Behaviour, refund: Refund = REFUND) -> RefundTaken:
    return asked(lambda p: p.look_up_refund(PAID, refund), behaviour)[0]


def order(**changes: Any) -> Behaviour:
    return saying({**ORDER, **changes})


QUESTIONS: list[Callable[[PesapalProvider], object]] = [
    lambda p: p.verify(payment_of()),
    lambda p: p.refund(PAID, REFUND),
    lambda p: p.look_up_refund(PAID, REFUND),
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("behaviour", [*UNREADABLE, saying({"a": 1}, "429 Too Many Requests")])
def test_an_answer_that_tells_nothing_is_uncertain(
    question: Callable[[PesapalProvider], object], behaviour: Behaviour
):
    with pytest.raises(ProviderUncertain):
        asked(question, behaviour)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_provider_that_was_not_reached_was_asked_for_nothing(
    question: Callable[[PesapalProvider], object],
):
    with pytest.raises(ProviderUnreachable):
        question(provider(nobody()))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("behaviour", NO_LOG_IN)
def test_without_a_session_nothing_was_asked(
    question: Callable[[PesapalProvider], object], behaviour: Behaviour
):
    with serving(in_turn(behaviour)) as server:
        with pytest.raises(ProviderUnreachable):
            question(provider(server.url))
        assert server.connections == 1


def test_an_answer_that_takes_too_long_is_uncertain():
    def hurried(method: str, url: str, headers: Any, seconds: float, *rest: Any) -> Answer:
        return call(method, url, headers, 0.2 if "Refund" in url else seconds, *rest)

    def silent(connection: socket.socket) -> None:
        connection.recv(1)

    with (
        serving(in_turn(logged_in(), silent)) as server,
        patch.object(asking, "call", hurried),
        pytest.raises(ProviderUncertain),
    ):
        provider(server.url).refund(PAID, REFUND)


# --- sessions -------------------------------------------------------------------------------------


def served(*behaviours: Behaviour, questions: int) -> Server:
    """The server of that many verifications in a row."""
    with serving(in_turn(*behaviours)) as server:
        asking_it = provider(server.url)
        for _ in range(questions):
            asking_it.verify(payment_of())
    return server


def test_a_session_is_kept():
    assert len(served(logged_in(), order(), order(), questions=2).requests) == 3


def test_a_session_that_is_not_taken_any_more_is_renewed_once():
    refused = saying({"message": "token expired"}, "401 Unauthorized")
    server = served(logged_in(), order(), refused, logged_in("new"), order(), questions=2)
    assert b"\r\nAuthorization: Bearer new\r\n" in head_of(server.requests[-1])


@pytest.mark.parametrize(
    ("expiry", "is_kept"),
    [
        ("yesterday", True),
        (None, True),
        ("2099-01-01T00:00:00Z", True),
        ("2020-01-01T00:00:00Z", False),
    ],
)
def test_a_session_is_kept_for_five_minutes_at_most(expiry: object, is_kept: bool):
    now = datetime.now(UTC)
    sessions = Sessions(lambda: now)
    with serving(in_turn(*[logged_in(expiryDate=expiry), order()] * 2)) as server:
        secrets = {NAME: {**SECRET, "base_url": server.url}}
        asking_it = PesapalProvider(secrets.__getitem__, sessions)
        asking_it.verify(payment_of())
        now += timedelta(minutes=4, seconds=30) if is_kept else timedelta(seconds=2)
        asking_it.verify(payment_of())
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    "behaviours",
    [
        (failing("invalid_consumer_key_or_secret_provided"),),
        (saying({}, "401 Unauthorized"),),
        (logged_in(), saying({}, "401 Unauthorized")),
    ],
)
def test_one_whom_the_provider_does_not_know_is_refused_a_refund_but_told_nothing_of_payments(
    behaviours: tuple[Behaviour, ...],
):
    with serving(in_turn(*behaviours)) as server, pytest.raises(ProviderRefused) as refused:
        provider(server.url).refund(PAID, REFUND)
    assert refused.value.code == "authentication_failed"
    for question in (QUESTIONS[0], QUESTIONS[2]):
        with serving(in_turn(*behaviours)) as server, pytest.raises(ProviderUnreachable):
            question(provider(server.url))


# --- verification ---------------------------------------------------------------------------------


def test_a_payment_is_verified_by_the_providers_own_name_for_it():
    paid, request = asked(lambda p: p.verify(payment_of()), order())
    assert paid == Paid("AA11BB22", 2_500_00, "KES")
    path = f"/api/Transactions/GetTransactionStatus?orderTrackingId={TRACKING_ID}"
    assert request.startswith(f"GET {path} HTTP/1.1\r\n".encode())
    assert f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode() in head_of(request)


def test_without_that_name_nobody_can_be_asked():
    with pytest.raises(ProviderUncertain):
        provider(nobody()).verify(payment_of(known_as={}))


@pytest.mark.parametrize(
    ("amount", "currency", "amount_minor"),
    [(100, "UGX", 100), (1_234.5, "KES", 1_234_50), ("2500.50", "KES", 2_500_50)],
)
def test_a_verification_tells_what_was_really_paid(
    amount: object, currency: str, amount_minor: int
):
    paid = verified(order(amount=amount, currency=currency))
    assert paid is not None
    assert (paid.amount_minor, paid.currency) == (amount_minor, currency)


def test_a_status_may_come_as_text_and_a_time_with_its_zone_is_taken():
    paid = verified(order(status_code="1", created_date="2026-01-08T11:30:00+03:00"))
    assert paid is not None
    assert paid.paid_at == datetime(2026, 1, 8, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize("reference", [REFERENCE, None, ""])
@pytest.mark.parametrize("status", [0, 2])
def test_what_brought_no_money_is_not_paid(status: int, reference: str | None):
    error = {"error_type": "api_error", "code": "payment_details_not_found", "message": "Pending"}
    changes = {"status_code": status, "merchant_reference": reference, "confirmation_code": ""}
    assert verified(order(**changes, error=error, status="500")) is None


def test_a_payment_that_was_reversed_is_taken_back():
    with pytest.raises(TakenBack) as taken:
        verified(order(status_code=3))
    assert taken.value.reference == "AA11BB22"


@pytest.mark.parametrize(
    "behaviour",
    [
        order(status_code=4),
        order(status_code=None),
        order(status_code=[1]),
        order(status_code=True),
        order(status_code=1.0),
        order(merchant_reference="f" * 32),
        order(merchant_reference=None),
        order(merchant_reference=None, status_code=3),
        order(merchant_reference="f" * 32, status_code=0),
        order(confirmation_code=""),
        order(confirmation_code=None, status_code=3),
        order(confirmation_code="a b"),
        order(amount=0),
        order(amount=2500.001),
        order(amount=True),
        order(currency="ZZZ"),
        order(currency=None),
        saying(ORDER, "404 Not Found"),
        saying(ORDER, "500 Internal Server Error"),
    ],
)
def test_a_verification_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        verified(behaviour)


# --- refunds --------------------------------------------------------------------------------------


def test_a_refund_is_asked_for_exactly_as_the_provider_expects():
    said = saying({"status": "200", "message": "Refund request successfully"})
    taken, request = asked(lambda p: p.refund(PAID, REFUND), said)
    assert taken == RefundTaken("AA11BB22", done=False)
    assert request.startswith(b"POST /api/Transactions/RefundRequest HTTP/1.1\r\n")
    assert body_of(request) == (
        b'{"confirmation_code": "AA11BB22", "amount": 2500.00, "username": "Mwanga", '
        b'"remarks": "pesapal-%s.1"}' % REFERENCE.encode()
    )


def test_a_refund_that_the_provider_rejects_is_refused():
    with pytest.raises(ProviderRefused) as refused:
        refunded(saying({"status": "500", "message": "Refund already requested"}))
    assert (refused.value.code, refused.value.detail) == (
        "refused_by_provider",
        "Refund already requested",
    )


@pytest.mark.parametrize(
    "behaviour",
    [
        saying({"status": "201"}),
        saying({"message": "ok"}),
        saying({"status": ["200"]}),
        saying({"status": "200"}, "500 Internal Server Error"),
        saying({"status": "500"}, "500 Internal Server Error"),
        saying({"status": "500"}, "400 Bad Request"),
    ],
)
def test_a_refund_of_which_it_is_not_known_whether_it_was_taken_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        refunded(behaviour)


@pytest.mark.parametrize(
    ("payment", "amount_minor", "code"),
    [
        (payment_of(receipt=None), 2_500_00, "no_receipt"),
        (payment_of(currency="TND", receipt="AA11BB22"), 12_345, "unusable_amount"),
        (payment_of(currency="ZZZ", receipt="AA11BB22"), 500, "unusable_amount"),
    ],
)
def test_a_refund_that_cannot_be_asked_for_is_refused_without_asking(
    payment: Payment, amount_minor: int, code: str
):
    with pytest.raises(ProviderRefused) as refused:
        provider(nobody()).refund(payment, Refund(1, amount_minor))
    assert refused.value.code == code


@pytest.mark.parametrize("refund", [REFUND, TAKEN])
def test_a_refund_is_done_when_its_payment_is_reversed(refund: Refund):
    assert looked_up(order(status_code=3), refund) == RefundTaken("AA11BB22", done=True)


def test_a_refund_that_was_taken_stays_so_until_somebody_has_approved_it():
    assert looked_up(order(), TAKEN) == RefundTaken("AA11BB22", done=False)


@pytest.mark.parametrize("refund", [REFUND, TAKEN])
@pytest.mark.parametrize("status", [0, 2, 4, None])
def test_a_look_up_that_is_not_clear_is_uncertain(refund: Refund, status: int | None):
    with pytest.raises(ProviderUncertain):
        looked_up(order(status_code=status), refund)


def test_a_refund_that_is_not_seen_is_never_taken_for_absent():
    with pytest.raises(ProviderUncertain):
        looked_up(order(), REFUND)
    with pytest.raises(ProviderUncertain):
        looked_up(order(status_code=3, merchant_reference="f" * 32), REFUND)
