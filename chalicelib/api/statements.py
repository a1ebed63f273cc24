"""Statements: files of providers and banks, compared with what is stored."""

from __future__ import annotations

from chalicelib.api.moves import FILE_BYTES_MAX
from chalicelib.api.routes import Answer, Call, Routes, accepted, ok
from chalicelib.api.shapes import StatementShape, statement
from chalicelib.channels.interface import TooLarge, UnsupportedMediaType
from chalicelib.domain.errors import FieldError
from chalicelib.services.staff import Role

routes = Routes()

MONEY = (Role.OPERATIONS, Role.FINANCE)
FILE_TYPES = ("text/csv", "application/octet-stream")
_YES_NO = {"true": True, "false": False}


@routes.route(
    "POST",
    "/statements/{channel}",
    roles=(Role.OPERATIONS,),
    query=("source", "take"),
    takes=FILE_TYPES,
    answers={202: StatementShape},
)
def send_statement(call: Call[None]) -> Answer:
    """Send a channel's statement to be compared.

    It is CSV. With ``take=true``, what is new in it is taken as payments.
    """
    content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in FILE_TYPES:
        raise UnsupportedMediaType(f"a file is one of {', '.join(FILE_TYPES)}")
    if len(call.raw) > FILE_BYTES_MAX:
        raise TooLarge(f"at most {FILE_BYTES_MAX} bytes: cut the file in two")
    take = _YES_NO.get(call.query.get("take", "false"))
    if take is None:
        raise FieldError("take", "must be true or false")
    report = call.wiring.statements.start(
        call.path["channel"],
        call.raw,
        source=call.query.get("source"),
        take=take,
        actor=call.actor,
    )
    return accepted(statement(report))


@routes.route(
    "GET",
    "/statements/{channel}/{statement_id}",
    roles=MONEY,
    answers={200: StatementShape},
)
def get_statement(call: Call[None]) -> Answer:
    """What was found in a statement: what is not here, what differs, and what is not in it."""
    return ok(statement(call.wiring.statements.report(call.path["statement_id"])))
