"""A manufacturer that keeps tariffs of its own is told ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.api import workers
from chalicelib.domain.tariff import Rate
from chalicelib.wiring import Wiring
from tests.integration.company import Company, FixedClock
from tests.integration.conftest import Cloud
from tests.integration.vendor import NO_CONNECTION, FakeGomeLong, unclear


def synced(wiring: Wiring, key: Any = "gomelong") -> dict[str, Any]:
    """What came of it."""
    return workers.sync_tariffs({"manufacturer": key}, wiring)


def test_every_tariff_is_told_with_the_price_that_is_in_force(
    cloud: Cloud,
    company: Company,
    wiring: Wiring,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = wiring.tariffs.get(company.tariff("Mill", fee=None, price=80))
    assert before is not None
    later = Rate(clock.now() + timedelta(days=1), Fraction(9950))
    wiring.tariffs.update(before, replace(before, rates=(*before.rates, later)))
    monkeypatch.setattr("chalicelib.services.sync_tariffs.PAGE", 1)
    with FakeGomeLong() as vendor:
        vendor.put_secrets(cloud)
        assert synced(wiring) == {
            "manufacturer": "gomelong",
            "code": "ok",
            "detail": "",
            "tariffs": {"Home": "added", "Mill": "added"},
        }
        assert vendor.tariffs == {"Home": "100", "Mill": "80"}
        assert set(synced(wiring)["tariffs"].values()) == {"same"}
        clock.move(timedelta(days=1))
        assert synced(wiring)["tariffs"] == {"Home": "same", "Mill": "changed"}
        assert vendor.tariffs["Mill"] == "99.5"


def test_what_goes_wrong_is_told_and_goes_on_the_next_time(
    cloud: Cloud, company: Company, process: Callable[[], Wiring]
) -> None:
    assert synced(process())["code"] == "secret_missing"
    with FakeGomeLong() as vendor:
        vendor.put_secrets(cloud, NO_CONNECTION)
        assert synced(process())["code"] == "vendor_unreachable"
        vendor.put_secrets(cloud)
        vendor.behaviours = [unclear]
        assert synced(process())["code"] == "vendor_silent"
        assert vendor.tariffs == {}
        assert synced(process())["code"] == "ok"


@pytest.mark.parametrize("key", ["calin", "openpaygo", "sunking"])
def test_others_keep_no_tariffs(wiring: Wiring, key: str) -> None:
    assert synced(wiring, key)["code"] == "not_offered"


def test_an_unknown_manufacturer_is_told(wiring: Wiring) -> None:
    assert synced(wiring, "nobody")["code"] == "unknown_manufacturer"
    assert workers.sync_tariffs([], wiring)["code"] == "unknown_manufacturer"
