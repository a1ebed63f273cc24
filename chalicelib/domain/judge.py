"""What a payment is refused for, as far as the rules of money decide it.

That a serial number is known and has an owner, and that the currency is right, is found out
before; these are the last four codes of the order in ``Refusal``.
"""

from __future__ import annotations

from chalicelib.domain.account import Account, Kind
from chalicelib.domain.allocation import Allocation, LineKind
from chalicelib.domain.errors import Refusal


def device_refusal(account: Account, serial_number: str) -> Refusal | None:
    """Why no payment for that device can be taken, whether or not money has moved.

    A device without a record, or one that went to another owner, is not assigned to this
    customer. A meter needs a tariff; an SHS or e-bike needs a plan, be it one that has ended.
    """
    device = account.device(serial_number)
    if device is None or not device.owned:
        return Refusal.DEVICE_UNASSIGNED
    if device.kind is Kind.METER:
        return None if device.has_tariff else Refusal.NO_TARIFF
    return None if device.plan_id is not None else Refusal.NO_PLAN


def refusal_before_money(allocation: Allocation) -> Refusal | None:
    """Why a payment that would be split like this should not be made; only before money moves.

    ``nothing_to_pay``: no debt, and the device is paid off, so all of it would be credit.
    ``too_small``: no debt, and a meter would get nothing but carry. Where money has moved,
    both are settled as they are: money for a valid device is never sent back.
    """
    used_for = {line.kind for line in allocation.lines} - {LineKind.CREDIT}
    if not used_for:
        return Refusal.NOTHING_TO_PAY
    if used_for == {LineKind.ENERGY} and not allocation.intents:
        return Refusal.TOO_SMALL
    return None
