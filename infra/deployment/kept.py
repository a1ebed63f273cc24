"""What outlives a stack: tables, buckets, secrets and the user pool with its groups.

A removed stack leaves them, with the company's data in them. A stack of the same name that is made
later cannot make them again, because their names are taken: it takes them over instead, by a
resource import, before anything else of it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import yaml
from botocore.exceptions import ClientError

from infra.deployment.target import Target

Template = dict[str, Any]

_POOL = "AWS::Cognito::UserPool"
_GROUP = "AWS::Cognito::UserPoolGroup"

_GOES_WITH_ITS_OWNER = {"AWS::Lambda::Version"}


class AmbiguousPool(Exception):
    """Several user pools have the name of ours. The text says which."""


class BeingDeleted(Exception):
    """Something of ours is scheduled for deletion. The text says what, and how it is kept."""


@dataclass(frozen=True)
class Kept:
    """One thing that outlives its stack."""

    kind: str
    physical_id: str


_REMOVALS = {
    "AWS::DynamoDB::Table": (
        "aws dynamodb update-table --table-name $it --no-deletion-protection-enabled",
        "aws dynamodb wait table-exists --table-name $it",
        "aws dynamodb delete-table --table-name $it",
    ),
    "AWS::SecretsManager::Secret": (
        "aws secretsmanager delete-secret --recovery-window-in-days 30 --secret-id $it",
    ),
    _POOL: (
        "aws cognito-idp update-user-pool --user-pool-id $it --deletion-protection INACTIVE",
        "aws cognito-idp delete-user-pool --user-pool-id $it",
    ),
    "AWS::Lambda::LayerVersion": (
        "aws lambda delete-layer-version --layer-name ${it%:*} --version-number ${it##*:}",
    ),
    "AWS::KMS::Key": ("aws kms schedule-key-deletion --pending-window-in-days 30 --key-id $it",),
}


_SHARED = {"AWS::ApiGateway::Account", "AWS::IAM::Role"}
"""The setting by which API Gateway may write logs, and its role: one for all APIs of an account and
a region, so the other stages need them."""


def removals(stays: Iterable[Kept]) -> Iterator[str]:
    """How a person removes what stays for good, one command of a shell for each kind of thing."""
    for kind, things in groupby(stays, key=lambda kept: kept.kind):
        names = " ".join(kept.physical_id for kept in things)
        if kind in _SHARED:
            yield f"leave as long as any API is in the account and region, {kind}: {names}"
        elif kind == "AWS::S3::Bucket":
            yield f"in the S3 console, empty (all versions), then delete: {names}"
        elif kind in _REMOVALS:
            yield f"for it in {names}; do {' && '.join(_REMOVALS[kind])}; done"
        elif kind != _GROUP:  # a group goes with its pool
            yield f"in the console, {kind}: {names}"


def kept_by(target: Target, resources: Mapping[str, tuple[str, str]]) -> list[Kept]:
    """What a stack leaves when it is removed: what its template says is to be retained."""
    body = target.client("cloudformation").get_template(
        StackName=target.stack, TemplateStage="Processed"
    )["TemplateBody"]
    template = yaml.safe_load(body) if isinstance(body, str) else body
    return sorted(
        (
            Kept(kind, physical_id)
            for name, (kind, physical_id) in resources.items()
            if template["Resources"].get(name, {}).get("DeletionPolicy") == "Retain"
            and kind not in _GOES_WITH_ITS_OWNER
        ),
        key=lambda kept: (kept.kind, kept.physical_id),
    )


def left_over(target: Target, template: Template) -> list[dict[str, Any]]:
    """What of a template's retained resources exists already, as ``ResourcesToImport``.

    Raises:
        AmbiguousPool, BeingDeleted: see there.
    """
    return [*_Finder(target, template).found()]


def only(template: Template, imports: list[dict[str, Any]]) -> Template:
    """The part of a template that an import may have: what is taken over, and nothing else."""
    names = [item["LogicalResourceId"] for item in imports]
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": template["Parameters"],
        "Resources": {name: template["Resources"][name] for name in names},
    }


class _Finder:
    """Looks for what a stack of this name has left."""

    def __init__(self, target: Target, template: Template) -> None:
        self._target = target
        self._resources = template["Resources"]
        self._pool = ""
        self._looks: dict[str, Callable[[Any], dict[str, str] | None]] = {
            "AWS::DynamoDB::Table": self._table,
            "AWS::S3::Bucket": self._bucket,
            "AWS::SecretsManager::Secret": self._secret,
            _POOL: self._user_pool,
            _GROUP: self._group,
        }

    def found(self) -> Iterator[dict[str, Any]]:
        """The pool comes before its groups."""
        retained = {
            name: resource
            for name, resource in self._resources.items()
            if resource.get("DeletionPolicy") == "Retain" and resource["Type"] in self._looks
        }
        for name, resource in sorted(retained.items(), key=lambda item: item[1]["Type"]):
            identifier = self._looks[resource["Type"]](resource["Properties"])
            if identifier:
                yield {
                    "LogicalResourceId": name,
                    "ResourceType": resource["Type"],
                    "ResourceIdentifier": identifier,
                }

    def _name(self, value: Any) -> str:
        """A name as CloudFormation makes it. All of ours are texts with the stack's name in."""
        text: str = value["Fn::Sub"] if isinstance(value, dict) else value
        known = {
            "StackName": self._target.stack,
            "AccountId": self._target.account,
            "Region": self._target.region,
        }
        for key, meant in known.items():
            text = text.replace(f"${{AWS::{key}}}", meant)
        return text

    def _table(self, properties: Any) -> dict[str, str] | None:
        name = self._name(properties["TableName"])
        there = self._answered("dynamodb", "describe_table", TableName=name)
        return {"TableName": name} if there else None

    def _bucket(self, properties: Any) -> dict[str, str] | None:
        name = self._name(properties["BucketName"])
        return {"BucketName": name} if self._answered("s3", "head_bucket", Bucket=name) else None

    def _secret(self, properties: Any) -> dict[str, str] | None:
        name = self._name(properties["Name"])
        secret = self._answered("secretsmanager", "describe_secret", SecretId=name)
        if secret and secret.get("DeletedDate"):
            raise BeingDeleted(
                f"The secret {name} is on its way out, and its name is taken until then. Take it "
                f"back first: aws secretsmanager restore-secret --secret-id {name}"
            )
        return {"Id": secret["ARN"]} if secret else None

    def _user_pool(self, properties: Any) -> dict[str, str] | None:
        name = self._name(properties["UserPoolName"])
        pages = self._target.client("cognito-idp").get_paginator("list_user_pools")
        found = [
            pool["Id"]
            for page in pages.paginate(MaxResults=60)
            for pool in page["UserPools"]
            if pool["Name"] == name
        ]
        if len(found) > 1:
            raise AmbiguousPool(
                f"There are several user pools called {name}: {', '.join(found)}. Nobody but you "
                "knows which of them has your staff. Rename or delete the others, then try again."
            )
        self._pool = found[0] if found else ""
        return {"UserPoolId": self._pool} if found else None

    def _group(self, properties: Any) -> dict[str, str] | None:
        group = {"UserPoolId": self._pool, "GroupName": properties["GroupName"]}
        there = self._pool and self._answered("cognito-idp", "get_group", **group)
        return group if there else None

    def _answered(self, service: str, call: str, **names: str) -> Any:
        """The answer of a call about one thing; nothing where that is not there."""
        try:
            return getattr(self._target.client(service), call)(**names)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "ResourceNotFoundException"}:
                return None
            raise
