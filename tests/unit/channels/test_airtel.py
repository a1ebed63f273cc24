"""Airtel Money (Open API): its pushes, its hints, and what its answers mean for money."""

from __future__ import annotations

import base64
import hmac
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import airtel, asking
from chalicelib.channels.airtel import CHANNEL, AirtelProvider
from chalicelib.channels.checkouts import ProviderUnavailable
from chalicelib.channels.interface import FieldErrors, TooLarge, UnsupportedMediaType
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
    TakenBack,
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

NAME = "channels/airtel"
PATH_SECRET, OLDER_PATH_SECRET = "a-path-secret", "an-older-path-secret"
PRIVATE_KEY, OLDER_PRIVATE_KEY = "airtel_demo_key", "airtel_older_key"
SECRET: dict[str, Any] = {
    "base_url": "https://openapi.airtel.example",
    "client_id": "demo-client",
    "client_secret": "demo-secret",
    "private_keys": ["another_key", PRIVATE_KEY],
    "country": "TZ",
    "currency": "TZS",
    "path_secrets": [PATH_SECRET, OLDER_PATH_SECRET],
}
REFERENCE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PAYMENT_ID = f"airtel.TZ-{REFERENCE}"
RECEIPT = "MP210603.1234.L06941"
TOKEN = "eyJ.demo.token"
TANZANIA = Settings(currency="TZS", currency_decimals=2, country="TZ")


@pytest.fixture(autouse=True)
def no_session_yet() -> Iterator[None]:
    """Each test begins without a session, as a new process does."""
    with patch.object(airtel, "AT_CHECKOUTS", Sessions()):
        yield


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({NAME: SECRET}, company=TANZANIA)


@pytest.fixture
def pending(desk: FrontDesk) -> FrontDesk:
    """A desk at which one payment waits for its payer."""
    desk.stored[PAYMENT_ID] = payment_of()
    return desk


def payment_of(amount_minor: int = 5_000_00, currency: str = "TZS", **changes: Any) -> Payment:
    claim = Claim(
        channel="airtel",
        source="airtel.TZ",
        transaction=REFERENCE,
        reference=REFERENCE,
        serial_number="SM5R00123",
        amount_minor=amount_minor,
        currency=currency,
        payer_phone="+255682000001",
    )
    pending = started(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(pending, **changes)


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "airtel"
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert CHANNEL.can_refund
    assert CHANNEL.starts_payments
    assert CHANNEL.payer_needs == "phone"
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/airtel/checkouts"),
        ("POST", "/payments/airtel/{path_secret}/callback"),
    ]


def test_the_provider_states_how_it_may_be_asked():
    asked: Provider = airtel.make({NAME: SECRET}.__getitem__)
    assert asked.timeout_seconds == 28
    assert asked.refund_recovery is RecoveryClass.SEARCHABLE
    assert asked.full_refunds_only


def test_a_refund_that_is_not_found_is_not_believed_absent_as_long_as_it_is_looked_for():
    asked = airtel.make({NAME: SECRET}.__getitem__)
    assert asked.refund_absent_after_seconds == 86_400


# === a provider that wants a log-in ===============================================================


def logged_in(token: object = TOKEN, lifetime: object = "180") -> Behaviour:
    return saying({"access_token": token, "token_type": "bearer", "expires_in": lifetime})


def replying(
    data: object = None, status: str = "200 OK", *, success: object = True, **more: Any
) -> Behaviour:
    said = {"code": status[:3], "message": "in words", "success": success, **more}
    return saying({"data": data, "status": said}, status)


def failing(result_code: str, status: str) -> Behaviour:
    return replying(status=status, success=False, result_code=result_code)


def body_of(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])


PUSHED = replying({"transaction": {"id": REFERENCE, "status": "SUCCESS"}})
BAD_REQUEST = failing("ESB000033", "400 Bad Request")
UNAUTHORISED = answering(b"", status="401 Unauthorized")

UNCLEAR = [
    answering(b"<html>oops</html>", status="502 Bad Gateway"),
    answering(b"<html>forbidden</html>", status="403 Forbidden"),
    answering(b"<html>bad</html>", status="400 Bad Request"),
    failing("ESB000001", "500 Internal Server Error"),
    failing("ESB000001", "503 Service Unavailable"),
    failing("ESB000001", "404 Not Found"),
    failing("ESB000001", "429 Too Many Requests"),
    failing("ESB000001", "200 OK"),
    *(failing(f"ESB0000{code}", "400 Bad Request") for code in ("01", "04", "08", "41", "99")),
    answering(b"", status="302 Found", headers="Location: https://elsewhere.example\r\n"),
    answering(b""),
    answering(b"[]"),
    answering(b'{"status": {}, "status": {}}'),
    sending(b""),
    sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"),
]
"""Answers from which nothing follows, whatever was asked for."""

NO_LOG_IN = [
    answering(b"oops", status="502 Bad Gateway"),
    failing("ESB000001", "500 Internal Server Error"),
    saying({}),
    logged_in(token=None),
    logged_in(token="two words"),
    logged_in(token={"a": 1}),
    sending(b""),
]


# === checkouts ====================================================================================

CHECKOUT = {"serial_number": "sm5r-00123", "amount": "5000", "phone": "0682 000 001"}


def check_out(
    desk: FrontDesk, behaviour: Behaviour, *, log_in: Behaviour | None = None, **changes: Any
) -> tuple[ProviderAnswer, list[bytes]]:
    with serving(in_turn(log_in or logged_in(), behaviour)) as server:
        desk.secrets[NAME] = {**desk.secrets[NAME], "base_url": server.url}
        answer = airtel.checkout(post({**CHECKOUT, **changes}), desk)
    return answer, server.requests


def test_a_checkout_is_answered_once_the_phone_was_asked(desk: FrontDesk):
    answer, _ = check_out(desk, PUSHED)
    payment = only(desk)
    assert (answer.status, answer.body) == (
        201,
        {"payment_id": payment.payment_id, "reference": payment.reference},
    )
    assert payment.status is Status.PENDING
    assert payment.payment_id == f"airtel.TZ-{payment.reference}"
    assert (payment.amount_minor, payment.currency) == (5_000_00, "TZS")


def test_the_provider_is_asked_exactly_as_it_expects(desk: FrontDesk):
    _, (log_in, push) = check_out(desk, PUSHED)
    reference = only(desk).reference
    assert len(reference) == 32
    assert log_in.startswith(b"POST /auth/oauth2/token HTTP/1.1\r\n")
    assert body_of(log_in) == {
        "client_id": "demo-client",
        "client_secret": "demo-secret",
        "grant_type": "client_credentials",
    }
    assert push.startswith(b"POST /merchant/v1/payments/ HTTP/1.1\r\n")
    for name, value in (
        ("Authorization", f"Bearer {TOKEN}"),
        ("X-Country", "TZ"),
        ("X-Currency", "TZS"),
        ("Content-Type", "application/json"),
    ):
        assert f"\r\n{name}: {value}\r\n".encode() in head_of(push)
    assert body_of(push) == {
        "reference": "SM5R00123",
        "subscriber": {"country": "TZ", "currency": "TZS", "msisdn": "682000001"},
        "transaction": {"amount": 5000, "country": "TZ", "currency": "TZS", "id": reference},
    }


@pytest.mark.parametrize(
    ("phone", "country", "msisdn"),
    [
        ("+255682000001", "TZ", "682000001"),
        ("00255 682-000-001", "TZ", "682000001"),
        ("+256752000001", "UG", "752000001"),
        ("+243991234567", "CD", "991234567"),
        ("+24106031011", "GA", "06031011"),
    ],
)
def test_the_number_is_sent_without_its_countrys_code(
    desk: FrontDesk, phone: str, country: str, msisdn: str
):
    desk.secrets[NAME] = {**SECRET, "country": country}
    _, (_, push) = check_out(desk, PUSHED, phone=phone)
    assert body_of(push)["subscriber"]["msisdn"] == msisdn


@pytest.mark.parametrize("country", ["KE", "XX"])
def test_a_foreign_number_is_never_asked_as_it_would_be_a_strangers(desk: FrontDesk, country: str):
    with serving(PUSHED) as server:
        desk.secrets[NAME] = {**SECRET, "base_url": server.url, "country": country}
        with pytest.raises(InvalidPhone) as invalid:
            airtel.checkout(post(CHECKOUT), desk)
        assert server.connections == 0
    assert invalid.value.field == "phone"
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, "foreign_phone")


@pytest.mark.parametrize(
    ("code", "decimals", "amount", "written"),
    [
        ("TZS", 2, "5000.00", b'"amount": 5000,'),
        ("TZS", 2, "5000.5", b'"amount": 5000.50,'),
        ("UGX", 0, "5000", b'"amount": 5000,'),
        ("ZMW", 2, "0.01", b'"amount": 0.01,'),
    ],
)
def test_amounts_are_written_without_needless_decimals(
    desk: FrontDesk, code: str, decimals: int, amount: str, written: bytes
):
    desk.company = Settings(currency=code, currency_decimals=decimals, country="TZ")
    desk.secrets[NAME] = {**SECRET, "currency": code}
    _, (_, push) = check_out(desk, PUSHED, amount=amount)
    assert written in push


def test_what_the_payer_reads_has_plain_letters_only(desk: FrontDesk):
    _, (_, push) = check_out(desk, PUSHED, serial_number="é/é")
    assert body_of(push)["reference"] == "Mwanga"


def test_most_checkouts_need_no_log_in(desk: FrontDesk):
    with serving(in_turn(logged_in(), PUSHED, PUSHED)) as server:
        desk.secrets[NAME] = {**SECRET, "base_url": server.url}
        for _ in range(2):
            assert airtel.checkout(post(CHECKOUT), desk).status == 201
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "amount", ["0", "-1", "1e3", "", "1.001", "2000000000", 500, True, [], "٥"]
)
def test_a_wrong_amount_is_refused_before_anybody_is_asked(desk: FrontDesk, amount: object):
    with pytest.raises(InvalidAmount):
        airtel.checkout(post({**CHECKOUT, "amount": amount}), desk)
    assert not desk.starts


def test_an_amount_with_more_than_two_decimals_is_refused(desk: FrontDesk):
    desk.secrets[NAME] = {**SECRET, "currency": "TND"}
    with pytest.raises(InvalidAmount):
        airtel.checkout(post({**CHECKOUT, "amount": "12.345"}), desk)


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_is_never_started(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with serving(PUSHED) as server:
        desk.secrets[NAME] = {**SECRET, "base_url": server.url}
        with pytest.raises(Refused):
            airtel.checkout(post(CHECKOUT), desk)
        assert server.connections == 0
    assert not desk.stored


def test_the_payment_is_stored_before_the_provider_is_asked(desk: FrontDesk):
    stored: list[int] = []

    def note_and_answer(connection: socket.socket) -> None:
        stored.append(len(desk.stored))
        PUSHED(connection)

    check_out(desk, note_and_answer)
    assert stored == [1]


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown()])
def test_a_payment_that_is_not_surely_stored_is_never_started(
    desk: FrontDesk, failure: MwangaError
):
    desk.failure = failure
    with pytest.raises(type(failure)):
        airtel.checkout(post(CHECKOUT), desk)


@pytest.mark.parametrize(
    ("log_in", "push", "reason"),
    [
        *(
            (None, failing(code, "400 Bad Request"), "refused_by_provider")
            for code in sorted(airtel.NOT_ASKED)
        ),
        (None, UNAUTHORISED, "authentication_failed"),
        (saying({"error": "invalid_client"}, "401 Unauthorized"), None, "authentication_failed"),
        *((log_in, None, "provider_unreachable") for log_in in NO_LOG_IN),
    ],
)
def test_a_payment_that_was_surely_not_started_has_expired(
    desk: FrontDesk, log_in: Behaviour | None, push: Behaviour | None, reason: str
):
    with pytest.raises(ProviderUnavailable):
        check_out(desk, push or PUSHED, log_in=log_in)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, reason)
    assert desk.journal.reasons == [reason]


def test_a_payment_has_expired_where_the_provider_was_not_reached(desk: FrontDesk):
    desk.secrets[NAME] = {**SECRET, "base_url": nobody()}
    with pytest.raises(ProviderUnavailable):
        airtel.checkout(post(CHECKOUT), desk)
    assert (only(desk).status, only(desk).reason) == (Status.EXPIRED, "provider_unreachable")


@pytest.mark.parametrize("behaviour", UNCLEAR)
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
        ({"phone": 682000001}, "phone"),
        ({"email": "asha"}, "email"),
        ({"currency": "TZS"}, "currency"),
    ],
)
def test_a_field_that_is_wrong_missing_or_unknown_is_named(
    desk: FrontDesk, changes: dict[str, Any], field: str
):
    with pytest.raises(FieldErrors) as errors:
        airtel.checkout(post({**CHECKOUT, **changes}), desk)
    assert [e.field for e in errors.value.errors] == [field]
    assert not desk.starts


def test_a_checkout_that_is_none_is_turned_away(desk: FrontDesk):
    with pytest.raises(InvalidPhone):
        airtel.checkout(post({**CHECKOUT, "phone": "12"}), desk)
    with pytest.raises(TooLarge):
        airtel.checkout(post(b" " * 70_000), desk)
    with pytest.raises(UnsupportedMediaType):
        airtel.checkout(post(CHECKOUT, "text/plain"), desk)
    for body in (b"", b"[]", b'{"amount":"1","amount":"2"}', b"\xff"):
        with pytest.raises(Malformed):
            airtel.checkout(post(body), desk)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": None},
        {"base_url": "openapi.airtel.example"},
        {"client_id": None},
        {"client_id": "a b"},
        {"client_secret": ""},
        {"private_keys": None},
        {"private_keys": PRIVATE_KEY},
        {"private_keys": [""]},
        {"country": "Tanzania"},
        {"country": "tz"},
        {"currency": "ZZZ"},
        {"currency": None},
        {"path_secrets": None},
        {"path_secrets": PATH_SECRET},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_started_taken_or_asked(changes: dict[str, Any]):
    secret = {**SECRET, **changes}
    desk = FrontDesk({NAME: secret}, company=TANZANIA)
    desk.stored[PAYMENT_ID] = payment_of()
    with pytest.raises(SecretMissing):
        airtel.checkout(post(CHECKOUT), desk)
    assert told_of(desk) == TRY_AGAIN
    with pytest.raises(SecretMissing):
        airtel.make({NAME: secret}.__getitem__).verify(payment_of())
    assert not desk.starts
    assert not desk.hints


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*CHECKOUT, "email"]) | st.text(max_size=5), json_values))
def test_no_checkout_brings_an_error_that_we_did_not_mean(changes: dict[str, Any]):
    answer = Answer(200, json.dumps({"access_token": TOKEN}).encode())
    with patch.object(asking, "call", lambda *_: answer):
        for body in (changes, {**CHECKOUT, **changes}):
            desk = FrontDesk({NAME: SECRET}, company=TANZANIA)
            with suppress(MwangaError):
                assert airtel.checkout(post(body), desk).status == 201


# === callbacks ====================================================================================

OK = (200, {"status": "ok"})
IGNORED = (200, {"status": "ignored"})
UNKNOWN = (200, {"status": "unknown_reference"})
MALFORMED = (400, {"status": "malformed"})
UNREADABLE = (400, {"status": "malformed"})
WRONG_HASH = (401, {"status": "invalid_signature"})
WRONG_PATH = (404, {"status": "wrong_path_secret"})
TOO_LARGE = (413, {"status": "too_large"})
TRY_AGAIN = (503, {"status": "try_again"})

TRANSACTION = {
    "id": REFERENCE,
    "message": "Paid TZS 5000",
    "status_code": "TS",
    "airtel_money_id": RECEIPT,
}
DEMO = {**TRANSACTION, "id": "demo-1"}
WRAPPED_HASH = "z+dDNUroJvsNy3ZKd1sys90t9S8LdODPCkClBFJ/CPU="
INNER_HASH = "zqSKXzMU8PbYtSZslb+yLpgeKzgeOLGLRuio54v/PTw="


def hash_of(form: str, key: str = PRIVATE_KEY) -> str:
    return base64.b64encode(hmac.digest(key.encode(), form.encode(), "sha256")).decode()


def hashed(
    transaction: Mapping[str, object], *, key: str = PRIVATE_KEY, inner: bool = False
) -> str:
    whole = transaction if inner else {"transaction": transaction}
    return hash_of(json.dumps(whole, separators=(",", ":"), ensure_ascii=False), key)


def told(desk: FrontDesk, body: bytes, *, path_secret: str = PATH_SECRET) -> tuple[int, Any]:
    path = {"path_secret": path_secret}
    answer = airtel.callback(ProviderRequest("POST", path, {}, body, "203.0.113.9"), desk)
    return answer.status, answer.body


def told_of(
    desk: FrontDesk,
    transaction: Mapping[str, object] = TRANSACTION,
    shown: object = None,
    **request: str,
) -> tuple[int, Any]:
    report = {"transaction": transaction, "hash": shown or hashed(transaction)}
    return told(desk, json.dumps(report).encode(), **request)


@pytest.mark.parametrize("vector", [WRAPPED_HASH, INNER_HASH])
def test_a_known_hash_of_either_form_is_taken(desk: FrontDesk, vector: str):
    assert told_of(desk, DEMO, vector) == IGNORED


@pytest.mark.parametrize("vector", [WRAPPED_HASH, INNER_HASH])
@pytest.mark.parametrize("spoilt", [str.lower, lambda text: text[:-1], lambda text: f" {text}"])
def test_a_known_hash_that_was_changed_is_not_taken(
    desk: FrontDesk, vector: str, spoilt: Callable[[str], str]
):
    assert told_of(desk, DEMO, spoilt(vector)) == WRONG_HASH
    assert told_of(desk, {**DEMO, "message": "Paid TZS 5001"}, vector) == WRONG_HASH


@pytest.mark.parametrize("inner", [True, False])
def test_a_callback_has_the_payment_looked_at_and_no_more(pending: FrontDesk, inner: bool):
    before = only(pending)
    assert told_of(pending, shown=hashed(TRANSACTION, inner=inner)) == OK
    assert pending.hints == [PAYMENT_ID]
    assert only(pending) is before


@pytest.mark.parametrize("status", ["TF", "TS", "TR", "", None, 5])
def test_whatever_a_callback_claims_the_payment_is_only_looked_at(
    pending: FrontDesk, status: object
):
    assert told_of(pending, {**TRANSACTION, "status_code": status}) == OK
    assert pending.hints == [PAYMENT_ID]
    assert only(pending).status is Status.PENDING


def test_fields_are_hashed_in_the_order_in_which_they_come_whatever_the_spaces(pending: FrontDesk):
    turned = dict(reversed(TRANSACTION.items()))
    body = json.dumps({"hash": hashed(turned), "transaction": turned}, indent=2).encode()
    assert told(pending, body) == OK
    assert told_of(pending, turned, hashed(TRANSACTION)) == WRONG_HASH


def test_letters_and_numbers_are_hashed_as_they_came(pending: FrontDesk):
    form = f'{{"id":"{REFERENCE}","message":"Malipo “tayari” é","amount":5000.10,"ok":true}}'
    shown = hash_of(form)
    assert told(pending, f'{{"transaction":{form},"hash":"{shown}"}}'.encode()) == OK


def test_every_live_private_key_proves_a_hash(pending: FrontDesk):
    pending.secrets[NAME] = {**SECRET, "private_keys": [PRIVATE_KEY, OLDER_PRIVATE_KEY]}
    assert told_of(pending, shown=hashed(TRANSACTION, key=OLDER_PRIVATE_KEY)) == OK
    assert told_of(pending, shown=hashed(TRANSACTION, key="a-stranger's")) == WRONG_HASH


@pytest.mark.parametrize("shown", [None, "", 5, [WRAPPED_HASH], True, "é", "x" * 9_000])
def test_without_a_hash_nobody_is_listened_to_where_there_are_keys(
    pending: FrontDesk, shown: object
):
    body = json.dumps({"transaction": TRANSACTION, "hash": shown}).encode()
    assert told(pending, body) == WRONG_HASH
    assert told(pending, json.dumps({"transaction": TRANSACTION}).encode()) == WRONG_HASH
    assert not pending.hints
    assert pending.journal.counts[0] == (
        "CallersRefused",
        {"channel": "airtel", "reason": "invalid_signature"},
    )


def test_without_keys_no_hash_is_asked_for(pending: FrontDesk):
    pending.secrets[NAME] = {**SECRET, "private_keys": []}
    assert told(pending, json.dumps({"transaction": TRANSACTION}).encode()) == OK
    assert pending.hints == [PAYMENT_ID]


@pytest.mark.parametrize("path_secret", [PATH_SECRET, OLDER_PATH_SECRET])
def test_every_live_path_secret_admits(pending: FrontDesk, path_secret: str):
    assert told_of(pending, path_secret=path_secret) == OK


@pytest.mark.parametrize(
    "path_secret", ["", "another", PATH_SECRET[:-1], PATH_SECRET.upper(), "é", "\ud800"]
)
def test_without_a_live_path_secret_nobody_is_listened_to(pending: FrontDesk, path_secret: str):
    assert told_of(pending, path_secret=path_secret) == WRONG_PATH
    assert told(pending, b" " * 70_000, path_secret=path_secret) == WRONG_PATH
    assert not pending.hints


@pytest.mark.parametrize(
    "reference", [None, 5, "", "order-17", REFERENCE.upper(), REFERENCE + "0", "٠" * 32]
)
def test_what_names_no_payment_of_ours_changes_nothing(pending: FrontDesk, reference: object):
    assert told_of(pending, {**TRANSACTION, "id": reference}) == IGNORED
    assert not pending.hints
    assert not pending.journal.events


def test_a_reference_without_a_payment_is_answered_and_noted(desk: FrontDesk):
    assert told_of(desk) == UNKNOWN
    assert desk.journal.reasons == ["not_found"]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"transaction": null}',
        b'{"transaction": "TS"}',
        b'{"transaction": [{"id": "a"}]}',
        b'{"transaction": {"id": {"a": 1}}, "hash": "a"}',
        b'{"transaction": {"id": []}, "hash": "a"}',
    ],
)
def test_a_body_without_a_plain_transaction_is_unreadable(pending: FrontDesk, body: bytes):
    assert told(pending, body) == UNREADABLE
    assert [metric for metric, _ in pending.journal.counts] == ["ReportsFailed"]


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"<xml/>", b'{"id":"a","id":"b"}', b'{"a":' * 9_999, b"\xff"]
)
def test_a_body_that_is_no_object_is_malformed(pending: FrontDesk, body: bytes):
    assert told(pending, body) == MALFORMED
    assert not pending.hints


def test_a_callback_that_is_too_large_is_turned_away(pending: FrontDesk):
    assert told(pending, b" " * 70_000) == TOO_LARGE


@pytest.mark.parametrize("failure", [QueueUnavailable(), TryAgain(), OutcomeUnknown()])
def test_a_hint_that_was_not_taken_is_to_be_sent_again(pending: FrontDesk, failure: MwangaError):
    pending.failure = failure
    assert told_of(pending) == TRY_AGAIN
    assert pending.journal.reasons == [failure.code]


def test_without_the_secret_nothing_is_taken():
    assert told_of(FrontDesk({})) == TRY_AGAIN


def test_what_is_noted_names_no_person_and_no_secret(desk: FrontDesk):
    told_of(desk, {**TRANSACTION, "msisdn": "682000001"})
    told_of(desk, path_secret=f"almost-{PATH_SECRET}")
    told(desk, b"682000001")
    noted = str(desk.journal.events)
    assert len(desk.journal.events) == 3
    assert "682000001" not in noted
    assert PATH_SECRET not in noted
    assert PRIVATE_KEY not in noted


@given(
    st.binary(max_size=200)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(["transaction", "hash"]), json_values).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_any_body_gets_an_answer(body: bytes):
    answers = [MALFORMED, UNREADABLE, WRONG_HASH, IGNORED]
    for private_keys in ([], [PRIVATE_KEY]):
        desk = FrontDesk({NAME: {**SECRET, "private_keys": private_keys}})
        assert told(desk, body) in answers


@given(st.dictionaries(st.sampled_from([*TRANSACTION]) | st.text(max_size=5), json_values))
def test_any_transaction_gets_an_answer(changes: dict[str, Any]):
    desk = FrontDesk({NAME: {**SECRET, "private_keys": []}})
    desk.stored[PAYMENT_ID] = payment_of()
    # ``inf`` and half a character are no JSON, though Python writes them.
    assert told_of(desk, {**TRANSACTION, **changes}, "a") in [OK, IGNORED, MALFORMED]


# === what we ask ==================================================================================

Answered = TypeVar("Answered")
REFUND = Refund(1, 5_000_00)
PAID = payment_of(receipt=RECEIPT, status=Status.HELD)


def provider(base_url: str) -> AirtelProvider:
    return airtel.make({NAME: {**SECRET, "base_url": base_url}}.__getitem__)


def asked(
    question: Callable[[AirtelProvider], Answered], behaviour: Behaviour
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


def looked_up(behaviour: Behaviour, refund: Refund = REFUND) -> RefundTaken:
    return asked(lambda p: p.look_up_refund(PAID, refund), behaviour)[0]


def enquired(status: object = "TS", **changes: Any) -> Behaviour:
    transaction = {"airtel_money_id": RECEIPT, "id": REFERENCE, "message": "", "status": status}
    return replying({"transaction": {**transaction, **changes}})


@pytest.mark.parametrize("question", [verified, refunded, looked_up])
@pytest.mark.parametrize("behaviour", [*UNCLEAR, BAD_REQUEST, saying({})])
def test_an_answer_that_tells_nothing_is_uncertain(
    question: Callable[[Behaviour], object], behaviour: Behaviour
):
    with pytest.raises(ProviderUncertain):
        question(behaviour)


QUESTIONS: list[Callable[[AirtelProvider], object]] = [
    lambda p: p.verify(payment_of()),
    lambda p: p.refund(PAID, REFUND),
    lambda p: p.look_up_refund(PAID, REFUND),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_provider_that_was_not_reached_was_asked_for_nothing(
    question: Callable[[AirtelProvider], object],
):
    with pytest.raises(ProviderUnreachable):
        question(provider(nobody()))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("log_in", NO_LOG_IN)
def test_without_a_session_nothing_was_asked(
    question: Callable[[AirtelProvider], object], log_in: Behaviour
):
    with serving(in_turn(log_in)) as server, pytest.raises(ProviderUnreachable):
        question(provider(server.url))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "behaviours",
    [(saying({"error": "invalid_client"}, "400 Bad Request"),), (logged_in(), UNAUTHORISED)],
)
def test_that_airtel_does_not_know_us_says_nothing_of_a_payment(
    question: Callable[[AirtelProvider], object], behaviours: tuple[Behaviour, ...]
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
    behaviours = (logged_in(), enquired(), UNAUTHORISED, logged_in("another"), enquired())
    with serving(in_turn(*behaviours)) as server:
        asking_it = provider(server.url)
        for _ in range(2):
            assert asking_it.verify(payment_of()) is not None
    assert b"\r\nAuthorization: Bearer another\r\n" in head_of(server.requests[-1])


# --- enquiries ------------------------------------------------------------------------------------


def test_a_payment_is_enquired_for_by_our_id():
    paid, (_, question) = asked(lambda p: p.verify(payment_of()), enquired())
    assert paid == Paid(RECEIPT, 5_000_00, "TZS")
    assert question.startswith(f"GET /standard/v1/payments/{REFERENCE} HTTP/1.1\r\n".encode())
    assert b"\r\nX-Country: TZ\r\n" in head_of(question)
    assert b"\r\nX-Currency: TZS\r\n" in head_of(question)


@pytest.mark.parametrize("status", ["TA", "TIP"])
def test_a_payment_that_is_ambiguous_or_under_way_is_not_paid_yet(status: str):
    assert verified(enquired(status, airtel_money_id=None)) is None


@pytest.mark.parametrize(("status", "code"), [("TF", "failed"), ("TE", "expired")])
def test_a_payment_that_is_over_is_refused(status: str, code: str):
    with pytest.raises(ProviderRefused) as refused:
        verified(enquired(status))
    assert refused.value.code == code


@pytest.mark.parametrize(("receipt", "reference"), [(RECEIPT, RECEIPT), (None, REFERENCE)])
def test_a_payment_that_was_given_back_is_taken_back(receipt: str | None, reference: str):
    with pytest.raises(TakenBack) as taken:
        verified(enquired("TR", airtel_money_id=receipt))
    assert taken.value.reference == reference


@pytest.mark.parametrize(
    "behaviour",
    [
        *(enquired(status) for status in (None, "", "ts", "SUCCESS", "XX", 1, ["TS"])),
        enquired(id="f" * 32),
        *(enquired(airtel_money_id=receipt) for receipt in (None, "", "a b", "x" * 41, [])),
        replying({"transaction": [{"status": "TS"}]}),
        replying([]),
    ],
)
def test_an_enquiry_that_is_not_clear_is_uncertain(behaviour: Behaviour):
    with pytest.raises(ProviderUncertain):
        verified(behaviour)


# --- refunds --------------------------------------------------------------------------------------


def gave_back(**changes: Any) -> Behaviour:
    transaction = {"airtel_money_id": "RF210603.1235.L06942", "status": "SUCCESS"}
    return replying({"transaction": {**transaction, **changes}})


def test_a_refund_is_asked_for_exactly_as_the_provider_expects():
    taken, (_, request) = asked(lambda p: p.refund(PAID, REFUND), gave_back())
    assert taken == RefundTaken("RF210603.1235.L06942", done=False)
    assert request.startswith(b"POST /standard/v1/payments/refund HTTP/1.1\r\n")
    assert b"\r\nX-Country: TZ\r\n" in head_of(request)
    assert body_of(request) == {"transaction": {"airtel_money_id": RECEIPT}}


def test_a_refund_without_a_name_is_taken_all_the_same():
    assert refunded(gave_back(airtel_money_id=None)) == RefundTaken()
    assert refunded(replying()) == RefundTaken()


@pytest.mark.parametrize("success", [None, False, "true", 1, "SUCCESS"])
def test_a_refund_without_a_clear_success_is_uncertain(success: object):
    with pytest.raises(ProviderUncertain):
        refunded(replying({"transaction": {"status": "SUCCESS"}}, success=success))


@pytest.mark.parametrize(
    ("payment", "amount_minor", "code"),
    [
        (payment_of(), 5_000_00, "no_receipt"),
        (PAID, 4_999_99, "full_refund_only"),
    ],
)
def test_a_refund_that_cannot_be_asked_for_is_refused_without_asking(
    payment: Payment, amount_minor: int, code: str
):
    with serving(gave_back()) as server:
        with pytest.raises(ProviderRefused) as refused:
            provider(server.url).refund(payment, Refund(1, amount_minor))
        assert server.connections == 0
    assert refused.value.code == code


def test_a_refund_is_done_when_the_enquiry_shows_it():
    found, (_, question) = asked(lambda p: p.look_up_refund(PAID, REFUND), enquired("TR"))
    assert found == RefundTaken(done=True)
    assert question.startswith(f"GET /standard/v1/payments/{REFERENCE} HTTP/1.1\r\n".encode())
    named = Refund(1, 5_000_00, reference="RF210603.1235.L06942")
    assert looked_up(enquired("TR"), named) == RefundTaken(named.reference, done=True)


def test_a_payment_that_stands_as_paid_was_not_given_back_yet():
    with pytest.raises(NotAtProvider):
        looked_up(enquired("TS"))


@pytest.mark.parametrize("status", ["TF", "TE", "TA", "TIP", "XX", None])
def test_a_look_up_that_is_not_clear_is_uncertain(status: object):
    with pytest.raises(ProviderUncertain):
        looked_up(enquired(status))


@pytest.mark.parametrize("named", ["f" * 32, "", None, False])
def test_an_answer_that_is_not_surely_about_the_transaction_is_uncertain(named: object):
    with pytest.raises(ProviderUncertain):
        looked_up(enquired("TR", id=named))
    with pytest.raises(ProviderUncertain):
        verified(enquired("TS", id=named))
