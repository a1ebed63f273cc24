"""The small company of the demo: its places, a tariff and six customers, registered over HTTP.

Every showing makes customers of its own, so that it can be repeated on a cloud that stays up.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from infra.local.client import Answer, Cloud, now
from infra.local.devices import SimulatedDevice

NAIROBI = ZoneInfo("Africa/Nairobi")


class NotCreated(Exception):
    """The API did not create what the company needs. The text is its answer."""


def _serial(kind: str) -> str:
    return f"{kind}{secrets.randbelow(10**6):06}"


def _meter() -> str:
    return f"47{secrets.randbelow(10**9):09}"


@dataclass
class Company:
    """The company: its devices, and its customers by their first name.

    ``smart_meter_name`` is what SparkMeter calls the customer of the smart meter.
    """

    cloud: Cloud
    meter: str = field(default_factory=_meter)
    home: SimulatedDevice = field(default_factory=lambda: SimulatedDevice(_serial("SHS")))
    bike: SimulatedDevice = field(default_factory=lambda: SimulatedDevice(_serial("BIKE")))
    smart_meter: str = field(default_factory=_meter)
    smart_meter_name: str = field(default_factory=lambda: str(uuid4()))
    remote_home: str = field(default_factory=lambda: _serial("ANG"))
    broken_meter: str = field(default_factory=_meter)
    customer_ids: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """What lines refer to (plan ids, serial numbers), in words."""

    def account(self, name: str) -> dict[str, Any]:
        """The account of a customer."""
        return self.cloud.account(self.customer_ids[name])


def day(days_from_today: int) -> str:
    """A day in the company's calendar."""
    today: date = now().astimezone(NAIROBI).date()
    return (today + timedelta(days=days_from_today)).isoformat()


def found(cloud: Cloud) -> Company:
    """Set the company up as its staff would: the places first, then who lives there.

    Raises:
        NotCreated: see there.
    """
    company = Company(cloud)
    cluster = _site(cloud, "/clusters", {"name": "Lake Shore"})
    grid = _site(cloud, "/mini-grids", {"name": "Mbita", "cluster_id": cluster})
    kaugege = _site(cloud, "/villages", {"name": "Kaugege", "mini_grid_id": grid})
    rusinga = _site(cloud, "/villages", {"name": "Rusinga", "mini_grid_id": grid})
    tariff_id = _tariff(cloud)
    _register_asha(company, kaugege, tariff_id)
    _register_baraka(company, rusinga)
    _register_neema(company, rusinga)
    _register_wanjiru(company, rusinga, tariff_id)
    _register_juma(company, rusinga)
    _register_zawadi(company, kaugege, tariff_id)
    return company


def _site(cloud: Cloud, path: str, body: dict[str, Any]) -> int:
    """The id of the place of that name, made if it is not there from an earlier showing."""
    admin = cloud.staff("admin")
    answer = admin.post(path, body)
    if answer.code != "name_taken":
        return int(_created(answer)["id"])
    items = admin.get(path, limit=100).body["items"]
    return next(int(item["id"]) for item in items if item["name"] == body["name"])


def _tariff(cloud: Cloud) -> int:
    """100 per kWh, and an access rate of 75 every 7 days."""
    body = {
        "name": f"Home {secrets.token_hex(3)}",
        "price_per_kwh": "100",
        "access_rate": {"amount": "75.00", "period_days": 7},
    }
    return int(_created(cloud.staff("admin").post("/tariffs", body))["id"])


def _created(answer: Answer) -> dict[str, Any]:
    if answer.status != 201:
        raise NotCreated(f"{answer.status} {answer.body}")
    created: dict[str, Any] = answer.body
    return created


def _person(name: str, surname: str, village_id: int) -> dict[str, Any]:
    phone = f"+2547{secrets.randbelow(10**8):08}"
    return {"name": name, "surname": surname, "phone": phone, "village_id": village_id}


def _register_asha(company: Company, village_id: int, tariff_id: int) -> None:
    """A meter, registered in the field 16 days ago: two fees. And a TV with one late instalment."""
    device = {"serial_number": company.meter, "manufacturer": "calin", "tariff_id": tariff_id}
    customer = _registered(
        company,
        "field",
        {
            "customer": _person("Asha", "Mwangi", village_id),
            "device": device,
            "registered_on": day(-16),
        },
    )
    tv = {
        "name": "TV",
        "total": "900.00",
        "instalments": 3,
        "every": "week",
        "first_due": day(-3),
    }
    plan = _created(
        company.cloud.staff("office").post(
            f"/customers/{customer['id']}/plans", tv, key=secrets.token_hex(8)
        )
    )
    company.names[plan["plan_id"]] = "the TV"
    company.names[company.meter] = "the meter"


def _register_baraka(company: Company, village_id: int) -> None:
    """A solar home system, nearly paid off: it moved in from another system."""
    person = _person("Baraka", "Otieno", village_id)
    terms = {"already_paid": "5915.00", "first_due": day(4 - 8 * 7)}
    _register_on_plan(company, person, _openpaygo(company.home, "openpaygo"), terms)
    company.names[company.home.serial_number] = "the solar home system"


def _register_neema(company: Company, village_id: int) -> None:
    """An e-bike with two instalments overdue and the third due in four days."""
    person = _person("Neema", "Akinyi", village_id)
    terms = {"first_due": day(4 - 2 * 7)}
    _register_on_plan(company, person, _openpaygo(company.bike, "openpaygo_ebike"), terms)
    company.names[company.bike.serial_number] = "the e-bike"


def _register_wanjiru(company: Company, village_id: int, tariff_id: int) -> None:
    """A smart meter of SparkMeter, registered today: nothing is owed."""
    device = {
        "serial_number": company.smart_meter,
        "manufacturer": "sparkmeter",
        "tariff_id": tariff_id,
        "technical": {"customer_id": company.smart_meter_name},
    }
    person = _person("Wanjiru", "Kamau", village_id)
    _registered(company, "field", {"customer": person, "device": device})
    company.names[company.smart_meter] = "the smart meter"


def _register_juma(company: Company, village_id: int) -> None:
    """A solar home system of Angaza, nothing overdue."""
    person = _person("Juma", "Odhiambo", village_id)
    device = {"serial_number": company.remote_home, "manufacturer": "angaza"}
    _register_on_plan(company, person, device, {"first_due": day(4)})
    company.names[company.remote_home] = "the solar home system"


def _register_zawadi(company: Company, village_id: int, tariff_id: int) -> None:
    """A meter that the company will take back."""
    device = {
        "serial_number": company.broken_meter,
        "manufacturer": "calin",
        "tariff_id": tariff_id,
    }
    person = _person("Zawadi", "Njeri", village_id)
    _registered(company, "field", {"customer": person, "device": device})


def _openpaygo(device: SimulatedDevice, manufacturer: str) -> dict[str, Any]:
    return {
        "serial_number": device.serial_number,
        "manufacturer": manufacturer,
        "technical": device.technical,
    }


def _register_on_plan(
    company: Company, person: dict[str, Any], device: dict[str, Any], terms: dict[str, Any]
) -> None:
    """A device that is paid off at 700 a week, ten times."""
    plan = {"total": "7000.00", "instalments": 10, "every": "week", **terms}
    _registered(
        company,
        "office",
        {"customer": person, "device": {**device, "plan": plan}, "registered_on": day(-60)},
    )


def _registered(company: Company, role: str, body: dict[str, Any]) -> dict[str, Any]:
    """The customer of a registration."""
    customer: dict[str, Any] = _created(company.cloud.staff(role).post("/registrations", body))[
        "customer"
    ]
    company.customer_ids[customer["name"]] = customer["id"]
    return customer
