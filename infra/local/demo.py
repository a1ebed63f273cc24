"""Plays a day of a small energy company and checks all of it: ``python -m infra.local.demo``.

Uses the local cloud that is up, or starts one and stops it afterwards. Everything goes over HTTP,
as on AWS. Exits with 1 if anything is not as it should be.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from infra.local import company as companies
from infra.local import up
from infra.local.audit import CustomerBooks, audit
from infra.local.client import Cloud, now, wait_for
from infra.local.company import Company
from infra.local.devices import Outcome, SimulatedDevice
from infra.local.transcript import Transcript

WHAT_FOR = {
    "appliance": "to {name}: an instalment that was overdue",
    "device": "to {name}: instalments that were overdue",
    "access_rate": "to the access rate of {name}",
    "energy": "to energy for {name}",
    "time": "to {name}: its next instalments, which buy time",
    "credit": "kept as credit",
}


@dataclass
class Show:
    """What every chapter needs."""

    cloud: Cloud
    transcript: Transcript
    company: Company


# --- what is told of every payment ------------------------------------------------------------


def tell_account(show: Show, name: str, owes: list[str], **expected: str) -> None:
    """What a customer owes, and has in hand."""
    account = show.company.account(name)
    debts = [
        f"{debt['amount']} for {_debt_in_words(show, debt)}, due {debt['due_on']}"
        for debt in account["debts"]
    ]
    show.transcript.say(
        f"{name}'s account, version {account['version']}: owes {account['owed']}, "
        f"credit {account['credit']}."
    )
    show.transcript.sums((text.split()[0], " ".join(text.split()[1:])) for text in debts)
    found = [debt["amount"] for debt in account["debts"]]
    show.transcript.check(f"{name} owes {' + '.join(owes) or 'nothing'}", owes, found)
    for field, value in expected.items():
        show.transcript.check(f"{name}'s {field} is {value}", value, account[field])


def _debt_in_words(show: Show, debt: dict[str, Any]) -> str:
    name = show.company.names[debt["ref"]]
    return f"the access rate of {name}" if debt["kind"] == "access_rate" else name


def tell_split(show: Show, payment: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Where each shilling went."""
    show.transcript.sums(
        (
            line["amount"],
            WHAT_FOR[line["kind"]].format(name=show.company.names.get(line["ref"], "")),
        )
        for line in payment["lines"]
    )
    lines = [(line["kind"], line["amount"]) for line in payment["lines"]]
    show.transcript.check("every shilling went where the rules send it", expected, lines)


def tell_message(show: Show, payment: dict[str, Any], number: int, *words: str) -> None:
    """The SMS of a payment, with the words that it must have (spaces do not count)."""
    message = show.cloud.wait_for_message(payment["payment_id"], number)
    show.transcript.sms(message["to"], message["body"])
    text = "".join(message["body"].split())
    missing = [word for word in words if word not in text]
    show.transcript.check("the SMS says what the customer needs", [], missing)


def tell_vended_once(show: Show, payment: dict[str, Any], of: int) -> None:
    """That the meter's vendor issued one token for this payment, the ``of``-th for this meter."""
    issued = show.cloud.fakes.issued("calin", show.company.meter)
    show.transcript.check(
        "the vendor has issued exactly one token for it", [token_of(payment)], issued[of - 1 :]
    )


def token_of(payment: dict[str, Any]) -> str:
    """The one token of a payment, or nothing."""
    values = [token["value"] for token in payment["tokens"]]
    return str(values[0]) if len(values) == 1 else ""


def type_in(show: Show, device: SimulatedDevice, token: str, expected: Outcome, days: int) -> None:
    """Type a token into the simulated device, which knows nothing of the server."""
    before = device.days
    outcome = device.type_in(token)
    brings = f"{expected}: {days}" if days else f"{expected}"
    show.transcript.check(
        f"typed into the device {device.serial_number}: {brings}",
        (expected, days),
        (outcome, device.days - before),
    )


def pay_direct(show: Show, serial_number: str, amount: str) -> dict[str, Any]:
    """A payment through the partner bank, once it is settled."""
    reference = f"bank-{secrets.token_hex(4)}"
    answer = show.cloud.partner.pay(serial_number, amount, reference)
    show.transcript.check(f"KES {amount} through the bank: accepted", 202, answer.status)
    return show.cloud.wait_for_payment(show.cloud.partner.payment_id(reference))


# --- the chapters -------------------------------------------------------------------------------


def meet_the_company(show: Show) -> None:
    """Places, a tariff, six customers, and what they owe."""
    show.transcript.chapter("A small company")
    company = show.company
    show.transcript.say(
        "One cluster (Lake Shore), one mini-grid (Mbita), two villages (Kaugege, Rusinga). Energy "
        "costs KES 100 per kWh, and to be connected costs KES 75 every 7 days. Six customers:"
    )
    show.transcript.facts(
        [
            ("Asha", f"a prepaid meter ({company.meter}); a TV, paid off in weekly 300s"),
            ("Baraka", f"a solar home system ({company.home.serial_number}), 700 a week"),
            ("Neema", f"an e-bike ({company.bike.serial_number}), 700 a week, two weeks late"),
            ("Wanjiru", f"a smart meter of SparkMeter ({company.smart_meter})"),
            ("Juma", f"a solar home system of Angaza ({company.remote_home}), 700 a week"),
            ("Zawadi", f"a prepaid meter ({company.broken_meter}) that is about to break"),
        ]
    )
    tell_account(show, "Asha", ["300.00", "75.00", "75.00"])
    tell_account(show, "Baraka", [])
    tell_account(show, "Neema", ["700.00", "700.00"])


def wrong_serial_is_refused(show: Show) -> None:
    """Daraja asks about a serial that nobody has."""
    show.transcript.chapter("M-Pesa asks about a serial number that does not exist")
    show.transcript.say(
        "Somebody types a wrong number. Before any money moves, M-Pesa (Safaricom's Daraja) asks "
        "whether to go on."
    )
    receipt = show.cloud.daraja.receipt()
    answer = show.cloud.daraja.ask(receipt, "99" + show.company.meter[2:], "1000.00")
    show.transcript.check(
        "we say no, in M-Pesa's words: bad account number",
        (200, "C2B00012"),
        (answer.status, answer.body.get("ResultCode")),
    )
    payment = show.cloud.payment(show.cloud.daraja.payment_id(receipt))
    show.transcript.check(
        "support can find it: refused, unknown device, nothing booked",
        ("refused", "unknown_device", []),
        (payment["status"], payment["reason"], payment["lines"]),
    )


def debts_come_first(show: Show) -> dict[str, Any]:
    """A question and its confirmation: debts first, then energy."""
    show.transcript.chapter("Asha pays KES 1000 by M-Pesa for her meter")
    receipt, meter = show.cloud.daraja.receipt(), show.company.meter
    question = show.cloud.daraja.ask(receipt, meter, "1000.00")
    show.transcript.check("asked first, we say yes", "0", question.body.get("ResultCode"))
    confirmation = show.cloud.daraja.confirm(receipt, meter, "1000.00")
    show.transcript.check(
        "told that the money has moved, we have it", 0, confirmation.body.get("ResultCode")
    )
    payment = show.cloud.wait_for_payment(show.cloud.daraja.payment_id(receipt))
    show.transcript.say("What she owes comes first, the TV before the access rate:")
    tell_split(
        show, payment, [("appliance", "300.00"), ("access_rate", "150.00"), ("energy", "550.00")]
    )
    show.transcript.check(
        "completed: 550 buy 5.5 kWh, not 10",
        ("completed", ["5.5"]),
        (payment["status"], [token["units"] for token in payment["tokens"]]),
    )
    tell_message(show, payment, 1, "5.5kWh", token_of(payment))
    tell_vended_once(show, payment, of=1)
    tell_account(show, "Asha", [])
    return payment


def said_again_changes_nothing(show: Show, payment: dict[str, Any]) -> None:
    """The same confirmation, several times at once."""
    show.transcript.chapter("M-Pesa says it again")
    show.transcript.say("The network was slow, so the same confirmation comes five times more.")
    before = show.company.account("Asha")

    def confirm(_: int) -> Any:
        reference, meter = payment["reference"], show.company.meter
        return show.cloud.daraja.confirm(reference, meter, "1000.00").body.get("ResultCode")

    with ThreadPoolExecutor(5) as pool:
        codes = set(pool.map(confirm, range(5)))
    show.transcript.check("each is answered: accepted", {0}, codes)
    time.sleep(2)  # what must not happen needs a moment in which it could
    again = show.cloud.payment(payment["payment_id"])
    show.transcript.check("the payment is what it was", payment, again)
    show.transcript.check("her account is what it was", before, show.company.account("Asha"))
    tell_vended_once(show, payment, of=1)
    sent = len(show.cloud.sms(payment["payment_id"]))
    show.transcript.check("one SMS went out, not six", 1, sent)


def signatures_matter(show: Show) -> None:
    """A direct payment with a forged and one with a true signature."""
    show.transcript.chapter("Baraka pays KES 700 for his solar home system, through a bank")
    partner, serial_number = show.cloud.partner, show.company.home.serial_number
    show.transcript.say("First somebody tries it who does not know the bank's secret.")
    reference = f"bank-{secrets.token_hex(4)}"
    forged = show.cloud.api.call(
        "POST",
        "/payments/direct",
        {
            "reference": reference,
            "serial_number": serial_number,
            "amount": "700.00",
            "currency": "KES",
        },
        headers=partner.signed(b"another body"),
    )
    show.transcript.check(
        "a forged signature is turned away",
        (401, "invalid_signature"),
        (forged.status, forged.code),
    )
    show.transcript.check("nothing was stored", 404, partner.get(reference).status)
    show.transcript.say("Then the bank itself, which signs the very bytes that it sends.")
    payment = pay_direct(show, serial_number, "700.00")
    tell_split(show, payment, [("time", "700.00")])
    tell_message(show, payment, 1, "7days", token_of(payment))
    type_in(show, show.company.home, token_of(payment), Outcome.DAYS_ADDED, 7)
    type_in(show, show.company.home, token_of(payment), Outcome.USED_BEFORE, 0)


def paying_only_debt(show: Show) -> None:
    """A payment that clears exactly what is owed, then one that buys time."""
    show.transcript.chapter("Neema, two weeks late with her e-bike, pays exactly what she owes")
    payment = pay_direct(show, show.company.bike.serial_number, "1400.00")
    tell_split(show, payment, [("device", "1400.00")])
    show.transcript.check(
        "that is no error: completed, without a token",
        ("completed", []),
        (payment["status"], payment["tokens"]),
    )
    tell_message(show, payment, 0, "1400.00")
    tell_account(show, "Neema", [])
    show.transcript.say("From now on every shilling buys time: at 700 a week, 800 buy 8 days.")
    payment = pay_direct(show, show.company.bike.serial_number, "800.00")
    tell_split(show, payment, [("time", "800.00")])
    tell_message(show, payment, 1, "8days", token_of(payment))
    type_in(show, show.company.bike, token_of(payment), Outcome.DAYS_ADDED, 8)


def vendor_falls_silent(show: Show) -> str:
    """A meter payment whose vendor issues a token and never answers; answers its id."""
    show.transcript.chapter("Asha pays KES 500 more, and the meter's vendor falls silent")
    show.cloud.fakes.order("calin", "vend_then_timeout", serial_number=show.company.meter)
    receipt = show.cloud.daraja.receipt()
    answer = show.cloud.daraja.confirm(receipt, show.company.meter, "500.00")
    show.transcript.check("M-Pesa has its answer at once all the same", 200, answer.status)
    payment_id = show.cloud.daraja.payment_id(receipt)
    payment = show.cloud.wait_for_payment(payment_id, {"vending", "held", "completed"})
    show.transcript.say(
        "The vendor's server takes our request and then says nothing at all. Did it issue a "
        "token? We cannot know, so we must not simply ask again: that could make two tokens of "
        "one payment."
    )
    show.transcript.check("the payment waits for its vendor", "vending", payment["status"])
    return payment_id


def paying_off(show: Show, waiting_payment_id: str) -> None:
    """A payment that pays off the SHS and unlocks it, while the meter's vendor is still silent."""
    show.transcript.chapter("Meanwhile Baraka pays off his solar home system")
    show.transcript.say("385 are left to pay. He pays KES 500, and waits for nobody's vendor.")
    home = show.company.home
    payment = pay_direct(show, home.serial_number, "500.00")
    tell_split(show, payment, [("time", "385.00"), ("credit", "115.00")])
    tell_message(show, payment, 1, token_of(payment))
    type_in(show, home, token_of(payment), Outcome.UNLOCKED, 0)
    device = show.cloud.staff("office").get(f"/devices/{home.serial_number}").body
    show.transcript.check(
        "the plan is paid, the system is his",
        ("paid", "0.00", "unlocked"),
        (device["plan"]["state"], device["plan"]["open"], device["state"]),
    )
    tell_account(show, "Baraka", [], credit="115.00")
    waiting = show.cloud.payment(waiting_payment_id)
    show.transcript.check("all this while Asha's payment waits", "vending", waiting["status"])


def checkout_tops_up(show: Show) -> None:
    """A checkout with Paystack, and a meter that is topped up from afar."""
    show.transcript.chapter("Wanjiru pays KES 400 by card, for a meter without a keypad")
    show.transcript.say(
        "Her phone asks us for a checkout. We check the serial number first, then open a page at "
        "Paystack; only its signed word that money has moved counts."
    )
    cloud, smart_meter = show.cloud, show.company.smart_meter
    answer = cloud.paystack.checkout(smart_meter, "400.00")
    show.transcript.check("the checkout is open", 201, answer.status)
    payment_id, reference = answer.body["payment_id"], answer.body["reference"]
    forged = cloud.paystack.notice(reference, 40000)
    answer = cloud.paystack.webhook("charge.success", forged, key="sk_test_somebody_else")
    show.transcript.check(
        "somebody else's word that it is paid is turned away",
        (401, "pending"),
        (answer.status, cloud.payment(payment_id)["status"]),
    )
    show.transcript.check("Paystack's word is taken", 200, cloud.fakes.pay(reference))
    payment = cloud.wait_for_payment(payment_id)
    tell_split(show, payment, [("energy", "400.00")])
    show.transcript.check(
        "SparkMeter has put it on the meter: nothing to type",
        ("completed", ["4"], [None]),
        (
            payment["status"],
            [token["units"] for token in payment["tokens"]],
            [token["value"] for token in payment["tokens"]],
        ),
    )
    tell_message(show, payment, 1, "4kWh", smart_meter)


def lost_answer_is_found(show: Show) -> None:
    """A top-up whose answer was lost: a search finds it, and nobody has to do anything."""
    show.transcript.chapter("Wanjiru pays KES 300 more, and SparkMeter's answer is lost")
    cloud, name = show.cloud, show.company.smart_meter_name
    cloud.fakes.order("sparkmeter", "garbage", serial_number=name)
    payment = pay_direct(show, show.company.smart_meter, "300.00")
    show.transcript.say(
        "Was the meter topped up? Unlike the other vendor, SparkMeter can be asked: we look for "
        "the name that we gave to this very top-up."
    )
    show.transcript.check(
        "found after a moment, without a person and without a second call",
        ("completed", [("done", 1)], ["vend_uncertain"]),
        (
            payment["status"],
            [(vend["state"], vend["attempts"]) for vend in payment["vends"]],
            [event["what"] for event in payment["events"]],
        ),
    )
    amounts = [vend["request"]["amount"] for vend in cloud.fakes.vends("sparkmeter", name)]
    show.transcript.check("topped up twice in all, once per payment", ["400.00", "300.00"], amounts)
    tell_message(show, payment, 1, "3kWh")


def paying_early(show: Show) -> None:
    """Two payments for a unit that is told until when it runs: no day is lost."""
    show.transcript.chapter("Juma pays KES 700, and a week early the next KES 800")
    show.transcript.say(
        "Angaza takes no days, it is told until when the unit runs. So we remember what is paid, "
        "and count the new days from its end, not from today."
    )
    unit = show.company.remote_home
    for amount, days in (("700.00", 7), ("800.00", 8)):
        payment = pay_direct(show, unit, amount)
        tell_split(show, payment, [("time", amount)])
        tell_message(show, payment, 1, f"{days}days", token_of(payment))
    first, second = _told_until(show)
    show.transcript.check(
        "the unit runs 8 days longer than it did: he keeps the week that he had",
        timedelta(days=8),
        datetime.fromisoformat(second) - datetime.fromisoformat(first),
    )


def _told_until(show: Show) -> list[str]:
    """Until when Angaza was told that Juma's unit runs, one per request."""
    vends = show.cloud.fakes.vends("angaza", show.company.remote_home)
    return [vend["request"]["state"]["desired"]["credit_until_dt"] for vend in vends]


def plan_is_lowered(show: Show) -> None:
    """A plan that is lowered to what is paid: its device is unlocked without a payment."""
    show.transcript.chapter("The company lets Juma have his system for what he has paid")
    customer_id = show.company.customer_ids["Juma"]
    device_path = f"/devices/{show.company.remote_home}"
    office = show.cloud.staff("office")
    plan_id = office.get(device_path).body["plan"]["plan_id"]
    answer = office.put(
        f"/customers/{customer_id}/plans/{plan_id}",
        {"reason": "its battery is weak: agreed by telephone", "total": "1500.00"},
    )
    show.transcript.check(
        "the total is lowered from 7000 to 1500: the plan is paid",
        (200, "paid"),
        (answer.status, answer.body.get("state")),
    )
    version = show.company.account("Juma")["version"]
    payment = show.cloud.wait_for_payment(f"entry-{customer_id}.{version}")
    show.transcript.check(
        "Angaza is told to unlock it for good, though nobody has paid anything",
        ("completed", "0.00", "UNLOCKED"),
        (payment["status"], payment["amount"], _told_until(show)[-1]),
    )
    tell_message(show, payment, 1, token_of(payment))
    show.transcript.check("it is his", "unlocked", office.get(device_path).body["state"])
    tell_account(show, "Juma", [])


def money_goes_back(show: Show) -> None:
    """Money for a meter that was taken back meanwhile: it is returned without a person."""
    show.transcript.chapter("Zawadi pays KES 500 for a meter that is hers no more")
    cloud, meter = show.cloud, show.company.broken_meter
    checkout = cloud.paystack.checkout(meter, "500.00").body
    answer = cloud.staff("office").put(
        f"/devices/{meter}/owner", {"customer_id": None, "reason": "broken, taken back"}
    )
    show.transcript.check(
        "between her checkout and her payment the meter is taken back", 200, answer.status
    )
    show.transcript.check("she pays all the same", 200, cloud.fakes.pay(checkout["reference"]))
    payment = cloud.wait_for_payment(checkout["payment_id"])
    show.transcript.check(
        "nothing is credited to anybody",
        ("refund_due", "device_unassigned", []),
        (payment["status"], payment["reason"], payment["lines"]),
    )
    tell_message(show, payment, 91, "KES500.00", meter)
    show.transcript.say(
        "For 15 minutes a person could assign it to the right meter. Nobody does; we let them "
        "pass at once."
    )
    let_time_pass(show, payment)
    payment = cloud.wait_for_payment(payment["payment_id"], {"refunded", "held"})
    refunds = [
        (refund["amount"], refund["status"])
        for refund in cloud.fakes.refunds("paystack")
        if refund["reference"] == checkout["reference"]
    ]
    show.transcript.check(
        "it has gone back by itself, once and whole",
        ("refunded", [(50000, "processed")]),
        (payment["status"], refunds),
    )
    tell_message(show, payment, 101, "KES500.00")


def let_time_pass(show: Show, payment: dict[str, Any]) -> None:
    """Bring the hour forward at which money that is due goes back, and let the sweeper run.

    The one place where the story touches a table: it has no 15 minutes.
    """
    past = (now() - timedelta(seconds=1)).isoformat(timespec="microseconds")
    show.cloud.aws("dynamodb").update_item(
        TableName=show.cloud.stack["tables"]["payments"],
        Key={"payment_id": {"S": payment["payment_id"]}},
        UpdateExpression="SET refund_at = :past, check_at = :past ADD revision :one",
        ConditionExpression="attribute_exists(refund_at)",
        ExpressionAttributeValues={
            ":past": {"S": past.replace("+00:00", "Z")},
            ":one": {"N": "1"},
        },
    )
    _invoke(show, "sweep")


def _invoke(show: Show, function: str, **detail: str) -> None:
    """Run a function now, as its schedule would."""
    event = {
        "detail": detail,
        "detail-type": "Scheduled Event",
        "resources": [],
        **dict.fromkeys(("version", "id", "source", "account", "time", "region"), ""),
    }
    show.cloud.aws("lambda").invoke(
        FunctionName=show.cloud.stack["functions"][function], Payload=json.dumps(event).encode()
    )


def person_resolves(show: Show, payment_id: str) -> None:
    """The held payment, and the person who finds out what became of it."""
    show.transcript.chapter("A person finds out what became of Asha's KES 500")
    payment = show.cloud.wait_for_payment(payment_id, {"held", "completed"}, seconds=60)
    show.transcript.check(
        "after the time-out it is held for a person",
        ("held", "vend_uncertain", "uncertain"),
        (payment["status"], payment["reason"], payment["vends"][0]["state"]),
    )
    tell_message(show, payment, 90, "KES500.00", show.company.meter)
    operations = show.cloud.staff("operations")
    careless = operations.post(f"/payments/{payment_id}/retry", {"reason": "just try again"})
    show.transcript.check("a careless retry is turned down", 422, careless.status)
    show.transcript.say(
        "Operations call the vendor. Its records have the token: issued, but never delivered. "
        "They enter it."
    )
    issued = show.cloud.fakes.issued("calin", show.company.meter)[1:]
    answer = operations.post(
        f"/payments/{payment_id}/resolve",
        {"reason": "found in the vendor's records", "outcome": "token", "token": issued[0]},
    )
    show.transcript.check("the token is taken", 202, answer.status)
    payment = show.cloud.wait_for_payment(payment_id, {"completed"})
    tell_split(show, payment, [("energy", "500.00")])
    tell_message(show, payment, 1, "5kWh", issued[0])
    tell_vended_once(show, payment, of=2)


def company_proves_its_books(show: Show) -> None:
    """The daily proof of the books, run at once, and its report."""
    show.transcript.chapter("The company proves its own books")
    show.transcript.say(
        "Once a day a function adds up, customer by customer, what payments and entries posted, "
        "and compares it with the accounts. We run it now."
    )
    since = now()

    def went_on() -> dict[str, Any]:
        _invoke(show, "reconcile", start="now")
        reports = show.cloud.staff("finance").get("/reconciliations", limit=1).body["items"]
        return dict(reports[0]) if reports else {}

    report = wait_for(
        went_on,
        lambda latest: (
            latest.get("state") == "finished" and datetime.fromisoformat(latest["run_id"]) >= since
        ),
        "a pass over all books",
        seconds=60,
    )
    show.transcript.facts(
        [
            ("customers", str(report["customers"])),
            ("versions", str(report["versions"])),
            ("payments", str(report["payments"])),
        ]
    )
    show.transcript.check("not one difference", [], report["differences"])


def books_are_right(show: Show) -> None:
    """Every change of every account is accounted for, read from the tables themselves."""
    show.transcript.chapter("The books, from outside")
    show.transcript.say(
        "We need not take its word. Read from DynamoDB itself: every change of an account has a "
        "number, and exactly one payment or one entry (a registration, a sale) explains it."
    )
    found = audit(show.cloud)
    names = {customer_id: name for name, customer_id in show.company.customer_ids.items()}
    for books in found.customers:
        name = names.get(books.customer_id, books.customer_id)
        show.transcript.check(_proved(name, books), [], books.differences)
    show.transcript.say("And added up once more, over the whole company:")
    show.transcript.sums(
        [
            (_major(Fraction(found.money_in_minor)), "came in, of which"),
            *((_major(amount), what) for what, amount in found.money_went_minor.items() if amount),
        ]
    )
    show.transcript.check(
        "what came in is all there", found.money_in_minor, found.money_somewhere_minor
    )


def _proved(name: str, books: CustomerBooks) -> str:
    payments = f"{books.payments} payment{'s' * (books.payments != 1)}"
    entries = f"{books.entries} entr{'y' if books.entries == 1 else 'ies'}"
    return f"{name}: versions 1 to {books.version}, once each, by {payments} and {entries}"


def _major(amount_minor: Fraction) -> str:
    """Shillings and cents; the story's sums have no fractions of a cent."""
    shillings, cents = divmod(int(amount_minor), 100)
    return f"{shillings}.{cents:02}"


# --- the show -------------------------------------------------------------------------------------


def play(show: Show) -> None:
    """All chapters in order."""
    meet_the_company(show)
    wrong_serial_is_refused(show)
    payment = debts_come_first(show)
    said_again_changes_nothing(show, payment)
    signatures_matter(show)
    paying_only_debt(show)
    waiting_payment_id = vendor_falls_silent(show)
    paying_off(show, waiting_payment_id)
    checkout_tops_up(show)
    lost_answer_is_found(show)
    paying_early(show)
    plan_is_lowered(show)
    money_goes_back(show)
    person_resolves(show, waiting_payment_id)
    company_proves_its_books(show)
    books_are_right(show)


def main() -> int:
    """Plays the demo; answers the exit code."""
    transcript = Transcript()
    transcript.title("Mwanga: a payment comes in, the light goes on")
    transcript.say(
        "Customers of small energy companies pay from their phones. What they owe is cleared "
        "first; the rest becomes a token that switches the light on. This plays such a day "
        "against the real system: its template, deployed to an emulated AWS on this machine, "
        "called over HTTP. Only vendors, payment providers and the SMS gateway are fakes."
    )
    already_up = up.running_stack()
    if already_up is None:
        transcript.say("Starting it takes a minute ...")
    stack = already_up or up.start()
    started = time.monotonic()
    cloud = Cloud(stack)
    try:
        play(Show(cloud, transcript, companies.found(cloud)))
    except Exception as error:
        traceback.print_exc()
        transcript.break_off(f"the story could not go on: {error}")
    finally:
        cloud.close()
        if already_up is None:
            up.stop()
    return transcript.finish(time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
