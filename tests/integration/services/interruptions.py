"""What may happen at a call of a port: an error, a lost answer, somebody else's act before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Lost:
    """The call is carried out, and then its answer is lost by ``error``."""

    error: Exception


Happening = Exception | Lost | Callable[[], object] | None
"""An error in place of the call; a lost answer; an act right before it; or nothing."""


class Interrupted:
    """A real port, at whose next calls of the named methods something happens, one thing each.

    ``calls`` counts the calls by method, those that failed included.
    """

    def __init__(self, port: Any, **arranged: list[Happening]) -> None:
        self._port = port
        self._arranged = arranged
        self.calls: dict[str, int] = {}

    def __getattr__(self, method: str) -> Any:
        really = getattr(self._port, method)
        if not callable(really):
            return really

        def call(*arguments: Any, **named: Any) -> Any:
            self.calls[method] = self.calls.get(method, 0) + 1
            pending = self._arranged.get(method, [])
            happening = pending.pop(0) if pending else None
            if isinstance(happening, Exception):
                raise happening
            if isinstance(happening, Lost):
                really(*arguments, **named)
                raise happening.error
            if happening is not None:
                happening()
            return really(*arguments, **named)

        return call
