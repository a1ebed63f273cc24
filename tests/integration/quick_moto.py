"""Makes moto answer DynamoDB's requests twice as fast, with the same answers.

For each attribute of each item moto tries the ten types of DynamoDB's protocol under several
possible names each. Its items have them under the protocol's own names already, so they are
written out as they are. A test compares the two ways.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.serialize import BaseJSONSerializer

Write = Callable[[Any, Any, Any, Any, str], None]

_thoroughly: Write = BaseJSONSerializer._serialize_type_structure


def _as_it_is(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    if shape.name == "AttributeValue" and type(value) is dict:
        self._default_serialize(serialized, value, shape, key)
    else:
        _thoroughly(self, serialized, value, shape, key)


def quicken() -> None:
    """From now on. Doing it again changes nothing."""
    BaseJSONSerializer._serialize_type_structure = _as_it_is


def slow_down() -> None:
    """As moto came."""
    BaseJSONSerializer._serialize_type_structure = _thoroughly
