"""The log: one JSON line per event, without what must not be printed."""

from __future__ import annotations

import json
from collections import deque
from contextlib import redirect_stdout
from datetime import UTC, date, datetime
from enum import StrEnum
from fractions import Fraction
from io import StringIO
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
    journal = StandardOutputJournal("test", stage="test")
    journal.event("accepted", token="1234")
    journal.count("Accepted", channel="direct")
    event, metric = map(json.loads, capsys.readouterr().out.splitlines())
    assert (event["event"], event["stage"], event["token"]) == ("accepted", "test", "***")
    assert metric["Accepted"] == 1


def test_an_error_from_outside_our_code_has_no_place_in_it() -> None:
    assert place_of(ValueError("never raised")) == "outside"


# --- hostile fields -------------------------------------------------------------------------------

SECRET = "482716053"
PHONE = "712345678"

_secret_names = st.sampled_from(
    [
        *sorted(NEVER_PRINTED),
        *("clientSecret", "Access-Token", "API_TOKEN", "x-api-token", "refreshToken", " password "),
        *("userPassword", "AUTHORIZATION", "Proxy-Authorization", "device.secret.key", "Secrets"),
    ]
)
_phone_names = st.sampled_from(["phone", "payer_phone", "payerPhone", "to", "TO", "MSISDN"])
_phones = st.sampled_from(
    ["+254712345678", "+254 712 345 678", "+254-712-345-678", "+(254)712345678", "＋254712345678"]
)
_around = st.text(alphabet='abc :,\n"{}[]é', max_size=8)
_told = st.builds("{}{}{}".format, _around, _phones, _around)
_wrong_kinds = st.sampled_from([SECRET, [SECRET], {"deep": SECRET}, (SECRET,), int(SECRET)])


@st.composite
def _hostile(draw: st.DrawFn) -> Any:
    """Something in which a secret or a telephone number is hidden, wrapped some times."""
    hidden: Any = draw(
        st.one_of(
            st.builds(lambda name, value: {name: value}, _secret_names, _wrong_kinds),
            st.builds(
                lambda name, value: {name: value},
                _phone_names,
                st.sampled_from([f"254{PHONE}", int(f"254{PHONE}"), [f"254{PHONE}"]]),
            ),
            _told,
            st.builds(lambda key: {key: 1}, _told),
            st.builds(ValueError, _told),
        )
    )
    for wrap in draw(st.lists(st.sampled_from(["list", "tuple", "dict"]), max_size=3)):
        hidden = {"list": [hidden], "tuple": (hidden,), "dict": {"a": hidden}}[wrap]
    return hidden


@given(_hostile(), st.booleans())
def test_no_secret_and_no_phone_is_printed_wherever_it_is_hidden(thing: Any, bound: bool) -> None:
    journal = StandardOutputJournal("test", stage="test")
    with redirect_stdout(StringIO()) as printed:
        if bound:
            with journal.about(thing=thing):
                journal.event("happened")
                journal.count("Counted")
                journal.gauge("Held", 0)
        else:
            journal.event("happened", thing=thing)
    text = printed.getvalue()
    assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    digits = "".join(c for c in text.partition('"thing"')[2] if c.isdigit())
    assert SECRET not in digits
    assert PHONE not in digits


# --- what it is about -----------------------------------------------------------------------------


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_it_is_about_is_on_every_line_and_ends_with_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    journal, other = (StandardOutputJournal("test", stage="test") for _ in range(2))
    with journal.about(request_id="r"):
        with journal.about(payment_id="p"):
            other.event("sent")
            journal.bind(payment_id="q")
            journal.count("Counted", channel="direct")
        journal.event("over", request_id="own")
    journal.event("outside")
    sent, counted, over, outside = lines(capsys)
    assert (sent["request_id"], sent["payment_id"]) == ("r", "p")
    assert (counted["request_id"], counted["payment_id"], counted["stage"]) == ("r", "q", "test")
    declared = counted["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert declared == [["channel"], []], "what it is about splits no metric"
    assert "payment_id" not in over
    assert over["request_id"] == "own"
    assert {"payment_id", "request_id"}.isdisjoint(outside)


def test_what_it_is_about_ends_with_an_error_too(capsys: pytest.CaptureFixture[str]) -> None:
    journal = StandardOutputJournal("test")
    with pytest.raises(ValueError, match="broken"), journal.about(payment_id="p"):
        journal.bind(manufacturer="calin")
        raise ValueError("broken")
    journal.event("outside")
    [line] = lines(capsys)
    assert {"payment_id", "manufacturer"}.isdisjoint(line)
