"""Erasing a customer: who it was is nowhere any more, and not a shilling has moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.domain.account import Account
from chalicelib.domain.errors import FieldError
from chalicelib.domain.payment import Payment, Status
from chalicelib.services.customers import CustomerErased, Person
from chalicelib.services.erasure import ERASED, LATER_SECONDS, NotErasable
from chalicelib.services.plans import CustomerNotFound
from chalicelib.services.ports import (
    Customer,
    FieldForm,
    FieldRegistration,
    MessageState,
    QueueUnavailable,
    RegistrationStatus,
    VersionConflict,
)
from chalicelib.services.register import NewDevice
from chalicelib.wiring import Wiring
from tests.integration.company import METER, NOW, Company, FixedClock, claim, plan
from tests.integration.conftest import Cloud
from tests.integration.services.conftest import ACTOR, Counter, Diary, Processes, differences
from tests.integration.services.interruptions import Interrupted, Lost

PHONE = "+254700000001"
SAID: dict[str, Any] = {"reason": "asked us to", "actor": ACTOR}
FORM = FieldForm("Asha", "Mushi", PHONE, 1, METER, 7, 1, geo_points="-0.1,34.7")


@pytest.fixture
def customer_id(company: Company, counter: Counter) -> str:
    """Somebody who has paid from the own phone, and has given the device back."""
    return quits(company, counter)


def quits(company: Company, counter: Counter, *transactions: str) -> str:
    """Somebody who has paid so many times, and has nothing any more."""
    customer_id = company.customer(company.meter())
    for transaction in transactions or ("T1",):
        counter.pay(claim(METER, 500, transaction, payer_phone=PHONE))
    give_back(counter)
    return customer_id


def queued(counter: Counter) -> list[dict[str, Any]]:
    """Take all messages about erasures, delays aside."""
    counter.let_delays_pass()
    return [message["body"] for message in counter.cloud.take("moves")]


def give_back(counter: Counter) -> None:
    counter.wiring.keep_devices.change_owner(METER, None, **SAID)


def work(counter: Counter, by: Wiring | None = None, left: timedelta = timedelta(hours=1)) -> int:
    """Do what is queued about erasures, delays aside; how many messages there were."""
    worker = by or counter.wiring
    bodies = queued(counter)
    for body in bodies:
        assert body["what"] == "erase"
        until = worker.clock.now() + left
        worker.erase_customers.go_on(body["customer_id"], body["cursor"], until)
    return len(bodies)


def everything(cloud: Cloud) -> str:
    """All that is stored, as one text."""
    tables = cloud.dynamodb.list_tables()["TableNames"]
    return json.dumps([cloud.dynamodb.scan(TableName=name)["Items"] for name in tables])


def known(wiring: Wiring, customer_id: str) -> Customer:
    customer = wiring.customers.get(customer_id)
    assert customer is not None
    return customer


def posted(wiring: Wiring, customer_id: str | None) -> FieldRegistration:
    """A registration from the field that has become that customer."""
    status = RegistrationStatus.REGISTERED if customer_id else RegistrationStatus.NEEDS_REVIEW
    form = FieldRegistration("r-1", FORM, status, NOW, "field@example.org", customer_id=customer_id)
    wiring.field_registrations.create(form)
    return form


# --- what becomes of it -------------------------------------------------------------------------


def test_nothing_that_is_stored_tells_who_it_was(
    cloud: Cloud, counter: Counter, customer_id: str
) -> None:
    posted(counter.wiring, customer_id)
    for text in (PHONE, "Asha", "Mushi", "asha", "34.7"):
        assert text in everything(cloud)
    begun = counter.wiring.erase_customers.erase(customer_id, **SAID)
    assert (begun.name, begun.surname, begun.phone) == (ERASED, ERASED, ERASED)
    assert begun.erased_at is not None and begun.erasure_finished_at is None
    assert work(counter) == 2, "one message was queued ahead of the write"
    assert known(counter.wiring, customer_id).erasure_finished_at == begun.erased_at
    for text in (PHONE, "Asha", "Mushi", "asha", "34.7"):
        assert text not in everything(cloud)


def test_payments_and_books_stay_as_they_were(counter: Counter, customer_id: str) -> None:
    before = counter.wiring.payments.by_owner(customer_id, 10, None).items
    account = counter.account(customer_id)
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    work(counter)
    after = counter.wiring.payments.by_owner(customer_id, 10, None).items
    assert after == [
        replace(payment, payer_phone=None, revision=payment.revision + 1) for payment in before
    ]
    assert counter.account(customer_id) == account.next_version()
    entry = counter.wiring.accounts.entry(customer_id, account.version + 1)
    assert entry is not None
    assert (entry.what, entry.actor, entry.reason) == ("customer_erased", ACTOR, "asked us to")
    assert differences(counter, customer_id) == []


def test_the_same_report_is_still_known_and_another_one_still_a_conflict(
    counter: Counter, customer_id: str
) -> None:
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    work(counter)
    again = counter.wiring.accept.accept(
        claim(METER, 500, "T1", payer_phone=PHONE), money_moved=True
    )
    assert again.repeated and again.payment.status is Status.COMPLETED
    assert again.payment.payer_phone is None
    with pytest.raises(Exception, match="reference") as conflict:
        counter.wiring.accept.accept(claim(METER, 501, "T1"), money_moved=True)
    assert type(conflict.value).__name__ == "ReferenceConflict"


def test_it_is_not_found_any_more_and_its_phone_and_name_are_free(
    company: Company, counter: Counter, customer_id: str
) -> None:
    keep = counter.wiring.keep_customers
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    assert not keep.find(limit=10, cursor=None, phone=PHONE).items
    assert not keep.find(limit=10, cursor=None, name="asha").items
    person = Person("Asha", "Mushi", PHONE, company.village_id)
    fresh, is_new = keep.create(person, actor=ACTOR)
    assert is_new and fresh.customer_id != customer_id and fresh.needs_review == ()


def test_who_erased_it_and_why_is_kept_without_who_it_was(
    counter: Counter, customer_id: str
) -> None:
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    [change] = counter.wiring.changes.of(f"customer#{customer_id}", 10, None).items
    assert (change.what, change.actor, change.reason) == ("customer_erased", ACTOR, "asked us to")
    assert change.fields["phone"] == {"before": "hidden", "after": ERASED}


def test_one_without_an_account_is_erased_too(company: Company, counter: Counter) -> None:
    person = Person("Asha", "Mushi", PHONE, company.village_id)
    customer, _ = counter.wiring.keep_customers.create(person, actor=ACTOR)
    counter.wiring.erase_customers.erase(customer.customer_id, **SAID)
    assert counter.account(customer.customer_id) == Account(customer.customer_id, version=1)


def test_an_sms_that_is_still_queued_goes_to_nobody(
    company: Company, counter: Counter, diary: Diary
) -> None:
    customer_id = company.customer(company.meter())
    counter.accept(METER, 500)
    counter.settle_all()
    counter.vend_all()
    give_back(counter)
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    work(counter)
    counter.send_all()
    assert len(diary.said("nobody_to_tell")) == 1
    assert diary.said("message_sent") == []


def test_an_sms_stays_sent_and_is_not_sent_again(counter: Counter, customer_id: str) -> None:
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    work(counter)
    [message] = counter.wiring.messages.of_payment("mpesa_ke.600966-T1")
    assert (message.to, message.body, message.state) == (ERASED, ERASED, MessageState.SENT)
    assert message.forget_at == message.sent_at + timedelta(days=400)  # type: ignore[operator]


# --- what stands in the way ---------------------------------------------------------------------


def refusal(counter: Counter, customer_id: str) -> str:
    with pytest.raises(NotErasable) as refused:
        counter.wiring.erase_customers.erase(customer_id, **SAID)
    assert queued(counter) == []
    assert known(counter.wiring, customer_id).name == "Asha"
    return refused.value.detail


def test_who_has_a_device_a_plan_and_credit_is_not_erased(
    company: Company, counter: Counter
) -> None:
    tv = plan("p-tv", 700, paid=100)
    customer_id = company.customer(company.meter(), plans=(tv,), credit=5)
    said = refusal(counter, customer_id)
    assert said == (
        f"The customer still has devices: {METER}; open plans: p-tv; credit: credit in hand."
    )


def test_who_owes_fees_of_a_meter_given_back_is_not_erased(
    company: Company, counter: Counter
) -> None:
    tariff_id = company.tariff("With fee", fee=70)
    customer_id = company.customer(company.meter(tariff_id=tariff_id))
    give_back(counter)
    said = refusal(counter, customer_id)
    assert said == (
        "The customer still has debts: " + ", ".join([f"access_rate {METER}"] * 4) + "."
    )


def test_whose_payment_is_not_finished_is_not_erased(company: Company, counter: Counter) -> None:
    customer_id = company.customer(company.meter())
    for number in range(7):
        counter.accept(METER, 500, f"T{number}")
    give_back(counter)
    said = refusal(counter, customer_id)
    assert said.startswith("The customer still has payments that are not finished: mpesa_ke")
    assert said.endswith(" and 2 more.")


def test_nobody_is_not_erased(wiring: Wiring) -> None:
    with pytest.raises(CustomerNotFound):
        wiring.erase_customers.erase("C77", **SAID)


# --- nothing becomes theirs any more ------------------------------------------------------------


def test_nothing_changes_of_an_erased_customer(
    company: Company, counter: Counter, customer_id: str
) -> None:
    wiring = counter.wiring
    wiring.erase_customers.erase(customer_id, **SAID)
    person = Person("Asha", "Mushi", PHONE, company.village_id)
    with pytest.raises(CustomerErased):
        wiring.keep_customers.replace(customer_id, person, actor=ACTOR)
    with pytest.raises(FieldError, match="erased"):
        wiring.keep_devices.change_owner(METER, customer_id, **SAID)
    device = NewDevice("4711", "calin", tariff_id=company.tariff_id)
    with pytest.raises(FieldError, match="erased"):
        wiring.register.register(customer_id, device, None, actor=ACTOR, meters_too=True)
    terms = plan("p-tv", 700)
    with pytest.raises(CustomerNotFound):
        wiring.sell_plans.sell_appliance(
            customer_id, _terms(terms), appliance_id=None, name="TV", key="k", actor=ACTOR
        )
    assert counter.account(customer_id).devices == ()


def _terms(sold: Any) -> Any:
    from chalicelib.domain.plan import Terms

    return Terms(
        total_minor=sold.total_minor, every="week", first_due=sold.first_due, instalments=10
    )


Race = Callable[[Wiring, str, Company], object]


@pytest.mark.parametrize(
    "gives",
    [
        lambda wiring, customer_id, _: wiring.keep_devices.change_owner(METER, customer_id, **SAID),
        lambda wiring, customer_id, company: wiring.register.register(
            customer_id,
            NewDevice("4711", "calin", tariff_id=company.tariff_id),
            None,
            actor=ACTOR,
            meters_too=True,
        ),
        lambda wiring, customer_id, _: wiring.sell_plans.sell_appliance(
            customer_id, _terms(plan("p", 700)), appliance_id=None, name="TV", key="k", actor=ACTOR
        ),
    ],
    ids=["a device", "a registration", "a plan"],
)
def test_whoever_is_erased_while_something_is_given_to_them_does_not_get_it(
    process: Processes, company: Company, counter: Counter, customer_id: str, gives: Race
) -> None:
    """The erasure comes between the read of the account and the write of its next version."""

    def erase() -> None:
        counter.wiring.erase_customers.erase(customer_id, **SAID)

    accounts = Interrupted(counter.wiring.accounts, change=[erase])
    registry = Interrupted(counter.wiring.registry, register=[erase])
    giving = process(accounts=accounts, registry=registry)
    with pytest.raises((FieldError, CustomerNotFound)):
        gives(giving, customer_id, company)
    account = counter.account(customer_id)
    assert (account.devices, account.plans) == ((), ())


# --- cut short ----------------------------------------------------------------------------------


def test_a_run_whose_time_is_up_hands_the_rest_on(
    company: Company, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer_id = quits(company, counter, "T1", "T2")
    monkeypatch.setattr("chalicelib.services.erasure.AT_ONCE", 1)
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    queued(counter)
    counter.wiring.erase_customers.go_on(customer_id, None, counter.wiring.clock.now())
    [first] = queued(counter)
    assert first["cursor"] is not None
    assert known(counter.wiring, customer_id).erasure_finished_at is None
    counter.wiring.erase_customers.go_on(customer_id, first["cursor"], counter.wiring.clock.now())
    assert known(counter.wiring, customer_id).erasure_finished_at is not None
    assert all(p.payer_phone is None for p in of(counter, customer_id))


def of(counter: Counter, customer_id: str) -> list[Payment]:
    return list(counter.wiring.payments.by_owner(customer_id, 10, None).items)


def test_a_payment_that_came_to_life_again_is_left_for_later(
    company: Company, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer_id = quits(company, counter, "T1", "T2")
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    queued(counter)
    last, first = of(counter, customer_id)
    late = counter.wiring.payments.save(replace(last, status=Status.HELD))
    counter.wiring.erase_customers.go_on(customer_id, None, NOW + timedelta(hours=1))
    assert counter.delays("moves") == [LATER_SECONDS]
    assert counter.now(late.payment_id).payer_phone == PHONE
    assert counter.now(first.payment_id).payer_phone is None

    queued(counter)
    monkeypatch.setattr("chalicelib.services.erasure.AT_ONCE", 1)
    counter.wiring.erase_customers.go_on(customer_id, None, NOW)
    assert sorted(counter.delays("moves")) == [0, LATER_SECONDS], "time was up as well"
    queued(counter)

    counter.wiring.payments.save(replace(late, status=Status.COMPLETED))
    counter.wiring.erase_customers.go_on(customer_id, None, NOW + timedelta(hours=1))
    assert known(counter.wiring, customer_id).erasure_finished_at is not None


def test_who_writes_at_the_same_moment_is_waited_for(
    process: Processes, counter: Counter, customer_id: str
) -> None:
    posted(counter.wiring, customer_id)
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    queued(counter)
    payments = Interrupted(counter.wiring.payments, save=[VersionConflict("p")])
    forms = Interrupted(counter.wiring.field_registrations, save=[VersionConflict("r")])
    beaten = process(payments=payments, field_registrations=forms)
    beaten.erase_customers.go_on(customer_id, None, NOW + timedelta(hours=1))
    assert known(counter.wiring, customer_id).erasure_finished_at is None
    assert work(counter) == 1
    assert known(counter.wiring, customer_id).erasure_finished_at is not None


def test_two_that_finish_at_once_finish_it_once(
    process: Processes, counter: Counter, customer_id: str, diary: Diary
) -> None:
    counter.wiring.erase_customers.erase(customer_id, **SAID)
    queued(counter)
    end = NOW + timedelta(hours=1)

    def other() -> None:
        counter.wiring.erase_customers.go_on(customer_id, None, end)

    registry = Interrupted(counter.wiring.registry, update_customer=[other])
    process(registry=registry).erase_customers.go_on(customer_id, None, end)
    assert len(diary.said("erasure_finished")) == 1


def test_a_message_to_a_customer_who_is_not_erased_does_nothing(
    company: Company, counter: Counter
) -> None:
    customer_id = company.customer(company.meter())
    counter.pay(claim(METER, 500, payer_phone=PHONE))
    counter.wiring.erase_customers.go_on(customer_id, None, NOW)
    counter.wiring.erase_customers.go_on("C77", None, NOW)
    assert counter.now("mpesa_ke.600966-T1").payer_phone == PHONE


def test_asked_again_it_goes_on_until_it_is_finished(
    process: Processes, counter: Counter, customer_id: str, diary: Diary, clock: FixedClock
) -> None:
    away = QueueUnavailable("away")
    queues = Interrupted(counter.wiring.queues, erase=[None, away])
    process(queues=queues).erase_customers.erase(customer_id, **SAID)
    assert diary.said("queueing_failed") == [{"customer_id": customer_id}]
    assert counter.cloud.take("moves") == [], "what was queued ahead waits"
    begun = counter.wiring.erase_customers.erase(customer_id, **SAID)
    assert begun.erasure_finished_at is None
    assert work(counter) == 2
    clock.move(timedelta(hours=1))
    done = counter.wiring.erase_customers.erase(customer_id, **SAID)
    assert done.erasure_finished_at is not None
    assert work(counter) == 0


def test_a_write_whose_answer_is_lost_is_gone_on_with(
    process: Processes, counter: Counter, customer_id: str
) -> None:
    lost = Interrupted(counter.wiring.registry, erase_customer=[Lost(VersionConflict("unknown"))])
    with pytest.raises(VersionConflict):
        process(registry=lost).erase_customers.erase(customer_id, **SAID)
    assert work(counter) == 1, "the one that was queued ahead"
    assert known(counter.wiring, customer_id).erasure_finished_at is not None


def test_of_two_who_change_a_customer_at_once_one_is_told(
    process: Processes, company: Company, counter: Counter, customer_id: str
) -> None:
    def marry() -> None:
        person = Person("Asha", "Juma", PHONE, company.village_id)
        counter.wiring.keep_customers.replace(customer_id, person, actor=ACTOR)

    registry = Interrupted(counter.wiring.registry, erase_customer=[marry])
    with pytest.raises(VersionConflict):
        process(registry=registry).erase_customers.erase(customer_id, **SAID)
    assert known(counter.wiring, customer_id).surname == "Juma"
