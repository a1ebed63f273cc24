"""Vodacom Tanzania's broker: M-Pesa payments in two phases, in XML.

A customer pays to the business number and types an account. The broker reserves the money and
posts the payment to the company, whose answer only says that it was received. Later the company
posts the result to the broker (``POST /result``): with 0 the money is the company's, with 999 the
customer has it back. Until then it stays reserved. From time to time the broker posts a
heartbeat, too.

Who posts a result is told by the certificate that the broker gave to the company, by a password
that changes with the time (:func:`sign`), and by the phone number of the initiator, encrypted with
a certificate of the broker's. Amounts are decimals of the currency, times are East Africa's.

Nobody pays here: a test, or a person with curl, has it done through the control addresses.

Assumptions, to be confirmed with the provider:

- an answer to a result is HTTP 200, whatever it says (:class:`Code`);
- the same result for the same payment may come again, and is answered again;
- a result without the right passwords, or that cannot be read, changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import ssl
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any
from xml.parsers.expat import ExpatError
from zoneinfo import ZoneInfo

import xmltodict  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from infra.local.fakes.certificates import (
    make_certificates,
    make_encryption_certificate,
    server_context,
)
from infra.local.fakes.controls import as_told, control, tell
from infra.local.fakes.fake import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Answer,
    Done,
    Order,
    Request,
    Settings,
    timestamp,
)
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
)

RESULT_PATH = "/result"
NAMESPACE = "http://inforwise.co.tz/broker/"
EAST_AFRICA = ZoneInfo("Africa/Dar_es_Salaam")

_XML = "text/xml; charset=utf-8"
_NAMESPACES = {NAMESPACE: None, "http://infowise.co.tz/broker/": None}
"""Both spellings are in use, and mean the same."""
_COMPACT = "%Y%m%d%H%M%S"
_SPACED = "%Y-%m-%d %H:%M:%S"


class Code(IntEnum):
    """What the broker says to a result: that of the result, or why it is not taken."""

    COMPLETED = 0
    CONTRADICTED = 1
    UNKNOWN = 2
    UNREADABLE = 3
    WRONG_CREDENTIALS = 4
    CANCELLED = 999


_TEXTS = {
    Code.COMPLETED: "Completed",
    Code.CONTRADICTED: "Another result was given",
    Code.UNKNOWN: "Unknown conversation",
    Code.UNREADABLE: "Unreadable",
    Code.WRONG_CREDENTIALS: "Wrong credentials",
    Code.CANCELLED: "Cancelled",
}
_STATES = {None: "reserved", Code.COMPLETED: "completed", Code.CANCELLED: "cancelled"}


def _is_time(form: str) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        try:
            return isinstance(value, str) and bool(datetime.strptime(value, form))  # noqa: DTZ007
        except ValueError:
            return False

    return accepts


_SERVICE_PROVIDER: Fields = {
    "spId": TEXT,
    "spPassword": TEXT,
    "timestamp": Field("a time YYYYMMDDhhmmss", _is_time(_COMPACT)),
}
_RESULT: Fields = {
    "resultType": just("Completed"),
    "resultCode": just("0", "999"),
    "resultDesc": TEXT,
    "serviceReceipt": TEXT,
    "serviceDate": Field("a time YYYY-MM-DD hh:mm:ss", _is_time(_SPACED)),
    "serviceID": TEXT,
    "originatorConversationID": TEXT,
    "conversationID": TEXT,
    "transactionID": TEXT,
    "initiator": TEXT,
    "initiatorPassword": TEXT,
}

_RECEIPT = matching("[A-Z0-9]{10}", "a receipt of ten letters and digits")
_AMOUNT = Field(
    "an amount above zero with two decimals at most",
    lambda value: (
        type(value) in (int, str)
        and bool(re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,2})?", str(value)))
        and Decimal(value) > 0
    ),
)
_ACCOUNT = matching(".{3,40}", "3 to 40 characters")
_TIMES = optional(Field("a number from 1", lambda value: type(value) is int and value > 0))
_PAY: Fields = {
    "account": _ACCOUNT,
    "amount": _AMOUNT,
    "receipt": optional(_RECEIPT),
    "phone": optional(matching("255[0-9]{9}", "a phone number 255…")),
    "notify": optional(just(True, False)),
    "times": _TIMES,
}
_NOTIFY: Fields = {
    "receipt": _RECEIPT,
    "account": optional(_ACCOUNT),
    "amount": optional(_AMOUNT),
    "times": _TIMES,
}
_STATE: Fields = {"receipt": _RECEIPT}


@dataclass
class _Payment:
    """Money that was taken from a customer; without a ``result`` it is reserved."""

    account: str
    amount: str
    phone: str
    receipt: str
    conversation_id: str = field(default_factory=lambda: secrets.token_hex(16))
    originator_conversation_id: str = field(default_factory=lambda: secrets.token_hex(16))
    transaction_id: str = field(default_factory=lambda: f"{secrets.randbelow(10**13):013}")
    at: datetime = field(default_factory=lambda: datetime.now(EAST_AFRICA))
    result: Code | None = None
    cancelled_at: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)

    def ids(self) -> dict[str, str]:
        """By what it is known in both directions."""
        return {
            "conversationID": self.conversation_id,
            "originatorConversationID": self.originator_conversation_id,
            "transactionID": self.transaction_id,
        }


class VodacomTz:
    """The broker, as far as its documentation is known.

    Settings: what :func:`made_up` gives, and ``payment_url``, where the company wants to be told.
    """

    key = "vodacom_tz"
    paths: Mapping[str, str] = {"payment_url": "/payments/vodacom_tz/{path_secret}"}
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        key = load_pem_private_key(settings["initiator_private_key"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - as it was made up
        self._private_key = key
        self._payments: list[_Payment] = []
        self._lock = threading.RLock()

    def tls(self) -> ssl.SSLContext:
        """See :class:`~infra.local.fakes.fake.OverTls`."""
        return server_context(self._settings)

    # --- what the company posts -------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path != RESULT_PATH:
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            provider, result = _read_result(request)
        except Unacceptable as error:
            return _answer_of(Code.UNREADABLE, {}, str(error))
        if not self._is_the_company(provider, result):
            return _answer_of(Code.WRONG_CREDENTIALS, result)
        with self._lock:
            payment = self._find(result)
            if payment is None:
                return _answer_of(Code.UNKNOWN, result)
            if payment.result is not None:
                return _answer_of(_repeated(payment, result), result)
            return Order(payment.receipt, {**result, "initiatorPassword": "…"}, is_vend=False)

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        result = order.request
        with self._lock:
            payment = self._payment_of(order.subject)
            if payment.result is None:
                payment.result = Code(int(result["resultCode"]))
                payment.request = result
                if payment.result is Code.CANCELLED:
                    payment.cancelled_at = timestamp()
            return Done(_answer_of(_repeated(payment, result), result))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return _answer_of(Code.CONTRADICTED, order.request)

    def _is_the_company(self, provider: Mapping[str, str], result: Mapping[str, str]) -> bool:
        stamp = provider["timestamp"]
        known = self._settings
        return (
            provider["spId"] == known["sp_id"]
            and provider["spPassword"] == sign(known["sp_id"], known["sp_password"], stamp)
            and result["serviceID"] == known["service_id"]
            and result["initiator"] == known["initiator"]
            and self._decrypted(result["initiatorPassword"]) == known["initiator"].encode()
        )

    def _decrypted(self, text: str) -> bytes | None:
        try:
            encrypted = base64.b64decode(text, validate=True)
            return self._private_key.decrypt(encrypted, padding.PKCS1v15())
        except ValueError:
            return None

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`: the payments that were cancelled."""
        with self._lock:
            cancelled = [payment for payment in self._payments if payment.cancelled_at]
            return [
                {
                    "at": payment.cancelled_at,
                    "refund_id": payment.transaction_id,
                    "reference": payment.receipt,
                    "amount": payment.amount,
                    "status": "processed",
                    "request": payment.request,
                }
                for payment in sorted(cancelled, key=lambda payment: payment.cancelled_at or "")
            ]

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: a customer pays, and the company is told; ``notify``: it is told again, perhaps
        with something else in it; ``heartbeat``: the broker shows that it is there; ``state``:
        where the money of a receipt is.
        """
        return {
            "pay": control(_PAY, self._pay),
            "notify": control(_NOTIFY, self._notify),
            "heartbeat": control({}, self._heartbeat),
            "state": control(_STATE, self._state),
        }

    def _pay(self, fields: Mapping[str, Any]) -> Answer:
        receipt = fields.get("receipt", _new_receipt())
        with self._lock:
            if any(payment.receipt == receipt for payment in self._payments):
                raise Unacceptable("that receipt was given before", 422)
            payment = _Payment(
                account=fields["account"],
                amount=_decimal(fields["amount"]),
                phone=fields.get("phone", "255744000001"),
                receipt=receipt,
            )
            self._payments.append(payment)
        told: dict[str, Any] = {
            "receipt": receipt,
            "conversation_id": payment.conversation_id,
            "originator_conversation_id": payment.originator_conversation_id,
            "transaction_id": payment.transaction_id,
            "webhook_status": None,
        }
        if fields.get("notify", True):
            told.update(self._tell(self._report(payment), fields.get("times", 1)))
        return as_told(told)

    def _notify(self, fields: Mapping[str, Any]) -> Answer:
        payment = self._payment_of(fields["receipt"])
        report = self._report(payment)
        if "account" in fields:
            report["transaction"]["accountReference"] = fields["account"]
        if "amount" in fields:
            report["transaction"]["amount"] = _decimal(fields["amount"])
        return as_told(self._tell(report, fields.get("times", 1)))

    def _heartbeat(self, fields: Mapping[str, Any]) -> Answer:
        body = xmltodict.unparse({"FailSafe": "Mwanga"}).encode()
        return as_told(tell(self._settings["payment_url"], body, {"Content-Type": _XML}))

    def _state(self, fields: Mapping[str, Any]) -> Answer:
        return Answer.of({"state": _STATES[self._payment_of(fields["receipt"]).result]})

    def _report(self, payment: _Payment) -> dict[str, dict[str, str]]:
        """What is posted of a payment."""
        known = self._settings
        stamp = datetime.now(EAST_AFRICA).strftime(_COMPACT)
        return {
            "serviceProvider": {
                "spId": known["sp_id"],
                "spPassword": sign(known["sp_id"], known["sp_password"], stamp),
                "timestamp": stamp,
            },
            "transaction": {
                "amount": payment.amount,
                "commandID": "Pay Bill",
                "initiator": payment.phone,
                **payment.ids(),
                "recipient": known["sp_id"],
                "mpesaReceipt": payment.receipt,
                "transactionDate": payment.at.strftime(_SPACED),
                "accountReference": payment.account,
            },
        }

    def _tell(self, report: Mapping[str, Any], times: int) -> dict[str, Any]:
        body = _message("request", report)
        return tell(self._settings["payment_url"], body, {"Content-Type": _XML}, times)

    def _payment_of(self, receipt: str) -> _Payment:
        for payment in self._payments:
            if payment.receipt == receipt:
                return payment
        raise Unacceptable("there is no payment of that receipt", 404)

    def _find(self, result: Mapping[str, str]) -> _Payment | None:
        """The payment that all ids of a result belong to."""
        for payment in self._payments:
            if payment.ids().items() <= result.items():
                return payment
        return None


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up; the private keys it keeps to itself."""
    certificate, private_key = make_encryption_certificate("M-Pesa broker")
    return {
        "sp_id": "888000",
        "sp_password": secrets.token_urlsafe(18),
        "service_id": str(10**6 + secrets.randbelow(9 * 10**6)),
        "initiator": "255744000000",
        "initiator_certificate": certificate,
        "initiator_private_key": private_key,
        "path_secret": secrets.token_hex(16),
        "currency": "KES",
        **make_certificates(),
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    names = (
        *("sp_password", "service_id", "initiator", "initiator_certificate"),
        *("pkcs12", "pkcs12_password", "ca_certificate"),
    )
    return {
        "sp_id": given["sp_id"],
        "sp_passwords": [given["sp_password"]],
        "path_secrets": [given["path_secret"]],
        "addresses": ["127.0.0.1"],
        "currency": given["currency"],
        "broker": {"url": f"{base_url}{RESULT_PATH}", **{name: given[name] for name in names}},
    }


def sign(sp_id: str, password: str, stamp: str) -> str:
    """The ``spPassword`` of a message, in both directions: Base64 of SHA-256."""
    return base64.b64encode(hashlib.sha256(f"{sp_id}{password}{stamp}".encode()).digest()).decode()


def _read_result(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """Who posts a result, and the result.

    Raises:
        Unacceptable: it is not as documented.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("text/xml", "application/xml"):
        raise Unacceptable("text/xml expected")
    try:
        root = xmltodict.parse(request.body, process_namespaces=True, namespaces=_NAMESPACES)
    except (ExpatError, ValueError):
        raise Unacceptable("the body is not XML") from None
    broker = check(root, {"mpesaBroker": OBJECT})["mpesaBroker"]
    content = {name: value for name, value in broker.items() if not name.startswith("@")}
    result = check(content, {"result": OBJECT}, "mpesaBroker")["result"]
    parts = check(result, {"serviceProvider": OBJECT, "transaction": OBJECT}, "result")
    return (
        check(parts["serviceProvider"], _SERVICE_PROVIDER, "serviceProvider"),
        check(parts["transaction"], _RESULT, "transaction"),
    )


def _repeated(payment: _Payment, result: Mapping[str, Any]) -> Code:
    """What is said to a result of a payment that has one: the same again, or another one."""
    code = Code(int(result["resultCode"]))
    return code if code is payment.result else Code.CONTRADICTED


def _answer_of(code: Code, result: Mapping[str, Any], text: str | None = None) -> Answer:
    """An answer to a result, whose ids are told back."""
    names = ("conversationID", "originatorConversationID", "transactionID")
    content = {
        **{name: result.get(name, "") for name in names},
        "responseCode": str(int(code)),
        "responseDesc": text or _TEXTS[code],
        "serviceStatus": "Success" if code in (Code.COMPLETED, Code.CANCELLED) else "Failure",
    }
    return Answer(200, _message("response", content), _XML)


def _message(kind: str, content: Mapping[str, Any]) -> bytes:
    root = {"@xmlns": NAMESPACE, "@version": "2.0", kind: content}
    text: str = xmltodict.unparse({"mpesaBroker": root})
    return text.encode()


def _decimal(amount: int | str) -> str:
    """An amount as the broker writes it: with one decimal at least, and no more than it needs."""
    whole, _, decimals = str(amount).partition(".")
    return f"{int(whole)}.{decimals.rstrip('0') or '0'}"


def _new_receipt() -> str:
    letters = string.ascii_uppercase + string.digits
    return "".join(secrets.choice(letters) for _ in range(10))
