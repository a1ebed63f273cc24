"""What customers read."""

from __future__ import annotations

import string
from dataclasses import fields, replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest

from chalicelib.domain.allocation import Line, LineKind, VendKind
from chalicelib.domain.errors import Refusal
from chalicelib.domain.payment import (
    ENTRY_CHANNEL,
    HELD_MESSAGE,
    RECEIPT,
    REFUND_MESSAGES,
    REFUSED_MESSAGE,
    UNUSABLE_MESSAGE,
    Payment,
    Refund,
    RefundState,
    Status,
    Token,
    Vend,
    VendState,
    messages_due,
)
from chalicelib.services.ports import Customer, Settings
from chalicelib.sms.languages import LANGUAGES, language_of
from chalicelib.sms.templates import compose, grouped

NOW = datetime(2026, 1, 8, 9, 0, tzinfo=UTC)
ASHA = Customer("C1", 1, "ASHA", "MWANGI", "+254712345678", 1)
SETTINGS = Settings()
METER, SHS = "47000123456", "SM5R00123"
STS_TOKEN = "12345678901234567890"

TV = Line(LineKind.APPLIANCE, "p-tv", 300_00, "TV")
MILL = Line(LineKind.APPLIANCE, "p-mill", 120_00)
FEES = Line(LineKind.ACCESS_RATE, METER, 150_00)
ARREARS = Line(LineKind.DEVICE, SHS, 200_00)
ENERGY = Line(LineKind.ENERGY, METER, 550_00)
TIME = Line(LineKind.TIME, SHS, 700_00)

GSM_ALPHABET = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
TWO_SEGMENTS = 2 * 153


def payment(*lines: Line, status: Status = Status.COMPLETED, **changes: object) -> Payment:
    bare = Payment(
        payment_id="mpesa_ke.600966-RKL51ZDR4F",
        channel="daraja",
        reference="RKL51ZDR4F",
        serial_number=METER,
        amount_minor=sum(line.amount_minor for line in lines) or 500_00,
        currency="KES",
        claim_hash="",
        moment=NOW,
        received_at=NOW,
        status=status,
        customer_id="C1",
        lines=lines,
    )
    return replace(bare, **changes)  # type: ignore[arg-type]


def vended(
    before: Payment,
    *tokens: tuple[str, VendKind, Fraction | None, str | None],
    states: tuple[VendState, ...] = (),
) -> Payment:
    """The payment with one vend per token, done unless ``states`` says otherwise."""
    vends = tuple(
        Vend(number, serial, "calin", kind, states[number - 1] if states else VendState.DONE, units)
        for number, (serial, kind, units, _) in enumerate(tokens, start=1)
    )
    done = tuple(
        Token(vend.number, serial, kind, units, value)
        for vend, (serial, kind, units, value) in zip(vends, tokens, strict=True)
        if vend.state is VendState.DONE
    )
    return replace(before, vends=vends, tokens=done)


ENERGY_PAYMENT = vended(
    payment(TV, FEES, ENERGY), (METER, VendKind.ENERGY, Fraction(11, 2), STS_TOKEN)
)
REKEYED_PAYMENT = replace(
    ENERGY_PAYMENT,
    tokens=(replace(ENERGY_PAYMENT.tokens[0], before=("1" * 20, "2" * 20)),),
)
"""Two tokens that change the meter's key must be typed in before the one that was bought."""
TIME_PAYMENT = vended(payment(TIME), (SHS, VendKind.TIME, Fraction(7), "046958304"))
UNLOCK_PAYMENT = vended(payment(TIME), (SHS, VendKind.UNLOCK, None, "190942008"))
ENTRY = replace(UNLOCK_PAYMENT, channel=ENTRY_CHANNEL, serial_number=SHS, amount_minor=0, lines=())
"""What carries the unlock of an entry: a payment of nothing."""
SET_PAYMENT = replace(
    vended(payment(TIME), (SHS, VendKind.RESET, Fraction(7), "046958304")),
    channel=ENTRY_CHANNEL,
    serial_number=SHS,
    amount_minor=0,
    lines=(),
)
"""What carries what an operator has had done to a device."""
REFUNDED = payment(status=Status.REFUNDED, refunds=(Refund(1, 200_00, RefundState.DONE),))


def text(of: Payment, number: int, language: str = "en", customer: Customer | None = ASHA) -> str:
    return compose(of, number, customer, SETTINGS, language)


# --- one SMS per outcome ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "number", "expected"),
    [
        (
            ENERGY_PAYMENT,
            1,
            "Thank you ASHA. KES 1000.00: TV 300.00, access 150.00, energy 550.00. "
            "5.5 kWh for meter 47000123456. Token: 1234 5678 9012 3456 7890",
        ),
        (
            TIME_PAYMENT,
            1,
            "Thank you ASHA. KES 700.00: time 700.00. 7 days for SM5R00123. Token: 046 958 304",
        ),
        (
            UNLOCK_PAYMENT,
            1,
            "Thank you ASHA. KES 700.00: time 700.00. "
            "SM5R00123 is fully paid. Unlock token: 190 942 008",
        ),
        (
            payment(TV, FEES),
            RECEIPT,
            "Thank you ASHA. KES 450.00: TV 300.00, access 150.00. "
            "No token: all of it paid what was owed.",
        ),
        (
            payment(ARREARS, Line(LineKind.ENERGY, METER, 5_00)),
            RECEIPT,
            "Thank you ASHA. KES 205.00: arrears 200.00, energy 5.00. "
            "No token yet: the rest is kept for your next payment.",
        ),
        (
            payment(status=Status.HELD, reason="vend_uncertain"),
            HELD_MESSAGE,
            "We are looking into your payment of KES 500.00 for 47000123456. "
            "Please do not pay again, we will write to you. Ref RKL51ZDR4F",
        ),
        (
            payment(status=Status.HELD, reason="unknown_device", customer_id=None),
            UNUSABLE_MESSAGE,
            "We cannot use KES 500.00 for 47000123456: please check the number. "
            "The money is safe and will be returned. Ref RKL51ZDR4F",
        ),
        (
            REFUNDED,
            REFUND_MESSAGES + 1,
            "We have returned KES 200.00, paid for 47000123456. Ref RKL51ZDR4F",
        ),
        (SET_PAYMENT, 1, "Please type into SM5R00123: 046 958 304"),
        (ENTRY, 1, "SM5R00123 is fully paid. Unlock token: 190 942 008"),
        (
            replace(ENTRY, status=Status.HELD),
            HELD_MESSAGE,
            "We are looking into the unlocking of SM5R00123. We will write to you.",
        ),
        (
            payment(status=Status.REFUSED, reason="unknown_device"),
            REFUSED_MESSAGE,
            "Your payment of KES 500.00 for 47000123456 was refused: the number is not known. "
            "No money was taken. Ref RKL51ZDR4F",
        ),
    ],
)
def test_every_outcome_has_its_words(of: Payment, number: int, expected: str):
    assert text(of, number) == expected


def test_the_same_in_swahili():
    assert text(ENERGY_PAYMENT, 1, "sw") == (
        "Asante ASHA. KES 1000.00: TV 300.00, ada 150.00, umeme 550.00. "
        "5.5 kWh kwa mita 47000123456. Tokeni: 1234 5678 9012 3456 7890"
    )


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("en", "First type in: {before}. Then: 5.5 kWh for meter 47000123456. Token: {token}"),
        ("sw", "Kwanza ingiza: {before}. Kisha: 5.5 kWh kwa mita 47000123456. Tokeni: {token}"),
        (
            "fr",
            "Tapez d'abord: {before}. Puis: 5.5 kWh pour le compteur 47000123456. Code: {token}",
        ),
        (
            "pt",
            "Digite primeiro: {before}. Depois: 5.5 kWh para o contador 47000123456. "
            "Token: {token}",
        ),
    ],
)
def test_tokens_to_be_typed_in_first_come_first_and_in_their_order(code: str, end: str):
    before = "1111 1111 1111 1111 1111, 2222 2222 2222 2222 2222"
    expected = end.format(before=before, token="1234 5678 9012 3456 7890")
    assert text(REKEYED_PAYMENT, 1, code).endswith(f". {expected}")


def test_a_customer_whom_we_do_not_know_is_thanked_all_the_same():
    assert text(TIME_PAYMENT, 1, customer=None).startswith("Thank you. KES")


def test_only_the_first_name_is_used_and_not_all_of_a_long_one():
    long_named = replace(ASHA, name=f"{'A' * 50} BINTI")
    assert text(TIME_PAYMENT, 1, customer=long_named).startswith(f"Thank you {'A' * 20}. KES")


def test_names_with_braces_or_of_any_script_are_written_as_they_are():
    for name in ("{token}", "{0}", "አሻ", "Ásthildur"):
        assert text(TIME_PAYMENT, 1, customer=replace(ASHA, name=name)).startswith(
            f"Thank you {name}. KES"
        )


def test_a_remote_top_up_needs_no_typing():
    for kind, units, said in (
        (VendKind.ENERGY, Fraction(3), "3 kWh were sent to meter 47000123456."),
        (VendKind.TIME, Fraction(3), "3 days were sent to 47000123456."),
        (VendKind.UNLOCK, None, "47000123456 is fully paid and unlocked."),
        (VendKind.RESET, None, "47000123456 has been set to what is paid."),
    ):
        assert text(vended(payment(ENERGY), (METER, kind, units, None)), 1).endswith(said)


def test_one_day_is_one_day():
    one_day = vended(payment(TIME), (SHS, VendKind.TIME, Fraction(1), "046958304"))
    assert "1 day for SM5R00123" in text(one_day, 1)


@pytest.mark.parametrize("kind", [VendKind.LOCK, VendKind.CLEAR_CREDIT])
def test_what_takes_something_from_a_customer_is_not_sent_to_them(kind: VendKind):
    carried = replace(SET_PAYMENT, vends=(replace(SET_PAYMENT.vends[0], kind=kind),))
    assert messages_due(SET_PAYMENT) == (1,)
    assert messages_due(carried) == ()
    assert messages_due(replace(carried, status=Status.HELD)) == ()


def test_of_what_an_entry_vends_only_an_unlock_that_is_late_is_told():
    late = VendState.UNCERTAIN
    unlock = replace(ENTRY, vends=(replace(ENTRY.vends[0], state=late),), status=Status.HELD)
    reset = replace(unlock, vends=(replace(unlock.vends[0], kind=VendKind.RESET),))
    assert messages_due(unlock) == (HELD_MESSAGE,)
    assert messages_due(reset) == ()


# --- how the money was used -----------------------------------------------------------------------


def test_parts_of_one_kind_are_added_up():
    bought = payment(TV, MILL, Line(LineKind.APPLIANCE, "p-fridge", 80_00), FEES)
    assert "KES 650.00: TV 300.00, appliance 200.00, access 150.00." in text(bought, RECEIPT)


def test_without_a_name_an_appliance_is_an_appliance():
    assert "appliance 120.00." in text(payment(MILL), RECEIPT)


def test_a_long_name_of_an_appliance_is_shortened():
    named = payment(replace(TV, name="M" * 60))
    assert f": {'M' * 20} 300.00." in text(named, RECEIPT)


def test_credit_that_is_kept_and_credit_that_was_used_are_told_apart():
    kept = payment(TIME, Line(LineKind.CREDIT, "C1", 115_00))
    used = payment(Line(LineKind.ENERGY, METER, 615_00), Line(LineKind.CREDIT, "C1", -115_00))
    assert "KES 815.00: time 700.00, credit 115.00." in text(kept, RECEIPT)
    assert "KES 500.00: energy 615.00, credit used 115.00." in text(used, RECEIPT)


def test_lines_that_were_taken_back_are_left_out():
    returned = payment(ENERGY, Line(LineKind.ENERGY, METER, -550_00), FEES)
    assert "KES 150.00: access 150.00." in text(returned, RECEIPT)


def test_amounts_follow_the_companys_currency():
    ugx = Settings(currency="UGX", currency_decimals=0)
    bought = payment(TV, currency="UGX")
    assert "UGX 30000: TV 30000." in compose(bought, RECEIPT, ASHA, ugx, "en")


# --- money that went back -----------------------------------------------------------------------


def test_each_refund_tells_its_own_part():
    parts = (Refund(1, 200_00, RefundState.DONE), Refund(2, 300_00, RefundState.DONE))
    given_back = payment(status=Status.REFUNDED, refunds=parts)
    assert text(given_back, REFUND_MESSAGES + 1).startswith("We have returned KES 200.00,")
    assert text(given_back, REFUND_MESSAGES + 2).startswith("We have returned KES 300.00,")


def test_a_refund_that_is_not_there_has_no_sms():
    with pytest.raises(KeyError):
        text(REFUNDED, REFUND_MESSAGES + 2)


# --- several tokens -------------------------------------------------------------------------------


def test_each_of_several_tokens_says_which_it_is_and_only_the_first_says_how_the_money_was_used():
    several = vended(
        payment(TV, TIME),
        (SHS, VendKind.TIME, Fraction(995), "111111111"),
        (SHS, VendKind.TIME, Fraction(5), "222222222"),
        ("SHS2", VendKind.UNLOCK, None, "333333333"),
    )
    assert text(several, 1) == (
        "1/3 Thank you ASHA. KES 1000.00: TV 300.00, time 700.00. "
        "995 days for SM5R00123. Token: 111 111 111"
    )
    assert text(several, 2) == "2/3 5 days for SM5R00123. Token: 222 222 222"
    assert text(several, 3) == "3/3 SHS2 is fully paid. Unlock token: 333 333 333"


def test_a_vend_that_was_made_again_counts_once():
    again = vended(
        payment(ENERGY),
        (METER, VendKind.ENERGY, Fraction(5), None),
        (METER, VendKind.ENERGY, Fraction(5), STS_TOKEN),
        states=(VendState.VOID, VendState.DONE),
    )
    again = again.with_vend(replace(again.vend(1), closed=True))
    assert text(again, 2).startswith("Thank you ASHA. KES 550.00: energy 550.00. 5 kWh")


def test_a_vend_without_a_token_has_no_sms():
    waiting = vended(
        payment(ENERGY),
        (METER, VendKind.ENERGY, Fraction(5), None),
        states=(VendState.UNCERTAIN,),
    )
    with pytest.raises(KeyError):
        text(waiting, 1)
    with pytest.raises(KeyError):
        text(waiting, 2)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (STS_TOKEN, "1234 5678 9012 3456 7890"),
        ("046958304", "046 958 304"),
        ("432413333324111", "432 413 333 324 111"),
        ("12345678901234567", "123 456 789 012 345 67"),
        ("*0 12*", "*0 12*"),
        ("٠١٢٣", "٠١٢٣"),
    ],
)
def test_digits_are_grouped_for_reading(token: str, shown: str):
    assert grouped(token) == shown


# --- languages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["en", "sw", "fr", "pt"])
def test_every_language_says_everything_about_the_same_things(code: str):
    for field in fields(LANGUAGES[code]):
        said, english = getattr(LANGUAGES[code], field.name), getattr(LANGUAGES["en"], field.name)
        if field.name == "reasons":
            assert set(said) == set(Refusal)
            assert all(said.values())
        elif field.name != "code":
            assert placeholders(said) == placeholders(english)


def placeholders(template: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("code", ["en", "sw", "fr", "pt"])
def test_the_usual_sms_is_short_and_made_of_the_gsm_alphabet(code: str):
    outcomes = [
        (ENERGY_PAYMENT, 1),
        (REKEYED_PAYMENT, 1),
        (TIME_PAYMENT, 1),
        (UNLOCK_PAYMENT, 1),
        (payment(TV, FEES), RECEIPT),
        (payment(ENERGY), RECEIPT),
        (payment(status=Status.HELD), HELD_MESSAGE),
        (payment(status=Status.HELD, customer_id=None), UNUSABLE_MESSAGE),
        (REFUNDED, REFUND_MESSAGES + 1),
        (replace(ENTRY, status=Status.HELD), HELD_MESSAGE),
        *((payment(status=Status.REFUSED, reason=r.value), REFUSED_MESSAGE) for r in Refusal),
    ]
    for of, number in outcomes:
        said = text(of, number, code)
        assert set(said) <= GSM_ALPHABET, set(said) - GSM_ALPHABET
        assert len(said) <= TWO_SEGMENTS


@pytest.mark.parametrize("code", ["en", "sw", "fr", "pt"])
def test_every_sms_that_a_payment_calls_for_can_be_written(code: str):
    held_after_one = vended(
        payment(ENERGY, status=Status.HELD, reason="vend_uncertain"),
        (METER, VendKind.ENERGY, Fraction(5), STS_TOKEN),
        (METER, VendKind.ENERGY, Fraction(5), None),
        states=(VendState.DONE, VendState.UNCERTAIN),
    )
    for of in (
        ENERGY_PAYMENT,
        payment(TV),
        held_after_one,
        payment(status=Status.HELD, customer_id=None, payer_phone=ASHA.phone),
        payment(status=Status.REFUSED, reason="too_small"),
        payment(status=Status.REFUND_DUE, reason="unknown_device"),
        REFUNDED,
        replace(ENTRY, status=Status.HELD),
    ):
        assert messages_due(of)
        for number in messages_due(of):
            assert text(of, number, code)


@pytest.mark.parametrize(
    ("code", "spoken"),
    [("sw", "sw"), ("SW", "sw"), ("sw-KE", "sw"), ("pt_MZ", "pt"), ("de", "en"), ("", "en")],
)
def test_a_language_that_we_do_not_speak_is_english(code: str, spoken: str):
    assert language_of(code).code == spoken
