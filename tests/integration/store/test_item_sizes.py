"""The reference customer's items fit one write unit each, by DynamoDB's own formula."""

from __future__ import annotations

import pytest

from chalicelib.domain.payment import Payment
from chalicelib.store.models import AccountRow, PaymentRow
from tests.integration.store.examples import account, completed, payment, vending
from tests.integration.store.item_sizes import UNIT_BYTES, item_size, write_units


@pytest.mark.parametrize("stored", [payment(), completed(), vending()], ids=lambda p: p.status)
def test_a_payment_of_the_reference_customer_takes_one_write_unit(
    stored: Payment,
) -> None:
    assert item_size(PaymentRow.of(stored).serialize()) <= UNIT_BYTES


def test_the_account_of_the_reference_customer_takes_one_write_unit() -> None:
    assert item_size(AccountRow.of(account()).serialize()) <= UNIT_BYTES


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"a": {"S": ""}}, 1),
        ({"name": {"S": "Zoë"}}, 4 + 4),
        ({"n": {"N": "0"}}, 1 + 2),
        ({"n": {"N": "150000"}}, 1 + 2),  # trailing zeros are not stored
        ({"n": {"N": "-12345"}}, 1 + 3 + 1 + 1),
        ({"b": {"BOOL": True}}, 1 + 1),
        ({"x": {"NULL": True}}, 1 + 1),
        ({"l": {"L": []}}, 1 + 3),
        ({"l": {"L": [{"S": "ab"}, {"S": "c"}]}}, 1 + 3 + (1 + 2) + (1 + 1)),
        ({"m": {"M": {"k": {"S": "v"}}}}, 1 + 3 + (1 + 1 + 1)),
    ],
)
def test_the_size_formula_counts_names_and_values(item: dict[str, object], size: int) -> None:
    assert item_size(item) == size  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "transactional", "units"),
    [(1, False, 1), (1024, False, 1), (1025, False, 2), (1024, True, 2), (1025, True, 4)],
)
def test_a_unit_is_a_kilobyte_begun_and_a_transaction_doubles_it(
    size: int, transactional: bool, units: int
) -> None:
    assert write_units(size, transactional=transactional) == units
