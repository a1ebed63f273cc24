"""The ``log`` gateway: SMS that go to a developer instead of a telephone.

With ``SMS_LOG_URL`` each SMS is posted there as JSON, so that the local cloud can show it.
Without it, a line says that there was one: not to whom, and never what it said, because it may
hold a token.
"""

from __future__ import annotations

import urllib3

from chalicelib.runtime import environment
from chalicelib.runtime.journal import StandardOutputJournal
from chalicelib.services.ports import Journal, Message, SmsFailed

SECONDS_MAX = 5


def make() -> LogGateway:
    """The gateway as this deployment is configured."""
    journal = StandardOutputJournal(
        environment.metrics_namespace(),
        stage=environment.stage(),
        function=environment.function_name(),
        release=environment.release(),
    )
    return LogGateway(environment.sms_log_url(), journal)


class LogGateway:
    """Posts each SMS to ``url``; where there is none, only notes it."""

    def __init__(self, url: str | None, journal: Journal) -> None:
        self._url = url
        self._journal = journal
        self._pool = urllib3.PoolManager(retries=False, timeout=SECONDS_MAX)

    def send(self, message: Message) -> None:
        """Hand the SMS over.

        Raises:
            SmsFailed: it was not taken, or nobody said so: sending it again is harmless.
        """
        if self._url is None:
            self._journal.event(
                "sms",
                payment_id=message.payment_id,
                number=message.number,
                to=message.to,
                characters=len(message.body),
            )
            return
        self._post(self._url, message)

    def _post(self, url: str, message: Message) -> None:
        sms = {
            "to": message.to,
            "body": message.body,
            "payment_id": message.payment_id,
            "number": message.number,
        }
        try:
            answer = self._pool.request("POST", url, json=sms, redirect=False)
        except urllib3.exceptions.HTTPError as failed:
            raise SmsFailed(type(failed).__name__) from failed
        if not 200 <= answer.status < 300:
            raise SmsFailed(f"HTTP status {answer.status}")
