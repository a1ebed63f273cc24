"""Giving money back, as operations ask for it."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.domain.payment import Payment, RefundState, Status
from chalicelib.services.ports import RecoveryClass
from tests.integration.api.conftest import Api, Place, Reply, meter, person, registration
from tests.integration.company import claim, kes
from tests.integration.services.fake_provider import (
    ON_CHANNEL,
    FakeProvider,
    FakeProviders,
    refusing,
    unclear,
)

PAYMENT_ID = "paystack-T1"


@pytest.fixture
def provider(api: Api) -> FakeProvider:
    """The provider of the channel."""
    provider = FakeProvider(RecoveryClass.OPAQUE)
    api.wiring.providers = FakeProviders(provider)
    return provider


@pytest.fixture
def due(api: Api, place: Place, provider: FakeProvider) -> Payment:
    """500 for a device that nobody has; C1 has a meter."""
    api.post("/registrations", registration(person(place), meter(place)), "field")
    api.wiring.accept.accept(claim("NOBODY", 500, **ON_CHANNEL), money_moved=True)
    settled = api.wiring.settle.settle(PAYMENT_ID, None, "NOBODY")
    assert settled is not None
    return settled


def refund(api: Api, role: str = "operations", payment_id: str = PAYMENT_ID, **body: Any) -> Reply:
    return api.post(f"/payments/{payment_id}/refund", {"reason": "theirs", **body}, role)


def asked(api: Api, provider: FakeProvider, behaviour: Any) -> None:
    """The provider was asked, and did that."""
    provider.behaviours = [behaviour]
    minute = api.clock.now().replace(minute=59)
    api.wiring.ask_provider.work(PAYMENT_ID, minute)


def stored(api: Api) -> Payment:
    payment = api.wiring.payments.get(PAYMENT_ID)
    assert payment is not None
    return payment


@pytest.mark.parametrize(("body", "amount"), [({}, 500), ({"amount": "200.00"}, 200)])
def test_a_refund_is_taken_and_the_payment_shown_as_it_stands(
    api: Api, due: Payment, body: dict[str, str], amount: int
) -> None:
    assert due.status is Status.REFUND_DUE
    answer = refund(api, **body)
    assert (answer.status, answer.json["status"]) == (202, "refunding")
    event = answer.json["events"][-1]
    assert (event["what"], event["reason"]) == ("refund", "theirs")
    assert event["actor"] == "operations@example.com"
    assert [r.amount_minor for r in stored(api).refunds] == [kes(amount)]


def test_what_waits_to_go_back_is_listed_by_its_status(api: Api, due: Payment) -> None:
    listed = api.get("/payments?status=refund_due").json["items"]
    assert [item["payment_id"] for item in listed] == [PAYMENT_ID]


def test_a_payment_that_does_not_exist_is_not_found(api: Api, provider: FakeProvider) -> None:
    answer = refund(api, payment_id="paystack-T9")
    assert (answer.status, answer.code) == (404, "not_found")


def test_a_payment_that_is_not_held_is_not_given_back(api: Api, due: Payment) -> None:
    refund(api)
    answer = refund(api)
    assert (answer.status, answer.code) == (409, "not_held")


def test_more_than_there_is_is_not_refundable(api: Api, due: Payment) -> None:
    answer = refund(api, amount="500.01")
    assert (answer.status, answer.code) == (409, "not_refundable")
    assert stored(api) == due


def test_a_channel_without_a_way_back_is_not_refundable(api: Api, due: Payment) -> None:
    api.wiring.accept.accept(claim("NOBODY", 500), money_moved=True)
    api.wiring.settle.settle("mpesa_ke.600966-T1", None, "NOBODY")
    answer = refund(api, payment_id="mpesa_ke.600966-T1")
    assert (answer.status, answer.code) == (409, "not_refundable")


def test_a_part_through_a_channel_that_gives_back_all_or_nothing_is_told_so(
    api: Api, due: Payment, provider: FakeProvider
) -> None:
    provider.full_refunds_only = True
    answer = refund(api, amount="200")
    assert (answer.status, answer.code) == (409, "full_refund_only")
    assert stored(api) == due
    assert refund(api).status == 202


@pytest.mark.parametrize("amount", ["0", "-5", "200.001", "1e3", "", 200, 200.5, True, [], {}])
def test_what_is_no_amount_is_refused(api: Api, due: Payment, amount: object) -> None:
    answer = refund(api, amount=amount)
    assert (answer.status, answer.code, answer.fields) == (422, "invalid_amount", ["amount"])
    assert stored(api) == due


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": " "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": None}, "reason"),
        ({"serial_number": "47001"}, "serial_number"),
    ],
)
def test_a_refund_needs_a_reason_and_nothing_else(
    api: Api, due: Payment, body: dict[str, Any], field: str
) -> None:
    answer = refund(api, **body)
    assert (answer.status, answer.code, answer.fields) == (422, "invalid", [field])
    assert stored(api) == due


@pytest.mark.parametrize("role", ["field", "office", "admin"])
def test_whether_a_role_may_give_back(api: Api, due: Payment, role: str) -> None:
    answer = refund(api, role)
    may = role == "admin"
    assert (answer.status, stored(api) == due) == ((202, False) if may else (403, True))


def test_nobody_gives_back_without_a_log_in(api: Api, due: Payment) -> None:
    answer = api.post(f"/payments/{PAYMENT_ID}/refund", {"reason": "theirs"}, None)
    assert answer.status == 401
    assert stored(api) == due


# --- what became of it --------------------------------------------------------------------------


def resolve(api: Api, **body: object) -> Reply:
    body = {"reason": "seen in the console", **body}
    return api.post(f"/payments/{PAYMENT_ID}/resolve", body, "operations")


def test_a_refund_that_the_console_shows_is_resolved_as_refunded(
    api: Api, due: Payment, provider: FakeProvider
) -> None:
    refund(api)
    asked(api, provider, unclear)
    shown = api.get(f"/payments/{PAYMENT_ID}").json
    assert (shown["status"], shown["reason"]) == ("held", "refund_uncertain")
    answer = resolve(api, outcome="refunded")
    assert (answer.status, answer.json["status"]) == (202, "refunded")
    assert answer.json["events"][-1]["what"] == "resolved_refunded"


def test_a_refund_that_failed_is_tried_again(
    api: Api, due: Payment, provider: FakeProvider
) -> None:
    refund(api)
    asked(api, provider, refusing)
    retry = api.post(f"/payments/{PAYMENT_ID}/retry", {"reason": "they said so"}, "operations")
    assert (retry.status, retry.json["status"]) == (202, "refunding")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"outcome": "refunded"}, "outcome"),
        ({"outcome": "refunded", "vend": 1}, "vend"),
        ({"outcome": "refunded", "serial_number": "47001"}, "serial_number"),
        ({"outcome": "credit"}, "outcome"),
    ],
)
def test_what_was_not_asked_for_cannot_have_been_refunded(
    api: Api, due: Payment, body: dict[str, Any], field: str
) -> None:
    answer = resolve(api, **body)
    assert (answer.status, answer.code, answer.fields) == (422, "invalid", [field])
    assert stored(api) == due


def test_a_refund_in_doubt_must_be_cleared_up_before_its_money_goes_another_way(
    api: Api, due: Payment, provider: FakeProvider
) -> None:
    refund(api)
    asked(api, provider, unclear)
    answer = resolve(api, outcome="assign", serial_number="47001")
    assert (answer.status, answer.fields) == (422, ["outcome"])
    assert stored(api).refund(1).state is RefundState.UNCERTAIN
    resolve(api, outcome="not_issued")
    answer = resolve(api, outcome="assign", serial_number="47001")
    assert (answer.status, answer.json["status"]) == (202, "received")
