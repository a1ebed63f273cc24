"""What an SMS gateway offers."""

from __future__ import annotations

from typing import Protocol

from chalicelib.domain.errors import MwangaError
from chalicelib.services.ports.records import Message


class SmsFailed(MwangaError):
    """The gateway did not take the SMS, or did not say so: it is sent again."""

    code = "sms_failed"


class SmsGateway(Protocol):
    """Sends one SMS."""

    def send(self, message: Message) -> None:
        """Hand the SMS to the gateway.

        Raises:
            SmsFailed: refused or unknown; it will be sent again.
        """
