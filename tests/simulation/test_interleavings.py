"""Two functions on one customer: the second runs, whole, before each side effect of the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.company import METER, SHS
from tests.simulation import tally
from tests.simulation.effects import Act as Doing
from tests.simulation.effects import Effect, telling
from tests.simulation.invariants import wrong
from tests.simulation.outside import Fault
from tests.simulation.scenarios import (
    ACTOR,
    GIVE_BACK,
    HELD_CALIN,
    INTO_CREDIT,
    REASON,
    RETRY,
    SPARKMETER_CUSTOMER,
    ends_of,
    failing,
    lower_plan,
    open_checkout,
    pay,
    pay_after_the_meter_has_gone,
    webhook,
    with_meter,
    with_solar,
)
from tests.simulation.scenarios import Act as Call
from tests.simulation.world import NeverAtRest, Waiting, World

Function = Callable[[World], Callable[[], object]]
"""What is run, found in the world before the first of the two begins."""
SetUp = Callable[[World], object]


@dataclass(frozen=True)
class Pair:
    """Two functions, and the ends that their payments may come to, whoever is first."""

    name: str
    set_up: SetUp
    one: Function
    other: Function
    ends: frozenset[tuple[str, ...]]


# --- what is run ------------------------------------------------------------------------------


def taking(queue: str, position: int = 0) -> Function:
    """The function that takes that message of that queue."""

    def find(world: World) -> Callable[[], object]:
        found = [message for message in world.waiting if message.queue == queue]
        message = found[position]
        return lambda: world.hand_over(message)

    return find


def calling(call: Call) -> Function:
    """The function that somebody outside calls."""

    def find(world: World) -> Callable[[], object]:
        work = call.work(world)
        return lambda: world.run(work, 0)

    return find


def sweeping(world: World) -> Callable[[], object]:
    """The sweeper, a little later."""

    def sweep() -> None:
        world.clock.move(timedelta(minutes=2))
        world.sweep()
        world.run_dry()

    return sweep


def given_up_and_made_credit(world: World) -> Callable[[], object]:
    """The lease runs out, the vend is found uncertain, and a person makes it credit."""
    message = _only(world, "vends")

    def give_up() -> None:
        world.clock.move(timedelta(minutes=2))
        world.hand_over(message)
        world.run_dry()
        world.run(INTO_CREDIT.work(world), 0)

    return give_up


def _only(world: World, queue: str) -> Waiting:
    (message,) = [message for message in world.waiting if message.queue == queue]
    return message


# --- what is there before ---------------------------------------------------------------------


def accepted(set_up: SetUp, *payments: Call) -> SetUp:
    """Payments have come, and wait to be settled."""

    def there(world: World) -> None:
        set_up(world)
        for payment in payments:
            world.run(payment.work(world), 0)

    return there


def settled(set_up: SetUp, *payments: Call) -> SetUp:
    """Payments have been settled, and wait to be vended."""

    def there(world: World) -> None:
        accepted(set_up, *payments)(world)
        while (message := world.next_message("payments.fifo")) is not None:
            world.hand_over(message)

    return there


def one_settled_one_accepted(world: World) -> None:
    """The first payment waits to be vended, the second to be settled."""
    settled(with_solar(), pay(METER, 500))(world)
    world.run(pay(SHS, 700, "T2").work(world), 0)


def checkout_paid(world: World) -> None:
    """A checkout is paid, the sweeper has it verified, and the provider is about to report it."""
    with_solar()(world)
    world.run(open_checkout(SHS, 700).work(world), 0)
    world.outside.pay()
    world.clock.move(timedelta(minutes=2))
    world.sweep()


def refund_is_due(world: World) -> None:
    """Money came for a meter that has gone; it is about to go back."""
    with_meter()(world)
    world.company.customer(world.company.meter("47002"), phone="+254700000002")
    world.run(open_checkout(METER, 500).work(world), 0)
    reported = pay_after_the_meter_has_gone()
    reported.first(world)
    world.run(reported.work(world), 0)
    world.run_dry()
    world.clock.move(timedelta(minutes=16))


def assign_to_another(world: World) -> Callable[[], object]:
    """A person assigns the only payment to another meter."""
    payment = world.payment()
    return lambda: world.run(
        lambda wiring: wiring.resolve.resolve_assign(
            payment.payment_id, actor=ACTOR, reason=REASON, serial_number="47002"
        ),
        0,
    )


def by(manufacturer: str, **technical: str) -> SetUp:
    """A payment for a meter of that manufacturer waits to be vended."""
    return settled(with_meter(manufacturer, **technical), pay(METER, 500))


def two_units_by_angaza(world: World) -> None:
    """Two payments for one unit, both waiting to be vended."""
    settled(with_solar("angaza"), pay(SHS, 700), pay(SHS, 700, "T2"))(world)


def one_meter_two_vends(world: World) -> None:
    """Two payments for one meter that may have one vend in flight."""
    settled(with_meter("calin_smart"), pay(METER, 500), pay(METER, 500, "T2"))(world)


def answer_lost(world: World) -> None:
    """A searchable manufacturer sold, its answer was lost, and it is time to look it up."""
    failing(by("sparkmeter", customer_id=SPARKMETER_CUSTOMER), "sparkmeter", Fault.MUTE)(world)
    world.hand_over(_only(world, "vends"))
    world.clock.move(timedelta(minutes=2))


# --- the pairs --------------------------------------------------------------------------------

DONE = ("completed",)
BOTH_DONE = ("completed", "completed")
HELD = ("held vend_uncertain",)

PAIRS = (
    Pair(
        "one report twice",
        with_meter(),
        calling(pay(METER, 500)),
        calling(pay(METER, 500)),
        frozenset({DONE}),
    ),
    Pair(
        "a report, and another one under its reference",
        with_meter(),
        calling(pay(METER, 500)),
        calling(pay(METER, 600)),
        frozenset({DONE}),
    ),
    Pair(
        "two settlements of one customer",
        accepted(with_solar(), pay(METER, 500), pay(SHS, 700, "T2")),
        taking("payments.fifo", 0),
        taking("payments.fifo", 1),
        frozenset({BOTH_DONE}),
    ),
    Pair(
        "one settlement twice",
        accepted(with_solar(), pay(SHS, 700)),
        taking("payments.fifo"),
        taking("payments.fifo"),
        frozenset({DONE}),
    ),
    Pair(
        "a settlement and a vend's answer",
        one_settled_one_accepted,
        taking("vends"),
        taking("payments.fifo"),
        frozenset({BOTH_DONE}),
    ),
    Pair(
        "a settlement and the sweeper",
        accepted(with_meter(), pay(METER, 500)),
        taking("payments.fifo"),
        sweeping,
        frozenset({DONE, HELD}),
    ),
    Pair(
        "a settlement and a change of the plan",
        accepted(with_solar(paid=1400), pay(SHS, 700)),
        taking("payments.fifo"),
        calling(lower_plan()),
        frozenset({DONE, BOTH_DONE}),
    ),
    *(
        Pair(
            f"two workers with one vend of {manufacturer}",
            by(manufacturer, **technical),
            taking("vends"),
            taking("vends"),
            frozenset({DONE}),
        )
        for manufacturer, technical in {
            "calin": {},
            "calin_smart": {},
            "sparkmeter": {"customer_id": SPARKMETER_CUSTOMER},
        }.items()
    ),
    *(
        Pair(
            f"a slow vend of {manufacturer} and the sweeper after its lease",
            by(manufacturer, **technical),
            taking("vends"),
            sweeping,
            frozenset({DONE, HELD}),
        )
        for manufacturer, technical in {
            "calin": {},
            "calin_smart": {},
            "sparkmeter": {"customer_id": SPARKMETER_CUSTOMER},
        }.items()
    ),
    Pair(
        "two workers with one vend of angaza",
        settled(with_solar("angaza"), pay(SHS, 700)),
        taking("vends"),
        taking("vends"),
        frozenset({DONE}),
    ),
    Pair(
        "two vends of one unit of angaza",
        two_units_by_angaza,
        taking("vends", 0),
        taking("vends", 1),
        frozenset({BOTH_DONE}),
    ),
    Pair(
        "two vends of one meter of calin_smart",
        one_meter_two_vends,
        taking("vends", 0),
        taking("vends", 1),
        frozenset({BOTH_DONE}),
    ),
    Pair(
        "two look-ups of one vend", answer_lost, taking("vends"), taking("vends"), frozenset({DONE})
    ),
    Pair(
        "a late answer and a person who makes it credit",
        by("calin"),
        taking("vends"),
        given_up_and_made_credit,
        frozenset({DONE}),
    ),
    Pair(
        "two persons: a refund and a credit",
        HELD_CALIN,
        calling(GIVE_BACK),
        calling(INTO_CREDIT),
        frozenset({DONE, ("refunded",)}),
    ),
    Pair(
        "two persons: a refund and a new try",
        HELD_CALIN,
        calling(GIVE_BACK),
        calling(RETRY),
        frozenset({DONE, ("refunded",)}),
    ),
    Pair(
        "two persons who both give back",
        HELD_CALIN,
        calling(GIVE_BACK),
        calling(GIVE_BACK),
        frozenset({("refunded",)}),
    ),
    Pair(
        "a refund and a person who assigns",
        refund_is_due,
        taking("provider-calls"),
        assign_to_another,
        frozenset({DONE, ("refunded",)}),
    ),
    Pair(
        "two workers with one refund",
        refund_is_due,
        taking("provider-calls"),
        taking("provider-calls"),
        frozenset({("refunded",)}),
    ),
    Pair(
        "a verification and the provider's report",
        checkout_paid,
        taking("provider-calls"),
        calling(webhook()),
        frozenset({DONE}),
    ),
    Pair(
        "two workers with one SMS",
        settled(with_solar(), pay(SHS, 700)),
        taking("messages"),
        taking("messages"),
        frozenset({DONE}),
    ),
)


@pytest.mark.parametrize("turned_round", [False, True], ids=["", "turned round"])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_whoever_comes_in_between_wherever_nothing_is_lost_or_doubled(
    world: World, pair: Pair, turned_round: bool
) -> None:
    first, second = (pair.other, pair.one) if turned_round else (pair.one, pair.other)
    world.begin()
    pair.set_up(world)
    before = world.remember()
    world.record()
    first(world)()
    points = telling([effect for step in world.steps for effect in step.effects])
    world.bring_back(before)

    problems = []
    for nth in points:
        found = interleave(world, first, second, nth)
        found += [f"ends as {end}" for end in [ends_of(world)] if end not in pair.ends]
        problems += [f"[before {nth}] {problem}" for problem in found]
        tally.count("interleavings run")
        world.bring_back(before)
    tally.count("pairs of functions, in both orders")
    assert points
    assert problems == []


def interleave(world: World, first: Function, second: Function, nth: int) -> list[str]:
    """Run the first function, and all of the second before its ``nth`` side effect."""
    run_first, run_second = first(world), second(world)
    seen = 0

    def between(effect: Effect, act: Doing) -> Any:
        nonlocal seen
        seen += 1
        if seen == nth:
            world.disturb(None)
            run_second()
        return act()

    world.disturb(between)
    try:
        run_first()
    finally:
        world.disturb(None)
    assert seen >= nth
    try:
        world.live_on()
    except NeverAtRest as never:
        return [*world.defects, f"never at rest: {never}"]
    return wrong(world)
