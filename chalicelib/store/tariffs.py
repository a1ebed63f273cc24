"""Tariffs with their histories."""

from __future__ import annotations

from chalicelib.domain.tariff import Rate, Tariff
from chalicelib.services.ports import Change, NameTaken, Note, Page, VersionConflict
from chalicelib.store.changes import put_change
from chalicelib.store.cursors import Listing
from chalicelib.store.dynamodb import find
from chalicelib.store.models import TariffRow
from chalicelib.store.names import hold_name, rename
from chalicelib.store.numbers import next_number
from chalicelib.store.transaction import Transaction, WritesRefused

_LIST = "tariff"
_ALL = Listing("tariffs", TariffRow.by_list.query, TariffRow.list, (TariffRow.tariff_id,))


class DynamoTariffs:
    """The port ``Tariffs`` on DynamoDB."""

    def create(self, name: str, rate: Rate, note: Note | None = None) -> Tariff:
        """Store a new tariff and its name, in one transaction.

        Raises:
            NameTaken, TryAgain, OutcomeUnknown: see there.
        """
        tariff = Tariff(next_number(_LIST), name, (rate,))
        transaction = Transaction()
        transaction.put("tariff", TariffRow.of(tariff), TariffRow.tariff_id.does_not_exist())
        hold_name(transaction, _LIST, name, str(tariff.tariff_id))
        put_change(transaction, note(tariff.tariff_id) if note else None)
        _commit(transaction)
        return tariff

    def get(self, tariff_id: int) -> Tariff | None:
        """The tariff, read consistently."""
        row = find(TariffRow, tariff_id)
        return row.value() if row else None

    def list(self, limit: int, cursor: str | None) -> Page[Tariff]:
        """Tariffs by id.

        Raises:
            InvalidCursor, TryAgain: see there.
        """
        rows, after = _ALL.part(_LIST, limit, cursor)
        return Page([row.value() for row in rows], after)

    def update(self, before: Tariff, after: Tariff, change: Change | None = None) -> None:
        """Write ``after`` if ``before`` is still what is stored: no rate is lost.

        Raises:
            NameTaken, VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        same_rates = TariffRow.rates == list(before.rates)  # PynamoDB knows lists, not tuples
        as_read = (TariffRow.name == before.name) & same_rates
        transaction = Transaction()
        transaction.put("tariff", TariffRow.of(after), as_read)
        rename(transaction, _LIST, before.name, after.name, str(before.tariff_id))
        put_change(transaction, change)
        _commit(transaction)


def _commit(transaction: Transaction) -> None:
    try:
        transaction.commit()
    except WritesRefused as refused:
        if refused.what == ("name",):
            raise NameTaken from refused
        raise VersionConflict(refused.detail) from refused
