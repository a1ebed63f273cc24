"""Runs the fakes: ``python -m infra.local.vendors <settings.json>``.

The settings: ``{"control_port", "sms_log", "vendors": {key: {"port", …credentials}}}``.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from infra.local.vendors import make
from infra.local.vendors.server import Fakes


def main() -> None:
    """Serves until it is ended from outside."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    vendors = {make(key, given): int(given["port"]) for key, given in settings["vendors"].items()}
    Fakes(vendors, Path(settings["sms_log"])).open(settings["control_port"])
    threading.Event().wait()


if __name__ == "__main__":
    main()
