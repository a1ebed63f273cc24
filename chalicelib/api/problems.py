"""Problems: what a caller is told when something is wrong (RFC 9457).

Errors of our own carry a stable ``code``; this module says which HTTP status each code has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from chalicelib.channels.interface import FieldErrors
from chalicelib.domain.errors import FieldError, MwangaError, Refusal, Refused

MEDIA_TYPE = "application/problem+json"
SOMETHING_IS_WRONG = "internal_error"
"""The code of a bug. Callers are told no more; the journal knows."""

_STATUSES = {
    400: {"malformed": "Malformed"},
    401: {
        "unauthorized": "Unauthorized",
        "invalid_credentials": "Invalid credentials",
        "password_change_required": "Password change required",
        "invalid_signature": "Invalid signature",
        "expired_signature": "Expired signature",
        "unknown_partner": "Unknown partner",
    },
    403: {
        "forbidden": "Forbidden",
        "meter_registration_requires_app": "Meter registration requires the app",
        "float_exceeded": "Float exceeded",
    },
    404: {"not_found": "Not found"},
    409: {
        "in_use": "In use",
        "name_taken": "Name taken",
        "reference_conflict": "Reference conflict",
        "device_has_open_plan": "Device has an open plan",
        "device_payments_open": "A payment for the device is not finished",
        "not_checked": "Not checked",
        "not_held": "Not held",
        "not_in_review": "Not in review",
        "not_refundable": "Not refundable",
        "full_refund_only": "Full refund only",
        "not_erasable": "Not erasable",
        "customer_erased": "The customer is erased",
        "version_conflict": "Version conflict",
    },
    413: {"too_large": "Too large"},
    415: {"unsupported_media_type": "Unsupported media type"},
    422: {
        "invalid": "Invalid",
        "invalid_cursor": "Invalid cursor",
        "account_full": "Account full",
        **{refusal.value: refusal.value.replace("_", " ").capitalize() for refusal in Refusal},
    },
    500: {SOMETHING_IS_WRONG: "Something is wrong"},
    503: {"try_again": "Try again"},
}

STATUS_BY_CODE = {code: status for status, titles in _STATUSES.items() for code in titles}
TITLE_BY_CODE = {code: title for titles in _STATUSES.values() for code, title in titles.items()}

_TOLD_AS = {"outcome_unknown": "try_again"}
"""What is the same to a caller: what did happen shows when the request comes again."""

RETRY_AFTER_SECONDS = "2"


class FieldProblem(TypedDict):
    """One field of the request that cannot be accepted. ``field`` is a dotted path."""

    field: str
    message: str


class Problem(TypedDict):
    """What is wrong, for programs (``code``) and people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: Sequence[FieldProblem]
    request_id: str


class Forbidden(MwangaError):
    """Somebody is logged in, but this is not for them."""

    code = "forbidden"

    def __init__(self) -> None:
        super().__init__("Your roles do not allow this.")


def problem_of(error: Exception, request_id: str) -> Problem:
    """What the caller is told of this error. Of one that is not ours: nothing."""
    code = SOMETHING_IS_WRONG
    if isinstance(error, MwangaError):
        code = _TOLD_AS.get(error.code, error.code)
    if not isinstance(error, MwangaError) or code not in STATUS_BY_CODE:
        code, detail = SOMETHING_IS_WRONG, "It is noted. Please try again later."
    elif code == "try_again":
        detail = "Nothing is known to have been done. Send the same request again."
    else:
        detail = _detail(error)
    return Problem(
        type="about:blank",
        title=TITLE_BY_CODE[code],
        status=STATUS_BY_CODE[code],
        code=code,
        detail=detail,
        errors=_fields(error),
        request_id=request_id,
    )


def headers_of(problem: Problem) -> Mapping[str, str]:
    """The headers that go with a problem."""
    headers = {"Content-Type": MEDIA_TYPE}
    if problem["status"] == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if problem["status"] == 503:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return headers


def as_json(body: Any) -> str:
    """The body as it goes out. Names stay readable: they are UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _detail(error: MwangaError) -> str:
    if isinstance(error, FieldError):
        return f"{error.field}: {error.detail}"
    if isinstance(error, Refused):
        return f"The payment is refused: {error.detail}"
    return error.detail


def _fields(error: Exception) -> list[FieldProblem]:
    if isinstance(error, FieldErrors):
        return [FieldProblem(field=e.field, message=e.detail) for e in error.errors]
    if isinstance(error, FieldError):
        return [FieldProblem(field=error.field, message=error.detail)]
    return []
