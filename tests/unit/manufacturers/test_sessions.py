"""Sessions with vendors are kept while they are good, and renewed once when refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.manufacturers.sessions import Sessions
from chalicelib.runtime.sessions import LIFETIME_MAX, SPARE, Session, SessionRefused
from chalicelib.services.ports import VendRefused, VendUncertain

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


class Vendor:
    """Gives out sessions ``s1``, ``s2`` …, and refuses those that it is told to."""

    def __init__(self, lifetime: timedelta | None = None) -> None:
        self.now = NOW
        self.sessions = Sessions(lambda: self.now)
        self.lifetime = lifetime
        self.log_ins = 0
        self.refused: set[str] = set()

    def log_in(self) -> Session:
        self.log_ins += 1
        return Session(f"s{self.log_ins}", self.lifetime)

    def work(self, token: str) -> str:
        if token in self.refused:
            raise SessionRefused
        return token

    def call(self, credentials: str = "us") -> str:
        return self.sessions.call(credentials, self.log_in, self.work)


def test_a_session_is_used_until_shortly_before_it_ends() -> None:
    vendor = Vendor(timedelta(minutes=10))
    assert [vendor.call(), vendor.call()] == ["s1", "s1"]
    vendor.now += timedelta(minutes=10) - SPARE - timedelta(seconds=1)
    assert vendor.call() == "s1"
    vendor.now += timedelta(seconds=1)
    assert vendor.call() == "s2"


@pytest.mark.parametrize("lifetime", [None, timedelta(days=3650)])
def test_a_session_without_an_end_is_renewed_twice_a_day(lifetime: timedelta | None) -> None:
    vendor = Vendor(lifetime)
    vendor.call()
    vendor.now += LIFETIME_MAX
    assert vendor.call() == "s2"


def test_a_session_that_is_refused_is_renewed_once() -> None:
    vendor = Vendor()
    vendor.call()
    vendor.refused = {"s1"}
    assert vendor.call() == "s2"
    assert vendor.log_ins == 2


def test_a_new_session_that_is_refused_is_a_refusal() -> None:
    vendor = Vendor()
    vendor.refused = {"s1", "s2", "s3"}
    with pytest.raises(VendRefused) as refused:
        vendor.call()
    assert (refused.value.code, vendor.log_ins) == ("authentication_failed", 1)
    with pytest.raises(VendRefused):
        vendor.call()
    assert vendor.log_ins == 2, "the refused one is not kept"


def test_other_credentials_are_another_session() -> None:
    vendor = Vendor()
    assert [vendor.call("us"), vendor.call("them"), vendor.call("them")] == ["s1", "s2", "s2"]


def test_what_goes_wrong_otherwise_changes_nothing() -> None:
    vendor = Vendor()
    vendor.call()

    def uncertain(_: str) -> str:
        raise VendUncertain

    with pytest.raises(VendUncertain):
        vendor.sessions.call("us", vendor.log_in, uncertain)
    assert vendor.call() == "s1"
