"""Pauses: let a channel take no payments for a while, or a manufacturer not be called.

Nothing is lost by either. A paused channel says no before money moves, and still takes the word
that money has moved. A paused manufacturer's vends wait, and each is made once afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.services.ports import (
    Clock,
    Journal,
    Manufacturers,
    Pause,
    PauseKind,
    Pauses,
    PausesStore,
    RefusalClass,
    SettingsChange,
)


class NothingToPause(MwangaError):
    """There is no such channel or manufacturer, or it is not paused."""

    code = "not_found"


class KeepPauses:
    """Pauses and resumes. A change is in force everywhere within 30 seconds.

    ``channels`` tells the class of every channel by its key.
    """

    def __init__(
        self,
        *,
        pauses_store: PausesStore,
        channels: Callable[[], Mapping[str, RefusalClass]],
        manufacturers: Manufacturers,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._pauses_store = pauses_store
        self._channels = channels
        self._manufacturers = manufacturers
        self._clock = clock
        self._journal = journal

    def all(self) -> Pauses:
        """What is paused now."""
        return self._pauses_store.get()

    def pause(self, kind: PauseKind, key: str, *, reason: str, actor: str) -> Pause:
        """Pause it. What is paused already stays so since then, for the reason said now.

        Raises:
            NothingToPause: there is none of that key.
            FieldError: on ``key``: it cannot be paused.
            VersionConflict: somebody else paused or resumed something at the same moment.
        """
        self._check(kind, key)
        before, now = self._pauses_store.get(), self._clock.now()
        known = before.of(kind, key)
        pause = Pause(kind, key, reason, actor, known.since if known else now)
        others = tuple(p for p in before.pauses if p != known)
        self._save(replace(before, pauses=(*others, pause)), known, pause, actor, now)
        return pause

    def resume(self, kind: PauseKind, key: str, *, actor: str) -> None:
        """Let it go on.

        Raises:
            NothingToPause: it is not paused.
            VersionConflict: somebody else paused or resumed something at the same moment.
        """
        before = self._pauses_store.get()
        known = before.of(kind, key)
        if known is None:
            raise NothingToPause(f"{kind.value} {key} is not paused")
        others = tuple(p for p in before.pauses if p != known)
        self._save(replace(before, pauses=others), known, None, actor, self._clock.now())

    def count(self) -> None:
        """Tell how much is paused, so that nobody forgets it."""
        self._journal.gauge("Paused", len(self._pauses_store.get().pauses))

    def _save(
        self, after: Pauses, was: Pause | None, becomes: Pause | None, actor: str, now: datetime
    ) -> None:
        about = becomes or was
        assert about is not None  # noqa: S101 - something was paused before, or is now
        changes = {
            f"{about.kind.value} {about.key}": {
                "before": was.reason if was else None,
                "after": becomes.reason if becomes else None,
            }
        }
        self._pauses_store.save(after, SettingsChange(after.revision + 1, now, actor, changes))
        self._journal.event(
            "paused" if becomes else "resumed", kind=about.kind.value, key=about.key, actor=actor
        )

    def _check(self, kind: PauseKind, key: str) -> None:
        """That there is something that a pause would hold back."""
        if kind is PauseKind.CHANNEL:
            refusal_class = self._channels().get(key)
            if refusal_class is None:
                raise NothingToPause(f"there is no channel {key}")
            if refusal_class is RefusalClass.TOLD_AFTER:
                raise FieldError("key", "is told when money has moved: it cannot say no")
            return
        stated = {m.key: m for m in self._manufacturers.all()}.get(key)
        if stated is None:
            raise NothingToPause(f"there is no manufacturer {key}")
        if stated.local:
            raise FieldError("key", "is not called: its tokens are computed here")
