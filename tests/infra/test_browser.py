"""How make comes by a browser: one that is there, Debian's, or a sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local import browser
from infra.local.browser import NoBrowser


@pytest.fixture
def bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no programs but ``env``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return folder


def program(folder: Path, name: str, script: str = "") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def apt_get(folder: Path, installs: str, fails_on: str = "nothing") -> None:
    """An ``apt-get`` that notes what it is asked, and makes one program."""
    program(
        folder,
        "apt-get",
        f'echo "$@" >>{folder}/asked\n'
        f'case "$@" in *" {fails_on} "*) exit 100;; *" install "*) '
        f"/bin/cp {folder}/env {folder}/{installs};; esac",
    )


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


def test_any_chromium_that_is_there_is_taken(bin: Path) -> None:
    chrome = program(bin, "google-chrome")
    assert browser.find() == str(chrome)
    shell = program(bin, "chromium-headless-shell")
    assert browser.find() == str(shell)
    apt_get(bin, "chromium")
    browser.main()
    assert not (bin / "asked").exists()


def test_debian_s_is_installed_where_there_is_none(bin: Path) -> None:
    apt_get(bin, "chromium-headless-shell")
    browser.main()
    assert browser.find() == str(bin / "chromium-headless-shell")
    update, install = asked(bin)
    assert update.endswith(" update")
    assert " install -y --no-install-recommends chromium-headless-shell " in install


def test_the_whole_one_is_installed_where_there_is_no_lean_one(bin: Path) -> None:
    apt_get(bin, "chromium", fails_on="chromium-headless-shell")
    browser.main()
    assert browser.find() == str(bin / "chromium")


def test_who_is_not_root_asks_sudo_which_may_ask_nothing_back(
    bin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    apt_get(bin, "chromium")
    program(bin, "sudo", f'echo "sudo $1" >>{bin}/asked; shift; exec "$@"')
    browser.main()
    assert asked(bin)[0] == "sudo -n"


@pytest.mark.parametrize("has_apt_get", [True, False])
def test_where_none_can_be_had_a_sentence_says_what_to_do(
    bin: Path, monkeypatch: pytest.MonkeyPatch, has_apt_get: bool
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)  # and there is no sudo
    if has_apt_get:
        apt_get(bin, "chromium")
    with pytest.raises(SystemExit, match="need a Chromium"):
        browser.main()
    with pytest.raises(NoBrowser):
        browser.find()
