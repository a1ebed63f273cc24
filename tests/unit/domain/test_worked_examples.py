"""The worked examples of the rules, row by row: price 100 per kWh, weekly plan 700 x 10."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Rules, debts
from chalicelib.domain.plan import Every
from chalicelib.domain.tariff import Tariff
from tests.unit.domain.examples import (
    ACTIVATION,
    METER,
    NOW,
    RULES,
    SHS,
    TODAY,
    account,
    days,
    kes,
    lines_of,
    local,
    meter,
    pay,
    shs,
    tariff,
    tv,
    vends_of,
    weekly,
)

TV_AND_FEES = account(tv(TODAY - days(1)), meter(since=local(TODAY - days(7))))
"""A TV instalment of 300 that is overdue, and an access fee of 150 that fell due today."""

FEE_150 = tariff(fee=150)
PLAIN = tariff()

ROWS = [
    ("nothing owed", account(meter()), METER, 500, PLAIN, "energy 500", "energy 5"),
    (
        "TV and access fees owed",
        TV_AND_FEES,
        METER,
        1000,
        FEE_150,
        "appliance 300, access_rate 150, energy 550",
        "energy 11/2",
    ),
    ("exactly the debt", TV_AND_FEES, METER, 450, FEE_150, "appliance 300, access_rate 150", ""),
    ("less than the debt", TV_AND_FEES, METER, 400, FEE_150, "appliance 300, access_rate 100", ""),
    (
        "TV instalment due today",
        account(tv(TODAY), meter()),
        METER,
        300,
        PLAIN,
        "energy 300",
        "energy 3",
    ),
    (
        "SHS overdue, the meter is paid",
        account(weekly(TODAY - days(1), total=2000), shs(), meter()),
        METER,
        1000,
        PLAIN,
        "device 200, energy 800",
        "energy 8",
    ),
    (
        "TV overdue, SHS up to date",
        account(tv(TODAY - days(1)), weekly(TODAY), shs()),
        SHS,
        1000,
        PLAIN,
        "appliance 300, time 700",
        "time 7",
    ),
    (
        "SHS two overdue, third due in 3 days",
        account(weekly(TODAY - days(11)), shs()),
        SHS,
        2100,
        PLAIN,
        "device 1400, time 700",
        "time 7",
    ),
    (
        "SHS, the last 385 open and not overdue",
        account(weekly(TODAY - days(60), paid=6615), shs()),
        SHS,
        500,
        PLAIN,
        "time 385, credit 115",
        "unlock",
    ),
    (
        "credit in hand",
        account(meter(), credit=115),
        METER,
        500,
        PLAIN,
        "energy 615, credit -115",
        "energy 61/10",
    ),
    (
        "a price that does not divide",
        account(meter()),
        METER,
        1000,
        tariff(300),
        "energy 1000",
        "energy 33/10",
    ),
]


@pytest.mark.parametrize(
    ("who", "serial", "amount", "under", "lines", "vends"),
    [row[1:] for row in ROWS],
    ids=[row[0] for row in ROWS],
)
def test_the_payment_is_split_as_the_rules_say(
    who: Account, serial: str, amount: int, under: Tariff, lines: str, vends: str
) -> None:
    allocation = pay(who, serial, amount, tariffs=under)
    assert lines_of(allocation) == lines
    assert vends_of(allocation) == vends


def test_paying_less_than_the_debt_leaves_the_rest_owed() -> None:
    allocation = pay(TV_AND_FEES, METER, 400, tariffs=FEE_150)
    still_owed = debts(allocation.account, NOW, {1: FEE_150}, RULES)
    assert [(debt.ref, debt.amount_minor) for debt in still_owed] == [(METER, kes(50))]


def test_what_energy_does_not_cost_is_carried_by_the_meter() -> None:
    after_credit = pay(account(meter(), credit=115), METER, 500).account
    assert after_credit.devices[0].carry_minor == kes(5)
    assert after_credit.credit_minor == 0
    after_300 = pay(account(meter()), METER, 1000, tariffs=tariff(300)).account
    assert after_300.devices[0].carry_minor == kes(10)


def test_a_plan_that_ends_leaves_the_account_paid_in_full() -> None:
    allocation = pay(account(weekly(TODAY - days(60), paid=6615), shs()), SHS, 500)
    assert allocation.account.plans == ()
    assert [plan.paid_minor for plan in allocation.ended_plans] == [kes(7000)]
    assert allocation.account.credit_minor == kes(115)
    assert allocation.account.devices[0].plan_id == "p-shs"


@pytest.mark.parametrize(("rules", "bought"), [(RULES, 7), (ACTIVATION, 21)])
def test_own_arrears_buy_days_only_where_the_company_chose_activation(
    rules: Rules, bought: int
) -> None:
    allocation = pay(account(weekly(TODAY - days(11)), shs()), SHS, 2100, rules=rules)
    assert lines_of(allocation) == "device 1400, time 700"
    assert vends_of(allocation) == f"time {bought}"


@pytest.mark.parametrize(("rules", "bought"), [(RULES, 0), (ACTIVATION, 63)])
def test_a_customer_always_one_day_late_gets_no_days_or_all_of_them(
    rules: Rules, bought: int
) -> None:
    """Nine late instalments of 700; the tenth pays the plan off, so it unlocks under either."""
    who = account(weekly(TODAY), shs())
    got = Fraction(0)
    for week in range(10):
        late = local(TODAY + days(7 * week + 1))
        allocation = pay(who, SHS, 700, moment=late, rules=rules)
        assert lines_of(allocation) == "device 700"
        got += sum((intent.units or 0 for intent in allocation.intents), Fraction(0))
        who = allocation.account
    assert got == bought
    assert vends_of(allocation) == "unlock"


@pytest.mark.parametrize(("rules", "bought"), [(RULES, 0), (ACTIVATION, 70)])
def test_7000_paid_one_day_late_buy_0_or_70_days(rules: Rules, bought: int) -> None:
    """Ten late instalments of a plan that goes on: 0 days as debt, 70 as activation."""
    who = account(weekly(TODAY, total=14000, instalments=20), shs())
    got = Fraction(0)
    for week in range(10):
        allocation = pay(who, SHS, 700, moment=local(TODAY + days(7 * week + 1)), rules=rules)
        got += sum((intent.units or 0 for intent in allocation.intents), Fraction(0))
        who = allocation.account
    assert got == bought


def test_days_are_bought_in_proportion_and_the_part_of_a_day_is_carried() -> None:
    allocation = pay(account(weekly(TODAY), shs()), SHS, 750)
    assert vends_of(allocation) == "time 7"
    assert allocation.account.devices[0].carry_days == Fraction(1, 2)
    assert vends_of(pay(account(weekly(TODAY), shs()), SHS, 800)) == "time 8"


def test_a_monthly_instalment_of_550_buys_exactly_its_30_days() -> None:
    """April's instalment runs to May: 30 days, where binary fractions would make 31 of it."""
    plan = weekly(date(2025, 4, 10), total=5500, every=Every.MONTH)
    allocation = pay(account(plan, shs()), SHS, 550)
    assert vends_of(allocation) == "time 30"
    assert allocation.account.devices[0].carry_days == 0
