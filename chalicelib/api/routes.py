"""Routes as data: who may call what, what it takes and what it answers.

A handler is a function from a ``Call`` to an ``Answer``: it reads texts into exact values, calls
one service, and presents what comes back. Nothing here knows Chalice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from chalicelib.api.amounts import Amounts
from chalicelib.api.problems import Problem
from chalicelib.api.reading import whole_number
from chalicelib.api.shapes import Listed, Shapes
from chalicelib.channels.interface import Described, NotFound
from chalicelib.domain.errors import FieldError
from chalicelib.services.ports import Page, Session
from chalicelib.services.staff import Role

if TYPE_CHECKING:
    from pydantic import BaseModel

    from chalicelib.wiring import Wiring

Body = TypeVar("Body")
T = TypeVar("T")

LIMIT, LIMIT_MAX = 50, 100
"""How many items a part of a list has, and may have."""

STAFF = tuple(Role)
"""Whoever may log in."""

_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY_RULE = "1 to 64 of A-Z a-z 0-9 . _ -"


@dataclass(frozen=True)
class Call(Generic[Body]):
    """One request, checked as far as its route says: the caller, the body, who may do this.

    ``path`` and ``query`` hold decoded texts; ``headers`` have names in lower case. ``raw`` is
    the body as it came and ``source_address`` where it came from, for callers who sign;
    ``sent_path`` is the path as it was sent, with everything in front of ours.
    """

    wiring: Wiring
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Body
    session: Session | None = None
    raw: bytes = b""
    source_address: str = ""
    sent_path: str = ""

    @property
    def actor(self) -> str:
        """Who does it, for the account's entries and the journal."""
        return self.session.email if self.session else ""

    @property
    def username(self) -> str:
        """Who does it, under a name that stays when the e-mail changes."""
        return self.session.username if self.session else ""

    @property
    def in_the_field(self) -> bool:
        """Whether the caller is field staff."""
        return self.session is not None and Role.FIELD in self.session.roles

    @property
    def is_admin(self) -> bool:
        """Whether the caller is an admin."""
        return self.session is not None and Role.ADMIN in self.session.roles

    @property
    def bearer_token(self) -> str:
        """The token of the session, as it was sent; empty where there is none."""
        kind, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    @cached_property
    def amounts(self) -> Amounts:
        """Reads amounts of the company's currency."""
        return Amounts(self.wiring.catalogue.settings())

    @cached_property
    def shapes(self) -> Shapes:
        """Presents in the company's currency and calendar, as of now."""
        return Shapes(self.wiring.catalogue.settings(), self.wiring.clock.now())

    def number(self, name: str) -> int:
        """A number in the path.

        Raises:
            NotFound: it is none, so nothing has it as its id.
        """
        number = whole_number(self.path[name])
        if number is None:
            raise NotFound("There is nothing at this address.")
        return number

    def queried_number(self, name: str) -> int | None:
        """A number in the query; ``None`` where it is not given.

        Raises:
            FieldError: it is no number.
        """
        if name not in self.query:
            return None
        number = whole_number(self.query[name])
        if number is None:
            raise FieldError(name, "must be a whole number")
        return number

    @property
    def limit(self) -> int:
        """How many items of a list are wanted.

        Raises:
            FieldError: not 1 to 100.
        """
        limit = self.queried_number("limit")
        if limit is None:
            return LIMIT
        if not 1 <= limit <= LIMIT_MAX:
            raise FieldError("limit", f"must be 1 to {LIMIT_MAX}")
        return limit

    @property
    def cursor(self) -> str | None:
        """Where in a list to go on; ``None`` for its beginning."""
        return self.query.get("cursor")

    @property
    def idempotency_key(self) -> str:
        """The caller's own name for this request.

        Raises:
            FieldError: there is none, or it is not 1 to 64 of ``A-Z a-z 0-9 . _ -``.
        """
        key = self.idempotency_key_if_given
        if key is None:
            raise FieldError("Idempotency-Key", f"is required: {_KEY_RULE}")
        return key

    @property
    def idempotency_key_if_given(self) -> str | None:
        """The caller's own name for this request; ``None`` where it has none.

        Raises:
            FieldError: it is not 1 to 64 of ``A-Z a-z 0-9 . _ -``.
        """
        key = self.headers.get("idempotency-key")
        if key is not None and _KEY.fullmatch(key) is None:
            raise FieldError("Idempotency-Key", f"must be {_KEY_RULE}")
        return key


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. ``body`` is JSON-able; ``None`` is no body; a text needs ``content_type``.

    It may be kept by nobody, unless ``headers`` say otherwise (``Cache-Control``).
    """

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


Handler = Callable[[Call[Any]], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    ``roles`` are who may call it besides an admin, who may call everything; ``public`` routes
    anybody may call, ``signed`` ones check their callers themselves. One of the three is set.
    ``idempotent`` routes take an ``Idempotency-Key``, and ``key_optional`` ones do without it too.
    ``answers`` maps each status to the shape of its body, for the description of the API, and
    ``gives`` is the content type of that body. ``takes`` are the content types of a file that is
    sent as it is, in the place of a ``body``: the handler reads it. ``problems`` are the codes of
    those problems that do not follow from the rest of what is declared here; a test holds them
    against what the route answers. ``described`` is what a channel says of its endpoint.
    ``problem`` reshapes problems for callers that expect more than ours.
    """

    method: str
    path: str
    handler: Handler
    roles: tuple[Role, ...] = ()
    public: bool = False
    signed: bool = False
    body: type[BaseModel] | None = None
    answers: Mapping[int, Any] = field(default_factory=dict)
    query: Sequence[str] = ()
    idempotent: bool = False
    key_optional: bool = False
    takes: Sequence[str] = ()
    gives: str = "application/json"
    problems: tuple[str, ...] = ()
    described: Described | None = None
    problem: Callable[[Problem], Mapping[str, Any]] = dict

    def __post_init__(self) -> None:
        if [bool(self.roles), self.public, self.signed].count(True) != 1:
            raise ValueError(f"{self.method} {self.path} must say who may call it")

    @property
    def codes(self) -> frozenset[str]:
        """The codes of all problems that it may answer."""
        found = {"internal_error", "try_again", *self.problems}
        if self.described is not None:
            return frozenset(found | {"not_found"} | set(self.described.problems))
        found.add("invalid")  # no value of any query may be given twice
        if self.roles:
            found |= {"unauthorized", "forbidden"}
        if self.body is not None or self.takes:
            found |= {"too_large", "unsupported_media_type"}
        if self.body is not None:
            found.add("malformed")
        if "cursor" in self.query:
            found.add("invalid_cursor")
        if "{" in self.path:
            found.add("not_found")
        return frozenset(found)

    @property
    def repeats(self) -> bool:
        """Whether it says so when the same request came before."""
        return self.idempotent or (self.described is not None and self.described.repeats)

    @property
    def name(self) -> str:
        """Its name: the handler's."""
        return self.handler.__name__


class Routes:
    """Collects the routes of one part of the API."""

    def __init__(self) -> None:
        self.all: list[Route] = []

    def route(self, method: str, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        """Declare the function below as the handler of that route. See ``Route`` for the rest."""

        def declare(handler: Handler) -> Handler:
            self.all.append(Route(method, path, handler, **declared))
            return handler

        return declare


LIST = ("limit", "cursor")
"""What every list takes in its query."""


def ok(body: Any) -> Answer:
    """200, with what was asked for."""
    return Answer(200, body)


def repeated(body: Any) -> Answer:
    """200, with what the same request has made before; nothing more was done."""
    return Answer(200, body, {"Idempotency-Hit": "true"})


def created(body: Any) -> Answer:
    """201, with what was made."""
    return Answer(201, body)


def accepted(body: Any) -> Answer:
    """202, with how it stands until the rest is done."""
    return Answer(202, body)


def no_content() -> Answer:
    """204: done, and nothing to tell."""
    return Answer(204)


def listed(page: Page[T], present: Callable[[T], Any]) -> Answer:
    """200, with a part of a list and the cursor of the next."""
    return ok(Listed(items=[present(item) for item in page.items], next=page.next))
