"""SparkMeter: smart meters of mini-grids that are topped up from afar, with money. No tokens.

Each site has a server of its own that takes the top-ups; Koios, the vendor's cloud, knows the
transactions of all sites. A top-up carries our own name for the vend, so one whose answer was
lost is found again there. That the vendor takes a name once only is not known: nothing is
repeated before a search has shown that it is not there.

A meter gets its money when its site's base station hears of it, so a top-up is at first *sold,
not yet delivered*, and looked up until it is.
"""

from __future__ import annotations

import json
import re
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from urllib.parse import quote
from uuid import UUID

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import FieldError
from chalicelib.domain.money import format_minor
from chalicelib.manufacturers import credentials
from chalicelib.manufacturers.answers import (
    JSON_HEADERS,
    ask,
    fields_of,
    require_success,
    words_of,
)
from chalicelib.manufacturers.plain_device import PlainDevice
from chalicelib.manufacturers.technical import refuse_unknown
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import (
    Manufacturer,
    RecoveryClass,
    SecretMissing,
    Sold,
    VendAbsent,
    VendOrder,
    VendorSilent,
    VendRefused,
    VendUncertain,
)

SECRET = "manufacturers/sparkmeter"  # noqa: S105 - the name of a secret, not a secret
SECONDS_MAX = 20

MANUFACTURERS = (
    Manufacturer(
        key="sparkmeter",
        manufacturer_id=12,
        name="SparkMeter",
        kind=Kind.METER,
        recovery=RecoveryClass.SEARCHABLE,
        rules={
            VendKind.ENERGY: VendRules(step=Fraction(1, 1000), money_step_minor=1),
            VendKind.RESET: VendRules(step=Fraction(1)),
        },
        local=False,
        checkable=True,
        timeout_seconds=SECONDS_MAX,
        technical_required=True,
        absent_after_seconds=60,
        authentication="a token of the site, a key and a secret of Koios, in headers",
        remote=True,
        unverified=(
            "how soon Koios shows a transaction",
            "whether a repeated external_id is refused",
            "what a reset of a meter does, and what is answered to it",
        ),
    ),
)

PAGES_MAX = 5
"""A search reads at most so many pages of the history."""

CLOCKS_APART = timedelta(minutes=5)
"""A search begins so long before our call: the vendor's clock is not ours."""

SITE_LENGTH_MAX = 60
UNDELIVERED = ("pending", "not-processed")
UNDONE = {"error": "transaction_error", "reversed": "transaction_reversed"}
"""The vendor's states of a transaction that gave nothing, for good."""

REFUSING_STATUSES = (400, 401, 403, 404)
UNAUTHORISED = 401

_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CURSOR_LENGTH_MAX = 2000
_UUID_CHARACTERS = frozenset(string.hexdigits + "-")


def make(key: str, secrets: Callable[[str], Mapping[str, Any]]) -> SparkMeter:
    """The manufacturer of that key. ``secrets`` reads a secret of the deployment by its name."""
    manufacturer = next(m for m in MANUFACTURERS if m.key == key)
    return SparkMeter(manufacturer, secrets)


@dataclass(frozen=True, slots=True)
class _Koios:
    """Where the vendor's cloud is, and who we are there."""

    base_url: str
    api_key: str
    api_secret: str
    organization_id: str


@dataclass(frozen=True, slots=True)
class _Site:
    """Where a site's own server is, and what lets us in."""

    base_url: str
    token: str

    @property
    def headers(self) -> Mapping[str, str]:
        return {**JSON_HEADERS, "Authentication-Token": self.token}


class _UnknownSite(Exception):
    """The secret has no such site, or several and the device names none."""


class SparkMeter(PlainDevice):
    """Tops meters up through their site's server, and finds lost top-ups again in Koios.

    Of a device it stores ``customer_id``, its UUID at the vendor, and ``site``, the site's name
    in the secret. Neither is a secret.
    """

    def vend(self, order: VendOrder) -> Sold:
        """Top the meter up, or have it reset: one request, never repeated here.

        Raises:
            VendRefused: the vendor said no, or the device's ``customer_id`` or ``site`` is not
                known, or the vend is none that the vendor sells.
            VendorUnreachable: no connection was made, so nothing was asked.
            VendUncertain: anything else.
            SecretMissing: the credentials are not configured; nothing was asked.
        """
        amount = None if order.vend.kind is VendKind.RESET else _amount(order)
        customer_id = order.technical.get("customer_id")
        if not isinstance(customer_id, str):
            raise VendRefused("no_customer_id")
        content = self._secrets(SECRET)
        _koios(content)  # what could not be found again is not sent
        try:
            site = _site(content, order)
        except _UnknownSite:
            raise VendRefused("unknown_site") from None
        if amount is None:
            answer = _post(site, f"customers/{quote(customer_id, safe='')}/reset-meter", {})
            _require_taken(answer, site.token)
            return Sold()
        asked = {
            "customer_id": customer_id,
            "amount": amount,
            "source": "cash",
            "external_id": order.external_id,
        }
        return _sold(_post(site, "transaction/", asked), site.token)

    def check(self, serial_number: str) -> None:
        """Ask Koios for the transactions of the last minutes. Sites are not asked.

        Raises:
            VendorUnreachable, VendUncertain, SecretMissing: it does not tell them.
        """
        since = datetime.now(UTC) - CLOCKS_APART
        filters = {"entity_types": ["transactions"], "date_range": {"from": since.isoformat()}}
        koios = _koios(self._secrets(SECRET))
        _page(koios, {"filters": filters, "cursor": None}, SECONDS_MAX)

    def look_up(self, order: VendOrder) -> Sold:
        """Find out what became of a top-up.

        Where the vendor has named it, its site is asked; otherwise Koios is searched for our own
        name.

        Raises:
            VendAbsent: the whole history since the call was read, and it is not there.
            VendRefused: the vendor says that it gave nothing, or took it back.
            VendorUnreachable: no connection was made.
            VendUncertain: it cannot be told.
            SecretMissing: the credentials are not configured.
        """
        if order.vend.kind is VendKind.RESET:
            raise VendUncertain("resets are in no list")
        content = self._secrets(SECRET)
        if order.vend.reference is None:
            return _search(_koios(content), order)
        try:
            site = _site(content, order)
        except _UnknownSite:
            # Not a refusal: the money has been sent, whatever became of the site's name since.
            raise VendUncertain("unknown_site") from None
        reference = order.vend.reference
        path = f"/api/v0/transaction/{quote(reference, safe='')}"
        answer = ask("GET", site.base_url + path, site.headers, SECONDS_MAX)
        return _named(answer, order.external_id, reference)

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
        """Check ``customer_id`` (a UUID) and ``site``, which only several sites call for.

        Raises:
            FieldError: on a path below ``technical``.
        """
        refuse_unknown(technical, known=("customer_id", "site"))
        stored = {"customer_id": _uuid(technical.get("customer_id"))}
        site = technical.get("site")
        if site is not None:
            stored["site"] = _site_name(site)
        return stored, 0


def _uuid(given: object) -> str:
    """The UUID in its canonical form."""
    text = given.strip() if isinstance(given, str) else ""
    try:
        if not _UUID_CHARACTERS.issuperset(text):
            raise ValueError
        return str(UUID(text))
    except ValueError:
        raise FieldError("technical.customer_id", "must be a UUID") from None


def _site_name(given: object) -> str:
    name = given.strip() if isinstance(given, str) else ""
    if not 1 <= len(name) <= SITE_LENGTH_MAX or not name.isprintable():
        raise FieldError("technical.site", f"must be a text of 1 to {SITE_LENGTH_MAX} characters")
    return name


def _amount(order: VendOrder) -> str:
    """The money as the vendor takes it: a decimal text in major units, above zero."""
    cost_minor = order.vend.cost_minor
    if order.vend.kind is not VendKind.ENERGY:
        raise VendRefused("not_offered")
    if cost_minor.denominator != 1 or cost_minor <= 0:
        raise VendRefused("amount_out_of_range")
    return format_minor(int(cost_minor), order.currency)


# --- the secret -------------------------------------------------------------------------------


def _koios(content: Mapping[str, Any]) -> _Koios:
    koios = credentials.part(content, "koios", SECRET)
    return _Koios(
        base_url=credentials.base_url(koios, SECRET),
        api_key=credentials.plain_text(koios, "api_key", SECRET),
        api_secret=credentials.plain_text(koios, "api_secret", SECRET),
        organization_id=credentials.plain_text(koios, "organization_id", SECRET),
    )


def _site(content: Mapping[str, Any], order: VendOrder) -> _Site:
    """The device's site; the only one, where the device names none.

    Raises:
        _UnknownSite: see there.
        SecretMissing: the secret has no sites, or that one is not in its agreed form.
    """
    sites = credentials.part(content, "sites", SECRET)
    if not sites:
        raise SecretMissing(SECRET)
    name = order.technical.get("site")
    if name is None and len(sites) == 1:
        (name,) = sites
    if not isinstance(name, str) or name not in sites:
        raise _UnknownSite
    site = credentials.part(sites, name, SECRET)
    return _Site(
        base_url=credentials.base_url(site, SECRET),
        token=credentials.plain_text(site, "token", SECRET),
    )


# --- what the answers mean --------------------------------------------------------------------


def _post(site: _Site, path: str, asked: Mapping[str, Any]) -> Answer:
    body = json.dumps(asked).encode()
    return ask("POST", f"{site.base_url}/api/v0/{path}", site.headers, SECONDS_MAX, body)


def _require_taken(answer: Answer, secret: str) -> Mapping[str, Any]:
    """What a site says of what it has done, if it clearly has."""
    if answer.status not in REFUSING_STATUSES:
        require_success(answer)
    fields = fields_of(answer)
    error, named = fields.get("error"), fields.get("transaction_id")
    if isinstance(error, str) and error and named is None:
        unauthorised = answer.status == UNAUTHORISED
        code = "authentication_failed" if unauthorised else "refused_by_vendor"
        raise VendRefused(code, words_of(error, [secret]))
    require_success(answer)
    if error is not None and error is not False:
        raise VendUncertain("neither a clear yes nor a clear no")
    return fields


def _sold(answer: Answer, secret: str) -> Sold:
    """The top-up that was taken, if the answer to it clearly says so."""
    taken = _require_taken(answer, secret)
    delivered = taken.get("status") == "processed"
    return Sold(reference=_reference(taken.get("transaction_id")), delivered=delivered)


def _named(answer: Answer, external_id: str, reference: str) -> Sold:
    """What the site says of the transaction that it had named to us."""
    require_success(answer)
    transaction = fields_of(answer).get("transaction")
    if not isinstance(transaction, dict) or transaction.get("external_id") != external_id:
        raise VendUncertain("the transaction is not ours")
    return _outcome(transaction.get("status"), reference)


def _search(koios: _Koios, order: VendOrder) -> Sold:
    """Read the history since the call, page by page, until our name is found.

    One look-up is several requests here. Reading has no effect, so each may be asked as often as
    it takes; together they keep to the time that one call has.

    Where ours is not there, but a transaction of another vend of the payment is: that vend was
    replaced because it was not found, and was sold after all. Nothing more is then sold for it.
    """
    if order.vend.called_at is None:
        raise VendUncertain("nobody knows when the vendor was called")
    since = order.vend.called_at.astimezone(UTC) - CLOCKS_APART
    filters = {"entity_types": ["transactions"], "date_range": {"from": since.isoformat()}}
    deadline = time.monotonic() + SECONDS_MAX
    cursor: str | None = None
    another_sold = False
    for _ in range(PAGES_MAX):
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise VendorSilent("the search takes too long")
        rows, cursor = _page(koios, {"filters": filters, "cursor": cursor}, seconds)
        ours = [row for row in rows if row.get("external_id") == order.external_id]
        if len(ours) > 1:
            raise VendUncertain("several transactions fit")
        if ours:
            return _outcome(ours[0].get("state"), _reference(ours[0].get("transaction_id")))
        another_sold = another_sold or any(_is_sale_of(order.payment_id, row) for row in rows)
        if cursor is None and another_sold:
            raise VendUncertain("another vend of this payment was sold")
        if cursor is None:
            raise VendAbsent("no such transaction")
    raise VendUncertain("the history is too long to search")


def _is_sale_of(payment_id: str, row: Mapping[str, Any]) -> bool:
    """Whether a transaction is of some vend of that payment and may have given something."""
    external_id, state = row.get("external_id"), row.get("state")
    if not isinstance(external_id, str) or (isinstance(state, str) and state in UNDONE):
        return False
    return external_id.rpartition(".")[0] == payment_id


def _page(
    koios: _Koios, asked: Mapping[str, Any], seconds: float
) -> tuple[list[dict[str, Any]], str | None]:
    """One page of the history, and the cursor of the next; ``None`` after the last.

    Read strictly: a page that is not understood must not pass for one without our transaction.
    """
    organization = quote(koios.organization_id, safe="")
    answer = ask(
        "POST",
        f"{koios.base_url}/organizations/{organization}/data/historical",
        {**JSON_HEADERS, "X-API-KEY": koios.api_key, "X-API-SECRET": koios.api_secret},
        seconds,
        json.dumps(asked).encode(),
    )
    require_success(answer)
    fields = fields_of(answer)
    rows = fields.get("results")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise VendUncertain("no list of transactions")
    cursor = fields.get("cursor", "")
    if cursor is None:
        return rows, None
    if not isinstance(cursor, str) or not 1 <= len(cursor) <= _CURSOR_LENGTH_MAX:
        raise VendUncertain("a page that does not say whether it is the last")
    return rows, cursor


def _outcome(state: object, reference: str) -> Sold:
    """What a transaction's state means. One that is not known is never a success."""
    if state == "processed":
        return Sold(reference=reference)
    if state in UNDELIVERED:
        return Sold(reference=reference, delivered=False)
    if isinstance(state, str) and state in UNDONE:
        raise VendRefused(UNDONE[state])
    raise VendUncertain("a transaction in an unknown state")


def _reference(given: object) -> str:
    """The vendor's name for a transaction, fit to be stored and asked for."""
    if not isinstance(given, str) or _REFERENCE.fullmatch(given) is None:
        raise VendUncertain("no transaction_id")
    return given
