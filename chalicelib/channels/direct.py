"""Direct: our own signed JSON channel, for any partner that takes its customers' money.

A partner asks for a payment and takes its customer's money only when we answer 202 or 200, so a
refusal costs nobody anything. Whoever holds one of the partner's live secrets is the partner:
``Mwanga-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + "." + raw body)>``, and for
GET the signed text is ``t + "." + reference``.

Problems are raised as typed errors; the edge turns their codes into problem documents.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.channels.interface import (
    JSON,
    Channel,
    Described,
    Desk,
    Endpoint,
    NotFound,
    Schema,
    Stated,
    check_size,
    header,
    texts,
)
from chalicelib.channels.own_json import fields_of
from chalicelib.domain.errors import FieldError, InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.money import Currency, parse_amount
from chalicelib.domain.payment import Claim, payment_id_of
from chalicelib.services.accept import Accepted
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.phones import normalise_phone
from chalicelib.services.ports import (
    ProviderAnswer,
    ProviderRequest,
    RefusalClass,
    SecretMissing,
    Settings,
)

KEY = "direct"
SECRET = "channels/direct"  # noqa: S105 - the name of a secret, not a secret
TOLERANCE = timedelta(minutes=5)

_SIGNATURE = re.compile(r"t=([0-9]{1,11}),v1=([0-9a-fA-F]{64})")
_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)

_PARTNER = re.compile(r"[A-Za-z0-9._]{1,28}")
"""No dash: it ends the source in a payment's id, so ``a`` + ``b-c`` could pass for ``a-b`` + ``c``.
No longer: together with the longest reference, the id must have at most 100 characters."""

_NOBODYS_SECRETS = ("no partner has this secret",)
"""What an unknown partner's signature is compared with, so that it is no quicker to refuse."""

_QUOTE_FIELDS = ("serial_number", "amount", "currency")
_PAYMENT_FIELDS = ("reference", *_QUOTE_FIELDS)
_PAYMENT_FIELDS_OPTIONAL = ("payer_phone", "paid_at")


class UnknownPartner(MwangaError):
    """No partner of that name is known here."""

    code = "unknown_partner"


class InvalidSignature(MwangaError):
    """The signature is missing, unreadable, or not made with a live secret over this text."""

    code = "invalid_signature"


class ExpiredSignature(MwangaError):
    """The signature is right, but was made too long ago (or by a clock too far ahead)."""

    code = "expired_signature"


# --- the endpoints --------------------------------------------------------------------------


def pay(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Take a payment: 202 when it is new, 200 when the same was sent before.

    Raises:
        UnknownPartner, InvalidSignature, ExpiredSignature: the caller is not who it says.
        TooLarge, UnsupportedMediaType, Malformed, FieldErrors, FieldError: the request is wrong.
        Refused, InvalidAmount: the payment is refused; no money may be taken.
        ReferenceConflict: the reference was used for another payment.
        SecretMissing, TryAgain, OutcomeUnknown: send it again.
    """
    partner = _authenticated_sender(request, desk)
    fields = fields_of(request, _PAYMENT_FIELDS, _PAYMENT_FIELDS_OPTIONAL, _wrong)
    claim, wrong_amount = _claim(fields, partner, desk.settings())
    outcome = desk.accept(claim, money_moved=False)
    if outcome.refusal is not None:
        raise wrong_amount or Refused(outcome.refusal)
    return _taken(outcome)


def quote(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """What a payment would bring now. Writes nothing. The body is a ``Quote``.

    Raises:
        as ``pay``, except ReferenceConflict.
    """
    partner = _authenticated_sender(request, desk)
    fields = fields_of(request, _QUOTE_FIELDS, (), _wrong)
    claim, wrong_amount = _claim(fields, partner, desk.settings())
    if wrong_amount is not None:
        raise wrong_amount
    answer = desk.quote(claim)
    if isinstance(answer, Refusal):
        raise Refused(answer)
    return ProviderAnswer(200, answer)


def read(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """One payment of the partner's own, by its reference. The body is a ``Payment``.

    Raises:
        UnknownPartner, InvalidSignature, ExpiredSignature: the caller is not who it says.
        NotFound: this partner has sent no payment of that reference.
    """
    reference = request.path_parameters.get("reference", "")
    partner = _authenticated(request, desk, reference.encode("utf-8", "replace"))
    if _REFERENCE.fullmatch(reference) is None:
        raise NotFound("no payment of that reference")
    payment = desk.payment(payment_id_of(_source(partner), reference))
    if payment is None:
        raise NotFound("no payment of that reference")
    return ProviderAnswer(200, payment)


def _described(body: Schema | None, *problems: str, repeats: bool = False) -> Described:
    """What every endpoint of partners has, and what one of them has besides."""
    of_body = ("malformed", "too_large", "unsupported_media_type", "invalid") if body else ()
    return Described(
        proof="The partner's signature, good for five minutes.",
        proof_headers={
            "Mwanga-Partner": "The partner's id.",
            "Mwanga-Signature": "t=<unix seconds>,v1=<hex HMAC-SHA256 of t, a dot and the raw "
            "body, with the partner's secret>; for GET the text is t, a dot and the reference.",
        },
        body=body,
        problems=(
            *("unknown_partner", "invalid_signature", "expired_signature"),
            *of_body,
            *(str(problem) for problem in problems),
        ),
        repeats=repeats,
    )


CHANNEL = Channel(
    key=KEY,
    name="Direct",
    refusal_class=RefusalClass.ASKS_FIRST,
    pots=lambda content: tuple(_source(partner) for partner in _partners(content)),
    endpoints=(
        Endpoint(
            "direct_pay",
            "POST",
            "/payments/direct",
            pay,
            _described(
                texts(*_PAYMENT_FIELDS, optional=_PAYMENT_FIELDS_OPTIONAL, open_ended=False),
                "reference_conflict",
                *Refusal,
                repeats=True,
            ),
            (JSON,),
        ),
        Endpoint(
            "direct_quote",
            "POST",
            "/payments/direct/quotes",
            quote,
            _described(texts(*_QUOTE_FIELDS, open_ended=False), *Refusal),
            (JSON,),
        ),
        Endpoint(
            "direct_read",
            "GET",
            "/payments/direct/{reference}",
            read,
            _described(None, "not_found"),
        ),
    ),
    stated=Stated(
        countries="any",
        direction="asks us, takes the money on our yes",
        caller="HMAC-SHA256 of time and raw body",
        repeated="the partner's reference",
        serial="`serial_number`",
        amounts="major units, as a text",
        retries="the partner's own; 503 means: again",
        reversal="none: the partner gives back what it took",
        confirmed="statements",
        unverified=("nothing: the contract is ours",),
    ),
)


def _taken(outcome: Accepted) -> ProviderAnswer:
    body = {"payment_id": outcome.payment.payment_id, "status": outcome.payment.status.value}
    if outcome.repeated:
        return ProviderAnswer(200, body, {"Idempotency-Hit": "true"})
    return ProviderAnswer(202, body)


def _source(partner: str) -> str:
    return f"{KEY}.{partner}"


# --- who is calling -------------------------------------------------------------------------


def _authenticated_sender(request: ProviderRequest, desk: Desk) -> str:
    """The partner that signed the raw body."""
    check_size(request.body)
    return _authenticated(request, desk, request.body)


def _authenticated(request: ProviderRequest, desk: Desk, text: bytes) -> str:
    """The partner that signed this text; a caller that is turned away is noted."""
    try:
        return _signer(request, desk, text)
    except (UnknownPartner, InvalidSignature, ExpiredSignature) as refused:
        desk.journal.event("caller_refused", channel=KEY, reason=refused.code)
        desk.journal.count("CallersRefused", channel=KEY, reason=refused.code)
        raise


def _signer(request: ProviderRequest, desk: Desk, text: bytes) -> str:
    partner = header(request, "Mwanga-Partner")
    secrets = _secrets_of(partner, desk.secret(SECRET))
    signed_at = _signed_at(header(request, "Mwanga-Signature"), text, secrets or _NOBODYS_SECRETS)
    if not secrets:
        raise UnknownPartner("no such partner")
    if signed_at is None:
        raise InvalidSignature("it must be t=<unix seconds>,v1=<hex HMAC-SHA256>, and fit the text")
    if abs(desk.now() - signed_at) > TOLERANCE:
        raise ExpiredSignature("its time is more than five minutes from ours")
    return partner


def _partners(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The partners, each with what it signs with.

    Raises:
        SecretMissing: the secret is not in its agreed form.
    """
    partners = content.get("partners")
    if not isinstance(partners, Mapping):
        raise SecretMissing(SECRET)
    return partners


def _secrets_of(partner: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """The partner's live secrets; none where there is no such partner.

    Raises:
        SecretMissing: the secret is not in its agreed form.
    """
    secrets = _partners(content).get(partner, []) if _PARTNER.fullmatch(partner) else []
    if not isinstance(secrets, list) or not all(isinstance(s, str) and s for s in secrets):
        raise SecretMissing(SECRET)
    return tuple(secrets)


def _signed_at(signature: str, text: bytes, secrets: Sequence[str]) -> datetime | None:
    """When the text was signed; ``None`` where no secret fits. All are tried, in constant time."""
    parts = _SIGNATURE.fullmatch(signature)
    if parts is None:
        return None
    signed_text = parts[1].encode() + b"." + text
    given = parts[2].lower()
    fits = [hmac.compare_digest(_hmac(secret, signed_text), given) for secret in secrets]
    return datetime.fromtimestamp(int(parts[1]), UTC) if any(fits) else None


def _hmac(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, "sha256").hexdigest()


# --- what is asked ----------------------------------------------------------------------------


def _claim(
    fields: Mapping[str, Any], partner: str, settings: Settings
) -> tuple[Claim, InvalidAmount | None]:
    """The claim, and what is wrong with its amount.

    A wrong amount does not stop here: a reference that was used before is a conflict, whatever
    else is wrong, and only whoever stores payments can tell. The claim's amount is then 0.
    """
    amount_minor, wrong_amount = _amount(fields["amount"], settings)
    reference = fields.get("reference", "")
    phone = fields.get("payer_phone")
    claim = Claim(
        channel=KEY,
        source=_source(partner),
        transaction=reference,
        reference=reference,
        serial_number=claimed_serial(fields["serial_number"]),
        amount_minor=amount_minor,
        currency=fields["currency"],
        payer_phone=normalise_phone(phone, settings.country, "payer_phone") if phone else None,
        paid_at=_time(fields["paid_at"]) if "paid_at" in fields else None,
    )
    return claim, wrong_amount


def _wrong(name: str, value: object) -> FieldError | None:
    """What is wrong with the form of a field. An amount of any form is judged as an amount."""
    if name == "amount":
        return None
    if not isinstance(value, str):
        return FieldError(name, "must be a text")
    form, message = _FORMS[name]
    return None if form(value) else FieldError(name, message)


def _amount(text: object, settings: Settings) -> tuple[int, InvalidAmount | None]:
    currency = Currency(settings.currency, settings.currency_decimals)
    try:
        return parse_amount(text, currency, settings.maximum_amount_minor), None
    except InvalidAmount as wrong:
        return 0, wrong


def _time(text: str) -> datetime | None:
    """A time with its zone, in UTC; ``None`` where the text is none."""
    if _TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


_FORMS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "reference": (_REFERENCE.fullmatch, "must be 1 to 64 of A-Z a-z 0-9 . _ -"),
    "serial_number": (str.strip, "must not be empty"),
    "currency": (_CURRENCY.fullmatch, "must be a currency's three letters, such as KES"),
    "payer_phone": (str.strip, "must not be empty"),
    "paid_at": (_time, "must be a time with its zone, such as 2026-01-08T12:00:00Z"),
}
"""How each field must look, and what we say where it does not."""
