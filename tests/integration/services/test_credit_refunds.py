"""Credit that staff give back by hand: once, never more than there is, and posted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.allocation import Line, LineKind
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.credit import WRITES_MAX, CreditRefund, NotRefundable
from chalicelib.services.customers import Person
from chalicelib.services.entries import posting_of
from chalicelib.services.plans import CustomerNotFound
from chalicelib.services.ports import OutcomeUnknown, VersionConflict
from chalicelib.wiring import Wiring
from tests.integration.company import SHS, Company, FixedClock, claim, kes, plan
from tests.integration.services.conftest import ACTOR, Counter, Processes, differences
from tests.integration.services.interruptions import Interrupted, Lost

SHS_PLAN = plan("p-shs", 7000, paid=6700, serial_number=SHS)


@pytest.fixture(autouse=True)
def asha(company: Company, counter: Counter) -> None:
    """C1, at version 2: her SHS is paid off, and 200 more were paid than was open."""
    company.customer(company.shs(plan_id="p-shs"), plans=(SHS_PLAN,))
    counter.pay(claim(SHS, 500))
    assert counter.account("C1").credit_minor == kes(200)


def refund(
    wiring: Wiring, amount: int | str, key: str | None = None, reason: str = "moves away"
) -> CreditRefund:
    return wiring.refund_credit.refund("C1", kes(amount), reason=reason, key=key, actor=ACTOR)


def books(counter: Counter) -> list[Any]:
    return differences(counter, "C1", SHS_PLAN)


@pytest.mark.parametrize(("amount", "left"), [("0.01", "199.99"), (150, 50), (200, 0)])
def test_credit_is_given_back_by_one_entry(
    counter: Counter, wiring: Wiring, amount: int | str, left: int | str
) -> None:
    given = refund(wiring, amount)
    assert (given.amount_minor, given.credit_minor, given.repeated) == (
        kes(amount),
        kes(left),
        False,
    )
    account = counter.account("C1")
    assert (account.credit_minor, account.version) == (kes(left), 3)
    entry = wiring.accounts.entry("C1", 3)
    assert entry == given.entry
    assert (entry.what, entry.actor, entry.reason) == ("credit_refunded", ACTOR, "moves away")
    assert posting_of(entry).lines == (Line(LineKind.CREDIT, "C1", -kes(amount)),)
    assert books(counter) == []


def test_more_than_there_is_is_not_given_back(counter: Counter, wiring: Wiring) -> None:
    with pytest.raises(NotRefundable):
        refund(wiring, "200.01")
    assert counter.account("C1").version == 2


def test_a_customer_without_an_account_has_no_credit(company: Company, wiring: Wiring) -> None:
    person = Person("Juma", "Otieno", "+254712345678", company.village_id)
    customer, _ = wiring.keep_customers.create(person, actor=ACTOR)
    with pytest.raises(NotRefundable):
        wiring.refund_credit.refund(customer.customer_id, 1, reason="x", key=None, actor=ACTOR)


def test_nobody_has_no_credit(wiring: Wiring) -> None:
    with pytest.raises(CustomerNotFound):
        wiring.refund_credit.refund("C9", 1, reason="x", key=None, actor=ACTOR)


# --- once -------------------------------------------------------------------------------------


def test_without_a_key_each_request_gives_back(counter: Counter, wiring: Wiring) -> None:
    assert [refund(wiring, 50).credit_minor for _ in range(2)] == [kes(150), kes(100)]
    assert books(counter) == []


def test_with_a_key_it_is_given_back_once(counter: Counter, wiring: Wiring) -> None:
    first = refund(wiring, 50, "k1")
    refund(wiring, 30, "k2")
    again = refund(wiring, 50, "k1")
    assert (again.repeated, again.entry) == (True, first.entry)
    assert again.credit_minor == kes(150), "as it was then"
    assert counter.account("C1").credit_minor == kes(120)
    assert books(counter) == []


@pytest.mark.parametrize("other", [{"amount": 51}, {"amount": 50, "reason": "another"}])
def test_another_refund_under_the_same_key_is_a_conflict(
    counter: Counter, wiring: Wiring, other: dict[str, Any]
) -> None:
    refund(wiring, 50, "k1")
    with pytest.raises(ReferenceConflict):
        refund(wiring, key="k1", **other)
    assert counter.account("C1").version == 3


@pytest.mark.parametrize("key", [None, "k1"])
def test_a_refund_whose_answer_was_lost_is_found_to_be_done(
    counter: Counter, wiring: Wiring, process: Processes, key: str | None
) -> None:
    lost = Interrupted(wiring.accounts, change=[Lost(OutcomeUnknown())])
    given = refund(process(accounts=lost), 50, key)
    assert (given.repeated, given.credit_minor) == (False, kes(150))
    assert counter.account("C1").credit_minor == kes(150)
    assert books(counter) == []
    assert key is None or refund(wiring, 50, key).entry == given.entry


def test_a_refund_that_was_not_written_is_an_error_and_its_key_is_free(
    counter: Counter, wiring: Wiring, process: Processes
) -> None:
    lost = Interrupted(wiring.accounts, change=[OutcomeUnknown()])
    with pytest.raises(OutcomeUnknown):
        refund(process(accounts=lost), 50, "k1")
    assert counter.account("C1").credit_minor == kes(200)
    assert not refund(wiring, 50, "k1").repeated


def test_another_change_in_its_place_is_not_taken_for_the_refund(
    counter: Counter, wiring: Wiring, process: Processes, clock: FixedClock
) -> None:
    """Both would have made the same version of the account."""

    def another_refund() -> None:
        clock.move(timedelta(seconds=1))
        refund(wiring, 30)
        raise OutcomeUnknown

    lost = Interrupted(wiring.accounts, change=[another_refund])
    with pytest.raises(OutcomeUnknown):
        refund(process(accounts=lost), 50)
    assert counter.account("C1").credit_minor == kes(170)
    assert books(counter) == []


# --- at the same time -------------------------------------------------------------------------


def test_of_two_with_one_key_one_gives_back(
    counter: Counter, wiring: Wiring, process: Processes
) -> None:
    meanwhile = Interrupted(wiring.accounts, change=[lambda: refund(wiring, 50, "k1")])
    assert refund(process(accounts=meanwhile), 50, "k1").repeated
    assert counter.account("C1").credit_minor == kes(150)
    assert books(counter) == []


def test_credit_that_was_given_back_meanwhile_is_not_given_back_again(
    counter: Counter, wiring: Wiring, process: Processes
) -> None:
    meanwhile = Interrupted(wiring.accounts, change=[lambda: refund(wiring, 200)])
    with pytest.raises(NotRefundable):
        refund(process(accounts=meanwhile), 1)
    assert counter.account("C1").credit_minor == 0
    assert books(counter) == []


def test_credit_that_a_payment_brings_meanwhile_counts(
    counter: Counter, wiring: Wiring, process: Processes
) -> None:
    paid = Interrupted(wiring.accounts, change=[lambda: counter.pay(claim(SHS, 100, "T2"))])
    assert refund(process(accounts=paid), 200).credit_minor == kes(100)
    assert counter.account("C1").version == 4
    assert books(counter) == []


def test_whoever_loses_every_race_gives_nothing_back(
    counter: Counter, wiring: Wiring, process: Processes
) -> None:
    lost = Interrupted(wiring.accounts, change=[VersionConflict()] * WRITES_MAX)
    with pytest.raises(VersionConflict):
        refund(process(accounts=lost), 50)
    assert counter.account("C1").credit_minor == kes(200)
