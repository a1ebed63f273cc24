"""What the store's tests share: the repositories on an empty installation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chalicelib.services.ports import SiteKind
from chalicelib.store import dynamodb
from chalicelib.store.accounts import DynamoAccounts
from chalicelib.store.customers import DynamoRegistry
from chalicelib.store.payments import DynamoPayments
from chalicelib.store.sites import DynamoSites
from tests.integration.conftest import Cloud


@pytest.fixture
def payments(cloud: Cloud) -> DynamoPayments:
    """Payments, none stored."""
    return DynamoPayments()


@pytest.fixture
def accounts(cloud: Cloud) -> DynamoAccounts:
    """Accounts, none stored."""
    return DynamoAccounts()


@pytest.fixture
def registry(cloud: Cloud) -> DynamoRegistry:
    """The registry, with cluster, mini-grid and two villages (1 and 2), and nobody in them."""
    sites = DynamoSites()
    sites.create(SiteKind.CLUSTER, "Kisumu")
    sites.create(SiteKind.MINI_GRID, "Lake shore", 1)
    sites.create(SiteKind.VILLAGE, "Dunga", 1)
    sites.create(SiteKind.VILLAGE, "Usoma", 1)
    return DynamoRegistry()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The pauses that the store would have made, in seconds; none is made."""
    made: list[float] = []
    monkeypatch.setattr(dynamodb.time, "sleep", made.append)
    yield made
