"""The company proves its own books, after everything that the other tests have done to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from infra.local.client import Cloud, now, wait_for
from tests.e2e.company import Company
from tests.e2e.lambdas import invoke
from tests.e2e.tables import credit_slipped_in

PATIENCE = 240


def latest(cloud: Cloud) -> dict[str, Any]:
    """The report of the latest pass; empty where there was none."""
    items: list[dict[str, Any]] = cloud.staff("finance").get("/reconciliations").body["items"]
    return items[0] if items else {}


def whole_pass(cloud: Cloud) -> dict[str, Any]:
    """The report of a pass that began after now, once it is finished."""
    since = now()

    def went_on() -> dict[str, Any]:
        invoke(cloud, "reconcile", {"start": "now"})
        return latest(cloud)

    return wait_for(
        went_on,
        lambda report: (
            report.get("state") == "finished" and datetime.fromisoformat(report["run_id"]) >= since
        ),
        "a pass over all books",
        PATIENCE,
    )


def test_a_pass_over_all_customers_finds_no_difference(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    company.pay_for("100", household)
    report = whole_pass(cloud)
    assert report["differences"] == []
    assert (report["differences_count"], report["busy"]) == (0, 0)
    assert report["customers"] >= 1
    assert report["versions"] >= report["customers"]
    assert report["payments"] >= 1
    assert report["started_at"] <= report["finished_at"]


def test_money_that_nobody_paid_is_named_with_its_customer(cloud: Cloud, company: Company) -> None:
    customer_id = company.meter().customer_id
    with credit_slipped_in(cloud, customer_id):
        report = whole_pass(cloud)
    assert report["differences"] == [
        {
            "customer_id": customer_id,
            "wrong": "credit",
            "ref": customer_id,
            "expected": "0.00",
            "found": "0.01",
        }
    ]
    assert report["differences_count"] == 1


def test_whoever_does_not_watch_over_the_money_does_not_see_the_reports(cloud: Cloud) -> None:
    for role in ("office", "field", "agent"):
        assert cloud.staff(role).get("/reconciliations").status == 403, role
    for role in ("operations", "finance", "admin"):
        answer = cloud.staff(role).get("/reconciliations", limit=1)
        assert (answer.status, len(answer.body["items"])) == (200, 1), role
