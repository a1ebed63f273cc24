"""Shapes that no request of the integration tests brings about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from chalicelib.api.endpoints import routes_of
from chalicelib.api.routes import Call
from chalicelib.api.shapes import Shapes, time_text
from chalicelib.channels.direct import CHANNEL as DIRECT
from chalicelib.channels.interface import Channel, Described, Endpoint
from chalicelib.domain.account import Account, DeviceAccount, Kind
from chalicelib.domain.allocation import Rules, VendKind
from chalicelib.domain.payment import Event, Payment, Status, Token
from chalicelib.services.accept import rules_of
from chalicelib.services.account_view import AccountView
from chalicelib.services.ports import ProviderAnswer, RefusalClass, Settings

AT = datetime(2026, 3, 10, 9, tzinfo=UTC)
SHAPES = Shapes(Settings(), AT)
RULES: Rules = rules_of(Settings())


def payment(**changes: Any) -> Payment:
    """A payment of 10.00."""
    return Payment(
        payment_id="direct.demo-1",
        channel="direct",
        reference="1",
        serial_number="47001",
        amount_minor=1000,
        currency=changes.pop("currency", "KES"),
        claim_hash="",
        moment=AT,
        received_at=AT,
        status=Status.COMPLETED,
        **changes,
    )


def test_a_remote_top_up_is_a_token_without_a_value() -> None:
    token = Token(1, "47001", VendKind.ENERGY, Fraction(11, 2), None)
    assert SHAPES.payment(payment(tokens=(token,)))["tokens"] == [
        {"serial_number": "47001", "kind": "energy", "units": "5.5", "unit": "kWh", "value": None}
    ]


def test_an_unlock_has_no_units() -> None:
    token = Token(1, "SHS1", VendKind.UNLOCK, None, "123456789")
    shape = SHAPES.payment(payment(tokens=(token,)))["tokens"][0]
    assert (shape["units"], shape["unit"]) == (None, None)


def test_tokens_to_be_typed_in_first_are_told_in_their_order_where_there_are_some() -> None:
    token = Token(1, "47001", VendKind.ENERGY, Fraction(11, 2), "3" * 20)
    rekeyed = replace(token, before=("2" * 20, "1" * 20))
    first, second = SHAPES.payment(payment(tokens=(token, rekeyed)))["tokens"]
    assert "before" not in first
    assert second == {**first, "before": ["2" * 20, "1" * 20]}


def test_an_event_says_who_and_why_where_that_is_known() -> None:
    events = (Event(AT, "held"), Event(AT, "retry", "ops@example.com", "power was out"))
    assert SHAPES.payment(payment(events=events))["events"] == [
        {"at": "2026-03-10T09:00:00.000Z", "what": "held"},
        {
            "at": "2026-03-10T09:00:00.000Z",
            "what": "retry",
            "actor": "ops@example.com",
            "reason": "power was out",
        },
    ]


def test_a_payment_is_shown_in_its_own_currency() -> None:
    assert SHAPES.payment(payment(currency="UGX"))["amount"] == "1000"
    assert SHAPES.payment(payment(currency="???"))["amount"] == "10.00"


def test_what_a_device_carries_is_shown_exactly() -> None:
    meter = DeviceAccount("47001", Kind.METER, carry_minor=Fraction(1001, 2))
    shs = DeviceAccount("SHS1", Kind.SHS, carry_days=Fraction(1, 3), paid_until=AT)
    gone = DeviceAccount("47002", Kind.METER, owned=False)
    account = Account("C1", 1, devices=(meter, shs, gone))
    view = AccountView(account, AT.date(), AT, RULES, (), {})
    assert SHAPES.account(view)["devices"] == [
        {"serial_number": "47001", "kind": "meter", "carry": {"amount": "5.005"}},
        {
            "serial_number": "SHS1",
            "kind": "shs",
            "carry": {"days": "1/3"},
            "paid_until": "2026-03-10T09:00:00.000Z",
        },
    ]


def test_times_are_told_in_utc() -> None:
    assert time_text(datetime.fromisoformat("2026-03-10T12:00:00+03:00")) == time_text(AT)


def test_a_channel_may_answer_in_plain_text_and_is_given_the_request_as_it_came() -> None:
    seen = []

    def notify(request: Any, desk: Any) -> ProviderAnswer:
        """Take a notification."""
        seen.append((request, desk))
        return ProviderAnswer(200, "OK", {"X-Provider": "yes"})

    endpoint = Endpoint("notify", "POST", "/payments/acme/{secret}", notify, Described("A secret."))
    [route] = routes_of(
        [Channel("acme", "Acme", RefusalClass.TOLD_AFTER, (endpoint,), DIRECT.stated)]
    )
    assert (route.signed, route.name) == (True, "notify")

    class TheDesk:
        def secret(self, name: str) -> dict[str, str]:
            return {"channels/acme": {"key": "k"}}[name]

    class Desk:
        desk = TheDesk()

    call: Call[Any] = Call(
        wiring=Desk(),  # type: ignore[arg-type]
        path={"secret": "s"},
        query={"q": "1"},
        headers={"h": "v"},
        body=None,
        raw=b"<xml/>",
        source_address="1.2.3.4",
    )
    answer = route.handler(call)
    assert (answer.status, answer.body, answer.headers) == (200, "OK", {"X-Provider": "yes"})
    assert answer.content_type.startswith("text/plain")
    [(request, desk)] = seen
    assert desk == Desk.desk
    assert (request.body, request.source_address) == (b"<xml/>", "1.2.3.4")
    assert (request.path_parameters, request.query) == ({"secret": "s"}, {"q": "1"})
