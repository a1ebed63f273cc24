"""The package as it would be deployed, built once for all tests of this folder."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra import package
from infra.checks import reading
from infra.package import Package

Template = dict[str, Any]


@pytest.fixture(scope="session")
def built() -> Package:
    """The package, built from the sources as they are."""
    return package.build()


@pytest.fixture(scope="session")
def template(built: Package) -> Template:
    """The template in the package: what Chalice generates, with ours merged in."""
    return package.load_template(built)


@pytest.fixture(scope="session")
def expanded(template: Template) -> Template:
    """The template as CloudFormation sees it, after the SAM transform."""
    return reading.expand(template)


def packed(folder: Path, code: dict[str, bytes], layer: dict[str, bytes]) -> Package:
    """A package with such files."""
    made = Package(folder / "sam.yaml", folder / "code.zip", folder / "layer.zip")
    made.template.write_text("Resources: {}\n")
    for archive, content in ((made.code, code), (made.layer, layer)):
        with zipfile.ZipFile(archive, "w") as files:
            for name, data in content.items():
                files.writestr(name, data)
    return made
