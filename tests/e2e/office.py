"""The office website in a real browser, and whoever sits in front of it.

What must never happen is watched all the time: a request to another origin, an error in the
page, something that its content security policy had to stop.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect

from infra.local.client import Cloud

NARROW = {"width": 320, "height": 640}
WIDE = {"width": 1200, "height": 800}

PATIENCE_MS = 20_000
"""How long anything may take before a test fails: other suites use the machine, too."""

_ANSWERED_WITH = "Failed to load resource: the server responded with a status of"
"""What a browser says of any answer that is not a success; the page tells it to people."""


@dataclass
class Office:
    """One tab with the website in it. ``wrongs`` are what must not have happened."""

    page: Page
    cloud: Cloud
    wrongs: list[str] = field(default_factory=list)

    @classmethod
    def opened(cls, browser: Browser, cloud: Cloud, viewport: Any = WIDE) -> Office:
        """A tab in a window of its own, at the log-in."""
        context = browser.new_context(viewport=viewport, timezone_id="Africa/Nairobi")
        context.set_default_timeout(PATIENCE_MS)
        office = cls(context.new_page(), cloud)
        office.page.on("console", office._heard)
        office.page.on("pageerror", lambda error: office.wrongs.append(str(error)))
        office.page.on("request", office._asked)
        office.page.on("dialog", lambda dialog: office.wrongs.append(f"dialog {dialog.message}"))
        office.page.goto(f"{cloud.stack['base_url']}/office")
        return office

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_ANSWERED_WITH):
            self.wrongs.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.cloud.stack['base_url']}/", "data:")):
            self.wrongs.append(f"request to {request.url}")

    def close(self) -> None:
        """Close the tab. Nothing may have gone wrong in it."""
        self.page.context.close()
        assert self.wrongs == []

    # --- what one does ------------------------------------------------------------------------

    def log_in(self, role: str, password: str | None = None) -> None:
        """Type e-mail and password, and press the button."""
        member = self.cloud.stack["staff"][role]
        self.fill("E-mail", member["email"])
        self.fill("Password", password or member["password"])
        self.press("Log in")

    def is_logged_in_as(self, role: str) -> None:
        """Begin as somebody who has logged in before in this tab."""
        member = self.cloud.staff(role)
        session = {
            "email": member.email,
            "token": member.authorization["Authorization"].removeprefix("Bearer "),
            "roles": [role],
        }
        self.page.evaluate(
            "session => sessionStorage.setItem('mwanga-session', session)", json.dumps(session)
        )
        self.page.reload()
        self.at("Find a customer")

    def go(self, address: str, heading: str | None = None) -> None:
        """Go to a view, and wait until it is there. Where it is already, it stays."""
        if self.page.url.endswith(f"#/{address}"):
            return
        before = self.page.locator("h1").element_handle()
        self.page.evaluate("address => { location.hash = address }", f"#/{address}")
        self.page.wait_for_function("before => !before.isConnected", arg=before)
        if heading is not None:
            self.at(heading)

    def at(self, heading: str) -> None:
        """The view of that heading is there, and a screen reader has been led to it."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)
        expect(self.page.get_by_role("heading", level=1)).to_be_focused()

    def fill(self, label: str, text: str) -> None:
        """Type into a field."""
        self.field(label).fill(text)

    def choose(self, label: str, option: str) -> None:
        """Choose from a list."""
        self.field(label).select_option(label=option)

    def press(self, button: str) -> None:
        """Press a button."""
        self.button(button).click()

    def open(self, text: str) -> None:
        """Follow a link."""
        self.page.get_by_role("link", name=text, exact=True).click()

    # --- what one sees ------------------------------------------------------------------------

    def field(self, label: str) -> Locator:
        """The field whose label begins like that."""
        return self.page.get_by_label(re.compile(f"^{re.escape(label)}"))

    def button(self, name: str) -> Locator:
        """The button of that name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def sees(self, text: str) -> None:
        """That text is in the view."""
        expect(self.page.locator("main")).to_contain_text(text)

    def hears(self, text: str) -> None:
        """That is told to those who do not see the page, too."""
        expect(self.page.locator("#said")).to_contain_text(text)

    def wrong_at(self, label: str) -> Locator:
        """What is said to be wrong with a field: what a screen reader reads beside it."""
        described_by = str(self.field(label).get_attribute("aria-describedby")).split()[-1]
        return self.page.locator(f'[id="{described_by}"]')

    def barriers(self) -> list[str]:
        """What would keep somebody out, as far as a program can tell."""
        violations = Axe().run(self.page).response["violations"]
        return [
            f"{violation['id']}: {node['html'][:200]}"
            for violation in violations
            for node in violation["nodes"]
        ]

    def scrolls_sideways(self) -> bool:
        """Whether the page is wider than the screen."""
        wider: bool = self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return wider
