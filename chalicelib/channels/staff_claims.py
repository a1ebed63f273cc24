"""Claims of payments that staff take by hand."""

from __future__ import annotations

from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Claim
from chalicelib.services.claimed_serial import claimed_serial


def staff_id(username: str) -> str:
    """A member of staff, as a part of payments' ids: a dash would end that part too early."""
    return username.replace("-", "")


def staff_claim(
    channel: str,
    username: str,
    key: str,
    *,
    amount_minor: int,
    currency: Currency,
    serial_number: str | None = None,
    plan_id: str | None = None,
) -> Claim:
    """A payment that this member of staff has taken, for a device or for an appliance's plan."""
    return Claim(
        channel=channel,
        source=f"{channel}.{staff_id(username)}",
        transaction=key,
        reference=key,
        serial_number="" if serial_number is None else claimed_serial(serial_number),
        amount_minor=amount_minor,
        currency=currency.code,
        plan_id=plan_id,
    )
