"""Wave Money (Myanmar): a payer pays on the provider's own page, which we open for one payment.

What became of it is told once, in a callback whose ``hashValue`` signs its fields. Nothing else
can be asked: there is no call for the state of an order, and none that gives money back.
(partners.wavemoney.com.mm: WavePay Payment Gateway.)
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import UnusableAmount, amount_minor, whole_major
from chalicelib.channels.asking import OnlyAsked, quoted, read, send, text_of
from chalicelib.channels.callers import (
    Intruder,
    InvalidSignature,
    is_one_of,
    note_failure,
    note_intruder,
)
from chalicelib.channels.checkouts import Begun, Payer, Terms
from chalicelib.channels.configuration import Configuration
from chalicelib.channels.interface import (
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    TooLarge,
    check_size,
    texts,
)
from chalicelib.channels.reports import Unreadable
from chalicelib.channels.strict_json import Malformed, Number, read_object
from chalicelib.domain.errors import InvalidAmount, MwangaError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment, payment_id_of
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.collect import NoSuchPayment
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    Paid,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    RefusalClass,
    SecretMissing,
)

KEY = "wave_money"
SECRET = "channels/wave_money"  # noqa: S105 - the name of a secret, not a secret
RESULT_PATH = f"/payments/{KEY}/result"

PAGE_SECONDS = 300
"""So long the payer has on the page. The longest that Wave Money takes is not documented."""

SIGNED_IN_ORDER = (
    *("time_to_live_in_seconds", "merchant_id", "order_id", "amount"),
    *("backend_result_url", "merchant_reference_id"),
)
"""What the hash of an order is over, without anything between."""

SIGNED_IN_CALLBACK = (
    *("status", "timeToLiveSeconds", "merchantId", "orderId", "amount", "backendResultUrl"),
    *("merchantReferenceId", "initiatorMsisdn", "transactionId", "paymentRequestId", "requestTime"),
)
"""What the hash of a callback is over. A field that is null counts as the word ``null``."""

CONFIRMED = "PAYMENT_CONFIRMED"
NOT_PAID = frozenset(
    {
        "TRANSACTION_TIMED_OUT",
        "INSUFFICIENT_BALANCE",
        "ACCOUNT_LOCKED",
        "BILL_COLLECTION_FAILED",
        "PAYMENT_REQUEST_CANCELLED",
        "SCHEDULER_TRANSACTION_TIMED_OUT",
    }
)
"""None of these ends a payment: after ``INSUFFICIENT_BALANCE``, for one, it may still be paid."""

REFUSED = frozenset({404, 422})
"""The statuses of an answer that surely says that no page was opened, beside 400."""

_REFERENCE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID = re.compile(r"[A-Za-z0-9._-]{1,40}")
_WEB_ADDRESS = re.compile(r"https?://[!-~]{1,2000}")


@dataclass(frozen=True, slots=True)
class Keys:
    """What the secret says. The first key signs orders, every key proves a callback.

    ``public_url`` is the address of our own API as Wave Money reaches it, ``result_url`` the page
    that the payer is sent to afterwards.
    """

    base_url: str
    merchant_id: str
    merchant_name: str
    secret_keys: tuple[str, ...]
    public_url: str
    result_url: str
    currency: Currency

    @property
    def source(self) -> str:
        """The pot into which the money falls."""
        return f"{KEY}.{re.sub('[^A-Za-z0-9_.]', '', self.merchant_id)}"


def keys_of(content: Mapping[str, Any]) -> Keys:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    secret_keys = secret.texts("secret_keys")
    if not secret_keys:
        raise SecretMissing(f"{SECRET}: secret_keys")
    return Keys(
        base_url=secret.base_url(),
        merchant_id=secret.text("merchant_id", r"[!-~]{1,40}"),
        merchant_name=secret.text("merchant_name"),
        secret_keys=secret_keys,
        public_url=secret.base_url("public_url"),
        result_url=secret.text("result_url", _WEB_ADDRESS),
        currency=secret.currency(),
    )


# --- the endpoints --------------------------------------------------------------------------------


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Open the provider's page for one payment: 201.

    Raises:
        what ``checkouts.checkout`` does.
    """
    keys = keys_of(desk.secret(SECRET))

    def begin(payment: Payment, _: Payer) -> Begun:
        return _page_for(payment, keys)

    def check_whole(amount: int) -> None:
        if whole_major(amount, keys.currency) is None:
            raise InvalidAmount("amount", f"must be whole {keys.currency.code}")

    terms = Terms(keys.source, keys.currency, lambda: str(uuid4()), check_whole)
    return checkouts.checkout(KEY, request, desk, terms, begin)


def result(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Wave Money's word on an order: the money has moved, or an attempt has failed.

    Its fields must be read before their hash can be checked; none is believed before that.
    """
    try:
        keys = keys_of(desk.secret(SECRET))
        check_size(request.body)
        callback = read_object(request.body)
        _check_hash(callback, keys)
        _take_up(callback, keys, desk)
    except Intruder as intruder:
        note_intruder(intruder, KEY, desk)
        return _told(intruder.status, intruder.code)
    except ReferenceConflict as conflict:
        note_failure(conflict, KEY, desk)
        return _told(200, "conflict")
    except NoSuchPayment as unknown:
        note_failure(unknown, KEY, desk)
        return _told(400, "unknown_order")
    except (TooLarge, Malformed, Unreadable) as wrong:
        note_failure(wrong, KEY, desk)
        return _told(413 if isinstance(wrong, TooLarge) else 400, wrong.code)
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _told(503, "try_again")
    return _told(200, "success")


def make(secrets: Callable[[str], Mapping[str, Any]]) -> WaveMoneyProvider:
    """The provider. It needs no secret: there is nothing that it can be asked."""
    return WaveMoneyProvider()


CHANNEL = Channel(
    key=KEY,
    name="Wave Money",
    refusal_class=RefusalClass.WE_START,
    pots=lambda content: (keys_of(content).source,),
    endpoints=(
        checkouts.endpoint(KEY, checkout),
        Endpoint(
            "wave_money_result",
            "POST",
            RESULT_PATH,
            result,
            Described(
                proof="The field `hashValue`: hex HMAC-SHA256 of eleven fields of the body.",
                body={"type": "object", "required": ["status", "orderId", "hashValue"]},
                answers=dict.fromkeys((200, 400, 401, 413, 503), texts("message")),
            ),
        ),
    ),
    stated=Stated(
        countries="Myanmar",
        direction="we open a page, it tells us",
        caller="HMAC-SHA256 of the fields of the body",
        repeated="our order id, its transaction id",
        serial="our record, the description of the order",
        amounts="whole kyat",
        retries="not documented; a time-out may be told 15 minutes later",
        reversal="none: what cannot be used is held for a person",
        confirmed="nothing: orders cannot be asked about; statements",
        unverified=(
            "whether a callback that we answer with an error is repeated",
            "how numbers of a callback are written in the text that is hashed",
        ),
    ),
)


def _told(status: int, what: str) -> ProviderAnswer:
    return ProviderAnswer(status, {"message": what})


# --- opening a page -------------------------------------------------------------------------------


class WaveMoneyProvider(OnlyAsked):
    """There is no call for the state of an order, nor for a refund."""

    def verify(self, payment: Payment) -> Paid | None:
        """It cannot be told.

        Raises:
            ProviderUncertain: always.
        """
        raise ProviderUncertain("Wave Money cannot be asked about an order")


def _page_for(payment: Payment, keys: Keys) -> Begun:
    """A page on which that payment can be paid.

    Raises:
        ProviderRefused, ProviderUnreachable: none was opened.
        ProviderUncertain: nobody knows.
    """
    form = urlencode(_order(payment, keys)).encode()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    said = read(send("POST", f"{keys.base_url}/payment", headers, form))
    if said.status == 400:
        raise ProviderRefused(NOT_KNOWN_THERE, "the hash was not taken")
    if said.status in REFUSED:
        raise said.refused("refused_by_provider", said.text("message"))
    transaction_id = said.text("transaction_id")
    if said.status != 200 or said.text("message") != "success" or not _ID.fullmatch(transaction_id):
        raise said.uncertain("no page")
    page = f"{keys.base_url}/authenticate?transaction_id={quoted(transaction_id)}"
    return Begun(page, {"transaction_id": transaction_id})


def _order(payment: Payment, keys: Keys) -> dict[str, str]:
    whole = whole_major(payment.amount_minor, keys.currency)
    order = {
        "merchant_id": keys.merchant_id,
        "order_id": payment.reference,
        "merchant_reference_id": payment.reference,
        "frontend_result_url": keys.result_url,
        "backend_result_url": f"{keys.public_url}{RESULT_PATH}",
        "amount": str(whole),
        "time_to_live_in_seconds": str(PAGE_SECONDS),
        "payment_description": payment.serial_number,
        "currency": payment.currency,
        "merchant_name": keys.merchant_name,
        "items": json.dumps([{"name": payment.serial_number, "amount": whole}]),
    }
    signed = "".join(order[name] for name in SIGNED_IN_ORDER)
    return {**order, "hash": _hash(keys.secret_keys[0], signed)}


# --- what is told ---------------------------------------------------------------------------------


def _hash(secret_key: str, text: str) -> str:
    return hmac.new(secret_key.encode(), text.encode(), "sha256").hexdigest()


def _check_hash(callback: Mapping[str, Any], keys: Keys) -> None:
    """That the callback was signed with one of our keys. All are tried, in constant time.

    Raises:
        InvalidSignature: it was not.
    """
    signed = "".join(_hashed(callback.get(name)) for name in SIGNED_IN_CALLBACK)
    live = [_hash(secret_key, signed) for secret_key in keys.secret_keys]
    if not is_one_of(text_of(callback.get("hashValue")).lower(), live):
        raise InvalidSignature


def _hashed(value: object) -> str:
    """A field as it stands in the text that is hashed: exactly as it was written.

    Raises:
        InvalidSignature: it is neither a text, a number, nor null.
    """
    if value is None:
        return "null"
    if isinstance(value, Number):
        return value.text
    if not isinstance(value, str):
        raise InvalidSignature
    return value


def _take_up(callback: Mapping[str, Any], keys: Keys, desk: Desk) -> None:
    """Store that the money has moved, if that is what a signed callback says.

    Raises:
        Unreadable: see there.
        NoSuchPayment, ReferenceConflict, TryAgain, OutcomeUnknown: see the desk.
    """
    _check_places(callback, keys)
    payment_id = payment_id_of(keys.source, text_of(callback.get("orderId")))
    status = text_of(callback.get("status"))
    if status == CONFIRMED:
        desk.paid(payment_id, _paid(callback, keys.currency))
    elif status not in NOT_PAID:
        raise Unreadable("status")
    elif desk.payment(payment_id) is None:
        raise NoSuchPayment("no order of that id was made here")


def _check_places(callback: Mapping[str, Any], keys: Keys) -> None:
    """That each signed field holds what belongs there.

    Nothing stands between the fields in the text that is hashed, so a digit that wandered from one
    to the next would leave the hash as it is.

    Raises:
        NoSuchPayment: it is of no order of ours.
        Unreadable: see there.
    """
    order_id = callback.get("orderId")
    is_ours = isinstance(order_id, str) and _REFERENCE.fullmatch(order_id) is not None
    if not is_ours or text_of(callback.get("merchantId")) != keys.merchant_id:
        raise NoSuchPayment("no order of that id was made here")
    if callback.get("merchantReferenceId") != order_id:
        raise Unreadable("merchantReferenceId")
    if not text_of(callback.get("backendResultUrl")).startswith("http"):
        raise Unreadable("backendResultUrl")
    if re.fullmatch(r"[0-9]{1,9}", text_of(callback.get("timeToLiveSeconds")) or "0") is None:
        raise Unreadable("timeToLiveSeconds")


def _paid(callback: Mapping[str, Any], currency: Currency) -> Paid:
    """What was paid. The time of the callback names no zone, so it is not used.

    Raises:
        Unreadable: see there.
    """
    receipt = text_of(callback.get("transactionId"))
    if _ID.fullmatch(receipt) is None:
        raise Unreadable("transactionId")
    try:
        amount = amount_minor(callback.get("amount"), currency)
    except UnusableAmount:
        raise Unreadable("amount") from None
    code = text_of(callback.get("currency")) or currency.code
    if re.fullmatch(r"[A-Z]{3}", code) is None:
        raise Unreadable("currency")
    return Paid(receipt, amount, code)
