"""The direct channel: who may speak, what may be said, and what is answered."""

from __future__ import annotations

import hashlib
import json
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.channels import direct
from chalicelib.channels.direct import (
    CHANNEL,
    ExpiredSignature,
    InvalidSignature,
    UnknownPartner,
)
from chalicelib.channels.interface import FieldErrors, NotFound, TooLarge, UnsupportedMediaType
from chalicelib.channels.strict_json import Malformed
from chalicelib.domain.errors import FieldError, InvalidAmount, MwangaError, Refusal, Refused
from chalicelib.domain.payment import Payment, Status
from chalicelib.services.accept import Quote, ReferenceConflict
from chalicelib.services.ports import (
    ProviderAnswer,
    ProviderRequest,
    RefusalClass,
    SecretMissing,
    Settings,
    TryAgain,
)
from tests.unit.channels.front_desk import NOW, FrontDesk

SECRET = "first secret"
OLDER_SECRET = "older secret"
PARTNERS = {"partners": {"demo": [SECRET, OLDER_SECRET], "demo2": ["another secret"], "gone": []}}
BODY = {"reference": "r-1", "serial_number": "sm5r-00123", "amount": "500.00", "currency": "KES"}


@pytest.fixture
def desk() -> FrontDesk:
    return FrontDesk({"channels/direct": PARTNERS})


def hmac_by_definition(secret: str, text: bytes) -> str:
    """HMAC-SHA256 after RFC 2104, without the library that the channel uses."""
    key = secret.encode()
    key = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + text).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).hexdigest()


def signed_headers(
    text: bytes, *, partner: str = "demo", secret: str = SECRET, at: datetime = NOW
) -> dict[str, str]:
    t = str(int(at.timestamp()))
    signature = hmac_by_definition(secret, t.encode() + b"." + text)
    return {"Mwanga-Partner": partner, "Mwanga-Signature": f"t={t},v1={signature}"}


def post(body: bytes | dict[str, Any], headers: dict[str, str] | None = None) -> ProviderRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given_headers = signed_headers(raw) if headers is None else headers
    return ProviderRequest(
        "POST", {}, {"Content-Type": "application/json", **given_headers}, raw, "203.0.113.9"
    )


def get(reference: str, headers: dict[str, str] | None = None) -> ProviderRequest:
    given_headers = signed_headers(reference.encode()) if headers is None else headers
    return ProviderRequest("GET", {"reference": reference}, given_headers, b"", "203.0.113.9")


def pay(desk: FrontDesk, **changes: Any) -> ProviderAnswer:
    return direct.pay(post({**BODY, **changes}), desk)


# --- as data --------------------------------------------------------------------------------


def test_the_channel_states_its_routes_as_data():
    assert CHANNEL.key == "direct"
    assert CHANNEL.refusal_class is RefusalClass.ASKS_FIRST
    assert not CHANNEL.can_refund
    assert [(e.method, e.path, e.content_types) for e in CHANNEL.endpoints] == [
        ("POST", "/payments/direct", ("application/json",)),
        ("POST", "/payments/direct/quotes", ("application/json",)),
        ("GET", "/payments/direct/{reference}", ()),
    ]


# --- what is answered -----------------------------------------------------------------------


def test_a_new_payment_is_answered_202(desk: FrontDesk):
    answer = pay(desk)
    assert (answer.status, answer.body, dict(answer.headers)) == (
        202,
        {"payment_id": "direct.demo-r-1", "status": "received"},
        {},
    )


def test_the_same_payment_again_is_answered_200_with_its_present_status(desk: FrontDesk):
    pay(desk)
    desk.settle("direct.demo-r-1")
    answer = pay(desk, serial_number="SM5R 00123", amount="500")
    assert answer.status == 200
    assert answer.body == {"payment_id": "direct.demo-r-1", "status": "completed"}
    assert answer.headers == {"Idempotency-Hit": "true"}


@pytest.mark.parametrize(
    "other",
    [
        {"amount": "500.01"},
        {"serial_number": "SM5R00124"},
        {"amount": "not an amount"},
        {"amount": "0"},
        {"amount": 500},
        {"serial_number": "*"},
        {"currency": "USD"},
    ],
)
def test_another_claim_under_a_used_reference_is_a_conflict_whatever_else_is_wrong(
    desk: FrontDesk, other: dict[str, Any]
):
    pay(desk)
    with pytest.raises(ReferenceConflict):
        pay(desk, **other)
    assert desk.stored["direct.demo-r-1"].amount_minor == 500_00


def test_the_claim_holds_what_was_said_in_normal_form(desk: FrontDesk):
    pay(desk, payer_phone="0712 345 678", paid_at="2026-01-08T11:30:00.5+03:00")
    (claim,) = desk.claims
    assert (claim.channel, claim.source, claim.transaction) == ("direct", "direct.demo", "r-1")
    assert (claim.reference, claim.serial_number) == ("r-1", "SM5R00123")
    assert (claim.amount_minor, claim.currency) == (500_00, "KES")
    assert claim.payer_phone == "+254712345678"
    assert claim.paid_at == datetime(2026, 1, 8, 8, 30, 0, 500_000, tzinfo=UTC)


def test_optional_fields_may_be_left_out_or_null(desk: FrontDesk):
    pay(desk, payer_phone=None, paid_at=None)
    assert desk.claims[0].payer_phone is None
    assert desk.claims[0].paid_at is None


@pytest.mark.parametrize("refusal", list(Refusal))
def test_a_refused_payment_says_why(desk: FrontDesk, refusal: Refusal):
    desk.refusal = refusal
    with pytest.raises(Refused) as refused:
        pay(desk)
    assert refused.value.code == refusal.value


def test_a_refusal_does_not_use_up_the_reference(desk: FrontDesk):
    desk.refusal = Refusal.TOO_SMALL
    with pytest.raises(Refused):
        pay(desk, amount="1")
    desk.refusal = None
    assert pay(desk).status == 202


@pytest.mark.parametrize("amount", ["0", "-1", "1,000", "1e3", "", " 5", "1.001", "2000000", 500])
def test_a_wrong_amount_is_refused_with_the_reason_and_recorded(desk: FrontDesk, amount: object):
    with pytest.raises(InvalidAmount) as wrong:
        pay(desk, amount=amount)
    assert (wrong.value.code, wrong.value.field) == ("invalid_amount", "amount")
    assert desk.stored["direct.demo-r-1"].status is Status.REFUSED


def test_amounts_are_read_in_the_companys_currency(desk: FrontDesk):
    desk.company = Settings(currency="UGX", currency_decimals=0)
    pay(desk, amount="500.00", currency="UGX")
    assert desk.claims[0].amount_minor == 500


def test_a_text_that_is_no_serial_number_is_left_to_be_judged(desk: FrontDesk):
    pay(desk, serial_number="A" * 41)
    assert desk.claims[0].serial_number == "A" * 39 + "?"


def test_what_cannot_be_stored_now_is_to_be_sent_again(desk: FrontDesk):
    desk.failure = TryAgain()
    with pytest.raises(TryAgain):
        pay(desk)


# --- quotes -----------------------------------------------------------------------------------


def test_a_quote_stores_nothing(desk: FrontDesk):
    body = {"serial_number": "sm5r-00123", "amount": "500", "currency": "KES"}
    answer = direct.quote(post(body), desk)
    assert answer.status == 200
    assert isinstance(answer.body, Quote)
    assert (answer.body.serial_number, answer.body.amount_minor) == ("SM5R00123", 500_00)
    assert not desk.stored
    assert not desk.claims


def test_a_quote_for_a_payment_that_would_be_refused_says_why(desk: FrontDesk):
    desk.refusal = Refusal.NO_PLAN
    with pytest.raises(Refused) as refused:
        direct.quote(post({"serial_number": "1", "amount": "5", "currency": "KES"}), desk)
    assert refused.value.code == "no_plan"


def test_a_quote_for_a_wrong_amount_is_refused(desk: FrontDesk):
    with pytest.raises(InvalidAmount):
        direct.quote(post({"serial_number": "1", "amount": "x", "currency": "KES"}), desk)
    assert not desk.stored


def test_a_signed_payment_cannot_be_replayed_as_a_quote_nor_a_quote_as_a_payment(desk: FrontDesk):
    with pytest.raises(FieldErrors):
        direct.quote(post(BODY), desk)
    with pytest.raises(FieldErrors):
        direct.pay(post({k: v for k, v in BODY.items() if k != "reference"}), desk)
    assert not desk.claims
    assert not desk.quotes


# --- reading back -----------------------------------------------------------------------------


def test_a_partner_reads_its_own_payment(desk: FrontDesk):
    pay(desk)
    answer = direct.read(get("r-1"), desk)
    assert answer.status == 200
    assert isinstance(answer.body, Payment)
    assert answer.body.payment_id == "direct.demo-r-1"


def test_a_refused_payment_can_be_read_too(desk: FrontDesk):
    desk.refusal = Refusal.UNKNOWN_DEVICE
    with pytest.raises(Refused):
        pay(desk)
    assert direct.read(get("r-1"), desk).body.status is Status.REFUSED


def test_another_partners_payment_is_not_found(desk: FrontDesk):
    pay(desk)
    headers = signed_headers(b"r-1", partner="demo2", secret="another secret")
    with pytest.raises(NotFound):
        direct.read(get("r-1", headers), desk)


@pytest.mark.parametrize("reference", ["r-2", "", "a/b", "%2e", "é", "\ud800", "x" * 65])
def test_a_reference_that_was_never_used_is_not_found(desk: FrontDesk, reference: str):
    headers = signed_headers(reference.encode("utf-8", "replace"))
    with pytest.raises(NotFound):
        direct.read(get(reference, headers), desk)


def test_a_signature_for_one_reference_does_not_open_another(desk: FrontDesk):
    pay(desk)
    with pytest.raises(InvalidSignature):
        direct.read(get("r-1", signed_headers(b"r-2")), desk)


# --- who is calling -----------------------------------------------------------------------------


def test_the_signature_is_the_one_that_openssl_makes(desk: FrontDesk):
    raw = b'{"reference":"o-1","serial_number":"SM5R00123","amount":"500.00","currency":"KES"}'
    t = str(int(NOW.timestamp()))
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", SECRET],
        input=t.encode() + b"." + raw,
        capture_output=True,
        check=True,
    )
    signature = made.stdout.decode().split()[-1]
    headers = {"Mwanga-Partner": "demo", "Mwanga-Signature": f"t={t},v1={signature}"}
    assert direct.pay(post(raw, headers), desk).status == 202


def test_a_signature_made_elsewhere_long_ago_still_fits(desk: FrontDesk):
    """Computed once with openssl 3: the form of the signed text must never change."""
    raw = b'{"reference":"v-1","serial_number":"SM5R00123","amount":"500.00","currency":"KES"}'
    signature = "88da7ccc6956ccd1d85eaf6a1083dac7989f18e5333a0e657ee1fc70ca880089"
    headers = {"Mwanga-Partner": "demo", "Mwanga-Signature": f"t=1767862800,v1={signature}"}
    assert direct.pay(post(raw, headers), desk).status == 202


@pytest.mark.parametrize("secret", [SECRET, OLDER_SECRET])
def test_every_live_secret_of_a_partner_counts(desk: FrontDesk, secret: str):
    raw = json.dumps(BODY).encode()
    assert direct.pay(post(raw, signed_headers(raw, secret=secret)), desk).status == 202


def test_header_names_are_read_in_any_case(desk: FrontDesk):
    raw = json.dumps(BODY).encode()
    headers = {name.lower(): value for name, value in signed_headers(raw).items()}
    assert direct.pay(post(raw, headers), desk).status == 202


def test_hexadecimal_digits_may_be_upper_case(desk: FrontDesk):
    raw = json.dumps(BODY).encode()
    headers = signed_headers(raw)
    t, _, v1 = headers["Mwanga-Signature"].partition(",v1=")
    headers["Mwanga-Signature"] = f"{t},v1={v1.upper()}"
    assert direct.pay(post(raw, headers), desk).status == 202


def test_the_body_counts_byte_for_byte_and_is_authenticated_before_it_is_read(desk: FrontDesk):
    raw = json.dumps(BODY).encode()
    headers = signed_headers(raw)
    for position in range(len(raw)):
        tampered = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(InvalidSignature):
            direct.pay(post(tampered, headers), desk)
    for tampered in (raw + b" ", raw[:-1], b""):
        with pytest.raises(InvalidSignature):
            direct.pay(post(tampered, headers), desk)
    assert not desk.claims


def test_no_other_signature_passes(desk: FrontDesk):
    raw = json.dumps(BODY).encode()
    signature = signed_headers(raw)["Mwanga-Signature"]
    for position in range(len(signature)):
        tampered = signature[:position] + chr(ord(signature[position]) ^ 1)
        tampered += signature[position + 1 :]
        headers = {"Mwanga-Partner": "demo", "Mwanga-Signature": tampered}
        with pytest.raises(InvalidSignature):
            direct.pay(post(raw, headers), desk)


def test_every_form_of_a_signature_but_one_is_invalid(desk: FrontDesk):
    raw = json.dumps(BODY).encode()
    good = signed_headers(raw)["Mwanga-Signature"]
    t, v1 = good.split(",")
    for signature in (
        "",
        t,
        v1,
        f"{v1},{t}",
        f"{good},",
        f" {good}",
        f"{good}\n",
        f"{t},{t},{v1}",
        f"{t},v1=",
        f"{t},v1={'0' * 64}",
        f"t=,{v1}",
        f"t=-1,{v1}",
        f"t=99999999999999999999,{v1}",
        f"t=\u0661\u0667,{v1}",
        t + ",v1=" + "\u0660" * 64,
    ):
        headers = {"Mwanga-Partner": "demo", "Mwanga-Signature": signature}
        with pytest.raises(InvalidSignature):
            direct.pay(post(raw, headers), desk)


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_clocks_may_differ_by_five_minutes_either_way(desk: FrontDesk, seconds: int):
    raw = json.dumps(BODY).encode()
    headers = signed_headers(raw, at=NOW + timedelta(seconds=seconds))
    assert direct.pay(post(raw, headers), desk).status == 202


@pytest.mark.parametrize("seconds", [-301, 301, -(10**9), 10**10])
def test_a_right_signature_of_another_time_is_expired(desk: FrontDesk, seconds: int):
    raw = json.dumps(BODY).encode()
    headers = signed_headers(raw, at=NOW + timedelta(seconds=seconds))
    with pytest.raises(ExpiredSignature):
        direct.pay(post(raw, headers), desk)
    assert not desk.claims


def test_a_fraction_of_a_second_beyond_the_tolerance_is_too_much(desk: FrontDesk):
    desk.clock = NOW + timedelta(seconds=300, microseconds=1)
    raw = json.dumps(BODY).encode()
    with pytest.raises(ExpiredSignature):
        direct.pay(post(raw, signed_headers(raw)), desk)


@pytest.mark.parametrize("partner", ["nobody", "", "DEMO", "demo ", "gone", "a-b", "é", "x" * 29])
def test_an_unknown_partner_is_told_so_whatever_it_signs(desk: FrontDesk, partner: str):
    raw = json.dumps(BODY).encode()
    for secret in (SECRET, *direct._NOBODYS_SECRETS):
        with pytest.raises(UnknownPartner):
            direct.pay(post(raw, signed_headers(raw, partner=partner, secret=secret)), desk)


def test_a_partner_whose_name_could_be_mistaken_for_anothers_is_not_served():
    desk = FrontDesk({"channels/direct": {"partners": {"a-b": ["s"], "a": ["s"]}}})
    raw = json.dumps({**BODY, "reference": "c"}).encode()
    with pytest.raises(UnknownPartner):
        direct.pay(post(raw, signed_headers(raw, partner="a-b", secret="s")), desk)
    raw = json.dumps({**BODY, "reference": "b-c"}).encode()
    assert direct.pay(post(raw, signed_headers(raw, partner="a", secret="s")), desk).status == 202


def test_one_partners_secret_does_not_sign_for_another(desk: FrontDesk):
    raw = json.dumps(BODY).encode()
    with pytest.raises(InvalidSignature):
        direct.pay(post(raw, signed_headers(raw, partner="demo2", secret=SECRET)), desk)


def test_the_longest_partner_and_reference_still_make_an_id():
    desk = FrontDesk({"channels/direct": {"partners": {"p" * 28: ["s"]}}})
    raw = json.dumps({**BODY, "reference": "r" * 64}).encode()
    answer = direct.pay(post(raw, signed_headers(raw, partner="p" * 28, secret="s")), desk)
    assert len(answer.body["payment_id"]) == 100


def test_callers_that_are_turned_away_are_noted_without_their_words(desk: FrontDesk):
    raw = json.dumps(BODY).encode()
    for partner, secret in (("demo", "wrong"), ("intruder", "x")):
        with pytest.raises(MwangaError):
            direct.pay(post(raw, signed_headers(raw, partner=partner, secret=secret)), desk)
    assert desk.journal.reasons == ["invalid_signature", "unknown_partner"]
    assert len(desk.journal.counts) == 2
    assert "intruder" not in str(desk.journal.events)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"partners": None},
        {"partners": []},
        {"partners": {"demo": "a text"}},
        {"partners": {"demo": [""]}},
        {"partners": {"demo": [SECRET, 1]}},
        {"partners": {"demo": {"a": "b"}}},
    ],
)
def test_a_secret_in_another_form_serves_nobody(content: dict[str, Any]):
    with pytest.raises(SecretMissing):
        pay(FrontDesk({"channels/direct": content}))


def test_without_the_secret_nobody_is_served():
    desk = FrontDesk({})
    with pytest.raises(SecretMissing):
        pay(desk)
    with pytest.raises(SecretMissing):
        direct.read(get("r-1"), desk)


# --- what may be said ---------------------------------------------------------------------------


def test_a_body_of_64_kilobytes_is_read_and_a_larger_one_is_not(desk: FrontDesk):
    raw = json.dumps(BODY).encode()
    largest = raw.ljust(64 * 1024)
    assert direct.pay(post(largest), desk).status == 202
    with pytest.raises(TooLarge):
        direct.pay(post(largest + b" "), desk)


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_only_json_is_taken(desk: FrontDesk, kind: str):
    raw = json.dumps(BODY).encode()
    with pytest.raises(UnsupportedMediaType):
        direct.pay(post(raw, {**signed_headers(raw), "Content-Type": kind}), desk)


def test_the_content_type_may_name_its_character_set(desk: FrontDesk):
    raw = json.dumps(BODY).encode()
    headers = {**signed_headers(raw), "Content-Type": "Application/JSON ; charset=utf-8"}
    assert direct.pay(post(raw, headers), desk).status == 202


@pytest.mark.parametrize("raw", [b"", b"[]", b"r-1", b'{"reference":"a","reference":"b"}', b"\xff"])
def test_a_body_that_is_no_json_object_is_malformed(desk: FrontDesk, raw: bytes):
    with pytest.raises(Malformed):
        direct.pay(post(raw), desk)


@pytest.mark.parametrize("name", ["reference", "serial_number", "amount", "currency"])
def test_a_missing_field_is_named(desk: FrontDesk, name: str):
    for body in ({k: v for k, v in BODY.items() if k != name}, {**BODY, name: None}):
        with pytest.raises(FieldErrors) as errors:
            direct.pay(post(body), desk)
        assert [(e.field, e.code) for e in errors.value.errors] == [(name, "invalid")]


def test_unknown_fields_are_named_and_all_at_once(desk: FrontDesk):
    with pytest.raises(FieldErrors) as errors:
        pay(desk, channel="cash", é=1)
    assert [e.field for e in errors.value.errors] == ["channel", "\\xe9"]
    assert errors.value.code == "invalid"


def test_a_flood_of_unknown_fields_is_answered_briefly(desk: FrontDesk):
    with pytest.raises(FieldErrors) as errors:
        pay(desk, **{f"{'x' * 100}{i}": i for i in range(300)})
    assert len(errors.value.errors) == 20
    assert all(len(e.field) <= 60 for e in errors.value.errors)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reference", ""),
        ("reference", "a b"),
        ("reference", "a/b"),
        ("reference", "r" * 65),
        ("reference", "é"),
        ("reference", "a\n"),
        ("reference", 1),
        ("serial_number", ""),
        ("serial_number", "  "),
        ("serial_number", ["1"]),
        ("currency", "kes"),
        ("currency", "KES "),
        ("currency", "K" * 500),
        ("currency", True),
        ("payer_phone", "phone"),
        ("payer_phone", ""),
        ("payer_phone", 254712345678),
        ("paid_at", "yesterday"),
        ("paid_at", "2026-01-08"),
        ("paid_at", "2026-01-08T12:00:00"),
        ("paid_at", "2026-02-30T12:00:00Z"),
        ("paid_at", "0001-01-01T00:00:00+03:00"),
        ("paid_at", "9999-12-31T23:59:59-03:00"),
        ("paid_at", "2026-01-08T12:00:00+99:99"),
        ("paid_at", 1767862800),
    ],
)
def test_a_field_of_the_wrong_form_is_named(desk: FrontDesk, name: str, value: object):
    with pytest.raises((FieldErrors, FieldError)) as error:
        pay(desk, **{name: value})
    errors = getattr(error.value, "errors", (error.value,))
    assert [(e.field, e.code) for e in errors] == [(name, "invalid")]
    assert not desk.claims


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from([*BODY, "payer_phone", "paid_at"]) | st.text(max_size=5), json_values
    )
)
def test_no_signed_body_brings_an_error_that_we_did_not_mean(changes: dict[str, Any]):
    desk = FrontDesk({"channels/direct": PARTNERS})
    for body in (changes, {**BODY, **changes}):
        with suppress(MwangaError):
            assert direct.pay(post(body), desk).status in (200, 202)


@given(st.binary(max_size=300), st.text(max_size=40), st.text(max_size=120))
def test_no_stranger_gets_further_than_the_door(body: bytes, partner: str, signature: str):
    desk = FrontDesk({"channels/direct": PARTNERS})
    headers = {"Mwanga-Partner": partner, "Mwanga-Signature": signature}
    for endpoint in (direct.pay, direct.quote):
        with pytest.raises((UnknownPartner, InvalidSignature)):
            endpoint(post(body, headers), desk)
    with pytest.raises((UnknownPartner, InvalidSignature)):
        direct.read(get(partner, headers), desk)
