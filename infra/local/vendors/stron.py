"""Stron, its older API: an STS meter. ``POST /vending/`` turns money into twenty digits.

``POST /login/`` answers the token of a session, which then goes into the body of each vend. One
that is not good (any more) gets an empty answer, with HTTP 200. The kWh are the money by the price
that is sent; that a wrong log-in and an unknown meter are told as an object with a ``Message``, and
what follows the token, are assumptions. It knows no id of ours: asked twice, it issues twice.
"""

from __future__ import annotations

import secrets
import threading
import time
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
    Field,
    Unacceptable,
    just,
    matching,
    numeral,
    read_object,
)
from infra.local.vendors.digits import Digits

UNKNOWN_METER_PREFIX = "00000"
"""Meters whose serial begins so are not registered with the vendor."""
SESSION_SECONDS = 300
"""So long a session is taken."""

_LOG_IN = {"Username": TEXT, "Password": TEXT, "Companyname": TEXT}
_MONEY = Field(
    "an amount above zero",
    lambda value: type(value) in (int, Decimal) and 0 < value <= 10**9,
)
_VEND = {
    "CustomerId": TEXT,
    "MeterId": TEXT,
    "Price": numeral(decimals=3),
    "Rate": just("1"),
    "Amount": _MONEY,
    "AmountTmp": matching("[A-Z]{3}", "a currency"),
    "Company": TEXT,
    "Employee": TEXT,
    "ApiToken": TEXT,
}


class Stron:
    """The vendor's server, as far as its documentation is known."""

    key = "stron"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._tokens = Digits(20)
        self._sessions: dict[str, float] = {}
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. What cannot be read is HTTP 4xx."""
        fields_of = {"/login/": _LOG_IN, "/vending/": _VEND}
        if request.path not in fields_of or request.query:
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, fields_of[request.path])
        except Unacceptable as error:
            return failed(str(error), error.status)
        if request.path == "/login/":
            return self._log_in(fields)
        if not self._knows(fields.pop("ApiToken")):
            return Answer(200, b"")
        own = (self._settings["company_name"], self._settings["user_name"])
        if (fields["Company"], fields["Employee"]) != own:
            return failed("not your company")
        order = Order(fields["MeterId"], {**fields, "Amount": str(fields["Amount"])})
        if order.subject.startswith(UNKNOWN_METER_PREFIX):
            return self.refusal(order)
        return order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        token = self._tokens.next()
        kwh = Decimal(order.request["Amount"]) / Decimal(order.request["Price"])
        return Done(Answer.of(f"{token},{kwh:.2f},{order.subject}"), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return failed("meter not found")

    def _log_in(self, fields: dict[str, Any]) -> Answer:
        """A session, for who gives the company, its user and the password."""
        given = (fields["Companyname"], fields["Username"], fields["Password"])
        own = tuple(self._settings[name] for name in ("company_name", "user_name", "password"))
        if given != own:
            return failed("wrong user or password")
        session = secrets.token_hex(16)
        with self._lock:
            self._sessions[session] = time.monotonic() + SESSION_SECONDS
        return Answer.of(session)

    def _knows(self, session: str) -> bool:
        with self._lock:
            return time.monotonic() < self._sessions.get(session, 0)


def failed(message: str, status: int = 200) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"Message": message}, status)
