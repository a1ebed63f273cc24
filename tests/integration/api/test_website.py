"""The office website as it is served: its files, nothing else, and the headers that guard it."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from chalicelib.api.website import FILES, FOLDER, PAGE
from tests.integration.api.conftest import Reply, Standing

SIZE_MAX = 100 * 1024
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}


class Links(HTMLParser):
    """What a page loads, and what of it a strict policy would forbid."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: set[str] = set()
        self.inline: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loaded |= {str(given[name]) for name in ("src", "href") if name in given}
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


def get(standing: Standing, path: str, **headers: str) -> Reply:
    return standing.api.send("GET", path, role=None, headers=headers)


def test_the_whole_website_is_smaller_than_100_kilobytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < SIZE_MAX


def test_every_file_of_the_folder_is_served_and_no_other() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {PAGE, *FILES}


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_comes_to_anybody_as_it_is_with_its_type(standing: Standing, name: str) -> None:
    answer = get(standing, f"/office/{name}")
    assert (answer.status, answer.text) == (200, (FOLDER / name).read_text(encoding="utf-8"))
    assert answer.headers["content-type"] == FILES[name]


def test_the_page_itself_is_the_office(standing: Standing) -> None:
    answer = get(standing, "/office")
    assert (answer.status, answer.text) == (200, (FOLDER / PAGE).read_text(encoding="utf-8"))
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/office", "/office/app.js", "/office/style.css"])
def test_a_browser_is_told_to_run_nothing_that_is_not_ours(standing: Standing, path: str) -> None:
    headers = get(standing, path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"


def test_the_page_loads_the_files_from_beside_itself_and_has_nothing_inline(
    standing: Standing,
) -> None:
    links = Links(get(standing, "/office").text)
    assert links.inline == []
    addresses = {
        urljoin("https://pay.example/any/prefix/office", link)
        for link in links.loaded
        if not link.startswith(("data:", "#"))
    }
    assert addresses == {f"https://pay.example/any/prefix/office/{name}" for name in FILES}


def test_what_a_browser_has_already_is_not_sent_again(standing: Standing) -> None:
    first = get(standing, "/office/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = get(standing, "/office/app.js", **{"If-None-Match": first.headers["etag"]})
    assert (again.status, again.text) == (304, "")
    assert again.headers["etag"] == first.headers["etag"]
    other = get(standing, "/office/style.css", **{"If-None-Match": first.headers["etag"]})
    assert other.status == 200


@pytest.mark.parametrize(
    "name",
    [
        "",
        PAGE,
        "..",
        "%2e%2e",
        "..%2Fapi%2Fwebsite.py",
        "%2Fetc%2Fpasswd",
        "website.py",
        "APP.JS",
        "%00",
    ],
)
def test_nothing_else_can_be_read(standing: Standing, name: str) -> None:
    answer = get(standing, f"/office/{name}")
    assert answer.status in (403, 404) or answer.headers.get("location") == "../office"
    assert "import" not in answer.text and "root:" not in answer.text


def test_everything_else_is_still_kept_by_nobody(standing: Standing) -> None:
    assert get(standing, "/health").headers["cache-control"] == "no-store"
    assert get(standing, "/office/no-such-file").headers["cache-control"] == "no-store"
