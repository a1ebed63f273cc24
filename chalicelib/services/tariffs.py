"""Keep the tariffs: a price per kWh and, optionally, an access rate, with their history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.tariff import AccessRate, Rate, Tariff
from chalicelib.services.changes import change_of, differences, of_tariff
from chalicelib.services.entries import Act
from chalicelib.services.names import clean_name
from chalicelib.services.ports import Change, Clock, Page, Tariffs

NOTICE = timedelta(seconds=60)
"""A change takes effect no earlier than this after it is made: prices are cached for 30 seconds,
so no payment meets a stale one."""


class TariffNotFound(MwangaError):
    """There is no such tariff."""

    code = "not_found"


@dataclass(frozen=True, slots=True)
class TariffTerms:
    """What a tariff is to be. ``effective_from`` is left to the rules where it is ``None``."""

    name: str
    price_minor: Fraction
    access_rate: AccessRate | None = None
    minimum_purchase_minor: int = 0
    effective_from: datetime | None = None


class KeepTariffs:
    """Makes and changes tariffs. None is ever deleted, and no rate that was in force changes."""

    def __init__(self, *, tariffs: Tariffs, clock: Clock) -> None:
        self._tariffs = tariffs
        self._clock = clock

    def create(self, terms: TariffTerms, *, actor: str) -> Tariff:
        """A new tariff, in force at once: nobody can have met another price of it.

        Raises:
            FieldError: on ``name``, or on ``effective_from``: it lies in the past.
            NameTaken: see there.
        """
        now = self._clock.now()
        if terms.effective_from is not None and terms.effective_from < now:
            raise FieldError("effective_from", "must not be in the past")
        name, rate = clean_name(terms.name), _rate(terms, terms.effective_from or now)
        return self._tariffs.create(
            name,
            rate,
            lambda tariff_id: self._change(None, Tariff(tariff_id, name, (rate,)), actor),
        )

    def get(self, tariff_id: int) -> Tariff:
        """The tariff of that id.

        Raises:
            TariffNotFound: see there.
        """
        tariff = self._tariffs.get(tariff_id)
        if tariff is None:
            raise TariffNotFound(f"there is no tariff {tariff_id}")
        return tariff

    def list(self, limit: int, cursor: str | None) -> Page[Tariff]:
        """The tariffs.

        Raises:
            InvalidCursor: see there.
        """
        return self._tariffs.list(limit, cursor)

    def replace(self, tariff_id: int, terms: TariffTerms, *, actor: str) -> Tariff:
        """Let other terms take effect, 60 seconds from now or later; the name changes at once.

        Changes that were to take effect at that time or after it are replaced by this one.

        Raises:
            FieldError: on ``name``, or on ``effective_from``: it is too early.
            TariffNotFound, NameTaken, VersionConflict: see there.
        """
        name = clean_name(terms.name)
        before = self.get(tariff_id)
        now = self._clock.now()
        earliest = now + NOTICE
        effective_from = terms.effective_from or earliest
        if effective_from < earliest:
            raise FieldError("effective_from", "must be at least 60 seconds from now")
        history = _until(effective_from, before, now)
        after = replace(before, name=name, rates=(*history, _rate(terms, effective_from)))
        self._tariffs.update(before, after, self._change(before, after, actor))
        return after

    def _change(self, before: Tariff | None, after: Tariff, actor: str) -> Change:
        act = Act(actor, self._clock.now(), "")
        what = "tariff_made" if before is None else "tariff_changed"
        told = differences(before, after)
        return change_of(act, of_tariff(after.tariff_id), what, told)


def _until(moment: datetime, tariff: Tariff, now: datetime) -> tuple[Rate, ...]:
    """The rates that hold before ``moment``.

    The first rate covers the time before it too: where even that one was to begin later, it has
    been in force all along, and goes on until then.
    """
    first, *later = tariff.rates
    if first.effective_from >= moment:
        return (replace(first, effective_from=now),)
    return (first, *(rate for rate in later if rate.effective_from < moment))


def _rate(terms: TariffTerms, effective_from: datetime) -> Rate:
    return Rate(
        effective_from=effective_from,
        price_minor=terms.price_minor,
        access_rate=terms.access_rate,
        minimum_purchase_minor=terms.minimum_purchase_minor,
    )
