"""Finding payments by what a caller on the phone has."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.services.ports import Page, Paid
from chalicelib.wiring import Wiring
from tests.integration.company import METER, SHS, Company, FixedClock, claim, kes, plan
from tests.integration.services.conftest import Counter

PHONE = "+254700000001"


@pytest.fixture
def two_payments(company: Company, counter: Counter, clock: FixedClock) -> str:
    """A customer with a meter and an SHS, each of which was paid for once: the meter first."""
    customer_id = company.customer(
        company.meter(),
        company.shs(plan_id="p-1"),
        plans=(plan("p-1", 7000, serial_number=SHS),),
        phone=PHONE,
    )
    counter.pay(claim(METER, 500, "REC1", source="imported"))
    clock.move(timedelta(minutes=1))
    counter.pay(claim(SHS, 700, "REC2", source="imported"))
    return customer_id


def ids(page: Page) -> list[str]:  # type: ignore[type-arg]
    return [payment.payment_id for payment in page.items]


BOTH = ["imported-REC2", "imported-REC1"]


@pytest.mark.parametrize("said", [PHONE, "0700 000 001", "254700000001"])
def test_the_payments_of_a_phone_are_those_of_its_customers(
    wiring: Wiring, two_payments: str, said: str
) -> None:
    assert ids(wiring.find_payments.of_phone(said, 50)) == BOTH
    assert ids(wiring.find_payments.of_phone(said, 1)) == BOTH[:1]


def test_nobody_has_a_phone_that_is_none(wiring: Wiring, two_payments: str) -> None:
    assert ids(wiring.find_payments.of_phone("nobody", 50)) == []


@pytest.mark.parametrize("said", ["REC1", "rec1"])
def test_a_receipt_is_found_in_its_pot_however_it_is_written(
    wiring: Wiring, two_payments: str, said: str
) -> None:
    assert ids(wiring.find_payments.of_receipt(said)) == ["imported-REC1"]


@pytest.mark.parametrize("said", ["REC3", "", "x" * 150])
def test_a_receipt_that_no_pot_has_finds_nothing(
    wiring: Wiring, two_payments: str, said: str
) -> None:
    assert ids(wiring.find_payments.of_receipt(said)) == []


def test_a_payment_that_we_started_is_found_by_its_providers_receipt(
    wiring: Wiring, company: Company
) -> None:
    company.customer(company.meter())
    wiring.accept.start(claim(METER, 500, "OURS", source="paystack", channel="paystack"))
    wiring.collect.paid("paystack-OURS", Paid("THEIRS", kes(500), "KES"))
    assert ids(wiring.find_payments.of_receipt("THEIRS")) == ["paystack-OURS"]
    assert ids(wiring.find_payments.of_receipt("OURS")) == ["paystack-OURS"]


def test_one_box_takes_whatever_the_caller_has(wiring: Wiring, two_payments: str) -> None:
    search, number = wiring.find_payments.search, two_payments.removeprefix("C")
    for said in (PHONE, two_payments, two_payments.lower(), number, f" {number} "):
        assert ids(search(said, 50)) == BOTH, said
    for said in (METER, "rec1", "imported-REC1"):
        assert ids(search(said, 50)) == BOTH[1:], said
    for said in ("?", "nobody at all", "C999", "0"):
        assert ids(search(said, 50)) == [], said
