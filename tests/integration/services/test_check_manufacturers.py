"""Whether a manufacturer takes our credentials is asked by calls that sell nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.api import workers
from chalicelib.wiring import Wiring
from tests.integration.company import FixedClock
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import Diary
from tests.integration.vendor import (
    NO_CONNECTION,
    FakeDalyBms,
    FakeSparkMeter,
    FakeSparkShs,
    FakeSteama,
    FakeStron,
    FakeSunKing,
    FakeVendor,
    unclear,
)

CHECKABLE: dict[str, Callable[[], FakeVendor]] = {
    "sunking": FakeSunKing,
    "spark_shs": FakeSparkShs,
    "steama": lambda: FakeSteama(FixedClock().now),
    "daly_bms": FakeDalyBms,
    "stron": FakeStron,
    "sparkmeter": FakeSparkMeter,
}

every_checkable = pytest.mark.parametrize("key", list(CHECKABLE))


def checked(wiring: Wiring, key: Any, **more: Any) -> str:
    """The code of a check."""
    return workers.check_manufacturer({"manufacturer": key, **more}, wiring)["code"]


@every_checkable
def test_good_credentials_are_told_and_nothing_is_sold(
    cloud: Cloud, wiring: Wiring, diary: Diary, key: str
) -> None:
    with CHECKABLE[key]() as vendor:
        vendor.put_secrets(cloud)
        assert checked(wiring, key) == "ok"
        assert checked(wiring, key) == "ok"
        assert len(vendor.looks) == 2, "a session that was kept proves nothing"
        assert vendor.requests == vendor.issued == []
    assert diary.said("manufacturer_checked")[0] == {"manufacturer": key, "code": "ok"}


@every_checkable
def test_a_vendor_that_does_not_say_yes_is_told(cloud: Cloud, wiring: Wiring, key: str) -> None:
    with CHECKABLE[key]() as vendor:
        vendor.put_secrets(cloud)
        vendor.look_behaviours = [unclear]
        assert checked(wiring, key) in ("vendor_unreachable", "vendor_silent")


@every_checkable
def test_nobody_at_the_other_end_and_no_secret_are_told(
    cloud: Cloud, process: Callable[[], Wiring], key: str
) -> None:
    assert checked(process(), key) == "secret_missing"
    with CHECKABLE[key]() as vendor:
        vendor.put_secrets(cloud, NO_CONNECTION)
    assert checked(process(), key) == "vendor_unreachable"


def test_credentials_that_are_refused_are_told(cloud: Cloud, wiring: Wiring) -> None:
    with FakeSunKing() as vendor:
        vendor.put_secrets(cloud)
        vendor.look_behaviours = [lambda _: (401, {})]
        assert checked(wiring, "sunking") == "authentication_failed"


@pytest.mark.parametrize("key", ["calin", "openpaygo", "stron_v3", "demo_meter"])
def test_what_cannot_be_asked_without_a_sale_is_not_asked(wiring: Wiring, key: str) -> None:
    assert checked(wiring, key) == "not_offered"


@pytest.mark.parametrize("key", ["nobody", "", None, 7])
def test_an_unknown_manufacturer_is_told(wiring: Wiring, key: Any) -> None:
    assert checked(wiring, key) == "unknown_manufacturer"
    assert workers.check_manufacturer([], wiring)["code"] == "unknown_manufacturer"


BY_DEVICE = ["angaza", "calin_smart", "chint", "gomelong_v1", "microstar"]


@pytest.mark.parametrize("key", BY_DEVICE)
def test_who_can_be_asked_about_a_device_only_needs_one(wiring: Wiring, key: str) -> None:
    for none in ({}, {"serial_number": ""}, {"serial_number": None}):
        assert checked(wiring, key, **none) == "serial_number_needed"
    assert checked(wiring, key, serial_number="47001") == "secret_missing"
