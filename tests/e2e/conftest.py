"""A local cloud for the end-to-end tests, beside any other that is up.

Several processes can share the tests (``-n 2 --dist loadfile``): each has a cloud of its own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from infra.checks import rights
from infra.local import up
from infra.local.client import Cloud
from infra.local.emulator import CALLS
from tests.e2e.books import prove
from tests.e2e.company import Company

LOG_LINES = 60

LONGEST = ("test_circuit_breaker.py", "test_silent_vendor.py", "test_refunds.py")
"""They wait much. Where several processes share the files, none of these may be taken up last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first. The others keep their order."""
    items.sort(
        key=lambda item: (
            LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST)
        )
    )


@pytest.fixture(scope="session")
def state() -> Iterator[Path]:
    """The state folder of the tests' own cloud."""
    folder = Path(tempfile.mkdtemp(prefix="mwanga-e2e-")) / "state"
    yield folder
    up.stop(folder)
    shutil.rmtree(folder.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def cloud(state: Path, pytestconfig: pytest.Config) -> Iterator[Cloud]:
    """A local cloud whose functions may do only what their roles allow.

    When all money in it has moved, its books are proved. If they are not right, the last of its
    tests is said to have failed.
    """
    pytestconfig.stash[LOGS] = state / "logs"
    cloud = Cloud(up.start(state, enforce_roles=True))
    yield cloud
    try:
        prove(cloud)
    finally:
        cloud.close()
        _keep_calls(state)


def _keep_calls(state: Path) -> None:
    """What each role was used for, for ``make rights``."""
    rights.FOLDER.mkdir(parents=True, exist_ok=True)
    shutil.copy(state / CALLS, rights.FOLDER / f"{state.parent.name}.tsv")


LOGS = pytest.StashKey[Path]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The first failure shows what the cloud has logged."""
    report = yield
    if report.failed and LOGS in item.config.stash:
        logs = item.config.stash[LOGS]
        del item.config.stash[LOGS]
        report.sections += [(log.name, _end_of(log)) for log in sorted(logs.glob("*.log"))]
    return report


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES:])


@pytest.fixture(scope="session")
def company(cloud: Cloud) -> Company:
    """A company with one village, ready to register customers."""
    return Company(cloud)


@pytest.fixture(autouse=True)
def working_vendors(cloud: Cloud) -> Iterator[None]:
    """Every test leaves the vendors as it found them."""
    yield
    cloud.fakes.clear()
