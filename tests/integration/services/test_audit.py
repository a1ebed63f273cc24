"""The audit of the tables: added up from raw items, and the sum is right only if all is there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.payment import (
    Refund,
    RefundState,
    Vend,
    VendState,
    vending_for_entry,
    with_lines,
)
from chalicelib.domain.plan import PlanState, Terms
from chalicelib.services.entries import Act, entry_of
from chalicelib.store.models import AccountRow
from chalicelib.wiring import Wiring
from infra.local.audit import Audit, CustomerBooks, audit
from tests.integration.company import METER, NOW, Company, claim, kes
from tests.integration.conftest import STACK, Cloud, table_definitions
from tests.integration.services.conftest import ACTOR, Counter
from tests.integration.vendor import FakeCalin

ACT = Act(ACTOR, NOW, "test")
PAYMENT_ID = "mpesa_ke.600966-T1"


@pytest.fixture
def looked_at(cloud: Cloud) -> Callable[[], Audit]:
    """Audits the installation as it stands."""
    names = [definition["TableName"] for definition in table_definitions()]
    seen: Any = SimpleNamespace(
        aws=lambda service: cloud.dynamodb,
        stack={"tables": {name.removeprefix(f"{STACK}-"): name for name in names}},
    )
    return functools.partial(audit, seen)


@pytest.fixture
def asha(company: Company, counter: Counter, wiring: Wiring) -> str:
    """A customer with a meter and a TV, who has paid twice."""
    customer_id = company.customer(company.meter())
    terms = Terms(kes(300), "week", (NOW + timedelta(days=1)).date(), instalments=3)
    wiring.sell_plans.sell_appliance(
        customer_id, terms, appliance_id=None, name="TV", key="k1", actor=ACTOR
    )
    counter.pay(claim(METER, "1000.05", "T1"))
    counter.pay(claim(METER, 50, "T2"))
    return customer_id


def entered(
    counter: Counter,
    before: Account,
    *lines: Line,
    what: str = "entry",
    closed: tuple[str, ...] = (),
    **changed: Any,
) -> None:
    """Change the account, with an entry that says so."""
    after = replace(before, **changed).next_version()
    ended = [
        replace(plan, ended_as=PlanState.CANCELLED, paid_minor=plan.paid_minor + line.amount_minor)
        for plan in before.plans
        for line in lines
        if plan.plan_id in closed and line.ref == plan.plan_id
    ]
    entry = entry_of(ACT, after, what, lines=lines, closed=closed)
    counter.wiring.accounts.change(after, entry, ended_plans=ended)


def right(found: Audit) -> bool:
    """Whether nothing is missing and nothing too much."""
    complete = found.money_somewhere_minor == found.money_in_minor
    return complete and not any(books.differences for books in found.customers)


def went(found: Audit) -> dict[str, int]:
    """Where the money is, in minor units, without what nothing went into."""
    return {what: int(amount) for what, amount in found.money_went_minor.items() if amount}


def test_money_that_came_in_is_energy_and_carry(
    counter: Counter, asha: str, looked_at: Callable[[], Audit]
) -> None:
    found = looked_at()
    assert found.customers == [
        CustomerBooks(asha, version=4, payments=2, entries=2, differences=[])
    ]
    assert found.money_in_minor == kes("1050.05")
    assert went(found) == {
        "was spent on energy": kes(1050),
        "is carried on meters until it buys a step": 5,
    }
    assert right(found)


def test_what_was_given_back_is_where_the_money_went(
    counter: Counter,
    wiring: Wiring,
    asha: str,
    calin: FakeCalin,
    looked_at: Callable[[], Audit],
) -> None:
    """A vend that issued nothing became credit, and part of that went back to the payer."""
    calin.behaviours = [lambda request: (500, {})]
    counter.pay(claim(METER, 500, "T3"))
    held = "mpesa_ke.600966-T3"
    payment = wiring.resolve.resolve_credit(held, actor=ACTOR, reason="none issued")
    account = counter.account(asha)
    back = Line(LineKind.CREDIT, asha, -kes(200))
    version = account.version + 1
    refunded = with_lines(replace(payment, refunds=(Refund(1, kes(200)),)), (*payment.lines, back))
    wiring.payments.settle(
        replace(refunded, account_versions=(*payment.account_versions, version)),
        replace(account, credit_minor=account.credit_minor - kes(200), version=version),
        (),
    )
    found = looked_at()
    assert went(found)["was given back to payers"] == kes(200)
    assert went(found)["is credit"] == kes(300)
    assert right(found)

    stored = counter.now(held)
    void = replace(stored.refund(1), state=RefundState.VOID)
    wiring.payments.save(stored.with_refund(void))
    assert not right(looked_at()), "what was not given back is missing now"


def test_a_cancelled_plan_s_money_is_credit_and_may_be_given_back(
    counter: Counter, wiring: Wiring, asha: str, looked_at: Callable[[], Audit]
) -> None:
    account = counter.account(asha)
    (plan,) = account.plans
    late = replace(plan, first_due=(NOW - timedelta(days=30)).date())
    AccountRow.of(account.with_plan(late)).save()
    counter.pay(claim(METER, 250, "T3"))
    account = counter.account(asha)
    (plan,) = account.plans
    assert plan.paid_minor == kes(250)
    entered(
        counter,
        account,
        Line(LineKind.APPLIANCE, plan.plan_id, -kes(100)),
        Line(LineKind.CREDIT, asha, kes(100)),
        closed=(plan.plan_id,),
        plans=(),
        credit_minor=kes(100),
    )
    found = looked_at()
    assert went(found)["paid off appliances, solar home systems and e-bikes"] == kes(150)
    assert right(found)

    account = counter.account(asha)
    entered(counter, account, Line(LineKind.CREDIT, asha, -kes(40)), credit_minor=kes(60))
    found = looked_at()
    assert went(found)["was given back from credit"] == kes(40)
    assert went(found)["is credit"] == kes(60)
    assert right(found)


def test_credit_that_nobody_paid_stands_against_what_came_in(
    counter: Counter, asha: str, looked_at: Callable[[], Audit]
) -> None:
    account = counter.account(asha)
    entered(counter, account, Line(LineKind.CREDIT, asha, kes(7)), credit_minor=kes(7))
    found = looked_at()
    assert went(found)["was given by the company, not paid"] == -kes(7)
    assert right(found)


def test_fees_of_a_meter_that_left_are_still_somewhere(
    company: Company, counter: Counter, wiring: Wiring, looked_at: Callable[[], Audit]
) -> None:
    customer_id = company.customer(company.meter(tariff_id=company.tariff("With fee", 50)))
    counter.pay(claim(METER, 1000))
    wiring.keep_devices.change_owner(METER, None, reason="sold", actor=ACTOR)
    assert counter.account(customer_id).devices == ()
    found = looked_at()
    assert went(found)["paid access rates"] == kes(200)
    assert right(found)


def test_whatever_staff_change_the_books_stay_right(
    company: Company, counter: Counter, wiring: Wiring, asha: str, looked_at: Callable[[], Audit]
) -> None:
    """A TV for less, what is open of a mill and a lamp cancelled, a fan written off, credit given
    back, and the meter sold to a neighbour."""
    neighbour = company.customer(company.meter("M2"), phone="+254700000002")
    said: dict[str, Any] = {"reason": "agreed", "actor": ACTOR}

    def sold(name: str, total: int) -> str:
        terms = Terms(kes(total), "week", (NOW - timedelta(days=8)).date(), instalments=1)
        return wiring.sell_plans.sell_appliance(
            asha, terms, appliance_id=None, name=name, key=name, actor=ACTOR
        ).plan.plan_id

    (tv,) = (plan.plan_id for plan in counter.account(asha).plans)
    mill, lamp = sold("Mill", 400), sold("Lamp", 90)
    counter.pay(claim(METER, 450, "T3"))
    wiring.change_plans.change(asha, tv, total_minor=kes(200), **said)
    assert right(looked_at())
    for plan_id in (mill, lamp):
        open_now = counter.account(asha).plan(plan_id)
        if open_now is not None:
            wiring.change_plans.cancel(asha, plan_id, credit_minor=open_now.paid_minor, **said)
    late = sold("Fan", 100)
    wiring.change_plans.write_off(asha, late, unlock=False, **said)
    assert right(looked_at())
    credit_minor = counter.account(asha).credit_minor
    assert credit_minor > 100
    wiring.refund_credit.refund(asha, 100, key=None, **said)
    wiring.keep_devices.change_owner(METER, neighbour, **said)
    counter.pay(claim(METER, "77.07", "T4"))
    found = looked_at()
    assert right(found)
    assert went(found)["was given back from credit"] == 100
    for customer_id in (asha, neighbour):
        assert wiring.reconcile.check_customer(customer_id).differences == ()


def test_a_payment_of_nothing_belongs_to_an_entry(
    counter: Counter, wiring: Wiring, asha: str, looked_at: Callable[[], Audit]
) -> None:
    vend = Vend(1, METER, "test", VendKind.UNLOCK, VendState.INTENDED)
    wiring.payments.create(vending_for_entry(asha, 2, vend, None, "KES", NOW))
    assert right(looked_at())
    wiring.payments.create(vending_for_entry(asha, 9, vend, None, "KES", NOW))
    (books,) = looked_at().customers
    assert books.differences == [f"entry-{asha}.9 is of no entry, or of money"]


def test_a_line_too_much_is_found_by_both(
    counter: Counter, wiring: Wiring, asha: str, looked_at: Callable[[], Audit]
) -> None:
    payment = counter.now(PAYMENT_ID)
    more = (*payment.lines, Line(LineKind.CREDIT, asha, 1))
    wiring.payments.save(replace(payment, lines=more))
    (books,) = looked_at().customers
    assert books.differences == [
        f"the lines of {PAYMENT_ID} do not add up to its amount",
        f"lines {PAYMENT_ID}: 100005 posted, 100006 found",
        f"credit {asha}: 1 posted, 0 found",
    ]
