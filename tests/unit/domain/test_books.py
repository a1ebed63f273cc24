"""The books of one customer: what was posted proves the account, or names what is wrong."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Allocation, Line, LineKind, VendKind
from chalicelib.domain.books import (
    VERSIONS_NAMED_MAX,
    CarryChange,
    ChangedPlan,
    Difference,
    OpenedPlan,
    Posting,
    Wrong,
    check_books,
    check_unposted,
    plans_that_ended,
    postings_of,
)
from chalicelib.domain.payment import (
    Payment,
    Refund,
    RefundState,
    Status,
    Vend,
    VendState,
    vending_for_entry,
)
from chalicelib.domain.plan import Plan, Terms, make_plan
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


def left_with_carry() -> tuple[Account, int, list[Posting]]:
    """An account whose meter has just left, the carry that it had, and the postings before."""
    allocation = pay(sold(), METER, 1000, tariffs=FEE_50)
    carry_minor = allocation.account.devices[1].carry_minor
    assert carry_minor > 0 and carry_minor.denominator == 1
    left = replace(allocation.account, version=4, devices=(allocation.account.devices[0],))
    return left, int(carry_minor), [*SOLD, *postings_of(payment("p", kes(1000), allocation, 3))]


def test_a_device_that_left_takes_its_fees_along_and_its_carry_becomes_credit() -> None:
    left, carry_minor, postings = left_with_carry()
    entry = Posting(
        "new owner",
        4,
        lines=(Line(LineKind.CREDIT, "C1", carry_minor),),
        carries=(CarryChange(METER, Fraction(-carry_minor)),),
        dropped=(METER,),
    )
    assert check_books(replace(left, credit_minor=carry_minor), [*postings, entry]) == []


def test_a_carry_that_left_with_its_device_is_missed() -> None:
    left, carry_minor, postings = left_with_carry()
    entry = Posting("new owner", 4, dropped=(METER,))
    assert check_books(left, [*postings, entry]) == [
        Difference(Wrong.CARRY, METER, carry_minor, None)
    ]


def test_less_than_a_minor_unit_may_be_gone_with_a_meter_that_left() -> None:
    """A vend that cost 100.5 was given up after that: nothing was there to take the half."""
    given_up = Posting(
        "p",
        1,
        lines=(
            Line(LineKind.ENERGY, METER, 101),
            Line(LineKind.ENERGY, METER, -100),
            Line(LineKind.CREDIT, "C1", 100),
        ),
        carries=(CarryChange(METER, Fraction(-1, 2)),),
    )
    left = Posting("new owner", 2, dropped=(METER,))
    customer = replace(account(version=3), credit_minor=100)
    assert check_books(customer, [given_up, left, Posting("p", 3)]) == []
    stayed = [given_up, Posting("note", 2), Posting("p", 3)]
    assert check_books(customer, stayed) == [Difference(Wrong.CARRY, METER, Fraction(1, 2), None)]


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


@pytest.mark.parametrize("state", list(RefundState))
def test_what_was_given_back_is_missing_from_the_lines(state: RefundState) -> None:
    """Also what is on its way, and what nobody knows of; a void refund gave nothing back."""
    allocation = pay(account(shs(), version=0), SHS, 1000)
    bought = payment("p", kes(1000), allocation, 1)
    void = state is RefundState.VOID
    refunded = replace(
        bought,
        lines=(*allocation.lines, *(() if void else (Line(LineKind.CREDIT, "C1", -kes(400)),))),
        refunds=(Refund(1, kes(400), state),),
        account_versions=(1,) if void else (1, 2),
    )
    customer = replace(
        allocation.account,
        version=1 if void else 2,
        credit_minor=kes(1000) if void else kes(600),
    )
    assert check_books(customer, postings_of(refunded)) == []
    kept = replace(refunded, refunds=())
    given_away = replace(refunded, refunds=(Refund(1, kes(399)),))
    assert check_books(customer, postings_of(given_away)) == [
        Difference(Wrong.LINES, "p", kes(601), kes(1000) if void else kes(600))
    ]
    assert (check_books(customer, postings_of(kept)) == []) == void


def test_a_payment_that_has_not_settled_posted_nothing() -> None:
    allocation = pay(account(meter()), METER, 100)
    waiting = replace(payment("p", kes(100), allocation, 1), account_versions=(), lines=())
    assert postings_of(waiting) == []
    assert check_unposted(waiting) == []


def test_a_payment_that_is_in_no_account_has_no_lines() -> None:
    allocation = pay(account(meter()), METER, 100)
    settled = replace(payment("p", kes(100), allocation, 1), settled_at=NOW)
    assert check_unposted(settled) == []
    nowhere = replace(settled, account_versions=())
    assert check_unposted(nowhere) == [Difference(Wrong.LINES, "p", 0, kes(100))]
    unsplit = replace(nowhere, lines=())
    assert check_unposted(unsplit) == [Difference(Wrong.LINES, "p", kes(100), 0)]
    all_given_back = replace(unsplit, refunds=(Refund(1, kes(100), RefundState.DONE),))
    assert check_unposted(all_given_back) == []


def test_a_payment_of_nothing_is_in_no_account_and_right() -> None:
    """It carries the vend of an entry."""
    vend = Vend(1, SHS, "test", VendKind.UNLOCK, VendState.INTENDED)
    nothing = vending_for_entry("C1", 2, vend, None, "KES", NOW)
    assert (postings_of(nothing), check_unposted(nothing)) == ([], [])


# --- plans that ended otherwise ---------------------------------------------------------------

TV_100 = Posting("p", 3, lines=(Line(LineKind.APPLIANCE, "p-tv", kes(100)),))


def test_a_cancelled_plan_s_money_can_become_credit() -> None:
    cancelled = Posting(
        "cancelled",
        4,
        lines=(Line(LineKind.APPLIANCE, "p-tv", -kes(60)), Line(LineKind.CREDIT, "C1", kes(60))),
        closed=("p-tv",),
    )
    customer = replace(sold().without_plan("p-tv"), version=4, credit_minor=kes(60))
    postings = [*SOLD, TV_100, cancelled]
    assert check_books(customer, postings, {"p-tv": kes(40)}) == []
    assert check_books(customer, postings, {"p-tv": kes(100)}) == [
        Difference(Wrong.PLAN, "p-tv", kes(40), kes(100))
    ]


def test_a_plan_that_ended_must_be_stored_with_what_was_paid() -> None:
    paid_off = Posting("p", 3, lines=(Line(LineKind.APPLIANCE, "p-tv", kes(300)),))
    customer = replace(sold().without_plan("p-tv"), version=3)
    postings = [*SOLD, paid_off]
    assert plans_that_ended(customer, postings) == ["p-tv"]
    assert plans_that_ended(sold(), SOLD) == []
    assert check_books(customer, postings, {"p-tv": kes(300)}) == []
    assert check_books(customer, postings, {"p-tv": None}) == [
        Difference(Wrong.PLAN, "p-tv", kes(300), None)
    ]


def test_more_credit_than_was_paid_on_a_cancelled_plan_is_named() -> None:
    cancelled = Posting(
        "cancelled",
        4,
        lines=(Line(LineKind.APPLIANCE, "p-tv", -kes(101)), Line(LineKind.CREDIT, "C1", kes(101))),
        closed=("p-tv",),
    )
    customer = replace(sold().without_plan("p-tv"), version=4, credit_minor=kes(101))
    assert check_books(customer, [*SOLD, TV_100, cancelled]) == [
        Difference(Wrong.PLAN, "p-tv", 0, -kes(1))
    ]


def test_a_plan_that_costs_something_else_since_is_proved_by_what_it_costs_now() -> None:
    cheaper = Posting("changed", 3, changed=(ChangedPlan("p-tv", kes(200)),))
    customer = sold().with_plan(tv(TODAY - days(1), total=200)).next_version()
    assert check_books(customer, [*SOLD, cheaper]) == []
    assert check_books(sold().next_version(), [*SOLD, cheaper]) == [
        Difference(Wrong.TOTAL, "p-tv", kes(200), kes(300))
    ]


def test_a_plan_whose_total_was_lowered_to_what_is_paid_is_paid_off() -> None:
    lowered = Posting("changed", 4, changed=(ChangedPlan("p-tv", kes(100)),))
    customer = replace(sold().without_plan("p-tv"), version=4)
    assert check_books(customer, [*SOLD, TV_100, lowered], {"p-tv": kes(100)}) == []


def test_a_change_of_a_plan_that_is_not_open_is_named() -> None:
    postings = [
        Posting("changed", 1, changed=(ChangedPlan("p-9", 100),)),
        Posting("cancelled", 2, closed=("p-8",)),
    ]
    assert check_books(account(version=2), postings) == [
        Difference(Wrong.UNPLACED, "p-9", None, 100),
        Difference(Wrong.UNPLACED, "p-8", None, 0),
    ]


def test_a_reversal_belongs_to_the_plan_that_was_open_when_the_money_came() -> None:
    """The vend was given up when the device had been sold anew."""
    paid = Posting("p", 2, lines=(Line(LineKind.TIME, SHS, kes(700)),))
    reversed_later = replace(
        paid,
        lines=(
            *paid.lines,
            Line(LineKind.TIME, SHS, -kes(700)),
            Line(LineKind.CREDIT, "C1", kes(700)),
        ),
    )
    postings = [
        Posting("sale", 1, opened=(OpenedPlan("p-old", SHS, kes(1400)),)),
        reversed_later,
        Posting("cancelled", 3, closed=("p-old",)),
        Posting("sale", 4, opened=(OpenedPlan("p-shs", SHS, kes(7000)),)),
        Posting("p", 5),
    ]
    customer = replace(account(weekly(TODAY), shs(), version=5), credit_minor=kes(700))
    assert check_books(customer, postings, {"p-old": 0}) == []


# --- credit and what is below zero ------------------------------------------------------------


def test_credit_that_staff_gave_back_is_gone() -> None:
    postings = [
        Posting("free credit", 1, lines=(Line(LineKind.CREDIT, "C1", 500),)),
        Posting("credit refunded", 2, lines=(Line(LineKind.CREDIT, "C1", -200),)),
    ]
    customer = replace(account(version=2), credit_minor=300)
    assert check_books(customer, postings) == []


def test_the_credit_of_somebody_else_is_not_this_customer_s() -> None:
    postings = [Posting("p", 1, lines=(Line(LineKind.CREDIT, "C2", 500),), amount_minor=500)]
    assert check_books(account(version=1), postings) == [
        Difference(Wrong.UNPLACED, "C2", None, 500)
    ]


def test_what_is_below_zero_is_wrong_even_where_all_agree() -> None:
    postings = [
        Posting(
            "entry",
            1,
            lines=(Line(LineKind.CREDIT, "C1", -1), Line(LineKind.ACCESS_RATE, METER, -2)),
            carries=(CarryChange(METER, Fraction(-1, 3)),),
        )
    ]
    record = meter(fees_paid_minor=-2, carry_minor=Fraction(-1, 3))
    customer = replace(account(record, version=1), credit_minor=-1)
    assert check_books(customer, postings) == [
        Difference(Wrong.CREDIT, "C1", 0, -1),
        Difference(Wrong.FEES, METER, 0, -2),
        Difference(Wrong.CARRY, METER, 0, Fraction(-1, 3)),
    ]


def test_a_version_far_off_the_mark_is_told_in_a_list_that_ends() -> None:
    differences = check_books(account(version=10**12), [])
    assert len(differences) == VERSIONS_NAMED_MAX
    assert differences[0] == Difference(Wrong.VERSION, "1", 1, 0)


# --- any tampering with any history -------------------------------------------------------------

METERS, SERIALS = ("M1", "M2"), ("S1", "S2")
PARTS = st.tuples(st.sampled_from(LineKind), st.integers(0, 5), st.integers(1, 60))
EVENTS = st.one_of(
    st.tuples(st.just("sale"), st.sampled_from([None, *SERIALS]), st.integers(20, 200)),
    st.tuples(st.just("payment"), st.lists(PARTS, min_size=1, max_size=4), st.booleans()),
    st.tuples(st.just("cancelled"), st.integers(0, 5), st.integers(0, 60)),
    st.tuples(st.just("total"), st.integers(0, 5), st.integers(0, 60)),
    st.tuples(st.just("refund"), st.integers(1, 60), st.none()),
    st.tuples(st.just("note"), st.none(), st.none()),
)


class Ledger:
    """A customer's account kept by hand, coin by coin, and what each change posted."""

    def __init__(self) -> None:
        self.postings: list[Posting] = []
        self.credit = 0
        self.open: dict[str, Plan] = {}
        self.ended: dict[str, int | None] = {}
        self.fees: dict[str, int] = dict.fromkeys(METERS, 0)
        self.carries: dict[str, Fraction] = dict.fromkeys(METERS, Fraction(0))

    def post(self, source: str, **posted: Any) -> None:
        """One change."""
        self.postings.append(Posting(source, len(self.postings) + 1, **posted))

    def account(self) -> Account:
        """The account as it stands."""
        records = [
            meter(serial, fees_paid_minor=self.fees[serial], carry_minor=self.carries[serial])
            for serial in METERS
        ]
        made = account(*self.open.values(), *records, version=len(self.postings))
        return replace(made, credit_minor=self.credit)

    def chosen(self, number: int) -> Plan | None:
        """One of the open plans."""
        plans = list(self.open.values())
        return plans[number % len(plans)] if plans else None

    def sale(self, serial: str | None, total: int) -> None:
        """Sell something; a device only when its last plan has ended."""
        if serial in {plan.serial_number for plan in self.open.values()} - {None}:
            return
        plan_id = f"p-{len(self.postings)}"
        terms = Terms(total_minor=total, every="week", first_due=TODAY, instalments=1)
        self.open[plan_id] = make_plan(
            terms, plan_id=plan_id, name=plan_id, sold_at=NOW, serial_number=serial
        )
        self.post("sale", opened=(OpenedPlan(plan_id, serial, total),))

    def payment(self, parts: list[tuple[LineKind, int, int]], at_once: bool) -> None:
        """Money for anything; what a plan cannot take is credit."""
        lines: dict[tuple[LineKind, str], int] = {}
        costs: list[CarryChange] = []
        for kind, number, coins in parts:
            kind, ref, taken = self._placed(kind, number, coins)
            lines[kind, ref] = lines.get((kind, ref), 0) + taken
            if kind is LineKind.ENERGY and at_once:
                cost = self.carries[ref] * Fraction(2, 3)
                self.carries[ref] -= cost
                costs.append(CarryChange(ref, -cost))
        self.post(
            "payment",
            lines=tuple(Line(kind, ref, amount) for (kind, ref), amount in lines.items()),
            amount_minor=sum(lines.values()),
            carries=tuple(costs),
        )

    def _placed(self, kind: LineKind, number: int, coins: int) -> tuple[LineKind, str, int]:
        plan = self.chosen(number)
        if kind in (LineKind.APPLIANCE, LineKind.DEVICE, LineKind.TIME) and plan is not None:
            coins = min(coins, plan.open_minor)
            self._pay(plan, coins)
            if plan.serial_number is None:
                return LineKind.APPLIANCE, plan.plan_id, coins
            kind = LineKind.TIME if kind is LineKind.TIME else LineKind.DEVICE
            return kind, plan.serial_number, coins
        serial = METERS[number % 2]
        if kind is LineKind.ACCESS_RATE:
            self.fees[serial] += coins
            return kind, serial, coins
        if kind is LineKind.ENERGY:
            self.carries[serial] += coins
            return kind, serial, coins
        self.credit += coins
        return LineKind.CREDIT, "C1", coins

    def _pay(self, plan: Plan, coins: int) -> None:
        after = replace(plan, paid_minor=plan.paid_minor + coins)
        self.open[plan.plan_id] = after
        if after.is_paid:
            self._end(after)

    def _end(self, plan: Plan) -> None:
        del self.open[plan.plan_id]
        self.ended[plan.plan_id] = plan.paid_minor

    def cancelled(self, number: int, coins: int) -> None:
        """End a plan; some of what was paid on it becomes credit."""
        plan = self.chosen(number)
        if plan is None:
            return
        coins = min(coins, plan.paid_minor)
        self._end(replace(plan, paid_minor=plan.paid_minor - coins))
        kind = LineKind.APPLIANCE if plan.serial_number is None else LineKind.DEVICE
        line = Line(kind, plan.serial_number or plan.plan_id, -coins)
        self.credit += coins
        lines = (line, Line(LineKind.CREDIT, "C1", coins)) if coins else ()
        self.post("cancelled", lines=lines, closed=(plan.plan_id,))

    def total(self, number: int, more: int) -> None:
        """Let a plan cost that much more than is paid of it; nothing more: it is paid off."""
        plan = self.chosen(number)
        if plan is None:
            return
        after = replace(plan, total_minor=plan.paid_minor + more)
        self.open[plan.plan_id] = after
        if after.is_paid:
            self._end(after)
        self.post("total", changed=(ChangedPlan(plan.plan_id, after.total_minor),))

    def refund(self, coins: int, _: None) -> None:
        """Give credit back by hand."""
        coins = min(coins, self.credit)
        if coins:
            self.credit -= coins
            self.post("refund", lines=(Line(LineKind.CREDIT, "C1", -coins),))

    def note(self, _: None, __: None) -> None:
        """A change that moves no money."""
        self.post("note")


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """A customer with a history, right to the coin."""
    ledger = Ledger()
    ledger.note(None, None)
    for name, first, second in draw(st.lists(EVENTS, min_size=1, max_size=12)):
        getattr(ledger, name)(first, second)
    return ledger


def differences(ledger: Ledger, postings: list[Posting]) -> list[Difference]:
    return check_books(ledger.account(), postings, ledger.ended)


@given(ledgers(), st.randoms(use_true_random=False))
def test_a_history_that_is_right_has_no_difference_in_any_order(
    ledger: Ledger, dice: Random
) -> None:
    postings = list(ledger.postings)
    dice.shuffle(postings)
    assert differences(ledger, postings) == []
    assert set(plans_that_ended(ledger.account(), postings)) == set(ledger.ended)


@given(ledgers(), st.data())
def test_a_posting_that_is_lost_doubled_or_out_of_its_place_is_found(
    ledger: Ledger, data: st.DataObject
) -> None:
    postings = ledger.postings
    place = data.draw(st.integers(0, len(postings) - 1))
    one, without = postings[place], postings[:place] + postings[place + 1 :]
    by = data.draw(st.integers(-20, 20).filter(bool))
    for tampered in (
        without,
        [*postings, one],
        [*without, replace(one, version=one.version + by)],
    ):
        found = differences(ledger, tampered)
        assert str(one.version) in {d.ref for d in found if d.wrong is Wrong.VERSION}


@given(ledgers(), st.data())
def test_a_line_that_is_lost_or_changed_or_led_elsewhere_is_found(
    ledger: Ledger, data: st.DataObject
) -> None:
    places = [(i, j) for i, p in enumerate(ledger.postings) for j, _ in enumerate(p.lines)]
    assume(places)
    place, number = data.draw(st.sampled_from(places))
    posting = ledger.postings[place]
    line = posting.lines[number]
    by = data.draw(st.integers(-100, 100).filter(bool))
    refs = {line.ref for p in ledger.postings for line in p.lines} | {"elsewhere"}
    ref = data.draw(st.sampled_from(sorted(refs - {line.ref})))
    changed = [replace(line, amount_minor=line.amount_minor + by)]
    if line.amount_minor:
        changed += [replace(line, ref=ref), replace(line, amount_minor=0)]
    for other in changed:
        lines = (*posting.lines[:number], other, *posting.lines[number + 1 :])
        tampered = list(ledger.postings)
        tampered[place] = replace(posting, lines=lines)
        assert differences(ledger, tampered)


@given(ledgers(), st.integers(-50, 50).filter(bool), st.data())
def test_any_sum_of_the_account_that_is_changed_is_found(
    ledger: Ledger, by: int, data: st.DataObject
) -> None:
    right = ledger.account()
    tampered = [
        replace(right, credit_minor=right.credit_minor + by),
        replace(right, version=right.version + by),
        replace(right, devices=right.devices[1:])
        if right.devices[0].carry_minor or right.devices[0].fees_paid_minor
        else right.with_device(replace(right.devices[0], fees_paid_minor=by)),
        right.with_device(replace(right.devices[1], carry_minor=right.devices[1].carry_minor + by)),
    ]
    for plan in right.plans:
        tampered += [
            right.without_plan(plan.plan_id),
            right.with_plan(replace(plan, paid_minor=plan.paid_minor + by)),
            right.with_plan(replace(plan, total_minor=plan.total_minor + by)),
        ]
    wrong = data.draw(st.sampled_from(tampered))
    assert check_books(wrong, ledger.postings, ledger.ended)
