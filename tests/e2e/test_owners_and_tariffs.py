"""Devices that change hands, and meters that come under another tariff."""

from __future__ import annotations

from typing import Any

from infra.local.client import Answer, Cloud
from infra.local.devices import Outcome
from tests.e2e.company import Company, created, day, lines_of, tokens_of, unique
from tests.e2e.lambdas import trigger_stopped


def give(cloud: Cloud, serial_number: str, customer_id: str | None) -> Answer:
    return cloud.staff("office").put(
        f"/devices/{serial_number}/owner", {"customer_id": customer_id, "reason": "moved away"}
    )


def account_device(cloud: Cloud, customer_id: str, serial_number: str) -> dict[str, Any]:
    devices: list[dict[str, Any]] = cloud.account(customer_id)["devices"]
    return next(device for device in devices if device["serial_number"] == serial_number)


def test_a_device_of_nobody_takes_no_payment(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    answer = give(cloud, household.serial_number, None)
    assert (answer.status, answer.body["state"]) == (200, "unassigned")
    assert answer.body["customer_id"] is None

    refused = cloud.partner.pay(household.serial_number, "100.00", unique("ref-"))
    assert (refused.status, refused.code) == (422, "device_unassigned")
    receipt = cloud.daraja.receipt()
    asked = cloud.daraja.ask(receipt, household.serial_number, "100.00")
    assert asked.body["ResultCode"] == "C2B00012"
    cloud.daraja.confirm(receipt, household.serial_number, "100.00")
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt))
    assert (payment["status"], payment["reason"]) == ("refund_due", "device_unassigned")


def test_unpaid_fees_and_the_carry_stay_with_the_old_owner(cloud: Cloud, company: Company) -> None:
    tariff_id = company.tariff("300", access_rate={"amount": "75.00", "period_days": 7})
    seller = company.meter(tariff_id=tariff_id, registered_on=day(-10))
    buyer = company.meter()
    company.pay_for("95", seller)  # 75 of fees; 20 are carried, for 0.1 kWh costs 30
    seller_again = company.meter(
        customer_id=seller.customer_id, tariff_id=tariff_id, registered_on=day(-10)
    )

    assert give(cloud, seller.serial_number, buyer.customer_id).status == 200
    assert give(cloud, seller_again.serial_number, buyer.customer_id).status == 200

    old, new = cloud.account(seller.customer_id), cloud.account(buyer.customer_id)
    assert (old["owed"], old["credit"]) == ("75.00", "20.00")
    assert old["devices"] == []
    assert new["owed"] == "0.00"
    assert account_device(cloud, buyer.customer_id, seller.serial_number)["carry"] == {
        "amount": "0.00"
    }
    payment = company.pay(seller.serial_number, "300.00")
    assert (payment["customer_id"], lines_of(payment)) == (buyer.customer_id, "energy 300.00")


def test_a_device_with_an_open_plan_stays_where_it_is(cloud: Cloud, company: Company) -> None:
    household, other = company.shs(), company.meter()
    answer = give(cloud, household.serial_number, other.customer_id)
    assert (answer.status, answer.code) == (409, "device_has_open_plan")
    assert cloud.account(household.customer_id)["version"] == 1


def test_the_token_counter_moves_with_the_device(cloud: Cloud, company: Company) -> None:
    seller, buyer = company.shs(total="700.00", instalments=1), company.meter()
    first = company.pay_for("700", seller)
    assert seller.device.type_in(first["tokens"][0]["value"]) is Outcome.UNLOCKED
    assert give(cloud, seller.serial_number, buyer.customer_id).status == 200

    without_plan = cloud.partner.pay(seller.serial_number, "100.00", unique("ref-"))
    assert without_plan.code == "no_plan"

    created(cloud.staff("office").post(f"/devices/{seller.serial_number}/plan", company.terms()))
    second = company.pay(seller.serial_number, "700.00")
    assert second["customer_id"] == buyer.customer_id
    assert seller.device.type_in(second["tokens"][0]["value"]) is Outcome.DAYS_ADDED
    assert seller.device.days == 7


def test_money_for_a_device_that_moved_before_the_settlement_goes_to_no_stranger(
    cloud: Cloud, company: Company
) -> None:
    seller, buyer = company.meter(), company.meter()
    receipt = cloud.daraja.receipt()
    with trigger_stopped(cloud, "settle"):
        cloud.daraja.confirm(receipt, seller.serial_number, "100.00")
        assert give(cloud, seller.serial_number, buyer.customer_id).status == 200
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt))
    assert (payment["status"], payment["reason"]) == ("refund_due", "device_moved")
    assert payment["customer_id"] == seller.customer_id

    answer = cloud.staff("operations").post(
        f"/payments/{payment['payment_id']}/retry", {"reason": "it was the new owner who paid"}
    )
    assert answer.status == 202
    done = cloud.wait_for_payment(payment["payment_id"], {"completed"})
    assert (done["customer_id"], lines_of(done)) == (buyer.customer_id, "energy 100.00")


def test_another_tariff_sets_the_price_from_now_on(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    assert tokens_of(company.pay_for("300", household)) == "energy 3 kWh"
    answer = cloud.staff("office").put(
        f"/devices/{household.serial_number}/tariff", {"tariff_id": company.tariff("300")}
    )
    assert (answer.status, answer.body["tariff_id"]) == (200, company.tariff("300"))
    assert tokens_of(company.pay_for("300", household)) == "energy 1 kWh"


def test_a_tariff_that_is_not_there_is_refused(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    path = f"/devices/{household.serial_number}/tariff"
    answer = cloud.staff("office").put(path, {"tariff_id": 999_999})
    assert (answer.status, answer.fields) == (422, {"tariff_id"})
    shs = company.shs()
    other = cloud.staff("office").put(
        f"/devices/{shs.serial_number}/tariff", {"tariff_id": company.tariff()}
    )
    assert (other.status, other.fields) == (422, {"tariff_id"})
