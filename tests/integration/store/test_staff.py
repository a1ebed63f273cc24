"""Log-ins, and wrong tries at logging in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.services.ports import Session, VersionConflict, WrongTries
from chalicelib.store.staff import DynamoSessions, DynamoWrongTries
from tests.integration.conftest import Cloud
from tests.integration.store.examples import NOW

pytestmark = pytest.mark.usefixtures("cloud")

WHOLE_SECONDS = NOW.replace(microsecond=0)
TRIES = WrongTries("email#1", 3, NOW, WHOLE_SECONDS + timedelta(days=1), revision=0)
SESSION = Session(
    "a" * 64, "u1", "amina@example.org", ("field",), WHOLE_SECONDS + timedelta(hours=12), NOW
)


def test_wrong_tries_are_found_by_whose_they_are() -> None:
    store = DynamoWrongTries()
    store.save(TRIES)
    assert store.of(["email#1", "address#1"]) == [replace(TRIES, revision=1)]


def test_of_two_who_count_at_once_the_second_is_told() -> None:
    store = DynamoWrongTries()
    store.save(TRIES)
    with pytest.raises(VersionConflict):
        store.save(TRIES)
    store.save(replace(TRIES, tries=4, revision=1))
    with pytest.raises(VersionConflict):
        store.save(replace(TRIES, tries=9, revision=1))
    assert [found.tries for found in store.of(["email#1"])] == [4]


def test_forgotten_tries_are_gone_and_may_be_forgotten_again() -> None:
    store = DynamoWrongTries()
    store.save(TRIES)
    store.forget("email#1")
    store.forget("email#1")
    assert store.of(["email#1"]) == []


def test_wrong_tries_have_a_time_to_live(cloud: Cloud) -> None:
    DynamoWrongTries().save(TRIES)
    item = cloud.item("wrong_tries", whose="email#1")
    assert item and item["forget_at"] == {"N": str(int(TRIES.forget_at.timestamp()))}


def test_a_session_lives_until_it_is_deleted(cloud: Cloud) -> None:
    sessions = DynamoSessions()
    sessions.put(SESSION)
    assert sessions.get(SESSION.token_hash) == SESSION
    item = cloud.item("sessions", token_hash=SESSION.token_hash)
    assert item
    expires_at = str(int(SESSION.expires_at.timestamp()))
    assert item["expires_at"] == {"N": expires_at}, "for the time to live"
    sessions.delete(SESSION.token_hash)
    assert sessions.get(SESSION.token_hash) is None
    sessions.delete(SESSION.token_hash)


def test_a_session_is_renewed_as_long_as_it_is_there() -> None:
    sessions = DynamoSessions()
    sessions.put(SESSION)
    later = replace(SESSION, roles=("office",), checked_at=NOW + timedelta(seconds=30))
    assert sessions.renew(later)
    assert sessions.get(SESSION.token_hash) == later
    sessions.delete(SESSION.token_hash)
    assert not sessions.renew(later)
    assert sessions.get(SESSION.token_hash) is None
