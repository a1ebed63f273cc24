"""The circuit breaker: a manufacturer that does not answer is left alone, by all workers together,
and nobody else waits for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.circuit import FAILURES_MAX
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import Status, VendState
from chalicelib.services.breaker import WRITES_MAX
from chalicelib.services.ports import (
    OutcomeUnknown,
    QueueUnavailable,
    SecretMissing,
    TryAgain,
    VendAbsent,
    VendorSilent,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
    VersionConflict,
)
from chalicelib.services.vend import POSTPONED_SPREAD, UNREACHABLE_MAX
from chalicelib.wiring import Wiring
from tests.integration.company import METER, NOW, Company, FixedClock
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import Counter, Diary, Processes, differences
from tests.integration.services.interruptions import Interrupted, Lost
from tests.integration.services.waiting import come_back_to_the_end
from tests.integration.vendor import (
    NO_CONNECTION,
    Answer,
    Behaviour,
    FakeCalin,
    FakeSparkMeter,
    hanging_up,
    unclear,
)

PAYMENT_ID = "mpesa_ke.600966-T1"
TRIAL = 30


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def wait(by: Wiring, manufacturer: str = "calin") -> float | None:
    """The seconds for which that process leaves the manufacturer alone."""
    found = by.breaker.wait(manufacturer, TRIAL)
    return None if found is None else found.total_seconds()


def fail(by: Wiring, times: int = FAILURES_MAX) -> None:
    for _ in range(times):
        by.breaker.failed("calin")


# --- all processes together -----------------------------------------------------------------------


def test_failures_of_several_processes_add_up_and_open_the_circuit_for_all(
    process: Processes, diary: Diary
) -> None:
    workers = [process() for _ in range(FAILURES_MAX)]
    for worker in workers[:-1]:
        fail(worker, 1)
    assert wait(process()) is None
    fail(workers[-1], 1)
    assert wait(process()) == 30
    assert diary.said("circuit_opened") == [
        {"manufacturer": "calin", "openings": 1, "until": NOW + seconds(30)}
    ]
    assert diary.counted("CircuitsOpened") == 1


def test_a_process_that_saw_it_closed_knows_better_within_five_seconds(
    process: Processes, clock: FixedClock
) -> None:
    one, other = process(), process()
    assert wait(other) is None
    fail(one)
    clock.move(seconds(4.9))
    assert wait(other) is None
    clock.move(seconds(0.1))
    assert wait(other) == 25


def test_a_manufacturer_that_works_costs_one_reading_in_five_seconds_and_no_writing(
    wiring: Wiring, process: Processes, clock: FixedClock
) -> None:
    circuits = Interrupted(wiring.circuits)
    worker = process(circuits=circuits)
    for _ in range(10):
        assert wait(worker) is None
        worker.breaker.answered("calin")
        clock.move(seconds(1))
    assert circuits.calls == {"get": 2}


def test_another_manufacturer_is_not_affected(process: Processes) -> None:
    fail(process())
    assert wait(process(), "sparkmeter") is None


def test_an_answer_starts_the_count_anew(process: Processes, diary: Diary) -> None:
    fail(process(), FAILURES_MAX - 1)
    process().breaker.answered("calin")
    fail(process(), FAILURES_MAX - 1)
    assert wait(process()) is None
    assert diary.said("circuit_closed") == [{"manufacturer": "calin"}]


# --- what a call shows ------------------------------------------------------------------------

FAILURES = [VendorUnreachable(), VendorSilent()]
ANSWERS = [None, VendRefused("no"), VendUncertain(), VendAbsent()]


def call(by: Wiring, ending: Exception | None, told: int = 0) -> None:
    """One call that ends so, but not before that many failures are noted."""
    with contextlib.suppress(MwangaError), by.breaker.call("calin"):
        deadline = time.monotonic() + 10
        while by.circuits.get("calin").failures < told:
            assert time.monotonic() < deadline, "nobody was told"
        if ending is not None:
            raise ending


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any call is slow that does not end at once."""
    monkeypatch.setattr("chalicelib.services.breaker.SLOW_SECONDS", 0.01)


@pytest.mark.parametrize("ending", FAILURES, ids=repr)
def test_a_call_that_fails_counts_once(process: Processes, ending: Exception) -> None:
    worker = process()
    for _ in range(3):
        call(worker, ending)
    assert worker.circuits.get("calin").failures == 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("ending", FAILURES, ids=repr)
def test_a_slow_call_counts_while_it_still_runs_and_no_more_when_it_fails(
    process: Processes, ending: Exception
) -> None:
    worker = process()
    for failures in (1, 2, 3):
        call(worker, ending, told=failures)
    assert worker.circuits.get("calin").failures == 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("ending", ANSWERS, ids=repr)
def test_a_slow_call_that_is_answered_at_last_shows_that_the_manufacturer_works(
    process: Processes, diary: Diary, ending: Exception | None
) -> None:
    fail(process(), FAILURES_MAX - 1)
    call(process(), ending, told=FAILURES_MAX)
    assert diary.counted("CircuitsOpened") == 1
    assert process().circuits.get("calin").is_sound
    assert wait(process()) is None


@pytest.mark.parametrize("ending", ANSWERS, ids=repr)
def test_any_answer_of_a_working_manufacturer_starts_the_count_anew(
    process: Processes, ending: Exception | None
) -> None:
    fail(process(), FAILURES_MAX - 1)
    call(process(), ending)
    assert process().circuits.get("calin").failures == 0


def test_a_call_that_was_not_made_shows_nothing(process: Processes) -> None:
    fail(process(), 2)
    call(process(), SecretMissing("manufacturers/calin"))
    assert process().circuits.get("calin").failures == 2


def test_a_quick_call_is_not_told_before_it_ends(process: Processes) -> None:
    worker = process()
    with worker.breaker.call("calin"):
        assert worker.circuits.get("calin").revision == 0
    assert worker.circuits.get("calin").revision == 0


# --- half open ------------------------------------------------------------------------------------


def test_when_its_time_is_over_exactly_one_of_several_workers_tries(
    process: Processes, clock: FixedClock
) -> None:
    workers = [process() for _ in range(5)]
    fail(workers[0])
    clock.move(seconds(29))
    assert [wait(worker) for worker in workers] == [1] * 5
    clock.move(seconds(1))
    assert [wait(worker) for worker in workers] == [None, *[TRIAL] * 4]


def test_a_trial_that_succeeds_opens_the_door_for_all(
    process: Processes, clock: FixedClock
) -> None:
    fail(process())
    clock.move(seconds(30))
    trying, other = process(), process()
    assert (wait(trying), wait(other)) == (None, TRIAL)
    trying.breaker.answered("calin")
    clock.move(seconds(5))
    assert wait(other) is None


def test_a_trial_of_which_nobody_ever_hears_is_followed_by_another(
    process: Processes, clock: FixedClock
) -> None:
    fail(process())
    clock.move(seconds(30))
    assert wait(process()) is None
    clock.move(seconds(TRIAL - 1))
    assert wait(process()) == 1
    clock.move(seconds(1))
    assert wait(process()) is None


def test_each_trial_that_fails_opens_it_for_longer_through_every_restart(
    process: Processes, clock: FixedClock
) -> None:
    fail(process())
    waits = []
    for _ in range(8):
        left = wait(process())
        assert left is not None
        waits.append(left)
        clock.move(seconds(left))
        trying = process()
        assert wait(trying) is None
        fail(trying, 1)
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


# --- a store in trouble ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        {"get": [TryAgain()] * 20},
        {"save": [TryAgain()] * 20},
        {"save": [OutcomeUnknown()] * 20},
        {"save": [VersionConflict()] * 20},
        {"get": [TryAgain()] * 20, "save": [TryAgain()] * 20},
    ],
    ids=str,
)
@pytest.mark.parametrize("at_first", ["unclear", "clear"])
def test_trouble_with_its_own_item_never_stops_a_vend(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    calin: FakeCalin,
    process: Processes,
    trouble: dict[str, list[Any]],
    at_first: str,
) -> None:
    company.customer(company.meter())
    message = counter.to_the_vend(METER, 500)
    fail(wiring, FAILURES_MAX - 1)
    calin.behaviours = [unclear] if at_first == "unclear" else []
    arranged = {name: list(happenings) for name, happenings in trouble.items()}
    counter.vend(message, by=process(circuits=Interrupted(wiring.circuits, **arranged)))
    expected = VendState.UNCERTAIN if at_first == "unclear" else VendState.DONE
    assert counter.now(PAYMENT_ID).vend(1).state is expected


@pytest.mark.parametrize("error", [TryAgain(), OutcomeUnknown()])
def test_a_trial_that_cannot_be_written_down_is_made(
    wiring: Wiring, process: Processes, clock: FixedClock, error: Exception
) -> None:
    fail(wiring)
    clock.move(seconds(30))
    assert wait(process(circuits=Interrupted(wiring.circuits, save=[error]))) is None


def test_a_failure_is_counted_although_others_write_at_the_same_time(
    wiring: Wiring, process: Processes
) -> None:
    fail(wiring, FAILURES_MAX - 1)
    racing = [VersionConflict()] * (WRITES_MAX - 1)
    fail(process(circuits=Interrupted(wiring.circuits, save=racing)), 1)
    assert wait(process()) == 30


def test_processes_that_fail_in_turn_lose_none_of_their_failures(
    wiring: Wiring, process: Processes
) -> None:
    """Each knows the circuit as it left it, and the other has written since."""
    one, other = process(), process()
    for _ in range(3):
        fail(one, 1)
        fail(other, 1)
    assert wiring.circuits.get("calin").failures == 6


def test_a_write_that_happened_unseen_is_not_taken_for_the_present_state(
    wiring: Wiring, process: Processes
) -> None:
    unseen = process(circuits=Interrupted(wiring.circuits, save=[Lost(OutcomeUnknown())]))
    fail(wiring, FAILURES_MAX - 1)
    fail(unseen, 1)
    assert wait(unseen) == 30


# --- vends ----------------------------------------------------------------------------------------


@pytest.fixture
def sparkmeter(cloud: Cloud) -> Iterator[FakeSparkMeter]:
    """SparkMeter, as a server that knows its transactions."""
    with FakeSparkMeter() as fake:
        fake.put_secrets(cloud)
        yield fake


def vends_of(
    company: Company, counter: Counter, count: int, serials: str = "47"
) -> list[dict[str, Any]]:
    """That many payments of one customer, each for a meter of its own, settled: their vends."""
    names = [f"{serials}{number:03}" for number in range(count)]
    company.customer(*(company.meter(name) for name in names))
    for number, name in enumerate(names, start=1):
        counter.accept(name, 500, f"T{number}")
    counter.settle_all()
    return [message["body"] for message in counter.cloud.take("vends")]


def test_while_it_is_open_nobody_calls_and_the_message_comes_back_after_the_stored_wait(
    company: Company,
    counter: Counter,
    calin: FakeCalin,
    process: Processes,
    clock: FixedClock,
    diary: Diary,
) -> None:
    message = vends_of(company, counter, 1)[0]
    fail(process())
    clock.move(seconds(10))
    counter.vend(message, by=process())
    assert calin.requests == []
    (vend,) = counter.now(PAYMENT_ID).vends
    assert (vend.state, vend.attempts) == (VendState.INTENDED, 0)
    assert diary.said("vend_postponed") == [{"payment_id": PAYMENT_ID, "vend": 1, "seconds": 20}]
    assert come_back_to_the_end(counter, clock) == [20]
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert len(calin.requests) == 1


def test_postponed_vends_do_not_all_come_back_in_the_same_second(
    company: Company,
    counter: Counter,
    process: Processes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = vends_of(company, counter, 3)
    fail(process())
    wide = 0.05 * 2**POSTPONED_SPREAD
    for share, message in zip((0, 0.5, 1), messages, strict=True):
        monkeypatch.setattr("random.uniform", lambda low, high, share=share: low + share * high)
        counter.vend(message, by=process())
    assert 3 < wide < 4
    assert sorted(counter.delays("vends")) == [30, 32, 34]


def not_json(request: dict[str, Any]) -> Answer:
    return 200, "<html>please wait</html>"


def too_many(request: dict[str, Any]) -> Answer:
    return 429, {}


@pytest.mark.parametrize("silent", [hanging_up, unclear, not_json, too_many])
def test_silence_and_breakage_open_it_and_then_no_more_payments_become_uncertain(
    company: Company, counter: Counter, calin: FakeCalin, silent: Behaviour
) -> None:
    messages = vends_of(company, counter, FAILURES_MAX + 3)
    calin.behaviours = [silent] * 20
    for message in messages:
        counter.vend(message)
    assert len(calin.requests) == FAILURES_MAX
    payments = [counter.now(message["payment_id"]) for message in messages]
    assert [p.status for p in payments] == [Status.HELD] * FAILURES_MAX + [Status.VENDING] * 3


def unlisted(request: dict[str, Any]) -> Answer:
    return 200, {"result_code": 99, "reason": "?", "result": ""}


def forbidden(request: dict[str, Any]) -> Answer:
    return 403, {}


@pytest.mark.parametrize("odd", [unlisted, forbidden])
def test_answers_that_nobody_understands_do_not_open_it(
    company: Company, counter: Counter, wiring: Wiring, calin: FakeCalin, odd: Behaviour
) -> None:
    messages = vends_of(company, counter, FAILURES_MAX + 2)
    calin.behaviours = [unclear, *[odd] * 20]
    for message in messages:
        counter.vend(message)
    assert len(calin.requests) == len(messages)
    assert {counter.now(message["payment_id"]).status for message in messages} == {Status.HELD}
    assert wiring.circuits.get("calin").failures == 0


def test_a_definite_no_is_an_answer_like_any_other(
    company: Company, counter: Counter, calin: FakeCalin
) -> None:
    def refusing(request: dict[str, Any]) -> Answer:
        return 200, {"result_code": 3, "reason": "no such meter", "result": ""}

    few = FAILURES_MAX - 1
    messages = vends_of(company, counter, 2 * few + 1)
    calin.behaviours = [*[unclear] * few, refusing, *[unclear] * few]
    for message in messages:
        counter.vend(message)
    assert len(calin.requests) == len(messages)


def test_look_ups_count_as_well(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    sparkmeter: FakeSparkMeter,
    clock: FixedClock,
) -> None:
    company.customer(company.meter(METER, manufacturer="sparkmeter"))
    sparkmeter.behaviours = [sparkmeter.lost]
    sparkmeter.look_behaviours = [unclear]
    counter.vend(counter.to_the_vend(METER, 500))
    failures = []
    while delays := counter.delays("vends"):
        failures.append(wiring.circuits.get("sparkmeter").failures)
        clock.move(seconds(max(delays)))
        counter.vend_all()
    assert failures == [1, 2]
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert wiring.circuits.get("sparkmeter").failures == 0


def test_the_message_of_a_finished_vend_still_queues_its_sms(
    company: Company, counter: Counter, wiring: Wiring, calin: FakeCalin, process: Processes
) -> None:
    message = vends_of(company, counter, 1)[0]
    broken = process(queues=Interrupted(wiring.queues, message=[QueueUnavailable()]))
    with pytest.raises(QueueUnavailable):
        counter.vend(message, by=broken)
    fail(process())
    counter.vend(message, by=process())
    assert counter.delays("vends") == []
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [1]


def test_a_message_about_a_vend_that_there_is_not_ends_while_it_is_open(
    company: Company, counter: Counter, process: Processes, diary: Diary
) -> None:
    message = vends_of(company, counter, 1)[0]
    fail(process())
    counter.vend({**message, "number": 2}, by=process())
    assert diary.said("vend_missing") == [{"payment_id": PAYMENT_ID, "vend": 2}]
    assert counter.delays("vends") == []


def test_a_running_call_is_looked_at_after_its_lease_also_while_it_is_open(
    company: Company, counter: Counter, calin: FakeCalin, process: Processes
) -> None:
    message = vends_of(company, counter, 1)[0]

    def issue_while_it_opens(request: dict[str, Any]) -> Answer:
        fail(process())
        counter.vend(message, by=process())
        return calin.issue(request)

    calin.behaviours = [issue_while_it_opens]
    counter.vend(message)
    assert counter.delays("vends") == [31]
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED


def test_vends_that_wait_for_it_use_up_none_of_their_attempts(
    company: Company,
    counter: Counter,
    calin: FakeCalin,
    process: Processes,
    clock: FixedClock,
) -> None:
    """An outage of half a day, in which others' calls keep the circuit open."""
    message = vends_of(company, counter, 1)[0]
    fail(process())
    counter.vend(message, by=process())
    end = clock.now() + timedelta(hours=12)
    while clock.now() < end:
        (delay,) = counter.delays("vends")
        clock.move(seconds(delay))
        trying = process()
        assert wait(trying) is None
        fail(trying, 1)
        counter.vend(counter.only("vends"), by=process())
    (vend,) = counter.now(PAYMENT_ID).vends
    assert (vend.state, vend.attempts) == (VendState.INTENDED, 0)
    assert come_back_to_the_end(counter, clock) == [900]
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert len(calin.requests) == 1


# --- an outage of one manufacturer ----------------------------------------------------------------


PAYMENTS_EACH = 12


@pytest.fixture
def queued(company: Company, counter: Counter, sparkmeter: FakeSparkMeter) -> list[dict[str, Any]]:
    """Thirty payments for each of two manufacturers, settled: their vends, one of each in turn."""
    dead = [f"47{number:03}" for number in range(PAYMENTS_EACH)]
    well = [f"48{number:03}" for number in range(PAYMENTS_EACH)]
    company.customer(*(company.meter(name) for name in dead))
    company.customer(
        *(company.meter(name, manufacturer="sparkmeter") for name in well), phone="+254700000002"
    )
    for serial_number in (*dead, *well):
        counter.accept(serial_number, 500, f"T{serial_number}")
    counter.settle_all()
    vends = [message["body"] for message in counter.cloud.take("vends")]
    of_dead = [body for body in vends if body["manufacturer"] == "calin"]
    of_well = [body for body in vends if body["manufacturer"] == "sparkmeter"]
    return [body for pair in zip(of_dead, of_well, strict=True) for body in pair]


def calls(diary: Diary, manufacturer: str) -> int:
    """How often the manufacturer was called, or tried to be."""
    return sum(
        metric == "VendMilliseconds" and dimensions["manufacturer"] == manufacturer
        for metric, _, dimensions in diary.counts
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers_count", [1, 4])
def test_a_dead_manufacturer_is_called_a_few_times_and_the_vends_of_another_never_wait(
    counter: Counter,
    queued: list[dict[str, Any]],
    calin: FakeCalin,
    sparkmeter: FakeSparkMeter,
    cloud: Cloud,
    process: Processes,
    clock: FixedClock,
    diary: Diary,
    workers_count: int,
) -> None:
    workers = [process() for _ in range(workers_count)]
    calin.put_secrets(cloud, NO_CONNECTION)
    for number, body in enumerate(queued):
        counter.vend(body, by=workers[number % workers_count])

    well = [body["payment_id"] for body in queued if body["manufacturer"] == "sparkmeter"]
    assert {counter.now(payment_id).status for payment_id in well} == {Status.COMPLETED}
    assert calls(diary, "sparkmeter") == PAYMENTS_EACH
    # Each of the other workers finds out by its own next failure, or within five seconds.
    assert FAILURES_MAX <= calls(diary, "calin") <= FAILURES_MAX + workers_count - 1

    rounds = 0
    while delays := counter.delays("vends"):
        rounds += 1
        before = calls(diary, "calin")
        clock.move(seconds(max(delays)))
        if clock.now() > NOW + timedelta(minutes=12):
            calin.put_secrets(cloud)
        for number, message in enumerate(cloud.take("vends")):
            counter.vend(message["body"], by=workers[number % workers_count])
        if not calin.issued:
            assert calls(diary, "calin") - before <= 1, "a single call tries at a time"
    assert rounds > 3
    payments = [counter.now(body["payment_id"]) for body in queued]
    assert {payment.status for payment in payments} == {Status.COMPLETED}
    assert len(calin.issued) == len(calin.requests) == PAYMENTS_EACH
    assert len(sparkmeter.issued) == PAYMENTS_EACH
    assert max(p.vend(1).attempts for p in payments) <= UNREACHABLE_MAX
    counter.send_all()
    assert all(counter.told(payment.payment_id) == [1] for payment in payments)
    assert [differences(counter, customer_id) for customer_id in ("C1", "C2")] == [[], []]
