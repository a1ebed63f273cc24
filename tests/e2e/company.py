"""A company for the end-to-end tests: registers customers quickly, over HTTP like everybody."""

from __future__ import annotations

import itertools
import secrets
import time
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from infra.local.client import Answer, Cloud, now
from infra.local.devices import SimulatedDevice

NAIROBI = ZoneInfo("Africa/Nairobi")

_counter = itertools.count(1)


def unique(prefix: str = "") -> str:
    """A short text that was not used before."""
    return f"{prefix}{next(_counter)}{secrets.token_hex(3)}"


def phone() -> str:
    """A Kenyan mobile number."""
    return f"+2547{secrets.randbelow(10**8):08}"


def serial(prefix: str = "47") -> str:
    """A serial number that was not used before."""
    return f"{prefix}{secrets.randbelow(10**9):09}"


def today() -> date:
    """Today in Nairobi; waits where the day is about to end, so that a test does not span two."""
    local = now().astimezone(NAIROBI)
    midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), NAIROBI)
    left = (midnight - local).total_seconds()
    if left < 60:
        time.sleep(left + 1)
        return today()
    return local.date()


def day(from_today: int) -> str:
    """A day, counted from today."""
    return (today() + timedelta(days=from_today)).isoformat()


def created(answer: Answer) -> dict[str, Any]:
    """What was created."""
    assert answer.status == 201, answer
    body: dict[str, Any] = answer.body
    return body


@dataclass
class Household:
    """A customer and the device that was registered together with it.

    ``known_as`` is what the device's vendor calls it: mostly its serial number.
    """

    customer_id: str
    serial_number: str
    phone: str
    device: SimulatedDevice = field(default_factory=lambda: SimulatedDevice(""))
    plan_id: str = ""
    known_as: str = ""


class Company:
    """The company, and what its staff do."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        admin = cloud.staff("admin")
        cluster = created(admin.post("/clusters", {"name": unique("cluster ")}))["id"]
        grid = created(admin.post("/mini-grids", {"name": unique("grid "), "cluster_id": cluster}))[
            "id"
        ]
        self.village_id: int = created(
            admin.post("/villages", {"name": unique("village "), "mini_grid_id": grid})
        )["id"]
        self._tariffs: dict[str, int] = {}

    def tariff(self, price: str = "100", **terms: Any) -> int:
        """A tariff with those terms."""
        wanted = repr((price, sorted(terms.items())))
        if wanted not in self._tariffs:
            body = {
                "name": unique("tariff "),
                "price_per_kwh": price,
                "access_rate": None,
                **terms,
            }
            self._tariffs[wanted] = created(self.cloud.staff("admin").post("/tariffs", body))["id"]
        return self._tariffs[wanted]

    def person(self, **changes: Any) -> dict[str, Any]:
        """Somebody to register."""
        return {
            "name": "Asha",
            "surname": unique("Mwangi "),
            "phone": phone(),
            "village_id": self.village_id,
            **changes,
        }

    def register(
        self, customer: dict[str, Any], device: dict[str, Any], role: str = "field", **more: Any
    ) -> Answer:
        """One registration."""
        body = {"customer": customer, "device": device, **more}
        return self.cloud.staff(role).post("/registrations", body)

    def meter(
        self,
        *,
        customer_id: str | None = None,
        tariff_id: int | None = None,
        registered_on: str | None = None,
        serial_number: str | None = None,
        manufacturer: str = "calin",
    ) -> Household:
        """A meter of Calin at 100 per kWh, registered today, unless said otherwise."""
        device: dict[str, Any] = {
            "serial_number": serial_number or serial(),
            "manufacturer": manufacturer,
            "tariff_id": tariff_id or self.tariff(),
        }
        known_as = device["serial_number"]
        if manufacturer == "sparkmeter":  # which knows its own customers only
            known_as = str(uuid4())
            device["technical"] = {"customer_id": known_as}
        if manufacturer == "steama":
            known_as = str(1 + secrets.randbelow(10**9))
            device["technical"] = {"customer_id": int(known_as)}
        customer = {"customer_id": customer_id} if customer_id else self.person()
        more = {"registered_on": registered_on} if registered_on else {}
        body = created(self.register(customer, device, **more))
        return Household(
            body["customer"]["id"],
            body["device"]["serial_number"],
            body["customer"]["phone"],
            known_as=known_as,
        )

    def remote_shs(
        self, *, customer_id: str | None = None, manufacturer: str = "angaza", **terms: Any
    ) -> Household:
        """An SHS of Angaza, which a server tells until when it runs, on the plan of ``shs``."""
        customer = {"customer_id": customer_id} if customer_id else self.person()
        fields = {
            "serial_number": serial("RMT"),
            "manufacturer": manufacturer,
            "plan": self.terms(**terms),
        }
        body = created(self.register(customer, fields, role="office"))
        return Household(
            body["customer"]["id"],
            body["device"]["serial_number"],
            body["customer"]["phone"],
            plan_id=body["device"]["plan"]["plan_id"],
            known_as=body["device"]["serial_number"],
        )

    def shs(
        self,
        *,
        customer_id: str | None = None,
        kind: str = "shs",
        registered_on: str | None = None,
        **terms: Any,
    ) -> Household:
        """An SHS on a plan of 700 a week ten times, the first due in ten days."""
        device = SimulatedDevice(serial("SHS" if kind == "shs" else "BIKE"))
        customer = {"customer_id": customer_id} if customer_id else self.person()
        more = {"registered_on": registered_on} if registered_on else {}
        fields = {
            "serial_number": device.serial_number,
            "manufacturer": "openpaygo" if kind == "shs" else "openpaygo_ebike",
            "technical": device.technical,
            "plan": self.terms(**terms),
        }
        body = created(self.register(customer, fields, role="office", **more))
        return Household(
            body["customer"]["id"],
            device.serial_number,
            body["customer"]["phone"],
            device,
            body["device"]["plan"]["plan_id"],
            device.serial_number,
        )

    @staticmethod
    def terms(**changes: Any) -> dict[str, Any]:
        """A plan of 700 a week ten times, the first due in ten days, unless said otherwise."""
        plan = {
            "total": "7000.00",
            "instalments": 10,
            "every": "week",
            "first_due": day(10),
            **changes,
        }
        return {name: value for name, value in plan.items() if value is not None}

    def tv(self, customer_id: str, **terms: Any) -> dict[str, Any]:
        """A TV of 300 in one instalment, overdue since three days, unless said otherwise."""
        plan = {
            "name": "TV",
            "total": "300.00",
            "instalments": 1,
            "every": "month",
            "first_due": day(-3),
            **terms,
        }
        answer = self.cloud.staff("office").post(
            f"/customers/{customer_id}/plans", plan, key=unique("sale-")
        )
        return created(answer)

    def pay(self, serial_number: str, amount: str, **more: Any) -> dict[str, Any]:
        """A direct payment, once nothing is to be done about it any more."""
        reference = unique("ref-")
        answer = self.cloud.partner.pay(serial_number, amount, reference, **more)
        assert answer.status == 202, answer
        return self.cloud.wait_for_payment(self.cloud.partner.payment_id(reference))

    def pay_for(self, amount: str, household: Household) -> dict[str, Any]:
        """A direct payment for a household's device."""
        return self.pay(household.serial_number, amount)

    def credit(self, customer_id: str, amount: str) -> None:
        """Give the customer credit by a payment that even a paid-off plan cannot use."""
        paid_off = self.shs(customer_id=customer_id, total="1.00", instalments=1)
        self.pay(paid_off.serial_number, str(1 + int(amount)))


def lines_of(payment: dict[str, Any]) -> str:
    """The lines in short: ``"appliance 300.00, energy 550.00"``."""
    return ", ".join(f"{line['kind']} {line['amount']}" for line in payment["lines"])


def tokens_of(payment: dict[str, Any]) -> str:
    """The tokens in short: ``"energy 5.5 kWh"``, ``"unlock"``."""
    return ", ".join(
        " ".join(str(part) for part in (token["kind"], token["units"], token["unit"]) if part)
        for token in payment["tokens"]
    )
