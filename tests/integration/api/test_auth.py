"""Logging in, out, and being known again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from chalicelib.runtime import aws
from chalicelib.services.ports import OutcomeUnknown, Session, TryAgain, VersionConflict
from tests.integration.api.conftest import Api, Reply
from tests.integration.company import FixedClock
from tests.integration.staff_pool import StaffPool, staff_pool

__all__ = ["staff_pool"]

EMAIL, PASSWORD = "amina@example.com", "correct horse battery"
WRONG_PASSWORD = "wrong horse battery"


@pytest.fixture
def amina(staff_pool: StaffPool) -> str:
    """A member of the office."""
    staff_pool.add(EMAIL, PASSWORD, ["office"])
    return EMAIL


def log_in(api: Api, password: str = PASSWORD, email: str = EMAIL) -> Reply:
    return api.post("/auth/login", {"email": email, "password": password}, None)


def bearer(api: Api, token: str, path: str = "/villages", method: str = "GET") -> Reply:
    return api.send(method, path, role=None, headers={"Authorization": f"Bearer {token}"})


def failing(monkeypatch: pytest.MonkeyPatch, operation: str, error: Exception) -> None:
    """Make the pool fail."""

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(aws.client("cognito-idp"), operation, fail, raising=False)


def refusal(code: str, status: int = 400) -> ClientError:
    """A refusal of the pool's."""
    answer: Any = {
        "Error": {"Code": code, "Message": f"with {PASSWORD} in it"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "Operation")


SILENCE = ReadTimeoutError(endpoint_url="https://cognito-idp.example")


def test_logging_in_gives_a_token_that_opens_the_routes_of_its_roles(api: Api, amina: str) -> None:
    answer = log_in(api)
    assert answer.status == 200
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["roles"] == ["office"]
    assert answer.json["expires_in"] == 12 * 3600
    assert bearer(api, answer.json["access_token"]).status == 200


def test_an_e_mail_is_known_in_any_case_and_with_spaces_around_it(api: Api, amina: str) -> None:
    assert log_in(api, email=" AMINA@Example.com ").status == 200


def test_field_staff_stay_logged_in_for_weeks(api: Api, staff_pool: StaffPool) -> None:
    staff_pool.add(EMAIL, PASSWORD, ["field"])
    assert log_in(api).json["expires_in"] == 60 * 24 * 3600


def test_field_staff_with_another_role_do_not(api: Api, staff_pool: StaffPool) -> None:
    staff_pool.add(EMAIL, PASSWORD, ["field", "admin"])
    assert log_in(api).json["expires_in"] == 12 * 3600


def test_a_group_that_is_no_role_of_ours_gives_no_rights(api: Api, staff_pool: StaffPool) -> None:
    staff_pool.cognito.create_group(UserPoolId=staff_pool.pool_id, GroupName="kings")
    staff_pool.add(EMAIL, PASSWORD, ["kings", "finance"])
    assert log_in(api).json["roles"] == ["finance"]


def test_somebody_without_a_role_is_told_so(api: Api, staff_pool: StaffPool) -> None:
    staff_pool.add(EMAIL, PASSWORD, [])
    answer = log_in(api)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert "no role yet" in answer.json["detail"]


def test_the_token_is_not_stored_as_it_is(api: Api, amina: str) -> None:
    token = log_in(api).json["access_token"]
    assert api.wiring.sessions.get(token) is None


# --- wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "email", ["nobody@example.com", "no e-mail", "", "   ", "a@b\x00", "ä" * 200, "x" * 254]
)
def test_a_wrong_password_and_an_unknown_e_mail_are_answered_alike(
    api: Api, amina: str, email: str
) -> None:
    wrong = log_in(api, WRONG_PASSWORD)
    unknown = log_in(api, email=email)
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")
    differing = {"request_id"}
    assert {k: v for k, v in wrong.json.items() if k not in differing} == {
        k: v for k, v in unknown.json.items() if k not in differing
    }
    assert set(wrong.headers) == set(unknown.headers)


def test_an_empty_password_is_a_wrong_one(api: Api, amina: str) -> None:
    assert log_in(api, "").code == "invalid_credentials"


def test_a_wrong_password_is_told_where_the_app_looks_for_it(api: Api, amina: str) -> None:
    answer = log_in(api, WRONG_PASSWORD).json
    assert answer["message"] == answer["data"]["message"] == answer["detail"]


def test_a_member_who_was_disabled_cannot_log_in(
    api: Api, amina: str, staff_pool: StaffPool
) -> None:
    staff_pool.disable(EMAIL)
    assert log_in(api).code == "invalid_credentials"


@pytest.mark.parametrize(
    "code",
    [
        "NotAuthorizedException",
        "PasswordResetRequiredException",
        "UserNotConfirmedException",
        "UserNotFoundException",
        "InvalidParameterException",
    ],
)
def test_whatever_keeps_somebody_out_is_told_as_a_wrong_password(
    api: Api, amina: str, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    failing(monkeypatch, "admin_initiate_auth", refusal(code))
    assert (log_in(api).status, log_in(api).code) == (401, "invalid_credentials")


def test_a_challenge_that_we_do_not_know_lets_nobody_in(
    api: Api, amina: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = aws.client("cognito-idp")
    monkeypatch.setattr(
        pool, "admin_initiate_auth", lambda **_: {"ChallengeName": "SMS_MFA"}, raising=False
    )
    assert log_in(api).code == "invalid_credentials"
    assert change(api, PASSWORD, "a password of my own").code == "invalid_credentials"


@pytest.mark.parametrize(
    "error",
    [
        refusal("TooManyRequestsException"),
        refusal("InternalErrorException", 500),
        refusal("NeverHeardOfIt", 503),
        SILENCE,
    ],
)
@pytest.mark.parametrize(
    "operation", ["admin_initiate_auth", "admin_get_user", "admin_list_groups_for_user"]
)
def test_a_pool_that_cannot_be_asked_is_no_wrong_password(
    api: Api, amina: str, monkeypatch: pytest.MonkeyPatch, operation: str, error: Exception
) -> None:
    failing(monkeypatch, operation, error)
    answer = log_in(api)
    assert (answer.status, answer.code) == (503, "try_again")
    monkeypatch.undo()


def test_a_refusal_that_nobody_foresaw_is_a_fault_of_ours_and_says_nothing(
    api: Api, amina: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, "admin_initiate_auth", refusal("AccessDeniedException"))
    answer = log_in(api)
    assert (answer.status, answer.code) == (500, "internal_error")
    assert PASSWORD not in capsys.readouterr().out + answer.text


# --- slowed down ------------------------------------------------------------------------------


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
def test_after_five_wrong_tries_even_the_right_password_must_wait(
    api: Api,
    amina: str,
    staff_pool: StaffPool,
    clock: FixedClock,
    monkeypatch: pytest.MonkeyPatch,
    email: str,
) -> None:
    for _ in range(5):
        assert log_in(api, WRONG_PASSWORD, email).status == 401
    with monkeypatch.context() as watched:
        failing(watched, "admin_initiate_auth", AssertionError("asked"))
        assert log_in(api, PASSWORD, email).code == "invalid_credentials"
    clock.move(timedelta(seconds=1))
    assert log_in(api, PASSWORD, email).status == (200 if email == EMAIL else 401)


def test_the_wait_grows_to_a_minute_and_no_further(api: Api, amina: str, clock: FixedClock) -> None:
    for _ in range(14):
        log_in(api, WRONG_PASSWORD)
        clock.move(timedelta(seconds=60))
    log_in(api, WRONG_PASSWORD)
    clock.move(timedelta(seconds=59))
    assert log_in(api).status == 401
    clock.move(timedelta(seconds=1))
    assert log_in(api).status == 200


def test_a_right_password_makes_the_wrong_tries_forgotten(api: Api, amina: str) -> None:
    for _ in range(2):
        for _ in range(4):
            log_in(api, WRONG_PASSWORD)
        assert log_in(api).status == 200


def test_wrong_tries_are_forgotten_after_a_day(api: Api, amina: str, clock: FixedClock) -> None:
    for _ in range(4):
        log_in(api, WRONG_PASSWORD)
    clock.move(timedelta(days=1))
    log_in(api, WRONG_PASSWORD)
    assert log_in(api).status == 200


def test_one_address_that_tries_many_e_mails_is_slowed_down_too(
    api: Api, amina: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "admin_initiate_auth", refusal("NotAuthorizedException"))
    for number in range(50):
        log_in(api, WRONG_PASSWORD, f"u{number}@example.com")
    monkeypatch.undo()
    monkeypatch.setenv("STAFF_POOL_ID", "")
    assert log_in(api).code == "invalid_credentials", "nobody is even asked"


def test_changing_the_password_is_slowed_down_with_it(api: Api, amina: str) -> None:
    for _ in range(5):
        change(api, WRONG_PASSWORD, "a password of my own")
    assert change(api, PASSWORD, "a password of my own").status == 401
    assert log_in(api).status == 401


@pytest.mark.parametrize("error", [VersionConflict(), TryAgain(), OutcomeUnknown()])
def test_tries_that_cannot_be_counted_do_not_break_the_answer(
    api: Api, amina: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def lost(_: object) -> None:
        raise error

    monkeypatch.setattr(api.wiring.wrong_tries, "save", lost)
    assert log_in(api, WRONG_PASSWORD).code == "invalid_credentials"
    assert log_in(api).status == 200


def test_neither_e_mails_nor_addresses_are_kept_of_wrong_tries(api: Api, amina: str) -> None:
    log_in(api, WRONG_PASSWORD)
    from chalicelib.store.models import WrongTriesRow

    kept = [row.whose for row in WrongTriesRow.scan()]
    assert sorted(whose.split("#")[0] for whose in kept) == ["address", "email"]
    assert all("amina" not in whose and "127.0.0.1" not in whose for whose in kept)


# --- the end of a session ---------------------------------------------------------------------


def test_a_token_ends_with_its_time(api: Api, amina: str, clock: FixedClock) -> None:
    token = log_in(api).json["access_token"]
    clock.move(timedelta(hours=12) - timedelta(seconds=1))
    assert bearer(api, token).status == 200
    clock.move(timedelta(seconds=1))
    assert bearer(api, token).code == "unauthorized"


def test_a_token_ends_with_logging_out(api: Api, amina: str) -> None:
    token = log_in(api).json["access_token"]
    assert bearer(api, token, "/auth/logout", "POST").status == 204
    assert bearer(api, token).code == "unauthorized"


@pytest.mark.parametrize("shut_out", ["disable", "delete"])
def test_a_token_is_worth_nothing_within_a_minute_of_its_owner_being_shut_out(
    api: Api, amina: str, staff_pool: StaffPool, clock: FixedClock, shut_out: str
) -> None:
    token = log_in(api).json["access_token"]
    getattr(staff_pool, shut_out)(EMAIL)
    clock.move(timedelta(seconds=30))
    assert bearer(api, token).code == "unauthorized"
    assert bearer(api, token).code == "unauthorized"


def test_a_role_that_was_taken_away_is_gone_within_a_minute(
    api: Api, amina: str, staff_pool: StaffPool, clock: FixedClock
) -> None:
    token = log_in(api).json["access_token"]
    assert bearer(api, token, "/customers", "POST").code == "malformed"
    staff_pool.take_out_of(EMAIL, "office")
    staff_pool.put_into(EMAIL, "finance")
    clock.move(timedelta(seconds=30))
    assert bearer(api, token, "/customers", "POST").code == "forbidden"
    assert bearer(api, token, "/reconciliations").status == 200


def test_the_pool_is_not_asked_again_within_half_a_minute(
    api: Api, amina: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = log_in(api).json["access_token"]
    clock.move(timedelta(seconds=29))
    failing(monkeypatch, "admin_get_user", AssertionError("asked"))
    assert bearer(api, token).status == 200


def test_a_pool_that_is_silent_for_a_moment_turns_nobody_away_and_for_longer_everybody(
    api: Api, amina: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = log_in(api).json["access_token"]
    failing(monkeypatch, "admin_get_user", SILENCE)
    clock.move(timedelta(seconds=59))
    assert bearer(api, token).status == 200
    clock.move(timedelta(seconds=1))
    assert (bearer(api, token).status, bearer(api, token).code) == (503, "try_again")
    monkeypatch.undo()


def test_a_session_that_ends_while_it_is_checked_does_not_come_back(
    api: Api, amina: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = log_in(api).json["access_token"]
    renew = api.wiring.sessions.renew

    def renew_late(session: Session) -> bool:
        api.wiring.sessions.delete(session.token_hash)
        return renew(session)

    monkeypatch.setattr(api.wiring.sessions, "renew", renew_late)
    clock.move(timedelta(seconds=30))
    assert bearer(api, token).code == "unauthorized"
    assert bearer(api, token).code == "unauthorized"


# --- the first log-in -------------------------------------------------------------------------


def change(api: Api, password: str, new_password: str) -> Reply:
    body = {"email": EMAIL, "password": password, "new_password": new_password}
    return api.post("/auth/password", body, None)


def test_a_password_given_by_somebody_else_must_be_changed_first(
    api: Api, staff_pool: StaffPool
) -> None:
    staff_pool.add(EMAIL, PASSWORD, ["office"], temporary=True)
    assert (log_in(api).status, log_in(api).code) == (401, "password_change_required")
    answer = change(api, PASSWORD, "a password of my own")
    assert answer.status == 200
    assert bearer(api, answer.json["access_token"]).status == 200
    assert log_in(api).code == "invalid_credentials"
    assert log_in(api, "a password of my own").status == 200


def test_a_password_may_be_changed_at_any_time(api: Api, amina: str) -> None:
    assert change(api, PASSWORD, "a password of my own").status == 200
    assert log_in(api, "a password of my own").status == 200


def test_changing_the_password_needs_the_old_one(api: Api, amina: str) -> None:
    assert change(api, WRONG_PASSWORD, "a password of my own").status == 401
    assert change(api, "", "a password of my own").status == 401
    assert log_in(api).status == 200


@pytest.mark.parametrize("new_password", ["short", PASSWORD, "x" * 201])
def test_a_new_password_is_long_and_another_one(api: Api, amina: str, new_password: str) -> None:
    answer = change(api, PASSWORD, new_password)
    assert answer.status == 422
    assert answer.fields == ["new_password"]


def test_a_password_that_the_pool_does_not_take_is_told_on_its_field(
    api: Api, amina: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "change_password", refusal("InvalidPasswordException"))
    assert change(api, PASSWORD, "a password of my own").fields == ["new_password"]


def test_a_change_that_cannot_be_made_now_may_be_tried_again(
    api: Api, amina: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, "change_password", refusal("TooManyRequestsException"))
    assert change(api, PASSWORD, "a password of my own").status == 503


def test_a_check_that_is_refused_for_another_reason_is_a_fault_of_ours(
    api: Api, amina: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = log_in(api).json["access_token"]
    failing(monkeypatch, "admin_get_user", refusal("AccessDeniedException"))
    clock.move(timedelta(seconds=60))
    assert bearer(api, token).status == 500
