"""Daraja: the question before the money moves, and the confirmation after."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from infra.local.client import Cloud, now
from tests.e2e.company import Company, day, lines_of, phone, serial, tokens_of
from tests.e2e.lambdas import sweep_now
from tests.e2e.tables import rewrite_moment

ACCEPTED = {"ResultCode": 0, "ResultDesc": "Accepted"}
ELSEWHERE = ("127.0.0.2", 0)


@pytest.fixture
def receipt(cloud: Cloud) -> str:
    return cloud.daraja.receipt()


def test_a_question_about_a_wrong_serial_is_answered_no(cloud: Cloud, receipt: str) -> None:
    answer = cloud.daraja.ask(receipt, serial(), "100.00")
    assert (answer.status, answer.body) == (
        200,
        {"ResultCode": "C2B00012", "ResultDesc": "Rejected"},
    )
    payment = cloud.payment(cloud.daraja.payment_id(receipt))
    assert (payment["status"], payment["reason"]) == ("refused", "unknown_device")


def test_a_question_about_a_right_one_is_answered_yes_and_stores_nothing(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    household = company.meter()
    answer = cloud.daraja.ask(receipt, household.serial_number, "100.00")
    assert (answer.status, answer.body["ResultCode"]) == (200, "0")
    path = f"/payments/{cloud.daraja.payment_id(receipt)}"
    assert cloud.staff("office").get(path).status == 404
    assert cloud.account(household.customer_id)["version"] == 1


def test_other_questions_get_daraja_s_own_codes(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    number = company.meter().serial_number
    ask = cloud.daraja.ask
    assert ask(receipt, number, "5.00").body["ResultCode"] == "C2B00013"
    assert ask(receipt, number, "0.00").body["ResultCode"] == "C2B00013"
    assert ask(receipt, number, "many").body["ResultCode"] == "C2B00013"
    assert (
        ask(receipt, number, "100.00", BusinessShortCode="600000").body["ResultCode"] == "C2B00015"
    )
    assert ask(receipt, "", "100.00").body["ResultCode"] == "C2B00012"


def test_a_confirmation_is_settled_with_one_token_and_one_sms(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    household = company.meter()
    answer = cloud.daraja.confirm(receipt, household.serial_number.lower(), "550.00")
    assert (answer.status, answer.body) == (200, ACCEPTED)
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt), {"completed"})
    assert (payment["channel"], payment["reference"]) == ("daraja", receipt)
    assert (lines_of(payment), tokens_of(payment)) == ("energy 550.00", "energy 5.5 kWh")
    [token] = payment["tokens"]
    assert cloud.fakes.issued("calin", household.serial_number) == [token["value"]]
    assert cloud.fakes.vends("calin", household.serial_number)[0]["request"]["amount"] == "5.5"
    message = cloud.wait_for_message(payment["payment_id"], 1)
    assert message["to"] == household.phone
    assert token["value"] in message["body"].replace(" ", "")


def test_the_payment_s_moment_is_daraja_s_time(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    """Their clock shows Kenyan time: nine in the evening there is six in the evening UTC."""
    household = company.meter()
    stamp = day(-1).replace("-", "") + "210000"
    cloud.daraja.confirm(receipt, household.serial_number, "100.00", TransTime=stamp)
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt), {"completed"})
    assert payment["moment"].startswith(f"{day(-1)}T18:00:00")


def test_the_same_confirmation_again_changes_nothing(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    household = company.meter()
    payment_id = cloud.daraja.payment_id(receipt)
    cloud.daraja.confirm(receipt, household.serial_number, "100.00")
    cloud.wait_for_message(payment_id, 1)
    before = cloud.payment(payment_id)
    answer = cloud.daraja.confirm(receipt, household.serial_number, "100.00")
    assert (answer.status, answer.body) == (200, ACCEPTED)
    assert cloud.payment(payment_id) == before


def test_twenty_confirmations_at_once_are_one_payment_one_token_one_sms(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    household = company.meter()
    payment_id = cloud.daraja.payment_id(receipt)
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda _: cloud.daraja.confirm(receipt, household.serial_number, "100.00"),
                range(20),
            )
        )
    assert {answer.status for answer in answers} == {200}
    cloud.wait_for_payment(payment_id, {"completed"})
    cloud.wait_for_message(payment_id, 1)
    assert len(cloud.fakes.vends("calin", household.serial_number)) == 1
    assert len(cloud.messages(payment_id)) == 1
    assert cloud.account(household.customer_id)["version"] == 2
    assert len(cloud.sms(payment_id)) == 1


def test_the_same_receipt_with_another_amount_credits_nothing(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    household = company.meter()
    payment_id = cloud.daraja.payment_id(receipt)
    cloud.daraja.confirm(receipt, household.serial_number, "100.00")
    cloud.wait_for_payment(payment_id, {"completed"})
    answer = cloud.daraja.confirm(receipt, household.serial_number, "900.00")
    assert (answer.status, answer.body) == (200, ACCEPTED)
    payment = cloud.payment(payment_id)
    assert payment["amount"] == "100.00"
    assert [event["what"] for event in payment["events"]] == ["reference_conflict"]
    assert cloud.account(household.customer_id)["version"] == 2


def test_money_for_a_wrong_serial_is_stored_and_due_to_go_back(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    number = serial()
    answer = cloud.daraja.confirm(receipt, number, "100.00")
    assert (answer.status, answer.body) == (200, ACCEPTED)
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt))
    assert (payment["status"], payment["reason"]) == ("refund_due", "unknown_device")
    assert (payment["lines"], payment["customer_id"]) == ([], None)
    listed = cloud.staff("operations").get("/payments", serial_number=number).body["items"]
    assert [item["payment_id"] for item in listed] == [payment["payment_id"]]
    due = cloud.staff("operations").get("/payments", status="refund_due", limit=100)
    assert payment["payment_id"] in {item["payment_id"] for item in due.body["items"]}


def test_it_goes_back_by_a_reversal_whose_result_is_told_later(
    cloud: Cloud, company: Company
) -> None:
    told = cloud.fakes.have("daraja", "c2b", {"account": serial(), "amount": 100, "ask": False})
    payment_id = cloud.daraja.payment_id(told["receipt"])
    cloud.wait_for_payment(payment_id, {"refund_due"})
    rewrite_moment(cloud, payment_id, "refund_at", now() - timedelta(seconds=1))
    sweep_now(cloud, payment_id)
    cloud.wait_for_payment(payment_id, {"refunded"})
    [reversal] = [
        one for one in cloud.fakes.refunds("daraja") if one["reference"] == told["receipt"]
    ]
    assert reversal["amount"] == 100


def test_a_person_assigns_it_to_the_right_serial(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    household = company.meter()
    cloud.daraja.confirm(receipt, household.serial_number + "7", "100.00")
    payment_id = cloud.daraja.payment_id(receipt)
    cloud.wait_for_payment(payment_id, {"refund_due"})
    answer = cloud.staff("operations").post(
        f"/payments/{payment_id}/resolve",
        {
            "reason": "the customer called",
            "outcome": "assign",
            "serial_number": household.serial_number,
        },
    )
    assert answer.status == 202
    payment = cloud.wait_for_payment(payment_id, {"completed"})
    assert (payment["serial_number"], payment["customer_id"]) == (
        household.serial_number,
        household.customer_id,
    )
    assert lines_of(payment) == "energy 100.00"
    [assigned] = [event for event in payment["events"] if event["what"] == "resolved_assign"]
    assert assigned["actor"] == cloud.staff("operations").email
    assert assigned["reason"] == "the customer called"
    assert cloud.wait_for_message(payment_id, 1)["to"] == household.phone


def test_money_that_moved_after_our_refusal_is_judged_anew(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    """The device was registered between the question and the confirmation."""
    number = serial()
    assert cloud.daraja.ask(receipt, number, "100.00").body["ResultCode"] == "C2B00012"
    company.meter(serial_number=number)
    cloud.daraja.confirm(receipt, number, "100.00")
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt))
    assert payment["status"] == "completed"
    assert [event["what"] for event in payment["events"]] == ["refused"]


def test_retrying_such_a_payment_finds_the_device_registered_meanwhile(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    number = serial()
    payment_id = cloud.daraja.payment_id(receipt)
    cloud.daraja.confirm(receipt, number, "100.00")
    cloud.wait_for_payment(payment_id, {"refund_due"})
    company.meter(serial_number=number)
    retry = cloud.staff("operations").post(f"/payments/{payment_id}/retry", {"reason": "known now"})
    assert retry.status == 202
    assert cloud.wait_for_payment(payment_id, {"completed"})["tokens"]


def test_too_little_for_a_step_still_settles_once_the_money_has_moved(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    household = company.meter()
    cloud.daraja.confirm(receipt, household.serial_number, "5.00")
    payment = cloud.wait_for_payment(cloud.daraja.payment_id(receipt))
    assert (payment["status"], lines_of(payment), payment["tokens"]) == (
        "completed",
        "energy 5.00",
        [],
    )
    assert cloud.wait_for_message(payment["payment_id"], 0)["to"] == household.phone


@pytest.mark.parametrize("path", ["validation", "confirmation"])
def test_a_wrong_secret_in_the_path_leads_nowhere(
    cloud: Cloud, company: Company, receipt: str, path: str
) -> None:
    household = company.meter()
    report = cloud.daraja.report(receipt, household.serial_number, "100.00")
    answer = cloud.api.call("POST", f"/payments/daraja/guessed-{phone()[1:]}/{path}", report)
    assert answer.status == 404
    stored = cloud.staff("office").get(f"/payments/{cloud.daraja.payment_id(receipt)}")
    assert stored.status == 404


def test_a_body_that_cannot_be_read_is_not_accepted(cloud: Cloud) -> None:
    answer = cloud.api.call("POST", cloud.daraja.confirmation_path, b"<xml/>")
    assert answer.status == 400
    assert answer.body["ResultCode"] == "C2B00016"


def test_a_caller_at_another_address_is_turned_away(
    cloud: Cloud, company: Company, receipt: str
) -> None:
    """The whole network 127.0.0.0/8 is this machine, and only 127.0.0.1 is on the list."""
    household = company.meter()
    report = cloud.daraja.report(receipt, household.serial_number, "100.00")
    address = urlsplit(cloud.stack["base_url"])
    connection = HTTPConnection(address.hostname or "", address.port, source_address=ELSEWHERE)
    try:
        connection.request(
            "POST",
            address.path + cloud.daraja.confirmation_path,
            json.dumps(report),
            # a caller's own word for its address is not believed
            {"Content-Type": "application/json", "X-Forwarded-For": "127.0.0.1"},
        )
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["ResultCode"]) == (403, "C2B00016")
    finally:
        connection.close()
    stored = cloud.staff("office").get(f"/payments/{cloud.daraja.payment_id(receipt)}")
    assert stored.status == 404
