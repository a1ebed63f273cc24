"""The runbook's daily tasks, as the office and operations do them: through the API and AWS.

Each page of docs/operations names the test here that goes through what it says.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_bytes
from typing import Any

import pytest

from infra.local.client import Cloud, StaffMember, wait_for
from infra.staff import make_staff
from tests.e2e.company import Company, phone, unique
from tests.e2e.lambdas import start_fresh, sweep_now
from tests.e2e.tables import depth
from tests.e2e.test_healing import redrive, secret_name, wait_until_empty

MEANWHILE = {"reason": "trouble there"}


# --- finding a payment, sending its token again -------------------------------------------------


def test_a_payment_is_found_by_whatever_the_caller_has_and_its_token_sent_again(
    cloud: Cloud, company: Company
) -> None:
    household, receipt = company.meter(), cloud.daraja.receipt()
    cloud.daraja.confirm(receipt, household.serial_number, "500.00")
    payment_id = cloud.daraja.payment_id(receipt)
    cloud.wait_for_payment(payment_id, {"completed"})
    cloud.wait_for_message(payment_id, 1)
    office = cloud.staff("office")
    number = household.customer_id.removeprefix("C")
    for said in (household.phone, household.serial_number, receipt.lower(), number, payment_id):
        found = office.get("/payments", text=said)
        assert payment_id in [p["payment_id"] for p in found.body["items"]], said
    for query in ({"phone": household.phone}, {"receipt": receipt}):
        [found_by] = office.get("/payments", **query).body["items"]
        assert found_by["payment_id"] == payment_id
    assert office.get("/payments", text=phone()).body["items"] == []

    again = office.post(f"/devices/{household.serial_number}/send-again", {"reason": "lost phone"})
    assert again.status in (200, 202), again
    wait_for(lambda: len(cloud.sms(payment_id)), lambda count: count >= 2, "the SMS came again")


# --- pausing ------------------------------------------------------------------------------------


@contextmanager
def paused(cloud: Cloud, path: str, *functions: str) -> Iterator[None]:
    """While this lasts, that is paused; new processes know at once, old ones within 30 seconds."""
    operations = cloud.staff("operations")
    assert operations.put(path, MEANWHILE).status == 200
    try:
        for function in functions:
            start_fresh(cloud, function)
        yield
    finally:
        assert operations.delete(path).status == 204
        for function in functions:
            start_fresh(cloud, function)


def test_a_paused_channel_takes_no_new_money_and_loses_none(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    asked, moved, direct = cloud.daraja.receipt(), cloud.daraja.receipt(), unique("ref-")
    with paused(cloud, "/pauses/channels/daraja", "api"):
        [listed] = cloud.staff("finance").get("/pauses").body["items"]
        assert (listed["kind"], listed["key"], listed["reason"]) == (
            "channel",
            "daraja",
            MEANWHILE["reason"],
        )
        assert listed["actor"] == cloud.stack["staff"]["operations"]["email"]
        answer = cloud.daraja.ask(asked, household.serial_number, "100.00")
        assert answer.body["ResultCode"] == "C2B00016"
        assert cloud.daraja.confirm(moved, household.serial_number, "100.00").status == 200
        cloud.wait_for_payment(cloud.daraja.payment_id(moved), {"completed"})
        assert cloud.partner.pay(household.serial_number, "100.00", direct).status == 202
        cloud.wait_for_payment(cloud.partner.payment_id(direct), {"completed"})
    again = cloud.daraja.ask(asked, household.serial_number, "100.00")
    assert again.body["ResultCode"] == "0"
    assert cloud.payment(cloud.daraja.payment_id(asked))["reason"] == "paused"


def test_a_paused_manufacturer_is_not_called_and_every_vend_is_made_once_afterwards(
    cloud: Cloud, company: Company
) -> None:
    household, other = company.meter(), company.shs()
    references = [unique("ref-"), unique("ref-")]
    ids = [cloud.partner.payment_id(reference) for reference in references]
    with paused(cloud, "/pauses/manufacturers/calin", "vend", "sweep"):
        for reference in references:
            cloud.partner.pay(household.serial_number, "100.00", reference)
        for payment_id in ids:
            cloud.wait_for_payment(payment_id, {"vending"})
        assert company.pay_for("700.00", other)["tokens"], "others go on"
        sweep_now(cloud, *ids)
        assert cloud.fakes.vends("calin", household.serial_number) == []
    sweep_now(cloud, *ids)  # what waits comes back by itself a minute later; this is sooner
    for payment_id in ids:
        assert cloud.wait_for_payment(payment_id, {"completed"})["tokens"]
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 2


# --- dead letters -------------------------------------------------------------------------------


def test_a_dead_letter_is_redriven_once_its_cause_is_mended(cloud: Cloud, company: Company) -> None:
    """The cause is real: a price that somebody has broken by hand. Only the time in which the
    queue hands out a failed message again is shortened, for the test's sake."""
    household = company.meter(tariff_id=company.tariff("101"))
    dynamodb, table = cloud.aws("dynamodb"), cloud.stack["tables"]["tariffs"]
    key = {"tariff_id": {"N": str(company.tariff("101"))}}
    sound = dynamodb.get_item(TableName=table, Key=key)["Item"]
    receipt = cloud.daraja.receipt()
    payment_id = cloud.daraja.payment_id(receipt)
    with handed_out_again_after(cloud, "payments", seconds=1):
        dynamodb.put_item(TableName=table, Item={**sound, "rates": {"S": "broken by hand"}})
        start_fresh(cloud, "settle")
        cloud.daraja.confirm(receipt, household.serial_number, "101.00")
        wait_for(lambda: depth(cloud, "payments-dead"), bool, "five tries are over", 40)
        assert cloud.payment(payment_id)["status"] == "received"
        dynamodb.put_item(TableName=table, Item=sound)
    start_fresh(cloud, "settle")

    redrive(cloud, "payments")

    assert cloud.wait_for_payment(payment_id, {"completed"})["tokens"]
    wait_until_empty(cloud, "payments-dead")
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1
    assert cloud.account(household.customer_id)["version"] == 2


@contextmanager
def handed_out_again_after(cloud: Cloud, queue: str, seconds: int) -> Iterator[None]:
    """While this lasts, a message whose worker failed is handed out again so soon."""
    sqs, url = cloud.aws("sqs"), cloud.stack["queues"][queue]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(seconds)})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes=before["Attributes"])


# --- secrets ------------------------------------------------------------------------------------


def rewrite_secret(cloud: Cloud, name: str, content: dict[str, Any], *functions: str) -> None:
    """Put a new content, and have it read at once, where on AWS it takes up to five minutes."""
    cloud.aws("secretsmanager").put_secret_value(
        SecretId=secret_name(cloud, name), SecretString=json.dumps(content)
    )
    for function in functions:
        start_fresh(cloud, function)


def secret_of(cloud: Cloud, name: str) -> dict[str, Any]:
    """The content of a secret."""
    manager = cloud.aws("secretsmanager")
    content = manager.get_secret_value(SecretId=secret_name(cloud, name))["SecretString"]
    read: dict[str, Any] = json.loads(content)
    return read


@pytest.fixture
def kept_secrets(cloud: Cloud) -> Iterator[None]:
    """Afterwards partners and providers use what they have used before."""
    before = {name: secret_of(cloud, name) for name in ("channels/direct", "channels/daraja")}
    yield
    for name, content in before.items():
        rewrite_secret(cloud, name, content)
    start_fresh(cloud, "api")


@pytest.mark.usefixtures("kept_secrets")
def test_partner_and_path_secrets_are_rotated_without_losing_a_payment(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs()
    partner, old, new = cloud.partner.partner, cloud.partner.secret, unique("new-secret-")
    direct, daraja = secret_of(cloud, "channels/direct"), secret_of(cloud, "channels/daraja")
    [old_path, *_] = daraja["path_secrets"]
    others = {**direct["partners"]}

    def pays(secret: str, path: str) -> tuple[int, int]:
        cloud.partner.secret = secret
        reply = cloud.partner.pay(household.serial_number, "10.00", unique("ref-"))
        address = cloud.daraja.confirmation_path.replace(old_path, path)
        report = cloud.daraja.report(cloud.daraja.receipt(), household.serial_number, "10.00")
        return reply.status, cloud.api.call("POST", address, report).status

    def live(partners: list[str], paths: list[str]) -> None:
        rewrite_secret(cloud, "channels/direct", {"partners": {**others, partner: partners}})
        rewrite_secret(cloud, "channels/daraja", {**daraja, "path_secrets": paths}, "api")

    new_path = unique("new-path-")
    try:
        assert pays(old, old_path) == (202, 200)
        live([new, old], [new_path, old_path])
        assert pays(old, old_path) == pays(new, new_path) == (202, 200)
        live([new], [new_path])
        assert pays(new, new_path) == (202, 200)
        assert pays(old, old_path) == (401, 404)
    finally:
        cloud.partner.secret = old


@pytest.mark.parametrize(
    ("vendor", "credential", "found"),
    [
        ("calin", "password", ["not_offered", "not_offered"]),
        ("sunking", "client_secret", ["authentication_failed", "ok"]),
    ],
)
def test_a_manufacturers_credentials_are_rotated_and_every_payment_vends_once(
    cloud: Cloud, company: Company, vendor: str, credential: str, found: list[str]
) -> None:
    """One before, one between and one after. In the end the old credentials sell nothing."""
    household = company.meter() if vendor == "calin" else company.remote_shs(manufacturer=vendor)
    amount = "500.00" if vendor == "calin" else "700.00"
    name, workers = f"manufacturers/{vendor}", ("vend", "check_manufacturer")
    before = secret_of(cloud, name)
    after = {**before, credential: unique("new-")}

    def pay() -> str:
        reference = unique("ref-")
        assert cloud.partner.pay(household.serial_number, amount, reference).status == 202
        return cloud.partner.payment_id(reference)

    def vended(payment_id: str) -> None:
        assert cloud.wait_for_payment(payment_id, {"completed"})["tokens"]

    try:
        vended(pay())
        with paused(cloud, f"/pauses/manufacturers/{vendor}", "vend", "sweep"):
            between = pay()
            cloud.wait_for_payment(between, {"vending"})
            cloud.fakes.rotate(vendor, **after)
            start_fresh(cloud, "check_manufacturer")
            with_the_old = checked(cloud, vendor)
            rewrite_secret(cloud, name, after, *workers)
            assert [with_the_old, checked(cloud, vendor)] == found
            assert len(cloud.fakes.issued(vendor, household.serial_number)) == 1
        sweep_now(cloud, between)
        vended(between)
        vended(pay())
        assert len(cloud.fakes.issued(vendor, household.serial_number)) == 3
    finally:
        cloud.fakes.rotate(vendor, **before)
        rewrite_secret(cloud, name, before, *workers)


def checked(cloud: Cloud, vendor: str) -> str:
    """What the check of a manufacturer's secret says."""
    answer = cloud.aws("lambda").invoke(
        FunctionName=cloud.stack["functions"]["check_manufacturer"],
        Payload=json.dumps({"manufacturer": vendor}).encode(),
    )
    code: str = json.loads(answer["Payload"].read())["code"]
    return code


def test_devices_of_an_older_key_work_on_after_the_keys_are_rotated(
    cloud: Cloud, company: Company
) -> None:
    older = company.shs()
    assert company.pay_for("700.00", older)["tokens"]
    keys = secret_of(cloud, "device-keys")
    fresh = unique("k")
    added = {**keys["keys"], fresh: b64encode(token_bytes(32)).decode()}
    rewrite_secret(cloud, "device-keys", {"current": fresh, "keys": added}, "api", "settle")
    newer = company.shs()
    for household in (older, newer):
        assert company.pay_for("700.00", household)["tokens"]


# --- staff --------------------------------------------------------------------------------------


def test_who_leaves_is_shut_out_at_once_and_then_removed(cloud: Cloud) -> None:
    pool, who = cloud.aws("cognito-idp"), f"{unique('juma')}@mwanga.example"
    make_staff(pool, cloud.stack["staff_pool"], who, "finance")
    its_pool = {"UserPoolId": cloud.stack["staff_pool"], "Username": who}
    pool.admin_set_user_password(**its_pool, Password="a password of my own", Permanent=True)
    member = StaffMember(cloud.api, who, "a password of my own")
    assert member.get("/villages").status == 200

    pool.admin_disable_user(**its_pool)
    wait_for(lambda: member.get("/villages").status, lambda status: status == 401, "shut out")
    pool.admin_delete_user(**its_pool)

    again = cloud.api.call(
        "POST", "/auth/login", {"email": who, "password": "a password of my own"}
    )
    assert (again.status, again.code) == (401, "invalid_credentials")
    assert member.get("/villages").status == 401
