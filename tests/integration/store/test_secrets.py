"""Secrets: read late, kept five minutes, and told apart when they cannot be had."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from chalicelib.runtime import aws
from chalicelib.runtime.secrets import KEPT_FOR, Secrets, SecretUnavailable
from chalicelib.services.ports import SecretMissing
from tests.integration.conftest import Cloud

NAME = "channels/direct"


class SetClock:
    moment = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def secrets(cloud: Cloud, clock: SetClock) -> Secrets:
    cloud.put_secret(NAME, {"partners": {"demo": ["one"]}})
    return Secrets(clock, SecretMissing)


def test_a_secret_is_read_by_its_plain_name(secrets: Secrets) -> None:
    assert secrets.get(NAME) == {"partners": {"demo": ["one"]}}


def test_a_rotated_secret_is_in_force_after_five_minutes(
    secrets: Secrets, clock: SetClock, cloud: Cloud
) -> None:
    before = secrets.get(NAME)
    cloud.put_secret(NAME, {"partners": {}})
    clock.moment += KEPT_FOR - timedelta(microseconds=1)
    assert secrets.get(NAME) == before
    clock.moment += timedelta(microseconds=1)
    assert secrets.get(NAME) == {"partners": {}}


def test_a_secret_that_is_not_there_is_told_and_found_as_soon_as_it_is(
    secrets: Secrets, cloud: Cloud
) -> None:
    with pytest.raises(SecretMissing):
        secrets.get("channels/daraja")
    cloud.put_secret("channels/daraja", {"short_code": "600966"})
    assert secrets.get("channels/daraja") == {"short_code": "600966"}


@pytest.mark.parametrize(
    "content", ["hidden-text", '["hidden-text"]', '"hidden-text"', "{", "null"]
)
def test_what_is_not_a_json_object_is_no_secret_and_is_not_quoted(
    secrets: Secrets, cloud: Cloud, content: str
) -> None:
    cloud.put_secret("manufacturers/calin", content)
    with pytest.raises(SecretMissing) as caught:
        secrets.get("manufacturers/calin")
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None


OUTAGES = [
    ConnectTimeoutError(endpoint_url="https://secretsmanager"),
    ClientError({"Error": {"Code": "InternalServiceError"}}, "GetSecretValue"),
]


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_a_known_secret_outlives_an_outage(
    secrets: Secrets, clock: SetClock, monkeypatch: pytest.MonkeyPatch, outage: Exception
) -> None:
    before = secrets.get(NAME)
    clock.moment += KEPT_FOR
    fail(monkeypatch, outage)
    assert secrets.get(NAME) == before


@pytest.mark.parametrize("outage", OUTAGES, ids=str)
def test_an_unknown_secret_does_not(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch, outage: Exception
) -> None:
    fail(monkeypatch, outage)
    with pytest.raises(SecretMissing):
        secrets.get(NAME)


def test_a_deleted_secret_is_gone_although_it_was_known(
    secrets: Secrets, clock: SetClock, cloud: Cloud
) -> None:
    secrets.get(NAME)
    cloud.secrets.delete_secret(SecretId=f"test/{NAME}", ForceDeleteWithoutRecovery=True)
    clock.moment += KEPT_FOR
    with pytest.raises(SecretMissing):
        secrets.get(NAME)


def test_without_another_error_it_is_the_runtimes_own(cloud: Cloud, clock: SetClock) -> None:
    with pytest.raises(SecretUnavailable):
        Secrets(clock).get("nothing")


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def get_secret_value(**_: object) -> None:
        raise error

    monkeypatch.setattr(aws.client("secretsmanager"), "get_secret_value", get_secret_value)
