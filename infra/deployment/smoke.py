"""The smoke test: what must be true of a deployment, asked over HTTPS from outside.

It changes nothing and needs no secret, so it can be made against an installation that is at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import requests

SECONDS_PER_CALL = 35
"""API Gateway answers within 29 seconds, whatever happens."""

PATIENCE = 90
"""For so many seconds after an update, API Gateway may still serve what was there before."""

_UNSIGNED = ("invalid_signature", "unknown_partner", "unauthorized")

PROBLEM = {"type", "title", "status", "code", "detail", "errors", "request_id"}


class SmokeTestFailed(Exception):
    """The deployment does not do what it must. The text says what."""


@dataclass(frozen=True)
class Answer:
    """An answer. ``body`` is the parsed JSON, or nothing where it is none."""

    status: int
    body: Any

    def is_problem(self, status: int, *codes: str) -> bool:
        """Whether it is a problem in our shape, with that status and one of those codes."""
        return (
            self.status == status
            and isinstance(self.body, dict)
            and set(self.body) >= PROBLEM
            and self.body["code"] in codes
        )


Call = Callable[..., Answer]


def smoke_test(base_url: str, release: str, say: Callable[[str], None]) -> None:
    """Ask everything once, and tell each answer.

    Raises:
        SmokeTestFailed: an answer was not as it must be; all were asked.
    """
    call = _caller(base_url)
    failed = []
    for what, right, answer in _asked(call, release):
        say(f"  {'ok    ' if right else 'FAILED'}  {what}")
        if not right:
            failed.append(f"{what}: it answered {answer.status} {str(answer.body)[:200]}")
    if failed:
        raise SmokeTestFailed("\n".join(failed))


def _asked(call: Call, release: str) -> Iterator[tuple[str, bool, Answer]]:
    health = _once_released(call, release)
    expected = {"status": "ok", "release": release}
    yield f"the API is there, as release {release}", _is(health, 200, expected), health
    described = call("GET", "/openapi.json")
    paths = described.body.get("paths", {}) if isinstance(described.body, dict) else {}
    yield "it describes itself", "/payments/direct" in paths, described
    unknown = call("GET", f"/no-such-route-{uuid4().hex}")
    yield "an unknown route is a problem", unknown.is_problem(404, "not_found"), unknown
    unsigned = call("POST", "/payments/direct", {"reference": "smoke-test"})
    without_partners = unsigned.is_problem(404, "not_found")  # as long as its secret is empty
    right = without_partners or unsigned.is_problem(401, *_UNSIGNED)
    yield "a payment that nobody signed is refused", right, unsigned
    nobody = {"email": f"{uuid4().hex}@smoke-test.invalid", "password": "not a password"}
    login = call("POST", "/auth/login", nobody)
    code = login.body.get("code") if isinstance(login.body, dict) else None
    right = (login.status, code) == (401, "invalid_credentials")
    yield "a wrong password is refused", right, login


def _is(answer: Answer, status: int, body: Any) -> bool:
    return (answer.status, answer.body) == (status, body)


def _once_released(call: Call, release: str) -> Answer:
    """The answer of ``/health``, once the new release is served."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = call("GET", "/health")
        served = isinstance(answer.body, dict) and answer.body.get("release") == release
        if served or time.monotonic() > deadline:
            return answer
        time.sleep(1)


def _caller(base_url: str) -> Call:
    def call(method: str, path: str, body: Any = None) -> Answer:
        try:
            response = requests.request(
                method, base_url + path, json=body, timeout=SECONDS_PER_CALL, allow_redirects=False
            )
        except requests.RequestException as error:
            return Answer(0, str(error))
        try:
            return Answer(response.status_code, response.json())
        except ValueError:
            return Answer(response.status_code, response.text)

    return call
