"""The sheet: what a report says, as text for a phone and as CSV for a spreadsheet.

All figures come from two closings, so the same closings always make the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from chalicelib.domain.books import Wrong
from chalicelib.domain.ledger import (
    NOTHING,
    PLACES,
    Fault,
    Figures,
    Of,
    Sum,
    Unaccounted,
    between,
    carried,
    credit_in_hand,
    told_apart,
    total,
)
from chalicelib.domain.money import Currency, format_exact, format_units
from chalicelib.services.ports import ReportedDifference, Settings
from chalicelib.services.reports.closing import Closing, opening_figures
from chalicelib.services.reports.spreadsheet import spreadsheet

WIDTH = 44
"""So many characters stand side by side on a phone."""

PROOF_IS_FRESH = timedelta(hours=48)
"""A proof of the accounts that is older says little of the day: one is made every day."""

ALL_ACCOUNTED_FOR = "All money is accounted for."

_LINES: Mapping[str, str] = {
    "appliance": "Appliances (instalments)",
    "device": "Solar systems, bikes: arrears",
    "time": "Solar systems, bikes: days",
    "access_rate": "Access fees",
    "energy": "Energy",
    "credit": "Credit in hand",
}
_PLACES: Mapping[Of, str] = {
    Of.WAITING: "Being worked on",
    Of.HELD: "Held, in no account",
    Of.REFUND_DUE: "Refund due",
    Of.REFUNDING: "Refund on its way",
    Of.REFUNDED: "Refunded",
    Of.TAKEN_BACK: "Taken back by the provider",
}
_UNITS: Mapping[str, str] = {"energy": "kWh", "time": "days"}
_FAULTS: Mapping[Fault, str] = {
    Fault.MONEY: "is in its places with another sum",
    Fault.CLAIM: "was changed after it was stored",
    Fault.TOKENS: "has other tokens than vends",
    Fault.DOUBLED: "waits under another id too",
    Fault.MISSING: "is less than the closing before saw",
    Fault.UNREADABLE: "cannot be read",
}


@dataclass(frozen=True, slots=True)
class Period:
    """From which day (``None``: the first payment) to which; ``interim``: that is not over."""

    first_day: date | None
    last_day: date
    interim: bool = False

    def text(self) -> str:
        """The period for people."""
        if self.first_day == self.last_day:
            days = _day(self.last_day)
        elif self.first_day is None:
            days = f"the first payment to {_day(self.last_day)}"
        else:
            days = f"{_day(self.first_day)} to {_day(self.last_day)}"
        return f"{days} (not over yet)" if self.interim else days


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: of money, or of things that are only counted (``counted``).

    ``expected`` and ``found`` are of a difference.
    """

    label: str
    figure: Sum = NOTHING
    unit: str = ""
    detail: str = ""
    expected: str = ""
    found: str = ""
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that belong together. Where they add up to something, ``sum_of_all`` is that."""

    code: str
    title: str
    rows: tuple[Row, ...]
    sum_of_all: Row | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A whole report."""

    company: str
    currency: Currency
    time_zone: str
    period: Period
    sentence: str
    sections: tuple[Section, ...]


def sheet_of(
    opening: Closing | None, closing: Closing, period: Period, settings: Settings
) -> Sheet:
    """What happened between two closings, and how things stand at the second."""
    currency = Currency(settings.currency, settings.currency_decimals)
    moved = between(opening_figures(opening), closing.figures)
    sections = (
        _money_in(moved),
        _where_it_went(moved),
        _tokens(moved),
        _changes(moved),
        _standing(closing.figures),
        _accounts(closing, ZoneInfo(settings.time_zone)),
        _differences(closing, currency),
    )
    return Sheet(
        company=settings.company,
        currency=currency,
        time_zone=settings.time_zone,
        period=period,
        sentence=sentence_of(closing, currency),
        sections=sections,
    )


def differences_of(closing: Closing) -> int:
    """How many things are not in order, of payments and of customers' accounts."""
    return closing.faults_count + (closing.accounts.differences_count if closing.accounts else 0)


def sentence_of(closing: Closing, currency: Currency) -> str:
    """The one sentence that everybody reads."""
    accounts = closing.accounts
    if closing.faults_count:
        count = closing.faults_count
        missing = format_exact(Fraction(closing.faults_minor), currency)
        return (
            f"NOT all money is accounted for: {count} difference{'' if count == 1 else 's'} in "
            f"payments, about {missing} {currency.code}. See DIFFERENCES."
        )
    if accounts is None:
        return (
            "All money of payments is accounted for; the customers' accounts were not compared yet."
        )
    if accounts.differences_count:
        return (
            "All money of payments is accounted for, but customers' accounts are NOT right: "
            f"{accounts.differences_count} differences. See DIFFERENCES."
        )
    if accounts.finished_at < closing.cut - PROOF_IS_FRESH:
        return (
            "All money of payments is accounted for; the customers' accounts were last compared "
            f"on {accounts.finished_at:%Y-%m-%d}."
        )
    return ALL_ACCOUNTED_FOR


# --- the sections ---------------------------------------------------------------------------------


def _money_in(moved: Figures) -> Section:
    rows = tuple(Row(channel, figure) for channel, figure in told_apart(moved, Of.IN).items())
    return Section("money_in", "MONEY IN", rows, Row("Money in", total(moved, Of.IN)))


def _where_it_went(moved: Figures) -> Section:
    settled = told_apart(moved, Of.SETTLED)
    rows = [Row(label, settled[kind]) for kind, label in _LINES.items() if kind in settled]
    for place, label in _PLACES.items():
        figure = total(moved, place)
        if figure != NOTHING:
            rows.append(Row(label, figure))
    came, went = total(moved, Of.IN), total(moved, *PLACES)
    if came.amount_minor != went.amount_minor:
        rows.append(Row("In NO place", Sum(0, came.amount_minor - went.amount_minor)))
    sum_of_all = Row("Money in", Sum(0, came.amount_minor))
    return Section("where_it_went", "WHERE IT WENT", tuple(rows), sum_of_all)


def _tokens(moved: Figures) -> Section:
    rows = tuple(
        Row(f"{key[1]}, {key[2]}", figure, _UNITS.get(key[2], ""))
        for key, figure in sorted(moved.items())
        if key[0] == Of.TOKEN
    )
    return Section("tokens", "TOKENS", rows)


def _changes(moved: Figures) -> Section:
    """Changes of accounts that no payment made."""
    rows = [
        Row(f"{_words(key[1])}: {_LINES[key[2]]}", figure)
        for key, figure in sorted(moved.items())
        if key[0] == Of.CHANGE
    ]
    rows += [Row(f"{_words(w)}: carried", f) for w, f in told_apart(moved, Of.CARRY_CHANGE).items()]
    rows += [Row(f"Plans, {_words(w)}", f) for w, f in told_apart(moved, Of.SOLD).items()]
    return Section("changes", "CHANGES WITHOUT A PAYMENT", tuple(rows))


def _standing(figures: Figures) -> Section:
    waiting = total(figures, Of.WAITING)
    rows = [Row("Being worked on", waiting)] if waiting.count else []
    rows += _by_reason(figures, Of.HELD, "Held, in no account")
    rows += _by_reason(figures, Of.SETTLED_HELD, "Held, already in an account")
    rows += _by_reason(figures, Of.REFUND_DUE, "Refund due")
    refunding = total(figures, Of.REFUNDING)
    rows += [Row("Refund on its way", refunding)] if refunding.count else []
    rows += _by_reason(figures, Of.CLAIMED, "Told of, not certain")
    rows.append(Row("Credit in hand", Sum(0, credit_in_hand(figures).amount_minor)))
    rows.append(Row("Carried on meters", Sum(0, carried(figures).amount_minor)))
    return Section("standing", "AT THE END", tuple(rows))


def _by_reason(figures: Figures, of: Of, label: str) -> list[Row]:
    return [
        Row(f"{label}: {_words(reason)}", figure, detail=reason)
        for reason, figure in told_apart(figures, of).items()
        if figure.count
    ]


def _accounts(closing: Closing, zone: ZoneInfo) -> Section:
    accounts = closing.accounts
    if accounts is None:
        return Section("accounts", "CUSTOMERS' ACCOUNTS", ())
    at = f"{accounts.finished_at.astimezone(zone):%Y-%m-%d %H:%M}"
    rows = (
        Row(f"Compared, {at}", Sum(accounts.customers - accounts.busy), counted=True),
        Row("Left for the next time", Sum(accounts.busy), counted=True),
        Row("Differences", Sum(accounts.differences_count), counted=True),
    )
    return Section("accounts", "CUSTOMERS' ACCOUNTS", rows)


def _differences(closing: Closing, currency: Currency) -> Section:
    rows = [_fault_row(fault, currency) for fault in closing.faults]
    if closing.accounts:
        rows += [_account_row(each, currency) for each in closing.accounts.differences]
    unnamed = differences_of(closing) - len(rows)
    if unnamed > 0:
        rows.append(Row("More, see the log", Sum(unnamed), counted=True))
    return Section("differences", "DIFFERENCES", tuple(rows))


def _fault_row(fault: Unaccounted, currency: Currency) -> Row:
    def shown(number: int | None) -> str:
        if number is None or fault.fault is Fault.TOKENS:
            return "" if number is None else str(number)
        return format_exact(Fraction(number), currency)

    return Row(
        f"{fault.ref} {_FAULTS[fault.fault]}",
        detail=fault.fault.value,
        expected=shown(fault.expected),
        found=shown(fault.found),
    )


def _account_row(reported: ReportedDifference, currency: Currency) -> Row:
    def shown(number: str | None) -> str:
        if number is None or reported.wrong == Wrong.VERSION:
            return number or ""
        return format_exact(Fraction(number), currency)

    return Row(
        f"Account {reported.customer_id}: {reported.wrong} {reported.ref}",
        detail=reported.wrong,
        expected=shown(reported.expected),
        found=shown(reported.found),
    )


def _words(code: str) -> str:
    return code.replace("_", " ")


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"


# --- as text --------------------------------------------------------------------------------------


def as_text(sheet: Sheet) -> bytes:
    """The report to be read on a phone."""
    return ("\n".join(_text_lines(sheet)) + "\n").encode()


def _text_lines(sheet: Sheet) -> Iterator[str]:
    yield f"{sheet.company}: money report"
    yield sheet.period.text()
    yield f"Days of {sheet.time_zone}, amounts in {sheet.currency.code}"
    yield ""
    yield sheet.sentence
    for section in sheet.sections:
        yield ""
        yield section.title
        if not section.rows:
            yield "  none"
        for row in section.rows:
            yield from _row_lines(row, sheet.currency)
        if section.sum_of_all:
            yield "  " + "-" * (WIDTH - 2)
            yield from _row_lines(section.sum_of_all, sheet.currency)


def _row_lines(row: Row, currency: Currency) -> Iterator[str]:
    """One line, or two where a long name leaves no room for the figures."""
    label = f"  {row.label}"
    if row.figure.count and not row.counted:
        label += f" ({row.figure.count})"
    told = _told(row, currency)
    if len(label) + len(told) < WIDTH:
        yield label + told.rjust(WIDTH - len(label))
    else:
        yield label
        yield told.rjust(WIDTH)
    if row.unit:
        yield f"{_grouped(format_units(row.figure.units))} {row.unit}".rjust(WIDTH)


def _told(row: Row, currency: Currency) -> str:
    if row.expected or row.found:
        return f"{row.expected or 'nothing'} -> {row.found or 'nothing'}"
    if row.counted:
        return str(row.figure.count)
    return _grouped(format_exact(row.figure.amount_minor, currency))


def _grouped(number: str) -> str:
    """The number with commas between thousands; a fraction as it is."""
    if "/" in number:
        return number
    whole, point, decimals = number.partition(".")
    return f"{int(whole):,}{point}{decimals}" if whole != "-0" else number


# --- as CSV ---------------------------------------------------------------------------------------

COLUMNS = (
    *("section", "item", "detail", "count", "amount", "currency"),
    *("units", "unit", "expected", "found"),
)


def as_csv(sheet: Sheet) -> bytes:
    """The report for a spreadsheet: one figure per row, none of them grouped."""
    return spreadsheet(COLUMNS, _csv_rows(sheet))


def _csv_rows(sheet: Sheet) -> Iterator[tuple[str, ...]]:
    first_day = sheet.period.first_day
    blank = ("",) * 8
    yield ("report", sheet.company, *blank)
    yield ("report", "from", first_day.isoformat() if first_day else "", *blank[1:])
    yield ("report", "to", sheet.period.last_day.isoformat(), *blank[1:])
    yield ("report", "over", "no" if sheet.period.interim else "yes", *blank[1:])
    yield ("report", "time zone", sheet.time_zone, *blank[1:])
    yield ("report", "result", sheet.sentence, *blank[1:])
    for section in sheet.sections:
        for row in section.rows:
            yield _csv_row(section.code, row, sheet.currency)
        if section.sum_of_all:
            yield _csv_row(f"{section.code}_total", section.sum_of_all, sheet.currency)


def _csv_row(code: str, row: Row, currency: Currency) -> tuple[str, ...]:
    return (
        *(code, row.label, row.detail, str(row.figure.count)),
        *_amount(row, currency),
        *(format_units(row.figure.units) if row.unit else "", row.unit),
        *(row.expected, row.found),
    )


def _amount(row: Row, currency: Currency) -> tuple[str, str]:
    if row.counted or row.expected or row.found:
        return "", ""
    return format_exact(row.figure.amount_minor, currency), currency.code
