"""Pesapal, API 3.0: a checkout that the payer completes on a page of Pesapal's, and refunds.

``POST /api/Auth/RequestToken`` brings a token for five minutes. ``POST
/api/Transactions/SubmitOrderRequest`` takes an order and makes the address of its page; ``GET
/api/Transactions/GetTransactionStatus?orderTrackingId=`` tells what became of it. ``POST
/api/Transactions/RefundRequest`` asks for a refund. Amounts are whole units of the currency with
decimals. A notice (IPN) names an order and says nothing of it, and nothing proves who sent it.

Answers are HTTP 200 also where something is refused: then ``status`` is another and ``error`` tells
why. An ``error`` whose fields are all ``null`` is none. A token that is not good is HTTP 401.

Nobody pays here: a test, or a person with curl, has it done through the control address
(``pesapal/pay``). A refund can be asked for once for each payment, a payment by mobile money only
in full; nothing tells of it but the payment, which is reversed once the refund was approved: when
it is next looked at, unless the fault ``pending`` is in force. With ``refund_fails`` it is
rejected, and the payment stays completed.
"""

from __future__ import annotations

import secrets
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from infra.local.fakes.amounts import AMOUNT, amount_of, shown
from infra.local.fakes.controls import TELLING, control, tell_as_wished
from infra.local.fakes.delivery import deliver
from infra.local.fakes.fake import Answer, Done, Order, Request, Settings, timestamp
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import (
    OBJECT,
    TEXT,
    TEXT_OR_EMPTY,
    Fields,
    Unacceptable,
    check,
    just,
    matching,
    number,
    optional,
    read_object,
)
from infra.local.vendors.sessions import Sessions

TOKEN_SECONDS = 300.0

STATUS_CODES = {"INVALID": 0, "COMPLETED": 1, "FAILED": 2, "REVERSED": 3}

MOBILE_MONEY = "MpesaKE"
CARD = "Visa"

_PAGE_PATH = "/pesapaliframe/PesapalIframe3/Index/"
_NO_ERROR = {"error_type": None, "code": None, "message": None, "call_back_url": None}
_NOT_PAID_YET = {
    "error_type": "api_error",
    "code": "payment_details_not_found",
    "message": "Pending Payment",
    "call_back_url": None,
}

_CURRENCY = matching("[A-Z]{3}", "a currency of three letters")
_CREDENTIALS: Fields = {"consumer_key": TEXT, "consumer_secret": TEXT}
_ADDRESS = matching(r"https?://\S+", "an address")
_ORDER: Fields = {
    "id": matching("[A-Za-z0-9_.:-]{1,50}", "a text of at most 50 letters, digits and - _ . :"),
    "currency": _CURRENCY,
    "amount": number(2),
    "description": matching(".{1,100}", "a text of at most 100 characters"),
    "callback_url": _ADDRESS,
    "cancellation_url": optional(_ADDRESS),
    "redirect_mode": optional(just("TOP_WINDOW", "PARENT_WINDOW", "")),
    "notification_id": TEXT,
    "branch": optional(TEXT_OR_EMPTY),
    "billing_address": OBJECT,
}
_BILLING_ADDRESS: Fields = {
    "email_address": optional(matching(r"([^@\s]+@[^@\s]+)?", "an e-mail address")),
    "phone_number": optional(matching(r"(\+?[0-9]{7,15})?", "a phone number")),
    "country_code": optional(matching("([A-Z]{2})?", "a country of two letters")),
    **{
        name: optional(TEXT_OR_EMPTY)
        for name in (
            *("first_name", "middle_name", "last_name", "line_1", "line_2"),
            *("city", "state", "postal_code", "zip_code"),
        )
    },
}
_REFUND: Fields = {
    "confirmation_code": TEXT,
    "amount": AMOUNT,
    "username": TEXT,
    "remarks": TEXT,
}

_METHOD = optional(just("GET", "POST"))
_PAY: Fields = {
    "reference": TEXT,
    "status": optional(just("COMPLETED", "FAILED", "INVALID")),
    "amount": optional(AMOUNT),
    "currency": optional(_CURRENCY),
    "payment_method": optional(just(MOBILE_MONEY, CARD)),
    "method": _METHOD,
    **TELLING,
}
_REVERSE: Fields = {"reference": TEXT, "method": _METHOD, **TELLING}
_NOTIFY: Fields = {"reference": TEXT, "method": _METHOD, "times": TELLING["times"]}


@dataclass
class _Payment:
    """One order. Once it is paid, amount and currency are those that were really paid.

    ``status`` is one of :data:`STATUS_CODES`; nothing before anybody tried to pay.
    """

    reference: str
    amount: Decimal
    currency: str
    callback_url: str
    tracking_id: str = field(default_factory=lambda: str(uuid4()))
    status: str | None = None
    payment_method: str = ""
    confirmation_code: str = ""
    at: str = field(default_factory=lambda: timestamp().removesuffix("Z"))
    refund: _Refund | None = None

    def shown(self) -> dict[str, Any]:
        """As it is told to whoever asks for its status."""
        status = self.status or "INVALID"
        query = urlencode(
            {"OrderTrackingId": self.tracking_id, "OrderMerchantReference": self.reference}
        )
        return {
            "payment_method": self.payment_method,
            "amount": shown(self.amount),
            "created_date": self.at,
            "confirmation_code": self.confirmation_code,
            "payment_status_description": status if status == "INVALID" else status.capitalize(),
            "description": None,
            "message": "Request processed successfully",
            "payment_account": "2547xxx45678" if self.payment_method else "",
            "call_back_url": f"{self.callback_url}?{query}",
            "status_code": STATUS_CODES[status],
            "merchant_reference": self.reference,
            "payment_status_code": "",
            "currency": self.currency,
            "error": _NO_ERROR if self.status else _NOT_PAID_YET,
            "status": "200" if self.status else "500",
        }


@dataclass
class _Refund:
    """The refund of one payment."""

    number: int
    payment: _Payment
    amount: Decimal
    request: Mapping[str, Any]
    fails: bool
    status: str = "pending"
    at: str = field(default_factory=timestamp)


@dataclass(frozen=True)
class _RefundOrder(Order):
    """An order to refund; the other kind is to make a checkout."""

    is_vend: bool = False


class Pesapal:
    """The provider's server, as documented.

    Settings: ``consumer_key``, ``consumer_secret``, ``username``, ``currency``; and ``ipn_url``,
    where the company wants its notices, which is registered as ``notification_id``.
    """

    key = "pesapal"
    paths: Mapping[str, str] = {"ipn_url": "/payments/pesapal/ipn"}
    own_faults = frozenset({Fault.PENDING, Fault.REFUND_FAILS})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._credentials = {name: settings[name] for name in _CREDENTIALS}
        self._username = settings["username"]
        self._currency = settings["currency"]
        self._notification_id = settings["notification_id"]
        self._ipn_url = settings["ipn_url"]
        self._faults = faults
        self._sessions = Sessions()
        self._payments: list[_Payment] = []
        self._refunds: list[_Refund] = []
        self._lock = threading.RLock()

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path == _PAGE_PATH:
            return self._page(request.query.get("OrderTrackingId", ""))
        if "application/json" not in request.headers.get("accept", ""):
            return _failed("invalid_accept_header", "Accept must be application/json")
        try:
            with self._lock:
                return self._read(request)
        except Unacceptable as error:
            return _failed("invalid_request", str(error))
        except _Rejected as error:
            return _failed(error.code, str(error))

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        try:
            with self._lock:
                if isinstance(order, _RefundOrder):
                    return Done(self._take_refund(order))
                return Done(self._submit(order))
        except _Rejected as error:  # another request was faster
            return Done(_failed(error.code, str(error)))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if isinstance(order, _RefundOrder):
            return _refund_rejected()
        return _failed("amount_exceeds_default_limit", "Transaction amount exceeds limit")

    def _read(self, request: Request) -> Order | Answer:
        route = (request.method, request.path)
        if route == ("POST", "/api/Auth/RequestToken"):
            return self._request_token(request)
        if not self._sessions.admits(request):
            return _failed("invalid_access_token", "Invalid Access Token", "401", 401)
        match route:
            case ("POST", "/api/Transactions/SubmitOrderRequest"):
                return self._read_order(request)
            case ("GET", "/api/Transactions/GetTransactionStatus"):
                return self._tell_status(request.query)
            case ("POST", "/api/Transactions/RefundRequest"):
                return self._read_refund(request)
        return _failed("not_found", f"No HTTP resource was found at {request.path}", "404", 404)

    def _request_token(self, request: Request) -> Answer:
        if read_object(request, _CREDENTIALS) != self._credentials:
            raise _Rejected("invalid_consumer_key_or_secret_provided", "")
        expiry = datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS)
        return Answer.of(
            {
                "token": self._sessions.begin(TOKEN_SECONDS),
                "expiryDate": timestamp(expiry),
                "error": None,
                "status": "200",
                "message": "Request processed successfully",
            }
        )

    def _read_order(self, request: Request) -> Order:
        fields = read_object(request, _ORDER)
        billed = check(fields["billing_address"], _BILLING_ADDRESS, "billing_address")
        if not (billed.get("email_address") or billed.get("phone_number")):
            raise Unacceptable("email_address or phone_number is expected in billing_address")
        if fields["notification_id"] != self._notification_id:
            raise _Rejected("InvalidIpnId", "Invalid IPN URL ID")
        if fields["currency"] != self._currency:
            raise _Rejected("invalid_currency", "Currency is not enabled for this merchant")
        self._refuse_duplicate(fields["id"])
        base_url = f"http://{request.headers.get('host', '')}/{self.key}"
        return Order(fields["id"], {**fields, "base_url": base_url}, is_vend=False)

    def _refuse_duplicate(self, reference: str) -> None:
        if self._find(reference):
            raise _Rejected("duplicate_order_id", "Order id was used before")

    def _submit(self, order: Order) -> Answer:
        fields = order.request
        self._refuse_duplicate(order.subject)
        payment = _Payment(
            reference=order.subject,
            amount=amount_of(fields["amount"]),
            currency=fields["currency"],
            callback_url=fields["callback_url"],
        )
        self._payments.append(payment)
        query = urlencode({"OrderTrackingId": payment.tracking_id})
        return Answer.of(
            {
                "order_tracking_id": payment.tracking_id,
                "merchant_reference": payment.reference,
                "redirect_url": f"{fields['base_url']}{_PAGE_PATH}?{query}",
                "error": None,
                "status": "200",
            }
        )

    def _tell_status(self, query: Mapping[str, str]) -> Answer:
        if set(query) != {"orderTrackingId"}:
            raise Unacceptable("orderTrackingId is expected")
        payment = self._find(query["orderTrackingId"])
        if payment is None or payment.tracking_id != query["orderTrackingId"]:
            raise _Rejected("invalid_order_tracking_id", "Order tracking id was not found")
        self._look_at(payment.refund)
        return Answer.of(payment.shown())

    def _page(self, tracking_id: str) -> Answer:
        """Where the payer would pay: it says how it is done here."""
        with self._lock:
            payment = self._find(tracking_id)
        if payment is None:
            return Answer(404, b"no such order", "text/plain")
        text = (
            f"{payment.currency} {payment.amount:.2f}, {(payment.status or 'not paid').lower()}.\n"
            f'Pay it with POST /_control/pesapal/pay {{"reference": "{payment.reference}"}}\n'
        )
        return Answer(200, text.encode(), "text/plain;charset=utf-8")

    # --- refunds ----------------------------------------------------------------------------

    def _read_refund(self, request: Request) -> Order | Answer:
        fields = read_object(request, _REFUND)
        payment = self._refundable(fields)
        if payment is None:
            return _refund_rejected()
        return _RefundOrder(payment.reference, fields)

    def _refundable(self, fields: Mapping[str, Any]) -> _Payment | None:
        """The payment that is to be refunded, if it can be."""
        found = [
            payment
            for payment in self._payments
            if payment.confirmation_code == fields["confirmation_code"]
            and payment.status == "COMPLETED"
            and payment.refund is None
        ]
        if not found or fields["username"] != self._username:
            return None
        (payment,) = found
        amount = amount_of(fields["amount"])
        is_part = payment.payment_method != MOBILE_MONEY and amount < payment.amount
        return payment if is_part or amount == payment.amount else None

    def _take_refund(self, order: Order) -> Answer:
        payment = self._refundable(order.request)
        if payment is None:
            return _refund_rejected()
        payment.refund = _Refund(
            number=len(self._refunds) + 1,
            payment=payment,
            amount=amount_of(order.request["amount"]),
            request=order.request,
            fails=self._faults.take(self.key, order.subject, {Fault.REFUND_FAILS}) is not None,
        )
        self._refunds.append(payment.refund)
        return Answer.of({"status": "200", "message": "Refund request successfully"})

    def _look_at(self, refund: _Refund | None) -> None:
        """A look at its payment is what makes time pass for a refund."""
        if refund is None or refund.status != "pending":
            return
        if self._faults.take(self.key, refund.payment.reference, {Fault.PENDING}):
            return
        if refund.fails:
            refund.status = "rejected"
        else:
            self._reverse_payment(refund.payment)

    def _reverse_payment(self, payment: _Payment) -> None:
        payment.status = "REVERSED"
        if payment.refund is not None:
            payment.refund.status = "done"

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`. Looking here lets no time pass."""
        with self._lock:
            return [
                {
                    "at": refund.at,
                    "refund_id": refund.number,
                    "reference": refund.payment.reference,
                    "amount": shown(refund.amount),
                    "status": refund.status,
                    "request": refund.request,
                }
                for refund in self._refunds
            ]

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: somebody pays an order, or tries in vain; ``reverse``: a completed payment is given
        back, because we asked for it or because the payer did; ``notify``: a notice is sent again;
        ``expire-tokens``: no token that was given out is good any more.
        """
        return {
            "pay": control(_PAY, self._pay),
            "reverse": control(_REVERSE, self._reverse),
            "notify": control(_NOTIFY, self._notify),
            "expire-tokens": control({}, self._expire_tokens),
        }

    def _pay(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            payment = self._payment(fields["reference"])
            if payment.status not in ("COMPLETED", "REVERSED"):  # which no later attempt undoes
                payment.status = fields.get("status", "COMPLETED")
                payment.amount = amount_of(fields.get("amount", payment.amount))
                payment.currency = fields.get("currency", payment.currency)
                payment.payment_method = fields.get("payment_method", MOBILE_MONEY)
                if payment.status == "COMPLETED":
                    payment.confirmation_code = _confirmation_code()
        return self._tell(payment, fields)

    def _reverse(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            payment = self._payment(fields["reference"])
            if payment.status != "COMPLETED":
                raise Unacceptable("only a completed payment can be reversed", 409)
            self._reverse_payment(payment)
        return self._tell(payment, fields)

    def _notify(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            payment = self._payment(fields["reference"])
        return self._tell(payment, fields)

    def _expire_tokens(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            self._sessions = Sessions()
        return Answer(204, b"")

    def _tell(self, payment: _Payment, fields: Mapping[str, Any]) -> Answer:
        """Sends the company a notice, as ``fields`` say."""
        notice = {
            "OrderTrackingId": payment.tracking_id,
            "OrderMerchantReference": payment.reference,
            "OrderNotificationType": "IPNCHANGE",
        }
        if fields.get("method", "GET") == "GET":
            url = f"{self._ipn_url}?{urlencode(notice)}"
            return tell_as_wished(fields, lambda: deliver(url, None, {}, "GET"))
        body, headers = Answer.of(notice).body, {"Content-Type": "application/json"}
        return tell_as_wished(fields, lambda: deliver(self._ipn_url, body, headers))

    # --- all of it --------------------------------------------------------------------------

    def _find(self, name: str) -> _Payment | None:
        """The order of that reference or tracking id."""
        for payment in self._payments:
            if name in (payment.reference, payment.tracking_id):
                return payment
        return None

    def _payment(self, reference: str) -> _Payment:
        """The order of that reference, for a control.

        Raises:
            Unacceptable: there is none.
        """
        payment = self._find(reference)
        if payment is None:
            raise Unacceptable("there is no order of that reference", 404)
        return payment


class _Rejected(Exception):
    """A request that is well formed and not accepted. ``code`` is the provider's."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up."""
    return {
        "consumer_key": secrets.token_urlsafe(24),
        "consumer_secret": secrets.token_urlsafe(20),
        "notification_id": str(uuid4()),
        "username": f"mwanga-{secrets.token_hex(4)}",
        "currency": "KES",
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    return {
        "base_url": base_url,
        "consumer_key": given["consumer_key"],
        "consumer_secret": given["consumer_secret"],
        "notification_id": given["notification_id"],
        "username": given["username"],
        "callback_url": "https://mwanga.example/thanks",
        "email": "payments@mwanga.example",
    }


def _confirmation_code() -> str:
    """As the operator of the mobile money makes them."""
    alphabet = string.ascii_uppercase + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(10))


def _failed(code: str, message: str, status: str = "500", http_status: int = 200) -> Answer:
    """An error, as this provider tells it."""
    error = {"error_type": "api_error", "code": code, "message": message}
    return Answer.of({"error": error, "status": status, "message": message}, http_status)


def _refund_rejected() -> Answer:
    return Answer.of({"status": "500", "message": "Refund rejected"})
