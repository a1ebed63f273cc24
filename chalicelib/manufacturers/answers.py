"""Asking a vendor, and reading its answer without being fooled.

An answer decides whether somebody's money became a token, so it is either clearly what it should
be or uncertain. It may hold a token or repeat our credentials: no error here quotes it.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from chalicelib.runtime.one_call import Answer, NoAnswer, NotSent, call
from chalicelib.services.ports import VendorSilent, VendorUnreachable, VendUncertain

JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}

TRY_LATER = frozenset({408, 425, 429})
"""Statuses that refuse the moment, not the request."""

WORDS_LENGTH_MAX = 200
"""So much of a vendor's own words is kept."""

_MAYBE_A_TOKEN = re.compile(r"[0-9*#](?:[\s-]*[0-9*#]){5,}")


def ask(
    method: str,
    url: str,
    headers: Mapping[str, str],
    seconds: float,
    body: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send one request to a vendor; never repeated here, no redirect followed.

    Raises:
        VendorUnreachable: no connection was made, so nothing was asked.
        VendorSilent: it may have arrived, but no whole answer came back.
    """
    try:
        return call(method, url, headers, seconds, body, tls)
    except NotSent as unsent:
        raise VendorUnreachable(str(unsent)) from unsent
    except NoAnswer as unanswered:
        raise VendorSilent(str(unanswered)) from unanswered


def is_success(answer: Answer) -> bool:
    """Whether its status is one of the 2xx."""
    return 200 <= answer.status < 300


def require_success(answer: Answer) -> None:
    """Go on with a 2xx only.

    Raises:
        VendorSilent: the server is broken or has no time now.
        VendUncertain: any other status, a redirect included.
    """
    if answer.status >= 500 or answer.status in TRY_LATER:
        raise VendorSilent(f"HTTP status {answer.status}")
    if not is_success(answer):
        raise VendUncertain(f"HTTP status {answer.status}")


def fields_of(answer: Answer) -> dict[str, Any]:
    """The JSON object in an answer. Broken numbers are read as the text they are written as.

    Raises:
        VendorSilent: not UTF-8, not JSON, not an object, nested beyond reason, with ``NaN`` or
            ``Infinity``, or with a key given twice (which of the two counts?).
    """
    fields = _json_of(answer)
    if not isinstance(fields, dict):
        raise VendorSilent("the answer is not a JSON object")
    return fields


def rows_of(answer: Answer) -> list[dict[str, Any]]:
    """The JSON objects in the list in an answer, read as ``fields_of`` reads.

    Raises:
        VendorSilent: as there, or not a list.
        VendUncertain: something in the list is not an object.
    """
    rows = _json_of(answer)
    if not isinstance(rows, list):
        raise VendorSilent("the answer is not a JSON list")
    if not all(isinstance(row, dict) for row in rows):
        raise VendUncertain("a row that is no object")
    return rows


def text_of(answer: Answer) -> str:
    """The JSON text in an answer.

    Raises:
        VendorSilent: not UTF-8, not JSON, or not a text.
    """
    text = _json_of(answer)
    if not isinstance(text, str):
        raise VendorSilent("the answer is not a JSON text")
    return text


def _json_of(answer: Answer) -> object:
    """The JSON in an answer, whatever its shape."""
    try:
        return json.loads(
            answer.body.decode("utf-8"),
            parse_float=str,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object_of_unique_keys,
        )
    except (ValueError, RecursionError):
        # The parser's own message would quote the answer, and with it a token.
        raise VendorSilent("the answer is not JSON") from None


def words_of(text: str, secrets: Iterable[str] = ()) -> str:
    """A vendor's own words, fit for a log: printable, short, without what must not be told.

    ``secrets`` are the credentials that the vendor was sent and might repeat. Anything long
    enough to be a token is taken out as well, be it a serial number.
    """
    for secret in secrets:
        text = text.replace(secret, "…")
    words = "".join(c if c.isprintable() else " " for c in _MAYBE_A_TOKEN.sub("…", text))
    return " ".join(words.split())[:WORDS_LENGTH_MAX]


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("a key is given twice")
    return unique


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
