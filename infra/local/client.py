"""A small client of the local cloud: staff, partners, providers and the fakes.

Everything goes over HTTP as it would on AWS; only :attr:`Cloud.aws` looks behind the counter.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import requests

from infra.local.deploy import client

T = TypeVar("T")

SECONDS_PER_CALL = 40
EAST_AFRICA = timezone(timedelta(hours=3))
"""Daraja writes its times as Kenya's clocks show them."""

DONE = frozenset({"completed", "held", "refused", "refund_due", "refunded", "expired"})
"""The states in which a payment waits for nobody but, perhaps, a person."""


class TooLate(AssertionError):
    """What was waited for did not come in time. The text says what was there instead."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. ``body`` is the parsed JSON, or the text where it is no JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """The stable code of a problem, or nothing."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def fields(self) -> set[str]:
        """The fields that a problem names."""
        return {error["field"] for error in self.body.get("errors", ())}


def wait_for(
    read: Callable[[], T], until: Callable[[T], bool], what: str, seconds: float = 30
) -> T:
    """Read until it is as wanted; answers what was read last.

    Raises:
        TooLate: it was not so within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not until(found := read()):
        if time.monotonic() > deadline:
            raise TooLate(f"{what}: not after {seconds:.0f} seconds, but {found}")
        time.sleep(0.15)
    return found


class Api:
    """The HTTP API, for callers that say who they are in their own headers."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._session = requests.Session()
        self._session.trust_env = False  # a developer's proxy settings are not for this machine
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=32))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Make one call. ``body`` is sent as it is when it is bytes, else as JSON."""
        sent = {"Content-Type": "application/json"} if body is not None else {}
        response = self._session.request(
            method,
            self._base_url + path,
            data=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
            headers={**sent, **(headers or {})},
            params=query,
            timeout=SECONDS_PER_CALL,
            allow_redirects=False,
        )
        return Answer(response.status_code, response.headers, _content(response))

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()


def _content(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


class StaffMember:
    """A member of the staff who has logged in."""

    def __init__(self, api: Api, email: str, password: str) -> None:
        self._api = api
        self.email = email
        answer = api.call("POST", "/auth/login", {"email": email, "password": password})
        if answer.status != 200:
            raise RuntimeError(f"{email} cannot log in: {answer}")
        self.authorization = {"Authorization": f"Bearer {answer.body['access_token']}"}

    def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **query: Any
    ) -> Answer:
        """Make one call in this session; ``key`` is an ``Idempotency-Key``."""
        headers = {**self.authorization, **({"Idempotency-Key": key} if key else {})}
        return self._api.call(method, path, body, headers=headers, query=query)

    def get(self, path: str, **query: Any) -> Answer:
        """Read something."""
        return self.call("GET", path, **query)

    def post(self, path: str, body: Any, key: str | None = None) -> Answer:
        """Create something, or have something done."""
        return self.call("POST", path, body, key=key)

    def send_file(self, path: str, content: bytes, **query: Any) -> Answer:
        """Send a file as it is."""
        headers = {**self.authorization, "Content-Type": "application/octet-stream"}
        return self._api.call("POST", path, content, headers=headers, query=query)

    def put(self, path: str, body: Any) -> Answer:
        """Replace something."""
        return self.call("PUT", path, body)

    def delete(self, path: str) -> Answer:
        """Delete something."""
        return self.call("DELETE", path)


class Partner:
    """A partner on our own signed channel, ``direct``."""

    def __init__(self, api: Api, partner: str, secret: str) -> None:
        self._api = api
        self.partner = partner
        self.secret = secret

    def payment_id(self, reference: str) -> str:
        """The id of the payment of that reference."""
        return f"direct.{self.partner}-{reference}"

    def signed(
        self, text: bytes, *, at: float | None = None, secret: str | None = None
    ) -> dict[str, str]:
        """The headers that sign ``text`` (a raw body, or a reference) at that Unix time."""
        seconds = str(int(time.time() if at is None else at))
        message = seconds.encode() + b"." + text
        digest = hmac.new((secret or self.secret).encode(), message, hashlib.sha256).hexdigest()
        return {"Mwanga-Partner": self.partner, "Mwanga-Signature": f"t={seconds},v1={digest}"}

    def pay(self, serial_number: str, amount: str, reference: str, **more: Any) -> Answer:
        """Report a payment."""
        return self.post(
            "/payments/direct",
            _claim(serial_number, amount, reference=reference, **more),
        )

    def quote(self, serial_number: str, amount: str, **more: Any) -> Answer:
        """Ask what a payment would bring."""
        return self.post("/payments/direct/quotes", _claim(serial_number, amount, **more))

    def post(self, path: str, body: Any) -> Answer:
        """Post a body, JSON or raw bytes, with its true signature."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._api.call("POST", path, raw, headers=self.signed(raw))

    def get(self, reference: str) -> Answer:
        """Read the payment of that reference."""
        return self._api.call(
            "GET", f"/payments/direct/{reference}", headers=self.signed(reference.encode())
        )


def _claim(serial_number: str, amount: str, **more: Any) -> dict[str, Any]:
    return {"serial_number": serial_number, "amount": amount, "currency": "KES", **more}


class Daraja:
    """Safaricom's side: the question before the money moves, and the confirmation after."""

    def __init__(self, api: Api, channel: Mapping[str, str]) -> None:
        self._api = api
        self.validation_path = channel["validation_path"]
        self.confirmation_path = channel["confirmation_path"]
        self.short_code = channel["short_code"]

    def payment_id(self, transaction: str) -> str:
        """The id of the payment of that receipt."""
        return f"mpesa_ke.{self.short_code}-{transaction}"

    def receipt(self) -> str:
        """A receipt number that was not used before."""
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
        return "S" + "".join(secrets.choice(letters) for _ in range(9))

    def report(
        self, transaction: str, serial_number: str, amount: str, **changes: Any
    ) -> dict[str, Any]:
        """What Daraja posts, to both addresses; ``changes`` replace single fields."""
        return {
            "TransactionType": "Pay Bill",
            "TransID": transaction,
            "TransTime": datetime.now(EAST_AFRICA).strftime("%Y%m%d%H%M%S"),
            "TransAmount": amount,
            "BusinessShortCode": self.short_code,
            "BillRefNumber": serial_number,
            "InvoiceNumber": "",
            "OrgAccountBalance": "",
            "ThirdPartyTransID": "",
            "MSISDN": "2547 ***** 126",
            "FirstName": "ASHA",
            "MiddleName": "",
            "LastName": "",
            **changes,
        }

    def ask(self, transaction: str, serial_number: str, amount: str, **changes: Any) -> Answer:
        """The question: may this payment be made?"""
        report = self.report(transaction, serial_number, amount, **changes)
        return self._api.call("POST", self.validation_path, report)

    def confirm(self, transaction: str, serial_number: str, amount: str, **changes: Any) -> Answer:
        """The confirmation: this payment has been made."""
        report = self.report(transaction, serial_number, amount, **changes)
        return self._api.call("POST", self.confirmation_path, report)


class Paystack:
    """Paystack's side as we see it: the checkout that a payer asks for, and the webhooks."""

    def __init__(self, api: Api, channel: Mapping[str, str]) -> None:
        self._api = api
        self.webhook_path = channel["webhook_path"]
        self.checkout_path = channel["checkout_path"]
        self.secret_key = channel["secret_key"]

    def payment_id(self, reference: str) -> str:
        """The id of the payment of that reference."""
        return f"paystack-{reference}"

    def checkout(self, serial_number: str, amount: str, **more: Any) -> Answer:
        """Ask for a checkout, as the payer's page does."""
        body = {"serial_number": serial_number, "amount": amount, **more}
        return self._api.call("POST", self.checkout_path, body)

    def notice(
        self, reference: str, amount_hundredths: int, currency: str = "KES", **changes: Any
    ) -> dict[str, Any]:
        """The data of a ``charge.success``; ``changes`` replace single fields."""
        return {
            "id": secrets.randbelow(10**9) + 1,
            "domain": "test",
            "status": "success",
            "reference": reference,
            "amount": amount_hundredths,
            "currency": currency,
            "channel": "mobile_money",
            "paid_at": now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "metadata": {},
            "customer": {"email": "asha@mwanga.example"},
            **changes,
        }

    def webhook(self, event: str, data: Mapping[str, Any], *, key: str | None = None) -> Answer:
        """Tell of an event, signed with the secret key, or with another."""
        return self.post(json.dumps({"event": event, "data": data}).encode(), key=key)

    def post(self, body: bytes, *, key: str | None = None) -> Answer:
        """Post these bytes to the webhook, signed."""
        signature = hmac.new((key or self.secret_key).encode(), body, hashlib.sha512).hexdigest()
        headers = {"x-paystack-signature": signature}
        return self._api.call("POST", self.webhook_path, body, headers=headers)


class Fakes:
    """The other sides' own side: what they were asked, and what is to go wrong."""

    def __init__(self, control: str) -> None:
        self._control = Api(control)
        self._sink = Api(control.removesuffix("/_control"))

    def close(self) -> None:
        """Give the connections back."""
        self._control.close()
        self._sink.close()

    def order(self, vendor: str, fault: str, times: int = 1, **more: Any) -> None:
        """Let the vendor's next calls fail in that way."""
        self._done("/faults", {"vendor": vendor, "fault": fault, "times": times, **more})

    def rotate(self, vendor: str, **credentials: str) -> None:
        """Have a vendor accept these credentials from now on, and no others."""
        self._done("/credentials", {"vendor": vendor, **credentials})

    def clear(self) -> None:
        """Let everything work again."""
        self._control.call("DELETE", "/faults")

    def vends(self, vendor: str, serial_number: str) -> list[dict[str, Any]]:
        """What the vendor was asked for that device, and whether it did it, in order.

        SparkMeter knows its customers only: its ``customer_id`` stands for the serial number.
        """
        query = {"vendor": vendor, "serial_number": serial_number}
        items: list[dict[str, Any]] = self._control.call("GET", "/vends", query=query).body["items"]
        return items

    def refunds(self, provider: str) -> list[dict[str, Any]]:
        """The refunds that the provider has taken, in order."""
        query = {"provider": provider}
        items: list[dict[str, Any]] = self._control.call("GET", "/refunds", query=query).body[
            "items"
        ]
        return items

    def pay(self, reference: str, **more: Any) -> int | None:
        """Pay a checkout at Paystack; answers the status of our answer to its webhook, if any.

        ``more``: what is paid instead (``amount`` in hundredths, ``currency``), ``event``
        (``charge.failed``), and ``webhook=False`` where nobody is to be told.
        """
        return self._webhook_status("/paystack/pay", {"reference": reference, **more})

    def end_refund(self, refund_id: int, event: str) -> int | None:
        """Let a refund at Paystack be processed or fail, and tell; answers as :meth:`pay`."""
        body = {"refund_id": refund_id, "event": event}
        return self._webhook_status("/paystack/refund-webhook", body)

    def _webhook_status(self, path: str, body: Mapping[str, Any]) -> int | None:
        status: int | None = self._done(path, body)["webhook_status"]
        return status

    def have(self, provider: str, what: str, body: Mapping[str, Any]) -> Any:
        """Have something done at a provider's side: its control of that name; answers what it says.

        Raises:
            RuntimeError: it was not done.
        """
        return self._done(f"/{provider}/{what}", body)

    def _done(self, path: str, body: Any) -> Any:
        answer = self._control.call("POST", path, body)
        if answer.status >= 300:
            raise RuntimeError(f"the fakes did not do it: {answer}")
        return answer.body

    def sms(self) -> list[dict[str, Any]]:
        """All SMS that were handed to the gateway, oldest first."""
        items: list[dict[str, Any]] = self._sink.call("GET", "/sms").body["items"]
        return items

    def issued(self, vendor: str, serial_number: str) -> list[str]:
        """The tokens that the vendor issued for that device; a remote top-up brings none."""
        return [vend["token"] for vend in self.vends(vendor, serial_number) if vend["token"]]


class Cloud:
    """A local cloud that is up, seen from outside."""

    def __init__(self, stack: Mapping[str, Any]) -> None:
        self.stack = stack
        self.api = Api(stack["base_url"])
        self.fakes = Fakes(stack["fakes"]["control"])
        self.daraja = Daraja(self.api, stack["channels"]["daraja"])
        self.paystack = Paystack(self.api, stack["channels"]["paystack"])
        direct = stack["direct"]
        self.partner = Partner(self.api, direct["partner"], direct["secret"])
        second = direct["second"]
        self.second_partner = Partner(self.api, second["partner"], second["secret"])
        self._staff: dict[str, StaffMember] = {}

    def close(self) -> None:
        """Give the connections back."""
        self.api.close()
        self.fakes.close()

    def checkout(self, channel: str, serial_number: str, amount: str, **more: Any) -> Answer:
        """Start a payment on a channel, as a payer does."""
        body = {"serial_number": serial_number, "amount": amount, **more}
        return self.api.call("POST", f"/payments/{channel}/checkouts", body)

    def staff(self, role: str) -> StaffMember:
        """The member of the staff with that role, logged in once."""
        if role not in self._staff:
            self._staff[role] = StaffMember(self.api, **self.stack["staff"][role])
        return self._staff[role]

    def aws(self, service: str) -> Any:
        """A client of the emulated AWS itself."""
        return client(service, self.stack["aws_endpoint"])

    def payment(self, payment_id: str) -> dict[str, Any]:
        """The payment as staff see it.

        Raises:
            LookupError: there is no such payment.
        """
        answer = self.staff("operations").get(f"/payments/{payment_id}")
        if answer.status != 200:
            raise LookupError(f"{payment_id}: {answer.status} {answer.body}")
        payment: dict[str, Any] = answer.body
        return payment

    def wait_for_payment(
        self, payment_id: str, statuses: Collection[str] = DONE, seconds: float = 40
    ) -> dict[str, Any]:
        """The payment once it is in one of those states.

        Raises:
            TooLate: it was not within ``seconds``.
        """
        return wait_for(
            lambda: self.payment(payment_id),
            lambda payment: payment["status"] in statuses,
            f"{payment_id} is {' or '.join(sorted(statuses))}",
            seconds,
        )

    def messages(self, payment_id: str) -> list[dict[str, Any]]:
        """The SMS of a payment."""
        answer = self.staff("operations").get("/messages", payment_id=payment_id)
        items: list[dict[str, Any]] = answer.body["items"]
        return items

    def wait_for_message(
        self, payment_id: str, number: int | None = None, seconds: float = 30
    ) -> dict[str, Any]:
        """The SMS of that number (or the first there is) once it was sent.

        Raises:
            TooLate: it was not within ``seconds``.
        """

        def sent() -> list[dict[str, Any]]:
            return [
                message
                for message in self.messages(payment_id)
                if message["state"] == "sent" and number in (None, message["number"])
            ]

        return wait_for(sent, bool, f"the SMS {number or ''} of {payment_id}", seconds)[0]

    def sms(self, payment_id: str) -> list[dict[str, Any]]:
        """What the SMS gateway was really handed for that payment, repeats included."""
        return [sms for sms in self.fakes.sms() if sms["payment_id"] == payment_id]

    def account(self, customer_id: str) -> dict[str, Any]:
        """The customer's account."""
        account: dict[str, Any] = self.staff("office").get(f"/customers/{customer_id}/account").body
        return account


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)
