"""Keep the company's settings: who it is, its money, its calendar, its choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from chalicelib.domain.allocation import OwnArrears
from chalicelib.domain.errors import FieldError
from chalicelib.domain.money import Currency, parse_amount
from chalicelib.services.currencies import currency_of
from chalicelib.services.names import clean_name
from chalicelib.services.ports import (
    Clock,
    Journal,
    Page,
    Settings,
    SettingsChange,
    SettingsStore,
)

LANGUAGES = ("en", "sw", "fr", "pt")
"""The languages of the SMS."""

MAXIMUM_AMOUNT_MINOR_MAX = 10**15
"""Far above any payment, and small enough for every reader of our JSON."""

_FIXED = "cannot change any more: payments were made in it"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the company wants. ``maximum_amount`` and ``confirm_above`` are in major units of
    ``currency``; without the first, the largest payment stays what it is by default; without the
    second, no payment waits for a confirmation."""

    company: str
    country: str
    currency: str
    time_zone: str
    languages: tuple[str, ...] = ("en",)
    own_arrears: OwnArrears = OwnArrears.DEBT
    grace_days: int = 0
    late_payment_hours: int = 72
    refund_after_minutes: int = 15
    maximum_amount: object = None
    confirm_above: object = None


class KeepCompany:
    """Shows and replaces the settings. A change is in force everywhere within 30 seconds."""

    def __init__(self, *, settings_store: SettingsStore, clock: Clock, journal: Journal) -> None:
        self._settings_store = settings_store
        self._clock = clock
        self._journal = journal

    def settings(self) -> Settings:
        """The settings as they are stored."""
        return self._settings_store.get()

    def replace(self, choices: Choices, actor: str) -> Settings:
        """Replace the settings, and keep who changed what. What changes nothing is
        not kept, but for the very first time: from then on it is known who chose it.

        Raises:
            FieldError: a choice is not one of those there are; or it is ``currency`` or
                ``time_zone`` and a payment exists, whose sum and day would change their meaning.
            VersionConflict: somebody else changed them first.
        """
        currency = _checked_currency(choices.currency)
        before = self._settings_store.get()
        after = Settings(
            company=clean_name(choices.company, "company"),
            country=_checked_country(choices.country),
            currency=currency.code,
            currency_decimals=currency.decimals,
            time_zone=_checked_time_zone(choices.time_zone),
            languages=_checked_languages(choices.languages),
            own_arrears=choices.own_arrears,
            grace_days=choices.grace_days,
            late_payment_hours=choices.late_payment_hours,
            refund_after_minutes=choices.refund_after_minutes,
            maximum_amount_minor=_checked_maximum(choices.maximum_amount, currency),
            confirm_above_minor=_checked_confirm_above(choices.confirm_above, currency),
            revision=before.revision,
        )
        self._refuse_fixed(before, after)
        changes = _changes(before, after)
        if before.revision and not changes:
            return before
        change = SettingsChange(before.revision + 1, self._clock.now(), actor, changes)
        saved = self._settings_store.save(after, change)
        self._journal.event("settings_changed", actor=actor, revision=saved.revision)
        return saved

    def changes(self, limit: int, cursor: str | None) -> Page[SettingsChange]:
        """Who changed what, the newest first.

        Raises:
            InvalidCursor: see there.
        """
        return self._settings_store.changes(limit, cursor)

    def _refuse_fixed(self, before: Settings, after: Settings) -> None:
        same_money = before.currency == after.currency
        if same_money and before.time_zone == after.time_zone:
            return
        if self._settings_store.money_is_fixed():
            raise FieldError("time_zone" if same_money else "currency", _FIXED)


def _changes(before: Settings, after: Settings) -> Mapping[str, Any]:
    """The fields that differ, each with what it was and what it is to be."""
    told = {
        field.name: (_plain(getattr(before, field.name)), _plain(getattr(after, field.name)))
        for field in fields(Settings)
        if field.name != "revision"
    }
    return {name: {"before": old, "after": new} for name, (old, new) in told.items() if old != new}


def _plain(value: object) -> object:
    """A setting as it is stored in the record of changes."""
    if isinstance(value, OwnArrears):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _checked_currency(code: str) -> Currency:
    currency = currency_of(code)
    if currency is None:
        raise FieldError("currency", "must be a currency's three letters, such as KES")
    return currency


def _checked_country(code: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS

    if code not in SUPPORTED_REGIONS:
        raise FieldError("country", "must be a country's two letters, such as KE")
    return code


def _checked_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise FieldError("time_zone", "must be a name such as Africa/Nairobi") from None
    return name


def _checked_languages(languages: tuple[str, ...]) -> tuple[str, ...]:
    if not languages or len(set(languages)) != len(languages) or set(languages) - set(LANGUAGES):
        raise FieldError("languages", f"must be one or more of {', '.join(LANGUAGES)}")
    return languages


def _checked_maximum(text: object, currency: Currency) -> int:
    if text is None:
        return Settings().maximum_amount_minor
    return parse_amount(text, currency, MAXIMUM_AMOUNT_MINOR_MAX, "maximum_amount")


def _checked_confirm_above(text: object, currency: Currency) -> int | None:
    if text is None:
        return None
    return parse_amount(text, currency, MAXIMUM_AMOUNT_MINOR_MAX, "confirm_above")
