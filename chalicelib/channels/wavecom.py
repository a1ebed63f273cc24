"""Wavecom: a bank or wallet in Senegal, told by its list of transactions, which staff upload.

The money has moved long before. Each row becomes one payment, whatever its serial: a wrong one is
held, for there is no way back but by hand. A row that was taken before changes nothing.
"""

from __future__ import annotations

from chalicelib.channels.interface import Channel, Stated
from chalicelib.services.ports import RefusalClass, StatementForm

KEY = "wavecom"

CHANNEL = Channel(
    key=KEY,
    name="Wavecom (list of transactions)",
    refusal_class=RefusalClass.TOLD_AFTER,
    endpoints=(),
    statement=StatementForm(
        transaction="transaction_id",
        amount="amount",
        serial_number="message",
        phone="sender",
        takes=True,
    ),
    stated=Stated(
        countries="Senegal",
        direction="staff upload its list",
        caller="a log-in with the role operations",
        repeated="`transaction_id`",
        serial="the column `message`",
        amounts="whole francs (XOF)",
        retries="none: the file may be uploaded again",
        reversal="none: held for a person",
        confirmed="the list itself",
        unverified=("whether its lists name the time of payment (none is read)",),
    ),
)
