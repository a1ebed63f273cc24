"""One at a time (Calin Smart): purchases are told apart by meter, kWh and time alone, so a meter
has one vend in flight at most, and no other meter waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.payment import Status, VendState
from chalicelib.services.ports import TryAgain
from chalicelib.services.vend import POSTPONED_SECONDS_MAX, POSTPONED_SECONDS_MIN
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import Counter, Diary, Processes, differences
from tests.integration.services.interruptions import Interrupted
from tests.integration.services.waiting import come_back, come_back_to_the_end
from tests.integration.vendor import Answer, FakeCalinSmart, hanging_up, unclear

FIRST, SECOND = "mpesa_ke.600966-T1", "mpesa_ke.600966-T2"


@pytest.fixture
def smart(cloud: Cloud, clock: FixedClock) -> Iterator[FakeCalinSmart]:
    """Calin Smart, as a server that lists its purchases."""
    with FakeCalinSmart(clock.now) as fake:
        fake.put_secrets(cloud)
        yield fake


@pytest.fixture
def asha(company: Company, smart: FakeCalinSmart) -> str:
    """A customer with two meters."""
    return company.customer(
        company.meter(manufacturer="calin_smart"),
        company.meter("47002", manufacturer="calin_smart"),
    )


@pytest.fixture
def two(counter: Counter, asha: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two payments of 500 for one meter, settled: the messages of their vends."""
    return settled(counter, METER, "T1"), settled(counter, METER, "T2")


def settled(counter: Counter, serial_number: str, transaction: str) -> dict[str, Any]:
    counter.accept(serial_number, 500, transaction)
    counter.settle_all()
    return counter.only("vends")


def holder(cloud: Cloud, serial_number: str = METER) -> str | None:
    """Who has the device."""
    item = cloud.item("busy_devices", serial_number=serial_number)
    return item["held_by"]["S"] if item else None


def refusing(request: dict[str, Any]) -> Answer:
    return 200, {"result_code": 3, "reason": "no such meter", "result": ""}


# --- waiting for the device -----------------------------------------------------------------------


def test_a_vend_that_finds_its_meter_free_is_called_at_once_and_gives_it_free_again(
    counter: Counter, cloud: Cloud, asha: str, smart: FakeCalinSmart
) -> None:
    def issue_and_look(request: dict[str, Any]) -> Answer:
        assert holder(cloud) == f"{FIRST}.1"
        return smart.issue(request)

    smart.behaviours = [issue_and_look]
    counter.vend(settled(counter, METER, "T1"))
    assert counter.now(FIRST).status is Status.COMPLETED
    assert holder(cloud) is None


def test_the_second_vend_of_a_meter_waits_while_the_first_is_in_flight(
    counter: Counter,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    clock: FixedClock,
) -> None:
    def issue_while_another_comes(request: dict[str, Any]) -> Answer:
        counter.vend(two[1])
        return smart.issue(request)

    smart.behaviours = [issue_while_another_comes]
    counter.vend(two[0])
    assert len(smart.requests) == 1
    (waiting,) = counter.now(SECOND).vends
    assert (waiting.state, waiting.attempts) == (VendState.INTENDED, 0)
    assert come_back_to_the_end(counter, clock) == [POSTPONED_SECONDS_MIN]
    assert counter.now(SECOND).status is Status.COMPLETED
    assert len(set(smart.issued)) == 2


def test_another_meter_does_not_wait(
    counter: Counter, two: tuple[dict[str, Any], dict[str, Any]], smart: FakeCalinSmart
) -> None:
    other = settled(counter, "47002", "T3")

    def issue_while_another_comes(request: dict[str, Any]) -> Answer:
        counter.vend(other)
        return smart.issue(request)

    smart.behaviours = [issue_while_another_comes]
    counter.vend(two[0])
    assert counter.now("mpesa_ke.600966-T3").status is Status.COMPLETED
    assert counter.delays("vends") == []


def test_the_longer_a_vend_has_waited_the_longer_it_waits_again_until_a_dead_hold_ends(
    counter: Counter,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker of the first vend dies, and nobody ever hears of that vend again."""
    crashing(counter, two[0], monkeypatch)
    counter.vend(two[1])
    waits = come_back_to_the_end(counter, clock)
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (POSTPONED_SECONDS_MIN, POSTPONED_SECONDS_MAX)
    assert 3600 < sum(waits) <= 3600 + POSTPONED_SECONDS_MAX
    assert len(smart.requests) == 1
    assert counter.now(SECOND).status is Status.COMPLETED


def crashing(counter: Counter, message: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker takes up the vend and dies in the call."""

    def crash(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as defect, pytest.raises(ZeroDivisionError):
        defect.setattr("chalicelib.manufacturers.calin_smart.CalinSmart.vend", crash)
        counter.vend(message)


def test_the_second_vend_waits_while_the_first_is_in_doubt_and_goes_on_when_it_is_found(
    counter: Counter,
    cloud: Cloud,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    clock: FixedClock,
) -> None:
    smart.behaviours = [smart.lost]
    counter.vend(two[0])
    look = looking(counter)
    counter.vend(two[1])
    assert holder(cloud) == f"{FIRST}.1"
    assert len(smart.requests) == 1
    clock.move(timedelta(seconds=2))
    counter.vend(look)
    assert counter.now(FIRST).status is Status.COMPLETED
    come_back_to_the_end(counter, clock)
    assert counter.now(SECOND).status is Status.COMPLETED
    values = [counter.now(p).tokens[0].value for p in (FIRST, SECOND)]
    assert values == smart.issued
    assert differences(counter, "C1") == []


def looking(counter: Counter) -> dict[str, Any]:
    """The one message that is queued, taken off before its time."""
    counter.let_delays_pass()
    return counter.only("vends")


@pytest.mark.parametrize(
    ("first", "reason"), [(refusing, "vend_refused"), (hanging_up, "vend_uncertain")]
)
def test_the_second_vend_goes_on_when_the_first_waits_for_a_person(
    counter: Counter,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
    first: Any,
    reason: str,
) -> None:
    monkeypatch.setattr("chalicelib.services.vend.LOOKS_MAX", 1)
    smart.behaviours = [first]
    smart.look_behaviours = [unclear]
    counter.vend(two[0])
    come_back_to_the_end(counter, clock)
    assert counter.now(FIRST).reason == reason
    counter.vend(two[1])
    assert counter.now(SECOND).status is Status.COMPLETED


def test_while_the_first_is_tried_again_for_it_was_not_sent_the_meter_is_free(
    counter: Counter,
    cloud: Cloud,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    clock: FixedClock,
    process: Processes,
) -> None:
    cloud.put_secret("manufacturers/calin_smart", {})
    counter.vend(two[0])
    assert counter.now(FIRST).vend(1).state is VendState.REFUSED
    smart.put_secrets(cloud)
    counter.vend(two[1], by=process())
    assert counter.now(SECOND).status is Status.COMPLETED


# --- what a search may take ---------------------------------------------------------------------


def test_a_token_that_the_meter_already_has_is_never_taken_for_a_lost_one(
    counter: Counter,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    clock: FixedClock,
) -> None:
    """The list has one purchase that fits, a minute old; but that was the first payment's."""
    counter.vend(two[0])
    clock.move(timedelta(seconds=60))
    smart.behaviours = [hanging_up]
    counter.vend(two[1])
    come_back_to_the_end(counter, clock)
    first, second = counter.now(FIRST), counter.now(SECOND)
    assert [v.state for v in second.vends] == [VendState.VOID, VendState.DONE]
    assert [first.tokens[0].value, second.tokens[0].value] == smart.issued
    counter.send_all()
    assert (counter.told(FIRST), counter.told(SECOND)) == ([1], [2])


def test_several_purchases_that_fit_are_for_a_person(
    counter: Counter, asha: str, smart: FakeCalinSmart, clock: FixedClock
) -> None:
    def sell_twice(request: dict[str, Any]) -> Answer:
        smart.issue(request)
        return smart.lost(request)

    smart.behaviours = [sell_twice]
    counter.vend(settled(counter, METER, "T1"))
    come_back_to_the_end(counter, clock)
    payment = counter.now(FIRST)
    assert (payment.status, payment.reason, payment.tokens) == (Status.HELD, "vend_uncertain", ())


def test_a_replacement_holds_the_meter_as_its_own(
    counter: Counter, cloud: Cloud, asha: str, smart: FakeCalinSmart, clock: FixedClock
) -> None:
    def issue_and_look(request: dict[str, Any]) -> Answer:
        assert holder(cloud) == f"{FIRST}.2"
        return smart.issue(request)

    smart.behaviours = [hanging_up, issue_and_look]
    counter.vend(settled(counter, METER, "T1"))
    come_back_to_the_end(counter, clock)
    assert counter.now(FIRST).status is Status.COMPLETED
    assert holder(cloud) is None


# --- crashes --------------------------------------------------------------------------------------


def test_a_meter_that_was_not_given_free_after_the_answer_is_given_free_by_the_redelivery(
    counter: Counter,
    cloud: Cloud,
    wiring: Wiring,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    process: Processes,
) -> None:
    busy = process(busy_devices=Interrupted(wiring.busy_devices, release=[TryAgain()]))
    with pytest.raises(TryAgain):
        counter.vend(two[0], by=busy)
    assert counter.now(FIRST).status is Status.COMPLETED
    assert holder(cloud) == f"{FIRST}.1"
    counter.vend(two[0])
    assert holder(cloud) is None
    counter.vend(two[1])
    counter.run_dry()
    assert (counter.told(FIRST), counter.told(SECOND)) == ([1], [1])
    assert len(smart.requests) == 2


def test_a_redelivery_gives_the_meter_free_also_while_the_manufacturer_is_left_alone(
    counter: Counter,
    cloud: Cloud,
    wiring: Wiring,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    process: Processes,
) -> None:
    busy = process(busy_devices=Interrupted(wiring.busy_devices, release=[TryAgain()]))
    with pytest.raises(TryAgain):
        counter.vend(two[0], by=busy)
    for _ in range(5):
        wiring.breaker.failed("calin_smart")
    counter.vend(two[0])
    assert holder(cloud) is None


def test_a_message_that_comes_after_the_end_does_not_keep_the_meter(
    counter: Counter,
    cloud: Cloud,
    wiring: Wiring,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    process: Processes,
) -> None:
    """It has read the vend as open, and takes the device when the vend has just ended."""

    def the_other_ends() -> None:
        counter.vend(two[0])

    late = process(busy_devices=Interrupted(wiring.busy_devices, take=[the_other_ends]))
    counter.vend(two[0], by=late)
    assert holder(cloud) is None
    assert len(smart.requests) == 1


def test_a_device_that_cannot_be_taken_for_the_store_is_busy_calls_nobody(
    counter: Counter,
    wiring: Wiring,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    process: Processes,
) -> None:
    busy = process(busy_devices=Interrupted(wiring.busy_devices, take=[TryAgain()]))
    with pytest.raises(TryAgain):
        counter.vend(two[0], by=busy)
    assert smart.requests == []


def test_a_message_about_a_vend_that_there_is_not_takes_no_device(
    counter: Counter,
    cloud: Cloud,
    two: tuple[dict[str, Any], dict[str, Any]],
    diary: Diary,
) -> None:
    counter.vend({**two[0], "number": 2})
    assert diary.said("vend_missing") == [{"payment_id": FIRST, "vend": 2}]
    assert holder(cloud) is None


def test_a_crash_in_the_call_keeps_the_meter_until_it_is_found_out(
    counter: Counter,
    cloud: Cloud,
    two: tuple[dict[str, Any], dict[str, Any]],
    smart: FakeCalinSmart,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crashing(counter, two[0], monkeypatch)
    counter.vend(two[1])
    counter.let_delays_pass()
    second = counter.only("vends")
    assert smart.requests == []
    counter.vend(two[0])
    come_back(counter, clock)
    assert holder(cloud) == f"{FIRST}.1"
    come_back_to_the_end(counter, clock)
    counter.vend(second)
    assert {counter.now(p).status for p in (FIRST, SECOND)} == {Status.COMPLETED}
