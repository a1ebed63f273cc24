"""M-Pesa Mozambique, pushed: what a worker asks Vodacom, and what each answer means for money."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import asking, vodacom_mz
from chalicelib.channels.interface import FieldErrors, TooLarge, UnsupportedMediaType
from chalicelib.channels.strict_json import Malformed
from chalicelib.channels.vodacom_mz import CHANNEL, VodacomMzProvider
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Claim, Payment, Refund, Status, started
from chalicelib.runtime.one_call import Answer, call
from chalicelib.services.phones import InvalidPhone
from chalicelib.services.ports import (
    OutcomeUnknown,
    Paid,
    ProviderAnswer,
    ProviderRefused,
    ProviderUncertain,
    ProviderUnreachable,
    QueueUnavailable,
    RecoveryClass,
    RefundTaken,
    RefusalClass,
    SecretMissing,
    Settings,
    TryAgain,
    charges,
)
from tests.unit.channels.front_desk import NOW, FrontDesk, only, post
from tests.unit.scripted_server import Behaviour, answering, nobody, saying, sending, serving

NAME = "channels/vodacom_mz"
KEY_PAIR = generate_private_key(65537, 2048)
PUBLIC_KEY = base64.b64encode(
    KEY_PAIR.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()
SECRET: dict[str, Any] = {
    "collect_url": "https://api.vodacom.example:18352",
    "query_url": "https://api.vodacom.example:18353",
    "reversal_url": "https://api.vodacom.example:18354",
    "api_key": "demo-api-key",
    "public_key": PUBLIC_KEY,
    "origin": "company.example",
    "service_provider_code": "171717",
    "initiator_identifier": "MPesa2018",
    "security_credential": "a-credential",
    "currency": "MZN",
}
REFERENCE = "0F1E2D3C4B5A69788796"
PAYMENT_ID = f"mpesa_mz.171717-{REFERENCE}"
MZN = Settings(currency="MZN", currency_decimals=2, country="MZ")


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({NAME: SECRET}, company=MZN)


def payment_of(amount_minor: int = 250_00, currency: str = "MZN", **changes: Any) -> Payment:
    claim = Claim(
        channel="vodacom_mz",
        source="mpesa_mz.171717",
        transaction=REFERENCE,
        reference=REFERENCE,
        serial_number="SM5R00123",
        amount_minor=amount_minor,
        currency=currency,
        payer_phone="+258840000001",
    )
    pending = started(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(pending, **changes)


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "vodacom_mz"
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert CHANNEL.can_refund
    assert CHANNEL.starts_payments
    assert CHANNEL.payer_needs == "phone"
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/vodacom_mz/checkouts")
    ]


def test_the_provider_is_one_that_a_worker_asks_to_charge():
    asked = vodacom_mz.make({NAME: SECRET}.__getitem__)
    assert charges(asked)
    assert asked.timeout_seconds == 120
    assert asked.refund_recovery is RecoveryClass.OPAQUE
    assert not asked.full_refunds_only


# === checkouts ====================================================================================

CHECKOUT = {"serial_number": "sm5r-00123", "amount": "250.00", "phone": "84 000 0001"}


def check_out(desk: FrontDesk, **changes: Any) -> ProviderAnswer:
    return vodacom_mz.checkout(post({**CHECKOUT, **changes}), desk)


def test_a_checkout_is_stored_and_left_to_a_worker(desk: FrontDesk):
    answer = check_out(desk)
    payment = only(desk)
    assert (answer.status, answer.body) == (
        201,
        {"payment_id": payment.payment_id, "reference": payment.reference},
    )
    assert payment.status is Status.PENDING
    assert payment.payment_id == f"mpesa_mz.171717-{payment.reference}"
    assert (payment.amount_minor, payment.currency) == (250_00, "MZN")
    assert (payment.serial_number, payment.payer_phone) == ("SM5R00123", "+258840000001")
    assert desk.hints == [payment.payment_id]


def test_references_are_short_enough_and_never_the_same(desk: FrontDesk):
    for _ in range(50):
        check_out(desk)
    references = {payment.reference for payment in desk.stored.values()}
    assert len(references) == 50
    assert all(re.fullmatch(r"[0-9A-F]{20}", reference) for reference in references)


@pytest.mark.parametrize("amount", ["0", "-1", "1e3", "", "1.001", "2000000", 500, True, [], "٥"])
def test_a_wrong_amount_is_refused(desk: FrontDesk, amount: object):
    with pytest.raises(InvalidAmount):
        check_out(desk, amount=amount)
    assert not desk.starts


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_is_left_to_nobody(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with pytest.raises(Refused):
        check_out(desk)
    assert not desk.stored
    assert not desk.hints


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown(), QueueUnavailable()])
def test_what_is_not_surely_stored_is_to_be_tried_again(desk: FrontDesk, failure: MwangaError):
    desk.failure = failure
    with pytest.raises(type(failure)):
        check_out(desk)
    assert not desk.hints


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"serial_number": None}, "serial_number"),
        ({"serial_number": 47000123456}, "serial_number"),
        ({"amount": None}, "amount"),
        ({"phone": None}, "phone"),
        ({"phone": 840000001}, "phone"),
        ({"email": "asha"}, "email"),
        ({"currency": "MZN"}, "currency"),
    ],
)
def test_a_field_that_is_wrong_missing_or_unknown_is_named(
    desk: FrontDesk, changes: dict[str, Any], field: str
):
    with pytest.raises(FieldErrors) as errors:
        check_out(desk, **changes)
    assert [e.field for e in errors.value.errors] == [field]
    assert not desk.starts


def test_a_checkout_that_is_none_is_turned_away(desk: FrontDesk):
    with pytest.raises(InvalidPhone):
        check_out(desk, phone="12")
    with pytest.raises(TooLarge):
        vodacom_mz.checkout(post(b" " * 70_000), desk)
    with pytest.raises(UnsupportedMediaType):
        vodacom_mz.checkout(post(CHECKOUT, "text/plain"), desk)
    for body in (b"", b"[]", b'{"amount":"1","amount":"2"}', b"\xff"):
        with pytest.raises(Malformed):
            vodacom_mz.checkout(post(body), desk)


@pytest.mark.parametrize(
    "changes",
    [
        {"collect_url": None},
        {"query_url": "api.vm.co.mz"},
        {"reversal_url": "ftp://api.vm.co.mz"},
        {"api_key": ""},
        {"api_key": "a\nX-Y: z"},
        {"public_key": None},
        {"origin": "a b"},
        {"service_provider_code": "17-17"},
        {"service_provider_code": 171717},
        {"initiator_identifier": None},
        {"security_credential": 1},
        {"currency": "ZZZ"},
        {"currency": None},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_started_or_asked(changes: dict[str, Any]):
    secret = {**SECRET, **changes}
    desk = FrontDesk({NAME: secret})
    with pytest.raises(SecretMissing):
        check_out(desk)
    asked = vodacom_mz.make({NAME: secret}.__getitem__)
    with pytest.raises(SecretMissing):
        asked.charge(payment_of())
    with pytest.raises(SecretMissing):
        asked.verify(payment_of())
    with pytest.raises(SecretMissing):
        asked.refund(PAID, REFUND)
    assert not desk.starts


@pytest.mark.parametrize("public_key", ["no key", base64.b64encode(b"no key").decode()])
def test_with_a_public_key_that_is_none_nothing_is_sent(public_key: str):
    with serving(told()) as server:
        with pytest.raises(SecretMissing):
            provider(server.url, public_key=public_key).charge(payment_of())
        assert server.connections == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*CHECKOUT, "email"]) | st.text(max_size=5), json_values))
def test_no_checkout_brings_an_error_that_we_did_not_mean(changes: dict[str, Any]):
    for body in (changes, {**CHECKOUT, **changes}):
        desk = FrontDesk({NAME: SECRET}, company=MZN)
        with suppress(MwangaError):
            assert vodacom_mz.checkout(post(body), desk).status == 201


# === what we ask ==================================================================================

Answered = TypeVar("Answered")
REFUND = Refund(1, 100_50)
PAID = payment_of(receipt="4XDF12345", status=Status.HELD)


def provider(url: str, **changes: Any) -> VodacomMzProvider:
    urls = dict.fromkeys(("collect_url", "query_url", "reversal_url"), url)
    return vodacom_mz.make({NAME: {**SECRET, **urls, **changes}}.__getitem__)


def told(code: object = "INS-0", status: str = "201 Created", **changes: Any) -> Behaviour:
    body = {
        "output_ResponseCode": code,
        "output_ResponseDesc": "Request processed successfully",
        "output_TransactionID": "4XDF12345",
        "output_ConversationID": "AG_20260108_0001",
    }
    return saying({**body, **changes}, status)


def queried(state: object = "Completed", **changes: Any) -> Behaviour:
    body = {
        "output_ResponseCode": "INS-0",
        "output_ResponseDesc": "Request processed successfully",
        "output_ResponseTransactionStatus": state,
        "output_ConversationID": "AG_20260108_0002",
        "output_ThirdPartyReference": REFERENCE,
    }
    return saying({**body, **changes})


def asked(
    question: Callable[[VodacomMzProvider], Answered], behaviour: Behaviour
) -> tuple[Answered, bytes]:
    """The answer to a question, and the one request that was made for it."""
    with serving(behaviour) as server:
        try:
            answer = question(provider(server.url))
        finally:
            assert server.connections == 1, "nothing is asked twice, whatever comes of it"
    return answer, server.requests[0]


def charged(behaviour: Behaviour) -> Paid | None:
    return asked(lambda p: p.charge(payment_of()), behaviour)[0]


def verified(behaviour: Behaviour, payment: Payment | None = None) -> Paid | None:
    return asked(lambda p: p.verify(payment or payment_of()), behaviour)[0]


def refunded(behaviour: Behaviour) -> RefundTaken:
    return asked(lambda p: p.refund(PAID, REFUND), behaviour)[0]


def body_of(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])


def check_shows_us(request: bytes) -> None:
    """That the request shows our API key, sealed so that only Vodacom reads it."""
    found = re.search(rb"\r\nAuthorization: Bearer (\S+)\r\n", request)
    assert found is not None
    assert KEY_PAIR.decrypt(base64.b64decode(found[1]), PKCS1v15()) == b"demo-api-key"
    assert b"\r\nOrigin: company.example\r\n" in request


UNCLEAR = [
    answering(b"<html>oops</html>", status="502 Bad Gateway"),
    answering(b"<html>forbidden</html>", status="401 Unauthorized"),
    told("INS-0", "500 Internal Server Error"),
    told("INS-0", "302 Found"),
    told("INS-0", "400 Bad Request"),
    told("INS-6", "500 Internal Server Error"),
    told("INS-5", "503 Service Unavailable"),
    told("INS-9", "408 Request Timeout"),
    told("INS-9"),
    told("INS-10", "409 Conflict"),
    told("INS-1", "500 Internal Server Error"),
    told("INS-2", "401 Unauthorized"),
    told("INS-16", "503 Service Unavailable"),
    told("INS-23", "400 Bad Request"),
    told("INS-99", "400 Bad Request"),
    told("ins-5", "400 Bad Request"),
    *(told(code) for code in (None, 0, "", "0", ["INS-0"], True, "\x00é")),
    told(output_ThirdPartyReference="F" * 20),
    saying({}),
    saying({"output_error": "Bearer token is not valid"}, "401 Unauthorized"),
    saying([{"output_ResponseCode": "INS-0"}]),
    answering(b'{"output_ResponseCode": "INS-5", "output_ResponseCode": "INS-0"}'),
    answering(b"", status="302 Found", headers="Location: https://elsewhere.example\r\n"),
    sending(b""),
    sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"),
]
"""Answers from which nothing follows, whatever was asked for."""

NO = [
    ("INS-5", "401 Unauthorized", "cancelled_by_payer"),
    ("INS-6", "401 Unauthorized", "failed"),
    ("INS-13", "400 Bad Request", "invalid_short_code"),
    ("INS-17", "400 Bad Request", "invalid_reference"),
    ("INS-2006", "422 Unprocessable Entity", "insufficient_balance"),
    ("INS-2051", "400 Bad Request", "invalid_phone"),
    ("INS-2051", "200 OK", "invalid_phone"),
]
"""The answers that surely say that no money has moved."""


@pytest.mark.parametrize("question", [charged, verified, refunded])
@pytest.mark.parametrize("behaviour", UNCLEAR)
def test_an_answer_that_tells_nothing_is_uncertain(
    question: Callable[[Behaviour], object], behaviour: Behaviour
):
    with pytest.raises(ProviderUncertain):
        question(behaviour)


@pytest.mark.parametrize("question", [charged, refunded])
@pytest.mark.parametrize(("code", "status", "reason"), NO)
def test_a_listed_no_is_a_no(
    question: Callable[[Behaviour], object], code: str, status: str, reason: str
):
    with pytest.raises(ProviderRefused) as refused:
        question(told(code, status, output_TransactionID="N/A"))
    assert refused.value.code == reason


@pytest.mark.parametrize(("code", "status"), [(code, status) for code, status, _ in NO])
def test_a_query_that_failed_says_nothing_of_the_payment(code: str, status: str):
    with pytest.raises(ProviderUncertain):
        verified(told(code, status))


def test_a_provider_that_was_not_reached_was_asked_for_nothing():
    unreachable = provider(nobody())
    for question in (
        lambda: unreachable.charge(payment_of()),
        lambda: unreachable.verify(payment_of()),
        lambda: unreachable.refund(PAID, REFUND),
    ):
        with pytest.raises(ProviderUnreachable):
            question()


def test_a_charge_waits_for_two_minutes_and_other_calls_for_half_a_one():
    waited: list[float] = []

    def hurried(method: str, url: str, headers: Any, seconds: float, *rest: Any) -> Answer:
        waited.append(seconds)
        return call(method, url, headers, 0.2, *rest)

    with (
        serving(lambda connection: connection.recv(1) and None) as server,
        patch.object(asking, "call", hurried),
    ):
        slow = provider(server.url)
        for question in (
            lambda: slow.charge(payment_of()),
            lambda: slow.verify(payment_of()),
            lambda: slow.refund(PAID, REFUND),
        ):
            with pytest.raises(ProviderUncertain):
                question()
    assert waited == [120, 30, 30]


# --- charging -------------------------------------------------------------------------------------


def test_a_payer_is_asked_exactly_as_vodacom_expects():
    paid, request = asked(
        lambda p: p.charge(payment_of()), told(output_ThirdPartyReference=REFERENCE)
    )
    assert paid == Paid("4XDF12345", 250_00, "MZN")
    assert request.startswith(b"POST /ipg/v1x/c2bPayment/singleStage/ HTTP/1.1\r\n")
    check_shows_us(request)
    assert body_of(request) == {
        "input_TransactionReference": REFERENCE,
        "input_CustomerMSISDN": "258840000001",
        "input_Amount": "250",
        "input_ThirdPartyReference": REFERENCE,
        "input_ServiceProviderCode": "171717",
    }


@pytest.mark.parametrize(
    ("amount_minor", "written"), [(250_50, "250.50"), (1, "0.01"), (5_000_000_00, "5000000")]
)
def test_amounts_are_written_without_needless_decimals(amount_minor: int, written: str):
    _, request = asked(lambda p: p.charge(payment_of(amount_minor)), told())
    assert body_of(request)["input_Amount"] == written


@pytest.mark.parametrize("transaction", [None, "", "N/A", "a/b", "x" * 41, [1]])
def test_a_yes_without_a_transaction_is_uncertain(transaction: object):
    with pytest.raises(ProviderUncertain):
        charged(told(output_TransactionID=transaction))


@pytest.mark.parametrize(("amount_minor", "currency"), [(12_345, "TND"), (500, "ZZZ")])
def test_an_amount_that_vodacom_does_not_take_is_never_sent(amount_minor: int, currency: str):
    with serving(told()) as server:
        with pytest.raises(ProviderRefused):
            provider(server.url).charge(payment_of(amount_minor, currency))
        assert server.connections == 0


# --- what became of it ----------------------------------------------------------------------------


def test_a_push_is_looked_up_by_our_reference():
    paid, request = asked(
        lambda p: p.verify(payment_of()), queried(output_TransactionID="4XDF12345")
    )
    assert paid == Paid("4XDF12345", 250_00, "MZN")
    assert request.startswith(
        b"GET /ipg/v1x/queryTransactionStatus/?input_QueryReference=%s"
        b"&input_ThirdPartyReference=%s&input_ServiceProviderCode=171717 HTTP/1.1\r\n"
        % (REFERENCE.encode(), REFERENCE.encode())
    )
    check_shows_us(request)


@pytest.mark.parametrize("transaction", [None, "", "N/A"])
def test_a_push_whose_transaction_nobody_names_goes_by_our_reference(transaction: object):
    paid = verified(queried(output_TransactionID=transaction))
    assert paid == Paid(REFERENCE, 250_00, "MZN")


def test_while_the_reply_to_the_charge_may_come_its_receipt_is_waited_for():
    now = datetime.now(UTC)
    waiting = payment_of(asked_at=now - timedelta(seconds=60))
    assert verified(queried(), waiting) is None
    assert verified(queried(output_TransactionID="4XDF12345"), waiting) is not None
    over = payment_of(asked_at=now - timedelta(seconds=121))
    assert verified(queried(), over) == Paid(REFERENCE, 250_00, "MZN")


def test_a_push_that_vodacom_does_not_know_is_not_paid_yet():
    assert verified(queried("N/A")) is None


@pytest.mark.parametrize(("state", "code"), [("Cancelled", "cancelled"), ("Expired", "expired")])
def test_a_push_that_is_over_is_refused(state: str, code: str):
    with pytest.raises(ProviderRefused) as refused:
        verified(queried(state))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "behaviour",
    [
        *(queried(state) for state in (None, "", "completed", "Reversed", 1, ["Completed"])),
        queried(output_ThirdPartyReference="F" * 20),
        queried(output_ResponseCode="INS-6"),
        queried(output_TransactionID="a/b"),
    ],
)
def test_a_query_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        verified(behaviour)


# --- giving back ----------------------------------------------------------------------------------


def test_a_reversal_is_asked_for_exactly_as_vodacom_expects():
    taken, request = asked(lambda p: p.refund(PAID, REFUND), told(output_TransactionID="4XDF99999"))
    assert taken == RefundTaken("4XDF99999", done=True)
    assert request.startswith(b"PUT /ipg/v1x/reversal/ HTTP/1.1\r\n")
    check_shows_us(request)
    sent = body_of(request)
    assert re.fullmatch(r"[0-9A-F]{20}", sent.pop("input_ThirdPartyReference"))
    assert sent == {
        "input_TransactionID": "4XDF12345",
        "input_SecurityCredential": "a-credential",
        "input_InitiatorIdentifier": "MPesa2018",
        "input_ServiceProviderCode": "171717",
        "input_ReversalAmount": "100.50",
    }


def test_each_refund_has_one_name_of_its_own():
    def name_of(payment: Payment, number: int) -> object:
        refund = Refund(number, 100_00)
        _, request = asked(lambda p: p.refund(payment, refund), told())
        return body_of(request)["input_ThirdPartyReference"]

    other = payment_of(receipt="4XDF12345", payment_id=PAYMENT_ID[:-1] + "7")
    assert name_of(PAID, 1) == name_of(PAID, 1)
    assert len({name_of(PAID, 1), name_of(PAID, 2), name_of(other, 1), REFERENCE}) == 4


def test_a_reversal_is_done_even_if_its_own_transaction_is_not_named():
    assert refunded(told(output_TransactionID=None)) == RefundTaken(done=True)


@pytest.mark.parametrize(
    ("payment", "amount_minor", "code"),
    [
        (payment_of(), 500, "no_receipt"),
        (payment_of(receipt=REFERENCE), 500, "no_receipt"),
        (payment_of(currency="TND", receipt="4XDF12345"), 12_345, "unusable_amount"),
        (payment_of(currency="ZZZ", receipt="4XDF12345"), 500, "unusable_amount"),
    ],
)
def test_a_refund_that_cannot_be_asked_for_is_refused_without_asking(
    payment: Payment, amount_minor: int, code: str
):
    with serving(told()) as server:
        with pytest.raises(ProviderRefused) as refused:
            provider(server.url).refund(payment, Refund(1, amount_minor))
        assert server.connections == 0
    assert refused.value.code == code


def test_a_reversal_cannot_be_looked_up():
    with pytest.raises(ProviderUncertain):
        provider(nobody()).look_up_refund(PAID, REFUND)
