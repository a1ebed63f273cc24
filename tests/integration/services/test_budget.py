"""What one payment costs in DynamoDB requests and write units, counted at the client.

Units are worked out from the sizes of the items that are really sent, indexes included, for the
reference customer: one meter, one SHS, one TV.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from chalicelib.domain.payment import Status
from chalicelib.wiring import Wiring
from tests.integration.company import BIKE, METER, SHS, TODAY, Company, FixedClock, claim, plan
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import Counter
from tests.integration.store.item_sizes import item_size
from tests.integration.store.ledger_of_requests import LedgerOfRequests
from tests.integration.vendor import (
    FakeAngaza,
    FakeCalinSmart,
    FakeDalyBms,
    FakeSparkMeter,
    FakeSparkShs,
    FakeSteama,
    FakeVendor,
)

ITEM_BYTES_MAX = 1024


@pytest.fixture
def customer_id(company: Company) -> str:
    """The reference customer, who owes something on the TV and a fee of the meter."""
    tariff_id = company.tariff("With fee", fee=50)
    overdue = TODAY - timedelta(days=10)
    return company.customer(
        company.meter(tariff_id=tariff_id),
        company.shs(plan_id="p-abcdefghij"),
        plans=(
            plan("p-klmnopqrst", 3000, first_due=overdue),
            plan("p-abcdefghij", 7000, serial_number=SHS),
        ),
    )


@pytest.fixture
def warm(counter: Counter, customer_id: str, ledger: LedgerOfRequests) -> LedgerOfRequests:
    """As after the first payment of a process: reference data and secrets are cached."""
    counter.pay(claim(SHS, 2000, "WARM1"))
    counter.pay(claim(METER, 100, "WARM2"))
    ledger.clear()
    return ledger


def test_a_token_computed_locally_takes_4_requests_and_8_write_units(
    counter: Counter, wiring: Wiring, warm: LedgerOfRequests
) -> None:
    wiring.accept.accept(claim(SHS, 700), money_moved=True)
    counter.settle_all()

    assert warm.operations == ["GetItem", "PutItem", "BatchGetItem", "TransactWriteItems"]
    assert warm.write_units == 8
    payment = counter.now("mpesa_ke.600966-T1")
    assert payment.status is Status.COMPLETED and len(payment.tokens) == 1


def test_a_token_of_a_remote_manufacturer_takes_6_requests_and_10_write_units(
    counter: Counter, wiring: Wiring, warm: LedgerOfRequests
) -> None:
    wiring.accept.accept(claim(METER, 700), money_moved=True)
    counter.settle_all()
    counter.vend_all()

    assert warm.operations == [
        "GetItem",
        "PutItem",
        "BatchGetItem",
        "TransactWriteItems",
        "UpdateItem",
        "PutItem",
    ]
    assert warm.write_units == 10
    payment = counter.now("mpesa_ke.600966-T1")
    assert payment.status is Status.COMPLETED and len(payment.tokens) == 1


def test_a_channel_that_is_asked_first_reads_the_account_too(
    wiring: Wiring, warm: LedgerOfRequests
) -> None:
    wiring.accept.accept(claim(SHS, 700), money_moved=False)
    assert warm.operations == ["GetItem", "GetItem", "PutItem"]


def test_an_sms_takes_2_requests_and_at_most_2_write_units(
    counter: Counter, wiring: Wiring, warm: LedgerOfRequests
) -> None:
    wiring.accept.accept(claim(SHS, 700), money_moved=True)
    counter.settle_all()
    warm.clear()
    counter.send_all()
    assert warm.operations == ["BatchGetItem", "PutItem"]
    assert warm.write_units <= 2


def test_the_reference_customers_items_fit_into_one_kilobyte_each(
    counter: Counter, customer_id: str, cloud: Cloud
) -> None:
    payment = counter.pay(claim(METER, 1000, "RKL51ZDR4F"))
    assert len(payment.lines) == 3 and payment.tokens
    stored = cloud.item("payments", payment_id=payment.payment_id)
    account = cloud.item("accounts", customer_id=customer_id)
    assert stored is not None and item_size(stored) <= ITEM_BYTES_MAX
    assert account is not None and item_size(account) <= ITEM_BYTES_MAX


# --- the other ways of vending ------------------------------------------------------------------


SMART, SPARK, STEAMA, SUN, KIT = "47002", "47003", "47004", "SHS9", "SHS8"
UP_TO_THE_VEND = ["GetItem", "PutItem", "BatchGetItem", "TransactWriteItems"]
LEASE, ANSWER = "UpdateItem", "PutItem"


@pytest.fixture
def others(
    company: Company, cloud: Cloud, clock: FixedClock, ledger: LedgerOfRequests
) -> Iterator[dict[str, FakeVendor]]:
    """One customer for each of the other manufacturers, each with one device."""
    company.customer(company.meter(SMART, manufacturer="calin_smart"))
    company.customer(company.meter(SPARK, manufacturer="sparkmeter"), phone="+254700000002")
    company.customer(
        company.shs(SUN, plan_id="p-9", manufacturer="angaza"),
        plans=(plan("p-9", 7000, serial_number=SUN),),
        phone="+254700000003",
    )
    company.customer(company.meter(STEAMA, manufacturer="steama"), phone="+254700000004")
    company.customer(
        company.shs(KIT, plan_id="p-8", manufacturer="spark_shs"),
        plans=(plan("p-8", 7000, serial_number=KIT),),
        phone="+254700000005",
    )
    company.customer(
        company.e_bike(plan_id="p-7", manufacturer="daly_bms"),
        plans=(plan("p-7", 7000, serial_number=BIKE),),
        phone="+254700000006",
    )
    fakes: dict[str, FakeVendor] = {
        SMART: FakeCalinSmart(clock.now),
        SPARK: FakeSparkMeter(),
        SUN: FakeAngaza(),
        STEAMA: FakeSteama(clock.now),
        KIT: FakeSparkShs(),
        BIKE: FakeDalyBms(),
    }
    with ExitStack() as servers:
        for fake in fakes.values():
            servers.enter_context(fake)
            fake.put_secrets(cloud)
        yield fakes


def vended(
    counter: Counter, others: dict[str, FakeVendor], ledger: LedgerOfRequests, serial_number: str
) -> tuple[list[str], int]:
    """What one payment of a warm process takes, from its acceptance to its last vend."""
    counter.pay(claim(serial_number, 700, "WARM"))
    ledger.clear()
    counter.wiring.accept.accept(claim(serial_number, 700), money_moved=True)
    counter.settle_all()
    counter.vend_all()
    operations, units = ledger.operations, ledger.write_units
    payment = counter.now("mpesa_ke.600966-T1")
    assert payment.status is Status.COMPLETED and len(payment.tokens) == 1
    assert operations[:4] == UP_TO_THE_VEND
    return operations[4:], units


def test_a_top_up_at_sparkmeter_reads_its_device_too_7_requests_and_10_write_units(
    counter: Counter, others: dict[str, FakeVendor], ledger: LedgerOfRequests
) -> None:
    operations, units = vended(counter, others, ledger, SPARK)
    assert operations == [LEASE, "GetItem", ANSWER]
    assert units == 10


def test_a_vend_of_angaza_reads_its_account_before_and_after_8_requests_and_10_write_units(
    counter: Counter, others: dict[str, FakeVendor], ledger: LedgerOfRequests
) -> None:
    operations, units = vended(counter, others, ledger, SUN)
    assert operations == [LEASE, "GetItem", "GetItem", ANSWER]
    assert units == 10


def test_a_vend_of_calin_smart_takes_its_device_and_gives_it_free_9_requests_and_12_write_units(
    counter: Counter, others: dict[str, FakeVendor], ledger: LedgerOfRequests
) -> None:
    operations, units = vended(counter, others, ledger, SMART)
    assert operations == ["GetItem", "PutItem", LEASE, ANSWER, "DeleteItem"]
    assert units == 12


def test_a_vend_of_spark_shs_takes_its_device_too_9_requests_and_12_write_units(
    counter: Counter, others: dict[str, FakeVendor], ledger: LedgerOfRequests
) -> None:
    operations, units = vended(counter, others, ledger, KIT)
    assert operations == ["GetItem", "PutItem", LEASE, ANSWER, "DeleteItem"]
    assert units == 12


def test_a_top_up_at_steama_reads_its_device_as_well_10_requests_and_12_write_units(
    counter: Counter, others: dict[str, FakeVendor], ledger: LedgerOfRequests
) -> None:
    operations, units = vended(counter, others, ledger, STEAMA)
    assert operations == ["GetItem", "PutItem", LEASE, "GetItem", ANSWER, "DeleteItem"]
    assert units == 12


def test_a_bike_that_is_switched_on_notes_when_to_look_at_it_9_requests_and_13_write_units(
    counter: Counter, others: dict[str, FakeVendor], ledger: LedgerOfRequests
) -> None:
    """The note is written with the device, into two of its indexes."""
    counter.pay(claim(BIKE, 700, "WARM"))
    seen = counter.wiring.devices.get(BIKE)
    assert seen is not None and seen.switch_off_at is not None
    counter.wiring.devices.look_again(BIKE, seen.switch_off_at, None)
    ledger.clear()
    counter.accept(BIKE, 700)
    counter.settle_all()
    counter.vend_all()
    operations = ledger.operations
    assert operations[:4] == UP_TO_THE_VEND
    assert operations[4:] == [LEASE, "GetItem", "UpdateItem", "GetItem", ANSWER]
    assert ledger.write_units == 13


def test_a_look_at_a_bike_takes_6_requests_and_7_write_units(
    counter: Counter, others: dict[str, FakeVendor], ledger: LedgerOfRequests, clock: FixedClock
) -> None:
    counter.pay(claim(BIKE, 700))
    clock.move(timedelta(days=7))
    counter.wiring.breaker.wait("daly_bms", 1)
    ledger.clear()
    assert counter.wiring.switch.queue_due() == 1
    counter.vend_all()
    reads = ["GetItem", "GetItem", "GetItem"]
    assert ledger.operations == ["Query", "UpdateItem", *reads, "UpdateItem"]
    assert ledger.write_units == 7


def test_a_process_that_has_not_vended_for_five_seconds_reads_the_circuit_once(
    counter: Counter, others: dict[str, FakeVendor], ledger: LedgerOfRequests, clock: FixedClock
) -> None:
    counter.pay(claim(SPARK, 700, "WARM"))
    counter.accept(SPARK, 700, "T1")
    counter.accept(SPARK, 700, "T2")
    counter.settle_all()
    clock.move(timedelta(seconds=5))
    ledger.clear()
    counter.vend_all()
    circuit, *vends = ledger.requests
    assert circuit.tables == ("test-circuits",)
    assert [request.operation for request in vends] == [LEASE, "GetItem", ANSWER] * 2
