"""What passes between a payment provider and its channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class RefusalClass(StrEnum):
    """What refusing means on a channel."""

    ASKS_FIRST = "asks_first"
    TWO_PHASE = "two_phase"
    WE_START = "we_start"
    TOLD_AFTER = "told_after"


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """An inbound provider call, before anything of it is trusted."""

    method: str
    path_parameters: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    source_address: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What goes back to the provider, in its own words. ``body`` is JSON-able or text."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
