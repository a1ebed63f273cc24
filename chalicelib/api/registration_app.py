"""The routes of the Customer Registration App (Android), in the app's own words.

The app parses with Gson: one value of another type makes it drop the whole answer. So ids are
integers here, a price is a whole number, a flag is 0 or 1; and since its pickers find a choice
again by its text, names are unique within each list. See docs/registration-app.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from chalicelib.api.auth import as_the_app_reads_it
from chalicelib.api.models import AppFormBody
from chalicelib.api.problems import Problem
from chalicelib.api.reading import whole_number
from chalicelib.api.routes import Answer, Call, Routes, created, ok
from chalicelib.services.field_registrations import Posted
from chalicelib.services.lists import all_of
from chalicelib.services.ports import Customer, FieldForm, Page, SiteKind
from chalicelib.services.staff import Role

routes = Routes()

FIELD = (Role.FIELD,)
PATH = "/customer-registration-app"
AT_ONCE = 1000
"""How many of a list are read at a time: the app reads the first answer only, so it gets all."""

PEOPLE_PER_PAGE = 15
COUNTRY_ID = 1
"""The app wants a country of every village; a deployment is of one company in one country."""


class Named(TypedDict):
    """Something that is picked by its name."""

    id: int
    name: str


class MeterTypeShape(TypedDict):
    """A meter type; the app shows ``60A 1P Offline``."""

    id: int
    online: Literal[0, 1]
    phase: int
    max_current: int


class AppTariffShape(TypedDict):
    """A tariff; ``price`` is rounded, for the app does not show it and takes whole numbers only."""

    id: int
    name: str
    price: int
    currency: str


class CityShape(TypedDict):
    """A village."""

    id: int
    name: str
    country_id: int


class SubConnectionTypeShape(TypedDict):
    """A kind of connection within a connection type."""

    id: int
    name: str
    connection_type_id: int


class AppCustomerShape(TypedDict):
    """A customer as the app keeps one. ``id`` is the row on the phone where it posted one."""

    id: int
    name: str
    surname: str
    phone: str
    city_id: int
    local: bool
    serial_number: NotRequired[str]
    manufacturer: NotRequired[int]
    meter_type: NotRequired[int]
    tariff_id: NotRequired[int]
    connection_group_id: NotRequired[int]
    connection_type_id: NotRequired[int]
    sub_connection_type_id: NotRequired[int]
    geo_points: NotRequired[str]
    person_id: NotRequired[str]
    device_id: NotRequired[str]
    registration_id: NotRequired[str]
    status: NotRequired[str]
    needs_review: NotRequired[Sequence[str]]


class LinkShape(TypedDict):
    """A link of the pages."""

    url: str | None
    label: str
    active: bool


PeopleShape = TypedDict(
    "PeopleShape",
    {
        "current_page": int,
        "data": Sequence[AppCustomerShape],
        "first_page_url": str,
        "from": int | None,
        "last_page": int,
        "last_page_url": str,
        "links": Sequence[LinkShape],
        "next_page_url": str | None,
        "path": str,
        "per_page": int,
        "prev_page_url": str | None,
        "to": int | None,
        "total": int,
    },
)
"""One page of customers. Written as a call, because ``from`` is a word of the language."""


CONNECTION_GROUPS = (Named(id=1, name="Default"),)
CONNECTION_TYPES = (
    Named(id=1, name="Household"),
    Named(id=2, name="Business"),
    Named(id=3, name="Public"),
)
SUB_CONNECTION_TYPES = tuple(
    SubConnectionTypeShape(id=kind["id"], name=kind["name"], connection_type_id=kind["id"])
    for kind in CONNECTION_TYPES
)
METER_TYPES = (
    MeterTypeShape(id=1, online=0, phase=1, max_current=60),
    MeterTypeShape(id=2, online=1, phase=1, max_current=60),
    MeterTypeShape(id=3, online=0, phase=3, max_current=100),
    MeterTypeShape(id=4, online=1, phase=3, max_current=100),
)
"""The app's form insists on a choice from each of these lists. Prices and tokens depend on none
of them here, so they are the same for every company; what was chosen is kept."""


def _as_the_app_shows_it(problem: Problem) -> Mapping[str, Any]:
    """The problem with its texts where the app looks for them.

    What is not under ``errors`` by field, it shows as "Internal Server Error".
    """
    by_field: dict[str, list[str]] = {}
    for error in problem["errors"]:
        by_field.setdefault(error["field"], []).append(error["message"])
    errors = by_field or {problem["code"]: [problem["detail"]]}
    return {**as_the_app_reads_it(problem), "errors": errors}


def _declare(
    path: str, shape: Any, name: str, says: str, items: Callable[[Call[None]], Any]
) -> None:
    """Declare the route of one list."""

    def handler(call: Call[None]) -> Answer:
        return ok({"data": list(items(call))})

    handler.__name__, handler.__doc__ = f"app_{name}", says
    routes.route(
        "GET",
        f"{PATH}/{path}",
        roles=FIELD,
        answers={200: dict[str, list[shape]]},
        problem=_as_the_app_shows_it,
    )(handler)


def _manufacturers(call: Call[None]) -> Iterator[Named]:
    for maker in call.wiring.manufacturers.all():
        yield Named(id=maker.manufacturer_id, name=maker.name)


def _tariffs(call: Call[None]) -> Iterator[AppTariffShape]:
    settings = call.wiring.catalogue.settings()
    minor_per_major = 10**settings.currency_decimals
    now = call.wiring.clock.now()
    for tariff in all_of(call.wiring.keep_tariffs.list, AT_ONCE):
        price_minor = tariff.rate_at(now).price_minor
        yield AppTariffShape(
            id=tariff.tariff_id,
            name=tariff.name,
            price=math.floor(price_minor / minor_per_major + Fraction(1, 2)),
            currency=settings.currency,
        )


def _cities(call: Call[None]) -> Iterator[CityShape]:
    def villages(limit: int, cursor: str | None) -> Page[Any]:
        return call.wiring.keep_sites.list(SiteKind.VILLAGE, limit, cursor)

    for village in all_of(villages, AT_ONCE):
        yield CityShape(id=village.site_id, name=village.name, country_id=COUNTRY_ID)


for _path, _shape, _says, _items in (
    ("manufacturers", Named, "List the manufacturers, for the app.", _manufacturers),
    ("meter-types", MeterTypeShape, "List the meter types, for the app.", lambda _: METER_TYPES),
    ("tariffs", AppTariffShape, "List the tariffs, for the app.", _tariffs),
    ("cities", CityShape, "List the villages, for the app.", _cities),
    (
        "connection-groups",
        Named,
        "List the connection groups, for the app.",
        lambda _: CONNECTION_GROUPS,
    ),
    (
        "connection-types",
        Named,
        "List the connection types, for the app.",
        lambda _: CONNECTION_TYPES,
    ),
    (
        "sub-connection-types",
        SubConnectionTypeShape,
        "List the sub connection types, for the app.",
        lambda _: SUB_CONNECTION_TYPES,
    ),
):
    _declare(_path, _shape, _path.replace("-", "_"), _says, _items)


@routes.route(
    "GET",
    f"{PATH}/people",
    roles=FIELD,
    query=("page",),
    answers={200: PeopleShape},
    problem=_as_the_app_shows_it,
)
def app_people(call: Call[None]) -> Answer:
    """List the customers, for the app: a page of them, newest first."""
    page = max(1, whole_number(call.query.get("page", "")) or 1)
    people, total = call.wiring.keep_customers.numbered(page, PEOPLE_PER_PAGE)
    last_page = max(1, -(-total // PEOPLE_PER_PAGE))
    return ok(
        {
            "current_page": page,
            "data": [_person(person) for person in people],
            "first_page_url": _page_url(1),
            "from": (page - 1) * PEOPLE_PER_PAGE + 1 if people else None,
            "last_page": last_page,
            "last_page_url": _page_url(last_page),
            "links": _links(page, last_page),
            "next_page_url": _page_url(page + 1) if page < last_page else None,
            "path": _people_path(),
            "per_page": PEOPLE_PER_PAGE,
            "prev_page_url": _page_url(page - 1) if page > 1 else None,
            "to": (page - 1) * PEOPLE_PER_PAGE + len(people) if people else None,
            "total": total,
        }
    )


def _person(person: Customer) -> AppCustomerShape:
    return AppCustomerShape(
        id=person.number,
        name=person.name,
        surname=person.surname,
        phone=person.phone,
        city_id=person.village_id,
        local=False,
    )


def _links(page: int, last_page: int) -> list[LinkShape]:
    """Back, where we are, on: with thousands of pages nobody wants them all."""
    return [
        LinkShape(url=_page_url(page - 1) if page > 1 else None, label="Previous", active=False),
        LinkShape(url=_page_url(page), label=str(page), active=True),
        LinkShape(
            url=_page_url(page + 1) if page < last_page else None, label="Next", active=False
        ),
    ]


def _people_path() -> str:
    return f"/api{PATH}/people"


def _page_url(page: int) -> str:
    return f"{_people_path()}?page={page}"


@routes.route(
    "POST",
    PATH,
    roles=FIELD,
    body=AppFormBody,
    answers={201: dict[str, AppCustomerShape], 200: dict[str, AppCustomerShape]},
    problem=_as_the_app_shows_it,
    problems=("meter_registration_requires_app",),
)
def app_register(call: Call[AppFormBody]) -> Answer:
    """Take in a registration of the app; what cannot be registered now is kept for a review.

    The same row again is answered with what is stored.
    """
    body = call.body
    posted = call.wiring.from_field.post(
        FieldForm(
            name=body.name,
            surname=body.surname,
            phone=body.phone,
            village_id=body.city_id,
            serial_number=body.serial_number,
            manufacturer_id=body.manufacturer,
            tariff_id=body.tariff_id,
            meter_type_id=body.meter_type,
            connection_group_id=body.connection_group_id,
            connection_type_id=body.connection_type_id,
            sub_connection_type_id=body.sub_connection_type_id,
            geo_points=body.geo_points,
        ),
        actor=call.actor,
        in_the_field=call.in_the_field,
    )
    answer = {"data": _registered(posted, body)}
    return ok(answer) if posted.repeated else created(answer)


def _registered(posted: Posted, body: AppFormBody) -> dict[str, Any]:
    """What is stored, in the app's words; nothing that is not there, for Gson reads no nulls.

    The app deletes the row on the phone whose id it finds here, so it gets back the one it sent.
    """
    registration = posted.registration
    form = registration.form
    local_id = body.id if isinstance(body.id, int) and not isinstance(body.id, bool) else 0
    told = {
        "id": local_id,
        "name": form.name,
        "surname": form.surname,
        "phone": form.phone,
        "serial_number": registration.serial_number or form.serial_number,
        "tariff_id": form.tariff_id,
        "city_id": form.village_id,
        "connection_group_id": form.connection_group_id,
        "connection_type_id": form.connection_type_id,
        "sub_connection_type_id": form.sub_connection_type_id,
        "geo_points": form.geo_points,
        "manufacturer": form.manufacturer_id,
        "meter_type": form.meter_type_id,
        "local": body.local is True,
        "person_id": registration.customer_id,
        "device_id": registration.serial_number,
        "registration_id": registration.registration_id,
        "status": registration.status.value,
        "needs_review": list(registration.reasons),
    }
    return {name: value for name, value in told.items() if value is not None}
