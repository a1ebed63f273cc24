"""Reports of the proof of the books: one is the latest, and one worker at a time writes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.services.ports import (
    InvalidCursor,
    OutcomeUnknown,
    PassState,
    Reconciliation,
    ReportedDifference,
    TryAgain,
    VersionConflict,
)
from chalicelib.store.accounts import DynamoAccounts
from chalicelib.store.reconciliations import DynamoEntries, DynamoReconciliations
from tests.integration.conftest import Cloud
from tests.integration.store.examples import CUSTOMER_ID, NOW, account, entry
from tests.integration.store.faults import READ_TIMEOUT, dynamodb_answers

FIRST = Reconciliation("2026-03-01T07:30:15.123456Z", PassState.RUNNING, NOW)
SECOND = replace(FIRST, run_id="2026-03-02T07:30:15.123456Z", started_at=NOW + timedelta(days=1))
THIRD = replace(FIRST, run_id="2026-03-03T07:30:15.123456Z", started_at=NOW + timedelta(days=2))


@pytest.fixture
def reports(cloud: Cloud) -> DynamoReconciliations:
    """Reports, none stored."""
    return DynamoReconciliations()


def test_before_the_first_pass_there_is_none(reports: DynamoReconciliations) -> None:
    assert reports.latest() is None
    assert reports.list(10, None).items == []


def test_a_report_is_read_as_it_was_written(reports: DynamoReconciliations) -> None:
    reports.begin(FIRST, None)
    assert reports.latest() == FIRST
    whole = replace(
        FIRST,
        state=PassState.FINISHED,
        finished_at=NOW + timedelta(minutes=5),
        cursor="opaque",
        customers=12,
        versions=345,
        payments=300,
        busy=1,
        differences_count=2,
        differences=(
            ReportedDifference("C1", "carry", "47001", "1/3", None),
            ReportedDifference("C2", "version", "7", "1", "0"),
        ),
    )
    written = reports.save(whole)
    assert written == replace(whole, revision=2)
    assert reports.latest() == written
    assert reports.list(10, None).items == [written]


def test_the_pass_that_was_begun_last_is_the_latest(reports: DynamoReconciliations) -> None:
    reports.begin(FIRST, None)
    reports.begin(SECOND, FIRST)
    reports.save(FIRST)
    assert reports.latest() == SECOND


@pytest.mark.parametrize("late", [FIRST, SECOND, THIRD])
def test_of_two_workers_that_begin_a_pass_one_does(
    reports: DynamoReconciliations, late: Reconciliation
) -> None:
    reports.begin(FIRST, None)
    reports.begin(SECOND, FIRST)
    for seen in (None, FIRST):
        with pytest.raises(VersionConflict):
            reports.begin(late, seen)
    assert reports.latest() == SECOND
    assert reports.list(10, None).items == [SECOND, FIRST]


def test_of_two_workers_at_one_pass_one_writes(reports: DynamoReconciliations) -> None:
    reports.begin(FIRST, None)
    written = reports.save(replace(FIRST, customers=25))
    with pytest.raises(VersionConflict):
        reports.save(replace(FIRST, customers=50))
    assert reports.latest() == written


def test_passes_are_listed_newest_first_in_parts(reports: DynamoReconciliations) -> None:
    reports.begin(FIRST, None)
    reports.begin(SECOND, FIRST)
    reports.begin(THIRD, SECOND)
    page = reports.list(2, None)
    assert page.items == [THIRD, SECOND]
    last = reports.list(2, page.next)
    assert (last.items, last.next) == ([FIRST], None)
    with pytest.raises(InvalidCursor):
        reports.list(2, "elsewhere")


def test_a_lost_answer_is_not_taken_for_a_no(
    reports: DynamoReconciliations, pauses: list[float]
) -> None:
    reports.begin(FIRST, None)
    with dynamodb_answers(READ_TIMEOUT), pytest.raises(OutcomeUnknown):
        reports.save(FIRST)
    with dynamodb_answers(READ_TIMEOUT), pytest.raises(OutcomeUnknown):
        reports.begin(SECOND, FIRST)


def test_all_entries_of_a_customer_come_by_version(accounts: DynamoAccounts) -> None:
    made = [entry(version) for version in (1, 2, 10)]
    for version, each in zip((1, 2, 3), made, strict=True):
        accounts.change(account(version=version), each)
    accounts.change(account(version=1, customer_id="C2"), replace(entry(1), customer_id="C2"))
    assert DynamoEntries().of_customer(CUSTOMER_ID) == made
    assert DynamoEntries().of_customer("C9") == []


def test_entries_that_cannot_be_read_now_may_be_read_later(
    cloud: Cloud, pauses: list[float]
) -> None:
    with dynamodb_answers(READ_TIMEOUT), pytest.raises(TryAgain):
        DynamoEntries().of_customer(CUSTOMER_ID)
