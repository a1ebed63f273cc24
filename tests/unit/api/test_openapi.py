"""The description of the API: complete, valid, and the one that is committed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from chalicelib.api import openapi
from chalicelib.api.application import all_routes
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
        partners = route.path.startswith("/payments/direct")
        wanted = {"session"} if route.roles else {"partner", "signature"} if partners else set()
        assert used == wanted, route.path


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
    assert "security" not in paths["/health"]["get"]
    signed = paths["/payments/direct"]["post"]["parameters"]
    assert {"Mwanga-Partner", "Mwanga-Signature"} <= {p["name"] for p in signed}
    sale = paths["/customers/{customer_id}/plans"]["post"]["parameters"]
    assert "Idempotency-Key" in {p["name"] for p in sale}


def test_it_is_written_to_the_file_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, described: dict[str, Any]
) -> None:
    monkeypatch.setattr(sys, "argv", ["openapi", str(tmp_path / "openapi.json")])
    openapi.main()
    assert json.loads((tmp_path / "openapi.json").read_text()) == described
