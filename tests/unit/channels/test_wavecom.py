"""Wavecom: payments that stand in a file which staff upload."""

from __future__ import annotations

from chalicelib.channels.wavecom import CHANNEL
from chalicelib.services.ports import RefusalClass


def test_it_is_told_by_files_alone_and_what_is_new_in_them_is_taken() -> None:
    assert (CHANNEL.key, CHANNEL.endpoints) == ("wavecom", ())
    assert CHANNEL.refusal_class is RefusalClass.TOLD_AFTER
    assert CHANNEL.statement.takes and not CHANNEL.can_refund


def test_a_row_without_serial_number_cannot_be_read() -> None:
    assert CHANNEL.statement.serial_number in CHANNEL.statement.needed


def test_its_columns_are_those_of_its_lists() -> None:
    form = CHANNEL.statement
    assert (form.transaction, form.phone, form.serial_number, form.amount) == (
        *("transaction_id", "sender", "message", "amount"),
    )
