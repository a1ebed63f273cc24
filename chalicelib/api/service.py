"""The API about itself: whether it is there, and how it is used."""

from __future__ import annotations

from functools import cache
from typing import Any

from chalicelib.api.routes import Answer, Call, Routes, ok
from chalicelib.api.shapes import HealthShape

routes = Routes()

DOCS = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mwanga API</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto }
  summary { cursor: pointer; padding: .3rem 0 }
  code { font-size: .95em } pre { background: #f4f4f4; padding: .8rem; overflow: auto }
  b { display: inline-block; min-width: 4.5rem }
</style>
<h1>Mwanga API</h1>
<p>The description for programs: <a href="openapi.json">openapi.json</a>.</p>
<main>Loading …</main>
<script>
const main = document.querySelector("main")
const add = (to, tag, text) => {
  const made = to.appendChild(document.createElement(tag))
  if (text !== undefined) made.textContent = text
  return made
}
const show = (to, title, what) => {
  if (!what) return
  add(to, "h4", title)
  add(to, "pre", JSON.stringify(what, null, 2))
}
fetch("openapi.json").then(answer => answer.json()).then(api => {
  main.textContent = ""
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, route] of Object.entries(methods)) {
      const entry = add(main, "details"), head = add(entry, "summary")
      add(head, "b", method.toUpperCase())
      add(head, "code", path)
      add(entry, "p", route.summary + " " + (route.description || ""))
      show(entry, "Parameters", route.parameters)
      show(entry, "Body", route.requestBody)
      show(entry, "Answers", route.responses)
    }
  const shapes = add(main, "details")
  add(shapes, "summary", "Shapes")
  show(shapes, "", api.components.schemas)
}).catch(() => { main.textContent = "openapi.json cannot be loaded." })
</script>
</html>
"""


@routes.route("GET", "/health", public=True, answers={200: HealthShape})
def health(call: Call[None]) -> Answer:
    """Say that the API is there. Asks nothing of anything else."""
    return ok(HealthShape(status="ok"))


@routes.route("GET", "/openapi.json", public=True, answers={200: dict[str, Any]})
def openapi(call: Call[None]) -> Answer:
    """Describe the API (OpenAPI 3.1)."""
    return ok(_described(tuple(call.wiring.channels)))


@routes.route("GET", "/docs", public=True, answers={200: None})
def docs(call: Call[None]) -> Answer:
    """Show the description of the API to people."""
    return Answer(200, DOCS, content_type="text/html; charset=utf-8")


@cache
def _described(channels: tuple[Any, ...]) -> dict[str, Any]:
    """The description, made once per process: it costs more than an ordinary answer."""
    from chalicelib.api.application import all_routes
    from chalicelib.api.openapi import describe

    return describe(all_routes(channels))
