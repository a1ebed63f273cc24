"""The split of a payment: the order, the lines, energy, time, credit, unlocks, tokens, carries."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.account import Account, Tenure
from chalicelib.domain.allocation import (
    Allocation,
    Line,
    LineKind,
    VendIntent,
    VendKind,
    VendRules,
    allocate,
    debts,
    prove,
)
from chalicelib.domain.errors import InvariantBroken
from chalicelib.domain.tariff import Rate, Tariff
from tests.unit.domain.examples import (
    ACTIVATION,
    DAY,
    LONG_AGO,
    METER,
    NOW,
    RULES,
    SHS,
    TENTH_KWH,
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

YESTERDAY = TODAY - days(1)


def refs_of(payer: Account, tariffs: dict[int, Tariff] | None = None) -> list[str]:
    """What the customer owes now, in the order of clearing: ``"p-tv/1 300"``."""
    rows = debts(payer, NOW, tariffs or {1: tariff()}, RULES)
    return [f"{row.ref}/{row.number} {Fraction(row.amount_minor, 100)}" for row in rows]


# --- the order of debts --------------------------------------------------------------------------


def test_appliances_come_first_however_old_the_other_debts_are() -> None:
    payer = account(
        weekly(TODAY - days(30), total=700, instalments=1),
        shs(),
        tv(YESTERDAY),
        meter(since=local(TODAY - days(40))),
    )
    owed = refs_of(payer, {1: tariff(fee=10, period_days=30)})
    assert owed == ["p-tv/1 300", "S1/1 700", "M1/1 10"]


def test_appliance_debts_are_cleared_by_due_date_over_all_plans_then_by_plan_id() -> None:
    payer = account(
        tv(TODAY - days(10), total=600, instalments=2, plan_id="p-b"),
        tv(TODAY - days(3), plan_id="p-c"),
        tv(TODAY - days(3), plan_id="p-a"),
    )
    assert refs_of(payer) == ["p-b/1 300", "p-a/1 300", "p-b/2 300", "p-c/1 300"]


def test_device_plans_and_fees_of_all_meters_are_mixed_by_due_date_then_by_serial() -> None:
    payer = account(
        weekly(TODAY - days(10), total=1400, instalments=2),
        shs(),
        meter("M1", since=local(TODAY - days(10))),
        meter("T9", since=local(TODAY - days(10))),
    )
    assert refs_of(payer, {1: tariff(fee=50)}) == ["S1/1 700", "M1/1 50", "S1/2 700", "T9/1 50"]


def test_a_debt_says_what_it_is_for() -> None:
    payer = account(tv(YESTERDAY), weekly(YESTERDAY), shs(), meter(since=local(TODAY - days(7))))
    rows = debts(payer, NOW, {1: tariff(fee=50)}, RULES)
    assert [(row.kind, row.ref, row.name, row.serial_number, row.due_on) for row in rows] == [
        (LineKind.APPLIANCE, "p-tv", "p-tv", None, YESTERDAY),
        (LineKind.DEVICE, "S1", "p-shs", "S1", YESTERDAY),
        (LineKind.ACCESS_RATE, "M1", "tariff 1", "M1", TODAY),
    ]


def test_the_down_payment_is_owed_at_once_and_first_within_its_plan() -> None:
    payer = account(weekly(TODAY - days(8), down=500, sold_at=NOW), shs())
    assert refs_of(payer) == ["S1/0 500", "S1/1 650", "S1/2 650"]


def test_a_meter_that_went_to_another_owner_still_owes_its_old_fees_here() -> None:
    sold_on = meter("M7", owned=False, tenures=(Tenure(1, LONG_AGO, local(TODAY)),))
    payer = account(sold_on, meter())
    owed = sum(row.amount_minor for row in debts(payer, NOW, {1: tariff(fee=1)}, RULES))
    allocation = pay(payer, METER, 100, tariffs=tariff(fee=1))
    assert owed > 0
    assert allocation.lines[0] == Line(LineKind.ACCESS_RATE, "M7", owed)
    assert allocation.lines[1].kind is LineKind.ENERGY


# --- lines ---------------------------------------------------------------------------------------


def test_there_is_one_line_for_each_kind_and_ref_in_the_order_of_first_use() -> None:
    payer = account(
        weekly(TODAY - days(10), total=1400, instalments=2),
        shs(),
        meter("M1", since=local(TODAY - days(10))),
    )
    allocation = pay(payer, METER, 2000, tariffs=tariff(fee=50))
    assert lines_of(allocation) == "device 1400, access_rate 50, energy 550"


def test_money_may_run_out_in_the_middle_of_a_debt_without_a_token_and_without_an_error() -> None:
    payer = account(tv(YESTERDAY), weekly(YESTERDAY), shs(), meter())
    allocation = pay(payer, METER, 999)
    assert lines_of(allocation) == "appliance 300, device 699"
    assert allocation.intents == ()
    assert refs_of(allocation.account) == ["S1/1 1"]


def test_fees_and_energy_of_the_same_meter_are_both_kept_in_its_record() -> None:
    payer = account(meter(since=local(TODAY - days(7))))
    after = pay(payer, METER, 155, tariffs=tariff(fee=50)).account
    assert after.devices[0].fees_paid_minor == kes(50)
    assert after.devices[0].carry_minor == kes(5)


def test_a_payment_makes_exactly_one_account_version() -> None:
    assert pay(account(meter(), version=4), METER, 100).account.version == 5


# --- credit --------------------------------------------------------------------------------------


def test_credit_joins_the_payment_before_anything_is_cleared() -> None:
    allocation = pay(account(tv(YESTERDAY), meter(), credit=250), METER, 100)
    assert lines_of(allocation) == "appliance 300, energy 50, credit -250"


def test_credit_that_is_used_and_made_again_is_one_net_line() -> None:
    payer = account(weekly(TODAY, paid=6615), shs(), credit=200)
    assert lines_of(pay(payer, SHS, 100)) == "time 300, credit -200"
    assert lines_of(pay(payer, SHS, 385)) == "time 385"
    assert lines_of(pay(payer, SHS, 400)) == "time 385, credit 15"


def test_a_payment_for_a_paid_off_device_clears_debts_and_the_rest_is_credit() -> None:
    allocation = pay(account(tv(YESTERDAY), shs()), SHS, 500)
    assert lines_of(allocation) == "appliance 300, credit 200"
    assert allocation.lines[-1].ref == "C1"
    assert allocation.intents == ()


def test_money_for_a_meter_that_never_had_a_tariff_is_credit() -> None:
    assert lines_of(pay(account(meter(tenures=())), METER, 500)) == "credit 500"


# --- energy --------------------------------------------------------------------------------------


def test_below_the_minimum_purchase_all_is_carried_until_it_is_reached() -> None:
    under = tariff(minimum=200)
    first = pay(account(meter()), METER, 199, tariffs=under)
    assert (lines_of(first), vends_of(first)) == ("energy 199", "")
    assert first.account.devices[0].carry_minor == kes(199)
    second = pay(first.account, METER, 1, tariffs=under)
    assert (lines_of(second), vends_of(second)) == ("energy 1", "energy 2")
    assert second.account.devices[0].carry_minor == 0


def test_money_below_one_step_is_carried() -> None:
    allocation = pay(account(meter()), METER, 9)
    assert allocation.intents == ()
    assert allocation.account.devices[0].carry_minor == kes(9)


def test_a_payment_that_goes_into_debts_alone_leaves_the_carry_alone() -> None:
    payer = account(tv(YESTERDAY), meter(carry_minor=Fraction(kes(90))))
    allocation = pay(payer, METER, 300)
    assert allocation.intents == ()
    assert allocation.account.devices[0].carry_minor == kes(90)


def test_a_carry_may_be_a_fraction_of_a_minor_unit() -> None:
    under = tariff("33.3333")
    allocation = pay(account(meter()), METER, 100, tariffs=under)
    assert vends_of(allocation) == "energy 3"
    assert allocation.account.devices[0].carry_minor == Fraction(1, 100)
    assert allocation.intents[0].cost_minor == Fraction(999999, 100)


def test_energy_is_sold_at_the_price_of_the_moment_not_of_the_settlement() -> None:
    changed = Tariff(1, "t", (Rate(LONG_AGO, Fraction(10_000)), Rate(NOW, Fraction(20_000))))
    payer = account(meter(since=LONG_AGO))
    just_before = NOW - timedelta(seconds=1)
    assert vends_of(pay(payer, METER, 500, tariffs=changed, moment=just_before)) == "energy 5"
    assert vends_of(pay(payer, METER, 500, tariffs=changed, moment=NOW)) == "energy 5/2"


def test_the_price_is_that_of_the_tenure_in_force_and_the_first_covers_earlier_moments() -> None:
    tenures = (Tenure(1, NOW, NOW + days(1)), Tenure(2, NOW + days(1)))
    payer = account(meter(tenures=tenures))
    tariffs = {1: tariff(100), 2: tariff(50, tariff_id=2)}
    for moment, units in [(-3, 5), (0, 5), (1, 10), (30, 10)]:
        allocation = pay(payer, METER, 500, tariffs=tariffs, moment=NOW + days(moment))
        assert vends_of(allocation) == f"energy {units}"


def test_units_above_the_maximum_are_split_over_tokens_largest_first() -> None:
    rules = VendRules(Fraction(1, 10), Fraction(20))
    allocation = pay(account(meter()), METER, 4555, vend_rules=rules)
    assert vends_of(allocation) == "energy 20, energy 20, energy 11/2"
    assert [intent.money_minor for intent in allocation.intents] == [
        kes(2000),
        kes(2000),
        kes(555),
    ]
    assert [intent.cost_minor for intent in allocation.intents] == [
        kes(2000),
        kes(2000),
        kes(550),
    ]
    assert allocation.account.devices[0].carry_minor == kes(5)


def test_what_five_tokens_cannot_hold_is_carried_in_money_and_bought_next_time() -> None:
    rules = VendRules(Fraction(1, 10), Fraction(2))
    first = pay(account(meter()), METER, 1100, vend_rules=rules)
    assert vends_of(first) == ", ".join(["energy 2"] * 5)
    assert first.account.devices[0].carry_minor == kes(100)
    second = pay(first.account, METER, 50, vend_rules=rules)
    assert vends_of(second) == "energy 3/2"


def test_tokens_share_their_lines_money_also_where_the_carry_paid_most_of_it() -> None:
    payer = account(meter(carry_minor=Fraction(kes(900))))
    rules = VendRules(Fraction(1, 10), Fraction(4))
    allocation = pay(payer, METER, 100, vend_rules=rules)
    assert vends_of(allocation) == "energy 4, energy 4, energy 2"
    assert [intent.money_minor for intent in allocation.intents] == [kes(100), 0, 0]


# --- manufacturers that take money ----------------------------------------------------------------

MONEY = VendRules(Fraction(1, 1000), money_step_minor=1)
WHOLE_SHILLINGS = VendRules(Fraction(1, 1000), money_step_minor=100)


def carried(allocation: Allocation) -> Fraction:
    return allocation.account.devices[0].carry_minor


def test_a_manufacturer_that_takes_money_gets_all_of_it_and_kwh_are_for_people_to_read() -> None:
    allocation = pay(account(meter()), METER, 1000, tariffs=tariff(300), vend_rules=MONEY)
    assert lines_of(allocation) == "energy 1000"
    (intent,) = allocation.intents
    assert (intent.cost_minor, intent.money_minor) == (kes(1000), kes(1000))
    assert intent.units == Fraction(3333, 1000)
    assert carried(allocation) == 0


def test_the_debts_come_first_there_too() -> None:
    payer = account(tv(YESTERDAY), meter(since=local(TODAY - days(7))))
    allocation = pay(payer, METER, 1000, tariffs=tariff(300, fee=150), vend_rules=MONEY)
    assert lines_of(allocation) == "appliance 300, access_rate 150, energy 550"
    assert [x.cost_minor for x in allocation.intents] == [kes(550)]


def test_only_what_the_manufacturer_accepts_is_sent_and_the_rest_is_carried() -> None:
    first = pay(account(meter()), METER, "999.40", vend_rules=WHOLE_SHILLINGS)
    assert [x.cost_minor for x in first.intents] == [kes(999)]
    assert carried(first) == 40
    second = pay(first.account, METER, "0.60", vend_rules=WHOLE_SHILLINGS)
    assert [x.cost_minor for x in second.intents] == [kes(1)]
    assert carried(second) == 0


def test_a_part_of_a_minor_unit_that_was_carried_stays_carried_until_it_is_a_whole_one() -> None:
    payer = account(meter(carry_minor=Fraction(1, 3)))
    first = pay(payer, METER, 10, vend_rules=MONEY)
    assert [x.cost_minor for x in first.intents] == [kes(10)]
    assert carried(first) == Fraction(1, 3)
    almost = account(meter(carry_minor=Fraction(5, 3)))
    second = pay(almost, METER, 10, vend_rules=MONEY)
    assert [(x.cost_minor, x.money_minor) for x in second.intents] == [(kes(10) + 1, kes(10))]
    assert carried(second) == Fraction(2, 3)


def test_below_the_minimum_purchase_no_money_is_sent() -> None:
    under = tariff(minimum=200)
    first = pay(account(meter()), METER, 199, tariffs=under, vend_rules=MONEY)
    assert (first.intents, carried(first)) == ((), kes(199))
    second = pay(first.account, METER, 1, tariffs=under, vend_rules=MONEY)
    assert [x.cost_minor for x in second.intents] == [kes(200)]


def test_money_that_is_not_worth_the_smallest_step_is_not_sent() -> None:
    """Else somebody would be told of a top-up of 0 kWh."""
    allocation = pay(account(meter()), METER, "0.05", tariffs=tariff(100), vend_rules=MONEY)
    assert (allocation.intents, carried(allocation)) == ((), 5)
    enough = pay(allocation.account, METER, "0.05", tariffs=tariff(100), vend_rules=MONEY)
    assert [(x.units, x.cost_minor) for x in enough.intents] == [(Fraction(1, 1000), 10)]


def test_money_is_never_split_over_several_top_ups() -> None:
    rules = VendRules(Fraction(1, 1000), Fraction(2), money_step_minor=1)
    allocation = pay(account(meter()), METER, 5000, vend_rules=rules)
    assert [x.cost_minor for x in allocation.intents] == [kes(5000)]


# --- time ----------------------------------------------------------------------------------------


def test_paid_until_runs_on_from_the_end_of_the_paid_time() -> None:
    ahead = NOW + days(3)
    payer = account(weekly(TODAY + days(3)), shs(paid_until=ahead))
    allocation = pay(payer, SHS, 700)
    assert allocation.account.devices[0].paid_until == ahead + days(7)
    assert allocation.intents[0].paid_until == ahead + days(7)


def test_paid_until_begins_at_the_moment_where_the_paid_time_is_over() -> None:
    for before in (None, NOW - days(9)):
        payer = account(weekly(TODAY), shs(paid_until=before))
        assert pay(payer, SHS, 700).account.devices[0].paid_until == NOW + days(7)


def test_parts_of_days_add_up_to_days() -> None:
    payer = account(weekly(TODAY, total=70, instalments=10), shs())
    vends = []
    for _ in range(4):
        allocation = pay(payer, SHS, "0.5")
        vends.append(vends_of(allocation))
        payer = allocation.account
    assert vends == ["", "time 1", "", "time 1"]
    assert payer.devices[0].paid_until == NOW + days(2)


def test_less_than_a_day_leaves_the_end_of_the_paid_time_where_it_was() -> None:
    allocation = pay(account(weekly(TODAY), shs()), SHS, 50)
    assert (lines_of(allocation), vends_of(allocation)) == ("time 50", "")
    assert allocation.account.devices[0].carry_days == Fraction(1, 2)
    assert allocation.account.devices[0].paid_until is None


def test_days_above_the_maximum_are_split_and_each_token_knows_its_own_end() -> None:
    payer = account(weekly(TODAY), shs())
    allocation = pay(payer, SHS, 1700, vend_rules=VendRules(Fraction(1), Fraction(7)))
    assert vends_of(allocation) == "time 7, time 7, time 3"
    assert [intent.paid_until for intent in allocation.intents] == [
        NOW + days(7),
        NOW + days(14),
        NOW + days(17),
    ]
    assert [intent.money_minor for intent in allocation.intents] == [
        kes(700),
        kes(700),
        kes(300),
    ]
    assert allocation.account.devices[0].paid_until == NOW + days(17)


def test_the_first_of_a_line_s_tokens_knows_what_its_money_bought_exactly() -> None:
    rules = VendRules(Fraction(1), Fraction(7))
    payer = account(weekly(TODAY), shs(carry_days=Fraction(1, 4)))
    allocation = pay(payer, SHS, 750, vend_rules=rules)
    assert vends_of(allocation) == "time 7"
    assert [intent.days_bought for intent in allocation.intents] == [Fraction(15, 2)]
    several = pay(payer, SHS, 1750, vend_rules=rules)
    assert [intent.days_bought for intent in several.intents] == [Fraction(35, 2), 0, 0]


def test_days_of_arrears_are_not_what_the_line_bought() -> None:
    payer = account(weekly(TODAY - days(7)), shs())
    allocation = pay(payer, SHS, 1400, rules=ACTIVATION)
    assert (lines_of(allocation), vends_of(allocation)) == ("device 700, time 700", "time 14")
    assert [intent.days_bought for intent in allocation.intents] == [7]


def test_what_five_tokens_cannot_hold_is_carried_in_days_and_issued_next_time() -> None:
    rules = VendRules(Fraction(1), Fraction(2))
    first = pay(account(weekly(TODAY), shs()), SHS, 1150, vend_rules=rules)
    assert vends_of(first) == ", ".join(["time 2"] * 5)
    assert first.account.devices[0].carry_days == Fraction(3, 2)
    second = pay(first.account, SHS, 50, vend_rules=rules)
    assert vends_of(second) == "time 2"
    assert second.account.devices[0].paid_until == NOW + days(12)


def test_a_payment_that_goes_into_debts_alone_issues_no_carried_days() -> None:
    payer = account(weekly(YESTERDAY), shs(carry_days=Fraction(5, 2)))
    allocation = pay(payer, SHS, 700)
    assert (lines_of(allocation), vends_of(allocation)) == ("device 700", "")
    assert allocation.account.devices[0].carry_days == Fraction(5, 2)


def test_only_whole_days_are_issued_whatever_the_manufacturer_could_do() -> None:
    hours = VendRules(Fraction(1, 24))
    allocation = pay(account(weekly(TODAY), shs()), SHS, 250, vend_rules=hours)
    assert vends_of(allocation) == "time 2"
    assert allocation.account.devices[0].carry_days == Fraction(1, 2)


def test_a_down_payment_buys_no_days() -> None:
    allocation = pay(account(weekly(TODAY, down=500, sold_at=NOW), shs()), SHS, 500)
    assert (lines_of(allocation), vends_of(allocation)) == ("device 500", "")


def test_a_down_payment_that_is_not_yet_owed_buys_no_days_either() -> None:
    """The moment lies before the sale: a payment of yesterday for what was sold today."""
    payer = account(weekly(TODAY + days(7), down=500, sold_at=NOW + days(1)), shs())
    allocation = pay(payer, SHS, 500)
    assert (lines_of(allocation), vends_of(allocation)) == ("time 500", "")
    assert allocation.account.devices[0].carry_days == 0


def test_activation_gives_days_for_own_arrears_though_the_money_ran_out_in_them() -> None:
    payer = account(weekly(TODAY - days(11)), shs())
    allocation = pay(payer, SHS, 800, rules=ACTIVATION)
    assert (lines_of(allocation), vends_of(allocation)) == ("device 800", "time 8")
    assert allocation.intents[0].money_minor == 0


def test_activation_gives_no_days_for_the_arrears_of_another_serial() -> None:
    other = weekly(YESTERDAY, plan_id="p-2", serial_number="S2")
    payer = account(weekly(TODAY), other, shs(), shs("S2", "p-2"))
    allocation = pay(payer, SHS, 1400, rules=ACTIVATION)
    assert (lines_of(allocation), vends_of(allocation)) == ("device 700, time 700", "time 7")


# --- the end of a plan ---------------------------------------------------------------------------


def test_the_last_overdue_money_of_a_device_unlocks_it_whichever_serial_was_paid() -> None:
    payer = account(weekly(TODAY - days(80), paid=6900), shs(carry_days=Fraction(1, 2)), meter())
    allocation = pay(payer, METER, 300)
    assert lines_of(allocation) == "device 100, energy 200"
    assert vends_of(allocation) == "energy 2, unlock"
    assert [intent.serial_number for intent in allocation.intents] == [METER, SHS]
    assert allocation.intents[1].money_minor == 0
    assert allocation.account.devices[0].carry_days == 0


def test_the_paid_device_gets_the_unlock_instead_of_time() -> None:
    payer = account(weekly(TODAY - days(60), paid=6615), shs(carry_days=Fraction(6, 7)))
    allocation = pay(payer, SHS, 385)
    assert allocation.intents == (VendIntent(SHS, VendKind.UNLOCK, money_minor=kes(385)),)
    assert allocation.account.devices[0].carry_days == 0


@pytest.mark.parametrize("rules", [RULES, ACTIVATION])
def test_a_plan_paid_off_by_its_arrears_unlocks_and_the_rest_is_credit(rules: Any) -> None:
    payer = account(weekly(TODAY - days(80), paid=6615), shs())
    allocation = pay(payer, SHS, 500, rules=rules)
    assert (lines_of(allocation), vends_of(allocation)) == ("device 385, credit 115", "unlock")


def test_one_payment_can_unlock_several_devices_the_paid_one_first() -> None:
    payer = account(
        weekly(TODAY - days(80), paid=6900, plan_id="p-a", serial_number="S0"),
        weekly(TODAY, total=100, instalments=1),
        shs("S0", "p-a"),
        shs(),
    )
    allocation = pay(payer, SHS, 200)
    assert lines_of(allocation) == "device 100, time 100"
    assert [(x.serial_number, x.kind) for x in allocation.intents] == [
        (SHS, VendKind.UNLOCK),
        ("S0", VendKind.UNLOCK),
    ]
    assert {plan.plan_id for plan in allocation.ended_plans} == {"p-a", "p-shs"}


def test_an_appliance_that_is_paid_off_leaves_the_account_without_a_token() -> None:
    allocation = pay(account(tv(YESTERDAY), meter()), METER, 300)
    assert allocation.intents == ()
    assert [plan.plan_id for plan in allocation.ended_plans] == ["p-tv"]
    assert allocation.account.plans == ()


# --- cash at the office, for an appliance's plan -------------------------------------------------


def test_cash_for_an_appliance_pays_its_next_instalments_after_all_debts() -> None:
    payer = account(tv(YESTERDAY, total=900, instalments=3), meter(since=local(TODAY - days(7))))
    allocation = pay(payer, METER, 500, tariffs=tariff(fee=50), target_plan_id="p-tv")
    assert (lines_of(allocation), vends_of(allocation)) == ("appliance 450, access_rate 50", "")
    assert allocation.account.plans[0].paid_minor == kes(450)


def test_cash_beyond_the_appliances_total_is_credit_and_buys_no_energy() -> None:
    payer = account(tv(TODAY + days(30)), meter())
    allocation = pay(payer, METER, 500, target_plan_id="p-tv")
    assert (lines_of(allocation), vends_of(allocation)) == ("appliance 300, credit 200", "")
    assert [plan.plan_id for plan in allocation.ended_plans] == ["p-tv"]


def test_cash_for_the_plan_of_a_device_is_as_paying_the_device() -> None:
    payer = account(tv(YESTERDAY), weekly(TODAY), shs())
    paid = pay(payer, SHS, 1000, target_plan_id="p-shs")
    assert paid == pay(payer, SHS, 1000)
    assert (lines_of(paid), vends_of(paid)) == ("appliance 300, time 700", "time 7")


def test_cash_for_a_plan_that_has_ended_is_credit_and_needs_no_device() -> None:
    assert lines_of(pay(account(), "", 500, target_plan_id="p-tv")) == "credit 500"


# --- what must never happen ----------------------------------------------------------------------


def test_a_device_that_is_not_the_customers_is_never_paid() -> None:
    with pytest.raises(InvariantBroken, match="X9 is not a device of C1"):
        pay(account(meter()), "X9", 100)
    with pytest.raises(InvariantBroken, match="M1 is not a device"):
        pay(account(meter(owned=False)), METER, 100)


@pytest.mark.parametrize("amount", [0, -5])
def test_an_amount_that_is_not_above_zero_is_never_split(amount: int) -> None:
    with pytest.raises(InvariantBroken, match="add up"):
        pay(account(meter(), credit=100), METER, amount)


def test_the_same_payment_is_always_split_the_same_way() -> None:
    payer = account(tv(YESTERDAY), weekly(YESTERDAY), shs(), meter(), credit=10)
    assert pay(payer, METER, 5000) == pay(payer, METER, 5000)


BEFORE = account(tv(YESTERDAY), weekly(TODAY), shs(), meter(since=local(TODAY - days(7))), credit=5)


def tampered(**changed: Any) -> Allocation:
    """A right split of 1000 for the SHS with something in it replaced."""
    right = pay(BEFORE, SHS, 1000, tariffs=tariff(fee=50))
    prove(BEFORE, kes(1000), right)
    return replace(right, **changed)


def with_account(**changed: Any) -> Allocation:
    """The right split with something in the account after it replaced."""
    return tampered(account=replace(tampered().account, **changed))


def with_device(serial_number: str, **changed: Any) -> Allocation:
    """The right split with something in the record of one device replaced."""
    after = tampered().account
    device = after.device(serial_number)
    assert device is not None
    return tampered(account=after.with_device(replace(device, **changed)))


def with_lines(*lines: Line) -> Allocation:
    """The right split with lines added."""
    return tampered(lines=(*tampered().lines, *lines))


@pytest.mark.parametrize(
    ("allocation", "message"),
    [
        (tampered(lines=tampered().lines[1:]), "add up"),
        (
            with_lines(Line(LineKind.ENERGY, METER, 5), Line(LineKind.ENERGY, METER, -5)),
            "not above zero",
        ),
        (with_account(version=4), "one version further"),
        (with_account(version=6), "one version further"),
        (with_account(credit_minor=5), "credit line"),
        (with_account(plans=()), "plans did not take"),
        (tampered(ended_plans=()), "plans did not take"),
        (with_device(METER, fees_paid_minor=0), "fees did not take"),
        (with_device(METER, carry_minor=Fraction(1, 2)), "energy and carry"),
        (
            tampered(intents=(VendIntent(METER, VendKind.ENERGY, Fraction(1), 0, Fraction(9)),)),
            "energy and carry",
        ),
        (with_device(SHS, carry_days=Fraction(-1, 7)), "negative"),
        (
            tampered(
                account=replace(
                    tampered().account,
                    plans=(*tampered().account.plans, *tampered().ended_plans),
                ),
                ended_plans=(),
            ),
            "open plan is paid",
        ),
        (
            tampered(
                account=replace(tampered().account, plans=()),
                ended_plans=(*tampered().account.plans, *tampered().ended_plans),
            ),
            "not paid exactly",
        ),
    ],
)
def test_a_split_that_loses_doubles_or_invents_money_is_found_out(
    allocation: Allocation, message: str
) -> None:
    with pytest.raises(InvariantBroken, match=message):
        prove(BEFORE, kes(1000), allocation)


def test_a_negative_carry_or_credit_is_found_out_even_where_the_sums_agree() -> None:
    indebted = account(meter(carry_minor=Fraction(-1000)), credit=-10)
    nothing_bought = Allocation(
        account=replace(indebted, version=5, credit_minor=-900),
        lines=(Line(LineKind.CREDIT, "C1", 100),),
        intents=(),
        ended_plans=(),
    )
    with pytest.raises(InvariantBroken, match="negative"):
        prove(indebted, 100, nothing_bought)


def test_rules_of_the_device_decide_the_step() -> None:
    for step, units in ((TENTH_KWH, "energy 51/10"), (DAY, "energy 5")):
        split = allocate(account(meter()), METER, kes(519), NOW, {1: tariff()}, RULES, step)
        assert vends_of(split) == units
