"""Paystack: a checkout that the payer completes on a page of Paystack's, and refunds.

``POST /transaction/initialize`` makes a transaction and the address of its page; ``GET
/transaction/verify/<reference>`` tells what became of it. ``POST /refund`` takes a refund, ``GET
/refund/<id>`` and ``GET /refund?transaction=`` tell what became of refunds. Amounts are hundredths
of the currency, whatever decimals it has. Webhooks are signed with the secret key: HMAC-SHA512 of
the body.

Nobody pays here: a test, or a person with curl, has it done through the control address
(``paystack/pay``). Since whoever has the key can also sign a webhook without asking this fake, a
transaction that nobody has paid here is refunded nevertheless; only one that failed is not. A
refund is processed when it is first looked at, unless the fault ``pending`` is in force; with
``refund_fails`` it fails instead.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

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

CURRENCIES = ("GHS", "KES", "NGN", "USD", "XOF", "ZAR")
"""In which the company may be paid."""

REFUNDS_PER_PAGE = 50

_AMOUNT_MAX = 10**12


def _is_amount(value: Any) -> bool:
    """Whether it is hundredths: a whole number above zero, or the same as a text."""
    if isinstance(value, str):
        return bool(re.fullmatch("[1-9][0-9]{0,12}", value))
    return type(value) is int and 0 < value <= _AMOUNT_MAX


_AMOUNT = Field("a whole number of hundredths above zero", _is_amount)
_CURRENCY = matching("[A-Z]{3}", "a currency of three letters")
_INITIALISATION: Fields = {
    "email": matching(r"[^@\s]+@[^@\s]+", "an e-mail address"),
    "amount": _AMOUNT,
    "reference": matching("[A-Za-z0-9.=-]{1,100}", "a text of letters, digits and . = -"),
    "currency": _CURRENCY,
    "callback_url": optional(matching(r"https?://\S+", "an address")),
    "metadata": optional(OBJECT),
}
_REFUND: Fields = {
    "transaction": Field(
        "a reference or an id", lambda value: TEXT.accepts(value) or type(value) is int
    ),
    "amount": optional(_AMOUNT),
    "currency": optional(_CURRENCY),
    "customer_note": optional(TEXT),
    "merchant_note": optional(TEXT),
}
_PAY: Fields = {
    "reference": TEXT,
    "amount": optional(_AMOUNT),
    "currency": optional(_CURRENCY),
    "event": optional(just("charge.success", "charge.failed")),
    "webhook": optional(just(True, False)),
}
_REFUND_WEBHOOK: Fields = {
    "refund_id": Field("a number", lambda value: type(value) is int),
    "event": just("refund.processed", "refund.failed"),
}


@dataclass
class _Transaction:
    """One checkout. Once it is paid, amount and currency are those that were really paid."""

    number: int
    reference: str
    amount: int
    currency: str
    email: str
    metadata: Any
    access_code: str = field(default_factory=lambda: secrets.token_hex(8))
    status: str = "abandoned"
    created_at: str = field(default_factory=timestamp)
    paid_at: str | None = None

    def shown(self) -> dict[str, Any]:
        """As it is told in answers and webhooks."""
        return {
            "id": self.number,
            "domain": "test",
            "status": self.status,
            "reference": self.reference,
            "amount": self.amount,
            "currency": self.currency,
            "channel": "mobile_money",
            "gateway_response": "Approved" if self.status == "success" else self.status,
            "created_at": self.created_at,
            "paid_at": self.paid_at,
            "metadata": self.metadata,
            "customer": {"email": self.email},
        }


@dataclass
class _Refund:
    """One refund."""

    number: int
    transaction: _Transaction
    amount: int
    request: Mapping[str, Any]
    fails: bool
    status: str = "pending"
    at: str = field(default_factory=timestamp)

    def shown(self, transaction: Any) -> dict[str, Any]:
        """As it is told in answers, with the transaction told in that way."""
        return {
            "id": self.number,
            "domain": "test",
            "transaction": transaction,
            "amount": self.amount,
            "currency": self.transaction.currency,
            "status": self.status,
            "customer_note": self.request.get("customer_note"),
            "merchant_note": self.request.get("merchant_note"),
            "createdAt": self.at,
            "updatedAt": self.at,
        }

    def told(self) -> dict[str, Any]:
        """As it is told in webhooks: without its id, and with the amount as a text."""
        return {
            "status": self.status,
            "domain": "test",
            "transaction_reference": self.transaction.reference,
            "refund_reference": f"RF{self.number}" if self.status == "processed" else None,
            "amount": str(self.amount),
            "currency": self.transaction.currency,
            "customer": {"email": self.transaction.email},
        }


@dataclass(frozen=True)
class _RefundOrder(Order):
    """An order to refund; the other kind is to make a transaction."""

    is_vend: bool = False


class Paystack:
    """The provider's server, as documented.

    Settings: ``secret_key``, and ``webhook_url``, where the company wants its webhooks.
    """

    key = "paystack"
    paths: Mapping[str, str] = {"webhook_url": "/payments/paystack/webhook"}
    own_faults = frozenset({Fault.PENDING, Fault.REFUND_FAILS})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._secret_key = settings["secret_key"]
        self._webhook_url = settings["webhook_url"]
        self._faults = faults
        self._transactions: list[_Transaction] = []
        self._refunds: list[_Refund] = []
        self._last_number = secrets.randbelow(10**6) * 1000
        self._lock = threading.RLock()

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path.startswith("/pay/"):
            return self._page(request.path.removeprefix("/pay/"))
        if request.headers.get("authorization") != f"Bearer {self._secret_key}":
            return _failed("Invalid key", 401)
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
                return Done(self._initialize(order))
        except Unacceptable as error:  # another request was faster
            return Done(_failed(str(error), error.status))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if isinstance(order, _RefundOrder):
            return _failed("Transaction cannot be refunded")
        return _failed("Currency not supported by merchant")

    def _read(self, request: Request) -> Order | Answer:
        _, _, name = request.path.rpartition("/")
        match (request.method, request.path.removesuffix(name), name):
            case ("POST", "/transaction/", "initialize"):
                return self._read_initialisation(request)
            case ("GET", "/transaction/verify/", reference) if reference:
                return self._verify(unquote(reference))
            case ("POST", "/", "refund"):
                return self._read_refund(request)
            case ("GET", "/", "refund"):
                return self._list_refunds(request.query)
            case ("GET", "/refund/", number) if number:
                return self._tell_refund(number)
        return _failed("Route not found", 404)

    def _read_initialisation(self, request: Request) -> Order:
        fields = read_object(request, _INITIALISATION)
        if fields["currency"] not in CURRENCIES:
            raise Unacceptable("Currency not supported by merchant")
        self._refuse_duplicate(fields["reference"])
        shown = {**fields, "base_url": f"http://{request.headers.get('host', '')}/{self.key}"}
        return Order(fields["reference"], shown, is_vend=False)

    def _refuse_duplicate(self, reference: str) -> None:
        if self._find(reference):
            raise Unacceptable("Duplicate Transaction Reference")

    def _initialize(self, order: Order) -> Answer:
        fields = order.request
        self._refuse_duplicate(order.subject)
        transaction = _Transaction(
            number=self._number(),
            reference=order.subject,
            amount=int(fields["amount"]),
            currency=fields["currency"],
            email=fields["email"],
            metadata=fields.get("metadata"),
        )
        self._transactions.append(transaction)
        data = {
            "authorization_url": f"{fields['base_url']}/pay/{transaction.access_code}",
            "access_code": transaction.access_code,
            "reference": transaction.reference,
        }
        return _succeeded("Authorization URL created", data)

    def _verify(self, reference: str) -> Answer:
        transaction = self._find(reference)
        if transaction is None:
            raise Unacceptable("Transaction reference not found")
        return _succeeded("Verification successful", transaction.shown())

    def _page(self, access_code: str) -> Answer:
        """Where the payer would pay: it says how it is done here."""
        with self._lock:
            found = [made for made in self._transactions if made.access_code == access_code]
        if not found:
            return Answer(404, b"no such checkout", "text/plain")
        (transaction,) = found
        amount = Decimal(transaction.amount).scaleb(-2)
        text = (
            f"{transaction.currency} {amount:.2f}, {transaction.status}.\n"
            f'Pay it with POST /_control/paystack/pay {{"reference": "{transaction.reference}"}}\n'
        )
        return Answer(200, text.encode(), "text/plain;charset=utf-8")

    # --- refunds ----------------------------------------------------------------------------

    def _read_refund(self, request: Request) -> Order:
        fields = read_object(request, _REFUND)
        transaction, _ = self._refundable(fields)
        return _RefundOrder(transaction.reference, fields)

    def _refundable(self, fields: Mapping[str, Any]) -> tuple[_Transaction, int]:
        """What is to be refunded, and how much.

        Raises:
            Unacceptable: it cannot be, in the provider's words.
        """
        transaction = self._find(fields["transaction"])
        if transaction is None:
            raise Unacceptable("Transaction not found")
        if transaction.status == "failed":
            raise Unacceptable("Transaction was not successful")
        if fields.get("currency", transaction.currency) != transaction.currency:
            raise Unacceptable("Currency must be that of the transaction")
        amount = int(fields.get("amount", transaction.amount))
        refunded = sum(
            refund.amount
            for refund in self._refunds
            if refund.transaction is transaction and refund.status != "failed"
        )
        if amount > transaction.amount - refunded:
            raise Unacceptable("Refund amount cannot be more than transaction amount")
        return transaction, amount

    def _refund(self, order: Order) -> Answer:
        transaction, amount = self._refundable(order.request)
        fails = self._faults.take(self.key, order.subject, {Fault.REFUND_FAILS}) is not None
        refund = _Refund(self._number(), transaction, amount, order.request, fails)
        self._refunds.append(refund)
        return _succeeded(
            "Refund has been queued for processing",
            refund.shown(
                {
                    "id": transaction.number,
                    "reference": transaction.reference,
                    "amount": transaction.amount,
                    "currency": transaction.currency,
                }
            ),
        )

    def _list_refunds(self, query: Mapping[str, str]) -> Answer:
        """The refunds, of one transaction where it is named, newest first."""
        if not set(query) <= {"transaction", "perPage", "page"}:
            raise Unacceptable("transaction, perPage and page are expected")
        size = _whole(query.get("perPage", str(REFUNDS_PER_PAGE)))
        first = (_whole(query.get("page", "1")) - 1) * size
        refunds = list(reversed(self._refunds))
        if "transaction" in query:
            transaction = self._find(query["transaction"])
            refunds = [refund for refund in refunds if refund.transaction is transaction]
        data = [self._looked_at(refund) for refund in refunds[first : first + size]]
        return _succeeded("Refunds retrieved", data)

    def _tell_refund(self, number: str) -> Answer:
        for refund in self._refunds:
            if str(refund.number) == number:
                return _succeeded("Refund retrieved", self._looked_at(refund))
        return _failed("Refund not found", 404)

    def _looked_at(self, refund: _Refund) -> dict[str, Any]:
        """The refund; a look at it is what makes time pass."""
        if refund.status == "pending" and not self._faults.take(
            self.key, refund.transaction.reference, {Fault.PENDING}
        ):
            refund.status = "failed" if refund.fails else "processed"
        return refund.shown(refund.transaction.number)

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`. Looking here lets no time pass."""
        with self._lock:
            return [
                {
                    "at": refund.at,
                    "refund_id": refund.number,
                    "reference": refund.transaction.reference,
                    "amount": refund.amount,
                    "status": refund.status,
                    "request": refund.request,
                }
                for refund in self._refunds
            ]

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: somebody pays a transaction, or tries in vain; ``refund-webhook``: a refund is
        processed, or fails. The company is told of both with a webhook.
        """
        return {"pay": self._pay, "refund-webhook": self._end_refund}

    def _pay(self, body: Any) -> Answer:
        try:
            fields = check(body, _PAY)
        except Unacceptable as error:
            return Answer.of({"error": str(error)}, 422)
        event = fields.get("event", "charge.success")
        with self._lock:
            transaction = self._find(fields["reference"])
            if transaction is None:
                return Answer.of({"error": "there is no transaction of that reference"}, 404)
            if event == "charge.success":
                transaction.status = "success"
                transaction.amount = int(fields.get("amount", transaction.amount))
                transaction.currency = fields.get("currency", transaction.currency)
                transaction.paid_at = transaction.paid_at or timestamp()
            elif transaction.status != "success":
                transaction.status = "failed"
            data = {**transaction.shown(), "status": event.removeprefix("charge.")}
        if not fields.get("webhook", True):
            return Answer.of({"webhook_status": None})
        return self._deliver(event, data)

    def _end_refund(self, body: Any) -> Answer:
        try:
            fields = check(body, _REFUND_WEBHOOK)
        except Unacceptable as error:
            return Answer.of({"error": str(error)}, 422)
        with self._lock:
            found = [refund for refund in self._refunds if refund.number == fields["refund_id"]]
            if not found:
                return Answer.of({"error": "there is no refund of that id"}, 404)
            (refund,) = found
            refund.status = fields["event"].removeprefix("refund.")
            data = refund.told()
        return self._deliver(fields["event"], data)

    def _deliver(self, event: str, data: Mapping[str, Any]) -> Answer:
        """Tells the company, once, and tells here how the company answered."""
        body = Answer.of({"event": event, "data": data}).body
        headers = {
            "Content-Type": "application/json",
            "x-paystack-signature": sign(body, self._secret_key),
        }
        return deliver(self._webhook_url, body, headers)

    # --- all of it --------------------------------------------------------------------------

    def _find(self, reference: str | int) -> _Transaction | None:
        """The transaction of that reference or id."""
        for transaction in self._transactions:
            if str(reference) in (transaction.reference, str(transaction.number)):
                return transaction
        return None

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up."""
    return {"secret_key": f"sk_test_{secrets.token_hex(20)}"}


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    return {
        "base_url": base_url,
        "secret_keys": [given["secret_key"]],
        "email": "payments@mwanga.example",
    }


def sign(body: bytes, secret_key: str) -> str:
    """What a webhook's header says of its body."""
    return hmac.new(secret_key.encode(), body, hashlib.sha512).hexdigest()


def _whole(text: str) -> int:
    """A number in a query.

    Raises:
        Unacceptable: it is none.
    """
    if not re.fullmatch("[1-9][0-9]{0,5}", text):
        raise Unacceptable("perPage and page must be numbers")
    return int(text)


def _succeeded(message: str, data: Any) -> Answer:
    return Answer.of({"status": True, "message": message, "data": data})


def _failed(message: str, status: int = 400) -> Answer:
    """An error, as this provider tells it."""
    return Answer.of({"status": False, "message": message}, status)
