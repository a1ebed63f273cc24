"""Cash: office staff take a customer's money over the counter, and record it.

A payment that would be refused is refused before the money changes hands. The source is the member
of staff, the transaction the ``Idempotency-Key`` of the request, so a double tap is one payment.
"""

from __future__ import annotations

from chalicelib.channels.interface import Channel, Stated
from chalicelib.services.ports import RefusalClass

KEY = "cash"

CHANNEL = Channel(
    key=KEY,
    name="Cash",
    refusal_class=RefusalClass.WE_START,
    endpoints=(),
    stated=Stated(
        countries="any",
        direction="staff tell us",
        caller="a log-in with the role office",
        repeated="the `Idempotency-Key`",
        serial="`serial_number`, or `plan_id`",
        amounts="major units, as a text",
        retries="the caller's own; 503 means: again",
        reversal="none: the clerk hands it back",
        confirmed="the till",
        unverified=("nothing: the contract is ours",),
    ),
)
