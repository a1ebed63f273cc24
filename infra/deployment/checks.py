"""What is checked before anything is uploaded."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.package import REGION, ROOT

_TESTS = ("test_template.py", "test_limits.py", "test_stages.py")


class ChecksFailed(Exception):
    """The package is not fit to be deployed. The text is what the checks said."""


def check(package: Path, root: Path = ROOT) -> None:
    """Run the tests of the template and, where the project has them, all other checks.

    They run in processes of their own, without the operator's credentials.

    Raises:
        ChecksFailed: one of them is not satisfied.
    """
    for command in _commands(package, root):
        run = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=root,
            env=_without_credentials(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if run.returncode != 0:
            raise ChecksFailed(run.stdout)


def _commands(package: Path, root: Path) -> Iterator[Sequence[str]]:
    yield ("pytest", "-q", "-p", "no:cacheprovider", *(f"tests/infra/{name}" for name in _TESTS))
    if importlib.util.find_spec("infra.checks"):
        yield ("infra.checks", str(package))


def _without_credentials() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nobody = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return {**kept, **nobody, "AWS_DEFAULT_REGION": REGION}
