"""Sync tariffs: a manufacturer that keeps tariffs of its own is told ours.

What a customer pays is ours alone; the manufacturer shows its price on receipts and displays. It is
told by hand, after tariffs were changed, and may be told again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from chalicelib.domain.money import format_units
from chalicelib.domain.tariff import Tariff
from chalicelib.services.ports import (
    Catalogue,
    Clock,
    Journal,
    Manufacturers,
    SecretMissing,
    TariffKept,
    Tariffs,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
    keeps_tariffs,
)

PAGE = 100


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of it. ``code`` is ``ok``, or says what is wrong; ``kept`` by tariff name."""

    code: str
    detail: str = ""
    kept: Mapping[str, TariffKept] = field(default_factory=dict)


class SyncTariffs:
    """Tells manufacturers our tariffs."""

    def __init__(
        self,
        *,
        tariffs: Tariffs,
        catalogue: Catalogue,
        manufacturers: Manufacturers,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._tariffs = tariffs
        self._catalogue = catalogue
        self._manufacturers = manufacturers
        self._clock = clock
        self._journal = journal

    def sync(self, key: str) -> Synced:
        """Tell the manufacturer of that key; nothing is raised, whatever comes of it.

        Where it fails half-way, the next time goes on: what is there already stays as it is.
        """
        synced = self._synced(key)
        self._journal.event("tariffs_synced", manufacturer=key, code=synced.code)
        return synced

    def _synced(self, key: str) -> Synced:
        try:
            module = self._manufacturers.get(key)
        except KeyError:
            return Synced("unknown_manufacturer", "there is none of that key")
        if not keeps_tariffs(module):
            return Synced("not_offered", "it keeps no tariffs")
        try:
            kept = module.keep_tariffs(dict(self._prices()))
        except SecretMissing as missing:
            return Synced("secret_missing", missing.detail)
        except (VendRefused, VendorUnreachable, VendUncertain) as failed:
            return Synced(failed.code, failed.detail)
        return Synced("ok", kept=kept)

    def _prices(self) -> Iterator[tuple[str, str]]:
        """Each tariff's name, and the price of a kWh now: a decimal text in major units."""
        minor_units = 10 ** self._catalogue.settings().currency_decimals
        for tariff in self._all():
            price_minor = tariff.rate_at(self._clock.now()).price_minor
            yield tariff.name, format_units(Fraction(price_minor) / minor_units)

    def _all(self) -> Iterator[Tariff]:
        cursor: str | None = None
        while True:
            page = self._tariffs.list(PAGE, cursor)
            yield from page.items
            cursor = page.next
            if cursor is None:
                return
