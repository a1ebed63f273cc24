"""STS tokens, and the kWh that they carry."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import Vend, VendState
from chalicelib.manufacturers import sts
from chalicelib.services.ports import VendRefused

TOKEN = "01234567890123456789"


def vend_of(units: Fraction | None, kind: VendKind = VendKind.ENERGY) -> Vend:
    return Vend(1, "47000123456", "calin", kind, VendState.CALLING, units)


@pytest.mark.parametrize(
    "text", [TOKEN, "0123 4567 8901 2345 6789", f"{TOKEN[:10]}-{TOKEN[10:]}\n"]
)
def test_a_token_is_twenty_digits_however_they_are_grouped(text: str):
    assert sts.token_of(text) == TOKEN
    assert sts.typed_token(text) == TOKEN


@pytest.mark.parametrize("text", ["", TOKEN[:-1], TOKEN + "0", "x" * 20, "٠" * 20, "0.5"])
def test_anything_else_is_no_token(text: str):
    assert sts.token_of(text) is None
    with pytest.raises(FieldError) as error:
        sts.typed_token(text)
    assert error.value.field == "token"


@pytest.mark.parametrize("value", [None, 12345678901234567890, [TOKEN], {"token": TOKEN}, True])
def test_what_is_no_text_is_no_token(value: object):
    assert sts.token_of(value) is None


@given(st.integers(min_value=1, max_value=10**20))
def test_tenths_of_a_kwh_are_written_exactly(tenths: int):
    body = sts.with_amount({"meter": "1"}, sts.kwh_of(vend_of(Fraction(tenths, 10))))
    assert Fraction(json.loads(body, parse_float=str)["amount"]) == Fraction(tenths, 10)


@pytest.mark.parametrize("units", [Fraction(1, 100), Fraction(1, 3), Fraction(123, 1000)])
def test_what_is_finer_than_a_token_carries_is_refused(units: Fraction):
    with pytest.raises(VendRefused) as refused:
        sts.kwh_of(vend_of(units))
    assert refused.value.code == "units_out_of_range"


@pytest.mark.parametrize(
    "vend",
    [
        vend_of(None),
        vend_of(Fraction(0)),
        vend_of(Fraction(-1)),
        vend_of(Fraction(1), VendKind.TIME),
        vend_of(None, VendKind.UNLOCK),
    ],
)
def test_what_is_no_energy_is_not_offered(vend: Vend):
    with pytest.raises(VendRefused) as refused:
        sts.kwh_of(vend)
    assert refused.value.code == "not_offered"
