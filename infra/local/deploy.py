"""Deploys the packaged template to the emulator, by CloudFormation."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import boto3
import yaml
from botocore.config import Config

from infra.local.adapt import LocalAddresses, Template, adapt
from infra.package import REGION, Package, load_template

STACK = "mwanga"
"""The name of the local stack; it stands before the names of all tables, queues and secrets."""

_BUCKET = "mwanga-deployments"
_SECONDS_MAX = 120


class DeploymentFailed(Exception):
    """CloudFormation did not create the stack. The text says what it reported."""


@dataclass(frozen=True)
class Deployed:
    """What a stack is made of: the physical id of each resource, by its logical id."""

    ids: dict[str, str]

    @property
    def tables(self) -> dict[str, str]:
        """Plain table name → its name in this stack."""
        names = (name for logical, name in self.ids.items() if logical.endswith("Table"))
        return {name.removeprefix(f"{STACK}-"): name for name in sorted(names)}

    @property
    def queues(self) -> dict[str, str]:
        """Plain queue name, such as ``vends`` or ``vends-dead`` → its URL."""
        urls = (url for logical, url in self.ids.items() if logical.endswith("Queue"))
        return {_plain_queue_name(url): url for url in sorted(urls)}

    @property
    def functions(self) -> dict[str, str]:
        """What a function does, such as ``settle`` → its name in this stack."""
        logical_ids = {
            "api": "APIHandler",
            "settle": "Settle",
            "vend": "Vend",
            "call_provider": "CallProvider",
            "send_messages": "SendMessages",
            "move": "Move",
            "sweep": "Sweep",
            "check_manufacturer": "CheckManufacturer",
            "sync_tariffs": "SyncTariffs",
            "reconcile": "Reconcile",
        }
        return {name: self.ids[logical] for name, logical in logical_ids.items()}


def client(service: str, endpoint: str) -> Any:
    """A client of the emulator, with credentials that are worth nothing anywhere else."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def deploy(package: Package, endpoint: str, addresses: LocalAddresses) -> Deployed:
    """Creates the stack and waits until it is there.

    Raises:
        DeploymentFailed: a resource could not be created.
    """
    template = adapt(load_template(package), addresses)
    url = _upload(package, template, endpoint)
    cloudformation = client("cloudformation", endpoint)
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=url,
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": "Stage", "ParameterValue": "local"}],
    )
    _wait_for_stack(cloudformation)
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    return Deployed({item["LogicalResourceId"]: item["PhysicalResourceId"] for item in resources})


def _upload(package: Package, template: Template, endpoint: str) -> str:
    """Puts code and template into a bucket, as ``aws cloudformation package`` does on AWS."""
    s3 = client("s3", endpoint)
    s3.create_bucket(Bucket=_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=_BUCKET, Key=package.code.name, Body=package.code.read_bytes())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://{_BUCKET}/{package.code.name}"
    body = yaml.safe_dump(template).encode()
    s3.put_object(Bucket=_BUCKET, Key="template.yaml", Body=body)
    return f"{endpoint}/{_BUCKET}/template.yaml"


def _wait_for_stack(cloudformation: Any) -> None:
    deadline = time.monotonic() + _SECONDS_MAX
    while time.monotonic() < deadline:
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return
        if stack["StackStatus"] != "CREATE_IN_PROGRESS":
            raise DeploymentFailed(_failures(cloudformation) or str(stack))
        time.sleep(0.05)
    raise DeploymentFailed(f"the stack was not created within {_SECONDS_MAX} seconds")


def _failures(cloudformation: Any) -> str:
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    return "\n".join(
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for event in events
        if event["ResourceStatus"].endswith("_FAILED")
    )


def _plain_queue_name(url: str) -> str:
    return url.rsplit("/", 1)[-1].removeprefix(f"{STACK}-").removesuffix(".fifo")
