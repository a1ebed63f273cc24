"""A customer's statement, as text to be read and as CSV for a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from chalicelib.domain.moment import local_day
from chalicelib.domain.money import Currency, format_exact, format_minor
from chalicelib.domain.statement import Balance
from chalicelib.services.customer_statements import CustomerStatement, StatementRow
from chalicelib.services.ports import Settings
from chalicelib.services.reports.spreadsheet import spreadsheet

COLUMNS = (
    *("day", "what", "reference", "kind", "ref", "amount"),
    *("credit", "to_pay", "carried", "currency"),
)

_LINES = {
    "appliance": "instalment",
    "device": "arrears",
    "time": "days",
    "access_rate": "access fee",
    "energy": "energy",
    "credit": "credit",
}


def statement_text(statement: CustomerStatement, settings: Settings) -> bytes:
    """The statement to be read, or handed to the customer."""
    return ("\n".join(_text_lines(statement, settings)) + "\n").encode()


def statement_csv(statement: CustomerStatement, settings: Settings) -> bytes:
    """The statement for a spreadsheet: balances, and one row for each sum between them."""
    return spreadsheet(COLUMNS, _csv_rows(statement, settings))


def _text_lines(statement: CustomerStatement, settings: Settings) -> Iterator[str]:
    currency = Currency(settings.currency, settings.currency_decimals)
    zone = ZoneInfo(settings.time_zone)
    who = statement.customer
    yield f"{settings.company}: statement"
    yield f"{who.name} {who.surname}, customer {who.customer_id}"
    yield f"{statement.first_day} to {statement.last_day}, amounts in {currency.code}"
    yield ""
    yield f"At the beginning: {_balance(statement.opening, currency)}"
    for row in statement.rows:
        yield ""
        yield f"{_day(row.at, zone)}  {_headline(row, currency)}"
        for line in row.lines:
            kind = _LINES[line.kind.value]
            yield f"  {kind} {line.ref}: {format_minor(line.amount_minor, currency)}"
    yield ""
    yield f"At the end: {_balance(statement.closing, currency)}"


def _headline(row: StatementRow, currency: Currency) -> str:
    what = row.what.replace("_", " ")
    if row.payment is None:
        return what
    told = f"paid {format_minor(row.payment.amount_minor, currency)} by {what}"
    if row.payment.refunded_minor:
        told += f", {format_minor(row.payment.refunded_minor, currency)} given back"
    return told if row.payment.account_versions else f"{told} ({row.payment.status.value})"


def _balance(balance: Balance, currency: Currency) -> str:
    return (
        f"credit {format_minor(balance.credit_minor, currency)}, "
        f"still to pay on plans {format_minor(balance.to_pay_minor, currency)}, "
        f"carried on meters {format_exact(balance.carried_minor, currency)}"
    )


def _csv_rows(statement: CustomerStatement, settings: Settings) -> Iterator[tuple[str, ...]]:
    currency = Currency(settings.currency, settings.currency_decimals)
    zone = ZoneInfo(settings.time_zone)

    def balances(balance: Balance) -> tuple[str, ...]:
        sums = (balance.credit_minor, balance.to_pay_minor, balance.carried_minor)
        return (*(format_exact(Fraction(each), currency) for each in sums), currency.code)

    blank = ("",) * 4
    yield (statement.first_day.isoformat(), "opening", *blank, *balances(statement.opening))
    for row in statement.rows:
        day, what = _day(row.at, zone), row.what
        ref = row.payment.payment_id if row.payment else ""
        amount = format_minor(row.payment.amount_minor, currency) if row.payment else ""
        yield (day, what, ref, "", "", amount, *balances(row.change))
        for line in row.lines:
            told = (line.kind.value, line.ref, format_minor(line.amount_minor, currency))
            yield (day, "line", ref, *told, "", "", "", currency.code)
    yield (statement.last_day.isoformat(), "closing", *blank, *balances(statement.closing))


def _day(at: datetime, zone: ZoneInfo) -> str:
    return local_day(at, zone).isoformat()
