"""Repeatable vends (Angaza): the very same call is made again until its answer is clear."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.payment import HELD_MESSAGE, Status, VendState
from chalicelib.manufacturers.angaza import Angaza
from chalicelib.services.ports import Sold, VendOrder, VendorUnreachable
from chalicelib.services.vend import REPEATS_MAX
from chalicelib.wiring import Wiring
from tests.integration.company import NOW, SHS, Company, FixedClock, plan
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import ACTOR, Counter, Diary, differences
from tests.integration.services.waiting import come_back, come_back_to_the_end
from tests.integration.vendor import Answer, Behaviour, FakeAngaza, hanging_up, unclear, until

PAYMENT_ID = "mpesa_ke.600966-T1"
PLAN = plan("p-1", 7000, serial_number=SHS)


@pytest.fixture
def angaza(cloud: Cloud) -> Iterator[FakeAngaza]:
    """Angaza, as a server that knows until when each unit runs."""
    with FakeAngaza() as fake:
        fake.put_secrets(cloud)
        yield fake


@pytest.fixture
def message(company: Company, counter: Counter, angaza: FakeAngaza) -> dict[str, Any]:
    """A payment of seven days for a solar home system, settled: the message of its vend."""
    company.customer(company.shs(plan_id="p-1", manufacturer="angaza"), plans=(PLAN,))
    return counter.to_the_vend(SHS, 700)


def saying(status: int, answer: Any) -> Behaviour:
    """A vendor that does nothing, and says this."""
    return lambda request: (status, answer)


NO_SUCH_UNIT = saying(404, {"context": {"reason": "no such unit"}})

UNTOLD = {
    "no answer": hanging_up,
    "a server's error": unclear,
    "garbage": saying(200, "<html>"),
    "an unlisted status": saying(302, {}),
    "a moment that is refused": saying(429, {"context": {"reason": "slow down"}}),
    "success without a keycode": saying(200, {}),
}


def test_a_clear_answer_completes_the_payment_at_the_first_call(
    counter: Counter, message: dict[str, Any], angaza: FakeAngaza
) -> None:
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert payment.status is Status.COMPLETED
    assert [t.value for t in payment.tokens] == angaza.issued
    assert angaza.told == [until(NOW, 7)]
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [1]
    assert differences(counter, "C1", PLAN) == []


@pytest.mark.parametrize("behaviour", UNTOLD.values(), ids=UNTOLD.keys())
def test_an_answer_that_tells_nothing_is_followed_by_the_very_same_call(
    counter: Counter,
    message: dict[str, Any],
    angaza: FakeAngaza,
    clock: FixedClock,
    behaviour: Behaviour,
) -> None:
    angaza.behaviours = [behaviour]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.vend(1).state) == (Status.VENDING, VendState.UNCERTAIN)
    assert come_back_to_the_end(counter, clock) == [10]
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED
    assert angaza.told == [until(NOW, 7)] * 2
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [1]


def test_a_vend_whose_answer_was_lost_brings_the_keycode_that_was_made_then(
    counter: Counter, message: dict[str, Any], angaza: FakeAngaza, clock: FixedClock
) -> None:
    angaza.behaviours = [angaza.lost]
    counter.vend(message)
    come_back(counter, clock)
    assert [t.value for t in counter.now(PAYMENT_ID).tokens] == angaza.issued
    assert len(angaza.issued) == 1


def test_a_vendor_that_never_tells_is_called_after_growing_waits_and_then_a_person_must(
    counter: Counter, message: dict[str, Any], angaza: FakeAngaza, clock: FixedClock, diary: Diary
) -> None:
    angaza.behaviours = [unclear] * 20
    counter.vend(message)
    assert come_back_to_the_end(counter, clock) == [10, 20, 40, 80, 160, 320, 640]
    assert angaza.told == [until(NOW, 7)] * REPEATS_MAX
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [HELD_MESSAGE]
    assert diary.counted("Held") == 1


def test_a_persons_retry_makes_the_very_same_call_once_more(
    counter: Counter,
    wiring: Wiring,
    message: dict[str, Any],
    angaza: FakeAngaza,
    clock: FixedClock,
) -> None:
    angaza.behaviours = [unclear] * REPEATS_MAX
    counter.vend(message)
    come_back_to_the_end(counter, clock)
    clock.move(timedelta(minutes=15))
    wiring.resolve.retry(PAYMENT_ID, actor=ACTOR, reason="the vendor is well again")
    assert come_back_to_the_end(counter, clock) == [0]
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, len(payment.vends)) == (Status.COMPLETED, 1)
    assert angaza.told == [until(NOW, 7)] * (REPEATS_MAX + 1)


def test_a_definite_no_to_the_only_call_holds_the_payment_as_refused(
    counter: Counter, message: dict[str, Any], angaza: FakeAngaza
) -> None:
    angaza.behaviours = [NO_SUCH_UNIT]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_refused")
    assert counter.delays("vends") == []


def test_a_definite_no_says_nothing_about_an_earlier_call_that_is_in_doubt(
    counter: Counter, message: dict[str, Any], angaza: FakeAngaza, clock: FixedClock
) -> None:
    """The first call may have set the date: its money must not go back as if it had not."""
    angaza.behaviours = [angaza.lost, NO_SUCH_UNIT]
    counter.vend(message)
    assert come_back_to_the_end(counter, clock) == [10]
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert payment.events[-2].reason == "refused_by_vendor"


def test_an_outage_after_a_call_in_doubt_ends_with_a_person_and_in_doubt(
    counter: Counter,
    message: dict[str, Any],
    angaza: FakeAngaza,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody_there(self: Angaza, order: VendOrder) -> Sold:
        raise VendorUnreachable

    angaza.behaviours = [angaza.lost]
    counter.vend(message)
    monkeypatch.setattr(Angaza, "vend", nobody_there)
    come_back_to_the_end(counter, clock)
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert payment.vend(1).attempts == REPEATS_MAX


def test_a_call_that_was_not_made_leaves_nothing_in_doubt(
    counter: Counter, message: dict[str, Any], angaza: FakeAngaza, clock: FixedClock, cloud: Cloud
) -> None:
    cloud.put_secret("manufacturers/angaza", {})
    counter.vend(message)
    assert (counter.now(PAYMENT_ID).vend(1).state) is VendState.REFUSED
    angaza.put_secrets(cloud)
    angaza.behaviours = [NO_SUCH_UNIT]
    clock.move(timedelta(minutes=10))  # secrets are read again
    come_back(counter, clock)
    assert counter.now(PAYMENT_ID).reason == "vend_refused"


# --- leases ---------------------------------------------------------------------------------------


def test_after_a_crash_in_the_call_it_is_made_again(
    counter: Counter,
    message: dict[str, Any],
    angaza: FakeAngaza,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(self: Angaza, order: VendOrder) -> Sold:
        raise ZeroDivisionError

    with monkeypatch.context() as defect, pytest.raises(ZeroDivisionError):
        defect.setattr(Angaza, "vend", crash)
        counter.vend(message)
    counter.vend(message)  # the redelivery: the lease is running
    assert come_back_to_the_end(counter, clock) == [31, 10]
    payment = counter.now(PAYMENT_ID)
    assert (payment.status, payment.vend(1).attempts) == (Status.COMPLETED, 2)
    assert angaza.told == [until(NOW, 7)]


def overtaken(counter: Counter, message: dict[str, Any], clock: FixedClock) -> None:
    """While the first call is under way its lease ends, and the next attempt is made."""
    clock.move(timedelta(seconds=31))
    counter.vend(message)
    come_back(counter, clock)
    assert counter.now(PAYMENT_ID).status is Status.COMPLETED


def test_an_unclear_answer_of_an_overtaken_attempt_changes_nothing(
    counter: Counter, message: dict[str, Any], angaza: FakeAngaza, clock: FixedClock
) -> None:
    def unclear_when_overtaken(request: dict[str, Any]) -> Answer:
        overtaken(counter, message, clock)
        nonlocal completed
        completed = counter.now(PAYMENT_ID)
        return unclear(request)

    completed = counter.now(PAYMENT_ID)
    angaza.behaviours = [unclear_when_overtaken]
    counter.vend(message)
    assert completed.status is Status.COMPLETED
    assert counter.now(PAYMENT_ID) == completed


def test_the_same_keycode_from_an_overtaken_attempt_is_no_late_answer(
    counter: Counter, message: dict[str, Any], angaza: FakeAngaza, clock: FixedClock, diary: Diary
) -> None:
    def issue_when_overtaken(request: dict[str, Any]) -> Answer:
        overtaken(counter, message, clock)
        return angaza.issue(request)

    angaza.behaviours = [issue_when_overtaken]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert [t.value for t in payment.tokens] == angaza.issued
    assert diary.counted("LateAnswers") == 0
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [1]


def test_another_keycode_from_an_overtaken_attempt_is_an_event_and_an_alarm_and_no_sms(
    counter: Counter, message: dict[str, Any], angaza: FakeAngaza, clock: FixedClock, diary: Diary
) -> None:
    def other_when_overtaken(request: dict[str, Any]) -> Answer:
        overtaken(counter, message, clock)
        return 200, {"_embedded": {"latest_keycode": {"keycode": "999999"}}}

    angaza.behaviours = [other_when_overtaken]
    counter.vend(message)
    payment = counter.now(PAYMENT_ID)
    assert [t.value for t in payment.tokens] == angaza.issued
    assert payment.events[-1].what == "late_answer"
    assert diary.counted("LateAnswers") == 1
    counter.run_dry()
    assert counter.told(PAYMENT_ID) == [1]
