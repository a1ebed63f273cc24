"""Reads the JSON body of a request, as strictly as the other side's documentation allows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from infra.local.fakes.fake import Request

_NUMBER_MAX = 10**9
_SMALLEST_STEP = Decimal("0.001")


class Unacceptable(Exception):
    """A request that is not as documented. The text says why; ``status`` is its HTTP status."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Field:
    """One field of a JSON object: the test of its value, and in words what it must be."""

    must_be: str
    accepts: Callable[[Any], bool]
    optional: bool = False


Fields = Mapping[str, Field]

TEXT = Field("a text", lambda value: isinstance(value, str) and value != "")
TEXT_OR_EMPTY = Field("a text, perhaps empty", lambda value: isinstance(value, str))
OBJECT = Field("an object", lambda value: isinstance(value, dict))


def optional(field: Field) -> Field:
    """The field, where it may be left out."""
    return Field(field.must_be, field.accepts, optional=True)


def just(*values: str | bool) -> Field:
    """One of these values and nothing else."""
    words = " or ".join(json.dumps(value) for value in values)
    return Field(words, lambda value: isinstance(value, str | bool) and value in values)


def number(decimals: int) -> Field:
    """A number above zero with so many decimals at most (three is the most that is sensible)."""

    def accepts(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return False
        if not _SMALLEST_STEP <= value <= _NUMBER_MAX:
            return False
        return bool((Fraction(value) * 10**decimals).denominator == 1)

    return Field(f"a number above zero with {decimals} decimals at most", accepts)


def numeral(decimals: int) -> Field:
    """Such a number as a text of digits, with a point where there are decimals."""
    wanted = number(decimals)

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, str)
            and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) is not None
            and wanted.accepts(Decimal(value))
        )

    return Field(wanted.must_be, accepts)


def matching(pattern: str, must_be: str) -> Field:
    """A text of that form."""
    return Field(
        must_be, lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value))
    )


def read_object(request: Request, fields: Fields) -> dict[str, Any]:
    """The object in the body: exactly these fields, each as it must be.

    Numbers with a point are decimals.

    Raises:
        Unacceptable: see there.
    """
    if not _is_json(request.headers.get("content-type", "")):
        raise Unacceptable("application/json;charset=utf-8 expected", 415)
    try:
        value = json.loads(
            request.body.decode("utf-8"),
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_repetition,
        )
    except (ValueError, RecursionError):
        raise Unacceptable("the body is not JSON") from None
    return check(value, fields)


def check(value: Any, fields: Fields, path: str = "") -> dict[str, Any]:
    """The same for an object that was read already; ``path`` is where it stands in the body.

    Raises:
        Unacceptable: see there.
    """
    if not isinstance(value, dict):
        raise Unacceptable(f"{path or 'the body'} must be an object")
    required = {name for name, field in fields.items() if not field.optional}
    if not required <= set(value) <= set(fields):
        names = ", ".join(sorted(fields))
        raise Unacceptable(f"exactly these fields are expected{path and ' in '}{path}: {names}")
    for name, content in value.items():
        if not fields[name].accepts(content):
            raise Unacceptable(f"{name} must be {fields[name].must_be}")
    return value


def moment_of(text: str) -> datetime | None:
    """The moment that an ISO 8601 text with an offset names; ``None``: it names none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


MOMENT = Field(
    "a time in ISO 8601 with its offset",
    lambda value: isinstance(value, str) and moment_of(value) is not None,
)


def _is_json(content_type: str) -> bool:
    kind, _, parameters = content_type.lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    return kind.strip() == "application/json" and charset in ("", "charset=utf-8")


def _refuse_constant(text: str) -> Any:
    raise ValueError(text)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name is repeated")
    return value
