"""Pesapal (API 3.0): a payer pays on the provider's own page, which we open for one payment.

Its notification (IPN) is not signed and names no amount: it is only a hint, and what counts is the
answer to our own question, which must name our reference. Pesapal can be asked by its tracking id
alone, so an id that was lost is taken from a notification, for that question to prove or not.
(developer.pesapal.com, API 3.0: Authentication, SubmitOrderRequest, GetTransactionStatus,
RefundRequest.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import (
    UnusableAmount,
    check_hundredths,
    is_in_hundredths,
    major,
    money,
)
from chalicelib.channels.asking import TOKEN, Said, ask, note_of, quoted, text_of
from chalicelib.channels.callers import note_failure
from chalicelib.channels.checkouts import Begun, Payer, Terms, web_address
from chalicelib.channels.configuration import EMAIL, WEB_ADDRESS, WORD, Configuration
from chalicelib.channels.interface import (
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    check_size,
    shown,
)
from chalicelib.channels.strict_json import Malformed, Number, read_object
from chalicelib.channels.times import utc_time
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment, Refund, Status, payment_id_of
from chalicelib.runtime.sessions import Session, SessionRefused, Sessions
from chalicelib.services.collect import NoSuchPayment
from chalicelib.services.currencies import currency_of
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
    TakenBack,
    TryAgain,
)

KEY = "pesapal"
SECRET = "channels/pesapal"  # noqa: S105 - the name of a secret, not a secret

LOG_IN_SECONDS, CALL_SECONDS = 6, 18
TOKEN_LIFETIME = timedelta(minutes=5)
WRONG_KEYS = "invalid_consumer_key_or_secret_provided"

TRACKING_ID = "order_tracking_id"
INVALID, COMPLETED, FAILED, REVERSED = "0", "1", "2", "3"
"""What a payment's ``status_code`` says. An attempt that failed may be followed by a good one on
the same page, and one that is still open shows as invalid."""

TEXT_LENGTH_MAX = 100
_TRACKING_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_CONFIRMATION_CODE = re.compile(r"[A-Za-z0-9._/-]{1,64}")


@dataclass(frozen=True, slots=True)
class Keys:
    """What the secret says. ``notification_id`` is Pesapal's name for our IPN address."""

    base_url: str
    consumer_key: str
    consumer_secret: str
    notification_id: str
    username: str
    callback_url: str
    email: str


def keys_of(content: Mapping[str, Any]) -> Keys:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    return Keys(
        base_url=secret.base_url(),
        consumer_key=secret.text("consumer_key", WORD),
        consumer_secret=secret.text("consumer_secret", WORD),
        notification_id=secret.text("notification_id", WORD),
        username=secret.text("username"),
        callback_url=secret.text("callback_url", WEB_ADDRESS),
        email=secret.text("email", EMAIL),
    )


AT_CHECKOUTS = Sessions()
"""The session outlives one checkout, so that most payers wait for one call, not for two."""


# --- the endpoints --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class News:
    """What a notification names; of texts that are missing nothing is there."""

    kind: str = ""
    tracking_id: str = ""
    reference: str = ""


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Open the provider's page for one payment: 201.

    Raises:
        what ``checkouts.checkout`` does.
    """
    keys = keys_of(desk.secret(SECRET))
    settings = desk.settings()
    currency = Currency(settings.currency, settings.currency_decimals)
    pesapal = PesapalProvider(desk.secret, AT_CHECKOUTS)

    def begin(payment: Payment, payer: Payer) -> Begun:
        return pesapal.order(payment, payer, currency, keys)

    terms = Terms(KEY, currency, check=lambda amount: check_hundredths(amount, currency))
    return checkouts.checkout(KEY, request, desk, terms, begin)


def ipn(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """There is news of a payment: a worker asks Pesapal for it.

    The answer's own status is 200 for whatever a repetition would not change.
    """
    news = News()
    try:
        news = _news(request)
        _hint(news, desk)
    except NoSuchPayment as unknown:
        note_failure(unknown, KEY, desk)
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _told(news, 500)
    return _told(news, 200)


def make(secrets: Callable[[str], Mapping[str, Any]]) -> PesapalProvider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return PesapalProvider(secrets)


def _described(where: str) -> Described:
    return Described(
        proof=f"None: it is only a hint. Pesapal sends its three fields in the {where}.",
        answers={200: _ANSWER},
    )


_ANSWER = {
    "type": "object",
    "required": ["orderNotificationType", "orderTrackingId", "orderMerchantReference", "status"],
}

CHANNEL = Channel(
    key=KEY,
    name="Pesapal",
    refusal_class=RefusalClass.WE_START,
    endpoints=(
        checkouts.endpoint(KEY, checkout),
        Endpoint("pesapal_ipn", "GET", "/payments/pesapal/ipn", ipn, _described("query")),
        Endpoint(
            "pesapal_ipn_posted", "POST", "/payments/pesapal/ipn", ipn, _described("body or query")
        ),
    ),
    stated=Stated(
        countries="Kenya, Uganda, Tanzania",
        direction="we open a page, it hints, we ask",
        caller="nothing; our own question is the proof",
        repeated="our reference, its tracking id, its confirmation code",
        serial="our record, the order's description",
        amounts="major units, JSON number",
        retries="a limited number, not documented; we ask about every pending payment",
        reversal="refund, whole, after a person at the company has approved it at Pesapal",
        confirmed="transaction status of each pending payment",
        unverified=(
            "how an expired token is answered, beside HTTP status 401",
            "how soon an approved refund shows as reversed",
        ),
    ),
    can_refund=True,
)


def _told(news: News, status: int) -> ProviderAnswer:
    return ProviderAnswer(
        200,
        {
            "orderNotificationType": shown(news.kind, TEXT_LENGTH_MAX),
            "orderTrackingId": shown(news.tracking_id, TEXT_LENGTH_MAX),
            "orderMerchantReference": shown(news.reference, TEXT_LENGTH_MAX),
            "status": status,
        },
    )


def _news(request: ProviderRequest) -> News:
    """What was sent: in the body of a POST, or in the query.

    Raises:
        TooLarge, Malformed: it is neither JSON nor a form.
    """
    check_size(request.body)
    posted = request.method == "POST" and request.body.strip() != b""
    fields: Mapping[str, object] = _posted(request.body) if posted else request.query
    return News(
        kind=text_of(fields.get("OrderNotificationType")),
        tracking_id=text_of(fields.get("OrderTrackingId")),
        reference=text_of(fields.get("OrderMerchantReference")),
    )


def _posted(body: bytes) -> Mapping[str, object]:
    if body.lstrip().startswith(b"{"):
        return read_object(body)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise Malformed("neither JSON nor a form") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Malformed("a field is given twice")
    return fields


def _hint(news: News, desk: Desk) -> None:
    """Have the payment looked at. What names none of ours changes nothing.

    Raises:
        NoSuchPayment: the reference looks like ours.
        TryAgain, QueueUnavailable, OutcomeUnknown: it must be told again.
    """
    if checkouts.REFERENCE.fullmatch(news.reference) is None:
        return
    payment_id = payment_id_of(KEY, news.reference)
    payment = desk.payment(payment_id)
    if payment is not None and payment.status is Status.PENDING:
        _remember(payment, news.tracking_id, desk)
    desk.hinted(payment_id)


def _remember(payment: Payment, tracking_id: str, desk: Desk) -> None:
    """Keep the tracking id of an order whose answer we never saw, or never wrote down."""
    if TRACKING_ID in payment.known_as or _TRACKING_ID.fullmatch(tracking_id) is None:
        return
    desk.begun(payment, {TRACKING_ID: tracking_id})
    stored = desk.payment(payment.payment_id)
    if stored is None or TRACKING_ID not in stored.known_as:
        raise TryAgain("without its tracking id, nobody can ask about the payment")


# --- what we ask ----------------------------------------------------------------------------------


class PesapalProvider:
    """Asks Pesapal for pages, what became of a payment, and for refunds.

    A refund is approved by a person at the company, in Pesapal's dashboard, so it may take days to
    show. There is at most one per payment: it is done when the payment is reversed.
    """

    timeout_seconds: int = LOG_IN_SECONDS + CALL_SECONDS
    refund_recovery: RecoveryClass = RecoveryClass.SEARCHABLE
    refund_absent_after_seconds: int = 0
    """Absence is never told: a payment that is not reversed may still be."""
    full_refunds_only: bool = True

    def __init__(
        self, secrets: Callable[[str], Mapping[str, Any]], sessions: Sessions | None = None
    ) -> None:
        self._secrets = secrets
        self._sessions = sessions or Sessions()

    def order(self, payment: Payment, payer: Payer, currency: Currency, keys: Keys) -> Begun:
        """Open a page on which that payment can be paid.

        Raises:
            ProviderRefused, ProviderUnreachable: none was opened.
            ProviderUncertain: nobody knows.
        """
        body = _order(payment, payer, currency, keys)
        said = self._ask(keys, "POST", "/api/Transactions/SubmitOrderRequest", body)
        tracking_id = said.text(TRACKING_ID)
        if not tracking_id and said.status < 500 and said.text("error", "code"):
            raise said.refused("refused_by_provider", _error_of(said))
        if not said.is_success or said.text("status") not in ("200", ""):
            raise said.uncertain(_error_of(said))
        if said.text("merchant_reference") not in (payment.reference, ""):
            raise ProviderUncertain("the answer is of another order")
        if _TRACKING_ID.fullmatch(tracking_id) is None:
            raise ProviderUncertain("success without a tracking id")
        return Begun(web_address(said.at("redirect_url")), {TRACKING_ID: tracking_id})

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a payment that we started; ``None``: nothing was paid (yet).

        Raises:
            TakenBack: it was paid, and the payer has the money back.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        said = self._status_of(payment)
        status = said.text("status_code")
        if status == COMPLETED:
            return _paid(said)
        if status == REVERSED:
            raise TakenBack(_confirmation_code(said))
        if status in (INVALID, FAILED):
            return None
        raise ProviderUncertain("a payment of a status that we do not know")

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for one refund. It is taken, never done at once.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        currency = currency_of(payment.currency)
        if currency is None or not is_in_hundredths(refund.amount_minor, currency):
            raise ProviderRefused("unusable_amount", "Pesapal takes two decimals")
        if payment.receipt is None:
            raise ProviderRefused("no_receipt", "Pesapal's confirmation code is not known")
        keys = keys_of(self._secrets(SECRET))
        body = {
            "confirmation_code": payment.receipt,
            "amount": Number(major(refund.amount_minor, currency)),
            "username": keys.username,
            "remarks": note_of(payment, refund),
        }
        said = self._ask(keys, "POST", "/api/Transactions/RefundRequest", body)
        if said.is_success and said.text("status") == "200":
            return RefundTaken(payment.receipt)
        if said.is_success and said.text("status") == "500":
            raise said.refused("refused_by_provider", said.text("message") or _error_of(said))
        raise said.uncertain(_error_of(said))

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Find out what became of a refund that was asked for.

        Raises:
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        status = self._status_of(payment).text("status_code")
        if status == REVERSED:
            return RefundTaken(refund.reference or payment.receipt, done=True)
        if status == COMPLETED and refund.reference is not None:
            return RefundTaken(refund.reference)
        raise ProviderUncertain("not reversed, which it may still be")

    def _status_of(self, payment: Payment) -> Said:
        """What Pesapal says of that payment.

        Raises:
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        tracking_id = payment.known_as.get(TRACKING_ID)
        if tracking_id is None:
            raise ProviderUncertain("Pesapal's name for the order is not known")
        path = f"/api/Transactions/GetTransactionStatus?orderTrackingId={quoted(tracking_id)}"
        try:
            said = self._ask(keys_of(self._secrets(SECRET)), "GET", path)
        except ProviderRefused as refused:  # the log-in: that says nothing of the payment
            raise ProviderUnreachable(refused.code) from refused
        if not said.is_success:
            raise said.uncertain(_error_of(said))
        named = said.text("merchant_reference")
        # An order that nobody has tried to pay may show none. Money always names its order.
        may_be_missing = said.text("status_code") in (INVALID, FAILED)
        if named != payment.reference and (named or not may_be_missing):
            raise ProviderUncertain("the answer is of another payment")
        return said

    def _ask(
        self, keys: Keys, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Said:
        def work(token: str) -> Said:
            headers = {"Authorization": f"Bearer {token}"}
            said = ask(method, f"{keys.base_url}{path}", headers, body, CALL_SECONDS)
            if said.status == 401:
                raise SessionRefused
            return said

        credentials = f"{keys.base_url} {keys.consumer_key} {keys.consumer_secret}"
        try:
            return self._sessions.call(credentials, lambda: _log_in(keys), work)
        except SessionRefused:
            raise ProviderRefused(NOT_KNOWN_THERE) from None


def _log_in(keys: Keys) -> Session:
    """A new session.

    Raises:
        ProviderRefused: Pesapal does not know us.
        ProviderUnreachable: it gave no clear answer; nothing else was asked for.
    """
    body = {"consumer_key": keys.consumer_key, "consumer_secret": keys.consumer_secret}
    url = f"{keys.base_url}/api/Auth/RequestToken"
    try:
        said = ask("POST", url, {}, body, LOG_IN_SECONDS)
    except ProviderUncertain as unclear:
        raise ProviderUnreachable(f"log-in: {unclear.detail}") from unclear
    token = said.text("token")
    if said.is_success and TOKEN.fullmatch(token):
        return Session(token, _lifetime(said.text("expiryDate")))
    if said.status in (400, 401, 403) or said.text("error", "code") == WRONG_KEYS:
        raise ProviderRefused(NOT_KNOWN_THERE)
    raise ProviderUnreachable("the log-in brought no session")


def _lifetime(expiry_date: str) -> timedelta:
    """For how long a token is good: five minutes, or less where Pesapal says so."""
    ends = utc_time(expiry_date)
    if ends is None:
        return TOKEN_LIFETIME
    return max(timedelta(seconds=1), min(ends - datetime.now(UTC), TOKEN_LIFETIME))


def _order(payment: Payment, payer: Payer, currency: Currency, keys: Keys) -> dict[str, object]:
    billing: dict[str, str] = {}
    if payer.email is not None or payer.phone is None:
        billing["email_address"] = payer.email or keys.email
    if payer.phone is not None:
        billing["phone_number"] = payer.phone.removeprefix("+")
    return {
        "id": payment.reference,
        "currency": currency.code,
        "amount": Number(major(payment.amount_minor, currency)),
        "description": payment.serial_number[:TEXT_LENGTH_MAX],
        "callback_url": keys.callback_url,
        "notification_id": keys.notification_id,
        "billing_address": billing,
    }


def _paid(said: Said) -> Paid:
    """What a completed payment says of the money.

    Raises:
        ProviderUncertain: it cannot be read.
    """
    try:
        amount_minor, currency = money(said.at("amount"), said.at("currency"))
    except UnusableAmount as wrong:
        raise ProviderUncertain(f"{wrong.code}: {wrong.detail}") from wrong
    paid_at = utc_time(said.at("created_date"))
    return Paid(_confirmation_code(said), amount_minor, currency, paid_at=paid_at)


def _confirmation_code(said: Said) -> str:
    code = said.text("confirmation_code")
    if _CONFIRMATION_CODE.fullmatch(code) is None:
        raise ProviderUncertain("a payment without a confirmation code")
    return code


def _error_of(said: Said) -> str:
    """Pesapal's code for what is wrong, fit for a log."""
    return shown(said.text("error", "code") or said.text("status"), TEXT_LENGTH_MAX)
