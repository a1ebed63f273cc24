"""Payments as staff and partners see them."""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.payment import Status, Vend, VendState
from chalicelib.services.ports import Message, MessageState
from tests.integration.api.conftest import (
    PARTNER_SECRET,
    PATH_SECRET,
    PLAN,
    Api,
    Place,
    Reply,
    meter,
    person,
    registration,
    shs,
)
from tests.integration.company import claim

PAYMENT_FIELDS = {
    "payment_id",
    "channel",
    "reference",
    "serial_number",
    "customer_id",
    "amount",
    "currency",
    "moment",
    "status",
    "reason",
    "lines",
    "vends",
    "tokens",
    "received_at",
    "settled_at",
    "completed_at",
    "events",
}


@pytest.fixture
def asha(api: Api, place: Place) -> str:
    """A customer with a meter and an SHS, one instalment of which is overdue."""
    api.post("/registrations", registration(person(place), meter(place)), "field")
    plan = {**PLAN, "first_due": "2026-03-09"}
    api.post("/registrations", registration({"customer_id": "C1"}, shs(plan=plan)), "office")
    return "C1"


def pay_direct(api: Api, amount: object, serial_number: str = "SHS1", **more: object) -> Reply:
    body = {
        "reference": "T1",
        "serial_number": serial_number,
        "amount": amount,
        "currency": "KES",
        **more,
    }
    return api.send("POST", "/payments/direct", body, role=None, headers=api.signed(body))


def settle(api: Api, payment_id: str) -> None:
    payment = api.wiring.payments.get(payment_id)
    assert payment is not None
    api.wiring.settle.settle(payment_id, payment.customer_id, payment.serial_number)


def paid(api: Api, serial_number: str, amount: int, transaction: str) -> str:
    """Money that has moved, stored and not settled."""
    accepted = api.wiring.accept.accept(claim(serial_number, amount, transaction), money_moved=True)
    return accepted.payment.payment_id


# --- direct -----------------------------------------------------------------------------------


def test_a_partner_s_payment_becomes_a_token(api: Api, asha: str) -> None:
    taken = pay_direct(api, "1100")
    assert (taken.status, taken.json["status"]) == (202, "received")
    payment_id = taken.json["payment_id"]
    settle(api, payment_id)
    shown = api.get(f"/payments/{payment_id}").json
    assert set(shown) == PAYMENT_FIELDS
    assert (shown["status"], shown["amount"], shown["currency"]) == ("completed", "1100.00", "KES")
    assert shown["lines"] == [
        {"kind": "device", "ref": "SHS1", "amount": "700.00"},
        {"kind": "time", "ref": "SHS1", "amount": "400.00"},
    ]
    [vend] = shown["vends"]
    assert vend == {
        "number": 1,
        "serial_number": "SHS1",
        "manufacturer": "openpaygo",
        "kind": "time",
        "units": "4",
        "unit": "days",
        "state": "done",
        "attempts": 1,
    }
    [token] = shown["tokens"]
    value = token.pop("value")
    assert len(value) == 9 and value.isdigit()
    assert token == {"serial_number": "SHS1", "kind": "time", "units": "4", "unit": "days"}
    again = pay_direct(api, "1100.00")
    assert (again.status, again.json["status"]) == (200, "completed")
    assert again.headers["idempotency-hit"] == "true"


def test_a_partner_reads_its_own_payment(api: Api, asha: str) -> None:
    payment_id = pay_direct(api, "1100").json["payment_id"]
    signature = signed_reference(api, "T1")
    read = api.send("GET", "/payments/direct/T1", role=None, headers=signature)
    assert read.status == 200
    assert read.json == api.get(f"/payments/{payment_id}").json
    none = api.send("GET", "/payments/direct/T2", role=None, headers=signed_reference(api, "T2"))
    assert (none.status, none.code) == (404, "not_found")


def signed_reference(api: Api, reference: str) -> dict[str, str]:
    at = str(int(api.clock.now().timestamp()))
    text = f"{at}.{reference}".encode()
    signature = hmac.new(PARTNER_SECRET.encode(), text, "sha256").hexdigest()
    return {"Mwanga-Partner": "demo", "Mwanga-Signature": f"t={at},v1={signature}"}


def test_a_quote_tells_a_partner_what_a_payment_would_bring(api: Api, asha: str) -> None:
    body = {"serial_number": "shs 1", "amount": "1100", "currency": "KES"}
    quote = api.send("POST", "/payments/direct/quotes", body, role=None, headers=api.signed(body))
    assert (quote.status, quote.json) == (
        200,
        {
            "serial_number": "SHS1",
            "amount": "1100.00",
            "currency": "KES",
            "customer_name": "ASHA M.",
            "lines": [
                {"kind": "device", "ref": "SHS1", "amount": "700.00"},
                {"kind": "time", "ref": "SHS1", "amount": "400.00"},
            ],
            "tokens": [{"serial_number": "SHS1", "kind": "time", "units": "4", "unit": "days"}],
        },
    )
    assert api.get("/payments?serial_number=SHS1").json["items"] == []


@pytest.mark.parametrize(
    ("amount", "serial_number", "more", "code"),
    [
        ("0", "SHS1", {}, "invalid_amount"),
        (1100, "SHS1", {}, "invalid_amount"),
        ("1100", "SHS1", {"currency": "UGX"}, "wrong_currency"),
        ("1100", "nobody's", {}, "unknown_device"),
    ],
)
def test_a_refusal_is_a_problem_with_its_code(
    api: Api, asha: str, amount: object, serial_number: str, more: dict[str, Any], code: str
) -> None:
    answer = pay_direct(api, amount, serial_number, **more)
    assert (answer.status, answer.code) == (422, code)


def test_a_refused_payment_can_be_read(api: Api, asha: str) -> None:
    pay_direct(api, "1100", "NOBODY")
    shown = api.get("/payments/direct.demo-T1").json
    assert (shown["status"], shown["reason"]) == ("refused", "unknown_device")
    assert shown["settled_at"] is None


def test_a_reference_used_for_another_payment_is_a_conflict(api: Api, asha: str) -> None:
    pay_direct(api, "1100")
    answer = pay_direct(api, "1200")
    assert (answer.status, answer.code) == (409, "reference_conflict")


def test_a_provider_is_answered_in_its_own_words(api: Api, asha: str) -> None:
    body = {
        "TransID": "RKTQDM7W6S",
        "TransTime": "20260310120000",
        "TransAmount": "500",
        "BusinessShortCode": "600966",
        "BillRefNumber": "shs 1",
    }
    confirmed = api.send("POST", f"/payments/daraja/{PATH_SECRET}/confirmation", body, role=None)
    assert (confirmed.status, confirmed.json) == (200, {"ResultCode": 0, "ResultDesc": "Accepted"})
    assert ids(api.get("/payments?serial_number=SHS1")) == ["RKTQDM7W6S"]
    wrong = api.send("POST", "/payments/daraja/wrong/confirmation", body, role=None)
    assert wrong.status == 404
    assert "code" not in wrong.json


# --- finding ----------------------------------------------------------------------------------


def ids(reply: Reply) -> list[str]:
    return [item["payment_id"].rpartition("-")[2] for item in reply.json["items"]]


@pytest.fixture
def four(api: Api, asha: str) -> None:
    """Payments T1 to T4: for the SHS, the meter, the SHS; and one for a serial nobody has."""
    for number, serial_number in enumerate(("SHS1", "47001", "SHS1", "NOBODY"), start=1):
        paid(api, serial_number, 100, f"T{number}")
        api.clock.move(timedelta(seconds=1))


def test_a_customer_s_payments_are_listed_newest_first(api: Api, four: None) -> None:
    assert ids(api.get("/payments?customer_id=C1")) == ["T3", "T2", "T1"]
    first = api.get("/payments?customer_id=C1&limit=2")
    assert ids(first) == ["T3", "T2"]
    rest = api.get(f"/payments?customer_id=C1&limit=2&cursor={first.json['next']}")
    assert (ids(rest), rest.json["next"]) == (["T1"], None)


def everything(api: Api, query: str) -> list[str]:
    """All parts of a list, one item at a time."""
    found, cursor = [], ""
    while True:
        part = api.get(f"/payments?{query}&limit=1{cursor}")
        found += ids(part)
        if part.json["next"] is None:
            return found
        cursor = f"&cursor={part.json['next']}"


def test_a_device_s_payments_are_picked_out_of_its_owner_s(api: Api, four: None) -> None:
    assert everything(api, "serial_number=shs-1") == ["T3", "T1"]
    assert everything(api, "serial_number=47001") == ["T2"]
    assert everything(api, "serial_number=NOBODY") == ["T4"]
    assert everything(api, "serial_number=NEVER") == []


def test_payments_from_before_a_device_was_registered_are_its_own(
    api: Api, four: None, place: Place
) -> None:
    late = registration({"customer_id": "C1"}, meter(place, serial_number="NOBODY"))
    api.post("/registrations", late, "field")
    paid(api, "NOBODY", 100, "T5")
    assert everything(api, "serial_number=NOBODY") == ["T5", "T4"]


def test_a_long_list_without_the_device_gives_an_empty_part_to_go_on_from(
    api: Api, four: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.services.find_payments.PAGES_MAX", 1)
    first = api.get("/payments?serial_number=47001&limit=1")
    assert (ids(first), first.json["next"] is None) == ([], False)
    assert everything(api, "serial_number=47001") == ["T2"]


def test_open_payments_are_listed_by_status(api: Api, four: None) -> None:
    settle(api, "mpesa_ke.600966-T4")
    assert ids(api.get("/payments?status=held")) == ["T4"]
    assert sorted(everything(api, "status=received")) == ["T1", "T2", "T3"]


# --- held payments ----------------------------------------------------------------------------


def held(api: Api, *, customer_id: str | None = "C1") -> str:
    """A payment for the meter whose vend is uncertain."""
    vend = Vend(
        number=1,
        serial_number="47001",
        manufacturer="calin",
        kind=VendKind.ENERGY,
        state=VendState.UNCERTAIN,
        units=Fraction(5),
        money_minor=50_000,
        cost_minor=Fraction(50_000),
        attempts=1,
    )
    payment_id = paid(api, "47001", 500, "H1")
    payment = api.wiring.payments.get(payment_id)
    assert payment is not None
    waiting = replace(
        payment,
        customer_id=customer_id,
        status=Status.HELD,
        reason="vend_uncertain",
        vends=(vend,),
        lines=(Line(LineKind.ENERGY, "47001", 50_000),),
        settled_at=api.clock.now(),
        account_versions=(3,),
    )
    api.wiring.payments.save(waiting.with_event(api.clock.now(), "held", reason="vend_uncertain"))
    return payment_id


def resolve(api: Api, payment_id: str, **body: object) -> Reply:
    return api.post(
        f"/payments/{payment_id}/resolve", {"reason": "asked them", **body}, "operations"
    )


def test_the_token_that_was_issued_after_all_completes_the_payment(api: Api, asha: str) -> None:
    answer = resolve(
        api, held(api), outcome="token", token="1234 5678 9012 3456 7890", units="5.0", vend=1
    )
    assert (answer.status, answer.json["status"]) == (202, "completed")
    assert answer.json["tokens"][0]["value"] == "12345678901234567890"
    assert answer.json["vends"][0]["units"] == "5"
    assert answer.json["events"][-1]["what"] == "resolved_token"
    assert answer.json["events"][-1]["actor"] == "operations@example.com"
    assert answer.json["events"][-1]["reason"] == "asked them"


def test_a_vend_that_issued_nothing_is_void_and_the_payment_stays_held(api: Api, asha: str) -> None:
    answer = resolve(api, held(api), outcome="not_issued")
    assert (answer.status, answer.json["status"]) == (202, "held")
    assert answer.json["vends"][0]["state"] == "void"


def test_an_uncertain_vend_is_tried_again_only_by_who_says_that_none_was_issued(
    api: Api, asha: str
) -> None:
    payment_id = held(api)
    path = f"/payments/{payment_id}/retry"
    refused = api.post(path, {"reason": "try"}, "operations")
    assert (refused.status, refused.fields) == (422, ["not_issued"])
    again = api.post(path, {"reason": "try", "not_issued": True, "vend": 1}, "operations")
    assert (again.status, again.json["status"]) == (202, "vending")
    assert [vend["state"] for vend in again.json["vends"]] == ["void", "intended"]
    repeated = api.post(path, {"reason": "try", "not_issued": True}, "operations")
    assert (repeated.status, repeated.code) == (409, "not_held")


def test_money_that_bought_nothing_becomes_credit(api: Api, asha: str) -> None:
    answer = resolve(api, held(api), outcome="credit")
    assert (answer.status, answer.json["status"]) == (202, "completed")
    assert answer.json["lines"][-2:] == [
        {"kind": "energy", "ref": "47001", "amount": "-500.00"},
        {"kind": "credit", "ref": "C1", "amount": "500.00"},
    ]
    assert api.get("/customers/C1/account").json["credit"] == "500.00"


def test_a_payment_for_a_wrong_serial_number_is_assigned(api: Api, asha: str) -> None:
    payment_id = paid(api, "NOBODY", 500, "W1")
    settle(api, payment_id)
    answer = resolve(api, payment_id, outcome="assign", serial_number="shs 1")
    assert (answer.status, answer.json["status"]) == (202, "received")
    assert (answer.json["serial_number"], answer.json["customer_id"]) == ("SHS1", "C1")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"outcome": "nonsense"}, "invalid", "outcome"),
        ({"outcome": "token"}, "invalid", "token"),
        ({"outcome": "assign"}, "invalid", "serial_number"),
        ({"outcome": "credit", "token": "1"}, "invalid", "token"),
        ({"outcome": "token", "token": "1", "serial_number": "1"}, "invalid", "serial_number"),
        ({"outcome": "token", "token": "12", "vend": 1}, "invalid", "token"),
        ({"outcome": "token", "token": "1" * 20, "units": "0"}, "invalid", "units"),
        ({"outcome": "token", "token": "1" * 20, "units": "x"}, "invalid", "units"),
        ({"outcome": "token", "token": "1" * 20, "units": "4"}, "invalid", "units"),
        ({"outcome": "token", "token": "1" * 20, "vend": 2}, "invalid", "vend"),
        ({"outcome": "assign", "serial_number": "§"}, "unknown_device", "serial_number"),
        ({"outcome": "credit", "reason": " "}, "invalid", "reason"),
    ],
)
def test_an_outcome_that_cannot_be_is_refused(
    api: Api, asha: str, body: dict[str, Any], code: str, field: str
) -> None:
    answer = resolve(api, held(api), **body)
    assert (answer.status, answer.code, answer.fields) == (422, code, [field])


def test_a_payment_that_is_not_held_is_not_resolved(api: Api, asha: str) -> None:
    payment_id = paid(api, "SHS1", 500, "T1")
    answer = resolve(api, payment_id, outcome="not_issued")
    assert (answer.status, answer.code) == (409, "not_held")


# --- messages ---------------------------------------------------------------------------------


def test_the_messages_of_a_payment_are_listed(api: Api, asha: str) -> None:
    payment_id = paid(api, "SHS1", 500, "T1")
    for number, sent_at in ((2, None), (1, api.clock.now())):
        state = MessageState.SENT if sent_at else MessageState.QUEUED
        message = Message(payment_id, number, "+254712345678", "en", "Thanks", state, 1, sent_at)
        api.wiring.messages.put(message)
    first = api.get(f"/messages?payment_id={payment_id}&limit=1").json
    assert first["items"] == [
        {
            "number": 1,
            "payment_id": payment_id,
            "to": "+254712345678",
            "language": "en",
            "body": "Thanks",
            "state": "sent",
            "sent_at": "2026-03-10T09:00:00.000Z",
        }
    ]
    rest = api.get(f"/messages?payment_id={payment_id}&cursor={first['next']}").json
    assert [(m["number"], m["state"], m["sent_at"]) for m in rest["items"]] == [(2, "queued", None)]


def test_a_currency_nobody_knows_is_shown_like_ours(api: Api, asha: str) -> None:
    body = {"currency": "XTS"}
    payment_id = pay_direct(api, "5", **body).json.get("payment_id", "direct.demo-T1")
    assert api.get(f"/payments/{payment_id}").json["amount"] == "5.00"
