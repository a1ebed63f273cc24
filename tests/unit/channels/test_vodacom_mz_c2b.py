"""M-Pesa Mozambique, from the phone's menu: Vodacom's question, its word, and its look-up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import vodacom_mz_c2b
from chalicelib.channels.interface import Desk
from chalicelib.channels.vodacom_mz_c2b import CHANNEL
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.payment import Status
from chalicelib.services.ports import (
    OutcomeUnknown,
    ProviderAnswer,
    ProviderRequest,
    QueueUnavailable,
    RefusalClass,
    SecretMissing,
    Settings,
    TryAgain,
    VersionConflict,
)
from tests.unit.channels.front_desk import FrontDesk

NAME = "channels/vodacom_mz_c2b"
TOKEN, OLDER_TOKEN = "a-new-token", "an-older-token"
SECRET: dict[str, Any] = {"tokens": [TOKEN, OLDER_TOKEN], "currency": "MZN"}
MZN = Settings(currency="MZN", currency_decimals=2, country="MZ")

REQUEST_ID = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
QUESTION = {"request_id": REQUEST_ID, "reference": "sm5r 00123", "amount": "250.00"}
REPORT = {**QUESTION, "transaction_id": "4XDF12345", "msisdn": "258840000001"}
LOOK_UP = {"transaction_id": "4XDF12345"}
PAYMENT_ID = "mpesa_mz_c2b-4XDF12345"

ACCEPTED = {"response_code": "0", "response_desc": "Accepted"}
STORED = {**ACCEPTED, "transaction_id": "4XDF12345"}

Function = Callable[[ProviderRequest, Desk], ProviderAnswer]
ENDPOINTS: list[tuple[Function, dict[str, str]]] = [
    (vodacom_mz_c2b.validate, QUESTION),
    (vodacom_mz_c2b.process, REPORT),
    (vodacom_mz_c2b.status, LOOK_UP),
]
every_endpoint = pytest.mark.parametrize(("function", "body"), ENDPOINTS)


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({NAME: SECRET}, company=MZN)


def request(body: bytes | dict[str, Any], authorization: str | None = None) -> ProviderRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    shown = f"Bearer {TOKEN}" if authorization is None else authorization
    return ProviderRequest("POST", {}, {"authorization": shown}, raw, "203.0.113.9")


def ask(desk: FrontDesk, **changes: Any) -> ProviderAnswer:
    return vodacom_mz_c2b.validate(request({**QUESTION, **changes}), desk)


def tell(desk: FrontDesk, **changes: Any) -> ProviderAnswer:
    return vodacom_mz_c2b.process(request({**REPORT, **changes}), desk)


def look_up(desk: FrontDesk, transaction: object = "4XDF12345") -> ProviderAnswer:
    return vodacom_mz_c2b.status(request({"transaction_id": transaction}), desk)


def check_is_no(answer: ProviderAnswer, status: int, code: str) -> None:
    assert (answer.status, answer.body["response_code"]) == (status, code)
    assert set(answer.body) == {"response_code", "response_desc", "data"}
    assert answer.body["data"] == {"message": answer.body["response_desc"], "success": False}


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "vodacom_mz_c2b"
    assert CHANNEL.refusal_class is RefusalClass.ASKS_FIRST
    assert not CHANNEL.can_refund
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/vodacom_mz_c2b/validate"),
        ("POST", "/payments/vodacom_mz_c2b/process"),
        ("POST", "/payments/vodacom_mz_c2b/status"),
    ]


def test_every_refusal_has_words():
    assert set(vodacom_mz_c2b.WORDS) == set(Refusal)


# --- the question ---------------------------------------------------------------------------------


def test_a_good_question_is_answered_yes_and_stores_nothing(desk: FrontDesk):
    answer = ask(desk)
    assert (answer.status, answer.body) == (200, ACCEPTED)
    assert not desk.stored
    (claim,) = desk.questions
    assert (claim.source, claim.transaction) == ("mpesa_mz_c2b", REQUEST_ID)
    assert (claim.serial_number, claim.amount_minor, claim.currency) == (
        *("SM5R00123", 250_00, "MZN"),
    )
    assert not claim.proven


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refusal_is_told_by_its_code(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    check_is_no(ask(desk), 400, refusal.value)


@pytest.mark.parametrize(
    "amount", ["0", "0.00", "-5", "250.001", "", None, True, [], {}, "1e3", "٥", "9" * 5000]
)
def test_an_amount_that_is_none_is_refused(desk: FrontDesk, amount: object):
    check_is_no(ask(desk, amount=amount), 400, "invalid_amount")
    assert not desk.questions


@pytest.mark.parametrize(
    ("amount", "amount_minor"), [("250", 250_00), ("0.01", 1), (250, 250_00), (250.5, 250_50)]
)
def test_amounts_are_read_exactly(desk: FrontDesk, amount: object, amount_minor: int):
    ask(desk, amount=amount)
    assert desk.questions[0].amount_minor == amount_minor


@pytest.mark.parametrize(
    "request_id", [None, "", "17", REQUEST_ID[:-1], f"{REQUEST_ID}0", "٠" * 36, 5, [REQUEST_ID]]
)
def test_a_question_without_a_name_is_not_asked(desk: FrontDesk, request_id: object):
    check_is_no(ask(desk, request_id=request_id), 400, "unreadable")
    assert not desk.questions


def test_a_serial_that_is_none_is_judged_as_what_it_is(desk: FrontDesk):
    for reference in (None, "", 5, [], "é" * 9_000):
        assert ask(desk, reference=reference).status == 200
    assert len({claim.serial_number for claim in desk.questions}) == 3
    assert all(len(claim.serial_number) <= 40 for claim in desk.questions)


# --- money has moved ------------------------------------------------------------------------------


def test_a_payment_is_stored_and_answered(desk: FrontDesk):
    answer = tell(desk)
    assert (answer.status, answer.body) == (200, STORED)
    payment = desk.stored[PAYMENT_ID]
    assert (payment.serial_number, payment.amount_minor, payment.currency) == (
        *("SM5R00123", 250_00, "MZN"),
    )
    assert payment.payer_phone == "+258840000001"
    assert not desk.claims[0].proven


@pytest.mark.parametrize(
    ("msisdn", "phone"),
    [
        ("+258840000001", "+258840000001"),
        ("840000001", "+258840000001"),
        (258840000001, "+258840000001"),
        (None, None),
        ("", None),
        ("25884*****1", None),
        ("é", None),
        ("1" * 10_000, None),
        ([], None),
    ],
)
def test_a_payers_number_that_is_none_is_left_out(
    desk: FrontDesk, msisdn: object, phone: str | None
):
    assert tell(desk, msisdn=msisdn).status == 200
    assert desk.stored[PAYMENT_ID].payer_phone == phone


@pytest.mark.parametrize(
    "changes",
    [
        {"request_id": None},
        {"request_id": "no uuid"},
        {"reference": None},
        {"reference": ""},
        {"reference": "é" * 9_000},
        {"amount": "999999999.99"},
    ],
)
def test_money_that_has_moved_is_stored_whatever_it_is_for(
    desk: FrontDesk, changes: dict[str, Any]
):
    desk.refusal = Refusal.UNKNOWN_DEVICE
    assert tell(desk, **changes).status == 200
    assert desk.stored[PAYMENT_ID].status is not Status.REFUSED


def test_a_repeated_report_is_the_same_payment(desk: FrontDesk):
    tell(desk)
    assert tell(desk, reference="SM5R-00123", amount="250").body == STORED
    assert len(desk.stored) == 1


@pytest.mark.parametrize("changes", [{"amount": "251.00"}, {"reference": "SM5R00124"}])
def test_another_report_of_one_transaction_is_noted_and_answered(
    desk: FrontDesk, changes: dict[str, str]
):
    tell(desk)
    assert tell(desk, **changes).body == STORED
    assert desk.journal.reasons == ["reference_conflict"]
    assert desk.stored[PAYMENT_ID].amount_minor == 250_00


@pytest.mark.parametrize(
    "changes",
    [
        *({"transaction_id": value} for value in (None, "", "a b", "é", "x" * 61, [], True)),
        *({"amount": value} for value in (None, "", "0", "-1", "1.001", "a", [], False)),
    ],
)
def test_a_report_of_which_no_claim_can_be_made_is_not_stored(
    desk: FrontDesk, changes: dict[str, Any]
):
    check_is_no(tell(desk, **changes), 400, "unreadable")
    assert not desk.stored
    assert [metric for metric, _ in desk.journal.counts] == ["ReportsFailed"]


# --- a look-up ------------------------------------------------------------------------------------


def test_a_payment_is_looked_up_by_its_transaction(desk: FrontDesk):
    tell(desk)
    answer = look_up(desk)
    assert (answer.status, answer.body) == (200, {**STORED, "status": "received"})
    desk.settle(PAYMENT_ID)
    assert look_up(desk).body["status"] == "completed"


def test_a_transaction_that_we_do_not_know_is_unknown(desk: FrontDesk):
    check_is_no(look_up(desk), 404, "1")


def test_a_question_that_was_refused_is_no_transaction(desk: FrontDesk):
    tell(desk, transaction_id=REQUEST_ID)
    (payment_id,) = desk.stored
    object.__setattr__(desk.stored[payment_id], "status", Status.REFUSED)
    check_is_no(look_up(desk, REQUEST_ID), 404, "1")


@pytest.mark.parametrize("transaction", [None, "", "a/b", "é", "x" * 61, [], 1.5e300])
def test_a_look_up_of_nothing_is_unreadable(desk: FrontDesk, transaction: object):
    check_is_no(look_up(desk, transaction), 400, "unreadable")


# --- all of them ----------------------------------------------------------------------------------


@every_endpoint
@pytest.mark.parametrize("token", [TOKEN, OLDER_TOKEN])
def test_every_live_token_admits(
    desk: FrontDesk, function: Function, body: dict[str, str], token: str
):
    assert function(request(body, f"bearer {token}"), desk).status in (200, 404)


@every_endpoint
@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer another", f"Basic {TOKEN}", TOKEN, "Bearer é", "\ud800"],
)
def test_without_a_live_token_nobody_is_listened_to(
    desk: FrontDesk, function: Function, body: dict[str, str], authorization: str
):
    check_is_no(function(request(body, authorization), desk), 401, "wrong_token")
    check_is_no(function(request(b" " * 70_000, authorization), desk), 401, "wrong_token")
    assert not desk.stored
    assert not desk.questions
    assert desk.journal.counts[0] == (
        "CallersRefused",
        {"channel": "vodacom_mz_c2b", "reason": "wrong_token"},
    )


@every_endpoint
def test_without_tokens_nobody_is_admitted(
    desk: FrontDesk, function: Function, body: dict[str, str]
):
    desk.secrets[NAME] = {**SECRET, "tokens": []}
    check_is_no(function(request(body, "Bearer "), desk), 401, "wrong_token")


@every_endpoint
@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"<xml/>", b'{"amount":"1","amount":"2"}', b"{" * 9_999, b"\xff"]
)
def test_a_body_that_is_no_object_is_malformed(
    desk: FrontDesk, function: Function, body: dict[str, str], raw: bytes
):
    check_is_no(function(request(raw), desk), 400, "malformed")
    assert not desk.stored


@every_endpoint
def test_a_body_that_is_too_large_is_turned_away(
    desk: FrontDesk, function: Function, body: dict[str, str]
):
    check_is_no(function(request(b" " * 70_000), desk), 413, "too_large")


@pytest.mark.parametrize(("function", "body"), ENDPOINTS[:2])
@pytest.mark.parametrize(
    "failure",
    [TryAgain(), OutcomeUnknown(), QueueUnavailable(), VersionConflict("x"), SecretMissing("x")],
)
def test_what_cannot_be_done_now_is_to_be_sent_again(
    desk: FrontDesk, function: Function, body: dict[str, str], failure: MwangaError
):
    desk.failure = failure
    check_is_no(function(request(body), desk), 503, "try_again")
    assert desk.journal.reasons == [failure.code]


@every_endpoint
@pytest.mark.parametrize(
    "secrets",
    [
        {},
        {NAME: {**SECRET, "tokens": None}},
        {NAME: {**SECRET, "tokens": TOKEN}},
        {NAME: {**SECRET, "tokens": [1]}},
        {NAME: {**SECRET, "currency": None}},
        {NAME: {**SECRET, "currency": "ZZZ"}},
    ],
)
def test_without_the_whole_secret_nothing_is_taken(
    function: Function, body: dict[str, str], secrets: dict[str, Any]
):
    desk = FrontDesk(secrets)
    check_is_no(function(request(body), desk), 503, "try_again")
    assert not desk.stored


def test_what_is_noted_names_no_person_and_no_secret(desk: FrontDesk):
    tell(desk, amount="a")
    tell(desk, transaction_id="asha 258840000001")
    vodacom_mz_c2b.process(request(REPORT, f"Bearer almost-{TOKEN}"), desk)
    noted = str(desk.journal.events)
    assert len(desk.journal.events) == 3
    assert "840000001" not in noted
    assert TOKEN not in noted


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(
    st.binary(max_size=200)
    | st.dictionaries(st.sampled_from([*REPORT]), json_values).map(lambda c: {**REPORT, **c})
)
def test_any_body_gets_an_answer(body: bytes | dict[str, Any]):
    for function, _ in ENDPOINTS:
        desk = FrontDesk({NAME: SECRET}, company=MZN)
        assert function(request(body), desk).status in (200, 400, 404)
