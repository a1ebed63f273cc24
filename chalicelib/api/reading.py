"""Reading requests: strictly, so that what we read is what was sent.

A key given twice, bytes that are not UTF-8, a number that was rounded: what one program reads
and another ignores is how money gets lost. None of it is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from chalicelib.api.problems import Malformed
from chalicelib.channels.interface import FieldErrors, TooLarge, UnsupportedMediaType
from chalicelib.domain.errors import FieldError

BODY_BYTES_MAX = 64 * 1024
JSON = "application/json"
ERRORS_MAX = 20
FIELD_LENGTH_MAX = 100
QUERY_LENGTH_MAX = 150
CURSOR_LENGTH_MAX = 1000
"""Longer ones could not be looked for: the store's keys have a limit in bytes."""

Body = TypeVar("Body", bound=BaseModel)

_WHOLE_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)


def read_body(model: type[Body], raw: bytes, content_type: str) -> Body:
    """The body of a request, as its model.

    Raises:
        TooLarge, UnsupportedMediaType, Malformed: see there.
        FieldErrors: fields are missing, unknown, or of another type.
    """
    if len(raw) > BODY_BYTES_MAX:
        raise TooLarge(f"at most {BODY_BYTES_MAX} bytes")
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType(f"the body must be {JSON}")
    try:
        return model.model_validate(read_object(raw))
    except ValidationError as invalid:
        raise _field_errors(invalid) from None


def read_object(raw: bytes) -> dict[str, Any]:
    """A JSON object. Numbers with a point stay exact (``Decimal``).

    Raises:
        Malformed: not UTF-8, not JSON, not an object, nested beyond reason, with a key given
            twice, with ``NaN`` or ``Infinity``, or with half a character.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_float=Decimal,
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


def whole_number(text: str) -> int | None:
    """The number that is written in a path or a query; ``None`` where it is none."""
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else None


def read_query(given: Mapping[str, list[str]] | None) -> Mapping[str, str]:
    """The query's values by name.

    Raises:
        FieldErrors: one is given twice, or is longer than anything that could be found.
    """
    query: dict[str, str] = {}
    for name, values in (given or {}).items():
        if len(values) != 1:
            raise FieldErrors((FieldError(name[:FIELD_LENGTH_MAX], "must be given once"),))
        if len(values[0]) > (CURSOR_LENGTH_MAX if name == "cursor" else QUERY_LENGTH_MAX):
            raise FieldErrors((FieldError(name[:FIELD_LENGTH_MAX], "is too long"),))
        query[name] = values[0]
    return query


def _field_errors(invalid: ValidationError) -> FieldErrors:
    found = invalid.errors(include_url=False, include_context=False, include_input=False)
    return FieldErrors(
        tuple(
            FieldError(".".join(map(str, error["loc"]))[:FIELD_LENGTH_MAX], error["msg"])
            for error in found[:ERRORS_MAX]
        )
    )


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a key is given twice")
    return unique


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
