"""The payment page in a real browser without scripts, against the running system."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from infra.local import browser as chromium
from infra.local.client import Cloud
from tests.e2e.company import Company, serial
from tests.e2e.office import NARROW, PATIENCE_MS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium.find())
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, cloud: Cloud) -> Iterator[Page]:
    """The page on a small phone whose browser runs no scripts."""
    context = browser.new_context(viewport=NARROW, java_script_enabled=False, locale="en-GB")
    opened = context.new_page()
    opened.goto(f"{cloud.stack['base_url']}/pay")
    yield opened
    context.close()


def fill(page: Page, serial_number: str, channel: str, amount: str = "500") -> None:
    page.get_by_label("Serial number").fill(serial_number)
    page.get_by_label("Amount").fill(amount)
    page.get_by_label("How do you pay?").select_option(channel)
    page.get_by_role("button", name="Go on").click()


def test_a_payer_sees_whom_it_is_for_and_comes_to_the_provider_s_page(
    page: Page, cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    fill(page, household.serial_number, "pesapal")
    expect(page.get_by_role("list")).to_contain_text(household.serial_number)
    expect(page.get_by_role("list")).to_contain_text("5 kWh")
    page.get_by_role("button", name="Pay KES 500.00").click()
    page.wait_for_url("**/pesapal/**")
    [pending] = (
        cloud.staff("office").get("/payments", serial_number=household.serial_number).body["items"]
    )
    assert (pending["status"], pending["channel"]) == ("pending", "pesapal")


def test_a_push_is_watched_until_it_is_paid(page: Page, cloud: Cloud, company: Company) -> None:
    household = company.meter()
    page.get_by_label("Phone that pays").fill("0712 000 001")
    fill(page, household.serial_number, "daraja_stk")
    page.get_by_role("button", name="Pay KES 500.00").click()
    expect(page.locator("main")).to_contain_text("0712 000 001")
    [pending] = (
        cloud.staff("office").get("/payments", serial_number=household.serial_number).body["items"]
    )
    page.get_by_role("link", name="Look again").click()
    expect(page.locator("main")).to_contain_text("waiting for your payment")
    cloud.fakes.have("daraja", "stk", {"account_reference": pending["reference"]})
    cloud.wait_for_payment(pending["payment_id"], {"completed"})
    page.reload()
    expect(page.locator("main")).to_contain_text("token comes by SMS")
    [token] = cloud.fakes.issued("calin", household.serial_number)
    assert token not in page.content().replace(" ", "")


def test_what_is_wrong_is_said_beside_what_was_typed(page: Page) -> None:
    unknown = serial()
    fill(page, unknown, "pesapal")
    expect(page.get_by_role("alert")).to_contain_text("not known")
    expect(page.get_by_label("Serial number")).to_have_value(unknown)
    assert len(page.content().encode()) < 30_000
