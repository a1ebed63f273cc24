"""Keep the sites: cluster, mini-grid, village. Every device stands in a village."""

from __future__ import annotations

from dataclasses import replace

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.services.names import clean_name
from chalicelib.services.ports import ConditionFailed, Page, Site, SiteKind, Sites

PARENT_FIELD = {SiteKind.MINI_GRID: "cluster_id", SiteKind.VILLAGE: "mini_grid_id"}
"""What the level above is called in a request; a cluster has none."""


class SiteNotFound(MwangaError):
    """There is no such cluster, mini-grid or village."""

    code = "not_found"


class KeepSites:
    """Makes, renames, moves and deletes sites. Names are unique within a level."""

    def __init__(self, *, sites: Sites) -> None:
        self._sites = sites

    def create(self, kind: SiteKind, name: str, parent_id: int | None = None) -> Site:
        """A new site.

        Raises:
            FieldError: on ``name``, or on the parent's id: there is none of that id.
            NameTaken: see there.
        """
        name = clean_name(name)
        try:
            return self._sites.create(kind, name, parent_id)
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
        self, kind: SiteKind, site_id: int, name: str, parent_id: int | None = None
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
            self._sites.update(before, after)
        except ConditionFailed as failed:
            raise _no_parent(kind) from failed
        return after

    def delete(self, kind: SiteKind, site_id: int) -> None:
        """Delete a site to which nothing belongs any more.

        Raises:
            SiteNotFound, InUse, VersionConflict: see there.
        """
        self._sites.delete(self.get(kind, site_id))


def _no_parent(kind: SiteKind) -> FieldError:
    return FieldError(PARENT_FIELD[kind], "there is none of that id")
