"""Examples for the description of the API, by the name of the schema that each fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXAMPLES: Mapping[str, Any] = {
    "LogInBody": {"email": "office@example.org", "password": "…"},
    "VillageBody": {"name": "Kisumu", "mini_grid_id": 1},
    "TariffBody": {
        "name": "Home",
        "price_per_kwh": "25.125",
        "access_rate": {"amount": "50.00", "period_days": 30},
        "minimum_purchase": "5.00",
    },
    "ApplianceBody": {
        "name": "Home 60",
        "kind": "shs",
        "price": "7000.00",
        "default_plan": {"instalments": 10, "every": "week", "first_due_after_days": 7},
    },
    "RegistrationBody": {
        "customer": {
            "name": "Asha",
            "surname": "Mushi",
            "phone": "0712 345 678",
            "village_id": 1,
        },
        "device": {
            "serial_number": "SHS-0001",
            "manufacturer": "openpaygo",
            "technical": {
                "secret_key": "bc41ec9530f6dac86b1a29ab82edc5fb",
                "starting_code": 516959010,
            },
            "plan": {
                "total": "7000.00",
                "instalments": 10,
                "every": "week",
                "first_due": "2026-04-01",
            },
        },
    },
    "CustomerPlanBody": {
        "appliance_id": 3,
        "total": "3000.00",
        "down_payment": "300.00",
        "instalments": 9,
        "every": "month",
        "first_due": "2026-04-01",
    },
    "ResolveBody": {
        "outcome": "not_issued",
        "reason": "The vendor's console shows no sale for this meter.",
    },
    "AcceptedShape": {"payment_id": "direct.demo-T1", "status": "received"},
    "ImportErrorShape": {
        "row": 17,
        "column": "phone",
        "message": "must be a phone number such as +254712345678 or 0712 345 678",
    },
    "Problem": {
        "type": "about:blank",
        "title": "Invalid",
        "status": 422,
        "code": "invalid",
        "detail": "customer.phone: must be a phone number such as +254712345678 or 0712 345 678",
        "errors": [
            {
                "field": "customer.phone",
                "message": "must be a phone number such as +254712345678 or 0712 345 678",
            }
        ],
        "request_id": "f2f7e0c4-8f62-4c0a-9d3a-0d6a6c5d3f11",
    },
}
