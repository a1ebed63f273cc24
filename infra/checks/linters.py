"""Two linters that others write: cfn-lint (is it a template?) and Checkov (is it a safe one?).

They live in a virtual environment of their own, because Checkov pins an older boto3 than ours;
``make checks`` makes it. Both are asked once about all templates, for starting them is the slow
part.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.checks.exceptions import Finding
from infra.checks.reading import Template, of_type
from infra.package import ROOT

VENV = ROOT / ".venv-checks"
"""Where the linters are, of the versions in ``requirements-checks.txt``."""

REGION = "af-south-1"
"""Cape Town: near our customers, and it lacks things that other regions have."""

_SECONDS_MAX = 300


class LinterFailed(Exception):
    """A linter is not there, or did not come to its end. The text says what it said."""


def run_cfn_lint(templates: Mapping[str, Template]) -> list[Finding]:
    """What cfn-lint finds in each of the templates: errors and warnings.

    Raises:
        LinterFailed: it could not be asked.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = _write(templates, Path(folder))
        output = _run("cfn-lint", "--format", "json", "-r", REGION, "-t", *map(str, files))
    return [
        Finding(
            rule=match["Rule"]["Id"],
            place="/".join(str(part) for part in match["Location"]["Path"] or ["the template"]),
            text=match["Message"],
            template=Path(match["Filename"]).stem,
        )
        for match in json.loads(output or "[]")
    ]


def run_checkov(templates: Mapping[str, Template]) -> list[Finding]:
    """What Checkov finds in each of the expanded templates. It asks nobody outside.

    The routes of the API are left out: no check reads them, and they take it a quarter of a minute.

    Raises:
        LinterFailed: it could not be asked, or could not read a template.
    """
    with tempfile.TemporaryDirectory() as folder:
        lean = {name: without_paths(template) for name, template in templates.items()}
        files = [part for file in _write(lean, Path(folder)) for part in ("-f", str(file))]
        quiet = ("--framework", "cloudformation", "--skip-download", "--compact", "--quiet")
        output = _run("checkov", *quiet, "-o", "json", *files)
    report = json.loads(output)
    if report["summary"]["parsing_errors"] or not report["summary"]["resource_count"]:
        raise LinterFailed(f"checkov could not read a template: {report['results']}")
    return [
        Finding(
            rule=check["check_id"],
            place=check["resource"].rpartition(".")[2],
            text=check["check_name"],
            template=Path(check["file_path"]).stem,
        )
        for check in report["results"]["failed_checks"]
    ]


def without_paths(template: Template) -> Template:
    """An expanded template whose API has no routes. (They stand in the packaged one as well.)"""
    lean = copy.deepcopy(template)
    for api in of_type(lean, "AWS::ApiGateway::RestApi").values():
        api.get("Body", {})["paths"] = {}
    return lean


def _write(templates: Mapping[str, Any], folder: Path) -> list[Path]:
    files = [folder / f"{name}.json" for name in templates]
    for file, template in zip(files, templates.values(), strict=True):
        file.write_text(json.dumps(template, indent=1), encoding="utf-8")
    return files


def _run(program: str, *arguments: str) -> str:
    command = [str(VENV / "bin" / program), *arguments]
    environment = {**os.environ, "LOG_LEVEL": "ERROR"}
    try:
        run = subprocess.run(
            command, env=environment, text=True, capture_output=True, timeout=_SECONDS_MAX
        )
    except OSError as error:
        raise LinterFailed(f"{program} is not there; `make checks` installs it") from error
    if not run.stdout.lstrip().startswith(("[", "{")):
        raise LinterFailed(f"{program} failed:\n{run.stdout}{run.stderr}")
    return run.stdout
