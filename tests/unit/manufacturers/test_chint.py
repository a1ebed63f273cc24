"""Chint: what is sent, and what each answer means for the customer's money."""

from __future__ import annotations

import hashlib
import socket
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Vend, VendState, payment_id_of
from chalicelib.manufacturers import chint
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import (
    Device,
    RecoveryClass,
    SecretMissing,
    Sold,
    VendOrder,
    VendorSilent,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
)
from tests.unit.scripted_server import Behaviour, answering, sending, serving

TOKEN, KEY1, KEY2 = "01234567890123456789", "1" * 20, "2" * 20
USER, PASSWORD = "mwanga & sons", "a vendor's pass\"word é"
METER = "47000123456"
NOW = datetime(2026, 3, 10, 9, 0, 57, tzinfo=UTC)
"""17 seconds into the 40 that begin at second 32440 of the day."""
KES = Currency("KES", 2)
NAIROBI = timezone(timedelta(hours=3))

OURS = "{http://jianpanbiaoEnglish/PrepaidWebService}"

HASHED_PASSWORD = "6CE55F272694107C962990D6EE34C495"
SIGNATURE = "7ECDE80316C50B0170BE51EF3361C6D3"


def envelope(inner: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>'
        '<TransactionResponse xmlns="http://jianpanbiaoEnglish/PrepaidWebService">'
        f"{inner}</TransactionResponse></soap:Body></soap:Envelope>"
    ).encode()


def sale(**changes: str | None) -> bytes:
    """The vendor's answer after a sale; ``None`` leaves a field out."""
    fields = {
        "Signature": "0" * 32,
        "Result": "0",
        "Reason": "",
        "Key1Token": "",
        "Key2Token": "",
        "RechargeToken": TOKEN,
        "Energy": "8.33",
        "FeeAmount": "0",
        "ChangeAmount": "0",
        **changes,
    }
    said = "".join(f"<{name}>{t}</{name}>" for name, t in fields.items() if t is not None)
    return envelope(f"<TransactionResult>{said}</TransactionResult>")


def vend_of(cost_minor: Fraction | int, kind: VendKind = VendKind.ENERGY) -> Vend:
    return Vend(
        1,
        METER,
        "chint",
        kind,
        VendState.CALLING,
        Fraction(8),
        cost_minor=Fraction(cost_minor),
    )


VEND = vend_of(1000_00)


def order(vend: Vend = VEND, payment_id: str = "p-1", currency: Currency = KES) -> VendOrder:
    return VendOrder(payment_id, vend, currency)


def vendor(base_url: object, now: datetime = NOW, **changes: object) -> chint.Chint:
    secret = {"base_url": base_url, "user_name": USER, "password": PASSWORD, **changes}
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/chint": secret}
    (manufacturer,) = chint.MANUFACTURERS
    return chint.Chint(manufacturer, secrets.__getitem__, lambda: now, lambda seconds: None)


def bought(behaviour: Behaviour, vend: Vend = VEND) -> Sold:
    with serving(behaviour) as server:
        try:
            return vendor(f"{server.url}/service.asmx").vend(order(vend))
        finally:
            assert server.connections == 1, "a vend is asked for once, whatever comes of it"


def sold(body: bytes) -> Sold:
    return chint._sold(Answer(200, body), (PASSWORD, USER))


def asked(**changes: Any) -> dict[str, str]:
    """The fields of a request, its header's included, by their names."""
    now = changes.pop("now", NOW)
    with serving(answering(sale())) as server:
        vendor(server.url, now).vend(order(**changes))
    root = fromstring(server.requests[0].partition(b"\r\n\r\n")[2])
    return {e.tag.removeprefix(OURS): e.text or "" for e in root.iter() if not len(e)}


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = chint.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("chint", 16)
    assert manufacturer.kind is Kind.METER
    assert manufacturer.recovery is RecoveryClass.OPAQUE
    assert not (manufacturer.local or manufacturer.remote or manufacturer.technical_required)
    assert manufacturer.timeout_seconds == 25, "what a call takes, and a pause before it"
    assert set(manufacturer.rules) == {VendKind.ENERGY}
    assert chint.make("chint", {}.__getitem__).manufacturer is manufacturer


def test_energy_is_sold_for_money_to_the_minor_unit():
    device = Device(METER, Kind.METER, "chint", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.ENERGY)
    assert (rules.step, rules.money_step_minor) == (Fraction(1, 1000), 1)


# --- signatures -------------------------------------------------------------------------------


def md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8")).hexdigest().upper()


@pytest.mark.parametrize(
    ("moment", "password", "expected"),
    [
        (datetime(2026, 3, 10, 9, 0, 57, tzinfo=UTC), PASSWORD, HASHED_PASSWORD),
        (
            datetime(2026, 3, 9, 23, 59, 59, tzinfo=UTC),
            "password",
            "B7F7E83F4B0F2A959F6D1FA08575D939",
        ),
        (datetime(2026, 3, 10, tzinfo=UTC), "password", "A42677DCD15CCCB9610837B4E80842D5"),
        (
            datetime(2026, 3, 10, 2, 59, tzinfo=NAIROBI),
            "password",
            "B7F7E83F4B0F2A959F6D1FA08575D939",
        ),
    ],
)
def test_the_password_is_hashed_with_the_day_of_utc(moment: datetime, password: str, expected: str):
    assert chint.hashed_password(password, moment) == expected


def test_a_hashed_password_is_the_day_the_vendor_s_name_and_the_password():
    assert md5("20260310Chint" + PASSWORD) == HASHED_PASSWORD
    assert md5("20260309" + "Chint" + "password") == "B7F7E83F4B0F2A959F6D1FA08575D939"


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (NOW, SIGNATURE),
        (datetime(2026, 3, 10, 9, 0, 40, tzinfo=UTC), SIGNATURE),
        (datetime(2026, 3, 10, 9, 1, 19, 999_999, tzinfo=UTC), SIGNATURE),
        (datetime(2026, 3, 10, 12, 0, 57, tzinfo=NAIROBI), SIGNATURE),
        (datetime(2027, 1, 1, 9, 0, 57, tzinfo=UTC), SIGNATURE),
        (datetime(2026, 3, 10, tzinfo=UTC), "4EFCAC538231F666275985FC9AA1A670"),
        (datetime(2026, 3, 10, 3, tzinfo=NAIROBI), "4EFCAC538231F666275985FC9AA1A670"),
        (
            datetime(2026, 3, 10, 23, 59, 59, 999_999, tzinfo=UTC),
            "98A47E5884BED59F69E2025A8C2C3B21",
        ),
    ],
)
def test_a_signature_is_of_the_fields_and_of_the_forty_seconds_of_utc_s_day(
    moment: datetime, expected: str
):
    assert chint.signature(("p-1.1", METER, "1000.0000"), moment) == expected


def test_the_signed_text_is_what_the_vendor_signs():
    assert md5("Chint;" + "p-1.1;47000123456;1000.0000;" + "32440" + ";") == SIGNATURE
    assert md5("Chint;p-1.1;47000123456;1000.0000;0;") == "4EFCAC538231F666275985FC9AA1A670"
    assert md5("Chint;p-1.1;47000123456;1000.0000;86360;") == "98A47E5884BED59F69E2025A8C2C3B21"
    assert chint.signature((METER,), NOW) == "54F99BA869531623922C606E225DD397"
    assert md5("Chint;47000123456;32440;") == "54F99BA869531623922C606E225DD397"


@pytest.mark.parametrize(
    ("second", "waited"),
    [(0, 1), (0.25, 0.75), (1, 0), (17, 0), (36, 0), (36.5, 4.5), (39.75, 1.25)],
)
def test_near_the_end_of_the_forty_seconds_the_next_are_waited_for(second: float, waited: float):
    for begun in (datetime(2026, 3, 10, tzinfo=UTC), NOW - timedelta(seconds=17)):
        assert chint.seconds_to_wait(begun + timedelta(seconds=second)) == waited


@given(st.datetimes(timezones=st.just(UTC)))
def test_after_the_wait_a_signature_is_good_for_long_enough(moment: datetime):
    waited = chint.seconds_to_wait(moment)
    assert 0 <= waited <= 5
    try:
        signed = moment + timedelta(seconds=waited)
        moments = (signed - timedelta(seconds=0.99), signed, signed + timedelta(seconds=3.99))
    except OverflowError:
        return
    assert len({chint.signature((), m) for m in moments}) == 1
    assert len({chint.hashed_password("", m) for m in moments}) == 1


def test_the_wait_comes_before_the_time_is_read_that_is_signed():
    waited: list[float] = []
    moment = [NOW + timedelta(seconds=22)]

    def pause(seconds: float) -> None:
        waited.append(seconds)
        moment[0] += timedelta(seconds=seconds)

    with serving(answering(sale())) as server:
        ready = vendor(server.url)
        ready._now, ready._pause = lambda: moment[0], pause
        ready.vend(order())
    assert waited == [2]
    assert md5("Chint;p-1.1;47000123456;1000.0000;32480;").encode() in server.requests[0]


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(answering(sale())) as server:
        sale_made = vendor(f"{server.url}/english/Service.asmx").vend(order())
    assert sale_made == Sold(TOKEN, units=Fraction(833, 100))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /english/Service.asmx HTTP/1.1\r\n")
    assert b"\r\nContent-Type: text/xml; charset=utf-8\r\n" in head + b"\r\n"
    assert b"soapaction" not in head.lower()
    assert body.decode() == (
        "<?xml version='1.0' encoding='utf-8'?>\n"
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
        "<soap:Header>"
        '<PrepaidSoapHeader xmlns="http://jianpanbiaoEnglish/PrepaidWebService">'
        f"<UserName>mwanga &amp; sons</UserName><PassWord>{HASHED_PASSWORD}</PassWord>"
        "</PrepaidSoapHeader></soap:Header>"
        "<soap:Body>"
        '<Transaction xmlns="http://jianpanbiaoEnglish/PrepaidWebService">'
        "<TID>p-1.1</TID><CustomerID>47000123456</CustomerID><Amount>1000.0000</Amount>"
        f"<ParaSignature>{SIGNATURE}</ParaSignature>"
        "</Transaction></soap:Body></soap:Envelope>"
    )


@pytest.mark.parametrize(
    ("cost_minor", "decimals", "written"),
    [
        (1, 2, "0.0100"),
        (1000_00, 2, "1000.0000"),
        (5, 0, "5.0000"),
        (1234, 3, "1.2340"),
        (12345, 4, "1.2345"),
        (123456789012345678, 2, "1234567890123456.7800"),
    ],
)
def test_money_is_written_with_four_decimals_and_no_digit_lost(
    cost_minor: int, decimals: int, written: str
):
    currency = Currency("XXX", decimals)
    assert asked(vend=vend_of(cost_minor), currency=currency)["Amount"] == written


@given(st.integers(1, 10**15), st.integers(0, 4))
def test_the_amount_is_the_money(cost_minor: int, decimals: int):
    written = chint._amount(order(vend_of(cost_minor), currency=Currency("XXX", decimals)))
    assert Fraction(written) == Fraction(cost_minor, 10**decimals)
    assert len(written.partition(".")[2]) == 4


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (vend_of(0), "amount_out_of_range"),
        (vend_of(-1), "amount_out_of_range"),
        (vend_of(Fraction(1, 2)), "amount_out_of_range"),
        (vend_of(1000_00, VendKind.TIME), "not_offered"),
        (vend_of(0, VendKind.UNLOCK), "not_offered"),
    ],
)
def test_what_the_vendor_does_not_sell_is_not_asked_for(vend: Vend, code: str):
    with serving(answering(sale())) as server:
        with pytest.raises(VendRefused) as refused:
            vendor(server.url).vend(order(vend))
        assert refused.value.code == code
        assert server.connections == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": None},
        {"base_url": "chint"},
        {"user_name": None},
        {"user_name": ""},
        {"user_name": "é"},
        {"user_name": "a\nb"},
        {"password": ""},
        {"password": 1},
        {"ca_certificate": ""},
        {"ca_certificate": 1},
        {"ca_certificate": "é"},
        {"ca_certificate": "no certificate"},
        {"ca_certificate": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"},
    ],
)
def test_without_proper_credentials_nothing_is_asked(changes: dict[str, object]):
    with serving(answering(sale())) as server:
        with pytest.raises(SecretMissing):
            vendor(**{"base_url": server.url, **changes}).vend(order())
        assert server.connections == 0


def test_a_secret_may_leave_the_certificate_empty():
    with serving(answering(sale())) as server:
        assert vendor(server.url, ca_certificate=None).vend(order()).value == TOKEN


# --- our id of a vend -------------------------------------------------------------------------


def test_the_same_vend_has_the_same_id_whenever_it_is_asked_for():
    assert asked()["TID"] == asked(now=NOW + timedelta(days=1, seconds=55))["TID"] == "p-1.1"


def test_another_vend_of_the_payment_has_another_id():
    assert asked(vend=replace(VEND, number=2))["TID"] == "p-1.2"


@given(st.text(min_size=1, max_size=12), st.integers(1, 99))
def test_an_id_is_plain_ascii_and_the_payment_s_own_as_it_stands(transaction: str, number: int):
    try:
        payment_id = payment_id_of("direct.acme", transaction)
    except (FieldError, UnicodeEncodeError):
        return
    made = chint.transaction_id(order(replace(VEND, number=number), payment_id))
    assert made == f"{payment_id}.{number}"
    assert made.isascii()
    assert made.isprintable()
    assert not set(made) & set(" ;<>&")


def test_an_id_stays_ascii_even_where_a_payment_s_does_not():
    assert chint.transaction_id(order(payment_id="entry-é;1")) == "entry-%C3%A9%3B1.1"


# --- whom to trust ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key, and a certificate for this machine that no public authority has signed."""
    directory = tmp_path_factory.mktemp("tls")
    key, pem = directory / "key.pem", directory / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {pem}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return key, pem


def over_tls(certificate: tuple[Path, Path], read: list[bytes]) -> Behaviour:
    key, pem = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)

    def behave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            while not b"".join(read).endswith(b"Envelope>"):
                read.append(secured.recv(65536))
            answering(sale())(secured)

    return behave


def test_a_certificate_of_the_authority_in_the_secret_is_trusted(certificate: tuple[Path, Path]):
    read: list[bytes] = []
    with serving(over_tls(certificate, read), reads=False) as server:
        url = f"https://127.0.0.1:{server.port}"
        trusting = vendor(url, ca_certificate=certificate[1].read_text())
        assert trusting.vend(order()).value == TOKEN
    assert b"".join(read).startswith(b"POST ")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_with_no_trusted_certificate_of_its_name_is_told_nothing(
    certificate: tuple[Path, Path], host: str
):
    read: list[bytes] = []
    named = {"ca_certificate": certificate[1].read_text()} if host == "localhost" else {}
    server = serving(over_tls(certificate, read), reads=False)
    with server as told, pytest.raises(VendorUnreachable):
        vendor(f"https://{host}:{told.port}", **named).vend(order())
    assert read == []


# --- a clear yes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", [TOKEN, "0123 4567 8901 2345 6789", "0123-4567-8901-2345-6789", f" {TOKEN}\n"]
)
def test_the_twenty_digits_of_the_sale_are_the_token(token: str):
    assert bought(answering(sale(RechargeToken=token))).value == TOKEN


@pytest.mark.parametrize(
    ("energy", "units"),
    [
        ("8.33", Fraction(833, 100)),
        ("8", Fraction(8)),
        ("0.001", Fraction(1, 1000)),
        ("8.33333333333333", Fraction(8333, 1000)),
        (" 8.330 ", Fraction(833, 100)),
    ],
)
def test_what_the_vendor_gave_is_what_it_says_to_a_thousandth(energy: str, units: Fraction):
    assert bought(answering(sale(Energy=energy))).units == units


@pytest.mark.parametrize(
    "changes",
    [
        {"Result": "OK"},
        {"Result": "true"},
        {"Result": "True"},
        {"Result": "success", "Reason": "Success"},
        {"Result": " 0 ", "Reason": "OK"},
        {"Reason": None, "Signature": None, "FeeAmount": None, "ChangeAmount": None},
        {"Key1Token": None, "Key2Token": None},
    ],
)
def test_a_token_with_a_result_that_says_no_other_is_a_sale(changes: dict[str, str | None]):
    assert bought(answering(sale(**changes))) == Sold(TOKEN, units=Fraction(833, 100))


def test_tokens_of_a_new_key_are_to_be_typed_in_first_and_in_their_order():
    said = bought(answering(sale(Key1Token=f" {KEY1}", Key2Token="2222-" * 4 + "2222")))
    assert said == Sold(TOKEN, units=Fraction(833, 100), before=(KEY1, KEY2))


# --- nothing was asked ------------------------------------------------------------------------


def test_a_vendor_that_cannot_be_reached_was_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(VendorUnreachable):
        vendor(f"http://127.0.0.1:{port}").vend(order())
    with pytest.raises(VendorUnreachable):
        vendor("http://no-such-host.invalid").vend(order())


# --- anything else is uncertain ---------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"Result": "1"},
        {"Result": "-1"},
        {"Result": "00"},
        {"Result": "false"},
        {"Result": ""},
        {"Result": None},
        {"Result": "fail", "Reason": "no such meter", "RechargeToken": "", "Energy": ""},
        {"Result": "1", "Reason": "low balance", "RechargeToken": None, "Energy": None},
        {"Reason": "no such meter"},
        {"Reason": "0"},
        {"Reason": "true"},
        {"RechargeToken": None},
        {"RechargeToken": ""},
        {"RechargeToken": TOKEN[:-1]},
        {"RechargeToken": TOKEN + "0"},
        {"RechargeToken": "0" * 19 + "x"},
        {"RechargeToken": "٠" * 20},
        {"RechargeToken": f"{TOKEN},{TOKEN}"},
        {"RechargeToken": f"<Digits>{TOKEN}</Digits>"},
        {"Energy": None},
        {"Energy": ""},
        {"Energy": "0"},
        {"Energy": "0.00"},
        {"Energy": "0.0009"},
        {"Energy": "-8.33"},
        {"Energy": "8,33"},
        {"Energy": "8."},
        {"Energy": ".5"},
        {"Energy": "1e3"},
        {"Energy": "8/3"},
        {"Energy": "٨"},
        {"Energy": "9" * 10},
        {"Energy": "8.33 kWh"},
        {"Key1Token": KEY1},
        {"Key2Token": KEY2},
        {"Key1Token": KEY1, "Key2Token": "2"},
        {"Key1Token": "none", "Key2Token": "none"},
        {"Key1Token": KEY1 + "1", "Key2Token": KEY2},
    ],
)
def test_an_answer_that_is_not_clearly_a_sale_is_uncertain(changes: dict[str, str | None]):
    with pytest.raises(VendUncertain) as uncertain:
        bought(answering(sale(**changes)))
    assert not isinstance(uncertain.value, VendorSilent), "the vendor has spoken"


@pytest.mark.parametrize(
    "body",
    [
        envelope(""),
        envelope("<ValidationResult><Result>0</Result></ValidationResult>"),
        sale().replace(b"<soap:Body>", b"<soap:Body><soap:Fault/>"),
        sale().replace(b"<Reason>", b"<Result>1</Result><Reason>"),
        sale().replace(b"<Reason>", f"<RechargeToken>{KEY1}</RechargeToken><Reason>".encode()),
    ],
)
def test_an_envelope_without_one_clear_result_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        bought(answering(body))
    assert not isinstance(uncertain.value, VendorSilent)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>OK</html>",
        b'{"Result": 0}',
        sale()[:-1],
        sale().replace(b"<soap:E", b"<!DOCTYPE a><soap:E"),
        sale().replace(b"soap/envelope", b"soap/other"),
        sale().ljust(70_000),
    ],
)
def test_an_answer_that_cannot_be_read_is_a_broken_server_s(body: bytes):
    with pytest.raises(VendorSilent):
        bought(answering(body))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_is_not_followed_and_uncertain(status: str):
    with serving(answering(sale())) as elsewhere:
        with pytest.raises(VendUncertain):
            bought(answering(b"", status=status, headers=f"Location: {elsewhere.url}/\r\n"))
        assert elsewhere.connections == 0


SILENT = ["429 Slow", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", *SILENT])
@pytest.mark.parametrize("body", [b"", sale(), sale(Result="1", Reason="no")])
def test_an_error_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        bought(answering(body, status=status))
    assert uncertain.value.detail == f"HTTP status {status[:3]}"
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + sale(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        bought(sending(data))


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chint, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        bought(lambda connection: connection.recv(1))


def test_an_uncertain_vend_cannot_be_looked_up():
    with pytest.raises(VendUncertain):
        vendor("http://a.example").look_up(order())


WORDS = st.text(alphabet="0123456789 -.xOKé", max_size=24) | st.sampled_from(
    ["0", "OK", "", TOKEN, KEY1, "8.33"]
)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("Result", "Reason", "Key1Token", "Key2Token", "RechargeToken", "Energy"), WORDS
        ),
    )
)
def test_only_a_whole_sale_is_a_token(changes: dict[str, str]):
    try:
        got = sold(sale(**changes))
    except VendUncertain:
        return
    assert changes.get("Result", "0").strip().casefold() in {"0", "ok", "true", "success"}
    assert changes.get("Reason", "").strip().casefold() in {"", "ok", "success"}
    for token in (got.value, *got.before):
        assert token is not None
        assert len(token) == 20
        assert set(token) <= set("0123456789")
    assert got.units is not None
    assert 0 < got.units <= Fraction(changes.get("Energy", "8.33").strip())
    assert len(got.before) in (0, 2)


def test_the_vendor_s_own_words_are_kept_for_the_person_who_decides():
    with pytest.raises(VendUncertain) as uncertain:
        bought(answering(sale(Result="7", Reason="no such  meter", RechargeToken="")))
    assert uncertain.value.detail == "Result 7, Reason no such meter"


@pytest.mark.parametrize(
    "body",
    [
        sale(Result="1"),
        sale(Result="1", Reason=f"{TOKEN} {PASSWORD} mwanga &amp; sons {HASHED_PASSWORD}"),
        sale(Result=TOKEN),
        sale(RechargeToken=TOKEN + "99"),
        sale(Energy=TOKEN),
        sale(Key1Token=TOKEN),
        sale().replace(b"<soap:Body>", f"<soap:Body><soap:Fault>{TOKEN}</soap:Fault>".encode()),
        f"{TOKEN} {PASSWORD} {HASHED_PASSWORD}".encode(),
    ],
)
def test_no_error_repeats_a_token_or_the_credentials(body: bytes):
    with pytest.raises(MwangaError) as error:
        bought(answering(body))
    shown: BaseException | None = error.value
    while shown is not None:
        for hidden in (TOKEN, USER, PASSWORD, HASHED_PASSWORD):
            assert hidden not in f"{shown!r} {shown}"
        shown = shown.__cause__


# --- what people enter ------------------------------------------------------------------------


def test_a_token_may_be_typed_in_groups():
    assert vendor("http://a.example").token("0123-45678901-2345 6789 ") == TOKEN


def test_a_text_that_is_no_token_is_refused():
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").token(TOKEN[:-1])
    assert error.value.field == "token"


def test_a_meter_has_no_technical_fields():
    assert vendor("http://a.example").seal(METER, {}) == ({}, 0)
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal(METER, {"secret_key": "x"})
    assert error.value.field == "technical.secret_key"


def test_what_was_entered_for_a_meter_is_told_as_it_is():
    device = Device(METER, Kind.METER, "chint", 1, date(2026, 1, 1))
    assert vendor("http://a.example").reveal(device) == {}


# --- a question that sells nothing ------------------------------------------------------------


def validated(result: str = "0", reason: str = "") -> bytes:
    said = f"<Result>{result}</Result><Reason>{reason}</Reason><MeterNo>{METER}</MeterNo>"
    return envelope(f"<ValidationResult>{said}</ValidationResult>")


def test_a_check_has_a_meter_validated():
    with serving(answering(validated())) as server:
        vendor(server.url).check(METER)
        body = server.requests[0].partition(b"\r\n\r\n")[2].decode()
    assert "Validation" in body and "Transaction" not in body
    assert f"CustomerID>{METER}<" in body
    md5 = hashlib.md5(f"Chint;{METER};32440;".encode()).hexdigest().upper()
    assert f"ParaSignature>{md5}<" in body


@pytest.mark.parametrize("body", [validated("3", "unknown"), sale(), b"<html/>", b""])
def test_a_check_that_is_not_answered_well_says_so(body: bytes):
    with serving(answering(body)) as server, pytest.raises(VendUncertain):
        vendor(server.url).check(METER)
