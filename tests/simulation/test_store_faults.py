"""DynamoDB and SQS fail at each request, in each way they can; then all is as if they had not.

A fault is either once, or lasts: then every repetition of that request within the same run of the
function fails too, so that the function has to give up and its message comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.simulation import tally
from tests.simulation.effects import Act as Doing
from tests.simulation.effects import Effect, telling
from tests.simulation.invariants import wrong
from tests.simulation.scenarios import PEOPLE, SCENARIOS, Scenario, ends_of
from tests.simulation.test_crashes_everywhere import play
from tests.simulation.world import NeverAtRest, Step, Waiting, World, distinct

NAMES = (
    "a local token",
    "energy, and a remote unlock of another device",
    "sparkmeter's answer is lost after the sale",
    "calin_smart's answer is lost after the sale",
    "a checkout that is paid",
    "paid for a meter that has gone: the money goes back",
    "a person gives back what bought nothing",
    "a person makes it credit",
    "a plan change pays a device off, with a local token",
)
"""The main ways; each kind of request of each function is in one of them."""
MAIN = [scenario for scenario in (*SCENARIOS, *PEOPLE) if scenario.name in NAMES]

WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")


@dataclass(frozen=True)
class Fault:
    """One way in which a request fails. ``done``: what it asks for happens nevertheless."""

    name: str
    error: Callable[[Effect], Exception]
    done: bool = False
    lasts: bool = False
    is_ours: bool = True
    """Whether the services must have a word for it; else the function breaks down, as by a bug."""


def refused(code: str, status: int = 400) -> Callable[[Effect], Exception]:
    """A plain error of AWS."""

    def error(effect: Effect) -> Exception:
        return ClientError(
            {
                "Error": {"Code": code, "Message": ""},
                "ResponseMetadata": {"HTTPStatusCode": status},
            },
            effect.name.rpartition(" ")[2],
        )

    return error


def cancelled(*codes: str) -> Callable[[Effect], Exception]:
    """A transaction that is cancelled: the last write for that reason, the others for none."""

    def error(effect: Effect) -> Exception:
        others = len(effect.arguments["TransactItems"]) - len(codes)
        reasons = [*["None"] * others, *codes]
        return ClientError(
            {
                "Error": {"Code": "TransactionCanceledException", "Message": ""},
                "CancellationReasons": [{"Code": code} for code in reasons],
                "ResponseMetadata": {"HTTPStatusCode": 400},
            },
            "TransactWriteItems",
        )

    return error


def timed_out(effect: Effect) -> Exception:
    """Nobody knows whether it happened."""
    return ReadTimeoutError(endpoint_url="https://dynamodb.eu-west-1.amazonaws.com")


OF_READS = (
    Fault("throttled", refused("ThrottlingException"), lasts=True),
    Fault("5xx", refused("InternalServerError", 500)),
    Fault("no answer", timed_out, lasts=True),
)
OF_WRITES = (
    Fault("throttled", refused("ProvisionedThroughputExceededException"), lasts=True),
    Fault("in a transaction", refused("TransactionConflictException"), lasts=True),
    Fault("5xx", refused("InternalServerError", 500)),
    Fault("no answer, not done", timed_out, lasts=True),
    Fault("no answer, done", timed_out, done=True),
)
OF_TRANSACTIONS = (
    Fault("throttled", refused("ThrottlingException"), lasts=True),
    Fault("conflict once", cancelled("TransactionConflict")),
    Fault("conflict", cancelled("TransactionConflict"), lasts=True),
    Fault("throttled inside", cancelled("ThrottlingError"), lasts=True),
    Fault("too much", cancelled("ProvisionedThroughputExceeded"), lasts=True),
    Fault("two reasons", cancelled("TransactionConflict", "ThrottlingError"), lasts=True),
    Fault("collection full", cancelled("ItemCollectionSizeLimitExceeded"), is_ours=False),
    Fault("invalid", cancelled("ValidationError"), is_ours=False),
    Fault("under way", refused("TransactionInProgressException"), lasts=True),
    Fault("5xx", refused("InternalServerError", 500)),
    Fault("no answer, not done", timed_out, lasts=True),
    Fault("no answer, done", timed_out, done=True),
)
OF_QUEUES = (
    Fault("not queued", timed_out),
    Fault("refused", refused("RequestThrottled"), lasts=True),
    Fault("queued, no answer", timed_out, done=True),
)


def faults_of(effect: Effect) -> tuple[Fault, ...]:
    """The ways in which that request can fail. Those of calls and SMS have scenarios of their own.

    A condition that does not hold is no fault but an answer, so it is never made up here: races
    bring it about.
    """
    service, _, operation = effect.name.partition(" ")
    if service == "sqs":
        return OF_QUEUES
    if service != "dynamodb":
        return ()
    if operation == "TransactWriteItems":
        return OF_TRANSACTIONS
    return OF_WRITES if operation in WRITES else OF_READS


def test_each_of_the_main_ways_is_a_scenario() -> None:
    assert {scenario.name for scenario in MAIN} == set(NAMES)


@pytest.mark.parametrize("scenario", MAIN, ids=lambda scenario: scenario.name)
def test_whatever_fails_wherever_nothing_is_lost_or_doubled(
    world: World, scenario: Scenario
) -> None:
    world.begin()
    scenario.set_up(world)
    world.record()
    play(world, scenario)
    assert ends_of(world) == scenario.end

    injected, problems = 0, []
    for step in distinct(world.steps):
        for nth in telling(step.effects):
            effect = step.effects[nth - 1]
            for fault in faults_of(effect):
                found = endure(world, scenario, step, nth, fault)
                where = f"{step.name}, {effect.name} ({nth}) {fault.name}"
                problems += [f"[{where}] {problem}" for problem in found]
                injected += 1
    tally.count("faults of DynamoDB and SQS injected", injected)
    tally.count("scenarios with faults")
    assert injected > 0
    assert problems == []


def endure(world: World, scenario: Scenario, step: Step, nth: int, fault: Fault) -> list[str]:
    """Let that request fail so, and see how that ends; what is wrong then."""
    world.bring_back(step.before)
    world.act = step.act
    happened = _fail(world, scenario, step, nth, fault)
    problems = [] if happened else ["the request never came"]
    if fault.is_ours:
        problems += world.defects
    world.defects = []
    try:
        scenario.acts[step.act].then(world)
        play(world, scenario, step.act + 1)
    except NeverAtRest as never:
        return [*problems, f"never at rest: {never}"]
    allowed = {*scenario.end, *scenario.ends_after_death}
    problems += [f"ends as {end}" for end in ends_of(world) if end not in allowed]
    return [*problems, *wrong(world)]


def _fail(world: World, scenario: Scenario, step: Step, nth: int, fault: Fault) -> bool:
    """Run the function while its ``nth`` request fails; whoever called it then calls again."""
    seen, failing = 0, None

    def observer(effect: Effect, act: Doing) -> Any:
        nonlocal seen, failing
        seen += 1
        if seen == nth:
            failing = (effect.name, _without_token(effect.arguments))
        elif not fault.lasts or failing != (effect.name, _without_token(effect.arguments)):
            return act()
        if fault.done and seen == nth:
            act()
        raise fault.error(effect)

    world.disturb(observer)
    try:
        _call(world, scenario, step)
    except Exception as broken:  # an act is called by nobody who would catch it
        if fault.is_ours:
            world.defects.append(f"{type(broken).__name__}: {broken}")
    finally:
        world.disturb(None)
    world.take_queued()
    if isinstance(step.caller, int):
        _call(world, scenario, step)
    return failing is not None


def _call(world: World, scenario: Scenario, step: Step) -> None:
    if isinstance(step.caller, Waiting):
        world.hand_over(step.caller)
    elif step.caller is None:
        world.sweep()
    else:
        world.run(scenario.acts[step.caller].work(world), step.caller)


def _without_token(arguments: Any) -> Any:
    """What is asked for: a repetition under another token asks for the same."""
    if isinstance(arguments, dict):
        return {name: value for name, value in arguments.items() if name != "ClientRequestToken"}
    return arguments
