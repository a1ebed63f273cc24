"""Flutterwave v3: its page, its hints, and what each of its answers means for money."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import asking, flutterwave_v3
from chalicelib.channels.checkouts import ProviderUnavailable
from chalicelib.channels.flutterwave_v3 import CHANNEL, FlutterwaveV3Provider
from chalicelib.channels.interface import FieldErrors, TooLarge, UnsupportedMediaType
from chalicelib.channels.strict_json import Malformed
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Claim, Payment, Refund, Status, started
from chalicelib.runtime.one_call import Answer, call
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
    TryAgain,
)
from tests.unit.channels.front_desk import NOW, FrontDesk, only, post
from tests.unit.scripted_server import Behaviour, answering, nobody, saying, sending, serving

NAME = "channels/flutterwave_v3"
HASH, OLDER_HASH = "a-secret-hash", "an-older-hash"
SECRET: dict[str, Any] = {
    "base_url": "https://api.flutterwave.example",
    "secret_key": "FLWSECK_TEST-demo-X",
    "hashes": [HASH, OLDER_HASH],
    "email": "payments@company.example",
}
REFERENCE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PAYMENT_ID = f"flutterwave_v3-{REFERENCE}"
PAGE = "https://checkout.flutterwave.example/v3/hosted/pay/0peioxfhpn"


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
        channel="flutterwave_v3",
        source="flutterwave_v3",
        transaction=REFERENCE,
        reference=REFERENCE,
        serial_number="SM5R00123",
        amount_minor=amount_minor,
        currency=currency,
    )
    pending = started(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(pending, **changes)


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "flutterwave_v3"
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert CHANNEL.can_refund
    assert CHANNEL.starts_payments
    assert CHANNEL.payer_needs is None
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/flutterwave_v3/checkouts"),
        ("POST", "/payments/flutterwave_v3/webhook"),
    ]


def test_the_provider_states_how_it_may_be_asked():
    asked: Provider = flutterwave_v3.make({NAME: SECRET}.__getitem__)
    assert asked.timeout_seconds == 20
    assert asked.refund_recovery is RecoveryClass.OPAQUE
    assert not asked.full_refunds_only


# === checkouts ====================================================================================

CHECKOUT = {"serial_number": "sm5r-00123", "amount": "2500.50"}


def success(data: object) -> Behaviour:
    return saying({"status": "success", "message": "ok", "data": data})


def refusing(message: str, status: str = "400 Bad Request") -> Behaviour:
    return saying({"status": "error", "message": message, "data": None}, status)


def opened(url: object = PAGE) -> Behaviour:
    return success({"link": url})


UNREADABLE = [
    answering(b"<html>oops</html>", status="502 Bad Gateway"),
    answering(b"<html>forbidden</html>", status="403 Forbidden"),
    refusing("oops", "500 Internal Server Error"),
    refusing("oops", "503 Service Unavailable"),
    refusing("slow down", "429 Too Many Requests"),
    refusing("oops", "200 OK"),
    saying({"message": "no status"}, "400 Bad Request"),
    saying({"status": False}, "400 Bad Request"),
    saying({"status": "success", "data": {}}, "400 Bad Request"),
    saying({"status": "success"}),
    success([]),
    success("text"),
    success({}),
    answering(b"", status="302 Found", headers="Location: https://elsewhere.example\r\n"),
    answering(b'{"status": "success", "status": "success", "data": {}}'),
    sending(b""),
    sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"),
]
"""Answers from which nothing follows, whatever was asked for."""


def check_out(
    desk: FrontDesk,
    behaviour: Behaviour,
    *,
    secret: Mapping[str, Any] | None = None,
    **changes: Any,
) -> tuple[ProviderAnswer, list[bytes]]:
    with serving(behaviour) as server:
        desk.secrets[NAME] = {**SECRET, "base_url": server.url, **(secret or {})}
        answer = flutterwave_v3.checkout(post({**CHECKOUT, **changes}), desk)
    return answer, server.requests


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def sent(requests: list[bytes]) -> Any:
    (request,) = requests
    return json.loads(body_of(request))


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
    assert payment.payment_id == f"flutterwave_v3-{payment.reference}"
    assert (payment.amount_minor, payment.currency) == (2_500_50, "KES")


def test_the_provider_is_asked_exactly_as_it_expects(desk: FrontDesk):
    _, requests = check_out(
        desk,
        opened(),
        secret={"redirect_url": "https://company.example/thanks"},
        email="asha@example.org",
        phone="0712 345 678",
    )
    head = requests[0].partition(b"\r\n\r\n")[0] + b"\r\n"
    assert head.startswith(b"POST /v3/payments HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer FLWSECK_TEST-demo-X\r\n" in head
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert sent(requests) == {
        "tx_ref": only(desk).reference,
        "amount": 2500.5,
        "currency": "KES",
        "redirect_url": "https://company.example/thanks",
        "customer": {"email": "asha@example.org", "phonenumber": "+254712345678"},
        "meta": {"serial_number": "SM5R00123"},
    }


def test_without_an_address_of_the_payer_the_companys_own_is_given(desk: FrontDesk):
    _, requests = check_out(desk, opened(), email=None)
    asked = sent(requests)
    assert asked["customer"] == {"email": "payments@company.example"}
    assert "redirect_url" not in asked


@pytest.mark.parametrize(
    ("code", "decimals", "amount", "written"),
    [
        ("KES", 2, "2500.50", b'"amount": 2500.50,'),
        ("KES", 2, "0.01", b'"amount": 0.01,'),
        ("UGX", 0, "2500", b'"amount": 2500,'),
        ("TND", 3, "12.340", b'"amount": 12.340,'),
    ],
)
def test_amounts_are_written_in_major_units_to_the_last_digit(
    desk: FrontDesk, code: str, decimals: int, amount: str, written: bytes
):
    desk.company = Settings(currency=code, currency_decimals=decimals)
    _, requests = check_out(desk, opened(), amount=amount)
    assert written in body_of(requests[0])


def test_an_amount_with_more_than_two_decimals_is_refused(desk: FrontDesk):
    desk.company = Settings(currency="TND", currency_decimals=3)
    with pytest.raises(InvalidAmount):
        check_out(desk, opened(), amount="12.345")
    assert not desk.starts


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "", "1.001", "2000000", 500, True, []])
def test_a_wrong_amount_is_refused_before_anybody_is_asked(desk: FrontDesk, amount: object):
    with pytest.raises(InvalidAmount):
        flutterwave_v3.checkout(post({**CHECKOUT, "amount": amount}), desk)
    assert not desk.starts


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_is_never_started(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with serving(opened()) as server:
        desk.secrets[NAME] = {**SECRET, "base_url": server.url}
        with pytest.raises(Refused):
            flutterwave_v3.checkout(post(CHECKOUT), desk)
        assert server.connections == 0
    assert not desk.stored


def test_the_payment_is_stored_before_the_provider_is_asked(desk: FrontDesk):
    stored: list[int] = []

    def note_and_answer(connection: socket.socket) -> None:
        stored.append(len(desk.stored))
        opened()(connection)

    check_out(desk, note_and_answer)
    assert stored == [1]


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown()])
def test_a_payment_that_is_not_surely_stored_is_never_started(
    desk: FrontDesk, failure: MwangaError
):
    desk.failure = failure
    with pytest.raises(type(failure)):
        flutterwave_v3.checkout(post(CHECKOUT), desk)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (refusing("currency is not supported"), "refused_by_provider"),
        (refusing("not allowed", "403 Forbidden"), "refused_by_provider"),
        (refusing("Invalid authorization key", "401 Unauthorized"), "authentication_failed"),
    ],
)
def test_a_payment_that_the_provider_refuses_to_start_has_expired(
    desk: FrontDesk, behaviour: Behaviour, reason: str
):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, behaviour)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, reason)
    assert desk.journal.reasons == [reason]


def test_a_payment_has_expired_where_the_provider_was_not_reached(desk: FrontDesk):
    desk.secrets[NAME] = {**SECRET, "base_url": nobody()}
    with pytest.raises(ProviderUnavailable):
        flutterwave_v3.checkout(post(CHECKOUT), desk)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, "provider_unreachable")


@pytest.mark.parametrize(
    "behaviour",
    [
        *UNREADABLE,
        *(opened(url) for url in (None, "", 5, "javascript:alert(1)", "https://a.example/a b")),
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
        ({"serial_number": 47000123456}, "serial_number"),
        ({"amount": None}, "amount"),
        ({"email": "asha"}, "email"),
        ({"email": "áshà@example.org"}, "email"),
        ({"phone": 712345678}, "phone"),
        ({"currency": "KES"}, "currency"),
    ],
)
def test_a_field_that_is_wrong_missing_or_unknown_is_named(
    desk: FrontDesk, changes: dict[str, Any], field: str
):
    with pytest.raises(FieldErrors) as errors:
        flutterwave_v3.checkout(post({**CHECKOUT, **changes}), desk)
    assert [e.field for e in errors.value.errors] == [field]
    assert not desk.starts


def test_a_checkout_that_is_none_is_turned_away(desk: FrontDesk):
    with pytest.raises(InvalidPhone):
        flutterwave_v3.checkout(post({**CHECKOUT, "phone": "12"}), desk)
    with pytest.raises(TooLarge):
        flutterwave_v3.checkout(post(b" " * 70_000), desk)
    with pytest.raises(UnsupportedMediaType):
        flutterwave_v3.checkout(post(CHECKOUT, "text/plain"), desk)
    for body in (b"", b"[]", b'{"amount":"1","amount":"2"}', b"\xff"):
        with pytest.raises(Malformed):
            flutterwave_v3.checkout(post(body), desk)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": None},
        {"base_url": "api.flutterwave.com"},
        {"secret_key": None},
        {"secret_key": ""},
        {"secret_key": "a b"},
        {"secret_key": "a\nX-Y: z"},
        {"secret_key": ["a"]},
        {"hashes": None},
        {"hashes": HASH},
        {"hashes": [HASH, ""]},
        {"hashes": [1]},
        {"email": None},
        {"email": "company"},
        {"redirect_url": "ftp://company.example"},
        {"redirect_url": 1},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_started_taken_or_asked(changes: dict[str, Any]):
    secret = {**SECRET, **changes}
    desk = FrontDesk({NAME: secret})
    desk.stored[PAYMENT_ID] = payment_of()
    with pytest.raises(SecretMissing):
        flutterwave_v3.checkout(post(CHECKOUT), desk)
    assert told_of(desk) == TRY_AGAIN
    with pytest.raises(SecretMissing):
        flutterwave_v3.make({NAME: secret}.__getitem__).verify(payment_of())
    assert not desk.starts
    assert not desk.hints


def test_without_the_secret_nothing_is_started_or_taken():
    desk = FrontDesk({})
    with pytest.raises(SecretMissing):
        flutterwave_v3.checkout(post(CHECKOUT), desk)
    assert told_of(desk) == TRY_AGAIN


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
    page = Answer(200, b'{"status": "success", "data": {"link": "https://a.example"}}')
    with patch.object(asking, "call", lambda *_: page):
        for body in (changes, {**CHECKOUT, **changes}):
            with suppress(MwangaError):
                assert flutterwave_v3.checkout(post(body), desk).status == 201


# === webhooks =====================================================================================

OK = (200, {"status": "ok"})
IGNORED = (200, {"status": "ignored"})
UNKNOWN = (200, {"status": "unknown_reference"})
MALFORMED = (400, {"status": "malformed"})
WRONG_HASH = (401, {"status": "wrong_hash"})
TRY_AGAIN = (503, {"status": "try_again"})

FLAT = {
    "id": 302961,
    "txRef": REFERENCE,
    "flwRef": "FLW-MOCK-1",
    "status": "successful",
    "amount": 2500.5,
    "currency": "KES",
}
DATA = {
    "id": 302961,
    "tx_ref": REFERENCE,
    "flw_ref": "FLW-MOCK-1",
    "status": "successful",
    "amount": 2500.5,
    "currency": "KES",
    "customer": {"email": "asha@example.org", "phone_number": "0712345678"},
}
CHARGE = {"event": "charge.completed", "data": DATA, "event.type": "MOBILE_MONEY_TRANSACTION"}


def told(desk: FrontDesk, body: bytes, shown: str = HASH) -> tuple[int, Any]:
    request = ProviderRequest("POST", {}, {"Verif-Hash": shown}, body, "203.0.113.9")
    answer = flutterwave_v3.webhook(request, desk)
    return answer.status, answer.body


def told_of(desk: FrontDesk, report: object = CHARGE, shown: str = HASH) -> tuple[int, Any]:
    return told(desk, json.dumps(report).encode(), shown)


@pytest.mark.parametrize("report", [CHARGE, FLAT])
def test_a_report_in_either_shape_has_the_payment_looked_at_and_no_more(
    pending: FrontDesk, report: object
):
    before = only(pending)
    assert told_of(pending, report) == OK
    assert pending.hints == [PAYMENT_ID]
    assert only(pending) is before


@pytest.mark.parametrize("status", ["failed", "pending", None, 5])
def test_whatever_a_report_claims_the_payment_is_only_looked_at(pending: FrontDesk, status: object):
    assert told_of(pending, {**FLAT, "status": status, "amount": -1}) == OK
    assert pending.hints == [PAYMENT_ID]
    assert only(pending).status is Status.PENDING


@pytest.mark.parametrize("shown", [HASH, OLDER_HASH])
def test_every_live_hash_admits_a_report(pending: FrontDesk, shown: str):
    assert told_of(pending, shown=shown) == OK


@pytest.mark.parametrize(
    "shown", ["", "another", HASH[:-1], f"{HASH} ", HASH.upper(), "é", "\ud800"]
)
def test_without_a_live_hash_nobody_is_listened_to(pending: FrontDesk, shown: str):
    assert told_of(pending, shown=shown) == WRONG_HASH
    assert told(pending, b" " * 70_000, shown) == WRONG_HASH
    assert not pending.hints
    assert pending.journal.counts[0] == (
        "CallersRefused",
        {"channel": "flutterwave_v3", "reason": "wrong_hash"},
    )


def test_without_the_header_or_without_hashes_nobody_is_listened_to(pending: FrontDesk):
    request = ProviderRequest("POST", {}, {}, json.dumps(CHARGE).encode(), "203.0.113.9")
    answer = flutterwave_v3.webhook(request, pending)
    assert (answer.status, answer.body) == WRONG_HASH
    pending.secrets[NAME] = {**SECRET, "hashes": []}
    assert told_of(pending, shown="") == WRONG_HASH


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"event": "transfer.completed", "data": {"id": 1, "reference": REFERENCE}},
        {"id": 89074, "AmountRefunded": 70, "status": "completed", "TransactionId": 302961},
        {"event": "charge.completed", "data": None},
        {"event": "charge.completed", "data": [REFERENCE]},
        *({"txRef": value} for value in (None, 5, "", "order-17", REFERENCE.upper(), "٠" * 32)),
        {"txRef": REFERENCE + "0"},
        {"txRef": [REFERENCE]},
    ],
)
def test_what_names_no_payment_of_ours_changes_nothing(pending: FrontDesk, report: object):
    assert told_of(pending, report) == IGNORED
    assert not pending.hints
    assert not pending.journal.events


def test_a_reference_of_ours_without_a_payment_is_answered_and_noted(desk: FrontDesk):
    assert told_of(desk) == UNKNOWN
    assert desk.journal.reasons == ["not_found"]


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"<xml/>", b'{"txRef":"a","txRef":"b"}', b"{" * 9_999, b"\xff"]
)
def test_a_body_that_is_no_report_is_malformed_and_noted(pending: FrontDesk, body: bytes):
    assert told(pending, body) == MALFORMED
    assert [metric for metric, _ in pending.journal.counts] == ["ReportsFailed"]
    assert not pending.hints


def test_a_report_that_is_too_large_is_turned_away(desk: FrontDesk):
    assert told(desk, b" " * 70_000) == (413, {"status": "too_large"})


@pytest.mark.parametrize("failure", [QueueUnavailable(), TryAgain(), OutcomeUnknown()])
def test_a_hint_that_was_not_taken_is_to_be_sent_again(pending: FrontDesk, failure: MwangaError):
    pending.failure = failure
    assert told_of(pending) == TRY_AGAIN
    assert pending.journal.reasons == [failure.code]


def test_what_is_noted_names_no_person_and_no_secret(desk: FrontDesk):
    told_of(desk)
    told_of(desk, shown="almost-" + HASH)
    told(desk, b"asha@example.org")
    noted = str(desk.journal.events)
    assert len(desk.journal.events) == 3
    assert "asha" not in noted
    assert HASH not in noted


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_gets_an_answer(body: bytes):
    assert told(FrontDesk({NAME: SECRET}), body) in [MALFORMED, IGNORED]


@given(st.dictionaries(st.sampled_from(["event", "data", "tx_ref", "txRef"]), json_values))
def test_any_report_gets_an_answer(changes: dict[str, Any]):
    desk = FrontDesk({NAME: SECRET})
    desk.stored[PAYMENT_ID] = payment_of()
    for report in (changes, {**FLAT, **changes}, {**CHARGE, **changes}):
        assert told_of(desk, report) in [OK, IGNORED]


# === what we ask ==================================================================================

Answered = TypeVar("Answered")
REFUND = Refund(1, 500_50)
TAKEN = Refund(1, 500_50, reference="75923")
PAID = payment_of(receipt="302961", status=Status.RECEIVED)
TRANSACTION = {**DATA, "created_at": "2026-01-08T08:30:00.000Z"}


def provider(base_url: str) -> FlutterwaveV3Provider:
    return flutterwave_v3.make({NAME: {**SECRET, "base_url": base_url}}.__getitem__)


def asked(
    question: Callable[[FlutterwaveV3Provider], Answered], behaviour: Behaviour
) -> tuple[Answered, bytes]:
    """The answer to a question, and the one request that was made for it."""
    with serving(behaviour) as server:
        try:
            answer = question(provider(server.url))
        finally:
            assert server.connections == 1, "nothing is asked twice, whatever comes of it"
    return answer, server.requests[0]


def verified(behaviour: Behaviour) -> Paid | None:
    return asked(lambda p: p.verify(payment_of()), behaviour)[0]


def refunded(behaviour: Behaviour) -> RefundTaken:
    return asked(lambda p: p.refund(PAID, REFUND), behaviour)[0]


def looked_up(behaviour: Behaviour) -> RefundTaken:
    return asked(lambda p: p.look_up_refund(PAID, TAKEN), behaviour)[0]


def transaction(**changes: Any) -> Behaviour:
    return success({**TRANSACTION, **changes})


def a_refund(status: object = "processing", **changes: Any) -> Behaviour:
    data = {"id": 75923, "tx_id": 302961, "amount_refunded": 500.5, "status": status}
    return success({**data, **changes})


@pytest.mark.parametrize("question", [verified, refunded, looked_up])
@pytest.mark.parametrize("behaviour", UNREADABLE)
def test_an_answer_that_tells_nothing_is_uncertain(
    question: Callable[[Behaviour], object], behaviour: Behaviour
):
    with pytest.raises(ProviderUncertain):
        question(behaviour)


def test_a_provider_that_was_not_reached_was_asked_for_nothing():
    unreachable = provider(nobody())
    for question in (
        lambda: unreachable.verify(PAID),
        lambda: unreachable.refund(PAID, REFUND),
        lambda: unreachable.look_up_refund(PAID, TAKEN),
    ):
        with pytest.raises(ProviderUnreachable):
            question()


def test_an_answer_that_takes_too_long_is_uncertain():
    def hurried(method: str, url: str, headers: Any, _: float, *rest: Any) -> Answer:
        return call(method, url, headers, 0.2, *rest)

    with (
        serving(lambda connection: connection.recv(1) and None) as server,
        patch.object(asking, "call", hurried),
        pytest.raises(ProviderUncertain),
    ):
        provider(server.url).refund(PAID, REFUND)


# --- verification ---------------------------------------------------------------------------------


def test_a_payment_is_verified_by_our_reference():
    paid, request = asked(lambda p: p.verify(payment_of()), transaction())
    half_past_eight = datetime(2026, 1, 8, 8, 30, tzinfo=UTC)
    assert paid == Paid("302961", 2_500_50, "KES", paid_at=half_past_eight)
    path = f"/v3/transactions/verify_by_reference?tx_ref={REFERENCE}"
    assert request.startswith(f"GET {path} HTTP/1.1\r\n".encode())
    assert b"\r\nAuthorization: Bearer FLWSECK_TEST-demo-X\r\n" in request


@pytest.mark.parametrize(
    ("amount", "currency", "amount_minor"),
    [(100, "UGX", 100), (1_234.5, "KES", 1_234_50), ("2500.50", "KES", 2_500_50)],
)
def test_a_verification_tells_what_was_really_paid(
    amount: object, currency: str, amount_minor: int
):
    paid = verified(transaction(amount=amount, currency=currency))
    assert paid is not None
    assert (paid.amount_minor, paid.currency) == (amount_minor, currency)


def test_an_amount_is_read_to_its_last_digit():
    raw = json.dumps({"status": "success", "data": {**TRANSACTION, "amount": 0}})
    paid = verified(answering(raw.replace('"amount": 0', '"amount": 9007199254.99').encode()))
    assert paid is not None
    assert paid.amount_minor == 900_719_925_499


def test_a_time_that_cannot_be_read_is_left_out():
    paid = verified(transaction(created_at="yesterday"))
    assert paid is not None
    assert paid.paid_at is None


@pytest.mark.parametrize("status", ["failed", "pending"])
def test_a_transaction_that_brought_no_money_is_not_paid(status: str):
    assert verified(transaction(status=status)) is None


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found"])
def test_a_page_on_which_nobody_tried_to_pay_is_not_paid(status: str):
    assert verified(refusing("No transaction was found for this id", status)) is None


@pytest.mark.parametrize(
    "behaviour",
    [
        refusing("Invalid authorization key", "401 Unauthorized"),
        refusing("Something else", "404 Not Found"),
        refusing("No transaction was found for this id", "500 Internal Server Error"),
        refusing("No transaction was found for this id", "200 OK"),
        transaction(tx_ref="f" * 32),
        transaction(tx_ref=None),
        transaction(status="reversed"),
        transaction(status=None),
        transaction(status=["successful"]),
        transaction(amount=0),
        transaction(amount=2500.001),
        transaction(amount=None),
        transaction(amount=True),
        transaction(currency="ZZZ"),
        transaction(currency=None),
        transaction(currency="UGX"),
        transaction(id=None),
        transaction(id=1.5),
        transaction(id="a/b"),
    ],
)
def test_a_verification_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        verified(behaviour)


# --- refunds --------------------------------------------------------------------------------------

STATES = [
    ("completed", False),
    ("pending", False),
    ("pending-momo", False),
    ("processing", False),
    ("completed-momo", True),
    ("completed-mpgs", True),
    ("completed-bank-transfer", True),
    ("completed-offline", True),
    ("completed-preauth", True),
]


def test_a_refund_is_asked_for_exactly_as_the_provider_expects():
    taken, request = asked(lambda p: p.refund(PAID, REFUND), a_refund())
    assert taken == RefundTaken("75923", done=False)
    assert request.startswith(b"POST /v3/transactions/302961/refund HTTP/1.1\r\n")
    assert body_of(request) == (
        b'{"amount": 500.50, "comments": "flutterwave_v3-%s.1"}' % REFERENCE.encode()
    )


@pytest.mark.parametrize(("status", "done"), [*STATES, ("a new word", False), (None, False)])
def test_a_refund_that_was_taken_keeps_its_id_whatever_its_state(status: object, done: bool):
    assert refunded(a_refund(status)) == RefundTaken("75923", done=done)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (refusing("Amount should be above KES10"), "refused_by_provider"),
        (refusing("Insufficient balance", "403 Forbidden"), "refused_by_provider"),
        (refusing("Not found", "404 Not Found"), "refused_by_provider"),
        (refusing("Invalid authorization key", "401 Unauthorized"), "authentication_failed"),
        (a_refund("failed"), "refund_failed"),
    ],
)
def test_a_refund_that_the_provider_declines_is_refused(behaviour: Behaviour, code: str):
    with pytest.raises(ProviderRefused) as refused:
        refunded(behaviour)
    assert refused.value.code == code


@pytest.mark.parametrize("changes", [{"id": None}, {"id": "../x"}, {"id": {"a": 1}}])
def test_a_refund_without_an_id_is_uncertain(changes: dict[str, Any]):
    with pytest.raises(ProviderUncertain):
        refunded(a_refund(**changes))


@pytest.mark.parametrize(
    ("payment", "amount_minor", "code"),
    [
        (payment_of(receipt=None), 500, "no_receipt"),
        (payment_of(currency="TND", receipt="302961"), 12_345, "unusable_amount"),
        (payment_of(currency="ZZZ", receipt="302961"), 500, "unusable_amount"),
    ],
)
def test_a_refund_that_cannot_be_asked_for_is_refused_without_asking(
    payment: Payment, amount_minor: int, code: str
):
    with serving(a_refund()) as server:
        with pytest.raises(ProviderRefused) as refused:
            provider(server.url).refund(payment, Refund(1, amount_minor))
        assert server.connections == 0
    assert refused.value.code == code


@pytest.mark.parametrize(("status", "done"), STATES)
def test_a_refund_is_looked_up_by_the_id_that_the_provider_gave(status: str, done: bool):
    found, request = asked(lambda p: p.look_up_refund(PAID, TAKEN), a_refund(status))
    assert found == RefundTaken("75923", done=done)
    assert request.startswith(b"GET /v3/refunds/75923 HTTP/1.1\r\n")


def test_a_refund_that_failed_is_refused():
    with pytest.raises(ProviderRefused) as refused:
        looked_up(a_refund("failed"))
    assert refused.value.code == "refund_failed"


@pytest.mark.parametrize(
    "behaviour",
    [
        a_refund("a new word"),
        a_refund(None),
        a_refund("completed-momo", id=75924),
        refusing("Not found", "404 Not Found"),
        refusing("Invalid authorization key", "401 Unauthorized"),
    ],
)
def test_a_look_up_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        looked_up(behaviour)


def test_a_refund_without_an_id_is_never_taken_for_absent():
    with pytest.raises(ProviderUncertain):
        provider(nobody()).look_up_refund(PAID, REFUND)
