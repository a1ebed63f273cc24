"""The proof of the books as it runs: all customers, part by part, and what it says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.books import CarryChange, Difference, Wrong
from chalicelib.domain.payment import Payment
from chalicelib.domain.plan import PlanState, Terms
from chalicelib.services import reconcile
from chalicelib.services.entries import Act, entry_of
from chalicelib.services.ports import (
    InvalidCursor,
    OutcomeUnknown,
    PassState,
    Reconciliation,
    ReportedDifference,
    TryAgain,
)
from chalicelib.services.reconcile import (
    DIFFERENCES_KEPT_MAX,
    PASS_EVERY,
    READINGS_MAX,
    SECOND_READING_SECONDS,
    CustomerBooks,
    Reconcile,
)
from chalicelib.store.models import AccountRow, EndedPlanRow, EntryRow, PaymentRow
from chalicelib.wiring import Wiring
from tests.integration.company import METER, NOW, Company, FixedClock, claim, kes
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes
from tests.integration.services.interruptions import Interrupted, Lost
from tests.integration.vendor import FakeCalin

ACT = Act(ACTOR, NOW, "test")
RIGHT: tuple[Difference, ...] = ()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the proof would have made; none is made."""
    made: list[float] = []
    really = Reconcile.__init__
    monkeypatch.setattr(
        Reconcile, "__init__", lambda self, **parts: really(self, **parts, pause=made.append)
    )
    return made


@pytest.fixture
def asha(company: Company, counter: Counter, pauses: list[float]) -> str:
    """A customer with a meter who has paid twice and carries something."""
    tariff_id = company.tariff("Dear", None, price=300)
    customer_id = company.customer(company.meter(tariff_id=tariff_id))
    counter.pay(claim(METER, 1000, "T1"))
    counter.pay(claim(METER, 55, "T2"))
    return customer_id


def check(wiring: Wiring, customer_id: str) -> tuple[Difference, ...]:
    return wiring.reconcile.check_customer(customer_id).differences


def after(clock: FixedClock, seconds: int = 60) -> datetime:
    return clock.now() + timedelta(seconds=seconds)


def run(wiring: Wiring, clock: FixedClock, **how: Any) -> Reconciliation:
    """One run that has time enough for everybody."""
    found = wiring.reconcile.run(after(clock), **how)
    assert found is not None
    return found


def crowd(company: Company, count: int) -> list[str]:
    """That many customers, each with a meter."""
    return [
        company.customer(company.meter(f"M{number}"), phone=f"+2547000001{number:02}")
        for number in range(count)
    ]


def slip_in(customer_id: str, credit_minor: int) -> None:
    """Money that nobody paid, written into the account by hand."""
    account: Account = AccountRow.get(customer_id).value()
    changed = replace(account, credit_minor=account.credit_minor + credit_minor)
    AccountRow.of(changed).save()


# --- one customer -------------------------------------------------------------------------------


def test_books_that_are_right_are_counted_at_one_reading(
    wiring: Wiring, asha: str, pauses: list[float]
) -> None:
    assert wiring.reconcile.check_customer(asha) == CustomerBooks(asha, versions=3, payments=2)
    assert pauses == []


def test_a_customer_without_an_account_is_right_if_nothing_was_posted(
    wiring: Wiring, pauses: list[float]
) -> None:
    assert wiring.reconcile.check_customer("C77") == CustomerBooks("C77")
    EntryRow.of(entry_of(ACT, Account("C77", version=1), "free_credit")).save()
    assert check(wiring, "C77") == (Difference(Wrong.VERSION, "1", 0, 1),)


def test_money_that_nobody_paid_is_found(wiring: Wiring, asha: str, pauses: list[float]) -> None:
    slip_in(asha, 1)
    assert check(wiring, asha) == (Difference(Wrong.CREDIT, asha, 0, 1),)
    assert pauses == [SECOND_READING_SECONDS]


def test_an_entry_that_is_lost_is_found(wiring: Wiring, asha: str) -> None:
    EntryRow.get(asha, 1).delete()
    assert check(wiring, asha) == (Difference(Wrong.VERSION, "1", 1, 0),)


def test_a_payment_that_is_lost_is_found_with_its_money(wiring: Wiring, asha: str) -> None:
    PaymentRow.get("mpesa_ke.600966-T2").delete()
    found = check(wiring, asha)
    assert found[0] == Difference(Wrong.VERSION, "3", 1, 0)
    assert [difference.wrong for difference in found[1:]] == [Wrong.CARRY]


def test_lines_that_were_changed_are_found(wiring: Wiring, counter: Counter, asha: str) -> None:
    payment = counter.now("mpesa_ke.600966-T1")
    (line,) = payment.lines
    wrong = replace(payment, lines=(replace(line, amount_minor=line.amount_minor - 1),))
    PaymentRow.of(wrong).save()
    first, second = check(wiring, asha)
    assert first == Difference(Wrong.LINES, payment.payment_id, kes(1000), kes(1000) - 1)
    assert second.wrong is Wrong.CARRY


@pytest.mark.untold
def test_a_payment_that_is_in_no_account_although_it_is_settled_is_found(
    wiring: Wiring, counter: Counter, asha: str
) -> None:
    payment = counter.now("mpesa_ke.600966-T1")
    nowhere = replace(payment, payment_id="mpesa_ke.600966-T9", account_versions=(), lines=())
    PaymentRow.of(nowhere).save()
    assert check(wiring, asha) == (Difference(Wrong.LINES, "mpesa_ke.600966-T9", kes(1000), 0),)


def test_payments_under_way_refused_or_somebody_else_s_are_no_difference(
    company: Company, counter: Counter, wiring: Wiring, calin: FakeCalin, asha: str
) -> None:
    company.customer(company.meter("M2"), phone="+254700000002")
    calin.behaviours = [lambda request: (500, {})]
    counter.pay(claim(METER, 100, "T3"))
    counter.accept(METER, 100, "T4")
    wiring.accept.accept(claim(METER, 0, "T5"), money_moved=False)
    counter.pay(claim("M2", 100, "T6"))
    assert check(wiring, asha) == RIGHT


def test_all_pages_of_a_customer_s_payments_are_read(
    counter: Counter, wiring: Wiring, asha: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "PAYMENTS_PER_PAGE", 1)
    assert wiring.reconcile.check_customer(asha).payments == 2
    assert check(wiring, asha) == RIGHT


def test_what_staff_did_to_credit_and_carry_is_part_of_the_books(
    counter: Counter, wiring: Wiring, asha: str
) -> None:
    account = counter.account(asha)
    (record,) = account.devices
    assert record.carry_minor >= 500
    lines = (Line(LineKind.CREDIT, asha, 500),)
    changed = replace(
        account.with_device(replace(record, carry_minor=record.carry_minor - 500)), credit_minor=500
    ).next_version()
    carries = (CarryChange(METER, Fraction(-500)),)
    wiring.accounts.change(
        changed, entry_of(ACT, changed, "carry_credited", lines=lines, carries=carries)
    )
    back = replace(changed, credit_minor=300).next_version()
    given_back = (Line(LineKind.CREDIT, asha, -200),)
    wiring.accounts.change(back, entry_of(ACT, back, "credit_refunded", lines=given_back))
    assert check(wiring, asha) == RIGHT


def test_what_is_wrong_with_one_customer_is_told_and_counted_but_is_no_pass(
    wiring: Wiring, diary: Diary, asha: str
) -> None:
    slip_in(asha, 7)
    before = len(diary.counts)
    wiring.reconcile.check_customer(asha)
    assert diary.said("books_difference") == [
        {"customer_id": asha, "wrong": "credit", "ref": asha, "expected": "0", "found": "7"}
    ]
    assert diary.said("customer_books_checked") == [
        {"customer_id": asha, "versions": 3, "payments": 2, "busy": False, "differences": 1}
    ]
    assert diary.counts[before:] == [("BooksDifferences", 1, {})]
    assert diary.rings("books-differences")
    assert wiring.reconciliations.latest() is None


def test_one_customer_s_right_books_are_told_and_leave_the_pass_under_way_alone(
    wiring: Wiring, clock: FixedClock, diary: Diary, asha: str
) -> None:
    begun = wiring.reconcile.run(clock.now())
    before = len(diary.counts)
    wiring.reconcile.check_customer(asha)
    assert [said["differences"] for said in diary.said("customer_books_checked")] == [0]
    assert diary.counts[before:] == [("BooksDifferences", 0, {})]
    assert wiring.reconciliations.latest() == begun


@pytest.mark.parametrize("nobody", ["C77", "17", " ", "x" * 3000])
def test_a_customer_who_is_nobody_s_name_is_told_as_nothing_or_as_unreadable(
    wiring: Wiring, company: Company, diary: Diary, pauses: list[float], nobody: str
) -> None:
    wiring.reconcile.check_customer(nobody)
    [said] = diary.said("customer_books_checked")
    assert (said["versions"], said["payments"]) == (0, 0)


# --- plans that have ended ------------------------------------------------------------------


@pytest.fixture
def buyer(company: Company, counter: Counter, wiring: Wiring, asha: str) -> str:
    """Asha, who has bought a TV and paid it off."""
    terms = Terms(total_minor=kes(300), every="week", first_due=NOW.date(), instalments=1)
    sold_at = {"appliance_id": None, "name": "TV", "key": "k1", "actor": ACTOR}
    plan = wiring.sell_plans.sell_appliance(asha, terms, **sold_at).plan
    early = replace(plan, first_due=(NOW - timedelta(days=9)).date())
    account = counter.account(asha).with_plan(early)
    AccountRow.of(account).save()
    counter.pay(claim(METER, 400, "T3"))
    assert counter.account(asha).plans == ()
    return plan.plan_id


def test_a_plan_that_was_paid_off_is_right(wiring: Wiring, asha: str, buyer: str) -> None:
    assert check(wiring, asha) == RIGHT


def test_a_plan_that_ended_and_is_not_stored_is_found(
    wiring: Wiring, asha: str, buyer: str
) -> None:
    EndedPlanRow.get(buyer).delete()
    assert check(wiring, asha) == (Difference(Wrong.PLAN, buyer, kes(300), None),)


def test_a_plan_that_ended_with_another_sum_is_found(wiring: Wiring, asha: str, buyer: str) -> None:
    plan = EndedPlanRow.get(buyer).value()
    EndedPlanRow.of(replace(plan, paid_minor=kes(299), ended_as=PlanState.CANCELLED)).save()
    assert check(wiring, asha) == (Difference(Wrong.PLAN, buyer, kes(300), kes(299)),)


# --- reading while others write -----------------------------------------------------------------


class Late:
    """The list of payments, as an index that is late: without the newest, so many times."""

    def __init__(self, payments: Any, times: int) -> None:
        self._payments = payments
        self._times = times

    def by_owner(self, owner: str, limit: int, cursor: str | None) -> Any:
        """A page of payments; the first ones lack the newest."""
        page = self._payments.by_owner(owner, limit, cursor)
        self._times -= 1
        return replace(page, items=page.items[1:]) if self._times >= 0 else page


def test_a_difference_that_a_second_reading_does_not_find_is_none(
    wiring: Wiring, process: Processes, asha: str, pauses: list[float]
) -> None:
    worker = process(payments=Late(wiring.payments, 1))
    assert worker.reconcile.check_customer(asha) == CustomerBooks(asha, versions=3, payments=2)
    assert pauses == [SECOND_READING_SECONDS]


def test_what_only_the_second_reading_finds_waits_for_the_next_pass(
    wiring: Wiring, process: Processes, asha: str
) -> None:
    """The first reading saw money slipped in; then that was put right, and an entry got lost."""

    def put_right() -> None:
        slip_in(asha, -1)
        EntryRow.get(asha, 1).delete()

    slip_in(asha, 1)
    accounts = Interrupted(wiring.accounts, get=[None, None, put_right])
    assert check(process(accounts=accounts), asha) == RIGHT
    assert check(wiring, asha) == (Difference(Wrong.VERSION, "1", 1, 0),)


def pay_again(counter: Counter) -> Callable[[], object]:
    """A payment, another one each time."""
    numbers = iter(range(100, 200))
    return lambda: counter.pay(claim(METER, 10, f"T{next(numbers)}"))


def test_an_account_that_changes_while_it_is_read_is_read_anew(
    counter: Counter, wiring: Wiring, process: Processes, asha: str
) -> None:
    pay = pay_again(counter)
    for between in ({"get": [pay, pay]}, {"get": [None, pay]}):
        accounts = Interrupted(wiring.accounts, **between)
        books = process(accounts=accounts).reconcile.check_customer(asha)
        account = counter.account(asha)
        assert (books.differences, books.versions) == (RIGHT, account.version)


def test_an_account_that_never_rests_is_left_for_the_next_pass(
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    clock: FixedClock,
    diary: Diary,
    asha: str,
) -> None:
    pay = pay_again(counter)
    accounts = Interrupted(wiring.accounts, get=[None, pay] * READINGS_MAX)
    finished = run(process(accounts=accounts), clock)
    assert accounts.calls["get"] == 2 * READINGS_MAX
    assert (finished.customers, finished.busy, finished.differences_count) == (1, 1, 0)
    assert (finished.versions, finished.payments) == (0, 0)
    assert diary.counted("BooksChecked") == 0
    assert ("BooksDifferences", 0, {}) in diary.counts


# --- a pass ---------------------------------------------------------------------------------------


def test_a_pass_looks_at_everybody_and_says_so(
    company: Company, wiring: Wiring, clock: FixedClock, diary: Diary, asha: str
) -> None:
    crowd(company, 2)
    finished = run(wiring, clock)
    assert finished == Reconciliation(
        run_id="2026-03-10T09:00:00.000000Z",
        state=PassState.FINISHED,
        started_at=NOW,
        finished_at=NOW,
        customers=3,
        versions=5,
        payments=2,
        revision=2,
    )
    assert wiring.reconciliations.latest() == finished
    assert diary.said("books_checked") == [
        {
            "run_id": finished.run_id,
            "customers": 3,
            "versions": 5,
            "payments": 2,
            "busy": 0,
            "differences": 0,
        }
    ]
    assert [count for count in diary.counts if count[0].startswith("Books")] == [
        ("BooksDifferences", 0, {}),
        ("BooksChecked", 3, {}),
    ]
    assert diary.said("books_difference") == []


def test_a_company_without_customers_has_right_books(
    company: Company, wiring: Wiring, clock: FixedClock, diary: Diary
) -> None:
    finished = run(wiring, clock)
    assert (finished.state, finished.customers) == (PassState.FINISHED, 0)
    assert diary.counts == [("BooksDifferences", 0, {}), ("BooksChecked", 0, {})]


def test_differences_are_reported_told_and_counted(
    company: Company, wiring: Wiring, clock: FixedClock, diary: Diary, asha: str
) -> None:
    EntryRow.get(asha, 1).delete()
    (other,) = crowd(company, 1)
    slip_in(other, 7)
    finished = run(wiring, clock)
    assert finished.differences == (
        ReportedDifference(asha, "version", "1", "1", "0"),
        ReportedDifference(other, "credit", other, "0", "7"),
    )
    assert finished.differences_count == 2
    assert diary.said("books_difference") == [
        {"customer_id": asha, "wrong": "version", "ref": "1", "expected": "1", "found": "0"},
        {"customer_id": other, "wrong": "credit", "ref": other, "expected": "0", "found": "7"},
    ]
    assert diary.counted("BooksDifferences") == 2
    assert diary.counted("BooksChecked") == 2


def test_one_pause_is_enough_for_all_customers_of_a_part(
    company: Company, wiring: Wiring, clock: FixedClock, pauses: list[float]
) -> None:
    for customer_id in crowd(company, 3):
        slip_in(customer_id, 1)
    assert run(wiring, clock).differences_count == 3
    assert pauses == [SECOND_READING_SECONDS]


def test_a_fraction_is_reported_exactly_and_nothing_as_nothing(
    counter: Counter, wiring: Wiring, clock: FixedClock, asha: str
) -> None:
    stray = DeviceAccount("M9", Kind.METER, carry_minor=Fraction(1, 3))
    AccountRow.of(counter.account(asha).with_device(stray)).save()
    assert run(wiring, clock).differences == (ReportedDifference(asha, "carry", "M9", None, "1/3"),)


def test_the_report_holds_the_first_differences_and_counts_all(
    company: Company, counter: Counter, wiring: Wiring, clock: FixedClock, diary: Diary, asha: str
) -> None:
    (other,) = crowd(company, 1)
    AccountRow.of(replace(counter.account(asha), version=63)).save()
    AccountRow.of(replace(counter.account(other), version=51)).save()
    finished = run(wiring, clock)
    assert finished.differences_count == 60 + 50
    assert len(finished.differences) == DIFFERENCES_KEPT_MAX
    assert len(diary.said("books_difference")) == 110
    assert diary.counted("BooksDifferences") == 110


# --- part by part ---------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the list is two customers."""
    monkeypatch.setattr(reconcile, "CUSTOMERS_PER_PART", 2)


def out_of_time_after(clock: FixedClock, parts: int) -> Callable[[], datetime]:
    """A clock that shows the end of the run after so many parts."""
    readings = [clock.now()] * (parts + 1) + [after(clock)] * 10
    return lambda: readings.pop(0)


@pytest.mark.usefixtures("small_parts")
def test_a_run_that_is_out_of_time_leaves_the_rest_to_the_next(
    company: Company,
    wiring: Wiring,
    process: Processes,
    clock: FixedClock,
    diary: Diary,
    pauses: list[float],
) -> None:
    crowd(company, 5)
    hurried = process()
    hurried.clock = type("Hurried", (), {"now": staticmethod(out_of_time_after(clock, 1))})()
    halfway = run(hurried, clock)
    assert (halfway.state, halfway.customers) == (PassState.RUNNING, 2)
    assert halfway.cursor is not None and halfway.finished_at is None
    assert diary.counts == []
    clock.move(timedelta(minutes=5))
    finished = run(wiring, clock)
    assert finished.run_id == halfway.run_id
    assert (finished.state, finished.customers, finished.versions) == (PassState.FINISHED, 5, 5)
    assert (finished.started_at, finished.finished_at) == (NOW, clock.now())
    assert finished.cursor is None
    assert diary.counted("BooksChecked") == 5


def test_a_run_without_any_time_only_begins_the_pass(
    company: Company, wiring: Wiring, clock: FixedClock, pauses: list[float]
) -> None:
    crowd(company, 1)
    begun = wiring.reconcile.run(clock.now())
    assert begun is not None
    assert (begun.state, begun.customers, begun.revision) == (PassState.RUNNING, 0, 1)
    assert run(wiring, clock).customers == 1


@pytest.mark.usefixtures("small_parts")
def test_of_two_runs_at_one_pass_one_counts_and_the_other_stops(
    company: Company,
    wiring: Wiring,
    process: Processes,
    clock: FixedClock,
    diary: Diary,
    pauses: list[float],
) -> None:
    customer_ids = crowd(company, 5)
    slip_in(customer_ids[0], 1)
    other = process()
    slow = process(
        reconciliations=Interrupted(
            wiring.reconciliations, save=[lambda: other.reconcile.run(after(clock))]
        )
    )
    assert slow.reconcile.run(after(clock)) is None
    finished = wiring.reconciliations.latest()
    assert finished is not None
    assert (finished.customers, finished.differences_count) == (5, 1)
    assert diary.counted("BooksChecked") == 5
    assert len(diary.said("books_difference")) == 1
    assert len(diary.said("books_left_to_another")) == 1


def test_of_two_runs_that_begin_a_pass_one_does(
    company: Company, wiring: Wiring, process: Processes, clock: FixedClock, pauses: list[float]
) -> None:
    crowd(company, 1)
    other = process()
    reports = Interrupted(wiring.reconciliations, begin=[lambda: other.reconcile.run(after(clock))])
    assert process(reconciliations=reports).reconcile.run(after(clock)) is None
    assert len(wiring.reconciliations.list(10, None).items) == 1


def test_customers_who_are_registered_meanwhile_are_no_difference(
    company: Company, wiring: Wiring, process: Processes, clock: FixedClock, pauses: list[float]
) -> None:
    crowd(company, 1)

    def register() -> None:
        company.customer(company.meter("M9"), phone="+254700000009")

    registry = Interrupted(wiring.registry, customers=[None, register])
    assert run(process(registry=registry), clock).differences_count == 0


@pytest.mark.usefixtures("small_parts")
def test_a_cursor_of_another_release_lets_the_pass_count_from_the_beginning(
    company: Company, wiring: Wiring, process: Processes, clock: FixedClock, pauses: list[float]
) -> None:
    crowd(company, 3)
    registry = Interrupted(wiring.registry, customers=[None, InvalidCursor()])
    finished = run(process(registry=registry), clock)
    assert (finished.state, finished.customers, finished.versions) == (PassState.FINISHED, 3, 3)


# --- when a pass is due ---------------------------------------------------------------------------


def test_the_next_pass_starts_a_day_after_the_last_one_started(
    company: Company, wiring: Wiring, clock: FixedClock, pauses: list[float]
) -> None:
    crowd(company, 1)
    first = run(wiring, clock)
    clock.move(PASS_EVERY - timedelta(seconds=1))
    assert wiring.reconcile.run(after(clock)) is None
    clock.move(timedelta(seconds=1))
    second = run(wiring, clock)
    assert second.run_id > first.run_id
    assert (second.state, second.customers) == (PassState.FINISHED, 1)
    assert wiring.reconciliations.list(10, None).items == [second, first]


def test_a_pass_can_be_started_at_once(
    company: Company, wiring: Wiring, clock: FixedClock, pauses: list[float]
) -> None:
    crowd(company, 1)
    run(wiring, clock)
    clock.move(timedelta(seconds=1))
    assert run(wiring, clock, start_now=True).started_at == clock.now()


def test_a_pass_under_way_goes_on_whatever_is_asked_for(
    company: Company, wiring: Wiring, clock: FixedClock, pauses: list[float]
) -> None:
    crowd(company, 1)
    begun = wiring.reconcile.run(clock.now())
    assert begun is not None
    clock.move(2 * PASS_EVERY)
    assert run(wiring, clock, start_now=True).run_id == begun.run_id


# --- what can go wrong ----------------------------------------------------------------------------


def test_a_customer_whose_books_cannot_be_read_is_named_and_the_others_are_checked(
    company: Company, wiring: Wiring, clock: FixedClock, diary: Diary, asha: str
) -> None:
    crowd(company, 1)
    entry = EntryRow.get(asha, 1).value()
    EntryRow.of(replace(entry, changes={"lines": [{"kind": "1234 5678 9012"}]})).save()
    finished = run(wiring, clock)
    assert finished.customers == 2
    assert finished.differences == (ReportedDifference(asha, "unreadable", asha, None, None),)
    assert diary.said("books_unreadable")[0] == {"customer_id": asha, "error": "ValueError"}
    assert "1234" not in str(diary.events)


@pytest.mark.parametrize(
    ("port", "method"),
    [("accounts", "get"), ("payments", "by_owner"), ("entries", "of_customer")],
)
def test_a_store_that_is_busy_ends_the_run_and_the_next_goes_on(
    wiring: Wiring, process: Processes, clock: FixedClock, asha: str, port: str, method: str
) -> None:
    faulty = Interrupted(getattr(wiring, port), **{method: [TryAgain()]})
    with pytest.raises(TryAgain):
        process(**{port: faulty}).reconcile.run(after(clock))
    assert run(wiring, clock).customers == 1


@pytest.mark.usefixtures("small_parts")
def test_a_lost_answer_to_a_saved_part_counts_nobody_twice(
    company: Company, wiring: Wiring, process: Processes, clock: FixedClock, pauses: list[float]
) -> None:
    crowd(company, 3)
    reports = Interrupted(wiring.reconciliations, save=[Lost(OutcomeUnknown())])
    with pytest.raises(OutcomeUnknown):
        process(reconciliations=reports).reconcile.run(after(clock))
    assert run(wiring, clock).customers == 3


def test_payments_of_the_proof_are_those_of_the_customer_now(
    counter: Counter, wiring: Wiring, process: Processes, asha: str
) -> None:
    """The list may still have one that was assigned to another customer's device."""
    stray: Payment = replace(counter.now("mpesa_ke.600966-T1"), payment_id="T0", customer_id="C99")

    class Behind:
        def by_owner(self, owner: str, limit: int, cursor: str | None) -> Any:
            page = wiring.payments.by_owner(owner, limit, cursor)
            return replace(page, items=[*page.items, stray, *page.items])

    books = process(payments=Behind()).reconcile.check_customer(asha)
    assert books == CustomerBooks(asha, versions=3, payments=2)
