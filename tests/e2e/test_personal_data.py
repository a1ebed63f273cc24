"""What is kept about one person: taken out, and erased, with the books untouched."""

from __future__ import annotations

import json
from typing import Any

from infra.local.audit import audit
from infra.local.client import Cloud, wait_for
from tests.e2e.books import differences
from tests.e2e.company import Company, created, unique


def erasure(cloud: Cloud, customer_id: str) -> dict[str, Any]:
    """Ask for the erasure, or how far it is."""
    answer = cloud.staff("admin").post(f"/customers/{customer_id}/erasure", {"reason": "asked to"})
    assert answer.status in (200, 202), answer
    body: dict[str, Any] = answer.body
    return body


def test_a_customer_is_told_everything_and_erased_and_the_books_stay_right(
    cloud: Cloud, company: Company
) -> None:
    admin, office = cloud.staff("admin"), cloud.staff("office")
    who = company.person(name="Wanjiru", surname=unique("Kimani "))
    household = company.shs(total="700.00", instalments=1)
    customer_id = household.customer_id
    assert office.put(f"/customers/{customer_id}", {**who, "phone": household.phone}).status == 200
    payment = company.pay(household.serial_number, "300.00", payer_phone=household.phone)
    message = cloud.wait_for_message(payment["payment_id"])

    # What is kept about her, for her to have.
    told = admin.get(f"/customers/{customer_id}/personal-data").body
    [paid] = told["payments"]["items"]
    assert (paid["payment_id"], paid["payer_phone"]) == (payment["payment_id"], household.phone)
    assert [sms["body"] for sms in paid["messages"]] == [message["body"]]

    # She still has a device and owes for it.
    path = f"/customers/{customer_id}/erasure"
    refused = admin.post(path, {"reason": "asked to"})
    assert (refused.status, refused.code) == (409, "not_erasable")
    plan = f"/customers/{customer_id}/plans/{household.plan_id}/write-off"
    assert office.post(plan, {"reason": "moved away"}).status == 200
    owner = f"/devices/{household.serial_number}/owner"
    assert office.put(owner, {"customer_id": None, "reason": "moved away"}).status == 200

    # Erased: by a worker, a moment later.
    assert erasure(cloud, customer_id)["state"] == "under_way"
    wait_for(
        lambda: office.get(f"/customers/{customer_id}").body,
        lambda customer: customer["erasure"] == "finished",
        "the end of the erasure",
    )
    assert erasure(cloud, customer_id)["state"] == "finished"
    for query in ({"phone": household.phone}, {"name": "Wanjiru"}):
        assert office.get("/customers", **query).body["items"] == []
    told = json.dumps(admin.get(f"/customers/{customer_id}/personal-data").body)
    for personal in (household.phone, "Wanjiru", "Kimani", message["body"]):
        assert personal not in told

    # The payment is what it was, its report is still known, and the books are right.
    assert cloud.payment(payment["payment_id"]) == payment
    assert differences(audit(cloud)) == {}
    changed = cloud.staff("operations").get("/changes", customer_id=customer_id).body["items"]
    assert "customer_erased" in [change["what"] for change in changed]

    # Her phone and her name are free: to come back is to be somebody new.
    back = created(office.post("/customers", {**who, "phone": household.phone}))
    assert back["id"] != customer_id and back["needs_review"] == []
