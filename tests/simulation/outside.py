"""Manufacturers, a payment provider and telephones, as one real server that counts.

Each speaks as much of its documented contract as our modules use. What has been sold, refunded
and sent is kept, so that a test can compare it with what we believe.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.integration.company import FixedClock

PAYSTACK_KEY = "sk_test_simulation"


class Fault(StrEnum):
    """How the next request of one kind fails."""

    DEAF = "deaf"
    """Nothing is done, and no answer comes."""
    MUTE = "mute"
    """It is done, and no answer comes."""
    REFUSING = "refusing"
    """Nothing is done, and that is said."""
    SLOW = "slow"
    """It is taken, and done only after the next look at it."""


@dataclass
class Sale:
    """One vend that a manufacturer made: for which device, under which name of ours."""

    manufacturer: str
    subject: str
    token: str | None
    name: str | None = None
    amount: str = ""
    state: str = "processed"
    at: str = ""


@dataclass
class Checkout:
    """One transaction at the provider."""

    number: int
    reference: str
    amount: int
    status: str = "abandoned"


@dataclass
class MoneyBack:
    """One refund at the provider."""

    number: int
    reference: str
    amount: int
    note: str
    status: str = "pending"


@dataclass
class Kept:
    """All that the outside remembers."""

    sales: list[Sale] = field(default_factory=list)
    checkouts: list[Checkout] = field(default_factory=list)
    refunds: list[MoneyBack] = field(default_factory=list)
    texts: list[tuple[str, int]] = field(default_factory=list)
    """The SMS that were sent, as payment and number."""
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    """Used up first to last, by the first part of the path."""

    def sold(self, manufacturer: str) -> list[Sale]:
        """What that manufacturer has sold."""
        return [sale for sale in self.sales if sale.manufacturer == manufacturer]


Reply = tuple[int, Any]


class Outside:
    """The server. ``kept`` is what it remembers; a test may put another in its place."""

    def __init__(self, clock: FixedClock) -> None:
        self.kept = Kept()
        self._clock = clock
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def secrets(self) -> dict[str, Any]:
        """What our modules must know to call this server."""
        return {
            "manufacturers/calin": {
                "base_url": f"{self.url}/calin",
                "user_id": "u",
                "password": "p",
            },
            "manufacturers/calin_smart": {
                "base_url": f"{self.url}/calin_smart",
                "company_name": "c",
                "user_name": "u",
                "password": "p",
                "password_vend": "v",
                "time_zone": "UTC",
            },
            "manufacturers/sparkmeter": {
                "koios": {
                    "base_url": f"{self.url}/koios",
                    "api_key": "k",
                    "api_secret": "s",
                    "organization_id": "o",
                },
                "sites": {"lake": {"base_url": f"{self.url}/sparkmeter", "token": "t"}},
            },
            "manufacturers/angaza": {
                "base_url": f"{self.url}/angaza",
                "client_id": "c",
                "client_secret": "s",
            },
            "channels/paystack": {
                "base_url": f"{self.url}/paystack",
                "secret_keys": [PAYSTACK_KEY],
                "email": "pay@example.org",
            },
        }

    def fail(self, kind: str, *faults: Fault) -> None:
        """Let the next requests of that kind fail so, one after the other."""
        self.kept.faults += [(kind, fault) for fault in faults]

    def pay(self) -> Checkout:
        """The payer pays what was opened last."""
        checkout = self.kept.checkouts[-1]
        checkout.status = "success"
        return checkout

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- one request --------------------------------------------------------------------------

    def _answered(self, method: str, target: str, body: bytes) -> Reply | None:
        """What is answered; ``None``: nothing is."""
        parts = urlsplit(target)
        _, kind, path = parts.path.split("/", 2)
        asked = json.loads(body) if body else {}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        serve: Callable[..., Reply] = getattr(self, f"_{kind}")
        with self._lock:
            fault = self._fault(kind if kind != "paystack" else f"{method} {parts.path}")
            if fault is Fault.DEAF:
                return None
            reply = serve(method, path, asked, query, fault)
            return None if fault is Fault.MUTE else reply

    def _fault(self, kind: str) -> Fault | None:
        for position, (of_kind, fault) in enumerate(self.kept.faults):
            if kind == of_kind:
                del self.kept.faults[position]
                return fault
        return None

    def _token(self) -> str:
        return f"{10**19 + len(self.kept.sales)}"

    # --- the manufacturers --------------------------------------------------------------------

    def _calin(self, method: str, path: str, asked: Any, query: Any, fault: Fault | None) -> Reply:
        if fault is Fault.REFUSING:
            return 200, {"result_code": 3, "reason": "meter not found"}
        sale = Sale("calin", asked["meter_id"], self._token(), amount=str(asked["amount"]))
        self.kept.sales.append(sale)
        return 200, {"result_code": 0, "reason": "OK", "result": sale.token}

    def _calin_smart(
        self, method: str, path: str, asked: Any, query: Any, fault: Fault | None
    ) -> Reply:
        meter = asked["meter_number"]
        if path == "POS_PurchaseHistory":
            rows = [
                {
                    "token": sale.token,
                    "meter_number": sale.subject,
                    "total_unit": sale.amount,
                    "create_date": sale.at,
                }
                for sale in self.kept.sold("calin_smart")
                if sale.subject == meter
            ]
            return 200, {"result_code": 0, "reason": "", "result": rows}
        at = self._clock.now().strftime("%Y-%m-%d %H:%M:%S")
        sale = Sale("calin_smart", meter, self._token(), amount=str(asked["amount"]), at=at)
        self.kept.sales.append(sale)
        return 200, {"result_code": 0, "reason": "", "result": {"token": sale.token}}

    def _sparkmeter(
        self, method: str, path: str, asked: Any, query: Any, fault: Fault | None
    ) -> Reply:
        if method == "GET":
            number = path.rpartition("/")[2]
            sale = self.kept.sales[int(number)]
            told = {"status": sale.state, "external_id": sale.name}
            sale.state = "processed"
            return 200, {"error": None, "transaction": told}
        number = len(self.kept.sales)
        state = "pending" if fault is Fault.SLOW else "processed"
        self.kept.sales.append(
            Sale(
                "sparkmeter",
                asked["customer_id"],
                None,
                asked["external_id"],
                asked["amount"],
                state,
            )
        )
        return 201, {"error": None, "transaction_id": str(number), "status": state}

    def _koios(self, method: str, path: str, asked: Any, query: Any, fault: Fault | None) -> Reply:
        rows = [
            {"transaction_id": str(number), "external_id": sale.name, "state": sale.state}
            for number, sale in enumerate(self.kept.sales)
            if sale.manufacturer == "sparkmeter"
        ]
        return 200, {"results": rows, "cursor": None}

    def _angaza(self, method: str, path: str, asked: Any, query: Any, fault: Fault | None) -> Reply:
        if fault is Fault.REFUSING:
            return 404, {"context": {"reason": "unit not found"}}
        unit, until = asked["unit_number"], asked["state"]["desired"]["credit_until_dt"]
        told = [sale for sale in self.kept.sold("angaza") if sale.subject == unit]
        if told and told[-1].amount == until:  # the same state once more is the same keycode
            keycode = told[-1].token
        else:
            keycode = self._token()[-12:]
            self.kept.sales.append(Sale("angaza", unit, keycode, amount=until))
        return 200, {"_embedded": {"latest_keycode": {"keycode": keycode}}}

    # --- the provider -------------------------------------------------------------------------

    def _paystack(
        self, method: str, path: str, asked: Any, query: Any, fault: Fault | None
    ) -> Reply:
        if fault is Fault.REFUSING:
            return 400, {"status": False, "message": "no"}
        if path == "transaction/initialize":
            number = 1000 + len(self.kept.checkouts)
            checkout = Checkout(number, asked["reference"], asked["amount"])
            self.kept.checkouts.append(checkout)
            return _well({"authorization_url": f"{self.url}/pay/{checkout.number}"})
        if path.startswith("transaction/verify/"):
            return self._verified(unquote(path.rpartition("/")[2]))
        if method == "POST":
            return self._refunded(asked)
        if path == "refund":
            checkout = self._checkout(query["transaction"])
            of_it = [r for r in self.kept.refunds if checkout and r.reference == checkout.reference]
            return _well([self._shown(refund) for refund in of_it])
        (refund,) = [r for r in self.kept.refunds if str(r.number) == path.rpartition("/")[2]]
        return _well(self._shown(refund))

    def _checkout(self, name: str) -> Checkout | None:
        names = [c for c in self.kept.checkouts if name in (c.reference, str(c.number))]
        return names[0] if names else None

    def _verified(self, reference: str) -> Reply:
        checkout = self._checkout(reference)
        if checkout is None:
            return 404, {"status": False, "message": "Transaction reference not found"}
        return _well(charge(checkout))

    def _refunded(self, asked: Any) -> Reply:
        checkout = self._checkout(asked["transaction"])
        given_back = sum(r.amount for r in self.kept.refunds if r.status != "failed")
        assert checkout is not None
        if asked["amount"] > checkout.amount - given_back:
            return 400, {"status": False, "message": "more than the transaction"}
        number = 5000 + len(self.kept.refunds)
        refund = MoneyBack(number, checkout.reference, asked["amount"], asked["merchant_note"])
        self.kept.refunds.append(refund)
        return _well({"id": refund.number, "status": refund.status, "merchant_note": refund.note})

    def _shown(self, refund: MoneyBack) -> dict[str, Any]:
        """The money is back when one looks at it."""
        refund.status = "processed"
        return {"id": refund.number, "status": refund.status, "merchant_note": refund.note}

    # --- the telephones -----------------------------------------------------------------------

    def _sms(self, method: str, path: str, asked: Any, query: Any, fault: Fault | None) -> Reply:
        if fault is Fault.REFUSING:
            return 503, {}
        self.kept.texts.append((asked["payment_id"], asked["number"]))
        return 200, {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                reply = outside._answered(self.command, self.path, body)
                if reply is None:
                    self.close_connection = True
                    return
                status, answer = reply
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = _serve

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent."""

        return Handler


def charge(checkout: Checkout) -> dict[str, Any]:
    """A transaction, as verification and webhook tell it."""
    return {
        "id": checkout.number,
        "status": checkout.status,
        "reference": checkout.reference,
        "amount": checkout.amount,
        "currency": "KES",
        "paid_at": None,
    }


def _well(data: Any) -> Reply:
    return 200, {"status": True, "message": "ok", "data": data}
