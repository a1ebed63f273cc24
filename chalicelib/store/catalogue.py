"""Reference data that every payment needs, kept in the process for up to 30 seconds.

A tariff change takes effect no earlier than 60 seconds after it is made, so a price that is 30
seconds old is never a stale price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from chalicelib.domain.tariff import Tariff
from chalicelib.services.ports import Clock, Pauses, PausesStore, Settings, SettingsStore
from chalicelib.store.dynamodb import find_all
from chalicelib.store.models import TariffRow

KEPT_FOR = timedelta(seconds=30)


class DynamoCatalogue:
    """The port ``Catalogue`` on DynamoDB."""

    def __init__(
        self, settings_store: SettingsStore, pauses_store: PausesStore, clock: Clock
    ) -> None:
        self._settings_store = settings_store
        self._pauses_store = pauses_store
        self._clock = clock
        self._settings: tuple[datetime, Settings] | None = None
        self._pauses: tuple[datetime, Pauses] | None = None
        self._tariffs: dict[int, tuple[datetime, Tariff]] = {}

    def settings(self) -> Settings:
        """The company's settings.

        Raises:
            TryAgain: they are not known here and cannot be read now.
        """
        now = self._clock.now()
        if self._settings is None or now - self._settings[0] >= KEPT_FOR:
            self._settings = (now, self._settings_store.get())
        return self._settings[1]

    def pauses(self) -> Pauses:
        """What is paused.

        Raises:
            TryAgain: it is not known here and cannot be read now.
        """
        now = self._clock.now()
        if self._pauses is None or now - self._pauses[0] >= KEPT_FOR:
            self._pauses = (now, self._pauses_store.get())
        return self._pauses[1]

    def tariffs(self, tariff_ids: Iterable[int]) -> Mapping[int, Tariff]:
        """Those tariffs with their histories; unknown ids are left out, and not remembered.

        Raises:
            TryAgain: some are not known here and cannot be read now.
        """
        now = self._clock.now()
        wanted = sorted(set(tariff_ids))
        old = [key for key in wanted if not self._is_fresh(key, now)]
        for (_, key), row in find_all(*((TariffRow, key) for key in old)).items():
            self._tariffs[key] = (now, row.value())
        return {key: self._tariffs[key][1] for key in wanted if self._is_fresh(key, now)}

    def _is_fresh(self, tariff_id: int, now: datetime) -> bool:
        kept = self._tariffs.get(tariff_id)
        return kept is not None and now - kept[0] < KEPT_FOR

    def forget(self) -> None:
        """Read everything anew. For tests."""
        self._settings = None
        self._pauses = None
        self._tariffs.clear()
