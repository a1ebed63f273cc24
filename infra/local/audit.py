"""Proves the books of a local cloud from its tables alone, in two ways that know nothing of
each other.

:func:`domain.books.check_books <chalicelib.domain.books.check_books>` compares every account
with what its payments and entries posted. Beside it, this module numbers the changes and adds the
money up itself, from the raw items: it shares no code with what wrote them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from chalicelib.domain.books import (
    Posting,
    check_books,
    check_unposted,
    plans_that_ended,
    postings_of,
)
from chalicelib.services.entries import posting_of
from chalicelib.store.models import AccountRow, EndedPlanRow, EntryRow, PaymentRow
from infra.local.client import Cloud

Item = dict[str, Any]


@dataclass(frozen=True)
class CustomerBooks:
    """What was found about one customer. ``differences`` is empty where all is right."""

    customer_id: str
    version: int
    payments: int
    entries: int
    differences: list[str]


@dataclass(frozen=True)
class Audit:
    """What was found about the company. Sums are in minor units.

    ``money_in_minor`` came in by payments that were settled. ``money_went_minor`` says where it
    is, by what it became; what the company gave without a payment (free credit, fees written
    off) is in there too, and so stands against it below zero.
    """

    customers: list[CustomerBooks]
    money_in_minor: int
    money_went_minor: Mapping[str, Fraction]

    @property
    def money_somewhere_minor(self) -> Fraction:
        """What is accounted for; it must be what came in."""
        return sum(self.money_went_minor.values(), Fraction(0))


@dataclass(frozen=True)
class _Tables:
    """The raw items of the tables that hold money, in DynamoDB's own form."""

    accounts: list[Item]
    payments: list[Item]
    entries: list[Item]
    ended_plans: list[Item]


def audit(cloud: Cloud) -> Audit:
    """Read the tables, and prove what is in them."""
    tables = _Tables(*(_read(cloud, name) for name in _Tables.__dataclass_fields__))
    plain = _Tables(
        *([_plain(item) for item in getattr(tables, n)] for n in _Tables.__dataclass_fields__)
    )
    customers = [
        _customer_books(raw, account, tables, plain)
        for raw, account in zip(tables.accounts, plain.accounts, strict=True)
    ]
    return Audit(
        customers=sorted(customers, key=lambda books: books.customer_id),
        money_in_minor=sum(payment["amount_minor"] for payment in _settled(plain.payments)),
        money_went_minor=_money_went(plain),
    )


def _read(cloud: Cloud, table: str) -> list[Item]:
    """All items of a table. Tools may scan; nothing that answers a request does."""
    pages = cloud.aws("dynamodb").get_paginator("scan")
    name = cloud.stack["tables"][table]
    return [
        item
        for page in pages.paginate(TableName=name, ConsistentRead=True)
        for item in page["Items"]
    ]


def _plain(item: Item) -> Item:
    deserialize = TypeDeserializer().deserialize
    return {name: _whole(deserialize(value)) for name, value in item.items()}


def _whole(value: Any) -> Any:
    """Numbers of the tables are whole; anything else in a book of money is a mistake."""
    if isinstance(value, dict):
        return {name: _whole(content) for name, content in value.items()}
    if isinstance(value, list):
        return [_whole(content) for content in value]
    if hasattr(value, "is_integer") and not isinstance(value, int):
        raise TypeError(f"{value} is not a whole number")
    if hasattr(value, "as_integer_ratio") and not isinstance(value, bool):
        numerator, denominator = value.as_integer_ratio()
        if denominator != 1:
            raise TypeError(f"{value} is not a whole number")
        return numerator
    return value


# --- the money, added up from the raw items -------------------------------------------------


def _settled(payments: list[Item]) -> list[Item]:
    """The payments whose money is in an account. Those that carry the vend of an entry are of
    nothing, and are in none."""
    return [payment for payment in payments if payment.get("account_versions")]


def _given_back(payment: Item) -> int:
    """What went back to the payer, or is on its way, or nobody knows. Void refunds did not."""
    refunds = payment.get("refunds", ())
    return sum(refund["amount_minor"] for refund in refunds if refund["state"] != "void")


def _from_outside(entry: Item) -> Fraction:
    """What an entry brought into the account from nowhere in it: below zero where it took out.

    Money that it only moved (a carry or a cancelled plan's money that became credit) adds up to
    nothing.
    """
    changes = entry.get("changes", {})
    moved = (*changes.get("lines", ()), *changes.get("carries", ()))
    return _sum(each["amount_minor"] for each in moved)


def _money_went(tables: _Tables) -> dict[str, Fraction]:
    """Where all the money is, by what it became."""
    devices = [device for account in tables.accounts for device in account.get("devices", ())]
    vends = [vend for payment in tables.payments for vend in payment.get("vends", ())]
    plans = [plan for account in tables.accounts for plan in account.get("plans", ())]
    from_outside = [_from_outside(entry) for entry in tables.entries]
    return {
        "paid off appliances, solar home systems and e-bikes": _sum(
            plan.get("paid_minor", 0) - plan.get("already_paid_minor", 0)
            for plan in (*plans, *tables.ended_plans)
        ),
        "paid access rates": _sum(device.get("fees_paid_minor", 0) for device in devices)
        + _fees_of_devices_that_left(tables),
        "was spent on energy": _sum(
            vend.get("cost_minor", 0) for vend in vends if not vend.get("closed")
        ),
        "is carried on meters until it buys a step": _sum(
            device.get("carry_minor", 0) for device in devices
        ),
        "is credit": _sum(account.get("credit_minor", 0) for account in tables.accounts),
        "was given back to payers": _sum(map(_given_back, _settled(tables.payments))),
        "was given back from credit": -_sum(amount for amount in from_outside if amount < 0),
        "was given by the company, not paid": -_sum(a for a in from_outside if a > 0),
    }


def _fees_of_devices_that_left(tables: _Tables) -> Fraction:
    """Fees that former owners paid: their accounts have forgotten the device since."""
    left_at = {
        (entry["customer_id"], serial_number): entry["account_version"]
        for entry in sorted(tables.entries, key=lambda entry: entry["account_version"])
        for serial_number in entry.get("changes", {}).get("dropped", ())
    }
    lines = [
        (payment["customer_id"], payment["account_versions"][0], line)
        for payment in _settled(tables.payments)
        for line in payment["lines"]
    ]
    lines += [
        (entry["customer_id"], entry["account_version"], line)
        for entry in tables.entries
        for line in entry.get("changes", {}).get("lines", ())
    ]
    return _sum(
        line["amount_minor"]
        for customer_id, version, line in lines
        if line["kind"] == "access_rate" and version < left_at.get((customer_id, line["ref"]), 0)
    )


def _sum(sums: Iterable[int | str | Fraction]) -> Fraction:
    """Sums are whole numbers, or exact fractions as text."""
    return sum((Fraction(each) for each in sums), Fraction(0))


# --- one customer's books -------------------------------------------------------------------


def _customer_books(raw: Item, account: Item, tables: _Tables, plain: _Tables) -> CustomerBooks:
    customer_id = account["customer_id"]
    payments = [p for p in plain.payments if p.get("customer_id") == customer_id]
    settled = _settled(payments)
    entries = [entry for entry in plain.entries if entry["customer_id"] == customer_id]
    return CustomerBooks(
        customer_id=customer_id,
        version=account["version"],
        payments=len(settled),
        entries=len(entries),
        differences=[
            *_unexplained_versions(account["version"], settled, entries),
            *_lines_that_do_not_add_up(payments),
            *_nothing_paid_for_nothing(payments, entries),
            *_told_by_the_domain(raw, customer_id, tables),
        ],
    )


def _unexplained_versions(version: int, payments: list[Item], entries: list[Item]) -> list[str]:
    """The numbers that no payment and no entry explains, or more than one."""
    explained = Counter(number for p in payments for number in p["account_versions"])
    explained.update(entry["account_version"] for entry in entries)
    numbers = sorted({*range(1, version + 1), *explained})
    return [
        f"version {number} of {version} is explained {explained[number]} times"
        for number in numbers
        if explained[number] != 1 or number > version
    ]


def _lines_that_do_not_add_up(payments: list[Item]) -> list[str]:
    """What is kept of a settled payment is split without a rest; of another, nothing is split."""
    return [
        f"the lines of {payment['payment_id']} do not add up to its amount"
        for payment in payments
        if sum(line["amount_minor"] for line in payment.get("lines", ()))
        != (payment["amount_minor"] - _given_back(payment) if _settled([payment]) else 0)
    ]


def _nothing_paid_for_nothing(payments: list[Item], entries: list[Item]) -> list[str]:
    """A payment of nothing carries the vend of an entry: there is that entry, and no money."""
    named = {f"entry-{entry['customer_id']}.{entry['account_version']}" for entry in entries}
    return [
        f"{payment['payment_id']} is of no entry, or of money"
        for payment in payments
        if payment["channel"] == "entry"
        and (payment["amount_minor"] != 0 or payment["payment_id"] not in named)
    ]


def _told_by_the_domain(raw: Item, customer_id: str, tables: _Tables) -> list[str]:
    """The differences that the books of the domain find."""
    owner = {"S": customer_id}
    postings: list[Posting] = []
    payments = [
        PaymentRow.from_raw_data(item).value()
        for item in tables.payments
        if item.get("customer_id") == owner
    ]
    for payment in payments:
        postings += postings_of(payment)
    for item in tables.entries:
        if item["customer_id"] == owner:
            postings.append(posting_of(EntryRow.from_raw_data(item).value()))
    account = AccountRow.from_raw_data(raw).value()
    stored = {item["plan_id"]["S"]: EndedPlanRow.from_raw_data(item) for item in tables.ended_plans}
    ended = {
        plan_id: stored[plan_id].value().paid_minor if plan_id in stored else None
        for plan_id in plans_that_ended(account, postings)
    }
    found = check_books(account, postings, ended)
    for payment in payments:
        found += check_unposted(payment)
    return [
        f"{difference.wrong} {difference.ref}: "
        f"{difference.expected} posted, {difference.found} found"
        for difference in found
    ]
