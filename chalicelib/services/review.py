"""Review: what the office does about registrations that field staff could not finish."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from chalicelib.domain.account import Kind
from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.plan import Terms
from chalicelib.services.customers import POSSIBLE_DUPLICATE, KeepCustomers, Person
from chalicelib.services.devices import DeviceView
from chalicelib.services.field_registrations import RegisterFromField
from chalicelib.services.fields import below
from chalicelib.services.jitter import jitter_seconds
from chalicelib.services.phones import normalise_phone
from chalicelib.services.ports import (
    Catalogue,
    Clock,
    FieldForm,
    FieldRegistration,
    FieldRegistrations,
    Journal,
    Manufacturers,
    Page,
    RegistrationStatus,
    VersionConflict,
)
from chalicelib.services.register import NewDevice, Register

WRITES_MAX = 4


class RegistrationNotFound(MwangaError):
    """There is no registration from the field of that id."""

    code = "not_found"


class NotInReview(MwangaError):
    """Nothing is left to do about that registration."""

    code = "not_in_review"


class Outcome(StrEnum):
    """What the office decides.

    ``register``: nothing was made yet; register it now, corrected where it must be. ``done``:
    customer and device were made, and what was missing is there. ``dismiss``: nothing was made,
    and nothing will be.
    """

    REGISTER = "register"
    DONE = "done"
    DISMISS = "dismiss"


@dataclass(frozen=True, slots=True)
class Corrections:
    """What is otherwise than the form says; ``None`` where the form is right."""

    customer_id: str | None = None
    name: str | None = None
    surname: str | None = None
    phone: str | None = None
    serial_number: str | None = None
    manufacturer: str | None = None
    village_id: int | None = None
    tariff_id: int | None = None
    appliance_id: int | None = None
    terms: Terms | None = None
    technical: Mapping[str, Any] | None = None


class ReviewRegistrations:
    """Lists and resolves registrations that need a person."""

    def __init__(
        self,
        *,
        register: Register,
        from_field: RegisterFromField,
        field_registrations: FieldRegistrations,
        keep_customers: KeepCustomers,
        show_device: Callable[[str], DeviceView],
        manufacturers: Manufacturers,
        catalogue: Catalogue,
        clock: Clock,
        journal: Journal,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._register = register
        self._from_field = from_field
        self._field_registrations = field_registrations
        self._keep_customers = keep_customers
        self._show_device = show_device
        self._manufacturers = manufacturers
        self._catalogue = catalogue
        self._clock = clock
        self._journal = journal
        self._pause = pause

    def list(
        self, status: RegistrationStatus, limit: int, cursor: str | None
    ) -> Page[FieldRegistration]:
        """Registrations in that status, the oldest first.

        Raises:
            InvalidCursor: see there.
        """
        return self._field_registrations.list(status, limit, cursor)

    def resolve(
        self,
        registration_id: str,
        outcome: Outcome,
        corrections: Corrections,
        *,
        reason: str,
        actor: str,
    ) -> FieldRegistration:
        """Decide about a registration.

        Raises:
            RegistrationNotFound, NotInReview: see there.
            FieldError: on ``outcome``, which does not fit how the registration stands, or on the
                field that cannot be accepted, as in a registration.
            AccountFull: see there.
            VersionConflict, TryAgain, OutcomeUnknown, QueueUnavailable, SecretMissing: not
                decided, or not known to be: the same request may be sent again.
        """
        decide = {
            Outcome.REGISTER: self._registered,
            Outcome.DONE: self._done,
            Outcome.DISMISS: self._dismissed,
        }[outcome]
        for round_number in range(WRITES_MAX):
            stored = self._in_review(registration_id)
            decided = replace(
                decide(stored, corrections, reason, actor),
                resolved_at=self._clock.now(),
                resolved_by=actor,
                resolution=reason,
            )
            try:
                saved = self._field_registrations.save(decided)
            except VersionConflict:  # it was posted again at this very moment
                self._pause(jitter_seconds(round_number))
                continue
            self._journal.event(
                "registration_resolved",
                registration_id=registration_id,
                outcome=outcome.value,
                actor=actor,
            )
            return saved
        raise VersionConflict(registration_id)

    def _in_review(self, registration_id: str) -> FieldRegistration:
        stored = self._field_registrations.get(registration_id)
        if stored is None:
            raise RegistrationNotFound(f"there is no registration {registration_id}")
        if stored.status is not RegistrationStatus.NEEDS_REVIEW:
            raise NotInReview(f"it is {stored.status.value}")
        return stored

    # --- the three decisions ------------------------------------------------------------------

    def _registered(
        self, stored: FieldRegistration, corrections: Corrections, reason: str, actor: str
    ) -> FieldRegistration:
        if stored.customer_id is not None:
            raise FieldError("outcome", "customer and device are there: done, once it is complete")
        with below("corrections"):
            owner, device = self._corrected(stored, corrections)
        made = self._register.register(
            owner,
            device,
            None,
            actor=actor,
            meters_too=True,  # they posted it
            why=f"registration in the app by {stored.posted_by}, completed: {reason}",
        )
        return replace(
            stored,
            status=RegistrationStatus.RESOLVED,
            reasons=(),
            customer_id=made.customer.customer_id,
            serial_number=made.device.device.serial_number,
        )

    def _corrected(
        self, stored: FieldRegistration, corrections: Corrections
    ) -> tuple[Person | str, NewDevice]:
        """Who is to own what, as the form says it and the office corrects it."""
        form = stored.form
        village_id = corrections.village_id or form.village_id
        owner: Person | str = corrections.customer_id or Person(
            name=corrections.name or form.name,
            surname=corrections.surname or form.surname,
            phone=normalise_phone(
                corrections.phone or form.phone, self._catalogue.settings().country
            ),
            village_id=village_id,
        )
        key = corrections.manufacturer or self._posted_manufacturer(form)
        is_meter = key in {m.key for m in self._manufacturers.all() if m.kind is Kind.METER}
        device = NewDevice(
            serial_number=corrections.serial_number or form.serial_number,
            manufacturer=key,
            village_id=village_id,
            tariff_id=corrections.tariff_id or (form.tariff_id if is_meter else None),
            appliance_id=corrections.appliance_id,
            terms=corrections.terms,
            technical=corrections.technical,
        )
        return owner, device

    def _posted_manufacturer(self, form: FieldForm) -> str:
        maker = self._from_field.maker(form)
        if maker is None:
            raise FieldError("manufacturer", "is required: there is none of the posted id")
        return maker.key

    def _done(
        self, stored: FieldRegistration, corrections: Corrections, reason: str, actor: str
    ) -> FieldRegistration:
        if stored.customer_id is None or stored.serial_number is None:
            raise FieldError("outcome", "nothing was made yet: register, or dismiss")
        view = self._show_device(stored.serial_number)
        customer = self._keep_customers.get(stored.customer_id)
        left = set(self._from_field.open_reasons(view, customer)) - {POSSIBLE_DUPLICATE}
        if left:
            raise FieldError("outcome", f"still to do: {', '.join(sorted(left))}")
        if customer.needs_review:
            self._keep_customers.reviewed(customer, actor=actor)
        return replace(stored, status=RegistrationStatus.RESOLVED, reasons=())

    def _dismissed(
        self, stored: FieldRegistration, corrections: Corrections, reason: str, actor: str
    ) -> FieldRegistration:
        if stored.customer_id is not None:
            raise FieldError("outcome", "customer and device are there: done, once it is complete")
        return replace(stored, status=RegistrationStatus.DISMISSED, reasons=())
