"""Asking a provider something: one call, and what its ending means for money.

``ProviderUnreachable`` is said only of a request that certainly did not arrive; whatever is no
whole, readable answer is ``ProviderUncertain``.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from chalicelib.channels.interface import shown
from chalicelib.channels.strict_json import Malformed, Number, read_object, written
from chalicelib.domain.payment import Payment, Refund
from chalicelib.runtime.one_call import Answer, NoAnswer, NotSent, call
from chalicelib.runtime.sessions import Session
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    NotAtProvider,
    ProviderRefused,
    ProviderUncertain,
    ProviderUnreachable,
    RecoveryClass,
    RefundTaken,
)

SECONDS_MAX = 20
"""So long one call may take, unless its provider is known to need more."""

SAID_LENGTH_MAX = 100

TOKEN = re.compile(r"[!-~]{1,8000}")
"""What can be sent in a header."""

JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Said:
    """A whole answer in JSON: its HTTP status and the object in its body."""

    status: int
    fields: Mapping[str, Any]

    @property
    def is_success(self) -> bool:
        """Whether its status says that it was done."""
        return 200 <= self.status < 300

    def text(self, *path: str) -> str:
        """The text, or the number as it was written, at that place; empty where there is none."""
        return text_of(self.at(*path))

    def at(self, *path: str) -> object:
        """What stands at that place; ``None`` where there is nothing."""
        value: object = self.fields
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def uncertain(self, why: str) -> ProviderUncertain:
        """That nothing follows from this answer, in words fit for a log."""
        return ProviderUncertain(f"HTTP status {self.status}: {why}")

    def refused(self, code: str, message: str = "") -> ProviderRefused:
        """That this answer is a clear no, in words fit for a log."""
        return ProviderRefused(code, shown(message, SAID_LENGTH_MAX) or code)


def send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    seconds: float = SECONDS_MAX,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Ask once; the answer is unread.

    Raises:
        ProviderUnreachable: it certainly did not arrive.
        ProviderUncertain: there is no whole answer.
    """
    try:
        return call(method, url, headers, seconds, body, tls)
    except NotSent as unsent:
        raise ProviderUnreachable(str(unsent)) from unsent
    except NoAnswer as unanswered:
        raise ProviderUncertain(str(unanswered)) from unanswered


def ask(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: Mapping[str, object] | None = None,
    seconds: float = SECONDS_MAX,
) -> Said:
    """Ask once, in JSON. A ``Number`` in the body is written to its last digit.

    Raises:
        ProviderUnreachable: it certainly did not arrive.
        ProviderUncertain: there is no whole answer, or it is not one JSON object.
    """
    sent = None if body is None else written(body).encode()
    return read(send(method, url, {**JSON_HEADERS, **headers}, sent, seconds))


def read(answer: Answer) -> Said:
    """A whole answer as JSON.

    Raises:
        ProviderUncertain: it is not one JSON object.
    """
    try:
        return Said(answer.status, read_object(answer.body))
    except Malformed as malformed:
        raise ProviderUncertain(f"HTTP status {answer.status}, not JSON") from malformed


def text_of(value: object) -> str:
    """A text, or a number as it was written; empty where it is neither."""
    if isinstance(value, Number):
        return value.text
    return value.strip() if isinstance(value, str) else ""


def session_of(said: Said, *, named: str = "access_token", lifetime: str = "expires_in") -> Session:
    """The session that the answer to a log-in brought (RFC 6749 section 5.1).

    Raises:
        ProviderRefused: the provider does not know us (``authentication_failed``).
        ProviderUnreachable: it gave no clear answer; nothing else was asked for.
    """
    if said.status in (400, 401, 403):
        raise ProviderRefused(NOT_KNOWN_THERE)
    given, seconds = said.text(named), said.text(lifetime)
    if not said.is_success or TOKEN.fullmatch(given) is None:
        raise ProviderUnreachable("the log-in brought no session")
    if not seconds.isdecimal() or not seconds.isascii() or len(seconds) > 9:
        return Session(given)
    return Session(given, timedelta(seconds=int(seconds)))


def logged_in(log_in: Callable[[], Session]) -> Session:
    """The session that a log-in brings. Nothing else was asked for yet, so whatever the log-in's
    answer leaves open, the request itself certainly did not arrive.

    Raises:
        ProviderRefused: the provider does not know us.
        ProviderUnreachable: it gave no clear answer.
    """
    try:
        return log_in()
    except ProviderUncertain as unclear:
        raise ProviderUnreachable(f"the log-in failed: {unclear.detail}") from unclear


def quoted(text: str) -> str:
    """A text as one part of a path or query."""
    return quote(text, safe="")


def note_of(payment: Payment, refund: Refund) -> str:
    """Our name for a refund, by which it can be found again at its provider."""
    return f"{payment.payment_id}.{refund.number}"


class OnlyAsked:
    """What a provider has in common with those that give no money back by a call."""

    timeout_seconds: int = SECONDS_MAX
    refund_recovery: RecoveryClass = RecoveryClass.OPAQUE
    refund_absent_after_seconds: int = 0
    full_refunds_only: bool = True

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """There is no such call.

        Raises:
            ProviderRefused: always.
        """
        raise ProviderRefused("not_offered")

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """There is none to find.

        Raises:
            NotAtProvider: always.
        """
        raise NotAtProvider("this provider takes no refunds by a call")
