"""What is put back from a restored table, and what never is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.restore import Difference, State, Tables, restore

KEY = {"AttributeName": "customer_id", "KeyType": "HASH"}


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    """A table and a copy of it, both empty."""
    with mock_aws():
        client = boto3.client("dynamodb", "eu-west-1")
        for name in ("now", "then"):
            make(client, name, KEY)
        yield client


def make(client: Any, name: str, *keys: dict[str, str]) -> None:
    client.create_table(
        TableName=name,
        KeySchema=list(keys),
        AttributeDefinitions=[
            {"AttributeName": key["AttributeName"], "AttributeType": "S"} for key in keys
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def put(client: Any, table: str, customer_id: str, version: int, credit: int) -> None:
    client.put_item(TableName=table, Item=item(customer_id, version, credit))


def item(customer_id: str, version: int, credit: int) -> dict[str, Any]:
    return {
        "customer_id": {"S": customer_id},
        "version": {"N": str(version)},
        "credit_minor": {"N": str(credit)},
    }


def stored(client: Any) -> list[dict[str, Any]]:
    return sorted(client.scan(TableName="now")["Items"], key=str)


@pytest.fixture
def tables(dynamodb: Any) -> Tables:
    """One item that is equal, and one of each way to differ."""
    for table in ("now", "then"):
        put(dynamodb, table, "C1", 1, 5)
    put(dynamodb, "then", "C2", 1, 5)
    put(dynamodb, "now", "C3", 1, 99)
    put(dynamodb, "then", "C3", 1, 5)
    put(dynamodb, "now", "C4", 2, 7)
    put(dynamodb, "then", "C4", 1, 5)
    put(dynamodb, "now", "C5", 1, 5)
    return Tables(dynamodb, "now", "then")


def test_a_comparison_names_what_differs_shows_no_content_and_changes_nothing(
    dynamodb: Any, tables: Tables, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(dynamodb)
    assert restore(tables) == 2
    said = capsys.readouterr().out
    assert said.splitlines() == [
        "missing   C2",
        "differs   C3: credit_minor",
        "newer     C4: credit_minor, version",
        "only here C5",
        "2 to be put back",
    ]
    assert stored(dynamodb) == before


def test_what_is_missing_or_differs_is_put_back_and_nothing_newer(
    dynamodb: Any, tables: Tables
) -> None:
    assert restore(tables, write=True) == 0
    assert stored(dynamodb) == [
        item("C1", 1, 5),
        item("C2", 1, 5),
        item("C3", 1, 5),
        item("C4", 2, 7),
        item("C5", 1, 5),
    ]


def test_what_is_newer_is_put_back_only_by_order(dynamodb: Any, tables: Tables) -> None:
    assert restore(tables, ["C4"], write=True, over_newer=True) == 0
    found = [each for each in stored(dynamodb) if each["customer_id"] == {"S": "C4"}]
    assert found == [item("C4", 1, 5)]
    assert {d.state for d in tables.differences()} == {
        State.MISSING,
        State.DIFFERS,
        State.ONLY_HERE,
    }


@pytest.mark.parametrize("customer_id", ["C2", "C3"])
def test_what_has_changed_since_it_was_compared_is_left(
    dynamodb: Any, tables: Tables, customer_id: str
) -> None:
    [difference] = tables.differences([tables.key(customer_id)])
    assert isinstance(difference, Difference)
    put(dynamodb, "now", customer_id, 1, 6)
    assert not tables.put_back(difference)
    assert item(customer_id, 1, 6) in stored(dynamodb)


def test_a_key_has_as_many_parts_as_the_tables(dynamodb: Any, tables: Tables) -> None:
    make(dynamodb, "two", KEY, {"AttributeName": "number", "KeyType": "RANGE"})
    two = Tables(dynamodb, "two", "two")
    assert two.key("a,b,3") == {"customer_id": {"S": "a,b"}, "number": {"S": "3"}}
    with pytest.raises(ValueError, match="make the key"):
        two.key("C1")
    with pytest.raises(ValueError, match="another key"):
        Tables(dynamodb, "now", "two")
