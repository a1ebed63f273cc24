"""The command: ``python -m infra.checks [folder of a package]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from infra.checks.everything import check
from infra.checks.linters import LinterFailed
from infra.package import ROOT, PackageError, build, package_in


def main() -> None:
    """Checks a package and says what is wrong with it; exits with an error if anything is."""
    parser = argparse.ArgumentParser(description="Check what is to be deployed.")
    parser.add_argument("folder", nargs="?", type=Path, help="build/package if not given")
    folder = parser.parse_args().folder
    try:
        problems = check(package_in(folder) if folder else build(), root=ROOT)
    except (LinterFailed, PackageError, OSError) as error:
        sys.exit(f"The package could not be checked: {error}")
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)
    if problems:
        sys.exit(f"The package is not fit to be deployed: {len(problems)} problems.")
    print("The package is fit to be deployed.")


if __name__ == "__main__":
    main()
