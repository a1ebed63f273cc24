"""Who is calling: how a channel knows its provider, and turns everybody else away.

Every proof is checked on the raw request, in constant time, against each of the live secrets:
there are two while one is rotated. A caller who proves nothing learns nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from chalicelib.channels.interface import Desk, header
from chalicelib.domain.errors import MwangaError
from chalicelib.services.ports import ProviderRequest

Networks = tuple[IPv4Network | IPv6Network, ...]

PATH_SECRET = "path_secret"  # noqa: S105 - the name of a path's variable
"""The variable of a path that only the provider was told."""


class Intruder(MwangaError):
    """The caller is not who it should be."""

    status = 401
    """The HTTP status that says so."""


class WrongPath(Intruder):
    """The secret part of the path is none of ours: the caller learns nothing."""

    code = "wrong_path_secret"
    status = 404


class WrongAddress(Intruder):
    """The caller's address is not one of the provider's."""

    code = "wrong_address"
    status = 403


class WrongToken(Intruder):
    """The bearer token is missing, or none that we have given out."""

    code = "wrong_token"


class InvalidSignature(Intruder):
    """The signature is missing, or not made with one of our secrets over this body."""

    code = "invalid_signature"


def check_path(request: ProviderRequest, path_secrets: Sequence[str]) -> None:
    """That the path has one of the live secrets in it.

    Raises:
        WrongPath: it has not.
    """
    if not is_one_of(request.path_parameters.get(PATH_SECRET, ""), path_secrets):
        raise WrongPath


def check_address(request: ProviderRequest, networks: Networks) -> None:
    """That the caller's address is within one of these. No networks admit nobody.

    Raises:
        WrongAddress: it is not.
    """
    try:
        caller = ip_address(request.source_address)
    except ValueError:
        raise WrongAddress from None
    if not any(caller in network for network in networks):
        raise WrongAddress


def check_bearer(request: ProviderRequest, tokens: Sequence[str]) -> None:
    """That the caller shows one of the tokens which we have given out.

    Raises:
        WrongToken: it does not.
    """
    kind, _, token = header(request, "Authorization").partition(" ")
    if kind.lower() != "bearer" or not is_one_of(token.strip(), tokens):
        raise WrongToken


def is_one_of(shown: str, live: Iterable[str]) -> bool:
    """Whether a text that a stranger shows is one of these. All are compared, in constant time."""
    given = shown.encode("utf-8", "replace")
    fits = [hmac.compare_digest(given, text.encode()) for text in live]
    return any(fits)


def note_intruder(intruder: MwangaError, channel: str, desk: Desk) -> None:
    """Somebody was turned away: operations must see it if there are many."""
    desk.journal.event("caller_refused", channel=channel, reason=intruder.code)
    desk.journal.count("CallersRefused", channel=channel, reason=intruder.code)


def note_failure(error: MwangaError, channel: str, desk: Desk) -> None:
    """Something is wrong with a report, or with us: operations must see it."""
    desk.journal.event("report_failed", channel=channel, reason=error.code, detail=error.detail)
    desk.journal.count("ReportsFailed", channel=channel, reason=error.code)
