"""One client for all tables, made late, and set to give up in time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from chalicelib.store import connection
from chalicelib.store.connection import Table
from chalicelib.store.models import AccountRow, PaymentRow
from tests.integration.conftest import Cloud, table_definitions

TABLES = [row for row in Table.__subclasses__() if row.__module__.startswith("chalicelib")]


def test_all_tables_share_one_client_that_gives_up_in_time(cloud: Cloud) -> None:
    connections = {row._get_connection().connection for row in TABLES}
    assert connections == {connection.connection()}
    config = connection.connection().client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (1, 3)
    assert config.retries["total_max_attempts"] == 3


def test_threads_that_start_together_make_one_connection(cloud: Cloud) -> None:
    def read(row: type[Table]) -> int:
        return row.count()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, TABLES * 4)) == {0}


def test_a_table_is_named_by_the_deployment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PaymentRow.table_name() == "test-payments"
    assert AccountRow.count() == 0
    monkeypatch.setenv("TABLE_PREFIX", "other-")
    assert AccountRow._get_connection().table_name == "other-accounts"


@pytest.mark.parametrize("row", TABLES, ids=lambda row: row.__name__)
def test_keys_and_indexes_are_those_of_the_template(
    row: type[Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TABLE_PREFIX", "test-")
    [definition] = [d for d in table_definitions() if d["TableName"] == row.table_name()]
    schema = row._get_schema()
    assert _keys(schema["key_schema"]) == _keys(definition["KeySchema"])
    made = {i["IndexName"]: i for i in definition.get("GlobalSecondaryIndexes", [])}
    for index in schema["global_secondary_indexes"]:
        of_template = made[index["index_name"]]
        assert _keys(index["key_schema"]) == _keys(of_template["KeySchema"])
        assert index["projection"] == of_template["Projection"]
    types = {a["AttributeName"]: a["AttributeType"] for a in definition["AttributeDefinitions"]}
    for attribute in schema["attribute_definitions"]:
        assert types[attribute["AttributeName"]] == attribute["AttributeType"]


def _keys(schema: list[dict[str, str]]) -> dict[str, str]:
    return {key["KeyType"]: key["AttributeName"] for key in schema}
