"""The description of the API (OpenAPI 3.1), generated from its routes, models and shapes.

``python -m chalicelib.api.openapi openapi.json`` writes it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, get_origin

from pydantic import TypeAdapter

from chalicelib.api.examples import EXAMPLES
from chalicelib.api.problems import MEDIA_TYPE, STATUS_BY_CODE, Problem
from chalicelib.api.routes import LIMIT, LIMIT_MAX, Route
from chalicelib.channels.interface import JSON, Described

SCHEMAS = "#/components/schemas/{model}"

_VARIABLE = re.compile(r"\{([a-z_]+)\}")

TAGS = {
    "auth": ("Log-in", "Sessions of staff. The access token goes into `Authorization: Bearer`."),
    "customers": ("Customers", "Who they are, what they owe, and what is sold to them."),
    "devices": ("Devices", "Meters, solar home systems and e-bikes, by serial number."),
    "payments": ("Payments", "What came in, what became of it, and the ways out for a person."),
    "pauses": ("Pauses", "Channels and manufacturers that are left alone for a while."),
    "pay": ("Payment page", "Where anybody pays for a device, on any phone."),
    "tills": ("Tills", "Money that staff take by hand, and how agents stand."),
    "statements": ("Statements", "Files of providers and banks, compared with what is stored."),
    "endpoints": ("Channels", "Where payment providers and partners bring payments."),
    "sites": ("Sites", "Clusters, mini-grids and villages."),
    "catalogue": ("Catalogue", "Tariffs, appliances and manufacturers."),
    "company": ("Company", "The company's settings."),
    "personal_data": (
        "Personal data",
        "What is kept about one person, its erasure, and who changed what.",
    ),
    "moves": ("Moving in and out", "A whole portfolio by file, and everything as files."),
    "registration_app": ("Registration app", "What the Android app of field staff calls."),
    "review": ("Review", "Registrations from the field that a person must look at."),
    "reconciliations": ("Books", "Reports of the proof that no money is lost or doubled."),
    "reports": ("Reports", "What finance reads: days, months, periods, customers' statements."),
    "service": ("Service", "The API about itself."),
    "website": ("Office", "The website of the office."),
}
"""The parts of the API, by the module whose handlers they are: name and what it is about."""

_PARAMETERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    # in paths
    "agent_id": (
        "The id of the agent: of the member of staff, without dashes.",
        {"type": "string"},
    ),
    "appliance_id": ("The id of the appliance.", {"type": "integer"}),
    "channel": ("The key of the channel, such as daraja.", {"type": "string"}),
    "customer_id": ("The id of the customer, such as C17.", {"type": "string"}),
    "export_id": ("The id of the export.", {"type": "string"}),
    "file": ("The name of the file.", {"type": "string"}),
    "key": ("The key of the channel or manufacturer, such as calin.", {"type": "string"}),
    "import_id": ("The id of the import.", {"type": "string"}),
    "path_secret": ("The part of the path that only the provider knows.", {"type": "string"}),
    "report_id": ("The id of the report, such as day-2026-03-09.", {"type": "string"}),
    "payment_id": ("The id of the payment: channel, source, transaction.", {"type": "string"}),
    "plan_id": ("The id of the plan.", {"type": "string"}),
    "reference": ("The partner's own reference.", {"type": "string"}),
    "registration_id": ("The id of the registration from the field.", {"type": "string"}),
    "serial_number": ("The serial number, in any common writing.", {"type": "string"}),
    "statement_id": ("The id of the statement.", {"type": "string"}),
    "site_id": ("The id of the site, within its level.", {"type": "integer"}),
    "tariff_id": ("The id of the tariff.", {"type": "integer"}),
    # in queries
    "account": (
        "The id of the customer whose account was changed.",
        {"type": "string", "pattern": "^C[0-9]{1,15}$"},
    ),
    "cluster_id": ("The id of the cluster.", {"type": "integer"}),
    "mini_grid_id": ("The id of the mini-grid.", {"type": "integer"}),
    "village_id": ("The id of the village.", {"type": "integer"}),
    "at": (
        "A day from today on: how it is then if nothing is paid.",
        {"type": "string", "format": "date"},
    ),
    "cursor": ("Where to go on: `next` of the part before.", {"type": "string"}),
    "format": ("What the file is like.", {"type": "string", "enum": ["portfolio", "mpm"]}),
    "from": ("The first day of the period.", {"type": "string", "format": "date"}),
    "to": ("The last day of the period.", {"type": "string", "format": "date"}),
    "source": ("What the ids of the statement's payments begin with.", {"type": "string"}),
    "text": (
        "What somebody says: a phone or serial number, a receipt, a customer's or payment's id.",
        {"type": "string"},
    ),
    "take": ("Whether to take what is new as payments.", {"type": "boolean", "default": False}),
    "amount": ("The amount, to be filled in.", {"type": "string"}),
    "limit": (
        "How many items at most.",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
    ),
    "name": ("The beginning of the name, whatever its case.", {"type": "string"}),
    "number": ("A number, counted from 1.", {"type": "integer", "minimum": 1}),
    "page": ("Which page, from 1.", {"type": "integer", "minimum": 1}),
    "per_page": ("How many a page.", {"type": "integer", "minimum": 1}),
    "phone": ("The phone number, in any common writing.", {"type": "string"}),
    "receipt": ("The provider's receipt or our reference.", {"type": "string"}),
    "status": ("Only those in this status.", {"type": "string"}),
}
"""Variables of paths and values of queries: what each is, and its schema."""

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The caller's own name for this request: sent again, it is done once.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
}

_HEADERS: Mapping[str, Mapping[str, Any]] = {
    "X-Request-Id": {
        "description": "The id of this request, to name it to operations.",
        "schema": {"type": "string"},
    },
    "Idempotency-Hit": {
        "description": "`true`: it was done before, and nothing more is done now.",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {
        "description": "So many seconds later the same request may be sent again.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "That a session is needed.",
        "schema": {"type": "string", "const": "Bearer"},
    },
}


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """The description of these routes."""
    routes = sorted(routes, key=lambda route: (route.path, route.method))
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    problem = {MEDIA_TYPE: {"schema": _schema(Problem, schemas)}}
    schemas["Problem"]["properties"]["code"]["enum"] = sorted(STATUS_BY_CODE)
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    used = {_tag_of(route) for route in routes}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mwanga",
            "version": "1",
            "description": "From a payment to a token: debts first, then energy or time. Amounts "
            "are decimal strings in major units, times ISO 8601 in UTC. A problem (RFC 9457) "
            "carries a stable `code`; other answers of API Gateway itself have the same shape.",
        },
        "servers": [{"url": "/api", "description": "Where the API is, on any installation."}],
        "tags": [
            {"name": name, "description": about} for name, about in TAGS.values() if name in used
        ],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {"Problem": {"description": "What is wrong.", "content": problem}},
            "headers": dict(_HEADERS),
            "securitySchemes": _security_schemes(routes),
        },
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    summary, _, description = (route.handler.__doc__ or "").strip().partition("\n")
    told = [" ".join(description.partition("Raises:")[0].split()), _for_whom(route)]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [_tag_of(route)],
        "summary": summary,
        "description": " ".join(filter(None, told)),
        "security": _security(route),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if (content := _taken(route, schemas)) is not None:
        operation["requestBody"] = {"required": True, "content": content}
    operation["responses"] = _responses(route, schemas)
    return operation


def _tag_of(route: Route) -> str:
    return TAGS[route.handler.__module__.rpartition(".")[2]][0]


# --- who may call ---------------------------------------------------------------------------------


def _for_whom(route: Route) -> str:
    if route.public:
        return "For everybody."
    if route.described is not None:
        return f"For the provider or partner. {route.described.proof}"
    others = sorted(set(route.roles) - {"admin"})
    return f"For {', '.join(['admin', *others])}."


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.roles:
        return [{"session": []}]
    if route.described is not None and route.described.proof_headers:
        return [{name: [] for name in route.described.proof_headers}]
    return []


def _security_schemes(routes: Iterable[Route]) -> dict[str, Any]:
    """How callers say who they are: staff by a session, partners and providers by headers."""
    session = {
        "type": "http",
        "scheme": "bearer",
        "description": "The access token of POST /auth/login.",
    }
    return {
        "session": session,
        **{
            name: {"type": "apiKey", "in": "header", "name": name, "description": holds}
            for route in routes
            if route.described is not None
            for name, holds in route.described.proof_headers.items()
        },
    }


# --- what is sent ---------------------------------------------------------------------------------


def _parameters(route: Route) -> list[dict[str, Any]]:
    found = [_parameter(name, "path", required=True) for name in _VARIABLE.findall(route.path)]
    found += [_parameter(name, "query", required=False) for name in route.query]
    if route.idempotent:
        found.append({**_IDEMPOTENCY_KEY, "required": not route.key_optional})
    return found


def _parameter(name: str, place: str, *, required: bool) -> dict[str, Any]:
    what, schema = _PARAMETERS[name]
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": what,
        "schema": dict(schema),
    }


def _taken(route: Route, schemas: dict[str, Any]) -> dict[str, Any] | None:
    if route.body is not None:
        return {JSON: {"schema": _schema(route.body, schemas)}}
    if route.takes:
        return {kind: {} for kind in route.takes}
    if route.described is not None and route.described.body is not None:
        return {route.described.media_type: {"schema": dict(route.described.body)}}
    return None


# --- what is answered -----------------------------------------------------------------------------


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    found = {
        str(status): _answer(route, status, shape, schemas)
        for status, shape in route.answers.items()
    }
    found |= _in_own_words(route.described)
    for status, codes in _codes_by_status(route).items():
        problem = _problem(route, status, codes)
        answer = found.setdefault(str(status), problem)
        if answer is not problem:  # told in the provider's own words, or as a problem
            answer["content"] = {**problem["content"], **answer.get("content", {})}
    return dict(sorted(found.items())) | {"default": {"$ref": "#/components/responses/Problem"}}


def _answer(route: Route, status: int, shape: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    names = ["X-Request-Id", *(["Idempotency-Hit"] if status == 200 and route.repeats else [])]
    answer: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "headers": _headers(*names),
    }
    if shape is not None:
        answer["content"] = {route.gives: {"schema": _schema(shape, schemas)}}
    return answer


def _in_own_words(described: Described | None) -> dict[str, Any]:
    """What a provider is answered in its own words."""
    if described is None:
        return {}
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "headers": _headers("X-Request-Id"),
            "content": {described.media_type: {"schema": dict(schema)}},
        }
        for status, schema in described.answers.items()
    }


def _codes_by_status(route: Route) -> Mapping[int, list[str]]:
    by_status: dict[int, list[str]] = {}
    for code in sorted(route.codes):
        by_status.setdefault(STATUS_BY_CODE[code], []).append(code)
    return by_status


def _problem(route: Route, status: int, codes: list[str]) -> dict[str, Any]:
    names = ["X-Request-Id"]
    names += {401: ["WWW-Authenticate"], 503: ["Retry-After"]}.get(status, [])
    schema: dict[str, Any] = {"type": "object", "properties": {"code": {"enum": codes}}}
    if route.problem is dict:
        schema = {"allOf": [{"$ref": SCHEMAS.format(model="Problem")}, schema]}
    else:  # the same, with its texts where the app of field staff looks for them
        schema["required"] = ["status", "code", "detail", "errors"]
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(codes)}.",
        "headers": _headers(*names),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _schema(shape: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model or shape; what it is made of goes to ``schemas``, each once."""
    schema = TypeAdapter(shape).json_schema(ref_template=SCHEMAS)
    schemas.update(schema.pop("$defs", {}))
    if shape is str or get_origin(shape) is not None:  # a text, or a list of something: no name
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
