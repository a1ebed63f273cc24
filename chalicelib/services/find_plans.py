"""Find plans: what a payment for a plan is really for."""

from __future__ import annotations

from chalicelib.domain.errors import FieldError
from chalicelib.services.plan_ids import customer_of_plan
from chalicelib.services.ports import Accounts


class FindPlans:
    """Finds a plan by nothing but its id, which says whose it is."""

    def __init__(self, *, accounts: Accounts) -> None:
        self._accounts = accounts

    def target(self, plan_id: str) -> tuple[str | None, str | None]:
        """The serial number that is paid, or the plan: a device's plan is paid as the device is.

        Raises:
            FieldError: on ``plan_id``: there is no such plan.
        """
        customer_id = customer_of_plan(plan_id)
        account = self._accounts.get(customer_id) if customer_id else None
        plan = (account and account.plan(plan_id)) or self._accounts.ended_plan(plan_id)
        if plan is None:
            raise FieldError("plan_id", "there is no such plan")
        return (plan.serial_number, None) if plan.serial_number else (None, plan_id)
