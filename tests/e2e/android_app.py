"""The Customer Registration App, as far as a server can tell: written from what the app does.

It knows nothing of the server's code. Types are as strict as Gson's, the queue is as forgetful as
the app's, and an error loses a row just as it does on the phone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

TIMEOUT_SECONDS = 30

_CUSTOMER_INTEGERS = (
    "id",
    "tariff_id",
    "city_id",
    "connection_group_id",
    "connection_type_id",
    "sub_connection_type_id",
    "manufacturer",
    "meter_type",
)
_CUSTOMER_TEXTS = ("name", "surname", "phone", "geo_points", "serial_number")

LISTS: dict[str, dict[str, type]] = {
    "manufacturers": {"id": int, "name": str},
    "meter-types": {"id": int, "online": int, "phase": int, "max_current": int},
    "tariffs": {"id": int, "name": str, "price": int, "currency": str},
    "cities": {"id": int, "name": str, "country_id": int},
    "connection-groups": {"id": int, "name": str},
    "connection-types": {"id": int, "name": str},
    "sub-connection-types": {"id": int, "name": str, "connection_type_id": int},
}
"""The reference lists and the types of their items' fields."""

_PAGE_TYPES: dict[str, type] = {
    "current_page": int,
    "last_page": int,
    "per_page": int,
    "total": int,
    "first_page_url": str,
    "last_page_url": str,
    "path": str,
}


class NotParsed(Exception):
    """The app's JSON parser gave up on an answer."""


class LoggedOut(Exception):
    """The app threw its token away and shows the log-in."""


@dataclass
class Row:
    """A row of the app's local table."""

    id: int
    form: dict[str, Any]

    def as_sent(self) -> dict[str, Any]:
        """The row as it is posted."""
        return {"id": self.id, **self.form, "local": True}


@dataclass
class AndroidApp:
    """One phone. ``base_url`` is what its user typed: the app itself adds ``/api/``."""

    base_url: str
    token: str | None = None
    rows: dict[int, Row] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    """What its error dialogs said."""
    _to_sync: list[Row] | None = None
    _next_id: int = 1

    # --- logging in -------------------------------------------------------------------------------

    def log_in(self, email: str, password: str) -> bool:
        """Log in; an error is shown from ``data.message`` alone."""
        answer = requests.post(
            self._url("auth/login"),
            json={"email": email, "password": password},
            headers=self._headers(authorised=False),
            timeout=TIMEOUT_SECONDS,
        )
        if not answer.ok:
            data = answer.json().get("data")
            self.shown.append(data["message"] if isinstance(data, dict) else "Server error")
            return False
        self.token = _of_type(answer.json()["access_token"], str, "access_token")
        return True

    # --- lists ------------------------------------------------------------------------------------

    def fetch(self, name: str) -> list[dict[str, Any]]:
        """One reference list: what is in ``data`` of the first answer, and nothing more."""
        body = self._get(f"customer-registration-app/{name}")
        return [_parsed(item, LISTS[name]) for item in _of_type(body["data"], list, "data")]

    def pick(self, name: str, label: str) -> int:
        """The id of the first item with that label: the app finds a choice again by its text."""
        return next(i["id"] for i in self.fetch(name) if _label(name, i) == label)

    def people(self, page: int | None = None) -> dict[str, Any]:
        """A page of customers."""
        query = "" if page is None else f"?page={page}"
        body = self._get(f"customer-registration-app/people{query}")
        for name, kind in _PAGE_TYPES.items():
            _of_type(body[name], kind, name)
        for person in _of_type(body["data"], list, "data"):
            _parsed_customer(person)
        for link in _of_type(body["links"], list, "links"):
            _of_type(link["label"], str, "label")
            _of_type(link["active"], bool, "active")
        return body

    # --- the queue --------------------------------------------------------------------------------

    def save(self, **form: Any) -> Row:
        """Save a filled form. It never calls the server."""
        row = Row(self._next_id, form)
        self._next_id += 1
        self.rows[row.id] = row
        return row

    def restart(self) -> None:
        """Close and open the app: the list of what is to be sent is read anew."""
        self._to_sync = None

    def sync(self) -> list[dict[str, Any]]:
        """Post everything that is to be sent, all at the same time, and do what the app does then.

        The list was filled when it was first needed and is never refreshed: a second sync posts
        the same rows again, those that succeeded too.
        """
        if self._to_sync is None:
            self._to_sync = list(self.rows.values())
        if not self._to_sync:
            return []
        with ThreadPoolExecutor(len(self._to_sync)) as pool:
            answers = list(pool.map(self._post, self._to_sync))
        parsed = []
        for row, answer in zip(self._to_sync, answers, strict=True):
            if answer.status_code == 401:
                self.token = None
            try:
                if not answer.ok:
                    raise NotParsed(answer.status_code)
                customer = _parsed_customer(answer.json()["data"])
            except (NotParsed, KeyError, ValueError):
                self.shown.append(_dialog_text(answer))
                self.rows.pop(row.id, None)  # its user presses the only button
                continue
            self.rows.pop(customer["id"], None)
            parsed.append(customer)
        return parsed

    def _post(self, row: Row) -> requests.Response:
        return requests.post(
            self._url("customer-registration-app"),
            json=row.as_sent(),
            headers=self._headers(),
            timeout=TIMEOUT_SECONDS,
        )

    # --- HTTP -------------------------------------------------------------------------------------

    def _get(self, path: str) -> dict[str, Any]:
        answer = requests.get(self._url(path), headers=self._headers(), timeout=TIMEOUT_SECONDS)
        if answer.status_code == 401:
            self.token = None
            raise LoggedOut
        assert answer.ok, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def _url(self, path: str) -> str:
        return f"{self.base_url.removesuffix('/')}/api/{path}"

    def _headers(self, authorised: bool = True) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "accept": "application/json"}
        if authorised:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers


def _label(name: str, item: dict[str, Any]) -> str:
    if name != "meter-types":
        return str(item["name"])
    line = "Online" if item["online"] == 1 else "Offline"
    return f"{item['max_current']}A {item['phase']}P {line}"


def _dialog_text(answer: requests.Response) -> str:
    """The first message of each field under ``errors``; anything else has one text for all."""
    try:
        errors = answer.json()["errors"]
        return "; ".join(messages[0] for messages in errors.values())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return "Internal Server Error"


def _parsed_customer(item: dict[str, Any]) -> dict[str, Any]:
    types = {
        **dict.fromkeys(_CUSTOMER_INTEGERS, int),
        **dict.fromkeys(_CUSTOMER_TEXTS, str),
        "local": bool,
    }
    return _parsed(item, types)


def _parsed(item: Any, types: dict[str, type]) -> dict[str, Any]:
    """The item, if every key that the app knows has the type that it expects, or is missing."""
    if not isinstance(item, dict):
        raise NotParsed(item)
    for name, kind in types.items():
        if item.get(name) is not None:
            _of_type(item[name], kind, name)
    return item


def _of_type(value: Any, kind: type, name: str) -> Any:
    if type(value) is not kind:
        raise NotParsed(f"{name}: {value!r} is no {kind.__name__}")
    return value
