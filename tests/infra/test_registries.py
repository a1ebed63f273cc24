"""Every channel and manufacturer has its module, its page, its tests and its fake."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from types import ModuleType

import pytest

from chalicelib.wiring import CHANNELS, MANUFACTURERS
from infra import channels
from infra.local.providers import PROVIDERS
from infra.local.vendors import VENDORS
from infra.manufacturers import PAGE, table
from infra.package import ROOT

WITHOUT_A_PROVIDER = {"direct", "cash", "agent", "imported", "wavecom", "sms_parser"}
"""Channels on which staff, partners or an SMS gateway tell us; tests play their part."""

SHARED = {"daraja_stk": "daraja"}
"""Channels of a provider that has another channel too: it has one fake."""


def name_of(path: str) -> str:
    return path.rpartition(".")[2]


@pytest.fixture(params=CHANNELS, ids=name_of)
def channel(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


@pytest.fixture(params=MANUFACTURERS, ids=name_of)
def manufacturer(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(request.param)


def test_every_module_is_in_its_registry() -> None:
    stems = {
        path.stem
        for path in (ROOT / "chalicelib/channels").glob("*.py")
        if "\nCHANNEL = " in path.read_text(encoding="utf-8")
    }
    assert stems == {name_of(path) for path in CHANNELS}
    modules = {
        path.stem
        for path in (ROOT / "chalicelib/manufacturers").glob("*.py")
        if "MANUFACTURERS = (" in path.read_text(encoding="utf-8")
    }
    assert modules == {name_of(path) for path in MANUFACTURERS}


DESIGNED = {
    *("direct", "daraja", "daraja_stk", "paystack", "vodacom_tz", "airtel_tz", "airtel_biller"),
    *("airtel", "vodacom_mz", "vodacom_mz_c2b", "wave_money", "swifta", "mesomb", "mtn_momo"),
    *("flutterwave_v3", "flutterwave_v4", "pesapal", "wavecom", "sms_parser", "agent", "cash"),
    "imported",
}
"""The channels that a company can be paid on."""


def test_every_channel_that_there_should_be_is_there() -> None:
    assert {name_of(path) for path in CHANNELS} == DESIGNED
    assert len(CHANNELS) == len(DESIGNED)


def test_the_page_of_all_channels_is_what_the_modules_say() -> None:
    assert channels.PAGE.read_text(encoding="utf-8") == channels.table(), "run: make channels"


def test_a_channel_says_all_that_people_must_know(channel: ModuleType) -> None:
    stated = channel.CHANNEL.stated
    assert all(getattr(stated, field.name) for field in fields(stated))
    assert not any("|" in str(getattr(stated, field.name)) for field in fields(stated))


def test_a_channel_has_its_page_and_its_tests(channel: ModuleType) -> None:
    key = channel.CHANNEL.key
    assert name_of(channel.__name__) == key
    assert (ROOT / f"docs/channels/{key}.md").exists()
    assert (ROOT / f"tests/unit/channels/test_{key}.py").exists()
    assert f"docs/channels/{key}.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_channel_with_a_provider_has_a_fake_of_it(channel: ModuleType) -> None:
    key = channel.CHANNEL.key
    assert (SHARED.get(key, key) in PROVIDERS) == (key not in WITHOUT_A_PROVIDER)
    assert not channel.CHANNEL.can_refund or hasattr(channel, "make")
    assert not channel.CHANNEL.lists_payments or hasattr(channel, "make")
    assert channel.CHANNEL.payer_needs in (None, "phone", "email")


def test_a_manufacturer_has_its_page_and_its_tests(manufacturer: ModuleType) -> None:
    name = name_of(manufacturer.__name__)
    assert (ROOT / f"docs/manufacturers/{name}.md").exists()
    assert (ROOT / f"tests/unit/manufacturers/test_{name}.py").exists()
    assert f"docs/manufacturers/{name}.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_manufacturer_that_is_called_has_a_fake(manufacturer: ModuleType) -> None:
    for stated in manufacturer.MANUFACTURERS:
        assert stated.local != (stated.key in VENDORS)


def test_no_two_manufacturers_have_one_key_or_one_id() -> None:
    stated = [m for path in MANUFACTURERS for m in import_module(path).MANUFACTURERS]
    assert len({m.key for m in stated}) == len({m.manufacturer_id for m in stated}) == len(stated)


def test_the_page_of_all_manufacturers_is_what_the_modules_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == table(), "run: make manufacturers"


def test_a_manufacturer_that_is_called_says_how_it_knows_us_and_what_is_unverified(
    manufacturer: ModuleType,
) -> None:
    for stated in manufacturer.MANUFACTURERS:
        assert bool(stated.unverified) == (not stated.local), stated.key
        assert stated.authentication.startswith("none") == stated.local, stated.key
