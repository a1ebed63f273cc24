"""All checks of a package, one after the other."""

from __future__ import annotations

import json
from pathlib import Path

from infra.checks.contents import unfit_contents
from infra.checks.exceptions import not_allowed, read_exceptions
from infra.checks.limits import broken_limits
from infra.checks.linters import run_cfn_lint, run_checkov, without_paths
from infra.checks.reading import expand
from infra.checks.rules import broken_rules, stars
from infra.package import ROOT, Package, load_template


def check(built: Package, root: Path = ROOT) -> list[str]:
    """What is wrong with a package, in words; nothing if it may be deployed.

    Raises:
        LinterFailed: a linter could not be asked.
        OSError: a file of the package is missing.
    """
    architecture = json.loads((root / ".chalice/config.json").read_text())["lambda_architecture"]
    packaged = load_template(built)
    broken = [*broken_rules(packaged), *unfit_contents(built, architecture)]
    if broken:
        return broken  # what the transform and the linters would add is noise by now
    expanded = expand(packaged)
    found = run_cfn_lint({"packaged": packaged, "expanded": without_paths(expanded)})
    unsafe = run_checkov({"expanded": expanded})
    return [
        *broken_limits(packaged, expanded),
        *not_allowed(stars(expanded), read_exceptions("stars")),
        *not_allowed(found, read_exceptions("cfn-lint")),
        *not_allowed(unsafe, read_exceptions("checkov")),
    ]
