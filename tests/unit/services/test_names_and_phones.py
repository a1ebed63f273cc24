"""Names and phone numbers in one form, whatever people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.errors import FieldError
from chalicelib.services.names import clean_name
from chalicelib.services.phones import normalise_phone, searched_phone


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Asha", "Asha"),
        ("  Asha \t Mushi\n", "Asha Mushi"),
        ("Li", "Li"),
        ("X", "X"),
        ("e\u0301ric", "\u00e9ric"),
        ("አስቴር", "አስቴር"),
        ("محمد", "محمد"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("O'Brien-Núñez", "O'Brien-Núñez"),
        ("x" * 60, "x" * 60),
    ],
)
def test_names_of_any_script_are_taken_trimmed_and_composed(text: str, name: str) -> None:
    assert clean_name(text) == name


@pytest.mark.parametrize(
    "text", ["", " ", "\n", "x" * 61, "a\u0000b", "a\u0007b", "a\u202eb", "a\ud800b", "a\ue000b"]
)
def test_a_name_that_cannot_be_read_is_refused_on_its_field(text: str) -> None:
    with pytest.raises(FieldError) as wrong:
        clean_name(text, "surname")
    assert wrong.value.field == "surname"


@given(st.text())
def test_a_clean_name_stays_as_it_is(text: str) -> None:
    try:
        name = clean_name(text)
    except FieldError:
        return
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("+254712345678", "+254712345678"),
        ("00254712345678", "+254712345678"),
        ("000254712345678", "+254712345678"),
        ("0712345678", "+254712345678"),
        ("712 345 678", "+254712345678"),
        ("+254 (712) 345-678", "+254712345678"),
        ("+254\u2013712\u00a0345 678", "+254712345678"),
        ("\uff0b254712345678", "+254712345678"),
        ("+255712345678", "+255712345678"),
        ("+44 20 7946 0958", "+442079460958"),
        ("+1 202 555 0100", "+12025550100"),
    ],
)
def test_phone_numbers_are_taken_as_people_write_them(text: str, phone: str) -> None:
    assert normalise_phone(text, "KE") == phone


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "12",
        "+12",
        "071234567",
        "07123456789",
        "+25471234567",
        "0712345678 ext 5",
        "0712-FLOWER",
        "++254712345678",
        "254+712345678",
        "+999712345678",
        "٠٧١٢٣٤٥٦٧٨x",
        "0" * 100,
    ],
)
def test_what_is_no_whole_phone_number_is_refused_on_its_field(text: str) -> None:
    with pytest.raises(FieldError) as wrong:
        normalise_phone(text, "KE", "customer.phone")
    assert wrong.value.field == "customer.phone"


@pytest.mark.parametrize("text", ["254712345678", " 254712345678", "+254712345678", "0712345678"])
def test_a_number_is_searched_with_and_without_its_plus(text: str) -> None:
    assert searched_phone(text, "KE") == "+254712345678"


def test_a_search_for_what_is_no_number_is_a_search_for_nobody() -> None:
    assert searched_phone("nobody", "KE") is None


@given(st.text(max_size=30))
def test_a_normal_phone_number_stays_as_it_is(text: str) -> None:
    phone = searched_phone(text, "KE")
    assert phone is None or normalise_phone(phone, "UG") == phone
