"""Taking back what bought nothing: the money of vends that issued nothing.

A payment's lines are never rewritten: new negative lines take back what a vend was to buy, on
payment and account in one step. What is not given back to the payer becomes the customer's
credit. Money that was used since cannot be taken back: a carry that has bought energy, days that
a later payment's date already includes, a plan that has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from math import floor

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.errors import InvariantBroken, MwangaError
from chalicelib.domain.payment import Payment, Vend, VendState, with_lines


class NotReversible(MwangaError):
    """The money of a vend has been used since, or the vend is of a kind that keeps its money."""

    code = "not_reversible"


def reversible_minor(account: Account, vends: Sequence[Vend]) -> int:
    """What can be taken back of those vends' money.

    Raises:
        NotReversible: one of them cannot be taken back at all.
    """
    _, lines = _taken_back(account, vends)
    return -sum(line.amount_minor for line in lines)


def reversed_into_credit(
    payment: Payment, account: Account, vends: Sequence[Vend], given_back_minor: int = 0
) -> tuple[Payment, Account]:
    """Take those vends' money back, on both sides, and make it credit.

    ``given_back_minor`` of it goes to the payer instead: the payment must have that refund
    already. The account moves one version on.

    Raises:
        NotReversible: see there.
        InvariantBroken: more is to be given back than was taken, or the sums do not add up.
    """
    before = account
    account, taken = _taken_back(account, vends)
    left_minor = -sum(line.amount_minor for line in taken) - given_back_minor
    if left_minor < 0:
        raise InvariantBroken(f"{payment.payment_id} would give back more than it has")
    if left_minor > 0:
        taken = (*taken, Line(LineKind.CREDIT, account.customer_id, left_minor))
    account = replace(account, credit_minor=account.credit_minor + left_minor).next_version()
    _prove(before, account, taken, vends)
    versions = (*payment.account_versions, account.version)
    after = with_lines(payment, (*payment.lines, *taken))
    return replace(after, account_versions=versions), account


def credited(payment: Payment, account: Account, amount_minor: int) -> tuple[Payment, Account]:
    """Make money of the payment that lies in no line (a refund that failed) the customer's credit.

    Raises:
        InvariantBroken: that is not what its lines leave open.
    """
    line = Line(LineKind.CREDIT, account.customer_id, amount_minor)
    after = replace(account, credit_minor=account.credit_minor + amount_minor).next_version()
    versions = (*payment.account_versions, after.version)
    lines = (*payment.lines, line)
    return replace(with_lines(payment, lines), account_versions=versions), after


def reversible_vends(payment: Payment, troubled: Sequence[Vend]) -> tuple[Vend, ...]:
    """Those of the payment's troubled vends whose money can be taken back at all.

    An unlock belongs to a plan that is paid off: it has to be made. The days of an instalment
    cannot be told apart by token, so time vends go together or not at all.
    """
    left_out = {VendKind.UNLOCK}
    time = {v.number for v in payment.vends if v.kind is VendKind.TIME and not v.closed}
    if not time <= {vend.number for vend in troubled}:
        left_out.add(VendKind.TIME)
    return tuple(vend for vend in troubled if vend.kind not in left_out)


def check_not_delivered(payment: Payment, vends: Sequence[Vend], others: Sequence[Payment]) -> None:
    """That no other payment's vend has brought the days of these.

    An absolute manufacturer is told until when the device is to run: a vend that was called later
    than these were paid for has told these days too, or may be telling them now.

    Raises:
        NotReversible: it has, or nobody knows.
    """
    for vend in vends:
        for other in others:
            if other.payment_id != payment.payment_id and any(
                _tells_days_of(vend, told) for told in other.vends
            ):
                raise NotReversible("another vend of the device has brought these days, or may")


def _tells_days_of(vend: Vend, told: Vend) -> bool:
    if vend.kind is not VendKind.TIME or told.serial_number != vend.serial_number:
        return False
    if told.state in (VendState.CALLING, VendState.UNCERTAIN):
        return told.kind is not VendKind.ENERGY
    if told.state is not VendState.DONE or told.paid_until is None or vend.paid_until is None:
        return False
    return told.paid_until >= vend.paid_until


def _taken_back(account: Account, vends: Sequence[Vend]) -> tuple[Account, tuple[Line, ...]]:
    """The account without those vends' money, and the lines that take it back."""
    if any(vend.kind is VendKind.UNLOCK for vend in vends):
        raise NotReversible("an unlock belongs to a plan that is paid off")
    lines: list[Line] = []
    for vend in reversed([vend for vend in vends if vend.kind is VendKind.ENERGY]):
        account, amount_minor = _take_energy(account, vend)
        lines.append(Line(LineKind.ENERGY, vend.serial_number, -amount_minor))
    time = [vend for vend in vends if vend.kind is VendKind.TIME]
    if time:
        account, amount_minor = _take_time(account, time)
        lines.append(Line(LineKind.TIME, time[0].serial_number, -amount_minor))
    return account, tuple(line for line in lines if line.amount_minor < 0)


def _take_energy(account: Account, vend: Vend) -> tuple[Account, int]:
    """What an energy vend cost came from its share of the line and from the meter's carry.

    Both go back to where they came from. Where the rest of that line, left as carry, has been
    used since, only what remains can be taken. A device that has left the account has no carry to
    go back to, so all is taken. Exact: money out of the vend = what is taken + change of the carry.
    """
    record = account.device(vend.serial_number)
    if record is None:
        return account, floor(vend.cost_minor)
    pool = record.carry_minor + vend.cost_minor
    amount_minor = min(vend.money_minor, floor(pool)) if record.owned else floor(pool)
    changed = replace(record, carry_minor=pool - amount_minor)
    return account.with_device(changed), amount_minor


def _take_time(account: Account, vends: Sequence[Vend]) -> tuple[Account, int]:
    """The instalments that time vends paid are open again, and the days they bought are gone.

    Only the latest vends of a device: the end of the paid time is one date, and a later vend's
    already includes these days. Several vends of one payment go together, for the days of an
    instalment cannot be told apart by token.
    """
    serial_number = vends[0].serial_number
    record, plan = account.device(serial_number), account.plan_of(serial_number)
    if record is None or not record.owned or plan is None or record.plan_id != plan.plan_id:
        raise NotReversible("the plan that the money paid has ended")
    paid_until = record.paid_until
    for vend in reversed(vends):
        if vend.units is None or paid_until is None or paid_until != vend.paid_until:
            raise NotReversible("a later payment's time includes these days")
        paid_until -= timedelta(days=int(vend.units))
    money_minor = sum(vend.money_minor for vend in vends)
    paid_minor = plan.paid_minor - money_minor
    if paid_minor < max(plan.already_paid_minor, plan.down_payment_minor):
        raise NotReversible("the plan was changed since")
    units = sum((vend.units for vend in vends if vend.units), Fraction(0))
    bought = sum((vend.days_bought for vend in vends), Fraction(0))
    carry_days = record.carry_days + units - bought
    if carry_days < 0:
        raise NotReversible("the part of a day that it left has been used since")
    changed = replace(record, carry_days=carry_days, paid_until=paid_until)
    account = account.with_device(changed).with_plan(replace(plan, paid_minor=paid_minor))
    return account, money_minor


def _prove(
    before: Account,
    after: Account,
    new: Sequence[Line],
    vends: Sequence[Vend],
) -> None:
    """The invariant: what the new lines say is what changed in the account, exactly.

    Raises:
        InvariantBroken: it does not hold.
    """
    credit = sum(line.amount_minor for line in new if line.kind is LineKind.CREDIT)
    if after.credit_minor - before.credit_minor != credit:
        raise InvariantBroken("the credit line is not the change of the credit")
    time = sum(line.amount_minor for line in new if line.kind is LineKind.TIME)
    if sum(p.paid_minor for p in after.plans) - sum(p.paid_minor for p in before.plans) != time:
        raise InvariantBroken("the plans did not give back what the lines say")
    energy = sum(line.amount_minor for line in new if line.kind is LineKind.ENERGY)
    if _carries(after) - _carries(before) != energy + _returned(before, vends):
        raise InvariantBroken("the carries did not get back what the lines leave them")


def _carries(account: Account) -> Fraction:
    return sum((device.carry_minor for device in account.devices), Fraction(0))


def _returned(before: Account, vends: Sequence[Vend]) -> Fraction:
    """What the vends cost, as far as there is a carry to which the difference can go."""
    return sum(
        (
            vend.cost_minor
            if before.device(vend.serial_number) is not None
            else Fraction(floor(vend.cost_minor))
            for vend in vends
            if vend.kind is VendKind.ENERGY
        ),
        Fraction(0),
    )
