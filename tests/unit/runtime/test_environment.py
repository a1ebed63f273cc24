"""The environment is read when it is needed, and a missing variable is named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, timedelta

import pytest

from chalicelib.runtime import aws, environment
from chalicelib.runtime.clock import SystemClock

REQUIRED: list[tuple[str, Callable[[], str]]] = [
    ("TABLE_PREFIX", environment.table_prefix),
    ("SECRET_PREFIX", environment.secret_prefix),
    ("PAYMENTS_QUEUE_URL", environment.payments_queue_url),
    ("VENDS_QUEUE_URL", environment.vends_queue_url),
    ("MESSAGES_QUEUE_URL", environment.messages_queue_url),
    ("PROVIDER_CALLS_QUEUE_URL", environment.provider_calls_queue_url),
    ("MOVES_QUEUE_URL", environment.moves_queue_url),
    ("FILES_BUCKET", environment.files_bucket),
    ("REPORTS_BUCKET", environment.reports_bucket),
]


@pytest.mark.parametrize(
    ("name", "read"), REQUIRED, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_variable_is_read_as_it_is_now(
    monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[[], str]
) -> None:
    monkeypatch.setenv(name, "one")
    assert read() == "one"
    monkeypatch.setenv(name, "two")
    assert read() == "two"


@pytest.mark.parametrize(
    ("name", "read"), REQUIRED, ids=lambda part: getattr(part, "__name__", part)
)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[[], str], value: str | None
) -> None:
    monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(name, value)
    with pytest.raises(environment.EnvironmentIncomplete, match=name):
        read()


def test_what_may_be_missing_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMS_GATEWAY", "SMS_LOG_URL", "MWANGA_STAGE"):
        monkeypatch.delenv(name, raising=False)
    assert environment.sms_gateway() == "log"
    assert environment.sms_log_url() is None
    assert environment.stage() == "local"


def test_what_may_be_missing_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_GATEWAY", "sns")
    monkeypatch.setenv("SMS_LOG_URL", "http://127.0.0.1:1/sms")
    monkeypatch.setenv("MWANGA_STAGE", "production")
    assert environment.sms_gateway() == "sns"
    assert environment.sms_log_url() == "http://127.0.0.1:1/sms"
    assert environment.stage() == "production"


def test_everything_can_be_imported_without_any_variable() -> None:
    modules = (
        "chalicelib.store.queues",
        "chalicelib.store.customers",
        "chalicelib.runtime.secrets",
    )
    program = "; ".join(f"import {module}" for module in modules)
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=bare, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_the_clock_tells_the_time_in_utc() -> None:
    clock = SystemClock()
    earlier, later = clock.now(), clock.now()
    assert timedelta(0) <= later - earlier < timedelta(minutes=1)
    assert earlier.tzinfo is UTC


def test_clients_give_up_in_time_and_are_made_once() -> None:
    aws.forget()
    client = aws.client("sqs")
    assert aws.client("sqs") is client
    assert client.meta.config.connect_timeout == 1
    assert client.meta.config.read_timeout == 3
    assert client.meta.config.retries["total_max_attempts"] == 2
    aws.forget()
    assert aws.client("sqs") is not client


def test_a_worker_loads_neither_routes_nor_channels() -> None:
    program = (
        "import sys, app; print(app.app.routes == {}, *sorted(m for m in sys.modules if"
        " m.startswith(('chalicelib.channels', 'chalicelib.api', 'pydantic', 'botocore'))))"
    )
    worker = {**os.environ, "SERVES_ROUTES": "no", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=worker, capture_output=True)
    loaded = ["chalicelib.api", "chalicelib.api.bare", "chalicelib.api.workers"]
    assert done.stdout.decode().split() == ["True", *loaded]
