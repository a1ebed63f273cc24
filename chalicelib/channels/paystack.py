"""Paystack: a customer pays on the provider's own page, which we open for one payment.

We start every payment: the serial number is checked and the payment stored as ``pending`` before
the provider is asked for anything, under a reference of ours. That money has moved is told by a
signed webhook, or found out by asking (``PaystackProvider.verify``); a payer who is sent back to
us proves nothing. Refunds are asked for here and become true later.

Amounts go over the wire in hundredths of the major unit, whatever decimals the currency has.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import UnusableAmount, check_hundredths
from chalicelib.channels.asking import SAID_LENGTH_MAX, SECONDS_MAX, ask, note_of, quoted
from chalicelib.channels.callers import InvalidSignature, note_failure
from chalicelib.channels.checkouts import (
    Begun,
    Payer,
    Terms,
    is_email,
    is_web_address,
    web_address,
)
from chalicelib.channels.interface import (
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    check_size,
    header,
    shown,
    texts,
)
from chalicelib.channels.reports import ForeignReference, Unreadable, answered
from chalicelib.channels.strict_json import Number, read_object
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment, Refund, payment_id_of
from chalicelib.runtime.one_call import is_base_url
from chalicelib.services.currencies import currency_of
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    NotAtProvider,
    Paid,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    RecoveryClass,
    RefundTaken,
    RefusalClass,
    SecretMissing,
    TakenBack,
)

KEY = "paystack"
SECRET = "channels/paystack"  # noqa: S105 - the name of a secret, not a secret
REFUNDS_PER_PAGE = 100

_REFERENCE = re.compile(r"[0-9a-f]{32}")
"""How our references look. Whatever else the provider's account is used for has others."""

_SECRET_KEY = re.compile(r"[!-~]{1,200}")
_SECRET_SHOWN = re.compile(r"sk_\w+")
_CURRENCY = re.compile(r"[A-Z]{3}")
_HUNDREDTHS = re.compile(r"[0-9]{1,15}")
_ID_NUMBER = re.compile(r"[0-9]{1,20}")
_ID_TEXT = re.compile(r"[A-Za-z0-9_-]{1,40}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})"
)

NOT_PAID = frozenset({"abandoned", "failed", "ongoing", "pending", "processing", "queued"})
"""The statuses of a transaction that brought no money, or has not brought it yet."""

REFUND_UNDER_WAY = frozenset({"pending", "processing", "needs-attention"})

DISPUTES = "charge.dispute."
"""How the events begin that tell of a payer who wants the money back from the bank. Whether the
money went, the provider is asked."""

REFUND_EVENTS: Mapping[str, RefundTaken | str] = {
    "refund.pending": RefundTaken(),
    "refund.processing": RefundTaken(),
    "refund.needs-attention": RefundTaken(),
    "refund.processed": RefundTaken(done=True),
    "refund.failed": "failed",
}
"""What each event says of a refund. None tells a reference: the ``refund_reference`` of an event
is the processor's, and a refund cannot be looked up by it."""


class RefundNeedsAttention(MwangaError):
    """The provider waits for the payer's bank details, which a person must give it."""

    code = "refund_needs_attention"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the secret says. The first key is used for calls, every key proves a webhook."""

    base_url: str
    secret_keys: tuple[str, ...]
    email: str
    callback_url: str | None


# --- the endpoints --------------------------------------------------------------------------


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Open the provider's page for one payment: 201 with its address.

    Raises:
        what ``checkouts.checkout`` does.
    """
    configuration = _configuration(desk.secret(SECRET))
    settings = desk.settings()
    currency = Currency(settings.currency, settings.currency_decimals)

    def begin(payment: Payment, payer: Payer) -> Begun:
        return Begun(_page_for(payment, currency, payer.email, configuration))

    terms = Terms(KEY, currency, check=lambda amount: check_hundredths(amount, currency))
    return checkouts.checkout(KEY, request, desk, terms, begin)


def webhook(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """The provider's word on a payment or a refund.

    It repeats what is not answered with 200, so an error only ever means that the report was not
    stored. What a repetition cannot change is answered with 200 and noted.
    """

    def take_up() -> str:
        check_size(request.body)
        _check_signature(request, _configuration(desk.secret(SECRET)))
        return _report(request.body, desk)

    return answered(KEY, desk, take_up)


CHANNEL = Channel(
    key=KEY,
    name="Paystack",
    refusal_class=RefusalClass.WE_START,
    endpoints=(
        checkouts.endpoint(KEY, checkout),
        Endpoint(
            "paystack_webhook",
            "POST",
            "/payments/paystack/webhook",
            webhook,
            Described(
                proof="The provider's signature.",
                proof_headers={
                    "x-paystack-signature": "Hex HMAC-SHA512 of the raw body, with our secret key."
                },
                body={"type": "object", "required": ["event", "data"]},
                answers=dict.fromkeys((200, 400, 401, 413, 503), texts("status")),
            ),
        ),
    ),
    stated=Stated(
        countries="Nigeria, Ghana, Kenya, South Africa, Côte d'Ivoire",
        direction="we open a page, it tells us",
        caller="HMAC-SHA512 of the raw body",
        repeated="our reference, its id of the transaction",
        serial="our record, `metadata.serial_number`",
        amounts="hundredths",
        retries="4 times every 3 minutes, then hourly for 72 hours; waits 30 seconds",
        reversal="refund, whole or in part",
        confirmed="verification of each pending payment",
        unverified=("the words of an answer about a transaction that was never started",),
    ),
    can_refund=True,
)


# --- opening a checkout -----------------------------------------------------------------------


def _page_for(
    payment: Payment, currency: Currency, email: str | None, configuration: Configuration
) -> str:
    """The address of the provider's page for this payment.

    Raises:
        ProviderRefused, ProviderUnreachable: no page was opened.
        ProviderUncertain: nobody knows.
    """
    asked: dict[str, object] = {
        "email": email or configuration.email,
        "amount": _hundredths(payment.amount_minor, currency),
        "currency": payment.currency,
        "reference": payment.reference,
        "metadata": {"serial_number": payment.serial_number},
    }
    if configuration.callback_url is not None:
        asked["callback_url"] = configuration.callback_url
    said = _ask(configuration, "POST", "/transaction/initialize", asked)
    if said.is_refusal:
        raise said.refusal()
    return web_address(said.fields().get("authorization_url"))


# --- who is calling -------------------------------------------------------------------------------


def _check_signature(request: ProviderRequest, configuration: Configuration) -> None:
    """That the raw body was signed with one of our keys. All are tried, in constant time.

    Raises:
        InvalidSignature: it was not.
    """
    given = header(request, "x-paystack-signature").encode("utf-8", "replace")
    fits = [
        hmac.compare_digest(_hmac(key, request.body), given) for key in configuration.secret_keys
    ]
    if not any(fits):
        raise InvalidSignature


def _hmac(key: str, body: bytes) -> bytes:
    return hmac.new(key.encode(), body, "sha512").hexdigest().encode()


def _configuration(content: Mapping[str, Any]) -> Configuration:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    base_url, keys = content.get("base_url"), content.get("secret_keys")
    email, callback_url = content.get("email"), content.get("callback_url")
    fits = (
        is_base_url(base_url)
        and isinstance(keys, list)
        and bool(keys)
        and all(isinstance(key, str) and _SECRET_KEY.fullmatch(key) for key in keys)
        and is_email(email)
        and (callback_url is None or is_web_address(callback_url))
    )
    if not fits:
        raise SecretMissing(SECRET)
    return Configuration(str(base_url).rstrip("/"), tuple(keys or ()), str(email), callback_url)


# --- what is reported -------------------------------------------------------------------------


def _report(body: bytes, desk: Desk) -> str:
    """Take a signed report up; answer what became of it, in one word.

    Raises:
        Malformed, Unreadable: nothing can be done with it.
        ForeignReference, NoSuchPayment: it is of no payment that we started.
        UnusableAmount, ReferenceConflict: it is of money that was not agreed.
        TryAgain, OutcomeUnknown: it must be sent again.
    """
    report = read_object(body)
    event = report.get("event")
    if not isinstance(event, str):
        raise Unreadable("event")
    if event == "charge.success":
        data = _data(report)
        payment_id = _payment_id(data.get("reference"))
        if data.get("status") != "success":
            raise Unreadable("status")
        desk.paid(payment_id, _paid(data))
        return "ok"
    if event in REFUND_EVENTS:
        return _refund_report(event, report, desk)
    if event.startswith(DISPUTES):
        desk.hinted(_payment_id(_disputed_reference(_data(report))))
        return "ok"
    return "ignored"


def _refund_report(event: str, report: Mapping[str, Any], desk: Desk) -> str:
    """Take a report on a refund up. One that cannot be read is no news: we look it up anyway."""
    try:
        data = _data(report)
        payment_id = _payment_id(_refunded_reference(data))
        amount_minor = _amount_minor(_number_or_text(data.get("amount")), data.get("currency"))
    except Unreadable as unreadable:
        note_failure(unreadable, KEY, desk)
        return "ignored"
    if event == "refund.needs-attention":
        note_failure(RefundNeedsAttention(payment_id), KEY, desk)
    desk.refund_told(payment_id, amount_minor, REFUND_EVENTS[event])
    return "ok"


def _data(report: Mapping[str, Any]) -> Mapping[str, Any]:
    data = report.get("data")
    if not isinstance(data, dict):
        raise Unreadable("data")
    return data


def _payment_id(reference: object) -> str:
    """The id of the payment with this reference of ours."""
    if not isinstance(reference, str):
        raise Unreadable("reference")
    if _REFERENCE.fullmatch(reference) is None:
        raise ForeignReference
    return payment_id_of(KEY, reference)


def _refunded_reference(data: Mapping[str, Any]) -> object:
    transaction = data.get("transaction")
    inner = transaction.get("reference") if isinstance(transaction, dict) else None
    return data.get("transaction_reference") or inner


def _disputed_reference(data: Mapping[str, Any]) -> object:
    transaction = data.get("transaction")
    return transaction.get("reference") if isinstance(transaction, dict) else None


def _paid(data: Mapping[str, Any]) -> Paid:
    """What a successful transaction says of the money. Webhook and verification say it alike.

    Raises:
        Unreadable, UnusableAmount: see there.
    """
    amount = data.get("amount")
    receipt = _id(data.get("id"))
    if receipt is None:
        raise Unreadable("id")
    return Paid(
        receipt=receipt,
        amount_minor=_amount_minor(
            amount.text if isinstance(amount, Number) else "", data.get("currency")
        ),
        currency=str(data.get("currency")),
        paid_at=_time(data.get("paid_at")) or _time(data.get("paidAt")),
    )


def _id(value: object) -> str | None:
    """An id that the provider gave, as text; ``None`` where it is none."""
    if isinstance(value, Number):
        return value.text if _ID_NUMBER.fullmatch(value.text) else None
    return value if isinstance(value, str) and _ID_TEXT.fullmatch(value) else None


def _word(value: object) -> str:
    """A text; empty where it is something else, which then is no word that we know."""
    return value if isinstance(value, str) else ""


def _number_or_text(value: object) -> str:
    return value.text if isinstance(value, Number) else _word(value)


def _time(value: object) -> datetime | None:
    """A time with its zone, in UTC; ``None`` where it is none."""
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# --- amounts ------------------------------------------------------------------------------------


def _hundredths(amount_minor: int, currency: Currency) -> int | None:
    """An amount as the provider writes it; ``None`` where it takes no such amount."""
    exact = Fraction(amount_minor * 100, currency.minor_per_major)
    return int(exact) if exact.denominator == 1 else None


def _amount_minor(text: str, code: object) -> int:
    """An amount as the provider writes it, in the minor unit of its currency.

    Raises:
        Unreadable: it is no whole number above zero, or the currency no three letters.
        UnusableAmount: see there.
    """
    if _HUNDREDTHS.fullmatch(text) is None or int(text) == 0:
        raise Unreadable("amount")
    if not isinstance(code, str) or _CURRENCY.fullmatch(code) is None:
        raise Unreadable("currency")
    currency = currency_of(code)
    if currency is None:
        raise UnusableAmount(f"unknown currency {code}")
    exact = Fraction(int(text) * currency.minor_per_major, 100)
    if exact.denominator != 1:
        raise UnusableAmount(f"{text} hundredths are no amount of {code}")
    return int(exact)


# --- what we ask ----------------------------------------------------------------------------------


def make(secrets: Callable[[str], Mapping[str, Any]]) -> PaystackProvider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return PaystackProvider(secrets)


class PaystackProvider:
    """Asks the provider what became of a payment, and for refunds.

    A refund carries our name for it in its ``merchant_note``, so that it can be found again.
    """

    timeout_seconds: int = SECONDS_MAX
    refund_recovery: RecoveryClass = RecoveryClass.SEARCHABLE
    refund_absent_after_seconds: int = 60
    full_refunds_only: bool = False

    def __init__(self, secrets: Callable[[str], Mapping[str, Any]]) -> None:
        self._secrets = secrets

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a payment that we started; ``None``: nothing was paid (yet).

        Raises:
            TakenBack: the payer has the money back.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        said = self._ask("GET", f"/transaction/verify/{quoted(payment.reference)}")
        if said.is_not_found:
            return None
        data = said.fields()
        if data.get("reference") != payment.reference:
            raise ProviderUncertain("the answer is of another transaction")
        status = _word(data.get("status"))
        if status in NOT_PAID:
            return None
        if status == "reversed":
            raise TakenBack(_id(data.get("id")) or status)
        if status != "success":
            raise ProviderUncertain("a transaction of a status that we do not know")
        try:
            return _paid(data)
        except (Unreadable, UnusableAmount) as wrong:
            raise ProviderUncertain(f"{wrong.code}: {wrong.detail}") from wrong

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for one refund.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain: see there.
            SecretMissing: the credentials are not configured; nothing was sent.
        """
        currency = currency_of(payment.currency)
        hundredths = _hundredths(refund.amount_minor, currency) if currency else None
        if hundredths is None:
            raise ProviderRefused("unusable_amount", "the provider takes whole hundredths")
        said = self._ask(
            "POST",
            "/refund",
            {
                "transaction": payment.reference,
                "amount": hundredths,
                "currency": payment.currency,
                "merchant_note": note_of(payment, refund),
            },
        )
        if said.is_refusal and said.http_status != 429:
            raise said.refusal()
        data = said.fields()
        if data.get("status") == "failed":
            raise ProviderRefused("refund_failed")
        reference = _id(data.get("id"))
        if reference is None:
            raise ProviderUncertain("success without the id of a refund")
        return RefundTaken(reference, done=data.get("status") == "processed")

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Find out what became of a refund that was asked for.

        Raises:
            NotAtProvider: the provider knows of no such refund (yet).
            ProviderRefused: it failed for good: the money has not gone back.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        if refund.reference is not None:
            # The provider gave us this id: that it should not know it is no proof of absence.
            return _state_of(self._ask("GET", f"/refund/{quoted(refund.reference)}").fields())
        return _state_of(_found(self._refunds_of(payment), payment, refund))

    def _refunds_of(self, payment: Payment) -> list[Mapping[str, Any]]:
        """The refunds of a transaction.

        They are listed by the provider's own id of the transaction, which the receipt is. What
        is not found is asked for again and paid twice if it was there, so nothing is taken for
        absent before our reference, by which refunds are asked for, finds none either.
        """
        is_answered = False
        for name in (payment.receipt, payment.reference):
            if name is None:
                continue
            path = f"/refund?transaction={quoted(name)}&perPage={REFUNDS_PER_PAGE}"
            said = self._ask("GET", path, seconds=SECONDS_MAX / 2)
            if said.is_refusal and said.http_status in (400, 404, 422):
                continue  # it does not take that name
            if items := said.items():
                return items
            is_answered = True
        if not is_answered:
            raise ProviderUncertain("refunds are listed by neither name")
        return []

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        seconds: float = SECONDS_MAX,
    ) -> _Said:
        return _ask(_configuration(self._secrets(SECRET)), method, path, body, seconds)


def _found(items: list[Mapping[str, Any]], payment: Payment, refund: Refund) -> Mapping[str, Any]:
    """Our refund among those of a transaction.

    Raises:
        NotAtProvider: it is not there.
        ProviderUncertain: it is not to be seen, but one that is there might be it, or the list
            goes on. Who repeats a refund then may pay twice.
    """
    ours = [item for item in items if item.get("merchant_note") == note_of(payment, refund)]
    going = next((item for item in ours if item.get("status") != "failed"), None)
    if going is not None:
        return going
    # One that failed may have been asked for again, under the same name: only as many as were
    # asked for say that the last of them failed too.
    if ours and len(ours) >= refund.attempts:
        return ours[0]
    if ours:
        raise NotAtProvider("an earlier refund of our name failed, the last one is not there")
    prefix = f"{payment.payment_id}."
    if not all(str(item.get("merchant_note")).startswith(prefix) for item in items):
        raise ProviderUncertain("the transaction has a refund that we did not name")
    if len(items) >= REFUNDS_PER_PAGE:
        raise ProviderUncertain("the transaction has more refunds than one page holds")
    raise NotAtProvider("no refund of our name")


def _state_of(data: Mapping[str, Any]) -> RefundTaken:
    """What became of a refund, by its status."""
    status = _word(data.get("status"))
    if status == "failed":
        raise ProviderRefused("refund_failed")
    if status != "processed" and status not in REFUND_UNDER_WAY:
        raise ProviderUncertain("a refund of a status that we do not know")
    return RefundTaken(_id(data.get("id")), done=status == "processed")


# --- one call, and what its answer means ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Said:
    """A whole answer in JSON. ``status`` is the body's own: only ``True`` is a success."""

    http_status: int
    status: object
    message: str
    data: object

    @property
    def is_refusal(self) -> bool:
        """Whether it surely says that nothing was done."""
        return 400 <= self.http_status < 500 and self.status is False

    @property
    def is_not_found(self) -> bool:
        """Whether it is the answer about a transaction that was never started."""
        return (
            self.is_refusal
            and self.http_status in (400, 404)
            and "not found" in self.message.lower()
        )

    def refusal(self) -> ProviderRefused:
        """The refusal, in words fit for a log."""
        if self.http_status == 401:
            return ProviderRefused(NOT_KNOWN_THERE)
        return ProviderRefused("refused_by_provider", shown(self.message, SAID_LENGTH_MAX))

    def fields(self) -> Mapping[str, Any]:
        """The object that a success carries.

        Raises:
            ProviderUncertain: it is no success, or carries none.
        """
        data = self._success()
        if not isinstance(data, dict):
            raise ProviderUncertain("success without an object")
        return data

    def items(self) -> list[Mapping[str, Any]]:
        """The list of objects that a success carries.

        Raises:
            ProviderUncertain: it is no success, or carries none.
        """
        data = self._success()
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise ProviderUncertain("success without a list of objects")
        return data

    def _success(self) -> object:
        if not 200 <= self.http_status < 300 or self.status is not True:
            said = shown(self.message, SAID_LENGTH_MAX)
            raise ProviderUncertain(f"HTTP status {self.http_status}: {said}")
        return self.data


def _ask(
    configuration: Configuration,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    seconds: float = SECONDS_MAX,
) -> _Said:
    """Ask once, for at most that many seconds.

    Raises:
        ProviderUnreachable: it certainly did not arrive.
        ProviderUncertain: there is no whole answer in JSON.
    """
    headers = {"Authorization": f"Bearer {configuration.secret_keys[0]}"}
    said = ask(method, f"{configuration.base_url}{path}", headers, body, seconds)
    message = _SECRET_SHOWN.sub("sk_...", _word(said.at("message")))
    return _Said(said.status, said.at("status"), message, said.at("data"))
