"""The life of a refund, and of payments that we start, without any I/O."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.errors import InvariantBroken
from chalicelib.domain.payment import (
    ENTRY_CHANNEL,
    FINAL,
    HELD_MESSAGE,
    RECEIPT,
    REFUND_ARRIVES_WITHIN,
    REFUND_MESSAGES,
    SWEEPS_MAX,
    UNUSABLE_MESSAGE,
    Claim,
    Payment,
    Refund,
    RefundState,
    Status,
    Token,
    Vend,
    VendState,
    accepted,
    expired,
    held,
    messages_due,
    open_refund,
    paid,
    refund_again,
    refund_answered,
    refund_begun,
    refund_called,
    refund_due,
    released,
    settled,
    standing,
    started,
    swept,
    vend_done,
    vend_uncertain,
    vend_void,
    vending_for_entry,
)

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=2)
AT = NOW + timedelta(minutes=15)
CLAIM = Claim("paystack", "paystack", "T1", "T1", "47001", 500_00, "KES")


def received(**changes: object) -> Payment:
    payment = accepted(CLAIM, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(payment, **changes)  # type: ignore[arg-type]


def due(**changes: object) -> Payment:
    return refund_due(received(**changes), "unknown_device", AT, NOW)


def begun(amount_minor: int = 500_00) -> Payment:
    return refund_begun(due(), amount_minor, LATER)


def answered(payment: Payment, state: RefundState, **more: object) -> Payment:
    return refund_answered(payment, 1, state, LATER, **more)  # type: ignore[arg-type]


def vending(*states: VendState) -> Payment:
    """A settled payment for the meter, one vend of 250 for each of these states."""
    vends = tuple(
        Vend(n, "47001", "calin", VendKind.ENERGY, state, Fraction(5, 2), 250_00, Fraction(250_00))
        for n, state in enumerate(states, start=1)
    )
    return settled(
        received(),
        lines=(Line(LineKind.ENERGY, "47001", 500_00),),
        vends=vends,
        tokens=(),
        account_version=2,
        now=NOW,
    )


# --- money that is to go back -------------------------------------------------------------------


def test_money_that_is_due_to_go_back_is_looked_at_when_it_is_due() -> None:
    payment = due(sweeps=3)
    assert (payment.status, payment.reason) == (Status.REFUND_DUE, "unknown_device")
    assert (payment.refund_at, payment.check_at, payment.sweeps) == (AT, AT, 0)
    assert [(e.what, e.reason) for e in payment.events] == [("refund_due", "unknown_device")]
    assert payment.status not in FINAL


def test_what_a_person_lets_go_on_has_no_time_to_go_back_any_more() -> None:
    payment = released(due(), LATER)
    assert (payment.status, payment.refund_at, payment.reason) == (Status.RECEIVED, None, None)


def test_money_that_is_due_and_that_no_sweep_moves_is_held() -> None:
    payment = due()
    for _ in range(SWEEPS_MAX + 1):
        payment = swept(payment, LATER)
    assert (payment.status, payment.reason) == (Status.HELD, "stuck")


def test_a_refund_takes_its_money_out_of_the_payment_at_once() -> None:
    payment = begun(200_00)
    assert payment.refunds == (Refund(1, 200_00),)
    assert (payment.status, payment.reason, payment.refund_at) == (Status.REFUNDING, None, None)
    assert (payment.refunded_minor, payment.kept_minor) == (200_00, 300_00)
    assert payment.check_at == LATER + timedelta(minutes=1)


@pytest.mark.parametrize("amount_minor", [-1, 0, 500_01])
def test_neither_nothing_nor_more_than_there_is_goes_back(amount_minor: int) -> None:
    with pytest.raises(InvariantBroken):
        begun(amount_minor)


def test_two_refunds_together_are_not_more_than_there_is() -> None:
    payment = answered(begun(300_00), RefundState.DONE)
    with pytest.raises(InvariantBroken):
        refund_begun(payment, 200_01, LATER)
    assert refund_begun(payment, 200_00, LATER).refunds[1] == Refund(2, 200_00)


@pytest.mark.parametrize("state", list(RefundState))
def test_only_a_void_refund_leaves_its_money_with_the_payment(state: RefundState) -> None:
    payment = begun(200_00).with_refund(Refund(1, 200_00, state))
    assert payment.kept_minor == (500_00 if state is RefundState.VOID else 300_00)


@pytest.mark.parametrize(
    ("waited", "standing_now"),
    [
        (REFUND_ARRIVES_WITHIN, (Status.REFUNDING, None)),
        (REFUND_ARRIVES_WITHIN + timedelta(seconds=1), (Status.HELD, "refund_slow")),
    ],
)
def test_a_refund_that_was_taken_and_does_not_arrive_needs_a_person(
    waited: timedelta, standing_now: tuple[Status, str | None]
) -> None:
    taken = answered(refund_called(begun(), 1, AT, LATER), RefundState.ACCEPTED, retry_at=AT)
    payment = standing(taken, LATER + waited)
    assert (payment.status, payment.reason) == standing_now


def test_a_refund_that_arrives_late_has_ended_all_the_same() -> None:
    taken = answered(refund_called(begun(), 1, AT, LATER), RefundState.ACCEPTED, retry_at=AT)
    slow = standing(taken, LATER + 2 * REFUND_ARRIVES_WITHIN)
    done = answered(slow, RefundState.DONE)
    assert (done.status, done.reason, done.check_at) == (Status.REFUNDED, None, None)


@pytest.mark.parametrize(
    ("answers", "in_doubt"),
    [
        ((RefundState.REFUSED,), False),
        ((RefundState.ACCEPTED,), False),
        ((RefundState.UNCERTAIN,), True),
        ((RefundState.UNCERTAIN, RefundState.REFUSED), True),
        ((RefundState.REFUSED, RefundState.UNCERTAIN, RefundState.REFUSED), True),
    ],
)
def test_a_refund_of_which_one_call_told_nothing_stays_in_doubt(
    answers: tuple[RefundState, ...], in_doubt: bool
) -> None:
    payment = begun()
    for state in answers:
        payment = answered(refund_called(payment, 1, AT, LATER), state, retry_at=AT)
    assert payment.refund(1).in_doubt is in_doubt
    assert refund_called(payment, 1, AT, LATER).refund(1).in_doubt is in_doubt


def test_there_is_no_refund_of_another_number() -> None:
    with pytest.raises(KeyError):
        begun().refund(2)


# --- the provider is asked ------------------------------------------------------------------------


def test_a_call_has_a_lease_and_starts_the_looks_and_the_reference_anew() -> None:
    before = begun().with_refund(
        Refund(1, 500_00, RefundState.REFUSED, attempts=1, retry_at=NOW, looks=7, reference="R0")
    )
    payment = refund_called(before, 1, AT, LATER)
    assert payment.refund(1) == Refund(
        1, 500_00, RefundState.CALLING, attempts=2, lease_until=AT, called_at=LATER
    )
    assert payment.status is Status.REFUNDING


@pytest.mark.parametrize(
    ("state", "retry_at", "status", "reason"),
    [
        (RefundState.ACCEPTED, None, Status.REFUNDING, None),
        (RefundState.ACCEPTED, AT, Status.REFUNDING, None),
        (RefundState.DONE, None, Status.REFUNDED, None),
        (RefundState.REFUSED, None, Status.HELD, "refund_refused"),
        (RefundState.REFUSED, AT, Status.REFUNDING, None),
        (RefundState.UNCERTAIN, None, Status.HELD, "refund_uncertain"),
        (RefundState.UNCERTAIN, AT, Status.REFUNDING, None),
    ],
)
def test_the_status_follows_from_what_became_of_the_refund(
    state: RefundState, retry_at: datetime | None, status: Status, reason: str | None
) -> None:
    payment = answered(refund_called(begun(), 1, AT, LATER), state, retry_at=retry_at)
    assert (payment.status, payment.reason) == (status, reason)
    assert payment.refund(1).lease_until is None
    assert (payment.check_at is None) == (status in FINAL)
    assert payment.completed_at == (LATER if status in FINAL else None)


def test_looks_are_counted_while_nothing_changes() -> None:
    payment = refund_called(begun(), 1, AT, LATER)
    looks = []
    for state in (*[RefundState.UNCERTAIN] * 3, *[RefundState.ACCEPTED] * 2):
        payment = answered(payment, state, retry_at=AT)
        looks.append(payment.refund(1).looks)
    assert looks == [0, 1, 2, 0, 1]


def test_a_reference_that_is_known_is_kept_until_another_is_told() -> None:
    payment = answered(begun(), RefundState.ACCEPTED, reference="R1")
    assert answered(payment, RefundState.ACCEPTED).refund(1).reference == "R1"
    assert answered(payment, RefundState.DONE, reference="R2").refund(1).reference == "R2"


def test_an_answer_starts_the_count_of_sweeps_anew() -> None:
    assert answered(replace(begun(), sweeps=9), RefundState.ACCEPTED).sweeps == 0


def test_that_nobody_knows_is_news_once_and_again_when_it_is_given_up() -> None:
    payment = begun()
    for retry_at in (AT, AT, AT, None):
        payment = answered(payment, RefundState.UNCERTAIN, reason="silence", retry_at=retry_at)
    said = [(e.what, e.reason) for e in payment.events if e.what == "refund_uncertain"]
    assert said == [("refund_uncertain", "silence")] * 2


def test_what_needs_no_reason_leaves_no_event() -> None:
    before = begun()
    assert answered(before, RefundState.DONE).events == before.events


def test_a_refund_that_goes_on_is_looked_at_as_soon_as_a_new_one() -> None:
    payment = answered(begun(), RefundState.REFUSED)
    assert payment.check_at == LATER + timedelta(hours=1)
    again = refund_again(
        replace(payment, sweeps=SWEEPS_MAX), replace(payment.refund(1), retry_at=AT), AT
    )
    assert (again.status, again.sweeps) == (Status.REFUNDING, 0)
    assert again.check_at == AT + timedelta(minutes=1)


@pytest.mark.parametrize("state", list(RefundState))
def test_a_refund_is_open_until_it_is_done_or_void(state: RefundState) -> None:
    payment = begun().with_refund(Refund(1, 500_00, state))
    ended = state in (RefundState.DONE, RefundState.VOID)
    assert (open_refund(payment) is None) == ended


def test_a_refund_on_its_way_is_never_stuck_and_one_that_nobody_answers_is() -> None:
    on_its_way, silent = answered(begun(), RefundState.ACCEPTED, retry_at=AT), begun()
    for _ in range(SWEEPS_MAX + 1):
        on_its_way, silent = swept(on_its_way, LATER), swept(silent, LATER)
    assert on_its_way.status is Status.REFUNDING
    assert on_its_way.check_at == LATER + timedelta(hours=1)
    assert (silent.status, silent.reason) == (Status.HELD, "stuck")


# --- what is left of the payment ------------------------------------------------------------------


def test_the_rest_of_money_that_went_to_no_account_waits_for_a_person() -> None:
    payment = answered(begun(200_00), RefundState.DONE)
    assert (payment.status, payment.reason) == (Status.HELD, "partly_refunded")


def test_where_nothing_went_back_after_all_the_money_waits_for_a_person() -> None:
    refused = answered(begun(), RefundState.REFUSED)
    void = refused.with_refund(replace(refused.refund(1), state=RefundState.VOID))
    payment = standing(void, LATER)
    assert (payment.status, payment.reason) == (Status.HELD, "not_refunded")


def test_only_what_is_kept_can_be_split() -> None:
    payment = answered(begun(200_00), RefundState.DONE)

    def split(amount_minor: int) -> Payment:
        lines = (Line(LineKind.APPLIANCE, "p-tv", amount_minor),)
        return settled(payment, lines=lines, vends=(), tokens=(), account_version=2, now=LATER)

    for wrong_minor in (500_00, 299_99, 300_01):
        with pytest.raises(InvariantBroken):
            split(wrong_minor)
    assert split(300_00).status is Status.REFUNDED


def test_while_money_may_be_going_back_nothing_else_decides_the_status() -> None:
    payment = vending(VendState.UNCERTAIN, VendState.INTENDED)
    payment = refund_begun(payment, 250_00, LATER)
    payment = vend_void(payment, 1, LATER, closed=True)
    assert payment.status is Status.REFUNDING
    payment = answered(payment, RefundState.DONE)
    assert payment.status is Status.VENDING, "the other vend goes on"
    payment = vend_done(payment, 2, "1" * 20, LATER)
    assert payment.status is Status.REFUNDED


def test_a_refund_that_needs_a_person_comes_before_a_vend_that_does() -> None:
    payment = refund_begun(vending(VendState.UNCERTAIN, VendState.UNCERTAIN), 250_00, LATER)
    payment = vend_void(payment, 1, LATER, closed=True)
    payment = answered(payment, RefundState.REFUSED)
    assert (payment.status, payment.reason) == (Status.HELD, "refund_refused")
    void = payment.with_refund(replace(payment.refund(1), state=RefundState.VOID))
    payment = standing(void, LATER)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")


def test_a_late_token_while_money_is_going_back_does_not_end_that() -> None:
    payment = refund_begun(vending(VendState.REFUSED, VendState.UNCERTAIN), 250_00, LATER)
    payment = vend_void(payment, 1, LATER, closed=True)
    payment = vend_done(payment, 2, "1" * 20, LATER)
    assert payment.status is Status.REFUNDING
    assert messages_due(payment) == (2,)


# --- messages -------------------------------------------------------------------------------------


def test_whoever_paid_is_told_that_the_money_cannot_be_used() -> None:
    assert messages_due(due()) == (UNUSABLE_MESSAGE,)
    assert messages_due(due(customer_id=None)) == ()


def test_money_on_its_way_back_is_told_when_it_has_gone() -> None:
    payment = begun()
    assert messages_due(payment) == ()
    payment = answered(payment, RefundState.ACCEPTED)
    assert messages_due(payment) == ()
    payment = answered(payment, RefundState.DONE)
    assert messages_due(payment) == (REFUND_MESSAGES + 1,)


def test_each_refund_has_an_sms_of_its_own() -> None:
    payment = answered(begun(200_00), RefundState.DONE)
    assert messages_due(payment) == (REFUND_MESSAGES + 1, HELD_MESSAGE)
    due_again = refund_due(payment, "unknown_device", AT, LATER)
    assert messages_due(due_again) == (REFUND_MESSAGES + 1, UNUSABLE_MESSAGE)
    payment = refund_begun(payment, 300_00, LATER)
    payment = refund_answered(payment, 2, RefundState.DONE, LATER)
    assert messages_due(payment) == (REFUND_MESSAGES + 1, REFUND_MESSAGES + 2)


def test_a_refund_that_failed_is_told_as_looked_into() -> None:
    assert messages_due(answered(begun(), RefundState.REFUSED)) == (HELD_MESSAGE,)


def test_a_token_and_a_refund_of_one_payment_are_told_apart() -> None:
    payment = vend_uncertain(vending(VendState.DONE, VendState.INTENDED), 2, "?", LATER)
    payment = vend_void(refund_begun(payment, 250_00, LATER), 2, LATER, closed=True)
    payment = answered(payment, RefundState.DONE)
    assert messages_due(payment) == (1, REFUND_MESSAGES + 1)
    assert RECEIPT not in messages_due(payment)


# --- payments that we start -----------------------------------------------------------------------


def pending() -> Payment:
    return started(CLAIM, moment=NOW, received_at=NOW, customer_id="C1")


def test_a_payment_that_we_start_waits_for_its_payer() -> None:
    payment = pending()
    assert (payment.status, payment.check_at) == (Status.PENDING, NOW + timedelta(minutes=1))
    assert messages_due(payment) == ()
    minutes = []
    for _ in range(SWEEPS_MAX + 7):
        payment = swept(payment, LATER)
        assert payment.status is Status.PENDING
        assert payment.check_at is not None
        minutes.append((payment.check_at - LATER) // timedelta(minutes=1))
    assert minutes == [2, 8, 32, 128, *[360] * (SWEEPS_MAX + 3)]


def test_a_payment_that_was_paid_begins_when_the_money_moved() -> None:
    payment = paid(replace(pending(), sweeps=7), receipt="RCPT1", moment=NOW, now=LATER)
    assert (payment.status, payment.receipt, payment.sweeps) == (Status.RECEIVED, "RCPT1", 0)
    assert (payment.moment, payment.received_at) == (NOW, LATER)
    assert payment.check_at == LATER + timedelta(minutes=1)


def test_a_payment_that_nobody_paid_has_ended_and_is_told_to_nobody() -> None:
    payment = expired(pending(), "not_paid", LATER)
    assert (payment.status, payment.reason, payment.check_at) == (Status.EXPIRED, "not_paid", None)
    assert payment.completed_at == LATER
    assert [(e.what, e.reason) for e in payment.events] == [("expired", "not_paid")]
    assert messages_due(payment) == ()


def test_a_payment_that_is_paid_after_all_is_no_longer_over() -> None:
    payment = paid(expired(pending(), "not_paid", LATER), receipt="R", moment=AT, now=AT)
    assert (payment.status, payment.reason, payment.completed_at) == (Status.RECEIVED, None, None)
    assert payment.check_at == AT + timedelta(minutes=1)


# --- a payment of nothing -------------------------------------------------------------------------


UNLOCK = Vend(1, "SHS1", "angaza", VendKind.UNLOCK, VendState.INTENDED)


def test_an_entry_s_vend_is_carried_by_a_payment_of_nothing() -> None:
    payment = vending_for_entry("C1", 7, UNLOCK, None, "KES", NOW)
    assert payment.payment_id == f"{ENTRY_CHANNEL}-C1.7"
    assert (payment.status, payment.amount_minor, payment.kept_minor) == (Status.VENDING, 0, 0)
    assert (payment.lines, payment.account_versions, payment.settled_at) == ((), (), NOW)
    assert payment.check_at == NOW + timedelta(minutes=1)


def test_an_entry_s_vend_with_a_token_is_completed_at_once() -> None:
    done = replace(UNLOCK, state=VendState.DONE)
    token = Token(1, "SHS1", VendKind.UNLOCK, value="190942008")
    payment = vending_for_entry("C1", 7, done, token, "KES", NOW)
    assert (payment.status, payment.tokens) == (Status.COMPLETED, (token,))
    assert messages_due(payment) == (1,)


def test_an_entry_s_vend_in_doubt_waits_for_a_person() -> None:
    payment = vend_uncertain(vending_for_entry("C1", 7, UNLOCK, None, "KES", NOW), 1, "?", LATER)
    assert held(payment, "vend_uncertain", LATER) == payment
    assert (payment.status, messages_due(payment)) == (Status.HELD, (HELD_MESSAGE,))
