"""Where something is deployed to: an account, a region and a stack."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.package import REGION

STAGE_PATTERN = re.compile(r"[a-z](?:[a-z0-9-]{0,11}[a-z0-9])?")
"""A stage's name is part of the names of functions, queues, buckets and secrets, and of what the
roles may touch: a longer one would take the API's role beyond what a role may say."""


class NoTarget(Exception):
    """Nobody knows where to deploy to: a bad stage, no region, or no credentials."""


@dataclass(frozen=True)
class Target:
    """One stack in one region of one account.

    ``endpoint`` is the address of a local emulator; without it, this is AWS, with the credentials
    that the operator's shell or profile has.
    """

    stack: str
    region: str
    endpoint: str | None = None

    @cached_property
    def account(self) -> str:
        """The number of the account whose credentials these are.

        Raises:
            NoTarget: there are none, or they are not valid.
        """
        try:
            return str(self.client("sts").get_caller_identity()["Account"])
        except (BotoCoreError, ClientError) as error:
            raise NoTarget(
                f"There are no valid credentials: {error}\n"
                "Log in first (for example: aws sso login --profile NAME), and set AWS_PROFILE."
            ) from error

    @property
    def bucket(self) -> str:
        """The bucket of this stack's releases. Stages share none."""
        return f"{self.stack}-releases-{self.account}-{self.region}"

    def client(self, service: str) -> Any:
        """A client of AWS, or of the emulator with credentials that are worth nothing elsewhere."""
        if self.endpoint is None:
            return boto3.client(service, region_name=self.region)
        return boto3.client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - worth nothing anywhere
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def object_url(self, key: str) -> str:
        """The address at which CloudFormation reads an object of the bucket."""
        if self.endpoint is None:
            suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
            return f"https://{self.bucket}.s3.{self.region}.{suffix}/{key}"
        return f"{self.endpoint}/{self.bucket}/{key}"

    def describe(self) -> str:
        """One line for people, to read before anything is changed."""
        where = self.endpoint or "AWS"
        return f"account {self.account}, region {self.region}, stack {self.stack}, at {where}"


def target_of(stage: str, region: str | None, endpoint: str | None) -> Target:
    """The target of a stage: the stack ``mwanga-<stage>``.

    Raises:
        NoTarget: the stage is no good name, or no region is known.
    """
    if not STAGE_PATTERN.fullmatch(stage):
        raise NoTarget(
            f"{stage!r} is no name for a stage: 1 to 13 of a-z, 0-9 and dashes, a letter first."
        )
    found = region or (REGION if endpoint else boto3.Session().region_name)
    if not found:
        raise NoTarget("No region is known: set AWS_REGION, or a region in your profile.")
    return Target(f"mwanga-{stage}", found, endpoint or None)
