"""Deploying, going back and removing, against an emulator that answers as CloudFormation does."""

from __future__ import annotations

import copy
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto import mock_aws

from infra.deploy import STUCK, Operator, Order, Refused, base_url, deploy, destroy, rollback
from infra.deployment import changes
from infra.deployment.changes import Change
from infra.deployment.kept import BeingDeleted, Kept, left_over, removals
from infra.deployment.releases import (
    Deployment,
    NoRelease,
    Releases,
    commit_of,
    content_hash,
    former,
    release_of,
)
from infra.deployment.smoke import SmokeTestFailed, smoke_test
from infra.deployment.stacks import DeploymentFailed, Stack
from infra.deployment.target import NoTarget, Target, target_of
from infra.local import up
from infra.local.adapt import LocalAddresses, adapt
from infra.local.processes import free_port
from infra.package import REGION, ROOT, Package

Template = dict[str, Any]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An emulator with nothing in it."""
    folder = Path(tempfile.mkdtemp(prefix="mwanga-deploy-"))
    state = folder / "state"
    state.mkdir()
    address = up.start_emulator(state, free_port(0), enforce_roles=False)
    up.wait_for_emulator(address, state)
    yield address
    up.stop(state)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def local(template: Template) -> Template:
    return adapt(template, LocalAddresses(sms_log_url=""))


@dataclass
class Somebody:
    """An operator who agrees, or not, and remembers what was said."""

    agrees: bool = True
    told: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def operator(self) -> Operator:
        def agrees(question: str) -> bool:
            self.asked.append(question)
            return self.agrees

        return Operator(self.told.append, agrees)

    @property
    def text(self) -> str:
        return "\n".join(self.told)


class Installation:
    """One stage on the emulator."""

    def __init__(self, endpoint: str, stage: str, package: Package, template: Template) -> None:
        self.target = target_of(stage, None, endpoint)
        self.stage, self.package, self.template = stage, package, template
        self.stack = Stack(self.target)

    def order(self, **more: Any) -> Order:
        return Order(self.target, self.stage, **more)

    def deploy(
        self, template: Template | None = None, somebody: Somebody | None = None, **more: Any
    ) -> str:
        operator = (somebody or Somebody()).operator()
        given = copy.deepcopy(template or self.template)
        return deploy(self.order(**more), self.package, given, operator)

    def health(self) -> Any:
        url = base_url(self.order(), self.stack.outputs(), print)
        return requests.get(f"{url}/health", timeout=60).json()

    def names(self, kind: str) -> set[str]:
        return {name for found, name in self.stack.resources().values() if found == kind}


@pytest.fixture(scope="module")
def first(endpoint: str, built: Package, local: Template) -> Installation:
    """A stage that was deployed once."""
    installation = Installation(endpoint, "first", built, local)
    installation.deploy()
    return installation


def described_otherwise(template: Template, word: str) -> Template:
    """The template as another release would have it."""
    changed = copy.deepcopy(template)
    changed["Resources"]["AlarmsTopic"]["Properties"]["DisplayName"] = word
    return changed


# --- the whole way ---------------------------------------------------------------------------


def test_a_release_is_at_work_and_says_which_it_is(
    first: Installation, built: Package, local: Template
) -> None:
    release = release_of(built, local, ROOT)
    assert first.health() == {"status": "ok", "release": release}
    assert first.stack.outputs()["Release"] == release
    assert first.stack.outputs()["StaffPoolId"] in first.names("AWS::Cognito::UserPool")


def test_releases_are_kept_encrypted_versioned_and_private(first: Installation) -> None:
    s3, bucket = first.target.client("s3"), {"Bucket": first.target.bucket}
    (rule,) = s3.get_bucket_encryption(**bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Enabled"
    assert all(s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"].values())


def test_the_same_release_again_changes_nothing(first: Installation) -> None:
    somebody = Somebody(agrees=False)
    first.deploy(somebody=somebody)
    assert "Nothing is to be changed." in somebody.told
    assert not somebody.asked


def test_an_operator_is_told_what_is_changed_where_and_may_say_no(first: Installation) -> None:
    before, somebody = first.health(), Somebody(agrees=False)
    with pytest.raises(Refused):
        first.deploy(described_otherwise(first.template, "no"), somebody)
    (question,) = somebody.asked
    assert {"000000000000", REGION, "mwanga-first"} <= set(re.split(r"[ ,]+", question))
    assert re.search(r"changed +SNS::Topic +AlarmsTopic +DisplayName", somebody.text)
    assert first.health() == before
    assert first.stack.status() == "CREATE_COMPLETE"


def test_a_table_is_replaced_or_let_go_only_if_that_is_said(first: Installation) -> None:
    without = copy.deepcopy(first.template)
    del without["Resources"]["CircuitsTable"]
    without["Resources"] = _without_references(without["Resources"], "CircuitsTable")
    somebody = Somebody()
    with pytest.raises(Refused, match=r"ALLOW=\"CircuitsTable\""):
        first.deploy(without, somebody)
    assert not somebody.asked
    assert "mwanga-first-circuits" in first.names("AWS::DynamoDB::Table")


def _without_references(value: Any, name: str) -> Any:
    """The value without the items of lists that refer to that resource."""
    if isinstance(value, list):
        return [_without_references(item, name) for item in value if name not in str(item)] or [
            {"Fn::GetAtt": ["PaymentsTable", "Arn"]}
        ]
    if isinstance(value, dict):
        return {key: _without_references(item, name) for key, item in value.items()}
    return value


def test_what_cloudformation_cannot_make_is_rolled_back_and_told(first: Installation) -> None:
    before = first.health()
    broken = described_otherwise(first.template, "broken")
    broken["Resources"]["Broken"] = {
        "Type": "AWS::Lambda::Url",
        "Properties": {"TargetFunctionArn": "there-is-no-such-function", "AuthType": "AWS_IAM"},
    }
    with pytest.raises(
        DeploymentFailed, match=r"ROLLBACK_COMPLETE(.|\n)*Broken: .*there-is-no-such-function"
    ):
        first.deploy(broken)
    assert first.health() == before


def test_a_rollback_brings_the_release_before_back_with_the_parameters_of_now(
    first: Installation,
) -> None:
    before = first.health()["release"]
    email = {"AlarmEmail": "ops@example.org"}
    later = described_otherwise(first.template, "later")
    after = first.deploy(later, parameters=email)
    assert first.health()["release"] == after != before
    assert rollback(first.order(), Somebody().operator()) == before
    assert first.health()["release"] == before
    assert first.stack.parameters()["AlarmEmail"] == "ops@example.org"


def test_a_parameter_that_there_is_not_is_refused(first: Installation) -> None:
    with pytest.raises(Refused, match="AlarmMail"):
        first.deploy(parameters={"AlarmMail": "ops@example.org"})


def test_two_stages_stand_side_by_side_and_what_stays_of_one_is_taken_over_again(
    first: Installation, endpoint: str, built: Package, local: Template
) -> None:
    second = Installation(endpoint, "second", built, local)
    second.deploy()
    for kind in ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Lambda::Function"):
        assert first.names(kind).isdisjoint(second.names(kind))
    pool = second.names("AWS::Cognito::UserPool")
    dynamodb = second.target.client("dynamodb")
    item = {"name": {"S": "company"}}
    dynamodb.put_item(TableName="mwanga-second-settings", Item=item)

    somebody = Somebody()
    stays = {kept.physical_id for kept in destroy(second.order(), somebody.operator())}
    assert second.stack.status() is None
    assert {"mwanga-second-settings", "mwanga-second/device-keys", *pool} <= stays
    assert all(name in somebody.text for name in stays)
    assert first.health()["status"] == "ok"

    secrets = second.target.client("secretsmanager")
    for name in (name for name in stays if name.startswith("mwanga-second/")):
        # The emulator cannot take secrets over. AWS can.
        secrets.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    somebody = Somebody()
    second.deploy(somebody=somebody)
    assert re.search(r"taken over +DynamoDB::Table +SettingsTable", somebody.text)
    assert second.names("AWS::Cognito::UserPool") == pool
    assert dynamodb.scan(TableName="mwanga-second-settings")["Items"] == [item]
    assert second.health()["status"] == "ok"


# --- parts -----------------------------------------------------------------------------------


def deployed(*releases: str) -> list[Deployment]:
    return [Deployment(release, str(at)) for at, release in enumerate(releases)]


@pytest.mark.parametrize(
    ("releases", "present", "expected"),
    [
        (["a", "b"], "b", "a"),
        (["a", "b", "c", "b"], "b", "a"),  # gone back once: the next is another one back
        (["a", "b", "a", "c"], "c", "a"),
        (["a", "b"], "unnoted", "b"),
    ],
)
def test_going_back_goes_back_along_the_way_that_was_come(
    releases: list[str], present: str, expected: str
) -> None:
    assert former(deployed(*releases), present) == expected


@pytest.mark.parametrize("releases", [[], ["a"], ["a", "b", "a"]])
def test_before_the_first_release_there_is_none(releases: list[str]) -> None:
    with pytest.raises(NoRelease):
        former(deployed(*releases), "a")


def test_a_release_that_is_not_kept_cannot_be_gone_back_to(first: Installation) -> None:
    with pytest.raises(NoRelease):
        Releases(first.target).template_url("0000-0000")


def test_dangerous_changes_come_first() -> None:
    described = [
        ("Modify", "AWS::Lambda::Function", "Settle", {"Replacement": "False"}),
        ("Remove", "AWS::SNS::Topic", "Topic", {}),
        ("Remove", "AWS::DynamoDB::Table", "Table", {"PolicyAction": "Retain"}),
        ("Modify", "AWS::SQS::Queue", "Queue", {"Replacement": "Conditional"}),
        ("Modify", "AWS::S3::Bucket", "Bucket", {"Replacement": "True"}),
        ("Add", "AWS::SecretsManager::Secret", "Secret", {}),
    ]
    found = [
        changes.change_of(
            {
                "ResourceChange": {
                    "Action": action,
                    "ResourceType": kind,
                    "LogicalResourceId": name,
                    **more,
                }
            }
        )
        for action, kind, name, more in described
    ]
    assert [line.split()[-1] for line in changes.table(found).splitlines()] == [
        *("Topic", "Bucket", "Queue", "Table", "Secret", "Settle")
    ]
    assert [c.logical_id for c in changes.refused(found, {"Bucket"})] == ["Table", "Queue"]
    assert not Change("added", "Secret", "AWS::SecretsManager::Secret").endangers_data


@pytest.mark.parametrize("stage", ["", "Production", "-x", "a" * 14, "a_b", "9lives", "x-"])
def test_a_stage_has_a_name_that_buckets_and_functions_can_have(stage: str) -> None:
    with pytest.raises(NoTarget):
        target_of(stage, REGION, None)


def test_names_of_a_stage_fit_what_aws_allows(template: Template) -> None:
    longest = Target("mwanga-" + "a" * 18, "ap-southeast-2", "http://localhost")
    longest.__dict__["account"] = "0" * 12
    assert len(longest.bucket) <= 63
    files = f"{longest.stack}-files-{'0' * 12}"
    assert len(files) <= 63
    for resource in template["Resources"].values():
        name = resource.get("Properties", {}).get("FunctionName", {}).get("Fn::Sub", "")
        assert len(name.replace("${AWS::StackName}", longest.stack)) <= 64


def test_a_package_of_the_same_content_is_the_same_release(
    built: Package, template: Template, tmp_path: Path
) -> None:
    assert content_hash(built.code) == content_hash(shutil.copy(built.code, tmp_path))
    assert content_hash(built.code) != content_hash(built.layer)
    assert re.fullmatch(r"[0-9a-z]{8}-[0-9a-f]{10}", release_of(built, template, ROOT))


def test_the_commit_is_read_from_the_repository(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "unversioned"
    git = tmp_path / ".git"
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert commit_of(tmp_path) == "unversioned"
    (git / "packed-refs").write_text("# pack-refs\nabc refs/heads/main\n")
    assert commit_of(tmp_path) == "abc"
    (git / "refs/heads").mkdir(parents=True)
    (git / "refs/heads/main").write_text("def\n")
    assert commit_of(tmp_path) == "def"
    (git / "HEAD").write_text("0123\n")
    assert commit_of(tmp_path) == "0123"


def test_a_smoke_test_says_all_that_is_wrong(
    first: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.deployment.smoke.PATIENCE", 0)
    url, told = base_url(first.order(), first.stack.outputs(), print), []
    with pytest.raises(SmokeTestFailed, match="as release another"):
        smoke_test(url, "another", told.append)
    assert sum(line.startswith("  ok") for line in told) == 4
    with pytest.raises(SmokeTestFailed):
        smoke_test(f"http://127.0.0.1:{free_port(0)}", "any", lambda line: None)


def test_until_its_domain_is_known_the_api_is_asked_at_its_own_address() -> None:
    order = Order(Target("mwanga-trial", REGION, None), "trial")
    own = "https://a1b2c3.execute-api.eu-west-1.amazonaws.com/api"
    target = "d-1234.execute-api.eu-west-1.amazonaws.com"

    def with_domain(domain: str) -> dict[str, str]:
        return {
            "ApiUrl": f"https://{domain}/api",
            "EndpointURL": f"{own}/",
            "DomainTarget": target,
        }

    told: list[str] = []
    assert base_url(order, with_domain("pay.mwanga.invalid"), told.append) == own
    assert told == [f"pay.mwanga.invalid leads nowhere yet: make a CNAME from it to {target}."]
    assert base_url(order, with_domain("localhost"), told.append) == "https://localhost/api"
    without = {"ApiUrl": own, "EndpointURL": f"{own}/"}
    assert base_url(order, without, told.append) == own
    assert len(told) == 1


def test_a_stack_that_has_not_begun_yet_is_waited_for(
    first: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just after it was asked to change, it may still show how it was before."""
    stack = Stack(first.target)
    statuses = iter(["UPDATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
    event = {
        "EventId": "e1",
        "Timestamp": datetime(2026, 3, 10, tzinfo=UTC),
        "ResourceStatus": "UPDATE_ROLLBACK_COMPLETE",
        "LogicalResourceId": "mwanga",
        "ResourceType": "AWS::CloudFormation::Stack",
    }
    events = iter([[], [], [event]])
    monkeypatch.setattr(stack, "status", lambda: next(statuses))
    monkeypatch.setattr(stack, "_events", lambda name: next(events))
    monkeypatch.setattr(stack, "_pause", 0)
    assert stack._wait_for_end(set(), lambda line: None) == "UPDATE_ROLLBACK_COMPLETE"


def test_what_other_stages_need_is_not_to_be_removed_and_versions_go_by_hand() -> None:
    stays = [
        Kept("AWS::ApiGateway::Account", "account"),
        Kept("AWS::IAM::Role", "logs-role"),
        Kept("AWS::S3::Bucket", "reports"),
    ]
    said = list(removals(stays))
    assert [line.partition(" ")[0] for line in said] == ["leave", "leave", "in"]
    assert "all versions" in said[2]


@mock_aws
def test_a_secret_that_is_on_its_way_out_is_not_taken_over() -> None:
    secrets = boto3.client("secretsmanager", region_name=REGION)
    secrets.create_secret(Name="mwanga-trial/device-keys", SecretString="{}")
    secrets.delete_secret(SecretId="mwanga-trial/device-keys", RecoveryWindowInDays=30)
    resource = {
        "Type": "AWS::SecretsManager::Secret",
        "DeletionPolicy": "Retain",
        "Properties": {"Name": {"Fn::Sub": "${AWS::StackName}/device-keys"}},
    }
    with pytest.raises(BeingDeleted, match="restore-secret"):
        left_over(Target("mwanga-trial", REGION, None), {"Resources": {"Keys": resource}})


@pytest.mark.parametrize("status", sorted(STUCK))
def test_where_a_person_must_do_something_first_it_is_said_what(
    monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr(Stack, "status", lambda _: status)
    order = Order(Target("mwanga-trial", REGION, None), "trial")
    with pytest.raises(Refused, match=r"make destroy|Continue update rollback"):
        rollback(order, Operator(), "some-release")
