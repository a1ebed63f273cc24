"""Demo devices: tokens that look like tokens, and that production does not have."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError
from chalicelib.manufacturers.demo import MANUFACTURERS, make
from chalicelib.services.ports import Device, VendRefused
from chalicelib.wiring import Wiring

METER, SHS = (m.key for m in MANUFACTURERS)


def device(key: str = METER, serial_number: str = "D1") -> Device:
    """A demo device."""
    kind = Kind.METER if key == METER else Kind.SHS
    return Device(serial_number, kind, key, 1, date(2026, 3, 10))


def test_the_same_count_gives_the_same_token_and_the_next_another() -> None:
    meter = make(METER, lambda _: {})
    first = meter.issue(device(), VendKind.ENERGY, Fraction(5), 0)
    assert first == meter.issue(device(), VendKind.ENERGY, Fraction(5), 0)
    assert len(first.value) == 12 and first.value.isdigit()
    assert first.count == 1
    others = {
        meter.issue(device(), VendKind.ENERGY, Fraction(5), 1).value,
        meter.issue(device(), VendKind.ENERGY, Fraction(6), 0).value,
        meter.issue(device(serial_number="D2"), VendKind.ENERGY, Fraction(5), 0).value,
    }
    assert len(others | {first.value}) == 4


def test_each_kind_has_the_tokens_of_its_kind() -> None:
    shs = make(SHS, lambda _: {})
    assert shs.issue(device(SHS), VendKind.UNLOCK, None, 3).count == 4
    with pytest.raises(VendRefused, match="not_offered"):
        shs.issue(device(SHS), VendKind.ENERGY, Fraction(1), 0)
    assert shs.rules(device(SHS), VendKind.TIME).step == 1


def test_there_is_nothing_to_enter() -> None:
    meter = make(METER, lambda _: {})
    assert meter.seal("D1", {}) == ({}, 0)
    assert meter.reveal(device()) == {}
    with pytest.raises(FieldError):
        meter.seal("D1", {"secret_key": "x"})


def test_production_does_not_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {METER, SHS} <= {m.key for m in Wiring().manufacturers.all()}
    monkeypatch.setenv("MWANGA_STAGE", "production")
    real = Wiring().manufacturers
    assert not {METER, SHS} & {m.key for m in real.all()}
    with pytest.raises(KeyError):
        real.get(METER)
