"""Daraja, M-Pesa's API in Kenya: payments to a paybill, pushes to a phone, and their way back.

What the company asks (OAuth first, then a bearer token):

- ``GET /oauth/v1/generate?grant_type=client_credentials`` gives a token for an hour;
- ``POST /mpesa/stkpush/v1/processrequest`` asks a payer on the phone, ``POST
  /mpesa/stkpushquery/v1/query`` asks what became of it;
- ``POST /pulltransactions/v1/query`` lists the payments of the last 48 hours, ``…/register`` has
  to be called once before that (here it may be left out: an operator does it);
- ``POST /mpesa/reversal/v1/request`` asks to give a payment back. That is accepted at once, and
  done or not soon after: then the result is posted to the ``ResultURL`` of the request.

What Daraja tells the company: the question before a payment to the paybill (validation), the
payment itself (confirmation), the answer to a push (callback), the result of a reversal. None of it
is signed. Amounts are whole shillings everywhere, and times are Kenya's.

Nobody pays here: a test, or a person with curl, has it done through the control addresses. The
paybill's ``ResponseType`` is ``Cancelled``: where the company cannot be asked, nobody pays.

Assumptions, to be confirmed with the provider:

- ``OffSetValue`` counts rows to leave out, and an answer has :data:`ROWS_PER_ANSWER` at most;
- a payment is reversed whole or not at all: another amount is refused at once.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import string
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from infra.local.fakes.controls import as_told, control, tell
from infra.local.fakes.fake import Answer, Done, Order, Request, Settings, timestamp
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import (
    MOMENT,
    TEXT,
    Field,
    Fields,
    Unacceptable,
    just,
    matching,
    moment_of,
    optional,
    read_object,
)

TOKEN_PATH = "/oauth/v1/generate"
PUSH_PATH = "/mpesa/stkpush/v1/processrequest"
PUSH_QUERY_PATH = "/mpesa/stkpushquery/v1/query"
PULL_REGISTER_PATH = "/pulltransactions/v1/register"
PULL_QUERY_PATH = "/pulltransactions/v1/query"
REVERSAL_PATH = "/mpesa/reversal/v1/request"

KENYA = ZoneInfo("Africa/Nairobi")
TOKEN_SECONDS = 3599
PULL_REACHES_BACK = timedelta(hours=48)
ROWS_PER_ANSWER = 100
AMOUNT_MAX = 250_000
"""The most that M-Pesa moves at once, in shillings."""
RESULT_AFTER_SECONDS = 0.5
"""So long after a reversal was accepted its result is posted."""

FORBIDDEN_WORDS = ("cmd", "exe", "mpesa", "query", "safaricom", "sql")
"""An address with one of these in it is not called."""

ALREADY_REVERSED, UNKNOWN_TRANSACTION = "R000001", "R000002"

RESULTS: Mapping[int | str, str] = {
    0: "The service request is processed successfully.",
    1: "The balance is insufficient for the transaction.",
    17: "The same amount was paid a moment ago.",
    1001: "Unable to lock subscriber, a transaction is already in process.",
    1019: "Transaction has expired.",
    1025: "An error occurred while sending a push request.",
    1032: "Request cancelled by user.",
    1037: "DS timeout user cannot be reached.",
    2001: "The initiator information is invalid.",
    2028: "The request is not permitted according to product assignment.",
    4999: "The transaction is still under processing.",
    9999: "An error occurred while sending a push request.",
    ALREADY_REVERSED: "The transaction has already been reversed.",
    UNKNOWN_TRANSACTION: "The OriginalTransactionID is invalid.",
}
"""What became of a push or of a reversal: a number, or a text where it is about a reversal only."""

_STILL_RUNNING = 4999


def _numeral(pattern: str, must_be: str) -> Field:
    """A number, or the same as a text: Daraja takes both."""
    return Field(
        must_be,
        lambda value: type(value) in (int, str) and bool(re.fullmatch(pattern, str(value))),
    )


def _is_amount(value: Any) -> bool:
    digits = type(value) in (int, str) and re.fullmatch("[1-9][0-9]{0,5}", str(value))
    return bool(digits) and int(value) <= AMOUNT_MAX


def _is_local_time(form: str) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        try:
            return isinstance(value, str) and bool(_local_time(value, form))
        except ValueError:
            return False

    return accepts


def _local_time(text: str, form: str) -> datetime:
    return datetime.strptime(text, form).replace(tzinfo=KENYA)


_COMPACT = "%Y%m%d%H%M%S"
_SPACED = "%Y-%m-%d %H:%M:%S"

_AMOUNT = Field(f"whole shillings from 1 to {AMOUNT_MAX}", _is_amount)
_SHORT_CODE = _numeral("[0-9]{5,7}", "a short code of five to seven digits")
_PHONE = _numeral("254[17][0-9]{8}", "a phone number 2547… or 2541…")
_ADDRESS = matching(r"https?://[^\s?#]+", "an address without a query")
_TIMESTAMP = Field("a time YYYYMMDDhhmmss", _is_local_time(_COMPACT))
_PULL_TIME = Field("a time YYYY-MM-DD HH:MM:SS", _is_local_time(_SPACED))
_RECEIPT = matching("[A-Z0-9]{10}", "a receipt of ten letters and digits")

_PUSH: Fields = {
    "BusinessShortCode": _SHORT_CODE,
    "Password": TEXT,
    "Timestamp": _TIMESTAMP,
    "TransactionType": just("CustomerPayBillOnline"),
    "Amount": _AMOUNT,
    "PartyA": _PHONE,
    "PartyB": _SHORT_CODE,
    "PhoneNumber": _PHONE,
    "CallBackURL": _ADDRESS,
    "AccountReference": matching("[A-Za-z0-9]{1,12}", "1 to 12 letters and digits"),
    "TransactionDesc": matching(".{1,13}", "1 to 13 characters"),
}
_PUSH_QUERY: Fields = {
    "BusinessShortCode": _SHORT_CODE,
    "Password": TEXT,
    "Timestamp": _TIMESTAMP,
    "CheckoutRequestID": TEXT,
}
_PULL_REGISTRATION: Fields = {
    "ShortCode": _SHORT_CODE,
    "RequestType": just("Pull"),
    "NominatedNumber": _numeral("(254|0)[17][0-9]{8}", "a phone number"),
    "CallBackURL": _ADDRESS,
}
_PULL_QUERY: Fields = {
    "ShortCode": _SHORT_CODE,
    "StartDate": _PULL_TIME,
    "EndDate": _PULL_TIME,
    "OffSetValue": _numeral("[0-9]{1,6}", "a number of rows"),
}
_REVERSAL: Fields = {
    "Initiator": TEXT,
    "SecurityCredential": TEXT,
    "CommandID": just("TransactionReversal"),
    "TransactionID": _RECEIPT,
    "Amount": _AMOUNT,
    "ReceiverParty": _SHORT_CODE,
    "RecieverIdentifierType": just("11"),
    "ResultURL": _ADDRESS,
    "QueueTimeOutURL": _ADDRESS,
    "Remarks": matching(".{2,100}", "2 to 100 characters"),
    "Occasion": optional(matching(".{0,100}", "100 characters at most")),
}

_YES_OR_NO = optional(just(True, False))
_TIMES = optional(Field("a number from 1", lambda value: type(value) is int and value > 0))
_ACCOUNT = matching(".{1,20}", "1 to 20 characters")
_C2B: Fields = {
    "account": _ACCOUNT,
    "amount": _AMOUNT,
    "receipt": optional(_RECEIPT),
    "phone": optional(_PHONE),
    "at": optional(MOMENT),
    "ask": _YES_OR_NO,
    "confirm": _YES_OR_NO,
    "times": _TIMES,
}
_NOTIFY: Fields = {
    "receipt": _RECEIPT,
    "account": optional(_ACCOUNT),
    "amount": optional(_AMOUNT),
    "times": _TIMES,
}
_STK: Fields = {
    "checkout_request_id": optional(TEXT),
    "account_reference": optional(TEXT),
    "result_code": optional(
        Field("a known code", lambda value: type(value) is int and value in RESULTS)
    ),
    "receipt": optional(_RECEIPT),
    "amount": optional(_AMOUNT),
    "callback": _YES_OR_NO,
    "c2b": _YES_OR_NO,
    "times": _TIMES,
}
_REVERSAL_RESULT: Fields = {
    "receipt": _RECEIPT,
    "result_code": optional(
        Field("a known code", lambda value: type(value) in (int, str) and value in RESULTS)
    ),
    "times": _TIMES,
}


@dataclass
class _Payment:
    """Money that came, by whatever way."""

    receipt: str
    amount: int
    account: str
    phone: str
    at: datetime
    third_party_id: str = ""
    reversed: bool = False

    def pulled(self) -> dict[str, Any]:
        """As it stands in a list of payments."""
        return {
            "transactionId": self.receipt,
            "trxDate": self.at.isoformat(timespec="seconds"),
            "msisdn": int(self.phone),
            "sender": "",
            "transactiontype": "c2b-pay-bill-debit",
            "billreference": self.account,
            "amount": str(self.amount),
            "organizationname": "Mwanga",
        }


@dataclass
class _Push:
    """A payer who was asked on the phone; no ``result_code`` yet: who has not answered."""

    account: str
    amount: int
    phone: str
    callback_url: str
    checkout_request_id: str
    merchant_request_id: str
    result_code: int | None = None
    payment: _Payment | None = None

    def ids(self) -> dict[str, Any]:
        """By what it is known."""
        return {
            "MerchantRequestID": self.merchant_request_id,
            "CheckoutRequestID": self.checkout_request_id,
        }


@dataclass
class _Reversal:
    """A reversal that was accepted, and what becomes of it."""

    receipt: str
    amount: int
    request: Mapping[str, Any]
    result_code: int | str
    conversation_id: str = field(default_factory=lambda: f"AG_{_now():%Y%m%d}_{_digits(20)}")
    originator_conversation_id: str = field(default_factory=lambda: f"{_digits(5)}-{_digits(8)}-1")
    own_receipt: str = field(default_factory=lambda: _new_receipt())
    is_told: bool = False
    at: str = field(default_factory=timestamp)

    @property
    def status(self) -> str:
        """How far it is: pending, processed or failed."""
        if not self.is_told:
            return "pending"
        return "failed" if self.result_code else "processed"

    def ids(self) -> dict[str, Any]:
        """By what it is known."""
        return {
            "OriginatorConversationID": self.originator_conversation_id,
            "ConversationID": self.conversation_id,
        }

    def result(self, short_code: str) -> dict[str, Any]:
        """What is posted to the company."""
        told = {
            "ResultType": 0,
            "ResultCode": self.result_code,
            "ResultDesc": RESULTS[self.result_code],
            **self.ids(),
        }
        if self.result_code:
            return {"Result": told}
        parameters = {
            "DebitAccountBalance": "Utility Account|KES|100000.00|100000.00|0.00|0.00",
            "Amount": float(self.amount),
            "TransCompletedTime": int(_now().strftime(_COMPACT)),
            "OriginalTransactionID": self.receipt,
            "Charge": 0.0,
            "CreditPartyPublicName": "2547*****126 - ASHA",
            "DebitPartyPublicName": f"{short_code} - Mwanga",
        }
        listed = [{"Key": key, "Value": value} for key, value in parameters.items()]
        told["TransactionID"] = self.own_receipt
        told["ResultParameters"] = {"ResultParameter": listed}
        return {"Result": told}


@dataclass(frozen=True)
class _ReversalOrder(Order):
    """An order to give a payment back; the other kind is to ask a payer."""

    is_vend: bool = False


class Daraja:
    """The provider's server, as documented.

    Settings: what :func:`made_up` gives, ``confirmation_url`` and ``validation_url`` that were
    registered for the paybill, and ``public_url``, below which all other addresses of the company
    must lie (where it is missing, they may lie anywhere).
    """

    key = "daraja"
    paths: Mapping[str, str] = {
        "confirmation_url": "/payments/daraja/{path_secret}/confirmation",
        "validation_url": "/payments/daraja/{path_secret}/validation",
    }
    own_faults = frozenset({Fault.PENDING, Fault.REFUND_FAILS})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._short_code = settings["short_code"]
        self._public_url = settings.get("public_url", "")
        self._faults = faults
        key = load_pem_private_key(settings["private_key"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - as it was made up
        self._private_key = key
        self._tokens: dict[str, float] = {}
        self._payments: list[_Payment] = []
        self._pushes: list[_Push] = []
        self._reversals: list[_Reversal] = []
        self._may_pull = False
        self._lock = threading.RLock()
        self._readers: Mapping[str, Callable[[Request], Order | Answer]] = {
            PUSH_PATH: self._read_push,
            PUSH_QUERY_PATH: self._tell_push,
            PULL_REGISTER_PATH: self._register_pull,
            PULL_QUERY_PATH: self._pull,
            REVERSAL_PATH: self._read_reversal,
        }

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path == TOKEN_PATH:
            return self._give_token(request)
        if request.path not in self._readers:
            return _failed("404.001.01", "Resource not found")
        if request.method != "POST":
            return _failed("405.001", "Method Not Allowed")
        try:
            with self._lock:
                if not self._is_known(request.headers.get("authorization", "")):
                    return _failed("404.001.03", "Invalid Access Token")
                return self._readers[request.path](request)
        except Unacceptable as error:
            return _failed("400.002.02", f"Bad Request - {error}")

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        with self._lock:
            if isinstance(order, _ReversalOrder):
                return Done(self._accept_reversal(order))
            return Done(self._push(order))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        wrong = "TransactionID" if isinstance(order, _ReversalOrder) else "PhoneNumber"
        return _failed("400.002.02", f"Bad Request - Invalid {wrong}")

    # --- who asks ---------------------------------------------------------------------------

    def _give_token(self, request: Request) -> Answer:
        if request.method != "GET":
            return _failed("405.001", "Method Not Allowed")
        pair = f"{self._settings['consumer_key']}:{self._settings['consumer_secret']}"
        basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
        if request.headers.get("authorization") != basic:
            return _failed("400.008.01", "Invalid Authentication passed")
        if request.query != {"grant_type": "client_credentials"}:
            return _failed("400.008.02", "Invalid grant type passed")
        token = secrets.token_urlsafe(21)
        with self._lock:
            self._tokens[token] = time.monotonic() + TOKEN_SECONDS
        return Answer.of({"access_token": token, "expires_in": str(TOKEN_SECONDS)})

    def _is_known(self, authorization: str) -> bool:
        kind, _, token = authorization.partition(" ")
        return kind == "Bearer" and self._tokens.get(token, 0) > time.monotonic()

    def _refuse_stranger(self, **named: Any) -> None:
        """Each short code that is named must be the company's."""
        for name, short_code in named.items():
            if str(short_code) != self._short_code:
                raise Unacceptable(f"Invalid {name}")

    def _refuse_elsewhere(self, **named: str) -> None:
        """Each address that is named must be one of the company's, without forbidden words."""
        for name, url in named.items():
            path = url.removeprefix(self._public_url)
            below = not self._public_url or (path != url and path.startswith("/"))
            if not below or any(word in path.lower() for word in FORBIDDEN_WORDS):
                raise Unacceptable(f"Invalid {name}")

    # --- asking a payer ---------------------------------------------------------------------

    def _read_push(self, request: Request) -> Order | Answer:
        fields = read_object(request, _PUSH)
        self._refuse_stranger(
            BusinessShortCode=fields["BusinessShortCode"], PartyB=fields["PartyB"]
        )
        self._refuse_elsewhere(CallBackURL=fields["CallBackURL"])
        if not self._is_password(fields):
            return _failed("500.001.1001", "Wrong credentials")
        return Order(fields["AccountReference"], fields, is_vend=False)

    def _is_password(self, fields: Mapping[str, Any]) -> bool:
        text = f"{self._short_code}{self._settings['passkey']}{fields['Timestamp']}"
        return bool(fields["Password"] == base64.b64encode(text.encode()).decode())

    def _push(self, order: Order) -> Answer:
        fields = order.request
        push = _Push(
            account=order.subject,
            amount=int(fields["Amount"]),
            phone=str(fields["PhoneNumber"]),
            callback_url=fields["CallBackURL"],
            checkout_request_id=f"ws_CO_{_now():%d%m%Y%H%M%S}{_digits(12)}",
            merchant_request_id=f"{_digits(5)}-{_digits(8)}-1",
        )
        self._pushes.append(push)
        return Answer.of(
            {
                **push.ids(),
                "ResponseCode": "0",
                "ResponseDescription": "Success. Request accepted for processing",
                "CustomerMessage": "Success. Request accepted for processing",
            }
        )

    def _tell_push(self, request: Request) -> Answer:
        fields = read_object(request, _PUSH_QUERY)
        self._refuse_stranger(BusinessShortCode=fields["BusinessShortCode"])
        if not self._is_password(fields):
            return _failed("500.001.1001", "Wrong credentials")
        push = self._find_push(fields["CheckoutRequestID"], None)
        if push is None:
            raise Unacceptable("Invalid CheckoutRequestID")
        code = push.result_code
        if self._faults.take(self.key, push.account, {Fault.PENDING}):
            code = _STILL_RUNNING
        if code is None:
            return _failed("500.001.1001", "The transaction is being processed")
        return Answer.of(
            {
                "ResponseCode": "0",
                "ResponseDescription": "The service request has been accepted successfully",
                **push.ids(),
                "ResultCode": str(code),
                "ResultDesc": RESULTS[code],
            }
        )

    def _find_push(self, checkout_request_id: str | None, account: str | None) -> _Push | None:
        """The push of that id, or the newest for that account."""
        for push in reversed(self._pushes):
            if checkout_request_id == push.checkout_request_id or (
                checkout_request_id is None and account == push.account
            ):
                return push
        return None

    # --- listing payments -------------------------------------------------------------------

    def _register_pull(self, request: Request) -> Answer:
        fields = read_object(request, _PULL_REGISTRATION)
        self._refuse_stranger(ShortCode=fields["ShortCode"])
        self._refuse_elsewhere(CallBackURL=fields["CallBackURL"])
        status, text = ("1000", "successfully") if not self._may_pull else ("1001", "already")
        self._may_pull = True
        return Answer.of(
            {
                "ResponseRefID": f"{_digits(5)}-{_digits(8)}-1",
                "ResponseStatus": status,
                "ShortCode": self._short_code,
                "ResponseDescription": f"Short code registered {text}",
            }
        )

    def _pull(self, request: Request) -> Answer:
        fields = read_object(request, _PULL_QUERY)
        self._refuse_stranger(ShortCode=fields["ShortCode"])
        start, end = (_local_time(fields[name], _SPACED) for name in ("StartDate", "EndDate"))
        if end < start:
            raise Unacceptable("Invalid EndDate")
        start = max(start, _now() - PULL_REACHES_BACK)
        found = sorted(
            (payment for payment in self._payments if start <= payment.at <= end),
            key=lambda payment: payment.at,
        )
        first = int(fields["OffSetValue"])
        rows = [payment.pulled() for payment in found[first : first + ROWS_PER_ANSWER]]
        return Answer.of(
            {
                "ResponseRefID": f"{_digits(5)}-{_digits(8)}-1",
                "ResponseCode": "1000" if rows else "1001",
                "ResponseMessage": "Success" if rows else "No transactions",
                "Response": [rows],
            }
        )

    # --- giving back ------------------------------------------------------------------------

    def _read_reversal(self, request: Request) -> Order:
        fields = read_object(request, _REVERSAL)
        self._refuse_stranger(ReceiverParty=fields["ReceiverParty"])
        self._refuse_elsewhere(
            ResultURL=fields["ResultURL"], QueueTimeOutURL=fields["QueueTimeOutURL"]
        )
        payment = self._find_payment(fields["TransactionID"])
        if payment and int(fields["Amount"]) != payment.amount:
            raise Unacceptable("Invalid Amount")
        return _ReversalOrder(fields["TransactionID"], fields)

    def _accept_reversal(self, order: Order) -> Answer:
        fields = order.request
        shown = {**fields, "SecurityCredential": "…"}
        reversal = _Reversal(order.subject, int(fields["Amount"]), shown, self._outcome(fields))
        self._reversals.append(reversal)
        self._book_reversal(reversal)
        if not self._faults.take(self.key, order.subject, {Fault.PENDING}):
            telling = threading.Timer(RESULT_AFTER_SECONDS, self._tell_reversal, [reversal])
            telling.daemon = True
            telling.start()
        return Answer.of(
            {
                **reversal.ids(),
                "ResponseCode": "0",
                "ResponseDescription": "Accept the service request successfully.",
            }
        )

    def _outcome(self, fields: Mapping[str, Any]) -> int | str:
        """What becomes of a reversal: its result's code."""
        payment = self._find_payment(fields["TransactionID"])
        if not self._is_initiator(fields["Initiator"], fields["SecurityCredential"]):
            return 2001
        if payment is None:
            return UNKNOWN_TRANSACTION
        if payment.reversed:
            return ALREADY_REVERSED
        if self._faults.take(self.key, payment.receipt, {Fault.REFUND_FAILS}):
            return 1
        return 0

    def _is_initiator(self, name: str, credential: str) -> bool:
        """Whether the credential is the initiator's password, encrypted for Daraja."""
        try:
            encrypted = base64.b64decode(credential, validate=True)
            password = self._private_key.decrypt(encrypted, padding.PKCS1v15())
        except ValueError:
            return False
        expected = self._settings["initiator"], self._settings["initiator_password"].encode()
        return (name, password) == expected

    def _book_reversal(self, reversal: _Reversal) -> None:
        """Moves the money, if it is moved; none moves twice."""
        payment = self._find_payment(reversal.receipt)
        if payment and not reversal.result_code:
            payment.reversed = True

    def _tell_reversal(self, reversal: _Reversal, times: int = 1) -> dict[str, Any]:
        with self._lock:
            reversal.is_told = True
            result = reversal.result(self._short_code)
        return _tell(reversal.request["ResultURL"], result, times)

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`."""
        with self._lock:
            return [
                {
                    "at": reversal.at,
                    "refund_id": reversal.conversation_id,
                    "reference": reversal.receipt,
                    "amount": reversal.amount,
                    "status": reversal.status,
                    "result_code": reversal.result_code,
                    "request": reversal.request,
                }
                for reversal in self._reversals
            ]

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``c2b``: a customer pays the paybill, is asked about first, and the company is told;
        ``pull-only``: the same, but only the list of payments tells of it; ``notify``: a
        confirmation is sent again, perhaps with something else in it; ``stk``: a payer answers a
        push; ``reversal-result``: the result of the newest reversal of a receipt is posted (again);
        ``expire-tokens``: no token is good any more.
        """
        return {
            "c2b": control(_C2B, self._pay),
            "pull-only": control(_C2B, lambda fields: self._pay({**fields, "confirm": False})),
            "notify": control(_NOTIFY, self._notify),
            "stk": control(_STK, self._answer_push),
            "reversal-result": control(_REVERSAL_RESULT, self._end_reversal),
            "expire-tokens": control({}, self._expire_tokens),
        }

    def _pay(self, fields: Mapping[str, Any]) -> Answer:
        moment = moment_of(fields["at"]) if "at" in fields else None
        with self._lock:
            payment = self._new_payment(
                fields,
                account=fields["account"],
                amount=int(fields["amount"]),
                phone=str(fields.get("phone", "254712000126")),
                at=moment.astimezone(KENYA) if moment else _now(),
            )
        told: dict[str, Any] = {"receipt": payment.receipt, "paid": True, "webhook_status": None}
        if fields.get("ask", True):
            answer = _tell(self._settings["validation_url"], self._report(payment))
            payment.third_party_id, told["paid"] = _judged(answer)
            told["validation_status"] = answer["webhook_status"]
            told["validation_answer"] = answer["webhook_answer"]
        if not told["paid"]:
            return Answer.of(told)
        with self._lock:
            self._payments.append(payment)
            report = self._report(payment, balance=self._balance())
        if fields.get("confirm", True):
            url = self._settings["confirmation_url"]
            told.update(_tell(url, report, fields.get("times", 1)))
        return as_told(told)

    def _new_payment(self, fields: Mapping[str, Any], **more: Any) -> _Payment:
        """A payment, not kept yet, under the wanted receipt or a new one."""
        receipt = fields.get("receipt", _new_receipt())
        if self._find_payment(receipt):
            raise Unacceptable("that receipt was given before", 422)
        return _Payment(receipt=receipt, **more)

    def _report(self, payment: _Payment, balance: int | None = None) -> dict[str, str]:
        """What is posted of a payment to the paybill: a question, or with a balance as made."""
        return {
            "TransactionType": "Pay Bill",
            "TransID": payment.receipt,
            "TransTime": payment.at.strftime(_COMPACT),
            "TransAmount": f"{payment.amount}.00",
            "BusinessShortCode": self._short_code,
            "BillRefNumber": payment.account,
            "InvoiceNumber": "",
            "OrgAccountBalance": "" if balance is None else f"{balance}.00",
            "ThirdPartyTransID": "" if balance is None else payment.third_party_id,
            "MSISDN": f"{payment.phone[:4]} ***** {payment.phone[-3:]}",
            "FirstName": "ASHA",
            "MiddleName": "",
            "LastName": "",
        }

    def _balance(self) -> int:
        return sum(payment.amount for payment in self._payments if not payment.reversed)

    def _notify(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            payment = self._find_payment(fields["receipt"])
            if payment is None:
                raise Unacceptable("there is no payment of that receipt", 404)
            report = self._report(payment, balance=self._balance())
        if "account" in fields:
            report["BillRefNumber"] = fields["account"]
        if "amount" in fields:
            report["TransAmount"] = f"{fields['amount']}.00"
        url = self._settings["confirmation_url"]
        return as_told(_tell(url, report, fields.get("times", 1)))

    def _answer_push(self, fields: Mapping[str, Any]) -> Answer:
        """A success is final: what is answered after it is told, but undoes nothing."""
        code = fields.get("result_code", 0)
        with self._lock:
            push = self._find_push(
                fields.get("checkout_request_id"), fields.get("account_reference")
            )
            if push is None:
                raise Unacceptable("there is no such push", 404)
            if push.payment is None:
                if code == 0:
                    amount = int(fields.get("amount", push.amount))
                    push.payment = self._new_payment(
                        fields, account=push.account, amount=amount, phone=push.phone, at=_now()
                    )
                    self._payments.append(push.payment)
                push.result_code = code
            payment = push.payment
            callback = {**push.ids(), "ResultCode": code, "ResultDesc": RESULTS[code]}
            if code == 0 and payment:
                callback["CallbackMetadata"] = {"Item": _metadata(payment, fields)}
            report = self._report(payment, balance=self._balance()) if payment else None
        told: dict[str, Any] = {
            "receipt": payment.receipt if payment else None,
            "webhook_status": None,
        }
        if fields.get("callback", True):
            content = {"Body": {"stkCallback": callback}}
            told.update(_tell(push.callback_url, content, fields.get("times", 1)))
        if fields.get("c2b", False) and report:
            answer = _tell(self._settings["confirmation_url"], report)
            told["confirmation_status"] = answer["webhook_status"]
            told["confirmation_answer"] = answer["webhook_answer"]
        return as_told(told)

    def _end_reversal(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            found = [known for known in self._reversals if known.receipt == fields["receipt"]]
            if not found:
                raise Unacceptable("there is no reversal of that receipt", 404)
            reversal = found[-1]
            code = fields.get("result_code", reversal.result_code)
            payment = self._find_payment(reversal.receipt)
            if payment and code and not reversal.result_code:
                payment.reversed = False
            reversal.result_code = code
            self._book_reversal(reversal)
        return as_told(self._tell_reversal(reversal, fields.get("times", 1)))

    def _expire_tokens(self, fields: Mapping[str, Any]) -> Answer:
        with self._lock:
            self._tokens.clear()
        return Answer(204, b"")

    def _find_payment(self, receipt: str) -> _Payment | None:
        for payment in self._payments:
            if payment.receipt == receipt:
                return payment
        return None


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up; the private key it keeps to itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "short_code": "600966",
        "passkey": secrets.token_hex(32),
        "consumer_key": secrets.token_urlsafe(24),
        "consumer_secret": secrets.token_urlsafe(48),
        "initiator": "mwanga_api",
        "initiator_password": secrets.token_urlsafe(18),
        "private_key": private.decode(),
        "public_key": public.decode(),
        "path_secret": secrets.token_hex(16),
        "currency": "KES",
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    names = (
        *("consumer_key", "consumer_secret", "passkey"),
        *("initiator", "initiator_password", "public_key"),
    )
    return {
        "short_code": given["short_code"],
        "path_secrets": [given["path_secret"]],
        "addresses": ["127.0.0.1"],
        "api": {
            "base_url": base_url,
            **{name: given[name] for name in names},
            "public_url": given.get("public_url", ""),
        },
    }


def _metadata(payment: _Payment, changes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a callback tells of a payment; ``changes`` make it tell something else."""
    return [
        {"Name": "Amount", "Value": float(changes.get("amount", payment.amount))},
        {"Name": "MpesaReceiptNumber", "Value": changes.get("receipt", payment.receipt)},
        {"Name": "Balance"},
        {"Name": "TransactionDate", "Value": int(payment.at.strftime(_COMPACT))},
        {"Name": "PhoneNumber", "Value": int(payment.phone)},
    ]


def _judged(answer: Mapping[str, Any]) -> tuple[str, bool]:
    """The company's own id in its answer to a question, and whether the answer is yes."""
    try:
        judged = json.loads(answer["webhook_answer"])
        yes = answer["webhook_status"] == 200 and str(judged["ResultCode"]) == "0"
        return str(judged.get("ThirdPartyTransID", "")), yes
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", False


def _tell(url: str, content: Any, times: int = 1) -> dict[str, Any]:
    """Tells the company so many times; answers how it answered the last of them."""
    body = Answer.of(content).body
    return tell(url, body, {"Content-Type": "application/json"}, times)


def _failed(code: str, text: str) -> Answer:
    """An error; the HTTP status is what its code begins with."""
    request_id = f"{_digits(5)}-{_digits(8)}-1"
    fields = {"requestId": request_id, "errorCode": code, "errorMessage": text}
    return Answer.of(fields, int(code[:3]))


def _now() -> datetime:
    """Now, to the second: more exactly M-Pesa does not know it."""
    return datetime.now(KENYA).replace(microsecond=0)


def _digits(count: int) -> str:
    return "".join(secrets.choice(string.digits) for _ in range(count))


def _new_receipt() -> str:
    letters = string.ascii_uppercase + string.digits
    return "S" + "".join(secrets.choice(letters) for _ in range(9))
