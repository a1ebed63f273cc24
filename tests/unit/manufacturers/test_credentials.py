"""What a vendor's secret must hold before anything is sent with it."""

from __future__ import annotations

import pytest

from chalicelib.manufacturers import credentials
from chalicelib.services.ports import SecretMissing

SECRET = "manufacturers/some"


def test_an_address_is_read_without_its_last_slash():
    content = {"base_url": "https://vendor.example:8443/api/"}
    assert credentials.base_url(content, SECRET) == "https://vendor.example:8443/api"


@pytest.mark.parametrize("url", [None, "", 1, "vendor.example", "ftp://a.example", "http://"])
def test_what_is_no_address_is_missing(url: object):
    with pytest.raises(SecretMissing, match=SECRET):
        credentials.base_url({"base_url": url}, SECRET)


def test_a_text_is_read_as_it_is():
    assert credentials.text({"password": " pass wörd "}, "password", SECRET) == " pass wörd "
    assert credentials.plain_text({"token": "a b:c"}, "token", SECRET) == "a b:c"
    assert credentials.part({"koios": {"a": 1}}, "koios", SECRET) == {"a": 1}


@pytest.mark.parametrize("value", [None, "", 1, ["x"], {"x": "y"}])
def test_what_is_no_text_is_missing(value: object):
    with pytest.raises(SecretMissing, match=SECRET):
        credentials.text({"password": value}, "password", SECRET)
    with pytest.raises(SecretMissing, match=SECRET):
        credentials.plain_text({"password": value}, "password", SECRET)


@pytest.mark.parametrize("value", ["tökén", "a\r\nX-Other: b", "a\x00", "\ud800"])
def test_what_cannot_stand_in_a_header_is_missing(value: str):
    with pytest.raises(SecretMissing, match=SECRET):
        credentials.plain_text({"token": value}, "token", SECRET)


@pytest.mark.parametrize("value", [None, "", [], 1])
def test_what_is_no_object_is_missing(value: object):
    with pytest.raises(SecretMissing, match=SECRET):
        credentials.part({"koios": value}, "koios", SECRET)
