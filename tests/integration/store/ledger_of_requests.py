"""Counts what goes to DynamoDB: requests, and write units worked out from item sizes.

Listens at the botocore client, so it counts what is really sent. Units come from DynamoDB's size
formula applied to the items before and after each write, never from an emulator's answer: a base
item costs a unit per KB of its larger image, twice that in a transaction; an index costs a unit
per KB for an entry that comes, changes or goes, and two where its key changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.integration.store.item_sizes import item_size, write_units

Item = Mapping[str, Any]

_WRITES = {"PutItem", "UpdateItem", "DeleteItem"}


@dataclass(frozen=True)
class Request:
    """One request: the operation, the tables it names, and the write units it took."""

    operation: str
    tables: tuple[str, ...]
    write_units: int


@dataclass
class LedgerOfRequests:
    """The requests since the last ``clear``. ``beside`` is a client of its own, not counted."""

    beside: Any
    requests: list[Request] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many requests were answered with success."""
        return len(self.requests)

    @property
    def write_units(self) -> int:
        """The write units of all of them."""
        return sum(request.write_units for request in self.requests)

    @property
    def operations(self) -> list[str]:
        """The operations in their order."""
        return [request.operation for request in self.requests]

    def clear(self) -> None:
        """Begin anew."""
        self.requests.clear()

    @contextmanager
    def listening_to(self, client: Any) -> Iterator[None]:
        """Count what this client sends while the block runs."""
        events = client.meta.events
        before, after = "before-parameter-build.dynamodb", "after-call.dynamodb"
        events.register(before, self._before)
        events.register(after, self._after)
        try:
            yield
        finally:
            events.unregister(before, self._before)
            events.unregister(after, self._after)

    def _before(
        self, params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        writes = list(_writes(model.name, params))
        context["ledger"] = [
            (table, key, self._read(table, key)) for table, key in self._keyed(writes)
        ]
        context["ledger_tables"] = tuple(_tables(params))

    def _after(
        self, parsed: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        if parsed["ResponseMetadata"]["HTTPStatusCode"] >= 300:
            return
        transactional = model.name == "TransactWriteItems"
        units = sum(
            self._units(table, old, self._read(table, key), transactional)
            for table, key, old in context["ledger"]
        )
        self.requests.append(Request(model.name, context["ledger_tables"], units))

    # --- what a write costs -------------------------------------------------------------------

    def _units(self, table: str, old: Item | None, new: Item | None, transactional: bool) -> int:
        size = max(item_size(image) for image in (old or {}, new or {}))
        return write_units(size, transactional=transactional) + sum(
            _index_units(_entry(index, keys, old), _entry(index, keys, new))
            for index, keys in self._indexes(table)
        )

    def _indexes(self, table: str) -> list[tuple[Mapping[str, Any], set[str]]]:
        described = self.beside.describe_table(TableName=table)["Table"]
        keys = {key["AttributeName"] for key in described["KeySchema"]}
        return [(index, keys) for index in described.get("GlobalSecondaryIndexes", [])]

    def _keyed(self, writes: list[tuple[str, Item]]) -> Iterator[tuple[str, Item]]:
        for table, item in writes:
            described = self.beside.describe_table(TableName=table)["Table"]
            yield (
                table,
                {k["AttributeName"]: item[k["AttributeName"]] for k in described["KeySchema"]},
            )

    def _read(self, table: str, key: Item) -> Item | None:
        found: Item | None = self.beside.get_item(TableName=table, Key=key).get("Item")
        return found


def _writes(operation: str, params: Mapping[str, Any]) -> Iterator[tuple[str, Item]]:
    """Table and item (or key) of every write in a request."""
    if operation in _WRITES:
        yield params["TableName"], params.get("Item") or params["Key"]
    for write in params.get("TransactItems", ()):
        for part in write.values():
            yield part["TableName"], part.get("Item") or part["Key"]


def _tables(params: Mapping[str, Any]) -> Iterator[str]:
    if "TableName" in params:
        yield params["TableName"]
    yield from params.get("RequestItems", {})
    for write in params.get("TransactItems", ()):
        yield from (part["TableName"] for part in write.values())


def _entry(
    index: Mapping[str, Any], table_keys: set[str], item: Item | None
) -> tuple[Item, Item] | None:
    """Key and content of an item in an index; ``None`` where it is not in it."""
    keys = {key["AttributeName"] for key in index["KeySchema"]}
    if item is None or not keys <= item.keys():
        return None
    whole = index["Projection"]["ProjectionType"] == "ALL"
    content = item if whole else {name: item[name] for name in keys | table_keys}
    return {name: item[name] for name in keys}, content


def _index_units(old: tuple[Item, Item] | None, new: tuple[Item, Item] | None) -> int:
    if old == new:
        return 0
    sizes: Callable[[tuple[Item, Item]], int] = lambda entry: item_size(entry[1])  # noqa: E731
    if old is None or new is None:
        return write_units(sizes(old or new))  # type: ignore[arg-type]
    if old[0] != new[0]:
        return write_units(sizes(old)) + write_units(sizes(new))
    return write_units(max(sizes(old), sizes(new)))
