"""Writes docs/roles.md, what each function may do, anew: ``python -m infra.checks.roles``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.checks.limits import Installation, resolve
from infra.checks.reading import FUNCTION, Template, of_type, statements_of
from infra.package import ROOT, build, load_template

FILE = ROOT / "docs" / "roles.md"
"""The page."""

_HEAD = """# What each function may do

Written by `make roles` from the built template; a test holds it. Each function has a role of its
own and may do nothing else. All of them also may write to their own log and to X-Ray, which are
left out below. Why it is so, and how it is checked, is in [security.md](security.md).
"""

_EVERYBODY = {"Trace", "WriteItsLog"}
_PLAIN = Installation("<stack>", "<region>", "<account>")


def page(template: Template) -> str:
    """The whole page, for the template of a package."""
    parts = [_HEAD]
    for function, properties in sorted(of_type(template, FUNCTION).items()):
        name = properties["FunctionName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
        rows = list(_rows(template, function))
        parts.append(f"## {name}\n\n| to | may | on |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _rows(template: Template, function: str) -> Iterator[str]:
    for statement in statements_of(template, function):
        if statement["Sid"] not in _EVERYBODY:
            actions = ", ".join(f"`{action}`" for action in statement["Action"])
            on = ", ".join(sorted(_plain(template, item) for item in statement["Resource"]))
            yield f"| {_words(statement['Sid'])} | {actions} | {on} |"


def _words(sid: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", sid).lower()


def _plain(template: Template, resource: Any) -> str:
    """The end of a resource's name, which says all that differs."""
    name = str(resolve(template, resource, _PLAIN)).removesuffix("-AbCdEf")
    name = re.sub(r"^userpool/.*", "the staff pool", name.split(":", 5)[-1])
    name = re.sub(r"^(table/|secret:|userpool/)?<stack>[-/]", "", name)
    return f"`{re.sub('-<account>', '', name)}`"


def main(file: Path = FILE) -> None:
    """Writes the page."""
    file.write_text(page(load_template(build())), encoding="utf-8")


if __name__ == "__main__":
    main()
