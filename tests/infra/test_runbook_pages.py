"""The runbook and its tests hold together: every page is exercised, every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.package import ROOT

INDEX = ROOT / "docs/operations.md"
PAGES = sorted((ROOT / "docs/operations").glob("*.md"))
ALL = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

TASKS = [page for page in PAGES if not page.name.startswith("alarm-")]


@pytest.mark.parametrize("page", TASKS, ids=[page.name for page in TASKS])
def test_each_task_names_a_test_that_is_there(page: Path) -> None:
    [line] = re.findall(r"(?m)^Exercised by: (.+)$", page.read_text(encoding="utf-8"))
    named = re.findall(r"`([^`]+)`", line)
    assert named
    for name in named:
        path, _, function = name.partition("::")
        test = (ROOT / path).read_text(encoding="utf-8")
        assert not function or f"\ndef {function}(" in test, name


@pytest.mark.parametrize("page", TASKS, ids=[page.name for page in TASKS])
def test_each_task_is_in_the_index(page: Path) -> None:
    assert f"(operations/{page.name})" in INDEX.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_leads_to_a_page_and_a_heading_that_are_there(page: Path) -> None:
    for target, heading in links(page):
        assert target.exists(), target
        if heading:
            assert heading in headings(target), f"{target.name}#{heading}"


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """What a page links to within the documentation."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            path, _, heading = link.partition("#")
            yield ((page.parent / path) if path else page), heading


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
