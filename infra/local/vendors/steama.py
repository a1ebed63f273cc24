"""SteamaCo: a smart meter that is topped up from afar, with money; there is no token.

A log-in gives out a token for the header. ``POST /customers/<id>/transactions/`` tops a customer
up, ``GET /transactions/`` lists all transactions since a moment, a page at a time. It takes no name
of ours: the same top-up twice is two. What ``synchronization_status`` says is not known: the words
here are made up.

The vendor does not know serial numbers, only its own customers: a top-up is listed, and a fault is
narrowed, by the number of the customer, where other vendors have the serial number.
"""

from __future__ import annotations

import re
import secrets
import threading
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

UNKNOWN_CUSTOMER_PREFIX = "99999"
"""Customers whose number begins so are not known to the vendor."""

TRANSACTIONS_PER_PAGE = 100

_LOG_IN = {"username": TEXT, "password": TEXT}
_TOP_UP = {"amount": number(decimals=2), "category": just("PAY")}
_SEARCH = {
    "ordering": just("timestamp"),
    "created_after": MOMENT,
    "page": optional(matching("[1-9][0-9]{0,5}", "the number of a page")),
}
_CUSTOMER_PATH = re.compile(r"/customers/(?P<customer>[1-9][0-9]*)/(?P<what>transactions/)?")


@dataclass(frozen=True)
class _Transaction:
    """One top-up, in major units."""

    number: int
    customer_id: int
    amount: Decimal
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.number,
            "site_id": 12,
            "customer_id": self.customer_id,
            "amount": f"{self.amount:.2f}",
            "category": "PAY",
            "provider": "AP",
            "timestamp": timestamp(self.created),
            "synchronization_status": "pending",
            "reversed_by_id": None,
        }


class Steama:
    """The vendor's server, as far as its documentation is known."""

    key = "steama"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._credentials = (settings["username"], settings["password"])
        self._sessions: set[str] = set()
        self._transactions: list[_Transaction] = []
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path == "/get-token/":
            return self._log_in(request)
        scheme, _, session = request.headers.get("authorization", "").partition(" ")
        if scheme != "Token" or session not in self._sessions:
            return failed("Invalid token.", 401)
        if request.path == "/transactions/":
            return self._search(request)
        asked = _CUSTOMER_PATH.fullmatch(request.path)
        if asked is None or request.query:
            return NOT_FOUND
        if request.method != ("POST" if asked["what"] else "GET"):
            return METHOD_NOT_ALLOWED
        if asked["customer"].startswith(UNKNOWN_CUSTOMER_PREFIX):
            return failed("Not found.", 404)
        if not asked["what"]:
            return Answer.of({"id": int(asked["customer"]), "energy_price": "100.00"})
        try:
            top_up = read_object(request, _TOP_UP)
        except Unacceptable as error:
            return Answer.of({"non_field_errors": [str(error)]}, error.status)
        return Order(asked["customer"], {**top_up, "amount": f"{Decimal(top_up['amount']):.2f}"})

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        with self._lock:
            transaction = _Transaction(
                len(self._transactions) + 9001,
                int(order.subject),
                Decimal(order.request["amount"]),
            )
            self._transactions.append(transaction)
        return Done(Answer.of(transaction.shown(), 201))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return Answer.of({"non_field_errors": ["Customer is archived."]}, 400)

    def _log_in(self, request: Request) -> Answer:
        """A token, for who gives user and password. It has no end."""
        if request.method != "POST":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _LOG_IN)
        except Unacceptable as error:
            return failed(str(error), error.status)
        if (fields["username"], fields["password"]) != self._credentials:
            return failed("Unable to log in with provided credentials.", 400)
        session = secrets.token_hex(20)
        with self._lock:
            self._sessions.add(session)
        return Answer.of({"token": session})

    def _search(self, request: Request) -> Answer:
        """A page of the transactions since a moment, the oldest first."""
        if request.method != "GET":
            return METHOD_NOT_ALLOWED
        try:
            asked = check(request.query, _SEARCH)
        except Unacceptable as error:
            return failed(str(error), error.status)
        since, page = moment_of(asked["created_after"]), int(asked.get("page", "1"))
        with self._lock:
            found = [made for made in self._transactions if since and made.created >= since]
        last = page * TRANSACTIONS_PER_PAGE
        following = {**asked, "page": str(page + 1)}
        return Answer.of(
            {
                "count": len(found),
                "next": f"/transactions/?{urlencode(following)}" if last < len(found) else None,
                "previous": None,
                "results": [made.shown() for made in found[last - TRANSACTIONS_PER_PAGE : last]],
            }
        )


def failed(detail: str, status: int) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"detail": detail}, status)
