"""What a provider can be had done at its side, and how it tells the company of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from infra.local.fakes.delivery import deliver
from infra.local.fakes.fake import Answer
from infra.local.fakes.reading import Field, Fields, Unacceptable, check, just, optional

Act = Callable[[Mapping[str, Any]], Answer]
"""What is done with the fields of a wish; it may raise :class:`~.reading.Unacceptable`."""


TELLING: Fields = {
    "notify": optional(just(True, False)),
    "times": optional(
        Field("a whole number from 1", lambda value: type(value) is int and value >= 1)
    ),
}
"""Whether the company is told (it is, where nothing is said), and how often (once)."""


def control(fields: Fields, act: Act) -> Callable[[Any], Answer]:
    """A control that takes exactly these fields; without a body it is given none of them.

    What makes no sense is answered with 422, what is not there with the status that ``act`` says.
    """

    def take(body: Any) -> Answer:
        try:
            wanted = check({} if body is None else body, fields)
        except Unacceptable as error:
            return Answer.of({"error": str(error)}, 422)
        try:
            return act(wanted)
        except Unacceptable as error:
            return Answer.of({"error": str(error)}, error.status)

    return take


def tell(url: str, body: bytes, headers: Mapping[str, str], times: int = 1) -> dict[str, Any]:
    """Tells the company the same so many times; says of the last what ``deliver`` says of it."""
    answers = [deliver(url, body, headers) for _ in range(times)]
    told: dict[str, Any] = json.loads(answers[-1].body)
    return told


def as_told(told: Mapping[str, Any]) -> Answer:
    """How a control answers that has told the company: 502 where that was not possible."""
    return Answer.of(told, 502 if "error" in told else 200)


def tell_as_wished(fields: Mapping[str, Any], deliver_once: Callable[[], Answer]) -> Answer:
    """Tells the company as :data:`TELLING` says; answers how the last telling went."""
    answer = Answer.of({"webhook_status": None})
    if fields.get("notify", True):
        for _ in range(fields.get("times", 1)):
            answer = deliver_once()
    return answer
