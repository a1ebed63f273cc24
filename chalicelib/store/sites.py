"""Clusters, mini-grids and villages. What has something belonging to it is not deleted."""

from __future__ import annotations

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.services.ports import (
    Change,
    ConditionFailed,
    InUse,
    NameTaken,
    Note,
    Page,
    Site,
    SiteKind,
    VersionConflict,
)
from chalicelib.store.changes import put_change
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import find
from chalicelib.store.models import SiteRow, site_key
from chalicelib.store.names import hold_name, release_name, rename
from chalicelib.store.numbers import next_number
from chalicelib.store.transaction import Transaction, WritesRefused

_BY_KIND = Listing("sites", SiteRow.by_list.query, SiteRow.list, (SiteRow.site_id,))
_PARENT_KIND = {SiteKind.MINI_GRID: SiteKind.CLUSTER, SiteKind.VILLAGE: SiteKind.MINI_GRID}


class DynamoSites:
    """The port ``Sites`` on DynamoDB."""

    def create(
        self, kind: SiteKind, name: str, parent_id: int | None = None, note: Note | None = None
    ) -> Site:
        """Store a new site, its name and its place under its parent, in one transaction.

        Raises:
            NameTaken, ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        site = Site(kind, next_number(kind.value), name, parent_id)
        transaction = Transaction()
        transaction.put("site", SiteRow.of(site), SiteRow.site_id.does_not_exist())
        hold_name(transaction, kind.value, name, _key(site))
        _move(transaction, kind, None, parent_id)
        put_change(transaction, note(site.site_id) if note else None)
        _commit(transaction)
        return site

    def get(self, kind: SiteKind, site_id: int) -> Site | None:
        """The site, read consistently."""
        row = find(SiteRow, site_key(kind, site_id))
        return row.value() if row else None

    def list(self, kind: SiteKind, limit: int, cursor: str | None) -> Page[Site]:
        """Sites of that kind.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _BY_KIND.part(kind.value, limit, cursor)
        return Page([row.value() for row in rows], after)

    def update(self, before: Site, after: Site, change: Change | None = None) -> None:
        """Give a site another name or parent, if it still is as it was read.

        Raises:
            NameTaken, VersionConflict, ConditionFailed, TryAgain, OutcomeUnknown: see there.
        """
        actions: list[Action] = [SiteRow.name.set(after.name)]
        if after.parent_id is not None:
            actions.append(SiteRow.parent_id.set(after.parent_id))
        transaction = Transaction()
        transaction.update("site", _row(before), actions, _as_read(before))
        rename(transaction, before.kind.value, before.name, after.name, _key(before))
        _move(transaction, before.kind, before.parent_id, after.parent_id)
        put_change(transaction, change)
        _commit(transaction)

    def delete(self, site: Site, change: Change | None = None) -> None:
        """Delete a site, release its name and its place, in one transaction.

        Raises:
            InUse, VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        empty = SiteRow.children.does_not_exist() | (SiteRow.children == 0)
        transaction = Transaction()
        transaction.delete("site", _row(site), _as_read(site) & empty)
        release_name(transaction, site.kind.value, site.name, _key(site))
        _move(transaction, site.kind, site.parent_id, None)
        put_change(transaction, change)
        try:
            _commit(transaction)
        except VersionConflict:
            if self.get(site.kind, site.site_id) == site:
                raise InUse(_key(site)) from None
            raise


def count_children(
    transaction: Transaction, what: str, kind: SiteKind, number: int, by: int
) -> None:
    """Count what comes to belong to a site, or ceases to; a site that is not there refuses it."""
    row = SiteRow(site_id=site_key(kind, number))
    actions: list[Action] = [SiteRow.children.add(by)]
    transaction.update(what, row, actions, SiteRow.site_id.exists())


def _move(transaction: Transaction, kind: SiteKind, before: int | None, after: int | None) -> None:
    """Count a site out of one parent and into another."""
    if before == after:
        return
    for parent_id, by in ((before, -1), (after, 1)):
        if parent_id is not None:
            count_children(transaction, "parent", _PARENT_KIND[kind], parent_id, by)


def _commit(transaction: Transaction) -> None:
    try:
        transaction.commit()
    except WritesRefused as refused:
        if {"site", "holder"}.intersection(refused.what):
            raise VersionConflict(refused.detail) from refused
        if "name" in refused.what:
            raise NameTaken from refused
        raise ConditionFailed("parent") from refused


def _as_read(site: Site) -> Condition:
    same_name: Condition = SiteRow.name == site.name
    if site.parent_id is None:
        return same_name
    as_read: Condition = same_name & (SiteRow.parent_id == site.parent_id)
    return as_read


def _row(site: Site) -> SiteRow:
    return SiteRow(site_id=_key(site))


def _key(site: Site) -> str:
    return site_key(site.kind, site.site_id)
