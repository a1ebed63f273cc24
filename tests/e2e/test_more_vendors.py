"""What is special about single vendors: relays that are switched, tokens of new keys, kits that are
counted; and what operators have done to devices."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from infra.local.client import Cloud, now, wait_for
from infra.local.devices import Outcome, SimulatedDevice
from tests.e2e.company import Company, Household, created, lines_of, serial, tokens_of
from tests.e2e.lambdas import invoke
from tests.e2e.tables import end_paid_time

WHY = {"reason": "asked for by the customer"}

# --- bikes that are switched ----------------------------------------------------------------


def bike_of(company: Company, **terms: Any) -> Household:
    """A bike of Daly's, on the plan of ``remote_shs``."""
    return company.remote_shs(manufacturer="daly_bms", **terms)


def switches(cloud: Cloud, household: Household) -> list[int]:
    """What the relay was told, in order: 1 is on, 0 is off."""
    return [
        vend["request"]["ACC"] for vend in cloud.fakes.vends("daly_bms", household.serial_number)
    ]


def wait_for_switch(cloud: Cloud, household: Household, told: int) -> None:
    """The relay was told that last."""
    wait_for(
        lambda: switches(cloud, household), lambda all: all[-1:] == [told], f"the relay is {told}"
    )


def test_a_bike_runs_while_it_is_paid_for_and_is_switched_off_then(
    cloud: Cloud, company: Company
) -> None:
    household = bike_of(company)
    payment = company.pay_for("700", household)
    assert (payment["status"], tokens_of(payment)) == ("completed", "time 7 days")
    assert payment["tokens"][0]["value"] is None
    wait_for_switch(cloud, household, 1)
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert "7 days were sent" in message["body"]

    end_paid_time(
        cloud, household.customer_id, household.serial_number, now() - timedelta(seconds=1)
    )
    invoke(cloud, "sweep")
    wait_for_switch(cloud, household, 0)

    again = company.pay_for("700", household)
    assert again["status"] == "completed"
    wait_for_switch(cloud, household, 1)


def test_the_final_payment_leaves_a_bike_on_for_good(cloud: Cloud, company: Company) -> None:
    household = bike_of(company, total="1400.00", instalments=2)
    company.pay_for("700", household)
    last = company.pay_for("700", household)
    assert (last["status"], tokens_of(last)) == ("completed", "unlock")
    end_paid_time(
        cloud, household.customer_id, household.serial_number, now() - timedelta(seconds=1)
    )
    told = len(switches(cloud, household))
    invoke(cloud, "sweep")
    wait_for(lambda: len(switches(cloud, household)), told.__lt__, "it was looked at")
    assert switches(cloud, household)[-1] == 1


def test_a_bike_out_of_reach_is_switched_until_it_shows(cloud: Cloud, company: Company) -> None:
    household = bike_of(company)
    assert company.pay_for("700", household)["status"] == "completed"
    cloud.fakes.order("daly_bms", "offline", serial_number=household.serial_number, times=1)
    done = act(cloud, household, "lock")
    assert (done["status"], done["vends"][0]["attempts"]) == ("completed", 2)
    assert switches(cloud, household)[-2:] == [0, 0]


@pytest.mark.parametrize("fault", ["error_500", "garbage"])
def test_a_switch_in_doubt_is_made_again(cloud: Cloud, company: Company, fault: str) -> None:
    household = bike_of(company)
    cloud.fakes.order("daly_bms", fault, serial_number=household.serial_number)
    payment = company.pay_for("700", household)
    assert (payment["status"], payment["vends"][0]["attempts"]) == ("completed", 2)
    assert switches(cloud, household)[-1] == 1


def test_a_bike_is_locked_and_set_to_what_is_paid(cloud: Cloud, company: Company) -> None:
    household = bike_of(company)
    company.pay_for("700", household)
    for action, told in (("lock", 0), ("reset", 1)):
        done = act(cloud, household, action)
        assert done["status"] == "completed"
        assert switches(cloud, household)[-1] == told


# --- new keys -------------------------------------------------------------------------------


def test_a_meter_of_chint_gets_the_energy_that_the_vendor_counts(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter(manufacturer="chint", tariff_id=company.tariff("120"))
    payment = company.pay_for("600", household)
    assert (lines_of(payment), tokens_of(payment)) == ("energy 600.00", "energy 5 kWh")
    value = payment["tokens"][0]["value"]
    assert cloud.fakes.issued("chint", household.serial_number) == [value]
    assert "before" not in payment["tokens"][0]


def test_the_tokens_of_a_new_key_are_typed_in_first(cloud: Cloud, company: Company) -> None:
    """The faked vendor changes the key of meters whose serial begins with 9."""
    household = company.meter(manufacturer="chint", serial_number=serial("9"))
    payment = company.pay_for("600", household)
    [token] = payment["tokens"]
    first, second = token["before"]
    body = cloud.wait_for_message(payment["payment_id"], 1)["body"].replace(" ", "")
    places = [body.index(value) for value in (first, second, token["value"])]
    assert places == sorted(places)


@pytest.mark.parametrize("vendor", ["chint", "stron"])
@pytest.mark.parametrize(("fault", "issued"), [("refuse", 0), ("error_500", 0), ("garbage", 1)])
def test_a_vendor_without_a_definite_no_is_never_asked_twice(
    cloud: Cloud, company: Company, vendor: str, fault: str, issued: int
) -> None:
    household = company.meter(manufacturer=vendor)
    cloud.fakes.order(vendor, fault, serial_number=household.serial_number)
    held = company.pay_for("550", household)
    assert (held["status"], held["reason"]) == ("held", "vend_uncertain")
    tokens = cloud.fakes.issued(vendor, household.serial_number)
    assert len(tokens) == issued
    path, staff = f"/payments/{held['payment_id']}", cloud.staff("operations")
    if issued:
        resolve = {"outcome": "token", "token": tokens[0], "reason": "seen in the portal"}
        assert staff.post(f"{path}/resolve", resolve).status == 202
    else:
        retry = {"not_issued": True, "reason": "the portal has none"}
        assert staff.post(f"{path}/retry", retry).status == 202
    done = cloud.wait_for_payment(held["payment_id"], {"completed"})
    assert cloud.fakes.issued(vendor, household.serial_number) == [done["tokens"][0]["value"]]


# --- kits that are counted ------------------------------------------------------------------


def test_a_kit_of_spark_energy_gets_its_days_and_in_the_end_runs_for_good(
    cloud: Cloud, company: Company
) -> None:
    household = company.remote_shs(manufacturer="spark_shs", total="1400.00", instalments=2)
    for wanted in ("time 7 days", "unlock"):
        payment = company.pay_for("700", household)
        assert (payment["status"], tokens_of(payment)) == ("completed", wanted)
    asked = [v["request"] for v in cloud.fakes.vends("spark_shs", household.serial_number)]
    assert asked == [{"type": "days", "days": 7}, {"type": "unlock"}]


@pytest.mark.parametrize("vendor", ["sunking", "spark_shs"])
def test_a_serial_number_that_its_manufacturer_denies_is_not_registered(
    company: Company, vendor: str
) -> None:
    device = {
        "serial_number": serial("00000"),
        "manufacturer": vendor,
        "plan": company.terms(),
    }
    answer = company.register(company.person(), device, role="office")
    assert (answer.status, answer.fields) == (422, {"device.serial_number"})


# --- what operators have done to devices ----------------------------------------------------


def act(cloud: Cloud, household: Household, action: str) -> dict[str, Any]:
    """Have that done to the device; what carries it, once it is done."""
    path = f"/devices/{household.serial_number}/actions"
    answer = cloud.staff("operations").post(path, {"action": action, **WHY})
    assert answer.status == 202, answer
    return cloud.wait_for_payment(answer.body["payment_id"])


@pytest.mark.parametrize("vendor", ["calin_smart", "stron_v3", "gomelong_v1"])
def test_a_meter_is_cleared_by_a_token(cloud: Cloud, company: Company, vendor: str) -> None:
    household = company.meter(manufacturer=vendor)
    values = []
    for action in ("clear_credit", "clear_tamper"):
        done = act(cloud, household, action)
        [token] = done["tokens"]
        assert (done["status"], token["kind"]) == ("completed", action)
        values.append(token["value"])
    assert cloud.fakes.issued(vendor, household.serial_number) == values


def test_a_meter_of_sparkmeter_is_reset_without_a_token(cloud: Cloud, company: Company) -> None:
    household = company.meter(manufacturer="sparkmeter")
    done = act(cloud, household, "reset")
    assert (done["status"], done["tokens"][0]["value"]) == ("completed", None)
    [asked] = cloud.fakes.vends("sparkmeter", household.known_as)
    assert asked["request"] == {"call": "reset-meter"}


def test_a_system_with_tokens_is_locked_set_anew_and_synchronised(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs()
    device = household.device
    device.type_in(company.pay_for("700", household)["tokens"][0]["value"])
    for action, outcome, days in (
        ("lock", Outcome.DAYS_SET, 0),
        ("reset", Outcome.DAYS_SET, 7),
        ("sync", Outcome.COUNT_SET, 7),
    ):
        [token] = act(cloud, household, action)["tokens"]
        assert device.type_in(token["value"]) is outcome
        assert device.days == days
    device.type_in(company.pay_for("700", household)["tokens"][0]["value"])
    assert device.days == 14


def test_a_system_that_broke_is_replaced_and_the_plan_goes_on(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs()
    company.pay_for("700", household)
    spare = SimulatedDevice(serial("SHS"))
    body = {"serial_number": spare.serial_number, "technical": spare.technical, **WHY}
    path = f"/devices/{household.serial_number}/replacement"
    replaced = created(cloud.staff("operations").post(path, body))
    assert replaced["device"]["customer_id"] == household.customer_id
    spare.type_in(replaced["payment"]["tokens"][0]["value"])
    assert spare.days == 7
    payment = company.pay(spare.serial_number, "700")
    spare.type_in(payment["tokens"][0]["value"])
    assert spare.days == 14
    account = cloud.account(household.customer_id)
    assert [plan["serial_number"] for plan in account["plans"]] == [spare.serial_number]


# --- credentials ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "vendor",
    [
        *("sunking", "spark_shs", "steama", "daly_bms", "stron", "sparkmeter"),
        *("angaza", "calin_smart", "chint", "gomelong", "gomelong_v1", "microstar"),
    ],
)
def test_a_manufacturer_is_checked_without_a_sale(cloud: Cloud, vendor: str) -> None:
    serial_number = serial()
    answer = cloud.aws("lambda").invoke(
        FunctionName=cloud.stack["functions"]["check_manufacturer"],
        Payload=json.dumps({"manufacturer": vendor, "serial_number": serial_number}).encode(),
    )
    assert json.loads(answer["Payload"].read()) == {
        "manufacturer": vendor,
        "code": "ok",
        "detail": "",
    }
    assert cloud.fakes.vends(vendor, serial_number) == []


def test_gomelong_is_told_our_tariffs(cloud: Cloud, company: Company) -> None:
    company.tariff()

    def told() -> set[str]:
        answer = cloud.aws("lambda").invoke(
            FunctionName=cloud.stack["functions"]["sync_tariffs"],
            Payload=json.dumps({"manufacturer": "gomelong"}).encode(),
        )
        synced = json.loads(answer["Payload"].read())
        assert synced["code"] == "ok", synced
        return set(synced["tariffs"].values())

    assert "added" in told()
    assert told() == {"same"}
