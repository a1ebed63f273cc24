"""Chint: an STS meter. SOAP 1.1; ``Transaction`` turns money into kWh and twenty digits.

``Validation`` asks about a meter and sells nothing. Who asks is in the SOAP header, with a password
that changes every day; each call is signed, with a signature that changes every 40 seconds. The
current window is taken, and the one before it, as no two clocks are the same.

What the vendor answers is known by name only. Assumptions of this fake, to be confirmed with the
vendor before anything relies on them:

- the ``Result`` of a success is ``0``, with an empty ``Reason``; each failure has another number
  (:class:`Result`) and says its reason;
- ``Signature`` is made up: how the vendor signs its answers is not known;
- a ``TID`` that was used before answers the same sale again, and is refused for another one;
- a meter whose serial begins with ``9`` needs a change of keys with every sale: two tokens to be
  typed in before the third. For all others ``Key1Token`` and ``Key2Token`` are empty;
- a call that cannot be understood is a SOAP fault, HTTP 500, as SOAP 1.1 has it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml.ElementTree import fromstring

from infra.local.fakes.fake import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Answer,
    Done,
    Order,
    Request,
    Settings,
)
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import TEXT, Fields, Unacceptable, check, matching
from infra.local.vendors.digits import Digits

UNKNOWN_METER_PREFIX = "00000"
"""Meters whose serial begins so are not registered with the vendor."""
KEY_CHANGE_PREFIX = "9"
"""Meters whose serial begins so need new keys before the token."""

PATH = "/jianpanbiaoEnglish/PrepaidWebService.asmx"
NAMESPACE = "http://jianpanbiaoEnglish/PrepaidWebService"
_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_XML = "text/xml; charset=utf-8"

PRICE = Decimal(120)
"""The vendor's price of a kWh."""
MINIMUM, MAXIMUM = Decimal(1), Decimal(1_000_000)
"""The amounts of money that the vendor sells for."""

_WINDOW = timedelta(seconds=40)
_AMOUNT = matching(r"[0-9]{1,9}\.[0-9]{4}", "an amount with four decimals")
_LOG_IN: Fields = {"UserName": TEXT, "PassWord": TEXT}
_SIGNED: dict[str, Fields] = {
    "Validation": {"CustomerID": TEXT},
    "Transaction": {"TID": TEXT, "CustomerID": TEXT, "Amount": _AMOUNT},
}
"""What each call is about, in the order in which it is signed."""

_ANSWERED = {
    "Validation": (
        "CustomerName",
        "MeterNo",
        "LeftPayTimes",
        "ChangeAmount",
        "MinPaymentAmount",
        "MaxPaymentAmount",
        "TariffPrice",
    ),
    "Transaction": (
        "Key1Token",
        "Key2Token",
        "RechargeToken",
        "Energy",
        "FeeAmount",
        "ChangeAmount",
    ),
}
"""What an answer to each call tells beside its result."""


class Result(StrEnum):
    """The results that this fake knows."""

    SUCCESS = "0"
    WRONG_LOG_IN = "1"
    WRONG_SIGNATURE = "2"
    UNKNOWN_CUSTOMER = "3"
    AMOUNT_OUT_OF_RANGE = "4"
    TID_USED = "5"


_REASONS = {
    Result.SUCCESS: "",
    Result.WRONG_LOG_IN: "user name or password is wrong",
    Result.WRONG_SIGNATURE: "signature is wrong",
    Result.UNKNOWN_CUSTOMER: "customer not found",
    Result.AMOUNT_OUT_OF_RANGE: "amount is out of range",
    Result.TID_USED: "TID was used for another sale",
}


@dataclass(frozen=True)
class _Call:
    operation: str
    log_in: Mapping[str, str]
    signed: Mapping[str, str]
    signature: str


@dataclass(frozen=True)
class _Sale:
    sold: Mapping[str, str]
    told: Mapping[str, str]


class Chint:
    """The vendor's server, as far as its documentation is known."""

    key = "chint"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(
        self,
        settings: Settings,
        faults: Faults,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._user_name = settings["user_name"]
        self._password = settings["password"]
        self._now = now
        self._tokens = Digits(20)
        self._sales: dict[str, _Sale] = {}
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. What cannot be read is a SOAP fault."""
        if (request.path, request.query) != (PATH, {}):
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            call = _call_in(request)
        except Unacceptable as error:
            return fault(str(error), 415 if error.status == 415 else 500)
        result = self._judge(call)
        if result is not Result.SUCCESS:
            return answer_of(call.operation, result)
        if call.operation == "Validation":
            return answer_of(call.operation, result, _standing(call.signed["CustomerID"]))
        is_repeated = self._sale_of(call.signed) is not None
        return Order(call.signed["CustomerID"], call.signed, is_vend=not is_repeated)

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        with self._lock:
            tid = order.request["TID"]
            if tid not in self._sales:
                self._sales[tid] = _Sale(order.request, self._sell(order))
            told = self._sales[tid].told
        return Done(answer_of("Transaction", Result.SUCCESS, told), told["RechargeToken"])

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return answer_of("Transaction", Result.UNKNOWN_CUSTOMER)

    def _judge(self, call: _Call) -> Result:
        """Whether the call is taken."""
        moments = (self._now(), self._now() - _WINDOW)
        log_ins = [
            {"UserName": self._user_name, "PassWord": password_on(moment, self._password)}
            for moment in moments
        ]
        if call.log_in not in log_ins:
            return Result.WRONG_LOG_IN
        if call.signature not in [
            signature_at(moment, *call.signed.values()) for moment in moments
        ]:
            return Result.WRONG_SIGNATURE
        if call.signed["CustomerID"].startswith(UNKNOWN_METER_PREFIX):
            return Result.UNKNOWN_CUSTOMER
        if not MINIMUM <= Decimal(call.signed.get("Amount", MINIMUM)) <= MAXIMUM:
            return Result.AMOUNT_OUT_OF_RANGE
        sale = self._sale_of(call.signed)
        return Result.TID_USED if sale and sale.sold != call.signed else Result.SUCCESS

    def _sale_of(self, signed: Mapping[str, str]) -> _Sale | None:
        """What was sold before under the TID of a call."""
        with self._lock:
            return self._sales.get(signed.get("TID", ""))

    def _sell(self, order: Order) -> dict[str, str]:
        changes_keys = order.subject.startswith(KEY_CHANGE_PREFIX)
        energy = Decimal(order.request["Amount"]) / PRICE
        return {
            "Key1Token": self._tokens.next() if changes_keys else "",
            "Key2Token": self._tokens.next() if changes_keys else "",
            "RechargeToken": self._tokens.next(),
            "Energy": str(energy.quantize(Decimal("0.01"), ROUND_DOWN)),
            "FeeAmount": "0",
            "ChangeAmount": "0",
        }


def password_on(moment: datetime, password: str) -> str:
    """What the SOAP header has to show on that day, in UTC."""
    return _md5(f"{moment:%Y%m%d}Chint{password}")


def signature_at(moment: datetime, *signed: str) -> str:
    """The signature of what a call is about, in the window that has that moment, in UTC."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    begun = (moment - midnight) // _WINDOW * 40
    return _md5("".join(f"{text};" for text in ("Chint", *signed, begun)))


def answer_of(operation: str, result: Result, told: Mapping[str, str] | None = None) -> Answer:
    """An answer, as this vendor gives it; where nothing is told, the elements are empty."""
    fields = {
        "Signature": "made up",
        "Result": str(result),
        "Reason": _REASONS[result],
        **dict.fromkeys(_ANSWERED[operation], ""),
        **(told or {}),
    }
    content = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
    return _enveloped(
        f'<{operation}Response xmlns="{NAMESPACE}"><{operation}Result>{content}'
        f"</{operation}Result></{operation}Response>",
        200,
    )


def fault(text: str, status: int) -> Answer:
    """A SOAP fault: the call was not understood."""
    return _enveloped(
        f"<soap:Fault><faultcode>soap:Client</faultcode><faultstring>{escape(text)}</faultstring>"
        "</soap:Fault>",
        status,
    )


def _enveloped(content: str, status: int) -> Answer:
    body = (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<soap:Envelope xmlns:soap="{_SOAP}"><soap:Body>{content}</soap:Body></soap:Envelope>'
    )
    return Answer(status, body.encode(), _XML)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()


def _standing(customer: str) -> dict[str, str]:
    """What a Validation tells of a customer."""
    return {
        "CustomerName": "A customer",
        "MeterNo": customer,
        "LeftPayTimes": "0",
        "ChangeAmount": "0",
        "MinPaymentAmount": f"{MINIMUM:.4f}",
        "MaxPaymentAmount": f"{MAXIMUM:.4f}",
        "TariffPrice": f"{PRICE:.4f}",
    }


def _call_in(request: Request) -> _Call:
    """The call in the body: a documented one, with exactly its parameters.

    Raises:
        Unacceptable: see there.
    """
    header, body = _parts_of(_xml_in(request))
    if _name_of(header) != "PrepaidSoapHeader":
        raise Unacceptable("PrepaidSoapHeader expected")
    operation = _name_of(body)
    if operation not in _SIGNED:
        raise Unacceptable(f"{operation} is not known")
    fields = check(_texts_in(body), {**_SIGNED[operation], "ParaSignature": TEXT}, operation)
    return _Call(
        operation,
        check(_texts_in(header), _LOG_IN, "PrepaidSoapHeader"),
        {name: fields[name] for name in _SIGNED[operation]},
        fields["ParaSignature"],
    )


def _xml_in(request: Request) -> Element:
    kind, _, charset = request.headers.get("content-type", "").lower().partition(";")
    if kind.strip() != "text/xml" or charset.replace('"', "").strip() not in ("", "charset=utf-8"):
        raise Unacceptable(f"{_XML} expected", 415)
    try:
        envelope: Element = fromstring(request.body, forbid_dtd=True)
    except (ParseError, ValueError, LookupError):
        raise Unacceptable("the body is not XML") from None
    return envelope


def _parts_of(envelope: Element) -> tuple[Element, Element]:
    """What is in the header, and what is in the body."""
    tags = [envelope.tag, *(part.tag for part in envelope)]
    if tags != [f"{{{_SOAP}}}{name}" for name in ("Envelope", "Header", "Body")]:
        raise Unacceptable("an envelope with a header and a body expected")
    header, body = envelope
    if len(header) != 1 or len(body) != 1:
        raise Unacceptable("one element in the header and one in the body expected")
    return header[0], body[0]


def _texts_in(element: Element) -> dict[str, Any]:
    """The texts of the elements in it, by their names."""
    texts = {_name_of(child): child.text or "" for child in element}
    if len(texts) != len(element) or any(len(child) or child.attrib for child in element):
        raise Unacceptable(f"texts in {_name_of(element)} expected, each once")
    return texts


def _name_of(element: Element) -> str:
    """Its name, which must be in the vendor's namespace."""
    namespace, _, name = element.tag.rpartition("}")
    if namespace != f"{{{NAMESPACE}":
        raise Unacceptable(f"{element.tag} is not of {NAMESPACE}")
    return name
