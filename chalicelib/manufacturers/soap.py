"""SOAP 1.1: the envelope around a question, and what is in the one around an answer.

An answer is read without trust; a well-made one says each thing once.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.plain_xml import NotPlainXml, read_plain_xml
from chalicelib.services.ports import VendorSilent, VendUncertain

HEADERS = {"Content-Type": "text/xml; charset=utf-8"}

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
    """The XML in an answer, whatever its shape."""
    try:
        return read_plain_xml(answer.body)
    except NotPlainXml:
        raise VendorSilent("the answer is not XML, or not plainly so") from None
