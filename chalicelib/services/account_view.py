"""Show an account: what a customer owes and has, as of a day. Looking changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from chalicelib.domain.access_rate import next_fee
from chalicelib.domain.account import Account, DeviceAccount
from chalicelib.domain.allocation import Debt, Rules, debts
from chalicelib.domain.errors import FieldError
from chalicelib.domain.moment import local_day, start_of_day
from chalicelib.services.accept import rules_of, tariff_ids_of
from chalicelib.services.plans import CustomerNotFound
from chalicelib.services.ports import Accounts, Catalogue, Clock, Customers

DAYS_AHEAD_MAX = 3660
"""Beyond ten years the list of fees to come says nothing, and does not end."""


@dataclass(frozen=True, slots=True)
class NextFee:
    """The next fee of a meter to fall due, as far as it is known now."""

    due_on: date
    amount_minor: int


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as of a day. ``debts`` stand in the order in which they will be cleared."""

    account: Account
    at: date
    moment: datetime
    rules: Rules
    debts: tuple[Debt, ...]
    next_fees: dict[str, NextFee]

    @property
    def owed_minor(self) -> int:
        """What is owed in all."""
        return sum(debt.amount_minor for debt in self.debts)

    @property
    def devices(self) -> tuple[DeviceAccount, ...]:
        """The devices that the customer has now."""
        return tuple(device for device in self.account.devices if device.owned)


class ViewAccounts:
    """Shows accounts."""

    def __init__(
        self, *, accounts: Accounts, customers: Customers, catalogue: Catalogue, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._customers = customers
        self._catalogue = catalogue
        self._clock = clock

    def view(self, customer_id: str, at: date | None) -> AccountView:
        """The account as of that day: today, or later if nothing is paid until then.

        Raises:
            CustomerNotFound: see there.
            FieldError: on ``at``: it is past, or more than ten years ahead.
        """
        if self._customers.get(customer_id) is None:
            raise CustomerNotFound(f"there is no customer {customer_id}")
        account = self._accounts.get(customer_id) or Account(customer_id)
        rules = rules_of(self._catalogue.settings())
        day, moment = self._day_and_moment(at, rules.time_zone)
        tariffs = self._catalogue.tariffs(tariff_ids_of(account))
        fees = {
            device.serial_number: NextFee(*fee)
            for device in account.devices
            if (fee := next_fee(device, tariffs, moment, rules.time_zone)) is not None
        }
        return AccountView(
            account, day, moment, rules, debts(account, moment, tariffs, rules), fees
        )

    def _day_and_moment(self, at: date | None, time_zone: ZoneInfo) -> tuple[date, datetime]:
        now = self._clock.now()
        today = local_day(now, time_zone)
        if at is None or at == today:
            return today, now
        if not today < at <= today + timedelta(days=DAYS_AHEAD_MAX):
            raise FieldError("at", "must be today or a day of the next ten years")
        return at, start_of_day(at, time_zone)
