"""What operators do about a device: give energy or time, unlock it, send its last token again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from chalicelib.domain.allocation import VendRules
from chalicelib.services.ports import ConditionFailed, DeviceState, MessageState, VersionConflict
from tests.integration.api.conftest import (
    Api,
    Place,
    Reply,
    books_differ,
    entries,
    meter,
    person,
    registration,
    shs,
)
from tests.integration.conftest import Cloud

WHY = {"reason": "the line was down for two days"}


@pytest.fixture
def home(api: Api, place: Place) -> Place:
    """Asha has a meter and an SHS."""
    asha = person(place)
    assert api.post("/registrations", registration(asha, meter(place)), "field").status == 201
    assert api.post("/registrations", registration(asha, shs()), "office").status == 201
    return place


def give(api: Api, serial_number: str, units: str, key: str = "k1", **more: Any) -> Reply:
    """Give so many kWh or days."""
    body = {"units": units, **WHY, **more}
    path = f"/devices/{serial_number}/free-credit"
    return api.send("POST", path, body, role="operations", headers={"Idempotency-Key": key})


def test_days_that_are_given_bring_a_token_and_count_on_from_the_paid_time(
    api: Api, cloud: Cloud, home: Place
) -> None:
    first = give(api, "SHS1", "3")
    assert first.status == 202
    [token] = first.json["tokens"]
    assert (token["kind"], token["units"], token["unit"]) == ("time", "3", "days")
    assert (first.json["amount"], first.json["status"]) == ("0.00", "completed")
    second = give(api, "SHS1", "4", "k2")
    assert second.json["tokens"][0]["value"] != token["value"]
    account = api.wiring.accounts.get("C1")
    assert account is not None
    record = account.device("SHS1")
    assert record is not None and record.paid_until == api.clock.now() + timedelta(days=7)
    assert account.plans[0].paid_minor == 0, "nothing was paid"
    numbers = [m["body"]["number"] for m in cloud.take("messages")]
    assert numbers and set(numbers) == {1}
    last = entries(api, "C1")[-1]
    assert (last.what, last.reason, last.actor) == (
        "given",
        WHY["reason"],
        "operations@example.com",
    )
    assert books_differ(api, "C1") == []
    assert api.wiring.reconcile.check_customer("C1").differences == ()


def test_energy_that_is_given_is_asked_of_the_manufacturer(
    api: Api, cloud: Cloud, home: Place
) -> None:
    given = give(api, "47001", "5.5")
    [vend] = given.json["vends"]
    assert (given.json["status"], vend["units"], vend["state"]) == ("vending", "5.5", "intended")
    [message] = cloud.take("vends")
    assert message["body"]["payment_id"] == given.json["payment_id"]


def test_the_same_key_gives_once(api: Api, home: Place) -> None:
    first = give(api, "SHS1", "3")
    again = give(api, "SHS1", "3")
    assert (again.status, again.headers["idempotency-hit"]) == (200, "true")
    assert again.json["payment_id"] == first.json["payment_id"]
    other = give(api, "SHS1", "4")
    assert (other.status, other.code) == (409, "reference_conflict")
    assert len(entries(api, "C1")) == 3


@pytest.mark.parametrize(
    ("serial_number", "units", "message"),
    [
        ("SHS1", "0", "above zero"),
        ("SHS1", "-1", "above zero"),
        ("SHS1", "1.5", "multiple of 1"),
        ("SHS1", "996", "at most 995"),
        ("47001", "0.05", "multiple of 1/10"),
    ],
)
def test_what_no_token_can_hold_is_refused(
    api: Api, home: Place, serial_number: str, units: str, message: str
) -> None:
    reply = give(api, serial_number, units)
    assert (reply.status, reply.fields) == (422, ["units"])
    assert message in reply.text
    assert len(entries(api, "C1")) == 2


def test_a_manufacturer_that_takes_money_gives_no_energy_for_nothing(api: Api, home: Place) -> None:
    technical = {"customer_id": "0a1b2c3d-0000-4000-8000-000000000001"}
    smart = meter(home, serial_number="SM1", manufacturer="sparkmeter", technical=technical)
    assert api.post("/registrations", registration(person(home), smart), "field").status == 201
    reply = give(api, "SM1", "1")
    assert reply.fields == ["units"] and "money alone" in reply.text


def test_a_device_without_its_key_gets_no_token(api: Api, home: Place) -> None:
    device = api.wiring.devices.get("SHS1")
    assert device is not None
    api.wiring.registry.update_device(replace(device, technical={"starting_code": 1}))
    reply = give(api, "SHS1", "3")
    assert reply.fields == ["units"] and "no_key" in reply.text


@pytest.mark.parametrize("action", ["free-credit", "unlock", "send-again"])
def test_a_device_that_is_not_there_or_nobody_s_is_told(api: Api, home: Place, action: str) -> None:
    body = {**WHY, **({"units": "1"} if action == "free-credit" else {})}
    headers = {"Idempotency-Key": "k"} if action == "free-credit" else {}

    def act(serial_number: str) -> Reply:
        path = f"/devices/{serial_number}/{action}"
        return api.send("POST", path, body, role="operations", headers=headers)

    assert act("NONE").status == 404
    api.put("/devices/47001/owner", {"customer_id": None, "reason": "gave it back"}, "office")
    reply = act("47001")
    assert (reply.status, reply.code) == (422, "device_unassigned")


def end_plan(api: Api) -> None:
    """The SHS has no open plan any more."""
    [plan] = api.get("/customers/C1/account").json["plans"]
    path = f"/customers/C1/plans/{plan['plan_id']}/cancel"
    assert api.post(path, {**WHY, "credit": "0"}).status == 200


def unlock(api: Api, serial_number: str) -> Reply:
    """Unlock it."""
    return api.post(f"/devices/{serial_number}/unlock", WHY, "operations")


def test_a_device_is_unlocked_by_hand_once_its_plan_has_ended(api: Api, home: Place) -> None:
    assert unlock(api, "SHS1").code == "device_has_open_plan"
    end_plan(api)
    unlocked = unlock(api, "SHS1")
    assert unlocked.status == 202
    assert unlocked.json["tokens"][0]["kind"] == "unlock"
    assert api.get("/devices/SHS1").json["state"] == "unlocked"
    assert entries(api, "C1")[-1].what == "unlocked"
    assert give(api, "SHS1", "1").fields == ["units"], "it runs for good"
    assert api.wiring.reconcile.check_customer("C1").differences == ()


def test_a_device_that_lacked_its_plan_alone_needs_no_look_any_more(api: Api, home: Place) -> None:
    end_plan(api)
    device = api.wiring.devices.get("SHS1")
    assert device is not None
    api.wiring.registry.update_device(replace(device, state=DeviceState.NEEDS_REVIEW))
    unlock(api, "SHS1")
    after = api.wiring.devices.get("SHS1")
    assert after is not None and after.state is DeviceState.ACTIVE


def test_a_meter_is_not_unlocked(api: Api, home: Place) -> None:
    assert unlock(api, "47001").fields == ["serial_number"]


def send_again(api: Api, serial_number: str) -> Reply:
    """Send its last token again."""
    return api.post(f"/devices/{serial_number}/send-again", WHY, "office")


def test_the_last_token_is_sent_again(api: Api, cloud: Cloud, home: Place) -> None:
    nothing = send_again(api, "SHS1")
    assert (nothing.status, nothing.code) == (404, "not_found")
    give(api, "SHS1", "3")
    api.clock.move(timedelta(minutes=1))
    last = give(api, "SHS1", "4", "k2").json
    cloud.take("messages")
    api.wiring.notify.send(last["payment_id"], 1, "C1")
    [sent] = api.wiring.messages.of_payment(last["payment_id"])
    assert sent.state is MessageState.SENT

    again = send_again(api, "SHS1")
    assert (again.status, again.json["payment_id"]) == (202, last["payment_id"])
    event = again.json["events"][-1]
    assert (event["what"], event["reason"]) == ("sent_again", WHY["reason"])
    [message] = cloud.take("messages")
    body = message["body"]
    assert (body["payment_id"], body["number"]) == (last["payment_id"], 1)
    [queued] = api.wiring.messages.of_payment(last["payment_id"])
    assert queued.state is MessageState.QUEUED
    api.wiring.notify.send(body["payment_id"], body["number"], body["customer_id"])
    [sent] = api.wiring.messages.of_payment(last["payment_id"])
    assert sent.state is MessageState.SENT


def test_a_token_of_another_device_is_not_sent_in_its_place(
    api: Api, cloud: Cloud, home: Place
) -> None:
    other = shs(serial_number="SHS2")
    api.post("/registrations", registration(person(home), other), "office")
    mine = give(api, "SHS1", "3").json
    api.clock.move(timedelta(minutes=1))
    give(api, "SHS2", "3", "k2")
    assert send_again(api, "SHS1").json["payment_id"] == mine["payment_id"]


def test_a_token_whose_sms_was_never_stored_is_sent_again_too(
    api: Api, cloud: Cloud, home: Place
) -> None:
    given = give(api, "SHS1", "3").json
    cloud.take("messages")
    assert send_again(api, "SHS1").status == 202
    assert [m["body"]["payment_id"] for m in cloud.take("messages")] == [given["payment_id"]]


@pytest.mark.parametrize("lost", [VersionConflict("C1"), ConditionFailed("guard")])
def test_who_loses_a_race_gives_once_all_the_same(
    api: Api, home: Place, monkeypatch: pytest.MonkeyPatch, lost: Exception
) -> None:
    accounts = api.wiring.accounts
    change, failures = accounts.change, [lost]

    def overtaken(*given: Any, **more: Any) -> None:
        if failures:
            raise failures.pop()
        change(*given, **more)

    monkeypatch.setattr(accounts, "change", overtaken)
    assert give(api, "SHS1", "3").status == 202
    assert len(entries(api, "C1")) == 3


def test_who_never_wins_is_told_to_come_back(
    api: Api, home: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_plan(api)

    def overtaken(*_: Any, **__: Any) -> None:
        raise VersionConflict("C1")

    monkeypatch.setattr(api.wiring.accounts, "change", overtaken)
    for reply in (give(api, "SHS1", "3"), unlock(api, "SHS1")):
        assert (reply.status, reply.code) == (409, "version_conflict")


def test_a_device_that_is_changing_hands_is_left_alone(
    api: Api, home: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.wiring.accounts, "get", lambda _: None)
    assert give(api, "SHS1", "3").code == "version_conflict"


def test_a_guard_without_its_payment_is_a_bug_and_told_as_one(api: Api, home: Place) -> None:
    api.wiring.registry.put_guard("given#SHS1#k1", "entry.C1-nothing 3")
    assert give(api, "SHS1", "3").status == 500


def test_time_is_counted_from_now_where_the_paid_time_is_over(api: Api, home: Place) -> None:
    give(api, "SHS1", "1")
    api.clock.move(timedelta(days=30))
    given = give(api, "SHS1", "2", "k2").json
    until = datetime.fromisoformat(api.get("/devices/SHS1").json["paid_until"])
    assert until == api.clock.now() + timedelta(days=2)
    assert given["vends"][0]["state"] == "done"


# --- lock, reset, clear, sync -----------------------------------------------------------------


def act(api: Api, serial_number: str, action: str, role: str = "operations") -> Reply:
    """Have that done to the device."""
    return api.post(f"/devices/{serial_number}/actions", {"action": action, **WHY}, role)


def bike(api: Api, home: Place) -> str:
    """Asha has an e-bike without tokens, too; its serial number."""
    device = shs(serial_number="BIKE1", manufacturer="daly_bms", technical={})
    assert api.post("/registrations", registration(person(home), device), "office").status == 201
    return "BIKE1"


def test_a_bike_is_locked_and_reset_by_a_vend_each_and_its_account_stays_as_it_is(
    api: Api, cloud: Cloud, home: Place
) -> None:
    serial_number = bike(api, home)
    give(api, serial_number, "7")
    before = api.wiring.accounts.get("C1")
    assert before is not None
    cloud.take("vends")
    for action in ("lock", "reset"):
        done = act(api, serial_number, action)
        assert (done.status, done.json["status"], done.json["amount"]) == (202, "vending", "0.00")
        [vend] = done.json["vends"]
        assert (vend["kind"], vend["state"]) == (action, "intended")
        [message] = cloud.take("vends")
        assert message["body"]["payment_id"] == done.json["payment_id"]
        last = entries(api, "C1")[-1]
        assert (last.what, last.reason, last.actor) == (
            action,
            WHY["reason"],
            "operations@example.com",
        )
    after = api.wiring.accounts.get("C1")
    assert after is not None and after.devices == before.devices
    assert api.wiring.reconcile.check_customer("C1").differences == ()


def test_a_reset_names_the_days_that_are_left_rounded_up(api: Api, home: Place) -> None:
    serial_number = bike(api, home)
    assert act(api, serial_number, "reset").json["vends"][0]["units"] == "0"
    give(api, serial_number, "7")
    api.clock.move(timedelta(days=2, hours=1))
    [vend] = act(api, serial_number, "reset").json["vends"]
    assert (vend["units"], vend["unit"]) == ("5", "days")


def test_a_device_that_runs_for_good_is_not_locked_and_reset_to_run_for_good(
    api: Api, home: Place
) -> None:
    serial_number = bike(api, home)
    for plan in api.get("/customers/C1/account").json["plans"]:
        path = f"/customers/C1/plans/{plan['plan_id']}/cancel"
        assert api.post(path, {**WHY, "credit": "0"}).status == 200
    assert unlock(api, serial_number).status == 202
    refused = act(api, serial_number, "lock")
    assert refused.fields == ["action"] and "for good" in refused.text
    assert act(api, serial_number, "reset").json["vends"][0]["kind"] == "unlock"


@pytest.mark.parametrize("action", ["lock", "reset", "clear_credit", "clear_tamper", "sync"])
def test_what_the_manufacturer_does_not_have_is_refused_and_changes_nothing(
    api: Api, home: Place, action: str
) -> None:
    before = entries(api, "C1")
    reply = act(api, "47001", action)
    assert (reply.status, reply.fields) == (422, ["action"])
    assert entries(api, "C1") == before


@pytest.mark.parametrize("action", ["energy", "unlock", "", None])
def test_an_action_that_is_none_is_refused(api: Api, home: Place, action: Any) -> None:
    assert act(api, "47001", action).fields == ["action"]


def test_only_operations_act_on_devices(api: Api, home: Place) -> None:
    assert act(api, "47001", "lock", "field").status == 403


def test_an_action_on_a_device_that_is_nobodys_is_refused(api: Api, home: Place) -> None:
    api.put("/devices/47001/owner", {"customer_id": None, "reason": "gave it back"}, "office")
    assert act(api, "47001", "lock").code == "device_unassigned"
    assert act(api, "NONE", "lock").status == 404


def test_more_days_than_one_token_can_say_are_told(
    api: Api, home: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial_number = bike(api, home)
    give(api, serial_number, "7")
    module = api.wiring.manufacturers.get("daly_bms")
    few = VendRules(step=Fraction(1), units_max=Fraction(6))
    monkeypatch.setattr(type(module), "rules", lambda *_: few)
    refused = act(api, serial_number, "reset")
    assert refused.fields == ["action"] and "6 days" in refused.text


def test_who_never_wins_with_an_action_is_told_to_come_back(
    api: Api, home: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    serial_number = bike(api, home)

    def overtaken(*_: Any, **__: Any) -> None:
        raise VersionConflict("C1")

    monkeypatch.setattr(api.wiring.accounts, "change", overtaken)
    assert act(api, serial_number, "lock").code == "version_conflict"


def test_a_system_with_tokens_is_locked_reset_and_synchronised_by_tokens(
    api: Api, cloud: Cloud, home: Place
) -> None:
    give(api, "SHS1", "7")
    cloud.take("messages")
    counts = []
    for action, unit in (("lock", None), ("reset", "days"), ("sync", None)):
        done = act(api, "SHS1", action)
        assert (done.status, done.json["status"]) == (202, "completed"), done.text
        [token] = done.json["tokens"]
        assert (token["kind"], token["unit"]) == (action, unit)
        account = api.wiring.accounts.get("C1")
        record = account.device("SHS1") if account else None
        assert record is not None and record.counter is not None
        counts.append(record.counter)
        api.wiring.notify.send(done.json["payment_id"], 1, "C1")
        sent = api.wiring.messages.of_payment(done.json["payment_id"])
        assert bool(sent) == (action != "lock")
    assert counts == sorted(set(counts)), "a count is used once"
    assert act(api, "SHS1", "reset").json["tokens"][0]["units"] == "7"
    assert act(api, "SHS1", "clear_credit").fields == ["action"]
    assert api.wiring.reconcile.check_customer("C1").differences == ()


def test_a_lock_is_not_what_is_sent_again(api: Api, cloud: Cloud, home: Place) -> None:
    given = give(api, "SHS1", "7").json
    act(api, "SHS1", "lock")
    cloud.take("messages")
    assert send_again(api, "SHS1").json["payment_id"] == given["payment_id"]
