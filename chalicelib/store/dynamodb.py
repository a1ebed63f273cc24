"""Requests to DynamoDB, with what can go wrong sorted into what a caller may do next.

=================================  ==========================================================
what happened                      what the caller gets
=================================  ==========================================================
the condition did not hold         ``ConditionUnmet`` (single items), ``WritesRefused``
                                   (transactions): each repository says what that means
conflict with a transaction,       up to five tries with jitter, then ``TryAgain``: nothing
throttling                         was written
time-out, broken connection,       ``OutcomeUnknown`` for a write, which may have happened;
5xx                                ``TryAgain`` for a read
anything else                      as it is: it is a bug, or the deployment is wrong
=================================  ==========================================================
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.models import Model

from chalicelib.domain.errors import MwangaError
from chalicelib.services.ports import OutcomeUnknown, TryAgain, VersionConflict
from chalicelib.store.connection import Table, connection

T = TypeVar("T")
M = TypeVar("M", bound=Table)
V = TypeVar("V")

TRIES_MAX = 5
PAUSE_SECONDS = 0.05
BATCH_MAX = 100

_CONDITION_UNMET = "ConditionalCheckFailedException"
_BUSY = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",
    }
)
_BROKEN = frozenset({"InternalServerError", "InternalFailure", "ServiceUnavailable"})


class ConditionUnmet(MwangaError):
    """The condition of a single write did not hold. ``found`` is the item as it stands."""

    code = "condition_unmet"

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__()
        self.found = found


class Busy(MwangaError):
    """Nothing was written, for DynamoDB is busy with the item: the request may be repeated."""

    code = "busy"


def reading(request: Callable[[], T]) -> T:
    """The answer of a read.

    Raises:
        TryAgain: DynamoDB is busy or did not answer.
    """
    try:
        return request()
    except (PynamoDBException, ClientError, BotoCoreError) as error:
        cause = cause_of(error)
        if isinstance(cause, BotoCoreError) or _code(cause) in _BUSY or _is_broken(cause):
            raise TryAgain(_words(cause)) from error
        raise


def writing(request: Callable[[], T]) -> T:
    """The answer of a write, tried again with jitter while DynamoDB is busy with the item.

    Raises:
        ConditionUnmet, TryAgain, OutcomeUnknown: see the table above.
    """
    return patiently(lambda: _written(request))


def patiently(request: Callable[[], T]) -> T:
    """Repeat a request that raises ``Busy``, with growing random pauses.

    Raises:
        TryAgain: it was still busy at the last try.
    """
    for earlier_tries in range(TRIES_MAX - 1):
        try:
            return request()
        except Busy:
            time.sleep(random.uniform(0, PAUSE_SECONDS * 2**earlier_tries))  # noqa: S311  (jitter)
    try:
        return request()
    except Busy as busy:
        raise TryAgain(busy.detail) from busy


def _written(request: Callable[[], T]) -> T:
    try:
        return request()
    except (PynamoDBException, ClientError, BotoCoreError) as error:
        known = translated(cause_of(error))
        if known is None:
            raise
        raise known from error


def translated(cause: BaseException) -> MwangaError | None:
    """What a failed write is to its caller; nothing where we have no word for it."""
    if isinstance(cause, BotoCoreError) or _is_broken(cause):
        return OutcomeUnknown(_words(cause))
    if _code(cause) in _BUSY:
        return Busy(_words(cause))
    if isinstance(cause, ClientError) and _code(cause) == _CONDITION_UNMET:
        return ConditionUnmet(cause.response.get("Item", {}))
    return None


def cause_of(error: BaseException) -> BaseException:
    """The error that botocore raised, out of PynamoDB's wrappings (which drop the item found)."""
    while True:
        inner = getattr(error, "cause", None) or error.__cause__
        if not isinstance(inner, PynamoDBException | ClientError | BotoCoreError):
            return error
        error = inner


def _code(error: BaseException) -> str:
    return str(error.response["Error"].get("Code", "")) if isinstance(error, ClientError) else ""


def _is_broken(error: BaseException) -> bool:
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _code(error) in _BROKEN or status >= 500


def _words(error: BaseException) -> str:
    """What to say about it: its kind only, for its text may quote what was to be written."""
    return _code(error) or type(error).__name__


# --- single items ---------------------------------------------------------------------------------


def find(model: type[M], key: Any, range_key: Any = None) -> M | None:
    """One item, read consistently."""
    try:
        return reading(lambda: model.get(key, range_key, consistent_read=True))
    except model.DoesNotExist:
        return None


def put(item: Model, condition: Condition | None = None) -> None:
    """Write one item, in one request that brings the present one back if the condition fails.

    Raises:
        ConditionUnmet, TryAgain, OutcomeUnknown: see there.
    """
    request = item.get_save_kwargs_from_instance(
        condition=condition,
        return_values_on_condition_failure="ALL_OLD" if condition is not None else None,
    )
    writing(lambda: connection().dispatch("PutItem", request))


def put_next_revision(model: type[Any], value: V, name: str) -> V:
    """Write a value if its stored revision is still that with which it was read; as written.

    ``model`` makes the row, and ``name`` is what a conflict names.

    Raises:
        VersionConflict: somebody else wrote it first.
        TryAgain, OutcomeUnknown: see there.
    """
    read: Any = value  # a dataclass with a revision
    written: V = replace(read, revision=read.revision + 1)
    try:
        put(model.of(written), model.revision == read.revision)
    except ConditionUnmet as unmet:
        raise VersionConflict(name) from unmet
    return written


def delete(item: Model) -> None:
    """Delete one item, if it is there.

    Raises:
        TryAgain, OutcomeUnknown: see there.
    """
    writing(item.delete)


# --- several items --------------------------------------------------------------------------------


def find_all(*wanted: tuple[type[M], Any]) -> dict[tuple[type[M], Any], M]:
    """Items of any tables by model and key (hash, or hash and range), read consistently.

    One request, unless DynamoDB leaves some of it for later: that is asked for again, with
    growing pauses. At most 100 items.

    Raises:
        TryAgain: DynamoDB is busy or did not answer.
    """
    rows = [(model, key, _key_of(model, key)) for model, key in wanted]
    found: list[tuple[str, Mapping[str, Any]]] = []
    pending = _batch(rows)

    def request() -> None:
        nonlocal pending
        answer = reading(lambda: connection().dispatch("BatchGetItem", {"RequestItems": pending}))
        for table, items in answer["Responses"].items():
            found.extend((table, item) for item in items)
        pending = answer.get("UnprocessedKeys") or {}
        if pending:
            raise Busy("unprocessed keys")

    if rows:
        patiently(request)
    return {
        (model, key): model.from_raw_data(dict(item))
        for model, key, stored_key in rows
        for table, item in found
        if table == model.table_name() and stored_key.items() <= item.items()
    }


def _batch(rows: Sequence[tuple[type[Table], Any, Mapping[str, Any]]]) -> dict[str, Any]:
    batch: dict[str, Any] = {}
    for model, _, key in rows:
        of_table = batch.setdefault(model.table_name(), {"ConsistentRead": True, "Keys": []})
        of_table["Keys"].append(key)
    return batch


def _key_of(model: type[Table], key: Any) -> Mapping[str, Any]:
    """The key as DynamoDB has it."""
    attributes = [a for a in model.get_attributes().values() if a.is_hash_key or a.is_range_key]
    attributes.sort(key=lambda attribute: not attribute.is_hash_key)
    values = key if isinstance(key, tuple) else (key,)
    return {
        attribute.attr_name: {attribute.attr_type: attribute.serialize(value)}
        for attribute, value in zip(attributes, values, strict=True)
    }
