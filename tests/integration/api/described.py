"""Holds every answer of the API in these tests against its description."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from chalicelib.api.application import all_routes
from chalicelib.api.openapi import describe
from chalicelib.wiring import Wiring

_FROM_CHALICE = frozenset({403, 405})
"""How Chalice's test client answers where API Gateway would not have called us."""


def check(method: str, path: str, status: int, content_type: str, text: str) -> None:
    """Fail where an answer is not as the description says.

    Raises:
        AssertionError: its status, its content type, its code or its body is another.
    """
    template = _template(path.partition("?")[0].rstrip("/"))
    operation = _document()["paths"].get(template, {}).get(method.lower())
    if operation is None:
        assert status in {*_FROM_CHALICE, 404}, f"{method} {path} is not described"
        return
    where = f"{method} {template} {status}"
    answer = operation["responses"].get(str(status))
    assert answer is not None, f"{where} is not described: {text[:200]}"
    content = answer.get("content")
    if content is None:
        return
    kind = content_type.partition(";")[0]
    assert kind in content, f"{where} answers {kind}"
    if kind.endswith("json"):
        errors = list(_validator(template, method.lower(), status, kind).iter_errors(_json(text)))
        told = [f"{list(error.absolute_path)}: {error.message}" for error in errors]
        assert not errors, f"{where}: {told[:3]} in {text[:300]}"


@cache
def _document() -> dict[str, Any]:
    return describe(all_routes(Wiring().channels))


@cache
def _validator(template: str, method: str, status: int, kind: str) -> Draft202012Validator:
    document = _document()
    answer = document["paths"][template][method]["responses"][str(status)]
    schema = answer["content"][kind]["schema"]
    return Draft202012Validator({**schema, "components": document["components"]})


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Every path, those without variables first."""
    paths = sorted(_document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in paths]


@cache
def _template(path: str) -> str | None:
    return next((path_ for pattern, path_ in _patterns() if pattern.fullmatch(path)), None)


def _json(text: str) -> Any:
    return json.loads(text)
