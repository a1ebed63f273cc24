"""The deployment: functions, queues, tables and the clock. It can be brought back to a moment.

A function that is to die runs in a child process of its own, whose requests to AWS come to the
emulator in this process by a pipe; the others run in this process. What a function has put into
the queues is taken out at once and handed over when its delay is over by the world's own clock.
As SQS does, a message whose function failed or died comes back when its visibility has run out,
a group of the FIFO queue waits behind its first message, and what was queued under the same
deduplication id within five minutes is not queued again.
"""

from __future__ import annotations

import base64
import copy
import gc
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from botocore.awsrequest import AWSPreparedRequest, HTTPHeaders
from chalice.app import SQSEvent
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import botocore_stubber
from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends

from chalicelib.api import workers
from chalicelib.domain.account import Account
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import FINAL, Payment, Status, messages_due, unfinished
from chalicelib.domain.plan import Plan
from chalicelib.services.ports import Entry, Message, MessageState, SecretMissing
from chalicelib.store.connection import Table
from chalicelib.store.models import AccountRow, EntryRow, MessageRow, PaymentRow
from chalicelib.wiring import Wiring
from tests.integration.company import Company, FixedClock
from tests.simulation import effects
from tests.simulation.effects import Act, Effect, Observer
from tests.simulation.outside import Kept, Outside

ACCOUNT, REGION = "123456789012", "eu-west-1"

HANDLERS = {
    "payments.fifo": workers.settle,
    "vends": workers.vend,
    "messages": workers.send_messages,
    "provider-calls": workers.call_provider,
}
HIDDEN_SECONDS = {"payments.fifo": 180, "vends": 360, "messages": 180, "provider-calls": 360}
"""How long a message that was handed over stays hidden, as in the template."""
RECEIVES_MAX = 5
"""After so many failures a message is a dead letter, as in the template: the sweeper heals it."""
DEDUPLICATED_FOR = timedelta(minutes=5)
FUNCTION_SECONDS = 60

FIRST_PAUSE = timedelta(minutes=2)
LONGEST_PAUSE = timedelta(hours=12)
PAUSES_GROW = 4
"""The sweeper comes every minute, but most of its visits change nothing."""
PAUSES_MAX = 60
HAND_OVERS_MAX = 300

SERVED_WITHIN_MILLISECONDS = 5000
CHILD_SECONDS_MAX = 20

WELL, FAILED, DEFECT = 0, 10, 11
KILLED = -signal.SIGKILL

Work = Callable[[Wiring], object]
"""What a function does. ``False`` and an error of ours mean that it failed."""
M = TypeVar("M", bound=Table)


class NeverAtRest(AssertionError):
    """After days there was still something to do."""


@dataclass(frozen=True)
class Death:
    """Die before the ``nth`` side effect of a function, or after it."""

    nth: int
    when: str

    def __str__(self) -> str:
        return f"{self.when} {self.nth}"


@dataclass(frozen=True)
class Waiting:
    """A message that is to be handed over."""

    queue: str
    body: dict[str, Any]
    visible_at: datetime
    group: str | None
    message_id: str
    receives: int = 0


@dataclass(frozen=True)
class Moment:
    """All there is, at one moment."""

    tables: dict[str, Any]
    kept: Kept
    waiting: tuple[Waiting, ...]
    queued: dict[str, datetime]
    now: datetime
    sold: dict[str, tuple[Plan, ...]]


@dataclass(eq=False)
class Step:
    """One run of one function: who called it, what was before it, what it did outside.

    ``caller`` is the number of the scenario's act, a message, or ``None`` for the sweeper.
    """

    act: int
    caller: int | Waiting | None
    before: Moment | None = None
    effects: list[Effect] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For people."""
        if isinstance(self.caller, Waiting):
            return f"{self.caller.queue} {self.caller.body}"
        return "sweep" if self.caller is None else f"act {self.caller}"


def distinct(steps: Sequence[Step]) -> list[Step]:
    """Those that are no repetitions: the same message (or the sweeper) doing the same as before.

    A vend that is looked up five times is disturbed at the first and at the one that ends it.
    """
    first = {(step.name, step.act, *(e.name for e in step.effects)): step for step in steps[::-1]}
    return [step for step in steps if step in first.values()]


class Witness:
    """The journal of a function: keeps what must never be said."""

    def __init__(self) -> None:
        self.defects: list[str] = []

    def event(self, what: str, **fields: Any) -> None:
        """An error that is none of ours, in a place where all errors are caught, is a defect."""
        error = sys.exception()
        if what in ("message_crashed", "sweep_failed") and not isinstance(error, MwangaError):
            self.defects.append(f"{what} {fields}\n{traceback.format_exc()}")

    @contextmanager
    def about(self, **fields: Any) -> Iterator[None]:
        """Nothing of it matters here."""
        yield

    def bind(self, **fields: Any) -> None:
        """Nothing of it matters here."""

    def count(self, metric: str, value: float = 1, **dimensions: str) -> None:
        """Nothing of it matters here."""

    def gauge(self, metric: str, value: float, **dimensions: str) -> None:
        """Nothing of it matters here."""


class KeptSecrets:
    """The secrets, read before: reading them is no side effect that could change anything."""

    def __init__(self, secrets: dict[str, Any]) -> None:
        self._secrets = secrets

    def get(self, name: str) -> Any:
        """The content of that secret."""
        if name not in self._secrets:
            raise SecretMissing(name)
        return self._secrets[name]


class World:
    """One deployment and what is around it."""

    def __init__(self, outside: Outside, clock: FixedClock) -> None:
        self.outside = outside
        self.clock = clock
        self.waiting: list[Waiting] = []
        self.sold: dict[str, tuple[Plan, ...]] = {}
        self.defects: list[str] = []
        self.steps: list[Step] = []
        self.act = 0
        self._records = False
        self._queued: dict[str, datetime] = {}
        self._messages_taken = 0
        self._death: Death | None = None
        self._observer: Observer | None = None
        key = base64.b64encode(b"k" * 32).decode()
        self._secrets = KeptSecrets(
            {"device-keys": {"current": "k1", "keys": {"k1": key}}, **outside.secrets()}
        )
        self.company = Company(self.process())
        self._beginning = self.remember()

    def process(self, journal: Witness | None = None) -> Wiring:
        """A new process."""
        started = Wiring(self.clock)
        started.journal = journal or Witness()
        started.secrets = self._secrets  # type: ignore[misc,assignment]
        return started

    # --- going back in time -------------------------------------------------------------------

    def remember(self) -> Moment:
        """All there is now."""
        return Moment(
            tables={name: copy.deepcopy(table.items) for name, table in _tables().items()},
            kept=copy.deepcopy(self.outside.kept),
            waiting=tuple(self.waiting),
            queued=dict(self._queued),
            now=self.clock.now(),
            sold=dict(self.sold),
        )

    def bring_back(self, moment: Moment | None) -> None:
        """Make everything as it was then."""
        assert moment is not None
        for name, table in _tables().items():
            table.items = copy.deepcopy(moment.tables[name])
        self.outside.kept = copy.deepcopy(moment.kept)
        self.waiting = list(moment.waiting)
        self._queued = dict(moment.queued)
        self.clock.move(moment.now - self.clock.now())
        self.sold = dict(moment.sold)
        self.defects = []
        self._death = None
        self._records = False

    def begin(self) -> None:
        """An empty company."""
        self.bring_back(self._beginning)
        self.act = 0

    def record(self) -> None:
        """Keep each run of a function from now on, and what was before it."""
        self.steps = []
        self._records = True

    # --- what is there ------------------------------------------------------------------------

    def rows(self, model: type[M]) -> list[Any]:
        """All that a table holds, without a request."""
        stored = _tables()[model.table_name()].items.values()
        return [
            model.from_raw_data(item.to_json()["Attributes"]).value()
            for items in stored
            for item in (items.values() if isinstance(items, dict) else [items])
        ]

    def payments(self) -> list[Payment]:
        """All payments, in the order in which they came."""
        return sorted(self.rows(PaymentRow), key=lambda p: (p.received_at, p.payment_id))

    def payment(self) -> Payment:
        """The only payment."""
        (payment,) = self.payments()
        return payment

    def account(self, customer_id: str) -> Account:
        """The account as it stands."""
        (account,) = [a for a in self.rows(AccountRow) if a.customer_id == customer_id]
        return account

    def accounts(self) -> list[Account]:
        """All accounts."""
        return self.rows(AccountRow)

    def entries(self, customer_id: str) -> list[Entry]:
        """The entries of an account."""
        return [entry for entry in self.rows(EntryRow) if entry.customer_id == customer_id]

    def messages(self) -> list[Message]:
        """All SMS."""
        return self.rows(MessageRow)

    def restless(self) -> list[str]:
        """What is still to be done, by somebody who is no person."""
        told = {(m.payment_id, m.number) for m in self.messages() if m.state is MessageState.SENT}
        todo = [f"{message.queue} {message.body}" for message in self.waiting]
        for payment in self.payments():
            is_open = payment.status not in FINAL and payment.status is not Status.HELD
            if is_open or unfinished(payment.vends):
                todo.append(f"{payment.payment_id} is {payment.status}")
            due = {(payment.payment_id, number) for number in messages_due(payment)}
            todo += [f"SMS {number} of {payment_id}" for payment_id, number in due - told]
        return todo

    # --- time passes --------------------------------------------------------------------------

    def live_on(self) -> None:
        """Let the queues and the sweeper do their work until nothing is left to do.

        Raises:
            NeverAtRest: see there.
        """
        pause = FIRST_PAUSE
        for _ in range(PAUSES_MAX):
            self.run_dry()
            if not self.restless():
                return
            if self.waiting:
                at = min(message.visible_at for message in self.waiting)
                self.clock.move(max(at - self.clock.now(), timedelta(0)))
            else:
                self.clock.move(pause)
                pause = min(pause * PAUSES_GROW, LONGEST_PAUSE)
                self.sweep()
        raise NeverAtRest(self.restless())

    def run_dry(self) -> None:
        """Hand over all that is visible, until nothing is."""
        for _ in range(HAND_OVERS_MAX):
            message = self.next_message()
            if message is None:
                return
            self.hand_over(message)
        raise NeverAtRest("messages bring forth messages")

    def next_message(self, *queues: str) -> Waiting | None:
        """The next message that is visible, of those queues or of any."""
        behind: set[str | None] = {None}
        for message in self.waiting:
            if message.group in behind - {None}:
                continue
            behind.add(message.group)
            if message.visible_at <= self.clock.now() and (not queues or message.queue in queues):
                return message
        return None

    # --- functions ----------------------------------------------------------------------------

    def hand_over(self, message: Waiting) -> None:
        """Hand a message to its function; it is gone if that did its work."""
        self.handed_over(message, self.run(self.function_of(message), message))

    def function_of(self, message: Waiting) -> Work:
        """What is run when that message is handed over."""
        record = {
            "messageId": message.message_id,
            "receiptHandle": message.message_id,
            "body": json.dumps(message.body),
            "attributes": {"MessageGroupId": message.group} if message.group else {},
        }
        event = SQSEvent({"Records": [record]}, _Context())
        handle = HANDLERS[message.queue]
        return lambda wiring: not handle(event, wiring)["batchItemFailures"]

    def handed_over(self, message: Waiting, code: int) -> None:
        """What SQS does with a message after its function has ended so."""
        position = next(
            (n for n, w in enumerate(self.waiting) if w.message_id == message.message_id), None
        )
        if position is None:
            return
        back = replace(
            message,
            receives=message.receives + 1,
            visible_at=self.clock.now() + timedelta(seconds=HIDDEN_SECONDS[message.queue]),
        )
        if code == WELL or back.receives >= RECEIVES_MAX:
            del self.waiting[position]
        else:
            self.waiting[position] = back

    def sweep(self) -> int:
        """The sweeper runs."""
        return self.run(lambda wiring: workers.sweep(wiring), None)

    def doom(self, death: Death) -> None:
        """Let the function that runs next die so."""
        self._death = death

    def disturb(self, observer: Observer | None) -> None:
        """Let all side effects of the functions of this process go through ``observer``."""
        self._observer = observer

    def run(self, work: Work, caller: int | Waiting | None) -> int:
        """Run a function; answer ``WELL``, ``FAILED`` or ``KILLED``."""
        step = Step(self.act, caller)
        if self._records:
            step.before = self.remember()
            self.steps.append(step)
        death, self._death = self._death, None
        if death is None:
            code = self._run_here(work, step)
        else:
            code = self._run_in_a_child(work, step, death)
        self.take_queued()
        return code

    def _run_here(self, work: Work, step: Step) -> int:
        witness = Witness()

        def observer(effect: Effect, act: Act) -> Any:
            step.effects.append(effect)
            return self._observer(effect, act) if self._observer else act()

        with effects.observed(observer):
            code = _outcome(work, self.process(witness))
        self.defects += witness.defects
        return code

    def _run_in_a_child(self, work: Work, step: Step, death: Death) -> int:
        _wait_until_no_request_is_served()
        ours, theirs = multiprocessing.Pipe()
        child = os.fork()
        if child == 0:
            ours.close()
            os._exit(_live(work, self, death, theirs))
        theirs.close()
        with ours:
            _serve(ours, step)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != KILLED:
            self.defects.append(f"{step.name} was to die {death}, and ended with {code}")
        return code

    def take_queued(self) -> None:
        """Take over what is in the queues of the emulator."""
        for name, queue in sqs_backends[ACCOUNT][REGION].queues.items():
            held, queue._messages[:] = list(queue._messages), []
            for message in held:
                delay = (message.delayed_until - message.sent_timestamp) / 1000
                self._take(name.removeprefix("test-"), message, max(0, round(delay)))

    def _take(self, queue: str, message: Any, delay: int) -> None:
        now = self.clock.now()
        once = message.deduplication_id
        if once is not None:
            if once in self._queued and now - self._queued[once] < DEDUPLICATED_FOR:
                return
            self._queued[once] = now
        self._messages_taken += 1
        self.waiting.append(
            Waiting(
                queue=queue,
                body=json.loads(message.body),
                visible_at=now + timedelta(seconds=delay),
                group=message.group_id if once is not None else None,
                message_id=f"m{self._messages_taken}",
            )
        )


class _Context:
    """What Lambda tells a function about itself."""

    def get_remaining_time_in_millis(self) -> int:
        return FUNCTION_SECONDS * 1000


def _wait_until_no_request_is_served() -> None:
    """A lock that another thread holds at the moment of a fork stays locked in the child."""
    for _ in range(SERVED_WITHIN_MILLISECONDS):
        if not any("process_request_thread" in t.name for t in threading.enumerate()):
            return
        time.sleep(0.001)
    raise AssertionError("a server is still busy")


def _serve(pipe: Connection, step: Step) -> None:
    """Answer a child's requests to AWS, and note its side effects, until it has ended."""
    while True:
        try:
            told = pipe.recv()
        except EOFError:
            return
        if isinstance(told, Effect):
            step.effects.append(told)
            continue
        method, url, headers, body = told
        request = AWSPreparedRequest(method, url, HTTPHeaders.from_dict(headers), body, False)
        answered = botocore_stubber.process_request(request)
        assert answered is not None
        status, answer_headers, answer = answered
        pipe.send((status, dict(answer_headers), answer))


def _relayed(pipe: Connection) -> Callable[[BotocoreStubber, AWSPreparedRequest], Any]:
    """What stands in a child in the place of the emulator: the way to the parent's."""

    def process_request(stubber: BotocoreStubber, request: AWSPreparedRequest) -> Any:
        pipe.send((request.method, request.url, dict(request.headers), request.body))
        return pipe.recv()

    return process_request


def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = dynamodb_backends[ACCOUNT][REGION].tables
    return tables


def _outcome(work: Work, wiring: Wiring) -> int:
    try:
        return FAILED if work(wiring) is False else WELL
    except MwangaError:
        return FAILED


def _live(work: Work, world: World, death: Death, pipe: Connection) -> int:
    """The life of a child process: it tells each side effect before it happens."""
    gc.disable()
    signal.alarm(CHILD_SECONDS_MAX)  # one that hangs ends, and is a defect
    BotocoreStubber.process_request = _relayed(pipe)  # type: ignore[method-assign]
    seen = 0

    def observer(effect: Effect, act: Act) -> Any:
        nonlocal seen
        seen += 1
        if death == Death(seen, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        pipe.send(Effect(effect.name, effect.changes))
        nth = seen
        try:
            return act()
        finally:
            if death == Death(nth, "after"):
                os.kill(os.getpid(), signal.SIGKILL)

    effects.observe(observer)
    try:
        return _outcome(work, world.process())
    except BaseException:
        traceback.print_exc()
        return DEFECT
