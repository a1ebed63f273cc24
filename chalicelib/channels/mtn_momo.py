"""MTN MoMo: we ask the payer's phone, and they approve with their PIN.

The callback is not signed, so it is only a hint, whatever it says: a worker asks MTN, and that
answer counts. Our reference is the name of the request at MTN, so nothing is ever asked for twice;
a refund has a name of ours too, by which it is found again.
(momodeveloper.mtn.com: Collection and Disbursement, API user and key, Callback.)
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import (
    UnusableAmount,
    check_hundredths,
    is_in_hundredths,
    money,
    shortest_major,
)
from chalicelib.channels.asking import (
    JSON_HEADERS,
    SECONDS_MAX,
    Said,
    ask,
    logged_in,
    note_of,
    quoted,
    read,
    send,
    session_of,
    text_of,
)
from chalicelib.channels.callers import check_path
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
from chalicelib.channels.strict_json import written
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment, Refund, payment_id_of
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.sessions import SessionRefused, Sessions
from chalicelib.services.currencies import currency_of
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    NotAtProvider,
    Paid,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    RecoveryClass,
    RefundTaken,
    RefusalClass,
    SecretMissing,
)

KEY = "mtn_momo"
SECRET = "channels/mtn_momo"  # noqa: S105 - the name of a secret, not a secret

COLLECTION, DISBURSEMENT = "collection", "disbursement"
SUCCESSFUL, PENDING, FAILED = "SUCCESSFUL", "PENDING", "FAILED"
NOT_FOUND = "RESOURCE_NOT_FOUND"

LOG_IN_SECONDS_MAX = 8
"""With the call that follows it is below the 29 seconds in which a checkout must be answered."""

ABSENT_AFTER_SECONDS = 300
"""So long after a call MTN surely knows a refund that it has taken. Asked again too early, it would
be asked under the same name, and answer that it has it."""

AT_CHECKOUTS = Sessions()
"""The session outlives one checkout, so that most payers wait for one call, not for two."""

_REFERENCE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9_]{1,30}")
_RECEIPT = re.compile(r"[A-Za-z0-9._-]{1,40}")
_REASON = re.compile(r"[A-Za-z_]{1,60}")


@dataclass(frozen=True, slots=True)
class Product:
    """One of MTN's products, and who we are there."""

    name: str
    user: str
    api_key: str
    subscription_key: str


@dataclass(frozen=True, slots=True)
class Keys:
    """What the secret says. Without ``disbursement`` nothing can be given back.

    ``public_url`` is the address of our own API, as MTN reaches it.
    """

    base_url: str
    environment: str
    currency: Currency
    public_url: str
    path_secrets: tuple[str, ...]
    collection: Product
    disbursement: Product | None

    @property
    def source(self) -> str:
        """The pot into which the money falls: our wallet at MTN in one country."""
        return f"{KEY}.{self.environment}"


def keys_of(content: Mapping[str, Any]) -> Keys:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    payouts = secret.part(DISBURSEMENT) if secret.has(DISBURSEMENT) else None
    return Keys(
        base_url=secret.base_url(),
        environment=secret.text("environment", _ENVIRONMENT),
        currency=secret.currency(),
        public_url=secret.base_url("public_url"),
        path_secrets=secret.texts("path_secrets"),
        collection=_product(COLLECTION, secret),
        disbursement=_product(DISBURSEMENT, payouts) if payouts else None,
    )


def _product(name: str, part: Configuration) -> Product:
    return Product(
        name,
        part.text("user", WORD),
        part.text("api_key", WORD),
        part.text("subscription_key", WORD),
    )


# --- the endpoints --------------------------------------------------------------------------------


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Ask the payer's phone for one payment: 201. See ``checkouts.checkout`` for what it raises."""
    keys = keys_of(desk.secret(SECRET))
    if not keys.path_secrets:
        raise SecretMissing(f"{SECRET}: path_secrets")

    def begin(payment: Payment, payer: Payer) -> Begun:
        _push(payment, payer, keys)
        return Begun()

    def check(amount_minor: int) -> None:
        check_hundredths(amount_minor, keys.currency)

    terms = Terms(keys.source, keys.currency, lambda: str(uuid4()), check)
    return checkouts.checkout(KEY, request, desk, terms, begin, needs=checkouts.PHONE)


def news(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """There is news of a payment: a worker asks MTN for it. What the body says is not looked at."""

    def take_up() -> str:
        keys = keys_of(desk.secret(SECRET))
        check_path(request, keys.path_secrets)
        check_size(request.body)
        reference = request.path_parameters.get("reference", "")
        if _REFERENCE.fullmatch(reference) is None:
            raise Unreadable("reference")
        desk.hinted(payment_id_of(keys.source, reference))
        return "ok"

    return answered(KEY, desk, take_up)


def make(secrets: Callable[[str], Mapping[str, Any]]) -> MtnMomoProvider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return MtnMomoProvider(secrets)


def _news_by(method: str) -> Endpoint:
    """The callback's route: MTN is said to use either method."""
    return Endpoint(
        f"mtn_momo_news_{method.lower()}",
        method,
        "/payments/mtn_momo/{path_secret}/{reference}/news",
        news,
        Described(
            proof="An unguessable part of the path. Nothing is signed: it is only a hint.",
            body={"type": "object"},
            answers=dict.fromkeys((200, 400, 404, 413, 503), texts("status")),
        ),
    )


CHANNEL = Channel(
    key=KEY,
    name="MTN MoMo",
    refusal_class=RefusalClass.WE_START,
    pots=lambda content: (keys_of(content).source,),
    endpoints=(
        checkouts.endpoint(KEY, checkout, needs=checkouts.PHONE),
        _news_by("PUT"),
        _news_by("POST"),
    ),
    stated=Stated(
        countries="Uganda, Ghana, Rwanda, Zambia, Cameroon, Côte d'Ivoire, Benin and others",
        direction="we push, it hints, we ask",
        caller="secret path with our reference, nothing signed; our own question is the proof",
        repeated="our reference (`X-Reference-Id`), `financialTransactionId`",
        serial="our record; `payerMessage` shows it",
        amounts="major units, as a text",
        retries="contradictory: once, or many times; waits 2 seconds",
        reversal="refund by the Disbursement product",
        confirmed="status of each pending payment",
        unverified=(
            "whether a refund may be of a part",
            "method and repetition of the callback",
        ),
    ),
    can_refund=True,
    payer_needs=checkouts.PHONE,
)


# --- what we ask ----------------------------------------------------------------------------------


class MtnMomoProvider:
    """Asks MTN what became of a payment, and for refunds."""

    timeout_seconds: int = LOG_IN_SECONDS_MAX + SECONDS_MAX
    refund_recovery: RecoveryClass = RecoveryClass.SEARCHABLE
    refund_absent_after_seconds: int = ABSENT_AFTER_SECONDS
    full_refunds_only: bool = False

    def __init__(self, secrets: Callable[[str], Mapping[str, Any]]) -> None:
        self._secrets = secrets
        self._collecting = Sessions()
        self._disbursing = Sessions()

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a push; ``None``: nothing was paid (yet).

        Raises:
            ProviderRefused: the payer said no, or did not answer; or we are not known there.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        keys = keys_of(self._secrets(SECRET))
        path = f"/v1_0/requesttopay/{quoted(payment.reference)}"
        said = read(_ask(keys, keys.collection, self._collecting, "GET", path))
        if _is_not_found(said):
            return None
        if said.text("externalId") not in ("", payment.reference):
            raise said.uncertain("the answer is of another payment")
        status = _status(said)
        if status == FAILED:
            raise _failure(said)
        return _paid(said) if status == SUCCESSFUL else None

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for one refund. What became of it is to be looked up.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        keys = keys_of(self._secrets(SECRET))
        if keys.disbursement is None:
            raise ProviderRefused("not_configured", "the secret names no Disbursement product")
        name = _refund_name(payment, refund)
        body = {
            "amount": _amount(refund.amount_minor, payment),
            "currency": payment.currency,
            "externalId": name,
            "payerMessage": "Refund",
            "payeeNote": "Refund",
            "referenceIdToRefund": payment.reference,
        }
        headers = {"X-Reference-Id": name}
        answer = _ask(
            *(keys, keys.disbursement, self._disbursing, "POST", "/v1_0/refund", headers, body)
        )
        if answer.status == 409:
            return RefundTaken(name)  # taken before, under this very name
        _check_taken(answer)
        return RefundTaken(name)

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Find a refund by our name for it.

        Raises:
            NotAtProvider: MTN knows of none (yet).
            ProviderRefused: it failed for good; or we are not known there.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        keys = keys_of(self._secrets(SECRET))
        if keys.disbursement is None:
            raise ProviderUncertain("the secret names no Disbursement product")
        name = _refund_name(payment, refund)
        path = f"/v1_0/refund/{name}"
        said = read(_ask(keys, keys.disbursement, self._disbursing, "GET", path))
        if _is_not_found(said):
            raise NotAtProvider("MTN knows of no such refund")
        if said.text("externalId") not in ("", name):
            raise said.uncertain("the answer is of another refund")
        status = _status(said)
        if status == FAILED:
            raise _failure(said)
        if said.at("amount") is not None and _money(said)[0] != refund.amount_minor:
            raise said.uncertain("another amount than we asked for")
        return RefundTaken(name, done=status == SUCCESSFUL)


def _push(payment: Payment, payer: Payer, keys: Keys) -> None:
    """Ask the payer's phone for the money.

    Raises:
        ProviderRefused, ProviderUnreachable: it was not asked.
        ProviderUncertain: nobody knows.
    """
    path_secret = quoted(keys.path_secrets[0])
    callback = f"{keys.public_url}/payments/{KEY}/{path_secret}/{payment.reference}/news"
    body = {
        "amount": _amount(payment.amount_minor, payment),
        "currency": payment.currency,
        "externalId": payment.reference,
        "payer": {"partyIdType": "MSISDN", "partyId": (payer.phone or "").removeprefix("+")},
        "payerMessage": _message(payment.serial_number),
        "payeeNote": _message(payment.serial_number),
    }
    headers = {"X-Reference-Id": payment.reference, "X-Callback-Url": callback}
    path = "/v1_0/requesttopay"
    _check_taken(_ask(keys, keys.collection, AT_CHECKOUTS, "POST", path, headers, body))


def _ask(
    keys: Keys,
    product: Product,
    sessions: Sessions,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, object] | None = None,
) -> Answer:
    """Ask one of MTN's products something, within a session there. What it takes, it answers with
    an empty body.

    Raises:
        ProviderRefused: it does not know us.
        ProviderUnreachable, ProviderUncertain: see there.
    """
    url = f"{keys.base_url}/{product.name}"
    sent = None if body is None else written(body).encode()

    def work(token: str) -> Answer:
        shown = {
            **JSON_HEADERS,
            "Authorization": f"Bearer {token}",
            "X-Target-Environment": keys.environment,
            "Ocp-Apim-Subscription-Key": product.subscription_key,
            **(headers or {}),
        }
        answer = send(method, f"{url}{path}", shown, sent)
        if answer.status == 401:
            raise SessionRefused
        return answer

    credentials = f"{url} {product.user} {product.api_key}"
    try:
        return sessions.call(
            credentials, lambda: logged_in(lambda: session_of(_log_in(url, product))), work
        )
    except SessionRefused:
        raise ProviderRefused(NOT_KNOWN_THERE) from None


def _log_in(url: str, product: Product) -> Said:
    pair = base64.b64encode(f"{product.user}:{product.api_key}".encode()).decode()
    headers = {
        "Authorization": f"Basic {pair}",
        "Ocp-Apim-Subscription-Key": product.subscription_key,
    }
    return ask("POST", f"{url}/token/", headers, seconds=LOG_IN_SECONDS_MAX)


def _amount(amount_minor: int, payment: Payment) -> str:
    """An amount of that payment's money as MTN takes it.

    Raises:
        ProviderRefused: it takes none such.
    """
    currency = currency_of(payment.currency)
    if currency is None or not is_in_hundredths(amount_minor, currency):
        raise ProviderRefused("unusable_amount", "MTN takes two decimals")
    return shortest_major(amount_minor, currency)


def _message(serial_number: str) -> str:
    """What the payer reads beside the amount: plain letters and digits, as MTN takes no others."""
    return re.sub(r"[^A-Za-z0-9]", "", serial_number)[:40] or "Mwanga"


def _refund_name(payment: Payment, refund: Refund) -> str:
    """Our name for a refund: always the same, and in the form of a UUID of version 4, which is the
    one that MTN takes."""
    return str(UUID(bytes=uuid5(NAMESPACE_URL, note_of(payment, refund)).bytes, version=4))


def _check_taken(answer: Answer) -> None:
    """That a request was taken.

    Raises:
        ProviderRefused: it surely was not.
        ProviderUncertain: nobody knows.
    """
    if answer.status == 202:
        return
    if answer.status == 400:
        raise _refusal(answer)
    raise ProviderUncertain(f"HTTP status {answer.status}, not taken")


def _refusal(answer: Answer) -> ProviderRefused:
    try:
        said = read(answer)
    except ProviderUncertain:
        return ProviderRefused("refused_by_provider")
    return said.refused("refused_by_provider", f"{said.text('code')} {said.text('message')}")


def _is_not_found(said: Said) -> bool:
    return said.status == 404 and said.text("code") == NOT_FOUND


def _status(said: Said) -> str:
    """The status in the answer to a question.

    Raises:
        ProviderUncertain: there is none that we know.
    """
    status = said.text("status")
    if said.status != 200 or status not in (SUCCESSFUL, PENDING, FAILED):
        raise said.uncertain("no status that we know")
    return status


def _failure(said: Said) -> ProviderRefused:
    """Why it failed: a word, or an object with a code."""
    reason = text_of(said.at("reason")) or said.text("reason", "code")
    return ProviderRefused(reason if _REASON.fullmatch(reason) else "failed")


def _paid(said: Said) -> Paid:
    """What a successful payment says of the money.

    Raises:
        ProviderUncertain: it cannot be read.
    """
    receipt = said.text("financialTransactionId")
    if _RECEIPT.fullmatch(receipt) is None:
        raise said.uncertain("paid, without a transaction")
    return Paid(receipt, *_money(said))


def _money(said: Said) -> tuple[int, str]:
    try:
        return money(said.at("amount"), said.at("currency"))
    except UnusableAmount as wrong:
        raise said.uncertain(f"{wrong.code}: {wrong.detail}") from wrong
