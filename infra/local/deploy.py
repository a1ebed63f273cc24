"""Deploys the packaged template to a fresh emulator, in the way it is deployed to AWS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from infra.deployment.releases import Releases, release_of
from infra.deployment.stacks import DeploymentFailed, Stack
from infra.deployment.target import Target
from infra.local.adapt import LocalAddresses, adapt
from infra.package import REGION, ROOT, Package, load_template

__all__ = ["STACK", "Deployed", "DeploymentFailed", "client", "deploy"]

STACK = "mwanga"
"""The name of the local stack; it stands before the names of all tables, queues and secrets."""


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
    target = Target(STACK, REGION, endpoint)
    releases, stack = Releases(target), Stack(target)
    release = release_of(package, template, ROOT)
    releases.ensure_bucket()
    url = releases.keep(release, package, template)
    change_set = stack.prepare(url, {"Stage": "local", "Release": release}, {})
    if change_set is None:
        raise DeploymentFailed(f"{STACK} is deployed already")
    stack.execute(change_set, _say_nothing)
    releases.note(release)
    ids = {logical: physical for logical, (_, physical) in stack.resources().items()}
    return Deployed(ids)


def _say_nothing(_: str) -> None:
    pass


def _plain_queue_name(url: str) -> str:
    return url.rsplit("/", 1)[-1].removeprefix(f"{STACK}-").removesuffix(".fifo")
