"""Payments: stored once, and written only by whoever read the present state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import GetError

from chalicelib.domain.allocation import VendKind
from chalicelib.domain.payment import Payment, Refund, RefundState, Status, Token
from chalicelib.services.ports import (
    AlreadyThere,
    ConditionFailed,
    OutcomeUnknown,
    SettlementView,
    TryAgain,
    VersionConflict,
)
from chalicelib.store.accounts import DynamoAccounts
from chalicelib.store.models import AccountRow, DeviceRow, PaymentRow
from chalicelib.store.payments import DynamoPayments
from tests.integration.conftest import Cloud
from tests.integration.store.examples import (
    CUSTOMER_ID,
    NOW,
    SHS,
    account,
    completed,
    device,
    payment,
    vending,
)
from tests.integration.store.faults import (
    READ_TIMEOUT,
    DoneBut,
    answered,
    cancelled,
    dynamodb_answers,
)
from tests.integration.store.ledger_of_requests import LedgerOfRequests


@pytest.mark.parametrize(
    "stored", [payment(), payment(customer_id=None), completed(), vending()], ids=str
)
def test_a_payment_is_read_as_it_was_stored(payments: DynamoPayments, stored: Payment) -> None:
    payments.create(stored)
    assert payments.get(stored.payment_id) == stored


@pytest.mark.parametrize(
    "token",
    [
        Token(1, "SHS1", VendKind.UNLOCK, units=None, value="190942008"),
        Token(1, "47001", VendKind.ENERGY, units=Fraction(11, 2), value=None),
        Token(1, "47001", VendKind.ENERGY, units=None, value="3" * 20, before=("2" * 20, "1" * 20)),
    ],
    ids=["an unlock", "a remote top-up", "a new key first"],
)
def test_a_token_of_any_shape_is_read_as_it_was_stored(
    payments: DynamoPayments, token: Token
) -> None:
    payment = replace(completed(), tokens=(token,))
    payments.create(payment)
    assert payments.get(payment.payment_id) == payment


def test_a_token_stored_before_others_could_come_first_is_read_and_nothing_is_stored_for_none(
    payments: DynamoPayments, cloud: Cloud
) -> None:
    payment = completed()
    payments.create(payment)
    item = PaymentRow.get(payment.payment_id).to_dynamodb_dict()
    [token] = item["tokens"]["L"]
    assert set(token["M"]) == {"vend", "serial_number", "kind", "units", "value"}
    stored = payments.get(payment.payment_id)
    assert stored is not None and stored.tokens[0].before == ()


def test_an_unknown_payment_is_none(payments: DynamoPayments) -> None:
    assert payments.get("nobody.knows-1") is None


def test_a_payment_is_created_in_one_request(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    payments.create(payment())
    assert ledger.operations == ["PutItem"]
    assert ledger.write_units == 3


def test_a_second_report_gets_the_stored_payment_out_of_the_failed_condition(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    stored = payment(status=Status.HELD, reason="stuck")
    payments.create(stored)
    ledger.clear()
    with pytest.raises(AlreadyThere) as caught:
        payments.create(payment())
    assert caught.value.existing == stored
    assert ledger.count == 0, "no read beside the refused write"


def test_a_refused_payment_occupies_the_id_for_create(payments: DynamoPayments) -> None:
    refused = payment(status=Status.REFUSED, reason="unknown_device", check_at=None)
    payments.create(refused)
    with pytest.raises(AlreadyThere) as caught:
        payments.create(payment())
    assert caught.value.existing == refused


def test_of_many_reports_at_once_one_is_stored(payments: DynamoPayments) -> None:
    def report(number: int) -> str:
        try:
            payments.create(payment(reference=f"report {number}"))
        except AlreadyThere as taken:
            return taken.existing.reference
        return "stored"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(report, range(8)))
    stored = payments.get(payment().payment_id)
    assert stored
    assert outcomes.count("stored") == 1
    assert set(outcomes) == {"stored", stored.reference}


def test_saving_raises_the_revision_by_one(payments: DynamoPayments) -> None:
    payments.create(payment())
    written = payments.save(payment(status=Status.HELD, reason="stuck"))
    assert written == payment(status=Status.HELD, reason="stuck", revision=2)
    assert payments.get(written.payment_id) == written


def test_of_two_writers_the_second_is_told(payments: DynamoPayments) -> None:
    payments.create(payment())
    first = payments.save(payment(sweeps=1))
    with pytest.raises(VersionConflict):
        payments.save(payment(sweeps=9))
    assert payments.get(first.payment_id) == first


def test_a_payment_that_is_not_there_cannot_be_saved(payments: DynamoPayments) -> None:
    with pytest.raises(VersionConflict):
        payments.save(payment())
    assert payments.get(payment().payment_id) is None


def test_a_refusal_that_is_a_bug_is_not_dressed_up(payments: DynamoPayments) -> None:
    for code in ("ValidationException", "AccessDeniedException"):
        with dynamodb_answers(answered(code)), pytest.raises(ClientError, match=code):
            payments.create(payment())
        with dynamodb_answers(answered(code)), pytest.raises(GetError, match=code):
            payments.get("x-1")


def test_what_is_cleared_is_gone_from_the_item(payments: DynamoPayments, cloud: Cloud) -> None:
    payments.create(payment())
    payments.save(payment(check_at=None, status=Status.COMPLETED))
    item = cloud.item("payments", payment_id=payment().payment_id)
    assert item
    assert not {"check_at", "open_shard"} & item.keys(), "it has left the index of open payments"


def test_the_view_for_settlement_takes_one_request(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    payments.create(payment())
    AccountRow.of(account()).save()
    DeviceRow.of(device()).save()
    ledger.clear()
    view = payments.view_for_settlement(payment().payment_id, CUSTOMER_ID, SHS)
    assert view == SettlementView(payment(), account(), device())
    assert ledger.operations == ["BatchGetItem"]


def test_the_view_says_none_for_what_is_not_there(payments: DynamoPayments) -> None:
    assert payments.view_for_settlement("x-1", "C9", "S9") == SettlementView(None, None, None)


def test_the_view_without_a_customer_has_no_account(
    payments: DynamoPayments, accounts: DynamoAccounts
) -> None:
    payments.create(payment(customer_id=None))
    view = payments.view_for_settlement(payment().payment_id, None, SHS)
    assert view == SettlementView(payment(customer_id=None), None, None)


def test_the_index_keys_follow_owner_and_next_check(payments: DynamoPayments, cloud: Cloud) -> None:
    payments.create(payment("A", customer_id=None))
    item = cloud.item("payments", payment_id=payment("A").payment_id)
    assert item
    assert item["owner"] == {"S": f"serial#{SHS}"}
    assert item["open_shard"]["S"].startswith("open#")
    assert replace(payment("A"), customer_id=None) == payments.get(payment("A").payment_id)


# --- a payment that we started is paid ------------------------------------------------------------

GUARD_ID = "paystack-RCPT1"
STARTED = payment(status=Status.PENDING)
RECEIVED = replace(STARTED, status=Status.RECEIVED, receipt="RCPT1")


def receive(payments: DynamoPayments, paid: Payment = RECEIVED) -> Payment:
    return payments.receive(paid, (GUARD_ID, paid.payment_id))


def guard(cloud: Cloud) -> str | None:
    item = cloud.item("guards", guard_id=GUARD_ID)
    return item["held_by"]["S"] if item else None


def test_a_paid_payment_and_the_guard_on_its_receipt_are_written_in_one_transaction(
    payments: DynamoPayments, cloud: Cloud, ledger: LedgerOfRequests
) -> None:
    payments.create(STARTED)
    ledger.clear()
    written = receive(payments)
    assert written == replace(RECEIVED, revision=2)
    assert payments.get(written.payment_id) == written
    assert guard(cloud) == written.payment_id
    assert ledger.operations == ["TransactWriteItems", "GetItem"]


def test_a_receipt_that_is_known_is_told_and_nothing_is_written(
    payments: DynamoPayments, cloud: Cloud
) -> None:
    other = payment("ANOTHER", status=Status.PENDING)
    payments.create(STARTED)
    payments.create(other)
    receive(payments)
    with pytest.raises(ConditionFailed) as caught:
        receive(payments, replace(other, status=Status.RECEIVED, receipt="RCPT1"))
    assert caught.value.what == "guard"
    assert payments.get(other.payment_id) == other
    assert guard(cloud) == STARTED.payment_id


def test_a_payment_that_was_changed_since_is_not_received_and_leaves_no_guard(
    payments: DynamoPayments, cloud: Cloud
) -> None:
    payments.create(STARTED)
    changed = payments.save(replace(STARTED, sweeps=1))
    with pytest.raises(VersionConflict):
        receive(payments)
    assert payments.get(STARTED.payment_id) == changed
    assert guard(cloud) is None


def test_the_same_receipt_for_the_same_payment_again_is_known_by_its_guard(
    payments: DynamoPayments,
) -> None:
    payments.create(STARTED)
    written = receive(payments)
    with pytest.raises(ConditionFailed):
        receive(payments)
    assert payments.get(STARTED.payment_id) == written


def test_a_receipt_whose_writing_was_not_confirmed_was_written_once(
    payments: DynamoPayments, cloud: Cloud
) -> None:
    payments.create(STARTED)
    with dynamodb_answers(DoneBut(READ_TIMEOUT)), pytest.raises(OutcomeUnknown):
        receive(payments)
    assert payments.get(STARTED.payment_id) == replace(RECEIVED, revision=2)
    assert guard(cloud) == STARTED.payment_id


def test_while_the_store_is_busy_neither_payment_nor_guard_is_written(
    payments: DynamoPayments, cloud: Cloud
) -> None:
    payments.create(STARTED)
    busy = [cancelled("TransactionConflict", "None")] * 50
    with dynamodb_answers(*busy), pytest.raises(TryAgain):
        receive(payments)
    assert (payments.get(STARTED.payment_id), guard(cloud)) == (STARTED, None)


# --- refunds --------------------------------------------------------------------------------------


def test_refunds_are_read_as_they_were_stored(payments: DynamoPayments) -> None:
    bare = Refund(1, 30_000, RefundState.VOID)
    full = Refund(
        2,
        20_000,
        RefundState.UNCERTAIN,
        attempts=3,
        lease_until=NOW,
        retry_at=NOW,
        called_at=NOW,
        looks=4,
        reference="R1",
    )
    stored = payment(status=Status.REFUND_DUE, refunds=(bare, full), refund_at=NOW, receipt="RCPT1")
    payments.create(stored)
    assert payments.get(stored.payment_id) == stored
