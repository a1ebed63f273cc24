"""Lists: what nobody told us of is found in a provider's own list, or in a statement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import Payment, Status
from chalicelib.services.company import Choices
from chalicelib.services.find_missing import EVERY, LISTED_FOR, PART
from chalicelib.services.ports import Listed, Paid, ProviderUnreachable
from chalicelib.services.statements import ROWS_MAX, StatementNotFound
from chalicelib.services.take_listed import Found
from chalicelib.services.vend import OutOfTime
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock, claim, kes
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes
from tests.integration.services.fake_provider import (
    CHANNEL,
    ON_CHANNEL,
    FakeProvider,
    FakeProviders,
)
from tests.integration.vendor import FakeCalin


@dataclass
class ListingProvider(FakeProvider):
    """Tells a list of what was paid, or fails."""

    rows: list[Listed] = field(default_factory=list)
    failure: Exception | None = None
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def payments_between(self, since: datetime, until: datetime) -> Iterator[Listed]:
        """The list."""
        self.asked.append((since, until))
        if self.failure is not None:
            raise self.failure
        yield from self.rows


class ListingProviders(FakeProviders):
    """Lends the fake that can be asked for its list."""

    def listing(self) -> list[str]:
        """Its channel."""
        return [CHANNEL]


@pytest.fixture
def provider() -> ListingProvider:
    return ListingProvider()


@pytest.fixture
def wiring(process: Processes, provider: ListingProvider) -> Wiring:
    return process(providers=ListingProviders(provider))


@pytest.fixture
def household(company: Company) -> str:
    return company.customer(company.meter())


def told(transaction: str, amount: int = 500, serial: str = METER) -> Listed:
    return Listed(claim(serial, amount, transaction, **ON_CHANNEL))


def read(wiring: Wiring) -> int:
    return wiring.find_missing.read(CHANNEL, wiring.clock.now() + timedelta(minutes=2))


# --- providers' lists -----------------------------------------------------------------------------


def test_a_payment_that_nobody_told_us_of_is_found_once(
    counter: Counter,
    wiring: Wiring,
    household: str,
    provider: ListingProvider,
    calin: FakeCalin,
    diary: Diary,
) -> None:
    counter.pay(claim(METER, 500, "T1", **ON_CHANNEL))
    provider.rows = [told("T1"), told("T2", 300)]
    assert (read(wiring), read(wiring)) == (1, 0)
    counter.run_dry()
    assert counter.now(f"{CHANNEL}-T2").status is Status.COMPLETED
    assert (len(calin.issued), diary.counted("FoundByList")) == (2, 1)


def test_a_payment_that_we_started_is_found_by_our_reference(
    counter: Counter, wiring: Wiring, household: str, provider: ListingProvider
) -> None:
    started = wiring.accept.start(claim(METER, 500, "T1", **ON_CHANNEL))
    assert isinstance(started, Payment)
    paid = Paid("R1", kes(500), "KES")
    unknown = Listed(payment_id=f"{CHANNEL}-none", paid=replace(paid, receipt="R9"))
    provider.rows = [Listed(payment_id=started.payment_id, paid=paid), unknown]
    assert (read(wiring), read(wiring)) == (1, 0)
    assert counter.now(started.payment_id).receipt == "R1"
    provider.rows = [Listed(payment_id=started.payment_id, paid=replace(paid, amount_minor=1))]
    assert wiring.take_listed.take(provider.rows[0]) is Found.DIFFERENT


def test_a_list_that_tells_another_amount_changes_nothing(
    counter: Counter, wiring: Wiring, household: str, provider: ListingProvider
) -> None:
    before = counter.pay(claim(METER, 500, "T1", **ON_CHANNEL))
    provider.rows = [told("T1", 900)]
    assert read(wiring) == 0
    assert counter.now(before.payment_id) == before


def test_a_payment_that_was_started_otherwise_is_different(
    counter: Counter, wiring: Wiring, household: str, provider: ListingProvider
) -> None:
    started = wiring.accept.start(claim(METER, 500, "T1", **ON_CHANNEL))
    assert isinstance(started, Payment)
    paid = Paid("R1", kes(900), "KES")
    row = Listed(payment_id=started.payment_id, paid=paid)
    assert wiring.take_listed.take(row) is Found.DIFFERENT


def test_a_refusal_of_before_is_no_payment(
    counter: Counter, wiring: Wiring, household: str, provider: ListingProvider
) -> None:
    wiring.accept.accept(claim(METER, 1, "T1", **ON_CHANNEL), money_moved=False)
    assert counter.now(f"{CHANNEL}-T1").status is Status.REFUSED
    provider.rows = [told("T1", 1)]
    assert read(wiring) == 1
    assert counter.now(f"{CHANNEL}-T1").status is Status.RECEIVED


def test_a_name_that_is_none_is_left_alone(wiring: Wiring, household: str) -> None:
    nameless = Listed(claim(METER, 500, "", **ON_CHANNEL))
    assert wiring.take_listed.take(nameless) is Found.UNUSABLE


def test_how_far_a_list_was_read_is_remembered(
    wiring: Wiring,
    clock: FixedClock,
    counter: Counter,
    household: str,
    provider: ListingProvider,
) -> None:
    began = clock.now()
    read(wiring)
    assert provider.asked == [(began - LISTED_FOR, began - LISTED_FOR + PART)]
    while counter.cloud.take("provider-calls"):
        read(wiring)
    assert provider.asked[-1][1] == began
    wiring.find_missing.queue_due()
    assert counter.cloud.take("provider-calls") == []
    clock.move(EVERY)
    wiring.find_missing.queue_due()
    assert [m["body"] for m in counter.cloud.take("provider-calls")] == [{"list": CHANNEL}]
    read(wiring)
    assert provider.asked[-1] == (began - timedelta(hours=1), clock.now())


def test_a_list_that_cannot_be_read_is_read_again_from_the_same_place(
    wiring: Wiring, household: str, provider: ListingProvider, diary: Diary
) -> None:
    provider.failure = ProviderUnreachable("down")
    read(wiring)
    provider.failure = None
    read(wiring)
    assert provider.asked[0] == provider.asked[1]
    assert diary.counted("ListsNotRead") == 1


def test_without_time_the_list_is_left_for_the_next(
    wiring: Wiring, household: str, provider: ListingProvider
) -> None:
    provider.rows = [told("T1")]
    with pytest.raises(OutOfTime):
        wiring.find_missing.read(CHANNEL, wiring.clock.now() + timedelta(seconds=5))
    assert read(wiring) == 1


def test_a_provider_without_a_list_is_not_asked(wiring: Wiring, company: Company) -> None:
    assert wiring.find_missing.read("direct", wiring.clock.now() + timedelta(minutes=1)) == 0


# --- statements -----------------------------------------------------------------------------------


def compare(
    counter: Counter, wiring: Wiring, text: str, channel: str = CHANNEL, **how: object
) -> dict[str, object]:
    asked = {"source": None, "take": False, **how}
    report = wiring.statements.start(channel, text.encode(), actor=ACTOR, **asked)  # type: ignore[arg-type]
    body = counter.only("moves")
    assert (body["what"], report.state) == ("statement", "comparing")
    wiring.statements.compare(body["move_id"])
    wiring.statements.compare(body["move_id"])
    done = wiring.statements.report(report.statement_id)
    assert done.state == "compared"
    return {
        "counts": {name: count for name, count in done.counts.items() if count},
        "not_here": [row["payment_id"] for row in done.not_here],
        "different": [row["payment_id"] for row in done.different],
        "unusable": [row["line"] for row in done.unusable],
        "not_there": done.not_there,
    }


@pytest.fixture
def settled(counter: Counter, household: str, clock: FixedClock) -> None:
    """Three payments of which we know."""
    for number in (1, 2, 3):
        counter.pay(claim(METER, 500, f"T{number}", paid_at=clock.now(), **ON_CHANNEL))


def test_a_statement_shows_differences_in_both_directions(
    counter: Counter, wiring: Wiring, settled: None, diary: Diary
) -> None:
    found = compare(
        counter,
        wiring,
        "Transaction,Amount,Serial_number,Paid_at\n"
        f"T1,500.00,{METER},2026-03-10T12:00:00\n"
        "T2,900.00,,2026-03-10T12:00:00+03:00\n"
        "\n"
        f"T9,100.00,{METER},2026-03-10T09:00:30Z\n"
        "T10,nothing,,\n"
        ",5,,never\n",
    )
    assert found == {
        "counts": {"known": 1, "different": 1, "missing": 1, "unusable": 2, "not_there": 1},
        "not_here": [f"{CHANNEL}-T9"],
        "different": [f"{CHANNEL}-T2"],
        "unusable": ["6", "7"],
        "not_there": [f"{CHANNEL}-T3"],
    }
    assert wiring.payments.get(f"{CHANNEL}-T9") is None
    assert diary.counted("StatementDifferences") == 1
    assert diary.rings("statement-differences")


def test_what_is_new_in_it_is_taken_where_somebody_wants_that(
    counter: Counter, wiring: Wiring, settled: None, calin: FakeCalin
) -> None:
    text = f"transaction,amount,serial_number\nT1,500,{METER}\nT9,100,{METER}\nT8,100,NOBODY\n"
    assert compare(counter, wiring, text, take=True)["counts"] == {"known": 1, "taken": 2}
    counter.run_dry()
    assert counter.now(f"{CHANNEL}-T9").status is Status.COMPLETED
    assert counter.now(f"{CHANNEL}-T8").reason == "unknown_device"
    assert compare(counter, wiring, text, take=True)["counts"] == {"known": 3}
    assert len(calin.issued) == 4


def test_on_a_channel_that_is_told_by_statements_it_always_is(
    process: Processes, provider: ListingProvider, counter: Counter, household: str
) -> None:
    text = f"transaction_id,sender,message,amount\nWC-1,221770000001,{METER},2500\n"
    assert compare(counter, counter.wiring, text, "wavecom")["counts"] == {"taken": 1}
    assert counter.now("wavecom-WC-1").amount_minor == kes(2500)


def test_a_statement_proves_what_waited_for_it(
    counter: Counter, wiring: Wiring, household: str, clock: FixedClock
) -> None:
    choices = Choices("Mwanga", "KE", "KES", "Africa/Nairobi", confirm_above="400")
    wiring.keep_company.replace(choices, ACTOR)
    clock.move(timedelta(minutes=1))
    waiting = counter.pay(claim(METER, 500, "T1", proven=False, **ON_CHANNEL))
    assert waiting.status is Status.HELD
    found = compare(counter, wiring, f"transaction,amount,serial_number\nT1,500,{METER}\n")
    assert found["counts"] == {"confirmed": 1}
    counter.run_dry()
    assert counter.now(waiting.payment_id).status is Status.COMPLETED


def test_a_push_is_known_by_its_receipt(counter: Counter, wiring: Wiring, household: str) -> None:
    started = wiring.accept.start(claim(METER, 500, "T1", **ON_CHANNEL))
    assert isinstance(started, Payment)
    wiring.collect.paid(started.payment_id, Paid("RCPT1", kes(500), "KES"))
    found = compare(counter, wiring, "transaction,amount\nRCPT1,500\n")
    assert found["counts"] == {"known": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"transaction\nT1\n",
        b"amount,amount,transaction\n1,1,T1\n",
        b'transaction,amount\n"T1,5\n',
        b"transaction,amount\n" + b"T,1\n" * (ROWS_MAX + 1),
    ],
)
def test_a_file_that_is_none_is_not_taken(
    counter: Counter, wiring: Wiring, company: Company, content: bytes
) -> None:
    with pytest.raises(FieldError) as refused:
        wiring.statements.start(CHANNEL, content, source=None, take=False, actor=ACTOR)
    assert refused.value.field == "file"
    assert counter.cloud.take("moves") == []


def test_a_channel_or_a_source_that_is_none_is_said_to_be_one(
    wiring: Wiring, company: Company
) -> None:
    content = b"transaction,amount\nT1,5\n"
    for channel, source, field_name in (("nothing", None, "channel"), (CHANNEL, "a-b", "source")):
        with pytest.raises(FieldError) as refused:
            wiring.statements.start(channel, content, source=source, take=False, actor=ACTOR)
        assert refused.value.field == field_name


@pytest.mark.parametrize("statement_id", ["", "st-", "st-../../x", "st-" + "a" * 20])
def test_there_is_no_statement_of_another_id(
    wiring: Wiring, company: Company, statement_id: str
) -> None:
    with pytest.raises(StatementNotFound):
        wiring.statements.report(statement_id)


def test_differences_are_named_up_to_a_bound_and_counted_to_the_last(
    counter: Counter, wiring: Wiring, household: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.services.statements.NAMED_MAX", 2)
    rows = "".join(f"T{number},5,\n" for number in range(5))
    found = compare(counter, wiring, f"transaction,amount,paid_at\n{rows}")
    assert found["counts"] == {"missing": 5}
    assert len(found["not_here"]) == 2  # type: ignore[arg-type]


def test_what_is_missing_in_a_statement_is_named_up_to_a_bound_and_pending_ones_are_not(
    counter: Counter, wiring: Wiring, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiring.accept.start(claim(METER, 500, "T4", **ON_CHANNEL))
    monkeypatch.setattr("chalicelib.services.statements.NAMED_MAX", 1)
    text = "transaction,amount,paid_at\nT9,5,2026-03-10T08:00:00Z\nT1,500,2026-03-10T09:00:00Z\n"
    found = compare(counter, wiring, text)
    assert found["counts"] == {"known": 1, "missing": 1, "not_there": 2}
    assert len(found["not_there"]) == 1  # type: ignore[arg-type]


def test_a_statement_whose_file_is_gone_is_not_compared(
    counter: Counter, wiring: Wiring, settled: None
) -> None:
    report = wiring.statements.start(
        CHANNEL, b"transaction,amount\nT1,5\n", source=None, take=False, actor=ACTOR
    )
    get = wiring.files.get
    wiring.files.get = lambda key: None if key.endswith(".csv") else get(key)  # type: ignore[method-assign]
    wiring.statements.compare(report.statement_id)
    assert wiring.statements.report(report.statement_id).state == "comparing"
