"""Calin: an STS meter. ``POST /tokennew`` turns kWh, to one decimal, into twenty digits.

It knows no id of ours and can be asked nothing afterwards: asked twice, it issues twice.
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
)
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import TEXT, Unacceptable, just, number, read_object
from infra.local.vendors.digits import Digits

UNKNOWN_METER_PREFIX = "00000"
"""Meters whose serial begins so are not registered with the vendor."""

_FIELDS = {
    "user_id": TEXT,
    "password": TEXT,
    "meter_id": TEXT,
    "token_type": just("CreditToken"),
    "amount": number(decimals=1),
}


class Calin:
    """The vendor's server, as documented."""

    key = "calin"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._tokens = Digits(20)
        self.rotate(settings)

    def rotate(self, settings: Settings) -> None:
        """See :class:`~infra.local.fakes.fake.Rotating`."""
        self._credentials = (settings["user_id"], settings["password"])

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. What cannot be read is HTTP 4xx."""
        if (request.path, request.query) != ("/tokennew", {}):
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _FIELDS)
        except Unacceptable as error:
            return failed(1, str(error), error.status)
        if (fields["user_id"], fields["password"]) != self._credentials:
            return failed("02", "authentication failed")
        order = Order(fields["meter_id"], {**fields, "amount": str(fields["amount"])})
        if order.subject.startswith(UNKNOWN_METER_PREFIX):
            return self.refusal(order)
        return order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        token = self._tokens.next()
        return Done(Answer.of({"result_code": 0, "reason": "OK", "result": token}), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return failed(3, f"meter {order.subject} not found")


def failed(code: int | str, reason: str, status: int = 200) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"result_code": code, "reason": reason}, status)
