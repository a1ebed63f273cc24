"""The office website in a real browser, against the running system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect, sync_playwright

from infra.local import browser as chromium
from infra.local.client import Cloud, StaffMember
from infra.local.devices import SimulatedDevice
from infra.staff import make_staff
from tests.e2e.company import Company, created, day, phone, serial, unique
from tests.e2e.office import NARROW, PATIENCE_MS, Office

Opened = Callable[..., Office]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all; each test has a window of its own, which knows nothing of others."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium.find())
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, cloud: Cloud) -> Iterator[Opened]:
    """Opens the website; as somebody who has logged in, where a role is given."""
    offices: list[Office] = []

    def open_it(role: str | None = None, **more: Any) -> Office:
        office = Office.opened(browser, cloud, **more)
        offices.append(office)
        if role is not None:
            office.is_logged_in_as(role)
        return office

    yield open_it
    for office in offices:
        office.close()


# --- logging in and out -------------------------------------------------------------------------


def test_a_wrong_password_is_told_and_the_right_one_lets_in_until_the_log_out(
    opened: Opened,
) -> None:
    office = opened()
    office.log_in("office", "not the password")
    expect(office.page.get_by_role("alert")).to_contain_text("password is not right")
    office.log_in("office")
    office.at("Find a customer")
    token = office.page.evaluate("JSON.parse(sessionStorage.getItem('mwanga-session')).token")
    assert office.page.context.cookies() == []

    office.press("Log out")
    office.at("Log in")
    assert office.page.evaluate("sessionStorage.length") == 0
    office.page.wait_for_load_state("networkidle")
    api, ended = office.cloud.api, {"Authorization": f"Bearer {token}"}
    assert api.call("GET", "/villages", headers=ended).status == 401


def test_the_first_log_in_asks_for_a_password_of_one_s_own(opened: Opened, cloud: Cloud) -> None:
    office, email = opened(), f"{unique('new')}@example.org"
    pool = cloud.stack["staff_pool"]
    temporary = make_staff(cloud.aws("cognito-idp"), pool, email, "office")
    office.fill("E-mail", email)
    office.fill("Password", temporary)
    office.press("Log in")
    office.fill("New password", "short")
    office.fill("The same again", "shorter")
    office.press("Set the password")
    expect(office.wrong_at("The same again")).to_have_text("The two are not the same.")
    office.fill("The same again", "short")
    office.press("Set the password")
    expect(office.wrong_at("New password")).not_to_be_empty()
    for label in ("New password", "The same again"):
        office.fill(label, "a password of my own")
    office.press("Set the password")
    office.at("Find a customer")
    assert StaffMember(cloud.api, email, "a password of my own")


def test_one_can_log_in_and_find_a_customer_with_the_keyboard_alone(
    opened: Opened, company: Company
) -> None:
    office, household = opened(), company.meter()
    keyboard, member = office.page.keyboard, office.cloud.stack["staff"]["office"]
    for text in (member["email"], member["password"]):
        keyboard.press("Tab")
        outline = "getComputedStyle(document.activeElement).outlineWidth"
        assert office.page.evaluate(outline) == "3px"
        keyboard.type(text)
    keyboard.press("Enter")
    office.at("Find a customer")
    keyboard.press("Tab")
    keyboard.type(household.serial_number)
    keyboard.press("Enter")
    office.at(f"1 found for “{household.serial_number}”")


def type_a_sale(office: Office, company: Company) -> str:
    """Type a sale of a radio, until the session ends; answers whose it is to be."""
    office.log_in("office")
    office.at("Find a customer")
    household = company.meter()
    office.go(f"customers/{household.customer_id}/sell")
    office.choose("What is sold", "Something else")
    office.fill("Its name", "Radio")
    office.fill("Total price", "450")
    office.fill("Number of instalments", "3")
    office.page.evaluate(
        """async () => {
            const { token } = JSON.parse(sessionStorage.getItem("mwanga-session"))
            await fetch("auth/logout", {
                method: "POST", headers: { Authorization: "Bearer " + token },
            })
        }"""
    )
    office.press("Sell")
    office.at("Log in")
    office.sees("what you have typed is kept")
    return household.customer_id


def test_a_session_that_ends_leaves_what_was_typed_as_it_was(
    opened: Opened, company: Company
) -> None:
    office = opened()
    customer_id = type_a_sale(office, company)
    office.log_in("office")
    expect(office.field("Its name")).to_have_value("Radio")
    office.press("Sell")
    office.hears("Sold: Radio")
    [plan] = office.cloud.account(customer_id)["plans"]
    assert (plan["name"], plan["total"], plan["instalments"]) == ("Radio", "450.00", 3)


def test_somebody_else_who_logs_in_does_not_see_what_was_typed(
    opened: Opened, company: Company
) -> None:
    office = opened()
    customer_id = type_a_sale(office, company)
    office.log_in("finance")
    office.at("Find a customer")
    office.go(f"customers/{customer_id}/sell", "Not for you")


# --- the office's work --------------------------------------------------------------------------


def test_a_solar_home_system_is_registered_with_its_customer(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    office, device = opened("office"), SimulatedDevice(serial("SHS"))
    village = cloud.staff("office").get("/villages", limit=100).body["items"][0]["name"]
    surname = unique("Wanjala ")
    office.open("Register")
    office.at("Register a device")
    office.press("Register")
    expect(office.wrong_at("First name")).to_have_text("Please fill this in.")
    expect(office.field("First name")).to_be_focused()
    for label, text in (
        ("First name", "Njeri"),
        ("Surname", surname),
        ("Phone", phone()),
        ("Serial number", device.serial_number),
    ):
        office.fill(label, text)
    office.choose("Village", village)
    office.choose("Manufacturer", "OpenPAYGO (Solar home system)")
    office.choose("Sold as", "On terms of its own")
    office.choose("One every", "week")
    for label, text in (
        ("Total price", "7000"),
        ("Number of instalments", "10"),
        ("First due on", day(7)),
        ("Secret key", "no key"),
        ("Starting code", str(device.technical["starting_code"])),
    ):
        office.fill(label, text)
    office.press("Register")
    expect(office.wrong_at("Secret key")).to_contain_text("32 hexadecimal digits")
    expect(office.field("Secret key")).to_be_focused()
    office.fill("Secret key", str(device.technical["secret_key"]))
    office.press("Register")
    office.at(f"Njeri {surname}")
    office.sees(device.serial_number)
    stored = cloud.staff("office").get(f"/devices/{device.serial_number}").body
    assert (stored["plan"]["total"], stored["plan"]["instalments"]) == ("7000.00", 10)
    assert company.pay(device.serial_number, "700")["tokens"][0]["units"] == "7"


def test_a_customer_is_found_by_phone_by_name_and_by_serial_number(
    opened: Opened, company: Company
) -> None:
    office = opened("finance")
    household = company.meter()
    person = office.cloud.staff("office").get(f"/customers/{household.customer_id}").body
    name = f"{person['name']} {person['surname']}"
    as_dialled = "0" + household.phone.removeprefix("+254")
    for wanted in (household.phone, as_dialled, f"  {name} ", str(person["number"])):
        office.go("find", "Find a customer")
        office.fill("Phone, name", wanted)
        office.press("Find")
        office.open(name)
        office.at(name)
    office.go("find", "Find a customer")
    office.fill("Phone, name", household.serial_number.lower())
    office.press("Find")
    office.open("Open its customer")
    office.at(name)
    office.go("find", "Find a customer")
    office.fill("Phone, name", "nobody of that name")
    office.press("Find")
    office.at("Nothing found for “nobody of that name”")


@pytest.mark.parametrize("lost", [True, False])
def test_who_presses_twice_and_repeats_what_had_no_answer_has_sold_once(
    opened: Opened, company: Company, cloud: Cloud, lost: bool
) -> None:
    """The answer is lost on the line, or says that nobody knows whether it was done."""
    office, household = opened("office"), company.meter()
    name = unique("TV ")
    body = {
        "name": name,
        "kind": "appliance",
        "price": "9000.00",
        "default_plan": {"instalments": 9, "every": "month", "first_due_after_days": 30},
    }
    created(cloud.staff("admin").post("/appliances", body))
    keys = []

    def lose_the_first_answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        answer = route.fetch()
        assert answer.status == (201 if len(keys) == 1 else 200)
        if len(keys) > 1:
            route.fulfill(response=answer)
        elif lost:
            route.abort("connectionreset")
        else:
            route.fulfill(status=503, json={"code": "try_again", "errors": []})

    office.page.route("**/plans", lose_the_first_answer)
    office.go(f"customers/{household.customer_id}/sell")
    office.choose("What is sold", f"{name}, KES\u00a09,000.00")
    expect(office.field("Number of instalments")).to_have_value("9")
    office.button("Sell").dblclick()
    expect(office.page.get_by_role("alert")).to_contain_text("nothing is done twice")
    office.press("Sell")
    office.hears(f"Sold: {name}")
    assert len(keys) == 2 and len(set(keys)) == 1
    [plan] = cloud.account(household.customer_id)["plans"]
    assert (plan["name"], plan["total"], plan["instalments"]) == (name, "9000.00", 9)
    office.wrongs = [wrong for wrong in office.wrongs if "ERR_CONNECTION_RESET" not in wrong]


def test_a_held_payment_is_brought_further(opened: Opened, company: Company, cloud: Cloud) -> None:
    household = company.meter()
    cloud.fakes.order("calin", "garbage", serial_number=household.serial_number)
    uncertain = company.pay_for("550", household)
    cloud.fakes.order("calin", "refuse", serial_number=household.serial_number)
    refused = company.pay_for("100", household)
    [issued] = cloud.fakes.issued("calin", household.serial_number)

    clerk = opened("office")
    clerk.go(f"payments/{uncertain['payment_id']}", "Payment of KES\u00a0550.00")
    expect(clerk.button("Do it")).to_have_count(0)

    office = opened("operations")
    office.open("Held")
    office.at("Held payments")
    row = office.page.get_by_role("row", name=household.serial_number).filter(has_text="550.00")
    row.get_by_role("link").click()
    office.at("Payment of KES\u00a0550.00")
    office.page.get_by_label("Enter the token").check()
    office.fill("Token", f"{issued[:10]} {issued[10:]}")
    office.press("Do it")
    expect(office.wrong_at("Reason")).to_have_text("Please fill this in.")
    office.fill("Reason", "seen in the portal")
    office.press("Do it")
    office.hears("now: Completed")
    office.sees(" ".join(issued[i : i + 4] for i in range(0, 20, 4)))

    office.go(f"payments/{refused['payment_id']}", "Payment of KES\u00a0100.00")
    office.page.get_by_label("Try again").check()
    office.fill("Reason", "registered at the vendor now")
    office.press("Do it")
    office.hears("Done.")
    assert cloud.wait_for_payment(refused["payment_id"], {"completed"})["tokens"]


def test_money_for_a_mistyped_serial_number_is_given_to_the_right_device(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    household, receipt, mistyped = company.meter(), cloud.daraja.receipt(), serial()
    cloud.daraja.confirm(receipt, mistyped, "100.00")
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt), {"refund_due"})
    office = opened("operations")
    office.go(f"payments/{payment['payment_id']}")
    office.sees("No device has this serial number.")
    office.page.get_by_label("Give it to the right device").check()
    office.fill("Serial number of the right device", "47 0000-nobody")
    office.fill("Reason", "read to us on the phone")
    office.press("Do it")
    expect(office.wrong_at("Serial number of the right device")).not_to_be_empty()
    office.fill("Serial number of the right device", household.serial_number)
    office.press("Do it")
    office.hears("Done.")
    done = cloud.wait_for_payment(payment["payment_id"], {"completed"})
    assert done["customer_id"] == household.customer_id


def post_from_the_field(company: Company, manufacturer: str, serial_number: str) -> str:
    """What the registration app posts; answers the surname of Akinyi, whose it is."""
    field, surname = company.cloud.staff("field"), unique("Otieno ")
    makers = field.get("/manufacturers").body["items"]
    form = {
        "name": "Akinyi",
        "surname": surname,
        "phone": phone(),
        "serial_number": serial_number,
        "tariff_id": company.tariff(),
        "city_id": company.village_id,
        "manufacturer": next(one["id"] for one in makers if one["key"] == manufacturer),
    }
    answer = field.post("/customer-registration-app", form)
    assert answer.status in (200, 201), answer
    return surname


def test_what_the_field_could_not_finish_is_finished_by_the_office(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    taken, right = company.meter().serial_number, SimulatedDevice(serial("SHS"))
    surname = post_from_the_field(company, "calin", taken)
    office = opened("office")
    office.open("Review")
    row = office.page.get_by_role("row", name=f"Akinyi {surname}")
    expect(row).to_contain_text("somebody else's")
    row.get_by_role("link").click()
    office.at(f"Registration of Akinyi {surname}")
    office.page.get_by_label("Register it").check()
    office.fill("Serial number", right.serial_number)
    office.fill("Reason", "the photo shows that it is a solar home system")
    office.choose("Manufacturer", "OpenPAYGO (Solar home system)")
    office.choose("Sold as", "On terms of its own")
    office.fill("Total price", "7000")
    office.fill("Number of instalments", "10")
    office.fill("Secret key", "no key")
    office.fill("Starting code", str(right.technical["starting_code"]))
    office.press("Do it")
    expect(office.wrong_at("Secret key")).not_to_be_empty()
    office.fill("Secret key", str(right.technical["secret_key"]))
    office.press("Do it")
    office.hears("Done.")
    stored = cloud.staff("office").get(f"/devices/{right.serial_number}").body
    assert (stored["kind"], stored["plan"]["total"]) == ("shs", "7000.00")


def test_a_device_that_came_without_plan_and_key_is_completed(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    device = SimulatedDevice(serial("8"))
    post_from_the_field(company, "openpaygo", device.serial_number)
    office = opened("office")
    office.go(f"devices/{device.serial_number}")
    office.sees("It has no plan.")
    office.open("Sell it")
    office.fill("Total price", "7000")
    office.fill("Number of instalments", "10")
    office.choose("One every", "week")
    office.press("Sell")
    office.hears("Sold.")
    office.open("Enter its key")
    office.fill("Secret key", str(device.technical["secret_key"]))
    office.fill("Starting code", str(device.technical["starting_code"]))
    office.press("Save")
    office.hears("Saved.")
    office.open("Review")
    office.page.get_by_role("row", name=device.serial_number).get_by_role("link").click()
    office.page.get_by_label("It is complete").check()
    office.fill("Reason", "sold, and its key is there")
    office.press("Do it")
    office.hears("Done.")
    expect(office.page.get_by_role("row", name=device.serial_number)).to_have_count(0)
    assert company.pay(device.serial_number, "700")["tokens"][0]["units"] == "7"


def test_somebody_without_a_device_is_added_and_credit_is_paid_out(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    office, surname = opened("office"), unique("Karimi ")
    village = cloud.staff("office").get("/villages", limit=100).body["items"][0]["name"]
    office.open("Add a customer without a device")
    office.at("Add a customer")
    office.fill("First name", "Wairimu")
    office.fill("Surname", surname)
    office.fill("Phone", "12")
    office.choose("Village", village)
    office.press("Save")
    expect(office.wrong_at("Phone")).not_to_be_empty()
    office.fill("Phone", phone())
    office.press("Save")
    office.at(f"Wairimu {surname}")

    customer_id = office.page.url.rsplit("/", 1)[1]
    company.credit(customer_id, "115")
    operations = opened("operations")
    operations.go(f"customers/{customer_id}", f"Wairimu {surname}")
    operations.open("Pay out credit")
    expect(operations.field("Amount")).to_have_value("115.00")
    operations.fill("Amount", "116")
    operations.fill("Reason", "moved away")
    operations.press("Take it off the account")
    expect(operations.page.get_by_role("alert")).to_contain_text("there is not as much")
    operations.fill("Amount", "115")
    operations.press("Take it off the account")
    operations.hears("Hand it over now.")
    assert cloud.account(customer_id)["credit"] == "0.00"


def test_an_admin_adds_a_village_a_tariff_and_something_to_sell(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    office, name = opened("admin"), unique("New ")
    office.open("Sites")
    office.open("Add a village")
    office.fill("Name", name)
    grid = cloud.staff("admin").get("/mini-grids", limit=100).body["items"][0]
    office.choose("In which mini-grid", grid["name"])
    office.press("Save")
    office.at("Sites")
    office.sees(name)

    office.open("Tariffs")
    office.open("Add a tariff")
    office.fill("Name", name)
    office.fill("Price per kWh", "two")
    office.press("Save")
    expect(office.wrong_at("Price per kWh")).not_to_be_empty()
    office.fill("Price per kWh", "123.456")
    office.fill("Amount", "75")
    office.fill("Every so many days", "7")
    office.press("Save")
    office.at("Tariffs")
    row = office.page.get_by_role("row", name=name)
    expect(row).to_contain_text("KES\u00a0123.456")
    expect(row).to_contain_text("KES\u00a075.00 every 7 days")
    row.get_by_role("link").click()
    office.at(f"Change {name}")
    office.fill("Amount", "")
    office.fill("Every so many days", "")
    office.press("Save")
    office.at("Tariffs")
    expect(row).not_to_contain_text("every 7 days")

    office.open("Appliances")
    office.open("Add an appliance")
    office.fill("Name", name)
    office.choose("Kind", "Solar home system")
    office.fill("Price", "9000")
    office.page.get_by_label("instalments of so much").check()
    office.fill("Each instalment", "700")
    office.choose("One every", "week")
    office.press("Save")
    office.at("Appliances")

    household, second = company.meter(), SimulatedDevice(serial("SHS"))
    office.go(f"customers/{household.customer_id}")
    office.open("Register a device")
    office.at("Register a device")
    office.choose("Manufacturer", "OpenPAYGO (Solar home system)")
    office.fill("Serial number", second.serial_number)
    office.choose("Sold as", f"{name}, KES\u00a09,000.00")
    office.fill("Secret key", str(second.technical["secret_key"]))
    office.fill("Starting code", str(second.technical["starting_code"]))
    office.press("Register")
    office.hears("Registered")
    plan = cloud.account(household.customer_id)["plans"][0]
    assert (plan["total"], plan["instalments"], plan["every"]) == ("9000.00", 12, "week")


def test_a_slow_line_is_told(opened: Opened) -> None:
    office, held_up = opened("office"), []
    office.page.route("**/manufacturers*", lambda route: held_up.append(route))
    office.page.evaluate("location.hash = '#/register'")
    expect(office.page.get_by_role("status").filter(has_text="Waiting")).to_be_visible()
    held_up.pop().continue_()
    office.at("Register a device")
    expect(office.page.locator("#waiting")).to_be_empty()


def test_somebody_who_was_quicker_is_told_in_plain_words(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    household = company.meter()
    cloud.fakes.order("calin", "refuse", serial_number=household.serial_number)
    payment = company.pay_for("100", household)
    office = opened("operations")
    office.go(f"payments/{payment['payment_id']}")
    colleague = cloud.staff("operations")
    path = f"/payments/{payment['payment_id']}/resolve"
    assert colleague.post(path, {"reason": "quick", "outcome": "credit"}).status == 202
    office.page.get_by_label("Turn it into credit").check()
    office.fill("Reason", "slow")
    office.press("Do it")
    expect(office.page.get_by_role("alert")).to_contain_text("not held any more")


def test_amounts_and_tokens_are_written_as_people_read_them(opened: Opened) -> None:
    shown = opened().page.evaluate(
        """async () => {
            const { money, token } = await import(new URL("office/page.js", location.href))
            return [
                ...["1234567.50", "-115.00", "0.123456", "1000"].map((text) => money(text, "KES")),
                ...["508603415", "12345678901234567890"].map((value) => token(value).textContent),
            ]
        }"""
    )
    assert shown == [
        "KES\u00a01,234,567.50",
        "−KES\u00a0115.00",
        "KES\u00a00.123456",
        "KES\u00a01,000",
        "508 603 415",
        "1234 5678 9012 3456 7890",
    ]


# --- what must not happen, on any view ----------------------------------------------------------


def test_a_name_is_a_name_whatever_is_in_it(opened: Opened, company: Company, cloud: Cloud) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    person = company.person(name=hostile, surname=unique("<script>alert(2)</script>"))
    customer = created(cloud.staff("office").post("/customers", person))
    company.tv(customer["id"], name="<b>TV</b>\"'")
    office = opened("office")
    office.go(f"customers/{customer['id']}")
    office.at(f"{hostile} {person['surname']}")
    office.sees("<b>TV</b>\"'")
    office.go("find?q=%3Cimg")
    office.sees(hostile)
    assert office.page.locator("main img, main script, main b").count() == 0


def test_operations_give_days_and_send_the_token_again(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    household = company.shs()
    office = opened("operations")
    office.go(f"devices/{household.serial_number}")
    office.open("Send, give, unlock")
    office.page.get_by_label("Give energy or days for nothing").check()
    office.fill("kWh or days", "3")
    office.fill("Reason", "the line was down")
    office.button("Do it").dblclick()
    office.at("Payment of KES 0.00")
    office.hears("This carries the token.")
    office.sees("3 days")
    [given] = (
        cloud.staff("office").get("/payments", serial_number=household.serial_number).body["items"]
    )
    household.device.type_in(given["tokens"][0]["value"])
    assert household.device.days == 3

    office.go(f"devices/{household.serial_number}/do")
    office.fill("Reason", "they lost it")
    office.press("Do it")
    office.at("Payment of KES 0.00")
    office.sees("sent again")


def test_operations_lock_a_device_and_replace_it(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    household = company.shs()
    company.pay_for("700", household)
    office = opened("operations")
    office.go(f"devices/{household.serial_number}/do")
    office.page.get_by_role("radio", name="Lock it", exact=True).check()
    office.fill("Reason", "it was stolen")
    office.press("Do it")
    office.at("Payment of KES 0.00")
    office.hears("This carries the token.")

    spare = SimulatedDevice(serial("SHS"))
    office.go(f"devices/{household.serial_number}")
    office.open("Replace it")
    office.fill("Serial number of the new one", spare.serial_number)
    office.fill("Secret key", spare.secret_key)
    office.fill("Starting code", str(spare.starting_code))
    office.fill("Reason", "it was found broken")
    office.press("Replace")
    office.at("Payment of KES 0.00")
    office.hears("This carries what was left.")
    office.sees("7 days")
    meter = company.meter()
    office.go(f"devices/{meter.serial_number}/do")
    office.page.get_by_role("radio", name="Lock it", exact=True).check()
    office.fill("Reason", "try")
    office.press("Do it")
    office.sees("its manufacturer has none such")


def test_a_portfolio_moves_in_and_everything_moves_out(
    opened: Opened, cloud: Cloud, tmp_path: Path
) -> None:
    place = unique("W")
    rows = f"record,name,parent\ncluster,{place},\nmini_grid,{place} 1,{place}\nvillage,A,Nowhere\n"
    wrong, right = tmp_path / "wrong.csv", tmp_path / "right.csv"
    wrong.write_text(rows)
    right.write_text(rows.replace("village,A,Nowhere", f"village,{place} 2,{place} 1"))
    office = opened("admin")
    office.go("imports/new", "Send a file to move in")
    office.press("Send and check")
    expect(office.wrong_at("File")).to_have_text("Please fill this in.")
    office.field("File").set_input_files(wrong)
    office.press("Send and check")
    office.at("Moving in")
    office.sees("there is no mini-grid of that name")
    assert office.barriers() == []

    office.go("imports/new", "Send a file to move in")
    office.field("File").set_input_files(right)
    office.press("Send and check")
    office.sees("Everything is in order")
    office.press("Take it in")
    office.hears("It is being taken in.")
    office.sees("3 (100 %)")
    villages = cloud.staff("admin").get("/villages", limit=100).body["items"]
    assert f"{place} 2" in {village["name"] for village in villages}

    office.go("moving", "Moving in and out")
    office.press("Take everything out")
    office.at("Moving out")
    with office.page.expect_download() as loading:
        office.press("Load file 1")
    assert place in Path(loading.value.path()).read_text()
    assert office.barriers() == []


def test_every_view_is_open_to_all_on_the_smallest_screen_too(
    opened: Opened, company: Company, cloud: Cloud
) -> None:
    household = company.shs()
    company.tv(household.customer_id, name="W" * 60)
    company.pay_for("700", household)
    meter = company.meter()
    cloud.fakes.order("calin", "garbage", serial_number=meter.serial_number)
    payment = company.pay_for("550", meter)
    office = opened(viewport=NARROW)
    assert office.barriers() == []
    office.log_in("admin")
    office.at("Find a customer")
    for address in (
        "find?q=Asha",
        f"customers/{household.customer_id}",
        f"customers/{household.customer_id}/sell",
        f"customers/{household.customer_id}/change",
        f"devices/{household.serial_number}",
        f"devices/{household.serial_number}/technical",
        f"devices/{household.serial_number}/replace",
        f"devices/{household.serial_number}/do",
        "register",
        "held",
        f"payments/{payment['payment_id']}",
        "reviews",
        "tariffs",
        "tariffs/new",
        "appliances",
        "appliances/new",
        "sites",
        "sites/villages/new",
        "moving",
        "imports/new",
        "no-such-view",
    ):
        office.go(address)
        assert not office.scrolls_sideways(), address
        assert office.barriers() == [], address
        heading = office.page.get_by_role("heading", level=1).inner_text()
        assert office.page.title() == f"{heading} – Mwanga office"


def test_what_a_role_may_not_do_is_not_offered(opened: Opened, company: Company) -> None:
    household = company.meter()
    office = opened("finance")
    expect(office.page.get_by_role("link", name="Register")).to_have_count(0)
    office.go(f"customers/{household.customer_id}")
    office.sees(household.serial_number)
    for action in ("Sell an appliance", "Register a device", "Change details"):
        expect(office.page.get_by_role("link", name=action)).to_have_count(0)
    office.go("tariffs", "Tariffs")
    expect(office.page.get_by_role("link", name="Add a tariff")).to_have_count(0)
    office.go("sites/clusters/new", "Not for you")


def test_the_address_with_a_slash_behind_leads_to_the_page(opened: Opened, cloud: Cloud) -> None:
    office = opened()
    answer = office.page.goto(f"{cloud.stack['base_url']}/office/")
    assert answer is not None
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    office.at("Log in")
    assert office.page.url.startswith(f"{cloud.stack['base_url']}/office#")
