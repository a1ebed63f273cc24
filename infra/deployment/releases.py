"""Releases: what a package is called, and where those that were deployed are kept.

A release is named by the commit and by the content of its package. Its template and code lie in
the bucket of the stack, as long as nobody removes them, so that any of them can be deployed again;
the layer lies beside them under the hash of its content and is uploaded only when it changes.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError

from infra.deployment.target import Target
from infra.package import Package

Template = dict[str, Any]

_CODE = "AWS::Serverless::Function"
_LAYER = "AWS::Serverless::LayerVersion"
_DEPLOYMENTS = "deployments/"


class NoRelease(Exception):
    """There is no such release in the bucket, or none before the present one."""


@dataclass(frozen=True)
class Deployment:
    """One time that a release was deployed. ``back``: as a rollback to it."""

    release: str
    at: str
    back: bool = False


def release_of(package: Package, template: Template, root: Path) -> str:
    """The name of a release: the commit, and the hash of the package. The same package of the
    same commit has the same name, whenever and wherever it was built."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True, default=str).encode())
    for archive in (package.code, package.layer):
        digest.update(content_hash(archive).encode())
    return f"{commit_of(root)[:8]}-{digest.hexdigest()[:10]}"


def content_hash(archive: Path) -> str:
    """The hash of what is in an archive, whatever the times and the order of its files."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            digest.update(f"{name}\0".encode())
            digest.update(hashlib.sha256(files.read(name)).digest())
    return digest.hexdigest()


def commit_of(root: Path) -> str:
    """The commit that is checked out; ``unversioned`` outside of a repository."""
    folder = root / ".git"
    if folder.is_file():  # a worktree's points to its folder
        folder = root / folder.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
    head = folder / "HEAD"
    if not head.exists():
        return "unversioned"
    text = head.read_text(encoding="utf-8").strip()
    name = text.removeprefix("ref:").strip()
    return text if name == text else _commit_of_branch(folder, name)


def _commit_of_branch(folder: Path, name: str) -> str:
    common = folder / "commondir"
    if common.exists():
        folder = folder / common.read_text(encoding="utf-8").strip()
    if (folder / name).exists():
        return (folder / name).read_text(encoding="utf-8").strip()
    packed = folder / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.exists() else []
    found = (line.split()[0] for line in lines if line.endswith(f" {name}"))
    return next(found, "unversioned")


class Releases:
    """The releases of one stack, in a bucket of its own: private, encrypted, versioned."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._s3 = target.client("s3")

    def ensure_bucket(self) -> bool:
        """Make the bucket if it is not there, and set what it must have; answers if it was made."""
        made = not self.has_bucket()
        name = {"Bucket": self._target.bucket}
        if made:
            place = {"LocationConstraint": self._target.region}
            where = (
                {}
                if self._target.region == "us-east-1"  # which S3 wants to be left unsaid
                else {"CreateBucketConfiguration": place}
            )
            self._s3.create_bucket(**name, **where)
        self._s3.put_public_access_block(
            **name,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        self._s3.put_bucket_encryption(
            **name, ServerSideEncryptionConfiguration={"Rules": [encryption]}
        )
        self._s3.put_bucket_versioning(**name, VersioningConfiguration={"Status": "Enabled"})
        if self._target.endpoint is None:  # the emulator is on this machine, without TLS
            self._s3.put_bucket_policy(**name, Policy=json.dumps(self._only_by_tls()))
        return made

    def has_bucket(self) -> bool:
        """Whether the bucket is there."""
        try:
            self._s3.head_bucket(Bucket=self._target.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchBucket"}:
                return False
            raise
        return True

    def _only_by_tls(self) -> dict[str, Any]:
        partition = "aws-cn" if self._target.region.startswith("cn-") else "aws"
        bucket = f"arn:{partition}:s3:::{self._target.bucket}"
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "NothingInTheClear",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [bucket, f"{bucket}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        }

    def keep(self, release: str, package: Package, template: Template) -> str:
        """Upload a release, unless it is there already; answers the address of its template."""
        code, layer = f"releases/{release}/code.zip", f"layers/{content_hash(package.layer)}.zip"
        for resource in template["Resources"].values():
            if resource["Type"] == _CODE:
                resource["Properties"]["CodeUri"] = f"s3://{self._target.bucket}/{code}"
            if resource["Type"] == _LAYER:
                resource["Properties"]["ContentUri"] = f"s3://{self._target.bucket}/{layer}"
                self._put_once(layer, package.layer)
        self._put_once(code, package.code)
        return self.keep_text(
            self._template_key(release), yaml.safe_dump(template, allow_unicode=True)
        )

    def keep_text(self, key: str, text: str) -> str:
        """Upload a template; answers its address."""
        self._s3.put_object(Bucket=self._target.bucket, Key=key, Body=text.encode())
        return self._target.object_url(key)

    def _put_once(self, key: str, file: Path) -> None:
        if not self._is_there(key):
            with file.open("rb") as body:
                self._s3.put_object(Bucket=self._target.bucket, Key=key, Body=body)

    def _is_there(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self._target.bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
                return False
            raise
        return True

    @staticmethod
    def _template_key(release: str) -> str:
        return f"releases/{release}/template.yaml"

    def template_url(self, release: str) -> str:
        """The address of the template of a release that is kept.

        Raises:
            NoRelease: it is not.
        """
        if not self._is_there(self._template_key(release)):
            raise NoRelease(f"The release {release} is not in the bucket {self._target.bucket}.")
        return self._target.object_url(self._template_key(release))

    def template(self, release: str) -> Template:
        """The template of a release that is kept."""
        self.template_url(release)
        key = self._template_key(release)
        body = self._s3.get_object(Bucket=self._target.bucket, Key=key)["Body"].read()
        template: Template = yaml.safe_load(body)
        return template

    def note(self, release: str, *, back: bool = False) -> None:
        """Write down that a release was deployed."""
        deployment = Deployment(release, datetime.now(UTC).isoformat(), back)
        self._s3.put_object(
            Bucket=self._target.bucket,
            Key=f"{_DEPLOYMENTS}{deployment.at}.json",
            Body=json.dumps(asdict(deployment)).encode(),
        )

    def deployments(self) -> list[Deployment]:
        """All times that something was deployed, the first first."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._target.bucket, Prefix=_DEPLOYMENTS
        )
        keys = sorted(item["Key"] for page in pages for item in page.get("Contents", []))
        return [Deployment(**json.loads(self._read(key))) for key in keys]

    def _read(self, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=self._target.bucket, Key=key)["Body"].read()
        return body


def former(deployments: Sequence[Deployment], present: str) -> str:
    """The release to go back to from the present one: what was deployed before it. Going back
    twice goes back two releases, not to and fro.

    Raises:
        NoRelease: nothing was deployed before.
    """
    path = list(_path(deployments))
    if present in path:  # a change by hand, or a failed note, may have left it unwritten
        path = path[: path.index(present)]
    if not path:
        raise NoRelease("Nothing was deployed before the present release.")
    return path[-1]


def _path(deployments: Sequence[Deployment]) -> Iterator[str]:
    """The releases that led to the present one, without those that were gone back from."""
    path: list[str] = []
    for deployment in deployments:
        if deployment.release in path:
            del path[path.index(deployment.release) :]
        path.append(deployment.release)
    yield from path
