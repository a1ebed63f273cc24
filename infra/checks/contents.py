"""What is in the two archives of a package: what the functions need, and nothing else."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from infra.checks.rules import SECRET_TEXT
from infra.package import Package, unfit_files

TEMPLATE_BYTES_MAX = 1_000_000
"""CloudFormation's limit for a template in a bucket, as it is uploaded."""

ARCHIVE_BYTES_MAX = 50 * 1024 * 1024
"""Lambda's limit for an uploaded archive."""

UNPACKED_BYTES_MAX = 250 * 1024 * 1024
"""Lambda's limit for a function and its layers together."""

CODE = {"app.py", "chalicelib", "chalice", "openapi.json"}
"""What the code's archive holds: ours, and the part of Chalice that runs in Lambda."""

NEVER_PACKED = {"tests", "test", "infra", "docs", ".chalice", ".git", ".env", ".local"}
"""Folders and files of a developer's, wherever they turn up in the code."""

TOOLS = {"boto3", "chalice", "moto", "ministack", "pip", "pytest", "setuptools"}
"""Packages that build and test; a function that holds them starts slower, and may more."""


def unfit_contents(built: Package, architecture: str) -> list[str]:
    """What must not be in a package, or is missing from it."""
    return [
        *unfit_files(built, architecture),
        *_too_large(built),
        *_foreign_code(built.code),
        *_tools(built.layer),
        *_secrets(built.code),
    ]


def _too_large(built: Package) -> Iterator[str]:
    unpacked = 0
    if built.template.stat().st_size > TEMPLATE_BYTES_MAX:
        yield f"{built.template.name} is larger than CloudFormation takes"
    for archive in (built.code, built.layer):
        if archive.stat().st_size > ARCHIVE_BYTES_MAX:
            yield f"{archive.name} is larger than Lambda takes"
        with zipfile.ZipFile(archive) as files:
            unpacked += sum(entry.file_size for entry in files.infolist())
    if unpacked > UNPACKED_BYTES_MAX:
        yield "code and layer are larger than Lambda unpacks"


def _foreign_code(code: Path) -> Iterator[str]:
    for name in _names(code):
        parts = Path(name).parts
        if parts[0] not in CODE:
            yield f"{code.name} holds {name}, which is no part of the app"
        elif NEVER_PACKED.intersection(parts):
            yield f"{code.name} holds {name}, which is for developers"


def _tools(layer: Path) -> Iterator[str]:
    packages = {
        Path(name).parts[4]
        for name in _names(layer)
        if len(Path(name).parts) > 4 and Path(name).parts[3] == "site-packages"
    }
    for name in sorted(packages & TOOLS):
        yield f"{layer.name} holds {name}, which no function needs"


def _secrets(code: Path) -> Iterator[str]:
    with zipfile.ZipFile(code) as files:
        for name in files.namelist():
            if SECRET_TEXT.search(files.read(name).decode("utf-8", errors="replace")):
                yield f"{name} in {code.name} holds a text that looks like a secret"


def _names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as files:
        return files.namelist()
