"""What is found and yet right, each with its reason: :file:`exceptions.yaml`.

An exception that meets nothing any more is a problem like any other: it would hide the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("exceptions.yaml")
"""All exceptions of this project."""


@dataclass(frozen=True)
class Finding:
    """What a check or a linter holds against one place of a template."""

    rule: str
    place: str
    """Where, such as ``Resources/Vend/DependsOn`` or a logical id."""
    text: str
    template: str = ""
    """The file, where several are looked through at once."""


@dataclass(frozen=True)
class Allowed:
    """One exception: a rule, the places where it does not hold, and why."""

    rule: str
    places: tuple[str, ...]
    """``*`` is any text."""
    reason: str


def read_exceptions(of: str, file: Path = FILE) -> list[Allowed]:
    """The exceptions from one checker's findings: ``stars``, ``cfn-lint`` or ``checkov``."""
    listed: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))[of]
    return [Allowed(item["rule"], tuple(item["at"]), item["why"].strip()) for item in listed]


def not_allowed(findings: Iterable[Finding], allowed: Iterable[Allowed]) -> list[str]:
    """What is wrong: findings without an exception, and exceptions without a finding."""
    problems = []
    unmet = {(item.rule, place) for item in allowed for place in item.places}
    expected = set(unmet)
    for finding in findings:
        meeting = {
            (rule, place)
            for rule, place in expected
            if rule == finding.rule and fnmatchcase(finding.place, place)
        }
        unmet -= meeting
        if not meeting:
            problems.append(f"{finding.rule} at {finding.place}: {finding.text}")
    problems += [
        f"the exception from {rule} at {place} meets nothing any more" for rule, place in unmet
    ]
    return sorted(set(problems))
