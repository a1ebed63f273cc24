"""What providers' fakes can be told to do: how it is read, and how the company is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra.local.fakes.fake import Answer
from infra.local.fakes.reading import Field, Fields, Unacceptable, check, just, optional

TELLING: Fields = {
    "notify": optional(just(True, False)),
    "times": optional(
        Field("a whole number from 1", lambda value: type(value) is int and value >= 1)
    ),
}
"""Whether the company is told (it is, where nothing is said), and how often (once)."""


def control(fields: Fields, act: Callable[[dict[str, Any]], Answer]) -> Callable[[Any], Answer]:
    """A control that takes these fields.

    What it cannot read is answered with 422; :class:`~.reading.Unacceptable` out of ``act``, with
    the status that it names.
    """

    def told(body: Any) -> Answer:
        try:
            read = check(body, fields)
        except Unacceptable as error:
            return Answer.of({"error": str(error)}, 422)
        try:
            return act(read)
        except Unacceptable as error:
            return Answer.of({"error": str(error)}, error.status)

    return told


def tell(fields: Mapping[str, Any], deliver_once: Callable[[], Answer]) -> Answer:
    """Tells the company as :data:`TELLING` says; answers how the last telling went."""
    answer = Answer.of({"webhook_status": None})
    if fields.get("notify", True):
        for _ in range(fields.get("times", 1)):
            answer = deliver_once()
    return answer
