"""A transcript that tells a story in a terminal and checks it as it goes.

Plain text, at most :data:`WIDTH` columns; colour only where a person looks on.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Iterable
from typing import Any, TextIO

WIDTH = 92

_BOLD, _GREEN, _RED, _DIM = "1", "32", "31", "2"


class Transcript:
    """Prints chapters, words and sums; counts the checks and remembers those that failed."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._coloured = out.isatty() and "NO_COLOR" not in os.environ
        self._chapters = 0
        self.passed = 0
        self.failed: list[str] = []

    def title(self, text: str) -> None:
        """The first line of all."""
        self._line(self._in(_BOLD, text))
        self._line("=" * len(text))

    def chapter(self, text: str) -> None:
        """The head of the next chapter."""
        self._chapters += 1
        self._line()
        self._line(self._in(_BOLD, f"{self._chapters}. {text}"))
        self._line()

    def say(self, text: str) -> None:
        """A paragraph."""
        for line in textwrap.wrap(" ".join(text.split()), WIDTH - 3):
            self._line("   " + line)

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and what they stand for, in two columns."""
        rows = list(rows)
        width = max(len(name) for name, _ in rows)
        indent = " " * (width + 8)
        for name, text in rows:
            wrapped = textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
            self._line(f"      {name.ljust(width)}  {chr(10).join(wrapped).lstrip()}")

    def sums(self, rows: Iterable[tuple[str, str]]) -> None:
        """Sums of money, each with what it is for."""
        for amount, text in rows:
            self._line(f"      {amount:>12}  {text}")

    def sms(self, to: str, text: str) -> None:
        """An SMS as the customer sees it. Groups of digits are not torn apart."""
        self._line(f"   SMS to {to}:")
        bound = re.sub(r"(?<=\d) (?=\d)", "\N{NO-BREAK SPACE}", text)
        for line in textwrap.wrap(bound, WIDTH - 8, break_on_hyphens=False):
            self._line(self._in(_DIM, "      | ") + line.replace("\N{NO-BREAK SPACE}", " "))

    def check(self, what: str, expected: Any, got: Any) -> None:
        """One thing that must be so."""
        if got == expected:
            self.passed += 1
            self._line(f"   {self._in(_GREEN, 'ok')}  {what}")
            return
        self.failed.append(what)
        self._line(f"   {self._in(_RED, 'WRONG')}  {what}")
        self._line(f"          expected: {expected!r}")
        self._line(f"          got:      {got!r}")

    def break_off(self, why: str) -> None:
        """Something went so wrong that the story cannot go on."""
        self.failed.append(why)
        self._line(f"   {self._in(_RED, 'WRONG')}  {why}")

    def finish(self, seconds: float) -> int:
        """The last lines; answers the exit code."""
        self._line()
        if not self.failed:
            self._line(self._in(_GREEN, f"{self.passed} checks passed in {seconds:.0f} seconds."))
            return 0
        self._line(self._in(_RED, f"{len(self.failed)} checks failed, {self.passed} passed:"))
        for what in self.failed:
            self._line(f"   {what}")
        return 1

    def _line(self, text: str = "") -> None:
        print(text, file=self._out, flush=True)

    def _in(self, colour: str, text: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._coloured else text
