"""What a payment channel is, and what it may ask of us.

A channel module offers ``CHANNEL``: plain data that names its endpoints. It imports no web
framework: the edge turns each ``Endpoint`` into a route, hands the request over with its raw
body, and presents the answer. Through the ``Desk`` a channel reaches the services.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from chalicelib.domain.errors import FieldError, MwangaError, Refusal
from chalicelib.domain.payment import Claim, Payment
from chalicelib.services.accept import Accepted, Quote
from chalicelib.services.ports import (
    Journal,
    Paid,
    ProviderAnswer,
    ProviderRequest,
    RefundTaken,
    RefusalClass,
    Settings,
    StatementForm,
)


class Desk(Protocol):
    """Where a channel brings its claims. It is the whole of what a channel sees of the system."""

    @property
    def journal(self) -> Journal:
        """Where the channel notes what operations must know."""

    def question(self, claim: Claim) -> Refusal | None:
        """Would this payment be refused? No money has moved. A no is recorded, a yes is not.

        Raises:
            TryAgain, OutcomeUnknown: it cannot be told now.
        """

    def accept(self, claim: Claim, *, money_moved: bool) -> Accepted:
        """Store the payment once. With ``money_moved`` it is stored whatever its serial.

        Raises:
            ReferenceConflict: the id is taken by another claim; that is recorded.
            TryAgain, OutcomeUnknown: not stored, or not known to be: it must be sent again.
        """

    def quote(self, claim: Claim) -> Quote | Refusal:
        """What the payment would bring now, or why it would be refused. Nothing is stored."""

    def start(self, claim: Claim) -> Payment | Refusal:
        """Check a payment that we are to start; store it as ``pending`` before anybody is asked.

        Raises:
            ReferenceConflict: the id is taken.
            TryAgain, OutcomeUnknown: not stored, or not known to be: start nothing.
        """

    def reserve(self, claim: Claim) -> Accepted:
        """Store money that the provider has reserved. A worker tells it our yes or no.

        Raises:
            ReferenceConflict: the id is taken by another claim; that is recorded.
            TryAgain, OutcomeUnknown: not stored, or not known to be: it must be sent again.
        """

    def begun(self, payment: Payment, known_as: Mapping[str, str]) -> None:
        """The provider was asked for this pending payment, and will know it by that too."""

    def hinted(self, payment_id: str) -> None:
        """There is news of this payment, says somebody: a worker asks the provider for it.

        Raises:
            NoSuchPayment: we know none of that id.
            QueueUnavailable: it must be told again.
        """

    def reversed(self, payment_id: str, reference: str) -> None:
        """The provider has given the money back, and not because we asked. Never ignored.

        Raises:
            NoSuchPayment: we know none of that id.
            TryAgain, OutcomeUnknown, VersionConflict: it must be told again.
        """

    def not_started(self, payment: Payment, reason: str) -> None:
        """The provider surely started nothing for this pending payment: it has expired."""

    def paid(self, payment_id: str, paid: Paid) -> Payment:
        """Money has moved for a payment that we started. Once; a repeat changes nothing.

        Raises:
            NoSuchPayment: we started none of that id.
            ReferenceConflict: amount or currency are not what was agreed, or the receipt is known
                for another payment. Recorded once; the right report later still works.
            TryAgain, OutcomeUnknown: not stored, or not known to be: it must be sent again.
        """

    def refund_told(self, payment_id: str, amount_minor: int, told: RefundTaken | str) -> None:
        """What a provider says of a refund by itself: taken or done, or why it failed (a text).

        News of a refund that is not there, or that has ended, is noted and changes nothing.

        Raises:
            TryAgain, OutcomeUnknown: not stored, or not known to be: it must be sent again.
        """

    def payment(self, payment_id: str) -> Payment | None:
        """The payment as it stands."""

    def secret(self, name: str) -> Mapping[str, Any]:
        """A secret of this deployment, such as ``channels/direct``.

        Raises:
            SecretMissing: it is not there, or cannot be read.
        """

    def settings(self) -> Settings:
        """The company's settings."""

    def now(self) -> datetime:
        """The present moment, in UTC."""


Schema = Mapping[str, Any]
"""A JSON Schema, as plain data."""


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """What the description of the API says of an endpoint; nothing of it is enforced by that.

    ``proof`` is how the caller shows who it is, and ``proof_headers`` the headers that it does so
    with, with what each holds. ``body`` is what is taken, ``answers`` what is answered in the
    provider's own words, by status (our own shapes, and problems, are known without it).
    ``problems`` are the codes of problems that are raised. One that ``repeats`` says so when the
    same came before. ``media_type`` is what body and answers are written in.
    """

    proof: str
    proof_headers: Mapping[str, str] = field(default_factory=dict)
    body: Schema | None = None
    answers: Mapping[int, Schema] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    repeats: bool = False
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route of a channel.

    ``path`` names its variables in braces: ``/payments/direct/{reference}``. ``content_types``
    are the bodies that the function takes, for the description of the API; an empty tuple means
    that the caller's header says nothing. The function itself answers what it does not take.
    """

    name: str
    method: str
    path: str
    function: Callable[[ProviderRequest, Desk], ProviderAnswer]
    described: Described
    content_types: tuple[str, ...] = ()


def texts(*required: str, optional: Sequence[str] = (), open_ended: bool = True) -> Schema:
    """The schema of an object of texts. One that is ``open_ended`` may have other fields too."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {name: {"type": "string"} for name in (*required, *optional)},
        "additionalProperties": open_ended,
    }


@dataclass(frozen=True, slots=True)
class Stated:
    """What people must know of a channel, one short phrase each.

    ``countries``: where it is used. ``direction``: who calls whom. ``caller``: how a caller is
    known. ``repeated``: what tells a repeated report from a new one. ``serial``: where the serial
    number is. ``amounts``: the unit on the wire. ``retries``: what the provider repeats, and how
    long it waits. ``reversal``: how money goes back. ``confirmed``: what finds a payment that
    nobody told us of. ``unverified``: what must be tried against the provider first.
    """

    countries: str
    direction: str
    caller: str
    repeated: str
    serial: str
    amounts: str
    retries: str
    reversal: str
    confirmed: str
    unverified: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """One payment channel, as data.

    ``can_refund`` says whether money can go back through the provider. A module whose provider
    can be asked something offers ``make(secrets)``, a ``Provider``, beside this. ``payer_needs`` is
    the field of a checkout that the payer must fill in, for those that we start.
    Without the part ``needs_part`` of its secret it cannot start any.
    ``shares`` is the channel of the same provider whose secret it uses too.
    ``pots`` tells from the secret's content what the ids of its payments begin with, where that is
    not the key alone; it raises ``SecretMissing`` where the secret does not say.
    ``lists_payments``: its provider can be asked for all that was paid to us. ``statement`` is how
    its statements look. ``stated`` is what people must know, for the table of all channels.
    """

    key: str
    name: str
    refusal_class: RefusalClass
    endpoints: tuple[Endpoint, ...]
    stated: Stated
    can_refund: bool = False
    payer_needs: str | None = None
    needs_part: str | None = None
    lists_payments: bool = False
    pots: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    shares: str | None = None
    statement: StatementForm = field(default_factory=StatementForm)

    @property
    def secret(self) -> str:
        """The name of what the company keeps of its provider: two channels of one share it."""
        return f"channels/{self.shares or self.key}"

    @property
    def starts_payments(self) -> bool:
        """Whether a payer can start a payment on it: its checkout is open to everybody."""
        return any(endpoint.path.endswith("/checkouts") for endpoint in self.endpoints)


class NotFound(MwangaError):
    """There is nothing under that name, or nothing that this caller may see."""

    code = "not_found"


class TooLarge(MwangaError):
    """The body is larger than any honest request."""

    code = "too_large"


class UnsupportedMediaType(MwangaError):
    """The body is of another kind than this route takes."""

    code = "unsupported_media_type"


class FieldErrors(MwangaError):
    """Several fields of a request cannot be accepted. Each of ``errors`` names one of them."""

    code = "invalid"

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.detail}" for error in errors))
        self.errors = errors


BODY_BYTES_MAX = 64 * 1024
JSON = "application/json"


def check_size(body: bytes) -> None:
    """That a body is no larger than an honest request can be.

    Raises:
        TooLarge: it is.
    """
    if len(body) > BODY_BYTES_MAX:
        raise TooLarge(f"at most {BODY_BYTES_MAX} bytes")


def check_is_json(content_type: str) -> None:
    """That a body is said to be JSON.

    Raises:
        UnsupportedMediaType: it is said to be something else, or nothing is said.
    """
    if content_type.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaType(f"the body must be {JSON}")


def shown(text: str, length_max: int) -> str:
    """A stranger's word, fit to be answered and logged: ASCII, printable, and no longer than that.

    What is not ASCII is escaped, what is not printable becomes a question mark.
    """
    escaped = text[:length_max].encode("ascii", "backslashreplace").decode()[:length_max]
    return "".join(c if c.isprintable() else "?" for c in escaped)


def header(request: ProviderRequest, name: str) -> str:
    """The value of a header, whatever its case; empty where it is missing."""
    wanted = name.lower()
    for key, value in request.headers.items():
        if key.lower() == wanted:
            return value
    return ""
