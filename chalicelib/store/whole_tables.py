"""Whole tables, portion by portion. A scan: half a read unit for 4 kB of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chalicelib.domain.payment import Payment
from chalicelib.services.ports import Entry, Portion
from chalicelib.store.attributes import AttributeValue
from chalicelib.store.connection import Table, connection
from chalicelib.store.cursors import decoded, encoded
from chalicelib.store.dynamodb import reading
from chalicelib.store.models import EntryRow, PaymentRow

ITEMS_MAX = 1000
"""A portion is at most so many items; DynamoDB itself ends it at 1 MB."""

_NOT_READ = frozenset({"payer_phone", "known_as", "owner", "open_shard", "check_at"})
"""What the books do not need to know. It is left out of the answer, not of the price."""


class DynamoWholeTables:
    """The port ``WholeTables`` on DynamoDB."""

    def payments(self, cursor: str | None) -> Portion[Payment]:
        """Payments, without what is known of their payers.

        Raises:
            TryAgain, InvalidCursor: see there.
        """
        return _portion(PaymentRow, ("payment_id",), cursor, leave_out=_NOT_READ)

    def entries(self, cursor: str | None) -> Portion[Entry]:
        """Entries of all accounts.

        Raises:
            TryAgain, InvalidCursor: see there.
        """
        return _portion(EntryRow, ("customer_id", "account_version"), cursor)


def _portion(
    model: type[Table],
    keys: Sequence[str],
    cursor: str | None,
    leave_out: frozenset[str] = frozenset(),
) -> Portion[Any]:
    attributes = model.get_attributes()
    names = sorted(attributes.keys() - leave_out)
    request: dict[str, Any] = {
        "TableName": model.table_name(),
        "Limit": ITEMS_MAX,
        "ProjectionExpression": ", ".join(f"#{number}" for number in range(len(names))),
        "ExpressionAttributeNames": {f"#{number}": name for number, name in enumerate(names)},
    }
    listing = f"whole/{model.Meta.plain_name}"
    if cursor is not None:
        behind = zip(keys, decoded(listing, cursor, len(keys)), strict=True)
        request["ExclusiveStartKey"] = {k: {attributes[k].attr_type: text} for k, text in behind}
    answer = reading(lambda: connection().dispatch("Scan", request))
    items: list[Any] = []
    unreadable: list[str] = []
    for item in answer["Items"]:
        try:
            items.append(model.from_raw_data(dict(item)).value())
        except Exception:  # whatever is wrong with one item, the others are to be read
            unreadable.append(" ".join(_text(item[key]) for key in keys))
    last = answer.get("LastEvaluatedKey")
    after = encoded(listing, *(_text(last[key]) for key in keys)) if last else None
    return Portion(items, tuple(unreadable), after)


def _text(stored: AttributeValue) -> str:
    """A key, as text."""
    [text] = stored.values()
    return str(text)
