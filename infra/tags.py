"""Who pays for what, and whose it is: the same two tags on everything that takes tags.

They are put into the template, so that a stack that somebody makes by hand has them too. What the
SAM transform makes out of a function (its mapping, its rule) has only the tags of the stack.
"""

from __future__ import annotations

from typing import Any

TAGS: dict[str, Any] = {"project": "mwanga", "stage": {"Ref": "Stage"}}
"""The tags, the same as the stack's. (IAM refuses keys that differ from them in case alone.)"""

TAGGED_BY_LIST = {
    "AWS::ApiGateway::DomainName": "Tags",
    "AWS::CloudWatch::Alarm": "Tags",
    "AWS::CloudWatch::CompositeAlarm": "Tags",
    "AWS::DynamoDB::Table": "Tags",
    "AWS::Events::Rule": "Tags",
    "AWS::IAM::Role": "Tags",
    "AWS::KMS::Key": "Tags",
    "AWS::Logs::LogGroup": "Tags",
    "AWS::S3::Bucket": "Tags",
    "AWS::SNS::Topic": "Tags",
    "AWS::SQS::Queue": "Tags",
    "AWS::SecretsManager::Secret": "Tags",
}
"""The property of each type that takes a list of keys and values."""

TAGGED_BY_MAP = {
    "AWS::Cognito::UserPool": "UserPoolTags",
    "AWS::Serverless::Api": "Tags",
    "AWS::Serverless::Function": "Tags",
}
"""The property of each type that takes a map."""

UNTAGGED = {
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::BasePathMapping",
    "AWS::CloudWatch::Dashboard",
    "AWS::Cognito::UserPoolClient",
    "AWS::Cognito::UserPoolGroup",
    "AWS::KMS::Alias",
    "AWS::Lambda::Permission",
    "AWS::Logs::MetricFilter",
    "AWS::Logs::QueryDefinition",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Serverless::LayerVersion",
}
"""Types that take none."""


class UnknownType(Exception):
    """Nobody has said yet how resources of this type are tagged."""


def put_tags(template: dict[str, Any]) -> None:
    """Tags every resource of the template that takes tags.

    Raises:
        UnknownType: a type stands in none of the tables above.
    """
    as_list = [{"Key": key, "Value": value} for key, value in TAGS.items()]
    for name, resource in template["Resources"].items():
        kind = resource["Type"]
        if kind in TAGGED_BY_LIST:
            resource.setdefault("Properties", {})[TAGGED_BY_LIST[kind]] = list(as_list)
        elif kind in TAGGED_BY_MAP:
            resource.setdefault("Properties", {})[TAGGED_BY_MAP[kind]] = dict(TAGS)
        elif kind not in UNTAGGED:
            raise UnknownType(f"{name} is of a type that infra/tags.py does not know: {kind}")
