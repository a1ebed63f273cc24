"""What is told of a payment: a line per step, from where to where, and nothing it must not say."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.payment import (
    Payment,
    Refund,
    RefundState,
    Status,
    Token,
    Vend,
    VendState,
)
from chalicelib.services.accept import count_money_in
from chalicelib.services.ports import OutcomeUnknown
from chalicelib.services.told_payments import ToldPayments, tell_steps

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
VEND = Vend(1, "47001", "calin", VendKind.ENERGY, VendState.INTENDED)


class Journal:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.counted: list[tuple[str, dict[str, str]]] = []
        self._values: list[tuple[str, float]] = []

    def event(self, what: str, **fields: Any) -> None:
        self.told.append((what, fields))

    def count(self, metric: str, value: float = 1, **dimensions: str) -> None:
        self.counted.append((metric, dimensions))
        self._values.append((metric, value))

    def values(self, metric: str) -> list[float]:
        return [value for name, value in self._values if name == metric]

    def gauge(self, metric: str, value: float, **dimensions: str) -> None:
        raise NotImplementedError

    def bind(self, **fields: Any) -> None:
        raise NotImplementedError

    @contextmanager
    def about(self, **fields: Any) -> Any:
        raise NotImplementedError

    @property
    def names(self) -> list[str]:
        return [what for what, _ in self.told]


def payment(status: Status = Status.RECEIVED, **changes: Any) -> Payment:
    return replace(
        Payment("p-1", "direct", "r", "47001", 500, "KES", "h", NOW, NOW, status), **changes
    )


def told(before: Payment | None, after: Payment) -> Journal:
    journal = Journal()
    tell_steps(journal, replace(after, stored=before))
    return journal


def test_a_new_payment_comes_from_nothing() -> None:
    ((what, fields),) = told(None, payment(customer_id="C1")).told
    assert what == "payment_received"
    assert (fields["from_status"], fields["to_status"]) == (None, "received")
    assert (fields["payment_id"], fields["channel"], fields["customer_id"]) == (
        *("p-1", "direct", "C1"),
    )


def test_a_write_that_changes_no_state_is_not_told() -> None:
    again = payment(sweeps=3, revision=9)
    assert told(payment(), again).told == []


def test_a_payment_that_is_held_for_another_reason_is_told_and_counted_again() -> None:
    before = payment(Status.HELD, reason="vend_uncertain")
    assert told(before, before).counted == []
    other = told(before, payment(Status.HELD, reason="stuck"))
    assert other.names == ["payment_held"]
    assert other.counted == [("Held", {"reason": "stuck"})]
    assert told(payment(), payment(Status.HELD)).counted == [("Held", {"reason": ""})]


def test_the_account_s_version_that_it_made_is_in_the_line() -> None:
    ((_, fields),) = told(payment(), payment(Status.COMPLETED, account_versions=(4, 7))).told
    assert fields["account_version"] == 7


def test_each_vend_and_refund_that_took_a_step_has_a_line_and_no_other() -> None:
    refund = Refund(1, 100)
    before = payment(Status.VENDING, vends=(VEND, replace(VEND, number=2)), refunds=(refund,))
    after = replace(
        before,
        vends=(replace(VEND, state=VendState.DONE, attempts=1), replace(VEND, number=2)),
        refunds=(replace(refund, state=RefundState.CALLING, attempts=1), Refund(2, 50)),
    )
    journal = told(before, after)
    assert journal.names == ["vend_done", "refund_calling", "refund_intended"]
    _, fields = journal.told[0]
    assert (fields["vend"], fields["from_state"], fields["to_state"]) == (1, "intended", "done")
    assert told(after, after).told == []


def test_a_vend_that_is_looked_up_once_more_is_told() -> None:
    doubted = replace(VEND, state=VendState.UNCERTAIN, attempts=1)
    before = payment(Status.VENDING, vends=(doubted,))
    after = payment(Status.VENDING, vends=(replace(doubted, looks=1),))
    assert told(before, after).names == ["vend_uncertain"]


@given(st.text(min_size=4), st.text(min_size=4), st.sampled_from(list(Status)))
def test_no_token_and_no_phone_is_ever_handed_to_the_journal(
    token: str, phone: str, status: Status
) -> None:
    token, phone = f"<{token}>", f"[{phone}]"
    tokens = (Token(1, "47001", VendKind.ENERGY, None, token, (token,)),)
    after = payment(status, tokens=tokens, payer_phone=phone, vends=(VEND,))
    said = repr(told(None, after).told)
    assert token not in said
    assert phone not in said


@pytest.mark.parametrize(
    ("currency", "amounts"), [("KES", [5.0]), ("UGX", [500.0]), ("no currency", [])]
)
def test_money_that_came_in_is_counted_in_major_units(currency: str, amounts: list[float]) -> None:
    """Money of an unknown currency is held; nobody can say how much it is."""
    journal = Journal()
    count_money_in(journal, payment(currency=currency))
    assert journal.values("Accepted") == [1]
    assert journal.values("AcceptedAmount") == amounts


class Store:
    """Writes as the real one does; ``failing`` makes the answer to every write get lost."""

    def __init__(self, failing: bool = False) -> None:
        self.failing = failing

    def _written(self, payment: Payment) -> Payment:
        if self.failing:
            raise OutcomeUnknown
        return replace(payment, revision=payment.revision + 1)

    def create(self, payment: Payment) -> None:
        self._written(payment)

    def save(self, payment: Payment) -> Payment:
        return self._written(payment)

    def settle(self, payment: Payment, account: object, ended_plans: object) -> Payment:
        return self._written(payment)

    def receive(self, payment: Payment, guard: object, twin: Payment | None = None) -> Payment:
        return self._written(payment)


WRITES = {
    "create": lambda payments, p: payments.create(p),
    "save": lambda payments, p: payments.save(p),
    "settle": lambda payments, p: payments.settle(p, Account("C1"), ()),
    "receive": lambda payments, p: payments.receive(p, ("g", "p-1")),
}


@pytest.mark.parametrize("write", sorted(WRITES))
def test_every_way_to_write_a_payment_tells_its_step(write: str) -> None:
    journal = Journal()
    WRITES[write](ToldPayments(Store(), journal), payment())  # type: ignore[arg-type]
    assert journal.names == ["payment_received"]


@pytest.mark.parametrize("write", sorted(WRITES))
def test_a_write_of_which_nobody_knows_is_said_to_be_one(write: str) -> None:
    journal = Journal()
    with pytest.raises(OutcomeUnknown):
        WRITES[write](ToldPayments(Store(failing=True), journal), payment())  # type: ignore[arg-type]
    assert journal.told == [
        ("payment_write_unknown", {"payment_id": "p-1", "to_status": "received"})
    ]


def test_whoever_goes_on_with_what_was_written_goes_on_from_there() -> None:
    journal = Journal()
    payments = ToldPayments(Store(), journal)  # type: ignore[arg-type]
    written = payments.save(payment())
    payments.save(replace(written, status=Status.COMPLETED))
    steps = [(f["from_status"], f["to_status"]) for _, f in journal.told]
    assert steps == [(None, "received"), ("received", "completed")]


def test_a_payment_and_its_twin_each_have_a_line() -> None:
    journal = Journal()
    twin = payment(Status.EXPIRED, payment_id="p-2")
    ToldPayments(Store(), journal).receive(payment(), ("g", "p-1"), twin)  # type: ignore[arg-type]
    assert [fields["payment_id"] for _, fields in journal.told] == ["p-2", "p-1"]
