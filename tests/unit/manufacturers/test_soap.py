"""SOAP: what is written, and that no answer is read for more than it says."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import MwangaError
from chalicelib.manufacturers import soap
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.plain_xml import DEPTH_MAX
from chalicelib.services.ports import VendorSilent, VendUncertain

NAMESPACE = "http://vendor.example/Service"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
TOKEN = "01234567890123456789"


def envelope(inner: str, *, head: str = '<?xml version="1.0" encoding="utf-8"?>') -> bytes:
    return (
        f'{head}<s:Envelope xmlns:s="{SOAP}"><s:Body>'
        f'<DoResponse xmlns="{NAMESPACE}">{inner}</DoResponse></s:Body></s:Envelope>'
    ).encode()


def result(inner: str = f"<Token>{TOKEN}</Token>", **changes: str) -> bytes:
    return envelope(f"<DoResult>{inner}</DoResult>", **changes)


def read(body: bytes) -> dict[str, str]:
    return soap.fields_of(Answer(200, body), NAMESPACE, "DoResult")


# --- what is written --------------------------------------------------------------------------


def test_a_question_is_an_envelope_of_a_header_and_a_body():
    assert soap.question(NAMESPACE, ("Who", {"Name": "u"}), ("Do", {"A": "1", "B": "2"})) == (
        b"<?xml version='1.0' encoding='utf-8'?>\n"
        b'<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
        b'<soap:Header><Who xmlns="http://vendor.example/Service"><Name>u</Name></Who>'
        b"</soap:Header>"
        b'<soap:Body><Do xmlns="http://vendor.example/Service"><A>1</A><B>2</B></Do></soap:Body>'
        b"</soap:Envelope>"
    )


@given(st.text(alphabet="aé💡<>&\"'] /", max_size=30))
def test_no_text_breaks_out_of_its_field(text: str):
    root = fromstring(soap.question(NAMESPACE, ("Who", {"Name": text}), ("Do", {"A": text})))
    fields = [element.text or "" for element in root.iter() if not len(element)]
    assert fields == [text, text]


# --- what is read -----------------------------------------------------------------------------


def test_the_fields_of_the_one_result_are_read_and_trimmed():
    body = result(f"<Token>\n {TOKEN} </Token><Reason/><More><!-- none --></More>")
    assert read(body) == {"Token": TOKEN, "Reason": "", "More": ""}


def test_what_stands_beside_the_result_is_ignored():
    assert read(envelope(f"<Note>x</Note><DoResult><Token>{TOKEN}</Token></DoResult>")) == {
        "Token": TOKEN
    }


def test_the_prefix_of_a_namespace_does_not_matter():
    body = result()
    for before, after in ((b"<s:", b"<soap:"), (b"</s:", b"</soap:"), (b"ns:s=", b"ns:soap=")):
        body = body.replace(before, after)
    assert read(body) == {"Token": TOKEN}


def test_references_to_characters_and_the_five_entities_of_xml_are_text():
    assert read(result("<Reason>&lt;&#65;&#x42;&amp;</Reason>")) == {"Reason": "<AB&"}


def test_a_section_of_plain_text_is_text():
    assert read(result(f"<Token><![CDATA[{TOKEN}]]></Token>")) == {"Token": TOKEN}


def test_a_comment_does_not_shorten_a_text():
    assert read(result(f"<Token>{TOKEN}<!-- or rather -->0</Token>")) == {"Token": f"{TOKEN}0"}


def test_fields_of_another_namespace_are_not_taken_for_the_vendor_s():
    assert "Token" not in read(result(f'<Token xmlns="http://else.example">{TOKEN}</Token>'))


def test_a_mark_of_utf_8_at_the_beginning_is_no_matter():
    assert read(b"\xef\xbb\xbf" + result()) == {"Token": TOKEN}


# --- attacks ----------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BILLION_LAUGHS = f'<!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]>'
QUADRATIC = f'<!DOCTYPE a [<!ENTITY l "{"l" * 10_000}">]>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY l SYSTEM "file:///etc/passwd">]>'
PARAMETER = '<!DOCTYPE a [<!ENTITY % l SYSTEM "http://127.0.0.1:9/x.dtd"> %l;]>'


@pytest.mark.parametrize(
    "head",
    [
        "<!DOCTYPE a>",
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">',
        '<!DOCTYPE a [<!ELEMENT a ANY><!ENTITY l "l">]>',
        '<?xml version="1.0"?>\n<!-- x --><!DOCTYPE a [ ]>',
        BILLION_LAUGHS,
        QUADRATIC,
        EXTERNAL,
        PARAMETER,
    ],
)
@pytest.mark.parametrize("used", ["", "&l;", "&l9;" * 3])
def test_a_document_type_is_refused_whatever_it_declares(head: str, used: str):
    with pytest.raises(VendorSilent):
        read(result(f"<Token>{TOKEN}</Token><Reason>{used}</Reason>", head=head))


def test_an_entity_that_nobody_declared_is_refused():
    with pytest.raises(VendorSilent):
        read(result("<Token>&token;</Token>"))


@pytest.mark.parametrize("depth", [DEPTH_MAX, 1_000, 9_000])
def test_elements_within_elements_without_end_are_refused(depth: int):
    with pytest.raises(VendorSilent):
        read(result("<a>" * depth + "</a>" * depth))


def test_depth_is_not_length():
    assert len(read(result("".join(f"<f{n}/>" for n in range(1_000))))) == 1_000


# --- broken answers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\x00",
        b"OK",
        b'{"Token": "1"}',
        b"<html><body><p>Service Unavailable<br></body></html>",
        b"<!doctype html><html></html>",
        b"<html><body>closed well</body></html>",
        f"<Token>{TOKEN}</Token>".encode(),
        f'<DoResult xmlns="{NAMESPACE}"><Token>{TOKEN}</Token></DoResult>'.encode(),
        result()[:-1],
        result()[:200],
        result() + result(),
        result() + b"x",
        result().replace(b"<s:Body>", b"").replace(b"</s:Body>", b""),
        result().replace(b"</s:Body>", b"</s:Body><s:Body/>"),
        result().replace(SOAP.encode(), b"http://www.w3.org/2003/05/soap-envelope"),
        result().replace(b"s:Envelope", b"s:Letter"),
        result("<Token>\x00</Token>"),
        result("<Token>&#0;</Token>"),
        result("<Token a='1' a='2'/>"),
        result("<Token>é</Token>").decode().encode("latin-1"),
        result(head='<?xml version="1.0" encoding="utf-16"?>').decode().encode("utf-16"),
        result(head="").decode().encode("utf-16-le"),
        result(head="").decode().encode("utf-16-be"),
        result(head="").decode().encode("utf-32"),
        result(head="").decode().encode("cp037"),
    ],
)
def test_what_is_no_envelope_in_utf_8_comes_from_a_broken_server(body: bytes):
    with pytest.raises(VendorSilent):
        read(body)


@pytest.mark.parametrize("name", ["utf-16", "ascii", "utf-7", "gb2312", "no-such"])
def test_an_answer_is_read_as_utf_8_whatever_it_calls_itself(name: str):
    head = f'<?xml version="1.0" encoding="{name}"?>'
    assert read(result("<Reason>+ADw-é</Reason>", head=head)) == {"Reason": "+ADw-é"}


@pytest.mark.parametrize(
    "body",
    [
        envelope(""),
        envelope("<OtherResult/>"),
        envelope('<DoResult xmlns="http://else.example"/>'),
        envelope("<DoResult/><DoResult/>"),
        envelope(f"<DoResult><Token>{TOKEN}</Token></DoResult>" * 2),
        result(f"<DoResult><Token>{TOKEN}</Token></DoResult>"),
        result(f"<Token>{TOKEN}</Token>" * 2),
        result(f'<Token>{TOKEN}</Token><Token xmlns="">{TOKEN}</Token>'),
        result(f"<Token><Digits>{TOKEN}</Digits></Token>"),
        result().replace(b"<s:Body>", b"<s:Body><s:Fault/>"),
        envelope("").replace(b"<s:Body>", b"<s:Body><s:Fault><faultcode/></s:Fault>"),
    ],
)
def test_an_envelope_that_does_not_say_one_thing_once_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        read(body)
    assert not isinstance(uncertain.value, VendorSilent)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8")))
def test_any_bytes_are_fields_or_an_error_of_ours(body: bytes):
    with pytest.raises(VendUncertain):
        read(body)


@given(st.data())
def test_an_answer_that_was_cut_or_changed_is_fields_or_an_error_of_ours(data: st.DataObject):
    whole = result()
    place = data.draw(st.integers(0, len(whole) - 1))
    put = data.draw(st.binary(max_size=3))
    try:
        fields = read(whole[:place] + put + whole[place + data.draw(st.integers(0, 3)) :])
    except VendUncertain:
        return
    assert all(isinstance(text, str) for text in fields.values())


@pytest.mark.parametrize(
    "body",
    [
        f"{TOKEN}".encode(),
        result()[:-1],
        result(f"<{'T' + TOKEN}>"),
        result(f"<Token>{TOKEN}</Token>" * 2),
        envelope("").replace(b"<s:Body>", f"<s:Body><s:Fault><a>{TOKEN}</a></s:Fault>".encode()),
        result(head=f'<!DOCTYPE a [<!ENTITY t "{TOKEN}">]>'),
    ],
)
def test_no_error_repeats_what_the_answer_said(body: bytes):
    with pytest.raises(MwangaError) as error:
        read(body)
    shown: BaseException | None = error.value
    while shown is not None:
        assert TOKEN not in f"{shown!r} {shown}"
        shown = shown.__cause__
