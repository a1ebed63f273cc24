"""A demo meter goes the whole way, without any manufacturer: registered, paid for, a token."""

from __future__ import annotations

from tests.integration.api.conftest import Api, Place, meter, person, registration
from tests.integration.company import claim
from tests.integration.conftest import Cloud


def test_a_payment_for_a_demo_meter_brings_a_token_at_once(
    api: Api, cloud: Cloud, place: Place
) -> None:
    demo = meter(place, serial_number="DEMO1", manufacturer="demo_meter")
    assert api.post("/registrations", registration(person(place), demo), "field").status == 201
    tokens = []
    for transaction in ("T1", "T2"):
        taken = api.wiring.accept.accept(claim("DEMO1", 550, transaction), money_moved=True)
        payment_id = taken.payment.payment_id
        api.wiring.settle.settle(payment_id, "C1", "DEMO1")
        payment = api.get(f"/payments/{payment_id}").json
        assert payment["status"] == "completed"
        [token] = payment["tokens"]
        assert (token["units"], token["unit"]) == ("5.5", "kWh")
        tokens.append(token["value"])
    assert len(set(tokens)) == 2
    assert cloud.take("vends") == []
    assert api.wiring.reconcile.check_customer("C1").differences == ()
