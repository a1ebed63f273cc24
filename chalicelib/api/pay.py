"""The payment page: anybody pays for a device, on the channels that the company uses.

Three steps, each an ordinary form: what is paid and how; what that would bring, with the owner's
masked name; then the provider's own page, or a question on the payer's phone. A payment that was
started is watched under its id, which has our unguessable reference in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

from chalicelib.api import pay_page
from chalicelib.api.pay_page import CONTENT_TYPE, HEADERS, LOOK_AGAIN_SECONDS
from chalicelib.api.pay_words import WORDS, PayWords, best_language
from chalicelib.api.routes import Answer, Call, Routes
from chalicelib.channels.interface import (
    BODY_BYTES_MAX,
    Channel,
    FieldErrors,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from chalicelib.domain.allocation import LineKind, VendKind
from chalicelib.domain.errors import FieldError, MwangaError, Refusal, Refused
from chalicelib.domain.money import Currency, format_minor, format_units
from chalicelib.domain.payment import Claim, Payment, Status
from chalicelib.services.accept import Quote
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.ports import ProviderRequest, SecretMissing
from chalicelib.sms.languages import language_of

routes = Routes()

FORM = "application/x-www-form-urlencoded"
FIELDS = ("serial_number", "amount", "channel", "phone")
FIELD_LENGTH_MAX = 80

_DEBTS = frozenset({LineKind.APPLIANCE, LineKind.DEVICE, LineKind.ACCESS_RATE})
_PAGES = {200: str, 422: str, 503: str}


@routes.route("GET", "/pay", public=True, query=FIELDS, answers={200: str}, gives="text/html")
def pay_form(call: Call[None]) -> Answer:
    """Show the payment page. A link may fill in serial number and amount."""
    return _form(call, {name: call.query.get(name, "") for name in FIELDS}, None, 200)


@routes.route("POST", "/pay", public=True, takes=(FORM,), answers=_PAGES, gives="text/html")
def pay_step(call: Call[None]) -> Answer:
    """Take the form: show what the payment would bring, or start it once that is confirmed."""
    typed = _typed(call)
    channel = next((c for c in offered(call) if c.key == typed["channel"]), None)
    try:
        if channel is None:
            raise FieldError("channel", _words(call).nobody)
        if channel.payer_needs == "phone" and not typed["phone"]:
            raise FieldError("phone", _words(call).phone_needed)
        if "confirmed" not in typed:
            return _confirmation(call, typed)
        return _started(call, channel, typed)
    except (FieldError, Refused) as wrong:
        return _form(call, typed, _problem(call, wrong), 422)
    except FieldErrors as wrong:
        return _form(call, typed, wrong.errors[0].detail, 422)
    except MwangaError as failed:
        if failed.code not in ("try_again", "outcome_unknown"):
            raise
        return _form(call, typed, _words(call).later, 503)


@routes.route("GET", "/pay/{payment_id}", public=True, answers={200: str}, gives="text/html")
def pay_watch(call: Call[None]) -> Answer:
    """Show how a payment that was started here stands; nothing of what it has brought."""
    payment = call.wiring.desk.payment(call.path["payment_id"])
    channels = {channel.key for channel in call.wiring.channels if channel.starts_payments}
    if payment is None or payment.channel not in channels:
        raise NotFound("There is nothing at this address.")
    words = _words(call)
    text, over = _standing(payment, words)
    body = [pay_page.said(text)]
    if not over:
        body.append(pay_page.link(f"../pay/{_quoted(payment.payment_id)}", words.again))
    return _page(call, body, refresh="" if over else str(LOOK_AGAIN_SECONDS))


def offered(call: Call[Any]) -> list[Channel]:
    """The channels on which a payer can start a payment, and that the company uses."""
    return [channel for channel in call.wiring.channels if _is_offered(channel, call)]


def _is_offered(channel: Channel, call: Call[Any]) -> bool:
    if not channel.starts_payments:
        return False
    try:
        secret = call.wiring.desk.secret(channel.secret)
    except SecretMissing:
        return False
    return bool(secret if channel.needs_part is None else secret.get(channel.needs_part))


# --- the steps --------------------------------------------------------------------------------


def _typed(call: Call[None]) -> dict[str, str]:
    """What was typed; of what is given twice or is far too long, nothing."""
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType(f"the body must be {FORM}")
    if len(call.raw) > BODY_BYTES_MAX:
        raise TooLarge(f"at most {BODY_BYTES_MAX} bytes")
    given = parse_qsl(call.raw.decode("utf-8", "replace"), keep_blank_values=True)
    named = dict(given) if len(dict(given)) == len(given) else {}
    typed = {name: named.get(name, "").strip()[:FIELD_LENGTH_MAX] for name in FIELDS}
    return typed | ({"confirmed": "yes"} if named.get("confirmed") == "yes" else {})


def _confirmation(call: Call[None], typed: Mapping[str, str]) -> Answer:
    settings = call.wiring.catalogue.settings()
    serial_number = claimed_serial(typed["serial_number"])
    claim = Claim(
        channel="pay",
        source="pay",
        transaction="quote",
        reference="quote",
        serial_number=serial_number,
        amount_minor=call.amounts.read(typed["amount"], "amount"),
        currency=settings.currency,
    )
    quoted = call.wiring.desk.quote(claim)
    if isinstance(quoted, Refusal):
        raise Refused(quoted)
    words = _words(call)
    money = _money(call, quoted.amount_minor)
    body = pay_page.confirmation(words, _told(call, quoted, words), typed, money)
    return _page(call, [body])


def _told(call: Call[None], quoted: Quote, words: PayWords) -> Iterator[str]:
    """What the payment would do, in a few lines."""
    yield words.owner.format(name=quoted.customer_name, serial_number=quoted.serial_number)
    lines = quoted.allocation.lines
    debts_minor = sum(line.amount_minor for line in lines if line.kind in _DEBTS)
    if debts_minor:
        yield words.debts.format(money=_money(call, debts_minor))
    for intent in quoted.allocation.intents:
        if intent.units is not None:
            number = format_units(intent.units)
            days = intent.kind is VendKind.TIME
            units = words.days.format(number=number) if days else f"{number} kWh"
            yield words.brings.format(units=units)
    if not quoted.allocation.intents:
        yield words.kept


def _started(call: Call[None], channel: Channel, typed: Mapping[str, str]) -> Answer:
    """Start it on the channel, as anybody may over its own route."""
    fields = {"serial_number": typed["serial_number"], "amount": typed["amount"]}
    if channel.payer_needs == "phone":
        fields["phone"] = typed["phone"]
    [checkout] = [e for e in channel.endpoints if e.path.endswith("/checkouts")]
    request = ProviderRequest(
        method="POST",
        path_parameters={},
        headers={"content-type": "application/json"},
        body=json.dumps(fields).encode(),
        source_address=call.source_address,
    )
    started = checkout.function(request, call.wiring.desk).body
    words, watch = _words(call), f"pay/{_quoted(started['payment_id'])}"
    url = started.get("authorization_url")
    if url is not None:
        return _page(call, [pay_page.link(url, words.to_page)], refresh=f"0;url={url}")
    body = [
        pay_page.said(words.asked.format(phone=typed["phone"])),
        pay_page.link(watch, words.again),
    ]
    return _page(call, body, refresh=f"{LOOK_AGAIN_SECONDS};url={watch}")


# --- what is shown ----------------------------------------------------------------------------


def _standing(payment: Payment, words: PayWords) -> tuple[str, bool]:
    """How a payment stands, and whether there is nothing more to wait for."""
    match payment.status:
        case Status.PENDING:
            return words.waiting, False
        case Status.RECEIVED | Status.VENDING | Status.COMPLETED:
            return words.paid, True
        case Status.EXPIRED | Status.REFUSED:
            return words.not_paid, True
    return words.looking, True


def _form(call: Call[None], typed: Mapping[str, str], problem: str | None, status: int) -> Answer:
    currency = call.wiring.catalogue.settings().currency
    body = pay_page.form(_words(call), currency, offered(call), typed, problem)
    return _page(call, list(body), status)


def _page(call: Call[None], body: list[str], status: int = 200, refresh: str = "") -> Answer:
    company = call.wiring.catalogue.settings().company
    text = pay_page.page(_language(call), _words(call), company, body, refresh)
    return Answer(status, text, HEADERS, CONTENT_TYPE)


def _problem(call: Call[None], wrong: FieldError | Refused) -> str:
    """What is wrong, in the payer's language where we have words for it."""
    reasons = language_of(_language(call)).reasons
    if wrong.code in {refusal.value for refusal in Refusal}:
        return reasons[Refusal(wrong.code)]
    return wrong.detail


def _language(call: Call[None]) -> str:
    offered_languages = call.wiring.catalogue.settings().languages
    return best_language(call.headers.get("accept-language", ""), offered_languages)


def _words(call: Call[None]) -> PayWords:
    return WORDS[_language(call)]


def _money(call: Call[None], amount_minor: int) -> str:
    settings = call.wiring.catalogue.settings()
    currency = Currency(settings.currency, settings.currency_decimals)
    return f"{currency.code} {format_minor(amount_minor, currency)}"


def _quoted(payment_id: str) -> str:
    return quote(payment_id, safe="")
