"""Every payment has its money in places that add up to it, and whatever does not is named.

The figures are held against a till that is counted shilling by shilling, and knows no ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.books import CarryChange, OpenedPlan, Posting
from chalicelib.domain.ledger import (
    NOTHING,
    PLACES,
    Fault,
    Key,
    Of,
    Sum,
    Unaccounted,
    between,
    carried,
    credit_in_hand,
    faults_of,
    figures_of,
    figures_of_entry,
    has_moved,
    missing,
    told_apart,
    total,
    waiting_mark,
)
from chalicelib.domain.payment import (
    EVENTS_MAX,
    PAID_OTHERWISE,
    REVERSED,
    UNCONFIRMED,
    Claim,
    Event,
    Payment,
    Refund,
    RefundState,
    Status,
    Token,
    Vend,
    VendState,
    accepted,
    vending_for_entry,
)

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


def payment(amount_minor: int = 1000, name: str = "T1", **changes: object) -> Payment:
    """A payment that was received, with what is otherwise."""
    claim = Claim("direct", "direct.demo", name, name, "47001", amount_minor, "KES")
    received = accepted(claim, moment=NOW, received_at=NOW, customer_id="C1")
    return replace(received, **changes)


def settled(*lines: tuple[LineKind, int], **changes: object) -> Payment:
    """A completed payment of one customer, split so."""
    split = tuple(Line(kind, "ref", amount) for kind, amount in lines)
    given_back = sum(r.amount_minor for r in changes.get("refunds", ()))  # type: ignore[attr-defined]
    amount_minor = sum(line.amount_minor for line in split) + given_back
    whole: dict[str, object] = {
        "lines": split,
        "status": Status.COMPLETED,
        "settled_at": NOW,
        "account_versions": (2,),
        **changes,
    }
    return payment(amount_minor, **whole)


def figures(*payments: Payment, seen_until: datetime | None = None) -> dict[Key, Sum]:
    """All figures of these payments."""
    found: dict[Key, Sum] = {}
    for each in payments:
        for key, figure in figures_of(each, seen_until):
            found[key] = found.get(key, NOTHING) + figure
    return found


def refund(amount_minor: int, state: RefundState) -> Refund:
    return Refund(1, amount_minor, state)


class TestPlaces:
    def test_of_a_settled_payment_are_its_lines(self) -> None:
        found = figures(settled((LineKind.APPLIANCE, 300), (LineKind.ENERGY, 700)))
        assert found[(Of.SETTLED, "appliance")] == Sum(1, Fraction(300))
        assert found[(Of.SETTLED, "energy")] == Sum(1, Fraction(700))
        assert found[(Of.IN, "direct", "2026-03")] == Sum(1, Fraction(1000))

    @pytest.mark.parametrize(
        ("status", "reason", "place"),
        [
            (Status.RECEIVED, None, (Of.WAITING,)),
            (Status.HELD, "not_refunded", (Of.HELD, "not_refunded")),
            (Status.REFUND_DUE, "unknown_device", (Of.REFUND_DUE, "unknown_device")),
        ],
    )
    def test_of_money_in_no_account_is_what_it_waits_for(
        self, status: Status, reason: str | None, place: Key
    ) -> None:
        waits = payment(status=status, reason=reason)
        assert figures(waits)[place] == Sum(1, Fraction(1000))
        assert list(faults_of(waits)) == []

    def test_of_money_on_its_way_back_and_of_money_that_is_back_differ(self) -> None:
        going = payment(
            status=Status.REFUNDING, refunds=(refund(1000, RefundState.CALLING),), name="T1"
        )
        gone = payment(status=Status.REFUNDED, refunds=(refund(1000, RefundState.DONE),), name="T2")
        part = payment(
            status=Status.HELD,
            reason="partly_refunded",
            refunds=(refund(400, RefundState.DONE), refund(100, RefundState.VOID)),
        )
        found = figures(going, gone, part)
        assert found[(Of.REFUNDING,)] == Sum(1, Fraction(1000))
        assert found[(Of.REFUNDED,)] == Sum(2, Fraction(1400))
        assert found[(Of.HELD, "partly_refunded")] == Sum(1, Fraction(600))
        assert [*faults_of(going), *faults_of(gone), *faults_of(part)] == []

    def test_a_settled_payment_that_needs_a_person_is_told_too(self) -> None:
        found = figures(
            settled((LineKind.ENERGY, 500), status=Status.HELD, reason="vend_uncertain")
        )
        assert found[(Of.SETTLED_HELD, "vend_uncertain")] == Sum(1, Fraction(500))
        assert total(found, *PLACES) == total(found, Of.IN)

    @pytest.mark.parametrize("status", [Status.PENDING, Status.REFUSED, Status.EXPIRED])
    def test_what_has_not_moved_is_no_money(self, status: Status) -> None:
        asked = payment(status=status)
        assert not has_moved(asked)
        assert figures(asked) == {}
        assert list(faults_of(asked)) == []

    @pytest.mark.parametrize("reason", [UNCONFIRMED, PAID_OTHERWISE])
    def test_what_nobody_is_certain_of_is_told_apart(self, reason: str) -> None:
        found = figures(payment(status=Status.HELD, reason=reason))
        assert found == {(Of.CLAIMED, reason): Sum(1, Fraction(1000))}

    def test_what_its_provider_took_back_came_in_and_went(self) -> None:
        held = payment(status=Status.HELD, reason=REVERSED)
        over = payment(status=Status.EXPIRED, events=(Event(NOW, "held", reason=REVERSED),))
        assert figures(held)[(Of.HELD, REVERSED)] == Sum(1, Fraction(1000))
        assert figures(over)[(Of.TAKEN_BACK,)] == figures(over)[(Of.IN, "direct", "2026-03")]
        assert list(faults_of(over)) == []

    def test_a_vend_of_an_entry_is_no_money(self) -> None:
        vend = Vend(1, "SHS1", "openpaygo", VendKind.UNLOCK, VendState.DONE)
        token = Token(1, "SHS1", VendKind.UNLOCK, value="1")
        unlock = vending_for_entry("C1", 3, vend, token, "KES", NOW)
        assert figures(unlock) == {(Of.TOKEN, "openpaygo", "unlock"): Sum(1)}
        assert list(faults_of(unlock)) == []


class TestTokens:
    def test_are_counted_with_their_units_and_what_they_cost(self) -> None:
        energy = Vend(
            1,
            "47001",
            "calin",
            VendKind.ENERGY,
            VendState.DONE,
            units=Fraction("6.6"),
            cost_minor=Fraction(1999, 3),
        )
        time = Vend(
            2, "S", "openpaygo", VendKind.TIME, VendState.DONE, units=Fraction(7), money_minor=300
        )
        closed = replace(energy, number=3, state=VendState.VOID, closed=True)
        whole = settled(
            (LineKind.ENERGY, 700),
            (LineKind.TIME, 300),
            vends=(energy, time, closed),
            tokens=(Token(1, "47001", VendKind.ENERGY), Token(2, "S", VendKind.TIME)),
        )
        found = figures(whole)
        assert found[(Of.TOKEN, "calin", "energy")] == Sum(1, Fraction(1999, 3), Fraction("6.6"))
        assert found[(Of.TOKEN, "openpaygo", "time")] == Sum(1, Fraction(300), Fraction(7))
        assert carried(found).amount_minor == 700 - Fraction(1999, 3)
        assert list(faults_of(whole)) == []

    def test_that_no_vend_made_or_that_a_vend_lacks_are_named(self) -> None:
        done = Vend(1, "47001", "calin", VendKind.ENERGY, VendState.DONE)
        lacks = settled((LineKind.ENERGY, 500), vends=(done,))
        twice = replace(lacks, tokens=(Token(1, "47001", VendKind.ENERGY),) * 2)
        ref = lacks.payment_id
        assert list(faults_of(lacks)) == [Unaccounted(Fault.TOKENS, ref, 1, 0)]
        assert list(faults_of(twice)) == [Unaccounted(Fault.TOKENS, ref, 1, 2)]
        assert Unaccounted(Fault.TOKENS, ref, 1, 2).amount_minor == 0


class TestFaults:
    def test_a_line_that_was_changed_by_hand_says_how_much(self) -> None:
        right = settled((LineKind.APPLIANCE, 300), (LineKind.ENERGY, 700))
        wrong = replace(right, lines=(right.lines[0], replace(right.lines[1], amount_minor=699)))
        [fault] = faults_of(wrong)
        assert fault == Unaccounted(Fault.MONEY, right.payment_id, 1000, 999)
        assert fault.amount_minor == 1

    def test_an_amount_that_was_changed_by_hand_is_found_though_all_adds_up(self) -> None:
        wrong = replace(payment(status=Status.HELD, reason="stuck"), amount_minor=900)
        [fault] = faults_of(wrong)
        assert fault == Unaccounted(Fault.CLAIM, wrong.payment_id, None, 900)
        assert fault.amount_minor == 900

    def test_a_payment_that_is_said_to_be_done_and_is_nowhere_is_found(self) -> None:
        nowhere = payment(status=Status.COMPLETED)
        kept = payment(status=Status.REFUNDED, refunds=(refund(400, RefundState.DONE),))
        assert list(faults_of(nowhere)) == [Unaccounted(Fault.MONEY, nowhere.payment_id, 1000, 0)]
        assert list(faults_of(kept)) == [Unaccounted(Fault.MONEY, kept.payment_id, 1000, 400)]

    def test_money_that_never_came_and_went_somewhere_is_found(self) -> None:
        line = Line(LineKind.ENERGY, "47001", 1000)
        spent = payment(status=Status.PENDING, lines=(line,))
        assert list(faults_of(spent)) == [Unaccounted(Fault.MONEY, spent.payment_id, 0, 1000)]

    @pytest.mark.parametrize(
        "events",
        [(Event(NOW, "resolved_assign"),), (Event(NOW, "noted"),) * EVENTS_MAX],
    )
    def test_a_serial_that_a_person_assigned_is_no_fault(self, events: tuple[Event, ...]) -> None:
        assert list(faults_of(payment(serial_number="47002", events=events))) == []
        assert list(faults_of(payment(serial_number="47002"))) != []

    def test_payments_that_are_gone_are_missed_by_the_next_closing(self) -> None:
        first, second = payment(name="T1"), payment(500, "T2")
        cut = NOW + timedelta(hours=1)
        later = payment(70, "T3", received_at=cut)
        before = figures(first, second)
        assert list(missing(before, figures(first, second, later, seen_until=cut))) == []
        gone = figures(first, later, seen_until=cut)
        assert list(missing(before, gone)) == [
            Unaccounted(Fault.MISSING, "direct 2026-03, 1 gone", 1500, 1000)
        ]
        assert list(missing(before, {})) == [
            Unaccounted(Fault.MISSING, "direct 2026-03, 2 gone", 1500, 0)
        ]

    def test_only_money_that_waits_has_a_mark_and_every_payment_its_own(self) -> None:
        waits = payment(status=Status.REFUND_DUE, reason="no_plan")
        assert waiting_mark(waits) == waiting_mark(replace(waits, payment_id="copy"))
        others = (payment(name="T2"), replace(waits, channel="cash"))
        assert waiting_mark(waits) not in map(waiting_mark, others)
        taken = (Event(NOW, "held", reason=REVERSED),)
        done = Refund(1, 1000, RefundState.DONE)
        for still in (
            settled((LineKind.ENERGY, 500)),
            payment(status=Status.PENDING),
            payment(status=Status.EXPIRED, events=taken),
            payment(status=Status.REFUNDED, refunds=(done,)),
        ):
            assert waiting_mark(still) is None


class TestEntries:
    def test_add_what_they_posted(self) -> None:
        posting = Posting(
            "sold 3",
            3,
            lines=(Line(LineKind.CREDIT, "C1", -50), Line(LineKind.ACCESS_RATE, "47001", 20)),
            carries=(CarryChange("47001", Fraction(-1, 2)),),
            opened=(OpenedPlan("p-1", None, 1000, 100),),
        )
        found = dict(figures_of_entry("sold", posting))
        assert found == {
            (Of.CHANGE, "sold", "credit"): Sum(1, Fraction(-50)),
            (Of.CHANGE, "sold", "access_rate"): Sum(1, Fraction(20)),
            (Of.CARRY_CHANGE, "sold"): Sum(1, Fraction(-1, 2)),
            (Of.SOLD, "sold"): Sum(1, Fraction(900)),
        }
        with_credit = {**figures(settled((LineKind.CREDIT, 115))), **found}
        assert credit_in_hand(with_credit).amount_minor == 65
        assert carried(with_credit).amount_minor == Fraction(-1, 2)


# --- against a till that is counted shilling by shilling --------------------------------------


OUTCOMES = ("settle", "hold", "refund_due", "refund", "part", "refuse", "expire", "wait")


@st.composite
def lives(draw: st.DrawFn) -> tuple[int, str, str, int, int]:
    """A payment's amount, channel and outcome, a point at which it is split, and its day."""
    amount = draw(st.integers(1, 400))
    channel = draw(st.sampled_from(["direct", "cash", "paystack"]))
    split = draw(st.integers(0, amount))
    return amount, channel, draw(st.sampled_from(OUTCOMES)), split, draw(st.integers(0, 70))


def lived(number: int, life: tuple[int, str, str, int, int]) -> Payment:
    amount, channel, outcome, split, day = life
    at = NOW + timedelta(days=day)
    fresh = replace(payment(amount, f"T{number}"), channel=channel, received_at=at)
    lines = (
        Line(LineKind.APPLIANCE, "p-1", split),
        Line(LineKind.ENERGY, "47001", amount - split + 7),
        Line(LineKind.CREDIT, "C1", -7),
    )
    done = Refund(1, amount, RefundState.DONE)
    made: dict[str, object] = {
        "settle": {"status": Status.COMPLETED, "lines": lines, "account_versions": (1,)},
        "hold": {"status": Status.HELD, "reason": "stuck"},
        "refund_due": {"status": Status.REFUND_DUE, "reason": "no_plan"},
        "refund": {"status": Status.REFUNDED, "refunds": (done,)},
        "part": {
            "status": Status.HELD,
            "reason": "partly_refunded",
            "refunds": (replace(done, amount_minor=split),) if split else (),
        },
        "refuse": {"status": Status.REFUSED},
        "expire": {"status": Status.EXPIRED},
        "wait": {"status": Status.RECEIVED},
    }
    return replace(fresh, **made[outcome])  # type: ignore[arg-type]


def counted(all_lives: Sequence[tuple[int, str, str, int, int]]) -> Counter[str]:
    """Where each shilling lies, put there one by one."""
    tills: Counter[str] = Counter()
    for amount, channel, outcome, split, _ in all_lives:
        for shilling in range(amount):
            if outcome in ("refuse", "expire"):
                continue
            tills[f"in {channel}"] += 1
            if outcome == "settle":
                tills["appliance" if shilling < split else "energy"] += 1
            elif outcome == "part":
                tills["refunded" if shilling < split else "held"] += 1
            else:
                tills[{"hold": "held", "refund": "refunded"}.get(outcome, outcome)] += 1
        if outcome == "settle":
            tills["energy"] += 7
            tills["credit"] -= 7
    return tills


@given(st.lists(lives(), max_size=12), st.lists(lives(), max_size=12))
def test_the_figures_are_what_the_tills_hold_and_periods_add_up(
    first: list[tuple[int, str, str, int, int]], second: list[tuple[int, str, str, int, int]]
) -> None:
    early = [lived(number, life) for number, life in enumerate(first)]
    late = [lived(100 + number, life) for number, life in enumerate(second)]
    opening, closing = figures(*early), figures(*early, *late)
    tills = counted([*first, *second])

    assert not [fault for each in (*early, *late) for fault in faults_of(each)]
    channels = {channel: int(s.amount_minor) for channel, s in told_apart(closing, Of.IN).items()}
    assert channels == {
        channel: tills[f"in {channel}"]
        for channel in ("cash", "direct", "paystack")
        if tills[f"in {channel}"]
    }
    for place, till in [(Of.HELD, "held"), (Of.REFUNDED, "refunded"), (Of.WAITING, "wait")]:
        assert total(closing, place).amount_minor == tills[till]
    assert total(closing, Of.REFUND_DUE).amount_minor == tills["refund_due"]
    for kind in ("appliance", "energy", "credit"):
        assert total(closing, Of.SETTLED, by=kind).amount_minor == tills[kind]
    assert total(closing, *PLACES).amount_minor == total(closing, Of.IN).amount_minor

    moved = between(opening, closing)
    assert total(moved, Of.IN) == total(figures(*late), Of.IN)
    assert total(opening, *PLACES) + total(moved, *PLACES) == total(closing, *PLACES)


@given(st.lists(lives(), min_size=1, max_size=8), st.data())
def test_whatever_line_is_altered_is_named_with_its_sum(
    all_lives: list[tuple[int, str, str, int, int]], data: st.DataObject
) -> None:
    payments = [lived(number, life) for number, life in enumerate(all_lives)]
    with_lines = [each for each in payments if each.lines]
    if not with_lines:
        return
    victim = data.draw(st.sampled_from(with_lines))
    by = data.draw(st.integers(-50, 50).filter(bool))
    line = replace(victim.lines[0], amount_minor=victim.lines[0].amount_minor + by)
    altered = replace(victim, lines=(line, *victim.lines[1:]))
    found = [f for p in payments for f in faults_of(altered if p is victim else p)]
    amount = victim.amount_minor
    assert found == [Unaccounted(Fault.MONEY, victim.payment_id, amount, amount + by)]
