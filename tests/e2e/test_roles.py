"""Who may do what: every route without a session, and with every role."""

from __future__ import annotations

import pytest

from infra.local.client import Api, Cloud, StaffMember, wait_for
from infra.staff import make_staff
from tests.e2e.company import unique

ROLES = ("admin", "office", "field", "agent", "operations", "finance")
STAFF = frozenset(ROLES)
ADMIN = frozenset({"admin"})
OFFICE = ADMIN | {"office"}
OPERATIONS = ADMIN | {"operations"}

ROUTES: list[tuple[str, str, frozenset[str]]] = [
    ("POST", "/clusters", ADMIN),
    ("GET", "/clusters", STAFF),
    ("PUT", "/clusters/999999", ADMIN),
    ("DELETE", "/clusters/999999", ADMIN),
    ("POST", "/mini-grids", ADMIN),
    ("GET", "/mini-grids", STAFF),
    ("PUT", "/mini-grids/999999", ADMIN),
    ("DELETE", "/mini-grids/999999", ADMIN),
    ("POST", "/villages", ADMIN),
    ("GET", "/villages", STAFF),
    ("PUT", "/villages/999999", ADMIN),
    ("DELETE", "/villages/999999", ADMIN),
    ("GET", "/manufacturers", STAFF),
    ("POST", "/tariffs", ADMIN),
    ("GET", "/tariffs", STAFF),
    ("GET", "/tariffs/999999", STAFF),
    ("PUT", "/tariffs/999999", ADMIN),
    ("POST", "/appliances", ADMIN),
    ("GET", "/appliances", STAFF),
    ("POST", "/registrations", OFFICE | {"field"}),
    ("POST", "/customers", OFFICE),
    ("GET", "/customers", STAFF),
    ("GET", "/customers/C0", STAFF),
    ("PUT", "/customers/C0", OFFICE),
    ("GET", "/customers/C0/account", STAFF),
    ("POST", "/customers/C0/plans", OFFICE),
    ("GET", "/devices/NONE", STAFF),
    ("POST", "/devices/NONE/plan", OFFICE),
    ("PUT", "/devices/NONE/technical", OFFICE),
    ("PUT", "/devices/NONE/owner", OFFICE),
    ("PUT", "/devices/NONE/tariff", OFFICE),
    ("GET", "/payments?serial_number=NONE", STAFF),
    ("GET", "/payments/direct.demo-none", STAFF),
    ("POST", "/payments/direct.demo-none/retry", OPERATIONS),
    ("POST", "/payments/direct.demo-none/resolve", OPERATIONS),
    ("GET", "/messages?payment_id=direct.demo-none", STAFF),
    ("GET", "/settings", ADMIN),
    ("PUT", "/settings", ADMIN),
    ("POST", "/auth/logout", STAFF),
]

IDS = [f"{method} {path}" for method, path, _ in ROUTES]


def body_for(method: str) -> dict[str, str] | None:
    """A body that no route takes: whoever is let in changes nothing."""
    return {"nothing": "of use"} if method in ("POST", "PUT") else None


@pytest.mark.parametrize(("method", "path", "allowed"), ROUTES, ids=IDS)
def test_a_route_is_closed_to_whoever_has_not_logged_in(
    cloud: Cloud, method: str, path: str, allowed: frozenset[str]
) -> None:
    for headers in ({}, {"Authorization": "Bearer guessed"}, {"Authorization": "Basic eA=="}):
        answer = cloud.api.call(method, path, body_for(method), headers=headers)
        assert (answer.status, answer.code) == (401, "unauthorized"), headers
    assert allowed


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [route for route in ROUTES if route[1] != "/auth/logout"],
    ids=[name for name in IDS if name != "POST /auth/logout"],
)
def test_a_route_is_open_to_its_roles_only(
    cloud: Cloud, method: str, path: str, allowed: frozenset[str]
) -> None:
    for role in ROLES:
        answer = cloud.staff(role).call(method, path, body_for(method), key=unique("key-"))
        if role in allowed:
            assert answer.status in (200, 404, 422), (role, answer)
        else:
            assert (answer.status, answer.code) == (403, "forbidden"), (role, answer)


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs"])
def test_what_is_public_needs_no_session(cloud: Cloud, path: str) -> None:
    assert cloud.api.call("GET", path).status == 200


def test_a_wrong_password_and_an_unknown_name_look_the_same(cloud: Cloud) -> None:
    email = cloud.stack["staff"]["finance"]["email"]
    wrong = cloud.api.call("POST", "/auth/login", {"email": email, "password": "guess"})
    unknown = cloud.api.call(
        "POST", "/auth/login", {"email": "nobody@mwanga.example", "password": "guess"}
    )
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")
    hidden = {"request_id"}
    assert {k: v for k, v in wrong.body.items() if k not in hidden} == {
        k: v for k, v in unknown.body.items() if k not in hidden
    }
    assert wrong.body["data"]["message"] == wrong.body["message"]


def test_a_log_in_says_what_it_is(cloud: Cloud) -> None:
    body = cloud.api.call("POST", "/auth/login", cloud.stack["staff"]["field"]).body
    assert (body["token_type"], body["roles"]) == ("Bearer", ["field"])
    assert body["expires_in"] > 0


def test_after_the_log_out_the_session_is_closed(cloud: Cloud) -> None:
    api = Api(cloud.stack["base_url"])
    try:
        member = StaffMember(api, **cloud.stack["staff"]["finance"])
        assert member.get("/villages").status == 200
        assert member.call("POST", "/auth/logout").status in (200, 204)
        assert (member.get("/villages").status, member.get("/villages").code) == (
            401,
            "unauthorized",
        )
    finally:
        api.close()


# --- staff are kept in the pool ---------------------------------------------------------------


@pytest.fixture
def newcomer(cloud: Cloud) -> dict[str, str]:
    """Somebody whom the console has just made a member of finance, with a password for once."""
    email = f"{unique('asha')}@mwanga.example"
    pool = cloud.aws("cognito-idp")
    password = make_staff(pool, cloud.stack["staff_pool"], email, "finance")
    return {"email": email, "password": password}


def test_the_first_log_in_asks_for_a_password_of_one_s_own(
    cloud: Cloud, newcomer: dict[str, str]
) -> None:
    first = cloud.api.call("POST", "/auth/login", newcomer)
    assert (first.status, first.code) == (401, "password_change_required")
    changed = cloud.api.call(
        "POST", "/auth/password", {**newcomer, "new_password": "a password of my own"}
    )
    assert (changed.status, changed.body["roles"]) == (200, ["finance"])
    own = StaffMember(cloud.api, newcomer["email"], "a password of my own")
    assert own.get("/villages").status == 200
    assert cloud.api.call("POST", "/auth/login", newcomer).code == "invalid_credentials"


def test_who_is_moved_or_disabled_in_the_pool_is_so_in_a_moment(
    cloud: Cloud, newcomer: dict[str, str]
) -> None:
    pool, who = cloud.aws("cognito-idp"), newcomer["email"]
    its_pool = {"UserPoolId": cloud.stack["staff_pool"], "Username": who}
    pool.admin_set_user_password(**its_pool, Password="a password of my own", Permanent=True)
    member = StaffMember(cloud.api, who, "a password of my own")
    assert member.get("/settings").code == "forbidden"

    pool.admin_add_user_to_group(**its_pool, GroupName="admin")
    wait_for(lambda: member.get("/settings").status, lambda status: status == 200, "an admin")

    pool.admin_disable_user(**its_pool)
    wait_for(lambda: member.get("/settings").status, lambda status: status == 401, "shut out")
    again = cloud.api.call(
        "POST", "/auth/login", {"email": who, "password": "a password of my own"}
    )
    assert again.code == "invalid_credentials"
