"""The local template differs from the packaged one as declared, and in nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from infra.local.adapt import DIFFERENCES, LocalAddresses, adapt

Template = dict[str, Any]

ADDRESSES = LocalAddresses(sms_log_url="http://127.0.0.1:9001/sms")


def differences(one: Any, other: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths at which two templates differ, as far down as both have dicts."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            if key not in one or key not in other:
                yield (*path, key)
            else:
                yield from differences(one[key], other[key], (*path, key))
    elif one != other:
        yield path


def is_declared_by(place: str, path: tuple[str, ...]) -> bool:
    """Whether ``path`` is at or below ``place``."""
    names = place.split(".")
    return len(path) >= len(names) and all(map(fnmatchcase, path, names))


def test_every_difference_is_declared(template: Template) -> None:
    places = [place for difference in DIFFERENCES for place in difference.places]
    for path in differences(template, adapt(template, ADDRESSES)):
        declaring = [place for place in places if is_declared_by(place, path)]
        assert len(declaring) == 1, path


def test_every_declared_difference_is_there(template: Template) -> None:
    found = list(differences(template, adapt(template, ADDRESSES)))
    for difference in DIFFERENCES:
        for place in difference.places:
            assert any(is_declared_by(place, path) for path in found), place


def test_every_difference_has_a_reason() -> None:
    assert all(difference.reason.endswith(".") for difference in DIFFERENCES)


def test_the_packaged_template_is_left_as_it_is(template: Template) -> None:
    before = repr(template)
    adapt(template, ADDRESSES)
    assert repr(template) == before


def test_gateway_responses_keep_their_content(template: Template) -> None:
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    packaged = body["x-amazon-apigateway-gateway-responses"]
    local = {
        resource["Properties"]["ResponseType"]: resource["Properties"]
        for resource in adapt(template, ADDRESSES)["Resources"].values()
        if resource["Type"] == "AWS::ApiGateway::GatewayResponse"
    }
    assert set(local) == set(packaged)
    for kind, response in packaged.items():
        assert local[kind]["StatusCode"] == str(response["statusCode"])
        assert local[kind]["ResponseTemplates"] == response["responseTemplates"]
        assert local[kind]["ResponseParameters"] == response["responseParameters"]
