"""Bodies of our own JSON routes: every field that must be there, and none that we do not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chalicelib.channels.interface import FieldErrors, check_is_json, header, shown
from chalicelib.channels.strict_json import read_object
from chalicelib.domain.errors import FieldError
from chalicelib.services.ports import ProviderRequest

ERRORS_MAX = 20
NAME_LENGTH_MAX = 60

Wrong = Callable[[str, object], FieldError | None]
"""What is wrong with the form of a field of that name, if anything."""


def fields_of(
    request: ProviderRequest,
    required: Sequence[str],
    optional: Sequence[str],
    wrong: Wrong,
) -> dict[str, Any]:
    """The fields of the body, each of the right form. One that is null counts as left out.

    Raises:
        UnsupportedMediaType, Malformed: it is not said to be JSON, or is none.
        FieldErrors: fields are missing, not known, or wrong.
    """
    check_is_json(header(request, "Content-Type"))
    known = (*required, *optional)
    body = read_object(request.body)
    fields = {name: value for name, value in body.items() if value is not None}
    errors = [
        FieldError(shown(name, NAME_LENGTH_MAX), "is not known")
        for name in body
        if name not in known
    ]
    errors += [FieldError(name, "is required") for name in required if name not in fields]
    if not errors:
        errors += [error for name, value in fields.items() if (error := wrong(name, value))]
    if errors:
        raise FieldErrors(tuple(errors[:ERRORS_MAX]))
    return fields
