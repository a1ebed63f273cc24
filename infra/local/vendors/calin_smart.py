"""Calin's head-end for smart STS meters: it sells as Calin does, and can be asked what it sold.

``POST /POS_Purchase/`` turns kWh into twenty digits; asked twice, it issues twice. ``POST
/POS_PurchaseHistory`` tells a meter's purchases, newest first. The vendor documents that the
history exists, not how its answer looks: that shape is an assumption. The maintenance calls bring
tokens that clear a meter's credit or its tamper alarm; that the second is asked for like the first
is an assumption.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

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
from infra.local.fakes.reading import (
    TEXT,
    TEXT_OR_EMPTY,
    Fields,
    Unacceptable,
    just,
    number,
    read_object,
)
from infra.local.vendors.calin import UNKNOWN_METER_PREFIX, failed
from infra.local.vendors.digits import Digits

_CREDENTIALS: Fields = {"company_name": TEXT, "user_name": TEXT, "password": TEXT}
_PURCHASE: Fields = {
    **_CREDENTIALS,
    "password_vend": TEXT,
    "meter_number": TEXT,
    "is_vend_by_unit": just(True),
    "amount": number(decimals=3),
}
_HISTORY: Fields = {
    **_CREDENTIALS,
    "customer_number": TEXT_OR_EMPTY,
    "customer_name": TEXT_OR_EMPTY,
    "meter_number": TEXT,
}


_MAINTENANCE: Fields = {**_CREDENTIALS, "meter_number": TEXT}
_FIELDS = {
    "/POS_Purchase/": _PURCHASE,
    "/POS_PurchaseHistory": _HISTORY,
    "/Maintenance_ClearCredit/": _MAINTENANCE,
    "/Maintenance_ClearTamper/": _MAINTENANCE,
}


class CalinSmart:
    """The vendor's server, as documented."""

    key = "calin_smart"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._tokens = Digits(20)
        self._purchases: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. What cannot be read is HTTP 4xx."""
        if request.path not in _FIELDS or request.query:
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _FIELDS[request.path])
        except Unacceptable as error:
            return failed(1, str(error), error.status)
        if any(
            value != self._settings[name]
            for name, value in fields.items()
            if name in (*_CREDENTIALS, "password_vend")
        ):
            return failed("02", "authentication failed")
        maintenance = "Maintenance" in request.path
        shown = {**fields, "call": request.path} if maintenance else _shown(fields)
        order = Order(fields["meter_number"], shown)
        if order.subject.startswith(UNKNOWN_METER_PREFIX):
            return self.refusal(order)
        return self._history(fields) if request.path == "/POS_PurchaseHistory" else order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        token = self._tokens.next()
        if "call" in order.request:
            return Done(Answer.of({"result_code": 0, "reason": "", "result": token}), token)
        purchase = {
            "token": token,
            "meter_number": order.subject,
            "total_unit": order.request["amount"],
            "create_date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        }
        with self._lock:
            self._purchases.append(purchase)
        result = {
            "token": token,
            "customer_number": "",
            "customer_name": _customer_name(order.subject),
            "meter_number": order.subject,
        }
        return Done(Answer.of({"result_code": 0, "reason": "", "result": result}), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return failed(3, f"meter {order.subject} not found")

    def _history(self, fields: dict[str, Any]) -> Answer:
        """The meter's purchases, if the customer is its customer or is not named."""
        meter_number = fields["meter_number"]
        is_customer = not fields["customer_number"] and fields["customer_name"] in (
            "",
            _customer_name(meter_number),
        )
        with self._lock:
            purchases = [
                purchase
                for purchase in reversed(self._purchases)
                if is_customer and purchase["meter_number"] == meter_number
            ]
        return Answer.of({"result_code": 0, "reason": "", "result": purchases})


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with the amount as a text: as it was sent, but without needless zeros."""
    if "amount" not in fields:
        return fields
    return {**fields, "amount": f"{Decimal(fields['amount']).normalize():f}"}


def _customer_name(meter_number: str) -> str:
    return f"Customer of {meter_number}"
