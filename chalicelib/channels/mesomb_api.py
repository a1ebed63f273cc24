"""MeSomb's API (v1.1): what we ask of it, and how a request is signed.

The signature is built as AWS builds its Signature Version 4, but with SHA-1 and without a derived
key: a canonical request, the hash of which is signed with the secret key.
(docs.mesomb.com; the vendor's own clients in Python and PHP.)
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from chalicelib.channels.amounts import UnusableAmount, money, whole_major
from chalicelib.channels.asking import JSON_HEADERS, SECONDS_MAX, Said, quoted, read, send, text_of
from chalicelib.channels.configuration import Configuration
from chalicelib.channels.strict_json import Malformed, read_object
from chalicelib.channels.times import utc_time
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment, Refund
from chalicelib.runtime.one_call import Answer
from chalicelib.services.currencies import currency_of
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    Paid,
    ProviderRefused,
    ProviderUncertain,
    ProviderUnreachable,
    RecoveryClass,
    RefundTaken,
    SecretMissing,
    TakenBack,
)

SECRET = "channels/mesomb"  # noqa: S105 - the name of a secret, not a secret

ALGORITHM = "HMAC-SHA1"
SUCCESS, FAILED, REFUNDED = "SUCCESS", "FAILED", "REFUNDED"
UNDER_WAY = frozenset({"PENDING", "ONGOING"})
PAYMENT_TYPES = frozenset({"", "COLLECT", "PAYMENT"})
"""The types of a transaction in which somebody pays us. It may be left out."""

DEFINITE = frozenset(
    {
        "invalid-amount",
        "subscriber-insufficient-balance",
        "subscriber-invalid-length",
        "subscriber-invalid-max-amount",
        "subscriber-invalid-min-amount",
        "subscriber-invalid-secret-code",
        "subscriber-limit-reached",
        "subscriber-not-found",
    }
)
"""The codes of an error after which no money has moved. After the others nobody knows:
``subscriber-internal-error``, for one, may be a time-out."""

PK = re.compile(r"[A-Za-z0-9-]{1,64}")
_DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")
_CODE = re.compile(r"[A-Za-z0-9_-]{1,60}")
_WORD = r"[!-~]{1,200}"
_SERVICE = re.compile(r"[A-Z]{1,20}")


@dataclass(frozen=True, slots=True)
class Keys:
    """What the secret says. Every webhook secret proves an event.

    ``base_url`` is the address of the API with its version, ``prefixes`` the beginnings of the
    numbers of each service.
    """

    base_url: str
    application_key: str
    access_key: str
    secret_key: str
    webhook_secrets: tuple[str, ...]
    country: str
    currency: Currency
    services: tuple[str, ...]
    prefixes: Mapping[str, tuple[str, ...]]

    def service_of(self, payer: str) -> str:
        """The service of a number without its country's code: the one whose prefix fits best.

        Where none fits, or none was given, it is the first.
        """
        fits = [
            (len(prefix), service)
            for service in self.services
            for prefix in self.prefixes.get(service, ())
            if payer.startswith(prefix)
        ]
        return max(fits)[1] if fits else self.services[0]


def keys_of(content: Mapping[str, Any]) -> Keys:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    services = secret.texts("services")
    if not services or not all(_SERVICE.fullmatch(service) for service in services):
        raise SecretMissing(f"{SECRET}: services")
    prefixes = secret.part("prefixes") if secret.has("prefixes") else Configuration(SECRET, {})
    return Keys(
        base_url=secret.base_url(),
        application_key=secret.text("application_key", _WORD),
        access_key=secret.text("access_key", _WORD),
        secret_key=secret.text("secret_key", _WORD),
        webhook_secrets=secret.texts("webhook_secrets"),
        country=secret.text("country", r"[A-Z]{2}"),
        currency=secret.currency(),
        services=services,
        prefixes={name: prefixes.texts(name) for name in services if prefixes.has(name)},
    )


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collect was answered: MeSomb's id, and whether it says that the money is there."""

    pk: str
    is_paid: bool


class MeSombProvider:
    """Asks MeSomb to charge a payer, what became of it, and for refunds.

    A refund has no name of ours, so one without a clear answer cannot be looked for.
    """

    timeout_seconds: int = SECONDS_MAX
    refund_recovery: RecoveryClass = RecoveryClass.OPAQUE
    refund_absent_after_seconds: int = 0
    full_refunds_only: bool = False

    def __init__(self, secrets: Callable[[str], Mapping[str, Any]]) -> None:
        self._secrets = secrets

    def collect(self, payment: Payment, phone: str) -> Collected:
        """Ask the phone with that number, in E.164, for the money.

        Raises:
            ProviderRefused, ProviderUnreachable: nothing was asked, or nothing will be paid.
            ProviderUncertain, SecretMissing: nobody knows; the credentials are not configured.
        """
        keys = keys_of(self._secrets(SECRET))
        payer = _local(phone, keys.country)
        body = {
            "amount": whole_major(payment.amount_minor, keys.currency),
            "service": keys.service_of(payer),
            "payer": payer,
            "country": keys.country,
            "currency": keys.currency.code,
            "fees": True,
            "conversion": False,
            "trxID": payment.reference,
        }
        headers = {
            "X-MeSomb-OperationMode": "asynchronous",
            "X-MeSomb-TrxID": payment.reference,
        }
        said = read(_ask(keys, "POST", "/payment/collect/", body, headers))
        pk, status = _done(said, "collect_failed")
        return Collected(pk, status == SUCCESS)

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a payment that we started; ``None``: nothing was paid (yet).

        Raises:
            ProviderRefused: it failed.
            TakenBack: it was paid, and the payer has the money back.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        rows = self._transactions(payment.reference, "EXTERNAL")
        ours = [row for row in rows if is_of(row, payment)]
        if len(ours) != len(rows):
            raise ProviderUncertain("the answer is of another transaction")
        if not ours:
            return None
        statuses = {text_of(row.get("status")) for row in ours}
        paid = [row for row in ours if text_of(row.get("status")) == SUCCESS]
        if len(paid) == 1:
            return paid_of(paid[0], payment)
        if statuses == {REFUNDED}:
            raise TakenBack(text_of(ours[0].get("pk")) or payment.reference)
        if statuses <= {*UNDER_WAY, FAILED} and statuses & UNDER_WAY:
            return None
        if statuses == {FAILED}:
            raise ProviderRefused("collect_failed")
        raise ProviderUncertain("transactions of which nothing is certain")

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for one refund.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        currency = currency_of(payment.currency)
        whole = whole_major(refund.amount_minor, currency) if currency else None
        if whole is None:
            raise ProviderRefused("unusable_amount", "only whole amounts are paid back")
        paid_as = payment.receipt or payment.known_as.get("pk")
        if paid_as is None:
            raise ProviderRefused("no_receipt", "MeSomb's id of the transaction is not known")
        body = {"id": paid_as, "amount": whole, "currency": payment.currency, "conversion": False}
        said = read(_ask(keys_of(self._secrets(SECRET)), "POST", "/payment/refund/", body))
        pk, status = _done(said, "refund_failed")
        return RefundTaken(pk if pk != paid_as else None, done=status == SUCCESS)

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Find out what became of a refund that was asked for.

        Raises:
            ProviderRefused: it failed for good: the money has not gone back.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        if refund.reference is None:
            # Not to find it would be no proof of absence: it cannot be looked for.
            raise ProviderUncertain("MeSomb's id of the refund is not known")
        rows = self._transactions(refund.reference, "MESOMB")
        if len(rows) != 1 or text_of(rows[0].get("pk")) != refund.reference:
            raise ProviderUncertain("the answer is of another transaction")
        status = text_of(rows[0].get("status"))
        if status == FAILED:
            raise ProviderRefused("refund_failed")
        if status not in (SUCCESS, *UNDER_WAY):
            raise ProviderUncertain("a refund of a status that we do not know")
        return RefundTaken(refund.reference, done=status == SUCCESS)

    def _transactions(self, name: str, source: str) -> list[Mapping[str, Any]]:
        """The transactions of that name, in MeSomb's own words.

        Raises:
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        path = f"/payment/transactions/?ids={quoted(name)}&source={source}"
        answer = _ask(keys_of(self._secrets(SECRET)), "GET", path)
        if answer.status in (401, 403):  # that says nothing of what was asked about
            raise ProviderUnreachable(NOT_KNOWN_THERE)
        rows = _list(answer.body)
        if answer.status != 200 or rows is None:
            raise ProviderUncertain(f"HTTP status {answer.status}: no list of transactions")
        return rows


# --- one request ----------------------------------------------------------------------------------


def _ask(
    keys: Keys,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask once. The body is sent as it was hashed, without a needless space."""
    sent = None if body is None else json.dumps(body, separators=(",", ":")).encode()
    url, now, nonce = f"{keys.base_url}{path}", datetime.now(UTC), uuid4().hex
    return send(
        method,
        url,
        {
            **JSON_HEADERS,
            **(headers or {}),
            "Accept-Language": "en",
            "X-MeSomb-Application": keys.application_key,
            "x-mesomb-date": str(int(now.timestamp())),
            "x-mesomb-nonce": nonce,
            "Authorization": authorization(keys, method, url, now, nonce, sent),
        },
        sent,
    )


def authorization(
    keys: Keys, method: str, url: str, now: datetime, nonce: str, body: bytes | None
) -> str:
    """The header that proves that a request is ours. A request without a body counts as ``{}``."""
    parts = urlsplit(url)
    signed = {
        "host": f"{parts.scheme}://{parts.netloc}",
        "x-mesomb-date": str(int(now.timestamp())),
        "x-mesomb-nonce": nonce,
    }
    if body is not None:
        signed["content-type"] = JSON_HEADERS["Content-Type"]
    names = sorted(signed)
    canonical = "\n".join(
        (
            method,
            quote(parts.path),
            parts.query,
            *(f"{name}:{signed[name]}" for name in names),
            ";".join(names),
            _sha1(b"{}" if body is None else body),
        )
    )
    scope = f"{now.astimezone(UTC):%Y%m%d}/payment/mesomb_request"
    to_sign = "\n".join((ALGORITHM, signed["x-mesomb-date"], scope, _sha1(canonical.encode())))
    signature = hmac.new(keys.secret_key.encode(), to_sign.encode(), "sha1").hexdigest()
    credential = f"{keys.access_key}/{scope}"
    return (
        f"{ALGORITHM} Credential={credential}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _local(phone: str, country: str) -> str:
    """A number as MeSomb wants it: without the code of its country."""
    from phonenumbers import country_code_for_region

    return phone.removeprefix(f"+{country_code_for_region(country)}").removeprefix("+")


# --- what is answered -----------------------------------------------------------------------------


def _done(said: Said, failed: str) -> tuple[str, str]:
    """The id and the status of a transaction that was begun.

    Raises:
        ProviderRefused: with the code ``failed`` where MeSomb has tried; it was surely not done.
        ProviderUncertain: nobody knows.
    """
    pk, status = said.text("transaction", "pk"), said.text("transaction", "status")
    if said.is_success and status == FAILED:
        raise said.refused(failed, said.text("message"))
    if said.is_success:
        is_begun = said.at("success") is True and status in (SUCCESS, *UNDER_WAY)
        if not is_begun or PK.fullmatch(pk) is None:
            raise said.uncertain("no transaction")
        return pk, status
    if said.status in (401, 403):
        raise ProviderRefused(NOT_KNOWN_THERE)
    code = said.text("code")
    is_definite = said.status == 404 or (said.status == 400 and code in DEFINITE)
    if is_definite and _CODE.fullmatch(code):
        raise said.refused("refused_by_provider", code)
    raise said.uncertain(code if _CODE.fullmatch(code) else "no code")


def _list(body: bytes) -> list[Mapping[str, Any]] | None:
    """A list of objects; ``None`` where it is none. Read as strictly as an object is."""
    try:
        rows = read_object(b'{"rows":' + body + b"}").get("rows")
    except Malformed:
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    return rows


def reference_of(row: Mapping[str, Any]) -> str:
    """Our name for a transaction, where it has one: MeSomb shows it as ``reference``."""
    return text_of(row.get("trxID")) or text_of(row.get("reference"))


def is_of(row: Mapping[str, Any], payment: Payment) -> bool:
    """Whether it is the transaction of that payment."""
    if text_of(row.get("type")).upper() not in PAYMENT_TYPES:
        return False
    pk = payment.known_as.get("pk")
    if pk is not None and text_of(row.get("pk")) == pk:
        return True
    return reference_of(row) == payment.reference


def paid_of(row: Mapping[str, Any], payment: Payment | None) -> Paid:
    """What a successful transaction says of the money.

    Raises:
        ProviderUncertain: it cannot be read.
    """
    pk = text_of(row.get("pk"))
    if PK.fullmatch(pk) is None:
        raise ProviderUncertain("success without an id")
    try:
        amount_minor, code = _given(row, payment)
    except UnusableAmount as wrong:
        raise ProviderUncertain(f"{wrong.code}: {wrong.detail}") from wrong
    paid_at = utc_time(row.get("ts"))
    # Whoever pays without us pays into the same pot, and their payment has its pk for an id.
    return Paid(pk, amount_minor, code, paid_at=paid_at, shared_pot=True, known_as={"pk": pk})


def _given(row: Mapping[str, Any], payment: Payment | None) -> tuple[int, str]:
    """What the payer gave. Where MeSomb's fees are ours to bear, ``amount`` is what they leave.

    So what was agreed was given if it is the amount before or after the fees.
    """
    written = row.get("trxamount") if row.get("trxamount") is not None else row.get("amount")
    amount_minor, code = money(written, row.get("currency"))
    if payment is None or payment.currency != code:
        return amount_minor, code
    currency = currency_of(code)
    assert currency is not None  # noqa: S101 - ``money`` has read an amount of it
    agreed = Fraction(payment.amount_minor, currency.minor_per_major)
    after, fees = _number(row.get("amount")), _number(row.get("fees"))
    if agreed in (after, after + fees):
        return payment.amount_minor, code
    return amount_minor, code


def _number(value: object) -> Fraction:
    text = text_of(value)
    return Fraction(text) if _DECIMAL.fullmatch(text) else Fraction(0)
