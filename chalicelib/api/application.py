"""The Chalice app: one pipeline for every route.

Who calls, what they send, who may do it, the handler, the answer: always in this order, always
with a request id, and whatever goes wrong is told as a problem. Chalice's own ways (content
types, error bodies, JSON) are not used, because they answer in other shapes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from chalice.app import Chalice, Request, Response

from chalicelib.api import (
    auth,
    catalogue,
    company,
    customers,
    devices,
    moves,
    pauses,
    pay,
    payments,
    personal_data,
    reconciliations,
    registration_app,
    reports,
    review,
    service,
    sites,
    statements,
    tills,
    website,
)
from chalicelib.api.bare import bare_app
from chalicelib.api.endpoints import routes_of
from chalicelib.api.problems import Forbidden, as_json, headers_of, problem_of
from chalicelib.api.reading import read_body, read_query
from chalicelib.api.routes import Answer, Call, Route
from chalicelib.channels.interface import Channel, NotFound
from chalicelib.runtime.log import place_of
from chalicelib.services.ports import Session
from chalicelib.services.staff import Role

if TYPE_CHECKING:
    from chalicelib.wiring import Wiring

PARTS = (
    auth.routes,
    catalogue.routes,
    company.routes,
    customers.routes,
    devices.routes,
    moves.routes,
    pauses.routes,
    pay.routes,
    payments.routes,
    personal_data.routes,
    reconciliations.routes,
    registration_app.routes,
    reports.routes,
    review.routes,
    service.routes,
    sites.routes,
    statements.routes,
    tills.routes,
    website.routes,
)

PATH_VALUE_LENGTH_MAX = 200
"""Nothing has a longer id; the store would refuse to look for one."""


def all_routes(channels: Iterable[Channel]) -> list[Route]:
    """Every route of the API, ours and the channels'."""
    return [*(route for part in PARTS for route in part.all), *routes_of(channels)]


def create_app(wiring: Wiring) -> Chalice:
    """The app with all routes mounted. Queues and schedules are declared beside it."""
    app = bare_app(wiring)
    for route in all_routes(wiring.channels):
        declare = app.route(
            route.path, methods=[route.method], content_types=["*/*"], name=route.name
        )
        declare(_view(route, app, wiring))
    return app


def _view(route: Route, app: Chalice, wiring: Wiring) -> Callable[..., Response]:
    """The function that Chalice calls with the variables of the path."""

    def view(**_: str) -> Response:
        return _respond(route, cast(Request, app.current_request), wiring)

    view.__name__, view.__doc__ = route.name, route.handler.__doc__
    return view


def _respond(route: Route, request: Request, wiring: Wiring) -> Response:
    """Answer one request, come what may."""
    request_id = str(request.context.get("requestId") or uuid.uuid4())
    began = time.monotonic()
    wiring.journal.bind(request_id=request_id, **_payment_in(request))
    try:
        answer = route.handler(_checked_call(route, request, wiring))
    except Exception as error:  # this is the edge: beyond it there is nobody to tell
        answer = _told(error, route, request_id, wiring)
    wiring.journal.event(
        "request",
        method=route.method,
        path=route.path,
        status=answer.status,
        milliseconds=round((time.monotonic() - began) * 1000),
    )
    return _response(answer, request_id)


def _payment_in(request: Request) -> Mapping[str, str]:
    """The payment that the address names, if it names one."""
    named = (request.uri_params or {}).get("payment_id")
    return {"payment_id": unquote(named)[:PATH_VALUE_LENGTH_MAX]} if named else {}


def _checked_call(route: Route, request: Request, wiring: Wiring) -> Call[Any]:
    """The request as its handler sees it, once everything is known to be in order.

    The caller comes first: nobody unknown learns what a body should look like.
    """
    call: Call[Any] = Call(
        wiring=wiring,
        path={name: unquote(value) for name, value in (request.uri_params or {}).items()},
        query=_given_once(request) if route.signed else read_query(_query(request)),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=None,
        raw=_bytes(request.raw_body),
        source_address=request.context.get("identity", {}).get("sourceIp", ""),
        sent_path=str(request.context.get("path", "")),
    )
    if route.signed:
        return call
    session = None if route.public else _session(route, call)
    if any(len(value) > PATH_VALUE_LENGTH_MAX for value in call.path.values()):
        raise NotFound("There is nothing at this address.")
    body = None
    if route.body is not None:
        body = read_body(route.body, call.raw, call.headers.get("content-type", ""))
    return replace(call, body=body, session=session)


def _session(route: Route, call: Call[Any]) -> Session:
    """Who calls, if their roles allow it. An admin may call everything."""
    session = call.wiring.log_in.who(call.bearer_token)
    if not {Role.ADMIN, *route.roles}.intersection(session.roles):
        raise Forbidden
    return session


def _told(error: Exception, route: Route, request_id: str, wiring: Wiring) -> Answer:
    """The answer to a request that failed. A bug is noted, and not explained to the caller."""
    problem = problem_of(error, request_id)
    if problem["status"] >= 500:
        wiring.journal.event(
            "request_failed",
            path=route.path,
            error=type(error).__name__,
            place=place_of(error),
        )
        wiring.journal.count("RequestsFailed", code=problem["code"])
    headers = dict(headers_of(problem))
    content_type = headers.pop("Content-Type")
    return Answer(problem["status"], route.problem(problem), headers, content_type)


def _response(answer: Answer, request_id: str) -> Response:
    headers: dict[str, str | list[str]] = {
        "Cache-Control": "no-store",
        **answer.headers,
        "Content-Type": answer.content_type,
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": request_id,
    }
    body = answer.body
    if body is None:
        body = ""
    elif not isinstance(body, str):
        body = as_json(body)
    return Response(body=body, headers=headers, status_code=answer.status)


def _given_once(request: Request) -> Mapping[str, str]:
    """A provider's query. What is given twice counts as not given."""
    given = _query(request) or {}
    return {name: values[0] for name, values in given.items() if len(values) == 1}


def _query(request: Request) -> Mapping[str, list[str]] | None:
    if request.query_params is None:
        return None
    return {name: request.query_params.getlist(name) for name in request.query_params}


def _bytes(raw: str | bytes) -> bytes:
    return raw.encode("utf-8") if isinstance(raw, str) else raw
