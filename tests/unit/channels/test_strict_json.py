"""JSON from strangers is read exactly, or not at all."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels.strict_json import Malformed, Number, read_object, written


def test_numbers_keep_every_digit_as_they_were_written():
    body = b'{"a": 250.10, "b": 12345678901234567890123, "c": 1e400, "d": -0}'
    assert read_object(body) == {
        "a": Number("250.10"),
        "b": Number("12345678901234567890123"),
        "c": Number("1e400"),
        "d": Number("-0"),
    }


def test_numbers_of_any_length_are_read_without_computing_them():
    digits = "9" * 60_000
    assert read_object(b'{"a": %s}' % digits.encode()) == {"a": Number(digits)}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b'{"a": 1,}',
        b'{"a": 1} x',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 1}',
        b'{"b": {"a": 1, "a": 2}}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "line\nbreak"}',
        b"[" * 60_000,
        b'{"a":' * 12_000,
    ],
)
def test_what_programs_may_read_differently_is_malformed(body: bytes):
    with pytest.raises(Malformed):
        read_object(body)


def test_the_error_does_not_quote_the_body():
    with pytest.raises(Malformed) as error:
        read_object(b'{"password": "s3cret" oops}')
    assert "s3cret" not in str(error.value)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_any_bytes_are_an_object_or_malformed(body: bytes):
    with suppress(Malformed):
        assert isinstance(read_object(body), dict)


def test_numbers_are_written_to_their_last_digit():
    body = {"a": Number("2500.10"), "b": {"c": Number("12345678901234567890.5")}, "d": ["é", None]}
    assert written(body) == (
        '{"a": 2500.10, "b": {"c": 12345678901234567890.5}, "d": ["\\u00e9", null]}'
    )
