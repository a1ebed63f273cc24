"""Agent: somebody in the village takes a customer's money for the company, up to a limit.

A payment that would be refused is refused before the money changes hands. The source is the member
of staff, the transaction the ``Idempotency-Key`` of the request, so a double tap is one payment.
"""

from __future__ import annotations

from chalicelib.channels.interface import Channel, Stated
from chalicelib.services.ports import RefusalClass

KEY = "agent"

CHANNEL = Channel(
    key=KEY,
    name="Agent",
    refusal_class=RefusalClass.WE_START,
    endpoints=(),
    stated=Stated(
        countries="any",
        direction="agents tell us",
        caller="a log-in with the role agent",
        repeated="the `Idempotency-Key`",
        serial="`serial_number`",
        amounts="major units, as a text",
        retries="the caller's own; 503 means: again",
        reversal="none: the agent hands it back",
        confirmed="the agent's receipts",
        unverified=("nothing: the contract is ours",),
    ),
)
