"""Passwords as they are kept."""

from __future__ import annotations

from chalicelib.services.passwords import _NOBODYS_HASH, hashed, matches


def test_a_password_fits_its_own_hash_and_no_other_password_does() -> None:
    kept = hashed("correct horse battery")
    assert matches("correct horse battery", kept)
    assert not matches("correct horse battery ", kept)
    assert not matches("", kept)


def test_the_same_password_is_never_kept_alike() -> None:
    assert hashed("correct horse battery") != hashed("correct horse battery")


def test_a_hash_does_not_show_the_password() -> None:
    assert "horse" not in hashed("correct horse battery")


def test_passwords_of_any_script_are_told_apart() -> None:
    assert matches("nenosiri la ፀሐይ", hashed("nenosiri la ፀሐይ"))


def test_nobody_s_hash_has_the_form_of_a_hash_and_fits_nothing() -> None:
    assert len(_NOBODYS_HASH) == len(hashed("correct horse battery"))
    assert not matches("", _NOBODYS_HASH)
