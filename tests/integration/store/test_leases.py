"""Taking up a vend: one conditional request, and of two workers one gets it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.payment import Payment, Status, VendState
from chalicelib.services.ports import OutcomeUnknown, TryAgain
from chalicelib.store.dynamodb import TRIES_MAX
from chalicelib.store.payments import DynamoPayments
from tests.integration.store.examples import ENERGY_VEND, NOW, vending
from tests.integration.store.faults import READ_TIMEOUT, DoneBut, answered, dynamodb_answers
from tests.integration.store.ledger_of_requests import LedgerOfRequests

LEASE_UNTIL = NOW + timedelta(seconds=30)
PAYMENT_ID = vending().payment_id


def lease(
    payments: DynamoPayments, number: int = 1, attempt: int = 1, *, again: bool = False
) -> Payment | None:
    return payments.lease(
        PAYMENT_ID, number, attempt, called_at=NOW, lease_until=LEASE_UNTIL, again=again
    )


def test_a_lease_is_one_request_that_brings_the_payment_back(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    payments.create(vending())
    ledger.clear()
    leased = lease(payments)
    assert ledger.operations == ["UpdateItem"]
    assert ledger.write_units == 1
    taken = replace(
        ENERGY_VEND,
        state=VendState.CALLING,
        attempts=1,
        lease_until=LEASE_UNTIL,
        called_at=NOW,
    )
    assert leased == replace(vending(), vends=(taken,), revision=2)
    assert payments.get(PAYMENT_ID) == leased


def test_of_two_workers_one_gets_the_lease(payments: DynamoPayments) -> None:
    payments.create(vending())
    with ThreadPoolExecutor(4) as pool:
        leases = list(pool.map(lambda _: lease(payments), range(8)))
    assert sum(leased is not None for leased in leases) == 1


def test_an_uncertain_vend_is_taken_up_again_only_where_that_is_harmless(
    payments: DynamoPayments,
) -> None:
    payments.create(vending(state=VendState.UNCERTAIN, attempts=1, retry_at=NOW, looks=2))
    assert lease(payments, attempt=2) is None
    leased = lease(payments, attempt=2, again=True)
    assert leased
    assert (leased.vend(1).state, leased.vend(1).attempts) == (VendState.CALLING, 2)
    assert (leased.vend(1).retry_at, leased.vend(1).looks) == (None, 0)


WITH_VENDS_UNDER_WAY = [Status.VENDING, Status.HELD, Status.REFUNDING]


@pytest.mark.parametrize("status", WITH_VENDS_UNDER_WAY)
def test_a_refused_vend_is_taken_up_again_by_the_next_attempt(
    payments: DynamoPayments, status: Status
) -> None:
    tried = vending(state=VendState.REFUSED, attempts=1, retry_at=NOW)
    payments.create(replace(tried, status=status))
    assert lease(payments, attempt=1) is None
    assert lease(payments, attempt=3) is None
    leased = lease(payments, attempt=2)
    assert leased
    assert leased.vend(1).attempts == 2
    assert leased.vend(1).retry_at is None


@pytest.mark.parametrize(
    "changed",
    [
        {"state": VendState.CALLING, "attempts": 1, "lease_until": NOW},
        {"state": VendState.UNCERTAIN, "attempts": 1},
        {"state": VendState.DONE, "attempts": 1},
        {"state": VendState.VOID, "attempts": 1},
        {"state": VendState.DONE},
    ],
    ids=str,
)
def test_a_vend_that_is_not_to_be_called_is_not_taken_up(
    payments: DynamoPayments, changed: dict[str, Any]
) -> None:
    payments.create(vending(**changed))
    assert lease(payments, attempt=vending(**changed).vend(1).attempts + 1) is None
    assert payments.get(PAYMENT_ID) == vending(**changed)


@pytest.mark.parametrize("status", sorted(set(Status) - set(WITH_VENDS_UNDER_WAY)))
def test_no_vend_of_a_payment_in_another_status_is_taken_up(
    payments: DynamoPayments, status: Status
) -> None:
    payments.create(replace(vending(), status=status))
    assert lease(payments) is None


def test_nothing_is_taken_up_where_there_is_nothing(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    assert lease(payments) is None
    assert payments.get(PAYMENT_ID) is None, "an update of a missing item must not make it"
    payments.create(vending())
    assert lease(payments, number=2) is None


def test_the_second_of_several_vends_is_taken_up_alone(payments: DynamoPayments) -> None:
    second = replace(ENERGY_VEND, number=2)
    payments.create(replace(vending(), vends=(ENERGY_VEND, second)))
    leased = lease(payments, number=2)
    assert leased
    assert leased.vend(1) == ENERGY_VEND
    assert leased.vend(2).state is VendState.CALLING


def test_a_vend_out_of_its_place_is_never_taken_for_another(payments: DynamoPayments) -> None:
    payments.create(replace(vending(), vends=(replace(ENERGY_VEND, number=2),)))
    assert lease(payments, number=1) is None


def test_a_conflict_with_a_transaction_is_waited_out(
    payments: DynamoPayments, pauses: list[float]
) -> None:
    payments.create(vending())
    with dynamodb_answers(answered("TransactionConflictException")) as asked:
        assert lease(payments)
    assert asked == ["UpdateItem"] * 2
    assert len(pauses) == 1


def test_a_store_that_stays_busy_leases_nothing(
    payments: DynamoPayments, pauses: list[float]
) -> None:
    payments.create(vending())
    busy = [answered("TransactionConflictException")] * TRIES_MAX
    with dynamodb_answers(*busy), pytest.raises(TryAgain):
        lease(payments)
    assert payments.get(PAYMENT_ID) == vending()


def test_a_lease_whose_answer_was_lost_belongs_to_nobody(payments: DynamoPayments) -> None:
    payments.create(vending())
    with dynamodb_answers(DoneBut(READ_TIMEOUT)), pytest.raises(OutcomeUnknown):
        lease(payments)
    assert lease(payments) is None
    assert payments.get(PAYMENT_ID).vend(1).state is VendState.CALLING  # type: ignore[union-attr]
