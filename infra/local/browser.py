"""The browser for the tests of the website: ``python -m infra.local.browser`` makes sure of one.

Any Chromium that is on this machine will do. Where there is none, Debian's is installed: it comes
from the place where everything else on the machine comes from, and ``apt-get`` checks it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = (
    "chromium-headless-shell",
    "chromium",
    "google-chrome",
    "chrome",
    "chromium-browser",
)
"""What a Chromium may be called; the leanest first."""

PACKAGES = ("chromium-headless-shell", "chromium")
"""What Debian calls it. Releases before 12 have the second alone."""

FONTS = "fonts-dejavu-core"

_APT_GET = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")


class NoBrowser(Exception):
    """There is no Chromium, and none could be installed. The text says what to do."""


def find() -> str:
    """The path of a Chromium.

    Raises:
        NoBrowser: there is none.
    """
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise NoBrowser(
        "The tests of the website need a Chromium. Install one as one of "
        f"{', '.join(NAMES)} (on Debian: apt-get install {PACKAGES[0]})."
    )


def install() -> None:
    """Install Debian's, as root or with a ``sudo`` that asks for no password. Tries no further.

    Whether it is there then, :func:`find` says.
    """
    if shutil.which("apt-get") is None:
        return
    as_root = () if os.geteuid() == 0 else ("sudo", "-n")
    if as_root and shutil.which("sudo") is None:
        return
    command = (*as_root, "env", "DEBIAN_FRONTEND=noninteractive", *_APT_GET)
    _run(*command, "update")
    for package in PACKAGES:
        if _run(*command, "install", "-y", "--no-install-recommends", package, FONTS):
            return


def _run(*command: str) -> bool:
    """Whether it worked; if it did not, what it said is shown."""
    run = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode != 0:
        print(f"{' '.join(command)}:\n{run.stdout}", file=sys.stderr)
    return run.returncode == 0


def main() -> None:
    """Finds a Chromium, or installs one."""
    try:
        find()
    except NoBrowser:
        print("== a browser, for the tests of the website", flush=True)
        install()
        try:
            find()
        except NoBrowser as missing:
            sys.exit(str(missing))


if __name__ == "__main__":
    main()
