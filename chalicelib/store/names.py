"""Names that are unique within a list, case and spacing aside.

Each name in use is held by a guard, written and deleted in one transaction with its holder.
"""

from __future__ import annotations

from chalicelib.services.names import folded
from chalicelib.store.models import GuardRow
from chalicelib.store.transaction import Transaction


def hold_name(transaction: Transaction, in_list: str, name: str, holder: str) -> None:
    """Take a name; refused under ``name`` if it is taken."""
    row = GuardRow(guard_id=name_guard(in_list, name), held_by=holder)
    transaction.put("name", row, GuardRow.guard_id.does_not_exist())


def release_name(transaction: Transaction, in_list: str, name: str, holder: str) -> None:
    """Give a name back; refused under ``holder`` if it is not the holder's any more."""
    row = GuardRow(guard_id=name_guard(in_list, name))
    transaction.delete("holder", row, GuardRow.held_by == holder)


def rename(transaction: Transaction, in_list: str, before: str, after: str, holder: str) -> None:
    """Take another name in the place of one; nothing where both are the same but for case."""
    if folded(before) != folded(after):
        release_name(transaction, in_list, before, holder)
        hold_name(transaction, in_list, after, holder)


def name_guard(in_list: str, name: str) -> str:
    """The guard of a name in a list."""
    return f"name#{in_list}#{folded(name)}"
