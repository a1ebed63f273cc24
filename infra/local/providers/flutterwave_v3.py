"""Flutterwave, API v3: a checkout that the payer completes on a page of Flutterwave's, and refunds.

``POST /v3/payments`` makes the address of a page; a transaction there is only once somebody tried
to pay. ``GET /v3/transactions/verify_by_reference?tx_ref=`` and ``GET
/v3/transactions/<id>/verify`` tell what became of it. ``POST /v3/transactions/<id>/refund`` takes a
refund, ``GET /v3/refunds/<id>`` tells what became of that. Amounts are whole units of the currency
with decimals. Webhooks are not signed: their header ``verif-hash`` repeats the hash that the
company has set.

Nobody pays here: a test, or a person with curl, has it done through the control address
(``flutterwave_v3/pay``). A payer who failed may try again, which is another transaction with the
same reference; the one that succeeded is what the reference is verified by.

A refund is answered as ``completed``, which only says that it was begun. When it is first looked
at, the money has gone out (``completed-momo``), unless the fault ``pending`` is in force; with
``refund_fails`` it fails instead.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from infra.local.fakes.amounts import AMOUNT, amount_of, shown
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
    optional,
    read_object,
)

CURRENCIES = ("GHS", "KES", "NGN", "RWF", "TZS", "UGX", "USD", "XAF", "XOF", "ZAR", "ZMW")
"""In which the company may be paid."""

REFUND_BEGUN = "completed"
REFUND_PENDING = "pending-momo"
REFUND_DONE = "completed-momo"
REFUND_FAILED = "failed"

_CURRENCY = matching("[A-Z]{3}", "a currency of three letters")
_NUMBER = Field("a number", lambda value: type(value) is int)
_PAYMENT: Fields = {
    "tx_ref": matching(r"\S{1,100}", "a text without spaces"),
    "amount": AMOUNT,
    "currency": optional(_CURRENCY),
    "redirect_url": optional(matching(r"https?://\S+", "an address")),
    "payment_options": optional(TEXT),
    "session_duration": optional(_NUMBER),
    "max_retry_attempt": optional(_NUMBER),
    "customer": OBJECT,
    "customizations": optional(OBJECT),
    "meta": optional(OBJECT),
}
_CUSTOMER: Fields = {
    "email": matching(r"[^@\s]+@[^@\s]+", "an e-mail address"),
    "name": optional(TEXT),
    "phonenumber": optional(TEXT),
    "phone_number": optional(TEXT),
}
_CUSTOMIZATIONS: Fields = {
    "title": optional(TEXT),
    "description": optional(TEXT),
    "logo": optional(TEXT),
}
_REFUND: Fields = {"amount": optional(AMOUNT), "comments": optional(TEXT)}

_TOLD: Fields = {
    "reference": TEXT,
    "status": optional(just("successful", "failed")),
    "amount": optional(AMOUNT),
    "currency": optional(_CURRENCY),
    "shape": optional(just("event", "flat")),
}
_PAY: Fields = {**_TOLD, **TELLING}
_NOTIFY: Fields = {**_TOLD, "times": TELLING["times"]}
_REFUND_WEBHOOK: Fields = {"refund_id": _NUMBER, "status": just(REFUND_DONE, REFUND_FAILED)}


@dataclass
class _Transaction:
    """One attempt to pay. Amount and currency are those that were really paid."""

    number: int
    checkout: _Checkout
    amount: Decimal
    currency: str
    status: str
    at: str = field(default_factory=timestamp)

    @property
    def flw_ref(self) -> str:
        """The provider's own reference."""
        return f"FLW-MOCK-{self.number:032x}"

    def shown(self) -> dict[str, Any]:
        """As it is told in answers and in the webhooks of today."""
        return {
            "id": self.number,
            "tx_ref": self.checkout.tx_ref,
            "flw_ref": self.flw_ref,
            "device_fingerprint": "N/A",
            "amount": shown(self.amount),
            "currency": self.currency,
            "charged_amount": shown(self.amount),
            "app_fee": 0,
            "merchant_fee": 0,
            "processor_response": "Approved" if self.status == "successful" else "Declined",
            "auth_model": "MOBILEMONEY",
            "ip": "127.0.0.1",
            "narration": "Mwanga",
            "status": self.status,
            "payment_type": "mobilemoney",
            "created_at": self.at,
            "account_id": 1,
            "customer": {
                "id": self.number,
                "name": self.checkout.customer.get("name", "Anonymous customer"),
                "phone_number": self.checkout.customer.get("phone_number"),
                "email": self.checkout.customer["email"],
                "created_at": self.at,
            },
        }

    def flat(self) -> dict[str, Any]:
        """As it is told in the webhooks of accounts that were never moved to today's."""
        return {
            "id": self.number,
            "txRef": self.checkout.tx_ref,
            "flwRef": self.flw_ref,
            "orderRef": f"URF_{self.number}",
            "paymentPlan": None,
            "createdAt": self.at,
            "amount": shown(self.amount),
            "charged_amount": shown(self.amount),
            "status": self.status,
            "IP": "127.0.0.1",
            "currency": self.currency,
            "appfee": 0,
            "merchantfee": 0,
            "customer": {"id": self.number, "email": self.checkout.customer["email"]},
            "event.type": "MOBILE_MONEY_TRANSACTION",
        }


@dataclass
class _Checkout:
    """One page, and the attempts to pay on it."""

    tx_ref: str
    amount: Decimal
    currency: str
    customer: Mapping[str, Any]
    meta: Any
    code: str = field(default_factory=lambda: secrets.token_hex(10))
    attempts: list[_Transaction] = field(default_factory=list)

    def transaction(self) -> _Transaction | None:
        """What the reference is verified by: the success, else the last attempt."""
        succeeded = [made for made in self.attempts if made.status == "successful"]
        return next(iter((*succeeded, *self.attempts[::-1])), None)


@dataclass
class _Refund:
    """One refund."""

    number: int
    transaction: _Transaction
    amount: Decimal
    request: Mapping[str, Any]
    fails: bool
    status: str = REFUND_BEGUN
    at: str = field(default_factory=timestamp)

    @property
    def flw_ref(self) -> str:
        """The provider's own reference."""
        return f"URF_{self.number}"

    def shown(self) -> dict[str, Any]:
        """As it is told in answers."""
        return {
            "id": self.number,
            "account_id": 1,
            "tx_id": self.transaction.number,
            "flw_ref": self.flw_ref,
            "wallet_id": 1,
            "amount_refunded": shown(self.amount),
            "status": self.status,
            "destination": "payment_source",
            "comments": self.request.get("comments"),
            "meta": {"source": "availablebalance"},
            "created_at": self.at,
        }

    def told(self) -> dict[str, Any]:
        """As it is told in webhooks, with names of their own."""
        return {
            "id": self.number,
            "AccountId": 1,
            "TransactionId": self.transaction.number,
            "FlwRef": self.flw_ref,
            "walletId": 1,
            "AmountRefunded": shown(self.amount),
            "status": self.status,
            "destination": "payment_source",
            "comments": self.request.get("comments"),
            "meta": json.dumps({"source": "availablebalance"}),
            "createdAt": self.at,
        }


@dataclass(frozen=True)
class _RefundOrder(Order):
    """An order to refund; the other kind is to make a checkout."""

    number: int = 0
    """The id of the transaction."""


class FlutterwaveV3:
    """The provider's server, as documented.

    Settings: ``secret_key``; ``hash``, what webhooks repeat; and ``webhook_url``, where the company
    wants them.
    """

    key = "flutterwave_v3"
    paths: Mapping[str, str] = {"webhook_url": "/payments/flutterwave_v3/webhook"}
    own_faults = frozenset({Fault.PENDING, Fault.REFUND_FAILS})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._secret_key = settings["secret_key"]
        self._hash = settings["hash"]
        self._webhook_url = settings["webhook_url"]
        self._faults = faults
        self._checkouts: dict[str, _Checkout] = {}
        self._refunds: list[_Refund] = []
        self._last_number = secrets.randbelow(10**6) * 1000
        self._lock = threading.RLock()

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path.startswith("/v3/hosted/pay/"):
            return self._page(request.path.removeprefix("/v3/hosted/pay/"))
        authorization = request.headers.get("authorization")
        if authorization is None:
            return _failed("Authorization required", 401)
        if authorization != f"Bearer {self._secret_key}":
            return _failed("Invalid authorization key", 401)
        try:
            with self._lock:
                return self._read(request)
        except Unacceptable as error:
            return _failed(str(error), error.status)

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        try:
            with self._lock:
                if isinstance(order, _RefundOrder):
                    return Done(self._refund(order))
                return Done(self._make_checkout(order))
        except Unacceptable as error:  # another request was faster
            return Done(_failed(str(error), error.status))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if isinstance(order, _RefundOrder):
            return _failed("Insufficient balance to process refund")
        return _failed("Merchant is not enabled for this currency")

    def _read(self, request: Request) -> Order | Answer:
        match (request.method, *request.path.split("/")[1:]):
            case ("POST", "v3", "payments"):
                return self._read_payment(request)
            case ("GET", "v3", "transactions", "verify_by_reference"):
                return self._verify_by_reference(request.query)
            case ("GET", "v3", "transactions", number, "verify"):
                return self._verify(self._transaction(number))
            case ("POST", "v3", "transactions", number, "refund"):
                return self._read_refund(number, request)
            case ("GET", "v3", "refunds", number):
                return self._tell_refund(number)
        return _failed(f"Cannot {request.method} {request.path}", 404)

    def _read_payment(self, request: Request) -> Order:
        fields = read_object(request, _PAYMENT)
        check(fields["customer"], _CUSTOMER, "customer")
        check(fields.get("customizations", {}), _CUSTOMIZATIONS, "customizations")
        if fields.get("currency", "NGN") not in CURRENCIES:
            raise Unacceptable("Merchant is not enabled for this currency")
        self._refuse_duplicate(fields["tx_ref"])
        base_url = f"http://{request.headers.get('host', '')}/{self.key}"
        return Order(fields["tx_ref"], {**fields, "base_url": base_url}, is_vend=False)

    def _refuse_duplicate(self, tx_ref: str) -> None:
        if tx_ref in self._checkouts:
            raise Unacceptable("Duplicate transaction reference")

    def _make_checkout(self, order: Order) -> Answer:
        fields = order.request
        self._refuse_duplicate(order.subject)
        checkout = _Checkout(
            tx_ref=order.subject,
            amount=amount_of(fields["amount"]),
            currency=fields.get("currency", "NGN"),
            customer=fields["customer"],
            meta=fields.get("meta"),
        )
        self._checkouts[order.subject] = checkout
        link = f"{fields['base_url']}/v3/hosted/pay/{checkout.code}"
        return _succeeded("Hosted Link", {"link": link})

    def _verify_by_reference(self, query: Mapping[str, str]) -> Answer:
        if set(query) != {"tx_ref"}:
            raise Unacceptable("tx_ref is required")
        checkout = self._checkouts.get(query["tx_ref"])
        transaction = checkout.transaction() if checkout else None
        if transaction is None:
            raise Unacceptable("No transaction was found for this id")
        return self._verify(transaction)

    def _verify(self, transaction: _Transaction) -> Answer:
        data = {
            **transaction.shown(),
            "meta": transaction.checkout.meta,
            "amount_settled": shown(transaction.amount),
        }
        return _succeeded("Transaction fetched successfully", data)

    def _transaction(self, number: str | int) -> _Transaction:
        """The transaction of that id.

        Raises:
            Unacceptable: there is none.
        """
        for checkout in self._checkouts.values():
            for transaction in checkout.attempts:
                if str(transaction.number) == str(number):
                    return transaction
        raise Unacceptable("No transaction was found for this id")

    def _page(self, code: str) -> Answer:
        """Where the payer would pay: it says how it is done here."""
        with self._lock:
            found = [made for made in self._checkouts.values() if made.code == code]
        if not found:
            return Answer(404, b"no such checkout", "text/plain")
        (checkout,) = found
        transaction = checkout.transaction()
        text = (
            f"{checkout.currency} {checkout.amount:.2f}, "
            f"{transaction.status if transaction else 'not paid'}.\n"
            "Pay it with POST /_control/flutterwave_v3/pay "
            f'{{"reference": "{checkout.tx_ref}"}}\n'
        )
        return Answer(200, text.encode(), "text/plain;charset=utf-8")

    # --- refunds ----------------------------------------------------------------------------

    def _read_refund(self, number: str, request: Request) -> Order:
        fields = read_object(request, _REFUND)
        transaction = self._transaction(number)
        order = _RefundOrder(transaction.checkout.tx_ref, fields, False, transaction.number)
        self._refundable(order)
        return order

    def _refundable(self, order: _RefundOrder) -> tuple[_Transaction, Decimal]:
        """What is to be refunded, and how much.

        Raises:
            Unacceptable: it cannot be, in the provider's words.
        """
        transaction = self._transaction(order.number)
        if transaction.status != "successful":
            raise Unacceptable("Transaction is not successful")
        amount = amount_of(order.request.get("amount", transaction.amount))
        refunded = sum(
            refund.amount
            for refund in self._refunds
            if refund.transaction is transaction and refund.status != REFUND_FAILED
        )
        if amount > transaction.amount - refunded:
            raise Unacceptable("Refund amount is greater than the amount of the transaction")
        return transaction, amount

    def _refund(self, order: _RefundOrder) -> Answer:
        transaction, amount = self._refundable(order)
        fails = self._faults.take(self.key, order.subject, {Fault.REFUND_FAILS}) is not None
        refund = _Refund(self._number(), transaction, amount, order.request, fails)
        self._refunds.append(refund)
        return _succeeded("Transaction refund initiated", refund.shown())

    def _tell_refund(self, number: str) -> Answer:
        refund = self._find_refund(number)
        if refund.status in (REFUND_BEGUN, REFUND_PENDING):  # a look is what makes time pass
            tx_ref = refund.transaction.checkout.tx_ref
            if self._faults.take(self.key, tx_ref, {Fault.PENDING}):
                refund.status = REFUND_PENDING
            else:
                refund.status = REFUND_FAILED if refund.fails else REFUND_DONE
        return _succeeded("Transaction refund fetched", refund.shown())

    def _find_refund(self, number: str | int) -> _Refund:
        """The refund of that id.

        Raises:
            Unacceptable: there is none.
        """
        for refund in self._refunds:
            if str(refund.number) == str(number):
                return refund
        raise Unacceptable("Refund not found", 404)

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`. Looking here lets no time pass."""
        with self._lock:
            return [
                {
                    "at": refund.at,
                    "refund_id": refund.number,
                    "reference": refund.transaction.checkout.tx_ref,
                    "amount": shown(refund.amount),
                    "status": refund.status,
                    "request": refund.request,
                }
                for refund in self._refunds
            ]

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: somebody pays on a page, or tries in vain, and the company is told; ``notify``: it
        is told again, or something else than what is true; ``refund-webhook``: a refund is done, or
        fails, and the company is told.
        """
        return {
            "pay": control(_PAY, self._pay),
            "notify": control(_NOTIFY, self._notify),
            "refund-webhook": control(_REFUND_WEBHOOK, self._end_refund),
        }

    def _pay(self, fields: Mapping[str, Any]) -> Answer:
        status = fields.get("status", "successful")
        with self._lock:
            checkout = self._checkout(fields["reference"])
            transaction = checkout.transaction()
            amount = amount_of(fields.get("amount", checkout.amount))
            currency = fields.get("currency", checkout.currency)
            if transaction is None or transaction.status == "failed":
                transaction = _Transaction(self._number(), checkout, amount, currency, status)
                checkout.attempts.append(transaction)
        return self._tell_payment(transaction, fields)

    def _notify(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            transaction = self._checkout(fields["reference"]).transaction()
        if transaction is None:
            raise Unacceptable("nobody has tried to pay that", 404)
        return self._tell_payment(transaction, fields)

    def _tell_payment(self, transaction: _Transaction, fields: Mapping[str, Any]) -> Answer:
        """Tells the company of a payment, but for what ``fields`` say instead."""
        said = {name: fields[name] for name in ("status", "currency") if name in fields}
        if "amount" in fields:
            said["amount"] = shown(amount_of(fields["amount"]))
        if fields.get("shape") == "flat":
            told = {**transaction.flat(), **said}
        else:
            told = {
                "event": "charge.completed",
                "data": {**transaction.shown(), **said},
                "event.type": "MOBILE_MONEY_TRANSACTION",
            }
        return tell_as_wished(fields, lambda: self._deliver(told))

    def _end_refund(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            refund = self._find_refund(fields["refund_id"])
            refund.status = fields["status"]
            told = {"event": "refund.completed", "data": refund.told()}
        return self._deliver(told)

    def _deliver(self, told: Mapping[str, Any]) -> Answer:
        headers = {"Content-Type": "application/json", "verif-hash": self._hash}
        return deliver(self._webhook_url, Answer.of(told).body, headers)

    # --- all of it --------------------------------------------------------------------------

    def _checkout(self, reference: str) -> _Checkout:
        """The checkout of that reference, for a control.

        Raises:
            Unacceptable: there is none.
        """
        if reference not in self._checkouts:
            raise Unacceptable("there is no checkout of that reference", 404)
        return self._checkouts[reference]

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up."""
    return {
        "secret_key": f"FLWSECK_TEST-{secrets.token_hex(16)}-X",
        "hash": secrets.token_urlsafe(24),
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    return {
        "base_url": base_url,
        "secret_key": given["secret_key"],
        "hashes": [given["hash"]],
        "email": "payments@mwanga.example",
    }


def _succeeded(message: str, data: Any) -> Answer:
    return Answer.of({"status": "success", "message": message, "data": data})


def _failed(message: str, status: int = 400) -> Answer:
    """An error, as this provider tells it."""
    return Answer.of({"status": "error", "message": message, "data": None}, status)
