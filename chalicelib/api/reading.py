"""Reading requests: strictly, so that what we read is what was sent.

A key given twice, bytes that are not UTF-8, a number that was rounded: what one program reads
and another ignores is how money gets lost. None of it is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from chalicelib.channels.interface import FieldErrors, check_is_json, check_size
from chalicelib.channels.strict_json import read_object
from chalicelib.domain.errors import FieldError

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
    check_size(raw)
    check_is_json(content_type)
    try:
        return model.model_validate(read_object(raw, whole=int, broken=Decimal))
    except ValidationError as invalid:
        raise _field_errors(invalid) from None


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
