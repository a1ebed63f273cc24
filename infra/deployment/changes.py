"""What a change set would do, for people to read, and what it must not do unless it is said."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HOLDS_DATA = {
    "AWS::Cognito::UserPool": "user pool",
    "AWS::Cognito::UserPoolGroup": "group of the user pool",
    "AWS::DynamoDB::Table": "table",
    "AWS::S3::Bucket": "bucket",
    "AWS::SQS::Queue": "queue",
    "AWS::SecretsManager::Secret": "secret",
}
"""What is lost, or lost sight of, with its resource."""

_WORDS = {"Add": "added", "Import": "taken over", "Remove": "REMOVED", "Dynamic": "unknown"}
_ORDER = (
    *("REMOVED", "REPLACED", "perhaps REPLACED", "unknown"),
    *("let go", "added", "taken over", "changed"),
)


@dataclass(frozen=True)
class Change:
    """One resource that a change set would touch. ``effect`` is one of ``added``, ``changed``,
    ``REPLACED``, ``perhaps REPLACED``, ``REMOVED``, ``let go`` (it stays, without the stack),
    ``taken over`` (it was there, without the stack), ``unknown``."""

    effect: str
    logical_id: str
    kind: str
    because: tuple[str, ...] = ()

    @property
    def endangers_data(self) -> bool:
        """Whether something that holds data would be removed or replaced, or might be."""
        harmless = {"added", "changed", "taken over"}
        return self.kind in HOLDS_DATA and self.effect not in harmless


def change_of(described: Mapping[str, Any]) -> Change:
    """A change as ``DescribeChangeSet`` gives it."""
    resource = described["ResourceChange"]
    names = {
        detail["Target"].get("Name") or detail["Target"]["Attribute"]
        for detail in resource.get("Details", [])
    }
    return Change(
        _effect(resource),
        resource["LogicalResourceId"],
        resource["ResourceType"],
        (*sorted(names),),
    )


def _effect(resource: Mapping[str, Any]) -> str:
    action = resource["Action"]
    if action == "Remove" and str(resource.get("PolicyAction", "")).startswith("Retain"):
        return "let go"
    if action == "Modify":
        replaced = {"True": "REPLACED", "Conditional": "perhaps REPLACED"}
        return replaced.get(resource.get("Replacement", "False"), "changed")
    return _WORDS.get(action, "unknown")


def table(changes: Iterable[Change]) -> str:
    """The changes for people: the dangerous ones first."""
    rows = [
        (change.effect, change.kind.removeprefix("AWS::"), change.logical_id, _because(change))
        for change in sorted(changes, key=lambda c: (_ORDER.index(c.effect), c.kind, c.logical_id))
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = (
        "  ".join((*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _because(change: Change) -> str:
    return ", ".join(change.because)


def refused(changes: Sequence[Change], allowed: Collection[str]) -> list[Change]:
    """The changes that nobody makes by a slip: those that endanger data and were not allowed,
    by logical id, by whoever deploys."""
    return [c for c in changes if c.endangers_data and c.logical_id not in allowed]
