"""The books, after everything that the other tests have done to them. Runs last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from infra.local.audit import audit
from infra.local.client import Cloud
from tests.e2e.company import Company, unique


def test_payments_of_one_customer_at_once_are_all_settled_one_after_the_other(
    cloud: Cloud, company: Company
) -> None:
    household = company.shs(total="70000.00", instalments=100)
    references = [unique("ref-") for _ in range(12)]

    def pay(reference: str) -> int:
        return cloud.partner.pay(household.serial_number, "100.00", reference).status

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(pay, references)) == {202}
    payments = [cloud.wait_for_payment(cloud.partner.payment_id(ref)) for ref in references]

    assert {payment["status"] for payment in payments} == {"completed"}
    account = cloud.account(household.customer_id)
    assert account["version"] == 1 + len(references)
    assert account["plans"][0]["paid"] == "1200.00"
    tokens = [token["value"] for payment in payments for token in payment["tokens"]]
    assert len(set(tokens)) == len(references)
    days = sum(int(token["units"]) for payment in payments for token in payment["tokens"])
    assert days == 12  # 12 times 100 of 700 for a week


def test_every_customer_s_books_are_right(cloud: Cloud) -> None:
    found = audit(cloud)
    assert len(found.customers) > 0
    wrong = {books.customer_id: books.differences for books in found.customers if books.differences}
    assert wrong == {}


def test_all_money_that_came_in_is_accounted_for(cloud: Cloud) -> None:
    found = audit(cloud)
    assert found.money_in_minor > 0
    assert found.money_somewhere_minor == found.money_in_minor
