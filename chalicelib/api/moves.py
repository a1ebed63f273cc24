"""Moving in and out: files that are taken in, and everything as files."""

from __future__ import annotations

from chalicelib.api.models import ExportBody
from chalicelib.api.reading import whole_number
from chalicelib.api.routes import LIST, Answer, Call, Routes, accepted, listed, ok
from chalicelib.api.shapes import (
    ExportShape,
    ImportErrorShape,
    ImportShape,
    Listed,
    export_shape,
    import_error,
    import_shape,
)
from chalicelib.channels.interface import NotFound, TooLarge, UnsupportedMediaType
from chalicelib.domain.errors import FieldError
from chalicelib.services.ports import FileFormat
from chalicelib.services.staff import Role

routes = Routes()

ADMIN = (Role.ADMIN,)

FILE_BYTES_MAX = 4 * 1024 * 1024
"""As much as reaches a function: Lambda takes 6 MB, and a binary body grows by a third."""

FILE_TYPES = ("text/csv", "application/octet-stream", "application/zip", "application/json")
CSV = "text/csv; charset=utf-8"


@routes.route(
    "POST",
    "/imports",
    roles=ADMIN,
    query=("format",),
    takes=FILE_TYPES,
    answers={202: ImportShape},
)
def start_import(call: Call[None]) -> Answer:
    """Send a file to be checked; nothing is taken in before somebody says so."""
    content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in FILE_TYPES:
        raise UnsupportedMediaType(f"a file is one of {', '.join(FILE_TYPES)}")
    if len(call.raw) > FILE_BYTES_MAX:
        raise TooLarge(f"at most {FILE_BYTES_MAX} bytes: cut the file in two")
    try:
        file_format = FileFormat(call.query.get("format", FileFormat.PORTFOLIO.value))
    except ValueError:
        raise FieldError("format", f"must be one of {', '.join(FileFormat)}") from None
    moving = call.wiring.move_in.start(call.raw, content_type, file_format, actor=call.actor)
    return accepted(import_shape(moving))


@routes.route("GET", "/imports", roles=ADMIN, query=LIST, answers={200: Listed[ImportShape]})
def list_imports(call: Call[None]) -> Answer:
    """List imports, the newest first."""
    return listed(call.wiring.move_in.list(call.limit, call.cursor), import_shape)


@routes.route("GET", "/imports/{import_id}", roles=ADMIN, answers={200: ImportShape})
def get_import(call: Call[None]) -> Answer:
    """How far an import is."""
    return ok(import_shape(call.wiring.move_in.get(call.path["import_id"])))


@routes.route(
    "GET",
    "/imports/{import_id}/errors",
    roles=ADMIN,
    query=LIST,
    answers={200: Listed[ImportErrorShape]},
)
def list_import_errors(call: Call[None]) -> Answer:
    """What is wrong in an import, by row; of a check at most 1,000 are kept."""
    errors = call.wiring.move_in.errors(call.path["import_id"], call.limit, call.cursor)
    return listed(errors, import_error)


@routes.route(
    "GET", "/imports/{import_id}/portfolio", roles=ADMIN, answers={200: str}, gives="text/csv"
)
def get_converted(call: Call[None]) -> Answer:
    """Another system's export as the portfolio file that was made of it, as CSV."""
    import_id = call.path["import_id"]
    return _file(call.wiring.move_in.converted(import_id, actor=call.actor), import_id)


@routes.route(
    "POST",
    "/imports/{import_id}/write",
    roles=ADMIN,
    answers={202: ImportShape},
    problems=("not_checked", "version_conflict"),
)
def write_import(call: Call[None]) -> Answer:
    """Take in what was checked; said again, go on where it may have stopped."""
    moving = call.wiring.move_in.begin_to_write(call.path["import_id"], actor=call.actor)
    return accepted(import_shape(moving))


@routes.route(
    "POST", "/exports", roles=(Role.FINANCE,), body=ExportBody, answers={202: ExportShape}
)
def start_export(call: Call[ExportBody]) -> Answer:
    """Have everything written to files. Only an admin gets the keys of devices with it."""
    if call.body.with_keys and not call.is_admin:
        raise FieldError("with_keys", "only an admin may take the keys of devices out")
    moving = call.wiring.move_out.start(with_keys=call.body.with_keys, actor=call.actor)
    return accepted(export_shape(moving))


@routes.route(
    "GET",
    "/exports",
    roles=(Role.FINANCE,),
    query=LIST,
    answers={200: Listed[ExportShape]},
)
def list_exports(call: Call[None]) -> Answer:
    """List exports, the newest first."""
    return listed(call.wiring.move_out.list(call.limit, call.cursor), export_shape)


@routes.route("GET", "/exports/{export_id}", roles=(Role.FINANCE,), answers={200: ExportShape})
def get_export(call: Call[None]) -> Answer:
    """How far an export is, and which files it has."""
    return ok(export_shape(call.wiring.move_out.get(call.path["export_id"])))


@routes.route(
    "GET",
    "/exports/{export_id}/files/{number}",
    roles=(Role.FINANCE,),
    answers={200: str},
    gives="text/csv",
)
def get_export_file(call: Call[None]) -> Answer:
    """One file of an export, as CSV. With keys in it, only an admin gets it."""
    export_id, number = call.path["export_id"], whole_number(call.path["number"])
    moving = call.wiring.move_out.get(export_id)
    if number is None or (moving.with_keys and not call.is_admin):
        raise NotFound("There is nothing at this address.")
    content = call.wiring.move_out.file(export_id, number, actor=call.actor)
    return _file(content, f"{export_id}-{number:04}")


def _file(content: bytes, name: str) -> Answer:
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Answer(200, content.decode(), headers, CSV)
