"""Plans, the account that shows them, tariffs and their fees."""

from __future__ import annotations

from infra.local.client import Cloud
from tests.e2e.company import Company, created, day, lines_of, unique


def test_a_sale_is_made_once_under_its_key(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    path, key = f"/customers/{household.customer_id}/plans", unique("sale-")
    body = company.terms(name="Radio", total="100.00", instalments=2)
    first = cloud.staff("office").post(path, body, key=key)
    again = cloud.staff("office").post(path, body, key=key)
    assert (first.status, again.status) == (201, 200)
    assert again.body == first.body
    assert cloud.account(household.customer_id)["version"] == 2
    other = cloud.staff("office").post(path, {**body, "total": "200.00"}, key=key)
    assert (other.status, other.code) == (409, "reference_conflict")


def test_a_sale_needs_a_key(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    body = company.terms(name="Radio", total="100.00", instalments=2)
    answer = cloud.staff("office").post(f"/customers/{household.customer_id}/plans", body)
    assert answer.status == 422
    assert cloud.account(household.customer_id)["version"] == 1


def test_the_last_instalment_takes_the_rest(company: Company) -> None:
    household = company.meter()
    by_number = company.tv(household.customer_id, total="100.00", instalments=3, first_due=day(5))
    assert [row["amount"] for row in by_number["schedule"]] == ["33.33", "33.33", "33.34"]
    by_amount = company.tv(
        household.customer_id,
        total="100.00",
        instalments=None,
        instalment_amount="30.00",
        first_due=day(5),
    )
    assert [row["amount"] for row in by_amount["schedule"]] == ["30.00", "30.00", "40.00"]


def test_months_are_anchored_on_the_first_due_day(company: Company) -> None:
    household = company.meter()
    plan = company.tv(household.customer_id, total="400.00", instalments=4, first_due="2031-01-31")
    assert [row["due_on"] for row in plan["schedule"]] == [
        "2031-01-31",
        "2031-02-28",
        "2031-03-31",
        "2031-04-30",
    ]


def test_the_down_payment_is_owed_at_once_and_first_of_its_plan(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    plan = company.tv(
        household.customer_id,
        total="400.00",
        instalments=3,
        down_payment="100.00",
        first_due=day(9),
    )
    assert plan["schedule"][0] == {
        "number": 0,
        "due_on": day(0),
        "amount": "100.00",
        "paid": "0.00",
    }
    account = cloud.account(household.customer_id)
    assert account["owed"] == "100.00"
    assert lines_of(company.pay_for("150", household)) == "appliance 100.00, energy 50.00"


def test_what_was_paid_before_counts(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    plan = company.tv(
        household.customer_id,
        total="900.00",
        instalments=3,
        every="week",
        already_paid="350.00",
        first_due=day(-17),
    )
    assert (plan["paid"], plan["open"], plan["overdue"]) == ("350.00", "550.00", "550.00")
    assert [row["paid"] for row in plan["schedule"]] == ["300.00", "50.00", "0.00"]
    assert cloud.account(household.customer_id)["owed"] == "550.00"


def test_debts_are_shown_in_the_order_in_which_they_are_cleared(
    cloud: Cloud, company: Company
) -> None:
    """Appliances first; then devices and fees, whatever is due first."""
    tariff_id = company.tariff(access_rate={"amount": "10.00", "period_days": 30})
    household = company.meter(tariff_id=tariff_id, registered_on=day(-35))  # a fee at -5
    shs = company.shs(
        customer_id=household.customer_id, total="100.00", instalments=2, first_due=day(-8)
    )
    tv = company.tv(household.customer_id, total="300.00", first_due=day(-2))
    account = cloud.account(household.customer_id)
    assert [(debt["kind"], debt["ref"], debt["due_on"]) for debt in account["debts"]] == [
        ("appliance", tv["plan_id"], day(-2)),
        ("device", shs.serial_number, day(-8)),
        ("access_rate", household.serial_number, day(-5)),
        ("device", shs.serial_number, day(-1)),
    ]
    payment = company.pay_for("370", household)
    assert lines_of(payment) == "appliance 300.00, device 60.00, access_rate 10.00"


def test_the_account_tells_what_will_be_owed_on_a_later_day(cloud: Cloud, company: Company) -> None:
    tariff_id = company.tariff(access_rate={"amount": "75.00", "period_days": 7})
    household = company.meter(tariff_id=tariff_id, registered_on=day(-3))
    path = f"/customers/{household.customer_id}/account"
    office = cloud.staff("office")
    assert office.get(path).body["owed"] == "0.00"
    device = office.get(path).body["devices"][0]
    assert device["access_rate"] == {"next_due_on": day(4), "amount": "75.00"}
    assert office.get(path, at=day(3)).body["owed"] == "0.00"
    assert office.get(path, at=day(4)).body["owed"] == "75.00"
    assert office.get(path, at=day(18)).body["owed"] == "225.00"
    assert office.get(path, at=day(-1)).status == 422
    assert cloud.account(household.customer_id)["version"] == 1


def test_looking_stores_nothing(cloud: Cloud, company: Company) -> None:
    tariff_id = company.tariff(access_rate={"amount": "75.00", "period_days": 7})
    household = company.meter(tariff_id=tariff_id, registered_on=day(-100))
    first = cloud.account(household.customer_id)
    assert first["owed"] == "1050.00"
    assert cloud.account(household.customer_id) == first


def test_a_tariff_changes_no_earlier_than_a_minute_from_now(cloud: Cloud, company: Company) -> None:
    admin = cloud.staff("admin")
    tariff = created(
        admin.post(
            "/tariffs",
            {"name": unique("changing "), "price_per_kwh": "100", "access_rate": None},
        )
    )
    household = company.meter(tariff_id=tariff["id"])
    change = {"name": tariff["name"], "price_per_kwh": "200", "access_rate": None}
    early = admin.put(
        f"/tariffs/{tariff['id']}", {**change, "effective_from": tariff["effective_from"]}
    )
    assert early.status == 422
    assert admin.put(f"/tariffs/{tariff['id']}", change).status == 200
    payment = company.pay_for("200", household)
    assert payment["tokens"][0]["units"] == "2"


def test_a_device_with_an_open_plan_is_not_sold_again(cloud: Cloud, company: Company) -> None:
    household = company.shs()
    path = f"/devices/{household.serial_number}/plan"
    answer = cloud.staff("office").post(path, company.terms(), key=unique("sale-"))
    assert (answer.status, answer.code) == (409, "device_has_open_plan")


def test_a_paid_off_device_is_sold_again_on_a_new_plan(cloud: Cloud, company: Company) -> None:
    household = company.shs(total="700.00", instalments=1)
    company.pay_for("700", household)
    path = f"/devices/{household.serial_number}/plan"
    plan = created(cloud.staff("office").post(path, company.terms(), key=unique("sale-")))
    assert plan["serial_number"] == household.serial_number
    payment = company.pay_for("700", household)
    assert payment["tokens"][0]["units"] == "7"


def test_money_settings_are_fixed_once_a_payment_exists(cloud: Cloud, company: Company) -> None:
    company.pay_for("100", company.meter())
    admin = cloud.staff("admin")
    settings = admin.get("/settings").body
    assert (settings["currency"], settings["time_zone"]) == ("KES", "Africa/Nairobi")
    assert admin.put("/settings", {**settings, "currency": "UGX"}).status in (409, 422)
    assert admin.put("/settings", {**settings, "grace_days": -1}).status == 422
    assert admin.get("/settings").body == settings
