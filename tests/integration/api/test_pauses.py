"""Pauses and searches through the API."""

from __future__ import annotations

import pytest

from tests.integration.api.conftest import Api, Place, meter, person, registration

WHY = {"reason": "their confirmations do not come"}


@pytest.mark.parametrize("path", ["/pauses/channels/daraja", "/pauses/manufacturers/calin"])
def test_a_pause_is_shown_until_it_ends(api: Api, path: str) -> None:
    made = api.put(path, WHY, "operations")
    assert made.status == 200
    assert set(made.json) == {"kind", "key", "reason", "actor", "since"}
    listed = api.get("/pauses", "finance")
    assert (listed.json["items"], listed.json["next"]) == ([made.json], None)
    assert api.send("DELETE", path, role="operations").status == 204
    assert api.get("/pauses").json["items"] == []
    again = api.send("DELETE", path, role="operations")
    assert (again.status, again.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "body", "answered"),
    [
        ("/pauses/channels/nobody", WHY, (404, "not_found")),
        ("/pauses/manufacturers/nobody", WHY, (404, "not_found")),
        ("/pauses/channels/airtel_tz", WHY, (422, "invalid")),
        ("/pauses/manufacturers/openpaygo", WHY, (422, "invalid")),
        ("/pauses/channels/daraja", {}, (422, "invalid")),
        ("/pauses/channels/daraja", {"reason": " "}, (422, "invalid")),
    ],
)
def test_what_cannot_be_paused_is_refused(
    api: Api, path: str, body: dict[str, str], answered: tuple[int, str]
) -> None:
    refused = api.put(path, body, "operations")
    assert (refused.status, refused.json["code"]) == answered
    assert api.get("/pauses").json["items"] == []


def test_payments_are_searched_for_by_phone_receipt_or_anything(api: Api, place: Place) -> None:
    api.post("/registrations", registration(person(place), meter(place)), "field")
    for query in ("text=C1", "phone=0712345678", "receipt=REC1"):
        found = api.get(f"/payments?{query}")
        assert (found.status, found.json) == (200, {"items": [], "next": None}), query
    for query in ("text=", "phone=", "receipt=", "text=C1&phone=0712345678"):
        assert api.get(f"/payments?{query}").status == 422, query
