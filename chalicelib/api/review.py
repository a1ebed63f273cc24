"""Registrations from the field that a person must look at."""

from __future__ import annotations

from chalicelib.api.models import ReviewBody
from chalicelib.api.routes import LIST, STAFF, Answer, Call, Routes, listed, ok
from chalicelib.api.shapes import FieldRegistrationShape, Listed, field_registration
from chalicelib.api.terms import terms_of
from chalicelib.domain.errors import FieldError
from chalicelib.services.ports import RegistrationStatus
from chalicelib.services.review import Corrections, Outcome
from chalicelib.services.staff import Role

routes = Routes()


@routes.route(
    "GET",
    "/registrations",
    roles=STAFF,
    query=("status", *LIST),
    answers={200: Listed[FieldRegistrationShape]},
)
def list_registrations(call: Call[None]) -> Answer:
    """List registrations from the field in a status, by default those that need a review."""
    wanted = call.query.get("status", RegistrationStatus.NEEDS_REVIEW.value)
    try:
        status = RegistrationStatus(wanted)
    except ValueError:
        known = ", ".join(RegistrationStatus)
        raise FieldError("status", f"must be one of {known}") from None
    return listed(call.wiring.review.list(status, call.limit, call.cursor), field_registration)


@routes.route(
    "POST",
    "/registrations/{registration_id}/resolve",
    roles=(Role.OFFICE,),
    body=ReviewBody,
    answers={200: FieldRegistrationShape},
    problems=("account_full", "invalid_amount", "not_in_review", "version_conflict"),
)
def resolve_registration(call: Call[ReviewBody]) -> Answer:
    """Register what could not be registered, say that it is complete, or dismiss it."""
    body, said = call.body, call.body.corrections
    resolved = call.wiring.review.resolve(
        call.path["registration_id"],
        Outcome(body.outcome),
        Corrections(
            customer_id=said.customer_id,
            name=said.name,
            surname=said.surname,
            phone=said.phone,
            serial_number=said.serial_number,
            manufacturer=said.manufacturer,
            village_id=said.village_id,
            tariff_id=said.tariff_id,
            appliance_id=said.appliance_id,
            terms=terms_of(said.plan, call.amounts, "corrections.plan.") if said.plan else None,
            technical=said.technical,
        ),
        reason=body.reason,
        actor=call.actor,
    )
    return ok(field_registration(resolved))
