"""Payments of an owner, open ones by status, and those that the sweeper is to look at."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.payment import Payment, Status
from chalicelib.services.ports import InvalidCursor, Page, TryAgain
from chalicelib.store.cursors import decoded, encoded
from chalicelib.store.dynamodb import TRIES_MAX
from chalicelib.store.models import OPEN_SHARDS, shard_of
from chalicelib.store.payments import DynamoPayments
from tests.integration.store.examples import CUSTOMER_ID, NOW, payment
from tests.integration.store.faults import READ_TIMEOUT, answered, dynamodb_answers
from tests.integration.store.ledger_of_requests import LedgerOfRequests


def at_minute(minute: int, **changed: object) -> Payment:
    return payment(
        f"M{minute:03}",
        received_at=NOW + timedelta(minutes=minute),
        check_at=NOW + timedelta(minutes=minute),
        **changed,
    )


def all_pages(part: Callable[[str | None], Page[Payment]]) -> list[list[str]]:
    """The references on each page of a list, followed by its cursors to the end."""
    pages, cursor = [], None
    while True:
        page = part(cursor)
        pages.append([item.reference for item in page.items])
        if page.next is None:
            return pages
        cursor = page.next


# --- of an owner ------------------------------------------------------------------------------


def test_payments_of_a_customer_come_newest_first_in_pages(payments: DynamoPayments) -> None:
    for minute in range(5):
        payments.create(at_minute(minute))
    payments.create(at_minute(9, customer_id="C2"))
    pages = all_pages(lambda cursor: payments.by_owner(CUSTOMER_ID, 2, cursor))
    assert pages == [["M004", "M003"], ["M002", "M001"], ["M000"]]


def test_a_page_that_is_just_full_has_no_next(payments: DynamoPayments) -> None:
    payments.create(at_minute(1))
    payments.create(at_minute(2))
    assert payments.by_owner(CUSTOMER_ID, 2, None).next is None


def test_payments_without_a_customer_are_found_by_serial_number(payments: DynamoPayments) -> None:
    lost = payment(serial_number="TYPO1", customer_id=None)
    payments.create(lost)
    assert list(payments.by_owner("serial#TYPO1", 10, None).items) == [lost]


def test_payments_of_one_moment_are_all_listed_once(payments: DynamoPayments) -> None:
    for name in "ABCDE":
        payments.create(payment(name))
    pages = all_pages(lambda cursor: payments.by_owner(CUSTOMER_ID, 2, cursor))
    assert sorted(chain(*pages)) == list("ABCDE")


def test_more_payments_than_one_batch_holds_keep_their_order(payments: DynamoPayments) -> None:
    for minute in range(104):
        payments.create(at_minute(minute))
    page = payments.by_owner(CUSTOMER_ID, 103, None)
    assert [p.reference for p in page.items] == [f"M{minute:03}" for minute in range(103, 0, -1)]


# --- open ones ----------------------------------------------------------------------------------


def test_open_payments_of_a_status_come_newest_first_over_all_shards(
    payments: DynamoPayments,
) -> None:
    for minute in range(40):
        payments.create(at_minute(minute, status=Status.HELD))
    payments.create(at_minute(50, status=Status.VENDING))
    assert len({shard_of(at_minute(minute).payment_id) for minute in range(40)}) > OPEN_SHARDS / 2
    pages = all_pages(lambda cursor: payments.open("held", 15, cursor))
    assert list(chain(*pages)) == [f"M{minute:03}" for minute in range(39, -1, -1)]
    assert [len(page) for page in pages] == [15, 15, 10]


def test_a_payment_in_a_final_status_is_not_listed_as_open(payments: DynamoPayments) -> None:
    payments.create(payment(status=Status.COMPLETED, check_at=None))
    assert list(payments.open("completed", 10, None).items) == []


# --- due ones ------------------------------------------------------------------------------------


def due_anywhere(payments: DynamoPayments, minute: int, limit: int = 100) -> set[str]:
    until = NOW + timedelta(minutes=minute)
    return {
        payment_id
        for shard in range(OPEN_SHARDS)
        for payment_id in payments.due(shard, until, limit)
    }


def test_payments_are_due_from_their_check_on(payments: DynamoPayments) -> None:
    for minute in range(3):
        payments.create(at_minute(minute))
    assert due_anywhere(payments, 1) == {at_minute(0).payment_id, at_minute(1).payment_id}


def test_the_longest_due_come_first_and_only_so_many(payments: DynamoPayments) -> None:
    shard = shard_of(at_minute(0).payment_id)
    of_one_shard = [m for m in range(120) if shard_of(at_minute(m).payment_id) == shard]
    for minute in reversed(of_one_shard):
        payments.create(at_minute(minute))
    due = payments.due(shard, NOW + timedelta(days=1), 2)
    assert list(due) == [at_minute(minute).payment_id for minute in of_one_shard[:2]]


def test_the_sweepers_query_is_one_request(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    payments.due(3, NOW, 10)
    assert ledger.operations == ["Query"]


# --- cursors -------------------------------------------------------------------------------------


def forged(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "not base64 !",
        "é",
        "A" * 2000,
        forged("payments/status", "2026", "x"),
        forged("payments/owner", "2026"),
        forged("payments/owner", "2026", "x", "y"),
        forged("payments/owner", 5, "x"),
        forged("payments/owner", None, "x"),
        forged("payments/owner", "", "x"),
        forged("payments/owner", "2026", "x" * 400),
        base64.urlsafe_b64encode(b'{"payments/owner": 1}').decode(),
        base64.urlsafe_b64encode(b"[" * 700).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_cursor_that_the_list_did_not_make_is_refused(
    payments: DynamoPayments, cursor: str
) -> None:
    with pytest.raises(InvalidCursor):
        payments.by_owner(CUSTOMER_ID, 10, cursor)


def test_the_cursor_of_one_list_does_not_open_another(payments: DynamoPayments) -> None:
    payments.create(at_minute(1))
    payments.create(at_minute(2))
    cursor = payments.by_owner(CUSTOMER_ID, 1, None).next
    assert cursor
    with pytest.raises(InvalidCursor):
        payments.open("received", 1, cursor)


def test_a_cursor_of_one_owner_shows_nothing_of_another(payments: DynamoPayments) -> None:
    for minute in range(4):
        payments.create(at_minute(minute, customer_id=f"C{minute % 2}"))
    cursor = payments.by_owner("C1", 1, None).next
    page = payments.by_owner("C0", 10, cursor)
    assert {p.customer_id for p in page.items} <= {"C0"}


@given(st.text(max_size=80))
def test_any_text_is_a_cursor_or_an_invalid_one(text: str) -> None:
    try:
        keys = decoded("list", text, 2)
    except InvalidCursor:
        return
    assert len(keys) == 2


@given(st.lists(st.text(min_size=1, max_size=30), min_size=2, max_size=2))
def test_a_cursor_carries_any_keys(keys: list[str]) -> None:
    assert decoded("list", encoded("list", *keys), 2) == keys


# --- when DynamoDB is in trouble -----------------------------------------------------------------


@pytest.mark.parametrize("fault", [READ_TIMEOUT, answered("ThrottlingException")], ids=str)
def test_a_read_that_fails_may_be_tried_again(payments: DynamoPayments, fault: Exception) -> None:
    with dynamodb_answers(fault), pytest.raises(TryAgain):
        payments.by_owner(CUSTOMER_ID, 10, None)
    with dynamodb_answers(fault), pytest.raises(TryAgain):
        payments.get("x-1")
    with dynamodb_answers(fault), pytest.raises(TryAgain):
        payments.view_for_settlement("x-1", None, "S1")


def test_what_a_batch_leaves_for_later_is_asked_for_again(
    payments: DynamoPayments, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    payments.create(payment())
    left = leave_for_later(monkeypatch, times=2)
    assert payments.view_for_settlement(payment().payment_id, None, "S1").payment == payment()
    assert left == ["BatchGetItem"] * 3
    assert len(pauses) == 2


def test_a_batch_that_is_never_whole_may_be_tried_again_later(
    payments: DynamoPayments, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave_for_later(monkeypatch, times=99)
    with pytest.raises(TryAgain):
        payments.view_for_settlement(payment().payment_id, None, "S1")
    assert len(left) == TRIES_MAX


def leave_for_later(monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Make DynamoDB answer batches with nothing but unprocessed keys, so many times."""
    from chalicelib.store.connection import connection

    client, asked = connection().client, []
    really = client._make_api_call

    def make_api_call(operation: str, kwargs: dict[str, object]) -> object:
        asked.append(operation)
        if len(asked) <= times:
            return {"Responses": {}, "UnprocessedKeys": kwargs["RequestItems"]}
        return really(operation, kwargs)

    monkeypatch.setattr(client, "_make_api_call", make_api_call)
    return asked
