"""Pauses of channels and manufacturers."""

from __future__ import annotations

from chalicelib.api.models import PauseBody
from chalicelib.api.parts import part_of
from chalicelib.api.routes import LIST, STAFF, Answer, Call, Routes, listed, no_content, ok
from chalicelib.api.shapes import Listed, PauseShape, pause
from chalicelib.services.ports import PauseKind
from chalicelib.services.staff import Role

routes = Routes()

OPERATIONS = (Role.OPERATIONS,)


@routes.route("GET", "/pauses", roles=STAFF, query=LIST, answers={200: Listed[PauseShape]})
def list_pauses(call: Call[None]) -> Answer:
    """List what is paused: since when, by whom, and why."""
    paused = list(enumerate(call.wiring.keep_pauses.all().pauses))
    part = part_of(paused, call.limit, call.cursor, lambda numbered: numbered[0])
    return listed(part, lambda numbered: pause(numbered[1]))


@routes.route(
    "PUT",
    "/pauses/channels/{key}",
    roles=OPERATIONS,
    body=PauseBody,
    answers={200: PauseShape},
    problems=("version_conflict",),
)
def pause_channel(call: Call[PauseBody]) -> Answer:
    """Let a channel say no to payments whose money has not moved yet, within 30 seconds."""
    return _paused(call, PauseKind.CHANNEL)


@routes.route(
    "PUT",
    "/pauses/manufacturers/{key}",
    roles=OPERATIONS,
    body=PauseBody,
    answers={200: PauseShape},
    problems=("version_conflict",),
)
def pause_manufacturer(call: Call[PauseBody]) -> Answer:
    """Have a manufacturer not called, within 30 seconds; its vends wait."""
    return _paused(call, PauseKind.MANUFACTURER)


@routes.route(
    "DELETE",
    "/pauses/channels/{key}",
    roles=OPERATIONS,
    answers={204: None},
    problems=("version_conflict",),
)
def resume_channel(call: Call[None]) -> Answer:
    """Let a channel take payments again, within 30 seconds."""
    return _resumed(call, PauseKind.CHANNEL)


@routes.route(
    "DELETE",
    "/pauses/manufacturers/{key}",
    roles=OPERATIONS,
    answers={204: None},
    problems=("version_conflict",),
)
def resume_manufacturer(call: Call[None]) -> Answer:
    """Have a manufacturer called again; what has waited goes on within two minutes."""
    return _resumed(call, PauseKind.MANUFACTURER)


def _paused(call: Call[PauseBody], kind: PauseKind) -> Answer:
    made = call.wiring.keep_pauses.pause(
        kind, call.path["key"], reason=call.body.reason, actor=call.actor
    )
    return ok(pause(made))


def _resumed(call: Call[None], kind: PauseKind) -> Answer:
    call.wiring.keep_pauses.resume(kind, call.path["key"], actor=call.actor)
    return no_content()
