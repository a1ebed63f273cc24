"""Whatever is paid, assigned, credited and given back, in any order: not a shilling is lost.

One customer with a meter and a TV on a plan. Manufacturer and provider do, refuse, or leave
everybody in the dark; a person decides, but never says what is not true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import FINAL, Payment, RefundState, Status, open_refund
from chalicelib.services.ports import RecoveryClass, RefundTaken
from chalicelib.wiring import Wiring
from tests.integration.company import TODAY, Company, claim, kes, plan
from tests.integration.services.conftest import ACTOR, Counter, Processes, differences
from tests.integration.services.fake_provider import (
    CHANNEL,
    ON_CHANNEL,
    FakeProvider,
    FakeProviders,
    ask_all,
    refusing,
    unclear,
)
from tests.integration.vendor import FakeCalin

SAID: dict[str, Any] = {"actor": ACTOR, "reason": "decided"}
GONE = {RefundState.ACCEPTED, RefundState.DONE}
NUMBERS = count(1)

paying = st.tuples(
    st.just("pay"), st.integers(1, 900), st.sampled_from(["known", "unknown", "refused", "unclear"])
)
giving_back = st.tuples(
    st.just("refund"),
    st.integers(0, 4),
    st.tuples(
        st.one_of(st.none(), st.integers(1, 900)),
        st.sampled_from(["take", "take_at_once", "take_unseen", "refusing", "unclear"]),
    ),
)
deciding = st.tuples(
    st.sampled_from(["credit", "assign", "retry", "not_issued", "refunded", "arrived"]),
    st.integers(0, 4),
    st.none(),
)
steps = st.lists(st.one_of(paying, paying, giving_back, giving_back, deciding), max_size=12)


@pytest.fixture
def provider() -> FakeProvider:
    """A provider that cannot be searched, so that persons have much to decide."""
    return FakeProvider(RecoveryClass.OPAQUE)


@pytest.fixture
def wiring(process: Processes, provider: FakeProvider) -> Wiring:
    """A process whose provider is the fake."""
    return process(providers=FakeProviders(provider))


class Life:
    """One customer's payments, and what is done about them."""

    def __init__(
        self, company: Company, counter: Counter, provider: FakeProvider, calin: FakeCalin
    ) -> None:
        self.number = next(NUMBERS)
        self.counter, self.provider, self.calin = counter, provider, calin
        self.meter = f"47{self.number:04}"
        self.tv = plan(f"p-{self.number}", 1000, first_due=TODAY.replace(day=1))
        self.customer_id = company.customer(
            company.meter(self.meter), plans=(self.tv,), phone=f"+2547{self.number:08}"
        )
        self.ids: list[str] = []
        self.paid_minor = 0

    def live(self, step: str, what: int, how: Any) -> None:
        """One step; what is not possible now is refused, and must change nothing."""
        if step != "pay":
            if what >= len(self.ids):
                return
            self._unless_impossible(self.ids[what], getattr(self, f"_{step}"), how)
        else:
            self._pay(what, how)
        self.counter.let_delays_pass()
        ask_all(self.counter)
        self.counter.run_dry()

    def _unless_impossible(self, payment_id: str, act: Callable[..., None], how: Any) -> None:
        before = self.counter.now(payment_id)
        try:
            act(before, how)
        except MwangaError:
            assert self.counter.now(payment_id) == before

    def _pay(self, amount: int, how: str) -> None:
        serial_number = "NOBODYS" if how == "unknown" else self.meter
        if how == "refused":
            self.calin.behaviours = [lambda r: (200, {"result_code": 3, "reason": "no"})]
        if how == "unclear":
            self.calin.behaviours = [lambda r: (500, {})]
        told = claim(serial_number, amount, f"{self.number}.{len(self.ids)}", **ON_CHANNEL)
        self.paid_minor += kes(amount)
        self.ids.append(self.counter.pay(told).payment_id)
        self.calin.behaviours = []
        self.counter.let_delays_pass()
        self.counter.cloud.take("provider-calls")

    def _refund(self, payment: Payment, how: tuple[int | None, str]) -> None:
        amount, behaviour = how
        told = {"refusing": refusing, "unclear": unclear}
        self.provider.behaviours = [told.get(behaviour) or getattr(self.provider, behaviour)]
        amount_minor = None if amount is None else kes(amount)
        self.counter.wiring.give_back.refund(payment.payment_id, amount_minor=amount_minor, **SAID)

    def _credit(self, payment: Payment, _: None) -> None:
        self.counter.wiring.resolve.resolve_credit(payment.payment_id, **SAID)

    def _assign(self, payment: Payment, _: None) -> None:
        self.counter.wiring.resolve.resolve_assign(
            payment.payment_id, serial_number=self.meter, **SAID
        )

    def _retry(self, payment: Payment, _: None) -> None:
        if not self._was_taken(payment):
            self.counter.wiring.resolve.retry(payment.payment_id, not_issued=True, **SAID)

    def _not_issued(self, payment: Payment, _: None) -> None:
        if not self._was_taken(payment):
            self.counter.wiring.resolve.resolve_not_issued(payment.payment_id, **SAID)

    def _refunded(self, payment: Payment, _: None) -> None:
        if self._was_taken(payment):
            self.counter.wiring.resolve.resolve_refunded(payment.payment_id, **SAID)

    def _arrived(self, payment: Payment, _: None) -> None:
        refund = open_refund(payment)
        if refund is not None and self._was_taken(payment):
            told = RefundTaken(done=True)
            self.counter.wiring.give_back.told(payment.payment_id, refund.amount_minor, told)

    def _was_taken(self, payment: Payment) -> bool:
        """Whether the provider's console shows the refund that is open."""
        refund = open_refund(payment)
        return refund is not None and (
            f"{payment.payment_id}.{refund.number}" in self.provider.taken
        )

    def payments(self) -> Iterator[Payment]:
        """All that was paid, as it stands."""
        return map(self.counter.now, self.ids)


@pytest.mark.slow
@settings(max_examples=25)
@given(steps=steps)
def test_what_was_paid_is_what_was_split_and_what_went_back(
    company: Company,
    counter: Counter,
    provider: FakeProvider,
    calin: FakeCalin,
    steps: list[tuple[str, int, Any]],
) -> None:
    life = Life(company, counter, provider, calin)
    given_before = sum(provider.given_minor)
    for step in steps:
        life.live(*step)

    payments = list(life.payments())
    split_minor = sum(line.amount_minor for p in payments for line in p.lines)
    waiting_minor = sum(p.kept_minor for p in payments if p.settled_at is None)
    refunded_minor = sum(p.refunded_minor for p in payments)
    assert split_minor + waiting_minor + refunded_minor == life.paid_minor
    for payment in payments:
        assert 0 <= payment.refunded_minor <= payment.amount_minor
        if payment.settled_at is not None:
            lines_minor = sum(line.amount_minor for line in payment.lines)
            assert lines_minor == payment.kept_minor
        assert (payment.check_at is None) == (payment.status in FINAL)

    sure_minor = sum(r.amount_minor for p in payments for r in p.refunds if r.state in GONE)
    gone_minor = sum(provider.given_minor) - given_before
    assert sure_minor <= gone_minor <= refunded_minor, "what went back was taken off first"
    assert len(provider.taken) == len(provider.given_minor), "no refund was given twice"
    assert counter.account(life.customer_id).credit_minor >= 0
    assert differences(counter, life.customer_id, life.tv) == []


def test_the_steps_of_the_property_lead_where_they_should(
    company: Company, counter: Counter, provider: FakeProvider, calin: FakeCalin
) -> None:
    """Or the property would hold because nothing happens."""
    life = Life(company, counter, provider, calin)
    for step in [
        ("pay", 500, "unclear"),
        ("pay", 400, "unknown"),
        ("pay", 300, "known"),
        ("pay", 200, "refused"),
        ("refund", 0, (50, "take_at_once")),
        ("refund", 1, (100, "take_unseen")),
        ("refunded", 1, None),
        ("assign", 1, None),
        ("credit", 3, None),
    ]:
        life.live(*step)
    assert [(p.status, p.refunded_minor) for p in life.payments()] == [
        (Status.REFUNDED, kes(50)),
        (Status.REFUNDED, kes(100)),
        (Status.COMPLETED, 0),
        (Status.COMPLETED, 0),
    ]
    with suppress(MwangaError):
        life.live("refund", 2, (None, "take"))
    assert len(provider.given_minor) == 2
    assert {p.channel for p in life.payments()} == {CHANNEL}
