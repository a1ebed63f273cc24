"""Our values come back from DynamoDB as they went in; what is not exact does not go in."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.account import Account
from chalicelib.domain.allocation import Line
from chalicelib.domain.payment import Payment, Refund, Token, Vend
from chalicelib.domain.plan import Plan
from chalicelib.domain.tariff import AccessRate, Rate, Tariff
from chalicelib.services.ports import DeviceState
from chalicelib.store import models
from chalicelib.store.attributes import (
    AttributeValue,
    ChoiceAttribute,
    DayAttribute,
    DocumentAttribute,
    FractionAttribute,
    MinorUnitsAttribute,
    MomentAttribute,
    attributes_of,
)
from chalicelib.store.connection import Table
from tests.integration.store import examples

ROWS = [row for row in Table.__subclasses__() if row.__dict__.get("record")]


@pytest.mark.parametrize("value", [1.0, True, "1", None, Decimal(1), Fraction(1)])
def test_money_that_is_not_a_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        MinorUnitsAttribute().serialize(value)


@pytest.mark.parametrize("stored", ["10.5", "1e3", ""])
def test_stored_money_that_is_not_a_whole_number_is_refused_rather_than_rounded(
    stored: str,
) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        MinorUnitsAttribute().deserialize(stored)


@given(st.integers())
def test_money_of_any_size_comes_back_exactly(amount_minor: int) -> None:
    attribute = MinorUnitsAttribute()
    assert attribute.deserialize(attribute.serialize(amount_minor)) == amount_minor


@given(st.fractions())
def test_fractions_come_back_exactly(fraction: Fraction) -> None:
    attribute = FractionAttribute()
    assert attribute.deserialize(attribute.serialize(fraction)) == fraction


@pytest.mark.parametrize("value", [0.5, 1, "1/2"])
def test_only_fractions_are_stored_as_fractions(value: Any) -> None:
    with pytest.raises(TypeError):
        FractionAttribute().serialize(value)


MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(MOMENTS, MOMENTS)
def test_moments_come_back_exactly_and_their_texts_sort_as_they_do(
    one: datetime, other: datetime
) -> None:
    attribute = MomentAttribute()
    texts = [attribute.serialize(moment) for moment in (one, other)]
    assert [attribute.deserialize(text) for text in texts] == [one, other]
    assert (texts[0] < texts[1]) == (one < other)


def test_a_moment_is_stored_in_utc_whatever_its_zone() -> None:
    nairobi = timezone(timedelta(hours=3))
    moment = datetime(2026, 3, 1, 2, 0, tzinfo=nairobi)
    assert MomentAttribute().serialize(moment) == "2026-02-28T23:00:00.000000Z"


@pytest.mark.parametrize(
    "value", [examples.NOW.replace(tzinfo=None), date(2026, 3, 1), "2026-03-01T07:30:15Z"]
)
def test_a_moment_without_a_zone_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        MomentAttribute().serialize(value)


def test_a_moment_is_not_a_day() -> None:
    with pytest.raises(TypeError):
        DayAttribute().serialize(examples.NOW)


def test_a_text_that_is_none_of_the_choices_is_refused() -> None:
    with pytest.raises(ValueError, match="stolen"):
        ChoiceAttribute(DeviceState).serialize("stolen")


def test_a_document_comes_back_as_it_went_in() -> None:
    document = {
        "text": "é",
        "number": -(10**20),
        "yes": True,
        "no": False,
        "nothing": None,
        "list": [1, "two", {"three": 3}],
        "empty": {},
    }
    attribute = DocumentAttribute()
    assert attribute.deserialize(attribute.serialize(document)) == document


def test_a_document_holds_days_moments_and_fractions_as_texts() -> None:
    stored = DocumentAttribute().serialize(
        {"day": date(2026, 3, 1), "moment": examples.NOW, "part": Fraction(1, 2), "pair": (1, 2)}
    )
    assert DocumentAttribute().deserialize(stored) == {
        "day": "2026-03-01",
        "moment": "2026-03-01T07:30:15.123456Z",
        "part": "1/2",
        "pair": [1, 2],
    }


@pytest.mark.parametrize("value", [0.5, Decimal(1), b"bytes", {1, 2}])
def test_a_document_refuses_floats_and_whatever_else_is_not_plain(value: Any) -> None:
    with pytest.raises(TypeError):
        DocumentAttribute().serialize({"nested": [value]})


def test_a_field_of_an_unknown_type_has_no_attribute() -> None:
    class Strange:
        ratio: float

    with pytest.raises(TypeError):
        attributes_of(Strange)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_every_field_of_a_stored_value_has_its_attribute(row: type[Table]) -> None:
    if row is models.SiteRow:
        return  # its key is made of two fields
    missing = {field.name for field in fields(row.record)} - set(row.get_attributes())
    assert not missing - {"stored"}  # a payment's, which is how it was read


RATE = Rate(examples.LONG_AGO, Fraction(2_500, 3), AccessRate(15_000, 7), 1_000)


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (models.PaymentRow, examples.payment()),
        (models.PaymentRow, examples.completed()),
        (models.PaymentRow, examples.vending().with_event(examples.NOW, "seen", "me", "why")),
        (models.AccountRow, examples.account()),
        (models.AccountRow, Account("C1", version=1)),
        (models.EndedPlanRow, examples.SHS_PLAN),
        (models.EntryRow, examples.entry()),
        (models.DeviceRow, examples.device()),
        (models.CustomerRow, examples.customer(needs_review=("possible_duplicate",))),
        (models.TariffRow, Tariff(7, "Homes", (RATE, Rate(examples.NOW, Fraction(900))))),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)
def test_what_is_stored_comes_back_equal(row: type[Table], value: Any) -> None:
    stored = row.of(value).serialize()
    assert row.from_raw_data(stored).value() == value


def test_an_empty_document_takes_no_room_and_comes_back_empty() -> None:
    bare = examples.device(technical={})
    stored = models.DeviceRow.of(bare).serialize()
    assert "technical" not in stored
    assert models.DeviceRow.from_raw_data(stored).value() == bare


def test_what_is_empty_by_default_takes_no_room() -> None:
    stored: AttributeValue = models.PaymentRow.of(examples.payment()).serialize()
    assert not {"lines", "vends", "tokens", "events", "sweeps", "reason"} & stored.keys()


def test_a_default_that_is_not_empty_is_written() -> None:
    [meter, _] = models.AccountRow.of(examples.account()).serialize()["devices"]["L"]
    assert meter["M"]["owned"] == {"BOOL": True}


def test_a_value_that_is_empty_but_not_by_default_is_written() -> None:
    stored = models.SettingsRow.of(models.Settings(late_payment_hours=0), name="company")
    assert stored.serialize()["late_payment_hours"] == {"N": "0"}


def test_no_stored_dataclass_has_a_float() -> None:
    for record in (Line, Vend, Token, Refund, Account, Plan, Tariff):
        attributes_of(record)  # raises where there is no exact attribute
    assert float not in get_type_hints(Payment).values()
