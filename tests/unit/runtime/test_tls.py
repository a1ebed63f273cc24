"""Whom we trust over TLS, and which certificate we show: against a real server."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import NoEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    load_pkcs12,
    serialize_key_and_certificates,
)

from chalicelib.runtime import tls
from chalicelib.runtime.one_call import Answer, NoAnswer, NotSent, call
from chalicelib.runtime.tls import BadCertificate, ClientCertificate
from tests.unit.scripted_server import answering, serving
from tests.unit.tls_server import certificates, over_tls, pkcs12

OK = answering(b"hello")


def client(name: str = "ours") -> ClientCertificate:
    return ClientCertificate(pkcs12(name), certificates(name)["pkcs12_password"])


def asked(
    context: ssl.SSLContext,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    host: str = "127.0.0.1",
) -> Answer:
    """What a server answers that takes our certificate alone."""
    with serving(over_tls(OK, version), reads=False) as server:
        return call("GET", f"https://{host}:{server.port}/", {}, 2, tls=context)


AUTHORITY = certificates()["ca_certificate"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_with_its_certificate_is_answered(version: ssl.TLSVersion):
    assert asked(tls.context(AUTHORITY, client()), version) == Answer(200, b"hello")


def test_a_server_of_an_authority_that_is_not_trusted_is_not_asked():
    for context in (
        tls.context(None, client()),
        tls.context(certificates("other")["ca_certificate"], client()),
    ):
        with pytest.raises(NotSent):
            asked(context)


def test_a_server_of_another_name_is_not_asked():
    with pytest.raises(NotSent):
        asked(tls.context(AUTHORITY, client()), host="127.0.0.2")


@pytest.mark.parametrize("who", [None, "other"])
def test_a_certificate_that_the_server_refuses_in_the_handshake_has_asked_nothing(
    who: str | None,
):
    with pytest.raises(NotSent):
        asked(tls.context(AUTHORITY, client(who) if who else None))


def test_a_refusal_that_comes_after_the_question_leaves_it_open_what_became_of_it():
    """With TLS 1.3 the client is done before the server has seen its certificate."""
    with pytest.raises((NoAnswer, NotSent)) as error:
        asked(tls.context(AUTHORITY), ssl.TLSVersion.TLSv1_3)
    assert isinstance(error.value, NoAnswer)


def test_nothing_older_than_tls_1_2_is_spoken():
    context = tls.context(AUTHORITY, client())
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname


@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n", "é"])
def test_what_is_no_authority_is_told(text: str):
    with pytest.raises(BadCertificate):
        tls.context(text or "\n")


def without(key: bool) -> bytes:
    """Our PKCS#12 without its key, or without its certificate."""
    password = certificates()["pkcs12_password"].encode()
    bundle = load_pkcs12(pkcs12(), password)
    assert bundle.cert is not None
    if key:
        return serialize_key_and_certificates(
            b"x", None, bundle.cert.certificate, None, NoEncryption()
        )
    return serialize_key_and_certificates(b"x", bundle.key, None, None, NoEncryption())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        ClientCertificate(b"", "x"),
        ClientCertificate(b"no pkcs12", "x"),
        ClientCertificate(pkcs12(), "a wrong guess"),
        ClientCertificate(pkcs12()[:-20], certificates()["pkcs12_password"]),
        ClientCertificate(without(key=True), ""),
        ClientCertificate(without(key=False), ""),
    ],
)
def test_what_is_no_certificate_of_ours_is_told_without_its_password(bad: ClientCertificate):
    with pytest.raises(BadCertificate) as error:
        tls.context(AUTHORITY, bad)
    if bad.password:
        assert bad.password not in f"{error.value!r} {error.value}"
    assert error.value.__cause__ is None


def test_the_key_does_not_stay_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[tuple[int, bytes]] = []
    load = ssl.SSLContext.load_cert_chain

    def spied(made: ssl.SSLContext, name: str, password: bytes) -> None:
        path = Path(name)
        seen.append((path.stat().st_mode & 0o777, path.read_bytes()))
        load(made, name, password=password)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spied)
    tls.context(AUTHORITY, client())
    [(mode, content)] = seen
    assert mode == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in content
    assert list(tmp_path.iterdir()) == []


def test_the_key_does_not_stay_in_a_file_where_it_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def failing(*_: object, **__: object) -> None:
        raise ssl.SSLError("key values mismatch")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", failing)
    with pytest.raises(BadCertificate):
        tls.context(AUTHORITY, client())
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_is_not_shown_where_it_is_printed():
    assert repr(client()) == "ClientCertificate()"
