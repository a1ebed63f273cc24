"""Customer and device become known together or not at all, and only once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.services.ports import (
    ConditionFailed,
    InUse,
    InvalidCursor,
    Registration,
    SiteKind,
    VersionConflict,
)
from chalicelib.store.accounts import DynamoAccounts
from chalicelib.store.customers import DynamoCustomers, DynamoRegistry
from chalicelib.store.devices import DynamoDevices
from chalicelib.store.models import AccountRow
from chalicelib.store.payments import DynamoPayments
from chalicelib.store.sites import DynamoSites
from tests.integration.conftest import Cloud
from tests.integration.store.examples import (
    CUSTOMER_ID,
    METER,
    PHONE,
    SHS,
    SHS_PLAN,
    account,
    customer,
    device,
    entry,
    payment,
    registration,
)
from tests.integration.store.ledger_of_requests import LedgerOfRequests

NOBODY = registration(
    customer=customer(customer_id="C2", number=2, name="Juma"),
    device=device(METER, customer_id="C2"),
    account=account(customer_id="C2", version=1),
    entry=entry(1, customer_id="C2"),
)
"""A registration that has nothing in common with the reference one but village and phone."""


def children(cloud: Cloud, village: int) -> int:
    item = cloud.item("sites", site_id=f"village#{village:07}")
    assert item
    return int(item.get("children", {"N": "0"})["N"])


def refused(registry: DynamoRegistry, attempt: Registration) -> str:
    with pytest.raises(ConditionFailed) as caught:
        registry.register(attempt)
    return caught.value.what


def test_everything_is_there_after_one_request(
    registry: DynamoRegistry, ledger: LedgerOfRequests, cloud: Cloud
) -> None:
    paid = replace(SHS_PLAN, paid_minor=SHS_PLAN.total_minor)
    registry.register(
        registration(ended_plans=(paid,), guard=("app#1", SHS), payment=payment("entry"))
    )
    assert ledger.operations == ["TransactWriteItems"]
    assert DynamoCustomers().get(CUSTOMER_ID) == customer()
    assert DynamoDevices().get(SHS) == device()
    assert DynamoAccounts().get(CUSTOMER_ID) == account(version=1)
    assert DynamoAccounts().ended_plan(paid.plan_id) == paid
    assert cloud.item("entries", customer_id=CUSTOMER_ID, account_version=1)
    assert registry.guard("app#1") == SHS
    assert DynamoPayments().get(payment("entry").payment_id) == payment("entry")
    assert children(cloud, 1) == 2


def test_the_customer_is_found_by_phone_and_name(registry: DynamoRegistry) -> None:
    registry.register(registration())
    assert registry.customer_of(PHONE, "  ASHA ", "mwangi") == customer()
    assert registry.customer_of(PHONE, "Asha", "Otieno") is None
    assert registry.customer_of("+254700000000", "Asha", "Mwangi") is None


def test_name_and_surname_do_not_run_into_each_other(registry: DynamoRegistry) -> None:
    registry.register(registration(customer=customer(name="A#B", surname="C")))
    assert registry.customer_of(PHONE, "A", "B#C") is None
    assert registry.customer_of(PHONE, "a#b", "c")


def test_a_second_device_joins_the_customer(registry: DynamoRegistry, cloud: Cloud) -> None:
    registry.register(registration())
    registry.register(
        Registration(
            customer=customer(),
            new_customer=False,
            device=device(METER),
            account=account(version=2),
            entry=entry(2),
        )
    )
    assert [d.serial_number for d in DynamoDevices().of_customer(CUSTOMER_ID)] == [METER, SHS]
    assert children(cloud, 1) == 3


def test_customer_and_device_may_stand_in_two_villages(
    registry: DynamoRegistry, cloud: Cloud
) -> None:
    registry.register(registration(device=device(village_id=2)))
    assert (children(cloud, 1), children(cloud, 2)) == (1, 1)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"device": device(SHS, customer_id="C2")}, "device"),
        ({"customer": replace(NOBODY.customer, name="asha ")}, "guard"),
        ({"guard": ("app#1", "x")}, "guard"),
        ({"customer": replace(NOBODY.customer, customer_id=CUSTOMER_ID)}, "customer"),
        ({"customer": replace(NOBODY.customer, village_id=77)}, "village"),
        ({"device": replace(NOBODY.device, village_id=77)}, "village"),
        ({"account": account(version=1)}, "account"),
        ({"account": account(customer_id="C2", version=5)}, "account"),
        ({"entry": entry(1)}, "account"),
        ({"payment": payment("entry")}, "account"),
        ({"device": device(SHS), "customer": customer(village_id=77)}, "device"),
    ],
    ids=str,
)
def test_each_condition_is_told_by_its_name_and_leaves_nothing_behind(
    registry: DynamoRegistry, cloud: Cloud, changed: dict[str, Any], what: str
) -> None:
    registry.register(registration(guard=("app#1", SHS), payment=payment("entry")))
    assert refused(registry, replace(NOBODY, **changed)) == what
    assert DynamoCustomers().get("C2") is None
    assert DynamoDevices().get(METER) is None
    assert DynamoAccounts().get("C2") is None
    assert children(cloud, 1) == 2
    registry.register(NOBODY)  # nothing of the refused one is in its way


def test_of_parallel_registrations_of_one_device_one_is_made(registry: DynamoRegistry) -> None:
    def register(number: int) -> str:
        name = f"C{number}"
        mine = registration(
            customer=customer(customer_id=name, number=number),
            device=device(customer_id=name),
            account=account(customer_id=name, version=1),
            entry=entry(1, customer_id=name),
        )
        try:
            registry.register(mine)
        except ConditionFailed as failed:
            return failed.what
        return "registered"

    with ThreadPoolExecutor(4) as pool:
        outcomes = sorted(pool.map(register, range(1, 7)))
    assert outcomes == ["device"] * 5 + ["registered"]
    assert len(registry.customers(limit=10).items) == 1


# --- customers without a device ------------------------------------------------------------------


def test_a_customer_may_come_before_any_device(registry: DynamoRegistry, cloud: Cloud) -> None:
    registry.create_customer(customer())
    assert DynamoCustomers().get(CUSTOMER_ID) == customer()
    assert children(cloud, 1) == 1


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({}, "guard"),
        ({"name": "Juma"}, "customer"),
        ({"name": "Juma", "customer_id": "C2", "village_id": 77}, "village"),
    ],
)
def test_a_customer_is_not_made_twice_nor_nowhere(
    registry: DynamoRegistry, changed: dict[str, Any], what: str
) -> None:
    registry.create_customer(customer())
    with pytest.raises(ConditionFailed) as caught:
        registry.create_customer(customer(**changed))
    assert caught.value.what == what


def test_an_updated_customer_is_found_by_what_is_new(
    registry: DynamoRegistry, cloud: Cloud
) -> None:
    registry.create_customer(customer())
    married = customer(surname="Otieno", village_id=2)
    written = registry.update_customer(customer(), married)
    assert written == replace(married, revision=2)
    assert DynamoCustomers().get(CUSTOMER_ID) == written
    assert registry.customer_of(PHONE, "Asha", "Otieno") == written
    assert registry.customer_of(PHONE, "Asha", "Mwangi") is None
    assert (children(cloud, 1), children(cloud, 2)) == (0, 1)


def test_an_update_that_keeps_the_identity_keeps_its_guard(registry: DynamoRegistry) -> None:
    registry.create_customer(customer())
    registry.update_customer(customer(), customer(surname="MWANGI"))
    found = registry.customer_of(PHONE, "Asha", "Mwangi")
    assert found
    assert found.surname == "MWANGI"


def test_of_two_updates_the_second_is_told(registry: DynamoRegistry) -> None:
    registry.create_customer(customer())
    registry.update_customer(customer(), customer(phone="+254700000001"))
    with pytest.raises(VersionConflict):
        registry.update_customer(customer(), customer(phone="+254700000002"))
    assert registry.customer_of("+254700000002", "Asha", "Mwangi") is None


def test_a_customer_cannot_become_another_one(registry: DynamoRegistry) -> None:
    registry.create_customer(customer())
    juma = customer(customer_id="C2", number=2, name="Juma")
    registry.create_customer(juma)
    with pytest.raises(ConditionFailed) as caught:
        registry.update_customer(juma, replace(juma, name="Asha"))
    assert caught.value.what == "guard"
    assert registry.customer_of(PHONE, "Juma", "Mwangi") == juma


def test_a_customer_cannot_move_to_nowhere(registry: DynamoRegistry, cloud: Cloud) -> None:
    registry.create_customer(customer())
    with pytest.raises(ConditionFailed) as caught:
        registry.update_customer(customer(), customer(village_id=77))
    assert caught.value.what == "village"
    assert children(cloud, 1) == 1


# --- lists ---------------------------------------------------------------------------------------


@pytest.fixture
def people(registry: DynamoRegistry) -> DynamoRegistry:
    """Five customers; two share a phone, two a first name."""
    for number, (name, surname, phone) in enumerate(
        [
            ("Asha", "Mwangi", "+254700000001"),
            ("Ashanti", "Odhiambo", "+254700000002"),
            ("Juma", "Otieno", "+254700000001"),
            ("Étienne", "Ilunga", "+243810000001"),
            ("asha", "Wanjiru", "+254700000003"),
        ],
        start=1,
    ):
        registry.create_customer(
            customer(
                customer_id=f"C{number}", number=number, name=name, surname=surname, phone=phone
            )
        )
    return registry


def numbers(people: DynamoRegistry, **search: Any) -> list[list[int]]:
    pages, cursor = [], None
    while True:
        page = people.customers(limit=2, cursor=cursor, **search)
        pages.append([found.number for found in page.items])
        if page.next is None:
            return pages
        cursor = page.next


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ({}, [[1, 2], [3, 4], [5]]),
        ({"phone": "+254700000001"}, [[1, 3]]),
        ({"phone": "+254799999999"}, [[]]),
        ({"name": "ASHA"}, [[1, 5], [2]]),
        ({"name": "asha  m"}, [[1]]),
        ({"name": "étienne"}, [[4]]),
        ({"name": "mwangi"}, [[]]),
        ({"name": "   "}, [[1, 2], [3, 4], [5]]),
        ({"number": 3}, [[3]]),
        ({"number": 99}, [[]]),
    ],
    ids=str,
)
def test_customers_are_found_by_phone_by_the_beginning_of_their_name_or_number(
    people: DynamoRegistry, search: dict[str, Any], found: list[list[int]]
) -> None:
    pages = numbers(people, **search)
    if "phone" in search:  # of one phone in no particular order
        pages = [sorted(page) for page in pages]
    assert pages == found


def test_a_cursor_of_a_search_does_not_open_the_whole_list(people: DynamoRegistry) -> None:
    cursor = people.customers(limit=1, name="asha").next
    with pytest.raises(InvalidCursor):
        people.customers(limit=1, cursor=cursor)


# --- devices, numbers, guards --------------------------------------------------------------------


def test_of_two_writers_of_a_device_the_second_is_told(registry: DynamoRegistry) -> None:
    registry.register(registration())
    written = registry.update_device(device(technical={"key": "k2:new"}))
    assert written == device(technical={"key": "k2:new"}, revision=2)
    with pytest.raises(VersionConflict):
        registry.update_device(device(technical={"key": "k1:old"}))
    assert DynamoDevices().get(SHS) == written


def test_a_device_that_lost_its_owner_is_in_nobodys_list(registry: DynamoRegistry) -> None:
    registry.register(registration())
    registry.update_device(device(customer_id=None))
    assert list(DynamoDevices().of_customer(CUSTOMER_ID)) == []


def test_an_unknown_device_is_none(registry: DynamoRegistry) -> None:
    assert DynamoDevices().get("NONE") is None


def test_numbers_are_given_once_per_counter(registry: DynamoRegistry) -> None:
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda _: registry.next_number("customer"), range(12)))
    assert sorted(given) == list(range(1, 13))
    assert registry.next_number("other") == 1


def test_a_guard_is_given_once(registry: DynamoRegistry) -> None:
    assert registry.guard("key#9") is None
    registry.put_guard("key#9", "first")
    with pytest.raises(ConditionFailed) as caught:
        registry.put_guard("key#9", "second")
    assert caught.value.what == "guard"
    assert registry.guard("key#9") == "first"


def test_a_village_is_in_use_from_its_first_customer_on(registry: DynamoRegistry) -> None:
    registry.create_customer(customer())
    village = DynamoSites().get(SiteKind.VILLAGE, 1)
    assert village
    with pytest.raises(InUse):
        DynamoSites().delete(village)


def test_a_registration_in_a_village_that_is_deleted_meanwhile_is_refused(
    registry: DynamoRegistry,
) -> None:
    village = DynamoSites().get(SiteKind.VILLAGE, 1)
    assert village
    DynamoSites().delete(village)
    assert refused(registry, registration()) == "village"
    assert DynamoSites().get(SiteKind.VILLAGE, 1) is None, "counting must not make it"
    assert AccountRow.count() == 0
