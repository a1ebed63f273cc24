"""Changes: who changed what, when and why, of all that is no account.

What changes an account is an entry, with actor and reason; a payment has its events; the company's
settings and the terms of agents have records of their own. The rest stands here: customers,
devices, tariffs, appliances and sites. A change is written in one transaction with what it tells
of, so neither is ever without the other.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from chalicelib.services.entries import Act
from chalicelib.services.ports import Change, Changes, Entry, Page, SiteKind

HIDDEN = "hidden"
"""In the place of personal data: that it changed is told, and nothing that an erasure would have
to look for."""

_PERSONAL = frozenset({"name", "surname", "phone"})
_SECRET = frozenset({"technical"})
_INNER = frozenset({"revision", "erased_at", "erasure_finished_at", "switch_off_at"})


def of_customer(customer_id: str) -> str:
    """A customer, as the subject of changes."""
    return f"customer#{customer_id}"


def of_device(serial_number: str) -> str:
    """A device, as the subject of changes."""
    return f"device#{serial_number}"


def of_tariff(tariff_id: int) -> str:
    """A tariff, as the subject of changes."""
    return f"tariff#{tariff_id}"


def of_appliance(appliance_id: int) -> str:
    """An appliance, as the subject of changes."""
    return f"appliance#{appliance_id}"


def of_site(kind: SiteKind, site_id: int) -> str:
    """A cluster, mini-grid or village, as the subject of changes."""
    return f"{kind.value}#{site_id}"


def change_of(
    act: Act, subject: str, what: str, fields: Mapping[str, Mapping[str, Any]] | None = None
) -> Change:
    """What somebody did to a thing. Two of one moment are told apart by chance."""
    return Change(
        subject=subject,
        change_id=f"{_ordered(act.at)}#{secrets.token_hex(4)}",
        at=act.at,
        actor=act.actor,
        what=what,
        reason=act.reason,
        fields=fields or {},
    )


def change_by_entry(entry: Entry, serial_number: str) -> Change:
    """What an entry did to a device that was written with it, so that a device's changes stand in
    one place whoever owned it."""
    account = f"{entry.customer_id}.{entry.account_version}"
    return Change(
        subject=of_device(serial_number),
        change_id=f"{_ordered(entry.at)}#{account}",
        at=entry.at,
        actor=entry.actor,
        what=entry.what,
        reason=entry.reason,
        fields={"entry": {"before": None, "after": account}},
    )


def differences(before: Any, after: Any, hide: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The fields in which two values of one kind differ; ``before`` ``None``: it is new.

    Of the fields to ``hide`` it is told only that they differ.
    """
    told: dict[str, Any] = {}
    for field in dataclasses.fields(after):
        old = getattr(before, field.name) if before is not None else None
        new = getattr(after, field.name)
        if old == new or field.name in _INNER:
            continue
        if field.name in hide:
            old, new = (HIDDEN if value else None for value in (old, new))
        told[field.name] = {"before": _plain(old), "after": _plain(new)}
    return told


def personal_differences(before: Any, after: Any) -> dict[str, Any]:
    """The same for a customer: names and phones are hidden."""
    return differences(before, after, _PERSONAL)


def technical_differences(before: Any, after: Any) -> dict[str, Any]:
    """The same for a device: what its manufacturer needs is hidden."""
    return differences(before, after, _SECRET)


class ListChanges:
    """Answers who changed something."""

    def __init__(self, *, changes: Changes) -> None:
        self._changes = changes

    def of(self, subject: str, limit: int, cursor: str | None) -> Page[Change]:
        """The changes of a thing, the newest first.

        Raises:
            InvalidCursor: see there.
        """
        return self._changes.of(subject, limit, cursor)

    def of_account(self, customer_id: str, limit: int, cursor: str | None) -> Page[Entry]:
        """The entries of an account, the newest first.

        Raises:
            InvalidCursor: see there.
        """
        return self._changes.of_account(customer_id, limit, cursor)


def _ordered(at: datetime) -> str:
    """The moment in a form that sorts as time does."""
    return at.isoformat(timespec="microseconds")


def _plain(value: Any) -> Any:
    """A value as a change stores it: texts, whole numbers, lists and documents."""
    match value:
        case Enum():
            return value.value
        case tuple():
            return [_plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        case _:
            return value
