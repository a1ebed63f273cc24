"""What every channel has in common."""

from __future__ import annotations

import re

import pytest

from chalicelib.channels import daraja, direct, paystack
from chalicelib.channels.interface import Channel, FieldErrors, header, shown
from chalicelib.domain.errors import FieldError
from chalicelib.services.ports import ProviderRequest

CHANNELS = (direct.CHANNEL, daraja.CHANNEL, paystack.CHANNEL)


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.key)
def test_the_endpoints_of_a_channel_lie_below_its_own_path(channel: Channel):
    pattern = rf"/payments/{channel.key}(/([a-z]+|\{{[a-z_]+\}}))*"
    assert all(re.fullmatch(pattern, endpoint.path) for endpoint in channel.endpoints)


def test_no_two_endpoints_have_one_name_or_one_route():
    endpoints = [endpoint for channel in CHANNELS for endpoint in channel.endpoints]
    assert len({endpoint.name for endpoint in endpoints}) == len(endpoints)
    assert len({(endpoint.method, endpoint.path) for endpoint in endpoints}) == len(endpoints)


def test_a_header_is_found_in_any_case_and_empty_where_it_is_missing():
    request = ProviderRequest("GET", {}, {"x-one": "1"}, b"", "")
    assert header(request, "X-One") == "1"
    assert header(request, "X-Two") == ""


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("serial", "serial"),
        ("too long for that", "too long "),
        ("line\r\n\x00", "line???"),
        ("café", "caf\\xe9"),
        ("\u202e" * 9, "\\u202e\\u2"),
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_a_stranger_s_word_is_shown_short_and_printable(text: str, seen: str):
    assert shown(text, 9) == seen


def test_several_field_errors_read_as_one():
    errors = FieldErrors((FieldError("a", "is required"), FieldError("b", "is not known")))
    assert errors.detail == "a: is required; b: is not known"
