"""The access rate: which subscription fees a meter owes, and when the next one falls due.

A *stretch* is a time in which a meter has one owner and one period. The k-th fee of a stretch
falls due on its first day + k periods, at the amount in force when that day begins; a period cut
short is not charged. Everything here follows from the device's tenures, the tariffs' histories
and one number, ``fees_paid_minor``: looking stores nothing and no job touches the meters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from chalicelib.domain.account import DeviceAccount, Tenure
from chalicelib.domain.moment import first_day_from, local_day
from chalicelib.domain.tariff import AccessRate, Tariff


@dataclass(frozen=True, slots=True)
class OwedFee:
    """A fee that is not fully paid. ``number`` counts the meter's fees from 1, all stretches."""

    number: int
    due_on: date
    open_minor: int
    tariff_id: int


def fees(
    device: DeviceAccount, tariffs: Mapping[int, Tariff], until_day: date, time_zone: ZoneInfo
) -> list[tuple[date, int]]:
    """Every fee that has fallen due by ``until_day`` (included), paid or not: day and amount.

    Raises:
        KeyError: a tariff of one of the tenures is not in ``tariffs``.
    """
    return [
        (run.due_on(index), run.amount_minor)
        for run in _runs(device, tariffs, until_day, time_zone)
        for index in range(run.count)
    ]


def owed_fees(
    device: DeviceAccount, tariffs: Mapping[int, Tariff], until_day: date, time_zone: ZoneInfo
) -> list[OwedFee]:
    """The fees due by ``until_day`` less what was paid, oldest first. Never negative.

    Paid fees are skipped without being listed, so a long history costs nothing.

    Raises:
        KeyError: a tariff of one of the tenures is not in ``tariffs``.
    """
    owed: list[OwedFee] = []
    paid_left_minor = device.fees_paid_minor
    fees_before = 0
    for run in _runs(device, tariffs, until_day, time_zone):
        fully_paid = min(paid_left_minor // run.amount_minor, run.count)
        paid_left_minor -= fully_paid * run.amount_minor
        for index in range(fully_paid, run.count):
            open_minor = run.amount_minor - paid_left_minor
            paid_left_minor = 0
            number = fees_before + index + 1
            owed.append(OwedFee(number, run.due_on(index), open_minor, run.tariff_id))
        fees_before += run.count
    return owed


def next_fee(
    device: DeviceAccount, tariffs: Mapping[int, Tariff], moment: datetime, time_zone: ZoneInfo
) -> tuple[date, int] | None:
    """The next fee to fall due after the day of ``moment``, under what is known now.

    ``None`` where no fee is to come: no access rate, or the meter has another owner.

    Raises:
        KeyError: a tariff of one of the tenures is not in ``tariffs``.
    """
    today = local_day(moment, time_zone)
    for run in _runs(device, tariffs, date.max, time_zone):
        index = max(0, (today - run.first_due).days // run.period_days + 1)
        if index < run.count:
            return run.due_on(index), run.amount_minor
    return None


@dataclass(frozen=True, slots=True)
class _Phase:
    """A time in which the meter had one tariff at one unchanged rate (without, perhaps, a fee)."""

    begins: datetime
    ends: datetime | None
    tariff_id: int
    access_rate: AccessRate | None


@dataclass(frozen=True, slots=True)
class _Run:
    """Fees of one stretch that fall due one period apart, at one amount."""

    first_due: date
    period_days: int
    count: int
    amount_minor: int
    tariff_id: int

    def due_on(self, index: int) -> date:
        """The due date of the run's fee ``index`` (from 0)."""
        return self.first_due + timedelta(days=index * self.period_days)


def _runs(
    device: DeviceAccount, tariffs: Mapping[int, Tariff], until_day: date, time_zone: ZoneInfo
) -> Iterator[_Run]:
    """The fees due by ``until_day`` as runs, oldest first.

    A stretch goes on over the phases that follow each other without a gap (another owner's time,
    or a time without an access rate) and have the same period; else another one begins.
    """
    first_day = date.min
    period_days = 0
    ends: datetime | None = None
    for phase in _phases(device, tariffs):
        rate = phase.access_rate
        if rate is None:
            continue
        if phase.begins != ends or rate.period_days != period_days:
            first_day = local_day(phase.begins, time_zone)
        period_days, ends = rate.period_days, phase.ends
        run = _run(phase, rate, first_day, until_day, time_zone)
        if run.count > 0:
            yield run


def _phases(device: DeviceAccount, tariffs: Mapping[int, Tariff]) -> Iterator[_Phase]:
    """The device's tenures, cut where their tariff's rate changes. Empty ones are left out."""
    for tenure in device.tenures:
        tariff = tariffs[tenure.tariff_id]
        changes = [r.effective_from for r in tariff.rates[1:] if _within(tenure, r.effective_from)]
        for begins, ends in pairwise([tenure.since, *changes, tenure.until]):
            if begins is not None and (ends is None or begins < ends):
                rate = tariff.rate_at(begins)
                yield _Phase(begins, ends, tenure.tariff_id, rate.access_rate)


def _within(tenure: Tenure, moment: datetime) -> bool:
    return tenure.since < moment and (tenure.until is None or moment < tenure.until)


def _run(
    phase: _Phase, rate: AccessRate, first_day: date, until_day: date, time_zone: ZoneInfo
) -> _Run:
    """The fees that fall on days which begin within the phase, counted from ``first_day``."""
    last_day = until_day
    if phase.ends is not None:
        last_day = min(last_day, first_day_from(phase.ends, time_zone) - timedelta(days=1))
    days_before = (first_day_from(phase.begins, time_zone) - first_day).days
    first_number = max(1, -(-days_before // rate.period_days))
    last_number = (last_day - first_day).days // rate.period_days
    return _Run(
        first_due=first_day + timedelta(days=first_number * rate.period_days),
        period_days=rate.period_days,
        count=max(0, last_number - first_number + 1),
        amount_minor=rate.amount_minor,
        tariff_id=phase.tariff_id,
    )
