"""The reports of the proof of the books, and the schedule that has them made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from chalice.app import CloudWatchEvent

from chalicelib.api import workers
from chalicelib.services.ports import PassState, Reconciliation, ReportedDifference
from chalicelib.services.reconcile import Reconcile
from tests.integration.api.conftest import Api, Place, meter, person, registration, shs
from tests.integration.company import NOW, FixedClock


class Context:
    """What Lambda says about the running call."""

    def __init__(self, seconds: int = 300) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        """How much time is left."""
        return self._seconds * 1000


def scheduled(api: Api, *, seconds: int = 300, **detail: Any) -> None:
    """Let the schedule trigger the function that proves the books."""
    event = {
        "version": "0",
        "id": "1",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-03-10T09:00:00Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": detail,
    }
    workers.reconcile(CloudWatchEvent(event, Context(seconds)), api.wiring)


def reports(api: Api, query: str = "", role: str = "finance") -> Any:
    """The list of reports."""
    answer = api.get(f"/reconciliations{query}", role)
    assert answer.status == 200
    return answer.json


def test_before_the_first_pass_there_is_no_report(api: Api) -> None:
    assert reports(api) == {"items": [], "next": None}


def test_the_schedule_has_a_report_made_once_a_day(
    api: Api, place: Place, clock: FixedClock
) -> None:
    api.post("/registrations", registration(person(place), meter(place)), "field")
    api.post("/registrations", registration({"customer_id": "C1"}, shs()), "office")
    for _ in range(3):
        scheduled(api)
    [report] = reports(api)["items"]
    assert report == {
        "run_id": "2026-03-10T09:00:00.000000Z",
        "state": "finished",
        "started_at": "2026-03-10T09:00:00.000Z",
        "finished_at": "2026-03-10T09:00:00.000Z",
        "customers": 1,
        "versions": 2,
        "payments": 0,
        "busy": 0,
        "differences_count": 0,
        "differences": [],
    }
    clock.move(timedelta(days=1))
    scheduled(api)
    assert [each["started_at"] for each in reports(api)["items"]] == [
        "2026-03-11T09:00:00.000Z",
        "2026-03-10T09:00:00.000Z",
    ]


def test_an_operator_can_have_one_made_at_once(api: Api, clock: FixedClock) -> None:
    scheduled(api)
    clock.move(timedelta(minutes=1))
    scheduled(api, start="later")
    assert len(reports(api)["items"]) == 1
    scheduled(api, start="now")
    assert len(reports(api)["items"]) == 2


def test_a_run_ends_before_the_function_does(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        Reconcile, "run", lambda self, until, *, start_now: asked.append((until, start_now))
    )
    scheduled(api, seconds=300)
    scheduled(api, seconds=30, start="now")
    assert asked == [
        (NOW + timedelta(seconds=280), False),
        (NOW + timedelta(seconds=10), True),
    ]


def test_differences_are_shown_in_the_company_s_currency_and_versions_as_counts(
    api: Api,
) -> None:
    report = Reconciliation(
        "2026-03-10T09:00:00.000000Z",
        PassState.RUNNING,
        NOW,
        customers=9,
        busy=1,
        differences_count=300,
        differences=(
            ReportedDifference("C1", "version", "7", "1", "0"),
            ReportedDifference("C1", "credit", "C1", "0", "-1150"),
            ReportedDifference("C2", "carry", "47001", "1/2", None),
            ReportedDifference("C3", "unreadable", "C3"),
        ),
    )
    api.wiring.reconciliations.begin(report, None)
    [shown] = reports(api, role="operations")["items"]
    assert (shown["state"], shown["finished_at"]) == ("running", None)
    assert (shown["busy"], shown["differences_count"]) == (1, 300)
    assert [tuple(each.values()) for each in shown["differences"]] == [
        ("C1", "version", "7", "1", "0"),
        ("C1", "credit", "C1", "0.00", "-11.50"),
        ("C2", "carry", "47001", "0.005", None),
        ("C3", "unreadable", "C3", None, None),
    ]
    assert list(shown["differences"][0]) == ["customer_id", "wrong", "ref", "expected", "found"]


def test_reports_come_newest_first_in_parts(api: Api, clock: FixedClock) -> None:
    for _ in range(3):
        scheduled(api, start="now")
        clock.move(timedelta(hours=1))
    first = reports(api, "?limit=2")
    second = reports(api, f"?limit=2&cursor={first['next']}")
    hours = [each["started_at"][11:13] for each in (*first["items"], *second["items"])]
    assert (hours, second["next"]) == (["11", "10", "09"], None)
    assert api.get("/reconciliations?cursor=elsewhere", "finance").code == "invalid_cursor"


@pytest.mark.parametrize("role", ["office", "field", "agent"])
def test_only_who_watches_over_the_money_sees_the_reports(api: Api, role: str) -> None:
    assert api.get("/reconciliations", role).status == 403
    assert api.get("/reconciliations", None).status == 401
