"""What customers, providers and people do, and how that must end.

Each scenario says how it ends when nobody dies, and which ends there may be besides when
somebody does. An end is a payment's status with its reason, in the order in which payments came.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from chalicelib.channels import paystack
from chalicelib.domain.payment import Payment, Status
from chalicelib.services.ports import ProviderRequest
from chalicelib.wiring import Wiring
from tests.integration.company import METER, SHS, TODAY, claim, kes, plan
from tests.simulation.outside import PAYSTACK_KEY, Fault, charge
from tests.simulation.world import Work, World

ACTOR, REASON = "ops@example.org", "asked for by the customer"
SPARKMETER_CUSTOMER = "7b1f0a52-6d25-4f6e-8f0e-3a2f5a3c9a11"
FAR_AWAY = TODAY + timedelta(days=3)
LONG_AGO = TODAY - timedelta(days=30)


@dataclass(frozen=True)
class Act:
    """Something that somebody outside does to us: they call one function.

    ``first`` happens before, and outside of us. ``then`` is how far the world lives on before the
    next act.
    """

    work: Callable[[World], Work]
    first: Callable[[World], object] = lambda world: None
    then: Callable[[World], object] = World.live_on


@dataclass(frozen=True)
class Scenario:
    """A story: what is there, what is done, and how it ends."""

    name: str
    set_up: Callable[[World], object]
    acts: Sequence[Act]
    end: tuple[str, ...]
    ends_after_death: tuple[str, ...] = field(default=())
    """What else a payment may be in the end when somebody has died."""


# --- what is there ----------------------------------------------------------------------------


def with_meter(manufacturer: str = "calin", **technical: str) -> Callable[[World], str]:
    """A customer with a meter."""

    def set_up(world: World) -> str:
        customer_id = world.company.customer(world.company.meter())
        made_by(world, METER, manufacturer, **technical)
        return customer_id

    return set_up


def with_solar(
    manufacturer: str = "openpaygo", *, total: int = 7000, paid: int = 0, overdue: bool = False
) -> Callable[[World], str]:
    """A customer with a meter, and with a solar home system on a plan."""

    def set_up(world: World) -> str:
        first_due = TODAY - timedelta(days=7) if overdue else FAR_AWAY
        on_plan = plan(
            "p-shs",
            total,
            instalments=total // 700,
            first_due=first_due,
            paid=paid,
            serial_number=SHS,
        )
        company = world.company
        customer_id = company.customer(company.meter(), company.shs(SHS, "p-shs"), plans=(on_plan,))
        world.sold[customer_id] = (on_plan,)
        if manufacturer != "openpaygo":
            made_by(world, SHS, manufacturer)
        return customer_id

    return set_up


def with_television(world: World) -> str:
    """A customer with a meter who owes two instalments of a television."""
    television = plan("p-tv", 3000, first_due=TODAY - timedelta(days=9))
    customer_id = world.company.customer(world.company.meter(), plans=(television,))
    world.sold[customer_id] = (television,)
    return customer_id


def made_by(world: World, serial_number: str, manufacturer: str, **technical: str) -> None:
    """Let a device be of that manufacturer."""
    device = world.company.wiring.devices.get(serial_number)
    assert device is not None
    changed = replace(device, manufacturer=manufacturer, technical=technical)
    world.company.registry.update_device(changed)


def failing(
    set_up: Callable[[World], object], kind: str, *faults: Fault
) -> Callable[[World], object]:
    """The same, where the next requests of that kind fail."""

    def failing_set_up(world: World) -> None:
        set_up(world)
        world.outside.fail(kind, *faults)

    return failing_set_up


def after(set_up: Callable[[World], object], *acts: Act) -> Callable[[World], object]:
    """The same, after those acts and all that followed from them."""

    def later(world: World) -> None:
        set_up(world)
        for act in acts:
            act.first(world)
            world.run(act.work(world), 0)
            act.then(world)

    return later


# --- what is done -----------------------------------------------------------------------------


def pay(serial_number: str, amount: int, transaction: str = "T1") -> Act:
    """A provider reports money that has moved."""
    told = claim(serial_number, amount, transaction, payer_phone="+254700000009")
    return Act(lambda world: lambda wiring: wiring.accept.accept(told, money_moved=True))


def open_checkout(
    serial_number: str, amount: int, then: Callable[[World], object] = World.run_dry
) -> Act:
    """A customer opens a checkout, and does not wait long before they pay."""
    body = json.dumps({"serial_number": serial_number, "amount": f"{amount}.00"}).encode()
    request = ProviderRequest("POST", {}, {"content-type": "application/json"}, body, "127.0.0.1")
    return Act(lambda world: lambda wiring: paystack.checkout(request, wiring.desk), then=then)


def webhook(first: Callable[[World], object] = lambda world: world.outside.pay()) -> Act:
    """The payer pays, and the provider reports it until it is told that all is well."""

    def work(world: World) -> Work:
        report = {"event": "charge.success", "data": charge(world.outside.kept.checkouts[-1])}
        body = json.dumps(report).encode()
        signature = hmac.new(PAYSTACK_KEY.encode(), body, hashlib.sha512).hexdigest()
        request = ProviderRequest(
            "POST", {}, {"x-paystack-signature": signature}, body, "127.0.0.1"
        )
        return lambda wiring: paystack.webhook(request, wiring.desk).status == 200

    return Act(work, first)


def by_a_person(do: Callable[[Wiring, Payment], object]) -> Act:
    """A person does something about the only payment."""

    def work(world: World) -> Work:
        payment = world.payment()
        return lambda wiring: do(wiring, payment)

    return Act(work)


PAID_UNTOLD = Act(lambda world: lambda wiring: None, lambda world: world.outside.pay())
"""The payer pays, and the provider reports nothing."""

GIVE_BACK = by_a_person(
    lambda wiring, payment: wiring.give_back.refund(payment.payment_id, actor=ACTOR, reason=REASON)
)
INTO_CREDIT = by_a_person(
    lambda wiring, payment: wiring.resolve.resolve_credit(
        payment.payment_id, actor=ACTOR, reason=REASON
    )
)
ASSIGN = by_a_person(
    lambda wiring, payment: wiring.resolve.resolve_assign(
        payment.payment_id, actor=ACTOR, reason=REASON, serial_number=METER
    )
)
RETRY = by_a_person(
    lambda wiring, payment: wiring.resolve.retry(
        payment.payment_id, actor=ACTOR, reason=REASON, not_issued=True
    )
)


def _give_up_meter(world: World) -> None:
    world.company.wiring.keep_devices.change_owner(METER, None, actor=ACTOR, reason=REASON)


def pay_after_the_meter_has_gone() -> Act:
    """The meter leaves its owner, and then money comes for it."""

    def first(world: World) -> None:
        _give_up_meter(world)
        world.outside.pay()

    return webhook(first)


def lower_plan(customer_id: str = "C1") -> Act:
    """A person lowers a plan's total to what is paid of it: the device is paid off."""

    def work(world: World) -> Work:
        return lambda wiring: wiring.change_plans.change(
            customer_id, "p-shs", total_minor=kes(1400), reason=REASON, actor=ACTOR
        )

    return Act(work)


# --- the scenarios ----------------------------------------------------------------------------

COMPLETED = Status.COMPLETED.value
UNCERTAIN = "held vend_uncertain"
HELD_CALIN = after(failing(with_meter(), "calin", Fault.DEAF), open_checkout(METER, 500), webhook())
BAD_SERIAL = after(with_meter(), pay("99999", 500))

SCENARIOS = (
    Scenario("a local token", with_solar(), [pay(SHS, 700)], (COMPLETED,)),
    Scenario("a local unlock", with_solar(total=1400), [pay(SHS, 1500)], (COMPLETED,)),
    Scenario("a calin token", with_meter(), [pay(METER, 500)], (COMPLETED,), (UNCERTAIN,)),
    Scenario("debts, then energy", with_television, [pay(METER, 1000)], (COMPLETED,), (UNCERTAIN,)),
    Scenario(
        "energy, and a local unlock of another device",
        with_solar(total=1400, paid=700, overdue=True),
        [pay(METER, 1700)],
        (COMPLETED,),
        (UNCERTAIN,),
    ),
    Scenario(
        "energy, and a remote unlock of another device",
        with_solar("angaza", total=1400, paid=700, overdue=True),
        [pay(METER, 1700)],
        (COMPLETED,),
        (UNCERTAIN,),
    ),
    Scenario(
        "calin's answer is lost",
        failing(with_meter(), "calin", Fault.MUTE),
        [pay(METER, 500)],
        (UNCERTAIN,),
        (COMPLETED,),
    ),
    Scenario(
        "calin refuses, and a person lets it be tried again",
        failing(with_meter(), "calin", Fault.REFUSING),
        [pay(METER, 500), RETRY],
        (COMPLETED,),
        (UNCERTAIN, "held vend_refused"),
    ),
    Scenario(
        "a sparkmeter top-up",
        with_meter("sparkmeter", customer_id=SPARKMETER_CUSTOMER),
        [pay(METER, 500)],
        (COMPLETED,),
    ),
    Scenario(
        "a sparkmeter top-up that arrives later",
        failing(
            with_meter("sparkmeter", customer_id=SPARKMETER_CUSTOMER), "sparkmeter", Fault.SLOW
        ),
        [pay(METER, 500)],
        (COMPLETED,),
    ),
    Scenario(
        "sparkmeter's answer is lost after the sale",
        failing(
            with_meter("sparkmeter", customer_id=SPARKMETER_CUSTOMER), "sparkmeter", Fault.MUTE
        ),
        [pay(METER, 500)],
        (COMPLETED,),
    ),
    Scenario(
        "sparkmeter is not there",
        failing(
            with_meter("sparkmeter", customer_id=SPARKMETER_CUSTOMER), "sparkmeter", Fault.DEAF
        ),
        [pay(METER, 500)],
        (COMPLETED,),
    ),
    Scenario(
        "calin_smart's answer is lost after the sale",
        failing(with_meter("calin_smart"), "calin_smart", Fault.MUTE),
        [pay(METER, 500)],
        (COMPLETED,),
    ),
    Scenario(
        "two payments for one calin_smart meter",
        with_meter("calin_smart"),
        [pay(METER, 500), pay(METER, 500, "T2")],
        (COMPLETED, COMPLETED),
    ),
    Scenario(
        "angaza is slow, then its answer is lost",
        failing(with_solar("angaza"), "angaza", Fault.DEAF, Fault.MUTE),
        [pay(SHS, 700)],
        (COMPLETED,),
    ),
    Scenario(
        "two payments of one customer",
        with_solar(),
        [pay(METER, 500), pay(SHS, 700, "T2")],
        (COMPLETED, COMPLETED),
        (UNCERTAIN,),
    ),
    Scenario(
        "a serial that nobody has, from a channel without refunds",
        with_meter(),
        [pay("99999", 500)],
        ("held unknown_device",),
    ),
    Scenario(
        "a checkout that is paid",
        with_solar(),
        [open_checkout(SHS, 700), webhook()],
        (COMPLETED,),
        ("expired not_paid",),
    ),
    Scenario(
        "a checkout that is paid, and nobody tells us",
        with_solar(),
        [open_checkout(SHS, 700), PAID_UNTOLD],
        (COMPLETED,),
        ("expired not_paid",),
    ),
    Scenario(
        "a checkout that is paid when it had expired",
        with_solar(),
        [open_checkout(SHS, 700, World.live_on), webhook()],
        (COMPLETED,),
        ("expired not_paid",),
    ),
)
"""Of customers, manufacturers and providers."""

PEOPLE = (
    Scenario(
        "paid for a meter that has gone: the money goes back",
        with_meter(),
        [open_checkout(METER, 500), pay_after_the_meter_has_gone()],
        ("refunded",),
        ("expired not_paid",),
    ),
    Scenario(
        "the answer to a refund is lost",
        failing(with_meter(), "POST /paystack/refund", Fault.MUTE),
        [open_checkout(METER, 500), pay_after_the_meter_has_gone()],
        ("refunded",),
        ("expired not_paid",),
    ),
    Scenario(
        "a person gives back what bought nothing",
        HELD_CALIN,
        [GIVE_BACK],
        ("refunded",),
        (UNCERTAIN,),
    ),
    Scenario("a person makes it credit", HELD_CALIN, [INTO_CREDIT], (COMPLETED,), (UNCERTAIN,)),
    Scenario("a person says that none was issued", HELD_CALIN, [RETRY], (COMPLETED,), (UNCERTAIN,)),
    Scenario(
        "a person assigns money to the right meter",
        BAD_SERIAL,
        [ASSIGN],
        (COMPLETED,),
        ("held unknown_device", UNCERTAIN),
    ),
    Scenario(
        "a plan change pays a device off, with a local token",
        with_solar(paid=1400),
        [lower_plan()],
        (COMPLETED,),
    ),
    Scenario(
        "a plan change pays a device off, with a remote unlock",
        with_solar("angaza", paid=1400),
        [lower_plan()],
        (COMPLETED,),
    ),
)
"""Of people who decide, and of money that goes back."""


def ends_of(world: World) -> tuple[str, ...]:
    """How the payments have ended, in the order in which they came."""
    return tuple(f"{p.status.value} {p.reason or ''}".strip() for p in world.payments())
