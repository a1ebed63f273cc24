"""Makes the first member of staff: ``python -m infra.staff <stack> <email> <role>``.

A fresh installation has no staff, and the API takes orders from staff only. Whoever may write to
the stack's user pool makes the first admin with this, from a shell with credentials for AWS, or
in the console. It prints a password for one log-in, at which another one must be chosen.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.services.staff import Role


def make_staff(pool: Any, pool_id: str, email: str, role: str) -> str:
    """Make somebody a member of the pool, in the group of that role; answers the password."""
    password = secrets.token_urlsafe(16)
    pool.admin_create_user(
        UserPoolId=pool_id,
        Username=email,
        UserAttributes=[
            {"Name": "email", "Value": email},
            {"Name": "email_verified", "Value": "true"},
        ],
        TemporaryPassword=password,
        MessageAction="SUPPRESS",
    )
    pool.admin_add_user_to_group(UserPoolId=pool_id, Username=email, GroupName=role)
    return password


def pool_of(stack: str) -> str:
    """The id of the user pool of that stack."""
    resource = boto3.client("cloudformation").describe_stack_resource(
        StackName=stack, LogicalResourceId="StaffPool"
    )
    return str(resource["StackResourceDetail"]["PhysicalResourceId"])


def main() -> None:
    """Makes one member of staff and prints the password."""
    parser = argparse.ArgumentParser(description="Make a member of staff.")
    parser.add_argument("stack", help="the name of the CloudFormation stack")
    parser.add_argument("email")
    parser.add_argument("role", choices=[role.value for role in Role])
    arguments = parser.parse_args()
    try:
        password = make_staff(
            boto3.client("cognito-idp"),
            pool_of(arguments.stack),
            arguments.email,
            arguments.role,
        )
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"{arguments.email}: {error}")
    print(f"{arguments.email} ({arguments.role}) may log in once with: {password}")


if __name__ == "__main__":
    main()
