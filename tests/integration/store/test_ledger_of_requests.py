"""The ledger counts what DynamoDB would: units from sizes, index entries, transactions twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.payment import Status, Token, VendState
from chalicelib.services.ports import AlreadyThere
from chalicelib.store.devices import DynamoDevices
from chalicelib.store.models import AccountRow, DeviceRow
from chalicelib.store.payments import DynamoPayments
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
from tests.integration.store.ledger_of_requests import LedgerOfRequests


@pytest.fixture(autouse=True)
def stored(payments: DynamoPayments) -> None:
    """The account and a device, not counted."""
    AccountRow.of(account(version=37)).save()
    DeviceRow.of(device()).save()


def test_a_payment_settled_at_once_takes_four_requests_and_eight_units(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    DynamoDevices().get(SHS)
    payments.create(payment())
    payments.view_for_settlement(payment().payment_id, CUSTOMER_ID, SHS)
    payments.settle(completed(), account(version=38), ())
    assert ledger.operations == ["GetItem", "PutItem", "BatchGetItem", "TransactWriteItems"]
    assert [request.write_units for request in ledger.requests] == [0, 3, 0, 5]


def test_a_payment_with_a_remote_vend_takes_six_requests_and_ten_units(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    DynamoDevices().get(SHS)
    payments.create(payment())
    payments.view_for_settlement(payment().payment_id, CUSTOMER_ID, SHS)
    payments.settle(vending(), account(version=38), ())
    leased = payments.lease(
        payment().payment_id, 1, 1, called_at=NOW, lease_until=NOW + timedelta(seconds=30)
    )
    assert leased
    done = replace(leased.vend(1), state=VendState.DONE, lease_until=None)
    token = Token(1, done.serial_number, done.kind, done.units, "1234 5678 9012 3456 7890")
    finished = leased.with_vend(done)
    payments.save(
        replace(
            finished,
            tokens=(token,),
            status=Status.COMPLETED,
            completed_at=NOW,
            check_at=None,
        )
    )
    assert ledger.operations[2:] == [
        "BatchGetItem",
        "TransactWriteItems",
        "UpdateItem",
        "PutItem",
    ]
    assert [request.write_units for request in ledger.requests] == [0, 3, 0, 4, 1, 2]


def test_moving_the_next_check_costs_two_units_in_the_index(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    payments.create(payment())
    ledger.clear()
    payments.save(payment(check_at=NOW + timedelta(hours=1)))
    assert ledger.write_units == 1 + 2


def test_an_item_above_a_kilobyte_costs_two_units(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    payments.create(payment())
    ledger.clear()
    payments.save(payment(reason="x" * 1024))
    assert ledger.write_units == 2
    ledger.clear()
    payments.save(payment(revision=2))
    assert ledger.write_units == 2, "the larger image counts"


def test_an_index_of_whole_items_is_written_with_every_change(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    row = DeviceRow.of(device(revision=2))
    row.save()
    assert ledger.write_units == 1 + 1
    ledger.clear()
    DeviceRow.of(device(revision=2)).save()
    assert ledger.write_units == 1, "an index entry that does not change is not written"
    ledger.clear()
    DeviceRow.of(device(customer_id="C2", revision=2)).save()
    assert ledger.write_units == 1 + 2
    ledger.clear()
    DeviceRow.of(device(customer_id=None, revision=2)).save()
    assert ledger.write_units == 1 + 2, "it leaves one index and enters another"
    ledger.clear()
    row.delete()
    assert ledger.write_units == 1 + 1


def test_a_refused_write_is_not_in_the_ledger(
    payments: DynamoPayments, ledger: LedgerOfRequests
) -> None:
    payments.create(payment())
    ledger.clear()
    with pytest.raises(AlreadyThere):
        payments.create(payment())
    assert ledger.count == 0
