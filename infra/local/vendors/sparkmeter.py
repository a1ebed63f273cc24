"""SparkMeter: a smart meter that is topped up from afar, with money; there is no token.

Two servers of the vendor on one port: that of a site (ThunderCloud, below ``/site``) takes
transactions and tells what became of one; Koios (below ``/koios``) searches those of all sites.
``external_id`` is kept and told, and nothing else: the same one twice is two transactions.

The vendor does not know serial numbers, only its own customers. So a top-up is listed, and a fault
is narrowed, by the ``customer_id``, where other vendors have the serial number. A transaction is
processed when it is first looked at, unless the fault ``pending`` is in force.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

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
    MOMENT,
    OBJECT,
    TEXT,
    Field,
    Unacceptable,
    check,
    just,
    matching,
    moment_of,
    read_object,
)

UNKNOWN_CUSTOMER_PREFIX = "00000000"
"""Customers whose id begins so are not known at the site."""

TRANSACTIONS_PER_PAGE = 100
"""So many a search tells at once; a cursor leads to the next ones."""

_TRANSACTION_PATH = "/site/api/v0/transaction/"
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TRANSACTION = {
    "customer_id": matching(_UUID, "a UUID"),
    "amount": matching(
        r"(?=.*[1-9])(0|[1-9][0-9]{0,11})(\.[0-9]{1,2})?",
        "a text: an amount above zero with two decimals at most",
    ),
    "source": just("cash"),
    "external_id": TEXT,
}
_RESET_PATH = re.compile(rf"/site/api/v0/customers/(?P<customer>{_UUID})/reset-meter")
_SEARCH = {
    "filters": OBJECT,
    "cursor": Field("null or a text", lambda value: isinstance(value, str | None)),
}
_FILTERS = {
    "entity_types": Field('["transactions"]', lambda value: value == ["transactions"]),
    "date_range": OBJECT,
}
_DATE_RANGE = {"from": MOMENT}


@dataclass
class _Transaction:
    """One top-up. ``amount`` is a text in major units."""

    customer_id: str
    amount: str
    source: str
    external_id: str
    transaction_id: str = field(default_factory=lambda: str(uuid4()))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_processed: bool = False


class SparkMeter:
    """The vendor's servers, as documented."""

    key = "sparkmeter"
    own_faults = frozenset({Fault.PENDING})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings
        self._faults = faults
        self._transactions: list[_Transaction] = []
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        organization = self._settings["organization_id"]
        if request.query:
            return NOT_FOUND
        reset = _RESET_PATH.fullmatch(request.path)
        if reset is not None:
            return self._read_reset(request, reset["customer"])
        if request.path.startswith(_TRANSACTION_PATH):
            return self._read_at_site(request)
        if request.path == f"/koios/organizations/{organization}/data/historical":
            return self._search(request)
        return NOT_FOUND

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if "call" in order.request:
            return Done(Answer.of({"error": False, "status": "success"}))
        transaction = _Transaction(**order.request)
        with self._lock:
            self._transactions.append(transaction)
        return Done(
            Answer.of(
                {
                    "error": False,
                    "transaction_id": transaction.transaction_id,
                    "status": "success",
                }
            )
        )

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return _failed("customer not found", 200)

    def _read_reset(self, request: Request, customer_id: str) -> Order | Answer:
        """The reset of a customer's meter; that it wants an empty object is an assumption."""
        if request.headers.get("authentication-token") != self._settings["token"]:
            return _failed("unauthorized", 401)
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            read_object(request, {})
        except Unacceptable as error:
            return _failed(str(error), error.status)
        order = Order(customer_id, {"call": "reset-meter"})
        return self.refusal(order) if customer_id.startswith(UNKNOWN_CUSTOMER_PREFIX) else order

    def _read_at_site(self, request: Request) -> Order | Answer:
        if request.headers.get("authentication-token") != self._settings["token"]:
            return _failed("unauthorized", 401)
        transaction_id = request.path.removeprefix(_TRANSACTION_PATH)
        if transaction_id:
            return self._tell(transaction_id) if request.method == "GET" else METHOD_NOT_ALLOWED
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _TRANSACTION)
        except Unacceptable as error:
            return _failed(str(error), error.status)
        order = Order(fields["customer_id"], fields)
        if order.subject.startswith(UNKNOWN_CUSTOMER_PREFIX):
            return self.refusal(order)
        return order

    def _tell(self, transaction_id: str) -> Answer:
        with self._lock:
            known = {found.transaction_id: found for found in self._transactions}
        found = known.get(transaction_id)
        if found is None:
            return _failed("transaction not found", 404)
        return Answer.of(
            {
                "transaction": {
                    "status": self._status(found),
                    "external_id": found.external_id,
                    "source": found.source,
                    "created": timestamp(found.created),
                    "amount": _two_decimals(found.amount),
                }
            }
        )

    def _search(self, request: Request) -> Answer:
        keys = (request.headers.get("x-api-key"), request.headers.get("x-api-secret"))
        if keys != (self._settings["api_key"], self._settings["api_secret"]):
            return _koios_failed("unauthorized", 401)
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _SEARCH)
            filters = check(fields["filters"], _FILTERS, "filters")
            since = moment_of(check(filters["date_range"], _DATE_RANGE, "date_range")["from"])
            first = _place(fields["cursor"])
        except Unacceptable as error:
            return _koios_failed(str(error), error.status)
        with self._lock:
            found = [made for made in self._transactions if since and made.created >= since]
        last = first + TRANSACTIONS_PER_PAGE
        page = found[first:last]
        return Answer.of(
            {
                "results": [self._result(transaction) for transaction in page],
                "cursor": f"after-{last}" if last < len(found) else None,
                "count": len(page),
            }
        )

    def _result(self, transaction: _Transaction) -> dict[str, Any]:
        return {
            "type": "transaction",
            "site": "site",
            "to": {"customer": {"id": transaction.customer_id}},
            "transaction_id": transaction.transaction_id,
            "state": self._status(transaction),
            "external_id": transaction.external_id,
            "reference_id": None,
            "created": timestamp(transaction.created),
            "amount": _two_decimals(transaction.amount),
        }

    def _status(self, transaction: _Transaction) -> str:
        """What a look shows. One that was shown as processed stays so."""
        if not transaction.is_processed and self._faults.take(
            self.key, transaction.customer_id, self.own_faults
        ):
            return "pending"
        transaction.is_processed = True
        return "processed"


def _place(cursor: str | None) -> int:
    """Where the page of a cursor begins.

    Raises:
        Unacceptable: no search has given it.
    """
    if cursor is None:
        return 0
    place = cursor.removeprefix("after-")
    if not place.isdecimal() or f"after-{place}" != cursor or len(place) > 9:
        raise Unacceptable("cursor must be one that was given")
    return int(place)


def _two_decimals(amount: str) -> str:
    return f"{Decimal(amount):.2f}"


def _failed(error: str, status: int) -> Answer:
    """An error, as a site tells it."""
    return Answer.of({"error": error, "status": "failure"}, status)


def _koios_failed(details: str, status: int) -> Answer:
    """An error, as Koios tells it."""
    return Answer.of({"errors": [{"title": "failure", "details": details}]}, status)
