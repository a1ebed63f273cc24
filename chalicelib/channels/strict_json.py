"""JSON as strangers send it: read without losing a digit and without being fooled.

What one program reads and another ignores is how money gets lost: a key given twice, bytes that
are not UTF-8, a number that was rounded. None of that is taken here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from chalicelib.domain.errors import MwangaError


class Malformed(MwangaError):
    """The body is not one JSON object that everybody reads alike."""

    code = "malformed"


@dataclass(frozen=True, slots=True)
class Number:
    """A number, exactly as it was written. It never becomes a float on the way."""

    text: str


def read_object(
    body: bytes,
    whole: Callable[[str], object] = Number,
    broken: Callable[[str], object] = Number,
) -> dict[str, Any]:
    """Read a JSON object. Its numbers become ``Number``, so that no digit is lost.

    A reader that knows its fields may take whole and broken numbers as other exact types.

    Raises:
        Malformed: not UTF-8, not JSON, not an object, nested beyond reason, with a key given
            twice, with ``NaN`` or ``Infinity``, or with half a character.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            parse_int=whole,
            parse_float=broken,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object_of_unique_keys,
        )
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except (ValueError, RecursionError, ArithmeticError):
        # The parser's own message would quote the body.
        raise Malformed("the body is not valid JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def written(value: object) -> str:
    """A value as JSON in which every ``Number`` stands to its last digit.

    Python's own writer knows no number with decimals but a float.
    """
    if isinstance(value, Number):
        return value.text
    if isinstance(value, Mapping):
        items = (f"{json.dumps(name)}: {written(item)}" for name, item in value.items())
        return "{" + ", ".join(items) + "}"
    return json.dumps(value)


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise Malformed("the body gives a key twice")
    return unique


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON")
