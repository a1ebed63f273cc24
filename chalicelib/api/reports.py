"""Reports for finance: of days, months and periods, and statements of customers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict  # pydantic cannot describe the other one before 3.12

from chalicelib.api.models import ReportBody, read_day
from chalicelib.api.reading import whole_number
from chalicelib.api.routes import LIST, STAFF, Answer, Call, Routes, accepted, listed, ok
from chalicelib.api.shapes import LineShape, Listed, day_text, time_text
from chalicelib.domain.errors import FieldError
from chalicelib.domain.money import Currency, format_exact, format_minor, format_units
from chalicelib.services.ports import Report, Settings
from chalicelib.services.staff import Role

if TYPE_CHECKING:  # every function imports this module, and few of them make a statement
    from chalicelib.domain.statement import Balance
    from chalicelib.services.customer_statements import CustomerStatement, StatementRow

routes = Routes()

WATCHERS = (Role.OPERATIONS, Role.FINANCE)
CSV, TEXT = "text/csv; charset=utf-8", "text/plain; charset=utf-8"
_TEXT_ENDING = ".txt"


class ReportFileShape(TypedDict):
    """A file of a report: its name, its rows where they are counted, and where to get it."""

    number: int
    name: str
    path: str
    rows: int | None


_Since = TypedDict("_Since", {"from": str | None})
_From = TypedDict("_From", {"from": str})


class ReportShape(_Since):
    """A report, and how far it is.

    ``from`` is null where it goes back to the first payment. ``interim``: its last day was not
    over. ``sentence`` says whether all money is accounted for.
    """

    report_id: str
    kind: Literal["day", "month", "period", "rows"]
    state: Literal["running", "done"]
    to: str
    interim: bool
    sentence: str | None
    differences: int
    files: Sequence[ReportFileShape]
    made_at: str
    made_by: str


class BalanceShape(TypedDict):
    """How a customer stands: credit in hand, what is still to be paid on plans (due or not), and
    what their meters carry."""

    credit: str
    to_pay: str
    carried: str


class StatementTokenShape(TypedDict):
    """A token that was issued; its digits stand with the payment."""

    serial_number: str
    kind: str
    units: str | None


class MovementShape(TypedDict):
    """A payment, or a change of the account; ``change`` is what it did to the balances.

    ``what`` is the payment's channel or the name of the change; ``payment_id``, ``amount`` and
    ``status`` are null where it is no payment.
    """

    at: str
    what: str
    payment_id: str | None
    account_version: int | None
    amount: str | None
    refunded: str | None
    status: str | None
    lines: Sequence[LineShape]
    tokens: Sequence[StatementTokenShape]
    change: BalanceShape


class AccountStatementShape(_From):
    """What a customer had, what happened, and what they have. Opening and changes make closing."""

    customer_id: str
    currency: str
    to: str
    opening: BalanceShape
    movements: Sequence[MovementShape]
    closing: BalanceShape


@routes.route("POST", "/reports", roles=WATCHERS, body=ReportBody, answers={202: ReportShape})
def start_report(call: Call[ReportBody]) -> Answer:
    """Have a report of a period made, or its payments and entries written row by row."""
    report = call.wiring.make_reports.start(
        call.body.first_day,
        call.body.last_day,
        rows=call.body.contents == "rows",
        actor=call.actor,
    )
    return accepted(_report(report))


@routes.route("GET", "/reports", roles=WATCHERS, query=LIST, answers={200: Listed[ReportShape]})
def list_reports(call: Call[None]) -> Answer:
    """List reports, newest first: of days, of months, and what was asked for."""
    return listed(call.wiring.make_reports.list(call.limit, call.cursor), _report)


@routes.route("GET", "/reports/{report_id}", roles=WATCHERS, answers={200: ReportShape})
def get_report(call: Call[None]) -> Answer:
    """How far a report is, what it says, and which files it has."""
    return ok(_report(call.wiring.make_reports.get(call.path["report_id"])))


@routes.route(
    "GET",
    "/reports/{report_id}/text",
    roles=WATCHERS,
    answers={200: str},
    gives="text/plain",
)
def get_report_text(call: Call[None]) -> Answer:
    """A report of money, to be read as it is."""
    report = call.wiring.make_reports.get(call.path["report_id"])
    names = [file.key.endswith(_TEXT_ENDING) for file in report.files]
    number = names.index(True) + 1 if any(names) else 0
    return _report_file(call, number, TEXT)


@routes.route(
    "GET",
    "/reports/{report_id}/files/{number}",
    roles=WATCHERS,
    answers={200: str},
    gives="text/csv",
)
def get_report_file(call: Call[None]) -> Answer:
    """One file of a report, as CSV."""
    report = call.wiring.make_reports.get(call.path["report_id"])
    number = whole_number(call.path["number"]) or 0
    if any(file.key.endswith(_TEXT_ENDING) for file in report.files[number - 1 : number]):
        number = 0
    return _report_file(call, number, CSV)


def _report_file(call: Call[None], number: int, content_type: str) -> Answer:
    report_id = call.path["report_id"]
    name, content = call.wiring.make_reports.file(report_id, number, actor=call.actor)
    return _file(name, content, content_type)


_PERIOD = ("from", "to")


@routes.route(
    "GET",
    "/customers/{customer_id}/statement",
    roles=STAFF,
    query=_PERIOD,
    answers={200: AccountStatementShape},
)
def show_account_statement(call: Call[None]) -> Answer:
    """Show a customer's statement: what they had, what happened, what they have."""
    return ok(_statement(_asked_for(call), call.wiring.catalogue.settings()))


@routes.route(
    "GET",
    "/customers/{customer_id}/statement/csv",
    roles=STAFF,
    query=_PERIOD,
    answers={200: str},
    gives="text/csv",
)
def get_account_statement_csv(call: Call[None]) -> Answer:
    """Get a customer's statement for a spreadsheet."""
    from chalicelib.services.reports.statement_sheet import statement_csv

    statement = _asked_for(call)
    content = statement_csv(statement, call.wiring.catalogue.settings())
    return _file(_name(statement, "csv"), content, CSV)


@routes.route(
    "GET",
    "/customers/{customer_id}/statement/text",
    roles=STAFF,
    query=_PERIOD,
    answers={200: str},
    gives="text/plain",
)
def get_account_statement_text(call: Call[None]) -> Answer:
    """Get a customer's statement to be read, or to be handed to them."""
    from chalicelib.services.reports.statement_sheet import statement_text

    statement = _asked_for(call)
    content = statement_text(statement, call.wiring.catalogue.settings())
    return _file(_name(statement, "txt"), content, TEXT)


def _asked_for(call: Call[None]) -> CustomerStatement:
    first_day, last_day = (_queried_day(call, name) for name in _PERIOD)
    return call.wiring.show_statements.show(call.path["customer_id"], first_day, last_day)


def _name(statement: CustomerStatement, ending: str) -> str:
    period = f"{statement.first_day}-{statement.last_day}"
    return f"statement-{statement.customer.customer_id}-{period}.{ending}"


def _queried_day(call: Call[None], name: str) -> date:
    try:
        return read_day(call.query.get(name))
    except ValueError:
        raise FieldError(name, "must be a day such as 2026-01-08") from None


def _file(name: str, content: bytes, content_type: str) -> Answer:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Answer(200, content.decode(), headers, content_type)


def _report(report: Report) -> ReportShape:
    return {
        "report_id": report.report_id,
        "kind": report.kind.value,
        "state": report.state.value,
        "from": day_text(report.first_day) if report.first_day else None,
        "to": day_text(report.last_day),
        "interim": report.interim,
        "sentence": report.sentence or None,
        "differences": report.differences,
        "files": [
            ReportFileShape(
                number=number,
                name=file.key.rpartition("/")[2],
                path=_path(report, number),
                rows=file.rows if report.kind.value == "rows" else None,
            )
            for number, file in enumerate(report.files, 1)
        ],
        "made_at": time_text(report.made_at),
        "made_by": report.made_by,
    }


def _path(report: Report, number: int) -> str:
    is_text = report.files[number - 1].key.endswith(_TEXT_ENDING)
    return f"/reports/{report.report_id}/{'text' if is_text else f'files/{number}'}"


def _statement(statement: CustomerStatement, settings: Settings) -> AccountStatementShape:
    currency = Currency(settings.currency, settings.currency_decimals)
    return {
        "customer_id": statement.customer.customer_id,
        "currency": currency.code,
        "from": day_text(statement.first_day),
        "to": day_text(statement.last_day),
        "opening": _balance(statement.opening, currency),
        "movements": [_movement(row, currency) for row in statement.rows],
        "closing": _balance(statement.closing, currency),
    }


def _movement(row: StatementRow, currency: Currency) -> MovementShape:
    payment, entry = row.payment, row.entry
    return MovementShape(
        at=time_text(row.at),
        what=row.what,
        payment_id=payment.payment_id if payment else None,
        account_version=entry.account_version if entry else None,
        amount=format_minor(payment.amount_minor, currency) if payment else None,
        refunded=format_minor(payment.refunded_minor, currency) if payment else None,
        status=payment.status.value if payment else None,
        lines=[
            LineShape(
                kind=line.kind.value, ref=line.ref, amount=format_minor(line.amount_minor, currency)
            )
            for line in row.lines
        ],
        tokens=[
            StatementTokenShape(
                serial_number=token.serial_number,
                kind=token.kind.value,
                units=format_units(token.units) if token.units is not None else None,
            )
            for token in (payment.tokens if payment else ())
        ],
        change=_balance(row.change, currency),
    )


def _balance(balance: Balance, currency: Currency) -> BalanceShape:
    return BalanceShape(
        credit=format_minor(balance.credit_minor, currency),
        to_pay=format_minor(balance.to_pay_minor, currency),
        carried=format_exact(Fraction(balance.carried_minor), currency),
    )
