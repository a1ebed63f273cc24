"""Stron, its older API: an STS meter. ``POST /vending/`` turns money into twenty digits.

``POST /login/`` gives out the ``ApiToken`` that each vend has in its body; one that is wrong, or
has ended, is answered with nothing at all. The energy is the money by the price, both as asked. It
knows no id of ours and can be asked nothing afterwards: asked twice, it issues twice.

What no source establishes, and is only assumed here: what follows the first comma of the answer
(energy, then money), and how long an ``ApiToken`` is taken.
"""

from __future__ import annotations

from decimal import Decimal

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
from infra.local.fakes.reading import TEXT, Unacceptable, just, matching, number, read_object
from infra.local.vendors.digits import Digits
from infra.local.vendors.sessions import Sessions

UNKNOWN_METER_PREFIX = "00000"
"""Meters whose serial begins so are not registered with the vendor."""

LOG_IN_PATH = "/login/"
VEND_PATH = "/vending/"
SESSION_SECONDS = 3600
"""So long an ``ApiToken`` is taken."""

_LOG_IN = {"Username": TEXT, "Password": TEXT, "Companyname": TEXT}
_VEND = {
    "CustomerId": TEXT,
    "MeterId": TEXT,
    "Price": matching(r"(?=.*[1-9])[0-9]{1,9}(\.[0-9]{1,9})?", "a text: a price above zero"),
    "Rate": just("1"),
    "Amount": number(decimals=2),
    "AmountTmp": matching("[A-Z]{3}", "a currency of three letters"),
    "Company": TEXT,
    "Employee": TEXT,
    "ApiToken": TEXT,
}
SESSION_ENDED = Answer(200, b"")


class Stron:
    """The vendor's server, as far as its documentation is known."""

    key = "stron"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._company = settings["company_name"]
        self._user = settings["user_name"]
        self._password = settings["password"]
        self._sessions = Sessions()
        self._tokens = Digits(20)

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. What cannot be read is HTTP 4xx."""
        if request.path not in (LOG_IN_PATH, VEND_PATH) or request.query:
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            return self._log_in(request) if request.path == LOG_IN_PATH else self._vend(request)
        except Unacceptable as error:
            return failed(str(error), error.status)

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        token = self._tokens.next()
        amount = order.request["Amount"]
        energy = Decimal(amount) / Decimal(order.request["Price"])
        return Done(Answer.of(f"{token},{energy:.2f},{amount}"), token)

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return failed("meter not found")

    def _log_in(self, request: Request) -> Answer:
        """An ``ApiToken``, for who knows the password.

        Raises:
            Unacceptable: that is no log-in.
        """
        fields = read_object(request, _LOG_IN)
        login = (fields["Companyname"], fields["Username"], fields["Password"])
        if login != (self._company, self._user, self._password):
            return failed("user or password is wrong")
        return Answer.of(self._sessions.begin(SESSION_SECONDS))

    def _vend(self, request: Request) -> Order | Answer:
        """The vend in a body; what is shown of it is all but the ``ApiToken``.

        Raises:
            Unacceptable: it is none.
        """
        fields = read_object(request, _VEND)
        if not self._sessions.knows(fields.pop("ApiToken")):
            return SESSION_ENDED
        if (fields["Company"], fields["Employee"]) != (self._company, self._user):
            return failed("company or employee is wrong")
        order = Order(fields["MeterId"], {**fields, "Amount": str(fields["Amount"])})
        if order.subject.startswith(UNKNOWN_METER_PREFIX):
            return self.refusal(order)
        return order


def failed(message: str, status: int = 200) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"Message": message}, status)
