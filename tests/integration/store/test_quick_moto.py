"""The tests' shortcuts through botocore and moto lead to the same answers as the long way."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.dynamodb.models import dynamodb_backends

from tests.integration import quick_moto
from tests.integration.conftest import ACCOUNT, REGION, Cloud

TABLE = "test-payments"
KEY = {"payment_id": {"S": "p-1"}}
ITEM = {
    **KEY,
    "number": {"N": "12"},
    "yes": {"BOOL": True},
    "nothing": {"NULL": True},
    "list": {"L": [{"S": "a"}, {"M": {"b": {"N": "-1"}, "c": {"L": []}}}]},
    "map": {"M": {"empty": {"M": {}}, "text": {"S": ""}}},
    "not ascii": {"S": "Mérida £ 💡"},
}
AGAIN = {
    "TableName": TABLE,
    "Item": ITEM,
    "ConditionExpression": "attribute_not_exists(payment_id)",
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}
CHANGE: dict[str, Any] = {
    "TableName": TABLE,
    "Key": KEY,
    "UpdateExpression": "SET #n = #n + :one, added = list_append(:none, :some)",
    "ExpressionAttributeNames": {"#n": "number"},
    "ExpressionAttributeValues": {
        ":one": {"N": "1"},
        ":none": {"L": []},
        ":some": {"L": [{"S": "x"}]},
    },
    "ReturnValues": "ALL_NEW",
}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("put_item", {"TableName": TABLE, "Item": ITEM}),
    ("put_item", AGAIN),
    ("get_item", {"TableName": TABLE, "Key": KEY, "ConsistentRead": True}),
    ("get_item", {"TableName": TABLE, "Key": {"payment_id": {"S": "p-2"}}}),
    ("update_item", CHANGE),
    ("update_item", {**CHANGE, "Key": {"payment_id": {"S": "p-3"}}}),
    ("transact_write_items", {"TransactItems": [{"Put": {"TableName": TABLE, "Item": ITEM}}]}),
    ("transact_write_items", {"TransactItems": [{"Put": AGAIN}]}),
    (
        "query",
        {
            "TableName": TABLE,
            "KeyConditionExpression": "payment_id = :p",
            "ExpressionAttributeValues": {":p": KEY["payment_id"]},
        },
    ),
    ("scan", {"TableName": TABLE, "Limit": 1}),
    ("batch_get_item", {"RequestItems": {TABLE: {"Keys": [KEY]}}}),
    ("delete_item", {"TableName": TABLE, "Key": KEY, "ReturnValues": "ALL_OLD"}),
    ("get_item", {"TableName": "test-nowhere", "Key": KEY}),
    ("put_item", {"TableName": TABLE, "Item": {"payment_id": {"N": "1"}}}),
]


@pytest.fixture
def thorough() -> Iterator[None]:
    yield
    quick_moto.quicken()


def answers(cloud: Cloud) -> list[Any]:
    """What an empty installation answers to all requests, one after the other."""
    backend = dynamodb_backends[ACCOUNT][REGION]
    before = copy.deepcopy(backend.tables)
    found = [answer(cloud, operation, request) for operation, request in REQUESTS]
    backend.tables = before
    return found


def answer(cloud: Cloud, operation: str, request: dict[str, Any]) -> Any:
    try:
        told = getattr(cloud.dynamodb, operation)(**request)
    except ClientError as error:
        told = error.response
    status = told.pop("ResponseMetadata")["HTTPStatusCode"]
    return operation, status, told


def test_every_request_is_answered_the_same_both_ways(cloud: Cloud, thorough: None) -> None:
    quickly = answers(cloud)
    quick_moto.slow_down()
    assert quickly == answers(cloud)
    assert quickly[2] == ("get_item", 200, {"Item": ITEM})
    assert [status for _, status, _ in quickly].count(400) == 5
