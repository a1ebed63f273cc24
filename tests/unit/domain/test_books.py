"""The books of one customer: what was posted proves the account, or names what is wrong."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Allocation, Line, LineKind
from chalicelib.domain.books import (
    CarryChange,
    Difference,
    OpenedPlan,
    Posting,
    Wrong,
    check_books,
    postings_of,
)
from chalicelib.domain.payment import Payment, Status, Vend, VendState
from tests.unit.domain.examples import (
    METER,
    NOW,
    SHS,
    TODAY,
    account,
    days,
    kes,
    local,
    meter,
    pay,
    shs,
    tariff,
    tv,
    weekly,
)

FEE_50 = tariff(33, fee=50)

SOLD = [
    Posting("registration", 1, opened=(OpenedPlan("p-shs", SHS, kes(7000), kes(700)),)),
    Posting("sale", 2, opened=(OpenedPlan("p-tv", None, kes(300)),)),
]


def sold() -> Account:
    """An account after the two entries: an SHS with 700 paid before, a TV, and a meter."""
    return account(
        weekly(TODAY - days(2), paid=700),
        tv(TODAY - days(1)),
        shs(),
        meter(since=local(TODAY - days(7))),
        version=2,
    )


def payment(payment_id: str, amount_minor: int, allocation: Allocation, version: int) -> Payment:
    """The payment as it stands after that allocation; its vends are still to be made."""
    vends = tuple(
        Vend(
            number=number,
            serial_number=intent.serial_number,
            manufacturer="test",
            kind=intent.kind,
            state=VendState.INTENDED,
            units=intent.units,
            money_minor=intent.money_minor,
            cost_minor=intent.cost_minor,
        )
        for number, intent in enumerate(allocation.intents, start=1)
    )
    return Payment(
        payment_id=payment_id,
        channel="direct",
        reference=payment_id,
        serial_number=SHS,
        amount_minor=amount_minor,
        currency="KES",
        claim_hash="",
        moment=NOW,
        received_at=NOW,
        status=Status.VENDING,
        lines=allocation.lines,
        vends=vends,
        account_versions=(version,),
    )


def lived() -> tuple[Account, list[Posting]]:
    """An account after entries and payments that touched everything, and its postings."""
    customer, postings = sold(), list(SOLD)
    for serial, amount in ((METER, 150), (METER, 1000), (SHS, 900), (SHS, 6000), (METER, 77)):
        allocation = pay(customer, serial, amount, tariffs=FEE_50)
        customer = allocation.account
        name = f"payment-{customer.version}"
        postings += postings_of(payment(name, kes(amount), allocation, customer.version))
    return customer, postings


def test_books_that_agree_have_no_difference() -> None:
    customer, postings = lived()
    assert customer.version == 7
    assert customer.plans == ()
    assert customer.device(METER) is not None
    assert check_books(customer, postings) == []


def test_the_order_of_the_postings_does_not_matter() -> None:
    customer, postings = lived()
    assert check_books(customer, reversed(postings)) == []


def test_a_missing_posting_is_named_with_what_it_changed() -> None:
    customer, postings = lived()
    without = [posting for posting in postings if posting.version != 3]
    assert check_books(customer, without)[0] == Difference(Wrong.VERSION, "3", 1, 0)
    assert Difference(Wrong.PLAN, "p-tv", kes(150), None) in check_books(customer, without)


def test_a_doubled_posting_is_named() -> None:
    customer, postings = lived()
    doubled = [*postings, postings[-1]]
    differences = check_books(customer, doubled)
    assert differences[0] == Difference(Wrong.VERSION, "7", 1, 2)


def test_a_posting_beyond_the_accounts_version_is_named() -> None:
    customer, postings = lived()
    beyond = [*postings, Posting("ghost", 9)]
    assert check_books(customer, beyond) == [Difference(Wrong.VERSION, "9", 0, 1)]


def test_every_version_needs_its_posting_also_the_first() -> None:
    assert check_books(account(version=2), []) == [
        Difference(Wrong.VERSION, "1", 1, 0),
        Difference(Wrong.VERSION, "2", 1, 0),
    ]


def test_lines_that_do_not_add_up_to_the_amount_are_named() -> None:
    customer, postings = lived()
    wrong = [
        replace(posting, amount_minor=kes(1000) + 1) if posting.version == 4 else posting
        for posting in postings
    ]
    assert check_books(customer, wrong) == [
        Difference(Wrong.LINES, "payment-4", kes(1000) + 1, kes(1000))
    ]


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"credit_minor": 1}, Difference(Wrong.CREDIT, "C1", 0, 1)),
        (
            {"plans": (tv(TODAY, plan_id="p-x"),)},
            Difference(Wrong.PLAN, "p-x", None, 0),
        ),
        ({"devices": (meter(),)}, Difference(Wrong.FEES, METER, kes(50), None)),
    ],
)
def test_an_account_that_has_something_else_is_named(
    changed: dict[str, object], difference: Difference
) -> None:
    customer = sold()
    allocation = pay(customer, METER, 1000, tariffs=FEE_50)
    postings = [*SOLD, *postings_of(payment("p", kes(1000), allocation, 3))]
    tampered = replace(allocation.account, **changed)  # type: ignore[arg-type]
    assert check_books(allocation.account, postings) == []
    assert difference in check_books(tampered, postings)


def test_an_open_plan_that_vanished_is_named_also_if_nothing_was_paid_on_it() -> None:
    without = sold().without_plan("p-tv")
    assert check_books(without, SOLD) == [Difference(Wrong.PLAN, "p-tv", 0, None)]


def test_a_carry_is_proved_to_the_fraction() -> None:
    customer = account(meter(), version=0)
    allocation = pay(customer, METER, 100, tariffs=tariff("33.3333"))
    settled = payment("p", kes(100), allocation, 1)
    assert check_books(allocation.account, postings_of(settled)) == []
    device = replace(allocation.account.devices[0], carry_minor=Fraction(2, 100))
    assert check_books(allocation.account.with_device(device), postings_of(settled)) == [
        Difference(Wrong.CARRY, METER, Fraction(1, 100), Fraction(2, 100))
    ]


def test_money_on_a_plan_that_nobody_opened_is_named() -> None:
    postings = [
        Posting("p", 1, lines=(Line(LineKind.TIME, SHS, 5), Line(LineKind.APPLIANCE, "p-9", 6)))
    ]
    assert check_books(account(version=1), postings) == [
        Difference(Wrong.UNPLACED, SHS, None, 5),
        Difference(Wrong.UNPLACED, "p-9", None, 6),
    ]


def test_a_plan_paid_beyond_its_total_is_named() -> None:
    sale = replace(SOLD[1], version=1)
    postings = [sale, Posting("p", 2, lines=(Line(LineKind.APPLIANCE, "p-tv", kes(301)),))]
    assert check_books(account(version=2), postings) == [
        Difference(Wrong.PLAN, "p-tv", kes(300), kes(301))
    ]


def test_money_for_a_device_goes_to_its_latest_plan() -> None:
    postings = [
        Posting("sale", 1, opened=(OpenedPlan("p-old", SHS, kes(100), kes(100)),)),
        Posting("sale", 2, opened=(OpenedPlan("p-shs", SHS, kes(7000)),)),
        Posting("p", 3, lines=(Line(LineKind.TIME, SHS, kes(700)),)),
    ]
    resold = account(weekly(TODAY, paid=700), shs(), version=3)
    assert check_books(resold, postings) == []


def test_a_plan_that_was_written_off_is_not_expected_any_more() -> None:
    written_off = [*SOLD, Posting("write-off", 3, closed=("p-tv",))]
    customer = sold().without_plan("p-tv").next_version()
    assert check_books(customer, written_off) == []


def test_a_device_that_left_takes_its_record_along() -> None:
    customer = sold()
    allocation = pay(customer, METER, 1000, tariffs=FEE_50)
    carry_minor = allocation.account.devices[1].carry_minor
    postings = [
        *SOLD,
        *postings_of(payment("p", kes(1000), allocation, 3)),
        Posting("new owner", 4, dropped=(METER,)),
    ]
    left = replace(allocation.account, version=4, devices=(allocation.account.devices[0],))
    assert carry_minor > 0
    assert check_books(left, postings) == []


def test_an_entry_can_turn_a_carry_into_credit() -> None:
    entry = Posting(
        "credit",
        2,
        lines=(Line(LineKind.CREDIT, "C1", 500),),
        carries=(CarryChange(METER, Fraction(-500)),),
    )
    postings = [Posting("p", 1, lines=(Line(LineKind.ENERGY, METER, 600),)), entry]
    customer = replace(account(meter(carry_minor=Fraction(100)), version=2), credit_minor=500)
    assert check_books(customer, postings) == []


def test_a_closed_vend_cost_nothing_and_an_open_one_costs_what_it_was_made_for() -> None:
    allocation = pay(account(meter(), version=0), METER, 1000)
    bought = payment("p", kes(1000), allocation, 1)
    (void,) = (replace(vend, state=VendState.VOID) for vend in bought.vends)
    still_held = replace(bought, vends=(void,))
    assert check_books(allocation.account, postings_of(still_held)) == []
    credited = replace(
        bought,
        vends=(replace(void, closed=True),),
        lines=(
            *bought.lines,
            Line(LineKind.ENERGY, METER, -kes(1000)),
            Line(LineKind.CREDIT, "C1", kes(1000)),
        ),
        account_versions=(1, 2),
    )
    customer = replace(allocation.account, version=2, credit_minor=kes(1000))
    assert check_books(customer, postings_of(credited)) == []


def test_what_was_refunded_is_missing_from_the_lines() -> None:
    allocation = pay(account(shs(), version=0), SHS, 1000)
    refunded = replace(
        payment("p", kes(1000), allocation, 1),
        lines=(*allocation.lines, Line(LineKind.CREDIT, "C1", -kes(400))),
        account_versions=(1, 2),
    )
    customer = replace(allocation.account, version=2, credit_minor=kes(600))
    assert check_books(customer, postings_of(refunded, refunded_minor=kes(400))) == []
    assert check_books(customer, postings_of(refunded)) == [
        Difference(Wrong.LINES, "p", kes(1000), kes(600))
    ]


def test_a_payment_that_has_not_settled_posted_nothing() -> None:
    allocation = pay(account(meter()), METER, 100)
    waiting = replace(payment("p", kes(100), allocation, 1), account_versions=())
    assert postings_of(waiting) == []
