"""SOAP 1.1: the envelope around a question, and what is in the one around an answer.

An answer is read without trust. There is no use for a document type in it, and every trick with
entities needs one, so none is let in; a well-made answer is shallow and says each thing once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn
from xml.etree.ElementTree import (
    Element,
    ParseError,
    SubElement,
    TreeBuilder,
    XMLParser,
    tostring,
)

from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import VendorSilent, VendUncertain

HEADERS = {"Content-Type": "text/xml; charset=utf-8"}
DEPTH_MAX = 20

_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"


def question(
    namespace: str,
    header: tuple[str, Mapping[str, str]],
    body: tuple[str, Mapping[str, str]],
) -> bytes:
    """An envelope with one element in its header and one in its body: names and texts.

    The prefix and the default namespace are written as attributes, so that it looks as vendors
    print it in their manuals, whatever else their servers may understand.
    """
    envelope = Element("soap:Envelope", {"xmlns:soap": _ENVELOPE})
    for part, (name, fields) in (("soap:Header", header), ("soap:Body", body)):
        element = SubElement(SubElement(envelope, part), name, {"xmlns": namespace})
        for field, text in fields.items():
            SubElement(element, field).text = text
    written: bytes = tostring(envelope, encoding="utf-8", xml_declaration=True)
    return written


def fields_of(answer: Answer, namespace: str, name: str) -> dict[str, str]:
    """The texts of the one element of that name in an answer's body, trimmed, by their names.

    Raises:
        VendorSilent: not UTF-8, not XML, not an envelope, with a document type, or nested beyond
            reason.
        VendUncertain: a fault; no such element, or several; a field that is given twice (which
            of the two counts?) or is no text.
    """
    body = _body_of(answer)
    if body.find(f"{{{_ENVELOPE}}}Fault") is not None:
        raise VendUncertain("a SOAP fault")
    found = list(body.iter(f"{{{namespace}}}{name}"))
    if len(found) != 1:
        raise VendUncertain(f"{len(found)} of {name}")
    fields: dict[str, str] = {}
    for element in found[0]:
        field = element.tag.removeprefix(f"{{{namespace}}}")
        if field in fields or len(element):
            raise VendUncertain("a field that is given twice or is no text")
        fields[field] = (element.text or "").strip()
    return fields


def _body_of(answer: Answer) -> Element:
    """The body of the envelope in an answer."""
    envelope = _root_of(answer)
    bodies = envelope.findall(f"{{{_ENVELOPE}}}Body")
    if envelope.tag != f"{{{_ENVELOPE}}}Envelope" or len(bodies) != 1:
        raise VendorSilent("the answer is not SOAP")
    return bodies[0]


def _root_of(answer: Answer) -> Element:
    """The XML in an answer, whatever its shape. It is read as UTF-8, whatever it calls itself."""
    parser = XMLParser(target=_Builder(), encoding="utf-8")  # noqa: S314 - see _Builder
    try:
        text = answer.body.decode("utf-8")
        if "\0" in text:  # the parser would take it for UTF-16, whatever it is told
            raise _Suspicious
        parser.feed(text)
        root: Element = parser.close()
    except (ValueError, ParseError, _Suspicious):
        # The parser's own message need not be told: it may quote the answer, and with it a token.
        raise VendorSilent("the answer is not XML, or not plainly so") from None
    return root


class _Suspicious(Exception):
    """No vendor's answer needs that."""


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
