"""Several writes that happen together or not at all: one ``TransactWriteItems``."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from chalicelib.domain.errors import MwangaError
from chalicelib.services.ports import OutcomeUnknown, TryAgain
from chalicelib.store.connection import connection
from chalicelib.store.dynamodb import Busy, cause_of, patiently, translated

_BUSY_REASONS = frozenset(
    {"ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"}
)
_CANCELLED = "TransactionCanceledException"
_IN_PROGRESS = "TransactionInProgressException"
_TOKEN_LENGTH_MAX = 36


class WritesRefused(MwangaError):
    """Nothing was written: the conditions of the writes named in ``what`` did not hold."""

    code = "writes_refused"

    def __init__(self, what: Sequence[str]) -> None:
        super().__init__(", ".join(what))
        self.what = tuple(what)


class Transaction:
    """Collects writes, each under a name for what it is about, and commits them together.

    DynamoDB answers a refusal by position. PynamoDB's own transaction sends checks, deletions,
    puts and updates in that order whatever the order of the calls (pynamodb issue 1284), so
    reasons read by the order of calls would blame the wrong item. Here the names travel with
    the writes, in the order in which they are sent.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._writes: list[dict[str, Any]] = []

    def put(self, what: str, item: Model, condition: Condition | None = None) -> None:
        """Write a whole item."""
        self._add(what, "Put", item.get_save_kwargs_from_instance(condition=condition))

    def update(self, what: str, item: Model, actions: list[Action], condition: Condition) -> None:
        """Change parts of an item. A condition is a must: an update makes what is not there."""
        request = item.get_update_kwargs_from_instance(actions=actions, condition=condition)
        self._add(what, "Update", request)

    def delete(self, what: str, item: Model, condition: Condition) -> None:
        """Delete an item."""
        self._add(what, "Delete", item.get_delete_kwargs_from_instance(condition=condition))

    def _add(self, what: str, kind: str, request: Mapping[str, Any]) -> None:
        self._names.append(what)
        self._writes.append({kind: request})

    def commit(self, once: str | None = None) -> None:
        """Write everything, in one request that is repeated, unchanged, while DynamoDB is busy.

        A request with the same ``once`` and the same content happens once within ten minutes:
        for writes whose conditions can hold only once. Without it each commit is its own.

        Raises:
            WritesRefused: conditions did not hold; nothing was written.
            TryAgain: DynamoDB is busy; nothing was written.
            OutcomeUnknown: nobody knows whether it was written.
        """
        request = {
            "ClientRequestToken": self._token(once) if once else str(uuid.uuid4()),
            "TransactItems": self._writes,
        }
        try:
            patiently(lambda: self._request(request))
        except TryAgain as error:
            if isinstance(error.__cause__, Busy) and error.detail == _IN_PROGRESS:
                raise OutcomeUnknown(_IN_PROGRESS) from error
            raise

    def _token(self, once: str) -> str:
        """The same for the same request only: DynamoDB refuses one token with two contents."""
        content = json.dumps([once, self._writes], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:_TOKEN_LENGTH_MAX]

    def _request(self, request: dict[str, Any]) -> None:
        try:
            connection().dispatch("TransactWriteItems", dict(request))
        except (PynamoDBException, ClientError, BotoCoreError) as error:
            known = self._translated(cause_of(error))
            if known is None:
                raise
            raise known from error

    def _translated(self, cause: BaseException) -> MwangaError | None:
        if not isinstance(cause, ClientError):
            return translated(cause)
        code = cause.response["Error"].get("Code")
        if code == _IN_PROGRESS:
            return Busy(_IN_PROGRESS)
        if code == _CANCELLED:
            return self._cancelled(cause)
        return translated(cause)

    def _cancelled(self, cause: ClientError) -> MwangaError | None:
        """What a cancelled transaction is to its caller. A condition that failed says the most."""
        response: Mapping[str, Any] = cause.response
        reasons = [reason.get("Code", "") for reason in response.get("CancellationReasons", [])]
        refused = [
            name
            for name, reason in zip(self._names, reasons, strict=False)
            if reason == "ConditionalCheckFailed"
        ]
        if refused:
            return WritesRefused(refused)
        if reasons and _BUSY_REASONS.issuperset(set(reasons) - {"None"}):
            return Busy(", ".join(sorted(set(reasons) - {"None"})))
        return None
