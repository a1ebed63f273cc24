"""Airtel Africa's Open API: the payer is asked on the phone to pay; and refunds.

``POST /auth/oauth2/token`` brings a token for three minutes. ``POST /merchant/v1/payments/`` asks a
payer; ``GET /standard/v1/payments/<id>`` tells by our id what became of it, and tells no amount.
``POST /standard/v1/payments/refund`` gives a payment back, all of it. Amounts are whole units of
the currency with decimals, payers are numbers without their country's code.

The company is told of successes and failures with a callback that carries a hash:
HMAC-SHA256, in Base64, of the callback without it (:func:`sign`). Copies of the documentation
differ in whether the object around the transaction is signed too (``wrapped``) or not (``inner``).

Nobody pays here: a test, or a person with curl, has it done through the control address
(``airtel/pay``). With the fault ``pending`` a payment is told to be in progress; with
``refund_fails`` a refund is taken, and the answer says that it failed.

Assumptions, to be confirmed with the vendor:

- what is not accepted is answered with HTTP 200 and ``success`` false, unless the token is not
  good (401) or nothing is there (404);
- of what expired, is ambiguous or in progress (``TE``, ``TA``, ``TIP``) nobody is told;
- the id in the answer to a refund is that of the refund.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from infra.local.fakes.amounts import amount_of, shown
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
    number,
    optional,
    read_object,
)
from infra.local.fakes.wishes import AMOUNT
from infra.local.vendors.sessions import Sessions

TOKEN_PATH = "/auth/oauth2/token"
PUSH_PATH = "/merchant/v1/payments/"
ENQUIRY_PATH = "/standard/v1/payments/"
REFUND_PATH = "/standard/v1/payments/refund"

TOKEN_SECONDS = 180
MSISDN_DIGITS = 9

_MESSAGES = {
    "TS": "success",
    "TF": "failed",
    "TA": "ambiguous",
    "TIP": "in progress",
    "TE": "expired",
    "TR": "refunded",
}
_TOLD_OF = ("TS", "TF")
_FINAL = ("TS", "TR")
"""What no later attempt undoes."""

_TOKEN: Fields = {
    "client_id": TEXT,
    "client_secret": TEXT,
    "grant_type": just("client_credentials"),
}
_PUSH: Fields = {
    "reference": matching(".{1,64}", "a text of at most 64 characters"),
    "subscriber": OBJECT,
    "transaction": OBJECT,
}
_SUBSCRIBER: Fields = {
    "country": TEXT,
    "currency": TEXT,
    "msisdn": Field("a number", lambda value: type(value) in (int, str)),
}
_TRANSACTION: Fields = {
    "amount": number(2),
    "country": TEXT,
    "currency": TEXT,
    "id": matching("[A-Za-z0-9-]{1,64}", "a text of at most 64 letters, digits and -"),
}
_REFUND: Fields = {"transaction": OBJECT}
_REFUNDED: Fields = {"airtel_money_id": TEXT}

_FORM = optional(just("wrapped", "inner"))
_PAY: Fields = {
    "reference": TEXT,
    "outcome": optional(just("TS", "TF", "TE", "TA", "TIP")),
    "amount": optional(AMOUNT),
    "form": _FORM,
    **TELLING,
}
_NOTIFY: Fields = {
    "reference": TEXT,
    "status_code": optional(just(*_MESSAGES)),
    "form": _FORM,
    "hash": optional(Field("a text or null", lambda value: isinstance(value, str | None))),
    "times": TELLING["times"],
}


@dataclass
class _Payment:
    """One push. Once it is paid, the amount is what was really paid."""

    reference: str
    amount: Decimal
    currency: str
    status: str = "TIP"
    airtel_money_id: str = ""

    def told(self, status_code: str) -> dict[str, str]:
        """As it is told in callbacks."""
        message = f"Paid {self.currency} {shown(self.amount)}"
        return {
            "id": self.reference,
            "message": message if status_code == "TS" else _MESSAGES[status_code],
            "status_code": status_code,
            "airtel_money_id": self.airtel_money_id,
        }


@dataclass
class _Refund:
    """One refund."""

    payment: _Payment
    request: Mapping[str, Any]
    failed: bool
    id: str = field(default_factory=lambda: _money_id("RF"))
    at: str = field(default_factory=timestamp)

    @property
    def status(self) -> str:
        """What became of it."""
        return "FAILED" if self.failed else "SUCCESS"


@dataclass(frozen=True)
class _RefundOrder(Order):
    """An order to give a payment back; the other kind is to ask a payer."""

    is_vend: bool = False


class Airtel:
    """The provider's server, as documented.

    Settings: ``client_id`` and ``client_secret`` for tokens, ``private_key``, with which callbacks
    are signed, ``country`` and ``currency`` of the account; and ``callback_url``, where the company
    wants its callbacks.
    """

    key = "airtel"
    paths: Mapping[str, str] = {"callback_url": "/payments/airtel/{path_secret}/callback"}
    own_faults = frozenset({Fault.PENDING, Fault.REFUND_FAILS})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._faults = faults
        self._sessions = Sessions()
        self._payments: list[_Payment] = []
        self._refunds: list[_Refund] = []
        self._lock = threading.RLock()

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if (request.method, request.path) == ("POST", TOKEN_PATH):
            return self._grant(request)
        try:
            with self._lock:
                if not self._sessions.admits(request):
                    return _not_granted("unauthorized", "Access token is invalid or expired", 401)
                self._check_market(request.headers, "x-country", "x-currency")
                return self._read(request)
        except Unacceptable as error:
            return _Refused("ESB000008", str(error)).answer()
        except _Refused as error:
            return error.answer()

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        try:
            with self._lock:
                if isinstance(order, _RefundOrder):
                    return Done(self._refund(order))
                return Done(self._push(order))
        except _Refused as error:  # another request was faster
            return Done(error.answer())

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return _Refused("ESB000011", "Request was failed", "DP00800001003").answer()

    def _grant(self, request: Request) -> Answer:
        try:
            fields = read_object(request, _TOKEN)
        except Unacceptable as error:
            return _not_granted("invalid_request", str(error), 400)
        if any(fields[name] != self._settings[name] for name in ("client_id", "client_secret")):
            return _not_granted("invalid_client", "Invalid client authentication", 401)
        token = self._sessions.begin(TOKEN_SECONDS)
        return Answer.of(
            {"token_type": "bearer", "expires_in": str(TOKEN_SECONDS), "access_token": token}
        )

    def _check_market(self, fields: Mapping[str, Any], country: str, currency: str) -> None:
        """Whether these are the country and the currency of the account.

        Raises:
            _Refused: they are not.
        """
        if fields.get(country) != self._settings["country"]:
            raise _Refused("ESB000034", "Invalid Country Name")
        if fields.get(currency) != self._settings["currency"]:
            raise _Refused("ESB000035", "Invalid Currency Code")

    def _read(self, request: Request) -> Order | Answer:
        name = unquote(request.path.removeprefix(ENQUIRY_PATH))
        match (request.method, request.path):
            case ("POST", path) if path == PUSH_PATH:
                return self._read_push(request)
            case ("POST", path) if path == REFUND_PATH:
                return self._read_refund(request)
            case ("GET", path) if path.startswith(ENQUIRY_PATH):
                return self._tell(name)
        return _not_granted("not_found", "No such resource", 404)

    def _read_push(self, request: Request) -> Order:
        fields = read_object(request, _PUSH)
        subscriber = check(fields["subscriber"], _SUBSCRIBER, "subscriber")
        transaction = check(fields["transaction"], _TRANSACTION, "transaction")
        for part in (subscriber, transaction):
            self._check_market(part, "country", "currency")
        digits = str(subscriber["msisdn"])
        if not (digits.isdecimal() and digits.isascii() and len(digits) == MSISDN_DIGITS):
            text = f"Invalid MSISDN Length. MSISDN Length should be {MSISDN_DIGITS}"
            raise _Refused("ESB000033", text)
        self._refuse_duplicate(transaction["id"])
        return Order(transaction["id"], fields, is_vend=False)

    def _refuse_duplicate(self, reference: str) -> None:
        if self._find(reference):
            raise _Refused("ESB000041", "External Transaction ID already exists.")

    def _push(self, order: Order) -> Answer:
        asked = order.request["transaction"]
        self._refuse_duplicate(order.subject)
        self._payments.append(
            _Payment(order.subject, amount_of(asked["amount"]), asked["currency"])
        )
        return _succeeded({"id": order.subject, "status": "SUCCESS"})

    def _tell(self, reference: str) -> Answer:
        payment = self._find(reference)
        if payment is None:
            raise _Refused("ESB000045", "No Transaction Found With Provided Transaction Id.")
        is_pending = self._faults.take(self.key, reference, {Fault.PENDING}) is not None
        status = "TIP" if is_pending else payment.status
        return _succeeded(
            {
                "airtel_money_id": "" if is_pending else payment.airtel_money_id,
                "id": payment.reference,
                "message": _MESSAGES[status],
                "status": status,
            }
        )

    # --- refunds ----------------------------------------------------------------------------

    def _read_refund(self, request: Request) -> Order:
        fields = check(read_object(request, _REFUND)["transaction"], _REFUNDED, "transaction")
        payment = self._refundable(fields["airtel_money_id"])
        return _RefundOrder(payment.reference, {"transaction": fields})

    def _refundable(self, airtel_money_id: str) -> _Payment:
        """The payment that is to be given back.

        Raises:
            _Refused: it cannot be.
        """
        for payment in self._payments:
            if payment.airtel_money_id == airtel_money_id:
                if payment.status != "TS":
                    raise _Refused("ESB000011", "The transaction was refunded before")
                return payment
        raise _Refused("ESB000045", "No Transaction Found With Provided Transaction Id.")

    def _refund(self, order: Order) -> Answer:
        payment = self._refundable(order.request["transaction"]["airtel_money_id"])
        fails = self._faults.take(self.key, order.subject, {Fault.REFUND_FAILS}) is not None
        refund = _Refund(payment, order.request, fails)
        self._refunds.append(refund)
        if not fails:
            payment.status = "TR"
        return _succeeded({"airtel_money_id": refund.id, "status": refund.status})

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`."""
        with self._lock:
            return [
                {
                    "at": refund.at,
                    "refund_id": refund.id,
                    "reference": refund.payment.reference,
                    "amount": shown(refund.payment.amount),
                    "status": refund.status,
                    "request": refund.request,
                }
                for refund in self._refunds
            ]

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: the payer pays, or does not (``outcome``); ``notify``: a callback is sent again, or
        one that contradicts what is so, or with another ``hash`` (``null`` leaves it out);
        ``expire-tokens``: no token that was given out is good any more.
        """
        return {
            "pay": control(_PAY, self._pay),
            "notify": control(_NOTIFY, self._notify),
            "expire-tokens": control({}, self._expire_tokens),
        }

    def _pay(self, fields: Mapping[str, Any]) -> Answer:
        outcome = fields.get("outcome", "TS")
        with self._lock:
            payment = self._payment(fields["reference"])
            if payment.status not in _FINAL:
                payment.status = outcome
                if outcome == "TS":
                    payment.amount = amount_of(fields.get("amount", payment.amount))
                    payment.airtel_money_id = _money_id("MP")
        if outcome not in _TOLD_OF:
            return Answer.of({"webhook_status": None})
        return self._call_back(payment.told(outcome), fields)

    def _notify(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            payment = self._payment(fields["reference"])
        return self._call_back(payment.told(fields.get("status_code", payment.status)), fields)

    def _expire_tokens(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            self._sessions = Sessions()
        return Answer(204, b"")

    def _call_back(self, transaction: Mapping[str, str], fields: Mapping[str, Any]) -> Answer:
        """Sends the company a callback, as ``fields`` say."""
        form = fields.get("form", "wrapped")
        digest = fields.get("hash", sign(transaction, self._settings["private_key"], form))
        callback: dict[str, Any] = {"transaction": transaction}
        if digest is not None:
            callback["hash"] = digest
        body, headers = _compact(callback), {"Content-Type": "application/json"}
        url = self._settings["callback_url"]
        return tell_as_wished(fields, lambda: deliver(url, body, headers))

    # --- all of it --------------------------------------------------------------------------

    def _find(self, reference: str) -> _Payment | None:
        for payment in self._payments:
            if payment.reference == reference:
                return payment
        return None

    def _payment(self, reference: str) -> _Payment:
        """The payment of that reference, for a control.

        Raises:
            Unacceptable: there is none.
        """
        payment = self._find(reference)
        if payment is None:
            raise Unacceptable("there is no payment of that reference", 404)
        return payment


class _Refused(Exception):
    """A request that is not accepted. The codes are the provider's."""

    def __init__(self, result_code: str, text: str, response_code: str = "DP00800001000") -> None:
        super().__init__(text)
        self._result_code = result_code
        self._response_code = response_code

    def answer(self) -> Answer:
        """As this provider tells it."""
        status = {
            "code": "400",
            "message": str(self),
            "result_code": self._result_code,
            "response_code": self._response_code,
            "success": False,
        }
        return Answer.of({"status": status})


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up."""
    return {
        "client_id": secrets.token_hex(16),
        "client_secret": secrets.token_urlsafe(24),
        "private_key": secrets.token_urlsafe(24),
        "country": "KE",
        "currency": "KES",
        "path_secret": secrets.token_hex(16),
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    return {
        "base_url": base_url,
        "client_id": given["client_id"],
        "client_secret": given["client_secret"],
        "private_keys": [given["private_key"]],
        "country": given["country"],
        "currency": given["currency"],
        "path_secrets": [given["path_secret"]],
    }


def sign(transaction: Mapping[str, str], private_key: str, form: str = "wrapped") -> str:
    """The hash of a callback, with the object around the transaction (``wrapped``) or without."""
    payload = _compact({"transaction": transaction} if form == "wrapped" else transaction)
    return base64.b64encode(hmac.digest(private_key.encode(), payload, hashlib.sha256)).decode()


def _compact(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _money_id(kind: str) -> str:
    """An id as Airtel's are, made up."""
    day, minute, number = (secrets.randbelow(10**digits) for digits in (6, 4, 5))
    return f"{kind}{day:06}.{minute:04}.L{number:05}"


def _succeeded(transaction: Mapping[str, Any]) -> Answer:
    status = {
        "code": "200",
        "message": "SUCCESS",
        "result_code": "ESB000010",
        "response_code": "DP00800001006",
        "success": True,
    }
    return Answer.of({"data": {"transaction": transaction}, "status": status})


def _not_granted(error: str, text: str, status: int) -> Answer:
    return Answer.of({"error": error, "error_description": text}, status)
