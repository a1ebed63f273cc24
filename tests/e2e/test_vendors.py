"""Vendors that can be searched, or asked the same thing again: what goes wrong heals by itself.

SparkMeter and SteamaCo top meters up from afar, Calin's smart meters and Spark Energy's kits take
tokens, and Angaza is told until when a unit runs. (Those that can be asked nothing afterwards:
``test_held_payments.py``; for Sun King, whose tokens add days, the end of this file; what else is
special: ``test_more_vendors.py``.)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from infra.local.client import Cloud, now, wait_for
from tests.e2e.company import Company, Household, lines_of, serial, tokens_of, unique
from tests.e2e.lambdas import sweep_now
from tests.e2e.tables import rewrite_moment, vends_of

SEARCHABLE = ("sparkmeter", "calin_smart", "steama", "spark_shs")
VENDORS = ("sparkmeter", "calin_smart", "steama", "angaza")
REFUSED = {
    "steama": "refused_by_vendor",
    "sparkmeter": "refused_by_vendor",
    "calin_smart": "meter_not_found",
    "angaza": "refused_by_vendor",
}


def customer_of(company: Company, vendor: str) -> Household:
    """A household with a device of that vendor: a meter at 100 per kWh, or an SHS at 700 a week."""
    if vendor in ("angaza", "spark_shs"):
        return company.remote_shs(manufacturer=vendor)
    return company.meter(manufacturer=vendor)


def start(cloud: Cloud, household: Household, amount: str = "700.00") -> str:
    """The id of a payment that was just accepted."""
    reference = unique("ref-")
    assert cloud.partner.pay(household.serial_number, amount, reference).status == 202
    return cloud.partner.payment_id(reference)


def paid_while(cloud: Cloud, company: Company, vendor: str, fault: str) -> tuple[Household, str]:
    """A household that paid 700, whose vendor failed once in that way; and the payment's id."""
    household = customer_of(company, vendor)
    cloud.fakes.order(vendor, fault, serial_number=household.known_as)
    return household, start(cloud, household)


def wait_for_vend(cloud: Cloud, payment_id: str, state: str) -> dict[str, Any]:
    """The payment's first vend, as it is stored, once it is in that state."""
    return wait_for(
        lambda: (vends_of(cloud, payment_id) or [{"state": "none"}])[0],
        lambda vend: vend["state"] == state,
        f"the vend of {payment_id} is {state}",
    )


def time_passes(cloud: Cloud, payment_id: str) -> None:
    """The vend in trouble is taken up again: its next try or look is due."""
    rewrite_moment(cloud, payment_id, "vends[0].retry_at", now() - timedelta(seconds=1))
    sweep_now(cloud, payment_id)


def asked(cloud: Cloud, vendor: str, household: Household) -> list[dict[str, Any]]:
    return cloud.fakes.vends(vendor, household.known_as)


def times_issued(cloud: Cloud, vendor: str, household: Household) -> int:
    return sum(vend["issued"] for vend in asked(cloud, vendor, household))


def vends(payment: dict[str, Any]) -> list[tuple[str, int]]:
    return [(vend["state"], vend["attempts"]) for vend in payment["vends"]]


def whats(payment: dict[str, Any]) -> list[str]:
    return [event["what"] for event in payment["events"]]


# --- as it should be ------------------------------------------------------------------------


def test_sparkmeter_is_told_the_money_and_there_is_no_token_to_type(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter(manufacturer="sparkmeter", tariff_id=company.tariff("300"))
    payment = company.pay_for("1000", household)
    assert (payment["status"], lines_of(payment)) == ("completed", "energy 1000.00")
    [token] = payment["tokens"]
    assert (token["value"], token["units"]) == (None, "3.333")
    [vend] = asked(cloud, "sparkmeter", household)
    assert vend["request"]["amount"] == "1000.00"
    assert vend["request"]["customer_id"] == household.known_as
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert "3.333 kWh were sent" in message["body"]
    assert whats(payment) == []


@pytest.mark.parametrize(
    "vendor", ["calin_smart", "gomelong", "gomelong_v1", "stron", "stron_v3", "microstar"]
)
def test_a_meter_gets_a_token_of_twenty_digits(cloud: Cloud, company: Company, vendor: str) -> None:
    household = company.meter(manufacturer=vendor)
    payment = company.pay_for("550", household)
    assert tokens_of(payment) == "energy 5.5 kWh"
    value = payment["tokens"][0]["value"]
    assert cloud.fakes.issued(vendor, household.serial_number) == [value]
    assert len(value) == 20
    assert value.isdecimal()
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert value in message["body"].replace(" ", "")


def test_a_unit_of_angaza_is_told_until_when_it_runs(cloud: Cloud, company: Company) -> None:
    household = company.remote_shs()
    payment = company.pay_for("800", household)
    assert (lines_of(payment), tokens_of(payment)) == ("time 800.00", "time 8 days")
    [until] = told_until(cloud, household)
    assert (
        timedelta(0)
        <= until - datetime.fromisoformat(payment["moment"]) - timedelta(days=8)
        < timedelta(seconds=2)
    )
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert payment["tokens"][0]["value"] in message["body"].replace(" ", "")


# --- what the vendor needs to know of a device ----------------------------------------------


@pytest.mark.parametrize(
    ("technical", "field"),
    [
        (None, "customer_id"),
        ({}, "customer_id"),
        ({"customer_id": "C17"}, "customer_id"),
        ({"customer_id": 17}, "customer_id"),
        ({"customer_id": "6a7d63a6-6a69-4b3b-a8c1-0f0c9a5e1c55", "site": ""}, "site"),
        ({"customer_id": "6a7d63a6-6a69-4b3b-a8c1-0f0c9a5e1c55", "meter": "1"}, "meter"),
    ],
)
def test_a_meter_of_sparkmeter_needs_the_vendor_s_name_for_its_customer(
    cloud: Cloud, company: Company, technical: dict[str, Any] | None, field: str
) -> None:
    device = {"manufacturer": "sparkmeter", "tariff_id": company.tariff()}
    if technical is not None:
        device["technical"] = technical
    serial_number = serial()
    answer = company.register(company.person(), {"serial_number": serial_number, **device})
    assert (answer.status, answer.fields) == (422, {f"device.technical.{field}"})
    assert cloud.staff("office").get(f"/devices/{serial_number}").status == 404


def test_other_vendors_need_to_know_nothing_of_a_device(company: Company) -> None:
    technical = {"customer_id": "6a7d63a6-6a69-4b3b-a8c1-0f0c9a5e1c55"}
    for more, role in (
        ({"manufacturer": "calin_smart", "tariff_id": company.tariff()}, "field"),
        ({"manufacturer": "angaza", "plan": company.terms()}, "office"),
    ):
        device = {"serial_number": serial(), "technical": technical, **more}
        answer = company.register(company.person(), device, role=role)
        assert (answer.status, answer.fields) == (422, {"device.technical.customer_id"})


# --- what goes wrong ------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", SEARCHABLE)
def test_a_vend_whose_answer_was_lost_is_found_and_not_made_twice(
    cloud: Cloud, company: Company, vendor: str
) -> None:
    household, payment_id = paid_while(cloud, company, vendor, "garbage")
    payment = cloud.wait_for_payment(payment_id)
    assert (payment["status"], vends(payment)) == ("completed", [("done", 1)])
    assert whats(payment) == ["vend_uncertain"]
    assert tokens_of(payment) == ("time 7 days" if vendor == "spark_shs" else "energy 7 kWh")
    assert times_issued(cloud, vendor, household) == 1
    issued = cloud.fakes.issued(vendor, household.known_as)
    assert [token["value"] for token in payment["tokens"]] == (issued or [None])
    assert cloud.wait_for_message(payment_id, 1)


def test_a_vend_whose_answer_was_lost_is_asked_for_again_where_that_gives_nothing_twice(
    cloud: Cloud, company: Company
) -> None:
    household, payment_id = paid_while(cloud, company, "angaza", "garbage")
    wait_for_vend(cloud, payment_id, "uncertain")
    time_passes(cloud, payment_id)
    payment = cloud.wait_for_payment(payment_id)
    assert (payment["status"], vends(payment)) == ("completed", [("done", 2)])
    first, second = told_until(cloud, household)
    assert first == second
    assert set(cloud.fakes.issued("angaza", household.known_as)) == {payment["tokens"][0]["value"]}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vend_that_the_vendor_turns_down_is_held_and_can_be_retried(
    cloud: Cloud, company: Company, vendor: str
) -> None:
    household, payment_id = paid_while(cloud, company, vendor, "refuse")
    payment = cloud.wait_for_payment(payment_id)
    assert (payment["status"], payment["reason"]) == ("held", "vend_refused")
    assert payment["events"][0]["reason"] == REFUSED[vendor]
    path = f"/payments/{payment_id}/retry"
    answer = cloud.staff("operations").post(path, {"reason": "it is registered there now"})
    assert answer.status == 202
    payment = cloud.wait_for_payment(payment_id, {"completed"})
    assert vends(payment) == [("done", 2)]
    assert times_issued(cloud, vendor, household) == 1


@pytest.mark.parametrize("vendor", SEARCHABLE)
def test_a_vend_that_a_search_proves_absent_is_replaced_by_a_new_one(
    cloud: Cloud, company: Company, vendor: str
) -> None:
    household, payment_id = paid_while(cloud, company, vendor, "error_500")
    wait_for_vend(cloud, payment_id, "uncertain")
    assert times_issued(cloud, vendor, household) == 0
    assert cloud.payment(payment_id)["status"] == "vending"  # so soon it may not show yet
    rewrite_moment(cloud, payment_id, "vends[0].called_at", now() - timedelta(minutes=3))
    payment = cloud.wait_for_payment(payment_id)
    assert (payment["status"], vends(payment)) == ("completed", [("void", 1), ("done", 1)])
    assert "vend_absent" in whats(payment)
    assert times_issued(cloud, vendor, household) == 1
    assert cloud.account(household.customer_id)["version"] == 2


def test_a_vend_of_angaza_that_was_not_answered_is_repeated(cloud: Cloud, company: Company) -> None:
    household, payment_id = paid_while(cloud, company, "angaza", "error_500")
    wait_for_vend(cloud, payment_id, "uncertain")
    time_passes(cloud, payment_id)
    payment = cloud.wait_for_payment(payment_id)
    assert (payment["status"], vends(payment)) == ("completed", [("done", 2)])
    assert times_issued(cloud, "angaza", household) == 1


def test_a_top_up_that_is_sold_but_not_delivered_is_waited_for(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter(manufacturer="sparkmeter")
    more = {"serial_number": household.known_as}
    cloud.fakes.order("sparkmeter", "pending", times=1000, **more)
    payment_id = start(cloud, household)
    wait_for(
        lambda: vends_of(cloud, payment_id),
        lambda found: bool(found) and found[0].get("looks", 0) >= 1,
        "the top-up was looked for",
    )
    payment = cloud.payment(payment_id)
    assert (payment["status"], payment["tokens"], payment["events"]) == ("vending", [], [])
    assert cloud.messages(payment_id) == []

    cloud.fakes.clear()
    time_passes(cloud, payment_id)
    payment = cloud.wait_for_payment(payment_id)
    assert (payment["status"], vends(payment)) == ("completed", [("done", 1)])
    assert times_issued(cloud, "sparkmeter", household) == 1
    assert whats(payment) == []


# --- until when a unit runs -----------------------------------------------------------------


def told_until(cloud: Cloud, household: Household) -> list[datetime]:
    """Until when Angaza was told that the unit runs, one per request."""
    return [
        datetime.fromisoformat(vend["request"]["state"]["desired"]["credit_until_dt"])
        for vend in asked(cloud, "angaza", household)
    ]


def test_whoever_pays_early_keeps_the_days_that_are_left(cloud: Cloud, company: Company) -> None:
    household = company.remote_shs()
    for amount in ("700", "800"):
        assert company.pay_for(amount, household)["status"] == "completed"
    first, second = told_until(cloud, household)
    assert second - first == timedelta(days=8)
    device = cloud.staff("office").get(f"/devices/{household.serial_number}").body
    paid_until = datetime.fromisoformat(device["paid_until"])
    assert timedelta(0) <= second - paid_until < timedelta(seconds=1)


def test_a_unit_that_is_paid_off_is_unlocked_for_good(cloud: Cloud, company: Company) -> None:
    household = company.remote_shs(total="700.00", instalments=1)
    payment = company.pay_for("800", household)
    assert (lines_of(payment), tokens_of(payment)) == ("time 700.00, credit 100.00", "unlock")
    [vend] = asked(cloud, "angaza", household)
    assert vend["request"]["state"]["desired"] == {"credit_until_dt": "UNLOCKED"}
    device = cloud.staff("office").get(f"/devices/{household.serial_number}").body
    assert (device["state"], device["plan"]["state"]) == ("unlocked", "paid")
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert "fully paid" in message["body"]
    assert payment["tokens"][0]["value"] in message["body"].replace(" ", "")


def test_a_vend_that_comes_late_does_not_take_later_days_away(
    cloud: Cloud, company: Company
) -> None:
    household = company.remote_shs()
    cloud.fakes.order("angaza", "refuse_connection")
    early = start(cloud, household)
    wait_for_vend(cloud, early, "refused")
    cloud.fakes.clear()
    late = company.pay_for("700", household)
    assert late["status"] == "completed"

    time_passes(cloud, early)

    payment = cloud.wait_for_payment(early)
    assert (payment["status"], vends(payment)) == ("completed", [("done", 2)])
    first, last = told_until(cloud, household)
    assert first == last
    moment = datetime.fromisoformat(payment["moment"])
    assert timedelta(0) <= last - moment - timedelta(days=14) < timedelta(seconds=2)
    for paid in (payment, late):
        assert tokens_of(paid) == "time 7 days"
        assert cloud.wait_for_message(paid["payment_id"], 1)


# --- days that a token adds -----------------------------------------------------------------


def told_sunking(cloud: Cloud, household: Household) -> list[dict[str, Any]]:
    """The commands that Sun King was given for a unit, without the unit."""
    return [
        {name: value for name, value in vend["request"].items() if name != "device"}
        for vend in asked(cloud, "sunking", household)
    ]


def test_a_unit_of_sun_king_gets_its_days_and_in_the_end_runs_for_good(
    cloud: Cloud, company: Company
) -> None:
    household = company.remote_shs(manufacturer="sunking", total="1400.00", instalments=2)
    days = company.pay_for("700", household)
    assert (days["status"], tokens_of(days)) == ("completed", "time 7 days")
    last = company.pay_for("700", household)
    assert (last["status"], tokens_of(last)) == ("completed", "unlock")
    assert told_sunking(cloud, household) == [
        {"command": "add_credit", "payload": 7, "time_unit": "day"},
        {"command": "unlock"},
    ]
    values = [payment["tokens"][0]["value"] for payment in (days, last)]
    assert cloud.fakes.issued("sunking", household.serial_number) == values
    for payment, value in zip((days, last), values, strict=True):
        message = cloud.wait_for_message(payment["payment_id"], 1)
        assert value in message["body"].replace(" ", "")


@pytest.mark.parametrize(("fault", "issued"), [("error_500", 0), ("garbage", 1)])
def test_a_vend_of_sun_king_in_doubt_waits_for_a_person(
    cloud: Cloud, company: Company, fault: str, issued: int
) -> None:
    household = company.remote_shs(manufacturer="sunking")
    cloud.fakes.order("sunking", fault, serial_number=household.serial_number)
    payment_id = start(cloud, household)
    held = cloud.wait_for_payment(payment_id, {"held"})
    assert (held["reason"], vends(held)) == ("vend_uncertain", [("uncertain", 1)])
    sweep_now(cloud, payment_id)
    assert len(asked(cloud, "sunking", household)) == 1
    assert times_issued(cloud, "sunking", household) == issued
    staff = cloud.staff("operations")
    if issued:
        [token] = cloud.fakes.issued("sunking", household.serial_number)
        resolve = {"outcome": "token", "token": token, "reason": "seen in the portal"}
        assert staff.post(f"/payments/{payment_id}/resolve", resolve).status == 202
    else:
        retry = {"not_issued": True, "reason": "the portal has none"}
        assert staff.post(f"/payments/{payment_id}/retry", retry).status == 202
    payment = cloud.wait_for_payment(payment_id, {"completed"})
    assert tokens_of(payment) == "time 7 days"
    assert times_issued(cloud, "sunking", household) == 1


def test_a_unit_that_sun_king_does_not_know_is_a_definite_no(
    cloud: Cloud, company: Company
) -> None:
    household = company.remote_shs(manufacturer="sunking")
    cloud.fakes.order("sunking", "refuse", serial_number=household.serial_number)
    payment_id = start(cloud, household)
    held = cloud.wait_for_payment(payment_id, {"held"})
    assert (held["reason"], held["events"][0]["reason"]) == ("vend_refused", "device_not_found")
    retry = {"reason": "it is registered there now"}
    path = f"/payments/{payment_id}/retry"
    assert cloud.staff("operations").post(path, retry).status == 202
    assert vends(cloud.wait_for_payment(payment_id, {"completed"})) == [("done", 2)]
    assert times_issued(cloud, "sunking", household) == 1
