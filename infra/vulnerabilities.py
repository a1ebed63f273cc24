"""Which known vulnerabilities what we pin has: ``python -m infra.vulnerabilities``.

Asks the database of https://osv.dev by pip-audit, and writes ``build/vulnerabilities.md``: what
runs in Lambda, what builds and tests, and the linters, each apart, for they weigh differently. It
is no part of ``make test``: what is known changes while the code does not, and needs the network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.checks.linters import VENV
from infra.package import ROOT

OSV_URL = "https://api.osv.dev/v1/query"
"""The database's address for questions about one package in one version."""

REPORT = ROOT / "build" / "vulnerabilities.md"
"""Where the report is written."""

PINS = {
    "What runs in Lambda": ROOT / "requirements.txt",
    "What builds and tests": ROOT / "requirements-dev.txt",
    "The linters": ROOT / "requirements-checks.txt",
}
"""The parts of the report, and the file with the versions of each."""

_SECONDS_MAX = 600
_SECONDS_PER_ANSWER_MAX = 15


class DatabaseUnreachable(Exception):
    """Nothing could be asked. The text is pip-audit's."""


@dataclass(frozen=True)
class Vulnerability:
    """One that is known of one package in the version that we pin."""

    package: str
    version: str
    names: tuple[str, ...]
    """Its ids: the one that most know, then others for the same."""
    fixed_in: tuple[str, ...]
    summary: str


def known_of(pins: Path, osv_url: str = OSV_URL) -> list[Vulnerability]:
    """What is known of the versions that a file pins; files that it includes are left out.

    Raises:
        DatabaseUnreachable: it could not be asked about all of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "requirements.txt"
        own.write_text("\n".join(_own_lines(pins)), encoding="utf-8")
        command = [
            *(str(VENV / "bin" / "pip-audit"), "-r", str(own), "--no-deps", "--disable-pip"),
            *("-s", "osv", "--osv-url", osv_url, "--timeout", str(_SECONDS_PER_ANSWER_MAX)),
            *("-f", "json", "--progress-spinner", "off"),
        ]
        try:
            run = subprocess.run(command, text=True, capture_output=True, timeout=_SECONDS_MAX)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DatabaseUnreachable(str(error)) from error
    if not run.stdout.startswith("{"):
        lines = run.stderr.strip().splitlines()
        raise DatabaseUnreachable(lines[-1] if lines else "no answer")
    return [
        Vulnerability(
            package=dependency["name"],
            version=dependency["version"],
            names=(found["id"], *sorted(found["aliases"])),
            fixed_in=tuple(found["fix_versions"]),
            summary=" ".join(found["description"].split()).partition(". ")[0],
        )
        for dependency in json.loads(run.stdout)["dependencies"]
        for found in dependency.get("vulns", [])
    ]


def _own_lines(pins: Path) -> list[str]:
    lines = (line.strip() for line in pins.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def written(part: str, pins: Path, found: Sequence[Vulnerability]) -> str:
    """One part of the report."""
    asked = f"{len(_own_lines(pins))} packages of `{pins.name}` were asked about."
    if not found:
        return f"## {part}\n\n{asked} Nothing is known of them.\n"
    rows = [
        f"| {each.package} {each.version} | {', '.join(each.names)} | "
        f"{', '.join(each.fixed_in) or 'nothing yet'} | {each.summary.replace('|', '/')} |"
        for each in found
    ]
    head = "| package | vulnerability | mended in | what it is |\n|---|---|---|---|"
    return "\n".join([f"## {part}\n\n{asked}\n", head, *rows, ""])


def main() -> None:
    """Writes the report. Exits with an error if anything is known, or nothing could be asked."""
    parser = argparse.ArgumentParser(description="Ask for known vulnerabilities.")
    parser.add_argument("--osv-url", default=OSV_URL, help="another database of the same kind")
    parser.add_argument("--report", type=Path, default=REPORT)
    arguments = parser.parse_args()
    parts, count, unreachable = ["# Known vulnerabilities of what is pinned\n"], 0, 0
    for part, pins in PINS.items():
        try:
            found = known_of(pins, arguments.osv_url)
        except DatabaseUnreachable as error:
            unreachable += 1
            parts.append(f"## {part}\n\n**The database could not be reached: {error}**\n")
        else:
            count += len(found)
            parts.append(written(part, pins, found))
    arguments.report.parent.mkdir(parents=True, exist_ok=True)
    arguments.report.write_text("\n".join(parts), encoding="utf-8")
    print(arguments.report)
    if count:
        sys.exit(f"{count} vulnerabilities are known.")
    if unreachable:
        sys.exit("The database could not be reached, so nothing is known, good or bad.")


if __name__ == "__main__":
    main()
