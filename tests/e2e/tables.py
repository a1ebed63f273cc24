"""The tables and queues from behind, as somebody with the AWS console would see and touch them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from infra.local.client import Cloud


def stored(moment: datetime) -> str:
    """A moment as the tables have it."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def bring_check_forward(cloud: Cloud, payment_id: str, moment: datetime) -> None:
    """Have the sweeper look at the payment as if that moment were its time."""
    cloud.aws("dynamodb").update_item(
        TableName=cloud.stack["tables"]["payments"],
        Key={"payment_id": {"S": payment_id}},
        UpdateExpression="SET check_at = :at",
        ConditionExpression="attribute_exists(check_at)",
        ExpressionAttributeValues={":at": {"S": stored(moment)}},
    )


def lease_until(cloud: Cloud, payment_id: str) -> datetime:
    """When the running call of the payment's first vend must have ended."""
    item = cloud.aws("dynamodb").get_item(
        TableName=cloud.stack["tables"]["payments"],
        Key={"payment_id": {"S": payment_id}},
        ConsistentRead=True,
    )["Item"]
    return datetime.fromisoformat(item["vends"]["L"][0]["M"]["lease_until"]["S"])


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
