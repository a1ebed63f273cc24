"""Flutterwave v4: its pushes, its signed reports, and what each of its answers means for money."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from unittest.mock import patch
from urllib.parse import parse_qs
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import asking, checkouts, flutterwave_v4
from chalicelib.channels.checkouts import ProviderUnavailable
from chalicelib.channels.flutterwave_v4 import CHANNEL, FlutterwaveV4Provider
from chalicelib.channels.interface import FieldErrors, TooLarge
from chalicelib.channels.strict_json import Malformed
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Claim, Payment, Refund, Status, started
from chalicelib.runtime.one_call import Answer, call
from chalicelib.runtime.sessions import Sessions
from chalicelib.services.phones import InvalidPhone
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
    charges,
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

NAME = "channels/flutterwave_v4"
HASH, OLDER_HASH = "demo-secret-hash", "an-older-hash"
SECRET: dict[str, Any] = {
    "base_url": "https://api.flutterwave.example",
    "token_url": "https://idp.flutterwave.example/realms/flutterwave/token",
    "client_id": "demo-client",
    "client_secret": "demo&secret=",
    "hashes": [HASH, OLDER_HASH],
    "email": "payments@company.example",
    "country_code": "254",
    "networks": ["MPESA", "AIRTEL"],
}
REFERENCE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PAYMENT_ID = f"flutterwave_v4-{REFERENCE}"
TOKEN = "eyJ.demo.token"
HALF_PAST_EIGHT = datetime(2026, 1, 8, 8, 30, tzinfo=UTC)
DATA: dict[str, Any] = {
    "id": "chg_nONgeAGY97",
    "amount": 2500.5,
    "currency": "KES",
    "reference": REFERENCE,
    "status": "succeeded",
    "refunded": False,
    "created_datetime": "2026-01-08T08:30:00.000000000Z",
    "customer": {"email": "asha@example.org", "phone": {"number": "712345678"}},
}
VECTOR_BODY = (
    b'{"id":"wbk_1","type":"charge.completed","data":{"id":"chg_1","reference":"r-1",'
    b'"amount":2500,"currency":"NGN","status":"succeeded"}}'
)
VECTOR_SIGNATURE = "vpPGwhCr7aI9o1HGuX4Q1W2FZsQ0fkvpp8P1gEt0o44="


@pytest.fixture(autouse=True)
def no_session_yet():
    """Each test begins without a session, as a new process does."""
    with patch.object(flutterwave_v4, "AT_CHECKOUTS", Sessions()):
        yield


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({NAME: SECRET})


@pytest.fixture
def pending(desk: FrontDesk) -> FrontDesk:
    """A desk at which one payment waits for its payer."""
    desk.stored[PAYMENT_ID] = payment_of()
    return desk


def payment_of(amount_minor: int = 2_500_50, currency: str = "KES", **changes: Any) -> Payment:
    claim = Claim(
        channel="flutterwave_v4",
        source="flutterwave_v4",
        transaction=REFERENCE,
        reference=REFERENCE,
        serial_number="SM5R00123",
        amount_minor=amount_minor,
        currency=currency,
    )
    pending = started(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(pending, **{"known_as": {"charge_id": "chg_nONgeAGY97"}, **changes})


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "flutterwave_v4"
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert CHANNEL.can_refund
    assert CHANNEL.payer_needs == "phone"
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/flutterwave_v4/checkouts"),
        ("POST", "/payments/flutterwave_v4/webhook"),
    ]


def test_the_provider_states_how_it_may_be_asked():
    asked: Provider = flutterwave_v4.make({NAME: SECRET}.__getitem__)
    assert asked.timeout_seconds == 24
    assert asked.refund_recovery is RecoveryClass.REPEATABLE
    assert not asked.full_refunds_only
    assert not charges(asked), "the payer waits at the edge, not for a worker"


# === a provider that wants a log-in ===============================================================


def success(data: object, status: str = "200 OK") -> Behaviour:
    return saying({"status": "success", "message": "ok", "data": data}, status)


def refusing(message: str, status: str = "400 Bad Request") -> Behaviour:
    error = {"type": "REQUEST_NOT_VALID", "code": "10400", "message": message}
    return saying({"status": "failed", "error": error}, status)


def logged_in(token: object = TOKEN, seconds: object = 600) -> Behaviour:
    return saying({"access_token": token, "expires_in": seconds, "token_type": "Bearer"})


def at(url: str) -> dict[str, Any]:
    return {**SECRET, "base_url": url, "token_url": f"{url}/realms/flutterwave/token"}


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


UNREADABLE = [
    answering(b"<html>oops</html>", status="502 Bad Gateway"),
    answering(b"<html>forbidden</html>", status="403 Forbidden"),
    refusing("oops", "500 Internal Server Error"),
    refusing("such a key is at work", "409 Conflict"),
    refusing("slow down", "429 Too Many Requests"),
    refusing("oops", "200 OK"),
    saying({"message": "no error"}, "400 Bad Request"),
    saying({"error": "invalid"}, "400 Bad Request"),
    saying({"status": "success"}),
    success("text"),
    success({}),
    answering(b"", status="302 Found", headers="Location: https://elsewhere.example\r\n"),
    answering(b'{"status": "success", "status": "success", "data": {}}'),
    sending(b""),
    sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"),
]
"""Answers from which nothing follows, whatever was asked for."""

NO_LOG_IN = [
    answering(b"<html>oops</html>", status="502 Bad Gateway"),
    saying({}, "500 Internal Server Error"),
    saying({}),
    logged_in(token=None),
    logged_in(token="two words"),
    logged_in(token="one\r\nX-Y: z"),
    logged_in(token={"a": 1}),
    sending(b""),
]


# === checkouts ====================================================================================

CHECKOUT = {"serial_number": "sm5r-00123", "amount": "2500.50", "phone": "0712 345 678"}
PROMPT = {"type": "payment_instruction", "payment_instruction": {"note": "Dial *182*7*1#"}}
PAGE = "https://pay.flutterwave.example/redirects?opay&token=eyJ"


def charged(**changes: Any) -> Behaviour:
    data = {**DATA, "status": "pending", "next_action": PROMPT}
    return success({**data, **changes}, "201 Created")


def check_out(
    desk: FrontDesk, behaviour: Behaviour, *, log_in: Behaviour | None = None, **changes: Any
) -> tuple[ProviderAnswer, list[bytes]]:
    with (
        patch.object(checkouts, "uuid4", lambda: UUID(REFERENCE)),
        serving(in_turn(log_in or logged_in(), behaviour)) as server,
    ):
        desk.secrets[NAME] = at(server.url)
        answer = flutterwave_v4.checkout(post({**CHECKOUT, **changes}), desk)
    return answer, server.requests


def test_a_checkout_is_answered_once_the_phone_was_asked(desk: FrontDesk):
    answer, _ = check_out(desk, charged())
    assert (answer.status, answer.body) == (
        201,
        {"payment_id": PAYMENT_ID, "reference": REFERENCE},
    )
    payment = only(desk)
    assert (payment.status, payment.payer_phone) == (Status.PENDING, "+254712345678")
    assert payment.known_as == {"charge_id": "chg_nONgeAGY97"}


@pytest.mark.parametrize("page", [{"url": PAGE}, PAGE])
def test_a_payer_whose_network_has_a_page_is_sent_there(desk: FrontDesk, page: object):
    answer, _ = check_out(desk, charged(next_action={"type": "redirect_url", "redirect_url": page}))
    assert answer.body["authorization_url"] == PAGE


def test_the_provider_is_asked_exactly_as_it_expects(desk: FrontDesk):
    _, (log_in, charge) = check_out(desk, charged(), email="asha@example.org")
    assert log_in.startswith(b"POST /realms/flutterwave/token HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\n" in head_of(log_in)
    assert parse_qs(body_of(log_in).decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["demo-client"],
        "client_secret": ["demo&secret="],
    }
    assert charge.startswith(b"POST /orchestration/direct-charges HTTP/1.1\r\n")
    for line in (
        f"Authorization: Bearer {TOKEN}",
        "Content-Type: application/json",
        f"X-Idempotency-Key: {REFERENCE}",
        f"X-Trace-Id: {REFERENCE}",
    ):
        assert f"\r\n{line}\r\n".encode() in head_of(charge)
    assert json.loads(body_of(charge)) == {
        "amount": 2500.5,
        "currency": "KES",
        "reference": REFERENCE,
        "customer": {
            "email": "asha@example.org",
            "phone": {"country_code": "254", "number": "712345678"},
        },
        "payment_method": {
            "type": "mobile_money",
            "mobile_money": {
                "country_code": "254",
                "network": "MPESA",
                "phone_number": "712345678",
            },
        },
        "meta": {"serial_number": "SM5R00123"},
    }


def test_without_an_address_of_the_payer_the_companys_own_is_given(desk: FrontDesk):
    _, (_, charge) = check_out(desk, charged())
    assert json.loads(body_of(charge))["customer"]["email"] == "payments@company.example"


@pytest.mark.parametrize(
    ("code", "decimals", "amount", "written"),
    [
        ("KES", 2, "2500.5", b'"amount": 2500.50,'),
        ("UGX", 0, "2500", b'"amount": 2500,'),
        ("TND", 3, "12.340", b'"amount": 12.340,'),
    ],
)
def test_amounts_are_written_in_major_units_to_the_last_digit(
    desk: FrontDesk, code: str, decimals: int, amount: str, written: bytes
):
    desk.company = Settings(currency=code, currency_decimals=decimals)
    _, (_, charge) = check_out(desk, charged(), amount=amount)
    assert written in body_of(charge)


def test_most_checkouts_need_no_log_in(desk: FrontDesk):
    with serving(in_turn(logged_in(), refusing("no"), refusing("no"))) as server:
        desk.secrets[NAME] = at(server.url)
        for _ in range(2):
            with pytest.raises(ProviderUnavailable):
                flutterwave_v4.checkout(post(CHECKOUT), desk)
    assert len(server.requests) == 3


def test_an_amount_with_more_than_two_decimals_is_refused(desk: FrontDesk):
    desk.company = Settings(currency="TND", currency_decimals=3)
    with pytest.raises(InvalidAmount):
        flutterwave_v4.checkout(post({**CHECKOUT, "amount": "12.345"}), desk)
    assert not desk.starts


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "", "1.001", "2000000", 500, True, []])
def test_a_wrong_amount_is_refused_before_anybody_is_asked(desk: FrontDesk, amount: object):
    with pytest.raises(InvalidAmount):
        flutterwave_v4.checkout(post({**CHECKOUT, "amount": amount}), desk)
    assert not desk.starts


def test_a_phone_of_another_country_is_not_asked(desk: FrontDesk):
    with pytest.raises(InvalidPhone):
        flutterwave_v4.checkout(post({**CHECKOUT, "phone": "+255712345678"}), desk)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, "foreign_phone")


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_is_never_started(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with pytest.raises(Refused):
        flutterwave_v4.checkout(post(CHECKOUT), desk)
    assert not desk.stored


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown()])
def test_a_payment_that_is_not_surely_stored_is_never_started(
    desk: FrontDesk, failure: MwangaError
):
    desk.failure = failure
    with pytest.raises(type(failure)):
        flutterwave_v4.checkout(post(CHECKOUT), desk)


@pytest.mark.parametrize(
    ("log_in", "charge", "reason"),
    [
        (None, refusing("no such network"), "refused_by_provider"),
        (None, refusing("not allowed", "403 Forbidden"), "refused_by_provider"),
        (None, charged(status="failed"), "charge_failed"),
        (saying({"error": "invalid_client"}, "401 Unauthorized"), None, "authentication_failed"),
        (saying({"error": "invalid_grant"}, "400 Bad Request"), None, "authentication_failed"),
        *((log_in, None, "provider_unreachable") for log_in in NO_LOG_IN),
    ],
)
def test_a_payment_that_was_surely_not_started_has_expired(
    desk: FrontDesk, log_in: Behaviour | None, charge: Behaviour | None, reason: str
):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, charge or charged(), log_in=log_in)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, reason)
    assert desk.journal.reasons == [reason]


def test_a_payment_has_expired_where_the_provider_was_not_reached(desk: FrontDesk):
    desk.secrets[NAME] = at(nobody())
    with pytest.raises(ProviderUnavailable):
        flutterwave_v4.checkout(post(CHECKOUT), desk)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, "provider_unreachable")


@pytest.mark.parametrize(
    "behaviour",
    [
        *UNREADABLE,
        success([]),
        charged(id=None),
        charged(id="a/b"),
        charged(reference="f" * 32),
        charged(reference=None),
        charged(next_action={"redirect_url": {"url": "javascript:alert(1)"}}),
        charged(next_action={"redirect_url": 5}),
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
        ({"phone": None}, "phone"),
        ({"phone": 712345678}, "phone"),
        ({"email": "asha"}, "email"),
        ({"currency": "KES"}, "currency"),
    ],
)
def test_a_field_that_is_wrong_missing_or_unknown_is_named(
    desk: FrontDesk, changes: dict[str, Any], field: str
):
    with pytest.raises(FieldErrors) as errors:
        flutterwave_v4.checkout(post({**CHECKOUT, **changes}), desk)
    assert [e.field for e in errors.value.errors] == [field]


def test_a_checkout_that_is_none_is_turned_away(desk: FrontDesk):
    with pytest.raises(InvalidPhone):
        flutterwave_v4.checkout(post({**CHECKOUT, "phone": "12"}), desk)
    with pytest.raises(TooLarge):
        flutterwave_v4.checkout(post(b" " * 70_000), desk)
    for body in (b"", b"[]", b'{"amount":"1","amount":"2"}', b"\xff"):
        with pytest.raises(Malformed):
            flutterwave_v4.checkout(post(body), desk)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "api.flutterwave.com"},
        {"token_url": None},
        {"token_url": "https://idp.example/token?realm=x"},
        {"client_id": ""},
        {"client_secret": None},
        {"hashes": HASH},
        {"hashes": [""]},
        {"email": "company"},
        {"country_code": "KE"},
        {"country_code": "+254"},
        {"country_code": 254},
        {"networks": []},
        {"networks": "MPESA"},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_started_taken_or_asked(changes: dict[str, Any]):
    secret = {**SECRET, **changes}
    desk = FrontDesk({NAME: secret})
    desk.stored[PAYMENT_ID] = payment_of()
    with pytest.raises(SecretMissing):
        flutterwave_v4.checkout(post(CHECKOUT), desk)
    assert told_of_charge(desk) == TRY_AGAIN
    for question in QUESTIONS:
        with pytest.raises(SecretMissing):
            question(flutterwave_v4.make({NAME: secret}.__getitem__))
    assert not desk.starts
    assert only(desk).status is Status.PENDING


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*CHECKOUT, "email"]) | st.text(max_size=5), json_values))
def test_no_checkout_brings_an_error_that_we_did_not_mean(changes: dict[str, Any]):
    desk = FrontDesk({NAME: SECRET})
    said = {"access_token": TOKEN, "data": DATA}
    with patch.object(asking, "call", lambda *_: Answer(200, json.dumps(said).encode())):
        for body in (changes, {**CHECKOUT, **changes}):
            with suppress(MwangaError):
                assert flutterwave_v4.checkout(post(body), desk).status == 201


# === webhooks =====================================================================================

OK = (200, {"status": "ok"})
IGNORED = (200, {"status": "ignored"})
CONFLICT = (200, {"status": "conflict"})
UNKNOWN = (200, {"status": "unknown_reference"})
MALFORMED = (400, {"status": "malformed"})
INVALID_SIGNATURE = (401, {"status": "invalid_signature"})
TRY_AGAIN = (503, {"status": "try_again"})


def hmac_by_definition(key: str, text: bytes) -> str:
    """HMAC-SHA256 after RFC 2104, without the library that the channel uses, in Base64."""
    block = key.encode()
    block = (hashlib.sha256(block).digest() if len(block) > 64 else block).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + text).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).digest()
    return base64.b64encode(outer).decode()


def told(
    desk: FrontDesk, body: bytes, signature: str | None = None, key: str = HASH
) -> tuple[int, Any]:
    shown = hmac_by_definition(key, body) if signature is None else signature
    headers = {"Flutterwave-Signature": shown}
    answer = flutterwave_v4.webhook(ProviderRequest("POST", {}, headers, body, ""), desk)
    return answer.status, answer.body


def told_of_charge(
    desk: FrontDesk, kind: object = "charge.completed", **changes: Any
) -> tuple[int, Any]:
    report = {"id": "wbk_1", "timestamp": 1, "type": kind, "data": {**DATA, **changes}}
    return told(desk, json.dumps(report).encode())


def test_money_that_has_moved_makes_the_payment_received(pending: FrontDesk):
    assert told_of_charge(pending) == OK
    payment = only(pending)
    assert (payment.status, payment.receipt) == (Status.RECEIVED, "chg_nONgeAGY97")
    assert payment.moment == HALF_PAST_EIGHT
    assert not pending.hints
    assert not pending.journal.events


def test_the_same_report_again_changes_nothing(pending: FrontDesk):
    told_of_charge(pending)
    before = only(pending)
    assert told_of_charge(pending) == OK
    assert only(pending) is before


def test_an_expired_payment_that_is_paid_after_all_is_taken(pending: FrontDesk):
    pending.not_started(only(pending), "charge_failed")
    assert told_of_charge(pending) == OK
    assert only(pending).status is Status.RECEIVED


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *(("charge.completed", {"status": s}) for s in ("failed", "pending", "voided", None, 5)),
        ("charge.completed", {"refunded": True}),
        ("charge.failed", {}),
        ("charge.failed", {"status": "failed"}),
    ],
)
def test_every_other_news_of_a_charge_is_a_hint(
    pending: FrontDesk, kind: str, changes: dict[str, Any]
):
    assert told_of_charge(pending, kind, **changes) == OK
    assert pending.hints == [PAYMENT_ID]
    assert only(pending).status is Status.PENDING


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *((kind, {}) for kind in ("transfer.completed", "refund.completed", "", None, 5)),
        *(("charge.completed", {"reference": r}) for r in (None, 5, "", "r-1", "٠" * 32)),
        ("charge.completed", {"reference": REFERENCE.upper()}),
        ("charge.completed", {"reference": [REFERENCE]}),
    ],
)
def test_what_is_about_no_charge_of_ours_changes_nothing(
    pending: FrontDesk, kind: object, changes: dict[str, Any]
):
    assert told_of_charge(pending, kind, **changes) == IGNORED
    assert not pending.hints
    assert only(pending).status is Status.PENDING
    assert not pending.journal.events


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 2500.49},
        {"amount": 2500.51},
        {"amount": 0},
        {"amount": -2500.5},
        {"amount": 2500.501},
        {"amount": None},
        {"amount": True},
        {"currency": "NGN"},
        {"currency": "ZZZ"},
        {"currency": None},
    ],
)
def test_money_that_was_not_agreed_is_noted_and_credited_to_nobody(
    pending: FrontDesk, changes: dict[str, Any]
):
    assert told_of_charge(pending, **changes) == CONFLICT
    assert only(pending).status is Status.PENDING
    assert [metric for metric, _ in pending.journal.counts] == ["ReportsFailed"]
    assert told_of_charge(pending) == OK


def test_a_second_charge_of_one_payment_is_a_conflict(pending: FrontDesk):
    told_of_charge(pending)
    assert told_of_charge(pending, id="chg_another") == CONFLICT
    assert only(pending).receipt == "chg_nONgeAGY97"


def test_a_reference_of_ours_without_a_payment_is_answered_and_noted(desk: FrontDesk):
    assert told_of_charge(desk) == UNKNOWN
    assert told_of_charge(desk, status="failed") == UNKNOWN
    assert desk.journal.reasons == ["not_found", "not_found"]


@pytest.mark.parametrize("charge_id", [None, "", "a/b", 1.5, "x" * 61, ["chg_1"]])
def test_a_success_without_an_id_cannot_be_read(pending: FrontDesk, charge_id: object):
    assert told_of_charge(pending, id=charge_id) == MALFORMED
    assert only(pending).status is Status.PENDING


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown(), QueueUnavailable()])
def test_what_was_not_stored_is_to_be_sent_again(pending: FrontDesk, failure: MwangaError):
    pending.failure = failure
    assert told_of_charge(pending) == TRY_AGAIN
    assert told_of_charge(pending, status="failed") == TRY_AGAIN
    assert pending.journal.reasons == [failure.code, failure.code]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<xml/>",
        b"{" * 9_999,
        b'{"type":"charge.completed","type":"charge.failed","data":{}}',
        b'{"type":"charge.completed"}',
        b'{"type":"charge.completed","data":[]}',
        b"\xff",
    ],
)
def test_a_signed_body_that_is_no_report_is_malformed_and_noted(desk: FrontDesk, body: bytes):
    assert told(desk, body) == MALFORMED
    assert [metric for metric, _ in desk.journal.counts] == ["ReportsFailed"]


def test_what_is_noted_names_no_person(pending: FrontDesk):
    told_of_charge(pending, amount=1)
    told_of_charge(pending, id=None)
    assert len(pending.journal.events) == 2
    assert "asha" not in str(pending.journal.events)
    assert "712345678" not in str(pending.journal.events)


# --- who is calling -------------------------------------------------------------------------------


def test_the_vector_signature_is_right(desk: FrontDesk):
    assert hmac_by_definition("demo-secret-hash", VECTOR_BODY) == VECTOR_SIGNATURE
    assert told(desk, VECTOR_BODY, VECTOR_SIGNATURE) == IGNORED


@pytest.mark.parametrize("key", [HASH, OLDER_HASH])
def test_every_hash_proves_a_webhook(pending: FrontDesk, key: str):
    body = json.dumps({"type": "charge.completed", "data": DATA}).encode()
    assert told(pending, body, key=key) == OK


@pytest.mark.parametrize(
    "signature",
    [
        "",
        HASH,
        VECTOR_SIGNATURE[:-1],
        f" {VECTOR_SIGNATURE}",
        VECTOR_SIGNATURE.lower(),
        "é" * 44,
        "\ud800",
        hmac_by_definition("", VECTOR_BODY),
        hmac_by_definition("another", VECTOR_BODY),
        hashlib.sha256(VECTOR_BODY).hexdigest(),
    ],
)
def test_any_other_signature_is_turned_away(desk: FrontDesk, signature: str):
    assert told(desk, VECTOR_BODY, signature) == INVALID_SIGNATURE
    assert desk.journal.counts == [
        ("CallersRefused", {"channel": "flutterwave_v4", "reason": "invalid_signature"})
    ]


def test_the_plain_hash_of_the_older_api_is_no_signature(pending: FrontDesk):
    body = json.dumps({"type": "charge.completed", "data": DATA}).encode()
    request = ProviderRequest("POST", {}, {"verif-hash": HASH}, body, "")
    answer = flutterwave_v4.webhook(request, pending)
    assert (answer.status, answer.body) == INVALID_SIGNATURE


@pytest.mark.parametrize("position", range(len(VECTOR_BODY)))
def test_a_body_with_one_byte_changed_is_turned_away(desk: FrontDesk, position: int):
    changed = bytearray(VECTOR_BODY)
    changed[position] ^= 1
    assert told(desk, bytes(changed), VECTOR_SIGNATURE) == INVALID_SIGNATURE


def test_without_hashes_nobody_is_listened_to(desk: FrontDesk):
    desk.secrets[NAME] = {**SECRET, "hashes": []}
    assert told(desk, VECTOR_BODY, VECTOR_SIGNATURE) == INVALID_SIGNATURE
    assert told(desk, VECTOR_BODY, "") == INVALID_SIGNATURE


def test_a_report_that_is_too_large_is_turned_away(desk: FrontDesk):
    assert told(desk, b" " * 70_000) == (413, {"status": "too_large"})
    assert told(desk, b" " * 70_000, "") == INVALID_SIGNATURE


@given(
    st.sampled_from(["charge.completed", "charge.failed", "refund.completed"]),
    st.dictionaries(st.sampled_from([*DATA]) | st.text(max_size=5), json_values),
)
def test_any_signed_report_gets_an_answer(kind: str, changes: dict[str, Any]):
    for data in (changes, {**DATA, **changes}):
        desk = FrontDesk({NAME: SECRET})
        desk.stored[PAYMENT_ID] = payment_of()
        status, body = told(desk, json.dumps({"type": kind, "data": data}).encode())
        assert (status, set(body)) in [(200, {"status"}), (400, {"status"})]


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_signed_body_gets_an_answer(body: bytes):
    assert told(FrontDesk({NAME: SECRET}), body) in [MALFORMED, IGNORED]


@given(st.binary(max_size=300), st.text(max_size=60))
def test_no_stranger_gets_further_than_the_door(body: bytes, signature: str):
    assert told(FrontDesk({NAME: SECRET}), body, signature) == INVALID_SIGNATURE


# === what we ask ==================================================================================

Answered = TypeVar("Answered")
REFUND = Refund(1, 500_50)
TAKEN = Refund(1, 500_50, reference="rfd_eHwAkSdZ48")
PAID = payment_of(receipt="chg_nONgeAGY97", status=Status.RECEIVED)
NOTE = f"{PAYMENT_ID}.1"


def provider(base_url: str) -> FlutterwaveV4Provider:
    return flutterwave_v4.make({NAME: at(base_url)}.__getitem__)


def asked(
    question: Callable[[FlutterwaveV4Provider], Answered], behaviour: Behaviour
) -> tuple[Answered, bytes]:
    """The answer to a question, and the one request that was made for it after the log-in."""
    with serving(in_turn(logged_in(), behaviour)) as server:
        try:
            answer = question(provider(server.url))
        finally:
            assert server.connections == 2, "nothing is asked twice, whatever comes of it"
    return answer, server.requests[1]


def verified(behaviour: Behaviour, payment: Payment | None = None) -> Paid | None:
    return asked(lambda p: p.verify(payment or payment_of()), behaviour)[0]


def refunded(behaviour: Behaviour) -> RefundTaken:
    return asked(lambda p: p.refund(PAID, REFUND), behaviour)[0]


def looked_up(behaviour: Behaviour) -> RefundTaken:
    return asked(lambda p: p.look_up_refund(PAID, TAKEN), behaviour)[0]


def charge(**changes: Any) -> Behaviour:
    return success({**DATA, **changes})


def a_refund(status: object = "new", **changes: Any) -> Behaviour:
    data = {"id": "rfd_eHwAkSdZ48", "amount_refunded": 500.5, "charge_id": "chg_nONgeAGY97"}
    return saying({"message": "Refund Initiated", "data": {**data, "status": status, **changes}})


QUESTIONS: list[Callable[[FlutterwaveV4Provider], object]] = [
    lambda p: p.verify(payment_of()),
    lambda p: p.verify(payment_of(known_as={})),
    lambda p: p.refund(PAID, REFUND),
    lambda p: p.look_up_refund(PAID, TAKEN),
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("behaviour", UNREADABLE)
def test_an_answer_that_tells_nothing_is_uncertain(
    question: Callable[[FlutterwaveV4Provider], object], behaviour: Behaviour
):
    with pytest.raises(ProviderUncertain):
        asked(question, behaviour)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_provider_that_was_not_reached_was_asked_for_nothing(
    question: Callable[[FlutterwaveV4Provider], object],
):
    with pytest.raises(ProviderUnreachable):
        question(provider(nobody()))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("behaviour", NO_LOG_IN)
def test_without_a_session_nothing_was_asked(
    question: Callable[[FlutterwaveV4Provider], object], behaviour: Behaviour
):
    with serving(in_turn(behaviour)) as server:
        with pytest.raises(ProviderUnreachable):
            question(provider(server.url))
        assert server.connections == 1


def test_an_answer_that_takes_too_long_is_uncertain():
    def hurried(method: str, url: str, headers: Any, seconds: float, *rest: Any) -> Answer:
        return call(method, url, headers, 0.2 if "refunds" in url else seconds, *rest)

    def silent(connection: socket.socket) -> None:
        connection.recv(1)

    with (
        serving(in_turn(logged_in(), silent)) as server,
        patch.object(asking, "call", hurried),
        pytest.raises(ProviderUncertain),
    ):
        provider(server.url).refund(PAID, REFUND)


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_is_kept_and_renewed_once_when_it_is_not_taken_any_more():
    expired = saying({"error": {"message": "token expired"}}, "401 Unauthorized")
    with serving(in_turn(logged_in(), charge(), expired, logged_in("new"), charge())) as server:
        asking_it = provider(server.url)
        for _ in range(2):
            assert asking_it.verify(payment_of()) is not None
    assert b"\r\nAuthorization: Bearer new\r\n" in head_of(server.requests[-1])


@pytest.mark.parametrize(
    "behaviours",
    [
        (saying({"error": "invalid_client"}, "401 Unauthorized"),),
        (logged_in(), saying({}, "401 Unauthorized")),
    ],
)
def test_one_whom_the_provider_does_not_know_is_refused_a_refund_but_told_nothing_of_payments(
    behaviours: tuple[Behaviour, ...],
):
    with serving(in_turn(*behaviours)) as server, pytest.raises(ProviderRefused) as refused:
        provider(server.url).refund(PAID, REFUND)
    assert refused.value.code == "authentication_failed"
    for question in (QUESTIONS[0], QUESTIONS[1], QUESTIONS[3]):
        with serving(in_turn(*behaviours)) as server, pytest.raises(ProviderUnreachable):
            question(provider(server.url))


# --- verification ---------------------------------------------------------------------------------

AS_PAID = Paid(
    "chg_nONgeAGY97",
    2_500_50,
    "KES",
    paid_at=HALF_PAST_EIGHT,
    known_as={"charge_id": "chg_nONgeAGY97"},
)


def test_a_payment_is_verified_by_the_id_of_its_charge():
    paid, request = asked(lambda p: p.verify(payment_of()), charge())
    assert paid == AS_PAID
    assert request.startswith(b"GET /charges/chg_nONgeAGY97 HTTP/1.1\r\n")
    assert f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode() in head_of(request)
    assert b"Idempotency" not in head_of(request)


def test_without_that_id_a_payment_is_looked_for_by_our_reference():
    others = {**DATA, "id": "chg_other", "reference": "f" * 32}
    paid, request = asked(
        lambda p: p.verify(payment_of(known_as={})), success([others, DATA, "text"])
    )
    assert paid == AS_PAID
    assert request.startswith(f"GET /charges?reference={REFERENCE} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("found", [[], [{**DATA, "reference": "f" * 32}], [DATA, DATA], [None]])
def test_a_charge_that_is_not_found_by_our_reference_may_be_there_all_the_same(found: list[Any]):
    with pytest.raises(ProviderUncertain):
        verified(success(found), payment_of(known_as={}))


@pytest.mark.parametrize(
    ("amount", "currency", "amount_minor"),
    [(100, "UGX", 100), (1_234.5, "KES", 1_234_50), ("2500.50", "KES", 2_500_50)],
)
def test_a_verification_tells_what_was_really_paid(
    amount: object, currency: str, amount_minor: int
):
    paid = verified(charge(amount=amount, currency=currency))
    assert paid is not None
    assert (paid.amount_minor, paid.currency) == (amount_minor, currency)


def test_a_charge_that_waits_is_not_paid():
    assert verified(charge(status="pending")) is None


def test_a_charge_that_failed_is_over():
    with pytest.raises(ProviderRefused) as refused:
        verified(charge(status="failed"))
    assert refused.value.code == "charge_failed"


def test_a_charge_that_was_given_back_is_taken_back():
    with pytest.raises(TakenBack) as taken:
        verified(charge(refunded=True))
    assert taken.value.reference == "chg_nONgeAGY97"


@pytest.mark.parametrize(
    "behaviour",
    [
        refusing("not found", "404 Not Found"),
        charge(reference="f" * 32),
        charge(reference=None),
        charge(status="voided"),
        charge(status=None),
        charge(status=["succeeded"]),
        charge(amount=0),
        charge(amount=2500.001),
        charge(amount=True),
        charge(currency="ZZZ"),
        charge(currency=None),
        charge(id=None),
        charge(id="a/b"),
    ],
)
def test_a_verification_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        verified(behaviour)


# --- refunds --------------------------------------------------------------------------------------

STATES = [
    ("new", False),
    ("pending", False),
    ("processing", False),
    ("completed", True),
    ("succeeded", True),
]


def test_a_refund_is_asked_for_exactly_as_the_provider_expects():
    taken, request = asked(lambda p: p.refund(PAID, REFUND), a_refund())
    assert taken == RefundTaken("rfd_eHwAkSdZ48", done=False)
    assert request.startswith(b"POST /refunds HTTP/1.1\r\n")
    assert f"\r\nX-Idempotency-Key: {NOTE}\r\n".encode() in head_of(request)
    assert body_of(request) == (
        b'{"amount": 500.50, "charge_id": "chg_nONgeAGY97", "reason": "requested_by_customer", '
        b'"meta": {"refund": "%s"}}' % NOTE.encode()
    )


def test_a_refund_that_is_asked_for_again_has_the_same_key():
    again = replace(REFUND, attempts=2, in_doubt=True)
    _, request = asked(lambda p: p.refund(PAID, again), a_refund())
    assert f"\r\nX-Idempotency-Key: {NOTE}\r\n".encode() in head_of(request)


@pytest.mark.parametrize(("status", "done"), [*STATES, ("a new word", False), (None, False)])
def test_a_refund_that_was_taken_keeps_its_id_whatever_its_state(status: object, done: bool):
    assert refunded(a_refund(status)) == RefundTaken("rfd_eHwAkSdZ48", done=done)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (refusing("charge already refunded"), "refused_by_provider"),
        (refusing("insufficient balance", "403 Forbidden"), "refused_by_provider"),
        (refusing("no such charge", "404 Not Found"), "refused_by_provider"),
        (refusing("amount", "422 Unprocessable Entity"), "refused_by_provider"),
        (a_refund("failed"), "refund_failed"),
    ],
)
def test_a_refund_that_the_provider_declines_is_refused(behaviour: Behaviour, code: str):
    with pytest.raises(ProviderRefused) as refused:
        refunded(behaviour)
    assert refused.value.code == code


@pytest.mark.parametrize("refund_id", [None, "../x", {"a": 1}])
def test_a_refund_without_an_id_is_uncertain(refund_id: object):
    with pytest.raises(ProviderUncertain):
        refunded(a_refund(id=refund_id))


@pytest.mark.parametrize(
    ("payment", "amount_minor", "code"),
    [
        (payment_of(receipt=None), 500, "no_receipt"),
        (payment_of(currency="TND", receipt="chg_1"), 12_345, "unusable_amount"),
        (payment_of(currency="ZZZ", receipt="chg_1"), 500, "unusable_amount"),
    ],
)
def test_a_refund_that_cannot_be_asked_for_is_refused_without_asking(
    payment: Payment, amount_minor: int, code: str
):
    with pytest.raises(ProviderRefused) as refused:
        provider(nobody()).refund(payment, Refund(1, amount_minor))
    assert refused.value.code == code


@pytest.mark.parametrize(("status", "done"), STATES)
def test_a_refund_is_looked_up_by_the_id_that_the_provider_gave(status: str, done: bool):
    found, request = asked(lambda p: p.look_up_refund(PAID, TAKEN), a_refund(status))
    assert found == RefundTaken("rfd_eHwAkSdZ48", done=done)
    assert request.startswith(b"GET /refunds/rfd_eHwAkSdZ48 HTTP/1.1\r\n")


def test_a_refund_that_failed_is_refused():
    with pytest.raises(ProviderRefused) as refused:
        looked_up(a_refund("failed"))
    assert refused.value.code == "refund_failed"


@pytest.mark.parametrize(
    "behaviour",
    [
        a_refund("a new word"),
        a_refund(None),
        a_refund("completed", id="rfd_another"),
        refusing("not found", "404 Not Found"),
    ],
)
def test_a_look_up_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        looked_up(behaviour)


def test_a_refund_without_an_id_is_never_taken_for_absent():
    with pytest.raises(ProviderUncertain):
        provider(nobody()).look_up_refund(PAID, REFUND)
