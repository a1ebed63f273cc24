"""Sealed keys of devices."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.manufacturers.sealing import SealBroken, Seals
from chalicelib.services.ports import SecretMissing

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
KEYS = {"k1": b64encode(OLD).decode(), "k2": b64encode(NEW).decode()}


def seals(content: Mapping[str, Any]) -> Seals:
    return Seals({"device-keys": content}.__getitem__)


BEFORE = seals({"current": "k1", "keys": {"k1": KEYS["k1"]}})
DURING = seals({"current": "k2", "keys": KEYS})
AFTER = seals({"current": "k2", "keys": {"k2": KEYS["k2"]}})


@given(st.text(max_size=60), st.text(alphabet="ABC123./_", min_size=1, max_size=40))
def test_what_was_sealed_for_a_device_opens_for_it(text: str, serial_number: str):
    assert DURING.open(DURING.seal(text, serial_number), serial_number) == text


def test_a_sealed_text_is_aes_gcm_with_the_serial_as_associated_data():
    key_id, _, text = BEFORE.seal("the key", "SN1").partition(".")
    raw = urlsafe_b64decode(text)
    assert key_id == "k1"
    assert AESGCM(OLD).decrypt(raw[:12], raw[12:], b"SN1") == b"the key"


def test_two_seals_of_one_text_differ():
    assert BEFORE.seal("the key", "SN1") != BEFORE.seal("the key", "SN1")


def test_a_text_sealed_for_another_device_does_not_open():
    with pytest.raises(SealBroken):
        BEFORE.open(BEFORE.seal("the key", "SN1"), "SN2")


def test_while_a_key_is_replaced_both_open_and_the_new_one_seals():
    sealed_before = BEFORE.seal("the key", "SN1")
    assert DURING.open(sealed_before, "SN1") == "the key"
    assert AFTER.open(DURING.seal("the key", "SN1"), "SN1") == "the key"


def test_a_text_whose_key_is_gone_waits_for_the_key():
    with pytest.raises(SecretMissing):
        AFTER.open(BEFORE.seal("the key", "SN1"), "SN1")


def test_no_changed_byte_goes_unnoticed():
    key_id, _, text = BEFORE.seal("the key", "SN1").partition(".")
    raw = urlsafe_b64decode(text)
    for position in range(len(raw)):
        changed = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(SealBroken):
            BEFORE.open(f"{key_id}.{urlsafe_b64encode(changed).decode()}", "SN1")


@pytest.mark.parametrize("sealed", ["k1.", "k1.AAAA", "k1.é", "k1.AAAAAAAAAAAAAAAAAAAAA", "k1"])
def test_a_text_that_was_never_sealed_is_broken(sealed: str):
    with pytest.raises(SealBroken):
        BEFORE.open(sealed, "SN1")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"current": "k1"},
        {"current": "k1", "keys": []},
        {"current": "k1", "keys": {}},
        {"current": "k1", "keys": {"k1": None}},
        {"current": "k1", "keys": {"k1": ""}},
        {"current": "k1", "keys": {"k1": "no base 64"}},
        {"current": "k1", "keys": {"k1": "é"}},
        {"current": "k1", "keys": {"k1": b64encode(OLD[:16]).decode()}},
        {"current": None, "keys": KEYS},
        {"current": "", "keys": {"": KEYS["k1"]}},
        {"current": "k.1", "keys": {"k.1": KEYS["k1"]}},
        {"current": 1, "keys": KEYS},
    ],
)
def test_without_a_proper_key_nothing_is_sealed(content: dict[str, Any]):
    with pytest.raises(SecretMissing):
        seals(content).seal("the key", "SN1")
