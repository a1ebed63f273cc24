"""Flutterwave, API v4: a charge that the payer confirms on the phone, and refunds.

``POST /token`` is the identity provider, which brings a token for ten minutes. ``POST
/orchestration/direct-charges`` starts a charge of mobile money; ``GET /charges/<id>`` and ``GET
/charges?reference=`` tell what became of it. ``POST /refunds`` takes a refund, ``GET
/refunds/<id>`` tells what became of that. Amounts are whole units of the currency with decimals.
Webhooks are signed with the hash that the company has set: HMAC-SHA256 of the body, in Base64.

Whatever changes something carries an idempotency key: what was answered once to a key is answered
to it again. A reference of ours is good for one charge.

Nobody pays here: a test, or a person with curl, has it done through the control address
(``flutterwave_v4/pay``). A refund is completed when it is first looked at, unless the fault
``pending`` is in force; with ``refund_fails`` it fails instead.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast
from urllib.parse import parse_qsl

from infra.local.fakes.amounts import AMOUNT, amount_of, shown
from infra.local.fakes.controls import TELLING, control, tell_as_wished
from infra.local.fakes.delivery import deliver
from infra.local.fakes.fake import Answer, Done, Order, Request, Settings, timestamp
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import (
    OBJECT,
    TEXT,
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

TOKEN_SECONDS = 600
TOKEN_PATH = "/token"

NETWORKS = {
    ("233", "GHS"): ("AIRTELTIGO", "MTN", "VODAFONE"),
    ("254", "KES"): ("AIRTEL", "MPESA"),
    ("256", "UGX"): ("AIRTEL", "MTN"),
}
"""Which networks of mobile money can be charged, by country code and currency."""

CHARGES_PER_PAGE = 10

_CURRENCY = matching("[A-Z]{3}", "a currency of three letters")
_COUNTRY_CODE = matching("[0-9]{1,3}", "a country code of up to three digits")
_PHONE_NUMBER = matching("[0-9]{7,10}", "a number of 7 to 10 digits, without the country code")
_CHARGE: Fields = {
    "amount": number(2),
    "currency": _CURRENCY,
    "reference": matching("[A-Za-z0-9_.-]{6,42}", "a text of 6 to 42 letters, digits and - _ ."),
    "customer": OBJECT,
    "payment_method": OBJECT,
    "redirect_url": optional(matching(r"https?://\S+", "an address")),
    "meta": optional(OBJECT),
}
_CUSTOMER: Fields = {
    "email": matching(r"[^@\s]+@[^@\s]+", "an e-mail address"),
    "name": optional(OBJECT),
    "phone": optional(OBJECT),
    "address": optional(OBJECT),
    "meta": optional(OBJECT),
}
_NAME: Fields = {"first": TEXT, "middle": optional(TEXT), "last": optional(TEXT)}
_PHONE: Fields = {"country_code": _COUNTRY_CODE, "number": _PHONE_NUMBER}
_PAYMENT_METHOD: Fields = {"type": just("mobile_money"), "mobile_money": OBJECT}
_MOBILE_MONEY: Fields = {
    "country_code": _COUNTRY_CODE,
    "network": TEXT,
    "phone_number": _PHONE_NUMBER,
}
_REFUND: Fields = {
    "amount": number(2),
    "charge_id": TEXT,
    "reason": just("duplicate", "fraudulent", "requested_by_customer", "expired_uncaptured_charge"),
    "meta": optional(OBJECT),
}

_TOLD: Fields = {
    "reference": TEXT,
    "status": optional(just("succeeded", "failed")),
    "amount": optional(AMOUNT),
    "currency": optional(_CURRENCY),
}
_PAY: Fields = {**_TOLD, **TELLING}
_NOTIFY: Fields = {**_TOLD, "times": TELLING["times"]}
_REFUND_WEBHOOK: Fields = {"refund_id": TEXT, "status": just("completed", "failed")}

_PROCESSOR = {
    "pending": {"type": "pending", "code": "02"},
    "succeeded": {"type": "approved", "code": "00"},
    "failed": {"type": "insufficient_funds", "code": "51"},
}


@dataclass
class _Charge:
    """One charge. Once it is paid, amount and currency are those that were really paid."""

    reference: str
    amount: Decimal
    currency: str
    customer: Mapping[str, Any]
    mobile_money: Mapping[str, Any]
    redirect_url: str | None
    meta: Mapping[str, Any]
    status: str = "pending"
    id: str = field(default_factory=lambda: f"chg_{_letters(10)}")
    customer_id: str = field(default_factory=lambda: f"cus_{_letters(10)}")
    method_id: str = field(default_factory=lambda: f"pmd_{_letters(10)}")
    at: str = field(default_factory=timestamp)

    def _common(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "amount": shown(self.amount),
            "currency": self.currency,
            "description": None,
            "meta": self.meta,
            "redirect_url": self.redirect_url,
            "reference": self.reference,
            "status": self.status,
            "processor_response": _PROCESSOR[self.status],
            "created_datetime": self.at,
        }

    def _payment_method(self) -> dict[str, Any]:
        return {
            "type": "mobile_money",
            "mobile_money": self.mobile_money,
            "id": self.method_id,
            "customer_id": self.customer_id,
            "meta": {},
            "created_datetime": self.at,
        }

    def shown(self) -> dict[str, Any]:
        """As it is told in answers."""
        charge = {
            **self._common(),
            "fees": [],
            "billing_details": self.customer,
            "customer_id": self.customer_id,
            "disputed": False,
            "settled": False,
            "settlement_id": [],
            "refunded": False,
            "payment_method_details": self._payment_method(),
        }
        if self.status == "pending":
            charge["next_action"] = {
                "type": "payment_instruction",
                "payment_instruction": {"note": "The payer confirms the payment on the phone."},
            }
        return charge

    def told(self) -> dict[str, Any]:
        """As it is told in webhooks."""
        return {
            **self._common(),
            "customer": {
                **self.customer,
                "id": self.customer_id,
                "meta": {},
                "created_datetime": self.at,
            },
            "payment_method": self._payment_method(),
        }


@dataclass
class _Refund:
    """One refund."""

    charge: _Charge
    amount: Decimal
    request: Mapping[str, Any]
    fails: bool
    status: str = "new"
    id: str = field(default_factory=lambda: f"rfd_{_letters(10)}")
    at: str = field(default_factory=timestamp)

    def shown(self) -> dict[str, Any]:
        """As it is told in answers and webhooks."""
        return {
            "id": self.id,
            "amount_refunded": shown(self.amount),
            "meta": self.request.get("meta", {}),
            "reason": self.request["reason"],
            "status": self.status,
            "charge_id": self.charge.id,
            "created_datetime": self.at,
        }


@dataclass(frozen=True)
class _KeyedOrder(Order):
    """An order with its idempotency key: for a charge, or for a refund."""

    is_vend: bool = False
    idempotency_key: str = ""
    is_refund: bool = False


class FlutterwaveV4:
    """The provider's server and its identity provider, as documented.

    Settings: ``client_id``, ``client_secret``; ``hash``, with which webhooks are signed; and
    ``webhook_url``, where the company wants them.
    """

    key = "flutterwave_v4"
    paths: Mapping[str, str] = {"webhook_url": "/payments/flutterwave_v4/webhook"}
    own_faults = frozenset({Fault.PENDING, Fault.REFUND_FAILS})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._client = {name: settings[name] for name in ("client_id", "client_secret")}
        self._hash = settings["hash"]
        self._webhook_url = settings["webhook_url"]
        self._faults = faults
        self._sessions = Sessions()
        self._charges: list[_Charge] = []
        self._refunds: list[_Refund] = []
        self._answered: dict[str, Answer] = {}
        self._lock = threading.RLock()

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if (request.method, request.path) == ("POST", TOKEN_PATH):
            return self._grant(request)
        try:
            with self._lock:
                if not self._sessions.admits(request):
                    raise _Failed("UNAUTHORIZED", "10401", "Invalid or expired token", 401)
                return self._read(request)
        except Unacceptable as error:
            return _invalid(str(error)).answer()
        except _Failed as error:
            return error.answer()

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        keyed = cast(_KeyedOrder, order)
        try:
            with self._lock:
                if keyed.idempotency_key not in self._answered:
                    act = self._refund if keyed.is_refund else self._make_charge
                    self._answered[keyed.idempotency_key] = act(keyed)
                return Done(self._answered[keyed.idempotency_key])
        except _Failed as error:  # another request was faster
            return Done(error.answer())

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if cast(_KeyedOrder, order).is_refund:
            return _Failed("REFUND_NOT_ALLOWED", "1130400", "Insufficient balance").answer()
        return _Failed("CHARGE_FAILED", "1105400", "Charge was declined").answer()

    def _grant(self, request: Request) -> Answer:
        """A token, as the identity provider gives it."""
        kind = request.headers.get("content-type", "").partition(";")[0]
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        if kind != "application/x-www-form-urlencoded" or not form:
            return _not_granted("invalid_request", "Missing form parameter: grant_type", 400)
        if form.pop("grant_type", None) != "client_credentials":
            return _not_granted("unsupported_grant_type", "Unsupported grant_type", 400)
        if form != self._client:
            text = "Invalid client or Invalid client credentials"
            return _not_granted("invalid_client", text, 401)
        with self._lock:
            token = self._sessions.begin(TOKEN_SECONDS)
        return Answer.of(
            {
                "access_token": token,
                "expires_in": TOKEN_SECONDS,
                "refresh_expires_in": 0,
                "token_type": "Bearer",
                "not-before-policy": 0,
                "scope": "profile email",
            }
        )

    def _read(self, request: Request) -> Order | Answer:
        if not 12 <= len(request.headers.get("x-trace-id", "none was sent")) <= 255:
            raise Unacceptable("X-Trace-Id must have 12 to 255 characters")
        match (request.method, *request.path.split("/")[1:]):
            case ("POST", "orchestration", "direct-charges"):
                return self._read_charge(request)
            case ("GET", "charges"):
                return self._list_charges(request.query)
            case ("GET", "charges", name):
                return _succeeded("Charge fetched", self._charge(name).shown())
            case ("POST", "refunds"):
                return self._read_refund(request)
            case ("GET", "refunds", name):
                return _succeeded("Refund fetched", self._looked_at(self._find_refund(name)))
        raise _not_found("Resource not found")

    def _read_charge(self, request: Request) -> Order | Answer:
        key = _idempotency_key(request)
        fields = read_object(request, _CHARGE)
        customer = check(fields["customer"], _CUSTOMER, "customer")
        if "name" in customer:
            check(customer["name"], _NAME, "customer.name")
        if "phone" in customer:
            check(customer["phone"], _PHONE, "customer.phone")
        method = check(fields["payment_method"], _PAYMENT_METHOD, "payment_method")
        money = check(method["mobile_money"], _MOBILE_MONEY, "payment_method.mobile_money")
        if key in self._answered:
            return self._answered[key]
        networks = NETWORKS.get((money["country_code"], fields["currency"]))
        if networks is None:
            raise _Failed("CURRENCY_NOT_SUPPORTED", "1125400", "Currency is not supported")
        if money["network"] not in networks:
            raise _invalid(f"network must be one of {', '.join(networks)}")
        self._refuse_duplicate(fields["reference"])
        return _KeyedOrder(fields["reference"], fields, idempotency_key=key)

    def _refuse_duplicate(self, reference: str) -> None:
        if any(charge.reference == reference for charge in self._charges):
            text = "Charge with this reference already exists"
            raise _Failed("CHARGE_ALREADY_EXISTS", "1100409", text, 409)

    def _make_charge(self, order: Order) -> Answer:
        fields = order.request
        self._refuse_duplicate(order.subject)
        charge = _Charge(
            reference=order.subject,
            amount=amount_of(fields["amount"]),
            currency=fields["currency"],
            customer=fields["customer"],
            mobile_money=fields["payment_method"]["mobile_money"],
            redirect_url=fields.get("redirect_url"),
            meta=fields.get("meta", {}),
        )
        self._charges.append(charge)
        return _succeeded("Charge created", charge.shown(), 201)

    def _list_charges(self, query: Mapping[str, str]) -> Answer:
        """The charges, those of one reference or status where it is named, newest first."""
        if not set(query) <= {"reference", "status", "page", "size"}:
            raise Unacceptable("reference, status, page and size are expected")
        page, size = query.get("page", "1"), query.get("size", str(CHARGES_PER_PAGE))
        if not (page.isdecimal() and int(page) >= 1 and size.isdecimal() and 10 <= int(size) <= 50):
            raise Unacceptable("page must be a number from 1, size a number from 10 to 50")
        found = [
            charge.shown()
            for charge in reversed(self._charges)
            if query.get("reference", charge.reference) == charge.reference
            and query.get("status", charge.status) == charge.status
        ]
        first = (int(page) - 1) * int(size)
        page_info = {
            "total": len(found),
            "current_page": int(page),
            "total_pages": -(-len(found) // int(size)),
        }
        return Answer.of(
            {
                "status": "success",
                "message": "Charges fetched",
                "meta": {"page_info": page_info},
                "data": found[first : first + int(size)],
            }
        )

    def _charge(self, name: str) -> _Charge:
        """The charge of that id.

        Raises:
            _Failed: there is none.
        """
        for charge in self._charges:
            if charge.id == name:
                return charge
        raise _not_found("Charge not found")

    # --- refunds ----------------------------------------------------------------------------

    def _read_refund(self, request: Request) -> Order | Answer:
        key = _idempotency_key(request)
        fields = read_object(request, _REFUND)
        if key in self._answered:
            return self._answered[key]
        charge = self._refundable(fields)
        return _KeyedOrder(charge.reference, fields, idempotency_key=key, is_refund=True)

    def _refundable(self, fields: Mapping[str, Any]) -> _Charge:
        """The charge that is to be refunded.

        Raises:
            _Failed: it cannot be, in the provider's words.
        """
        charge = self._charge(fields["charge_id"])
        if charge.status != "succeeded":
            raise _Failed("CHARGE_NOT_SUCCESSFUL", "1140400", "Charge is not successful")
        refunded = sum(
            refund.amount
            for refund in self._refunds
            if refund.charge is charge and refund.status != "failed"
        )
        if amount_of(fields["amount"]) > charge.amount - refunded:
            text = "Refund amount is greater than the amount of the charge"
            raise _Failed("REFUND_NOT_ALLOWED", "1130400", text)
        return charge

    def _refund(self, order: Order) -> Answer:
        charge = self._refundable(order.request)
        fails = self._faults.take(self.key, order.subject, {Fault.REFUND_FAILS}) is not None
        refund = _Refund(charge, amount_of(order.request["amount"]), order.request, fails)
        self._refunds.append(refund)
        return _succeeded("Refund Initiated", refund.shown(), 201)

    def _looked_at(self, refund: _Refund) -> dict[str, Any]:
        """The refund; a look at it is what makes time pass."""
        if refund.status in ("new", "pending"):
            if self._faults.take(self.key, refund.charge.reference, {Fault.PENDING}):
                refund.status = "pending"
            else:
                refund.status = "failed" if refund.fails else "completed"
        return refund.shown()

    def _find_refund(self, name: str) -> _Refund:
        """The refund of that id.

        Raises:
            _Failed: there is none.
        """
        for refund in self._refunds:
            if refund.id == name:
                return refund
        raise _not_found("Refund not found")

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`. Looking here lets no time pass."""
        with self._lock:
            return [
                {
                    "at": refund.at,
                    "refund_id": refund.id,
                    "reference": refund.charge.reference,
                    "amount": shown(refund.amount),
                    "status": refund.status,
                    "request": refund.request,
                }
                for refund in self._refunds
            ]

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: somebody confirms a charge, or does not; ``notify``: the company is told again, or
        something else than what is true; ``refund-webhook``: a refund is done, or fails, and the
        company is told; ``expire-tokens``: no token that was given out is good any more.
        """
        return {
            "pay": control(_PAY, self._pay),
            "notify": control(_NOTIFY, self._notify),
            "refund-webhook": control(_REFUND_WEBHOOK, self._end_refund),
            "expire-tokens": control({}, self._expire_tokens),
        }

    def _pay(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            charge = self._charge_of(fields["reference"])
            if charge.status != "succeeded":  # which is final; a late success undoes a failure
                charge.status = fields.get("status", "succeeded")
                charge.amount = amount_of(fields.get("amount", charge.amount))
                charge.currency = fields.get("currency", charge.currency)
        return self._tell_charge(charge, fields)

    def _notify(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            charge = self._charge_of(fields["reference"])
        return self._tell_charge(charge, fields)

    def _charge_of(self, reference: str) -> _Charge:
        """The charge of that reference, for a control.

        Raises:
            Unacceptable: there is none.
        """
        for charge in self._charges:
            if charge.reference == reference:
                return charge
        raise Unacceptable("there is no charge of that reference", 404)

    def _tell_charge(self, charge: _Charge, fields: Mapping[str, Any]) -> Answer:
        """Tells the company of a charge, but for what ``fields`` say instead."""
        data = charge.told()
        if "status" in fields:
            data["status"] = fields["status"]
            data["processor_response"] = _PROCESSOR[fields["status"]]
        if "amount" in fields:
            data["amount"] = shown(amount_of(fields["amount"]))
        if "currency" in fields:
            data["currency"] = fields["currency"]
        return self._tell("charge.completed", data, fields)

    def _end_refund(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            try:
                refund = self._find_refund(fields["refund_id"])
            except _Failed:
                raise Unacceptable("there is no refund of that id", 404) from None
            refund.status = fields["status"]
            data = refund.shown()
        return self._tell("refund.completed", data, {})

    def _expire_tokens(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            self._sessions = Sessions()
        return Answer(204, b"")

    def _tell(self, event: str, data: Mapping[str, Any], fields: Mapping[str, Any]) -> Answer:
        """Delivers one webhook, as often as ``fields`` say: repeated, it is the same."""
        webhook = {
            "id": f"wbk_{_letters(20)}",
            "timestamp": time.time_ns() // 10**6,
            "type": event,
            "data": data,
        }
        body = Answer.of(webhook).body
        headers = {
            "Content-Type": "application/json",
            "flutterwave-signature": sign(body, self._hash),
        }
        return tell_as_wished(fields, lambda: deliver(self._webhook_url, body, headers))


class _Failed(Exception):
    """A request that is not accepted, as this provider tells it."""

    def __init__(self, kind: str, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self._error = {"type": kind, "code": code, "message": text, "validation_errors": []}
        self._status = status

    def answer(self) -> Answer:
        """The error."""
        return Answer.of({"status": "failed", "error": self._error}, self._status)


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up."""
    return {
        "client_id": secrets.token_hex(16),
        "client_secret": secrets.token_urlsafe(24),
        "hash": secrets.token_urlsafe(24),
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    return {
        "base_url": base_url,
        "token_url": f"{base_url}{TOKEN_PATH}",
        "client_id": given["client_id"],
        "client_secret": given["client_secret"],
        "hashes": [given["hash"]],
        "email": "payments@mwanga.example",
        "country_code": "254",
        "networks": ["MPESA", "AIRTEL"],
    }


def sign(body: bytes, secret_hash: str) -> str:
    """What a webhook's header says of its body."""
    digest = hmac.new(secret_hash.encode(), body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _letters(count: int) -> str:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(count))


def _idempotency_key(request: Request) -> str:
    """The key of a request that changes something.

    Raises:
        Unacceptable: it has none.
    """
    key = request.headers.get("x-idempotency-key", "")
    if not 12 <= len(key) <= 255:
        raise Unacceptable("X-Idempotency-Key must have 12 to 255 characters")
    return key


def _succeeded(message: str, data: Any, status: int = 200) -> Answer:
    return Answer.of({"status": "success", "message": message, "data": data}, status)


def _invalid(text: str) -> _Failed:
    return _Failed("REQUEST_NOT_VALID", "10400", text)


def _not_found(text: str) -> _Failed:
    return _Failed("RESOURCE_NOT_FOUND", "10404", text, 404)


def _not_granted(error: str, text: str, status: int) -> Answer:
    """An error, as the identity provider tells it."""
    return Answer.of({"error": error, "error_description": text}, status)
