"""The log: one JSON line per event, without what must not be printed."""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, date, datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.runtime.journal import StandardOutputJournal
from chalicelib.runtime.log import NEVER_PRINTED, Log, mask_phone, place_of


class Colour(StrEnum):
    RED = "red"


def logged(capsys: pytest.CaptureFixture[str], **fields: Any) -> dict[str, Any]:
    Log(stage="test").event("happened", **fields)
    [line] = capsys.readouterr().out.splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def test_an_event_is_one_line_with_time_and_stage(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, payment_id="direct.demo-1", text="two\nlines")
    moment = datetime.fromisoformat(line.pop("at"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert line == {
        "event": "happened",
        "stage": "test",
        "payment_id": "direct.demo-1",
        "text": "two\nlines",
    }


@pytest.mark.parametrize("name", sorted(NEVER_PRINTED))
def test_what_must_not_be_printed_is_left_out_at_any_depth(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    hidden = "482716053"
    line = logged(
        capsys,
        **{name: hidden, name.upper(): [hidden]},
        nested={"list": [{name: {"deep": hidden}}]},
    )
    assert hidden not in json.dumps(line)
    assert line[name] == "***"


@pytest.mark.parametrize("name", ["phone", "payer_phone", "to", "msisdn"])
def test_phones_show_three_digits(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert logged(capsys, **{name: "+254712345678"})[name] == "***678"


def test_phones_in_running_text_show_three_digits(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, detail="sent to +254712345678 and +243810000001.")
    assert line["detail"] == "sent to ***678 and ***001."


def test_a_phone_is_masked_but_for_its_end() -> None:
    assert mask_phone("+254712345678") == "***678"


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, None),
        (True, True),
        (12, 12),
        (Colour.RED, "red"),
        (Fraction(1, 2), "1/2"),
        (date(2026, 3, 1), "2026-03-01"),
        (datetime(2026, 3, 1, 7, 30, tzinfo=UTC), "2026-03-01T07:30:00.000Z"),
        ((1, "a"), [1, "a"]),
        (frozenset({1}), [1]),
        (ValueError("no"), "no"),
        (deque(["482716053"]), "<deque>"),
        (b"482716053", "<bytes>"),
        ("é", "é"),
    ],
    ids=str,
)
def test_any_value_is_printed_somehow(
    capsys: pytest.CaptureFixture[str], value: Any, printed: Any
) -> None:
    assert logged(capsys, thing=value)["thing"] == printed


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.binary()))
def test_no_content_breaks_the_line(
    capsys: pytest.CaptureFixture[str], content: dict[str, Any]
) -> None:
    assert logged(capsys, content=content)["event"] == "happened"


def test_a_field_cannot_pass_for_the_time_or_the_stage(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, at="never", event="other", stage="other")
    assert (line["event"], line["stage"]) == ("happened", "test")
    assert line["at"] != "never"


def test_the_journal_writes_events_and_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    journal = StandardOutputJournal(stage="test")
    journal.event("accepted", token="1234")
    journal.count("Accepted", channel="direct")
    event, metric = map(json.loads, capsys.readouterr().out.splitlines())
    assert (event["event"], event["stage"], event["token"]) == ("accepted", "test", "***")
    assert metric["Accepted"] == 1


def test_an_error_from_outside_our_code_has_no_place_in_it() -> None:
    assert place_of(ValueError("never raised")) == "outside"
