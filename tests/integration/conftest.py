"""A mocked AWS account with the tables and queues that the template describes."""

from __future__ import annotations

import copy
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from chalicelib.runtime import aws
from chalicelib.store import connection
from tests.integration import quick_moto, untraced
from tests.integration.store.ledger_of_requests import LedgerOfRequests

TABLES = Path(__file__).parents[2] / "infra" / "tables.yaml"
STACK = "test"
_QUEUES = ("payments", "vends", "messages", "provider-calls", "moves")


quick_moto.quicken()
untraced.requests_to_aws()


@dataclass(frozen=True)
class Cloud:
    """The mocked account, for what a test wants to look at or put in from outside."""

    dynamodb: Any
    sqs: Any
    secrets: Any
    s3: Any

    def put_secret(self, name: str, content: Any) -> None:
        """Store a secret under its plain name, as JSON unless it is a text already."""
        text = content if isinstance(content, str) else json.dumps(content)
        name = f"{STACK}/{name}"
        try:
            self.secrets.create_secret(Name=name, SecretString=text)
        except self.secrets.exceptions.ResourceExistsException:
            self.secrets.put_secret_value(SecretId=name, SecretString=text)

    def item(self, table: str, **key: Any) -> dict[str, Any] | None:
        """One item, as DynamoDB has it. Numbers in the key are ints."""
        stored_key = {
            name: {"N": str(value)} if isinstance(value, int) else {"S": value}
            for name, value in key.items()
        }
        answer = self.dynamodb.get_item(TableName=f"{STACK}-{table}", Key=stored_key)
        return answer.get("Item")

    def take(self, queue: str) -> list[dict[str, Any]]:
        """Take all visible messages off ``payments``, ``vends`` or ``messages``."""
        name = f"{STACK}-{queue}" + (".fifo" if queue == "payments" else "")
        url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
        taken: list[dict[str, Any]] = []
        while found := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]
        ).get("Messages"):
            for message in found:
                taken.append({**message, "body": json.loads(message["Body"])})
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return taken


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An empty installation: all tables and queues, nothing in them."""
    _one_request_at_a_time(monkeypatch)
    with mock_aws():
        forget_clients()
        yield installed()
    forget_clients()


def _one_request_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make moto answer one request after the other.

    DynamoDB checks a condition and writes in one step. Moto does not: with several threads in
    this process two conditional writes could both find their condition true.
    """
    lock, answer = threading.RLock(), BotocoreStubber.process_request

    def process_request(stubber: BotocoreStubber, request: Any) -> Any:
        with lock:
            return answer(stubber, request)

    monkeypatch.setattr(BotocoreStubber, "process_request", process_request)


def installed() -> Cloud:
    """A fresh installation in the mocked account that is in force.

    Making the tables takes longer than most tests, so they are made once per process; each test
    gets a copy of the empty ones. Queues and buckets are made in moto without asking it as AWS.
    """
    made = _clients()
    backend = dynamodb_backends[ACCOUNT][REGION]
    if _empty_tables:
        backend.tables = copy.deepcopy(_empty_tables)
        for queue in _QUEUES:
            sqs_backends[ACCOUNT][REGION].create_queue(_queue_name(queue), **_queue_kind(queue))
        for bucket in () if s3_backends[ACCOUNT]["aws"].buckets else _BUCKETS:
            s3_backends[ACCOUNT]["aws"].create_bucket(os.environ[bucket], REGION)
    else:
        install(made)
        _empty_tables.update(copy.deepcopy(backend.tables))
    return made


ACCOUNT, REGION = "123456789012", "eu-west-1"
_empty_tables: dict[str, Any] = {}
_BUCKETS = ("FILES_BUCKET", "REPORTS_BUCKET")


@cache
def _clients() -> Cloud:
    """The test's own clients: making them, too, takes longer than most tests."""
    session = boto3.Session()
    return Cloud(
        dynamodb=session.client("dynamodb"),
        sqs=session.client("sqs"),
        secrets=session.client("secretsmanager"),
        s3=session.client("s3"),
    )


def install(cloud: Cloud) -> dict[str, str]:
    """Make the tables and queues; answer the variables that name the queues."""
    for definition in table_definitions():
        cloud.dynamodb.create_table(**definition)
    _make_buckets(cloud.s3)
    return {
        f"{queue.upper().replace('-', '_')}_QUEUE_URL": _make_queue(cloud.sqs, queue)
        for queue in _QUEUES
    }


@pytest.fixture
def ledger(cloud: Cloud) -> Iterator[LedgerOfRequests]:
    """Counts requests to DynamoDB and their write units, from item sizes, at the client."""
    ledger = LedgerOfRequests(cloud.dynamodb)
    with ledger.listening_to(connection.connection().client):
        yield ledger


def forget_clients() -> None:
    """Make the code start with clients of its own, as a new process does."""
    aws.forget()
    connection.forget()


@cache
def table_definitions() -> tuple[Mapping[str, Any], ...]:
    """What ``create_table`` needs for every table of the template."""
    resources = yaml.safe_load(TABLES.read_text())["Resources"].values()
    return tuple(_definition(resource["Properties"]) for resource in resources)


def _definition(properties: Mapping[str, Any]) -> dict[str, Any]:
    wanted = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
    name = properties["TableName"]["Fn::Sub"].replace("${AWS::StackName}", STACK)
    return {
        "TableName": name,
        **{name: properties[name] for name in wanted if name in properties},
    }


def _make_buckets(s3: Any) -> None:
    if s3.list_buckets()["Buckets"]:
        return
    location = {"LocationConstraint": REGION}
    for bucket in _BUCKETS:
        s3.create_bucket(Bucket=os.environ[bucket], CreateBucketConfiguration=location)


def _make_queue(sqs: Any, queue: str) -> str:
    made = sqs.create_queue(QueueName=_queue_name(queue), Attributes=_queue_kind(queue))
    url: str = made["QueueUrl"]
    return url


def _queue_name(queue: str) -> str:
    return f"{STACK}-{queue}" + (".fifo" if queue == "payments" else "")


def _queue_kind(queue: str) -> dict[str, str]:
    return {"FifoQueue": "true"} if queue == "payments" else {}
