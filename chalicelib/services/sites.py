"""Keep the sites: cluster, mini-grid, village. Every device stands in a village."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.services.changes import change_of, differences, of_site
from chalicelib.services.entries import Act
from chalicelib.services.names import clean_name
from chalicelib.services.ports import Change, Clock, ConditionFailed, Page, Site, SiteKind, Sites

PARENT_FIELD = {SiteKind.MINI_GRID: "cluster_id", SiteKind.VILLAGE: "mini_grid_id"}
"""What the level above is called in a request; a cluster has none."""


class SiteNotFound(MwangaError):
    """There is no such cluster, mini-grid or village."""

    code = "not_found"


class KeepSites:
    """Makes, renames, moves and deletes sites. Names are unique within a level."""

    def __init__(self, *, sites: Sites, clock: Clock) -> None:
        self._sites = sites
        self._clock = clock

    def create(
        self, kind: SiteKind, name: str, parent_id: int | None = None, *, actor: str
    ) -> Site:
        """A new site.

        Raises:
            FieldError: on ``name``, or on the parent's id: there is none of that id.
            NameTaken: see there.
        """
        name = clean_name(name)
        try:
            return self._sites.create(
                kind,
                name,
                parent_id,
                lambda site_id: self._change(None, Site(kind, site_id, name, parent_id), actor),
            )
        except ConditionFailed as failed:
            raise _no_parent(kind) from failed

    def get(self, kind: SiteKind, site_id: int) -> Site:
        """The site of that id.

        Raises:
            SiteNotFound: see there.
        """
        site = self._sites.get(kind, site_id)
        if site is None:
            raise SiteNotFound(f"there is no {kind.value} {site_id}")
        return site

    def list(self, kind: SiteKind, limit: int, cursor: str | None) -> Page[Site]:
        """The sites of a level.

        Raises:
            InvalidCursor: see there.
        """
        return self._sites.list(kind, limit, cursor)

    def replace(
        self,
        kind: SiteKind,
        site_id: int,
        name: str,
        parent_id: int | None = None,
        *,
        actor: str,
    ) -> Site:
        """Give a site another name, another parent, or both.

        Raises:
            SiteNotFound, NameTaken, VersionConflict: see there.
            FieldError: as in ``create``.
        """
        name = clean_name(name)
        before = self.get(kind, site_id)
        after = replace(before, name=name, parent_id=parent_id)
        try:
            self._sites.update(before, after, self._change(before, after, actor))
        except ConditionFailed as failed:
            raise _no_parent(kind) from failed
        return after

    def delete(self, kind: SiteKind, site_id: int, *, actor: str) -> None:
        """Delete a site to which nothing belongs any more.

        Raises:
            SiteNotFound, InUse, VersionConflict: see there.
        """
        site = self.get(kind, site_id)
        act = Act(actor, self._clock.now(), "")
        told = {"name": {"before": site.name, "after": None}}
        change = change_of(act, of_site(kind, site_id), "site_deleted", told)
        self._sites.delete(site, change)

    def _change(self, before: Site | None, after: Site, actor: str) -> Change:
        act = Act(actor, self._clock.now(), "")
        what = "site_made" if before is None else "site_changed"
        told = differences(before, after)
        return change_of(act, of_site(after.kind, after.site_id), what, told)


def _no_parent(kind: SiteKind) -> FieldError:
    return FieldError(PARENT_FIELD[kind], "there is none of that id")
