"""Searches that tell vends apart by device, amount, time or a count alone: SteamaCo, Spark SHS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.payment import Payment, Status, VendState
from tests.integration.company import METER, SHS, Company, FixedClock, claim, plan
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import Counter, Diary
from tests.integration.vendor import FakeSparkShs, FakeSteama, FakeVendor, HangUp, unclear

TWO_SECONDS = timedelta(seconds=2)


@pytest.fixture(params=["steama", "spark_shs"])
def vendor(
    request: pytest.FixtureRequest, cloud: Cloud, company: Company, clock: FixedClock
) -> Iterator[tuple[FakeVendor, str]]:
    """A vendor as a server, and a device of its own."""
    if request.param == "steama":
        fake: FakeVendor = FakeSteama(clock.now)
        company.customer(company.meter(manufacturer="steama"))
        serial_number = METER
    else:
        fake = FakeSparkShs()
        serial_number = SHS
        system = company.shs(plan_id="p-1", manufacturer="spark_shs")
        company.customer(system, plans=(plan("p-1", 7000, serial_number=SHS),))
    with fake:
        fake.put_secrets(cloud)
        yield fake, serial_number


def looked_up(counter: Counter, clock: FixedClock, payment_id: str) -> Payment:
    """The payment after its vend was looked up."""
    clock.move(TWO_SECONDS)
    counter.let_delays_pass()
    counter.run_dry()
    return counter.now(payment_id)


def test_a_lost_answer_is_found_beside_an_earlier_sale_of_the_same_amount(
    counter: Counter, clock: FixedClock, vendor: tuple[FakeVendor, str]
) -> None:
    fake, serial_number = vendor
    first = counter.pay(claim(serial_number, 700))
    assert first.status is Status.COMPLETED
    fake.behaviours = [fake.lost]
    payment_id = counter.accept(serial_number, 700, "T2")
    counter.settle_all()
    counter.vend_all()
    assert counter.now(payment_id).vends[0].state is VendState.UNCERTAIN
    found = looked_up(counter, clock, payment_id)
    assert (found.status, found.vends[0].attempts) == (Status.COMPLETED, 1)
    assert len(fake.issued) == 2
    if found.tokens[0].value is not None:
        assert found.tokens[0].value == fake.issued[1] != first.tokens[0].value
    else:
        assert found.vends[0].reference == fake.issued[1] != first.vends[0].reference


def test_what_was_not_sold_is_absent_and_sold_anew_once_that_is_sure(
    counter: Counter, clock: FixedClock, vendor: tuple[FakeVendor, str]
) -> None:
    fake, serial_number = vendor
    counter.pay(claim(serial_number, 700))
    fake.behaviours = [unclear]
    payment_id = counter.accept(serial_number, 700, "T2")
    counter.settle_all()
    counter.vend_all()
    assert looked_up(counter, clock, payment_id).vends[0].state is VendState.UNCERTAIN
    clock.move(timedelta(minutes=3))
    sold = looked_up(counter, clock, payment_id)
    states = [vend.state for vend in sold.vends]
    assert (sold.status, states) == (Status.COMPLETED, [VendState.VOID, VendState.DONE])
    assert len(fake.issued) == 2


def test_a_process_that_dies_before_it_can_keep_the_count_leaves_it_to_a_person(
    counter: Counter, clock: FixedClock, cloud: Cloud, company: Company, diary: Diary
) -> None:
    system = company.shs(plan_id="p-1", manufacturer="spark_shs")
    company.customer(system, plans=(plan("p-1", 7000, serial_number=SHS),))
    with FakeSparkShs() as fake:
        fake.put_secrets(cloud)

        class Dying(BaseException):
            """What no code of ours catches."""

        def dying(request: dict[str, Any]) -> Any:
            fake.issue(request)
            raise HangUp

        fake.behaviours = [dying]
        body = counter.to_the_vend(SHS, 700)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Dying):

            def die(*_: object) -> None:
                raise Dying

            patch.setattr(counter.wiring.vend, "_write_answer", die)
            counter.vend(body)
        clock.move(timedelta(minutes=2))
        counter.vend(body)
        held = counter.now(body["payment_id"])
        while held.status is Status.VENDING:
            clock.move(timedelta(minutes=15))
            counter.let_delays_pass()
            counter.run_dry()
            held = counter.now(body["payment_id"])
        assert (held.status, held.reason) == (Status.HELD, "vend_uncertain")
        assert len(fake.issued) == 1, "it is not sold again"


def test_a_count_seen_before_a_call_is_no_news_to_a_vend_that_was_given_up(
    counter: Counter, clock: FixedClock, cloud: Cloud, company: Company, diary: Diary
) -> None:
    system = company.shs(plan_id="p-1", manufacturer="spark_shs")
    company.customer(system, plans=(plan("p-1", 7000, serial_number=SHS),))
    with FakeSparkShs() as fake:
        fake.put_secrets(cloud)
        body = counter.to_the_vend(SHS, 700)

        def given_up(request: dict[str, Any]) -> Any:
            payment = counter.now(body["payment_id"])
            vend = payment.vends[0]
            counter.wiring.payments.save(
                payment.with_vend(replace(vend, state=VendState.VOID, lease_until=None))
            )
            return 500, {}

        fake.behaviours = [given_up]
        counter.vend(body)
        assert counter.now(body["payment_id"]).vends[0].state is VendState.VOID
        assert diary.counted("LateAnswers") == 0
