"""What customers type as serial number, and what becomes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import InvalidSerial
from chalicelib.domain.serial import normalise_serial
from chalicelib.services.claimed_serial import claimed_serial


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" sm-5r 00123 ", "SM5R00123"),
        ("0047", "0047"),
        ("", "?"),
        ("   ", "?"),
        ("pay for é", "pay for é"),
        ("  *123#  ", "*123#"),
        ("a\x00é", "a?é"),
    ],
)
def test_a_serial_is_normalised_and_anything_else_stays_readable(typed: str, kept: str):
    assert claimed_serial(typed) == kept


def test_a_text_that_is_too_long_never_becomes_the_serial_it_begins_with():
    assert claimed_serial("A" * 41) == "A" * 39 + "?"


def test_a_serial_lost_in_spaces_is_not_found_by_trimming_them():
    text = "SM5R00123" + " " * 300
    with pytest.raises(InvalidSerial):
        normalise_serial(text)
    assert claimed_serial(text) == "SM5R00123?"


@given(st.text(max_size=260))
def test_the_kept_text_names_a_device_only_if_the_typed_one_does(typed: str):
    kept = claimed_serial(typed)
    assert 1 <= len(kept) <= 40
    assert kept.isprintable()
    kept.encode()
    try:
        assert normalise_serial(typed) == kept
    except InvalidSerial:
        with pytest.raises(InvalidSerial):
            normalise_serial(kept)
