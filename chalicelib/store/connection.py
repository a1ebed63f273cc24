"""The one connection to DynamoDB, and the base of all models.

PynamoDB would make a connection, and with it a botocore client, for every model. One is shared
instead, because making a client is the slowest thing a new process does. Names of tables come
from the environment when they are first needed, so that everything can be imported without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Self

import botocore.session
from pynamodb.connection import Connection
from pynamodb.connection.table import TableConnection
from pynamodb.indexes import GlobalSecondaryIndex
from pynamodb.models import Model

from chalicelib.runtime import aws, environment
from chalicelib.store.attributes import present

CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 3
RETRIES_MAX = 2


class _SharedConnection(Connection):
    """A connection that uses the session of the process."""

    @property
    def session(self) -> botocore.session.Session:
        return aws.session()


@cache
def connection() -> Connection:
    """The connection of the process. Region and endpoint are found by botocore."""
    return _SharedConnection(
        connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds=READ_TIMEOUT_SECONDS,
        max_retry_attempts=RETRIES_MAX,
    )


_tables: dict[str, TableConnection] = {}
_making = threading.Lock()
"""Threads that meet a table for the first time together must not make its connection twice."""


def _table_connection(table_name: str, make: Callable[[], TableConnection]) -> TableConnection:
    """The connection of one table, with the shared one in the place of its own."""
    if table_name not in _tables:
        table = make()
        shared = connection()
        shared.add_meta_table(table.get_meta_table())
        table.connection = shared
        _tables[table_name] = table
    return _tables[table_name]


def forget() -> None:
    """Drop the connection, as a new process would. For tests."""
    connection.cache_clear()
    _tables.clear()


class Index(GlobalSecondaryIndex[Any]):
    """An index of a table, under ``Meta.index_name``."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)  # type: ignore[no-untyped-call]  # PynamoDB's own


class Table(Model):
    """A model whose attributes are named as the fields of the value that it stores.

    ``Meta.plain_name`` is the table's name without the deployment's prefix.
    """

    class Meta:
        """Overridden by every model."""

        table_name = ""
        plain_name = ""

    record: ClassVar[type[Any]]
    """What a row of this table is to the rest of the code: a dataclass."""

    @classmethod
    def table_name(cls) -> str:
        """The table's full name in this deployment."""
        return environment.table_prefix() + cls.Meta.plain_name

    @classmethod
    def _get_connection(cls) -> TableConnection:
        name = cls.table_name()
        with _making:
            cls.Meta.table_name = name
            cls._connection = None  # PynamoDB would keep it; here it is kept by table
            return _table_connection(name, super()._get_connection)

    @classmethod
    def of(cls, value: Any, **more: Any) -> Self:
        """The row for a value; ``more`` are attributes that the value itself does not have."""
        return cls(**present(value), **more)

    def value(self) -> Any:
        """The value that this row stores."""
        return self.record(
            **{
                name: content
                for name, content in self.attribute_values.items()
                if name in self.record.__dataclass_fields__
            }
        )
