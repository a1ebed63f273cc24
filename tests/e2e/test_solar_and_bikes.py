"""SHS and e-bikes: days, the part of a day that is carried, and the unlock at the end.

Every token is typed into a simulated device, which knows nothing of the server.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from infra.local.client import Cloud
from infra.local.devices import Outcome
from tests.e2e.company import Company, day, lines_of, tokens_of


def carried_days(company: Company, customer_id: str) -> str:
    device = company.cloud.account(customer_id)["devices"][0]
    return str(device["carry"]["days"])


@pytest.mark.parametrize("kind", ["shs", "e_bike"])
def test_every_token_is_accepted_by_the_device_in_order(company: Company, kind: str) -> None:
    household = company.shs(kind=kind)
    device = household.device
    for amount, days in (("700", 7), ("800", 8), ("100", 1), ("1400", 14)):
        payment = company.pay_for(amount, household)
        [token] = payment["tokens"]
        assert (lines_of(payment), token["units"]) == (f"time {amount}.00", str(days))
        before = device.days
        assert device.type_in(token["value"]) is Outcome.DAYS_ADDED
        assert device.days - before == days
        assert device.type_in(token["value"]) is Outcome.USED_BEFORE


def test_a_token_of_another_device_is_wrong(company: Company) -> None:
    first, second = company.shs(), company.shs()
    [token] = company.pay_for("700", first)["tokens"]
    assert second.device.type_in(token["value"]) is Outcome.WRONG


def test_the_part_of_a_day_is_carried_exactly(company: Company) -> None:
    household = company.shs()
    half = company.pay_for("50", household)
    assert (lines_of(half), half["tokens"], half["status"]) == ("time 50.00", [], "completed")
    assert carried_days(company, household.customer_id) == "1/2"
    other_half = company.pay_for("50", household)
    assert tokens_of(other_half) == "time 1 days"
    assert carried_days(company, household.customer_id) == "0"


def test_many_small_payments_never_give_more_than_one_large_one(company: Company) -> None:
    household = company.shs()
    for _ in range(6):
        payment = company.pay_for("33.33", household)
        for token in payment["tokens"]:
            household.device.type_in(token["value"])
    assert household.device.days == 1  # 199.98 of 700 for a week: 1.9998 days
    assert carried_days(company, household.customer_id) == "4999/5000"


def test_days_are_added_to_what_is_paid_until(cloud: Cloud, company: Company) -> None:
    household = company.shs()
    path = f"/devices/{household.serial_number}"
    first = company.pay_for("700", household)
    company.pay_for("700", household)
    paid_until = cloud.staff("office").get(path).body["paid_until"]
    until = datetime.fromisoformat(paid_until)
    assert until - datetime.fromisoformat(first["moment"]) == timedelta(days=14)


def test_the_down_payment_buys_no_days(company: Company) -> None:
    household = company.shs(down_payment="1000.00")
    payment = company.pay_for("1600", household)  # 6000 in ten: 600 a week
    assert lines_of(payment) == "device 1000.00, time 600.00"
    assert tokens_of(payment) == "time 7 days"


def test_paying_off_unlocks_for_good_and_the_rest_is_credit(cloud: Cloud, company: Company) -> None:
    household = company.shs(total="700.00", instalments=1)
    payment = company.pay_for("800", household)
    assert lines_of(payment) == "time 700.00, credit 100.00"
    assert tokens_of(payment) == "unlock"
    assert household.device.type_in(payment["tokens"][0]["value"]) is Outcome.UNLOCKED
    device = cloud.staff("office").get(f"/devices/{household.serial_number}").body
    assert (device["plan"]["state"], device["plan"]["open"]) == ("paid", "0.00")
    assert device["state"] == "unlocked"
    account = cloud.account(household.customer_id)
    assert (account["credit"], account["plans"]) == ("100.00", [])


def test_a_plan_paid_off_by_a_payment_for_another_device_unlocks_too(company: Company) -> None:
    """700 of the SHS are overdue and its last; the meter's payment clears them."""
    household = company.meter()
    shs = company.shs(
        customer_id=household.customer_id, total="700.00", instalments=1, first_due=day(-3)
    )
    payment = company.pay_for("1000", household)
    assert lines_of(payment) == "device 700.00, energy 300.00"
    by_serial = {token["serial_number"]: token for token in payment["tokens"]}
    assert by_serial[household.serial_number]["units"] == "3"
    assert shs.device.type_in(by_serial[shs.serial_number]["value"]) is Outcome.UNLOCKED
    for number in (1, 2):
        assert company.cloud.wait_for_message(payment["payment_id"], number)


def test_the_unlock_follows_the_days_on_one_counter(company: Company) -> None:
    household = company.shs(total="1400.00", instalments=2)
    for amount, outcome in (("700", Outcome.DAYS_ADDED), ("700", Outcome.UNLOCKED)):
        [token] = company.pay_for(amount, household)["tokens"]
        assert household.device.type_in(token["value"]) is outcome


def test_a_month_buys_the_days_to_the_next_due_date(company: Company) -> None:
    """The first instalment is due on the 1st of a January: 31 days to the 1st of February."""
    year = date.fromisoformat(day(0)).year + 1
    household = company.shs(
        total="5500.00", instalments=10, every="month", first_due=f"{year}-01-01"
    )
    assert tokens_of(company.pay_for("550", household)) == "time 31 days"
    february = 29 if year % 4 == 0 else 28
    assert tokens_of(company.pay_for("550", household)) == f"time {february} days"
