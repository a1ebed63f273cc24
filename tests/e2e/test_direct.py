"""The direct channel: signatures, refusals, repeats and quotes."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.local.client import Answer, Cloud
from tests.e2e.company import Company, Household, day, phone, serial, unique


@pytest.fixture(scope="module")
def household(company: Company) -> Household:
    return company.shs(total="70000.00", instalments=100)


def claim(household: Household, **changes: Any) -> dict[str, Any]:
    body = {
        "reference": unique("ref-"),
        "serial_number": household.serial_number,
        "amount": "10.00",
        "currency": "KES",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def send(cloud: Cloud, body: Any) -> Answer:
    return cloud.partner.post("/payments/direct", body)


def nothing_stored(cloud: Cloud, reference: str) -> bool:
    return cloud.partner.get(reference).status == 404


# --- the way of a payment -------------------------------------------------------------------


def test_a_payment_is_accepted_settled_and_can_be_read(cloud: Cloud, household: Household) -> None:
    body = claim(household, amount="700.00")
    answer = send(cloud, body)
    payment_id = f"direct.{cloud.partner.partner}-{body['reference']}"
    assert (answer.status, answer.body) == (
        202,
        {"payment_id": payment_id, "status": "received"},
    )
    cloud.wait_for_payment(payment_id, {"completed"})
    read = cloud.partner.get(body["reference"])
    assert read.status == 200
    assert read.body == cloud.payment(payment_id)
    assert (read.body["channel"], read.body["reference"]) == ("direct", body["reference"])
    assert read.body["vends"][0]["state"] == "done"


def test_the_same_again_is_answered_with_how_it_stands(cloud: Cloud, household: Household) -> None:
    body = claim(household)
    send(cloud, body)
    cloud.wait_for_payment(cloud.partner.payment_id(body["reference"]), {"completed"})
    again = send(cloud, {**body, "serial_number": f" {body['serial_number'].lower()} "})
    assert (again.status, again.headers.get("Idempotency-Hit")) == (200, "true")
    assert again.body["status"] == "completed"


def test_another_claim_under_a_used_reference_is_a_conflict(
    cloud: Cloud, household: Household
) -> None:
    body = claim(household)
    send(cloud, body)
    before = cloud.wait_for_payment(cloud.partner.payment_id(body["reference"]), {"completed"})
    for changes in ({"amount": "11.00"}, {"serial_number": serial()}, {"amount": "0"}):
        answer = send(cloud, {**body, **changes})
        assert (answer.status, answer.code) == (409, "reference_conflict"), changes
    after = cloud.payment(before["payment_id"])
    assert {**after, "events": []} == {**before, "events": []}
    assert "reference_conflict" in {event["what"] for event in after["events"]}


def test_twenty_at_once_are_one_payment(cloud: Cloud, company: Company) -> None:
    household = company.shs()
    body = claim(household, amount="700.00")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: send(cloud, body), range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 19 + [202]
    payment = cloud.wait_for_payment(cloud.partner.payment_id(body["reference"]), {"completed"})
    assert len(payment["tokens"]) == 1
    assert cloud.account(household.customer_id)["version"] == 2


def test_partners_do_not_see_each_others_payments(cloud: Cloud, household: Household) -> None:
    body = claim(household)
    send(cloud, body)
    assert cloud.second_partner.get(body["reference"]).status == 404
    other = cloud.second_partner.post("/payments/direct", {**body, "amount": "12.00"})
    assert other.status == 202


def test_a_refused_reference_stays_free(cloud: Cloud, company: Company) -> None:
    number = serial()
    body = {
        "reference": unique("ref-"),
        "serial_number": number,
        "amount": "500.00",
        "currency": "KES",
    }
    assert send(cloud, body).code == "unknown_device"
    read = cloud.partner.get(body["reference"])
    assert (read.body["status"], read.body["reason"]) == ("refused", "unknown_device")
    company.meter(serial_number=number)
    assert send(cloud, body).status == 202
    payment = cloud.wait_for_payment(cloud.partner.payment_id(body["reference"]))
    assert payment["status"] == "completed"
    assert [event["what"] for event in payment["events"]] == ["refused"]


# --- refusals -------------------------------------------------------------------------------

BAD_AMOUNTS = [
    "0",
    "0.00",
    "-1",
    "-0.01",
    "+5",
    "1e3",
    "1,000",
    "1 000",
    "1_000",
    "0.001",
    "10.005",
    "NaN",
    "Infinity",
    "",
    " ",
    "٥",
    "ten",
    ".",
    "1.",
    "99999999999999999999",
    10,
    10.5,
    True,
    ["10"],
    {"value": "10"},
]


def test_amounts_that_are_none_are_refused_and_nothing_is_stored(
    cloud: Cloud, household: Household
) -> None:
    version = cloud.account(household.customer_id)["version"]
    for amount in BAD_AMOUNTS:
        answer = send(cloud, claim(household, amount=amount))
        assert (answer.status, answer.code) == (422, "invalid_amount"), amount
    assert cloud.account(household.customer_id)["version"] == version


@pytest.mark.parametrize("amount", ["10", "10.0", "010.00", "10.50", "10.500"])
def test_amounts_are_read_exactly(cloud: Cloud, household: Household, amount: str) -> None:
    body = claim(household, amount=amount)
    assert send(cloud, body).status == 202
    shown = cloud.partner.get(body["reference"]).body["amount"]
    assert shown == ("10.50" if "5" in amount else "10.00")


def test_refusals_come_in_their_order(cloud: Cloud, company: Company, household: Household) -> None:
    paid_off = company.shs(total="1.00", instalments=1)
    company.pay_for("1", paid_off)
    meter = company.meter()
    cases = [
        ({"amount": "0", "currency": "USD", "serial_number": serial()}, "invalid_amount"),
        ({"currency": "USD", "serial_number": serial()}, "wrong_currency"),
        ({"serial_number": serial()}, "unknown_device"),
        ({"serial_number": "no 💡 device"}, "unknown_device"),
        ({"serial_number": paid_off.serial_number}, "nothing_to_pay"),
        ({"serial_number": meter.serial_number, "amount": "9.99"}, "too_small"),
    ]
    for changes, code in cases:
        body = claim(household, **changes)
        answer = send(cloud, body)
        assert (answer.status, answer.code) == (422, code), changes
        quote = {name: value for name, value in body.items() if name != "reference"}
        quoted = cloud.partner.post("/payments/direct/quotes", quote)
        assert (quoted.status, quoted.code) == (422, code), changes


@pytest.mark.parametrize(
    "spell",
    [
        str.lower,
        lambda text: f"  {text} ",
        lambda text: "-".join((text[:4], text[4:])),
        lambda text: " ".join((text[:2], text[2:6], text[6:])),
        lambda text: text.replace("0", "\uff10"),
        lambda text: "\u2013".join((text[:4], text[4:])),
    ],
    ids=["lower case", "spaces around", "dash", "spaces", "full width", "en dash"],
)
def test_a_serial_is_known_however_it_is_spelled(
    cloud: Cloud, household: Household, spell: Any
) -> None:
    body = claim(household, serial_number=spell(household.serial_number))
    assert send(cloud, body).status == 202
    assert cloud.partner.get(body["reference"]).body["serial_number"] == household.serial_number


def test_leading_zeros_count(cloud: Cloud, company: Company) -> None:
    company.meter(serial_number=(number := "00" + serial("")))
    assert cloud.partner.pay(number, "100.00", unique("ref-")).status == 202
    assert cloud.partner.pay(number[1:], "100.00", unique("ref-")).code == "unknown_device"


# --- what is no request ---------------------------------------------------------------------


def test_fields_that_are_not_right_are_named(cloud: Cloud, household: Household) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"colour": "red"}, "colour"),
        ({"reference": "with space"}, "reference"),
        ({"reference": "r" * 65}, "reference"),
        ({"reference": None}, "reference"),
        ({"serial_number": None}, "serial_number"),
        ({"serial_number": 47}, "serial_number"),
        ({"payer_phone": "call me"}, "payer_phone"),
        ({"paid_at": "yesterday"}, "paid_at"),
        ({"paid_at": f"{day(0)}T10:00:00"}, "paid_at"),
    ]
    for changes, field in cases:
        answer = send(cloud, claim(household, **changes))
        assert (answer.status, answer.code, answer.fields) == (422, "invalid", {field}), changes


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b"{",
        b'{"amount": NaN}',
        b'{"amount": "1", "amount": "2"}',
        b"[" * 5000,
    ],
)
def test_a_body_that_is_no_json_object_is_malformed(cloud: Cloud, raw: bytes) -> None:
    answer = send(cloud, raw)
    assert (answer.status, answer.code) == (400, "malformed")


def test_a_body_that_is_too_large_is_turned_away(cloud: Cloud, household: Household) -> None:
    answer = send(cloud, claim(household, payer_phone="+" + "1" * 70_000))
    assert (answer.status, answer.code) == (413, "too_large")


def test_another_kind_of_body_is_turned_away(cloud: Cloud, household: Household) -> None:
    raw = json.dumps(claim(household)).encode()
    headers = {**cloud.partner.signed(raw), "Content-Type": "text/plain"}
    answer = cloud.api.call("POST", "/payments/direct", raw, headers=headers)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


# --- signatures -----------------------------------------------------------------------------


def forged(cloud: Cloud, headers: dict[str, str], body: dict[str, Any]) -> Answer:
    return cloud.api.call("POST", "/payments/direct", json.dumps(body).encode(), headers=headers)


def test_only_a_true_signature_is_believed(cloud: Cloud, household: Household) -> None:
    body = claim(household)
    raw = json.dumps(body).encode()
    partner = cloud.partner
    true = partner.signed(raw)
    text = true["Mwanga-Signature"]
    cases = {
        "no headers": ({}, {"invalid_signature", "unknown_partner"}),
        "no signature": ({"Mwanga-Partner": partner.partner}, {"invalid_signature"}),
        "another body": (partner.signed(raw + b" "), {"invalid_signature"}),
        "another secret": (partner.signed(raw, secret="guess"), {"invalid_signature"}),
        "six minutes old": (partner.signed(raw, at=time.time() - 360), {"expired_signature"}),
        "six minutes ahead": (partner.signed(raw, at=time.time() + 360), {"expired_signature"}),
        "another time": (
            {**true, "Mwanga-Signature": text.replace("t=1", "t=2", 1)},
            {"invalid_signature"},
        ),
        "half a signature": ({**true, "Mwanga-Signature": text[:-2]}, {"invalid_signature"}),
        "another partner": (
            {**true, "Mwanga-Partner": cloud.second_partner.partner},
            {"invalid_signature"},
        ),
        "unknown partner": ({**true, "Mwanga-Partner": "nobody"}, {"unknown_partner"}),
    }
    for what, (headers, codes) in cases.items():
        answer = forged(cloud, headers, body)
        assert answer.status == 401, what
        assert answer.code in codes, what
    assert nothing_stored(cloud, body["reference"])
    assert forged(cloud, true, body).status == 202


def test_a_signature_of_four_minutes_ago_is_still_good(cloud: Cloud, household: Household) -> None:
    body = claim(household)
    headers = cloud.partner.signed(json.dumps(body).encode(), at=time.time() - 240)
    assert forged(cloud, headers, body).status == 202


def test_reading_needs_the_signature_of_that_very_reference(
    cloud: Cloud, household: Household
) -> None:
    body = claim(household)
    send(cloud, body)
    path = f"/payments/direct/{body['reference']}"
    of_another = cloud.partner.signed(b"ref-of-another")
    answer = cloud.api.call("GET", path, headers=of_another)
    assert (answer.status, answer.code) == (401, "invalid_signature")
    assert cloud.api.call("GET", path).status == 401


# --- quotes ---------------------------------------------------------------------------------


def test_a_quote_says_what_a_payment_would_bring_and_writes_nothing(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs(first_due=day(3 - 14))
    before = cloud.account(household.customer_id)
    answer = cloud.partner.quote(household.serial_number, "2100.00")
    assert answer.status == 200
    quote = answer.body
    assert quote["customer_name"].startswith("ASHA ")
    assert quote["customer_name"].endswith(".")
    assert [(line["kind"], line["amount"]) for line in quote["lines"]] == [
        ("device", "1400.00"),
        ("time", "700.00"),
    ]
    assert [(token["kind"], token["units"], token["unit"]) for token in quote["tokens"]] == [
        ("time", "7", "days")
    ]
    assert "value" not in quote["tokens"][0]
    assert cloud.account(household.customer_id) == before
    listed = cloud.staff("office").get("/payments", customer_id=household.customer_id)
    assert listed.body["items"] == []


def test_a_quote_needs_a_signature(cloud: Cloud, household: Household) -> None:
    body = {"serial_number": household.serial_number, "amount": "10.00", "currency": "KES"}
    assert cloud.api.call("POST", "/payments/direct/quotes", body).status == 401


# --- lists ----------------------------------------------------------------------------------


def test_payments_are_listed_newest_first_in_pages(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    made = [company.pay_for("100", household)["payment_id"] for _ in range(3)]
    office = cloud.staff("office")
    first = office.get("/payments", customer_id=household.customer_id, limit=2).body
    second = office.get(
        "/payments", customer_id=household.customer_id, limit=2, cursor=first["next"]
    ).body
    listed = [payment["payment_id"] for payment in first["items"] + second["items"]]
    assert listed == made[::-1]
    assert second["next"] is None
    by_serial = office.get("/payments", serial_number=household.serial_number).body["items"]
    assert {payment["payment_id"] for payment in by_serial} == set(made)


def test_the_payer_is_told_where_the_customer_is_not_known(cloud: Cloud) -> None:
    reference, payer = unique("ref-"), phone()
    assert cloud.partner.pay(serial(), "500.00", reference, payer_phone=payer).status == 422
    message = cloud.wait_for_message(cloud.partner.payment_id(reference))
    assert (message["to"], message["number"]) == (payer, 93)
