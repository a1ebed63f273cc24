"""Problems: every code of ours has its status, and nothing else is told."""

from __future__ import annotations

import pytest

from chalicelib.api.problems import STATUS_BY_CODE, headers_of, problem_of
from chalicelib.channels.interface import FieldErrors
from chalicelib.domain.errors import AccountFull, FieldError, MwangaError, Refusal, Refused

AGREED = {
    400: {"malformed"},
    401: {
        "unauthorized",
        "invalid_credentials",
        "password_change_required",
        "invalid_signature",
        "expired_signature",
        "unknown_partner",
    },
    403: {"float_exceeded", "forbidden", "meter_registration_requires_app"},
    404: {"not_found"},
    409: {
        "in_use",
        "name_taken",
        "reference_conflict",
        "customer_erased",
        "device_has_open_plan",
        "device_payments_open",
        "not_held",
        "not_checked",
        "not_erasable",
        "not_in_review",
        "not_refundable",
        "full_refund_only",
        "version_conflict",
    },
    413: {"too_large"},
    415: {"unsupported_media_type"},
    422: {"invalid", "invalid_cursor", "account_full", *(refusal.value for refusal in Refusal)},
    500: {"internal_error"},
    503: {"try_again"},
}


def test_every_code_has_the_status_that_was_agreed() -> None:
    by_status: dict[int, set[str]] = {}
    for code, status in STATUS_BY_CODE.items():
        by_status.setdefault(status, set()).add(code)
    assert by_status == AGREED


def test_a_refusal_is_told_with_its_code() -> None:
    problem = problem_of(Refused(Refusal.TOO_SMALL), "r1")
    assert (problem["status"], problem["code"], problem["errors"]) == (422, "too_small", [])


def test_a_field_s_own_code_is_the_problem_s() -> None:
    problem = problem_of(FieldError("serial_number", "nobody's", "unknown_device"), "r1")
    assert (problem["status"], problem["code"]) == (422, "unknown_device")
    assert problem["errors"] == [{"field": "serial_number", "message": "nobody's"}]


def test_several_fields_are_told_together() -> None:
    errors = FieldErrors((FieldError("a", "is wrong"), FieldError("b.c", "is too")))
    problem = problem_of(errors, "r1")
    assert [error["field"] for error in problem["errors"]] == ["a", "b.c"]


def test_an_error_without_fields_has_an_empty_list_of_them() -> None:
    assert problem_of(AccountFull("at most 100 devices"), "r1")["errors"] == []


@pytest.mark.parametrize("error", [RuntimeError("secret"), MwangaError("secret")])
def test_what_nobody_thought_of_is_told_as_nothing(error: Exception) -> None:
    problem = problem_of(error, "r1")
    assert (problem["status"], problem["code"]) == (500, "internal_error")
    assert "secret" not in str(problem)


def test_headers_say_how_to_go_on() -> None:
    unauthorized, busy = MwangaError("x"), MwangaError("x")
    unauthorized.code, busy.code = "unauthorized", "try_again"
    assert headers_of(problem_of(unauthorized, "r1"))["WWW-Authenticate"] == "Bearer"
    assert headers_of(problem_of(busy, "r1"))["Retry-After"] == "2"
