"""Accept a payment: judge the claim, store it once, queue it. Also answers questions and quotes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from zoneinfo import ZoneInfo

from chalicelib.domain.account import Account, Kind
from chalicelib.domain.allocation import Allocation, Rules, VendKind, VendRules, allocate
from chalicelib.domain.errors import MwangaError, Refusal
from chalicelib.domain.judge import device_refusal, refusal_before_money
from chalicelib.domain.moment import moment_of
from chalicelib.domain.payment import (
    Claim,
    Payment,
    Status,
    accepted,
    after_refusal,
    is_unconfirmed,
    messages_due,
    released,
    reserved,
    started,
    unconfirmed,
)
from chalicelib.services.currencies import currency_of
from chalicelib.services.plan_ids import customer_of_plan
from chalicelib.services.ports import (
    Accounts,
    AlreadyThere,
    Catalogue,
    Clock,
    Customers,
    Device,
    Devices,
    Journal,
    Manufacturers,
    Paid,
    PauseKind,
    Payments,
    Queues,
    QueueUnavailable,
    Settings,
    SettingsStore,
    VersionConflict,
)
from chalicelib.services.told_payments import tell_steps

WRITES_MAX = 5
CONFLICT_LENGTH_MAX = 80


class ReferenceConflict(MwangaError):
    """The same id was used before with another serial, amount or currency. Nothing is credited."""

    code = "reference_conflict"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of a claim: the payment as it stands, and whether it was known before."""

    payment: Payment
    repeated: bool = False

    @property
    def refusal(self) -> Refusal | None:
        """Why it was refused, if it was."""
        if self.payment.status is Status.REFUSED and self.payment.reason:
            return Refusal(self.payment.reason)
        return None


@dataclass(frozen=True, slots=True)
class Quote:
    """What a payment would do if it came now. Nothing is stored."""

    serial_number: str
    amount_minor: int
    currency: str
    customer_name: str
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class _Judgement:
    refusal: Refusal | None
    device: Device | None
    account: Account | None = None
    allocation: Allocation | None = None

    @property
    def customer_id(self) -> str | None:
        """Whose account the payment is for."""
        if self.device is not None:
            return self.device.customer_id
        return self.account.customer_id if self.account else None


class Accept:
    """Judges and stores what providers report. Never waits for a queue or a manufacturer."""

    def __init__(
        self,
        *,
        payments: Payments,
        accounts: Accounts,
        devices: Devices,
        customers: Customers,
        catalogue: Catalogue,
        settings_store: SettingsStore,
        manufacturers: Manufacturers,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._payments = payments
        self._accounts = accounts
        self._devices = devices
        self._customers = customers
        self._catalogue = catalogue
        self._settings_store = settings_store
        self._manufacturers = manufacturers
        self._queues = queues
        self._clock = clock
        self._journal = journal

    def question(self, claim: Claim) -> Refusal | None:
        """Would this payment be refused? Asked before money moves.

        A no is recorded as a refused payment, so that support can find it; a yes writes nothing.
        """
        judgement = self._judge(claim, before_money=True)
        if judgement.refusal is None:
            return None
        try:
            self._store(self._new_payment(claim, judgement))
        except ReferenceConflict:
            self._journal.event("question_after_payment", channel=claim.channel)
        return judgement.refusal

    def judged(self, claim: Claim) -> Payment:
        """The payment that this claim would be, received or refused. Nothing is stored."""
        return self._new_payment(claim, self._judge(claim, before_money=True))

    def stored(self, payment: Payment) -> Accepted:
        """A new payment that was stored with something else: it is noted, and queued."""
        tell_steps(self._journal, payment)
        self._note(payment)
        self._queue(Accepted(payment))
        return Accepted(payment)

    def repeated(self, existing: Payment, payment: Payment) -> Accepted:
        """What becomes of a payment whose id is taken by one that was not refused.

        Raises:
            ReferenceConflict: by another claim; recorded once.
        """
        outcome = self._repeated(existing, payment)
        self._queue(outcome)
        return outcome

    def accept(self, claim: Claim, *, money_moved: bool) -> Accepted:
        """Store the payment once, and queue it.

        Where no money has moved yet (``money_moved`` false) a payment that would be refused is
        stored as refused. Where it has, it is stored whatever the serial: settlement decides.

        Raises:
            ReferenceConflict: the id is taken by another claim; recorded once.
            TryAgain, OutcomeUnknown: not stored, or not known to be: the caller sends it again.
        """
        judgement = self._judge(claim, before_money=not money_moved)
        if money_moved:
            judgement = replace(judgement, refusal=None)
        payment = self._new_payment(claim, judgement)
        if money_moved and waits_for_proof(self._catalogue.settings(), claim.amount_minor, claim):
            payment = unconfirmed(payment, self._clock.now())
        outcome = self._store(payment, proven=claim.proven)
        if money_moved and _follows_refusal(outcome):
            self._journal.event("accepted_after_refusal", payment_id=outcome.payment.payment_id)
            self._journal.count("AcceptedAfterRefusal", channel=claim.channel)
        self._queue(outcome)
        return outcome

    def reserve(self, claim: Claim) -> Accepted:
        """Store money that a provider has reserved for us; a worker tells it our yes or no.

        Until the provider has taken that, the payment is ``pending``, with the reason of a no.

        Raises:
            ReferenceConflict: the id is taken by another claim; recorded once.
            TryAgain, OutcomeUnknown: not stored, or not known to be: the caller sends it again.
        """
        judgement = self._judge(claim, before_money=True)
        payment = self._reserved(claim, judgement)
        self._journal.bind(payment_id=payment.payment_id)
        self._settings_store.fix_money()
        try:
            self._payments.create(payment)
        except AlreadyThere as taken:
            outcome = self._repeated(taken.existing, payment)
        else:
            outcome = Accepted(payment)
            self._journal.count("Reserved", channel=payment.channel)
        self._queue(outcome)
        return outcome

    def start(self, claim: Claim) -> Payment | Refusal:
        """Check a payment that we are to start; store it as ``pending`` before anybody is asked.

        A refusal is not stored: nobody but the caller knows of it, and the caller is told.

        Raises:
            ReferenceConflict: the id is taken.
            TryAgain, OutcomeUnknown: not stored, or not known to be: start nothing.
        """
        judgement = self._judge(claim, before_money=True)
        if judgement.refusal is not None:
            self._journal.count("Refused", channel=claim.channel, reason=judgement.refusal.value)
            return judgement.refusal
        now = self._clock.now()
        payment = started(
            claim,
            moment=now,
            received_at=now,
            customer_id=judgement.customer_id,
        )
        self._journal.bind(payment_id=payment.payment_id)
        self._settings_store.fix_money()
        try:
            self._payments.create(payment)
        except AlreadyThere as taken:
            raise ReferenceConflict("this reference was used before") from taken
        self._journal.count("Started", channel=payment.channel)
        return replace(payment, stored=payment)  # the caller goes on with it

    def quote(self, claim: Claim) -> Quote | Refusal:
        """The split and the tokens that the payment would bring now, or why it is refused."""
        judgement = self._judge(claim, before_money=True)
        if judgement.refusal is not None:
            return judgement.refusal
        assert judgement.account and judgement.allocation  # noqa: S101 - what is not refused has both
        customer = self._customers.get(judgement.account.customer_id)
        return Quote(
            serial_number=claim.serial_number,
            amount_minor=claim.amount_minor,
            currency=claim.currency,
            customer_name=masked_name(customer.name, customer.surname) if customer else "",
            allocation=judgement.allocation,
        )

    # --- judging ----------------------------------------------------------------------------

    def _judge(self, claim: Claim, *, before_money: bool) -> _Judgement:
        if before_money and self._catalogue.pauses().of(PauseKind.CHANNEL, claim.channel):
            return _Judgement(Refusal.PAUSED, None)
        settings = self._catalogue.settings()
        if not 0 < claim.amount_minor <= settings.maximum_amount_minor and before_money:
            return _Judgement(Refusal.INVALID_AMOUNT, None)
        if claim.currency != settings.currency and before_money:
            return _Judgement(Refusal.WRONG_CURRENCY, None)
        if claim.plan_id is not None:
            return self._judge_plan(claim, claim.plan_id, settings)
        device = self._devices.get(claim.serial_number)
        if device is None:
            return _Judgement(Refusal.UNKNOWN_DEVICE, None)
        if device.customer_id is None:
            return _Judgement(Refusal.DEVICE_UNASSIGNED, device)
        if not before_money:
            return _Judgement(None, device)
        return self._judge_account(claim, device, device.customer_id, settings)

    def _judge_account(
        self, claim: Claim, device: Device, customer_id: str, settings: Settings
    ) -> _Judgement:
        account = self._accounts.get(customer_id)
        if account is None:
            return _Judgement(Refusal.DEVICE_UNASSIGNED, device)
        refusal = device_refusal(account, device.serial_number)
        if refusal is not None:
            return _Judgement(refusal, device, account)
        allocation = allocate(
            account,
            device.serial_number,
            claim.amount_minor,
            moment_of(claim.paid_at, self._clock.now(), settings.late_payment_hours),
            self._catalogue.tariffs(tariff_ids_of(account)),
            rules_of(settings),
            vend_rules_of(self._manufacturers, device),
            claim.plan_id,
        )
        return _Judgement(refusal_before_money(allocation), device, account, allocation)

    def _judge_plan(self, claim: Claim, plan_id: str, settings: Settings) -> _Judgement:
        """A payment for an appliance's plan: no device is looked at. One that has ended takes
        nothing."""
        customer_id = customer_of_plan(plan_id)
        account = self._accounts.get(customer_id) if customer_id else None
        if account is None or account.plan(plan_id) is None:
            return _Judgement(Refusal.NOTHING_TO_PAY, None)
        allocation = allocate(
            account,
            claim.serial_number,
            claim.amount_minor,
            moment_of(claim.paid_at, self._clock.now(), settings.late_payment_hours),
            self._catalogue.tariffs(tariff_ids_of(account)),
            rules_of(settings),
            NOTHING_VENDED,
            plan_id,
        )
        return _Judgement(None, None, account, allocation)

    def _new_payment(self, claim: Claim, judgement: _Judgement) -> Payment:
        now = self._clock.now()
        settings = self._catalogue.settings()
        payment = accepted(
            claim,
            moment=moment_of(claim.paid_at, now, settings.late_payment_hours),
            received_at=now,
            customer_id=judgement.customer_id,
            refusal=judgement.refusal.value if judgement.refusal else None,
        )
        self._journal.bind(payment_id=payment.payment_id)
        return payment

    def _reserved(self, claim: Claim, judgement: _Judgement) -> Payment:
        now = self._clock.now()
        hours = self._catalogue.settings().late_payment_hours
        return reserved(
            claim,
            moment=moment_of(claim.paid_at, now, hours),
            received_at=now,
            customer_id=judgement.customer_id,
            refusal=judgement.refusal.value if judgement.refusal else None,
        )

    # --- storing ----------------------------------------------------------------------------

    def _store(self, payment: Payment, *, proven: bool = True) -> Accepted:
        """Write it, or find out from the failed condition what is there already."""
        self._settings_store.fix_money()
        try:
            self._payments.create(payment)
        except AlreadyThere as taken:
            return self._beside(taken.existing, payment, proven)
        self._note(payment)
        return Accepted(payment)

    def _beside(self, existing: Payment, payment: Payment, proven: bool) -> Accepted:
        for _ in range(WRITES_MAX):
            if existing.status is not Status.REFUSED:
                outcome = self._repeated(existing, payment)
                if not (proven and is_unconfirmed(existing)):
                    return outcome
                try:
                    return Accepted(self._confirmed(existing), repeated=True)
                except VersionConflict:
                    existing = self._payments.get(existing.payment_id) or existing
                    continue
            if _same_refusal(existing, payment):
                return Accepted(existing, repeated=True)
            try:
                stored = self._payments.save(after_refusal(existing, payment))
            except VersionConflict:
                existing = self._payments.get(existing.payment_id) or existing
                continue
            self._note(stored)
            return Accepted(stored)
        raise VersionConflict(payment.payment_id)

    def _repeated(self, existing: Payment, payment: Payment) -> Accepted:
        if existing.claim_hash == payment.claim_hash:
            self._journal.event("payment_repeated", payment_id=existing.payment_id)
            self._journal.count("Duplicates", channel=existing.channel)
            return Accepted(existing, repeated=True)
        self._record_conflict(existing, payment)
        raise ReferenceConflict("this reference was used with another serial, amount or currency")

    def _confirmed(self, existing: Payment) -> Payment:
        """A payment that waited for a proof has it now: it goes on."""
        now = self._clock.now()
        return self._payments.save(released(existing.with_event(now, "confirmed"), now))

    def _record_conflict(self, existing: Payment, other: Payment) -> None:
        said = f"{other.serial_number} {other.amount_minor} {other.currency}"
        record_conflict(self._payments, existing, said, self._clock, self._journal)

    def _queue(self, outcome: Accepted) -> None:
        """Queue what needs work. A failure is harmless: the sweeper finds the payment."""
        payment = outcome.payment
        try:
            if payment.status is Status.RECEIVED:
                self._queues.settle(payment, deduplication=f"{payment.payment_id}{_again(payment)}")
            elif payment.status is Status.PENDING:
                self._queues.provider_call(payment.payment_id)
            elif not outcome.repeated:
                for number in messages_due(payment):
                    self._queues.message(payment.payment_id, number, payment.customer_id)
        except QueueUnavailable:
            self._journal.event("queueing_failed", payment_id=payment.payment_id)

    def _note(self, payment: Payment) -> None:
        if payment.status is Status.REFUSED:
            self._journal.count("Refused", channel=payment.channel, reason=payment.reason or "")
        else:
            count_money_in(self._journal, payment)


def count_money_in(journal: Journal, payment: Payment) -> None:
    """Count a payment whose money has moved, and the money."""
    journal.count("Accepted", channel=payment.channel)
    currency = currency_of(payment.currency)
    if currency is not None:
        # For a graph, which may round it. No sum is made of this.
        journal.count(
            "AcceptedAmount",
            payment.amount_minor / currency.minor_per_major,
            channel=payment.channel,
        )


def waits_for_proof(settings: Settings, amount_minor: int, told: Claim | Paid) -> bool:
    """Whether so much money, told in that way, is not believed before it is confirmed."""
    limit_minor = settings.confirm_above_minor
    return limit_minor is not None and not told.proven and amount_minor > limit_minor


def _again(payment: Payment) -> str:
    """What makes the message a new one for the queue, where the payment had been held."""
    return f".c{payment.revision}" if payment.revision > 1 else ""


def record_conflict(
    payments: Payments, existing: Payment, said: str, clock: Clock, journal: Journal
) -> None:
    """Note on the payment that holds the id what another report says; once per report. Alarm."""
    journal.event("reference_conflict", payment_id=existing.payment_id)
    journal.count("ReferenceConflicts", channel=existing.channel)
    said = said[:CONFLICT_LENGTH_MAX]
    for _ in range(WRITES_MAX):
        if any(e.what == "reference_conflict" and e.reason == said for e in existing.events):
            return
        noted = existing.with_event(clock.now(), "reference_conflict", reason=said)
        if noted is existing:
            return
        try:
            payments.save(noted)
            return
        except VersionConflict:
            existing = payments.get(existing.payment_id) or existing


def _follows_refusal(outcome: Accepted) -> bool:
    """Whether this report is taken although we had said no to that reference before."""
    return not outcome.repeated and any(e.what == "refused" for e in outcome.payment.events)


def _same_refusal(existing: Payment, payment: Payment) -> bool:
    return (
        payment.status is Status.REFUSED
        and payment.reason == existing.reason
        and payment.claim_hash == existing.claim_hash
    )


def masked_name(name: str, surname: str) -> str:
    """The customer's name as strangers may see it: ``ASHA M.``"""
    initial = f" {surname[0]}." if surname else ""
    return f"{name}{initial}".upper()


def tariff_ids_of(account: Account) -> frozenset[int]:
    """The tariffs that the account's meters are or were under."""
    return frozenset(t.tariff_id for d in account.devices for t in d.tenures)


NOTHING_VENDED = VendRules(step=Fraction(1))
"""For a payment that names no device: there is no ordinary vend whose rules could matter."""


def vend_rules_of(manufacturers: Manufacturers, device: Device) -> VendRules:
    """Step and limit of what a payment for that device buys."""
    kind = VendKind.ENERGY if device.kind is Kind.METER else VendKind.TIME
    return manufacturers.get(device.manufacturer).rules(device, kind)


def rules_of(settings: Settings) -> Rules:
    """The company's choices that the split depends on."""
    return Rules(
        time_zone=ZoneInfo(settings.time_zone),
        grace_days=settings.grace_days,
        own_arrears=settings.own_arrears,
    )
