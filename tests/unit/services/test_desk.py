"""The desk hands on what channels ask for, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.domain.errors import Refusal
from chalicelib.domain.payment import Claim
from chalicelib.services.desk import Desk
from chalicelib.services.ports import Paid, RefundTaken, SecretMissing, Settings

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
CLAIM = Claim("direct", "direct.demo", "r-1", "r-1", "47001", 1000_00, "KES")
SETTINGS = Settings(company="Jua")
JOURNAL: Any = object()
SECRETS = {"channels/direct": {"partners": {}}}


PAID = Paid("RCPT1", 1000_00, "KES")


class Answers:
    """Answers each question with its own words; notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def question(self, claim: Claim) -> Refusal:
        assert claim is CLAIM
        return Refusal.TOO_SMALL

    def accept(self, claim: Claim, *, money_moved: bool) -> tuple[str, bool]:
        assert claim is CLAIM
        return "accepted", money_moved

    def quote(self, claim: Claim) -> Refusal:
        assert claim is CLAIM
        return Refusal.NO_PLAN

    def start(self, claim: Claim) -> Refusal:
        assert claim is CLAIM
        return Refusal.NOTHING_TO_PAY

    def not_started(self, payment: Any, reason: str) -> None:
        self.told.append(("not started", payment, reason))

    def paid(self, payment_id: str, paid: Paid) -> str:
        assert paid is PAID
        return f"paid {payment_id}"

    def get(self, payment_id: str) -> str:
        return f"payment {payment_id}"

    def settings(self) -> Settings:
        return SETTINGS

    def now(self) -> datetime:
        return NOW


def secrets(name: str) -> dict[str, Any]:
    if name not in SECRETS:
        raise SecretMissing(name)
    return SECRETS[name]


class GivesBack:
    """Takes news of refunds."""

    def __init__(self, told: list[tuple[Any, ...]]) -> None:
        self._told = told

    def told(self, payment_id: str, amount_minor: int, told: Any) -> None:
        self._told.append(("refund", payment_id, amount_minor, told))


@pytest.fixture
def answers() -> Answers:
    """Who is behind the desk."""
    return Answers()


@pytest.fixture
def desk(answers: Any) -> Desk:
    """The desk in front of them."""
    give_back: Any = GivesBack(answers.told)
    return Desk(
        accept=answers,
        collect=answers,
        give_back=give_back,
        payments=answers,
        catalogue=answers,
        secrets=secrets,
        clock=answers,
        journal=JOURNAL,
    )


def test_questions_and_quotes_are_answered_by_whoever_accepts(desk: Desk) -> None:
    assert desk.question(CLAIM) is Refusal.TOO_SMALL
    assert desk.quote(CLAIM) is Refusal.NO_PLAN


@pytest.mark.parametrize("money_moved", [True, False])
def test_whether_money_has_moved_is_handed_on(desk: Desk, money_moved: bool) -> None:
    answer: Any = desk.accept(CLAIM, money_moved=money_moved)
    assert answer == ("accepted", money_moved)


def test_checkouts_are_started_by_whoever_accepts_and_followed_by_whoever_collects(
    desk: Desk, answers: Answers
) -> None:
    assert desk.start(CLAIM) is Refusal.NOTHING_TO_PAY
    payment: Any = object()
    desk.not_started(payment, "provider_refused")
    assert answers.told == [("not started", payment, "provider_refused")]
    answer: Any = desk.paid("paystack-T1", PAID)
    assert answer == "paid paystack-T1"


@pytest.mark.parametrize("news", [RefundTaken("R1", done=True), "failed"])
def test_news_of_a_refund_is_handed_to_whoever_gives_back(
    desk: Desk, answers: Answers, news: Any
) -> None:
    desk.refund_told("paystack-T1", 500_00, news)
    assert answers.told == [("refund", "paystack-T1", 500_00, news)]


def test_a_payment_is_read_by_its_id(desk: Desk) -> None:
    answer: Any = desk.payment("direct.demo-r-1")
    assert answer == "payment direct.demo-r-1"


def test_a_channel_reads_its_secret_and_learns_when_there_is_none(desk: Desk) -> None:
    assert desk.secret("channels/direct") == {"partners": {}}
    with pytest.raises(SecretMissing):
        desk.secret("channels/none")


def test_settings_time_and_journal_are_the_systems_own(desk: Desk) -> None:
    assert desk.settings() is SETTINGS
    assert desk.now() == NOW
    assert desk.journal is JOURNAL
