"""Turning a vend that issued nothing into credit: no cent is lost, doubled or invented."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind, VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import (
    HELD_MESSAGE,
    RECEIPT,
    Payment,
    Status,
    VendState,
    held,
    vend_uncertain,
)
from chalicelib.domain.plan import Plan
from chalicelib.manufacturers.calin import Calin
from chalicelib.manufacturers.sts import STEP
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.ports import Device
from chalicelib.wiring import Wiring
from tests.integration.company import METER, SHS, Company, FixedClock, claim, kes, plan
from tests.integration.services.conftest import ACTOR, Counter, Processes, differences
from tests.integration.services.interruptions import Interrupted
from tests.integration.vendor import FakeCalin

PAYMENT_ID = "mpesa_ke.600966-T1"
SAID: dict[str, Any] = {"actor": ACTOR, "reason": "none in the vendor's console"}


def unclear(request: dict[str, Any]) -> tuple[int, Any]:
    return 500, {}


def refusing(request: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"result_code": 3, "reason": "no such meter", "result": ""}


@pytest.fixture
def dear(company: Company) -> str:
    """A customer whose meter pays 300 per kWh, so that a step costs 30."""
    return company.customer(company.meter(tariff_id=company.tariff("Dear", None, price=300)))


def carry(account: Account, serial_number: str = METER) -> Fraction:
    record = account.device(serial_number)
    assert record is not None
    return record.carry_minor


def in_doubt(counter: Counter, calin: FakeCalin, amount: int, transaction: str = "T1") -> Payment:
    calin.behaviours = [unclear]
    return counter.pay(claim(METER, amount, transaction))


def test_the_money_of_a_vend_that_issued_nothing_is_credit(
    counter: Counter, wiring: Wiring, calin: FakeCalin, dear: str
) -> None:
    in_doubt(counter, calin, 1000)
    assert carry(counter.account(dear)) == kes(10)
    payment = wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)

    account = counter.account(dear)
    assert (account.credit_minor, carry(account)) == (kes(1000), 0)
    assert payment.lines == (
        Line(LineKind.ENERGY, METER, kes(1000)),
        Line(LineKind.ENERGY, METER, -kes(1000)),
        Line(LineKind.CREDIT, dear, kes(1000)),
    )
    assert (payment.status, payment.account_versions) == (Status.COMPLETED, (2, 3))
    (vend,) = payment.vends
    assert (vend.state, vend.closed) == (VendState.VOID, True)
    assert differences(counter, dear) == []
    counter.let_delays_pass()
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [RECEIPT, HELD_MESSAGE]


def test_the_carry_that_the_vend_had_used_returns(
    counter: Counter, wiring: Wiring, calin: FakeCalin, dear: str
) -> None:
    counter.pay(claim(METER, 20, "T0"))
    in_doubt(counter, calin, 10)
    assert carry(counter.account(dear)) == 0
    wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    account = counter.account(dear)
    assert (account.credit_minor, carry(account)) == (kes(10), kes(20))
    assert differences(counter, dear) == []


def test_the_carry_that_was_used_since_does_not_become_credit_too(
    counter: Counter, wiring: Wiring, calin: FakeCalin, dear: str
) -> None:
    in_doubt(counter, calin, 1000)
    since = counter.pay(claim(METER, 20, "T2"))
    assert [v.units for v in since.vends] == [Fraction(1, 10)]
    wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    account = counter.account(dear)
    assert (account.credit_minor, carry(account)) == (kes(990), 0)
    assert differences(counter, dear) == []


def test_a_payment_that_arrives_meanwhile_uses_the_carry_or_the_credit_but_not_both(
    counter: Counter, wiring: Wiring, process: Processes, calin: FakeCalin, dear: str
) -> None:
    in_doubt(counter, calin, 1000)
    meanwhile = Interrupted(wiring.payments, settle=[lambda: counter.pay(claim(METER, 20, "T2"))])
    process(payments=meanwhile).resolve.resolve_credit(PAYMENT_ID, **SAID)
    account = counter.account(dear)
    assert (account.credit_minor, carry(account)) == (kes(990), 0)
    assert differences(counter, dear) == []


def test_the_credit_joins_the_next_payment(
    counter: Counter, wiring: Wiring, calin: FakeCalin, dear: str
) -> None:
    in_doubt(counter, calin, 300)
    wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    payment = counter.pay(claim(METER, 300, "T2"))
    assert [v.units for v in payment.vends] == [2]
    assert counter.account(dear).credit_minor == 0
    assert differences(counter, dear) == []


@pytest.mark.parametrize("trouble", ["refused", "void"])
def test_a_refused_or_void_vend_becomes_credit_as_well(
    counter: Counter, wiring: Wiring, calin: FakeCalin, dear: str, trouble: str
) -> None:
    calin.behaviours = [refusing]
    counter.pay(claim(METER, 300))
    if trouble == "void":
        wiring.resolve.resolve_not_issued(PAYMENT_ID, **SAID)
    payment = wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert payment.status is Status.COMPLETED
    assert counter.account(dear).credit_minor == kes(300)
    assert differences(counter, dear) == []


def test_a_vend_that_was_tried_again_gives_its_money_back_once(
    counter: Counter, wiring: Wiring, calin: FakeCalin, dear: str
) -> None:
    in_doubt(counter, calin, 300)
    calin.behaviours = [unclear]
    wiring.resolve.retry(PAYMENT_ID, not_issued=True, **SAID)
    counter.run_dry()
    wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert counter.account(dear).credit_minor == kes(300)
    assert differences(counter, dear) == []


def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor sells at most three kWh at once."""

    def rules(self: Calin, device: Device, kind: VendKind) -> VendRules:
        return VendRules(STEP, Fraction(3))

    monkeypatch.setattr(Calin, "rules", rules)


def test_only_the_vends_in_doubt_become_credit_and_the_finished_one_stays(
    counter: Counter,
    wiring: Wiring,
    calin: FakeCalin,
    dear: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited(monkeypatch)
    calin.behaviours = [calin.issue, unclear]
    counter.pay(claim(METER, 1000))
    payment = wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert [v.state for v in payment.vends] == [VendState.DONE, VendState.VOID]
    assert payment.status is Status.COMPLETED
    assert counter.account(dear).credit_minor == kes(100)
    assert carry(counter.account(dear)) == 0
    assert differences(counter, dear) == []


def test_two_vends_in_doubt_give_back_what_both_cost(
    counter: Counter,
    wiring: Wiring,
    calin: FakeCalin,
    dear: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited(monkeypatch)
    calin.behaviours = [unclear, unclear]
    counter.pay(claim(METER, 1000))
    wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert counter.account(dear).credit_minor == kes(1000)
    assert carry(counter.account(dear)) == 0
    assert differences(counter, dear) == []


def test_a_vend_paid_by_carry_alone_leaves_no_empty_lines(
    counter: Counter,
    wiring: Wiring,
    clock: FixedClock,
    calin: FakeCalin,
    dear: str,
) -> None:
    """Its share of the money is nothing, so all of it is carry again."""
    payment = in_doubt(counter, calin, 30)
    paid_by_carry = replace(payment.vend(1), money_minor=0)
    wiring.payments.save(payment.with_vend(paid_by_carry))
    after = wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert after.lines == payment.lines
    assert (counter.account(dear).credit_minor, carry(counter.account(dear))) == (0, kes(30))


# --- meters that are no longer the customer's -----------------------------------------------------


@pytest.mark.parametrize("fee", [None, 5000])
def test_a_meter_that_has_left_the_account_takes_no_carry_back_so_all_is_credit(
    company: Company, counter: Counter, wiring: Wiring, calin: FakeCalin, fee: int | None
) -> None:
    """With a fee that it still owes, the meter leaves its record behind; without, nothing."""
    tariff_id = company.tariff("Dear", None, price=300)
    customer_id = company.customer(company.meter(tariff_id=tariff_id))
    counter.pay(claim(METER, 20, "T0"))
    in_doubt(counter, calin, 20)
    assert carry(counter.account(customer_id)) == kes(10)
    if fee:
        _owe(counter, customer_id, company.tariff("With fee", fee))
    wiring.keep_devices.change_owner(METER, None, reason="sold", actor=ACTOR)
    record = counter.account(customer_id).device(METER)
    assert (record is not None) == bool(fee)

    wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert counter.account(customer_id).credit_minor == kes(40)
    assert differences(counter, customer_id) == []


def _owe(counter: Counter, customer_id: str, tariff_id: int) -> None:
    """Let the meter have been under a tariff with a fee all the time."""
    account = counter.account(customer_id)
    record = account.device(METER)
    assert record is not None
    (tenure,) = record.tenures
    owing = replace(record, tenures=(replace(tenure, tariff_id=tariff_id),))
    after = account.with_device(owing).next_version()
    act = Act(ACTOR, counter.wiring.clock.now(), "test")
    counter.wiring.accounts.change(after, entry_of(act, after, "tariff_changed"))


# --- what cannot become credit ------------------------------------------------------------------


def test_what_was_never_settled_cannot_become_credit(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    company.customer(company.meter())
    before = counter.pay(claim("47999", 500))
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert caught.value.field == "outcome"
    assert counter.now(PAYMENT_ID) == before


def test_a_stuck_payment_whose_vend_was_never_made_becomes_credit_and_it_never_is(
    counter: Counter, wiring: Wiring, clock: FixedClock, calin: FakeCalin, dear: str
) -> None:
    message = counter.to_the_vend(METER, 300)
    wiring.payments.save(held(counter.now(PAYMENT_ID), "stuck", clock.now()))
    payment = wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert payment.status is Status.COMPLETED
    assert counter.account(dear).credit_minor == kes(300)
    counter.vend(message)
    assert calin.requests == []
    assert counter.now(PAYMENT_ID).vend(1).state is VendState.VOID
    assert differences(counter, dear) == []


def test_a_payment_without_a_vend_in_doubt_cannot_become_credit(
    counter: Counter, wiring: Wiring, clock: FixedClock, dear: str
) -> None:
    """It is held for another reason, and its vend may yet be made."""
    counter.to_the_vend(METER, 300)
    stuck = wiring.payments.save(held(counter.now(PAYMENT_ID), "vend_refused", clock.now()))
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert caught.value.field == "outcome"
    assert counter.now(PAYMENT_ID) == stuck
    assert counter.account(dear).version == 2


def in_doubt_about_time(counter: Counter, payment: Payment, clock: FixedClock) -> None:
    """Make the payment's time vend one of which nobody knows whether it was issued."""
    (done,) = payment.vends
    remote = payment.with_vend(replace(done, state=VendState.CALLING))
    doubtful = vend_uncertain(replace(remote, tokens=()), 1, "time-out", clock.now())
    counter.wiring.payments.save(doubtful)


@pytest.fixture
def buyer(company: Company) -> tuple[str, Plan]:
    """A customer with a solar home system on a plan of 700 a week."""
    shs = plan("p-shs", 7000, serial_number=SHS)
    return company.customer(company.shs(plan_id="p-shs"), plans=(shs,)), shs


def test_time_that_was_not_issued_becomes_credit_and_its_instalments_are_open_again(
    counter: Counter, wiring: Wiring, clock: FixedClock, buyer: tuple[str, Plan]
) -> None:
    customer_id, shs = buyer
    before = counter.account(customer_id)
    in_doubt_about_time(counter, counter.pay(claim(SHS, 750)), clock)
    payment = wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    account = counter.account(customer_id)
    assert (account.credit_minor, account.plans[0].paid_minor) == (kes(750), 0)
    record = account.device(SHS)
    assert record and (record.carry_days, record.paid_until) == (0, clock.now())
    assert account.version == before.version + 2
    assert payment.lines == (
        Line(LineKind.TIME, SHS, kes(750)),
        Line(LineKind.TIME, SHS, -kes(750)),
        Line(LineKind.CREDIT, customer_id, kes(750)),
    )
    assert differences(counter, customer_id, shs) == []


def test_time_that_a_later_payment_has_built_upon_stays_where_it_is(
    counter: Counter, wiring: Wiring, clock: FixedClock, buyer: tuple[str, Plan]
) -> None:
    customer_id, _ = buyer
    first = counter.pay(claim(SHS, 700))
    counter.pay(claim(SHS, 700, "T2"))
    in_doubt_about_time(counter, first, clock)
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert caught.value.field == "outcome"
    assert counter.account(customer_id).version == 3


def test_part_of_a_day_goes_back_exactly_after_the_plan_was_changed(
    counter: Counter, wiring: Wiring, clock: FixedClock, buyer: tuple[str, Plan]
) -> None:
    customer_id, _ = buyer
    in_doubt_about_time(counter, counter.pay(claim(SHS, 750)), clock)
    account = counter.account(customer_id)
    cheaper = account.with_plan(replace(account.plans[0], total_minor=kes(3500))).next_version()
    act = Act(ACTOR, clock.now(), "a discount")
    wiring.accounts.change(cheaper, entry_of(act, cheaper, "plan_changed"))
    wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    account = counter.account(customer_id)
    record = account.device(SHS)
    assert record and (record.carry_days, record.paid_until) == (0, clock.now())
    assert (account.credit_minor, account.plans[0].paid_minor) == (kes(750), 0)


def test_an_unlock_cannot_become_credit(
    counter: Counter, wiring: Wiring, clock: FixedClock, buyer: tuple[str, Plan]
) -> None:
    customer_id, _ = buyer
    in_doubt_about_time(counter, counter.pay(claim(SHS, 7000)), clock)
    with pytest.raises(FieldError) as caught:
        wiring.resolve.resolve_credit(PAYMENT_ID, **SAID)
    assert caught.value.field == "outcome"
    assert counter.account(customer_id).version == 2


# --- many payments, any order -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_paid_lost_and_credited_all_money_is_somewhere(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    calin: FakeCalin,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    """Paid = energy that was sold or is in doubt, at its price, + carry + credit; to the cent."""
    dice = random.Random(seed)
    limited(monkeypatch)
    price = Fraction(kes("333.33"))
    tariff_id = company.tariff("Odd", None, price=Fraction(33333, 100))  # type: ignore[arg-type]
    customer_id = company.customer(company.meter(tariff_id=tariff_id))
    doubtful: list[str] = []
    paid = 0
    for step in range(10):
        if doubtful and dice.random() < 0.4:
            payment_id = doubtful.pop(dice.randrange(len(doubtful)))
            wiring.resolve.resolve_credit(payment_id, **SAID)
        else:
            amount = dice.randint(1, 99_999)
            paid += amount
            calin.behaviours = [dice.choice((unclear, refusing, calin.issue)) for _ in range(5)]
            told = replace(claim(METER, 1, f"R{step}"), amount_minor=amount)
            payment = counter.pay(told)
            if payment.status is Status.HELD:
                doubtful.append(payment.payment_id)
        assert differences(counter, customer_id) == []
    payments = wiring.payments.by_owner(customer_id, 100, None).items
    sold = sum(
        (v.units or 0) * price for p in payments for v in p.vends if v.state is not VendState.VOID
    )
    account = counter.account(customer_id)
    assert paid == sold + carry(account) + account.credit_minor
