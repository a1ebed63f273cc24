"""MeSomb: how a payer is asked, how a request is signed, and what each event and answer means."""

from __future__ import annotations

import hmac
import json
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import mesomb
from chalicelib.channels.checkouts import ProviderUnavailable
from chalicelib.channels.interface import BODY_BYTES_MAX, FieldErrors
from chalicelib.channels.mesomb import CHANNEL
from chalicelib.channels.mesomb_api import authorization, keys_of
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Claim, Payment, Refund, Status, accepted, started, twin
from chalicelib.services.accept import ReferenceConflict
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
    VersionConflict,
)
from tests.unit.channels.front_desk import NOW, FrontDesk, only
from tests.unit.scripted_server import Behaviour, answering, saying, sending, serving

SECRET: dict[str, Any] = {
    "base_url": "https://mesomb.example/api/v1.1",
    "application_key": "app-1",
    "access_key": "access-1",
    "secret_key": "secret-1",
    "webhook_secrets": ["whsec_new", "whsec_old"],
    "country": "CM",
    "currency": "XAF",
    "services": ["MTN", "ORANGE"],
    "prefixes": {"MTN": ["67", "650"], "ORANGE": ["69", "6"]},
}
REFERENCE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PAYMENT_ID = f"mesomb-{REFERENCE}"
PK = "9886f099-dee2-4eaa-9039-e92b2ee33353"
CHECKOUT = {"serial_number": "sm5r-00123", "amount": "2500", "phone": "677 55 02 03"}
ROW: dict[str, Any] = {
    "pk": PK,
    "status": "SUCCESS",
    "type": "PAYMENT",
    "amount": 2500,
    "fees": 0,
    "b_party": "237677550203",
    "message": None,
    "service": "MTN",
    "reference": REFERENCE,
    "ts": "2026-01-08T08:59:30Z",
    "country": "CM",
    "currency": "XAF",
}
FAILURES = [TryAgain(), OutcomeUnknown(), VersionConflict(), QueueUnavailable()]
HTML = answering(b"<html>oops</html>", status="502 Bad Gateway")
REDIRECT = answering(b"", status="302 Found", headers="Location: https://elsewhere.example\r\n")


@pytest.fixture
def desk() -> FrontDesk:
    company = Settings(country="CM", currency="XAF", currency_decimals=0)
    desk = FrontDesk({"channels/mesomb": SECRET}, company=company)
    desk.stored[PAYMENT_ID] = payment_of()
    return desk


def payment_of(amount_minor: int = 2_500, **changes: Any) -> Payment:
    claim = Claim(
        channel="mesomb",
        source="mesomb",
        transaction=REFERENCE,
        reference=REFERENCE,
        serial_number="SM5R00123",
        amount_minor=amount_minor,
        currency="XAF",
    )
    pending = started(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(pending, **changes)


def told_payment() -> Payment:
    """A payment that somebody made without us."""
    claim = Claim(
        channel="mesomb",
        source="mesomb",
        transaction=PK,
        reference=PK,
        serial_number="SM5R00123",
        amount_minor=2_500,
        currency="XAF",
        known_as={"pk": PK},
    )
    return accepted(claim, moment=NOW, received_at=NOW, customer_id="C1")


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "mesomb"
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert CHANNEL.can_refund
    assert CHANNEL.payer_needs == "phone"
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/mesomb/checkouts"),
        ("POST", "/payments/mesomb/webhook"),
    ]


def test_the_provider_states_how_it_may_be_asked():
    asked: Provider = mesomb.make({"channels/mesomb": SECRET}.__getitem__)
    assert asked.timeout_seconds == 20
    assert asked.refund_recovery is RecoveryClass.OPAQUE
    assert not asked.full_refunds_only


# === signing ======================================================================================

VECTOR_KEYS = keys_of(
    {
        **SECRET,
        "base_url": "https://mesomb.hachther.com/api/v1.1",
        "access_key": "c6c40b76-8119",
        "secret_key": "fe8c2445-810f",
    }
)
VECTOR_BODY = (
    b'{"amount":100,"service":"MTN","payer":"670000000","country":"CM","currency":"XAF",'
    b'"fees":true,"conversion":false}'
)


@pytest.mark.parametrize(
    ("method", "path", "body", "names", "signature"),
    [
        (
            "POST",
            "/payment/collect/",
            VECTOR_BODY,
            "content-type;host;x-mesomb-date;x-mesomb-nonce",
            "ff640b263febf27e6e74a5dcd4bc5e213e13db2c",
        ),
        (
            "GET",
            "/payment/transactions/?ids=0f1e&source=EXTERNAL",
            None,
            "host;x-mesomb-date;x-mesomb-nonce",
            "6df074543a643a3864302f6e5272a1a89e226255",
        ),
    ],
)
def test_a_request_is_signed_as_the_vendors_own_client_signs_it(
    method: str, path: str, body: bytes | None, names: str, signature: str
):
    # The signatures were made with pymesomb 2.1.2.
    url = f"{VECTOR_KEYS.base_url}{path}"
    assert authorization(VECTOR_KEYS, method, url, NOW, "abc", body) == (
        "HMAC-SHA1 Credential=c6c40b76-8119/20260108/payment/mesomb_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


# === asking the payer =============================================================================


def post(body: bytes | Mapping[str, Any]) -> ProviderRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ProviderRequest("POST", {}, {"content-type": "application/json"}, raw, "203.0.113.9")


def begun(status: str = "PENDING", **changes: Any) -> Behaviour:
    row = {**ROW, "status": status}
    return saying(
        {"success": True, "message": "ok", "transaction": row, "status": status, **changes}
    )


def check_out(
    desk: FrontDesk, behaviour: Behaviour, secret: Mapping[str, Any] | None = None, **changes: Any
) -> tuple[ProviderAnswer, list[bytes]]:
    desk.stored.clear()
    with serving(behaviour) as server:
        url = f"{server.url}/api/v1.1"
        desk.secrets["channels/mesomb"] = {**SECRET, "base_url": url, **(secret or {})}
        answer = mesomb.checkout(post({**CHECKOUT, **changes}), desk)
    return answer, server.requests


def parts_of(raw: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    return first, {name.lower(): value for name, value in pairs}, body


def test_a_checkout_asks_the_payers_phone(desk: FrontDesk):
    answer, _ = check_out(desk, begun())
    payment = only(desk)
    assert (answer.status, answer.body) == (
        201,
        {"payment_id": payment.payment_id, "reference": payment.reference},
    )
    assert re.fullmatch("mesomb-[0-9a-f]{32}", payment.payment_id)
    assert (payment.status, payment.known_as) == (Status.PENDING, {"pk": PK})
    assert payment.payer_phone == "+237677550203"
    assert not desk.hints


def test_a_payer_is_asked_exactly_as_it_is_expected(desk: FrontDesk):
    _, (raw,) = check_out(desk, begun())
    first, headers, body = parts_of(raw)
    reference = only(desk).reference
    assert first == "POST /api/v1.1/payment/collect/ HTTP/1.1"
    assert json.loads(body) == {
        "amount": 2500,
        "service": "MTN",
        "payer": "677550203",
        "country": "CM",
        "currency": "XAF",
        "fees": True,
        "conversion": False,
        "trxID": reference,
    }
    assert b" " not in body
    assert headers["x-mesomb-application"] == "app-1"
    assert headers["x-mesomb-trxid"] == reference
    assert headers["x-mesomb-operationmode"] == "asynchronous"
    assert headers["content-type"] == "application/json"
    signed_at = datetime.fromtimestamp(int(headers["x-mesomb-date"]), UTC)
    keys = keys_of(desk.secrets["channels/mesomb"])
    url = f"{keys.base_url}/payment/collect/"
    assert headers["authorization"] == authorization(
        keys, "POST", url, signed_at, headers["x-mesomb-nonce"], body
    )


def test_no_nonce_is_used_twice(desk: FrontDesk):
    (first,) = check_out(desk, begun())[1]
    (second,) = check_out(desk, begun())[1]
    assert parts_of(first)[1]["x-mesomb-nonce"] != parts_of(second)[1]["x-mesomb-nonce"]


@pytest.mark.parametrize(
    ("secret", "phone", "service"),
    [
        ({}, "677550203", "MTN"),
        ({}, "690000000", "ORANGE"),
        ({}, "650000000", "MTN"),
        ({}, "651000000", "ORANGE"),
        ({"prefixes": None}, "690000000", "MTN"),
        ({"prefixes": {}}, "690000000", "MTN"),
        ({"prefixes": {"ORANGE": ["69"]}}, "677550203", "MTN"),
        ({"services": ["ORANGE"]}, "677550203", "ORANGE"),
        ({"services": ["AIRTEL"], "prefixes": {"MTN": ["67"]}}, "677550203", "AIRTEL"),
    ],
)
def test_the_service_is_the_one_whose_prefix_fits_best(
    desk: FrontDesk, secret: dict[str, Any], phone: str, service: str
):
    _, (raw,) = check_out(desk, begun(), secret, phone=phone)
    assert json.loads(parts_of(raw)[2])["service"] == service


def test_an_answer_that_the_money_is_there_already_is_only_a_hint(desk: FrontDesk):
    check_out(desk, begun("SUCCESS"))
    payment = only(desk)
    assert (payment.status, payment.receipt) == (Status.PENDING, None)
    assert desk.hints == [payment.payment_id]


def test_a_hint_that_cannot_be_queued_does_no_harm(desk: FrontDesk):
    with patch.object(FrontDesk, "hinted", side_effect=QueueUnavailable()):
        answer, _ = check_out(desk, begun("SUCCESS"))
    assert answer.status == 201
    assert desk.journal.reasons == [QueueUnavailable().code]


@pytest.mark.parametrize("amount", ["0", "-1", "25.5", "1e3", "", 2500, None, "9" * 30])
def test_an_amount_that_is_not_whole_asks_nobody(desk: FrontDesk, amount: object):
    with pytest.raises((InvalidAmount, FieldErrors)):
        mesomb.checkout(post({**CHECKOUT, "amount": amount}), desk)
    assert not desk.starts


def test_only_whole_units_are_asked_for_also_of_other_currencies(desk: FrontDesk):
    desk.secrets["channels/mesomb"] = {**SECRET, "currency": "USD"}
    with pytest.raises(InvalidAmount):
        mesomb.checkout(post({**CHECKOUT, "amount": "2.50"}), desk)


def test_without_a_phone_nobody_is_asked(desk: FrontDesk):
    body = {name: value for name, value in CHECKOUT.items() if name != "phone"}
    with pytest.raises(FieldErrors):
        mesomb.checkout(post(body), desk)


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_asks_nobody(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with pytest.raises(Refused):
        mesomb.checkout(post(CHECKOUT), desk)


def refusing(code: object, status: str = "400 Bad Request") -> Behaviour:
    return saying({"detail": "no", "code": code}, status)


DEFINITE = [
    (refusing("subscriber-not-found"), "refused_by_provider"),
    (refusing("subscriber-insufficient-balance"), "refused_by_provider"),
    (refusing("invalid-amount"), "refused_by_provider"),
    (refusing("application-not-found", "404 Not Found"), "refused_by_provider"),
    (refusing("permission", "403 Forbidden"), "authentication_failed"),
    (refusing("not_authenticated", "401 Unauthorized"), "authentication_failed"),
]
UNCERTAIN = [
    refusing("subscriber-internal-error"),
    refusing("subscriber-timeout"),
    refusing("generic-error"),
    refusing("something-new"),
    refusing({"payer": ["invalid"]}),
    refusing(None),
    refusing("subscriber-not-found", "500 Internal Server Error"),
    refusing("subscriber-not-found", "409 Conflict"),
    saying({}, "404 Not Found"),
    begun(success=False),
    begun(success="true"),
    begun("EXPIRED"),
    begun(transaction=None),
    begun(transaction={"status": "PENDING"}),
    begun(transaction={"status": "PENDING", "pk": "a b"}),
    saying([]),
    HTML,
    REDIRECT,
    sending(b""),
    sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        *DEFINITE,
        (begun("FAILED"), "collect_failed"),
        (begun("FAILED", success=False), "collect_failed"),
    ],
)
def test_a_payment_that_is_refused_has_expired(desk: FrontDesk, behaviour: Behaviour, reason: str):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, behaviour)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, reason)


def test_a_collect_that_is_under_way_has_begun(desk: FrontDesk):
    answer, _ = check_out(desk, begun("ONGOING"))
    assert answer.status == 201
    assert (only(desk).status, only(desk).known_as) == (Status.PENDING, {"pk": PK})


@pytest.mark.parametrize("behaviour", UNCERTAIN)
def test_a_payment_of_which_nothing_is_certain_stays_pending(desk: FrontDesk, behaviour: Behaviour):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, behaviour)
    assert only(desk).status is Status.PENDING
    assert desk.journal.reasons == ["provider_uncertain"]


def test_a_payment_has_expired_where_the_provider_was_not_reached(desk: FrontDesk):
    desk.stored.clear()
    desk.secrets["channels/mesomb"] = {**SECRET, "base_url": nowhere()}
    with pytest.raises(ProviderUnavailable):
        mesomb.checkout(post(CHECKOUT), desk)
    assert only(desk).reason == "provider_unreachable"


def nowhere() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "mesomb.example"},
        {"application_key": ""},
        {"access_key": None},
        {"secret_key": "a b"},
        {"webhook_secrets": "whsec"},
        {"country": "Cameroon"},
        {"currency": "XXQ"},
        {"services": []},
        {"services": ["mtn"]},
        {"services": "MTN"},
        {"prefixes": ["67"]},
        {"prefixes": {"MTN": "67"}},
    ],
)
def test_a_half_configured_channel_does_nothing(desk: FrontDesk, changes: dict[str, Any]):
    desk.secrets["channels/mesomb"] = {**SECRET, **changes}
    with pytest.raises(SecretMissing):
        mesomb.checkout(post(CHECKOUT), desk)
    with pytest.raises(SecretMissing):
        mesomb.make(desk.secrets.__getitem__).verify(payment_of())
    assert tell(desk, event()) == (503, "try_again")
    assert not desk.starts


# === events =======================================================================================

SECONDS = int(NOW.timestamp())


def event(kind: str = "payment.transaction.success", **changes: Any) -> dict[str, Any]:
    row = {**ROW, **changes}
    return {
        "id": "adbbf6bd-1746-4545-a3ce-8b153a7a31b2",
        "object_type": "payment",
        "event_type": kind,
        "data": {"object": {name: value for name, value in row.items() if value is not ...}},
    }


def hmac_of(secret: str, signed_at: object, raw: bytes) -> str:
    return hmac.new(secret.encode(), f"{signed_at}.".encode() + raw, "sha256").hexdigest()


def delivery(
    raw: bytes, shown: str | None = None, name: str = "X-MeSomb-Webhook-Signature"
) -> ProviderRequest:
    signature = (
        shown if shown is not None else f"t={SECONDS},v1={hmac_of('whsec_new', SECONDS, raw)}"
    )
    return ProviderRequest("POST", {}, {name: signature}, raw, "203.0.113.9")


def tell(desk: FrontDesk, body: Mapping[str, Any] | bytes) -> tuple[int, str]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return short(mesomb.webhook(delivery(raw), desk))


def short(answer: ProviderAnswer) -> tuple[int, str]:
    assert list(answer.body) == ["status"]
    return answer.status, answer.body["status"]


def test_a_success_of_ours_is_received(desk: FrontDesk):
    assert tell(desk, event()) == (200, "ok")
    payment = desk.stored[PAYMENT_ID]
    assert (payment.status, payment.receipt) == (Status.RECEIVED, PK)
    assert payment.moment == datetime(2026, 1, 8, 8, 59, 30, tzinfo=UTC)
    assert not desk.claims
    assert not desk.journal.events


def test_a_success_of_ours_is_proven_and_in_a_shared_pot(desk: FrontDesk):
    with patch.object(FrontDesk, "paid", autospec=True) as paid:
        tell(desk, event())
    (_, payment_id, told) = paid.call_args.args
    assert payment_id == PAYMENT_ID
    paid_at = datetime(2026, 1, 8, 8, 59, 30, tzinfo=UTC)
    assert told == Paid(
        PK, 2_500, "XAF", paid_at=paid_at, proven=True, shared_pot=True, known_as={"pk": PK}
    )


def test_a_repeated_event_is_answered_alike(desk: FrontDesk):
    assert tell(desk, event()) == tell(desk, event()) == (200, "ok")


@pytest.mark.parametrize("name", ["event_type", "type", "event"])
def test_the_kind_of_an_event_may_stand_under_three_names(desk: FrontDesk, name: str):
    body = event()
    kind = body.pop("event_type")
    assert tell(desk, {**body, name: kind}) == (200, "ok")
    assert desk.stored[PAYMENT_ID].status is Status.RECEIVED


def test_our_reference_may_stand_under_two_names(desk: FrontDesk):
    assert tell(desk, event(reference="order", trxID=REFERENCE)) == (200, "ok")
    assert desk.stored[PAYMENT_ID].status is Status.RECEIVED


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 2450, "fees": 50},
        {"amount": 2450.0, "fees": 50.0},
        {"amount": 2500, "fees": 50},
        {"amount": 2450, "fees": 50, "trxamount": 2500},
        {"amount": 2500, "fees": None},
        {"amount": 2500, "fees": ...},
        {"amount": "2500", "fees": "x"},
        {"type": "COLLECT"},
        {"type": ...},
        {"status": ...},
        {"ts": "soon"},
    ],
)
def test_what_was_agreed_was_given_before_or_after_the_fees(
    desk: FrontDesk, changes: dict[str, Any]
):
    assert tell(desk, event(**changes)) == (200, "ok")
    assert desk.stored[PAYMENT_ID].status is Status.RECEIVED


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 2400, "fees": 50},
        {"amount": 25000},
        {"amount": 2400, "trxamount": 2450, "fees": 50},
        {"currency": "XOF"},
    ],
)
def test_another_amount_than_agreed_is_a_conflict(desk: FrontDesk, changes: dict[str, Any]):
    assert tell(desk, event(**changes)) == (200, "conflict")
    assert desk.stored[PAYMENT_ID].status is Status.PENDING
    assert desk.journal.counts == [
        ("ReportsFailed", {"channel": "mesomb", "reason": "reference_conflict"})
    ]


def test_a_reference_like_ours_that_is_none_is_noted_and_not_given_back(desk: FrontDesk):
    assert tell(desk, event(reference="0" * 32)) == (200, "unknown_reference")
    assert not desk.claims
    assert desk.journal.reasons == ["not_found"]


# --- who pays without us --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "serial"),
    [
        ({"reference": "sm5r 00123"}, "SM5R00123"),
        ({"reference": None, "message": "SM5R-00123"}, "SM5R00123"),
        ({"reference": ..., "message": ...}, "?"),
        ({"reference": "", "message": "for the light!"}, "for the light!"),
    ],
)
def test_money_without_us_is_stored_for_whatever_it_names(
    desk: FrontDesk, changes: dict[str, Any], serial: str
):
    assert tell(desk, event(**changes)) == (200, "ok")
    (claim,) = desk.claims
    assert claim == Claim(
        channel="mesomb",
        source="mesomb",
        transaction=PK,
        reference=PK,
        serial_number=serial,
        amount_minor=2_500,
        currency="XAF",
        payer_phone="+237677550203",
        paid_at=datetime(2026, 1, 8, 8, 59, 30, tzinfo=UTC),
        known_as={"pk": PK},
        proven=True,
    )
    assert desk.stored[f"mesomb-{PK}"].status is Status.RECEIVED


def test_it_is_stored_once(desk: FrontDesk):
    told = event(reference="SM5R00123", amount=2450, fees=50)
    assert tell(desk, told) == tell(desk, told) == (200, "ok")
    assert len(desk.stored) == 2
    assert desk.stored[f"mesomb-{PK}"].amount_minor == 2_450
    assert not desk.journal.events


def test_what_the_payer_gave_is_what_it_says_beside_the_amount(desk: FrontDesk):
    tell(desk, event(reference="SM5R00123", amount=2450, fees=50, trxamount=2500))
    assert desk.claims[0].amount_minor == 2_500


@pytest.mark.parametrize("number", [None, ..., "", "nobody", 12, ["x"]])
def test_a_number_that_is_none_is_left_out(desk: FrontDesk, number: object):
    assert tell(desk, event(reference="SM5R00123", b_party=number)) == (200, "ok")
    assert desk.claims[0].payer_phone is None


def test_the_event_of_a_payment_that_was_found_by_asking_is_no_second_payment(desk: FrontDesk):
    received = payment_of(status=Status.RECEIVED, receipt=PK)
    desk.stored = {PAYMENT_ID: received, f"mesomb-{PK}": twin(received, f"mesomb-{PK}", NOW)}
    assert tell(desk, event(reference=None)) == (200, "ok")
    assert not desk.claims


# --- other events ---------------------------------------------------------------------------------


def test_a_failure_of_ours_is_a_hint(desk: FrontDesk):
    assert tell(desk, event("payment.transaction.failed", status="FAILED")) == (200, "ok")
    assert desk.hints == [PAYMENT_ID]
    assert desk.stored[PAYMENT_ID].status is Status.PENDING


@pytest.mark.parametrize(
    "body",
    [
        event("payment.transaction.failed", reference="SM5R00123"),
        event("payment.transaction.failed", reference="0" * 32),
        event("payment.transaction.surprised"),
        event("payment.refund.surprised"),
        event("checkout.session.completed"),
        event("dispute.opened"),
        event(type="DEPOSIT"),
        {**event(), "event_type": None},
        {**event(), "event_type": 5},
        {},
    ],
)
def test_events_that_change_nothing_are_ignored(desk: FrontDesk, body: dict[str, Any]):
    assert tell(desk, body) == (200, "ignored")
    assert not (desk.hints or desk.claims or desk.told or desk.journal.events)
    assert desk.stored[PAYMENT_ID].status is Status.PENDING


def refunded(amount_minor: int = 1_000) -> Payment:
    return payment_of(receipt=PK, status=Status.REFUNDING, refunds=(Refund(1, amount_minor),))


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ("success", RefundTaken(done=True)),
        ("succeeded", RefundTaken(done=True)),
        ("completed", RefundTaken(done=True)),
        ("processed", RefundTaken(done=True)),
        ("created", RefundTaken()),
        ("pending", RefundTaken()),
        ("processing", RefundTaken()),
        ("failed", "failed"),
    ],
)
def test_news_of_a_refund_of_ours_is_told(desk: FrontDesk, outcome: str, told: RefundTaken | str):
    desk.stored[PAYMENT_ID] = refunded()
    assert tell(desk, event(f"payment.refund.{outcome}", amount=1000)) == (200, "ok")
    assert desk.told == [(PAYMENT_ID, 1_000, told)]


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": None, "pk": "another", "transaction": PK},
        {"reference": None, "pk": "another", "transaction": {"pk": PK}},
        {"reference": None, "pk": PK},
    ],
)
def test_a_refund_may_name_its_payment_by_mesombs_id(desk: FrontDesk, changes: dict[str, Any]):
    started_by_us = refunded()
    desk.stored[PAYMENT_ID] = started_by_us
    desk.stored[f"mesomb-{PK}"] = twin(started_by_us, f"mesomb-{PK}", NOW)
    assert tell(desk, event("payment.refund.success", amount=1000, **changes)) == (200, "ok")
    assert desk.told == [(PAYMENT_ID, 1_000, RefundTaken(done=True))]


def test_a_refund_of_money_without_us_is_told(desk: FrontDesk):
    desk.stored[f"mesomb-{PK}"] = replace(told_payment(), refunds=(Refund(1, 2_500),))
    assert tell(desk, event("payment.refund.success", reference=None)) == (200, "ok")
    assert desk.told == [(f"mesomb-{PK}", 2_500, RefundTaken(done=True))]


def test_a_refund_that_we_did_not_ask_for_is_a_reversal(desk: FrontDesk):
    desk.stored[PAYMENT_ID] = payment_of(receipt=PK, status=Status.RECEIVED)
    assert tell(desk, event("payment.refund.success", pk="refund-1")) == (200, "ok")
    assert desk.reversals == [(PAYMENT_ID, "refund-1")]
    assert not desk.told


def test_a_refund_of_nothing_that_we_know_is_noted(desk: FrontDesk):
    told = event("payment.refund.success", reference=None, pk="x")
    assert tell(desk, told) == (200, "unknown_reference")
    assert desk.journal.reasons == ["not_found"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**event(), "data": None}, "data.object"),
        ({**event(), "data": {"object": [ROW]}}, "data.object"),
        (event(status="FAILED"), "status"),
        (event(pk=None), "success without an id"),
        (event(pk="a b"), "success without an id"),
        (event(pk="x" * 65), "success without an id"),
        (event(amount=0), "unusable_amount: must be above zero"),
        (event(amount=-2500), None),
        (event(amount="2500.5"), None),
        (event(amount=None), None),
        (event(amount=10**30), None),
        (event(currency=None), None),
        (event(currency="xaf"), None),
        (event(currency="QQQ"), None),
        (event("payment.refund.failed", amount="x"), "amount"),
    ],
)
def test_a_signed_event_that_cannot_be_read_is_an_alarm(
    desk: FrontDesk, body: dict[str, Any], field: str | None
):
    assert tell(desk, body) == (400, "malformed")
    assert desk.stored[PAYMENT_ID].status is Status.PENDING
    (noted,) = desk.journal.events
    assert noted["reason"] == "unreadable"
    assert field in (None, noted["detail"])


@pytest.mark.parametrize(
    "body",
    [
        event(),
        event(reference="SM5R00123"),
        event("payment.transaction.failed"),
        event("payment.refund.success"),
    ],
)
@pytest.mark.parametrize("failure", FAILURES)
def test_what_was_not_stored_is_to_be_sent_again(
    desk: FrontDesk, body: dict[str, Any], failure: MwangaError
):
    desk.failure = failure
    assert tell(desk, body) == (503, "try_again")
    assert desk.journal.reasons == [failure.code]


def test_a_conflict_with_what_is_stored_is_answered_with_success(desk: FrontDesk):
    desk.failure = ReferenceConflict()
    assert tell(desk, event(reference="SM5R00123")) == (200, "conflict")


# --- who is calling -------------------------------------------------------------------------------

RAW = json.dumps(event()).encode()


def shown(secret: str = "whsec_new", signed_at: object = SECONDS, raw: bytes = RAW) -> str:
    return f"t={signed_at},v1={hmac_of(secret, signed_at, raw)}"


@pytest.mark.parametrize(
    "signature",
    [
        shown(),
        shown("whsec_old"),
        shown(signed_at=SECONDS - 300),
        shown(signed_at=SECONDS + 300),
        f"t={SECONDS},v1={'0' * 64},v1={hmac_of('whsec_old', SECONDS, RAW)}",
        f"t={SECONDS}, v1={hmac_of('whsec_old', SECONDS, RAW)}, v1={'0' * 64}, v0=x",
        f"v1={hmac_of('whsec_new', SECONDS, RAW).upper()},t={SECONDS}",
    ],
)
@pytest.mark.parametrize("name", ["X-MeSomb-Webhook-Signature", "mesomb-signature"])
def test_a_signature_of_now_with_a_live_secret_proves_an_event(
    desk: FrontDesk, signature: str, name: str
):
    assert short(mesomb.webhook(delivery(RAW, signature, name), desk)) == (200, "ok")


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "x",
        "é",
        f"t={SECONDS}",
        f"t={SECONDS},v1=",
        f"v1={hmac_of('whsec_new', SECONDS, RAW)}",
        f"t=,v1={hmac_of('whsec_new', '', RAW)}",
        shown("stolen"),
        shown(raw=RAW + b" "),
        shown(signed_at=SECONDS - 301),
        shown(signed_at=SECONDS + 301),
        shown(signed_at=f" {SECONDS}"),
        shown(signed_at=f"-{SECONDS}"),
        shown(signed_at="١" * 9),
        shown(signed_at="9" * 13),
        f"t={SECONDS},{shown()}",
        f"t={SECONDS},v0={hmac_of('whsec_new', SECONDS, RAW)}",
        shown().replace("v1=", f"v1={'0' * 64},v1=" * 9),
    ],
)
def test_a_delivery_without_one_is_turned_away(desk: FrontDesk, signature: str):
    answer = mesomb.webhook(delivery(RAW, signature), desk)
    assert short(answer) == (401, "invalid_signature")
    assert desk.stored[PAYMENT_ID].status is Status.PENDING
    assert desk.journal.counts == [
        ("CallersRefused", {"channel": "mesomb", "reason": "invalid_signature"})
    ]


def test_a_changed_body_is_turned_away(desk: FrontDesk):
    changed = RAW.replace(b"2500", b"9500")
    assert short(mesomb.webhook(delivery(changed, shown()), desk)) == (401, "invalid_signature")


def test_without_secrets_nobody_is_admitted(desk: FrontDesk):
    desk.secrets["channels/mesomb"] = {**SECRET, "webhook_secrets": []}
    assert tell(desk, event()) == (401, "invalid_signature")


def test_signatures_are_compared_in_constant_time(desk: FrontDesk):
    with patch("hmac.compare_digest", wraps=hmac.compare_digest) as compared:
        tell(desk, event())
    assert compared.call_count == 2


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"event_type": NaN}', 400),
        (b'{"type": "a", "type": "b"}', 400),
        (b'{"type": "\\ud800"}', 400),
        (b"[" * 60_000, 400),
        (b" " * (BODY_BYTES_MAX + 1), 413),
    ],
)
def test_a_body_that_is_no_event_stores_nothing(desk: FrontDesk, raw: bytes, status: int):
    assert tell(desk, raw)[0] == status
    assert desk.stored[PAYMENT_ID].status is Status.PENDING


def test_no_secret_and_no_number_is_noted(desk: FrontDesk):
    tell(desk, event(amount=1))
    tell(desk, event(amount="x"))
    mesomb.webhook(delivery(RAW, shown("stolen")), desk)
    noted = json.dumps(desk.journal.events)
    assert not any(word in noted for word in ("677550203", "whsec", "secret-1"))


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KINDS = st.sampled_from(
    [
        *("payment.transaction.success", "payment.transaction.failed", "payment.refund.success"),
        *("payment.refund.failed", "payment.refund.pending", "payment.refund."),
    ]
)
NAMES = st.sampled_from([*ROW, "trxID", "trxamount", "transaction"])


@given(st.binary(max_size=300) | st.tuples(KINDS, st.dictionaries(NAMES, JSONISH)))
def test_whatever_the_event_the_answer_is_one_of_ours(
    body: bytes | tuple[str, dict[str, Any]],
):
    desk = FrontDesk({"channels/mesomb": SECRET}, stored={PAYMENT_ID: payment_of()})
    with suppress(UnicodeEncodeError):
        told = body if isinstance(body, bytes) else event(body[0], **body[1])
        assert tell(desk, told)[0] in (200, 400)
    raw = body if isinstance(body, bytes) else RAW
    assert mesomb.webhook(delivery(raw, "t=1,v1=x"), desk).status == 401


# === what we ask ==================================================================================


def asked(
    behaviour: Behaviour, ask: Callable[[Provider], Any]
) -> tuple[Any, tuple[str, dict[str, str], bytes]]:
    with serving(behaviour) as server:
        secret = {**SECRET, "base_url": f"{server.url}/api/v1.1"}
        answer = ask(mesomb.make({"channels/mesomb": secret}.__getitem__))
    (raw,) = server.requests
    return answer, parts_of(raw)


def verified(behaviour: Behaviour, **changes: Any) -> Any:
    return asked(behaviour, lambda provider: provider.verify(payment_of(**changes)))[0]


def rows(*changed: Mapping[str, Any]) -> Behaviour:
    return saying([{**ROW, **changes} for changes in changed])


def test_a_payment_is_asked_about_by_our_reference():
    paid, (first, headers, body) = asked(rows({}), lambda p: p.verify(payment_of()))
    assert first == (
        f"GET /api/v1.1/payment/transactions/?ids={REFERENCE}&source=EXTERNAL HTTP/1.1"
    )
    assert body == b""
    assert "SignedHeaders=host;x-mesomb-date;x-mesomb-nonce," in headers["authorization"]
    assert headers["x-mesomb-application"] == "app-1"
    assert paid == Paid(
        PK,
        2_500,
        "XAF",
        paid_at=datetime(2026, 1, 8, 8, 59, 30, tzinfo=UTC),
        shared_pot=True,
        known_as={"pk": PK},
    )


@pytest.mark.parametrize(
    ("changes", "amount_minor"),
    [
        ({"amount": 2450, "fees": 50}, 2_500),
        ({"amount": 2450, "fees": 50, "trxamount": 2500}, 2_500),
        ({"amount": 2000, "fees": 50}, 2_000),
        ({"amount": 2000, "fees": 50, "trxamount": 2050}, 2_050),
    ],
)
def test_what_was_paid_is_what_was_given(changes: dict[str, Any], amount_minor: int):
    assert verified(rows(changes)).amount_minor == amount_minor


def test_a_transaction_is_also_known_by_mesombs_id():
    assert verified(rows({"reference": None}), known_as={"pk": PK}).receipt == PK


def test_one_success_among_failed_attempts_counts():
    assert verified(rows({"status": "FAILED", "pk": "first"}, {})).receipt == PK


@pytest.mark.parametrize(
    "behaviour",
    [
        saying([]),
        rows({"status": "PENDING"}),
        rows({"status": "ONGOING"}),
        rows({"status": "PENDING"}, {"status": "FAILED"}),
    ],
)
def test_a_payment_that_is_not_there_yet_is_none(behaviour: Behaviour):
    assert verified(behaviour) is None


def test_a_payment_that_failed_can_be_paid_no_more():
    with pytest.raises(ProviderRefused) as refused:
        verified(rows({"status": "FAILED"}))
    assert refused.value.code == "collect_failed"


def test_a_payment_that_was_given_back_buys_nothing():
    with pytest.raises(TakenBack) as taken_back:
        verified(rows({"status": "REFUNDED"}))
    assert taken_back.value.reference == PK


@pytest.mark.parametrize(
    "behaviour",
    [
        rows({"status": "REFUNDED"}, {"status": "FAILED"}),
        rows({"status": "CANCELED"}),
        rows({"status": None}),
        rows({"status": ["SUCCESS"]}),
        rows({"reference": "another"}),
        rows({"reference": None}),
        rows({"type": "REFUND"}),
        rows({}, {"reference": "another"}),
        rows({}, {"pk": "second"}),
        rows({"pk": None}),
        rows({"pk": "a b"}),
        rows({"amount": True}),
        rows({"amount": [2500]}),
        rows({"amount": 0}),
        rows({"amount": "2500.5"}),
        rows({"currency": None}),
        saying({"results": []}),
        saying([1]),
        saying([ROW], "201 Created"),
        saying({"detail": "no", "code": "x"}, "400 Bad Request"),
        saying({"detail": "no"}, "404 Not Found"),
        saying([], "500 Internal Server Error"),
        answering(b"[NaN]"),
        answering(b"[{}"),
        answering(b"[]]"),
        answering(b'[{"pk": 1, "pk": 2}]'),
        answering(b""),
        HTML,
        REDIRECT,
        sending(b""),
    ],
)
def test_an_answer_that_tells_nothing_leaves_a_payment_as_it_is(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        verified(behaviour)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_a_refusal_of_our_credentials_says_nothing_of_a_payment(status: str):
    with pytest.raises(ProviderUnreachable):
        verified(saying({"detail": "no"}, status))


def test_nobody_is_asked_where_nobody_is_reached():
    provider = mesomb.make({"channels/mesomb": {**SECRET, "base_url": nowhere()}}.__getitem__)
    with pytest.raises(ProviderUnreachable):
        provider.verify(payment_of())


# --- refunds --------------------------------------------------------------------------------------


def given_back(status: str = "SUCCESS", pk: str = "refund-1", **changes: Any) -> Behaviour:
    return saying({"success": True, "transaction": {"pk": pk, "status": status}, **changes})


def refund_of(behaviour: Behaviour, payment: Payment | None = None, amount: int = 1_000) -> Any:
    asked_of = payment or payment_of(receipt=PK)
    return asked(behaviour, lambda provider: provider.refund(asked_of, Refund(1, amount)))


@pytest.mark.parametrize("payment", [payment_of(receipt=PK), told_payment()])
def test_a_refund_is_asked_for_by_mesombs_id(payment: Payment):
    taken, (first, headers, body) = refund_of(given_back(), payment)
    assert taken == RefundTaken("refund-1", done=True)
    assert first == "POST /api/v1.1/payment/refund/ HTTP/1.1"
    assert json.loads(body) == {"id": PK, "amount": 1000, "currency": "XAF", "conversion": False}
    assert "x-mesomb-trxid" not in headers


@pytest.mark.parametrize(
    ("behaviour", "taken"),
    [
        (given_back("PENDING"), RefundTaken("refund-1")),
        (given_back("PENDING", pk=PK), RefundTaken()),
        (given_back(pk=PK), RefundTaken(done=True)),
    ],
)
def test_a_refund_is_taken_or_done(behaviour: Behaviour, taken: RefundTaken):
    assert refund_of(behaviour)[0] == taken


@pytest.mark.parametrize(
    ("behaviour", "code"), [*DEFINITE, (given_back("FAILED"), "refund_failed")]
)
def test_a_refund_is_refused_only_where_that_is_certain(behaviour: Behaviour, code: str):
    with pytest.raises(ProviderRefused) as refused:
        refund_of(behaviour)
    assert refused.value.code == code


@pytest.mark.parametrize("behaviour", UNCERTAIN)
def test_a_refund_without_a_clear_answer_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        refund_of(behaviour)


@pytest.mark.parametrize(
    ("payment", "code"),
    [
        (payment_of(), "no_receipt"),
        (payment_of(receipt=PK, currency="QQQ"), "unusable_amount"),
        (payment_of(receipt=PK, currency="USD"), "unusable_amount"),
    ],
)
def test_a_refund_that_cannot_be_asked_for_is_not(payment: Payment, code: str):
    provider = mesomb.make({"channels/mesomb": SECRET}.__getitem__)
    with pytest.raises(ProviderRefused) as refused:
        provider.refund(payment, Refund(1, 1_001))
    assert refused.value.code == code


def looked_up(behaviour: Behaviour, reference: str = "refund-1") -> Any:
    refund = Refund(1, 1_000, reference=reference)
    return asked(behaviour, lambda p: p.look_up_refund(payment_of(receipt=PK), refund))


@pytest.mark.parametrize(
    ("status", "done"), [("SUCCESS", True), ("PENDING", False), ("ONGOING", False)]
)
def test_a_refund_with_an_id_of_its_own_can_be_looked_up(status: str, done: bool):
    answer = rows({"pk": "refund-1", "status": status, "type": "REFUND"})
    taken, (first, _, _) = looked_up(answer)
    assert taken == RefundTaken("refund-1", done=done)
    assert first == "GET /api/v1.1/payment/transactions/?ids=refund-1&source=MESOMB HTTP/1.1"


def test_a_refund_that_failed_has_not_gone_back():
    with pytest.raises(ProviderRefused):
        looked_up(rows({"pk": "refund-1", "status": "FAILED"}))


@pytest.mark.parametrize(
    "behaviour",
    [
        saying([]),
        rows({}),
        rows({"pk": "refund-1"}, {"pk": "refund-1"}),
        rows({"pk": "refund-1", "status": "LOST"}),
        HTML,
        sending(b""),
    ],
)
def test_a_refund_that_is_not_found_is_not_absent(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        looked_up(behaviour)


def test_a_refusal_of_our_credentials_says_nothing_of_a_refund():
    with pytest.raises(ProviderUnreachable):
        looked_up(saying({"detail": "no"}, "403 Forbidden"))


def test_a_refund_without_an_id_cannot_be_looked_for():
    provider = mesomb.make({"channels/mesomb": SECRET}.__getitem__)
    with pytest.raises(ProviderUncertain):
        provider.look_up_refund(payment_of(receipt=PK), Refund(1, 1_000))
