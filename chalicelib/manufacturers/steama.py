"""SteamaCo: smart meters of mini-grids that are topped up from afar, with money. No tokens.

A log-in comes first, and is kept. The vendor takes no name of ours for a top-up, but lists its
transactions: one whose answer was lost is told by customer, amount and time. So a meter has one
vend in flight at most, and what a search finds counts only where it is exactly one transaction
that no other vend of ours accounts for.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.money import format_minor
from chalicelib.manufacturers import credentials, sts
from chalicelib.manufacturers.answers import (
    JSON_HEADERS,
    ask,
    fields_of,
    require_success,
    words_of,
)
from chalicelib.manufacturers.plain_device import PlainDevice
from chalicelib.manufacturers.sessions import LOG_IN_SECONDS_MAX, Sessions, log_in
from chalicelib.manufacturers.technical import refuse_unknown
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.sessions import Session, SessionRefused
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    Sold,
    VendAbsent,
    VendOrder,
    VendorSilent,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/steama"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 15

MANUFACTURERS = (
    Manufacturer(
        key="steama",
        manufacturer_id=17,
        name="SteamaCo",
        kind=Kind.METER,
        recovery=RecoveryClass.SEARCHABLE,
        rules={VendKind.ENERGY: VendRules(step=Fraction(1, 1000), money_step_minor=1)},
        local=False,
        checkable=True,
        # At the worst a kept session is refused, then a new one is asked for, then the top-up.
        timeout_seconds=SECONDS_MAX + LOG_IN_SECONDS_MAX + SECONDS_MAX,
        technical_required=True,
        one_at_a_time=True,
        absent_after_seconds=120,
        authentication="user and password in a log-in, kept",
        remote=True,
        unverified=(
            "what synchronization_status says, and when a meter has its money",
            "how soon the list shows a transaction",
            "which refusals are definite",
        ),
    ),
)

CATEGORY = "PAY"
PAGES_MAX = 5
"""A search reads at most so many pages of the transactions."""
CLOCKS_APART = timedelta(minutes=5)
"""A search begins so long before our call: the vendor's clock is not ours."""

NO_SESSION = 401
REFUSING_STATUSES = (400, 403, 404)

_CUSTOMER = re.compile(r"[1-9][0-9]{0,14}")
_SESSION = re.compile(r"[A-Za-z0-9._~+/=-]{8,4096}")
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")
_PAGE = re.compile(r"[1-9][0-9]{0,5}")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> Steama:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return Steama(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the secret says."""

    base_url: str
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The transaction that a vend makes: whose, of how much (a decimal text), and since when."""

    customer_id: str
    amount: str
    called_at: datetime

    def is_in(self, row: Mapping[str, Any]) -> bool:
        """Whether that may be it."""
        return (
            str(row.get("customer_id")) == self.customer_id
            and row.get("category") == CATEGORY
            and _amount_in(row) == Fraction(self.amount)
            and row.get("reversed_by_id") is None
            and _moment_in(row) >= self.called_at - CLOCKS_APART
        )


class Steama(PlainDevice):
    """Tops customers up at the vendor, and finds lost top-ups again in its transactions.

    Of a device it stores ``customer_id``, the number of its customer at the vendor: no secret.
    """

    def __init__(
        self, manufacturer: Manufacturer, secrets: Callable[[str], Mapping[str, Any]]
    ) -> None:
        super().__init__(manufacturer, secrets)
        self._sessions = Sessions()

    def vend(self, order: VendOrder) -> Sold:
        """Top the customer up. Only where the vendor did not take our session is it asked twice.

        Raises:
            VendRefused: the vendor said no, or does not take our credentials, or the device's
                ``customer_id`` is not there, or the vend is none that the vendor sells.
            VendorUnreachable: no connection was made, or the log-in failed: nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        amount = _amount(order)
        customer_id = _customer_id(order)
        body = sts.with_amount({"category": CATEGORY}, amount)
        configuration = self._configuration()
        url = f"{configuration.base_url}/customers/{customer_id}/transactions/"

        def top_up(session: str) -> Sold:
            answer = ask("POST", url, _headers(session), SECONDS_MAX, body)
            return _sold(answer, customer_id, amount, session)

        return self._sessions.call(repr(configuration), lambda: _log_in(configuration), top_up)

    def check(self, serial_number: str) -> None:
        """Log in anew, and do nothing with it.

        Raises:
            VendRefused, VendorUnreachable, SecretMissing: as ``vend``.
        """
        _log_in(self._configuration())

    def look_up(self, order: VendOrder) -> Sold:
        """Search the vendor's transactions since the call for the one that this vend made.

        Raises:
            VendAbsent: all of them were read, and it is not among them.
            VendorUnreachable, VendUncertain, VendorSilent, SecretMissing: it cannot be told now.
        """
        if order.vend.called_at is None:
            raise VendUncertain("nobody knows when the vendor was called")
        wanted = _Wanted(_customer_id(order), _amount(order), order.vend.called_at)
        configuration = self._configuration()

        def search(session: str) -> Sold:
            return _search(configuration, session, wanted, order.known_references)

        try:
            return self._sessions.call(repr(configuration), lambda: _log_in(configuration), search)
        except VendRefused as refused:  # it is about the question, not about the vend
            raise VendUncertain(f"the list cannot be read: {refused.code}") from refused

    def token(self, text: str | None) -> None:
        """A remote top-up has no token: whoever says that it was made gives none.

        Raises:
            FieldError: one was given all the same.
        """
        if text is not None:
            raise FieldError("token", "a remote top-up has no token")

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """Check ``customer_id``, the number of the meter's customer at the vendor.

        Raises:
            FieldError: on a path below ``technical``.
        """
        refuse_unknown(technical, known=("customer_id",))
        given = technical.get("customer_id")
        text = str(given).strip() if type(given) is int or isinstance(given, str) else ""
        if _CUSTOMER.fullmatch(text) is None:
            raise FieldError("technical.customer_id", "must be the customer's number at the vendor")
        return {"customer_id": text}, 0

    def _configuration(self) -> _Configuration:
        """Where the vendor is, and who we are there."""
        content = self._secrets(SECRET)
        return _Configuration(
            base_url=credentials.base_url(content, SECRET),
            username=credentials.text(content, "username", SECRET),
            password=credentials.text(content, "password", SECRET),
        )


def _headers(session: str) -> Mapping[str, str]:
    return {**JSON_HEADERS, "Authorization": f"Token {session}"}


def _amount(order: VendOrder) -> str:
    """The money as a decimal text in major units, above zero."""
    cost_minor = order.vend.cost_minor
    if order.vend.kind is not VendKind.ENERGY:
        raise VendRefused("not_offered")
    if cost_minor.denominator != 1 or cost_minor <= 0:
        raise VendRefused("amount_out_of_range")
    return format_minor(int(cost_minor), order.currency)


def _customer_id(order: VendOrder) -> str:
    customer_id = order.technical.get("customer_id")
    if not isinstance(customer_id, str):
        raise VendRefused("no_customer_id")
    return customer_id


# --- the log-in -------------------------------------------------------------------------------


def _log_in(configuration: _Configuration) -> Session:
    """A new session, for which the vendor names no end.

    Raises:
        VendRefused, VendorUnreachable: as ``log_in``.
    """
    names = {"username": configuration.username, "password": configuration.password}
    url = f"{configuration.base_url}/get-token/"
    return log_in(url, JSON_HEADERS, json.dumps(names).encode(), _session)


def _session(answer: Answer) -> Session:
    token = fields_of(answer).get("token")
    if not isinstance(token, str) or _SESSION.fullmatch(token) is None:
        raise VendUncertain("no session")
    return Session(token)


# --- what the answer to a top-up means --------------------------------------------------------


def _sold(answer: Answer, customer_id: str, amount: str, session: str) -> Sold:
    """The top-up that was made, if the answer clearly says so."""
    if answer.status == NO_SESSION:
        raise SessionRefused
    if answer.status in REFUSING_STATUSES:
        raise VendRefused("refused_by_vendor", _reason_in(answer, session))
    require_success(answer)
    row = fields_of(answer)
    if str(row.get("customer_id")) != customer_id or _amount_in(row) != Fraction(amount):
        raise VendUncertain("a transaction of somebody else, or of another amount")
    return Sold(reference=_reference(row))


def _reason_in(answer: Answer, session: str) -> str:
    """Why the vendor refuses, in its own words.

    Raises:
        VendUncertain: it gives no reason: then it may be no refusal of the vendor's program.
    """
    fields = fields_of(answer)
    given = fields.get("detail") or fields.get("non_field_errors")
    texts = given if isinstance(given, list) else [given]
    reason = " ".join(text for text in texts if isinstance(text, str)).strip()
    if not reason:
        raise VendUncertain(f"HTTP status {answer.status}")
    return words_of(reason, [session])


def _reference(row: Mapping[str, Any]) -> str:
    """The vendor's number of a transaction."""
    number = row.get("id")
    if type(number) is not int or not 0 < number < 10**15:
        raise VendUncertain("a transaction without its number")
    return str(number)


def _amount_in(row: Mapping[str, Any]) -> Fraction:
    """The amount of a transaction, a text or a number, exactly as written."""
    given = row.get("amount")
    text = str(given) if isinstance(given, int | str) else ""
    if _AMOUNT.fullmatch(text) is None:
        raise VendUncertain("a transaction without its amount")
    return Fraction(text)


def _moment_in(row: Mapping[str, Any]) -> datetime:
    """When a transaction was made."""
    try:
        moment = datetime.fromisoformat(str(row.get("timestamp")))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise VendUncertain("a transaction without its time")
    return moment.astimezone(UTC)


# --- the search -------------------------------------------------------------------------------


def _search(
    configuration: _Configuration, session: str, wanted: _Wanted, known: frozenset[str]
) -> Sold:
    """Read the transactions since the call, page by page, to the last.

    One look-up is several requests here. Reading has no effect, so each may be asked as often as
    it takes; together they keep to the time that one call has.
    """
    since = (wanted.called_at - CLOCKS_APART).astimezone(UTC).isoformat()
    deadline = time.monotonic() + SECONDS_MAX
    found: set[str] = set()
    page: str | None = "1"
    for _ in range(PAGES_MAX):
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise VendorSilent("the search takes too long")
        rows, page = _page(configuration, session, since, page, seconds)
        found |= {_reference(row) for row in rows if _is_other_than(known, row, wanted)}
        if page is None:
            break
    else:
        raise VendUncertain("too many transactions to search")
    if len(found) > 1:
        raise VendUncertain("several transactions fit")
    if not found:
        raise VendAbsent("no such transaction")
    return Sold(reference=found.pop())


def _is_other_than(known: frozenset[str], row: Mapping[str, Any], wanted: _Wanted) -> bool:
    """Whether it may be the one that is wanted, and no other vend of ours accounts for it."""
    return str(row.get("customer_id")) == wanted.customer_id and (
        str(row.get("id")) not in known and wanted.is_in(row)
    )


def _page(
    configuration: _Configuration, session: str, since: str, page: str | None, seconds: float
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of the transactions, and the number of the next; ``None`` after the last.

    Where the next page is, the vendor says with a whole address. Only its number is taken from
    there: our session goes to no other place.
    """
    query = {"ordering": "timestamp", "created_after": since}
    if page != "1":
        query["page"] = str(page)
    url = f"{configuration.base_url}/transactions/?{urlencode(query)}"
    answer = ask("GET", url, _headers(session), seconds)
    if answer.status == NO_SESSION:
        raise SessionRefused
    require_success(answer)
    fields = fields_of(answer)
    rows = fields.get("results")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise VendUncertain("no list of transactions")
    following = fields.get("next", "")
    return rows, None if following is None else _number_of(following)


def _number_of(address: object) -> str:
    """The number of the page at that address.

    Raises:
        VendUncertain: there is none: a list that is not understood must not pass for its end.
    """
    try:
        numbers = (
            parse_qs(urlsplit(address).query).get("page", []) if isinstance(address, str) else []
        )
    except ValueError:
        numbers = []
    if len(numbers) != 1 or _PAGE.fullmatch(numbers[0]) is None:
        raise VendUncertain("a page that does not say whether it is the last")
    return numbers[0]
