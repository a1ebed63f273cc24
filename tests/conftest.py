"""What must be in place before anything of the project is imported, for every suite."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "MWANGA_STAGE": "test",
    "TABLE_PREFIX": "test-",
    "SECRET_PREFIX": "test/",
    "PAYMENTS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/test-payments.fifo",
    "VENDS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/test-vends",
    "MESSAGES_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/test-messages",
    "PROVIDER_CALLS_QUEUE_URL": (
        "https://sqs.eu-west-1.amazonaws.com/123456789012/test-provider-calls"
    ),
    "MOVES_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/test-moves",
    "FILES_BUCKET": "test-files-123456789012",
    "REPORTS_BUCKET": "test-reports-123456789012",
}
"""No test ever meets a real account, whatever the developer's shell says."""

_NOT_INHERITED = (
    "AWS_ENDPOINT_URL",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SESSION_TOKEN",
    "SMS_GATEWAY",
    "SMS_LOG_URL",
)

for _name in _NOT_INHERITED:
    os.environ.pop(_name, None)
os.environ.update(_ENVIRONMENT)

settings.register_profile(
    "deterministic",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("deterministic")

gc.set_threshold(100_000, 50, 50)
"""Looking for garbage takes a fifth of the tests' time, with so many objects in a process. Looking
less often costs some 25 MB."""


@pytest.fixture(autouse=True)
def _nothing_left_on_the_journal() -> Iterator[None]:
    """What one test is at work on is on none of the next one's lines, as between two requests."""
    from chalicelib.runtime.journal import StandardOutputJournal

    with StandardOutputJournal("test").about():
        yield
