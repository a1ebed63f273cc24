"""GomeLong: an STS meter. ``POST /EKPower``, a form, turns kWh into twenty digits.

Its codes are the other way round than elsewhere: 0 is the failure. It knows no id of ours and can
be asked nothing afterwards: asked twice, it issues twice. ``/UTSearch``, ``/UTAdd`` and
``/UTUpdate`` keep tariffs; the form of a listed one is an assumption.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

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
from infra.local.fakes.reading import TEXT, Fields, Unacceptable, check, just, number, numeral
from infra.local.vendors.digits import Digits

UNKNOWN_METER_PREFIX = "00000"
"""Meters whose serial begins so are not registered with the vendor."""

_WHO = {"U": TEXT, "K": TEXT}
_TARIFF = {**_WHO, "type": just("e"), "VAT": TEXT, "Name": TEXT, "Price": numeral(decimals=3)}
_FORMS: dict[str, Fields] = {
    "/EKPower": {**_WHO, "meter": TEXT, "amt": TEXT},
    "/UTSearch": _WHO,
    "/UTAdd": _TARIFF,
    "/UTUpdate": {**_TARIFF, "FID": TEXT},
}
_AMOUNT = number(decimals=3)


class GomeLong:
    """The vendor's server, as far as its documentation is known."""

    key = "gomelong"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._credentials = (settings["user_id"], settings["password"])
        self._tokens = Digits(20)
        self._tariffs: list[dict[str, Any]] = []

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`. What cannot be read is HTTP 4xx."""
        if request.path not in _FORMS or request.query:
            return NOT_FOUND
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            form = _read_form(request)
        except Unacceptable as error:
            return failed(str(error), error.status)
        if (form["U"], form["K"]) != self._credentials:
            return failed("user or password is wrong")
        if request.path != "/EKPower":
            return self._tariff(request.path, form)
        order = Order(form["meter"], form)
        if order.subject.startswith(UNKNOWN_METER_PREFIX):
            return self.refusal(order)
        return order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`. The token is told in groups of four."""
        token = self._tokens.next()
        groups = " ".join(token[i : i + 4] for i in range(0, len(token), 4))
        return Done(succeeded({"Token": groups}), token)

    def _tariff(self, path: str, form: dict[str, str]) -> Answer:
        """List the tariffs, add one, or set one anew."""
        if path == "/UTSearch":
            return succeeded([dict(tariff) for tariff in self._tariffs])
        fields = {"Name": form["Name"], "Price": Decimal(form["Price"]), "VAT": form["VAT"]}
        if path == "/UTAdd":
            number = len(self._tariffs) + 1
            self._tariffs.append({"FID": number, **fields})
            return succeeded({"FID": number})
        known = [tariff for tariff in self._tariffs if str(tariff["FID"]) == form["FID"]]
        if not known:
            return failed("tariff not found")
        known[0].update(fields)
        return succeeded({"FID": known[0]["FID"]})

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return failed("meter not found")


def succeeded(data: Any) -> Answer:
    """A success, as this vendor tells it."""
    return Answer.of({"ReturnCode": 1, "ReturnMessage": "", "Data": data})


def failed(message: str, status: int = 200) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"ReturnCode": 0, "ReturnMessage": message, "Data": None}, status)


def _read_form(request: Request) -> dict[str, str]:
    """The form in the body: exactly the documented fields, each once.

    Raises:
        Unacceptable: see there.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Unacceptable("application/x-www-form-urlencoded expected", 415)
    try:
        pairs = parse_qsl(
            request.body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
        )
    except ValueError:
        raise Unacceptable("the body is not a form") from None
    if len(dict(pairs)) != len(pairs):
        raise Unacceptable("a name is repeated")
    form = check(dict(pairs), _FORMS[request.path])
    if "amt" not in form:
        return form
    try:
        amount = Decimal(form["amt"])
    except InvalidOperation:
        raise Unacceptable("amt must be a number") from None
    if not amount.is_finite() or not _AMOUNT.accepts(amount):
        raise Unacceptable(f"amt must be {_AMOUNT.must_be}")
    return form
