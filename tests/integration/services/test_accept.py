"""Accepting: a report is stored once, whatever comes twice, at once, or in another order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.domain.account import DeviceAccount
from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.errors import Refusal
from chalicelib.domain.payment import (
    EVENTS_MAX,
    REFUSED_MESSAGE,
    Claim,
    Payment,
    Status,
)
from chalicelib.services.accept import WRITES_MAX, Quote, ReferenceConflict, masked_name
from chalicelib.services.ports import OutcomeUnknown, QueueUnavailable, TryAgain, VersionConflict
from chalicelib.wiring import Wiring
from tests.integration.company import METER, SHS, TODAY, Company, FixedClock, claim, kes, plan
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import Counter, Diary, Processes
from tests.integration.services.interruptions import Interrupted, Lost

PAYMENT_ID = "mpesa_ke.600966-T1"
WRONG_REFERENCE = claim("47999", 500)


def stored(wiring: Wiring) -> Payment:
    payment = wiring.payments.get(PAYMENT_ID)
    assert payment is not None
    return payment


# --- money that has moved -------------------------------------------------------------------


def test_a_report_is_stored_as_received_and_queued_behind_its_customers_others(
    company: Company, wiring: Wiring, cloud: Cloud
) -> None:
    customer_id = company.customer(company.meter())
    accepted = wiring.accept.accept(claim(METER, 500), money_moved=True)

    assert (accepted.payment.status, accepted.repeated) == (Status.RECEIVED, False)
    assert accepted.refusal is None
    (message,) = cloud.take("payments")
    assert message["Attributes"]["MessageGroupId"] == customer_id
    assert message["body"] == {
        "payment_id": PAYMENT_ID,
        "customer_id": customer_id,
        "serial_number": METER,
    }


@pytest.mark.parametrize(
    "told",
    [
        WRONG_REFERENCE,
        claim(METER, 500, currency="UGX"),
        claim(METER, 50_000_000),
        claim(METER, "0.01"),
    ],
)
def test_money_that_has_moved_is_stored_whatever_is_wrong_with_the_report(
    company: Company, wiring: Wiring, told: Claim
) -> None:
    company.customer(company.meter())
    assert wiring.accept.accept(told, money_moved=True).payment.status is Status.RECEIVED


def test_the_same_report_again_is_the_same_payment_as_it_stands(
    company: Company, counter: Counter, wiring: Wiring, diary: Diary
) -> None:
    company.customer(company.meter())
    counter.pay(claim(METER, 500))
    again = wiring.accept.accept(claim(METER, 500), money_moved=True)

    assert again.repeated
    assert again.payment == stored(wiring)
    assert again.payment.status is Status.COMPLETED
    assert diary.counted("Duplicates") == 1


def test_a_report_repeated_while_its_payment_is_received_queues_it_again(
    company: Company, wiring: Wiring, cloud: Cloud, process: Processes
) -> None:
    company.customer(company.meter())
    broken = Interrupted(wiring.queues, settle=[QueueUnavailable()])
    process(queues=broken).accept.accept(claim(METER, 500), money_moved=True)
    assert cloud.take("payments") == []

    wiring.accept.accept(claim(METER, 500), money_moved=True)
    assert len(cloud.take("payments")) == 1


def test_a_report_whose_storing_was_not_confirmed_is_known_when_it_comes_again(
    company: Company, wiring: Wiring, process: Processes, cloud: Cloud
) -> None:
    company.customer(company.meter())
    broken = Interrupted(wiring.payments, create=[Lost(OutcomeUnknown())])
    with pytest.raises(OutcomeUnknown):
        process(payments=broken).accept.accept(claim(METER, 500), money_moved=True)
    assert cloud.take("payments") == []

    assert wiring.accept.accept(claim(METER, 500), money_moved=True).repeated
    assert len(cloud.take("payments")) == 1


def test_a_report_that_could_not_be_stored_is_an_error_and_leaves_nothing(
    company: Company, wiring: Wiring, process: Processes, cloud: Cloud
) -> None:
    company.customer(company.meter())
    broken = Interrupted(wiring.payments, create=[TryAgain()])
    with pytest.raises(TryAgain):
        process(payments=broken).accept.accept(claim(METER, 500), money_moved=True)
    assert wiring.payments.get(PAYMENT_ID) is None
    assert cloud.take("payments") == []


# --- one reference, two claims --------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [claim(SHS, 500), claim(METER, 501), claim(METER, 500, currency="UGX")]
)
def test_another_claim_under_a_used_reference_is_a_conflict_and_credits_nothing(
    company: Company, counter: Counter, wiring: Wiring, diary: Diary, other: Claim
) -> None:
    customer_id = company.customer(company.meter())
    before = counter.pay(claim(METER, 500))
    account = counter.account(customer_id)

    with pytest.raises(ReferenceConflict):
        wiring.accept.accept(other, money_moved=True)
    after = stored(wiring)
    assert [e.what for e in after.events] == ["reference_conflict"]
    assert replace(after, events=(), revision=before.revision) == before
    assert counter.account(customer_id) == account
    assert diary.counted("ReferenceConflicts") == 1
    assert diary.rings("reference-conflicts")


def test_the_same_conflict_is_recorded_once_and_each_other_one_too(
    company: Company, counter: Counter, wiring: Wiring, diary: Diary
) -> None:
    company.customer(company.meter())
    counter.pay(claim(METER, 500))
    for amount in (600, 600, 700):
        with pytest.raises(ReferenceConflict):
            wiring.accept.accept(claim(METER, amount), money_moved=True)
    assert [e.reason for e in stored(wiring).events] == [
        f"{METER} {kes(600)} KES",
        f"{METER} {kes(700)} KES",
    ]
    assert diary.counted("ReferenceConflicts") == 3


def test_a_conflict_is_found_before_any_refusal_code(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    company.customer(company.meter())
    counter.pay(claim(METER, 500))
    with pytest.raises(ReferenceConflict):
        wiring.accept.accept(WRONG_REFERENCE, money_moved=False)


def test_a_conflict_is_recorded_although_the_payment_moves_on_meanwhile(
    company: Company, counter: Counter, wiring: Wiring, process: Processes
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    other = process(payments=Interrupted(wiring.payments, save=[counter.settle_all]))
    with pytest.raises(ReferenceConflict):
        other.accept.accept(claim(METER, 600), money_moved=True)
    payment = stored(wiring)
    assert payment.status is Status.VENDING
    assert [e.what for e in payment.events] == ["reference_conflict"]


def test_a_conflict_that_cannot_be_recorded_is_a_conflict_all_the_same(
    company: Company, counter: Counter, wiring: Wiring, process: Processes, diary: Diary
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    lost_races = Interrupted(wiring.payments, save=[VersionConflict()] * WRITES_MAX)
    with pytest.raises(ReferenceConflict):
        process(payments=lost_races).accept.accept(claim(METER, 600), money_moved=True)
    assert stored(wiring).events == ()
    assert diary.counted("ReferenceConflicts") == 1


def test_a_conflict_with_a_payment_whose_list_of_events_is_full_writes_nothing(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    company.customer(company.meter())
    counter.accept(METER, 500)
    payment = stored(wiring)
    for number in range(EVENTS_MAX):
        payment = payment.with_event(payment.received_at, "something", reason=str(number))
    full = wiring.payments.save(payment)
    with pytest.raises(ReferenceConflict):
        wiring.accept.accept(claim(METER, 600), money_moved=True)
    assert stored(wiring) == full


# --- questions, before money moves ----------------------------------------------------------


def test_a_yes_writes_nothing(company: Company, wiring: Wiring, cloud: Cloud) -> None:
    company.customer(company.meter())
    assert wiring.accept.question(claim(METER, 500)) is None
    assert wiring.payments.get(PAYMENT_ID) is None
    assert cloud.take("payments") == []


def test_a_no_is_recorded_and_nobody_is_told_by_sms(
    company: Company, wiring: Wiring, cloud: Cloud
) -> None:
    company.customer(company.meter())
    assert wiring.accept.question(claim(METER, 1, currency="UGX")) is Refusal.WRONG_CURRENCY
    payment = stored(wiring)
    assert (payment.status, payment.reason) == (Status.REFUSED, "wrong_currency")
    assert payment.check_at is None
    assert cloud.take("messages") == []


def test_the_same_no_again_is_not_written_again(company: Company, wiring: Wiring) -> None:
    wiring.accept.question(WRONG_REFERENCE)
    before = stored(wiring)
    assert wiring.accept.question(WRONG_REFERENCE) is Refusal.UNKNOWN_DEVICE
    assert stored(wiring) == before


def test_another_no_keeps_the_earlier_one_as_an_event(company: Company, wiring: Wiring) -> None:
    wiring.accept.question(WRONG_REFERENCE)
    wiring.accept.question(claim("47999", 500, currency="UGX"))
    payment = stored(wiring)
    assert payment.reason == "wrong_currency"
    assert [(e.what, e.reason) for e in payment.events] == [("refused", "unknown_device")]


def test_a_question_about_a_paid_reference_changes_nothing_but_is_noted(
    company: Company, counter: Counter, wiring: Wiring, diary: Diary
) -> None:
    company.customer(company.meter())
    before = counter.pay(claim(METER, 500))
    assert wiring.accept.question(WRONG_REFERENCE) is Refusal.UNKNOWN_DEVICE
    assert stored(wiring).lines == before.lines
    assert diary.said("question_after_payment")


def without_tariff(company: Company) -> DeviceAccount:
    meter = company.meter()
    (tenure,) = meter.tenures
    return replace(meter, tenures=(replace(tenure, until=tenure.since),))


def test_each_refusal_is_the_first_that_applies(company: Company, wiring: Wiring) -> None:
    company.customer(
        without_tariff(company),
        company.meter("47002"),
        company.shs(SHS),
        company.shs("SHS3", plan_id="p-1"),
    )
    stray = wiring.devices.get("47002")
    assert stray is not None

    def refused(told: Claim) -> Refusal | None:
        return wiring.accept.question(told)

    assert refused(claim("X", 0, "A", currency="UGX")) is Refusal.INVALID_AMOUNT
    assert refused(claim("X", 2_000_000, "B", currency="UGX")) is Refusal.INVALID_AMOUNT
    assert refused(claim("X", 10, "C", currency="UGX")) is Refusal.WRONG_CURRENCY
    assert refused(claim("X", 10, "D")) is Refusal.UNKNOWN_DEVICE
    assert refused(claim(METER, 10, "E")) is Refusal.NO_TARIFF
    assert refused(claim(SHS, 10, "F")) is Refusal.NO_PLAN
    assert refused(claim("SHS3", 10, "G")) is Refusal.NOTHING_TO_PAY
    assert refused(claim("47002", 1, "H")) is Refusal.TOO_SMALL
    company.registry.update_device(replace(stray, customer_id=None))
    assert refused(claim("47002", 1, "I")) is Refusal.DEVICE_UNASSIGNED


def test_a_device_whose_owner_has_no_account_is_unassigned(
    company: Company, wiring: Wiring
) -> None:
    company.customer(company.meter())
    device = wiring.devices.get(METER)
    assert device is not None
    company.registry.update_device(replace(device, customer_id="C99"))
    assert wiring.accept.question(claim(METER, 500)) is Refusal.DEVICE_UNASSIGNED


# --- refusals of payments -------------------------------------------------------------------


def test_a_refused_payment_is_told_to_the_customer_once(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    company.customer(company.meter())
    for _ in range(2):
        refused = wiring.accept.accept(claim(METER, 1), money_moved=False)
        assert refused.refusal is Refusal.TOO_SMALL
    counter.send_all()
    assert counter.told(PAYMENT_ID) == [REFUSED_MESSAGE]
    assert counter.cloud.take("payments") == []


def test_a_refused_reference_is_free_for_another_claim(
    company: Company, counter: Counter, wiring: Wiring, diary: Diary
) -> None:
    company.customer(company.meter())
    wiring.accept.accept(claim(METER, 1), money_moved=False)
    again = wiring.accept.accept(claim(METER, 500), money_moved=False)
    assert (again.payment.status, again.repeated) == (Status.RECEIVED, False)
    counter.run_dry()
    payment = stored(wiring)
    assert payment.status is Status.COMPLETED
    assert [(e.what, e.reason) for e in payment.events] == [("refused", "too_small")]
    assert diary.counted("AcceptedAfterRefusal") == 0, "no money had moved against our word"


def test_money_that_moves_after_our_no_is_taken_marked_and_raises_an_alarm_once(
    company: Company, counter: Counter, wiring: Wiring, diary: Diary
) -> None:
    """The device was registered between the question and the confirmation."""
    assert wiring.accept.question(claim(METER, 500)) is Refusal.UNKNOWN_DEVICE
    customer_id = company.customer(company.meter())
    for _ in range(2):
        wiring.accept.accept(claim(METER, 500), money_moved=True)
    counter.run_dry()

    payment = stored(wiring)
    assert (payment.status, payment.customer_id) == (Status.COMPLETED, customer_id)
    assert [(e.what, e.reason) for e in payment.events] == [("refused", "unknown_device")]
    assert diary.counted("AcceptedAfterRefusal") == 1


def test_of_two_confirmations_after_a_refusal_one_is_stored_and_the_other_a_repetition(
    company: Company, wiring: Wiring, process: Processes
) -> None:
    wiring.accept.question(claim(METER, 500))
    company.customer(company.meter())
    slower = process(
        payments=Interrupted(
            wiring.payments,
            save=[lambda: wiring.accept.accept(claim(METER, 500), money_moved=True)],
        )
    )
    late = slower.accept.accept(claim(METER, 500), money_moved=True)
    assert late.repeated
    assert stored(wiring).revision == 2


def test_a_confirmation_that_loses_every_race_is_an_error_and_comes_again(
    company: Company, wiring: Wiring, process: Processes
) -> None:
    wiring.accept.question(claim(METER, 500))
    company.customer(company.meter())
    lost_races = Interrupted(wiring.payments, save=[VersionConflict()] * WRITES_MAX)
    with pytest.raises(VersionConflict):
        process(payments=lost_races).accept.accept(claim(METER, 500), money_moved=True)
    assert stored(wiring).status is Status.REFUSED
    wiring.accept.accept(claim(METER, 500), money_moved=True)
    assert stored(wiring).status is Status.RECEIVED


# --- queues that do not answer --------------------------------------------------------------


def test_a_payment_that_could_not_be_queued_is_accepted_and_the_sweeper_queues_it(
    company: Company,
    counter: Counter,
    wiring: Wiring,
    process: Processes,
    clock: FixedClock,
    diary: Diary,
) -> None:
    company.customer(company.meter())
    broken = Interrupted(wiring.queues, settle=[QueueUnavailable()])
    accepted = process(queues=broken).accept.accept(claim(METER, 500), money_moved=True)
    assert accepted.payment.status is Status.RECEIVED
    assert diary.said("queueing_failed")

    clock.move(timedelta(minutes=2))
    assert wiring.sweep.sweep() == 1
    counter.run_dry()
    assert stored(wiring).status is Status.COMPLETED


# --- payments that we start --------------------------------------------------------------------


def test_a_payment_that_we_start_is_stored_as_pending_and_not_queued(
    company: Company, wiring: Wiring, cloud: Cloud, clock: FixedClock, diary: Diary
) -> None:
    customer_id = company.customer(company.meter())
    started = wiring.accept.start(claim(METER, 500, paid_at=clock.now() - timedelta(days=1)))
    assert started == stored(wiring)
    assert isinstance(started, Payment)
    assert (started.status, started.customer_id) == (Status.PENDING, customer_id)
    assert started.moment == started.received_at == clock.now(), "nothing was paid before"
    assert cloud.take("payments") == []
    assert diary.counted("Started") == 1
    assert wiring.settings_store.money_is_fixed()


@pytest.mark.parametrize(
    ("told", "refusal"),
    [
        (WRONG_REFERENCE, Refusal.UNKNOWN_DEVICE),
        (claim(METER, 1), Refusal.TOO_SMALL),
        (claim(METER, 500, currency="UGX"), Refusal.WRONG_CURRENCY),
        (claim(METER, 0), Refusal.INVALID_AMOUNT),
    ],
)
def test_what_would_be_refused_is_not_started_and_not_stored(
    company: Company, wiring: Wiring, diary: Diary, told: Claim, refusal: Refusal
) -> None:
    company.customer(company.meter())
    assert wiring.accept.start(told) is refusal
    assert wiring.payments.get(PAYMENT_ID) is None
    assert diary.counted("Refused") == 1


def test_a_reference_of_ours_is_used_once(
    company: Company, wiring: Wiring, counter: Counter
) -> None:
    company.customer(company.meter())
    before = wiring.accept.start(claim(METER, 500))
    with pytest.raises(ReferenceConflict):
        wiring.accept.start(claim(METER, 500))
    assert stored(wiring) == before


@pytest.mark.parametrize("error", [TryAgain(), OutcomeUnknown()])
def test_what_could_not_be_stored_is_not_started(
    company: Company, wiring: Wiring, process: Processes, diary: Diary, error: Exception
) -> None:
    company.customer(company.meter())
    broken = process(payments=Interrupted(wiring.payments, create=[error]))
    with pytest.raises(type(error)):
        broken.accept.start(claim(METER, 500))
    assert diary.counted("Started") == 0


# --- quotes ---------------------------------------------------------------------------------


def test_a_quote_shows_the_split_and_writes_nothing(company: Company, wiring: Wiring) -> None:
    overdue = plan("p-tv", 3000, first_due=TODAY - timedelta(days=1))
    company.customer(company.meter(), plans=(overdue,))
    quote = wiring.accept.quote(claim(METER, 1000))
    assert isinstance(quote, Quote)
    assert quote.customer_name == "ASHA M."
    assert quote.allocation.lines == (
        Line(LineKind.APPLIANCE, "p-tv", kes(300)),
        Line(LineKind.ENERGY, METER, kes(700)),
    )
    assert wiring.payments.get(PAYMENT_ID) is None


def test_a_quote_of_what_would_be_refused_is_the_refusal(company: Company, wiring: Wiring) -> None:
    assert wiring.accept.quote(WRONG_REFERENCE) is Refusal.UNKNOWN_DEVICE
    assert wiring.payments.get(PAYMENT_ID) is None


def test_a_quote_for_an_owner_who_is_not_in_the_register_names_nobody(
    company: Company, wiring: Wiring, process: Processes
) -> None:
    class Nobody:
        def get(self, customer_id: str) -> None:
            return None

    company.customer(company.meter())
    quote = process(customers=Nobody()).accept.quote(claim(METER, 1000))
    assert isinstance(quote, Quote)
    assert quote.customer_name == ""


@pytest.mark.parametrize(
    ("name", "surname", "masked"), [("Asha", "Mushi", "ASHA M."), ("Juma", "", "JUMA")]
)
def test_strangers_see_the_first_name_and_an_initial(name: str, surname: str, masked: str) -> None:
    assert masked_name(name, surname) == masked
