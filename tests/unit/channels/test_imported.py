"""Imported: payments that stand in a file which staff upload."""

from __future__ import annotations

from chalicelib.channels.imported import CHANNEL
from chalicelib.services.ports import RefusalClass


def test_it_is_told_by_files_alone_and_what_is_new_in_them_is_taken() -> None:
    assert (CHANNEL.key, CHANNEL.endpoints) == ("imported", ())
    assert CHANNEL.refusal_class is RefusalClass.TOLD_AFTER
    assert CHANNEL.statement.takes and not CHANNEL.can_refund


def test_a_row_without_serial_number_cannot_be_read() -> None:
    assert CHANNEL.statement.serial_number in CHANNEL.statement.needed
