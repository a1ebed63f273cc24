"""The package as it would be deployed, built once for all tests of this folder."""

from __future__ import annotations

import copy
import os
from types import SimpleNamespace
from typing import Any

import pytest
from samtranslator.translator.transform import transform

from infra import package
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
    uploaded = copy.deepcopy(template)
    for resource in uploaded["Resources"].values():
        for key in ("CodeUri", "ContentUri"):
            if key in resource["Properties"]:
                resource["Properties"][key] = "s3://bucket/key"
    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = package.REGION
    try:
        done: Template = transform(uploaded, {}, SimpleNamespace(load=dict))
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]
        else:
            os.environ["AWS_DEFAULT_REGION"] = before
    return done
