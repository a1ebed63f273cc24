"""Safaricom's Daraja API: what we ask of it, over one short code, whatever the channel.

Who pays the paybill by hand and who confirms our push pays into the same pot, so receipts are
looked for in one list, and given back by one call.
(developer.safaricom.co.ke: Authorization, M-Pesa Express, Pull Transactions, Reversals.)
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.channels.amounts import UnusableAmount, amount_minor, whole_major
from chalicelib.channels.asking import SECONDS_MAX, Said, ask, logged_in, session_of, text_of
from chalicelib.channels.configuration import Configuration
from chalicelib.domain.money import Currency
from chalicelib.domain.payment import Claim, Payment, Refund, payment_id_of
from chalicelib.runtime.sealed_for import BadPublicKey, sealed_for
from chalicelib.runtime.sessions import Session, SessionRefused, Sessions
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.ports import (
    NOT_KNOWN_THERE,
    Listed,
    NotAtProvider,
    Paid,
    ProviderRefused,
    ProviderUncertain,
    RecoveryClass,
    RefundTaken,
    SecretMissing,
)

SECRET = "channels/daraja"  # noqa: S105 - the name of a secret, not a secret
C2B, STK = "daraja", "daraja_stk"
SHILLING = Currency("KES", 2)
KENYA = ZoneInfo("Africa/Nairobi")

SHORT_CODE = re.compile(r"[0-9]{5,8}")
RECEIPT = re.compile(r"[A-Za-z0-9]{1,40}")

PUSH_REFERENCE = re.compile(r"MW[0-9A-F]{10}")
"""How we name a payment that we push: it is the account that Safaricom tells everywhere, and it
takes no longer one than twelve letters and digits."""

ALREADY_REVERSED = "R000001"
PAGES_MAX = 200
STILL_RUNNING = frozenset({"500.001.1001", "4999"})
"""What a query answers while the payer has not decided."""


def source_of(short_code: str) -> str:
    """The pot into which all money for that short code falls."""
    return f"mpesa_ke.{short_code}"


def kenyan_time(text: str) -> datetime | None:
    """``YYYYMMDDhhmmss`` in Kenya's time, as UTC; ``None`` where it is no time."""
    if re.fullmatch(r"[0-9]{14}", text) is None:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=KENYA).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """What the part ``api`` of the secret says: our app at Safaricom, and who asks for reversals.

    ``public_url`` is the address of our own API, as Safaricom reaches it.
    """

    short_code: str
    path_secret: str
    base_url: str
    consumer_key: str
    consumer_secret: str
    passkey: str
    initiator: str
    initiator_password: str
    public_key: str
    public_url: str


def api_keys(content: Mapping[str, Any]) -> ApiKeys:
    """Read the secret.

    Raises:
        SecretMissing: it is not in its agreed form, or has no part ``api``.
    """
    secret = Configuration(SECRET, content)
    path_secrets = secret.texts("path_secrets")
    if not path_secrets:
        raise SecretMissing(f"{SECRET}: path_secrets")
    api = secret.part("api")
    return ApiKeys(
        short_code=secret.text("short_code", SHORT_CODE),
        path_secret=path_secrets[0],
        base_url=api.base_url(),
        consumer_key=api.text("consumer_key"),
        consumer_secret=api.text("consumer_secret"),
        passkey=api.text("passkey"),
        initiator=api.text("initiator"),
        initiator_password=api.text("initiator_password"),
        public_key=api.text("public_key"),
        public_url=api.base_url("public_url"),
    )


class Daraja:
    """Asks Safaricom: to push, what became of a push, what was paid to us, to reverse."""

    timeout_seconds: int = SECONDS_MAX
    refund_recovery: RecoveryClass = RecoveryClass.REPEATABLE
    """Safaricom reverses a receipt once: asked again it says so (``R000001``)."""
    refund_absent_after_seconds: int = 0
    full_refunds_only: bool = True

    def __init__(
        self, secrets: Callable[[str], Mapping[str, Any]], sessions: Sessions | None = None
    ) -> None:
        self._secrets = secrets
        self._sessions = sessions or Sessions()

    # --- pushes -------------------------------------------------------------------------------

    def push(self, payment: Payment, phone: str, now: datetime) -> dict[str, str]:
        """Ask the payer's phone for the money; answer what Safaricom will know the push by.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        keys = api_keys(self._secrets(SECRET))
        shillings = whole_major(payment.amount_minor, SHILLING)
        callback = f"/payments/daraja_stk/{keys.path_secret}/{payment.reference}/result"
        said = self._ask(
            keys,
            "/mpesa/stkpush/v1/processrequest",
            {
                **_password(keys, now),
                "TransactionType": "CustomerPayBillOnline",
                "Amount": shillings,
                "PartyA": phone,
                "PartyB": keys.short_code,
                "PhoneNumber": phone,
                "CallBackURL": keys.public_url + callback,
                "AccountReference": payment.reference,
                "TransactionDesc": _description(payment.serial_number),
            },
        )
        checkout_id = said.text("CheckoutRequestID")
        if said.text("ResponseCode") != "0" or not said.is_success or not checkout_id:
            raise _failure(said)
        return {"checkout_request_id": checkout_id}

    def verify(self, payment: Payment) -> Paid | None:
        """What became of a push. Safaricom tells no receipt here, so a yes is not news enough:
        the receipt comes with its callback, or from the list of all payments.

        Raises:
            ProviderRefused: the payer said no, or did not answer.
            ProviderUnreachable, ProviderUncertain, SecretMissing: it cannot be told now.
        """
        checkout_id = payment.known_as.get("checkout_request_id")
        if checkout_id is None:
            raise ProviderUncertain("Safaricom's name for the push is not known")
        keys = api_keys(self._secrets(SECRET))
        asked = {**_password(keys, datetime.now(UTC)), "CheckoutRequestID": checkout_id}
        said = self._ask(keys, "/mpesa/stkpushquery/v1/query", asked)
        if said.text("errorCode") in STILL_RUNNING or said.text("ResultCode") in STILL_RUNNING:
            return None
        result = said.text("ResultCode")
        if not said.is_success or not result:
            raise said.uncertain("no result")
        if result == "0":
            raise ProviderUncertain("it was paid, under a receipt that is still to come")
        raise ProviderRefused(f"stk_{result}" if result.isdigit() else "stk_failed")

    # --- what was paid to us ------------------------------------------------------------------

    def payments_between(self, since: datetime, until: datetime) -> Iterator[Listed]:
        """All that was paid to our short code; Safaricom tells the last 48 hours.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        keys = api_keys(self._secrets(SECRET))
        offset = 0
        for _ in range(PAGES_MAX):
            asked = {
                "ShortCode": keys.short_code,
                "StartDate": _pull_time(since),
                "EndDate": _pull_time(until),
                "OffSetValue": str(offset),
            }
            rows = _rows(self._ask(keys, "/pulltransactions/v1/query", asked))
            if not rows:
                return
            yield from (listed for row in rows if (listed := _listed(row, keys)))
            offset += len(rows)
        raise ProviderUncertain("more pages than anybody can have paid")

    # --- giving back --------------------------------------------------------------------------

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Ask for the reversal of a payment. What became of it is told to our ResultURL.

        Raises:
            ProviderRefused, ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        keys = api_keys(self._secrets(SECRET))
        shillings = whole_major(refund.amount_minor, SHILLING)
        if shillings is None:
            raise ProviderRefused("unusable_amount", "Safaricom takes whole shillings")
        results = f"{keys.public_url}/payments/daraja/{keys.path_secret}/reversals"
        said = self._ask(
            keys,
            "/mpesa/reversal/v1/request",
            {
                "Initiator": keys.initiator,
                "SecurityCredential": _credential(keys),
                "CommandID": "TransactionReversal",
                "TransactionID": payment.receipt or payment.reference,
                "Amount": shillings,
                "ReceiverParty": keys.short_code,
                "RecieverIdentifierType": "11",
                "ResultURL": f"{results}/{payment.reference}",
                "QueueTimeOutURL": f"{results}/{payment.reference}",
                "Remarks": "No such device",
            },
        )
        if said.text("ResponseCode") == "0" and said.is_success:
            return RefundTaken(said.text("ConversationID") or None)
        if ALREADY_REVERSED in (said.text("errorCode"), said.text("ResultCode")):
            return RefundTaken(done=True)
        raise _failure(said)

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """A reversal cannot be asked about: its result is told to us, or a person looks it up.

        Raises:
            NotAtProvider, ProviderUncertain: it was not taken; or it was, and is still to be told.
        """
        if refund.reference is None:
            raise NotAtProvider("no reversal was taken")
        return RefundTaken(refund.reference)

    # --- one call -----------------------------------------------------------------------------

    def _ask(self, keys: ApiKeys, path: str, body: Mapping[str, object]) -> Said:
        def work(token: str) -> Said:
            headers = {"Authorization": f"Bearer {token}"}
            said = ask("POST", f"{keys.base_url}{path}", headers, body)
            if said.status == 401 or said.text("errorCode") == "404.001.03":
                raise SessionRefused
            return said

        try:
            return self._sessions.call(
                keys.consumer_key, lambda: logged_in(lambda: _log_in(keys)), work
            )
        except SessionRefused:
            raise ProviderRefused(NOT_KNOWN_THERE) from None


def _log_in(keys: ApiKeys) -> Session:
    return logged_in(lambda: session_of(_asked_for_a_session(keys)))


def _asked_for_a_session(keys: ApiKeys) -> Said:
    pair = f"{keys.consumer_key}:{keys.consumer_secret}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    url = f"{keys.base_url}/oauth/v1/generate?grant_type=client_credentials"
    return ask("GET", url, headers, seconds=SECONDS_MAX / 2)


def _credential(keys: ApiKeys) -> str:
    try:
        return sealed_for(keys.public_key, keys.initiator_password.encode())
    except BadPublicKey as bad:
        raise SecretMissing(f"{SECRET}: public_key") from bad


def _failure(said: Said) -> ProviderRefused | ProviderUncertain:
    """What an answer without a yes means. Only a clear answer to the request itself is a no."""
    code = said.text("errorCode") or said.text("ResponseCode")
    if 400 <= said.status < 500 and code:
        return said.refused("refused_by_provider", f"{code} {said.text('errorMessage')}")
    return said.uncertain(code)


def _password(keys: ApiKeys, now: datetime) -> dict[str, str]:
    stamp = now.astimezone(KENYA).strftime("%Y%m%d%H%M%S")
    word = base64.b64encode(f"{keys.short_code}{keys.passkey}{stamp}".encode()).decode()
    return {"BusinessShortCode": keys.short_code, "Password": word, "Timestamp": stamp}


def _description(serial_number: str) -> str:
    """What the payer reads beside the amount: the end of the serial number, thirteen characters."""
    return re.sub(r"[^A-Za-z0-9]", "", serial_number)[-13:] or "Mwanga"


def _pull_time(moment: datetime) -> str:
    return moment.astimezone(KENYA).strftime("%Y-%m-%d %H:%M:%S")


def _rows(said: Said) -> list[Mapping[str, Any]]:
    """The rows of a page. Safaricom wraps them in one list too many."""
    code = said.text("ResponseCode")
    if code == "1001" and said.is_success:
        return []
    response = said.at("Response")
    if code != "1000" or not said.is_success or not isinstance(response, list):
        raise said.uncertain(f"no list of payments, {code}")
    pages = [page if isinstance(page, list) else [page] for page in response]
    return [row for page in pages for row in page if isinstance(row, dict)]


def _listed(row: Mapping[str, Any], keys: ApiKeys) -> Listed | None:
    """One row; ``None`` where it is no payment to us that can be read."""
    receipt, account = text_of(row.get("transactionId")), text_of(row.get("billreference"))
    try:
        amount = amount_minor(row.get("amount"), SHILLING)
    except UnusableAmount:
        return None
    if RECEIPT.fullmatch(receipt) is None:
        return None
    paid_at = _row_time(text_of(row.get("trxDate")))
    return listed(keys.short_code, receipt, account, amount, paid_at, proven=True)


def listed(
    short_code: str,
    receipt: str,
    account: str,
    amount: int,
    paid_at: datetime | None,
    *,
    proven: bool,
) -> Listed:
    """A payment to our short code, as what it is to us: one that we pushed, or a claim.

    The account of a push is our reference; of a payment by hand it is the serial number.
    """
    source = source_of(short_code)
    if PUSH_REFERENCE.fullmatch(account.upper()):
        paid = Paid(receipt, amount, SHILLING.code, paid_at=paid_at, proven=proven, shared_pot=True)
        return Listed(payment_id=payment_id_of(source, account.upper()), paid=paid)
    return Listed(
        Claim(
            channel=C2B,
            source=source,
            transaction=receipt,
            reference=receipt,
            serial_number=claimed_serial(account),
            amount_minor=amount,
            currency=SHILLING.code,
            paid_at=paid_at,
            proven=proven,
        )
    )


def _row_time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        at = moment if moment.tzinfo else moment.replace(tzinfo=KENYA)
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
