"""Which rights of the roles nobody used: ``python -m infra.checks.rights``.

The end-to-end tests run in clouds whose functions may do only what their roles allow, so what a
role lacks fails there. This is the other half: the clouds note every call (see
:mod:`infra.local.emulator`).
What a role allows beyond the calls of all tests is in :file:`exceptions.yaml` with its reason, or
is a right too many.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from infra.checks.exceptions import Finding, not_allowed, read_exceptions
from infra.checks.limits import Installation, resolve
from infra.checks.reading import Template, as_list, expand, of_type
from infra.local.deploy import STACK
from infra.package import REGION, ROOT, build, load_template

FOLDER = ROOT / "build" / "role-calls"
"""Where the end-to-end tests leave what their clouds noted, a file for each."""

LOCAL = Installation(STACK, REGION, account="0" * 12)
"""What local resources are named after."""


@dataclass(frozen=True)
class Call:
    """Something that a role was used for."""

    caller: str
    action: str
    resource: str


def read_calls(folder: Path) -> set[Call]:
    """All calls in the files of a folder."""
    return {
        Call(*line.split("\t"))
        for file in folder.glob("*.tsv")
        for line in file.read_text(encoding="utf-8").splitlines()
    }


def unused_rights(expanded: Template, calls: Iterable[Call]) -> Iterator[Finding]:
    """Each right of a function's role that none of the calls needed.

    The rule of a finding is the action; its place is the role and what it may be done to, such as
    ``VendRole table/mwanga-payments``.
    """
    made = list(calls)
    for function in of_type(expanded, "AWS::Lambda::Function").values():
        role = function["Role"]["Fn::GetAtt"][0]
        own = [call for call in made if f"-{role}-" in call.caller]
        for policy in expanded["Resources"][role]["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                for resource in as_list(statement["Resource"]):
                    pattern = _pattern(resolve(expanded, resource, LOCAL))
                    place = f"{role} {pattern.split(':', 5)[-1]}"
                    for action in as_list(statement["Action"]):
                        if not any(_needs(call, action, pattern) for call in own):
                            yield Finding(action, place, "is allowed, and no test needs it")


def _pattern(resource: str) -> str:
    """The resource, whatever ids AWS gave it."""
    return re.sub(r"-AbCdEf$|(?<=_)abcdefghi$", "*", resource)


def _needs(call: Call, action: str, resource: str) -> bool:
    return call.action.lower() == action.lower() and fnmatchcase(call.resource, resource)


def main() -> None:
    """Says which rights no end-to-end test needed; exits with an error if any has no reason."""
    calls = read_calls(FOLDER)
    if not calls:
        sys.exit("Nothing was noted yet: run `make e2e` first.")
    unused = unused_rights(expand(load_template(build())), calls)
    problems = not_allowed(unused, read_exceptions("rights"))
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)
    if problems:
        sys.exit(f"Roles allow what no end-to-end test needs: {len(problems)} rights.")
    print(f"Every right of every role is needed: {len(calls)} kinds of calls were noted.")


if __name__ == "__main__":
    main()
