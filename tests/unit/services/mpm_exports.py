"""Exports of MicroPowerManager, as its web interface makes them.

They have the form that ``app/Services/ExportServices`` of EnAccess/micropowermanager gave them in
2026: ``PersonExportService::mapPerson``, ``DeviceExportService::exportDataToArray``,
``ApplianceExportService::exportDataToArray``, ``AppliancePersonExportService::toRow``,
``ClusterExportService::exportDataToArray`` and
``OutstandingDebtsExportService::exportDataToArray``; each within ``{"data": …, "meta": …}``.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

PEOPLE = [
    {
        "title": "Mrs",
        "name": "Asha",
        "surname": "Mushi",
        "registered_date": "03/11/2025",
        "birth_date": None,
        "gender": "female",
        "email": None,
        "phone": "254712345678",
        "city": "Kisumu",
        "street": None,
        "geographical_information": None,
        "devices": "47001, SHS-1",
        "appliance_name": "TV",
        "cluster_name": "West",
        "site_name": "Lake",
        "agent": "",
        "last_payment": None,
    },
    {
        "name": "Baraka",
        "surname": "Otieno",
        "phone": "+254722000111",
        "city": "Homa Bay",
        "devices": "",
        "cluster_name": "West",
        "site_name": "Hill",
    },
    {"name": "Asha", "surname": "Mushi", "phone": "254712345678", "city": None, "devices": "SHS-2"},
]
DEVICES = [
    {
        "id": 1,
        "customer": "Asha Mushi",
        "device_info": {
            "type": "meter",
            "manufacturer": "Calin Meters",
            "serial_number": "47001",
        },
        "tokens": [{"token": "1234", "amount": 1, "type": "energy", "unit": "kWh"}],
        "address": {"city": "Kisumu", "street": ""},
        "created_at": "2025-11-03 10:00:00",
        "updated_at": "2025-11-03 10:00:00",
    },
    {
        "id": 2,
        "customer": "Asha Mushi",
        "device_info": {
            "type": "solar_home_system",
            "manufacturer": "Angaza SHS",
            "serial_number": "SHS-1",
        },
        "tokens": [],
        "address": None,
        "created_at": "2025-12-15 08:30:00",
        "updated_at": "2025-12-15 08:30:00",
    },
    {
        "customer": "Baraka Otieno",
        "device_info": {"type": "solar_home_system", "manufacturer": "Kelin"}
        | {"serial_number": "SK-1"},
        "created_at": "2025-12-15 08:30:00",
    },
]
APPLIANCES = [
    {
        "appliance_name": "TV",
        "appliance_type": "Electronics",
        "price": "3,000",
        "currency": "KES",
        "total_sold": 1,
        "payment_plans": [],
    },
    {
        "appliance_name": "Home 60",
        "appliance_type": "Solar Home System",
        "price": "7,000.50",
        "payment_plans": [],
    },
    {"appliance_name": "tv", "appliance_type": "", "price": "1", "payment_plans": []},
]
CLUSTERS = [
    {"cluster_name": "West", "manager": "", "mini_grids": "Lake, Hill, Far", "villages": "Kisumu"}
]
TV = {
    "customer_name": "Asha",
    "customer_surname": "Mushi",
    "appliance_name": "TV",
    "appliance_type": "Electronics",
    "device_serial": None,
    "payment_type": "installment",
    "total_cost": 3000,
    "rate_count": 9,
    "down_payment": 300,
    "first_payment_date": "2025-10-31",
    "minimum_payable_amount": None,
    "price_per_day": None,
    "registered_date": "2025-10-15",
}
SHS = {
    **TV,
    "appliance_name": "Home 60",
    "appliance_type": "Solar Home System",
    "device_serial": "SHS-1",
    "total_cost": 6999.9999999,
    "rate_count": 10,
    "down_payment": 0,
    "first_payment_date": None,
    "registered_date": "2026-02-01",
}
DEBT = {
    "customer": "Asha Mushi",
    "appliance": "TV",
    "device_serial": None,
    "due_date": "2026-03-03",  # 31 October and four months, as PHP counts
    "remaining": "100.5",
    "currency": "KES",
}


def export(items: list[Any], **meta: str) -> bytes:
    """A JSON export."""
    meta = {"exported_at": "2026-03-10T09:00:00.000000Z", **meta}
    return json.dumps({"data": items, "meta": meta}).encode()


def archive(**files: bytes) -> bytes:
    """Several exports in a ZIP."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return out.getvalue()
