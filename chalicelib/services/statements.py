"""Statements: a provider's or a bank's file, compared with what is stored, in both directions.

A statement names what was paid to us. What is in it and not here, or otherwise here, is reported,
or taken in where somebody wants that; what is here and not in it, in the time that it covers, is
reported too. A large payment that waited for a proof has it now.

The file and its report are kept with the other files; nothing is remembered elsewhere, so a
comparison that broke down is simply made again.
"""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from chalicelib.domain.errors import FieldError, InvalidAmount, MwangaError
from chalicelib.domain.money import Currency, parse_amount
from chalicelib.domain.payment import Claim, Payment, Status, payment_id_of
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.ports import (
    Clock,
    Files,
    Journal,
    Listed,
    Payments,
    Queues,
    SettingsStore,
    StatementForm,
)
from chalicelib.services.take_listed import Found, TakeListed

ROWS_MAX = 20_000
NAMED_MAX = 1_000
"""So many differences of each kind are named; all are counted."""

AMOUNT_MINOR_MAX = 10**12
_SOURCE = re.compile(r"[A-Za-z0-9_.]{1,40}")

NOT_PAID = frozenset({Status.PENDING, Status.EXPIRED, Status.REFUSED})


class StatementNotFound(MwangaError):
    """There is no statement of that id."""

    code = "not_found"


class NoSuchChannel(FieldError):
    """No channel of that key takes statements."""

    def __init__(self) -> None:
        super().__init__("channel", "no channel of that name takes statements")


@dataclass(slots=True)
class Report:
    """What a comparison found. Each difference is named by line or by payment."""

    statement_id: str
    channel: str
    state: str
    made_at: str
    made_by: str
    source: str
    take: bool
    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    not_here: list[dict[str, str]] = field(default_factory=list)
    different: list[dict[str, str]] = field(default_factory=list)
    unusable: list[dict[str, str]] = field(default_factory=list)
    not_there: list[str] = field(default_factory=list)


class Statements:
    """Takes statements, and compares them."""

    def __init__(
        self,
        *,
        forms: Mapping[str, StatementForm],
        files: Files,
        payments: Payments,
        settings_store: SettingsStore,
        take_listed: TakeListed,
        queues: Queues,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._forms = forms
        self._files = files
        self._payments = payments
        self._settings_store = settings_store
        self._take_listed = take_listed
        self._queues = queues
        self._clock = clock
        self._journal = journal

    def start(
        self, channel: str, content: bytes, *, source: str | None, take: bool, actor: str
    ) -> Report:
        """Keep a statement, to be compared by a worker.

        ``source`` is the pot that it is of: what the ids of its payments begin with; the channel's
        key where none is named.

        Raises:
            FieldError: on ``channel`` or ``file``: nobody can read it.
            OutcomeUnknown, QueueUnavailable: send it again.
        """
        form = self._forms.get(channel)
        if form is None:
            raise NoSuchChannel
        if source is not None and _SOURCE.fullmatch(source) is None:
            raise FieldError("source", "must be what the ids of its payments begin with")
        rows = list(_rows(content, form))
        report = Report(
            statement_id=f"st-{uuid.uuid4().hex[:20]}",
            channel=channel,
            state="comparing",
            made_at=self._clock.now().isoformat(timespec="seconds"),
            made_by=actor,
            source=source or channel,
            take=take or form.takes,
            rows=len(rows),
        )
        self._files.put(_file(report.statement_id), content)
        self._write(report)
        self._queues.move("statement", report.statement_id)
        self._journal.event("statement_sent", statement_id=report.statement_id, channel=channel)
        return report

    def report(self, statement_id: str) -> Report:
        """What is known of a statement.

        Raises:
            StatementNotFound, TryAgain: see there.
        """
        content = self._files.get(_report(statement_id)) if _is_id(statement_id) else None
        if content is None:
            raise StatementNotFound("there is no statement of that id")
        return Report(**json.loads(content))

    def compare(self, statement_id: str) -> None:
        """Compare a statement. To do it again changes nothing more.

        Raises:
            TryAgain, OutcomeUnknown, VersionConflict: the message must come back.
        """
        report, content = self.report(statement_id), self._files.get(_file(statement_id))
        if content is None or report.state == "compared":
            return
        form = self._forms[report.channel]
        named, period = self._compare_rows(report, form, content)
        if period is not None:
            self._look_for_ours(report, named, period)
        report.state = "compared"
        self._write(report)
        self._journal.event("statement_compared", statement_id=statement_id, **report.counts)
        self._journal.count("StatementDifferences", len(report.different), channel=report.channel)

    def _compare_rows(
        self, report: Report, form: StatementForm, content: bytes
    ) -> tuple[set[str], tuple[datetime, datetime] | None]:
        settings = self._settings_store.get()
        currency = Currency(settings.currency, settings.currency_decimals)
        counts: Counter[str] = Counter()
        named: set[str] = set()
        times: list[datetime] = []
        zone = ZoneInfo(settings.time_zone)
        for line, fields in _rows(content, form):
            try:
                claim = _claim(report, form, fields, currency, zone)
                payment_id = payment_id_of(claim.source, claim.transaction)
            except (InvalidAmount, FieldError) as wrong:
                counts[Found.UNUSABLE] += 1
                _name(report.unusable, {"line": str(line), "reason": wrong.detail})
                continue
            found = self._take_listed.take(Listed(claim), only_compare=not report.take)
            counts[found] += 1
            named.add(payment_id)
            times += [claim.paid_at] if claim.paid_at else []
            if found in (Found.MISSING, Found.DIFFERENT):
                differences = report.not_here if found is Found.MISSING else report.different
                _name(differences, {"line": str(line), "payment_id": payment_id})
        report.counts = {name.value: counts[name] for name in Found}
        return named, (min(times), max(times)) if times else None

    def _look_for_ours(
        self, report: Report, named: set[str], period: tuple[datetime, datetime]
    ) -> None:
        """What is here and should be in the statement: it was paid in the time that it covers."""
        since, until = period
        count = 0
        for payment in self._payments.of_channel(report.channel, since, until + timedelta(days=1)):
            known = {payment.payment_id, _receipt_id(payment)}
            if payment.status in NOT_PAID or not since <= payment.moment <= until:
                continue
            if known.isdisjoint(named):
                count += 1
                if len(report.not_there) < NAMED_MAX:
                    report.not_there.append(payment.payment_id)
        report.counts["not_there"] = count

    def _write(self, report: Report) -> None:
        self._files.put(_report(report.statement_id), json.dumps(asdict(report)).encode())


def _receipt_id(payment: Payment) -> str:
    source = payment.payment_id.partition("-")[0]
    return f"{source}-{payment.receipt or payment.reference}"


def _claim(
    report: Report,
    form: StatementForm,
    fields: Mapping[str, str],
    currency: Currency,
    zone: ZoneInfo,
) -> Claim:
    """What a row says.

    Raises:
        InvalidAmount: its amount is none.
    """
    transaction = fields[form.transaction]
    return Claim(
        channel=report.channel,
        source=report.source,
        transaction=transaction,
        reference=transaction,
        serial_number=claimed_serial(fields.get(form.serial_number, "")),
        amount_minor=parse_amount(fields[form.amount], currency, AMOUNT_MINOR_MAX),
        currency=currency.code,
        paid_at=_time(fields.get(form.paid_at, ""), zone),
    )


def _name(differences: list[dict[str, str]], difference: dict[str, str]) -> None:
    if len(differences) < NAMED_MAX:
        differences.append(difference)


def _rows(content: bytes, form: StatementForm) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows of a file: the line, and what is in it by the names of the columns.

    Raises:
        FieldError: on ``file``: not UTF-8, without the columns, or with too many rows.
    """
    try:
        text = content.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        names = [name.strip().lower() for name in next(reader, ())]
        if not set(form.needed) <= set(names) or len(set(names)) != len(names):
            raise FieldError("file", f"its first row must name {', '.join(form.needed)}")
        for number, row in enumerate(reader):
            if number >= ROWS_MAX:
                raise FieldError("file", f"at most {ROWS_MAX} rows: cut the file in two")
            cells = [cell.strip() for cell in row] + [""] * len(names)
            if any(cells):
                yield reader.line_num, dict(zip(names, cells, strict=False))
    except (UnicodeDecodeError, csv.Error):
        raise FieldError("file", "must be CSV in UTF-8") from None


def _time(text: str, zone: ZoneInfo) -> datetime | None:
    """A time in a statement, in UTC; ``None`` where it is none."""
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_id(statement_id: str) -> bool:
    letters = statement_id.removeprefix("st-")
    return letters.isalnum() and letters.isascii() and len(letters) == 20


def _file(statement_id: str) -> str:
    return f"statements/{statement_id}.csv"


def _report(statement_id: str) -> str:
    return f"statements/{statement_id}.json"
