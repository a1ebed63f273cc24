"""Makes the first member of staff: ``python -m infra.staff <stack> <email> <role>``.

A fresh installation has no staff, and the API takes orders from staff only. Whoever may write to
the stack's tables makes the first admin with this, from a shell with credentials for AWS. It
prints a password that must be changed at the first log-in.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys

from chalicelib.domain.errors import FieldError
from chalicelib.services.ports import NameTaken
from chalicelib.services.staff import Role


def main() -> None:
    """Makes one member of staff and prints the password."""
    parser = argparse.ArgumentParser(description="Make a member of staff.")
    parser.add_argument("stack", help="the name of the CloudFormation stack")
    parser.add_argument("email")
    parser.add_argument("role", choices=[role.value for role in Role])
    arguments = parser.parse_args()
    os.environ["TABLE_PREFIX"] = f"{arguments.stack}-"
    password = secrets.token_urlsafe(16)
    from chalicelib.wiring import wiring

    try:
        wiring.log_in.create_staff(arguments.email, password, [arguments.role], must_change=True)
    except (FieldError, NameTaken) as error:
        sys.exit(f"{arguments.email}: {error}")
    print(f"{arguments.email} ({arguments.role}) may log in once with: {password}")


if __name__ == "__main__":
    main()
