"""The tests' shortcut through moto answers as moto itself does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration import quick_moto
from tests.integration.conftest import Cloud

ITEM = {
    "payment_id": {"S": "p-1"},
    "number": {"N": "12"},
    "yes": {"BOOL": True},
    "nothing": {"NULL": True},
    "list": {"L": [{"S": "a"}, {"M": {"b": {"N": "-1"}, "c": {"L": []}}}]},
    "map": {"M": {"empty": {"M": {}}, "text": {"S": ""}}},
}


@pytest.fixture
def thorough() -> Iterator[None]:
    yield
    quick_moto.quicken()


def test_an_item_is_the_same_both_ways(cloud: Cloud, thorough: None) -> None:
    cloud.dynamodb.put_item(TableName="test-payments", Item=ITEM)
    quickly = cloud.item("payments", payment_id="p-1")
    quick_moto.slow_down()
    assert quickly == cloud.item("payments", payment_id="p-1") == ITEM
