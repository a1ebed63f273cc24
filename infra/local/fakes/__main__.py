"""Runs the fakes: ``python -m infra.local.fakes <settings.json>``.

The settings: ``{"control_port", "sms_log", "vendors": {key: {"port", …}}, "providers": {key:
{"port", …}}}``, where ``…`` is what that fake is to know and to accept.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from infra.local import providers, vendors
from infra.local.fakes.faults import Faults
from infra.local.fakes.server import Fakes


def start(settings: dict[str, Any]) -> None:
    """Opens all addresses that the settings name, and comes back."""
    faults = Faults()
    fakes = Fakes(
        {
            vendors.make(key, given, faults): int(given["port"])
            for key, given in settings["vendors"].items()
        },
        {
            providers.make(key, given, faults): int(given["port"])
            for key, given in settings["providers"].items()
        },
        faults,
        Path(settings["sms_log"]),
    )
    fakes.open(settings["control_port"])


def main() -> None:
    """Serves until it is ended from outside."""
    start(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    threading.Event().wait()


if __name__ == "__main__":
    main()
