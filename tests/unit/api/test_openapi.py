"""The description of the API: complete, valid, and the one that is committed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from chalicelib.api import openapi
from chalicelib.api.application import all_routes
from chalicelib.api.docs_page import page_of
from chalicelib.wiring import Wiring

COMMITTED = Path(__file__).parents[3] / "openapi.json"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The description of all routes."""
    return openapi.describe(all_routes(Wiring().channels))


def test_the_committed_description_is_the_present_one(described: dict[str, Any]) -> None:
    assert json.loads(COMMITTED.read_text()) == described, "run: make openapi"


def test_it_is_valid(described: dict[str, Any]) -> None:
    found = OpenAPIV31SpecValidator(described).iter_errors()
    assert [(list(error.absolute_path), error.message) for error in found] == []


def test_the_codes_of_problems_are_named(described: dict[str, Any]) -> None:
    codes = described["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert {"unauthorized", "not_in_review", "too_small", "try_again"} <= set(codes)


def test_every_route_for_staff_or_partners_says_how_they_prove_who_they_are(
    described: dict[str, Any],
) -> None:
    schemes = set(described["components"]["securitySchemes"])
    for route in all_routes(Wiring().channels):
        operation = described["paths"][route.path][route.method.lower()]
        used = {name for each in operation.get("security", []) for name in each}
        assert used <= schemes
        proof = route.described.proof_headers if route.described else {}
        assert used == ({"session"} if route.roles else set(proof)), route.path


def test_who_signs_says_with_which_headers(described: dict[str, Any]) -> None:
    paths = described["paths"]
    signed = {"Mwanga-Partner": [], "Mwanga-Signature": []}
    assert paths["/payments/direct"]["post"]["security"] == [signed]
    webhook = paths["/payments/paystack/webhook"]["post"]
    assert webhook["security"] == [{"x-paystack-signature": []}]


def test_every_example_fits_its_shape(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    with_examples = {name: s["examples"] for name, s in schemas.items() if "examples" in s}
    assert {"RegistrationBody", "Problem", "TariffBody"} <= set(with_examples)
    for name, examples in with_examples.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        for example in examples:
            errors = [e.message for e in Draft202012Validator(schema).iter_errors(example)]
            assert errors == [], name


def test_every_part_and_every_parameter_says_what_it_is(described: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in described["tags"]}
    for methods in described["paths"].values():
        for operation in methods.values():
            assert set(operation["tags"]) <= tags
            assert all(p["description"].endswith(".") for p in operation.get("parameters", ()))


def test_every_answer_says_its_headers(described: dict[str, Any]) -> None:
    sale = described["paths"]["/customers/{customer_id}/plans"]["post"]["responses"]
    assert set(sale["200"]["headers"]) == {"X-Request-Id", "Idempotency-Hit"}
    assert set(sale["401"]["headers"]) == {"X-Request-Id", "WWW-Authenticate"}
    assert set(sale["503"]["headers"]) == {"X-Request-Id", "Retry-After"}
    assert "reference_conflict" in sale["409"]["description"]


def test_the_page_for_people_has_everything_and_runs_nothing(described: dict[str, Any]) -> None:
    page = page_of(described)
    assert len(page.encode()) < 500_000
    for path in described["paths"]:
        assert f"<code>{path}</code>" in page
    for name in described["components"]["schemas"]:
        assert f'id="shape-{name}"' in page
    assert "<script" not in page
    linked = set(re.findall(r'href="([^"]+)"', page))
    anchors = set(re.findall(r'id="([^"]+)"', page)) | set(re.findall(r"id='([^']+)'", page))
    assert {link for link in linked if not link.startswith("#")} == {"openapi.json"}
    assert {link[1:] for link in linked if link.startswith("#")} <= anchors


def test_every_route_is_described(described: dict[str, Any]) -> None:
    operations = {
        (method.upper(), path) for path, methods in described["paths"].items() for method in methods
    }
    assert operations == {(r.method, r.path) for r in all_routes(Wiring().channels)}


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does(
    described: dict[str, Any],
) -> None:
    operations = [o for methods in described["paths"].values() for o in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation["summary"].endswith(".") for operation in operations)


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [ref for item in value.values() for ref in references(item)]
        if isinstance(value, list):
            return [ref for item in value for ref in references(item)]
        return []

    found = references(described)
    assert found
    for reference in found:
        place: Any = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_a_list_says_what_its_items_are(described: dict[str, Any]) -> None:
    answer = described["paths"]["/tariffs"]["get"]["responses"]["200"]
    schema = answer["content"]["application/json"]["schema"]
    assert schema["properties"]["items"]["items"] == {"$ref": "#/components/schemas/TariffShape"}


def test_amounts_are_texts(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    assert schemas["TariffBody"]["properties"]["price_per_kwh"]["type"] == "string"
    assert schemas["PlanShape"]["properties"]["total"]["type"] == "string"


def test_who_may_call_is_said(described: dict[str, Any]) -> None:
    paths = described["paths"]
    assert paths["/settings"]["put"]["security"] == [{"session": []}]
    assert paths["/health"]["get"]["security"] == []
    sale = paths["/customers/{customer_id}/plans"]["post"]["parameters"]
    assert "Idempotency-Key" in {p["name"] for p in sale}


def test_it_is_written_to_the_file_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, described: dict[str, Any]
) -> None:
    monkeypatch.setattr(sys, "argv", ["openapi", str(tmp_path / "openapi.json")])
    openapi.main()
    assert json.loads((tmp_path / "openapi.json").read_text()) == described
