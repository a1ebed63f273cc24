"""MeSomb: the payer is asked on the phone to pay, or pays unasked; and refunds.

Below ``/api/v1.1/payment``: ``POST /collect/`` asks a payer; ``GET /transactions/?ids=…&source=…``
tells what became of it, by MeSomb's ids (``MESOMB``) or by ours (``EXTERNAL``), a comma between
two; ``POST /refund/`` gives a payment back. Each request is signed with the company's keys, as
MeSomb's SDKs do (:func:`sign_request`). Amounts are in whole units of the currency.

MeSomb tells of payments and refunds with webhooks that are signed with a secret of their own. Also
of payments that nobody had asked for: then there is no id of ours in it, only the payer's number.

Nobody pays here: a test, or a person with curl, has it done through the control addresses. Only a
``synchronous`` collect, which the payer answers while the line is held, is paid at once; then, too,
webhooks are sent through the control addresses only.

Assumptions, to be confirmed with the vendor:

- a webhook's ``MeSomb-Signature`` is ``t=<unix>,v1=<hex HMAC-SHA256 of "t.body">``; while the
  secret is changed, there is a ``v1`` for each of the two;
- the same ``trxID`` twice makes two transactions: the vendor's own tests collect so;
- our id and the way of asking may be sent as headers, as the SDKs do, or among the fields;
- the fees of a contract are a part of what is paid (``fees``: the company bears them, and is told
  of the amount without them) or come on top. There are none until the control ``fees`` says so;
- what refunds are called (``type`` is ``REFUND``, ``reference`` the id of what is given back), and
  the ``code`` of errors but ``invalid-amount``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

from infra.local.fakes.controls import as_told, control, tell
from infra.local.fakes.fake import Answer, Done, Order, Request, Settings, timestamp
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import (
    OBJECT,
    TEXT,
    Field,
    Fields,
    Unacceptable,
    just,
    matching,
    number,
    optional,
    read_object,
)
from infra.local.fakes.wishes import AMOUNT, NOTIFY, TIMES

COLLECT_PATH = "/api/v1.1/payment/collect/"
TRANSACTIONS_PATH = "/api/v1.1/payment/transactions/"
REFUND_PATH = "/api/v1.1/payment/refund/"

ALGORITHM = "HMAC-SHA1"
CALLING_CODES = {"CM": "237", "CI": "225", "KE": "254", "NE": "227", "SN": "221", "UG": "256"}
SERVICES = ("MTN", "ORANGE", "AIRTEL")
AMOUNT_MIN = 10
"""The least that is collected."""
CLOCK_TOLERANCE = timedelta(minutes=15)

_AUTHORIZATION = re.compile(
    r"HMAC-SHA1 Credential=(?P<access_key>[^/,]+)/(?P<scope>\d{8}/payment/mesomb_request), "
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{40})"
)
_ALWAYS_SIGNED = {"host", "x-mesomb-date", "x-mesomb-nonce"}

_BOOLEAN = just(True, False)
_CURRENCY = matching("[A-Z]{3}", "a currency of three letters")
_MODE = just("synchronous", "asynchronous")
_COLLECT: Fields = {
    "amount": number(2),
    "service": just(*SERVICES),
    "payer": matching("[1-9][0-9]{7,14}", "a phone number, digits only"),
    "country": matching("[A-Z]{2}", "a country of two letters"),
    "currency": _CURRENCY,
    "fees": optional(_BOOLEAN),
    "trxID": optional(TEXT),
    "mode": optional(_MODE),
    "amount_currency": optional(_CURRENCY),
    "conversion": optional(_BOOLEAN),
    "customer": optional(OBJECT),
    "location": optional(OBJECT),
    "source": optional(TEXT),
}
_REFUND: Fields = {
    "id": TEXT,
    "amount": optional(number(2)),
    "currency": optional(_CURRENCY),
    "amount_currency": optional(_CURRENCY),
    "conversion": optional(_BOOLEAN),
    "trxID": optional(TEXT),
    "source": optional(TEXT),
}

_PAY: Fields = {
    "reference": TEXT,
    "status": optional(just("SUCCESS", "FAILED")),
    "amount": optional(AMOUNT),
    "currency": optional(_CURRENCY),
    "notify": NOTIFY,
    "times": TIMES,
}
_UNINVITED: Fields = {
    "payer": TEXT,
    "amount": AMOUNT,
    "service": optional(just(*SERVICES)),
    "currency": optional(_CURRENCY),
    "message": optional(TEXT),
    "notify": NOTIFY,
    "times": TIMES,
}
_NOTIFY: Fields = {
    "reference": optional(TEXT),
    "refund_id": optional(TEXT),
    "status": optional(just("SUCCESS", "FAILED")),
    "age": optional(Field("seconds", lambda value: type(value) is int)),
    "times": TIMES,
}
_NEXT: Fields = {
    "reference": optional(TEXT),
    "payer": optional(TEXT),
    "status": just("SUCCESS", "FAILED", "PENDING"),
}
_FEES: Fields = {"percent": Field("a percentage", lambda value: type(value) is int and value >= 0)}
_TWO_SIGNATURES: Fields = {"on": _BOOLEAN}

_SAYS = {
    "SUCCESS": "The payment has been successfully done!",
    "FAILED": "The payer did not confirm the payment",
    "PENDING": "The payer was asked to confirm the payment",
}


@dataclass
class _Transaction:
    """Money that comes in, or goes back (``refund_of``). The amount is what was really paid."""

    amount: Decimal
    currency: str
    country: str
    service: str
    payer: str
    trx_id: str | None
    fees: Decimal = Decimal()
    refund_of: _Transaction | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    fails: bool = False
    status: str = "PENDING"
    message: str = ""
    pk: str = field(default_factory=lambda: str(uuid4()))
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))
    last_event: Mapping[str, Any] | None = None

    @property
    def subject(self) -> str:
        """What it is known by in faults: our id of the payment, where there is one."""
        payment = self.refund_of or self
        return payment.trx_id or payment.pk

    def shown(self, status: str | None = None) -> dict[str, Any]:
        """As it is told in answers and webhooks."""
        status = status or self.status
        payment = self.refund_of
        return {
            "pk": self.pk,
            "status": status,
            "type": "REFUND" if payment else "PAYMENT",
            "amount": _number(self.amount),
            "fees": _number(self.fees),
            "trxamount": _number(self.amount + self.fees),
            "b_party": self.payer,
            "message": self.message or _SAYS[status],
            "service": self.service,
            "reference": payment.pk if payment else self.trx_id,
            "trxID": self.trx_id,
            "fin_trx_id": f"{self.pk[:8]}" if status == "SUCCESS" else None,
            "currency": self.currency,
            "country": self.country,
            "ts": self.moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "direction": -1 if payment else 1,
        }


@dataclass(frozen=True)
class _RefundOrder(Order):
    """An order to give a payment back; the other kind is to ask a payer."""

    is_vend: bool = False


class MeSomb:
    """The provider's server.

    Settings: ``application_key``, ``access_key`` and ``secret_key`` for requests,
    ``webhook_secret`` and ``webhook_url`` for webhooks, the account's ``country`` and ``currency``.
    """

    key = "mesomb"
    paths: Mapping[str, str] = {"webhook_url": "/payments/mesomb/webhook"}
    own_faults = frozenset({Fault.PENDING, Fault.REFUND_FAILS})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._faults = faults
        self._transactions: list[_Transaction] = []
        self._nonces: set[str] = set()
        self._next: dict[str, str] = {}
        self._fee_percent = 0
        self._webhook_secrets = [settings["webhook_secret"]]
        self._lock = threading.RLock()

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        try:
            with self._lock:
                self._check_keys(request)
                return self._read(request)
        except _Refused as error:
            return error.answer()
        except Unacceptable as error:
            return _Refused(str(error), "invalid-request", error.status).answer()

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        try:
            with self._lock:
                if isinstance(order, _RefundOrder):
                    return Done(self._refund(order))
                return Done(self._collect(order))
        except _Refused as error:  # another request was faster
            return Done(error.answer())

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if isinstance(order, _RefundOrder):
            return _Refused("The transaction cannot be refunded", "refund-not-allowed").answer()
        return _Refused("The payer is not known to the service", "subscriber-not-found").answer()

    def _check_keys(self, request: Request) -> None:
        """Whether the company signed the request.

        Raises:
            _Refused: it did not, or not just now.
        """
        headers = request.headers
        if headers.get("x-mesomb-application") != self._settings["application_key"]:
            raise _Refused("Application not found", "application-not-found", 404)
        said = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        if said is None or said["access_key"] != self._settings["access_key"]:
            raise _Refused("Invalid access key", "permission-denied", 403)
        signed = said["signed"].split(";")
        if not _ALWAYS_SIGNED <= set(signed) <= set(headers):
            raise _Refused("Headers are missing", "invalid-signature", 403)
        if not _is_now(headers["x-mesomb-date"], said["scope"][:8]):
            raise _Refused("The date of the request is not now", "invalid-date", 403)
        expected = sign_request(
            request.method,
            f"/{self.key}{request.path}",
            request.query,
            {**{name: headers[name] for name in signed}, "host": f"http://{headers['host']}"},
            request.body,
            said["scope"],
            self._settings["secret_key"],
        )
        if not hmac.compare_digest(expected, said["signature"]):
            raise _Refused("Invalid signature", "invalid-signature", 403)
        if request.method == "POST":
            self._use_nonce(headers["x-mesomb-nonce"])

    def _use_nonce(self, nonce: str) -> None:
        if not nonce or nonce in self._nonces:
            raise _Refused("The nonce was used before", "invalid-nonce", 403)
        self._nonces.add(nonce)

    def _read(self, request: Request) -> Order | Answer:
        match (request.method, request.path):
            case ("POST", path) if path == COLLECT_PATH:
                return self._read_collect(request)
            case ("GET", path) if path == TRANSACTIONS_PATH:
                return self._tell(request.query)
            case ("POST", path) if path == REFUND_PATH:
                return self._read_refund(request)
        raise _Refused("Not found.", "not-found", 404)

    def _read_collect(self, request: Request) -> Order:
        fields = {
            "mode": request.headers.get("x-mesomb-operationmode") or "synchronous",
            **read_object(request, _COLLECT),
            **_named_by_header(request),
        }
        if not _MODE.accepts(fields["mode"]):
            raise Unacceptable(f"the mode must be {_MODE.must_be}")
        if fields["amount"] < AMOUNT_MIN:
            raise _Refused("The amount is too small", "invalid-amount")
        if fields["country"] != self._settings["country"]:
            raise _Refused("The country is not in the contract", "invalid-country")
        self._check_currency(fields)
        return Order(fields.get("trxID", fields["payer"]), fields, is_vend=False)

    def _check_currency(self, fields: Mapping[str, Any]) -> None:
        for name in ("currency", "amount_currency"):
            if fields.get(name, self._settings["currency"]) != self._settings["currency"]:
                raise _Refused("The currency is not in the contract", "invalid-currency")

    def _collect(self, order: Order) -> Answer:
        fields = order.request
        amount = Decimal(fields["amount"])
        fees = self._fees_of(amount)
        transaction = _Transaction(
            amount=amount - fees if fields.get("fees", True) else amount,
            fees=fees,
            currency=fields["currency"],
            country=fields["country"],
            service=fields["service"],
            payer=_international(fields["payer"], fields["country"]),
            trx_id=fields.get("trxID"),
            request=fields,
        )
        if fields["mode"] == "synchronous":
            transaction.status = self._answer_of_payer(transaction, fields["payer"])
        self._transactions.append(transaction)
        return _done(transaction)

    def _answer_of_payer(self, transaction: _Transaction, payer: str) -> str:
        """What the payer, who is waited for, does: pays, unless a control said otherwise."""
        names = {transaction.subject, payer, transaction.payer} & set(self._next)
        return self._next.pop(names.pop()) if names else "SUCCESS"

    def _fees_of(self, amount: Decimal) -> Decimal:
        return (amount * self._fee_percent / 100).quantize(Decimal("0.01"))

    def _tell(self, query: Mapping[str, str]) -> Answer:
        """What became of transactions: a list, of those that there are."""
        if set(query) != {"ids", "source"} or query["source"] not in ("MESOMB", "EXTERNAL"):
            raise Unacceptable("ids, and as source MESOMB or EXTERNAL, are expected")
        ids = query["ids"].split(",")
        found = [
            transaction
            for transaction in self._transactions
            if (transaction.pk if query["source"] == "MESOMB" else transaction.trx_id) in ids
        ]
        return Answer.of([self._looked_at(transaction) for transaction in found])

    def _looked_at(self, transaction: _Transaction) -> dict[str, Any]:
        """The transaction; a look at it is what makes time pass."""
        if self._faults.take(self.key, transaction.subject, {Fault.PENDING}):
            return transaction.shown("PENDING")
        if transaction.refund_of and transaction.status == "PENDING":
            transaction.status = "FAILED" if transaction.fails else "SUCCESS"
        return transaction.shown()

    # --- refunds ----------------------------------------------------------------------------

    def _read_refund(self, request: Request) -> Order:
        fields = {**read_object(request, _REFUND), **_named_by_header(request)}
        payment, _ = self._refundable(fields)
        return _RefundOrder(payment.subject, fields)

    def _refundable(self, fields: Mapping[str, Any]) -> tuple[_Transaction, Decimal]:
        """What is to be refunded, and how much.

        Raises:
            _Refused: it cannot be.
        """
        found = [known for known in self._transactions if known.pk == fields["id"]]
        if not found or found[0].refund_of:
            raise _Refused("The transaction was not found", "transaction-not-found")
        (payment,) = found
        if payment.status != "SUCCESS":
            raise _Refused("The transaction was not successful", "refund-not-allowed")
        self._check_currency(fields)
        left = payment.amount - sum(
            known.amount
            for known in self._transactions
            if known.refund_of is payment and known.status != "FAILED"
        )
        amount = Decimal(fields.get("amount", left))
        if not 0 < amount <= left:
            raise _Refused("The amount is more than what is left", "invalid-amount")
        return payment, amount

    def _refund(self, order: Order) -> Answer:
        payment, amount = self._refundable(order.request)
        fails = self._faults.take(self.key, order.subject, {Fault.REFUND_FAILS}) is not None
        late = fails or self._faults.take(self.key, order.subject, {Fault.PENDING}) is not None
        refund = _Transaction(
            amount=amount,
            currency=payment.currency,
            country=payment.country,
            service=payment.service,
            payer=payment.payer,
            trx_id=order.request.get("trxID"),
            refund_of=payment,
            request=order.request,
            fails=fails,
            status="PENDING" if late else "SUCCESS",
        )
        self._transactions.append(refund)
        return _done(refund)

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`. Looking here lets no time pass."""
        with self._lock:
            return [
                {
                    "at": timestamp(refund.moment),
                    "refund_id": refund.pk,
                    "reference": refund.subject,
                    "amount": _number(refund.amount),
                    "status": refund.status,
                    "request": refund.request,
                }
                for refund in self._transactions
                if refund.refund_of
            ]

    # --- what is had done at the provider's side --------------------------------------------

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: the payer who was asked pays, or does not. ``uninvited``: somebody pays whom
        nobody asked. ``notify``: a webhook comes again, or late, or says otherwise. ``next``: what
        the payer of the next synchronous collect does. ``fees``: what MeSomb takes of payments
        from now on, in percent. ``two_signatures``: the webhook's secret is being changed, or was.
        """
        return {
            "pay": control(_PAY, self._pay),
            "uninvited": control(_UNINVITED, self._pay_uninvited),
            "notify": control(_NOTIFY, self._notify),
            "next": control(_NEXT, self._set_next),
            "fees": control(_FEES, self._set_fees),
            "two_signatures": control(_TWO_SIGNATURES, self._sign_twice),
        }

    def _pay(self, wish: Mapping[str, Any]) -> Answer:
        status = wish.get("status", "SUCCESS")
        with self._lock:
            transaction = self._named(wish["reference"])
            if transaction.refund_of:
                raise Unacceptable("a refund is not paid", 422)
            if status == "SUCCESS":
                transaction.status = status
                transaction.amount = _wished(wish, transaction.amount)
                transaction.currency = wish.get("currency", transaction.currency)
            elif transaction.status != "SUCCESS":
                transaction.status = status
            event = self._event(transaction, status)
        return self._deliver(event, wish, transaction)

    def _pay_uninvited(self, wish: Mapping[str, Any]) -> Answer:
        amount = Decimal(str(wish["amount"]))
        with self._lock:
            fees = self._fees_of(amount)
            transaction = _Transaction(
                amount=amount - fees,
                fees=fees,
                currency=wish.get("currency", self._settings["currency"]),
                country=self._settings["country"],
                service=wish.get("service", SERVICES[0]),
                payer=wish["payer"].removeprefix("+"),
                trx_id=None,
                status="SUCCESS",
                message=wish.get("message", ""),
            )
            self._transactions.append(transaction)
            event = self._event(transaction, "SUCCESS")
        return self._deliver(event, wish, transaction)

    def _notify(self, wish: Mapping[str, Any]) -> Answer:
        with self._lock:
            if "refund_id" in wish:
                transaction = self._named(wish["refund_id"])
                if transaction.refund_of is None or wish.get("status") == "FAILED":
                    raise Unacceptable("only of a refund that was done, one is told", 422)
                transaction.status = "SUCCESS"
            else:
                transaction = self._named(wish.get("reference", ""))
            event = transaction.last_event
            status = wish.get("status", transaction.status)
            if status == "PENDING":
                raise Unacceptable("nothing has become of it yet", 422)
            if event is None or "status" in wish:
                event = self._event(transaction, status)
        return self._deliver(event, wish, transaction)

    def _set_next(self, wish: Mapping[str, Any]) -> Answer:
        names = [wish[name] for name in ("reference", "payer") if name in wish]
        if len(names) != 1:
            raise Unacceptable("either the reference or the payer must be named", 422)
        with self._lock:
            self._next[names[0]] = wish["status"]
        return Answer.of({"webhook_status": None})

    def _set_fees(self, wish: Mapping[str, Any]) -> Answer:
        with self._lock:
            self._fee_percent = wish["percent"]
        return Answer.of({"webhook_status": None})

    def _sign_twice(self, wish: Mapping[str, Any]) -> Answer:
        """The new secret is signed with first; the company does not know it yet."""
        known = self._settings["webhook_secret"]
        with self._lock:
            self._webhook_secrets = [secrets.token_hex(20), known] if wish["on"] else [known]
        return Answer.of({"webhook_status": None})

    def _event(self, transaction: _Transaction, status: str) -> Mapping[str, Any]:
        """A new event: it keeps its id however often it is told."""
        subject = "refund" if transaction.refund_of else "transaction"
        transaction.last_event = {
            "id": f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "object_type": "payment.transaction",
            "type": f"payment.{subject}.{'success' if status == 'SUCCESS' else 'failed'}",
            "created": int(time.time()),
            "data": {"object": transaction.shown(status)},
        }
        return transaction.last_event

    def _deliver(
        self, event: Mapping[str, Any], wish: Mapping[str, Any], transaction: _Transaction
    ) -> Answer:
        """Tells the company, unless nobody is to be told."""
        names = {"pk": transaction.pk, "event_id": event["id"]}
        if not wish.get("notify", True):
            return Answer.of({"webhook_status": None, **names})
        body = Answer.of(event).body
        moment = int(time.time()) - wish.get("age", 0)
        signatures = [f"v1={sign_webhook(body, moment, each)}" for each in self._webhook_secrets]
        headers = {
            "Content-Type": "application/json",
            "MeSomb-Signature": ",".join([f"t={moment}", *signatures]),
        }
        told = tell(self._settings["webhook_url"], body, headers, wish.get("times", 1))
        return as_told({**told, **names})

    # --- all of it --------------------------------------------------------------------------

    def _named(self, name: str) -> _Transaction:
        """The newest transaction of that id, ours or MeSomb's."""
        for transaction in reversed(self._transactions):
            if name in (transaction.trx_id, transaction.pk):
                return transaction
        raise Unacceptable("there is no transaction of that id", 404)


class _Refused(Exception):
    """A no, in the provider's words."""

    def __init__(self, detail: str, code: str, status: int = 400) -> None:
        super().__init__(detail)
        self._body = {"detail": detail, "code": code}
        self._status = status

    def answer(self) -> Answer:
        return Answer.of(self._body, self._status)


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up."""
    return {
        "application_key": secrets.token_hex(20),
        "access_key": str(uuid4()),
        "secret_key": str(uuid4()),
        "webhook_secret": f"whsec_{secrets.token_hex(20)}",
        "country": "KE",
        "currency": "KES",
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    return {
        "base_url": f"{base_url}/api/v1.1",
        "application_key": given["application_key"],
        "access_key": given["access_key"],
        "secret_key": given["secret_key"],
        "webhook_secrets": [given["webhook_secret"]],
        "country": given["country"],
        "currency": given["currency"],
        "services": list(SERVICES),
    }


def sign_request(
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
    scope: str,
    secret_key: str,
) -> str:
    """The signature of a request, as the vendor's SDKs make it.

    Args:
        method: of HTTP.
        path: the whole path of the address.
        query: of the address, in its order.
        headers: those that are signed, in the order in which ``SignedHeaders`` names them; the
            ``host`` with its scheme.
        body: JSON; what is signed of it is its shortest form. Nothing counts as ``{}``.
        scope: day, service, and ``mesomb_request``.
        secret_key: the company's.
    """
    canonical = "\n".join(
        [
            method,
            quote(path),
            "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in query.items()),
            *(f"{name}:{value.strip()}" for name, value in headers.items()),
            ";".join(headers),
            hashlib.sha1(_shortest(body)).hexdigest(),  # noqa: S324 - the vendor's choice
        ]
    )
    digest = hashlib.sha1(canonical.encode()).hexdigest()  # noqa: S324
    text = "\n".join([ALGORITHM, headers["x-mesomb-date"], scope, digest])
    return hmac.new(secret_key.encode(), text.encode(), hashlib.sha1).hexdigest()


def sign_webhook(body: bytes, moment: int, webhook_secret: str) -> str:
    """The signature of a webhook that was signed at that moment (Unix seconds)."""
    return hmac.new(webhook_secret.encode(), b"%d.%s" % (moment, body), hashlib.sha256).hexdigest()


def _shortest(body: bytes) -> bytes:
    """JSON without spaces; as it is, where it is none."""
    try:
        return json.dumps(json.loads(body or b"{}"), separators=(",", ":")).encode()
    except ValueError:
        return body


def _is_now(unix_seconds: str, day: str) -> bool:
    """Whether that is about now, on a day that is today in some time zone."""
    if not re.fullmatch("[0-9]{1,11}", unix_seconds):
        return False
    now = datetime.now(UTC)
    days = {f"{now + timedelta(days=shift):%Y%m%d}" for shift in (-1, 0, 1)}
    return abs(now.timestamp() - int(unix_seconds)) <= CLOCK_TOLERANCE.total_seconds() and (
        day in days
    )


def _named_by_header(request: Request) -> dict[str, str]:
    """Our id of the transaction, where the header says it."""
    name = request.headers.get("x-mesomb-trxid")
    return {"trxID": name} if name else {}


def _international(phone: str, country: str) -> str:
    """The number with the calling code of the country."""
    code = CALLING_CODES[country]
    return phone if phone.startswith(code) and len(phone) > len(code) + 7 else f"{code}{phone}"


def _wished(wish: Mapping[str, Any], otherwise: Decimal) -> Decimal:
    return Decimal(str(wish.get("amount", otherwise)))


def _number(amount: Decimal) -> int | float:
    """The amount as a JSON number: without a point where there are no decimals."""
    return int(amount) if amount == int(amount) else float(amount)


def _done(transaction: _Transaction) -> Answer:
    """How a collect or a refund is answered."""
    shown = transaction.shown()
    return Answer.of(
        {
            "success": transaction.status != "FAILED",
            "message": shown["message"],
            "redirect": None,
            "transaction": shown,
            "reference": transaction.trx_id,
            "status": transaction.status,
        }
    )
