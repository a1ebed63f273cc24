"""Runs the emulator, notes for which calls each role was used, and lets it redrive dead letters.

A script, not a module to import: ``python infra/local/emulator.py``. Each call that is asked about
for the first time is a line in ``role-calls.tsv`` in the folder where it runs: who called, the
action, the resource. :mod:`infra.checks.rights` compares them with what the roles allow.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path
from typing import Any

CALLS = "role-calls.tsv"
"""The name of the file with the calls."""


def start_message_move_task(asked: dict[str, Any], _: str) -> dict[str, Any]:
    """What the emulator lacks: the button *Start DLQ redrive*, as SQS documents it.

    Each message goes to ``DestinationArn``, or back to the queue where it died, and begins there
    anew. One that did not die in a queue goes nowhere unless a destination is said.
    """
    from ministack.core.concurrency import esm_wake
    from ministack.services import sqs

    source = sqs._queue_by_arn(asked["SourceArn"])
    if source is None:
        text = "The resource that you specified for the SourceArn parameter doesn't exist."
        raise sqs._Err("ResourceNotFoundException", text, 404)
    now, stays = time.time(), []
    for message in source["messages"]:
        died_in = message["sys"].get("DeadLetterQueueSourceArn", "")
        destination = sqs._queue_by_arn(asked.get("DestinationArn") or died_in)
        if destination is None:
            stays.append(message)
            continue
        system = {n: v for n, v in message["sys"].items() if n != "DeadLetterQueueSourceArn"}
        again = {"receive_count": 0, "first_receive_at": None, "receipt_handle": None}
        destination["messages"].append(
            {**message, **again, "sys": system, "sent_at": now, "visible_at": now}
        )
    source["messages"] = stays
    esm_wake.set()
    return {"TaskHandle": "done"}


def main() -> None:
    """Runs the emulator until it is stopped."""
    sys.path[0] = ""  # as with `python -m`: what lies beside this file is not for the emulator
    from ministack.core import iam_evaluator

    ask, seen = iam_evaluator.enforce, set()
    calls = Path(CALLS).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115  open to the end

    def noting(key: str, action: str, *rest: Any, resource_arn: str = "*", **others: Any) -> Any:
        call = f"{iam_evaluator.caller_arn()}\t{action}\t{resource_arn}\n"
        if call not in seen:
            seen.add(call)
            calls.write(call)
        return ask(key, action, *rest, resource_arn=resource_arn, **others)

    iam_evaluator.enforce = noting
    from ministack.services import sqs

    sqs._HANDLERS["StartMessageMoveTask"] = start_message_move_task
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
