"""A function dies in the middle of an erasure: whoever comes next goes on, and it is finished."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.books import check_books, postings_of
from chalicelib.services.entries import posting_of
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock, claim
from tests.integration.conftest import Cloud
from tests.integration.crash.deaths import KILLED, Death, run
from tests.integration.crash.test_crashes import Line
from tests.integration.crash.test_entries import let_delays_pass

PHONE = "+254700000001"
SAID: dict[str, Any] = {"reason": "asked us to", "actor": "admin@example.org"}
PAYMENTS = 1


@pytest.fixture
def line(cloud: Cloud, clock: FixedClock, company: Company) -> Line:
    """C1 has paid from the own phone, was told so, and has given the meter back."""
    line = Line(cloud, clock)
    company.customer(company.meter())
    for number in range(PAYMENTS):
        told = claim(METER, 500, f"T{number}", payer_phone=PHONE)
        company.wiring.accept.accept(told, money_moved=True)
    line.run_dry()
    company.wiring.keep_devices.change_owner(METER, None, **SAID)
    return line


def erase(clock: FixedClock, death: Death | None = None) -> int:
    """An admin asks for the erasure."""
    return run(lambda: Wiring(clock).erase_customers.erase("C1", **SAID), death)


def go_on(line: Line, death: Death | None = None) -> list[int]:
    """A worker takes up what is queued; with a ``death``, the first message again and again."""
    let_delays_pass()
    until = line.clock.now() + timedelta(minutes=1)
    ends = []
    for message in line.cloud.take("moves"):
        body = message["body"]

        def work(body: dict[str, Any] = body) -> None:
            worker = Wiring(line.clock)
            worker.erase_customers.go_on(body["customer_id"], body["cursor"], until)

        ends.append(run(work, death))
        if ends[-1] == KILLED:  # SQS hands it over once more
            ends.append(run(work))
        death = None
    return ends


def erased_whole(line: Line, company: Company) -> None:
    """Nothing tells who it was, and the books are right."""
    customer = company.wiring.customers.get("C1")
    assert customer is not None and customer.erasure_finished_at is not None
    tables = line.cloud.dynamodb.list_tables()["TableNames"]
    stored = json.dumps([line.cloud.dynamodb.scan(TableName=name)["Items"] for name in tables])
    assert PHONE not in stored and "Asha" not in stored and "asha" not in stored
    account = company.wiring.accounts.get("C1")
    payments = company.wiring.payments.by_owner("C1", 10, None).items
    assert account is not None and len(payments) == PAYMENTS
    postings = [posting_of(entry) for entry in company.wiring.entries.of_customer("C1")]
    postings += [posting for payment in payments for posting in postings_of(payment)]
    assert check_books(account, postings) == []


def test_dead_before_the_write_nothing_is_erased_until_it_is_asked_for_again(
    line: Line, company: Company, clock: FixedClock
) -> None:
    assert erase(clock, Death("after", "SendMessage")) == KILLED
    go_on(line)
    customer = company.wiring.customers.get("C1")
    assert customer is not None and (customer.name, customer.phone) == ("Asha", PHONE)
    assert erase(clock) == 0
    go_on(line)
    erased_whole(line, company)


def test_dead_behind_the_write_it_is_finished_without_anybody_asking_again(
    line: Line, company: Company, clock: FixedClock
) -> None:
    assert erase(clock, Death("after", "TransactWriteItems")) == KILLED
    assert go_on(line) == [0], "by the message that was queued ahead of the write"
    erased_whole(line, company)


@pytest.mark.parametrize(
    "death",
    [
        *(Death("after", "PutItem", nth) for nth in range(1, 2 * PAYMENTS + 1)),
        Death("before", "TransactWriteItems"),
    ],
    ids=lambda death: f"{death.when} {death.operation} {death.nth}",
)
def test_wherever_the_worker_dies_the_next_one_finishes_it(
    line: Line, company: Company, clock: FixedClock, death: Death
) -> None:
    assert erase(clock) == 0
    assert KILLED in go_on(line, death)
    erased_whole(line, company)
