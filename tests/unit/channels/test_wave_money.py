"""Wave Money: pages that are opened, what a callback proves, and what nobody can be asked."""

from __future__ import annotations

import hmac
import json
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import wave_money
from chalicelib.channels.checkouts import ProviderUnavailable
from chalicelib.channels.interface import BODY_BYTES_MAX, FieldErrors, TooLarge
from chalicelib.channels.wave_money import CHANNEL, NOT_PAID
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Claim, Payment, Refund, Status, started
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.ports import (
    NotAtProvider,
    OutcomeUnknown,
    Provider,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    QueueUnavailable,
    RecoveryClass,
    RefusalClass,
    SecretMissing,
    Settings,
    TryAgain,
    VersionConflict,
)
from tests.unit.channels.front_desk import NOW, FrontDesk, only
from tests.unit.scripted_server import Behaviour, answering, saying, sending, serving

KEY, OLDER_KEY = "wave_demo_secret", "wave_older_secret"
SECRET: dict[str, Any] = {
    "base_url": "https://payments.wave.example",
    "merchant_id": "demo-merchant",
    "merchant_name": "Light Co",
    "secret_keys": [KEY, OLDER_KEY],
    "public_url": "https://pay.company.example/api",
    "result_url": "https://company.example/thanks",
    "currency": "MMK",
}
ORDER = "0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0"
PAYMENT_ID = f"wave_money.demomerchant-{ORDER}"
OURS = "https://pay.company.example/api/payments/wave_money/result"
CHECKOUT = {"serial_number": "sm5r-00123", "amount": "1500"}
OPENED = {"message": "success", "transaction_id": "wp-77.A_1"}
FAILURES = [TryAgain(), OutcomeUnknown(), VersionConflict(), QueueUnavailable()]


@pytest.fixture
def desk() -> FrontDesk:
    company = Settings(country="MM", currency="MMK", currency_decimals=2)
    desk = FrontDesk({"channels/wave_money": SECRET}, company=company)
    desk.stored[PAYMENT_ID] = payment_of()
    return desk


def payment_of(amount_minor: int = 1_500_00, **changes: Any) -> Payment:
    claim = Claim(
        channel="wave_money",
        source="wave_money.demomerchant",
        transaction=ORDER,
        reference=ORDER,
        serial_number="SM5R00123",
        amount_minor=amount_minor,
        currency="MMK",
    )
    pending = started(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(pending, **changes)


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "wave_money"
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert not CHANNEL.can_refund
    assert CHANNEL.payer_needs is None
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/wave_money/checkouts"),
        ("POST", "/payments/wave_money/result"),
    ]


def test_the_provider_can_be_asked_for_nothing():
    provider: Provider = wave_money.make({}.__getitem__)
    assert provider.refund_recovery is RecoveryClass.OPAQUE
    with pytest.raises(ProviderUncertain):
        provider.verify(payment_of())
    with pytest.raises(ProviderRefused):
        provider.refund(payment_of(), Refund(1, 1_500_00))
    with pytest.raises(NotAtProvider):
        provider.look_up_refund(payment_of(), Refund(1, 1_500_00))


# === pages ========================================================================================


def post(body: bytes | Mapping[str, Any]) -> ProviderRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ProviderRequest("POST", {}, {"content-type": "application/json"}, raw, "203.0.113.9")


def check_out(
    desk: FrontDesk, behaviour: Behaviour, secret: Mapping[str, Any] | None = None, **changes: Any
) -> tuple[ProviderAnswer, list[bytes], str]:
    desk.stored.clear()
    with serving(behaviour) as server:
        desk.secrets["channels/wave_money"] = {**SECRET, "base_url": server.url, **(secret or {})}
        answer = wave_money.checkout(post({**CHECKOUT, **changes}), desk)
    return answer, server.requests, server.url


def test_a_checkout_is_answered_with_the_page_to_pay_on(desk: FrontDesk):
    answer, _, url = check_out(desk, saying(OPENED))
    payment = only(desk)
    assert (answer.status, answer.body) == (
        201,
        {
            "payment_id": payment.payment_id,
            "reference": payment.reference,
            "authorization_url": f"{url}/authenticate?transaction_id=wp-77.A_1",
        },
    )
    assert payment.status is Status.PENDING
    assert payment.known_as == {"transaction_id": "wp-77.A_1"}
    assert payment.payment_id == f"wave_money.demomerchant-{payment.reference}"


def test_each_order_has_an_id_of_ours(desk: FrontDesk):
    check_out(desk, saying(OPENED))
    check_out(desk, saying(OPENED))
    first, second = desk.starts
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first.reference)
    assert first.reference != second.reference
    assert (first.source, first.transaction) == ("wave_money.demomerchant", first.reference)
    assert (first.serial_number, first.amount_minor) == ("SM5R00123", 1_500_00)


def test_an_order_is_made_exactly_as_it_is_expected(desk: FrontDesk):
    _, requests, _ = check_out(desk, saying(OPENED))
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /payment HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\n" in head + b"\r\n"
    order = {name: value for name, (value,) in parse_qs(body.decode()).items()}
    reference = only(desk).reference
    signed = f"300demo-merchant{reference}1500{OURS}{reference}"
    assert order.pop("hash") == hmac.new(KEY.encode(), signed.encode(), "sha256").hexdigest()
    assert json.loads(order.pop("items")) == [{"name": "SM5R00123", "amount": 1500}]
    assert order == {
        "merchant_id": "demo-merchant",
        "order_id": reference,
        "merchant_reference_id": reference,
        "frontend_result_url": "https://company.example/thanks",
        "backend_result_url": OURS,
        "amount": "1500",
        "time_to_live_in_seconds": "300",
        "payment_description": "SM5R00123",
        "currency": "MMK",
        "merchant_name": "Light Co",
    }


def test_the_hash_of_an_order_is_that_of_the_vector():
    keys = wave_money.keys_of(
        {**SECRET, "merchant_id": "demo_merchant", "public_url": "https://x.example"}
    )
    signed = "120demo_merchantord-11500https://x.example/cbref-1"
    assert wave_money._hash(keys.secret_keys[0], signed) == (
        "2c17d51f2b130828ff3833cf91ee8cb87a8bba4120b5b1ab5bb59e3008ede640"
    )
    assert (
        *("time_to_live_in_seconds", "merchant_id", "order_id"),
        *("amount", "backend_result_url", "merchant_reference_id"),
    ) == wave_money.SIGNED_IN_ORDER


@pytest.mark.parametrize("amount", ["0", "-1", "1.5", "1e3", "", 1500, None, True, "9" * 30])
def test_an_amount_that_is_not_whole_kyat_opens_nothing(desk: FrontDesk, amount: object):
    with pytest.raises((InvalidAmount, FieldErrors)):
        wave_money.checkout(post({**CHECKOUT, "amount": amount}), desk)
    assert not desk.starts


def test_a_body_that_is_too_large_opens_nothing(desk: FrontDesk):
    with pytest.raises(TooLarge):
        wave_money.checkout(post(b"{" + b" " * BODY_BYTES_MAX), desk)


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_opens_nothing(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with pytest.raises(Refused):
        wave_money.checkout(post(CHECKOUT), desk)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (saying({"message": "bad hash"}, "400 Bad Request"), "authentication_failed"),
        (saying({"message": "no such merchant"}, "404 Not Found"), "refused_by_provider"),
        (saying({"message": "amount"}, "422 Unprocessable Entity"), "refused_by_provider"),
    ],
)
def test_an_order_that_is_refused_has_expired(desk: FrontDesk, behaviour: Behaviour, reason: str):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, behaviour)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, reason)
    assert desk.journal.counts == [("CheckoutsFailed", {"channel": "wave_money", "reason": reason})]


def test_an_order_has_expired_where_the_provider_was_not_reached(desk: FrontDesk):
    desk.stored.clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    desk.secrets["channels/wave_money"] = {**SECRET, "base_url": f"http://127.0.0.1:{port}"}
    with pytest.raises(ProviderUnavailable):
        wave_money.checkout(post(CHECKOUT), desk)
    assert only(desk).reason == "provider_unreachable"


@pytest.mark.parametrize(
    "behaviour",
    [
        saying({"message": "order exists"}, "409 Conflict"),
        saying({"message": "who"}, "401 Unauthorized"),
        saying({"message": "slow down"}, "429 Too Many Requests"),
        saying({"message": "oops"}, "500 Internal Server Error"),
        saying(OPENED, "201 Created"),
        saying({**OPENED, "message": "failure"}),
        saying({"message": "success"}),
        saying({**OPENED, "transaction_id": ""}),
        saying({**OPENED, "transaction_id": "a b"}),
        saying({**OPENED, "transaction_id": ["x"]}),
        saying({**OPENED, "transaction_id": "x" * 41}),
        saying([OPENED]),
        answering(b"<html>oops</html>", status="502 Bad Gateway"),
        answering(b"", status="302 Found", headers="Location: https://elsewhere.example\r\n"),
        sending(b""),
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
    ],
)
def test_an_order_of_which_nothing_is_certain_stays_pending(desk: FrontDesk, behaviour: Behaviour):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, behaviour)
    assert only(desk).status is Status.PENDING
    assert desk.journal.reasons == ["provider_uncertain"]


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "payments.wave.example"},
        {"merchant_id": ""},
        {"merchant_id": "a b"},
        {"merchant_id": "m" * 41},
        {"merchant_name": None},
        {"secret_keys": []},
        {"secret_keys": KEY},
        {"secret_keys": [1]},
        {"public_url": "nowhere"},
        {"result_url": "javascript:alert(1)"},
        {"currency": "XXQ"},
    ],
)
def test_a_half_configured_channel_opens_nothing(desk: FrontDesk, changes: dict[str, Any]):
    desk.secrets["channels/wave_money"] = {**SECRET, **changes}
    with pytest.raises(SecretMissing):
        wave_money.checkout(post(CHECKOUT), desk)
    assert wave_money.result(post(signed()), desk).status == 503
    assert not desk.starts


# === callbacks ====================================================================================

SIGNED = (
    *("status", "timeToLiveSeconds", "merchantId", "orderId", "amount", "backendResultUrl"),
    *("merchantReferenceId", "initiatorMsisdn", "transactionId", "paymentRequestId", "requestTime"),
)
CALLBACK: dict[str, Any] = {
    "status": "PAYMENT_CONFIRMED",
    "merchantId": "demo-merchant",
    "orderId": ORDER,
    "merchantReferenceId": ORDER,
    "frontendResultUrl": "https://company.example/thanks",
    "backendResultUrl": OURS,
    "initiatorMsisdn": "9791234567",
    "amount": 1500,
    "timeToLiveSeconds": 300,
    "paymentDescription": "SM5R00123",
    "currency": "MMK",
    "transactionId": "7700012",
    "paymentRequestId": "pr-7",
    "requestTime": "2026-01-08T15:30:00",
    "additionalField1": None,
}


def as_text(value: object) -> str:
    """What a field is in the hashed text: strings as they are, the rest as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def signed(key: str = KEY, **changes: Any) -> dict[str, Any]:
    """A callback with these changes; one that is ``...`` is left out."""
    body = {**CALLBACK, **changes}
    body = {name: value for name, value in body.items() if value is not ...}
    text = "".join(as_text(body.get(name)) for name in SIGNED)
    return {**body, "hashValue": hmac.new(key.encode(), text.encode(), "sha256").hexdigest()}


def call_back(desk: FrontDesk, **changes: Any) -> tuple[int, str]:
    return short(wave_money.result(post(signed(**changes)), desk))


def short(answer: ProviderAnswer) -> tuple[int, str]:
    assert list(answer.body) == ["message"]
    return answer.status, answer.body["message"]


def test_a_confirmed_payment_is_received(desk: FrontDesk):
    assert call_back(desk) == (200, "success")
    payment = desk.stored[PAYMENT_ID]
    assert (payment.status, payment.receipt) == (Status.RECEIVED, "7700012")
    assert not desk.journal.events


def test_a_repeated_callback_is_answered_alike(desk: FrontDesk):
    assert call_back(desk) == call_back(desk) == (200, "success")


def test_the_hash_of_a_callback_is_that_of_the_vector(desk: FrontDesk):
    vector = {
        "status": "PAYMENT_CONFIRMED",
        "timeToLiveSeconds": 120,
        "merchantId": "demo_merchant",
        "orderId": "ord-1",
        "amount": 1500,
        "backendResultUrl": "https://x.example/cb",
        "merchantReferenceId": "ref-1",
        "initiatorMsisdn": "9791234567",
        "transactionId": "tx-9",
        "paymentRequestId": "pr-7",
        "requestTime": "2022-03-21T14:31:16",
        "hashValue": "dbc73b580576cf2e40b2287c87a1b1734a7bfaadbed5734a02a15833f4fdf79d",
    }
    # It is believed, and of no order of ours. With another hash it is not even believed.
    assert short(wave_money.result(post(vector), desk)) == (400, "unknown_order")
    wrong = {**vector, "hashValue": "e" + vector["hashValue"][1:]}
    assert short(wave_money.result(post(wrong), desk)) == (401, "invalid_signature")


@pytest.mark.parametrize("key", [KEY, OLDER_KEY])
def test_every_live_key_proves_a_callback(desk: FrontDesk, key: str):
    assert call_back(desk, key=key) == (200, "success")


def test_a_hash_in_capitals_is_the_same_hash(desk: FrontDesk):
    body = signed()
    body["hashValue"] = body["hashValue"].upper()
    assert wave_money.result(post(body), desk).status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x") for name in SIGNED),
        *((name, None) for name in SIGNED),
        ("amount", 15000),
        ("status", True),
        ("amount", [1500]),
        ("orderId", {"a": 1}),
        *(("hashValue", value) for value in (None, "", "0" * 64, 1, ["x"], "é", "\U0001f4a1")),
    ],
)
def test_a_tampered_callback_is_turned_away(desk: FrontDesk, name: str, value: object):
    answer = wave_money.result(post({**signed(), name: value}), desk)
    assert short(answer) == (401, "invalid_signature")
    assert desk.stored[PAYMENT_ID].status is Status.PENDING
    assert desk.journal.counts == [
        ("CallersRefused", {"channel": "wave_money", "reason": "invalid_signature"})
    ]


def test_a_callback_of_another_key_is_turned_away(desk: FrontDesk):
    assert call_back(desk, key="stolen") == (401, "invalid_signature")


@pytest.mark.parametrize(
    "changes",
    [
        # The text that is hashed is the same in each: only the borders have moved.
        {"orderId": ORDER + "1", "amount": 500},
        {"orderId": ORDER[:-1], "amount": "01500"},
        {"timeToLiveSeconds": "300demo", "merchantId": "-merchant"},
        {"backendResultUrl": OURS + ORDER[:4], "merchantReferenceId": ORDER[4:]},
        {"amount": "15", "backendResultUrl": "00" + OURS},
        {"merchantReferenceId": ORDER + "9", "initiatorMsisdn": "791234567"},
    ],
)
def test_a_digit_that_wandered_to_the_next_field_is_not_believed(
    desk: FrontDesk, changes: dict[str, Any]
):
    body = {**signed(), **changes}
    assert "".join(as_text(body[name]) for name in SIGNED) == "".join(
        as_text(CALLBACK[name]) for name in SIGNED
    )
    assert wave_money.result(post(body), desk).status == 400
    assert desk.stored[PAYMENT_ID].status is Status.PENDING


def test_nulls_and_fields_that_are_left_out_are_hashed_as_null(desk: FrontDesk):
    assert call_back(desk, initiatorMsisdn=None, paymentRequestId=...) == (200, "success")


def test_a_number_is_hashed_exactly_as_it_is_written(desk: FrontDesk):
    raw = json.dumps(signed(amount="1500.00")).replace('"1500.00"', "1500.00").encode()
    assert wave_money.result(post(raw), desk).status == 200
    assert desk.stored[PAYMENT_ID].status is Status.RECEIVED


def test_a_merchant_id_may_come_as_a_number(desk: FrontDesk):
    desk.secrets["channels/wave_money"] = {**SECRET, "merchant_id": "4711"}
    desk.stored[f"wave_money.4711-{ORDER}"] = payment_of()
    assert call_back(desk, merchantId=4711) == (200, "success")


@pytest.mark.parametrize("status", sorted(NOT_PAID))
def test_every_other_status_changes_nothing(desk: FrontDesk, status: str):
    assert call_back(desk, status=status, transactionId=None) == (200, "success")
    assert desk.stored[PAYMENT_ID].status is Status.PENDING
    assert call_back(desk) == (200, "success")
    assert desk.stored[PAYMENT_ID].status is Status.RECEIVED


@pytest.mark.parametrize("status", ["PAYMENT_CONFIRMED", "TRANSACTION_TIMED_OUT"])
@pytest.mark.parametrize(
    "changes",
    [
        {"orderId": ORDER[:-1] + "1", "merchantReferenceId": ORDER[:-1] + "1"},
        {"orderId": "ord-1"},
        {"orderId": None},
        {"orderId": 12},
        {"merchantId": "somebody"},
        {"merchantId": None},
    ],
)
def test_an_order_that_is_none_of_ours_is_answered_400_and_noted(
    desk: FrontDesk, status: str, changes: dict[str, Any]
):
    assert call_back(desk, status=status, **changes) == (400, "unknown_order")
    assert desk.journal.counts == [
        ("ReportsFailed", {"channel": "wave_money", "reason": "not_found"})
    ]


@pytest.mark.parametrize("changes", [{"amount": 1499}, {"amount": 15000}, {"currency": "USD"}])
def test_another_amount_than_agreed_is_a_conflict(desk: FrontDesk, changes: dict[str, Any]):
    assert call_back(desk, **changes) == (200, "conflict")
    assert desk.stored[PAYMENT_ID].status is Status.PENDING
    assert desk.journal.reasons == ["reference_conflict"]


def test_another_receipt_for_a_payment_is_a_conflict(desk: FrontDesk):
    call_back(desk)
    assert call_back(desk, transactionId="7700013") == (200, "conflict")
    assert desk.stored[PAYMENT_ID].receipt == "7700012"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"status": "PAYMENT_SURPRISED"}, "status"),
        ({"status": None}, "status"),
        ({"transactionId": None}, "transactionId"),
        ({"transactionId": "a b"}, "transactionId"),
        ({"transactionId": "x" * 41}, "transactionId"),
        ({"amount": None}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": -1500}, "amount"),
        ({"amount": "1500.001"}, "amount"),
        ({"amount": "1" + "0" * 30}, "amount"),
        ({"amount": "១៥០០"}, "amount"),
        ({"currency": "kyats"}, "currency"),
        ({"merchantReferenceId": None}, "merchantReferenceId"),
        ({"backendResultUrl": None}, "backendResultUrl"),
        ({"timeToLiveSeconds": "soon"}, "timeToLiveSeconds"),
    ],
)
def test_a_signed_callback_that_cannot_be_read_is_an_alarm(
    desk: FrontDesk, changes: dict[str, Any], field: str
):
    assert call_back(desk, **changes) == (400, "unreadable")
    assert desk.stored[PAYMENT_ID].status is Status.PENDING
    assert [(e["reason"], e["detail"]) for e in desk.journal.events] == [("unreadable", field)]


def test_a_currency_that_is_not_told_is_the_companys(desk: FrontDesk):
    assert call_back(desk, currency=...) == (200, "success")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"status": NaN}', 400),
        (b'{"orderId": "a", "orderId": "b"}', 400),
        (b'{"status": "\\ud800"}', 400),
        (b"[" * 60_000, 400),
        (b" " * (BODY_BYTES_MAX + 1), 413),
        (b"{}", 401),
    ],
)
def test_a_body_that_is_no_callback_stores_nothing(desk: FrontDesk, raw: bytes, status: int):
    assert wave_money.result(post(raw), desk).status == status
    assert desk.stored[PAYMENT_ID].status is Status.PENDING


@pytest.mark.parametrize("failure", FAILURES)
def test_what_was_not_stored_is_to_be_sent_again(desk: FrontDesk, failure: MwangaError):
    desk.failure = failure
    assert call_back(desk) == (503, "try_again")
    assert desk.journal.reasons == [failure.code]


def test_a_conflict_with_what_is_stored_is_answered_with_success(desk: FrontDesk):
    desk.failure = ReferenceConflict()
    assert call_back(desk) == (200, "conflict")


def test_without_a_secret_nothing_is_believed(desk: FrontDesk):
    desk.secrets.clear()
    assert call_back(desk) == (503, "try_again")


def test_no_key_and_no_number_is_noted(desk: FrontDesk):
    call_back(desk, amount=1)
    call_back(desk, key="stolen")
    noted = json.dumps(desk.journal.events)
    assert "9791234567" not in noted
    assert KEY not in noted


def test_hashes_are_compared_in_constant_time(desk: FrontDesk):
    with patch("hmac.compare_digest", wraps=hmac.compare_digest) as compared:
        call_back(desk)
    assert compared.call_count == 2
    assert all(len(call.args[1]) == 64 for call in compared.mock_calls)


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.binary(max_size=300) | st.dictionaries(st.sampled_from([*CALLBACK, "x"]), JSONISH))
def test_whatever_the_body_the_answer_is_one_of_ours(body: bytes | dict[str, Any]):
    desk = FrontDesk({"channels/wave_money": SECRET}, stored={PAYMENT_ID: payment_of()})
    raw = body if isinstance(body, bytes) else json.dumps({**CALLBACK, **body}).encode()
    assert wave_money.result(post(raw), desk).status in (400, 401, 413)
    if isinstance(body, dict):
        with suppress(UnicodeEncodeError):
            assert wave_money.result(post(signed(**body)), desk).status in (200, 400, 401)
