"""Where in a request a field stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chalicelib.domain.errors import FieldError


@contextmanager
def below(path: str) -> Iterator[None]:
    """Within it, a field that cannot be accepted is told as one below ``path``.

    Raises:
        FieldError: on ``<path>.<field>``.
    """
    try:
        yield
    except FieldError as wrong:
        raise FieldError(f"{path}.{wrong.field}", wrong.detail, wrong.code) from wrong
