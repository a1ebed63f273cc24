"""The edge: what every answer has in common, also where API Gateway answers in our place."""

from __future__ import annotations

import pytest

from infra.local.client import Answer, Cloud
from tests.e2e.company import Company, unique

PROBLEM = {"type", "title", "status", "code", "detail", "errors", "request_id"}


def is_problem(answer: Answer, status: int, code: str) -> bool:
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer
    assert set(answer.body) >= PROBLEM, answer.body
    assert answer.body["status"] == answer.status
    assert answer.body["request_id"]
    return (answer.status, answer.code) == (status, code)


def test_health_is_quick_and_says_little(cloud: Cloud) -> None:
    answer = cloud.api.call("GET", "/health")
    assert answer.status == 200
    assert len(str(answer.body)) < 200


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/health"), ("GET", "/villages"), ("POST", "/payments/direct")]
)
def test_every_answer_has_a_request_id(cloud: Cloud, method: str, path: str) -> None:
    assert cloud.api.call(method, path).headers["X-Request-Id"]


def test_request_ids_differ(cloud: Cloud) -> None:
    ids = {cloud.api.call("GET", "/health").headers["X-Request-Id"] for _ in range(3)}
    assert len(ids) == 3


def test_our_own_problems_have_the_problem_s_shape(cloud: Cloud) -> None:
    assert is_problem(cloud.api.call("GET", "/villages"), 401, "unauthorized")
    answer = cloud.staff("admin").post("/clusters", {"name": ""})
    assert is_problem(answer, 422, "invalid")
    assert answer.body["errors"][0].keys() == {"field", "message"}


def test_api_gateway_s_own_problems_have_the_same_shape(cloud: Cloud) -> None:
    assert is_problem(cloud.api.call("GET", "/no/such/route"), 404, "not_found")
    assert is_problem(cloud.staff("admin").get("/no-such-route"), 404, "not_found")


@pytest.mark.parametrize("raw", [b"{", b"[]", b"null", b'{"name": "a", "name": "b"}', b"\xff"])
def test_a_body_that_is_no_object_is_malformed(cloud: Cloud, raw: bytes) -> None:
    answer = cloud.staff("admin").call("POST", "/clusters", raw)
    assert is_problem(answer, 400, "malformed")


def test_another_media_type_is_not_taken(cloud: Cloud) -> None:
    headers = {**cloud.staff("admin").authorization, "Content-Type": "text/xml"}
    answer = cloud.api.call("POST", "/clusters", b"<name/>", headers=headers)
    assert is_problem(answer, 415, "unsupported_media_type")


def test_a_body_that_is_too_large_is_not_taken(cloud: Cloud) -> None:
    answer = cloud.staff("admin").post("/clusters", {"name": "x" * 2_000_000})
    assert is_problem(answer, 413, "too_large")


def test_an_unknown_field_is_named(cloud: Cloud) -> None:
    answer = cloud.staff("admin").post("/clusters", {"name": unique("c "), "colour": "red"})
    assert is_problem(answer, 422, "invalid")
    assert answer.fields == {"colour"}


def test_names_in_any_script_come_back_as_they_were_given(company: Company) -> None:
    person = company.person(name="Łukasz", surname=f"मेरी 李 {unique()}")
    answer = company.cloud.staff("office").post("/customers", person)
    assert answer.status == 201
    assert (answer.body["name"], answer.body["surname"]) == (person["name"], person["surname"])


def test_an_id_with_odd_characters_is_found_or_not_but_never_an_error(cloud: Cloud) -> None:
    for path in (
        "/devices/%2F..%2F",
        "/devices/%F0%9F%92%A1",
        "/devices/a%20b",
        "/payments/%25",
        "/customers/%00",
        "/clusters/0",
        "/clusters/-1",
        "/clusters/one",
        "/clusters/1e3",
    ):
        answer = cloud.staff("admin").get(path)
        assert answer.status in (404, 422), (path, answer)


def test_the_api_describes_itself(cloud: Cloud) -> None:
    document = cloud.api.call("GET", "/openapi.json").body
    assert document["openapi"].startswith("3.1")
    assert {"/payments/direct", "/registrations", "/payments/{payment_id}"} <= set(
        document["paths"]
    )


def test_an_upload_of_a_hundred_megabytes_is_refused(cloud: Cloud) -> None:
    admin = cloud.staff("admin")
    answer = cloud.api.call(
        "POST", "/clusters", bytes(100 * 1024 * 1024), headers=admin.authorization
    )
    assert (answer.status, answer.code) == (413, "too_large")
    assert answer.headers["X-Request-Id"] == answer.body["request_id"]


def test_a_browser_is_told_nothing_that_would_let_another_site_in(cloud: Cloud) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = cloud.api.call("OPTIONS", "/clusters", headers=headers)
    assert answer.status >= 400
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
