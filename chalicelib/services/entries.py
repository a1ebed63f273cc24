"""Entries: every change of an account that is not a payment, in the words of the books.

An entry says what it did to the account as the books post it, so that the proof of the books
needs nothing but payments and entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line, LineKind
from chalicelib.domain.books import CarryChange, ChangedPlan, OpenedPlan, Posting
from chalicelib.domain.money import parse_fraction
from chalicelib.domain.plan import Plan
from chalicelib.services.ports import Entry


@dataclass(frozen=True, slots=True)
class Act:
    """Who did something to an account, when, and why."""

    actor: str
    at: datetime
    reason: str


def entry_of(
    act: Act,
    account: Account,
    what: str,
    *,
    opened: Plan | None = None,
    changed: Plan | None = None,
    closed: Sequence[str] = (),
    lines: Sequence[Line] = (),
    carries: Sequence[CarryChange] = (),
    dropped: Sequence[str] = (),
    moved: tuple[str, str] | None = None,
    **told: object,
) -> Entry:
    """The entry that made this version of the account.

    ``opened``, ``changed``, ``closed``, ``lines``, ``carries``, ``dropped`` and ``moved`` (from
    one serial number to another) are what the books post; ``told`` is for people.
    """
    changes: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    if opened is not None:
        changes["opened"] = _terms(opened)
    if changed is not None:
        changes["changed"] = _terms(changed)
    if closed:
        changes["closed"] = list(closed)
    if lines:
        changes["lines"] = [_line(line) for line in lines]
    if carries:
        changes["carries"] = [
            {"serial_number": c.serial_number, "amount_minor": str(c.amount_minor)} for c in carries
        ]
    if dropped:
        changes["dropped"] = list(dropped)
    if moved:
        changes["moved"] = list(moved)
    return Entry(
        customer_id=account.customer_id,
        account_version=account.version,
        what=what,
        at=act.at,
        actor=act.actor,
        reason=act.reason,
        changes=changes,
    )


def posting_of(entry: Entry) -> Posting:
    """What the entry posted, as it was stored."""
    changes = entry.changes
    opened, changed = changes.get("opened"), changes.get("changed")
    return Posting(
        source=f"{entry.what} {entry.account_version}",
        version=entry.account_version,
        lines=tuple(
            Line(LineKind(line["kind"]), line["ref"], line["amount_minor"])
            for line in changes.get("lines", ())
        ),
        carries=tuple(
            CarryChange(carry["serial_number"], parse_fraction(carry["amount_minor"]))
            for carry in changes.get("carries", ())
        ),
        opened=(_opened_plan(opened),) if opened else (),
        changed=(ChangedPlan(changed["plan_id"], changed["total_minor"]),) if changed else (),
        closed=tuple(changes.get("closed", ())),
        dropped=tuple(changes.get("dropped", ())),
        moved=_moved(changes.get("moved")),
    )


def _terms(plan: Plan) -> Mapping[str, Any]:
    """The terms of a sale, or the new ones of a plan."""
    return {
        "plan_id": plan.plan_id,
        "serial_number": plan.serial_number,
        "name": plan.name,
        "total_minor": plan.total_minor,
        "down_payment_minor": plan.down_payment_minor,
        "already_paid_minor": plan.already_paid_minor,
        "instalments": plan.instalments,
        "instalment_minor": plan.instalment_minor,
        "every": plan.every.value,
        "first_due": plan.first_due,
        "sold_at": plan.sold_at,
    }


def _opened_plan(opened: Mapping[str, Any]) -> OpenedPlan:
    return OpenedPlan(
        plan_id=opened["plan_id"],
        serial_number=opened["serial_number"],
        total_minor=opened["total_minor"],
        already_paid_minor=opened["already_paid_minor"],
    )


def _moved(moved: Sequence[str] | None) -> tuple[str, str] | None:
    if moved is None:
        return None
    from_serial, to_serial = moved
    return from_serial, to_serial


def _line(line: Line) -> Mapping[str, Any]:
    return {"kind": line.kind.value, "ref": line.ref, "amount_minor": line.amount_minor}
