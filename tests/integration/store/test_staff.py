"""Staff and their log-ins."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.services.ports import NameTaken, Session, StaffMember, VersionConflict
from chalicelib.store.staff import DynamoSessions, DynamoStaff
from tests.integration.conftest import Cloud
from tests.integration.store.examples import NOW

pytestmark = pytest.mark.usefixtures("cloud")

AMINA = StaffMember("amina@example.org", "scrypt$salt$hash", ("office", "finance"))


def test_a_member_is_found_whatever_the_case_of_the_address() -> None:
    staff = DynamoStaff()
    staff.create(replace(AMINA, email="Amina@Example.org"))
    assert staff.get("AMINA@example.ORG") == AMINA
    assert staff.get("nobody@example.org") is None


def test_an_address_is_taken_once() -> None:
    staff = DynamoStaff()
    staff.create(AMINA)
    with pytest.raises(NameTaken):
        staff.create(replace(AMINA, email="AMINA@example.org", password_hash="other"))
    assert staff.get(AMINA.email) == AMINA


def test_what_is_known_of_a_member_comes_back() -> None:
    staff = DynamoStaff()
    locked = replace(
        AMINA, active=False, must_change_password=True, failed_logins=3, blocked_until=NOW
    )
    staff.create(locked)
    assert staff.get(AMINA.email) == locked


def test_of_two_who_save_a_member_the_second_is_told() -> None:
    staff = DynamoStaff()
    staff.create(AMINA)
    written = staff.save(replace(AMINA, failed_logins=1))
    assert written.revision == 2
    with pytest.raises(VersionConflict):
        staff.save(replace(AMINA, failed_logins=9))
    assert staff.get(AMINA.email) == written


def test_a_member_who_is_not_there_cannot_be_saved() -> None:
    with pytest.raises(VersionConflict):
        DynamoStaff().save(AMINA)
    assert DynamoStaff().get(AMINA.email) is None


def test_a_session_lives_until_it_is_deleted(cloud: Cloud) -> None:
    sessions = DynamoSessions()
    expires_at = (NOW + timedelta(hours=12)).replace(microsecond=0)
    session = Session("a" * 64, AMINA.email, ("field",), expires_at)
    sessions.put(session)
    assert sessions.get(session.token_hash) == session
    item = cloud.item("sessions", token_hash=session.token_hash)
    assert item
    assert item["expires_at"] == {"N": str(int(expires_at.timestamp()))}, "for the time to live"
    sessions.delete(session.token_hash)
    assert sessions.get(session.token_hash) is None
    sessions.delete(session.token_hash)
