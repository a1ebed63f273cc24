"""Flutterwave v3: a payer pays on the provider's own page, which we open for one payment.

Its webhook is not signed: a header shows a secret that never changes, and whoever has seen it once
can report anything. So a report is only a hint, and what counts is the answer to our question.
(developer.flutterwave.com, v3: Standard, Webhooks, Transaction verification, Refunds.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import (
    UnusableAmount,
    check_hundredths,
    is_in_hundredths,
    major,
    money,
)
from chalicelib.channels.asking import SECONDS_MAX, Said, ask, note_of, quoted, text_of
from chalicelib.channels.callers import Intruder, is_one_of
from chalicelib.channels.checkouts import Begun, Payer, Terms, web_address
from chalicelib.channels.configuration import EMAIL, WEB_ADDRESS, WORD, Configuration
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
from chalicelib.channels.reports import answered
from chalicelib.channels.strict_json import Number, read_object
from chalicelib.channels.times import utc_time
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment, Refund, payment_id_of
from chalicelib.services.currencies import currency_of
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    Paid,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    RecoveryClass,
    RefundTaken,
    RefusalClass,
)

KEY = "flutterwave_v3"
SECRET = "channels/flutterwave_v3"  # noqa: S105 - the name of a secret, not a secret
HASH_HEADER = "verif-hash"

NOT_PAID = frozenset({"failed", "pending"})
"""A failed attempt may be followed by a good one on the same page."""

REFUND_DONE = frozenset(
    {
        "completed-bank-transfer",
        "completed-momo",
        "completed-mpgs",
        "completed-offline",
        "completed-preauth",
    }
)
REFUND_UNDER_WAY = frozenset({"completed", "pending", "pending-momo", "processing"})
"""``completed`` alone says that a refund was begun, and is still to be paid out."""

REFUSED = frozenset({400, 401, 403, 404, 422})
"""The statuses of an answer that surely says that nothing was done."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class WrongHash(Intruder):
    """The header is missing, or holds none of our hashes."""

    code = "wrong_hash"


@dataclass(frozen=True, slots=True)
class Keys:
    """What the secret says. Every hash admits a webhook: there are two while one is rotated."""

    base_url: str
    secret_key: str
    hashes: tuple[str, ...]
    email: str
    redirect_url: str | None


def keys_of(content: Mapping[str, Any]) -> Keys:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    return Keys(
        base_url=secret.base_url(),
        secret_key=secret.text("secret_key", WORD),
        hashes=secret.texts("hashes"),
        email=secret.text("email", EMAIL),
        redirect_url=secret.text_if_given("redirect_url", WEB_ADDRESS),
    )


# --- the endpoints --------------------------------------------------------------------------------


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Open the provider's page for one payment: 201.

    Raises:
        what ``checkouts.checkout`` does.
    """
    keys = keys_of(desk.secret(SECRET))
    settings = desk.settings()
    currency = Currency(settings.currency, settings.currency_decimals)

    def begin(payment: Payment, payer: Payer) -> Begun:
        return Begun(_page_for(payment, payer, currency, keys))

    terms = Terms(KEY, currency, check=lambda amount: check_hundredths(amount, currency))
    return checkouts.checkout(KEY, request, desk, terms, begin)


def webhook(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """There is news of a payment: a worker asks Flutterwave for it."""

    def take_up() -> str:
        _check_hash(request, keys_of(desk.secret(SECRET)))
        check_size(request.body)
        return _hint(request.body, desk)

    return answered(KEY, desk, take_up)


def make(secrets: Callable[[str], Mapping[str, Any]]) -> FlutterwaveV3Provider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return FlutterwaveV3Provider(secrets)


CHANNEL = Channel(
    key=KEY,
    name="Flutterwave v3",
    refusal_class=RefusalClass.WE_START,
    endpoints=(
        checkouts.endpoint(KEY, checkout),
        Endpoint(
            "flutterwave_v3_webhook",
            "POST",
            "/payments/flutterwave_v3/webhook",
            webhook,
            Described(
                proof="A secret of ours, in a header. Nothing is signed: it is only a hint.",
                proof_headers={HASH_HEADER: "The secret hash of the dashboard, as it is."},
                body={"type": "object"},
                answers=dict.fromkeys((200, 400, 401, 413, 503), texts("status")),
            ),
        ),
    ),
    stated=Stated(
        countries="Nigeria, Ghana, Kenya, South Africa, Uganda, Tanzania and others",
        direction="we open a page, it hints, we ask",
        caller="secret hash in a header, nothing signed; our own question is the proof",
        repeated="our reference, its id of the transaction",
        serial="our record, `meta.serial_number`",
        amounts="major units, JSON number",
        retries="if switched on, 3 times every 30 minutes; waits 60 seconds",
        reversal="refund, whole or in part",
        confirmed="verification of each pending payment",
        unverified=(
            "which of several attempts under one reference a verification tells of",
            "whether a refund to mobile money gets beyond `completed`",
        ),
    ),
    can_refund=True,
)


def _check_hash(request: ProviderRequest, keys: Keys) -> None:
    if not is_one_of(header(request, HASH_HEADER), keys.hashes):
        raise WrongHash


def _hint(body: bytes, desk: Desk) -> str:
    """Have the payment looked at that a report names. What names none of ours changes nothing:
    transfers and refunds come here too, and the account may be used for other things."""
    reference = _reference(read_object(body))
    if checkouts.REFERENCE.fullmatch(reference) is None:
        return "ignored"
    desk.hinted(payment_id_of(KEY, reference))
    return "ok"


def _reference(report: Mapping[str, Any]) -> str:
    """Our reference in either shape of a report: within ``data``, or flat; empty without one."""
    data = report.get("data")
    for place in (data, report):
        if isinstance(place, Mapping):
            found = text_of(place.get("tx_ref")) or text_of(place.get("txRef"))
            if found:
                return found
    return ""


# --- what we ask ----------------------------------------------------------------------------------


class FlutterwaveV3Provider:
    """Asks Flutterwave what became of a payment, and for refunds.

    Refunds cannot be searched for by a name of ours, so one without a clear answer is a person's:
    its comment in the dashboard is our name for it.
    """

    timeout_seconds: int = SECONDS_MAX
    refund_recovery: RecoveryClass = RecoveryClass.OPAQUE
    refund_absent_after_seconds: int = 0
    full_refunds_only: bool = False

    def __init__(self, secrets: Callable[[str], Mapping[str, Any]]) -> None:
        self._secrets = secrets

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a payment that we started; ``None``: nothing was paid (yet).

        Raises:
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        path = f"/v3/transactions/verify_by_reference?tx_ref={quoted(payment.reference)}"
        said = _ask(keys_of(self._secrets(SECRET)), "GET", path)
        if _is_never_attempted(said):
            return None
        data = _data(said)
        if text_of(data.get("tx_ref")) != payment.reference:
            raise ProviderUncertain("the answer is of another transaction")
        status = text_of(data.get("status"))
        if status in NOT_PAID:
            return None
        if status != "successful":
            raise ProviderUncertain("a transaction of a status that we do not know")
        return _paid(data)

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for one refund.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        currency = currency_of(payment.currency)
        if currency is None or not is_in_hundredths(refund.amount_minor, currency):
            raise ProviderRefused("unusable_amount", "Flutterwave takes two decimals")
        if payment.receipt is None:
            raise ProviderRefused("no_receipt", "Flutterwave's id of the transaction is not known")
        said = _ask(
            keys_of(self._secrets(SECRET)),
            "POST",
            f"/v3/transactions/{quoted(payment.receipt)}/refund",
            {
                "amount": Number(major(refund.amount_minor, currency)),
                "comments": note_of(payment, refund),
            },
        )
        if _is_refusal(said):
            raise _refusal(said)
        data = _data(said)
        return _taken(data, text_of(data.get("status")))

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Find out what became of a refund that was asked for.

        Raises:
            ProviderRefused: it failed for good: the money has not gone back.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        if refund.reference is None:
            # Not to find it would be no proof of absence: it cannot be looked for.
            raise ProviderUncertain("Flutterwave's id of the refund is not known")
        path = f"/v3/refunds/{quoted(refund.reference)}"
        data = _data(_ask(keys_of(self._secrets(SECRET)), "GET", path))
        if text_of(data.get("id")) != refund.reference:
            raise ProviderUncertain("the answer is of another refund")
        status = text_of(data.get("status"))
        if status not in REFUND_DONE | REFUND_UNDER_WAY | {"failed"}:
            raise ProviderUncertain("a refund of a status that we do not know")
        return _taken(data, status)


def _page_for(payment: Payment, payer: Payer, currency: Currency, keys: Keys) -> str:
    """The address of a page on which that payment can be paid.

    Raises:
        ProviderRefused, ProviderUnreachable: none was opened.
        ProviderUncertain: nobody knows.
    """
    customer = {"email": payer.email or keys.email}
    if payer.phone is not None:
        customer["phonenumber"] = payer.phone
    body: dict[str, object] = {
        "tx_ref": payment.reference,
        "amount": Number(major(payment.amount_minor, currency)),
        "currency": currency.code,
        "customer": customer,
        "meta": {"serial_number": payment.serial_number},
    }
    if keys.redirect_url is not None:
        body["redirect_url"] = keys.redirect_url
    said = _ask(keys, "POST", "/v3/payments", body)
    if _is_refusal(said):
        raise _refusal(said)
    return web_address(_data(said).get("link"))


def _ask(keys: Keys, method: str, path: str, body: Mapping[str, object] | None = None) -> Said:
    headers = {"Authorization": f"Bearer {keys.secret_key}"}
    return ask(method, f"{keys.base_url}{path}", headers, body)


def _data(said: Said) -> Mapping[str, Any]:
    """The object that a success carries.

    Raises:
        ProviderUncertain: it is no success, or carries none.
    """
    data = said.at("data")
    if not said.is_success or said.text("status") != "success" or not isinstance(data, Mapping):
        raise said.uncertain("no success that carries an object")
    return data


def _is_refusal(said: Said) -> bool:
    return said.status in REFUSED and said.text("status") == "error"


def _refusal(said: Said) -> ProviderRefused:
    if said.status == 401:
        return ProviderRefused(NOT_KNOWN_THERE)
    return said.refused("refused_by_provider", said.text("message"))


def _is_never_attempted(said: Said) -> bool:
    """Whether it is the answer about a page on which nobody has tried to pay."""
    is_error = said.status in (400, 404) and said.text("status") == "error"
    return is_error and "no transaction was found" in said.text("message").lower()


def _paid(data: Mapping[str, Any]) -> Paid:
    """What a successful transaction says of the money.

    Raises:
        ProviderUncertain: it cannot be read.
    """
    try:
        amount_minor, currency = money(data.get("amount"), data.get("currency"))
    except UnusableAmount as wrong:
        raise ProviderUncertain(f"{wrong.code}: {wrong.detail}") from wrong
    return Paid(_id(data), amount_minor, currency, paid_at=utc_time(data.get("created_at")))


def _taken(data: Mapping[str, Any], status: str) -> RefundTaken:
    """A refund that Flutterwave has taken.

    Raises:
        ProviderRefused: it failed.
        ProviderUncertain: it cannot be told which it is.
    """
    if status == "failed":
        raise ProviderRefused("refund_failed")
    return RefundTaken(_id(data), done=status in REFUND_DONE)


def _id(data: Mapping[str, Any]) -> str:
    text = text_of(data.get("id"))
    if _ID.fullmatch(text) is None:
        raise ProviderUncertain("success without an id")
    return text
