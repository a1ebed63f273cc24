"""Keep the customers: who they are, and how to find them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.services.changes import change_of, of_customer, personal_differences
from chalicelib.services.entries import Act
from chalicelib.services.names import clean_name
from chalicelib.services.phones import normalise_phone, searched_phone
from chalicelib.services.plans import CustomerNotFound
from chalicelib.services.ports import (
    Catalogue,
    Change,
    Clock,
    ConditionFailed,
    Customer,
    Customers,
    Journal,
    NameTaken,
    Page,
    Registry,
    SiteKind,
    Sites,
    TryAgain,
)

POSSIBLE_DUPLICATE = "possible_duplicate"
WRITES_MAX = 3


class CustomerErased(MwangaError):
    """Of the customer is kept no more who it was, so nothing of it changes any more."""

    code = "customer_erased"


@dataclass(frozen=True, slots=True)
class Person:
    """What is said of a customer. Phone and name together tell one from another."""

    name: str
    surname: str
    phone: str
    village_id: int


class KeepCustomers:
    """Makes, finds and changes customers."""

    def __init__(
        self,
        *,
        customers: Customers,
        registry: Registry,
        sites: Sites,
        catalogue: Catalogue,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._customers = customers
        self._registry = registry
        self._sites = sites
        self._catalogue = catalogue
        self._clock = clock
        self._journal = journal

    def get(self, customer_id: str) -> Customer:
        """The customer of that id.

        Raises:
            CustomerNotFound: see there.
        """
        customer = self._customers.get(customer_id)
        if customer is None:
            raise CustomerNotFound(f"there is no customer {customer_id}")
        return customer

    def find(
        self,
        *,
        limit: int,
        cursor: str | None,
        phone: str | None = None,
        name: str | None = None,
        number: int | None = None,
    ) -> Page[Customer]:
        """All customers, or those of a phone, of a name's beginning, or of a number.

        Raises:
            InvalidCursor: see there.
        """
        if phone is not None:
            phone = searched_phone(phone, self._catalogue.settings().country)
            if phone is None:
                return Page(())
        return self._registry.customers(
            limit=limit, cursor=cursor, phone=phone, name=name, number=number
        )

    def numbered(self, page: int, per_page: int) -> tuple[Sequence[Customer], int]:
        """A page (from 1) of all customers, newest first, and how many there are.

        Customers have numbers, so a page is a range of them, as cheap at the end as at the
        beginning. A number that was never used is missing from its page, and counted.
        """
        total = self._registry.last_number("customer")
        last = total - (page - 1) * per_page
        if last < 1:
            return (), total
        return self._registry.customers_numbered(max(1, last - per_page + 1), last), total

    # --- making one ---------------------------------------------------------------------------

    def checked(self, person: Person) -> Person:
        """The person in normal form.

        Raises:
            FieldError: on the field that cannot be accepted.
        """
        checked = Person(
            name=clean_name(person.name, "name"),
            surname=clean_name(person.surname, "surname"),
            phone=normalise_phone(person.phone, self._catalogue.settings().country),
            village_id=person.village_id,
        )
        self._check_village(person.village_id)
        return checked

    def known(self, checked: Person) -> Customer | None:
        """The customer that this is: the same phone and, case and spacing aside, the same name."""
        return self._registry.customer_of(checked.phone, checked.name, checked.surname)

    def new(self, checked: Person) -> Customer:
        """A customer of the next number, not stored yet.

        Families share phones, so another name makes another customer; a person should look.
        """
        number = self._registry.next_number("customer")
        return Customer(
            customer_id=f"C{number}",
            number=number,
            name=checked.name,
            surname=checked.surname,
            phone=checked.phone,
            village_id=checked.village_id,
            needs_review=self._review(checked.phone),
        )

    def create(self, person: Person, *, actor: str) -> tuple[Customer, bool]:
        """A customer without a device (yet), and whether it is new.

        Raises:
            FieldError: on the field that cannot be accepted.
            TryAgain, OutcomeUnknown: not made, or not known to be: ask again.
        """
        checked = self.checked(person)
        for _ in range(WRITES_MAX):
            known = self.known(checked)
            if known is not None:
                return known, False
            customer = self.new(checked)
            try:
                self._registry.create_customer(
                    customer, self._change("customer_created", None, customer, actor)
                )
            except ConditionFailed:  # another request made it, or deleted the village
                self._check_village(checked.village_id)
                continue
            self._note("customer_created", customer, actor)
            return customer, True
        raise TryAgain("the customer is being made by another request")

    def replace(self, customer_id: str, person: Person, *, actor: str) -> Customer:
        """Change who a customer is.

        Raises:
            CustomerNotFound, CustomerErased, VersionConflict: see there.
            FieldError: on the field that cannot be accepted.
            NameTaken: another customer has that phone and name.
        """
        before = self.get(customer_id)
        if before.erased:
            raise CustomerErased(f"{customer_id} is erased")
        checked = self.checked(person)
        review = before.needs_review
        if checked.phone != before.phone:
            review = self._review(checked.phone)
        after = replace(
            before,
            name=checked.name,
            surname=checked.surname,
            phone=checked.phone,
            village_id=checked.village_id,
            needs_review=review,
        )
        try:
            written = self._registry.update_customer(
                before, after, self._change("customer_changed", before, after, actor)
            )
        except ConditionFailed as failed:
            self._check_village(checked.village_id)
            raise NameTaken("another customer has that phone and name") from failed
        self._note("customer_changed", written, actor)
        return written

    def reviewed(self, customer: Customer, *, actor: str) -> Customer:
        """A person has looked, and the customer is who they seem to be.

        Raises:
            VersionConflict: somebody else changed the customer first.
        """
        after = replace(customer, needs_review=())
        change = self._change("customer_reviewed", customer, after, actor)
        written = self._registry.update_customer(customer, after, change)
        self._note("customer_reviewed", written, actor)
        return written

    def _review(self, phone: str) -> tuple[str, ...]:
        namesakes = self._registry.customers(limit=1, phone=phone)
        return (POSSIBLE_DUPLICATE,) if namesakes.items else ()

    def _check_village(self, village_id: int) -> None:
        if self._sites.get(SiteKind.VILLAGE, village_id) is None:
            raise FieldError("village_id", "there is none of that id")

    def _change(self, what: str, before: Customer | None, after: Customer, actor: str) -> Change:
        act = Act(actor, self._clock.now(), "")
        told = personal_differences(before, after)
        return change_of(act, of_customer(after.customer_id), what, told)

    def _note(self, what: str, customer: Customer, actor: str) -> None:
        self._journal.event(what, customer_id=customer.customer_id, actor=actor)
