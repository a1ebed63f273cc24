"""Every function is killed before and after each of its side effects; the world comes right."""

from __future__ import annotations

import json

import pytest

from tests.simulation import tally
from tests.simulation.invariants import wrong
from tests.simulation.scenarios import PEOPLE, SCENARIOS, Scenario, ends_of
from tests.simulation.world import Death, Moment, NeverAtRest, Step, Waiting, World, distinct

NEVER, AT_ONCE, LATER = "never", "at once", "later"


@pytest.mark.parametrize("scenario", (*SCENARIOS, *PEOPLE), ids=lambda scenario: scenario.name)
def test_whoever_dies_wherever_nothing_is_lost_or_doubled(world: World, scenario: Scenario) -> None:
    world.begin()
    scenario.set_up(world)
    world.record()
    play(world, scenario)
    assert wrong(world) == []
    assert ends_of(world) == scenario.end

    steps, problems = tuple(world.steps), []
    for step in distinct(steps):
        for death in deaths(step):
            for comes_back in callers_come_back(step, death):
                found = follow(world, scenario, step, death, comes_back)
                where = f"{step.name}, {death}: {step.effects[death.nth - 1].name}, {comes_back}"
                problems += [f"[{where}] {problem}" for problem in found]
                tally.count("crashes run")
    effects = sum(len(step.effects) for step in steps)
    tally.count("crash scenarios")
    tally.count("side effects in them", effects)
    tally.count("crash points, before and after each", 2 * effects)
    assert steps and effects
    assert problems == []


def play(world: World, scenario: Scenario, first: int = 0) -> None:
    """Let the acts of the scenario happen, from the first that is to, each with all it leads to."""
    for number, act in enumerate(scenario.acts[first:], start=first):
        world.act = number
        act.first(world)
        world.run(act.work(world), number)
        act.then(world)


def deaths(step: Step) -> list[Death]:
    """Those that differ: before the first side effect, and after each that may change something.

    Any other leaves the same world behind as one of these, see the package's description.
    """
    if not step.effects:
        return []
    after = [Death(n, "after") for n, e in enumerate(step.effects, start=1) if e.changes]
    return [Death(1, "before"), *after]


def callers_come_back(step: Step, death: Death) -> tuple[str, ...]:
    """What the caller of a function does that died: SQS is no caller, it always comes back."""
    if not isinstance(step.caller, int):
        return (NEVER,)
    return (NEVER, AT_ONCE if death.nth % 2 else LATER)


def follow(
    world: World, scenario: Scenario, step: Step, death: Death, comes_back: str
) -> list[str]:
    """Let the function die there, and see how that ends; what is wrong then."""
    world.bring_back(step.before)
    world.act = step.act
    world.doom(death)
    try:
        is_over = _die(world, scenario, step, comes_back)
        if is_over:
            world.live_on()
        else:
            play(world, scenario, step.act + 1)
    except NeverAtRest as never:
        return [*world.defects, f"never at rest: {never}"]
    problems = wrong(world)
    allowed = {*scenario.end, *scenario.ends_after_death}
    problems += [f"ends as {end}" for end in ends_of(world) if end not in allowed]
    assert step.before is not None
    if is_over and not world.payments() and not is_untouched(world, step.before):
        problems.append("nothing was stored, and yet something has changed")
    return problems


def _die(world: World, scenario: Scenario, step: Step, comes_back: str) -> bool:
    """Let the function die, and the world live on; whether the story ends there."""
    if isinstance(step.caller, Waiting):
        world.hand_over(step.caller)
    elif step.caller is None:
        world.sweep()
    else:
        work = scenario.acts[step.caller].work(world)
        world.run(work, step.caller)
        if comes_back == LATER:
            world.live_on()
        if comes_back != NEVER:
            world.run(work, step.caller)
    scenario.acts[step.act].then(world)
    return isinstance(step.caller, int) and comes_back == NEVER


def is_untouched(world: World, before: Moment) -> bool:
    """Whether nothing has changed but the note that there may be a payment (``money_fixed``)."""
    now = world.remember()
    changed = set(_content(now)) ^ set(_content(before))
    notes = {entry for entry in changed if entry[0] == "test-guards"}
    return changed == notes and now.kept == before.kept and not now.waiting


def _content(moment: Moment) -> list[tuple[str, str]]:
    """All items with the tables that they are in."""
    return [
        (name, json.dumps(item.to_json(), sort_keys=True, default=str))
        for name, table in moment.tables.items()
        for items in table.values()
        for item in (items.values() if isinstance(items, dict) else [items])
    ]
