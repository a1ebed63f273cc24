"""Reading the terms of a plan."""

from __future__ import annotations

from chalicelib.api.amounts import Amounts
from chalicelib.api.models import PlanTermsBody
from chalicelib.domain.plan import Terms


def terms_of(body: PlanTermsBody, amounts: Amounts, path: str = "") -> Terms:
    """The terms, their amounts in minor units. ``path`` is where they stand: ``device.plan.``.

    Raises:
        InvalidAmount: on the field whose text is no amount.
    """
    return Terms(
        total_minor=amounts.read(body.total, f"{path}total"),
        every=body.every,
        first_due=body.first_due,
        instalments=body.instalments,
        instalment_minor=amounts.read_if_given(body.instalment_amount, f"{path}instalment_amount"),
        down_payment_minor=amounts.read_or_zero(body.down_payment, f"{path}down_payment"),
        already_paid_minor=amounts.read_or_zero(body.already_paid, f"{path}already_paid"),
    )
