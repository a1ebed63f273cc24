"""The settlement: payment and account together, once, or nothing and a clear word about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.domain.payment import Payment
from chalicelib.services.ports import OutcomeUnknown, TryAgain, VersionConflict
from chalicelib.store.accounts import DynamoAccounts
from chalicelib.store.connection import connection
from chalicelib.store.dynamodb import TRIES_MAX
from chalicelib.store.models import AccountRow
from chalicelib.store.payments import DynamoPayments
from tests.integration.store.examples import (
    CUSTOMER_ID,
    SHS_PLAN,
    TV_PLAN,
    account,
    completed,
    payment,
)
from tests.integration.store.faults import (
    CONNECT_TIMEOUT,
    ENDPOINT,
    READ_TIMEOUT,
    DoneBut,
    answered,
    cancelled,
    dynamodb_answers,
)
from tests.integration.store.ledger_of_requests import LedgerOfRequests


@pytest.fixture(autouse=True)
def accepted(payments: DynamoPayments) -> None:
    """A received payment, and the account at version 37."""
    payments.create(payment())
    AccountRow.of(account(version=37)).save()


def settle(payments: DynamoPayments) -> Payment:
    return payments.settle(completed(), account(version=38), ())


def assert_nothing_was_written(payments: DynamoPayments, accounts: DynamoAccounts) -> None:
    assert payments.get(payment().payment_id) == payment()
    assert accounts.get(CUSTOMER_ID) == account(version=37)


def test_payment_and_account_become_true_together(
    payments: DynamoPayments, accounts: DynamoAccounts, ledger: LedgerOfRequests
) -> None:
    written = settle(payments)
    assert ledger.operations == ["TransactWriteItems"]
    assert written == replace(completed(), revision=2)
    assert payments.get(written.payment_id) == written
    assert accounts.get(CUSTOMER_ID) == account(version=38)


def test_plans_that_ended_are_kept_in_the_same_transaction(
    payments: DynamoPayments, accounts: DynamoAccounts, ledger: LedgerOfRequests
) -> None:
    paid = replace(TV_PLAN, paid_minor=TV_PLAN.total_minor)
    payments.settle(completed(), account(version=38, plans=(SHS_PLAN,)), [paid])
    assert ledger.count == 1
    assert accounts.ended_plan(TV_PLAN.plan_id) == paid


def test_the_first_change_makes_the_account(
    payments: DynamoPayments, accounts: DynamoAccounts
) -> None:
    first = account(customer_id="C2", version=1)
    payments.settle(completed(), first, ())
    assert accounts.get("C2") == first


def test_a_first_change_does_not_overwrite_an_account(
    payments: DynamoPayments, accounts: DynamoAccounts
) -> None:
    with pytest.raises(VersionConflict):
        payments.settle(completed(), account(version=1), ())
    assert_nothing_was_written(payments, accounts)


def test_a_payment_that_was_changed_first_stops_all_of_it(
    payments: DynamoPayments, accounts: DynamoAccounts
) -> None:
    changed = payments.save(payment(sweeps=1))
    with pytest.raises(VersionConflict):
        settle(payments)
    assert payments.get(changed.payment_id) == changed
    assert accounts.get(CUSTOMER_ID) == account(version=37)


def test_an_account_that_was_changed_first_stops_all_of_it(
    payments: DynamoPayments, accounts: DynamoAccounts
) -> None:
    AccountRow.of(account(version=38, credit_minor=1)).save()
    with pytest.raises(VersionConflict):
        settle(payments)
    assert payments.get(payment().payment_id) == payment()
    assert accounts.get(CUSTOMER_ID) == account(version=38, credit_minor=1)


def test_a_second_settlement_of_one_payment_is_a_conflict(payments: DynamoPayments) -> None:
    settle(payments)
    with pytest.raises(VersionConflict):
        payments.settle(completed(), account(version=39), ())


# --- what DynamoDB may answer ----------------------------------------------------------------


@pytest.mark.parametrize(
    "reasons",
    [
        ("ConditionalCheckFailed", "None"),
        ("None", "ConditionalCheckFailed"),
        ("ConditionalCheckFailed", "TransactionConflict"),
    ],
)
def test_a_failed_condition_is_a_conflict_of_versions_and_is_not_repeated(
    payments: DynamoPayments, pauses: list[float], reasons: tuple[str, ...]
) -> None:
    with dynamodb_answers(cancelled(*reasons)) as asked, pytest.raises(VersionConflict):
        settle(payments)
    assert len(asked) == 1
    assert not pauses


BUSY = [
    cancelled("None", "TransactionConflict"),
    cancelled("ThrottlingError", "None"),
    cancelled("ProvisionedThroughputExceeded", "TransactionConflict"),
    answered("ThrottlingException"),
    answered("ProvisionedThroughputExceededException"),
    answered("RequestLimitExceeded"),
    answered("TransactionInProgressException"),
]


@pytest.mark.parametrize("busy", BUSY, ids=str)
def test_a_busy_store_is_asked_again_after_a_pause(
    payments: DynamoPayments, accounts: DynamoAccounts, pauses: list[float], busy: ClientError
) -> None:
    with dynamodb_answers(busy, busy) as asked:
        settle(payments)
    assert asked == ["TransactWriteItems"] * 3
    assert len(pauses) == 2
    assert accounts.get(CUSTOMER_ID) == account(version=38)


@pytest.mark.parametrize("busy", BUSY[:-1], ids=str)
def test_a_store_that_stays_busy_has_written_nothing(
    payments: DynamoPayments, accounts: DynamoAccounts, pauses: list[float], busy: ClientError
) -> None:
    with dynamodb_answers(*[busy] * TRIES_MAX) as asked, pytest.raises(TryAgain):
        settle(payments)
    assert len(asked) == TRIES_MAX
    assert_nothing_was_written(payments, accounts)


def test_a_transaction_that_stays_in_progress_may_still_happen(
    payments: DynamoPayments, pauses: list[float]
) -> None:
    in_progress = [answered("TransactionInProgressException")] * TRIES_MAX
    with dynamodb_answers(*in_progress), pytest.raises(OutcomeUnknown):
        settle(payments)


@pytest.mark.parametrize(
    "fault",
    [
        READ_TIMEOUT,
        CONNECT_TIMEOUT,
        EndpointConnectionError(endpoint_url=ENDPOINT),
        answered("InternalServerError", status=500),
        answered("ServiceUnavailable", status=503),
        answered("Anything", status=502),
    ],
    ids=lambda fault: str(fault)[:40],
)
def test_no_answer_means_that_nobody_knows(payments: DynamoPayments, fault: Exception) -> None:
    with dynamodb_answers(fault) as asked, pytest.raises(OutcomeUnknown):
        settle(payments)
    assert len(asked) == 1, "never repeated blindly"


def test_a_lost_answer_may_hide_a_settlement_that_happened(
    payments: DynamoPayments, accounts: DynamoAccounts
) -> None:
    with dynamodb_answers(DoneBut(READ_TIMEOUT)), pytest.raises(OutcomeUnknown):
        settle(payments)
    assert payments.get(payment().payment_id) == replace(completed(), revision=2)
    assert accounts.get(CUSTOMER_ID) == account(version=38)


@pytest.mark.parametrize(
    "bug",
    [
        answered("ValidationException"),
        answered("AccessDeniedException"),
        cancelled("ValidationError", "None"),
        cancelled("ItemCollectionSizeLimitExceeded", "TransactionConflict"),
    ],
    ids=str,
)
def test_what_is_a_bug_is_not_dressed_up(
    payments: DynamoPayments, pauses: list[float], bug: ClientError
) -> None:
    with dynamodb_answers(bug), pytest.raises(ClientError):
        settle(payments)
    assert not pauses


# --- the token that makes a repeated request harmless ----------------------------------------


def tokens_of(settlements: list[tuple[DynamoPayments, Payment, int]]) -> list[str]:
    tokens: list[str] = []

    def note(params: dict[str, str], **_: object) -> None:
        tokens.append(params["ClientRequestToken"])

    events = connection().client.meta.events
    events.register("before-parameter-build.dynamodb.TransactWriteItems", note)
    try:
        for payments, settled, version in settlements:
            try:
                payments.settle(settled, account(version=version), ())
            except VersionConflict:
                continue
    finally:
        events.unregister("before-parameter-build.dynamodb.TransactWriteItems", note)
    return tokens


def test_the_same_settlement_has_the_same_token_and_another_another(
    payments: DynamoPayments,
) -> None:
    tokens = tokens_of(
        [
            (payments, completed(), 38),
            (payments, completed(), 38),
            (payments, completed(), 39),
            (payments, replace(completed(), revision=2), 38),
            (payments, replace(completed(), reason="other"), 38),
        ]
    )
    assert tokens[0] == tokens[1]
    assert len(set(tokens)) == 4
    assert all(1 <= len(token) <= 36 for token in tokens)


def test_repetitions_while_dynamodb_is_busy_carry_one_token(
    payments: DynamoPayments, pauses: list[float]
) -> None:
    tokens: list[str] = []
    client = connection().client
    really = client._make_api_call

    def busy_once(operation: str, kwargs: dict[str, str]) -> object:
        tokens.append(kwargs["ClientRequestToken"])
        if len(tokens) == 1:
            raise cancelled("TransactionConflict", "None")
        return really(operation, kwargs)

    client._make_api_call = busy_once  # type: ignore[method-assign]
    settle(payments)
    assert len(tokens) == 2
    assert len(set(tokens)) == 1
