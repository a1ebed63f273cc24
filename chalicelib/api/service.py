"""The API about itself: whether it is there, and how it is used."""

from __future__ import annotations

from functools import cache
from typing import Any

from chalicelib.api.routes import Answer, Call, Routes, ok
from chalicelib.api.shapes import HealthShape

routes = Routes()

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Nothing from anywhere, and no script: the page's own style is all that it has."""


@routes.route("GET", "/health", public=True, answers={200: HealthShape})
def health(call: Call[None]) -> Answer:
    """Say that the API is there, and which release. Asks nothing of anything else."""
    return ok(HealthShape(status="ok", release=call.wiring.release))


@routes.route("GET", "/openapi.json", public=True, answers={200: dict[str, Any]})
def openapi(call: Call[None]) -> Answer:
    """Describe the API (OpenAPI 3.1)."""
    return ok(_described(tuple(call.wiring.channels)))


@routes.route("GET", "/docs", public=True, answers={200: str}, gives="text/html")
def docs(call: Call[None]) -> Answer:
    """Show the description of the API to people. The page loads nothing and runs nothing."""
    page = _page(tuple(call.wiring.channels))
    return Answer(200, page, {"Content-Security-Policy": POLICY}, "text/html; charset=utf-8")


@cache
def _page(channels: tuple[Any, ...]) -> str:
    from chalicelib.api.docs_page import page_of

    return page_of(_described(channels))


@cache
def _described(channels: tuple[Any, ...]) -> dict[str, Any]:
    """The description, made once per process: it costs more than an ordinary answer."""
    from chalicelib.api.application import all_routes
    from chalicelib.api.openapi import describe

    return describe(all_routes(channels))
