"""A function dies while it takes in a form of the registration app: nothing is lost or doubled."""

from __future__ import annotations

import pytest

from chalicelib.domain.books import check_books
from chalicelib.services.entries import posting_of
from chalicelib.services.ports import FieldForm, RegistrationStatus
from chalicelib.wiring import Wiring
from tests.integration.company import Company, FixedClock
from tests.integration.crash.deaths import KILLED, Death, run

CALIN = 10


def form(company: Company) -> FieldForm:
    """A meter and its owner, as the app posts them."""
    return FieldForm(
        name="Asha",
        surname="Mushi",
        phone="+254712345678",
        village_id=company.village_id,
        serial_number="47001",
        manufacturer_id=CALIN,
        tariff_id=company.tariff_id,
    )


def post(company: Company, clock: FixedClock, death: Death | None = None) -> int:
    """The app posts the row."""

    def work() -> None:
        Wiring(clock).from_field.post(form(company), actor="field@example.org", in_the_field=True)

    return run(work, death)


@pytest.mark.parametrize(
    "death",
    [
        Death("after", "PutItem"),
        Death("after", "UpdateItem"),
        Death("before", "TransactWriteItems"),
        Death("after", "TransactWriteItems"),
        Death("before", "PutItem", nth=2),
        Death("after", "PutItem", nth=2),
    ],
    ids=lambda death: f"{death.when} {death.operation} {death.nth}",
)
def test_wherever_it_dies_the_form_is_kept_and_the_same_row_completes_it(
    company: Company, clock: FixedClock, death: Death
) -> None:
    assert post(company, clock, death) == KILLED
    statuses = (RegistrationStatus.NEEDS_REVIEW, RegistrationStatus.REGISTERED)
    kept = [
        registration
        for status in statuses
        for registration in company.wiring.field_registrations.list(status, 10, None).items
    ]
    assert [registration.form.serial_number for registration in kept] == ["47001"]

    assert post(company, clock) == 0

    stored = company.wiring.field_registrations.get(kept[0].registration_id)
    assert stored is not None and stored.status is RegistrationStatus.REGISTERED
    people = company.wiring.registry.customers(limit=10).items
    assert [person.customer_id for person in people] == [stored.customer_id]
    account = company.wiring.accounts.get(people[0].customer_id)
    entries = company.wiring.entries.of_customer(people[0].customer_id)
    assert account is not None and [device.serial_number for device in account.devices] == ["47001"]
    assert check_books(account, map(posting_of, entries)) == []
