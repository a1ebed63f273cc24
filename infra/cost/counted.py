"""What payments take, as it was counted: see ``tests/integration/counting.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("counted.yaml")


def load() -> dict[str, Any]:
    """What the file says."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found
