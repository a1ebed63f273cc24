"""The normal form of serial numbers."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import InvalidSerial
from chalicelib.domain.serial import normalise_serial


@pytest.mark.parametrize(
    ("text", "serial"),
    [
        ("SM12", "SM12"),
        ("  sm-12 34 ", "SM1234"),
        ("000123", "000123"),
        ("a.b_c/d", "A.B_C/D"),
        ("12\u201334\u201456\u221278\u00ad9", "123456789"),
        ("12\u00a034\u200356\u200b7\ufeff", "1234567"),
        ("12\t34\n", "1234"),
        ("\uff11\uff12\uff13\uff21\uff22", "123AB"),
        ("K\u212a", "KK"),
        ("1" * 40, "1" * 40),
        ("1 " * 40, "1" * 40),
    ],
)
def test_a_serial_number_has_one_normal_form(text: str, serial: str) -> None:
    assert normalise_serial(text) == serial


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "---", "1" * 41, " " * 201 + "1"),
        *("A+B", "A#1", "A,B", "A:B", "A\\B", "A\x00", "\ud800"),
        *("stra\u00dfe", "m\u01311", "\u0661\u0662", "\u04161"),
    ],
)
def test_what_cannot_be_a_serial_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidSerial) as refused:
        normalise_serial(text, field="device.serial_number")
    assert refused.value.field == "device.serial_number"
    assert refused.value.code == "invalid"


@pytest.mark.parametrize("value", [None, 12, 1.5, b"12", True])
def test_what_is_not_a_text_is_no_serial_number(value: object) -> None:
    with pytest.raises(InvalidSerial):
        normalise_serial(value)


@given(st.text(max_size=60))
def test_any_text_is_refused_or_brought_into_a_form_that_stays(text: str) -> None:
    try:
        serial = normalise_serial(text)
    except InvalidSerial:
        return
    assert re.fullmatch(r"[A-Z0-9._/]{1,40}", serial)
    assert normalise_serial(serial) == serial
    assert normalise_serial(serial.lower()) == serial
    assert normalise_serial(f" {'-'.join(serial)} ") == serial
    kept = [c for c in unicodedata.normalize("NFKC", text) if c.isalnum()]
    assert [c for c in serial if c.isalnum()] == [c.upper() for c in kept]
