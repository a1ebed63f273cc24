"""Agents: they take customers' money for the company, up to a limit, and earn a share of it.

What an agent has taken is the company's cash in their hands. A payment and the cash it makes an
agent hold become true in one write, so neither can be without the other. Cash that is handed in
lowers it; what the agent has earned and keeps lowers it too.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.payment import Claim, Status, after_refusal, payment_id_of
from chalicelib.services.accept import Accept, Accepted, ReferenceConflict
from chalicelib.services.ports import (
    Agent,
    AgentEntry,
    Agents,
    Clock,
    Journal,
    Page,
    Payments,
    VersionConflict,
)

WRITES_MAX = 8
LATEST = 100


class FloatExceeded(MwangaError):
    """The agent would hold more of the company's cash than they may. Nothing was taken."""

    code = "float_exceeded"


class AgentNotFound(MwangaError):
    """Nothing is known of such an agent."""

    code = "not_found"


class KeepAgents:
    """Takes agents' payments, and keeps how each of them stands."""

    def __init__(
        self,
        *,
        accept: Accept,
        agents: Agents,
        payments: Payments,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._accept = accept
        self._agents = agents
        self._payments = payments
        self._clock = clock
        self._journal = journal

    # --- selling --------------------------------------------------------------------------------

    def pay(self, agent_id: str, email: str, claim: Claim) -> Accepted:
        """Take a payment that an agent has been handed. A refused one is stored as refused.

        Raises:
            FloatExceeded: the agent must hand cash in first; nothing was stored.
            ReferenceConflict: the key was used for another payment; recorded once.
            VersionConflict, TryAgain, OutcomeUnknown: not stored, or not known to be: the same
                request may be sent again.
        """
        payment_id = payment_id_of(claim.source, claim.transaction)
        for _ in range(WRITES_MAX):
            existing = self._payments.get(payment_id)
            payment = self._accept.judged(claim)
            if existing is not None and existing.status is not Status.REFUSED:
                return self._accept.repeated(existing, payment)
            if payment.status is Status.REFUSED:
                return self._accept.accept(claim, money_moved=False)
            agent = self._agents.get(agent_id) or Agent(agent_id, email)
            fresh = after_refusal(existing, payment) if existing else payment
            try:
                self._agents.sell(_sold(agent, email, claim.amount_minor), fresh, existing)
            except VersionConflict:
                continue
            return self._accept.stored(fresh)
        raise VersionConflict(payment_id)

    # --- terms and receipts ---------------------------------------------------------------------

    def get(self, agent_id: str) -> Agent:
        """How the agent stands.

        Raises:
            AgentNotFound: see there.
        """
        agent = self._agents.get(agent_id)
        if agent is None:
            raise AgentNotFound(f"nothing is known of an agent {agent_id}")
        return agent

    def all(self, limit: int, cursor: str | None) -> Page[Agent]:
        """All agents, by id.

        Raises:
            InvalidCursor: see there.
        """
        return self._agents.all(limit, cursor)

    def entries(self, agent_id: str, limit: int, cursor: str | None) -> Page[AgentEntry]:
        """What was done about the agent, newest first.

        Raises:
            AgentNotFound, InvalidCursor: see there.
        """
        self.get(agent_id)
        return self._agents.entries(agent_id, limit, cursor)

    def set_terms(
        self,
        agent_id: str,
        *,
        email: str,
        float_limit_minor: int | None,
        commission_share: Fraction,
        actor: str,
        reason: str,
    ) -> Agent:
        """Give an agent other terms, from the next payment on.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: not written, or not known to be.
        """
        before = self._agents.get(agent_id) or Agent(agent_id, email)
        after = replace(
            before,
            email=email,
            float_limit_minor=float_limit_minor,
            commission_share=commission_share,
            entries=before.entries + 1,
        )
        entry = AgentEntry(
            agent_id, after.entries, "terms", self._clock.now(), actor=actor, reason=reason
        )
        self._agents.write(after, entry)
        self._journal.event("agent_terms_set", agent_id=agent_id, actor=actor)
        return replace(after, revision=after.revision + 1)

    def receive(
        self,
        agent_id: str,
        *,
        cash_minor: int,
        commission_paid_minor: int,
        key: str,
        actor: str,
        reason: str,
    ) -> tuple[AgentEntry, bool]:
        """Note that an agent has handed cash in, and what of their earnings they kept.

        Both lower what they hold. Answers the entry, and whether it was made before.

        Raises:
            AgentNotFound: see there.
            FieldError: on ``cash`` or ``commission``: more than is held, or than was earned.
            ReferenceConflict: the key was used for another receipt.
            VersionConflict, TryAgain, OutcomeUnknown: not written, or not known to be: the same
                request may be sent again.
        """
        for _ in range(WRITES_MAX):
            before = self.get(agent_id)
            made = self._made_before(agent_id, key)
            if made is not None:
                if (made.cash_minor, made.commission_paid_minor) != (
                    cash_minor,
                    commission_paid_minor,
                ):
                    raise ReferenceConflict("this Idempotency-Key was used for another receipt")
                return made, True
            after = _received(before, cash_minor, commission_paid_minor)
            entry = AgentEntry(
                agent_id,
                after.entries,
                "receipt",
                self._clock.now(),
                actor=actor,
                reason=reason,
                key=key,
                cash_minor=cash_minor,
                commission_paid_minor=commission_paid_minor,
            )
            try:
                self._agents.write(after, entry)
            except VersionConflict:
                continue
            self._journal.event("agent_receipt", agent_id=agent_id, actor=actor)
            return entry, False
        raise VersionConflict(agent_id)

    def _made_before(self, agent_id: str, key: str) -> AgentEntry | None:
        """The receipt of that key, among the latest: a repetition comes soon or never."""
        entries = self._agents.entries(agent_id, LATEST, None).items
        return next((entry for entry in entries if entry.key == key), None)


def _sold(agent: Agent, email: str, amount_minor: int) -> Agent:
    """The agent after a sale.

    Raises:
        FloatExceeded: they would hold too much.
    """
    held_minor = agent.held_minor + amount_minor
    if agent.float_limit_minor is not None and held_minor > agent.float_limit_minor:
        raise FloatExceeded("hand in what you hold first")
    earned_minor = agent.commission_minor + amount_minor * agent.commission_share
    return replace(agent, email=email, held_minor=held_minor, commission_minor=earned_minor)


def _received(agent: Agent, cash_minor: int, commission_paid_minor: int) -> Agent:
    """The agent after cash was handed in, and a part of what they earned was kept.

    Raises:
        FieldError: that is more than there is.
    """
    if cash_minor + commission_paid_minor <= 0:
        raise FieldError("cash", "nothing was handed in, and nothing was kept")
    if commission_paid_minor > agent.commission_minor:
        raise FieldError("commission", "is more than was earned")
    left_minor = agent.held_minor - cash_minor - commission_paid_minor
    if left_minor < 0:
        raise FieldError("cash", "is more than the agent holds")
    return replace(
        agent,
        held_minor=left_minor,
        commission_minor=agent.commission_minor - commission_paid_minor,
        entries=agent.entries + 1,
    )
