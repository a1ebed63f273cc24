"""The runbook's page on restoring tables, as an operator would follow it.

The emulator keeps no earlier moments: its RestoreTableToPointInTime copies the table as it is now.
So each test has the copy made before the damage, where on AWS one names a time before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from infra.local.audit import audit
from infra.local.client import Cloud
from infra.restore import State, Tables, restore
from tests.e2e.books import differences
from tests.e2e.company import Company, unique


@contextmanager
def restored(cloud: Cloud, table: str) -> Iterator[Tables]:
    """A copy of the table as it was a moment ago; it is dropped in the end."""
    dynamodb, name = cloud.aws("dynamodb"), cloud.stack["tables"][table]
    copy = f"{name}-{unique('at-')}"
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=name, TargetTableName=copy, UseLatestRestorableTime=True
    )
    dynamodb.get_waiter("table_exists").wait(TableName=copy)
    yield Tables(dynamodb, name, copy)
    dynamodb.delete_table(TableName=copy)


def test_a_damaged_account_is_put_back_and_its_books_are_right_again(
    cloud: Cloud, company: Company
) -> None:
    damaged, other = company.meter(), company.meter()
    company.pay_for("500.00", damaged)
    name = cloud.stack["tables"]["accounts"]
    with restored(cloud, "accounts") as tables:
        cloud.aws("dynamodb").update_item(
            TableName=name,
            Key={"customer_id": {"S": damaged.customer_id}},
            UpdateExpression="SET credit_minor = :much",
            ExpressionAttributeValues={":much": {"N": "100000"}},
        )
        company.pay_for("100.00", other)  # the world goes on
        assert damaged.customer_id in differences(audit(cloud))
        states = {d.key["customer_id"]["S"]: d.state for d in tables.differences()}
        assert states[damaged.customer_id] is State.DIFFERS
        assert states[other.customer_id] is State.NEWER

        assert restore(tables, [damaged.customer_id]) == 1, "a dry run puts nothing back"
        assert damaged.customer_id in differences(audit(cloud))
        assert restore(tables, [damaged.customer_id], write=True) == 0

    assert damaged.customer_id not in differences(audit(cloud))
    assert other.customer_id not in differences(audit(cloud))


def test_a_table_that_lost_everything_is_filled_again(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    dynamodb, name = cloud.aws("dynamodb"), cloud.stack["tables"]["entries"]
    with restored(cloud, "entries") as tables:
        for item in dynamodb.scan(TableName=name)["Items"]:
            key = {part: item[part] for part in ("customer_id", "account_version")}
            dynamodb.delete_item(TableName=name, Key=key)
        later = company.meter()  # somebody registers meanwhile
        assert household.customer_id in differences(audit(cloud))
        assert restore(tables, write=True) == 0
        states = {d.key["customer_id"]["S"]: d.state for d in tables.differences()}
        assert states == {later.customer_id: State.ONLY_HERE}
    assert household.customer_id not in differences(audit(cloud))
