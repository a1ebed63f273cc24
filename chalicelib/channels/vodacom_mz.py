"""M-Pesa Mozambique, pushed: a worker asks the payer's phone, and waits while they type their PIN.

Vodacom holds the call open until the payer has decided, far longer than a payer's own request may
take, so a checkout only stores the payment. The reply to the worker's call is the word on it;
where there is none, a query is. Nothing is ever told to us, so there is no endpoint for that.
(developer.mpesa.vm.co.mz: C2B single stage, Query Transaction Status, Reversal, response codes.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid4, uuid5

from chalicelib.channels import checkouts
from chalicelib.channels.amounts import check_hundredths, is_in_hundredths, shortest_major
from chalicelib.channels.asking import SAID_LENGTH_MAX, Said, ask, note_of
from chalicelib.channels.checkouts import Terms
from chalicelib.channels.configuration import WORD, Configuration
from chalicelib.channels.interface import Channel, Desk, Stated, shown
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Payment, Refund
from chalicelib.runtime.sealed_for import BadPublicKey, sealed_for
from chalicelib.services.currencies import currency_of
from chalicelib.services.ports import (
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

KEY = "vodacom_mz"
SECRET = "channels/vodacom_mz"  # noqa: S105 - the name of a secret, not a secret

COLLECT = "/ipg/v1x/c2bPayment/singleStage/"
QUERY = "/ipg/v1x/queryTransactionStatus/"
REVERSAL = "/ipg/v1x/reversal/"

CHARGE_SECONDS_MAX = 120
"""So long Vodacom may hold a call open while the payer decides."""
QUESTION_SECONDS_MAX = 30

DONE = "INS-0"
REFUSED: Mapping[str, str] = {
    "INS-5": "cancelled_by_payer",
    "INS-6": "failed",
    "INS-13": "invalid_short_code",
    "INS-17": "invalid_reference",
    "INS-2006": "insufficient_balance",
    "INS-2051": "invalid_phone",
}
"""The codes that surely say that no money has moved. No other does: ``INS-9`` is a time-out whose
outcome Vodacom does not know itself, and ``INS-10`` tells of an earlier call."""

NOT_PAID: Mapping[str, str] = {"Cancelled": "cancelled", "Expired": "expired"}
NOT_KNOWN = "N/A"

_SHORT_CODE = re.compile(r"[0-9]{1,10}")
_TRANSACTION = re.compile(r"[A-Za-z0-9._-]{1,40}")


@dataclass(frozen=True, slots=True)
class Keys:
    """What the secret says: the three addresses, our app, and who may take payments back."""

    collect_url: str
    query_url: str
    reversal_url: str
    api_key: str
    public_key: str
    origin: str
    short_code: str
    initiator: str
    credential: str
    currency: Currency

    @property
    def source(self) -> str:
        """The pot into which all money for that short code falls."""
        return f"mpesa_mz.{self.short_code}"

    def headers(self) -> dict[str, str]:
        """What shows who we are: the API key, encrypted for Vodacom.

        Raises:
            SecretMissing: the public key is none.
        """
        try:
            token = sealed_for(self.public_key, self.api_key.encode())
        except BadPublicKey as bad:
            raise SecretMissing(f"{SECRET}: public_key") from bad
        return {"Authorization": f"Bearer {token}", "Origin": self.origin}


def keys_of(content: Mapping[str, Any]) -> Keys:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    secret = Configuration(SECRET, content)
    return Keys(
        collect_url=secret.base_url("collect_url"),
        query_url=secret.base_url("query_url"),
        reversal_url=secret.base_url("reversal_url"),
        api_key=secret.text("api_key", WORD),
        public_key=secret.text("public_key"),
        origin=secret.text("origin", WORD),
        short_code=secret.text("service_provider_code", _SHORT_CODE),
        initiator=secret.text("initiator_identifier"),
        credential=secret.text("security_credential"),
        currency=secret.currency(),
    )


def checkout(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Store one payment, for which a worker then asks the payer's phone: 201.

    Raises:
        what ``checkouts.checkout`` does.
    """
    keys = keys_of(desk.secret(SECRET))

    def check(amount_minor: int) -> None:
        check_hundredths(amount_minor, keys.currency)

    terms = Terms(keys.source, keys.currency, _reference, check)
    return checkouts.checkout(KEY, request, desk, terms, None, needs=checkouts.PHONE)


def make(secrets: Callable[[str], Mapping[str, Any]]) -> VodacomMzProvider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return VodacomMzProvider(secrets)


CHANNEL = Channel(
    key=KEY,
    name="M-Pesa Mozambique (OpenAPI push)",
    refusal_class=RefusalClass.WE_START,
    pots=lambda content: (keys_of(content).source,),
    endpoints=(checkouts.endpoint(KEY, checkout, needs=checkouts.PHONE),),
    stated=Stated(
        countries="Mozambique",
        direction="a worker pushes and waits for the answer",
        caller="nobody calls; the reply to our own call is the proof",
        repeated="our reference, its transaction id",
        serial="our record; both references on the wire are ours, at most 20",
        amounts="meticais, as a text",
        retries="nothing is told to us; we wait up to 120 seconds, then ask",
        reversal="Reversal, whole or in part, done at once",
        confirmed="query of each pending payment",
        unverified=(
            "whether a query names the transaction's id, without which nothing can be reversed",
            "whether a query may repeat our reference as its own",
        ),
    ),
    can_refund=True,
    payer_needs=checkouts.PHONE,
)


def _reference() -> str:
    """Vodacom takes at most twenty letters and digits."""
    return uuid4().hex[:20].upper()


# --- what we ask ----------------------------------------------------------------------------------


class VodacomMzProvider:
    """Asks Vodacom: for a payer's money, what became of it, and to give it back.

    A reversal cannot be asked about, and nothing says that a repeated one is done once only, so
    one without a clear answer is a person's.
    """

    timeout_seconds: int = CHARGE_SECONDS_MAX
    refund_recovery: RecoveryClass = RecoveryClass.OPAQUE
    refund_absent_after_seconds: int = 0
    full_refunds_only: bool = False

    def __init__(self, secrets: Callable[[str], Mapping[str, Any]]) -> None:
        self._secrets = secrets

    def charge(self, payment: Payment) -> Paid | None:
        """Ask the payer's phone for the money, and wait while they decide.

        Raises:
            ProviderRefused: nothing was paid: the payer said no, has too little, or is no payer.
            ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        keys = keys_of(self._secrets(SECRET))
        body = {
            "input_TransactionReference": payment.reference,
            "input_CustomerMSISDN": (payment.payer_phone or "").removeprefix("+"),
            "input_Amount": _amount(payment.amount_minor, payment),
            "input_ThirdPartyReference": payment.reference,
            "input_ServiceProviderCode": keys.short_code,
        }
        url = f"{keys.collect_url}{COLLECT}"
        said = ask("POST", url, keys.headers(), body, CHARGE_SECONDS_MAX)
        _check_done(said, payment.reference)
        return _paid(payment, _transaction(said))

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a push; ``None``: nothing was paid (yet).

        A query tells no amount: a push is paid as it was asked for, or not at all.

        Raises:
            ProviderRefused: it was cancelled, or has expired.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        keys = keys_of(self._secrets(SECRET))
        asked = {
            "input_QueryReference": payment.reference,
            "input_ThirdPartyReference": payment.reference,
            "input_ServiceProviderCode": keys.short_code,
        }
        url = f"{keys.query_url}{QUERY}?{urlencode(asked)}"
        said = ask("GET", url, keys.headers(), seconds=QUESTION_SECONDS_MAX)
        if said.text("output_ResponseCode") != DONE or not said.is_success:
            raise _unclear(said)
        _check_is_of(said, payment.reference)
        return _told_of(said, payment)

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for the reversal of that much of a payment. It is done when it is answered.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        keys = keys_of(self._secrets(SECRET))
        if payment.receipt in (None, payment.reference):
            raise ProviderRefused("no_receipt", "Vodacom's id of the transaction is not known")
        reference = _refund_reference(payment, refund)
        body = {
            "input_TransactionID": payment.receipt,
            "input_SecurityCredential": keys.credential,
            "input_InitiatorIdentifier": keys.initiator,
            "input_ThirdPartyReference": reference,
            "input_ServiceProviderCode": keys.short_code,
            "input_ReversalAmount": _amount(refund.amount_minor, payment),
        }
        url = f"{keys.reversal_url}{REVERSAL}"
        said = ask("PUT", url, keys.headers(), body, QUESTION_SECONDS_MAX)
        _check_done(said, reference)
        return RefundTaken(said.text("output_TransactionID") or None, done=True)

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """A reversal cannot be asked about.

        Raises:
            ProviderUncertain: always.
        """
        raise ProviderUncertain("Vodacom tells nothing of a reversal afterwards")


def _amount(amount_minor: int, payment: Payment) -> str:
    """An amount of that payment's money as Vodacom takes it.

    Raises:
        ProviderRefused: it takes none such.
    """
    currency = currency_of(payment.currency)
    if currency is None or not is_in_hundredths(amount_minor, currency):
        raise ProviderRefused("unusable_amount", "Vodacom takes two decimals")
    return shortest_major(amount_minor, currency)


def _refund_reference(payment: Payment, refund: Refund) -> str:
    """Our name for a reversal: always the same one, so that Vodacom may see a repetition."""
    return uuid5(NAMESPACE_URL, note_of(payment, refund)).hex[:20].upper()


def _check_done(said: Said, reference: str) -> None:
    """That the answer says clearly that it was done.

    Raises:
        ProviderRefused: it says clearly that it was not.
        ProviderUncertain: it is neither.
    """
    code = said.text("output_ResponseCode")
    if code in REFUSED and 200 <= said.status < 500:
        raise said.refused(REFUSED[code], f"{code} {said.text('output_ResponseDesc')}")
    if code != DONE or not said.is_success:
        raise _unclear(said)
    _check_is_of(said, reference)


def _unclear(said: Said) -> ProviderUncertain:
    return said.uncertain(shown(said.text("output_ResponseCode"), SAID_LENGTH_MAX))


def _check_is_of(said: Said, reference: str) -> None:
    """That an answer which names what it is of is of that."""
    if said.text("output_ThirdPartyReference") not in ("", reference):
        raise said.uncertain("it is of another transaction")


def _told_of(said: Said, payment: Payment) -> Paid | None:
    """What the answer to a query says. See ``verify`` for what it raises."""
    status = said.text("output_ResponseTransactionStatus")
    if status == NOT_KNOWN:
        return None
    if status in NOT_PAID:
        raise ProviderRefused(NOT_PAID[status])
    if status != "Completed":
        raise said.uncertain("a status that we do not know")
    if said.text("output_TransactionID") not in ("", NOT_KNOWN):
        return _paid(payment, _transaction(said))
    if _is_being_charged(payment):
        return None  # the reply to the charge is about to come, and names the receipt
    return _paid(payment, payment.reference)


def _is_being_charged(payment: Payment) -> bool:
    """Whether the worker that charges the payer may still be waiting for Vodacom's reply."""
    if payment.asked_at is None:
        return False
    waited = datetime.now(UTC) - payment.asked_at
    return timedelta(0) <= waited < timedelta(seconds=CHARGE_SECONDS_MAX)


def _transaction(said: Said) -> str:
    """Vodacom's own name for the transaction, without which a yes is not clear enough."""
    transaction = said.text("output_TransactionID")
    if _TRANSACTION.fullmatch(transaction) is None:
        raise said.uncertain("paid, without a transaction")
    return transaction


def _paid(payment: Payment, receipt: str) -> Paid:
    return Paid(receipt, payment.amount_minor, payment.currency)
