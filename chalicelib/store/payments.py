"""Payments, and the transaction that settles one.

Counted in requests and write units (items up to 1,024 bytes, indexes included): ``create`` 1 and
3, ``view_for_settlement`` 1 and 0, ``settle`` 1 and 4 (5 when it gives a final status), ``lease``
1 and 1, ``save`` 1 and 1 (2 when it gives a final status). So ``check_at`` is left alone between
accept and the final status, except by the sweeper: each move of it costs two units more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path
from pynamodb.expressions.update import Action

from chalicelib.domain.account import Account
from chalicelib.domain.payment import Payment, Status, VendState
from chalicelib.domain.plan import Plan
from chalicelib.services.ports import (
    AlreadyThere,
    ConditionFailed,
    Page,
    SettlementView,
    VersionConflict,
)
from chalicelib.store.attributes import MomentAttribute
from chalicelib.store.connection import Table
from chalicelib.store.cursors import Listing, decoded, encoded
from chalicelib.store.dynamodb import (
    BATCH_MAX,
    ConditionUnmet,
    find,
    find_all,
    put,
    reading,
    writing,
)
from chalicelib.store.models import (
    OPEN_SHARDS,
    AccountRow,
    DeviceRow,
    EndedPlanRow,
    GuardRow,
    PaymentRow,
    open_shard,
)
from chalicelib.store.transaction import Transaction, WritesRefused

_BY_OWNER = Listing(
    "payments/owner",
    PaymentRow.by_owner.query,
    PaymentRow.owner,
    (PaymentRow.received_at, PaymentRow.payment_id),
)
_BY_STATUS = "payments/status"
_LEASABLE = (VendState.INTENDED, VendState.REFUSED)
_WITH_VENDS_UNDER_WAY = (Status.VENDING, Status.HELD, Status.REFUNDING)


class DynamoPayments:
    """The port ``Payments`` on DynamoDB."""

    def create(self, payment: Payment) -> None:
        """Store a new payment; the present one comes back in the same request if the id is taken.

        Raises:
            AlreadyThere, TryAgain, OutcomeUnknown: see there.
        """
        try:
            put(PaymentRow.of(payment), PaymentRow.payment_id.does_not_exist())
        except ConditionUnmet as unmet:
            existing = PaymentRow.from_raw_data(dict(unmet.found))
            raise AlreadyThere(_payment(existing)) from unmet

    def get(self, payment_id: str) -> Payment | None:
        """The payment as it stands, read consistently."""
        row = find(PaymentRow, payment_id)
        return _payment(row) if row else None

    def save(self, payment: Payment) -> Payment:
        """Write the payment if its stored revision is still ``payment.revision``.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = next_revision(payment)
        try:
            put(PaymentRow.of(written), unchanged(payment))
        except ConditionUnmet as unmet:
            raise VersionConflict(payment.payment_id) from unmet
        return written

    def view_for_settlement(
        self, payment_id: str, customer_id: str | None, serial_number: str
    ) -> SettlementView:
        """Payment, account and device, read consistently in one request."""
        payment = (PaymentRow, payment_id)
        device = (DeviceRow, serial_number)
        account = (AccountRow, customer_id)
        wanted = [
            payment,
            *([device] if serial_number else []),
            *([account] if customer_id else []),
        ]
        rows = {key: row.value() for key, row in find_all(*wanted).items()}
        return SettlementView(rows.get(payment), rows.get(account), rows.get(device))

    def settle(self, payment: Payment, account: Account, ended_plans: Sequence[Plan]) -> Payment:
        """Write payment, account and the plans that ended, in one transaction.

        A version made once is never made again, so a repeated request may carry the same token:
        a settlement whose answer was lost is not refused when botocore sends it again.

        Raises:
            VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = next_revision(payment)
        transaction = Transaction()
        transaction.put("payment", PaymentRow.of(written), unchanged(payment))
        transaction.put("account", AccountRow.of(account), one_version_behind(account))
        for plan in ended_plans:
            transaction.put("plan", EndedPlanRow.of(plan))
        try:
            transaction.commit(once=f"settle {payment.payment_id} {payment.revision}")
        except WritesRefused as refused:
            raise VersionConflict(refused.detail) from refused
        return written

    def receive(
        self, payment: Payment, guard: tuple[str, str], twin: Payment | None = None
    ) -> Payment:
        """Write a payment that was paid, with a guard on its receipt, in one transaction.

        With a ``twin`` that is one write more, of a payment item.

        Raises:
            ConditionFailed, VersionConflict, TryAgain, OutcomeUnknown: see there.
        """
        written = next_revision(payment)
        guard_id, held_by = guard
        transaction = Transaction()
        transaction.put("payment", PaymentRow.of(written), unchanged(payment))
        row = GuardRow(guard_id=guard_id, held_by=held_by)
        transaction.put("guard", row, GuardRow.guard_id.does_not_exist())
        if twin is not None:
            free = PaymentRow.payment_id.does_not_exist() | (
                PaymentRow.status == Status.REFUSED.value
            )
            transaction.put("twin", PaymentRow.of(twin), free)
        try:
            transaction.commit()
        except WritesRefused as refused:
            for what in ("twin", "guard"):
                if what in refused.what:
                    raise ConditionFailed(what) from refused
            raise VersionConflict(refused.detail) from refused
        return written

    def lease(
        self,
        payment_id: str,
        number: int,
        attempt: int,
        *,
        called_at: datetime,
        lease_until: datetime,
        again: bool = False,
    ) -> Payment | None:
        """Take up a vend in one conditional request; ``None`` when the condition did not hold.

        Of two workers one gets it. When the answer of a successful request is lost, nobody gets
        it: botocore's repetition finds the vend leased. That vend is found uncertain when the
        lease is over, which is slow and safe; taking the lease for one's own would not be.

        Raises:
            TryAgain, OutcomeUnknown: see there.
        """
        row = PaymentRow(payment_id=payment_id)
        states = (*_LEASABLE, VendState.UNCERTAIN) if again else _LEASABLE
        condition, actions = _taking_up(number, attempt, states)
        vend = f"vends[{number - 1}]"
        actions += [
            Path(f"{vend}.lease_until").set(MomentAttribute().serialize(lease_until)),
            Path(f"{vend}.called_at").set(MomentAttribute().serialize(called_at)),
        ]
        try:
            writing(lambda: row.update(actions, condition))
        except ConditionUnmet:
            return None
        return _payment(row)

    def known_under(self, payment_id: str) -> Payment | None:
        """The payment of that id, or the one whose receipt would make that id."""
        found = self.get(payment_id)
        if found is not None:
            return found
        guard = find(GuardRow, payment_id)
        return self.get(guard.held_by) if guard else None

    def known_under_any(self, payment_ids: Sequence[str]) -> Sequence[Payment]:
        """The payments that have one of those ids, or a receipt that would make one.

        At most 50 ids; one request, and another where a receipt was found.

        Raises:
            TryAgain: see there.
        """
        ids = dict.fromkeys(payment_ids)
        rows: Collection[Table] = find_all(
            *((PaymentRow, each) for each in ids), *((GuardRow, each) for each in ids)
        ).values()
        found = {row.payment_id: row for row in rows if isinstance(row, PaymentRow)}
        held_by = {row.held_by for row in rows if isinstance(row, GuardRow)} - found.keys()
        others = find_all(*((PaymentRow, each) for each in sorted(held_by)))
        return [_payment(row) for row in (*found.values(), *others.values())]

    def of_channel(self, channel: str, since: datetime, until: datetime) -> Iterator[Payment]:
        """All payments of a channel that we were told of from ``since`` on and before ``until``.

        A scan: half a read unit for 4 kB of the table, whatever is found.

        Raises:
            TryAgain: see there.
        """
        wanted = (PaymentRow.channel == channel) & PaymentRow.received_at.between(since, until)
        rows = PaymentRow.scan(wanted, consistent_read=False)
        while True:
            row = reading(lambda: next(rows, None))
            if row is None:
                return
            yield _payment(row)

    # --- lists --------------------------------------------------------------------------------

    def due(self, shard: int, until: datetime, limit: int) -> Sequence[str]:
        """Ids of open payments of that shard to look at by ``until``, the longest due first."""
        rows = reading(
            lambda: list(
                PaymentRow.open.query(
                    open_shard(shard), PaymentRow.check_at <= until, limit=limit, page_size=limit
                )
            )
        )
        return [row.payment_id for row in rows]

    def all_open(self, limit: int) -> Sequence[Payment]:
        """All payments without a final status: a query of each partition of the index, and a read
        of each item. A partition gives its equal part of the limit at most.

        Raises:
            TryAgain: see there.
        """
        ids = self._open_ids(limit // OPEN_SHARDS)
        return [payment for payment in self._whole(ids) if payment.check_at is not None]

    def _open_ids(self, per_shard: int | None = None) -> list[str]:
        """The ids of open payments, of every partition so many at most."""
        return [
            row.payment_id
            for shard in range(OPEN_SHARDS)
            for row in reading(
                lambda shard=shard: list(  # type: ignore[misc]
                    PaymentRow.open.query(open_shard(shard), limit=per_shard)
                )
            )
        ]

    def by_owner(self, owner: str, limit: int, cursor: str | None) -> Page[Payment]:
        """Payments of a customer id, or of ``serial#<serial>`` without one, newest first.

        Raises:
            InvalidCursor: see there.
        """
        keys, after = _BY_OWNER.part(owner, limit, cursor, scan_index_forward=False)
        return Page(self._whole([key.payment_id for key in keys]), after)

    def open(self, status: str, limit: int, cursor: str | None) -> Page[Payment]:
        """Open payments in that status, newest first.

        The index is ordered by when to look again, so all open payments are looked through:
        few at most times, for they are what is under way or needs a person.

        Raises:
            InvalidCursor: see there.
        """
        behind = tuple(decoded(_BY_STATUS, cursor, 2)) if cursor is not None else None
        places = sorted(self._places_of_open(status), reverse=True)
        if behind:
            places = [place for place in places if place < behind]
        page = places[:limit]
        after = encoded(_BY_STATUS, *page[-1]) if len(places) > limit else None
        return Page(self._whole([payment_id for _, payment_id in page]), after)

    def _places_of_open(self, status: str) -> list[tuple[str, str]]:
        """Where the open payments of that status stand in its list: ``received_at`` and id."""
        received_at = MomentAttribute()
        return [
            (received_at.serialize(payment.received_at), payment.payment_id)
            for payment in self._whole(self._open_ids())
            if payment.status == status
        ]

    def _whole(self, payment_ids: Sequence[str]) -> list[Payment]:
        """The payments of those ids, in that order."""
        payments: list[Payment] = []
        for start in range(0, len(payment_ids), BATCH_MAX):
            keys = [(PaymentRow, key) for key in payment_ids[start : start + BATCH_MAX]]
            rows = find_all(*keys)
            payments.extend(_payment(rows[key]) for key in keys if key in rows)
        return payments


def _payment(row: PaymentRow) -> Payment:
    payment: Payment = row.value()
    return payment


def _taking_up(
    number: int, attempt: int, states: Sequence[VendState]
) -> tuple[Condition, list[Action]]:
    """When attempt n of a vend may be taken up, and what that changes.

    Vend n stands at index n - 1; its number is in the condition too, so that a wrong index
    takes up nothing.
    """
    vend = f"vends[{number - 1}]"
    stored_state, attempts = Path(f"{vend}.state"), Path(f"{vend}.attempts")
    earlier_attempts = attempts.does_not_exist() if attempt == 1 else attempts == attempt - 1
    condition = (
        PaymentRow.status.is_in(*_WITH_VENDS_UNDER_WAY)
        & (Path(f"{vend}.number") == number)
        & stored_state.is_in(*(state.value for state in states))
        & earlier_attempts
    )
    actions: list[Action] = [
        PaymentRow.revision.set(PaymentRow.revision + 1),
        stored_state.set(VendState.CALLING.value),
        attempts.set(attempt),
        Path(f"{vend}.retry_at").remove(),
        Path(f"{vend}.looks").remove(),
    ]
    return condition, actions


# --- conditions that other repositories use too -------------------------------------------------


def next_revision(payment: Payment) -> Payment:
    """The payment as it is written."""
    return replace(payment, revision=payment.revision + 1)


def unchanged(payment: Payment) -> Condition:
    """That nobody has written the payment since it was read."""
    return PaymentRow.revision == payment.revision


def one_version_behind(account: Account) -> Condition:
    """That the stored account is the one from which this one was made."""
    if account.version == 1:
        return AccountRow.customer_id.does_not_exist()
    return AccountRow.version == account.version - 1
