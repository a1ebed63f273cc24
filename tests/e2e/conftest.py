"""One local cloud for all end-to-end tests, beside any other that is up."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import up
from infra.local.client import Cloud
from tests.e2e.company import Company

LOG_LINES = 60


LAST = ("test_reconciliation.py", "test_books.py")
"""They look at what all the others have left."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Prove the books when all money has moved. The other files keep their order."""
    items.sort(key=lambda item: LAST.index(item.path.name) if item.path.name in LAST else -1)


@pytest.fixture(scope="session")
def state(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The state folder of the tests' own cloud. Its logs are shown when a test has failed."""
    folder = Path(tempfile.mkdtemp(prefix="mwanga-e2e-")) / "state"
    yield folder
    if request.session.testsfailed:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            _show_logs(folder / "logs")
    up.stop(folder)
    shutil.rmtree(folder.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def cloud(state: Path) -> Iterator[Cloud]:
    """A local cloud whose functions may do only what their roles allow."""
    cloud = Cloud(up.start(state, enforce_roles=True))
    yield cloud
    cloud.close()


@pytest.fixture(scope="session")
def company(cloud: Cloud) -> Company:
    """A company with one village, ready to register customers."""
    return Company(cloud)


@pytest.fixture(autouse=True)
def working_vendors(cloud: Cloud) -> Iterator[None]:
    """Every test leaves the vendors as it found them."""
    yield
    cloud.fakes.clear()


def _show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        print(f"\n--- {log.name}, the last {LOG_LINES} lines")
        print("\n".join(lines[-LOG_LINES:]))
