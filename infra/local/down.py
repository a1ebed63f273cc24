"""Stops a local cloud and leaves nothing of it: ``python -m infra.local.down``."""

from __future__ import annotations

import argparse
from pathlib import Path

from infra.local.up import STATE, stop


def main() -> None:
    """Stops the cloud of this clone, or says that there is none."""
    parser = argparse.ArgumentParser(description="Stop the local cloud.")
    parser.add_argument("--state", type=Path, default=STATE, help="its state folder")
    stopped = stop(parser.parse_args().state)
    print(f"Stopped: {', '.join(stopped)}." if stopped else "No local cloud was running.")


if __name__ == "__main__":
    main()
