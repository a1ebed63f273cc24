"""The real services on a mocked AWS, with Calin as a real server."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from datetime import timedelta
from functools import cache
from io import StringIO
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends

from chalicelib.domain.account import Account
from chalicelib.domain.books import Difference, OpenedPlan, check_books, postings_of
from chalicelib.domain.payment import Claim, Payment
from chalicelib.domain.plan import Plan
from chalicelib.runtime.journal import StandardOutputJournal
from chalicelib.services.entries import posting_of
from chalicelib.store.models import EntryRow
from chalicelib.wiring import Wiring
from infra.package import ROOT, merge_resources
from tests.alarm_evaluator import ALARM, NAMESPACE, evaluate, samples_in
from tests.integration.company import Company, FixedClock, claim
from tests.integration.conftest import ACCOUNT, REGION, STACK, Cloud
from tests.integration.vendor import FakeCalin

ACTOR = "ops@example.org"


class Diary:
    """The journal of all processes of a test, to be read afterwards.

    It hands everything on to the real one, so that the lines are what Lambda would get.
    """

    def __init__(self) -> None:
        self._real = StandardOutputJournal(NAMESPACE, stage="test", function="test")
        self._printed = StringIO()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.counts: list[tuple[str, float, dict[str, str]]] = []
        self.gauges: list[tuple[str, float, dict[str, str]]] = []

    @contextmanager
    def about(self, **fields: Any) -> Iterator[None]:
        """See ``Journal``."""
        with self._real.about(**fields):
            yield

    def bind(self, **fields: Any) -> None:
        """See ``Journal``."""
        self._real.bind(**fields)

    def event(self, what: str, **fields: Any) -> None:
        """Keep one event."""
        self.events.append((what, fields))
        with redirect_stdout(self._printed):
            self._real.event(what, **fields)

    def count(self, metric: str, value: float = 1, **dimensions: str) -> None:
        """Keep one count."""
        self.counts.append((metric, value, dimensions))
        with redirect_stdout(self._printed):
            self._real.count(metric, value, **dimensions)

    def gauge(self, metric: str, value: float, **dimensions: str) -> None:
        """Keep what there is now."""
        self.gauges.append((metric, value, dimensions))
        with redirect_stdout(self._printed):
            self._real.gauge(metric, value, **dimensions)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All lines that were printed so far, read as JSON."""
        return [json.loads(line) for line in self._printed.getvalue().splitlines()]

    def rings(self, name: str) -> bool:
        """Whether that alarm of the template rings after all that was printed so far."""
        samples = samples_in(self._printed.getvalue().splitlines())
        return evaluate(alarms()[name], samples, time.time() + 0.01) == ALARM

    def said(self, what: str) -> list[dict[str, Any]]:
        """The fields of all events of that name."""
        return [fields for name, fields in self.events if name == what]

    def counted(self, metric: str) -> float:
        """What was counted under that name."""
        return sum(value for name, value, _ in self.counts if name == metric)


@cache
def alarms() -> Mapping[str, Mapping[str, Any]]:
    """The alarms of the template, by their names without the stack's."""
    resources = merge_resources(ROOT / "infra")["Resources"].values()
    found = (r["Properties"] for r in resources if r.get("Type") == "AWS::CloudWatch::Alarm")
    return {a["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-"): a for a in found}


@pytest.fixture(autouse=True)
def every_step_is_told(request: pytest.FixtureRequest) -> Iterator[None]:
    """In every test: each payment's lines lead from nothing to its stored status, step by step.

    A test that puts payments into the store by itself, or loses what the store answers, says so:
    ``@pytest.mark.untold``.
    """
    told = {"cloud", "diary"} <= {*request.fixturenames}
    if not told or request.node.get_closest_marker("untold"):
        yield
        return
    diary = request.getfixturevalue("diary")
    request.getfixturevalue("cloud")
    yield
    table = dynamodb_backends[ACCOUNT][REGION].tables[f"{STACK}-payments"]
    stored = {key.value: item.attrs["status"].value for key, item in table.items.items()}
    steps: dict[str, list[tuple[str | None, str]]] = {}
    for what, fields in diary.events:
        if what.startswith("payment_") and "from_status" in fields:
            step = (fields["from_status"], fields["to_status"])
            steps.setdefault(fields["payment_id"], []).append(step)
    for payment_id, status in stored.items():
        so_far = None
        for before, after in steps.get(payment_id, []):
            assert before == so_far, (payment_id, steps[payment_id])
            so_far = after
        assert so_far == status, (payment_id, steps.get(payment_id))


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lost a race tries again at once."""
    monkeypatch.setattr("random.uniform", lambda low, high: low)


@pytest.fixture
def calin() -> Iterator[FakeCalin]:
    """Calin, as a server that counts what it issues."""
    with FakeCalin() as fake:
        yield fake


@pytest.fixture
def clock() -> FixedClock:
    """The clock of the services; the test moves it."""
    return FixedClock()


@pytest.fixture
def diary() -> Diary:
    """The journal of the services."""
    return Diary()


Processes = Callable[..., Wiring]


@pytest.fixture
def process(cloud: Cloud, calin: FakeCalin, clock: FixedClock, diary: Diary) -> Processes:
    """Starts a process of the system, in which the named ports are replaced."""
    calin.put_secrets(cloud)

    def start(**ports: Any) -> Wiring:
        started = Wiring(clock)
        started.journal = diary
        for name, port in ports.items():
            setattr(started, name, port)
        return started

    return start


@pytest.fixture
def wiring(process: Processes) -> Wiring:
    """The parts, wired to the mocked AWS."""
    return process()


@pytest.fixture
def company(wiring: Wiring) -> Company:
    """A company without customers: founded once per process, every test gets a copy."""
    backend = dynamodb_backends[ACCOUNT][REGION]
    if not _founded:
        first = Company(wiring)
        _founded["tables"] = copy.deepcopy(backend.tables)
        _founded["known"] = (first.village_id, first.tariff_id)
        return first
    backend.tables = copy.deepcopy(_founded["tables"])
    return Company(wiring, *_founded["known"])


_founded: dict[str, Any] = {}


class Counter:
    """Where payments come in; runs the queues by hand."""

    def __init__(self, cloud: Cloud, wiring: Wiring) -> None:
        self.cloud = cloud
        self.wiring = wiring

    def accept(self, serial_number: str, amount: int | str, transaction: str = "T1") -> str:
        """Accept money that has moved, and leave it in the queue; answer the payment's id."""
        told = claim(serial_number, amount, transaction)
        return self.wiring.accept.accept(told, money_moved=True).payment.payment_id

    def pay(self, claim: Claim) -> Payment:
        """Accept money that has moved, and work off all that follows."""
        payment = self.wiring.accept.accept(claim, money_moved=True).payment
        self.run_dry()
        return self.now(payment.payment_id)

    def now(self, payment_id: str) -> Payment:
        """The payment as it stands."""
        payment = self.wiring.payments.get(payment_id)
        assert payment is not None
        return payment

    def settle_all(self) -> None:
        """Settle what is queued, and leave what follows in the queues."""
        for message in self.cloud.take("payments"):
            body = message["body"]
            self.wiring.settle.settle(
                body["payment_id"], body["customer_id"], body["serial_number"]
            )

    def vend_all(self) -> int:
        """Take up what is queued to be vended; answer how many messages there were."""
        messages = self.cloud.take("vends")
        for message in messages:
            self.vend(message["body"])
        return len(messages)

    def vend(self, body: dict[str, Any], by: Wiring | None = None) -> None:
        """Hand one message of the vends' queue to a process."""
        self.call_of(body, by)()

    def call_of(self, body: dict[str, Any], by: Wiring | None = None) -> Callable[[], None]:
        """What a process does about one message of the vends' queue."""
        worker = by or self.wiring
        deadline = worker.clock.now() + timedelta(minutes=1)
        if "switch" in body:
            return lambda: worker.switch.switch(body["switch"], body["manufacturer"], deadline)
        return lambda: worker.vend.vend(
            body["payment_id"], body["number"], body["attempt"], body["manufacturer"], deadline
        )

    def send_all(self) -> None:
        """Send what is queued to be sent."""
        for message in self.cloud.take("messages"):
            body = message["body"]
            self.wiring.notify.send(body["payment_id"], body["number"], body["customer_id"])

    def run_dry(self) -> None:
        """Work off all queues."""
        self.settle_all()
        while self.vend_all():
            pass
        self.send_all()

    def to_the_vend(self, serial_number: str, amount: int | str) -> dict[str, Any]:
        """Bring a payment to where its one vend is queued; answer that message."""
        self.accept(serial_number, amount)
        self.settle_all()
        return self.only("vends")

    def only(self, queue: str) -> dict[str, Any]:
        """The one message in that queue."""
        (message,) = self.cloud.take(queue)
        body: dict[str, Any] = message["body"]
        return body

    def let_delays_pass(self) -> None:
        """Make delayed messages visible now, as time would."""
        for regions in sqs_backends.values():
            for backend in regions.values():
                for queue in backend.queues.values():
                    for message in queue._messages:
                        message.delayed_until = 0

    def delays(self, queue: str) -> list[int]:
        """The seconds for which the messages of that queue stay hidden, and the end of it."""
        seconds = [
            max(0, round((message.delayed_until - message.sent_timestamp) / 1000))
            for regions in sqs_backends.values()
            for backend in regions.values()
            for name, held in backend.queues.items()
            if name == f"test-{queue}"
            for message in held._messages
        ]
        self.let_delays_pass()
        return seconds

    def told(self, payment_id: str) -> list[int]:
        """The numbers of the SMS that were sent for that payment."""
        return [m.number for m in self.wiring.messages.of_payment(payment_id)]

    def account(self, customer_id: str) -> Account:
        """The account as it stands."""
        account = self.wiring.accounts.get(customer_id)
        assert account is not None
        return account


@pytest.fixture
def counter(cloud: Cloud, wiring: Wiring) -> Counter:
    """Where payments come in."""
    return Counter(cloud, wiring)


def differences(counter: Counter, customer_id: str, *sold: Plan) -> list[Difference]:
    """What is wrong with the books of a customer who began with those plans."""
    entries = [row.value() for row in EntryRow.query(customer_id, consistent_read=True)]
    opened = tuple(
        OpenedPlan(p.plan_id, p.serial_number, p.total_minor, p.already_paid_minor) for p in sold
    )
    first, *others = [posting_of(entry) for entry in entries]
    payments = counter.wiring.payments.by_owner(customer_id, 100, None).items
    paid = [posting for payment in payments for posting in postings_of(payment)]
    postings = [replace(first, opened=opened), *others, *paid]
    return check_books(counter.account(customer_id), postings)
