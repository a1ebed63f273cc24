"""Imported: payments from a list of one's own, such as those of a former system or a bank.

Each row names its transaction, the serial number, the amount and, best, the time. It is settled
like any other payment; one that names no valid device is held for a person. What another system
has already turned into energy must not be imported: it would be credited again.
"""

from __future__ import annotations

from chalicelib.channels.interface import Channel, Stated
from chalicelib.services.ports import RefusalClass, StatementForm

KEY = "imported"

CHANNEL = Channel(
    key=KEY,
    name="Imported payments",
    refusal_class=RefusalClass.TOLD_AFTER,
    endpoints=(),
    statement=StatementForm(takes=True),
    stated=Stated(
        countries="any",
        direction="staff upload a list",
        caller="a log-in with the role operations",
        repeated="`transaction`, within the `source` that the upload names",
        serial="the column `serial_number`",
        amounts="major units",
        retries="none: the file may be uploaded again",
        reversal="none: held for a person",
        confirmed="the list itself",
        unverified=("nothing: the contract is ours",),
    ),
)
