"""A template or package that breaks a rule, a limit or what a linter wants is not deployed."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.checks import contents, linters, roles
from infra.checks.everything import check
from infra.checks.exceptions import (
    FILE,
    Allowed,
    Finding,
    not_allowed,
    read_exceptions,
)
from infra.checks.limits import (
    STACK_NAME,
    STACK_NAME_LENGTH_MAX,
    api_resources,
    broken_limits,
    policy_characters,
)
from infra.checks.linters import LinterFailed, without_paths
from infra.checks.rights import Call, read_calls, unused_rights
from infra.checks.rules import broken_rules, stars
from infra.package import ROOT, Package
from tests.infra.conftest import packed

Template = dict[str, Any]
Change = Callable[[Template], object]

PYDANTIC = "python/lib/python3.11/site-packages/pydantic_core/_pydantic_core.cpython-311.so"
ARM = b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little")


def changed(template: Template, change: Change) -> Template:
    """A copy of a template, with one thing wrong."""
    other = copy.deepcopy(template)
    change(other["Resources"])
    return other


def source(resources: Template, function: str) -> Template:
    """The event source of a worker."""
    (event,) = resources[function]["Properties"]["Events"].values()
    found: Template = event["Properties"]
    return found


def of(resources: Template, name: str) -> Template:
    """The properties of a resource."""
    found: Template = resources[name]["Properties"]
    return found


def variables(resources: Template, function: str) -> Template:
    """The variables of a function."""
    found: Template = of(resources, function).setdefault("Environment", {})
    return found.setdefault("Variables", {})


def paths(resources: Template) -> Template:
    """The paths of the API."""
    found: Template = of(resources, "RestAPI")["DefinitionBody"]["paths"]
    return found


BROKEN: list[tuple[str, Change]] = [
    ("NoSuchQueue is referred to", lambda r: of(r, "Vend").update(Tags={"Ref": "NoSuchQueue"})),
    ("Vend does not report", lambda r: source(r, "Vend").pop("FunctionResponseTypes")),
    ("Vend does not wait until VendsQueue", lambda r: r["Vend"].pop("DependsOn")),
    (
        "Vend takes from a queue that is not",
        lambda r: source(r, "Vend").update(Queue={"Fn::Sub": "arn:aws:sqs:eu-west-1:1:other"}),
    ),
    ("a message of VendsQueue comes back", lambda r: of(r, "VendsQueue").pop("VisibilityTimeout")),
    ("VendsQueue has no dead-letter queue", lambda r: of(r, "VendsQueue").pop("RedrivePolicy")),
    ("no alarm rings for a message in VendsDeadQueue", lambda r: r.pop("VendsDeadAlarm")),
    (
        "no alarm rings for a message in VendsDeadQueue",
        lambda r: of(r, "VendsDeadAlarm").pop("AlarmActions"),
    ),
    (
        "GuardsTable has no point-in-time recovery",
        lambda r: of(r, "GuardsTable").pop("PointInTimeRecoverySpecification"),
    ),
    (
        "GuardsTable can be deleted",
        lambda r: of(r, "GuardsTable").update(DeletionProtectionEnabled=False),
    ),
    ("GuardsTable would go", lambda r: r["GuardsTable"].pop("UpdateReplacePolicy")),
    ("GuardsTable is not encrypted", lambda r: of(r, "GuardsTable").pop("SSESpecification")),
    ("MovesQueue is not encrypted", lambda r: of(r, "MovesQueue").pop("SqsManagedSseEnabled")),
    ("AlarmsTopic is not encrypted", lambda r: of(r, "AlarmsTopic").pop("KmsMasterKeyId")),
    ("FilesBucket does not say", lambda r: of(r, "FilesBucket").pop("BucketEncryption")),
    ("OperationsKey is never", lambda r: of(r, "OperationsKey").update(EnableKeyRotation=False)),
    (
        "FilesBucket can be made public",
        lambda r: of(r, "FilesBucket")["PublicAccessBlockConfiguration"].update(
            BlockPublicPolicy=False
        ),
    ),
    ("FilesBucket answers calls without TLS", lambda r: r.pop("FilesBucketPolicy")),
    ("VendLogGroup is kept for ever", lambda r: of(r, "VendLogGroup").pop("RetentionInDays")),
    ("VendLogGroup is not encrypted", lambda r: of(r, "VendLogGroup").pop("KmsKeyId")),
    ("Vend has no log group", lambda r: r.pop("VendLogGroup")),
    ("Vend could write before", lambda r: r["Vend"].update(DependsOn=["VendsQueue"])),
    ("Sweep has the memory of", lambda r: of(r, "Sweep").update(MemorySize=128)),
    ("Sweep has no time-out", lambda r: of(r, "Sweep").pop("Timeout")),
    ("Sweep is not traced", lambda r: of(r, "Sweep").update(Tracing="PassThrough")),
    ("have one role", lambda r: of(r, "Sweep").update(Role=of(r, "Vend")["Role"])),
    (
        "one variable has several names",
        lambda r: paths(r).update({"/payments/{other}/x": {}, "/payments/{id}/x": {}}),
    ),
    ("RestAPI takes any number", lambda r: of(r, "RestAPI").pop("MethodSettings")),
    ("RestAPI is not traced", lambda r: of(r, "RestAPI").pop("TracingEnabled")),
    ("RestAPI does not log which", lambda r: of(r, "RestAPI").pop("AccessLogSetting")),
    (
        "RestAPI logs path of a call",
        lambda r: of(r, "RestAPI")["AccessLogSetting"].update(
            Format="$context.requestId $context.path"
        ),
    ),
    ("DirectSecret has a value", lambda r: of(r, "DirectSecret").update(SecretString="a-b-c")),
    ("DirectSecret would go", lambda r: r["DirectSecret"].pop("DeletionPolicy")),
    ("looks like a secret", lambda r: of(r, "Vend").update(Description="AKIA" + "A" * 16)),
    (
        "SMS_API_KEY of Vend may hold",
        lambda r: variables(r, "Vend").update(SMS_API_KEY="open sesame"),
    ),
    (
        "GREETING of Vend is filled with a secret",
        lambda r: variables(r, "Vend").update(
            GREETING={"Fn::Sub": "{{resolve:secretsmanager:${AWS::StackName}/x}}"}
        ),
    ),
    ("GuardsTable is not tagged", lambda r: of(r, "GuardsTable").pop("Tags")),
    ("Vend is not tagged", lambda r: of(r, "Vend").pop("Tags")),
]
"""What is found, and the change that breaks the rule."""


class TestRules:
    def test_the_template_breaks_none(self, template: Template) -> None:
        assert broken_rules(template) == []

    @pytest.mark.parametrize(("found", "change"), BROKEN)
    def test_a_template_that_breaks_one_is_refused(
        self, template: Template, found: str, change: Change
    ) -> None:
        assert [p for p in broken_rules(changed(template, change)) if found in p]


OVER: list[tuple[str, Change]] = [
    (
        "the stack has",
        lambda r: r.update({f"Q{n}": {"Type": "AWS::SQS::Queue"} for n in range(400)}),
    ),
    (
        "FilesBucket can have a name of",
        lambda r: of(r, "FilesBucket").update(
            BucketName={
                "Fn::Sub": "${AWS::StackName}-all-the-files-of-the-company-${AWS::AccountId}-x"
            }
        ),
    ),
    (
        "FilesBucket can be named",
        lambda r: of(r, "FilesBucket").update(BucketName={"Fn::Sub": "Files-${AWS::StackName}"}),
    ),
    (
        "the policies of SweepRole have",
        lambda r: of(r, "SweepRole")["Policies"][0]["PolicyDocument"]["Statement"].append(
            {"Effect": "Allow", "Action": ["x:y"], "Resource": ["arn:aws:x:y:z"] * 700}
        ),
    ),
    (
        "a name that IAM refuses",
        lambda r: of(r, "SweepRole")["Policies"][0]["PolicyDocument"]["Statement"][0].update(
            Sid="open-payments"
        ),
    ),
    ("the API has", lambda r: paths(r).update({f"/more/{n}": {} for n in range(200)})),
    ("a part that API Gateway refuses", lambda r: paths(r).update({"/a~b": {}})),
    (
        "RestAPI logs in a format",
        lambda r: of(r, "RestAPI")["AccessLogSetting"].update(Format="x" * 3001),
    ),
    ("the variables of Vend have", lambda r: variables(r, "Vend").update(A="x" * 4096)),
    ("Move may run longer", lambda r: of(r, "Move").update(Timeout=901)),
    ("APIHandler may answer after", lambda r: of(r, "APIHandler").update(Timeout=30)),
    (
        "MovesQueue hides messages",
        lambda r: of(r, "MovesQueue").update(VisibilityTimeout=43_201),
    ),
    (
        "MovesDeadQueue keeps messages",
        lambda r: of(r, "MovesDeadQueue").update(MessageRetentionPeriod=1_209_601),
    ),
    ("takes more at once than a FIFO", lambda r: source(r, "Settle").update(BatchSize=11)),
    (
        "which Lambda does not do on a FIFO queue",
        lambda r: source(r, "Settle").update(MaximumBatchingWindowInSeconds=1),
    ),
    (
        "runs 1 at once",
        lambda r: source(r, "Vend").update(ScalingConfig={"MaximumConcurrency": 1}),
    ),
    (
        "GuardsTable has more than 20 indexes",
        lambda r: of(r, "GuardsTable").update(GlobalSecondaryIndexes=[{}] * 21),
    ),
    (
        "the description of DirectSecret",
        lambda r: of(r, "DirectSecret").update(Description="x" * 2049),
    ),
    (
        "the description of VendsDeadAlarm",
        lambda r: of(r, "VendsDeadAlarm").update(AlarmDescription="x" * 1025),
    ),
    (
        "VendsDeadAlarm looks back further",
        lambda r: of(r, "VendsDeadAlarm").update(EvaluationPeriods=1441),
    ),
    (
        "GuardsTable has more than 50 tags",
        lambda r: of(r, "GuardsTable").update(Tags=[{"Key": str(n)} for n in range(51)]),
    ),
]
"""What is found, and the change that exceeds the limit. Each is made in both templates."""


class TestLimits:
    def test_the_stack_exceeds_none(self, template: Template, expanded: Template) -> None:
        assert broken_limits(template, expanded) == []

    @pytest.mark.parametrize(("found", "change"), OVER)
    def test_a_stack_that_exceeds_one_is_refused(
        self, template: Template, expanded: Template, found: str, change: Change
    ) -> None:
        packaged = changed(template, change)
        whole = {"Resources": {**expanded["Resources"]}}
        for name, resource in packaged["Resources"].items():
            if resource != template["Resources"].get(name):
                whole["Resources"][name] = {**expanded["Resources"].get(name, {}), **resource}
        for name in ("Vend", "Move"):  # as the transform would leave them
            whole["Resources"][name]["Type"] = "AWS::Lambda::Function"
        for worker in ("Settle", "Vend"):
            mapping = f"{worker}{worker}SqsEventSource"
            properties = expanded["Resources"][mapping]["Properties"]
            whole["Resources"][mapping] = {
                **expanded["Resources"][mapping],
                "Properties": {**properties, **source(packaged["Resources"], worker)},
            }
        assert [p for p in broken_limits(packaged, whole) if found in p]

    def test_each_part_of_a_path_counts_once(self) -> None:
        body = {"paths": {"/": {}, "/a": {}, "/a/b": {}, "/a/{c}/d": {}}}
        api = {"Type": "AWS::Serverless::Api", "Properties": {"DefinitionBody": body}}
        assert api_resources({"Resources": {"Api": api}}) == 5  # /, a, b, {c}, d

    def test_policies_grow_with_the_name_of_the_stack(self, expanded: Template) -> None:
        short, long = (policy_characters(expanded, "VendRole", "s" * n) for n in (1, 2))
        tables_queues_and_secrets = 20
        assert long - short > tables_queues_and_secrets

    @pytest.mark.parametrize("name", ["mwanga", "mwanga-2", "m" * STACK_NAME_LENGTH_MAX])
    def test_stacks_can_be_called_so(self, name: str) -> None:
        assert STACK_NAME.fullmatch(name)

    @pytest.mark.parametrize(
        "name", ["", "Mwanga", "1st", "m_w", "m" * (STACK_NAME_LENGTH_MAX + 1)]
    )
    def test_stacks_cannot_be_called_so(self, name: str) -> None:
        assert not STACK_NAME.fullmatch(name)


class TestStars:
    def test_each_is_listed_and_each_listed_one_is_there(self, expanded: Template) -> None:
        assert not_allowed(stars(expanded), read_exceptions("stars")) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"Resource": "*"},
            {"Resource": ["*"]},
            {"Action": ["dynamodb:*"]},
            {"Action": "*"},
            {"NotAction": ["iam:*"], "Action": []},
            {"Principal": {"AWS": "*"}},
        ],
    )
    def test_one_that_is_not_listed_is_refused(
        self, expanded: Template, change: dict[str, Any]
    ) -> None:
        def widen(resources: Template) -> None:
            policy = of(resources, "SweepRole")["Policies"][0]["PolicyDocument"]
            policy["Statement"][0].update(change)

        (problem,) = {
            p.partition(" at ")[2].partition(":")[0]
            for p in not_allowed(stars(changed(expanded, widen)), read_exceptions("stars"))
        }
        assert problem == "SweepRole"


class TestExceptions:
    finding = Finding("R1", "VendRole", "so")

    def test_a_finding_needs_one(self) -> None:
        assert not_allowed([self.finding], []) == ["R1 at VendRole: so"]

    def test_one_for_another_rule_or_place_does_not_do(self) -> None:
        others = [Allowed("R2", ("VendRole",), "x"), Allowed("R1", ("Sweep*",), "x")]
        assert "R1 at VendRole: so" in not_allowed([self.finding], others)

    def test_one_that_meets_it_does(self) -> None:
        assert not_allowed([self.finding], [Allowed("R1", ("*Role",), "x")]) == []

    def test_one_that_meets_nothing_is_a_problem(self) -> None:
        allowed = [Allowed("R1", ("*Role", "Gone"), "x")]
        (problem,) = not_allowed([self.finding], allowed)
        assert problem == "the exception from R1 at Gone meets nothing any more"

    def test_every_one_has_its_reason_in_words(self) -> None:
        listed = yaml.safe_load(FILE.read_text())
        assert set(listed) == {"stars", "cfn-lint", "checkov", "rights"}
        for of_whom in listed:
            for allowed in read_exceptions(of_whom):
                assert allowed.reason.endswith(".")
                assert len(allowed.reason.split()) > 5


BAD = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Resources": {
        "OpenBucket": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "PublicAccessBlockConfiguration": {"BlockPublicAcls": False},
                "AccessControl": "PublicRead",
            },
        },
        "PlainQueue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {"SqsManagedSseEnabled": False, "VisibilityTimeout": 50_000},
        },
        "AlmightyRole": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "lambda.amazonaws.com"},
                            "Action": "sts:AssumeRole",
                        }
                    ],
                },
                "Policies": [
                    {
                        "PolicyName": "all",
                        "PolicyDocument": {
                            "Version": "2012-10-17",
                            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
                        },
                    }
                ],
            },
        },
    },
}
"""A template as bad as they come."""


@pytest.fixture(scope="module")
def linted(template: Template, expanded: Template) -> list[Finding]:
    """What cfn-lint finds."""
    lean = without_paths(expanded)
    return linters.run_cfn_lint({"packaged": template, "expanded": lean, "bad": BAD})


@pytest.fixture(scope="module")
def unsafe(expanded: Template) -> list[Finding]:
    """What Checkov finds."""
    return linters.run_checkov({"expanded": expanded, "bad": BAD})


class TestLinters:
    """Each is asked once about our template and about a bad one, for starting it takes seconds."""

    def test_cfn_lint_finds_nothing_that_has_no_reason(self, linted: list[Finding]) -> None:
        ours = [finding for finding in linted if finding.template != "bad"]
        assert not_allowed(ours, read_exceptions("cfn-lint")) == []

    def test_checkov_finds_nothing_that_has_no_reason(self, unsafe: list[Finding]) -> None:
        ours = [finding for finding in unsafe if finding.template != "bad"]
        assert not_allowed(ours, read_exceptions("checkov")) == []

    def test_cfn_lint_refuses_a_bad_template(self, linted: list[Finding]) -> None:
        found = {(f.rule, f.place.split("/")[1]) for f in linted if f.template == "bad"}
        assert {("E3034", "PlainQueue"), ("W3045", "OpenBucket")} <= found

    def test_checkov_refuses_a_bad_template(self, unsafe: list[Finding]) -> None:
        found = {(f.rule, f.place) for f in unsafe if f.template == "bad"}
        assert {
            ("CKV_AWS_20", "OpenBucket"),
            ("CKV_AWS_27", "PlainQueue"),
            ("CKV_AWS_63", "AlmightyRole"),
        } <= found

    def test_one_that_is_not_installed_is_no_pass(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(linters, "VENV", tmp_path)
        with pytest.raises(LinterFailed, match="make checks"):
            linters.run_cfn_lint({"bad": BAD})

    def test_one_that_breaks_down_is_no_pass(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "bin" / "checkov"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho out of memory >&2\n")
        program.chmod(0o700)
        monkeypatch.setattr(linters, "VENV", tmp_path)
        with pytest.raises(LinterFailed, match="out of memory"):
            linters.run_checkov({"bad": BAD})


class TestRights:
    """The clouds of the end-to-end tests note what each role was used for."""

    caller = "arn:aws:sts::000000000000:assumed-role/mwanga-SweepRole-1A2B/mwanga-sweep"
    tables = "arn:aws:dynamodb:eu-west-1:000000000000:table"

    def unused(self, expanded: Template, *calls: Call) -> set[tuple[str, str]]:
        """The unused rights of the sweeper."""
        return {
            (finding.rule, finding.place.removeprefix("SweepRole "))
            for finding in unused_rights(expanded, calls)
            if finding.place.startswith("SweepRole ")
        }

    def test_a_right_is_used_by_a_call_of_that_role_alone(self, expanded: Template) -> None:
        right = ("dynamodb:Query", "table/mwanga-payments/index/open")
        call = Call(self.caller, right[0], f"{self.tables}/mwanga-payments/index/open")
        assert right not in self.unused(expanded, call)
        others = (
            Call(self.caller.replace("Sweep", "Vend"), call.action, call.resource),
            Call(self.caller, "dynamodb:GetItem", call.resource),
            Call(self.caller, call.action, f"{self.tables}/mwanga-payments"),
        )
        assert right in self.unused(expanded, *others)

    def test_every_right_is_looked_at(self, expanded: Template) -> None:
        (policy,) = of(expanded["Resources"], "SweepRole")["Policies"]
        allowed = sum(
            len(statement["Action"]) * len(statement["Resource"])
            for statement in policy["PolicyDocument"]["Statement"]
        )
        assert len(self.unused(expanded)) == allowed

    def test_ids_that_aws_chooses_do_not_matter(self, expanded: Template) -> None:
        secret = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:mwanga/device-keys-qYx9Zt"
        caller = self.caller.replace("Sweep", "Settle")
        used = {f.place for f in unused_rights(expanded, [])} - {
            f.place
            for f in unused_rights(
                expanded, [Call(caller, "secretsmanager:GetSecretValue", secret)]
            )
        }
        assert used == {"SettleRole secret:mwanga/device-keys*"}

    def test_the_notes_of_all_clouds_count(self, tmp_path: Path) -> None:
        for number in (1, 2):
            (tmp_path / f"{number}.tsv").write_text(f"me\ts3:GetObject\tarn:{number}\n")
        assert read_calls(tmp_path) == {
            Call("me", "s3:GetObject", "arn:1"),
            Call("me", "s3:GetObject", "arn:2"),
        }


def test_the_page_of_roles_says_what_the_template_says(template: Template) -> None:
    assert roles.FILE.read_text() == roles.page(template), "run: make roles"


class TestContents:
    def test_the_package_holds_what_it_must_and_nothing_else(self, built: Package) -> None:
        assert contents.unfit_contents(built, "arm64") == []

    @pytest.mark.parametrize(
        ("code", "layer", "found"),
        [
            ({"tests/test_x.py": b""}, {}, "tests/test_x.py, which is no part of the app"),
            ({"chalicelib/.env": b""}, {}, "chalicelib/.env, which is for developers"),
            ({"chalicelib/tests/x.py": b""}, {}, "which is for developers"),
            ({"chalicelib/__pycache__/x.pyc": b""}, {}, "compiled file"),
            ({"chalicelib/x.py": b"KEY = 'AKIA" + b"A" * 16 + b"'"}, {}, "looks like a secret"),
            ({}, {"python/lib/python3.11/site-packages/moto/x.py": b""}, "moto, which no function"),
        ],
    )
    def test_what_must_not_be_in_it_is_found(
        self, tmp_path: Path, code: dict[str, bytes], layer: dict[str, bytes], found: str
    ) -> None:
        made = packed(tmp_path, code, {PYDANTIC: ARM, **layer})
        assert [p for p in contents.unfit_contents(made, "arm64") if found in p]

    def test_what_is_too_large_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = packed(tmp_path, {"app.py": b"x" * 100}, {PYDANTIC: ARM})
        for limit in ("TEMPLATE_BYTES_MAX", "ARCHIVE_BYTES_MAX", "UNPACKED_BYTES_MAX"):
            monkeypatch.setattr(contents, limit, 10)
        problems = contents.unfit_contents(made, "arm64")
        assert len([p for p in problems if "larger than" in p]) == 4


class TestTheCommand:
    def test_a_package_that_breaks_a_rule_is_refused(
        self, built: Package, template: Template, tmp_path: Path
    ) -> None:
        broken = changed(template, lambda r: source(r, "Vend").pop("FunctionResponseTypes"))
        (tmp_path / "sam.yaml").write_text(yaml.safe_dump(broken))
        for archive in (built.code, built.layer):
            (tmp_path / archive.name).symlink_to(archive)
        command = [sys.executable, "-m", "infra.checks", str(tmp_path)]
        run = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
        assert run.returncode == 1
        assert "Vend does not report which messages of a batch failed" in run.stderr

    def test_what_is_no_package_is_refused(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "infra.checks", str(tmp_path / "nothing")]
        run = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
        assert run.returncode == 1
        assert run.stderr.startswith("The package could not be checked")

    def test_each_kind_of_problem_stops_a_deployment(
        self, built: Package, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The linters' own findings are above; here it matters that they are asked."""
        monkeypatch.setattr(
            "infra.checks.everything.run_cfn_lint", lambda _: [Finding("E1", "Vend", "wrong")]
        )
        monkeypatch.setattr(
            "infra.checks.everything.run_checkov", lambda _: [Finding("C1", "Vend", "open")]
        )
        problems = check(built)
        assert "E1 at Vend: wrong" in problems
        assert "C1 at Vend: open" in problems
        assert [p for p in problems if p.startswith("the exception from W3005")]
