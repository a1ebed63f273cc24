"""Paystack: checkouts, what its webhooks mean, and what each of its answers means for money."""

from __future__ import annotations

import hashlib
import json
import re
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

from chalicelib.channels import asking, paystack
from chalicelib.channels.checkouts import ProviderUnavailable
from chalicelib.channels.interface import FieldErrors, TooLarge, UnsupportedMediaType
from chalicelib.channels.paystack import CHANNEL
from chalicelib.channels.strict_json import Malformed
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Claim, Payment, Refund, Status, started
from chalicelib.runtime.one_call import Answer, call
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
    RecoveryClass,
    RefundTaken,
    RefusalClass,
    SecretMissing,
    Settings,
    TakenBack,
    TryAgain,
    VersionConflict,
)
from tests.unit.channels.front_desk import NOW, FrontDesk, only, post
from tests.unit.scripted_server import Behaviour, answering, in_turn, saying, sending, serving

SECRET_KEY, OLDER_KEY = "sk_test_demo", "sk_test_older"
SECRET: dict[str, Any] = {
    "base_url": "https://api.paystack.example",
    "secret_keys": [SECRET_KEY, OLDER_KEY],
    "email": "payments@company.example",
}
REFERENCE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PAYMENT_ID = f"paystack-{REFERENCE}"
PAGE = "https://checkout.paystack.example/0peioxfhpn"
REFUND_EVENTS = ["pending", "processing", "needs-attention", "processed", "failed"]


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({"channels/paystack": SECRET})


def payment_of(amount_minor: int = 2_500_00, currency: str = "KES", **changes: Any) -> Payment:
    claim = Claim(
        channel="paystack",
        source="paystack",
        transaction=REFERENCE,
        reference=REFERENCE,
        serial_number="SM5R00123",
        amount_minor=amount_minor,
        currency=currency,
    )
    pending = started(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(pending, **changes)


def hmac_by_definition(key: str, text: bytes) -> str:
    """HMAC-SHA512 after RFC 2104, without the library that the channel uses."""
    block = key.encode()
    block = (hashlib.sha512(block).digest() if len(block) > 128 else block).ljust(128, b"\0")
    inner = hashlib.sha512(bytes(b ^ 0x36 for b in block) + text).digest()
    return hashlib.sha512(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


# --- as data --------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "paystack"
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert CHANNEL.can_refund
    assert [(e.method, e.path, e.content_types) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/paystack/checkouts", ("application/json",)),
        ("POST", "/payments/paystack/webhook", ()),
    ]


def test_the_provider_states_how_it_may_be_asked():
    asked: Provider = paystack.make({"channels/paystack": SECRET}.__getitem__)
    assert asked.timeout_seconds == 20
    assert asked.refund_recovery is RecoveryClass.SEARCHABLE
    assert asked.refund_absent_after_seconds == 60
    assert not asked.full_refunds_only


# === checkouts ====================================================================================

CHECKOUT = {"serial_number": "sm5r-00123", "amount": "2500.00"}
HTML = answering(b"<html>oops</html>", status="502 Bad Gateway")


def opened(url: object = PAGE, status: object = True) -> Behaviour:
    return saying({"status": status, "message": "ok", "data": {"authorization_url": url}})


def refusing(message: str, status: str = "400 Bad Request") -> Behaviour:
    return saying({"status": False, "message": message}, status)


def check_out(
    desk: FrontDesk,
    behaviour: Behaviour,
    *,
    secret: Mapping[str, Any] | None = None,
    **changes: Any,
) -> tuple[ProviderAnswer, list[bytes]]:
    with serving(behaviour) as server:
        desk.secrets["channels/paystack"] = {**SECRET, "base_url": server.url, **(secret or {})}
        answer = paystack.checkout(post({**CHECKOUT, **changes}), desk)
    return answer, server.requests


def sent(requests: list[bytes]) -> Any:
    (request,) = requests
    return json.loads(request.partition(b"\r\n\r\n")[2])


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
    assert payment.payment_id == f"paystack-{payment.reference}"


def test_the_claim_is_of_our_own_reference(desk: FrontDesk):
    check_out(desk, opened())
    check_out(desk, opened())
    first, second = desk.starts
    assert re.fullmatch("[0-9a-f]{32}", first.reference)
    assert first.reference != second.reference
    assert (first.channel, first.source, first.transaction) == (
        "paystack",
        "paystack",
        first.reference,
    )
    assert (first.serial_number, first.amount_minor, first.currency) == (
        "SM5R00123",
        2_500_00,
        "KES",
    )


def test_the_provider_is_asked_exactly_as_it_expects(desk: FrontDesk):
    _, requests = check_out(
        desk,
        opened(),
        secret={"callback_url": "https://pay.example/thanks?from=paystack"},
        email="asha@example.org",
    )
    head = requests[0].partition(b"\r\n\r\n")[0] + b"\r\n"
    assert head.startswith(b"POST /transaction/initialize HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer sk_test_demo\r\n" in head
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert sent(requests) == {
        "email": "asha@example.org",
        "amount": 250_000,
        "currency": "KES",
        "reference": only(desk).reference,
        "metadata": {"serial_number": "SM5R00123"},
        "callback_url": "https://pay.example/thanks?from=paystack",
    }


@pytest.mark.parametrize("email", [{}, {"email": None}])
def test_without_an_address_of_the_payer_the_companys_own_is_given(
    desk: FrontDesk, email: dict[str, None]
):
    _, requests = check_out(desk, opened(), **email)
    asked = sent(requests)
    assert asked["email"] == "payments@company.example"
    assert "callback_url" not in asked


@pytest.mark.parametrize(
    ("code", "decimals", "amount", "hundredths", "amount_minor"),
    [
        ("KES", 2, "0.01", 1, 1),
        ("KES", 2, "2500", 250_000, 250_000),
        ("UGX", 0, "2500", 250_000, 2_500),
        ("XOF", 0, "1.00", 100, 1),
        ("TND", 3, "12.340", 1_234, 12_340),
    ],
)
def test_the_provider_is_asked_for_hundredths_whatever_the_currencys_decimals(
    desk: FrontDesk, code: str, decimals: int, amount: str, hundredths: int, amount_minor: int
):
    desk.company = Settings(currency=code, currency_decimals=decimals)
    _, requests = check_out(desk, opened(), amount=amount)
    assert (sent(requests)["amount"], sent(requests)["currency"]) == (hundredths, code)
    assert (only(desk).amount_minor, only(desk).currency) == (amount_minor, code)


def test_an_amount_that_hundredths_cannot_express_is_refused(desk: FrontDesk):
    desk.company = Settings(currency="TND", currency_decimals=3)
    with pytest.raises(InvalidAmount):
        check_out(desk, opened(), amount="12.345")
    assert not desk.starts


@pytest.mark.parametrize(
    "amount", ["0", "-1", "1,000", "1e3", "", " 5", "1.001", "2000000", 500, True, [], {"a": "1"}]
)
def test_a_wrong_amount_is_refused_before_anybody_is_asked(desk: FrontDesk, amount: object):
    with pytest.raises(InvalidAmount) as wrong:
        paystack.checkout(post({**CHECKOUT, "amount": amount}), desk)
    assert (wrong.value.code, wrong.value.field) == ("invalid_amount", "amount")
    assert not desk.starts


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_says_why_and_is_never_started(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with serving(opened()) as server:
        desk.secrets["channels/paystack"] = {**SECRET, "base_url": server.url}
        with pytest.raises(Refused) as refused:
            paystack.checkout(post(CHECKOUT), desk)
        assert server.connections == 0
    assert refused.value.code == refusal.value
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
    with serving(opened()) as server:
        desk.secrets["channels/paystack"] = {**SECRET, "base_url": server.url}
        with pytest.raises(type(failure)):
            paystack.checkout(post(CHECKOUT), desk)
        assert server.connections == 0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (refusing("Invalid Amount"), "refused_by_provider"),
        (refusing("Currency not supported", "403 Forbidden"), "refused_by_provider"),
        (refusing("Slow down", "429 Too Many Requests"), "refused_by_provider"),
        (refusing("Invalid key", "401 Unauthorized"), "authentication_failed"),
    ],
)
def test_a_payment_that_the_provider_refuses_to_start_has_expired(
    desk: FrontDesk, behaviour: Behaviour, reason: str
):
    with pytest.raises(ProviderUnavailable) as unavailable:
        check_out(desk, behaviour)
    assert unavailable.value.code == "try_again"
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, reason)
    assert desk.journal.reasons == [reason]
    assert desk.journal.counts == [("CheckoutsFailed", {"channel": "paystack", "reason": reason})]


def test_a_payment_has_expired_where_the_provider_was_not_reached(desk: FrontDesk):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    desk.secrets["channels/paystack"] = {**SECRET, "base_url": f"http://127.0.0.1:{port}"}
    with pytest.raises(ProviderUnavailable):
        paystack.checkout(post(CHECKOUT), desk)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, "provider_unreachable")


@pytest.mark.parametrize(
    "behaviour",
    [
        HTML,
        refusing("oops", "500 Internal Server Error"),
        answering(b"<html>forbidden</html>", status="403 Forbidden"),
        saying({"message": "no status"}, "400 Bad Request"),
        saying({"status": "false"}, "400 Bad Request"),
        saying({"status": False, "message": "oops"}),
        saying({"status": True}),
        saying({"status": True, "data": [PAGE]}),
        saying({"status": 1, "data": {"authorization_url": PAGE}}),
        opened(status="true"),
        opened(url=None),
        opened(url=""),
        opened(url="javascript:alert(1)"),
        opened(url="https://"),
        opened(url="https://checkout.example/a b"),
        opened(url="https://checkout.example/\n"),
        opened(url="https://[checkout.example/"),
        opened(url="https://checkout.example/é"),
        opened(url="https://checkout.example/" + "a" * 2000),
        answering(b"", status="302 Found", headers=f"Location: {PAGE}\r\n"),
        sending(b""),
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"),
    ],
)
def test_a_payment_of_which_it_is_not_known_whether_it_was_started_stays_pending(
    desk: FrontDesk, behaviour: Behaviour
):
    with pytest.raises(ProviderUnavailable) as unavailable:
        check_out(desk, behaviour)
    assert unavailable.value.code == "try_again"
    assert only(desk).status is Status.PENDING
    assert desk.journal.reasons == ["provider_uncertain"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"amount":"1","amount":"2"}', b"\xff"])
def test_a_checkout_that_is_no_json_object_is_malformed(desk: FrontDesk, body: bytes):
    with pytest.raises(Malformed):
        paystack.checkout(post(body), desk)


def test_a_checkout_that_is_too_large_or_no_json_is_turned_away(desk: FrontDesk):
    with pytest.raises(TooLarge):
        paystack.checkout(post(b" " * 70_000), desk)
    for content_type in ("text/plain", ""):
        with pytest.raises(UnsupportedMediaType):
            paystack.checkout(post(CHECKOUT, content_type), desk)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"serial_number": None}, "serial_number"),
        ({"serial_number": ""}, "serial_number"),
        ({"serial_number": "  "}, "serial_number"),
        ({"serial_number": 47000123456}, "serial_number"),
        ({"amount": None}, "amount"),
        ({"email": ""}, "email"),
        ({"email": "asha"}, "email"),
        ({"email": "@example.org"}, "email"),
        ({"email": "asha@"}, "email"),
        ({"email": "asha@b@example.org"}, "email"),
        ({"email": "asha b@example.org"}, "email"),
        ({"email": "asha@example.org\n"}, "email"),
        ({"email": "áshà@example.org"}, "email"),
        ({"email": "a" * 243 + "@example.org"}, "email"),
        ({"email": ["asha@example.org"]}, "email"),
        ({"currency": "KES"}, "currency"),
        ({"é" * 100: 1}, "\\xe9" * 15),
    ],
)
def test_a_field_that_is_wrong_missing_or_unknown_is_named(
    desk: FrontDesk, changes: dict[str, Any], field: str
):
    with pytest.raises(FieldErrors) as errors:
        paystack.checkout(post({**CHECKOUT, **changes}), desk)
    assert [(e.field, e.code) for e in errors.value.errors] == [(field, "invalid")]
    assert not desk.starts


@pytest.mark.parametrize("email", ["a@b", "a" * 242 + "@example.org", "o'hara+tv@example.org"])
def test_whatever_looks_like_an_address_is_given_on(desk: FrontDesk, email: str):
    _, requests = check_out(desk, opened(), email=email)
    assert sent(requests)["email"] == email


def test_a_flood_of_unknown_fields_is_answered_briefly(desk: FrontDesk):
    with pytest.raises(FieldErrors) as errors:
        paystack.checkout(post({f"{'x' * 100}{i}": i for i in range(300)}), desk)
    assert len(errors.value.errors) == 20
    assert all(len(e.field) <= 60 for e in errors.value.errors)


WRONG_SECRETS: list[dict[str, Any]] = [
    {"base_url": None},
    {"base_url": "api.paystack.co"},
    {"secret_keys": None},
    {"secret_keys": []},
    {"secret_keys": SECRET_KEY},
    {"secret_keys": [SECRET_KEY, ""]},
    {"secret_keys": [SECRET_KEY, 1]},
    {"secret_keys": ["sk test"]},
    {"secret_keys": ["sk_test\r\nX: y"]},
    {"secret_keys": ["sk_tést"]},
    {"email": None},
    {"email": "company"},
    {"callback_url": ""},
    {"callback_url": "ftp://company.example"},
    {"callback_url": 1},
]


@pytest.mark.parametrize("changes", WRONG_SECRETS)
def test_with_a_secret_in_another_form_nothing_is_started_taken_or_asked(changes: dict[str, Any]):
    secret = {**SECRET, **changes}
    desk = FrontDesk({"channels/paystack": secret})
    with pytest.raises(SecretMissing):
        paystack.checkout(post(CHECKOUT), desk)
    assert report(desk).status == 503
    assert desk.journal.reasons == [SecretMissing.code]
    with pytest.raises(SecretMissing):
        paystack.make({"channels/paystack": secret}.__getitem__).verify(payment_of())
    assert not desk.starts
    assert not desk.stored


def test_without_the_secret_nothing_is_started_or_taken():
    desk = FrontDesk({})
    with pytest.raises(SecretMissing):
        paystack.checkout(post(CHECKOUT), desk)
    assert report(desk).status == 503


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*CHECKOUT, "email"]) | st.text(max_size=5), json_values))
def test_no_checkout_brings_an_error_that_we_did_not_mean(changes: dict[str, Any]):
    desk = FrontDesk({"channels/paystack": SECRET})
    answer = Answer(200, b'{"status": true, "data": {"authorization_url": "https://a.example"}}')
    with patch.object(asking, "call", lambda *_: answer):
        for body in (changes, {**CHECKOUT, **changes}):
            with suppress(MwangaError):
                assert paystack.checkout(post(body), desk).status == 201


# === webhooks =====================================================================================

HALF_PAST_EIGHT = datetime(2026, 1, 8, 8, 30, tzinfo=UTC)
CHARGE: dict[str, Any] = {
    "id": 302961,
    "domain": "test",
    "status": "success",
    "reference": REFERENCE,
    "amount": 250_000,
    "currency": "KES",
    "paid_at": "2026-01-08T08:30:00.000Z",
    "metadata": {"serial_number": "SM5R00123"},
    "fees": 3_750.5,
}
VECTOR_BODY = (
    b'{"event":"charge.success","data":{"id":302961,"reference":'
    b'"0f1e2d3c-0000-4000-8000-000000000001","amount":250000,"currency":"NGN","status":"success"}}'
)
VECTOR_SIGNATURE = (
    "c82c1684ac551329250e5e20a75f9881b74aeaa3ea18ff0bc8f5fda40036e65e"
    "a97f33c587cca631121df8a7c4d48848592571e8b854c0da03f1ba054b05e359"
)
OK = (200, {"status": "ok"})
IGNORED = (200, {"status": "ignored"})
CONFLICT = (200, {"status": "conflict"})
UNKNOWN = (200, {"status": "unknown_reference"})
MALFORMED = (400, {"status": "malformed"})
INVALID_SIGNATURE = (401, {"status": "invalid_signature"})
TRY_AGAIN = (503, {"status": "try_again"})


def hook(body: bytes, signature: str | None = None, key: str = SECRET_KEY) -> ProviderRequest:
    given_signature = hmac_by_definition(key, body) if signature is None else signature
    headers = {"X-Paystack-Signature": given_signature}
    return ProviderRequest("POST", {}, headers, body, "52.31.139.75")


def told(desk: FrontDesk, body: bytes, signature: str | None = None) -> tuple[int, Any]:
    answer = paystack.webhook(hook(body, signature), desk)
    return answer.status, answer.body


def report(desk: FrontDesk, event: str = "charge.success", **changes: Any) -> ProviderAnswer:
    data = {**CHARGE, **changes}
    return paystack.webhook(hook(json.dumps({"event": event, "data": data}).encode()), desk)


def told_of_charge(desk: FrontDesk, **changes: Any) -> tuple[int, Any]:
    answer = report(desk, **changes)
    return answer.status, answer.body


def told_of_refund(desk: FrontDesk, event: str, **changes: Any) -> tuple[int, Any]:
    data = {
        "status": event,
        "transaction_reference": REFERENCE,
        "refund_reference": "TRF_9vgfawjnoz58uxy",
        "amount": "50000",
        "currency": "KES",
        "id": "77",
        **changes,
    }
    return told(desk, json.dumps({"event": f"refund.{event}", "data": data}).encode())


@pytest.fixture
def pending(desk: FrontDesk) -> FrontDesk:
    """A desk at which one payment waits for its payer."""
    desk.stored[PAYMENT_ID] = payment_of()
    return desk


def test_money_that_has_moved_makes_the_payment_received(pending: FrontDesk):
    assert told_of_charge(pending) == OK
    payment = only(pending)
    assert (payment.status, payment.receipt) == (Status.RECEIVED, "302961")
    assert payment.moment == HALF_PAST_EIGHT
    assert not pending.journal.events


def test_the_same_report_again_changes_nothing(pending: FrontDesk):
    told_of_charge(pending)
    before = only(pending)
    assert told_of_charge(pending) == OK
    assert only(pending) is before


def test_an_expired_payment_that_is_paid_after_all_is_taken(pending: FrontDesk):
    pending.not_started(only(pending), "not_paid")
    assert told_of_charge(pending) == OK
    assert only(pending).status is Status.RECEIVED


@pytest.mark.parametrize(
    ("changes", "paid_at"),
    [
        ({}, HALF_PAST_EIGHT),
        ({"paid_at": None, "paidAt": "2026-01-08T11:30:00+03:00"}, HALF_PAST_EIGHT),
        ({"paid_at": "2026-01-08T08:30:00"}, None),
        ({"paid_at": "yesterday"}, None),
        ({"paid_at": "2026-02-30T08:30:00Z"}, None),
        ({"paid_at": "0001-01-01T00:00:00+03:00"}, None),
        ({"paid_at": 1767862800}, None),
        ({"paid_at": {"a": 1}}, None),
    ],
)
def test_the_time_of_payment_is_taken_where_it_can_be_read(
    pending: FrontDesk, changes: dict[str, Any], paid_at: datetime | None
):
    assert told_of_charge(pending, **changes) == OK
    assert only(pending).moment == (paid_at or NOW)


@pytest.mark.parametrize(
    ("currency", "hundredths", "amount_minor"),
    [
        ("KES", 250_000, 250_000),
        ("KES", 1, 1),
        ("UGX", 250_000, 2_500),
        ("XOF", 100, 1),
        ("TND", 1_234, 12_340),
        ("KES", 999_999_999_999_999, 999_999_999_999_999),
    ],
)
def test_hundredths_become_minor_units_of_the_reports_currency(
    desk: FrontDesk, currency: str, hundredths: int, amount_minor: int
):
    desk.stored[PAYMENT_ID] = payment_of(amount_minor, currency)
    assert told_of_charge(desk, amount=hundredths, currency=currency) == OK
    assert only(desk).status is Status.RECEIVED


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 249_999},
        {"amount": 250_001},
        {"currency": "NGN"},
        {"currency": "ZZZ"},
        {"currency": "XAU"},
        {"currency": "UGX", "amount": 250_001},
    ],
)
def test_money_that_was_not_agreed_is_noted_and_credited_to_nobody(
    pending: FrontDesk, changes: dict[str, Any]
):
    assert told_of_charge(pending, **changes) == CONFLICT
    assert only(pending).status is Status.PENDING
    assert [metric for metric, _ in pending.journal.counts] == ["ReportsFailed"]
    assert told_of_charge(pending) == OK


def test_a_receipt_of_another_payment_is_a_conflict(pending: FrontDesk):
    other = "f" * 32
    pending.stored["other"] = payment_of(receipt="302961", reference=other)
    assert told_of_charge(pending) == CONFLICT
    assert pending.stored[PAYMENT_ID].status is Status.PENDING
    assert pending.journal.reasons == ["reference_conflict"]


def test_a_second_charge_of_one_payment_is_a_conflict(pending: FrontDesk):
    told_of_charge(pending)
    assert told_of_charge(pending, id=302962) == CONFLICT
    assert only(pending).receipt == "302961"


def test_a_receipt_may_come_as_text(pending: FrontDesk):
    assert told_of_charge(pending, id="302961") == OK
    assert told_of_charge(pending) == OK


def test_a_reference_of_ours_without_a_payment_is_answered_and_noted(desk: FrontDesk):
    assert told_of_charge(desk) == UNKNOWN
    assert desk.journal.reasons == ["not_found"]


@pytest.mark.parametrize(
    "reference",
    ["", "T685312322670591", REFERENCE.upper(), REFERENCE + "\n", REFERENCE + "0", "٠" * 32],
)
def test_what_was_not_started_here_is_none_of_ours(pending: FrontDesk, reference: str):
    pending.failure = TryAgain("whoever asks at the desk gets this")
    assert told_of_charge(pending, reference=reference) == UNKNOWN
    assert told_of_refund(pending, "processed", transaction_reference=reference or "x") == UNKNOWN
    assert not pending.journal.events


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown(), VersionConflict()])
def test_what_was_not_stored_is_to_be_sent_again(pending: FrontDesk, failure: MwangaError):
    pending.failure = failure
    assert told_of_charge(pending) == TRY_AGAIN
    assert told_of_refund(pending, "processed") == TRY_AGAIN
    assert pending.journal.reasons == [failure.code, failure.code]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reference", None),
        ("reference", 5),
        ("reference", [REFERENCE]),
        ("status", None),
        ("status", "failed"),
        ("status", {"a": "success"}),
        ("amount", None),
        ("amount", 0),
        ("amount", -250_000),
        ("amount", 250_000.0),
        ("amount", 2.5e5),
        ("amount", "250000"),
        ("amount", True),
        ("amount", 10**15),
        ("currency", None),
        ("currency", "kes"),
        ("currency", "KES "),
        ("currency", ["KES"]),
        ("id", None),
        ("id", ""),
        ("id", 1.5),
        ("id", -1),
        ("id", "a b"),
        ("id", "x" * 41),
        ("id", [1]),
    ],
)
def test_a_charge_that_cannot_be_read_is_to_be_sent_again_and_noted(
    pending: FrontDesk, name: str, value: object
):
    assert told_of_charge(pending, **{name: value}) == MALFORMED
    assert only(pending).status is Status.PENDING
    assert (pending.journal.events[0]["reason"], pending.journal.events[0]["detail"]) == (
        "unreadable",
        name,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<xml/>",
        b"{" * 9_999,
        b'{"event":"charge.success","event":"charge.failed","data":{}}',
        b'{"event":"charge.success","data":{"id":NaN}}',
        b'{"event":"charge.success","data":"\\ud800"}',
        b'{"event":"charge.success"}',
        b'{"event":"charge.success","data":[]}',
        b'{"event":5,"data":{}}',
        b'{"data":{}}',
        b"\xff",
    ],
)
def test_a_signed_body_that_is_no_report_is_malformed_and_noted(desk: FrontDesk, body: bytes):
    assert told(desk, body) == MALFORMED
    assert [metric for metric, _ in desk.journal.counts] == ["ReportsFailed"]


@pytest.mark.parametrize(
    "event",
    [
        "charge.failed",
        "transfer.success",
        "charge.success ",
        "",
        "refund.",
    ],
)
def test_all_other_events_change_nothing(pending: FrontDesk, event: str):
    answer = report(pending, event)
    assert (answer.status, answer.body) == IGNORED
    assert only(pending).status is Status.PENDING
    assert not pending.told
    assert not pending.journal.events


def test_a_dispute_is_a_reason_to_ask_whether_the_money_went(pending: FrontDesk):
    data = {"id": 1, "status": "awaiting-merchant-feedback"}
    for transaction, status in (({"reference": REFERENCE}, 200), ({}, 400), (None, 400)):
        body = {"event": "charge.dispute.create", "data": {**data, "transaction": transaction}}
        assert told(pending, json.dumps(body).encode())[0] == status
    assert pending.hints == [PAYMENT_ID]


def test_a_late_failure_does_not_undo_a_success(pending: FrontDesk):
    told_of_charge(pending)
    report(pending, "charge.failed", status="failed")
    assert only(pending).status is Status.RECEIVED


@pytest.mark.parametrize(
    ("event", "news"),
    [
        ("pending", RefundTaken(done=False)),
        ("processing", RefundTaken(done=False)),
        ("needs-attention", RefundTaken(done=False)),
        ("processed", RefundTaken(done=True)),
        ("failed", "failed"),
    ],
)
def test_news_of_a_refund_is_passed_on_without_the_processors_own_reference(
    desk: FrontDesk, event: str, news: RefundTaken | str
):
    assert told_of_refund(desk, event) == OK
    assert desk.told == [(PAYMENT_ID, 500_00, news)]


def test_a_refund_that_waits_for_a_persons_help_is_noted(desk: FrontDesk):
    told_of_refund(desk, "processing")
    assert not desk.journal.events
    told_of_refund(desk, "needs-attention")
    assert desk.journal.reasons == ["refund_needs_attention"]
    assert desk.journal.events[0]["detail"] == PAYMENT_ID


@pytest.mark.parametrize(
    ("changes", "amount_minor"),
    [
        ({"amount": 50_000}, 500_00),
        ({"amount": "50000", "currency": "UGX"}, 500),
        ({"transaction_reference": None, "transaction": {"reference": REFERENCE}}, 500_00),
        ({"refund_reference": None, "id": None}, 500_00),
    ],
)
def test_a_refund_is_told_in_several_forms(
    desk: FrontDesk, changes: dict[str, Any], amount_minor: int
):
    assert told_of_refund(desk, "processed", **changes) == OK
    assert desk.told == [(PAYMENT_ID, amount_minor, RefundTaken(done=True))]


@pytest.mark.parametrize("event", REFUND_EVENTS)
@pytest.mark.parametrize(
    "changes",
    [
        {"transaction_reference": None},
        {"transaction_reference": 5},
        {"transaction_reference": None, "transaction": 1004723697},
        {"amount": None},
        {"amount": "0"},
        {"amount": "500.00"},
        {"amount": "٥"},
        {"amount": [1]},
        {"currency": None},
    ],
)
def test_news_of_a_refund_that_cannot_be_read_is_noted_and_ignored(
    desk: FrontDesk, event: str, changes: dict[str, Any]
):
    assert told_of_refund(desk, event, **changes) == IGNORED
    assert not desk.told
    assert desk.journal.reasons == ["unreadable"]


def test_a_refund_of_an_amount_that_cannot_be_is_a_conflict(desk: FrontDesk):
    assert told_of_refund(desk, "processed", amount=50_001, currency="UGX") == CONFLICT
    assert not desk.told


def test_what_is_noted_of_a_report_names_no_person(pending: FrontDesk):
    told_of_charge(pending, amount=1, customer={"email": "asha@example.org"})
    told_of_charge(pending, id=None, customer={"email": "asha@example.org"})
    assert len(pending.journal.events) == 2
    assert "asha" not in str(pending.journal.events)


# --- who is calling -------------------------------------------------------------------------------


def test_the_vector_signature_is_right(desk: FrontDesk):
    assert hmac_by_definition("sk_test_demo", VECTOR_BODY) == VECTOR_SIGNATURE
    assert told(desk, VECTOR_BODY, VECTOR_SIGNATURE) == UNKNOWN


@pytest.mark.parametrize("key", [SECRET_KEY, OLDER_KEY])
def test_every_key_proves_a_webhook(pending: FrontDesk, key: str):
    body = json.dumps({"event": "charge.success", "data": CHARGE}).encode()
    assert paystack.webhook(hook(body, key=key), pending).status == 200
    assert only(pending).status is Status.RECEIVED


def test_a_header_is_found_in_any_case(desk: FrontDesk):
    headers = {"x-paystack-signature": VECTOR_SIGNATURE}
    request = ProviderRequest("POST", {}, headers, VECTOR_BODY, "")
    assert paystack.webhook(request, desk).status == 200


@pytest.mark.parametrize(
    "signature",
    [
        "",
        VECTOR_SIGNATURE.upper(),
        VECTOR_SIGNATURE[:-1],
        VECTOR_SIGNATURE + "0",
        f" {VECTOR_SIGNATURE}",
        f"sha512={VECTOR_SIGNATURE}",
        "é" * 128,
        "\ud800",
        hmac_by_definition("", VECTOR_BODY),
        hmac_by_definition("sk_test_demo ", VECTOR_BODY),
        hmac_by_definition("pk_test_demo", VECTOR_BODY),
        hashlib.sha512(VECTOR_BODY).hexdigest(),
    ],
)
def test_any_other_signature_is_turned_away(desk: FrontDesk, signature: str):
    assert told(desk, VECTOR_BODY, signature) == INVALID_SIGNATURE
    assert desk.journal.reasons == ["invalid_signature"]
    assert desk.journal.counts == [
        ("CallersRefused", {"channel": "paystack", "reason": "invalid_signature"})
    ]


def test_a_webhook_without_a_signature_is_turned_away(desk: FrontDesk):
    request = ProviderRequest("POST", {}, {}, VECTOR_BODY, "52.31.139.75")
    answer = paystack.webhook(request, desk)
    assert (answer.status, answer.body) == INVALID_SIGNATURE


@pytest.mark.parametrize("position", range(len(VECTOR_BODY)))
def test_a_body_with_one_byte_changed_is_turned_away(desk: FrontDesk, position: int):
    changed = bytearray(VECTOR_BODY)
    changed[position] ^= 1
    assert told(desk, bytes(changed), VECTOR_SIGNATURE) == INVALID_SIGNATURE


@pytest.mark.parametrize("body", [VECTOR_BODY + b"\n", VECTOR_BODY[:-1], b" " + VECTOR_BODY, b""])
def test_a_body_that_is_longer_or_shorter_is_turned_away(desk: FrontDesk, body: bytes):
    assert told(desk, body, VECTOR_SIGNATURE) == INVALID_SIGNATURE


def test_an_unsigned_body_is_not_even_parsed(desk: FrontDesk):
    assert told(desk, b"{" * 9_999, "0" * 128) == INVALID_SIGNATURE


def test_a_webhook_that_is_too_large_is_turned_away(desk: FrontDesk):
    assert told(desk, b" " * 70_000) == (413, {"status": "too_large"})
    assert desk.journal.reasons == ["too_large"]


@given(
    st.sampled_from(["charge.success", *(f"refund.{event}" for event in REFUND_EVENTS)]),
    st.dictionaries(
        st.sampled_from([*CHARGE, "transaction_reference", "transaction", "paidAt"])
        | st.text(max_size=5),
        json_values,
    ),
)
def test_any_signed_report_gets_an_answer(event: str, changes: dict[str, Any]):
    for data in (changes, {**CHARGE, "transaction_reference": REFERENCE, **changes}):
        desk = FrontDesk({"channels/paystack": SECRET})
        desk.stored[PAYMENT_ID] = payment_of()
        status, body = told(desk, json.dumps({"event": event, "data": data}).encode())
        assert (status, set(body)) in [(200, {"status"}), (400, {"status"})]


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_signed_body_gets_an_answer(body: bytes):
    status, answer = told(FrontDesk({"channels/paystack": SECRET}), body)
    assert (status, answer) in [MALFORMED, IGNORED, UNKNOWN]


@given(st.binary(max_size=300), st.text(max_size=140))
def test_no_stranger_gets_further_than_the_door(body: bytes, signature: str):
    desk = FrontDesk({"channels/paystack": SECRET})
    assert told(desk, body, signature) == INVALID_SIGNATURE


# === what we ask ==================================================================================

Answered = TypeVar("Answered")
REFUND = Refund(1, 500_00)
NOTE = f"{PAYMENT_ID}.1"
PAID = payment_of(receipt="302961", status=Status.RECEIVED)


def provider(base_url: str) -> paystack.PaystackProvider:
    return paystack.make({"channels/paystack": {**SECRET, "base_url": base_url}}.__getitem__)


def asked(
    question: Callable[[paystack.PaystackProvider], Answered], behaviour: Behaviour
) -> tuple[Answered, bytes]:
    """The answer to a question, and the one request that was made for it."""
    with serving(behaviour) as server:
        try:
            answer = question(provider(server.url))
        finally:
            assert server.connections == 1, "nothing is asked twice, whatever comes of it"
    return answer, server.requests[0]


def verified(behaviour: Behaviour, payment: Payment | None = None) -> Paid | None:
    return asked(lambda p: p.verify(payment or payment_of()), behaviour)[0]


def refunded(behaviour: Behaviour) -> RefundTaken:
    return asked(lambda p: p.refund(PAID, REFUND), behaviour)[0]


def looked_up(behaviour: Behaviour, refund: Refund = REFUND) -> RefundTaken:
    return asked(lambda p: p.look_up_refund(PAID, refund), behaviour)[0]


QUESTIONS: list[Callable[[Behaviour], object]] = [
    verified,
    refunded,
    looked_up,
    lambda behaviour: looked_up(behaviour, Refund(1, 500_00, reference="77")),
]


def transaction(**changes: Any) -> Behaviour:
    return saying({"status": True, "message": "ok", "data": {**CHARGE, **changes}})


def a_refund(status: object = "pending", **changes: Any) -> dict[str, Any]:
    refund = {"id": 77, "status": status, "merchant_note": NOTE, "amount": 50_000}
    return {**refund, "currency": "KES", "transaction": 302961, **changes}


def success(data: object) -> Behaviour:
    return saying({"status": True, "message": "ok", "data": data})


# --- verification ---------------------------------------------------------------------------------


def test_a_payment_is_verified_by_our_reference():
    paid, request = asked(lambda p: p.verify(payment_of()), transaction())
    assert paid == Paid("302961", 2_500_00, "KES", HALF_PAST_EIGHT)
    assert request.startswith(f"GET /transaction/verify/{REFERENCE} HTTP/1.1\r\n".encode())
    assert b"\r\nAuthorization: Bearer sk_test_demo\r\n" in request


def test_a_verification_tells_what_was_really_paid():
    paid = verified(transaction(amount=100, currency="UGX"))
    assert paid is not None
    assert (paid.amount_minor, paid.currency) == (1, "UGX")


@pytest.mark.parametrize(
    "status",
    ["abandoned", "failed", "ongoing", "pending", "processing", "queued"],
)
def test_a_transaction_that_brought_no_money_is_not_paid(status: str):
    assert verified(transaction(status=status)) is None


def test_a_transaction_whose_money_went_back_is_said_to_be_one():
    with pytest.raises(TakenBack) as taken:
        verified(transaction(status="reversed"))
    assert taken.value.reference == "302961"


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found"])
def test_a_transaction_that_the_provider_does_not_know_is_not_paid(status: str):
    assert verified(refusing("Transaction reference not found.", status)) is None


@pytest.mark.parametrize(
    "behaviour",
    [
        refusing("Invalid key", "401 Unauthorized"),
        refusing("Key not found", "401 Unauthorized"),
        refusing("Something else", "404 Not Found"),
        refusing("Transaction reference not found", "500 Internal Server Error"),
        refusing("Transaction reference not found", "200 OK"),
        saying({"status": True, "message": "not found"}, "404 Not Found"),
        answering(b"not found", status="404 Not Found"),
        transaction(reference="f" * 32),
        transaction(reference=None),
        transaction(status="won"),
        transaction(status=None),
        transaction(status=["success"]),
        transaction(status={"pending": 1}),
        transaction(amount="250000"),
        transaction(amount=0),
        transaction(currency="ZZZ"),
        transaction(currency="UGX", amount=1),
        transaction(id=None),
    ],
)
def test_a_verification_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        verified(behaviour)


# --- refunds --------------------------------------------------------------------------------------


def test_a_refund_is_asked_for_exactly_as_the_provider_expects():
    taken, request = asked(lambda p: p.refund(PAID, REFUND), success(a_refund()))
    assert taken == RefundTaken("77", done=False)
    assert request.startswith(b"POST /refund HTTP/1.1\r\n")
    assert sent([request]) == {
        "transaction": REFERENCE,
        "amount": 50_000,
        "currency": "KES",
        "merchant_note": NOTE,
    }


@pytest.mark.parametrize(
    ("currency", "amount_minor", "hundredths"), [("UGX", 500, 50_000), ("TND", 12_340, 1_234)]
)
def test_a_refund_is_asked_for_in_hundredths(currency: str, amount_minor: int, hundredths: int):
    payment = payment_of(amount_minor, currency)
    _, request = asked(lambda p: p.refund(payment, Refund(2, amount_minor)), success(a_refund()))
    assert sent([request])["amount"] == hundredths
    assert sent([request])["merchant_note"] == f"{PAYMENT_ID}.2"


@pytest.mark.parametrize(("amount_minor", "currency"), [(12_345, "TND"), (100, "ZZZ")])
def test_a_refund_that_hundredths_cannot_express_is_refused_without_asking(
    amount_minor: int, currency: str
):
    with serving(success(a_refund())) as server:
        with pytest.raises(ProviderRefused) as refused:
            provider(server.url).refund(payment_of(amount_minor, currency), Refund(1, amount_minor))
        assert server.connections == 0
    assert refused.value.code == "unusable_amount"


def test_a_refund_may_be_done_at_once():
    assert refunded(success(a_refund("processed"))) == RefundTaken("77", done=True)


def test_a_refund_that_fails_at_once_is_refused():
    with pytest.raises(ProviderRefused) as refused:
        refunded(success(a_refund("failed")))
    assert refused.value.code == "refund_failed"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("400 Bad Request", "refused_by_provider"),
        ("403 Forbidden", "refused_by_provider"),
        ("404 Not Found", "refused_by_provider"),
        ("422 Unprocessable Entity", "refused_by_provider"),
        ("401 Unauthorized", "authentication_failed"),
    ],
)
def test_a_refund_that_the_provider_declines_is_refused(status: str, code: str):
    with pytest.raises(ProviderRefused) as refused:
        refunded(refusing("Transaction has been fully reversed", status))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "behaviour",
    [
        refusing("Too many requests", "429 Too Many Requests"),
        refusing("oops", "500 Internal Server Error"),
        refusing("oops", "200 OK"),
        saying({"message": "oops"}, "400 Bad Request"),
        saying({"status": 0}, "400 Bad Request"),
        answering(b"<html>forbidden</html>", status="403 Forbidden"),
        success(None),
        success([a_refund()]),
        success(a_refund(id=None)),
        success(a_refund(id={"a": 1})),
        success(a_refund(id="../transfer")),
    ],
)
def test_a_refund_of_which_it_is_not_known_whether_it_was_taken_is_uncertain(
    behaviour: Behaviour,
):
    with pytest.raises(ProviderUncertain):
        refunded(behaviour)


# --- looking a refund up --------------------------------------------------------------------------

STATES = [
    ("pending", RefundTaken("77", done=False)),
    ("processing", RefundTaken("77", done=False)),
    ("needs-attention", RefundTaken("77", done=False)),
    ("processed", RefundTaken("77", done=True)),
]


@pytest.mark.parametrize(("status", "taken"), STATES)
def test_a_refund_is_looked_up_by_the_id_that_the_provider_gave(status: str, taken: RefundTaken):
    refund = Refund(1, 500_00, reference="7/7")
    found, request = asked(lambda p: p.look_up_refund(PAID, refund), success(a_refund(status)))
    assert found == taken
    assert request.startswith(b"GET /refund/7%2F7 HTTP/1.1\r\n")


@pytest.mark.parametrize(("status", "taken"), STATES)
def test_a_refund_without_an_id_is_found_by_our_name_for_it(status: str, taken: RefundTaken):
    others = [a_refund("processed", merchant_note=f"{NOTE}{n}", id=n) for n in range(3)]
    listed = success([*others, a_refund(status)])
    found, request = asked(lambda p: p.look_up_refund(PAID, REFUND), listed)
    assert found == taken
    assert request.startswith(b"GET /refund?transaction=302961&perPage=100 HTTP/1.1\r\n")


def test_without_a_receipt_the_list_is_asked_for_by_our_reference():
    _, request = asked(lambda p: p.look_up_refund(payment_of(), REFUND), success([a_refund()]))
    assert request.startswith(f"GET /refund?transaction={REFERENCE}&perPage=100 ".encode())


@pytest.mark.parametrize("refund", [REFUND, Refund(1, 500_00, reference="77")])
def test_a_refund_that_failed_is_refused(refund: Refund):
    failed = a_refund("failed")
    with pytest.raises(ProviderRefused) as refused:
        looked_up(success(failed if refund.reference else [failed]), refund)
    assert refused.value.code == "refund_failed"


def test_one_that_failed_does_not_hide_its_repetition():
    failed, again = a_refund("failed", id=76), a_refund("processed")
    for items in ([failed, again], [again, failed]):
        assert looked_up(success(items)) == RefundTaken("77", done=True)


def test_a_failure_of_fewer_attempts_than_were_made_says_nothing_of_the_last():
    listed = success([a_refund("failed")])
    with pytest.raises(NotAtProvider):
        looked_up(listed, replace(REFUND, attempts=2))


def test_as_many_failures_as_attempts_say_that_the_last_failed_too():
    listed = success([a_refund("failed", id=76), a_refund("failed")])
    with pytest.raises(ProviderRefused) as refused:
        looked_up(listed, replace(REFUND, attempts=2))
    assert refused.value.code == "refund_failed"


@pytest.mark.parametrize("number", [2, 10])
def test_a_refund_that_is_not_among_those_of_its_transaction_is_not_there(number: int):
    with pytest.raises(NotAtProvider):
        looked_up(success([a_refund(merchant_note=f"{PAYMENT_ID}.{number}")]))


def looked_up_twice(*behaviours: Behaviour) -> tuple[RefundTaken, list[bytes]]:
    """A look-up that goes by the receipt first and then by our reference."""
    with serving(in_turn(*behaviours)) as server:
        try:
            taken = provider(server.url).look_up_refund(PAID, REFUND)
        finally:
            assert server.connections == 2
    return taken, server.requests


UNKNOWN_NAME = refusing("Invalid transaction")


@pytest.mark.parametrize("first", [success([]), UNKNOWN_NAME, refusing("?", "404 Not Found")])
def test_a_refund_that_the_receipt_does_not_find_is_found_by_our_reference(first: Behaviour):
    taken, requests = looked_up_twice(first, success([a_refund()]))
    assert taken == RefundTaken("77", done=False)
    assert [request.split()[1] for request in requests] == [
        b"/refund?transaction=302961&perPage=100",
        f"/refund?transaction={REFERENCE}&perPage=100".encode(),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [(success([]), success([])), (success([]), UNKNOWN_NAME), (UNKNOWN_NAME, success([]))],
)
def test_a_refund_that_neither_name_finds_is_not_there(first: Behaviour, second: Behaviour):
    with pytest.raises(NotAtProvider):
        looked_up_twice(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (UNKNOWN_NAME, UNKNOWN_NAME),
        (success([]), refusing("Slow down", "429 Too Many Requests")),
        (success([]), refusing("Invalid key", "401 Unauthorized")),
        (success([]), HTML),
        (success([]), sending(b"")),
        (success([]), success([a_refund(merchant_note=None)])),
    ],
)
def test_a_refund_is_not_absent_before_both_names_were_looked_up(
    first: Behaviour, second: Behaviour
):
    with pytest.raises(ProviderUncertain):
        looked_up_twice(first, second)


@pytest.mark.parametrize(
    "items",
    [
        [a_refund(merchant_note="Refund for transaction by a person")],
        [a_refund(merchant_note=None)],
        [a_refund(merchant_note=[NOTE])],
        [a_refund(merchant_note=f"{PAYMENT_ID}.2"), {}],
        [a_refund(merchant_note=f"{PAYMENT_ID}.{n}", id=n) for n in range(2, 102)],
    ],
)
def test_a_refund_that_may_be_hidden_among_others_is_uncertain(items: list[Any]):
    with pytest.raises(ProviderUncertain):
        looked_up(success(items))


@pytest.mark.parametrize("status", ["404 Not Found", "400 Bad Request"])
def test_an_id_that_the_provider_gave_and_does_not_know_any_more_proves_nothing(status: str):
    with pytest.raises(ProviderUncertain):
        looked_up(refusing("Refund not found", status), Refund(1, 500_00, reference="77"))


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"items": []},
        "none",
        ["none"],
        [a_refund("won")],
        [a_refund(None)],
        [a_refund({"a": 1})],
    ],
)
def test_a_list_that_is_not_clear_is_uncertain(data: object):
    with pytest.raises(ProviderUncertain):
        looked_up(success(data))


# --- whatever is asked ----------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "behaviour",
    [
        HTML,
        answering(b""),
        answering(b"null"),
        answering(b"[]"),
        answering(b'{"status":true,"status":false}', status="400 Bad Request"),
        answering(b"[" * 50_000),
        answering(b"{}".ljust(70_000)),
        answering(b"", status="302 Found", headers="Location: http://a.example/\r\n"),
        refusing("Service unavailable", "503 Service Unavailable"),
        sending(b""),
        sending(b"garbage"),
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"),
    ],
)
def test_an_answer_that_is_not_whole_or_not_clear_is_uncertain(
    question: Callable[[Behaviour], object], behaviour: Behaviour
):
    with pytest.raises(ProviderUncertain):
        question(behaviour)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_slow_answer_is_uncertain(
    question: Callable[[Behaviour], object], monkeypatch: pytest.MonkeyPatch
):
    def hurried(method: str, url: str, headers: Any, _: float, *rest: Any) -> Answer:
        return call(method, url, headers, 0.2, *rest)

    monkeypatch.setattr(asking, "call", hurried)
    with pytest.raises(ProviderUncertain):
        question(lambda connection: connection.recv(1))


def test_a_provider_that_cannot_be_reached_was_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = provider(f"http://127.0.0.1:{listener.getsockname()[1]}")
    with pytest.raises(ProviderUnreachable):
        nobody.verify(payment_of())
    with pytest.raises(ProviderUnreachable):
        nobody.refund(PAID, REFUND)
    with pytest.raises(ProviderUnreachable):
        nobody.look_up_refund(PAID, REFUND)


def test_a_base_url_may_have_a_path_and_a_slash_at_its_end():
    with serving(transaction()) as server:
        provider(f"{server.url}/paystack/").verify(payment_of())
    assert server.requests[0].startswith(b"GET /paystack/transaction/verify/")


@pytest.mark.parametrize(
    "message", [f"Invalid key {SECRET_KEY}", "x" * 5_000, "line\r\nline\x00\u202e", "é" * 300]
)
def test_what_the_provider_says_is_shown_short_printable_and_without_our_key(message: str):
    for behaviour in (refusing(message), refusing(message, "500 Oops")):
        with pytest.raises((ProviderRefused, ProviderUncertain)) as error:
            refunded(behaviour)
        assert len(error.value.detail) <= 120
        assert error.value.detail.isascii()
        assert error.value.detail.isprintable()
        assert SECRET_KEY not in error.value.detail


answers = st.builds(
    Answer,
    st.sampled_from([200, 201, 302, 400, 401, 404, 429, 500]),
    st.binary(max_size=100)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {"status": st.booleans() | json_values},
        optional={
            "message": st.just("not found") | json_values,
            "data": st.dictionaries(
                st.sampled_from([*CHARGE, "merchant_note"]),
                st.sampled_from(["success", "pending", REFERENCE, "KES", 5]) | json_values,
            )
            | st.lists(json_values, max_size=3),
        },
    ).map(lambda value: json.dumps(value).encode()),
)


@given(answers)
def test_any_answer_has_one_of_the_agreed_meanings(answer: Answer):
    known = Refund(1, 500_00, reference="77")
    with patch.object(asking, "call", lambda *_: answer):
        asked_of = provider("http://a.example")
        with suppress(ProviderUncertain):
            assert isinstance(asked_of.verify(payment_of()), Paid | None)
        with suppress(ProviderUncertain, ProviderRefused):
            assert asked_of.refund(PAID, REFUND).reference
        with suppress(ProviderUncertain, ProviderRefused):
            assert isinstance(asked_of.look_up_refund(PAID, known), RefundTaken)
        with suppress(ProviderUncertain, ProviderRefused, NotAtProvider):
            assert isinstance(asked_of.look_up_refund(PAID, REFUND), RefundTaken)
