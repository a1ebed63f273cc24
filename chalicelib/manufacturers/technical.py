"""What an operator may enter for a device."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from chalicelib.domain.errors import FieldError

NAME_LENGTH_MAX = 60


def refuse_unknown(technical: Mapping[str, Any], known: Collection[str] = ()) -> None:
    """Let only known fields pass; without ``known``, none at all.

    Raises:
        FieldError: with the path of the first that is not known.
    """
    for name in technical:
        if name not in known:
            raise FieldError(f"technical.{name[:NAME_LENGTH_MAX]}", "is not known")
