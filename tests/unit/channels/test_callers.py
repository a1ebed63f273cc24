"""Who is calling: every live secret proves it, and nothing else does."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels.callers import (
    WrongAddress,
    WrongPath,
    WrongToken,
    check_address,
    check_bearer,
    check_path,
)
from chalicelib.services.ports import ProviderRequest


def request(path: str = "", address: str = "", token: str = "") -> ProviderRequest:
    return ProviderRequest("POST", {"path_secret": path}, {"authorization": token}, b"", address)


@pytest.mark.parametrize("shown", ["old", "new"])
def test_both_secrets_are_good_while_one_is_rotated(shown: str) -> None:
    check_path(request(path=shown), ("old", "new"))
    check_bearer(request(token=f"Bearer {shown}"), ("old", "new"))


@given(shown=st.text(max_size=20))
def test_no_other_text_is(shown: str) -> None:
    if shown.strip() != "secret":
        with pytest.raises(WrongPath):
            check_path(request(path=shown), ("secret-of-ours",))
        with pytest.raises(WrongToken):
            check_bearer(request(token=shown), ("secret",))
    with pytest.raises(WrongPath):
        check_path(request(path=shown), ())


def test_an_address_counts_that_is_within_one_of_the_networks() -> None:
    networks = (ip_network("196.201.214.0/24"), ip_network("2001:db8::/32"))
    check_address(request(address="196.201.214.9"), networks)
    check_address(request(address="2001:db8::1"), networks)
    for address in ("196.201.215.9", "", "196.201.214.9, 1.2.3.4", "nobody"):
        with pytest.raises(WrongAddress):
            check_address(request(address=address), networks)
    with pytest.raises(WrongAddress):
        check_address(request(address="196.201.214.9"), ())
