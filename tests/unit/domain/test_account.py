"""The account: finding, putting in, replacing, its limits; and the errors' words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.domain.account import DEVICES_MAX, OPEN_PLANS_MAX, Tenure
from chalicelib.domain.errors import AccountFull, Refusal, Refused
from tests.unit.domain.examples import METER, NOW, SHS, TODAY, account, days, meter, shs, tv, weekly


def test_devices_and_plans_are_found_by_their_ids() -> None:
    who = account(meter(), shs(), weekly(TODAY), tv(TODAY))
    assert who.device(SHS) == shs()
    assert who.device("X") is None
    assert who.plan("p-tv") == tv(TODAY)
    assert who.plan("p-x") is None
    assert who.plan_of(SHS) == weekly(TODAY)
    assert who.plan_of(METER) is None


def test_a_record_that_is_there_is_replaced_in_its_place() -> None:
    who = account(meter(), shs(), weekly(TODAY), tv(TODAY))
    paid = replace(weekly(TODAY), paid_minor=5)
    changed = who.with_device(meter(fees_paid_minor=7)).with_plan(paid)
    assert [device.fees_paid_minor for device in changed.devices] == [7, 0]
    assert [plan.paid_minor for plan in changed.plans] == [5, 0]


def test_a_record_that_is_new_is_put_at_the_end() -> None:
    who = account(shs()).with_device(meter()).with_plan(tv(TODAY))
    assert [device.serial_number for device in who.devices] == [SHS, METER]
    assert [plan.plan_id for plan in who.plans] == ["p-tv"]
    assert who.without_plan("p-tv").plans == ()


def test_an_account_is_full_at_100_devices_and_50_open_plans() -> None:
    devices = [meter(f"M{number}") for number in range(DEVICES_MAX)]
    plans = [tv(TODAY, plan_id=f"p-{number}") for number in range(OPEN_PLANS_MAX)]
    full = account(*devices, *plans)
    assert full.with_device(meter("M0", fees_paid_minor=1)).devices[0].fees_paid_minor == 1
    assert full.with_plan(replace(plans[0], paid_minor=1)).plans[0].paid_minor == 1
    with pytest.raises(AccountFull, match="100 devices"):
        full.with_device(meter("M100"))
    with pytest.raises(AccountFull, match="50 open plans"):
        full.with_plan(tv(TODAY, plan_id="p-50"))


def test_every_change_makes_the_next_version() -> None:
    assert account(version=4).next_version().version == 5


def test_a_meter_has_a_tariff_while_a_tenure_lasts() -> None:
    ended = Tenure(1, NOW - days(9), NOW - days(2))
    assert not meter(tenures=(ended,)).has_tariff
    assert meter(tenures=(ended, Tenure(2, NOW))).has_tariff


def test_the_tenure_at_a_moment_is_the_last_that_had_begun_else_the_first() -> None:
    first, second = Tenure(1, NOW, NOW + days(2)), Tenure(2, NOW + days(5))
    device = meter(tenures=(first, second))
    found = [device.tenure_at(NOW + days(day)) for day in (-1, 0, 3, 5, 9)]
    assert found == [first, first, first, second, second]
    assert meter(tenures=()).tenure_at(NOW) is None


def test_a_refusal_has_its_own_code() -> None:
    refused = Refused(Refusal.NO_TARIFF)
    assert (refused.code, refused.detail) == ("no_tariff", "no_tariff")
    assert Refused(Refusal.TOO_SMALL, "at least 10").detail == "at least 10"
