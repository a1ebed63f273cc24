"""Everything that takes tags is tagged, and a type that nobody has thought of stops the build."""

from __future__ import annotations

from typing import Any

import pytest

from infra import tags
from infra.tags import UnknownType, put_tags


def tagged(kind: str) -> dict[str, Any]:
    """The properties of a resource of a type, once tagged."""
    template: dict[str, Any] = {"Resources": {"It": {"Type": kind}}}
    put_tags(template)
    properties: dict[str, Any] = template["Resources"]["It"].get("Properties", {})
    return properties


def test_tags_have_the_form_that_the_type_takes() -> None:
    as_list = [
        {"Key": "project", "Value": "mwanga"},
        {"Key": "stage", "Value": {"Ref": "Stage"}},
    ]
    assert tagged("AWS::SQS::Queue") == {"Tags": as_list}
    assert tagged("AWS::Cognito::UserPool") == {"UserPoolTags": tags.TAGS}
    assert tagged("AWS::S3::BucketPolicy") == {}


def test_a_type_that_nobody_has_thought_of_is_refused() -> None:
    with pytest.raises(UnknownType, match="It is of a type"):
        tagged("AWS::Made::Up")


def test_every_type_is_in_one_table() -> None:
    tables = (set(tags.TAGGED_BY_LIST), set(tags.TAGGED_BY_MAP), tags.UNTAGGED)
    assert sum(map(len, tables)) == len(set().union(*tables))
