"""GomeLong, its newer API: an STS meter. A GET turns kWh into twenty digits.

Below ``/api/Power``: ``GetVendingToken`` sells, ``GetClearCreditToken`` and
``GetClearTamperSignToken`` make the tokens that a technician types in, ``GetContractInfo`` only
tells. Who asks is in every query. A success has the code 200, a failure another one; that failures
come with HTTP 200 and the code 500, and what a contract's ``Data`` holds, are assumptions. It knows
no id of ours and can be asked nothing afterwards: asked twice, it issues twice.
"""

from __future__ import annotations

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
    Fields,
    Unacceptable,
    check,
    just,
    matching,
    numeral,
)
from infra.local.vendors.digits import Digits

UNKNOWN_METER_PREFIX = "00000"
"""Meters whose serial begins so are not registered with the vendor."""

_METER: Fields = {
    "UserId": TEXT,
    "Password": TEXT,
    "MeterType": just("1"),
    "MeterCode": matching(r".{1,13}", "a text of 13 characters at most"),
}
_VENDING: Fields = {**_METER, "AmountOrQuantity": numeral(decimals=3), "VendingType": just("1")}
_PARAMETERS = {
    "/api/Power/GetVendingToken": _VENDING,
    "/api/Power/GetClearCreditToken": _METER,
    "/api/Power/GetClearTamperSignToken": _METER,
    "/api/Power/GetContractInfo": _METER,
}


class GomeLongV1:
    """The vendor's server, as far as its documentation is known."""

    key = "gomelong_v1"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._credentials = (settings["user_id"], settings["password"])
        self._tokens = Digits(20)

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. What cannot be read is HTTP 4xx."""
        if request.path not in _PARAMETERS:
            return NOT_FOUND
        if request.method != "GET":
            return METHOD_NOT_ALLOWED
        try:
            asked = check(request.query, _PARAMETERS[request.path])
        except Unacceptable as error:
            return failed(str(error), error.status)
        if (asked["UserId"], asked["Password"]) != self._credentials:
            return failed("user or password is wrong")
        order = _order(request.path, asked)
        if order.subject.startswith(UNKNOWN_METER_PREFIX):
            return self.refusal(order)
        if request.path == "/api/Power/GetContractInfo":
            return succeeded({"MeterCode": order.subject})
        return order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`. The token is told in groups of four."""
        token = self._tokens.next()
        groups = " ".join(token[i : i + 4] for i in range(0, len(token), 4))
        return Done(succeeded({"Token": groups}), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return failed("meter not found")


def succeeded(data: dict[str, str]) -> Answer:
    """A success, as this vendor tells it."""
    return Answer.of({"Code": 200, "Message": "", "Data": data})


def failed(message: str, status: int = 200) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"Code": 500, "Message": message, "Data": None}, status)


def _order(path: str, asked: dict[str, Any]) -> Order:
    """What was asked for, under the name of the call and without the credentials."""
    shown = {name: asked[name] for name in asked if name not in ("UserId", "Password")}
    return Order(asked["MeterCode"], {"call": path.rpartition("/")[2], **shown})
