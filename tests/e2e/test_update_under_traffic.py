"""An update and a rollback while payments come in: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.deploy import Operator, Order, deploy, rollback
from infra.deployment.target import Target
from infra.local import up
from infra.local.adapt import LocalAddresses, adapt
from infra.local.client import Cloud
from infra.local.deploy import STACK
from infra.package import REGION, ROOT, Package, build, load_template
from tests.e2e.books import prove
from tests.e2e.company import Company, Household

SENDERS = 3
TRIES = 20
PAUSE_SECONDS = 0.3
"""Between two payments of one sender: what is asked here is not how much a small machine bears."""

PATIENCE = 240
"""More than a message stays hidden whose worker was killed in the middle of it."""

MANUFACTURER = "calin_smart"
"""It can be asked for a vend whose answer was lost: no payment has to wait for a person because a
worker was ended in the middle of its call."""

NEW_ROUTE = """
@routes.route("GET", "/health/again", public=True, answers={200: HealthShape})
def health_again(call: Call[None]) -> Answer:
    \"\"\"Say it again.\"\"\"
    return ok(HealthShape(status="ok", release=call.wiring.release))
"""


@pytest.fixture(scope="module")
def own_state() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mwanga-update-"))
    yield folder / "state"
    up.stop(folder / "state")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def own_cloud(own_state: Path) -> Iterator[Cloud]:
    """A cloud that no other test shares."""
    cloud = Cloud(up.start(own_state, enforce_roles=True))
    yield cloud
    cloud.close()


@pytest.fixture(scope="module")
def next_release(own_cloud: Cloud) -> Iterator[Package]:
    """The project with one more route in it."""
    with tempfile.TemporaryDirectory(prefix="mwanga-next-") as folder:
        root = Path(folder)
        unwanted = shutil.ignore_patterns("__pycache__", "deployments", "deployed")
        for name in ("chalicelib", ".chalice", "infra"):
            shutil.copytree(ROOT / name, root / name, ignore=unwanted)
        for name in ("app.py", "requirements.txt", "openapi.json"):
            shutil.copy(ROOT / name, root / name)
        service = root / "chalicelib" / "api" / "service.py"
        service.write_text(service.read_text() + NEW_ROUTE)
        yield build(ROOT / "build" / "next-package", root)


@dataclass
class Traffic:
    """Payments that partners and Safaricom report, again and again until they are answered."""

    cloud: Cloud
    households: list[Household]
    stopped: threading.Event = field(default_factory=threading.Event)
    taken: list[str] = field(default_factory=list)
    refused: list[Any] = field(default_factory=list)

    def send(self, sender: int) -> None:
        """Report one payment after the other until it is enough."""
        for number in count():
            if self.stopped.is_set():
                return
            household = self.households[(sender + number) % len(self.households)]
            if sender == 0:
                self._daraja(household)
            else:
                self._direct(household, f"under-way-{sender}-{number}")
            self.stopped.wait(PAUSE_SECONDS)

    def _direct(self, household: Household, reference: str) -> None:
        partner = self.cloud.partner
        for _ in range(TRIES):
            try:
                answer = partner.pay(household.serial_number, "10.00", reference)
            except requests.RequestException:
                continue
            if answer.status in {200, 202}:
                self.taken.append(partner.payment_id(reference))
                return
            if answer.status < 500:
                break
        self.refused.append((reference, answer))

    def _daraja(self, household: Household) -> None:
        daraja = self.cloud.daraja
        receipt = daraja.receipt()
        for _ in range(TRIES):
            try:
                answer = daraja.confirm(receipt, household.serial_number, "10.00")
            except requests.RequestException:
                continue
            if answer.status == 200:
                self.taken.append(daraja.payment_id(receipt))
                return
        self.refused.append((receipt, answer))


@contextmanager
def flowing(traffic: Traffic) -> Iterator[None]:
    """While this lasts, payments come in."""
    with ThreadPoolExecutor(SENDERS) as pool:
        senders: list[Future[None]] = [pool.submit(traffic.send, n) for n in range(SENDERS)]
        try:
            yield
        finally:
            traffic.stopped.set()
        for sender in senders:
            sender.result()


def meter(company: Company) -> Household:
    """A token by a call."""
    return company.meter(manufacturer=MANUFACTURER)


def panel(company: Company) -> Household:
    """A token inside the settlement."""
    return company.shs(total="70000.00", instalments=100)


def release_of(cloud: Cloud) -> str:
    return str(cloud.api.call("GET", "/health").body["release"])


def is_served(cloud: Cloud, path: str) -> bool:
    return cloud.api.call("GET", path).status == 200


def messages_in(cloud: Cloud, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    sqs, url = cloud.aws("sqs"), cloud.stack["queues"][queue]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def test_an_update_and_a_rollback_under_traffic_lose_nothing(
    own_cloud: Cloud, next_release: Package
) -> None:
    cloud = own_cloud
    company = Company(cloud)
    households = [
        make() for make in (lambda: meter(company), lambda: panel(company)) for _ in range(2)
    ]
    traffic = Traffic(cloud, households)
    target = Target(STACK, REGION, cloud.stack["aws_endpoint"])
    order = Order(target, "local", base_url=cloud.stack["base_url"])
    told: list[str] = []
    operator = Operator(told.append, agrees=lambda question: True)
    sms_log = LocalAddresses(re.sub("_control$", "sms", cloud.stack["fakes"]["control"]))
    template = adapt(load_template(next_release), sms_log)
    first = release_of(cloud)
    assert not is_served(cloud, "/health/again")

    with flowing(traffic):
        second = deploy(order, next_release, template, operator)
        assert (release_of(cloud), is_served(cloud, "/health/again")) == (second, True)
        between = len(traffic.taken)
        assert rollback(order, operator) == first
        assert (release_of(cloud), is_served(cloud, "/health/again")) == (first, False)
    assert second != first
    assert 0 < between < len(traffic.taken)
    assert not traffic.refused

    for payment_id in traffic.taken:
        payment = cloud.wait_for_payment(payment_id, seconds=PATIENCE)
        assert payment["status"] == "completed", payment
        done = [vend for vend in payment["vends"] if vend["state"] == "done"]
        assert len(payment["tokens"]) == len(done) <= 1, payment
    assert len(set(traffic.taken)) == len(traffic.taken)
    for household in households:
        issued = [
            token["value"]
            for payment_id in traffic.taken
            if (payment := cloud.payment(payment_id))["serial_number"] == household.serial_number
            for token in payment["tokens"]
        ]
        assert len(set(issued)) == len(issued)
        if not household.plan_id:
            assert sorted(cloud.fakes.issued(MANUFACTURER, household.serial_number)) == sorted(
                issued
            )
    prove(cloud)
    for queue in cloud.stack["queues"]:
        if "dead" in queue:
            assert messages_in(cloud, queue) == 0, queue
