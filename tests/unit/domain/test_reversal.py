"""Taking back what bought nothing: the account is as if that vend had never been made."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain import reversal
from chalicelib.domain.account import Account, DeviceAccount
from chalicelib.domain.allocation import (
    Line,
    LineKind,
    Rules,
    VendIntent,
    VendKind,
    VendRules,
    allocate,
)
from chalicelib.domain.errors import InvariantBroken
from chalicelib.domain.payment import (
    Claim,
    Payment,
    Vend,
    VendState,
    accepted,
    refund_begun,
    settled,
)
from chalicelib.domain.plan import Every, Plan
from chalicelib.domain.reversal import (
    NotReversible,
    check_not_delivered,
    credited,
    reversed_into_credit,
    reversible_minor,
    reversible_vends,
)
from tests.unit.domain.examples import (
    ACTIVATION,
    DAY,
    METER,
    NOW,
    RULES,
    SHS,
    TENTH_KWH,
    TODAY,
    account,
    days,
    kes,
    meter,
    shs,
    tariff,
    tv,
    weekly,
)

NEXT_WEEK = TODAY + days(7)


def vend_of(number: int, intent: VendIntent) -> Vend:
    """The vend of an intent, of which nobody knows."""
    return Vend(
        number=number,
        serial_number=intent.serial_number,
        manufacturer="calin",
        kind=intent.kind,
        state=VendState.UNCERTAIN,
        units=intent.units,
        money_minor=intent.money_minor,
        cost_minor=intent.cost_minor,
        paid_until=intent.paid_until,
        days_bought=intent.days_bought,
    )


def paid(
    before: Account,
    amount: int | str,
    serial_number: str = METER,
    *,
    vend_rules: VendRules = TENTH_KWH,
    rules: Rules = RULES,
    price: int = 100,
) -> tuple[Payment, Account]:
    """That sum, settled for that device; all vends are in doubt."""
    claim = Claim("paystack", "paystack", "T1", "T1", serial_number, kes(amount), "KES")
    split = allocate(before, serial_number, kes(amount), NOW, {1: tariff(price)}, rules, vend_rules)
    payment = settled(
        accepted(claim, moment=NOW, received_at=NOW, customer_id="C1"),
        lines=split.lines,
        vends=tuple(vend_of(n, intent) for n, intent in enumerate(split.intents, start=1)),
        tokens=(),
        account_version=split.account.version,
        now=NOW,
    )
    return payment, split.account


def pay_time(before: Account, amount: int | str, **more: object) -> tuple[Payment, Account]:
    """That sum for the SHS."""
    return paid(before, amount, SHS, vend_rules=DAY, **more)  # type: ignore[arg-type]


def without_version(of: Account, **changes: object) -> Account:
    return replace(of, version=0, **changes)  # type: ignore[arg-type]


def record(of: Account, serial_number: str) -> DeviceAccount:
    found = of.device(serial_number)
    assert found is not None
    return found


# --- energy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("carry_minor", [Fraction(0), Fraction(5_00), Fraction(123, 7)])
@pytest.mark.parametrize("amount", [500, "507.77"])
def test_all_is_as_before_but_for_the_credit(carry_minor: Fraction, amount: int | str) -> None:
    before = account(meter(carry_minor=carry_minor))
    payment, after = paid(before, amount)
    back, again = reversed_into_credit(payment, after, payment.vends)
    assert without_version(again, credit_minor=0) == without_version(before)
    assert again.credit_minor == kes(amount)
    assert again.version == after.version + 1
    assert back.account_versions == (after.version, again.version)
    assert back.lines == (
        *payment.lines,
        Line(LineKind.ENERGY, METER, -kes(amount)),
        Line(LineKind.CREDIT, "C1", kes(amount)),
    )


def test_what_is_given_back_does_not_become_credit() -> None:
    payment, after = paid(account(meter()), 500)
    begun = refund_begun(payment, kes(200), NOW)
    back, again = reversed_into_credit(begun, after, payment.vends, kes(200))
    assert again.credit_minor == kes(300)
    assert sum(line.amount_minor for line in back.lines) == back.kept_minor == kes(300)


def test_where_all_is_given_back_there_is_no_credit_line() -> None:
    payment, after = paid(account(meter()), 500)
    begun = refund_begun(payment, kes(500), NOW)
    back, again = reversed_into_credit(begun, after, payment.vends, kes(500))
    assert again.credit_minor == 0
    assert [line.kind for line in back.lines] == [LineKind.ENERGY, LineKind.ENERGY]


def test_more_than_was_taken_is_never_given_back() -> None:
    payment, after = paid(account(meter(), tv(TODAY - days(1))), 500)
    assert reversible_minor(after, payment.vends) == kes(200)
    begun = refund_begun(payment, kes(201), NOW)
    with pytest.raises(InvariantBroken):
        reversed_into_credit(begun, after, payment.vends, kes(201))


def test_a_payment_that_has_no_such_refund_does_not_add_up_and_is_not_written() -> None:
    payment, after = paid(account(meter()), 500)
    with pytest.raises(InvariantBroken):
        reversed_into_credit(payment, after, payment.vends, kes(200))


def test_what_was_spent_from_the_carry_since_is_not_there_to_be_taken() -> None:
    payment, after = paid(account(meter()), 509)
    spent = after.with_device(replace(record(after, METER), carry_minor=Fraction(0)))
    assert reversible_minor(spent, payment.vends) == kes(500)
    _, again = reversed_into_credit(payment, spent, payment.vends)
    assert (again.credit_minor, record(again, METER).carry_minor) == (kes(500), 0)


def test_a_part_of_a_minor_unit_stays_with_the_meter() -> None:
    payment, after = paid(account(meter()), 10, price=3)
    (vend,) = payment.vends
    spent = after.with_device(replace(record(after, METER), carry_minor=Fraction(1, 3)))
    _, again = reversed_into_credit(payment, spent, (replace(vend, cost_minor=Fraction(9_99)),))
    assert (again.credit_minor, record(again, METER).carry_minor) == (9_99, Fraction(1, 3))


def test_a_meter_that_went_to_another_owner_gives_back_all_but_a_part_of_a_minor_unit() -> None:
    payment, after = paid(account(meter(carry_minor=Fraction(1, 2))), 500)
    left = after.with_device(replace(record(after, METER), owned=False))
    _, again = reversed_into_credit(payment, left, payment.vends)
    assert (again.credit_minor, record(again, METER).carry_minor) == (kes(500), Fraction(1, 2))


def test_a_meter_of_which_nothing_is_left_gives_back_what_the_energy_cost() -> None:
    payment, after = paid(account(meter()), 509)
    left = replace(after, devices=())
    _, again = reversed_into_credit(payment, left, payment.vends)
    assert again.credit_minor == kes(500)


def test_a_vend_that_cost_only_carry_gives_back_only_carry() -> None:
    vend = Vend(
        1, METER, "calin", VendKind.ENERGY, VendState.UNCERTAIN, Fraction(1), 0, Fraction(kes(100))
    )
    before = account(meter())
    assert reversible_minor(before, (vend,)) == 0
    _, again = reversed_into_credit(paid_debts(), before, (vend,))
    assert record(again, METER).carry_minor == kes(100)


def paid_debts() -> Payment:
    payment, _ = paid(account(meter(), tv(TODAY - days(1))), 300)
    return payment


def test_several_vends_of_a_meter_are_taken_back_together_or_one_by_one() -> None:
    before = account(meter())
    payment, after = paid(before, 507, vend_rules=replace(TENTH_KWH, units_max=Fraction(3)))
    assert len(payment.vends) == 2
    back, again = reversed_into_credit(payment, after, payment.vends)
    assert without_version(again, credit_minor=0) == without_version(before)
    one, after_one = reversed_into_credit(payment, after, payment.vends[1:])
    _, after_both = reversed_into_credit(one, after_one, payment.vends[:1])
    assert after_both.credit_minor == again.credit_minor == kes(507)
    assert sum(line.amount_minor for line in back.lines) == kes(507)


# --- time -----------------------------------------------------------------------------------------


def owing(**changes: object) -> Account:
    return account(weekly(NEXT_WEEK, **changes), shs())  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [800, "833.33", 2100])
def test_instalments_are_open_again_and_the_days_are_gone(amount: int | str) -> None:
    before = owing()
    payment, after = pay_time(before, amount)
    assert record(after, SHS).paid_until is not None
    _, again = reversed_into_credit(payment, after, payment.vends)
    assert again.plans == before.plans
    assert (record(again, SHS).carry_days, record(again, SHS).paid_until) == (0, NOW)
    assert again.credit_minor == kes(amount)


def test_days_that_were_paid_before_stay() -> None:
    first, after_first = pay_time(owing(), 750)
    second, after_second = pay_time(after_first, 750)
    _, again = reversed_into_credit(second, after_second, second.vends)
    assert without_version(again, credit_minor=0) == without_version(after_first)
    assert first.vends[0].paid_until == record(again, SHS).paid_until


def test_days_that_a_later_payment_s_date_includes_are_not_taken_back() -> None:
    first, after_first = pay_time(owing(), 700)
    _, after_second = pay_time(after_first, 700)
    with pytest.raises(NotReversible):
        reversible_minor(after_second, first.vends)


def test_a_part_of_a_day_that_came_later_stays_exactly() -> None:
    first, after_first = pay_time(owing(), 700)
    _, after_second = pay_time(after_first, 50)
    assert record(after_second, SHS).carry_days == Fraction(1, 2)
    _, again = reversed_into_credit(first, after_second, first.vends)
    assert [plan.paid_minor for plan in again.plans] == [kes(50)]
    assert (record(again, SHS).carry_days, record(again, SHS).paid_until) == (Fraction(1, 2), NOW)


@pytest.mark.parametrize("units_max", [1, 7, 29])
@pytest.mark.parametrize("amount", [550, "913.37", 1100])
def test_several_time_vends_are_taken_back_together_whatever_the_months_are_long(
    units_max: int, amount: int | str
) -> None:
    """An instalment buys 28 to 31 days, so a token's share of the money is not its days' price."""
    before = account(
        weekly(date(2025, 3, 31), every=Every.MONTH, total=5500, instalments=10), shs()
    )
    rules = VendRules(step=Fraction(1), units_max=Fraction(units_max))
    payment, after = paid(before, amount, SHS, vend_rules=rules)
    assert 1 < len(payment.vends) <= 5
    issued = sum((v.units for v in payment.vends if v.units), Fraction(0))
    assert issued + record(after, SHS).carry_days > 0
    back, again = reversed_into_credit(payment, after, payment.vends)
    assert again.plans == before.plans
    assert (record(again, SHS).carry_days, record(again, SHS).paid_until) == (0, NOW)
    assert sum(line.amount_minor for line in back.lines) == kes(amount)


def test_of_several_time_vends_only_the_latest_can_be_taken_back_alone() -> None:
    rules = VendRules(step=Fraction(1), units_max=Fraction(10))
    payment, after = paid(owing(), 1400, SHS, vend_rules=rules)
    first, second = payment.vends
    with pytest.raises(NotReversible):
        reversible_minor(after, (first,))
    assert reversible_minor(after, (second,)) == kes(400)


def test_a_token_of_fewer_days_than_its_money_bought_is_not_taken_back_alone() -> None:
    payment, after = pay_time(owing(), 700)
    fewer = replace(payment.vends[0], units=Fraction(5))
    with pytest.raises(NotReversible):
        reversible_minor(after, (fewer,))


def test_days_of_arrears_stay_as_a_carry_for_their_money_stays_too() -> None:
    before = account(weekly(TODAY - days(7)), shs())
    payment, after = pay_time(before, 1400, rules=ACTIVATION)
    assert [line.kind for line in payment.lines] == [LineKind.DEVICE, LineKind.TIME]
    _, again = reversed_into_credit(payment, after, payment.vends)
    assert again.credit_minor == kes(700)
    assert record(again, SHS).carry_days == 7


def test_a_plan_that_ended_keeps_the_money() -> None:
    payment, after = pay_time(owing(), 700)
    for gone in (
        after.without_plan("p-shs"),
        replace(after, devices=()),
        after.with_device(replace(record(after, SHS), owned=False)),
        after.with_device(replace(record(after, SHS), plan_id="p-next")),
    ):
        with pytest.raises(NotReversible):
            reversible_minor(gone, payment.vends)


@pytest.mark.parametrize("changes", [{"already_paid_minor": 1}, {"down_payment_minor": kes(50)}])
def test_a_plan_whose_terms_were_changed_since_keeps_the_money(changes: dict[str, int]) -> None:
    payment, after = pay_time(owing(), 700)
    (plan,) = after.plans
    changed: Plan = replace(plan, **changes)  # type: ignore[arg-type]
    with pytest.raises(NotReversible):
        reversible_minor(after.with_plan(changed), payment.vends)


def test_a_part_of_a_day_goes_back_exactly_though_the_terms_were_changed_since() -> None:
    """750 bought 7.5 days; by the new terms they would have bought 15."""
    payment, after = pay_time(owing(), 750)
    (plan,) = after.plans
    cheaper = after.with_plan(replace(plan, total_minor=kes(3500)))
    assert record(cheaper, SHS).carry_days == Fraction(1, 2)
    _, again = reversed_into_credit(payment, cheaper, payment.vends)
    assert (record(again, SHS).carry_days, record(again, SHS).paid_until) == (0, NOW)
    assert again.credit_minor == kes(750)


def test_a_part_of_a_day_that_was_used_since_keeps_the_money() -> None:
    payment, after = pay_time(owing(), 750)
    used = after.with_device(replace(record(after, SHS), carry_days=Fraction(49, 100)))
    with pytest.raises(NotReversible):
        reversible_minor(used, payment.vends)


@pytest.mark.parametrize("changes", [{"units": None}, {"paid_until": None}])
def test_a_vend_that_says_too_little_is_not_taken_back(changes: dict[str, None]) -> None:
    payment, after = pay_time(owing(), 700)
    vend = replace(payment.vends[0], **changes)  # type: ignore[arg-type]
    with pytest.raises(NotReversible):
        reversible_minor(after, (vend,))
    never = after.with_device(replace(record(after, SHS), paid_until=None))
    with pytest.raises(NotReversible):
        reversible_minor(never, (vend,))


def test_an_unlock_keeps_its_money() -> None:
    payment, after = pay_time(owing(total=700, instalments=1), 700)
    assert [vend.kind for vend in payment.vends] == [VendKind.UNLOCK]
    with pytest.raises(NotReversible):
        reversed_into_credit(payment, after, payment.vends)


# --- which vends can be taken back ----------------------------------------------------------------


def vended(*vends: Vend) -> Payment:
    """A payment that has these vends."""
    return replace(paid_debts(), vends=vends)


def a_vend(number: int, kind: VendKind, **changes: object) -> Vend:
    base = Vend(number, SHS, "angaza", kind, VendState.UNCERTAIN)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_an_unlock_is_left_out_and_the_energy_beside_it_is_not() -> None:
    unlock, energy = a_vend(1, VendKind.UNLOCK), a_vend(2, VendKind.ENERGY)
    assert reversible_vends(vended(unlock, energy), (unlock, energy)) == (energy,)


def test_time_vends_go_together_or_not_at_all() -> None:
    first, second = a_vend(1, VendKind.TIME), a_vend(2, VendKind.TIME)
    both = vended(first, second)
    assert reversible_vends(both, (first, second)) == (first, second)
    assert reversible_vends(both, (second,)) == ()


def test_a_time_vend_whose_money_went_elsewhere_does_not_keep_the_others() -> None:
    closed = a_vend(1, VendKind.TIME, state=VendState.VOID, closed=True)
    open_one = a_vend(2, VendKind.TIME)
    assert reversible_vends(vended(closed, open_one), (open_one,)) == (open_one,)


# --- days that another vend has brought -----------------------------------------------------------

UNTIL = NOW + timedelta(days=7)
OURS = a_vend(1, VendKind.TIME, paid_until=UNTIL)
LATER_UNTIL = UNTIL + timedelta(days=1)


def other_payment(*vends: Vend) -> Payment:
    """Another payment of the same customer, which has these vends."""
    return replace(vended(*vends), payment_id="paystack-T2")


@pytest.mark.parametrize("told_until", [UNTIL, LATER_UNTIL])
def test_days_that_another_vend_has_told_the_device_are_not_taken_back(
    told_until: datetime,
) -> None:
    told = a_vend(1, VendKind.TIME, state=VendState.DONE, paid_until=told_until)
    with pytest.raises(NotReversible):
        check_not_delivered(vended(OURS), (OURS,), (other_payment(told),))


@pytest.mark.parametrize("state", [VendState.CALLING, VendState.UNCERTAIN])
@pytest.mark.parametrize("kind", [VendKind.TIME, VendKind.UNLOCK])
def test_days_that_another_vend_may_be_telling_are_not_taken_back(
    state: VendState, kind: VendKind
) -> None:
    telling = a_vend(1, kind, state=state, paid_until=NOW)
    with pytest.raises(NotReversible):
        check_not_delivered(vended(OURS), (OURS,), (other_payment(telling),))


@pytest.mark.parametrize(
    "other",
    [
        a_vend(1, VendKind.TIME, state=VendState.DONE, paid_until=UNTIL - timedelta(days=1)),
        a_vend(1, VendKind.UNLOCK, state=VendState.DONE),
        a_vend(1, VendKind.TIME, state=VendState.REFUSED, paid_until=LATER_UNTIL),
        a_vend(1, VendKind.TIME, state=VendState.INTENDED, paid_until=LATER_UNTIL),
        a_vend(1, VendKind.TIME, state=VendState.VOID, paid_until=LATER_UNTIL),
        a_vend(1, VendKind.TIME, serial_number="S2", paid_until=LATER_UNTIL),
        a_vend(1, VendKind.ENERGY),
    ],
    ids=lambda vend: f"{vend.kind}-{vend.state}-{vend.serial_number}",
)
def test_a_vend_that_cannot_have_brought_these_days_does_not_stand_in_the_way(other: Vend) -> None:
    check_not_delivered(vended(OURS), (OURS,), (other_payment(other),))


def test_the_payment_itself_and_energy_are_never_in_their_own_way() -> None:
    check_not_delivered(vended(OURS), (OURS,), (vended(OURS),))
    energy = a_vend(1, VendKind.ENERGY)
    check_not_delivered(vended(energy), (energy,), (other_payment(OURS),))


# --- money in no line -----------------------------------------------------------------------------


def test_money_in_no_line_becomes_credit() -> None:
    payment, after = paid(account(meter()), 500)
    begun = refund_begun(payment, kes(200), NOW)
    back, again = reversed_into_credit(begun, after, payment.vends, kes(200))
    void = replace(back, refunds=())
    done, last = credited(void, again, kes(200))
    assert last.credit_minor == kes(500)
    assert done.account_versions == (after.version, again.version, last.version)
    with pytest.raises(InvariantBroken):
        credited(void, again, kes(199))
    with pytest.raises(InvariantBroken):
        credited(back, again, kes(200))


# --- the proof ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["carry", "plan", "credit"])
def test_an_account_that_changed_otherwise_than_the_lines_say_is_not_written(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    payment, after = paid(account(meter(), weekly(NEXT_WEEK), shs()), 500)

    def off(account: Account, vend: Vend) -> tuple[Account, int]:
        if wrong == "carry":
            device = record(account, METER)
            changed = replace(device, carry_minor=device.carry_minor + 1)
            return account.with_device(changed), vend.money_minor
        if wrong == "plan":
            (plan,) = account.plans
            more = replace(plan, paid_minor=plan.paid_minor + 1)
            return account.with_plan(more), vend.money_minor
        richer = replace(account, credit_minor=account.credit_minor + 1)
        return richer, vend.money_minor

    monkeypatch.setattr(reversal, "_take_energy", off)
    with pytest.raises(InvariantBroken):
        reversed_into_credit(payment, after, payment.vends)


@given(
    amounts=st.lists(st.integers(1, 3000_00), min_size=1, max_size=5),
    carry=st.fractions(0, 100, max_denominator=97),
    price=st.integers(1, 500),
    units_max=st.one_of(st.none(), st.integers(1, 9)),
)
def test_taking_back_payment_after_payment_brings_back_every_minor_unit(
    amounts: list[int], carry: Fraction, price: int, units_max: int | None
) -> None:
    """Latest first: then each account is as it was before that payment, plus credit."""
    rules = replace(TENTH_KWH, units_max=None if units_max is None else Fraction(units_max))
    now = before = account(meter(carry_minor=carry))
    made = []
    for amount_minor in amounts:
        payment, now = paid(now, str(Fraction(amount_minor, 100)), vend_rules=rules, price=price)
        made.append(payment)
    for payment in reversed(made):
        possible = reversible_minor(now, payment.vends)
        assert 0 <= possible <= payment.amount_minor
        _, now = reversed_into_credit(payment, now, payment.vends)
    assert now.credit_minor + record(now, METER).carry_minor == sum(amounts) + carry
    assert now.credit_minor >= 0 <= record(now, METER).carry_minor
    assert record(now, METER).carry_minor >= record(before, METER).carry_minor


def test_the_end_of_paid_time_is_the_day_of_the_payment_again() -> None:
    payment, after = pay_time(owing(), 700)
    assert record(after, SHS).paid_until == NOW + timedelta(days=7)
    _, again = reversed_into_credit(payment, after, payment.vends)
    assert record(again, SHS).paid_until == NOW
