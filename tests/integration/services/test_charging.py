"""Charging from a worker: a payer is asked for the money once, whatever the answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import REVERSED, UNCONFIRMED, Payment, Status
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.collect import CHARGED_WITHIN, WRITES_MAX, NoSuchPayment
from chalicelib.services.company import Choices
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    Paid,
    ProviderRefused,
    ProviderUncertain,
    ProviderUnreachable,
    QueueUnavailable,
    RefundTaken,
    SecretMissing,
    TakenBack,
    TryAgain,
    VersionConflict,
)
from chalicelib.services.refund import NotRefundable
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, FixedClock, claim, kes
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes, differences
from tests.integration.services.fake_provider import (
    CHANNEL,
    ON_CHANNEL,
    FakeProvider,
    FakeProviders,
    answering,
    ask_all,
)
from tests.integration.services.interruptions import Interrupted
from tests.integration.vendor import FakeCalin

PAYMENT_ID = f"{CHANNEL}-T1"
PAID = Paid("RCPT1", kes(500), "KES")


@dataclass
class ChargingProvider(FakeProvider):
    """Charges a payer at once, or does as it is told."""

    answers: list[Paid | Exception | None] = field(default_factory=list)
    charged: list[str] = field(default_factory=list)

    def charge(self, payment: Payment) -> Paid | None:
        """Ask the payer."""
        answer = self.answers.pop(0) if self.answers else PAID
        if not isinstance(answer, ProviderUnreachable | SecretMissing):
            self.charged.append(payment.payment_id)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def provider() -> ChargingProvider:
    return ChargingProvider()


@pytest.fixture
def wiring(process: Processes, provider: ChargingProvider) -> Wiring:
    return process(providers=FakeProviders(provider))


@pytest.fixture
def pending(company: Company, wiring: Wiring) -> Payment:
    """A payment of 500 that is to be charged, and is queued for that."""
    company.customer(company.meter())
    started = wiring.accept.start(claim(METER, 500, **ON_CHANNEL))
    assert isinstance(started, Payment)
    wiring.collect.hinted(started.payment_id)
    return started


def now(counter: Counter) -> Payment:
    return counter.now(PAYMENT_ID)


# --- charging -----------------------------------------------------------------------------------


def test_a_payer_who_is_charged_at_once_gets_the_token(
    counter: Counter, pending: Payment, provider: ChargingProvider, calin: FakeCalin
) -> None:
    ask_all(counter)
    counter.run_dry()
    assert (now(counter).status, now(counter).receipt) == (Status.COMPLETED, "RCPT1")
    assert (provider.charged, len(calin.issued)) == ([PAYMENT_ID], 1)


def test_a_payer_is_never_charged_twice(
    counter: Counter, wiring: Wiring, pending: Payment, provider: ChargingProvider
) -> None:
    """What the first call did nobody knows: from then on the provider is only asked."""
    provider.answers = [ProviderUncertain("the line went dead")]
    wiring.collect.hinted(PAYMENT_ID)
    ask_all(counter)
    counter.let_delays_pass()
    ask_all(counter)
    assert (provider.charged, now(counter).status) == ([PAYMENT_ID], Status.PENDING)
    provider.paid = PAID
    wiring.collect.hinted(PAYMENT_ID)
    ask_all(counter)
    assert (provider.charged, now(counter).status) == ([PAYMENT_ID], Status.RECEIVED)


def test_a_charge_that_is_under_way_is_asked_about(
    counter: Counter, pending: Payment, provider: ChargingProvider
) -> None:
    provider.answers = [None]
    ask_all(counter)
    assert counter.delays("provider-calls") == [20]
    provider.paid = PAID
    ask_all(counter)
    assert now(counter).status is Status.RECEIVED


def test_a_payer_who_says_no_is_asked_no_more(
    counter: Counter, pending: Payment, provider: ChargingProvider
) -> None:
    provider.answers = [ProviderRefused("no_funds")]
    ask_all(counter)
    assert (now(counter).status, now(counter).reason) == (Status.EXPIRED, "no_funds")


@pytest.mark.parametrize("failure", [ProviderUnreachable("down"), SecretMissing("channels/x")])
def test_what_was_not_sent_is_sent_again_while_the_payer_waits(
    counter: Counter,
    clock: FixedClock,
    wiring: Wiring,
    pending: Payment,
    provider: ChargingProvider,
    failure: Exception,
) -> None:
    provider.answers = [failure, failure]
    ask_all(counter)
    assert counter.delays("provider-calls") == [20]
    ask_all(counter)
    counter.let_delays_pass()
    clock.move(CHARGED_WITHIN + timedelta(seconds=1))
    ask_all(counter)
    assert provider.charged == []
    assert (now(counter).status, now(counter).reason) == (Status.EXPIRED, "not_asked_in_time")


def test_another_amount_than_agreed_is_a_conflict_and_settles_nothing(
    counter: Counter, pending: Payment, provider: ChargingProvider
) -> None:
    provider.answers = [replace(PAID, amount_minor=kes(900))]
    ask_all(counter)
    assert now(counter).status is Status.PENDING
    assert [e.what for e in now(counter).events] == ["reference_conflict"]


# --- hints ----------------------------------------------------------------------------------------


def test_a_hint_is_no_proof(counter: Counter, wiring: Wiring, pending: Payment) -> None:
    counter.cloud.take("provider-calls")
    wiring.collect.hinted(PAYMENT_ID)
    assert now(counter).status is Status.PENDING
    assert len(counter.cloud.take("provider-calls")) == 1


def test_a_hint_of_an_unknown_payment_asks_nobody(
    counter: Counter, wiring: Wiring, company: Company
) -> None:
    with pytest.raises(NoSuchPayment):
        wiring.collect.hinted("paystack-none")
    assert counter.cloud.take("provider-calls") == []


def test_an_expired_payment_that_was_paid_after_all_is_found_by_a_hint(
    counter: Counter, wiring: Wiring, pending: Payment, provider: ChargingProvider
) -> None:
    provider.answers = [ProviderRefused("timeout")]
    ask_all(counter)
    provider.paid = PAID
    wiring.collect.hinted(PAYMENT_ID)
    ask_all(counter)
    assert now(counter).status is Status.RECEIVED


def test_a_payment_that_failed_for_good_is_over(
    counter: Counter, wiring: Wiring, pending: Payment, provider: ChargingProvider
) -> None:
    provider.answers = [None]
    ask_all(counter)
    provider.paid = ProviderRefused("cancelled")  # type: ignore[assignment]
    counter.let_delays_pass()
    ask_all(counter)
    assert (now(counter).status, now(counter).reason) == (Status.EXPIRED, "cancelled")


def test_what_the_provider_knows_it_by_is_kept(
    counter: Counter, wiring: Wiring, process: Processes, pending: Payment, diary: Diary
) -> None:
    wiring.collect.begun(pending, {"checkout_id": "ws_1"})
    assert now(counter).known_as == {"checkout_id": "ws_1"}
    broken = process(payments=Interrupted(wiring.payments, save=[TryAgain()]))
    broken.collect.begun(now(counter), {"checkout_id": "ws_2"})
    assert diary.said("handle_not_written")
    wiring.collect.paid(PAYMENT_ID, replace(PAID, known_as={"charge": "ch_1"}))
    assert now(counter).known_as == {"checkout_id": "ws_1", "charge": "ch_1"}


# --- reversals by the provider --------------------------------------------------------------------


def test_money_that_was_taken_back_before_it_was_settled_buys_nothing(
    counter: Counter, wiring: Wiring, pending: Payment, calin: FakeCalin, diary: Diary
) -> None:
    wiring.collect.paid(PAYMENT_ID, PAID)
    wiring.collect.reversed(PAYMENT_ID, "REV1")
    counter.run_dry()
    assert (now(counter).status, now(counter).reason) == (Status.HELD, REVERSED)
    assert (calin.issued, diary.counted("ReversedByProvider")) == ([], 1)
    assert diary.rings("reversed-by-provider")
    wiring.resolve.resolve_not_paid(PAYMENT_ID, actor=ACTOR, reason="the provider has it")
    assert now(counter).status is Status.EXPIRED


def test_money_that_was_taken_back_after_that_is_noted_once_with_an_alarm(
    counter: Counter,
    wiring: Wiring,
    pending: Payment,
    provider: ChargingProvider,
    calin: FakeCalin,
    diary: Diary,
) -> None:
    wiring.collect.paid(PAYMENT_ID, PAID)
    counter.run_dry()
    settled = now(counter)
    provider.paid = TakenBack("REV1")  # type: ignore[assignment]
    for _ in range(2):
        wiring.collect.hinted(PAYMENT_ID)
        ask_all(counter)
    payment = now(counter)
    assert (payment.status, payment.lines) == (Status.COMPLETED, settled.lines)
    assert [(e.what, e.reason) for e in payment.events] == [(REVERSED, "REV1")]
    assert diary.counted("ReversedByProvider") == 1
    assert differences(counter, "C1") == []


def test_a_checkout_whose_money_came_and_went_is_over(
    counter: Counter, wiring: Wiring, pending: Payment
) -> None:
    wiring.collect.reversed(PAYMENT_ID, "REV1")
    assert (now(counter).status, now(counter).reason) == (Status.EXPIRED, REVERSED)


def test_what_we_gave_back_ourselves_is_no_news(
    counter: Counter,
    wiring: Wiring,
    company: Company,
    provider: ChargingProvider,
    clock: FixedClock,
    diary: Diary,
) -> None:
    told = claim("NOBODY", 500, "T1", **ON_CHANNEL)
    wiring.accept.accept(told, money_moved=True)
    counter.run_dry()
    clock.move(timedelta(minutes=15))
    wiring.give_back.work(now(counter), clock.now() + timedelta(minutes=1))
    wiring.collect.reversed(PAYMENT_ID, "REV1")
    assert diary.counted("ReversedByProvider") == 0
    assert not diary.rings("reversed-by-provider")


def test_a_reversal_of_an_unknown_payment_is_said_to_be_one(wiring: Wiring) -> None:
    with pytest.raises(NoSuchPayment):
        wiring.collect.reversed("paystack-none", "REV1")


def test_a_reversal_that_loses_every_race_must_be_told_again(
    wiring: Wiring, process: Processes, pending: Payment
) -> None:
    busy = process(payments=Interrupted(wiring.payments, save=[VersionConflict("x")] * WRITES_MAX))
    with pytest.raises(VersionConflict):
        busy.collect.reversed(PAYMENT_ID, "REV1")


# --- what is not proven ---------------------------------------------------------------------------


@pytest.fixture
def cautious(company: Company, wiring: Wiring, clock: FixedClock) -> None:
    """The company believes unsigned reports of up to 400 only."""
    wiring.keep_company.replace(
        Choices("Mwanga", "KE", "KES", "Africa/Nairobi", confirm_above="400.00"), ACTOR
    )
    clock.move(timedelta(minutes=1))


def test_a_large_sum_that_nobody_proves_waits(
    counter: Counter, wiring: Wiring, cautious: None, pending: Payment, calin: FakeCalin
) -> None:
    wiring.collect.paid(PAYMENT_ID, replace(PAID, proven=False))
    counter.run_dry()
    assert (now(counter).status, now(counter).reason) == (Status.HELD, UNCONFIRMED)
    wiring.collect.paid(PAYMENT_ID, replace(PAID, proven=False))
    assert now(counter).status is Status.HELD
    wiring.collect.paid(PAYMENT_ID, PAID)
    counter.run_dry()
    assert (now(counter).status, len(calin.issued)) == (Status.COMPLETED, 1)


def test_a_small_sum_or_a_proven_one_does_not(
    counter: Counter, wiring: Wiring, cautious: None, company: Company
) -> None:
    company.customer(company.meter())
    assert counter.pay(claim(METER, 400, "T1", proven=False)).status is not Status.HELD
    assert counter.pay(claim(METER, 500, "T2")).status is not Status.HELD


def test_a_report_that_waits_goes_on_when_a_proven_one_comes(
    counter: Counter,
    wiring: Wiring,
    cautious: None,
    company: Company,
    diary: Diary,
    calin: FakeCalin,
) -> None:
    company.customer(company.meter())
    told = claim(METER, 500, "T1", proven=False)
    payment = counter.pay(told)
    assert (payment.status, payment.reason) == (Status.HELD, UNCONFIRMED)
    assert counter.told(payment.payment_id) == [90]
    assert diary.counted("Held") == 1
    assert counter.pay(told).status is Status.HELD
    assert counter.pay(replace(told, proven=True)).status is Status.COMPLETED
    assert counter.pay(replace(told, proven=True)).status is Status.COMPLETED
    assert len(calin.issued) == 1


def test_a_forged_report_can_be_put_away(
    counter: Counter, wiring: Wiring, cautious: None, company: Company
) -> None:
    payment = counter.pay(claim("NOBODY", 500, "T1", proven=False))
    wiring.resolve.resolve_not_paid(payment.payment_id, actor=ACTOR, reason="not in the list")
    assert counter.now(payment.payment_id).status is Status.EXPIRED


def test_a_confirmation_that_loses_a_race_tries_again(
    counter: Counter, wiring: Wiring, process: Processes, cautious: None, company: Company
) -> None:
    company.customer(company.meter())
    told = claim(METER, 500, "T1", proven=False)
    payment_id = counter.pay(told).payment_id
    slower = process(payments=Interrupted(wiring.payments, save=[VersionConflict("x")]))
    slower.accept.accept(replace(told, proven=True), money_moved=True)
    assert counter.now(payment_id).status is Status.RECEIVED


# --- one receipt, one payment ---------------------------------------------------------------------

POT = {"channel": CHANNEL, "source": CHANNEL}


def test_a_receipt_of_a_push_cannot_come_again_as_a_payment_of_its_own(
    counter: Counter, wiring: Wiring, pending: Payment, calin: FakeCalin
) -> None:
    wiring.collect.paid(PAYMENT_ID, replace(PAID, shared_pot=True))
    counter.run_dry()
    again = counter.pay(claim(METER, 500, "RCPT1", **POT))
    assert (again.status, again.reason) == (Status.EXPIRED, f"paid_as {PAYMENT_ID}")
    assert len(calin.issued) == 1
    with pytest.raises(ReferenceConflict):
        counter.pay(claim(METER, 900, "RCPT1", **POT))
    assert differences(counter, "C1") == []


def test_a_payment_by_hand_that_came_first_ends_the_push_of_the_same_receipt(
    counter: Counter, wiring: Wiring, pending: Payment, calin: FakeCalin
) -> None:
    counter.pay(claim(METER, 500, "RCPT1", **POT))
    for _ in range(2):
        other = wiring.collect.paid(PAYMENT_ID, replace(PAID, shared_pot=True))
        assert other.payment_id == f"{CHANNEL}-RCPT1"
    assert (now(counter).status, now(counter).reason) == (
        Status.EXPIRED,
        f"paid_as {CHANNEL}-RCPT1",
    )
    assert len(calin.issued) == 1


def test_a_payment_by_hand_for_something_else_under_that_receipt_is_a_conflict(
    counter: Counter, wiring: Wiring, pending: Payment
) -> None:
    counter.pay(claim("NOBODY", 500, "RCPT1", **POT))
    with pytest.raises(ReferenceConflict):
        wiring.collect.paid(PAYMENT_ID, replace(PAID, shared_pot=True))
    assert now(counter).status is Status.PENDING


def test_what_cannot_be_queued_after_a_result_is_found_by_the_sweeper(
    counter: Counter, wiring: Wiring, process: Processes, pending: Payment, diary: Diary
) -> None:
    broken = process(queues=Interrupted(wiring.queues, settle=[QueueUnavailable()]))
    broken.collect.paid(PAYMENT_ID, PAID)
    assert diary.said("queueing_failed")


def test_refunds_go_on_whatever_a_hint_says(
    counter: Counter, wiring: Wiring, company: Company, provider: ChargingProvider
) -> None:
    provider.behaviours = [answering(RefundTaken("R1", done=True))]
    wiring.accept.accept(claim("NOBODY", 500, "T1", **ON_CHANNEL), money_moved=True)
    counter.run_dry()
    wiring.clock.move(timedelta(minutes=15))  # type: ignore[attr-defined]
    wiring.collect.hinted(PAYMENT_ID)
    ask_all(counter)
    assert now(counter).status is Status.REFUNDED


def test_all_that_a_channel_says_goes_over_the_desk(
    counter: Counter, wiring: Wiring, pending: Payment
) -> None:
    wiring.desk.begun(pending, {"id": "1"})
    assert now(counter).known_as == {"id": "1"}
    counter.cloud.take("provider-calls")
    wiring.desk.hinted(PAYMENT_ID)
    assert len(counter.cloud.take("provider-calls")) == 1
    wiring.desk.reversed(PAYMENT_ID, "REV1")
    assert now(counter).reason == REVERSED
    reserved = wiring.desk.reserve(claim(METER, 500, "T2", **ON_CHANNEL))
    assert reserved.payment.status is Status.PENDING


def test_money_that_its_provider_has_cannot_be_given_back(
    counter: Counter, wiring: Wiring, pending: Payment
) -> None:
    wiring.collect.paid(PAYMENT_ID, PAID)
    wiring.collect.reversed(PAYMENT_ID, "REV1")
    with pytest.raises(NotRefundable):
        wiring.give_back.refund(PAYMENT_ID, actor=ACTOR, reason="?")


def test_what_was_received_cannot_be_called_unpaid(
    counter: Counter, wiring: Wiring, company: Company
) -> None:
    payment = counter.pay(claim("NOBODY", 500, "T9"))
    with pytest.raises(FieldError):
        wiring.resolve.resolve_not_paid(payment.payment_id, actor=ACTOR, reason="?")


def test_credentials_that_are_refused_end_no_payment(
    counter: Counter, wiring: Wiring, pending: Payment, provider: ChargingProvider, diary: Diary
) -> None:
    provider.answers = [None]
    ask_all(counter)
    provider.paid = ProviderRefused(NOT_KNOWN_THERE)  # type: ignore[assignment]
    counter.let_delays_pass()
    ask_all(counter)
    assert now(counter).status is Status.PENDING
    assert diary.said("not_verified")
