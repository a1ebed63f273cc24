"""Puts items back from a table that was restored to a point in time.

``python -m infra.restore <stack> <table> --from <restored table>`` compares the two and changes
nothing. With ``--write`` it puts back what is missing, and what differs. It never deletes, and it
leaves alone whatever has gone on since (its version is higher now), unless it is told otherwise
with ``--over-newer``: what has happened since the restored moment would be forgotten.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

Item = Mapping[str, Any]
"""An item as DynamoDB has it."""

VERSIONS = ("version", "revision")
"""What counts the writes of an item, by the tables' own names."""


class State(StrEnum):
    """How an item stands beside its restored copy."""

    MISSING = "missing"
    DIFFERS = "differs"
    NEWER = "newer"
    ONLY_HERE = "only here"


@dataclass(frozen=True)
class Difference:
    """One item that is not as it is in the restored table."""

    state: State
    key: Item
    present: Item | None
    restored: Item | None

    def __str__(self) -> str:
        """One line; it names attributes, and never shows what is in them."""
        key = " ".join(str(next(iter(value.values()))) for value in self.key.values())
        if self.present is None or self.restored is None:
            return f"{self.state.value:9} {key}"
        names = sorted(
            name
            for name in {*self.present, *self.restored}
            if self.present.get(name) != self.restored.get(name)
        )
        return f"{self.state.value:9} {key}: {', '.join(names)}"


class Tables:
    """A table and its restored copy."""

    def __init__(self, dynamodb: Any, table: str, restored: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._restored = restored
        described = dynamodb.describe_table(TableName=table)["Table"]
        copy = dynamodb.describe_table(TableName=restored)["Table"]
        if copy["KeySchema"] != described["KeySchema"]:
            raise ValueError(f"{restored} is no copy of {table}: it has another key")
        types = {a["AttributeName"]: a["AttributeType"] for a in described["AttributeDefinitions"]}
        self._keys = {k["AttributeName"]: types[k["AttributeName"]] for k in described["KeySchema"]}

    def key(self, text: str) -> Item:
        """The key that is written as ``C17``, or as ``C17,3`` where it has two parts.

        Raises:
            ValueError: it has more or fewer parts.
        """
        parts = text.rsplit(",", len(self._keys) - 1)
        if len(parts) != len(self._keys):
            raise ValueError(f"{text}: {' and '.join(self._keys)} make the key")
        return {
            name: {kind: part} for (name, kind), part in zip(self._keys.items(), parts, strict=True)
        }

    def differences(self, keys: Sequence[Item] = ()) -> Iterator[Difference]:
        """What is not as in the copy: of those keys, or of everything."""
        present = self._items(self._table, keys)
        restored = self._items(self._restored, keys)
        for each in sorted({*present, *restored}):
            now, then = present.get(each), restored.get(each)
            if now != then:
                yield Difference(_state(now, then), self._key_of(now or then or {}), now, then)

    def put_back(self, difference: Difference) -> bool:
        """Put one item back as it is in the copy, if it still is as it was compared."""
        assert difference.restored is not None  # noqa: S101 - what is only here is never put back
        condition: dict[str, Any] = {
            "ConditionExpression": "attribute_not_exists(#k)",
            "ExpressionAttributeNames": {"#k": next(iter(self._keys))},
        }
        if difference.present is not None:
            condition = _unchanged(difference.present)
        try:
            self._dynamodb.put_item(TableName=self._table, Item=difference.restored, **condition)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _items(self, table: str, keys: Sequence[Item]) -> dict[str, Item]:
        found = self._some(table, keys) if keys else self._all(table)
        return {str(self._key_of(item)): item for item in found}

    def _some(self, table: str, keys: Sequence[Item]) -> Iterator[Item]:
        for key in keys:
            answer = self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)
            if "Item" in answer:
                yield answer["Item"]

    def _all(self, table: str) -> Iterator[Item]:
        pages = self._dynamodb.get_paginator("scan")
        for page in pages.paginate(TableName=table, ConsistentRead=True):
            yield from page["Items"]

    def _key_of(self, item: Item) -> Item:
        return {name: item[name] for name in self._keys}


def _state(present: Item | None, restored: Item | None) -> State:
    if present is None:
        return State.MISSING
    if restored is None:
        return State.ONLY_HERE
    return State.NEWER if _version(present) > _version(restored) else State.DIFFERS


def _version(item: Item) -> int:
    """How often the item was written; 0 for those that do not count."""
    return next((int(item[name]["N"]) for name in VERSIONS if name in item), 0)


def _unchanged(item: Item) -> dict[str, Any]:
    """The condition that every attribute is still as it was read."""
    names = {f"#a{i}": name for i, name in enumerate(item)}
    values = {f":a{i}": value for i, value in enumerate(item.values())}
    return {
        "ConditionExpression": " AND ".join(f"#a{i} = :a{i}" for i in range(len(item))),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def restore(
    tables: Tables, keys: Sequence[str] = (), *, write: bool = False, over_newer: bool = False
) -> int:
    """Tell all differences, and put back what may be; answers how many items are still to be."""
    left = 0
    for difference in tables.differences([tables.key(text) for text in keys]):
        wanted = difference.state in (State.MISSING, State.DIFFERS) or (
            over_newer and difference.state is State.NEWER
        )
        done = write and wanted and tables.put_back(difference)
        left += wanted and not done
        print(f"{difference}{'  → put back' if done else ''}")
    print(f"{left} to be put back")
    return left


def main() -> None:
    """Compares, and with ``--write`` puts back."""
    parser = argparse.ArgumentParser(description="Put items back from a restored table.")
    parser.add_argument("stack", help="the name of the CloudFormation stack")
    parser.add_argument("table", help="its plain name, such as accounts")
    parser.add_argument("--from", dest="restored", required=True, help="the restored table")
    parser.add_argument("--key", action="append", default=[], help="C17, or C17,3; may be repeated")
    parser.add_argument("--write", action="store_true", help="put back; without it only compare")
    parser.add_argument("--over-newer", action="store_true", help="also what has changed since")
    said = parser.parse_args()
    try:
        tables = Tables(boto3.client("dynamodb"), f"{said.stack}-{said.table}", said.restored)
        restore(tables, said.key, write=said.write, over_newer=said.over_newer)
    except (BotoCoreError, ClientError, ValueError) as error:
        sys.exit(f"{said.table}: {error}")


if __name__ == "__main__":
    main()
