"""Answering reports in one word, as most providers want it: ``{"status": "ok"}``.

What counts is the HTTP status. An error only ever means that the report was not stored and must be
sent again, or that it can never be understood; what a repetition cannot change is answered with
success, and noted for operations.
"""

from __future__ import annotations

from collections.abc import Callable

from chalicelib.channels.amounts import UnusableAmount
from chalicelib.channels.callers import Intruder, note_failure, note_intruder
from chalicelib.channels.interface import Desk, TooLarge
from chalicelib.channels.strict_json import Malformed
from chalicelib.domain.errors import MwangaError
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.collect import NoSuchPayment
from chalicelib.services.ports import ProviderAnswer


class Unreadable(MwangaError):
    """A report lacks what it should say. The detail names the field."""

    code = "unreadable"


class ForeignReference(MwangaError):
    """The report is of something that was not started here: the account has other uses too."""

    code = "foreign_reference"


def told(status: int, what: str) -> ProviderAnswer:
    """The answer: an HTTP status and one word."""
    return ProviderAnswer(status, {"status": what})


def answered(channel: str, desk: Desk, take_up: Callable[[], str]) -> ProviderAnswer:
    """Take a report up, and answer what became of it: what ``take_up`` says, or why not."""
    try:
        return told(200, take_up())
    except Intruder as intruder:
        note_intruder(intruder, channel, desk)
        return told(intruder.status, intruder.code)
    except ForeignReference:
        return told(200, "unknown_reference")
    except NoSuchPayment as unknown:
        note_failure(unknown, channel, desk)
        return told(200, "unknown_reference")
    except (ReferenceConflict, UnusableAmount) as conflict:
        note_failure(conflict, channel, desk)
        return told(200, "conflict")
    except TooLarge as large:
        note_failure(large, channel, desk)
        return told(413, large.code)
    except (Malformed, Unreadable) as malformed:
        note_failure(malformed, channel, desk)
        return told(400, "malformed")
    except MwangaError as failed:
        note_failure(failed, channel, desk)
        return told(503, "try_again")
