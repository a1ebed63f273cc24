"""The books of many payments at once, and that the proof of the books can fail."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from infra.local.audit import audit
from infra.local.client import Cloud
from tests.e2e.books import differences
from tests.e2e.company import Company, unique
from tests.e2e.tables import credit_slipped_in


def test_payments_of_one_customer_at_once_are_all_settled_one_after_the_other(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs(total="70000.00", instalments=100)
    references = [unique("ref-") for _ in range(8)]

    def pay(reference: str) -> int:
        return cloud.partner.pay(household.serial_number, "100.00", reference).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(pay, references)) == {202}
    payments = [cloud.wait_for_payment(cloud.partner.payment_id(ref)) for ref in references]

    assert {payment["status"] for payment in payments} == {"completed"}
    account = cloud.account(household.customer_id)
    assert account["version"] == 1 + len(references)
    assert account["plans"][0]["paid"] == "800.00"
    tokens = [token["value"] for payment in payments for token in payment["tokens"]]
    assert len(set(tokens)) == len(references)
    days = sum(int(token["units"]) for payment in payments for token in payment["tokens"])
    assert days == 8  # 8 times 100 of 700 for a week


@contextmanager
def entry_lost(cloud: Cloud, customer_id: str) -> Iterator[None]:
    """The entry of the customer's first registration, taken out of the table by hand."""
    dynamodb, table = cloud.aws("dynamodb"), cloud.stack["tables"]["entries"]
    key = {"customer_id": {"S": customer_id}, "account_version": {"N": "1"}}
    entry = dynamodb.delete_item(TableName=table, Key=key, ReturnValues="ALL_OLD")["Attributes"]
    yield
    dynamodb.put_item(TableName=table, Item=entry)


def test_what_is_wrong_in_the_tables_is_found_and_named(cloud: Cloud, company: Company) -> None:
    """The proof with which each cloud ends is worth something only if it can fail."""
    customer_id = company.meter().customer_id
    with credit_slipped_in(cloud, customer_id):
        found = audit(cloud)
        assert differences(found)[customer_id] == [f"credit {customer_id}: 0 posted, 1 found"]
        assert found.money_somewhere_minor == found.money_in_minor + 1
    with entry_lost(cloud, customer_id):
        assert differences(audit(cloud))[customer_id] == [
            "version 1 of 1 is explained 0 times",
            "version 1: 1 posted, 0 found",
        ]
