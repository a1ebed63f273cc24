"""Plays a day of a small energy company and checks all of it: ``python -m infra.local.demo``.

Uses the local cloud that is up, or starts one and stops it afterwards. Everything goes over HTTP,
as on AWS. Exits with 1 if anything is not as it should be.
"""

from __future__ import annotations

import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from infra.local import up
from infra.local.audit import Audit, audit
from infra.local.client import Answer, Cloud, TooLate, now
from infra.local.devices import Outcome, SimulatedDevice
from infra.local.transcript import Transcript

NAIROBI = ZoneInfo("Africa/Nairobi")

WHAT_FOR = {
    "appliance": "for the {name}: an instalment that was overdue",
    "device": "for {ref}: instalments that were overdue",
    "access_rate": "for the access rate of meter {ref}",
    "energy": "for energy on meter {ref}",
    "time": "for time on {ref}",
    "credit": "kept as credit",
}


@dataclass
class Show:
    """What every chapter needs: the cloud, the transcript, and the company as it was set up."""

    cloud: Cloud
    transcript: Transcript
    meter: str = field(default_factory=lambda: f"47{secrets.randbelow(10**9):09}")
    home: SimulatedDevice = field(default_factory=lambda: SimulatedDevice(_serial("SHS")))
    bike: SimulatedDevice = field(default_factory=lambda: SimulatedDevice(_serial("BIKE")))
    names: dict[str, str] = field(default_factory=dict)
    """What lines refer to (plan ids), by the name that people use."""
    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Customers by their first name."""

    def account(self, name: str) -> dict[str, Any]:
        """The account of a customer."""
        return self.cloud.account(self.customers[name]["id"])


def _serial(kind: str) -> str:
    return f"{kind}{secrets.randbelow(10**6):06}"


def _day(days_from_today: int) -> str:
    today: date = now().astimezone(NAIROBI).date()
    return (today + timedelta(days=days_from_today)).isoformat()


# --- the company ----------------------------------------------------------------------------


def set_up_company(show: Show) -> None:
    """Register places, a tariff, an appliance and three customers, as staff do it."""
    show.transcript.chapter("A small company")
    admin = show.cloud.staff("admin")
    cluster = _site(show, "/clusters", {"name": "Lake Shore"})
    grid = _site(show, "/mini-grids", {"name": "Mbita", "cluster_id": cluster})
    kaugege = _site(show, "/villages", {"name": "Kaugege", "mini_grid_id": grid})
    rusinga = _site(show, "/villages", {"name": "Rusinga", "mini_grid_id": grid})
    tariff = _created(
        admin.post(
            "/tariffs",
            {
                "name": f"Home {secrets.token_hex(3)}",
                "price_per_kwh": "100",
                "access_rate": {"amount": "75.00", "period_days": 7},
            },
        )
    )
    _register_asha(show, kaugege, tariff["id"])
    _register_baraka(show, rusinga)
    _register_neema(show, rusinga)
    show.transcript.say(
        "One cluster (Lake Shore), one mini-grid (Mbita), two villages (Kaugege, Rusinga). Energy "
        "costs KES 100 per kWh, and being connected costs KES 75 every 7 days. Three customers:"
    )
    show.transcript.facts(
        [
            (
                "ASHA MWANGI",
                f"a meter ({show.meter}) for 16 days, and a TV paid off in weekly 300s",
            ),
            ("BARAKA OTIENO", f"a solar home system ({show.home.serial_number}), 700 a week"),
            ("NEEMA AKINYI", f"an e-bike ({show.bike.serial_number}), 700 a week, two weeks late"),
        ]
    )
    _show_debts(
        show,
        "ASHA",
        [("appliance", "300.00"), ("access_rate", "75.00"), ("access_rate", "75.00")],
    )
    show.transcript.check("Baraka owes nothing", "0.00", show.account("BARAKA")["owed"])
    _show_debts(show, "NEEMA", [("device", "700.00"), ("device", "700.00")])


def _site(show: Show, path: str, body: dict[str, Any]) -> int:
    """The id of the place of that name, made if it is not there from an earlier show."""
    admin = show.cloud.staff("admin")
    answer = admin.post(path, body)
    if answer.status != 409:
        return int(_created(answer)["id"])
    items = admin.get(path, limit=100).body["items"]
    return next(int(item["id"]) for item in items if item["name"] == body["name"])


def _created(answer: Answer) -> dict[str, Any]:
    if answer.status != 201:
        raise RuntimeError(f"not created: {answer.status} {answer.body}")
    created: dict[str, Any] = answer.body
    return created


def _person(name: str, surname: str, village_id: int) -> dict[str, Any]:
    phone = f"+2547{secrets.randbelow(10**8):08}"
    return {"name": name, "surname": surname, "phone": phone, "village_id": village_id}


def _register_asha(show: Show, village_id: int, tariff_id: int) -> None:
    """A meter, registered in the field 16 days ago; the office sold her a TV."""
    registered = _created(
        show.cloud.staff("field").post(
            "/registrations",
            {
                "customer": _person("ASHA", "MWANGI", village_id),
                "device": {
                    "serial_number": show.meter,
                    "manufacturer": "calin",
                    "tariff_id": tariff_id,
                },
                "registered_on": _day(-16),
            },
        )
    )
    show.customers["ASHA"] = registered["customer"]
    plan = _created(
        show.cloud.staff("office").post(
            f"/customers/{registered['customer']['id']}/plans",
            {
                "name": "TV",
                "total": "900.00",
                "instalments": 3,
                "every": "week",
                "first_due": _day(-3),
            },
            key=secrets.token_hex(8),
        )
    )
    show.names[plan["plan_id"]] = "TV"


def _register_baraka(show: Show, village_id: int) -> None:
    """A solar home system that is nearly paid off: it moved in from another system."""
    _register_device(
        show,
        _person("BARAKA", "OTIENO", village_id),
        show.home,
        "openpaygo",
        {"already_paid": "5915.00", "first_due": _day(4 - 8 * 7)},
    )


def _register_neema(show: Show, village_id: int) -> None:
    """An e-bike with two instalments overdue and the third due in four days."""
    person = _person("NEEMA", "AKINYI", village_id)
    _register_device(show, person, show.bike, "openpaygo_ebike", {"first_due": _day(4 - 2 * 7)})


def _register_device(
    show: Show,
    person: dict[str, Any],
    device: SimulatedDevice,
    manufacturer: str,
    terms: dict[str, Any],
) -> None:
    registered = _created(
        show.cloud.staff("office").post(
            "/registrations",
            {
                "customer": person,
                "device": {
                    "serial_number": device.serial_number,
                    "manufacturer": manufacturer,
                    "technical": device.technical,
                    "plan": {"total": "7000.00", "instalments": 10, "every": "week", **terms},
                },
                "registered_on": _day(-60),
            },
        )
    )
    show.customers[person["name"]] = registered["customer"]


def _show_debts(show: Show, name: str, expected: list[tuple[str, str]]) -> None:
    account = show.account(name)
    owes = [(debt["kind"], debt["amount"]) for debt in account["debts"]]
    text = ", ".join(f"{amount} {kind.replace('_', ' ')}" for kind, amount in expected)
    show.transcript.check(f"{name.title()} owes {account['owed']}: {text}", expected, owes)


# --- what is told of every payment ------------------------------------------------------------


def _tell_split(show: Show, payment: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """Where each shilling went."""
    show.transcript.sums(
        (
            line["amount"],
            WHAT_FOR[line["kind"]].format(
                ref=line["ref"], name=show.names.get(line["ref"], line["ref"])
            ),
        )
        for line in payment["lines"]
    )
    lines = [(line["kind"], line["amount"]) for line in payment["lines"]]
    show.transcript.check("every shilling went where the rules send it", expected, lines)


def _tell_message(show: Show, payment: dict[str, Any], number: int, *words: str) -> None:
    """The SMS of a payment, with the words that it must have."""
    message = show.cloud.wait_for_message(payment["payment_id"], number)
    show.transcript.sms(message["to"], message["body"])
    digits = "".join(message["body"].split())
    missing = [word for word in words if word not in digits]
    show.transcript.check("the SMS says what the customer needs", [], missing)


def _tell_vended_once(show: Show, token: str, tokens_before: int) -> None:
    issued = show.cloud.fakes.issued("calin", show.meter)
    show.transcript.check(
        "the meter's vendor issued that one token", [token], issued[tokens_before:]
    )


def _token(payment: dict[str, Any]) -> str:
    """The one token of a payment, or nothing."""
    values = [token["value"] for token in payment["tokens"]]
    return str(values[0]) if len(values) == 1 else ""


# --- the chapters -------------------------------------------------------------------------------


def wrong_serial_is_refused(show: Show) -> None:
    """Daraja asks about a serial that nobody has."""
    show.transcript.chapter("A slip of the thumb: M-Pesa asks about a serial that does not exist")
    show.transcript.say(
        "Somebody types a wrong number. Before any money moves, M-Pesa (Safaricom's Daraja) asks "
        "us whether to go on."
    )
    receipt = show.cloud.daraja.receipt()
    answer = show.cloud.daraja.ask(receipt, "99" + show.meter[2:], "1000.00")
    show.transcript.say(
        f"We answer {answer.body.get('ResultCode')}: {answer.body.get('ResultDesc')}."
    )
    show.transcript.check("HTTP 200, as Daraja wants it", 200, answer.status)
    show.transcript.check(
        "the code says: bad account number", "C2B00012", answer.body.get("ResultCode")
    )
    payment = show.cloud.payment(show.cloud.daraja.payment_id(receipt))
    show.transcript.check(
        "support can find it: refused, unknown device, nothing booked",
        ("refused", "unknown_device", []),
        (payment["status"], payment["reason"], payment["lines"]),
    )


def debts_come_first(show: Show) -> None:
    """A question and its confirmation; the same confirmation again."""
    show.transcript.chapter("Asha pays KES 1000 by M-Pesa for her meter")
    receipt = show.cloud.daraja.receipt()
    question = show.cloud.daraja.ask(receipt, show.meter, "1000.00")
    show.transcript.check("asked, we say yes", "0", str(question.body.get("ResultCode")))
    show.cloud.daraja.confirm(receipt, show.meter, "1000.00")
    payment = show.cloud.wait_for_payment(show.cloud.daraja.payment_id(receipt))
    show.transcript.say(
        "M-Pesa confirms: the money has moved. Debts come first; what is left buys energy."
    )
    _tell_split(
        show, payment, [("appliance", "300.00"), ("access_rate", "150.00"), ("energy", "550.00")]
    )
    show.transcript.check("the payment is completed", "completed", payment["status"])
    show.transcript.check(
        "550 buy 5.5 kWh", ["5.5"], [token["units"] for token in payment["tokens"]]
    )
    _tell_message(show, payment, 1, "5.5", _token(payment))
    _tell_vended_once(show, _token(payment), 0)
    show.transcript.check("Asha owes nothing now", "0.00", show.account("ASHA")["owed"])

    show.transcript.say("")
    show.transcript.say(
        "M-Pesa is not sure that we heard it, and says it again, five times at once."
    )
    version = show.account("ASHA")["version"]
    with ThreadPoolExecutor(5) as pool:
        answers = list(
            pool.map(lambda _: show.cloud.daraja.confirm(receipt, show.meter, "1000.00"), range(5))
        )
    codes = {str(answer.body.get("ResultCode")) for answer in answers}
    show.transcript.check("each is answered: accepted", {"0"}, codes)
    time.sleep(2)  # what must not happen needs a moment in which it could
    again = show.cloud.payment(payment["payment_id"])
    show.transcript.check("nothing was booked twice", version, show.account("ASHA")["version"])
    show.transcript.check("the token is the same", payment["tokens"], again["tokens"])
    _tell_vended_once(show, _token(payment), 0)
    show.transcript.check(
        "one SMS was sent, not six", 1, len(show.cloud.messages(payment["payment_id"]))
    )


def signatures_matter(show: Show) -> None:
    """A direct payment with a true and one with a forged signature."""
    show.transcript.chapter("Baraka pays KES 700 for his solar home system, through a partner bank")
    partner = show.cloud.partner
    reference = f"bank-{secrets.token_hex(4)}"
    forged = show.cloud.api.call(
        "POST",
        "/payments/direct",
        {
            "reference": reference,
            "serial_number": show.home.serial_number,
            "amount": "700.00",
            "currency": "KES",
        },
        headers=partner.signed(b"another body"),
    )
    show.transcript.say("First somebody tries it without the bank's secret.")
    show.transcript.check(
        "a forged signature is turned away",
        (401, "invalid_signature"),
        (forged.status, forged.code),
    )
    show.transcript.check("nothing was stored", 404, partner.get(reference).status)

    answer = partner.pay(show.home.serial_number, "700.00", reference)
    show.transcript.say("Then the bank itself, with its signature over the very bytes it sends.")
    show.transcript.check("the payment is accepted", 202, answer.status)
    payment = show.cloud.wait_for_payment(partner.payment_id(reference))
    _tell_split(show, payment, [("time", "700.00")])
    _tell_message(show, payment, 1, _token(payment))
    _type_in(show, show.home, _token(payment), Outcome.DAYS_ADDED, 7)
    show.transcript.check(
        "typed in a second time, the device refuses it",
        Outcome.USED_BEFORE,
        show.home.type_in(_token(payment)),
    )


def _type_in(show: Show, device: SimulatedDevice, token: str, expected: Outcome, days: int) -> None:
    """Type a token into the simulated device, which knows nothing of the server."""
    before = device.days
    outcome = device.type_in(token)
    what = f"typed into {device.serial_number}, the token {token} brings: {expected}"
    if days:
        what += f" ({days})"
    show.transcript.check(what, (expected, days), (outcome, device.days - before))


def paying_only_debt(show: Show) -> None:
    """A payment that clears exactly what is owed, then one that buys time."""
    show.transcript.chapter("Neema is two weeks late with her e-bike, and pays exactly KES 1400")
    payment = _pay_direct(show, show.bike.serial_number, "1400.00")
    _tell_split(show, payment, [("device", "1400.00")])
    show.transcript.check(
        "that is no error: completed, without a token",
        ("completed", []),
        (payment["status"], payment["tokens"]),
    )
    _tell_message(show, payment, 0, "1400")
    show.transcript.check("Neema owes nothing now", "0.00", show.account("NEEMA")["owed"])
    show.transcript.say("Now every shilling buys time again: 700 a week, so 800 buy 8 days.")
    payment = _pay_direct(show, show.bike.serial_number, "800.00")
    _tell_split(show, payment, [("time", "800.00")])
    _type_in(show, show.bike, _token(payment), Outcome.DAYS_ADDED, 8)


def _pay_direct(show: Show, serial_number: str, amount: str) -> dict[str, Any]:
    reference = f"bank-{secrets.token_hex(4)}"
    answer = show.cloud.partner.pay(serial_number, amount, reference)
    show.transcript.check(f"KES {amount} from the bank: accepted", 202, answer.status)
    return show.cloud.wait_for_payment(show.cloud.partner.payment_id(reference))


def vendor_falls_silent(show: Show) -> str:
    """A meter payment whose vendor issues a token and never answers; answers its id."""
    show.transcript.chapter("The meter's vendor falls silent")
    show.cloud.fakes.order("calin", "vend_then_timeout", serial_number=show.meter)
    receipt = show.cloud.daraja.receipt()
    answer = show.cloud.daraja.confirm(receipt, show.meter, "500.00")
    show.transcript.say(
        "Asha pays KES 500 more. The vendor's server takes our request, and then says nothing at "
        "all. Did it issue a token? Nobody here can know, so nobody may simply ask again: that "
        "could be a second token for one payment."
    )
    show.transcript.check("M-Pesa gets its answer at once all the same", 200, answer.status)
    payment_id = show.cloud.daraja.payment_id(receipt)
    payment = show.cloud.wait_for_payment(payment_id, {"vending", *("held", "completed")})
    show.transcript.check("the payment waits for its vendor", "vending", payment["status"])
    return payment_id


def paying_off(show: Show, waiting_payment_id: str) -> None:
    """A payment that pays off the SHS and unlocks it, while the meter's vendor is still silent."""
    show.transcript.chapter("Meanwhile Baraka pays off his solar home system")
    show.transcript.say("385 are open on his plan. He pays KES 500; he waits for nobody's vendor.")
    payment = _pay_direct(show, show.home.serial_number, "500.00")
    _tell_split(show, payment, [("time", "385.00"), ("credit", "115.00")])
    _tell_message(show, payment, 1, _token(payment))
    _type_in(show, show.home, _token(payment), Outcome.UNLOCKED, 0)
    device = show.cloud.staff("office").get(f"/devices/{show.home.serial_number}").body
    show.transcript.check(
        "the plan is paid, the system is his",
        ("paid", "0.00"),
        (device["plan"]["state"], device["plan"]["open"]),
    )
    show.transcript.check(
        "115 wait for his next payment", "115.00", show.account("BARAKA")["credit"]
    )
    waiting = show.cloud.payment(waiting_payment_id)
    show.transcript.check("Asha's payment still waits", "vending", waiting["status"])


def person_resolves(show: Show, payment_id: str) -> None:
    """The held payment, and the person who finds out what became of it."""
    show.transcript.chapter("A person finds out about Asha's KES 500")
    payment = show.cloud.wait_for_payment(payment_id, {"held", "completed"}, seconds=60)
    show.transcript.check(
        "after its time-out the payment is held for a person",
        ("held", "vend_uncertain", "uncertain"),
        (payment["status"], payment["reason"], payment["vends"][0]["state"]),
    )
    _tell_message(show, payment, 90)
    early = show.cloud.staff("operations").post(
        f"/payments/{payment_id}/retry", {"reason": "just try again"}
    )
    show.transcript.check("a careless retry is turned down", 422, early.status)
    issued = show.cloud.fakes.issued("calin", show.meter)[1:]
    show.transcript.say(
        "Operations call the vendor, who finds the token in its records: it was issued, only "
        "never delivered. They enter it."
    )
    answer = show.cloud.staff("operations").post(
        f"/payments/{payment_id}/resolve",
        {"reason": "found in the vendor's records", "outcome": "token", "token": issued[0]},
    )
    show.transcript.check("the token is taken", 202, answer.status)
    payment = show.cloud.wait_for_payment(payment_id, {"completed"})
    _tell_split(show, payment, [("energy", "500.00")])
    _tell_message(show, payment, 1, "5kWh", issued[0])
    _tell_vended_once(show, _token(payment), 1)


def books_are_right(show: Show) -> None:
    """Every change of every account is accounted for, read from the tables themselves."""
    show.transcript.chapter("The books")
    show.transcript.say(
        "Read from DynamoDB itself: every change of an account has a number, and exactly one "
        "payment or entry with that number explains it."
    )
    found: Audit = audit(show.cloud)
    for customer in found.customers:
        show.transcript.check(
            f"{customer.customer_id}: versions 1 to {customer.version} are each explained once, "
            f"by {customer.payments} payments and {customer.entries} entries",
            [],
            customer.differences,
        )
    show.transcript.say("")
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


def _major(amount_minor: Fraction) -> str:
    """Shillings and cents; the story's sums have no fractions of a cent."""
    shillings, cents = divmod(int(amount_minor), 100)
    return f"{shillings:,}.{cents:02}"


# --- the show -------------------------------------------------------------------------------------


def play(show: Show) -> None:
    """All chapters in order."""
    set_up_company(show)
    wrong_serial_is_refused(show)
    debts_come_first(show)
    signatures_matter(show)
    paying_only_debt(show)
    waiting = vendor_falls_silent(show)
    paying_off(show, waiting)
    person_resolves(show, waiting)
    books_are_right(show)


def main() -> int:
    """Plays the demo; answers the exit code."""
    transcript = Transcript()
    transcript.title("Mwanga: a payment comes in, the light goes on")
    already_up = up.running_stack()
    if already_up is None:
        transcript.say(
            "Starting a cloud on this machine: the packaged template on an emulated AWS."
        )
    stack = already_up or up.start()
    started = time.monotonic()
    cloud = Cloud(stack)
    try:
        play(Show(cloud, transcript))
    except (TooLate, LookupError, RuntimeError) as error:
        transcript.break_off(str(error))
    finally:
        cloud.fakes.clear()
        if already_up is None:
            up.stop()
    return transcript.finish(time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
