"""The API in front of an empty, mocked installation, and members of staff who call it."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from chalice.test import Client
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends
from moto.secretsmanager.models import secretsmanager_backends

from chalicelib.api.application import create_app
from chalicelib.domain.account import Account
from chalicelib.domain.books import Difference, check_books
from chalicelib.services.entries import posting_of
from chalicelib.services.ports import Entry, Session
from chalicelib.store.models import AccountRow, EntryRow
from chalicelib.wiring import Wiring
from infra.local import providers
from infra.local.providers import PROVIDERS
from tests.integration.api import described
from tests.integration.company import FixedClock
from tests.integration.conftest import ACCOUNT, REGION, Cloud, forget_clients, installed

SECRET_KEY = "bc41ec9530f6dac86b1a29ab82edc5fb"
TECHNICAL = {"secret_key": SECRET_KEY, "starting_code": 516959010}
PARTNER_SECRET = "partner-secret"
PATH_SECRET = "path-secret"


@dataclass(frozen=True)
class Reply:
    """What the API answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.text)

    @property
    def fields(self) -> list[str]:
        """The fields that a problem names."""
        return [error["field"] for error in self.json["errors"]]

    @property
    def code(self) -> str:
        """The code of a problem."""
        code: str = self.json["code"]
        return code


class Api:
    """Calls the API as somebody of a role, through Chalice's own test client."""

    def __init__(self, wiring: Wiring, clock: FixedClock) -> None:
        self.wiring = wiring
        self.clock = clock
        self._client = Client(create_app(wiring))
        self._tokens: dict[tuple[str, ...], str] = {}

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        role: str | tuple[str, ...] | None = "admin",
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """Send one request; ``role`` ``None`` is nobody, ``raw`` a body that is no JSON of ours."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if role is not None:
            sent["Authorization"] = f"Bearer {self.token(role)}"
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        answer = self._client.http.request(method, path, headers=sent, body=content)
        found = {name.lower(): value for name, value in answer.headers.items()}
        reply = Reply(answer.status_code, found, answer.body.decode("utf-8"))
        described.check(method, path, reply.status, found.get("content-type", ""), reply.text)
        return reply

    def get(self, path: str, role: str | tuple[str, ...] | None = "office") -> Reply:
        """Ask for something."""
        return self.send("GET", path, role=role)

    def post(self, path: str, body: object, role: str | tuple[str, ...] | None = "admin") -> Reply:
        """Make something."""
        return self.send("POST", path, body, role=role)

    def put(self, path: str, body: object, role: str | tuple[str, ...] | None = "admin") -> Reply:
        """Replace something."""
        return self.send("PUT", path, body, role=role)

    def token(self, role: str | tuple[str, ...]) -> str:
        """The token of somebody with that role, or those roles."""
        roles = (role,) if isinstance(role, str) else role
        if roles not in self._tokens:
            token = email = f"{'-'.join(roles)}@example.com"
            digest = hashlib.sha256(token.encode()).hexdigest()
            expires_at = self.clock.now() + timedelta(days=3650)
            # Nobody has to be asked about it until it ends: most tests are not about log-ins.
            session = Session(digest, email, email, roles, expires_at, checked_at=expires_at)
            self.wiring.sessions.put(session)
            self._tokens[roles] = token
        return self._tokens[roles]

    def forget_tokens(self) -> None:
        """Log everybody in anew when they are needed."""
        self._tokens.clear()

    def signed(self, body: object, partner: str = "demo") -> Mapping[str, str]:
        """The headers with which a partner signs this body."""
        at = str(int(self.clock.now().timestamp()))
        text = at.encode() + b"." + json.dumps(body).encode()
        signature = hmac.new(PARTNER_SECRET.encode(), text, "sha256").hexdigest()
        return {"Mwanga-Partner": partner, "Mwanga-Signature": f"t={at},v1={signature}"}


def another_client(api: Api) -> Api:
    """A client of the same installation: Chalice's test client serves one request at a time."""
    other = Api(api.wiring, api.clock)
    other._tokens = api._tokens
    return other


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lost a race tries again at once."""
    monkeypatch.setattr("random.uniform", lambda low, high: low)


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands still: 10 March 2026, noon in Nairobi."""
    return FixedClock()


@pytest.fixture
def api(cloud: Cloud, clock: FixedClock) -> Iterator[Api]:
    """The API of an installation with nothing in it but secrets."""
    put_secrets(cloud)
    yield Api(Wiring(clock), clock)


def put_secrets(cloud: Cloud) -> None:
    """The secrets of every installation here: put once per process, others get a copy."""
    backend = secretsmanager_backends[ACCOUNT][REGION]
    if "secrets" not in _made:
        _put_secrets(cloud)
        _made["secrets"] = copy.deepcopy(backend.secrets)
    backend.secrets = copy.deepcopy(_made["secrets"])


_made: dict[str, Any] = {}
"""What takes long to make, as moto has it."""


def _put_secrets(cloud: Cloud) -> None:
    key = base64.b64encode(b"k" * 32).decode()
    cloud.put_secret("device-keys", {"current": "k1", "keys": {"k1": key}})
    cloud.put_secret("channels/direct", {"partners": {"demo": [PARTNER_SECRET]}})
    daraja = {"short_code": "600966", "path_secrets": [PATH_SECRET], "addresses": ["127.0.0.1"]}
    cloud.put_secret("channels/daraja", daraja)
    nobody = "http://127.0.0.1:1"
    paystack = {"base_url": nobody, "secret_keys": ["sk_test"], "email": "a@example.org"}
    cloud.put_secret("channels/paystack", paystack)
    for channel in Wiring().channels:
        if channel.secret not in ("channels/daraja", "channels/paystack", "channels/direct"):
            content = provider_secret(channel.key) if channel.key in PROVIDERS else {}
            cloud.put_secret(channel.secret, content)


@cache
def provider_secret(key: str) -> dict[str, Any]:
    """What a company keeps of a provider that cannot be reached here."""
    given = {**providers.made_up_by(key), "public_url": "http://127.0.0.1:1/api"}
    return providers.secret(key, given, "http://127.0.0.1:1")


@dataclass(frozen=True)
class Place:
    """Where devices stand, what their energy costs, and what is sold."""

    village_id: int
    tariff_id: int
    tv_id: int
    shs_id: int


@dataclass(frozen=True)
class Standing:
    """An installation that nobody changes."""

    api: Api
    place: Place
    cloud: Cloud

    def everything(self) -> dict[str, list[Any]]:
        """All that is stored, but for log-ins and for numbers, which may be used in vain."""
        tables = self.cloud.dynamodb.list_tables()["TableNames"]
        kept = [name for name in tables if not name.endswith(("wrong_tries", "sessions"))]
        found = {name: self.cloud.dynamodb.scan(TableName=name)["Items"] for name in kept}
        return {
            name: [item for item in items if "last" not in item] for name, items in found.items()
        }


@pytest.fixture
def place(api: Api) -> Place:
    """See ``made_place``: made once per process, each test whose first it is gets a copy."""
    backend = dynamodb_backends[ACCOUNT][REGION]
    if "place" not in _made:
        place = made_place(api)
        _made.update(place=place, tables=copy.deepcopy(backend.tables))
        return place
    backend.tables = copy.deepcopy(_made["tables"])
    made: Place = _made["place"]
    return made


@pytest.fixture(scope="module")
def standing() -> Iterator[Standing]:
    """One installation for a module whose tests write nothing: it takes a while to make.

    C1 has an SHS, ``SOLD``, with an open plan.
    """
    with mock_aws():
        forget_clients()
        cloud = installed()
        put_secrets(cloud)
        clock = FixedClock()
        api = Api(Wiring(clock), clock)
        place = made_place(api)
        api.post("/registrations", registration(person(place), shs(serial_number="SOLD")), "office")
        yield Standing(api, place, cloud)
    forget_clients()


def made_place(api: Api) -> Place:
    """A village, a tariff of 100 per kWh, a TV, and an SHS with a default plan."""
    cluster = api.post("/clusters", {"name": "West"}).json["id"]
    mini_grid = api.post("/mini-grids", {"name": "Lake", "cluster_id": cluster}).json["id"]
    village = api.post("/villages", {"name": "Kisumu", "mini_grid_id": mini_grid}).json["id"]
    tariff = api.post("/tariffs", {"name": "Home", "price_per_kwh": "100"}).json["id"]
    tv = api.post("/appliances", {"name": "TV", "kind": "appliance", "price": "3000"}).json["id"]
    shs = api.post(
        "/appliances",
        {
            "name": "Home 60",
            "kind": "shs",
            "price": "7000",
            "default_plan": {"instalments": 10, "every": "week", "first_due_after_days": 7},
        },
    ).json["id"]
    return Place(village, tariff, tv, shs)


def person(place: Place, **changes: object) -> dict[str, object]:
    """A customer as a form has it."""
    asha = {
        "name": "Asha",
        "surname": "Mushi",
        "phone": "0712 345 678",
        "village_id": place.village_id,
    }
    return {**asha, **changes}


def meter(place: Place, **changes: object) -> dict[str, object]:
    """A meter as a form has it."""
    return {
        "serial_number": "47001",
        "manufacturer": "calin",
        "tariff_id": place.tariff_id,
        **changes,
    }


PLAN = {"total": "7000", "instalments": 10, "every": "week", "first_due": "2026-03-17"}


def shs(**changes: object) -> dict[str, object]:
    """An SHS with a plan of ten weeks, as a form has it."""
    device = {
        "serial_number": "SHS1",
        "manufacturer": "openpaygo",
        "plan": PLAN,
        "technical": TECHNICAL,
    }
    return {**device, **changes}


def registration(customer: object, device: object, **more: object) -> dict[str, object]:
    """The registration of a customer and a device."""
    return {"customer": customer, "device": device, **more}


def entries(api: Api, customer_id: str) -> list[Entry]:
    """All entries of a customer, as they are stored, by version."""
    return [row.value() for row in EntryRow.query(customer_id)]


def books_differ(api: Api, customer_id: str) -> list[Difference]:
    """What the proof of a customer's books finds wrong, from entries alone."""
    account = api.wiring.accounts.get(customer_id)
    assert account is not None
    return check_books(account, map(posting_of, entries(api, customer_id)))


def put_account(api: Api, account: Account) -> None:
    """Put an account into the store as it is."""
    AccountRow.of(account).save()
