"""The queue triggers: a batch is answered in parts, and one group keeps its order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from chalice.app import CloudWatchEvent, SQSEvent

from chalicelib.api import workers
from chalicelib.services.ports import SmsFailed, TryAgain

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)


class Context:
    """What Lambda says about the running call."""

    def get_remaining_time_in_millis(self) -> int:
        """How much time is left."""
        return 45_500


class Parts:
    """All the services of the triggers: notes each call, and fails where it is told to."""

    def __init__(self, failing: dict[str, Exception] | None = None) -> None:
        self.failing = failing or {}
        self.done: list[tuple[Any, ...]] = []
        self.at_work_on: list[dict[str, Any]] = []
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.settle = SimpleNamespace(settle=self._work)
        self.vend = SimpleNamespace(vend=self._work)
        self.notify = SimpleNamespace(send=self._work)
        self.ask_provider = SimpleNamespace(work=self._work)
        self.sweep = SimpleNamespace(sweep=lambda: self._work("sweep"))
        self.switch = SimpleNamespace(queue_due=lambda: self._work("switch"))
        self.find_missing = SimpleNamespace(queue_due=lambda: self._work("lists"))
        self.keep_pauses = SimpleNamespace(count=lambda: self._work("pauses"))
        self.watch_open = SimpleNamespace(look=lambda: self._work("watch"))
        self.reconcile = SimpleNamespace(
            run=lambda until, *, start_now: self._work("pass", until, start_now),
            check_customer=self._work,
        )
        self.make_reports = SimpleNamespace(close_what_ended=lambda: self._work("closing"))
        self.clock = SimpleNamespace(now=lambda: NOW)
        self.counted: list[str] = []
        self.context: list[dict[str, Any]] = [{}]
        self.journal = SimpleNamespace(
            event=self._event,
            count=lambda metric, **_: self.counted.append(metric),
            about=self._about,
            bind=self._bind,
        )

    @contextmanager
    def _about(self, **fields: Any) -> Iterator[None]:
        self.context.append({**self.context[-1], **fields})
        yield
        self.context.pop()

    def _bind(self, **fields: Any) -> None:
        self.context[-1].update(fields)

    def _work(self, payment_id: str, *rest: Any) -> None:
        self.done.append((payment_id, *rest))
        self.at_work_on.append(dict(self.context[-1]))
        if payment_id in self.failing:
            raise self.failing[payment_id]

    def _event(self, what: str, **fields: Any) -> None:
        self.said.append((what, fields))

    @property
    def worked_on(self) -> list[str]:
        """The payments that were worked on, in that order."""
        return [payment_id for payment_id, *_ in self.done]


def record(message_id: str, body: object, group: str | None = None) -> dict[str, Any]:
    """One message as SQS hands it to Lambda."""
    attributes = {"MessageGroupId": group} if group else {}
    text = body if isinstance(body, str) else json.dumps(body)
    return {
        "messageId": message_id,
        "receiptHandle": f"handle of {message_id}",
        "body": text,
        "attributes": attributes,
        "eventSource": "aws:sqs",
    }


def payment(payment_id: str, group: str) -> dict[str, Any]:
    """A message of the payments' queue; its id is that of the payment."""
    body = {"payment_id": payment_id, "customer_id": group, "serial_number": "47001"}
    return record(payment_id, body, group)


def event(*records: dict[str, Any]) -> SQSEvent:
    return SQSEvent({"Records": list(records)}, Context())


def failures(answer: dict[str, Any]) -> list[str]:
    assert set(answer) == {"batchItemFailures"}
    assert all(set(item) == {"itemIdentifier"} for item in answer["batchItemFailures"])
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def settle(parts: Parts, batch: SQSEvent) -> list[str]:
    """Settle a batch; the ids of the messages that are to come back."""
    return failures(workers.settle(batch, parts))  # type: ignore[arg-type]


# --- the answer -----------------------------------------------------------------------------------


def test_a_batch_without_failures_comes_back_to_nobody() -> None:
    parts = Parts()
    assert settle(parts, event(payment("a", "C1"), payment("b", "C2"))) == []
    assert parts.done == [("a", "C1", "47001"), ("b", "C2", "47001")]


def test_an_empty_batch_is_no_failure() -> None:
    assert settle(Parts(), event()) == []


def test_after_a_failure_the_later_messages_of_its_group_come_back_unopened() -> None:
    parts = Parts({"a2": TryAgain()})
    batch = event(
        payment("a1", "A"),
        payment("b1", "B"),
        payment("a2", "A"),
        payment("b2", "B"),
        payment("a3", "A"),
        payment("c1", "C"),
        payment("a4", "A"),
    )
    assert settle(parts, batch) == ["a2", "a3", "a4"]
    assert parts.worked_on == ["a1", "b1", "a2", "b2", "c1"]


def test_each_group_fails_for_itself() -> None:
    parts = Parts({"a1": TryAgain(), "b2": TryAgain()})
    batch = event(
        payment("a1", "A"), payment("b1", "B"), payment("b2", "B"), payment("a2", "A"),
        payment("c1", "C"), payment("b3", "B"),
    )  # fmt: skip
    assert settle(parts, batch) == ["a1", "b2", "a2", "b3"]
    assert parts.worked_on == ["a1", "b1", "b2", "c1"]


def test_a_failure_of_the_last_message_is_its_own() -> None:
    parts = Parts({"a2": TryAgain()})
    assert settle(parts, event(payment("a1", "A"), payment("a2", "A"))) == ["a2"]


def test_without_groups_each_message_fails_for_itself() -> None:
    parts = Parts({"b": SmsFailed()})
    batch = event(
        *(
            record(name, {"payment_id": name, "number": 1, "customer_id": "C1"})
            for name in ("a", "b", "c")
        )
    )
    assert failures(workers.send_messages(batch, parts)) == ["b"]  # type: ignore[arg-type]
    assert parts.worked_on == ["a", "b", "c"]


# --- what can be wrong with a message -------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", "7", '"text"', "{}", '{"payment_id": "a"}', "\ud800"],
)
def test_a_message_that_cannot_be_read_comes_back_alone_and_ends_as_a_dead_letter(
    body: str,
) -> None:
    parts = Parts()
    batch = event(payment("a", "A"), record("bad", body, "B"), payment("c", "C"))
    assert settle(parts, batch) == ["bad"]
    assert parts.worked_on == ["a", "c"]
    ((what, _),) = parts.said
    assert what == "message_crashed"


def test_a_message_that_cannot_be_read_keeps_its_group_in_order() -> None:
    parts = Parts()
    assert settle(parts, event(record("bad", "{", "A"), payment("a", "A"))) == ["bad", "a"]
    assert parts.done == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TryAgain("the item's text"), ("message_failed_to_work", {"error": "try_again"})),
        (KeyError("token 1234"), ("message_crashed", {"error": "KeyError"})),
        (AssertionError("token 1234"), ("message_crashed", {"error": "AssertionError"})),
    ],
)
def test_whatever_goes_wrong_with_one_message_is_noted_without_its_text(
    error: Exception, said: tuple[str, dict[str, str]]
) -> None:
    """An error's text may quote what was in hand, a token for one."""
    parts = Parts({"a": error})
    assert settle(parts, event(payment("a", "A"), payment("b", "B"))) == ["a"]
    assert parts.worked_on == ["a", "b"]
    ((what, fields),) = parts.said
    place = fields.pop("place", "api/workers.py:")
    assert (what, fields) == said
    assert parts.counted == (["MessagesCrashed"] if what == "message_crashed" else [])
    assert place.startswith("api/workers.py:")


def test_an_order_to_stop_is_not_swallowed() -> None:
    class Stopping(Parts):
        def _work(self, payment_id: str, *rest: Any) -> None:
            raise SystemExit

    with pytest.raises(SystemExit):
        settle(Stopping(), event(payment("a", "A")))


# --- the other triggers ---------------------------------------------------------------------------


def test_a_vend_is_told_by_when_the_function_must_have_ended() -> None:
    parts = Parts()
    body = {"payment_id": "a", "number": 2, "attempt": 3, "manufacturer": "calin"}
    answer = workers.vend(event(record("m", body)), parts)  # type: ignore[arg-type]
    assert failures(answer) == []
    deadline = NOW + timedelta(seconds=45.5)
    assert parts.done == [("a", 2, 3, "calin", deadline)]


def test_a_vend_that_failed_comes_back() -> None:
    parts = Parts({"a": TryAgain()})
    body = {"payment_id": "a", "number": 1, "attempt": 1, "manufacturer": "calin"}
    assert failures(workers.vend(event(record("m", body)), parts)) == ["m"]  # type: ignore[arg-type]


def test_an_sms_is_handed_on_with_its_number_and_customer() -> None:
    parts = Parts()
    body = {"payment_id": "a", "number": 90, "customer_id": None}
    workers.send_messages(event(record("m", body)), parts)  # type: ignore[arg-type]
    assert parts.done == [("a", 90, None)]


def test_a_question_to_a_provider_is_told_by_when_the_function_must_have_ended() -> None:
    parts = Parts()
    answer = workers.call_provider(event(record("m", {"payment_id": "a"})), parts)  # type: ignore[arg-type]
    assert failures(answer) == []
    assert parts.done == [("a", NOW + timedelta(seconds=45.5))]


def test_a_question_to_a_provider_that_failed_comes_back_alone() -> None:
    parts = Parts({"b": TryAgain()})
    batch = event(*(record(name, {"payment_id": name}) for name in ("a", "b", "c")))
    assert failures(workers.call_provider(batch, parts)) == ["b"]  # type: ignore[arg-type]
    assert parts.worked_on == ["a", "b", "c"]
    assert parts.said == [("message_failed_to_work", {"error": "try_again"})]


def test_a_question_about_no_payment_ends_as_a_dead_letter() -> None:
    parts = Parts()
    assert failures(workers.call_provider(event(record("m", {})), parts)) == ["m"]  # type: ignore[arg-type]
    assert parts.done == []


def test_a_sweep_that_fails_fails_the_function() -> None:
    parts = Parts({"sweep": TryAgain()})
    with pytest.raises(TryAgain):
        workers.sweep(parts)  # type: ignore[arg-type]
    assert parts.done == [("sweep",)]


def test_a_sweep_heals_first_and_tells_how_payments_stand_at_the_end() -> None:
    parts = Parts()
    workers.sweep(parts)  # type: ignore[arg-type]
    assert parts.worked_on == ["sweep", "switch", "lists", "pauses", "watch"]


def test_every_line_about_a_message_names_what_the_message_names() -> None:
    """A warm function must not take one message's payment for the next one's."""
    parts = Parts({"a": TryAgain()})
    settle(
        parts, event(payment("a", "A"), record("b", {"payment_id": "b"}, "B"), payment("c", "C"))
    )
    settle(parts, event(payment("d", "D")))
    assert parts.at_work_on == [
        {"payment_id": "a", "customer_id": "A"},
        {"payment_id": "c", "customer_id": "C"},
        {"payment_id": "d", "customer_id": "D"},
    ]
    assert parts.context == [{}]


def scheduled(detail: dict[str, Any]) -> CloudWatchEvent:
    """The event of a schedule, or of an operator who writes a detail into it."""
    names = ("version", "id", "detail-type", "source", "account", "time", "region")
    return CloudWatchEvent(
        {**dict.fromkeys(names, ""), "resources": [], "detail": detail}, Context()
    )


@pytest.mark.parametrize(
    ("detail", "start_now"),
    [
        ({}, False),
        ({"start": "now"}, True),
        ({"start": "soon"}, False),
        ({"customer_id": None}, False),
    ],
)
def test_the_proof_of_the_books_goes_on_until_shortly_before_the_function_ends(
    detail: dict[str, Any], start_now: bool
) -> None:
    parts = Parts()
    workers.reconcile(scheduled(detail), parts)  # type: ignore[arg-type]
    until = NOW + timedelta(seconds=45.5) - workers.RECONCILE_SPARE
    assert parts.done == [("pass", until, start_now), ("closing",)]


@pytest.mark.parametrize(
    ("detail", "customer_id"),
    [
        ({"customer_id": "C17"}, "C17"),
        ({"customer_id": "C17", "start": "now"}, "C17"),
        ({"customer_id": 17}, "17"),
        ({"customer_id": ""}, ""),
    ],
)
def test_the_proof_of_one_customer_s_books_is_no_pass(
    detail: dict[str, Any], customer_id: str
) -> None:
    parts = Parts()
    workers.reconcile(scheduled(detail), parts)  # type: ignore[arg-type]
    assert parts.done == [(customer_id,)]


def test_a_proof_of_one_customer_s_books_that_fails_fails_the_function() -> None:
    with pytest.raises(TryAgain):
        workers.reconcile(scheduled({"customer_id": "C17"}), Parts({"C17": TryAgain()}))  # type: ignore[arg-type]
