"""Starting a payment: what all channels have in common on which we ask the payer for the money.

The serial number is checked and the payment stored as ``pending`` before the provider is asked for
anything. One that the provider surely did not start has expired at once; one of which that is not
known stays pending, and whoever sweeps asks the provider.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from chalicelib.channels.interface import JSON, Described, Desk, Endpoint, check_size, texts
from chalicelib.channels.own_json import fields_of
from chalicelib.domain.errors import FieldError, MwangaError, Refusal, Refused
from chalicelib.domain.money import Currency, parse_amount
from chalicelib.domain.payment import Claim, Payment
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.phones import normalise_phone
from chalicelib.services.ports import (
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    ProviderUnreachable,
)

REFERENCE = re.compile(r"[0-9a-f]{32}")
"""How our references look, where a provider sets no narrower limit."""

URL_LENGTH_MAX = 2000
EMAIL_LENGTH_MAX = 254
_EMAIL = re.compile(r"[!-?A-~]+@[!-?A-~]+")

FIELDS = ("serial_number", "amount")
PHONE, EMAIL = "phone", "email"


class ProviderUnavailable(MwangaError):
    """Nothing could be started now. Nobody was charged."""

    code = "try_again"


@dataclass(frozen=True, slots=True)
class Begun:
    """What a provider was asked for: the page where the payer pays, if there is one, and what the
    provider must be told to know the payment again, beside our reference."""

    authorization_url: str | None = None
    known_as: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payer:
    """How the payer can be reached: an E.164 number, an e-mail address, both or neither."""

    phone: str | None = None
    email: str | None = None


Begin = Callable[[Payment, Payer], Begun]
"""Asks the provider to start that payment. Raises ``ProviderRefused`` and ``ProviderUnreachable``
where it surely was not, ``ProviderUncertain`` where nobody knows."""


@dataclass(frozen=True, slots=True)
class Terms:
    """In what a payment is started: into which pot, in which currency, under which reference.

    ``check`` raises ``InvalidAmount`` for an amount that the provider does not take.
    """

    source: str
    currency: Currency
    reference: Callable[[], str] = lambda: uuid4().hex
    check: Callable[[int], None] = lambda _: None


def checkout(
    key: str,
    request: ProviderRequest,
    desk: Desk,
    terms: Terms,
    begin: Begin | None,
    *,
    needs: str | None = None,
) -> ProviderAnswer:
    """Start one payment on the channel ``key``: 201.

    ``needs`` is the field that the provider cannot do without (``phone``). Without ``begin``, a
    worker asks the provider.

    Raises:
        TooLarge, UnsupportedMediaType, Malformed, FieldErrors, InvalidPhone: the request is wrong.
        InvalidAmount, Refused: the payment is refused.
        ProviderUnavailable, TryAgain, OutcomeUnknown: try again; a new attempt is a new payment.
    """
    check_size(request.body)
    needed = (*FIELDS, *((needs,) if needs else ()))
    optional = tuple(name for name in (PHONE, EMAIL) if name not in needed)
    fields = fields_of(request, needed, optional, _wrong)
    payer = _payer(fields, desk)
    started = desk.start(_claim(key, fields, payer, terms, desk))
    if isinstance(started, Refusal):
        raise Refused(started)
    begun = Begun()
    if begin is None:
        desk.hinted(started.payment_id)
    else:
        begun = _begun(begin, started, payer, desk)
    body = {"payment_id": started.payment_id, "reference": started.reference}
    if begun.authorization_url is not None:
        body["authorization_url"] = begun.authorization_url
    return ProviderAnswer(201, body)


def _begun(begin: Begin, started: Payment, payer: Payer, desk: Desk) -> Begun:
    try:
        begun = begin(started, payer)
    except (ProviderRefused, ProviderUnreachable) as not_started:
        _note(not_started, started, desk)
        desk.not_started(started, not_started.code)
        raise ProviderUnavailable("nothing was started") from not_started
    except ProviderUncertain as uncertain:
        _note(uncertain, started, desk)
        raise ProviderUnavailable("nothing is known to be started") from uncertain
    if begun.known_as:
        desk.begun(started, begun.known_as)
    return begun


def endpoint(
    key: str,
    function: Callable[[ProviderRequest, Desk], ProviderAnswer],
    *,
    needs: str | None = None,
) -> Endpoint:
    """The route on which payers, or whoever helps them, start a payment on that channel."""
    needed = (*FIELDS, *((needs,) if needs else ()))
    optional = tuple(name for name in (PHONE, EMAIL) if name not in needed)
    return Endpoint(
        f"{key}_checkout",
        "POST",
        f"/payments/{key}/checkouts",
        function,
        Described(
            proof="Nobody has to: it takes no money, it asks the payer for it.",
            body=texts(*needed, optional=optional, open_ended=False),
            problems=(
                *("malformed", "too_large", "unsupported_media_type", "invalid"),
                *(refusal.value for refusal in Refusal),
            ),
        ),
        (JSON,),
    )


def web_address(value: object) -> str:
    """An http(s) address that can be shown and opened as it is.

    Raises:
        ProviderUncertain: it is none: the provider may have started something all the same.
    """
    if not is_web_address(value):
        raise ProviderUncertain("success without the address of a page")
    return str(value)


def is_web_address(text: object) -> bool:
    """Whether it is an http(s) address that can be shown and opened as it is."""
    if not isinstance(text, str):
        return False
    fits = 0 < len(text) <= URL_LENGTH_MAX and text.isascii() and text.isprintable()
    if not fits or " " in text:
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _claim(key: str, fields: Mapping[str, Any], payer: Payer, terms: Terms, desk: Desk) -> Claim:
    """The claim of a payment that we start.

    Raises:
        InvalidAmount: no amount of that currency, or none that the provider takes.
    """
    maximum_minor = desk.settings().maximum_amount_minor
    amount_minor = parse_amount(fields["amount"], terms.currency, maximum_minor)
    terms.check(amount_minor)
    reference = terms.reference()
    return Claim(
        channel=key,
        source=terms.source,
        transaction=reference,
        reference=reference,
        serial_number=claimed_serial(fields["serial_number"]),
        amount_minor=amount_minor,
        currency=terms.currency.code,
        payer_phone=payer.phone,
    )


def _payer(fields: Mapping[str, Any], desk: Desk) -> Payer:
    phone = fields.get(PHONE)
    country = desk.settings().country
    return Payer(normalise_phone(phone, country, PHONE) if phone else None, fields.get(EMAIL))


def _wrong(name: str, value: object) -> FieldError | None:
    """What is wrong with the form of a field. An amount of any form is judged as an amount."""
    if name in ("serial_number", PHONE) and not (isinstance(value, str) and value.strip()):
        return FieldError(name, "must be a text that is not empty")
    if name == EMAIL and not is_email(value):
        return FieldError(name, f"must be an e-mail address of at most {EMAIL_LENGTH_MAX}")
    return None


def is_email(value: object) -> bool:
    """Whether it looks like an e-mail address. Nothing is ever sent there by us."""
    return (
        isinstance(value, str)
        and len(value) <= EMAIL_LENGTH_MAX
        and _EMAIL.fullmatch(value) is not None
    )


def _note(error: MwangaError, payment: Payment, desk: Desk) -> None:
    """The provider started nothing: if that happens to everybody, operations must see it."""
    desk.journal.event(
        "checkout_failed",
        channel=payment.channel,
        payment_id=payment.payment_id,
        reason=error.code,
        detail=error.detail,
    )
    desk.journal.count("CheckoutsFailed", channel=payment.channel, reason=error.code)
