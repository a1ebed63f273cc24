"""Circuit breakers and busy devices in DynamoDB: one item each, and of two writers one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.domain.circuit import Circuit
from chalicelib.services.ports import OutcomeUnknown, TryAgain, VersionConflict
from chalicelib.store.dynamodb import TRIES_MAX
from chalicelib.store.vending import DynamoBusyDevices, DynamoCircuits
from tests.integration.conftest import Cloud
from tests.integration.store.faults import READ_TIMEOUT, DoneBut, answered, dynamodb_answers
from tests.integration.store.ledger_of_requests import LedgerOfRequests

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
WHOLE = Circuit("calin", 7, 2, NOW, NOW + timedelta(seconds=30))


@pytest.fixture
def circuits(cloud: Cloud) -> DynamoCircuits:
    """Circuit breakers, none stored."""
    return DynamoCircuits()


@pytest.fixture
def busy_devices(cloud: Cloud) -> DynamoBusyDevices:
    """Busy devices, none."""
    return DynamoBusyDevices()


# --- circuits -------------------------------------------------------------------------------------


def test_a_circuit_that_was_never_written_is_sound(
    circuits: DynamoCircuits, ledger: LedgerOfRequests
) -> None:
    assert circuits.get("calin") == Circuit("calin")
    assert ledger.operations == ["GetItem"]


@pytest.mark.parametrize("circuit", [WHOLE, Circuit("calin"), Circuit("calin", 1)], ids=str)
def test_a_circuit_comes_back_as_it_was_written_one_revision_further(
    circuits: DynamoCircuits, ledger: LedgerOfRequests, circuit: Circuit
) -> None:
    written = circuits.save(circuit)
    assert written == replace(circuit, revision=1)
    assert circuits.get("calin") == written
    assert (ledger.operations, ledger.write_units) == (["PutItem", "GetItem"], 1)


def test_what_is_over_is_not_left_in_the_item(circuits: DynamoCircuits) -> None:
    circuits.save(WHOLE)
    circuits.save(Circuit("calin", revision=1))
    assert circuits.get("calin") == Circuit("calin", revision=2)


def test_circuits_of_different_manufacturers_are_different_items(circuits: DynamoCircuits) -> None:
    circuits.save(WHOLE)
    assert circuits.get("sparkmeter") == Circuit("sparkmeter")


@pytest.mark.parametrize("stale", [0, 1, 3])
def test_a_circuit_that_somebody_else_changed_is_not_written(
    circuits: DynamoCircuits, stale: int
) -> None:
    latest = circuits.save(circuits.save(WHOLE))
    with pytest.raises(VersionConflict):
        circuits.save(replace(WHOLE, failures=9, revision=stale))
    assert circuits.get("calin") == latest


def test_of_many_writers_of_one_circuit_one_writes(circuits: DynamoCircuits) -> None:
    circuits.save(WHOLE)

    def save(failures: int) -> bool:
        try:
            circuits.save(replace(WHOLE, failures=failures, revision=1))
        except VersionConflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(save, range(8))) == 1
    assert circuits.get("calin").revision == 2


def test_a_store_in_trouble_is_told_apart_from_a_conflict(
    circuits: DynamoCircuits, pauses: list[float]
) -> None:
    throttled = [answered("ThrottlingException")] * TRIES_MAX
    with dynamodb_answers(*throttled), pytest.raises(TryAgain):
        circuits.save(WHOLE)
    with dynamodb_answers(DoneBut(READ_TIMEOUT)), pytest.raises(OutcomeUnknown):
        circuits.save(WHOLE)
    with dynamodb_answers(READ_TIMEOUT), pytest.raises(TryAgain):
        circuits.get("calin")


# --- busy devices ---------------------------------------------------------------------------------


def test_a_free_device_is_taken_in_one_request_and_then_nobody_else_gets_it(
    busy_devices: DynamoBusyDevices, ledger: LedgerOfRequests
) -> None:
    assert busy_devices.take("47001", "p1.1", NOW, LATER)
    assert (ledger.operations, ledger.write_units) == (["PutItem"], 1)
    assert not busy_devices.take("47001", "p2.1", NOW, LATER)
    assert busy_devices.take("47002", "p2.1", NOW, LATER)


def test_whoever_has_it_may_take_it_again_for_longer(busy_devices: DynamoBusyDevices) -> None:
    busy_devices.take("47001", "p1.1", NOW, NOW + timedelta(minutes=1))
    assert busy_devices.take("47001", "p1.1", NOW, LATER)
    assert not busy_devices.take("47001", "p2.1", NOW + timedelta(minutes=2), LATER)


def test_a_hold_ends_with_its_time_and_not_a_moment_before(
    busy_devices: DynamoBusyDevices,
) -> None:
    busy_devices.take("47001", "p1.1", NOW, LATER)
    assert not busy_devices.take("47001", "p2.1", LATER, LATER + timedelta(hours=1))
    just_after = LATER + timedelta(microseconds=1)
    assert busy_devices.take("47001", "p2.1", just_after, just_after + timedelta(hours=1))


def test_only_its_holder_gives_a_device_free(
    busy_devices: DynamoBusyDevices, ledger: LedgerOfRequests
) -> None:
    busy_devices.take("47001", "p1.1", NOW, LATER)
    busy_devices.release("47001", "p2.1")
    assert not busy_devices.take("47001", "p2.1", NOW, LATER)
    ledger.clear()
    busy_devices.release("47001", "p1.1")
    assert ledger.operations == ["DeleteItem"]
    assert busy_devices.take("47001", "p2.1", NOW, LATER)


def test_giving_free_what_nobody_has_does_nothing(
    busy_devices: DynamoBusyDevices, cloud: Cloud
) -> None:
    busy_devices.release("47001", "p1.1")
    assert cloud.item("busy_devices", serial_number="47001") is None


def test_of_many_that_want_a_device_one_gets_it(busy_devices: DynamoBusyDevices) -> None:
    def take(number: int) -> bool:
        return busy_devices.take("47001", f"p{number}.1", NOW, LATER)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(take, range(8))) == 1


def test_a_device_that_was_taken_unseen_is_the_holders_when_it_asks_again(
    busy_devices: DynamoBusyDevices, pauses: list[float]
) -> None:
    with dynamodb_answers(DoneBut(READ_TIMEOUT)), pytest.raises(OutcomeUnknown):
        busy_devices.take("47001", "p1.1", NOW, LATER)
    assert busy_devices.take("47001", "p1.1", NOW, LATER)
    with dynamodb_answers(DoneBut(READ_TIMEOUT)), pytest.raises(OutcomeUnknown):
        busy_devices.release("47001", "p1.1")
    busy_devices.release("47001", "p1.1")
    assert busy_devices.take("47001", "p2.1", NOW, LATER)


def test_a_store_that_stays_busy_says_so(
    busy_devices: DynamoBusyDevices, pauses: list[float]
) -> None:
    throttled = [answered("ThrottlingException")] * TRIES_MAX
    with dynamodb_answers(*throttled), pytest.raises(TryAgain):
        busy_devices.take("47001", "p1.1", NOW, LATER)
    with dynamodb_answers(*throttled), pytest.raises(TryAgain):
        busy_devices.release("47001", "p1.1")
