"""The breaker: keeps the workers from calling manufacturers that do not answer.

Every worker is a process of its own, so how a manufacturer does is kept in one stored item that
all of them read (at most every few seconds) and write (only when something failed, and with the
first success after that). A manufacturer that works costs nothing but the reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Timer

from chalicelib.domain.circuit import Circuit, after_failure, after_success, tried
from chalicelib.services.ports import (
    Catalogue,
    Circuits,
    Clock,
    Journal,
    OutcomeUnknown,
    PauseKind,
    TryAgain,
    VendAbsent,
    VendorSilent,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
    VersionConflict,
)

KEPT_FOR = timedelta(seconds=5)
WRITES_MAX = 4
PAUSED_FOR = timedelta(minutes=1)
"""So long whatever wants to call a paused manufacturer waits before it asks again."""
SLOW_SECONDS = 5
"""A call that takes longer counts as failed until it is answered: a silent manufacturer would
else be known as silent only after its time-out, and meanwhile keep all workers waiting."""


class Breaker:
    """Knows whether a manufacturer may be called now.

    It must never be what a customer waits for: where its own item cannot be read or written, the
    manufacturer is called as if all were well.
    """

    def __init__(
        self, *, circuits: Circuits, catalogue: Catalogue, clock: Clock, journal: Journal
    ) -> None:
        self._circuits = circuits
        self._catalogue = catalogue
        self._clock = clock
        self._journal = journal
        self._kept: dict[str, tuple[datetime, Circuit]] = {}

    def wait(self, manufacturer: str, trial_seconds: int) -> timedelta | None:
        """How long the manufacturer is not to be called; ``None``: call it, and tell the outcome.

        Where the circuit was open, one caller gets ``None`` as the one that tries, for
        ``trial_seconds`` at most; all others wait for what comes of it. One that a person has
        paused is never called, not even to try.

        Raises:
            TryAgain: whether it is paused is not known, and cannot be read now.
        """
        if self._catalogue.pauses().of(PauseKind.MANUFACTURER, manufacturer):
            return PAUSED_FOR
        now = self._clock.now()
        circuit = self._circuit(manufacturer, now)
        if not circuit.is_on_trial(now):
            return circuit.wait(now)
        trial = timedelta(seconds=trial_seconds)
        try:
            self._keep(self._circuits.save(tried(circuit, now + trial)), now)
        except VersionConflict:
            self._kept.pop(manufacturer, None)
            return trial
        except (TryAgain, OutcomeUnknown):
            return None
        return None

    @contextmanager
    def call(self, manufacturer: str) -> Iterator[None]:
        """Make one call within, and what it shows of the manufacturer is noted.

        It fails once at most: as soon as it is slow, or else when it ends without an answer. An
        answer counts whenever it comes, be it a clear no or one of which nobody knows what it
        means. What is raised before anything is asked (``SecretMissing``) shows nothing.
        """
        slow = Event()
        try:
            with self._watched(manufacturer, slow):
                yield
        except (VendorUnreachable, VendorSilent):
            if not slow.is_set():
                self.failed(manufacturer)
            raise
        except (VendRefused, VendUncertain, VendAbsent):
            self.answered(manufacturer)
            raise
        self.answered(manufacturer)

    @contextmanager
    def _watched(self, manufacturer: str, slow: Event) -> Iterator[None]:
        """Set ``slow`` and tell the failure once this has taken too long, before it ends."""

        def tell() -> None:
            slow.set()
            self.failed(manufacturer)

        watch = Timer(SLOW_SECONDS, tell)
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()
            watch.join()

    def answered(self, manufacturer: str) -> None:
        """A call was answered, whatever the answer means: the manufacturer works."""
        now = self._clock.now()
        if self._circuit(manufacturer, now).is_sound:
            return
        if self._change(manufacturer, answered=True) is not None:
            self._journal.event("circuit_closed", manufacturer=manufacturer)

    def failed(self, manufacturer: str) -> None:
        """A call brought no answer in time, or one that only a broken server gives."""
        changed = self._change(manufacturer, answered=False)
        if changed is not None and changed[1].openings > changed[0].openings:
            self._journal.event(
                "circuit_opened",
                manufacturer=manufacturer,
                openings=changed[1].openings,
                until=changed[1].open_until,
            )
            self._journal.count("CircuitsOpened", manufacturer=manufacturer)

    def _change(self, manufacturer: str, *, answered: bool) -> tuple[Circuit, Circuit] | None:
        """Write what a call has shown: the circuit before and after; ``None``: not written."""
        for round_number in range(WRITES_MAX):
            now = self._clock.now()
            if round_number:
                self._kept.pop(manufacturer, None)
            before = self._circuit(manufacturer, now)
            after = after_success(before) if answered else after_failure(before, now)
            try:
                stored = self._circuits.save(after)
            except VersionConflict:
                continue
            except (TryAgain, OutcomeUnknown):
                break
            self._keep(stored, now)
            return before, stored
        self._kept.pop(manufacturer, None)
        return None

    def _circuit(self, manufacturer: str, now: datetime) -> Circuit:
        kept = self._kept.get(manufacturer)
        if kept is not None and now - kept[0] < KEPT_FOR:
            return kept[1]
        try:
            circuit = self._circuits.get(manufacturer)
        except TryAgain:
            return Circuit(manufacturer)
        self._keep(circuit, now)
        return circuit

    def _keep(self, circuit: Circuit, now: datetime) -> None:
        self._kept[circuit.manufacturer] = (now, circuit)
