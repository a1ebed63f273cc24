"""Vodacom Mozambique's M-Pesa OpenAPI: the payer is asked on the phone, and the line is held.

``POST /ipg/v1x/c2bPayment/singleStage/`` asks the payer and answers what the payer did. ``GET
/ipg/v1x/queryTransactionStatus/`` tells what became of a transaction, by the provider's ids or by
our ``ThirdPartyReference``. ``PUT /ipg/v1x/reversal/`` gives a payment back, all of it or a part.
There is no log-in: each request shows the API key, encrypted with the provider's public key.
Amounts are texts in whole units of the currency.

The vendor has a port for each of the three; here one server has them all. Nobody waits here: a
payer pays at once, unless the control ``next`` said what the payer does instead.

Assumptions, to be confirmed with the vendor:

- a transaction that is not known is told to have the status ``N/A``, as one that is under way has;
- a payer without enough money makes a transaction that is told to be ``Cancelled``, one who did not
  answer in time one that is ``Expired``; a payment stays ``Completed`` when it is given back;
- a wrong ``Origin`` is not authorized (INS-26);
- the ``ThirdPartyReference`` of a question need not be new, and can be that of what is asked about;
- what was reversed already cannot be reversed again (INS-6), nor more than was paid (INS-15).
"""

from __future__ import annotations

import base64
import hmac
import secrets
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from infra.local.fakes.amounts import shown
from infra.local.fakes.controls import control
from infra.local.fakes.fake import NOT_FOUND, Answer, Done, Order, Request, Settings, timestamp
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import (
    TEXT,
    Field,
    Fields,
    Unacceptable,
    just,
    matching,
    numeral,
    optional,
    read_object,
)

COLLECT_PATH = "/ipg/v1x/c2bPayment/singleStage/"
QUERY_PATH = "/ipg/v1x/queryTransactionStatus/"
REVERSAL_PATH = "/ipg/v1x/reversal/"

CODES = {
    "INS-0": (201, "Request processed successfully"),
    "INS-2": (401, "Invalid API Key"),
    "INS-5": (401, "Transaction cancelled by customer"),
    "INS-6": (401, "Transaction Failed"),
    "INS-9": (408, "Request timeout"),
    "INS-10": (409, "Duplicate Transaction"),
    "INS-13": (400, "Invalid Shortcode Used"),
    "INS-14": (400, "Invalid Reference Used"),
    "INS-15": (400, "Invalid Amount Used"),
    "INS-17": (400, "Invalid Transaction Reference. Length Should Be Between 1 and 20."),
    "INS-18": (400, "Invalid TransactionID Used"),
    "INS-19": (400, "Invalid ThirdPartyReference Used"),
    "INS-20": (400, "Not All Parameters Provided. Please try again."),
    "INS-21": (400, "Parameter validations failed. Please try again."),
    "INS-24": (400, "Invalid InitiatorIdentifier Used"),
    "INS-25": (400, "Invalid SecurityCredential Used"),
    "INS-26": (400, "Not authorized"),
    "INS-2006": (422, "Insufficient balance"),
    "INS-2051": (400, "MSISDN invalid."),
}
"""The codes that are answered here, each with its HTTP status and what it says."""

_NOT_GIVEN = "N/A"


@dataclass(frozen=True)
class _Outcome:
    """What a payer does: how the push is answered, and what is told of it later."""

    code: str
    status: str
    state: str

    @property
    def is_paid(self) -> bool:
        return self.state == "paid"


_PAID = _Outcome("INS-0", "Completed", "paid")
_OUTCOMES = {
    "paid": _PAID,
    "cancelled": _Outcome("INS-5", "Cancelled", "cancelled"),
    "no_funds": _Outcome("INS-2006", "Cancelled", "no_funds"),
    "timeout_but_paid": _Outcome("INS-9", "Completed", "paid"),
    "timeout_unpaid": _Outcome("INS-9", "Expired", "expired"),
}

_REFERENCE = matching("[!-~]{1,20}", "1 to 20 characters")
_COLLECTION: Fields = {
    "input_TransactionReference": matching("[A-Za-z0-9]{1,20}", "1 to 20 letters and digits"),
    "input_CustomerMSISDN": matching(
        "258(84|85)[0-9]{7}|254[0-9]{9}", "a number of Vodacom's with its country's code"
    ),
    "input_Amount": numeral(2),
    "input_ThirdPartyReference": _REFERENCE,
    "input_ServiceProviderCode": TEXT,
}
_QUERY: Fields = {
    "input_QueryReference": TEXT,
    "input_ThirdPartyReference": _REFERENCE,
    "input_ServiceProviderCode": TEXT,
}
_REVERSAL: Fields = {
    "input_TransactionID": TEXT,
    "input_SecurityCredential": TEXT,
    "input_InitiatorIdentifier": TEXT,
    "input_ThirdPartyReference": _REFERENCE,
    "input_ServiceProviderCode": TEXT,
    "input_ReversalAmount": optional(numeral(2)),
}
_REFUSALS = {
    "input_TransactionReference": "INS-17",
    "input_CustomerMSISDN": "INS-2051",
    "input_Amount": "INS-15",
    "input_ThirdPartyReference": "INS-19",
    "input_ServiceProviderCode": "INS-13",
    "input_QueryReference": "INS-14",
    "input_TransactionID": "INS-18",
    "input_SecurityCredential": "INS-25",
    "input_InitiatorIdentifier": "INS-24",
    "input_ReversalAmount": "INS-15",
}
"""What is answered where that field is not as it must be."""
_ANYTHING = optional(Field("anything", lambda value: True))

_NEXT: Fields = {
    "msisdn": optional(TEXT),
    "third_party_reference": optional(TEXT),
    "outcome": just(*_OUTCOMES),
}


@dataclass
class _Transaction:
    """A payment, or what gives one back (``reversal_of``)."""

    third_party_reference: str
    amount: Decimal
    outcome: _Outcome
    request: Mapping[str, Any]
    reversal_of: _Transaction | None = None
    at: str = field(default_factory=timestamp)
    transaction_id: str = field(default_factory=lambda: _new_transaction_id())
    conversation_id: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def names(self) -> tuple[str, str, str]:
        """By what it can be asked about."""
        return self.transaction_id, self.conversation_id, self.third_party_reference


@dataclass(frozen=True)
class _ReversalOrder(Order):
    """An order to give a payment back; the other kind is to ask a payer."""

    is_vend: bool = False


class VodacomMz:
    """The provider's server.

    Settings: what :func:`made_up` gives.
    """

    key = "vodacom_mz"
    paths: Mapping[str, str] = {}
    own_faults = frozenset({Fault.PENDING})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._faults = faults
        key = load_pem_private_key(settings["private_key"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - as it was made up
        self._private_key = key
        self._transactions: list[_Transaction] = []
        self._next: list[Mapping[str, Any]] = []
        self._lock = threading.RLock()

    # --- what the company asks --------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        try:
            self._check_caller(request)
            with self._lock:
                match (request.method, request.path):
                    case ("POST", path) if path == COLLECT_PATH:
                        return self._read_collection(request)
                    case ("GET", path) if path == QUERY_PATH:
                        return self._tell(request)
                    case ("PUT", path) if path == REVERSAL_PATH:
                        return self._read_reversal(request)
        except _Refused as error:
            return _answer(error.code, error.third_party_reference)
        return NOT_FOUND

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        try:
            with self._lock:
                if isinstance(order, _ReversalOrder):
                    return Done(self._reverse(order.request))
                return Done(self._collect(order.request))
        except _Refused as error:  # another request was faster
            return Done(_answer(error.code, error.third_party_reference))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return _answer("INS-6", order.request["input_ThirdPartyReference"])

    def _read_collection(self, request: Request) -> Order:
        fields = self._checked(_read_body(request, _COLLECTION), _COLLECTION)
        self._refuse_duplicate(fields)
        return Order(fields["input_ThirdPartyReference"], fields, is_vend=False)

    def _collect(self, fields: Mapping[str, Any]) -> Answer:
        self._refuse_duplicate(fields)
        transaction = _Transaction(
            third_party_reference=fields["input_ThirdPartyReference"],
            amount=Decimal(fields["input_Amount"]),
            outcome=self._answer_of_payer(fields),
            request=fields,
        )
        self._transactions.append(transaction)
        return _answer_about(transaction)

    def _answer_of_payer(self, fields: Mapping[str, Any]) -> _Outcome:
        """What the payer, who is waited for, does: pays, unless a control said otherwise."""
        known = {
            "msisdn": fields["input_CustomerMSISDN"],
            "third_party_reference": fields["input_ThirdPartyReference"],
        }
        for wish in self._next:
            if all(wish.get(name, value) == value for name, value in known.items()):
                self._next.remove(wish)
                return _OUTCOMES[wish["outcome"]]
        return _PAID

    def _tell(self, request: Request) -> Answer:
        """What became of a transaction."""
        fields = self._checked(request.query, _QUERY)
        found = [
            transaction
            for transaction in self._transactions
            if fields["input_QueryReference"] in transaction.names
        ]
        return Answer.of(
            {
                "output_ConversationID": secrets.token_hex(16),
                "output_ResponseCode": "INS-0",
                "output_ResponseDesc": CODES["INS-0"][1],
                "output_ResponseTransactionStatus": self._status(found[0]) if found else _NOT_GIVEN,
                "output_ThirdPartyReference": fields["input_ThirdPartyReference"],
            }
        )

    def _status(self, transaction: _Transaction) -> str:
        payment = transaction.reversal_of or transaction
        if self._faults.take(self.key, payment.third_party_reference, {Fault.PENDING}):
            return _NOT_GIVEN
        return transaction.outcome.status

    # --- reversals --------------------------------------------------------------------------

    def _read_reversal(self, request: Request) -> Order:
        fields = self._checked(_read_body(request, _REVERSAL), _REVERSAL)
        for name in ("security_credential", "initiator_identifier"):
            field_name = f"input_{name.title().replace('_', '')}"
            if fields[field_name] != self._settings[name]:
                raise _Refused(_REFUSALS[field_name], fields)
        payment, _ = self._reversible(fields)
        return _ReversalOrder(
            payment.third_party_reference, {**fields, "input_SecurityCredential": "…"}
        )

    def _reversible(self, fields: Mapping[str, Any]) -> tuple[_Transaction, Decimal]:
        """What is to be given back, and how much of it.

        Raises:
            _Refused: it cannot be.
        """
        self._refuse_duplicate(fields)
        for payment in self._transactions:
            if payment.transaction_id == fields["input_TransactionID"]:
                break
        else:
            raise _Refused("INS-18", fields)
        left = self._left(payment)
        if payment.reversal_of or not payment.outcome.is_paid or left == 0:
            raise _Refused("INS-6", fields)
        amount = Decimal(fields.get("input_ReversalAmount", left))
        if amount > left:
            raise _Refused("INS-15", fields)
        return payment, amount

    def _left(self, payment: _Transaction) -> Decimal:
        """How much of a payment was not given back yet."""
        return payment.amount - sum(
            known.amount for known in self._transactions if known.reversal_of is payment
        )

    def _reverse(self, fields: Mapping[str, Any]) -> Answer:
        payment, amount = self._reversible(fields)
        reversal = _Transaction(
            third_party_reference=fields["input_ThirdPartyReference"],
            amount=amount,
            outcome=_PAID,
            request=fields,
            reversal_of=payment,
        )
        self._transactions.append(reversal)
        return _answer_about(reversal)

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`. Each was done when it was asked for."""
        with self._lock:
            return [
                {
                    "at": reversal.at,
                    "refund_id": reversal.transaction_id,
                    "reference": reversal.reversal_of.third_party_reference,
                    "receipt": reversal.reversal_of.transaction_id,
                    "amount": shown(reversal.amount),
                    "status": "processed",
                    "request": reversal.request,
                }
                for reversal in self._transactions
                if reversal.reversal_of
            ]

    # --- what is had done at the provider's side --------------------------------------------

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``next``: what the payer does who is asked next; of that phone or for that reference, where
        one is named. ``transactions``: all payments, oldest first, with what became of them.
        """
        return {"next": control(_NEXT, self._set_next), "transactions": control({}, self._list)}

    def _set_next(self, wish: Mapping[str, Any]) -> Answer:
        with self._lock:
            self._next.append(wish)
        return Answer.of({"webhook_status": None})

    def _list(self, wish: Mapping[str, Any]) -> Answer:
        with self._lock:
            return Answer.of({"items": [self._listed(each) for each in self._payments()]})

    def _payments(self) -> list[_Transaction]:
        return [known for known in self._transactions if known.reversal_of is None]

    def _listed(self, payment: _Transaction) -> dict[str, Any]:
        return {
            "at": payment.at,
            "third_party_reference": payment.third_party_reference,
            "transaction_reference": payment.request["input_TransactionReference"],
            "transaction_id": payment.transaction_id,
            "conversation_id": payment.conversation_id,
            "msisdn": payment.request["input_CustomerMSISDN"],
            "amount": shown(payment.amount),
            "reversed": shown(payment.amount - self._left(payment)),
            "state": payment.outcome.state,
        }

    # --- all of it --------------------------------------------------------------------------

    def _checked(self, values: Mapping[str, Any], fields: Fields) -> Mapping[str, Any]:
        """The fields of a request, each as it must be.

        Raises:
            _Refused: one is not.
        """
        required = {name for name, expected in fields.items() if not expected.optional}
        if not required <= set(values):
            raise _Refused("INS-20", values)
        if not set(values) <= set(fields):
            raise _Refused("INS-21", values)
        for name, value in values.items():
            if not fields[name].accepts(value):
                raise _Refused(_REFUSALS[name], values)
        if values["input_ServiceProviderCode"] != self._settings["service_provider_code"]:
            raise _Refused("INS-13", values)
        return values

    def _check_caller(self, request: Request) -> None:
        """Whether it is the company that asks.

        Raises:
            _Refused: it is not.
        """
        if not self._is_the_company(request.headers.get("authorization", "")):
            raise _Refused("INS-2")
        if request.headers.get("origin") != self._settings["origin"]:
            raise _Refused("INS-26")

    def _is_the_company(self, authorization: str) -> bool:
        """Whether the API key is in the header, encrypted for this provider."""
        scheme, _, text = authorization.partition(" ")
        try:
            encrypted = base64.b64decode(text, validate=True)
            api_key = self._private_key.decrypt(encrypted, padding.PKCS1v15())
        except ValueError:
            return False
        return scheme == "Bearer" and hmac.compare_digest(
            api_key, self._settings["api_key"].encode()
        )

    def _refuse_duplicate(self, fields: Mapping[str, Any]) -> None:
        for known in self._transactions:
            if known.third_party_reference == fields["input_ThirdPartyReference"]:
                raise _Refused("INS-10", fields)


class _Refused(Exception):
    """A no, with one of :data:`CODES`."""

    def __init__(self, code: str, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.third_party_reference = (fields or {}).get("input_ThirdPartyReference", _NOT_GIVEN)


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up; the private key it keeps to itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "api_key": secrets.token_hex(16),
        "private_key": private.decode(),
        "public_key": public.decode(),
        "origin": "developer.mpesa.vm.co.mz",
        "service_provider_code": "171717",
        "initiator_identifier": f"MPesa{secrets.randbelow(10**6):06}",
        "security_credential": secrets.token_urlsafe(18),
        "currency": "KES",
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    names = (
        *("api_key", "public_key", "origin", "service_provider_code"),
        *("initiator_identifier", "security_credential", "currency"),
    )
    return {
        "collect_url": base_url,
        "query_url": base_url,
        "reversal_url": base_url,
        **{name: given[name] for name in names},
    }


def _read_body(request: Request, fields: Fields) -> dict[str, Any]:
    """The object in the body, with some of these fields, whatever is in them.

    Raises:
        _Refused: it is none, or has another field.
    """
    try:
        return read_object(request, dict.fromkeys(fields, _ANYTHING))
    except Unacceptable:
        raise _Refused("INS-21") from None


def _answer_about(transaction: _Transaction) -> Answer:
    """How a push or a reversal is answered; only what was done has a transaction's id."""
    code = transaction.outcome.code
    return _answer(
        code,
        transaction.third_party_reference,
        transaction.transaction_id if code == "INS-0" else _NOT_GIVEN,
        transaction.conversation_id,
    )


def _answer(
    code: str,
    third_party_reference: Any,
    transaction_id: str = _NOT_GIVEN,
    conversation_id: str = _NOT_GIVEN,
) -> Answer:
    status, text = CODES[code]
    return Answer.of(
        {
            "output_ConversationID": conversation_id,
            "output_ResponseCode": code,
            "output_ResponseDesc": text,
            "output_ThirdPartyReference": third_party_reference,
            "output_TransactionID": transaction_id,
        },
        status,
    )


def _new_transaction_id() -> str:
    letters = string.ascii_lowercase + string.digits
    return "".join(secrets.choice(letters) for _ in range(12))
