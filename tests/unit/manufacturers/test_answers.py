"""Asking a vendor and reading its answer: what is clear, and what is not."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import MwangaError
from chalicelib.manufacturers.answers import ask, fields_of, require_success, rows_of, words_of
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import VendorSilent, VendorUnreachable, VendUncertain
from tests.unit.scripted_server import answering, sending, serving


def test_an_answer_is_handed_on_as_it_came():
    with serving(answering(b"{}", status="418 Tea")) as server:
        assert ask("GET", server.url, {}, 5) == Answer(418, b"{}")


def test_a_vendor_that_cannot_be_reached_was_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(VendorUnreachable):
        ask("GET", f"http://127.0.0.1:{port}", {}, 5)


@pytest.mark.parametrize("data", [b"", b"garbage", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"])
def test_a_question_without_a_whole_answer_met_silence(data: bytes):
    with serving(sending(data)) as server, pytest.raises(VendorSilent):
        ask("GET", server.url, {}, 5)


@pytest.mark.parametrize("status", [100, 199, 300, 302, 404, 500])
def test_only_a_2xx_is_a_success(status: int):
    require_success(Answer(200, b""))
    require_success(Answer(299, b""))
    with pytest.raises(VendUncertain, match=f"HTTP status {status}"):
        require_success(Answer(status, b""))


@pytest.mark.parametrize(
    ("status", "silent"),
    [
        (199, False),
        (302, False),
        (400, False),
        (401, False),
        (404, False),
        (408, True),
        (409, False),
        (425, True),
        (429, True),
        (499, False),
        (500, True),
        (503, True),
        (599, True),
    ],
)
def test_a_server_that_is_broken_or_busy_is_as_good_as_silent(status: int, silent: bool):
    with pytest.raises(VendUncertain) as uncertain:
        require_success(Answer(status, b""))
    assert isinstance(uncertain.value, VendorSilent) is silent


def test_an_object_is_read_without_rounding_its_numbers():
    body = b'{"a": 12.30, "b": 90071992547409931, "c": {"d": null}}'
    assert fields_of(Answer(200, body)) == {"a": "12.30", "b": 90071992547409931, "c": {"d": None}}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"<html>",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": "\xff"}',
        b'{"a": 1}}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a":' * 50_000,
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_what_is_not_one_clear_object_is_a_broken_servers(body: bytes):
    with pytest.raises(VendorSilent):
        fields_of(Answer(200, body))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_any_body_is_an_object_or_a_broken_servers(body: bytes):
    try:
        fields = fields_of(Answer(200, body))
    except MwangaError as error:
        assert isinstance(error, VendorSilent)
    else:
        assert isinstance(fields, dict)


def test_a_list_of_objects_is_read_without_rounding_its_numbers():
    assert rows_of(Answer(200, b'[{"a": 12.30}, {}]')) == [{"a": "12.30"}, {}]
    assert rows_of(Answer(200, b"[]")) == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b'"text"', b'[{"a": NaN}]', b"[{}", b"[\xff]"]
)
def test_what_is_not_one_clear_list_is_a_broken_servers(body: bytes):
    with pytest.raises(VendorSilent):
        rows_of(Answer(200, body))


@pytest.mark.parametrize("body", [b"[1]", b"[{}, null]", b"[[]]"])
def test_a_list_of_anything_but_objects_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        rows_of(Answer(200, body))
    assert not isinstance(uncertain.value, VendorSilent)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("unit is not billable", "unit is not billable"),
        (" two\r\nlines\x00 ", "two lines"),
        ("half \ud800 a character", "half a character"),
        ("key s3cret was wrong", "key … was wrong"),
        ("token 01234567890123456789", "token …"),
        ("token 0123-4567 8901", "token …"),
        ("code *599 791 493 194 43#", "code …"),
        ("error 12345", "error 12345"),
        ("x" * 300, "x" * 200),
        ("x" * 195 + "s3cret", "x" * 195 + "…"),
    ],
)
def test_a_vendors_words_are_short_and_tell_no_secret(said: str, shown: str):
    assert words_of(said, ["s3cret"]) == shown


@given(st.text())
def test_a_vendors_words_can_be_written_anywhere(said: str):
    words = words_of(said)
    assert words.isprintable()
    assert len(words.encode()) <= 800
