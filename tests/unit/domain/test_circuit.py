"""The circuit breaker's rules: when it opens, for how long, and what closes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.circuit import (
    FAILURES_MAX,
    OPEN_SECONDS_FIRST,
    OPEN_SECONDS_MAX,
    Circuit,
    after_failure,
    after_success,
    tried,
)

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
FRESH = Circuit("calin")


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def failed(circuit: Circuit, times: int, now: datetime = NOW) -> Circuit:
    for _ in range(times):
        circuit = after_failure(circuit, now)
    return circuit


def opened(now: datetime = NOW) -> Circuit:
    return failed(FRESH, FAILURES_MAX, now)


def test_a_fresh_circuit_lets_everybody_call() -> None:
    assert FRESH.is_sound
    assert FRESH.wait(NOW) is None
    assert not FRESH.is_on_trial(NOW)


def test_one_failure_less_than_the_limit_leaves_it_closed() -> None:
    circuit = failed(FRESH, FAILURES_MAX - 1)
    assert circuit.wait(NOW) is None
    assert not circuit.is_sound
    assert not circuit.is_on_trial(NOW)


def test_the_last_failure_opens_it_for_half_a_minute() -> None:
    circuit = opened()
    assert (circuit.openings, circuit.wait(NOW)) == (1, seconds(OPEN_SECONDS_FIRST))
    assert circuit.wait(NOW + seconds(29)) == seconds(1)
    assert not circuit.is_on_trial(NOW + seconds(29))


def test_a_success_in_between_starts_the_count_anew() -> None:
    circuit = after_success(failed(FRESH, FAILURES_MAX - 1))
    assert circuit.is_sound
    assert failed(circuit, FAILURES_MAX - 1).wait(NOW) is None


def test_calls_under_way_when_it_opened_open_it_no_further() -> None:
    circuit = failed(opened(), 7, NOW + seconds(10))
    assert (circuit.openings, circuit.wait(NOW)) == (1, seconds(OPEN_SECONDS_FIRST))
    assert circuit.failures == FAILURES_MAX + 7


def test_when_its_time_is_over_a_single_call_may_try() -> None:
    circuit, then = opened(), NOW + seconds(OPEN_SECONDS_FIRST)
    assert circuit.is_on_trial(then)
    assert circuit.wait(then) is None
    trying = tried(circuit, then + seconds(30))
    assert not trying.is_on_trial(then)
    assert trying.wait(then) == seconds(30)
    assert trying.is_on_trial(then + seconds(30)), "nobody has told what came of it"


def test_each_trial_that_fails_doubles_the_time_up_to_a_quarter_of_an_hour() -> None:
    circuit, now, waits = opened(), NOW, []
    for _ in range(8):
        wait = circuit.wait(now)
        assert wait is not None
        waits.append(int(wait.total_seconds()))
        now += wait
        circuit = after_failure(tried(circuit, now + seconds(30)), now + seconds(5))
        now += seconds(5)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


def test_a_trial_that_succeeds_closes_it_and_forgets_the_openings() -> None:
    circuit = after_success(tried(opened(), NOW + seconds(60)))
    assert circuit == FRESH
    assert opened().openings == 1


def test_what_is_written_keeps_its_revision() -> None:
    stored = Circuit("calin", revision=7)
    assert after_failure(stored, NOW).revision == 7
    assert after_success(stored).revision == 7
    assert tried(stored, NOW).revision == 7


@pytest.mark.parametrize("openings", [10, 100, 5000])
def test_an_outage_of_any_length_is_waited_for_a_quarter_of_an_hour_at_most(openings: int) -> None:
    circuit = Circuit("calin", failures=openings, openings=openings, open_until=NOW)
    assert after_failure(circuit, NOW).wait(NOW) == seconds(OPEN_SECONDS_MAX)


STEPS = st.lists(
    st.tuples(st.sampled_from(["failure", "failure", "success", "trial"]), st.integers(0, 1200)),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_it_waits_for_a_while_at_most_and_only_a_success_closes_it(
    steps: list[tuple[str, int]],
) -> None:
    circuit, now = FRESH, NOW
    failures_in_a_row = 0
    for what, passing in steps:
        now += seconds(passing)
        before = circuit
        wait = circuit.wait(now)
        if what == "trial":
            if not circuit.is_on_trial(now):
                continue
            circuit = tried(circuit, now + seconds(30))
            assert circuit.wait(now) == seconds(30)
        elif what == "success":
            circuit = after_success(circuit)
            failures_in_a_row = 0
            assert circuit.is_sound
        else:
            circuit = after_failure(circuit, now)
            failures_in_a_row += 1
            assert not circuit.is_sound
            assert circuit.openings - before.openings in (0, 1)
            assert circuit.openings == before.openings or wait is None or before.probe_until
        assert circuit.failures == failures_in_a_row
        assert (circuit.open_until is not None) == (failures_in_a_row >= FAILURES_MAX)
        assert (circuit.openings > 0) == (failures_in_a_row >= FAILURES_MAX)
        left = circuit.wait(now)
        assert left is None or seconds(0) < left <= seconds(OPEN_SECONDS_MAX)
        assert not (circuit.is_on_trial(now) and left is not None)
