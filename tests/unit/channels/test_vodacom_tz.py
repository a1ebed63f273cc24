"""M-Pesa Tanzania: the broker's word that money is reserved, and our result."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from unittest.mock import patch
from xml.etree.ElementTree import Element, fromstring
from xml.sax.saxutils import escape

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import vodacom_tz
from chalicelib.channels.vodacom_tz import CHANNEL, VodacomProvider
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.payment import Claim, Payment, Refund, Status, reserved
from chalicelib.runtime.one_call import Answer, call
from chalicelib.services.ports import (
    NotAtProvider,
    OutcomeUnknown,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    ProviderUnreachable,
    RecoveryClass,
    RefusalClass,
    SecretMissing,
    TryAgain,
    VersionConflict,
    reserves,
)
from tests.unit.channels.front_desk import NOW, FrontDesk
from tests.unit.scripted_server import Behaviour, answering, sending, serving
from tests.unit.tls_server import certificates, over_tls

ADDRESS, PATH_SECRET = "41.217.203.10", "new-path-secret"
PASSWORDS = ["test_password", "older_password"]
TIMESTAMP = "20260108120000"
VECTOR = "Zt48QUJ1noCfaWeVPD8VxctlbG8QiSJDSx36wzjWtww="
PAYMENT_ID = "mpesa_tz.888000-AB12CD34EF"
TRANSACTION = {
    "amount": "5000.0",
    "commandID": "Pay Bill",
    "initiator": "255744000001",
    "conversationID": "c-77",
    "originatorConversationID": "o-77",
    "recipient": "888000",
    "mpesaReceipt": "AB12CD34EF",
    "transactionDate": "2026-01-08 12:00:00",
    "accountReference": "sm5r 00123",
    "transactionID": "t-77",
}
IDS = ("conversationID", "originatorConversationID", "transactionID")


@cache
def initiator_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def secret(url: str = "https://broker.example/result", **changes: Any) -> dict[str, Any]:
    given = certificates()
    public = initiator_key().public_key()
    broker = {
        "url": url,
        "sp_password": "our-password",
        "service_id": "101",
        "initiator": "255744999999",
        "initiator_certificate": public.public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        ).decode(),
        **{part: given[part] for part in ("pkcs12", "pkcs12_password", "ca_certificate")},
    }
    return {
        "sp_id": "888000",
        "sp_passwords": PASSWORDS,
        "path_secrets": [PATH_SECRET, "old-path-secret"],
        "addresses": [ADDRESS, "41.217.204.0/24"],
        "currency": "TZS",
        "broker": broker,
        **changes,
    }


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({"channels/vodacom_tz": secret()})


def digest_by_definition(password: str, timestamp: str = TIMESTAMP, sp_id: str = "888000") -> str:
    raw = hashlib.sha256((sp_id + password + timestamp).encode()).digest()
    return base64.b64encode(raw).decode()


def elements(fields: Mapping[str, str | None]) -> str:
    given = {name: text for name, text in fields.items() if text is not None}
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in given.items())


def body(
    transaction: Mapping[str, str | None] = TRANSACTION,
    *,
    provider: Mapping[str, str | None] | None = None,
    namespace: str = "http://inforwise.co.tz/broker/",
) -> bytes:
    shown = {"spId": "888000", "spPassword": VECTOR, "timestamp": TIMESTAMP, **(provider or {})}
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><mpesaBroker xmlns="{namespace}" version="2.0">'
        f"<request><serviceProvider>{elements(shown)}</serviceProvider>"
        f"<transaction>{elements(transaction)}</transaction></request></mpesaBroker>"
    ).encode()


def post(
    desk: FrontDesk,
    raw: bytes | None = None,
    *,
    path_secret: str = PATH_SECRET,
    address: str = ADDRESS,
    **changes: str | None,
) -> ProviderAnswer:
    raw = body({**TRANSACTION, **changes}) if raw is None else raw
    parameters = {"path_secret": path_secret}
    return vodacom_tz.payment(ProviderRequest("POST", parameters, {}, raw, address), desk)


def local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def read(answer: ProviderAnswer) -> dict[str, str]:
    """The fields of an answer, which must have the broker's form."""
    assert answer.content_type == "text/xml; charset=utf-8"
    root = fromstring(answer.body)
    (response,) = root
    assert (local(root), local(response)) == ("mpesaBroker", "response")
    return {local(child): child.text or "" for child in response}


def was_received(answer: ProviderAnswer) -> bool:
    fields = read(answer)
    words = (fields["responseCode"], fields["responseDesc"], fields["serviceStatus"])
    assert words in (("0", "Received", "Success"), ("999", "Not received", "Failure"))
    assert (answer.status == 200) == (words[0] == "0")
    return answer.status == 200


# --- as data --------------------------------------------------------------------------------


def test_the_channel_states_its_route_as_data():
    assert CHANNEL.key == "vodacom_tz"
    assert CHANNEL.refusal_class is RefusalClass.TWO_PHASE
    assert not CHANNEL.can_refund
    assert [(e.method, e.path, e.content_types) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/vodacom_tz/{path_secret}", ())
    ]


def test_the_provider_reserves_money_and_gives_none_back():
    asked = vodacom_tz.make({"channels/vodacom_tz": secret()}.__getitem__)
    assert reserves(asked)
    assert asked.refund_recovery is RecoveryClass.OPAQUE
    with pytest.raises(ProviderRefused):
        asked.refund(payment_of(), Refund(1, 5_000_00))
    with pytest.raises(NotAtProvider):
        asked.look_up_refund(payment_of(), Refund(1, 5_000_00))


# --- money is reserved ------------------------------------------------------------------------


def test_reserved_money_is_stored_and_answered_with_its_ids(desk: FrontDesk):
    answer = post(desk)
    assert answer.status == 200
    assert read(answer) == {
        "conversationID": "c-77",
        "originatorConversationID": "o-77",
        "transactionID": "t-77",
        "responseCode": "0",
        "responseDesc": "Received",
        "serviceStatus": "Success",
    }
    assert desk.stored[PAYMENT_ID].status is Status.PENDING
    assert not desk.claims


def test_the_claim_holds_what_was_said(desk: FrontDesk):
    post(desk)
    (claim,) = desk.reservations
    assert (claim.channel, claim.source) == ("vodacom_tz", "mpesa_tz.888000")
    assert (claim.transaction, claim.reference) == ("AB12CD34EF", "AB12CD34EF")
    assert (claim.serial_number, claim.amount_minor, claim.currency) == (
        "SM5R00123",
        5_000_00,
        "TZS",
    )
    assert claim.payer_phone == "+255744000001"
    assert claim.paid_at == datetime(2026, 1, 8, 9, 0, tzinfo=UTC)
    assert claim.known_as == {
        "conversation_id": "c-77",
        "originator_conversation_id": "o-77",
        "transaction_id": "t-77",
        "initiator": "255744000001",
    }
    assert not claim.proven


@pytest.mark.parametrize("namespace", ["http://infowise.co.tz/broker/", "urn:any"])
def test_the_namespace_is_of_no_importance(desk: FrontDesk, namespace: str):
    assert was_received(post(desk, body(namespace=namespace)))


@pytest.mark.parametrize("refusal", list(Refusal))
def test_that_it_is_received_says_nothing_of_our_result(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    assert was_received(post(desk))
    assert desk.stored[PAYMENT_ID].reason == refusal.value


@pytest.mark.parametrize(
    ("amount", "amount_minor"), [("5000.0", 5_000_00), ("5000", 5_000_00), ("0.5", 50)]
)
def test_amounts_lose_no_digit(desk: FrontDesk, amount: str, amount_minor: int):
    post(desk, amount=amount)
    assert desk.reservations[0].amount_minor == amount_minor


@pytest.mark.parametrize(
    ("typed", "kept"), [("", "?"), (None, "?"), ("pay asha!", "pay asha!"), ("٣#", "٣#")]
)
def test_a_serial_that_is_none_is_reserved_and_refused_by_the_result(
    desk: FrontDesk, typed: str | None, kept: str
):
    assert was_received(post(desk, accountReference=typed))
    assert desk.reservations[0].serial_number == kept


@pytest.mark.parametrize("number", ["", None, "asha", "255", "9" * 50])
def test_a_payer_without_a_number_is_taken_without_one(desk: FrontDesk, number: str | None):
    assert was_received(post(desk, initiator=number))
    assert desk.reservations[0].payer_phone is None


@pytest.mark.parametrize(
    "text", ["", None, "yesterday", "2026-02-30 12:00:00", "20260108120000", "0001-01-01 00:00:00"]
)
def test_a_time_that_cannot_be_read_is_left_open(desk: FrontDesk, text: str | None):
    assert was_received(post(desk, transactionDate=text))
    assert desk.reservations[0].paid_at is None


def test_a_repeat_is_answered_alike_and_stored_once(desk: FrontDesk):
    assert post(desk) == post(desk)
    assert len(desk.stored) == 1


def test_another_claim_under_one_receipt_is_answered_with_success_and_noted(desk: FrontDesk):
    post(desk)
    assert was_received(post(desk, amount="9999"))
    assert desk.stored[PAYMENT_ID].amount_minor == 5_000_00
    assert desk.journal.reasons == ["reference_conflict"]


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown(), VersionConflict()])
def test_an_error_is_answered_when_the_money_was_not_stored(desk: FrontDesk, failure: MwangaError):
    desk.failure = failure
    answer = post(desk)
    assert (answer.status, was_received(answer)) == (503, False)
    assert read(answer)["transactionID"] == "t-77"
    assert desk.journal.reasons == [failure.code]


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": None},
        {"amount": ""},
        {"amount": "0.0"},
        {"amount": "-5"},
        {"amount": "1e3"},
        {"amount": "5000.001"},
        {"amount": "5,000"},
        {"amount": "٥٠٠٠"},
        {"amount": "9" * 30},
        {"mpesaReceipt": None},
        {"mpesaReceipt": ""},
        {"mpesaReceipt": "AB 12"},
        {"mpesaReceipt": "Ä1"},
        {"mpesaReceipt": "A" * 41},
        *[{name: text} for name in IDS for text in (None, "", "a b", "é", "x" * 101)],
    ],
)
def test_what_cannot_be_stored_is_an_error_and_an_alarm(
    desk: FrontDesk, changes: dict[str, str | None]
):
    answer = post(desk, **changes)
    assert (answer.status, was_received(answer)) == (400, False)
    assert not desk.reservations
    assert [metric for metric, _ in desk.journal.counts] == ["ReportsFailed"]


TWICE = body().replace(b"<amount>", b"<amount>1</amount><amount>")
NESTED = body().replace(b"5000.0", b"<b>5000.0</b>")
TWO_REQUESTS = body().replace(b"</mpesaBroker>", b"<request/></mpesaBroker>")
WITH_DOCTYPE = body().replace(b"<mpesaBroker", b"<!DOCTYPE a><mpesaBroker")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"<mpesaBroker>",
        b"\xff\xfe",
        b"<a>" * 99 + b"</a>" * 99,
        TWICE,
        NESTED,
        TWO_REQUESTS,
        WITH_DOCTYPE,
        body() + b" " * 70_000,
    ],
)
def test_a_body_that_cannot_be_read_is_an_error(desk: FrontDesk, raw: bytes):
    assert post(desk, raw).status == 400
    assert not desk.reservations
    assert desk.journal.reasons == ["malformed"]


def test_what_is_noted_names_no_person_and_no_secret(desk: FrontDesk):
    post(desk, amount="x")
    post(desk, body(provider={"spPassword": "x"}))
    post(desk, path_secret="wrong-secret")
    for word in ("255744", "wrong-secret", *PASSWORDS, VECTOR):
        assert word not in str(desk.journal.events)


# --- the heartbeat --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"<FailSafe>Company</FailSafe>",
        b'<?xml version="1.0"?><FailSafe xmlns="urn:x">Company</FailSafe>',
        b"<mpesaBroker><FailSafe>Company</FailSafe></mpesaBroker>",
    ],
)
def test_a_heartbeat_is_answered_and_stores_nothing(desk: FrontDesk, raw: bytes):
    assert was_received(post(desk, raw))
    assert not desk.reservations
    assert not desk.journal.events


def test_a_heartbeat_proves_its_path_and_address_too(desk: FrontDesk):
    raw = b"<FailSafe>Company</FailSafe>"
    assert post(desk, raw, path_secret="guessed").status == 404
    assert post(desk, raw, address="203.0.113.9").status == 403


def test_a_payment_is_no_heartbeat_whatever_stands_beside_it(desk: FrontDesk):
    beside = body().replace(b"</mpesaBroker>", b"<FailSafe>x</FailSafe></mpesaBroker>")
    assert was_received(post(desk, beside))
    assert len(desk.reservations) == 1


# --- who is calling -------------------------------------------------------------------------------


def test_the_digest_is_the_one_that_others_compute():
    assert vodacom_tz.digest("888000", "test_password", TIMESTAMP) == VECTOR
    assert digest_by_definition("test_password") == VECTOR


def test_every_live_password_opens(desk: FrontDesk):
    for password in PASSWORDS:
        shown = {"spPassword": digest_by_definition(password)}
        assert was_received(post(desk, body(provider=shown)))


@pytest.mark.parametrize(
    "provider",
    [
        {"spPassword": None},
        {"spPassword": ""},
        {"spPassword": "test_password"},
        {"spPassword": VECTOR.lower()},
        {"spPassword": digest_by_definition("wrong")},
        {"spPassword": "é"},
        {"timestamp": "20260108120001"},
        {"timestamp": None},
        {"spId": "888001"},
        {"spId": None},
        {"spId": "888001", "spPassword": digest_by_definition("test_password", sp_id="888001")},
    ],
)
def test_without_the_right_digest_nothing_is_believed(
    desk: FrontDesk, provider: dict[str, str | None]
):
    answer = post(desk, body(provider=provider))
    assert (answer.status, was_received(answer)) == (401, False)
    assert read(answer)["transactionID"] == ""
    assert not desk.reservations
    assert desk.journal.reasons == ["wrong_password"]


@pytest.mark.parametrize("raw", [b"<a/>", b"<mpesaBroker><request/></mpesaBroker>"])
def test_a_body_without_a_digest_is_turned_away(desk: FrontDesk, raw: bytes):
    assert post(desk, raw).status == 401


def test_every_live_path_secret_and_listed_address_opens(desk: FrontDesk):
    assert was_received(post(desk, path_secret="old-path-secret"))
    assert was_received(post(desk, address="41.217.204.77"))


@pytest.mark.parametrize("path_secret", ["", "new-path-secre", "NEW-PATH-SECRET", "é", "\ud800"])
def test_a_wrong_path_secret_finds_nothing(desk: FrontDesk, path_secret: str):
    answer = post(desk, path_secret=path_secret, address="203.0.113.9")
    assert (answer.status, was_received(answer)) == (404, False)
    assert desk.journal.reasons == ["wrong_path_secret"]


@pytest.mark.parametrize("address", ["41.217.203.11", "::1", "", "localhost"])
def test_a_wrong_address_is_forbidden(desk: FrontDesk, address: str):
    answer = post(desk, address=address)
    assert (answer.status, was_received(answer)) == (403, False)
    assert not desk.reservations


@pytest.mark.parametrize(
    "changes",
    [
        {"sp_id": None},
        {"sp_id": 888000},
        {"sp_id": "88-8000"},
        {"sp_passwords": None},
        {"sp_passwords": "test_password"},
        {"path_secrets": None},
        {"addresses": ["anywhere"]},
        {"currency": None},
        {"currency": "XYZ"},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_accepted(changes: dict[str, Any]):
    desk = FrontDesk({"channels/vodacom_tz": secret(**changes)})
    assert post(desk).status == 503
    assert not desk.stored
    assert desk.journal.reasons == [SecretMissing.code]


def test_without_the_secret_nothing_is_accepted():
    assert post(FrontDesk({})).status == 503


@pytest.mark.parametrize(
    ("name", "status"), [("path_secrets", 404), ("addresses", 403), ("sp_passwords", 401)]
)
def test_an_empty_list_admits_nobody(name: str, status: int):
    assert post(FrontDesk({"channels/vodacom_tz": secret(**{name: []})})).status == status


xml_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=30)


@given(st.dictionaries(st.sampled_from(sorted(TRANSACTION)), st.none() | xml_texts))
def test_any_report_gets_an_answer_in_the_broker_s_words(changes: dict[str, str | None]):
    answer = post(FrontDesk({"channels/vodacom_tz": secret()}), **changes)
    assert answer.status in (200, 400)
    was_received(answer)


@given(st.binary(max_size=300) | st.sampled_from([b"<a/>", b"<FailSafe/>"]), st.text(max_size=40))
def test_no_stranger_gets_further_than_the_door(raw: bytes, word: str):
    desk = FrontDesk({"channels/vodacom_tz": secret()})
    assert post(desk, raw, path_secret=word).status == 404
    assert post(desk, raw, address=word).status == 403
    assert post(desk, raw).status in (200, 400, 401)
    assert not desk.reservations


# === our result ===================================================================================


def payment_of(reason: str | None = None, **changes: Any) -> Payment:
    claim = Claim(
        channel="vodacom_tz",
        source="mpesa_tz.888000",
        transaction="AB12CD34EF",
        reference="AB12CD34EF",
        serial_number="SM5R00123",
        amount_minor=5_000_00,
        currency="TZS",
        known_as={
            "conversation_id": "c-77",
            "originator_conversation_id": "o-77",
            "transaction_id": "t-77",
            "initiator": "255744000001",
        },
    )
    waiting = reserved(claim, moment=NOW, received_at=NOW, customer_id="C1", refusal=reason)
    return replace(waiting, **changes)


def provider(content: Mapping[str, Any]) -> VodacomProvider:
    return VodacomProvider({"channels/vodacom_tz": content}.__getitem__, now=lambda: NOW)


def answered(code: str, *, root: str = "mpesaBroker") -> bytes:
    response = f"<response><conversationID>c-77</conversationID><responseCode>{code}"
    inner = f"{response}</responseCode><more><x/></more></response>"
    return (inner if root == "response" else f'<{root} xmlns="urn:x">{inner}</{root}>').encode()


def tell(behaviour: Behaviour, reason: str | None = None, changes: Any = None) -> bytes:
    """Tell a result over plain HTTP: what an answer means does not depend on TLS."""
    with serving(behaviour) as server:
        content = secret(f"{server.url}/iManager/result")
        content["broker"] |= changes or {}
        try:
            provider(content).tell_result(payment_of(reason))
        finally:
            assert server.connections == 1, "a result is told once, whatever comes of it"
        return server.requests[0]


@pytest.mark.parametrize(
    ("reason", "code", "words"),
    [(None, "0", "Success"), ("unknown_device", "999", "Failure"), ("too_small", "999", "Failure")],
)
def test_a_result_on_the_wire(reason: str | None, code: str, words: str):
    head, _, sent = tell(answering(answered(code)), reason).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /iManager/result HTTP/1.1\r\n")
    assert b"Content-Type: text/xml; charset=utf-8\r\n" in head
    root = fromstring(sent)
    assert root.tag == "{http://inforwise.co.tz/broker/}mpesaBroker"
    (result,) = root
    service_provider, transaction = result
    assert [local(part) for part in (result, *result)] == [
        "result",
        "serviceProvider",
        "transaction",
    ]
    assert {local(child): child.text for child in service_provider} == {
        "spId": "888000",
        "spPassword": digest_by_definition("our-password"),
        "timestamp": TIMESTAMP,
    }
    told = {local(child): child.text or "" for child in transaction}
    sealed = base64.b64decode(told.pop("initiatorPassword"))
    assert initiator_key().decrypt(sealed, PKCS1v15()) == b"255744999999"
    assert told == {
        "resultType": "Completed",
        "resultCode": code,
        "resultDesc": words,
        "serviceReceipt": "AB12CD34EF",
        "serviceDate": "2026-01-08 12:00:00",
        "serviceID": "101",
        "originatorConversationID": "o-77",
        "conversationID": "c-77",
        "transactionID": "t-77",
        "initiator": "255744999999",
    }


def test_the_date_of_a_result_is_the_same_when_it_is_told_again():
    with serving(answering(answered("0"))) as server:
        content = {"channels/vodacom_tz": secret(server.url)}
        for minutes in (0, 90):
            now = NOW + timedelta(minutes=minutes)
            VodacomProvider(content.__getitem__, now=lambda now=now: now).tell_result(payment_of())
    first, second = server.requests
    assert b"<timestamp>20260108133000</timestamp>" in second
    assert all(b"<serviceDate>2026-01-08 12:00:00</serviceDate>" in r for r in (first, second))


@pytest.mark.parametrize(("reason", "code"), [(None, "0"), ("unknown_device", "999")])
@pytest.mark.parametrize("root", ["mpesaBroker", "response"])
def test_the_expected_code_means_that_it_was_taken(reason: str | None, code: str, root: str):
    tell(answering(answered(f" {code} ", root=root)), reason)


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
@pytest.mark.parametrize(
    ("reason", "code"),
    [(None, "999"), (None, "1"), (None, "E7"), ("too_small", "0"), ("too_small", "12")],
)
def test_another_code_needs_a_person(status: str, reason: str | None, code: str):
    with pytest.raises(ProviderRefused) as refused:
        tell(answering(answered(code), status=status), reason)
    assert refused.value.code == f"response_{code}"


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(answered("0"), status="500 Error"),
        answering(answered("1"), status="503 Busy"),
        answering(answered("1"), status="401 Unauthorized"),
        answering(answered("1"), status="404 Not Found"),
        answering(answered("0"), status="302 Found", headers="Location: /x\r\n"),
        answering(answered("")),
        answering(answered("a b")),
        answering(answered("9" * 11)),
        answering(b""),
        answering(b"{}"),
        answering(b"<mpesaBroker/>"),
        answering(b"<response><responseCode/><responseCode/></response>"),
        answering(b"<!DOCTYPE a>" + answered("0")),
        answering(b"x" * 70_000),
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + answered("0")),
        sending(b""),
    ],
)
@pytest.mark.parametrize("reason", [None, "unknown_device"])
def test_any_other_answer_leaves_it_to_be_told_again(behaviour: Behaviour, reason: str | None):
    with pytest.raises(ProviderUncertain):
        tell(behaviour, reason)


def test_the_right_code_with_an_error_is_no_clear_answer():
    with pytest.raises(ProviderUncertain):
        tell(answering(answered("0"), status="400 Bad Request"))


def test_no_answer_in_time_leaves_it_to_be_told_again():
    def silent(connection: socket.socket) -> None:
        connection.recv(1)

    with patch("chalicelib.channels.asking.call", short_call()), pytest.raises(ProviderUncertain):
        tell(silent)


def short_call() -> Any:
    def calling(method: str, url: str, headers: Any, seconds: float, *rest: Any) -> Any:
        return call(method, url, headers, 0.2, *rest)

    return calling


def test_a_broker_that_is_not_there_was_not_told():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ProviderUnreachable):
        provider(secret(f"http://127.0.0.1:{port}")).tell_result(payment_of())


@given(st.binary(max_size=200))
def test_whatever_the_broker_answers_its_meaning_is_known(raw: bytes):
    for status in (200, 400, 500):
        with pytest.raises((ProviderRefused, ProviderUncertain)):
            vodacom_tz._check_taken(Answer(status, raw), "0")


def test_over_tls_the_broker_sees_our_certificate():
    with serving(over_tls(answering(answered("0"))), reads=False) as server:
        asked = provider(secret(f"https://127.0.0.1:{server.port}/result"))
        asked.tell_result(payment_of())
        asked.tell_result(payment_of())
    assert server.connections == 2


def test_a_broker_whom_nobody_vouches_for_is_told_nothing():
    with serving(over_tls(answering(answered("0"))), reads=False) as server:
        content = secret(f"https://127.0.0.1:{server.port}/result")
        content["broker"]["ca_certificate"] = certificates("another")["ca_certificate"]
        with pytest.raises(ProviderUnreachable):
            provider(content).tell_result(payment_of())


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "ftp://x"},
        {"url": None},
        {"sp_password": None},
        {"service_id": 5},
        {"initiator": None},
        {"initiator": "9" * 999},
        {"initiator_certificate": "no certificate"},
        {"pkcs12": "***"},
        {"pkcs12": "AAAA"},
        {"pkcs12_password": "wrong"},
        {"ca_certificate": "no certificate"},
    ],
)
def test_without_a_whole_configuration_nothing_is_told(changes: dict[str, Any]):
    content = secret("http://127.0.0.1:9")
    content["broker"] |= changes
    with pytest.raises(SecretMissing) as missing:
        provider(content).tell_result(payment_of())
    assert "our-password" not in missing.value.detail


def test_a_payment_of_which_the_broker_s_names_are_lost_is_not_told():
    with pytest.raises(ProviderUncertain):
        provider(secret("http://127.0.0.1:9")).tell_result(payment_of(known_as={}))


def test_the_broker_cannot_be_asked():
    with pytest.raises(ProviderUncertain):
        provider(secret()).verify(payment_of())
