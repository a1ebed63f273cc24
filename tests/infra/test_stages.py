"""Two stages in one account share nothing: every name carries the stack's, and no role reaches
beyond what the stack itself is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Template = dict[str, Any]

NAMES = {
    "AWS::ApiGateway::RestApi": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::Cognito::UserPool": "UserPoolName",
    "AWS::Cognito::UserPoolClient": "ClientName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Logs::QueryDefinition": "Name",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SecretsManager::Secret": "Name",
}
"""Where the name of each kind of resource stands. One without a name gets one that is new."""

STARRED = {"Trace"}
"""Statements for which AWS knows no resources; infra/checks/exceptions.yaml has the reasons."""

SAME_EVERYWHERE = {"SERVES_ROUTES"}
"""Variables that say what a function is, and nothing of its surroundings."""

NAMES_OF_NAMES = re.compile(r"(Name|Alias|Id)$")


def names(expanded: Template) -> Iterator[tuple[str, Any]]:
    """Every name that the template gives to something."""
    for logical_id, resource in expanded["Resources"].items():
        key = NAMES.get(resource["Type"])
        if key and key in resource.get("Properties", {}):
            yield logical_id, resource["Properties"][key]


def statements(expanded: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every statement of every role and policy, with its resource's logical id."""
    for logical_id, resource in expanded["Resources"].items():
        properties = resource.get("Properties", {})
        inline = properties.get("Policies", []) if resource["Type"] == "AWS::IAM::Role" else []
        documents = [policy["PolicyDocument"] for policy in inline]
        if resource["Type"].endswith("Policy") and "PolicyDocument" in properties:
            documents.append(properties["PolicyDocument"])
        for document in documents:
            for statement in document["Statement"]:
                yield logical_id, statement


def reaches_only_the_stack(resource: Any, expanded: Template) -> bool:
    """Whether an ARN is one of the stack's own resources, or has the stack's name in it."""
    if not isinstance(resource, dict):
        return False
    ((function, value),) = resource.items()
    if function in {"Ref", "Fn::GetAtt"}:
        name = value if isinstance(value, str) else value[0]
        return name in expanded["Resources"]
    text = value if isinstance(value, str) else value[0]
    referred = set(re.findall(r"\${([^!}.]+)", text))
    return bool(referred & ({"AWS::StackName"} | set(expanded["Resources"])))


def test_every_name_carries_the_name_of_the_stack(expanded: Template) -> None:
    found = list(names(expanded))
    assert len(found) > 80
    for logical_id, name in found:
        assert isinstance(name, dict), f"{logical_id} has the same name in every stage: {name}"
        assert name.get("Ref") == "AWS::StackName" or "${AWS::StackName}" in name["Fn::Sub"], name


def test_no_kind_of_resource_is_given_a_name_that_nobody_looks_at(expanded: Template) -> None:
    """A name as plain text would be the same in every stage."""
    named = {
        (resource["Type"], key, value)
        for resource in expanded["Resources"].values()
        for key, value in resource.get("Properties", {}).items()
        if NAMES_OF_NAMES.search(key) and isinstance(value, str)
    }
    within = {
        ("AWS::ApiGateway::Stage", "StageName"),
        ("AWS::Cognito::UserPoolGroup", "GroupName"),
        ("AWS::Lambda::Alias", "Name"),
        ("AWS::CloudWatch::Alarm", "MetricName"),
    }
    assert {item for item in named if item[:2] not in within} == set()


def test_no_policy_reaches_beyond_the_stack(expanded: Template) -> None:
    found = [(name, item) for name, item in statements(expanded) if item["Effect"] == "Allow"]
    assert len(found) > 20
    for logical_id, statement in found:
        if statement.get("Sid") in STARRED:
            continue
        resources = statement["Resource"]
        for resource in resources if isinstance(resources, list) else [resources]:
            assert reaches_only_the_stack(resource, expanded), (logical_id, statement)


def test_the_api_has_one_stage(expanded: Template) -> None:
    deployments = [
        resource["Properties"]
        for resource in expanded["Resources"].values()
        if resource["Type"] == "AWS::ApiGateway::Deployment"
    ]
    assert [deployment.get("StageName") for deployment in deployments] == [None]


def test_nothing_is_exported_or_imported(expanded: Template) -> None:
    assert all("Export" not in output for output in expanded.get("Outputs", {}).values())
    assert "Fn::ImportValue" not in str(expanded)


def test_what_a_function_is_told_of_its_surroundings_is_of_its_own_stack(
    expanded: Template,
) -> None:
    for resource in expanded["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            for name, value in resource["Properties"]["Environment"]["Variables"].items():
                assert isinstance(value, dict) or name in SAME_EVERYWHERE, (
                    f"{name} is the same in every stage"
                )
