"""The books of a cloud, proved in two ways: from the tables alone, and by the company itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from infra.local.audit import Audit, audit
from infra.local.client import Answer, Cloud, now, wait_for
from tests.e2e.company import day
from tests.e2e.lambdas import invoke

PATIENCE = 240


def prove(cloud: Cloud) -> None:
    """That every customer's books are right, and that all money which came in is somewhere: as
    this module counts it, and as the company tells its own finance people."""
    found = audit(cloud)
    assert not differences(found), differences(found)
    assert found.money_somewhere_minor == found.money_in_minor, found.money_went_minor
    if found.customers:
        report = whole_pass(cloud)
        assert not report["differences"], report
    told = money_report(cloud)
    assert not told["differences"], told


def differences(found: Audit) -> dict[str, list[str]]:
    """What is wrong with whose books."""
    return {books.customer_id: books.differences for books in found.customers if books.differences}


def whole_pass(cloud: Cloud) -> dict[str, Any]:
    """The report of a pass that began after now, once it is finished."""
    since = now()

    def went_on() -> dict[str, Any]:
        invoke(cloud, "reconcile", {"start": "now"})
        return _latest(cloud)

    return wait_for(
        went_on,
        lambda report: (
            report.get("state") == "finished" and datetime.fromisoformat(report["run_id"]) >= since
        ),
        "a pass over all books",
        PATIENCE,
    )


def money_report(cloud: Cloud, contents: str = "money") -> dict[str, Any]:
    """The report of today as it is now, once it is made."""
    finance = cloud.staff("finance")

    def asked(first_day: str) -> Answer:
        period = {"from": first_day, "to": day(0)}
        return finance.post("/reports", {**period, "contents": contents})

    begun = asked(day(0))
    if begun.code == "invalid":  # midnight has just passed: the day that ended is not closed yet
        begun = asked(day(-1))
    assert begun.status == 202, begun
    return wait_for(
        lambda: finance.get(f"/reports/{begun.body['report_id']}").body,
        lambda report: report.get("state") == "done",
        "a report is made",
        PATIENCE,
    )


def _latest(cloud: Cloud) -> dict[str, Any]:
    """The report of the latest pass; empty where there was none."""
    items: list[dict[str, Any]] = cloud.staff("finance").get("/reconciliations").body["items"]
    return items[0] if items else {}
