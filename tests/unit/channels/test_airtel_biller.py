"""Airtel Money for billers: the question, the word that money has moved, and the enquiry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import fromstring
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import airtel_biller
from chalicelib.channels.airtel_biller import CHANNEL
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.payment import Claim, Payment, Status, accepted, expired
from chalicelib.services.accept import ReferenceConflict
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
from tests.unit.channels.front_desk import NOW, FrontDesk

PAYMENT_ID = "airtel_biller-A1.77"
SECRET: dict[str, Any] = {"tokens": ["new-token", "old-token"], "currency": "UGX"}
QUESTION = {
    "TYPE": "MERCHPAY",
    "CUSTOMERMSISDN": "700000001",
    "MERCHANTMSISDN": "750000001",
    "AMOUNT": "5000",
    "REFERENCE": "sm5r 00123",
    "REFERENCE1": "A1.77",
}
MOVED = {"REFERENCE1": "A1.77", "REFERENCE2": "MP260108.1200.A1"}
ENDPOINTS = (airtel_biller.validation, airtel_biller.process, airtel_biller.enquiry)
FAILURES = [TryAgain(), OutcomeUnknown(), VersionConflict(), QueueUnavailable()]

Answered = tuple[str, str]


@pytest.fixture
def desk() -> FrontDesk:
    company = Settings(country="UG")
    return FrontDesk({"channels/airtel_biller": SECRET}, company=company)


def body(fields: Mapping[str, str | None]) -> bytes:
    given = {name: text for name, text in fields.items() if text is not None}
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in given.items())
    return f"<COMMAND>{inner}</COMMAND>".encode()


def request(raw: bytes, authorization: str | None = "Bearer new-token") -> ProviderRequest:
    headers = {} if authorization is None else {"authorization": authorization}
    return ProviderRequest("POST", {}, headers, raw, "203.0.113.9")


def read(answer: ProviderAnswer) -> dict[str, str]:
    """The fields of an answer, which must have Airtel's form."""
    assert answer.status == 200
    assert answer.content_type == "text/xml; charset=utf-8"
    root = fromstring(answer.body)
    assert root.tag == "COMMAND"
    fields = {child.tag: child.text or "" for child in root}
    assert list(fields)[:2] == ["STATUS", "MESSAGE"]
    return fields


def short(answer: ProviderAnswer) -> Answered:
    fields = read(answer)
    return fields["STATUS"], fields["MESSAGE"]


def ask(desk: FrontDesk, **changes: str | None) -> Answered:
    return short(airtel_biller.validation(request(body({**QUESTION, **changes})), desk))


def move(desk: FrontDesk, **changes: str | None) -> Answered:
    return short(airtel_biller.process(request(body({**MOVED, **changes})), desk))


def enquire(desk: FrontDesk, payment_id: str | None = PAYMENT_ID) -> dict[str, str]:
    return read(airtel_biller.enquiry(request(body({"TXNID": payment_id})), desk))


YES = ("200", "Success")


# --- as data --------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "airtel_biller"
    assert CHANNEL.refusal_class is RefusalClass.ASKS_FIRST
    assert not CHANNEL.can_refund
    assert not hasattr(airtel_biller, "make")
    assert [(e.method, e.path, e.content_types) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/airtel_biller/validation", ()),
        ("POST", "/payments/airtel_biller/process", ()),
        ("POST", "/payments/airtel_biller/enquiry", ()),
    ]


# --- the question -----------------------------------------------------------------------------


def test_a_yes_is_remembered_as_a_pending_payment(desk: FrontDesk):
    assert ask(desk) == YES
    payment = desk.stored[PAYMENT_ID]
    assert payment.status is Status.PENDING
    assert not desk.claims


def test_question_and_start_are_about_one_claim(desk: FrontDesk):
    ask(desk)
    (claim,) = desk.starts
    assert desk.questions == [claim]
    assert (claim.channel, claim.source) == ("airtel_biller", "airtel_biller")
    assert (claim.transaction, claim.reference) == ("A1.77", "A1.77")
    assert (claim.serial_number, claim.amount_minor, claim.currency) == ("SM5R00123", 5_000, "UGX")
    assert claim.payer_phone == "+256700000001"
    assert not claim.proven


@pytest.mark.parametrize("number", ["", None, "asha", "9" * 50])
def test_a_payer_without_a_number_may_pay(desk: FrontDesk, number: str | None):
    assert ask(desk, CUSTOMERMSISDN=number) == YES
    assert desk.starts[0].payer_phone is None


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refusal_is_told_with_its_reason_and_recorded(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    assert ask(desk) == ("400", refusal.value)
    assert len(desk.questions) == 1
    assert not desk.starts
    assert not desk.stored


def test_what_changes_between_question_and_start_is_a_no(
    desk: FrontDesk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(desk, "start", lambda claim: Refusal.DEVICE_UNASSIGNED)
    assert ask(desk) == ("400", "device_unassigned")


def test_the_same_question_again_is_answered_alike_and_stored_once(desk: FrontDesk):
    assert ask(desk) == ask(desk) == YES
    assert len(desk.starts) == 1


@pytest.mark.parametrize("changes", [{"AMOUNT": "5001"}, {"REFERENCE": "SM5R00124"}])
def test_another_question_under_one_reference_is_a_no(desk: FrontDesk, changes: dict[str, str]):
    ask(desk)
    assert ask(desk, **changes) == ("400", "not_agreed")
    assert desk.stored[PAYMENT_ID].amount_minor == 5_000


def test_two_questions_at_once_are_one(desk: FrontDesk, monkeypatch: pytest.MonkeyPatch):
    def beaten(claim: Claim) -> Payment:
        FrontDesk.start(desk, claim)
        raise ReferenceConflict

    monkeypatch.setattr(desk, "start", beaten)
    assert ask(desk) == YES


def test_two_different_questions_at_once_get_one_yes(
    desk: FrontDesk, monkeypatch: pytest.MonkeyPatch
):
    def beaten(claim: Claim) -> Payment:
        FrontDesk.start(desk, replace(claim, amount_minor=9))
        raise ReferenceConflict

    monkeypatch.setattr(desk, "start", beaten)
    assert ask(desk) == ("400", "not_agreed")


def test_a_reference_that_is_taken_by_nobody_knows_what_is_a_no(
    desk: FrontDesk, monkeypatch: pytest.MonkeyPatch
):
    def taken(claim: Claim) -> Payment:
        raise ReferenceConflict

    monkeypatch.setattr(desk, "start", taken)
    assert ask(desk) == ("400", "not_agreed")


def test_a_payment_that_was_made_is_not_agreed_to_again(desk: FrontDesk):
    ask(desk)
    move(desk)
    assert ask(desk) == ("400", "not_agreed")


def test_an_agreement_that_has_expired_is_not_renewed(desk: FrontDesk):
    ask(desk)
    desk.stored[PAYMENT_ID] = expired(desk.stored[PAYMENT_ID], "not_paid", NOW)
    assert ask(desk) == ("400", "not_agreed")


def test_after_a_recorded_no_the_same_reference_is_judged_again_and_never_a_yes(desk: FrontDesk):
    desk.stored[PAYMENT_ID] = refused_payment()
    desk.refusal = Refusal.UNKNOWN_DEVICE
    assert ask(desk) == ("400", "unknown_device")
    desk.refusal = None
    assert ask(desk) == ("400", "not_agreed")


def refused_payment() -> Payment:
    claim = Claim("airtel_biller", "airtel_biller", "A1.77", "A1.77", "SM5R00123", 5_000, "UGX")
    return accepted(claim, moment=NOW, received_at=NOW, customer_id=None, refusal="unknown_device")


@pytest.mark.parametrize("failure", FAILURES)
def test_a_question_that_we_cannot_answer_now_is_answered_no(desk: FrontDesk, failure: MwangaError):
    desk.failure = failure
    assert ask(desk) == ("400", "try_again")
    assert desk.journal.reasons == [failure.code]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        *[
            ({"AMOUNT": text}, "unusable_amount")
            for text in (None, "", "0", "-5", "1e3", "5,000", "0.5", "٥٠", "9" * 30)
        ],
        *[
            ({"REFERENCE1": text}, "unreadable")
            for text in (None, "", "A/B", "A B", "Ä1", "A" * 41)
        ],
    ],
)
def test_a_question_that_cannot_be_judged_is_answered_no(
    desk: FrontDesk, changes: dict[str, str | None], code: str
):
    assert ask(desk, **changes) == ("400", code)
    assert not desk.questions
    assert desk.journal.reasons == [code]


@pytest.mark.parametrize("typed", ["", None, "pay asha!", "#é"])
def test_a_serial_that_is_none_is_a_question_too(desk: FrontDesk, typed: str | None):
    desk.refusal = Refusal.UNKNOWN_DEVICE
    assert ask(desk, REFERENCE=typed) == ("400", "unknown_device")
    assert desk.questions[0].serial_number in ("?", "pay asha!", "#é")


# --- the money ----------------------------------------------------------------------------------


def test_money_that_has_moved_is_received_under_airtel_s_final_id(desk: FrontDesk):
    ask(desk)
    fields = read(airtel_biller.process(request(body(MOVED)), desk))
    assert fields == {"STATUS": "200", "MESSAGE": "Success", "TXNID": PAYMENT_ID}
    payment = desk.stored[PAYMENT_ID]
    assert (payment.status, payment.receipt) == (Status.RECEIVED, "MP260108.1200.A1")
    assert payment.amount_minor == 5_000


def test_it_counts_as_unproven_and_as_what_was_agreed(
    desk: FrontDesk, monkeypatch: pytest.MonkeyPatch
):
    told: list[Any] = []
    monkeypatch.setattr(desk, "paid", lambda payment_id, paid: told.append((payment_id, paid)))
    ask(desk)
    move(desk)
    ((payment_id, paid),) = told
    assert payment_id == PAYMENT_ID
    assert (paid.amount_minor, paid.currency, paid.proven) == (5_000, "UGX", False)


def test_a_repeat_is_answered_alike_and_received_once(desk: FrontDesk):
    ask(desk)
    assert move(desk) == YES
    desk.settle(PAYMENT_ID)
    assert move(desk) == YES
    assert desk.stored[PAYMENT_ID].status is Status.COMPLETED


def test_money_that_moves_after_its_time_is_received_all_the_same(desk: FrontDesk):
    ask(desk)
    desk.stored[PAYMENT_ID] = expired(desk.stored[PAYMENT_ID], "not_paid", NOW)
    assert move(desk) == YES
    assert desk.stored[PAYMENT_ID].status is Status.RECEIVED


def test_another_final_id_for_one_payment_is_answered_with_success_and_noted(desk: FrontDesk):
    ask(desk)
    move(desk)
    assert move(desk, REFERENCE2="MP260108.1300.B2") == YES
    assert desk.stored[PAYMENT_ID].receipt == "MP260108.1200.A1"
    assert desk.journal.reasons == ["reference_conflict"]


def test_one_final_id_never_pays_two_payments(desk: FrontDesk):
    ask(desk)
    ask(desk, REFERENCE1="A1.78")
    move(desk)
    assert move(desk, REFERENCE1="A1.78") == YES
    assert desk.stored["airtel_biller-A1.78"].status is Status.PENDING
    assert desk.journal.reasons == ["reference_conflict"]


def test_money_to_which_we_never_said_yes_is_refused_and_an_alarm(desk: FrontDesk):
    assert move(desk) == ("400", "not_agreed")
    assert not desk.stored
    assert [metric for metric, _ in desk.journal.counts] == ["ReportsFailed"]


def test_money_after_our_no_is_refused_and_an_alarm(desk: FrontDesk):
    desk.stored[PAYMENT_ID] = refused_payment()
    assert move(desk) == ("400", "not_agreed")
    assert desk.stored[PAYMENT_ID].status is Status.REFUSED
    assert desk.journal.reasons == ["not_agreed"]


@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_is_answered_when_the_money_was_not_stored(desk: FrontDesk, failure: MwangaError):
    ask(desk)
    desk.failure = failure
    assert move(desk) == ("503", "try_again")
    assert desk.stored[PAYMENT_ID].status is Status.PENDING
    assert desk.journal.reasons == [failure.code]


@pytest.mark.parametrize("name", ["REFERENCE1", "REFERENCE2"])
@pytest.mark.parametrize("text", [None, "", "A/B", "A B", "Ä1", "A" * 41])
def test_ids_that_cannot_be_read_move_nothing(desk: FrontDesk, name: str, text: str | None):
    ask(desk)
    assert move(desk, **{name: text}) == ("400", "unreadable")
    assert desk.stored[PAYMENT_ID].status is Status.PENDING


# --- the enquiry --------------------------------------------------------------------------------


def test_an_enquiry_tells_whether_the_money_is_with_us(desk: FrontDesk):
    ask(desk)
    assert enquire(desk) == {"STATUS": "200", "MESSAGE": "Pending", "REF": "A1.77"}
    move(desk)
    assert enquire(desk) == {"STATUS": "200", "MESSAGE": "Success", "REF": "A1.77"}
    desk.settle(PAYMENT_ID)
    assert enquire(desk)["MESSAGE"] == "Success"


@pytest.mark.parametrize("status", [Status.HELD, Status.REFUND_DUE, Status.VENDING])
def test_money_that_is_with_us_never_reads_as_failed(desk: FrontDesk, status: Status):
    ask(desk)
    move(desk)
    desk.stored[PAYMENT_ID] = replace(desk.stored[PAYMENT_ID], status=status)
    assert enquire(desk)["MESSAGE"] == "Success"


def test_a_payment_that_waits_for_a_person_without_money_is_pending(desk: FrontDesk):
    ask(desk)
    desk.stored[PAYMENT_ID] = replace(desk.stored[PAYMENT_ID], status=Status.HELD)
    assert enquire(desk)["MESSAGE"] == "Pending"


def test_what_expired_or_was_refused_has_failed(desk: FrontDesk):
    ask(desk)
    desk.stored[PAYMENT_ID] = expired(desk.stored[PAYMENT_ID], "not_paid", NOW)
    assert enquire(desk)["MESSAGE"] == "Failed"
    desk.stored[PAYMENT_ID] = refused_payment()
    assert enquire(desk)["MESSAGE"] == "Failed"


@pytest.mark.parametrize(
    "payment_id",
    [None, "", "A1.77", "airtel_biller-", "airtel_biller-A1.78", "paystack-A1.77", "é", "x" * 999],
)
def test_an_enquiry_for_what_is_none_of_this_channel_s_tells_nothing(
    desk: FrontDesk, payment_id: str | None
):
    ask(desk)
    desk.stored["paystack-A1.77"] = desk.stored[PAYMENT_ID]
    assert enquire(desk, payment_id) == {"STATUS": "400", "MESSAGE": "not_agreed"}


def test_an_enquiry_that_cannot_be_answered_now_is_to_be_sent_again(
    desk: FrontDesk, monkeypatch: pytest.MonkeyPatch
):
    def failing(payment_id: str) -> Payment:
        raise TryAgain

    monkeypatch.setattr(desk, "payment", failing)
    assert enquire(desk) == {"STATUS": "503", "MESSAGE": "try_again"}


# --- who is calling -------------------------------------------------------------------------------

Function = Callable[[ProviderRequest, FrontDesk], ProviderAnswer]


@pytest.mark.parametrize("authorization", ["Bearer new-token", "bearer old-token"])
def test_every_live_token_opens(desk: FrontDesk, authorization: str):
    answer = airtel_biller.validation(request(body(QUESTION), authorization), desk)
    assert short(answer) == YES


@pytest.mark.parametrize("function", ENDPOINTS)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "new-token", "Basic new-token", "Bearer", "Bearer new-toke", "Bearer é", "Bearer  "],
)
def test_without_a_live_token_nothing_is_told(
    desk: FrontDesk, function: Function, authorization: str | None
):
    for raw in (body({**QUESTION, **MOVED}), b"<", b""):
        answer = function(request(raw, authorization), desk)
        assert read(answer) == {"STATUS": "401", "MESSAGE": "Unauthorized"}
    assert not desk.questions
    assert set(desk.journal.reasons) == {"wrong_token"}


@pytest.mark.parametrize("function", ENDPOINTS)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"<COMMAND>",
        b"\xff\xfe",
        b"<a>" * 99 + b"</a>" * 99,
        b"<a><REFERENCE1>1</REFERENCE1><REFERENCE1>2</REFERENCE1></a>",
        b"<a><REFERENCE1><b/></REFERENCE1></a>",
        b"<!DOCTYPE a>" + body(QUESTION),
        body(QUESTION) + b" " * 70_000,
    ],
)
def test_a_body_that_cannot_be_read_is_a_no(desk: FrontDesk, function: Function, raw: bytes):
    assert read(function(request(raw), desk)) == {"STATUS": "400", "MESSAGE": "malformed"}
    assert not desk.stored
    assert desk.journal.reasons == ["malformed"]


@pytest.mark.parametrize(
    "content",
    [
        {},
        {**SECRET, "tokens": None},
        {**SECRET, "tokens": "new-token"},
        {**SECRET, "tokens": [""]},
        {**SECRET, "currency": None},
        {**SECRET, "currency": "XYZ"},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_agreed(content: dict[str, Any]):
    desk = FrontDesk({"channels/airtel_biller": content})
    assert ask(desk) == ("400", "try_again")
    assert not desk.stored
    assert desk.journal.reasons == [SecretMissing.code]


def test_without_the_secret_nothing_is_answered():
    assert ask(FrontDesk({})) == ("400", "try_again")
    assert move(FrontDesk({})) == ("503", "try_again")
    assert enquire(FrontDesk({})) == {"STATUS": "503", "MESSAGE": "try_again"}


def test_an_empty_list_of_tokens_admits_nobody():
    desk = FrontDesk({"channels/airtel_biller": {**SECRET, "tokens": []}})
    assert ask(desk) == ("401", "Unauthorized")


def test_what_is_noted_names_no_person_and_no_token(desk: FrontDesk):
    ask(desk, AMOUNT="x")
    move(desk)
    airtel_biller.process(request(body(MOVED), "Bearer guessed-token"), desk)
    for word in ("700000001", "new-token", "guessed-token"):
        assert word not in str(desk.journal.events)


xml_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=30)
names = st.sampled_from([*QUESTION, "REFERENCE2", "TXNID"])


@given(st.dictionaries(names, st.none() | xml_texts))
def test_any_message_gets_an_answer_in_airtel_s_words(changes: dict[str, str | None]):
    desk = FrontDesk({"channels/airtel_biller": SECRET})
    for function in ENDPOINTS:
        answer = function(request(body({**QUESTION, **MOVED, **changes})), desk)
        assert read(answer)["STATUS"] in ("200", "400")


@given(st.binary(max_size=300), st.text(max_size=40))
def test_no_stranger_gets_further_than_the_door(raw: bytes, word: str):
    desk = FrontDesk({"channels/airtel_biller": SECRET})
    for function in ENDPOINTS:
        assert read(function(request(raw, f"Bearer {word}"), desk))["STATUS"] == "401"
        assert read(function(request(raw), desk))["STATUS"] == "400"
    assert not desk.stored
