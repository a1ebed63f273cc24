"""The tables and queues from behind, as somebody with the AWS console would see and touch them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from infra.local.client import Cloud


def stored(moment: datetime) -> str:
    """A moment as the tables have it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


class NothingThere(Exception):
    """The moment that was to be rewritten is not there (any more)."""


@lru_cache
def _dynamodb(cloud: Cloud) -> Any:
    """A client is slow to make, and good for many calls."""
    return cloud.aws("dynamodb")


def rewrite_moment(cloud: Cloud, payment_id: str, place: str, moment: datetime) -> None:
    """Put a moment in the place of one that the payment has: ``received_at``,
    ``vends[0].retry_at`` …

    The revision rises as with every write, so that no worker puts the old moment back.

    Raises:
        NothingThere: see there.
    """
    names = {f"#{name}": name for name in re.findall("[a-z_]+", place)}
    path = re.sub("([a-z_]+)", r"#\1", place)
    dynamodb = _dynamodb(cloud)
    try:
        dynamodb.update_item(
            TableName=cloud.stack["tables"]["payments"],
            Key={"payment_id": {"S": payment_id}},
            UpdateExpression=f"SET {path} = :at ADD revision :one",
            ConditionExpression=f"attribute_exists({path})",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={":at": {"S": stored(moment)}, ":one": {"N": "1"}},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as gone:
        raise NothingThere(f"{place} of {payment_id}") from gone


def bring_check_forward(cloud: Cloud, payment_id: str, moment: datetime) -> None:
    """Have the sweeper look at the payment as if that moment were its time."""
    rewrite_moment(cloud, payment_id, "check_at", moment)


def end_paid_time(cloud: Cloud, customer_id: str, serial_number: str, moment: datetime) -> None:
    """Have the paid time of a customer's only device end at that moment, and be looked at then."""
    dynamodb = _dynamodb(cloud)
    at = {":at": {"S": stored(moment)}}
    dynamodb.update_item(
        TableName=cloud.stack["tables"]["accounts"],
        Key={"customer_id": {"S": customer_id}},
        UpdateExpression="SET devices[0].paid_until = :at",
        ConditionExpression="attribute_exists(devices[0].paid_until)",
        ExpressionAttributeValues=at,
    )
    dynamodb.update_item(
        TableName=cloud.stack["tables"]["devices"],
        Key={"serial_number": {"S": serial_number}},
        UpdateExpression="SET switch_off_at = :at ADD revision :one",
        ConditionExpression="attribute_exists(switch_off_at)",
        ExpressionAttributeValues={**at, ":one": {"N": "1"}},
    )


def vends_of(cloud: Cloud, payment_id: str) -> list[dict[str, Any]]:
    """The payment's vends as they are stored, numbers and all."""
    item = _dynamodb(cloud).get_item(
        TableName=cloud.stack["tables"]["payments"],
        Key={"payment_id": {"S": payment_id}},
        ConsistentRead=True,
    )["Item"]
    vends: list[dict[str, Any]] = TypeDeserializer().deserialize(item.get("vends", {"L": []}))
    return vends


def lease_until(cloud: Cloud, payment_id: str) -> datetime:
    """When the running call of the payment's first vend must have ended."""
    return datetime.fromisoformat(vends_of(cloud, payment_id)[0]["lease_until"])


def circuit_of(cloud: Cloud, manufacturer: str) -> dict[str, Any]:
    """How it stands with a manufacturer, as it is stored; empty where nothing ever failed."""
    found = _dynamodb(cloud).get_item(
        TableName=cloud.stack["tables"]["circuits"],
        Key={"manufacturer": {"S": manufacturer}},
        ConsistentRead=True,
    )
    item = found.get("Item", {})
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def rewrite_open_until(cloud: Cloud, manufacturer: str, moment: datetime) -> None:
    """Leave the manufacturer alone until that moment, whatever its workers have read before."""
    _dynamodb(cloud).update_item(
        TableName=cloud.stack["tables"]["circuits"],
        Key={"manufacturer": {"S": manufacturer}},
        UpdateExpression="SET open_until = :at ADD revision :one",
        ConditionExpression="attribute_exists(open_until)",
        ExpressionAttributeValues={":at": {"S": stored(moment)}, ":one": {"N": "1"}},
    )


@contextmanager
def credit_slipped_in(cloud: Cloud, customer_id: str) -> Iterator[None]:
    """A hundredth of a shilling that nobody paid, written into the table by hand."""
    _add_to_credit(cloud, customer_id, 1)
    yield
    _add_to_credit(cloud, customer_id, -1)


def _add_to_credit(cloud: Cloud, customer_id: str, minor: int) -> None:
    _dynamodb(cloud).update_item(
        TableName=cloud.stack["tables"]["accounts"],
        Key={"customer_id": {"S": customer_id}},
        UpdateExpression="ADD credit_minor :minor",
        ExpressionAttributeValues={":minor": {"N": str(minor)}},
    )


def depth(cloud: Cloud, queue: str) -> int:
    """How many messages are in the queue, in flight or not."""
    attributes = cloud.aws("sqs").get_queue_attributes(
        QueueUrl=cloud.stack["queues"][queue], AttributeNames=["All"]
    )["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"]) + int(
        attributes["ApproximateNumberOfMessagesNotVisible"]
    )


def send(cloud: Cloud, queue: str, body: dict[str, Any], **fifo: str) -> None:
    """Put a message into a queue."""
    cloud.aws("sqs").send_message(
        QueueUrl=cloud.stack["queues"][queue], MessageBody=json.dumps(body), **fifo
    )
