"""Finance reads what came in and where it went: from the closing of a day, and on demand."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from chalicelib.services.reports.make import CLOSE_AFTER
from infra.local.client import Cloud, now, wait_for
from tests.e2e.books import money_report, whole_pass
from tests.e2e.company import NAIROBI, Company, day, unique
from tests.e2e.lambdas import invoke
from tests.e2e.test_refunds import paid_by_checkout, when_it_is_time

Figures = dict[tuple[str, str], Decimal]


def sheet(cloud: Cloud, report: dict[str, Any]) -> list[dict[str, str]]:
    """The rows of a report's CSV."""
    answer = cloud.staff("finance").get(report["files"][-1]["path"])
    assert answer.status == 200, answer
    return list(csv.DictReader(io.StringIO(answer.body.removeprefix("\ufeff"), newline="")))


def figures(cloud: Cloud) -> Figures:
    """All sums of money until now."""
    rows = sheet(cloud, money_report(cloud))
    return {(row["section"], row["item"]): Decimal(row["amount"]) for row in rows if row["amount"]}


def kept(cloud: Cloud, key: str) -> bytes:
    """A file of the archive, as it is in S3."""
    s3 = cloud.aws("s3")
    [bucket] = [b["Name"] for b in s3.list_buckets()["Buckets"] if "-reports-" in b["Name"]]
    content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def test_what_was_paid_today_is_in_the_report_with_where_it_went(
    cloud: Cloud, company: Company
) -> None:
    """One payment of each outcome: settled with credit left, refused, held, refund due, and
    given back; the report is held against what was driven."""
    before = figures(cloud)
    system = company.shs(total="1000.00", instalments=10)
    paid = cloud.partner.pay(system.serial_number, "1200.00", unique("ref-")).body
    cloud.wait_for_payment(paid["payment_id"])
    assert cloud.partner.pay("NOBODY-1", "70.00", unique("ref-")).status == 422
    cloud.fakes.order("calin", "refuse")
    meter = company.meter()
    held = cloud.partner.pay(meter.serial_number, "350.00", unique("ref-")).body
    cloud.wait_for_payment(held["payment_id"], {"held"})
    due = paid_by_checkout(cloud, company.meter(), removed=True)
    cloud.wait_for_payment(due, {"refund_due"})
    back = cloud.wait_for_payment(
        paid_by_checkout(cloud, company.meter(), removed=True), {"refund_due"}
    )
    when_it_is_time(cloud, back)
    cloud.wait_for_payment(back["payment_id"], {"refunded"})

    after = figures(cloud)
    driven = {key: after[key] - before.get(key, Decimal(0)) for key in after}
    went = {item: amount for (name, item), amount in driven.items() if name == "where_it_went"}
    assert driven["money_in", "direct"] == 1550
    assert driven["money_in", "paystack"] == 1000
    assert driven["money_in_total", "Money in"] == 2550
    assert {item: amount for item, amount in went.items() if amount} == {
        "Solar systems, bikes: days": 1000,
        "Credit in hand": 200,
        "Energy": 350,
        "Refund due": 500,
        "Refunded": 500,
    }
    assert driven["standing", "Held, already in an account: vend refused"] == 350
    assert driven["standing", "Credit in hand"] == 200
    resolved = {"reason": "the customer agreed", "outcome": "credit"}
    path = f"/payments/{held['payment_id']}/resolve"
    assert cloud.staff("operations").post(path, resolved).status == 202
    statement = cloud.staff("office").get(
        f"/customers/{meter.customer_id}/statement", **{"from": day(0), "to": day(0)}
    )
    account = cloud.account(meter.customer_id)
    assert statement.body["closing"]["credit"] == account["credit"] == "350.00"


def test_the_day_that_ended_is_closed_by_itself_and_kept(cloud: Cloud, company: Company) -> None:
    # For a quarter of an hour after midnight the day before is the last that is closed.
    ended = ((now() - CLOSE_AFTER).astimezone(NAIROBI).date() - timedelta(days=1)).isoformat()

    def closed() -> dict[str, Any]:
        invoke(cloud, "reconcile")
        body: dict[str, Any] = cloud.staff("finance").get(f"/reports/day-{ended}").body
        return body

    report = wait_for(closed, lambda body: body.get("state") == "done", "a day is closed", 60)
    text = cloud.staff("finance").get(report["files"][0]["path"]).body
    key = f"days/{ended[:4]}/{ended}.txt"
    assert kept(cloud, key).decode() == text
    assert report["sentence"] in text
    assert b'"figures":' in kept(cloud, f"closings/{ended}.json")


@contextmanager
def altered(cloud: Cloud, payment_id: str) -> Iterator[None]:
    """A payment of which somebody has changed a line by hand."""
    dynamodb, table = cloud.aws("dynamodb"), cloud.stack["tables"]["payments"]
    key = {"payment_id": {"S": payment_id}}
    item = dynamodb.get_item(TableName=table, Key=key)["Item"]
    line = {"M": {**item["lines"]["L"][0]["M"], "amount_minor": {"N": "69900"}}}
    dynamodb.put_item(TableName=table, Item={**item, "lines": {"L": [line]}})
    yield
    dynamodb.put_item(TableName=table, Item=item)


def test_a_line_that_was_altered_by_hand_is_named_with_how_much(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs()
    paid = cloud.partner.pay(household.serial_number, "700.00", unique("ref-")).body
    cloud.wait_for_payment(paid["payment_id"])
    whole_pass(cloud)  # the last proof of the accounts is in the report too
    with altered(cloud, paid["payment_id"]):
        report = money_report(cloud)
        rows = [row for row in sheet(cloud, report) if row["section"] == "differences"]
    assert [(row["item"], row["expected"], row["found"]) for row in rows] == [
        (f"{paid['payment_id']} is in its places with another sum", "700.00", "699.00")
    ]
    assert "about 1.00 KES" in report["sentence"]
    assert money_report(cloud)["differences"] == 0


def test_payments_are_taken_row_by_row(cloud: Cloud, company: Company) -> None:
    household = company.shs()
    paid = cloud.partner.pay(household.serial_number, "700.00", unique("ref-")).body
    cloud.wait_for_payment(paid["payment_id"])
    report = money_report(cloud, contents="rows")
    content = cloud.staff("finance").get(report["files"][0]["path"]).body
    rows = csv.DictReader(io.StringIO(content.removeprefix("\ufeff"), newline=""))
    [row] = [row for row in rows if row["payment_id"] == paid["payment_id"]]
    assert (row["amount"], row["status"], row["day"]) == ("700.00", "completed", day(0))
    assert cloud.staff("office").get(report["files"][0]["path"]).status == 403
