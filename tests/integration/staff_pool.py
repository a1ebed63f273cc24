"""A mocked user pool, for the tests that are about log-ins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from tests.integration.conftest import Cloud

TEMPLATE = Path(__file__).parents[2] / "infra" / "staff.yaml"


@dataclass(frozen=True)
class StaffPool:
    """The pool, as somebody at the console sees it."""

    cognito: Any
    pool_id: str

    def add(
        self, email: str, password: str, roles: Sequence[str], *, temporary: bool = False
    ) -> None:
        """Make somebody a member."""
        self.cognito.admin_create_user(
            UserPoolId=self.pool_id,
            Username=email,
            UserAttributes=[{"Name": "email", "Value": email}],
            TemporaryPassword=password,
            MessageAction="SUPPRESS",
        )
        if not temporary:
            self.cognito.admin_set_user_password(
                UserPoolId=self.pool_id, Username=email, Password=password, Permanent=True
            )
        for role in roles:
            self.put_into(email, role)

    def put_into(self, email: str, role: str) -> None:
        """Give somebody a role."""
        self.cognito.admin_add_user_to_group(
            UserPoolId=self.pool_id, Username=email, GroupName=role
        )

    def take_out_of(self, email: str, role: str) -> None:
        """Take a role away from somebody."""
        self.cognito.admin_remove_user_from_group(
            UserPoolId=self.pool_id, Username=email, GroupName=role
        )

    def disable(self, email: str) -> None:
        """Shut somebody out."""
        self.cognito.admin_disable_user(UserPoolId=self.pool_id, Username=email)

    def delete(self, email: str) -> None:
        """Remove somebody."""
        self.cognito.admin_delete_user(UserPoolId=self.pool_id, Username=email)


@pytest.fixture
def staff_pool(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[StaffPool]:
    """The pool of the template, empty."""
    resources = yaml.safe_load(TEMPLATE.read_text())["Resources"]
    cognito = boto3.client("cognito-idp")
    wanted = {**resources["StaffPool"]["Properties"], "UserPoolName": "test-staff"}
    pool = cognito.create_user_pool(
        PoolName=wanted["UserPoolName"],
        Policies=wanted["Policies"],
        UsernameAttributes=wanted["UsernameAttributes"],
        UsernameConfiguration=wanted["UsernameConfiguration"],
        AdminCreateUserConfig=wanted["AdminCreateUserConfig"],
    )["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool,
        ClientName="api",
        ExplicitAuthFlows=resources["StaffClient"]["Properties"]["ExplicitAuthFlows"],
    )["UserPoolClient"]["ClientId"]
    for resource in resources.values():
        if resource.get("Type") == "AWS::Cognito::UserPoolGroup":
            name = resource["Properties"]["GroupName"]
            cognito.create_group(UserPoolId=pool, GroupName=name)
    monkeypatch.setenv("STAFF_POOL_ID", pool)
    monkeypatch.setenv("STAFF_CLIENT_ID", client)
    yield StaffPool(cognito, pool)
