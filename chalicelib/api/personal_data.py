"""What is kept about one person, its erasure, and who changed what."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.api.models import ErasureBody
from chalicelib.api.routes import LIST, Answer, Call, Routes, accepted, listed, ok
from chalicelib.api.shapes import (
    ChangedShape,
    ErasureShape,
    Listed,
    PersonalDataShape,
    change,
    change_by_entry,
    erasure,
)
from chalicelib.domain.errors import FieldError
from chalicelib.domain.serial import normalise_serial
from chalicelib.services import changes
from chalicelib.services.ports import SiteKind
from chalicelib.services.staff import Role

routes = Routes()

ADMIN = (Role.ADMIN,)
WATCHERS = (Role.OPERATIONS, Role.FINANCE)

_CUSTOMER_ID = re.compile(r"C[0-9]{1,15}")


@routes.route(
    "GET",
    "/customers/{customer_id}/personal-data",
    roles=ADMIN,
    query=LIST,
    answers={200: PersonalDataShape},
)
def show_personal_data(call: Call[None]) -> Answer:
    """Show everything that is kept about a customer; that it was taken is kept too."""
    told = call.wiring.tell_personal_data.of(
        call.path["customer_id"], call.limit, call.cursor, actor=call.actor
    )
    return ok(call.shapes.personal_data(told))


@routes.route(
    "POST",
    "/customers/{customer_id}/erasure",
    roles=ADMIN,
    body=ErasureBody,
    answers={202: ErasureShape, 200: ErasureShape},
    problems=("not_erasable", "version_conflict"),
)
def erase_customer(call: Call[ErasureBody]) -> Answer:
    """Forget who a customer was; payments and books stay. Said again: how far it is."""
    customer = call.wiring.erase_customers.erase(
        call.path["customer_id"], reason=call.body.reason, actor=call.actor
    )
    shape = erasure(customer)
    return accepted(shape) if shape["state"] == "under_way" else ok(shape)


@routes.route(
    "GET",
    "/changes",
    roles=WATCHERS,
    query=(
        "customer_id",
        "account",
        "serial_number",
        "tariff_id",
        "appliance_id",
        "cluster_id",
        "mini_grid_id",
        "village_id",
        *LIST,
    ),
    answers={200: Listed[ChangedShape]},
)
def list_changes(call: Call[None]) -> Answer:
    """List who changed one thing, the newest first; ``account``: the entries of a customer's."""
    name = _asked(call)
    if name == "account":
        customer_id = _customer_id(call, name)
        page = call.wiring.list_changes.of_account(customer_id, call.limit, call.cursor)
        return listed(page, change_by_entry)
    subject = _SUBJECTS[name](call, name)
    return listed(call.wiring.list_changes.of(subject, call.limit, call.cursor), change)


def _asked(call: Call[None]) -> str:
    """Which one thing is asked about."""
    given = [name for name in (*_SUBJECTS, "account") if name in call.query]
    if len(given) != 1:
        wrong = given[1] if given else "customer_id"
        raise FieldError(wrong, f"give one of {', '.join((*_SUBJECTS, 'account'))}")
    return given[0]


def _customer_id(call: Call[None], name: str) -> str:
    customer_id = call.query[name]
    if _CUSTOMER_ID.fullmatch(customer_id) is None:
        raise FieldError(name, "must be the id of a customer, such as C17")
    return customer_id


def _number(call: Call[None], name: str) -> int:
    number = call.queried_number(name)
    assert number is not None  # noqa: S101 - it is in the query
    return number


def _site(kind: SiteKind) -> Callable[[Call[None], str], str]:
    return lambda call, name: changes.of_site(kind, _number(call, name))


_SUBJECTS: Mapping[str, Callable[[Call[Any], str], str]] = {
    "customer_id": lambda call, name: changes.of_customer(_customer_id(call, name)),
    "serial_number": lambda call, name: changes.of_device(normalise_serial(call.query[name])),
    "tariff_id": lambda call, name: changes.of_tariff(_number(call, name)),
    "appliance_id": lambda call, name: changes.of_appliance(_number(call, name)),
    "cluster_id": _site(SiteKind.CLUSTER),
    "mini_grid_id": _site(SiteKind.MINI_GRID),
    "village_id": _site(SiteKind.VILLAGE),
}
"""What may be asked about, each by the name of its value in the query."""
