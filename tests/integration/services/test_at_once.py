"""Many at once: threads that really race, between requests that each happen as a whole.

The emulator does not make a conditional write atomic among threads, as DynamoDB does; a lock
around each single request does. Between its requests every thread can be overtaken.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import botocore.client
import pytest

from chalicelib.domain.allocation import LineKind
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import Status
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.ports import VersionConflict
from chalicelib.wiring import Wiring
from tests.integration.company import METER, SHS, TODAY, Company, claim, kes, plan
from tests.integration.services.conftest import Counter, Processes, differences
from tests.integration.vendor import FakeCalin

PAYMENT_ID = "mpesa_ke.600966-T1"
T = TypeVar("T")


@pytest.fixture(autouse=True)
def requests_are_atomic(impatience: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One request at a time; then somebody else has a chance to be next."""
    call = botocore.client.BaseClient._make_api_call
    lock = threading.Lock()
    dice = random.Random(1)

    def alone(client: Any, operation: str, arguments: Any) -> Any:
        with lock:
            answered = call(client, operation, arguments)
        time.sleep(dice.random() / 500)
        return answered

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", alone)
    monkeypatch.setattr("random.uniform", lambda low, high: dice.random() / 50)
    yield


def at_once(works: Sequence[Callable[[], T]]) -> list[T | MwangaError]:
    """What comes of works that are all started at the same moment."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T | MwangaError:
        start.wait()
        try:
            return work()
        except MwangaError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_twenty_reports_of_one_payment_are_one_payment_and_one_token(
    company: Company, counter: Counter, process: Processes, calin: FakeCalin
) -> None:
    customer_id = company.customer(company.meter())
    processes = [process() for _ in range(20)]

    def report(by: Wiring) -> Callable[[], Any]:
        return lambda: by.accept.accept(claim(METER, 500), money_moved=True)

    answers = at_once([report(by) for by in processes])
    assert [answer.repeated for answer in answers].count(False) == 1
    assert {answer.payment.payment_id for answer in answers} == {PAYMENT_ID}
    counter.run_dry()
    assert len(calin.issued) == 1
    assert counter.told(PAYMENT_ID) == [1]
    assert counter.account(customer_id).version == 2
    assert differences(counter, customer_id) == []


def test_of_many_different_claims_under_one_reference_one_is_taken(
    company: Company, counter: Counter, process: Processes
) -> None:
    customer_id = company.customer(company.meter())

    def report(amount: int) -> Callable[[], Any]:
        by = process()
        return lambda: by.accept.accept(claim(METER, amount), money_moved=True)

    answers = at_once([report(100 + number) for number in range(10)])
    assert sum(isinstance(answer, ReferenceConflict) for answer in answers) == 9
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    assert payment.status is Status.COMPLETED
    assert len({e.reason for e in payment.events}) == len(payment.events)
    assert differences(counter, customer_id) == []


def settling(by: Wiring, message: dict[str, Any]) -> Callable[[], Any]:
    """Settle until it is done: a message that failed comes back."""

    def settle() -> Any:
        while True:
            try:
                return by.settle.settle(
                    message["payment_id"], message["customer_id"], message["serial_number"]
                )
            except VersionConflict:
                continue

    return settle


def test_payments_of_one_customer_that_are_settled_at_once_share_the_debts_among_them(
    company: Company, counter: Counter, process: Processes, calin: FakeCalin
) -> None:
    tv = plan("p-tv", 3000, first_due=TODAY.replace(day=1))
    shs = plan("p-shs", 7000, serial_number=SHS)
    customer_id = company.customer(company.meter(), company.shs(plan_id="p-shs"), plans=(tv, shs))
    for number in range(10):
        counter.accept(SHS if number % 2 else METER, 333, f"T{number}")
    messages = [m["body"] for m in counter.cloud.take("payments")]
    at_once([settling(process(), message) for message in messages])

    counter.run_dry()
    assert counter.account(customer_id).version == 12
    payments = counter.wiring.payments.by_owner(customer_id, 100, None).items
    assert {p.status for p in payments} == {Status.COMPLETED}
    cleared = [x.amount_minor for p in payments for x in p.lines if x.kind is LineKind.APPLIANCE]
    assert sum(cleared) == kes(600), "two instalments were overdue, and each was paid once"
    counts = [v.count for p in payments for v in p.vends if v.count is not None]
    assert len(set(counts)) == len(counts)
    values = [t.value for p in payments for t in p.tokens]
    assert len(set(values)) == len(values)
    assert differences(counter, customer_id, tv, shs) == []


def test_one_payment_that_is_settled_by_many_at_once_is_settled_once(
    company: Company, counter: Counter, process: Processes, calin: FakeCalin
) -> None:
    customer_id = company.customer(company.meter())
    counter.accept(METER, 500)
    message = counter.only("payments")
    at_once([settling(process(), message) for _ in range(8)])
    counter.run_dry()
    assert counter.account(customer_id).version == 2
    assert len(calin.issued) == 1
    assert differences(counter, customer_id) == []


def test_one_vend_that_is_taken_up_by_many_at_once_is_called_for_once(
    company: Company, counter: Counter, process: Processes, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    message = counter.to_the_vend(METER, 500)
    at_once([counter.call_of(message, process()) for _ in range(10)])
    assert len(calin.requests) == 1
    counter.let_delays_pass()
    counter.run_dry()
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert counter.told(PAYMENT_ID) == [1]


def test_of_many_persons_who_retry_at_once_one_does(
    company: Company, counter: Counter, process: Processes, calin: FakeCalin
) -> None:
    company.customer(company.meter())
    calin.behaviours = [lambda request: (500, {})]
    counter.pay(claim(METER, 500))

    def decide(number: int) -> Callable[[], Any]:
        resolve = process().resolve
        said = {"actor": f"person {number}", "reason": "none in the console"}
        if number % 2:
            return lambda: resolve.resolve_credit(PAYMENT_ID, **said)
        return lambda: resolve.retry(PAYMENT_ID, not_issued=True, **said)

    answers = at_once([decide(number) for number in range(8)])
    assert sum(isinstance(answer, MwangaError) for answer in answers) == 7
    counter.let_delays_pass()
    counter.run_dry()
    payment = counter.now(PAYMENT_ID)
    credit = counter.account("C1").credit_minor
    assert payment.status is Status.COMPLETED
    assert (len(calin.issued), credit) in {(1, 0), (0, kes(500))}
    assert differences(counter, "C1") == []
