"""Airtel Money (Open API): we ask the payer's phone by USSD, and they type their PIN.

The callback may carry a hash, of which the document does not say clearly over what it is made. So
a hash is checked where we have a key for it, and the callback is only a hint in any case: a worker
enquires, and that answer counts. The enquiry knows a payment by our id, and whether it was given
back. (developers.airtel.africa: Authorization, Collection APIs, Callback, Refund.)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import check_hundredths, shortest_major
from chalicelib.channels.asking import (
    JSON_HEADERS,
    SECONDS_MAX,
    Said,
    ask,
    logged_in,
    quoted,
    read,
    send,
    session_of,
    text_of,
)
from chalicelib.channels.callers import (
    InvalidSignature,
    check_path,
    is_one_of,
)
from chalicelib.channels.checkouts import Begun, Payer, Terms
from chalicelib.channels.configuration import WORD, Configuration
from chalicelib.channels.interface import (
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    check_size,
    texts,
)
from chalicelib.channels.reports import Unreadable, answered
from chalicelib.channels.strict_json import Number, read_object, written
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment, Refund, payment_id_of
from chalicelib.runtime.sessions import SessionRefused, Sessions
from chalicelib.services.phones import InvalidPhone
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    NotAtProvider,
    Paid,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    RecoveryClass,
    RefundTaken,
    RefusalClass,
    TakenBack,
)

KEY = "airtel"
SECRET = "channels/airtel"  # noqa: S105 - the name of a secret, not a secret

SUCCESS, REFUNDED = "TS", "TR"
UNDECIDED = frozenset({"TA", "TIP"})
"""Ambiguous, in progress: either may still become a success."""
FAILED: Mapping[str, str] = {"TF": "failed", "TE": "expired"}

NOT_ASKED = frozenset(
    {"ESB000011", "ESB000033", "ESB000034", "ESB000035", "ESB000036", "ESB000039"}
)
"""With these a push surely asked nobody: the request was refused, or the number, country, currency
or service is wrong. Of others (``ESB000001``, ``ESB000004``, ``ESB000008``) copies of the document
say that only an enquiry tells, and ``ESB000041`` speaks of an earlier call."""

LOG_IN_SECONDS_MAX = 8
"""With the call that follows it is below the 29 seconds in which a checkout must be answered."""

ABSENT_AFTER_SECONDS = 24 * 60 * 60
"""Longer than anybody looks for a refund: Airtel says nowhere that one which is asked for twice is
done once, so one that the enquiry does not show is a person's."""

AT_CHECKOUTS = Sessions()
"""The session outlives one checkout, so that most payers wait for one call, not for two."""

_COUNTRY = re.compile(r"[A-Z]{2}")
_RECEIPT = re.compile(r"[A-Za-z0-9._-]{1,40}")


@dataclass(frozen=True, slots=True)
class Keys:
    """What the secret says. Every private key proves a hash: there are two while one is rotated.
    Without any no hash is asked for."""

    base_url: str
    client_id: str
    client_secret: str
    private_keys: tuple[str, ...]
    country: str
    currency: Currency
    path_secrets: tuple[str, ...]

    @property
    def source(self) -> str:
        """The pot into which the money falls: our wallet at Airtel in that country."""
        return f"{KEY}.{self.country}"


def keys_of(content: Mapping[str, Any]) -> Keys:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    return Keys(
        base_url=secret.base_url(),
        client_id=secret.text("client_id", WORD),
        client_secret=secret.text("client_secret", WORD),
        private_keys=secret.texts("private_keys"),
        country=secret.text("country", _COUNTRY),
        currency=secret.currency(),
        path_secrets=secret.texts("path_secrets"),
    )


# --- the endpoints --------------------------------------------------------------------------------


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Ask the payer's phone for one payment: 201. See ``checkouts.checkout`` for what it raises."""
    keys = keys_of(desk.secret(SECRET))

    def begin(payment: Payment, payer: Payer) -> Begun:
        try:
            number = _national(payer.phone or "", keys.country)
        except InvalidPhone:
            desk.not_started(payment, "foreign_phone")
            raise
        _push(payment, number, keys)
        return Begun()

    def check(amount_minor: int) -> None:
        check_hundredths(amount_minor, keys.currency)

    terms = Terms(keys.source, keys.currency, check=check)
    return checkouts.checkout(KEY, request, desk, terms, begin, needs=checkouts.PHONE)


def callback(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """There is news of a payment: a worker enquires at Airtel. What the news is does not count."""

    def take_up() -> str:
        keys = keys_of(desk.secret(SECRET))
        check_path(request, keys.path_secrets)
        check_size(request.body)
        return _hint(_transaction(request.body, keys), keys, desk)

    return answered(KEY, desk, take_up)


def make(secrets: Callable[[str], Mapping[str, Any]]) -> AirtelProvider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return AirtelProvider(secrets)


CHANNEL = Channel(
    key=KEY,
    name="Airtel Money (Open API)",
    refusal_class=RefusalClass.WE_START,
    pots=lambda content: (keys_of(content).source,),
    endpoints=(
        checkouts.endpoint(KEY, checkout, needs=checkouts.PHONE),
        Endpoint(
            "airtel_callback",
            "POST",
            "/payments/airtel/{path_secret}/callback",
            callback,
            Described(
                proof="An unguessable part of the path, and a hash in the body. It is only a hint.",
                body={"type": "object", "required": ["transaction"]},
                answers=dict.fromkeys((200, 400, 401, 404, 413, 503), texts("status")),
            ),
        ),
    ),
    stated=Stated(
        countries="Tanzania, Uganda, Zambia, Malawi, Kenya, Rwanda, DR Congo and others",
        direction="we push, it hints, we enquire",
        caller="secret path, HMAC in the body; our own enquiry is the proof",
        repeated="our id, `airtel_money_id`",
        serial="our record; `reference` shows it",
        amounts="major units, JSON number",
        retries="not documented; we ask after 2, 8, 32 … minutes",
        reversal="refund, whole; the enquiry shows it",
        confirmed="enquiry for each pending payment",
        unverified=(
            "over which form of the body the hash is made (both are taken)",
            "markets that want requests to be signed: not supported",
        ),
    ),
    can_refund=True,
    payer_needs=checkouts.PHONE,
)


def _hint(transaction: Mapping[str, Any], keys: Keys, desk: Desk) -> str:
    """Have the payment looked at that a callback names. What names none of ours changes nothing."""
    reference = text_of(transaction.get("id"))
    if checkouts.REFERENCE.fullmatch(reference) is None:
        return "ignored"
    desk.hinted(payment_id_of(keys.source, reference))
    return "ok"


def _transaction(body: bytes, keys: Keys) -> Mapping[str, Any]:
    """The transaction that a callback tells of, once its hash has been checked.

    Raises:
        Malformed, Unreadable: there is none.
        InvalidSignature: there are keys, and the hash is missing or made with none of them.
    """
    report = read_object(body)
    transaction = report.get("transaction")
    if not isinstance(transaction, dict):
        raise Unreadable("transaction")
    if keys.private_keys:
        given = report.get("hash")
        if not isinstance(given, str) or not is_one_of(given, _hashes(transaction, keys)):
            raise InvalidSignature
    return transaction


def _hashes(transaction: Mapping[str, Any], keys: Keys) -> list[str]:
    """The hashes that prove a transaction: of its object alone, and of the one around it."""
    inner = _compact(transaction)
    forms = (inner, f'{{"transaction":{inner}}}')
    return [_hash(key, form) for key in keys.private_keys for form in forms]


def _hash(key: str, form: str) -> str:
    digest = hmac.new(key.encode(), form.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _compact(fields: Mapping[str, Any]) -> str:
    """A flat object as JSON without spaces, in the order in which it came.

    Raises:
        Unreadable: it is not flat.
    """
    if any(isinstance(value, dict | list) for value in fields.values()):
        raise Unreadable("transaction")
    items = (f"{_json(name)}:{_json(value)}" for name, value in fields.items())
    return "{" + ",".join(items) + "}"


def _json(value: object) -> str:
    return value.text if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


# --- what we ask ----------------------------------------------------------------------------------


class AirtelProvider:
    """Asks Airtel what became of a payment, and to give it back."""

    timeout_seconds: int = LOG_IN_SECONDS_MAX + SECONDS_MAX
    refund_recovery: RecoveryClass = RecoveryClass.SEARCHABLE
    refund_absent_after_seconds: int = ABSENT_AFTER_SECONDS
    full_refunds_only: bool = True

    def __init__(self, secrets: Callable[[str], Mapping[str, Any]]) -> None:
        self._secrets = secrets
        self._sessions = Sessions()

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a push; ``None``: nothing was paid (yet).

        The enquiry tells no amount: a push is paid as it was asked for, or not at all.

        Raises:
            TakenBack: it was paid, and the payer has the money back.
            ProviderRefused: it failed or has expired; or we are not known there.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        said = self._enquiry(payment)
        status, receipt = _status(said), _receipt(said)
        if status == REFUNDED:
            raise TakenBack(receipt or payment.reference)
        if status in FAILED:
            raise ProviderRefused(FAILED[status])
        if status in UNDECIDED:
            return None
        if receipt is None:
            raise said.uncertain("paid, without a receipt")
        return Paid(receipt, payment.amount_minor, payment.currency)

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for the whole of a payment to be given back. An enquiry shows when it is.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        if payment.receipt is None:
            raise ProviderRefused("no_receipt", "Airtel's id of the transaction is not known")
        if refund.amount_minor != payment.amount_minor:
            raise ProviderRefused("full_refund_only", "Airtel gives back all of it or nothing")
        body = {"transaction": {"airtel_money_id": payment.receipt}}
        keys = keys_of(self._secrets(SECRET))
        said = _ask(keys, self._sessions, "POST", "/standard/v1/payments/refund", body)
        if not said.is_success or said.at("status", "success") is not True:
            raise said.uncertain("no clear success")
        return RefundTaken(_receipt(said))

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Find out by an enquiry whether a payment was given back.

        Raises:
            NotAtProvider: the payment still stands as paid.
            ProviderRefused: we are not known there.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        said = self._enquiry(payment)
        status = _status(said)
        if status == SUCCESS:
            raise NotAtProvider("the payment was not given back (yet)")
        if status != REFUNDED:
            raise said.uncertain("neither paid nor given back")
        return RefundTaken(refund.reference, done=True)

    def _enquiry(self, payment: Payment) -> Said:
        """What Airtel says of the transaction of that payment.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see ``verify``.
        """
        keys = keys_of(self._secrets(SECRET))
        path = f"/standard/v1/payments/{quoted(payment.reference)}"
        said = _ask(keys, self._sessions, "GET", path)
        if said.text("data", "transaction", "id") != payment.reference:
            raise said.uncertain("the answer does not say that it is of this transaction")
        return said


def _push(payment: Payment, number: str, keys: Keys) -> None:
    """Ask the phone with that national number for the money.

    Raises:
        ProviderRefused, ProviderUnreachable: it was not asked.
        ProviderUncertain: nobody knows.
    """
    place = {"country": keys.country, "currency": keys.currency.code}
    amount = Number(shortest_major(payment.amount_minor, keys.currency))
    body = {
        "reference": _shown(payment.serial_number),
        "subscriber": {**place, "msisdn": number},
        "transaction": {**place, "amount": amount, "id": payment.reference},
    }
    said = _ask(keys, AT_CHECKOUTS, "POST", "/merchant/v1/payments/", body)
    code = said.text("status", "result_code")
    if said.status == 400 and code in NOT_ASKED:
        raise said.refused("refused_by_provider", f"{code} {said.text('status', 'message')}")
    if not said.is_success or said.at("status", "success") is False:
        raise said.uncertain("no clear success")


def _ask(
    keys: Keys,
    sessions: Sessions,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
) -> Said:
    """Ask Airtel something, within a session there.

    Raises:
        ProviderRefused: it does not know us.
        ProviderUnreachable, ProviderUncertain: see there.
    """
    sent = None if body is None else written(body).encode()

    def work(token: str) -> Said:
        headers = {
            **JSON_HEADERS,
            "Authorization": f"Bearer {token}",
            "X-Country": keys.country,
            "X-Currency": keys.currency.code,
        }
        answer = send(method, f"{keys.base_url}{path}", headers, sent)
        if answer.status == 401:
            raise SessionRefused
        return read(answer)

    credentials = f"{keys.base_url} {keys.client_id} {keys.client_secret}"
    try:
        return sessions.call(
            credentials, lambda: logged_in(lambda: session_of(_log_in(keys))), work
        )
    except SessionRefused:
        raise ProviderRefused(NOT_KNOWN_THERE) from None


def _log_in(keys: Keys) -> Said:
    body = {
        "client_id": keys.client_id,
        "client_secret": keys.client_secret,
        "grant_type": "client_credentials",
    }
    return ask("POST", f"{keys.base_url}/auth/oauth2/token", {}, body, LOG_IN_SECONDS_MAX)


def _national(phone: str, country: str) -> str:
    """A number in E.164 as it is dialled within its country, without the zero before it.

    A foreign number is refused: without its country's code it would be a stranger's.

    Raises:
        InvalidPhone: it is none of that country.
    """
    # Imported here: its tables cost 40 ms, which the queues' functions need not pay.
    from phonenumbers import country_code_for_region, national_significant_number, parse

    number = parse(phone)
    if number.country_code != country_code_for_region(country):
        raise InvalidPhone(checkouts.PHONE)
    return str(national_significant_number(number))


def _shown(serial_number: str) -> str:
    """What the payer reads beside the amount: letters and digits, as Airtel takes no others."""
    return re.sub(r"[^A-Za-z0-9]", "", serial_number)[:40] or "Mwanga"


def _status(said: Said) -> str:
    """The status of the transaction in the answer to an enquiry.

    Raises:
        ProviderUncertain: there is none that we know.
    """
    status = said.text("data", "transaction", "status")
    if not said.is_success or status not in {SUCCESS, REFUNDED, *UNDECIDED, *FAILED}:
        raise said.uncertain("no status that we know")
    return status


def _receipt(said: Said) -> str | None:
    """Airtel's own name for the transaction in an answer; ``None`` where there is none."""
    receipt = said.text("data", "transaction", "airtel_money_id")
    return receipt if _RECEIPT.fullmatch(receipt) else None
