"""OpenPAYGO tokens, tried on a simulated device."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openpaygo import TokenType, decode_token

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError
from chalicelib.manufacturers import openpaygo
from chalicelib.services.ports import Device, RecoveryClass, SecretMissing, VendRefused
from infra.local import devices

SECRET_KEY = "bc41ec9530f6dac86b1a29ab82edc5fb"
STARTING_CODE = 516959010
TECHNICAL = {"secret_key": SECRET_KEY, "starting_code": STARTING_CODE}
SECRETS: Mapping[str, Mapping[str, Any]] = {
    "device-keys": {"current": "k1", "keys": {"k1": b64encode(bytes(32)).decode()}}
}

ISSUER = openpaygo.make("openpaygo", SECRETS.__getitem__)


def registered(serial_number: str = "SHS1", **technical: Any) -> Device:
    stored, _ = ISSUER.seal(serial_number, {**TECHNICAL, **technical})
    return Device(serial_number, Kind.SHS, "openpaygo", 1, date(2026, 1, 1), technical=stored)


PLAIN = registered()
IN_HOURS = registered(value_divider=24)
RESTRICTED = registered(restricted_digits=True)
EXTENDED = registered(extended_tokens=True)
EXTENDED_RESTRICTED = registered(extended_tokens=True, restricted_digits=True)


def time_token(device: Device, days: int, count: int) -> tuple[int, str]:
    issued = ISSUER.issue(device, VendKind.TIME, Fraction(days), count)
    return issued.count, issued.value


@dataclass
class SimulatedDevice:
    """What a customer holds in hands: it takes tokens and remembers them."""

    divider: int = 1
    restricted: bool = False
    count: int = 1
    used: list[int] = field(default_factory=lambda: [1])
    days: Fraction = Fraction(0)
    unlocked: bool = False

    def type_in(self, token: str) -> bool:
        value, kind, count, used = decode_token(
            token=token,
            secret_key=SECRET_KEY,
            count=self.count,
            used_counts=self.used,
            starting_code=STARTING_CODE,
            restricted_digit_set=self.restricted,
        )
        if value is None:
            return False
        self.count, self.used = max(self.count, count), used
        if kind == TokenType.ADD_TIME:
            self.days += Fraction(int(value), self.divider)
        self.unlocked = self.unlocked or kind == TokenType.DISABLE_PAYG
        return True


# --- as data ------------------------------------------------------------------------------------


def test_the_manufacturers_are_stated_as_data():
    shs, e_bike = openpaygo.MANUFACTURERS
    assert (shs.key, shs.manufacturer_id, shs.kind) == ("openpaygo", 1, Kind.SHS)
    assert (e_bike.key, e_bike.manufacturer_id, e_bike.kind) == ("openpaygo_ebike", 2, Kind.E_BIKE)
    for manufacturer in openpaygo.MANUFACTURERS:
        assert manufacturer.local
        assert manufacturer.technical_required
        assert manufacturer.recovery is RecoveryClass.REPEATABLE
        assert set(manufacturer.rules) == {
            VendKind.TIME,
            VendKind.UNLOCK,
            VendKind.LOCK,
            VendKind.RESET,
            VendKind.SYNC,
        }
        assert openpaygo.make(manufacturer.key, SECRETS.__getitem__).manufacturer is manufacturer


def test_listing_manufacturers_loads_neither_the_library_nor_the_ciphers():
    code = (
        "import sys; from chalicelib.manufacturers import calin, openpaygo, sealing;"
        "print([m for m in ('openpaygo', 'cryptography', 'siphash') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


# --- tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "kind", "days", "count", "token"),
    [
        (PLAIN, VendKind.TIME, 30, 1, (2, "969583040")),
        (PLAIN, VendKind.TIME, 30, 0, (2, "969583040")),
        (PLAIN, VendKind.TIME, 30, 2, (4, "613187040")),
        (PLAIN, VendKind.TIME, 30, 4, (6, "120540040")),
        (PLAIN, VendKind.TIME, 30, 6, (8, "424553040")),
        (PLAIN, VendKind.TIME, 30, 8, (10, "286857040")),
        (PLAIN, VendKind.TIME, 30, 10, (12, "973908040")),
        (IN_HOURS, VendKind.TIME, 30, 1, (2, "730673730")),
        (RESTRICTED, VendKind.TIME, 30, 1, (2, "432413333324111")),
        (PLAIN, VendKind.TIME, 1, 1, (2, "588224011")),
        (PLAIN, VendKind.TIME, 2, 1, (2, "639704012")),
        (RESTRICTED, VendKind.TIME, 1, 1, (2, "314114432231134")),
        (PLAIN, VendKind.UNLOCK, None, 1, (3, "190942008")),
        (PLAIN, VendKind.UNLOCK, None, 2, (3, "190942008")),
        (EXTENDED, VendKind.TIME, 30, 1, (2, "948847959040")),
        (EXTENDED, VendKind.TIME, 1, 1, (2, "247264959011")),
        (EXTENDED_RESTRICTED, VendKind.TIME, 30, 1, (2, "42414334344342411111")),
        (EXTENDED_RESTRICTED, VendKind.TIME, 1, 1, (2, "14323213131442331314")),
        (PLAIN, VendKind.RESET, 30, 1, (3, "852394040")),
        (PLAIN, VendKind.RESET, 30, 2, (3, "852394040")),
        (PLAIN, VendKind.RESET, 0, 2, (3, "772522010")),
        (PLAIN, VendKind.LOCK, None, 2, (3, "772522010")),
        (PLAIN, VendKind.SYNC, None, 1, (3, "160440009")),
        (EXTENDED, VendKind.UNLOCK, None, 1, (3, "190942008")),
        (EXTENDED, VendKind.LOCK, None, 1, (3, "772522010")),
        (EXTENDED, VendKind.SYNC, None, 1, (3, "160440009")),
    ],
)
def test_known_tokens_come_out(
    device: Device, kind: VendKind, days: int | None, count: int, token: tuple[int, str]
):
    units = None if days is None else Fraction(days)
    issued = ISSUER.issue(device, kind, units, count)
    assert (issued.count, issued.value) == token


def test_leading_zeros_are_part_of_a_token():
    tokens = [time_token(PLAIN, 1, count)[1] for count in range(0, 200, 2)]
    assert any(token.startswith("0") for token in tokens)
    assert all(len(token) == 9 for token in tokens)


def test_the_same_count_always_gives_the_same_token_also_after_sealing_anew():
    assert time_token(PLAIN, 7, 11) == time_token(registered(), 7, 11)


purchases = st.lists(st.integers(1, 995) | st.none(), min_size=1, max_size=25)


@given(purchases, st.sampled_from([(PLAIN, 1, False), (RESTRICTED, 1, True)]), st.integers(0, 9))
@example([995, 1, None, 7], (PLAIN, 1, False), 1)
def test_a_device_takes_every_token_once_in_the_order_of_payment(
    bought: list[int | None], kind_of_device: tuple[Device, int, bool], count: int
):
    device, divider, restricted = kind_of_device
    simulated = SimulatedDevice(divider, restricted, count=count, used=[count])
    for days in bought:
        kind = VendKind.UNLOCK if days is None else VendKind.TIME
        before = simulated.days
        issued = ISSUER.issue(device, kind, None if days is None else Fraction(days), count)
        assert issued.count > count
        assert simulated.type_in(issued.value)
        assert not simulated.type_in(issued.value)
        assert simulated.days - before == (days or 0)
        count = issued.count
    assert simulated.unlocked == (None in bought)


FORMS = [
    {},
    {"restricted_digits": True},
    {"extended_tokens": True},
    {"extended_tokens": True, "restricted_digits": True},
]
acts = st.lists(
    st.tuples(
        st.sampled_from([VendKind.TIME, VendKind.RESET, VendKind.LOCK, VendKind.SYNC]),
        st.integers(1, 995),
    ),
    max_size=12,
)


@given(acts, st.sampled_from(FORMS))
def test_whatever_is_done_to_a_device_its_days_are_those_that_were_meant(
    done: list[tuple[VendKind, int]], form: dict[str, bool]
):
    """Typed in as they were made, each token counts once, and what it sets replaces the rest."""
    device = registered(**form)
    held = devices.SimulatedDevice("SHS1", SECRET_KEY, STARTING_CODE, **form)  # type: ignore[arg-type]
    days, count = 0, 1
    for kind, number in done:
        with_days = kind in (VendKind.TIME, VendKind.RESET)
        issued = ISSUER.issue(device, kind, Fraction(number) if with_days else None, count)
        assert held.type_in(issued.value) is not devices.Outcome.WRONG
        days = {VendKind.TIME: days + number, VendKind.RESET: number, VendKind.LOCK: 0}.get(
            kind, days
        )
        assert held.days == days
        if kind is VendKind.TIME:
            assert held.type_in(issued.value) is devices.Outcome.USED_BEFORE
        count = issued.count
    issued = ISSUER.issue(device, VendKind.UNLOCK, None, count)
    assert held.type_in(issued.value) is devices.Outcome.UNLOCKED


def test_an_extended_token_carries_more_days_than_a_standard_one():
    for device, most in (
        (EXTENDED, 999_999),
        (registered(extended_tokens=True, value_divider=24), 41_666),
    ):
        for kind in (VendKind.TIME, VendKind.RESET):
            assert ISSUER.rules(device, kind).units_max == most
            ISSUER.issue(device, kind, Fraction(most), 1)
            with pytest.raises(VendRefused):
                ISSUER.issue(device, kind, Fraction(most + 1), 1)
    held = devices.SimulatedDevice("SHS1", SECRET_KEY, STARTING_CODE, extended_tokens=True)
    held.type_in(time_token(EXTENDED, 5000, 1)[1])
    assert held.days == 5000


def test_after_the_time_was_set_older_tokens_are_worthless():
    count, older = time_token(PLAIN, 30, 1)
    reset = ISSUER.issue(PLAIN, VendKind.RESET, Fraction(3), count)
    held = devices.SimulatedDevice("SHS1", SECRET_KEY, STARTING_CODE)
    assert held.type_in(reset.value) is devices.Outcome.DAYS_SET
    assert held.type_in(older) is devices.Outcome.USED_BEFORE
    assert held.days == 3
    assert held.type_in(time_token(PLAIN, 7, reset.count)[1]) is devices.Outcome.DAYS_ADDED
    assert held.days == 10


def test_a_device_that_has_missed_too_many_tokens_is_brought_to_our_count():
    count = 90
    assert (
        devices.SimulatedDevice("SHS1", SECRET_KEY, STARTING_CODE).type_in(
            time_token(PLAIN, 7, count)[1]
        )
        is devices.Outcome.WRONG
    )
    held = devices.SimulatedDevice("SHS1", SECRET_KEY, STARTING_CODE)
    sync = ISSUER.issue(PLAIN, VendKind.SYNC, None, count)
    assert held.type_in(sync.value) is devices.Outcome.COUNT_SET
    assert held.type_in(time_token(PLAIN, 7, sync.count)[1]) is devices.Outcome.DAYS_ADDED
    assert held.days == 7


def test_a_wrong_extended_token_is_only_wrong():
    held = devices.SimulatedDevice("SHS1", SECRET_KEY, STARTING_CODE, extended_tokens=True)
    assert held.type_in("123456789012") is devices.Outcome.WRONG


@pytest.mark.parametrize("units", [None, Fraction(-1), Fraction(1, 2), Fraction(996)])
def test_days_that_no_token_can_set_make_none(units: Fraction | None):
    if units is None:  # nothing is left: it is set to nothing
        assert ISSUER.issue(PLAIN, VendKind.RESET, None, 2).value == "772522010"
        return
    with pytest.raises(VendRefused):
        ISSUER.issue(PLAIN, VendKind.RESET, units, 2)


def test_a_device_takes_the_tokens_of_one_payment_in_any_order():
    counts_and_tokens = [time_token(PLAIN, 10, count) for count in (1, 2, 4, 6, 8)]
    simulated = SimulatedDevice()
    for _, token in reversed(counts_and_tokens):
        assert simulated.type_in(token)
    assert simulated.days == 50


def test_a_device_that_missed_thirty_one_tokens_takes_the_next():
    count, token = 0, ""
    for _ in range(32):
        count, token = time_token(PLAIN, 1, count)
    assert SimulatedDevice(count=0, used=[0]).type_in(token)


def test_a_device_that_counts_in_hours_gets_whole_days():
    simulated = SimulatedDevice(divider=24)
    assert simulated.type_in(time_token(IN_HOURS, 41, 1)[1])
    assert simulated.days == 41


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("divider", "days_max"), [(1, 995), (2, 497), (24, 41), (497, 2), (498, 1), (995, 1)]
)
def test_a_token_holds_as_many_days_as_the_divider_leaves_room_for(divider: int, days_max: int):
    device = registered(value_divider=divider)
    rules = ISSUER.rules(device, VendKind.TIME)
    assert (rules.step, rules.units_max) == (1, days_max)
    assert time_token(device, days_max, 1)[0] == 2
    with pytest.raises(VendRefused) as refused:
        time_token(device, days_max + 1, 1)
    assert refused.value.code == "units_out_of_range"


@pytest.mark.parametrize("units", [None, Fraction(0), Fraction(-1), Fraction(1, 2), Fraction(996)])
def test_a_number_of_days_that_no_token_can_hold_makes_none(units: Fraction | None):
    with pytest.raises(VendRefused) as refused:
        ISSUER.issue(PLAIN, VendKind.TIME, units, 1)
    assert refused.value.code == "units_out_of_range"


def test_energy_is_not_on_offer():
    with pytest.raises(VendRefused) as refused:
        ISSUER.issue(PLAIN, VendKind.ENERGY, Fraction(1), 1)
    assert refused.value.code == "not_offered"


@pytest.mark.parametrize("count", [-1, 100_001])
def test_a_count_beyond_all_reason_makes_no_token(count: int):
    with pytest.raises(VendRefused) as refused:
        time_token(PLAIN, 1, count)
    assert refused.value.code == "count_out_of_range"


def test_an_unlock_has_no_limit():
    assert ISSUER.rules(PLAIN, VendKind.UNLOCK).units_max is None


def test_a_device_registered_without_its_key_has_rules_but_gets_no_token():
    device = Device("SHS1", Kind.SHS, "openpaygo", 1, date(2026, 1, 1))
    assert ISSUER.rules(device, VendKind.TIME).units_max == 995
    with pytest.raises(VendRefused) as refused:
        time_token(device, 1, 1)
    assert refused.value.code == "no_key"


def test_a_key_copied_from_another_device_makes_no_token():
    copied = Device("SHS2", Kind.SHS, "openpaygo", 1, date(2026, 1, 1), technical=PLAIN.technical)
    with pytest.raises(VendRefused) as refused:
        time_token(copied, 1, 1)
    assert refused.value.code == "seal_broken"


def test_without_the_sealing_key_a_token_has_to_wait():
    issuer = openpaygo.make("openpaygo", lambda name: {"current": "k2", "keys": {}})
    with pytest.raises(SecretMissing):
        issuer.issue(PLAIN, VendKind.TIME, Fraction(1), 1)


@pytest.mark.parametrize(
    "answer", [(2, "12345678"), (2, "1234567890"), (1, "123456789"), (2, "x" * 9)]
)
def test_whatever_the_library_makes_is_checked(
    monkeypatch: pytest.MonkeyPatch, answer: tuple[int, str]
):
    monkeypatch.setattr("openpaygo.generate_token", lambda **_: answer)
    with pytest.raises(VendRefused) as refused:
        time_token(PLAIN, 1, 1)
    assert refused.value.code == "token_malformed"


# --- what an operator enters ----------------------------------------------------------------------


def test_only_what_is_unusual_is_stored_and_the_key_only_sealed():
    stored, count = ISSUER.seal("SHS1", TECHNICAL)
    assert set(stored) == {"sealed_key", "starting_code"}
    assert count == 1
    assert SECRET_KEY not in str(stored)
    unusual = {**TECHNICAL, "value_divider": 24, "restricted_digits": True, "count": 40}
    stored, count = ISSUER.seal("SHS1", unusual)
    assert (stored["value_divider"], stored["restricted_digits"], count) == (24, True, 40)
    assert "count" not in stored


def test_what_is_stored_for_a_device_is_small():
    stored, _ = ISSUER.seal("SHS1", {**TECHNICAL, "value_divider": 24, "restricted_digits": True})
    assert len(str(stored)) < 200


def test_numbers_may_be_typed_as_text_and_the_key_in_any_case():
    typed = {"secret_key": SECRET_KEY.upper(), "starting_code": "516959010", "count": "1"}
    stored, count = ISSUER.seal("SHS1", typed)
    device = Device("SHS1", Kind.SHS, "openpaygo", 1, date(2026, 1, 1), technical=stored)
    assert time_token(device, 30, count) == (2, "969583040")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret_key", None),
        ("secret_key", ""),
        ("secret_key", SECRET_KEY[:-1]),
        ("secret_key", SECRET_KEY + "0"),
        ("secret_key", SECRET_KEY[:-1] + "g"),
        ("secret_key", SECRET_KEY[:-1] + "\n"),
        ("secret_key", 1),
        ("starting_code", None),
        ("starting_code", 0),
        ("starting_code", -1),
        ("starting_code", 1_000_000_000),
        ("starting_code", True),
        ("starting_code", 1.5),
        ("starting_code", "x"),
        ("starting_code", "1234567890"),
        ("starting_code", "٣"),
        ("value_divider", 0),
        ("value_divider", 996),
        ("value_divider", "1.5"),
        ("restricted_digits", "yes"),
        ("restricted_digits", 1),
        ("count", -1),
        ("count", 100_001),
        ("count", False),
        ("sealed_key", "k1.AAAA"),
        ("key", SECRET_KEY),
    ],
)
def test_a_wrong_field_is_named(name: str, value: object):
    with pytest.raises(FieldError) as error:
        ISSUER.seal("SHS1", {**TECHNICAL, name: value})
    assert error.value.field == f"technical.{name}"
    assert SECRET_KEY not in str(error.value)


@pytest.mark.parametrize("name", ["secret_key", "starting_code"])
def test_key_and_starting_code_are_required(name: str):
    with pytest.raises(FieldError) as error:
        ISSUER.seal("SHS1", {k: v for k, v in TECHNICAL.items() if k != name})
    assert error.value.field == f"technical.{name}"
