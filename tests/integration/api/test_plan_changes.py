"""Changing plans and giving credit back, as the office and operations ask for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chalicelib.domain.allocation import Line, LineKind
from chalicelib.services.entries import Act, entry_of
from tests.integration.api.conftest import (
    Api,
    Place,
    Reply,
    books_differ,
    entries,
    person,
    registration,
    shs,
)
from tests.integration.company import kes

SOLD = {
    "total": "7000",
    "already_paid": "1400",
    "instalments": 10,
    "every": "week",
    "first_due": "2026-02-17",
}
"""Of ten weekly instalments of 700 two are paid, and the third was due a week ago."""


@pytest.fixture
def plan_id(api: Api, place: Place) -> str:
    """The plan of an SHS of C1; 100 were paid on it here."""
    body = registration(person(place), shs(plan=SOLD))
    answer = api.post("/registrations", body, "office")
    plan_id = str(answer.json["device"]["plan"]["plan_id"])
    account = api.wiring.accounts.get("C1")
    plan = account and account.plan(plan_id)
    assert account and plan
    paid = replace(plan, paid_minor=plan.paid_minor + kes(100))
    posted(api, account.with_plan(paid), Line(LineKind.DEVICE, "SHS1", kes(100)))
    return plan_id


def posted(api: Api, account: Any, line: Line) -> None:
    """Change the account as a payment would, and post it."""
    account = account.next_version()
    act = Act("test", api.clock.now(), "test")
    api.wiring.accounts.change(account, entry_of(act, account, "test", lines=[line]))


def change(api: Api, plan_id: str, **body: object) -> Reply:
    body = {"reason": "a hard year", **body}
    return api.put(f"/customers/C1/plans/{plan_id}", body, "office")


def end(api: Api, plan_id: str, how: str, **body: object) -> Reply:
    body = {"reason": "moved away", **body}
    return api.post(f"/customers/C1/plans/{plan_id}/{how}", body, "office")


# --- new terms --------------------------------------------------------------------------------


def test_a_plan_gets_a_new_total(api: Api, plan_id: str) -> None:
    answer = change(api, plan_id, total="5400")
    assert answer.status == 200
    plan = answer.json
    assert (plan["total"], plan["paid"], plan["open"]) == ("5400.00", "1500.00", "3900.00")
    assert (plan["instalments"], plan["first_due"], plan["state"]) == (8, "2026-03-03", "open")
    assert plan["overdue"] == "400.00", "500 were due on 3 March, and 100 are paid of it"
    assert plan["already_paid"] == "1400.00"
    assert plan["schedule"][:2] == [
        {"number": 0, "due_on": "2026-03-03", "amount": "1400.00", "paid": "1400.00"},
        {"number": 1, "due_on": "2026-03-03", "amount": "500.00", "paid": "100.00"},
    ]
    assert api.get("/customers/C1/account").json["plans"] == [plan]
    entry = entries(api, "C1")[-1]
    assert (entry.what, entry.reason, entry.actor) == (
        "plan_changed",
        "a hard year",
        "office@example.com",
    )
    assert books_differ(api, "C1") == []


def test_a_plan_gets_a_new_rhythm(api: Api, plan_id: str) -> None:
    terms = {"every": "month", "first_due": "2026-04-30", "instalment_amount": "1000"}
    plan = change(api, plan_id, **terms).json
    assert (plan["total"], plan["open"], plan["overdue"]) == ("7000.00", "5500.00", "0.00")
    assert [row["amount"] for row in plan["schedule"][1:]] == ["1000.00"] * 4 + ["1500.00"]
    assert books_differ(api, "C1") == []


def test_a_total_of_what_is_paid_unlocks_the_device(api: Api, plan_id: str) -> None:
    plan = change(api, plan_id, total="1500").json
    assert (plan["state"], plan["open"], plan["overdue"]) == ("paid", "0.00", "0.00")
    device = api.get("/devices/SHS1").json
    assert (device["state"], device["plan"]) == ("unlocked", plan)
    [payment] = api.get("/payments?customer_id=C1").json["items"]
    assert (payment["payment_id"], payment["status"]) == ("entry-C1.3", "completed")
    assert [token["kind"] for token in payment["tokens"]] == ["unlock"]
    assert books_differ(api, "C1") == []


@pytest.mark.parametrize(
    ("body", "code", "fields"),
    [
        ({}, "invalid", ["total"]),
        ({"total": "1499.99"}, "invalid", ["total"]),
        ({"total": "0"}, "invalid_amount", ["total"]),
        ({"total": 5400}, "invalid_amount", ["total"]),
        ({"every": "week"}, "invalid", ["first_due"]),
        ({"first_due": "2026-04-30"}, "invalid", ["every"]),
        ({"instalments": 4}, "invalid", ["every", "first_due"]),
        ({"instalment_amount": "500"}, "invalid", ["every", "first_due"]),
        ({"instalment_amount": "x"}, "invalid_amount", ["instalment_amount"]),
        ({"every": "week", "first_due": "2026-04-30"}, "invalid", ["instalments"]),
        (
            {"every": "week", "first_due": "2026-04-30", "instalments": 0},
            "invalid",
            ["instalments"],
        ),
        ({"every": "day", "first_due": "2026-04-30", "instalments": 4}, "invalid", ["every"]),
        ({"total": "5400", "reason": " "}, "invalid", ["reason"]),
        ({"total": "5400", "down_payment": "1"}, "invalid", ["down_payment"]),
    ],
)
def test_terms_that_mean_nothing_are_refused(
    api: Api, plan_id: str, body: dict[str, object], code: str, fields: list[str]
) -> None:
    answer = change(api, plan_id, **body)
    assert (answer.status, answer.code, answer.fields) == (422, code, fields)
    assert len(entries(api, "C1")) == 2


# --- the end ----------------------------------------------------------------------------------


def test_a_plan_is_cancelled(api: Api, plan_id: str) -> None:
    answer = end(api, plan_id, "cancel", credit="100")
    assert answer.status == 200
    plan = answer.json
    assert (plan["state"], plan["paid"], plan["open"]) == ("cancelled", "1400.00", "5600.00")
    assert plan["overdue"] == "0.00"
    device = api.get("/devices/SHS1").json
    assert (device["state"], device["plan"]) == ("active", plan)
    account = api.get("/customers/C1/account").json
    assert (account["plans"], account["owed"], account["credit"]) == ([], "0.00", "100.00")
    assert end(api, plan_id, "cancel", credit="100").json == plan
    assert len(entries(api, "C1")) == 3
    assert books_differ(api, "C1") == []


@pytest.mark.parametrize(("unlock", "state"), [(False, "active"), (True, "unlocked")])
def test_a_plan_is_written_off(api: Api, plan_id: str, unlock: bool, state: str) -> None:
    plan = end(api, plan_id, "write-off", unlock=unlock).json
    assert (plan["state"], plan["paid"], plan["open"]) == ("written_off", "1500.00", "5500.00")
    device = api.get("/devices/SHS1").json
    assert (device["state"], device["plan"]) == (state, plan)
    assert api.get("/customers/C1/account").json["owed"] == "0.00"
    assert len(api.get("/payments?customer_id=C1").json["items"]) == unlock
    assert end(api, plan_id, "write-off", unlock=unlock).json == plan
    assert books_differ(api, "C1") == []


@pytest.mark.parametrize(
    ("how", "body", "code", "field"),
    [
        ("cancel", {"credit": "100.01"}, "invalid", "credit"),
        ("cancel", {"credit": "-1"}, "invalid_amount", "credit"),
        ("cancel", {"credit": True}, "invalid_amount", "credit"),
        ("cancel", {"reason": ""}, "invalid", "reason"),
        ("write-off", {"unlock": "yes"}, "invalid", "unlock"),
        ("write-off", {"reason": None}, "invalid", "reason"),
    ],
)
def test_an_end_that_means_nothing_is_refused(
    api: Api, plan_id: str, how: str, body: dict[str, object], code: str, field: str
) -> None:
    answer = end(api, plan_id, how, **body)
    assert (answer.status, answer.code, answer.fields) == (422, code, [field])
    assert len(entries(api, "C1")) == 2


def test_a_plan_that_is_not_open_is_not_found(api: Api, plan_id: str) -> None:
    end(api, plan_id, "cancel")
    answers = [
        change(api, plan_id, total="5400"),
        end(api, plan_id, "write-off"),
        end(api, "p-0", "cancel"),
        api.post(f"/customers/C2/plans/{plan_id}/cancel", {"reason": "x"}, "office"),
    ]
    assert [(answer.status, answer.code) for answer in answers] == [(404, "not_found")] * 4


# --- credit -----------------------------------------------------------------------------------


@pytest.fixture
def credit(api: Api, plan_id: str) -> None:
    """C1 has a credit of 100."""
    end(api, plan_id, "cancel", credit="100")


def refund(api: Api, amount: object, key: str | None = None, reason: str = "moved away") -> Reply:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"amount": amount, "reason": reason}
    path = "/customers/C1/credit/refunds"
    return api.send("POST", path, body, role="operations", headers=headers)


def test_credit_is_given_back(api: Api, credit: None) -> None:
    answer = refund(api, "60")
    assert answer.status == 201
    assert answer.json == {
        "customer_id": "C1",
        "account_version": 4,
        "what": "credit_refunded",
        "at": "2026-03-10T09:00:00.000Z",
        "actor": "operations@example.com",
        "reason": "moved away",
        "amount": "60.00",
        "credit": "40.00",
    }
    assert api.get("/customers/C1/account").json["credit"] == "40.00"
    assert books_differ(api, "C1") == []


def test_more_than_there_is_is_not(api: Api, credit: None) -> None:
    answer = refund(api, "100.01")
    assert (answer.status, answer.code) == (409, "not_refundable")


def test_with_a_key_it_is_given_back_once(api: Api, credit: None) -> None:
    first, again = refund(api, "60", "k1"), refund(api, "60", "k1")
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    assert ("idempotency-hit" in first.headers, again.headers["idempotency-hit"]) == (
        False,
        "true",
    )
    other = refund(api, "40", "k1")
    assert (other.status, other.code) == (409, "reference_conflict")
    assert api.get("/customers/C1/account").json["credit"] == "40.00"


@pytest.mark.parametrize("key", ["", "a b", "x" * 65])
def test_a_key_that_is_none_is_refused(api: Api, credit: None, key: str) -> None:
    answer = refund(api, "60", key)
    assert (answer.status, answer.fields) == (422, ["Idempotency-Key"])


@pytest.mark.parametrize("amount", ["0", "-1", None, 60, "1e2", "0.001"])
def test_an_amount_that_is_none_is_refused(api: Api, credit: None, amount: object) -> None:
    answer = refund(api, amount)
    assert (answer.status, answer.code, answer.fields) == (422, "invalid_amount", ["amount"])


def test_nobody_gets_no_credit_back(api: Api) -> None:
    body = {"amount": "1", "reason": "x"}
    answer = api.post("/customers/C9/credit/refunds", body, "operations")
    assert (answer.status, answer.code) == (404, "not_found")
