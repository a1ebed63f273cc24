"""Sites, manufacturers, tariffs, appliances and settings."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.services.ports import Settings
from tests.integration.api.conftest import Api, Place, meter, person, registration
from tests.integration.company import FixedClock

# --- sites ------------------------------------------------------------------------------------


def test_sites_are_made_from_the_cluster_down(api: Api) -> None:
    cluster = api.post("/clusters", {"name": " West   Coast "})
    assert (cluster.status, cluster.json) == (201, {"id": 1, "name": "West Coast"})
    grid = api.post("/mini-grids", {"name": "Lake", "cluster_id": 1})
    assert (grid.status, grid.json) == (201, {"id": 1, "name": "Lake", "cluster_id": 1})
    village = api.post("/villages", {"name": "Kisumu", "mini_grid_id": 1})
    assert (village.status, village.json) == (201, {"id": 1, "name": "Kisumu", "mini_grid_id": 1})


def test_names_are_unique_within_a_level_whatever_their_case(api: Api) -> None:
    api.post("/clusters", {"name": "West"})
    again = api.post("/clusters", {"name": "WEST "})
    assert (again.status, again.code) == (409, "name_taken")
    assert api.post("/mini-grids", {"name": "West", "cluster_id": 1}).status == 201


def test_a_site_gets_another_name_or_parent(api: Api, place: Place) -> None:
    api.post("/clusters", {"name": "East"})
    moved = api.put("/mini-grids/1", {"name": "Pond", "cluster_id": 2})
    assert (moved.status, moved.json) == (200, {"id": 1, "name": "Pond", "cluster_id": 2})
    assert api.get("/mini-grids").json["items"] == [moved.json]
    lost = api.put("/mini-grids/1", {"name": "Pond", "cluster_id": 9})
    assert (lost.status, lost.fields) == (422, ["cluster_id"])


def test_only_a_site_that_nothing_belongs_to_is_deleted(api: Api, place: Place) -> None:
    assert api.send("DELETE", "/mini-grids/1").code == "in_use"
    assert api.send("DELETE", "/villages/1").status == 204
    assert api.send("DELETE", "/villages/1").status == 404
    assert api.send("DELETE", "/mini-grids/1").status == 204


def test_a_village_with_a_customer_is_not_deleted(api: Api, place: Place) -> None:
    api.post("/customers", person(place), "office")
    answer = api.send("DELETE", f"/villages/{place.village_id}")
    assert (answer.status, answer.code) == (409, "in_use")


def test_lists_come_in_parts(api: Api) -> None:
    for name in "ABCDE":
        api.post("/clusters", {"name": name})
    first = api.get("/clusters?limit=2").json
    second = api.get(f"/clusters?limit=2&cursor={first['next']}").json
    third = api.get(f"/clusters?limit=2&cursor={second['next']}").json
    names = [item["name"] for part in (first, second, third) for item in part["items"]]
    assert names == list("ABCDE")
    assert third["next"] is None


# --- manufacturers ----------------------------------------------------------------------------


def test_manufacturers_are_listed_by_id_in_parts(api: Api) -> None:
    whole = api.get("/manufacturers").json
    known = {item["key"]: item for item in whole["items"]}
    assert known["openpaygo"] == {"id": 1, "key": "openpaygo", "name": "OpenPAYGO", "kind": "shs"}
    assert known["calin"]["kind"] == "meter"
    assert whole["next"] is None
    part, found = api.get("/manufacturers?limit=1").json, []
    while True:
        found += part["items"]
        if part["next"] is None:
            break
        part = api.get(f"/manufacturers?limit=1&cursor={part['next']}").json
    assert found == whole["items"]


# --- tariffs ----------------------------------------------------------------------------------

FULL = {
    "name": "Home",
    "price_per_kwh": "25.125",
    "access_rate": {"amount": "150", "period_days": 7},
    "minimum_purchase": "50",
}


def test_a_new_tariff_is_in_force_at_once(api: Api) -> None:
    made = api.post("/tariffs", FULL)
    assert made.status == 201
    assert made.json == {
        "id": 1,
        "name": "Home",
        "price_per_kwh": "25.125",
        "currency": "KES",
        "access_rate": {"amount": "150.00", "period_days": 7},
        "minimum_purchase": "50.00",
        "effective_from": "2026-03-10T09:00:00.000Z",
    }
    assert api.get("/tariffs/1").json == made.json
    assert api.get("/tariffs").json == {"items": [made.json], "next": None}


def test_a_changed_tariff_takes_effect_in_sixty_seconds_and_what_is_left_out_is_gone(
    api: Api,
) -> None:
    api.post("/tariffs", FULL)
    changed = api.put("/tariffs/1", {"name": "House", "price_per_kwh": "30"})
    assert changed.status == 200
    assert changed.json["effective_from"] == "2026-03-10T09:01:00.000Z"
    assert changed.json["name"] == "House"
    assert changed.json["access_rate"] is None
    assert changed.json["minimum_purchase"] is None
    [tariff] = api.wiring.catalogue.tariffs([1]).values()
    assert tariff.rate_at(api.clock.now() + timedelta(seconds=59)).price_minor == 2512.5
    assert tariff.rate_at(api.clock.now() + timedelta(seconds=60)).price_minor == 3000


@pytest.mark.parametrize("at", ["2026-03-10T09:00:59Z", "2020-01-01T00:00:00Z"])
def test_a_change_that_would_meet_stale_prices_is_refused(api: Api, at: str) -> None:
    api.post("/tariffs", FULL)
    answer = api.put("/tariffs/1", {**FULL, "effective_from": at})
    assert (answer.status, answer.fields) == (422, ["effective_from"])


def test_a_later_change_replaces_those_that_were_to_come_after_it(api: Api) -> None:
    api.post("/tariffs", FULL)
    for price, day in (("30", "2026-04-01"), ("40", "2026-06-01"), ("35", "2026-05-01")):
        at = f"{day}T00:00:00+03:00"
        body = {"name": "Home", "price_per_kwh": price, "effective_from": at}
        assert api.put("/tariffs/1", body).status == 200
    [tariff] = api.wiring.catalogue.tariffs([1]).values()
    assert [rate.price_minor for rate in tariff.rates] == [2512.5, 3000, 3500]


def test_a_tariff_announced_for_later_is_in_force_until_it_is_changed(api: Api) -> None:
    api.post("/tariffs", {**FULL, "effective_from": "2026-06-01T00:00:00Z"})
    body = {"name": "Home", "price_per_kwh": "30", "effective_from": "2026-05-01T00:00:00Z"}
    assert api.put("/tariffs/1", body).status == 200
    [tariff] = api.wiring.catalogue.tariffs([1]).values()
    assert [rate.price_minor for rate in tariff.rates] == [2512.5, 3000]
    moments = [rate.effective_from for rate in tariff.rates]
    assert moments == sorted(moments)


def test_two_tariffs_do_not_have_one_name(api: Api) -> None:
    api.post("/tariffs", FULL)
    assert api.post("/tariffs", FULL).code == "name_taken"


# --- appliances -------------------------------------------------------------------------------


def test_an_appliance_is_made_with_its_default_plan(api: Api) -> None:
    body = {
        "name": "Mill",
        "kind": "appliance",
        "price": "1000",
        "default_plan": {
            "down_payment": "100",
            "instalment_amount": "90.5",
            "every": "month",
            "first_due_after_days": 30,
        },
    }
    made = api.post("/appliances", body)
    assert made.status == 201
    assert made.json == {
        "id": 1,
        "name": "Mill",
        "kind": "appliance",
        "price": "1000.00",
        "default_plan": {
            "down_payment": "100.00",
            "instalments": None,
            "instalment_amount": "90.50",
            "every": "month",
            "first_due_after_days": 30,
        },
    }
    assert api.get("/appliances").json["items"] == [made.json]


# --- settings ---------------------------------------------------------------------------------

SETTINGS = {
    "company": "Jua Energy",
    "country": "UG",
    "currency": "UGX",
    "time_zone": "Africa/Kampala",
    "languages": ["en", "sw"],
    "own_arrears": "activation",
    "grace_days": 3,
    "late_payment_hours": 48,
    "refund_after_minutes": 30,
    "maximum_amount": "5000000",
    "confirm_above": "70000",
}


def test_the_settings_have_defaults(api: Api) -> None:
    answer = api.get("/settings", "admin")
    assert answer.json["currency"] == Settings().currency
    assert answer.json["maximum_amount"] == "1000000.00"


def test_the_settings_are_replaced_as_a_whole(api: Api) -> None:
    answer = api.put("/settings", SETTINGS)
    assert (answer.status, answer.json) == (200, SETTINGS)
    assert api.get("/settings", "admin").json == SETTINGS
    few = {name: SETTINGS[name] for name in ("company", "country", "currency", "time_zone")}
    assert api.put("/settings", few).json == {
        **few,
        "languages": ["en"],
        "own_arrears": "debt",
        "grace_days": 0,
        "late_payment_hours": 72,
        "refund_after_minutes": 15,
        "maximum_amount": "100000000",
        "confirm_above": None,
    }


def test_settings_are_in_force_within_thirty_seconds(api: Api, clock: FixedClock) -> None:
    assert api.post("/tariffs", FULL).json["currency"] == "KES"
    api.put("/settings", SETTINGS)
    clock.move(timedelta(seconds=30))
    assert api.get("/tariffs/1").json["currency"] == "UGX"


def test_the_money_is_fixed_once_a_payment_exists(api: Api) -> None:
    kenya = {**SETTINGS, "country": "KE", "currency": "KES", "time_zone": "Africa/Nairobi"}
    api.put("/settings", kenya)
    api.wiring.settings_store.fix_money()
    money = api.put("/settings", {**kenya, "currency": "UGX"})
    assert (money.status, money.fields) == (422, ["currency"])
    zone = api.put("/settings", {**kenya, "time_zone": "Africa/Lagos"})
    assert (zone.status, zone.fields) == (422, ["time_zone"])
    assert api.put("/settings", {**kenya, "grace_days": 5}).status == 200


def test_a_payment_fixes_the_money(api: Api, place: Place) -> None:
    api.post("/registrations", registration(person(place), meter(place)), "field")
    body = {"reference": "T1", "serial_number": "47001", "amount": "500", "currency": "KES"}
    paid = api.send("POST", "/payments/direct", body, role=None, headers=api.signed(body))
    assert paid.status == 202
    answer = api.put("/settings", SETTINGS)
    assert (answer.status, answer.fields) == (422, ["currency"])


def test_every_change_of_the_settings_is_kept_with_who_and_when(
    api: Api, clock: FixedClock
) -> None:
    api.put("/settings", SETTINGS)
    clock.move(timedelta(hours=1))
    api.put("/settings", {**SETTINGS, "grace_days": 9, "languages": ["fr", "en"]})
    api.put("/settings", {**SETTINGS, "grace_days": 9, "languages": ["fr", "en"]})

    part = api.get("/settings/changes?limit=1", "admin").json
    rest = api.get(f"/settings/changes?cursor={part['next']}", "admin").json

    assert part["items"] == [
        {
            "revision": 2,
            "at": "2026-03-10T10:00:00.000Z",
            "actor": "admin@example.com",
            "changes": {
                "grace_days": {"before": SETTINGS["grace_days"], "after": 9},
                "languages": {"before": SETTINGS["languages"], "after": ["fr", "en"]},
            },
        }
    ]
    assert [change["revision"] for change in rest["items"]] == [1]
    assert rest["next"] is None
    assert api.get("/settings/changes?cursor=x", "admin").code == "invalid_cursor"
