"""Swifta: the question, the word that money has moved, and what makes up for a weak cipher."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import swifta
from chalicelib.channels.interface import BODY_BYTES_MAX
from chalicelib.channels.swifta import CHANNEL
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.payment import Claim, Status
from chalicelib.services.accept import Quote
from chalicelib.services.ports import (
    OutcomeUnknown,
    ProviderAnswer,
    ProviderRequest,
    QueueUnavailable,
    RefusalClass,
    Settings,
    TryAgain,
    VersionConflict,
)
from tests.unit.channels.front_desk import NOW, FrontDesk, only

SECRET: dict[str, Any] = {
    "tokens": ["new-token", "old-token"],
    "words": ["Inensus", "Swifta"],
    "addresses": ["203.0.113.0/28", "198.51.100.7"],
    "currency": "NGN",
}
QUESTION: dict[str, Any] = {"meter_number": "47000123456", "amount": 500, "timestamp": 111111111}
SECONDS = int(NOW.timestamp())
ENDPOINTS = (swifta.validation, swifta.transaction)
FAILURES = [TryAgain(), OutcomeUnknown(), VersionConflict(), QueueUnavailable()]

Function = Callable[..., ProviderAnswer]


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({"channels/swifta": SECRET}, company=Settings(country="NG", currency="NGN"))


def cipher_of(fields: Mapping[str, Any]) -> str:
    timestamp, amount = fields.get("timestamp"), fields.get("amount")
    return hashlib.md5(f"Inensus{timestamp}{amount}Swifta".encode()).hexdigest()


def request(
    raw: bytes, authorization: str | None = "Bearer new-token", address: str = "203.0.113.9"
) -> ProviderRequest:
    headers = {} if authorization is None else {"authorization": authorization}
    return ProviderRequest("POST", {}, headers, raw, address)


def message(fields: Mapping[str, Any], **changes: Any) -> bytes:
    """The message with its right cipher, unless another is given. What is ``...`` is left out."""
    body = {"cipher": cipher_of({**fields, **changes}), **fields, **changes}
    return json.dumps({name: v for name, v in body.items() if v is not ...}).encode()


def read(answer: ProviderAnswer) -> tuple[int, dict[str, Any]]:
    assert answer.content_type == "application/json"
    return answer.status, json.loads(answer.body)


def ask(desk: FrontDesk, **changes: Any) -> tuple[int, dict[str, Any]]:
    return read(swifta.validation(request(message(QUESTION, **changes)), desk))


def agreed(desk: FrontDesk, **changes: Any) -> str:
    status, fields = ask(desk, **changes)
    assert status == 200
    return str(fields["transaction_id"])


def move(desk: FrontDesk, transaction_id: object, **changes: Any) -> tuple[int, dict[str, Any]]:
    moved = {
        "transaction_id": transaction_id,
        "transaction_reference": "SWF-2026/0108:77",
        "amount": 500,
        "timestamp": 111111112,
    }
    return read(swifta.transaction(request(message(moved, **changes)), desk))


def no(status: int, why: str) -> tuple[int, dict[str, Any]]:
    return status, {"success": 0, "message": why}


# --- as data --------------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "swifta"
    assert CHANNEL.refusal_class is RefusalClass.ASKS_FIRST
    assert not CHANNEL.can_refund
    assert not hasattr(swifta, "make")
    assert [(e.method, e.path, e.content_types) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/swifta/validation", ()),
        ("POST", "/payments/swifta/transaction", ()),
    ]


# --- the question ---------------------------------------------------------------------------------


def test_a_yes_names_the_customer_and_an_id_of_ours(desk: FrontDesk):
    status, fields = ask(desk)
    assert re.fullmatch("[0-9a-f]{32}", fields.pop("transaction_id"))
    assert (status, fields) == (
        200,
        {
            "success": 1,
            "amount": 500,
            "cipher": "8ce10af5a71b0243041bf8d30fbbc653",
            "timestamp": 111111111,
            "customer": "ASHA M.",
        },
    )


def test_a_yes_is_remembered_as_a_pending_payment(desk: FrontDesk):
    reference = agreed(desk, meter_number="sm5r-00123", amount="500.50")
    assert only(desk).payment_id == f"swifta-{reference}"
    assert only(desk).status is Status.PENDING
    (claim,) = desk.starts
    assert desk.quotes == [claim]
    assert (claim.channel, claim.source, claim.transaction) == ("swifta", "swifta", reference)
    assert (claim.serial_number, claim.amount_minor, claim.currency) == (
        "SM5R00123",
        500_50,
        "NGN",
    )
    assert not claim.proven
    assert claim.payer_phone is None


def test_each_question_has_an_id_of_its_own(desk: FrontDesk):
    assert agreed(desk) != agreed(desk)
    assert len(desk.stored) == 2


def test_numbers_come_back_exactly_as_they_came(desk: FrontDesk):
    raw = message({**QUESTION, "amount": "500.50"}).replace(b'"500.50"', b"500.50")
    answer = swifta.validation(request(raw), desk)
    assert answer.status == 200
    assert '"amount": 500.50,' in answer.body
    assert only(desk).amount_minor == 500_50


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_is_answered_with_why(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    assert ask(desk) == no(400, refusal.value)
    assert not desk.stored
    assert len(desk.questions) == 1


def test_a_yes_is_asked_for_once(desk: FrontDesk):
    assert ask(desk)[0] == 200
    assert not desk.questions


def test_a_payment_that_is_refused_between_quote_and_start_is_refused(desk: FrontDesk):
    class Changing(FrontDesk):
        def quote(self, claim: Claim) -> Quote | Refusal:
            quote = super().quote(claim)
            self.refusal = Refusal.DEVICE_UNASSIGNED
            return quote

    changing = Changing(desk.secrets, company=desk.company)
    assert ask(changing) == no(400, "device_unassigned")
    assert not changing.stored


@pytest.mark.parametrize("number", [None, ..., "", "#12*", ["x"]])
def test_a_meter_number_that_is_none_is_judged_as_an_unknown_device(
    desk: FrontDesk, number: object
):
    desk.refusal = Refusal.UNKNOWN_DEVICE
    assert ask(desk, meter_number=number) == no(400, "unknown_device")


# --- the money ------------------------------------------------------------------------------------


def test_money_that_has_moved_is_received(desk: FrontDesk):
    reference = agreed(desk)
    assert move(desk, reference) == (
        201,
        {
            "success": 1,
            "transaction_id": reference,
            "transaction_reference": "SWF-2026/0108:77",
            "amount": 500,
        },
    )
    assert (only(desk).status, only(desk).receipt) == (Status.RECEIVED, "SWF-2026/0108:77")


def test_a_report_is_never_taken_for_proven(desk: FrontDesk):
    reference = agreed(desk)
    with patch.object(FrontDesk, "paid", autospec=True) as paid:
        move(desk, reference)
    (_, payment_id, told) = paid.call_args.args
    assert payment_id == f"swifta-{reference}"
    assert (told.receipt, told.amount_minor, told.currency) == ("SWF-2026/0108:77", 500_00, "NGN")
    assert not told.proven


def test_a_repeated_report_is_answered_alike(desk: FrontDesk):
    reference = agreed(desk)
    assert move(desk, reference) == move(desk, reference)
    assert len(desk.stored) == 1


def test_an_amount_may_be_written_otherwise(desk: FrontDesk):
    assert move(desk, agreed(desk), amount="500.00")[0] == 201


@pytest.mark.parametrize("amount", [499, 501, 5000, "500.01"])
def test_another_amount_than_agreed_is_refused_and_noted(desk: FrontDesk, amount: object):
    assert move(desk, agreed(desk), amount=amount) == no(400, "reference_conflict")
    assert only(desk).status is Status.PENDING
    assert desk.journal.counts == [
        ("ReportsFailed", {"channel": "swifta", "reason": "reference_conflict"})
    ]


def test_a_second_reference_for_one_payment_is_refused_and_noted(desk: FrontDesk):
    reference = agreed(desk)
    move(desk, reference)
    assert move(desk, reference, transaction_reference="2") == no(400, "reference_conflict")
    assert only(desk).receipt == "SWF-2026/0108:77"


def test_one_reference_for_two_payments_is_refused(desk: FrontDesk):
    first, second = agreed(desk), agreed(desk)
    move(desk, first)
    assert move(desk, second) == no(400, "reference_conflict")


@pytest.mark.parametrize(
    "transaction_id", ["0" * 32, "1", "", None, ..., 12, ["x"], "A" * 32, "é" * 32]
)
def test_an_id_to_which_we_never_said_yes_is_refused_and_noted(
    desk: FrontDesk, transaction_id: object
):
    agreed(desk)
    assert move(desk, transaction_id) == no(400, "unknown_transaction")
    assert only(desk).status is Status.PENDING
    assert desk.journal.counts == [("ReportsFailed", {"channel": "swifta", "reason": "not_found"})]


@pytest.mark.parametrize(
    "receipt", [None, ..., "", " ", "a b", "x" * 94, "/" * 40, "é", "\U0001f4a1", ["x"], "a\nb"]
)
def test_a_reference_that_cannot_be_kept_is_refused_and_noted(desk: FrontDesk, receipt: object):
    assert move(desk, agreed(desk), transaction_reference=receipt) == no(400, "unreadable")
    assert only(desk).status is Status.PENDING
    assert [event["detail"] for event in desk.journal.events[-1:]] == ["transaction_reference"]


# --- who is calling -------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ENDPOINTS)
@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Basic new-token", "new-token", "é"]
)
def test_a_caller_without_a_live_token_learns_nothing(
    desk: FrontDesk, function: Function, authorization: str | None
):
    answer = function(request(message(QUESTION), authorization), desk)
    assert read(answer) == no(401, "wrong_token")
    assert desk.journal.counts == [
        ("CallersRefused", {"channel": "swifta", "reason": "wrong_token"})
    ]
    assert not desk.quotes


@pytest.mark.parametrize("token", ["new-token", "old-token"])
def test_every_live_token_is_good(desk: FrontDesk, token: str):
    assert swifta.validation(request(message(QUESTION), f"Bearer {token}"), desk).status == 200


@pytest.mark.parametrize("function", ENDPOINTS)
@pytest.mark.parametrize("address", ["203.0.113.77", "", "somewhere", "::1"])
def test_a_caller_from_a_foreign_address_learns_nothing(
    desk: FrontDesk, function: Function, address: str
):
    answer = function(request(message(QUESTION), address=address), desk)
    assert read(answer) == no(403, "wrong_address")
    assert not desk.quotes


def test_the_cipher_is_that_of_the_vector(desk: FrontDesk):
    vector = {
        "meter_number": "47000123456",
        "amount": 500,
        "timestamp": 111111111,
        "cipher": "8ce10af5a71b0243041bf8d30fbbc653",
    }
    assert swifta.validation(request(json.dumps(vector).encode()), desk).status == 200
    capitals = {**vector, "cipher": vector["cipher"].upper()}  # type: ignore[attr-defined]
    assert swifta.validation(request(json.dumps(capitals).encode()), desk).status == 200


@pytest.mark.parametrize("function", ENDPOINTS)
@pytest.mark.parametrize(
    "changes",
    [
        {"cipher": "0" * 32},
        {"cipher": None},
        {"cipher": ...},
        {"cipher": ""},
        {"cipher": 5},
        {"cipher": "é"},
        {"cipher": cipher_of({**QUESTION, "amount": 5000})},
        {"cipher": cipher_of({**QUESTION, "timestamp": 1})},
        {"cipher": cipher_of(QUESTION), "amount": "500.0"},
    ],
)
def test_a_message_with_a_wrong_cipher_is_turned_away(
    desk: FrontDesk, function: Function, changes: dict[str, Any]
):
    answer = function(request(message(QUESTION, **changes)), desk)
    assert read(answer) == no(401, "wrong_cipher")
    assert not desk.quotes


def test_other_words_make_other_ciphers(desk: FrontDesk):
    desk.secrets["channels/swifta"] = {**SECRET, "words": ["a long word of ours", "another"]}
    assert ask(desk) == no(401, "wrong_cipher")


def test_ciphers_are_compared_in_constant_time(desk: FrontDesk):
    with patch("hmac.compare_digest", wraps=hmac.compare_digest) as compared:
        ask(desk)
    assert compared.call_count == 3  # two tokens, one cipher


# --- the time of a message ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timestamp", "is_good"),
    [
        (SECONDS, True),
        (SECONDS - 300, True),
        (SECONDS + 300, True),
        (str(SECONDS), True),
        (SECONDS * 1000 + 999, True),
        ((SECONDS - 300) * 1000, True),
        (SECONDS - 301, False),
        (SECONDS + 301, False),
        ((SECONDS + 301) * 1000, False),
        (111111111, False),
        (0, False),
        (10**19, False),
    ],
)
def test_where_the_company_wants_it_a_message_must_be_of_now(
    desk: FrontDesk, timestamp: object, is_good: bool
):
    desk.secrets["channels/swifta"] = {**SECRET, "timestamp_tolerance_seconds": 300}
    answered = ask(desk, timestamp=timestamp)
    if is_good:
        assert answered[0] == 200
    else:
        assert answered == no(401, "stale_timestamp")
        assert not desk.quotes


@pytest.mark.parametrize(("timestamp", "noted"), [(111111111, True), (SECONDS - 3600, False)])
def test_where_it_does_not_a_number_that_is_no_time_is_only_noted(
    desk: FrontDesk, timestamp: int, noted: bool
):
    assert ask(desk, timestamp=timestamp)[0] == 200
    assert [event["what"] for event in desk.journal.events] == ["timestamp_is_no_time"] * noted


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ENDPOINTS)
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"timestamp": "soon"}, "unreadable"),
        ({"timestamp": -1}, "unreadable"),
        ({"timestamp": "1" * 21}, "unreadable"),
        ({"timestamp": "١" * 9}, "unreadable"),
        ({"amount": 0}, "unusable_amount"),
        ({"amount": -500}, "unusable_amount"),
        ({"amount": "500.001"}, "unusable_amount"),
        ({"amount": "five"}, "unusable_amount"),
        ({"amount": "1e3"}, "unusable_amount"),
        ({"amount": 10**30}, "unusable_amount"),
    ],
)
def test_a_message_that_cannot_be_read_is_answered_no(
    desk: FrontDesk, function: Function, changes: dict[str, Any], why: str
):
    answer = function(request(message(QUESTION, **changes)), desk)
    assert read(answer) == no(400, why)
    assert not desk.stored


@pytest.mark.parametrize("function", ENDPOINTS)
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", no(400, "malformed")),
        (b"\xff", no(400, "malformed")),
        (b"[]", no(400, "malformed")),
        (b'{"amount": Infinity}', no(400, "malformed")),
        (b'{"amount": 1, "amount": 2}', no(400, "malformed")),
        (b'{"meter_number": "\\ud800"}', no(400, "malformed")),
        (b"[" * 60_000, no(400, "malformed")),
        (b" " * (BODY_BYTES_MAX + 1), no(400, "too_large")),
        (b"{}", no(401, "wrong_cipher")),
        (b'{"amount": {"a": [1]}, "timestamp": true}', no(401, "wrong_cipher")),
    ],
)
def test_a_body_that_is_no_message_stores_nothing(
    desk: FrontDesk, function: Function, raw: bytes, expected: object
):
    assert read(function(request(raw), desk)) == expected
    assert not desk.stored


# --- trouble of our own ---------------------------------------------------------------------------


@pytest.mark.parametrize("failure", FAILURES)
def test_what_we_cannot_do_now_is_to_be_sent_again(desk: FrontDesk, failure: MwangaError):
    reference = agreed(desk)
    desk.failure = failure
    assert ask(desk) == no(500, "try_again")
    assert move(desk, reference) == no(500, "try_again")
    noted = [event["reason"] for event in desk.journal.events if "reason" in event]
    assert noted == [failure.code, failure.code]


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": "new-token"},
        {"tokens": None},
        {"words": ["one"]},
        {"words": ["one", "two", "three"]},
        {"words": ["one", 2]},
        {"addresses": None},
        {"addresses": ["203.0.113.9/8"]},
        {"currency": "XXQ"},
        {"timestamp_tolerance_seconds": 0},
        {"timestamp_tolerance_seconds": "300"},
        {"timestamp_tolerance_seconds": True},
        {"timestamp_tolerance_seconds": 1.5},
    ],
)
def test_a_half_configured_channel_says_neither_yes_nor_no(
    desk: FrontDesk, changes: dict[str, Any]
):
    desk.secrets["channels/swifta"] = {**SECRET, **changes}
    assert ask(desk) == no(500, "try_again")
    assert [event["detail"].split(":")[0] for event in desk.journal.events] == ["channels/swifta"]


@pytest.mark.parametrize("name", ["tokens", "addresses"])
def test_an_empty_list_admits_nobody(desk: FrontDesk, name: str):
    desk.secrets["channels/swifta"] = {**SECRET, name: []}
    assert ask(desk)[0] in (401, 403)


def test_no_token_and_no_word_is_noted(desk: FrontDesk):
    ask(desk, cipher="x")
    ask(desk, amount=0)
    swifta.validation(request(b"{}", "Bearer stolen-token"), desk)
    noted = json.dumps(desk.journal.events)
    assert not any(word in noted for word in ("token-", "stolen-token", "Inensus"))


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from([*QUESTION, "transaction_id", "transaction_reference", "x"])


@given(st.binary(max_size=300) | st.dictionaries(NAMES, JSONISH), st.sampled_from(ENDPOINTS))
def test_whatever_the_body_the_answer_is_one_of_ours(
    body: bytes | dict[str, Any], function: Function
):
    desk = FrontDesk({"channels/swifta": SECRET})
    raw = body if isinstance(body, bytes) else message({**QUESTION, **body})
    status, fields = read(function(request(raw), desk))
    assert status in (200, 400, 401)
    assert fields["success"] == (1 if status == 200 else 0)
