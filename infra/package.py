"""Builds what is deployed: ``python -m infra.package``.

Out of ``app.py``, ``chalicelib/``, ``.chalice/`` and ``requirements.txt``, merged with every
``infra/*.yaml``, come three files in ``build/package``: the template, the code and the layer with
the packages. Chalice works on a copy of the sources, so that nothing left lying about (compiled
files, old caches) gets into the package, and what it only warns of is an error here.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.tags import UnknownType, put_tags

ROOT = Path(__file__).resolve().parent.parent
"""The project's root."""

REGION = "eu-west-1"
"""Chalice wants a region to package for, though nothing in the template depends on it."""

CHALICE_STAGE = "mwanga"
"""The one Chalice stage: installations differ by the name and parameters of their stack."""

MACHINE_OF_ARCHITECTURE = {"arm64": 183, "x86_64": 62}
"""The ``e_machine`` number in the header of a shared library, for each Lambda architecture."""

_PACKAGED = ("app.py", "chalicelib", ".chalice", "requirements.txt", "openapi.json")
_WARNS_OF_MISSING_WHEEL = "Could not install dependencies"


class PackageError(Exception):
    """The package could not be built, or is not fit to be deployed. The text says why."""


@dataclass(frozen=True)
class Package:
    """The three files of a package."""

    template: Path
    code: Path
    layer: Path


def merge_resources(folder: Path) -> dict[str, Any]:
    """Joins all ``*.yaml`` files in ``folder`` into one template to merge into Chalice's.

    Raises:
        PackageError: two files say different things about one place.
    """
    merged: dict[str, Any] = {}
    for path in sorted(folder.glob("*.yaml")):
        _join(merged, yaml.safe_load(path.read_text(encoding="utf-8")), path.name)
    return merged


def _join(into: dict[str, Any], other: dict[str, Any], source: str, place: str = "") -> None:
    for key, value in other.items():
        where = f"{place}.{key}".lstrip(".")
        if key not in into:
            into[key] = value
        elif isinstance(into[key], dict) and isinstance(value, dict):
            _join(into[key], value, source, where)
        elif into[key] != value:
            raise PackageError(f"{source} says something else about {where} than another file")


def build(out: Path | None = None, root: Path = ROOT) -> Package:
    """Builds the package, unless the one in ``out`` was made from these very sources.

    Whoever wants it while it is being built waits for it.

    Args:
        out: the folder of the package; ``build/package`` under the root if not given.
        root: the project to package.

    Raises:
        PackageError: see :func:`package`.
    """
    out = out or root / "build" / "package"
    mark = out / "made-from.sha256"
    made_from = _fingerprint(root)
    with _alone(out):
        if not (mark.exists() and mark.read_text(encoding="utf-8") == made_from):
            package(out, root, layers=_layer_cache(out.parent, root))
            mark.write_text(made_from, encoding="utf-8")
    return package_in(out)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """One process at a time builds there. The lock ends with the process that holds it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_name(f"{out.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def package(out: Path, root: Path = ROOT, layers: Path | None = None) -> Package:
    """Builds the package and checks it.

    Args:
        out: the folder of the package; what is in it is removed.
        root: the project to package.
        layers: where Chalice may find, and leaves, the layer it built from the same
            requirements; without it everything is made from nothing.

    Raises:
        PackageError: Chalice failed, a dependency has no wheel for Lambda, or a check found the
            result unfit to be deployed.
    """
    work = out.parent / f"{out.name}-work"
    for folder in (work, out):
        shutil.rmtree(folder, ignore_errors=True)
    source = work / "source"
    _copy_sources(root, source)
    if layers:
        layers.mkdir(parents=True, exist_ok=True)
        (source / ".chalice" / "deployments").symlink_to(layers.resolve())
    merge_file = work / "merge.yaml"
    merge_file.write_text(_to_yaml(merge_resources(root / "infra")), encoding="utf-8")
    _run_chalice(source, merge_file, out)
    shutil.rmtree(work)
    built = package_in(out)
    if not built.layer.exists():
        raise PackageError("there is no layer: no dependency was found")
    architecture = json.loads((root / ".chalice/config.json").read_text())["lambda_architecture"]
    for problem in [
        *half_resources(load_template(built)),
        *unfit_files(built, architecture),
    ]:
        raise PackageError(problem)
    _tag(built)
    return built


def load_template(built: Package) -> dict[str, Any]:
    """The template of a package, as data."""
    template: dict[str, Any] = yaml.safe_load(built.template.read_text(encoding="utf-8"))
    return template


def half_resources(template: dict[str, Any]) -> Iterator[str]:
    """What is wrong with overrides that met no generated resource or event source.

    A renamed function would otherwise leave its overrides standing alone: the function without
    partial batches, the rest as a stray resource.
    """
    for name, resource in template["Resources"].items():
        if "Type" not in resource:
            yield f"{name} overrides a resource that Chalice does not generate"
        for event, source in resource.get("Properties", {}).get("Events", {}).items():
            if "Type" not in source:
                yield f"{name} overrides the event source {event}, which Chalice does not generate"


def unfit_files(built: Package, architecture: str) -> Iterator[str]:
    """What must not be in the package, or is missing from it."""
    machine = MACHINE_OF_ARCHITECTURE[architecture]
    with zipfile.ZipFile(built.layer) as layer:
        libraries = [name for name in layer.namelist() if name.endswith(".so")]
        if not any("_pydantic_core" in name for name in libraries):
            yield "the layer has no _pydantic_core library: its wheel was not found"
        for name in libraries:
            with layer.open(name) as library:
                header = library.read(20)
            if int.from_bytes(header[18:20], "little") != machine:
                yield f"{name} in the layer was not built for {architecture}"
    for archive in (built.code, built.layer):
        with zipfile.ZipFile(archive) as files:
            for name in files.namelist():
                if "__pycache__" in name or name.endswith(".pyc"):
                    yield f"{archive.name} holds a compiled file, {name}"


def _layer_cache(folder: Path, root: Path) -> Path:
    """Chalice tells cached layers apart by the text of the requirements alone; we add the rest."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements.txt", ".chalice/config.json"):
        digest.update((root / name).read_bytes())
    return folder / "layers" / digest.hexdigest()[:16]


def package_in(out: Path) -> Package:
    """The package in that folder, as :func:`package` leaves it."""
    return Package(out / "sam.yaml", out / "deployment.zip", out / "layer-deployment.zip")


def _copy_sources(root: Path, to: Path) -> None:
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", "deployments", "deployed")
    to.mkdir(parents=True)
    for name in _PACKAGED:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=unwanted)
        elif source.exists():
            shutil.copy2(source, to / name)


def _run_chalice(source: Path, merge_file: Path, out: Path) -> None:
    command = [
        *(str(Path(sys.executable).with_name("chalice")), "--project-dir", str(source)),
        *("package", "--stage", CHALICE_STAGE, "--template-format", "yaml"),
        *("--merge-template", str(merge_file), str(out)),
    ]
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",  # nobody's credentials are needed, or looked for
    }
    run = subprocess.run(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if run.returncode != 0:
        raise PackageError(f"chalice package failed:\n{run.stdout}")
    if _WARNS_OF_MISSING_WHEEL in run.stdout:
        raise PackageError(f"a dependency has no wheel that fits Lambda:\n{run.stdout}")


def _tag(built: Package) -> None:
    template = load_template(built)
    try:
        put_tags(template)
    except UnknownType as error:
        raise PackageError(str(error)) from error
    built.template.write_text(_to_yaml(template), encoding="utf-8")


def _fingerprint(root: Path) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in _inputs(root):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _inputs(root: Path) -> list[Path]:
    files = [root / name for name in _PACKAGED if (root / name).is_file()]
    files += (root / ".chalice").glob("*.json")
    files += (root / "infra").glob("*.yaml")
    files += [root / "infra" / "package.py", root / "infra" / "tags.py"]
    files += (
        path
        for path in (root / "chalicelib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    return sorted(path for path in files if path.exists())


class _PlainDumper(yaml.SafeDumper):
    """Writes a repeated value out each time instead of pointing back at it."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _to_yaml(data: dict[str, Any]) -> str:
    return yaml.dump(data, Dumper=_PlainDumper, sort_keys=False)


def main() -> None:
    """Builds the package anew and says what is in it."""
    parser = argparse.ArgumentParser(description="Build what is deployed.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "package")
    arguments = parser.parse_args()
    try:
        built = package(arguments.out)
    except PackageError as error:
        sys.exit(f"make package: {error}")
    resources = len(load_template(built)["Resources"])
    code, layer = built.code.stat().st_size, built.layer.stat().st_size
    print(f"{built.template}: {resources} resources")
    print(f"{built.code}: {code / 1024:.0f} kB, {built.layer}: {layer / 1024 / 1024:.1f} MB")


if __name__ == "__main__":
    main()
