"""Statements of customers, while their accounts change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.domain.account import Account
from chalicelib.domain.payment import Refund, RefundState, Status
from chalicelib.domain.statement import Balance
from chalicelib.services.customer_statements import (
    READINGS_MAX,
    CustomerStatement,
    StatementRow,
)
from chalicelib.services.ports import Customer, Settings, TryAgain
from chalicelib.services.reports.statement_sheet import statement_text
from tests.integration.company import METER, TODAY, Company, FixedClock, claim
from tests.integration.services.conftest import Counter


def test_an_account_that_changes_while_it_is_read_is_read_again(
    counter: Counter, company: Company
) -> None:
    customer_id = company.customer(company.meter())
    counter.pay(claim(METER, 100, "T1"))
    accounts, shown = counter.wiring.accounts, counter.wiring.show_statements
    right, readings = accounts.get, []

    def changing(customer_id: str) -> Account | None:
        account = right(customer_id)
        assert account is not None
        readings.append(account.version)
        return replace(account, version=account.version + len(readings) % moving)

    shown._pause = lambda seconds: None
    accounts.get = changing  # type: ignore[method-assign]
    moving = 100
    with pytest.raises(TryAgain):
        shown.show(customer_id, TODAY, TODAY)
    assert len(readings) == 2 * READINGS_MAX
    moving = 1
    assert len(shown.show(customer_id, TODAY, TODAY).rows) == 2


def test_a_list_that_lags_behind_is_waited_for(counter: Counter, company: Company) -> None:
    customer_id = company.customer(company.meter())
    for number in range(3):
        counter.pay(claim(METER, 100, f"T{number}"))
    shown, payments = counter.wiring.show_statements, counter.wiring.payments
    whole, pages = payments.by_owner, []

    def lagging(owner: str, limit: int, cursor: str | None) -> object:
        pages.append(cursor)
        page = whole(owner, 2, cursor)
        return replace(page, items=page.items[1:]) if len(pages) == 1 else page

    shown._pause = lambda seconds: None
    payments.by_owner = lagging  # type: ignore[method-assign, assignment]
    told = shown.show(customer_id, TODAY, TODAY)
    assert [row.payment.amount_minor for row in told.rows if row.payment] == [10000] * 3
    assert len(pages) == 4


def test_what_was_given_back_of_a_payment_is_told(counter: Counter, clock: FixedClock) -> None:
    due = counter.now(counter.accept("NOBODY", 100))
    back = replace(due, status=Status.REFUNDED, refunds=(Refund(1, 4000, RefundState.DONE),))
    who = Customer("C1", 1, "Asha", "Mushi", "+254700000001", 1)
    row = StatementRow(clock.now(), Balance(), back)
    empty = CustomerStatement(who, TODAY, TODAY, Balance(), (row,), Balance())
    text = statement_text(empty, Settings()).decode()
    assert "paid 100.00 by imported, 40.00 given back (refunded)\n" in text
