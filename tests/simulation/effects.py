"""Side effects: all that a function does to the world outside its own process, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import botocore.client
import pytest

from chalicelib.channels import asking
from chalicelib.manufacturers import answers
from chalicelib.sms.log import LogGateway

SERVICES = ("dynamodb", "sqs")
_READS = ("Get", "BatchGet", "Query", "Scan")


@dataclass(frozen=True)
class Effect:
    """One side effect: which (``dynamodb PutItem``), and whether it can change anything."""

    name: str
    changes: bool
    arguments: Any = None
    """Of a request to AWS: what is asked for."""


Act = Callable[[], Any]
Observer = Callable[[Effect, Act], Any]
"""Stands between a function and the outside: does the act, or something else."""


def _undisturbed(effect: Effect, act: Act) -> Any:
    return act()


_observer: Observer = _undisturbed


def observe(observer: Observer) -> None:
    """Let all side effects of this process go through ``observer`` from now on."""
    global _observer
    _observer = observer


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Let all side effects within go through ``observer``."""
    before = _observer
    observe(observer)
    try:
        yield
    finally:
        observe(before)


@contextmanager
def unobserved() -> Iterator[None]:
    """Let all side effects within happen as ever."""
    with observed(_undisturbed):
        yield


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead every way to the outside through the observer."""
    request = botocore.client.BaseClient._make_api_call
    call, send = answers.call, LogGateway.send

    def requested(client: Any, operation: str, arguments: Any) -> Any:
        service = client.meta.service_model.service_name
        if service not in SERVICES:
            return request(client, operation, arguments)
        effect = Effect(f"{service} {operation}", not operation.startswith(_READS), arguments)
        return _observer(effect, lambda: request(client, operation, arguments))

    def called(method: str, url: str, *arguments: Any, **named: Any) -> Any:
        effect = Effect(f"{method} {urlsplit(url).path}", method != "GET")
        return _observer(effect, lambda: call(method, url, *arguments, **named))

    def sent(gateway: LogGateway, message: Any) -> None:
        _observer(Effect("SMS", changes=True), lambda: send(gateway, message))

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", requested)
    monkeypatch.setattr(answers, "call", called)
    monkeypatch.setattr(asking, "call", called)
    monkeypatch.setattr(LogGateway, "send", sent)


def telling(effects: Sequence[Effect]) -> list[int]:
    """The numbers, from 1, of the side effects at which a disturbance can tell anything new.

    The sweeper asks one part of an index after the other; what comes between two such questions
    could as well come before the first or after the last of them.
    """
    return [
        number
        for number in range(1, len(effects) + 1)
        if not all(_asks(effects, near) for near in (number - 1, number, number + 1))
    ]


def _asks(effects: Sequence[Effect], number: int) -> bool:
    return 1 <= number <= len(effects) and effects[number - 1].name == "dynamodb Query"
