"""One botocore session, and clients that give up in time.

botocore finds region, credentials and (locally) ``AWS_ENDPOINT_URL`` in the environment itself.
The API must answer within 29 seconds, so its defaults (a minute per attempt) will not do.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config

CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 3
ATTEMPTS_MAX = 2


@cache
def session() -> botocore.session.Session:
    """The session that all clients share: reading the service descriptions is the slow part."""
    return botocore.session.get_session()


@cache
def client(service: str) -> Any:
    """The client of that service (``sqs``, ``secretsmanager``). One per process."""
    return session().create_client(
        service,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"total_max_attempts": ATTEMPTS_MAX, "mode": "standard"},
        ),
    )


def forget() -> None:
    """Drop the clients; new ones meet the environment as it is then. For tests."""
    client.cache_clear()
