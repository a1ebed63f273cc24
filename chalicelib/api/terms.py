"""Reading the terms of a plan, and the new ones of a plan that is open."""

from __future__ import annotations

from chalicelib.api.amounts import Amounts
from chalicelib.api.models import PlanChangeBody, PlanTermsBody
from chalicelib.channels.interface import FieldErrors
from chalicelib.domain.errors import FieldError
from chalicelib.domain.new_terms import Rhythm
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


def rhythm_of(body: PlanChangeBody, amounts: Amounts) -> Rhythm | None:
    """The new rhythm; ``None`` where the body says nothing of one.

    Raises:
        FieldErrors: on ``every`` and ``first_due``: a rhythm needs both.
        InvalidAmount: on ``instalment_amount``: it is no amount.
    """
    instalment_minor = amounts.read_if_given(body.instalment_amount, "instalment_amount")
    if (body.every, body.first_due, body.instalments, instalment_minor) == (None,) * 4:
        return None
    if body.every is None or body.first_due is None:
        missing = [name for name in ("every", "first_due") if getattr(body, name) is None]
        raise FieldErrors(tuple(FieldError(name, "is required here") for name in missing))
    return Rhythm(body.every, body.first_due, body.instalments, instalment_minor)
