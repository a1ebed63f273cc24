"""Wave Money: a page on which the payer pays with a wallet, and a callback that tells of it.

``POST /payment`` (a form, with a ``hash`` over six of its fields) makes an order, ``GET
/authenticate?transaction_id=`` is the page where the payer goes next. What became of it is posted
to the order's ``backend_result_url``, with a ``hashValue`` over eleven fields. Amounts are whole
units of the currency. An order cannot be looked at, and nothing is given back.

Nobody pays here: a test, or a person with curl, has it done through the control addresses.

Assumptions, to be confirmed with the vendor:

- an order is known already when its ``order_id`` or its ``merchant_reference_id`` is;
- in a callback, ``amount`` is a text, as in the vendor's example, ``timeToLiveSeconds`` a number;
- ``transactionId`` is given to what was paid only, ``initiatorMsisdn`` to what a payer tried.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from infra.local.fakes.controls import as_told, control, tell
from infra.local.fakes.fake import NOT_FOUND, Answer, Done, Order, Request, Settings
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import TEXT, Field, Fields, Unacceptable, just, matching, optional
from infra.local.fakes.wishes import AMOUNT, NOTIFY, TIMES

CONFIRMED = "PAYMENT_CONFIRMED"
"""The only status of a success."""
NEVER_TRIED = "SCHEDULER_TRANSACTION_TIMED_OUT"
"""The payer went away; it is told up to 15 minutes after the time to live."""
STATUSES = (
    CONFIRMED,
    NEVER_TRIED,
    "TRANSACTION_TIMED_OUT",
    "INSUFFICIENT_BALANCE",
    "ACCOUNT_LOCKED",
    "BILL_COLLECTION_FAILED",
    "PAYMENT_REQUEST_CANCELLED",
)
TIME_TO_LIVE_MAX = 600
"""Seconds."""

_FORM = "application/x-www-form-urlencoded"
_ADDRESS = matching(r"https?://\S+", "an address")
_TEXT = matching(r"(?s).{1,255}", "a text")


def _is_list_of_items(value: Any) -> bool:
    """Whether it is a JSON list of what is bought, each with its name and amount."""
    try:
        items = json.loads(value)
    except ValueError:
        return False
    return (
        isinstance(items, list)
        and items != []
        and all(isinstance(item, dict) and {"name", "amount"} <= set(item) for item in items)
    )


def _is_time_to_live(value: Any) -> bool:
    return bool(re.fullmatch("[1-9][0-9]{0,2}", value)) and int(value) <= TIME_TO_LIVE_MAX


_PAYMENT: Fields = {
    "time_to_live_in_seconds": Field("seconds, up to ten minutes", _is_time_to_live),
    "merchant_id": _TEXT,
    "order_id": _TEXT,
    "merchant_reference_id": _TEXT,
    "frontend_result_url": _ADDRESS,
    "backend_result_url": _ADDRESS,
    "amount": matching("[1-9][0-9]{0,9}", "a whole number"),
    "payment_description": _TEXT,
    "merchant_name": _TEXT,
    "items": Field("a JSON list of names and amounts", _is_list_of_items),
    "currency": optional(matching("[A-Z]{3}", "a currency of three letters")),
    "hash": _TEXT,
}

_PAY: Fields = {
    "reference": TEXT,
    "status": optional(just(*STATUSES)),
    "amount": optional(AMOUNT),
    "currency": optional(TEXT),
    "msisdn": optional(TEXT),
    "hash": optional(TEXT),
    "notify": NOTIFY,
    "times": TIMES,
}
_NOTIFY: Fields = {"reference": TEXT, "times": TIMES}


@dataclass
class _Payment:
    """One order of the company, as it was posted."""

    fields: Mapping[str, str]
    transaction_id: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What the payer's page is known by."""
    number: str = field(default_factory=lambda: str(secrets.randbelow(10**9)))
    receipt: str | None = None
    status: str | None = None
    last_callback: bytes = b""


class WaveMoney:
    """The provider's server, as documented.

    Settings: ``merchant_id``, ``merchant_name``, ``secret_key``, the account's ``currency``, and
    ``public_url``, below which callbacks are sent.
    """

    key = "wave_money"
    paths: Mapping[str, str] = {}
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._payments: list[_Payment] = []
        self._lock = threading.RLock()

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        match (request.method, request.path):
            case ("POST", "/payment"):
                try:
                    with self._lock:
                        return self._read_payment(request)
                except _Refused as error:
                    return error.answer()
            case ("GET", "/authenticate"):
                return self._page(request.query)
        return NOT_FOUND

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        payment = _Payment(order.request)
        try:
            with self._lock:
                self._refuse_duplicate(order.request)
                self._payments.append(payment)
        except _Refused as error:  # another request was faster
            return Done(error.answer())
        return Done(Answer.of({"message": "success", "transaction_id": payment.transaction_id}))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return _Refused(404, message="No record found").answer()

    def _read_payment(self, request: Request) -> Order:
        fields = _read_form(request)
        errors = {
            name: f"The {name.replace('_', ' ')} field must be {expected.must_be}."
            for name, expected in _PAYMENT.items()
            if not (expected.accepts(fields[name]) if name in fields else expected.optional)
        }
        for name in set(fields) - set(_PAYMENT):
            errors[name] = f"The {name.replace('_', ' ')} field is not known."
        base = f"{self._settings['public_url'].rstrip('/')}/"
        if not fields.get("backend_result_url", "").startswith(base):
            errors["backend_result_url"] = "The backend result url is not the merchant's."
        if fields.get("currency", self._settings["currency"]) != self._settings["currency"]:
            errors["currency"] = "The currency is not the merchant's."
        if errors:
            raise _Refused(422, errors={name: [text] for name, text in errors.items()})
        if fields["merchant_id"] != self._settings["merchant_id"]:
            raise _Refused(404, message="No record found")
        expected_hash = hash_of_request(fields, self._settings["secret_key"])
        if not hmac.compare_digest(expected_hash, fields["hash"]):
            raise _Refused(400, message="INVALID_HASH")
        self._refuse_duplicate(fields)
        return Order(fields["order_id"], fields, is_vend=False)

    def _refuse_duplicate(self, fields: Mapping[str, str]) -> None:
        for payment in self._payments:
            for name in ("order_id", "merchant_reference_id"):
                if payment.fields[name] == fields[name]:
                    raise _Refused(409, message="Record already exists")

    def _page(self, query: Mapping[str, str]) -> Answer:
        """Where the payer would pay: it says how it is done here."""
        with self._lock:
            found = [
                payment
                for payment in self._payments
                if payment.transaction_id == query.get("transaction_id")
            ]
        if not found:
            return NOT_FOUND
        (payment,) = found
        fields = payment.fields
        text = (
            f"{self._settings['currency']} {fields['amount']}, {payment.status or 'open'}: "
            f"{fields['payment_description']}\n"
            f'Pay it with POST /_control/{self.key}/pay {{"reference": "{fields["order_id"]}"}}\n'
        )
        return Answer(200, text.encode(), "text/plain;charset=utf-8")

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`. There are none."""
        return []

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: the payer pays an order, or something else becomes of it (``status``); also after
        another end was told. ``notify``: the last callback comes again, word by word.
        """
        return {"pay": control(_PAY, self._pay), "notify": control(_NOTIFY, self._notify)}

    def _pay(self, wish: Mapping[str, Any]) -> Answer:
        status = wish.get("status", CONFIRMED)
        with self._lock:
            payment = self._find(wish["reference"])
            if status == CONFIRMED:
                payment.receipt = payment.receipt or str(secrets.randbelow(10**10))
            if payment.status != CONFIRMED:
                payment.status = status
            payment.last_callback = self._callback(payment, status, wish)
        if not wish.get("notify", True):
            return Answer.of({"webhook_status": None})
        return self._deliver(payment, wish)

    def _notify(self, wish: Mapping[str, Any]) -> Answer:
        with self._lock:
            payment = self._find(wish["reference"])
        if not payment.last_callback:
            raise Unacceptable("nothing has become of it yet", 422)
        return self._deliver(payment, wish)

    def _callback(self, payment: _Payment, status: str, wish: Mapping[str, Any]) -> bytes:
        fields = payment.fields
        told = {
            "status": status,
            "merchantId": fields["merchant_id"],
            "orderId": fields["order_id"],
            "merchantReferenceId": fields["merchant_reference_id"],
            "frontendResultUrl": fields["frontend_result_url"],
            "backendResultUrl": fields["backend_result_url"],
            "initiatorMsisdn": wish.get("msisdn", None if status == NEVER_TRIED else "9791234567"),
            "amount": str(wish.get("amount", fields["amount"])),
            "timeToLiveSeconds": int(fields["time_to_live_in_seconds"]),
            "paymentDescription": fields["payment_description"],
            "currency": wish.get("currency", self._settings["currency"]),
            "transactionId": payment.receipt if status == CONFIRMED else None,
            "paymentRequestId": payment.number,
            "requestTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}",
            **{f"additionalField{number}": None for number in range(1, 6)},
        }
        right = hash_of_callback(told, self._settings["secret_key"])
        return json.dumps({**told, "hashValue": wish.get("hash", right)}).encode()

    def _deliver(self, payment: _Payment, wish: Mapping[str, Any]) -> Answer:
        """Tells the company where the order said."""
        url = payment.fields["backend_result_url"]
        headers = {"Content-Type": "application/json"}
        return as_told(tell(url, payment.last_callback, headers, wish.get("times", 1)))

    def _find(self, order_id: str) -> _Payment:
        for payment in self._payments:
            if payment.fields["order_id"] == order_id:
                return payment
        raise Unacceptable("there is no order of that id", 404)


class _Refused(Exception):
    """A no, in the provider's words."""

    def __init__(self, status: int, **body: Any) -> None:
        super().__init__(str(body))
        self._status = status
        self._body = body

    def answer(self) -> Answer:
        return Answer.of(self._body, self._status)


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up."""
    return {
        "merchant_id": f"mwanga{secrets.randbelow(10**6):06}",
        "merchant_name": "Mwanga",
        "secret_key": secrets.token_hex(32),
        "currency": "KES",
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    return {
        "base_url": base_url,
        "merchant_id": given["merchant_id"],
        "merchant_name": given["merchant_name"],
        "secret_keys": [given["secret_key"]],
        "public_url": given.get("public_url", ""),
        "result_url": "https://mwanga.example/thanks",
        "currency": given["currency"],
    }


def hash_of_request(fields: Mapping[str, str], secret_key: str) -> str:
    """The ``hash`` of an order (vendor's guide, 3: hash for payload verification)."""
    names = (
        "time_to_live_in_seconds",
        "merchant_id",
        "order_id",
        "amount",
        "backend_result_url",
        "merchant_reference_id",
    )
    return _hash([fields[name] for name in names], secret_key)


def hash_of_callback(fields: Mapping[str, Any], secret_key: str) -> str:
    """The ``hashValue`` of a callback (vendor's guide, 3: callback)."""
    names = (
        "status",
        "timeToLiveSeconds",
        "merchantId",
        "orderId",
        "amount",
        "backendResultUrl",
        "merchantReferenceId",
        "initiatorMsisdn",
        "transactionId",
        "paymentRequestId",
        "requestTime",
    )
    return _hash([fields[name] for name in names], secret_key)


def _hash(values: list[Any], secret_key: str) -> str:
    """Of the values one after the other, where nothing is the text ``null``."""
    text = "".join("null" if value is None else str(value) for value in values)
    return hmac.new(secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _read_form(request: Request) -> dict[str, str]:
    """The fields of the form in the body.

    Raises:
        _Refused: it is no form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise _Refused(422, errors={"content-type": [f"The request must be {_FORM}."]})
    pairs = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Refused(422, errors={"fields": ["A field is repeated."]})
    return fields
