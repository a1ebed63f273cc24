"""The payment page: plain forms, small, in the payer's language, and safe from what is typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.api.pay_words import WORDS, PayWords, best_language
from chalicelib.channels import asking
from chalicelib.runtime.one_call import Answer, NotSent
from tests.integration.api.conftest import Api, Place, Reply

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def serial_number(api: Api, place: Place) -> str:
    """Asha's meter."""
    person = {"name": "Asha", "surname": "Mwangi", "phone": "0712345678"}
    device = {"serial_number": "S1", "manufacturer": "calin", "tariff_id": place.tariff_id}
    body = {"customer": {**person, "village_id": place.village_id}, "device": device}
    assert api.post("/registrations", body, ("admin", "field")).status == 201
    return "S1"


def post(api: Api, **fields: str) -> Reply:
    return api.send("POST", "/pay", raw=urlencode(fields).encode(), headers=FORM)


def text_of(reply: Reply) -> str:
    return unescape(re.sub("<[^>]+>", " ", reply.text))


# --- what is shown --------------------------------------------------------------------------------


def test_the_page_is_small_runs_nothing_and_loads_nothing(api: Api) -> None:
    page = api.send("GET", "/pay?serial_number=S1&amount=50")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(page.text.encode()) < 30_000
    assert "<script" not in page.text and "src=" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert 'value="S1"' in page.text and 'value="50"' in page.text


def test_only_channels_that_the_company_uses_and_a_payer_can_start_are_offered(api: Api) -> None:
    offered = re.findall(r'<option value="(\w+)"', api.send("GET", "/pay").text)
    assert "paystack" in offered and "pesapal" in offered
    assert set(offered).isdisjoint({"direct", "cash", "agent", "daraja", "wavecom", "daraja_stk"})


@pytest.mark.parametrize(("accepted", "language"), [("sw-KE,en;q=0.8", "sw"), ("de", "en")])
def test_it_speaks_the_payer_s_language_where_the_company_does(
    api: Api, accepted: str, language: str
) -> None:
    catalogue = api.wiring.catalogue
    speaks = replace(catalogue.settings(), languages=("en", "sw"))
    with patch.object(catalogue, "settings", lambda: speaks):
        page = api.send("GET", "/pay", headers={"Accept-Language": accepted})
    assert f'lang="{language}"' in page.text
    assert WORDS[language].title in text_of(page)


def test_every_language_says_everything() -> None:
    for words in WORDS.values():
        assert all(getattr(words, name) for name in PayWords.__slots__)
    assert best_language("", ()) == best_language("xx", ("xx",)) == "en"


# --- the steps ------------------------------------------------------------------------------------


def test_what_a_payment_would_bring_is_shown_with_the_masked_name(
    api: Api, serial_number: str
) -> None:
    page = post(api, serial_number=serial_number, amount="500", channel="paystack")
    assert page.status == 200
    told = text_of(page)
    assert "ASHA M." in told and "kWh" in told and "KES 500.00" in told
    assert 'name="confirmed"' in page.text


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"serial_number": "NOBODY"}, "not known"),
        ({"serial_number": ""}, "not known"),
        ({"amount": "many"}, "not possible"),
        ({"amount": "0.5"}, "too small"),
        ({"channel": "direct"}, "not possible"),
        ({"channel": "flutterwave_v4"}, "phone"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
    api: Api, serial_number: str, changes: dict[str, str], word: str
) -> None:
    typed = {"serial_number": serial_number, "amount": "500", "channel": "paystack", **changes}
    page = post(api, **typed)
    assert page.status == 422
    assert word in text_of(page)
    assert f'value="{typed["amount"]}"' in page.text


@pytest.fixture
def paystack() -> Iterator[list[Any]]:
    """What Paystack answers, one answer for each call."""
    script: list[Any] = []

    def answer(*_: Any, **__: Any) -> Answer:
        said = script.pop(0)
        if isinstance(said, Exception):
            raise said
        return Answer(200, said)

    with patch.object(asking, "call", answer):
        yield script


def test_a_confirmed_payment_leads_to_the_provider_s_page(
    api: Api, serial_number: str, paystack: list[Any]
) -> None:
    url = "https://checkout.example/x?a=1&b=2"
    paystack.append(b'{"status":true,"data":{"authorization_url":"%s"}}' % url.encode())
    typed = {"serial_number": serial_number, "amount": "500", "channel": "paystack"}
    page = post(api, **typed, confirmed="yes")
    assert page.status == 200
    assert "checkout.example/x?a=1&amp;b=2" in page.text


def test_where_nothing_can_be_started_that_is_said(
    api: Api, serial_number: str, paystack: list[Any]
) -> None:
    paystack.append(NotSent("down"))
    typed = {"serial_number": serial_number, "amount": "500", "channel": "paystack"}
    page = post(api, **typed, confirmed="yes")
    assert page.status == 503
    assert "Nothing was taken" in text_of(page)


def test_a_payment_is_watched_without_what_it_brought(
    api: Api, serial_number: str, paystack: list[Any]
) -> None:
    paystack.append(b'{"status":true,"data":{"authorization_url":"https://c.example/"}}')
    body = {"serial_number": serial_number, "amount": "500"}
    started = api.send("POST", "/payments/paystack/checkouts", body).json
    page = api.send("GET", f"/pay/{started['payment_id']}")
    assert "waiting" in text_of(page) and "refresh" in page.text
    assert serial_number not in page.text
    api.wiring.collect.not_started(
        api.wiring.payments.get(started["payment_id"]),  # type: ignore[arg-type]
        "not_paid",
    )
    assert "Nothing was paid" in text_of(api.send("GET", f"/pay/{started['payment_id']}"))


def test_nobody_s_other_payment_is_watched(api: Api, serial_number: str) -> None:
    body = {"serial_number": serial_number, "amount": "500"}
    key = {"Idempotency-Key": "watch-1"}
    cash = api.send("POST", "/payments/cash", body, role="office", headers=key)
    for payment_id in (cash.json["payment_id"], "paystack-none"):
        assert api.send("GET", f"/pay/{payment_id}").status == 404


def test_another_body_is_not_taken(api: Api) -> None:
    json_body = api.send("POST", "/pay", raw=b"{}", headers={"Content-Type": "application/json"})
    assert json_body.code == "unsupported_media_type"
    assert api.send("POST", "/pay", raw=b"a=" + b"x" * 70_000, headers=FORM).code == "too_large"
    twice = api.send("POST", "/pay", raw=b"channel=paystack&channel=direct", headers=FORM)
    assert twice.status == 422


@settings(max_examples=60)
@given(
    typed=st.dictionaries(
        st.sampled_from(["serial_number", "amount", "channel", "phone", "confirmed"]),
        st.one_of(st.text(max_size=90), st.just('"><script>alert(1)</script>')),
    )
)
def test_nothing_that_is_typed_becomes_part_of_the_page(
    api: Api, serial_number: str, typed: dict[str, str]
) -> None:
    encoded = urlencode({name: text.encode("utf-8", "replace") for name, text in typed.items()})
    page = api.send("POST", "/pay", raw=encoded.encode(), headers=FORM)
    assert page.status in (200, 422)
    assert "<script" not in page.text
