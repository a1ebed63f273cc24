"""The worked examples of the rules of money, paid over HTTP into the running system.

Price 100 per kWh, step 0.1 kWh, weekly plan of 700 ten times; major units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra.local.client import Cloud
from tests.e2e.company import Company, Household, day, lines_of, tokens_of

WEEKLY_FEE = {"amount": "75.00", "period_days": 7}


def meter_that_owes_nothing(company: Company) -> Household:
    return company.meter()


def meter_with_overdue_tv_and_fees(company: Company) -> Household:
    """TV overdue 300, access fees 2 x 75; the next fee falls due in four days."""
    tariff_id = company.tariff(access_rate=WEEKLY_FEE)
    household = company.meter(tariff_id=tariff_id, registered_on=day(-17))
    company.tv(household.customer_id)
    return household


def meter_with_tv_due_today(company: Company) -> Household:
    household = company.meter()
    company.tv(household.customer_id, first_due=day(0))
    return household


def meter_beside_overdue_shs(company: Company) -> Household:
    """An SHS with 200 of its first instalment overdue."""
    household = company.meter()
    company.shs(customer_id=household.customer_id, first_due=day(-3), already_paid="500.00")
    return household


def shs_beside_overdue_tv(company: Company) -> Household:
    household = company.shs()
    company.tv(household.customer_id)
    return household


def shs_two_weeks_late(company: Company) -> Household:
    """Two instalments overdue, the third due in three days."""
    return company.shs(first_due=day(3 - 14))


def shs_nearly_paid_off(company: Company) -> Household:
    """385 open, not overdue."""
    return company.shs(first_due=day(3 - 63), already_paid="6615.00")


def meter_with_credit(company: Company) -> Household:
    household = company.meter()
    company.credit(household.customer_id, "115")
    return household


def meter_at_three_hundred(company: Company) -> Household:
    return company.meter(tariff_id=company.tariff("300"))


EXAMPLES = [
    (meter_that_owes_nothing, "500", "energy 500.00", "energy 5 kWh"),
    (
        meter_with_overdue_tv_and_fees,
        "1000",
        "appliance 300.00, access_rate 150.00, energy 550.00",
        "energy 5.5 kWh",
    ),
    (meter_with_overdue_tv_and_fees, "450", "appliance 300.00, access_rate 150.00", ""),
    (meter_with_overdue_tv_and_fees, "400", "appliance 300.00, access_rate 100.00", ""),
    (meter_with_tv_due_today, "300", "energy 300.00", "energy 3 kWh"),
    (meter_beside_overdue_shs, "1000", "device 200.00, energy 800.00", "energy 8 kWh"),
    (shs_beside_overdue_tv, "1000", "appliance 300.00, time 700.00", "time 7 days"),
    (shs_two_weeks_late, "2100", "device 1400.00, time 700.00", "time 7 days"),
    (shs_nearly_paid_off, "500", "time 385.00, credit 115.00", "unlock"),
    (meter_with_credit, "500", "energy 615.00, credit -115.00", "energy 6.1 kWh"),
    (meter_at_three_hundred, "1000", "energy 1000.00", "energy 3.3 kWh"),
]


@pytest.mark.parametrize(
    ("has", "amount", "lines", "tokens"),
    EXAMPLES,
    ids=[f"{has.__name__}_pays_{amount}" for has, amount, _, _ in EXAMPLES],
)
def test_the_money_goes_where_the_rules_send_it(
    company: Company,
    has: Callable[[Company], Household],
    amount: str,
    lines: str,
    tokens: str,
) -> None:
    household = has(company)
    version = company.cloud.account(household.customer_id)["version"]

    payment = company.pay_for(amount, household)

    assert payment["status"] == "completed", payment
    assert lines_of(payment) == lines
    assert tokens_of(payment) == tokens
    assert company.cloud.account(household.customer_id)["version"] == version + 1


def carry(company: Company, household: Household) -> dict[str, str]:
    account = company.cloud.account(household.customer_id)
    found: dict[str, Any] = next(
        device
        for device in account["devices"]
        if device["serial_number"] == household.serial_number
    )
    return dict(found["carry"])


def test_money_that_buys_no_step_is_carried_and_joins_the_next_payment(company: Company) -> None:
    household = meter_at_three_hundred(company)

    company.pay_for("1000", household)
    assert carry(company, household) == {"amount": "10.00"}

    second = company.pay_for("20", household)
    assert (lines_of(second), tokens_of(second)) == ("energy 20.00", "energy 0.1 kWh")
    assert carry(company, household) == {"amount": "0.00"}


def test_credit_leaves_a_carry_where_it_buys_no_step(company: Company) -> None:
    household = meter_with_credit(company)
    company.pay_for("500", household)
    assert carry(company, household) == {"amount": "5.00"}
    assert company.cloud.account(household.customer_id)["credit"] == "0.00"


def test_what_is_not_paid_of_a_debt_stays_owed(company: Company) -> None:
    household = meter_with_overdue_tv_and_fees(company)
    company.pay_for("400", household)
    account = company.cloud.account(household.customer_id)
    assert account["owed"] == "50.00"
    assert [(debt["kind"], debt["amount"]) for debt in account["debts"]] == [
        ("access_rate", "50.00")
    ]


def test_money_below_the_minimum_purchase_is_carried_whole(company: Company) -> None:
    """Only a told-after report can be so small: a question or a quote would be refused."""
    household = company.meter(tariff_id=company.tariff(minimum_purchase="50.00"))
    cloud = company.cloud
    receipt = cloud.daraja.receipt()
    cloud.daraja.confirm(receipt, household.serial_number, "40.00")
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt))
    assert (payment["status"], lines_of(payment), tokens_of(payment)) == (
        "completed",
        "energy 40.00",
        "",
    )
    assert carry(company, household) == {"amount": "40.00"}


def test_the_payments_own_time_decides_what_is_overdue(cloud: Cloud, company: Company) -> None:
    """Paid yesterday evening, reported today: what fell due yesterday was not overdue then."""
    household = company.meter(registered_on=day(-30))
    company.tv(household.customer_id, first_due=day(-1))
    payment = company.pay(household.serial_number, "300.00", paid_at=f"{day(-1)}T18:00:00Z")
    assert payment["moment"].startswith(day(-1))
    assert lines_of(payment) == "energy 300.00"

    late = company.pay(household.serial_number, "300.00")
    assert lines_of(late) == "appliance 300.00"


def test_a_time_before_the_tolerance_is_not_believed(company: Company) -> None:
    household = company.meter(registered_on=day(-30))
    company.tv(household.customer_id, first_due=day(-4))
    payment = company.pay(household.serial_number, "300.00", paid_at=f"{day(-5)}T12:00:00Z")
    assert payment["moment"] == payment["received_at"]
    assert lines_of(payment) == "appliance 300.00"
