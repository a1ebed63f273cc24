"""The proof of the books, for those who watch over the money."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from typing_extensions import TypedDict  # pydantic cannot describe the other one before 3.12

from chalicelib.api.routes import LIST, Answer, Call, Routes, listed
from chalicelib.api.shapes import Listed, time_text
from chalicelib.domain.books import Wrong
from chalicelib.domain.money import Currency, format_exact
from chalicelib.services.ports import Reconciliation, ReportedDifference
from chalicelib.services.staff import Role

routes = Routes()

WATCHERS = (Role.OPERATIONS, Role.FINANCE)


class DifferenceShape(TypedDict):
    """One thing that is wrong with a customer's books.

    ``expected`` and ``found`` are amounts; for ``wrong`` = ``version``, how often that version
    was made. They are null where there is nothing at all.
    """

    customer_id: str
    wrong: str
    ref: str
    expected: str | None
    found: str | None


class ReconciliationShape(TypedDict):
    """One pass over all customers; the first 100 of its ``differences_count`` differences."""

    run_id: str
    state: str
    started_at: str
    finished_at: str | None
    customers: int
    versions: int
    payments: int
    busy: int
    differences_count: int
    differences: Sequence[DifferenceShape]


@routes.route(
    "GET",
    "/reconciliations",
    roles=WATCHERS,
    query=LIST,
    answers={200: Listed[ReconciliationShape]},
)
def list_reconciliations(call: Call[None]) -> Answer:
    """List the proofs of the books, newest first."""
    company = call.wiring.catalogue.settings()
    currency = Currency(company.currency, company.currency_decimals)
    page = call.wiring.reconciliations.list(call.limit, call.cursor)
    return listed(page, lambda each: _reconciliation(each, currency))


def _reconciliation(report: Reconciliation, currency: Currency) -> ReconciliationShape:
    return ReconciliationShape(
        run_id=report.run_id,
        state=report.state.value,
        started_at=time_text(report.started_at),
        finished_at=time_text(report.finished_at) if report.finished_at else None,
        customers=report.customers,
        versions=report.versions,
        payments=report.payments,
        busy=report.busy,
        differences_count=report.differences_count,
        differences=[_difference(each, currency) for each in report.differences],
    )


def _difference(reported: ReportedDifference, currency: Currency) -> DifferenceShape:
    def shown(number: str | None) -> str | None:
        if number is None or reported.wrong == Wrong.VERSION:
            return number
        return format_exact(Fraction(number), currency)

    return DifferenceShape(
        customer_id=reported.customer_id,
        wrong=reported.wrong,
        ref=reported.ref,
        expected=shown(reported.expected),
        found=shown(reported.found),
    )
