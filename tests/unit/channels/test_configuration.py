"""A channel's secret is read as it was agreed, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels.configuration import Configuration
from chalicelib.services.ports import SecretMissing

ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(), inner)),
    max_leaves=4,
)


def secret(**content: Any) -> Configuration:
    return Configuration("channels/acme", content)


def test_what_is_right_is_read() -> None:
    read = secret(
        name="a",
        names=["a", "b"],
        addresses=["10.0.0.0/8", "1.2.3.4"],
        base_url="https://acme.example/api/",
        currency="UGX",
        on=True,
        inner={"x": "y"},
        rows=[{"x": "z"}],
        certificate="-----BEGIN-----\nabc\n-----END-----\n",
    )
    assert (read.text("name"), read.texts("names")) == ("a", ("a", "b"))
    assert [str(network) for network in read.networks()] == ["10.0.0.0/8", "1.2.3.4/32"]
    assert (read.base_url(), read.currency().decimals) == ("https://acme.example/api", 0)
    assert (read.flag("on"), read.flag("off"), read.has("off")) == (True, False, False)
    assert (read.part("inner").text("x"), read.parts("rows", 1)[0].text("x")) == ("y", "z")
    assert read.text("certificate").startswith("-----BEGIN")
    assert read.text_if_given("nothing") is None


@given(value=ANYTHING)
def test_what_is_not_is_said_to_be_missing(value: Any) -> None:
    read = secret(x=value)
    for ask in (
        lambda: read.text("x", "[0-9]{40}"),
        lambda: read.base_url("x"),
        lambda: read.currency("x"),
        lambda: read.part("y"),
        lambda: read.parts("y", 3),
        lambda: read.texts("y"),
        lambda: read.networks("y"),
    ):
        with pytest.raises(SecretMissing):
            ask()


@pytest.mark.parametrize(
    "content",
    [
        *({"texts": ["a", 5]}, {"texts": ["a\x00"]}, {"networks": ["nowhere"]}, {"networks": [5]}),
        *({"flag": "yes"}, {"parts": [{}, {}]}, {"parts": [5]}, {"text": "x" * 10_001}),
    ],
)
def test_a_part_that_is_wrong_spoils_it(content: dict[str, Any]) -> None:
    [(name, value)] = content.items()
    read = secret(x=value)
    with pytest.raises(SecretMissing):
        read.parts("x", 1) if name == "parts" else getattr(read, name)("x")
