"""Certificates of a made-up authority, and a server that takes only clients which have one."""

from __future__ import annotations

import base64
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from tempfile import NamedTemporaryFile

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.local.fakes.fake import Settings
from infra.local.processes import HOST

_VALID = timedelta(days=365)
_CLOCKS_DIFFER_BY = timedelta(hours=1)


def make_certificates() -> dict[str, str]:
    """A new authority and what it signs: a certificate for a local server, one for its client.

    ``ca_certificate``, ``server_certificate`` and ``server_key`` are PEM; ``pkcs12`` holds the
    client's certificate and key in base64, under ``pkcs12_password``. The authority's own key is
    forgotten: nobody can sign a second client.
    """
    authority = _authority()
    server = _signed(authority, HOST, ExtendedKeyUsageOID.SERVER_AUTH, _server_names())
    client = _signed(authority, "Mwanga Local", ExtendedKeyUsageOID.CLIENT_AUTH)
    password = secrets.token_urlsafe(24)
    pkcs12 = serialize_key_and_certificates(
        b"client", client.key, client.certificate, None, BestAvailableEncryption(password.encode())
    )
    return {
        "ca_certificate": authority.certificate_pem(),
        "server_certificate": server.certificate_pem(),
        "server_key": server.key_pem(),
        "pkcs12": base64.b64encode(pkcs12).decode(),
        "pkcs12_password": password,
    }


def make_encryption_certificate(name: str) -> tuple[str, str]:
    """A certificate of an RSA key, by which others encrypt for ``name``; and that key. Both PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issued = _name(name)
    certificate = _certificate(key, issued, issuer=issued).sign(key, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), private.decode()


def server_context(settings: Settings) -> ssl.SSLContext:
    """How a server speaks TLS that only takes clients which this authority signed.

    Not TLS 1.3: there the client is done with its handshake before the server has seen its
    certificate, and learns only afterwards that it was refused.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=settings["ca_certificate"])
    with NamedTemporaryFile("w", encoding="ascii") as file:  # they can be loaded from a file only
        file.write(settings["server_certificate"] + settings["server_key"])
        file.flush()
        context.load_cert_chain(file.name)
    return context


@dataclass(frozen=True)
class _Certified:
    """A key and the certificate of its owner."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def key_pem(self) -> str:
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem.decode()


def _authority() -> _Certified:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Mwanga Local CA")
    builder = (
        _certificate(key, name, issuer=name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _Certified(key, builder.sign(key, SHA256()))


def _signed(
    authority: _Certified,
    name: str,
    purpose: x509.ObjectIdentifier,
    extensions: Sequence[x509.ExtensionType] = (),
) -> _Certified:
    key = ec.generate_private_key(ec.SECP256R1())
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _certificate(key, _name(name), issuer=authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(signer, critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return _Certified(key, builder.sign(authority.key, SHA256()))


def _certificate(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, subject: x509.Name, issuer: x509.Name
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER_BY)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _server_names() -> list[x509.ExtensionType]:
    names = [x509.IPAddress(ip_address(HOST)), x509.DNSName("localhost")]
    return [x509.SubjectAlternativeName(names)]


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
