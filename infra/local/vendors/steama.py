"""SteamaCo: a smart meter that is topped up from afar, with money; there is no token.

``POST /get-token/`` gives out the secret that all else needs; it does not end. A top-up is a
transaction of a customer, and takes no id of ours: the same one twice is two transactions. All
transactions can be listed, and one can be looked at.

The vendor does not know serial numbers, only its own customers, by number. So a top-up is listed,
and a fault is narrowed, by the customer's number, where other vendors have the serial number.

Top-ups reach the site when they are first told, unless the fault ``pending`` is in force. The names
of the two states (``synchronization_status``) are not established by any source: ``pending`` and
``synchronized`` are made up here, so nothing may depend on them. Nor is it established whether
``created_after`` includes the moment itself (here it does), and how many a page tells.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

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
    TEXT,
    Unacceptable,
    check,
    just,
    matching,
    moment_of,
    number,
    optional,
    read_object,
)
from infra.local.vendors.sessions import Sessions

UNKNOWN_CUSTOMER_PREFIX = "99999"
"""Customers whose number begins so are not known."""

TRANSACTIONS_PER_PAGE = 100
"""So many the list tells at once; ``next`` leads to more."""

LOG_IN_PATH = "/get-token/"
_TRANSACTIONS_PATH = "/transactions/"
_SITE_ID = 12
_ID = "[1-9][0-9]{0,17}"
_TRANSACTION = re.compile(rf"/transactions/(?P<id>{_ID})/")
_CUSTOMER = re.compile(r"/customers/(?P<id>[^/]+)/(?P<transactions>transactions/)?")
_LOG_IN = {"username": TEXT, "password": TEXT}
_TOP_UP = {"amount": number(decimals=2), "category": just("PAY")}
_QUESTION = {
    "ordering": just("timestamp"),
    "created_after": MOMENT,
    "page": optional(matching("[1-9][0-9]{0,8}", "a number from 1")),
}


@dataclass
class _Transaction:
    """One top-up. ``amount`` is a text in major units."""

    number: int
    customer_id: str
    amount: str
    category: str
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_synchronized: bool = False


class Steama:
    """The vendor's server, as far as its documentation is known."""

    key = "steama"
    own_faults = frozenset({Fault.PENDING})

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._login = {name: settings[name] for name in _LOG_IN}
        self._faults = faults
        self._sessions = Sessions("Token")
        self._transactions: list[_Transaction] = []
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path == _TRANSACTIONS_PATH:
            return self._turned_away(request, "GET") or self._list(request)
        if request.query:
            return NOT_FOUND
        if request.path == LOG_IN_PATH:
            return self._log_in(request)
        if path := _TRANSACTION.fullmatch(request.path):
            return self._turned_away(request, "GET") or self._tell(int(path["id"]))
        path = _CUSTOMER.fullmatch(request.path)
        if path is None:
            return NOT_FOUND
        if path["transactions"]:
            return self._turned_away(request, "POST") or _order_in(request, path["id"])
        return self._turned_away(request, "GET") or _customer(path["id"])

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        with self._lock:
            transaction = _Transaction(len(self._transactions) + 1, order.subject, **order.request)
            self._transactions.append(transaction)
        return Done(Answer.of(self._shown(transaction), 201))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return _NO_SUCH_THING

    def _turned_away(self, request: Request, method: str) -> Answer | None:
        """The answer to who asks otherwise, or without a good token."""
        if request.method != method:
            return METHOD_NOT_ALLOWED
        return None if self._sessions.admits(request) else failed("Invalid token.", 401)

    def _log_in(self, request: Request) -> Answer:
        """A token, for who knows the password."""
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _LOG_IN)
        except Unacceptable as error:
            return failed(str(error), error.status)
        if fields != self._login:
            message = "Unable to log in with provided credentials."
            return Answer.of({"non_field_errors": [message]}, 400)
        return Answer.of({"token": self._sessions.begin()})

    def _tell(self, number: int) -> Answer:
        """One transaction."""
        with self._lock:
            found = [made for made in self._transactions if made.number == number]
        return Answer.of(self._shown(found[0])) if found else _NO_SUCH_THING

    def _list(self, request: Request) -> Answer:
        """One page of the transactions since a moment, oldest first."""
        try:
            question = check(dict(request.query), _QUESTION, "the query")
        except Unacceptable as error:
            return failed(str(error), error.status)
        since = moment_of(question["created_after"])
        page = int(question.get("page", 1))
        with self._lock:
            found = [made for made in self._transactions if since and made.created >= since]
        pages = max(1, -(-len(found) // TRANSACTIONS_PER_PAGE))
        if page > pages:
            return failed("Invalid page.", 404)
        first = (page - 1) * TRANSACTIONS_PER_PAGE
        return Answer.of(
            {
                "count": len(found),
                "next": _address_of(request, page + 1) if page < pages else None,
                "previous": _address_of(request, page - 1) if page > 1 else None,
                "results": [
                    self._shown(made) for made in found[first : first + TRANSACTIONS_PER_PAGE]
                ],
            }
        )

    def _shown(self, transaction: _Transaction) -> dict[str, Any]:
        """A transaction as it is told."""
        return {
            "id": transaction.number,
            "site_id": _SITE_ID,
            "customer_id": int(transaction.customer_id),
            "amount": f"{Decimal(transaction.amount):.2f}",
            "category": transaction.category,
            "provider": "AP",
            "timestamp": timestamp(transaction.created),
            "synchronization_status": self._status(transaction),
            "reversed_by_id": None,
            "agent_id": None,
        }

    def _status(self, transaction: _Transaction) -> str:
        """What is told now. One that was told as synchronized stays so."""
        if not transaction.is_synchronized and self._faults.take(
            self.key, transaction.customer_id, self.own_faults
        ):
            return "pending"
        transaction.is_synchronized = True
        return "synchronized"


def failed(detail: str, status: int) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"detail": detail}, status)


_NO_SUCH_THING = failed("Not found.", 404)


def _is_customer(number: str) -> bool:
    return bool(re.fullmatch(_ID, number)) and not number.startswith(UNKNOWN_CUSTOMER_PREFIX)


def _customer(number: str) -> Answer:
    """A customer as it is told."""
    if not _is_customer(number):
        return _NO_SUCH_THING
    return Answer.of({"id": int(number), "site_id": _SITE_ID})


def _order_in(request: Request, customer: str) -> Order | Answer:
    """The top-up in a body."""
    if not _is_customer(customer):
        return _NO_SUCH_THING
    try:
        fields = read_object(request, _TOP_UP)
    except Unacceptable as error:
        return failed(str(error), error.status)
    return Order(customer, {**fields, "amount": str(fields["amount"])})


def _address_of(request: Request, page: int) -> str:
    """The whole address of another page of a list."""
    query: Mapping[str, str] = {**request.query, "page": str(page)}
    host = request.headers.get("host", "")
    return f"http://{host}/{Steama.key}{request.path}?{urlencode(query)}"
