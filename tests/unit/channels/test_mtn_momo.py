"""MTN MoMo: its pushes, its hints, and what each of its answers means for money."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import asking, mtn_momo
from chalicelib.channels.checkouts import ProviderUnavailable
from chalicelib.channels.interface import FieldErrors, TooLarge, UnsupportedMediaType
from chalicelib.channels.mtn_momo import CHANNEL, MtnMomoProvider
from chalicelib.channels.strict_json import Malformed
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Claim, Payment, Refund, Status, started
from chalicelib.runtime.one_call import Answer, call
from chalicelib.runtime.sessions import Sessions
from chalicelib.services.phones import InvalidPhone
from chalicelib.services.ports import (
    NotAtProvider,
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
    TryAgain,
)
from tests.unit.channels.front_desk import NOW, FrontDesk, only, post
from tests.unit.scripted_server import (
    Behaviour,
    answering,
    head_of,
    in_turn,
    nobody,
    saying,
    sending,
    serving,
)

NAME = "channels/mtn_momo"
PATH_SECRET, OLDER_PATH_SECRET = "a-path-secret", "an-older-path-secret"
SECRET: dict[str, Any] = {
    "base_url": "https://momo.example",
    "user": "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
    "api_key": "demo-api-key",
    "subscription_key": "collection-key",
    "environment": "mtnuganda",
    "currency": "UGX",
    "public_url": "https://tokens.company.example/api",
    "path_secrets": [PATH_SECRET, OLDER_PATH_SECRET],
    "disbursement": {
        "user": "7ba7b810-9dad-41d1-80b4-00c04fd430c8",
        "api_key": "demo-payout-key",
        "subscription_key": "disbursement-key",
    },
}
REFERENCE = "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0"
PAYMENT_ID = f"mtn_momo.mtnuganda-{REFERENCE}"
TOKEN = "eyJ.demo.token"
UGANDA = Settings(currency="UGX", currency_decimals=0, country="UG")


@pytest.fixture(autouse=True)
def no_session_yet() -> Iterator[None]:
    """Each test begins without a session, as a new process does."""
    with patch.object(mtn_momo, "AT_CHECKOUTS", Sessions()):
        yield


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({NAME: SECRET}, company=UGANDA)


@pytest.fixture
def pending(desk: FrontDesk) -> FrontDesk:
    """A desk at which one payment waits for its payer."""
    desk.stored[PAYMENT_ID] = payment_of()
    return desk


def payment_of(amount_minor: int = 2_500, currency: str = "UGX", **changes: Any) -> Payment:
    claim = Claim(
        channel="mtn_momo",
        source="mtn_momo.mtnuganda",
        transaction=REFERENCE,
        reference=REFERENCE,
        serial_number="SM5R00123",
        amount_minor=amount_minor,
        currency=currency,
        payer_phone="+256772000001",
    )
    pending = started(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(pending, **changes)


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "mtn_momo"
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert CHANNEL.can_refund
    assert CHANNEL.starts_payments
    assert CHANNEL.payer_needs == "phone"
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/mtn_momo/checkouts"),
        ("PUT", "/payments/mtn_momo/{path_secret}/{reference}/news"),
        ("POST", "/payments/mtn_momo/{path_secret}/{reference}/news"),
    ]
    assert len({e.name for e in CHANNEL.endpoints}) == 3


def test_the_provider_states_how_it_may_be_asked():
    asked: Provider = mtn_momo.make({NAME: SECRET}.__getitem__)
    assert asked.timeout_seconds == 28
    assert asked.refund_recovery is RecoveryClass.SEARCHABLE
    assert asked.refund_absent_after_seconds == 300
    assert not asked.full_refunds_only


# === a provider that wants a log-in ===============================================================


def logged_in(token: object = TOKEN, lifetime: object = 3600) -> Behaviour:
    return saying({"access_token": token, "token_type": "access_token", "expires_in": lifetime})


def failing(code: str, status: str) -> Behaviour:
    return saying({"code": code, "message": "in words"}, status)


def body_of(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])


TAKEN = answering(b"", status="202 Accepted")
NOT_THERE = failing("RESOURCE_NOT_FOUND", "404 Not Found")
UNAUTHORISED = saying({"statusCode": 401, "message": "Access denied"}, "401 Unauthorized")
BAD_REQUEST = failing("INVALID_CURRENCY", "400 Bad Request")

UNCLEAR = [
    answering(b"<html>oops</html>", status="502 Bad Gateway"),
    answering(b"<html>forbidden</html>", status="403 Forbidden"),
    answering(b"<html>where</html>", status="404 Not Found"),
    failing("INTERNAL_PROCESSING_ERROR", "500 Internal Server Error"),
    failing("SERVICE_UNAVAILABLE", "503 Service Unavailable"),
    failing("RESOURCE_NOT_FOUND", "500 Internal Server Error"),
    failing("SLOW_DOWN", "429 Too Many Requests"),
    answering(b"", status="302 Found", headers="Location: https://elsewhere.example\r\n"),
    answering(b"", status="204 No Content"),
    answering(b"[]"),
    saying({}),
    sending(b""),
    sending(b"HTTP/1.1 202 Accepted\r\nContent-Length: 99\r\n\r\n{}"),
]
"""Answers from which nothing follows, whatever was asked for."""

NO_LOG_IN = [
    answering(b"oops", status="502 Bad Gateway"),
    failing("INTERNAL_PROCESSING_ERROR", "500 Internal Server Error"),
    saying({}),
    logged_in(token=None),
    logged_in(token="two words"),
    logged_in(token={"a": 1}),
    sending(b""),
]


# === checkouts ====================================================================================

CHECKOUT = {"serial_number": "sm5r-00123", "amount": "2500", "phone": "0772 000 001"}


def check_out(
    desk: FrontDesk, behaviour: Behaviour, *, log_in: Behaviour | None = None, **changes: Any
) -> tuple[ProviderAnswer, list[bytes]]:
    with serving(in_turn(log_in or logged_in(), behaviour)) as server:
        desk.secrets[NAME] = {**desk.secrets[NAME], "base_url": server.url}
        answer = mtn_momo.checkout(post({**CHECKOUT, **changes}), desk)
    return answer, server.requests


def test_a_checkout_is_answered_once_the_phone_was_asked(desk: FrontDesk):
    answer, _ = check_out(desk, TAKEN)
    payment = only(desk)
    assert (answer.status, answer.body) == (
        201,
        {"payment_id": payment.payment_id, "reference": payment.reference},
    )
    assert payment.status is Status.PENDING
    assert payment.payment_id == f"mtn_momo.mtnuganda-{payment.reference}"
    assert str(UUID(payment.reference)) == payment.reference
    assert UUID(payment.reference).version == 4
    assert (payment.amount_minor, payment.currency) == (2_500, "UGX")


def test_the_provider_is_asked_exactly_as_it_expects(desk: FrontDesk):
    _, (log_in, push) = check_out(desk, TAKEN)
    reference = only(desk).reference
    assert log_in.startswith(b"POST /collection/token/ HTTP/1.1\r\n")
    pair = base64.b64encode(f"{SECRET['user']}:demo-api-key".encode())
    assert b"\r\nAuthorization: Basic " + pair + b"\r\n" in head_of(log_in)
    assert b"\r\nOcp-Apim-Subscription-Key: collection-key\r\n" in head_of(log_in)

    assert push.startswith(b"POST /collection/v1_0/requesttopay HTTP/1.1\r\n")
    callback = f"{SECRET['public_url']}/payments/mtn_momo/{PATH_SECRET}/{reference}/news"
    for name, value in (
        ("Authorization", f"Bearer {TOKEN}"),
        ("X-Reference-Id", reference),
        ("X-Target-Environment", "mtnuganda"),
        ("Ocp-Apim-Subscription-Key", "collection-key"),
        ("X-Callback-Url", callback),
        ("Content-Type", "application/json"),
    ):
        assert f"\r\n{name}: {value}\r\n".encode() in head_of(push)
    assert body_of(push) == {
        "amount": "2500",
        "currency": "UGX",
        "externalId": reference,
        "payer": {"partyIdType": "MSISDN", "partyId": "256772000001"},
        "payerMessage": "SM5R00123",
        "payeeNote": "SM5R00123",
    }


@pytest.mark.parametrize(
    ("code", "decimals", "amount", "written"),
    [
        ("UGX", 0, "2500", "2500"),
        ("GHS", 2, "25.00", "25"),
        ("GHS", 2, "25.5", "25.50"),
        ("GHS", 2, "0.01", "0.01"),
        ("TND", 3, "12.340", "12.340"),
    ],
)
def test_amounts_are_written_without_needless_decimals(
    desk: FrontDesk, code: str, decimals: int, amount: str, written: str
):
    desk.company = Settings(currency=code, currency_decimals=decimals, country="UG")
    desk.secrets[NAME] = {**SECRET, "currency": code}
    _, (_, push) = check_out(desk, TAKEN, amount=amount)
    assert body_of(push)["amount"] == written


def test_what_the_payer_reads_has_plain_letters_only(desk: FrontDesk):
    _, (_, push) = check_out(desk, TAKEN, serial_number="é/é")
    assert body_of(push)["payerMessage"] == "Mwanga"


def test_most_checkouts_need_no_log_in(desk: FrontDesk):
    with serving(in_turn(logged_in(), TAKEN, TAKEN)) as server:
        desk.secrets[NAME] = {**SECRET, "base_url": server.url}
        for _ in range(2):
            assert mtn_momo.checkout(post(CHECKOUT), desk).status == 201
    assert len(server.requests) == 3


def test_a_path_secret_is_written_as_a_part_of_a_path(desk: FrontDesk):
    desk.secrets[NAME] = {**SECRET, "path_secrets": ["a/b c"]}
    _, (_, push) = check_out(desk, TAKEN)
    assert b"/payments/mtn_momo/a%2Fb%20c/" in head_of(push)


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "", "1.5", "2000000000", 500, True, [], "٥"])
def test_a_wrong_amount_is_refused_before_anybody_is_asked(desk: FrontDesk, amount: object):
    with pytest.raises(InvalidAmount):
        mtn_momo.checkout(post({**CHECKOUT, "amount": amount}), desk)
    assert not desk.starts


def test_an_amount_with_more_than_two_decimals_is_refused(desk: FrontDesk):
    desk.secrets[NAME] = {**SECRET, "currency": "TND"}
    with pytest.raises(InvalidAmount):
        mtn_momo.checkout(post({**CHECKOUT, "amount": "12.345"}), desk)


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_is_never_started(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with serving(TAKEN) as server:
        desk.secrets[NAME] = {**SECRET, "base_url": server.url}
        with pytest.raises(Refused):
            mtn_momo.checkout(post(CHECKOUT), desk)
        assert server.connections == 0
    assert not desk.stored


def test_the_payment_is_stored_before_the_provider_is_asked(desk: FrontDesk):
    stored: list[int] = []

    def note_and_answer(connection: socket.socket) -> None:
        stored.append(len(desk.stored))
        TAKEN(connection)

    check_out(desk, note_and_answer)
    assert stored == [1]


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown()])
def test_a_payment_that_is_not_surely_stored_is_never_started(
    desk: FrontDesk, failure: MwangaError
):
    desk.failure = failure
    with pytest.raises(type(failure)):
        mtn_momo.checkout(post(CHECKOUT), desk)


@pytest.mark.parametrize(
    ("log_in", "push", "reason"),
    [
        (None, BAD_REQUEST, "refused_by_provider"),
        (None, answering(b"", status="400 Bad Request"), "refused_by_provider"),
        (None, UNAUTHORISED, "authentication_failed"),
        (UNAUTHORISED, None, "authentication_failed"),
        *((log_in, None, "provider_unreachable") for log_in in NO_LOG_IN),
    ],
)
def test_a_payment_that_was_surely_not_started_has_expired(
    desk: FrontDesk, log_in: Behaviour | None, push: Behaviour | None, reason: str
):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, push or TAKEN, log_in=log_in)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, reason)
    assert desk.journal.reasons == [reason]


def test_a_payment_has_expired_where_the_provider_was_not_reached(desk: FrontDesk):
    desk.secrets[NAME] = {**SECRET, "base_url": nobody()}
    with pytest.raises(ProviderUnavailable):
        mtn_momo.checkout(post(CHECKOUT), desk)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, "provider_unreachable")


@pytest.mark.parametrize(
    "behaviour", [*UNCLEAR, NOT_THERE, failing("RESOURCE_ALREADY_EXIST", "409 Conflict")]
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
        ({"serial_number": 47000123456}, "serial_number"),
        ({"amount": None}, "amount"),
        ({"phone": None}, "phone"),
        ({"phone": 772000001}, "phone"),
        ({"email": "asha"}, "email"),
        ({"currency": "UGX"}, "currency"),
    ],
)
def test_a_field_that_is_wrong_missing_or_unknown_is_named(
    desk: FrontDesk, changes: dict[str, Any], field: str
):
    with pytest.raises(FieldErrors) as errors:
        mtn_momo.checkout(post({**CHECKOUT, **changes}), desk)
    assert [e.field for e in errors.value.errors] == [field]
    assert not desk.starts


def test_a_checkout_that_is_none_is_turned_away(desk: FrontDesk):
    with pytest.raises(InvalidPhone):
        mtn_momo.checkout(post({**CHECKOUT, "phone": "12"}), desk)
    with pytest.raises(TooLarge):
        mtn_momo.checkout(post(b" " * 70_000), desk)
    with pytest.raises(UnsupportedMediaType):
        mtn_momo.checkout(post(CHECKOUT, "text/plain"), desk)
    for body in (b"", b"[]", b'{"amount":"1","amount":"2"}', b"\xff"):
        with pytest.raises(Malformed):
            mtn_momo.checkout(post(body), desk)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": None},
        {"base_url": "momo.example"},
        {"user": None},
        {"user": "a b"},
        {"api_key": ""},
        {"subscription_key": "a\nX-Y: z"},
        {"environment": "mtn-uganda"},
        {"environment": None},
        {"currency": "ZZZ"},
        {"public_url": None},
        {"path_secrets": None},
        {"path_secrets": PATH_SECRET},
        {"disbursement": "none"},
        {"disbursement": {}},
        {"disbursement": {"user": "a", "api_key": "b"}},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_started_taken_or_asked(changes: dict[str, Any]):
    secret = {**SECRET, **changes}
    desk = FrontDesk({NAME: secret}, company=UGANDA)
    desk.stored[PAYMENT_ID] = payment_of()
    with pytest.raises(SecretMissing):
        mtn_momo.checkout(post(CHECKOUT), desk)
    assert told(desk) == TRY_AGAIN
    with pytest.raises(SecretMissing):
        mtn_momo.make({NAME: secret}.__getitem__).verify(payment_of())
    assert not desk.starts
    assert not desk.hints


def test_without_a_path_secret_nothing_is_started(desk: FrontDesk):
    desk.secrets[NAME] = {**SECRET, "path_secrets": []}
    with pytest.raises(SecretMissing):
        mtn_momo.checkout(post(CHECKOUT), desk)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*CHECKOUT, "email"]) | st.text(max_size=5), json_values))
def test_no_checkout_brings_an_error_that_we_did_not_mean(changes: dict[str, Any]):
    session = Answer(200, json.dumps({"access_token": TOKEN}).encode())
    with patch.object(
        asking, "call", lambda _, url, *__: session if "token" in url else Answer(202, b"")
    ):
        for body in (changes, {**CHECKOUT, **changes}):
            desk = FrontDesk({NAME: SECRET}, company=UGANDA)
            with suppress(MwangaError):
                assert mtn_momo.checkout(post(body), desk).status == 201


# === callbacks ====================================================================================

OK = (200, {"status": "ok"})
UNKNOWN = (200, {"status": "unknown_reference"})
UNREADABLE = (400, {"status": "malformed"})
WRONG_PATH = (404, {"status": "wrong_path_secret"})
TOO_LARGE = (413, {"status": "too_large"})
TRY_AGAIN = (503, {"status": "try_again"})

REPORT = json.dumps(
    {
        "financialTransactionId": "23503452",
        "externalId": REFERENCE,
        "amount": "2500",
        "currency": "UGX",
        "payer": {"partyIdType": "MSISDN", "partyId": "256772000001"},
        "status": "SUCCESSFUL",
    }
).encode()


def told(
    desk: FrontDesk,
    body: bytes = REPORT,
    *,
    path_secret: str = PATH_SECRET,
    reference: str = REFERENCE,
    method: str = "PUT",
) -> tuple[int, Any]:
    path = {"path_secret": path_secret, "reference": reference}
    answer = mtn_momo.news(ProviderRequest(method, path, {}, body, "203.0.113.9"), desk)
    return answer.status, answer.body


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("body", [REPORT, b"", b"\xff", b'{"status": "FAILED"}', b"[" * 9_999])
def test_whatever_a_callback_says_the_payment_is_only_looked_at(
    pending: FrontDesk, method: str, body: bytes
):
    before = only(pending)
    assert told(pending, body, method=method) == OK
    assert pending.hints == [PAYMENT_ID]
    assert only(pending) is before


@pytest.mark.parametrize("path_secret", [PATH_SECRET, OLDER_PATH_SECRET])
def test_every_live_path_secret_admits(pending: FrontDesk, path_secret: str):
    assert told(pending, path_secret=path_secret) == OK


@pytest.mark.parametrize(
    "path_secret", ["", "another", PATH_SECRET[:-1], PATH_SECRET.upper(), "é", "\ud800"]
)
def test_without_a_live_path_secret_nobody_is_listened_to(pending: FrontDesk, path_secret: str):
    assert told(pending, path_secret=path_secret) == WRONG_PATH
    assert told(pending, b" " * 70_000, path_secret=path_secret) == WRONG_PATH
    assert not pending.hints
    assert pending.journal.counts[0] == (
        "CallersRefused",
        {"channel": "mtn_momo", "reason": "wrong_path_secret"},
    )


def test_without_path_secrets_nobody_is_listened_to(pending: FrontDesk):
    pending.secrets[NAME] = {**SECRET, "path_secrets": []}
    assert told(pending, path_secret="") == WRONG_PATH


@pytest.mark.parametrize(
    "reference", ["", "order-17", REFERENCE[:-1], REFERENCE + "0", REFERENCE.upper(), "٠" * 36]
)
def test_a_reference_that_is_none_of_ours_is_unreadable(pending: FrontDesk, reference: str):
    assert told(pending, reference=reference) == UNREADABLE
    assert not pending.hints


def test_a_reference_without_a_payment_is_answered_and_noted(desk: FrontDesk):
    assert told(desk) == UNKNOWN
    assert desk.journal.reasons == ["not_found"]


def test_a_callback_that_is_too_large_is_turned_away(pending: FrontDesk):
    assert told(pending, b" " * 70_000) == TOO_LARGE
    assert not pending.hints


@pytest.mark.parametrize("failure", [QueueUnavailable(), TryAgain(), OutcomeUnknown()])
def test_a_hint_that_was_not_taken_is_to_be_sent_again(pending: FrontDesk, failure: MwangaError):
    pending.failure = failure
    assert told(pending) == TRY_AGAIN
    assert pending.journal.reasons == [failure.code]


def test_without_the_secret_nothing_is_taken():
    assert told(FrontDesk({})) == TRY_AGAIN


def test_what_is_noted_names_no_person_and_no_secret(desk: FrontDesk):
    told(desk)
    told(desk, path_secret=f"almost-{PATH_SECRET}")
    told(desk, reference="256772000001")
    noted = str(desk.journal.events)
    assert len(desk.journal.events) == 3
    assert "772000001" not in noted
    assert PATH_SECRET not in noted


@given(st.binary(max_size=200), st.text(max_size=40), st.sampled_from([PATH_SECRET, "another"]))
def test_any_callback_gets_an_answer(body: bytes, reference: str, path_secret: str):
    desk = FrontDesk({NAME: SECRET})
    answers = [UNREADABLE, UNKNOWN, WRONG_PATH]
    assert told(desk, body, reference=reference, path_secret=path_secret) in answers
    assert told(desk, body, path_secret=path_secret) in answers


# === what we ask ==================================================================================

Answered = TypeVar("Answered")
REFUND = Refund(1, 1_000)
PAID = payment_of(receipt="23503452", status=Status.HELD)


def provider(base_url: str, **changes: Any) -> MtnMomoProvider:
    return mtn_momo.make({NAME: {**SECRET, "base_url": base_url, **changes}}.__getitem__)


def asked(
    question: Callable[[MtnMomoProvider], Answered], behaviour: Behaviour
) -> tuple[Answered, list[bytes]]:
    """The answer to a question, the log-in and the one request that was made for it."""
    with serving(in_turn(logged_in(), behaviour)) as server:
        try:
            answer = question(provider(server.url))
        finally:
            assert server.connections == 2, "nothing is asked twice, whatever comes of it"
    return answer, server.requests


def verified(behaviour: Behaviour) -> Paid | None:
    return asked(lambda p: p.verify(payment_of()), behaviour)[0]


def refunded(behaviour: Behaviour) -> RefundTaken:
    return asked(lambda p: p.refund(PAID, REFUND), behaviour)[0]


def looked_up(behaviour: Behaviour) -> RefundTaken:
    return asked(lambda p: p.look_up_refund(PAID, REFUND), behaviour)[0]


def a_payment(**changes: Any) -> Behaviour:
    body = {
        "financialTransactionId": "23503452",
        "externalId": REFERENCE,
        "amount": "2500",
        "currency": "UGX",
        "payer": {"partyIdType": "MSISDN", "partyId": "256772000001"},
        "status": "SUCCESSFUL",
    }
    return saying({**body, **changes})


def a_refund(**changes: Any) -> Behaviour:
    return saying({"amount": "1000", "currency": "UGX", "status": "SUCCESSFUL", **changes})


@pytest.mark.parametrize("question", [verified, refunded, looked_up])
@pytest.mark.parametrize("behaviour", UNCLEAR)
def test_an_answer_that_tells_nothing_is_uncertain(
    question: Callable[[Behaviour], object], behaviour: Behaviour
):
    with pytest.raises(ProviderUncertain):
        question(behaviour)


QUESTIONS: list[Callable[[MtnMomoProvider], object]] = [
    lambda p: p.verify(payment_of()),
    lambda p: p.refund(PAID, REFUND),
    lambda p: p.look_up_refund(PAID, REFUND),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_provider_that_was_not_reached_was_asked_for_nothing(
    question: Callable[[MtnMomoProvider], object],
):
    with pytest.raises(ProviderUnreachable):
        question(provider(nobody()))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("log_in", NO_LOG_IN)
def test_without_a_session_nothing_was_asked(
    question: Callable[[MtnMomoProvider], object], log_in: Behaviour
):
    with serving(in_turn(log_in)) as server, pytest.raises(ProviderUnreachable):
        question(provider(server.url))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("behaviours", [(UNAUTHORISED,), (logged_in(), UNAUTHORISED)])
def test_that_mtn_does_not_know_us_says_nothing_of_a_payment(
    question: Callable[[MtnMomoProvider], object], behaviours: tuple[Behaviour, ...]
):
    with serving(in_turn(*behaviours)) as server, pytest.raises(ProviderRefused) as refused:
        question(provider(server.url))
    assert refused.value.code == "authentication_failed"


def test_an_answer_that_takes_too_long_is_uncertain():
    def hurried(method: str, url: str, headers: Any, _: float, *rest: Any) -> Answer:
        return call(method, url, headers, 0.2, *rest)

    with (
        serving(in_turn(logged_in(), lambda c: c.recv(1) and None)) as server,
        patch.object(asking, "call", hurried),
        pytest.raises(ProviderUncertain),
    ):
        provider(server.url).refund(PAID, REFUND)


def test_a_session_is_kept_and_renewed_once_when_it_is_not_taken_any_more():
    behaviours = (logged_in(), a_payment(), UNAUTHORISED, logged_in("another"), a_payment())
    with serving(in_turn(*behaviours)) as server:
        asking_it = provider(server.url)
        for _ in range(2):
            assert asking_it.verify(payment_of()) is not None
    assert b"\r\nAuthorization: Bearer another\r\n" in head_of(server.requests[-1])


def test_each_product_has_a_session_of_its_own():
    with serving(in_turn(logged_in(), a_payment(), logged_in("another"), TAKEN)) as server:
        asking_it = provider(server.url)
        asking_it.verify(payment_of())
        asking_it.refund(PAID, REFUND)
    first_lines = [request.partition(b" HTTP/")[0] for request in server.requests]
    assert first_lines == [
        b"POST /collection/token/",
        f"GET /collection/v1_0/requesttopay/{REFERENCE}".encode(),
        b"POST /disbursement/token/",
        b"POST /disbursement/v1_0/refund",
    ]


# --- verification ---------------------------------------------------------------------------------


def test_a_payment_is_verified_by_our_reference():
    paid, (_, question) = asked(lambda p: p.verify(payment_of()), a_payment())
    assert paid == Paid("23503452", 2_500, "UGX")
    assert question.startswith(f"GET /collection/v1_0/requesttopay/{REFERENCE} HTTP/1.1".encode())
    assert b"\r\nX-Target-Environment: mtnuganda\r\n" in head_of(question)
    assert b"\r\nOcp-Apim-Subscription-Key: collection-key\r\n" in head_of(question)


@pytest.mark.parametrize(
    ("amount", "currency", "amount_minor"),
    [("100", "UGX", 100), (100, "UGX", 100), ("12.5", "GHS", 12_50), ("12.00", "UGX", 12)],
)
def test_a_verification_tells_what_was_really_paid(
    amount: object, currency: str, amount_minor: int
):
    paid = verified(a_payment(amount=amount, currency=currency))
    assert paid is not None
    assert (paid.amount_minor, paid.currency) == (amount_minor, currency)


def test_a_payment_is_known_without_an_external_id():
    assert verified(a_payment(externalId=None)) is not None


def test_a_payment_that_is_pending_or_not_there_is_not_paid_yet():
    assert verified(a_payment(status="PENDING", financialTransactionId=None)) is None
    assert verified(NOT_THERE) is None


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("APPROVAL_REJECTED", "APPROVAL_REJECTED"),
        ({"code": "PAYER_LIMIT_REACHED", "message": "words"}, "PAYER_LIMIT_REACHED"),
        (None, "failed"),
        ("call +256772000001", "failed"),
        ({}, "failed"),
        (5, "failed"),
    ],
)
def test_a_payment_that_failed_is_refused(reason: object, code: str):
    with pytest.raises(ProviderRefused) as refused:
        verified(a_payment(status="FAILED", reason=reason))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "behaviour",
    [
        *(a_payment(status=status) for status in (None, "", "successful", "REVERSED", 1, [])),
        a_payment(externalId="f" * 36),
        a_payment(financialTransactionId=None),
        a_payment(financialTransactionId="a/b"),
        *(a_payment(amount=amount) for amount in (0, None, True, "2500.5", [])),
        *(a_payment(currency=currency) for currency in ("ZZZ", None, 5)),
        BAD_REQUEST,
        saying({"status": "FAILED"}, "400 Bad Request"),
        saying({"status": "SUCCESSFUL"}, "404 Not Found"),
    ],
)
def test_a_verification_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        verified(behaviour)


# --- refunds --------------------------------------------------------------------------------------


def test_a_refund_is_asked_for_exactly_as_the_provider_expects():
    taken, (log_in, request) = asked(lambda p: p.refund(PAID, REFUND), TAKEN)
    assert log_in.startswith(b"POST /disbursement/token/ HTTP/1.1\r\n")
    assert b"\r\nOcp-Apim-Subscription-Key: disbursement-key\r\n" in head_of(log_in)
    assert request.startswith(b"POST /disbursement/v1_0/refund HTTP/1.1\r\n")
    found = re.search(rb"\r\nX-Reference-Id: (\S+)\r\n", head_of(request))
    assert found is not None
    name = found[1].decode()
    assert UUID(name).version == 4
    assert taken == RefundTaken(name, done=False)
    assert b"\r\nOcp-Apim-Subscription-Key: disbursement-key\r\n" in head_of(request)
    assert b"X-Callback-Url" not in request
    assert body_of(request) == {
        "amount": "1000",
        "currency": "UGX",
        "externalId": name,
        "payerMessage": "Refund",
        "payeeNote": "Refund",
        "referenceIdToRefund": REFERENCE,
    }


def test_each_refund_has_one_name_of_its_own():
    def name_of(payment: Payment, number: int) -> str | None:
        return asked(lambda p: p.refund(payment, Refund(number, 500)), TAKEN)[0].reference

    other = replace(PAID, payment_id=PAYMENT_ID[:-1] + "7")
    assert name_of(PAID, 1) == name_of(PAID, 1)
    assert len({name_of(PAID, 1), name_of(PAID, 2), name_of(other, 1), REFERENCE}) == 4


def test_a_refund_that_was_taken_before_is_not_taken_twice():
    known = refunded(failing("RESOURCE_ALREADY_EXIST", "409 Conflict"))
    assert known == refunded(TAKEN)


@pytest.mark.parametrize("behaviour", [BAD_REQUEST, answering(b"", status="400 Bad Request")])
def test_a_refund_that_mtn_declines_is_refused(behaviour: Behaviour):
    with pytest.raises(ProviderRefused) as refused:
        refunded(behaviour)
    assert refused.value.code == "refused_by_provider"


@pytest.mark.parametrize("behaviour", [NOT_THERE, answering(b"{}"), a_refund()])
def test_a_refund_without_a_clear_answer_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        refunded(behaviour)


@pytest.mark.parametrize(("amount_minor", "currency"), [(12_345, "TND"), (500, "ZZZ")])
def test_an_amount_that_mtn_does_not_take_is_never_sent(amount_minor: int, currency: str):
    with serving(TAKEN) as server:
        with pytest.raises(ProviderRefused) as refused:
            paid = payment_of(amount_minor, currency)
            provider(server.url).refund(paid, Refund(1, amount_minor))
        assert server.connections == 0
    assert refused.value.code == "unusable_amount"


def test_without_the_product_for_it_nothing_is_given_back():
    without = provider(nobody(), disbursement=None)
    with pytest.raises(ProviderRefused) as refused:
        without.refund(PAID, REFUND)
    assert refused.value.code == "not_configured"
    with pytest.raises(ProviderUncertain):
        without.look_up_refund(PAID, REFUND)


def test_a_refund_is_looked_up_by_its_name():
    found, (_, question) = asked(lambda p: p.look_up_refund(PAID, REFUND), a_refund())
    name = refunded(TAKEN).reference
    assert found == RefundTaken(name, done=True)
    assert question.startswith(f"GET /disbursement/v1_0/refund/{name} HTTP/1.1\r\n".encode())


def test_a_refund_that_is_pending_is_on_its_way():
    assert not looked_up(a_refund(status="PENDING", amount=None)).done


def test_a_refund_that_is_not_there_is_not_there():
    with pytest.raises(NotAtProvider):
        looked_up(NOT_THERE)


def test_a_refund_that_failed_is_refused():
    with pytest.raises(ProviderRefused) as refused:
        looked_up(a_refund(status="FAILED", reason="NOT_ENOUGH_FUNDS"))
    assert refused.value.code == "NOT_ENOUGH_FUNDS"


@pytest.mark.parametrize(
    "behaviour",
    [
        a_refund(status="NEW"),
        a_refund(status=None),
        a_refund(amount="2500"),
        a_refund(amount="a"),
        a_refund(externalId=REFERENCE),
        BAD_REQUEST,
    ],
)
def test_a_look_up_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        looked_up(behaviour)
