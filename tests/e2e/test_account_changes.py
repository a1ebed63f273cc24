"""What the office and operations do to an account: plans changed, cancelled and written off,
credit given back, devices that change hands.

Each is one more version of the account. A device that is let go is unlocked by a payment of
nothing, named after the entry that made it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from infra.local.client import Answer, Cloud
from infra.local.devices import Outcome
from tests.e2e.company import Company, Household, day, lines_of, tokens_of, unique

OTHER_ROLES = ("field", "agent", "operations", "finance")


def change(cloud: Cloud, household: Household, **terms: Any) -> Answer:
    """New terms for the household's plan."""
    return cloud.staff("office").put(plan_path(household), {"reason": "agreed so", **terms})


def end(cloud: Cloud, household: Household, how: str, **body: Any) -> Answer:
    """Cancel the household's plan, or write it off."""
    path = f"{plan_path(household)}/{how}"
    return cloud.staff("office").post(path, {"reason": "agreed so", **body})


def plan_path(household: Household) -> str:
    return f"/customers/{household.customer_id}/plans/{household.plan_id}"


def refund_credit(
    cloud: Cloud, customer_id: str, amount: str, key: str | None = None, **body: Any
) -> Answer:
    return cloud.staff("operations").post(
        f"/customers/{customer_id}/credit/refunds",
        {"amount": amount, "reason": "asked for it", **body},
        key=key,
    )


def give(cloud: Cloud, serial_number: str, customer_id: str | None) -> Answer:
    path = f"/devices/{serial_number}/owner"
    return cloud.staff("office").put(path, {"customer_id": customer_id, "reason": "sold it"})


def device_of(cloud: Cloud, household: Household) -> dict[str, Any]:
    device: dict[str, Any] = cloud.staff("office").get(f"/devices/{household.serial_number}").body
    return device


def version(cloud: Cloud, household: Household) -> int:
    return int(cloud.account(household.customer_id)["version"])


def payment_of_entry(cloud: Cloud, household: Household) -> str:
    """The id of the payment of nothing that the account's last change brought."""
    return f"entry-{household.customer_id}.{version(cloud, household)}"


# --- a plan with new terms ------------------------------------------------------------------


def test_a_lower_total_is_shared_among_the_instalments_that_are_left(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs()
    company.pay_for("700", household)
    answer = change(cloud, household, total="5200.00")
    assert answer.status == 200
    plan = answer.body
    assert (plan["total"], plan["paid"], plan["open"]) == ("5200.00", "700.00", "4500.00")
    left = [row for row in plan["schedule"] if row["amount"] != row["paid"]]
    assert [row["amount"] for row in left] == ["500.00"] * 9
    assert left[0]["due_on"] == day(17)  # the second week's day, as before
    assert device_of(cloud, household)["plan"] == plan
    assert version(cloud, household) == 3

    payment = company.pay_for("500", household)
    assert (lines_of(payment), tokens_of(payment)) == ("time 500.00", "time 7 days")


def test_a_new_rhythm_spreads_what_is_open(cloud: Cloud, company: Company) -> None:
    household = company.shs()
    company.pay_for("700", household)
    answer = change(cloud, household, instalments=3, every="month", first_due=day(30))
    assert answer.status == 200
    left = [row for row in answer.body["schedule"] if row["amount"] != row["paid"]]
    assert [row["amount"] for row in left] == ["2100.00"] * 3
    assert (left[0]["due_on"], answer.body["every"]) == (day(30), "month")


def test_terms_that_a_plan_has_already_are_no_change(cloud: Cloud, company: Company) -> None:
    household = company.shs()
    assert change(cloud, household, total="7000.00").status == 200
    assert version(cloud, household) == 1


def test_terms_that_contradict_what_is_paid_or_each_other_are_not_taken(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs()
    company.pay_for("700", household)
    rhythm = {"every": "week", "first_due": day(7)}
    for terms, fields in (
        ({}, {"total"}),
        ({"total": "699.99"}, {"total"}),
        ({"total": "0"}, {"total"}),
        ({"total": "lots"}, {"total"}),
        ({"instalments": 3}, {"every", "first_due"}),
        ({"every": "week"}, {"first_due"}),
        (rhythm, {"instalments"}),
        ({**rhythm, "instalments": 3, "instalment_amount": "700.00"}, {"instalments"}),
        ({**rhythm, "instalments": 601}, {"instalments"}),
        ({**rhythm, "instalment_amount": "6300.01"}, {"instalment_amount"}),
        ({**rhythm, "every": "day", "instalments": 3}, {"every"}),
        ({"total": "5200.00", "reason": " "}, {"reason"}),
        ({"total": "5200.00", "paid": "5200.00"}, {"paid"}),
    ):
        answer = change(cloud, household, **terms)
        assert (answer.status, answer.fields) == (422, fields), terms
    assert version(cloud, household) == 2


def test_only_the_office_changes_a_plan_of_that_very_customer(
    cloud: Cloud, company: Company
) -> None:
    household, other = company.shs(), company.shs()
    body = {"reason": "a friend", "total": "700.00"}
    for role in OTHER_ROLES:
        staff = cloud.staff(role)
        assert staff.put(plan_path(household), body).status == 403, role
        for how in ("cancel", "write-off"):
            assert staff.post(f"{plan_path(household)}/{how}", {"reason": "x"}).status == 403, role
    strange = Household(other.customer_id, "", "", plan_id=household.plan_id)
    for answer in (
        change(cloud, strange, total="700.00"),
        end(cloud, strange, "cancel"),
        end(cloud, strange, "write-off"),
    ):
        assert (answer.status, answer.code) == (404, "not_found")
    assert version(cloud, household) == version(cloud, other) == 1


# --- a plan that is paid by being lowered ---------------------------------------------------


def test_a_total_lowered_to_what_is_paid_unlocks_the_device(cloud: Cloud, company: Company) -> None:
    household = company.shs()
    [days] = company.pay_for("700", household)["tokens"]
    household.device.type_in(days["value"])
    plan = change(cloud, household, total="700.00").body
    assert (plan["state"], plan["open"]) == ("paid", "0.00")

    payment = cloud.wait_for_payment(payment_of_entry(cloud, household), {"completed"})
    assert (payment["amount"], payment["lines"]) == ("0.00", [])
    assert tokens_of(payment) == "unlock"
    token = payment["tokens"][0]["value"]
    assert household.device.type_in(token) is Outcome.UNLOCKED
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert message["to"] == household.phone
    assert "fully paid" in message["body"]
    assert token in message["body"].replace(" ", "")
    device = device_of(cloud, household)
    assert (device["state"], device["plan"]["state"]) == ("unlocked", "paid")
    assert cloud.account(household.customer_id)["plans"] == []


@pytest.fixture
def lowered(cloud: Cloud, company: Company) -> Household:
    """An SHS of Angaza, paid for a week."""
    household = company.remote_shs()
    company.pay_for("700", household)
    return household


def test_a_device_of_a_vendor_is_unlocked_there(cloud: Cloud, lowered: Household) -> None:
    assert change(cloud, lowered, total="700.00").body["state"] == "paid"
    payment = cloud.wait_for_payment(payment_of_entry(cloud, lowered), {"completed"})
    assert told(cloud, lowered)[-1] == "UNLOCKED"
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert payment["tokens"][0]["value"] in message["body"].replace(" ", "")
    assert device_of(cloud, lowered)["state"] == "unlocked"


def told(cloud: Cloud, household: Household) -> list[str]:
    """Until when Angaza was told that the device runs, one per request."""
    return [
        vend["request"]["state"]["desired"]["credit_until_dt"]
        for vend in cloud.fakes.vends("angaza", household.known_as)
    ]


def test_an_unlock_that_the_vendor_turns_down_is_held_for_a_person(
    cloud: Cloud, lowered: Household
) -> None:
    cloud.fakes.order("angaza", "refuse", serial_number=lowered.known_as)
    change(cloud, lowered, total="700.00")
    payment_id = payment_of_entry(cloud, lowered)
    payment = cloud.wait_for_payment(payment_id, {"held"})
    assert payment["reason"] == "vend_refused"
    assert "unlocking" in cloud.wait_for_message(payment_id, 90)["body"]
    operations = cloud.staff("operations")
    nothing = operations.post(f"/payments/{payment_id}/refund", {"reason": "x"})
    assert (nothing.status, nothing.code) == (409, "not_refundable")
    assert operations.post(f"/payments/{payment_id}/retry", {"reason": "x"}).status == 202
    cloud.wait_for_payment(payment_id, {"completed"})
    assert told(cloud, lowered)[-1] == "UNLOCKED"


def test_an_appliance_has_nothing_to_unlock(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    household.plan_id = company.tv(household.customer_id)["plan_id"]
    company.pay_for("100", household)  # of the 300 that are overdue
    assert change(cloud, household, total="100.00").body["state"] == "paid"
    operations = cloud.staff("operations")
    answer = operations.get(f"/payments/{payment_of_entry(cloud, household)}")
    assert answer.status == 404


# --- a plan that is cancelled ---------------------------------------------------------------


def test_what_was_paid_on_a_cancelled_plan_can_become_credit(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs(already_paid="100.00")
    company.pay_for("700", household)
    too_much = end(cloud, household, "cancel", credit="700.01")
    assert (too_much.status, too_much.fields) == (422, {"credit"})

    answer = end(cloud, household, "cancel", credit="500.00")
    assert answer.status == 200
    assert (answer.body["state"], answer.body["paid"]) == ("cancelled", "300.00")
    account = cloud.account(household.customer_id)
    assert (account["credit"], account["plans"], account["version"]) == ("500.00", [], 3)
    device = device_of(cloud, household)
    assert (device["state"], device["plan"]["state"]) == ("active", "cancelled")

    again = end(cloud, household, "cancel", credit="500.00")
    assert (again.status, again.body) == (200, answer.body)
    assert end(cloud, household, "write-off").code == "not_found"
    assert change(cloud, household, total="1000.00").code == "not_found"
    assert version(cloud, household) == 3


def test_nothing_more_is_paid_on_a_cancelled_plan(cloud: Cloud, company: Company) -> None:
    household = company.shs(first_due=day(-3))
    assert cloud.account(household.customer_id)["owed"] == "700.00"
    end(cloud, household, "cancel")
    assert cloud.account(household.customer_id)["owed"] == "0.00"
    refused = cloud.partner.pay(household.serial_number, "100.00", unique("ref-"))
    assert (refused.status, refused.code) == (422, "nothing_to_pay")


# --- a plan that is written off -------------------------------------------------------------


def test_a_plan_is_written_off_and_its_device_stays_locked(cloud: Cloud, company: Company) -> None:
    household = company.shs(first_due=day(-3))
    answer = end(cloud, household, "write-off")
    assert (answer.status, answer.body["state"]) == (200, "written_off")
    assert device_of(cloud, household)["state"] == "active"
    account = cloud.account(household.customer_id)
    assert (account["owed"], account["plans"], account["version"]) == ("0.00", [], 2)
    operations = cloud.staff("operations")
    assert operations.get(f"/payments/{payment_of_entry(cloud, household)}").status == 404
    again = end(cloud, household, "write-off")
    assert (again.status, again.body) == (200, answer.body)


def test_a_plan_is_written_off_and_its_device_unlocked(cloud: Cloud, company: Company) -> None:
    household = company.shs()
    answer = end(cloud, household, "write-off", unlock=True)
    assert answer.body["state"] == "written_off"
    payment = cloud.wait_for_payment(payment_of_entry(cloud, household), {"completed"})
    assert household.device.type_in(payment["tokens"][0]["value"]) is Outcome.UNLOCKED
    assert cloud.wait_for_message(payment["payment_id"], 1)
    device = device_of(cloud, household)
    assert (device["state"], device["plan"]["state"]) == ("unlocked", "written_off")


def test_the_plan_of_an_appliance_is_written_off_without_any_unlock(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    household.plan_id = company.tv(household.customer_id)["plan_id"]
    answer = end(cloud, household, "write-off", unlock=True)
    assert (answer.status, answer.fields) == (422, {"unlock"})
    assert end(cloud, household, "write-off").body["state"] == "written_off"
    payment = company.pay_for("300", household)
    assert lines_of(payment) == "energy 300.00"


# --- credit ---------------------------------------------------------------------------------


def test_credit_is_given_back_once_per_key(cloud: Cloud, company: Company) -> None:
    household, key = company.meter(), unique("credit-")
    customer_id = household.customer_id
    company.credit(customer_id, "115")
    before = version(cloud, household)

    done = refund_credit(cloud, customer_id, "100.00", key)
    assert done.status == 201
    assert (done.body["amount"], done.body["credit"]) == ("100.00", "15.00")
    assert done.body["actor"] == cloud.staff("operations").email
    again = refund_credit(cloud, customer_id, "100.00", key)
    assert (again.status, again.headers.get("Idempotency-Hit")) == (200, "true")
    assert again.body == done.body
    account = cloud.account(customer_id)
    assert (account["credit"], account["version"]) == ("15.00", before + 1)

    for body in ({"amount": "10.00"}, {"reason": "another"}):
        other = refund_credit(cloud, customer_id, **{"amount": "100.00", "key": key, **body})
        assert (other.status, other.code) == (409, "reference_conflict"), body
    for amount, status, code in (
        ("15.01", 409, "not_refundable"),
        ("0", 422, "invalid_amount"),
        ("1.001", 422, "invalid_amount"),
    ):
        answer = refund_credit(cloud, customer_id, amount)
        assert (answer.status, answer.code) == (status, code), amount
    assert refund_credit(cloud, customer_id, "15.00").status == 201  # without a key
    assert cloud.account(customer_id)["credit"] == "0.00"


def test_credit_is_given_back_to_a_customer_that_exists_by_operations(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    path = f"/customers/{household.customer_id}/credit/refunds"
    for role in ("office", "field", "agent", "finance"):
        answer = cloud.staff(role).post(path, {"amount": "1.00", "reason": "mine"})
        assert answer.status == 403, role
    assert refund_credit(cloud, "C0", "1.00").code == "not_found"


# --- another owner --------------------------------------------------------------------------


def test_a_device_on_a_plan_does_not_change_hands(cloud: Cloud, company: Company) -> None:
    household, other = company.shs(), company.meter()
    for owner in (other.customer_id, None):
        answer = give(cloud, household.serial_number, owner)
        assert (answer.status, answer.code) == (409, "device_has_open_plan")
    assert version(cloud, household) == version(cloud, other) == 1


def test_a_device_takes_its_time_and_its_counter_to_its_new_owner(
    cloud: Cloud, company: Company
) -> None:
    household, other = company.shs(), company.meter()
    company.pay_for("700", household)
    paid_until = device_of(cloud, household)["paid_until"]
    end(cloud, household, "cancel")
    device = give(cloud, household.serial_number, other.customer_id).body
    assert (device["customer_id"], device["plan"]) == (other.customer_id, None)
    assert device["paid_until"] == paid_until
    assert (version(cloud, household), version(cloud, other)) == (4, 2)
    assert cloud.account(household.customer_id)["devices"] == []

    resold = cloud.staff("office").post(
        f"/devices/{household.serial_number}/plan", company.terms(total="1400.00", instalments=2)
    )
    assert resold.status == 201
    payment = company.pay_for("700", household)
    assert (payment["customer_id"], tokens_of(payment)) == (other.customer_id, "time 7 days")
    token = payment["tokens"][0]["value"]
    assert household.device.type_in(token) is Outcome.DAYS_ADDED
    later = datetime.fromisoformat(device_of(cloud, household)["paid_until"])
    assert later - datetime.fromisoformat(paid_until) == timedelta(days=7)


def test_the_carry_of_a_meter_becomes_credit_of_whoever_paid_it(
    cloud: Cloud, company: Company
) -> None:
    seller = company.meter(tariff_id=company.tariff("300"))
    buyer = company.meter()
    company.pay_for("1000", seller)  # 3.3 kWh, and 10 are carried
    assert give(cloud, seller.serial_number, buyer.customer_id).status == 200
    old, new = cloud.account(seller.customer_id), cloud.account(buyer.customer_id)
    assert (old["credit"], old["devices"], old["version"]) == ("10.00", [], 3)
    assert (new["credit"], new["version"]) == ("0.00", 2)
    assert lines_of(company.pay_for("300", seller)) == "energy 300.00"
    same = give(cloud, seller.serial_number, buyer.customer_id)  # as it is already
    assert (same.status, version(cloud, buyer)) == (200, 3)
