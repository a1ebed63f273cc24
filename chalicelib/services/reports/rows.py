"""Payments and changes of accounts, row by row, for bookkeeping programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from chalicelib.domain.ledger import has_moved
from chalicelib.domain.moment import local_day
from chalicelib.domain.money import Currency, format_exact, format_minor
from chalicelib.domain.payment import ENTRY_CHANNEL, Payment
from chalicelib.services.entries import posting_of
from chalicelib.services.ports import Entry
from chalicelib.services.reports.spreadsheet import spreadsheet

PAYMENTS, LINES, ENTRIES = "payments", "lines", "entries"
"""The sorts of files."""

_PAYMENT_COLUMNS = (
    *("payment_id", "channel", "reference", "day", "received_at", "moment", "serial_number"),
    *("customer_id", "amount", "currency", "money_in", "status", "reason", "refunded"),
    *("settled_at", "completed_at"),
)
_LINE_COLUMNS = (
    *("payment_id", "channel", "day", "customer_id", "kind", "ref", "amount", "currency"),
)
_ENTRY_COLUMNS = (
    *("customer_id", "account_version", "day", "at", "what", "actor", "reason"),
    *("kind", "ref", "amount", "currency"),
)


@dataclass(frozen=True, slots=True)
class RowWriter:
    """Writes the files, in the company's currency and days."""

    currency: Currency
    zone: ZoneInfo

    def payments(self, payments: Iterable[Payment]) -> bytes:
        """One row for each payment, as it stands now."""
        return spreadsheet(_PAYMENT_COLUMNS, (self._payment(p) for p in _in_order(payments)))

    def lines(self, payments: Iterable[Payment]) -> bytes:
        """One row for each line of each payment."""
        rows = (row for payment in _in_order(payments) for row in self._lines(payment))
        return spreadsheet(_LINE_COLUMNS, rows)

    def entries(self, entries: Iterable[Entry]) -> bytes:
        """One row for each sum that an entry changed; one for an entry that changed none."""
        in_order = sorted(entries, key=lambda e: (e.at, e.customer_id, e.account_version))
        return spreadsheet(_ENTRY_COLUMNS, (row for e in in_order for row in self._entry(e)))

    def _payment(self, payment: Payment) -> tuple[str, ...]:
        return (
            *(payment.payment_id, payment.channel, payment.reference),
            *(self._day(payment.received_at), _time(payment.received_at), _time(payment.moment)),
            *(payment.serial_number, payment.customer_id or ""),
            *(format_minor(payment.amount_minor, self.currency), payment.currency),
            *("yes" if has_moved(payment) else "no", payment.status.value, payment.reason or ""),
            *(format_minor(payment.refunded_minor, self.currency),),
            *(_time(payment.settled_at), _time(payment.completed_at)),
        )

    def _lines(self, payment: Payment) -> Iterator[tuple[str, ...]]:
        for line in payment.lines:
            yield (
                *(payment.payment_id, payment.channel, self._day(payment.received_at)),
                *(payment.customer_id or "", line.kind.value, line.ref),
                *(format_minor(line.amount_minor, self.currency), payment.currency),
            )

    def _entry(self, entry: Entry) -> Iterator[tuple[str, ...]]:
        posting = posting_of(entry)
        sums = [(line.kind.value, line.ref, Fraction(line.amount_minor)) for line in posting.lines]
        sums += [("carry", carry.serial_number, carry.amount_minor) for carry in posting.carries]
        sums += [
            ("plan", plan.plan_id, Fraction(plan.total_minor - plan.already_paid_minor))
            for plan in posting.opened
        ]
        told = (
            *(entry.customer_id, str(entry.account_version)),
            *(self._day(entry.at), _time(entry.at), entry.what, entry.actor, entry.reason),
        )
        for kind, ref, amount_minor in sums:
            amount = format_exact(amount_minor, self.currency)
            yield (*told, kind, ref, amount, self.currency.code)
        if not sums:
            yield (*told, "", "", "", "")

    def _day(self, at: datetime) -> str:
        return local_day(at, self.zone).isoformat()


def is_money(payment: Payment) -> bool:
    """Whether it is a payment at all: what carries the vend of an entry is none."""
    return payment.channel != ENTRY_CHANNEL


def _in_order(payments: Iterable[Payment]) -> list[Payment]:
    return sorted(payments, key=lambda payment: (payment.received_at, payment.payment_id))


def _time(at: datetime | None) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""
