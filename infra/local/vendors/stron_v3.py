"""Stron, its newer API: an STS meter. ``POST /VendingMeter`` turns kWh into twenty digits.

Who asks is in every body. The answer is a list with the sale in it; an empty list is its no,
whatever the reason. It knows no id of ours: asked twice, it issues twice. The maintenance calls
bring tokens that clear a meter's credit or its tamper alarm; that a token is all that they answer
is an assumption.
"""

from __future__ import annotations

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
from infra.local.fakes.reading import TEXT, TEXT_OR_EMPTY, Unacceptable, just, number, read_object
from infra.local.vendors.digits import Digits

UNKNOWN_METER_PREFIX = "00000"
"""Meters whose serial begins so are not registered with the vendor."""

_LOGIN = {"CompanyName": TEXT, "UserName": TEXT, "PassWord": TEXT}
_FIELDS = {
    **_LOGIN,
    "MeterID": TEXT,
    "is_vend_by_unit": just(True),
    "Amount": number(decimals=3),
}
_MAINTENANCE = {
    **_LOGIN,
    "METER_ID": TEXT,
    "CustomerId": TEXT_OR_EMPTY,
}
_MAINTENANCE_PATHS = ("/ClearCredit", "/ClearTamper")
NO_SALE = Answer.of([])


class StronV3:
    """The vendor's server, as far as its documentation is known."""

    key = "stron_v3"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._login = {
            "CompanyName": settings["company_name"],
            "UserName": settings["user_name"],
            "PassWord": settings["password"],
        }
        self._tokens = Digits(20)

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. What cannot be read is HTTP 4xx."""
        is_maintenance = request.path in _MAINTENANCE_PATHS
        if request.query or not (is_maintenance or request.path == "/VendingMeter"):
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _MAINTENANCE if is_maintenance else _FIELDS)
        except Unacceptable as error:
            return Answer.of({"Message": str(error)}, error.status)
        if {name: fields[name] for name in _LOGIN} != self._login:
            return NO_SALE
        if is_maintenance:
            order = Order(fields["METER_ID"], {**fields, "call": request.path})
        else:
            order = Order(fields["MeterID"], {**fields, "Amount": str(fields["Amount"])})
        if order.subject.startswith(UNKNOWN_METER_PREFIX):
            return self.refusal(order)
        return order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        token = self._tokens.next()
        if "call" in order.request:
            return Done(Answer.of(token), token)
        sale = {
            "Token": token,
            "Total_unit": order.request["Amount"],
            "Unit": "kWh",
            "Meter_id": order.subject,
            "Gen_time": timestamp(),
        }
        return Done(Answer.of([sale]), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return NO_SALE
