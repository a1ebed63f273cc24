"""How a template is read: resources by type, what refers to what, and who may do what."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from infra.package import REGION

Template = dict[str, Any]

QUEUE = "AWS::SQS::Queue"
FUNCTION = "AWS::Serverless::Function"


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type, by logical id."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template["Resources"].items()
        if resource.get("Type") == kind
    }


def references(value: Any) -> Iterator[str]:
    """Every name that ``value`` refers to by Ref, Fn::GetAtt or Fn::Sub."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner[0] if isinstance(inner, list) else inner.split(".")[0]
            elif key == "Fn::Sub":
                text, given = inner if isinstance(inner, list) else (inner, {})
                names = (name.split(".")[0] for name in re.findall(r"\${([^!}]+)}", text))
                yield from (name for name in names if name not in given)
                yield from references(given)
            else:
                yield from references(inner)


def as_list(value: Any) -> list[Any]:
    """What IAM takes alone or in a list, as a list."""
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Statement:
    """One statement of any policy in a template."""

    resource: str
    """The logical id of what the policy belongs to."""
    content: Mapping[str, Any]

    @property
    def sid(self) -> str:
        """Its name within the policy, if it has one."""
        return str(self.content.get("Sid", ""))

    @property
    def actions(self) -> set[str]:
        """What it is about."""
        return set(as_list(self.content.get("Action", [])))


def statements(template: Template) -> Iterator[Statement]:
    """Every statement of every policy: of roles, buckets, keys, queues and topics."""
    for name, resource in template["Resources"].items():
        for document in _policy_documents(resource.get("Properties", {})):
            for content in as_list(document["Statement"]):
                yield Statement(name, content)


def statements_of(template: Template, function: str) -> list[dict[str, Any]]:
    """The statements of a function's role."""
    role = template["Resources"][function]["Properties"]["Role"]["Fn::GetAtt"][0]
    (policy,) = template["Resources"][role]["Properties"]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def _policy_documents(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _policy_documents(item)
    elif isinstance(value, dict):
        if "Statement" in value:
            yield value
        else:
            for inner in value.values():
                yield from _policy_documents(inner)


def texts(value: Any) -> Iterator[str]:
    """Every text in it, keys and all."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)


def expand(template: Template) -> Template:
    """The template as CloudFormation sees it, after the SAM transform."""
    # What is loaded here takes a second, and most of what is read needs no transform.
    from samtranslator.translator.transform import transform

    uploaded = copy.deepcopy(template)
    for resource in uploaded["Resources"].values():
        for key in ("CodeUri", "ContentUri"):
            if key in resource["Properties"]:
                resource["Properties"][key] = "s3://bucket/key"
    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = REGION
    try:
        done: Template = transform(uploaded, {}, SimpleNamespace(load=dict))
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]
        else:
            os.environ["AWS_DEFAULT_REGION"] = before
    return done


def size(value: Any) -> int:
    """The bytes of something as JSON without spaces, as AWS counts policies."""
    return len(json.dumps(value, separators=(",", ":")).encode())
