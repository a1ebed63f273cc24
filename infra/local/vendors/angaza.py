"""Angaza: a solar home system that is told until when it is to run.

``PUT /unit_credit`` sets the wished state of a unit, and brings the keycode that puts the unit into
it: the same state once more is the same keycode, another is a new one. Keycodes come in groups;
among the vends they are listed as they are typed in, without dashes. ``GET /unit_credit`` tells the
present state, for whoever wants to look.
"""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass
from typing import Any

from infra.local.fakes.fake import (
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Answer,
    Done,
    Order,
    Request,
    Settings,
)
from infra.local.fakes.faults import Fault, Faults
from infra.local.fakes.reading import (
    MOMENT,
    OBJECT,
    TEXT,
    Field,
    Unacceptable,
    check,
    moment_of,
    read_object,
)
from infra.local.vendors.digits import Digits

UNKNOWN_UNIT_PREFIX = "00000"
"""Units whose number begins so are not known to the vendor."""

UNLOCKED = "UNLOCKED"

_UNIT_CREDIT = {"unit_number": TEXT, "state": OBJECT}
_STATE = {"desired": OBJECT}
_DESIRED = {
    "credit_until_dt": Field(
        f'"{UNLOCKED}" or {MOMENT.must_be}',
        lambda value: value == UNLOCKED or MOMENT.accepts(value),
    )
}


@dataclass(frozen=True)
class _Credit:
    """A unit's state, as it was wished for, and the keycode that puts the unit into it."""

    until: str
    keycode: str


class Angaza:
    """The vendor's server, as documented."""

    key = "angaza"
    own_faults: frozenset[Fault] = frozenset()

    def __init__(self, settings: Settings, faults: Faults) -> None:
        names = f"{settings['client_id']}:{settings['client_secret']}"
        self._authorization = f"Basic {base64.b64encode(names.encode()).decode()}"
        self._digits = Digits(12)
        self._units: dict[str, _Credit] = {}
        self._lock = threading.Lock()

    def read(self, request: Request) -> Order | Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        if request.path != "/unit_credit":
            return NOT_FOUND
        if request.headers.get("authorization") != self._authorization:
            return _failed("invalid credentials", 401)
        if request.method == "GET":
            return self._tell(request)
        if request.method != "PUT":
            return METHOD_NOT_ALLOWED
        try:
            fields = read_object(request, _UNIT_CREDIT)
            state = check(fields["state"], _STATE, "state")
            check(state["desired"], _DESIRED, "desired")
        except Unacceptable as error:
            return _failed(str(error), error.status)
        order = Order(fields["unit_number"], fields)
        if order.subject.startswith(UNKNOWN_UNIT_PREFIX):
            return self.refusal(order)
        return order

    def carry_out(self, order: Order) -> Done:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        until = order.request["state"]["desired"]["credit_until_dt"]
        with self._lock:
            credit = self._units.get(order.subject)
            if credit is None or not _is_same(credit.until, until):
                credit = _Credit(until, _grouped(self._digits.next()))
            self._units[order.subject] = credit
        return Done(Answer.of(_shown(order.subject, credit)), credit.keycode.replace("-", ""))

    def refusal(self, order: Order) -> Answer:
        """See :class:`~infra.local.fakes.fake.Fake`."""
        return _failed("unit not found", 404)

    def _tell(self, request: Request) -> Answer:
        """A unit's state."""
        if set(request.query) != {"unit_number"}:
            return _failed("unit_number is expected", 400)
        unit_number = request.query["unit_number"]
        if not unit_number or unit_number.startswith(UNKNOWN_UNIT_PREFIX):
            return _failed("unit not found", 404)
        with self._lock:
            return Answer.of(_shown(unit_number, self._units.get(unit_number)))


def _is_same(one: str, other: str) -> bool:
    """Whether two wished states are the same: a moment can be written in several ways."""
    if UNLOCKED in (one, other):
        return one == other
    return moment_of(one) == moment_of(other)


def _grouped(digits: str) -> str:
    return f"{digits[:4]}-{digits[4:8]}-{digits[8:]}"


def _shown(unit_number: str, credit: _Credit | None) -> dict[str, Any]:
    return {
        "unit_number": unit_number,
        "state": {"current": {"credit_until_dt": credit.until if credit else None}},
        "_embedded": {"latest_keycode": {"keycode": credit.keycode} if credit else None},
    }


def _failed(reason: str, status: int) -> Answer:
    """An error, as this vendor tells it."""
    return Answer.of({"context": {"reason": reason}}, status)
