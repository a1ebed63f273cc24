"""Logging in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.api.models import LogInBody, PasswordBody
from chalicelib.api.problems import Problem
from chalicelib.api.routes import STAFF, Answer, Call, Routes, no_content, ok
from chalicelib.api.shapes import SessionShape, session

routes = Routes()


def as_the_app_reads_it(problem: Problem) -> Mapping[str, Any]:
    """The problem, with its text where the registration app looks for it."""
    detail = problem["detail"]
    return {**problem, "message": detail, "data": {"message": detail}}


@routes.route(
    "POST",
    "/auth/login",
    public=True,
    body=LogInBody,
    answers={200: SessionShape},
    problem=as_the_app_reads_it,
    problems=("invalid_credentials", "password_change_required", "forbidden"),
)
def log_in(call: Call[LogInBody]) -> Answer:
    """Log in: a token for the Authorization header."""
    body, address = call.body, call.source_address
    return ok(session(call.wiring.log_in.log_in(body.email, body.password, address=address)))


@routes.route(
    "POST",
    "/auth/password",
    public=True,
    body=PasswordBody,
    answers={200: SessionShape},
    problem=as_the_app_reads_it,
    problems=("invalid_credentials", "forbidden"),
)
def change_password(call: Call[PasswordBody]) -> Answer:
    """Change the password, and log in with it."""
    body = call.body
    logged_in = call.wiring.log_in.change_password(
        body.email, body.password, body.new_password, address=call.source_address
    )
    return ok(session(logged_in))


@routes.route("POST", "/auth/logout", roles=STAFF, answers={204: None})
def log_out(call: Call[None]) -> Answer:
    """Log out: the token is good for nothing any more."""
    call.wiring.log_in.log_out(call.bearer_token)
    return no_content()
