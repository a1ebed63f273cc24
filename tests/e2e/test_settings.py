"""The company's choices, in force without a new deployment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from infra.local.client import Cloud
from tests.e2e.company import Company, day, lines_of, tokens_of
from tests.e2e.lambdas import start_fresh


@contextmanager
def settings(cloud: Cloud, **changes: Any) -> Iterator[None]:
    """Other settings for a while. Fresh processes stand for the 30 seconds of their caches."""
    admin = cloud.staff("admin")
    before = admin.get("/settings").body
    assert admin.put("/settings", {**before, **changes}).status == 200
    start_fresh(cloud, "api")
    start_fresh(cloud, "settle")
    try:
        yield
    finally:
        assert admin.put("/settings", before).status == 200
        start_fresh(cloud, "api")
        start_fresh(cloud, "settle")


@pytest.mark.parametrize(("choice", "days"), [("debt", "7"), ("activation", "21")])
def test_own_arrears_buy_their_days_only_if_the_company_wants_it(
    cloud: Cloud, company: Company, choice: str, days: str
) -> None:
    """Two instalments overdue, the third due in three days: 2100."""
    household = company.shs(first_due=day(3 - 14))
    with settings(cloud, own_arrears=choice):
        payment = company.pay_for("2100", household)
    assert lines_of(payment) == "device 1400.00, time 700.00"
    assert tokens_of(payment) == f"time {days} days"


def test_days_of_grace_put_off_what_is_overdue(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    company.tv(household.customer_id, first_due=day(-3))
    with settings(cloud, grace_days=3):
        assert cloud.account(household.customer_id)["owed"] == "0.00"
        assert lines_of(company.pay_for("100", household)) == "energy 100.00"
    assert cloud.account(household.customer_id)["owed"] == "300.00"


def test_an_amount_above_the_largest_is_refused(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    with settings(cloud, maximum_amount="99.99"):
        answer = cloud.partner.quote(household.serial_number, "100.00")
        assert (answer.status, answer.code) == (422, "invalid_amount")
        assert cloud.partner.quote(household.serial_number, "99.99").status == 200


def test_the_sms_speak_the_company_s_first_language(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    admin = cloud.staff("admin")
    before = admin.get("/settings").body
    admin.put("/settings", {**before, "languages": ["sw", "en"]})
    start_fresh(cloud, "send_messages")
    try:
        payment = company.pay_for("100", household)
        message = cloud.wait_for_message(payment["payment_id"], 1)
    finally:
        admin.put("/settings", before)
        start_fresh(cloud, "send_messages")
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
