"""The edge itself: who may call, what is read, and how what goes wrong is told."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from chalicelib.api.application import all_routes, create_app
from chalicelib.domain.errors import MwangaError
from chalicelib.services.ports import OutcomeUnknown, TryAgain
from chalicelib.wiring import Wiring
from tests.integration.api.conftest import Api

# --- what is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_named_in_full(api: Api, content_type: str) -> None:
    answer = api.send(
        "POST",
        "/clusters",
        {"name": "Thiès"},
        headers={"Content-Type": content_type},
    )
    assert (answer.status, answer.json["name"]) == (201, "Thiès")


# --- how what goes wrong is told --------------------------------------------------------------


def test_the_request_id_is_the_gateway_s(api: Api) -> None:
    app = create_app(api.wiring)
    answer = app(gateway_event("/health", requestId="from-the-gateway"), None)
    assert answer["headers"]["X-Request-Id"] == "from-the-gateway"


def test_every_answer_bears_the_id_of_its_request_as_does_its_line_in_the_log(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is called: our API, the pages of the website, the addresses of providers."""
    for route in all_routes(api.wiring.channels):
        capsys.readouterr()
        path = re.sub(r"{\w+}", "1", route.path)
        answer = api.send(route.method, path, role=None)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        told = [line["request_id"] for line in lines if line.get("event") == "request"]
        assert told == [answer.headers["x-request-id"]], route.path


def gateway_event(path: str, **context: str) -> dict[str, Any]:
    """A request as API Gateway hands it over."""
    return {
        "requestContext": {
            "httpMethod": "GET",
            "resourcePath": path,
            "identity": {"sourceIp": "1.2.3.4"},
            **context,
        },
        "multiValueQueryStringParameters": None,
        "headers": {},
        "pathParameters": None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
    }


class NobodyThoughtOfThis(MwangaError):
    """An error of ours that has no place at the edge."""

    code = "surprise"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ZeroDivisionError("secret text"), 500, "internal_error"),
        (NobodyThoughtOfThis("secret text"), 500, "internal_error"),
        (TryAgain("secret text"), 503, "try_again"),
        (OutcomeUnknown("secret text"), 503, "try_again"),
    ],
)
def test_an_error_of_ours_is_noted_and_not_explained(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    status: int,
    code: str,
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(api.wiring.sites, "list", fails)
    answer = api.get("/clusters")
    assert (answer.status, answer.code) == (status, code)
    lines = capsys.readouterr().out
    for text in (answer.text, lines):
        assert "secret text" not in text
        assert "Traceback" not in text
    noted = [json.loads(line) for line in lines.splitlines() if '"request_failed"' in line]
    [line] = noted
    assert line["error"] == type(error).__name__
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["place"].startswith("services/sites.py:")


def test_the_app_never_shows_its_stack() -> None:
    assert create_app(Wiring()).debug is False


# --- about itself -----------------------------------------------------------------------------


def test_health_asks_nothing_of_the_store(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TABLE_PREFIX")
    assert api.get("/health", None).json == {"status": "ok", "release": "unreleased"}
