"""MTN MoMo: the payer is asked on the phone to pay (Collection); and refunds (Disbursement).

Both products want a user, an API key and a subscription key of their own, and bring a token for an
hour: ``POST /<product>/token/``. ``POST /collection/v1_0/requesttopay`` asks a payer; ``GET
/collection/v1_0/requesttopay/<id>`` tells what became of it. ``POST /disbursement/v1_0/refund``
gives a payment back, all or a part of it; ``GET /disbursement/v1_0/refund/<id>`` tells what became
of that. The ids are UUIDs of ours, in the header ``X-Reference-Id``. Amounts are whole units of the
currency with decimals, as texts.

Where a request to pay names an ``X-Callback-Url``, which must lie below the address that the
company has registered, the company is told there with a ``PUT`` of the same that the status tells.
Nothing proves who sent it.

Nobody pays here: a test, or a person with curl, has it done through the control address
(``mtn_momo/pay``). A refund is done when it is first looked at, unless the fault ``pending`` is in
force; with ``refund_fails`` it fails instead.

Assumptions, to be confirmed with the vendor:

- refusals of refunds, and what is said to credentials or a token that are not good;
- ``reason`` is an object with ``code`` and ``message``, as documented; in the sandbox it has been
  seen as a text, so a control may have either told;
- of refunds nobody is told.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar
from uuid import uuid4

from infra.local.fakes.amounts import amount_of
from infra.local.fakes.controls import TELLING, control, tell_as_wished
from infra.local.fakes.delivery import deliver
from infra.local.fakes.fake import Answer, Done, Order, Request, Settings, timestamp
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import (
    OBJECT,
    TEXT,
    Field,
    Fields,
    Unacceptable,
    check,
    just,
    matching,
    numeral,
    optional,
    read_object,
)
from infra.local.fakes.wishes import AMOUNT
from infra.local.vendors.sessions import Sessions

TOKEN_SECONDS = 3600

COLLECTION = "collection"
DISBURSEMENT = "disbursement"

_PREFIXES = {COLLECTION: "", DISBURSEMENT: "disbursement_"}
"""How the settings of each product begin."""

_UUID = matching(
    "[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", "a UUID in five groups of digits"
)
_NOTE = optional(matching(".{0,160}", "a text of at most 160 characters"))
_REQUEST: Fields = {
    "amount": numeral(2),
    "currency": TEXT,
    "externalId": TEXT,
    "payer": OBJECT,
    "payerMessage": _NOTE,
    "payeeNote": _NOTE,
}
_PAYER: Fields = {
    "partyIdType": just("MSISDN"),
    "partyId": matching("[1-9][0-9]{7,14}", "a phone number with its country's code, digits only"),
}
_REFUND: Fields = {
    "amount": numeral(2),
    "currency": TEXT,
    "externalId": TEXT,
    "payerMessage": _NOTE,
    "payeeNote": _NOTE,
    "referenceIdToRefund": TEXT,
}

_TOLD: Fields = {
    "reference": TEXT,
    "status": optional(just("SUCCESSFUL", "FAILED", "PENDING")),
    "reason": optional(
        Field("a text or an object", lambda value: TEXT.accepts(value) or isinstance(value, dict))
    ),
    "amount": optional(AMOUNT),
    "method": optional(just("PUT", "POST")),
}
_PAY: Fields = {**_TOLD, **TELLING}
_NOTIFY: Fields = {**_TOLD, "times": TELLING["times"]}

_T = TypeVar("_T")

_NOT_APPROVED = {"code": "APPROVAL_REJECTED", "message": "The payer did not approve the payment"}


@dataclass
class _Payment:
    """One request to pay. Once it is paid, the amount is what was really paid."""

    reference: str
    amount: Decimal
    request: Mapping[str, Any]
    callback_url: str | None
    status: str = "PENDING"
    reason: Any = None
    financial_id: str = field(default_factory=lambda: _financial_id())

    def shown(
        self, status: str | None = None, reason: Any = None, amount: Decimal | None = None
    ) -> dict[str, Any]:
        """As it is told in answers and callbacks; perhaps otherwise than it is."""
        status = status or self.status
        told = {**self.request, "amount": _text(amount or self.amount), "status": status}
        if status == "SUCCESSFUL":
            told["financialTransactionId"] = self.financial_id
        if status == "FAILED":
            told["reason"] = reason or self.reason or _NOT_APPROVED
        return told


@dataclass
class _Refund:
    """One refund."""

    id: str
    payment: _Payment
    amount: Decimal
    request: Mapping[str, Any]
    fails: bool
    status: str = "PENDING"
    at: str = field(default_factory=timestamp)
    financial_id: str = field(default_factory=lambda: _financial_id())

    def shown(self, status: str) -> dict[str, Any]:
        """As it is told in answers."""
        told = {name: text for name, text in self.request.items() if name != "referenceIdToRefund"}
        told |= {"payee": self.payment.request["payer"], "status": status}
        if status == "SUCCESSFUL":
            told["financialTransactionId"] = self.financial_id
        if status == "FAILED":
            told["reason"] = {
                "code": "INTERNAL_PROCESSING_ERROR",
                "message": "The refund could not be made",
            }
        return told


@dataclass(frozen=True)
class _RequestOrder(Order):
    """An order to ask a payer."""

    is_vend: bool = False
    callback_url: str | None = None


@dataclass(frozen=True)
class _RefundOrder(Order):
    """An order to give a payment back."""

    is_vend: bool = False
    refund_id: str = ""


class MtnMomo:
    """The provider's server, as documented.

    Settings: ``user``, ``api_key`` and ``subscription_key`` of Collection, the same of Disbursement
    (``disbursement_user`` …), the target ``environment``, its ``currency``; and ``public_url``,
    below which callbacks may go.
    """

    key = "mtn_momo"
    paths: Mapping[str, str] = {}
    own_faults = frozenset({Fault.PENDING, Fault.REFUND_FAILS})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._faults = faults
        self._sessions = {product: Sessions() for product in _PREFIXES}
        self._payments: dict[str, _Payment] = {}
        self._refunds: dict[str, _Refund] = {}
        self._lock = threading.RLock()

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        product, _, path = request.path.removeprefix("/").partition("/")
        try:
            if product not in _PREFIXES:
                raise _Refused("RESOURCE_NOT_FOUND", "Requested resource was not found.", 404)
            self._check_subscription(request, product)
            with self._lock:
                if (request.method, path) == ("POST", "token/"):
                    return self._grant(request, product)
                self._check_session(request, product)
                return self._read(request, f"{product}/{path}")
        except Unacceptable as error:
            return _Refused("BAD_REQUEST", str(error), 400).answer()
        except _Refused as error:
            return error.answer()

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        try:
            with self._lock:
                if isinstance(order, _RequestOrder):
                    self._ask_payer(order)
                elif isinstance(order, _RefundOrder):
                    self._give_back(order)
            return Done(Answer(202, b""))
        except _Refused as error:  # another request was faster
            return Done(error.answer())

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if isinstance(order, _RefundOrder):
            return _Refused(
                "NOT_ENOUGH_FUNDS", "The payer does not have enough funds.", 400
            ).answer()
        return _Refused("PAYER_NOT_FOUND", "Payer does not exist", 400).answer()

    def _check_subscription(self, request: Request, product: str) -> None:
        wanted = self._settings[f"{_PREFIXES[product]}subscription_key"]
        shown = request.headers.get("ocp-apim-subscription-key", "")
        if not hmac.compare_digest(shown.encode(), wanted.encode()):
            raise _NotLetIn("Access denied due to invalid subscription key.")

    def _check_session(self, request: Request, product: str) -> None:
        if not self._sessions[product].admits(request):
            raise _NotLetIn("Unauthorized. Access token is invalid or has expired.")
        if request.headers.get("x-target-environment") != self._settings["environment"]:
            text = "Access to target environment is forbidden."
            raise _Refused("NOT_ALLOWED_TARGET_ENVIRONMENT", text, 500)

    def _grant(self, request: Request, product: str) -> Answer:
        names = (f"{_PREFIXES[product]}{name}" for name in ("user", "api_key"))
        wanted = ":".join(self._settings[name] for name in names)
        basic = "Basic " + base64.b64encode(wanted.encode()).decode()
        if request.headers.get("authorization") != basic:
            return Answer.of({"error": "login_failed"}, 401)
        return Answer.of(
            {
                "access_token": self._sessions[product].begin(TOKEN_SECONDS),
                "token_type": "access_token",
                "expires_in": TOKEN_SECONDS,
            }
        )

    def _read(self, request: Request, path: str) -> Order | Answer:
        match (request.method, *path.split("/")):
            case ("POST", "collection", "v1_0", "requesttopay"):
                return self._read_request(request)
            case ("GET", "collection", "v1_0", "requesttopay", reference):
                return Answer.of(self._looked_at_payment(_found(self._payments, reference)))
            case ("POST", "disbursement", "v1_0", "refund"):
                return self._read_refund(request)
            case ("GET", "disbursement", "v1_0", "refund", refund_id):
                return Answer.of(self._looked_at_refund(_found(self._refunds, refund_id)))
        raise _Refused("RESOURCE_NOT_FOUND", "Requested resource was not found.", 404)

    def _read_request(self, request: Request) -> Order:
        reference = _reference_id(request)
        callback_url = self._callback_url(request)
        fields = read_object(request, _REQUEST)
        check(fields["payer"], _PAYER, "payer")
        self._check_currency(fields)
        _refuse_duplicate(self._payments, reference)
        return _RequestOrder(reference, fields, callback_url=callback_url)

    def _callback_url(self, request: Request) -> str | None:
        """Where the company wants to be told of this.

        Raises:
            _Refused: that is not at the host that it has registered.
        """
        url = request.headers.get("x-callback-url")
        if url is not None and not url.startswith(f"{self._settings['public_url'].rstrip('/')}/"):
            raise _Refused("INVALID_CALLBACK_URL_HOST", "Callback URL with invalid host", 500)
        return url

    def _check_currency(self, fields: Mapping[str, Any]) -> None:
        if fields["currency"] != self._settings["currency"]:
            raise _Refused("INVALID_CURRENCY", "Currency not supported.", 500)

    def _ask_payer(self, order: _RequestOrder) -> None:
        _refuse_duplicate(self._payments, order.subject)
        amount = amount_of(order.request["amount"])
        self._payments[order.subject] = _Payment(
            order.subject, amount, order.request, order.callback_url
        )

    def _looked_at_payment(self, payment: _Payment) -> dict[str, Any]:
        if self._faults.take(self.key, payment.reference, {Fault.PENDING}):
            return payment.shown("PENDING")
        return payment.shown()

    # --- refunds ----------------------------------------------------------------------------

    def _read_refund(self, request: Request) -> Order:
        refund_id = _reference_id(request)
        self._callback_url(request)
        fields = read_object(request, _REFUND)
        self._check_currency(fields)
        _refuse_duplicate(self._refunds, refund_id)
        payment = self._refundable(fields)
        return _RefundOrder(payment.reference, fields, refund_id=refund_id)

    def _refundable(self, fields: Mapping[str, Any]) -> _Payment:
        """The payment that is to be given back.

        Raises:
            _Refused: it cannot be, or not so much of it.
        """
        payment = _found(self._payments, fields["referenceIdToRefund"])
        if payment.status != "SUCCESSFUL":
            raise _Refused("NOT_ALLOWED", "The transaction was not successful.", 400)
        refunded = sum(
            refund.amount
            for refund in self._refunds.values()
            if refund.payment is payment and refund.status != "FAILED"
        )
        if amount_of(fields["amount"]) > payment.amount - refunded:
            raise _Refused("NOT_ALLOWED", "The amount is more than what can be refunded.", 400)
        return payment

    def _give_back(self, order: _RefundOrder) -> None:
        _refuse_duplicate(self._refunds, order.refund_id)
        payment = self._refundable(order.request)
        fails = self._faults.take(self.key, order.subject, {Fault.REFUND_FAILS}) is not None
        amount = amount_of(order.request["amount"])
        self._refunds[order.refund_id] = _Refund(
            order.refund_id, payment, amount, order.request, fails
        )

    def _looked_at_refund(self, refund: _Refund) -> dict[str, Any]:
        """The refund; a look at it is what makes time pass."""
        if self._faults.take(self.key, refund.payment.reference, {Fault.PENDING}):
            return refund.shown("PENDING")
        if refund.status == "PENDING":
            refund.status = "FAILED" if refund.fails else "SUCCESSFUL"
        return refund.shown(refund.status)

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`. Looking here lets no time pass."""
        with self._lock:
            return [
                {
                    "at": refund.at,
                    "refund_id": refund.id,
                    "reference": refund.payment.reference,
                    "amount": _text(refund.amount),
                    "status": refund.status,
                    "request": refund.request,
                }
                for refund in self._refunds.values()
            ]

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: the payer pays, or does not (``status``); ``notify``: a callback is sent again, or
        one that contradicts what is so; ``expire-tokens``: no token that was given out is good any
        more.
        """
        return {
            "pay": control(_PAY, self._pay),
            "notify": control(_NOTIFY, self._notify),
            "expire-tokens": control({}, self._expire_tokens),
        }

    def _pay(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            payment = self._payment(fields["reference"])
            status = fields.get("status", "SUCCESSFUL")
            if payment.status != "SUCCESSFUL":  # which no later attempt undoes
                payment.status = status
                payment.reason = fields.get("reason")
                payment.amount = amount_of(fields.get("amount", payment.amount))
            told = payment.shown(status, fields.get("reason"))
        return self._tell(payment, told, fields)

    def _notify(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            payment = self._payment(fields["reference"])
            amount = amount_of(fields.get("amount", payment.amount))
            told = payment.shown(fields.get("status"), fields.get("reason"), amount)
        return self._tell(payment, told, fields)

    def _expire_tokens(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            self._sessions = {product: Sessions() for product in _PREFIXES}
        return Answer(204, b"")

    def _tell(
        self, payment: _Payment, told: Mapping[str, Any], fields: Mapping[str, Any]
    ) -> Answer:
        """Sends the company a callback, as ``fields`` say; if it wants any."""
        url = payment.callback_url
        if url is None:
            return Answer.of({"webhook_status": None})
        body, headers = Answer.of(told).body, {"Content-Type": "application/json"}
        method = fields.get("method", "PUT")
        return tell_as_wished(fields, lambda: deliver(url, body, headers, method))

    def _payment(self, reference: str) -> _Payment:
        """The payment of that reference, for a control.

        Raises:
            Unacceptable: there is none.
        """
        payment = self._payments.get(reference.lower())
        if payment is None:
            raise Unacceptable("there is no payment of that reference", 404)
        return payment


class _Refused(Exception):
    """A request that is not accepted. ``code`` is the provider's."""

    def __init__(self, code: str, text: str, status: int) -> None:
        super().__init__(text)
        self._code = code
        self._status = status

    def answer(self) -> Answer:
        """As this provider tells it."""
        return Answer.of({"message": str(self), "code": self._code}, self._status)


class _NotLetIn(_Refused):
    """A request that the gateway before the provider does not let in."""

    def __init__(self, text: str) -> None:
        super().__init__("", text, 401)

    def answer(self) -> Answer:
        """As the gateway tells it."""
        return Answer.of({"statusCode": 401, "message": str(self)}, 401)


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up."""
    credentials = {
        f"{prefix}{name}": text
        for prefix in _PREFIXES.values()
        for name, text in (
            ("user", str(uuid4())),
            ("api_key", secrets.token_hex(16)),
            ("subscription_key", secrets.token_hex(16)),
        )
    }
    return {
        **credentials,
        "environment": "mtnuganda",
        "currency": "KES",
        "path_secret": secrets.token_hex(16),
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    names = ("user", "api_key", "subscription_key")
    return {
        "base_url": base_url,
        **{name: given[name] for name in names},
        "environment": given["environment"],
        "currency": given["currency"],
        "public_url": given.get("public_url", ""),
        "path_secrets": [given["path_secret"]],
        "disbursement": {name: given[f"disbursement_{name}"] for name in names},
    }


def _reference_id(request: Request) -> str:
    """The id of ours in the header.

    Raises:
        Unacceptable: there is none.
    """
    text = request.headers.get("x-reference-id", "")
    if not _UUID.accepts(text):
        raise Unacceptable(f"X-Reference-Id must be {_UUID.must_be}")
    return text.lower()


def _refuse_duplicate(known: Mapping[str, Any], reference: str) -> None:
    if reference in known:
        text = "Duplicated reference id. Creation of resource failed."
        raise _Refused("RESOURCE_ALREADY_EXIST", text, 409)


def _found(known: Mapping[str, _T], reference: str) -> _T:
    found = known.get(reference.lower())
    if found is None:
        raise _Refused("RESOURCE_NOT_FOUND", "Requested resource was not found.", 404)
    return found


def _financial_id() -> str:
    return str(10**9 + secrets.randbelow(9 * 10**9))


def _text(amount: Decimal) -> str:
    """An amount as this provider tells it: without a point where there are no decimals."""
    return f"{amount.normalize():f}"
