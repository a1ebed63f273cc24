"""Runs the emulator, and notes for which calls each role was used.

A script, not a module to import: ``python infra/local/emulator.py``. Each call that is asked about
for the first time is a line in ``role-calls.tsv`` in the folder where it runs: who called, the
action, the resource. :mod:`infra.checks.rights` compares them with what the roles allow.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

CALLS = "role-calls.tsv"
"""The name of the file with the calls."""


def main() -> None:
    """Runs the emulator until it is stopped."""
    sys.path[0] = ""  # as with `python -m`: what lies beside this file is not for the emulator
    from ministack.core import iam_evaluator

    ask, seen = iam_evaluator.enforce, set()
    calls = Path(CALLS).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115  open to the end

    def noting(key: str, action: str, *rest: Any, resource_arn: str = "*", **others: Any) -> Any:
        call = f"{iam_evaluator.caller_arn()}\t{action}\t{resource_arn}\n"
        if call not in seen:
            seen.add(call)
            calls.write(call)
        return ask(key, action, *rest, resource_arn=resource_arn, **others)

    iam_evaluator.enforce = noting
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
