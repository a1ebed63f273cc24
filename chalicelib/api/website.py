"""The office website: a few static files, which call the API like everybody else.

The files are read once per process and served from memory, under names that are listed here:
no name in a request ever becomes a path. A browser asks again whether a file is still the same,
and is told so without being sent it (RFC 9110, section 13.1.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chalicelib.api.routes import Answer, Call, Routes
from chalicelib.channels.interface import NotFound

routes = Routes()

FOLDER = Path(__file__).parent.parent / "website"
"""Where the files are."""

PAGE = "index.html"
"""The one page. Everything else is loaded by it."""

_HTML, _CSS, _SCRIPT = (f"text/{kind}; charset=utf-8" for kind in ("html", "css", "javascript"))
_SCRIPTS = (
    "api.js",
    "app.js",
    "catalogue.js",
    "customers.js",
    "devices.js",
    "form.js",
    "log-in.js",
    "moving.js",
    "page.js",
    "payments.js",
    "register.js",
    "reviews.js",
    "sites.js",
    "words.js",
)

FILES: Mapping[str, str] = {"style.css": _CSS, **dict.fromkeys(_SCRIPTS, _SCRIPT)}
"""What the page loads from beside itself, with its content type; nothing else can be read."""

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}

_HEADERS = {
    "Cache-Control": "no-cache",  # kept, but asked about before each use
    "Content-Security-Policy": "; ".join(f"{what} {whose}" for what, whose in _POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class _File:
    """A file, and the mark by which a browser knows its version."""

    text: str
    etag: str


@routes.route(
    "GET", "/office", public=True, answers={200: str, 304: None, 308: None}, gives="text/html"
)
def office(call: Call[None]) -> Answer:
    """Show the website of the office. It asks for a log-in."""
    if call.sent_path.endswith("/"):  # the page's links would lead one level too deep
        return Answer(308, headers={**_HEADERS, "Location": "../office"})
    return _served(PAGE, _HTML, call)


@routes.route("GET", "/office/{file}", public=True, answers={200: None, 304: None})
def office_file(call: Call[None]) -> Answer:
    """Answer a file of the website."""
    name = call.path["file"]
    if name not in FILES:
        raise NotFound("There is nothing at this address.")
    return _served(name, FILES[name], call)


def _served(name: str, content_type: str, call: Call[Any]) -> Answer:
    """The file, or word that the caller has it already."""
    file = _read(name)
    headers = {**_HEADERS, "ETag": file.etag}
    if file.etag in call.headers.get("if-none-match", ""):
        return Answer(304, headers=headers, content_type=content_type)
    return Answer(200, file.text, headers, content_type)


@cache
def _read(name: str) -> _File:
    content = (FOLDER / name).read_bytes()
    return _File(content.decode("utf-8"), f'"{hashlib.sha256(content).hexdigest()[:32]}"')
