"""Clusters, mini-grids and villages: the same four routes for each."""

from __future__ import annotations

from typing import Any

from chalicelib.api.models import ClusterBody, MiniGridBody, VillageBody
from chalicelib.api.routes import (
    LIST,
    STAFF,
    Answer,
    Call,
    Routes,
    created,
    listed,
    no_content,
    ok,
)
from chalicelib.api.shapes import Listed, SiteShape, site
from chalicelib.services.ports import SiteKind
from chalicelib.services.sites import PARENT_FIELD
from chalicelib.services.staff import Role

routes = Routes()

ADMIN = (Role.ADMIN,)


def _declare(kind: SiteKind, path: str, body: type[Any]) -> None:
    """Declare the routes of one level."""
    parent_field = PARENT_FIELD.get(kind)

    def parent_id(call: Call[Any]) -> int | None:
        return None if parent_field is None else getattr(call.body, parent_field)

    def create(call: Call[Any]) -> Answer:
        name, parent = call.body.name, parent_id(call)
        place = call.wiring.keep_sites.create(kind, name, parent, actor=call.actor)
        return created(site(place))

    def show(call: Call[Any]) -> Answer:
        return listed(call.wiring.keep_sites.list(kind, call.limit, call.cursor), site)

    def replace(call: Call[Any]) -> Answer:
        name, parent = call.body.name, parent_id(call)
        place = call.wiring.keep_sites.replace(
            kind, call.number("site_id"), name, parent, actor=call.actor
        )
        return ok(site(place))

    def delete(call: Call[Any]) -> Answer:
        call.wiring.keep_sites.delete(kind, call.number("site_id"), actor=call.actor)
        return no_content()

    one, level = f"{path}/{{site_id}}", kind.value
    what = level.replace("_", "-")
    for handler, name, says in (
        (create, f"create_{level}", f"Make a {what}."),
        (show, f"list_{level}s", f"List the {what}s."),
        (replace, f"replace_{level}", f"Change a {what}."),
        (delete, f"delete_{level}", f"Delete a {what} that nothing belongs to."),
    ):
        handler.__name__, handler.__doc__ = name, says
    taken, changed, used = "name_taken", "version_conflict", "in_use"
    declared: dict[str, Any] = {"roles": ADMIN, "body": body, "problems": (taken,)}
    routes.route("POST", path, answers={201: SiteShape}, **declared)(create)
    routes.route("GET", path, roles=STAFF, query=LIST, answers={200: Listed[SiteShape]})(show)
    declared["problems"] = (taken, changed)
    routes.route("PUT", one, answers={200: SiteShape}, **declared)(replace)
    routes.route("DELETE", one, roles=ADMIN, answers={204: None}, problems=(used, changed))(delete)


_declare(SiteKind.CLUSTER, "/clusters", ClusterBody)
_declare(SiteKind.MINI_GRID, "/mini-grids", MiniGridBody)
_declare(SiteKind.VILLAGE, "/villages", VillageBody)
