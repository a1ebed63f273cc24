"""What is kept about one person, its erasure, and who changed what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.integration.api.conftest import Api, Place, Reply, meter, person, registration, shs
from tests.integration.api.test_registration_app import form

WHO = "admin@example.com"
PHONE = "+254712345678"


@pytest.fixture(autouse=True)
def every_request_a_moment_later(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is outside: what was changed later has a later time."""
    send = api.send

    def later(*arguments: Any, **named: Any) -> Reply:
        api.clock.move(timedelta(milliseconds=1))
        return send(*arguments, **named)

    monkeypatch.setattr(api, "send", later)


def changes(api: Api, query: str, role: str = "operations") -> list[dict[str, Any]]:
    """Who changed that, as far as the first part of the list goes."""
    answer = api.get(f"/changes?{query}", role)
    assert answer.status == 200, answer.text
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def whats(api: Api, query: str) -> list[str]:
    """What was changed, the newest first."""
    return [item["what"] for item in changes(api, query)]


# --- who changed what ---------------------------------------------------------------------------


def test_who_made_and_changed_a_tariff_is_told_with_what_it_was(api: Api, place: Place) -> None:
    api.put(f"/tariffs/{place.tariff_id}", {"name": "Home", "price_per_kwh": "120"})
    changed, made = changes(api, f"tariff_id={place.tariff_id}")
    assert (made["what"], changed["what"]) == ("tariff_made", "tariff_changed")
    assert changed["actor"] == WHO and changed["subject"] == f"tariff#{place.tariff_id}"
    rates = changed["fields"]["rates"]
    assert [rate["price_minor"] for rate in rates["before"]] == ["10000"]
    assert [rate["price_minor"] for rate in rates["after"]] == ["10000", "12000"]
    assert "name" not in changed["fields"]


def test_who_made_an_appliance_and_a_site_is_told(api: Api, place: Place) -> None:
    assert whats(api, f"appliance_id={place.tv_id}") == ["appliance_made"]
    api.put(f"/villages/{place.village_id}", {"name": "Kisumu East", "mini_grid_id": 1})
    changed, made = changes(api, f"village_id={place.village_id}")
    assert made["fields"]["kind"]["after"] == "village"
    assert changed["fields"] == {"name": {"before": "Kisumu", "after": "Kisumu East"}}
    api.send("DELETE", f"/villages/{place.village_id}")
    assert whats(api, f"village_id={place.village_id}")[0] == "site_deleted"
    assert whats(api, "cluster_id=1") == whats(api, "mini_grid_id=1") == ["site_made"]


def test_of_a_customer_it_is_told_that_the_phone_changed_and_not_which_it_was(
    api: Api, place: Place
) -> None:
    api.post("/customers", person(place), "office")
    api.put("/customers/C1", person(place, phone="0799000000"), "office")
    changed, made = changes(api, "customer_id=C1")
    assert changed["fields"] == {"phone": {"before": "hidden", "after": "hidden"}}
    assert made["fields"]["name"] == {"before": None, "after": "hidden"}
    assert made["fields"]["village_id"] == {"before": None, "after": place.village_id}
    assert "Asha" not in str(made) and "254" not in str(changed)


def test_the_changes_of_a_device_stand_in_one_place_whoever_owned_it(
    api: Api, place: Place
) -> None:
    api.post("/registrations", registration(person(place), meter(place)), "field")
    api.post("/customers", person(place, name="Juma"), "office")
    tariff = api.post("/tariffs", {"name": "Shop", "price_per_kwh": "90"}).json["id"]
    own = "/devices/47001/owner"
    api.put(own, {"customer_id": "C2", "reason": "sold on"}, "office")
    api.put(own, {"customer_id": None, "reason": "broken"}, "office")
    api.put("/devices/47001/tariff", {"tariff_id": tariff}, "office")
    found = changes(api, "serial_number=470-01")
    assert [item["what"] for item in found] == [
        "tariff_changed",
        "device_released",
        "device_taken",
        "registered",
    ]
    assert found[0]["fields"]["tariff_id"] == {"before": place.tariff_id, "after": tariff}
    assert found[1]["reason"] == "broken"
    assert found[2]["fields"]["entry"]["after"] == "C2.1"


def test_a_key_that_was_entered_is_told_and_not_shown(api: Api, place: Place) -> None:
    api.post("/registrations", registration(person(place), shs()), "office")
    plan = api.get("/devices/SHS1").json["plan"]["plan_id"]
    api.post(f"/customers/C1/plans/{plan}/cancel", {"reason": "back"}, "office")
    api.put("/devices/SHS1/owner", {"customer_id": None, "reason": "back"}, "office")
    technical = {"secret_key": "0" * 32, "starting_code": 123456789}
    api.put("/devices/SHS1/technical", technical, "office")
    [entered, *_] = changes(api, "serial_number=SHS1")
    assert entered["what"] == "technical_entered"
    assert entered["fields"]["technical"] == {"before": "hidden", "after": "hidden"}


def test_the_entries_of_an_account_are_told_in_the_same_words(api: Api, place: Place) -> None:
    api.post("/registrations", registration(person(place), meter(place)), "field")
    api.put("/devices/47001/owner", {"customer_id": None, "reason": "moved"}, "office")
    released, registered = changes(api, "account=C1", "finance")
    assert (registered["what"], released["what"]) == ("registered", "device_released")
    assert (released["actor"], released["reason"]) == ("office@example.com", "moved")
    assert released["fields"]["serial_number"] == {"before": None, "after": "47001"}


def test_changes_are_told_in_parts(api: Api, place: Place) -> None:
    api.post("/customers", person(place), "office")
    for number in range(2):
        api.put("/customers/C1", person(place, phone=f"079900000{number}"), "office")
    first = api.get("/changes?customer_id=C1&limit=2", "operations").json
    rest = api.get(f"/changes?customer_id=C1&limit=2&cursor={first['next']}", "operations").json
    assert [item["what"] for item in [*first["items"], *rest["items"]]] == [
        "customer_changed",
        "customer_changed",
        "customer_created",
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "customer_id"),
        ("?customer_id=C1&tariff_id=1", "tariff_id"),
        ("?customer_id=1", "customer_id"),
        ("?account=" + "C1" * 2000, "account"),
        ("?tariff_id=one", "tariff_id"),
        ("?serial_number=%C3%9F", "serial_number"),
    ],
)
def test_what_is_no_question_is_told(api: Api, query: str, field: str) -> None:
    answer = api.get(f"/changes{query}", "operations")
    assert (answer.status, answer.fields) == (422, [field])


# --- what is kept about a person ----------------------------------------------------------------


def test_everything_that_is_kept_of_a_customer_is_told(api: Api, place: Place) -> None:
    api.post("/customer-registration-app", form(place), "field")
    told = api.get("/customers/C1/personal-data", "admin").json
    assert (told["customer"]["name"], told["account"]["customer_id"]) == ("Asha", "C1")
    assert [device["serial_number"] for device in told["devices"]] == ["047001"]
    [posted] = told["registrations"]
    assert posted["geo_points"] == "-0.09,34.76" and posted["name"] == "Asha"
    assert [done["what"] for done in told["done"]] == ["registered"]
    assert told["payments"] == {"items": [], "next": None}
    assert "example.com" not in str(told), "who of the staff did it is theirs"
    again = api.get("/customers/C1/personal-data", "admin").json
    assert [done["what"] for done in again["done"]] == ["registered", "personal_data_taken"]
    assert whats(api, "customer_id=C1") == ["personal_data_taken"] * 2


def test_payments_are_told_with_their_sms_in_parts_and_only_the_own_phone(
    api: Api, place: Place
) -> None:
    api.post("/registrations", registration(person(place), meter(place)), "field")
    for number, phone in enumerate((PHONE, "254712345678", "+254799999999", None)):
        body = {
            "reference": f"r{number}",
            "serial_number": "47001",
            "amount": "500",
            "currency": "KES",
            **({"payer_phone": phone} if phone else {}),
        }
        paid = api.send("POST", "/payments/direct", body, role=None, headers=api.signed(body))
        assert paid.status == 202, paid.text
    first = api.get("/customers/C1/personal-data?limit=3", "admin").json
    cursor = first["payments"]["next"]
    rest = api.get(f"/customers/C1/personal-data?limit=3&cursor={cursor}", "admin").json
    payments = [*first["payments"]["items"], *rest["payments"]["items"]]
    assert len(payments) == 4 and rest["payments"]["next"] is None
    assert sorted(p["payer_phone"] or "" for p in payments) == ["", "", PHONE, PHONE]
    assert (rest["devices"], rest["done"], rest["registrations"]) == ([], [], [])
    assert whats(api, "customer_id=C1") == ["personal_data_taken"], "once for all its parts"


def test_of_nobody_nothing_is_kept(api: Api) -> None:
    assert api.get("/customers/C9/personal-data", "admin").status == 404
    assert api.post("/customers/C9/erasure", {"reason": "asked"}).status == 404


# --- erased -------------------------------------------------------------------------------------


def test_a_customer_is_erased_and_that_is_shown(api: Api, place: Place) -> None:
    api.post("/customers", person(place), "office")
    begun = api.post("/customers/C1/erasure", {"reason": "asked us to"})
    assert (begun.status, begun.json["state"]) == (202, "under_way")
    api.wiring.erase_customers.go_on("C1", None, api.clock.now())
    again = api.post("/customers/C1/erasure", {"reason": "asked us to"})
    assert (again.status, again.json["state"]) == (200, "finished")
    shown = api.get("/customers/C1").json
    assert (shown["name"], shown["erased_at"]) == ("erased", begun.json["erased_at"])
    assert "Asha" not in api.get("/customers/C1/personal-data", "admin").text
    refused = api.put("/customers/C1", person(place), "office")
    assert (refused.status, refused.code) == (409, "customer_erased")


def test_an_erased_customer_does_not_move_out(api: Api, place: Place) -> None:
    api.post("/customers", person(place), "office")
    api.post("/customers", person(place, name="Juma"), "office")
    api.post("/customers/C1/erasure", {"reason": "asked us to"})
    export = api.post("/exports", {}, "admin").json["export_id"]
    api.wiring.move_out.work(export, api.clock.now() + timedelta(minutes=1))
    files = [
        api.get(f"/exports/{export}/files/{number}", "admin").text
        for number in range(1, len(api.get(f"/exports/{export}", "admin").json["files"]) + 1)
    ]
    assert "Juma" in "".join(files) and "erased" not in "".join(files)


def test_who_has_a_device_is_told_so(api: Api, place: Place) -> None:
    api.post("/registrations", registration(person(place), meter(place)), "field")
    answer = api.post("/customers/C1/erasure", {"reason": "asked us to"})
    assert (answer.status, answer.code) == (409, "not_erasable")
    assert "devices: 47001" in answer.json["detail"]


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x", "force": True}])
def test_an_erasure_needs_a_reason_and_nothing_else(api: Api, body: object) -> None:
    assert api.post("/customers/C1/erasure", body).status == 422
