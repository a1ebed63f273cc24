"""Takes the pictures of ``docs/website.md``: ``python -m infra.local.screenshots``.

It starts a local cloud of its own, with the small company of the demo in it, and stops it again.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

from infra.local import browser, up
from infra.local import company as companies
from infra.local.client import Cloud
from infra.local.company import Company
from infra.package import ROOT

IMAGES = ROOT / "docs" / "images"
DESKTOP = ViewportSize(width=920, height=560)
PHONE = ViewportSize(width=360, height=680)


@dataclass(frozen=True)
class Picture:
    """A view, as it is called and as it is framed; ``near`` is a heading that is scrolled to."""

    name: str
    address: str
    viewport: ViewportSize
    near: str = ""


def pictures(company: Company, held: str) -> list[Picture]:
    """What there is to be seen of that company; ``held`` is a payment that needs a person."""
    asha = company.customer_ids["Asha"]
    return [
        Picture("find", "find?q=Asha", DESKTOP),
        Picture("customer", f"customers/{asha}", DESKTOP),
        Picture("held-payment", f"payments/{held}", DESKTOP),
        Picture("sale", f"customers/{asha}/sell", DESKTOP),
        Picture("customer-on-a-phone", f"customers/{asha}", PHONE),
        Picture("registration-on-a-phone", "register", PHONE, near="Device"),
    ]


def some_days_work(cloud: Cloud, company: Company) -> str:
    """Something to sell, a payment or two; answers the id of one that is held."""
    terms = {"instalments": 9, "every": "month", "first_due_after_days": 30}
    for name, kind, price, down in (
        ("TV, 24 inches", "appliance", "9000.00", "900.00"),
        ("Fridge", "appliance", "31500.00", "4500.00"),
        ("Home 50", "shs", "21000.00", "1500.00"),
    ):
        body = {"name": name, "kind": kind, "price": price}
        plan = {**terms, "down_payment": down}
        cloud.staff("admin").post("/appliances", {**body, "default_plan": plan})
    cloud.fakes.order("calin", "garbage", serial_number=company.broken_meter)
    ids = []
    for serial_number, amount in ((company.meter, "200.00"), (company.broken_meter, "500.00")):
        reference = f"picture-{serial_number}"
        cloud.partner.pay(serial_number, amount, reference)
        ids.append(cloud.partner.payment_id(reference))
        cloud.wait_for_payment(ids[-1])
    return ids[-1]


def take(cloud: Cloud, wanted: list[Picture], out: Path) -> None:
    """Take the pictures, as an admin sees the views.

    Raises:
        NoBrowser: see there.
    """
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.find())
        page = chromium.new_page(locale="en-GB", timezone_id="Africa/Nairobi")
        _log_in(page, cloud)
        for picture in wanted:
            _show(page, picture)
            page.screenshot(path=out / f"{picture.name}.png", animations="disabled")
        chromium.close()


def _log_in(page: Page, cloud: Cloud) -> None:
    admin = cloud.stack["staff"]["admin"]
    page.goto(f"{cloud.stack['base_url']}/office")
    page.get_by_label("E-mail").fill(admin["email"])
    page.get_by_label("Password").fill(admin["password"])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Find a customer")


def _show(page: Page, picture: Picture) -> None:
    page.set_viewport_size(picture.viewport)
    page.mouse.move(0, 0)
    before = page.locator("h1").element_handle()
    page.evaluate("address => { location.hash = address }", f"#/{picture.address}")
    page.wait_for_function("before => !before.isConnected", arg=before)
    expect(page.locator("#waiting")).to_be_empty()
    if picture.near:
        page.get_by_role("group", name=picture.near).scroll_into_view_if_needed()
    if picture.name == "sale":
        page.get_by_label("What is sold").select_option(index=1)
    if picture.name == "held-payment":
        page.get_by_label("Enter the token").check()


def main() -> None:
    """Takes all of them, and says where they are."""
    folder = Path(tempfile.mkdtemp(prefix="mwanga-pictures-"))
    try:
        cloud = Cloud(up.start(folder / "state"))
        company = companies.found(cloud)
        wanted = pictures(company, some_days_work(cloud, company))
        take(cloud, wanted, IMAGES)
        cloud.close()
    except browser.NoBrowser as missing:
        sys.exit(str(missing))
    finally:
        up.stop(folder / "state")
        shutil.rmtree(folder, ignore_errors=True)
    for picture in wanted:
        file = IMAGES / f"{picture.name}.png"
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
