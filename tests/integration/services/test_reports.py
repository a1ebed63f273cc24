"""Reports for finance: days are closed, and every figure is what was driven through the system."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pytest

from chalicelib.domain.account import Account
from chalicelib.domain.errors import FieldError
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.ports import (
    OutcomeUnknown,
    Report,
    ReportKind,
    ReportState,
)
from chalicelib.services.reports import make
from chalicelib.services.reports.make import ClosingLost, MakeReports, ReportNotFound
from chalicelib.store import whole_tables
from chalicelib.store.models import EntryRow
from chalicelib.store.reports import ClosingsRow
from chalicelib.wiring import Wiring
from tests.integration.company import METER, NOW, SHS, Company, FixedClock, claim, plan
from tests.integration.services.conftest import Counter, Diary

TODAY = date(2026, 3, 10)
TO_MIDNIGHT = timedelta(hours=12)
"""The clock stands at noon of the company's day."""


@pytest.fixture
def reports(wiring: Wiring) -> MakeReports:
    """What makes reports."""
    return wiring.make_reports


@pytest.fixture
def household(company: Company) -> str:
    """A customer with a meter and a solar home system, and an overdue television."""
    television = plan("p-tv", 300, instalments=1, first_due=TODAY - timedelta(days=3))
    system = plan("p-shs", 7000, serial_number=SHS)
    customer_id = company.customer(
        company.meter(), company.shs(plan_id="p-shs"), plans=(television, system)
    )
    act = Act("office", NOW, "sold before")
    for version, sold in enumerate((television, system), 1):
        account = Account(customer_id, version=version)
        EntryRow.of(entry_of(act, account, "sold", opened=sold)).save()
    return customer_id


def run(counter: Counter, seconds: int = 60) -> None:
    """Let the worker make the steps that are queued, and what follows from them."""
    wiring = counter.wiring
    while messages := counter.cloud.take("moves"):
        for message in messages:
            body = message["body"]
            assert body["what"] == "report"
            until = wiring.clock.now() + timedelta(seconds=seconds)
            wiring.make_reports.work(body["move_id"], until)


def close(counter: Counter) -> Report:
    """Close the day that the clock has left; the report."""
    counter.wiring.make_reports.close_what_ended()
    run(counter)
    closings = counter.wiring.reports.closings()
    assert closings is not None
    report = counter.wiring.reports.get(f"day-{closings.last_day}")
    assert report is not None
    return report


def next_day(clock: FixedClock) -> None:
    """A quarter of an hour after midnight, when the day that ended is closed."""
    clock.move(TO_MIDNIGHT + timedelta(minutes=15))


def text_of(counter: Counter, report: Report) -> str:
    return counter.wiring.make_reports.file(report.report_id, 1, actor="finance")[1].decode()


def figures(counter: Counter, report: Report, number: int = 2) -> dict[tuple[str, str], str]:
    """The amounts of the CSV, by section and item."""
    rows = csv_of(counter, report, number)
    return {(row["section"], row["item"]): row["amount"] for row in rows}


def csv_of(counter: Counter, report: Report, number: int) -> list[dict[str, str]]:
    content = counter.wiring.make_reports.file(report.report_id, number, actor="finance")[1]
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def stranger(transaction: str, amount: int = 100, channel: str = "paystack") -> Any:
    """Money for a device that nobody knows."""
    return claim(
        "NOBODY",
        amount,
        transaction,
        channel=channel,
        source=f"{channel}.demo",
        payer_phone="+254700000009",
    )


def of_partner(serial_number: str, amount: int, transaction: str) -> Any:
    return claim(serial_number, amount, transaction, channel="direct", source="direct.demo")


def drive(counter: Counter) -> None:
    """Payments of all outcomes: settled, to be refunded, held, and one that was refused."""
    counter.pay(of_partner(METER, 1000, "T1"))  # 300 for the television, 700 of energy
    counter.pay(of_partner(SHS, 700, "T2"))
    counter.pay(stranger("T3", 150))  # goes back
    counter.pay(stranger("T4", 80, channel="imported"))  # is held: nobody can give it back
    counter.wiring.accept.accept(claim("NOBODY", 50, "T5"), money_moved=False)  # refused


def everything(counter: Counter, name: str) -> list[dict[str, Any]]:
    """All items of a table."""
    items: list[dict[str, Any]] = counter.cloud.dynamodb.scan(TableName=f"test-{name}")["Items"]
    return items


@pytest.mark.usefixtures("household")
def test_a_day_is_closed_and_told_so_that_a_person_understands_it(
    counter: Counter, clock: FixedClock, diary: Diary
) -> None:
    drive(counter)
    clock.move(timedelta(minutes=1))
    counter.wiring.reconcile.run(clock.now() + timedelta(minutes=1))
    next_day(clock)
    report = close(counter)
    assert (report.state, report.kind, report.differences) == (ReportState.DONE, ReportKind.DAY, 0)
    assert text_of(counter, report) == (
        """\
Mwanga: money report
the first payment to Tue 10 Mar 2026
Days of Africa/Nairobi, amounts in KES

All money is accounted for.

MONEY IN
  direct (2)                        1,700.00
  imported (1)                         80.00
  paystack (1)                        150.00
  ------------------------------------------
  Money in (4)                      1,930.00

WHERE IT WENT
  Appliances (instalments) (1)        300.00
  Solar systems, bikes: days (1)      700.00
  Energy (1)                          700.00
  Held, in no account (1)              80.00
  Refund due (1)                      150.00
  ------------------------------------------
  Money in                          1,930.00

TOKENS
  calin, energy (1)                   700.00
                                       7 kWh
  openpaygo, time (1)                 700.00
                                      7 days

CHANGES WITHOUT A PAYMENT
  Plans, sold (2)                   7,300.00

AT THE END
  Held, in no account: unknown device (1)
                                       80.00
  Refund due: unknown device (1)      150.00
  Credit in hand                        0.00
  Carried on meters                     0.00

CUSTOMERS' ACCOUNTS
  Compared, 2026-03-10 12:01               1
  Left for the next time                   0
  Differences                              0

DIFFERENCES
  none
"""
    )
    assert diary.counted("BooksClosed") == 1
    assert ("BooksDifferences", 0, {}) in diary.counts
    assert report.files[0].key == "days/2026/2026-03-10.txt"


@pytest.mark.usefixtures("household")
def test_what_becomes_of_an_old_payment_is_in_the_day_on_which_it_does(
    counter: Counter, clock: FixedClock
) -> None:
    drive(counter)
    next_day(clock)
    first = close(counter)
    handed_out = text_of(counter, first)
    counter.wiring.resolve.resolve_assign(
        "paystack.demo-T3", serial_number=METER, actor="ops", reason="their neighbour's meter"
    )
    counter.pay(of_partner(METER, 50, "T6"))
    counter.run_dry()
    clock.move(timedelta(days=1))
    second = close(counter)
    assert (second.first_day, second.last_day) == (date(2026, 3, 11), date(2026, 3, 11))
    assert figures(counter, second) == {
        ("report", "Mwanga"): "",
        ("report", "from"): "",
        ("report", "to"): "",
        ("report", "over"): "",
        ("report", "time zone"): "",
        ("report", "result"): "",
        ("money_in", "direct"): "50.00",
        ("money_in_total", "Money in"): "50.00",
        ("where_it_went", "Energy"): "200.00",
        ("where_it_went", "Refund due"): "-150.00",
        ("where_it_went_total", "Money in"): "50.00",
        ("tokens", "calin, energy"): "200.00",
        ("standing", "Held, in no account: unknown device"): "80.00",
        ("standing", "Credit in hand"): "0.00",
        ("standing", "Carried on meters"): "0.00",
    }
    assert text_of(counter, first) == handed_out
    whole = counter.wiring.make_reports.start(TODAY, date(2026, 3, 11), rows=False, actor="f")
    run(counter)
    whole = counter.wiring.make_reports.get(whole.report_id)
    assert (whole.first_day, whole.interim) == (None, False)
    assert figures(counter, whole)["money_in_total", "Money in"] == "1980.00"
    assert ("where_it_went", "Refund due") not in figures(counter, whole)


def test_a_day_that_is_closed_in_many_steps_is_the_same(
    counter: Counter, clock: FixedClock, household: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive(counter)
    next_day(clock)
    monkeypatch.setattr(whole_tables, "ITEMS_MAX", 1)
    monkeypatch.setattr(make, "PORTIONS_PER_PART", 1)
    ticking = Ticking(clock)
    counter.wiring.make_reports._clock = ticking  # type: ignore[attr-defined]
    counter.wiring.make_reports.close_what_ended()
    runs = 0
    while messages := counter.cloud.take("moves"):
        assert len(messages) == 1
        runs += 1
        until = ticking.now() + timedelta(seconds=6)
        counter.wiring.make_reports.work(messages[0]["body"]["move_id"], until)
    assert runs > 2
    report = counter.wiring.make_reports.get("day-2026-03-10")
    assert report.state is ReportState.DONE
    assert figures(counter, report)["money_in_total", "Money in"] == "1930.00"
    assert figures(counter, report)["changes", "Plans, sold"] == "7300.00"


class Ticking:
    """A clock on which looking takes a second."""

    def __init__(self, clock: FixedClock) -> None:
        self._clock = clock

    def now(self) -> Any:
        """One second later than the last time."""
        self._clock.move(timedelta(seconds=1))
        return self._clock.now()


@pytest.mark.usefixtures("household")
def test_money_that_comes_after_the_day_is_of_the_next(counter: Counter, clock: FixedClock) -> None:
    next_day(clock)
    counter.pay(of_partner(METER, 1000, "T1"))
    first = close(counter)
    assert figures(counter, first)["money_in_total", "Money in"] == "0.00"
    clock.move(timedelta(days=1))
    second = close(counter)
    assert figures(counter, second)["money_in_total", "Money in"] == "1000.00"


# --- what was done to the tables by hand ----------------------------------------------------------


def by_hand(counter: Counter, payment_id: str, **changes: Mapping[str, Any]) -> None:
    """Put something into a stored payment, as a person in the console would."""
    table = "test-payments"
    key = {"payment_id": {"S": payment_id}}
    item = counter.cloud.dynamodb.get_item(TableName=table, Key=key)["Item"]
    counter.cloud.dynamodb.put_item(TableName=table, Item={**item, **changes})


@pytest.mark.untold
@pytest.mark.usefixtures("household")
def test_what_is_altered_removed_or_broken_by_hand_is_named_with_how_much(
    counter: Counter, clock: FixedClock, diary: Diary
) -> None:
    drive(counter)
    next_day(clock)
    close(counter)
    key = {"payment_id": {"S": "paystack.demo-T3"}}
    counter.cloud.dynamodb.delete_item(TableName="test-payments", Key=key)
    by_hand(counter, "imported.demo-T4", amount_minor={"N": "7900"})
    by_hand(counter, "direct.demo-T2", status={"S": "lost"})
    counter.cloud.dynamodb.put_item(
        TableName="test-entries", Item={"customer_id": {"S": "C9"}, "account_version": {"N": "4"}}
    )
    by_hand(counter, "direct.demo-T1", tokens={"L": []})
    clock.move(timedelta(days=1))
    report = close(counter)
    found = {
        row["item"]: (row["expected"], row["found"])
        for row in csv_of(counter, report, 2)
        if row["section"] == "differences"
    }
    assert found == {
        "imported.demo-T4 was changed after it was stored": ("", "79.00"),
        "direct 2026-03, 1 gone is less than the closing before saw": ("1700.00", "1000.00"),
        "paystack 2026-03, 1 gone is less than the closing before saw": ("150.00", "0.00"),
        "imported 2026-03 is less than the closing before saw": ("80.00", "79.00"),
        "direct.demo-T1 has other tokens than vends": ("1", "0"),
        "direct.demo-T2 cannot be read": ("", ""),
        "C9 4 cannot be read": ("", ""),
    }
    assert report.sentence == (
        "NOT all money is accounted for: 7 differences in payments, about 930.00 KES. "
        "See DIFFERENCES."
    )
    assert diary.counted("BooksDifferences") == 7
    assert len(diary.said("payment_unaccounted")) == 7


@pytest.mark.untold
def test_money_that_waits_twice_is_found_before_it_goes_back_twice(
    counter: Counter, clock: FixedClock, company: Company
) -> None:
    counter.pay(stranger("T3", 150))
    original = counter.cloud.item("payments", payment_id="paystack.demo-T3") or {}
    copy = {**original, "payment_id": {"S": "paystack.demo-T33"}}
    counter.cloud.dynamodb.put_item(TableName="test-payments", Item=copy)
    next_day(clock)
    report = close(counter)
    assert "1 difference in payments, about 150.00 KES" in report.sentence
    assert " waits under another id too\n" in text_of(counter, report)


@pytest.mark.untold
@pytest.mark.usefixtures("household")
def test_money_that_is_in_no_place_stands_in_the_sum(counter: Counter, clock: FixedClock) -> None:
    drive(counter)
    by_hand(counter, "imported.demo-T4", status={"S": "completed"})
    next_day(clock)
    report = close(counter)
    assert figures(counter, report)["where_it_went", "In NO place"] == "80.00"
    assert "1 difference in payments, about 80.00 KES" in report.sentence
    assert "  imported.demo-T4 is in its places with another sum\n" in text_of(counter, report)


def test_the_proof_of_the_accounts_stands_in_the_report_too(
    counter: Counter, clock: FixedClock, household: str
) -> None:
    drive(counter)
    key = {"customer_id": {"S": household}, "account_version": {"N": "1"}}
    counter.cloud.dynamodb.delete_item(TableName="test-entries", Key=key)
    by_hand(counter, "direct.demo-T1", account_versions={"L": [{"N": "9"}]})
    counter.wiring.reconcile._pause = lambda seconds: None  # type: ignore[attr-defined]
    counter.wiring.reconcile.run(clock.now() + timedelta(minutes=1))
    next_day(clock)
    report = close(counter)
    rows = [row for row in csv_of(counter, report, 2) if row["section"] == "differences"]
    assert {"Account C1: version 1", "Account C1: version 9"} <= {row["item"] for row in rows}
    assert "customers' accounts are NOT right" in report.sentence
    assert report.differences == len(rows)


def test_a_proof_of_the_accounts_that_is_old_is_not_taken_for_one_of_today(
    counter: Counter, clock: FixedClock
) -> None:
    counter.wiring.reconcile.run(clock.now() + timedelta(minutes=1))
    next_day(clock)
    assert close(counter).sentence == "All money is accounted for."
    clock.move(timedelta(days=2))
    close(counter)
    assert close(counter).sentence == (
        "All money of payments is accounted for; the customers' accounts were last compared on "
        "2026-03-10."
    )


@pytest.mark.untold
def test_more_differences_than_can_be_named_are_counted(
    counter: Counter, clock: FixedClock, household: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive(counter)
    monkeypatch.setattr("chalicelib.services.reports.closing.FAULTS_KEPT_MAX", 0)
    by_hand(counter, "imported.demo-T4", status={"S": "completed"})
    next_day(clock)
    report = close(counter)
    rows = [row for row in csv_of(counter, report, 2) if row["section"] == "differences"]
    assert [(row["item"], row["count"]) for row in rows] == [("More, see the log", "1")]


def let_days_be_closed(counter: Counter, last: date, until: date) -> None:
    """Days without anything, as if each of them had been closed."""
    files = counter.wiring.report_files
    content = files.get(f"closings/{last}.json")
    assert content is not None
    files.put(f"closings/{until}.json", content)
    closed = counter.wiring.reports.closings()
    assert closed is not None
    ClosingsRow(first_day=closed.first_day, last_day=until).save()


# --- months, periods, rows ------------------------------------------------------------------------


@pytest.mark.usefixtures("household")
def test_a_month_is_told_when_its_last_day_is_closed(counter: Counter, clock: FixedClock) -> None:
    clock.move(timedelta(days=20))  # the 30th
    drive(counter)
    next_day(clock)
    close(counter)
    counter.pay(of_partner(METER, 50, "T6"))
    clock.move(timedelta(days=1))
    close(counter)
    march = counter.wiring.make_reports.get("month-2026-03")
    assert (march.kind, march.first_day, march.files[0].key) == (
        ReportKind.MONTH,
        None,
        "months/2026-03.txt",
    )
    assert figures(counter, march)["money_in_total", "Money in"] == "1980.00"
    counter.pay(of_partner(METER, 20, "T7"))
    let_days_be_closed(counter, date(2026, 3, 31), date(2026, 4, 29))
    clock.move(timedelta(days=30))
    close(counter)
    april = counter.wiring.make_reports.get("month-2026-04")
    assert figures(counter, april)["money_in_total", "Money in"] == "20.00"
    assert "Wed 1 Apr 2026 to Thu 30 Apr 2026\n" in text_of(counter, april)


@pytest.mark.usefixtures("household")
def test_today_can_be_told_before_it_is_over(counter: Counter, clock: FixedClock) -> None:
    drive(counter)
    made = counter.wiring.make_reports.start(TODAY, TODAY, rows=False, actor="finance")
    run(counter)
    report = counter.wiring.make_reports.get(made.report_id)
    assert (report.interim, report.first_day) == (True, None)
    assert text_of(counter, report).splitlines()[1].endswith("Tue 10 Mar 2026 (not over yet)")
    assert report.sentence == (
        "All money of payments is accounted for; the customers' accounts were not compared yet."
    )
    next_day(clock)
    close(counter)
    counter.pay(of_partner(METER, 50, "T6"))
    clock.move(timedelta(hours=1))
    made = counter.wiring.make_reports.start(
        date(2026, 3, 11), date(2026, 3, 11), rows=False, actor="finance"
    )
    run(counter)
    report = counter.wiring.make_reports.get(made.report_id)
    assert figures(counter, report)["money_in_total", "Money in"] == "50.00"


@pytest.mark.usefixtures("household")
def test_a_period_of_which_nothing_can_be_said_is_refused(
    counter: Counter, clock: FixedClock, reports: MakeReports
) -> None:
    def refused(first: date, last: date) -> tuple[str, str]:
        with pytest.raises(FieldError) as raised:
            reports.start(first, last, rows=False, actor="finance")
        return raised.value.field, raised.value.detail

    day = timedelta(days=1)
    assert refused(TODAY, TODAY - day) == ("to", "must not be before from")
    assert refused(TODAY, TODAY + day) == ("to", "must not be in the future")
    assert refused(TODAY - day, TODAY - day) == ("to", "no day was closed yet")
    next_day(clock)
    reports.close_what_ended()  # and it is under way
    assert refused(TODAY, TODAY) == ("to", "no day was closed yet")
    run(counter)
    assert refused(TODAY - day, TODAY - day)[1] == "the first day that was closed is 2026-03-10"
    clock.move(day)
    reports.close_what_ended()
    assert refused(TODAY + day, TODAY + day) == ("to", "days are closed until 2026-03-10 yet")
    assert refused(TODAY + 2 * day, TODAY + 2 * day)[0] == "from"


@pytest.mark.parametrize(("items_max", "rows_max"), [(2, 1), (1, 1), (1, 3)])
def test_payments_and_entries_are_written_row_by_row_in_files_that_end(
    counter: Counter,
    clock: FixedClock,
    household: str,
    monkeypatch: pytest.MonkeyPatch,
    items_max: int,
    rows_max: int,
) -> None:
    drive(counter)
    clock.move(timedelta(minutes=1))
    monkeypatch.setattr(whole_tables, "ITEMS_MAX", items_max)
    monkeypatch.setattr(make, "ROWS_PER_FILE", rows_max)
    made = counter.wiring.make_reports.start(TODAY, TODAY, rows=True, actor="finance")
    run(counter)
    report = counter.wiring.make_reports.get(made.report_id)
    names = [file.key.rpartition("/")[2] for file in report.files]
    rows: dict[str, list[dict[str, str]]] = {"payments": [], "lines": [], "entries": []}
    for number, name in enumerate(names, 1):
        rows[name.partition("-")[0]] += csv_of(counter, report, number)
    assert names.count("payments-0002.csv") == 1
    assert sorted(
        (row["payment_id"], row["amount"], row["money_in"]) for row in rows["payments"]
    ) == [
        ("direct.demo-T1", "1000.00", "yes"),
        ("direct.demo-T2", "700.00", "yes"),
        ("imported.demo-T4", "80.00", "yes"),
        ("mpesa_ke.600966-T5", "50.00", "no"),
        ("paystack.demo-T3", "150.00", "yes"),
    ]
    assert sorted((row["kind"], row["ref"], row["amount"]) for row in rows["lines"]) == [
        ("appliance", "p-tv", "300.00"),
        ("energy", METER, "700.00"),
        ("time", SHS, "700.00"),
    ]
    assert [(row["what"], row["kind"], row["amount"]) for row in rows["entries"]] == [
        ("sold", "plan", "300.00"),
        ("sold", "plan", "7000.00"),
    ]
    assert sum(file.rows for file in report.files) == 5 + 3 + 2


def test_rows_of_a_period_without_any_have_their_headings(
    counter: Counter, clock: FixedClock, household: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive(counter)
    reports = counter.wiring.make_reports
    monkeypatch.setattr(whole_tables, "ITEMS_MAX", 1)
    reports._clock = Ticking(clock)
    before = date(2020, 1, 1)
    made = reports.start(before, before, rows=True, actor="finance")
    run(counter, seconds=4)  # too short for all of it
    report = reports.get(made.report_id)
    assert [file.rows for file in report.files] == [0, 0, 0]
    assert reports.file(report.report_id, 1, actor="f")[1].startswith(b"\xef\xbb\xbfpayment_id,")


def test_an_entry_without_a_sum_and_one_of_a_carry_have_their_rows(
    counter: Counter, reports: MakeReports, company: Company, clock: FixedClock
) -> None:
    company.customer(company.meter())
    clock.move(timedelta(minutes=1))
    carry = {"carries": [{"serial_number": METER, "amount_minor": "-1/3"}]}
    line = {"lines": [{"kind": "credit", "ref": "C1", "amount_minor": -5}]}
    act = Act("office", NOW, "=1+1")
    entry = entry_of(act, Account("C1", version=2), "moved")
    EntryRow.of(make.replace(entry, changes={**carry, **line})).save()
    made = reports.start(TODAY, TODAY, rows=True, actor="finance")
    run(counter)
    rows = csv_of(counter, reports.get(made.report_id), 3)
    assert [(r["what"], r["reason"], r["kind"], r["amount"]) for r in rows] == [
        ("registered", "test", "", ""),
        ("moved", "'=1+1", "credit", "-0.05"),
        ("moved", "'=1+1", "carry", "'-1/300"),
    ]
    next_day(clock)
    found = figures(counter, close(counter))
    assert found["changes", "moved: Credit in hand"] == "-0.05"
    assert found["changes", "moved: carried"] == "'-1/300"


# --- what can go wrong ----------------------------------------------------------------------------


def test_of_two_workers_one_closes_the_day(counter: Counter, clock: FixedClock) -> None:
    next_day(clock)
    reports = counter.wiring.make_reports
    reports.close_what_ended()
    late = Wiring(clock)
    late.reports.closings = lambda: None  # type: ignore[method-assign]
    late.make_reports.close_what_ended()
    assert len(counter.cloud.take("moves")) == 1

    report = reports.get("day-2026-03-10")
    counter.wiring.reports.save(report)
    stale = Wiring(clock)
    stale.reports.get = lambda report_id: report  # type: ignore[method-assign]
    stale.make_reports.work(report.report_id, clock.now() + timedelta(minutes=1))
    assert reports.get(report.report_id).state is ReportState.RUNNING


def test_a_closing_whose_message_was_lost_is_queued_again(
    counter: Counter, clock: FixedClock
) -> None:
    next_day(clock)
    reports = counter.wiring.make_reports
    reports.close_what_ended()
    assert len(counter.cloud.take("moves")) == 1
    reports.close_what_ended()
    assert counter.cloud.take("moves") == []
    clock.move(timedelta(minutes=30))
    reports.close_what_ended()
    run(counter)
    assert reports.get("day-2026-03-10").state is ReportState.DONE
    reports.close_what_ended()
    reports.work("day-2026-03-10", clock.now() + timedelta(minutes=1))
    reports.work("day-2026-03-09", clock.now() + timedelta(minutes=1))
    assert counter.cloud.take("moves") == []


def test_days_in_which_nothing_ran_are_closed_one_after_the_other(
    counter: Counter, clock: FixedClock
) -> None:
    next_day(clock)
    close(counter)
    clock.move(timedelta(days=2))
    days = [close(counter).last_day.isoformat() for _ in range(3)]
    assert days == ["2026-03-11", "2026-03-12", "2026-03-12"]


@pytest.mark.usefixtures("household")
def test_a_closing_that_breaks_at_any_write_is_gone_on_with_and_counts_nothing_twice(
    counter: Counter, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive(counter)
    next_day(clock)
    close(counter)
    monkeypatch.setattr(whole_tables, "ITEMS_MAX", 6)
    monkeypatch.setattr(make, "PORTIONS_PER_PART", 1)
    broken, days = Broken(counter.wiring), 0
    while True:
        days += 1
        clock.move(timedelta(days=1))
        counter.pay(of_partner(SHS, 10, f"D{days}"))
        day = f"day-{date(2026, 3, 10) + timedelta(days=days)}"
        counter.wiring.make_reports.close_what_ended()
        counter.cloud.take("moves")
        broken.at = days
        until = clock.now() + timedelta(minutes=1)
        with suppress(OutcomeUnknown):
            counter.wiring.make_reports.work(day, until)
        broke, broken.at = broken.did(), 0
        counter.wiring.make_reports.work(day, until)
        told = figures(counter, counter.wiring.make_reports.get(day))
        assert told["money_in_total", "Money in"] == ("0.00" if days == 1 else "10.00")
        assert ("where_it_went", "In NO place") not in told
        if not broke:
            break
    assert days > 6


class Broken:
    """Lets the n-th write of a closing fail: half of them have happened all the same."""

    def __init__(self, wiring: Wiring) -> None:
        self.at = self._writes = 0
        for port, name in ((wiring.report_files, "put"), (wiring.reports, "save")):
            setattr(port, name, self._breaking(getattr(port, name)))

    def _breaking(self, write: Any) -> Any:
        def breaking(*arguments: Any) -> Any:
            self._writes += 1
            fails = self.at == self._writes
            if fails and self.at % 2:
                raise OutcomeUnknown
            done = write(*arguments)
            if fails:
                raise OutcomeUnknown
            return done

        return breaking

    def did(self) -> bool:
        """Whether a write has failed; counting begins anew."""
        failed = self._writes >= self.at
        self._writes = 0
        return failed


def test_a_closing_that_somebody_has_deleted_is_missed(counter: Counter, clock: FixedClock) -> None:
    next_day(clock)
    close(counter)
    bucket = "test-reports-123456789012"
    counter.cloud.s3.delete_object(Bucket=bucket, Key="closings/2026-03-10.json")
    clock.move(timedelta(days=1))
    with pytest.raises(ClosingLost):
        close(counter)


def test_what_is_not_there_is_not_found(counter: Counter, reports: MakeReports) -> None:
    with pytest.raises(ReportNotFound):
        reports.get("day-1999-01-01")
    with pytest.raises(ReportNotFound):
        reports.get("closings")
    made = reports.start(TODAY, TODAY, rows=True, actor="finance")
    for number in (0, 1):
        with pytest.raises(ReportNotFound):
            reports.file(made.report_id, number, actor="finance")
    run(counter)
    assert not counter.wiring.reports.create(reports.get(made.report_id))
    assert [report.report_id for report in reports.list(10, None).items] == [made.report_id]
