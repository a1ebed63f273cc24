"""MicroStar: an STS meter. ``GET /getStsVendingToken`` turns kWh into twenty digits.

Who asks is told by the certificate that the vendor gave to the company: without it there is no
connection, and in the request nothing names the company. It knows no id of ours and can be asked
nothing afterwards: asked twice, it issues twice.

``GET /deviceInfo`` sells nothing. That it exists is known, not how its answer looks: that shape is
an assumption.
"""

from __future__ import annotations

import ssl
from enum import IntEnum

from infra.local.fakes.certificates import server_context
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
from infra.local.fakes.reading import TEXT, Fields, Unacceptable, check, numeral
from infra.local.vendors.digits import Digits

UNKNOWN_METER_PREFIX = "00000"
"""Meters whose serial begins so are not registered with the vendor."""

VENDING_PATH = "/getStsVendingToken"
DEVICE_PATH = "/deviceInfo"

_PARAMETERS: dict[str, Fields] = {
    VENDING_PATH: {"deviceNo": TEXT, "rechargeAmount": numeral(decimals=3)},
    DEVICE_PATH: {"deviceNo": TEXT},
}


class Code(IntEnum):
    """What an answer's ``errorCode`` says."""

    SUCCESS = 1000
    PARAMETER = 1001
    NO_RESULT = 1003


class MicroStar:
    """The vendor's server, as far as its documentation is known."""

    key = "microstar"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._tokens = Digits(20)

    def tls(self) -> ssl.SSLContext:
        """See :class:`~infra.local.fakes.fake.OverTls`."""
        return server_context(self._settings)

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path not in _PARAMETERS:
            return NOT_FOUND
        if request.method != "GET":
            return METHOD_NOT_ALLOWED
        try:
            asked = check(request.query, _PARAMETERS[request.path])
        except Unacceptable:
            return answer_of(Code.PARAMETER)
        order = Order(asked["deviceNo"], asked)
        if order.subject.startswith(UNKNOWN_METER_PREFIX):
            return self.refusal(order)
        if request.path == DEVICE_PATH:
            return answer_of(Code.SUCCESS, deviceNo=order.subject)
        return order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        token = self._tokens.next()
        return Done(answer_of(Code.SUCCESS, token=token), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return answer_of(Code.NO_RESULT)


def answer_of(code: Code, **more: str) -> Answer:
    """An answer, as this vendor gives it: HTTP 200, whatever the code."""
    return Answer.of({"errorCode": code, **more})
