"""Logging in, out, and being known again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.services.ports import StaffMember, VersionConflict
from tests.integration.api.conftest import Api, Reply
from tests.integration.company import FixedClock

EMAIL, PASSWORD = "amina@example.com", "correct horse battery"
WRONG = {"email": EMAIL, "password": "wrong horse battery"}


@pytest.fixture
def amina(api: Api) -> StaffMember:
    """A member of the office."""
    return api.wiring.log_in.create_staff(EMAIL, PASSWORD, ["office"])


def log_in(api: Api, password: str = PASSWORD, email: str = EMAIL) -> Reply:
    return api.post("/auth/login", {"email": email, "password": password}, None)


def bearer(api: Api, token: str, path: str = "/villages") -> Reply:
    return api.send("GET", path, role=None, headers={"Authorization": f"Bearer {token}"})


def test_logging_in_gives_a_token_that_opens_the_routes_of_its_roles(
    api: Api, amina: StaffMember
) -> None:
    answer = log_in(api)
    assert answer.status == 200
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["roles"] == ["office"]
    assert answer.json["expires_in"] == 12 * 3600
    assert bearer(api, answer.json["access_token"]).status == 200


def test_an_e_mail_is_known_in_any_case_and_with_spaces_around_it(
    api: Api, amina: StaffMember
) -> None:
    assert log_in(api, email=" AMINA@Example.com ").status == 200


def test_field_staff_stay_logged_in_for_weeks(api: Api) -> None:
    api.wiring.log_in.create_staff(EMAIL, PASSWORD, ["field"])
    assert log_in(api).json["expires_in"] == 60 * 24 * 3600


def test_field_staff_with_another_role_do_not(api: Api) -> None:
    api.wiring.log_in.create_staff(EMAIL, PASSWORD, ["field", "admin"])
    assert log_in(api).json["expires_in"] == 12 * 3600


def test_the_token_is_not_stored_as_it_is(api: Api, amina: StaffMember) -> None:
    token = log_in(api).json["access_token"]
    assert api.wiring.sessions.get(token) is None


def test_a_wrong_password_and_an_unknown_e_mail_are_answered_alike(
    api: Api, amina: StaffMember
) -> None:
    wrong = log_in(api, "wrong horse battery")
    unknown = log_in(api, email="nobody@example.com")
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")
    differing = {"request_id"}
    assert {k: v for k, v in wrong.json.items() if k not in differing} == {
        k: v for k, v in unknown.json.items() if k not in differing
    }
    assert set(wrong.headers) == set(unknown.headers)


def test_a_wrong_password_is_told_where_the_app_looks_for_it(api: Api) -> None:
    answer = log_in(api).json
    assert answer["message"] == answer["data"]["message"] == answer["detail"]


def test_a_member_who_has_left_cannot_log_in(api: Api, amina: StaffMember) -> None:
    left = StaffMember(EMAIL, amina.password_hash, amina.roles, active=False)
    api.wiring.staff.save(left)
    assert log_in(api).code == "invalid_credentials"


def test_after_five_wrong_tries_even_the_right_password_must_wait(
    api: Api, amina: StaffMember, clock: FixedClock
) -> None:
    for _ in range(5):
        assert log_in(api, "wrong horse battery").status == 401
    assert log_in(api).status == 401
    clock.move(timedelta(seconds=1))
    assert log_in(api).status == 200


def test_the_wait_grows_to_a_minute_and_no_further(
    api: Api, amina: StaffMember, clock: FixedClock
) -> None:
    for _ in range(14):
        log_in(api, "wrong horse battery")
        clock.move(timedelta(seconds=60))
    log_in(api, "wrong horse battery")
    clock.move(timedelta(seconds=59))
    assert log_in(api).status == 401
    clock.move(timedelta(seconds=1))
    assert log_in(api).status == 200


def test_a_right_password_makes_the_wrong_tries_forgotten(api: Api, amina: StaffMember) -> None:
    for _ in range(4):
        log_in(api, "wrong horse battery")
    assert log_in(api).status == 200
    for _ in range(4):
        log_in(api, "wrong horse battery")
    assert log_in(api).status == 200


def test_tries_at_the_same_time_do_not_break_each_other(
    api: Api, amina: StaffMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(api, "wrong horse battery")

    def lost(member: StaffMember) -> StaffMember:
        raise VersionConflict

    monkeypatch.setattr(api.wiring.staff, "save", lost)
    assert log_in(api, "wrong horse battery").code == "invalid_credentials"
    assert log_in(api).status == 200


def test_a_token_ends_with_its_time(api: Api, amina: StaffMember, clock: FixedClock) -> None:
    token = log_in(api).json["access_token"]
    clock.move(timedelta(hours=12) - timedelta(seconds=1))
    assert bearer(api, token).status == 200
    clock.move(timedelta(seconds=1))
    assert bearer(api, token).code == "unauthorized"


def test_a_token_ends_with_logging_out(api: Api, amina: StaffMember) -> None:
    token = log_in(api).json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert api.send("POST", "/auth/logout", role=None, headers=headers).status == 204
    assert bearer(api, token).code == "unauthorized"


def test_a_token_is_worth_nothing_once_its_member_has_left(api: Api, amina: StaffMember) -> None:
    token = log_in(api).json["access_token"]
    api.wiring.staff.save(StaffMember(EMAIL, amina.password_hash, amina.roles, active=False))
    assert bearer(api, token).code == "unauthorized"


def test_roles_taken_away_are_gone_at_once(api: Api, amina: StaffMember) -> None:
    token = log_in(api).json["access_token"]
    assert bearer(api, token, "/customers?number=x").status == 422
    api.wiring.staff.save(StaffMember(EMAIL, amina.password_hash, ("field",)))
    headers = {"Authorization": f"Bearer {token}"}
    answer = api.send("POST", "/customers", {}, role=None, headers=headers)
    assert answer.code == "forbidden"


# --- the first log-in -------------------------------------------------------------------------


def change(api: Api, password: str, new_password: str) -> Reply:
    body = {"email": EMAIL, "password": password, "new_password": new_password}
    return api.post("/auth/password", body, None)


def test_a_password_given_by_somebody_else_must_be_changed_first(api: Api) -> None:
    api.wiring.log_in.create_staff(EMAIL, PASSWORD, ["office"], must_change=True)
    assert (log_in(api).status, log_in(api).code) == (401, "password_change_required")
    answer = change(api, PASSWORD, "a password of my own")
    assert answer.status == 200
    assert bearer(api, answer.json["access_token"]).status == 200
    assert log_in(api).code == "invalid_credentials"
    assert log_in(api, "a password of my own").status == 200


def test_changing_the_password_needs_the_old_one(api: Api, amina: StaffMember) -> None:
    assert change(api, "wrong horse battery", "a password of my own").status == 401
    assert log_in(api).status == 200


@pytest.mark.parametrize("new_password", ["short", PASSWORD])
def test_a_new_password_is_long_and_another_one(
    api: Api, amina: StaffMember, new_password: str
) -> None:
    answer = change(api, PASSWORD, new_password)
    assert (answer.status, answer.fields) == (422, ["new_password"])


@pytest.mark.parametrize(
    ("email", "password", "roles", "field"),
    [
        ("nobody", PASSWORD, ["office"], "email"),
        ("a@" + "x" * 260, PASSWORD, ["office"], "email"),
        ("a\x00@b", PASSWORD, ["office"], "email"),
        ("a@b", "short", ["office"], "password"),
        ("a@b", PASSWORD, [], "roles"),
        ("a@b", PASSWORD, ["king"], "roles"),
    ],
)
def test_staff_without_a_usable_e_mail_password_or_role_are_not_made(
    api: Api, email: str, password: str, roles: list[str], field: str
) -> None:
    from chalicelib.domain.errors import FieldError

    with pytest.raises(FieldError) as wrong:
        api.wiring.log_in.create_staff(email, password, roles)
    assert wrong.value.field == field
