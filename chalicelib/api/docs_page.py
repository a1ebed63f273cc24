"""The description of the API as one page for people: no script, and nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2530; max-width: 62rem; margin: 0 auto;
  padding: 1rem }
a { color: #0b57a4 } code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #f3f5f7; padding: .7rem; overflow: auto; border-radius: .3rem }
h2 { border-bottom: 2px solid #d5dbe2; margin-top: 2.5rem }
details { border: 1px solid #d5dbe2; border-radius: .3rem; margin: .4rem 0; padding: 0 .8rem }
summary { cursor: pointer; padding: .5rem 0 } summary span { color: #4c5866 }
b.m { display: inline-block; min-width: 4.2rem }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 1rem }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  border-top: 1px solid #e3e8ed; overflow-wrap: anywhere }
"""

_REF = "#/components/schemas/"


def page_of(api: Mapping[str, Any]) -> str:
    """The page of that description."""
    info = api["info"]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>",
            f"<header><h1>{escape(info['title'])} API</h1><p>{_marked(info['description'])}</p>",
            '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>',
            f"<nav><ul>{''.join(_contents(api))}</ul></nav></header><main>",
            *_parts(api),
            "<h2 id='shapes'>Shapes</h2>",
            *(_shape(name, schema) for name, schema in api["components"]["schemas"].items()),
            "</main></body></html>",
        ]
    )


def _contents(api: Mapping[str, Any]) -> Iterator[str]:
    for tag in api["tags"]:
        anchor, name = _anchor(tag["name"]), escape(tag["name"])
        yield f'<li><a href="#{anchor}">{name}</a>: {_marked(tag["description"])}</li>'
    yield '<li><a href="#shapes">Shapes</a>: what bodies and answers are made of.</li>'


def _parts(api: Mapping[str, Any]) -> Iterator[str]:
    for tag in api["tags"]:
        yield f'<h2 id="{_anchor(tag["name"])}">{escape(tag["name"])}</h2>'
        for path, methods in api["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    yield _operation(path, method, operation, api)


def _operation(path: str, method: str, operation: Mapping[str, Any], api: Mapping[str, Any]) -> str:
    return "".join(
        [
            f'<details id="{escape(operation["operationId"])}"><summary>',
            f'<b class="m">{method.upper()}</b><code>{escape(path)}</code> ',
            f"<span>{_marked(operation['summary'])}</span></summary>",
            f"<p>{_marked(operation['description'])}</p>",
            _proofs(operation["security"], api),
            _table("Sent with it", map(_parameter, operation.get("parameters", ()))),
            *_body(operation.get("requestBody")),
            _table("Answers", map(_answer, operation["responses"].items())),
            "</details>",
        ]
    )


def _proofs(security: Sequence[Mapping[str, Any]], api: Mapping[str, Any]) -> str:
    schemes = api["components"]["securitySchemes"]
    rows = (
        (
            f"<code>{escape(schemes[name].get('name', 'Authorization: Bearer'))}</code>",
            _marked(schemes[name]["description"]),
        )
        for each in security
        for name in each
    )
    return _table("Who is calling", rows)


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    needed = "required" if parameter["required"] else "optional"
    place = f"{parameter['in']}, {needed}"
    told = f"{_marked(parameter['description'])} {_schema(parameter['schema'])}"
    return f"<code>{escape(parameter['name'])}</code>", place, told


def _body(body: Mapping[str, Any] | None) -> Iterator[str]:
    if body is None:
        return
    rows = (
        (f"<code>{escape(kind)}</code>", _schema(content.get("schema", {})) or "as it is")
        for kind, content in body["content"].items()
    )
    yield _table("Body", rows)


def _answer(item: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
    status, answer = item
    if "$ref" in answer:
        return escape(status), f'<a href="#{_shape_anchor("Problem")}">Problem</a>'
    kinds = answer.get("content", {})
    shapes = "; ".join(
        f"<code>{escape(kind)}</code> {_schema(content['schema'])}"
        for kind, content in kinds.items()
        if kind != "application/problem+json"
    )
    headers = ", ".join(f"<code>{escape(name)}</code>" for name in answer.get("headers", ()))
    told = f"{_marked(answer['description'])} {shapes}"
    return escape(status), f"{told}<br>{headers}" if headers else told


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    parts = [f'<details id="{_shape_anchor(name)}"><summary><code>{escape(name)}</code> ']
    first, _, rest = str(schema.get("description", "")).partition("\n")
    parts.append(f"<span>{_marked(first)}</span></summary><p>{_marked(rest)}</p>")
    required = schema.get("required", ())
    rows = (
        (f"<code>{escape(field)}</code>", "required" if field in required else "", _schema(what))
        for field, what in schema.get("properties", {}).items()
    )
    parts.append(_table("Fields", rows))
    for example in schema.get("examples", ()):
        text = json.dumps(example, indent=2, ensure_ascii=False)
        parts.append(f"<h3>Example</h3><pre>{escape(text)}</pre>")
    return "".join([*parts, "</details>"])


def _schema(schema: Mapping[str, Any]) -> str:
    """A schema in a line, with links to the shapes that it names."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f'<a href="#{_shape_anchor(name)}">{escape(name)}</a>'
    for key, between in (("anyOf", " or "), ("allOf", " and ")):
        if key in schema:
            return between.join(map(_schema, schema[key]))
    kind = schema.get("type", "")
    if "items" in schema:
        return f"list of {_schema(schema['items'])}"
    if "enum" in schema:
        return "one of " + ", ".join(f"<code>{escape(str(v))}</code>" for v in schema["enum"])
    if kind == "object" and schema.get("properties"):
        fields = schema["properties"].items()
        inner = ", ".join(f"<code>{escape(n)}</code> {_schema(what)}".strip() for n, what in fields)
        return f"object with {inner}"
    limits = ("format", "pattern", "minimum", "maximum", "minLength", "maxLength", "const")
    told = [f"{name} <code>{escape(str(schema[name]))}</code>" for name in limits if name in schema]
    return ", ".join([escape(kind) if isinstance(kind, str) else " or ".join(kind), *told]).strip(
        ", "
    )


def _table(title: str, rows: Iterator[tuple[str, ...]]) -> str:
    """A table of cells that are HTML already; nothing where there are no rows."""
    found = list(rows)
    if not found:
        return ""
    width = max(map(len, found))
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in found)
    return f'<table><tr><th colspan="{width}">{title}</th></tr>{body}</table>'


def _marked(text: str) -> str:
    """The text, with what stands between backquotes as code."""
    parts = escape(text.replace("``", "`")).split("`")
    return "".join(f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(parts))


def _anchor(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())


def _shape_anchor(name: str) -> str:
    return f"shape-{escape(name)}"
