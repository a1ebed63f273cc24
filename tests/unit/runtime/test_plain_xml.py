"""XML of strangers: what is read, what is refused, and when."""

from __future__ import annotations

from xml.etree.ElementTree import XMLParser

import pytest

from chalicelib.runtime import plain_xml
from chalicelib.runtime.plain_xml import DEPTH_MAX, NotPlainXml, local_name, read_plain_xml


def test_a_document_is_read_as_utf_8_whatever_it_calls_itself() -> None:
    root = read_plain_xml('<?xml version="1.0" encoding="latin-1"?><a>Zoë</a>'.encode())
    assert root.text == "Zoë"


def test_names_are_read_without_their_namespace() -> None:
    assert local_name(read_plain_xml(b'<m:answer xmlns:m="urn:m"/>')) == "answer"
    assert local_name(read_plain_xml(b"<answer/>")) == "answer"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no XML",
        b"<a>",
        b"<a/><b/>",
        b"<a>\xff</a>",
        "<a/>".encode("utf-16"),
        b"<\0a\0/\0>\0",
        b"<a>&name;</a>",
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>',
        b"<a>" * (DEPTH_MAX + 1) + b"</a>" * (DEPTH_MAX + 1),
    ],
)
def test_anything_else_is_refused_and_not_quoted(content: bytes) -> None:
    with pytest.raises(NotPlainXml) as refused:
        read_plain_xml(content)
    assert not refused.value.args
    assert refused.value.__suppress_context__


def test_the_deepest_document_is_read() -> None:
    assert read_plain_xml(b"<a>" * DEPTH_MAX + b"</a>" * DEPTH_MAX).tag == "a"


def test_a_document_type_is_refused_before_what_it_declares_is_read() -> None:
    unread = b"<!DOCTYPE a [<!ENTITY" + b" this is no declaration at all"
    parser = XMLParser(target=plain_xml._Builder())
    with pytest.raises(plain_xml._Suspicious):
        parser.feed(unread)
