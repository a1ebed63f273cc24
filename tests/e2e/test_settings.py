"""The company's choices, in force without a new deployment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from infra.local.client import Cloud
from tests.e2e.company import Company, day, lines_of, tokens_of
from tests.e2e.lambdas import start_fresh

CHOSEN = {
    "own_arrears": "activation",
    "grace_days": 3,
    "maximum_amount": "7000.00",
    "languages": ["sw", "en"],
}


@pytest.fixture(scope="module")
def chosen(cloud: Cloud) -> Iterator[None]:
    """Other settings while these tests run."""
    before = cloud.staff("admin").get("/settings").body
    put_in_force(cloud, {**before, **CHOSEN})
    yield
    put_in_force(cloud, before)


def put_in_force(cloud: Cloud, settings: dict[str, Any]) -> None:
    """Fresh processes stand for the 30 seconds that settings may be cached."""
    answer = cloud.staff("admin").put("/settings", settings)
    assert (answer.status, answer.body) == (200, settings)
    [latest, *_] = cloud.staff("admin").get("/settings/changes").body["items"]
    assert latest["actor"] == cloud.staff("admin").email
    for function in ("api", "settle", "send_messages"):
        start_fresh(cloud, function)


@pytest.mark.usefixtures("chosen")
def test_with_activation_own_arrears_buy_their_days(company: Company) -> None:
    """Two instalments overdue, the third due in three days."""
    payment = company.pay_for("2100", company.shs(first_due=day(3 - 14)))
    assert lines_of(payment) == "device 1400.00, time 700.00"
    assert tokens_of(payment) == "time 21 days"


@pytest.mark.usefixtures("chosen")
def test_days_of_grace_put_off_what_is_overdue(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    company.tv(household.customer_id, first_due=day(-3))
    assert cloud.account(household.customer_id)["owed"] == "0.00"
    assert lines_of(company.pay_for("100", household)) == "energy 100.00"
    company.tv(household.customer_id, first_due=day(-4))
    assert cloud.account(household.customer_id)["owed"] == "300.00"


@pytest.mark.usefixtures("chosen")
def test_an_amount_above_the_largest_is_refused(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    answer = cloud.partner.quote(household.serial_number, "7000.01")
    assert (answer.status, answer.code) == (422, "invalid_amount")
    assert cloud.partner.quote(household.serial_number, "7000.00").status == 200


@pytest.mark.usefixtures("chosen")
def test_the_sms_speak_the_company_s_first_language(cloud: Cloud, company: Company) -> None:
    payment = company.pay_for("100", company.meter())
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert message["language"] == "sw"
    assert message["body"].startswith("Asante")


def test_settings_that_make_no_sense_are_refused(cloud: Cloud) -> None:
    admin = cloud.staff("admin")
    before = admin.get("/settings").body
    for changes, field in (
        ({"currency": "EUROS"}, "currency"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"languages": ["tlh"]}, "languages"),
        ({"grace_days": -1}, "grace_days"),
        ({"maximum_amount": "0"}, "maximum_amount"),
        ({"own_arrears": "whatever"}, "own_arrears"),
    ):
        answer = admin.put("/settings", {**before, **changes})
        assert (answer.status, answer.fields) == (422, {field}), changes
    assert admin.get("/settings").body == before
