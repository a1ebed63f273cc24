"""Calin: an STS meter. ``POST /tokennew`` turns kWh, to one decimal, into twenty digits.

It knows no id of ours and can be asked nothing afterwards: asked twice, it issues twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from infra.local.vendors.vendor import Answer, Digits, Order, Request, VendorSettings

UNKNOWN_METER_PREFIX = "00000"
"""Meters whose serial begins so are not registered with the vendor."""

_FIELDS = {"user_id", "password", "meter_id", "token_type", "amount"}


class Calin:
    """The vendor's server, as documented."""

    key = "calin"

    def __init__(self, settings: VendorSettings) -> None:
        self._credentials = (settings["user_id"], settings["password"])
        self._tokens = Digits(20)

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~.vendor.Vendor`. What cannot be read at all is answered with HTTP 4xx."""
        if request.path != "/tokennew":
            return Answer(404, b"not found", "text/plain")
        if request.method != "POST":
            return Answer(405, b"method not allowed", "text/plain")
        if not _is_json(request.headers.get("content-type", "")):
            return Answer(415, b"application/json;charset=utf-8 expected", "text/plain")
        try:
            fields = json.loads(request.body.decode("utf-8"), parse_float=Decimal)
        except ValueError:
            return _failed(1, "the body is not JSON", status=400)
        problem = _problem(fields)
        if problem:
            return _failed(1, problem, status=400)
        if (fields["user_id"], fields["password"]) != self._credentials:
            return _failed("02", "authentication failed")
        order = Order(fields["meter_id"], {**fields, "amount": str(fields["amount"])})
        if order.serial_number.startswith(UNKNOWN_METER_PREFIX):
            return self.refusal(order)
        return order

    def issue(self, order: Order) -> tuple[str, Answer]:
        """See :class:`~.vendor.Vendor`."""
        token = self._tokens.next()
        return token, Answer.of({"result_code": 0, "reason": "OK", "result": token})

    def refusal(self, order: Order) -> Answer:
        """See :class:`~.vendor.Vendor`."""
        return _failed(3, f"meter {order.serial_number} not found")


def _is_json(content_type: str) -> bool:
    kind, _, parameters = content_type.lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    return kind.strip() == "application/json" and charset in ("", "charset=utf-8")


def _problem(fields: Any) -> str | None:
    """What is wrong with the fields of a request, if anything."""
    if not isinstance(fields, Mapping) or set(fields) != _FIELDS:
        return f"exactly these fields are expected: {', '.join(sorted(_FIELDS))}"
    for name in _FIELDS - {"amount"}:
        if not isinstance(fields[name], str) or not fields[name]:
            return f"{name} must be a text"
    if fields["token_type"] != "CreditToken":
        return "token_type must be CreditToken"
    return _problem_of_amount(fields["amount"])


def _problem_of_amount(amount: Any) -> str | None:
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal):
        return "amount must be a number"
    if not Decimal(amount).is_finite() or amount <= 0:
        return "amount must be above zero"
    if Decimal(amount) * 10 % 1:
        return "amount must have one decimal at most"
    return None


def _failed(code: int | str, reason: str, status: int = 200) -> Answer:
    return Answer.of({"result_code": code, "reason": reason}, status)
