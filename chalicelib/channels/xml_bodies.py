"""XML as payment providers send it, and as we answer: shallow, every field once, texts only."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

from chalicelib.channels.interface import BODY_BYTES_MAX
from chalicelib.domain.errors import MwangaError
from chalicelib.runtime.plain_xml import NotPlainXml, local_name, read_plain_xml

XML = "text/xml; charset=utf-8"


class UnreadableXml(MwangaError):
    """The body is not one plain XML document that everybody reads alike."""

    code = "malformed"


def read_xml(body: bytes) -> Element:
    """The root of a body.

    Raises:
        UnreadableXml: too large, not UTF-8, not XML, with a document type, or nested too deep.
    """
    if len(body) > BODY_BYTES_MAX:
        raise UnreadableXml("too large")
    try:
        return read_plain_xml(body)
    except NotPlainXml:
        raise UnreadableXml("not plain XML in UTF-8") from None


def texts_of(element: Element) -> dict[str, str]:
    """The texts of an element's children, trimmed, by their names without a namespace.

    Raises:
        UnreadableXml: a name is given twice (which of them counts?), or one is no text.
    """
    fields: dict[str, str] = {}
    for child in element:
        name = local_name(child)
        if name in fields or len(child):
            raise UnreadableXml("a field that is given twice, or is no text")
        fields[name] = (child.text or "").strip()
    return fields


def child_of(element: Element, *path: str) -> Element | None:
    """The only element at that place, whatever its namespace; ``None`` where there is none.

    Raises:
        UnreadableXml: there are several.
    """
    for name in path:
        found = [child for child in element if local_name(child) == name]
        if len(found) > 1:
            raise UnreadableXml(f"several {name}")
        if not found:
            return None
        element = found[0]
    return element


def written(name: str, content: Mapping[str, object]) -> str:
    """An XML document: elements with texts, or with elements of their own."""
    root = Element(name)
    _fill(root, content)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document.decode()


def _fill(element: Element, content: Mapping[str, object]) -> None:
    for name, value in content.items():
        if name.startswith("@"):
            element.set(name[1:], str(value))
        elif isinstance(value, Mapping):
            _fill(SubElement(element, name), value)
        else:
            SubElement(element, name).text = str(value)
