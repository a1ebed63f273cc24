"""Airtel Tanzania's first gateway: it tells of payments, in XML, and takes them back.

A customer pays to the business number and types a reference. The money is the company's then, and
the gateway posts ``COMMAND{APIUser, APIPassword, INTERFACEID, BusinessNumber, TransID, Amount,
ReferenceField, Msisdn, TRID}``. A payment that the company does not want is given back: it posts
``COMMAND{TYPE ROLLBACK, TXNID, TRID, MESSAGE}`` to the gateway (``POST /``), where ``TXNID`` is the
payment's ``TransID`` and ``TRID`` an id of its own. Amounts are whole units of the currency; phone
numbers are without their country's code.

Nobody pays here: a test, or a person with curl, has it done through the control address
(``airtel_tz/pay``).

Assumptions, to be confirmed with the vendor:

- a rollback is answered with HTTP 200 and ``COMMAND{TYPE ROLLBACK, TXNSTATUS, TXNID, TRID,
  MESSAGE}``, where ``TXNSTATUS`` is one of :class:`Status`;
- a payment is given back once, in full.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict  # type: ignore[import-untyped]

from infra.local.fakes.controls import TELLING, as_told, control, tell
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

PAYER = "784000001"
"""Who pays, where nothing else is said."""

_XML = "text/xml; charset=utf-8"


class Status(IntEnum):
    """What the gateway says to a rollback."""

    DONE = 200
    UNREADABLE = 400
    REFUSED = 403
    UNKNOWN = 404
    REPEATED = 409


_MESSAGES = {
    Status.DONE: "Rolled back",
    Status.REFUSED: "Not allowed",
    Status.UNKNOWN: "Unknown transaction",
    Status.REPEATED: "Rolled back before",
}

_ROLLBACK: Fields = {"TYPE": just("ROLLBACK"), "TXNID": TEXT, "TRID": TEXT, "MESSAGE": TEXT}
_PAY: Fields = {
    "serial_number": TEXT,
    "amount": Field(
        "a whole number above zero, or the same as a text",
        lambda value: (
            type(value) in (int, str) and bool(re.fullmatch("[1-9][0-9]{0,8}", str(value)))
        ),
    ),
    "trans_id": optional(TEXT),
    "msisdn": optional(matching("[0-9]{9}", "nine digits, without the country's code")),
    "times": TELLING["times"],
}


@dataclass
class _Payment:
    """Money that a customer paid, and that was rolled back or not."""

    serial_number: str
    amount: str
    trans_id: str
    msisdn: str
    tr_id: str = field(default_factory=lambda: str(secrets.randbelow(10**9)))
    rolled_back_at: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)


class AirtelTz:
    """The gateway.

    Settings: what :func:`made_up` gives, and ``payment_url``, where the company wants to be told.
    """

    key = "airtel_tz"
    paths: Mapping[str, str] = {"payment_url": "/payments/airtel_tz/{path_secret}"}
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._payments: list[_Payment] = []
        self._lock = threading.RLock()

    # --- what the company posts -------------------------------------------------------------

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path != "/":
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            rollback = _read_rollback(request)
        except Unacceptable as error:
            return _answer(Status.UNREADABLE, {}, str(error))
        with self._lock:
            status = self._status(rollback["TXNID"])
        if status is not Status.DONE:
            return _answer(status, rollback)
        return Order(rollback["TXNID"], rollback, is_vend=False)

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        with self._lock:
            status = self._status(order.subject)
            payment = self._find(order.subject)
            if payment and status is Status.DONE:
                payment.rolled_back_at = timestamp()
                payment.request = order.request
        return Done(_answer(status, order.request))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return _answer(Status.REFUSED, order.request)

    def _status(self, trans_id: str) -> Status:
        """What there is to say to a rollback of that payment."""
        payment = self._find(trans_id)
        if payment is None:
            return Status.UNKNOWN
        return Status.REPEATED if payment.rolled_back_at else Status.DONE

    # --- what is had done at the provider's side --------------------------------------------

    def refunds(self) -> list[dict[str, Any]]:
        """See :class:`~infra.local.fakes.fake.Provider`: the payments that were rolled back."""
        with self._lock:
            gone = [payment for payment in self._payments if payment.rolled_back_at]
            return [
                {
                    "at": payment.rolled_back_at,
                    "refund_id": payment.request["TRID"],
                    "reference": payment.trans_id,
                    "amount": payment.amount,
                    "status": "rolled back",
                    "request": payment.request,
                }
                for payment in sorted(gone, key=lambda payment: payment.rolled_back_at or "")
            ]

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: a customer pays, and the company is told: of the same payment again, where
        ``trans_id`` names one that there is. Its answer has ``said``: what the company's answer
        says, if it is XML.
        """
        return {"pay": control(_PAY, self._pay)}

    def _pay(self, fields: Mapping[str, Any]) -> Answer:
        trans_id = fields.get("trans_id", _trans_id())
        with self._lock:
            known = self._find(trans_id)
            told = _Payment(
                fields["serial_number"],
                str(fields["amount"]),
                trans_id,
                fields.get("msisdn", PAYER),
            )
            if known:
                told.tr_id = known.tr_id
            else:
                self._payments.append(told)
        said = tell(
            self._settings["payment_url"],
            self._message(told),
            {"Content-Type": _XML},
            fields.get("times", 1),
        )
        return as_told({"trans_id": trans_id, "said": _flat(said["webhook_answer"]), **said})

    def _message(self, payment: _Payment) -> bytes:
        """What is posted of a payment."""
        return _xml(
            {
                "APIUser": self._settings["user"],
                "APIPassword": self._settings["password"],
                "INTERFACEID": self._settings["interface_id"],
                "BusinessNumber": self._settings["business_number"],
                "TransID": payment.trans_id,
                "Amount": payment.amount,
                "ReferenceField": payment.serial_number,
                "Msisdn": payment.msisdn,
                "TRID": payment.tr_id,
            }
        )

    def _find(self, trans_id: str) -> _Payment | None:
        for payment in self._payments:
            if payment.trans_id == trans_id:
                return payment
        return None


def made_up() -> dict[str, str]:
    """What the provider gives to a company, made up."""
    return {
        "user": f"mwanga{secrets.randbelow(10_000):04}",
        "password": secrets.token_urlsafe(18),
        "business_number": "555",
        "interface_id": f"MWANGA{secrets.randbelow(10_000):04}",
        "path_secret": secrets.token_hex(16),
        "currency": "KES",
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret, from what was given to the company."""
    return {
        "users": {given["user"]: [given["password"]]},
        "business_number": given["business_number"],
        "path_secrets": [given["path_secret"]],
        "addresses": ["127.0.0.1"],
        "currency": given["currency"],
        "rollback_url": f"{base_url}/",
    }


def _read_rollback(request: Request) -> dict[str, Any]:
    """A rollback.

    Raises:
        Unacceptable: it is not as documented.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/xml":
        raise Unacceptable("text/xml expected")
    try:
        root = xmltodict.parse(request.body)
    except (ExpatError, ValueError):
        raise Unacceptable("the body is not XML") from None
    return check(check(root, {"COMMAND": OBJECT})["COMMAND"], _ROLLBACK, "COMMAND")


def _answer(status: Status, rollback: Mapping[str, str], text: str | None = None) -> Answer:
    """An answer to a rollback, whose ids are told back."""
    content = {
        "TYPE": "ROLLBACK",
        "TXNSTATUS": str(int(status)),
        "TXNID": rollback.get("TXNID", ""),
        "TRID": rollback.get("TRID", ""),
        "MESSAGE": text or _MESSAGES[status],
    }
    return Answer(200, _xml(content), _XML)


def _xml(content: Mapping[str, str]) -> bytes:
    text: str = xmltodict.unparse({"COMMAND": content})
    return text.encode()


def _flat(text: str) -> dict[str, Any]:
    """The elements of the company's answer; none, where it cannot be read."""
    try:
        (content,) = xmltodict.parse(text.encode()).values()
    except (ExpatError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _trans_id() -> str:
    """An id as Airtel's are, made up."""
    day, minute, number = (secrets.randbelow(10**digits) for digits in (6, 4, 5))
    return f"MP{day:06}.{minute:04}.A{number:05}"
