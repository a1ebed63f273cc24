"""Pushes in Kenya: what we ask, what we are told, and that one receipt is one payment."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import asking, daraja, daraja_stk
from chalicelib.channels.checkouts import ProviderUnavailable
from chalicelib.channels.daraja_api import SECRET, Daraja
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Payment, Refund, Status
from chalicelib.runtime.one_call import Answer, NoAnswer, NotSent
from chalicelib.runtime.sealed_for import BadPublicKey, sealed_for
from chalicelib.runtime.sessions import Sessions
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    NotAtProvider,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    ProviderUnreachable,
    RefundTaken,
    RefusalClass,
    SecretMissing,
    TryAgain,
)
from tests.unit.channels.front_desk import NOW, FrontDesk

KEY = generate_private_key(65537, 2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
CONTENT: dict[str, Any] = {
    "short_code": "600966",
    "path_secrets": ["p1", "p2"],
    "addresses": ["196.201.214.0/24"],
    "api": {
        "base_url": "https://api.daraja.example",
        "consumer_key": "ck",
        "consumer_secret": "cs",
        "passkey": "pk",
        "initiator": "mwanga",
        "initiator_password": "secret!",
        "public_key": PEM,
        "public_url": "https://pay.example/api",
    },
}
ADDRESS = "196.201.214.200"
RECEIPT = "SKC82PACB8"

Reply = tuple[int, Any] | Exception


@dataclass
class Safaricom:
    """Answers each call from the script, and keeps what it was asked."""

    script: list[Reply] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    log_ins: int = 0

    def call(
        self, method: str, url: str, headers: Any, seconds: float, body: bytes | None, tls: Any
    ) -> Answer:
        """In the place of one call over the network."""
        path = url.removeprefix("https://api.daraja.example")
        if path.startswith("/oauth"):
            self.log_ins += 1
            reply: Reply = (200, {"access_token": f"t{self.log_ins}", "expires_in": "3599"})
            if self.script and isinstance(self.script[0], tuple) and self.script[0][0] == 0:
                reply = self.script.pop(0)[1]  # type: ignore[index]
        else:
            self.asked.append((method, path, dict(headers), json.loads(body) if body else None))
            reply = self.script.pop(0)
        if isinstance(reply, Exception):
            raise reply
        status, content = reply
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        return Answer(status, text)


@pytest.fixture
def safaricom() -> Iterator[Safaricom]:
    answers = Safaricom()
    with (
        patch.object(asking, "call", answers.call),
        patch.object(daraja_stk, "AT_CHECKOUTS", Sessions()),
    ):
        yield answers


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({SECRET: CONTENT})


TAKEN = (200, {"ResponseCode": "0", "CheckoutRequestID": "ws_CO_1", "MerchantRequestID": "m"})


def checkout(desk: FrontDesk, **changes: Any) -> ProviderAnswer:
    fields = {"serial_number": "SM5R00123", "amount": "250.00", "phone": "0712000001", **changes}
    body = json.dumps({name: value for name, value in fields.items() if value is not None})
    headers = {"Content-Type": "application/json"}
    return daraja_stk.checkout(ProviderRequest("POST", {}, headers, body.encode(), ""), desk)


@pytest.fixture
def pushed(desk: FrontDesk, safaricom: Safaricom) -> Payment:
    safaricom.script = [TAKEN]
    return desk.stored[checkout(desk).body["payment_id"]]


def callback(code: object = 0, **changes: Any) -> dict[str, Any]:
    items = {
        "Amount": 250.0,
        "MpesaReceiptNumber": RECEIPT,
        "TransactionDate": 20260108120000,
        "PhoneNumber": 254712000001,
        **changes,
    }
    told: dict[str, Any] = {
        "MerchantRequestID": "m",
        "CheckoutRequestID": "ws_CO_1",
        "ResultCode": code,
        "ResultDesc": "ok",
    }
    if code == 0:
        named = [{"Name": name, "Value": value} for name, value in items.items()]
        told["CallbackMetadata"] = {"Item": [*named, {"Name": "Balance"}]}
    return {"Body": {"stkCallback": told}}


def post(
    desk: FrontDesk,
    payment: Payment,
    body: Any,
    secret: str = "p2",
    address: str = ADDRESS,
) -> ProviderAnswer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    path = {"path_secret": secret, "reference": payment.reference}
    return daraja_stk.result(ProviderRequest("POST", path, {}, raw, address), desk)


# --- the push -------------------------------------------------------------------------------------


def test_a_push_is_stored_before_safaricom_is_asked_and_names_our_reference(
    desk: FrontDesk, safaricom: Safaricom
) -> None:
    safaricom.script = [TAKEN]
    answer = checkout(desk)
    reference = answer.body["reference"]
    payment = desk.stored[f"mpesa_ke.600966-{reference}"]
    assert (answer.status, payment.status, payment.channel) == (201, Status.PENDING, "daraja_stk")
    assert payment.known_as == {"checkout_request_id": "ws_CO_1"}
    [(method, path, headers, asked)] = safaricom.asked
    assert (method, path) == ("POST", "/mpesa/stkpush/v1/processrequest")
    assert headers["Authorization"] == "Bearer t1"
    word = f"600966pk{asked['Timestamp']}".encode()
    assert asked == {
        "BusinessShortCode": "600966",
        "Password": base64.b64encode(word).decode(),
        "Timestamp": "20260108120000",  # nine o'clock in UTC
        "TransactionType": "CustomerPayBillOnline",
        "Amount": 250,
        "PartyA": "254712000001",
        "PartyB": "600966",
        "PhoneNumber": "254712000001",
        "CallBackURL": f"https://pay.example/api/payments/daraja_stk/p1/{reference}/result",
        "AccountReference": reference,
        "TransactionDesc": "SM5R00123",
    }
    assert len(reference) == 12 and reference.isalnum()


def test_the_session_is_kept_and_renewed_once_when_it_is_refused(
    desk: FrontDesk, safaricom: Safaricom
) -> None:
    safaricom.script = [TAKEN, TAKEN, (404, {"errorCode": "404.001.03"}), TAKEN]
    for _ in range(3):
        checkout(desk)
    assert safaricom.log_ins == 2


def test_what_would_be_refused_asks_nobody(desk: FrontDesk, safaricom: Safaricom) -> None:
    desk.refusal = Refusal.UNKNOWN_DEVICE
    with pytest.raises(Refused):
        checkout(desk)
    with pytest.raises(InvalidAmount):
        checkout(desk, amount="250.50")
    for changes in ({"phone": None}, {"phone": "12"}, {"serial_number": " "}, {"extra": "1"}):
        with pytest.raises(MwangaError):
            checkout(desk, **changes)
    assert safaricom.asked == []


@pytest.mark.parametrize(
    "reply", [(400, {"errorCode": "400.002.02", "errorMessage": "Bad"}), NotSent("refused")]
)
def test_a_push_that_was_surely_not_taken_is_over(
    desk: FrontDesk, safaricom: Safaricom, reply: Reply
) -> None:
    safaricom.script = [reply]
    with pytest.raises(ProviderUnavailable):
        checkout(desk)
    [payment] = desk.stored.values()
    assert payment.status is Status.EXPIRED


@pytest.mark.parametrize(
    "reply",
    [
        NoAnswer("time-out"),
        (500, {"errorCode": "500.001.1001"}),
        (200, {"ResponseCode": "0"}),
        (200, b"<html>"),
        (302, {}),
    ],
)
def test_a_push_of_which_nobody_knows_stays_pending(
    desk: FrontDesk, safaricom: Safaricom, reply: Reply
) -> None:
    safaricom.script = [reply]
    with pytest.raises(ProviderUnavailable):
        checkout(desk)
    [payment] = desk.stored.values()
    assert payment.status is Status.PENDING


@pytest.mark.parametrize(
    "reply", [(401, {}), NoAnswer("time-out"), NotSent("refused"), (200, {}), (500, b"")]
)
def test_without_a_session_nothing_was_asked(
    desk: FrontDesk, safaricom: Safaricom, reply: Reply
) -> None:
    safaricom.script = [(0, reply)]
    with pytest.raises(ProviderUnavailable):
        checkout(desk)
    [payment] = desk.stored.values()
    assert (payment.status, safaricom.asked) == (Status.EXPIRED, [])


# --- the result -----------------------------------------------------------------------------------


def test_a_yes_makes_it_paid_under_its_receipt(desk: FrontDesk, pushed: Payment) -> None:
    answer = post(desk, pushed, callback())
    assert (answer.status, answer.body["ResultCode"]) == (200, 0)
    paid = desk.stored[pushed.payment_id]
    assert (paid.status, paid.receipt) == (Status.RECEIVED, RECEIPT)
    assert paid.moment == datetime(2026, 1, 8, 9, 0, tzinfo=UTC)
    assert post(desk, pushed, callback()).status == 200
    assert post(desk, pushed, callback(MpesaReceiptNumber="OTHER00001")).status == 200
    assert desk.stored[pushed.payment_id] == paid


def test_another_amount_is_a_conflict_and_credits_nothing(desk: FrontDesk, pushed: Payment) -> None:
    assert post(desk, pushed, callback(Amount=900)).status == 200
    assert desk.stored[pushed.payment_id].status is Status.PENDING
    assert desk.journal.reasons[-1] == "reference_conflict"


@pytest.mark.parametrize("code", [1, 1032, 1037, 2001, "1"])
def test_a_no_is_only_a_hint(desk: FrontDesk, pushed: Payment, code: object) -> None:
    assert post(desk, pushed, callback(code)).status == 200
    assert desk.hints == [pushed.payment_id]
    assert desk.stored[pushed.payment_id].status is Status.PENDING


@pytest.mark.parametrize(
    ("secret", "address", "status"),
    [("p3", ADDRESS, 404), ("", ADDRESS, 404), ("p1", "1.2.3.4", 403)],
)
def test_nobody_else_is_believed(
    desk: FrontDesk, pushed: Payment, secret: str, address: str, status: int
) -> None:
    assert post(desk, pushed, callback(), secret, address).status == status
    assert desk.stored[pushed.payment_id].status is Status.PENDING


def _without(name: str) -> dict[str, Any]:
    told = callback()
    items = told["Body"]["stkCallback"]["CallbackMetadata"]["Item"]
    told["Body"]["stkCallback"]["CallbackMetadata"]["Item"] = [
        item for item in items if item["Name"] != name
    ]
    return told


def _with(**changes: Any) -> dict[str, Any]:
    told = callback()
    told["Body"]["stkCallback"].update(changes)
    return told


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"\xff", b"{}", b'{"Body":5}', b" " * 70_000),
        *(_without("Amount"), _without("MpesaReceiptNumber")),
        *(
            callback(Amount="many"),
            callback(Amount=0),
            callback(Amount=-1),
            callback(Amount=10**30),
        ),
        *(callback(MpesaReceiptNumber="a b"), callback(MpesaReceiptNumber=None)),
        *(_with(CheckoutRequestID="another"), _with(CallbackMetadata=None), _with(ResultCode=None)),
        _with(CallbackMetadata={"Item": [{"Name": "Amount", "Value": 1}] * 2}),
    ],
)
def test_what_cannot_be_read_changes_nothing(desk: FrontDesk, pushed: Payment, body: Any) -> None:
    assert post(desk, pushed, body).status == 400
    assert desk.stored[pushed.payment_id] == pushed
    assert desk.hints == []


def test_a_result_of_a_push_that_we_did_not_start_is_noted(
    desk: FrontDesk, pushed: Payment
) -> None:
    stranger = replace(pushed, reference="MW0123456789")
    assert post(desk, stranger, callback()).status == 200
    assert desk.journal.reasons[-1] == "not_found"
    assert post(desk, replace(pushed, reference="x/../y"), callback()).status == 400


@pytest.mark.parametrize("failure", [TryAgain(), SecretMissing("x")])
def test_what_was_not_stored_must_be_sent_again(
    desk: FrontDesk, pushed: Payment, failure: MwangaError
) -> None:
    desk.failure = failure
    assert post(desk, pushed, callback()).status == 503


@given(body=st.binary(max_size=300))
def test_whatever_the_bytes_nothing_breaks(body: bytes) -> None:
    path = {"path_secret": "p1", "reference": "MW0123456789"}
    sent = ProviderRequest("POST", path, {}, body, ADDRESS)
    assert daraja_stk.result(sent, FrontDesk({SECRET: CONTENT})).status == 400


# --- one receipt, one payment ---------------------------------------------------------------------


def c2b(desk: FrontDesk, account: str, amount: str = "250.00", *, ask: bool = False) -> Any:
    body = {
        "TransID": RECEIPT,
        "TransAmount": amount,
        "BillRefNumber": account,
        "BusinessShortCode": "600966",
        "TransTime": "20260108120000",
    }
    path = {"path_secret": "p1"}
    sent = ProviderRequest("POST", path, {}, json.dumps(body).encode(), ADDRESS)
    return (daraja.validation if ask else daraja.confirmation)(sent, desk).body["ResultCode"]


def test_a_confirmation_of_a_push_is_that_push(desk: FrontDesk, pushed: Payment) -> None:
    assert c2b(desk, pushed.reference.lower()) == 0
    assert post(desk, pushed, callback()).status == 200
    paid = desk.stored[pushed.payment_id]
    assert (paid.status, paid.receipt, desk.claims) == (Status.RECEIVED, RECEIPT, [])
    assert list(desk.stored) == [pushed.payment_id]


def test_a_question_about_a_push_is_answered_yes_if_it_is_the_one(
    desk: FrontDesk, pushed: Payment
) -> None:
    assert c2b(desk, pushed.reference, ask=True) == "0"
    assert c2b(desk, pushed.reference, "900.00", ask=True) == "C2B00013"
    assert c2b(desk, "MW0123456789", ask=True) == "C2B00012"
    assert desk.questions == []


# --- asking ---------------------------------------------------------------------------------------


@pytest.fixture
def provider(desk: FrontDesk, safaricom: Safaricom) -> Daraja:
    return daraja_stk.make(desk.secret)


def test_a_push_that_is_still_running_is_not_paid_yet(
    provider: Daraja, safaricom: Safaricom, pushed: Payment
) -> None:
    safaricom.script = [(500, {"errorCode": "500.001.1001"}), (200, {"ResultCode": "4999"})]
    assert (provider.verify(pushed), provider.verify(pushed)) == (None, None)
    assert safaricom.asked[-1][1] == "/mpesa/stkpushquery/v1/query"
    assert safaricom.asked[-1][3]["CheckoutRequestID"] == "ws_CO_1"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((200, {"ResultCode": "0"}), ProviderUncertain),
        ((200, {"ResultCode": "1032"}), ProviderRefused),
        ((200, {"ResultCode": "odd"}), ProviderRefused),
        ((200, {}), ProviderUncertain),
        ((503, {"ResultCode": "1032"}), ProviderUncertain),
        ((200, b"<html>"), ProviderUncertain),
        (NoAnswer("time-out"), ProviderUncertain),
        (NotSent("refused"), ProviderUnreachable),
    ],
)
def test_what_a_query_means(
    provider: Daraja,
    safaricom: Safaricom,
    pushed: Payment,
    reply: Reply,
    error: type[MwangaError],
) -> None:
    safaricom.script = [reply]
    with pytest.raises(error):
        provider.verify(pushed)


def test_credentials_that_are_refused_say_nothing_of_the_push(
    provider: Daraja, safaricom: Safaricom, pushed: Payment
) -> None:
    safaricom.script = [(401, {}), (401, {})]
    with pytest.raises(ProviderRefused) as refused:
        provider.verify(pushed)
    assert refused.value.code == NOT_KNOWN_THERE


def test_a_push_whose_name_was_lost_cannot_be_asked_about(
    provider: Daraja, pushed: Payment
) -> None:
    with pytest.raises(ProviderUncertain):
        provider.verify(replace(pushed, known_as={}))


# --- the list of all payments ---------------------------------------------------------------------


def row(**changes: Any) -> dict[str, Any]:
    return {
        "transactionId": RECEIPT,
        "trxDate": "2026-01-08T12:00:00+03:00",
        "msisdn": 254712000001,
        "billreference": "SM5R00123",
        "amount": "250",
        **changes,
    }


def page(*rows: dict[str, Any]) -> Reply:
    return 200, {"ResponseCode": "1000", "Response": [list(rows)]}


END: Reply = (200, {"ResponseCode": "1001", "Response": [[]]})


def test_the_list_is_read_to_its_end_and_tells_claims_and_pushes(
    provider: Daraja, safaricom: Safaricom
) -> None:
    pushed_row = row(
        transactionId="R2", billreference="MW0123456789", trxDate="2026-01-08 12:00:00"
    )
    safaricom.script = [page(row(), pushed_row), page(row(amount="x"), row(transactionId="")), END]
    found = list(provider.payments_between(NOW - timedelta(hours=1), NOW))
    claim = found[0].claim
    assert claim is not None
    assert (claim.source, claim.transaction, claim.serial_number, claim.amount_minor) == (
        *("mpesa_ke.600966", RECEIPT, "SM5R00123", 25000),
    )
    assert (claim.proven, claim.paid_at) == (True, NOW)
    assert found[1].payment_id == "mpesa_ke.600966-MW0123456789"
    assert found[1].paid is not None and found[1].paid.shared_pot and found[1].paid.proven
    assert len(found) == 2
    offsets = [asked["OffSetValue"] for _, _, _, asked in safaricom.asked]
    assert offsets == ["0", "2", "4"]
    assert safaricom.asked[0][3]["StartDate"] == "2026-01-08 11:00:00"


@pytest.mark.parametrize(
    "reply", [(200, {}), (500, {"ResponseCode": "1000"}), (200, {"Response": 5})]
)
def test_a_list_that_is_none_tells_nothing(
    provider: Daraja, safaricom: Safaricom, reply: Reply
) -> None:
    safaricom.script = [reply]
    with pytest.raises(ProviderUncertain):
        list(provider.payments_between(NOW - timedelta(hours=1), NOW))


def test_a_list_without_an_end_is_given_up(provider: Daraja, safaricom: Safaricom) -> None:
    safaricom.script = [page(row())] * 500
    with pytest.raises(ProviderUncertain):
        list(provider.payments_between(NOW - timedelta(hours=1), NOW))


# --- reversals ------------------------------------------------------------------------------------


@pytest.fixture
def paid(desk: FrontDesk, pushed: Payment) -> Payment:
    post(desk, pushed, callback())
    return desk.stored[pushed.payment_id]


REFUND = Refund(1, 25000)


def test_a_reversal_is_asked_for_by_the_receipt_with_a_sealed_credential(
    provider: Daraja, safaricom: Safaricom, paid: Payment
) -> None:
    safaricom.script = [(200, {"ResponseCode": "0", "ConversationID": "AG_1"})]
    assert provider.refund(paid, REFUND) == RefundTaken("AG_1")
    asked = safaricom.asked[-1][3]
    sealed = base64.b64decode(asked.pop("SecurityCredential"))
    assert KEY.decrypt(sealed, PKCS1v15()) == b"secret!"
    result = f"https://pay.example/api/payments/daraja/p1/reversals/{paid.reference}"
    assert asked == {
        "Initiator": "mwanga",
        "CommandID": "TransactionReversal",
        "TransactionID": RECEIPT,
        "Amount": 250,
        "ReceiverParty": "600966",
        "RecieverIdentifierType": "11",
        "ResultURL": result,
        "QueueTimeOutURL": result,
        "Remarks": "No such device",
    }


@pytest.mark.parametrize(
    ("reply", "meant"),
    [
        ((400, {"errorCode": "R000001"}), RefundTaken(done=True)),
        ((200, {"ResultCode": "R000001"}), RefundTaken(done=True)),
        ((400, {"errorCode": "R000002", "errorMessage": "Invalid id"}), ProviderRefused),
        ((200, {"ResponseCode": "1"}), ProviderUncertain),
        ((500, {}), ProviderUncertain),
        ((200, b"<html>"), ProviderUncertain),
        (NoAnswer("time-out"), ProviderUncertain),
        (NotSent("refused"), ProviderUnreachable),
    ],
)
def test_what_an_answer_to_a_reversal_means(
    provider: Daraja, safaricom: Safaricom, paid: Payment, reply: Reply, meant: Any
) -> None:
    safaricom.script = [reply]
    if isinstance(meant, RefundTaken):
        assert provider.refund(paid, REFUND) == meant
    else:
        with pytest.raises(meant):
            provider.refund(paid, REFUND)


def test_a_key_that_cannot_be_used_is_no_configuration(
    desk: FrontDesk, safaricom: Safaricom, paid: Payment
) -> None:
    desk.secrets[SECRET] = {**CONTENT, "api": {**CONTENT["api"], "public_key": "none"}}
    with pytest.raises(SecretMissing):
        daraja_stk.make(desk.secret).refund(paid, REFUND)


def test_a_reversal_is_of_whole_shillings(provider: Daraja, paid: Payment) -> None:
    with pytest.raises(ProviderRefused):
        provider.refund(paid, Refund(1, 25050))


def test_a_reversal_that_was_taken_waits_for_its_result(provider: Daraja, paid: Payment) -> None:
    assert provider.look_up_refund(paid, replace(REFUND, reference="AG_1")) == RefundTaken("AG_1")
    with pytest.raises(NotAtProvider):
        provider.look_up_refund(paid, REFUND)


def told_result(desk: FrontDesk, payment: Payment, body: Any, secret: str = "p1") -> int:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    path = {"path_secret": secret, "reference": payment.reference}
    return daraja.reversal_result(ProviderRequest("POST", path, {}, raw, ADDRESS), desk).status


@pytest.mark.parametrize(
    ("code", "told"),
    [(0, RefundTaken(done=True)), ("R000001", RefundTaken(done=True)), (2001, "failed_2001")],
)
def test_a_result_ends_the_refund_or_fails_it(
    desk: FrontDesk, paid: Payment, code: object, told: object
) -> None:
    assert told_result(desk, paid, {"Result": {"ResultCode": code}}) == 200
    assert desk.told == [(paid.payment_id, 0, told)]


def test_what_is_no_clear_result_is_no_news(desk: FrontDesk, paid: Payment) -> None:
    assert told_result(desk, paid, {"Result": {"ResultCode": ""}}) == 200
    assert told_result(desk, replace(paid, reference="NONE1"), {"Result": {"ResultCode": 0}}) == 200
    assert desk.told == []


def test_results_come_from_safaricom_alone(desk: FrontDesk, paid: Payment) -> None:
    good = {"Result": {"ResultCode": 0}}
    assert told_result(desk, paid, good, "wrong") == 404
    assert told_result(desk, paid, b"{}") == 400
    assert told_result(desk, replace(paid, reference="a b"), good) == 400
    desk.failure = TryAgain()
    assert told_result(desk, paid, good) == 503
    assert desk.told == []


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_may_come_as_pem_or_alone() -> None:
    der = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for key in (PEM, base64.b64encode(der).decode()):
        assert KEY.decrypt(base64.b64decode(sealed_for(key, b"x")), PKCS1v15()) == b"x"
    for bad in ("", "no key", "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"):
        with pytest.raises(BadPublicKey):
            sealed_for(bad, b"x")
    with pytest.raises(BadPublicKey):
        sealed_for(PEM, b"x" * 1000)


def test_the_channel_says_what_it_is() -> None:
    channel = daraja_stk.CHANNEL
    assert channel.refusal_class is RefusalClass.WE_START
    assert (channel.secret, channel.payer_needs) == ("channels/daraja", "phone")
    assert channel.starts_payments and channel.can_refund
