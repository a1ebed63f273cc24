"""Cash: a payment that staff take by hand is theirs, once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels.cash import CHANNEL, KEY
from chalicelib.channels.staff_claims import staff_claim
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import payment_id_of
from chalicelib.services.ports import RefusalClass

KES = Currency("KES", 2)
KEYS = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
USERS = st.uuids().map(str)


def test_nobody_but_staff_reaches_it() -> None:
    assert (CHANNEL.key, CHANNEL.endpoints) == ("cash", ())
    assert CHANNEL.refusal_class is RefusalClass.WE_START
    assert not CHANNEL.can_refund and not CHANNEL.starts_payments


@given(users=st.lists(USERS, min_size=2, max_size=2, unique=True), keys=st.lists(KEYS, min_size=2))
def test_two_payments_have_one_id_only_if_staff_and_key_are_the_same(
    users: list[str], keys: list[str]
) -> None:
    made = {
        (user, key): staff_claim(
            KEY, user, key, amount_minor=100, currency=KES, serial_number="SM 5r-1"
        )
        for user in users
        for key in keys
    }
    ids = {payment_id_of(claim.source, claim.transaction) for claim in made.values()}
    assert len(ids) == len(made)
    assert {claim.serial_number for claim in made.values()} == {"SM5R1"}
    assert all(len(payment_id) <= 100 for payment_id in ids)


def test_a_payment_for_a_plan_names_no_device() -> None:
    claim = staff_claim(KEY, "u-1", "k", amount_minor=100, currency=KES, plan_id="p-C1-x")
    assert (claim.serial_number, claim.plan_id, claim.source) == ("", "p-C1-x", "cash.u1")
