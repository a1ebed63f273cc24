"""Flutterwave v4: we ask the payer's phone for mobile money, and they approve it there.

One call makes customer, means of payment and charge. Its webhook is signed, so a success is taken
at its word; every other report is a hint, and Flutterwave is asked. Each of our calls carries an
idempotency key: Flutterwave answers a repetition as it did the first time.
(developer.flutterwave.com, v4: Orchestrator flow, Mobile money, Webhooks, Idempotency, Refunds.)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import (
    UnusableAmount,
    check_hundredths,
    is_in_hundredths,
    major,
    money,
)
from chalicelib.channels.asking import (
    Said,
    ask,
    note_of,
    quoted,
    read,
    send,
    session_of,
    text_of,
)
from chalicelib.channels.callers import (
    InvalidSignature,
    is_one_of,
)
from chalicelib.channels.checkouts import Begun, Payer, Terms, web_address
from chalicelib.channels.configuration import EMAIL, WORD, Configuration
from chalicelib.channels.interface import (
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    check_size,
    header,
    texts,
)
from chalicelib.channels.reports import Unreadable, answered
from chalicelib.channels.strict_json import Number, read_object
from chalicelib.channels.times import utc_time
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment, Refund, payment_id_of
from chalicelib.runtime.sessions import Session, SessionRefused, Sessions
from chalicelib.services.currencies import currency_of
from chalicelib.services.phones import InvalidPhone
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    Paid,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    ProviderUnreachable,
    RecoveryClass,
    RefundTaken,
    RefusalClass,
    SecretMissing,
    TakenBack,
)

KEY = "flutterwave_v4"
SECRET = "channels/flutterwave_v4"  # noqa: S105 - the name of a secret, not a secret
SIGNATURE_HEADER = "flutterwave-signature"

LOG_IN_SECONDS, CALL_SECONDS = 6, 18

CHARGE_ID = "charge_id"
REFUND_DONE = frozenset({"completed", "succeeded"})
REFUND_UNDER_WAY = frozenset({"new", "pending", "processing"})

REFUSED = frozenset({400, 403, 404, 422})
"""The statuses of an answer that surely says that nothing was done."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,60}")
_COUNTRY_CODE = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class Keys:
    """What the secret says. ``country_code`` is that of telephone numbers (``254``), ``network``
    the first of those that are listed. Every hash proves a webhook."""

    base_url: str
    token_url: str
    client_id: str
    client_secret: str
    hashes: tuple[str, ...]
    email: str
    country_code: str
    network: str


def keys_of(content: Mapping[str, Any]) -> Keys:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    networks = secret.texts("networks")
    if not networks:
        raise SecretMissing(f"{SECRET}: networks")
    return Keys(
        base_url=secret.base_url(),
        token_url=secret.base_url("token_url"),
        client_id=secret.text("client_id", WORD),
        client_secret=secret.text("client_secret", WORD),
        hashes=secret.texts("hashes"),
        email=secret.text("email", EMAIL),
        country_code=secret.text("country_code", _COUNTRY_CODE),
        network=networks[0],
    )


AT_CHECKOUTS = Sessions()
"""The session outlives one checkout, so that most payers wait for one call, not for two."""


# --- the endpoints --------------------------------------------------------------------------------


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Ask the payer's phone for one payment: 201. See ``checkouts.checkout`` for what it raises."""
    keys = keys_of(desk.secret(SECRET))
    settings = desk.settings()
    currency = Currency(settings.currency, settings.currency_decimals)
    flutterwave = FlutterwaveV4Provider(desk.secret, AT_CHECKOUTS)

    def begin(payment: Payment, payer: Payer) -> Begun:
        number = (payer.phone or "").removeprefix(f"+{keys.country_code}")
        if not number.isdecimal():
            desk.not_started(payment, "foreign_phone")
            raise InvalidPhone(checkouts.PHONE)
        return flutterwave.direct_charge(payment, number, payer.email, currency, keys)

    terms = Terms(KEY, currency, check=lambda amount: check_hundredths(amount, currency))
    return checkouts.checkout(KEY, request, desk, terms, begin, needs=checkouts.PHONE)


def webhook(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Flutterwave's signed word on a charge.

    It is repeated for a while where it is not answered with 200. What a repetition cannot change
    is answered with 200 and noted.
    """

    def take_up() -> str:
        _check_signature(request, keys_of(desk.secret(SECRET)))
        check_size(request.body)
        return _report(request.body, desk)

    return answered(KEY, desk, take_up)


def make(secrets: Callable[[str], Mapping[str, Any]]) -> FlutterwaveV4Provider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return FlutterwaveV4Provider(secrets)


CHANNEL = Channel(
    key=KEY,
    name="Flutterwave v4",
    refusal_class=RefusalClass.WE_START,
    endpoints=(
        checkouts.endpoint(KEY, checkout, needs=checkouts.PHONE),
        Endpoint(
            "flutterwave_v4_webhook",
            "POST",
            "/payments/flutterwave_v4/webhook",
            webhook,
            Described(
                proof="The provider's signature.",
                proof_headers={
                    SIGNATURE_HEADER: "Base64 HMAC-SHA256 of the raw body, with our secret hash."
                },
                body={"type": "object", "required": ["type", "data"]},
                answers=dict.fromkeys((200, 400, 401, 413, 503), texts("status")),
            ),
        ),
    ),
    stated=Stated(
        countries="Ghana, Kenya, Uganda, Tanzania, Rwanda, Zambia, Cameroon, Senegal and others",
        direction="we push, it tells us",
        caller="HMAC-SHA256 of the raw body",
        repeated="our reference, its id of the charge",
        serial="our record, `meta.serial_number`",
        amounts="major units, JSON number",
        retries="if switched on, 3 times every 30 minutes; waits 60 seconds",
        reversal="refund, whole or in part",
        confirmed="the charge of each pending payment, by its id or our reference",
        unverified=(
            "the words for the states of a refund, beside `new` and `completed`",
            "how long an idempotency key is remembered",
        ),
    ),
    can_refund=True,
    payer_needs=checkouts.PHONE,
)


def _check_signature(request: ProviderRequest, keys: Keys) -> None:
    right = [
        base64.b64encode(hmac.digest(live.encode(), request.body, hashlib.sha256)).decode()
        for live in keys.hashes
    ]
    if not is_one_of(header(request, SIGNATURE_HEADER), right):
        raise InvalidSignature


def _report(body: bytes, desk: Desk) -> str:
    """Take a report up, and say what it came to. What is not about a charge of ours changes
    nothing: refunds and transfers come here too, and we look refunds up anyway."""
    report = read_object(body)
    kind, data = text_of(report.get("type")), report.get("data")
    if not kind.startswith("charge."):
        return "ignored"
    if not isinstance(data, Mapping):
        raise Unreadable("data")
    reference = text_of(data.get("reference"))
    if checkouts.REFERENCE.fullmatch(reference) is None:
        return "ignored"
    payment_id = payment_id_of(KEY, reference)
    if kind == "charge.completed" and _brought_money(data):
        desk.paid(payment_id, _paid(data))
    else:
        desk.hinted(payment_id)
    return "ok"


def _brought_money(charge: Mapping[str, Any]) -> bool:
    return text_of(charge.get("status")) == "succeeded" and charge.get("refunded") is not True


def _paid(charge: Mapping[str, Any]) -> Paid:
    """What a charge that succeeded says of the money. Webhook and verification say it alike.

    Raises:
        Unreadable, UnusableAmount: see there.
    """
    charge_id = text_of(charge.get("id"))
    if _ID.fullmatch(charge_id) is None:
        raise Unreadable("id")
    amount_minor, currency = money(charge.get("amount"), charge.get("currency"))
    return Paid(
        charge_id,
        amount_minor,
        currency,
        paid_at=utc_time(charge.get("created_datetime")),
        known_as={CHARGE_ID: charge_id},
    )


# --- what we ask ----------------------------------------------------------------------------------


class FlutterwaveV4Provider:
    """Asks Flutterwave to charge, what became of a charge, and for refunds."""

    timeout_seconds: int = LOG_IN_SECONDS + CALL_SECONDS
    refund_recovery: RecoveryClass = RecoveryClass.REPEATABLE
    """A refund that is asked for again under its key is answered as it was, and not made again."""
    refund_absent_after_seconds: int = 0
    full_refunds_only: bool = False

    def __init__(
        self, secrets: Callable[[str], Mapping[str, Any]], sessions: Sessions | None = None
    ) -> None:
        self._secrets = secrets
        self._sessions = sessions or Sessions()

    def direct_charge(
        self, payment: Payment, number: str, email: str | None, currency: Currency, keys: Keys
    ) -> Begun:
        """Ask the phone of that (national) number for a payment.

        Raises:
            ProviderRefused, ProviderUnreachable: it was not asked.
            ProviderUncertain: nobody knows.
        """
        phone = {"country_code": keys.country_code, "number": number}
        body = {
            "amount": Number(major(payment.amount_minor, currency)),
            "currency": currency.code,
            "reference": payment.reference,
            "customer": {"email": email or keys.email, "phone": phone},
            "payment_method": {
                "type": "mobile_money",
                "mobile_money": {
                    "country_code": keys.country_code,
                    "network": keys.network,
                    "phone_number": number,
                },
            },
            "meta": {"serial_number": payment.serial_number},
        }
        said = self._ask(keys, payment.reference, "POST", "/orchestration/direct-charges", body)
        if _is_refusal(said):
            raise _refusal(said)
        charge = _data(said)
        if text_of(charge.get("reference")) != payment.reference:
            raise ProviderUncertain("the answer is of another charge")
        if text_of(charge.get("status")) == "failed":
            raise ProviderRefused("charge_failed")
        return Begun(_page_of(said), {CHARGE_ID: _id(charge)})

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a payment that we started; ``None``: nothing was paid (yet).

        Raises:
            TakenBack: it was paid, and the payer has the money back.
            ProviderRefused: the charge failed: that phone is not asked again.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        charge = self._charge_of(payment)
        status = text_of(charge.get("status"))
        if status == "pending":
            return None
        if status == "failed":
            raise ProviderRefused("charge_failed")
        if status != "succeeded":
            raise ProviderUncertain("a charge of a status that we do not know")
        if not _brought_money(charge):
            raise TakenBack(_id(charge))
        try:
            return _paid(charge)
        except (Unreadable, UnusableAmount) as wrong:
            raise ProviderUncertain(f"{wrong.code}: {wrong.detail}") from wrong

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for one refund. To ask again changes nothing there.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        currency = currency_of(payment.currency)
        if currency is None or not is_in_hundredths(refund.amount_minor, currency):
            raise ProviderRefused("unusable_amount", "Flutterwave takes two decimals")
        if payment.receipt is None:
            raise ProviderRefused("no_receipt", "Flutterwave's id of the charge is not known")
        note = note_of(payment, refund)
        body = {
            "amount": Number(major(refund.amount_minor, currency)),
            "charge_id": payment.receipt,
            "reason": "requested_by_customer",
            "meta": {"refund": note},
        }
        said = self._ask(keys_of(self._secrets(SECRET)), note, "POST", "/refunds", body)
        if _is_refusal(said):
            raise _refusal(said)
        return _taken(_data(said))

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Find out what became of a refund that was asked for.

        Raises:
            ProviderRefused: it failed for good: the money has not gone back.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        if refund.reference is None:
            raise ProviderUncertain("Flutterwave's id of the refund is not known")
        found = _data(self._told(note_of(payment, refund), f"/refunds/{quoted(refund.reference)}"))
        if text_of(found.get("id")) != refund.reference:
            raise ProviderUncertain("the answer is of another refund")
        status = text_of(found.get("status"))
        if status not in REFUND_DONE | REFUND_UNDER_WAY | {"failed"}:
            raise ProviderUncertain("a refund of a status that we do not know")
        return _taken(found)

    def _charge_of(self, payment: Payment) -> Mapping[str, Any]:
        """The charge of that payment: by its id, or, where we never heard that, our reference.

        Raises:
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        charge_id = payment.known_as.get(CHARGE_ID)
        if charge_id is not None:
            found = [_data(self._told(payment.reference, f"/charges/{quoted(charge_id)}"))]
        else:
            path = f"/charges?reference={quoted(payment.reference)}"
            found = _items(self._told(payment.reference, path))
        ours = [one for one in found if text_of(one.get("reference")) == payment.reference]
        if len(ours) != 1:
            raise ProviderUncertain("the answer does not hold our charge")
        return ours[0]

    def _told(self, trace: str, path: str) -> Said:
        """An answer to a question that changes nothing there."""
        try:
            return self._ask(keys_of(self._secrets(SECRET)), trace, "GET", path)
        except ProviderRefused as refused:  # the log-in: that says nothing of what we asked
            raise ProviderUnreachable(refused.code) from refused

    def _ask(
        self,
        keys: Keys,
        name: str,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
    ) -> Said:
        """Ask once, under that name of what it is about: what changes something has it for key."""

        def work(token: str) -> Said:
            headers = {"Authorization": f"Bearer {token}", "X-Trace-Id": name}
            if body is not None:
                headers["X-Idempotency-Key"] = name
            said = ask(method, f"{keys.base_url}{path}", headers, body, CALL_SECONDS)
            if said.status == 401:
                raise SessionRefused
            return said

        credentials = f"{keys.token_url} {keys.client_id} {keys.client_secret}"
        try:
            return self._sessions.call(credentials, lambda: _log_in(keys), work)
        except SessionRefused:
            raise ProviderRefused(NOT_KNOWN_THERE) from None


def _log_in(keys: Keys) -> Session:
    """A new session (RFC 6749 section 4.4).

    Raises:
        ProviderRefused: Flutterwave does not know us.
        ProviderUnreachable: it gave no clear answer; nothing else was asked for.
    """
    form = {
        "grant_type": "client_credentials",
        "client_id": keys.client_id,
        "client_secret": keys.client_secret,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    body = urlencode(form).encode()
    try:
        return session_of(read(send("POST", keys.token_url, headers, body, LOG_IN_SECONDS)))
    except ProviderUncertain as unclear:
        raise ProviderUnreachable(f"log-in: {unclear.detail}") from unclear


def _data(said: Said) -> Mapping[str, Any]:
    """The object that a success carries.

    Raises:
        ProviderUncertain: it is no success, or carries none.
    """
    data = said.at("data")
    if not _is_success(said) or not isinstance(data, Mapping):
        raise said.uncertain("no success that carries an object")
    return data


def _items(said: Said) -> list[Mapping[str, Any]]:
    """The objects of the list that a success carries.

    Raises:
        ProviderUncertain: it is no success, or carries none.
    """
    data = said.at("data")
    if not _is_success(said) or not isinstance(data, list):
        raise said.uncertain("no success that carries a list")
    return [item for item in data if isinstance(item, Mapping)]


def _is_success(said: Said) -> bool:
    return said.is_success and said.text("status") in ("success", "")


def _is_refusal(said: Said) -> bool:
    return said.status in REFUSED and isinstance(said.at("error"), Mapping)


def _refusal(said: Said) -> ProviderRefused:
    return said.refused("refused_by_provider", said.text("error", "message"))


def _page_of(said: Said) -> str | None:
    """Where the payer goes on, for those networks that have a page instead of a prompt."""
    page = said.at("data", "next_action", "redirect_url")
    if isinstance(page, Mapping):
        page = page.get("url")
    return None if page is None else web_address(page)


def _taken(refund: Mapping[str, Any]) -> RefundTaken:
    """A refund that Flutterwave has taken.

    Raises:
        ProviderRefused: it failed.
        ProviderUncertain: it cannot be told which it is.
    """
    status = text_of(refund.get("status"))
    if status == "failed":
        raise ProviderRefused("refund_failed")
    return RefundTaken(_id(refund), done=status in REFUND_DONE)


def _id(found: Mapping[str, Any]) -> str:
    text = text_of(found.get("id"))
    if _ID.fullmatch(text) is None:
        raise ProviderUncertain("success without an id")
    return text
