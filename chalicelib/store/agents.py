"""Agents: how each stands, and what was done about them, in one table."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.domain.payment import Payment
from chalicelib.services.ports import Agent, AgentEntry, Page, VersionConflict
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import find
from chalicelib.store.models import AgentEntryRow, AgentRow, PaymentRow
from chalicelib.store.payments import next_revision, unchanged
from chalicelib.store.transaction import Transaction, WritesRefused

_STANDING = 0
_ALL = Listing(
    "agents", AgentRow.by_list.query, AgentRow.list, (AgentRow.agent_id, AgentRow.number)
)
_ENTRIES = Listing(
    "agents/entries", AgentEntryRow.query, AgentEntryRow.agent_id, (AgentEntryRow.number,)
)


class DynamoAgents:
    """The port ``Agents`` on DynamoDB."""

    def get(self, agent_id: str) -> Agent | None:
        """How the agent stands, read consistently; ``None``: nothing is known yet."""
        row = find(AgentRow, agent_id, _STANDING)
        return row.value() if row else None

    def all(self, limit: int, cursor: str | None) -> Page[Agent]:
        """All agents, by id.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _ALL.part("agent", limit, cursor)
        return Page([row.value() for row in rows], after)

    def sell(self, agent: Agent, payment: Payment, refused: Payment | None) -> None:
        """Write a new payment and the agent after it, in one transaction.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        transaction = Transaction()
        if refused is None:
            free = PaymentRow.payment_id.does_not_exist()
            transaction.put("payment", PaymentRow.of(payment), free)
        else:
            transaction.put("payment", PaymentRow.of(next_revision(payment)), unchanged(refused))
        _put(transaction, agent)
        _commit(transaction)

    def write(self, agent: Agent, entry: AgentEntry) -> None:
        """Write the agent and the next entry, in one transaction.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        transaction = Transaction()
        _put(transaction, agent)
        fresh = AgentEntryRow.agent_id.does_not_exist()
        transaction.put("entry", AgentEntryRow.of(entry), fresh)
        _commit(transaction)

    def entries(self, agent_id: str, limit: int, cursor: str | None) -> Page[AgentEntry]:
        """What was done about the agent, newest first.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        only = AgentEntryRow.number > _STANDING
        rows, after = _ENTRIES.part(
            agent_id, limit, cursor, scan_index_forward=False, range_key_condition=only
        )
        return Page([row.value() for row in rows], after)


def _put(transaction: Transaction, agent: Agent) -> None:
    """Add the agent, on the revision that it was read with."""
    as_read = (
        AgentRow.revision == agent.revision
        if agent.revision
        else AgentRow.agent_id.does_not_exist()
    )
    written = replace(agent, revision=agent.revision + 1)
    transaction.put("agent", AgentRow.of(written, number=_STANDING), as_read)


def _commit(transaction: Transaction) -> None:
    try:
        transaction.commit()
    except WritesRefused as refused:
        raise VersionConflict(refused.detail) from refused
