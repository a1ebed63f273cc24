"""How our values are written to DynamoDB: whole numbers, exact fractions, UTC texts. No floats.

PynamoDB's own number attribute reads ``10.1`` as a float, so money never passes through it. What
is empty (``None``, zero, false, an empty list) and is empty by default is not written at all:
items stay small, and an absent attribute reads as that empty value. A default that is *not*
empty is always written, so that changing it in the code changes nothing that is stored.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any, TypeVar

from pynamodb.attributes import Attribute, BooleanAttribute, UnicodeAttribute
from pynamodb.constants import LIST, MAP, NUMBER, STRING

E = TypeVar("E", bound=StrEnum)
R = TypeVar("R")

AttributeValue = dict[str, Any]
"""A value as DynamoDB's protocol has it: ``{"S": "text"}``."""


class WholeNumberAttribute(Attribute[int]):
    """A whole number; everything else, true and false included, is refused."""

    attr_type = NUMBER

    def serialize(self, value: Any) -> str:
        """The number in decimal digits.

        Raises:
            TypeError: it is not an ``int``.
        """
        if type(value) is not int:
            raise TypeError(f"{self.attr_name}: a whole number, not {type(value).__name__}")
        return str(value)

    def deserialize(self, value: Any) -> int:
        """The number; a stored value with decimals is refused, never rounded."""
        return int(value)


class MinorUnitsAttribute(WholeNumberAttribute):
    """Money in the currency's minor unit."""


class FractionAttribute(Attribute[Fraction]):
    """An exact fraction as text: ``"1/2"``, ``"7"``."""

    attr_type = STRING

    def serialize(self, value: Any) -> str:
        """The fraction in lowest terms.

        Raises:
            TypeError: it is not a ``Fraction``.
        """
        if not isinstance(value, Fraction):
            raise TypeError(f"{self.attr_name}: a Fraction, not {type(value).__name__}")
        return str(value)

    def deserialize(self, value: Any) -> Fraction:
        """The fraction."""
        return Fraction(value)


class MomentAttribute(Attribute[datetime]):
    """A moment as ISO 8601 text in UTC, of a fixed width: the texts sort as the moments do."""

    attr_type = STRING

    def serialize(self, value: Any) -> str:
        """The moment as text, to the microsecond.

        Raises:
            TypeError: it does not say its time zone.
        """
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise TypeError(f"{self.attr_name}: a moment with its time zone")
        text = value.astimezone(UTC).isoformat(timespec="microseconds")
        return text.removesuffix("+00:00") + "Z"

    def deserialize(self, value: Any) -> datetime:
        """The moment, in UTC."""
        return datetime.fromisoformat(value)


class EpochAttribute(Attribute[datetime]):
    """A moment as seconds since 1970, rounded down: DynamoDB's time to live reads nothing else."""

    attr_type = NUMBER

    def serialize(self, value: Any) -> str:
        """The seconds in decimal digits."""
        return str(int(value.timestamp()))

    def deserialize(self, value: Any) -> datetime:
        """The moment, in UTC."""
        return datetime.fromtimestamp(int(value), UTC)


class DayAttribute(Attribute[date]):
    """A calendar day as ISO 8601 text."""

    attr_type = STRING

    def serialize(self, value: Any) -> str:
        """The day as text.

        Raises:
            TypeError: it is not a plain ``date``.
        """
        if not isinstance(value, date) or isinstance(value, datetime):
            raise TypeError(f"{self.attr_name}: a day, not {type(value).__name__}")
        return value.isoformat()

    def deserialize(self, value: Any) -> date:
        """The day."""
        return date.fromisoformat(value)


class ChoiceAttribute(Attribute[E]):
    """One of the texts of an enumeration."""

    attr_type = STRING

    def __init__(self, choices: type[E], **settings: Any) -> None:
        super().__init__(**settings)
        self.choices = choices

    def serialize(self, value: Any) -> str:
        """The text.

        Raises:
            ValueError: it is none of the choices.
        """
        return self.choices(value).value

    def deserialize(self, value: Any) -> E:
        """The member of the enumeration."""
        return self.choices(value)


class DocumentAttribute(Attribute[Mapping[str, Any]]):
    """A free document of texts, whole numbers, true and false, lists and documents."""

    attr_type = MAP

    def serialize(self, value: Any) -> AttributeValue:
        """The document as a map.

        Raises:
            TypeError: something in it is of another type; floats above all.
        """
        return {str(name): _free_value(item) for name, item in value.items()}

    def deserialize(self, value: Any) -> Mapping[str, Any]:
        """The document."""
        return {name: _free_content(item) for name, item in value.items()}


def _free_value(value: Any) -> AttributeValue:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {NUMBER: str(value)}
        case str():
            return {STRING: str(value)}
        case Fraction():
            return {STRING: str(value)}
        case datetime():
            return {STRING: MomentAttribute().serialize(value)}
        case date():
            return {STRING: value.isoformat()}
        case Mapping():
            return {MAP: DocumentAttribute().serialize(value)}
        case list() | tuple():
            return {LIST: [_free_value(item) for item in value]}
        case _:
            raise TypeError(f"{type(value).__name__} cannot be stored")


def _free_content(stored: AttributeValue) -> Any:
    [(kind, value)] = stored.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return int(value)
        case "M":
            return DocumentAttribute().deserialize(value)
        case "L":
            return [_free_content(item) for item in value]
        case _:
            return value


class RecordAttribute(Attribute[R]):
    """A dataclass as a map: one attribute per field, under the field's own name."""

    attr_type = MAP

    def __init__(self, record: type[R], **settings: Any) -> None:
        super().__init__(**settings)
        self.record = record
        self.fields = attributes_of(record)

    def serialize(self, value: Any) -> dict[str, AttributeValue]:
        """The fields that are to be written."""
        attributes = self.fields
        return {
            name: {attributes[name].attr_type: attributes[name].serialize(content)}
            for name, content in present(value).items()
        }

    def deserialize(self, value: Any) -> R:
        """The dataclass; an absent field has its default."""
        attributes = self.fields
        return self.record(
            **{
                name: attributes[name].deserialize(content)
                for name, stored in value.items()
                for content in stored.values()
            }
        )


class TupleAttribute(Attribute[tuple[R, ...]]):
    """A tuple of values of one type, as a list."""

    attr_type = LIST

    def __init__(self, element: Attribute[Any], **settings: Any) -> None:
        super().__init__(**settings)
        self.element = element

    def serialize(self, value: Any) -> list[AttributeValue]:
        """The values in their order."""
        return [{self.element.attr_type: self.element.serialize(item)} for item in value]

    def deserialize(self, value: Any) -> tuple[R, ...]:
        """The values in their order."""
        return tuple(
            self.element.deserialize(content) for stored in value for content in stored.values()
        )


def records(record: type[R]) -> TupleAttribute[R]:
    """The attribute for a tuple of dataclasses; absent when it is empty."""
    return TupleAttribute(RecordAttribute(record), null=True)


def present(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are to be written: all but those that are empty by default."""
    return {
        field.name: content
        for field in dataclasses.fields(value)
        if (content := getattr(value, field.name)) or not _is_default(field, content)
    }


def _is_default(field: dataclasses.Field[Any], content: Any) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return bool(content == field.default_factory())
    return bool(content == field.default)


def attributes_of(record: type[Any]) -> Mapping[str, Attribute[Any]]:
    """The attribute of every field of a dataclass, by its name."""
    attributes = {name: _attribute(hint) for name, hint in typing.get_type_hints(record).items()}
    for name, attribute in attributes.items():
        attribute.attr_name = name  # what a refusal names
    return attributes


_PLAIN: Mapping[Any, type[Attribute[Any]]] = {
    str: UnicodeAttribute,
    bool: BooleanAttribute,
    int: WholeNumberAttribute,
    Fraction: FractionAttribute,
    datetime: MomentAttribute,
    date: DayAttribute,
}


def _attribute(hint: Any) -> Attribute[Any]:
    """The attribute for a type as it is written in a dataclass."""
    if isinstance(hint, types.UnionType):
        [hint] = [choice for choice in typing.get_args(hint) if choice is not types.NoneType]
    if hint in _PLAIN:
        return _PLAIN[hint]()
    if typing.get_origin(hint) is Mapping:
        return DocumentAttribute()
    if typing.get_origin(hint) is tuple:
        return TupleAttribute(_attribute(typing.get_args(hint)[0]))
    if dataclasses.is_dataclass(hint):
        return RecordAttribute(typing.cast(type[Any], hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return ChoiceAttribute(hint)
    raise TypeError(f"no attribute for {hint}")
