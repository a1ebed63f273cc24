"""Keep the appliances: what is sold on plans."""

from __future__ import annotations

from datetime import date, timedelta

from chalicelib.domain.errors import FieldError
from chalicelib.domain.plan import Terms, make_plan
from chalicelib.services.changes import change_of, differences, of_appliance
from chalicelib.services.entries import Act
from chalicelib.services.fields import below
from chalicelib.services.names import clean_name
from chalicelib.services.ports import (
    Appliance,
    ApplianceKind,
    Appliances,
    Change,
    Clock,
    DefaultPlan,
    Manufacturers,
    Page,
)


class KeepAppliances:
    """Makes appliances. One that was sold lives on in the plan, so none has to be changed."""

    def __init__(
        self, *, appliances: Appliances, manufacturers: Manufacturers, clock: Clock
    ) -> None:
        self._appliances = appliances
        self._manufacturers = manufacturers
        self._clock = clock

    def create(
        self,
        name: str,
        kind: ApplianceKind,
        price_minor: int,
        default_plan: DefaultPlan | None,
        manufacturer: str | None = None,
        *,
        actor: str,
    ) -> Appliance:
        """A new appliance; its default plan must be one that could be sold.

        With a ``manufacturer`` (its key) it is what that manufacturer's devices are sold as where
        nobody says so: the registration app has no field for it.

        Raises:
            FieldError: on ``name``, on ``manufacturer``, or on a field below ``default_plan``.
            NameTaken: see there.
        """
        name = clean_name(name)
        if manufacturer is not None:
            self._check_manufacturer(manufacturer, kind)
        if default_plan is not None:
            now = self._clock.now()
            with below("default_plan"):
                terms = default_terms(price_minor, default_plan, now.date())
                make_plan(terms, plan_id="", name=name, sold_at=now)

        def note(appliance_id: int) -> Change:
            made = Appliance(appliance_id, name, kind, price_minor, default_plan, manufacturer)
            act = Act(actor, self._clock.now(), "")
            told = differences(None, made)
            return change_of(act, of_appliance(appliance_id), "appliance_made", told)

        return self._appliances.create(name, kind, price_minor, default_plan, manufacturer, note)

    def _check_manufacturer(self, key: str, kind: ApplianceKind) -> None:
        made = {m.key for m in self._manufacturers.all() if m.kind.value == kind.value}
        if key not in made:
            raise FieldError("manufacturer", f"none of that key makes {kind.value} devices")

    def list(self, limit: int, cursor: str | None) -> Page[Appliance]:
        """The appliances.

        Raises:
            InvalidCursor: see there.
        """
        return self._appliances.list(limit, cursor)


def default_terms(price_minor: int, plan: DefaultPlan, sold_on: date) -> Terms:
    """The terms on which something of that price is usually sold on that day."""
    return Terms(
        total_minor=price_minor,
        every=plan.every.value,
        first_due=sold_on + timedelta(days=plan.first_due_after_days),
        instalments=plan.instalments,
        instalment_minor=plan.instalment_minor,
        down_payment_minor=plan.down_payment_minor,
    )
