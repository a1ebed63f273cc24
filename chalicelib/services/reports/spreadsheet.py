"""CSV that spreadsheets open and bookkeeping programs read (RFC 4180)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from chalicelib.services.portfolio.rows import guarded

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


def spreadsheet(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A file of these rows: UTF-8 with a byte order mark, without which Excel guesses.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it; a plain number
    is none, below zero either.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([_cell(text) for text in row] for row in rows)
    return out.getvalue().encode("utf-8-sig", errors="replace")


def _cell(text: str) -> str:
    return text if _NUMBER.fullmatch(text) else guarded(text)
