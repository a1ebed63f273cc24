"""Daraja C2B: Safaricom's question and its confirmation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import daraja
from chalicelib.channels.daraja import CHANNEL
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.payment import Status
from chalicelib.services.ports import (
    OutcomeUnknown,
    ProviderAnswer,
    ProviderRequest,
    RefusalClass,
    SecretMissing,
    TryAgain,
    VersionConflict,
)
from tests.unit.channels.front_desk import FrontDesk

SECRET = {
    "short_code": "600966",
    "path_secrets": ["new-path-secret", "old-path-secret"],
    "addresses": ["196.201.214.200", "196.201.213.0/24"],
}
REPORT = {
    "TransactionType": "Pay Bill",
    "TransID": "RKL51ZDR4F",
    "TransTime": "20260108120000",
    "TransAmount": "250.00",
    "BusinessShortCode": "600966",
    "BillRefNumber": "sm5r 00123",
    "InvoiceNumber": "",
    "OrgAccountBalance": "",
    "ThirdPartyTransID": "",
    "MSISDN": "2547 ***** 126",
    "FirstName": "ASHA",
    "MiddleName": "",
    "LastName": "",
}
YES_TO_THE_QUESTION = {"ResultCode": "0", "ResultDesc": "Accepted"}
STORED = {"ResultCode": 0, "ResultDesc": "Accepted"}
ENDPOINTS = (daraja.validation, daraja.confirmation)


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({"channels/daraja": SECRET})


def request(
    body: bytes | dict[str, Any],
    *,
    path_secret: str = "new-path-secret",
    address: str = "196.201.214.200",
) -> ProviderRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ProviderRequest("POST", {"path_secret": path_secret}, {}, raw, address)


def ask(desk: FrontDesk, **changes: Any) -> ProviderAnswer:
    return daraja.validation(request({**REPORT, **changes}), desk)


def confirm(desk: FrontDesk, **changes: Any) -> ProviderAnswer:
    return daraja.confirmation(request({**REPORT, **changes}), desk)


def rejected(code: str) -> dict[str, str]:
    return {"ResultCode": code, "ResultDesc": "Rejected"}


# --- as data --------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "daraja"
    assert CHANNEL.refusal_class is RefusalClass.ASKS_FIRST
    assert CHANNEL.can_refund
    assert [(e.method, e.path) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/daraja/{path_secret}/validation"),
        ("POST", "/payments/daraja/{path_secret}/confirmation"),
        ("POST", "/payments/daraja/{path_secret}/reversals/{reference}"),
    ]


@pytest.mark.parametrize("word", ["mpesa", "safaricom", "exe", "cmd", "sql", "query"])
def test_no_path_has_a_word_that_daraja_forbids(word: str):
    assert all(word not in endpoint.path.lower() for endpoint in CHANNEL.endpoints)


def test_every_refusal_has_a_code_that_daraja_knows():
    assert set(daraja.CODES) == set(Refusal)
    assert set(daraja.CODES.values()) <= {"C2B00012", "C2B00013", "C2B00016"}


# --- the question -----------------------------------------------------------------------------


def test_a_good_question_is_answered_yes_and_stores_nothing(desk: FrontDesk):
    answer = ask(desk)
    assert (answer.status, answer.body) == (200, YES_TO_THE_QUESTION)
    assert not desk.stored


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal.UNKNOWN_DEVICE, "C2B00012"),
        (Refusal.DEVICE_UNASSIGNED, "C2B00012"),
        (Refusal.NO_TARIFF, "C2B00012"),
        (Refusal.NO_PLAN, "C2B00012"),
        (Refusal.INVALID_AMOUNT, "C2B00013"),
        (Refusal.TOO_SMALL, "C2B00013"),
        (Refusal.WRONG_CURRENCY, "C2B00016"),
        (Refusal.NOTHING_TO_PAY, "C2B00016"),
    ],
)
def test_a_refusal_is_told_in_darajas_codes(desk: FrontDesk, refusal: Refusal, code: str):
    desk.refusal = refusal
    answer = ask(desk)
    assert (answer.status, answer.body) == (200, rejected(code))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"BusinessShortCode": "600967"}, "C2B00015"),
        ({"BusinessShortCode": ""}, "C2B00015"),
        ({"BusinessShortCode": None}, "C2B00015"),
        ({"TransAmount": "0.00"}, "C2B00013"),
        ({"TransAmount": "-5"}, "C2B00013"),
        ({"TransAmount": "250.001"}, "C2B00013"),
        ({"TransAmount": "two"}, "C2B00013"),
        ({"TransAmount": None}, "C2B00013"),
        ({"TransID": ""}, "C2B00016"),
        ({"TransID": "R/K"}, "C2B00016"),
        ({"TransID": "\ud800"}, "C2B00016"),
        ({"TransID": "R" * 41}, "C2B00016"),
    ],
)
def test_a_question_that_cannot_be_judged_is_answered_no(
    desk: FrontDesk, changes: dict[str, Any], code: str
):
    answer = ask(desk, **changes)
    assert (answer.status, answer.body) == (200, rejected(code))
    assert not desk.questions
    assert desk.journal.counts[0][0] == "ReportsFailed"


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown(), VersionConflict()])
def test_a_question_that_we_cannot_answer_now_is_answered_no(desk: FrontDesk, failure: MwangaError):
    desk.failure = failure
    answer = ask(desk)
    assert (answer.status, answer.body) == (200, rejected("C2B00016"))
    assert desk.journal.reasons == [failure.code]


# --- the claim ----------------------------------------------------------------------------------


def test_question_and_confirmation_make_the_same_claim(desk: FrontDesk):
    ask(desk)
    confirm(desk)
    assert desk.questions == desk.claims


def test_the_claim_holds_what_was_said(desk: FrontDesk):
    confirm(desk)
    (claim,) = desk.claims
    assert (claim.channel, claim.source) == ("daraja", "mpesa_ke.600966")
    assert (claim.transaction, claim.reference) == ("RKL51ZDR4F", "RKL51ZDR4F")
    assert (claim.serial_number, claim.amount_minor, claim.currency) == ("SM5R00123", 250_00, "KES")
    assert claim.paid_at == datetime(2026, 1, 8, 9, 0, tzinfo=UTC)
    assert list(desk.stored) == ["mpesa_ke.600966-RKL51ZDR4F"]


def test_the_masked_number_of_the_payer_is_not_kept(desk: FrontDesk):
    confirm(desk)
    assert desk.claims[0].payer_phone is None


@pytest.mark.parametrize(
    ("text", "amount_minor"), [("250", 250_00), ("250.5", 250_50), (" 1.00 ", 1_00)]
)
def test_amounts_are_taken_as_they_are_printed(desk: FrontDesk, text: str, amount_minor: int):
    confirm(desk, TransAmount=text)
    assert desk.claims[0].amount_minor == amount_minor


def test_values_may_be_numbers_and_lose_no_digit(desk: FrontDesk):
    raw = json.dumps({**REPORT, "BusinessShortCode": 600966, "BillRefNumber": 47000123456})
    raw = raw.replace('"250.00"', "450359962.10")
    assert daraja.confirmation(request(raw.encode()), desk).body == STORED
    assert desk.claims[0].amount_minor == 450_359_962_10
    assert desk.claims[0].serial_number == "47000123456"


@pytest.mark.parametrize(
    "text", ["", "yesterday", "20260230120000", "2026010812000", "00010101000000", None, "٢" * 14]
)
def test_a_time_that_cannot_be_read_is_left_open(desk: FrontDesk, text: str | None):
    assert confirm(desk, TransTime=text).body == STORED
    assert desk.claims[0].paid_at is None


def test_fields_that_we_do_not_know_are_ignored(desk: FrontDesk):
    assert confirm(desk, Novelty={"a": [1, 2.5]}).body == STORED


# --- the confirmation ---------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [None, *Refusal])
def test_money_that_has_moved_is_stored_whatever_we_think_of_it(
    desk: FrontDesk, refusal: Refusal | None
):
    desk.refusal = refusal
    answer = confirm(desk)
    assert (answer.status, answer.body) == (200, STORED)
    assert desk.stored["mpesa_ke.600966-RKL51ZDR4F"].status is Status.RECEIVED


@pytest.mark.parametrize(
    ("typed", "kept"), [("", "?"), ("pay asha", "PAYASHA"), ("#12*", "#12*"), (None, "?")]
)
def test_money_for_a_serial_that_is_none_is_stored_for_a_person_to_read(
    desk: FrontDesk, typed: str | None, kept: str
):
    assert confirm(desk, BillRefNumber=typed).body == STORED
    assert desk.claims[0].serial_number == kept


def test_money_above_our_own_maximum_is_stored_once_it_has_moved(desk: FrontDesk):
    assert confirm(desk, TransAmount="5000000.00").body == STORED
    assert desk.claims[0].amount_minor == 5_000_000_00


def test_a_repeated_confirmation_is_answered_alike(desk: FrontDesk):
    assert confirm(desk) == confirm(desk)
    assert len(desk.stored) == 1


def test_another_claim_under_one_receipt_is_answered_with_success_and_noted(desk: FrontDesk):
    confirm(desk)
    answer = confirm(desk, TransAmount="9999.00")
    assert (answer.status, answer.body) == (200, STORED)
    assert desk.stored["mpesa_ke.600966-RKL51ZDR4F"].amount_minor == 250_00
    assert desk.journal.reasons == ["reference_conflict"]


@pytest.mark.parametrize("failure", [TryAgain(), OutcomeUnknown(), VersionConflict()])
def test_an_error_is_answered_when_the_payment_was_not_stored(
    desk: FrontDesk, failure: MwangaError
):
    desk.failure = failure
    answer = confirm(desk)
    assert (answer.status, answer.body) == (503, rejected("C2B00016"))
    assert desk.journal.reasons == [failure.code]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"BusinessShortCode": "600967"}, "C2B00015"),
        ({"TransAmount": ""}, "C2B00013"),
        ({"TransAmount": "1" + "0" * 30}, "C2B00013"),
        ({"TransID": None}, "C2B00016"),
    ],
)
def test_a_confirmation_that_cannot_be_stored_is_an_error_and_an_alarm(
    desk: FrontDesk, changes: dict[str, Any], code: str
):
    answer = confirm(desk, **changes)
    assert (answer.status, answer.body) == (400, rejected(code))
    assert not desk.stored
    assert [metric for metric, _ in desk.journal.counts] == ["ReportsFailed"]


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"<xml/>", b'{"TransID":"A","TransID":"B"}', b"{" * 9999, b" " * 70_000]
)
def test_a_body_that_is_no_report_is_unreadable(desk: FrontDesk, raw: bytes):
    assert daraja.validation(request(raw), desk).body == rejected("C2B00016")
    answer = daraja.confirmation(request(raw), desk)
    assert (answer.status, answer.body) == (400, rejected("C2B00016"))
    assert desk.journal.reasons == ["unreadable", "unreadable"]


def test_what_is_noted_of_a_report_names_no_person(desk: FrontDesk):
    confirm(desk, TransAmount="x")
    desk.failure = TryAgain()
    confirm(desk)
    assert "ASHA" not in str(desk.journal.events)


# --- who is calling -------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("path_secret", ["new-path-secret", "old-path-secret"])
def test_every_live_path_secret_opens(desk: FrontDesk, endpoint: Any, path_secret: str):
    assert endpoint(request(REPORT, path_secret=path_secret), desk).status == 200


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "path_secret", ["", "new-path-secre", "new-path-secret ", "NEW-PATH-SECRET", "é", "\ud800"]
)
def test_a_wrong_path_secret_finds_nothing(desk: FrontDesk, endpoint: Any, path_secret: str):
    for address in ("196.201.214.200", "203.0.113.9"):
        answer = endpoint(request(REPORT, path_secret=path_secret, address=address), desk)
        assert (answer.status, answer.body) == (404, rejected("C2B00016"))
    assert not desk.questions
    assert not desk.claims
    assert desk.journal.reasons == ["wrong_path_secret", "wrong_path_secret"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_request_without_a_path_secret_finds_nothing(desk: FrontDesk, endpoint: Any):
    bare = ProviderRequest("POST", {}, {}, json.dumps(REPORT).encode(), "196.201.214.200")
    assert endpoint(bare, desk).status == 404


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("address", ["196.201.214.201", "196.201.212.9", "::1", "", "localhost"])
def test_a_wrong_address_is_forbidden(desk: FrontDesk, endpoint: Any, address: str):
    answer = endpoint(request(REPORT, address=address), desk)
    assert (answer.status, answer.body) == (403, rejected("C2B00016"))
    assert not desk.questions
    assert not desk.claims
    assert desk.journal.reasons == ["wrong_address"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_address_may_be_one_of_a_network(desk: FrontDesk, endpoint: Any):
    assert endpoint(request(REPORT, address="196.201.213.44"), desk).status == 200


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_address_that_the_caller_claims_for_itself_counts_for_nothing(
    desk: FrontDesk, endpoint: Any
):
    forged = ProviderRequest(
        "POST",
        {"path_secret": "new-path-secret"},
        {"X-Forwarded-For": "196.201.214.200"},
        json.dumps(REPORT).encode(),
        "203.0.113.9",
    )
    assert endpoint(forged, desk).status == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"short_code": None},
        {"short_code": 600966},
        {"short_code": "60096x"},
        {"path_secrets": None},
        {"path_secrets": "new-path-secret"},
        {"path_secrets": [""]},
        {"path_secrets": [1]},
        {"addresses": None},
        {"addresses": "196.201.214.200"},
        {"addresses": ["196.201.214.200/8"]},
        {"addresses": ["anywhere"]},
    ],
)
def test_with_a_secret_in_another_form_nothing_is_accepted(changes: dict[str, Any]):
    desk = FrontDesk({"channels/daraja": {**SECRET, **changes}})
    assert ask(desk).body == rejected("C2B00016")
    assert confirm(desk).status == 503
    assert not desk.stored
    assert desk.journal.reasons == [SecretMissing.code, SecretMissing.code]


def test_without_the_secret_nothing_is_accepted():
    desk = FrontDesk({})
    assert ask(desk).body == rejected("C2B00016")
    assert confirm(desk).status == 503


@pytest.mark.parametrize("name", ["path_secrets", "addresses"])
def test_an_empty_list_admits_nobody(name: str):
    desk = FrontDesk({"channels/daraja": {**SECRET, name: []}})
    assert ask(desk).status in (403, 404)
    assert confirm(desk).status in (403, 404)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(REPORT)) | st.text(max_size=5), json_values))
def test_any_report_gets_an_answer_in_darajas_words(changes: dict[str, Any]):
    desk = FrontDesk({"channels/daraja": SECRET})
    for body in (changes, {**REPORT, **changes}):
        for endpoint in ENDPOINTS:
            answer = endpoint(request(body), desk)
            assert answer.status in (200, 400)
            assert set(answer.body) == {"ResultCode", "ResultDesc"}


@given(st.binary(max_size=300), st.text(max_size=40), st.text(max_size=40))
def test_no_stranger_gets_further_than_the_door(body: bytes, path_secret: str, address: str):
    desk = FrontDesk({"channels/daraja": SECRET})
    for endpoint in ENDPOINTS:
        assert endpoint(request(body, path_secret=path_secret), desk).status == 404
        assert endpoint(request(body, address=address), desk).status == 403
