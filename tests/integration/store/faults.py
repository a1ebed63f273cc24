"""What DynamoDB may answer in place of doing, or after having done, what it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from chalicelib.store import connection

ENDPOINT = "https://dynamodb.eu-west-1.amazonaws.com"


class DoneBut(Exception):
    """The request is carried out, and then its answer is lost by ``error``."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def answered(code: str, *, status: int = 400, reasons: list[str] | None = None) -> ClientError:
    """DynamoDB's own refusal, with a transaction's reasons by item if there are any."""
    response: dict[str, Any] = {
        "Error": {"Code": code, "Message": "injected"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}},
    }
    if reasons is not None:
        response["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(response, "Injected")  # type: ignore[arg-type]


def cancelled(*reasons: str) -> ClientError:
    """A cancelled transaction."""
    return answered("TransactionCanceledException", reasons=list(reasons))


READ_TIMEOUT = ReadTimeoutError(endpoint_url=ENDPOINT)
CONNECT_TIMEOUT = ConnectTimeoutError(endpoint_url=ENDPOINT)


@contextmanager
def dynamodb_answers(*faults: Exception | None) -> Iterator[list[str]]:
    """The next requests meet these faults, one each; ``None`` and all later ones meet none.

    Gives the operations that were asked for, refused ones included.
    """
    client = connection.connection().client
    really = client._make_api_call
    pending = list(faults)
    asked: list[str] = []

    def make_api_call(operation: str, kwargs: dict[str, Any]) -> Any:
        asked.append(operation)
        fault = pending.pop(0) if pending else None
        if isinstance(fault, DoneBut):
            really(operation, kwargs)
            raise fault.error
        if fault is not None:
            raise fault
        return really(operation, kwargs)

    client._make_api_call = make_api_call
    try:
        yield asked
    finally:
        del client._make_api_call
