"""What is in the package, and what the build refuses to make one of."""

from __future__ import annotations

import json
import sysconfig
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import package
from infra.package import ROOT, Package, PackageError
from tests.infra.conftest import packed

ARM = b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little")
X86 = b"\x7fELF" + bytes(14) + (62).to_bytes(2, "little")
PYDANTIC = "python/lib/python3.11/site-packages/pydantic_core/_pydantic_core.cpython-311.so"


def names_in(archive: Path) -> set[str]:
    """The names of the files in an archive."""
    with zipfile.ZipFile(archive) as files:
        return set(files.namelist())


class TestTheRealPackage:
    def test_nothing_in_it_is_unfit(self, built: Package) -> None:
        assert list(package.unfit_files(built, "arm64")) == []

    def test_the_code_is_the_app_its_library_and_chalices_runtime(self, built: Package) -> None:
        top = {name.split("/")[0] for name in names_in(built.code)}
        assert {"app.py", "chalicelib", "chalice"} <= top
        assert not top & {"infra", "tests", "docs", ".chalice", "requirements.txt"}

    def test_every_source_file_is_in_it(self, built: Package) -> None:
        library = ROOT / "chalicelib"
        files = (*library.rglob("*.py"), *(library / "website").iterdir())
        sources = {str(path.relative_to(ROOT)) for path in files}
        assert {name for name in names_in(built.code) if name.startswith("chalicelib/")} >= sources

    def test_the_layer_has_what_the_code_needs_and_no_tools(self, built: Package) -> None:
        prefix = "python/lib/python3.11/site-packages/"
        packages = {
            name.removeprefix(prefix).split("/")[0]
            for name in names_in(built.layer)
            if name.startswith(prefix)
        }
        needed = {"botocore", "cryptography", "openpaygo", "phonenumbers", "pydantic", "pynamodb"}
        assert needed | {"siphash", "tzdata", "urllib3"} <= packages
        assert packages.isdisjoint({"boto3", "moto", "ministack", "pytest", "pip"})

    def test_it_fits_into_lambda(self, built: Package) -> None:
        unpacked = 0
        for archive in (built.code, built.layer):
            assert archive.stat().st_size < 50 * 1024 * 1024
            with zipfile.ZipFile(archive) as files:
                unpacked += sum(entry.file_size for entry in files.infolist())
        assert unpacked < 250 * 1024 * 1024

    def test_it_is_not_built_twice_from_the_same_sources(self, built: Package) -> None:
        before = built.code.stat().st_mtime_ns
        assert package.build().code.stat().st_mtime_ns == before

    def test_who_wants_it_while_it_is_being_built_waits_for_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        builds = []

        def takes_a_while(out: Path, *_: object, **__: object) -> None:
            builds.append(out)
            time.sleep(0.2)
            out.mkdir()

        monkeypatch.setattr(package, "package", takes_a_while)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(package.build, [tmp_path / "package"] * 2))
        assert len(builds) == 1


class TestRequirements:
    def lines(self, name: str) -> list[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        lines = (line.strip() for line in text.splitlines())
        return [line for line in lines if line and not line.startswith(("#", "-r "))]

    @pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
    def test_every_version_is_exact(self, name: str) -> None:
        assert [line for line in self.lines(name) if line.count("==") != 1] == []

    def test_chalice_and_boto3_do_not_reach_lambda(self) -> None:
        names = {line.split("==")[0].lower() for line in self.lines("requirements.txt")}
        assert names.isdisjoint({"chalice", "boto3"})


class TestUnfitFiles:
    def test_a_layer_without_pydantics_library_is_refused(self, tmp_path: Path) -> None:
        made = packed(tmp_path, {"app.py": b""}, {"python/other.so": ARM})
        assert list(package.unfit_files(made, "arm64")) == [
            "the layer has no _pydantic_core library: its wheel was not found"
        ]

    def test_a_library_for_another_machine_is_refused(self, tmp_path: Path) -> None:
        made = packed(tmp_path, {"app.py": b""}, {PYDANTIC: X86})
        (problem,) = package.unfit_files(made, "arm64")
        assert "was not built for arm64" in problem

    def test_compiled_files_are_refused(self, tmp_path: Path) -> None:
        code = {"chalicelib/__pycache__/x.cpython-311.pyc": b""}
        made = packed(tmp_path, code, {PYDANTIC: ARM})
        (problem,) = package.unfit_files(made, "arm64")
        assert "compiled file" in problem


class TestHalfResources:
    def test_an_override_of_a_function_that_is_gone_is_refused(self) -> None:
        template = {"Resources": {"Vend": {"Properties": {"RecursiveLoop": "Allow"}}}}
        (problem,) = package.half_resources(template)
        assert problem.startswith("Vend overrides")

    def test_an_override_of_an_event_source_that_is_gone_is_refused(self) -> None:
        events = {"SettleSqsEventSource": {"Properties": {"BatchSize": 1}}}
        settle = {"Type": "AWS::Serverless::Function", "Properties": {"Events": events}}
        (problem,) = package.half_resources({"Resources": {"Settle": settle}})
        assert "SettleSqsEventSource" in problem

    def test_the_real_template_has_none(self, template: dict[str, object]) -> None:
        assert list(package.half_resources(template)) == []


class TestMergingResources:
    def test_files_add_up(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("Resources: {A: {Type: X}}")
        (tmp_path / "b.yaml").write_text("Resources: {B: {Type: Y}}")
        assert package.merge_resources(tmp_path) == {
            "Resources": {"A": {"Type": "X"}, "B": {"Type": "Y"}}
        }

    def test_two_files_that_disagree_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("Resources: {A: {Type: X}}")
        (tmp_path / "b.yaml").write_text("Resources: {A: {Type: Y}}")
        with pytest.raises(PackageError, match=r"b\.yaml .* Resources\.A\.Type"):
            package.merge_resources(tmp_path)


class TestChaliceOnlyWarns:
    """Chalice prints that a dependency is missing, leaves it out, and exits as if all were well."""

    def test_a_dependency_without_a_wheel_for_lambda_stops_the_build(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_wheel(tmp_path / "wheels", "everywhere", "py3-none-any")
        this_machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        write_wheel(tmp_path / "wheels", "native", f"cp311-cp311-{this_machine}")
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        root = write_project(tmp_path / "project", requirements="everywhere==1\nnative==1\n")
        with pytest.raises(PackageError, match=r"(?s)no wheel that fits Lambda.*native==1"):
            package.package(tmp_path / "out", root)

    def test_a_package_without_a_layer_is_refused(self, tmp_path: Path) -> None:
        root = write_project(tmp_path / "project", requirements="")
        with pytest.raises(PackageError, match="no layer"):
            package.package(tmp_path / "out", root)


def write_project(root: Path, requirements: str) -> Path:
    """The smallest project that Chalice packages."""
    for folder in ("chalicelib", "infra", ".chalice"):
        (root / folder).mkdir(parents=True)
    (root / "app.py").write_text(
        "from chalice import Chalice\napp = Chalice(app_name='x')\napp.route('/')(lambda: {})\n"
    )
    config = {"app_name": "x", "automatic_layer": True, "lambda_architecture": "arm64"}
    (root / ".chalice" / "config.json").write_text(json.dumps({"version": "2.0", **config}))
    (root / "requirements.txt").write_text(requirements)
    return root


def write_wheel(folder: Path, name: str, tag: str) -> None:
    """A wheel with one module."""
    folder.mkdir(exist_ok=True)
    about = f"{name}-1.dist-info"
    files = {
        f"{name}.py": "here = True\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    with zipfile.ZipFile(folder / f"{name}-1-{tag}.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        record = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
        wheel.writestr(f"{about}/RECORD", record)
