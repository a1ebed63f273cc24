"""The archive of reports, as the built template makes it."""

from __future__ import annotations

import json
from typing import Any

from infra.checks.reading import statements_of
from tests.infra.test_template import FUNCTIONS, Template


def bucket(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"]["ReportsBucket"]
    return found


def test_it_is_private_encrypted_and_reached_by_tls_only(template: Template) -> None:
    properties = bucket(template)["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    [rule] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]
    policy = template["Resources"]["ReportsBucketPolicy"]["Properties"]
    assert policy["Bucket"] == {"Ref": "ReportsBucket"}
    [statement] = policy["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_nothing_in_it_is_ever_lost(template: Template) -> None:
    found = bucket(template)
    assert found["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert (found["DeletionPolicy"], found["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert "LifecycleConfiguration" not in found["Properties"]
    for function in FUNCTIONS:
        for statement in statements_of(template, function):
            if "ReportsBucket" in json.dumps(statement["Resource"]):
                assert not [action for action in statement["Action"] if "Delete" in action]
