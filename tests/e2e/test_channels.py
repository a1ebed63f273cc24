"""Every payment channel, both ways: what we start, what we are asked, what we are told after."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from infra.local.client import Answer, Cloud, now, wait_for
from tests.e2e.company import Company, serial
from tests.e2e.lambdas import invoke, sweep_now
from tests.e2e.tables import NothingThere, rewrite_moment

# --- channels on which we start -------------------------------------------------------------------

PAGE: Mapping[str, str] = {}
PUSH = {"phone": "0712000001"}

STARTED: dict[str, Mapping[str, str]] = {
    "airtel": PUSH,
    "daraja_stk": PUSH,
    "flutterwave_v3": PAGE,
    "flutterwave_v4": PUSH,
    "mesomb": PUSH,
    "mtn_momo": PUSH,
    "pesapal": PAGE,
    "vodacom_mz": PUSH,
    "wave_money": PAGE,
}
"""What a checkout needs beside serial number and amount, on each channel that we start."""

UNASKED = {"wave_money"}
"""Of those, the ones whose provider cannot be asked: what it does not tell, nobody finds."""

AT_ONCE = {"vodacom_mz"}
"""Of those, the ones that are paid while a worker holds the line."""

AMOUNTLESS = {"airtel", "vodacom_mz"}
"""Of those, the ones whose provider tells no amount: what was asked for is what was paid."""


def start(cloud: Cloud, channel: str, serial_number: str, amount: str = "500.00") -> dict[str, Any]:
    answer = cloud.checkout(channel, serial_number, amount, **STARTED[channel])
    assert answer.status == 201, answer
    body: dict[str, Any] = answer.body
    return body


def pay(cloud: Cloud, channel: str, reference: str, **how: Any) -> Any:
    """The payer pays. Vodacom's in Mozambique has paid while a worker held the line."""
    if channel == "vodacom_mz":
        return None
    if channel == "daraja_stk":
        notify = how.pop("notify", True)
        how = {"account_reference": reference, "callback": notify, "c2b": False, **how}
        return cloud.fakes.have("daraja", "stk", how)
    return cloud.fakes.have(channel, "pay", {"reference": reference, **how})


@pytest.mark.parametrize("channel", sorted(STARTED))
def test_nobody_is_asked_to_pay_for_a_wrong_serial(cloud: Cloud, channel: str) -> None:
    unknown = serial()
    answer = cloud.checkout(channel, unknown, "500.00", **STARTED[channel])
    assert (answer.status, answer.code) == (422, "unknown_device")
    found = cloud.staff("office").get("/payments", serial_number=unknown)
    assert found.body["items"] == []


@pytest.mark.parametrize("channel", sorted(STARTED))
def test_a_payment_that_we_start_becomes_one_token_however_often_it_is_told(
    cloud: Cloud, company: Company, channel: str
) -> None:
    household = company.meter()
    body = start(cloud, channel, household.serial_number)
    assert ("authorization_url" in body) == (STARTED[channel] is PAGE)
    if channel not in AT_ONCE:
        assert cloud.payment(body["payment_id"])["status"] == "pending"
    pay(cloud, channel, body["reference"], times=3)
    payment = cloud.wait_for_payment(body["payment_id"], {"completed"})
    assert (payment["amount"], payment["channel"]) == ("500.00", channel)
    assert payment["receipt"]
    cloud.wait_for_message(body["payment_id"], 1)
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1
    assert cloud.account(household.customer_id)["version"] == 2


def held_line_is_over(cloud: Cloud, payment_id: str) -> None:
    """A worker has asked the payer long ago, and was told nothing."""

    def moved() -> bool:
        try:
            rewrite_moment(cloud, payment_id, "asked_at", now() - timedelta(minutes=5))
        except NothingThere:
            return False
        return True

    wait_for(moved, bool, "the payer was asked")


@pytest.mark.parametrize("channel", sorted(set(STARTED) - UNASKED))
def test_a_payment_of_which_nobody_told_us_is_found(
    cloud: Cloud, company: Company, channel: str
) -> None:
    household = company.meter()
    if channel == "vodacom_mz":
        number = PUSH["phone"].replace("0", "254", 1)
        lost = {"msisdn": number, "outcome": "timeout_but_paid"}
        cloud.fakes.have("vodacom_mz", "next", lost)
    body = start(cloud, channel, household.serial_number)
    pay(cloud, channel, body["reference"], notify=False)
    if channel == "daraja_stk":  # Safaricom's list names the receipt
        invoke(cloud, "sweep")
        cloud.aws("sqs").send_message(
            QueueUrl=cloud.stack["queues"]["provider-calls"], MessageBody='{"list": "daraja"}'
        )
    else:
        if channel == "vodacom_mz":  # while the line may be held, its own answer is waited for
            held_line_is_over(cloud, body["payment_id"])
        sweep_now(cloud, body["payment_id"])
    cloud.wait_for_payment(body["payment_id"], {"completed"})
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


@pytest.mark.parametrize("channel", sorted(set(STARTED) - AMOUNTLESS))
def test_another_amount_than_agreed_buys_nothing(
    cloud: Cloud, company: Company, channel: str
) -> None:
    household = company.meter()
    body = start(cloud, channel, household.serial_number)
    amount: Any = 900 if channel == "daraja_stk" else "900.00"
    try:
        pay(cloud, channel, body["reference"], amount=amount)
    except RuntimeError:
        pay(cloud, channel, body["reference"], amount=900)
    payment = wait_for(
        lambda: cloud.payment(body["payment_id"]), lambda p: bool(p["events"]), "it is noted"
    )
    assert (payment["status"], payment["lines"]) == ("pending", [])
    assert [event["what"] for event in payment["events"]] == ["reference_conflict"]


LATE_NO: dict[str, Mapping[str, Any]] = {
    "airtel": {"status_code": "TF"},
    "flutterwave_v3": {"status": "failed"},
    "flutterwave_v4": {"status": "failed"},
    "mtn_momo": {"status": "FAILED"},
    "pesapal": {},
}
"""What each provider would say that changes its mind after a success."""


@pytest.mark.parametrize("channel", sorted(LATE_NO))
def test_a_late_no_undoes_no_yes_and_unknown_references_are_nobody_s(
    cloud: Cloud, company: Company, channel: str
) -> None:
    household = company.meter()
    body = start(cloud, channel, household.serial_number)
    pay(cloud, channel, body["reference"])
    paid = cloud.wait_for_payment(body["payment_id"], {"completed"})
    told = cloud.fakes.have(channel, "notify", {"reference": body["reference"], **LATE_NO[channel]})
    assert told["webhook_status"] == 200, told
    sweep_now(cloud)
    assert cloud.payment(body["payment_id"]) == paid


def test_money_that_the_provider_took_back_is_noted_and_what_it_bought_stays(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    body = start(cloud, "pesapal", household.serial_number)
    pay(cloud, "pesapal", body["reference"])
    paid = cloud.wait_for_payment(body["payment_id"], {"completed"})
    cloud.fakes.have("pesapal", "reverse", {"reference": body["reference"], "times": 2})
    payment = wait_for(
        lambda: cloud.payment(body["payment_id"]), lambda p: bool(p["events"]), "it is noted"
    )
    assert [event["what"] for event in payment["events"]] == ["reversed_by_provider"]
    assert (payment["status"], payment["lines"]) == ("completed", paid["lines"])


@pytest.mark.parametrize("channel", sorted(set(STARTED) - AT_ONCE))
def test_a_start_whose_answer_was_lost_is_paid_all_the_same(
    cloud: Cloud, company: Company, channel: str
) -> None:
    household = company.meter()
    cloud.fakes.order("daraja" if channel == "daraja_stk" else channel, "garbage")
    answer = cloud.checkout(channel, household.serial_number, "500.00", **STARTED[channel])
    assert (answer.status, answer.code) == (503, "try_again")
    found = cloud.staff("office").get("/payments", serial_number=household.serial_number)
    [pending] = found.body["items"]
    assert pending["status"] == "pending"
    pay(cloud, channel, pending["reference"])
    cloud.wait_for_payment(pending["payment_id"], {"completed"})
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


@pytest.mark.parametrize("channel", sorted(STARTED))
def test_a_checkout_in_another_form_is_not_taken(cloud: Cloud, channel: str) -> None:
    def post(body: Any) -> Answer:
        return cloud.api.call("POST", f"/payments/{channel}/checkouts", body)

    whole = {"serial_number": serial(), "amount": "500.00", **STARTED[channel]}
    for body, status, code in (
        (b"{", 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        ({}, 422, "invalid"),
        ({**whole, "serial_number": 5}, 422, "invalid"),
        ({**whole, "extra": "1"}, 422, "invalid"),
        ({**whole, "amount": "-5"}, 422, "invalid_amount"),
        ({**whole, "amount": "9" * 39}, 422, "invalid_amount"),
        ({**whole, "amount": "५००"}, 422, "invalid_amount"),
        (b"x" * 70_000, 413, "too_large"),
    ):
        answer = post(body)
        assert (answer.status, answer.code) == (status, code), (body, answer)


# --- two-phase ------------------------------------------------------------------------------------


def test_money_that_vodacom_reserved_is_ours_when_it_has_taken_our_yes(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    told = cloud.fakes.have(
        "vodacom_tz", "pay", {"account": household.serial_number, "amount": 500, "times": 2}
    )
    payment_id = f"mpesa_tz.888000-{told['receipt']}"
    cloud.wait_for_payment(payment_id, {"completed"})
    state = cloud.fakes.have("vodacom_tz", "state", {"receipt": told["receipt"]})
    assert state == {"state": "completed"}
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


def test_money_that_vodacom_reserved_for_a_wrong_serial_is_cancelled(cloud: Cloud) -> None:
    told = cloud.fakes.have("vodacom_tz", "pay", {"account": serial(), "amount": 500})
    payment_id = f"mpesa_tz.888000-{told['receipt']}"
    payment = cloud.wait_for_payment(payment_id, {"refused"})
    assert payment["reason"] == "unknown_device"
    state = cloud.fakes.have("vodacom_tz", "state", {"receipt": told["receipt"]})
    assert state == {"state": "cancelled"}


def test_a_result_is_told_to_vodacom_until_it_is_taken(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    cloud.fakes.order("vodacom_tz", "error_500", times=2)
    told = cloud.fakes.have(
        "vodacom_tz", "pay", {"account": household.serial_number, "amount": 500}
    )
    cloud.wait_for_payment(f"mpesa_tz.888000-{told['receipt']}", {"completed"}, seconds=60)
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


def test_vodacom_s_heartbeat_is_answered_and_bad_reports_change_nothing(cloud: Cloud) -> None:
    assert cloud.fakes.have("vodacom_tz", "heartbeat", {})["webhook_status"] == 200
    path = cloud.stack["channels"]["vodacom_tz"]["payment_path"]
    bomb = b'<!DOCTYPE a [<!ENTITY b "c">]><mpesaBroker>&b;</mpesaBroker>'
    for body in (b"", b"<", b"\xff", bomb, b"<a>" * 100, b"x" * 70_000):
        answer = cloud.api.call("POST", path, body, headers={"Content-Type": "text/xml"})
        assert 400 <= answer.status < 500, (body[:30], answer)
        assert "responseCode" in answer.body
    assert cloud.api.call("POST", path[:-4], b"<a/>").status == 404


# --- asked first ----------------------------------------------------------------------------------


def biller(cloud: Cloud, number: str, **more: Any) -> Any:
    return cloud.fakes.have("airtel_biller", "pay", {"reference": number, "amount": 500, **more})


def test_airtel_s_biller_is_told_no_for_a_wrong_serial(cloud: Cloud) -> None:
    assert biller(cloud, serial())["paid"] is False


def test_airtel_s_biller_pays_once(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    assert biller(cloud, household.serial_number, times=2)["paid"] is True
    found = wait_for(
        lambda: (
            cloud.staff("office")
            .get("/payments", serial_number=household.serial_number)
            .body["items"]
        ),
        lambda items: bool(items) and items[0]["status"] == "completed",
        "it is settled",
    )
    assert len(found) == 1
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


def menu(cloud: Cloud, number: str, **more: Any) -> Any:
    return cloud.fakes.have("vodacom_mz_c2b", "pay", {"reference": number, "amount": 500, **more})


def test_vodacom_s_menu_is_told_no_for_a_wrong_serial_and_pays_once_for_a_right_one(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    assert menu(cloud, serial())["paid"] is False
    assert menu(cloud, household.serial_number, times=2)["paid"] is True
    wait_for(
        lambda: cloud.fakes.issued("calin", household.serial_number), bool, "the token is there"
    )
    found = cloud.staff("office").get("/payments", serial_number=household.serial_number)
    assert len(found.body["items"]) == 1


def swifta(cloud: Cloud, number: str, **more: Any) -> Any:
    return cloud.fakes.have("swifta", "pay", {"meter_number": number, "amount": 500, **more})


def test_swifta_is_told_no_for_a_wrong_serial_and_pays_once_for_a_right_one(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    assert swifta(cloud, serial())["paid"] is False
    assert swifta(cloud, household.serial_number, times=2)["paid"] is True
    wait_for(
        lambda: cloud.fakes.issued("calin", household.serial_number), bool, "the token is there"
    )
    found = cloud.staff("office").get("/payments", serial_number=household.serial_number)
    assert [payment["status"] for payment in found.body["items"]] == ["completed"]


# --- Safaricom's two ways into one pot ------------------------------------------------------------


def test_a_push_that_is_told_twice_in_two_ways_is_one_payment(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    body = start(cloud, "daraja_stk", household.serial_number)
    pay(cloud, "daraja_stk", body["reference"], c2b=True, times=2)
    payment = cloud.wait_for_payment(body["payment_id"], {"completed"})
    again = cloud.daraja.confirm(payment["receipt"], household.serial_number, "500.00")
    assert again.status == 200
    twin = cloud.payment(cloud.daraja.payment_id(payment["receipt"]))
    assert (twin["status"], twin["reason"]) == ("expired", f"paid_as {body['payment_id']}")
    assert cloud.account(household.customer_id)["version"] == 2
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


def test_a_payment_by_hand_that_nobody_confirmed_is_found_in_safaricom_s_list(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    told = cloud.fakes.have(
        "daraja", "pull-only", {"account": household.serial_number, "amount": 500}
    )
    cloud.aws("sqs").send_message(
        QueueUrl=cloud.stack["queues"]["provider-calls"], MessageBody='{"list": "daraja"}'
    )
    payment_id = cloud.daraja.payment_id(told["receipt"])
    wait_for(
        lambda: cloud.staff("office").get(f"/payments/{payment_id}").status,
        lambda status: status == 200,
        "it is found",
    )
    cloud.wait_for_payment(payment_id, {"completed"})


# --- told after -----------------------------------------------------------------------------------


def upload(cloud: Cloud, channel: str, text: str, **query: str) -> dict[str, Any]:
    staff = cloud.staff("operations")
    sent = staff.send_file(f"/statements/{channel}", text.encode(), **query)
    assert sent.status == 202, sent
    path = f"/statements/{channel}/{sent.body['statement_id']}"
    report: dict[str, Any] = wait_for(
        lambda: staff.get(path).body, lambda body: body["state"] == "compared", "it is compared"
    )
    return report


@pytest.mark.parametrize(
    ("channel", "head"),
    [
        ("wavecom", "transaction_id,sender,message,amount"),
        ("imported", "transaction,phone,serial_number,amount"),
    ],
)
def test_rows_of_a_file_are_payments_once_and_wrong_serials_are_held(
    cloud: Cloud, company: Company, channel: str, head: str
) -> None:
    household, unknown = company.meter(), serial()
    first, second = (secrets.token_hex(6) for _ in "12")
    text = (
        f"{head}\n{first},221770000001,{household.serial_number},500\n"
        f"{second},221770000001,{unknown},500\n{second}x,1,{unknown},nothing\n"
    )
    counts = {"taken": 2, "unusable": 1}
    report = upload(cloud, channel, text)
    assert {name: count for name, count in report["counts"].items() if count} == counts
    assert [row["line"] for row in report["unusable"]] == ["4"]
    assert upload(cloud, channel, text)["counts"]["known"] == 2
    cloud.wait_for_payment(f"{channel}-{first}", {"completed"})
    held = cloud.wait_for_payment(f"{channel}-{second}", {"held"})
    assert held["reason"] == "unknown_device"
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


def test_a_statement_shows_what_is_not_here_and_what_is_not_there(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    source = f"bank.{secrets.token_hex(4)}"
    head = "transaction,amount,serial_number,paid_at\n"
    row = f"{{0}},500.00,{household.serial_number},2026-01-08T{{1}}Z\n"
    upload(cloud, "imported", head + row.format("A", "12:00:00"), source=source)
    cloud.wait_for_payment(f"{source}-A", {"completed"})
    report = upload(cloud, "direct", head + row.format("A", "12:00:00"), source=source)
    assert report["counts"]["known"] == 1
    other = (head + row.format("A", "12:00:00")).replace("500.00", "600.00")
    report = upload(cloud, "direct", other + row.format("B", "12:00:01"), source=source)
    assert [r["payment_id"] for r in report["different"]] == [f"{source}-A"]
    assert [r["payment_id"] for r in report["not_here"]] == [f"{source}-B"]
    refused = cloud.staff("operations").send_file("/statements/nothing", b"a,b\n")
    assert (refused.status, refused.fields) == (422, {"channel"})


def airtel_tz(cloud: Cloud, number: str, **more: Any) -> str:
    told = cloud.fakes.have("airtel_tz", "pay", {"serial_number": number, "amount": 500, **more})
    assert told["webhook_status"] == 200, told
    return f"airtel_tz.555-{told['trans_id']}"


def test_airtel_tells_of_a_payment_once_however_often(cloud: Cloud, company: Company) -> None:
    household = company.meter()
    payment_id = airtel_tz(cloud, household.serial_number, times=3)
    cloud.wait_for_payment(payment_id, {"completed"})
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


def test_airtel_is_told_to_roll_back_what_was_paid_for_a_wrong_serial(cloud: Cloud) -> None:
    payment_id = airtel_tz(cloud, serial())
    cloud.wait_for_payment(payment_id, {"refund_due"})
    rewrite_moment(cloud, payment_id, "refund_at", now() - timedelta(seconds=1))
    sweep_now(cloud, payment_id)
    cloud.wait_for_payment(payment_id, {"refunded"})
    rolled_back = [one["reference"] for one in cloud.fakes.refunds("airtel_tz")]
    assert rolled_back.count(payment_id.rpartition("-")[2]) == 1


def test_money_that_came_to_mesomb_by_itself_goes_back(cloud: Cloud) -> None:
    told = cloud.fakes.have("mesomb", "uninvited", {"payer": "237677000001", "amount": 500})
    assert told["webhook_status"] == 200, told
    payment_id = f"mesomb-{told['pk']}"
    cloud.wait_for_payment(payment_id, {"refund_due"})
    rewrite_moment(cloud, payment_id, "refund_at", now() - timedelta(seconds=1))
    sweep_now(cloud, payment_id)
    cloud.wait_for_payment(payment_id, {"refunded"})


def sms(cloud: Cloud, reference: str, serial_number: str, signature: str | None = None) -> Answer:
    text = (
        f"Confirmado {reference}. Recebeste 500,00 de 254712000001 aos 8/1 "
        f"Conteudo: {serial_number}"
    )
    body = json.dumps({"sender": "M-PESA", "message": text}).encode()
    secret = cloud.stack["channels"]["sms_parser"]["gateway_secret"].encode()
    signed = signature or hmac.new(secret, body, hashlib.sha256).hexdigest()
    return cloud.api.call("POST", "/payments/sms_parser", body, headers={"x-signature": signed})


def test_a_payment_sms_is_settled_and_one_for_a_wrong_serial_is_held(
    cloud: Cloud, company: Company
) -> None:
    household = company.meter()
    good, bad = (secrets.token_hex(5).upper() for _ in "12")
    for _ in range(2):
        assert sms(cloud, good, household.serial_number).body == {"status": "ok"}
    assert sms(cloud, bad, serial()).status == 200
    assert sms(cloud, bad, serial(), "0" * 64).status == 401
    cloud.wait_for_payment(f"sms.local-{good}", {"completed"})
    assert cloud.wait_for_payment(f"sms.local-{bad}", {"held"})["reason"] == "unknown_device"
    assert len(cloud.fakes.issued("calin", household.serial_number)) == 1


# --- by hand --------------------------------------------------------------------------------------


def test_cash_is_one_payment_for_each_key(cloud: Cloud, company: Company) -> None:
    household, office = company.meter(), cloud.staff("office")
    key = secrets.token_hex(8)
    body = {"serial_number": household.serial_number, "amount": "500.00"}
    first, again = (office.post("/payments/cash", body, key) for _ in "12")
    assert (first.status, again.status, again.headers["Idempotency-Hit"]) == (202, 200, "true")
    other = office.post("/payments/cash", {**body, "amount": "600.00"}, key)
    assert (other.status, other.code) == (409, "reference_conflict")
    refused = office.post("/payments/cash", {**body, "serial_number": serial()}, key + "x")
    assert (refused.status, refused.code) == (422, "unknown_device")
    assert office.post("/payments/cash", body).status == 422
    assert cloud.staff("agent").post("/payments/cash", body, key).status == 403
    cloud.wait_for_payment(first.body["payment_id"], {"completed"})


def test_cash_for_an_appliance_pays_its_plan(cloud: Cloud, company: Company) -> None:
    household, office = company.meter(), cloud.staff("office")
    terms = {"name": "TV", "total": "900", "instalments": 3, "every": "month"}
    sold = office.post(
        f"/customers/{household.customer_id}/plans",
        {**terms, "first_due": "2099-01-01"},
        secrets.token_hex(8),
    ).body
    body = {"plan_id": sold["plan_id"], "amount": "1000.00"}
    paid = office.post("/payments/cash", body, secrets.token_hex(8))
    payment = cloud.wait_for_payment(paid.body["payment_id"], {"completed"})
    assert [(line["kind"], line["amount"]) for line in payment["lines"]] == [
        ("appliance", "900.00"),
        ("credit", "100.00"),
    ]
    over = office.post("/payments/cash", body, secrets.token_hex(8))
    assert (over.status, over.code) == (422, "nothing_to_pay")
    none = office.post("/payments/cash", {**body, "plan_id": "p-C1-none"}, secrets.token_hex(8))
    assert (none.status, none.fields) == (422, {"plan_id"})


def test_an_agent_sells_up_to_the_float_limit_and_hands_cash_in(
    cloud: Cloud, company: Company
) -> None:
    household, agent = company.meter(), cloud.staff("agent")
    body = {"serial_number": household.serial_number, "amount": "500.00"}
    first = agent.post("/payments/agent", body, secrets.token_hex(8))
    cloud.wait_for_payment(first.body["payment_id"], {"completed"})
    agent_id = first.body["payment_id"].removeprefix("agent.").partition("-")[0]
    shown = cloud.staff("finance").get(f"/agents/{agent_id}").body
    assert shown in cloud.staff("finance").get("/agents").body["items"]
    terms = {
        "email": agent.email,
        "float_limit": shown["held"],
        "commission_percent": "2.5",
        "reason": "contract",
    }
    assert cloud.staff("admin").put(f"/agents/{agent_id}", terms).status == 200
    refused = agent.post("/payments/agent", body, secrets.token_hex(8))
    assert (refused.status, refused.code) == (403, "float_exceeded")
    key = secrets.token_hex(8)
    receipt = {"cash": "500.00", "reason": "week 2"}
    for status in (201, 200):
        made = cloud.staff("office").post(f"/agents/{agent_id}/receipts", receipt, key)
        assert (made.status, made.body["cash"]) == (status, "500.00")
    second = agent.post("/payments/agent", body, secrets.token_hex(8))
    assert second.status == 202
    after = cloud.staff("operations").get(f"/agents/{agent_id}").body
    assert (after["held"], after["commission"]) == (shown["held"], "12.50")
    entries = cloud.staff("finance").get(f"/agents/{agent_id}/entries").body["items"]
    assert [entry["what"] for entry in entries[:2]] == ["receipt", "terms"]
    cloud.staff("admin").put(f"/agents/{agent_id}", {**terms, "float_limit": None})
    wrong = agent.post("/payments/agent", {**body, "serial_number": serial()}, secrets.token_hex(8))
    assert (wrong.status, wrong.code) == (422, "unknown_device")
