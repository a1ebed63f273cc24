"""What fakes of providers share that only call the company, and are never called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infra.local.fakes.controls import as_told
from infra.local.fakes.delivery import deliver
from infra.local.fakes.fake import NOT_FOUND, Answer, Done, Order, Request
from infra.local.fakes.faults import Fault
from infra.local.fakes.reading import OBJECT, TEXT, Fields, optional
from infra.local.fakes.wishes import TIMES

WITH_CHANGES: Fields = {"fields": optional(OBJECT), "token": optional(TEXT), "times": TIMES}
"""How a call may differ from what the provider would send: fields that replace those of the message
(``null`` leaves one out), another bearer token; and how often it is sent."""


class Caller:
    """The side of a provider that is never called: nothing is found there, nothing given back."""

    own_faults: frozenset[Fault] = frozenset()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. There is no address to call."""
        return NOT_FOUND

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`. There are no orders."""
        raise NotImplementedError

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. There are no orders."""
        raise NotImplementedError

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`. There are none."""
        return []


def changed(message: Mapping[str, Any], wish: Mapping[str, Any]) -> dict[str, Any]:
    """The message with the fields that a control wishes otherwise."""
    fields = {**message, **wish.get("fields", {})}
    return {name: value for name, value in fields.items() if value is not None}


class Talk:
    """The calls of one control, and what the company said to each."""

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []

    def call(
        self, name: str, url: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int | None, str]:
        """One call; answers the status of the company's answer, if there was one, and its body."""
        said = json.loads(deliver(url, body, headers).body)
        self._calls.append({"name": name, **said})
        return said["webhook_status"], said["webhook_answer"]

    def answer(self, **more: Any) -> Answer:
        """How the control is answered: with the last call, ``calls`` (all of them) and more.

        502 where the company could not be reached.
        """
        last = {name: value for name, value in self._calls[-1].items() if name != "name"}
        return as_told({**last, "calls": self._calls, **more})
