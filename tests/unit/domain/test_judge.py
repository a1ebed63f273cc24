"""What a payment is refused for."""

from __future__ import annotations

import pytest

from chalicelib.domain.account import Account, Tenure
from chalicelib.domain.errors import Refusal
from chalicelib.domain.judge import device_refusal, refusal_before_money
from tests.unit.domain.examples import (
    METER,
    NOW,
    SHS,
    TODAY,
    account,
    days,
    local,
    meter,
    pay,
    shs,
    tariff,
    tv,
    weekly,
)


@pytest.mark.parametrize(
    ("who", "serial", "refusal"),
    [
        (account(meter()), METER, None),
        (account(meter(tenures=())), METER, Refusal.NO_TARIFF),
        (
            account(meter(tenures=(Tenure(1, NOW - days(9), NOW - days(1)),))),
            METER,
            Refusal.NO_TARIFF,
        ),
        (account(weekly(TODAY), shs()), SHS, None),
        (account(shs()), SHS, None),
        (account(shs(plan_id=None)), SHS, Refusal.NO_PLAN),
        (account(meter()), "X9", Refusal.DEVICE_UNASSIGNED),
        (account(meter(owned=False)), METER, Refusal.DEVICE_UNASSIGNED),
    ],
)
def test_a_device_needs_an_owner_and_a_tariff_or_a_plan(
    who: Account, serial: str, refusal: Refusal | None
) -> None:
    assert device_refusal(who, serial) is refusal


@pytest.mark.parametrize(
    ("who", "serial", "amount", "refusal"),
    [
        (account(shs()), SHS, 500, Refusal.NOTHING_TO_PAY),
        (account(shs(), credit=70), SHS, 500, Refusal.NOTHING_TO_PAY),
        (account(shs(), tv(TODAY - days(1))), SHS, 500, None),
        (account(shs(), weekly(TODAY + days(30))), SHS, "0.01", None),
        (account(meter()), METER, 10, None),
        (account(meter()), METER, "9.99", Refusal.TOO_SMALL),
        (account(meter(), credit=1), METER, 9, None),
        (account(meter(), tv(TODAY - days(1))), METER, 1, None),
        (account(meter(), tv(TODAY - days(1))), METER, 301, None),
        (account(meter(since=local(TODAY - days(7)))), METER, 1, None),
    ],
)
def test_before_money_moves_a_payment_must_do_something(
    who: Account, serial: str, amount: int | str, refusal: Refusal | None
) -> None:
    assert refusal_before_money(pay(who, serial, amount, tariffs=tariff(fee=50))) is refusal


def test_below_the_minimum_purchase_a_payment_is_too_small() -> None:
    under = tariff(minimum=100)
    assert refusal_before_money(pay(account(meter()), METER, 99, tariffs=under)) is (
        Refusal.TOO_SMALL
    )
    assert refusal_before_money(pay(account(meter()), METER, 100, tariffs=under)) is None
