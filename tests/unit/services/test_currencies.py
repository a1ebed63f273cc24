"""The world's currencies and their decimals."""

from __future__ import annotations

import pytest

from chalicelib.services.currencies import currency_of


@pytest.mark.parametrize(
    ("code", "decimals"),
    [
        ("KES", 2),
        ("TZS", 2),
        ("NGN", 2),
        ("UGX", 0),
        ("RWF", 0),
        ("XOF", 0),
        ("TND", 3),
        ("MGA", 2),
    ],
)
def test_a_currency_has_the_decimals_of_iso_4217(code: str, decimals: int) -> None:
    currency = currency_of(code)
    assert currency is not None
    assert (currency.code, currency.decimals) == (code, decimals)


@pytest.mark.parametrize("code", ["", "kes", "XXX", "KSH", "KES "])
def test_what_is_no_currency_is_none(code: str) -> None:
    assert currency_of(code) is None
