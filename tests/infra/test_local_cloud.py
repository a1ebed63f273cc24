"""A local cloud starts whole, beside others, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from infra.local import processes, up
from infra.local.deploy import client
from infra.local.emulator import CALLS
from infra.local.providers import PROVIDERS
from infra.local.vendors import VENDORS
from infra.package import REGION, ROOT

Stack = dict[str, Any]

ADDRESSES = ("app_url", "aws_endpoint")


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """The state folder of a cloud that is stopped in the end."""
    folder = Path(tempfile.mkdtemp(prefix="mwanga-infra-"))
    yield folder / "state"
    up.stop(folder / "state")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stack(state: Path) -> Stack:
    """A running cloud."""
    return up.start(state, enforce_roles=True)


def ports(stack: Stack) -> list[int]:
    """All ports that a cloud listens on."""
    urls = [stack[name] for name in ADDRESSES] + list(stack["fakes"].values())
    return [urlsplit(url).port or 0 for url in urls]


def log_in(stack: Stack, email: str, password: str) -> requests.Response:
    """The answer to a log-in."""
    body = {"email": email, "password": password}
    return requests.post(f"{stack['base_url']}/auth/login", json=body, timeout=30)


def test_its_api_answers(stack: Stack) -> None:
    assert requests.get(f"{stack['base_url']}/health", timeout=30).status_code == 200


def test_stack_json_holds_what_tools_rely_on(stack: Stack, state: Path) -> None:
    assert json.loads((state / "stack.json").read_text()) == stack
    assert stack["base_url"] == f"{stack['app_url']}/api"
    assert stack["region"] == REGION
    assert set(stack["staff"]) == {"admin", "office", "field", "agent", "operations", "finance"}
    assert all(set(member) == {"email", "password"} for member in stack["staff"].values())
    assert set(stack["direct"]) == {"partner", "secret", "second"}
    assert set(stack["direct"]["second"]) == {"partner", "secret"}
    assert {"validation_path", "confirmation_path", "short_code"} <= set(
        stack["channels"]["daraja"]
    )
    assert {"webhook_path", "checkout_path", "secret_key"} <= set(stack["channels"]["paystack"])
    assert set(stack["channels"]) == {"sms_parser", *PROVIDERS}
    assert not [
        (key, name)
        for key, channel in stack["channels"].items()
        for name in channel
        if name.endswith("private_key")
    ]
    assert set(stack["fakes"]) == {"control", *PROVIDERS, *VENDORS}
    assert {"payments", "accounts", "ended_plans"} <= set(stack["tables"])
    assert set(stack["queues"]) == {
        *("payments", "payments-dead", "vends", "vends-dead", "messages", "messages-dead"),
        *("provider-calls", "provider-calls-dead", "moves", "moves-dead"),
    }
    assert set(stack["functions"]) == {
        *(
            "api",
            "settle",
            "vend",
            "call_provider",
            "send_messages",
            "move",
            "sweep",
            "reconcile",
            *("check_manufacturer", "sync_tariffs"),
        ),
    }


def test_what_it_names_is_there(stack: Stack) -> None:
    endpoint = stack["aws_endpoint"]
    tables = client("dynamodb", endpoint).list_tables()["TableNames"]
    assert sorted(stack["tables"].values()) == sorted(tables)
    for url in stack["queues"].values():
        client("sqs", endpoint).get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    for name in stack["functions"].values():
        client("lambda", endpoint).get_function(FunctionName=name)


def test_its_secrets_are_for_the_user_alone(stack: Stack, state: Path) -> None:
    for file in ("stack.json", "fakes.json"):
        assert stat.S_IMODE((state / file).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_every_member_of_staff_can_log_in(stack: Stack) -> None:
    for role, member in stack["staff"].items():
        answer = log_in(stack, member["email"], member["password"])
        assert (answer.status_code, answer.json()["roles"]) == (200, [role])


def test_the_company_is_kenyan(stack: Stack) -> None:
    admin = stack["staff"]["admin"]
    token = log_in(stack, admin["email"], admin["password"]).json()["access_token"]
    settings = requests.get(
        f"{stack['base_url']}/settings", headers={"Authorization": f"Bearer {token}"}, timeout=30
    ).json()
    assert (settings["currency"], settings["time_zone"]) == ("KES", "Africa/Nairobi")
    assert settings["languages"] == ["en", "sw"]


def test_the_gateway_answers_unknown_routes_with_a_problem(stack: Stack) -> None:
    answer = requests.get(f"{stack['base_url']}/no/such/route", timeout=30)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_a_role_that_does_not_allow_something_stops_it(stack: Stack) -> None:
    """So end-to-end tests find what a policy forgot, before AWS does."""
    endpoint = stack["aws_endpoint"]
    role = client("lambda", endpoint).get_function(FunctionName=stack["functions"]["api"])
    name = role["Configuration"]["Role"].rsplit("/", 1)[1]
    iam = client("iam", endpoint)
    (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    admin = stack["staff"]["admin"]
    nothing = {"Version": "2012-10-17", "Statement": document["Statement"][-1:]}
    iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(nothing))
    try:
        assert log_in(stack, admin["email"], admin["password"]).status_code >= 500
    finally:
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
    assert log_in(stack, admin["email"], admin["password"]).status_code == 200


def test_it_notes_what_each_role_was_used_for(stack: Stack, state: Path) -> None:
    admin = stack["staff"]["admin"]
    assert log_in(stack, admin["email"], admin["password"]).status_code == 200
    calls = [line.split("\t") for line in (state / CALLS).read_text().splitlines()]
    assert [
        call
        for call in calls
        if "-ApiHandlerRole-" in call[0] and call[1] == "cognito-idp:AdminInitiateAuth"
    ]


def test_starting_it_again_changes_nothing(stack: Stack, state: Path) -> None:
    before = {file.name: file.read_text() for file in (state / "processes").iterdir()}
    assert up.start(state) == stack
    assert {file.name: file.read_text() for file in (state / "processes").iterdir()} == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_it_listens_on_this_machine_alone(stack: Stack) -> None:
    """Whoever listens on every address also holds the port on this one."""
    for port in ports(stack):
        with socket.socket() as other:
            other.bind(("127.0.0.2", port))


def test_another_can_run_beside_it_and_leaves_nothing_behind(
    stack: Stack, state: Path, tmp_path: Path
) -> None:
    other_state = tmp_path / "other"
    other = up.start(other_state)
    try:
        assert set(ports(stack)).isdisjoint(ports(other))
        assert requests.get(f"{other['base_url']}/health", timeout=30).status_code == 200
        admin = stack["staff"]["admin"]
        assert log_in(other, admin["email"], admin["password"]).status_code == 401
    finally:
        assert up.stop(other_state) == ["emulator", "fakes", "proxy"]
    assert not other_state.exists()
    assert not any(processes.is_listening(port) for port in ports(other))
    assert up.running_stack(state) == stack


def test_the_first_member_of_staff_of_a_new_installation_can_be_made(
    stack: Stack, state: Path
) -> None:
    environment = processes.environment(
        state,
        AWS_DEFAULT_REGION=REGION,
        AWS_ENDPOINT_URL=stack["aws_endpoint"],
        PYTHONPATH=str(ROOT),
    )
    command = [sys.executable, "-m", "infra.staff", "mwanga", "asha@mwanga.example", "office"]
    run = subprocess.run(command, env=environment, text=True, capture_output=True, check=True)
    password = re.findall(r"once with: (\S+)", run.stdout)[0]
    answer = log_in(stack, "asha@mwanga.example", password)
    assert (answer.status_code, answer.json()["code"]) == (401, "password_change_required")
    again = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert again.returncode == 1


class TestWhatIsNotUp:
    def test_stopping_it_does_nothing(self, tmp_path: Path) -> None:
        assert up.stop(tmp_path / "nothing") == []

    def test_a_folder_of_somebody_else_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("Dear Asha")
        assert up.stop(tmp_path) == []
        assert (tmp_path / "letter.txt").exists()

    def test_there_is_no_stack(self, tmp_path: Path) -> None:
        assert up.running_stack(tmp_path) is None
