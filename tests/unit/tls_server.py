"""A server on this machine that speaks TLS, and takes only clients with its own certificate."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Mapping
from functools import cache

from infra.local.fakes.certificates import make_certificates, server_context
from tests.unit.scripted_server import Behaviour, read_request


def certificates(name: str = "ours") -> Mapping[str, str]:
    """A made-up authority and what it signs: another one for every name."""
    return _certificates(name)


@cache
def _certificates(name: str) -> Mapping[str, str]:
    return make_certificates()


def pkcs12(name: str = "ours") -> bytes:
    """The client's certificate of that authority."""
    return base64.b64decode(certificates(name)["pkcs12"])


def over_tls(behaviour: Behaviour, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> Behaviour:
    """Behave like that after a handshake, and after reading the request."""
    context = server_context(certificates())
    context.maximum_version = version

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            read_request(secured)
            behaviour(secured)

    return behave
