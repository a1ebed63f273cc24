"""The life of a payment and of its vends, without any I/O."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.errors import FieldError, InvariantBroken
from chalicelib.domain.payment import (
    EVENTS_MAX,
    HELD_MESSAGE,
    RECEIPT,
    REFUSED_MESSAGE,
    SWEEPS_MAX,
    UNUSABLE_MESSAGE,
    Claim,
    Payment,
    Status,
    Vend,
    VendState,
    accepted,
    after_refusal,
    claim_hash,
    held,
    messages_due,
    payment_id_of,
    released,
    settled,
    swept,
    unfinished,
    vend_again,
    vend_done,
    vend_refused,
    vend_uncertain,
    vend_void,
)

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=2)


def claim(**changes: object) -> Claim:
    base = Claim("direct", "direct.demo", "r-1", "r-1", "47001", 1000_00, "KES")
    return replace(base, **changes)  # type: ignore[arg-type]


def received(**changes: object) -> Payment:
    payment = accepted(claim(), moment=NOW, received_at=NOW, customer_id="C1")
    return replace(payment, **changes)  # type: ignore[arg-type]


def vend(number: int = 1, state: VendState = VendState.INTENDED, **changes: object) -> Vend:
    base = Vend(number, "47001", "calin", VendKind.ENERGY, state, Fraction(5), 500_00)
    return replace(base, **changes)  # type: ignore[arg-type]


def with_vends(*vends: Vend) -> Payment:
    line = Line(LineKind.ENERGY, "47001", 1000_00)
    return settled(received(), lines=(line,), vends=vends, tokens=(), account_version=2, now=LATER)


def test_the_id_is_source_and_transaction() -> None:
    assert payment_id_of("mpesa_ke.600966", "RKL51ZDR4F") == "mpesa_ke.600966-RKL51ZDR4F"


def test_other_characters_of_the_transaction_are_percent_encoded() -> None:
    assert payment_id_of("s", "a/b c~é") == "s-a%2Fb%20c%7E%C3%A9"


@pytest.mark.parametrize("transaction", ["", "x" * 99, "é" * 40])
def test_an_empty_or_too_long_transaction_is_refused(transaction: str) -> None:
    with pytest.raises(FieldError) as caught:
        payment_id_of("s", transaction)
    assert caught.value.field == "reference"


def test_an_id_of_exactly_one_hundred_characters_is_accepted() -> None:
    assert len(payment_id_of("s", "x" * 98)) == 100


@pytest.mark.parametrize(
    "changes", [{"serial_number": "47002"}, {"amount_minor": 1}, {"currency": "UGX"}]
)
def test_the_hash_tells_another_serial_amount_or_currency(changes: dict[str, object]) -> None:
    assert claim_hash(claim(**changes)) != claim_hash(claim())


@pytest.mark.parametrize(
    "changes", [{"payer_phone": "+254700000001"}, {"paid_at": NOW}, {"channel": "other"}]
)
def test_the_hash_ignores_everything_else(changes: dict[str, object]) -> None:
    assert claim_hash(claim(**changes)) == claim_hash(claim())


def test_the_hash_of_a_payment_for_a_plan_is_over_the_plan() -> None:
    assert claim_hash(claim(plan_id="p-1")) != claim_hash(claim(plan_id="p-2"))


def test_an_accepted_payment_is_looked_at_again_after_a_minute() -> None:
    payment = received()
    assert payment.status is Status.RECEIVED
    assert payment.check_at == NOW + timedelta(minutes=1)


def test_a_refused_payment_is_not_looked_at_again() -> None:
    payment = accepted(
        claim(), moment=NOW, received_at=NOW, customer_id=None, refusal="unknown_device"
    )
    assert (payment.status, payment.reason) == (Status.REFUSED, "unknown_device")
    assert payment.check_at is None
    assert payment.owner == "serial#47001"


def test_a_payment_that_follows_a_refusal_keeps_it_as_an_event() -> None:
    refused = accepted(
        claim(), moment=NOW, received_at=NOW, customer_id=None, refusal="unknown_device"
    )
    after = after_refusal(refused, received())
    assert after.status is Status.RECEIVED
    assert [(e.what, e.reason) for e in after.events] == [("refused", "unknown_device")]
    assert after.revision == refused.revision


def test_the_list_of_events_stops_growing() -> None:
    payment = received()
    for _ in range(EVENTS_MAX + 5):
        payment = payment.with_event(NOW, "something")
    assert len(payment.events) == EVENTS_MAX


def test_lines_that_do_not_add_up_are_never_settled() -> None:
    with pytest.raises(InvariantBroken):
        settled(
            received(),
            lines=(Line(LineKind.ENERGY, "47001", 999_99),),
            vends=(),
            tokens=(),
            account_version=2,
            now=NOW,
        )


def test_a_payment_of_debts_only_is_completed_at_once() -> None:
    payment = with_vends()
    assert (payment.status, payment.completed_at) == (Status.COMPLETED, LATER)
    assert payment.check_at is None
    assert payment.account_versions == (2,)
    assert messages_due(payment) == (RECEIPT,)


def test_a_payment_with_a_remote_vend_keeps_its_place_in_the_open_index() -> None:
    payment = with_vends(vend())
    assert payment.status is Status.VENDING
    assert payment.check_at == received().check_at
    assert unfinished(payment.vends) == payment.vends
    assert messages_due(payment) == ()


def test_a_token_completes_the_payment() -> None:
    payment = vend_done(with_vends(vend()), 1, "12345678901234567890", LATER)
    assert payment.status is Status.COMPLETED
    assert payment.tokens[0].value == "12345678901234567890"
    assert messages_due(payment) == (1,)


def test_a_payment_is_completed_only_when_its_last_vend_is_done() -> None:
    payment = vend_done(with_vends(vend(1), vend(2)), 1, "1", LATER)
    assert payment.status is Status.VENDING
    assert messages_due(payment) == (1,)
    assert vend_done(payment, 2, "2", LATER).status is Status.COMPLETED


def test_an_uncertain_vend_holds_the_payment() -> None:
    payment = vend_uncertain(with_vends(vend()), 1, "time-out", LATER)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_uncertain")
    assert messages_due(payment) == (HELD_MESSAGE,)


def test_a_vend_that_needs_a_person_holds_the_payment_while_others_go_on() -> None:
    payment = vend_uncertain(with_vends(vend(1), vend(2)), 1, "time-out", LATER)
    payment = vend_done(payment, 2, "2", LATER)
    assert payment.status is Status.HELD
    assert messages_due(payment) == (2, HELD_MESSAGE)


def test_a_late_token_completes_an_uncertain_vend() -> None:
    payment = vend_uncertain(with_vends(vend()), 1, "time-out", LATER)
    assert vend_done(payment, 1, "1", LATER).status is Status.COMPLETED


def test_a_refused_vend_holds_the_payment() -> None:
    payment = vend_refused(with_vends(vend()), 1, "meter not found", LATER)
    assert (payment.status, payment.reason) == (Status.HELD, "vend_refused")


def test_a_refused_vend_that_is_tried_again_by_itself_does_not() -> None:
    payment = vend_refused(with_vends(vend()), 1, "unreachable", LATER, retry_at=LATER)
    assert payment.status is Status.VENDING
    assert unfinished(payment.vends)


def test_a_void_vend_whose_money_bought_nothing_holds_the_payment() -> None:
    payment = vend_void(vend_uncertain(with_vends(vend()), 1, "?", LATER), 1, LATER)
    assert (payment.status, payment.reason) == (Status.HELD, "not_issued")


def test_a_void_vend_whose_money_went_elsewhere_does_not() -> None:
    payment = vend_uncertain(with_vends(vend()), 1, "?", LATER)
    payment = vend_void(payment, 1, LATER, closed=True)
    assert payment.status is Status.COMPLETED


def test_trying_a_void_vend_again_makes_a_new_one_of_the_same_intent() -> None:
    payment = vend_uncertain(with_vends(vend(attempts=3)), 1, "?", LATER)
    payment = vend_again(payment, 1, LATER)
    old, new = payment.vends
    assert (old.state, old.closed) == (VendState.VOID, True)
    assert (new.number, new.state, new.attempts) == (2, VendState.INTENDED, 0)
    assert (new.units, new.money_minor, new.kind) == (old.units, old.money_minor, old.kind)
    assert payment.status is Status.VENDING


def test_a_vend_that_a_search_proves_absent_leaves_nothing_to_do_about_itself() -> None:
    """The void one is done with; only the new one is taken up, or the payment would never end."""
    payment = vend_uncertain(with_vends(vend(attempts=1)), 1, "?", LATER, retry_at=LATER)
    payment = vend_again(payment, 1, LATER)
    old, new = payment.vends
    assert (old.state, old.retry_at, old.closed) == (VendState.VOID, None, True)
    assert unfinished(payment.vends) == (new,)
    assert vend_done(payment, 2, "2", LATER).status is Status.COMPLETED


def test_a_new_vend_knows_nothing_of_the_one_in_whose_place_it_is() -> None:
    before = vend(
        state=VendState.UNCERTAIN,
        attempts=3,
        called_at=NOW,
        looks=4,
        reference="tr-1",
        in_doubt=True,
    )
    fresh = vend_again(with_vends(before), 1, LATER).vend(2)
    assert fresh == vend(2)


def test_an_uncertain_vend_that_is_worked_on_does_not_hold_the_payment() -> None:
    payment = vend_uncertain(with_vends(vend()), 1, "time-out", LATER, retry_at=LATER)
    assert (payment.status, payment.reason) == (Status.VENDING, None)
    assert unfinished(payment.vends) == payment.vends
    assert messages_due(payment) == ()


def test_becoming_uncertain_and_being_given_up_are_news_and_fruitless_looks_are_not() -> None:
    payment = with_vends(vend())
    for reason in ("time-out", "not found yet", "not found yet"):
        payment = vend_uncertain(payment, 1, reason, LATER, retry_at=LATER)
    assert [(e.what, e.reason) for e in payment.events] == [("vend_uncertain", "time-out")]
    payment = vend_uncertain(payment, 1, "not found yet", LATER)
    assert [(e.what, e.reason) for e in payment.events][1:] == [
        ("vend_uncertain", "not found yet"),
        ("held", "vend_uncertain"),
    ]


def test_looks_are_counted_from_when_it_became_uncertain() -> None:
    payment = vend_uncertain(with_vends(vend(looks=7)), 1, "?", LATER, retry_at=LATER)
    assert payment.vend(1).looks == 0
    for looks in (1, 2):
        payment = vend_uncertain(payment, 1, "?", LATER, retry_at=LATER)
        assert payment.vend(1).looks == looks


def test_what_the_manufacturer_calls_the_sale_is_kept_until_it_says_otherwise() -> None:
    payment = vend_uncertain(with_vends(vend()), 1, "?", LATER, reference="tr-1")
    payment = vend_uncertain(payment, 1, "?", LATER)
    assert payment.vend(1).reference == "tr-1"
    assert vend_done(payment, 1, None, LATER).vend(1).reference == "tr-1"
    assert vend_done(payment, 1, None, LATER, reference="tr-2").vend(1).reference == "tr-2"


def test_a_vend_stays_in_doubt_until_it_is_done_or_refused() -> None:
    doubtful = vend_uncertain(with_vends(vend()), 1, "?", LATER, retry_at=LATER)
    assert doubtful.vend(1).in_doubt
    assert not vend_done(doubtful, 1, "1", LATER).vend(1).in_doubt
    assert not vend_refused(doubtful, 1, "reversed", LATER).vend(1).in_doubt
    assert not vend_refused(with_vends(vend()), 1, "no such meter", LATER).vend(1).in_doubt


def test_a_done_vend_keeps_nothing_of_the_calls_that_led_to_it() -> None:
    called = vend(
        state=VendState.UNCERTAIN, attempts=2, called_at=NOW, looks=3, retry_at=LATER, in_doubt=True
    )
    done = vend_done(with_vends(called), 1, "1", LATER).vend(1)
    assert done == vend(state=VendState.DONE, attempts=2)


def test_tokens_to_be_typed_in_first_stay_with_their_token_and_usually_there_are_none() -> None:
    rekeyed = vend_done(with_vends(vend()), 1, "3", LATER, before=("1", "2"))
    assert [(t.before, t.value) for t in rekeyed.tokens] == [(("1", "2"), "3")]
    assert vend_done(with_vends(vend()), 1, "3", LATER).tokens[0].before == ()


def test_what_the_manufacturer_says_it_gave_counts_and_else_what_was_asked_for() -> None:
    said = vend_done(with_vends(vend()), 1, None, LATER, units=Fraction(49, 10))
    assert (said.vend(1).units, said.tokens[0].units) == (Fraction(49, 10), Fraction(49, 10))
    unsaid = vend_done(with_vends(vend()), 1, None, LATER)
    assert (unsaid.vend(1).units, unsaid.tokens[0].units) == (Fraction(5), Fraction(5))
    nothing = vend_done(with_vends(vend()), 1, None, LATER, units=Fraction(0))
    assert nothing.vend(1).units == 0


@pytest.mark.parametrize("told_until", [None, LATER + timedelta(days=14)])
def test_a_done_vend_keeps_until_when_its_device_was_really_told_to_run(
    told_until: datetime | None,
) -> None:
    until = LATER + timedelta(days=7)
    payment = with_vends(vend(kind=VendKind.TIME, paid_until=until))
    done = vend_done(payment, 1, None, LATER, told_until=told_until)
    assert done.vend(1).paid_until == (told_until or until)


def test_holding_twice_for_one_reason_is_one_event() -> None:
    payment = held(held(received(), "unknown_device", NOW), "unknown_device", LATER)
    assert [e.what for e in payment.events] == ["held"]


def test_a_held_payment_without_a_customer_is_told_that_it_cannot_be_used() -> None:
    payment = held(received(customer_id=None, payer_phone="+254700000001"), "unknown_device", NOW)
    assert messages_due(payment) == (UNUSABLE_MESSAGE,)


def test_nobody_is_told_where_nobody_is_known() -> None:
    payment = held(received(customer_id=None), "unknown_device", NOW)
    assert messages_due(payment) == ()


def test_a_refused_payment_is_told_so() -> None:
    payment = received(status=Status.REFUSED)
    assert messages_due(payment) == (REFUSED_MESSAGE,)


def test_a_released_payment_that_was_not_settled_is_to_be_settled() -> None:
    payment = released(held(received(), "device_moved", NOW), LATER)
    assert (payment.status, payment.reason) == (Status.RECEIVED, None)
    assert payment.check_at == LATER + timedelta(minutes=1)


def test_a_released_payment_follows_its_vends() -> None:
    stuck = held(with_vends(vend()), "stuck", LATER)
    assert released(stuck, LATER).status is Status.VENDING


def test_an_open_payment_is_looked_at_after_1_2_4_up_to_60_minutes_and_then_held() -> None:
    payment, minutes = received(), []
    for _ in range(SWEEPS_MAX):
        payment = swept(payment, NOW)
        assert payment.check_at is not None
        minutes.append((payment.check_at - NOW) // timedelta(minutes=1))
    assert minutes == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    payment = swept(payment, NOW)
    assert (payment.status, payment.reason) == (Status.HELD, "stuck")


def test_a_held_payment_is_looked_at_every_hour_for_ever() -> None:
    payment = held(received(), "unknown_device", NOW)
    assert payment.check_at == NOW + timedelta(hours=1)
    for _ in range(SWEEPS_MAX + 2):
        payment = swept(payment, LATER)
    assert payment.check_at == LATER + timedelta(hours=1)
    assert payment.reason == "unknown_device"


def test_a_held_payment_with_a_vend_under_way_is_looked_at_as_soon_as_any_other() -> None:
    payment = vend_uncertain(with_vends(vend(1), vend(2)), 1, "time-out", LATER)
    assert payment.check_at == LATER + timedelta(minutes=1)
    payment = swept(swept(payment, LATER), LATER)
    assert payment.check_at == LATER + timedelta(minutes=2)
    payment = vend_done(payment, 2, "2", LATER)
    assert swept(payment, LATER).check_at == LATER + timedelta(hours=1)


def test_settling_starts_the_count_of_looks_anew() -> None:
    payment = swept(received(), NOW)
    done = settled(
        payment,
        lines=(Line(LineKind.ENERGY, "47001", 1000_00),),
        vends=(vend(),),
        tokens=(),
        account_version=2,
        now=NOW,
    )
    assert done.sweeps == 0


def test_there_is_no_vend_of_another_number() -> None:
    with pytest.raises(KeyError):
        with_vends(vend()).vend(2)


def test_a_vending_payment_that_lost_its_place_in_the_index_gets_a_new_one() -> None:
    payment = replace(with_vends(vend(1), vend(2)), check_at=None)
    assert vend_done(payment, 1, "1", LATER).check_at == LATER + timedelta(minutes=1)
