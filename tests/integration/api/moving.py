"""Moving in and out over the API, with the worker's steps made at once."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.integration.api.conftest import Api, Reply
from tests.integration.conftest import Cloud

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "portfolio.csv"


def send_file(api: Api, content: bytes, **headers: str) -> Reply:
    """Send a file to be checked."""
    sent = {"Content-Type": "application/octet-stream", **headers}
    return api.send("POST", "/imports", raw=content, headers=sent)


def work(api: Api, cloud: Cloud) -> None:
    """Make every step that is queued, and those that follow from it."""
    while messages := cloud.take("moves"):
        for message in messages:
            step(api, message["body"])


def step(api: Api, body: Mapping[str, Any]) -> None:
    """Make one step."""
    match body["what"]:
        case "check":
            api.wiring.move_in.check(body["move_id"])
        case "report":
            until = api.clock.now() + timedelta(seconds=60)
            api.wiring.make_reports.work(body["move_id"], until)
        case "write":
            api.wiring.move_in.write(body["move_id"], body["part"])
        case _:
            until = api.clock.now() + timedelta(seconds=60)
            api.wiring.move_out.work(body["move_id"], until)


def checked(api: Api, cloud: Cloud, content: bytes) -> Any:
    """The import of that file, once it is checked."""
    reply = send_file(api, content)
    assert reply.status == 202, reply.text
    work(api, cloud)
    return api.get(f"/imports/{reply.json['import_id']}", "admin").json


def errors(api: Api, moving: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    """What is wrong in an import: row, column, message."""
    listed = api.get(f"/imports/{moving['import_id']}/errors?limit=100", "admin").json
    return [(error["row"], error["column"], error["message"]) for error in listed["items"]]


def moved_in(api: Api, cloud: Cloud, content: bytes) -> Any:
    """The import of that file, once all of it is written."""
    moving = checked(api, cloud, content)
    assert moving["state"] == "checked", errors(api, moving)
    assert api.post(f"/imports/{moving['import_id']}/write", None).status == 202
    work(api, cloud)
    return api.get(f"/imports/{moving['import_id']}", "admin").json


def moved_out(api: Api, cloud: Cloud, *, with_keys: bool = True) -> list[str]:
    """The files of an export."""
    moving = api.post("/exports", {"with_keys": with_keys}).json
    work(api, cloud)
    moving = api.get(f"/exports/{moving['export_id']}", "admin").json
    assert moving["state"] == "done"
    return [api.get(file["path"], "admin").text for file in moving["files"]]


def together(files: Sequence[str]) -> bytes:
    """Several files as one."""
    rows = [row for file in files for row in list(csv.reader(io.StringIO(file)))[1:]]
    header = next(csv.reader(io.StringIO(files[0])))
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return out.getvalue().encode()


def file_of(*rows: Mapping[str, str]) -> bytes:
    """A file of these rows."""
    columns = sorted({column for row in rows for column in row})
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
