"""Each worker's role allows exactly the calls that the worker makes: none is missing, none spare.

The emulators check no policies, so the calls are recorded at the client and held against the
policy files that the template is built from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import botocore.client
import pytest

from chalicelib.api import workers
from chalicelib.domain.account import Account
from chalicelib.domain.payment import Claim, Payment, Refund, Status, accepted
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.ports import (
    ExportState,
    FieldForm,
    FieldRegistration,
    FileFormat,
    Listed,
    Message,
    MessageState,
    OutcomeUnknown,
    ProviderRefused,
    ProviderUncertain,
    ProviderUnreachable,
    RegistrationStatus,
    reserves,
)
from chalicelib.store.models import AccountRow, EndedPlanRow, EntryRow
from chalicelib.wiring import Wiring
from infra.local.providers import PROVIDERS
from tests.integration.api.conftest import provider_secret, put_secrets
from tests.integration.api.moving import EXAMPLE
from tests.integration.company import BIKE, METER, SHS, Company, FixedClock, claim, kes, plan
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import Counter
from tests.integration.vendor import (
    FakeAngaza,
    FakeCalin,
    FakeCalinSmart,
    FakeChint,
    FakeDalyBms,
    FakeGomeLong,
    FakeGomeLongV1,
    FakeMicroStar,
    FakePaystack,
    FakeSparkMeter,
    FakeSparkShs,
    FakeSteama,
    FakeStron,
    FakeStronV3,
    FakeSunKing,
    FakeVendor,
    unclear,
)

pytestmark = pytest.mark.untold  # each step is made by a function of its own

POLICIES = Path(__file__).parents[3] / ".chalice"
GIVEN_BY_THE_TRIGGER = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
"""What Lambda itself does for the function, with the function's role."""

NO_CALL = {"s3:ListBucket"}
"""Without it a file that is gone is told as one that may not be read."""

Allowed = set[tuple[str, str]]
"""Pairs of an action and the logical id of what it is done to."""


@contextmanager
def recorded() -> Iterator[Allowed]:
    """The actions of every call that is made while the block runs."""
    call: Callable[..., Any] = botocore.client.BaseClient._make_api_call
    seen: Allowed = set()

    def noted(client: Any, operation: str, arguments: Mapping[str, Any]) -> Any:
        seen.update(_actions(operation, arguments))
        return call(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
        yield seen


def _actions(operation: str, arguments: Mapping[str, Any]) -> Allowed:
    if operation == "SendMessage":
        name = arguments["QueueUrl"].rpartition("/")[2].removesuffix(".fifo")
        return {("sqs:SendMessage", f"{_logical(name)}Queue")}
    if operation == "GetSecretValue":
        name = arguments["SecretId"].rpartition("/")[2]
        return {("secretsmanager:GetSecretValue", f"{_logical(name)}Secret")}
    if operation in ("GetObject", "PutObject"):
        folder = arguments["Key"].partition("/")[0]
        bucket = arguments["Bucket"].removeprefix("test-").partition("-")[0].capitalize()
        return {(f"s3:{operation}", f"{bucket}Bucket/{folder}/*")}
    if operation in ("BatchWriteItem", "TransactGetItems"):
        raise NotImplementedError(operation)  # nobody uses them; if so, say here what they need
    if operation == "TransactWriteItems":
        return {
            (f"dynamodb:{kind}Item", f"{_logical(what['TableName'])}Table")
            for item in arguments["TransactItems"]
            for kind, what in item.items()
        }
    if operation == "BatchGetItem":
        return {
            ("dynamodb:BatchGetItem", f"{_logical(table)}Table")
            for table in arguments["RequestItems"]
        }
    if "TableName" not in arguments:
        return set()  # the test itself, at its queues and secrets
    index = f".{arguments['IndexName']}" if "IndexName" in arguments else ""
    return {(f"dynamodb:{operation}", f"{_logical(arguments['TableName'])}Table{index}")}


def _logical(name: str) -> str:
    words = name.removeprefix("test-").replace("_", "-").split("-")
    return "".join(word.capitalize() for word in words)


TRACE = "Trace"
"""What Lambda itself needs for X-Ray, which knows no resources."""


def allowed(function: str) -> Allowed:
    """What the policy file of a function allows, without its own log."""
    policy = json.loads((POLICIES / f"policy-{function}.json").read_text())
    found: Allowed = set()
    for statement in policy["Statement"]:
        resources = statement["Resource"]
        for resource in resources if isinstance(resources, list) else [resources]:
            if statement["Sid"] == TRACE:
                continue
            found.update((action, _resource(resource)) for action in statement["Action"])
    return {
        (action, resource)
        for action, resource in found
        if not action.startswith("logs:") and action not in GIVEN_BY_THE_TRIGGER | NO_CALL
    }


def _resource(resource: Mapping[str, Any]) -> str:
    """``PaymentsTable``, ``PaymentsTable.open`` for an index, ``CalinSecret``."""
    [value] = resource.values()
    if isinstance(value, list):
        return str(value[0])
    name: str = value.replace("${", "").replace("}", "").replace(".Arn", "")
    return name.replace("/index/", ".")


def paystack(serial_number: str, transaction: str) -> Claim:
    """A payment of 100 that can be given back."""
    return claim(
        serial_number,
        100,
        transaction,
        channel="paystack",
        source="paystack.demo",
        payer_phone="+254700000009",
    )


def settle(counter: Counter, body: dict[str, Any]) -> None:
    counter.wiring.settle.settle(body["payment_id"], body["customer_id"], body["serial_number"])


@pytest.fixture
def customer_id(company: Company) -> str:
    """A customer with a meter and two solar home systems, one of them overdue and nearly paid."""
    overdue = plan("p-2", 700, first_due=FixedClock().now().date() - timedelta(days=99))
    return company.customer(
        company.meter(),
        company.shs(plan_id="p-1"),
        company.shs("SHS2", plan_id="p-2"),
        plans=(
            plan("p-1", 7000, serial_number=SHS),
            plan("p-2", 700, first_due=overdue.first_due, paid=650, serial_number="SHS2"),
        ),
    )


def test_the_settling_function_may_do_what_it_does(
    cloud: Cloud, company: Company, counter: Counter, customer_id: str
) -> None:
    accept = counter.wiring.accept.accept
    accept(claim(METER, 500, "T1"), money_moved=True)  # unlocks SHS2 from another device's payment
    accept(claim(SHS, 10000, "T2"), money_moved=True)  # ends a plan
    accept(claim("NOBODY", 100, "T3"), money_moved=True)  # is held
    accept(paystack("NOBODY", "T4"), money_moved=True)  # is to go back
    with recorded() as made:
        fresh = Counter(cloud, type(counter.wiring)(counter.wiring.clock))
        for message in cloud.take("payments"):
            body = message["body"]
            fresh.wiring.settle.settle(
                body["payment_id"], body["customer_id"], body["serial_number"]
            )
    assert made == allowed("settle")


SMART = "47002"
OTHER_METERS: dict[str, type[FakeVendor]] = {
    "sparkmeter": FakeSparkMeter,
    "gomelong": FakeGomeLong,
    "stron_v3": FakeStronV3,
    "chint": FakeChint,
    "gomelong_v1": FakeGomeLongV1,
    "microstar": FakeMicroStar,
    "stron": FakeStron,
}
OTHER_SHS: dict[str, type[FakeVendor]] = {
    "angaza": FakeAngaza,
    "sunking": FakeSunKing,
    "spark_shs": FakeSparkShs,
}
E_BIKES: dict[str, type[FakeVendor]] = {"daly_bms": FakeDalyBms}
"""The manufacturers that are called, and their servers; but for those of Calin, Calin Smart
and SteamaCo."""


def test_the_vending_function_may_do_what_it_does(
    cloud: Cloud, company: Company, counter: Counter, calin: FakeCalin, clock: FixedClock
) -> None:
    """One vend of each manufacturer: one in doubt, one lost and found, the others done."""
    others = {**OTHER_METERS, **OTHER_SHS, **E_BIKES}
    smart_meter = company.meter(SMART, manufacturer="calin_smart")
    meters = [company.meter(key, manufacturer=key) for key in (*OTHER_METERS, "steama")]
    systems = [company.shs(key, plan_id=key, manufacturer=key) for key in OTHER_SHS]
    bikes = [company.e_bike(key, plan_id=key, manufacturer=key) for key in E_BIKES]
    plans = tuple(plan(key, 7000, serial_number=key) for key in (*OTHER_SHS, *E_BIKES))
    company.customer(company.meter(), smart_meter, *meters, *systems, *bikes, plans=plans)
    for serial_number in (METER, SMART, "steama", *others):
        counter.accept(serial_number, 700, f"T-{serial_number}")
    counter.settle_all()
    calin.behaviours = [unclear]
    with ExitStack() as servers:
        smart = servers.enter_context(FakeCalinSmart(clock.now))
        steama = servers.enter_context(FakeSteama(clock.now))
        for fake in (smart, steama, *(servers.enter_context(make()) for make in others.values())):
            fake.put_secrets(cloud)
        smart.behaviours = [smart.lost]
        queued = [message["body"] for message in cloud.take("vends")]
        with recorded() as made:
            for body in queued:
                vend_anew(counter, body)
            clock.move(timedelta(seconds=2))
            counter.let_delays_pass()
            vend_anew(counter, counter.only("vends"))
    done = [p.status for p in counter.wiring.payments.by_owner("C1", 100, None).items]
    assert sorted(done) == [Status.COMPLETED] * (len(others) + 2) + [Status.HELD]
    assert made == allowed("vend")


def test_the_checking_function_may_do_what_it_does(cloud: Cloud, clock: FixedClock) -> None:
    with recorded() as made:
        for stated in Wiring(clock).manufacturers.all():
            asked = {"manufacturer": stated.key, "serial_number": "47001"}
            answer = workers.check_manufacturer(asked, Wiring(clock))
            assert (answer["code"] == "secret_missing") == stated.checkable
    assert made == allowed("check_manufacturer")


def test_the_function_that_tells_tariffs_may_do_what_it_does(
    cloud: Cloud, company: Company, clock: FixedClock
) -> None:
    with FakeGomeLong() as vendor:
        vendor.put_secrets(cloud)
        with recorded() as made:
            answer = workers.sync_tariffs({"manufacturer": "gomelong"}, Wiring(clock))
    assert answer["code"] == "ok"
    assert made == allowed("sync_tariffs")


def vend_anew(counter: Counter, body: dict[str, Any]) -> None:
    """Hand a message to a process that knows nothing yet."""
    counter.vend(body, by=type(counter.wiring)(counter.wiring.clock))


def test_the_sending_function_may_do_what_it_does(
    cloud: Cloud, company: Company, counter: Counter, customer_id: str
) -> None:
    counter.wiring.accept.accept(claim(SHS, 700), money_moved=True)
    counter.settle_all()
    with recorded() as made:
        Counter(cloud, type(counter.wiring)(counter.wiring.clock)).send_all()
    assert made == allowed("send_messages")


def test_the_sweeping_function_may_do_what_it_does(
    cloud: Cloud,
    company: Company,
    counter: Counter,
    clock: FixedClock,
    calin: FakeCalin,
    customer_id: str,
) -> None:
    accept = counter.wiring.accept.accept
    accept(claim(METER, 500, "T1"), money_moved=True)
    counter.settle_all()
    accept(claim(METER, 500, "T2"), money_moved=True)
    stranger = claim("NOBODY", 100, "T3", payer_phone="+254700000009")
    accept(stranger, money_moved=True)
    accept(paystack("NOBODY", "T4"), money_moved=True)
    for message in cloud.take("payments"):
        if message["body"]["customer_id"] is None:
            settle(counter, message["body"])
    clock.move(timedelta(hours=2))
    company.customer(
        company.e_bike(manufacturer="daly_bms"),
        plans=(plan("p-7", 7000, serial_number=BIKE),),
        phone="+254700000002",
    )
    counter.wiring.devices.look_by(BIKE, clock.now())
    with recorded() as made:
        workers.sweep(type(counter.wiring)(clock))
    assert made == allowed("sweep")


def test_the_function_that_asks_providers_may_do_what_it_does(
    cloud: Cloud, company: Company, counter: Counter, clock: FixedClock, customer_id: str
) -> None:
    """One checkout that was paid, one refund from its beginning to its end, one payment that was
    found in a list, and a question to every provider there is."""
    started = counter.wiring.accept.start(paystack(METER, "T1"))
    assert isinstance(started, Payment)
    counter.wiring.accept.accept(paystack("NOBODY", "T2"), money_moved=True)
    settle(counter, counter.only("payments"))
    due = counter.now("paystack.demo-T2")
    assert due.status is Status.REFUND_DUE
    clock.move(timedelta(minutes=15))
    with FakePaystack() as provider:
        provider.put_secrets(cloud)
        provider.amounts = {started.reference: kes(100)}
        with recorded() as made:
            for payment in (started, due, due):
                fresh = type(counter.wiring)(clock)
                deadline = clock.now() + timedelta(minutes=1)
                fresh.ask_provider.work(payment.payment_id, deadline)
                clock.move(timedelta(seconds=10))
            listed = type(counter.wiring)(clock)
            listed.take_listed.take(Listed(paystack(METER, "T3")))
            listed.marks.set("listed#paystack", listed.marks.get("listed#paystack") or clock.now())
            for key in PROVIDERS:
                cloud.put_secret(f"channels/{key}", provider_secret(key))
                ask(listed, key, started)
    assert counter.now(started.payment_id).status is Status.RECEIVED
    assert counter.now(due.payment_id).status is Status.REFUNDED
    assert made == allowed("call_provider")


def ask(worker: Wiring, key: str, payment: Payment) -> None:
    """Ask a provider that cannot be reached: for that its secret is read."""
    provider = worker.providers.get(key)
    if provider is not None:
        with suppress(ProviderUnreachable, ProviderUncertain):
            provider.verify(replace(payment, known_as=KNOWN_AS, receipt="R1"))
        with suppress(ProviderRefused, ProviderUnreachable, ProviderUncertain):
            provider.refund(replace(payment, receipt="R1"), Refund(1, payment.amount_minor))
        if reserves(provider):
            with suppress(ProviderUnreachable, ProviderUncertain):
                provider.tell_result(replace(payment, known_as=KNOWN_AS))


KNOWN_AS = dict.fromkeys(
    (
        "checkout_request_id",
        "order_tracking_id",
        "charge_id",
        "conversation_id",
        "originator_conversation_id",
        "transaction_id",
        "initiator",
    ),
    "chg-1",
)


def test_the_proving_function_may_do_what_it_does(
    cloud: Cloud, company: Company, counter: Counter, clock: FixedClock, customer_id: str
) -> None:
    sold = plan("p-1", 7000, serial_number=SHS)
    act = Act("test", clock.now(), "sold before")
    EntryRow.of(entry_of(act, Account(customer_id, version=1), "sold", opened=sold)).save()
    counter.pay(claim(SHS, 10000))  # ends that plan
    with recorded() as made:
        fresh = type(counter.wiring)(clock)
        fresh.reconcile.run(clock.now() + timedelta(minutes=1))
        fresh.make_reports.close_what_ended()
        fresh.make_reports.close_what_ended()
    assert made == allowed("reconcile")


def end_plan(customer_id: str) -> None:
    """The customer's one plan is paid off."""
    account = AccountRow.get(customer_id).value()
    EndedPlanRow.of(account.plans[0]).save()
    AccountRow.of(replace(account, plans=())).save()


def no_answer(*_: object) -> None:
    """DynamoDB does not say whether it has written."""
    raise OutcomeUnknown


def test_the_moving_function_may_do_what_it_does(
    cloud: Cloud, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of the documentation moves in and everything out, one part of it twice."""
    put_secrets(cloud)
    front = Wiring(clock)
    content = EXAMPLE.read_bytes()
    moving = front.move_in.start(content, "text/csv", FileFormat.PORTFOLIO, actor="admin")
    with recorded() as made:
        worker = Wiring(clock)
        worker.move_in.check(moving.import_id)
        front.move_in.begin_to_write(moving.import_id, actor="admin")
        worker.move_in.write(moving.import_id, 0)
        with monkeypatch.context() as patched, pytest.raises(OutcomeUnknown):
            patched.setattr(worker.imports, "finish_part", no_answer)
            worker.move_in.write(moving.import_id, 1)
    end_plan("C2")
    with recorded() as then:
        worker.move_in.write(moving.import_id, 1)
        refused = front.move_in.start(b"record\nx\n", "text/csv", FileFormat.PORTFOLIO, actor="a")
        worker.move_in.check(refused.import_id)
        export = front.move_out.start(with_keys=True, actor="admin")
        worker.move_out.work(export.export_id, clock.now() + timedelta(minutes=1))
        clock.move(timedelta(days=22))
        front.make_reports.close_what_ended()
        worker.make_reports.work("day-2026-03-31", clock.now() + timedelta(minutes=1))
        today = clock.now().date()
        asked = front.make_reports.start(today, today, rows=False, actor="a")
        worker.make_reports.work(asked.report_id, clock.now() + timedelta(minutes=1))
    assert front.move_out.get(export.export_id).state is ExportState.DONE
    statement = b"transaction,amount,serial_number,paid_at\nT1,500,47001,2026-03-10T08:00:00Z\n"
    report = front.statements.start("imported", statement, source=None, take=True, actor="a")
    with recorded() as compared:
        worker.statements.compare(report.statement_id)
        worker.take_listed.take(Listed(claim("NOBODY", 500, "T1", known_as={})))
    customer_id = one_to_erase(front, clock)
    with recorded() as erased:
        worker.erase_customers.go_on(customer_id, None, clock.now() + timedelta(minutes=1))
    assert made | then | compared | erased == allowed("move")


def one_to_erase(front: Wiring, clock: FixedClock) -> str:
    """Somebody who is being erased, and is still in a payment, its SMS and a form."""
    now, phone, reference = clock.now(), "+254700000001", "mpesa_ke.600966-E1"
    before = front.customers.get("C2")
    assert before is not None
    front.registry.update_customer(before, replace(before, erased_at=now))
    told = claim("SHS1", 100, "E1", payer_phone=phone)
    front.payments.create(
        accepted(told, moment=now, received_at=now, customer_id="C2", refusal="too_small")
    )
    sms = Message(reference, 1, phone, "en", "Refused.", MessageState.SENT, sent_at=now)
    front.messages.put(sms)
    form = FieldForm("Juma", "Said", phone, 1, "SHS1", 1, 1)
    posted = FieldRegistration(
        "r-9", form, RegistrationStatus.REGISTERED, now, "field@example.org", customer_id="C2"
    )
    front.field_registrations.create(posted)
    return "C2"
