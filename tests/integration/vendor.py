"""The other sides as the tests of the services need them: real servers that count what they sell.

Each does the one thing that its vendor is known for, strictly enough to notice a wrong request,
and does as it is told first: ``behaviours`` are used up one a vend, ``look_behaviours`` one a
look-up.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl
from xml.etree.ElementTree import fromstring

from tests.integration.conftest import Cloud
from tests.unit.tls_server import certificates

Answer = tuple[int, Any]
"""Status and body: a text as it is, anything else as JSON."""

Behaviour = Callable[[dict[str, Any]], Answer]

NO_CONNECTION = "http://127.0.0.1:9"
"""Nobody listens there: a connection is refused at once."""


class HangUp(Exception):
    """Raised by a behaviour: the connection ends without an answer."""


def unclear(request: dict[str, Any]) -> Answer:
    """The vendor does nothing, and does not say so."""
    return 500, {}


def hanging_up(request: dict[str, Any]) -> Answer:
    """The vendor does nothing, and its connection breaks."""
    raise HangUp


class FakeVendor:
    """A server on this machine. ``requests`` lists the vends that were asked for.

    ``issued`` lists what was sold, in that order.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.issued: list[str] = []
        self.behaviours: list[Behaviour] = []
        self.looks: list[dict[str, Any]] = []
        self.look_behaviours: list[Behaviour] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call this server, or another address."""
        raise NotImplementedError

    def issue(self, request: dict[str, Any]) -> Answer:
        """The ordinary behaviour."""
        raise NotImplementedError

    def look(self, request: dict[str, Any]) -> Answer:
        """The ordinary answer to a look-up."""
        raise NotImplementedError

    def lost(self, request: dict[str, Any]) -> Answer:
        """Sell, and lose the answer."""
        self.issue(request)
        raise HangUp

    def is_look(self, path: str) -> bool:
        """Whether a request to that path has no effect."""
        return False

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer_to(self, method: str, path: str, request: dict[str, Any]) -> Answer:
        """Note a request, and behave."""
        look = method == "GET" or self.is_look(path)
        (self.looks if look else self.requests).append(request)
        told = self.look_behaviours if look else self.behaviours
        behave = told.pop(0) if told else (self.look if look else self.issue)
        return behave(request)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = _fields_of(body) if body else {"path": self.path}
                try:
                    status, answer = fake.answer_to(self.command, self.path, request)
                except HangUp:
                    self.close_connection = True
                    return
                content = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent."""

        return Handler


def _fields_of(body: bytes) -> dict[str, Any]:
    """The JSON, the form or the texts of the XML in a body."""
    if body.startswith(b"<"):
        elements = fromstring(body).iter()
        return {e.tag.rpartition("}")[2]: e.text for e in elements if not len(e)}
    fields: dict[str, Any] = (
        json.loads(body) if body.startswith(b"{") else dict(parse_qsl(body.decode("ascii")))
    )
    return fields


class FakeCalin(FakeVendor):
    """Calin: a fresh 20-digit token for every request. It cannot be asked what became of one."""

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it, and to open device keys."""
        key = base64.b64encode(b"k" * 32).decode()
        cloud.put_secret("device-keys", {"current": "k1", "keys": {"k1": key}})
        credentials = {"base_url": base_url or self.url, "user_id": "u", "password": "p"}
        cloud.put_secret("manufacturers/calin", credentials)

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh token."""
        token = f"{10**19 + len(self.issued)}"
        self.issued.append(token)
        return 200, {"result_code": 0, "reason": "OK", "result": token}


class FakeGomeLong(FakeVendor):
    """GomeLong: a fresh 20-digit token for every request; ``tariffs`` with their prices."""

    def __init__(self) -> None:
        super().__init__()
        self.tariffs: dict[str, str] = {}

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        credentials = {"base_url": base_url or self.url, "user_id": "u", "password": "p"}
        cloud.put_secret("manufacturers/gomelong", credentials)

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh token, or what is asked about tariffs."""
        if "meter" not in request:
            return 200, {"ReturnCode": 1, "ReturnMessage": "", "Data": self._tariff(request)}
        token = f"{3 * 10**19 + len(self.issued)}"
        self.issued.append(token)
        return 200, {"ReturnCode": 1, "ReturnMessage": "", "Data": {"Token": token}}

    def _tariff(self, request: dict[str, Any]) -> Any:
        if "Name" in request:
            self.tariffs[request["Name"]] = request["Price"]
            return {"FID": request["Name"]}
        return [{"FID": n, "Name": n, "Price": price} for n, price in self.tariffs.items()]


class FakeStronV3(FakeVendor):
    """Stron: a fresh 20-digit token for every request. It cannot be asked anything."""

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        names = dict.fromkeys(("company_name", "user_name", "password"), "x")
        cloud.put_secret("manufacturers/stron_v3", {"base_url": base_url or self.url, **names})

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh token."""
        token = f"{5 * 10**19 + len(self.issued)}"
        self.issued.append(token)
        return 200, [{"Token": token, "Meter_id": request["MeterID"]}]


class FakeChint(FakeVendor):
    """Chint: a fresh 20-digit token for every request, and tokens of a new key if ``rekeys``."""

    def __init__(self) -> None:
        super().__init__()
        self.rekeys: tuple[str, str] = ("", "")

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        credentials = {"base_url": base_url or self.url, "user_name": "u", "password": "p"}
        cloud.put_secret("manufacturers/chint", credentials)

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh token: of one kWh per unit of money, whatever our own tariff says."""
        token = f"{6 * 10**19 + len(self.issued)}"
        self.issued.append(token)
        first, second = self.rekeys
        return 200, (
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            '<TransactionResponse xmlns="http://jianpanbiaoEnglish/PrepaidWebService">'
            "<TransactionResult><Result>0</Result><Reason/>"
            f"<Key1Token>{first}</Key1Token><Key2Token>{second}</Key2Token>"
            f"<RechargeToken>{token}</RechargeToken><Energy>{request['Amount']}</Energy>"
            "</TransactionResult></TransactionResponse></s:Body></s:Envelope>"
        )


class FakeSunKing(FakeVendor):
    """Sun King: a log-in, then a fresh 12-digit token for every request."""

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        url = base_url or self.url
        cloud.put_secret(
            "manufacturers/sunking",
            {"base_url": url, "auth_url": f"{url}/auth", "client_id": "c", "client_secret": "s"},
        )

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh token."""
        token = f"{4 * 10**11 + len(self.issued)}"
        self.issued.append(token)
        return 200, {"token": token}

    def look(self, request: dict[str, Any]) -> Answer:
        """A session, or a unit: whose number begins with 0 is not known."""
        if "path" not in request:
            return 200, {"access_token": "b", "expires_in": 300}
        if request["path"].rpartition("/")[2].startswith("0"):
            return 404, {"message": "Device not found", "details": ""}
        return 200, {"device": {"code": "312"}}

    def is_look(self, path: str) -> bool:
        """Whether it is the log-in."""
        return path == "/auth"


class FakeCalinSmart(FakeVendor):
    """Calin Smart: a fresh 20-digit token for every request, and a list of a meter's purchases.

    It knows no names of ours, so two equal requests are two purchases. They are dated by
    ``clock``, in UTC.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._clock = clock
        self.purchases: list[dict[str, Any]] = []

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        names = ("company_name", "user_name", "password", "password_vend")
        cloud.put_secret(
            "manufacturers/calin_smart",
            {"base_url": base_url or self.url, "time_zone": "UTC", **dict.fromkeys(names, "x")},
        )

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh token."""
        assert request["is_vend_by_unit"] is True
        token = f"{2 * 10**19 + len(self.issued)}"
        self.issued.append(token)
        self.purchases.append(
            {
                "meter_number": request["meter_number"],
                "total_unit": request["amount"],
                "token": token,
                "create_date": self._clock().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S"),
            }
        )
        return 200, {"result_code": 0, "reason": "OK", "result": {"token": token}}

    def look(self, request: dict[str, Any]) -> Answer:
        """The meter's purchases."""
        rows = [p for p in self.purchases if p["meter_number"] == request["meter_number"]]
        return 200, {"result_code": 0, "reason": "OK", "result": rows}

    def is_look(self, path: str) -> bool:
        """Whether the list of purchases is asked for."""
        return path == "/POS_PurchaseHistory"


class FakeSparkMeter(FakeVendor):
    """SparkMeter: a site's server that takes top-ups, and Koios, which lists them all.

    ``first_state`` is that of a fresh transaction; ``transactions`` are as Koios has them, and a
    test may change or hide them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first_state = "processed"
        self.transactions: list[dict[str, Any]] = []

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        url = base_url or self.url
        cloud.put_secret(
            "manufacturers/sparkmeter",
            {
                "koios": {
                    "base_url": f"{url}/koios",
                    "api_key": "key",
                    "api_secret": "secret",
                    "organization_id": "org-1",
                },
                "sites": {"lake": {"base_url": url, "token": "t"}},
            },
        )

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh transaction, also where its name was taken before."""
        assert request["source"] == "cash"
        reference = f"tr-{len(self.issued) + 1}"
        self.issued.append(reference)
        self.transactions.append(
            {
                "transaction_id": reference,
                "external_id": request["external_id"],
                "amount": request["amount"],
                "state": self.first_state,
            }
        )
        said = {"error": None, "transaction_id": reference, "status": self.first_state}
        return 201, said

    def look(self, request: dict[str, Any]) -> Answer:
        """The one transaction that is named in the path, or all of them."""
        if "path" not in request:
            return 200, {"results": self.transactions, "cursor": None}
        reference = request["path"].rpartition("/")[2]
        known = [t for t in self.transactions if t["transaction_id"] == reference]
        if not known:
            return 404, {"error": "no such transaction"}
        return 200, {"transaction": {**known[0], "status": known[0]["state"]}}

    def becomes(self, state: str) -> None:
        """All transactions are in that state from now on."""
        for transaction in self.transactions:
            transaction["state"] = state

    def is_look(self, path: str) -> bool:
        """Whether Koios is asked."""
        return path.startswith("/koios/")


class FakeAngaza(FakeVendor):
    """Angaza: is told until when a unit runs, and answers the keycode that makes it so.

    ``units`` says until when each runs; the same state once more is the same keycode.
    """

    def __init__(self) -> None:
        super().__init__()
        self.units: dict[str, str] = {}

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        cloud.put_secret(
            "manufacturers/angaza",
            {"base_url": base_url or self.url, "client_id": "c", "client_secret": "s"},
        )

    def issue(self, request: dict[str, Any]) -> Answer:
        """Set the state of a unit."""
        unit = request["unit_number"]
        until = request["state"]["desired"]["credit_until_dt"]
        if self.units.get(unit) != until or not self.issued:
            self.issued.append(f"{10**11 + len(self.issued)}")
        self.units[unit] = until
        return 200, {"_embedded": {"latest_keycode": {"keycode": self.issued[-1]}}}

    @property
    def told(self) -> list[str]:
        """The states that were asked for, in that order."""
        return [r["state"]["desired"]["credit_until_dt"] for r in self.requests]


class FakeGomeLongV1(FakeVendor):
    """GomeLong's newer server: a fresh 20-digit token for every request, each of them a GET."""

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        credentials = {"base_url": base_url or self.url, "user_id": "u", "password": "p"}
        cloud.put_secret("manufacturers/gomelong_v1", credentials)

    def look(self, request: dict[str, Any]) -> Answer:
        """A fresh token."""
        token = f"{7 * 10**19 + len(self.issued)}"
        self.issued.append(token)
        return 200, {"Code": 200, "Message": "", "Data": {"Token": token}}


class FakeMicroStar(FakeVendor):
    """MicroStar: a fresh 20-digit token for every request, each of them a GET."""

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it, a certificate included."""
        given = certificates()
        names = ("pkcs12", "pkcs12_password", "ca_certificate")
        content = {"base_url": base_url or self.url, **{name: given[name] for name in names}}
        cloud.put_secret("manufacturers/microstar", content)

    def look(self, request: dict[str, Any]) -> Answer:
        """A fresh token."""
        token = f"{8 * 10**19 + len(self.issued)}"
        self.issued.append(token)
        return 200, {"errorCode": 1000, "token": token}


class FakeStron(FakeVendor):
    """Stron's older server: a log-in, then a fresh 20-digit token for every request."""

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        names = dict.fromkeys(("company_name", "user_name", "password"), "x")
        cloud.put_secret("manufacturers/stron", {"base_url": base_url or self.url, **names})

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh token."""
        token = f"{9 * 10**19 + len(self.issued)}"
        self.issued.append(token)
        return 200, json.dumps(f"{token},1.0")

    def look(self, request: dict[str, Any]) -> Answer:
        """A session."""
        return 200, '"a-session"'

    def is_look(self, path: str) -> bool:
        """Whether it is the log-in."""
        return path == "/login/"


class FakeSparkShs(FakeVendor):
    """Spark Energy: a log-in, a count of each kit's tokens, and a fresh token for every request."""

    def __init__(self) -> None:
        super().__init__()
        self.made_elsewhere = 0

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        url = base_url or self.url
        names = dict.fromkeys(("audience", "client_id", "client_secret"), "x")
        content = {"base_url": url, "auth_url": f"{url}/oauth/token", **names}
        cloud.put_secret("manufacturers/spark_shs", content)

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh token."""
        self.issued.append(f"{5 * 10**14 + len(self.issued)}")
        return 201, {"token": self.issued[-1]}

    def look(self, request: dict[str, Any]) -> Answer:
        """A session, or a kit."""
        if "path" not in request:
            return 200, {"access_token": "b", "expires_in": 300}
        serial_number = request["path"].rpartition("/")[2]
        token = self.issued[-1] if self.issued else ""
        count = len(self.issued) + self.made_elsewhere
        return 200, {"serial": serial_number, "n": count, "token": token}

    def is_look(self, path: str) -> bool:
        """Whether it is the log-in."""
        return path == "/oauth/token"


class FakeSteama(FakeVendor):
    """SteamaCo: a log-in, top-ups, and a list of them. They are dated by ``clock``."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._clock = clock
        self.transactions: list[dict[str, Any]] = []

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        content = {"base_url": base_url or self.url, "username": "u", "password": "p"}
        cloud.put_secret("manufacturers/steama", content)

    def issue(self, request: dict[str, Any]) -> Answer:
        """A fresh transaction of the one customer that there is."""
        number = 9001 + len(self.issued)
        self.issued.append(str(number))
        transaction = {
            "id": number,
            "customer_id": 777,
            "amount": request["amount"],
            "category": request["category"],
            "timestamp": self._clock().isoformat(),
            "reversed_by_id": None,
        }
        self.transactions.append(transaction)
        return 201, transaction

    def look(self, request: dict[str, Any]) -> Answer:
        """A session, or all transactions."""
        if "path" not in request:
            return 200, {"token": "a-session"}
        return 200, {"results": self.transactions, "next": None}

    def is_look(self, path: str) -> bool:
        """Whether it is the log-in."""
        return path == "/get-token/"


class FakeDalyBms(FakeVendor):
    """Daly's cloud: a log-in, relays that are switched, and what state they are in.

    ``relays`` says which bikes are on. While ``out_of_reach``, a bike is switched only in word.
    """

    def __init__(self) -> None:
        super().__init__()
        self.relays: dict[str, bool] = {}
        self.out_of_reach = False

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        cloud.put_secret(
            "manufacturers/daly_bms",
            {"base_url": base_url or self.url, "username": "u", "password": "p"},
        )

    def issue(self, request: dict[str, Any]) -> Answer:
        """Switch a relay."""
        data = request["data"]
        self.issued.append(f"{data['Code']} {'on' if data['ACC'] else 'off'}")
        if not self.out_of_reach:
            self.relays[data["Code"]] = bool(data["ACC"])
        return 200, {"status": 200, "msg": "", "response": {"Data": []}}

    def look(self, request: dict[str, Any]) -> Answer:
        """A session, or the state of bikes."""
        if "codes" not in request:
            session = {"token": "b", "expires_in": 300}
            return 200, {"status": 200, "msg": "", "response": session}
        rows = [
            {"Code": code, "Status": "ACCON" if self.relays.get(code) else "ACCOFF"}
            for code in request["codes"]
        ]
        return 200, {"status": 200, "msg": "", "response": {"Data": rows}}

    def is_look(self, path: str) -> bool:
        """Whether nothing is switched."""
        return path != "/Monitor/Send"


def until(moment: datetime, days: int = 0) -> str:
    """That many days after a moment, as Angaza is told it."""
    return (moment + timedelta(days=days)).isoformat()


class FakePaystack(FakeVendor):
    """Paystack: every transaction was paid in full, and every refund is taken, then made.

    ``amounts`` says in hundredths what was paid under each reference.
    """

    def __init__(self) -> None:
        super().__init__()
        self.amounts: dict[str, int] = {}

    def put_secrets(self, cloud: Cloud, base_url: str | None = None) -> None:
        """What a process needs to call it."""
        content = {"secret_keys": ["sk_test_1"], "email": "pay@example.org"}
        cloud.put_secret("channels/paystack", {"base_url": base_url or self.url, **content})

    def issue(self, request: dict[str, Any]) -> Answer:
        """Take a refund."""
        self.issued.append(f"{len(self.issued) + 1}")
        data = {"id": len(self.issued), "status": "pending"}
        return 200, {"status": True, "message": "Refund queued", "data": data}

    def look(self, request: dict[str, Any]) -> Answer:
        """What became of a transaction, or of a refund."""
        what, _, name = request["path"].rpartition("/")
        if what == "/refund":
            data: dict[str, Any] = {"id": int(name), "status": "processed"}
        else:
            data = {
                "id": 10**9 + len(self.looks),
                "reference": name,
                "status": "success",
                "amount": self.amounts[name],
                "currency": "KES",
            }
        return 200, {"status": True, "message": "ok", "data": data}
