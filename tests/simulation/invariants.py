"""What must be true of a world that has come to rest, whatever has happened to its functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.books import OpenedPlan, check_books, postings_of
from chalicelib.domain.payment import (
    FINAL,
    Payment,
    RefundState,
    Status,
    VendState,
    messages_due,
)
from chalicelib.domain.plan import Plan
from chalicelib.services.entries import posting_of
from chalicelib.services.ports import MessageState
from chalicelib.store.models import EndedPlanRow
from tests.simulation.world import World

REFUNDED = (RefundState.ACCEPTED, RefundState.DONE)
LOCAL = ("openpaygo", "openpaygo_ebike")
SEARCHABLE = ("calin_smart", "sparkmeter")


def wrong(world: World) -> list[str]:
    """Every invariant that does not hold, in words."""
    return [
        *world.defects,
        *world.restless(),
        *_ends(world),
        *_lines(world),
        *_books(world),
        *_local_tokens(world),
        *_opaque_vends(world),
        *_searchable_vends(world),
        *_absolute_vends(world),
        *_refunds(world),
        *_messages(world),
    ]


def _ends(world: World) -> Iterator[str]:
    """A payment is final, or a person knows of it."""
    for payment in world.payments():
        if payment.status not in FINAL and payment.status is not Status.HELD:
            yield f"{payment.payment_id} ends as {payment.status}"
        if (payment.check_at is None) != (payment.status in FINAL):
            yield f"{payment.payment_id} is {payment.status} and looked at {payment.check_at}"
        if payment.status is Status.HELD and payment.reason == "stuck":
            yield f"{payment.payment_id} is stuck"


def _lines(world: World) -> Iterator[str]:
    """The lines of a settled payment add up to what we keep of it; others have none."""
    for payment in world.payments():
        kept = payment.kept_minor if payment.settled_at is not None else 0
        if sum(line.amount_minor for line in payment.lines) != kept:
            yield f"the lines of {payment.payment_id} do not add up to {kept}"


def _books(world: World) -> Iterator[str]:
    """Every account is what its payments and entries say, version by version."""
    ended = {plan.plan_id: plan.paid_minor for plan in world.rows(EndedPlanRow)}
    for account in world.accounts():
        for difference in _differences(world, account, ended):
            yield f"{account.customer_id}: {difference}"


def _differences(world: World, account: Account, ended: dict[str, int]) -> list[object]:
    customer_id = account.customer_id
    entries = sorted(world.entries(customer_id), key=lambda entry: entry.account_version)
    first, *later = [posting_of(entry) for entry in entries]
    opened = tuple(map(_opened, world.sold.get(customer_id, ())))
    paid = [
        posting
        for payment in world.payments()
        if payment.customer_id == customer_id
        for posting in postings_of(payment)
    ]
    return list(check_books(account, [replace(first, opened=opened), *later, *paid], ended))


def _opened(plan: Plan) -> OpenedPlan:
    return OpenedPlan(plan.plan_id, plan.serial_number, plan.total_minor, plan.already_paid_minor)


# --- nothing is vended twice ------------------------------------------------------------------


def _tokens(world: World, *manufacturers: str) -> list[tuple[str, str | None]]:
    """The tokens that our payments say they brought, by device."""
    return [
        (token.serial_number, token.value)
        for payment in world.payments()
        for token in payment.tokens
        if payment.vend(token.vend).manufacturer in manufacturers
    ]


def _local_tokens(world: World) -> Iterator[str]:
    """A counter has moved on with each token, and no token was made twice."""
    values = Counter(_tokens(world, *LOCAL))
    yield from (f"two local tokens {value}" for value, times in values.items() if times > 1)
    counts = Counter(
        (vend.serial_number, vend.count)
        for payment in world.payments()
        for vend in payment.vends
        if vend.count is not None
    )
    yield from (f"the counter stood twice at {at}" for at, times in counts.items() if times > 1)
    for account in world.accounts():
        for device in account.devices:
            made = [
                count for serial_number, count in counts if serial_number == device.serial_number
            ]
            if made and device.counter is not None and device.counter <= max(made):
                yield f"the counter of {device.serial_number} did not move on"


def _opaque_vends(world: World) -> Iterator[str]:
    """Calin: one vend of a payment at most, and what is stored is what was issued."""
    issued = Counter((sale.subject, sale.token) for sale in world.outside.kept.sold("calin"))
    stored = Counter(_tokens(world, "calin"))
    yield from (f"calin never issued {token}, or not so often" for token in stored - issued)
    called: Counter[str] = Counter()
    for payment in world.payments():
        of_calin = [v for v in payment.vends if v.manufacturer == "calin" and v.attempts]
        called.update(vend.serial_number for vend in of_calin)
        no = sum(event.what == "vend_refused" for event in payment.events)
        if sum(vend.attempts - 1 for vend in of_calin) > no:
            yield f"calin was called again for {payment.payment_id}, without having said no"
    for serial_number, times in Counter(s for s, _ in issued.elements()).items():
        if times > called[serial_number]:
            yield f"calin issued {times} for {serial_number}, and we called {called[serial_number]}"


def _searchable_vends(world: World) -> Iterator[str]:
    """What was sold is what we know of, each once, under our name where there is one."""
    kept = world.outside.kept
    smart = Counter((sale.subject, sale.token) for sale in kept.sold("calin_smart"))
    if smart != Counter(_tokens(world, "calin_smart")):
        yield "the tokens of calin_smart are not those that we have"
    done = Counter(
        f"{payment.payment_id}.{vend.number}"
        for payment in world.payments()
        for vend in payment.vends
        if vend.manufacturer == "sparkmeter" and vend.state is VendState.DONE
    )
    topped_up = Counter(sale.name for sale in kept.sold("sparkmeter"))
    if topped_up != done:
        yield f"sparkmeter was topped up {dict(topped_up)}, and we know of {dict(done)}"


def _absolute_vends(world: World) -> Iterator[str]:
    """Angaza: the last word for a device is what the account says it is owed."""
    last = {sale.subject: sale.amount for sale in world.outside.kept.sold("angaza")}
    for account in world.accounts():
        for device in account.devices:
            told = last.get(device.serial_number)
            if told is None:
                continue
            paid_until = device.paid_until.isoformat() if device.paid_until else None
            owed = "UNLOCKED" if device.unlocked else paid_until
            if told != owed:
                yield f"angaza was told {told} of {device.serial_number}, which is owed {owed}"
    issued = {(sale.subject, sale.token) for sale in world.outside.kept.sold("angaza")}
    yield from (
        f"angaza never issued {token}" for token in _tokens(world, "angaza") if token not in issued
    )


# --- nothing is given back twice --------------------------------------------------------------


def _refunds(world: World) -> Iterator[str]:
    """What the provider has taken is what we gave back, each once."""
    taken = Counter((refund.note, refund.amount) for refund in world.outside.kept.refunds)
    given = Counter(
        (f"{payment.payment_id}.{refund.number}", refund.amount_minor)
        for payment in world.payments()
        for refund in payment.refunds
        if refund.state in REFUNDED
    )
    if taken != given:
        yield f"the provider gave back {dict(taken)}, and we know of {dict(given)}"


# --- nobody is left in the dark ---------------------------------------------------------------


def _messages(world: World) -> Iterator[str]:
    """Each outcome has its SMS, one that is said to be sent was, and each token is in one."""
    messages = world.messages()
    texts = set(world.outside.kept.texts)
    for message in messages:
        if message.state is MessageState.SENT and (message.payment_id, message.number) not in texts:
            yield f"SMS {message.number} of {message.payment_id} was never sent"
    for payment in world.payments():
        told = {m.number: m.body for m in messages if m.payment_id == payment.payment_id}
        yield from _untold(payment, told)


def _untold(payment: Payment, told: dict[int, str]) -> Iterator[str]:
    for number in messages_due(payment):
        if number not in told:
            yield f"nobody was told of outcome {number} of {payment.payment_id}"
    for token in payment.tokens:
        if token.value is None or token.kind is VendKind.UNLOCK:
            continue
        if token.value not in told.get(token.vend, "").replace(" ", "").replace("-", ""):
            yield f"SMS {token.vend} of {payment.payment_id} does not hold its token"
