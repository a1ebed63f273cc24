"""Registrations from the field: what the Customer Registration App posts is never lost.

The app deletes its only copy of a registration whenever it is answered with an error, and posts
the same rows again whenever it is not sure. So a form is stored first, as one to review, and
registered then; whatever field staff cannot put right on the spot (a serial number that is
somebody else's, a tariff that is not sold any more) leaves it there for the office.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from chalicelib.domain.account import Kind
from chalicelib.domain.errors import AccountFull, FieldError
from chalicelib.domain.serial import normalise_serial
from chalicelib.services.customers import POSSIBLE_DUPLICATE, Person
from chalicelib.services.devices import DeviceView
from chalicelib.services.lists import all_of
from chalicelib.services.names import clean_name
from chalicelib.services.phones import normalise_phone
from chalicelib.services.ports import (
    Appliance,
    Appliances,
    Catalogue,
    Clock,
    ConditionFailed,
    Customer,
    FieldForm,
    FieldRegistration,
    FieldRegistrations,
    Journal,
    Manufacturer,
    Manufacturers,
    OutcomeUnknown,
    QueueUnavailable,
    RegistrationStatus,
    TryAgain,
    VersionConflict,
)
from chalicelib.services.register import (
    MeterRegistrationRequiresApp,
    NewDevice,
    Register,
    Registered,
)

UNFINISHED = "unfinished"
"""It was stored and something broke before it was registered."""
ACCOUNT_FULL = "account_full"
NO_PLAN = "no_plan"
NO_KEY = "no_key"

REASON_BY_FIELD = {
    "manufacturer": "unknown_manufacturer",
    "customer.village_id": "unknown_village",
    "device.village_id": "unknown_village",
    "device.tariff_id": "unknown_tariff",
    "device.serial_number": "serial_taken",
}
"""What the registration does not take, in the words of the review."""
NOT_ACCEPTED = "not_accepted"

WRITES_MAX = 4
APPLIANCES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a posted form; ``repeated`` if it had been posted before."""

    registration: FieldRegistration
    repeated: bool = False


class RegisterFromField:
    """Takes the forms of the registration app."""

    def __init__(
        self,
        *,
        register: Register,
        field_registrations: FieldRegistrations,
        appliances: Appliances,
        manufacturers: Manufacturers,
        catalogue: Catalogue,
        clock: Clock,
        journal: Journal,
    ) -> None:
        self._register = register
        self._field_registrations = field_registrations
        self._appliances = appliances
        self._manufacturers = manufacturers
        self._catalogue = catalogue
        self._clock = clock
        self._journal = journal

    def _checked(self, form: FieldForm) -> FieldForm:
        """The form in normal form."""
        return replace(
            form,
            name=clean_name(form.name, "name"),
            surname=clean_name(form.surname, "surname"),
            phone=normalise_phone(form.phone, self._catalogue.settings().country),
            serial_number=normalise_serial(form.serial_number),
        )

    def post(self, form: FieldForm, *, actor: str, in_the_field: bool) -> Posted:
        """Take a form in: register what it says, or keep it for the office.

        The same form again, at the same moment too, gives what is stored. One that was corrected
        is tried anew, as long as nothing came of the first.

        Raises:
            FieldError: on the field that field staff can correct on the spot; nothing is stored.
            MeterRegistrationRequiresApp: see there; nothing is stored.
            TryAgain, OutcomeUnknown: the form is not known to be stored.
        """
        form = self._checked(form)
        maker = self.maker(form)
        if maker is not None and maker.kind is Kind.METER and not in_the_field:
            raise MeterRegistrationRequiresApp("meters are registered by field staff, in the app")
        for _ in range(WRITES_MAX):
            stored, repeated = self._stored(form, actor)
            if not _is_to_try(stored, form):
                return Posted(stored, repeated)
            attempt = replace(
                stored,
                form=form,
                posted_by=actor,
                resolved_at=None,
                resolved_by=None,
                resolution=None,
            )
            try:
                done = self._field_registrations.save(self._tried(attempt, maker, actor))
            except VersionConflict:  # the same row, posted twice at once: look what came of it
                continue
            self._note(done)
            return Posted(done, repeated)
        raise TryAgain("the same registration is being made by another request")

    def _stored(self, form: FieldForm, actor: str) -> tuple[FieldRegistration, bool]:
        """The registration as it is stored, and whether it was there before."""
        fresh = FieldRegistration(
            registration_id=registration_id_of(form),
            form=form,
            status=RegistrationStatus.NEEDS_REVIEW,
            posted_at=self._clock.now(),
            posted_by=actor,
            reasons=(UNFINISHED,),
        )
        try:
            self._field_registrations.create(fresh)
        except ConditionFailed:
            stored = self._field_registrations.get(fresh.registration_id)
            if stored is None:  # nothing is ever deleted
                raise TryAgain("the registration cannot be read") from None
            return stored, True
        return fresh, False

    def _tried(
        self, attempt: FieldRegistration, maker: Manufacturer | None, actor: str
    ) -> FieldRegistration:
        """What has become of the registration once it was tried."""
        try:
            made = self._registered(attempt.form, maker, actor)
        except (TryAgain, OutcomeUnknown, QueueUnavailable):
            # It is stored, so the app may forget it: an error would make it do so unheard.
            return _to_review(attempt, UNFINISHED)
        except AccountFull:
            return _to_review(attempt, ACCOUNT_FULL)
        except FieldError as wrong:
            return _to_review(attempt, REASON_BY_FIELD.get(wrong.field, NOT_ACCEPTED))
        done = replace(
            attempt,
            status=RegistrationStatus.REGISTERED,
            reasons=(),
            customer_id=made.customer.customer_id,
            serial_number=made.device.device.serial_number,
        )
        reasons = self.open_reasons(made.device, made.customer)
        return _to_review(done, *reasons) if reasons else done

    def _registered(self, form: FieldForm, maker: Manufacturer | None, actor: str) -> Registered:
        if maker is None:
            raise FieldError("manufacturer", "there is none of that id")
        is_meter = maker.kind is Kind.METER
        appliance = None if is_meter else self._usual_appliance(maker)
        return self._register.register(
            Person(form.name, form.surname, form.phone, form.village_id),
            NewDevice(
                serial_number=form.serial_number,
                manufacturer=maker.key,
                village_id=form.village_id,
                tariff_id=form.tariff_id if is_meter else None,  # the app always sends one
                appliance_id=appliance.appliance_id if appliance else None,
                to_complete=True,
            ),
            None,
            actor=actor,
            meters_too=True,
            why="registration in the app",
        )

    def open_reasons(self, view: DeviceView, customer: Customer) -> tuple[str, ...]:
        """What a person still has to do about a customer and device that are registered."""
        device = view.device
        maker = self._manufacturers.get(device.manufacturer).manufacturer
        found = {
            NO_KEY: maker.lacks(device.technical),
            NO_PLAN: device.kind is not Kind.METER and view.plan is None and not view.unlocked,
            POSSIBLE_DUPLICATE: POSSIBLE_DUPLICATE in customer.needs_review,
        }
        return tuple(reason for reason, is_so in found.items() if is_so)

    def maker(self, form: FieldForm) -> Manufacturer | None:
        """The manufacturer that the form names; ``None`` where there is none of that id."""
        makers = self._manufacturers.all()
        return next((m for m in makers if m.manufacturer_id == form.manufacturer_id), None)

    def _usual_appliance(self, maker: Manufacturer) -> Appliance | None:
        """What this manufacturer's devices are sold as, if that is one thing with a plan."""
        usual = [
            appliance
            for appliance in all_of(self._appliances.list, APPLIANCES_AT_ONCE)
            if appliance.manufacturer == maker.key and appliance.default_plan is not None
        ]
        return usual[0] if len(usual) == 1 else None

    def _note(self, registration: FieldRegistration) -> None:
        self._journal.event(
            "field_registration",
            registration_id=registration.registration_id,
            status=registration.status.value,
            reasons=registration.reasons,
            actor=registration.posted_by,
        )
        self._journal.count("FieldRegistrations", status=registration.status.value)


def registration_id_of(form: FieldForm) -> str:
    """The id of a registration: the same for the same serial number and phone."""
    text = f"{form.serial_number}#{form.phone}"
    return f"r-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def _to_review(registration: FieldRegistration, *reasons: str) -> FieldRegistration:
    """The registration, for a person to look at."""
    return replace(registration, status=RegistrationStatus.NEEDS_REVIEW, reasons=reasons)


def _is_to_try(stored: FieldRegistration, form: FieldForm) -> bool:
    """Whether the form is to be tried (again): nothing came of it, and nobody gave it up."""
    if stored.customer_id is not None:
        return False
    if stored.status is RegistrationStatus.DISMISSED:
        return stored.form != form
    return True
