"""Counts what payments take of AWS: requests, units, bytes, in every function on their way.

``python -m tests.integration.counting`` writes ``infra/cost/counted.yaml`` anew, from which the
cost is worked out; a test compares the two. Everything is counted where it leaves our code (the
botocore clients, the manufacturer's server, standard output), units from the sizes of the items
that are really sent or answered, never from an emulator's answer.

The customer is the reference customer: one meter with an access rate, one SHS, one TV.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import yaml
from chalice.app import CloudWatchEvent, SQSEvent
from moto import mock_aws

from chalicelib.api import workers
from chalicelib.domain.payment import Status
from chalicelib.runtime import aws
from chalicelib.store import connection
from chalicelib.wiring import Wiring
from infra.package import ROOT
from tests.integration.api.conftest import (
    PATH_SECRET,
    Api,
    made_place,
    meter,
    person,
    put_secrets,
    registration,
    shs,
)
from tests.integration.company import METER, SHS, FixedClock, claim
from tests.integration.conftest import Cloud, forget_clients, installed
from tests.integration.store.item_sizes import item_size
from tests.integration.store.ledger_of_requests import LedgerOfRequests, _entry
from tests.integration.vendor import FakeCalin

COUNTED = ROOT / "infra" / "cost" / "counted.yaml"

READ_UNIT_BYTES = 4096

LOG_BYTES = 100
"""Counted in so many at once: how long something took has more digits at one time than another."""
ITEM_OVERHEAD_BYTES = 100
"""What storage adds to every item, and to every entry of an index."""

_HEAD = """\
# What payments take, counted by tests/integration/counting.py: `make cost` writes it anew, and a
# test compares. By case, then by function: requests to DynamoDB, its write units and halves of
# read units, messages sent to SQS, calls of a manufacturer, bytes and lines written to the log.
# `stored_bytes` is what stays in the tables, indexes and the overhead per item included.
"""


@dataclass
class Taken:
    """What one function took for one payment. An eventually consistent read is a half unit."""

    invocations: int = 0
    dynamodb_requests: int = 0
    write_units: int = 0
    read_half_units: int = 0
    sqs_messages: int = 0
    manufacturer_calls: int = 0
    log_lines: int = 0
    log_bytes: int = 0


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 60_000


class Installation:
    """An installation with the reference customer, and counters at all its ways out."""

    def __init__(self, calin: FakeCalin, *, warm: int = 2000) -> None:
        self._calin = calin
        self._cloud: Cloud = installed()
        self._clock = FixedClock()
        self.wiring = Wiring(self._clock)
        put_secrets(self._cloud)
        calin.put_secrets(self._cloud)
        self._api = Api(self.wiring, self._clock)
        with redirect_stdout(io.StringIO()):
            self._reference_customer()
        self._ledger = LedgerOfRequests(self._cloud.dynamodb)
        self._payments = 0
        self._now = Taken()
        self.written = ""
        self.taken: dict[str, Taken] = {}
        dynamodb = connection.connection().client.meta.events
        dynamodb.register("before-parameter-build.dynamodb", self._asked)
        dynamodb.register("after-call.dynamodb", self._read)
        aws.client("sqs").meta.events.register("after-call.sqs", self._sent)
        for number, serial_number in enumerate((SHS, METER, METER)):  # what is cached then, is
            self.pay(claim(serial_number, warm, f"WARM{number}"))
        self.taken.clear()

    def _reference_customer(self) -> None:
        """Registered as the office does it: a meter, an SHS, and a TV of which much is overdue."""
        api, place = self._api, made_place(self._api)
        fee = {"amount": "50", "period_days": 7}
        tariff = {"name": "With fee", "price_per_kwh": "100", "access_rate": fee}
        with_fee = meter(place, tariff_id=api.post("/tariffs", tariff).json["id"])
        form = {**registration(person(place), with_fee), "registered_on": "2026-02-08"}
        home_system = registration({"customer_id": "C1"}, shs())
        for role, body in {"field": form, "office": home_system}.items():
            reply = api.post("/registrations", body, role)
            assert reply.status == 201, reply.text
        tv = {"total": "3000", "instalments": 10, "every": "week", "first_due": "2026-02-28"}
        sold = {**tv, "appliance_id": place.tv_id}
        key = {"Idempotency-Key": "k1"}
        reply = api.send("POST", "/customers/C1/plans", sold, role="office", headers=key)
        assert reply.status == 201, reply.text

    # --- the ways in --------------------------------------------------------------------------

    def next_reference(self) -> None:
        """What comes from now on is another payment."""
        self._payments += 1

    @property
    def _reference(self) -> str:
        return f"RKTQDM{self._payments:04}"

    def direct(self, serial_number: str, amount: int) -> None:
        """A partner tells of a payment by our own signed channel."""
        body = {
            "reference": self._reference,
            "serial_number": serial_number,
            "amount": f"{amount}.00",
            "currency": "KES",
        }
        self._answered("/payments/direct", body, 202, self._api.signed(body))

    def asked(self, serial_number: str, amount: int) -> None:
        """A provider asks whether it may take a payment."""
        self._daraja("validation", serial_number, amount)

    def told(self, serial_number: str, amount: int) -> None:
        """A provider tells that a payment was made."""
        self._daraja("confirmation", serial_number, amount)

    def _daraja(self, endpoint: str, serial_number: str, amount: int) -> None:
        body = {
            "TransactionType": "Pay Bill",
            "TransID": self._reference,
            "TransTime": "20260310120000",
            "TransAmount": f"{amount}.00",
            "BusinessShortCode": "600966",
            "BillRefNumber": serial_number,
            "MSISDN": "2547 ***** 126",
            "FirstName": "ASHA",
        }
        self._answered(f"/payments/daraja/{PATH_SECRET}/{endpoint}", body, 200, {})

    def _answered(self, path: str, body: object, status: int, headers: Mapping[str, str]) -> None:
        with self._counting("api_handler"):
            reply = self._api.send("POST", path, body, role=None, headers=headers)
        assert reply.status == status, reply.text

    # --- the functions ------------------------------------------------------------------------

    def pay(self, told: Any) -> None:
        """Accept money that has moved, and work off all that follows."""
        with redirect_stdout(io.StringIO()):
            self.wiring.accept.accept(told, money_moved=True)
        self.work_off()

    def work_off(self) -> None:
        """Hand every message to its function, one each, until the queues are empty."""
        for queue, name in (
            ("payments", "settle"),
            ("vends", "vend"),
            ("messages", "send_messages"),
        ):
            for message in self._cloud.take(queue):
                with self._counting(name):
                    answer = getattr(workers, name)(_event(message), self.wiring)
                assert answer == {"batchItemFailures": []}

    def sweep(self) -> None:
        """One run of the sweeper."""
        with self._counting("sweep"):
            workers.sweep(self.wiring)

    def reconcile(self, **detail: str) -> None:
        """One run of the proof of the books: of a part of the list, or of one customer's."""
        event = CloudWatchEvent({"detail": detail, **_ANY_EVENT}, _Context())
        with self._counting("reconcile"):
            workers.reconcile(event, self.wiring)

    def statuses(self) -> set[str]:
        """How all payments stand."""
        items = self._cloud.dynamodb.scan(TableName="test-payments")["Items"]
        return {item["status"]["S"] for item in items}

    def stored_bytes(self) -> int:
        """What all items and entries of indexes take."""
        client = self._cloud.dynamodb
        total = 0
        for table in client.list_tables()["TableNames"]:
            described = client.describe_table(TableName=table)["Table"]
            keys = {key["AttributeName"] for key in described["KeySchema"]}
            for item in client.scan(TableName=table)["Items"]:
                entries = [
                    entry[1]
                    for index in described.get("GlobalSecondaryIndexes", ())
                    if (entry := _entry(index, keys, item))
                ]
                total += sum(item_size(each) + ITEM_OVERHEAD_BYTES for each in (item, *entries))
        return total

    # --- counting -----------------------------------------------------------------------------

    @contextmanager
    def _counting(self, function: str) -> Iterator[None]:
        self._now = self.taken.setdefault(function, Taken())
        self._ledger.clear()
        calls, written = len(self._calin.requests), io.StringIO()
        with (
            redirect_stdout(written),
            self._ledger.listening_to(connection.connection().client),
        ):
            yield
        taken, text = self._now, written.getvalue()
        self.written += text
        taken.invocations += 1
        taken.dynamodb_requests += self._ledger.count
        taken.write_units += self._ledger.write_units
        taken.manufacturer_calls += len(self._calin.requests) - calls
        taken.log_lines += text.count("\n")
        taken.log_bytes += math.ceil(len(text.encode()) / LOG_BYTES) * LOG_BYTES
        self._now = Taken()

    def _asked(self, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["strong"] = {
            table: request.get("ConsistentRead", False)
            for table, request in params.get("RequestItems", {}).items()
        } or params.get("ConsistentRead", False)

    def _read(self, parsed: Mapping[str, Any], model: Any, context: Any, **_: Any) -> None:
        strong = context["strong"]
        match model.name:
            case "GetItem":
                units = _blocks(item_size(parsed.get("Item", {}))) * _halves(strong)
            case "BatchGetItem":
                units = sum(
                    _blocks(item_size(item)) * _halves(strong[table])
                    for table, items in parsed["Responses"].items()
                    for item in items
                )
            case "Query" | "Scan":
                units = _blocks(sum(map(item_size, parsed["Items"]))) * _halves(strong)
            case _:
                units = 0
        self._now.read_half_units += units

    def _sent(self, model: Any, **_: Any) -> None:
        assert model.name == "SendMessage"
        self._now.sqs_messages += 1


_ANY_EVENT = {
    "version": "0",
    "account": "",
    "region": "",
    "detail-type": "",
    "source": "",
    "time": "",
    "id": "",
    "resources": [],
}


def _halves(strong: bool) -> int:
    return 2 if strong else 1


def _blocks(size: int) -> int:
    return max(1, math.ceil(size / READ_UNIT_BYTES))


def _event(message: Mapping[str, Any]) -> SQSEvent:
    record = {
        "messageId": message["MessageId"],
        "body": message["Body"],
        "receiptHandle": "",
        "attributes": message.get("Attributes", {}),
    }
    return SQSEvent({"Records": [record]}, _Context())


class Case(NamedTuple):
    """A way in which a payment comes, and what becomes of it."""

    about: str
    come: tuple[Callable[[Installation, str, int], None], ...]
    serial_number: str
    amount: int
    debts_first: int = 2000
    """So much is paid three times before it: enough to leave no debt, unless debt is the case."""


CASES = {
    "local": Case("direct channel, token computed here", (Installation.direct,), SHS, 700),
    "remote": Case("direct channel, token of a manufacturer", (Installation.direct,), METER, 700),
    "debt": Case(
        "direct channel, debt only: no token", (Installation.direct,), METER, 100, debts_first=20
    ),
    "asked_first": Case(
        "a provider that asks first (Daraja), token of a manufacturer",
        (Installation.asked, Installation.told),
        METER,
        700,
    ),
    "told_after": Case(
        "a provider that only tells (Daraja without questions), token of a manufacturer",
        (Installation.told,),
        METER,
        700,
    ),
}


@contextmanager
def _installed(warm: int = 2000) -> Iterator[Installation]:
    with ExitStack() as stack:
        stack.enter_context(mock_aws())
        stack.callback(forget_clients)
        forget_clients()
        yield Installation(stack.enter_context(FakeCalin()), warm=warm)


def _payments() -> dict[str, dict[str, Any]]:
    """What a payment of each case takes. Cases that begin alike share an installation."""
    found = {}
    for warm in {case.debts_first for case in CASES.values()}:
        with _installed(warm) as company:
            for name, case in CASES.items():
                if case.debts_first == warm:
                    found[name] = _counted(case, company)
    return {name: found[name] for name in CASES}


def _counted(case: Case, company: Installation) -> dict[str, Any]:
    company.taken.clear()
    company.next_reference()
    before = company.stored_bytes()
    for come in case.come:
        come(company, case.serial_number, case.amount)
    company.work_off()
    assert company.statuses() == {Status.COMPLETED.value}
    return {
        "about": case.about,
        "stored_bytes": company.stored_bytes() - before,
        "functions": {name: asdict(taken) for name, taken in company.taken.items()},
    }


def _schedules() -> dict[str, dict[str, Any]]:
    """What the schedules take: a run with nothing to do, and the proof of the books of a customer
    who has paid three times, and eight times."""
    with _installed() as company:
        company.sweep()
        company.reconcile()  # the pass that is due
        taken = [company.taken.pop("sweep")]
        for detail in ({}, {"customer_id": "C1"}):
            company.taken.clear()
            company.reconcile(**detail)
            taken.append(company.taken["reconcile"])
        for number in range(5):
            company.pay(claim(METER, 100, f"T{number}"))
        company.taken.clear()
        company.reconcile(customer_id="C1")
        taken.append(company.taken["reconcile"])
        assert "books_difference" not in company.written
        names = ("sweep", "reconcile", "proof_of_three_payments", "proof_of_eight_payments")
        return {name: asdict(each) for name, each in zip(names, taken, strict=True)}


def count() -> dict[str, Any]:
    """Everything, as the file has it."""
    return {
        "payments": _payments(),
        "schedules": _schedules(),
    }


def committed() -> dict[str, Any]:
    """What the file says."""
    found: dict[str, Any] = yaml.safe_load(COUNTED.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Write the file anew."""
    text = yaml.safe_dump(json.loads(json.dumps(count())), sort_keys=False, allow_unicode=True)
    COUNTED.write_text(_HEAD + text, encoding="utf-8")


if __name__ == "__main__":
    import tests.conftest  # noqa: F401  (no run ever meets a real account)

    main()
