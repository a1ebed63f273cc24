"""Payment SMS: only what fits a rule is a payment, and nothing of it is proven."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels.configuration import Configuration
from chalicelib.channels.sms_parser import CHANNEL, SECRET, incoming, rules
from chalicelib.domain.errors import MwangaError
from chalicelib.services.ports import (
    ProviderAnswer,
    ProviderRequest,
    RefusalClass,
    SecretMissing,
    TryAgain,
)
from tests.unit.channels.front_desk import FrontDesk

RULE = {
    "senders": ["M-Pesa"],
    "template": "Confirmado [transaction_ref]. Recebeste [amount] de [sender_phone] [*] "
    "Conteudo: [device_serial]",
}
CONTENT: dict[str, Any] = {
    "enabled": True,
    "gateway_secrets": ["old", "new"],
    "currency": "MZN",
    "source": "mpesa_mz.sms",
    "rules": [RULE],
}
TEXT = (
    "Confirmado AB12CD34E.  Recebeste 1.250,50MT de 258841234567 - ASHA aos 8/1/26. "
    "Conteudo: sm5r-00123"
).replace("50MT", "50")


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({SECRET: CONTENT})


def sign(body: bytes, secret: str = "new") -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post(desk: FrontDesk, body: bytes, signature: str | None = None) -> ProviderAnswer:
    headers = {"X-Signature": sign(body) if signature is None else signature}
    return incoming(ProviderRequest("POST", {}, headers, body, "1.2.3.4"), desk)


def sms(desk: FrontDesk, message: str = TEXT, sender: str = "M-PESA") -> ProviderAnswer:
    return post(desk, json.dumps({"sender": sender, "message": message}).encode())


def told(answer: ProviderAnswer) -> tuple[int, str]:
    return answer.status, answer.body["status"]


# --- what it says ---------------------------------------------------------------------------------


def test_a_payment_sms_is_a_payment_that_nothing_proves(desk: FrontDesk) -> None:
    assert told(sms(desk)) == (200, "ok")
    [claim] = desk.claims
    assert (claim.channel, claim.source, claim.transaction) == (
        *("sms_parser", "mpesa_mz.sms", "AB12CD34E"),
    )
    assert (claim.serial_number, claim.amount_minor, claim.currency) == ("SM5R00123", 125050, "MZN")
    assert (claim.payer_phone, claim.proven) == ("+258841234567", False) or (
        claim.payer_phone is None
    )


def test_the_same_sms_again_is_the_same_payment_and_another_amount_a_conflict(
    desk: FrontDesk,
) -> None:
    sms(desk)
    assert told(sms(desk)) == (200, "ok")
    assert told(sms(desk, TEXT.replace("1.250", "2.250"))) == (200, "conflict")
    assert len(desk.stored) == 1


@pytest.mark.parametrize(
    ("message", "sender"),
    [(TEXT, "Friend"), ("Hello", "M-Pesa"), (TEXT.replace("Conteudo", "Nota"), "M-Pesa")],
)
def test_what_fits_no_rule_is_ignored(desk: FrontDesk, message: str, sender: str) -> None:
    assert told(sms(desk, message, sender)) == (200, "ignored")
    assert desk.claims == []


@pytest.mark.parametrize(
    ("written", "amount_minor"),
    [("250", 25000), ("250,5", 25050), ("1,250.50", 125050), ("1.250", 125000), ("250.", 25000)],
)
def test_amounts_are_read_as_people_write_them(
    desk: FrontDesk, written: str, amount_minor: int
) -> None:
    assert told(sms(desk, TEXT.replace("1.250,50", written))) == (200, "ok")
    assert desk.claims[0].amount_minor == amount_minor


@pytest.mark.parametrize("written", ["0", "0,00", "1..2", "1,2,3", "9" * 20])
def test_an_amount_that_is_none_is_told_to_operations(desk: FrontDesk, written: str) -> None:
    assert told(sms(desk, TEXT.replace("1.250,50", written))) == (400, "malformed")
    assert desk.claims == []
    assert desk.journal.counts[-1][0] == "ReportsFailed"


def test_a_number_that_is_none_is_left_out(desk: FrontDesk) -> None:
    sms(desk, TEXT.replace("258841234567", "000000"))
    assert desk.claims[0].payer_phone is None


def test_a_rule_without_a_phone_reads_none() -> None:
    rule = {"senders": ["X"], "template": "[transaction_ref] [amount] [device_serial]"}
    desk = FrontDesk({SECRET: {**CONTENT, "rules": [rule]}})
    assert told(sms(desk, "T123 5 S1", "x")) == (200, "ok")
    assert desk.claims[0].payer_phone is None


# --- who passes it on -----------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["old", "new"])
def test_both_secrets_are_good_while_one_is_rotated(desk: FrontDesk, secret: str) -> None:
    body = json.dumps({"sender": "M-Pesa", "message": TEXT}).encode()
    assert told(post(desk, body, sign(body, secret))) == (200, "ok")


def test_the_vector_of_the_gateway_s_signature() -> None:
    body = b'{"sender":"+258840000001","message":"hi"}'
    expected = "a1cadb76386ed3869fa3abf58b7c5be99b75d35c73c1319a16b3d0992d75ea3c"
    desk = FrontDesk({SECRET: {**CONTENT, "gateway_secrets": ["tb_demo"]}})
    assert told(post(desk, body, expected)) == (200, "ignored")


@pytest.mark.parametrize("signature", ["", "0" * 64, "é", "x" * 999])
def test_nobody_else_is_believed(desk: FrontDesk, signature: str) -> None:
    body = json.dumps({"sender": "M-Pesa", "message": TEXT}).encode()
    assert told(post(desk, body, signature)) == (401, "invalid_signature")
    assert told(post(desk, body + b" ", sign(body))) == (401, "invalid_signature")
    assert told(post(desk, b" " * 70_000)) == (401, "invalid_signature")
    assert desk.claims == []


@pytest.mark.parametrize("content", [{**CONTENT, "enabled": False}, {"rules": []}])
def test_it_is_off_until_it_is_switched_on(content: dict[str, Any]) -> None:
    assert told(sms(FrontDesk({SECRET: content}))) == (404, "switched_off")


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"sender":"a","sender":"a"}', b"{}"])
def test_what_is_no_sms_is_malformed(desk: FrontDesk, body: bytes) -> None:
    assert told(post(desk, body)) == (400, "malformed")
    assert told(sms(desk, "x" * 1001)) == (400, "malformed")


@pytest.mark.parametrize("failure", [TryAgain(), SecretMissing("x")])
def test_what_was_not_stored_must_be_sent_again(desk: FrontDesk, failure: MwangaError) -> None:
    desk.failure = failure
    assert told(sms(desk)) == (503, "try_again")


@pytest.mark.parametrize(
    "rule",
    [
        {"senders": ["A"], "template": "[transaction_ref] [amount]"},
        {"senders": ["A"], "template": "[transaction_ref] [amount] [amount] [device_serial]"},
        {"template": RULE["template"]},
        {"senders": ["A"]},
    ],
)
def test_a_rule_that_cannot_be_used_is_no_configuration(rule: dict[str, Any]) -> None:
    with pytest.raises(SecretMissing):
        rules(Configuration(SECRET, {"rules": [rule]}))
    assert told(sms(FrontDesk({SECRET: {**CONTENT, "rules": [rule]}}))) == (503, "try_again")


@given(message=st.text(max_size=300), sender=st.text(max_size=20))
def test_whatever_the_text_nothing_breaks(message: str, sender: str) -> None:
    assert sms(FrontDesk({SECRET: CONTENT}), message, sender).status in (200, 400)


@given(body=st.binary(max_size=200))
def test_whatever_the_bytes_nothing_breaks(body: bytes) -> None:
    assert post(FrontDesk({SECRET: CONTENT}), body).status in (200, 400)


def test_the_channel_says_what_it_is() -> None:
    assert CHANNEL.refusal_class is RefusalClass.TOLD_AFTER
    assert not CHANNEL.can_refund
