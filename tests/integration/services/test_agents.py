"""Agents and tills: what staff take by hand is one payment, and never more cash than they may."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels.staff_claims import staff_claim
from chalicelib.domain.errors import FieldError, Refusal
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Claim, Status
from chalicelib.domain.payment import held as now_held
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.agents import WRITES_MAX, AgentNotFound, FloatExceeded, _sold
from chalicelib.services.ports import Agent, VersionConflict
from chalicelib.wiring import Wiring
from tests.integration.company import METER, SHS, TODAY, Company, claim, kes, plan
from tests.integration.services.conftest import ACTOR, Counter, Processes, differences
from tests.integration.services.interruptions import Interrupted
from tests.integration.vendor import FakeCalin

KES = Currency("KES", 2)
AGENT, EMAIL = "a1", "agent@example.org"
SAID: dict[str, Any] = {"actor": ACTOR, "reason": "end of the week"}


def sale(amount: int, key: str = "k1", serial_number: str = METER) -> Claim:
    return staff_claim(
        "agent", "a-1", key, amount_minor=kes(amount), currency=KES, serial_number=serial_number
    )


@pytest.fixture
def household(company: Company) -> str:
    return company.customer(company.meter())


def terms(wiring: Wiring, limit: int | None = 1000, percent: str = "2.5") -> Agent:
    return wiring.keep_agents.set_terms(
        AGENT,
        email=EMAIL,
        float_limit_minor=None if limit is None else kes(limit),
        commission_share=Fraction(percent) / 100,
        actor=ACTOR,
        reason="contract",
    )


def held(wiring: Wiring) -> int:
    return wiring.keep_agents.get(AGENT).held_minor


# --- agents ---------------------------------------------------------------------------------------


def test_a_sale_is_settled_and_held_by_the_agent(
    counter: Counter, wiring: Wiring, household: str, calin: FakeCalin
) -> None:
    terms(wiring)
    outcome = wiring.keep_agents.pay(AGENT, EMAIL, sale(500))
    assert outcome.payment.payment_id == "agent.a1-k1"
    counter.run_dry()
    assert counter.now("agent.a1-k1").status is Status.COMPLETED
    agent = wiring.keep_agents.get(AGENT)
    assert (agent.held_minor, agent.commission_minor) == (kes(500), Fraction(kes("12.50")))
    assert len(calin.issued) == 1
    assert differences(counter, household) == []


def test_a_double_tap_is_one_payment_and_one_float(
    counter: Counter, wiring: Wiring, household: str
) -> None:
    wiring.keep_agents.pay(AGENT, EMAIL, sale(500))
    assert wiring.keep_agents.pay(AGENT, EMAIL, sale(500)).repeated
    with pytest.raises(ReferenceConflict):
        wiring.keep_agents.pay(AGENT, EMAIL, sale(600))
    assert held(wiring) == kes(500)


def test_a_sale_above_the_float_limit_is_not_taken_before_cash_is_handed_in(
    counter: Counter, wiring: Wiring, household: str
) -> None:
    terms(wiring, limit=1000)
    wiring.keep_agents.pay(AGENT, EMAIL, sale(600))
    with pytest.raises(FloatExceeded):
        wiring.keep_agents.pay(AGENT, EMAIL, sale(401, "k2"))
    assert wiring.payments.get("agent.a1-k2") is None
    wiring.keep_agents.receive(
        AGENT, cash_minor=kes(300), commission_paid_minor=kes(10), key="r1", **SAID
    )
    wiring.keep_agents.pay(AGENT, EMAIL, sale(401, "k2"))
    assert held(wiring) == kes(600 - 300 - 10 + 401)


def test_a_refused_sale_makes_the_agent_hold_nothing_and_its_key_stays_free(
    counter: Counter, wiring: Wiring, household: str
) -> None:
    refused = wiring.keep_agents.pay(AGENT, EMAIL, sale(500, serial_number="NOBODY"))
    assert refused.refusal is Refusal.UNKNOWN_DEVICE
    with pytest.raises(AgentNotFound):
        wiring.keep_agents.get(AGENT)
    taken = wiring.keep_agents.pay(AGENT, EMAIL, sale(500))
    assert (taken.payment.status, taken.refusal) == (Status.RECEIVED, None)
    assert [e.what for e in counter.now("agent.a1-k1").events] == ["refused"]
    assert held(wiring) == kes(500)


def test_two_sales_at_once_do_not_break_the_limit(
    counter: Counter, wiring: Wiring, process: Processes, household: str
) -> None:
    terms(wiring, limit=1000)
    meanwhile = [lambda: wiring.keep_agents.pay(AGENT, EMAIL, sale(600, "k1"))]
    slower = process(agents=Interrupted(wiring.agents, sell=meanwhile))
    with pytest.raises(FloatExceeded):
        slower.keep_agents.pay(AGENT, EMAIL, sale(600, "k2"))
    assert held(wiring) == kes(600)


def test_a_sale_or_receipt_that_loses_every_race_is_not_known_to_be_made(
    wiring: Wiring, process: Processes, household: str
) -> None:
    terms(wiring)
    lost = [VersionConflict("agent")] * WRITES_MAX
    busy = process(agents=Interrupted(wiring.agents, sell=list(lost), write=list(lost)))
    with pytest.raises(VersionConflict):
        busy.keep_agents.pay(AGENT, EMAIL, sale(500))
    wiring.keep_agents.pay(AGENT, EMAIL, sale(500, "k2"))
    with pytest.raises(VersionConflict):
        busy.keep_agents.receive(
            AGENT, cash_minor=kes(1), commission_paid_minor=0, key="r1", **SAID
        )


def test_a_receipt_that_comes_again_is_made_once(wiring: Wiring, household: str) -> None:
    wiring.keep_agents.pay(AGENT, EMAIL, sale(500))
    cash = {"cash_minor": kes(200), "commission_paid_minor": 0}
    first, again = (wiring.keep_agents.receive(AGENT, key="r1", **cash, **SAID) for _ in "12")
    assert (first[1], again[1], first[0]) == (False, True, again[0])
    assert held(wiring) == kes(300)
    with pytest.raises(ReferenceConflict):
        wiring.keep_agents.receive(
            AGENT, key="r1", cash_minor=kes(100), commission_paid_minor=0, **SAID
        )
    entries = wiring.keep_agents.entries(AGENT, 10, None).items
    assert [(e.what, e.cash_minor) for e in entries] == [("receipt", kes(200))]
    assert [a.agent_id for a in wiring.keep_agents.all(10, None).items] == [AGENT]


@pytest.mark.parametrize(
    ("cash", "commission", "name"), [(0, 0, "cash"), (501, 0, "cash"), (0, 13, "commission")]
)
def test_nobody_hands_in_more_than_there_is(
    wiring: Wiring, household: str, cash: int, commission: int, name: str
) -> None:
    terms(wiring)
    wiring.keep_agents.pay(AGENT, EMAIL, sale(500))
    with pytest.raises(FieldError) as refused:
        wiring.keep_agents.receive(
            AGENT, cash_minor=kes(cash), commission_paid_minor=kes(commission), key="r1", **SAID
        )
    assert refused.value.field == name


def test_nothing_is_received_from_somebody_unknown(wiring: Wiring, company: Company) -> None:
    with pytest.raises(AgentNotFound):
        wiring.keep_agents.receive(
            "nobody", cash_minor=kes(1), commission_paid_minor=0, key="r1", **SAID
        )


@given(
    amounts=st.lists(st.integers(1, 10**9), max_size=6),
    share=st.fractions(min_value=0, max_value=1),
)
def test_commission_is_exact_whatever_is_sold(amounts: list[int], share: Fraction) -> None:
    agent = Agent(AGENT, EMAIL, commission_share=share)
    for amount in amounts:
        agent = _sold(agent, EMAIL, amount)
    assert agent.held_minor == sum(amounts)
    assert agent.commission_minor == share * sum(amounts)


# --- payments for a plan --------------------------------------------------------------------------

TV = "p-C1-tv"


@pytest.fixture
def owner(company: Company) -> str:
    """C1 with a meter, an SHS, and a TV of 300 a month from next month on."""
    tv = plan(TV, 900, first_due=TODAY + timedelta(days=30))
    solar = plan("p-C1-shs", 7000, serial_number=SHS)
    return company.customer(company.meter(), company.shs(plan_id="p-C1-shs"), plans=(tv, solar))


def for_plan(plan_id: str, amount: int, key: str = "k1") -> Claim:
    return staff_claim("cash", "s-1", key, amount_minor=kes(amount), currency=KES, plan_id=plan_id)


def test_cash_for_an_appliance_pays_its_next_instalments_and_the_rest_is_credit(
    counter: Counter, wiring: Wiring, owner: str
) -> None:
    wiring.accept.accept(for_plan(TV, 1000), money_moved=False)
    counter.run_dry()
    payment = counter.now("cash.s1-k1")
    assert (payment.status, payment.customer_id) == (Status.COMPLETED, owner)
    assert [(line.kind.value, line.amount_minor) for line in payment.lines] == [
        ("appliance", kes(900)),
        ("credit", kes(100)),
    ]
    assert counter.told(payment.payment_id) == [0]


def test_debts_come_first_and_a_device_that_is_paid_off_by_them_is_unlocked(
    counter: Counter, wiring: Wiring, company: Company
) -> None:
    tv = plan(TV, 900, first_due=TODAY + timedelta(days=30))
    solar = plan("p-C1-shs", 700, first_due=TODAY - timedelta(days=300), serial_number=SHS)
    company.customer(company.shs(plan_id="p-C1-shs"), plans=(tv, solar))
    wiring.accept.accept(for_plan(TV, 1000), money_moved=False)
    counter.run_dry()
    payment = counter.now("cash.s1-k1")
    assert [(line.kind.value, line.amount_minor) for line in payment.lines] == [
        ("device", kes(700)),
        ("appliance", kes(300)),
    ]
    assert [vend.kind.value for vend in payment.vends] == ["unlock"]


@pytest.mark.parametrize("plan_id", ["p-C1-none", "p-C9-none", "none"])
def test_a_plan_that_has_ended_takes_nothing(wiring: Wiring, owner: str, plan_id: str) -> None:
    outcome = wiring.accept.accept(for_plan(plan_id, 100), money_moved=False)
    assert outcome.refusal is Refusal.NOTHING_TO_PAY


def test_a_plan_is_found_by_its_id(counter: Counter, wiring: Wiring, owner: str) -> None:
    assert wiring.find_plans.target(TV) == (None, TV)
    assert wiring.find_plans.target("p-C1-shs") == (SHS, None)
    counter.pay(claim(METER, 900, "T1", plan_id=TV))
    assert wiring.find_plans.target(TV) == (None, TV)  # it has ended
    for unknown in ("none", "p-C1-none", "p-C9-none"):
        with pytest.raises(FieldError):
            wiring.find_plans.target(unknown)


def test_a_held_payment_for_a_plan_can_be_retried(
    counter: Counter, wiring: Wiring, owner: str
) -> None:
    wiring.accept.accept(for_plan(TV, 100), money_moved=False)
    stored = counter.now("cash.s1-k1")
    wiring.payments.save(now_held(stored, "stuck", wiring.clock.now()))
    wiring.resolve.retry("cash.s1-k1", **SAID)
    counter.run_dry()
    assert counter.now("cash.s1-k1").status is Status.COMPLETED


def test_money_for_a_plan_whose_owner_is_gone_is_held(
    counter: Counter, wiring: Wiring, owner: str
) -> None:
    wiring.accept.accept(for_plan(TV, 100), money_moved=False)
    lost = replace(counter.now("cash.s1-k1"), customer_id=None)
    wiring.payments.save(lost)
    wiring.settle.settle("cash.s1-k1", None, "")
    assert counter.now("cash.s1-k1").reason == "nothing_to_pay"
