"""The queue and schedule triggers: take messages apart, call one service each, answer SQS.

A batch is answered in parts: only messages that failed come back. Without
``FunctionResponseTypes`` on the event source the answer would be ignored and failed messages
deleted; a test on the built template holds that (aws/chalice #884).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.domain.errors import MwangaError
from chalicelib.runtime import environment
from chalicelib.runtime.log import place_of

if TYPE_CHECKING:
    from chalice.app import CloudWatchEvent, SQSEvent

    from chalicelib.wiring import Wiring

RECONCILE_SPARE = timedelta(seconds=20)
"""What is left of the function's time for the part of the proof that is under way."""

MOVE_SPARE = timedelta(seconds=60)
"""What is left of the function's time for the file or the part of a report under way."""

_NAMED = ("payment_id", "customer_id", "manufacturer", "move_id")
"""What of a message every line about it says."""

Handle = Callable[[Mapping[str, Any]], None]


def settle(event: SQSEvent, wiring: Wiring) -> dict[str, Any]:
    """Settle each payment; after a failure, the later ones of the same group wait behind it."""

    def handle(body: Mapping[str, Any]) -> None:
        wiring.settle.settle(body["payment_id"], body["customer_id"], body["serial_number"])

    return _each(event, wiring, handle)


def vend(event: SQSEvent, wiring: Wiring) -> dict[str, Any]:
    """Take up each vend, if the function still has the time that its manufacturer may need.

    Devices that may have to be switched off come in the same queue.
    """

    context: Any = event.context

    def handle(body: Mapping[str, Any]) -> None:
        left = timedelta(milliseconds=context.get_remaining_time_in_millis())
        deadline, manufacturer = wiring.clock.now() + left, body["manufacturer"]
        if "switch" in body:
            wiring.switch.switch(body["switch"], manufacturer, deadline)
        else:
            wiring.vend.vend(
                body["payment_id"], body["number"], body["attempt"], manufacturer, deadline
            )

    return _each(event, wiring, handle)


def send_messages(event: SQSEvent, wiring: Wiring) -> dict[str, Any]:
    """Send each SMS."""

    def handle(body: Mapping[str, Any]) -> None:
        wiring.notify.send(body["payment_id"], body["number"], body["customer_id"])

    return _each(event, wiring, handle)


def call_provider(event: SQSEvent, wiring: Wiring) -> dict[str, Any]:
    """Ask a provider about each payment, or for its list of all, if the function still has the
    time that it may need."""
    context: Any = event.context

    def handle(body: Mapping[str, Any]) -> None:
        left = timedelta(milliseconds=context.get_remaining_time_in_millis())
        if "list" in body:
            wiring.find_missing.read(body["list"], wiring.clock.now() + left)
        else:
            wiring.ask_provider.work(body["payment_id"], wiring.clock.now() + left)

    return _each(event, wiring, handle)


def move(event: SQSEvent, wiring: Wiring) -> dict[str, Any]:
    """Make each step of an import, export or report, or of an erasure."""
    context: Any = event.context

    def until() -> datetime:
        left = timedelta(milliseconds=context.get_remaining_time_in_millis())
        return wiring.clock.now() + left - MOVE_SPARE

    def handle(body: Mapping[str, Any]) -> None:
        if body["what"] == "erase":
            wiring.erase_customers.go_on(body["customer_id"], body["cursor"], until())
            return
        move_id = body["move_id"]
        match body["what"]:
            case "check":
                wiring.move_in.check(move_id)
            case "statement":
                wiring.statements.compare(move_id)
            case "write":
                wiring.move_in.write(move_id, body["part"])
            case "report":
                wiring.make_reports.work(move_id, until())
            case _:
                wiring.move_out.work(move_id, until())

    return _each(event, wiring, handle)


def sweep(wiring: Wiring) -> None:
    """One sweep: over open payments, over devices whose time may be over, over providers' lists.

    What is paused is counted, so that nobody forgets it, and it is told how open payments stand:
    last, because that heals nothing.
    """
    wiring.sweep.sweep()
    wiring.switch.queue_due()
    wiring.find_missing.queue_due()
    wiring.keep_pauses.count()
    wiring.watch_open.look()


def reconcile(event: CloudWatchEvent, wiring: Wiring) -> None:
    """Go on with the proof of the books, and have a day that has ended closed; or do what the
    detail of the event asks for.

    ``{"start": "now"}`` starts the proof at once; ``{"customer_id": "C17"}`` proves the books of
    that customer, and nothing else.
    """
    customer_id = event.detail.get("customer_id")
    if customer_id is not None:
        wiring.reconcile.check_customer(str(customer_id))
        return
    context: Any = event.context
    left = timedelta(milliseconds=context.get_remaining_time_in_millis())
    wiring.reconcile.run(
        wiring.clock.now() + left - RECONCILE_SPARE,
        start_now=event.detail.get("start") == "now",
    )
    wiring.make_reports.close_what_ended()


def check_manufacturer(event: Any, wiring: Wiring) -> dict[str, str]:
    """Ask the manufacturer that ``{"manufacturer": "<key>", "serial_number"?}`` names something
    harmless, about that device where it needs one."""
    asked = event if isinstance(event, dict) else {}
    key, serial_number = asked.get("manufacturer"), asked.get("serial_number") or ""
    checked = wiring.check_manufacturers.check(str(key), str(serial_number))
    return {"manufacturer": str(key), "code": checked.code, "detail": checked.detail}


def sync_tariffs(event: Any, wiring: Wiring) -> dict[str, Any]:
    """Tell the manufacturer that ``{"manufacturer": "<key>"}`` names our tariffs."""
    key = str(event.get("manufacturer")) if isinstance(event, dict) else ""
    synced = wiring.sync_tariffs.sync(key)
    return {
        "manufacturer": key,
        "code": synced.code,
        "detail": synced.detail,
        "tariffs": {name: kept.value for name, kept in synced.kept.items()},
    }


def _each(event: SQSEvent, wiring: Wiring, handle: Handle) -> dict[str, Any]:
    failed: list[dict[str, str]] = []
    failed_groups: set[str] = set()
    for record in event:
        raw = record.to_dict()
        group = raw.get("attributes", {}).get("MessageGroupId", "")
        if group in failed_groups or not _done(record.body, wiring, handle):
            failed.append({"itemIdentifier": raw["messageId"]})
            failed_groups.update({group} - {""})
    return {"batchItemFailures": failed}


def _done(body: str, wiring: Wiring, handle: Handle) -> bool:
    """Handle one message; whatever goes wrong, the others of the batch are not to suffer."""
    with wiring.journal.about():  # a warm function must not take it for the next one's
        try:
            message = json.loads(body)
            wiring.journal.bind(**{name: message[name] for name in _NAMED if name in message})
            handle(message)
        except MwangaError as error:
            wiring.journal.event("message_failed_to_work", error=error.code)
            return False
        except Exception as error:  # a bug: the message comes back, and ends as a dead letter
            wiring.journal.event(
                "message_crashed", error=type(error).__name__, place=place_of(error)
            )
            wiring.journal.count(
                "MessagesCrashed",
                function=environment.function_name(),
                version=environment.function_version(),
            )
            return False
    return True
