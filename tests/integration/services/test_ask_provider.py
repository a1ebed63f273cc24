"""Asking a provider: a message only names a payment; what is done follows from how it stands."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.domain.payment import Payment, Status
from chalicelib.services.ports import Paid, VersionConflict
from chalicelib.services.refund import GiveBack
from chalicelib.wiring import Wiring
from tests.integration.company import METER, Company, claim, kes
from tests.integration.services.conftest import Counter, Diary, Processes
from tests.integration.services.fake_provider import (
    CHANNEL,
    ON_CHANNEL,
    FakeProvider,
    FakeProviders,
    ask_all,
)
from tests.integration.services.interruptions import Interrupted

PAYMENT_ID = f"{CHANNEL}-T1"
A_MINUTE = timedelta(minutes=1)


@pytest.fixture
def provider() -> FakeProvider:
    """A provider that can be searched."""
    return FakeProvider()


@pytest.fixture
def wiring(process: Processes, provider: FakeProvider) -> Wiring:
    """A process whose provider is the fake."""
    return process(providers=FakeProviders(provider))


def work(wiring: Wiring, payment_id: str = PAYMENT_ID) -> Payment | None:
    return wiring.ask_provider.work(payment_id, wiring.clock.now() + A_MINUTE)


def test_a_message_about_a_payment_that_does_not_exist_ends(wiring: Wiring, diary: Diary) -> None:
    assert work(wiring) is None
    assert diary.said("payment_missing") == [{"payment_id": PAYMENT_ID}]


def test_a_checkout_that_waits_for_its_payer_is_verified(
    company: Company, counter: Counter, wiring: Wiring, provider: FakeProvider
) -> None:
    company.customer(company.meter())
    wiring.accept.start(claim(METER, 500, **ON_CHANNEL))
    provider.paid = Paid("RCPT1", kes(500), "KES")
    work(wiring)
    assert counter.now(PAYMENT_ID).status is Status.RECEIVED
    assert provider.calls == []


def test_money_that_is_due_to_go_back_is_asked_for(
    company: Company, counter: Counter, wiring: Wiring, provider: FakeProvider
) -> None:
    counter.pay(claim("47999", 500, **ON_CHANNEL))
    wiring.give_back.refund(PAYMENT_ID, actor="ops", reason="theirs")
    assert ask_all(counter) == 1
    assert provider.given_minor == [kes(500)]


def test_of_a_payment_that_is_settled_nothing_is_asked(
    company: Company, counter: Counter, wiring: Wiring, provider: FakeProvider
) -> None:
    company.customer(company.meter())
    before = counter.pay(claim(METER, 500, **ON_CHANNEL))
    assert work(wiring) == before
    assert (counter.now(PAYMENT_ID), provider.calls, provider.looks) == (before, [], 0)


def test_of_a_channel_whose_provider_cannot_be_asked_nothing_is_asked(
    company: Company, counter: Counter, wiring: Wiring
) -> None:
    before = counter.pay(claim("47999", 500))
    assert work(wiring, before.payment_id) == before
    assert counter.now(before.payment_id) == before


def test_a_message_whose_payment_is_being_changed_comes_back(
    company: Company, counter: Counter, wiring: Wiring, process: Processes, provider: FakeProvider
) -> None:
    counter.pay(claim("47999", 500, **ON_CHANNEL))
    give_back: GiveBack = wiring.give_back
    give_back.refund(PAYMENT_ID, actor="ops", reason="theirs")
    meanwhile = Interrupted(wiring.payments, save=[lambda: ask_all(counter)])
    slower = process(payments=meanwhile, providers=FakeProviders(provider))
    with pytest.raises(VersionConflict):
        work(slower)
    assert provider.given_minor == [kes(500)]
