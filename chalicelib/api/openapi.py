"""The description of the API (OpenAPI 3.1), generated from its routes, models and shapes.

``python -m chalicelib.api.openapi openapi.json`` writes it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, get_origin

from pydantic import TypeAdapter

from chalicelib.api.problems import MEDIA_TYPE, STATUS_BY_CODE, Problem
from chalicelib.api.routes import LIMIT, LIMIT_MAX, Route
from chalicelib.channels.interface import JSON

SCHEMAS = "#/components/schemas/{model}"

_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_NUMBERS = frozenset({"site_id", "tariff_id", "number"})

_QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
    "at": {"type": "string", "format": "date"},
}

_SIGNATURE = [
    {
        "name": "Mwanga-Partner",
        "in": "header",
        "required": True,
        "schema": {"type": "string"},
    },
    {
        "name": "Mwanga-Signature",
        "in": "header",
        "required": True,
        "schema": {"type": "string", "pattern": "^t=[0-9]+,v1=[0-9a-f]{64}$"},
    },
]


_SIGNED_BY_PARTNERS = "direct_"
"""How the names of the routes begin that partners sign."""

_SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    "session": {
        "type": "http",
        "scheme": "bearer",
        "description": "The access token of POST /auth/login.",
    },
    "partner": {
        "type": "apiKey",
        "in": "header",
        "name": "Mwanga-Partner",
        "description": "The partner's id.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Mwanga-Signature",
        "description": "t=<unix seconds>,v1=<hex HMAC-SHA256 of t, a dot and the raw body, with "
        "the partner's secret>; for GET the text is t, a dot and the reference. Good for five "
        "minutes.",
    },
}
"""How callers say who they are. Other providers prove it in their own ways; see their pages."""


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """The description of these routes."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(routes, key=lambda route: (route.path, route.method)):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    problem = {MEDIA_TYPE: {"schema": _schema(Problem, schemas)}}
    schemas["Problem"]["properties"]["code"]["enum"] = sorted(STATUS_BY_CODE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mwanga",
            "version": "1",
            "description": "From a payment to a token: debts first, then energy or time. Amounts "
            "are decimal strings in major units, times ISO 8601 in UTC.",
        },
        "servers": [{"url": "/api"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {"Problem": {"description": "What is wrong.", "content": problem}},
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    summary, _, description = (route.handler.__doc__ or "").strip().partition("\n")
    operation: dict[str, Any] = {"operationId": route.name, "summary": summary}
    told = [" ".join(description.partition("Raises:")[0].split()), _for_whom(route)]
    operation["description"] = " ".join(filter(None, told))
    if route.roles:
        operation["security"] = [{"session": []}]
    elif route.name.startswith(_SIGNED_BY_PARTNERS):
        operation["security"] = [{"partner": [], "signature": []}]
    parameters = _parameters(route)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {JSON: {"schema": _schema(route.body, schemas)}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.takes:
        operation["requestBody"] = {"required": True, "content": {kind: {} for kind in route.takes}}
    operation["responses"] = {
        **{
            str(status): _answer(status, shape, route.gives, schemas)
            for status, shape in route.answers.items()
        },
        "default": {"$ref": "#/components/responses/Problem"},
    }
    return operation


def _for_whom(route: Route) -> str:
    if route.public:
        return "For everybody."
    if route.signed:
        return "For the provider or partner, who proves who it is."
    others = sorted(set(route.roles) - {"admin"})
    return f"For {', '.join(['admin', *others])}."


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _named(name)}
        for name in _VARIABLE.findall(route.path)
    ]
    found += [{"name": name, "in": "query", "schema": _named(name)} for name in route.query]
    if route.idempotent:
        key = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}
        required = not route.key_optional
        found.append(
            {"name": "Idempotency-Key", "in": "header", "required": required, "schema": key}
        )
    if route.name.startswith(_SIGNED_BY_PARTNERS):
        found += _SIGNATURE
    return found


def _named(name: str) -> dict[str, Any]:
    """The schema of a variable or of a value in the query, by its name."""
    return _QUERY.get(name, {"type": "integer" if name in _NUMBERS else "string"})


def _answer(status: int, shape: Any, gives: str, schemas: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if shape is not None:
        answer["content"] = {gives: {"schema": _schema(shape, schemas)}}
    return answer


def _schema(shape: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model or shape; what it is made of goes to ``schemas``, each once."""
    schema = TypeAdapter(shape).json_schema(ref_template=SCHEMAS)
    schemas.update(schema.pop("$defs", {}))
    if shape is str or get_origin(shape) is not None:  # a text, a list of something: without name
        return schema
    schemas[shape.__name__] = schema
    return {"$ref": SCHEMAS.format(model=shape.__name__)}


def main() -> None:
    """Write the description into the file that is named as the argument."""
    from chalicelib.api.application import all_routes
    from chalicelib.wiring import wiring

    description = describe(all_routes(wiring.channels))
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    Path(sys.argv[1]).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
