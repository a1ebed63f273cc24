"""The company proves its own books, and tells those who watch over the money."""

from __future__ import annotations

from infra.local.client import Cloud
from tests.e2e.books import whole_pass
from tests.e2e.company import Company
from tests.e2e.tables import credit_slipped_in


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
