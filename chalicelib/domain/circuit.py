"""The circuit breaker of a manufacturer: when it may be called at all.

A manufacturer that does not answer is left alone for a while, so that its vends do not keep the
workers from those of the others. After ``FAILURES_MAX`` failed calls in a row nobody calls it for
30 seconds, then for one, two, four minutes and so on, up to fifteen. In between, when such a
time is over, a single call may try: the circuit closes with its success and opens again, for
longer, with its failure. All of it is stored, so a restart forgets nothing.

A failure is silence or breakage. Whatever a working manufacturer answers is a success here, be it
a no, or words whose meaning is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FAILURES_MAX = 5
OPEN_SECONDS_FIRST = 30
OPEN_SECONDS_MAX = 900


@dataclass(frozen=True, slots=True)
class Circuit:
    """How it stands with one manufacturer.

    ``failures`` counts those since the last success, ``openings`` how often the circuit has
    opened since. ``probe_until`` is while the one call that tries may take; ``revision`` rises
    with every write.
    """

    manufacturer: str
    failures: int = 0
    openings: int = 0
    open_until: datetime | None = None
    probe_until: datetime | None = None
    revision: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether nothing has failed since the last success."""
        return self.failures == 0 and self.open_until is None

    def wait(self, now: datetime) -> timedelta | None:
        """How long nobody may call; ``None`` where somebody may, be it only to try."""
        ends = [end for end in (self.open_until, self.probe_until) if end is not None and end > now]
        return max(ends) - now if ends else None

    def is_on_trial(self, now: datetime) -> bool:
        """Whether it was open and the next call, a single one, is to tell how it goes on."""
        return self.open_until is not None and self.wait(now) is None


def tried(circuit: Circuit, until: datetime) -> Circuit:
    """The circuit while one call tries; the others wait for it until then at most."""
    return replace(circuit, probe_until=until)


def after_failure(circuit: Circuit, now: datetime) -> Circuit:
    """The circuit after a call that brought no answer in time, or a broken server's.

    Calls that were under way when it opened fail too; they open it no further.
    """
    failed = replace(circuit, failures=circuit.failures + 1)
    if circuit.open_until is not None and now < circuit.open_until:
        return failed
    if failed.failures < FAILURES_MAX and circuit.open_until is None:
        return failed
    openings = circuit.openings + 1
    seconds = min(OPEN_SECONDS_FIRST * 2 ** (openings - 1), OPEN_SECONDS_MAX)
    return replace(
        failed,
        openings=openings,
        open_until=now + timedelta(seconds=seconds),
        probe_until=None,
    )


def after_success(circuit: Circuit) -> Circuit:
    """The circuit after a call that was answered, whatever the answer means."""
    return Circuit(circuit.manufacturer, revision=circuit.revision)
