"""XML as strangers send it: read without trust.

There is no use for a document type in it, and every trick with entities needs one, so none is let
in; well-made XML is shallow, and in UTF-8.
"""

from __future__ import annotations

from typing import Any, NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

DEPTH_MAX = 20


class NotPlainXml(Exception):
    """Not UTF-8, not XML, with a document type, or nested beyond reason.

    It says no more: the parser's own message may quote what was read.
    """


def read_plain_xml(content: bytes) -> Element:
    """The root of a document. It is read as UTF-8, whatever it calls itself.

    Raises:
        NotPlainXml: see there.
    """
    parser = XMLParser(target=_Builder(), encoding="utf-8")  # noqa: S314 - see _Builder
    try:
        text = content.decode("utf-8")
        if "\0" in text:  # the parser would take it for UTF-16, whatever it is told
            raise _Suspicious
        parser.feed(text)
        root: Element = parser.close()
    except (ValueError, ParseError, _Suspicious):
        raise NotPlainXml from None
    return root


def local_name(element: Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


class _Suspicious(Exception):
    """Nobody's document needs that."""


class _Builder(TreeBuilder):
    """Builds the tree of a shallow document without a document type, and of no other.

    Without a document type no entity can be declared, so nothing grows and nothing is fetched.
    """

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def doctype(self, name: str, public_id: str | None, system_id: str | None) -> NoReturn:
        """Called at the beginning of a document type, before what it declares is read."""
        raise _Suspicious

    def start(self, tag: str, attrs: dict[str, str], /) -> Any:
        """Called at the beginning of an element."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _Suspicious
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Any:
        """Called at the end of an element."""
        self._depth -= 1
        return super().end(tag)
