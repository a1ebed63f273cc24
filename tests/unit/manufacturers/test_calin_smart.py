"""Calin Smart: what is sent, what each answer means, and how a lost vend is found again."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind
from chalicelib.domain.errors import FieldError, MwangaError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Vend, VendState
from chalicelib.manufacturers import calin_smart
from chalicelib.runtime.one_call import Answer
from chalicelib.services.ports import (
    Device,
    RecoveryClass,
    SecretMissing,
    Sold,
    VendAbsent,
    VendOrder,
    VendorSilent,
    VendorUnreachable,
    VendRefused,
    VendUncertain,
)
from tests.unit.manufacturers.any_json import JSON
from tests.unit.scripted_server import Behaviour, answering, sending, serving

TOKEN, OTHER_TOKEN = "01234567890123456789", "98765432109876543210"
SERIAL = "47000123456"
CALLED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = {
    "company_name": "ACME",
    "user_name": "POS1",
    "password": "a vendor's pass word",
    "password_vend": "another pass word",
    "time_zone": "Africa/Nairobi",
}
VEND = Vend(
    number=1,
    serial_number=SERIAL,
    manufacturer="calin_smart",
    kind=VendKind.ENERGY,
    state=VendState.CALLING,
    units=Fraction(123, 10),
    called_at=CALLED_AT,
)


def sold(token: object = TOKEN, code: object = 0) -> bytes:
    result = {"token": token, "customer_name": "A. Customer"}
    return json.dumps({"result_code": code, "reason": "", "result": result}).encode()


def purchase(**changes: object) -> dict[str, object]:
    """What the vendor lists for VEND, a second after the call: 15:00:01 in Nairobi."""
    row = {
        "token": TOKEN,
        "meter_number": SERIAL,
        "total_unit": "12.3",
        "create_date": "2026-03-01 15:00:01",
    }
    return {**row, **changes}


def history(*rows: object, code: object = 0) -> bytes:
    return json.dumps({"result_code": code, "reason": "", "result": list(rows)}).encode()


def order(vend: Vend = VEND, known_tokens: frozenset[str] = frozenset()) -> VendOrder:
    return VendOrder("p-1", vend, Currency("KES", 2), known_tokens=known_tokens)


def vendor(base_url: object, **changes: object) -> calin_smart.CalinSmart:
    secret = {"base_url": base_url, **SECRET, **changes}
    secrets: Mapping[str, Mapping[str, Any]] = {"manufacturers/calin_smart": secret}
    return calin_smart.make("calin_smart", secrets.__getitem__)


def vended(behaviour: Behaviour) -> str | None:
    with serving(behaviour) as server:
        try:
            return vendor(f"{server.url}/api").vend(order()).value
        finally:
            assert server.connections == 1, "a vend is asked for once, whatever comes of it"


ORDER = order()


def found(body: bytes, wanted: VendOrder = ORDER, **changes: object) -> Sold:
    with serving(answering(body)) as server:
        return vendor(server.url, **changes).look_up(wanted)


# --- as data ----------------------------------------------------------------------------------


def test_the_manufacturer_is_stated_as_data():
    (manufacturer,) = calin_smart.MANUFACTURERS
    assert (manufacturer.key, manufacturer.manufacturer_id) == ("calin_smart", 11)
    assert manufacturer.kind is Kind.METER
    assert manufacturer.recovery is RecoveryClass.SEARCHABLE
    assert manufacturer.one_at_a_time, "its purchases are told apart by meter, kWh and time"
    assert manufacturer.absent_after_seconds == 60
    assert not manufacturer.local
    assert not manufacturer.technical_required
    assert manufacturer.timeout_seconds == 20
    assert set(manufacturer.rules) == {
        VendKind.ENERGY,
        VendKind.CLEAR_CREDIT,
        VendKind.CLEAR_TAMPER,
    }


def test_energy_is_sold_in_tenths_of_a_kwh():
    device = Device(SERIAL, Kind.METER, "calin_smart", 1, date(2026, 1, 1))
    rules = vendor("http://a.example").rules(device, VendKind.ENERGY)
    assert (rules.step, rules.units_max, rules.money_step_minor) == (Fraction(1, 10), None, None)


# --- what is sent -----------------------------------------------------------------------------


def test_the_vendor_is_asked_exactly_as_it_expects():
    with serving(answering(sold())) as server:
        assert vendor(f"{server.url}/api/").vend(order()) == Sold(TOKEN)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/POS_Purchase/ HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in head + b"\r\n"
    assert body.endswith(b', "amount": 12.3}')
    assert json.loads(body) == {
        "company_name": "ACME",
        "user_name": "POS1",
        "password": "a vendor's pass word",
        "password_vend": "another pass word",
        "meter_number": SERIAL,
        "is_vend_by_unit": True,
        "amount": 12.3,
    }


def test_the_history_is_asked_without_the_second_password():
    with serving(answering(history(purchase()))) as server:
        assert vendor(f"{server.url}/api").look_up(order()) == Sold(TOKEN)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/POS_PurchaseHistory HTTP/1.1\r\n")
    assert json.loads(body) == {
        "company_name": "ACME",
        "user_name": "POS1",
        "password": "a vendor's pass word",
        "customer_number": "",
        "customer_name": "",
        "meter_number": SERIAL,
    }


@pytest.mark.parametrize(
    ("vend", "code"),
    [
        (replace(VEND, units=Fraction(1, 100)), "units_out_of_range"),
        (replace(VEND, units=Fraction(0)), "not_offered"),
        (replace(VEND, units=None), "not_offered"),
        (replace(VEND, kind=VendKind.TIME), "not_offered"),
        (replace(VEND, kind=VendKind.UNLOCK), "not_offered"),
    ],
)
def test_what_the_vendor_does_not_sell_is_not_asked_for(vend: Vend, code: str):
    with serving(answering(sold())) as server:
        with pytest.raises(VendRefused) as refused:
            vendor(server.url).vend(order(vend))
        assert refused.value.code == code
        assert server.connections == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": None},
        {"base_url": "calin"},
        {"company_name": ""},
        {"user_name": None},
        {"password": 1},
        {"password_vend": ""},
        {"time_zone": None},
        {"time_zone": ""},
        {"time_zone": "Africa"},
        {"time_zone": "Africa/Nowhere"},
        {"time_zone": "../etc/passwd"},
        {"time_zone": "\ud800"},
    ],
)
def test_without_a_proper_secret_nothing_is_asked(changes: dict[str, object]):
    with serving(answering(sold())) as server:
        broken = vendor(**{"base_url": server.url, **changes})
        with pytest.raises(SecretMissing):
            broken.vend(order())
        with pytest.raises(SecretMissing):
            broken.look_up(order())
        assert server.connections == 0


# --- the answer to a vend ---------------------------------------------------------------------


@pytest.mark.parametrize("token", [TOKEN, "0123 4567 8901 2345 6789", "0123-4567-8901-2345-6789"])
@pytest.mark.parametrize("code", [0, "0", "00"])
def test_twenty_digits_with_code_0_are_the_token(token: str, code: object):
    assert vended(answering(sold(token, code))) == TOKEN


@pytest.mark.parametrize(
    ("code", "reason"),
    [(2, "authentication_failed"), ("02", "authentication_failed"), (3, "meter_not_found")],
)
def test_a_listed_code_is_a_definite_no(code: object, reason: str):
    with pytest.raises(VendRefused) as refused:
        vended(answering(json.dumps({"result_code": code, "reason": "no"}).encode()))
    assert refused.value.code == reason


def test_a_vendor_that_cannot_be_reached_was_not_asked():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(VendorUnreachable):
        vendor(f"http://127.0.0.1:{port}").vend(order())
    with pytest.raises(VendorUnreachable):
        vendor(f"http://127.0.0.1:{port}").look_up(order())


UNCLEAR = [
    b"",
    b"<html>OK</html>",
    b"null",
    b"[]",
    b"{}",
    b'{"result_code": NaN}',
    b'{"result_code": 0}',
    b'{"result_code": 0, "result": null}',
    json.dumps({"result_code": 0, "result": TOKEN}).encode(),
    json.dumps({"result_code": 0, "result": [{"token": TOKEN}]}).encode(),
    json.dumps({"result_code": 0, "token": TOKEN}).encode(),
    sold(code=True),
    sold(code=False),
    sold(code=1),
    sold(code=0.0),
    sold(code=""),
    sold(code=None),
    sold(token=None),
    sold(token=int(OTHER_TOKEN)),
    sold(token=TOKEN[:-1]),
    sold(token=TOKEN + "0"),
    sold(token="٠" * 20),
    sold(token={"token": TOKEN}),
    sold().replace(b"A. Customer", b"\xff"),
    sold()[:-1] + b', "result_code": 3}',
    sold().decode().encode("utf-16"),
    b"[" * 50_000,
    sold().ljust(70_000),
]


@pytest.mark.parametrize("body", UNCLEAR)
def test_a_success_that_is_not_clear_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        vended(answering(body))


SILENT = ["429 Slow", "500 Oops", "503 -"]


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", *SILENT])
@pytest.mark.parametrize("body", [b"", sold(), b'{"result_code": 3}'])
def test_an_error_status_is_uncertain_whatever_it_says(status: str, body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body, status=status))
    assert uncertain.value.detail == f"HTTP status {status[:3]}"
    assert isinstance(uncertain.value, VendorSilent) is (status in SILENT)


@pytest.mark.parametrize("body", [b"{}", sold(code=1), sold(code=None), sold(token=None)])
def test_an_answer_that_can_be_read_is_no_silence_however_odd(body: bytes):
    with pytest.raises(VendUncertain) as uncertain:
        vended(answering(body))
    assert not isinstance(uncertain.value, VendorSilent)


@pytest.mark.parametrize("body", [b"", b"<html>OK</html>", b"[]"])
def test_an_answer_that_cannot_be_read_is_a_broken_servers(body: bytes):
    with pytest.raises(VendorSilent):
        vended(answering(body))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect"])
def test_a_redirect_is_not_followed_and_uncertain(status: str):
    with serving(answering(sold())) as elsewhere:
        headers = f"Location: {elsewhere.url}/POS_Purchase/\r\n"
        with pytest.raises(VendUncertain):
            vended(answering(b"", status=status, headers=headers))
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + sold(), b"garbage"]
)
def test_a_connection_that_breaks_after_the_question_is_silence(data: bytes):
    with pytest.raises(VendorSilent):
        vended(sending(data))


def test_a_slow_answer_is_silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calin_smart, "SECONDS_MAX", 0.2)
    with pytest.raises(VendorSilent):
        vended(lambda connection: connection.recv(1))


# --- a lost vend is looked up -----------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"token": "0123-4567-8901-2345-6789"},
        {"meter_number": " 4700-0123 456 "},
        {"total_unit": "12.30"},
        {"total_unit": "0012.3"},
        {"total_unit": 12.3},
        {"create_date": "2026-03-01 14:58:00"},
        {"create_date": "2026-03-01 18:00:00"},
        {"remark": [None]},
    ],
)
def test_the_one_purchase_that_fits_is_the_vend(changes: dict[str, object]):
    assert found(history(purchase(**changes))) == Sold(TOKEN)


def test_whole_kwh_are_the_same_however_they_are_written():
    whole = order(replace(VEND, units=Fraction(12)))
    for written in (12, "12", "12.0", 12.0):
        assert found(history(purchase(total_unit=written)), whole) == Sold(TOKEN)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [purchase(meter_number="47000123457")],
        [purchase(total_unit="12.4")],
        [purchase(total_unit="12.3000001")],
        [purchase(create_date="2026-02-27 15:00:00")],
    ],
)
def test_a_list_without_it_says_that_it_is_not_there(rows: list[object]):
    with pytest.raises(VendAbsent):
        found(history(*rows))


def test_a_purchase_whose_token_is_known_is_another_vends():
    with pytest.raises(VendAbsent):
        found(history(purchase()), order(known_tokens=frozenset({TOKEN})))
    rows = purchase(), purchase(token=OTHER_TOKEN)
    assert found(history(*rows), order(known_tokens=frozenset({TOKEN}))) == Sold(OTHER_TOKEN)


def test_other_purchases_do_not_hide_it():
    rows = (
        purchase(token=OTHER_TOKEN, total_unit="5"),
        purchase(),
        purchase(token=OTHER_TOKEN, meter_number="1"),
        purchase(token=OTHER_TOKEN, create_date="2020-01-01 00:00:00"),
    )
    assert found(history(*rows)) == Sold(TOKEN)


def test_a_purchase_that_is_listed_twice_is_one():
    assert found(history(purchase(), purchase())) == Sold(TOKEN)


def test_two_purchases_that_fit_are_for_a_person():
    with pytest.raises(VendUncertain, match="several purchases fit"):
        found(history(purchase(), purchase(token=OTHER_TOKEN)))


@pytest.mark.parametrize("create_date", ["2026-03-01 14:57:59", "2026-02-28 13:00:00"])
def test_a_purchase_that_fits_but_for_its_time_is_never_sold_again(create_date: str):
    """The vendor's clock or the configured time zone may be wrong."""
    with pytest.raises(VendUncertain, match="but for its time"):
        found(history(purchase(create_date=create_date)))


@pytest.mark.parametrize(
    "zone", ["UTC", "Africa/Nairobi", "Asia/Shanghai", "Pacific/Kiritimati", "Pacific/Midway"]
)
@pytest.mark.parametrize("configured", ["UTC", "Pacific/Kiritimati", "Pacific/Midway"])
def test_no_wrong_time_zone_makes_a_purchase_absent(zone: str, configured: str):
    written = CALLED_AT.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
    try:
        assert found(history(purchase(create_date=written)), time_zone=configured) == Sold(TOKEN)
    except VendUncertain:
        assert zone != configured


def test_an_hour_that_the_clocks_repeat_counts_as_the_later_one():
    called_at = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)  # 02:30 in Berlin, for the second time
    late = order(replace(VEND, called_at=called_at))
    row = purchase(create_date="2026-10-25 02:30:10")
    assert found(history(row), late, time_zone="Europe/Berlin") == Sold(TOKEN)


def test_a_vend_without_a_time_cannot_be_searched():
    with serving(answering(history())) as server:
        with pytest.raises(VendUncertain):
            vendor(server.url).look_up(order(replace(VEND, called_at=None)))
        assert server.connections == 0


@pytest.mark.parametrize("code", [1, 2, "02", 3, 9, None, "", True])
def test_no_code_of_a_search_says_that_nothing_was_sold(code: object):
    with pytest.raises(VendUncertain):
        found(history(code=code))


@pytest.mark.parametrize(
    "body",
    [
        *UNCLEAR,
        history("text"),
        history(None),
        history([]),
        history({}),
        history(purchase(token=None)),
        history(purchase(token=TOKEN[:-1])),
        history(purchase(token="")),
        history(purchase(meter_number=None)),
        history(purchase(meter_number=47000123456)),
        history(purchase(meter_number="")),
        history(purchase(total_unit=None)),
        history(purchase(total_unit=True)),
        history(purchase(total_unit="")),
        history(purchase(total_unit="12,3")),
        history(purchase(total_unit="-12.3")),
        history(purchase(total_unit="1/3")),
        history(purchase(total_unit="1e400")),
        history(purchase(total_unit=1e300)),
        history(purchase(total_unit="9" * 5000)),
        history(purchase(create_date=None)),
        history(purchase(create_date=1)),
        history(purchase(create_date="")),
        history(purchase(create_date="01.03.2026 15:00:01")),
        history(purchase(create_date="2026-02-30 15:00:01")),
        history(purchase(create_date="2026-03-01T15:00:01Z")),
        history(purchase(create_date="0001-01-01 00:00:00")),
        history(purchase(create_date="0000-01-01 00:00:00")),
        history(purchase(), {"token": OTHER_TOKEN}),
    ],
)
def test_a_list_that_is_not_understood_is_uncertain(body: bytes):
    with pytest.raises(VendUncertain):
        found(body)


@pytest.mark.parametrize("status", ["302 Found", "401 No", "404 No", "500 Oops"])
def test_a_search_with_an_error_status_is_uncertain(status: str):
    with serving(answering(history(), status=status)) as server, pytest.raises(VendUncertain):
        vendor(server.url).look_up(order())


# --- answers of any shape ---------------------------------------------------------------------

ROWS = st.fixed_dictionaries(
    {},
    optional={
        "token": st.text(alphabet="0123456789- ", min_size=18, max_size=24) | st.just(TOKEN) | JSON,
        "meter_number": st.just(SERIAL) | JSON,
        "total_unit": st.sampled_from(["12.3", 12.3, 12]) | JSON,
        "create_date": st.sampled_from(["2026-03-01 15:00:01", "9999-12-31 23:59:59"])
        | st.datetimes().map(lambda at: at.strftime("%Y-%m-%d %H:%M:%S"))
        | JSON,
    },
)


@given(
    st.binary(max_size=200)
    | st.fixed_dictionaries(
        {},
        optional={
            "result_code": st.sampled_from([0, "0", 2, 3]) | JSON,
            "result": ROWS | st.lists(ROWS, max_size=3) | JSON,
        },
    ).map(lambda fields: json.dumps(fields).encode())
)
def test_no_answer_of_any_shape_makes_anything_but_a_token_or_one_of_our_errors(body: bytes):
    try:
        token = calin_smart._token_of(Answer(200, body))
    except (VendRefused, VendUncertain):
        pass
    else:
        assert len(token) == 20
    try:
        purchases = calin_smart._purchases(Answer(200, body), ZoneInfo("Africa/Nairobi"))
        token = calin_smart._token_bought(order(), CALLED_AT, purchases)
    except (VendAbsent, VendUncertain):
        return
    assert len(token) == 20


@given(st.lists(st.timedeltas(timedelta(-3), timedelta(3)), max_size=4))
def test_absent_is_said_only_where_nothing_near_the_call_fits(offsets: list[timedelta]):
    rows = [
        calin_smart._Purchase(SERIAL, f"{n:020}", Fraction(123, 10), CALLED_AT + offset)
        for n, offset in enumerate(offsets)
    ]
    try:
        calin_smart._token_bought(order(), CALLED_AT, rows)
    except VendUncertain:
        assert offsets
    except VendAbsent:
        assert all(offset < timedelta(hours=-26) for offset in offsets)
    else:
        assert sum(offset >= timedelta(minutes=-2) for offset in offsets) == 1


@pytest.mark.parametrize(
    "body",
    [
        sold(token=TOKEN + "99"),
        sold(code=TOKEN),
        json.dumps({"result_code": 3, "reason": f"{TOKEN} {SECRET['password']}"}).encode(),
        f"{TOKEN} {SECRET['password_vend']}".encode(),
        history(purchase(create_date="")),
        history(purchase(), purchase(token=OTHER_TOKEN)),
    ],
)
def test_no_error_repeats_a_token_or_a_password(body: bytes):
    for ask in (lambda: vended(answering(body)), lambda: found(body)):
        with pytest.raises(MwangaError) as error:
            ask()
        shown: BaseException | None = error.value
        while shown is not None:
            text = f"{shown!r} {shown}"
            assert TOKEN not in text
            assert SECRET["password"] not in text
            assert SECRET["password_vend"] not in text
            shown = shown.__cause__


# --- maintenance tokens -----------------------------------------------------------------------


def maintenance(kind: VendKind) -> Vend:
    return replace(VEND, kind=kind, units=None)


def maintained(result: object, code: object = 0) -> bytes:
    return json.dumps({"result_code": code, "reason": "", "result": result}).encode()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (VendKind.CLEAR_CREDIT, "/api/Maintenance_ClearCredit/"),
        (VendKind.CLEAR_TAMPER, "/api/Maintenance_ClearTamper/"),
    ],
)
def test_a_maintenance_token_is_asked_for_with_the_first_password_alone(kind: VendKind, path: str):
    with serving(answering(maintained("0123 4567 8901 2345 6789"))) as server:
        sold = vendor(f"{server.url}/api").vend(order(maintenance(kind)))
        assert sold == Sold(TOKEN)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(f"POST {path} HTTP/1.1\r\n".encode())
    names = ("company_name", "user_name", "password")
    assert json.loads(body) == {**{n: SECRET[n] for n in names}, "meter_number": SERIAL}


@pytest.mark.parametrize(
    "body",
    [maintained(None), maintained(TOKEN[1:]), maintained({"token": TOKEN}), b"", maintained(1)],
)
def test_a_maintenance_answer_that_is_not_clear_is_uncertain(body: bytes):
    with serving(answering(body)) as server, pytest.raises(VendUncertain):
        vendor(server.url).vend(order(maintenance(VendKind.CLEAR_CREDIT)))


def test_a_listed_code_refuses_maintenance_too():
    with serving(answering(maintained(None, code=3))) as server, pytest.raises(VendRefused):
        vendor(server.url).vend(order(maintenance(VendKind.CLEAR_TAMPER)))


def test_a_maintenance_token_is_in_no_list_of_purchases():
    with pytest.raises(VendUncertain):
        vendor("http://a.example").look_up(order(maintenance(VendKind.CLEAR_CREDIT)))


# --- what people enter ------------------------------------------------------------------------


def test_a_token_may_be_typed_in_groups():
    assert vendor("http://a.example").token("0123 4567-8901 2345 6789") == TOKEN


@pytest.mark.parametrize("text", ["", TOKEN[:-1], TOKEN + "0", "x" * 20])
def test_a_text_that_is_no_token_is_refused(text: str):
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").token(text)
    assert error.value.field == "token"


def test_a_meter_has_no_technical_fields():
    assert vendor("http://a.example").seal(SERIAL, {}) == ({}, 0)
    with pytest.raises(FieldError) as error:
        vendor("http://a.example").seal(SERIAL, {"customer_id": "x"})
    assert error.value.field == "technical.customer_id"


# --- a question that sells nothing ------------------------------------------------------------


def test_a_check_asks_for_a_meters_purchases():
    with serving(answering(history(purchase()))) as server:
        vendor(f"{server.url}/api").check(SERIAL)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/POS_PurchaseHistory HTTP/1.1\r\n")
    assert json.loads(body)["meter_number"] == SERIAL
    assert "password_vend" not in json.loads(body)


def test_a_check_tells_a_listed_no_from_an_answer_that_is_none():
    with serving(answering(history(code="02"))) as server, pytest.raises(VendRefused) as refused:
        vendor(server.url).check(SERIAL)
    assert refused.value.code == "authentication_failed"
    with serving(answering(b"<html>")) as server, pytest.raises(VendUncertain):
        vendor(server.url).check(SERIAL)
