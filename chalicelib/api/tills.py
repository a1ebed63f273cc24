"""Money that staff take by hand: over the counter, or as agents in the villages."""

from __future__ import annotations

from fractions import Fraction

from chalicelib.api.models import AgentSaleBody, AgentTermsBody, CashBody, ReceiptBody
from chalicelib.api.routes import (
    LIST,
    Answer,
    Call,
    Routes,
    accepted,
    created,
    listed,
    ok,
    repeated,
)
from chalicelib.api.shapes import AcceptedShape, AgentEntryShape, AgentShape, Listed
from chalicelib.channels import agent, cash
from chalicelib.channels.staff_claims import staff_claim, staff_id
from chalicelib.domain.errors import FieldError, InvalidAmount, Refusal, Refused
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Claim
from chalicelib.services.accept import Accepted
from chalicelib.services.staff import Role

routes = Routes()

OFFICE = (Role.OFFICE,)
COUNTS = (Role.OFFICE, Role.OPERATIONS, Role.FINANCE)

_REFUSED = ("reference_conflict", *(refusal.value for refusal in Refusal))
_TAKEN = {202: AcceptedShape, 200: AcceptedShape}


@routes.route(
    "POST",
    "/payments/cash",
    roles=OFFICE,
    body=CashBody,
    idempotent=True,
    answers=_TAKEN,
    problems=_REFUSED,
)
def pay_cash(call: Call[CashBody]) -> Answer:
    """Record a payment in cash: 202 when it is new, 200 when the same was recorded before."""
    body = call.body
    if (body.serial_number is None) == (body.plan_id is None):
        raise FieldError("serial_number", "give either serial_number or plan_id")
    serial_number, plan_id = body.serial_number, body.plan_id
    if plan_id is not None:
        serial_number, plan_id = call.wiring.find_plans.target(plan_id)
    claim, wrong = _claim(call, cash.KEY, body.amount, serial_number, plan_id)
    return _told(call.wiring.accept.accept(claim, money_moved=False), wrong)


@routes.route(
    "POST",
    "/payments/agent",
    roles=(Role.AGENT,),
    body=AgentSaleBody,
    idempotent=True,
    answers=_TAKEN,
    problems=(*_REFUSED, "float_exceeded", "version_conflict"),
)
def pay_agent(call: Call[AgentSaleBody]) -> Answer:
    """Record a payment that an agent has been handed, up to their float limit."""
    claim, wrong = _claim(call, agent.KEY, call.body.amount, call.body.serial_number, None)
    agent_id = staff_id(call.username)
    return _told(call.wiring.keep_agents.pay(agent_id, call.actor, claim), wrong)


def _claim(
    call: Call[CashBody] | Call[AgentSaleBody],
    channel: str,
    amount: object,
    serial_number: str | None,
    plan_id: str | None,
) -> tuple[Claim, InvalidAmount | None]:
    """The claim, and what is wrong with its amount.

    A wrong amount does not stop here: a key that was used before is a conflict, whatever else is
    wrong. The claim's amount is then 0.
    """
    settings = call.wiring.catalogue.settings()
    wrong = None
    try:
        amount_minor = call.amounts.read(amount, "amount")
    except InvalidAmount as invalid:
        amount_minor, wrong = 0, invalid
    claim = staff_claim(
        channel,
        call.username,
        call.idempotency_key,
        amount_minor=amount_minor,
        currency=Currency(settings.currency, settings.currency_decimals),
        serial_number=serial_number,
        plan_id=plan_id,
    )
    return claim, wrong


def _told(outcome: Accepted, wrong: InvalidAmount | None) -> Answer:
    if outcome.refusal is not None:
        raise wrong or Refused(outcome.refusal)
    payment = outcome.payment
    body = {"payment_id": payment.payment_id, "status": payment.status.value}
    return repeated(body) if outcome.repeated else accepted(body)


# --- agents -----------------------------------------------------------------------------------


@routes.route("GET", "/agents", roles=COUNTS, query=LIST, answers={200: Listed[AgentShape]})
def list_agents(call: Call[None]) -> Answer:
    """List the agents, and how each stands."""
    return listed(call.wiring.keep_agents.all(call.limit, call.cursor), call.shapes.agent)


@routes.route("GET", "/agents/{agent_id}", roles=COUNTS, answers={200: AgentShape})
def show_agent(call: Call[None]) -> Answer:
    """Show how an agent stands."""
    return ok(call.shapes.agent(call.wiring.keep_agents.get(call.path["agent_id"])))


@routes.route(
    "PUT",
    "/agents/{agent_id}",
    roles=(Role.ADMIN,),
    body=AgentTermsBody,
    answers={200: AgentShape},
    problems=("invalid_amount", "version_conflict"),
)
def set_agent_terms(call: Call[AgentTermsBody]) -> Answer:
    """Give an agent a float limit and a commission.

    The id is that of the member of staff, without dashes.
    """
    body = call.body
    share = Fraction(body.commission_percent) / 100
    if share > 1:
        raise FieldError("commission_percent", "must be at most 100")
    agent_id = call.path["agent_id"]
    if not (agent_id.isascii() and agent_id.isalnum()):
        raise FieldError("agent_id", "must be letters and digits")
    after = call.wiring.keep_agents.set_terms(
        agent_id,
        email=body.email,
        float_limit_minor=call.amounts.read_if_given(body.float_limit, "float_limit"),
        commission_share=share,
        actor=call.actor,
        reason=body.reason,
    )
    return ok(call.shapes.agent(after))


@routes.route(
    "POST",
    "/agents/{agent_id}/receipts",
    roles=(Role.OFFICE, Role.OPERATIONS),
    body=ReceiptBody,
    idempotent=True,
    answers={201: AgentEntryShape, 200: AgentEntryShape},
    problems=("invalid_amount", "reference_conflict", "version_conflict"),
)
def receive_from_agent(call: Call[ReceiptBody]) -> Answer:
    """Note that an agent has handed in cash, and what of their commission they kept."""
    body = call.body
    entry, made_before = call.wiring.keep_agents.receive(
        call.path["agent_id"],
        cash_minor=call.amounts.read_or_zero(body.cash, "cash"),
        commission_paid_minor=call.amounts.read_or_zero(body.commission, "commission"),
        key=call.idempotency_key,
        actor=call.actor,
        reason=body.reason,
    )
    shown = call.shapes.agent_entry(entry)
    return repeated(shown) if made_before else created(shown)


@routes.route(
    "GET",
    "/agents/{agent_id}/entries",
    roles=COUNTS,
    query=LIST,
    answers={200: Listed[AgentEntryShape]},
)
def list_agent_entries(call: Call[None]) -> Answer:
    """List what was done about an agent, the newest first."""
    page = call.wiring.keep_agents.entries(call.path["agent_id"], call.limit, call.cursor)
    return listed(page, call.shapes.agent_entry)
