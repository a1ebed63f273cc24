"""Secrets from Secrets Manager, read when they are first needed and kept for five minutes.

A rotated secret is in force everywhere within that time; while it spreads, whoever checks
signatures accepts the old one too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.runtime import aws, environment

KEPT_FOR = timedelta(minutes=5)


class _Clock(Protocol):
    def now(self) -> datetime: ...


class SecretUnavailable(Exception):
    """The secret is not there, cannot be reached, or is not a JSON object."""


class Secrets:
    """Reads the deployment's secrets by their plain names, such as ``channels/direct``.

    ``unavailable`` makes the error that is raised from the name of a secret that cannot be had.
    """

    def __init__(
        self, clock: _Clock, unavailable: Callable[[str], Exception] = SecretUnavailable
    ) -> None:
        self._clock = clock
        self._unavailable = unavailable
        self._kept: dict[str, tuple[datetime, Mapping[str, Any]]] = {}

    def get(self, name: str) -> Mapping[str, Any]:
        """The content of a secret, a JSON object.

        While Secrets Manager cannot be reached, what was read before stays in use.

        Raises:
            the error made by ``unavailable``: it is missing, or not a JSON object.
        """
        now = self._clock.now()
        kept = self._kept.get(name)
        if kept and now - kept[0] < KEPT_FOR:
            return kept[1]
        try:
            content = self._read(name)
        except (BotoCoreError, ClientError) as error:
            if kept and not _is_gone(error):
                return kept[1]
            raise self._unavailable(name) from error
        self._kept[name] = (now, content)
        return content

    def _read(self, name: str) -> Mapping[str, Any]:
        secret_id = environment.secret_prefix() + name
        answer = aws.client("secretsmanager").get_secret_value(SecretId=secret_id)
        try:
            content = json.loads(answer.get("SecretString", ""))
        except ValueError:
            # The parser's message would quote the secret.
            raise self._unavailable(name) from None
        if not isinstance(content, dict):
            raise self._unavailable(name)
        return content


def _is_gone(error: Exception) -> bool:
    """Whether the answer was a clear no, rather than none at all."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    return code in ("ResourceNotFoundException", "InvalidRequestException")
