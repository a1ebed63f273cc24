"""Changes of an account that are not payments: each with its entry, all or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.domain.account import Account
from chalicelib.domain.payment import Status
from chalicelib.domain.plan import PlanState
from chalicelib.services.ports import (
    AccountChange,
    ConditionFailed,
    Device,
    DeviceState,
    OutcomeUnknown,
    TryAgain,
    VersionConflict,
)
from chalicelib.store.accounts import DynamoAccounts
from chalicelib.store.customers import DynamoRegistry
from chalicelib.store.devices import DynamoDevices
from chalicelib.store.dynamodb import TRIES_MAX, find
from chalicelib.store.models import AccountRow, DeviceRow, EntryRow
from chalicelib.store.payments import DynamoPayments
from tests.integration.conftest import Cloud
from tests.integration.store.examples import (
    CUSTOMER_ID,
    SHS,
    SHS_PLAN,
    account,
    completed,
    device,
    entry,
    payment,
)
from tests.integration.store.faults import (
    READ_TIMEOUT,
    DoneBut,
    answered,
    cancelled,
    dynamodb_answers,
)
from tests.integration.store.ledger_of_requests import LedgerOfRequests


@pytest.fixture(autouse=True)
def stored(accounts: DynamoAccounts) -> None:
    """The account at version 37, a device, a held payment."""
    AccountRow.of(account(version=37)).save()
    DeviceRow.of(device()).save()
    DynamoPayments().create(payment(status=Status.HELD))


def assert_nothing_was_written(accounts: DynamoAccounts, cloud: Cloud) -> None:
    assert accounts.get(CUSTOMER_ID) == account(version=37)
    assert cloud.item("entries", customer_id=CUSTOMER_ID, account_version=38) is None
    assert DynamoDevices().get(SHS) == device()
    assert DynamoPayments().get(payment().payment_id) == payment(status=Status.HELD)
    assert DynamoRegistry().guard("key#1") is None


def test_account_and_entry_are_written_together(accounts: DynamoAccounts) -> None:
    accounts.change(account(version=38), entry())
    assert accounts.get(CUSTOMER_ID) == account(version=38)
    row = find(EntryRow, CUSTOMER_ID, 38)
    assert row
    assert row.value() == entry()


def test_all_that_changes_with_it_is_written_too(accounts: DynamoAccounts) -> None:
    unlocked = device(state=DeviceState.UNLOCKED)
    credited = payment(status=Status.COMPLETED, check_at=None)
    paid = replace(SHS_PLAN, paid_minor=SHS_PLAN.total_minor)
    accounts.change(
        account(version=38, plans=()),
        entry(),
        device=unlocked,
        ended_plans=[paid],
        payment=credited,
        guard=("key#1", "p-1"),
    )
    assert DynamoDevices().get(SHS) == replace(unlocked, revision=2)
    assert DynamoPayments().get(credited.payment_id) == replace(credited, revision=2)
    assert accounts.ended_plan(paid.plan_id) == paid
    assert DynamoRegistry().guard("key#1") == "p-1"


@pytest.mark.parametrize("ended_as", [None, PlanState.CANCELLED, PlanState.WRITTEN_OFF])
def test_how_a_plan_ended_is_kept(accounts: DynamoAccounts, ended_as: PlanState | None) -> None:
    ended = replace(SHS_PLAN, ended_as=ended_as)
    accounts.change(account(version=38, plans=()), entry(), ended_plans=[ended])
    assert accounts.ended_plan(ended.plan_id) == ended


def test_a_new_payment_comes_with_the_entry(accounts: DynamoAccounts) -> None:
    new = payment("entry")
    accounts.change(account(version=38), entry(), new_payment=new)
    assert DynamoPayments().get(new.payment_id) == new


def test_a_new_payment_that_is_there_stops_all_of_it(
    accounts: DynamoAccounts, cloud: Cloud
) -> None:
    with pytest.raises(VersionConflict):
        accounts.change(account(version=38), entry(), new_payment=payment())
    assert_nothing_was_written(accounts, cloud)


def test_what_is_not_there_is_none(accounts: DynamoAccounts) -> None:
    assert accounts.get("C9") is None
    assert accounts.ended_plan("p-0") is None
    assert accounts.entry(CUSTOMER_ID, 37) is None


# --- two accounts at once -------------------------------------------------------------------------

OTHER = AccountChange(Account("C2", 1), entry(1, customer_id="C2"))


def test_two_accounts_and_a_device_change_together(
    accounts: DynamoAccounts, ledger: LedgerOfRequests
) -> None:
    moved = device(customer_id="C2")
    accounts.change_both(AccountChange(account(version=38), entry()), OTHER, moved)
    assert ledger.operations == ["TransactWriteItems"]
    assert accounts.get(CUSTOMER_ID) == account(version=38)
    assert accounts.entry(CUSTOMER_ID, 38) == entry()
    assert accounts.get("C2") == OTHER.account
    assert accounts.entry("C2", 1) == OTHER.entry
    assert DynamoDevices().get(SHS) == replace(moved, revision=2)


@pytest.mark.parametrize(
    ("first", "second", "moved"),
    [
        (AccountChange(account(version=39), entry(39)), OTHER, device()),
        (
            AccountChange(account(version=38), entry()),
            AccountChange(Account("C2", 2), entry(2, customer_id="C2")),
            device(),
        ),
        (AccountChange(account(version=38), entry()), OTHER, device(revision=7)),
    ],
    ids=["the first account", "the second account", "the device"],
)
def test_what_was_changed_first_stops_both(
    accounts: DynamoAccounts,
    cloud: Cloud,
    first: AccountChange,
    second: AccountChange,
    moved: Device,
) -> None:
    with pytest.raises(VersionConflict):
        accounts.change_both(first, second, moved)
    assert_nothing_was_written(accounts, cloud)
    assert accounts.get("C2") is None


def test_an_account_that_was_changed_first_stops_all_of_it(
    accounts: DynamoAccounts, cloud: Cloud
) -> None:
    with pytest.raises(VersionConflict):
        accounts.change(account(version=39), entry(39), device=device(), guard=("key#1", "x"))
    assert_nothing_was_written(accounts, cloud)


def test_a_device_that_was_changed_first_stops_all_of_it(
    accounts: DynamoAccounts, cloud: Cloud
) -> None:
    with pytest.raises(VersionConflict):
        accounts.change(account(version=38), entry(), device=device(revision=7))
    assert_nothing_was_written(accounts, cloud)


def test_a_payment_that_was_changed_first_stops_all_of_it(
    accounts: DynamoAccounts, cloud: Cloud
) -> None:
    with pytest.raises(VersionConflict):
        accounts.change(
            account(version=38), entry(), payment=completed(), device=device(revision=2)
        )
    assert_nothing_was_written(accounts, cloud)


def test_a_version_that_has_an_entry_gets_no_other(accounts: DynamoAccounts) -> None:
    accounts.change(account(version=38), entry())
    AccountRow.of(account(version=37)).save()
    with pytest.raises(VersionConflict):
        accounts.change(account(version=38), entry(reason="another"))


def test_a_guard_that_exists_outweighs_a_conflict(accounts: DynamoAccounts, cloud: Cloud) -> None:
    accounts.change(account(version=38), entry(), guard=("key#1", "p-1"))
    with pytest.raises(ConditionFailed) as caught:
        accounts.change(account(version=38), entry(), guard=("key#1", "p-2"))
    assert caught.value.what == "guard"
    assert DynamoRegistry().guard("key#1") == "p-1"


@pytest.mark.parametrize(
    ("reasons", "error"),
    [
        (("ConditionalCheckFailed", "None", "None"), VersionConflict),
        (("None", "ConditionalCheckFailed", "None"), VersionConflict),
        (("None", "None", "ConditionalCheckFailed"), ConditionFailed),
    ],
)
def test_each_refusal_is_told_by_its_item(
    accounts: DynamoAccounts, reasons: tuple[str, ...], error: type[Exception]
) -> None:
    with dynamodb_answers(cancelled(*reasons)), pytest.raises(error):
        accounts.change(account(version=38), entry(), guard=("key#1", "p-1"))


def test_a_busy_store_is_waited_for_and_then_left(
    accounts: DynamoAccounts, cloud: Cloud, pauses: list[float]
) -> None:
    busy = cancelled("TransactionConflict", "None")
    with dynamodb_answers(*[busy] * TRIES_MAX), pytest.raises(TryAgain):
        accounts.change(account(version=38), entry())
    assert_nothing_was_written(accounts, cloud)
    assert len(pauses) == TRIES_MAX - 1


def test_a_change_whose_answer_was_lost_is_unknown(accounts: DynamoAccounts) -> None:
    with dynamodb_answers(DoneBut(READ_TIMEOUT)), pytest.raises(OutcomeUnknown):
        accounts.change(account(version=38), entry())
    assert accounts.get(CUSTOMER_ID) == account(version=38)


def test_a_lost_number_is_unknown_and_a_busy_counter_is_waited_for(
    registry: DynamoRegistry, pauses: list[float]
) -> None:
    with dynamodb_answers(DoneBut(READ_TIMEOUT)), pytest.raises(OutcomeUnknown):
        registry.next_number("plan")
    with dynamodb_answers(answered("ThrottlingException")):
        assert registry.next_number("plan") == 2
